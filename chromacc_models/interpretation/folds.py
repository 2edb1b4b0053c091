"""Motifs and interactions of a cross-validation: which of them the folds agree on.

Filters of different folds are grouped by the similarity of their motifs: any two of a group match each other
by Tomtom, in both directions, with an E-value of at most 0.01. A filter that learned nothing matches no other
and stays alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from chromacc_data.errors import InputError
from chromacc_data.files import disk_errors, write_text_atomically
from chromacc_data.motifs.files import write_motifs
from chromacc_data.motifs.motif import Motif, information
from chromacc_models.evaluation.cross_validation import is_cross_validation, open_folds
from chromacc_models.interpretation.filter_names import MAX_E, similar_motifs
from chromacc_models.interpretation.run_interactions import (
    RunInteractions,
    run_interactions,
)
from chromacc_models.interpretation.run_motifs import RunMotifs, run_motifs
from chromacc_models.interpretation.tomtom import match_motifs, shuffle_columns
from chromacc_models.training.run import Run

__all__ = [
    "RECURRING_INTERACTIONS",
    "RECURRING_MOTIFS",
    "FoldGroups",
    "FoldInteractions",
    "FoldMotifs",
    "group_filters",
    "interactions_of_folds",
    "motifs_of_folds",
    "recurring_interactions",
]

#: Tables in the folder of a cross-validation, and the motifs of the first.
RECURRING_MOTIFS = "recurring_motifs.tsv"
RECURRING_INTERACTIONS = "recurring_interactions.tsv"
_MEME = "recurring_motifs.meme"

_N_SHOWN = 12

#: Motifs that p-values of a comparison are taken from, at least.
_LEAST_TARGETS = 500


class FoldGroups(NamedTuple):
    """Filters of all folds, grouped; groups found in most folds first, then those of most information."""

    #: Group of each filter, an array (filter,) for each fold.
    of_filter: tuple[np.ndarray, ...]
    #: Motif of each group: that of the member with most information, under the name of the group.
    motifs: tuple[Motif, ...]
    #: Number of folds with a filter of the group, (group,).
    n_folds: np.ndarray

    def members(self, group: int) -> list[tuple[int, int]]:
        """Fold and filter of each member of a group, by their places."""
        return [(fold, int(i)) for fold, of in enumerate(self.of_filter) for i in np.flatnonzero(of == group)]


@dataclass(frozen=True)
class FoldMotifs:
    """Motifs of all folds.

    `table` has a row for each group of filters: motif, folds, filters, importance_mean and importance_sd
    (over the folds that found it, of the sum over its filters; NaN where filters have no importance), bits,
    consensus, and members, as fold-0:filter_3.
    """

    folder: Path
    folds: tuple[RunMotifs, ...]
    table: pd.DataFrame
    files: tuple[str, ...]

    def report(self) -> tuple[dict[str, Any], str]:
        """The result for programs and for people."""
        value = {
            "cross_validation": self.folder,
            "folds": [fold.report()[0] for fold in self.folds],
            "recurring": self.table.to_dict("records"),
        }
        n_folds, n_filters = len(self.folds), int(self.table["filters"].sum())
        recurring = self.table[self.table["folds"] > 1]
        lines = [
            f"{int(recurring['filters'].sum())} of {n_filters} filters match a filter of another fold: "
            f"{len(recurring)} motifs found by at least 2 of {n_folds} folds, "
            f"{int((self.table['folds'] == n_folds).sum())} by all",
        ]
        if len(recurring):
            shown = recurring.head(_N_SHOWN).drop(columns="members")
            lines.append(shown.to_string(index=False, na_rep="", float_format="{:.3g}".format))
        files = ", ".join(f"{self.folder / name}" for name in self.files)
        return value, "\n".join([*lines, f"all groups are in {files}; motifs of each fold in its folder"])


@dataclass(frozen=True)
class FoldInteractions:
    """Interactions of all folds; for `table` see :func:`recurring_interactions`."""

    folder: Path
    folds: tuple[RunInteractions, ...]
    table: pd.DataFrame
    files: tuple[str, ...]

    def report(self) -> tuple[dict[str, Any], str]:
        """The result for programs and for people."""
        value = {
            "cross_validation": self.folder,
            "folds": [fold.report()[0] for fold in self.folds],
            "recurring": self.table.to_dict("records"),
        }
        lines = [f"pairs of motifs that at least 2 of {len(self.folds)} folds found:"]
        if len(self.table):
            n_ranks = max(1, _N_SHOWN // self.table["cell_type"].nunique())
            shown = self.table[self.table["rank"] <= n_ranks].head(2 * _N_SHOWN)
            lines.append(shown.to_string(index=False, float_format="{:.3g}".format))
        else:
            lines.append("none")
        files = ", ".join(f"{self.folder / name}" for name in self.files)
        lines.append(f"all pairs are in {files}; interactions of each fold in its folder")
        return value, "\n".join(lines)


def motifs_of_folds(
    folder: Path | str,
    *,
    store: Path | str | None = None,
    method: Literal["weights", "smoothed", "activations"] = "weights",
    database: Path | str | None = None,
    truth: Path | str | None = None,
    n_logos: int = 24,
    seed: int = 0,
) -> FoldMotifs:
    """Motifs of every fold of a cross-validation, and which of them recur.

    Each fold gets its own files, as by :func:`~chromacc_models.interpretation.run_motifs.run_motifs`; the
    folder gets `recurring_motifs.tsv`, all groups of filters, and `recurring_motifs.meme`, the motifs that
    two folds or more found.

    Parameters
    ----------
    folder
        Folder of ``chromacc-models cross-validate``.
    store, method, database, truth, n_logos, seed
        As in :func:`~chromacc_models.interpretation.run_motifs.run_motifs`.

    Raises
    ------
    InputError
        If it is no such folder or a fold has not finished; else as for a run.
    """
    folder, runs = _open(folder, store)
    found = tuple(
        run_motifs(run, method=method, database=database, truth=truth, n_logos=n_logos, seed=seed)
        for run in runs
    )
    groups = group_filters([one.motifs for one in found], [_names_of_motifs(one) for one in found])
    table = _motif_table(found, groups, [run.folder.name for run in runs])
    recurring = [motif for motif, n in zip(groups.motifs, groups.n_folds, strict=True) if n > 1]
    with disk_errors(folder):
        _write(folder / RECURRING_MOTIFS, table)
        if recurring:
            write_motifs(folder / _MEME, recurring)
        else:
            (folder / _MEME).unlink(missing_ok=True)
    files = (RECURRING_MOTIFS, _MEME) if recurring else (RECURRING_MOTIFS,)
    return FoldMotifs(folder, found, table, files)


def interactions_of_folds(
    folder: Path | str,
    *,
    store: Path | str | None = None,
    method: Literal["weights", "smoothed", "activations"] = "weights",
    database: Path | str | None = None,
    truth: Path | str | None = None,
    n_top: int = 1000,
    absolute: bool = False,
    n_insert: int = 0,
) -> FoldInteractions:
    """Interactions of every fold of a cross-validation, and of the motifs that recur.

    Each fold gets its own files, as by
    :func:`~chromacc_models.interpretation.run_interactions.run_interactions`; the folder gets
    `recurring_interactions.tsv`.

    Parameters
    ----------
    folder
        Folder of ``chromacc-models cross-validate``.
    store, method, database, truth, n_top, absolute, n_insert
        As in :func:`~chromacc_models.interpretation.run_interactions.run_interactions`.

    Raises
    ------
    InputError
        If it is no such folder or a fold has not finished; else as for a run.
    """
    folder, runs = _open(folder, store)
    options = {"method": method, "database": database, "truth": truth}
    found = tuple(
        run_interactions(run, **options, n_top=n_top, absolute=absolute, n_insert=n_insert) for run in runs
    )
    groups = group_filters([one.filters for one in found], [one.names for one in found])
    scaled = [one.scaled for one in found if one.scaled is not None]
    table = recurring_interactions(scaled, groups, runs[0].cell_types, n_top=n_top, absolute=absolute)
    with disk_errors(folder):
        _write(folder / RECURRING_INTERACTIONS, table)
    return FoldInteractions(folder, found, table, (RECURRING_INTERACTIONS,))


def group_filters(
    motifs: Sequence[Sequence[Motif]], names: Sequence[Sequence[str]] | None = None
) -> FoldGroups:
    """Group the filters of several folds by the similarity of their motifs: see the head of this module.

    Parameters
    ----------
    motifs
        Motifs of the filters of each fold.
    names
        What each filter is known as, "" for nothing. A group has the most common name of its members, or
        their consensus.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> filters = [Motif(f"f{i}", rng.dirichlet([0.2] * 4, 12)) for i in range(8)]
    >>> found = group_filters([filters[:5], filters[4:]])
    >>> found.n_folds.tolist(), found.members(0)
    ([2, 1, 1, 1, 1, 1, 1, 1], [(0, 4), (1, 0)])
    """
    every = [motif for of_fold in motifs for motif in of_fold]
    fold = np.repeat(np.arange(len(motifs)), [len(of_fold) for of_fold in motifs])
    label = similar_motifs(_e_values(every)) if len(every) > 1 else np.zeros(len(every), np.int64)
    bits = np.array([information(motif.ppm).sum() for motif in every])
    n_groups = int(label.max()) + 1
    n_folds = np.array([len(np.unique(fold[label == g])) for g in range(n_groups)])
    best = [int(np.flatnonzero(label == g)[bits[label == g].argmax()]) for g in range(n_groups)]
    order = np.lexsort((-bits[best], -n_folds))
    place = np.argsort(order)
    known = [""] * len(every) if names is None else [name for of_fold in names for name in of_fold]
    labels = [_group_name(known, np.flatnonzero(label == g), every[best[g]]) for g in order]
    return FoldGroups(
        tuple(place[label[fold == k]] for k in range(len(motifs))),
        tuple(Motif(name, every[best[g]].ppm) for name, g in zip(_numbered(labels), order, strict=True)),
        n_folds[order],
    )


def recurring_interactions(
    scaled: Sequence[np.ndarray],
    groups: FoldGroups,
    cell_types: Sequence[str],
    *,
    n_top: int = 1000,
    absolute: bool = False,
) -> pd.DataFrame:
    """Interactions of groups of filters that at least two folds have both motifs of.

    Parameters
    ----------
    scaled
        Scaled interactions of the filters of each fold, (cell_type, filter, filter).
    groups
        Groups of these filters.
    cell_types
        Names of the cell types.
    n_top
        Pairs of each cell type.
    absolute
        Rank by the size of the mean, not its signed value.

    Returns
    -------
    DataFrame
        cell_type, rank, motif_a, motif_b, folds (that have the pair), same_sign (those of them with the sign
        of the mean), scaled_mean and scaled_sd over these folds; of a fold the sum over all pairs of filters.
    """
    recurring = np.flatnonzero(groups.n_folds > 1)
    values = np.stack([_of_groups(s, of, recurring) for s, of in zip(scaled, groups.of_filter, strict=True)])
    first, second = np.triu_indices(len(recurring))
    values = values[:, :, first, second]  # (fold, cell_type, pair)
    kept = np.isfinite(values[:, 0]).sum(axis=0) > 1
    values, first, second = values[:, :, kept], first[kept], second[kept]
    names = np.array([groups.motifs[g].id for g in recurring], dtype=object)
    parts = []
    for c, cell_type in enumerate(cell_types):
        of_folds = pd.DataFrame(values[:, c])  # (fold, pair)
        mean = of_folds.mean().to_numpy()
        order = np.argsort(-np.abs(mean) if absolute else -mean, kind="stable")[:n_top]
        same_sign = (np.sign(values[:, c]) == np.sign(mean)).sum(axis=0)
        parts.append(
            pd.DataFrame(
                {
                    "cell_type": cell_type,
                    "rank": np.arange(1, len(order) + 1),
                    "motif_a": names[first[order]],
                    "motif_b": names[second[order]],
                    "folds": of_folds.count().to_numpy()[order],
                    "same_sign": same_sign[order],
                    "scaled_mean": mean[order],
                    "scaled_sd": of_folds.std().to_numpy()[order],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _of_groups(scaled: np.ndarray, of_filter: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Interactions summed over filters of groups, (cell_type, group, group); NaN where a pair is missing."""
    member = (of_filter[:, None] == groups).astype(np.float64)
    apart = scaled * (1 - np.eye(scaled.shape[1]))
    summed = member.T @ apart @ member
    n_pairs = member.T @ (1 - np.eye(len(member))) @ member
    diagonal = np.arange(len(groups))
    summed[:, diagonal, diagonal] /= 2  # each pair within a group was counted from both sides
    return np.where(n_pairs > 0, summed, np.nan)


