"""The model class against Keras, by hand, and by finite differences."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from chromacc_data.errors import InputError
from chromacc_data.files import file_digest
from chromacc_models.networks.architectures import baseline
from chromacc_models.networks.layers import FactorizationMachine, GlobalPooling, SequenceConv1D
from chromacc_models.networks.weights import load_network
from chromacc_models.sharing.kipoi.model import KipoiModel

LENGTH = 12


def network() -> keras.Model:
    keras.utils.set_random_seed(3)
    sequence = keras.Input((LENGTH, 4), name="sequence")
    scan = SequenceConv1D(5, 3, strands="both", activation="relu", name="scan")(sequence)
    pooled = GlobalPooling("max", name="pool")(scan)
    logits = FactorizationMachine(3, 2, name="head")(pooled)
    return keras.Model(sequence, keras.layers.Activation("sigmoid", name="probability")(logits), name="toy")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "model.keras"
    network().save(path)
    return path


@pytest.fixture(scope="module")
def model(weights: Path) -> KipoiModel:
    return KipoiModel(str(weights))


@pytest.fixture
def sequences() -> np.ndarray:
    codes = np.random.default_rng(0).integers(0, 5, (7, LENGTH))
    return np.eye(5, 4, dtype=np.float32)[codes]  # with N


def test_predict_on_batch__without_tensorflow(sequences: np.ndarray, tmp_path: Path):
    """Layers, and inputs that are not one-hot, are Keras' part."""
    np.save(tmp_path / "sequences.npy", sequences)
    weights = tmp_path / "model.keras"
    baseline(LENGTH, 3, n_filters=5, filter_width=4).save(weights)
    code = f"""
import sys
import numpy as np
import chromacc_models as cm
sequences = np.load({str(tmp_path / "sequences.npy")!r})
model = cm.KipoiModel({str(weights)!r})
found = model.predict_on_batch(sequences)
assert "tensorflow" not in sys.modules
np.testing.assert_allclose(model.predict_on_batch(sequences + 0.0001), found, atol=1e-3)
assert "tensorflow" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_package__unknown_name():
    import chromacc_models

    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        chromacc_models.Nothing  # noqa: B018


def test_predict_on_batch__equals_keras(model: KipoiModel, sequences: np.ndarray):
    expected = network().predict(sequences, verbose=0)
    np.testing.assert_allclose(model.predict_on_batch(sequences), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_predict_on_batch__any_dtype_and_size(model: KipoiModel, sequences: np.ndarray, dtype: type):
    whole = model.predict_on_batch(sequences)
    parts = [model.predict_on_batch(sequences[i : i + 3].astype(dtype)) for i in range(0, 7, 3)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)
    assert whole.dtype == np.float32


@pytest.mark.parametrize("shape", [(2, LENGTH + 1, 4), (2, LENGTH), (LENGTH, 4)])
def test_predict_on_batch__other_shape(model: KipoiModel, shape: tuple):
    with pytest.raises(InputError, match="inputs of another shape") as error:
        model.predict_on_batch(np.zeros(shape))
    assert error.value.expected == f"(sequence, {LENGTH}, 4)"


def test_predict_activation_on_batch__scan_by_hand(model: KipoiModel, sequences: np.ndarray):
    kernel, bias = model.model.get_layer("scan").get_weights()
    expected = np.array(
        [
            [
                [
                    [
                        np.sum(one[i : i + 3] * (kernel[..., f], kernel[::-1, ::-1, f])[s]) + bias[f]
                        for f in range(5)
                    ]
                    for s in range(2)
                ]
                for i in range(LENGTH - 2)
            ]
            for one in sequences
        ]
    )
    before = model.predict_activation_on_batch(sequences, "scan", pre_nonlinearity=True)
    np.testing.assert_allclose(before, expected, atol=1e-5)
    np.testing.assert_allclose(
        model.predict_activation_on_batch(sequences, "scan"), np.maximum(expected, 0), atol=1e-5
    )


def test_predict_activation_on_batch__by_index(model: KipoiModel, sequences: np.ndarray):
    by_name = model.predict_activation_on_batch(sequences, "pool")
    for index in (2, "2", -3):
        np.testing.assert_array_equal(model.predict_activation_on_batch(sequences, index), by_name)


def test_predict_activation_on_batch__output_before_sigmoid_is_logits(
    model: KipoiModel, sequences: np.ndarray
):
    logits = model.predict_activation_on_batch(sequences, "probability", pre_nonlinearity=True)
    np.testing.assert_allclose(logits, model.predict_activation_on_batch(sequences, "head"), atol=1e-6)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), model.predict_on_batch(sequences), atol=1e-6)


@pytest.mark.parametrize("layer", ["nothing", 99, "99"])
def test_predict_activation_on_batch__unknown_layer(
    model: KipoiModel, sequences: np.ndarray, layer: str | int
):
    with pytest.raises(InputError, match="no such layer") as error:
        model.predict_activation_on_batch(sequences, layer)
    assert "scan" in str(error.value)


@pytest.mark.parametrize(
    ("reduce", "by_hand"),
    [
        ("sum", lambda v: v.sum(axis=1)),
        ("max", lambda v: v.max(axis=1)),
        ("min", lambda v: v.min(axis=1)),
        ("absmax", lambda v: abs(v).max(axis=1)),
    ],
)
@pytest.mark.parametrize(("layer", "before"), [(None, True), (None, False), ("scan", True)])
def test_input_grad__equals_finite_differences(
    model: KipoiModel, sequences: np.ndarray, reduce: str, by_hand, layer: str | None, before: bool
):
    def value(batch: np.ndarray) -> np.ndarray:
        outputs = model.predict_activation_on_batch(batch, layer or "probability", pre_nonlinearity=before)
        return by_hand(outputs.reshape(len(batch), -1).astype(float))

    gradient = model.input_grad(sequences, avg_func=reduce, layer=layer, pre_nonlinearity=before)
    assert gradient.shape == sequences.shape
    step = 1e-2
    for position, base in [(0, 0), (4, 2), (11, 3)]:
        up, down = sequences.copy(), sequences.copy()
        up[:, position, base] += step
        down[:, position, base] -= step
        expected = (value(up) - value(down)) / (2 * step)
        # Kinks of max and relu are met rarely: most sequences must agree closely.
        close = np.isclose(gradient[:, position, base], expected, atol=2e-3)
        assert close.mean() > 0.7


def test_input_grad__one_cell_type(model: KipoiModel, sequences: np.ndarray):
    parts = [model.input_grad(sequences, filter_idx=i) for i in range(3)]
    np.testing.assert_allclose(sum(parts), model.input_grad(sequences, avg_func="sum"), atol=1e-6)
    np.testing.assert_allclose(
        model.input_grad(sequences, filter_idx=slice(1, 3)), parts[1] + parts[2], atol=1e-6
    )
    np.testing.assert_allclose(model.input_grad(sequences, filter_idx=(slice(None), 1)), parts[1], atol=1e-6)


def test_input_grad__sequences_do_not_mix(model: KipoiModel, sequences: np.ndarray):
    whole = model.input_grad(sequences, avg_func="absmax", layer="scan")
    alone = [model.input_grad(sequences[i : i + 1], avg_func="absmax", layer="scan") for i in range(7)]
    np.testing.assert_allclose(whole, np.concatenate(alone), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give filter_idx"),
        ({"avg_func": "median"}, "unknown avg_func"),
        ({"avg_func": "sum", "selected_fwd_node": 1}, "not supported"),
        ({"avg_func": "sum", "final_layer": False}, "name a layer"),
        ({"avg_func": "sum", "layer": "nothing"}, "no such layer"),
    ],
)
def test_input_grad__bad_arguments(model: KipoiModel, sequences: np.ndarray, options: dict, message: str):
    with pytest.raises(InputError, match=message):
        model.input_grad(sequences, **options)


def test_model__checksum(weights: Path):
    assert KipoiModel(str(weights), sha256=file_digest(weights)).model.name == "toy"
    with pytest.raises(InputError, match="another checksum") as error:
        KipoiModel(str(weights), sha256="0" * 64)
    assert error.value.found == file_digest(weights)


def test_load_network__download_without_suffix(weights: Path, tmp_path: Path):
    download = tmp_path / "d41d8cd98f00b204e9800998ecf8427e"
    download.write_bytes(weights.read_bytes())
    assert load_network(download).name == "toy"


def test_load_network__missing(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        load_network(tmp_path / "model.keras")


@pytest.mark.parametrize("keep", [0, 100, 2000])
def test_load_network__truncated(weights: Path, tmp_path: Path, keep: int):
    broken = tmp_path / "model.keras"
    broken.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(InputError, match="cannot be loaded"):
        load_network(broken)


def test_load_network__refuses_code(tmp_path: Path):
    sequence = keras.Input((LENGTH, 4))
    path = tmp_path / "model.keras"
    keras.Model(sequence, keras.layers.Lambda(lambda x: x[:, :, 0])(sequence)).save(path)
    with pytest.raises(InputError, match="a class that is not loaded"):
        load_network(path)


def test_expectation__is_in_the_models_folder(weights: Path, tmp_path: Path):
    model = KipoiModel(str(weights))
    model.test = SimpleNamespace(expect="expected.h5")
    model.source_dir = str(tmp_path)
    assert model.test.expect == str(tmp_path / "expected.h5")
    model.test.expect = "/elsewhere.h5"
    assert model.test.expect == "/elsewhere.h5"
