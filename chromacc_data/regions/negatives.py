"""Closed windows: outside all peaks and the blacklist, with the GC contents of the open ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from chromacc_data.errors import InputError
from chromacc_data.recipe.recipe import NegativesRecipe
from chromacc_data.regions.composition import SequenceSource, gc_and_n
from chromacc_data.regions.intervals import PairKeys, complement_intervals
from chromacc_data.regions.peaks import Peaks
from chromacc_data.regions.windows import Windows

__all__ = ["closed_windows", "windows_elsewhere"]

_TILINGS = 8  # times that the closed genome is laid out with windows, each time shifted by an eighth of one


def closed_windows(
    windows: Windows,
    peaks: Sequence[Peaks],
    genome: SequenceSource,
    recipe: NegativesRecipe,
    *,
    lengths: Sequence[int],
    blacklist: Peaks | None = None,
    seed: int = 0,
) -> Windows:
    """Windows that are open nowhere, with the GC contents of the open ones.

    Drawn from the genome without the given windows, the blacklist, and the peaks of all cell types extended
    by one window length on each side; no two of them overlap. `recipe.ratio` times as many as there are open
    windows are wanted, and as many in each bin of GC fraction (of the bases that are known). Each part of the
    closed genome is laid out with windows end to end, up to eight times, each time shifted by an eighth of a
    window.

    Every closed window that is wanted and not drawn is counted: ``closed_windows_wanted`` is the sum of
    ``closed_windows``, ``closed_windows_missing`` (no more windows of that GC fraction are free) and
    ``closed_windows_without_gc`` (for open windows that hold no known base, and so have no GC fraction to
    match).

    Parameters
    ----------
    windows
        All windows so far; the open ones are matched.
    peaks
        Of each cell type, on all chromosomes.
    genome
        What reads base codes.
    recipe
        Ratio, width of a bin, and how much N a window may hold.
    lengths
        Of each chromosome, bp.
    blacklist
        Merged blacklist.
    seed
        Same seed and inputs, same windows.

    Returns
    -------
    Windows
        Sorted, labels all zero: join them with :func:`join_windows`.
    """
    length = int(windows.end[0] - windows.start[0])
    n_bins = int(np.ceil(1 / recipe.gc_bin))
    is_open = windows.labels.any(axis=1)
    gc, _ = gc_and_n(genome, windows.chrom[is_open], windows.start[is_open], length)
    known = ~np.isnan(gc)
    wanted = _quota(np.bincount(_gc_bins(gc[known], recipe.gc_bin), minlength=n_bins), recipe.ratio)
    taken = [(windows.chrom, windows.start, windows.end), *_around(peaks, length)]
    runs = _closed_runs([*taken, *_around(_given(blacklist), 0)], lengths, length)
    chrom, start = _draw_matched(genome, runs, wanted, length, recipe, np.random.default_rng([seed, 1]))
    order = np.lexsort((start, chrom))
    chrom, start = chrom[order], start[order]
    n_matched = int(wanted.sum())
    without_gc = round(gc.size * recipe.ratio) - round(int(known.sum()) * recipe.ratio)
    counts = {
        "closed_windows_wanted": n_matched + without_gc,
        "closed_windows": start.size,
        "closed_windows_missing": n_matched - start.size,
        "closed_windows_without_gc": without_gc,
    }
    return Windows(
        chrom,
        start,
        start + length,
        np.zeros(start.size, dtype=np.int8),
        np.zeros((start.size, windows.labels.shape[1]), dtype=np.uint8),
        windows.n_cell_types,
        counts,
    )


def windows_elsewhere(
    n_windows: int,
    peaks: Sequence[Peaks],
    genome: SequenceSource,
    *,
    length: int,
    lengths: Sequence[int],
    blacklist: Peaks | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Random windows without N, outside all peaks extended by one window length and outside the blacklist.

    Each part of the genome that is left is laid out with windows end to end, from a random place; of those,
    random ones are taken. No two of them overlap.

    Parameters
    ----------
    n_windows
        Windows wanted.
    peaks, genome, lengths, blacklist, seed
        As for :func:`closed_windows`; with neither peaks nor blacklist, windows from anywhere.
    length
        bp of each.

    Returns
    -------
    chrom, start
        (window,) int32 and int64, sorted.

    Raises
    ------
    InputError
        If there are not as many.
    """
    generator = np.random.default_rng([seed, 1])
    runs = _closed_runs([*_around(peaks, length), *_around(_given(blacklist), 0)], lengths, length)
    chrom, start = _tiles(runs, generator.integers(length, size=runs.first.size), length)
    known = np.flatnonzero(gc_and_n(genome, chrom, start, length)[1] == 0)
    if known.size < n_windows:
        raise InputError(
            "the genome has too few windows for the background",
            where="simulation.n_windows",
            found=f"{n_windows:,}",
            expected=f"at most {known.size:,}: {length} bp without N, apart from each other and from peaks",
            remedy="fewer or shorter windows, more chromosomes, or a `markov` background",
        )
    taken = np.sort(generator.choice(known, n_windows, replace=False))
    return chrom[taken].astype(np.int32), start[taken]


