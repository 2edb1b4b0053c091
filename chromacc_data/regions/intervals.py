"""Arithmetic of intervals as arrays, done by bedtools; and the names of chromosomes in two files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np

from chromacc_data.compiled import compiled
from chromacc_data.errors import InputError
from chromacc_data.regions.bed import NEWLINE, TAB, ZERO, integers, read_rows

__all__ = ["complement_intervals", "few_names", "match_chromosomes", "merge_intervals", "run_bedtools"]


def match_chromosomes(
    names: Sequence[str], chromosomes: Sequence[str], *, excluded: Collection[str] = (), where: str | Path
) -> np.ndarray:
    """Index of each name among the chromosomes used, int32; -1 for an excluded one.

    Raises
    ------
    InputError
        For a name in neither, with both lists, saying so when adding or removing ``chr`` would mend it.

    Examples
    --------
    >>> match_chromosomes(["chr2", "chrM"], ["chr1", "chr2"], excluded=["chrM"], where="a.bed")
    array([ 1, -1], dtype=int32)
    """
    index = {name: code for code, name in enumerate(chromosomes)}
    unknown = [name for name in names if name not in index and name not in excluded]
    if unknown:
        known = {*index, *excluded}
        renamed = [name.removeprefix("chr") if name.startswith("chr") else f"chr{name}" for name in unknown]
        verb = "remove" if unknown[0].startswith("chr") else "add"
        raise InputError(
            f"chromosome {unknown[0]!r} is not in the genome",
            where=where,
            found=f"{few_names(names)} ({len(unknown)} of {len(names)} unknown: {few_names(unknown)})",
            expected=few_names(chromosomes)
            + (f"; excluded {few_names(sorted(excluded))}" if excluded else ""),
            remedy=f"{verb} `chr` at the start of the names in one of the two files"
            if known.intersection(renamed)
            else "use the genome of the same assembly, or name them in the recipe's `genome.exclude`",
        )
    return np.array([index.get(name, -1) for name in names], dtype=np.int32)


def merge_intervals(
    chrom: np.ndarray, start: np.ndarray, end: np.ndarray, *, distance: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unions of intervals at most `distance` bp apart (`bedtools merge -d`), sorted; -1: that overlap.

    Intervals in any order: (interval,) codes, starts and ends, to int32 codes, int64 starts and ends.

    Examples
    --------
    >>> zero = np.zeros(3, dtype=np.int32)
    >>> merge_intervals(zero, np.array([30, 0, 10]), np.array([40, 10, 20]), distance=9)[1:]
    (array([ 0, 30]), array([20, 40]))
    """
    columns = run_bedtools("merge", chrom, start, end, d=distance)
    return columns[0].astype(np.int32), columns[1], columns[2]


def complement_intervals(
    chrom: np.ndarray, start: np.ndarray, end: np.ndarray, *, lengths: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What intervals leave of the genome (`bedtools complement`), as :func:`merge_intervals` gives it."""
    columns = run_bedtools("complement", chrom, start, end, genome=enumerate(lengths))
    return columns[0].astype(np.int32), columns[1], columns[2]


def run_bedtools(
    tool: str,
    chrom: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    *,
    genome: Iterable[tuple[int, int]] | None = None,
    **options: object,
) -> list[np.ndarray]:
    """First four columns that a bedtools program makes of intervals; `genome`: code and length of each."""
    # Importing pybedtools runs every program of bedtools once: 0.7 s that a loader does not need.
    import pybedtools

    if shutil.which("bedtools") is None:
        raise InputError(
            "the program bedtools is missing",
            expected="bedtools 2.27 or newer on the PATH",
            remedy="apt-get install bedtools, or conda install -c bioconda bedtools",
        )
    order = np.lexsort((start, chrom))
    with tempfile.TemporaryDirectory(prefix="chromacc-bedtools-") as name:
        folder = Path(name)
        given, made = folder / "given.bed", folder / "made.bed"
        given.write_bytes(_format_rows(*(np.asarray(a, dtype=np.int64)[order] for a in (chrom, start, end))))
        if genome is not None:
            (folder / "genome").write_text("".join(f"{code}\t{length}\n" for code, length in genome))
            options["g"] = str(folder / "genome")
        getattr(pybedtools.BedTool(str(given)), tool)(output=str(made), **options)
        if not made.stat().st_size:
            return [np.zeros(0, dtype=np.int64)] * 4
        blocks = [[integers(rows, column) for column in range(4)] for rows in read_rows(made)]
    return [np.concatenate(parts) for parts in zip(*blocks, strict=True)]


def few_names(names: Sequence[str], limit: int = 8) -> str:
    """Names for a message: all, or the first ones and how many there are."""
    return " ".join(names) if len(names) <= limit else f"{' '.join(names[:limit])} … ({len(names)})"


@compiled
def _format_rows(chrom: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Text of three int64 columns, tab-separated, as uint8."""
    widest = 1
    for column in (chrom, start, end):
        for value in column:
            widest = max(widest, value)
    width = 1
    while widest >= 10:
        widest //= 10
        width += 1
    text = np.empty(start.size * 3 * (width + 1), dtype=np.uint8)
    here = 0
    for row in range(start.size):
        for column, separator in ((chrom, TAB), (start, TAB), (end, NEWLINE)):
            value, digits = column[row], 1
            rest = value
            while rest >= 10:
                rest //= 10
                digits += 1
            for place in range(here + digits - 1, here - 1, -1):
                text[place] = ZERO + value % 10
                value //= 10
            text[here + digits] = separator
            here += digits + 1
    return text[:here]
