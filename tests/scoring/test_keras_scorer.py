"""Whatever computes a network in memory gives what the network itself gives."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import one_hot
from chromacc_models.kmer_kernels.backends import BACKENDS, backend_named
from chromacc_models.networks.architectures import NETWORKS, logits_model
from chromacc_models.scoring.keras_scorer import KerasScorer, logits_of, scorer_of
from chromacc_models.scoring.scorer import Scorer

LENGTH = 180
SMALL = {
    "baseline": {"n_filters": 4, "filter_width": 6, "scan_length": 100, "dropout": 0.2},
    "factorization_machine": {"n_filters": 4, "filter_width": 6, "k": 2, "scan_length": 190},
    "motif_builder": {"n_filters": 4, "filter_blocks": 2, "block_length": 3, "train_filters": False},
    "basset": {"size": 0.02},
}
CODES = np.random.default_rng(0).integers(0, 5, (300, LENGTH), dtype=np.uint8)


def build(network: str) -> keras.Model:
    model = NETWORKS[network](LENGTH, 2, **SMALL[network])
    head = model.get_layer("head")
    head.set_weights([np.random.default_rng(1).normal(size=w.shape) for w in head.get_weights()])
    return model


@pytest.mark.parametrize("backend", ["auto", "kernels", "keras"])
@pytest.mark.parametrize("network", NETWORKS)
def test_scorer_of__gives_what_the_network_gives(network: str, backend: str):
    model = build(network)
    if (network, backend) == ("basset", "kernels"):
        with pytest.raises(InputError, match="cannot be computed by kernels"):
            scorer_of(model, backend)
        return
    scorer = scorer_of(model, backend)
    assert isinstance(scorer, KerasScorer if network == "basset" or backend == "keras" else Scorer)
    inputs = one_hot(CODES, dtype=np.float32)
    assert scorer.n_cell_types == 2
    assert scorer.predict(CODES).dtype == scorer.logits(CODES).dtype == np.float32
    np.testing.assert_allclose(scorer.predict(CODES), model(inputs), atol=2e-6)
    np.testing.assert_allclose(scorer.logits(CODES), logits_model(model)(inputs), rtol=1e-5, atol=2e-5)
    for few in (CODES[:0], CODES[:1], CODES[:7]):
        assert scorer.predict(few).shape == (len(few), 2)
        np.testing.assert_allclose(scorer.predict(few), scorer.predict(CODES)[: len(few)], atol=1e-6)
    if network != "basset":
        pool = keras.Model(model.input, model.get_layer("pool").output)
        np.testing.assert_allclose(scorer.pool(CODES), pool(inputs), rtol=1e-4, atol=1e-5)


def test_scorer_of__a_network_of_another_form():
    dense = keras.layers.Dense(1, activation="sigmoid", kernel_initializer="ones")
    model = keras.Sequential([keras.Input((LENGTH, 4)), keras.layers.Flatten(), dense])
    scorer = scorer_of(model)
    assert isinstance(scorer, KerasScorer)
    np.testing.assert_allclose(scorer.predict(CODES[:3]), model(one_hot(CODES[:3], dtype=np.float32)))
    flat = keras.Input((4,))
    assert isinstance(scorer_of(keras.Model(flat, keras.layers.Dense(1)(flat))), KerasScorer)


def test_scorer_of__on_a_gpu_keras_computes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: [kind])
    assert isinstance(scorer_of(build("baseline")), KerasScorer)


def test_logits_of__at_the_ends():
    np.testing.assert_allclose(logits_of(np.array([0.0, 0.5, 1.0])), [-16.118, 0, 16.118], atol=1e-3)


def test_backend_named__earlier_and_unknown_names():
    assert [backend_named(name) for name in (*BACKENDS, "tables")] == [*BACKENDS, "kernels"]
    with pytest.raises(InputError, match="unknown backend"):
        backend_named("cuda")
