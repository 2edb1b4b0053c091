"""Pairs of base changes: what two of them do together beyond what each does alone, exact, and why."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chromacc_data.sequences.encoding import N_BASES
from chromacc_models.effects.substitutions import Substitutions
from chromacc_models.scoring.scorer import Head, Scorer

__all__ = ["PairEffects", "PairMap"]

#: Mutants whose substitutions are computed at a time: bounds memory.
_BATCH = 64


class PairMap(NamedTuple):
    """Interactions of base changes of a window, (position, base, position, base, cell_type) float32.

    Parameters
    ----------
    interaction
        Effect of both changes on the logit, less the effects of each alone.
    cooperation
        The part of it that the head makes: filters that both change, or each changes one of, interact in the
        factorization machine. It is what the interaction would be if changes of pooled values added up. A
        dense head makes none.
    """

    interaction: np.ndarray
    cooperation: np.ndarray

    @property
    def redundancy(self) -> np.ndarray:
        """The part that pooling makes: places that stand in for each other, or are changed by both."""
        return self.interaction - self.cooperation


class PairEffects:
    """All double mutants of a window, by the substitutions of each of its single mutants.

    Parameters
    ----------
    scorer
        The network.

    Raises
    ------
    NotInterpretableError
        For dilated filters.

    Examples
    --------
    Two copies of CG under a maximum: to break one does nothing, to break both takes the logit.

    >>> from chromacc_models.kmer_kernels.scan import FrontEnd
    >>> front_end = FrontEnd(window_length=5, n_filters=1, width=2, pooling="max")
    >>> kernel = np.zeros((2, 4, 1), np.float32)
    >>> kernel[0, 1] = kernel[1, 2] = 1  # CG
    >>> head = Head(np.zeros(1), np.ones((1, 1)), np.zeros((1, 1, 0)))
    >>> scorer = Scorer(5, slice(0, 5), (0, 0), front_end, kernel, np.zeros(1, np.float32), head)
    >>> found = PairEffects(scorer).of_window(np.array([1, 2, 0, 1, 2], np.uint8))  # CGACG
    >>> found.interaction[0, 0, 3, 0].tolist(), found.cooperation[0, 0, 3, 0].tolist()
    ([-1.0], [0.0])
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer, self._substitutions = scorer, Substitutions(scorer)

    def of_window(
        self, codes: np.ndarray, first: range | None = None, second: range | None = None
    ) -> PairMap:
        """Interactions of every change at one site with every change at another.

        Parameters
        ----------
        codes
            Base codes of one window, (position,) uint8.
        first, second
            Positions of the sites; the whole window when not given.

        Returns
        -------
        PairMap
            Axes are positions of `first`, base, positions of `second`, base, cell type. 0 where a base is the
            one that is there, and where both positions are the same.
        """
        first, second = (range(len(codes)) if site is None else site for site in (first, second))
        a, b = (_Mutants.of(codes, site) for site in (first, second))
        interaction = np.zeros((len(a), len(second), N_BASES, self._scorer.n_cell_types), np.float32)
        at = {"first": second.start, "stop": second.stop}
        alone = self._substitutions.effects(codes[np.newaxis], **at)[0]
        for start in range(0, len(a), _BATCH):
            rows = slice(start, start + _BATCH)
            interaction[rows] = self._substitutions.effects(a.codes[rows], **at) - alone
        pooled = self._scorer.pool(codes[np.newaxis])
        changes = (self._scorer.pool(mutants.codes) - pooled for mutants in (a, b))
        cooperation = np.zeros_like(interaction)
        cooperation[:, b.position - second.start, b.base] = _cooperation(self._scorer.head, *changes)
        same = np.flatnonzero((a.position >= second.start) & (a.position < second.stop))
        for array in (interaction, cooperation):
            array[same, a.position[same] - second.start] = 0
        return PairMap(*(a.spread(array, first) for array in (interaction, cooperation)))


class _Mutants(NamedTuple):
    """Every base change of some positions of a window."""

    position: np.ndarray
    base: np.ndarray
    codes: np.ndarray

    @classmethod
    def of(cls, codes: np.ndarray, site: range) -> _Mutants:
        differs = codes[site.start : site.stop, np.newaxis] != np.arange(N_BASES, dtype=np.uint8)
        position, base = np.nonzero(differs)
        position += site.start
        mutants = np.repeat(codes[np.newaxis], len(position), axis=0)
        mutants[np.arange(len(position)), position] = base
        return cls(position, base, mutants)

    def __len__(self) -> int:
        return len(self.position)

    def spread(self, values: np.ndarray, site: range) -> np.ndarray:
        """Values of mutants, (mutant, …), as (position, base, …)."""
        out = np.zeros((len(site), N_BASES, *values.shape[1:]), values.dtype)
        out[self.position - site.start, self.base] = values
        return out


def _cooperation(head: Head, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """What the head makes of changes of pooled values that add up.

    ``sum_{f != g} <V_fu, V_gu> d_f e_g`` for changes d and e, (mutant, filter) each: (mutant, mutant,
    cell_type) float32.
    """
    n_cell_types = len(head.bias)
    out = np.zeros((len(first), len(second), n_cell_types), np.float32)
    if not head.vectors.shape[2]:
        return out
    for u in range(n_cell_types):
        vectors = head.vectors[:, u]
        own = np.square(vectors).sum(axis=1)
        out[..., u] = (first @ vectors) @ (second @ vectors).T - (first * own) @ second.T
    return out
