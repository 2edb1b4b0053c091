"""Windows to training, validation and test sets and to folds, and what these sets share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from chromacc_data.errors import InputError
from chromacc_data.recipe.recipe import SplitRecipe
from chromacc_data.regions.intervals import PairKeys, few_names
from chromacc_data.store import schema

__all__ = ["DROPPED", "Assignment", "assign", "assign_random", "leak_audit", "require_no_leaks"]

#: Split of a window that is left out because it would leak.
DROPPED = -1

_MAX_FOLDS = np.iinfo(np.int8).max

_TRAIN, _VALIDATION, _TEST = range(len(schema.SPLITS))


class Assignment(NamedTuple):
    """Split and fold of each window, (window,) int8, and counts.

    A window whose split is :data:`DROPPED` does not go into the store.
    """

    split: np.ndarray
    fold: np.ndarray
    counts: dict[str, int]


def assign(
    chrom: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    recipe: SplitRecipe,
    *,
    names: Sequence[str],
    seed: int = 0,
) -> Assignment:
    """Split and fold of each window.

    Windows are handed out in units: a window (`random`, as in the thesis), a chromosome, or a block.

    - `random`, `block`: units in the order of a random permutation; the first are the test set, the next the
      validation set, each as many as come nearest to the asked share of all windows (at least one).
    - `chromosome`: by name.
    - Folds divide the units outside the test set, evenly by number of windows: random ones in turn, others
      the largest first to the smallest fold.

    A window belongs to the block of its midpoint. Windows on both sides of an edge between blocks of
    different sets or folds may overlap; of such, the right one is left out (:data:`DROPPED`, counted), so
    that `block` never leaks. `random` leaks wherever windows overlap.

    Parameters
    ----------
    chrom, start, end
        (window,) codes of the chromosomes, starts and ends; in any order.
    recipe
        Rule, shares, block size and number of folds.
    names
        Names of the chromosomes.
    seed
        Same seed, same answer.

    Returns
    -------
    Assignment
        `split` by :data:`chromacc_data.store.schema.SPLITS`; `fold` is -1 in the test set and where there
        are none.

    Raises
    ------
    InputError
        Unknown chromosome, a set without windows, more folds than units, blocks shorter than the windows.

    Examples
    --------
    >>> chrom, start = np.array([0, 0, 1, 2]), np.array([0, 50, 0, 0])
    >>> recipe = SplitRecipe(by="chromosome", validation=("chr2",), test=("chr3",))
    >>> assign(chrom, start, start + 10, recipe, names=["chr1", "chr2", "chr3"]).split.tolist()
    [0, 0, 1, 2]
    """
    if recipe.by == "random":
        split, fold = assign_random(start.size, recipe, seed=seed)
        return Assignment(split, fold, {"windows_over_a_block_edge_dropped": 0})
    generator = np.random.default_rng([seed, 0])
    if recipe.by == "chromosome":
        unit, n_windows = chrom, np.bincount(chrom, minlength=len(names))
        split = _named(names, recipe)
    else:
        unit, n_windows = _blocks(chrom, start, end, recipe.block_size, generator)
        split = _shares(n_windows, recipe)
    fold = _folds(n_windows, split, recipe)
    leaking = np.zeros(start.size, dtype=bool)
    if recipe.by == "block":
        group = PairKeys.over(fold).of(split, fold)
        leaking = _over_an_edge(chrom, start, end, recipe.block_size, unit, group)
    window_split, window_fold = split[unit].astype(np.int8), fold[unit].astype(np.int8)
    window_split[leaking], window_fold[leaking] = DROPPED, schema.NO_FOLD
    counts = {"windows_over_a_block_edge_dropped": int(leaking.sum())}
    _require_filled(window_split, recipe)
    return Assignment(window_split, window_fold, counts)


def assign_random(n_windows: int, recipe: SplitRecipe, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Split and fold of each window, (window,) int8, by the rule `random` of :func:`assign`.

    Needs no coordinates: simulated windows have none.

    >>> assign_random(5, SplitRecipe(validation=1, test=1), seed=1)[0].tolist()
    [0, 2, 1, 0, 0]
    """
    unit = np.random.default_rng([seed, 0]).permutation(n_windows)
    each = np.ones(n_windows, dtype=np.int64)
    split = _shares(each, recipe)
    fold = _folds(each, split, recipe)
    window_split, window_fold = split[unit].astype(np.int8), fold[unit].astype(np.int8)
    _require_filled(window_split, recipe)
    return window_split, window_fold


