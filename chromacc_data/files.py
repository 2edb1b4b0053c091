"""Files that are there whole or not at all, and disks that are full."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from chromacc_data.errors import DiskFullError

__all__ = ["disk_errors", "map_array", "write_text_atomically"]

# numpy parses the head of a file as Python, and Python 3.11 may fail where threads parse side by side:
# "AST constructor recursion depth mismatch" (python/cpython#106905).
_PARSING = threading.Lock()

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_text_atomically(path: Path, text: str) -> None:
    """Write a small file so that it is there whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    temporary.replace(path)


def map_array(path: Path) -> np.ndarray:
    """Array of a .npy file, left on disk and read as it is used; may be called in many threads."""
    with _PARSING:
        # A plain array: each slice of numpy's own class of mapped arrays takes several times as long.
        return np.load(path, mmap_mode="r").view(np.ndarray)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk into a DiskFullError that says what to do."""
    try:
        yield
    except OSError as error:
        # numpy's own writes say how much they could write, and give no number.
        if error.errno not in _FULL and not (error.errno is None and "requested and" in str(error)):
            raise
        raise DiskFullError(
            "the disk is full",
            where=path,
            found=error.strerror or error,
            remedy="free space, then give the same command again: it goes on where it was",
        ) from error
