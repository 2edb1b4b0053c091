"""Filters that detect several motifs at once, decomposed into known motifs (thesis, section 7.2).

A filter that scans DNA scores a sequence by a sum of weights. One that serves several motifs holds, on its
positive weights, about the sum of theirs, each at its place: weights = a + sum_k b_k motif_k(offset, strand),
all b_k >= 0. Few motifs explain a filter, out of thousands of ways to lay one on it. So parts are chosen one
by one as long as they pay (orthogonal matching pursuit, where a later part may replace an earlier one) and
fitted by non-negative least squares. A part has to lower the extended Bayesian information criterion (Chen
and Chen 2008), n log(RSS / n) + k (log n + 2 log D), of n weights, k parts and D placements to choose from: a
larger database asks for better evidence. Tomtom, which takes a filter as one motif, finds no such parts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

from chromacc_data.motifs.motif import Motif, reverse_complement

__all__ = ["Decomposition", "DecompositionScore", "Part", "decompose_filters", "score_decompositions"]

_PSEUDOCOUNT = 0.01

#: Unexplained part of the variance below which a better fit is no evidence of more motifs.
_EXACT = 1e-3

#: Rounds of exchanging parts; nearly all settle in the first.
_ROUNDS = 5


class Part(NamedTuple):
    """A motif in a filter."""

    #: Index of the motif.
    motif: int
    #: Offset in the filter of the motif (reverse-complemented where `strand` is -1); negative where the motif
    #: begins before the filter.
    offset: int
    #: 1, or -1 where the motif is reverse-complemented.
    strand: int
    #: Weight b: 1 for the motif's log2 odds themselves.
    weight: float


class Decomposition(NamedTuple):
    """Motifs that explain a filter, the heaviest first."""

    parts: tuple[Part, ...]
    #: Part of the variance of the filter's weights that they explain, 0 to 1.
    explained: float

    @property
    def motifs(self) -> frozenset[int]:
        """Indices of its motifs."""
        return frozenset(part.motif for part in self.parts)


class DecompositionScore(NamedTuple):
    """How decompositions agree with the motifs that are known to be in the filters."""

    #: Parts that are in the truth, of all that were found; NaN where none were.
    precision: float
    #: Motifs of the truth that were found; NaN where there are none.
    recall: float
    #: Share of filters whose motifs were found exactly; NaN without filters.
    exact: float


def decompose_filters(
    weights: np.ndarray,
    motifs: Sequence[Motif],
    *,
    both_strands: bool = False,
    max_parts: int = 4,
    penalty: float = 1.5,
    min_inside: float = 0.7,
) -> tuple[Decomposition, ...]:
    """Motifs that explain each filter, at most one placement of each.

    Parameters
    ----------
    weights
        Positive weights of the filters, shape (filter, width, 4), as
        :func:`chromacc_models.interpretation.filters.base_weights` gives them. The scale of a filter does not
        matter.
    motifs
        Known motifs, as positive log2 odds against equal base frequencies.
    both_strands
        Whether reverse complements of motifs are tried as well.
    max_parts
        Motifs in a filter, at most.
    penalty
        Factor on the cost of a part; 0 adds parts as long as they fit at all. The criterion's own is 1, for
        normal errors. Positive weights are skewed: of filters of 20 positions and pure noise (positive parts
        of normal and of uniform draws), 16 and 6 % hold one of the 20 motifs of `datasets/additive-20` with
        1, and 2.5 and 0.4 % with 1.5.
    min_inside
        Share of a motif's squared odds that must lie inside the filter, of what the filter can hold.

    Raises
    ------
    ValueError
        If the weights are not of that shape or negative, or there are no motifs, or none prefers any base.

    Examples
    --------
    >>> from chromacc_data.sequences.encoding import encode, one_hot
    >>> motifs = [Motif(word, one_hot(encode(word))) for word in ("GATAAG", "TGACTCA", "CACGTG")]
    >>> filter_ = np.zeros((12, 4))
    >>> filter_[:6] += one_hot(encode("GATAAG"))
    >>> filter_[4:11] += one_hot(encode("TGACTCA"))
    >>> (found,) = decompose_filters(filter_[None], motifs)
    >>> [(part.motif, part.offset) for part in found.parts]
    [(1, 4), (0, 0)]
    """
    weights = np.asarray(weights, dtype=np.float64)
    if weights.ndim != 3 or weights.shape[2] != 4 or not (weights >= 0).all():
        raise ValueError(f"weights of shape {weights.shape}; expected (filter, width, 4), all at least 0")
    if not len(motifs):
        raise ValueError("no motifs to explain filters with")
    placements = _place(motifs, weights.shape[1], both_strands, min_inside)
    if not len(placements.size):
        raise ValueError(f"none of {len(motifs)} motifs prefers any base; they explain no filter")
    return tuple(_decompose(row, placements, max_parts, penalty) for row in weights.reshape(len(weights), -1))


def score_decompositions(
    found: Sequence[Collection[int]], truth: Sequence[Collection[int]], *, group: np.ndarray | None = None
) -> DecompositionScore:
    """Precision and recall of decompositions, over the parts of all filters.

    Parameters
    ----------
    found, truth
        Indices of motifs in each filter. Where it is only known which motifs are in the data, and not in
        which filter, they are the truth of every filter: precision is the share of parts that are no decoys.
    group
        Group of each motif, (motif,), as :func:`chromacc_models.interpretation.matching.motif_groups` gives
        them: motifs of one group are taken for each other. None keeps all apart.

    Examples
    --------
    >>> score_decompositions([{0, 1}, {2}], [{0}, {2, 3}])
    DecompositionScore(precision=0.6666666666666666, recall=0.6666666666666666, exact=0.0)
    """
    ours, theirs = (
        [{m if group is None else int(group[m]) for m in motifs} for motifs in sets]
        for sets in (found, truth)
    )
    n_both = sum(len(a & b) for a, b in zip(ours, theirs, strict=True))
    n_found, n_true = (sum(map(len, sets)) for sets in (ours, theirs))
    return DecompositionScore(
        precision=n_both / n_found if n_found else float("nan"),
        recall=n_both / n_true if n_true else float("nan"),
        exact=sum(a == b for a, b in zip(ours, theirs, strict=True)) / len(ours) if ours else float("nan"),
    )


class _Placements(NamedTuple):
    """All ways to lay a motif on a filter."""

    columns: np.ndarray  # (placement, width * 4), each of length 1
    size: np.ndarray  # (placement,), their length before
    motif: np.ndarray
    offset: np.ndarray
    strand: np.ndarray


def _place(motifs: Sequence[Motif], width: int, both_strands: bool, min_inside: float) -> _Placements:
    columns, rows = [], []
    for index, motif in enumerate(motifs):
        for strand in (1, -1) if both_strands else (1,):
            odds = _positive_odds(motif if strand == 1 else reverse_complement(motif))
            padded = np.pad(odds, ((width - 1, width - 1), (0, 0)))
            # Every stretch of the padded motif that is as wide as the filter: offsets from width - 1 down.
            laid = np.lib.stride_tricks.sliding_window_view(padded, width, axis=0).swapaxes(1, 2)
            laid = laid.reshape(len(laid), -1)
            inside = np.square(laid).sum(axis=1)
            kept = np.flatnonzero((inside >= min_inside * inside.max()) & (inside > 0))
            columns.append(laid[kept])
            rows += [(index, width - 1 - first, strand) for first in kept]
    laid = np.concatenate(columns)
    size = np.linalg.norm(laid, axis=1)
    motif, offset, strand = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return _Placements(laid / size[:, None], size, motif, offset, strand)


def _positive_odds(motif: Motif) -> np.ndarray:
    smooth = motif.ppm + _PSEUDOCOUNT
    return np.maximum(np.log2(4 * smooth / smooth.sum(axis=1, keepdims=True)), 0)


def _decompose(y: np.ndarray, placements: _Placements, max_parts: int, penalty: float) -> Decomposition:
    n, variance = len(y), float(np.square(y - y.mean()).sum())
    if variance == 0:
        return Decomposition((), 0.0)
    cost = penalty * (np.log(n) + 2 * np.log(len(placements.motif)))

    def criterion(unexplained: float, n_parts: int) -> float:
        return n * np.log(unexplained / variance + _EXACT) + n_parts * cost

    chosen: list[int] = []
    best = criterion(variance, 0)
    for _ in range(max_parts):
        added = _best_addition(y, placements, chosen)
        if added is None:
            break
        longer = _exchange(y, placements, [*chosen, added])
        now = criterion(_fit(y, placements, longer)[1], len(longer))
        if now >= best:
            break
        chosen, best = longer, now
    if not chosen:
        return Decomposition((), 0.0)
    weight, unexplained = _fit(y, placements, chosen)
    parts = [
        Part(
            int(placements.motif[i]),
            int(placements.offset[i]),
            int(placements.strand[i]),
            float(w / placements.size[i]),
        )
        for i, w in zip(chosen, weight, strict=True)
        if w > 0
    ]
    return Decomposition(tuple(sorted(parts, key=lambda part: -part.weight)), 1 - unexplained / variance)


def _exchange(y: np.ndarray, placements: _Placements, chosen: list[int]) -> list[int]:
    """Parts of which none can be exchanged for a better one."""
    unexplained = _fit(y, placements, chosen)[1]
    for _ in range(_ROUNDS if len(chosen) > 1 else 0):
        before = unexplained
        for i in range(len(chosen)):
            others = chosen[:i] + chosen[i + 1 :]
            other = _best_addition(y, placements, others)
            if other is None:
                continue
            swapped = [*chosen[:i], other, *chosen[i + 1 :]]
            after = _fit(y, placements, swapped)[1]
            if after < unexplained * (1 - 1e-9):
                chosen, unexplained = swapped, after
        if unexplained == before:
            break
    return chosen


def _best_addition(y: np.ndarray, placements: _Placements, chosen: list[int]) -> int | None:
    """The placement that explains most of what the chosen ones leave, of a motif not among them."""
    weight, _ = _fit(y, placements, chosen)
    basis, _ = np.linalg.qr(np.stack([np.ones(len(y)), *placements.columns[chosen]], axis=1))
    rest = y - basis @ (basis.T @ y)
    if (weight <= 0).any():  # a part that does not count takes nothing away
        return None
    along = placements.columns @ rest
    new = 1 - np.square(placements.columns @ basis).sum(axis=1)
    open_ = (along > 0) & (new > 1e-6) & ~np.isin(placements.motif, placements.motif[chosen])
    gain = np.where(open_, np.square(along) / np.maximum(new, 1e-6), 0)
    best = int(gain.argmax())
    return best if gain[best] > 0 else None


def _fit(y: np.ndarray, placements: _Placements, chosen: list[int]) -> tuple[np.ndarray, float]:
    """Weights of the chosen placements, fitted along with a constant, and the squared error that is left."""
    columns = np.stack([np.ones(len(y)), *placements.columns[chosen]], axis=1)
    weight, error = nnls(columns, y)
    return weight[1:], error**2
