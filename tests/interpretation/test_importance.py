"""Importance of filters: hand-made heads, finite differences, and the law of the scaling."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from chromacc_data.errors import InputError
from chromacc_models.interpretation.importance import filter_importance, pooled_activations
from chromacc_models.networks.architectures import baseline, basset, factorization_machine, logits_model


@pytest.fixture
def windows() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4, (60, 30), dtype=np.uint8)


def machine(rng: np.random.Generator, *, linear: float = 1.0) -> keras.Model:
    model = factorization_machine(30, 2, n_filters=3, filter_width=5, k=4, pooling="max", strands="forward")
    head = model.get_layer("head")
    head.kernel.assign(linear * rng.normal(size=head.kernel.shape))
    head.vectors.assign(rng.normal(size=head.vectors.shape))
    return model


def test_filter_importance__of_a_baseline(windows: np.ndarray):
    model = baseline(30, 2, n_filters=3, filter_width=5, pooling="max", strands="forward")
    model.get_layer("head").kernel.assign([[3.0, 4.0], [0.0, 0.0], [0.0, -1.0]])
    spread = pooled_activations(model, windows).std(axis=0)
    expected = spread * np.sqrt([12.5, 0, 0.5])
    np.testing.assert_allclose(filter_importance(model, windows), expected, rtol=1e-5)


@pytest.mark.parametrize("linear", [1.0, 0.0])
def test_filter_importance__of_machines_by_finite_differences(windows: np.ndarray, linear: float):
    model = machine(np.random.default_rng(1), linear=linear)
    # A network from pooled activations to logits.
    logits = logits_model(model)
    head = keras.Model(logits.get_layer("pool").output, logits.output)
    x, step = pooled_activations(model, windows), 0.01
    slopes = []
    for i in range(3):
        shifts = step * np.eye(3, dtype=np.float32)[i]
        up, down = (keras.ops.convert_to_numpy(head(x + sign * shifts)) for sign in (1, -1))
        slopes.append(np.sqrt(np.mean(np.square((up - down) / (2 * step)))))
    found = filter_importance(model, windows)
    assert (found > 0).all()
    np.testing.assert_allclose(found, x.std(axis=0) * slopes, rtol=1e-3)


def test_filter_importance__a_rescaled_filter_changes_nothing(windows: np.ndarray):
    model = machine(np.random.default_rng(2))
    before = filter_importance(model, windows)
    filters, head = model.get_layer("filters"), model.get_layer("head")
    scale = np.array([0.1, 1.0, 7.0], dtype=np.float32)
    filters.kernel.assign(filters.kernel * scale)
    filters.bias.assign(filters.bias * scale)
    head.kernel.assign(head.kernel / scale[:, None])
    head.vectors.assign(head.vectors / scale[:, None, None])
    np.testing.assert_allclose(filter_importance(model, windows), before, rtol=1e-4)


def test_filter_importance__needs_pooling_over_the_window():
    model = basset(600, 2, size=0.05)
    with pytest.raises(InputError, match="cannot be ranked"):
        filter_importance(model, np.zeros((2, 600), dtype=np.uint8))
