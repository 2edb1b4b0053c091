"""Hits: what a prediction is made of, to the last place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from chromacc_models.effects.contributions import Contributions
from chromacc_models.effects.hits import find_hits
from tests.effects.test_contributions import CG, CHOICES, codes_of, network
from tests.effects.test_substitutions import random_scorer


@settings(max_examples=40, deadline=None)
@given(**CHOICES)
def test_find_hits__with_the_rest_they_add_up_to_the_logits(**options):
    scorer = random_scorer(1, **options)
    codes = np.random.default_rng(0).integers(0, 4, (70, scorer.window_length), dtype=np.uint8)
    contributions = Contributions(scorer)
    scale = np.abs(contributions.of_filters(codes).added).sum(axis=1).max()
    for at_least in (0.0, 0.1 * scale / scorer.n_filters):
        hits = find_hits(contributions, codes, at_least=at_least)
        total = hits.rest + scorer.head.bias
        np.add.at(total, hits.window, hits.added)
        np.testing.assert_allclose(total, scorer.logits(codes), rtol=0, atol=1e-5 + 2e-6 * scale)
        assert (np.abs(hits.added).max(axis=1) > at_least).all()
        assert (np.diff(hits.window) >= 0).all()


def test_find_hits__where_and_on_which_strand():
    forward = find_hits(network(CG, window_length=6, pooling="max", strands="both"), codes_of("AACGAA"))
    assert [column.tolist() for column in forward[:5]] == [[0], [0], [2], [4], [1]]
    ca = np.array([[-1, 1, 0, 0], [2, 0, 0, -2.0]])
    reverse = find_hits(network(ca, window_length=6, pooling="max", strands="both"), codes_of("TTTGTT"))
    assert [column.tolist() for column in reverse[:5]] == [[0], [0], [2], [4], [-1]]
    assert reverse.added.tolist() == [[3.0]]


def test_find_hits__every_place_that_is_averaged():
    hits = find_hits(network(CG, window_length=5, pooling="average"), codes_of("CGACG"))
    assert hits.start.tolist() == [0, 3]
    np.testing.assert_allclose(hits.added, [[3 / 4], [3 / 4]])


def test_find_hits__in_padding_and_behind_a_crop():
    for left, shift in ((-2, -2), (3, 3)):
        scorer = random_scorer(2, left=left)
        codes = np.random.default_rng(0).integers(0, 4, (20, scorer.window_length), dtype=np.uint8)
        hits = find_hits(Contributions(scorer), codes)
        assert hits.start.min() >= shift
        assert (hits.end - hits.start == 4).all()


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_find_hits__of_no_windows(pooling):
    scorer = random_scorer(0, pooling=pooling)
    hits = find_hits(Contributions(scorer), np.empty((0, scorer.window_length), np.uint8))
    assert len(hits) == 0
    assert hits.rest.shape == (0, 3)


def test_find_hits__what_is_too_small_is_in_the_rest():
    contributions = network(CG, window_length=8, pooling="average")
    codes = codes_of("CGTTTTTG")  # at TG, 2
    hits = find_hits(contributions, codes, at_least=2.5 / 7)
    assert hits.start.tolist() == [0]
    np.testing.assert_allclose(hits.rest, [[2 / 7]], atol=1e-6)
