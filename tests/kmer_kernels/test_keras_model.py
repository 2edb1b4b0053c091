"""Accelerated networks against the plain ones: same outputs, gradients, variables and training."""

from __future__ import annotations

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import one_hot
from chromacc_models.kmer_kernels import keras_model as accelerate
from chromacc_models.kmer_kernels.keras_model import accelerated
from chromacc_models.networks.architectures import NETWORKS, logits_model

WINDOW_LENGTH = 90
N_CELL_TYPES = 3
TABLE_NETWORKS = ("baseline", "factorization_machine", "motif_builder", "motif_builder of free tables")


def make_network(name: str = "baseline", **options: object) -> keras.Model:
    small = {"size": 0.02} if name == "basset" else {"n_filters": 7}
    length = 600 if name == "basset" else WINDOW_LENGTH
    if name.endswith("free tables"):
        name, options = "motif_builder", {"tables": "free", **options}
    return NETWORKS[name](length, N_CELL_TYPES, seed=3, **{**small, **options})


def make_batch(n_windows: int = 9, window_length: int = WINDOW_LENGTH) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 4, (n_windows, window_length), dtype=np.uint8)
    codes[0, 20:30] = 4
    return codes, rng.integers(0, 2, (n_windows, N_CELL_TYPES)).astype(np.float32)


def loss_and_gradients(model: keras.Model, inputs: np.ndarray, labels: np.ndarray) -> tuple[float, list]:
    with tf.GradientTape() as tape:
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, model(inputs, training=True))
        loss = tf.reduce_mean(losses) + sum(model.losses)
    return float(loss), tape.gradient(loss, model.trainable_variables)


@pytest.mark.parametrize("strands", ["forward", "both"])
@pytest.mark.parametrize("pooling", ["average", "max", "logsumexp"])
@pytest.mark.parametrize("activation", ["relu", "exponential"])
@pytest.mark.parametrize("name", TABLE_NETWORKS)
def test_accelerated__equals_plain_network(name, activation, pooling, strands):
    network = make_network(name, activation=activation, pooling=pooling, strands=strands, pool_scale=3.0)
    # Biases away from 0, where ReLU has its kink.
    network.get_layer("filters").bias.assign(np.linspace(-0.2, 0.2, 7))
    codes, labels = make_batch()

    fast = accelerated(network, "kernels")
    np.testing.assert_allclose(fast.model(codes), network(one_hot(codes, dtype=np.float32)), rtol=1e-5)

    plain_logits, fast_logits = logits_model(network), accelerated(logits_model(network), "kernels").model
    plain_loss, plain = loss_and_gradients(plain_logits, one_hot(codes, dtype=np.float32), labels)
    fast_loss, quick = loss_and_gradients(fast_logits, codes, labels)
    assert fast_loss == pytest.approx(plain_loss, rel=1e-5)
    for variable, expected, found in zip(network.trainable_variables, plain, quick, strict=True):
        size = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * size, err_msg=variable.path)


@pytest.mark.parametrize("scan_length", [57, WINDOW_LENGTH + 9])
@pytest.mark.parametrize("name", TABLE_NETWORKS)
def test_accelerated__scans_the_middle_of_the_window_or_beyond_it(name, scan_length):
    network = make_network(name, scan_length=scan_length, pool_scale=3.0)
    codes, _ = make_batch()
    fast = accelerated(network, "kernels")
    np.testing.assert_allclose(fast.model(codes), network(one_hot(codes, dtype=np.float32)), rtol=1e-5)
    assert fast.model.input_shape == (None, WINDOW_LENGTH)


@pytest.mark.parametrize("backend", ["kernels", "keras"])
@pytest.mark.parametrize("name", TABLE_NETWORKS)
def test_accelerated__shares_variables_and_penalties(name, backend):
    network = make_network(name, l2=0.01)
    fast = accelerated(network, backend).model
    assert [id(v) for v in fast.trainable_variables] == [id(v) for v in network.trainable_variables]
    np.testing.assert_allclose(fast.losses, network.losses)
    assert fast.name == network.name
    assert fast.input_shape == (None, WINDOW_LENGTH)
    assert fast.output_shape == network.output_shape


