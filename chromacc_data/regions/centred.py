"""Windows of one length around the midpoints of regions, as loaders and predictions cut them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from chromacc_data.errors import InputError
from chromacc_data.sequences.genome import Genome

__all__ = ["centred_windows", "place_of", "region_names"]


def centred_windows(
    regions: pd.DataFrame, genome: Genome, window_length: int, *, where: Path | str
) -> tuple[np.ndarray, np.ndarray]:
    """The window around the midpoint of each region; a region that has the length already stays where it is.

    Parameters
    ----------
    regions
        Columns chrom, start, end: 0-based, end not included.
    genome
        What the regions lie on.
    window_length
        Bases of every window.
    where
        Name of the regions, for the errors.

    Returns
    -------
    Codes of the chromosomes (window,) int32 and starts (window,) int64, which may be negative.

    Raises
    ------
    InputError
        For a chromosome that the genome does not have, and a region without a base on its chromosome.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".fa") as fasta:
    ...     print(">chr1\\nACGTACGTAC", file=fasta, flush=True)
    ...     regions = pd.DataFrame({"chrom": ["chr1"], "start": [4], "end": [9]})
    ...     centred_windows(regions, Genome.open(fasta.name), 4, where="regions")
    (array([0], dtype=int32), array([4]))
    """
    chrom = genome.index(regions["chrom"], where=where)
    start, end = regions["start"].to_numpy(), regions["end"].to_numpy()
    chrom_length = genome.lengths[chrom]
    outside = start >= chrom_length
    if outside.any():
        row = int(np.argmax(outside))
        raise InputError(
            "an interval lies past the end of its chromosome",
            where=f"{where}, {place_of(regions, row)}",
            found=f"{outside.sum()} of {outside.size} intervals do",
            expected=f"coordinates below {chrom_length[row]}",
            remedy="take the FASTA of the assembly that the intervals are of",
        )
    return chrom, (start + end) // 2 - window_length // 2  # as kipoiseq's resize_interval does


def region_names(regions: pd.DataFrame) -> np.ndarray:
    """Name of each region, or its number from 0 where it has none, as kipoiseq has it; (region,) str."""
    names = regions["name"].to_numpy(dtype=object, copy=True)
    unnamed = np.flatnonzero(names == ".")
    names[unnamed] = unnamed.astype(str)
    return names


def place_of(regions: pd.DataFrame, row: int) -> str:
    """A region in words: its number from 1, and its position."""
    chrom, start, end = regions.iloc[row][["chrom", "start", "end"]]
    return f"interval {row + 1} ({chrom}:{start}-{end})"
