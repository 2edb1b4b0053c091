"""Networks of every kind that score alleles: by the k-mer kernels where they can, else by Keras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from chromacc_data.sequences.genome import Genome
from chromacc_models.effects.alleles import AlleleScorer
from chromacc_models.effects.variants import (
    SCORED,
    Matched,
    VariantScores,
    allele_windows,
    score_alleles,
    unscored,
)
from chromacc_models.effects.vcf import Alleles
from chromacc_models.scoring.open_scorer import open_scorer
from chromacc_models.scoring.scorer import Head, Scorer

if TYPE_CHECKING:
    from chromacc_models.scoring.keras_scorer import KerasScorer

__all__ = ["AlleleNetwork", "open_alleles"]


class AlleleNetwork(Protocol):
    """What scores alleles."""

    n_cell_types: int
    #: Filters that are looked at; None where they are not.
    n_filters: int | None

    def score(self, genome: Genome, alleles: Alleles, matched: Matched) -> VariantScores:
        """Scores of alleles, as :func:`~chromacc_models.effects.variants.score_alleles` gives them."""


def open_alleles(
    weights: Path, sha256: str | None = None, columns: Sequence[int] | None = None
) -> AlleleNetwork:
    """A network of a ``.keras`` file, to score alleles.

    Parameters
    ----------
    weights, sha256
        The file, and its checksum where one is recorded.
    columns
        Outputs to score, in this order; all when not given.

    Raises
    ------
    InputError
        If it cannot be read, or takes something else than DNA windows of one length.
    """
    scorer = open_scorer(weights, sha256=sha256)
    if not isinstance(scorer, Scorer):
        return _KerasAlleles(scorer, range(scorer.n_cell_types) if columns is None else columns)
    if columns is not None:
        head, chosen = scorer.head, list(columns)
        head = Head(
            *(
                np.ascontiguousarray(a)
                for a in (head.bias[chosen], head.weights[:, chosen], head.vectors[:, chosen])
            )
        )
        scorer = replace(scorer, head=head)
    return _KernelAlleles(scorer)


class _KernelAlleles:
    """An interpretable network."""

    def __init__(self, scorer: Scorer) -> None:
        self._alleles = AlleleScorer(scorer)
        self.n_cell_types, self.n_filters = scorer.n_cell_types, scorer.n_filters

    def score(self, genome: Genome, alleles: Alleles, matched: Matched) -> VariantScores:
        return score_alleles(self._alleles, genome, alleles, matched)


class _KerasAlleles:
    """Any other network: both windows of each allele are predicted."""

    n_filters = None

    def __init__(self, scorer: KerasScorer, columns: Sequence[int]) -> None:
        self._scorer, self._columns = scorer, list(columns)
        self.n_cell_types = len(self._columns)

    def score(self, genome: Genome, alleles: Alleles, matched: Matched) -> VariantScores:
        found = unscored(matched.status, self.n_cell_types)
        rows = np.flatnonzero(matched.status == SCORED)
        if len(rows):
            chosen = Alleles(*(column[rows] for column in alleles))
            windows = allele_windows(genome, matched.chrom[rows], chosen, self._scorer.window_length)
            ref, alt = (self._scorer.logits(codes)[:, self._columns] for codes in windows)
            found.logit_ref[rows], found.delta[rows] = ref, alt - ref
            found.cell_type[rows] = np.abs(alt - ref).argmax(axis=1)
        return found
