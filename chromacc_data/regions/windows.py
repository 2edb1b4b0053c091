"""Peaks of all cell types to windows of one length and their labels; every drop is counted by its reason."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from chromacc_data.compiled import compiled
from chromacc_data.errors import InputError
from chromacc_data.recipe.recipe import WindowRecipe
from chromacc_data.regions.bed import read_intervals
from chromacc_data.regions.composition import SequenceSource, gc_and_n
from chromacc_data.regions.intervals import PairKeys, match_chromosomes, merge_intervals
from chromacc_data.regions.peaks import Peaks, mean_summits

__all__ = [
    "Windows",
    "add_counts",
    "derive_windows",
    "join_windows",
    "merge_distance",
    "read_blacklist",
    "read_fixed_windows",
]

_COLUMNS = ("chrom", "start", "end")


@dataclass(frozen=True)
class Windows:
    """Windows of one length, sorted by chromosome and start, and the cell types that each is open in.

    Parameters
    ----------
    chrom
        (window,) int32, index into the names of the chromosomes used.
    start, end
        (window,) int64, 0-based half-open; a start may be negative and an end past the chromosome's.
    strand
        (window,) int8, 1 or -1, 0 where a window has none.
    labels
        (window, ceil(n_cell_types / 8)) uint8, packed bits: cell type `j` is bit ``j % 8``, counted from the
        lowest, of byte ``j // 8`` (``np.packbits(..., axis=1, bitorder="little")``).
    n_cell_types
        Cell types in `labels`.
    counts
        What was kept, and what was dropped by which reason.
    """

    chrom: np.ndarray
    start: np.ndarray
    end: np.ndarray
    strand: np.ndarray
    labels: np.ndarray
    n_cell_types: int
    counts: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.start)

    def accessibility(self, selection: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Labels of some windows, one byte each: (window, cell_type) uint8, 0 or 1."""
        return np.unpackbits(self.labels[selection], axis=1, count=self.n_cell_types, bitorder="little")

    def select(self, selection: slice | np.ndarray) -> Windows:
        """Some of the windows, by slice, mask or indices; counts are kept as they are."""
        arrays = (a[selection] for a in (self.chrom, self.start, self.end, self.strand, self.labels))
        return Windows(*arrays, self.n_cell_types, self.counts)

    def on(self, chrom: int, stop: int | None = None) -> Windows:
        """The windows of one chromosome, or of those from code `chrom` to `stop`, without counts."""
        stop = chrom + 1 if stop is None else stop
        here = slice(*np.searchsorted(self.chrom, [chrom, stop]).tolist())
        return replace(self.select(here), counts={})


def merge_distance(recipe: WindowRecipe) -> int | None:
    """Distance for :func:`~chromacc_data.regions.peaks.cell_type_peaks`; None leaves intervals as they are.

    Basset's rule merges windows, not peaks, and labels by midpoint (the default of fixed windows) ask for the
    peaks that the file calls: both take its intervals as they are.
    """
    by_midpoint = recipe.file is not None and recipe.label_rule == "midpoint"
    by_basset = recipe.file is None and recipe.overlap == "basset"
    return None if by_midpoint or by_basset else recipe.merge_distance