def leak_audit(
    chrom: np.ndarray, start: np.ndarray, end: np.ndarray, split: np.ndarray, fold: np.ndarray
) -> dict[str, dict[str, dict[str, int]]]:
    """Windows and base pairs that each two splits, and each two folds, share.

    Parameters
    ----------
    chrom, start, end, split, fold
        (window,) each, in any order. Windows whose split is :data:`DROPPED` are left out.

    Returns
    -------
    dict
        ``{"splits": {"train-test": {"windows": ..., "bp": ...}, ...}, "folds": {"0-1": ...}}``: how many
        windows of the two overlap one of the other, and how many positions lie in windows of both.

    Examples
    --------
    >>> start = np.array([0, 6, 20])
    >>> audit = leak_audit(np.zeros(3, int), start, start + 10, np.array([0, 2, 0]), np.full(3, -1))
    >>> audit["splits"]["train-test"]
    {'windows': 2, 'bp': 4}
    """
    kept = split != DROPPED
    keys = PairKeys.over(start, end)
    begin, after = (keys.of(chrom, position) for position in (start, end))
    audit = {}
    for kind, group, labels in (
        ("splits", split, schema.SPLITS),
        ("folds", fold, [str(f) for f in range(int(fold.max(initial=schema.NO_FOLD)) + 1)]),
    ):
        members = [kept & (group == code) for code in range(len(labels))]
        covered = [_Coverage.of(begin[m], after[m]) for m in members]
        audit[kind] = {
            f"{labels[a]}-{labels[b]}": {
                "windows": int(
                    (covered[b].within(begin[members[a]], after[members[a]]) > 0).sum()
                    + (covered[a].within(begin[members[b]], after[members[b]]) > 0).sum()
                ),
                "bp": int(covered[b].within(covered[a].start, covered[a].end).sum()),
            }
            for a, b in combinations(range(len(labels)), 2)
        }
    return audit


def require_no_leaks(
    audit: dict[str, dict[str, dict[str, int]]], recipe: SplitRecipe, *, where: str | Path
) -> None:
    """Raise when an audit found something shared that the rule promised not to share.

    `chromosome` and `block` promise that nothing is shared, unless `recipe.allow_leaks`; `random` does not.

    Raises
    ------
    InputError
        With every two sets that share windows.
    """
    if recipe.by == "random" or recipe.allow_leaks:
        return
    leaks = [
        f"{kind} {pair}: {shared['windows']:,} windows, {shared['bp']:,} bp"
        for kind, pairs in audit.items()
        for pair, shared in pairs.items()
        if shared["windows"]
    ]
    if leaks:
        raise InputError(
            "windows of different sets overlap",
            where=where,
            found="; ".join(leaks),
            expected=f"no position in two sets, as `split.by: {recipe.by}` promises",
            remedy="set `split.allow_leaks: true` to build anyway",
        )


