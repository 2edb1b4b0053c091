"""numba kernels that share out what filters add to logits among the bases under their places.

A place's value is split over the bases that it covers in proportion to their weights, minus those of the
worst base there: all parts of a place have one sign. With blocks of bases, a base's weight is what its block
weighs minus what it would weigh with the worst base in its place.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chromacc_data.compiled import compiled
from chromacc_models.kmer_kernels.changes import EXPONENTIAL, RELU
from chromacc_models.kmer_kernels.mutate import LOG_SUM_EXP, MAXIMUM

__all__ = ["Grid", "place_values", "share_among_bases", "share_place", "values_of_places"]

_N_BASES = 4


class Grid(NamedTuple):
    """How the places of a filter lie over what is scanned.

    Parameters
    ----------
    n_places
        Places of a filter on one strand.
    n_taps, spacing, block_length
        Taps of a filter, bases from one to the next, and bases that a tap reads.
    begin, end
        Positions scanned that belong to the window; the others are padding.
    """

    n_places: int
    n_taps: int
    spacing: int
    block_length: int
    begin: int
    end: int


@compiled
def share_place(
    weights: np.ndarray, letters: np.ndarray, place: int, grid: Grid, shares: np.ndarray
) -> float:
    """Weights of the bases under a place, minus those of the worst base at each.

    Parameters
    ----------
    weights
        Of one filter, (tap, letter) float32.
    letters
        What taps read at each position, (position,); unknown blocks have the highest number.
    place
        Where.
    grid
        How places lie.
    shares
        Filled: (tap * block_length, base) float32, for each base that could be there; 0 where a block
        holds an N.

    Returns
    -------
    float
        Their sum over the bases that are there.
    """
    total = 0.0
    n_letters = weights.shape[1]
    row = 0
    for tap in range(grid.n_taps):
        letter = np.int64(letters[place + tap * grid.spacing])
        radix = n_letters // _N_BASES
        for _ in range(grid.block_length):
            if letter >= n_letters:
                for base in range(_N_BASES):
                    shares[row, base] = 0
            else:
                here = letter // radix % _N_BASES
                stem = letter - here * radix
                lowest = weights[tap, stem]
                for base in range(1, _N_BASES):
                    lowest = min(lowest, weights[tap, stem + base * radix])
                for base in range(_N_BASES):
                    shares[row, base] = weights[tap, stem + base * radix] - lowest
                total += shares[row, here]
            radix //= _N_BASES
            row += 1
    return total


@compiled
def place_values(
    weights: np.ndarray,
    bias: float,
    letters: np.ndarray,
    grid: Grid,
    activation: int,
    pooling: int,
    values: np.ndarray,
) -> None:
    """What each place of a filter adds to its value, where places are summed.

    Parameters
    ----------
    weights
        (strand, tap, letter) float32.
    bias
        The filter's.
    letters, grid
        As in :func:`share_place`.
    activation, pooling
        Numbers of :mod:`chromacc_models.kmer_kernels.changes`.
    values
        Filled: (strand, place) float32; average pooling: activations over the number of places; log-sum-exp:
        shares of the sum of exponentials.
    """
    n_letters = weights.shape[2]
    highest = -np.inf
    for strand in range(values.shape[0]):
        for place in range(grid.n_places):
            scan = bias
            for tap in range(grid.n_taps):
                letter = letters[place + tap * grid.spacing]
                if letter < n_letters:
                    scan += weights[strand, tap, letter]
            if activation == RELU:
                scan = max(scan, 0.0)
            elif activation == EXPONENTIAL:
                scan = np.exp(scan)
            values[strand, place] = scan
            highest = max(highest, scan)
    total = 0.0
    if pooling == LOG_SUM_EXP:
        for strand in range(values.shape[0]):
            for place in range(grid.n_places):
                values[strand, place] = np.exp(values[strand, place] - highest)
                total += values[strand, place]
    else:
        total = float(values.size)
    for strand in range(values.shape[0]):
        for place in range(grid.n_places):
            values[strand, place] /= total


@compiled
def share_among_bases(
    weights: np.ndarray,
    biases: np.ndarray,
    letters: np.ndarray,
    grid: Grid,
    kinds: tuple[int, int],
    winners: np.ndarray,
    parts: np.ndarray,
    out: np.ndarray,
) -> None:
    """Share out what filters add to the logits of windows among positions, or bases that could be there.

    Parameters
    ----------
    weights, biases
        (strand, filter, tap, letter) and (filter,) float32.
    letters
        (window, position).
    grid
        How places lie.
    kinds
        Activation and pooling.
    winners
        Places of the maxima, (window, filter) int32, the reverse strand's after those of the forward one;
        not read where places are summed.
    parts
        What a filter adds to each logit, (window, filter, cell_type) float32; where places are averaged, per
        unit of the average.
    out
        Added to: (window, position, 1, cell_type) float32 for the bases that are there, or (window, position,
        4, cell_type) for all that could be.
    """
    activation, pooling = kinds
    n_rows = grid.n_taps * grid.block_length
    n_positions, n_kept = letters.shape[1], out.shape[2]
    shares = np.empty((n_rows, _N_BASES), np.float32)
    by_position = np.zeros((n_positions, n_kept), np.float32)
    values = np.empty((weights.shape[0], grid.n_places), np.float32)
    for window in range(len(letters)):
        for filter_ in range(weights.shape[1]):
            largest = 0.0
            for cell_type in range(parts.shape[2]):
                largest = max(largest, abs(parts[window, filter_, cell_type]))
            if largest == 0:
                continue
            if pooling == MAXIMUM:
                strand, place = divmod(winners[window, filter_], grid.n_places)
                begin, end = place, place + (grid.n_taps - 1) * grid.spacing + grid.block_length
                if _add_place(
                    weights[strand, filter_], letters[window], place, grid, 1.0, shares, by_position
                ):
                    begin, end = 0, n_positions
            else:
                begin, end = 0, n_positions
                place_values(
                    weights[:, filter_], biases[filter_], letters[window], grid, activation, pooling, values
                )
                for strand in range(weights.shape[0]):
                    for place in range(grid.n_places):
                        value = values[strand, place]
                        if value != 0:
                            _add_place(
                                weights[strand, filter_],
                                letters[window],
                                place,
                                grid,
                                value,
                                shares,
                                by_position,
                            )
            for position in range(begin, end):
                for base in range(n_kept):
                    share = by_position[position, base]
                    if share != 0:
                        by_position[position, base] = 0
                        for cell_type in range(parts.shape[2]):
                            out[window, position, base, cell_type] += (
                                share * parts[window, filter_, cell_type]
                            )


@compiled
def _add_place(
    weights: np.ndarray,
    letters: np.ndarray,
    place: int,
    grid: Grid,
    value: float,
    shares: np.ndarray,
    by_position: np.ndarray,
) -> bool:
    """Add a place's value, split among the bases under it; tells whether it was spread over the window."""
    total = share_place(weights, letters, place, grid, shares)
    n_letters, n_kept = weights.shape[1], by_position.shape[1]
    n_known = 0
    if total <= 0:  # all bases are the worst ones, or unknown
        for tap in range(grid.n_taps):
            n_known += (letters[place + tap * grid.spacing] < n_letters) * grid.block_length
        if n_known == 0:
            if n_kept == 1:
                for position in range(grid.begin, grid.end):
                    by_position[position, 0] += value / (grid.end - grid.begin)
            return True
    row = 0
    for tap in range(grid.n_taps):
        letter = np.int64(letters[place + tap * grid.spacing])
        radix = n_letters // _N_BASES
        for offset in range(grid.block_length):
            position = place + tap * grid.spacing + offset
            here = letter // radix % _N_BASES
            if letter < n_letters:
                if total <= 0:
                    by_position[position, here if n_kept > 1 else 0] += value / n_known
                elif n_kept == 1:
                    by_position[position, 0] += value * shares[row, here] / total
                else:
                    for base in range(_N_BASES):
                        by_position[position, base] += value * shares[row, base] / total
            radix //= _N_BASES
            row += 1
    return False


@compiled
def values_of_places(
    weights: np.ndarray,
    biases: np.ndarray,
    letters: np.ndarray,
    grid: Grid,
    kinds: tuple[int, int],
    values: np.ndarray,
) -> None:
    """:func:`place_values` of each filter in each window; fills (window, filter, strand, place) float32."""
    activation, pooling = kinds
    for window in range(len(letters)):
        for filter_ in range(weights.shape[1]):
            place_values(
                weights[:, filter_],
                biases[filter_],
                letters[window],
                grid,
                activation,
                pooling,
                values[window, filter_],
            )
