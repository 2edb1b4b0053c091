"""Arithmetic of intervals as arrays, done by bedtools; keys of positions; chromosomes by their names."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chromacc_data.compiled import compiled
from chromacc_data.errors import InputError
from chromacc_data.regions.bed import NEWLINE, TAB, ZERO, integers, read_rows

__all__ = [
    "PairKeys",
    "complement_intervals",
    "few_names",
    "match_chromosomes",
    "merge_intervals",
    "run_bedtools",
]

_MAX_KEY = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class PairKeys:
    """One int64 key for each pair of a code and a number, such as a chromosome and a position on it.

    Keys are in the order of the pairs. Within one code they differ by what the numbers differ by, so that one
    search over keys does the work of a search on each chromosome: the chromosomes are laid end to end, each
    with room from `lowest` to `highest`. Codes and numbers may have any integer dtype: every product in the
    two packages that a code takes part in is made here, in int64.

    Parameters
    ----------
    lowest, highest
        Least and largest number that a pair may have; both included.

    Examples
    --------
    >>> keys = PairKeys(-300, 249_000_300)
    >>> chrom = np.array([0, 23], dtype=np.int32)
    >>> keys.of(chrom, np.array([-300, 100]))
    array([         0, 5727014223])
    >>> keys.pairs(keys.of(chrom, np.array([-300, 100])))
    (array([ 0, 23]), array([-300,  100]))
    """

    lowest: int
    highest: int

    @classmethod
    def over(cls, *numbers: np.ndarray, room: int = 0) -> PairKeys:
        """Keys of all of these numbers, and of those at most `room` below the least or above the largest."""
        lowest = min((int(n.min(initial=0)) for n in numbers), default=0)
        highest = max((int(n.max(initial=0)) for n in numbers), default=0)
        return cls(lowest - room, highest + room)

    @property
    def stride(self) -> int:
        """Difference between the keys of one number under two neighbouring codes."""
        return self.highest - self.lowest + 1

    def of(self, code: np.ndarray | int, number: np.ndarray) -> np.ndarray:
        """Key of each pair, int64.

        Raises
        ------
        ValueError
            For a number outside `lowest` to `highest`, and a code below 0: their keys would be other pairs'.
        OverflowError
            If int64 does not hold the keys.
        """
        code, number = np.asarray(code).astype(np.int64), np.asarray(number).astype(np.int64)
        if code.min(initial=0) < 0:
            raise ValueError(f"code {code.min()}, below 0")
        if number.size and not self.lowest <= number.min() <= number.max() <= self.highest:
            raise ValueError(f"{number.min()} to {number.max()} is not in {self.lowest} to {self.highest}")
        if (int(code.max(initial=0)) + 1) * self.stride > _MAX_KEY:
            raise OverflowError(f"{code.max() + 1} codes of {self.stride} numbers each are beyond int64")
        return code * self.stride + (number - self.lowest)

    def pairs(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Code and number of each key, int64."""
        code, number = np.divmod(np.asarray(keys, dtype=np.int64), self.stride)
        return code, number + self.lowest


def match_chromosomes(
    names: Sequence[str], chromosomes: Sequence[str], *, excluded: Collection[str] = (), where: str | Path
) -> np.ndarray:
    """Index of each name among the chromosomes used, int32; -1 for an excluded one.

    Raises
    ------
    InputError
        For a name in neither, with both lists; it says so when adding or removing ``chr`` would fix it.

    Examples
    --------
    >>> match_chromosomes(["chr2", "chrM"], ["chr1", "chr2"], excluded=["chrM"], where="a.bed")
    array([ 1, -1], dtype=int32)
    """
    index = _codes_by_name(tuple(chromosomes))
    excluded = frozenset(excluded)
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

    Intervals in any order: (interval,) codes, starts and ends, to codes of the dtype given, int64 starts and
    ends.

    Examples
    --------
    >>> zero = np.zeros(3, dtype=np.int32)
    >>> merge_intervals(zero, np.array([30, 0, 10]), np.array([40, 10, 20]), distance=9)[1:]
    (array([ 0, 30]), array([20, 40]))
    """
    columns = run_bedtools("merge", chrom, start, end, d=distance)
    return columns[0].astype(chrom.dtype), columns[1], columns[2]


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


@functools.lru_cache(maxsize=4)
def _codes_by_name(names: tuple[str, ...]) -> dict[str, int]:
    """Place of each name; kept, since every block of every file asks for it."""
    return {name: code for code, name in enumerate(names)}


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
