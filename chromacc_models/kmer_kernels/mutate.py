"""numba kernels of what one base changes: the logits, for every substitution of a window.

:mod:`chromacc_models.kmer_kernels.changes` lists by how much pooled values differ; here the head makes logits
of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chromacc_data.compiled import compiled
from chromacc_models.kmer_kernels.changes import (
    ACTIVATIONS,
    ChangeBuffers,
    Filters,
    Places,
    Window,
    max_changes,
    sum_changes,
)
from chromacc_models.kmer_kernels.vectors import Scan, constants, load, splat, store

__all__ = [
    "ACTIVATIONS",
    "POOLINGS",
    "TOGETHER",
    "Filters",
    "HeadWeights",
    "Places",
    "Window",
    "substitution_effects",
]

#: Ways of pooling as numbers.
MAXIMUM, AVERAGE, LOG_SUM_EXP = range(3)

POOLINGS = {"max": MAXIMUM, "average": AVERAGE, "logsumexp": LOG_SUM_EXP}

#: Windows that are taken through one tile of filters after the other.
TOGETHER = 8

_N_BASES = 4
_UNKNOWN = 4

_kernel = compiled


class HeadWeights(NamedTuple):
    """The head, by what a difference of a filter's pooled value is multiplied with.

    Parameters
    ----------
    linear
        (filter, column) float32: weights of all cell types, then their vectors, filled up to whole vectors
        of the processor; then the squared length of each vector, for the difference of squares, filled up
        as well.
    n_linear
        Columns of weights and vectors.
    n_factors
        Length of a vector; 0 in a dense head.
    scale
        Of the pooled values.
    """

    linear: np.ndarray
    n_linear: int
    n_factors: int
    scale: float


@_kernel
def substituted_letters(codes: np.ndarray, block_length: int, out: np.ndarray) -> None:
    """Letter of each block when one of its bases is another: out (position, offset, base) int32.

    codes (position,); the block begins at the position, and the base stands at the offset in it.
    """
    unknown = _N_BASES**block_length
    for position in range(codes.size - block_length + 1):
        for offset in range(block_length):
            for base in range(_N_BASES):
                letter = 0
                for i in range(block_length):
                    code = base if i == offset else codes[position + i]
                    letter = unknown if code == _UNKNOWN or letter == unknown else letter * _N_BASES + code
                out[position, offset, base] = letter


@_kernel
def sum_effects(
    scan: Scan,
    n_changes: int,
    changes: ChangeBuffers,
    pooled: np.ndarray,
    head: HeadWeights,
    order: np.ndarray,
    starts: np.ndarray,
    effects: np.ndarray,
) -> None:
    """What the listed changes of a window do to its logits, by the head.

    With the differences e_k of a factor's sum S_k and q of the sum of squares (thesis, eq. 2.3):
    ``W d + sum_k e_k (S_k + e_k / 2) - q / 2``.

    Parameters
    ----------
    pooled
        (filter,) pooled values, without the scale.
    order, starts
        Room for (change,) int32 and (position + 1,) int64.
    effects
        (position, base, cell_type) float32, filled: differences of logits.
    """
    linear, n_linear, n_factors, _ = head
    position_of, filter_of, differences = changes
    scale = np.float32(head.scale)
    n_positions, _, n_cell_types = effects.shape
    n_columns = linear.shape[1]
    # Changes by position, the filters of each in their order: a counting sort.
    starts[:] = 0
    for change in range(n_changes):
        starts[position_of[change] + 1] += 1
    for i in range(n_positions):
        starts[i + 1] += starts[i]
    for change in range(n_changes):
        to = position_of[change]
        order[starts[to]] = change
        starts[to] += 1
    sums = np.zeros(n_columns, np.float32)
    for i in range(pooled.size):
        add_scaled(scan, sums, 0, linear, i * n_columns, pooled[i] * scale, n_columns)
    moved = np.empty((_N_BASES, n_columns), np.float32)
    begin = 0
    for position in range(n_positions):
        end = starts[position]
        if end == begin:
            effects[position] = 0
            continue
        moved[:] = 0
        for i in range(begin, end):
            change = order[i]
            index = filter_of[change]
            twice = np.float32(2) * pooled[index] * scale
            at = index * n_columns
            for base in range(_N_BASES):
                difference = differences[change, base] * scale
                if difference == 0:
                    continue
                to = base * n_columns
                add_scaled(scan, moved, to, linear, at, difference, n_linear)
                if n_factors:
                    square = difference * (twice + difference)
                    add_scaled(
                        scan, moved, to + n_linear, linear, at + n_linear, square, n_columns - n_linear
                    )
        for base in range(_N_BASES):
            for cell_type in range(n_cell_types):
                effect = moved[base, cell_type]
                if n_factors:
                    effect -= moved[base, n_linear + cell_type] * np.float32(0.5)
                    at = n_cell_types + cell_type * n_factors
                    for factor in range(at, at + n_factors):
                        e = moved[base, factor]
                        effect += e * (sums[factor] + e * np.float32(0.5))
                effects[position, base, cell_type] = effect
        begin = end


@_kernel
def add_scaled(
    scan: Scan, total: np.ndarray, at: int, rows: np.ndarray, begin: int, factor: float, n: int
) -> None:
    """Add a multiple of `n` numbers of `rows`, from `begin` on, to those of `total`, from `at` on."""
    lanes, _, _ = constants(scan)
    scaled = splat(scan, factor)
    for i in range(0, n, lanes):
        store(total, at + i, load(scan, total, at + i) + load(scan, rows, begin + i) * scaled)


@_kernel
def substitution_effects(
    scan: Scan,
    quad: Scan,
    filters: Filters,
    windows: Window,
    places: Places,
    pooling: int,
    head: HeadWeights,
    first: int,
    stop: int,
    effects: np.ndarray,
) -> None:
    """What each substitution does to the logits of windows: effects (window, position, base, cell_type).

    windows holds arrays with a first axis of windows, but for `substituted`, room for :data:`TOGETHER` of
    them; `pooling` is
    :data:`MAXIMUM`, :data:`AVERAGE` or :data:`LOG_SUM_EXP`. Positions before `first` and from `stop` on get
    0.
    """
    n_filters = filters.weights.shape[1]
    room = (stop - first) * n_filters + 1
    n_together = min(TOGETHER, windows.codes.shape[0])
    # Room for all changes that there could be: the system gives memory to what is written only.
    position_of = np.empty((n_together, room), np.int32)
    filter_of = np.empty((n_together, room), np.int32)
    differences = np.empty((n_together, room, _N_BASES), np.float32)
    n_changes = np.empty(n_together, np.int64)
    pooled = np.empty((n_together, n_filters), np.float32)
    order = np.empty(room, np.int32)
    starts = np.empty(places.n_positions + 1, np.int64)
    for begin in range(0, windows.codes.shape[0], TOGETHER):
        n_windows = min(TOGETHER, windows.codes.shape[0] - begin)
        n_changes[:] = 0
        for i in range(n_windows):
            substituted_letters(windows.codes[begin + i], places.block_length, windows.substituted[i])
        for tile in range(filters.tables.shape[1]):
            for i in range(n_windows):
                at = begin + i
                window = Window(
                    windows.codes[at], windows.letters[at], windows.stream[at], windows.substituted[i]
                )
                changes = ChangeBuffers(position_of[i], filter_of[i], differences[i])
                if pooling == MAXIMUM:
                    n_changes[i] = max_changes(
                        scan,
                        quad,
                        filters,
                        window,
                        places,
                        tile,
                        first,
                        stop,
                        pooled[i],
                        changes,
                        n_changes[i],
                    )
                else:
                    n_changes[i] = sum_changes(
                        scan,
                        filters,
                        window,
                        places,
                        tile,
                        pooling == LOG_SUM_EXP,
                        first,
                        stop,
                        pooled[i],
                        changes,
                        n_changes[i],
                    )
        for i in range(n_windows):
            changes = ChangeBuffers(position_of[i], filter_of[i], differences[i])
            sum_effects(scan, n_changes[i], changes, pooled[i], head, order, starts, effects[begin + i])
