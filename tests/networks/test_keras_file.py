"""`.keras` files that are refused before Keras sees them, and those that are not."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from chromacc_data.errors import InputError
from chromacc_models.networks.architectures import NETWORKS
from chromacc_models.networks.weights import load_network, require_sequences

MEMBERS = ("metadata.json", "config.json", "model.weights.h5")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("networks") / "toy.keras"
    sequence = keras.Input((20, 4), name="sequence")
    scan = keras.layers.Conv1D(3, 4, activation="relu", name="scan")(sequence)
    outputs = keras.layers.Dense(2, name="head")(keras.layers.GlobalMaxPooling1D()(scan))
    model = keras.Model(sequence, outputs)
    model.compile("adam", "mse")
    model.save(path)
    return path


def write(saved: Path, path: Path, *, compression: int = zipfile.ZIP_STORED, **changed: bytes) -> Path:
    """A copy with some members changed: `config`, `metadata` or `model` (the weights)."""
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(path, "w", compression) as new:
        for name in MEMBERS:
            new.writestr(name, changed.get(name.split(".")[0], old.read(name)))
    return path


def change_config(saved: Path, path: Path, change: Callable[[dict], None]) -> Path:
    config = json.loads(zipfile.ZipFile(saved).read("config.json"))
    change(config)
    return write(saved, path, config=json.dumps(config).encode())


def layer(config: dict, name: str) -> dict:
    return next(one for one in config["config"]["layers"] if one["name"] == name)


@pytest.mark.parametrize("network", NETWORKS)
def test_load_network__ours(network: str, tmp_path: Path):
    model = NETWORKS[network](600, 2, seed=1)
    model.save(tmp_path / "model.keras")
    again = load_network(tmp_path / "model.keras")
    require_sequences(again, where="model.keras")
    for mine, theirs in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_load_network__compiled_and_compressed(saved: Path, tmp_path: Path):
    assert load_network(saved).input_shape == (None, 20, 4)
    assert not load_network(saved).compiled
    packed = write(saved, tmp_path / "packed.keras", compression=zipfile.ZIP_DEFLATED)
    assert load_network(packed).output_shape == (None, 2)


def test_load_network__leaves_no_variable_behind(saved: Path):
    load_network(saved)
    with keras.StatelessScope():
        pass
    assert load_network(saved).weights[0].shape == (4, 4, 3)


LAMBDA = {
    "module": "keras.layers",
    "class_name": "Lambda",
    "config": {"name": "scan", "function": {"class_name": "__lambda__", "config": {"code": "4wA="}}},
    "registered_name": None,
}
CLASSES = {
    "lambda": lambda c: layer(c, "scan").update(LAMBDA),
    "another module": lambda c: layer(c, "scan").update(module="os", class_name="system"),
    "a module of Keras": lambda c: layer(c, "scan").update(module="keras.src.utils.file_utils"),
    "a function": lambda c: layer(c, "scan")["config"].update(
        activation={"module": "builtins", "class_name": "function", "config": "eval"}
    ),
    "an initializer from elsewhere": lambda c: layer(c, "scan")["config"].update(
        kernel_initializer={"module": "numpy", "class_name": "load", "config": {}, "registered_name": None}
    ),
    "a registered name": lambda c: layer(c, "scan").update(registered_name="other>Layer"),
    "a layer that reads files": lambda c: layer(c, "scan").update(class_name="StringLookup"),
    "a layer of TensorFlow": lambda c: layer(c, "scan").update(class_name="TFSMLayer"),
    "a network with its own losses": lambda c: layer(c, "scan").update(
        module="keras", class_name="Sequential",
        config={"layers": []}, compile_config={"loss": {"module": "os", "class_name": "abort"}},
    ),
    "a class that is no text": lambda c: layer(c, "scan").update(class_name=["Conv1D"]),
}  # fmt: skip


@pytest.mark.parametrize("change", CLASSES.values(), ids=CLASSES)
def test_load_network__classes_that_are_not_on_the_list(saved: Path, tmp_path: Path, change: Callable):
    path = change_config(saved, tmp_path / "model.keras", change)
    with pytest.raises(InputError, match="a class that is not loaded"):
        load_network(path)


SIZES = {
    "units": lambda c: layer(c, "head")["config"].update(units=10**9),
    "filters": lambda c: layer(c, "scan")["config"].update(filters=10**10),
    "kernel": lambda c: layer(c, "scan")["config"].update(kernel_size=[10**9], padding="same"),
}


@pytest.mark.parametrize("change", SIZES.values(), ids=SIZES)
def test_load_network__weights_that_the_file_does_not_hold(saved: Path, tmp_path: Path, change: Callable):
    path = change_config(saved, tmp_path / "model.keras", change)
    with pytest.raises(InputError) as caught:
        load_network(path)
    assert "weights are not in its file" in caught.value.what or "incompatible" in str(caught.value)


def test_load_network__layer_that_gives_too_much(saved: Path, tmp_path: Path):
    def pad(config: dict) -> None:
        layer(config, "sequence")["config"]["batch_shape"] = [None, 10**9, 4]

    with pytest.raises(InputError, match="gives too much"):
        load_network(change_config(saved, tmp_path / "model.keras", pad))


@pytest.mark.parametrize("name", ["metadata", "config", "model"])
def test_load_network__unpacks_to_too_much(saved: Path, tmp_path: Path, name: str):
    path = write(
        saved, tmp_path / "model.keras", compression=zipfile.ZIP_DEFLATED, **{name: b" " * (30 << 20)}
    )
    assert path.stat().st_size < 1 << 20
    with pytest.raises(InputError, match="unpack to too much"):
        load_network(path)


def test_load_network__other_members(saved: Path, tmp_path: Path):
    path = write(saved, tmp_path / "model.keras")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/../../../up.txt", "x")
    with pytest.raises(InputError, match="not the archive of a network") as caught:
        load_network(path)
    assert "up.txt" in str(caught.value)


BAD_CONFIGS = {
    "empty": b"", "no JSON": b"{", "a list": b"[]", "a text": b'"x"', "deep": b"[" * 100_000,
    "empty object": b"{}", "not UTF-8": b"\xff", "no class": b'{"config": {}}',
    "a class of nothing": b'{"module": "keras", "class_name": "Functional", "config": {}}',
}  # fmt: skip


@pytest.mark.parametrize("text", BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_load_network__bad_configurations(saved: Path, tmp_path: Path, text: bytes):
    with pytest.raises(InputError):
        load_network(write(saved, tmp_path / "model.keras", config=text))


def weights_with(saved: Path, change: Callable[[h5py.Group], None]) -> bytes:
    buffer = io.BytesIO(zipfile.ZipFile(saved).read("model.weights.h5"))
    with h5py.File(buffer, "r+") as file:
        group = file["layers/dense/vars"]
        del group["1"]
        change(group)
    return buffer.getvalue()


def virtual(group: h5py.Group) -> None:
    layout = h5py.VirtualLayout((2,), "float32")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(2,))
    group.create_virtual_dataset("1", layout)


ELSEWHERE = {
    "external link": lambda group: group.__setitem__("1", h5py.ExternalLink("/etc/passwd", "/x")),
    "soft link": lambda group: group.__setitem__("1", h5py.SoftLink("/layers/dense/vars/0")),
    "virtual": virtual,
    "external storage": lambda group: group.create_dataset(
        "1", (2,), "float32", external=[("/etc/passwd", 0, 8)]
    ),
    "larger than the file": lambda group: group.create_dataset(
        "1", (10**9,), "float32", chunks=(1000,), compression="gzip"
    ),
}


@pytest.mark.parametrize("change", ELSEWHERE.values(), ids=ELSEWHERE)
def test_load_network__weights_that_lead_elsewhere(saved: Path, tmp_path: Path, change: Callable):
    path = write(saved, tmp_path / "model.keras", model=weights_with(saved, change))
    with pytest.raises(InputError, match="this HDF5 file is refused"):
        load_network(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x89HDF\r\n\x1a\n", b"x" * 1000])
def test_load_network__no_archive(tmp_path: Path, content: bytes):
    (tmp_path / "model.keras").write_bytes(content)
    with pytest.raises(InputError, match="cannot be loaded"):
        load_network(tmp_path / "model.keras")


def test_load_network__without_suffix(saved: Path, tmp_path: Path):
    shutil.copyfile(saved, tmp_path / "download")
    assert load_network(tmp_path / "download").output_shape == (None, 2)


@pytest.mark.parametrize("shape", [(10,), (20, 5), (None, 4), (20, 4, 1)])
def test_require_sequences__other_inputs(shape: tuple):
    sequence = keras.Input(shape)
    outputs = keras.layers.Dense(1)(sequence)
    while len(outputs.shape) > 2:
        outputs = outputs[:, 0]
    with pytest.raises(InputError) as caught:
        require_sequences(keras.Model(sequence, outputs), where="x.keras")
    assert str((None, *shape)) in str(caught.value)
    assert "(None, length, 4)" in str(caught.value)
