"""Clusters of the redundant motifs of a database, by Tomtom's distance: one motif stands for each.

Databases have the same motif many times: of the factors of a family, and of one factor by several methods.
Filters set to all of them would share what they learn at random. Any two motifs of a cluster match at an
E-value of at most `max_e`, in both directions and on either strand (complete linkage).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from chromacc_data.motifs.motif import Motif, information
from chromacc_models.interpretation.filter_names import similar_motifs
from chromacc_models.interpretation.tomtom import match_motifs

__all__ = ["MotifCluster", "cluster_motifs"]

#: Symbols that the name of a cluster has at most; more are counted.
_SYMBOLS = 3
#: Smallest E-value that is told from 0 when distances within a cluster are averaged.
_SMALLEST_E = 1e-30


class MotifCluster(NamedTuple):
    """Motifs that match each other."""

    #: The member that the others resemble most.
    representative: Motif
    #: All of them, in the order of the database.
    members: tuple[Motif, ...]
    #: Symbols of the members, the representative's first: `GATA1/GATA2`; of many, `HOXA2/HOXB3/+16`.
    name: str


def cluster_motifs(motifs: Sequence[Motif], *, max_e: float) -> tuple[MotifCluster, ...]:
    """Cluster motifs; the same motifs in the same order give the same clusters.

    Parameters
    ----------
    motifs
        The database; the columns of its motifs are what chance is measured by.
    max_e
        Tomtom E-value up to which any two motifs of a cluster match; with 0 each motif is a cluster.

    Returns
    -------
    tuple
        In the order of the clusters' first motifs. The representative has the smallest mean logarithm of
        E-values with the other members; of equal ones the most information, then the first. Names are unique:
        clusters with the same symbols have the id of their representative behind them.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> known = [Motif(f"M{i}", rng.dirichlet([0.2] * 4, 8), f"TF{i}") for i in range(60)]
    >>> twin = Motif("M60", known[7].ppm[::-1, ::-1], "TWIN")
    >>> clusters = cluster_motifs([*known, twin], max_e=1e-4)
    >>> len(clusters), clusters[7].name
    (60, 'TF7/TWIN')
    """
    if max_e == 0 or len(motifs) == 1:
        return _named([((i,), i) for i in range(len(motifs))], motifs)
    e = match_motifs(motifs, motifs).e
    group = similar_motifs(e, max_e)
    distance = np.log(np.maximum(np.maximum(e, e.T), _SMALLEST_E))
    np.fill_diagonal(distance, 0)  # only the others count
    bits = [information(motif.ppm).sum() for motif in motifs]
    found = []
    for index in range(group.max() + 1):
        members = np.flatnonzero(group == index)
        within = distance[np.ix_(members, members)].mean(axis=1).round(9)
        best = min(range(len(members)), key=lambda i: (within[i], -bits[members[i]], i))
        found.append((tuple(members), int(members[best])))
    return _named(found, motifs)


def _named(found: Sequence[tuple[Sequence[int], int]], motifs: Sequence[Motif]) -> tuple[MotifCluster, ...]:
    names = [_name([motifs[best], *(motifs[i] for i in members)]) for members, best in found]
    times = Counter(names)
    return tuple(
        MotifCluster(
            motifs[best],
            tuple(motifs[i] for i in members),
            name if times[name] == 1 else f"{name}({motifs[best].id})",
        )
        for (members, best), name in zip(found, names, strict=True)
    )


def _name(motifs: Sequence[Motif]) -> str:
    symbols = list(dict.fromkeys("_".join(motif.symbol.split()) for motif in motifs))
    more = len(symbols) - _SYMBOLS
    return "/".join(symbols if more <= 0 else [*symbols[: _SYMBOLS - 1], f"+{more + 1}"])
