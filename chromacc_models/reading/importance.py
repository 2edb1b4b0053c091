"""How much the predictions of a network depend on each of its filters."""

from __future__ import annotations

import keras
import numpy as np

from chromacc_data.errors import InputError
from chromacc_models.layers import OneHot

__all__ = ["filter_importance", "pooled_activations"]

_BATCH = 256


def filter_importance(model: keras.Model, codes: np.ndarray) -> np.ndarray:
    """How much the logits move with each filter: its spread over windows times its weight in the head.

    The standard deviation of the pooled activation times the root mean square, over cell types, of the linear
    weights. Rescaling a filter and dividing its weights by the same leaves it as it is.

    Parameters
    ----------
    model
        Network with layers `pool` and `head`.
    codes
        Base codes (window, position), uint8.

    Returns
    -------
    np.ndarray
        (filter,) float64.

    Raises
    ------
    InputError
        If the network does not pool over the whole input.
    """
    values = pooled_activations(model, codes)
    weights = keras.ops.convert_to_numpy(model.get_layer("head").kernel)
    return values.std(axis=0, dtype=np.float64) * np.sqrt(
        np.mean(np.square(weights, dtype=np.float64), axis=1)
    )


def pooled_activations(model: keras.Model, codes: np.ndarray) -> np.ndarray:
    """What the head of a network sees of each window: (window, filter), float32.

    Parameters
    ----------
    model, codes
        As in :func:`filter_importance`.

    Raises
    ------
    InputError
        If the network does not pool over the whole input.
    """
    names = {layer.name for layer in model.layers}
    if not {"pool", "head"} <= names:
        raise InputError(
            f"filters of {model.name} cannot be ranked",
            found="no pooling over the whole window",
            expected="baseline, factorization_machine or motif_builder",
        )
    pooled = keras.Model(model.inputs, model.get_layer("pool").output)
    one_hot = OneHot()
    return np.concatenate(
        [
            keras.ops.convert_to_numpy(pooled(one_hot(codes[first : first + _BATCH])))
            for first in range(0, len(codes), _BATCH)
        ]
    )
