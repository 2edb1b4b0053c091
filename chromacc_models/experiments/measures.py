"""What the runs of an arm have learned, as plain numbers: of each run, and of all together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chromacc_data.motifs import Motif, reverse_complement
from chromacc_data.simulation.truth import Truth, ceiling, is_simulated, read_truth
from chromacc_data.store import open_store
from chromacc_models.compare import corrected_resampled_t
from chromacc_models.evaluate import evaluate, mean_roc, open_batches, read_predictions, without_nan
from chromacc_models.reading.combinations import decompose_filters, score_decompositions
from chromacc_models.reading.filters import base_weights
from chromacc_models.reading.importance import filter_importance
from chromacc_models.reading.insertions import filter_responses, shuffled_backgrounds
from chromacc_models.reading.interactions import (
    RankingScores,
    candidate_pairs,
    collapse,
    compare_pairs,
    judged_values,
    rank_motif_pairs,
    ranking_scores,
)
from chromacc_models.reading.matching import FilterMatches, match_filters
from chromacc_models.reading.run_interactions import (
    N_BACKGROUNDS,
    Interactions,
    inserter_of,
    interactions_of,
    scanned,
)
from chromacc_models.reading.run_motifs import (
    MAX_E,
    DatabaseMatches,
    FilterReading,
    group_names,
    read_filters_of_run,
    search_database,
)
from chromacc_models.run import Run

__all__ = ["N_TOP", "VERSION", "held_out_ratio", "measure_runs", "paired_differences", "values_of"]

#: Goes up when what is measured changes: older measures are then made again, from the runs as they are.
VERSION = 5

#: Pairs that the thesis looks at.
N_TOP = 10

#: Bins of predictions, and of interactions.
_N_BINS = 50

#: Filters of the first run that are drawn.
_N_LOGOS = 12

#: Area under the ROC curve from which on an inserted motif is said to drive a filter: half way from chance to
#: certainty.
_DRIVEN = 0.75

#: Standard errors from zero from which on an interaction of inserted motifs is one.
_CONFIRMED = 3.0


def measure_runs(runs: Sequence[Run], *, database: Sequence[Motif] | None = None) -> dict[str, Any]:
    """Measures of the runs of an arm, ready for JSON.

    Parameters
    ----------
    runs
        Finished runs of one configuration, by fold or seed.
    database
        Known motifs that filters are matched with, where no truth is known.

    Returns
    -------
    dict
        `runs`: of each run `auroc`, `auprc` (means over cell types, held-out windows), `cell_types`
        (AUROC by name), `n_train`, `n_test`, `epochs`, `seconds` (epochs times the median one); of simulated
        data `ceiling` (AUROC of a perfect reader on the same windows), `filters` (numbers of single,
        combination and other filters by motif groups and, as in the thesis, by motifs; `found` of `n_groups`
        groups have a single-motif filter) and `decomposed` (filters taken apart, against the motifs that
        drive them, and against motifs that were never planted); of factorization machines on pairs
        `interactions`; with a database `database` (filters matched at E <= 0.01, and the numbers expected of
        filters that learned nothing). `interaction_tests`, where there are pairs: correct against incorrect
        ones over all runs. `planted`: the pairs, `stable`: those that most runs have among the first ten. The
        rest is what pictures are drawn of.
    """
    found: dict[str, Any] = {"runs": []}
    learned: list[_Learned] = []
    for run in runs:
        measures = _scores(run)
        reading = read_filters_of_run(run)
        truth = _truth(run)
        matched: DatabaseMatches | None = None
        names = ["" for _ in reading.motifs]
        if truth is not None:
            matches = match_filters(reading.motifs, truth.pool.motifs, both_strands=reading.both_strands)
            measures["filters"] = _filters(matches)
            measures["decomposed"] = _decomposed(run, reading, matches, truth)
            names = _names_of_filters(matches, truth)
            interactions = interactions_of(reading)
            if interactions is not None and any(model.pairs for model in truth.models):
                learned.append(_Learned.of(interactions, matches, truth, names))
                measures["interactions"] = _interactions(learned[-1]) | _confirmed(run, reading, truth)
        elif database is not None:
            matched = search_database(reading, tuple(database))
            measures["database"] = _database(reading, matched)
            names = [
                matched.targets[i].symbol if e <= MAX_E else ""
                for i, e in zip(matched.best, matched.best_e, strict=True)
            ]
        if not found["runs"]:
            found["logos"] = _logos(reading, names, matched)
            found["histogram"] = _histogram(run)
        found["runs"].append(measures)
    found["roc"] = np.mean([_roc(run) for run in runs], axis=0).round(4).tolist()
    if learned:
        found["planted"] = learned[0].pair_names
        found["stable"] = _stable(learned)
        found["interaction_tests"] = _tests(learned, held_out_ratio(found))
        found["interaction_histograms"] = {
            scale: _interaction_histogram(learned, scale) for scale in ("raw", "scaled")
        }
    return found


def values_of(measured: Mapping[str, Any], measure: str) -> np.ndarray:
    """A measure of each run, (run,) float64; its name is the path to it, such as `filters.found`.

    >>> values_of({"runs": [{"filters": {"found": 3}}, {"filters": {"found": 5}}]}, "filters.found")
    array([3., 5.])
    """
    found = []
    for value in measured["runs"]:
        for key in measure.split("."):
            value = value[key]
        found.append(np.nan if value is None else value)
    return np.array(found, dtype=np.float64)


def paired_differences(measured: Mapping[str, Any], other: Mapping[str, Any]) -> np.ndarray:
    """AUROC of each cell type in each run, less that of the same in another arm: (run, cell_type) float64.

    NaN where either has none.
    """
    a, b = (
        np.array([list(run["cell_types"].values()) for run in arm["runs"]], dtype=np.float64)
        for arm in (measured, other)
    )
    return a - b


def held_out_ratio(measured: Mapping[str, Any]) -> float:
    """Held-out windows over training windows, for the corrected test of folds."""
    return float(values_of(measured, "n_test").sum() / values_of(measured, "n_train").sum())


@dataclass(frozen=True)
class _Learned:
    """Interactions of one run."""

    values: Interactions
    #: (filter, group), bool.
    membership: np.ndarray
    #: Pairs of groups by cell type.
    planted: list[list[tuple[int, int]]]
    #: Names of the pairs of the first cell type.
    pair_names: list[list[str]]
    #: What each filter looks for.
    names: list[str]

    @classmethod
    def of(cls, values: Interactions, matches: FilterMatches, truth: Truth, names: list[str]) -> _Learned:
        index = {name: int(group) for name, group in zip(truth.pool.names, matches.group, strict=True)}
        planted = [[(index[p.first], index[p.second]) for p in model.pairs] for model in truth.models]
        pair_names = [[p.first, p.second] for p in truth.models[0].pairs]
        return cls(values, matches.in_group, planted, pair_names, names)


def _scores(run: Run) -> dict[str, Any]:
    scored, result, history = evaluate(run), run.info["result"], run.history
    measures = {
        "auroc": _rounded(scored.mean_auroc),
        "auprc": _rounded(scored.mean_auprc),
        "cell_types": {score.cell_type: _rounded(score.auroc) for score in scored.cell_types},
        "n_train": open_batches(run, split="train").n_windows,
        "n_test": scored.cell_types[0].n_windows,
        "epochs": result["epochs"],
        # Not their sum, which counts the pauses of a machine that was put to sleep, or of a killed command.
        "seconds": _rounded(len(history) * history["seconds"].median()),
        "history": {name: history[name].round(5).tolist() for name in ("loss", "validation_loss")},
    }
    ds = open_store(run.store)
    if is_simulated(ds):
        best = ceiling(ds, indices=read_predictions(run)["windows"])
        measures["ceiling"] = _rounded(np.nanmean(list(best.values())))
    return measures


def _truth(run: Run) -> Truth | None:
    ds = open_store(run.store)
    return read_truth(ds) if is_simulated(ds) else None


def _names_of_filters(matches: FilterMatches, truth: Truth) -> list[str]:
    """Motifs that each filter matches, with + between them."""
    names = group_names(truth.pool.motifs, matches.group)
    return ["+".join(names[i] for i in np.flatnonzero(row)) for row in matches.in_group]


def _filters(matches: FilterMatches) -> dict[str, Any]:
    by_motif = {f"{kind}_by_motif": int((matches.kind_by_motif == kind).sum()) for kind in matches.counts()}
    found = {"found": len(matches.single_groups), "n_groups": matches.n_groups}
    return matches.counts() | by_motif | found


def _decomposed(run: Run, reading: FilterReading, matches: FilterMatches, truth: Truth) -> dict[str, Any]:
    """Filters taken apart into motifs: the planted ones, or their mirror images, which were never planted.

    Mirror images that the rule matches with a planted motif are left out. `parts`: of all filters;
    `share_planted` of them are planted, None without parts, and `chance` of the motifs to choose from.
    `motifs`: groups of planted motifs that some filter holds; `mirrored`: groups of mirror images.
    `precision`, `recall` and `exact`: parts against the groups that drive each filter when they are inserted
    into backgrounds; `combination_recall`: of filters that several groups drive (None without any).
    """
    planted, group = truth.written_motifs, matches.group
    images = [Motif(f"{motif.id}_mirrored", motif.ppm[::-1]) for motif in planted]
    kept = [
        i
        for i, image in enumerate(images)
        if not match_filters([image], planted, both_strands=reading.both_strands).in_group.any()
    ]
    # Groups of the planted ones, and of the images behind them.
    groups = np.concatenate([group, matches.n_groups + group[kept]])
    kernel = np.asarray(reading.model.get_layer("filters").kernel)
    found = decompose_filters(
        base_weights(kernel), [*planted, *(images[i] for i in kept)], both_strands=reading.both_strands
    )
    parts = [decomposition.motifs for decomposition in found]
    held = {int(groups[motif]) for motif in frozenset[int]().union(*parts)}
    n_parts = sum(map(len, parts))
    n_planted = sum(motif < len(planted) for motifs in parts for motif in motifs)
    by_group = [{int(groups[motif]) for motif in motifs} for motifs in parts]
    driving = _driving_groups(run, reading, matches, truth)
    several = [i for i, motifs in enumerate(driving) if len(motifs) > 1]
    score = score_decompositions(by_group, driving)
    of_several = score_decompositions([by_group[i] for i in several], [driving[i] for i in several])
    return {
        "parts": n_parts,
        "share_planted": _rounded(n_planted / n_parts) if n_parts else None,
        "chance": _rounded(len(planted) / (len(planted) + len(kept))),
        "motifs": sum(i < matches.n_groups for i in held),
        "mirrored": sum(i >= matches.n_groups for i in held),
        "precision": _rounded(score.precision),
        "recall": _rounded(score.recall),
        "exact": _rounded(score.exact),
        "combinations": len(several),
        "combination_recall": _rounded(of_several.recall) if several else None,
    }


def _driving_groups(run: Run, reading: FilterReading, matches: FilterMatches, truth: Truth) -> list[set[int]]:
    """Groups of planted motifs that raise each filter above backgrounds that they are inserted into."""
    response = filter_responses(
        reading.model,
        shuffled_backgrounds(reading.codes, N_BACKGROUNDS),
        truth.written_motifs,
        both_strands=reading.both_strands,
        within=scanned(reading, run.config.scan_length),
    )
    return [{int(matches.group[i]) for i in np.flatnonzero(row >= _DRIVEN)} for row in response]


def _confirmed(run: Run, reading: FilterReading, truth: Truth) -> dict[str, int]:
    """Pairs of the first cell type whose interaction predictions show when both motifs are inserted.

    `confirmed`: planted ones; `confirmed_others`: of as many others, the first motif of a pair with the
    second of the next.
    """
    insert = inserter_of(reading, run.config.scan_length)
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


def _interactions(learned: _Learned) -> dict[str, Any]:
    """Correct ones among the first ten, by several rankings, means over cell types; and the thesis' table.

    `raw_top10`: all pairs of filters, by inner products, as in the thesis. `scaled_top10`: all pairs, by
    scaled interactions. `filters_top10`: the same of pairs of filters that match motifs, homotypic ones
    apart, of which `chance_top10` are correct by chance. `motifs_top10`: summed up by pairs of motifs. Where
    there are fewer than ten pairs, the missing ones are wrong.
    """
    rows = [_rankings(learned, cell_type) for cell_type in range(len(learned.planted))]
    means = {name: _rounded(np.mean([row[name] for row in rows])) for name in rows[0]}
    return means | {"table": _top_table(learned)}


def _rankings(learned: _Learned, cell_type: int) -> dict[str, float]:
    raw, scaled = learned.values.raw[cell_type], learned.values.scaled[cell_type]
    planted, membership = learned.planted[cell_type], learned.membership
    pairs = candidate_pairs(membership, planted)
    correct = np.zeros((len(membership),) * 2, dtype=bool)
    correct[pairs.first, pairs.second] = pairs.is_correct
    all_pairs = np.triu_indices(len(membership), 1)
    judged = pairs.first, pairs.second
    by_filter = _rank(scaled[judged], pairs.is_correct)
    by_motif = rank_motif_pairs(scaled, membership, planted, k=N_TOP)
    return {
        "raw_top10": _n_correct(_rank(raw[all_pairs], correct[all_pairs])),
        "scaled_top10": _n_correct(_rank(scaled[all_pairs], correct[all_pairs])),
        "filters_top10": _n_correct(by_filter),
        "chance_top10": N_TOP * by_filter.n_correct / by_filter.n_pairs if by_filter.n_pairs else 0.0,
        "motifs_top10": _n_correct(by_motif),
        "motifs_average_precision": by_motif.average_precision,
    }


def _rank(values: np.ndarray, is_correct: np.ndarray) -> RankingScores:
    """Scores of pairs, of which there may be none."""
    if not len(values):
        return RankingScores(0.0, float("nan"), N_TOP, 0, 0)
    return ranking_scores(values, is_correct, k=min(N_TOP, len(values)))


def _n_correct(ranked: RankingScores) -> float:
    return round(ranked.precision_at_k * ranked.k)


def _top_table(learned: _Learned) -> list[dict[str, Any]]:
    """First ten pairs of filters of the first cell type by inner products (thesis, Tables A.2 to A.11)."""
    raw, scaled = learned.values.raw[0], learned.values.scaled[0]
    first, second = np.triu_indices(len(learned.names), 1)
    pairs = candidate_pairs(learned.membership, learned.planted[0])
    correct = set(zip(pairs.first[pairs.is_correct], pairs.second[pairs.is_correct], strict=True))
    order = np.argsort(-raw[first, second], kind="stable")[:N_TOP]
    return [
        {
            "weight": float(f"{raw[i, j]:.5g}"),
            "scaled": float(f"{scaled[i, j]:.5g}"),
            "filter_1": learned.names[i],
            "filter_2": learned.names[j],
            "correct": (i, j) in correct,
        }
        for i, j in zip(first[order], second[order], strict=True)
    ]


def _stable(learned: Sequence[_Learned]) -> dict[str, int]:
    """Pairs of motif groups that at least nine in ten runs have among their first ten; planted ones of them.

    Of the first cell type, by scaled interactions.
    """
    counts: Counter[tuple[int, int]] = Counter()
    for run in learned:
        motifs = collapse(run.values.scaled[0], run.membership)
        first, second = np.nonzero(np.triu(motifs.n_pairs, 1))
        order = np.argsort(-motifs.values[first, second], kind="stable")[:N_TOP]
        counts.update(zip(first[order].tolist(), second[order].tolist(), strict=True))
    in_most = {pair for pair, n in counts.items() if n >= 0.9 * len(learned)}
    planted = {(min(pair), max(pair)) for pair in learned[0].planted[0]}
    return {"pairs": len(in_most), "correct": len(in_most & planted)}


def _tests(learned: Sequence[_Learned], ratio: float) -> dict[str, Any]:
    """Interactions of planted pairs against others, of the first cell type, over all runs.

    `raw`, where all runs have the same filters: inner products of all pairs of filters, as in the thesis.
    `scaled`: scaled interactions of pairs of filters that match different motifs. `corrected_p`: corrected
    resampled t-test of the runs' differences of means; None where a run lacks pairs of a kind.
    """
    memberships = [run.membership for run in learned]
    planted = learned[0].planted[0]
    kinds = {"scaled": {"all_pairs": False}}
    if all(np.array_equal(membership, memberships[0]) for membership in memberships):
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


def _interaction_histogram(learned: Sequence[_Learned], scale: str) -> dict[str, list[float]]:
    """Interactions of the first cell type, correct and incorrect, counted in bins over 99 % of all.

    Of the pairs that :func:`_tests` compares.
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


