"""Read a run with factorization machines: interactions of its filters, under the names of their motifs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from chromacc_data.errors import InputError
from chromacc_data.files import disk_errors, write_text_atomically
from chromacc_data.motifs.files import read_motifs
from chromacc_data.motifs.motif import Motif
from chromacc_data.simulation.truth import read_truth
from chromacc_data.store.store import FORMATS, open_store
from chromacc_models.interpretation.importance import pooled_activations
from chromacc_models.interpretation.insertions import (
    FilterResponses,
    InsertionEffect,
    filter_responses,
    insertion_effect,
    shuffled_backgrounds,
)
from chromacc_models.interpretation.interactions import (
    candidate_pairs,
    compare_pairs,
    inner_products,
    interaction_table,
    motif_interactions,
    rank_motif_pairs,
    scale_by_spread,
)
from chromacc_models.interpretation.matching import match_filters, motif_groups, number_groups
from chromacc_models.interpretation.run_motifs import (
    MAX_E,
    FilterReading,
    filter_names,
    group_names,
    read_filters_of_run,
    read_planted,
)
from chromacc_models.interpretation.tomtom import match_motifs
from chromacc_models.networks.layers import FactorizationMachine
from chromacc_models.reporting import plots
from chromacc_models.training.run import Run, lock_folder

__all__ = [
    "FilterNames",
    "Interactions",
    "RunInteractions",
    "inserter_of",
    "interactions_of",
    "mean_of_groups",
    "name_by_database",
    "name_by_truth",
    "responses_of",
    "run_interactions",
]

#: What is written only with motifs, and with planted pairs.
_OPTIONAL_TABLES = {"motif_interactions.tsv", "interaction_scores.tsv"}

#: Pairs that the picture shows of each cell type.
_N_BARS = 10

#: Shuffled validation windows that motifs are inserted into.
_N_BACKGROUNDS = 200


class FilterNames(NamedTuple):
    """What filters look for."""

    #: Names of motifs, or of groups of motifs, (motif,).
    motifs: tuple[str, ...]
    #: (filter, motif), bool.
    membership: np.ndarray
    #: Motifs that are known, (known,), and which of the names each has.
    known: tuple[Motif, ...]
    group: np.ndarray

    def of_filters(self) -> list[str]:
        """Name of each filter: see :func:`~chromacc_models.interpretation.run_motifs.filter_names`."""
        return filter_names(self.motifs, self.membership)


@dataclass(frozen=True)
class RunInteractions:
    """Interactions of a run.

    `table` is that of :func:`chromacc_models.interpretation.interactions.interaction_table`, with motif_a and
    motif_b where motifs were given; `motif_table` has interactions of motifs: cell_type, rank, motif_a,
    motif_b, interaction, homotypic; and where pairs were inserted, inserted and inserted_error. Where the
    pairs are known, both have `planted`, and `scores` has a row for each cell type with pairs.
    """

    folder: Path
    table: pd.DataFrame
    motif_table: pd.DataFrame | None
    files: tuple[str, ...]
    scores: pd.DataFrame | None = None

    def report(self, n_shown: int = 12) -> tuple[dict[str, Any], str]:
        """The result for programs and for people; about `n_shown` lines of each table."""
        value: dict[str, Any] = {"run": self.folder, "interactions": self.table.to_dict("records")}
        lines = [_first_rows(self.table, n_shown)]
        if self.motif_table is not None:
            value["motif_interactions"] = self.motif_table.to_dict("records")
            lines.append(_first_rows(self.motif_table, n_shown))
        if self.scores is not None:
            scores = self.scores.astype(object).where(self.scores.notna(), None)
            value["planted_pairs"] = scores.to_dict("records")
            lines += [
                "planted pairs among those of motifs, and against other pairs of filters (Welch's test takes "
                "pairs as independent, the permutation test does not):",
                self.scores.to_string(index=False, float_format="{:.3g}".format),
            ]
        files = ", ".join(f"{self.folder / name}" for name in self.files)
        return value, "\n".join([*lines, f"interactions are in {files}"])

    def __repr__(self) -> str:
        return self.report()[1]


def run_interactions(
    run: Run | Path | str,
    *,
    method: Literal["weights", "smoothed", "activations"] = "weights",
    database: Path | str | None = None,
    truth: Path | str | None = None,
    n_top: int = 1000,
    absolute: bool = False,
    n_insert: int = 0,
) -> RunInteractions:
    """Interactions that a run's factorization machines learned, written to `interactions.tsv` and `.png`.

    With motifs, `motif_interactions.tsv` has them by motif: each motif is inserted into 200 shuffled
    validation windows, where the network scans them, and filters count as much as it raises them
    (:func:`~chromacc_models.interpretation.interactions.motif_interactions`; of a group the mean over its
    motifs).

    Parameters
    ----------
    run
        A finished run of the factorization machines network, or its folder.
    method
        How a filter becomes a motif: see :func:`chromacc_models.interpretation.filters.filter_motifs`.
    database
        File of known motifs: a filter has the name of its best match, if its E-value is at most 0.01.
    truth
        Planted motifs, of a simulated store or a motif file: a filter has the names of those that it matches
        by the rule of the thesis. With a store of pairs, both tables say which pairs were planted, and
        `interaction_scores.tsv` has, by cell type, the precision among the first ten pairs of motifs and
        their average precision (:func:`~chromacc_models.interpretation.interactions.rank_motif_pairs`), and
        the tests of planted against other pairs of filters
        (:func:`~chromacc_models.interpretation.interactions.compare_pairs`). Pairs that close chromatin
        count with `absolute` only.
    n_top
        Pairs of each cell type, in either table.
    absolute
        Rank by the size of an interaction, not its signed value.
    n_insert
        Pairs of motifs of each cell type that are inserted into the same windows, to see whether predictions
        hold the interaction: `inserted`, with its standard error, is
        :func:`chromacc_models.interpretation.insertions.insertion_effect` of the first motif of either group.
        Homotypic pairs are not, and neither is any without motifs.

    Raises
    ------
    InputError
        If the network has no factorization machines, both sorts of motifs are given, there is nothing to
        insert them into, or the store is gone or has changed.

    Examples
    --------
    >>> import chromacc_models as cm
    >>> from chromacc_models.examples import example_run
    >>> found = cm.interactions(example_run())
    >>> found.table.columns.tolist()
    ['cell_type', 'rank', 'filter_a', 'filter_b', 'raw', 'scaled']
    """
    if database is not None and truth is not None:
        raise InputError("two sources of names", found="--database and --truth", expected="one of them")
    if n_insert and database is None and truth is None:
        raise InputError(
            "no motifs to insert",
            where="--insert",
            found=n_insert,
            expected="--database or --truth as well",
        )
    run = run if isinstance(run, Run) else Run.open(run)
    known = None
    if database is not None or truth is not None:
        known = read_planted(truth) if database is None else read_motifs(database)
    reading = read_filters_of_run(run, method=method)
    found = interactions_of(reading)
    if found is None:
        raise InputError(
            "the network has no interactions",
            where=run.folder,
            found=run.config.network,
            expected="factorization_machine",
            remedy="train one with `--network factorization_machine`",
        )
    raw, scaled = found
    filters = [motif.id for motif in reading.motifs]
    table = interaction_table(raw, scaled, run.cell_types, filters, n_top=n_top, absolute=absolute)
    tables = {"interactions.tsv": table}
    if known is not None:
        if database is not None:
            names = name_by_database(reading.motifs, known)
        else:
            names = name_by_truth(reading.motifs, known, both_strands=reading.both_strands)
        name = dict(zip(filters, names.of_filters(), strict=True))
        table["motif_a"], table["motif_b"] = table["filter_a"].map(name), table["filter_b"].map(name)
        responses = responses_of(reading, run.config.scan_length, names.known)
        by_motif = motif_interactions(raw, mean_of_groups(responses.rise, names.group))
        insert = inserter_of(reading, run.config.scan_length)
        tables["motif_interactions.tsv"] = _motif_table(
            by_motif, names, run.cell_types, n_top=n_top, absolute=absolute, insert=insert, n_insert=n_insert
        )
        planted = _planted_pairs(truth, run.cell_types, both_strands=reading.both_strands, absolute=absolute)
        if planted:
            ranked = [np.abs(values) if absolute else values for values in (by_motif, scaled)]
            tables["interaction_scores.tsv"] = _score_pairs(*ranked, names, run.cell_types, planted)
            _mark_planted(tables, filters, names, planted)
    picture = plots.interactions(table, n_bars=_N_BARS)  # before the first file: one that fails leaves none
    with disk_errors(run.folder), lock_folder(run.folder, wait=True):
        for file, rows in tables.items():
            write_text_atomically(run.folder / file, rows.to_csv(sep="\t", index=False, float_format="%.6g"))
        plots.save(picture, run.folder / "interactions.png")
        for file in _OPTIONAL_TABLES - tables.keys():  # of an earlier call, with other options
            (run.folder / file).unlink(missing_ok=True)
    files = (*tables, "interactions.png")
    motif_table, scores = (tables.get(f"{name}.tsv") for name in ("motif_interactions", "interaction_scores"))
    return RunInteractions(run.folder, table, motif_table, files, scores)


class Interactions(NamedTuple):
    """Interactions of filters, (cell_type, filter, filter) float64."""

    #: Inner products of the vectors.
    raw: np.ndarray
    #: Times the spread of both pooled activations.
    scaled: np.ndarray


def interactions_of(reading: FilterReading) -> Interactions | None:
    """Interactions that a network's factorization machines learned; None if it has none."""
    head = next((layer for layer in reading.model.layers if isinstance(layer, FactorizationMachine)), None)
    if head is None:
        return None
    raw = inner_products(np.asarray(head.vectors))
    spread = pooled_activations(reading.model, reading.codes).std(axis=0, dtype=np.float64)
    return Interactions(raw, scale_by_spread(raw, spread))


