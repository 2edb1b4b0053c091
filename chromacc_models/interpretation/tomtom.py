"""Tomtom: which known motifs a filter resembles, and how often filters that learned nothing do.

Tomtom (Gupta et al. 2007) compares every column of a query with every column of a database of targets, and
gives the probability that the best alignment with a target is as good by chance. Alignments and p-values are
memelite's, the Euclidean distance between columns is the only one (Tomtom's default, `-dist ed`). What is
around them (pseudocounts, strands, q-values) follows Tomtom 5, so that its numbers come out.

An E-value says what random columns of the database would give. Filters are not random columns, so the same
search is also done with filters that have learned nothing: an empirical null.
"""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from memelite import tomtom as memelite_tomtom

from chromacc_data.motifs.motif import Motif, information, reverse_complement

__all__ = [
    "Matches",
    "best_e_values",
    "match_motifs",
    "match_table",
    "null_share",
    "null_table",
    "q_values",
    "shuffle_columns",
]

_LOG = logging.getLogger("chromacc.tomtom")

#: Sites that Tomtom takes a matrix to come from where its file does not say.
_DEFAULT_SITES = 20.0

#: Below this number of targets their columns are a poor background (Tomtom warns as well).
_FEW_TARGETS = 50

#: Bits below which a query is no motif.
_LEAST_BITS = 1.0

#: memelite's approximations are off: no columns of targets merged, and medians all but exact.
_MEDIAN_BINS = 50_000

# Estimation of the share of true null hypotheses, as Tomtom's.
_LAMBDAS = 0.5 * np.arange(1, 101) / 100
_BOOTSTRAP_SAMPLES = 1000
_FEWEST_P_VALUES = 100

_COMPLEMENT = str.maketrans("ACGT", "TGCA")


class Matches(NamedTuple):
    """Best alignment of each query with each target; arrays of shape (query, target)."""

    #: Probability of an alignment as good on either strand by chance; float64.
    p: np.ndarray
    #: Targets expected to reach that p by chance: p times the number of targets; float64.
    e: np.ndarray
    #: False discovery rate among the query's matches, Storey's; float64.
    q: np.ndarray
    #: Columns from the first of the target (reverse-complemented where `strand` is -1) to the first of the
    #: query; negative where the target begins inside the query; int64.
    offset: np.ndarray
    #: Columns that lie on each other; int64.
    overlap: np.ndarray
    #: 1, or -1 where the target is reverse-complemented; int8.
    strand: np.ndarray


def match_motifs(queries: Sequence[Motif], targets: Sequence[Motif], *, pseudocount: float = 0.1) -> Matches:
    """Compare each query with each target on both strands.

    A query of less than one bit in all, such as that of a filter that is silent everywhere, is no motif and
    matches nothing (p = 1): flat columns fit the flat flanks of some targets well.

    Parameters
    ----------
    queries, targets
        Motifs; the columns of the targets are the background, so p-values depend on the whole set.
    pseudocount
        Sites of background frequencies that are added to each matrix, which counts as 20 sites where
        `n_sites` is unknown. It matters for matrices of `n_sites` 1, as those of CIS-BP:
        (p + 0.025) / 1.1.

    Raises
    ------
    ValueError
        If there are no queries or targets.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> database = [Motif(f"M{i}", rng.dirichlet([0.2] * 4, 8)) for i in range(60)]
    >>> found = match_motifs([reverse_complement(database[7])], database)
    >>> int(found.p[0].argmin()), int(found.strand[0, 7]), int(found.overlap[0, 7])
    (7, -1, 8)
    """
    if not len(queries) or not len(targets):
        raise ValueError(f"{len(queries)} queries and {len(targets)} targets; expected one or more of each")
    if len(targets) < _FEW_TARGETS:
        _LOG.warning("only %d targets: p-values depend on which ones they are", len(targets))
    return _match(queries, targets, pseudocount)