def derive_windows(
    peaks: Sequence[Peaks],
    blacklist: Peaks | None = None,
    fixed: Windows | None = None,
    *,
    lengths: Sequence[int],
    recipe: WindowRecipe,
    genome: SequenceSource | None = None,
) -> Windows:
    """Windows and labels of some chromosomes, all at once.

    Where the windows lie:

    - `joint` (thesis, section 4.1): peaks that overlap by 1 bp or more, of whatever cell types, make one
      joint peak, chains of them included (`bedtools merge -d -1`); each joint peak gets one window, centred
      on its midpoint, or on the mean of its peaks' summits, rounded down, where there are any. One longer
      than the window keeps its central window only.
    - `basset` (Kelley et al. 2016): every peak extended to the window length about its midpoint or summit,
      moved inside the chromosome. In a run of windows, each overlapping the one before by more than
      `merge_overlap`, the adjacent pair of largest overlap (the first of equals) is replaced, as long as it
      overlaps by `merge_overlap` or more, by a window at its mean midpoint, rounded, weighted by
      1 + number of cell types. Strands, which Basset keeps apart, are not looked at.
    - fixed: as given.

    What a window is open in:

    - `joint_peak`: the cell types of the peaks merged into it. A peak labels exactly one window, even when
      another covers it, or its own does not reach it; both are counted.
    - `overlap`: those with a peak of which `label_min_overlap` bp or more lie in the window.
    - `midpoint`: those with a peak whose midpoint lies in the window.

    Parameters
    ----------
    peaks
        The peaks of each cell type on these chromosomes, in the order of the labels.
    blacklist
        The merged blacklist; windows that touch it by 1 bp or more are dropped.
    fixed
        The windows given on these chromosomes, instead of derived ones; their own labels are not used.
    lengths
        Of every chromosome of the genome, bp, by its code.
    recipe
        Length and rules. Windows past an end are counted, and kept under `pad`.
    genome
        What reads base codes: windows with more N than `max_n` are dropped, those of `file` too. Not looked
        at when None.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    if fixed is not None:
        chrom, start, strand, labels, counts = fixed.chrom, fixed.start, fixed.strand, None, {}
    else:
        derive = _basset_windows if recipe.overlap == "basset" else _joint_windows
        chrom, start, labels, counts = derive(peaks, recipe, lengths)
        strand = np.zeros(start.size, dtype=np.int8)
    end = start + recipe.length
    if recipe.label_rule != "joint_peak":
        labels = _labels(peaks, chrom, start, recipe)
    past = (start < 0) | (end > lengths[chrom])
    dropped = past if recipe.past_end == "drop" else np.zeros(start.size, dtype=bool)
    forbidden = _touches(chrom, start, end, blacklist) & ~dropped
    kept = ~(dropped | forbidden)
    counted = {}
    if genome is not None and recipe.max_n < 1:
        left = np.flatnonzero(kept)
        has_n = gc_and_n(genome, chrom[left], start[left], recipe.length)[1] > recipe.max_n
        kept[left[has_n]] = False
        counted = {"windows_with_n_dropped": int(has_n.sum())}
    counts |= {
        "windows_past_end_dropped": int(dropped.sum()),
        "windows_past_end_padded": int((past & kept).sum()),
        "windows_in_blacklist_dropped": int(forbidden.sum()),
        **counted,
        "windows_open_in_no_cell_type": int((~labels[kept].any(axis=1)).sum()),
        "windows": int(kept.sum()),
    }
    return Windows(chrom[kept], start[kept], end[kept], strand[kept], labels[kept], len(peaks), counts)


def join_windows(parts: Sequence[Windows]) -> Windows:
    """Windows of several parts (chromosomes; open and closed ones), sorted; their counts are added up."""
    arrays = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("chrom", "start", "end", "strand", "labels")
    )
    joined = Windows(*arrays, parts[0].n_cell_types, add_counts([part.counts for part in parts]))
    return joined.select(np.lexsort((joined.start, joined.chrom)))


def add_counts(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    """Sum of counts by key.

    >>> add_counts([{"windows": 1}, {"windows": 2, "peaks": 5}])
    {'windows': 3, 'peaks': 5}
    """
    total: dict[str, int] = {}
    for counts in parts:
        for key, value in counts.items():
            total[key] = total.get(key, 0) + value
    return total


def read_blacklist(path: Path | str, *, chromosomes: Sequence[str], excluded: Collection[str] = ()) -> Peaks:
    """Merged intervals of a blacklist on the chromosomes used.

    A blacklist covers a whole assembly: intervals on other chromosomes, and past an end, do no harm. Those on
    other chromosomes are counted.

    Raises
    ------
    InputError
        If no interval is on a chromosome of the genome: the names must be another assembly's.
    """
    intervals = read_intervals(path)
    names = intervals["chrom"].unique().tolist()
    in_genome = {*chromosomes, *excluded}
    known = [name for name in names if name in in_genome]
    # With no name known, let the names be compared: the error shows both lists.
    codes = match_chromosomes(known or names, chromosomes, excluded=excluded, where=path)
    chrom = (
        intervals["chrom"].map(dict(zip(known, codes.tolist(), strict=True))).fillna(-1).to_numpy(np.int32)
    )
    used = chrom >= 0
    counts = {"blacklist_intervals": used.size, "blacklist_intervals_excluded": int((~used).sum())}
    if not used.any():
        return Peaks(*(np.zeros(0, dtype) for dtype in (np.int32, np.int64, np.int64)), counts=counts)
    start, end = intervals["start"].to_numpy(), intervals["end"].to_numpy()
    return Peaks(*merge_intervals(chrom[used], start[used], end[used], distance=0), counts=counts)


def read_fixed_windows(
    path: Path | str,
    *,
    length: int,
    chromosomes: Sequence[str],
    lengths: Sequence[int],
    excluded: Collection[str] = (),
) -> Windows:
    """Windows of a BED file, sorted, with their strands and without labels.

    All are kept, those given more than once too (counted). A window may reach past a chromosome's end
    (`past_end` then decides), not begin there.

    Raises
    ------
    InputError
        Unknown chromosome, a window of another length, or one that lies past the end.
    """
    given = read_intervals(path)
    codes, names = pd.factorize(given["chrom"])
    chrom = match_chromosomes(names.tolist(), chromosomes, excluded=excluded, where=path)[codes]
    start, end = given["start"].to_numpy(), given["end"].to_numpy()
    _require_valid(path, given, end - start == length, f"{length} bp, as `windows.length` says")
    inside = (chrom < 0) | (start < np.asarray(lengths)[chrom])
    _require_valid(path, given, inside, "a start within the chromosome: is it of another assembly?")
    used = chrom >= 0
    strand = given["strand"].map({"+": 1, "-": -1, ".": 0}).to_numpy(np.int8)
    n_distinct = len(given.loc[used, ["chrom", "start"]].drop_duplicates())
    counts = {
        "windows_given": len(given),
        "windows_excluded": int((~used).sum()),
        "windows_given_twice": int(used.sum()) - n_distinct,
    }
    order = np.lexsort((start, chrom))
    order = order[used[order]]
    labels = np.zeros((order.size, 0), dtype=np.uint8)
    return Windows(chrom[order], start[order], end[order], strand[order], labels, 0, counts)


def _joint_windows(
    peaks: Sequence[Peaks], recipe: WindowRecipe, _lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, int]]:
    """Codes and starts of the windows around joint peaks, their packed labels, and counts."""
    chrom, start, end = (np.concatenate([getattr(p, name) for p in peaks]) for name in _COLUMNS)
    joint_chrom, joint_start, joint_end = merge_intervals(chrom, start, end, distance=-1)
    keys = PairKeys.over(start, end, room=recipe.length)
    first, last = keys.of(chrom, start), keys.of(chrom, end)
    group = np.searchsorted(keys.of(joint_chrom, joint_start), first, side="right") - 1
    centre = (joint_start + joint_end) // 2
    if any(p.summit is not None for p in peaks):
        summit = np.concatenate([np.full(len(p), -1) if p.summit is None else p.summit for p in peaks])
        mean = mean_summits(summit, group, joint_start)
        centre = np.where(mean >= 0, mean, centre)
    window = centre - recipe.length // 2
    labels = np.zeros((window.size, _n_label_bytes(peaks)), dtype=np.uint8)
    bounds = np.cumsum([0, *(len(p) for p in peaks)])
    for cell_type in range(len(peaks)):
        labels[group[bounds[cell_type] : bounds[cell_type + 1]], cell_type // 8] |= 1 << cell_type % 8
    window_first = keys.of(joint_chrom, window)
    window_last = window_first + recipe.length
    in_own = (first < window_last[group]) & (last > window_first[group])
    n_covering = np.searchsorted(window_first, last) - np.searchsorted(window_last, first, side="right")
    counts = {
        "peaks": start.size,
        "joint_peaks": window.size,
        "joint_peaks_longer_than_window": int((joint_end - joint_start > recipe.length).sum()),
        "peaks_outside_their_window": int((~in_own).sum()),
        "peaks_also_in_another_window": int((n_covering > in_own).sum()),
    }
    return joint_chrom, window, labels, counts


def _basset_windows(
    peaks: Sequence[Peaks], recipe: WindowRecipe, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, int]]:
    """Codes and starts of the windows of Basset's rule, their packed labels, and counts."""
    centres = []
    for p in peaks:
        middle = (p.start + p.end) // 2
        centres.append(middle if p.summit is None else np.where(p.summit >= 0, p.summit, middle))
    chrom, centre = np.concatenate([p.chrom for p in peaks]), np.concatenate(centres)
    cell_type = np.repeat(np.arange(len(peaks)), [len(p) for p in peaks])
    order = np.lexsort((cell_type, centre, chrom))
    chrom, centre, cell_type = chrom[order], centre[order], cell_type[order]
    n_bytes = _n_label_bytes(peaks)
    starts, labels = [np.zeros(0, dtype=np.int64)], [np.zeros((0, n_bytes), dtype=np.uint8)]
    codes = [chrom[:0]]
    for first, last in pairwise([0, *(np.flatnonzero(np.diff(chrom)) + 1).tolist(), chrom.size]):
        if first == last:
            continue
        start, packed = _merge_greedily(
            centre[first:last],
            cell_type[first:last],
            n_bytes,
            recipe.length,
            recipe.merge_overlap,
            int(lengths[chrom[first]]),
        )
        codes.append(np.full(start.size, chrom[first], dtype=chrom.dtype))
        starts.append(start)
        labels.append(packed)
    codes, starts, labels = (np.concatenate(parts) for parts in (codes, starts, labels))
    return codes, starts, labels, {"peaks": centre.size, "peaks_merged_away": centre.size - starts.size}


