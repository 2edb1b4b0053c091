"""Contributions: sums that are logits, Shapley values of filters, and places by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data.sequences.encoding import N_CODE, one_hot
from chromacc_models.effects.contributions import Contributions
from chromacc_models.kmer_kernels.scan import FrontEnd
from chromacc_models.scoring.scorer import Head, Scorer
from tests.effects.test_substitutions import random_scorer

CHOICES = {
    "block_length": st.sampled_from([1, 1, 2, 3]),
    "strands": st.sampled_from(["forward", "both"]),
    "activation": st.sampled_from(["linear", "relu", "exponential"]),
    "pooling": st.sampled_from(["max", "average", "logsumexp"]),
    "n_factors": st.sampled_from([0, 2]),
    "left": st.integers(-3, 3),
    "right": st.integers(-3, 3),
}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), share_of_n=st.sampled_from([0, 0, 0.2, 1]), **CHOICES)
def test_contributions__add_up_to_the_logits(seed, share_of_n, **options):
    scorer = random_scorer(seed, **options)
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (3, scorer.window_length), dtype=np.uint8)
    codes[rng.random(codes.shape) < share_of_n] = N_CODE
    expected = scorer.logits(codes) - scorer.head.bias
    contributions = Contributions(scorer)
    added = contributions.of_filters(codes).added
    close = {"rtol": 0, "atol": 1e-5 + 1e-6 * float(np.abs(added).sum(axis=1).max())}  # of what cancels out
    np.testing.assert_allclose(added.sum(axis=1), expected, **close)
    found = contributions.of_bases(codes)
    assert found.shape == (3, scorer.window_length, 3)
    np.testing.assert_allclose(found.sum(axis=1), expected, **close)
    hypothetical = contributions.of_bases(codes, hypothetical=True)
    assert hypothetical.shape == (3, scorer.window_length, 4, 3)
    known = codes != N_CODE
    there = (hypothetical * one_hot(codes)[..., np.newaxis]).sum(axis=2)
    if not share_of_n:  # what only N stands under is spread over the window, and is no base's
        np.testing.assert_allclose(there[known], found[known], **close)


@pytest.mark.parametrize("pooling", ["max", "average", "logsumexp"])
def test_of_filters__are_shapley_values(pooling):
    scorer = random_scorer(4, pooling=pooling, n_filters=5)
    codes = np.random.default_rng(1).integers(0, 4, (2, scorer.window_length), dtype=np.uint8)
    pooled = scorer.pool(codes).astype(np.float64)
    n = scorer.n_filters
    expected = np.zeros((2, n, 3))
    for size in range(n):
        weight = math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n)
        for present in itertools.combinations(range(n), size):
            for added in set(range(n)) - set(present):
                masks = np.zeros((2, n))
                masks[:, list(present)] = 1
                masks[1, added] = 1
                without, with_it = (scorer.head.logits(pooled * mask) for mask in masks)
                expected[:, added] += weight * (with_it - without)
    np.testing.assert_allclose(Contributions(scorer).of_filters(codes).added, expected, atol=1e-5)


def network(kernel: np.ndarray, *, window_length: int, **options: object) -> Contributions:
    """A network of one filter, (tap, letter), whose logit is its pooled value."""
    front_end = FrontEnd(window_length=window_length, n_filters=1, width=len(kernel), **options)
    head = Head(np.zeros(1, np.float32), np.ones((1, 1), np.float32), np.zeros((1, 1, 0), np.float32))
    weights = kernel[:, :, np.newaxis].astype(np.float32)
    scanned = slice(0, window_length)
    return Contributions(Scorer(window_length, scanned, (0, 0), front_end, weights, np.zeros(1), head))


def codes_of(text: str) -> np.ndarray:
    return np.array([["ACGTN".index(base) for base in text]], np.uint8)


CG = np.array([[-1, 1, 0, 0], [0, 0, 2, -2.0]])


def test_of_bases__the_place_that_wins_on_either_strand():
    forward = network(CG, window_length=6, pooling="max", strands="both")
    # C weighs 2 more than the worst base, and G 4: they share the scan, 3.
    assert forward.of_bases(codes_of("AACGAA"))[0, :, 0].tolist() == [0, 0, 1, 2, 0, 0]
    ca = np.array([[-1, 1, 0, 0], [2, 0, 0, -2.0]])
    reverse = network(ca, window_length=6, pooling="max", strands="both")
    # Its reverse complement is AACAAA: the A, opposite the T, weighs 4 more than the worst base, and the C 2.
    assert reverse.of_bases(codes_of("TTTGTT"))[0, :, 0].tolist() == [0, 0, 2, 1, 0, 0]


def test_of_bases__all_places_where_they_are_summed():
    found = network(CG, window_length=5, pooling="average").of_bases(codes_of("CGACG"))[0, :, 0]
    np.testing.assert_allclose(found, np.array([1, 2, 0, 1, 2]) / 4, atol=1e-6)


def test_of_bases__hypothetical_bases():
    found = network(CG, window_length=2, pooling="max").of_bases(codes_of("CG"), hypothetical=True)
    np.testing.assert_allclose(found[0, :, :, 0], np.array([[0, 2, 1, 1], [2, 2, 4, 0]]) / 2, atol=1e-6)


def test_of_bases__blocks_of_bases():
    kernel = np.zeros((1, 16))
    kernel[0, 1 * 4 + 2] = 3  # CG
    kernel[0, 1 * 4 + 3] = 1  # CT
    contributions = network(kernel, window_length=2, pooling="max", block_length=2, spacing=2)
    # In CG the C is worth 3 more than another base, and so is the G; in CT both are worth 1.
    assert contributions.of_bases(codes_of("CG"))[0, :, 0].tolist() == [1.5, 1.5]
    assert contributions.of_bases(codes_of("CT"))[0, :, 0].tolist() == [0.5, 0.5]


def test_of_bases__a_filter_that_only_reads_n_is_spread_over_the_window():
    scorer = random_scorer(3, pooling="max", bias=2.0)
    codes = np.full((1, scorer.window_length), N_CODE, np.uint8)
    found = Contributions(scorer).of_bases(codes)
    assert np.ptp(found[0, :, 0]) < 1e-6
    np.testing.assert_allclose(found.sum(axis=1), scorer.logits(codes) - scorer.head.bias, atol=2e-5)