def _match(queries: Sequence[Motif], targets: Sequence[Motif], pseudocount: float = 0.1) -> Matches:
    both = [_columns(motif, pseudocount) for motif in targets]
    both += [_columns(reverse_complement(motif), pseudocount) for motif in targets]
    with warnings.catch_warnings():
        # memelite's own warning of few targets
        warnings.filterwarnings("ignore", message="tomtom was given", category=UserWarning)
        # Strands apart: where both fit as well (palindromes), the forward one is given, as by Tomtom.
        p, _, offset, overlap, _ = memelite_tomtom(
            [_columns(motif, pseudocount) for motif in queries],
            both,
            n_target_bins=None,
            n_median_bins=_MEDIAN_BINS,
            reverse_complement=False,
        )
    p = p * (2 - p)  # 1 - (1 - p)**2: the better of two strands
    p[[information(motif.ppm).sum() < _LEAST_BITS for motif in queries]] = 1
    q = q_values(p)
    reverse = p[:, len(targets) :] < p[:, : len(targets)]
    p, q, offset, overlap = (
        np.where(reverse, values[:, len(targets) :], values[:, : len(targets)])
        for values in (p, q, offset, overlap)
    )
    return Matches(
        p,
        p * len(targets),
        q,
        offset.astype(np.int64),
        overlap.astype(np.int64),
        np.where(reverse, -1, 1).astype(np.int8),
    )


def q_values(p: np.ndarray) -> np.ndarray:
    """Q-values of the p-values along the last axis, shape kept: Benjamini and Hochberg's, by Storey's pi0.

    The share pi0 of true null hypotheses is #{p >= lambda} / (1 - lambda) / n for the lambda that makes the
    smallest error under the bootstrap (Storey 2002, algorithm 3), out of 100 values up to 0.5, as in Tomtom.
    Tomtom draws 100 bootstrap samples; here is their expectation, so that the result is the same each time.
    With 100 p-values or fewer pi0 is 1.

    Examples
    --------
    >>> q_values(np.array([0.01, 0.04, 0.02, 0.9])).round(3).tolist()
    [0.04, 0.053, 0.04, 0.9]
    """
    n = p.shape[-1]
    order = np.argsort(p, axis=-1)
    q = np.take_along_axis(p, order, axis=-1) * n / np.arange(1, n + 1)
    q = np.minimum(q * _share_of_nulls(p)[..., None], 1)
    q = np.flip(np.minimum.accumulate(np.flip(q, axis=-1), axis=-1), axis=-1)
    unsorted = np.empty_like(q)
    np.put_along_axis(unsorted, order, q, axis=-1)
    return unsorted


def best_e_values(queries: Sequence[Motif], targets: Sequence[Motif]) -> np.ndarray:
    """Smallest E-value of each query, shape (query,), float64: see :func:`match_motifs`."""
    return _match(queries, targets).e.min(axis=1)


def match_table(
    matches: Matches,
    queries: Sequence[Motif],
    targets: Sequence[Motif],
    *,
    nulls: Mapping[str, np.ndarray] | None = None,
    max_e: float = 1.0,
) -> pd.DataFrame:
    """Matches of at most that E-value with the columns of Tomtom's own table, the best of a query first.

    Parameters
    ----------
    matches, queries, targets
        What :func:`match_motifs` gave, and for what.
    nulls
        Smallest E-value of each null filter by the name of the null: see :func:`null_share`.
    max_e
        E-value up to which a match is a row.

    Returns
    -------
    pd.DataFrame
        Query_ID, Target_ID, Target_name, Optimal_offset, p-value, E-value, q-value, Overlap, Query_consensus,
        Target_consensus (reverse-complemented where Orientation is -), Orientation, and null_NAME for each
        null.
    """
    query, target = np.nonzero(matches.e <= max_e)
    order = np.lexsort((matches.p[query, target], query))
    query, target = query[order], target[order]
    strand = np.where(matches.strand[query, target] > 0, "+", "-")
    consensus = [_oriented(targets[t].consensus, s) for t, s in zip(target, strand, strict=True)]
    return pd.DataFrame(
        {
            "Query_ID": [queries[i].id for i in query],
            "Target_ID": [targets[i].id for i in target],
            "Target_name": [targets[i].symbol for i in target],
            "Optimal_offset": matches.offset[query, target],
            "p-value": matches.p[query, target],
            "E-value": matches.e[query, target],
            "q-value": matches.q[query, target],
            "Overlap": matches.overlap[query, target],
            "Query_consensus": [queries[i].consensus for i in query],
            "Target_consensus": consensus,
            "Orientation": strand,
            **{f"null_{name}": null_share(e, matches.e[query, target]) for name, e in (nulls or {}).items()},
        }
    )


