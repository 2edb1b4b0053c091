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
        ({"network": "basset", "motifs": "a.meme"}, "motifs"),
        ({"network": "baseline", "n_free": 3}, "n_free"),
        ({"network": "baseline", "motif_mode": "free"}, "motif_mode"),
        ({"network": "baseline", "motifs": "a.meme", "motif_mode": "fixed"}, "motif_mode"),
        ({"network": "baseline", "motifs": "a.meme", "motif_active": 0}, "motif_active"),
        ({"network": "baseline", "motifs": "a.meme", "initial_filters": "a.npy"}, "initial_filters"),
        ({"network": "baseline", "motifs": "a.meme", "train_filters": False}, "train_filters"),
        (
            {"network": "baseline", "motifs": "a.meme", "motif_mode": "free", "motif_anchoring": 0.1},
            "motif_anchoring",
        ),
    ],
)
def test_network_options__bad_values(options: dict, where: str):
    with pytest.raises(InputError) as caught:
        NetworkOptions(**options)
    assert caught.value.where == where


def test_network_options__known_motifs_are_written_out_where_there_are_any():
    without = NetworkOptions("baseline")
    assert (without.motif_mode, without.n_free, without.n_filters) == (None, None, 300)
    assert not {"motifs", "motif_mode", "n_free"} & without.network_options.keys()
    anchored = NetworkOptions("baseline", motifs="a.meme", n_free=7)
    assert (anchored.motif_mode, anchored.motif_anchoring, anchored.n_free) == ("anchored", 0.01, 7)
    assert anchored.n_filters is None
    frozen = NetworkOptions("motif_builder", motifs="a.meme", motif_mode="frozen")
    assert frozen.motif_anchoring == 0
    for options in (without, anchored, frozen):
        assert NetworkOptions(**dataclasses.asdict(options)) == options
    chosen = TrainConfig.preset("recommended", "baseline", motifs="a.meme")
    assert chosen.n_filters is None
    assert TrainConfig.preset("recommended", "baseline", motifs="a.meme", n_filters=9).n_filters == 9


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
