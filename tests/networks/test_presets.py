from __future__ import annotations

import subprocess
import sys

import pytest

from chromacc_models.networks.architectures import NETWORKS
from chromacc_models.networks.presets import PRESETS, StoreTraits, describe, preset_options
from chromacc_models.training.config import TrainConfig

KINDS = [
    (name, kind, network) for name, kinds in PRESETS.items() for kind in kinds for network in kinds[kind]
]


def test_presets__every_network_for_real_and_simulated_data():
    assert all(set(networks) == set(NETWORKS) for kinds in PRESETS.values() for networks in kinds.values())
    assert all(set(kinds) == {"real", "simulated"} for kinds in PRESETS.values())


@pytest.mark.parametrize(("name", "kind", "network"), KINDS)
def test_presets__are_options_of_their_network(name: str, kind: str, network: str):
    traits = StoreTraits(200, simulated=kind == "simulated", site_strands="both")
    config = TrainConfig.preset(name, network, traits)
    options = preset_options(name, network, traits)
    assert {key: getattr(config, key) for key in options} == options
    assert PRESETS[name][kind][network].purpose
    assert PRESETS[name][kind][network].cost


def test_preset_options__follow_the_store():
    assert preset_options("recommended", "baseline")["scan_length"] == 300
    # A scan that is as long as real windows is of nothing but these.
    assert "scan_length" not in preset_options("recommended", "baseline", StoreTraits(300))
    simulated = preset_options("recommended", "baseline", StoreTraits(100, simulated=True))
    assert (simulated["scan_length"], simulated["strands"]) == (138, "forward")
    either = preset_options("thesis", "baseline", StoreTraits(100, simulated=True, site_strands="both"))
    assert (either["pool_scale"], either["strands"]) == (100.0, "both")


def test_describe__says_what_each_is_for_and_what_it_costs():
    text = describe()
    for kinds in PRESETS.values():
        for preset in (preset for networks in kinds.values() for preset in networks.values()):
            assert preset.purpose in text
            assert preset.cost in text
            assert all(f"| `{key}` |" in text for key in preset.options)
    assert "window length + 38" in text


def test_presets__import_no_keras():
    code = "import sys, chromacc_models.networks.presets; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
