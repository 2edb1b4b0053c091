"""Effects of single substitutions on the logits of a network, exact, for all cell types at once."""

from __future__ import annotations

from functools import cached_property, partial

import numpy as np

from chromacc_models.kmer_kernels import kernels, mutate
from chromacc_models.kmer_kernels.layout import TableLayout, widest_vector
from chromacc_models.kmer_kernels.vectors import Scan
from chromacc_models.kmer_kernels.workers import in_parallel, n_threads, runs_of
from chromacc_models.scoring.scorer import NotInterpretableError, Scorer

__all__ = ["Substitutions"]

_N_BASES = 4
#: The bases of a position as one vector.
_QUAD = Scan(_N_BASES, 1, 1)
_TASKS_PER_THREAD = 4


class Substitutions:
    """What every base change of a window does to a network's logits.

    Parameters
    ----------
    scorer
        The network.

    Raises
    ------
    NotInterpretableError
        If bases of a tap do not lie side by side (dilated filters).
    """

    def __init__(self, scorer: Scorer) -> None:
        front_end = scorer.front_end
        if front_end.spacing != front_end.block_length:
            raise NotInterpretableError(f"filters whose taps are {front_end.spacing} bp apart")
        self.scorer = scorer
        self._front_end = front_end

    def effects(self, codes: np.ndarray, *, first: int = 0, stop: int | None = None) -> np.ndarray:
        """Differences of logits, mutant less reference.

        Parameters
        ----------
        codes
            Base codes (window, position), uint8.
        first, stop
            Positions of the window to substitute, the last not included; all when not given.

        Returns
        -------
        (window, position, base, cell_type) float32, positions from `first` to before `stop`; 0 for the base
        that is there, and where the network does not look.
        """
        scorer = self.scorer
        stop = scorer.window_length if stop is None else stop
        scanned = scorer.scan_codes(codes)
        n_positions = scanned.shape[1]
        out = np.zeros((len(codes), stop - first, _N_BASES, scorer.n_cell_types), np.float32)
        # Positions of the window within the scanned sequence; outside of it nothing has an effect.
        begin, end = (max(0, min(at - scorer.scan_offset, n_positions)) for at in (first, stop))
        begin = max(begin, scorer.padding[0])
        end = min(end, n_positions - scorer.padding[1])
        if begin >= end:
            return out
        letters, streams = self._read(scanned)

        def work(run: slice) -> None:
            n = run.stop - run.start
            found = np.empty((n, n_positions, _N_BASES, scorer.n_cell_types), np.float32)
            windows = mutate.Window(scanned[run], letters[run], streams[run], self._substituted())
            mutate.substitution_effects(
                self._scan,
                _QUAD,
                self._filters,
                windows,
                self._places,
                self._pooling,
                self._head,
                begin,
                end,
                found,
            )
            at = begin + scorer.scan_offset - first
            out[run, at : at + end - begin] = found[:, begin:end]

        size = max(1, -(-len(codes) // (_TASKS_PER_THREAD * n_threads())))
        in_parallel(*(partial(work, slice(a, min(a + size, len(codes)))) for a in range(0, len(codes), size)))
        return out

    @cached_property
    def _layout(self) -> TableLayout:
        # Tiles of one width, and the same filters in a tile of either strand.
        lanes = widest_vector()
        n_columns = -(-self.scorer.n_filters // lanes) * lanes
        front_end = self._front_end
        return TableLayout(front_end.width, front_end.spacing, front_end.n_letters, n_columns)

    @property
    def _scan(self) -> Scan:
        return self._layout.tiles[0].scan

    @cached_property
    def _places(self) -> mutate.Places:
        front_end = self._front_end
        return mutate.Places(
            front_end.n_places,
            front_end.window_length,
            front_end.width,
            front_end.block_length,
            mutate.ACTIVATIONS[front_end.activation],
        )

    @property
    def _pooling(self) -> int:
        return mutate.POOLINGS[self._front_end.pooling]

    @cached_property
    def _head(self) -> mutate.HeadWeights:
        head, lanes = self.scorer.head, self._scan.lanes
        n_factors = head.vectors.shape[2]
        linear = _whole_vectors(
            np.concatenate([head.weights, head.vectors.reshape(len(head.vectors), -1)], 1), lanes
        )
        squares = np.square(head.vectors).sum(axis=-1) if n_factors else np.zeros((len(linear), 0))
        columns = np.concatenate([linear, _whole_vectors(squares, lanes)], axis=1, dtype=np.float32)
        return mutate.HeadWeights(columns, linear.shape[1], n_factors, float(self._front_end.scale))

    @cached_property
    def _filters(self) -> mutate.Filters:
        front_end, layout = self._front_end, self._layout
        strands = [self.scorer.kernel]
        if front_end.n_strands == 2:
            strands.append(front_end.reverse_complement(self.scorer.kernel))
        tables = np.empty(
            (len(strands), len(layout.tiles), len(layout.digits), layout.n_blocks, self._scan.lanes),
            np.float32,
        )
        weights = np.zeros((len(strands), *layout.weights_shape), np.float32)
        bias = np.zeros(layout.n_padded, np.float32)
        bias[: self.scorer.n_filters] = self.scorer.filter_bias
        for strand, kernel in enumerate(strands):
            weights[strand, : front_end.width, :-1, : self.scorer.n_filters] = kernel
            for tile, (column, scan) in enumerate(layout.tiles):
                kernels.expand(scan, weights[strand], bias, layout.digits, column, tables[strand, tile])
        single = np.moveaxis(weights[:, : front_end.width, :, : self.scorer.n_filters], -1, 1)
        lifts = _lifts(single, front_end.block_length)
        gains = np.full(layout.n_padded, -np.inf, np.float32)
        gains[: self.scorer.n_filters] = lifts.max(axis=(0, 2, 3))
        flat, lifts = (np.ascontiguousarray(a.reshape(*a.shape[:2], -1), np.float32) for a in (single, lifts))
        tap_lifts = lifts.reshape(*single.shape).max(axis=-1)
        taps = np.argsort(-tap_lifts, axis=-1, kind="stable")
        tap_lifts = np.take_along_axis(tap_lifts, taps, axis=-1)
        return mutate.Filters(tables, flat, np.exp(flat), lifts, taps.astype(np.int32), tap_lifts, gains)

    def _substituted(self) -> np.ndarray:
        front_end = self._front_end
        shape = mutate.TOGETHER, front_end.window_length, front_end.block_length, _N_BASES
        return np.empty(shape, np.int32)

    def _read(self, scanned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Letters and rows of tables of what is scanned, (window, position) both."""
        front_end, layout = self._front_end, self._layout
        letters = front_end.letters(scanned)
        n_positions = front_end.n_places + (layout.n_blocks - 1) * layout.step
        streams = np.empty((len(scanned), n_positions), layout.stream_dtype)

        def encode(run: slice) -> None:
            rows = layout.digits, layout.row_of_word, layout.spacing, layout.row_units
            kernels.table_rows(letters[run], layout.n_letters, *rows, streams[run])

        in_parallel(*(partial(encode, run) for run in runs_of(len(scanned), n_threads())))
        return letters, streams


def _whole_vectors(columns: np.ndarray, lanes: int) -> np.ndarray:
    """Columns filled up with zeros to a multiple of `lanes`."""
    return np.pad(columns, ((0, 0), (0, -columns.shape[1] % lanes)))


def _lifts(weights: np.ndarray, block_length: int) -> np.ndarray:
    """By how much one base can raise what each letter adds, (strand, filter, tap, letter), as `weights`."""
    known = weights[..., :-1]
    best = known.copy()
    for offset in range(block_length):
        by_base = known.reshape(*known.shape[:-1], _N_BASES**offset, _N_BASES, -1)
        best = np.maximum(
            best, np.broadcast_to(by_base.max(axis=-2, keepdims=True), by_base.shape).reshape(known.shape)
        )
    # A base in the place of an N makes any block, or one that is still unknown.
    unknown = np.maximum(known.max(axis=-1, keepdims=True), 0)
    return np.concatenate([best - known, unknown], axis=-1)
