"""What each base of a window adds to the logits of a network: exact sums, for all cell types at once."""

from __future__ import annotations

from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from chromacc_models.kmer_kernels import changes, contribute, mutate
from chromacc_models.kmer_kernels.scan import Pooled
from chromacc_models.kmer_kernels.workers import in_parallel, n_threads
from chromacc_models.scoring.scorer import Scorer

__all__ = ["Contributions", "FilterParts"]

_TASKS_PER_THREAD = 4


class FilterParts(NamedTuple):
    """What the filters add to the logits of windows.

    Parameters
    ----------
    added
        (window, filter, cell_type) float32: what each filter adds; with the biases of the head, the logits.
    slopes
        (window, filter, cell_type) float32: the same for each unit of the filter's pooled value.
    pooled
        Pooled values and, for maximum pooling, where the maxima are.
    """

    added: np.ndarray
    slopes: np.ndarray
    pooled: Pooled


class Contributions:
    """What filters and bases add to the logits of a network.

    A filter adds its Shapley value in the head, with a pooled value of 0 where it is absent: in a
    factorization machine its own weight, and half of each of its interactions (``W_f m_f + 1/2 sum_g
    <V_f, V_g> m_f m_g``). That is split among the places it is pooled over (the highest; all, by their
    activations; or by their exponentials), and at each place among the bases by their weights, minus those of
    the worst base. So the bases of a window add up to its logits minus the biases of the head, to rounding.

    Places that a maximum passes over have no part in it: a second copy of a motif has a contribution of 0,
    and takes the first one's place when that is broken. Substitutions
    (:class:`~chromacc_models.effects.substitutions.Substitutions`) hold no place fixed.

    Parameters
    ----------
    scorer
        The network.

    Examples
    --------
    >>> from chromacc_models.kmer_kernels.scan import FrontEnd
    >>> from chromacc_models.scoring.scorer import Head
    >>> kernel = np.zeros((2, 4, 1), np.float32)
    >>> kernel[0, 1], kernel[1, 2] = 1, 3  # CG
    >>> front_end = FrontEnd(window_length=4, n_filters=1, width=2, pooling="max")
    >>> head = Head(np.zeros(1), np.ones((1, 1)), np.zeros((1, 1, 0)))
    >>> scorer = Scorer(4, slice(0, 4), (0, 0), front_end, kernel, np.zeros(1, np.float32), head)
    >>> Contributions(scorer).of_bases(np.array([[0, 1, 2, 3]], np.uint8))[0, :, 0].tolist()  # ACGT
    [0.0, 1.0, 3.0, 0.0]
    """

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def of_filters(self, codes: np.ndarray) -> FilterParts:
        """What each filter adds to the logits of windows of base codes, (window, position) uint8."""
        scorer, head = self.scorer, self.scorer.head
        pooled = scorer.front_end.forward(scorer.scan_codes(codes), scorer.kernel, scorer.filter_bias)
        slopes = np.broadcast_to(head.weights, (len(codes), *head.weights.shape))
        if head.vectors.shape[2]:
            n_filters, n_cell_types, n_factors = head.vectors.shape
            sums = pooled.values @ head.vectors.reshape(n_filters, -1)
            sums = sums.reshape(-1, n_cell_types, n_factors)
            products = np.stack([sums[:, u] @ head.vectors[:, u].T for u in range(n_cell_types)], axis=-1)
            own = pooled.values[:, :, np.newaxis] * np.square(head.vectors).sum(axis=-1)
            slopes = slopes + np.float32(0.5) * (products - own)
        return FilterParts(pooled.values[:, :, np.newaxis] * slopes, slopes, pooled)

    def of_bases(self, codes: np.ndarray, *, hypothetical: bool = False) -> np.ndarray:
        """What each base adds to the logits of windows.

        Parameters
        ----------
        codes
            Base codes (window, position), uint8; N is 4.
        hypothetical
            Give values for each base that could be at a position, with the same filters and places:
            what TF-MoDISco takes in addition to one-hot DNA. The base in the sequence gets its contribution.
            What a filter adds where all its bases are N belongs to no base and is left out.

        Returns
        -------
        (window, position, cell_type) float32; with `hypothetical`, (window, position, base, cell_type).
        """
        scorer, front_end = self.scorer, self.scorer.front_end
        found = self.of_filters(codes)
        parts = found.added
        if front_end.pooling == "average":
            parts = found.slopes * np.float32(front_end.scale)
        weights, biases, letters, grid, kinds = self.kernel_inputs(codes)
        out = np.zeros((*letters.shape, 4 if hypothetical else 1, scorer.n_cell_types), np.float32)
        parts = np.ascontiguousarray(parts, np.float32)

        def work(run: slice) -> None:
            inputs = weights, biases, letters[run], grid, kinds, found.pooled.places[run]
            contribute.share_among_bases(*inputs, parts[run], out[run])

        size = max(1, -(-len(codes) // (_TASKS_PER_THREAD * n_threads())))
        in_parallel(*(partial(work, slice(a, a + size)) for a in range(0, len(codes), size)))
        out = self._in_window(out)
        return out if hypothetical else out[:, :, 0]

    def kernel_inputs(self, codes: np.ndarray) -> tuple:
        """What kernels take: weights, biases, letters of windows, grid, activation and pooling."""
        front_end = self.scorer.front_end
        letters = front_end.letters(self.scorer.scan_codes(codes))
        kinds = changes.ACTIVATIONS[front_end.activation], mutate.POOLINGS[front_end.pooling]
        return self._weights, self.scorer.filter_bias, letters, self._grid, kinds

    @cached_property
    def _weights(self) -> np.ndarray:
        """(strand, filter, tap, letter)."""
        front_end = self.scorer.front_end
        kernels = [self.scorer.kernel]
        if front_end.n_strands == 2:
            kernels.append(front_end.reverse_complement(self.scorer.kernel))
        return np.ascontiguousarray(np.moveaxis(np.stack(kernels), 3, 1), np.float32)

    @property
    def _grid(self) -> contribute.Grid:
        front_end, padding = self.scorer.front_end, self.scorer.padding
        return contribute.Grid(
            front_end.n_places,
            front_end.width,
            front_end.spacing,
            front_end.block_length,
            padding[0],
            front_end.window_length - padding[1],
        )

    def _in_window(self, scanned: np.ndarray) -> np.ndarray:
        """(window, scanned position, ...) as (window, position, ...)."""
        scorer, grid = self.scorer, self._grid
        inside = scanned[:, grid.begin : grid.end]
        if inside.shape[1] == scorer.window_length:
            return inside
        out = np.zeros((len(scanned), scorer.window_length, *scanned.shape[2:]), np.float32)
        first = grid.begin + scorer.scan_offset
        out[:, first : first + inside.shape[1]] = inside
        return out
