"""What the runs of an arm have learned, as plain numbers: of each run, and of all together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from chromacc_data.store import open_store
from chromacc_data.truth import Truth, ceiling, is_simulated, read_truth
from chromacc_models.evaluate import evaluate, mean_roc, read_predictions, without_nan
from chromacc_models.importance import filter_importance, pooled_activations
from chromacc_models.interactions import (
    RankingScores,
    candidate_pairs,
    collapse,
    compare_pairs,
    inner_products,
    ranking_scores,
    scale_by_spread,
)
from chromacc_models.layers import FactorizationMachine
from chromacc_models.matching import FilterMatches, match_filters
from chromacc_models.reading import MAX_E, FilterReading, group_names, read_filters_of_run, search_database
from chromacc_models.run import Run

__all__ = ["N_TOP", "measure_runs", "paired_differences", "values_of"]

#: Pairs that the thesis looks at.
N_TOP = 10

#: Bins of predictions, and of interactions.
_N_BINS = 50

#: Filters of the first run that are drawn.
_N_LOGOS = 12


def measure_runs(runs: Sequence[Run], *, database: Sequence[Any] | None = None) -> dict[str, Any]:
    """Measures of the runs of an arm, ready for JSON.

    Parameters
    ----------
    runs
        Finished runs of one configuration, by fold or seed.
    database
        Known motifs that filters of real data are matched with.

    Returns
    -------
    dict
        `runs`: of each run `auroc`, `auprc` (means over cell types, held-out windows), `cell_types`
        (AUROC by name), `seconds`, `epochs`; of simulated data `ceiling` (AUROC of a perfect reader on the
        same windows) and `filters` (numbers of single, combination and other filters by motif groups and, as
        in the thesis, by motifs; `found` of `n_groups` groups have a single-motif filter); of factorization
        machines on pairs `interactions`; with a database `database` (filters matched at E <= 0.01, and the
        numbers expected of filters that learned nothing). `interaction_tests`, where there are pairs: correct
        against incorrect ones over all runs. The rest is what pictures are drawn of.
    """
    found: dict[str, Any] = {"runs": []}
    learned: list[_Learned] = []
    for run in runs:
        measures = _scores(run)
        reading = read_filters_of_run(run)
        truth = _truth(run)
        if truth is not None:
            matches = match_filters(reading.motifs, truth.pool.motifs, both_strands=reading.both_strands)
            measures["filters"] = _filters(matches)
            if any(model.pairs for model in truth.models):
                head = _machine(reading)
                if head is not None:
                    learned.append(_Learned.of(reading, head, matches, truth))
                    measures["interactions"] = _interactions(learned[-1])
        elif database is not None:
            measures["database"] = _database(reading, database)
        if not found["runs"]:
            found["logos"] = _logos(reading, truth)
            found["histogram"] = _histogram(run)
        found["runs"].append(measures)
    found["roc"] = np.mean([_roc(run) for run in runs], axis=0).round(4).tolist()
    if learned:
        found["interaction_tests"] = _tests(learned)
        found["interaction_histogram"] = _interaction_histogram(learned)
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
    """AUROC of each cell type in each run, less that of the same in another arm: (run, cell_type)."""
    return np.array(
        [
            [run["cell_types"][name] - against["cell_types"][name] for name in run["cell_types"]]
            for run, against in zip(measured["runs"], other["runs"], strict=True)
        ]
    )


@dataclass(frozen=True)
class _Learned:
    """Interactions of one run; values are (cell_type, filter, filter)."""

    raw: np.ndarray
    scaled: np.ndarray
    #: (filter, group), bool.
    membership: np.ndarray
    #: Pairs of groups by cell type.
    planted: list[list[tuple[int, int]]]
    cell_types: list[str]
    groups: list[str]

    @classmethod
    def of(
        cls, reading: FilterReading, head: FactorizationMachine, matches: FilterMatches, truth: Truth
    ) -> _Learned:
        raw = inner_products(np.asarray(head.vectors))
        spread = pooled_activations(reading.model, reading.codes).std(axis=0, dtype=np.float64)
        index = {name: int(group) for name, group in zip(truth.pool.names, matches.group, strict=True)}
        planted = [[(index[p.first], index[p.second]) for p in model.pairs] for model in truth.models]
        names = group_names(truth.pool.motifs, matches.group)
        cell_types = [model.cell_type for model in truth.models]
        return cls(raw, scale_by_spread(raw, spread), matches.in_group, planted, cell_types, names)


def _scores(run: Run) -> dict[str, Any]:
    scored, result = evaluate(run), run.info["result"]
    history = pd.read_csv(run.folder / "history.csv")
    measures = {
        "auroc": _rounded(scored.mean_auroc),
        "auprc": _rounded(scored.mean_auprc),
        "cell_types": {score.cell_type: _rounded(score.auroc) for score in scored.cell_types},
        "epochs": result["epochs"],
        "best_epoch": result["best_epoch"],
        "seconds": result["seconds"],
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


def _machine(reading: FilterReading) -> FactorizationMachine | None:
    return next((layer for layer in reading.model.layers if isinstance(layer, FactorizationMachine)), None)


def _filters(matches: FilterMatches) -> dict[str, Any]:
    by_motif = {f"{kind}_by_motif": int((matches.kind_by_motif == kind).sum()) for kind in matches.counts()}
    found = {"found": len(matches.single_groups), "n_groups": matches.n_groups}
    return matches.counts() | by_motif | found


def _interactions(learned: _Learned) -> dict[str, Any]:
    """Correct ones among the first ten, by three rankings, means over cell types; and the thesis' table.

    `raw_top10`: pairs of filters by inner products, as in the thesis. `filters_top10`: by scaled
    interactions, pairs without motifs and homotypic ones left out. `motifs_top10`: the same summed up by
    pairs of motifs.
    """
    rows = [_rankings(learned, cell_type) for cell_type in range(len(learned.cell_types))]
    means = {name: _rounded(np.mean([row[name] for row in rows])) for name in rows[0]}
    return means | {"table": _top_table(learned)}


def _rankings(learned: _Learned, cell_type: int) -> dict[str, float]:
    planted, membership = learned.planted[cell_type], learned.membership
    first, second = np.triu_indices(len(membership), 1)
    correct = np.zeros((len(membership),) * 2, dtype=bool)
    pairs = candidate_pairs(membership, planted)
    correct[pairs.first, pairs.second] = pairs.is_correct
    raw = ranking_scores(learned.raw[cell_type][first, second], correct[first, second], k=N_TOP)
    scaled = _of_candidates(learned.scaled[cell_type][pairs.first, pairs.second], pairs.is_correct)
    motifs = collapse(learned.scaled[cell_type][None], membership)
    one, other = np.nonzero(np.triu(motifs.n_pairs, 1))
    is_pair = np.zeros(motifs.n_pairs.shape, dtype=bool)
    for a, b in planted:
        is_pair[a, b] = is_pair[b, a] = True
    by_motif = _of_candidates(motifs.values[0][one, other], is_pair[one, other])
    return {
        "raw_top10": raw.precision_at_k * raw.k,
        "filters_top10": scaled.precision_at_k * scaled.k,
        "motifs_top10": by_motif.precision_at_k * by_motif.k,
        "filters_average_precision": scaled.average_precision,
        "motifs_average_precision": by_motif.average_precision,
    }


def _of_candidates(values: np.ndarray, is_correct: np.ndarray) -> RankingScores:
    """Scores of pairs of filters with motifs, of which there may be none."""
    if not len(values):
        return RankingScores(0.0, float("nan"), N_TOP, 0, 0)
    return ranking_scores(values, is_correct, k=N_TOP)


def _top_table(learned: _Learned) -> list[dict[str, Any]]:
    """First ten pairs of filters of the first cell type by inner products (thesis, Tables A.2 to A.11)."""
    names = [" ".join(learned.groups[i] for i in np.flatnonzero(row)) or "-" for row in learned.membership]
    first, second = np.triu_indices(len(names), 1)
    pairs = candidate_pairs(learned.membership, learned.planted[0])
    correct = set(zip(pairs.first[pairs.is_correct], pairs.second[pairs.is_correct], strict=True))
    order = np.argsort(-learned.raw[0][first, second], kind="stable")[:N_TOP]
    return [
        {
            "weight": float(f"{learned.raw[0][i, j]:.5g}"),
            "scaled": float(f"{learned.scaled[0][i, j]:.5g}"),
            "filter_1": names[i],
            "filter_2": names[j],
            "correct": (i, j) in correct,
        }
        for i, j in zip(first[order], second[order], strict=True)
    ]


def _tests(learned: Sequence[_Learned]) -> dict[str, Any]:
    """Welch's and the permutation test over all runs, of the first cell type, by either scale."""
    memberships = [run.membership for run in learned]
    tests = {}
    for name in ("raw", "scaled"):
        values = [getattr(run, name)[0] for run in learned]
        try:
            test = compare_pairs(values, memberships, learned[0].planted[0])
            tests[name] = without_nan(test._asdict())
        except ValueError as error:  # no filter of any run matches
            tests[name] = {"not_possible": str(error)}
    return tests


