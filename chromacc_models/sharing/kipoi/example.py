"""A small, real example for a packaged model: a cut of the genome with a few windows of the test split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import N_CODE, codes_from_one_hot, decode
from chromacc_data.sequences.genome import Genome
from chromacc_data.store import schema
from chromacc_data.store.read import read_window_block

__all__ = ["Example", "cut_example", "write_example"]

_LINE_WIDTH = 80


@dataclass(frozen=True)
class Example:
    """A cut of one chromosome and windows in it.

    Parameters
    ----------
    chrom
        Name of the chromosome, kept.
    assembly
        The genome that it is cut from.
    offset
        Position of the cut's first base in the chromosome, 0-based.
    codes
        Base codes of the cut, shape (position,), uint8.
    start, end
        Windows in coordinates of the cut, shape (window,), int64.
    """

    chrom: str
    assembly: str
    offset: int
    codes: np.ndarray
    start: np.ndarray
    end: np.ndarray

    @property
    def region(self) -> str:
        """Where the cut lies, as genome browsers write it (1-based, both ends included)."""
        return f"{self.chrom}:{self.offset + 1}-{self.offset + len(self.codes)}"


def cut_example(
    ds: xr.Dataset,
    *,
    genome: Genome | None = None,
    n_windows: int = 8,
    flank: int = 500,
    max_length: int = 40_000,
) -> Example:
    """Cut the shortest piece of the genome that holds some neighbouring windows of the test split.

    Parameters
    ----------
    ds
        A store with coordinates.
    genome
        Where the bases between the windows come from; without it they are N.
    n_windows
        Windows wanted; fewer where they would need a piece longer than `max_length`.
    flank
        Bases kept before the first window and after the last.
    max_length
        Longest piece, bp.

    Raises
    ------
    InputError
        If the store has no coordinates, or the genome is not the store's.
    """
    if schema.START.name not in ds:
        raise InputError(
            "the store has no coordinates to cut an example from",
            where=ds.encoding.get("source", "store"),
            remedy="give --example-fasta and --example-bed",
        )
    chrom, start, end = (ds[v.name].to_numpy() for v in (schema.CHROM, schema.START, schema.END))
    names, facts = schema.chrom_names(ds), schema.read_attribute(ds, schema.ATTR_GENOME)
    if facts is None:
        raise InputError(
            "the store does not say which genome it comes from",
            where=ds.encoding.get("source", "store"),
            remedy="give --example-fasta and --example-bed",
        )
    lengths = np.array([facts.sequences[name].length for name in names])
    inside = (start >= 0) & (end <= lengths[chrom])
    testing = inside & (ds[schema.SPLIT.name].to_numpy() == schema.SPLITS.index("test"))
    rows = np.flatnonzero(testing if testing.any() else inside)
    rows = rows[_closest(chrom[rows], start[rows], end[rows], n_windows, max_length - 2 * flank)]
    name = names[chrom[rows[0]]]
    first = max(0, int(start[rows[0]]) - flank)
    last = min(facts.sequences[name].length, int(end[rows].max()) + flank)
    if genome is None:
        codes = _painted(ds, rows, start[rows], first, last)
    else:
        _require_same(genome, name, facts.sequences[name].md5)
        codes = genome.windows(genome.index([name]), np.array([first]), last - first)[0]
    return Example(name, facts.assembly, first, codes, start[rows] - first, end[rows] - first)


def write_example(example: Example, fasta: Path, bed: Path) -> None:
    """Write an example as FASTA and BED; the BED's name column gives the windows' place in the genome."""
    sequence = decode(example.codes)
    lines = [sequence[i : i + _LINE_WIDTH] for i in range(0, len(sequence), _LINE_WIDTH)]
    header = f">{example.chrom} {example.assembly} {example.region}, cut out: position 0 is {example.offset}"
    fasta.write_text("\n".join([header, *lines]) + "\n")
    rows = [
        (example.chrom, start, end, f"{example.chrom}:{start + example.offset}-{end + example.offset}")
        for start, end in zip(example.start, example.end, strict=True)
    ]
    bed.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))


def _closest(
    chrom: np.ndarray, start: np.ndarray, end: np.ndarray, n_windows: int, max_length: int
) -> np.ndarray:
    """Places of the closest run of windows on one chromosome, in the order of their starts."""
    order = np.lexsort((start, chrom))
    chrom, start, end = chrom[order], start[order], end[order]
    for n in range(min(n_windows, len(order)), 1, -1):
        head, tail = slice(None, len(order) - n + 1), slice(n - 1, None)
        span = np.where(chrom[head] == chrom[tail], end[tail] - start[head], np.iinfo(np.int64).max)
        best = int(np.argmin(span))
        if span[best] <= max_length:
            return order[best : best + n]
    return order[:1]


def _painted(ds: xr.Dataset, rows: np.ndarray, start: np.ndarray, first: int, last: int) -> np.ndarray:
    """The piece as far as the windows of the store cover it; N elsewhere."""
    codes = np.full(last - first, N_CODE, dtype=np.uint8)
    for row, offset in zip(rows, start - first, strict=True):
        window = codes_from_one_hot(read_window_block(ds, schema.SEQUENCE.name, row, row + 1)[0])
        codes[offset : offset + len(window)] = window[: len(codes) - offset]
    return codes


def _require_same(genome: Genome, name: str, md5: str) -> None:
    if name not in genome.names:
        raise InputError(
            f"the example lies on {name}, which the genome given does not have",
            where="--genome",
            found=f"{len(genome.names)} sequences: {', '.join(genome.names[:5])}",
            remedy=f"give the FASTA that has {name} as well: --genome a.fa --genome b.fa",
        )
    if genome.md5(name) != md5:
        raise InputError(
            f"{name} is not the sequence that the store was built from",
            where="--genome",
            found=f"MD5 {genome.md5(name)}",
            expected=f"MD5 {md5}",
            remedy="give the FASTA that the recipe names",
        )