def name_by_database(
    filters: Sequence[Motif], database: Sequence[Motif], *, max_e: float = MAX_E
) -> FilterNames:
    """Filters under their best matches in a database, of an E-value of at most `max_e`.

    Best matches that match each other as well as that are one group (CTCF and CTCFL): any two of a group do
    (complete linkage on the larger E-value of both directions).
    """
    e = match_motifs(filters, database).e
    matched = np.flatnonzero(e.min(axis=1) <= max_e)
    best = e[matched].argmin(axis=1)
    chosen, of_filter = np.unique(best, return_inverse=True)
    named = [database[i] for i in chosen]
    group = _similar(match_motifs(named, database).e[:, chosen], max_e) if len(named) > 1 else chosen * 0
    names = group_names(named, group) if len(named) else []
    membership = np.zeros((len(filters), len(names)), dtype=bool)
    membership[matched, group[of_filter]] = True
    return FilterNames(tuple(names), membership, tuple(named), group)


def name_by_truth(filters: Sequence[Motif], planted: Sequence[Motif], *, both_strands: bool) -> FilterNames:
    """Filters under the groups of planted motifs that they match, as in the thesis (section 3.3)."""
    matched = match_filters(filters, planted, both_strands=both_strands)
    names = tuple(group_names(planted, matched.group))
    return FilterNames(names, matched.in_group, tuple(planted), matched.group)


