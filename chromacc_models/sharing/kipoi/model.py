"""The model class that Kipoi loads: predictions, activations and input gradients of a ``.keras`` file."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from kipoi.model import BaseModel, GradientMixin, LayerActivationMixin

from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import codes_from_one_hot
from chromacc_models.networks.weights import load_network
from chromacc_models.scoring.keras_scorer import KerasScorer, scorer_of
from chromacc_models.scoring.scorer import Scorer
from chromacc_models.sharing.kipoi.patches import ExpectationInFolder

__all__ = ["KipoiModel"]

#: Reductions of a layer's output to one number per sequence, by Kipoi's names.
_REDUCTIONS: dict[str, Callable[..., tf.Tensor]] = {
    "sum": tf.reduce_sum,
    "max": tf.reduce_max,
    "min": tf.reduce_min,
    "absmax": lambda values, axis: tf.reduce_max(tf.abs(values), axis=axis),
}


class KipoiModel(ExpectationInFolder, BaseModel, GradientMixin, LayerActivationMixin):
    """A network for ``kipoi``, named in ``model.yaml`` as ``chromacc_models.KipoiModel``.

    ``kipoi.model.KerasModel`` cannot serve layers and gradients under Keras 3, finds custom layers only
    through a file of code, and calls ``keras.Model.predict`` per batch, which is tens of times slower.

    Parameters
    ----------
    weights
        A plain ``.keras`` file (any name: Kipoi stores a download without suffix). It is loaded in Keras'
        safe mode: no code in it is run.
    sha256
        Checksum of the file; checked when given.
    engine
        How predictions are computed: see :func:`chromacc_models.scoring.keras_scorer.scorer_of`.
        Kernels read base codes, so a batch that is not exactly one-hot goes through Keras.

    Raises
    ------
    InputError
        If the file is missing, is no Keras file, or has another checksum.

    Notes
    -----
    Inputs are one-hot sequences, shape (sequence, position, 4), any real dtype, N all zeros.

    Examples
    --------
    >>> import tempfile, numpy as np, chromacc_models as cm
    >>> with tempfile.NamedTemporaryFile(suffix=".keras") as file:
    ...     cm.baseline(12, 2, n_filters=4, filter_width=6).save(file.name)
    ...     model = cm.KipoiModel(file.name)
    >>> model.predict_on_batch(np.zeros((3, 12, 4))).shape
    (3, 2)
    """

    #: Kipoi warns unless the dependencies in model.yaml name this.
    MODEL_PACKAGE = "chromacc"

    def __init__(self, weights: str, sha256: str | None = None, engine: str = "auto") -> None:
        self.model = load_network(Path(weights), sha256=sha256)
        self._functions: dict[object, Callable[[tf.Tensor], Any]] = {}
        self._engine = engine

    def predict_on_batch(self, x: np.ndarray) -> np.ndarray:
        """Predictions of a batch, shape (sequence, cell_type), float32."""
        one_hot = self._checked(x)
        if isinstance(self._scorer, Scorer):
            codes = _base_codes(one_hot)
            if codes is not None:
                return self.predict_codes(codes)
        return self._call("predictions", lambda: self.model.outputs, one_hot)[0]

    def predict_codes(self, codes: np.ndarray) -> np.ndarray:
        """Predictions for base codes (sequence, position), uint8: what the one-hot form of them gives."""
        return self._scorer.predict(codes)

    def predict_activation_on_batch(
        self, x: np.ndarray, layer: str | int, pre_nonlinearity: bool = False
    ) -> np.ndarray | list[np.ndarray]:
        """Output of one layer for a batch (``kipoi predict --layer``).

        Parameters
        ----------
        x
            One-hot sequences, shape (sequence, position, 4).
        layer
            Name or index of the layer, an index as a number or as text. Of a layer that is used several
            times, the first use.
        pre_nonlinearity
            Give the values before the layer's activation function.

        Returns
        -------
        np.ndarray
            Shape (sequence, …); a list of arrays for a layer of several outputs.
        """
        chosen = self._layer(layer)
        key = ("layer", chosen.name, pre_nonlinearity)
        outputs = self._call(key, lambda: _outputs(chosen, pre_nonlinearity), x)
        return outputs[0] if len(outputs) == 1 else outputs

    def input_grad(
        self,
        x: np.ndarray,
        filter_idx: int | slice | tuple | list | None = None,
        avg_func: str | None = None,
        layer: str | int | None = None,
        final_layer: bool = True,
        selected_fwd_node: None = None,
        pre_nonlinearity: bool = False,
    ) -> np.ndarray:
        """Gradient of a layer's output with respect to the input, shape and order of `x`, float32.

        Parameters
        ----------
        x
            One-hot sequences, shape (sequence, position, 4).
        filter_idx
            Which part of the output: an index or slice along its first axis after the sequences, or a tuple
            of them that begins with the sequences.
        avg_func
            ``"sum"``, ``"max"``, ``"min"`` or ``"absmax"`` over what `filter_idx` left, for each sequence by
            itself; the sum when not given.
        layer
            Name or index of the layer. A layer that is named is the one that is used.
        final_layer
            Use the network's output; what happens when no layer is named.
        selected_fwd_node
            Not used: kept for Kipoi's signature.
        pre_nonlinearity
            Take the output before the activation function: the logits, for the output layer.

        Raises
        ------
        InputError
            If neither `filter_idx` nor `avg_func` is given, or the layer is unknown.
        """
        if filter_idx is None and avg_func is None:
            raise InputError("give filter_idx, avg_func, or both", where="input_grad")
        if avg_func is not None and avg_func not in _REDUCTIONS:
            raise InputError(
                "unknown avg_func", where="input_grad", found=avg_func, expected=", ".join(_REDUCTIONS)
            )
        if selected_fwd_node is not None:
            raise InputError("selected_fwd_node is not supported", where="input_grad")
        if layer is None and not final_layer:
            raise InputError("name a layer, or leave final_layer on", where="input_grad")
        chosen = self._output_layer() if layer is None else self._layer(layer)
        part = _slices(filter_idx)
        key = ("gradient", chosen.name, pre_nonlinearity, repr(part), avg_func)
        if key not in self._functions:
            network = keras.Model(self.model.inputs, _outputs(chosen, pre_nonlinearity)[0])
            self._functions[key] = _gradient(network, part, _REDUCTIONS[avg_func or "sum"])
        return self._functions[key](tf.convert_to_tensor(self._checked(x))).numpy()

    def _call(self, key: object, outputs: Callable[[], list], x: np.ndarray) -> list[np.ndarray]:
        if key not in self._functions:
            network = keras.Model(self.model.inputs, outputs())
            signature = [tf.TensorSpec((None, *self.model.input_shape[1:]), tf.float32)]
            # One traced function for every batch size; keras.Model.predict costs about 20 ms a call.
            self._functions[key] = tf.function(
                lambda batch: keras.tree.flatten(network(batch, training=False)), input_signature=signature
            )
        return [output.numpy() for output in self._functions[key](tf.convert_to_tensor(self._checked(x)))]

    @functools.cached_property
    def _scorer(self) -> Scorer | KerasScorer:
        return scorer_of(self.model, self._engine)

    def _checked(self, x: np.ndarray) -> np.ndarray:
        shape = self.model.input_shape[1:]
        if np.ndim(x) != 1 + len(shape) or any(
            n not in (None, m) for n, m in zip(shape, np.shape(x)[1:], strict=True)
        ):
            raise InputError(
                "inputs of another shape",
                where=f"model {self.model.name!r}",
                found=np.shape(x),
                expected=f"(sequence, {', '.join(map(str, shape))})",
                remedy="give the loader the window_length of the model",
            )
        return np.asarray(x, dtype=np.float32)

    def _layer(self, layer: str | int) -> keras.Layer:
        names = [one.name for one in self.model.layers]
        if isinstance(layer, str) and layer in names:
            return self.model.get_layer(layer)
        try:
            return self.model.layers[int(layer)]
        except (ValueError, IndexError):
            raise InputError(
                "no such layer",
                where=f"model {self.model.name!r}",
                found=repr(layer),
                expected=f"one of {', '.join(names)}, or an index below {len(names)}",
            ) from None

    def _output_layer(self) -> keras.Layer:
        final = self.model.outputs[0]
        return next(
            layer
            for layer in reversed(self.model.layers)
            if any(output is final for output in keras.tree.flatten(layer.output))
        )


def _base_codes(one_hot: np.ndarray) -> np.ndarray | None:
    """Base codes of one-hot rows, float32; None unless every row is exactly one-hot or all zeros."""
    rows = one_hot.astype(np.uint8)
    if not np.array_equal(rows, one_hot):
        return None
    try:
        return codes_from_one_hot(rows)
    except ValueError:
        return None


def _outputs(layer: keras.Layer, pre_nonlinearity: bool) -> list:
    """Symbolic outputs of a layer, before its activation function if wished."""
    activation = getattr(layer, "activation", None)
    if not pre_nonlinearity or activation in (None, keras.activations.linear):
        return keras.tree.flatten(layer.output)
    # The same layer with the same weights and no activation, called on the same input.
    linear = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    output = linear(layer.input)
    linear.set_weights(layer.get_weights())
    return keras.tree.flatten(output)


def _slices(filter_idx: int | slice | tuple | list | None) -> tuple:
    if filter_idx is None:
        return (slice(None),)
    parts = tuple(filter_idx) if isinstance(filter_idx, (tuple, list)) else (filter_idx,)
    return parts if len(parts) > 1 else (slice(None), *parts)


def _gradient(network: keras.Model, part: tuple, reduce: Callable[..., tf.Tensor]) -> Callable:
    @tf.function
    def gradient(batch: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(batch)
            chosen = network(batch, training=False)[part]
            # A sum over sequences: each sequence's gradient is its own.
            per_sequence = reduce(tf.reshape(chosen, (tf.shape(chosen)[0], -1)), axis=1)
            total = tf.reduce_sum(per_sequence)
        return tape.gradient(total, batch, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    return gradient
