"""Filters that recognise given motifs, for networks made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

N_BASES = 4


def ppm_filters(
    ppms: Sequence[np.ndarray], filter_width: int, *, scale: float = 0.1, pseudocount: float = 0.01
) -> np.ndarray:
    """Filters that recognise given motifs: log-odds against equal base frequencies, motif in the middle.

    Parameters
    ----------
    ppms
        Position probability matrices, each (position, 4) in the order A C G T.
    filter_width
        Bases that a filter covers; of a wider motif, its most informative stretch is taken.
    scale
        Factor on the log2 odds; 0.1 gives weights of the size of Glorot's.
    pseudocount
        Added to each probability before it is normalised again.

    Returns
    -------
    np.ndarray
        Kernels (filter_width, 4, motif), float32, as networks take initial filters.
    """
    kernels = np.zeros((filter_width, N_BASES, len(ppms)), dtype=np.float32)
    for index, ppm in enumerate(ppms):
        smooth = np.asarray(ppm, dtype=np.float64) + pseudocount
        odds = np.log2(smooth / smooth.sum(axis=1, keepdims=True) * N_BASES)
        if len(odds) > filter_width:
            information = np.convolve(odds.max(axis=1), np.ones(filter_width), mode="valid")
            odds = odds[information.argmax() :][:filter_width]
        start = (filter_width - len(odds)) // 2
        kernels[start : start + len(odds), :, index] = scale * odds
    return kernels
