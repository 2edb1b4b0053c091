"""A trained network that is asked about bases: exactly where its form allows it, else mutant by mutant."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import N_BASES
from chromacc_models.effects.contributions import Contributions
from chromacc_models.effects.substitutions import Substitutions
from chromacc_models.scoring.open_scorer import open_scorer
from chromacc_models.scoring.saved_network import Network
from chromacc_models.scoring.scorer import NotInterpretableError, Scorer

if TYPE_CHECKING:
    from chromacc_models.scoring.keras_scorer import KerasScorer

__all__ = ["AskedNetwork", "naive_effects"]

#: Mutants scored at a time: bounds memory.
_BATCH = 1024

_EXACT = "exact: what each base changes in the scan, the pooling and the head"
_NAIVE = "naive: every mutant scored by the network"


@dataclass(frozen=True, eq=False)
class AskedNetwork:
    """A network, and what computes effects of its bases.

    Parameters
    ----------
    scorer
        What predicts from base codes.
    window_length
        Bases of a window.
    where
        Its file, for messages.
    obstacle
        Why the k-mer kernels cannot compute it; None where they do.
    """

    scorer: Scorer | KerasScorer
    window_length: int
    where: Path
    obstacle: str | None = None

    @classmethod
    def open(cls, network: Network) -> AskedNetwork:
        """The network of a file; TensorFlow is imported only for those that the kernels cannot compute.

        Raises
        ------
        InputError
            If the file cannot be read, or takes something else than DNA windows of one length.
        """
        return cls.of(open_scorer(network.weights, sha256=network.sha256), network.weights)

    @classmethod
    def of(cls, scorer: Scorer | KerasScorer, where: Path) -> AskedNetwork:
        """An open network, and its file."""
        obstacle = None if isinstance(scorer, Scorer) else scorer.obstacle
        return cls(scorer, scorer.window_length, where, obstacle)

    @property
    def n_cell_types(self) -> int:
        """Outputs."""
        return self.scorer.n_cell_types

    @property
    def seen(self) -> slice:
        """Positions of the window that the network looks at."""
        return self.scorer.scanned if isinstance(self.scorer, Scorer) else slice(0, self.window_length)

    @property
    def method(self) -> str:
        """How effects of substitutions are computed, for people."""
        return _NAIVE if self._substitutions is None else _EXACT

    @property
    def is_naive(self) -> bool:
        """Whether each mutant is scored by itself."""
        return self._substitutions is None

    def effects(self, codes: np.ndarray) -> np.ndarray:
        """Differences of logits, mutant less reference, by every base change of windows of base codes.

        (window, position) uint8 to (window, position, base, cell_type) float32.
        """
        if self._substitutions is None:
            return naive_effects(self.scorer, codes)
        return self._substitutions.effects(codes)

    @cached_property
    def contributions(self) -> Contributions:
        """What filters and bases add to the logits.

        Raises
        ------
        InputError
            For a network without closed contributions.
        """
        if self.obstacle is not None:
            raise InputError(
                "contributions and hits are exact sums over filters, which this network does not have",
                where=self.where,
                found=self.obstacle,
                expected="a baseline, factorization_machine or motif_builder network",
                remedy="use `chromacc-models mutagenesis`, which works for every network",
            )
        return Contributions(self.scorer)

    @cached_property
    def _substitutions(self) -> Substitutions | None:
        try:
            return None if self.obstacle is not None else Substitutions(self.scorer)
        except NotInterpretableError:  # dilated filters
            return None


def naive_effects(scorer: Scorer | KerasScorer, codes: np.ndarray) -> np.ndarray:
    """Effects of substitutions by scoring every mutant: as :meth:`AskedNetwork.effects`, for any network."""
    n_windows, length = codes.shape
    out = np.zeros((n_windows, length, N_BASES, scorer.n_cell_types), np.float32)
    if not n_windows:
        return out
    reference = scorer.logits(codes)
    window, position, base = (
        index.ravel() for index in np.nonzero(codes[:, :, np.newaxis] != np.arange(N_BASES, dtype=np.uint8))
    )
    for first in range(0, len(window), _BATCH):
        w, p, b = (index[first : first + _BATCH] for index in (window, position, base))
        mutants = codes[w]
        mutants[np.arange(len(w)), p] = b
        out[w, p, b] = scorer.logits(mutants) - reference[w]
    return out
