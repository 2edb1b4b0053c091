"""Options of the networks stand once: whatever lists them reads the declaration."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from chromacc_data.errors import InputError
from chromacc_models.kmer_kernels import mutate, scan
from chromacc_models.networks.options import (
    NETWORK_NAMES,
    POOL_SCALES,
    POOLINGS,
    NetworkOptions,
    default_options,
)
from chromacc_models.training.config import TrainConfig, describe


@pytest.mark.parametrize("network", NETWORK_NAMES)
def test_network_options__defaults_are_valid_and_written_out(network: str):
    options = NetworkOptions(network)
    defaults = default_options(network)
    expected = defaults if defaults.get("pool_scale", 0) is not None else {
        **defaults, "pool_scale": POOL_SCALES[defaults["pooling"]],
    }  # fmt: skip
    assert options.network_options == expected
    assert NetworkOptions(network, **options.network_options) == options


def test_network_options__are_the_first_keys_of_a_configuration():
    names = [field.name for field in dataclasses.fields(NetworkOptions)]
    assert [field.name for field in dataclasses.fields(TrainConfig)][: len(names)] == names
    table = describe()
    for field in dataclasses.fields(NetworkOptions):
        assert f"| `{field.name}` |" in table
        networks = field.metadata.get("defaults", {})
        if len(networks) == 1:
            assert f"{field.metadata['doc']} |" in table
            assert field.metadata["doc"].endswith(f"({next(iter(networks))})")


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"network": "resnet"}, "network"),
        ({"network": "basset", "initial_filters": "a.npy"}, "initial_filters"),
        ({"network": "baseline", "pooling": "sum"}, "pooling"),
        ({"network": "baseline", "n_filters": 0}, "n_filters"),
    ],
)
def test_network_options__bad_values(options: dict, where: str):
    with pytest.raises(InputError) as caught:
        NetworkOptions(**options)
    assert caught.value.where == where


def test_choices__kernels_know_all():
    assert set(mutate.ACTIVATIONS) == set(scan.ACTIVATIONS)
    assert set(mutate.POOLINGS) == set(POOLINGS) == set(POOL_SCALES)


def test_config__imports_neither_tensorflow_nor_dask():
    code = (
        "import sys, chromacc_models.training.config; "
        "print([name for name in ('tensorflow', 'keras', 'dask', 'numba') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
