"""Check that the bases of a store are those of its genome, with pyfaidx and an index of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyfaidx
import xarray as xr

from chromacc_data.errors import CheckError
from chromacc_data.progress import progress_bar
from chromacc_data.sequences.encoding import encode, one_hot
from chromacc_data.sequences.fasta import write_index
from chromacc_data.store import schema
from chromacc_data.store.read import read_variable, read_window_block

__all__ = ["Reference", "check_bases"]


def check_bases(
    ds: xr.Dataset, rows: np.ndarray, fasta: Sequence[Path], *, path: Path, show_progress: bool
) -> None:
    """Read the bases of some windows of a store again with pyfaidx, not with the reader that built it.

    Parameters
    ----------
    ds, path
        The open store, and where it is.
    rows
        Windows, ascending.
    fasta
        Files of the genome.
    show_progress
        Whether a bar is shown.

    Raises
    ------
    CheckError
        At the first window whose bases differ.
    """
    chunk, length = int(ds.attrs[schema.ATTR_WINDOW_CHUNK]), ds.sizes[schema.POSITION]
    names = schema.chrom_names(ds)
    chrom, start = read_variable(ds, schema.CHROM.name), read_variable(ds, schema.START.name)
    with (
        Reference(fasta) as reference,
        progress_bar(len(rows), unit="windows", description="comparing", show=show_progress) as bar,
    ):
        for index in np.unique(rows // chunk):
            here = rows[rows // chunk == index]
            first = index * chunk
            block = read_window_block(ds, schema.SEQUENCE.name, first, min(first + chunk, len(chrom)))
            for row in here:
                expected = reference.window(names[chrom[row]], int(start[row]), length)
                if not np.array_equal(block[row - first], one_hot(encode(expected))):
                    raise CheckError(
                        "bases are not those of the genome",
                        where=f"{path} window {row} ({names[chrom[row]]}:{start[row]}-{start[row] + length})",
                        remedy="build the store again",
                    )
            bar.update(len(here))


class Reference:
    """Windows as text through pyfaidx, with N past both ends: slow, and independent of our own reader.

    The files are opened, and indexed, when the first window is asked for.
    """

    def __init__(self, fasta: Sequence[Path]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._fasta, self._files = fasta, []

    def __enter__(self) -> Reference:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()
        self._folder.cleanup()

    @staticmethod
    def _open(path: Path, folder: Path) -> pyfaidx.Fasta:
        # Indexed from scratch: a wrong index must not confirm itself.
        folder.mkdir()
        stem = str(folder / path.name)
        files = {"indexname": f"{stem}.fai", "gzi_indexname": f"{stem}.gzi"}
        try:
            return pyfaidx.Fasta(str(path), **files)
        except (pyfaidx.FastaIndexingError, RuntimeError):
            # pyfaidx indexes no file with more than one line of whitespace behind a sequence.
            write_index(path, folder)
            return pyfaidx.Fasta(str(path), rebuild=False, **files)

    def window(self, name: str, start: int, length: int) -> str:
        """Letters of a window."""
        if not self._files:
            folder = Path(self._folder.name)
            self._files = [self._open(path, folder / str(i)) for i, path in enumerate(self._fasta)]
        record = next(file[name] for file in self._files if name in file)
        inside = record[max(0, start) : max(0, start + length)].seq
        left = "N" * min(length, max(0, -start))
        return (left + inside).ljust(length, "N")
