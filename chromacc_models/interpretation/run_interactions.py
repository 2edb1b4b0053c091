"""Interpret a run with factorization machines: interactions of its filters, named by their motifs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from chromacc_data.errors import InputError
from chromacc_data.files import disk_errors, write_text_atomically
from chromacc_data.motifs.files import read_motifs
from chromacc_data.motifs.motif import Motif
from chromacc_models.interpretation.filter_names import (
    FilterNames,
    name_by_database,
    name_by_known,
    name_by_truth,
)
from chromacc_models.interpretation.importance import pooled_activations
from chromacc_models.interpretation.interaction_tables import (
    mark_planted,
    motif_table,
    planted_pairs,
    score_pairs,
)
from chromacc_models.interpretation.interactions import (
    inner_products,
    interaction_table,
    motif_interactions,
    scale_by_spread,
)
from chromacc_models.interpretation.run_filters import RunFilters, read_filters_of_run, read_planted
from chromacc_models.interpretation.run_insertions import inserter_of, mean_of_groups, responses_of
from chromacc_models.networks.known_motifs import read_known_motifs
from chromacc_models.networks.layers import FactorizationMachine
from chromacc_models.reporting import plots
from chromacc_models.training.run import Run, lock_folder

__all__ = ["Interactions", "RunInteractions", "interactions_of", "run_interactions"]

#: What is written only with motifs, and with planted pairs.
_OPTIONAL_TABLES = {"motif_interactions.tsv", "interaction_scores.tsv"}

#: Pairs that the picture shows of each cell type.
_N_BARS = 10


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
    #: Motif of each filter, and what it was named after: "" without a match or motifs to match.
    filters: tuple[Motif, ...] = ()
    names: tuple[str, ...] = ()
    #: Scaled interactions of all filters, (cell_type, filter, filter).
    scaled: np.ndarray | None = None

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
                "ranking of planted pairs of motifs, and test against other pairs of filters (Welch's test "
                "assumes independent pairs, the permutation test does not):",
                self.scores.to_string(index=False, float_format="{:.3g}".format),
            ]
        files = ", ".join(f"{self.folder / name}" for name in self.files)
        return value, "\n".join([*lines, f"interactions are in {files}"])

    def __repr__(self) -> str:
        return self.report()[1]


def run_interactions(
    run: Run | Path | str,
    *,
    store: Path | str | None = None,
    method: Literal["weights", "smoothed", "activations"] = "weights",
    database: Path | str | None = None,
    truth: Path | str | None = None,
    n_top: int = 1000,
    absolute: bool = False,
    n_insert: int = 0,
) -> RunInteractions:
    """Interactions that a run's factorization machines learned, written to `interactions.tsv` and `.png`.

    With motifs, of a database, planted ones, or those that the network began with, `motif_interactions.tsv`
    has them by motif: each motif is inserted into 200 shuffled validation windows, where the network scans
    them, and filters count as much as it raises them
    (:func:`~chromacc_models.interpretation.interactions.motif_interactions`; of a group the mean over its
    motifs).

    Parameters
    ----------
    run
        A finished run of the factorization machines network, or its folder.
    store
        Where its store is now, if it has moved since the training.
    method
        How a filter becomes a motif: see :func:`chromacc_models.interpretation.filters.filter_motifs`.
    database
        File of known motifs: a filter has the name of its best match, if its E-value is at most 0.01. Without
        one, filters that were set to known motifs and still are have the names of these.
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
        Rank by absolute value instead of signed value.
    n_insert
        Pairs of motifs of each cell type to insert into the same windows, to see whether the predictions
        show the interaction: `inserted`, with its standard error, is
        :func:`chromacc_models.interpretation.insertions.insertion_effect` of the first motif of either group.
        Homotypic pairs are not inserted, and without motifs no pair is.

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
    run = Run.open(run, store=store)
    own = None if database is not None or truth is not None else _own_names(run)
    if n_insert and database is None and truth is None and own is None:
        raise InputError(
            "no motifs to insert",
            where="--insert",
            found=n_insert,
            expected="--database or --truth as well",
        )
    known = None
    if database is not None or truth is not None:
        known = read_planted(truth) if database is None else read_motifs(database)
    run_filters = read_filters_of_run(run, method=method)
    found = interactions_of(run_filters)
    if found is None:
        raise InputError(
            "the network has no interactions",
            where=run.folder,
            found=run.config.network,
            expected="factorization_machine",
            remedy="train one with `--network factorization_machine`",
        )
    raw, scaled = found
    filters = [motif.id for motif in run_filters.motifs]
    table = interaction_table(raw, scaled, run.cell_types, filters, n_top=n_top, absolute=absolute)
    tables = {"interactions.tsv": table}
    filter_labels = [""] * len(filters)
    if known is not None or own is not None:
        if own is not None:
            names = own
        elif database is not None:
            names = name_by_database(run_filters.motifs, known)
        else:
            names = name_by_truth(run_filters.motifs, known, both_strands=run_filters.both_strands)
        filter_labels = names.of_filters()
        name = dict(zip(filters, filter_labels, strict=True))
        table["motif_a"], table["motif_b"] = table["filter_a"].map(name), table["filter_b"].map(name)
        responses = responses_of(run_filters, run.config.scan_length, names.known)
        by_motif = motif_interactions(raw, mean_of_groups(responses.rise, names.group))
        insert = inserter_of(run_filters, run.config.scan_length)
        tables["motif_interactions.tsv"] = motif_table(
            by_motif, names, run.cell_types, n_top=n_top, absolute=absolute, insert=insert, n_insert=n_insert
        )
        planted = planted_pairs(
            truth, run.cell_types, both_strands=run_filters.both_strands, absolute=absolute
        )
        if planted:
            ranked = [np.abs(values) if absolute else values for values in (by_motif, scaled)]
            tables["interaction_scores.tsv"] = score_pairs(*ranked, names, run.cell_types, planted)
            mark_planted(tables, filters, names, planted)
    picture = plots.interactions(table, n_bars=_N_BARS)  # before the first file: one that fails leaves none
    with disk_errors(run.folder), lock_folder(run.folder, wait=True):
        for file, rows in tables.items():
            write_text_atomically(run.folder / file, rows.to_csv(sep="\t", index=False, float_format="%.6g"))
        plots.save(picture, run.folder / "interactions.png")
        for file in _OPTIONAL_TABLES - tables.keys():  # of an earlier call, with other options
            (run.folder / file).unlink(missing_ok=True)
    files = (*tables, "interactions.png")
    return RunInteractions(
        run.folder,
        table,
        tables.get("motif_interactions.tsv"),
        files,
        tables.get("interaction_scores.tsv"),
        run_filters.motifs,
        tuple(filter_labels),
        scaled,
    )