def _interaction_histogram(learned: Sequence[_Learned]) -> dict[str, list[float]]:
    """Scaled interactions of the first cell type, correct and incorrect, counted in bins over 99 % of all."""
    parts: dict[bool, list[np.ndarray]] = {True: [np.zeros(0)], False: [np.zeros(0)]}
    for run in learned:
        pairs = candidate_pairs(run.membership, run.planted[0])
        values = run.scaled[0][pairs.first, pairs.second]
        for kind in parts:
            parts[kind].append(values[pairs.is_correct == kind])
    correct, incorrect = (np.concatenate(parts[kind]) for kind in (True, False))
    values = np.concatenate([correct, incorrect])
    low, high = np.quantile(values, [0.005, 0.995]) if len(values) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, _N_BINS + 1)
    counts = {
        name: np.histogram(np.clip(part, edges[0], edges[-1]), edges)[0].tolist()
        for name, part in (("correct", correct), ("incorrect", incorrect))
    }
    return {"edges": edges.round(5).tolist(), **counts}


def _database(reading: FilterReading, database: Sequence[Any]) -> dict[str, Any]:
    """Filters matched at E <= 0.01, and how many of as many filters that learned nothing are."""
    found = search_database(reading, tuple(database), method="weights", seed=0)
    n_filters = len(reading.motifs)
    chance = {f"chance_{name}": _rounded((e <= MAX_E).mean() * n_filters) for name, e in found.nulls.items()}
    return {"matched": int((found.best_e <= MAX_E).sum()), "n_filters": n_filters, **chance}


def _logos(reading: FilterReading, truth: Truth | None) -> list[dict[str, Any]]:
    """The filters that predictions depend on most, under the names of the planted motifs that they match."""
    order = np.argsort(-filter_importance(reading.model, reading.codes), kind="stable")[:_N_LOGOS]
    titles = [motif.id for motif in reading.motifs]
    if truth is not None:
        matches = match_filters(reading.motifs, truth.pool.motifs, both_strands=reading.both_strands)
        names = group_names(truth.pool.motifs, matches.group)
        titles = ["+".join(names[i] for i in np.flatnonzero(row)) or "-" for row in matches.in_group]
    return [{"title": titles[i], "ppm": reading.motifs[i].ppm.round(4).tolist()} for i in order]


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
