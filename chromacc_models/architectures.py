"""Networks as pure functions: window length, number of cell types and options in, an uncompiled model out.

Every network takes one-hot DNA (window, position, 4), float32, and gives a probability of accessibility per
cell type (window, cell_type). The three interpretable ones (thesis, Table 3.1) share one form and these layer
names: `sequence`, [`blocks`,] `filters`, `activation`, `pool`, `head` (logits), `accessibility` (sigmoid);
`basset` ends in the last two as well. What the thesis leaves open, or what trains better otherwise, is an option.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from chromacc_models.layers import (
    N_BASES,
    BlockConv1D,
    FactorizationMachine,
    GlobalPooling,
    KmerBlocks,
    ReverseComplement,
    SequenceConv1D,
)

__all__ = [
    "ACTIVATIONS",
    "NETWORKS",
    "baseline",
    "basset",
    "factorization_machine",
    "logits_model",
    "motif_builder",
    "network_options",
    "ppm_filters",
]

ACTIVATIONS = ("relu", "exponential")


def baseline(
    window_length: int,
    n_cell_types: int,
    *,
    n_filters: int = 300,
    filter_width: int = 20,
    activation: str = "relu",
    strands: str = "both",
    pooling: str = "average",
    pool_scale: float = 20.0,
    filter_scale: float = 1.0,
    l2: float = 0.0,
    initial_filters: np.ndarray | None = None,
    train_filters: bool = True,
    seed: int = 0,
) -> keras.Model:
    """Baseline network: convolution, ReLU, pooling over the window, dense (thesis, Table 3.1).

    The thesis has `strands="forward"` and `pool_scale=1`.

    Parameters
    ----------
    window_length
        Positions in a window.
    n_cell_types
        Outputs.
    n_filters, filter_width
        Convolution filters, and the bases that each covers.
    activation
        "relu", or "exponential" (more interpretable filters; Koo and Ploenzke 2021).
    strands
        "forward", or "both": the same filters scan both strands and are pooled together.
    pooling
        "average", "max" or "logsumexp", over all places of the window.
    pool_scale
        Factor on the pooled value. Average pooling over L places divides the signal of a motif by L, and
        training from random weights then crawls; this undoes it.
    filter_scale
        Factor on the Glorot-uniform initial filters.
    l2
        L2 penalty: `l2` times the sum of the squared filter weights is added to the loss.
    initial_filters
        Initial kernels (filter_width, 4, m) of the first m <= n_filters filters; see :func:`ppm_filters`.
    train_filters
        False keeps the filters as they were set (thesis, 4.3.1: transferred filters).
    seed
        Seed of the initial weights.

    Raises
    ------
    ValueError
        If the filters are wider than the window, or an option has an unlawful value.

    Examples
    --------
    >>> baseline(100, 2, n_filters=8).output_shape
    (None, 2)
    """
    filters_seed, head_seed = _seeds(seed, 2)
    return _pooled_network(
        window_length,
        filter_width,
        [
            SequenceConv1D(
                n_filters,
                filter_width,
                strands=strands,
                kernel_initializer=_glorot(filters_seed, filter_scale),
                kernel_regularizer=_l2(l2),
                trainable=train_filters,
                name="filters",
            )
        ],
        activation=activation,
        pool=GlobalPooling(pooling, scale=pool_scale, name="pool"),
        head=keras.layers.Dense(n_cell_types, kernel_initializer=_glorot(head_seed), name="head"),
        initial_filters=initial_filters,
        name="baseline",
    )


def factorization_machine(
    window_length: int,
    n_cell_types: int,
    *,
    k: int = 5,
    vectors_scale: float = 0.1,
    n_filters: int = 300,
    filter_width: int = 20,
    activation: str = "relu",
    strands: str = "both",
    pooling: str = "average",
    pool_scale: float = 20.0,
    filter_scale: float = 1.0,
    l2: float = 0.0,
    initial_filters: np.ndarray | None = None,
    train_filters: bool = True,
    seed: int = 0,
) -> keras.Model:
    """Factorization machines network: the baseline network with one FM per cell type as its head.

    Parameters
    ----------
    window_length, n_cell_types
        As in :func:`baseline`, like all options not listed here.
    k
        Length of each filter's interaction vector (thesis: 5 on real data, 20 on simulated data).
    vectors_scale
        Standard deviation of the initial interaction vectors.

    Examples
    --------
    >>> factorization_machine(100, 2, n_filters=8, k=3).get_layer("head").vectors.shape
    (8, 2, 3)
    """
    filters_seed, head_seed, vectors_seed = _seeds(seed, 3)
    return _pooled_network(
        window_length,
        filter_width,
        [
            SequenceConv1D(
                n_filters,
                filter_width,
                strands=strands,
                kernel_initializer=_glorot(filters_seed, filter_scale),
                kernel_regularizer=_l2(l2),
                trainable=train_filters,
                name="filters",
            )
        ],
        activation=activation,
        pool=GlobalPooling(pooling, scale=pool_scale, name="pool"),
        head=FactorizationMachine(
            n_cell_types,
            k,
            vectors_scale=vectors_scale,
            kernel_initializer=_glorot(head_seed),
            seed=vectors_seed,
            name="head",
        ),
        initial_filters=initial_filters,
        name="factorization_machine",
    )


def motif_builder(
    window_length: int,
    n_cell_types: int,
    *,
    block_length: int = 4,
    filter_blocks: int = 5,
    n_filters: int = 300,
    activation: str = "relu",
    strands: str = "both",
    pooling: str = "max",
    pool_scale: float = 1.0,
    filter_scale: float = 1.0,
    l2: float = 0.0,
    initial_filters: np.ndarray | None = None,
    train_filters: bool = True,
    seed: int = 0,
) -> keras.Model:
    """Motif building network: filters over blocks of bases, so that positions may depend on each other.

    One-hot DNA to the block of `block_length` bases at each position, a convolution dilated by the block
    length over `filter_blocks` blocks, ReLU, max pooling, dense (thesis, Table 3.1 and section 3.6). The
    thesis has `strands="forward"` and `l2=0.01`, with which it did not learn on real data.

    Parameters
    ----------
    window_length, n_cell_types
        As in :func:`baseline`, like all options not listed here.
    block_length
        Bases in a block, n: there are 4**n blocks.
    filter_blocks
        Blocks in a filter, side by side: it covers `filter_blocks * block_length` bases.
    initial_filters
        Initial kernels (filter_blocks, 4**block_length, m), m <= n_filters.

    Examples
    --------
    >>> motif_builder(100, 2, n_filters=8).get_layer("filters").kernel.shape
    (5, 256, 8)
    """
    filters_seed, head_seed = _seeds(seed, 2)
    return _pooled_network(
        window_length,
        filter_blocks * block_length,
        [
            KmerBlocks(block_length, name="blocks"),
            BlockConv1D(
                n_filters,
                filter_blocks,
                block_length,
                strands=strands,
                kernel_initializer=_glorot(filters_seed, filter_scale),
                kernel_regularizer=_l2(l2),
                trainable=train_filters,
                name="filters",
            ),
        ],
        activation=activation,
        pool=GlobalPooling(pooling, scale=pool_scale, name="pool"),
        head=keras.layers.Dense(n_cell_types, kernel_initializer=_glorot(head_seed), name="head"),
        initial_filters=initial_filters,
        name="motif_builder",
    )


def basset(
    window_length: int,
    n_cell_types: int,
    *,
    size: float = 1.0,
    dropout: float = 0.3,
    strands: str = "forward",
    seed: int = 0,
) -> keras.Model:
    """Basset's published network, for comparison (Kelley, Snoek and Rinn 2016).

    Three times convolution, batch normalisation, ReLU and max pooling (300 filters of width 19, 200 of 11,
    200 of 7; pools 3, 4, 4; no padding), then twice dense 1000, batch normalisation, ReLU and dropout.

    Parameters
    ----------
    window_length, n_cell_types
        As in :func:`baseline`; 600 positions in the paper.
    size
        Factor on all numbers of filters and units; 1 is the published network.
    dropout
        Share of dense units dropped in training.
    strands
        "forward", or "both": the logits of the window and of its reverse complement are averaged.
    seed
        Seed of the initial weights and of dropout.

    Examples
    --------
    >>> basset(600, 2, size=0.05).output_shape
    (None, 2)
    """
    seeds = iter(_seeds(seed, 8))
    layers: list[keras.layers.Layer] = []
    for stage, (n_filters, width, pool) in enumerate(((300, 19, 3), (200, 11, 4), (200, 7, 4)), start=1):
        name = "filters" if stage == 1 else f"filters_{stage}"
        layers += [
            keras.layers.Conv1D(
                _scaled(n_filters, size), width, use_bias=False, kernel_initializer=_glorot(next(seeds)), name=name
            ),
            keras.layers.BatchNormalization(),
            keras.layers.Activation("relu"),
            keras.layers.MaxPooling1D(pool),
        ]
    layers.append(keras.layers.Flatten())
    for _ in range(2):
        layers += [
            keras.layers.Dense(_scaled(1000, size), use_bias=False, kernel_initializer=_glorot(next(seeds))),
            keras.layers.BatchNormalization(),
            keras.layers.Activation("relu"),
            keras.layers.Dropout(dropout, seed=next(seeds)),
        ]
    layers.append(keras.layers.Dense(n_cell_types, kernel_initializer=_glorot(next(seeds)), name="head_strand"))

    sequence = _sequence(window_length, 146)  # shorter windows leave the third pool nothing
    head = keras.layers.Average(name="head")
    if strands == "both":
        logits = head([_apply(layers, sequence), _apply(layers, ReverseComplement()(sequence))])
    return _finish(sequence, logits, name="basset")


#: The networks by the name that configurations and commands use.
NETWORKS: dict[str, Callable[..., keras.Model]] = {
    network.__name__: network for network in (baseline, factorization_machine, motif_builder, basset)
}
