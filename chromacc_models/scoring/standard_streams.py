"""Standard input and output in the place of files, under the name ``-``."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.files import disk_errors

__all__ = ["is_standard", "refuse_on_a_cluster", "regions_file"]


def is_standard(path: Path | str) -> bool:
    """Whether a path stands for standard input or output.

    >>> is_standard("-"), is_standard("/data/-")
    (True, False)
    """
    return str(path) == "-"


@contextmanager
def regions_file(regions: Path | str) -> Iterator[Path]:
    """A file of regions; those of standard input are copied to a temporary one.

    Errors about the copy name standard input.
    """
    if not is_standard(regions):
        yield Path(regions).resolve()
        return
    if sys.stdin.isatty():
        raise InputError(
            "no regions: standard input is a terminal",
            expected="the lines of a BED file",
            remedy="pipe them in (cat regions.bed | ...), or name the file instead of -",
        )
    with tempfile.TemporaryDirectory(prefix="chromacc-") as folder:
        copy = Path(folder).resolve() / "stdin"
        with disk_errors(copy), copy.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        try:
            yield copy
        except InputError as error:
            if error.where is not None:
                error.where = str(error.where).replace(str(copy), "standard input")
            raise


def refuse_on_a_cluster(engine: Engine, *paths: Path | str) -> None:
    """Raise an InputError where workers of a cluster would need standard input or output."""
    if engine.scheduler is not None and any(map(is_standard, paths)):
        raise InputError(
            "the workers of a cluster have no access to standard input and output",
            where="--scheduler",
            found="-",
            expected="files that all workers can read",
            remedy="name files, or leave out --scheduler",
        )
