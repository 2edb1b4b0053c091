"""Interactions: hand-made vectors, a network set to a pair, scipy's tests, and the laws of the scaling."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test, ttest_ind
from sklearn.metrics import average_precision_score

from chromacc_data.sequences.encoding import encode, one_hot
from chromacc_models.interpretation.importance import pooled_activations
from chromacc_models.interpretation.interactions import (
    candidate_pairs,
    compare_pairs,
    inner_products,
    interaction_table,
    motif_interactions,
    rank_motif_pairs,
    ranking_scores,
    scale_by_spread,
)
from chromacc_models.networks.architectures import factorization_machine


def symmetric(n: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(n, n))
    values = np.triu(values, 1)
    return values + values.T


def labels(*motifs: int | tuple[int, ...], n: int) -> np.ndarray:
    """(filter, motif) of filters with those motifs; an empty tuple is a filter without."""
    membership = np.zeros((len(motifs), n), dtype=bool)
    for row, of_filter in zip(membership, motifs, strict=True):
        row[list(of_filter) if isinstance(of_filter, tuple) else [of_filter]] = True
    return membership


# Of filters


@given(st.integers(2, 5), st.integers(1, 3), st.integers(1, 4), st.integers(0, 1000))
def test_inner_products__are_what_the_factorization_machine_adds(n: int, units: int, k: int, seed: int):
    rng = np.random.default_rng(seed)
    vectors, x = rng.normal(size=(n, units, k)), rng.normal(size=n)
    products = inner_products(vectors)
    for unit in range(units):
        added = sum(
            vectors[i, unit] @ vectors[j, unit] * x[i] * x[j] for i, j in itertools.combinations(range(n), 2)
        )
        assert x @ products[unit] @ x / 2 == pytest.approx(added)


def network_of_a_pair(*, scale: float = 1.0, pooling: str = "max"):
    """Filters GATAA, TGACT, CACGT; the machine has learned that the first two interact.

    The second filter is scaled by a factor, and its weights in the head by the inverse.
    """
    model = factorization_machine(
        40, 2, k=2, n_filters=3, filter_width=5, pooling=pooling, pool_scale=1.0, strands="forward"
    )
    kernel = np.stack([one_hot(encode(word)) for word in ("GATAA", "TGACT", "CACGT")], axis=-1) - 0.5
    kernel[..., 1] *= scale
    bias = np.full(3, -1.0) * [1, scale, 1]
    model.get_layer("filters").set_weights([kernel, bias])
    weights = np.array([[0.1, 0.2], [-0.3, 0.1], [0.2, 0.2]])
    vectors = np.zeros((3, 2, 2))
    vectors[0, 0], vectors[1, 0], vectors[2, 0] = (2, 0), (1, 0), (0, 0.5)
    vectors[0, 1], vectors[2, 1] = (1, 1), (-1, -1)
    weights[1] /= scale
    vectors[1] /= scale
    head = {"bias": np.array([0.1, -0.1]), "kernel": weights, "vectors": vectors}
    for variable in model.get_layer("head").weights:
        variable.assign(head[variable.name])
    return model


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4, (300, 40)).astype(np.uint8)


def read(model, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Raw and scaled interactions of a network."""
    raw = inner_products(np.asarray(model.get_layer("head").vectors))
    return raw, scale_by_spread(raw, pooled_activations(model, windows).std(axis=0))


def test_interaction_table__of_a_network_set_to_a_pair(windows: np.ndarray):
    raw, scaled = read(network_of_a_pair(), windows)
    table = interaction_table(raw, scaled, ["liver", "T cell"], ["f0", "f1", "f2"], n_top=1)
    assert table[["cell_type", "rank", "filter_a", "filter_b", "raw"]].to_numpy().tolist() == [
        ["liver", 1, "f0", "f1", 2.0],
        ["T cell", 1, "f0", "f1", 0.0],
    ]
    full = interaction_table(raw, scaled, ["liver", "T cell"], ["f0", "f1", "f2"])
    assert len(full) == 6
    assert full["rank"].tolist() == [1, 2, 3] * 2
    assert full.iloc[-1][["filter_a", "filter_b", "raw"]].tolist() == ["f0", "f2", -2.0]


