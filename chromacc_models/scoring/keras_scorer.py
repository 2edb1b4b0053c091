"""Predictions of a network in memory from base codes: the single entry point for everything after training.

A network of the form that :class:`~chromacc_models.scoring.scorer.Scorer` computes is computed by it, any
other by Keras; both answer the same questions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import keras
import numpy as np
import tensorflow as tf

from chromacc_models.kmer_kernels.backends import backend_named, not_by_kernels
from chromacc_models.networks.architectures import gains_from_xla, logits_model
from chromacc_models.networks.layers import OneHot
from chromacc_models.scoring.layers import layers_of
from chromacc_models.scoring.scorer import NotInterpretableError, Scorer

__all__ = ["KerasScorer", "logits_of", "scorer_of"]

_BATCH = 256
#: What stands in the way of the kernels raises one of these: other layers, inputs of
#: another shape, networks that are sequential or subclassed.
_NOT_OURS = (NotInterpretableError, ValueError, KeyError, NotImplementedError)
#: Probabilities nearer to 0 or 1 than this have no logit in float32.
_CLIP = 1e-7


def scorer_of(model: keras.Model, backend: str = "auto") -> Scorer | KerasScorer:
    """What predicts from base codes with the weights that a network has now.

    Parameters
    ----------
    model
        A built network that takes one-hot DNA (window, position, 4).
    backend
        One of :data:`chromacc_models.kmer_kernels.backends.BACKENDS`. "auto" takes the kernels where no GPU
        is used and the network is one of the interpretable ones.

    Raises
    ------
    InputError
        If the backend is unknown, or is "kernels" and they cannot compute the network.

    Examples
    --------
    >>> from chromacc_models.networks.architectures import baseline, basset
    >>> networks = baseline(100, 2, n_filters=8), basset(200, 2, size=0.01)
    >>> [type(scorer_of(network)).__name__ for network in networks]
    ['Scorer', 'KerasScorer']
    """
    backend = backend_named(backend)
    if backend == "keras" or (backend == "auto" and tf.config.list_physical_devices("GPU")):
        return KerasScorer(model)
    try:
        return Scorer.of_layers(layers_of(model))
    except _NOT_OURS as obstacle:
        if backend == "kernels":
            raise not_by_kernels(obstacle) from None
        return KerasScorer(model)


def logits_of(probability: np.ndarray) -> np.ndarray:
    """Logits of probabilities, float64, taken between 1e-7 and 1 - 1e-7."""
    probability = np.clip(np.asarray(probability, dtype=np.float64), _CLIP, 1 - _CLIP)
    return np.log(probability) - np.log1p(-probability)


class KerasScorer:
    """A network that Keras computes, asked as a :class:`~chromacc_models.scoring.scorer.Scorer` is.

    Its calls are compiled: a call of `keras.Model.predict` takes some twenty milliseconds more.

    Parameters
    ----------
    model
        A built network that takes one-hot DNA (window, position, 4).
    obstacle
        Why the k-mer kernels do not compute it, where that is known.
    """

    def __init__(self, model: keras.Model, *, obstacle: str | None = None) -> None:
        self.model, self.obstacle = model, obstacle
        # XLA compiles for each number of windows, so all batches have one size.
        self._jit = gains_from_xla(model)

    @property
    def window_length(self) -> int:
        """Bases of a window."""
        return self.model.input_shape[1]

    @property
    def n_cell_types(self) -> int:
        """Outputs."""
        return self.model.output_shape[1]

    def predict(self, codes: np.ndarray) -> np.ndarray:
        """Probabilities (window, cell_type), float32, of base codes (window, position), uint8."""
        return self._in_batches(self._probabilities, codes)

    def logits(self, codes: np.ndarray) -> np.ndarray:
        """Logits (window, cell_type), float32: of the layer `head`, or else of the probabilities."""
        if self._logits is not None:
            return self._in_batches(self._logits, codes)
        return logits_of(self.predict(codes)).astype(np.float32)

    def pool(self, codes: np.ndarray) -> np.ndarray:
        """What the layer `pool` gives, (window, filter) float32."""
        return self._in_batches(self._pooled, codes)

    @cached_property
    def _probabilities(self) -> Callable[[tf.Tensor], tf.Tensor]:
        return self._compile(self.model)

    @cached_property
    def _logits(self) -> Callable[[tf.Tensor], tf.Tensor] | None:
        has_head = any(layer.name == "head" for layer in self.model.layers)
        return self._compile(logits_model(self.model)) if has_head else None

    @cached_property
    def _pooled(self) -> Callable[[tf.Tensor], tf.Tensor]:
        return self._compile(keras.Model(self.model.inputs, self.model.get_layer("pool").output))

    def _compile(self, network: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
        signature = [tf.TensorSpec((None, self.model.input_shape[1]), tf.uint8)]
        one_hot = OneHot()
        return tf.function(
            lambda codes: tf.cast(network(one_hot(codes), training=False), tf.float32),
            input_signature=None if self._jit else signature,
            jit_compile=self._jit,
        )

    def _in_batches(self, call: Callable[[tf.Tensor], tf.Tensor], codes: np.ndarray) -> np.ndarray:
        parts = []
        for first in range(0, max(len(codes), 1), _BATCH):
            batch = codes[first : first + _BATCH]
            missing = _BATCH - len(batch) if self._jit else 0
            padded = np.pad(batch, ((0, missing), (0, 0))) if missing else batch
            parts.append(call(tf.constant(padded)).numpy()[: len(batch)])
        return np.concatenate(parts)