class _ClosedRuns(NamedTuple):
    """Runs of positions where a closed window may start: chromosome, first one, number of them."""

    chrom: np.ndarray
    first: np.ndarray
    n_starts: np.ndarray


_Intervals = tuple[np.ndarray, np.ndarray, np.ndarray]


def _given(blacklist: Peaks | None) -> list[Peaks]:
    return [] if blacklist is None else [blacklist]


def _around(peaks: Sequence[Peaks], flank: int) -> list[_Intervals]:
    """Chromosome, start and end of all peaks, extended by `flank` on each side."""
    return [(p.chrom, p.start - flank, p.end + flank) for p in peaks]


def _closed_runs(taken: Sequence[_Intervals], lengths: Sequence[int], length: int) -> _ClosedRuns:
    """Where closed windows may start: they lie whole in what the intervals leave."""
    nothing = (np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    chrom, start, end = (np.concatenate(parts) for parts in zip(nothing, *taken, strict=True))
    limit = np.asarray(lengths, dtype=np.int64)[chrom]
    start, end = np.maximum(start, 0), np.minimum(end, limit)
    inside = start < end
    chrom, start, end = complement_intervals(chrom[inside], start[inside], end[inside], lengths=lengths)
    fits = end - start >= length
    return _ClosedRuns(chrom[fits], start[fits], (end - start - length + 1)[fits])


def _draw_matched(
    genome: SequenceSource,
    runs: _ClosedRuns,
    wanted: np.ndarray,
    length: int,
    recipe: NegativesRecipe,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Codes and starts of windows that fill the bins, as far as they can be found; none overlap.

    Each run is laid out with windows end to end from a random place; of those, random ones are taken. High GC
    is rare where nothing is open: what is missing is looked for again with all windows shifted.
    """
    chrom, start = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64)
    missing = wanted.copy()
    place = generator.integers(length, size=runs.first.size)
    for tiling in range(_TILINGS):
        if not missing.any():
            break
        tile_chrom, tile_start = _tiles(runs, (place + tiling * length // _TILINGS) % length, length)
        apart = np.flatnonzero(_apart(tile_chrom, tile_start, chrom, start, length))
        gc, n = gc_and_n(genome, tile_chrom[apart], tile_start[apart], length)
        known = generator.permutation(np.flatnonzero((n <= recipe.max_n) & ~np.isnan(gc)))
        gc_bin = _gc_bins(gc[known], recipe.gc_bin)
        is_taken = _rank_in_bin(gc_bin) < missing[gc_bin]
        missing -= np.bincount(gc_bin[is_taken], minlength=missing.size)
        taken = apart[known[is_taken]]
        chrom, start = np.concatenate([chrom, tile_chrom[taken]]), np.concatenate([start, tile_start[taken]])
    return chrom, start


def _tiles(runs: _ClosedRuns, place: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes and starts of windows laid end to end in each run, from `place` (run,) on."""
    n_tiles = np.maximum(-((place - runs.n_starts) // length), 0)
    run = np.repeat(np.arange(n_tiles.size), n_tiles)
    in_run = np.arange(run.size) - np.repeat(np.cumsum(n_tiles) - n_tiles, n_tiles)
    return runs.chrom[run], runs.first[run] + place[run] + in_run * length


def _apart(
    chrom: np.ndarray, start: np.ndarray, taken_chrom: np.ndarray, taken_start: np.ndarray, length: int
) -> np.ndarray:
    """Whether each window overlaps none of those taken."""
    keys = PairKeys.over(start, taken_start, room=length)
    taken, place = np.sort(keys.of(taken_chrom, taken_start)), keys.of(chrom, start)
    return np.searchsorted(taken, place + length) == np.searchsorted(taken, place - length, side="right")


def _rank_in_bin(gc_bin: np.ndarray) -> np.ndarray:
    """How many windows before each one, in the order drawn, are in its bin."""
    order = np.argsort(gc_bin, kind="stable")
    ordered = gc_bin[order]
    rank = np.empty(gc_bin.size, dtype=np.int64)
    rank[order] = np.arange(gc_bin.size) - np.searchsorted(ordered, ordered)
    return rank


def _quota(n_open: np.ndarray, ratio: float) -> np.ndarray:
    """Closed windows wanted of each bin: ratio times the open ones, by largest remainder, int64."""
    exact = n_open * ratio
    quota = np.floor(exact).astype(np.int64)
    short = round(float(exact.sum())) - int(quota.sum())
    quota[np.argsort(quota - exact, kind="stable")[:short]] += 1
    return quota


def _gc_bins(gc: np.ndarray, width: float) -> np.ndarray:
    """Bin of each GC fraction; the last one takes 1.0 in."""
    return np.minimum((gc / width).astype(np.int64), int(np.ceil(1 / width)) - 1)
