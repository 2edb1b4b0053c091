from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data.recipe.recipe import NegativesRecipe, WindowRecipe
from chromacc_data.regions.negatives import closed_windows
from chromacc_data.regions.peaks import Peaks
from chromacc_data.regions.windows import derive_windows, join_windows
from tests.interval_files import peaks_of, windows_of


class FakeGenome:
    """Base codes of whole chromosomes, in memory."""

    def __init__(self, *chromosomes: np.ndarray) -> None:
        self.chromosomes = chromosomes

    def windows(self, chrom: np.ndarray, start: np.ndarray, length: int) -> np.ndarray:
        codes = np.full((start.size, length), 4, dtype=np.uint8)
        for i, (c, s) in enumerate(zip(chrom.tolist(), start.tolist(), strict=True)):
            for j in range(length):
                if 0 <= s + j < self.chromosomes[c].size:
                    codes[i, j] = self.chromosomes[c][s + j]
        return codes


def random_genome(*lengths: int, seed: int = 0) -> FakeGenome:
    """Chromosomes whose GC content changes along them."""
    generator = np.random.default_rng(seed)
    chromosomes = []
    for length in lengths:
        gc = np.repeat(generator.uniform(0.2, 0.8, -(-length // 100)), 100)[:length]
        is_gc = generator.random(length) < gc
        chromosomes.append(
            np.where(is_gc, generator.integers(1, 3, length), generator.choice([0, 3], length))
        )
    return FakeGenome(*(c.astype(np.uint8) for c in chromosomes))


def gc_of(genome, windows, length) -> np.ndarray:
    codes = genome.windows(windows.chrom, windows.start, length)
    return ((codes == 1) | (codes == 2)).mean(axis=1)


@pytest.fixture(scope="module")
def open_ones():
    genome, lengths = random_genome(40_000, 20_000), [40_000, 20_000]
    generator = np.random.default_rng(1)
    peaks = []
    for _ in range(2):
        parts = [
            peaks_of(
                [(s, s + 8) for s in np.sort(generator.choice(n // 50, n // 1000, replace=False)) * 50],
                chrom=c,
            )
            for c, n in enumerate(lengths)
        ]
        peaks.append(
            Peaks(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("chrom", "start", "end")))
        )
    recipe = WindowRecipe(length=20)
    windows = derive_windows(peaks, lengths=lengths, recipe=recipe)
    return genome, lengths, peaks, windows


@pytest.mark.parametrize("ratio", [1.0, 2.5])
def test_closed_windows__match_the_gc_of_the_open_ones(open_ones, ratio):
    genome, lengths, peaks, windows = open_ones
    blacklist = peaks_of([(5000, 9000)])
    recipe = NegativesRecipe(ratio=ratio, gc_bin=0.1)
    found = closed_windows(windows, peaks, genome, recipe, lengths=lengths, blacklist=blacklist, seed=3)
    wanted, made = (
        np.bincount((gc_of(genome, w, 20) / 0.1).astype(int).clip(max=9), minlength=10)
        for w in (windows, found)
    )
    n_wanted = round(ratio * len(windows))
    assert found.counts == {
        "closed_windows_wanted": n_wanted,
        "closed_windows": n_wanted,
        "closed_windows_missing": 0,
        "closed_windows_without_gc": 0,
    }
    assert (np.abs(made - ratio * wanted) < 1).all()
    assert not found.labels.any()
    assert found.n_cell_types == windows.n_cell_types
    for chrom, length in enumerate(lengths):
        taken = np.zeros(length, dtype=int)
        for p in peaks:
            for s, e in zip(p.on(chrom).start, p.on(chrom).end, strict=True):
                taken[max(0, s - 20) : e + 20] = 1
        for s in windows.on(chrom).start:
            taken[max(0, s) : s + 20] = 1
        taken[5000 : 9000 if chrom == 0 else 5000] = 1
        for s in found.on(chrom).start:
            assert s >= 0
            assert s + 20 <= length
            assert not taken[s : s + 20].any()
            taken[s : s + 20] = 1  # nor do they overlap each other


def test_closed_windows__same_seed_same_windows(open_ones):
    genome, lengths, peaks, windows = open_ones
    draw = partial(closed_windows, windows, peaks, genome, NegativesRecipe(gc_bin=0.1), lengths=lengths)
    first, again, other = (draw(seed=seed) for seed in (3, 3, 4))
    assert (first.start == again.start).all()
    assert first.start.tolist() != other.start.tolist()
    both = join_windows([windows, first])
    assert len(both) == len(windows) + len(first)
    assert (np.lexsort((both.start, both.chrom)) == np.arange(len(both))).all()
    assert both.counts == {**windows.counts, **first.counts}


def test_closed_windows__a_shortfall_is_counted():
    genome = FakeGenome(np.array([1] * 40 + [0] * 60 + [1] * 25 + [4] * 30, dtype=np.uint8))
    windows = windows_of([0, 30], 10, labels=[[1], [1]])
    peaks = [peaks_of([(0, 10), (34, 36)])]
    found = closed_windows(windows, peaks, genome, NegativesRecipe(ratio=3.0), lengths=[155])
    # Only 100-125 is free and all G or C: two windows at most; N is not taken.
    assert found.counts["closed_windows_missing"] == 6 - len(found) > 0
    assert len(found) > 0
    assert (gc_of(genome, found, 10) == 1).all()


def test_closed_windows__no_room_and_nothing_open():
    genome = FakeGenome(np.ones(30, dtype=np.uint8))
    windows = windows_of([10], 10, labels=[[1]])
    found = closed_windows(windows, [peaks_of([(10, 20)])], genome, NegativesRecipe(), lengths=[30])
    assert (len(found), found.counts["closed_windows_missing"]) == (0, 1)
    found = closed_windows(windows_of([10], 10), [peaks_of([])], genome, NegativesRecipe(), lengths=[30])
    assert (len(found), found.counts["closed_windows_missing"]) == (0, 0)


@given(
    bases=st.lists(st.sampled_from([0, 1, 4, 4]), min_size=6, max_size=60),
    is_open=st.lists(st.booleans(), min_size=6, max_size=6),
    ratio=st.sampled_from([0.3, 0.5, 1.0, 1.5, 2.0, 7.0]),
    gc_bin=st.sampled_from([0.02, 0.3, 1.0]),
)
@settings(deadline=None, max_examples=25)
def test_closed_windows__what_is_wanted_is_found_or_counted(bases, is_open, ratio, gc_bin):
    genome = FakeGenome(np.repeat(bases, 5).astype(np.uint8))
    length = 5 * len(bases)
    windows = windows_of([5 * i for i in range(6)], 5, labels=[[int(label)] for label in is_open])
    recipe = NegativesRecipe(ratio=ratio, gc_bin=gc_bin)
    found = closed_windows(windows, [peaks_of([])], genome, recipe, lengths=[length])
    counts = found.counts
    n_open, n_known = sum(is_open), sum(o and base < 4 for o, base in zip(is_open, bases, strict=False))
    assert min(counts.values()) >= 0
    assert counts["closed_windows"] == len(found)
    assert counts["closed_windows_wanted"] == round(ratio * n_open)
    assert counts["closed_windows_without_gc"] == round(ratio * n_open) - round(ratio * n_known)
    shortfalls = counts["closed_windows_missing"] + counts["closed_windows_without_gc"]
    assert counts["closed_windows"] + shortfalls == counts["closed_windows_wanted"]
