"""Interpret a run: its filters as motifs, what they match, and how much predictions depend on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from chromacc_data.errors import InputError
from chromacc_data.files import disk_errors, write_text_atomically
from chromacc_data.motifs.files import read_motifs, write_motifs
from chromacc_data.motifs.motif import Motif, information
from chromacc_models.interpretation.by_chance import DatabaseMatches, planted_by_chance, search_database
from chromacc_models.interpretation.combinations import Decomposition, decompose_filters
from chromacc_models.interpretation.filter_names import MAX_E, filter_names, group_names
from chromacc_models.interpretation.filters import base_weights
from chromacc_models.interpretation.importance import filter_importance, has_importance
from chromacc_models.interpretation.logos import logo_grid
from chromacc_models.interpretation.matching import FilterMatches, match_filters
from chromacc_models.interpretation.run_filters import read_filters_of_run, read_planted
from chromacc_models.interpretation.tomtom import (
    match_table,
    null_share,
    null_table,
)
from chromacc_models.reporting import plots
from chromacc_models.training.run import Run, lock_folder

__all__ = ["RunMotifs", "run_motifs"]

#: What is written only with a database.
_OPTIONAL_TABLES = {"tomtom.tsv", "tomtom_null.tsv"}


@dataclass(frozen=True)
class RunMotifs:
    """Motifs of the filters of a run.

    `table` has a row per filter, the most important first: filter, importance, bits, consensus; where the
    network began with known motifs also known, the one that a filter was set to and still is. Networks that
    do not pool over the whole window (basset) have no importance; the filter of most bits is first. With a
    database there are target, target_name, p, E, q and null_NAME, the share of filters that learned nothing
    and match at least as well; with planted motifs kind, planted and score; with either parts and explained,
    the motifs that the filter is made of. `chance` compares numbers of matches with those of the nulls,
    `kinds` counts the kinds of filters, `n_found` of `n_groups` planted motifs (groups, where they cannot be
    told apart) have a single-motif filter; `planted_chance` has the same numbers of filters that learned
    nothing, see :func:`planted_by_chance`.
    """

    folder: Path
    motifs: tuple[Motif, ...]
    table: pd.DataFrame
    files: tuple[str, ...]
    chance: pd.DataFrame | None = None
    kinds: dict[str, int] | None = None
    n_found: int | None = None
    n_groups: int | None = None
    planted_chance: dict[str, dict[str, float]] | None = None

    def report(self, n_shown: int = 10) -> tuple[dict[str, Any], str]:
        """The result for programs and for people."""
        value: dict[str, Any] = {"run": self.folder, "filters": self.table.to_dict("records")}
        lines = [self.table.head(n_shown).to_string(index=False, float_format="{:.3g}".format)]
        if self.chance is not None:
            value["chance"] = self.chance.to_dict("records")
            lines += [
                f"how many of the {len(self.motifs)} filters match the database, and how many are expected "
                "of filters that learned nothing (untrained, or with shuffled positions):",
                self.chance.to_string(index=False, float_format="{:.4g}".format),
            ]
        if self.kinds is not None and self.planted_chance is not None:
            value["planted"] = {
                "kinds": self.kinds,
                "found": self.n_found,
                "groups": self.n_groups,
                "chance": self.planted_chance,
            }
            counts = ", ".join(f"{n} {kind}" for kind, n in self.kinds.items())
            lines.append(
                f"filters by planted motif: {counts}; {self.n_found} of {self.n_groups} motifs (or groups of "
                "motifs that match each other) have a single-motif filter"
            )
            for null, by_chance in self.planted_chance.items():
                counts = ", ".join(f"{by_chance[kind]:.1f} {kind}" for kind in self.kinds)
                lines.append(f"as many {null} filters: {counts}; {by_chance['found']:.1f} motifs or groups")
        files = ", ".join(f"{self.folder / name}" for name in self.files)
        return value, "\n".join([*lines, f"{len(self.motifs)} motifs are in {files}"])

    def __repr__(self) -> str:
        return self.report()[1]


def run_motifs(
    run: Run | Path | str,
    *,
    store: Path | str | None = None,
    method: Literal["weights", "smoothed", "activations"] = "weights",
    database: Path | str | None = None,
    truth: Path | str | None = None,
    n_logos: int = 24,
    seed: int = 0,
) -> RunMotifs:
    """Motifs of the filters of a run, written into its folder: `motifs.meme`, `motifs.tsv`, `motifs.png`.

    Parameters
    ----------
    run
        A finished run, or its folder.
    store
        Where its store is now, if it has moved since the training.
    method
        How a filter becomes a motif: see :func:`chromacc_models.interpretation.filters.filter_motifs`.
    database
        File of known motifs to search for the filters (Tomtom). All matches with an E-value up to 1 are
        written to `tomtom.tsv`, in Tomtom's own columns, and the numbers expected by chance to
        `tomtom_null.tsv`.
    truth
        Motifs planted into simulated windows, from a simulated store or a motif file. Filters are matched
        with them by the rule of the thesis, and decomposed into them.
    n_logos
        Logos in the picture, of the most important filters.
    seed
        Of the filters that learned nothing.

    Raises
    ------
    InputError
        If the network has no filters that read DNA, its store is gone or has changed, or a file of motifs
        cannot be read.

    Examples
    --------
    >>> import chromacc_models as cm
    >>> from chromacc_models.examples import example_run
    >>> found = cm.motifs(example_run())
    >>> found.table.columns.tolist(), found.files
    (['filter', 'importance', 'bits', 'consensus'], ('motifs.meme', 'motifs.tsv', 'motifs.png'))
    """
    if n_logos < 1:
        raise InputError("no logos", where="--logos", found=n_logos, expected="1 or more")
    run = Run.open(run, store=store)
    targets = None if database is None else read_motifs(database)
    planted = None if truth is None else read_planted(truth)
    run_filters = read_filters_of_run(run, method=method)
    motifs = run_filters.motifs
    columns: dict[str, Any] = {"filter": [motif.id for motif in motifs]}
    if run.config.motifs is not None:
        columns["known"] = [motif.name for motif in motifs]
    if has_importance(run_filters.model):
        columns["importance"] = filter_importance(run_filters.model, run_filters.codes)
    columns["bits"] = np.array([information(motif.ppm).sum() for motif in motifs])
    columns["consensus"] = [motif.iupac for motif in motifs]
    tables: dict[str, pd.DataFrame] = {}
    found: DatabaseMatches | None = None
    matched: FilterMatches | None = None
    by_chance: dict[str, dict[str, float]] | None = None
    if targets is not None:
        found = search_database(run_filters, targets, method=method, seed=seed)
        columns |= _database_columns(found)
        tables["tomtom.tsv"] = match_table(found.matches, motifs, targets, nulls=found.nulls)
        tables["tomtom_null.tsv"] = null_table(found.best_e, found.nulls)
    if planted is not None:
        matched = match_filters(motifs, planted, both_strands=run_filters.both_strands)
        columns |= _truth_columns(matched, planted)
        by_chance = planted_by_chance(run_filters, planted, method=method, seed=seed)
    known = targets if truth is None else read_planted(truth, as_written=True)
    if known is not None:
        kernel = np.asarray(run_filters.model.get_layer("filters").kernel)
        parts = decompose_filters(base_weights(kernel), known, both_strands=run_filters.both_strands)
        columns |= _part_columns(parts, known)
    order = np.argsort(-columns.get("importance", columns["bits"]), kind="stable")
    ranked = [motifs[i] for i in order]
    table = pd.DataFrame(columns).iloc[order]
    titles = None if found is None else [_title(motifs[i], found, i) for i in order[:n_logos]]
    picture = logo_grid(ranked[:n_logos], titles=titles)  # before the first file: one that fails leaves none
    with disk_errors(run.folder), lock_folder(run.folder, wait=True):
        write_motifs(run.folder / "motifs.meme", ranked)
        for name, rows in {"motifs.tsv": table, **tables}.items():
            write_text_atomically(run.folder / name, rows.to_csv(sep="\t", index=False, float_format="%.6g"))
        plots.save(picture, run.folder / "motifs.png")
        for name in _OPTIONAL_TABLES - tables.keys():  # of an earlier call, with other options
            (run.folder / name).unlink(missing_ok=True)
    return RunMotifs(
        run.folder,
        tuple(ranked),
        table,
        ("motifs.meme", "motifs.tsv", "motifs.png", *tables),
        chance=tables.get("tomtom_null.tsv"),
        kinds=None if matched is None else matched.counts(),
        n_found=None if matched is None else len(matched.single_groups),
        n_groups=None if matched is None else matched.n_groups,
        planted_chance=by_chance,
    )


def _database_columns(found: DatabaseMatches) -> dict[str, Any]:
    best = [found.targets[i] for i in found.best]
    at = np.arange(len(best)), found.best
    return {
        "target": [motif.id for motif in best],
        "target_name": [motif.symbol for motif in best],
        "p": found.matches.p[at],
        "E": found.matches.e[at],
        "q": found.matches.q[at],
        **{f"null_{name}": null_share(e, found.best_e) for name, e in found.nulls.items()},
    }


def _truth_columns(matched: FilterMatches, planted: Sequence[Motif]) -> dict[str, Any]:
    names = group_names(planted, matched.group)
    return {
        "kind": matched.kind,
        "planted": filter_names(names, matched.in_group),
        "score": matched.alignments.score.max(axis=1),
    }


def _part_columns(decompositions: Sequence[Decomposition], known: Sequence[Motif]) -> dict[str, Any]:
    """Parts as SYMBOL@OFFSET and strand, the heaviest first."""
    return {
        "parts": [
            " ".join(f"{known[p.motif].symbol}@{p.offset}{'+' if p.strand > 0 else '-'}" for p in d.parts)
            for d in decompositions
        ],
        "explained": [d.explained for d in decompositions],
    }


def _title(motif: Motif, found: DatabaseMatches, index: int) -> str:
    e = found.best_e[index]
    if e > MAX_E:
        return motif.id
    return f"{motif.id} {found.targets[found.best[index]].symbol} E={e:.0e}"
