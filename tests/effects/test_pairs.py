"""Pairs of base changes against scoring each double mutant, and their parts by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_models.effects.pairs import PairEffects, PairMap
from chromacc_models.kmer_kernels.scan import FrontEnd
from chromacc_models.scoring.scorer import Head, Scorer

LENGTH, WIDTH = 12, 4


def make_scorer(*, pooling: str = "max", strands: str = "both", k: int = 2, margin: int = 0) -> Scorer:
    rng = np.random.default_rng(0)
    front_end = FrontEnd(LENGTH - 2 * margin, 6, WIDTH, strands=strands, pooling=pooling)
    kernel, bias, head_bias, weights, vectors = (
        rng.normal(size=shape).astype(np.float32) for shape in ((WIDTH, 4, 6), 6, 2, (6, 2), (6, 2, k))
    )
    scanned = slice(margin, LENGTH - margin)
    return Scorer(LENGTH, scanned, (0, 0), front_end, kernel, bias, Head(head_bias, weights, vectors))


def naive(scorer: Scorer, codes: np.ndarray, first: range, second: range) -> PairMap:
    """By logits of each double mutant, and by logits of changes of pooled values that add up."""
    shape = (len(first), 4, len(second), 4, scorer.n_cell_types)
    interaction, cooperation = np.zeros(shape), np.zeros(shape)

    def mutant(*changes: tuple[int, int]) -> np.ndarray:
        changed = codes.copy()
        for position, base in changes:
            changed[position] = base
        return changed[np.newaxis]

    def logits(values: np.ndarray) -> np.ndarray:
        return Head(*(array.astype(np.float64) for array in scorer.head)).logits(values)[0]

    pooled = scorer.pool(mutant()).astype(np.float64)
    for p, a, q, b in product(first, range(4), second, range(4)):
        if p == q or codes[p] == a or codes[q] == b:
            continue
        both = scorer.pool(mutant((p, a), (q, b))).astype(np.float64)
        one, other = (scorer.pool(mutant(change)).astype(np.float64) for change in ((p, a), (q, b)))
        alone = logits(one) + logits(other) - logits(pooled)
        at = p - first.start, a, q - second.start, b
        interaction[at] = logits(both) - alone
        cooperation[at] = logits(one + other - pooled) - alone
    return PairMap(interaction, cooperation)


@settings(deadline=None, max_examples=12)
@given(
    st.sampled_from(["max", "average", "logsumexp"]),
    st.sampled_from(["forward", "both"]),
    st.sampled_from([0, 2]),
    st.sampled_from([0, 2]),
    st.lists(st.integers(0, 4), min_size=LENGTH, max_size=LENGTH),
)
def test_of_window__equals_double_mutants(pooling: str, strands: str, k: int, margin: int, bases: list[int]):
    scorer = make_scorer(pooling=pooling, strands=strands, k=k, margin=margin)
    codes = np.array(bases, np.uint8)
    sites = range(1, 7), range(4, 11)
    found = PairEffects(scorer).of_window(codes, *sites)
    expected = naive(scorer, codes, *sites)
    largest = max(1, np.abs(expected.interaction).max())
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-6 * largest)
    np.testing.assert_allclose(found.redundancy, expected.redundancy, atol=4e-6 * largest)
    if k == 0:
        assert not found.cooperation.any()


def test_of_window__is_symmetric():
    codes = np.random.default_rng(1).integers(0, 4, LENGTH).astype(np.uint8)
    found = PairEffects(make_scorer()).of_window(codes)
    assert found.interaction.shape == (LENGTH, 4, LENGTH, 4, 2)
    for array in found:
        np.testing.assert_allclose(array, array.transpose(2, 3, 0, 1, 4), atol=1e-6 * np.abs(array).max())
        assert array.any()


def test_of_window__sites_far_apart_do_not_interact_under_an_average():
    """What is added up has no redundancy where no place sees both changes."""
    codes = np.random.default_rng(2).integers(0, 4, LENGTH).astype(np.uint8)
    found = PairEffects(make_scorer(pooling="average")).of_window(codes, range(0, 2), range(8, 12))
    largest = np.abs(found.cooperation).max()
    assert largest > 1e-3
    np.testing.assert_allclose(found.redundancy, 0, atol=1e-5 * max(1, largest))
