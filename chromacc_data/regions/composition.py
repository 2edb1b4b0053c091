"""How much of a window is G or C, and how much is N."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from chromacc_data.compiled import compiled
from chromacc_data.sequences.encoding import N_CODE

__all__ = ["SequenceSource", "gc_and_n"]

_BATCH = 1 << 14  # windows of bases held at once: 10 MB at 600 bp


class SequenceSource(Protocol):
    """What reads bases, such as :class:`chromacc_data.sequences.genome.Genome`."""

    def windows(self, chrom: np.ndarray, start: np.ndarray, length: int) -> np.ndarray:
        """Base codes of windows, (window, length) uint8."""


def gc_and_n(
    genome: SequenceSource, chrom: np.ndarray, start: np.ndarray, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """GC fraction of the known bases (NaN where there are none) and fraction of N, (window,) float64.

    What lies past the ends of a chromosome is N.
    """
    gc, n = np.zeros(start.size), np.zeros(start.size)
    for begin in range(0, start.size, _BATCH):
        here = slice(begin, begin + _BATCH)
        gc[here], n[here] = _count_gc_and_n(genome.windows(chrom[here], start[here], length))
    known = length - n
    return np.where(known > 0, gc / np.maximum(known, 1), np.nan), n / length


@compiled
def _count_gc_and_n(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of C and G, and of N, in each row of base codes, (window,) int64."""
    gc, n = np.zeros(len(codes), dtype=np.int64), np.zeros(len(codes), dtype=np.int64)
    for row in range(len(codes)):
        for code in codes[row]:
            gc[row] += code == 1 or code == 2
            n[row] += code == N_CODE
    return gc, n
