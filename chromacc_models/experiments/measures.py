"""What the runs of an arm have learned, as plain numbers: of each run, and of all together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chromacc_data.motifs.motif import Motif, reverse_complement
from chromacc_data.simulation.truth import Truth, ceiling, every_occurrence, is_simulated, read_truth
from chromacc_models.evaluation.evaluate import evaluate, open_batches, read_predictions
from chromacc_models.evaluation.scores import mean_roc, rounded
from chromacc_models.experiments.pairs import (
    LearnedPairs,
    confirm_pairs,
    interaction_tests,
    pair_histogram,
    rank_pairs,
    stable_pairs,
)
from chromacc_models.interpretation.by_chance import DatabaseMatches, planted_by_chance, search_database
from chromacc_models.interpretation.combinations import decompose_filters, score_decompositions
from chromacc_models.interpretation.filter_names import MAX_E, filter_names, group_names
from chromacc_models.interpretation.filters import base_weights
from chromacc_models.interpretation.importance import filter_importance
from chromacc_models.interpretation.insertions import FilterResponses
from chromacc_models.interpretation.matching import FilterMatches, match_filters
from chromacc_models.interpretation.run_filters import RunFilters, read_filters_of_run
from chromacc_models.interpretation.run_insertions import responses_of
from chromacc_models.interpretation.run_interactions import interactions_of
from chromacc_models.training.run import Run

__all__ = ["VERSION", "held_out_ratio", "measure_runs", "paired_differences", "values_of"]

#: Goes up when what is measured changes: older measures are then taken again, from the same runs.
VERSION = 8

#: Bins of predictions.
_N_BINS = 50

#: Filters of the first run that are drawn.
_N_LOGOS = 12


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
        data `ceiling` (AUROC of the ideal observer on the same windows) and `every_occurrence` (AUROC when
        every consensus occurrence is scored as a site; None without additive cell types), `filters` (numbers
        of single, combination and other filters by motif groups and, as in the thesis, by motifs; `found` of
        `n_groups` groups have a single-motif filter, `found_driven` of them one that the motif activates when
        it is inserted; `chance`: the same of filters that learned nothing) and `decomposed` (filters
        decomposed into motifs, against the motifs that activate them, and against motifs never planted); of
        factorization machines on pairs `interactions`; with a database `database` (filters matched at E <=
        0.01, and the numbers expected of filters that learned nothing). `over`: of all runs, filters that
        match over those expected. `interaction_tests`, where there are pairs: correct against incorrect ones
        over all runs. `planted`: the pairs, `stable`: those that most runs have among the first ten. The rest
        is what pictures are drawn of.
    """
    found: dict[str, Any] = {"runs": []}
    learned: list[LearnedPairs] = []
    for run in runs:
        measures = _scores(run)
        run_filters = read_filters_of_run(run)
        truth = _truth(run)
        matched: DatabaseMatches | None = None
        names = ["" for _ in run_filters.motifs]
        if truth is not None:
            matches = match_filters(
                run_filters.motifs, truth.pool.motifs, both_strands=run_filters.both_strands
            )
            responses = responses_of(run_filters, run.config.scan_length, truth.written_motifs)
            measures["filters"] = _filters(run_filters, matches, truth, responses)
            measures["decomposed"] = _decomposed(run_filters, matches, truth, responses)
            names = filter_names(group_names(truth.pool.motifs, matches.group), matches.in_group)
            interactions = interactions_of(run_filters)
            if interactions is not None and any(model.pairs for model in truth.models):
                learned.append(LearnedPairs.of(run_filters, interactions, responses, matches, truth))
                measures["interactions"] = rank_pairs(learned[-1]) | confirm_pairs(run, run_filters, truth)
        elif database is not None:
            matched = search_database(run_filters, tuple(database))
            measures["database"] = _database(run_filters, matched)
            names = [
                matched.targets[i].symbol if e <= MAX_E else ""
                for i, e in zip(matched.best, matched.best_e, strict=True)
            ]
        if not found["runs"]:
            found["logos"] = _logos(run_filters, names, matched)
            found["histogram"] = _histogram(run)
        found["runs"].append(measures)
    if "database" in found["runs"][0]:
        found["over"] = _over(found)
    found["roc"] = np.mean([_roc(run) for run in runs], axis=0).round(4).tolist()
    if learned:
        found["planted"] = learned[0].pair_names
        found["stable"] = stable_pairs(learned)
        found["interaction_tests"] = interaction_tests(learned, held_out_ratio(found))
        found["interaction_histograms"] = {
            scale: pair_histogram(learned, scale) for scale in ("raw", "scaled")
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
    """AUROC of each cell type in each run, minus that of the same in another arm: (run, cell_type) float64.

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


def _scores(run: Run) -> dict[str, Any]:
    scored, result, history = evaluate(run, pictures=False), run.result, run.history
    measures = {
        "auroc": rounded(scored.mean_auroc),
        "auprc": rounded(scored.mean_auprc),
        "cell_types": {score.cell_type: rounded(score.auroc) for score in scored.cell_types},
        "n_train": open_batches(run, split="train").n_windows,
        "n_test": scored.cell_types[0].n_windows,
        "epochs": result.epochs,
        # Not their sum, which counts the time that a machine sleeps or a command is interrupted.
        "seconds": rounded(len(history) * history["seconds"].median()),
        "history": {name: history[name].round(5).tolist() for name in ("loss", "validation_loss")},
    }
    ds = run.open_store()
    if is_simulated(ds):
        best = ceiling(ds, indices=read_predictions(run)["windows"])
        measures["ceiling"] = rounded(np.nanmean(list(best.values())))
        summed = every_occurrence(ds, indices=read_predictions(run)["windows"])
        measures["every_occurrence"] = rounded(np.nanmean(list(summed.values()))) if summed else None
    return measures


def _truth(run: Run) -> Truth | None:
    ds = run.open_store()
    return read_truth(ds) if is_simulated(ds) else None


def _filters(
    run_filters: RunFilters, matches: FilterMatches, truth: Truth, responses: FilterResponses
) -> dict[str, Any]:
    """Kinds of filters and groups found, by the rule of the thesis; and those of filters by chance.

    `found_driven`: groups with a single-motif filter that a motif of the group activates when it is inserted.
    A filter may look like a motif by chance and not respond to it.
    """
    responds = (responses.drives & matches.matched).any(axis=1)
    by_chance = planted_by_chance(run_filters, truth.pool.motifs)
    return matches.summary() | {
        "n_groups": matches.n_groups,
        "found_driven": matches.of(responds).summary()["found"],
        "chance": {name: {key: rounded(n) for key, n in null.items()} for name, null in by_chance.items()},
    }


def _decomposed(
    run_filters: RunFilters, matches: FilterMatches, truth: Truth, responses: FilterResponses
) -> dict[str, Any]:
    """Filters decomposed into motifs: the planted ones, or their mirror images, which were never planted.

    Mirror images that the rule matches with a planted motif are left out. `parts`: of all filters;
    `share_planted` of them are planted, None without parts, and `chance` of the motifs to choose from.
    `motifs`: groups of planted motifs that some filter holds; `mirrored`: groups of mirror images.
    `precision`, `recall` and `exact`: parts against the groups that activate each filter when they are
    inserted into backgrounds; `combination_recall`: of filters that several groups activate (None without
    any).
    """
    planted, group = truth.written_motifs, matches.group
    images = [Motif(f"{motif.id}_mirrored", motif.ppm[::-1]) for motif in planted]
    kept = [
        i
        for i, image in enumerate(images)
        if not match_filters([image], planted, both_strands=run_filters.both_strands).in_group.any()
    ]
    # Groups of the planted ones, and of the images behind them.
    groups = np.concatenate([group, matches.n_groups + group[kept]])
    kernel = np.asarray(run_filters.model.get_layer("filters").kernel)
    found = decompose_filters(
        base_weights(kernel), [*planted, *(images[i] for i in kept)], both_strands=run_filters.both_strands
    )
    parts = [decomposition.motifs for decomposition in found]
    held = {int(groups[motif]) for motif in frozenset[int]().union(*parts)}
    n_parts = sum(map(len, parts))
    n_planted = sum(motif < len(planted) for motifs in parts for motif in motifs)
    # Motifs that raise each filter above backgrounds that they are inserted into.
    driving = [np.flatnonzero(row).tolist() for row in responses.drives]
    several = [i for i, motifs in enumerate(driving) if len(set(group[motifs])) > 1]
    score = score_decompositions(parts, driving, group=groups)
    of_several = score_decompositions(
        [parts[i] for i in several], [driving[i] for i in several], group=groups
    )
    return {
        "parts": n_parts,
        "share_planted": rounded(n_planted / n_parts) if n_parts else None,
        "chance": rounded(len(planted) / (len(planted) + len(kept))),
        "motifs": sum(i < matches.n_groups for i in held),
        "mirrored": sum(i >= matches.n_groups for i in held),
        "precision": rounded(score.precision),
        "recall": rounded(score.recall),
        "exact": rounded(score.exact),
        "combinations": len(several),
        "combination_recall": rounded(of_several.recall) if several else None,
    }


def _database(run_filters: RunFilters, found: DatabaseMatches) -> dict[str, Any]:
    """Filters matched at E <= 0.01, alongside filters that learned nothing.

    `chance_NULL`: how many of as many filters match that learned nothing, with one match more than were seen
    among one filter more, so that none seen is not none ever.
    """
    matched = found.best_e <= MAX_E
    measures: dict[str, Any] = {"matched": int(matched.sum()), "n_filters": len(matched)}
    for name, e in found.nulls.items():
        expected = (1 + (e <= MAX_E).sum()) / (1 + len(e)) * len(matched)
        measures[f"chance_{name}"] = rounded(expected)
    interactions = interactions_of(run_filters)
    if interactions is not None:
        measures["matched_of_top100"] = rounded(np.mean([_n_matched(v, matched) for v in interactions.raw]))
    return measures


def _over(measured: Mapping[str, Any]) -> dict[str, float | None]:
    """Filters of all runs that match known motifs, over those expected of filters that learned nothing."""
    matched = values_of(measured, "database.matched").sum()
    return {
        null: rounded(matched / values_of(measured, f"database.chance_{null}").sum())
        for null in ("untrained", "shuffled")
    }


def _n_matched(values: np.ndarray, matched: np.ndarray, n_top: int = 100) -> int:
    """Of the first pairs by their interaction, those of two filters that match (thesis, section 5.2.3)."""
    first, second = np.triu_indices(len(matched), 1)
    top = np.argsort(-values[first, second], kind="stable")[:n_top]
    return int((matched[first[top]] & matched[second[top]]).sum())


def _logos(
    run_filters: RunFilters, names: Sequence[str], found: DatabaseMatches | None
) -> list[dict[str, Any]]:
    """Filters for a picture, those that predictions depend on most; and what they match in a database.

    With a database those that match first, else in turn one of a single motif, of several and of none, so
    that some are hard to interpret. `target_ppm` is the known motif where it lies on the filter.
    """
    importance = filter_importance(run_filters.model, run_filters.codes)
    order = np.argsort(-importance, kind="stable").tolist()
    order = _in_turn(order, names) if found is None else sorted(order, key=lambda i: not names[i])
    logos = []
    for i in order[:_N_LOGOS]:
        logo = {
            "title": names[i] or run_filters.motifs[i].id,
            "ppm": run_filters.motifs[i].ppm.round(4).tolist(),
        }
        if found is not None and names[i]:
            logo["title"] += f", E = {found.best_e[i]:.0e}"
            logo["target_ppm"] = _laid_on(found, int(i), run_filters.motifs[i].width).round(4).tolist()
        logos.append(logo)
    return logos


def _in_turn(order: Sequence[int], names: Sequence[str]) -> list[int]:
    """Filters in their order, but one of a single motif, one of several and one of none at a time."""
    seen: Counter[int] = Counter()
    place = {}
    for i in order:
        kind = 2 if not names[i] else 1 if "+" in names[i] else 0
        place[i] = seen[kind], kind
        seen[kind] += 1
    return sorted(order, key=place.__getitem__)


def _laid_on(found: DatabaseMatches, query: int, width: int) -> np.ndarray:
    """The best target of a filter, aligned with it, (width, 4); equal bases elsewhere."""
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
    found = read_predictions(run)
    labels = found["labels"].astype(bool)
    bins = np.linspace(0, 1, _N_BINS + 1)
    return {
        name: np.histogram(found["predictions"][labels == kind], bins)[0].tolist()
        for name, kind in (("open", True), ("closed", False))
    }


def _roc(run: Run) -> np.ndarray:
    found = read_predictions(run)
    return mean_roc(found["labels"], found["predictions"])
