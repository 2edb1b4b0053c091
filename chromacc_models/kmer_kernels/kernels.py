"""numba kernels of a network's front end on base codes: scan, activation and pooling, forward and backward.

A convolution over one-hot DNA is a sum of rows: the base at tap t picks one row of that tap. Rows of a few
taps are added beforehand, into a table per block of taps with a row per k-mer, so that a place of a filter
costs one row per block (see :mod:`chromacc_models.kmer_kernels.scan`). A kernel here does one tile of
filters, the lanes of a vector, over a run of windows; scans, activations and their gradients live in
registers.

Axes are named window, position (of a base), place (of a filter), row (of a table), block, tap, lane (filter
of the tile), column (filter and strand). Places are visited in phases: phase, phase + step, phase + 2 step,
..., as :func:`vectors.advance` needs it. All kernels release the GIL and are kept on disk once compiled.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chromacc_data.compiled import compiled
from chromacc_models.kmer_kernels.vectors import (
    Scan,
    activate,
    add_rows,
    advance,
    any_lane,
    as_float,
    constants,
    derivative,
    exp,
    last,
    load,
    load_bits,
    load_splat,
    matches,
    no_rows,
    popcount,
    prime,
    push,
    splat,
    splat_bits,
    store,
    where,
)

__all__ = [
    "WORD",
    "BasesAt",
    "Scanned",
    "block_letters",
    "dense_gradient",
    "expand",
    "fold",
    "match_words",
    "max_gradient",
    "pool_exponentials",
    "pool_max",
    "pool_sum",
    "relu_gradient",
    "table_rows",
]

#: Places per word of bits.
WORD = 32

_N_BASES = 4
_WINDOWS_AT_ONCE = 32  # their codes stay in the first-level cache while filters take turns

_kernel = compiled


class Scanned(NamedTuple):
    """Windows as one tile of filters scans them.

    Parameters
    ----------
    table
        (row, block, lane) float32.
    stream
        (window, position): rows of the table.
    n_places
        Places of a filter.
    """

    table: np.ndarray
    stream: np.ndarray
    n_places: int


class BasesAt(NamedTuple):
    """Where each base stands, under the taps of a filter.

    Parameters
    ----------
    words
        Those of :func:`match_words`.
    spacing
        Bases from tap to tap.
    """

    words: np.ndarray
    spacing: int


# Sequence: base codes to letters (blocks of bases), to rows of tables, and to bits.


@_kernel
def block_letters(codes: np.ndarray, block_length: int, letters: np.ndarray) -> None:
    """Letter that begins at each position: a block of bases as a number, 4**block_length if none is known.

    codes (window, position) uint8 to letters (window, position).
    """
    unknown = 4**block_length
    n_letters = codes.shape[1] - block_length + 1
    for window in range(codes.shape[0]):
        bases, row = codes[window], letters[window]
        row[:] = 0
        row[n_letters:] = unknown
        for i in range(block_length):
            for position in range(n_letters):
                row[position] = row[position] * 4 + (bases[position + i] & 3)
        for position in range(bases.size):
            if bases[position] > 3:
                row[max(0, position - block_length + 1) : position + 1] = unknown


@_kernel
def table_rows(
    letters: np.ndarray,
    n_letters: int,
    digits: np.ndarray,
    row_of_word: np.ndarray,
    spacing: int,
    unit: int,
    stream: np.ndarray,
) -> None:
    """Where the table row lies of the letters, `spacing` apart, that begin at each position.

    letters (window, position) to stream (window, position), in units of `unit` per row. `digits`
    (row, letter of the group) are the tables' rows and `row_of_word` their inverse, by the number that the
    digits make in base n_letters + 1. Letters past the end are unknown.
    """
    length, n_positions, group = letters.shape[1], stream.shape[1], digits.shape[1]
    n_whole = min(n_positions, max(0, length - (group - 1) * spacing))
    for window in range(letters.shape[0]):
        row, out = letters[window], stream[window]
        known = True
        for position in range(length):
            known &= row[position] < n_letters
        n_done = n_whole if known else 0
        # Rows of known letters come first and in order: arithmetic, in loops that the compiler vectorises.
        done = out[:n_done]
        done[:] = 0
        for i in range(group):
            part = row[i * spacing : i * spacing + n_done]
            for position in range(n_done):
                done[position] = done[position] * n_letters + part[position]
        for position in range(n_done):
            done[position] = done[position] * unit
        for position in range(n_done, n_positions):
            word = 0
            for at in range(position, position + group * spacing, spacing):
                word = word * (n_letters + 1) + (row[at] if at < length else n_letters)
            out[position] = row_of_word[word] * unit


@_kernel
def match_words(codes: np.ndarray, step: int, words: np.ndarray) -> None:
    """Where each base stands, as bits.

    codes (window, position) uint8 to words (window, offset, word, base) int32: bit i of word w tells whether
    codes[offset + (WORD * w + i) * step] is the base.
    """
    _, n_offsets, n_words, _ = words.shape
    width = n_words * WORD + n_offsets
    by_phase = np.full(step * width, _N_BASES, np.uint8)
    for window in range(codes.shape[0]):
        row = codes[window]
        for phase in range(step):
            part = by_phase[phase * width :]
            for i in range((row.size - phase + step - 1) // step):
                part[i] = row[phase + i * step]
        for offset in range(n_offsets):
            start = offset % step * width + offset // step
            found = words[window, offset]
            for word in range(n_words):
                at = start + word * WORD
                found[word, 0] = matches(by_phase, at, 0)
                found[word, 1] = matches(by_phase, at, 1)
                found[word, 2] = matches(by_phase, at, 2)
                found[word, 3] = matches(by_phase, at, 3)


# Weights to tables, and gradients of tables to gradients of weights.


@_kernel
def expand(
    scan: Scan,
    weights: np.ndarray,
    bias: np.ndarray,
    digits: np.ndarray,
    column: int,
    table: np.ndarray,
) -> None:
    """Table of the filters that begin at a column; the bias is in the first block.

    weights (tap, letter, column), with zeros for the unknown letter, and bias (column,) to table
    (row, block, lane).
    """
    lanes, n_blocks, _ = constants(scan)
    _, n_letters, n_columns = weights.shape
    n_rows, group = digits.shape
    for row in range(n_rows):
        total = load(scan, bias, column)
        for block in range(n_blocks):
            for i in range(group):
                at = (block * group + i) * n_letters + digits[row, i]
                total += load(scan, weights, at * n_columns + column)
            store(table, (row * n_blocks + block) * lanes, total)
            total = splat(scan, 0)


@_kernel
def fold(scan: Scan, table: np.ndarray, digits: np.ndarray, column: int, weights: np.ndarray) -> None:
    """Transpose of :func:`expand`: add the gradient of a table to that of the weights."""
    lanes, n_blocks, _ = constants(scan)
    _, n_letters, n_columns = weights.shape
    n_rows, group = digits.shape
    for row in range(n_rows):
        for block in range(n_blocks):
            share = load(scan, table, (row * n_blocks + block) * lanes)
            for i in range(group):
                at = ((block * group + i) * n_letters + digits[row, i]) * n_columns + column
                store(weights, at, load(scan, weights, at) + share)


# Forward.


@_kernel
def pool_sum(
    scan: Scan,
    table: np.ndarray,
    stream: np.ndarray,
    n_places: int,
    pooled: np.ndarray,
    column: int,
) -> None:
    """Sum of the activations of each window: pooled (window, column) float32."""
    _, n_blocks, step = constants(scan)
    for window in range(stream.shape[0]):
        total = splat(scan, 0)
        for phase in range(min(step, n_places)):
            at = window * stream.shape[1] + phase
            sums = prime(scan, table, stream, at)
            at += (n_blocks - 1) * step
            # A sum per phase first: fewer roundings in each.
            part = splat(scan, 0)
            for _ in range(phase, n_places, step):
                sums = advance(scan, sums, table, stream, at)
                part += activate(scan, last(sums))
                at += step
            total += part
        store(pooled, window * pooled.shape[1] + column, total)


@_kernel
def pool_max(
    scan: Scan,
    table: np.ndarray,
    stream: np.ndarray,
    n_places: int,
    highest: np.ndarray,
    places: np.ndarray,
    column: int,
) -> None:
    """Highest scan of each window and its place: highest (window, column) float32, places int32."""
    _, n_blocks, step = constants(scan)
    for window in range(stream.shape[0]):
        best = splat(scan, -np.inf)
        best_place = splat_bits(scan, 0)
        for phase in range(min(step, n_places)):
            at = window * stream.shape[1] + phase
            sums = prime(scan, table, stream, at)
            at += (n_blocks - 1) * step
            for place in range(phase, n_places, step):
                sums = advance(scan, sums, table, stream, at)
                better = last(sums) > best
                best = where(better, last(sums), best)
                best_place = where(better, splat_bits(scan, place), best_place)
                at += step
        store(highest, window * highest.shape[1] + column, best)
        store(places, window * places.shape[1] + column, best_place)


@_kernel
def pool_exponentials(
    scan: Scan,
    table: np.ndarray,
    stream: np.ndarray,
    n_places: int,
    top: np.ndarray,
    pooled: np.ndarray,
    column: int,
) -> None:
    """Sum of exp(activation - top), top and pooled (window, column) float32."""
    _, n_blocks, step = constants(scan)
    for window in range(stream.shape[0]):
        highest = load(scan, top, window * top.shape[1] + column)
        total = splat(scan, 0)
        for phase in range(min(step, n_places)):
            at = window * stream.shape[1] + phase
            sums = prime(scan, table, stream, at)
            at += (n_blocks - 1) * step
            part = splat(scan, 0)
            for _ in range(phase, n_places, step):
                sums = advance(scan, sums, table, stream, at)
                part += exp(activate(scan, last(sums)) - highest)
                at += step
            total += part
        store(pooled, window * pooled.shape[1] + column, total)


# Backward. `gradients` (window, column) is what a place's activation, or its share, is multiplied by.


@_kernel
def relu_gradient(
    scan: Scan,
    scanned: Scanned,
    bases: BasesAt,
    gradients: np.ndarray,
    column: int,
    weights: np.ndarray,
    bias: np.ndarray,
) -> None:
    """Gradient of a sum of ReLUs: at each tap, how often an active place has each base.

    Every active place of a window has the same gradient, so that its weights' gradients are counts: of bits
    of (place is active) and (base is there). Adds to weights (tap, base, column) and bias (column,). Silent
    words are skipped.
    """
    table, stream, n_places = scanned
    words, spacing = bases
    lanes, n_blocks, step = constants(scan)
    _, n_offsets, n_words, _ = words.shape
    offset_size = n_words * _N_BASES
    active = np.empty(step * n_words * lanes, np.int32)
    word_at = np.empty(step * n_words, np.int64)
    none, zero = splat_bits(scan, 0), splat(scan, 0)
    for window in range(stream.shape[0]):
        gradient = load(scan, gradients, window * gradients.shape[1] + column)
        if not any_lane(gradient):
            continue
        n_active = 0
        for phase in range(min(step, n_places)):
            at = window * stream.shape[1] + phase
            sums = prime(scan, table, stream, at)
            at += (n_blocks - 1) * step
            n_left = (n_places - phase + step - 1) // step
            for word in range((n_left + WORD - 1) // WORD):
                bits, bit = none, splat_bits(scan, 1)
                for _ in range(min(WORD, n_left - word * WORD)):
                    sums = advance(scan, sums, table, stream, at)
                    bits |= where(last(sums) > zero, bit, none)
                    bit += bit
                    at += step
                if any_lane(bits):
                    store(active, n_active * lanes, bits)
                    word_at[n_active] = (window * n_offsets + phase) * offset_size + word * _N_BASES
                    n_active += 1
        if n_active == 0:
            continue
        count = none
        for i in range(n_active):
            count += popcount(load_bits(scan, active, i * lanes))
        store(bias, column, load(scan, bias, column) + as_float(count) * gradient)
        for tap in range(weights.shape[0]):
            a, c, g, t = none, none, none, none
            for i in range(n_active):
                at = word_at[i] + tap * spacing * offset_size
                bits = load_bits(scan, active, i * lanes)
                a += popcount(bits & load_splat(scan, words, at))
                c += popcount(bits & load_splat(scan, words, at + 1))
                g += popcount(bits & load_splat(scan, words, at + 2))
                t += popcount(bits & load_splat(scan, words, at + 3))
            at = tap * _N_BASES * weights.shape[2] + column
            for count in (a, c, g, t):
                store(weights, at, load(scan, weights, at) + as_float(count) * gradient)
                at += weights.shape[2]


@_kernel
def dense_gradient(
    scan: Scan,
    scanned: Scanned,
    weighted: bool,
    logs: np.ndarray,
    gradients: np.ndarray,
    column: int,
    out: np.ndarray,
) -> None:
    """Gradient of a table from that of pooled activations; adds to out, of the table's shape.

    Each place has gradient times the activation's derivative, and if `weighted` also times
    exp(activation - logs), its share of a log-sum-exp. logs (window, column) float32. Runs of places
    without a gradient are skipped.
    """
    table, stream, n_places = scanned
    _, n_blocks, step = constants(scan)
    zero, nothing = splat(scan, 0), no_rows(scan)
    for window in range(stream.shape[0]):
        gradient = load(scan, gradients, window * gradients.shape[1] + column)
        if not any_lane(gradient):
            continue
        log = load(scan, logs, window * logs.shape[1] + column)
        for phase in range(min(step, n_places)):
            back = window * stream.shape[1] + phase
            at = back + (n_blocks - 1) * step
            sums = prime(scan, table, stream, back)
            # The k-mer at a place is also the second block of the place before, and so on.
            recent, n_recent = nothing, 0
            for _ in range(phase, n_places, step):
                sums = advance(scan, sums, table, stream, at)
                share = gradient * derivative(scan, last(sums))
                if weighted:
                    share *= exp(activate(scan, last(sums)) - log)
                recent = push(recent, share)
                n_recent = n_blocks if any_lane(share) else n_recent - 1
                if n_recent > 0:
                    add_rows(scan, out, stream, back, recent)
                at += step
                back += step
            while n_recent > 1:
                recent = push(recent, zero)
                add_rows(scan, out, stream, back, recent)
                back += step
                n_recent -= 1


@_kernel
def max_gradient(
    letters: np.ndarray,
    n_letters: int,
    spacing: int,
    places: np.ndarray,
    gradients: np.ndarray,
    first: int,
    stop: int,
    weights: np.ndarray,
) -> None:
    """Gradient of maxima, for columns from `first` to before `stop`: one place per window and column.

    letters (window, position), places and gradients (window, column); adds to weights (column, tap, letter).
    """
    n_windows, n_taps = letters.shape[0], weights.shape[1]
    for start in range(0, n_windows, _WINDOWS_AT_ONCE):
        for column in range(first, stop):
            filter_weights = weights[column]
            for window in range(start, min(n_windows, start + _WINDOWS_AT_ONCE)):
                gradient = gradients[window, column]
                if gradient == 0:
                    continue
                at = places[window, column]
                for tap in range(n_taps):
                    letter = letters[window, at + tap * spacing]
                    if letter < n_letters:
                        filter_weights[tap, letter] += gradient
