from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chromacc_data.errors import InputError
from chromacc_models.networks.options import NETWORK_NAMES, POOL_SCALES, default_options
from chromacc_models.training.config import TrainConfig, describe, load_config

FILE = """# a comment
network: factorization_machine
k: 7
learning_rate: 0.01   # high
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "train.yaml").write_text(FILE)
    return tmp_path / "train.yaml"


@pytest.mark.parametrize("network", NETWORK_NAMES)
def test_train_config__writes_out_the_defaults_of_its_network(network: str):
    config = TrainConfig(network=network)
    expected = default_options(network)
    if "pooling" in expected:
        expected["pool_scale"] = POOL_SCALES[expected["pooling"]]
    assert config.network_options == expected


@pytest.mark.parametrize("network", NETWORK_NAMES)
def test_load_config__reads_what_to_yaml_wrote(network: str, tmp_path: Path):
    config = TrainConfig(network=network, learning_rate=1e-5, fold=2, plateau_patience=3)
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    assert load_config(tmp_path / "config.yaml") == config


def test_load_config__file_then_settings(path: Path):
    assert load_config(path) == TrainConfig(network="factorization_machine", k=7, learning_rate=0.01)
    config = load_config(path, settings=["k=3", "patience = 20", "k=4", "pooling=max"])
    assert config == TrainConfig(
        network="factorization_machine", k=4, learning_rate=0.01, patience=20, pooling="max"
    )


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["kk=3"], "--set kk=3: unknown key"),
        (["k=three"], "--set k=three: a value of the wrong type"),
        (["learning_rate=-1"], "--set learning_rate=-1: out of range"),
        (["network=baseline"], "train.yaml with --set line 3, k: baseline has no such option"),
        (["k"], "--set: not a setting"),
        (["=3"], "--set: not a setting"),
        (["k=[1"], "--set k=[1: not YAML"),
    ],
)
def test_load_config__bad_setting(path: Path, settings: list[str], expected: str):
    with pytest.raises(InputError) as caught:
        load_config(path, settings=settings)
    assert str(caught.value).startswith(str(path.parent / expected) if expected[0] == "t" else expected)


def test_load_config__settings_alone():
    assert load_config(settings=["network=basset", "dropout=0.1"]).dropout == 0.1
    with pytest.raises(InputError, match="`network` is missing"):
        load_config(settings=["k=1"])


def test_load_config__no_such_file(tmp_path: Path):
    with pytest.raises(InputError, match="cannot be read"):
        load_config(tmp_path / "absent.yaml")


def test_train_config__option_of_another_network():
    with pytest.raises(InputError) as caught:
        TrainConfig(network="basset", k=5)
    assert caught.value.where == "k"
    assert caught.value.expected == "strands, scan_length, size, dropout"


def test_train_config__no_such_network():
    with pytest.raises(InputError, match="no such network"):
        TrainConfig(network="resnet")


def test_describe__has_every_key():
    table = describe()
    assert all(f"`{name}`" in table for name in TrainConfig.__dataclass_fields__)


@pytest.mark.parametrize(
    "values",
    [
        {"epochs": "3"}, {"epochs": 3.0}, {"epochs": True}, {"epochs": None}, {"epochs": 0},
        {"epochs": 10**12},
        {"learning_rate": 1e300}, {"learning_rate": float("nan")}, {"learning_rate": "0.1"},
        {"n_filters": 10**12}, {"batch_size": 10**12}, {"filter_width": 10**9}, {"l2": 1e300},
        {"fold": 77.5}, {"fold": 1000}, {"seed": -1}, {"seed": 2**70}, {"strands": "left"},
        {"initial_filters": 3}, {"train_filters": "no"}, {"network": ["baseline"]},
    ],
)  # fmt: skip
def test_train_config__bad_values(values: dict):
    with pytest.raises(InputError, match=next(iter(values))):
        TrainConfig(**{"network": "baseline", **values})


def test_train_config__numpy_numbers():
    config = TrainConfig(network="baseline", n_filters=np.int64(3), l2=np.float32(0.5), fold=np.int8(2))
    assert [type(value) for value in (config.n_filters, config.l2, config.fold)] == [int, float, int]
    assert load_config(settings=[line.replace(": ", "=") for line in config.to_yaml().splitlines()]) == config


@pytest.mark.parametrize(
    "value", ["!!python/object/apply:os.system [x]", "[" * 5000, "9" * 5000, "*a", r'"\0"']
)
def test_load_config__hostile_settings(value: str):
    with pytest.raises(InputError):
        load_config(settings=["network=baseline", f"epochs={value}"])
