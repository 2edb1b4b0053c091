"""Filters against motifs that are known to be in the data, by the rule of the thesis (section 3.3).

A base is present at a position of a filter when it contributes more than 0.1 bits to its information. The
consensus of a motif slides along the filter, the bases that both have are counted, and the largest count is
divided by the width of the narrower one. Above 0.8 the two match: a filter matches one motif, several (a
combination), or none. Motifs whose consensus match each other cannot be told apart by this rule; they are one
group, and a filter that matches no motif outside one group is a single-motif filter of that group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.sparse.csgraph import connected_components

from chromacc_data.motifs.motif import Motif, contributions, reverse_complement
from chromacc_data.sequences.encoding import encode, one_hot

__all__ = [
    "KINDS",
    "Alignments",
    "FilterMatches",
    "match_filters",
    "match_scores",
    "motif_groups",
    "number_groups",
    "present_bases",
]

#: What a filter can be.
KINDS = ("single", "combination", "none")

_MIN_CONTRIBUTION = 0.1
_MIN_SCORE = 0.8


class Alignments(NamedTuple):
    """Best alignment of each filter with each motif; arrays of shape (filter, motif)."""

    #: Bases in common over the width of the narrower one, 0 to 1; float64.
    score: np.ndarray
    #: Offset of the motif (reverse-complemented where `strand` is -1) in the filter; negative where it begins
    #: before; int64.
    offset: np.ndarray
    #: 1, or -1 where the motif is reverse-complemented; int8.
    strand: np.ndarray


@dataclass(frozen=True)
class FilterMatches:
    """Which motifs each filter matches.

    `matched` is (filter, motif), bool; `group` the index of each motif's group, (motif,), int64.
    """

    alignments: Alignments
    matched: np.ndarray
    group: np.ndarray

    @property
    def in_group(self) -> np.ndarray:
        """Whether a filter matches a motif of a group: (filter, group), bool."""
        return self.matched.astype(np.int64) @ np.eye(self.n_groups, dtype=np.int64)[self.group] > 0

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return int(self.group.max()) + 1

    @property
    def kind(self) -> np.ndarray:
        """Kind of each filter, of :data:`KINDS`, by the groups it matches: (filter,) of str."""
        return _kind(self.in_group)

    @property
    def kind_by_motif(self) -> np.ndarray:
        """As :attr:`kind`, but counting each motif separately, as in the thesis."""
        return _kind(self.matched)

    @property
    def single_groups(self) -> np.ndarray:
        """Groups that have a single-motif filter of their own, in ascending order."""
        return np.flatnonzero(self.in_group[self.kind == "single"].any(axis=0))

    def of(self, filters: np.ndarray) -> FilterMatches:
        """The same of some of the filters, by index or by a mask."""
        return FilterMatches(
            Alignments(*(values[filters] for values in self.alignments)), self.matched[filters], self.group
        )

    def counts(self) -> dict[str, int]:
        """Number of filters of each kind, by groups."""
        return {kind: int((self.kind == kind).sum()) for kind in KINDS}

    def summary(self) -> dict[str, int]:
        """:meth:`counts`; `KIND_by_motif`, as the thesis counts; and `found`, the number of groups that have
        a single-motif filter of their own."""
        by_motif = {f"{kind}_by_motif": int((self.kind_by_motif == kind).sum()) for kind in KINDS}
        return self.counts() | by_motif | {"found": len(self.single_groups)}


def match_filters(
    filters: Sequence[Motif],
    motifs: Sequence[Motif],
    *,
    both_strands: bool = False,
    min_contribution: float = _MIN_CONTRIBUTION,
    min_score: float = _MIN_SCORE,
) -> FilterMatches:
    """Match filters with motifs: see the head of this module.

    Parameters
    ----------
    filters
        Motifs of the filters, as :func:`chromacc_models.interpretation.filters.filter_motifs` gives them.
    motifs
        The planted motifs; only their consensus counts.
    both_strands
        Whether the reverse complement of a motif counts as the motif: for networks that scan both strands.
    min_contribution
        Bits above which a base is present in a filter.
    min_score
        Score above which filter and motif match.

    Raises
    ------
    ValueError
        If there are no filters or motifs, or the filters differ in width.

    Examples
    --------
    >>> def exact(consensus):
    ...     return Motif(consensus, one_hot(encode(consensus)))
    >>> found = match_filters([exact("TTGATAAG"), exact("CCCCCCCC")], [exact("GATAA"), exact("TGACTCA")])
    >>> found.kind.tolist(), found.alignments.score[0].round(2).tolist()
    (['single', 'none'], [1.0, 0.43])
    """
    if not len(filters) or len({motif.width for motif in filters}) > 1:
        raise ValueError("filters must be one or more motifs of one width")
    present = present_bases(np.stack([motif.ppm for motif in filters]), min_contribution=min_contribution)
    alignments = match_scores(present, motifs, both_strands=both_strands)
    group = motif_groups(motifs, both_strands=both_strands, min_score=min_score)
    return FilterMatches(alignments, alignments.score > min_score, group)


def present_bases(ppms: np.ndarray, *, min_contribution: float = _MIN_CONTRIBUTION) -> np.ndarray:
    """Bases that a filter looks for: contribution to the information above a limit in bits; shape kept, bool.

    >>> present_bases(np.array([[0.5, 0, 0, 0.5], [0.3, 0.3, 0.2, 0.2]])).tolist()
    [[True, False, False, True], [False, False, False, False]]
    """
    return contributions(ppms) > min_contribution


def match_scores(present: np.ndarray, motifs: Sequence[Motif], *, both_strands: bool = False) -> Alignments:
    """Score of the best alignment of each filter with each motif, where both reach past each other as well.

    Parameters
    ----------
    present
        Bases present in each filter, shape (filter, width, 4), bool.
    motifs
        Their consensus is aligned.
    both_strands
        Whether reverse complements are tried as well; ties go to the forward strand and the first position.
    """
    if not len(motifs):
        raise ValueError("no motifs to match with")
    return _best_strand(present, np.full(len(present), present.shape[1]), motifs, both_strands)


def motif_groups(
    motifs: Sequence[Motif], *, both_strands: bool = False, min_score: float = _MIN_SCORE
) -> np.ndarray:
    """Group of each motif, shape (motif,), int64: motifs that match each other, directly or through others.

    Groups are numbered from 0 in the order of their first motifs.

    >>> exact = [Motif(word, one_hot(encode(word))) for word in ("TGACTCA", "GATAA", "TGACTCAT")]
    >>> motif_groups(exact).tolist()
    [0, 1, 0]
    """
    present, widths = _consensus(motifs)
    related = _best_strand(present, widths, motifs, both_strands).score > min_score
    return number_groups(connected_components(related, directed=False)[1])


def number_groups(label: np.ndarray) -> np.ndarray:
    """Groups by any labels, (motif,), numbered from 0 in the order of their first motifs.

    >>> number_groups(np.array([7, 2, 2, 7, 5])).tolist()
    [0, 1, 1, 0, 2]
    """
    _, first, group = np.unique(label, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[group]


def _best_strand(
    present: np.ndarray, widths: np.ndarray, motifs: Sequence[Motif], both_strands: bool
) -> Alignments:
    forward = _align(present, widths, motifs)
    if not both_strands:
        return forward
    reverse = _align(present, widths, [reverse_complement(motif) for motif in motifs])
    is_reverse = reverse.score > forward.score
    return Alignments(
        np.where(is_reverse, reverse.score, forward.score),
        np.where(is_reverse, reverse.offset, forward.offset),
        np.where(is_reverse, -1, 1).astype(np.int8),
    )


def _align(present: np.ndarray, filter_widths: np.ndarray, motifs: Sequence[Motif]) -> Alignments:
    """Best alignments on the forward strand; filters narrower than the array are padded at their end."""
    n_filters, width, _ = present.shape
    consensus, motif_widths = _consensus(motifs)
    widest = consensus.shape[1]
    columns = consensus.reshape(len(motifs), -1).T.astype(np.float32)
    padded = np.pad(present.astype(np.float32), ((0, 0), (widest - 1, widest - 1), (0, 0)))
    best = np.full((n_filters, len(motifs)), -1, dtype=np.float32)
    offset = np.zeros(best.shape, dtype=np.int64)
    for start in range(width + widest - 1):
        common = padded[:, start : start + widest].reshape(n_filters, -1) @ columns
        better = common > best
        np.copyto(best, common, where=better)
        np.copyto(offset, start - (widest - 1), where=better)
    score = best.astype(np.float64) / np.minimum(filter_widths[:, None], motif_widths)
    return Alignments(score, offset, np.ones(score.shape, dtype=np.int8))


def _consensus(motifs: Sequence[Motif]) -> tuple[np.ndarray, np.ndarray]:
    """Consensus of motifs, (motif, widest, 4), bool, zeros behind narrow ones; and their widths."""
    widths = np.array([motif.width for motif in motifs])
    bases = np.zeros((len(motifs), int(widths.max()), 4), dtype=bool)
    for row, motif in zip(bases, motifs, strict=True):
        row[: motif.width] = one_hot(encode(motif.consensus))
    return bases, widths


def _kind(matched: np.ndarray) -> np.ndarray:
    n = matched.sum(axis=1)
    return np.select([n == 1, n > 1], KINDS[:2], KINDS[2])