def _planted_pairs(
    truth: Path | str | None,
    cell_types: Sequence[str],
    *,
    both_strands: bool,
    absolute: bool,
) -> dict[str, list[tuple[int, int]]]:
    """Pairs of motif groups that a simulated store planted, by cell type; none of those without pairs."""
    if truth is None or Path(truth).suffix not in FORMATS:
        return {}
    known = read_truth(open_store(truth))
    with_pairs = [model.cell_type for model in known.models if model.pairs]
    if with_pairs and not set(with_pairs) & set(cell_types):
        raise InputError(
            "no pairs were planted for the cell types of the network",
            where=truth,
            found=", ".join(with_pairs),
            expected=", ".join(cell_types),
            remedy="give the store that the network was trained on",
        )
    group = motif_groups(known.pool.motifs, both_strands=both_strands)
    index = dict(zip(known.pool.names, group.tolist(), strict=True))
    return {
        model.cell_type: [(index[p.first], index[p.second]) for p in pairs]
        for model in known.models
        if model.cell_type in cell_types
        and (pairs := [p for p in model.pairs if absolute or p.contribution > 0])
    }


def _score_pairs(
    of_motifs: np.ndarray,
    of_filters: np.ndarray,
    names: FilterNames,
    cell_types: Sequence[str],
    planted: Mapping[str, Sequence[tuple[int, int]]],
) -> pd.DataFrame:
    rows = []
    for cell_type, pairs in planted.items():
        c = cell_types.index(cell_type)
        ranked = rank_motif_pairs(of_motifs[c], pairs)
        row = {
            "cell_type": cell_type,
            "planted": ranked.n_correct,
            "precision_at_10": ranked.precision_at_k,
            "average_precision": ranked.average_precision,
        }
        try:
            test = compare_pairs([of_filters[c]], [names.membership], pairs)
        except ValueError:  # no pairs of filters, of one kind or the other
            rows.append(row)
            continue
        rows.append(row | {"welch_p": test.welch_p, "permutation_p": test.permutation_p})
    return pd.DataFrame(rows, columns=list(dict.fromkeys([*rows[0], "welch_p", "permutation_p"])))


def _mark_planted(
    tables: Mapping[str, pd.DataFrame],
    filters: Sequence[str],
    names: FilterNames,
    planted: Mapping[str, Sequence[tuple[int, int]]],
) -> None:
    """Add the column `planted` to the tables of pairs of filters and of motifs."""
    of_filters = {name: i for i, name in enumerate(filters)}
    of_motifs = {name: i for i, name in enumerate(names.motifs)}
    every = np.eye(len(names.motifs), dtype=bool)
    for file, a, b, index, membership in (
        ("interactions.tsv", "filter_a", "filter_b", of_filters, names.membership),
        ("motif_interactions.tsv", "motif_a", "motif_b", of_motifs, every),
    ):
        table = tables[file]
        correct: dict[str, np.ndarray] = {}
        for cell_type, pairs in planted.items():
            found = candidate_pairs(membership, pairs, all_pairs=True)
            correct[cell_type] = np.zeros((len(membership),) * 2, dtype=bool)
            correct[cell_type][found.first, found.second] = found.is_correct
            correct[cell_type] |= correct[cell_type].T
        table["planted"] = [
            bool(correct[c][index[i], index[j]]) if c in correct else False
            for c, i, j in zip(table["cell_type"], table[a], table[b], strict=True)
        ]


