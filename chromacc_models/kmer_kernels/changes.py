"""numba kernels that list what one base changes: pooled values, for every substitution of a window.

A substitution touches the few places that cover it. So a window is scanned once, and what changes follows
from the scans by differences of single weights:

- **Maximum pooling.** A filter's value moves where the winning place covers the base, or where some other
  place is within one base's largest gain of it. Maxima of runs of places say which places can matter at
  all; a place's substitutions are then a handful of additions.
- **Sums over places** (average and log-sum-exp pooling). The sum moves by what the covered places add.

What changes is listed by position and filter: by how much the pooled value differs for each base. Positions
are counted in what is scanned.

Everything is exact: up to rounding, the numbers are those of a scan of each mutated window.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chromacc_data.compiled import compiled
from chromacc_models.kmer_kernels.vectors import (
    Scan,
    advance,
    constants,
    lane_bits,
    last,
    load,
    prime,
    splat,
    store,
    where,
)

__all__ = ["ACTIVATIONS", "ChangeBuffers", "Filters", "Places", "Window", "max_changes", "sum_changes"]

#: Activations as numbers, for the kernels.
LINEAR, RELU, EXPONENTIAL = range(3)

ACTIVATIONS = {"linear": LINEAR, "relu": RELU, "exponential": EXPONENTIAL}

_N_BASES = 4
#: A sum of exponentials is recomputed where less than this is left of it.
_CANCELLED = 1 - 1e-8

_kernel = compiled


class Places(NamedTuple):
    """How the places of a filter lie over a window, and what a place reads there.

    Parameters
    ----------
    n_places, n_positions
        Places of a filter on one strand, and bases scanned.
    n_taps, block_length
        Taps of a filter and bases of each; a filter covers `n_taps * block_length` bases, side by side.
    activation
        :data:`LINEAR`, :data:`RELU` or :data:`EXPONENTIAL`.
    """

    n_places: int
    n_positions: int
    n_taps: int
    block_length: int
    activation: int


class Filters(NamedTuple):
    """Filters as the kernels read them.

    Parameters
    ----------
    tables
        (strand, tile, row, block, lane) float32, see :mod:`chromacc_models.kmer_kernels.kernels`.
    weights
        (strand, filter, tap * letter) float32: single weights, with 0 for the unknown letter, the last.
    factors
        Their exponentials.
    lifts
        (strand, filter, tap * letter) float32: by how much one base at most can raise what a tap adds.
    taps
        (strand, filter, tap) int32: the taps, those that one base can raise most first.
    tap_lifts
        (strand, filter, tap) float32: by how much at most, in that order.
    gains
        (column,) float32, filters and what fills their last tile: by how much one base can raise a scan at
        most.
    """

    tables: np.ndarray
    weights: np.ndarray
    factors: np.ndarray
    lifts: np.ndarray
    taps: np.ndarray
    tap_lifts: np.ndarray
    gains: np.ndarray


class Window(NamedTuple):
    """One window as the kernels read it.

    Parameters
    ----------
    codes
        (position,) uint8 base codes of what is scanned.
    letters
        (position,) block that begins there; the bases themselves where blocks are of one base.
    stream
        (position,) rows of the tables.
    substituted
        (position, offset, base) int32: the block that begins there, with another base at an offset in it.
    """

    codes: np.ndarray
    letters: np.ndarray
    stream: np.ndarray
    substituted: np.ndarray


class ChangeBuffers(NamedTuple):
    """Changes of one window, as the kernels list them: a filter, and the substitutions of one position.

    Parameters
    ----------
    position
        (change,) int32, in what is scanned.
    filter
        (change,) int32.
    differences
        (change, base) float32, of the pooled value, after the activation and without the scale; 0 for the
        base that is there.
    """

    position: np.ndarray
    filter: np.ndarray
    differences: np.ndarray


class _Candidates(NamedTuple):
    """Places of one tile that some substitution can make matter.

    Parameters
    ----------
    runs
        Room for (strand * run, lane) float32.
    tops, elsewhere
        (lane,) float32: the highest scan; the highest that is not near the winner, at least the floor.
    found
        (candidate, 3) int32: place, strand, and the lanes for which it matters, as bits.
    """

    runs: np.ndarray
    tops: np.ndarray
    elsewhere: np.ndarray
    found: np.ndarray


@_kernel
def scan_places(scan: Scan, table: np.ndarray, stream: np.ndarray, n_places: int, out: np.ndarray) -> None:
    """Scans of one tile of filters at all places of a window.

    table (row, block, lane) and stream (position,) as in :mod:`chromacc_models.kmer_kernels.kernels`, to out
    (place, lane) float32.
    """
    lanes, n_blocks, step = constants(scan)
    for phase in range(min(step, n_places)):
        at = phase
        sums = prime(scan, table, stream, at)
        at += (n_blocks - 1) * step
        for place in range(phase, n_places, step):
            sums = advance(scan, sums, table, stream, at)
            store(out, place * lanes, last(sums))
            at += step


@_kernel
def _find_candidates(
    scan: Scan,
    scans: np.ndarray,
    n_places: int,
    covered: int,
    gains: np.ndarray,
    column: int,
    floor: float,
    candidates: _Candidates,
) -> int:
    """Places of one tile that some substitution of one base can make matter.

    Places are looked at in runs of as many as a filter covers bases. Near the winner, in its run and the
    adjacent ones, a place matters if it can rise above all that are farther; elsewhere, if it can rise above
    the winner.

    Parameters
    ----------
    scans
        (strand, place, lane) float32.
    covered
        Bases of a filter.
    gains, column
        (filter,) by how much one base can raise a scan at most, and the first filter of the tile.
    floor
        Scans below it count as this.
    candidates
        Filled.

    Returns
    -------
    Candidates found.
    """
    runs, tops, elsewhere, found = candidates
    lanes, _, _ = constants(scan)
    n_strands = scans.shape[0]
    n_runs = (n_places + covered - 1) // covered
    top = splat(scan, -np.inf)
    # The run of the winner as a number in floats, exact far beyond any window.
    winner = splat(scan, 0)
    for strand in range(n_strands):
        for run in range(n_runs):
            best = splat(scan, -np.inf)
            at = (strand * n_places + run * covered) * lanes
            for _ in range(min(covered, n_places - run * covered)):
                scanned = load(scan, scans, at)
                best = where(scanned > best, scanned, best)
                at += lanes
            store(runs, (strand * n_runs + run) * lanes, best)
            better = best > top
            top = where(better, best, top)
            winner = where(better, splat(scan, run), winner)
    one = splat(scan, 1.5)
    lowest = splat(scan, floor)
    other = lowest
    for strand in range(n_strands):
        for run in range(n_runs):
            away = winner - splat(scan, run)
            best = load(scan, runs, (strand * n_runs + run) * lanes)
            other = where(away * away > one, where(best > other, best, other), other)
    store(tops, 0, top)
    store(elsewhere, 0, other)
    above = where(top > lowest, top, lowest)
    gain = load(scan, gains, column)
    # A filter that no base can lift above the floor: nothing of it matters.
    gain = where(top + gain > lowest, gain, splat(scan, -np.inf))
    n_found = 0
    for strand in range(n_strands):
        for run in range(n_runs):
            away = winner - splat(scan, run)
            needed = where(away * away > one, above, other)
            best = load(scan, runs, (strand * n_runs + run) * lanes)
            if not lane_bits(best + gain > needed):
                continue
            at = (strand * n_places + run * covered) * lanes
            for place in range(run * covered, min((run + 1) * covered, n_places)):
                bits = lane_bits(load(scan, scans, at) + gain > needed)
                if bits:
                    found[n_found, 0], found[n_found, 1], found[n_found, 2] = place, strand, bits
                    n_found += 1
                at += lanes
    return n_found


@_kernel
def activated(activation: int, scanned: float) -> float:
    """A scan after the activation."""
    if activation == RELU:
        return max(scanned, np.float32(0))
    if activation == EXPONENTIAL:
        return np.exp(scanned)
    return scanned


@_kernel
def _raise_place(
    quad: Scan,
    scanned: float,
    place: int,
    threshold: float,
    filter_row: int,
    n_taps: int,
    weights: np.ndarray,
    lifts: np.ndarray,
    taps: np.ndarray,
    tap_lifts: np.ndarray,
    letters: np.ndarray,
    substituted: np.ndarray,
    first: int,
    stop: int,
    highest: np.ndarray,
    touched: np.ndarray,
) -> None:
    """Take the scans of one place, with each base substituted, into the highest of each substitution.

    Only taps at which some base lifts the place above the threshold, and positions from `first` to before
    `stop`. Those that are new are added to `touched`, whose first number says how many it holds. The arrays
    of filters lie in one row each; `filter_row` is the number of the filter among those of all strands.
    """
    # Arrays and not tuples of them: this is called for each place that matters, and numba counts a reference
    # for each field of a tuple.
    block_length = substituted.shape[1]
    n_letters = _N_BASES**block_length + 1
    for i in range(filter_row * n_taps, (filter_row + 1) * n_taps):
        if not scanned + tap_lifts[i] > threshold:
            return
        at = (filter_row * n_taps + taps[i]) * n_letters
        block = place + taps[i] * block_length
        here = at + letters[block]
        if not scanned + lifts[here] > threshold:
            continue
        rest = scanned - weights[here]
        for offset in range(block_length):
            position = block + offset
            if not first <= position < stop:
                continue
            to = position * _N_BASES
            if highest[to] == -np.inf:
                touched[0] += 1
                touched[touched[0]] = position
            if block_length == 1:
                found = splat(quad, rest) + load(quad, weights, at)
                before = load(quad, highest, to)
                store(highest, to, where(found > before, found, before))
            else:
                for base in range(_N_BASES):
                    other = rest + weights[at + substituted[block, offset, base]]
                    highest[to + base] = max(highest[to + base], other)


@_kernel
def _fill_maxima(
    quad: Scan,
    activation: int,
    least: float,
    now: float,
    code: int,
    highest: np.ndarray,
    at: int,
    differences: np.ndarray,
    change: int,
) -> bool:
    """Fill in a change of a maximum, by the highest scans of a position's bases; gives whether any differs.

    `least` is what is left without the raised scans, and `code` the base that is there.
    """
    if activation != EXPONENTIAL:
        # All bases at once; `least` is no lower than what the activation leaves.
        raised, bound, zero = load(quad, highest, at), splat(quad, least), splat(quad, 0)
        to = change * _N_BASES
        store(differences, to, where(raised > bound, raised, bound) - splat(quad, now))
        if code < _N_BASES:
            differences[change, code] = 0
        moved = load(quad, differences, to)
        return lane_bits(moved > zero) | lane_bits(zero > moved) != 0
    differs = False
    for base in range(_N_BASES):
        difference = activated(activation, max(least, highest[at + base])) - now
        if base == code:
            difference = np.float32(0)
        differs |= difference != 0
        differences[change, base] = difference
    return differs


@_kernel
def max_changes(
    scan: Scan,
    quad: Scan,
    filters: Filters,
    window: Window,
    places: Places,
    tile: int,
    first: int,
    stop: int,
    pooled: np.ndarray,
    changes: ChangeBuffers,
    n_changes: int,
) -> int:
    """Changes of maxima over the places of a window, by substitutions at positions `first` to before `stop`.

    Parameters
    ----------
    quad
        A scan of four lanes: the bases of a position.
    tile
        The filters to look at. Windows are taken in turn for each tile: what is known of all filters does
        not fit into the caches that a core has for itself.
    pooled
        (filter,) float32, filled for those filters: the values as they are.
    changes, n_changes
        What is listed of this window, and how many those are so far.

    Returns
    -------
    Changes listed now; where no value differs, there is none.
    """
    # Fields of tuples by names of their own: numba counts a reference each time that one is looked up.
    codes, letters, stream, substituted = window
    tables, gains = filters.tables, filters.gains
    n_strands, n_filters = filters.weights.shape[0], filters.weights.shape[1]
    weights, lifts = filters.weights.reshape(-1), filters.lifts.reshape(-1)
    taps, tap_lifts = filters.taps.reshape(-1), filters.tap_lifts.reshape(-1)
    position_of, filter_of, differences = changes
    n_places, n_positions, n_taps, block_length, activation = places
    lanes, _, _ = constants(scan)
    covered = n_taps * block_length
    n_runs = (n_places + covered - 1) // covered
    scans = np.empty((n_strands, n_places, lanes), np.float32)
    runs = np.empty((n_strands * n_runs, lanes), np.float32)
    tops, elsewhere = np.empty(lanes, np.float32), np.empty(lanes, np.float32)
    found = np.empty((n_strands * n_places, 3), np.int32)
    candidates = _Candidates(runs, tops, elsewhere, found)
    highest = np.full(n_positions * _N_BASES, -np.inf, np.float32)
    near_place = np.empty(n_strands * 3 * covered, np.int64)
    near_scan = np.empty(n_strands * 3 * covered, np.float32)
    touched = np.zeros(n_positions + 1, np.int64)
    floor = np.float32(0.0 if activation == RELU else -np.inf)
    nothing = splat(quad, -np.inf)
    for strand in range(n_strands):
        scan_places(scan, tables[strand, tile], stream, n_places, scans[strand])
    n_found = _find_candidates(scan, scans, n_places, covered, gains, tile * lanes, floor, candidates)
    for lane in range(min(lanes, n_filters - tile * lanes)):
        index = tile * lanes + lane
        top, left_over = tops[lane], elsewhere[lane]
        now = activated(activation, top)
        pooled[index] = now
        if not top + gains[index] > floor:
            continue
        above = max(top, floor)
        bit = 1 << lane
        winner = winning_run = 0
        for i in range(n_found):
            if found[i, 2] & bit and scans[found[i, 1], found[i, 0], lane] == top:
                winner, winning_run = found[i, 0], found[i, 0] // covered
                break
        n_near = 0
        touched[0] = 0
        for i in range(n_found):
            if not found[i, 2] & bit:
                continue
            place, strand = found[i, 0], found[i, 1]
            scanned = scans[strand, place, lane]
            threshold = above
            if abs(place // covered - winning_run) <= 1:
                threshold = left_over
                near_place[n_near], near_scan[n_near] = place, scanned
                n_near += 1
            if place < stop and place + covered > first:
                _raise_place(
                    quad,
                    scanned,
                    place,
                    threshold,
                    strand * n_filters + index,
                    n_taps,
                    weights,
                    lifts,
                    taps,
                    tap_lifts,
                    letters,
                    substituted,
                    first,
                    stop,
                    highest,
                    touched,
                )
        # Where the winner is covered, it is replaced by the best of what is not, or of what was raised.
        for position in range(max(winner, first), min(winner + covered, stop)):
            left = left_over
            for i in range(n_near):
                if near_place[i] > position or near_place[i] + covered <= position:
                    left = max(left, near_scan[i])
            to = position * _N_BASES
            position_of[n_changes], filter_of[n_changes] = position, index
            n_changes += _fill_maxima(
                quad, activation, left, now, codes[position], highest, to, differences, n_changes
            )
            store(highest, to, nothing)
        for i in range(1, touched[0] + 1):
            position = touched[i]
            to = position * _N_BASES
            if lane_bits(load(quad, highest, to) > splat(quad, above)):
                position_of[n_changes], filter_of[n_changes] = position, index
                n_changes += _fill_maxima(
                    quad, activation, above, now, codes[position], highest, to, differences, n_changes
                )
            store(highest, to, nothing)
    return n_changes


@_kernel
def _log_sum(
    filters: Filters,
    scans: np.ndarray,
    letters: np.ndarray,
    substituted: np.ndarray,
    places: Places,
    index: int,
    position: int,
    base: int,
) -> float:
    """Logarithm of a filter's sum of exponentials with one base substituted, recomputed in float64.

    Where the place that outweighs all others loses its motif, what is left of the sum cannot be had by
    subtraction.
    """
    n_places, _, n_taps, block_length, activation = places
    covered = n_taps * block_length
    n_strands, _, n_weights = filters.weights.shape
    n_letters = n_weights // n_taps
    values = np.empty((n_strands, n_places))
    for strand in range(n_strands):
        weights = filters.weights[strand, index]
        for place in range(n_places):
            scanned = np.float64(scans[strand, place])
            if place <= position < place + covered:
                tap, offset = divmod(position - place, block_length)
                block, at = position - offset, tap * n_letters
                scanned += weights[at + substituted[block, offset, base]] - weights[at + letters[block]]
            if activation == RELU:
                scanned = max(scanned, 0.0)
            elif activation == EXPONENTIAL:
                scanned = np.exp(scanned)
            values[strand, place] = scanned
    highest = values.max()
    return highest + np.log(np.exp(values - highest).sum())


@_kernel
def sum_changes(
    scan: Scan,
    filters: Filters,
    window: Window,
    places: Places,
    tile: int,
    log_sum_exp: bool,
    first: int,
    stop: int,
    pooled: np.ndarray,
    changes: ChangeBuffers,
    n_changes: int,
) -> int:
    """Changes of averages, or of logarithms of mean exponentials, over the places of a window.

    As :func:`max_changes`. Where a term of the sum is the exponential of a scan, a substitution multiplies
    it.
    """
    codes, letters, stream, substituted = window
    tables, gains = filters.tables, filters.gains
    n_strands, n_filters, n_weights = filters.weights.shape
    weights, factors = filters.weights.reshape(-1), filters.factors.reshape(-1)
    position_of, filter_of, differences = changes
    n_places, n_positions, n_taps, block_length, activation = places
    lanes, _, _ = constants(scan)
    covered = n_taps * block_length
    n_letters = n_weights // n_taps
    n_pooled = n_strands * n_places
    scans = np.empty((n_strands, n_places, lanes), np.float32)
    moved = np.zeros((n_positions, _N_BASES), np.float64)
    multiplies = (activation != EXPONENTIAL) == log_sum_exp
    for strand in range(n_strands):
        scan_places(scan, tables[strand, tile], stream, n_places, scans[strand])
    for lane in range(min(lanes, n_filters - tile * lanes)):
        index = tile * lanes + lane
        shift = np.float32(0)
        if log_sum_exp:
            shift = np.float32(-np.inf)
            for strand in range(n_strands):
                for place in range(n_places):
                    shift = max(shift, activated(activation, scans[strand, place, lane]))
        # Below it a term of the multiplied form is cut by ReLU.
        least = np.exp(-shift) if activation == RELU else np.float32(0)
        total = 0.0
        for strand in range(n_strands):
            row = (strand * n_filters + index) * n_weights
            for place in range(n_places):
                scanned = scans[strand, place, lane]
                term = activated(activation, scanned)
                if log_sum_exp:
                    term = np.exp(term - shift)
                total += term
                if activation == RELU and not scanned + gains[index] > 0:
                    continue
                multiple = np.exp(scanned - shift) if multiplies else np.float32(0)
                for position in range(max(place, first), min(place + covered, stop)):
                    tap, offset = divmod(position - place, block_length)
                    block = position - offset
                    at = row + tap * n_letters
                    here = at + letters[block]
                    for base in range(_N_BASES):
                        to = at + substituted[block, offset, base]
                        if multiplies:
                            new = max(multiple * (factors[to] / factors[here]), least)
                        else:
                            new = activated(activation, scanned + (weights[to] - weights[here]))
                            if log_sum_exp:
                                new = np.exp(new - shift)
                        moved[position, base] += np.float64(new) - np.float64(term)
        pooled[index] = np.log(total / n_pooled) + shift if log_sum_exp else total / n_pooled
        for position in range(first, stop):
            differs = False
            for base in range(_N_BASES):
                difference = moved[position, base]
                moved[position, base] = 0
                if base == codes[position]:
                    difference = 0.0
                differs |= difference != 0
                if not log_sum_exp:
                    differences[n_changes, base] = difference / n_pooled
                elif difference > -_CANCELLED * total:
                    differences[n_changes, base] = np.log1p(difference / total)
                else:
                    after = _log_sum(
                        filters, scans[:, :, lane], letters, substituted, places, index, position, base
                    )
                    differences[n_changes, base] = after - (np.log(total) + shift)
            position_of[n_changes], filter_of[n_changes] = position, index
            n_changes += differs
    return n_changes
