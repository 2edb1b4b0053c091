"""What a network takes in memory while it is trained, before any of it is made."""

from __future__ import annotations

from chromacc_data.sizes import require_memory
from chromacc_models.training.config import TrainConfig

__all__ = ["require_network_memory", "training_bytes"]

#: Copies of the weights while training: their own, gradients, the optimiser's, the best ones, initial draws.
_COPIES = 5
_FLOAT = 4
#: Filters, widths and pools of the convolutions of basset, and units of its two dense layers, at size 1.
_BASSET, _POOLED, _UNITS = ((300, 19), (200, 11), (200, 7)), 3 * 4 * 4, 1000


def training_bytes(config: TrainConfig, window_length: int, n_cell_types: int, n_windows: int) -> int:
    """Lower bound on the memory of a training: weights, and the activations of the filters for one batch.

    Parameters
    ----------
    config
        What is trained.
    window_length, n_cell_types, n_windows
        Sizes of the store.

    Examples
    --------
    >>> round(training_bytes(TrainConfig(network="baseline", n_filters=300), 600, 6, 10_000) / 1e6)
    93
    """
    batch = min(config.batch_size, n_windows)
    if config.network == "basset":
        size = float(config.size or 1.0)
        convolutions, channels = 0.0, 4.0
        for n_filters, width in _BASSET:
            convolutions += channels * width * n_filters * size
            channels = n_filters * size
        units = _UNITS * size
        dense = units * (window_length / _POOLED * channels + units + n_cell_types)
        weights, given = convolutions + dense, batch * window_length * _BASSET[0][0] * size
        return int((weights * _COPIES + given) * _FLOAT)
    n_filters = config.n_filters or 1
    inputs = 4 * (config.filter_width or 1)
    if config.filter_blocks is not None:
        inputs = config.filter_blocks * 4 ** (config.block_length or 1)
    weights = n_filters * (inputs + n_cell_types + n_cell_types * (config.k or 0))
    positions = min(config.scan_length or window_length, window_length)
    return (weights * _COPIES + batch * positions * n_filters) * _FLOAT


def require_network_memory(
    config: TrainConfig, window_length: int, n_cell_types: int, n_windows: int
) -> None:
    """Raise an InputError unless this machine has the memory to train a network."""
    require_memory(
        training_bytes(config, window_length, n_cell_types, n_windows),
        what=f"training the {config.network} network in batches of {min(config.batch_size, n_windows):,}",
        where="configuration",
        remedy="fewer filters (n_filters), or smaller ones; for basset a smaller size; a smaller batch_size",
    )