class _Coverage(NamedTuple):
    """The positions that some windows cover: runs, sorted and apart, and how many positions lie before."""

    start: np.ndarray
    end: np.ndarray
    before: np.ndarray

    @classmethod
    def of(cls, begin: np.ndarray, after: np.ndarray) -> _Coverage:
        order = np.argsort(begin, kind="stable")
        begin, reach = begin[order], np.maximum.accumulate(after[order])
        first = np.ones(begin.size, dtype=bool)
        first[1:] = begin[1:] > reach[:-1]
        start, end = begin[first], reach[np.append(first[1:], True)[: first.size]]
        return cls(start, end, np.cumsum(end - start) - (end - start))

    def within(self, begin: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Covered positions in each interval, int64."""
        return self._up_to(after) - self._up_to(begin)

    def _up_to(self, position: np.ndarray) -> np.ndarray:
        if not self.start.size:
            return np.zeros(position.size, dtype=np.int64)
        run = np.maximum(np.searchsorted(self.start, position, side="right") - 1, 0)
        return self.before[run] + np.clip(position - self.start[run], 0, self.end[run] - self.start[run])


def _blocks(
    chrom: np.ndarray, start: np.ndarray, end: np.ndarray, block_size: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Unit of each window, in random order of the blocks that hold any, and windows per unit."""
    longest = int((end - start).max(initial=0))
    if block_size < longest:
        raise InputError(
            "blocks are shorter than the windows",
            where="split.block_size",
            found=f"{block_size:,} bp",
            expected=f"{longest:,} bp or more",
        )
    block = _block_numbers(chrom, start, end, block_size)
    _, index, n_windows = np.unique(block, return_inverse=True, return_counts=True)
    place = generator.permutation(n_windows.size)
    shuffled = np.empty_like(n_windows)
    shuffled[place] = n_windows
    return place[index], shuffled


def _block_numbers(chrom: np.ndarray, start: np.ndarray, end: np.ndarray, block_size: int) -> np.ndarray:
    """Number of the block that holds each window's midpoint; growing along chromosomes laid end to end."""
    on_chromosome = np.maximum((start + end) // 2, 0) // block_size
    return PairKeys.over(on_chromosome).of(chrom, on_chromosome)


def _shares(n_windows: np.ndarray, recipe: SplitRecipe) -> np.ndarray:
    """Split of each unit, int64: the first to test, the next to validation, by share of the windows."""
    total = int(n_windows.sum())
    split = np.full(n_windows.size, _TRAIN)
    first = 0
    for code, share in ((_TEST, recipe.test), (_VALIDATION, recipe.validation)):
        target = share if recipe.is_counts else share * total
        reached = np.cumsum(n_windows[first:])
        if not share or not reached.size:
            continue
        last = first + int(np.abs(reached - target).argmin()) + 1
        split[first:last] = code
        first = last
    return split


def _named(names: Sequence[str], recipe: SplitRecipe) -> np.ndarray:
    """Split of each chromosome, int64."""
    split = np.full(len(names), _TRAIN)
    code_of = {name: code for code, name in enumerate(names)}
    for code, key in ((_TEST, "test"), (_VALIDATION, "validation")):
        for name in getattr(recipe, key):
            if name not in code_of:
                raise InputError(
                    f"chromosome {name!r} is not in the genome",
                    where=f"split.{key}",
                    found=name,
                    expected=f"one of {few_names(names)}",
                )
            split[code_of[name]] = code
    return split


def _folds(n_windows: np.ndarray, split: np.ndarray, recipe: SplitRecipe) -> np.ndarray:
    """Fold of each unit, int64; -1 for those of the test set, and for all when there are no folds."""
    fold = np.full(n_windows.size, schema.NO_FOLD)
    if not recipe.folds:
        return fold
    if recipe.folds > _MAX_FOLDS:
        raise InputError(
            "more folds than a store can number",
            where="split.folds",
            found=recipe.folds,
            expected=f"at most {_MAX_FOLDS}",
        )
    units = np.flatnonzero((split != _TEST) & (n_windows > 0))
    if units.size < recipe.folds:
        raise InputError(
            "more folds than units to divide",
            where="split.folds",
            found=recipe.folds,
            expected=f"at most {units.size}: the {recipe.by} units outside the test set",
        )
    if recipe.by == "random":
        fold[units] = np.arange(units.size) % recipe.folds
        return fold
    filled = np.zeros(recipe.folds, dtype=np.int64)
    for unit in units[np.argsort(-n_windows[units], kind="stable")].tolist():
        fold[unit] = int(filled.argmin())
        filled[fold[unit]] += n_windows[unit]
    return fold


def _over_an_edge(
    chrom: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    block_size: int,
    unit: np.ndarray,
    group_of_unit: np.ndarray,
) -> np.ndarray:
    """Whether each window overlaps one of the block before it, of another group, (window,) bool.

    Blocks are no shorter than the windows, so no window reaches further than into the next block.
    """
    _, first, index = np.unique(
        _block_numbers(chrom, start, end, block_size), return_index=True, return_inverse=True
    )
    reach = np.full(first.size, np.iinfo(np.int64).min)
    np.maximum.at(reach, index, end)
    group, on = group_of_unit[unit[first]], chrom[first]
    edge = np.full(first.size, np.iinfo(np.int64).min)
    shared = (on[1:] == on[:-1]) & (group[1:] != group[:-1])
    edge[1:][shared] = reach[:-1][shared]
    return start < edge[index]


def _require_filled(split: np.ndarray, recipe: SplitRecipe) -> None:
    """Raise when a set that is asked for has no window."""
    asked = (True, bool(recipe.validation), bool(recipe.test))
    n_windows = [int((split == code).sum()) for code in range(len(schema.SPLITS))]
    for code, name in enumerate(schema.SPLITS):
        if asked[code] and not n_windows[code]:
            raise InputError(
                f"no window is left for {name}",
                where="split",
                found=", ".join(f"{n} {count:,}" for n, count in zip(schema.SPLITS, n_windows, strict=True)),
                expected="windows in each set",
                remedy="smaller blocks, other chromosomes, or other shares",
            )
