"""What only Keras can say of a network: outputs of its layers, and gradients of them by the input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from chromacc_data.errors import InputError

__all__ = ["KerasOutputs"]

#: Reductions of a layer's output to one number per sequence, by Kipoi's names.
_REDUCTIONS: dict[str, Callable[..., tf.Tensor]] = {
    "sum": tf.reduce_sum,
    "max": tf.reduce_max,
    "min": tf.reduce_min,
    "absmax": lambda values, axis: tf.reduce_max(tf.abs(values), axis=axis),
}


class KerasOutputs:
    """Outputs and gradients of a network for batches of one-hot sequences, (sequence, position, 4) float32.

    Functions are traced once, for every batch size: `keras.Model.predict` costs about 20 ms a call.

    Parameters
    ----------
    model
        The network.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._functions: dict[object, Callable[[tf.Tensor], Any]] = {}

    def predictions(self, one_hot: np.ndarray) -> np.ndarray:
        """What the network gives, (sequence, cell_type) float32."""
        return self._call("predictions", lambda: self._model.outputs, one_hot)[0]

    def of_layer(self, one_hot: np.ndarray, layer: str | int, *, before: bool) -> list[np.ndarray]:
        """Outputs of a layer, by its name or index; `before` its activation function if wished."""
        chosen = self._layer(layer)
        return self._call(("layer", chosen.name, before), lambda: _outputs(chosen, before), one_hot)

    def gradient(
        self, one_hot: np.ndarray, layer: str | int | None, *, part: tuple, reduction: str, before: bool
    ) -> np.ndarray:
        """Gradient by the input, of its shape, of one number per sequence.

        Parameters
        ----------
        one_hot
            The sequences.
        layer
            Name or index of a layer; the last one when None.
        part
            Index of the layer's output, beginning with the sequences.
        reduction
            How what is left becomes one number: "sum", "max", "min" or "absmax".
        before
            Take the output before the activation function.
        """
        chosen = self._output_layer() if layer is None else self._layer(layer)
        key = ("gradient", chosen.name, before, repr(part), reduction)
        if key not in self._functions:
            network = keras.Model(self._model.inputs, _outputs(chosen, before)[0])
            self._functions[key] = _gradient(network, part, _REDUCTIONS[reduction])
        return self._functions[key](tf.convert_to_tensor(one_hot)).numpy()

    def _call(self, key: object, outputs: Callable[[], list], one_hot: np.ndarray) -> list[np.ndarray]:
        if key not in self._functions:
            network = keras.Model(self._model.inputs, outputs())
            signature = [tf.TensorSpec((None, *self._model.input_shape[1:]), tf.float32)]
            self._functions[key] = tf.function(
                lambda batch: keras.tree.flatten(network(batch, training=False)), input_signature=signature
            )
        return [output.numpy() for output in self._functions[key](tf.convert_to_tensor(one_hot))]

    def _layer(self, layer: str | int) -> keras.Layer:
        names = [one.name for one in self._model.layers]
        if isinstance(layer, str) and layer in names:
            return self._model.get_layer(layer)
        try:
            return self._model.layers[int(layer)]
        except (ValueError, IndexError):
            raise InputError(
                "no such layer",
                where=f"model {self._model.name!r}",
                found=repr(layer),
                expected=f"one of {', '.join(names)}, or an index below {len(names)}",
            ) from None

    def _output_layer(self) -> keras.Layer:
        final = self._model.outputs[0]
        return next(
            layer
            for layer in reversed(self._model.layers)
            if any(output is final for output in keras.tree.flatten(layer.output))
        )


def _outputs(layer: keras.Layer, before: bool) -> list:
    """Symbolic outputs of a layer, before its activation function if wished."""
    activation = getattr(layer, "activation", None)
    if not before or activation in (None, keras.activations.linear):
        return keras.tree.flatten(layer.output)
    # The same layer with the same weights and no activation, called on the same input.
    linear = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    output = linear(layer.input)
    linear.set_weights(layer.get_weights())
    return keras.tree.flatten(output)


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
