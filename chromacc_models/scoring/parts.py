"""A result in parts, each a file in the working folder of the output: a killed run leaves those it made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chromacc_data.files import (
    disk_errors,
    empty_working_folder,
    hold_working_folder,
    recover,
    remove_working_folder,
    write_text_atomically,
)
from chromacc_data.progress import LOG

__all__ = ["Parts", "resumable_folder"]


@dataclass(frozen=True)
class Parts:
    """Files of a result, each of the windows of some regions.

    Parameters
    ----------
    folder
        Where they are.
    n_windows
        Windows of all.
    rows
        Windows of a part.
    suffix
        Of their names.
    """

    folder: Path
    n_windows: int
    rows: int
    suffix: str

    def __len__(self) -> int:
        """Number of parts."""
        return -(-self.n_windows // self.rows)

    def path(self, part: int) -> Path:
        """File of a part, which is there when it is whole."""
        return self.folder / f"{part:07d}{self.suffix}"

    def span(self, part: int) -> slice:
        """Windows of a part."""
        first = part * self.rows
        return slice(first, min(first + self.rows, self.n_windows))

    def files(self) -> Iterator[tuple[slice, Path]]:
        """Windows and file of each part, in order."""
        return ((self.span(part), self.path(part)) for part in range(len(self)))

    def missing(self) -> list[int]:
        """Parts that are to be made."""
        return [part for part in range(len(self)) if not self.path(part).exists()]


@contextmanager
def resumable_folder(out: Path, key: str) -> Iterator[Path]:
    """Lock and enter the working folder of an output, with the parts that a killed run of the same key left.

    It is removed when all went well, or when nothing was finished.
    """
    # Workers of a cluster have other working folders.
    with hold_working_folder(out.absolute()) as folder:
        recover(out)
        mark = folder / "key"
        if not mark.is_file() or mark.read_text() != key:
            if mark.is_file():
                LOG.info("%s: starting again; the files there were made from other inputs or options", folder)
            empty_working_folder(folder)
            with disk_errors(out):
                write_text_atomically(mark, key)
        try:
            with disk_errors(out):
                yield folder
        except BaseException:
            if not any(folder.glob("parts/[0-9]*")):
                remove_working_folder(folder)
            raise
        remove_working_folder(folder)
