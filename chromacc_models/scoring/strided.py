"""Logits of windows at every stride of a long sequence, each base scanned once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from chromacc_models.kmer_kernels.runs import RunMaxima
from chromacc_models.kmer_kernels.scan import FrontEnd
from chromacc_models.kmer_kernels.workers import in_parallel, one_blas_thread
from chromacc_models.scoring.scorer import Scorer

__all__ = ["StridedScorer"]

#: Windows pooled at a time: what is known of them stays in the second-level cache.
_BATCH = 256
#: One type for what joins pooled values of places next to each other.
_Join = Callable[[np.ndarray, np.ndarray], np.ndarray]


class StridedScorer:
    """Logits of windows that begin at every `stride` of a sequence: those that the scorer gives for each.

    Windows share what they pool over. So places are pooled in blocks of `stride`, and a window is put
    together from whole blocks and the first places of one more: maxima of maxima, sums of sums. Windows that
    share no block, or that the network pads, are computed one by one.

    Parameters
    ----------
    scorer
        The network.
    stride
        Bases from one window to the next.

    Examples
    --------
    >>> from chromacc_models.scoring.scorer import Head
    >>> front_end = FrontEnd(window_length=4, n_filters=1, width=2, pooling="max")
    >>> kernel = np.zeros((2, 4, 1), np.float32)
    >>> kernel[0, 1] = kernel[1, 2] = 1  # CG
    >>> head = Head(np.zeros(1), np.ones((1, 1)), np.zeros((1, 1, 0)))
    >>> scorer = Scorer(4, slice(0, 4), (0, 0), front_end, kernel, np.zeros(1, np.float32), head)
    >>> codes = np.array([0, 1, 2, 3, 0, 0, 1, 0], np.uint8)  # ACGTAACA
    >>> StridedScorer(scorer, 2).logits(codes).ravel().tolist()
    [2.0, 0.0, 1.0]
    """

    def __init__(self, scorer: Scorer, stride: int) -> None:
        if stride < 1:
            raise ValueError(f"a stride of {stride}; it must be at least 1")
        self.scorer, self.stride = scorer, stride
        # Whole blocks in a window, and places of the block after them.
        self._n_whole, n_first = divmod(scorer.front_end.n_places, stride)
        self._share_blocks = self._n_whole > 0 and not any(scorer.padding)
        if self._share_blocks:
            kind = _Maxima if scorer.front_end.pooling == "max" else _Sums
            self._blocks = kind(scorer, stride, n_first)

    def logits(self, codes: np.ndarray) -> np.ndarray:
        """Logits of the windows that fit a sequence.

        Parameters
        ----------
        codes
            Base codes (position,), uint8; N is 4.

        Returns
        -------
        (window, cell_type) float32: of windows at 0, `stride`, 2 `stride`, …
        """
        length, stride = self.scorer.window_length, self.stride
        n_windows = max(0, (len(codes) - length) // stride + 1)
        out = np.empty((n_windows, self.scorer.n_cell_types), np.float32)

        def work(first: int) -> None:
            stop = min(first + _BATCH, n_windows)
            part = codes[first * stride : (stop - 1) * stride + length]
            if self._share_blocks:
                out[first:stop] = self._of_blocks(part[self.scorer.scanned.start :], stop - first)
            else:
                out[first:stop] = self.scorer.logits(_every(part, stride, length, stop - first))

        tasks = [partial(work, first) for first in range(0, n_windows, _BATCH)]
        with one_blas_thread:
            if self._share_blocks and isinstance(self._blocks, _Maxima):
                in_parallel(*tasks)
            else:  # each runs in parallel itself
                for task in tasks:
                    task()
        return out

    def _of_blocks(self, codes: np.ndarray, n_windows: int) -> np.ndarray:
        """Logits of windows whose scanned parts begin at 0, `stride`, …"""
        blocks, n_whole = self._blocks, self._n_whole
        first, rest = blocks.pool(codes, n_windows + n_whole)
        whole = rest if first is None else blocks.join(first[:-1], rest)
        pooled = _join_runs(whole, n_whole, blocks.join)
        if first is not None:
            pooled = blocks.join(pooled, first[n_whole:])
        return self.scorer.head.logits(blocks.scaled(pooled))


class _Maxima:
    """Maximum pooling of the first `n_first` places of each block, and of the rest of it."""

    join: _Join = staticmethod(np.maximum)

    def __init__(self, scorer: Scorer, stride: int, n_first: int) -> None:
        self._stride, self._n_first, self._scale = stride, n_first, np.float32(scorer.front_end.scale)
        self._maxima = RunMaxima(scorer.front_end, scorer.kernel, scorer.filter_bias)

    def pool(self, codes: np.ndarray, n_blocks: int) -> tuple[np.ndarray | None, np.ndarray]:
        """Of the first places, (block, filter) or None, and of the rest, of all blocks but the last."""
        begins = np.arange(n_blocks) * self._stride
        if not self._n_first:
            return None, self._maxima(codes, begins[1:])
        ends = np.stack([begins, begins + self._n_first], axis=1).ravel()[1:]
        highest = self._maxima(codes, ends)
        return highest[::2], highest[1::2]

    def scaled(self, joined: np.ndarray) -> np.ndarray:
        """Pooled values of windows, (window, filter) float32."""
        return joined * self._scale


class _Sums:
    """The same for average and log-sum-exp pooling: sums, and logarithms of sums, in float64."""

    def __init__(self, scorer: Scorer, stride: int, n_first: int) -> None:
        self._scorer, self._stride, self._n_first = scorer, stride, n_first
        self._first = _on_places(scorer.front_end, n_first) if n_first else None
        self._rest = _on_places(scorer.front_end, stride - n_first)
        self._is_log = scorer.front_end.pooling == "logsumexp"
        self.join: _Join = np.logaddexp if self._is_log else np.add

    def pool(self, codes: np.ndarray, n_blocks: int) -> tuple[np.ndarray | None, np.ndarray]:
        """As that of :class:`_Maxima`."""
        first = None if self._first is None else self._summed(self._first, codes, n_blocks)
        return first, self._summed(self._rest, codes[self._n_first :], n_blocks - 1)

    def scaled(self, joined: np.ndarray) -> np.ndarray:
        """As that of :class:`_Maxima`."""
        front_end = self._scorer.front_end
        n_pooled = front_end.n_places * front_end.n_strands
        mean = joined - np.log(n_pooled) if self._is_log else joined / n_pooled
        return (mean * front_end.scale).astype(np.float32)

    def _summed(self, places: FrontEnd, codes: np.ndarray, n: int) -> np.ndarray:
        runs = _every(codes, self._stride, places.window_length, n)
        means = places.forward(runs, self._scorer.kernel, self._scorer.filter_bias).values
        n_pooled = places.n_places * places.n_strands
        return means + np.log(n_pooled) if self._is_log else means.astype(np.float64) * n_pooled


def _on_places(front_end: FrontEnd, n_places: int) -> FrontEnd:
    """A front end on `n_places` only, unscaled."""
    length = front_end.window_length - front_end.n_places + n_places
    return replace(front_end, window_length=length, scale=1.0)


def _every(codes: np.ndarray, stride: int, length: int, n: int) -> np.ndarray:
    """`n` stretches of a length, one at every `stride`: (stretch, position)."""
    windows = np.lib.stride_tricks.sliding_window_view(codes, length)
    return np.ascontiguousarray(windows[: (n - 1) * stride + 1 : stride])


def _join_runs(blocks: np.ndarray, n: int, join: _Join) -> np.ndarray:
    """Each `n` blocks next to each other joined, by runs of 1, 2, 4, … blocks: log2(n) steps."""
    n_runs = len(blocks) - n + 1
    joined, at, size = None, 0, 1
    while True:
        if n & size:
            here = blocks[at : at + n_runs]
            joined = here if joined is None else join(joined, here)
            at += size
        if 2 * size > n:
            return joined
        blocks = join(blocks[:-size], blocks[size:])
        size *= 2