def shuffle_columns(motifs: Sequence[Motif], *, n: int, seed: int = 0) -> tuple[Motif, ...]:
    """Motifs with their positions in random order: `n` of them, each motif in turn.

    Composition and information of the positions stay, what is destroyed is their order. A motif of equal
    positions (AAAA) stays as it is, and its match counts as one that chance gives.
    """
    rng = np.random.default_rng(seed)
    chosen = [motifs[i % len(motifs)] for i in range(n)]
    return tuple(
        dataclasses.replace(motif, id=f"{motif.id}_shuffled_{i}", ppm=rng.permutation(motif.ppm, axis=0))
        for i, motif in enumerate(chosen)
    )


def null_share(null_e: np.ndarray, e: np.ndarray) -> np.ndarray:
    """Share of null filters whose best match is at least as good as `e`, shape of `e` kept, float64.

    The one at hand is counted among them, (1 + k) / (1 + n): a p-value of the best match that is never 0.

    Parameters
    ----------
    null_e
        Smallest E-value of each null filter, shape (null,): see :func:`best_e_values`.
    e
        E-values.

    Examples
    --------
    >>> null_share(np.array([0.1, 0.5, 2.0]), np.array([0.01, 0.5])).tolist()
    [0.25, 0.75]
    """
    return (1 + np.searchsorted(np.sort(null_e), e, side="right")) / (1 + len(null_e))


def null_table(
    e: np.ndarray,
    nulls: Mapping[str, np.ndarray],
    *,
    thresholds: Sequence[float] = (0.0001, 0.001, 0.01, 0.05, 0.1, 0.5, 1.0),
) -> pd.DataFrame:
    """Filters that match at each E-value, and the number expected of filters that learned nothing.

    Parameters
    ----------
    e
        Smallest E-value of each filter, shape (filter,).
    nulls
        Those of null filters by the name of the null, shapes (null,).

    Returns
    -------
    pd.DataFrame
        E, matched (number of filters), and expected_NAME of each null: number of filters times its share.

    Examples
    --------
    >>> null_table(np.array([0.001, 3]), {"shuffled": np.array([0.01, 1, 4, 5])}, thresholds=[0.01, 1])
          E  matched  expected_shuffled
    0  0.01        1                0.5
    1  1.00        1                1.0
    """
    limits = np.array(thresholds, dtype=np.float64)
    columns = {"E": limits, "matched": (e[:, None] <= limits).sum(axis=0)}
    for name, null_e in nulls.items():
        columns[f"expected_{name}"] = len(e) * (null_e[:, None] <= limits).mean(axis=0)
    return pd.DataFrame(columns)


def _columns(motif: Motif, pseudocount: float) -> np.ndarray:
    """The matrix with pseudocounts as memelite takes it, shape (4, width)."""
    n_sites = motif.n_sites or _DEFAULT_SITES
    return ((motif.ppm * n_sites + pseudocount * motif.background) / (n_sites + pseudocount)).T


def _share_of_nulls(p: np.ndarray) -> np.ndarray:
    """Storey's pi0 of the p-values along the last axis."""
    if p.shape[-1] <= _FEWEST_P_VALUES:
        return np.ones(p.shape[:-1])
    above = np.stack([(p >= limit).mean(axis=-1) for limit in _LAMBDAS], axis=-1)
    share = np.where(above > 0, above / (1 - _LAMBDAS), np.inf)
    share[~np.isfinite(share).any(axis=-1)] = 1  # all p-values are small: no estimate
    # Mean squared error of a bootstrap estimate around the smallest share: its bias and a binomial variance.
    variance = above * (1 - above) / _BOOTSTRAP_SAMPLES / (1 - _LAMBDAS) ** 2
    error = (share - share.min(axis=-1, keepdims=True)) ** 2 + variance
    best = np.take_along_axis(share, error.argmin(axis=-1)[..., None], axis=-1)[..., 0]
    return np.minimum(best, 1)


def _oriented(consensus: str, strand: str) -> str:
    return consensus if strand == "+" else consensus.translate(_COMPLEMENT)[::-1]