@pytest.mark.parametrize("scale", [0.01, 30.0])
def test_scale_by_spread__a_rescaled_filter_changes_nothing(windows: np.ndarray, scale: float):
    plain, rescaled = network_of_a_pair(), network_of_a_pair(scale=scale)
    inputs = one_hot(windows, dtype=np.float32)
    np.testing.assert_allclose(
        plain.predict_on_batch(inputs), rescaled.predict_on_batch(inputs), rtol=1e-4, atol=1e-6
    )
    raw, scaled = read(plain, windows)
    other_raw, other_scaled = read(rescaled, windows)
    assert abs(other_raw[0, 0, 1] / raw[0, 0, 1] - 1) > 0.9
    np.testing.assert_allclose(other_scaled, scaled, rtol=1e-4, atol=1e-6)


# Of motifs


def test_motif_interactions__by_hand():
    products = np.array([[0, 1, 2, 8], [1, 0, 4, 16], [2, 4, 0, 32], [8, 16, 32, 0.0]])
    # Filters 0 and 1 see motif 0, filter 2 sees motif 1, and filter 3 none.
    rises = np.array([[1, 0], [0.5, 0], [0, 3], [0, 0]])
    # 2 * 1 * 3 + 4 * 0.5 * 3; homotypic 1 * 1 * 0.5.
    assert motif_interactions(products, rises).tolist() == [[0.5, 12], [12, 0]]
    combination = np.array([[1, 1], [0, 1], [0, 0], [0, 0]])
    # One filter of both motifs, and one of the second: their product counts for either pair.
    assert motif_interactions(products, combination).tolist() == [[0, 1], [1, 1]]


def test_motif_interactions__laws():
    products, rises = symmetric(6), np.random.default_rng(1).uniform(0, 2, (6, 3))
    found = motif_interactions(products, rises)
    np.testing.assert_allclose(found, found.T)
    order = np.random.default_rng(0).permutation(6)
    np.testing.assert_allclose(motif_interactions(products[np.ix_(order, order)], rises[order]), found)
    # A filter that is c times as active, with a vector of 1 / c, is the filter.
    c = np.array([0.01, 1, 2, 30, 1, 5])
    np.testing.assert_allclose(motif_interactions(products / c[:, None] / c, rises * c[:, None]), found)
    # A filter in two halves, each with half the activation and the same vector, is the filter, but for what
    # the halves have with each other.
    halves = np.repeat(np.repeat(products, 2, axis=0), 2, axis=1)
    np.testing.assert_allclose(motif_interactions(halves, np.repeat(rises, 2, axis=0) / 2), found)
    several = motif_interactions(np.stack([products, 2 * products]), rises)
    np.testing.assert_allclose(several[1], 2 * found)


# Against planted pairs


def test_rank_motif_pairs__by_hand():
    values = symmetric(4)
    values[np.triu_indices(4, 1)] = [5, 1, 0, 4, 2, 0]  # 01, 02, 03, 12, 13, 23
    values = np.triu(values, 1) + np.triu(values, 1).T + np.diag([9.0] * 4)
    found = rank_motif_pairs(values, [(1, 0), (2, 0)], k=2)
    assert (found.precision_at_k, found.k, found.n_correct, found.n_pairs) == (0.5, 2, 2, 4)
    assert found.average_precision == pytest.approx((1 + 2 / 4) / 2)
    # Pairs that do not interact have no place, and planted ones among them are missed.
    missed = rank_motif_pairs(values, [(0, 1), (0, 3), (1, 1)])
    assert (missed.precision_at_k, missed.average_precision, missed.k) == (1 / 6, 1 / 2, 6)
    assert (missed.n_correct, missed.n_pairs) == (2, 4)
    none = rank_motif_pairs(np.eye(4), [(0, 1)])
    assert none[:2] == (0, 0)
    assert none.n_pairs == 0
    assert np.isnan(rank_motif_pairs(values, [(1, 1)]).average_precision)


