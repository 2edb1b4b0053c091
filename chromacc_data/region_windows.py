"""Windows of one length around the regions of a BED file or a table, read from a genome; without Kipoi."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from chromacc_data.errors import InputError
from chromacc_data.regions.bed import read_intervals
from chromacc_data.sequences.encoding import reverse_complement, reverse_complement_one_hot
from chromacc_data.sequences.genome import Genome

__all__ = ["PAST_END", "RegionWindows", "require_regions"]

LOG = logging.getLogger("chromacc")

#: What can be done with a window that reaches past an end of its chromosome.
PAST_END = ("pad", "drop", "error")


@dataclass(frozen=True, eq=False)
class RegionWindows:
    """Windows of one length.

    Parameters
    ----------
    genome
        Where they are read.
    length
        Bases of each.
    chrom, start
        Codes of the genome's sequences, int32, and 0-based starts, int64, both (window,); a start may be
        negative, and an end past that of the sequence.
    name
        Name of each region, or its number from 0 where it has none, (window,) object.
    strand
        ``+`` or ``-``, or ``*`` where strands are not used or not known, (window,).
    """

    genome: Genome
    length: int
    chrom: np.ndarray
    start: np.ndarray
    name: np.ndarray
    strand: np.ndarray

    @classmethod
    def read(
        cls,
        regions: Path | pd.DataFrame,
        genome: Genome,
        length: int,
        *,
        use_strand: bool = False,
        past_end: str = "pad",
    ) -> RegionWindows:
        """Windows around the midpoints, ``(start + end) // 2``, of regions; a region of the length stays.

        Parameters
        ----------
        regions
            BED or narrowPeak file, or a table with columns `chrom`, `start`, `end`, and perhaps `name` and
            `strand`.
        genome
            Where they are read.
        length
            Bases of every window.
        use_strand
            Reverse-complement the windows of regions on the minus strand.
        past_end
            What to do with windows past an end of their chromosome: "pad" (with N), "drop" or "error".

        Raises
        ------
        InputError
            For a file or table that cannot be read, sequences that the genome does not have, and regions past
            the end of their sequence.
        """
        if past_end not in PAST_END:
            raise InputError("unknown choice", where="past_end", found=past_end, expected=", ".join(PAST_END))
        where = "regions" if isinstance(regions, pd.DataFrame) else regions
        intervals = _table(regions) if isinstance(regions, pd.DataFrame) else read_intervals(regions)
        chrom = genome.index(intervals["chrom"], where=where)
        chrom_length = genome.lengths[chrom]
        _check_on_chromosome(intervals, chrom_length, where)
        # As kipoiseq's resize_interval does; an interval that has the length already stays where it is.
        start = (intervals["start"].to_numpy() + intervals["end"].to_numpy()) // 2 - length // 2
        strands = _strands(intervals, use_strand, where)
        windows = cls(genome, length, chrom, start, _identifiers(intervals), strands)
        past = (start < 0) | (start + length > chrom_length)
        if past_end == "pad" or not past.any():
            return windows
        found = f"{past.sum()} of {past.size}; the first: {_position(intervals, int(np.argmax(past)))}"
        if past_end == "error" or past.all():
            raise InputError(
                f"windows of {length} bp reach past an end of their chromosomes",
                where=where,
                found=found,
                remedy="leave these intervals out, or set past_end to pad",
            )
        LOG.warning("%s: dropped windows past an end of their chromosomes: %s", where, found)
        return windows._rows(~past)

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.start)

    def codes(self, rows: slice | np.ndarray) -> np.ndarray:
        """Base codes of windows, (window, position) uint8: a sixteenth of the bytes of one-hot float32."""
        codes = self.genome.windows(self.chrom[rows], self.start[rows], self.length)
        minus = self.strand[rows] == "-"
        if minus.any():
            codes[minus] = reverse_complement(codes[minus])
        return codes

    def one_hot(self, rows: slice | np.ndarray) -> np.ndarray:
        """The same one-hot, (window, position, base) float32."""
        inputs = self.genome.one_hot_windows(self.chrom[rows], self.start[rows], self.length, np.float32)
        minus = self.strand[rows] == "-"
        if minus.any():
            inputs[minus] = reverse_complement_one_hot(inputs[minus])
        return inputs

    def _rows(self, rows: np.ndarray) -> RegionWindows:
        columns = {name: getattr(self, name)[rows] for name in ("chrom", "start", "name", "strand")}
        return replace(self, **columns)


def _table(regions: pd.DataFrame) -> pd.DataFrame:
    """A table of regions with all columns that are needed."""
    require_regions(regions)
    table = regions.reset_index(drop=True)
    for name in ("name", "strand"):
        if name not in table:
            table[name] = "."
    return table


def require_regions(regions: pd.DataFrame) -> None:
    """Raise unless a table has chromosomes, and coordinates that are those of regions."""
    columns = ("chrom", "start", "end")
    if not set(columns) <= set(regions.columns):
        raise InputError(
            "not a table of regions",
            found=f"columns {', '.join(map(str, regions.columns))}",
            expected="columns chrom, start, end, 0-based",
            remedy="rename them: regions.rename(columns={'chr': 'chrom'})",
        )
    for column in columns[1:]:
        if len(regions) and not pd.api.types.is_integer_dtype(regions[column].dtype):
            raise InputError(
                "coordinates are not integers",
                where=f"column {column!r}",
                found=regions[column].dtype,
                remedy="convert them: regions.astype({'start': int, 'end': int})",
            )
    bad = ((regions["start"] < 0) | (regions["end"] <= regions["start"])).to_numpy()
    if bad.any():
        row = int(np.argmax(bad))
        start, end = regions["start"].iloc[row], regions["end"].iloc[row]
        raise InputError(
            "no region",
            where=f"row {row}",
            found=f"start {start}, end {end}",
            expected="start of at least 0, and end above start",
        )


def _check_on_chromosome(intervals: pd.DataFrame, chrom_length: np.ndarray, where: Path | str) -> None:
    """Raise for an interval without a base on its chromosome: it comes from another assembly."""
    outside = intervals["start"].to_numpy() >= chrom_length
    if outside.any():
        row = int(np.argmax(outside))
        raise InputError(
            "an interval lies past the end of its chromosome",
            where=f"{where}, {_position(intervals, row)}",
            found=f"{outside.sum()} of {outside.size} intervals do",
            expected=f"coordinates below {chrom_length[row]}",
            remedy="use the FASTA of the assembly that the intervals refer to",
        )


def _strands(intervals: pd.DataFrame, use_strand: bool, where: Path | str) -> np.ndarray:
    """Strand of each interval if strands are to be used, else ``*``, which is Kipoi's for none."""
    stranded = intervals["strand"].isin(["+", "-"]).to_numpy() & use_strand
    if use_strand and not stranded.any():
        raise InputError(
            "use_strand, but no interval has a strand",
            where=where,
            expected="+ or - in column 6",
            remedy="leave use_strand out, or give the strands",
        )
    return np.where(stranded, intervals["strand"], "*").astype("U1")


def _identifiers(intervals: pd.DataFrame) -> np.ndarray:
    """Name of each interval, or its number from 0 where it has none, as kipoiseq numbers them."""
    names = intervals["name"].to_numpy(dtype=object, copy=True)
    unnamed = np.flatnonzero(names == ".")
    names[unnamed] = unnamed.astype(str)
    return names


def _position(intervals: pd.DataFrame, row: int) -> str:
    chrom, start, end = intervals.iloc[row][["chrom", "start", "end"]]
    return f"interval {row + 1} ({chrom}:{start}-{end})"
