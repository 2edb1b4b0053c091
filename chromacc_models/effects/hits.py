"""Hits: the places of filters that a prediction is made of, and what each adds to it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chromacc_models.effects.contributions import Contributions
from chromacc_models.kmer_kernels import contribute

__all__ = ["Hits", "find_hits"]

#: Windows, and places of filters, that are looked at together: bounds memory.
_BATCH, _PLACES = 64, 1 << 22


class Hits(NamedTuple):
    """Places of filters, in the order of windows and positions.

    Parameters
    ----------
    window, filter
        (hit,) int64.
    start, end
        Positions of the window that a filter covers there, the last not included, (hit,) int64; negative or
        past the end where the filter reaches into padding.
    strand
        (hit,) int8: 1, or -1 where the filter's reverse complement lies there.
    added
        (hit, cell_type) float32: what the hit adds to each logit.
    rest
        (window, cell_type) float32: what all places that are no hits add. With it and the biases of the head,
        the hits of a window add up to its logits.
    """

    window: np.ndarray
    filter: np.ndarray
    start: np.ndarray
    end: np.ndarray
    strand: np.ndarray
    added: np.ndarray
    rest: np.ndarray

    def __len__(self) -> int:
        """Number of hits."""
        return len(self.window)


def find_hits(contributions: Contributions, codes: np.ndarray, *, at_least: float = 0.0) -> Hits:
    """Hits in windows of base codes, (window, position) uint8.

    With maximum pooling a filter has one hit in a window, its highest place; otherwise every place may be
    one.

    Parameters
    ----------
    contributions
        Of the network.
    codes
        The windows.
    at_least
        A place is a hit if it adds more than this to the logit of some cell type, or takes as much from it.
    """
    scorer, front_end, batch = contributions.scorer, contributions.scorer.front_end, _BATCH
    if front_end.pooling != "max":
        batch = max(1, min(batch, _PLACES // (scorer.n_filters * front_end.n_strands * front_end.n_places)))
    parts = [
        _find(contributions, codes[first : first + batch], first, at_least)
        for first in range(0, len(codes), batch)
    ]
    if not parts:
        return _find(contributions, codes, 0, at_least)
    return Hits(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _find(contributions: Contributions, codes: np.ndarray, first: int, at_least: float) -> Hits:
    scorer, front_end = contributions.scorer, contributions.scorer.front_end
    found = contributions.of_filters(codes)
    shape = len(codes), scorer.n_filters, front_end.n_strands, front_end.n_places
    if front_end.pooling == "max":
        window, filter_ = np.divmod(np.arange(len(codes) * scorer.n_filters), scorer.n_filters)
        strand, place = np.divmod(found.pooled.places.ravel().astype(np.int64), front_end.n_places)
        added = found.added.reshape(-1, scorer.n_cell_types)
    else:
        values = np.empty(shape, np.float32)
        contribute.values_of_places(*contributions.kernel_inputs(codes), values)
        window, filter_, strand, place = np.nonzero(values)
        of_one = found.added if front_end.pooling == "logsumexp" else found.slopes * front_end.scale
        added = values[window, filter_, strand, place][:, np.newaxis] * of_one[window, filter_]
    is_hit = np.abs(added).max(axis=1, initial=0) > at_least
    order = np.lexsort((filter_[is_hit], place[is_hit], window[is_hit]))
    window, filter_, strand, place = (a[is_hit][order] for a in (window, filter_, strand, place))
    added = added[is_hit][order].astype(np.float32)
    rest = found.added.sum(axis=1, dtype=np.float64)
    np.subtract.at(rest, window, added)
    start = place + scorer.scan_offset
    covered = (front_end.width - 1) * front_end.spacing + front_end.block_length
    signs = (1 - 2 * strand).astype(np.int8)
    return Hits(window + first, filter_, start, start + covered, signs, added, rest.astype(np.float32))