class Interactions(NamedTuple):
    """Interactions of filters, (cell_type, filter, filter) float64."""

    #: Inner products of the vectors.
    raw: np.ndarray
    #: Times the spread of both pooled activations.
    scaled: np.ndarray


def _own_names(run: Run) -> FilterNames | None:
    """Filters of a run under the known motifs that they were set to."""
    known = read_known_motifs(run.folder)
    return None if known is None else name_by_known(known)


def interactions_of(run_filters: RunFilters) -> Interactions | None:
    """Interactions that a network's factorization machines learned; None if it has none."""
    head = next(
        (layer for layer in run_filters.model.layers if isinstance(layer, FactorizationMachine)), None
    )
    if head is None:
        return None
    raw = inner_products(np.asarray(head.vectors))
    spread = pooled_activations(run_filters.model, run_filters.codes).std(axis=0, dtype=np.float64)
    return Interactions(raw, scale_by_spread(raw, spread))


def _first_rows(table: pd.DataFrame, n_shown: int) -> str:
    """The first ranks of each cell type."""
    n_ranks = max(1, n_shown // table["cell_type"].nunique()) if len(table) else 0
    return (
        table[table["rank"] <= n_ranks]
        .head(2 * n_shown)
        .to_string(index=False, na_rep="", float_format="{:.3g}".format)
    )
