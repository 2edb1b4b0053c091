"""Read a run with factorization machines: interactions of its filters, under the names of their motifs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from chromacc_data.errors import InputError
from chromacc_data.files import disk_errors, write_text_atomically
from chromacc_data.motif_files import read_motifs
from chromacc_data.motifs import Motif
from chromacc_models import plots
from chromacc_models.layers import FactorizationMachine
from chromacc_models.reading.importance import pooled_activations
from chromacc_models.reading.insertions import InsertionEffect, insertion_effect
from chromacc_models.reading.interactions import (
    collapse,
    inner_products,
    interaction_table,
    scale_by_spread,
)
from chromacc_models.reading.matching import match_filters, number_groups
from chromacc_models.reading.run_motifs import (
    MAX_E,
    FilterReading,
    group_names,
    read_filters_of_run,
    read_planted,
)
from chromacc_models.reading.tomtom import match_motifs
from chromacc_models.run import Run

__all__ = [
    "FilterNames",
    "Interactions",
    "RunInteractions",
    "interactions_of",
    "name_by_database",
    "name_by_truth",
    "run_interactions",
]

#: Pairs that the picture shows of each cell type.
_N_BARS = 10

#: Validation windows that motifs are inserted into.
_N_BACKGROUNDS = 200


class FilterNames(NamedTuple):
    """What filters look for."""

    #: Names of motifs, or of groups of motifs, (motif,).
    motifs: tuple[str, ...]
    #: (filter, motif), bool.
    membership: np.ndarray
    #: The first motif of each group, (motif,).
    examples: tuple[Motif, ...]

    def of_filters(self) -> list[str]:
        """Name of each filter: its motifs with + between them, empty without one."""
        return ["+".join(self.motifs[i] for i in np.flatnonzero(row)) for row in self.membership]


@dataclass(frozen=True)
class RunInteractions:
    """Interactions of a run.

    `table` is that of :func:`chromacc_models.reading.interactions.interaction_table`, with motif_a and
    motif_b where motifs were given; `motif_table` has the same by motif: cell_type, rank, motif_a, motif_b,
    scaled, n_pairs (of filters), homotypic; and where motifs were inserted, inserted and inserted_error.
    """

    folder: Path
    table: pd.DataFrame
    motif_table: pd.DataFrame | None
    files: tuple[str, ...]

    def report(self, n_shown: int = 12) -> tuple[dict[str, Any], str]:
        """The result for programs and for people; about `n_shown` lines of each table."""
        value: dict[str, Any] = {"run": self.folder, "interactions": self.table.to_dict("records")}
        lines = [_first_rows(self.table, n_shown)]
        if self.motif_table is not None:
            value["motif_interactions"] = self.motif_table.to_dict("records")
            lines.append(_first_rows(self.motif_table, n_shown))
        files = ", ".join(f"{self.folder / name}" for name in self.files)
        return value, "\n".join([*lines, f"interactions are in {files}"])


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

    With motifs, `motif_interactions.tsv` has them by motif: summed over the filters of a motif, pairs of
    filters of one motif apart (homotypic).

    Parameters
    ----------
    run
        A finished run of the factorization machines network, or its folder.
    method
        How a filter becomes a motif: see :func:`chromacc_models.reading.filters.filter_motifs`.
    database
        File of known motifs: a filter has the name of its best match, if its E-value is at most 0.01.
    truth
        Planted motifs, of a simulated store or a motif file: a filter has the names of those that it matches
        by the rule of the thesis.
    n_top
        Pairs of each cell type.
    absolute
        Rank by the size of the scaled interaction, not its signed value.
    n_insert
        Pairs of motifs of each cell type that are inserted into 200 validation windows, where the network
        scans them, to see whether its predictions hold the interaction: `inserted`, with its standard error,
        is :func:`chromacc_models.reading.insertions.insertion_effect` of the first motif of either group.
        Homotypic pairs are not, and neither is any without motifs.

    Raises
    ------
    InputError
        If the network has no factorization machines, both sorts of motifs are given, or the store is gone or
        has changed.
    """
    if database is not None and truth is not None:
        raise InputError("two sources of names", found="--database and --truth", expected="one of them")
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
        insert = _inserter(reading, run.config.scan_length)
        tables["motif_interactions.tsv"] = _motif_table(
            scaled, names, run.cell_types, absolute=absolute, insert=insert, n_insert=n_insert
        )
    picture = plots.interactions(table, n_bars=_N_BARS)  # before the first file: one that fails leaves none
    with disk_errors(run.folder):
        for file, rows in tables.items():
            write_text_atomically(run.folder / file, rows.to_csv(sep="\t", index=False, float_format="%.6g"))
        plots.save(picture, run.folder / "interactions.png")
    files = (*tables, "interactions.png")
    return RunInteractions(run.folder, table, tables.get("motif_interactions.tsv"), files)


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
    return FilterNames(tuple(names), membership, _first_of_groups(named, group))


def name_by_truth(filters: Sequence[Motif], planted: Sequence[Motif], *, both_strands: bool) -> FilterNames:
    """Filters under the groups of planted motifs that they match, as in the thesis (section 3.3)."""
    matched = match_filters(filters, planted, both_strands=both_strands)
    names = tuple(group_names(planted, matched.group))
    return FilterNames(names, matched.in_group, _first_of_groups(planted, matched.group))


def _first_of_groups(motifs: Sequence[Motif], group: np.ndarray) -> tuple[Motif, ...]:
    return tuple(motifs[i] for i in np.unique(group, return_index=True)[1])


def _inserter(reading: FilterReading, scan_length: int | None) -> Callable[[Motif, Motif], InsertionEffect]:
    """Effect of two motifs in validation windows, where the network scans them."""
    n_windows, length = reading.codes.shape
    chosen = np.linspace(0, n_windows - 1, min(n_windows, _N_BACKGROUNDS)).astype(np.int64)
    scan_length = min(scan_length or length, length)
    start = (length - scan_length) // 2
    return functools.partial(
        insertion_effect,
        reading.model,
        reading.codes[chosen],
        both_strands=reading.both_strands,
        within=(start, start + scan_length),
    )


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
    scaled: np.ndarray,
    names: FilterNames,
    cell_types: Sequence[str],
    *,
    absolute: bool,
    insert: Callable[[Motif, Motif], InsertionEffect],
    n_insert: int,
) -> pd.DataFrame:
    """Interactions by motif; homotypic ones stand behind the others of a cell type, ranked for themselves."""
    pairs = collapse(scaled, names.membership)
    first, second = np.nonzero(np.triu(pairs.n_pairs))
    motif = np.array(names.motifs, dtype=object)
    homotypic = first == second
    effect = functools.cache(lambda i, j: insert(names.examples[i], names.examples[j]))
    parts = []
    for c, (cell_type, values) in enumerate(zip(cell_types, pairs.values[:, first, second], strict=True)):
        order = np.lexsort((-np.abs(values) if absolute else -values, homotypic))
        kinds = homotypic[order]
        rank = np.where(kinds, np.cumsum(kinds), np.cumsum(~kinds))
        part = pd.DataFrame(
            {
                "cell_type": cell_type,
                "rank": rank,
                "motif_a": motif[first[order]],
                "motif_b": motif[second[order]],
                "scaled": values[order],
                "n_pairs": pairs.n_pairs[first, second][order],
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
