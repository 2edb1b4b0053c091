"""Tables of the interactions of motifs, and of how far they are the planted ones."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from chromacc_data.errors import InputError
from chromacc_data.motifs.motif import Motif
from chromacc_data.simulation.truth import read_truth
from chromacc_data.store.read import FORMATS, open_store
from chromacc_models.interpretation.filter_names import FilterNames
from chromacc_models.interpretation.insertions import InsertionEffect
from chromacc_models.interpretation.interactions import candidate_pairs, compare_pairs, rank_motif_pairs
from chromacc_models.interpretation.matching import motif_groups

__all__ = ["mark_planted", "motif_table", "planted_pairs", "score_pairs"]


def motif_table(
    by_motif: np.ndarray,
    names: FilterNames,
    cell_types: Sequence[str],
    *,
    n_top: int,
    absolute: bool,
    insert: Callable[[Motif, Motif], InsertionEffect],
    n_insert: int,
) -> pd.DataFrame:
    """Interactions by motif; homotypic ones follow the others of a cell type and are ranked separately."""
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


def planted_pairs(
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


def score_pairs(
    of_motifs: np.ndarray,
    of_filters: np.ndarray,
    names: FilterNames,
    cell_types: Sequence[str],
    planted: Mapping[str, Sequence[tuple[int, int]]],
) -> pd.DataFrame:
    """How highly planted pairs are ranked: a row for each cell type that has any."""
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


def mark_planted(
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