def _open(folder: Path | str, store: Path | str | None) -> tuple[Path, tuple[Run, ...]]:
    folder = Path(folder)
    if not is_cross_validation(folder):
        raise InputError(
            "not the folder of a cross-validation",
            where=folder,
            expected="run folders fold-0, fold-1, ...",
            remedy="make one with `chromacc-models cross-validate`",
        )
    return folder, open_folds(folder, store=store)


def _e_values(motifs: Sequence[Motif]) -> np.ndarray:
    """E-values of all motifs against each other; few motifs get shuffled ones added, for the p-values."""
    n_shuffled = max(0, _LEAST_TARGETS - len(motifs))
    shuffled = shuffle_columns(motifs, n=n_shuffled) if n_shuffled else ()
    return match_motifs(motifs, [*motifs, *shuffled]).p[:, : len(motifs)] * len(motifs)


def _names_of_motifs(found: RunMotifs) -> list[str]:
    """What each filter is known as: its planted motifs, its target if it matches, or what it was set to."""
    table = found.table
    if "planted" in table:
        return [str(name) for name in table["planted"]]
    if "target_name" in table:
        return list(np.where(table["E"] <= MAX_E, table["target_name"], ""))
    return [motif.name for motif in found.motifs]


def _motif_table(found: Sequence[RunMotifs], groups: FoldGroups, folds: Sequence[str]) -> pd.DataFrame:
    rows = []
    for g, motif in enumerate(groups.motifs):
        members = groups.members(g)
        importance = pd.Series(
            [float(found[k].table["importance"].iloc[i]) if "importance" in found[k].table else np.nan
             for k, i in members]
        ).groupby([k for k, _ in members]).sum(min_count=1)  # fmt: skip
        rows.append(
            {
                "motif": motif.id,
                "folds": int(groups.n_folds[g]),
                "filters": len(members),
                "importance_mean": importance.mean(),
                "importance_sd": importance.std(),
                "bits": information(motif.ppm).sum(),
                "consensus": motif.iupac,
                "members": " ".join(f"{folds[k]}:{found[k].motifs[i].id}" for k, i in members),
            }
        )
    return pd.DataFrame(rows)


def _group_name(known: Sequence[str], members: np.ndarray, motif: Motif) -> str:
    names = Counter("_".join(known[i].split()) for i in members if known[i])
    return names.most_common(1)[0][0] if names else motif.iupac.strip("N") or motif.iupac


def _numbered(names: Sequence[str]) -> list[str]:
    """Names, with a number after those that were used before."""
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name}.{seen[name]}")
    return numbered


def _write(path: Path, table: pd.DataFrame) -> None:
    write_text_atomically(path, table.to_csv(sep="\t", index=False, float_format="%.6g"))
