"""Interactions that a factorization machine has learned: of filters, of motifs, and whether they are real.

The machine of a cell type adds <V_i, V_j> x_i x_j to its logit for each pair of filters with pooled
activations x (thesis, eq. 2.2). The inner products alone rank pairs by a scale that nothing fixes: with c x_i
for x_i and V_i / c for V_i all predictions stay, and the products of filter i do not. Times the spreads of
both activations over windows they do: they tell what is added when both go up by a standard deviation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import ttest_ind

from chromacc_models.evaluation.scores import average_precision

__all__ = [
    "PairTest",
    "candidate_pairs",
    "compare_pairs",
    "inner_products",
    "interaction_table",
    "judged_values",
    "motif_interactions",
    "rank_motif_pairs",
    "ranking_scores",
    "scale_by_spread",
]


class PairTest(NamedTuple):
    """Whether interactions of planted pairs are larger than the others."""

    n_correct: int
    n_incorrect: int
    mean_correct: float
    mean_incorrect: float
    #: Welch's unequal variances t-test, one-sided (thesis, section 5.2.1); NaN for fewer than two of a kind.
    welch_t: float
    welch_p: float
    #: Of the difference of means, motifs permuted among the planted pairs.
    permutation_p: float


class RankingScores(NamedTuple):
    """How highly planted pairs are ranked."""

    #: Share of planted pairs among the first k, or among all where there are fewer.
    precision_at_k: float
    #: Area under the precision-recall curve; NaN without planted pairs.
    average_precision: float
    k: int
    n_correct: int
    n_pairs: int


def inner_products(vectors: np.ndarray) -> np.ndarray:
    """Inner products of the interaction vectors, (filter, cell_type, factor) to (cell_type, filter, filter).

    float64; the diagonal is zero, as a factorization machine has no interaction of an input with itself.

    >>> inner_products(np.array([[[1.0, 2.0]], [[3.0, 0.5]]])).tolist()
    [[[0.0, 4.0], [4.0, 0.0]]]
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    products = np.einsum("ick,jck->cij", vectors, vectors)
    diagonal = np.arange(len(vectors))
    products[:, diagonal, diagonal] = 0
    return products