def test_candidate_pairs__by_hand():
    # Motifs 0 and 1 are planted. Filters: 0, 1, 2, 0 again, one of 0 and 1, and one without a motif.
    membership = labels(0, 1, 2, 0, (0, 1), (), n=3)
    found = candidate_pairs(membership, [(1, 0)])
    judged = dict(
        zip(
            zip(found.first.tolist(), found.second.tolist(), strict=True),
            found.is_correct.tolist(),
            strict=True,
        )
    )
    assert judged == {
        (0, 1): True,
        (0, 2): False,
        (1, 2): False,
        (1, 3): True,
        (2, 3): False,
        # Not the last but one with 0, 1 and 3: they have a motif in common, if with its partner as well.
        (2, 4): False,
    }
    every = candidate_pairs(membership, [(1, 0)], all_pairs=True)
    assert (len(every.first), every.is_correct.sum()) == (15, 5)
    # Which pairs are judged does not follow from what was planted.
    np.testing.assert_array_equal(candidate_pairs(membership, [(1, 2)]).first, found.first)


def test_ranking_scores__by_hand_and_scikit_learn():
    values = np.array([0.9, -2.0, 0.5, 0.1, 0.7])
    correct = np.array([True, False, False, True, True])
    found = ranking_scores(values, correct, k=2)
    assert found.precision_at_k == 1
    assert found.average_precision == pytest.approx(average_precision_score(correct, values))
    assert ranking_scores(values, correct, k=10).precision_at_k == 0.6
    assert np.isnan(ranking_scores(values, np.zeros(5, dtype=bool)).average_precision)
    with pytest.raises(ValueError, match="0 pairs"):
        ranking_scores(np.zeros(0), np.zeros(0, dtype=bool))


def test_compare_pairs__welch_is_scipys():
    values, membership = symmetric(8), labels(*range(8), n=8)
    planted = [(0, 1), (2, 3), (4, 5)]
    found = compare_pairs([values, values.T * 2], [membership, membership], planted, n_permutations=9)
    pairs = candidate_pairs(membership, planted)
    both = np.concatenate([v[pairs.first, pairs.second] for v in (values, values * 2)])
    correct = np.tile(pairs.is_correct, 2)
    expected = ttest_ind(both[correct], both[~correct], equal_var=False, alternative="greater")
    assert (found.welch_t, found.welch_p) == (
        pytest.approx(expected.statistic),
        pytest.approx(expected.pvalue),
    )
    assert (found.n_correct, found.n_incorrect) == (6, 50)


def test_compare_pairs__permutation_by_enumeration():
    # Four filters of four motifs: all 24 dealings, the share of those with a difference as large.
    values, planted = symmetric(4, seed=3), [(0, 1)]

    def statistic(order: np.ndarray) -> float:
        shuffled = values[np.ix_(order.astype(int), order.astype(int))]
        others = shuffled[np.triu_indices(4, 1)].sum() - shuffled[0, 1]
        return shuffled[0, 1] - others / 5

    exact = np.mean(
        [statistic(np.array(o)) >= statistic(np.arange(4)) - 1e-12 for o in itertools.permutations(range(4))]
    )
    found = compare_pairs([values], [labels(0, 1, 2, 3, n=4)], planted, n_permutations=20_000)
    assert found.permutation_p == pytest.approx(exact, abs=0.015)
    scipys = permutation_test(
        (np.arange(4.0),), statistic, permutation_type="pairings", alternative="greater", n_resamples=np.inf
    )
    assert scipys.pvalue == pytest.approx(exact)


