"""Occurrences that were not planted: counted as a naive search counts them, and removed."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data.errors import InputError
from chromacc_data.recipe.simulation import MotifsRecipe, SitesRecipe
from chromacc_data.sequences.encoding import decode, encode, reverse_complement
from chromacc_data.simulation.occurrences import Patterns, count_accidental, remove_accidental
from chromacc_data.simulation.sites import Pool, Sites, draw_bases, draw_sites, plant, read_pool


def pool_of(*sequences: str) -> Pool:
    return read_pool(MotifsRecipe(sequences={f"m{i}": s for i, s in enumerate(sequences)}), [])


def no_sites(n: int) -> Sites:
    return Sites(np.full((n, 1), -1), np.full((n, 1), -1), np.zeros((n, 1), int))


def made(pool: Pool, recipe: SitesRecipe, n: int, length: int, seed: int) -> tuple[np.ndarray, Sites]:
    """Random windows with sites planted."""
    rng = np.random.default_rng(seed)
    sites = draw_sites(rng, n, pool, recipe, length)
    codes = rng.integers(0, 4, (n, length), dtype=np.uint8)
    return plant(codes, sites, draw_bases(rng, sites, pool, recipe), pool.widths), sites


def naive_count(codes: np.ndarray, sites: Sites, pool: Pool, strand: str) -> tuple[np.ndarray, np.ndarray]:
    """The counts by regular expressions, window by window."""
    outside, inside = np.zeros((2, len(codes), len(pool)), int)
    for row, text in enumerate(map(decode, codes)):
        planted = [(m, s) for m, s in zip(sites.motif[row], sites.start[row], strict=True) if m >= 0]
        covered = {s + i for m, s in planted for i in range(pool.widths[m])}
        for index, motif in enumerate(pool.motifs):
            words = {motif.consensus}
            if strand == "either":
                words.add(decode(reverse_complement(encode(motif.consensus))))
            starts = {found.start() for word in words for found in re.finditer(f"(?={word})", text)}
            for start in starts - {s for m, s in planted if m == index}:
                counts = inside if set(range(start, start + motif.width)) <= covered else outside
                counts[row, index] += 1
    return outside, inside


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.text("ACGT", min_size=2, max_size=8), min_size=2, max_size=5),
    st.sampled_from(["forward", "either"]),
    st.integers(0, 10_000),
)
def test_count_accidental__as_a_naive_search(words: list[str], strand: str, seed: int):
    pool, recipe = pool_of(*words), SitesRecipe(2, strand=strand)
    codes, sites = made(pool, recipe, 20, 40, seed)
    found = count_accidental(codes, sites, Patterns.of(pool, recipe))
    for counts, expected in zip(found, naive_count(codes, sites, pool, strand), strict=True):
        assert np.array_equal(counts, expected)


def test_count_accidental__by_hand():
    pool = pool_of("ACGT", "CG", "AAAAAAAA")
    codes = encode("ACGTTCGAAAAAAAAA")[None]
    sites = Sites(np.array([[0]]), np.array([[0]]), np.array([[1]]))
    found = count_accidental(codes, sites, Patterns.of(pool, SitesRecipe(1)))
    assert found.outside.tolist() == [[0, 1, 2]]
    assert found.inside.tolist() == [[0, 1, 0]]  # the CG of the planted ACGT


def test_count_accidental__palindrome_is_one_occurrence():
    pool, recipe = pool_of("ACGT"), SitesRecipe(1, strand="either")
    found = count_accidental(encode("TTACGTTT")[None], no_sites(1), Patterns.of(pool, recipe))
    assert found.outside.tolist() == [[1]]


@pytest.mark.parametrize("strand", ["forward", "either"])
def test_remove_accidental__leaves_the_sites_and_nothing_else(strand: str):
    pool, recipe = pool_of("ACGTA", "CGT", "GGCA"), SitesRecipe(2, strand=strand)
    codes, sites = made(pool, recipe, 300, 60, 3)
    patterns = Patterns.of(pool, recipe)
    before = count_accidental(codes, sites, patterns)
    cleaned, n_changed = remove_accidental(codes, sites, patterns, np.random.default_rng(0))
    after = count_accidental(cleaned, sites, patterns)
    assert before.outside.sum() > 100
    assert after.outside.sum() == 0
    assert np.array_equal(after.inside, before.inside)
    # A base may be changed twice.
    assert 0 < (cleaned != codes).sum() <= n_changed <= 1.5 * before.outside.sum()
    for row, (motif, start) in enumerate(zip(sites.motif, sites.start, strict=True)):
        for m, s in zip(motif, start, strict=True):
            site = slice(s, s + pool.widths[m])
            assert np.array_equal(cleaned[row, site], codes[row, site])


def test_remove_accidental__does_nothing_where_there_is_none():
    pool, recipe = pool_of("ACGTACGTAC"), SitesRecipe(1)
    codes, sites = made(pool, recipe, 50, 40, 1)
    cleaned, n_changed = remove_accidental(codes, sites, Patterns.of(pool, recipe), np.random.default_rng(0))
    assert n_changed == 0
    assert np.array_equal(cleaned, codes)


def test_remove_accidental__what_cannot_be_removed_is_said():
    pool = pool_of("A", "C", "G", "T")
    codes = np.zeros((3, 10), dtype=np.uint8)
    with pytest.raises(InputError, match=r"cannot be removed(.|\n)*3 of 3 windows(.|\n)*short motifs"):
        remove_accidental(codes, no_sites(3), Patterns.of(pool, SitesRecipe(1)), np.random.default_rng(0))