def _n_label_bytes(peaks: Sequence[Peaks]) -> int:
    return -(-len(peaks) // 8)


def _labels(peaks: Sequence[Peaks], chrom: np.ndarray, start: np.ndarray, recipe: WindowRecipe) -> np.ndarray:
    """Packed labels by `overlap` or `midpoint`, (window, byte) uint8."""
    keys = PairKeys.over(start, *(p.end for p in peaks), room=recipe.length)
    first = keys.of(chrom, start)
    last = first + recipe.length
    labels = np.zeros((start.size, _n_label_bytes(peaks)), dtype=np.uint8)
    for cell_type, p in enumerate(peaks):
        if recipe.label_rule == "midpoint":
            middle = np.sort(keys.of(p.chrom, (p.start + p.end) // 2))
            n_inside = np.searchsorted(middle, last) - np.searchsorted(middle, first)
        else:
            # Among peaks that are long enough: those that begin early enough minus those that end too early.
            least = recipe.label_min_overlap
            long = p.end - p.start >= least
            peak_first, peak_last = (keys.of(p.chrom[long], edge[long]) for edge in (p.start, p.end))
            begun = np.searchsorted(peak_first, last - least, side="right")
            n_inside = begun - np.searchsorted(np.sort(peak_last), first + least)
        labels[n_inside > 0, cell_type // 8] |= 1 << cell_type % 8
    return labels


def _touches(chrom: np.ndarray, start: np.ndarray, end: np.ndarray, intervals: Peaks | None) -> np.ndarray:
    """Whether each window overlaps an interval by 1 bp or more; the intervals are sorted and apart."""
    if intervals is None:
        return np.zeros(start.size, dtype=bool)
    keys = PairKeys.over(start, end)
    # A blacklist may reach past an end, as far as it likes: no further than the windows matters.
    begun, ended = (
        keys.of(intervals.chrom, edge.clip(keys.lowest, keys.highest))
        for edge in (intervals.start, intervals.end)
    )
    n_begun = np.searchsorted(begun, keys.of(chrom, end))
    return n_begun > np.searchsorted(ended, keys.of(chrom, start), side="right")


def _require_valid(path: Path | str, given: pd.DataFrame, valid: np.ndarray, expected: str) -> None:
    if valid.all():
        return
    row = given.iloc[int(np.argmin(valid))]
    raise InputError(
        "a window that cannot be used",
        where=f"{path} line {row['line']}",
        found=f"{row['chrom']} {row['start']} {row['end']}, {row['end'] - row['start']} bp",
        expected=expected,
        remedy="correct the file of windows, or `windows.length` in the recipe",
    )


@compiled
def _merge_greedily(
    centre: np.ndarray,
    cell_type: np.ndarray,
    n_bytes: int,
    length: int,
    merge_overlap: int,
    chromosome_length: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Basset's merge of the windows about sorted centres: starts (window,), packed labels (window, byte)."""
    n = centre.size
    start = np.empty(n, dtype=np.int64)
    labels = np.zeros((n, n_bytes), dtype=np.uint8)
    n_open = np.ones(n, dtype=np.int64)
    following = np.arange(1, n + 1)
    preceding = np.arange(-1, n - 1)
    alive = np.ones(n, dtype=np.bool_)
    for i in range(n):
        start[i] = _window_about(centre[i], length, chromosome_length)
        labels[i, cell_type[i] // 8] = 1 << cell_type[i] % 8
    first = 0
    while first < n:
        last = first
        while last + 1 < n and start[last] + length - start[last + 1] > merge_overlap:
            last += 1
        # Pairs by overlap, largest first, then by place; a pair that changed since is skipped.
        pairs = [(start[i + 1] - start[i] - length, i) for i in range(first, last)]
        heapq.heapify(pairs)
        while len(pairs) > 0:
            minus_overlap, i = heapq.heappop(pairs)
            j = following[i]
            if not alive[i] or j > last or start[j] - start[i] - length != minus_overlap:
                continue
            if -minus_overlap < merge_overlap:
                break
            weight, other = 1 + n_open[i], 1 + n_open[j]
            half, total = length // 2, weight + other
            doubled = 2 * ((start[i] + half) * weight + (start[j] + half) * other)
            start[i] = _window_about((doubled + total) // (2 * total), length, chromosome_length)
            n_open[i] = 0
            for byte in range(n_bytes):
                labels[i, byte] |= labels[j, byte]
                for bit in range(8):
                    n_open[i] += labels[i, byte] >> bit & 1
            alive[j] = False
            following[i] = following[j]
            if following[j] < n:
                preceding[following[j]] = i
            if following[i] <= last:
                heapq.heappush(pairs, (start[following[i]] - start[i] - length, i))
            if preceding[i] >= first:
                heapq.heappush(pairs, (start[i] - start[preceding[i]] - length, preceding[i]))
        first = last + 1
    return start[alive], labels[alive]


@compiled
def _window_about(centre: int, length: int, chromosome_length: int) -> int:
    """Start of the window about a centre, moved inside the chromosome."""
    start = max(0, centre - length // 2)
    return chromosome_length - length if start + length > chromosome_length else start
