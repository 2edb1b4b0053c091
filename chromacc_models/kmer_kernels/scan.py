"""The front end of a network on base codes: scan with filters, activation, pooling over the window.

What Keras computes with one-hot DNA, a convolution and a tensor of (window, place, filter) is computed here
by adding rows of tables, with nothing of that size in memory (:mod:`chromacc_models.kmer_kernels.kernels`):
the same numbers up to rounding, forward and backward, and the same bits for any number of threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from chromacc_data.sequences.encoding import N_CODE
from chromacc_models.kmer_kernels import kernels
from chromacc_models.kmer_kernels.layout import TableLayout, Tile
from chromacc_models.kmer_kernels.workers import Workspace, Workspaces, in_parallel, n_threads, runs_of
from chromacc_models.networks.options import ACTIVATIONS as NETWORK_ACTIVATIONS
from chromacc_models.networks.options import POOLINGS, STRANDS

__all__ = ["FilterGradients", "FrontEnd", "Pooled", "activated"]

#: Activations that the kernels know: those of the networks, and none.
ACTIVATIONS = ("linear", *NETWORK_ACTIVATIONS)

_N_BASES = 4
_TASKS_PER_THREAD = 4
# Runs of windows whose gradients are summed apart. It is not the number of threads, so that results do not
# depend on that.
_GRADIENT_TASKS = 16


class Pooled(NamedTuple):
    """Pooled activations, and what the gradient needs to know of them."""

    #: (window, filter) float32
    values: np.ndarray
    #: Maximum pooling: where it is, (window, filter) int32, reverse strand after all places of the forward
    #: strand. Otherwise (window, 0).
    places: np.ndarray


class FilterGradients(NamedTuple):
    """Gradients of the filters' weights, float32."""

    #: (width, 4**block_length, filter)
    kernel: np.ndarray
    #: (filter,)
    bias: np.ndarray


