"""Networks as pure functions: window length, number of cell types and options in, an uncompiled model out.

Every network takes one-hot DNA (window, position, 4), float32, and gives a probability of accessibility per
cell type (window, cell_type). The three interpretable ones (thesis, Table 3.1) share one form and these layer
names: `sequence`, [`blocks`,] `filters`, `activation`, `pool`, `head` (logits), `accessibility` (sigmoid);
`basset` ends in the last two as well. What the thesis leaves open, or what trains better, is an option.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from chromacc_models.networks.layers import (
    N_BASES,
    BlockConv1D,
    FactorizationMachine,
    GlobalPooling,
    KmerBlocks,
    ReverseComplement,
    SequenceConv1D,
)
from chromacc_models.networks.options import NetworkOptions

__all__ = [
    "NETWORKS",
    "baseline",
    "basset",
    "factorization_machine",
    "gains_from_xla",
    "logits_model",
    "motif_builder",
]

#: Batch normalisation as Torch has it by default, which Basset was published with. Keras' moving averages are
#: ten times as slow: after an epoch of some thousand windows they are still those of the first steps.
_TORCH_NORMALIZATION = {"momentum": 0.9, "epsilon": 1e-5}


def baseline(
    window_length: int,
    n_cell_types: int,
    *,
    initial_filters: np.ndarray | None = None,
    seed: int = 0,
    **options: Any,
) -> keras.Model:
    """Baseline network: convolution, ReLU, pooling over the window, dense (thesis, Table 3.1).

    The thesis has `strands="forward"` and `pool_scale=1`.

    Parameters
    ----------
    window_length
        Positions in a window.
    n_cell_types
        Outputs.
    initial_filters
        Initial kernels (filter_width, 4, m) of the first m <= n_filters filters.
    seed
        Seed of the initial weights.
    **options
        Options of :class:`~chromacc_models.networks.options.NetworkOptions` that this network has.

    Raises
    ------
    ValueError
        If the filters are wider than the window, or an option is unknown or has an invalid value.

    Examples
    --------
    >>> baseline(100, 2, n_filters=8).output_shape
    (None, 2)
    """
    chosen = NetworkOptions("baseline", **options)
    filters_seed, head_seed, dropout_seed = _seeds(seed, 3)
    return _pooled_network(
        chosen,
        window_length,
        [_convolution(chosen, filters_seed)],
        shortest=chosen.filter_width,
        dropout_seed=dropout_seed,
        head=keras.layers.Dense(n_cell_types, kernel_initializer=_glorot(head_seed), name="head"),
        initial_filters=initial_filters,
    )


def factorization_machine(
    window_length: int,
    n_cell_types: int,
    *,
    initial_filters: np.ndarray | None = None,
    seed: int = 0,
    **options: Any,
) -> keras.Model:
    """Factorization machines network: the baseline network with one FM per cell type as its head.

    Parameters are those of :func:`baseline`.

    Examples
    --------
    >>> tuple(factorization_machine(100, 2, n_filters=8, k=3).get_layer("head").vectors.shape)
    (8, 2, 3)
    """
    chosen = NetworkOptions("factorization_machine", **options)
    filters_seed, head_seed, vectors_seed, dropout_seed = _seeds(seed, 4)
    return _pooled_network(
        chosen,
        window_length,
        [_convolution(chosen, filters_seed)],
        shortest=chosen.filter_width,
        dropout_seed=dropout_seed,
        head=FactorizationMachine(
            n_cell_types,
            chosen.k,
            vectors_scale=chosen.vectors_scale,
            kernel_initializer=_glorot(head_seed),
            seed=vectors_seed,
            name="head",
        ),
        initial_filters=initial_filters,
    )


def motif_builder(
    window_length: int,
    n_cell_types: int,
    *,
    initial_filters: np.ndarray | None = None,
    seed: int = 0,
    **options: Any,
) -> keras.Model:
    """Motif building network: filters over blocks of bases, so that positions may depend on each other.

    One-hot DNA to the block of `block_length` bases at each position, a convolution dilated by the block
    length over `filter_blocks` blocks, ReLU, max pooling, dense (thesis, Table 3.1 and section 3.6). The
    thesis has `strands="forward"`, `tables="free"` and `l2=0.01`, with which it did not learn on real data.

    Parameters are those of :func:`baseline`, but that initial filters have shape
    (filter_blocks, 4**block_length, m), m <= n_filters.

    Examples
    --------
    >>> tuple(motif_builder(100, 2, n_filters=8).get_layer("filters").kernel.shape)
    (5, 256, 8)
    """
    chosen = NetworkOptions("motif_builder", **options)
    filters_seed, head_seed, dropout_seed = _seeds(seed, 3)
    return _pooled_network(
        chosen,
        window_length,
        [
            KmerBlocks(chosen.block_length, name="blocks"),
            BlockConv1D(
                chosen.n_filters,
                chosen.filter_blocks,
                chosen.block_length,
                strands=chosen.strands,
                tables=chosen.tables,
                deviation_regularizer=_l2(chosen.deviations_l2),
                **_filter_options(chosen, filters_seed),
            ),
        ],
        shortest=chosen.filter_blocks * chosen.block_length,
        dropout_seed=dropout_seed,
        head=keras.layers.Dense(n_cell_types, kernel_initializer=_glorot(head_seed), name="head"),
        initial_filters=initial_filters,
    )


def basset(window_length: int, n_cell_types: int, *, seed: int = 0, **options: Any) -> keras.Model:
    """Basset's published network, for comparison (Kelley, Snoek and Rinn 2016).

    Three times convolution, batch normalisation, ReLU and max pooling (300 filters of width 19, 200 of 11,
    200 of 7; pools 3, 4, 4; no padding), then twice dense 1000, batch normalisation, ReLU and dropout.

    Parameters
    ----------
    window_length, n_cell_types
        As in :func:`baseline`; 600 positions in the paper.
    seed
        Seed of the initial weights and of dropout.
    **options
        As in :func:`baseline`.

    Examples
    --------
    >>> basset(600, 2, size=0.05).output_shape
    (None, 2)
    """
    chosen = NetworkOptions("basset", **options)
    size, seeds = chosen.size, iter(_seeds(seed, 8))
    layers: list[keras.layers.Layer] = []
    for stage, (n_filters, width, pool) in enumerate(((300, 19, 3), (200, 11, 4), (200, 7, 4)), start=1):
        name = "filters" if stage == 1 else f"filters_{stage}"
        layers += [
            keras.layers.Conv1D(
                _scaled(n_filters, size),
                width,
                use_bias=False,
                kernel_initializer=_glorot(next(seeds)),
                name=name,
            ),
            keras.layers.BatchNormalization(**_TORCH_NORMALIZATION),
            keras.layers.Activation("relu"),
            keras.layers.MaxPooling1D(pool),
        ]
    layers.append(keras.layers.Flatten())
    for _ in range(2):
        layers += [
            keras.layers.Dense(_scaled(1000, size), use_bias=False, kernel_initializer=_glorot(next(seeds))),
            keras.layers.BatchNormalization(**_TORCH_NORMALIZATION),
            keras.layers.Activation("relu"),
            keras.layers.Dropout(chosen.dropout, seed=next(seeds)),
        ]
    head = "head" if chosen.strands == "forward" else "strand_head"
    layers.append(keras.layers.Dense(n_cell_types, kernel_initializer=_glorot(next(seeds)), name=head))

    shortest = 168  # in shorter ones the third pool has nothing to pool
    sequence = _sequence(window_length, shortest)
    middle = _chain(sequence, _middle(window_length, chosen.scan_length, shortest))
    logits = _chain(middle, layers)
    if chosen.strands == "both":
        reverse = _chain(ReverseComplement(name="reverse_complement")(middle), layers)
        logits = keras.layers.Average(name="head")([logits, reverse])
    return _finish(sequence, logits, name="basset")


#: The networks by the names of :data:`~chromacc_models.networks.options.NETWORK_NAMES`.
NETWORKS: dict[str, Callable[..., keras.Model]] = {
    network.__name__: network for network in (baseline, factorization_machine, motif_builder, basset)
}


def logits_model(model: keras.Model) -> keras.Model:
    """The same network, weights shared, up to its logits: training is exact where a sigmoid saturates."""
    return keras.Model(model.input, model.get_layer("head").output, name=f"{model.name}_logits")


def gains_from_xla(model: keras.Model) -> bool:
    """Whether XLA makes a network faster: sums of table rows five-fold on two cores, convolutions not."""
    return any(isinstance(layer, BlockConv1D) for layer in model.layers)


def _pooled_network(
    chosen: NetworkOptions,
    window_length: int,
    scan: list[keras.layers.Layer],
    *,
    shortest: int,
    dropout_seed: int,
    head: keras.layers.Layer,
    initial_filters: np.ndarray | None,
) -> keras.Model:
    """The form that the three interpretable networks share."""
    sequence = _sequence(window_length, shortest)
    layers = [
        *_middle(window_length, chosen.scan_length, shortest),
        *scan,
        keras.layers.Activation(chosen.activation, name="activation"),
        GlobalPooling(chosen.pooling, scale=chosen.pool_scale, name="pool"),
    ]
    if chosen.dropout:
        layers.append(keras.layers.Dropout(chosen.dropout, seed=dropout_seed, name="dropout"))
    logits = _chain(sequence, [*layers, head])
    if initial_filters is not None:
        _set_filters(scan[-1], np.asarray(initial_filters))
    return _finish(sequence, logits, name=chosen.network)


def _convolution(chosen: NetworkOptions, seed: int) -> SequenceConv1D:
    return SequenceConv1D(
        chosen.n_filters, chosen.filter_width, strands=chosen.strands, **_filter_options(chosen, seed)
    )


def _middle(window_length: int, scan_length: int | None, shortest: int) -> list[keras.layers.Layer]:
    if scan_length is None or scan_length == window_length:
        return []
    longest = window_length + 2 * (shortest - 1)  # beyond it filters see nothing of the window
    if not shortest <= scan_length <= longest:
        raise ValueError(f"scan_length is {scan_length}; it must be from {shortest} to {longest}")
    if scan_length > window_length:
        left = (scan_length - window_length) // 2
        return [keras.layers.ZeroPadding1D((left, scan_length - window_length - left), name="beside")]
    left = (window_length - scan_length) // 2
    return [keras.layers.Cropping1D((left, window_length - scan_length - left), name="middle")]


def _sequence(window_length: int, shortest: int) -> keras.KerasTensor:
    if window_length < shortest:
        raise ValueError(f"windows of {window_length} bp; this network needs at least {shortest}")
    return keras.Input((window_length, N_BASES), dtype="float32", name="sequence")


def _chain(tensor: keras.KerasTensor, layers: Sequence[keras.layers.Layer]) -> keras.KerasTensor:
    for layer in layers:
        tensor = layer(tensor)
    return tensor


def _finish(sequence: keras.KerasTensor, logits: keras.KerasTensor, *, name: str) -> keras.Model:
    # Probabilities are float32 whatever precision the layers compute in.
    probability = keras.layers.Activation("sigmoid", dtype="float32", name="accessibility")
    return keras.Model(sequence, probability(logits), name=name)


def _filter_options(chosen: NetworkOptions, seed: int) -> dict[str, Any]:
    return {
        "kernel_initializer": _glorot(seed, chosen.filter_scale),
        "bias_initializer": keras.initializers.Constant(chosen.filter_bias),
        # Filters set to known motifs are drawn to these, not to zero: by the training, see MotifFilters.
        "kernel_regularizer": _l2(chosen.l2) if chosen.motifs is None else None,
        "trainable": chosen.train_filters,
        "name": "filters",
    }


def _l2(factor: float) -> keras.regularizers.Regularizer | None:
    return keras.regularizers.L2(factor) if factor else None


def _glorot(seed: int, scale: float = 1.0) -> keras.initializers.Initializer:
    # VarianceScaling with these options is Glorot's uniform initialiser; `scale` is on the variance.
    return keras.initializers.VarianceScaling(scale**2, mode="fan_avg", distribution="uniform", seed=seed)


def _seeds(seed: int, n: int) -> list[int]:
    """Independent seeds for the layers of a network."""
    return [int(state) for state in np.random.SeedSequence(seed).generate_state(n)]


def _scaled(n: int, size: float) -> int:
    return max(1, round(n * size))


def _set_filters(layer: keras.layers.Layer, initial: np.ndarray) -> None:
    shape = layer.kernel.shape
    if initial.ndim != 3 or initial.shape[:2] != shape[:2] or initial.shape[2] > shape[2]:
        raise ValueError(
            f"initial filters of shape {initial.shape}; expected ({shape[0]}, {shape[1]}, at most {shape[2]})"
        )
    kernel = layer.kernel.numpy().copy()
    kernel[..., : initial.shape[2]] = initial
    if isinstance(layer, BlockConv1D):
        layer.assign_kernel(kernel)
    else:
        layer.kernel.assign(kernel)