def _database(reading: FilterReading, found: DatabaseMatches) -> dict[str, Any]:
    """Filters matched at E <= 0.01, beside filters that learned nothing.

    `chance_NULL`: how many of as many filters match that learned nothing, with one match more than were seen
    among one filter more, so that none seen is not none ever; `over_NULL`: times as many.
    """
    matched = found.best_e <= MAX_E
    measures: dict[str, Any] = {"matched": int(matched.sum()), "n_filters": len(matched)}
    for name, e in found.nulls.items():
        expected = (1 + (e <= MAX_E).sum()) / (1 + len(e)) * len(matched)
        measures[f"chance_{name}"] = _rounded(expected)
        measures[f"over_{name}"] = _rounded(matched.sum() / expected)
    interactions = interactions_of(reading)
    if interactions is not None:
        measures["matched_of_top100"] = _rounded(np.mean([_n_matched(v, matched) for v in interactions.raw]))
    return measures


def _n_matched(values: np.ndarray, matched: np.ndarray, n_top: int = 100) -> int:
    """Of the first pairs by their interaction, those of two filters that match (thesis, section 5.2.3)."""
    first, second = np.triu_indices(len(matched), 1)
    top = np.argsort(-values[first, second], kind="stable")[:n_top]
    return int((matched[first[top]] & matched[second[top]]).sum())


