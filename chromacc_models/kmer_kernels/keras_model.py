"""Networks that read base codes, and on a processor compute their front end by the k-mer kernels.

The result is a Keras model with the weights of the one that was given: training the one trains the other.
Only how it is computed changes, so the one to save is the plain one. Training computes by this;
what comes after it by :mod:`chromacc_models.scoring.keras_scorer`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from chromacc_data.progress import LOG
from chromacc_data.sequences.encoding import N_CODE
from chromacc_models.kmer_kernels.backends import backend_named, not_by_kernels
from chromacc_models.kmer_kernels.scan import FrontEnd, Pooled
from chromacc_models.networks.layers import BlockConv1D, GlobalPooling, KmerBlocks, OneHot, SequenceConv1D

__all__ = ["Accelerated", "accelerated"]

# Kernels from disk are ready sooner than this: only a longer wait is worth a line.
_NOTICEABLE_SECONDS = 1.0


class Accelerated(NamedTuple):
    """A network that reads base codes, and how it is computed."""

    #: Base codes (window, position), uint8, to what the given model gives.
    model: keras.Model
    #: "kernels" or "keras".
    backend: str
    #: Why this backend.
    reason: str

    @property
    def jit(self) -> bool:
        """Whether XLA can compile functions that call the model."""
        return self.backend == "keras"


def accelerated(model: keras.Model, backend: str = "auto") -> Accelerated:
    """The same network on base codes, computed by the backend that is asked for.

    "auto" takes kernels where no GPU is used and the network begins as the interpretable ones of
    :mod:`chromacc_models.networks.architectures` do: filters over one-hot DNA or its blocks, an activation,
    and pooling over the whole window. Where several places have the same maximum, kernels give the gradient
    to one of them and Keras shares it out; the sum is the same where they have the same bases.

    Parameters
    ----------
    model
        A built model that takes one-hot DNA (window, position, 4). Variables are shared, not copied.
    backend
        One of :data:`chromacc_models.kmer_kernels.backends.BACKENDS`.

    Raises
    ------
    InputError
        If the backend is unknown, or is "kernels" and the network does not begin so.
    """
    backend = backend_named(backend)
    if backend == "keras":
        return _plain(model, "it was asked for")
    try:
        found = _find_front_end(model)
    except _NotByKernelsError as obstacle:
        if backend == "kernels":
            raise not_by_kernels(obstacle) from None
        return _plain(model, str(obstacle))
    if backend == "auto" and tf.config.list_physical_devices("GPU"):
        return _plain(model, "there is a GPU")
    seconds = found.front_end.compile()
    if seconds > _NOTICEABLE_SECONDS:
        LOG.info("compiled the kernels in %.1f s; they are kept for the next time", seconds)
    reason = "it was asked for" if backend == "kernels" else "there is no GPU"
    return Accelerated(_by_kernels(model, found), "kernels", reason)


class _KernelPooling(keras.layers.Layer):
    """Base codes (window, position) to pooled activations (window, filter), with the weights of a layer."""

    def __init__(self, front_end: FrontEnd, filters: keras.layers.Layer) -> None:
        super().__init__(name="front_end")
        self.filters = filters  # Keras finds its variables and penalties by this attribute
        self.front_end = front_end
        self.supports_jit = False
        self.built = True

    def call(self, codes: Any) -> Any:
        bias = tf.zeros(self.front_end.n_filters) if self.filters.bias is None else self.filters.bias
        weights = [tf.convert_to_tensor(weight) for weight in (self.filters.kernel, bias)]
        if not self.filters.trainable:
            weights = [tf.stop_gradient(weight) for weight in weights]
        return _pooled(self.front_end, codes, *weights)

    def compute_output_spec(self, codes: Any) -> keras.KerasTensor:
        return keras.KerasTensor((codes.shape[0], self.front_end.n_filters), dtype="float32")


def _pooled(front_end: FrontEnd, codes: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """:meth:`FrontEnd.forward` as a TensorFlow operation with a gradient."""

    @tf.custom_gradient
    def pooled(codes: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> Any:
        outputs = tf.numpy_function(
            front_end.forward, (codes, kernel, bias), (tf.float32, tf.int32), stateful=False
        )
        values = tf.ensure_shape(outputs[0], (codes.shape[0], front_end.n_filters))

        def gradient(upstream: tf.Tensor) -> Any:
            inputs = codes, kernel, bias, *outputs, upstream
            of_kernel, of_bias = tf.numpy_function(
                _backward, inputs, (tf.float32, tf.float32), stateful=False
            )
            return None, tf.ensure_shape(of_kernel, kernel.shape), tf.ensure_shape(of_bias, bias.shape)

        return values, gradient

    def _backward(codes: Any, kernel: Any, bias: Any, values: Any, places: Any, upstream: Any) -> Any:
        return front_end.backward(codes, kernel, bias, Pooled(values, places), upstream)

    return pooled(codes, kernel, bias)


def _by_kernels(model: keras.Model, found: _Found) -> keras.Model:
    codes = keras.Input(model.input_shape[1:-1], dtype="uint8", name="codes")
    scanned = codes[:, found.scanned]
    if any(found.padding):
        scanned = keras.ops.pad(scanned, ((0, 0), found.padding), constant_values=N_CODE)
    pooled = _KernelPooling(found.front_end, found.filters)(scanned)
    head = keras.Model(found.pool.output, model.outputs)
    return keras.Model(codes, head(pooled), name=model.name)


def _plain(model: keras.Model, reason: str) -> Accelerated:
    codes = keras.Input(model.input_shape[1:-1], dtype="uint8", name="codes")
    return Accelerated(keras.Model(codes, model(OneHot()(codes)), name=model.name), "keras", reason)


class _NotByKernelsError(Exception):
    """What stands in the way of the kernels."""


class _Found(NamedTuple):
    """The front end that a network begins with, and the layers that it stands for."""

    front_end: FrontEnd
    #: Positions of the window that are scanned.
    scanned: slice
    #: Unknown bases before and behind them.
    padding: tuple[int, int]
    filters: keras.layers.Layer
    pool: keras.layers.Layer


def _find_front_end(model: keras.Model) -> _Found:
    pools = [layer for layer in model.layers if isinstance(layer, GlobalPooling)]
    if len(pools) != 1:
        raise _NotByKernelsError(f"{model.name} has no pooling over the whole window")
    pool = pools[0]
    activation = _layer_before(pool, keras.layers.Activation)
    filters = _layer_before(activation, SequenceConv1D, keras.layers.Conv1D, BlockConv1D)
    blocks = _layer_before(filters, KmerBlocks) if isinstance(filters, BlockConv1D) else None
    ends = keras.layers.Cropping1D, keras.layers.ZeroPadding1D
    first = _layer_before(blocks or filters, keras.layers.InputLayer, *ends)
    left, right = first.cropping if isinstance(first, keras.layers.Cropping1D) else (0, 0)
    padding = first.padding if isinstance(first, keras.layers.ZeroPadding1D) else (0, 0)
    if isinstance(first, ends):
        _layer_before(first, keras.layers.InputLayer)
    if filters.compute_dtype != "float32":
        raise _NotByKernelsError(f"filters in {filters.compute_dtype}; kernels are float32")
    try:
        front_end = FrontEnd(
            window_length=first.output.shape[1],
            n_filters=filters.filters,
            strands=getattr(filters, "strands", "forward"),
            activation=keras.activations.serialize(activation.activation),
            pooling=pool.mode,
            scale=pool.scale,
            **(_convolution(filters) if blocks is None else _block_convolution(filters, blocks)),
        )
    except ValueError as error:
        raise _NotByKernelsError(str(error)) from error
    return _Found(front_end, slice(left, model.input_shape[1] - right), tuple(padding), filters, pool)


def _layer_before(layer: keras.layers.Layer, *kinds: type) -> keras.layers.Layer:
    before = layer.input._keras_history.operation
    if not isinstance(before, kinds):
        raise _NotByKernelsError(f"layer {layer.name!r} follows {before.name!r}, a {type(before).__name__}")
    return before


def _convolution(filters: keras.layers.Conv1D) -> dict[str, int]:
    plain = {"strides": (1,), "padding": "valid", "groups": 1, "activation": keras.activations.linear}
    for name, value in plain.items():
        if getattr(filters, name) != value:
            raise _NotByKernelsError(f"filters with {name} {getattr(filters, name)}")
    return {"width": filters.kernel_size[0], "spacing": filters.dilation_rate[0]}


def _block_convolution(filters: BlockConv1D, blocks: KmerBlocks) -> dict[str, int]:
    return {"width": filters.width, "spacing": filters.n, "block_length": blocks.n}
