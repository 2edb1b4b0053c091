"""Pooled values of windows with either allele of a variant, and what differs: exact, for all cell types."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from chromacc_data.sequences.genome import Genome
from chromacc_models.kmer_kernels.compare import HeadColumns, TopFilters, compare_alleles
from chromacc_models.kmer_kernels.scan import FrontEnd
from chromacc_models.kmer_kernels.stretches import Stretches, StretchMaxima
from chromacc_models.kmer_kernels.workers import in_parallel, n_threads, runs_of
from chromacc_models.scoring.scorer import Scorer

__all__ = ["AlleleEffects", "AlleleScorer"]

#: Windows computed at a time: bounds memory. Results do not depend on it.
_BATCH = 2048
#: A stretch of overlapping windows is restarted after this many bases, so that its scans fit the CPU cache.
_LONGEST = 2048
_PIECE = 64  # bases read at a time


class AlleleEffects(NamedTuple):
    """What alternative alleles change.

    Parameters
    ----------
    logit_ref, delta
        Logits of the reference alleles, and what the others add to them, (allele, cell_type) float32.
    top
        The logit and the filter that change most.
    """

    logit_ref: np.ndarray
    delta: np.ndarray
    top: TopFilters


class _Part(NamedTuple):
    """Places of a window, by what they read of the scanned codes."""

    front_end: FrontEnd
    codes: slice


class AlleleScorer:
    """Logits of windows with two alleles.

    Parameters
    ----------
    scorer
        The network.
    """

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def of_windows(self, ref: np.ndarray, alt: np.ndarray) -> AlleleEffects:
        """Effects of alleles of any length, by both windows: base codes (allele, position) uint8 each."""
        return self._in_batches(len(ref), lambda rows: (self._pool(ref[rows]), self._pool(alt[rows])))

    def of_middle(self, ref: np.ndarray, alt: np.ndarray) -> AlleleEffects:
        """Effects of a base in the middle of windows: base codes (allele, position), and (allele,), uint8.

        Places that do not cover the base are scanned once.
        """
        return self._in_batches(len(ref), lambda rows: self._pool_middle(ref[rows], alt[rows]))

    def of_bases(
        self, genome: Genome, chrom: np.ndarray, position: np.ndarray, alt: np.ndarray
    ) -> AlleleEffects:
        """Effects of single bases of a genome, each in the middle of its window.

        Parameters
        ----------
        genome, chrom, position
            The bases: codes of chromosomes and positions, (allele,) int64, in any order; those close to each
            other share scans.
        alt
            Base codes of the alternative alleles, (allele,) uint8.
        """
        length = self.scorer.window_length
        if self._maxima is None:
            return self.of_middle(genome.windows(chrom, position - length // 2, length), alt)
        order = np.lexsort((position, chrom))
        starts = position[order] - length // 2 + self.scorer.scan_offset
        stretches = _stretches(genome, chrom[order], starts, self.scorer.front_end)
        pooled = [self._activated(scans) for scans in self._maxima.scans(stretches, alt[order])]
        if (order[1:] > order[:-1]).all():
            return self.compare(*pooled)
        back = np.argsort(order)
        return self.compare(*(values[back] for values in pooled))

    def compare(self, ref: np.ndarray, alt: np.ndarray) -> AlleleEffects:
        """Effects by pooled values (allele, filter), float32."""
        n, n_cell_types = len(ref), self.scorer.n_cell_types
        logit_ref, delta = (np.empty((n, n_cell_types), np.float32) for _ in range(2))
        top = TopFilters(
            *(np.empty(n, kind) for kind in (np.int64, np.int64, np.int8, np.float32, np.float32))
        )

        def work(run: slice) -> None:
            tops = TopFilters(*(column[run] for column in top))
            compare_alleles(ref[run], alt[run], self._head, logit_ref[run], delta[run], tops)

        in_parallel(*(partial(work, run) for run in runs_of(n, n_threads())))
        return AlleleEffects(logit_ref, delta, top)

    def _in_batches(self, n: int, pool: object) -> AlleleEffects:
        parts = [self.compare(*pool(slice(first, first + _BATCH))) for first in range(0, max(n, 1), _BATCH)]
        logits, deltas, tops = zip(*parts, strict=True)
        top = TopFilters(*(np.concatenate(columns) for columns in zip(*tops, strict=True)))
        return AlleleEffects(np.concatenate(logits), np.concatenate(deltas), top)

    def _pool(self, codes: np.ndarray) -> np.ndarray:
        return self.scorer.pool(codes)

    def _pool_middle(self, ref: np.ndarray, alt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        outside, inside = self._parts
        scanned = self.scorer.scan_codes(ref)
        around = [self._pool_part(part, scanned) for part in outside]
        if inside is None:
            pooled = self._join(outside, around)
            return pooled, pooled
        with_ref = self._pool_part(inside, scanned)
        scanned[:, self._middle] = alt
        with_alt = self._pool_part(inside, scanned)
        parts = [*outside, inside]
        return self._join(parts, [*around, with_ref]), self._join(parts, [*around, with_alt])

    def _pool_part(self, part: _Part, scanned: np.ndarray) -> np.ndarray:
        codes = np.ascontiguousarray(scanned[:, part.codes])
        return part.front_end.forward(codes, self.scorer.kernel, self.scorer.filter_bias).values

    def _join(self, parts: list[_Part], values: list[np.ndarray]) -> np.ndarray:
        """Pooled values of all places from those of parts of them, (window, filter) float32."""
        front_end = self.scorer.front_end
        if len(parts) == 1:
            return values[0]
        if front_end.pooling == "max":
            return (np.maximum if front_end.scale > 0 else np.minimum).reduce(values)
        shares = [part.front_end.n_places / front_end.n_places for part in parts]
        if front_end.pooling == "average":
            total = sum(share * value.astype(np.float64) for share, value in zip(shares, values, strict=True))
            return total.astype(np.float32)
        logs = [
            np.log(share) + value.astype(np.float64) / front_end.scale
            for share, value in zip(shares, values, strict=True)
        ]
        return (np.logaddexp.reduce(logs) * front_end.scale).astype(np.float32)

    def _activated(self, highest: np.ndarray) -> np.ndarray:
        """Pooled values of the highest scans, in their place."""
        front_end = self.scorer.front_end
        if front_end.activation == "relu":
            np.maximum(highest, 0, out=highest)
        elif front_end.activation == "exponential":
            np.exp(highest, out=highest)
        if front_end.scale != 1:
            highest *= np.float32(front_end.scale)
        if len(self._diverged):
            highest[:, self._diverged] = np.nan
        return highest

    @cached_property
    def _diverged(self) -> np.ndarray:
        """Filters that are not finite: comparisons would lose their NaN."""
        return np.flatnonzero(~np.isfinite(self.scorer.kernel.sum(axis=(0, 1)) + self.scorer.filter_bias))

    @cached_property
    def _maxima(self) -> StretchMaxima | None:
        """What scans windows that overlap once; None where they cannot share scans."""
        scorer = self.scorer
        if scorer.front_end.pooling != "max" or any(scorer.padding) or self._parts[1] is None:
            return None
        return StretchMaxima(scorer.front_end, scorer.kernel, scorer.filter_bias, self._middle)

    @property
    def _middle(self) -> int:
        """The middle base of a window, in what is scanned."""
        return self.scorer.window_length // 2 - self.scorer.scan_offset

    @cached_property
    def _parts(self) -> tuple[list[_Part], _Part | None]:
        """Places that do not cover the middle base, and those that do, if there are any."""
        front_end = self.scorer.front_end
        n_places = front_end.n_places
        covered = front_end.window_length - n_places + 1
        first, last = (min(max(at, 0), n_places) for at in (self._middle - covered + 1, self._middle + 1))
        begin, end = self.scorer.padding[0], front_end.window_length - self.scorer.padding[1]
        if first >= last or not begin <= self._middle < end:
            return [_Part(front_end, slice(None))], None

        def part(begin: int, end: int) -> _Part:
            codes = slice(begin, end + covered - 1)
            return _Part(replace(front_end, window_length=codes.stop - codes.start), codes)

        outside = [part(*places) for places in ((0, first), (last, n_places)) if places[0] < places[1]]
        return outside, part(first, last)

    @cached_property
    def _head(self) -> HeadColumns:
        head = self.scorer.head
        vectors = head.vectors.astype(np.float64)
        lengths = np.square(vectors).sum(axis=-1)
        flat = [head.weights, vectors.reshape(len(vectors), -1)]
        columns = np.concatenate([*flat, lengths] if vectors.shape[2] else flat, axis=1)
        return HeadColumns(
            head.bias.astype(np.float64),
            np.ascontiguousarray(columns, np.float64),
            np.ascontiguousarray(head.weights.T, np.float64),
            np.ascontiguousarray(lengths.T),
            np.ascontiguousarray(np.transpose(vectors, (1, 2, 0))),
        )


def _stretches(genome: Genome, chrom: np.ndarray, start: np.ndarray, front_end: FrontEnd) -> Stretches:
    """Stretches of a genome under windows in order: what the filters scan of each begins at `start`."""
    length, n = front_end.window_length, len(start)
    is_apart = np.ones(n, bool)
    is_apart[1:] = (np.diff(chrom) != 0) | (np.diff(start) >= front_end.n_places)
    group_start = start[np.maximum.accumulate(np.where(is_apart, np.arange(n), 0))]
    number = (start - group_start) // _LONGEST
    is_first = is_apart.copy()
    is_first[1:] |= np.diff(number) != 0
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], n) - 1
    sizes = start[last] - start[first] + length
    pieces = -(-sizes // _PIECE)
    begins = np.append(0, np.cumsum(pieces)[:-1]) * _PIECE
    which = np.repeat(np.arange(len(first)), pieces)
    offsets = np.arange(len(which)) * _PIECE - begins[which]
    codes = genome.windows(chrom[first][which], start[first][which] + offsets, _PIECE).ravel()
    stretch = np.cumsum(is_first) - 1
    window = begins[stretch] + start - start[first][stretch]
    return Stretches(codes, begins, begins + sizes, np.append(first, n), window)