def responses_of(reading: FilterReading, scan_length: int | None, motifs: Sequence[Motif]) -> FilterResponses:
    """What filters make of motifs in shuffled validation windows, inserted where the network scans.

    Raises
    ------
    InputError
        If a motif is longer than what the network scans, or there is nothing to insert it into.
    """
    start, end = _scanned(reading, scan_length)
    for motif in motifs:
        if motif.width > end - start:
            raise InputError(
                "a motif is longer than what the network scans",
                where=motif.id,
                found=f"{motif.width} bp",
                expected=f"{end - start} bp or less",
                remedy="take it out of the file of motifs",
            )
    return filter_responses(
        reading.model,
        shuffled_backgrounds(reading.codes, _N_BACKGROUNDS),
        motifs,
        both_strands=reading.both_strands,
        within=(start, end),
    )


def mean_of_groups(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Means over the motifs of each group, (filter, motif) to (filter, group); groups are numbered from 0.

    >>> mean_of_groups(np.array([[1.0, 2.0, 4.0]]), np.array([0, 1, 0])).tolist()
    [[2.5, 2.0]]
    """
    belongs = np.asarray(group)[:, None] == np.unique(group)
    return values @ (belongs / belongs.sum(axis=0))


def inserter_of(reading: FilterReading, scan_length: int | None) -> Callable[[Motif, Motif], InsertionEffect]:
    """Effect of two motifs in shuffled validation windows, where a network scans them."""
    return functools.partial(
        insertion_effect,
        reading.model,
        shuffled_backgrounds(reading.codes, _N_BACKGROUNDS),
        both_strands=reading.both_strands,
        within=_scanned(reading, scan_length),
    )


def _scanned(reading: FilterReading, scan_length: int | None) -> tuple[int, int]:
    """First position that a network scans, and the one behind the last."""
    length = reading.codes.shape[1]
    scan_length = min(scan_length or length, length)
    start = (length - scan_length) // 2
    return start, start + scan_length


def _similar(e: np.ndarray, max_e: float) -> np.ndarray:
    """Groups of motifs by their E-values (motif, motif), numbered from 0: (motif,) int64."""
    distance = np.maximum(e, e.T)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance), method="complete")
    return number_groups(fcluster(tree, max_e, criterion="distance"))


def _first_rows(table: pd.DataFrame, n_shown: int) -> str:
    """The first ranks of each cell type."""
    n_ranks = max(1, n_shown // table["cell_type"].nunique()) if len(table) else 0
    return (
        table[table["rank"] <= n_ranks]
        .head(2 * n_shown)
        .to_string(index=False, na_rep="", float_format="{:.3g}".format)
    )


def _motif_table(
    by_motif: np.ndarray,
    names: FilterNames,
    cell_types: Sequence[str],
    *,
    n_top: int,
    absolute: bool,
    insert: Callable[[Motif, Motif], InsertionEffect],
    n_insert: int,
) -> pd.DataFrame:
    """Interactions by motif; homotypic ones stand behind the others of a cell type, ranked for themselves."""
    first, second = np.triu_indices(len(names.motifs))
    motif = np.array(names.motifs, dtype=object)
    homotypic = first == second
    examples = [names.known[i] for i in np.unique(names.group, return_index=True)[1]]
    effect = functools.cache(lambda i, j: insert(examples[i], examples[j]))
    parts = []
    for c, (cell_type, values) in enumerate(zip(cell_types, by_motif[:, first, second], strict=True)):
        order = np.lexsort((-np.abs(values) if absolute else -values, homotypic))
        kinds = homotypic[order]
        rank = np.where(kinds, np.cumsum(kinds), np.cumsum(~kinds))
        order, kinds, rank = (array[rank <= n_top] for array in (order, kinds, rank))
        part = pd.DataFrame(
            {
                "cell_type": cell_type,
                "rank": rank,
                "motif_a": motif[first[order]],
                "motif_b": motif[second[order]],
                "interaction": values[order],
                "homotypic": kinds,
            }
        )
        if n_insert:
            inserted = np.full((len(order), 2), np.nan)
            for row in np.flatnonzero(~kinds & (rank <= n_insert)):
                found = effect(int(first[order[row]]), int(second[order[row]]))
                inserted[row] = found.interaction[c], found.interaction_error[c]
            part["inserted"], part["inserted_error"] = inserted.T
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