@dataclass(frozen=True)
class FrontEnd:
    """A scan of windows of DNA with filters, an activation, and pooling over all places of a window.

    Parameters
    ----------
    window_length
        Bases in a window.
    n_filters
        Filters.
    width
        Taps of a filter.
    block_length
        Bases that a tap reads: 1 for a convolution of one-hot DNA, n for the motif building network. A tap
        has a weight for each of the 4**block_length blocks, in lexicographic order; where an N is in the
        block or it does not fit the window, it adds nothing.
    spacing
        Bases from one tap to the next: the dilation rate.
    strands
        "forward", or "both": the reverse complements of the filters scan the window too, and both strands
        are pooled together.
    activation
        "linear", "relu" or "exponential".
    pooling
        "average", "max" or "logsumexp" (log of the mean of exp).
    scale
        Factor on the pooled value, not 0.

    Raises
    ------
    ValueError
        If a value is invalid or a filter does not fit the window.

    Examples
    --------
    The best match of CG, on either strand:

    >>> front_end = FrontEnd(window_length=6, n_filters=1, width=2, pooling="max")
    >>> kernel = np.zeros((2, 4, 1), np.float32)
    >>> kernel[0, 1] = kernel[1, 2] = 1
    >>> codes = np.array([[0, 0, 1, 2, 3, 0], [0, 1, 4, 2, 2, 0]], np.uint8)  # AACGTA and ACNGGA
    >>> front_end.forward(codes, kernel).values.tolist()
    [[2.0], [1.0]]
    """

    window_length: int
    n_filters: int
    width: int
    block_length: int = 1
    spacing: int = 1
    strands: str = "forward"
    activation: str = "relu"
    pooling: str = "average"
    scale: float = 1.0

    def __post_init__(self) -> None:
        choices = {"strands": STRANDS, "activation": ACTIVATIONS, "pooling": POOLINGS}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it may be {', '.join(allowed)}")
        for name in ("window_length", "n_filters", "width", "block_length", "spacing"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.n_places < 1:
            covered = self.window_length - self.n_places + 1
            raise ValueError(f"windows of {self.window_length} bp; these filters cover {covered}")
        if self.scale == 0:
            raise ValueError("scale is 0; no gradient would pass")

    @property
    def n_places(self) -> int:
        """Places of a filter in a window, on one strand."""
        return self.window_length - (self.block_length - 1) - (self.width - 1) * self.spacing

    @property
    def n_letters(self) -> int:
        """Blocks that a tap tells apart."""
        return _N_BASES**self.block_length

    @property
    def n_strands(self) -> int:
        return 1 + (self.strands == "both")

    def forward(self, codes: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None) -> Pooled:
        """Pooled activations.

        Parameters
        ----------
        codes
            Base codes (window, position), uint8; N is 4.
        kernel
            (width, 4**block_length, filter), float32.
        bias
            (filter,), float32; None for none.

        Raises
        ------
        ValueError
            If a shape does not fit, or a code is above 4.
        """
        self._check(codes, kernel)
        with self._workspaces.lent() as space:
            scanned = self._scanned(space, codes, kernel, bias)
            if self.pooling == "average":
                totals = self._pooled(space, kernels.pool_sum, scanned)
                values = self._strands(totals).sum(axis=1)
                return _without_places(values * np.float32(self.scale / self._n_pooled))
            highest, places = self._maxima(space, scanned)
            if self.pooling == "max":
                best, places = self._best_strand(highest, places)
                # Comparisons lose a NaN: show the filters that have diverged.
                best[:, ~np.isfinite(kernel.sum(axis=(0, 1)) + (0 if bias is None else bias))] = np.nan
                return Pooled(activated(self.activation, best) * np.float32(self.scale), places)
            top = activated(self.activation, highest)
            totals = self._pooled(space, kernels.pool_exponentials, scanned, top)
            # The difference of two logarithms is often small: in double precision.
            logs = self._strands(top + np.log(totals, dtype=np.float64))
            with np.errstate(invalid="ignore"):  # NaN in a filter that has diverged
                logs = np.logaddexp.reduce(logs, axis=1)
            return _without_places(((logs - self._log_pooled) * self.scale).astype(np.float32))

    def backward(
        self,
        codes: np.ndarray,
        kernel: np.ndarray,
        bias: np.ndarray | None,
        pooled: Pooled,
        gradients: np.ndarray,
    ) -> FilterGradients:
        """Gradients of the weights from those of the pooled values.

        Parameters
        ----------
        codes, kernel, bias
            As in :meth:`forward`.
        pooled
            What :meth:`forward` gave.
        gradients
            (window, filter), float32.
        """
        self._check(codes, kernel)
        gradients = np.asarray(gradients, np.float32) * np.float32(self.scale)
        if self.pooling == "max":
            return self._max_gradients(codes, pooled, gradients)
        logs = None
        if self.pooling == "logsumexp":
            logs = pooled.values / np.float32(self.scale) + np.float32(self._log_pooled)
        else:
            gradients /= np.float32(self._n_pooled)
        with self._workspaces.lent() as space:
            scanned = self._scanned(space, codes, kernel, bias)
            if self.pooling == "average" and self.activation == "relu" and self.block_length == 1:
                # A filter that is silent in a window pools to 0 there, and has no gradient.
                gradients = np.where(pooled.values == 0, np.float32(0), gradients)
                return self._relu_gradients(space, codes, scanned, gradients)
            return self._dense_gradients(space, scanned, gradients, logs)

    def tables(self, kernel: np.ndarray, bias: np.ndarray | None) -> tuple[TableLayout, list[np.ndarray]]:
        """The layout of filters, as :meth:`forward` takes them, and the table of each of its tiles."""
        scanned = self._scanned(Workspace(), np.zeros((0, self.window_length), np.uint8), kernel, bias)
        return self._layout, scanned.tables

    def compile(self) -> float:
        """Make the compiled kernels ready, from disk where they are known; gives the seconds that it took."""
        start = time.perf_counter()
        codes = np.zeros((1, self.window_length), np.uint8)
        kernel = np.zeros((self.width, self.n_letters, self.n_filters), np.float32)
        pooled = self.forward(codes, kernel)
        self.backward(codes, kernel, None, pooled, np.ones_like(pooled.values))
        return time.perf_counter() - start

    @cached_property
    def _layout(self) -> TableLayout:
        return TableLayout(self.width, self.spacing, self.n_letters, self.n_strands * self.n_filters)

    @cached_property
    def _activated_tiles(self) -> list[Tile]:
        """Tiles whose scans have the activation."""
        return [
            Tile(column, replace(scan, activation=self.activation)) for column, scan in self._layout.tiles
        ]

    @cached_property
    def _workspaces(self) -> Workspaces:
        return Workspaces()

    @property
    def _n_pooled(self) -> int:
        return self.n_places * self.n_strands

    @property
    def _log_pooled(self) -> float:
        return float(np.log(self._n_pooled))

    @cached_property
    def _reverse_letters(self) -> np.ndarray:
        """Number of each block's reverse complement."""
        bases = np.indices((_N_BASES,) * self.block_length).reshape(self.block_length, -1)
        return _N_BASES ** np.arange(self.block_length) @ (_N_BASES - 1 - bases)

    def _check(self, codes: np.ndarray, kernel: np.ndarray) -> None:
        # The kernels read where codes and shapes tell them to.
        if codes.ndim != 2 or codes.shape[1] != self.window_length:
            raise ValueError(f"codes of shape {codes.shape}; expected (window, {self.window_length})")
        if codes.size and codes.max() > N_CODE:
            raise ValueError(f"base code {codes.max()}; the highest is {N_CODE}, for N")
        expected = self.width, self.n_letters, self.n_filters
        if kernel.shape != expected:
            raise ValueError(f"kernel of shape {kernel.shape}; expected {expected}")

    # Input: the sequence as rows of tables, and the tables.

    def _scanned(
        self, space: Workspace, codes: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None
    ) -> _Scanned:
        layout = self._layout
        n_positions = self.n_places + (layout.n_blocks - 1) * layout.step
        stream = space.array("stream", len(codes), n_positions, dtype=layout.stream_dtype)
        tables = [
            space.array(f"table {tile.column}", len(layout.digits), layout.n_blocks, tile.scan.lanes)
            for tile in layout.tiles
        ]

        def encode(run: slice) -> None:
            letters = self.letters(codes[run])
            rows = layout.digits, layout.row_of_word, layout.spacing, layout.row_units
            kernels.table_rows(letters, layout.n_letters, *rows, stream[run])

        tasks = [partial(encode, run) for run in runs_of(len(codes), n_threads())]
        # In prediction, and from a forward pass to its backward pass, the weights stay as they are.
        made_of = (kernel,) if bias is None else (kernel, bias)
        if space.is_made_of("tables", *made_of):
            in_parallel(*tasks)
            return _Scanned(stream, tables)
        weights = self._columns_of_weights(space, kernel, bias)

        def expand(tile: Tile, table: np.ndarray) -> None:
            kernels.expand(tile.scan, *weights, layout.digits, tile.column, table)

        tasks += [partial(expand, *pair) for pair in zip(layout.tiles, tables, strict=True)]
        in_parallel(*tasks)
        space.note("tables", *made_of)
        return _Scanned(stream, tables)

    def letters(self, codes: np.ndarray) -> np.ndarray:
        """What a tap reads at each position: the bases, or the number of the block that begins there."""
        codes = np.ascontiguousarray(codes, np.uint8)
        if self.block_length == 1:
            return codes  # N is the highest already
        letters = np.empty(codes.shape, np.uint16 if self.n_letters < 2**16 else np.uint32)
        kernels.block_letters(codes, self.block_length, letters)
        return letters

    def _columns_of_weights(self, space: Workspace, kernel: np.ndarray, bias: np.ndarray | None) -> _Weights:
        columns = self._no_weights(space)
        for strand in range(self.n_strands):
            here = slice(strand * self.n_filters, (strand + 1) * self.n_filters)
            columns.kernel[: self.width, :-1, here] = self.reverse_complement(kernel) if strand else kernel
            columns.bias[here] = 0 if bias is None else bias
        return columns

    def _no_weights(self, space: Workspace) -> _Weights:
        shape = self._layout.weights_shape
        return _Weights(space.zeros("weights", *shape), space.zeros("biases", shape[-1]))

    def reverse_complement(self, kernel: np.ndarray) -> np.ndarray:
        """Weights, (tap, letter, filter), of filters that find the same motifs on the other strand."""
        return kernel[::-1, self._reverse_letters]

    # Forward.

    def _pooled(
        self, space: Workspace, kernel: Callable, scanned: _Scanned, *inputs: np.ndarray
    ) -> np.ndarray:
        """One number per window and column."""
        out = space.array("pooled", len(scanned.stream), self._layout.n_padded)

        def pool(tile: Tile, table: np.ndarray, run: slice) -> None:
            windows = (array[run] for array in (*inputs, out))
            kernel(tile.scan, table, scanned.stream[run], self.n_places, *windows, tile.column)

        in_parallel(*self._tasks(pool, self._activated_tiles, scanned))
        return out

    def _maxima(self, space: Workspace, scanned: _Scanned) -> tuple[np.ndarray, np.ndarray]:
        """Highest scan, and its place, per window and column."""
        highest = space.array("highest", len(scanned.stream), self._layout.n_padded)
        places = space.array("places", *highest.shape, dtype=np.int32)

        def pool(tile: Tile, table: np.ndarray, run: slice) -> None:
            out = highest[run], places[run]
            kernels.pool_max(tile.scan, table, scanned.stream[run], self.n_places, *out, tile.column)

        in_parallel(*self._tasks(pool, self._layout.tiles, scanned))
        return highest, places

    @staticmethod
    def _tasks(function: Callable, tiles: list[Tile], scanned: _Scanned) -> list[Callable[[], None]]:
        runs = runs_of(len(scanned.stream), _TASKS_PER_THREAD * n_threads())
        return [
            partial(function, *tile, run) for tile in zip(tiles, scanned.tables, strict=True) for run in runs
        ]

    def _strands(self, columns: np.ndarray) -> np.ndarray:
        """(window, column) as (window, strand, filter)."""
        used = columns[:, : self.n_strands * self.n_filters]
        return used.reshape(len(columns), self.n_strands, self.n_filters)

    def _best_strand(self, highest: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        best, where = (self._strands(array)[:, 0].copy() for array in (highest, places))
        if self.n_strands == 2:
            reverse, where_reverse = (self._strands(array)[:, 1] for array in (highest, places))
            better = reverse > best
            np.copyto(best, reverse, where=better)
            np.copyto(where, where_reverse + self.n_places, where=better)
        return best, where

    # Backward. Each run of windows adds to arrays of its own, which are then summed in order.

    def _max_gradients(self, codes: np.ndarray, pooled: Pooled, gradients: np.ndarray) -> FilterGradients:
        gradients = gradients * _slope(self.activation, pooled.values / np.float32(self.scale))
        strands, places = np.divmod(pooled.places, self.n_places)
        letters = self.letters(codes)
        # Filter first: each task writes in a range of its own.
        weights = np.zeros((self.n_strands, self.n_filters, self.width, self.n_letters), np.float32)

        def add(strand: int, filters: slice) -> None:
            here = np.where(strands == strand, gradients, 0)
            out = weights[strand]
            kernels.max_gradient(
                letters, self.n_letters, self.spacing, places, here, filters.start, filters.stop, out
            )

        runs = runs_of(self.n_filters, _TASKS_PER_THREAD * n_threads())
        in_parallel(*(partial(add, strand, run) for strand in range(self.n_strands) for run in runs))
        kernel = self._sum_strands(np.moveaxis(weights, 1, -1))
        return FilterGradients(kernel, gradients.sum(axis=0))

    def _relu_gradients(
        self, space: Workspace, codes: np.ndarray, scanned: _Scanned, gradients: np.ndarray
    ) -> FilterGradients:
        codes = np.ascontiguousarray(codes, np.uint8)
        n_words = -(-self.n_places // (self._layout.step * kernels.WORD))
        n_offsets = self._layout.step + (self.width - 1) * self.spacing
        words = space.array("words", len(codes), n_offsets, n_words, _N_BASES, dtype=np.int32)

        def find(run: slice) -> None:
            kernels.match_words(codes[run], self._layout.step, words[run])

        in_parallel(*(partial(find, run) for run in runs_of(len(codes), n_threads())))
        runs = self._gradient_runs(len(codes))
        columns = self._columns(space, gradients)
        weights = space.zeros("gradients of weights", len(runs), self.width, _N_BASES, self._layout.n_padded)
        biases = space.zeros("gradients of biases", len(runs), self._layout.n_padded)

        def add(tile: Tile, table: np.ndarray, run: slice, weights: np.ndarray, biases: np.ndarray) -> None:
            seen = kernels.Scanned(table, scanned.stream[run], self.n_places)
            bases = kernels.BasesAt(words[run], self.spacing)
            kernels.relu_gradient(tile.scan, seen, bases, columns[run], tile.column, weights, biases)

        in_parallel(
            *(
                partial(add, tile, table, *run)
                for tile, table in zip(self._layout.tiles, scanned.tables, strict=True)
                for run in zip(runs, weights, biases, strict=True)
            )
        )
        return self._filter_gradients(weights.sum(axis=0), biases.sum(axis=0))

    def _dense_gradients(
        self, space: Workspace, scanned: _Scanned, gradients: np.ndarray, logs: np.ndarray | None
    ) -> FilterGradients:
        weighted = logs is not None
        columns = self._columns(space, gradients)
        logs = self._columns(space, logs, name="logs") if weighted else columns
        runs = self._gradient_runs(len(gradients))
        parts = [
            space.zeros(f"gradients of table {tile.column}", len(runs), *table.shape)
            for tile, table in zip(self._layout.tiles, scanned.tables, strict=True)
        ]

        def add(tile: Tile, table: np.ndarray, run: slice, part: np.ndarray) -> None:
            seen = kernels.Scanned(table, scanned.stream[run], self.n_places)
            kernels.dense_gradient(tile.scan, seen, weighted, logs[run], columns[run], tile.column, part)

        in_parallel(
            *(
                partial(add, tile, table, *run)
                for tile, table, part in zip(self._activated_tiles, scanned.tables, parts, strict=True)
                for run in zip(runs, part, strict=True)
            )
        )
        weights = self._no_weights(space)
        for tile, part in zip(self._layout.tiles, parts, strict=True):
            table = part.sum(axis=0)
            kernels.fold(tile.scan, table, self._layout.digits, tile.column, weights.kernel)
            weights.bias[tile.column :][: tile.scan.lanes] = table[:, 0].sum(axis=0)
        return self._filter_gradients(weights.kernel[: self.width, :-1], weights.bias)

    def _gradient_runs(self, n_windows: int) -> list[slice]:
        return runs_of(n_windows, -(-_GRADIENT_TASKS // len(self._layout.tiles)))

    def _columns(self, space: Workspace, values: np.ndarray, *, name: str = "columns") -> np.ndarray:
        """(window, filter) as (window, column): the same on each strand, 0 in columns that fill a tile."""
        columns = space.zeros(name, len(values), self._layout.n_padded)
        self._strands(columns)[:] = values[:, np.newaxis]
        return columns

    def _filter_gradients(self, weights: np.ndarray, biases: np.ndarray) -> FilterGradients:
        """Gradients of columns, (tap, letter, column) and (column,), as those of filters."""
        shape = (*weights.shape[:2], self.n_strands, self.n_filters)
        used = weights[..., : self.n_strands * self.n_filters].reshape(shape)
        kernel = self._sum_strands(np.moveaxis(used, 2, 0))
        return FilterGradients(kernel, self._strands(biases[np.newaxis])[0].sum(axis=0))

    def _sum_strands(self, kernels_of_strands: np.ndarray) -> np.ndarray:
        forward, *reverse = kernels_of_strands
        return np.ascontiguousarray(sum((self.reverse_complement(kernel) for kernel in reverse), forward))


class _Weights(NamedTuple):
    """Weights of the filters on all strands, and zeros for taps, letters and columns that are not there."""

    #: (tap, letter, column)
    kernel: np.ndarray
    #: (column,)
    bias: np.ndarray


class _Scanned(NamedTuple):
    """Inputs of the kernels: (window, position) rows of tables, and a table per tile."""

    stream: np.ndarray
    tables: list[np.ndarray]


def _without_places(values: np.ndarray) -> Pooled:
    return Pooled(values, np.empty((len(values), 0), np.int32))


def activated(activation: str, scans: np.ndarray) -> np.ndarray:
    """Activations of scans, by the name of the activation."""
    if activation == "relu":
        return np.maximum(scans, 0)
    return np.exp(scans) if activation == "exponential" else scans


def _slope(activation: str, activations: np.ndarray) -> np.ndarray:
    """Derivative of an activation, by its value."""
    if activation == "relu":
        return (activations > 0).astype(np.float32)
    return activations if activation == "exponential" else np.ones_like(activations)