def _logos(
    reading: FilterReading, names: Sequence[str], found: DatabaseMatches | None
) -> list[dict[str, Any]]:
    """The filters that predictions depend on most, those with names first; and what they match in a database.

    `target_ppm` is the known motif where it lies on the filter.
    """
    importance = filter_importance(reading.model, reading.codes)
    order = np.lexsort((-importance, [not name for name in names]))[:_N_LOGOS]
    logos = []
    for i in order:
        logo = {"title": names[i] or reading.motifs[i].id, "ppm": reading.motifs[i].ppm.round(4).tolist()}
        if found is not None and names[i]:
            logo["target_ppm"] = _laid_on(found, int(i), reading.motifs[i].width).round(4).tolist()
        logos.append(logo)
    return logos


def _laid_on(found: DatabaseMatches, query: int, width: int) -> np.ndarray:
    """The best target of a filter, turned and shifted to lie on it, (width, 4); equal bases elsewhere."""
    best = found.best[query]
    target = found.targets[best]
    ppm = (target if found.matches.strand[query, best] > 0 else reverse_complement(target)).ppm
    laid = np.full((width, 4), 0.25)
    # The target's columns from `offset` on lie on the filter's from 0 on.
    offset = int(found.matches.offset[query, best])
    first, last = max(0, -offset), min(width, len(ppm) - offset)
    laid[first:last] = ppm[first + offset : last + offset]
    return laid


def _histogram(run: Run) -> dict[str, list[int]]:
    """Counts of predictions in equal bins from 0 to 1, of open and of closed windows, over all cell types."""
    read = read_predictions(run)
    labels = read["labels"].astype(bool)
    bins = np.linspace(0, 1, _N_BINS + 1)
    return {
        name: np.histogram(read["predictions"][labels == kind], bins)[0].tolist()
        for name, kind in (("open", True), ("closed", False))
    }


def _roc(run: Run) -> np.ndarray:
    read = read_predictions(run)
    return mean_roc(read["labels"], read["predictions"])


def _rounded(value: float) -> float | None:
    """For JSON, which knows no NaN."""
    return None if np.isnan(value) else round(float(value), 5)
