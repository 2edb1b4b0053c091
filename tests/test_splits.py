"""Splits, folds and what they share."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data.errors import InputError
from chromacc_data.recipe.recipe import SplitRecipe
from chromacc_data.splits import DROPPED, assign, leak_audit, require_no_leaks
from chromacc_data.store import schema

TRAIN, VALIDATION, TEST = range(3)
NAMES = [f"chr{i}" for i in range(1, 6)]


@pytest.fixture
def windows():
    """3000 windows of 600 bp on five chromosomes of 2 Mb, many of them overlapping."""
    generator = np.random.default_rng(0)
    chrom = np.sort(generator.integers(0, 5, 3000)).astype(np.int32)
    start = generator.integers(-300, 2_000_000, 3000)
    start = start[np.lexsort((start, chrom))]
    return chrom, start, start + 600


def recipe(by="random", **options) -> SplitRecipe:
    if by == "chromosome":
        options = {"validation": ("chr4",), "test": ("chr5",), **options}
    if by == "block":
        options = {"block_size": 50_000, **options}
    return SplitRecipe(by=by, **options)


def sizes(values) -> list[int]:
    return [int((values == code).sum()) for code in range(int(values.max()) + 1)]


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({}, [2400, 300, 300]),
        ({"validation": 0.0, "test": 0.25}, [2250, 0, 750]),
        ({"validation": 70, "test": 71}, [2859, 70, 71]),
        ({"validation": 0, "test": 1}, [2999, 0, 1]),
    ],
)
def test_assign__random_shares(windows, shares, expected):
    split, fold, counts = assign(*windows, recipe(**shares), names=NAMES, seed=1)
    assert [int((split == code).sum()) for code in range(3)] == expected
    assert (split.dtype, fold.dtype) == (np.int8, np.int8)
    assert set(fold.tolist()) == {schema.NO_FOLD}
    assert counts == {"windows_over_a_block_edge_dropped": 0}


@pytest.mark.parametrize("by", ["random", "block"])
def test_assign__same_seed_same_split(windows, by):
    first, again, other = (assign(*windows, recipe(by), names=NAMES, seed=seed).split for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_assign__by_chromosome(windows):
    split = assign(*windows, recipe("chromosome"), names=NAMES).split
    assert split.tolist() == np.array([TRAIN, TRAIN, TRAIN, VALIDATION, TEST])[windows[0]].tolist()


@pytest.mark.parametrize("by", ["random", "chromosome", "block"])
def test_assign__folds_divide_what_is_not_test(windows, by):
    split, fold, _ = assign(*windows, recipe(by, folds=4), names=NAMES, seed=5)
    assert set(fold[split == TEST].tolist()) == {schema.NO_FOLD}
    kept = (split != TEST) & (split != DROPPED)
    assert set(fold[kept].tolist()) == {0, 1, 2, 3}
    if by == "random":
        assert np.ptp(sizes(fold)) <= 1
    elif by == "block":
        assert np.ptp(sizes(fold)) < 60
        blocks = windows[0] * 1000 + (windows[1] + 300) // 50_000
        for block in np.unique(blocks):
            assert len(set(fold[(blocks == block) & kept].tolist())) <= 1
    else:
        assert [len(set(fold[windows[0] == c].tolist())) for c in range(4)] == [1] * 4
    # Folds change no split.
    assert (assign(*windows, recipe(by), names=NAMES, seed=5).split[kept] == split[kept]).all()


def test_assign__block_by_hand():
    start = np.array([0, 40, 95, 100, 150, 205, 260, 300])
    chrom = np.zeros(8, dtype=np.int32)
    found = {
        tuple(
            assign(
                chrom,
                start,
                start + 20,
                SplitRecipe(by="block", block_size=100, validation=0.3, test=0.3),
                names=["chr1"],
                seed=seed,
            ).split.tolist()
        )
        for seed in range(40)
    }
    # Blocks by midpoint: 0 40 | 95 100 150 | 205 260 | 300. Only 95 and 100 overlap, in one block.
    assert {len(set(f[2:5])) for f in found} == {1}
    assert {len(set(f[:2])) for f in found} == {1}
    assert all(set(f) == {TRAIN, VALIDATION, TEST} for f in found)
    assert len(found) > 3


def test_assign__the_right_one_over_an_edge_is_left_out():
    start = np.array([80, 85, 95, 104, 150])
    arrays = np.zeros(5, dtype=np.int32), start, start + 20
    by_seed = {}
    for seed in range(10):
        split, fold, counts = assign(
            *arrays,
            SplitRecipe(by="block", block_size=100, validation=0.0, test=0.4),
            names=["chr1"],
            seed=seed,
        )
        by_seed[tuple(split.tolist())] = counts["windows_over_a_block_edge_dropped"]
        assert set(fold.tolist()) == {schema.NO_FOLD}
    # 80 and 85 are of the first block and reach to 105: 95 and 104 of the second overlap them.
    assert by_seed == {(TEST, TEST, DROPPED, DROPPED, TRAIN): 2, (TRAIN, TRAIN, DROPPED, DROPPED, TEST): 2}


@given(
    starts=st.lists(st.tuples(st.integers(0, 2), st.integers(-5, 400)), min_size=12, max_size=60),
    length=st.integers(1, 20),
    block_size=st.integers(20, 90),
    folds=st.sampled_from([0, 3, 4]),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=300)
def test_assign__block_never_leaks(starts, length, block_size, folds, seed):
    chrom, start = np.array(starts).T
    by_block = SplitRecipe(by="block", block_size=block_size, folds=folds, validation=0.2, test=0.2)
    try:
        split, fold, counts = assign(chrom, start, start + length, by_block, names=NAMES, seed=seed)
    except InputError:
        return
    for i, j in combinations(range(start.size), 2):
        if chrom[i] == chrom[j] and abs(start[i] - start[j]) < length and DROPPED not in (split[i], split[j]):
            assert (split[i], fold[i]) == (split[j], fold[j])
    assert counts["windows_over_a_block_edge_dropped"] == int((split == DROPPED).sum())
    for i in np.flatnonzero(split == DROPPED):  # none without need
        gap = start[i] - start[chrom == chrom[i]]
        assert ((gap > 0) & (gap < length)).any()
    require_no_leaks(leak_audit(chrom, start, start + length, split, fold), by_block, where="a.zarr")


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"by": "chromosome", "test": ("chrZ",)}, "'chrZ' is not in the genome"),
        ({"by": "chromosome", "test": ("chr1", "chr2", "chr3", "chr5")}, "no window is left for train"),
        ({"by": "chromosome", "folds": 5}, "more folds"),
        ({"by": "block", "block_size": 599}, "shorter than the windows"),
        ({"by": "block", "block_size": 10_000_000, "validation": 0.1, "test": 0.85}, "no window is left"),
        ({"by": "random", "validation": 3000, "test": 1}, "no window is left for train"),
    ],
)
def test_assign__refuses(windows, options, what):
    with pytest.raises(InputError, match=what) as error:
        assign(*windows, recipe(**options), names=NAMES)
    assert "split" in error.value.where


# Leaks


def naive_audit(chrom, start, end, group, a, b):
    """Windows and positions that two groups share, position by position."""
    positions = [
        {
            (c, x)
            for c, s, e, g in zip(chrom, start, end, group, strict=True)
            if g == side
            for x in range(s, e)
        }
        for side in (a, b)
    ]
    n_windows = sum(
        any((c, x) in positions[1 - side] for x in range(s, e))
        for side, wanted in enumerate((a, b))
        for c, s, e, g in zip(chrom, start, end, group, strict=True)
        if g == wanted
    )
    return {"windows": n_windows, "bp": len(positions[0] & positions[1])}


@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 2), st.integers(-8, 60), st.integers(1, 9), st.integers(-1, 2), st.integers(-1, 2)
        ),
        max_size=25,
    )
)
@settings(deadline=None, max_examples=200)
def test_leak_audit__equals_sets_of_positions(rows):
    chrom, start, length, split, fold = np.array(rows, dtype=np.int64).reshape(-1, 5).T
    end = start + length
    audit = leak_audit(chrom, start, end, split, fold)
    assert len(audit["splits"]) == 3
    for (a, left), (b, right) in combinations(enumerate(schema.SPLITS), 2):
        assert audit["splits"][f"{left}-{right}"] == naive_audit(chrom, start, end, split, a, b)
    visible = np.where(split == DROPPED, -1, fold)
    for pair, shared in audit["folds"].items():
        assert shared == naive_audit(chrom, start, end, visible, *map(int, pair.split("-")))


def test_leak_audit__a_gap_of_one_position_is_not_covered():
    start, end, split = np.array([0, 6, 5]), np.array([5, 9, 6]), np.array([TRAIN, TRAIN, TEST])
    audit = leak_audit(np.zeros(3, dtype=int), start, end, split, np.full(3, -1))
    assert audit["splits"]["train-test"] == {"windows": 0, "bp": 0}


def test_leak_audit__random_leaks_and_rules_that_promise_do_not(windows):
    for by in ("random", "chromosome", "block"):
        split, fold, _ = assign(*windows, recipe(by, folds=3), names=NAMES, seed=1)
        audit = leak_audit(*windows, split, fold)
        shared = sum(pair["windows"] for pairs in audit.values() for pair in pairs.values())
        assert (shared > 0) == (by == "random")
        require_no_leaks(audit, recipe(by), where="a.zarr")


def test_require_no_leaks__says_which_sets_share_what():
    start, split = np.array([0, 6, 20]), np.array([TRAIN, TEST, TRAIN])
    audit = leak_audit(np.zeros(3, dtype=int), start, start + 10, split, np.full(3, -1))
    with pytest.raises(InputError, match="overlap") as error:
        require_no_leaks(audit, recipe("chromosome"), where="a.zarr")
    assert error.value.found == "splits train-test: 2 windows, 4 bp"
    require_no_leaks(audit, recipe("chromosome", allow_leaks=True), where="a.zarr")
    require_no_leaks(audit, recipe("random"), where="a.zarr")


def test_assign__folds_are_numbered_within_int8(windows):
    assert assign(*windows, recipe(folds=127), names=NAMES).fold.max() == 126
    with pytest.raises(InputError, match="more folds than a store can number"):
        assign(*windows, recipe(folds=129), names=NAMES)
