"""Interactions that the runs of an arm have learned, against the pairs that were planted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chromacc_data.simulation.truth import Truth
from chromacc_models.evaluation.compare import corrected_resampled_t
from chromacc_models.evaluation.scores import rounded, without_nan
from chromacc_models.interpretation.filter_names import filter_names, group_names
from chromacc_models.interpretation.insertions import FilterResponses
from chromacc_models.interpretation.interactions import (
    RankingScores,
    candidate_pairs,
    compare_pairs,
    judged_values,
    motif_interactions,
    rank_motif_pairs,
    ranking_scores,
)
from chromacc_models.interpretation.matching import FilterMatches
from chromacc_models.interpretation.run_filters import RunFilters
from chromacc_models.interpretation.run_insertions import inserter_of, mean_of_groups
from chromacc_models.interpretation.run_interactions import Interactions
from chromacc_models.training.run import Run

__all__ = [
    "LearnedPairs",
    "confirm_pairs",
    "interaction_tests",
    "pair_histogram",
    "rank_pairs",
    "stable_pairs",
]

#: Pairs that the thesis looks at.
_N_TOP = 10

#: Share of the runs that are most of them (nine folds or ten, in the thesis).
_MOST = 0.9

#: Bins of interactions.
_N_BINS = 50

#: Standard errors from zero from which on an interaction of inserted motifs is one.
_CONFIRMED = 3.0


@dataclass(frozen=True)
class LearnedPairs:
    """Interactions of one run."""

    values: Interactions
    #: Of motif groups, (cell_type, group, group).
    of_motifs: np.ndarray
    #: Groups that each filter matches, (filter, group), bool.
    membership: np.ndarray
    #: Groups that drive each filter when they are inserted, (filter, group), bool.
    driven: np.ndarray
    #: Weights of the filters, (width, base or block, filter).
    kernel: np.ndarray
    #: Pairs of groups by cell type.
    planted: list[list[tuple[int, int]]]
    #: Names of the pairs of the first cell type.
    pair_names: list[list[str]]
    #: What each filter looks for.
    names: list[str]
    #: Names of the motif groups.
    group_names: list[str]

    @classmethod
    def of(
        cls,
        run_filters: RunFilters,
        values: Interactions,
        responses: FilterResponses,
        matches: FilterMatches,
        truth: Truth,
    ) -> LearnedPairs:
        index = {name: int(group) for name, group in zip(truth.pool.names, matches.group, strict=True)}
        planted = [[(index[p.first], index[p.second]) for p in model.pairs] for model in truth.models]
        pair_names = [[p.first, p.second] for p in truth.models[0].pairs]
        of_motifs = motif_interactions(values.raw, mean_of_groups(responses.rise, matches.group))
        groups = group_names(truth.pool.motifs, matches.group)
        return cls(
            values=values,
            of_motifs=of_motifs,
            membership=matches.in_group,
            driven=mean_of_groups(responses.drives, matches.group) > 0,
            kernel=np.asarray(run_filters.model.get_layer("filters").kernel),
            planted=planted,
            pair_names=pair_names,
            names=filter_names(groups, matches.in_group),
            group_names=groups,
        )


def rank_pairs(learned: LearnedPairs) -> dict[str, Any]:
    """Correct ones among the first ten, by several rankings, means over cell types; and the thesis' table.

    `raw_top10`: all pairs of filters, by inner products, as in the thesis; `raw_homotypic`: wrong ones among
    the first ten, of two filters with a motif in common. `scaled_top10`: all pairs, by scaled interactions;
    `chance_top10`: correct ones of ten in a random order. `raw_driven_top10`, `driven_chance_top10`: inner
    products and a random order again, where the motifs of a filter are those that activate it when
    inserted, whatever it looks like. `filters_top10`: pairs of filters that match motifs, by scaled
    interactions, homotypic ones left out; `filters_chance_top10`: as before, of these. `motifs_top10`: pairs
    of motif groups, by
    :func:`~chromacc_models.interpretation.interactions.motif_interactions`. Where there are fewer than ten
    pairs, the missing ones are wrong.
    """
    rows = [_rankings(learned, cell_type) for cell_type in range(len(learned.planted))]
    means = {name: rounded(np.mean([row[name] for row in rows])) for name in rows[0]}
    return means | {"table": _top_table(learned)}


def _rankings(learned: LearnedPairs, cell_type: int) -> dict[str, float]:
    raw, scaled = learned.values.raw[cell_type], learned.values.scaled[cell_type]
    planted, membership = learned.planted[cell_type], learned.membership
    first, second, correct = candidate_pairs(membership, planted, all_pairs=True)
    of_driven = candidate_pairs(learned.driven, planted, all_pairs=True).is_correct
    homotypic = (membership[first] & membership[second]).any(axis=1) & ~correct
    by_product, by_scaled = raw[first, second], scaled[first, second]
    matched = candidate_pairs(membership, planted)
    by_filter = _rank(scaled[matched.first, matched.second], matched.is_correct)
    by_motif = rank_motif_pairs(learned.of_motifs[cell_type], planted, k=_N_TOP)
    return {
        "raw_top10": _n_correct(_rank(by_product, correct)),
        "raw_homotypic": _n_correct(_rank(by_product, homotypic)),
        "scaled_top10": _n_correct(_rank(by_scaled, correct)),
        "chance_top10": _by_chance(correct),
        "raw_driven_top10": _n_correct(_rank(by_product, of_driven)),
        "driven_chance_top10": _by_chance(of_driven),
        "filters_top10": _n_correct(by_filter),
        "filters_chance_top10": _by_chance(matched.is_correct),
        "motifs_top10": _n_correct(by_motif),
        "motifs_average_precision": by_motif.average_precision,
    }


def _rank(values: np.ndarray, is_correct: np.ndarray) -> RankingScores:
    """Scores of pairs, of which there may be none."""
    if not len(values):
        return RankingScores(0.0, float("nan"), _N_TOP, 0, 0)
    return ranking_scores(values, is_correct, k=min(_N_TOP, len(values)))


def _n_correct(ranked: RankingScores) -> float:
    return round(ranked.precision_at_k * ranked.k)


def _by_chance(is_correct: np.ndarray) -> float:
    """Correct ones expected among the first ten, or all where there are fewer, in a random order."""
    return min(_N_TOP, len(is_correct)) * float(is_correct.mean()) if len(is_correct) else 0.0


def _top_table(learned: LearnedPairs) -> list[dict[str, Any]]:
    """First ten pairs of filters of the first cell type by inner products (thesis, Tables A.2 to A.11)."""
    raw, scaled = learned.values.raw[0], learned.values.scaled[0]
    first, second, correct = candidate_pairs(learned.membership, learned.planted[0], all_pairs=True)
    order = np.argsort(-raw[first, second], kind="stable")[:_N_TOP]
    return [
        {
            "weight": float(f"{raw[i, j]:.5g}"),
            "scaled": float(f"{scaled[i, j]:.5g}"),
            "filter_1": learned.names[i],
            "filter_2": learned.names[j],
            "correct": bool(is_correct),
        }
        for i, j, is_correct in zip(first[order], second[order], correct[order], strict=True)
    ]


def confirm_pairs(run: Run, run_filters: RunFilters, truth: Truth) -> dict[str, int]:
    """Pairs of the first cell type whose interaction predictions show when both motifs are inserted.

    `confirmed`: planted ones; `confirmed_others`: of as many others, the first motif of a pair with the
    second of the next.
    """
    insert = inserter_of(run_filters, run.config.scan_length)
    motif = dict(zip(truth.pool.names, truth.written_motifs, strict=True))
    pairs = truth.models[0].pairs
    others = [(a.first, b.second) for a, b in zip(pairs, (*pairs[1:], pairs[0]), strict=True)]

    def count(names: Sequence[tuple[str, str]]) -> int:
        effects = [insert(motif[a], motif[b]) for a, b in names]
        return sum(bool(e.interaction[0] > _CONFIRMED * e.interaction_error[0]) for e in effects)

    return {
        "confirmed": count([(pair.first, pair.second) for pair in pairs]),
        "confirmed_others": count(others),
        "n_pairs": len(pairs),
    }


def stable_pairs(learned: Sequence[LearnedPairs]) -> dict[str, Any]:
    """Pairs that at least nine in ten runs have among their first ten, of the first cell type.

    `pairs` of motif groups, of which `correct` were planted; `filters`: pairs of filters by inner products,
    None unless all runs have the same filters. `first_runs`: runs with the most common first pair of motif
    groups, whose motifs are `first`.
    """
    by_filter = None
    if _have_same_filters(learned):
        by_filter = _in_most([_first_pairs(run.values.raw[0]) for run in learned])
    by_motif = [_first_pairs(run.of_motifs[0]) for run in learned]
    in_most = _in_most(by_motif)
    planted = {(min(pair), max(pair)) for pair in learned[0].planted[0]}
    leaders = Counter(pairs[0] for pairs in by_motif if pairs)
    pair, n = leaders.most_common(1)[0] if leaders else ((), 0)
    return {
        "pairs": len(in_most),
        "correct": len(in_most & planted),
        "filters": None if by_filter is None else len(by_filter),
        "first_runs": n,
        "first": [learned[0].group_names[group] for group in pair],
    }


def _have_same_filters(learned: Sequence[LearnedPairs]) -> bool:
    return all(np.array_equal(run.kernel, learned[0].kernel) for run in learned)


def _first_pairs(values: np.ndarray) -> list[tuple[int, int]]:
    """The first ten pairs by their interaction, those without any left out."""
    first, second = np.nonzero(np.triu(values, 1))
    order = np.argsort(-values[first, second], kind="stable")[:_N_TOP]
    return list(zip(first[order].tolist(), second[order].tolist(), strict=True))


def _in_most(runs: Sequence[Sequence[tuple[int, int]]]) -> set[tuple[int, int]]:
    counts = Counter(pair for pairs in runs for pair in pairs)
    return {pair for pair, n in counts.items() if n >= _MOST * len(runs)}


def interaction_tests(learned: Sequence[LearnedPairs], ratio: float) -> dict[str, Any]:
    """Interactions of planted pairs against others, of the first cell type, over all runs.

    `raw`, where all runs have the same filters: inner products of all pairs of filters, as in the thesis.
    `scaled`: scaled interactions of pairs of filters that match different motifs. `corrected_p`: corrected
    resampled t-test of the runs' differences of means, None where a run lacks pairs of a kind: whether other
    folds would differ the same way. Networks that share data, or filters, agree whatever they learned of
    pairs, so that only the permutation test says that planted pairs stand out.
    """
    memberships = [run.membership for run in learned]
    planted = learned[0].planted[0]
    kinds = {"scaled": {"all_pairs": False}}
    if _have_same_filters(learned):
        kinds = {"raw": {"all_pairs": True}, **kinds}
    tests = {}
    for scale, options in kinds.items():
        values = [getattr(run.values, scale)[0] for run in learned]
        try:
            test = compare_pairs(values, memberships, planted, **options)
        except ValueError as error:  # no filter of any run matches
            tests[scale] = {"not_possible": str(error)}
            continue
        correct, incorrect = judged_values(values, memberships, planted, **options)
        tests[scale] = without_nan(test._asdict()) | {
            "sd_correct": float(correct.std()),
            "sd_incorrect": float(incorrect.std()),
            "corrected_p": _corrected_p(values, memberships, planted, ratio, options),
        }
    return tests


def _corrected_p(
    values: Sequence[np.ndarray],
    memberships: Sequence[np.ndarray],
    planted: Sequence[tuple[int, int]],
    ratio: float,
    options: Mapping[str, bool],
) -> float | None:
    differences = []
    for of_run, membership in zip(values, memberships, strict=True):
        correct, incorrect = judged_values([of_run], [membership], planted, **options)
        if not len(correct) or not len(incorrect):
            return None
        differences.append(correct.mean() - incorrect.mean())
    if len(differences) < 2:
        return None
    return corrected_resampled_t(np.array(differences), test_train_ratio=ratio).p_greater


def pair_histogram(learned: Sequence[LearnedPairs], scale: str) -> dict[str, list[float]]:
    """Interactions of the first cell type, correct and incorrect, counted in bins over 99 % of all.

    Of the pairs that :func:`interaction_tests` compares.
    """
    correct, incorrect = judged_values(
        [getattr(run.values, scale)[0] for run in learned],
        [run.membership for run in learned],
        learned[0].planted[0],
        all_pairs=scale == "raw",
    )
    values = np.concatenate([correct, incorrect])
    low, high = np.quantile(values, [0.005, 0.995]) if len(values) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, _N_BINS + 1)
    counts = {
        name: np.histogram(np.clip(part, edges[0], edges[-1]), edges)[0].tolist()
        for name, part in (("correct", correct), ("incorrect", incorrect))
    }
    return {"edges": edges.round(5).tolist(), **counts}
