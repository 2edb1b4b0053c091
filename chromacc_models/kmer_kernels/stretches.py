"""Maxima over the windows of many single bases, with each base as it is and as another one.

Windows that overlap share their scans: stretches of a genome are scanned once, each place of a filter in them
as in any window that it belongs to. A window's maximum is then that of runs of places, and of the few places
that cover its middle base; those are scanned again with the other base. The numbers are those of scanning
both windows, bit by bit.
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from chromacc_data.compiled import compiled
from chromacc_models.kmer_kernels import kernels
from chromacc_models.kmer_kernels.layout import TableLayout
from chromacc_models.kmer_kernels.scan import FrontEnd
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
from chromacc_models.kmer_kernels.workers import in_parallel

__all__ = ["StretchMaxima", "Stretches"]

_EACH_PHASE = 4  # places of a phase in a run of places, whose maximum is kept

_kernel = compiled


class Stretches(NamedTuple):
    """Stretches of a genome, end to end, and the windows in them.

    Parameters
    ----------
    codes
        (position,) uint8 base codes of all stretches.
    begins, ends
        (stretch,) int64: where each begins and ends in `codes`.
    first_window
        (stretch + 1,) int64: the windows of a stretch are those from its number on to the next.
    window
        (window,) int64: where each begins in `codes`.
    """

    codes: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    first_window: np.ndarray
    window: np.ndarray


class StretchMaxima:
    """Maxima over the places of windows.

    Parameters
    ----------
    front_end
        Of a window; its pooling is "max".
    kernel, bias
        Weights of the filters, (tap, letter, filter) and (filter,) float32.
    middle
        The base of a window that is replaced.
    """

    def __init__(self, front_end: FrontEnd, kernel: np.ndarray, bias: np.ndarray, middle: int) -> None:
        self._front_end, self._kernel, self._bias, self._middle = front_end, kernel, bias, middle
        n_places = front_end.n_places
        self._covered = front_end.window_length - n_places + 1
        # Places that cover the middle base.
        self._first, self._stop = max(0, middle - self._covered + 1), min(n_places, middle + 1)

    def scans(self, stretches: Stretches, alt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Highest scans of windows as they are, and with another base in the middle.

        Parameters
        ----------
        stretches
            The windows.
        alt
            (window,) uint8: base codes.

        Returns
        -------
        Two arrays (window, filter), float32, before the activation.
        """
        layout, n = self._layout, len(alt)
        stream, others = self._streams(stretches, alt)
        ref_out, alt_out = (np.empty((n, layout.n_padded), np.float32) for _ in range(2))
        n_taken = int((stretches.ends - stretches.begins).max()) - self._covered + 1
        run_length = layout.step * _EACH_PHASE
        at = stretches.window - np.repeat(stretches.begins, np.diff(stretches.first_window))
        outside = (at, at + self._first), (at + self._stop, at + self._front_end.n_places)
        spans = np.stack([_spans(*places, run_length) for places in outside], axis=1)
        n_inside = self._stop - self._first

        def pool(column: int, scan: Scan, table: np.ndarray) -> None:
            scans = np.empty((n_taken, scan.lanes), np.float32)
            runs = np.empty((n_taken // run_length + 1, scan.lanes), np.float32)
            room = scans, runs, ref_out, alt_out
            where_taken = stretches.begins, stretches.ends, stretches.first_window, spans, self._covered
            _pool(scan, table, stream, *where_taken, others, n_inside, column, *room)

        tiles = zip(layout.tiles, self._tables, strict=True)
        in_parallel(*(partial(pool, *tile, table) for tile, table in tiles))
        return self._best_strand(ref_out), self._best_strand(alt_out)

    def _streams(self, stretches: Stretches, alt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows of tables of all stretches, and of the places around other bases."""
        layout, front_end = self._layout, self._front_end
        rows = layout.n_letters, layout.digits, layout.row_of_word, layout.spacing, layout.row_units
        letters = front_end.letters(stretches.codes[None])[0]
        stream = np.empty(len(letters), layout.stream_dtype)
        _rows_of_stretches(letters, stretches.begins, stretches.ends, *rows, stream)
        around = np.arange(self._first, self._stop + self._covered - 1)
        codes = stretches.codes[stretches.window[:, None] + around]
        codes[:, self._middle - self._first] = alt
        n_positions = self._stop - self._first + (layout.n_blocks - 1) * layout.step
        others = np.empty((len(alt), n_positions), layout.stream_dtype)
        kernels.table_rows(front_end.letters(codes), *rows, others)
        return stream, others

    def _best_strand(self, highest: np.ndarray) -> np.ndarray:
        front_end = self._front_end
        used = highest[:, : front_end.n_strands * front_end.n_filters]
        if front_end.n_strands == 1:
            return np.ascontiguousarray(used)
        return np.maximum(used[:, : front_end.n_filters], used[:, front_end.n_filters :])

    @cached_property
    def _layout(self) -> TableLayout:
        front_end = self._front_end
        n_columns = front_end.n_strands * front_end.n_filters
        return TableLayout(front_end.width, front_end.spacing, front_end.n_letters, n_columns)

    @cached_property
    def _tables(self) -> list[np.ndarray]:
        """A table for each tile, (row, block, lane) float32."""
        front_end, layout = self._front_end, self._layout
        weights, bias = np.zeros(layout.weights_shape, np.float32), np.zeros(layout.n_padded, np.float32)
        for strand in range(front_end.n_strands):
            here = slice(strand * front_end.n_filters, (strand + 1) * front_end.n_filters)
            of_strand = front_end.reverse_complement(self._kernel) if strand else self._kernel
            weights[: front_end.width, :-1, here], bias[here] = of_strand, self._bias
        tables = []
        for column, scan in layout.tiles:
            tables.append(np.empty((len(layout.digits), layout.n_blocks, scan.lanes), np.float32))
            kernels.expand(scan, weights, bias, layout.digits, column, tables[-1])
        return tables


@_kernel
def _rows_of_stretches(
    letters: np.ndarray,
    begins: np.ndarray,
    ends: np.ndarray,
    n_letters: int,
    digits: np.ndarray,
    row_of_word: np.ndarray,
    spacing: int,
    unit: int,
    stream: np.ndarray,
) -> None:
    """Rows of tables, (position,), of stretches one by one: an N in one makes only that one slower."""
    for i in range(begins.size):
        here = letters[begins[i] : ends[i]].reshape(1, -1)
        out = stream[begins[i] : ends[i]].reshape(1, -1)
        kernels.table_rows(here, n_letters, digits, row_of_word, spacing, unit, out)


@_kernel
def _scan_runs(
    scan: Scan, table: np.ndarray, stream: np.ndarray, n_places: int, scans: np.ndarray, runs: np.ndarray
) -> None:
    """Scans of one tile at all places of a stretch, and the maximum of each whole run of them.

    scans (place, lane) and runs (run, lane), float32; a run has `_EACH_PHASE` places of each phase.
    """
    lanes, n_blocks, step = constants(scan)
    n_whole = n_places // (step * _EACH_PHASE)
    for phase in range(min(step, n_places)):
        at = phase
        sums = prime(scan, table, stream, at)
        at += (n_blocks - 1) * step
        to = phase * lanes
        for run in range(n_whole):
            best = splat(scan, -np.inf)
            for _ in range(_EACH_PHASE):
                sums = advance(scan, sums, table, stream, at)
                store(scans, to, last(sums))
                best = where(last(sums) > best, last(sums), best)
                at += step
                to += step * lanes
            if phase:
                before = load(scan, runs, run * lanes)
                best = where(before > best, before, best)
            store(runs, run * lanes, best)
        for _ in range(phase + n_whole * step * _EACH_PHASE, n_places, step):
            sums = advance(scan, sums, table, stream, at)
            store(scans, to, last(sums))
            at += step
            to += step * lanes


@_kernel
def _pool(
    scan: Scan,
    table: np.ndarray,
    stream: np.ndarray,
    begins: np.ndarray,
    ends: np.ndarray,
    first_window: np.ndarray,
    spans: np.ndarray,
    covered: int,
    others: np.ndarray,
    n_inside: int,
    column: int,
    scans: np.ndarray,
    runs: np.ndarray,
    ref_out: np.ndarray,
    alt_out: np.ndarray,
) -> None:
    """Maxima of one tile: ref_out and alt_out (window, column) float32.

    `spans` are those of :func:`_spans`, `covered` the bases of a filter, `others` (window, position) rows of
    tables around other bases, of `n_inside` places. `scans` (place, lane) and `runs` (run, lane) are room
    for a stretch.
    """
    lanes, n_blocks, step = constants(scan)
    run_length = step * _EACH_PHASE
    for i in range(begins.size):
        n_taken = ends[i] - begins[i] - covered + 1
        _scan_runs(scan, table, stream[begins[i] : ends[i]], n_taken, scans, runs)
        for window in range(first_window[i], first_window[i + 1]):
            best = splat(scan, -np.inf)
            for part in range(2):
                for place in range(spans[window, part, 0], spans[window, part, 1]):
                    scanned = load(scan, scans, place * lanes)
                    best = where(scanned > best, scanned, best)
                for run in range(spans[window, part, 1] // run_length, spans[window, part, 2] // run_length):
                    scanned = load(scan, runs, run * lanes)
                    best = where(scanned > best, scanned, best)
                for place in range(spans[window, part, 2], spans[window, part, 3]):
                    scanned = load(scan, scans, place * lanes)
                    best = where(scanned > best, scanned, best)
            with_ref = best
            for place in range(spans[window, 0, 3], spans[window, 1, 0]):
                scanned = load(scan, scans, place * lanes)
                with_ref = where(scanned > with_ref, scanned, with_ref)
            store(ref_out, window * ref_out.shape[1] + column, with_ref)
            for phase in range(min(step, n_inside)):
                at = window * others.shape[1] + phase
                sums = prime(scan, table, others, at)
                at += (n_blocks - 1) * step
                for _ in range(phase, n_inside, step):
                    sums = advance(scan, sums, table, others, at)
                    best = where(last(sums) > best, last(sums), best)
                    at += step
            store(alt_out, window * alt_out.shape[1] + column, best)


def _spans(begin: np.ndarray, end: np.ndarray, run_length: int) -> np.ndarray:
    """Places from `begin` to before `end` as single ones, whole runs, and single ones: (window, 4) int64.

    >>> _spans(np.array([5, 5]), np.array([23, 7]), 8).tolist()
    [[5, 8, 16, 23], [5, 7, 7, 7]]
    """
    first = np.minimum(-(-begin // run_length) * run_length, end)
    second = np.where(first < end, np.maximum(end // run_length * run_length, first), end)
    return np.stack([begin, first, second, end], axis=-1)
