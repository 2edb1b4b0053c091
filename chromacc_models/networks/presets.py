"""Presets: the options that a network is trained with when a user gives none, and why.

`recommended` is the default of training; `thesis` has the architectures and sizes of the thesis. Each has one
set of options for stores of real data and one for simulated stores. Plain values: nothing here imports Keras.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["DEFAULT_PRESET", "PRESETS", "Preset", "StoreTraits", "describe", "preset_options"]

DEFAULT_PRESET = "recommended"


@dataclass(frozen=True)
class StoreTraits:
    """What of a store decides the values of a preset.

    Parameters
    ----------
    window_length
        Bases of a window.
    simulated
        Whether motifs were planted in its windows.
    site_strands
        Strands that planted sites are on.
    """

    window_length: int = 600
    simulated: bool = False
    site_strands: Literal["forward", "both"] = "forward"


@dataclass(frozen=True)
class Preset:
    """Options of one network.

    Parameters
    ----------
    purpose, cost
        What they are for, and what they cost, in plain words.
    options
        Options of :class:`~chromacc_models.training.config.TrainConfig`; those not named keep the network's
        own default.
    """

    purpose: str
    cost: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class _WindowLength:
    """A value that is the length of the window, and some more."""

    plus: float = 0

    def __str__(self) -> str:
        return "window length" + (f" + {self.plus:g}" if self.plus else "")


class _SiteStrands:
    """A value that is the strands of the planted sites."""

    def __str__(self) -> str:
        return "strands of the sites"


_REAL: dict[str, Any] = {
    "n_filters": 300,
    "scan_length": 300,
    "pooling": "max",
    "learning_rate": 0.002,
    "average_decay": 0.998,
    "epochs": 100,
    "patience": 12,
    "plateau_patience": 4,
}
_REAL_COST = "about the time of the thesis preset: 300 filters on both strands, but of the middle 300 bp only"

#: What the thesis leaves open was chosen: scale of the pooled values, learning rate, when to stop.
_REAL_THESIS: dict[str, Any] = {
    "n_filters": 300,
    "strands": "forward",
    "pooling": "average",
    "pool_scale": 200.0,
    "learning_rate": 0.001,
    "epochs": 100,
    "patience": 12,
    "plateau_patience": 4,
}

#: Filters also scan N around the window, so that they see motifs at its ends.
_SIMULATED: dict[str, Any] = {
    "n_filters": 128,
    "filter_width": 20,
    "strands": _SiteStrands(),
    "scan_length": _WindowLength(plus=38),
    "pooling": "max",
    "batch_size": 128,
    "average_decay": 0.99,
    "epochs": 100,
    "patience": 12,
    "plateau_patience": 3,
}
_SIMULATED_THESIS: dict[str, Any] = {
    "n_filters": 20,
    "filter_width": 20,
    "strands": _SiteStrands(),
    "pooling": "average",
    "pool_scale": _WindowLength(plus=0.0),
    "filter_scale": 2.0,
    "learning_rate": 0.002,
    "batch_size": 256,
    "average_decay": 0.99,
    "epochs": 800,
    "patience": 60,
    "plateau_patience": 20,
}
_SIMULATED_BUILDER: dict[str, Any] = {
    "block_length": 4,
    "filter_blocks": 3,
    "strands": _SiteStrands(),
    "pooling": "max",
    "tables": "free",
    "batch_size": 64,
    "epochs": 200,
    "patience": 30,
}

#: Presets by name, kind of data ("real" or "simulated") and network.
PRESETS: dict[str, dict[str, dict[str, Preset]]] = {
    "recommended": {
        "real": {
            "baseline": Preset(
                "peaks of real data: best validation loss of what was tried on DNase-6 (docs/results.md)",
                _REAL_COST,
                {**_REAL, "dropout": 0.3, "l2": 3e-4},
            ),
            "factorization_machine": Preset(
                "peaks of real data: best validation loss of what was tried on DNase-6 (docs/results.md)",
                _REAL_COST,
                {**_REAL, "dropout": 0.2, "l2": 1e-3},
            ),
            "motif_builder": Preset(
                "peaks of real data; blocks share what their bases weigh, without which small "
                "sets are not enough to learn from",
                _REAL_COST,
                {**_REAL, "dropout": 0.3, "l2": 3e-4, "deviations_l2": 0.01},
            ),
            "basset": Preset(
                "Basset's published network for comparison, stopped before it overfits small sets",
                "2.6 million weights; several times the time of the others per epoch, but few epochs",
                {
                    "scan_length": 300,
                    "reverse_complement": "augment",
                    "learning_rate": 0.0002,
                    "average_decay": 0.98,
                    "epochs": 40,
                    "patience": 3,
                    "plateau_patience": 1,
                },
            ),
        },
        "simulated": {
            "baseline": Preset(
                "planted motifs that add up: more filters than motifs, and the best site of each",
                "256 filters: one to two minutes for 80,000 windows of 600 bp on two cores",
                {**_SIMULATED, "n_filters": 256, "learning_rate": 0.005, "l2": 1e-5},
            ),
            "factorization_machine": Preset(
                "planted pairs of motifs: longer interaction vectors than on real data",
                "about a minute for 80,000 windows of 100 bp on two cores",
                {**_SIMULATED, "k": 20, "learning_rate": 0.002, "l2": 1e-6},
            ),
            "motif_builder": Preset(
                "variants of a motif whose positions depend on each other; set n_filters to a few times the "
                "number of planted motifs",
                "less than a minute for 20,000 windows of 300 bp on two cores",
                {
                    **_SIMULATED_BUILDER,
                    "n_filters": 12,
                    "l2": 0.001,
                    "pool_scale": 100.0,
                    "learning_rate": 0.005,
                    "plateau_patience": 5,
                },
            ),
            "basset": Preset(
                "Basset's published network for comparison, with the training that was chosen on real data; "
                "not tuned on simulated data",
                "2.6 million weights; windows of 168 bp or more",
                {"learning_rate": 0.0002, "average_decay": 0.98, "epochs": 40, "patience": 3},
            ),
        },
    },
    "thesis": {
        "real": {
            "baseline": Preset(
                "the network and sizes of the thesis: 300 filters of 20 bp, one strand, averages over the "
                "whole window",
                "AUROC 0.651 in five folds of DNase-6, where recommended has 0.731",
                _REAL_THESIS,
            ),
            "factorization_machine": Preset(
                "the network and sizes of the thesis, with interaction vectors of length 5",
                "AUROC 0.638 in five folds of DNase-6, where recommended has 0.731",
                {**_REAL_THESIS, "k": 5},
            ),
            # The penalty of the thesis leaves nothing of its filters unless their pooled values are scaled.
            "motif_builder": Preset(
                "the network and sizes of the thesis: free weights of all blocks, and its penalty",
                "AUROC 0.682 in five folds of DNase-6, where recommended has 0.733",
                {
                    **_REAL_THESIS,
                    "tables": "free",
                    "l2": 0.01,
                    "pooling": "max",
                    "pool_scale": 7.0,
                    "filter_scale": 0.4,
                    "learning_rate": 0.002,
                    "average_decay": 0.998,
                },
            ),
            "basset": Preset(
                "Basset's published network with this package's plain training options",
                "overfits small sets within a few epochs",
                {},
            ),
        },
        "simulated": {
            "baseline": Preset(
                "the thesis' sections 5.1.1 and 5.1.2: 20 filters, averages over the window",
                "up to 800 epochs: several times the time of recommended",
                _SIMULATED_THESIS,
            ),
            "factorization_machine": Preset(
                "the thesis' section 5.2.1: 20 filters, averages, interaction vectors of length 20",
                "up to 800 epochs: about twice the time of recommended",
                {**_SIMULATED_THESIS, "k": 20},
            ),
            "motif_builder": Preset(
                "the thesis' section 5.3: three filters of three blocks of 4 bp",
                "three filters find three motifs at most",
                {
                    **_SIMULATED_BUILDER,
                    "n_filters": 3,
                    "l2": 0.01,
                    "filter_bias": 2.0,
                    "pool_scale": 200.0,
                    "learning_rate": 0.01,
                },
            ),
            "basset": Preset(
                "Basset's published network with this package's plain training options",
                "windows of 168 bp or more",
                {},
            ),
        },
    },
}


def preset_options(name: str, network: str, traits: StoreTraits | None = None) -> dict[str, Any]:
    """Options of a preset for a network on a store.

    Parameters
    ----------
    name
        A key of :data:`PRESETS`.
    network
        A network's name.
    traits
        What of the store decides them; by default real windows of 600 bp. A `scan_length` that is not shorter
        than real windows is left out.

    Examples
    --------
    >>> preset_options("recommended", "factorization_machine")["scan_length"]
    300
    >>> preset_options("thesis", "baseline", StoreTraits(100, simulated=True))["pool_scale"]
    100.0
    """
    traits = traits or StoreTraits()
    chosen = PRESETS[name]["simulated" if traits.simulated else "real"][network]
    options = {key: _value(value, traits) for key, value in chosen.options.items()}
    if not traits.simulated and options.get("scan_length", 0) >= traits.window_length:
        del options["scan_length"]
    return options


def describe() -> str:
    """Markdown: what each preset is for, what it costs, and its options."""
    return "\n\n".join(
        _section(f"Preset `{name}`, {kind} data", networks)
        for name, kinds in PRESETS.items()
        for kind, networks in kinds.items()
    )


def _section(title: str, networks: Mapping[str, Preset]) -> str:
    notes = [f"- `{network}`: {preset.purpose}. Cost: {preset.cost}." for network, preset in networks.items()]
    keys = dict.fromkeys(key for preset in networks.values() for key in preset.options)
    table = ["| option | " + " | ".join(networks) + " |", "| --- " * (1 + len(networks)) + "|"]
    for key in keys:
        cells = " | ".join(str(preset.options.get(key, "")) for preset in networks.values())
        table.append(f"| `{key}` | {cells} |")
    return "\n".join([f"## {title}", "", *notes, "", *table])


def _value(value: Any, traits: StoreTraits) -> Any:
    if isinstance(value, _WindowLength):
        return traits.window_length + value.plus
    return traits.site_strands if isinstance(value, _SiteStrands) else value
