"""Layers of the networks: scans of one or both strands, k-mer blocks, pooling, factorization machines.

All are registered with Keras under the package name `chromacc`, so a saved `.keras` file loads with
`safe_mode=True` once this module is imported. Shapes below leave no axis unnamed: window, position,
strand, base, filter, unit, factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from chromacc_models.networks.options import BLOCK_WEIGHTS, POOLINGS, STRANDS

__all__ = [
    "N_BASES",
    "BlockConv1D",
    "FactorizationMachine",
    "GlobalPooling",
    "KmerBlocks",
    "OneHot",
    "ReverseComplement",
    "SequenceConv1D",
    "blocks_of_bases",
    "reverse_complement_blocks",
]

N_BASES = 4

_register = keras.saving.register_keras_serializable(package="chromacc")


def reverse_complement_blocks(n: int) -> np.ndarray:
    """Index of the reverse complement of each block of `n` bases, shape (4**n,), int64.

    Blocks are numbered in lexicographic order of A C G T: AA is 0, AC is 1, ... TT is 15 for n = 2.

    >>> reverse_complement_blocks(1).tolist()
    [3, 2, 1, 0]
    >>> int(reverse_complement_blocks(2)[1])  # AC to GT
    11
    """
    powers = N_BASES ** np.arange(n)
    return powers @ (N_BASES - 1 - _block_digits(n))


def blocks_of_bases(weights: Any, n: int) -> Any:
    """Weights of blocks of `n` bases as sums of their bases' weights.

    Parameters
    ----------
    weights
        (width * n, 4, filter).
    n
        Bases in a block.

    Returns
    -------
    tensor
        (width, 4**n, filter).
    """
    by_tap = ops.reshape(weights, (-1, n, N_BASES, weights.shape[-1]))
    return sum(ops.take(by_tap[:, base], digits, axis=1) for base, digits in enumerate(_block_digits(n)))


@_register
class OneHot(keras.layers.Layer):
    """One-hot DNA of base codes: (window, position) integers to (window, position, 4) floats.

    Codes are those of :mod:`chromacc_data.sequences.encoding`; N (4) becomes all zeros. Training feeds codes,
    one byte a base, and this layer in front of a network makes the floats where they are needed.
    """

    def call(self, codes: Any) -> Any:
        return ops.one_hot(ops.cast(codes, "int32"), N_BASES, dtype=self.compute_dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (*input_shape, N_BASES)


@_register
class ReverseComplement(keras.layers.Layer):
    """Reverse complement of one-hot DNA, shape (window, position, 4) kept."""

    def call(self, one_hot: Any) -> Any:
        return ops.flip(one_hot, axis=(1, 2))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return tuple(input_shape)


@_register
class SequenceConv1D(keras.layers.Conv1D):
    """Convolution of one-hot DNA whose filters can scan both strands.

    With `strands="forward"` this is `keras.layers.Conv1D`: (window, position, 4) to (window, place, filter).
    With `strands="both"` each filter and its reverse complement are scanned, which equals scanning the
    sequence and its reverse complement with the same filter: (window, place, strand, filter), where both
    strands' activations at a place cover the same bases. Pooling over place and strand then gives a
    network that is invariant under reverse complement, with no more weights.

    Parameters
    ----------
    filters, kernel_size, **options
        As in `keras.layers.Conv1D`; the kernel has shape (kernel_size, 4, filters).
    strands
        "forward" or "both".
    """

    def __init__(self, filters: int, kernel_size: int, *, strands: str = "forward", **options: Any) -> None:
        super().__init__(filters, kernel_size, **options)
        self.strands = _one_of("strands", strands, STRANDS)

    def call(self, one_hot: Any) -> Any:
        if self.strands == "forward":
            return super().call(one_hot)
        kernel = ops.concatenate([self.kernel, ops.flip(self.kernel, axis=(0, 1))], axis=-1)
        scans = self.convolution_op(one_hot, kernel)
        scans = ops.reshape(scans, (-1, scans.shape[1], len(STRANDS), self.filters))
        if self.use_bias:
            scans = scans + self.bias
        return scans if self.activation is None else self.activation(scans)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        shape = super().compute_output_shape(input_shape)
        return shape if self.strands == "forward" else (*shape[:2], len(STRANDS), self.filters)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "strands": self.strands}


@_register
class KmerBlocks(keras.layers.Layer):
    """Which of the 4**n blocks of `n` bases begins at each position (thesis Table 3.1, rows 1 and 2).

    The thesis convolves with all 4**n block kernels and keeps only outputs at their maximum, so at each
    position one channel of 4**n is 1, or none where an N is in the block. That one-hot vector is given
    here by its index: (window, position, 4) to (window, position - n + 1) int32, blocks in lexicographic
    order, and 4**n where no block matches. Indices take 1/4**n of the memory, and
    :class:`BlockConv1D` needs no more. A column of the input that is not exactly one-hot matches nothing.

    Parameters
    ----------
    n
        Bases in a block.
    """

    def __init__(self, n: int, **options: Any) -> None:
        super().__init__(**options)
        self.n = _positive("n", n)

    def call(self, one_hot: Any) -> Any:
        letter = ops.cast(ops.argmax(one_hot, axis=-1), "int32")
        # Exact threshold: one base at full activation and no other.
        known = ops.logical_and(ops.max(one_hot, axis=-1) == 1, ops.sum(one_hot, axis=-1) == 1)
        n_places = letter.shape[1] - self.n + 1
        block = ops.zeros_like(letter[:, :n_places])
        matched = ops.ones_like(known[:, :n_places])
        for offset in range(self.n):
            block = block * N_BASES + letter[:, offset : offset + n_places]
            matched = ops.logical_and(matched, known[:, offset : offset + n_places])
        return ops.where(matched, block, N_BASES**self.n)

    def compute_output_spec(self, one_hot: Any) -> keras.KerasTensor:
        window, position, _ = one_hot.shape
        return keras.KerasTensor((window, position - self.n + 1), dtype="int32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n": self.n}


@_register
class BlockConv1D(keras.layers.Layer):
    """Dilated convolution over k-mer blocks (thesis Table 3.1, row 3), computed as sums of table rows.

    Equals `keras.layers.Conv1D(filters, width, dilation_rate=n)` on the one-hot form of
    :class:`KmerBlocks`, with the same kernel of shape (width, 4**n, filters). A one-hot column picks one
    kernel row, so each place costs `width` row additions where the convolution costs
    `width * 4**n` multiplications; it trained 6 times as fast on two cores (n = 4, 64 filters).

    Blocks (window, block position) int32 to (window, place, filter), or (window, place, strand, filter)
    with `strands="both"`, place = block position - (width - 1) * n.

    Parameters
    ----------
    filters
        Number of filters.
    width
        Blocks in a filter; its receptive field is width * n bases.
    n
        Bases in a block, and the dilation rate: a filter's blocks lie side by side.
    strands
        "forward" or "both", as in :class:`SequenceConv1D`.
    tables
        "free": each block of a filter has a weight of its own. "additive": a block's weight is the sum of
        its bases' weights, which all blocks with that base at that place share, and of a deviation of its
        own, at first zero. Both can be the same filters; what differs is what training does to a block that
        it has seen in few windows, of which there are many: alone it learns noise, here it learns what its
        bases do elsewhere.
    use_bias, kernel_initializer, bias_initializer, kernel_regularizer
        As in `keras.layers.Conv1D`; of the bases' weights where tables are additive.
    deviation_regularizer
        Regulariser of the deviations.
    """

    def __init__(
        self,
        filters: int,
        width: int,
        n: int,
        *,
        strands: str = "forward",
        tables: str = "free",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        deviation_regularizer: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.filters = _positive("filters", filters)
        self.width = _positive("width", width)
        self.n = _positive("n", n)
        self.strands = _one_of("strands", strands, STRANDS)
        self.tables = _one_of("tables", tables, BLOCK_WEIGHTS)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.deviation_regularizer = keras.regularizers.get(deviation_regularizer)

    def build(self, input_shape: Sequence[int | None]) -> None:
        drawn = {"initializer": self.kernel_initializer, "regularizer": self.kernel_regularizer}
        shape = (self.width, N_BASES**self.n, self.filters)
        if self.tables == "free":
            self.block_weights = self.add_weight(shape=shape, name="kernel", **drawn)
        else:
            self.base_weights = self.add_weight(
                shape=(self.width * self.n, N_BASES, self.filters), name="base_weights", **drawn
            )
            self.block_weights = self.add_weight(
                shape=shape, initializer="zeros", regularizer=self.deviation_regularizer, name="deviations"
            )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.filters,), initializer=self.bias_initializer, name="bias")

    @property
    def kernel(self) -> Any:
        """Weight of each block of each filter, (width, 4**n, filter)."""
        if self.tables == "free":
            return self.block_weights
        return ops.add(blocks_of_bases(self.base_weights, self.n), self.block_weights)

    def assign_kernel(self, kernel: Any) -> None:
        """Give each block of each filter its weight; where tables are additive, all as deviations."""
        if self.tables == "additive":
            self.base_weights.assign(ops.zeros_like(self.base_weights))
        self.block_weights.assign(kernel)

    def call(self, blocks: Any) -> Any:
        n_places = blocks.shape[1] - (self.width - 1) * self.n
        kernel = ops.convert_to_tensor(self.kernel)
        if self.strands == "both":
            twin = ops.take(ops.flip(kernel, axis=0), reverse_complement_blocks(self.n), axis=1)
            kernel = ops.concatenate([kernel, twin], axis=-1)
        # One more row, of zeros, is what a place without a block picks.
        table = ops.pad(kernel, [[0, 0], [0, 1], [0, 0]])
        n_rows, n_columns = table.shape[1:]
        rows = ops.stack(
            [blocks[:, tap * self.n : tap * self.n + n_places] + tap * n_rows for tap in range(self.width)],
            axis=-1,
        )
        scans = ops.sum(ops.take(ops.reshape(table, (-1, n_columns)), rows, axis=0), axis=2)
        if self.strands == "both":
            scans = ops.reshape(scans, (-1, n_places, len(STRANDS), self.filters))
        return scans if self.bias is None else scans + self.bias

    def compute_output_spec(self, blocks: Any) -> keras.KerasTensor:
        n_places = blocks.shape[1] - (self.width - 1) * self.n
        strand = () if self.strands == "forward" else (len(STRANDS),)
        shape = (blocks.shape[0], n_places, *strand, self.filters)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "width": self.width,
            "n": self.n,
            "strands": self.strands,
            "tables": self.tables,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "deviation_regularizer": keras.regularizers.serialize(self.deviation_regularizer),
        }


@_register
class GlobalPooling(keras.layers.Layer):
    """Pooling of each filter over the whole window: (window, place[, strand], filter) to (window, filter).

    Parameters
    ----------
    mode
        "average", "max", or "logsumexp" (log of the mean of exp: between the two, smooth).
    scale
        The pooled value is multiplied by it. Average pooling over L places divides the signal of one
        motif by L, and training from random weights then crawls; a scale undoes that.
    """

    def __init__(self, mode: str = "average", *, scale: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.mode = _one_of("mode", mode, POOLINGS)
        self.scale = float(scale)

    def call(self, activations: Any) -> Any:
        places = tuple(range(1, len(activations.shape) - 1))
        if self.mode == "average":
            pooled = ops.mean(activations, axis=places)
        elif self.mode == "max":
            pooled = ops.max(activations, axis=places)
        else:
            n_places = np.prod([activations.shape[axis] for axis in places])
            pooled = ops.logsumexp(activations, axis=places) - float(np.log(n_places))
        return pooled * self.scale

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return input_shape[0], input_shape[-1]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mode": self.mode, "scale": self.scale}


@_register
class FactorizationMachine(keras.layers.Layer):
    """One factorization machine of order two per output, independent of the others (Rendle 2010; eq. 2.3).

    y_u(x) = b_u + sum_i W_iu x_i + 1/2 sum_f ((sum_i V_iuf x_i)^2 - sum_i V_iuf^2 x_i^2), which equals the
    sum over pairs i < j of <V_iu, V_ju> x_i x_j (eq. 2.2) in time linear in the inputs: (window, input) to
    (window, unit). The rounding error is at most a few eps times sum_f (sum_i |V_iuf x_i|)^2. Inputs of half
    precision are computed in float32, since a difference of squares is taken.

    Weights: `kernel` W (input, unit), `vectors` V (input, unit, factor), `bias` b (unit,).

    Parameters
    ----------
    units
        Number of outputs.
    k
        Factors: the length of each interaction vector.
    vectors_scale
        Standard deviation of the initial vectors (normal, mean 0). With zero the interactions have zero
        gradient and are never learned.
    kernel_initializer, vectors_regularizer, seed
        Initial linear weights, regulariser of the vectors, and seed of the initial vectors.
    """

    def __init__(
        self,
        units: int,
        k: int,
        *,
        vectors_scale: float = 0.1,
        kernel_initializer: Any = "glorot_uniform",
        vectors_regularizer: Any = None,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units = _positive("units", units)
        self.k = _positive("k", k)
        self.vectors_scale = float(vectors_scale)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.vectors_regularizer = keras.regularizers.get(vectors_regularizer)
        self.seed = seed

    def build(self, input_shape: Sequence[int | None]) -> None:
        n_inputs = input_shape[-1]
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")
        self.kernel = self.add_weight(
            shape=(n_inputs, self.units), initializer=self.kernel_initializer, name="kernel"
        )
        self.vectors = self.add_weight(
            shape=(n_inputs, self.units, self.k),
            initializer=keras.initializers.RandomNormal(stddev=self.vectors_scale, seed=self.seed),
            regularizer=self.vectors_regularizer,
            name="vectors",
        )

    def call(self, x: Any) -> Any:
        dtype = keras.backend.result_type(x.dtype, "float32")
        x, bias, kernel, vectors = (ops.cast(t, dtype) for t in (x, self.bias, self.kernel, self.vectors))
        sums = ops.matmul(x, ops.reshape(vectors, (-1, self.units * self.k)))
        square_of_sum = ops.sum(ops.square(ops.reshape(sums, (-1, self.units, self.k))), axis=-1)
        sum_of_squares = ops.matmul(ops.square(x), ops.sum(ops.square(vectors), axis=-1))
        pairs = 0.5 * (square_of_sum - sum_of_squares)
        return ops.cast(bias + ops.matmul(x, kernel) + pairs, self.compute_dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return input_shape[0], self.units

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "k": self.k,
            "vectors_scale": self.vectors_scale,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "vectors_regularizer": keras.regularizers.serialize(self.vectors_regularizer),
            "seed": self.seed,
        }


def _block_digits(n: int) -> np.ndarray:
    """Bases of each block of `n`, shape (n, 4**n)."""
    return np.indices((N_BASES,) * n).reshape(n, -1)


def _one_of(name: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; it may be {' or '.join(map(repr, allowed))}")
    return value


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"{name} is {value}; it must be at least 1")
    return int(value)
