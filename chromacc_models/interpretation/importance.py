"""How much the predictions of a network depend on each of its filters."""

from __future__ import annotations

import keras
import numpy as np

from chromacc_data.errors import InputError
from chromacc_models.networks.layers import FactorizationMachine
from chromacc_models.scoring.keras_scorer import KerasScorer, scorer_of
from chromacc_models.scoring.scorer import Scorer

__all__ = ["filter_importance", "has_importance", "pooled_activations", "pooling_scorer"]

_BATCH = 256


def has_importance(model: keras.Model) -> bool:
    """Whether a network pools over the whole window, as :func:`filter_importance` requires."""
    return {"pool", "head"} <= {layer.name for layer in model.layers}


def filter_importance(model: keras.Model, codes: np.ndarray) -> np.ndarray:
    """How much the logits depend on each filter: its spread over windows times the logit's slope.

    The spread is the standard deviation of the pooled activation. The slope is the root mean square, over
    windows and cell types, of the derivative of the logit: the linear weight, and with factorization machines
    what the filter's interactions with the others of the window add, W_i + sum_j <V_i, V_j> x_j (j not i).
    Rescaling a filter and dividing its weights and vectors by the same leaves it as it is.

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
    values = pooled_activations(model, codes).astype(np.float64)
    head = model.get_layer("head")
    weights = keras.ops.convert_to_numpy(head.kernel).astype(np.float64)
    if not isinstance(head, FactorizationMachine):
        return values.std(axis=0) * np.sqrt(np.square(weights).mean(axis=1))
    vectors = keras.ops.convert_to_numpy(head.vectors).astype(np.float64)
    own = np.square(vectors).sum(axis=2)
    squared = np.zeros_like(weights)
    for first in range(0, len(values), _BATCH):
        x = values[first : first + _BATCH]
        sums = np.einsum("ni,ick->nck", x, vectors)
        slope = weights + np.einsum("ick,nck->nic", vectors, sums) - x[:, :, None] * own
        squared += np.square(slope).sum(axis=0)
    return values.std(axis=0) * np.sqrt(squared.mean(axis=1) / len(values))


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
    return pooling_scorer(model).pool(codes)


def pooling_scorer(model: keras.Model) -> Scorer | KerasScorer:
    """The scorer of a network; raises as :func:`pooled_activations`."""
    if not has_importance(model):
        raise InputError(
            f"filters of {model.name} cannot be ranked",
            found="no pooling over the whole window",
            expected="baseline, factorization_machine or motif_builder",
        )
    return scorer_of(model)
