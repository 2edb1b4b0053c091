"""Motifs inserted into the validation windows of a run, where its network scans them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from chromacc_data.errors import InputError
from chromacc_data.motifs.motif import Motif
from chromacc_models.interpretation.insertions import (
    FilterResponses,
    InsertionEffect,
    filter_responses,
    insertion_effect,
    shuffled_backgrounds,
)
from chromacc_models.interpretation.run_filters import RunFilters
from chromacc_models.scoring.keras_scorer import scorer_of

__all__ = ["inserter_of", "mean_of_groups", "responses_of"]

#: Shuffled validation windows that motifs are inserted into.
_N_BACKGROUNDS = 200


def responses_of(
    run_filters: RunFilters, scan_length: int | None, motifs: Sequence[Motif]
) -> FilterResponses:
    """Responses of filters to motifs inserted into shuffled validation windows, where the network scans.

    Raises
    ------
    InputError
        If a motif is longer than what the network scans, or there is nothing to insert it into.
    """
    start, end = _scanned(run_filters, scan_length)
    for motif in motifs:
        if motif.width > end - start:
            raise InputError(
                "a motif is longer than what the network scans",
                where=motif.id,
                found=f"{motif.width} bp",
                expected=f"{end - start} bp or less",
                remedy="take it out of the file of motifs",
            )
    return filter_responses(
        run_filters.model,
        shuffled_backgrounds(run_filters.codes, _N_BACKGROUNDS),
        motifs,
        both_strands=run_filters.both_strands,
        within=(start, end),
    )


def mean_of_groups(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Means over the motifs of each group, (filter, motif) to (filter, group); groups are numbered from 0.

    >>> mean_of_groups(np.array([[1.0, 2.0, 4.0]]), np.array([0, 1, 0])).tolist()
    [[2.5, 2.0]]
    """
    belongs = np.asarray(group)[:, None] == np.unique(group)
    return values @ (belongs / belongs.sum(axis=0))


def inserter_of(
    run_filters: RunFilters, scan_length: int | None
) -> Callable[[Motif, Motif], InsertionEffect]:
    """Effect of two motifs in shuffled validation windows, where a network scans them."""
    return functools.partial(
        insertion_effect,
        scorer_of(run_filters.model),
        shuffled_backgrounds(run_filters.codes, _N_BACKGROUNDS),
        both_strands=run_filters.both_strands,
        within=_scanned(run_filters, scan_length),
    )


def _scanned(run_filters: RunFilters, scan_length: int | None) -> tuple[int, int]:
    """First position that a network scans, and the one behind the last."""
    length = run_filters.codes.shape[1]
    scan_length = min(scan_length or length, length)
    start = (length - scan_length) // 2
    return start, start + scan_length