def test_accelerated__trains_the_plain_network():
    """Keras' own fit, and the compiled step of our training: the given network has learned."""
    network = make_network()
    codes, labels = make_batch(64)
    expected = keras.models.clone_model(network)
    expected.set_weights(network.get_weights())
    fast = accelerated(network, "kernels").model
    for model, inputs in ((fast, codes), (expected, one_hot(codes, dtype=np.float32))):
        model.compile(keras.optimizers.SGD(0.1), "binary_crossentropy")
        model.fit(inputs, labels, batch_size=16, epochs=3, shuffle=False, verbose=0)
    for found, wanted in zip(network.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)


def test_accelerated__frozen_filters_have_no_gradient(monkeypatch):
    network = make_network(train_filters=False)
    fast = accelerated(network, "kernels").model
    monkeypatch.setattr(
        accelerate.FrontEnd, "backward", lambda *args: pytest.fail("gradient of frozen filters")
    )
    codes, labels = make_batch()
    _, gradients = loss_and_gradients(fast, codes, labels)
    assert len(gradients) == len(network.get_layer("head").trainable_variables)


def test_accelerated__plain_convolution_of_others():
    """A Keras model that was not made here, with dilation and without bias."""
    sequence = keras.Input((WINDOW_LENGTH, 4))
    scans = keras.layers.Conv1D(5, 4, dilation_rate=3, use_bias=False)(sequence)
    pooled = accelerate.GlobalPooling("max")(keras.layers.Activation("relu")(scans))
    network = keras.Model(sequence, keras.layers.Dense(N_CELL_TYPES)(pooled))
    codes, labels = make_batch()
    fast = accelerated(network, "kernels").model
    np.testing.assert_allclose(fast(codes), network(one_hot(codes, dtype=np.float32)), rtol=1e-5, atol=1e-6)
    _, expected = loss_and_gradients(network, one_hot(codes, dtype=np.float32), labels)
    _, found = loss_and_gradients(fast, codes, labels)
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


def test_accelerated__auto_without_gpu():
    chosen = accelerated(make_network())
    assert (chosen.backend, chosen.jit) == ("kernels", False)


def test_accelerated__auto_with_gpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0"])
    chosen = accelerated(make_network())
    assert (chosen.backend, chosen.jit, chosen.reason) == ("keras", True, "there is a GPU")


def test_accelerated__basset_stays_keras():
    network = make_network("basset")
    codes, _ = make_batch(2, 600)
    chosen = accelerated(network)
    assert chosen.backend == "keras"
    assert chosen.reason == "basset has no pooling over the whole window"
    np.testing.assert_allclose(chosen.model(codes), network(one_hot(codes, dtype=np.float32)), rtol=1e-5)
    with pytest.raises(InputError, match="cannot be computed by kernels"):
        accelerated(network, "kernels")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"padding": "same"}, "filters with padding same"),
        ({"strides": 2}, "filters with strides (2,)"),
        ({"activation": "relu"}, "filters with activation"),
        ({"dtype": "bfloat16"}, "filters in bfloat16"),
    ],
)
def test_accelerated__other_convolutions_stay_keras(change, reason):
    sequence = keras.Input((WINDOW_LENGTH, 4))
    scans = keras.layers.Conv1D(5, 4, **change)(sequence)
    pooled = accelerate.GlobalPooling()(keras.layers.Activation("relu")(scans))
    chosen = accelerated(keras.Model(sequence, keras.layers.Dense(1)(pooled)))
    assert chosen.backend == "keras"
    assert chosen.reason.startswith(reason)


def test_accelerated__other_activation_stays_keras():
    sequence = keras.Input((WINDOW_LENGTH, 4))
    activated = keras.layers.Activation("tanh")(keras.layers.Conv1D(5, 4)(sequence))
    chosen = accelerated(keras.Model(sequence, accelerate.GlobalPooling()(activated)))
    assert chosen.reason.startswith("activation is 'tanh'")


def test_accelerated__unknown_backend():
    with pytest.raises(InputError, match="unknown backend"):
        accelerated(make_network(), "fast")


def test_accelerated__tells_of_a_long_compilation(monkeypatch, caplog):
    monkeypatch.setattr(accelerate.FrontEnd, "compile", lambda front_end: 3.21)
    with caplog.at_level(logging.INFO, logger="chromacc"):
        accelerated(make_network())
    assert "compiled the kernels in 3.2 s" in caplog.text
