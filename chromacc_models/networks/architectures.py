"""Networks as pure functions: window length, number of cell types and options in, an uncompiled model out.

Every network takes one-hot DNA (window, position, 4), float32, and gives a probability of accessibility per
cell type (window, cell_type). The three interpretable ones (thesis, Table 3.1) share one form and these layer
names: `sequence`, [`blocks`,] `filters`, `activation`, `pool`, `head` (logits), `accessibility` (sigmoid);
`basset` ends in the last two as well. What the thesis leaves open, or what trains better, is an option.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chromacc_data.lazy import lazy_module

# Names and options of the networks are read, in configurations, far more often than networks are made.
if TYPE_CHECKING:
    import keras

    from chromacc_models.networks import layers as parts
else:
    keras = lazy_module("keras")
    parts = lazy_module("chromacc_models.networks.layers")

__all__ = [
    "ACTIVATIONS",
    "NETWORKS",
    "POOL_SCALES",
    "baseline",
    "basset",
    "factorization_machine",
    "gains_from_xla",
    "logits_model",
    "motif_builder",
    "network_options",
    "ppm_filters",
]

ACTIVATIONS = ("relu", "exponential")

#: Scale of the pooled values by the way of pooling, where none is given.
POOL_SCALES = {"average": 100.0, "max": 1.0, "logsumexp": 1.0}

#: Batch normalisation as Torch has it by default, which Basset was published with. Keras' moving averages are
#: ten times as slow: after an epoch of some thousand windows they are still those of the first steps.
_TORCH_NORMALIZATION = {"momentum": 0.9, "epsilon": 1e-5}


def baseline(
    window_length: int,
    n_cell_types: int,
    *,
    n_filters: int = 300,
    filter_width: int = 20,
    activation: str = "relu",
    strands: str = "both",
    scan_length: int | None = None,
    pooling: str = "average",
    pool_scale: float | None = None,
    dropout: float = 0.0,
    filter_scale: float = 1.0,
    filter_bias: float = 0.0,
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
    scan_length
        Bases around the middle of the window that the filters scan; the whole window when None. An open
        region is often shorter than the window around it, and what its flanks hold is noise to the pooling.
        More than the window: N beside it, so that filters see motifs at its ends, where they do not fit in.
    pooling
        "average", "max" or "logsumexp", over all places scanned.
    pool_scale
        Factor on the pooled value. Average pooling over L places divides the signal of a motif by L, and
        training from random weights then crawls; this undoes it. When None, :data:`POOL_SCALES` has it.
    dropout
        Share of the pooled values dropped in training, so that cell types do not rest on single filters.
    filter_scale
        Factor on the Glorot-uniform initial filters.
    filter_bias
        Initial bias of the filters. Where it is 0, ReLU cuts what a filter gives for windows without its
        motif, and a filter that has nothing above 0 learns no more; where it is above what random filters
        give, every filter learns from every window at first.
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
    filters_seed, head_seed, dropout_seed = _seeds(seed, 3)
    filter_options = _filter_options(filters_seed, filter_scale, filter_bias, l2, train_filters)
    return _pooled_network(
        window_length,
        scan_length,
        filter_width,
        [parts.SequenceConv1D(n_filters, filter_width, strands=strands, **filter_options)],
        activation=activation,
        pool=_pool(pooling, pool_scale),
        dropout=_dropout(dropout, dropout_seed),
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
    scan_length: int | None = None,
    pooling: str = "average",
    pool_scale: float | None = None,
    dropout: float = 0.0,
    filter_scale: float = 1.0,
    filter_bias: float = 0.0,
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
    >>> tuple(factorization_machine(100, 2, n_filters=8, k=3).get_layer("head").vectors.shape)
    (8, 2, 3)
    """
    filters_seed, head_seed, vectors_seed, dropout_seed = _seeds(seed, 4)
    filter_options = _filter_options(filters_seed, filter_scale, filter_bias, l2, train_filters)
    return _pooled_network(
        window_length,
        scan_length,
        filter_width,
        [parts.SequenceConv1D(n_filters, filter_width, strands=strands, **filter_options)],
        activation=activation,
        pool=_pool(pooling, pool_scale),
        dropout=_dropout(dropout, dropout_seed),
        head=parts.FactorizationMachine(
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
    scan_length: int | None = None,
    pooling: str = "max",
    pool_scale: float | None = None,
    dropout: float = 0.0,
    filter_scale: float = 1.0,
    filter_bias: float = 0.0,
    tables: str = "additive",
    l2: float = 0.0,
    deviations_l2: float = 0.01,
    initial_filters: np.ndarray | None = None,
    train_filters: bool = True,
    seed: int = 0,
) -> keras.Model:
    """Motif building network: filters over blocks of bases, so that positions may depend on each other.

    One-hot DNA to the block of `block_length` bases at each position, a convolution dilated by the block
    length over `filter_blocks` blocks, ReLU, max pooling, dense (thesis, Table 3.1 and section 3.6). The
    thesis has `strands="forward"`, `tables="free"` and `l2=0.01`, with which it did not learn on real data.

    Parameters
    ----------
    window_length, n_cell_types
        As in :func:`baseline`, like all options not listed here.
    block_length
        Bases in a block, n: there are 4**n blocks.
    filter_blocks
        Blocks in a filter, side by side: it covers `filter_blocks * block_length` bases.
    tables
        "additive": a block weighs what its bases weigh, as in the baseline network, and a deviation of its
        own; "free": each block has a weight of its own. See
        :class:`~chromacc_models.networks.layers.BlockConv1D`.
    l2, deviations_l2
        L2 penalties: of the filters, and where tables are additive of their bases' weights and of the blocks'
        deviations from them. The larger `deviations_l2`, the nearer is the network to the baseline.
    initial_filters
        Initial kernels (filter_blocks, 4**block_length, m), m <= n_filters.

    Examples
    --------
    >>> tuple(motif_builder(100, 2, n_filters=8).get_layer("filters").kernel.shape)
    (5, 256, 8)
    """
    filters_seed, head_seed, dropout_seed = _seeds(seed, 3)
    filter_options = _filter_options(filters_seed, filter_scale, filter_bias, l2, train_filters)
    return _pooled_network(
        window_length,
        scan_length,
        filter_blocks * block_length,
        [
            parts.KmerBlocks(block_length, name="blocks"),
            parts.BlockConv1D(
                n_filters,
                filter_blocks,
                block_length,
                strands=strands,
                tables=tables,
                deviation_regularizer=_l2(deviations_l2),
                **filter_options,
            ),
        ],
        activation=activation,
        pool=_pool(pooling, pool_scale),
        dropout=_dropout(dropout, dropout_seed),
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
    scan_length: int | None = None,
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
    scan_length
        As in :func:`baseline`; the paper has the whole window, None.
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
            keras.layers.Dropout(dropout, seed=next(seeds)),
        ]
    head = "head" if strands == "forward" else "strand_head"
    layers.append(keras.layers.Dense(n_cell_types, kernel_initializer=_glorot(next(seeds)), name=head))

    shortest = 168  # in shorter ones the third pool has nothing to pool
    sequence = _sequence(window_length, shortest)
    middle = _chain(sequence, _middle(window_length, scan_length, shortest))
    logits = _chain(middle, layers)
    if strands == "both":
        reverse = _chain(parts.ReverseComplement(name="reverse_complement")(middle), layers)
        logits = keras.layers.Average(name="head")([logits, reverse])
    return _finish(sequence, logits, name="basset")


#: The networks by the name that configurations and commands use.
NETWORKS: dict[str, Callable[..., keras.Model]] = {
    network.__name__: network for network in (baseline, factorization_machine, motif_builder, basset)
}


def network_options(network: str) -> dict[str, Any]:
    """Options of a network and their default values, by name.

    >>> network_options("factorization_machine")["k"]
    5
    """
    parameters = inspect.signature(NETWORKS[network]).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def logits_model(model: keras.Model) -> keras.Model:
    """The same network, weights shared, up to its logits: training is exact where a sigmoid saturates."""
    return keras.Model(model.input, model.get_layer("head").output, name=f"{model.name}_logits")


def gains_from_xla(model: keras.Model) -> bool:
    """Whether XLA makes a network faster: sums of table rows five-fold on two cores, convolutions not."""
    return any(isinstance(layer, parts.BlockConv1D) for layer in model.layers)


def ppm_filters(
    ppms: Sequence[np.ndarray], filter_width: int, *, scale: float = 0.1, pseudocount: float = 0.01
) -> np.ndarray:
    """Filters that recognise given motifs: log-odds against equal base frequencies, motif in the middle.

    Parameters
    ----------
    ppms
        Position probability matrices, each (position, 4) in the order A C G T.
    filter_width
        Bases that a filter covers; of a wider motif, its most informative stretch is taken.
    scale
        Factor on the log2 odds; 0.1 gives weights of the size of Glorot's.
    pseudocount
        Added to each probability before it is normalised again.

    Returns
    -------
    np.ndarray
        Kernels (filter_width, 4, motif), float32, for `initial_filters` of :func:`baseline`.

    Examples
    --------
    >>> kernel = ppm_filters([np.eye(4)], 6)
    >>> kernel.shape, kernel[1:5, :, 0].argmax(axis=1).tolist()  # A C G T from the second base on
    ((6, 4, 1), [0, 1, 2, 3])
    """
    kernels = np.zeros((filter_width, parts.N_BASES, len(ppms)), dtype=np.float32)
    for index, ppm in enumerate(ppms):
        smooth = np.asarray(ppm, dtype=np.float64) + pseudocount
        odds = np.log2(smooth / smooth.sum(axis=1, keepdims=True) * parts.N_BASES)
        if len(odds) > filter_width:
            information = np.convolve(odds.max(axis=1), np.ones(filter_width), mode="valid")
            odds = odds[information.argmax() :][:filter_width]
        start = (filter_width - len(odds)) // 2
        kernels[start : start + len(odds), :, index] = scale * odds
    return kernels


def _pooled_network(
    window_length: int,
    scan_length: int | None,
    shortest: int,
    scan: list[keras.layers.Layer],
    *,
    activation: str,
    pool: keras.layers.Layer,
    dropout: list[keras.layers.Layer],
    head: keras.layers.Layer,
    initial_filters: np.ndarray | None,
    name: str,
) -> keras.Model:
    """The form that the three interpretable networks share."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation is {activation!r}; it may be {' or '.join(map(repr, ACTIVATIONS))}")
    sequence = _sequence(window_length, shortest)
    activated = keras.layers.Activation(activation, name="activation")
    middle = _middle(window_length, scan_length, shortest)
    logits = _chain(sequence, [*middle, *scan, activated, pool, *dropout, head])
    if initial_filters is not None:
        _set_filters(scan[-1], np.asarray(initial_filters))
    return _finish(sequence, logits, name=name)


def _pool(pooling: str, scale: float | None) -> keras.layers.Layer:
    return parts.GlobalPooling(
        pooling, scale=POOL_SCALES.get(pooling, 1.0) if scale is None else scale, name="pool"
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


def _dropout(share: float, seed: int) -> list[keras.layers.Layer]:
    return [keras.layers.Dropout(share, seed=seed, name="dropout")] if share else []


def _sequence(window_length: int, shortest: int) -> keras.KerasTensor:
    if window_length < shortest:
        raise ValueError(f"windows of {window_length} bp; this network needs at least {shortest}")
    return keras.Input((window_length, parts.N_BASES), dtype="float32", name="sequence")


def _chain(tensor: keras.KerasTensor, layers: Sequence[keras.layers.Layer]) -> keras.KerasTensor:
    for layer in layers:
        tensor = layer(tensor)
    return tensor


def _finish(sequence: keras.KerasTensor, logits: keras.KerasTensor, *, name: str) -> keras.Model:
    # Probabilities are float32 whatever precision the layers compute in.
    probability = keras.layers.Activation("sigmoid", dtype="float32", name="accessibility")
    return keras.Model(sequence, probability(logits), name=name)


def _filter_options(
    seed: int, filter_scale: float, filter_bias: float, l2: float, train_filters: bool
) -> dict[str, Any]:
    return {
        "kernel_initializer": _glorot(seed, filter_scale),
        "bias_initializer": keras.initializers.Constant(filter_bias),
        "kernel_regularizer": _l2(l2),
        "trainable": train_filters,
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
    if isinstance(layer, parts.BlockConv1D):
        layer.assign_kernel(kernel)
    else:
        layer.kernel.assign(kernel)