def test_compare_pairs__planted_pairs_of_a_network_stand_out():
    values, planted = symmetric(12) * 0.1, [(0, 1), (2, 3), (4, 5), (6, 7)]
    for a, b in planted:
        values[a, b] = values[b, a] = 2 + a / 10
    membership = labels(*range(12), n=12)
    found = compare_pairs([values], [membership], planted, n_permutations=999)
    assert found.permutation_p == 0.001
    assert found.welch_p < 1e-3
    assert found.mean_correct == pytest.approx(2.3)
    order = np.random.default_rng(1).permutation(12)
    permuted = compare_pairs([values[np.ix_(order, order)]], [membership[order]], planted, n_permutations=999)
    assert (permuted.permutation_p, permuted.welch_t) == (0.001, pytest.approx(found.welch_t))


def test_compare_pairs__p_values_are_valid_under_the_null():
    # Interactions with a strong filter, which make its pairs alike: Welch's test is fooled, this one not.
    rng = np.random.default_rng(0)
    membership, planted = labels(*range(8), n=8), [(0, 1), (0, 2), (0, 3)]
    p = []
    for _ in range(200):
        strength = rng.normal(size=8)
        p.append(
            compare_pairs(
                [np.add.outer(strength, strength)],
                [membership],
                planted,
                n_permutations=59,
                seed=int(rng.integers(1e9)),
            )
        )
    permutation, welch = (
        np.array([getattr(test, name) for test in p]) for name in ("permutation_p", "welch_p")
    )
    assert 0.01 <= (permutation <= 0.05).mean() <= 0.09
    assert (welch <= 0.05).mean() > 0.1


@pytest.mark.parametrize("are_transferred", [True, False])
def test_compare_pairs__networks_of_the_same_data_prove_no_more_than_one(are_transferred: bool):
    # Ten folds that have learned the same nothing: with the same filters, or each in an order of its own.
    rng = np.random.default_rng(0)
    membership, planted = labels(*range(8), n=8), [(0, 1), (2, 3)]
    p = []
    for trial in range(200):
        common = symmetric(8, trial)
        values, memberships = [], []
        for _ in range(10):
            order = np.arange(8) if are_transferred else rng.permutation(8)
            noisy = common + 0.3 * symmetric(8, int(rng.integers(1e9)))
            values.append(noisy[np.ix_(order, order)])
            memberships.append(membership[order])
        found = compare_pairs(values, memberships, planted, n_permutations=59, seed=trial)
        p.append(found.permutation_p)
    assert 0.01 <= (np.array(p) <= 0.05).mean() <= 0.09


def test_compare_pairs__all_pairs_as_in_the_thesis():
    # Motifs 0 and 1 are planted; two filters of 0, one of 1, one of 2, and one without.
    values, membership = symmetric(5), labels(0, 0, 1, 2, (), n=3)
    correct = [values[0, 2], values[1, 2]]
    every = values[np.triu_indices(5, 1)]
    found = compare_pairs([values], [membership], [(0, 1)], all_pairs=True, n_permutations=9)
    assert (found.n_correct, found.n_incorrect) == (2, 8)
    assert found.mean_correct == pytest.approx(np.mean(correct))
    assert found.mean_incorrect == pytest.approx((every.sum() - sum(correct)) / 8)
    # Of pairs of different motifs, the homotypic one and four of the filter without a motif are out.
    assert compare_pairs([values], [membership], [(0, 1)], n_permutations=9).n_incorrect == 3


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_compare_pairs__never_zero_and_reproducible(seed: int):
    values, membership = symmetric(5, seed), labels(*range(5), n=5)
    found = compare_pairs([values], [membership], [(0, 1)], n_permutations=19, seed=seed)
    assert 0.05 <= found.permutation_p <= 1
    assert np.isnan(found.welch_p)  # one correct pair
    again = compare_pairs([values], [membership], [(0, 1)], n_permutations=19, seed=seed)
    assert again.permutation_p == found.permutation_p


def test_compare_pairs__nothing_to_compare():
    with pytest.raises(ValueError, match="0 correct and 3 incorrect pairs"):
        compare_pairs([symmetric(3)], [labels(0, 1, 2, n=5)], [(3, 4)])
