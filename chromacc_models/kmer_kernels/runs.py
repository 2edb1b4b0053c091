"""Highest activations of filters over runs of places, along a sequence that is scanned once."""

from __future__ import annotations

import numpy as np

from chromacc_data.compiled import compiled
from chromacc_models.kmer_kernels import kernels
from chromacc_models.kmer_kernels.scan import FrontEnd, activated
from chromacc_models.kmer_kernels.vectors import (
    Scan,
    advance,
    constants,
    last,
    load,
    prime,
    splat,
    store,
    where,
)

__all__ = ["RunMaxima"]


class RunMaxima:
    """Maximum pooling of a network's filters over runs of places next to each other.

    Parameters
    ----------
    front_end
        Scan and activation; pooling and window length are not looked at.
    kernel, bias
        Weights of the filters, as :meth:`FrontEnd.forward` takes them.
    """

    def __init__(self, front_end: FrontEnd, kernel: np.ndarray, bias: np.ndarray | None = None) -> None:
        self._front_end = front_end
        self._layout, self._tables = front_end.tables(kernel, bias)

    def __call__(self, codes: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Highest activation of each run, on either strand; for calls from several threads.

        Parameters
        ----------
        codes
            Base codes of a sequence, (position,) uint8; N is 4.
        ends
            Place after each run, (run,) int64; the first one begins at 0.

        Returns
        -------
        (run, filter) float32; of a run without a place, the activation of minus infinity.
        """
        layout, front_end = self._layout, self._front_end
        n_places = int(ends[-1])
        stream = np.empty((1, n_places + (layout.n_blocks - 1) * layout.step), layout.stream_dtype)
        kernels.table_rows(
            front_end.letters(codes[np.newaxis]),
            layout.n_letters,
            *(layout.digits, layout.row_of_word, layout.spacing, layout.row_units),
            stream,
        )
        highest = np.empty((len(ends), layout.n_padded), np.float32)
        for tile, table in zip(layout.tiles, self._tables, strict=True):
            _run_maxima(tile.scan, table, stream, ends, highest, tile.column)
        n = front_end.n_filters
        best = highest[:, :n]
        if front_end.n_strands == 2:
            np.maximum(best, highest[:, n : 2 * n], out=best)
        return activated(front_end.activation, best)


@compiled
def _run_maxima(
    scan: Scan, table: np.ndarray, stream: np.ndarray, ends: np.ndarray, highest: np.ndarray, column: int
) -> None:
    """Highest scan of each run of places: highest (run, column) float32."""
    _, n_blocks, step = constants(scan)
    for phase in range(step):
        sums = prime(scan, table, stream, phase)
        at = phase + (n_blocks - 1) * step
        place = phase
        for run in range(ends.size):
            best = splat(scan, -np.inf)
            if phase > 0:
                best = load(scan, highest, run * highest.shape[1] + column)
            while place < ends[run]:
                sums = advance(scan, sums, table, stream, at)
                best = where(last(sums) > best, last(sums), best)
                at += step
                place += step
            store(highest, run * highest.shape[1] + column, best)