def scale_by_spread(products: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Inner products times the spread of both filters: what a rescaled filter does not change.

    Parameters
    ----------
    products
        (cell_type, filter, filter): see :func:`inner_products`.
    spread
        Standard deviation of each filter's pooled activation over windows, (filter,).

    Examples
    --------
    >>> scale_by_spread(np.array([[[0.0, 4.0], [4.0, 0.0]]]), np.array([0.5, 3.0])).tolist()
    [[[0.0, 6.0], [6.0, 0.0]]]
    """
    return products * spread[:, None] * spread


def interaction_table(
    products: np.ndarray,
    scaled: np.ndarray,
    cell_types: Sequence[str],
    filters: Sequence[str],
    *,
    n_top: int | None = None,
    absolute: bool = False,
) -> pd.DataFrame:
    """Pairs of filters by cell type, the largest scaled interaction first.

    The order is that of the signed value, as in the thesis' Appendix A: the top are pairs that open chromatin
    together, at the end stand those that close it.

    Parameters
    ----------
    products, scaled
        (cell_type, filter, filter).
    cell_types, filters
        Names.
    n_top
        Pairs of each cell type; all when None.
    absolute
        Order by size instead.

    Returns
    -------
    pd.DataFrame
        cell_type, rank (from 1), filter_a, filter_b, raw, scaled.
    """
    first, second = np.triu_indices(len(filters), 1)
    names = np.array(filters, dtype=object)
    parts = []
    for cell_type, raw, values in zip(cell_types, products, scaled, strict=True):
        of_pairs = values[first, second]
        order = np.argsort(-np.abs(of_pairs) if absolute else -of_pairs, kind="stable")[:n_top]
        a, b = first[order], second[order]
        parts.append(
            pd.DataFrame(
                {
                    "cell_type": cell_type,
                    "rank": np.arange(1, len(order) + 1),
                    "filter_a": names[a],
                    "filter_b": names[b],
                    "raw": raw[a, b],
                    "scaled": values[a, b],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def motif_interactions(products: np.ndarray, rises: np.ndarray) -> np.ndarray:
    """Interactions of motifs, in logits: what the machine adds for both motifs, beyond each alone.

    A motif A in a window raises the pooled activation of filter i by r_i(A). Where rises add up, the logit
    with A and B, minus those with either one, plus that with none, is the sum over all pairs of filters i !=
    j of <V_i, V_j> r_i(A) r_j(B) (from thesis, eq. 2.2). So a filter is weighted by how much the motif drives
    it, and may count for several motifs; neither its appearance nor its scale matters. Rises do not add up
    where two motifs raise the same filters under max pooling: compare with
    :func:`chromacc_models.interpretation.insertions.insertion_effect`, which predicts.

    Parameters
    ----------
    products
        Inner products (..., filter, filter), symmetric, zero on the diagonal: :func:`inner_products`.
    rises
        (filter, motif): `rise` of :func:`chromacc_models.interpretation.insertions.filter_responses`.

    Returns
    -------
    np.ndarray
        (..., motif, motif) float64, symmetric. The diagonal holds homotypic interactions: what the pairs of
        filters that one motif drives add where it is there once, half of the sum above.

    Examples
    --------
    >>> products = np.array([[0, 1, 2], [1, 0, 4], [2, 4, 0.0]])
    >>> motif_interactions(products, np.array([[1, 0], [0.5, 0], [0, 1]])).tolist()
    [[0.5, 4.0], [4.0, 0.0]]
    """
    rises = np.asarray(rises, dtype=np.float64)
    found = rises.T @ products @ rises
    return found * np.where(np.eye(rises.shape[1], dtype=bool), 0.5, 1.0)


class CandidatePairs(NamedTuple):
    """Pairs of filters that are judged; arrays of shape (pair,)."""

    first: np.ndarray
    second: np.ndarray
    #: Whether a motif of one filter and a motif of the other are a planted pair.
    is_correct: np.ndarray


def candidate_pairs(
    membership: np.ndarray, planted: Sequence[tuple[int, int]], *, all_pairs: bool = False
) -> CandidatePairs:
    """Pairs of filters with a motif each, and whether they are planted; homotypic ones are left out.

    Two filters that have a motif in common are homotypic, also where they hold a planted pair besides
    (combination filters): which pairs are candidates must not depend on what was planted.

    Parameters
    ----------
    membership
        (filter, motif), bool.
    planted
        Indices of the motifs that interact.
    all_pairs
        Judge every pair of filters, as the thesis does (section 5.2.1): homotypic ones, and those of filters
        without a motif, are incorrect.
    """
    belongs = np.asarray(membership, dtype=bool)
    truth = np.zeros((belongs.shape[1],) * 2, dtype=bool)
    for a, b in planted:
        truth[a, b] = truth[b, a] = True
    count = belongs.astype(np.float32)  # small numbers: exact, and multiplied by BLAS
    correct = count @ truth.astype(np.float32) @ count.T > 0
    if all_pairs:
        judged = np.ones_like(correct)
    else:
        homotypic = count @ count.T > 0
        matched = belongs.any(axis=1)
        judged = matched[:, None] & matched & ~homotypic
    first, second = np.nonzero(np.triu(judged, 1))
    return CandidatePairs(first, second, correct[first, second])


def ranking_scores(values: np.ndarray, is_correct: np.ndarray, *, k: int = 10) -> RankingScores:
    """Precision among the k largest values, and average precision, against planted pairs.

    Parameters
    ----------
    values
        Interactions, (pair,); of equal ones the earlier ranks higher.
    is_correct
        Whether a pair was planted, (pair,), bool.

    Examples
    --------
    >>> ranking_scores(np.array([3.0, 1.0, 2.0]), np.array([True, True, False]), k=2)[:2]
    (0.5, 0.8333333333333333)
    """
    if k < 1 or not len(values):
        raise ValueError(f"{len(values)} pairs, k = {k}; expected one or more of both")
    top = np.argsort(-values, kind="stable")[:k]
    average = average_precision(is_correct, values)
    return RankingScores(float(is_correct[top].mean()), average, k, int(is_correct.sum()), len(values))


def rank_motif_pairs(values: np.ndarray, planted: Sequence[tuple[int, int]], *, k: int = 10) -> RankingScores:
    """How highly planted pairs are ranked among pairs of motifs, each pair once, homotypic ones left out.

    A pair without any interaction, such as one of motifs that no filter sees, has no place in the ranking; a
    planted one among them was missed, and average precision counts it with 0, as precision does where fewer
    than k pairs are ranked.

    Parameters
    ----------
    values
        Interactions of motifs (motif, motif), symmetric: :func:`motif_interactions`.
    planted
        Indices of the motifs that interact; a motif with itself has no place either, and is not counted.
    k
        Pairs for the precision, or all where there are fewer.

    Examples
    --------
    >>> values = np.zeros((6, 6))
    >>> values[0, 1] = values[1, 0] = 2.0
    >>> rank_motif_pairs(values, [(0, 1), (2, 3)], k=10)[:2]
    (0.1, 0.5)
    """
    pairs = {(min(pair), max(pair)) for pair in planted if pair[0] != pair[1]}
    k = min(k, len(values) * (len(values) - 1) // 2)
    first, second = np.nonzero(np.triu(values, 1))
    is_planted = np.array([pair in pairs for pair in zip(first.tolist(), second.tolist(), strict=True)], bool)
    if not is_planted.any():
        return RankingScores(0.0, 0.0 if pairs else float("nan"), k, len(pairs), len(first))
    top = np.argsort(-values[first, second], kind="stable")[:k]
    average = average_precision(is_planted, values[first, second]) * is_planted.sum() / len(pairs)
    return RankingScores(float(is_planted[top].sum() / k), float(average), k, len(pairs), len(first))


def compare_pairs(
    values: Sequence[np.ndarray],
    memberships: Sequence[np.ndarray],
    planted: Sequence[tuple[int, int]],
    *,
    all_pairs: bool = False,
    n_permutations: int = 1999,
    seed: int = 0,
) -> PairTest:
    """Test whether planted pairs interact more than others, over one network or several (folds).

    Welch's t-test takes every pair of every network as independent, as the thesis does (section 5.2.1), which
    pairs that share a filter and folds that share data are not. The permutation test does not: its null
    hypothesis is that interactions know nothing of which motifs were planted as pairs. The motifs that
    filters match are shuffled among the planted pairs, in the same way for all networks, as networks of the
    same data agree with each other whatever they have learned (Mantel's test). The statistic is the mean of
    correct minus the mean of incorrect pairs over all networks, and p = (1 + k) / (1 + n), where k of n
    permutations have a statistic at least as large, or lack correct or incorrect pairs.

    Parameters
    ----------
    values
        Interactions of each network, (filter, filter), symmetric. Networks are weighed as they are: scaled
        values, or raw ones of networks with the same filters.
    memberships
        (filter, motif) of each network, bool.
    planted
        Indices of the motifs that interact.
    all_pairs
        Which pairs are compared: see :func:`candidate_pairs`.
    n_permutations, seed
        Of the permutation test.

    Raises
    ------
    ValueError
        If there are no correct or no incorrect pairs.
    """
    correct, incorrect = judged_values(values, memberships, planted, all_pairs=all_pairs)
    if not len(correct) or not len(incorrect):
        raise ValueError(f"{len(correct)} correct and {len(incorrect)} incorrect pairs; nothing to compare")
    welch_t = welch_p = float("nan")
    if min(len(correct), len(incorrect)) > 1:
        welch = ttest_ind(correct, incorrect, equal_var=False, alternative="greater")
        welch_t, welch_p = float(welch.statistic), float(welch.pvalue)
    observed = correct.mean() - incorrect.mean()
    rng = np.random.default_rng(seed)
    matched = np.flatnonzero(np.any([m.any(axis=0) for m in memberships], axis=0))
    motif = np.arange(np.asarray(memberships[0]).shape[1])
    as_large = 0
    for _ in range(n_permutations):
        motif[matched] = rng.permutation(matched)
        shuffled = [(int(motif[a]), int(motif[b])) for a, b in planted]
        ours, others = judged_values(values, memberships, shuffled, all_pairs=all_pairs)
        if not len(ours) or not len(others):
            as_large += 1
            continue
        # Rounding must not turn an equal statistic into a smaller one.
        as_large += ours.mean() - others.mean() >= observed - 1e-12 * (1 + abs(observed))
    return PairTest(
        len(correct),
        len(incorrect),
        float(correct.mean()),
        float(incorrect.mean()),
        welch_t,
        welch_p,
        (1 + int(as_large)) / (1 + n_permutations),
    )


def judged_values(
    values: Sequence[np.ndarray],
    memberships: Sequence[np.ndarray],
    planted: Sequence[tuple[int, int]],
    *,
    all_pairs: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Interactions of correct and of incorrect pairs, of all networks: two arrays (pair,), float64.

    Parameters
    ----------
    values, memberships, planted, all_pairs
        As in :func:`compare_pairs`.
    """
    parts: dict[bool, list[np.ndarray]] = {True: [np.zeros(0)], False: [np.zeros(0)]}
    for of_network, membership in zip(values, memberships, strict=True):
        pairs = candidate_pairs(membership, planted, all_pairs=all_pairs)
        judged = of_network[pairs.first, pairs.second]
        for kind, found in parts.items():
            found.append(judged[pairs.is_correct == kind])
    return np.concatenate(parts[True]), np.concatenate(parts[False])
