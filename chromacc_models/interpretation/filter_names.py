"""Names of filters: of the motifs, or groups of motifs, that they match."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from chromacc_data.motifs.motif import Motif
from chromacc_models.interpretation.matching import match_filters, number_groups
from chromacc_models.interpretation.tomtom import match_motifs
from chromacc_models.networks.known_motifs import KnownMotifs

__all__ = [
    "MAX_E",
    "FilterNames",
    "filter_names",
    "group_names",
    "name_by_database",
    "name_by_known",
    "name_by_truth",
    "similar_motifs",
]

#: Largest E-value at which a filter matches a motif (thesis, section 5.2.3).
MAX_E = 0.01


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
        """Name of each filter: see :func:`filter_names`."""
        return filter_names(self.motifs, self.membership)


def group_names(motifs: Sequence[Motif], group: np.ndarray) -> list[str]:
    """Name of each group of motifs: their symbols between slashes, or their ids where groups share symbols.

    >>> motifs = [Motif("M1", np.eye(4), "X"), Motif("M2", np.eye(4), "X"), Motif("M3", np.eye(4), "Y")]
    >>> group_names(motifs, np.array([0, 1, 1])), group_names(motifs, np.array([0, 1, 2]))
    (['X', 'X/Y'], ['M1', 'M2', 'Y'])
    """
    members = [[motifs[i] for i in np.flatnonzero(group == index)] for index in range(group.max() + 1)]
    names = ["/".join(dict.fromkeys(motif.symbol for motif in of_group)) for of_group in members]
    times = Counter(names)
    return [
        name if times[name] == 1 else "/".join(motif.id for motif in of_group)
        for name, of_group in zip(names, members, strict=True)
    ]


def filter_names(motifs: Sequence[str], membership: np.ndarray) -> list[str]:
    """Name of each filter: its motifs, or groups, with + between them; empty without one.

    Parameters
    ----------
    motifs
        Names, (motif,).
    membership
        (filter, motif), bool.
    """
    return ["+".join(motifs[i] for i in np.flatnonzero(row)) for row in membership]


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
    group = chosen * 0
    if len(named) > 1:
        group = similar_motifs(match_motifs(named, database).e[:, chosen], max_e)
    names = group_names(named, group) if len(named) else []
    membership = np.zeros((len(filters), len(names)), dtype=bool)
    membership[matched, group[of_filter]] = True
    return FilterNames(tuple(names), membership, tuple(named), group)


def name_by_known(known: KnownMotifs) -> FilterNames | None:
    """Filters under the motifs that they were set to and still are; None where there are none."""
    kept = [one for one in known.filters if one.keeps_name]
    if not kept:
        return None
    membership = np.zeros((known.n_filters, len(kept)), dtype=bool)
    membership[[one.filter for one in kept], np.arange(len(kept))] = True
    names, motifs = tuple(one.name for one in kept), tuple(one.as_motif() for one in kept)
    return FilterNames(names, membership, motifs, np.arange(len(kept)))


def name_by_truth(filters: Sequence[Motif], planted: Sequence[Motif], *, both_strands: bool) -> FilterNames:
    """Filters under the groups of planted motifs that they match, as in the thesis (section 3.3)."""
    matched = match_filters(filters, planted, both_strands=both_strands)
    names = tuple(group_names(planted, matched.group))
    return FilterNames(names, matched.in_group, tuple(planted), matched.group)


def similar_motifs(e: np.ndarray, max_e: float = MAX_E) -> np.ndarray:
    """Groups of motifs of which any two match, by their E-values (motif, motif): (motif,) int64 from 0."""
    distance = np.maximum(e, e.T)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance), method="complete")
    return number_groups(fcluster(tree, max_e, criterion="distance"))
