"""Options of the networks: each is declared once, with its type, limits, meaning, and default by network.

The configuration of a training, its table in the documentation, the checks of what users give and the
functions of :mod:`chromacc_models.networks.architectures` all read this declaration, which needs no
TensorFlow.
"""

# ruff: noqa: RUF009 -- `option` makes a dataclass field, as `dataclasses.field` does.

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from chromacc_data.errors import InputError
from chromacc_data.typed_values import Options, option

__all__ = [
    "ACTIVATIONS",
    "BLOCK_WEIGHTS",
    "MOTIF_MODES",
    "NETWORK_NAMES",
    "POOLINGS",
    "POOL_SCALES",
    "STRANDS",
    "NetworkOptions",
    "default_options",
]

NetworkName = Literal["baseline", "factorization_machine", "motif_builder", "basset"]
Activation = Literal["relu", "exponential"]
Strands = Literal["forward", "both"]
Pooling = Literal["average", "max", "logsumexp"]
BlockWeights = Literal["additive", "free"]
MotifMode = Literal["frozen", "anchored", "free"]

NETWORK_NAMES: tuple[str, ...] = get_args(NetworkName)
ACTIVATIONS: tuple[str, ...] = get_args(Activation)
STRANDS: tuple[str, ...] = get_args(Strands)
POOLINGS: tuple[str, ...] = get_args(Pooling)
BLOCK_WEIGHTS: tuple[str, ...] = get_args(BlockWeights)
MOTIF_MODES: tuple[str, ...] = get_args(MotifMode)

#: Scale of the pooled values by the way of pooling, where none is given.
POOL_SCALES: dict[str, float] = {"average": 100.0, "max": 1.0, "logsumexp": 1.0}

_INTERPRETABLE = ("baseline", "factorization_machine", "motif_builder")

#: What options of known motifs are where `motifs` is given and they are not; without `motifs` all are None.
#: The strength of the anchors, which only one mode has, is 0 in the others.
_MOTIF_DEFAULTS: dict[str, Any] = {
    "motif_mode": "anchored",
    "motif_anchoring": 0.01,
    "motif_clusters": 0.01,
    "motif_active": 0.25,
    "n_free": 50,
}
#: Options that are not passed on as they are given: see `network_options`.
_FILES_AND_MOTIFS = {"initial_filters", "motifs", *_MOTIF_DEFAULTS}

#: Limits of what can be trained at all: of sizes, and of factors and penalties.
_MOST, LARGEST = 100_000, 1e6


def _motif_option(name: str, doc: str, **limits: Any) -> Any:
    """Option of filters set to motifs, with its value when absent in `doc`."""
    doc = f"{doc} ({_MOTIF_DEFAULTS[name]} when absent)"
    return _network_option(doc, dict.fromkeys(_INTERPRETABLE), **limits)


def _network_option(doc: str, defaults: Mapping[str, Any], **limits: Any) -> Any:
    """Option of the networks that `defaults` names, None in others; a single network is named in `doc`."""
    networks = f" ({next(iter(defaults))})" if len(defaults) == 1 else ""
    field = option(doc + networks, None, **limits)
    return dataclasses.field(default=None, metadata={**field.metadata, "defaults": dict(defaults)})


def _in_all(default: Any, **others: Any) -> dict[str, Any]:
    return dict.fromkeys(NETWORK_NAMES, default) | others


def _in_interpretable(default: Any, **others: Any) -> dict[str, Any]:
    return dict.fromkeys(_INTERPRETABLE, default) | others


@dataclass(frozen=True)
class NetworkOptions(Options):
    """A network and its options.

    Options that are not given take the network's defaults; those of other networks are None.

    Raises
    ------
    InputError
        If there is no such network, it has no such option, or a value is out of range.

    Examples
    --------
    >>> options = NetworkOptions("factorization_machine", n_filters=64)
    >>> options.n_filters, options.k, options.size
    (64, 5, None)
    """

    network: NetworkName = option("the network")
    # With known motifs and no number: a filter for each cluster of motifs, and `n_free` more.
    n_filters: int | None = _network_option(
        "filters of the first convolution", _in_interpretable(300), minimum=1, maximum=_MOST
    )
    filter_width: int | None = _network_option(
        "bases in a filter", {"baseline": 20, "factorization_machine": 20}, minimum=1, maximum=_MOST
    )
    # A block is one of 4**block_length; a filter covers filter_blocks * block_length bases.
    block_length: int | None = _network_option("bases in a block", {"motif_builder": 4}, minimum=1, maximum=8)
    filter_blocks: int | None = _network_option(
        "blocks in a filter", {"motif_builder": 5}, minimum=1, maximum=_MOST
    )
    # The thesis has 5 on real data, and 20 on simulated data.
    k: int | None = _network_option(
        "length of the interaction vectors", {"factorization_machine": 5}, minimum=1, maximum=_MOST
    )
    vectors_scale: float | None = _network_option(
        "standard deviation of the initial interaction vectors",
        {"factorization_machine": 0.1},
        above=0,
        maximum=LARGEST,
    )
    # Exponential filters are more interpretable (Koo and Ploenzke 2021).
    activation: Activation | None = _network_option("activation of the filters", _in_interpretable("relu"))
    # With both, the same filters scan both strands and are pooled together; basset averages the logits of the
    # window and of its reverse complement. The thesis has the forward strand.
    strands: Strands | None = _network_option(
        "strands that the filters scan", _in_all("both", basset="forward")
    )
    # An open region is often shorter than the window around it, and what its flanks hold is noise to the
    # pooling. Beyond the window's ends, filters see motifs that do not fit in.
    scan_length: int | None = _network_option(
        "bp in the middle of the window that the filters scan, N past its ends; the whole window when absent",
        _in_all(None),
        minimum=1,
        maximum=10**9,
    )
    pooling: Pooling | None = _network_option(
        "pooling over the window", _in_interpretable("average", motif_builder="max")
    )
    # Average pooling over L places divides the signal of a motif by L, and training from random weights then
    # crawls; this undoes it. The thesis has 1. POOL_SCALES has the default.
    pool_scale: float | None = _network_option(
        "factor on the pooled values", _in_interpretable(None), above=0, maximum=LARGEST
    )
    filter_scale: float | None = _network_option(
        "factor on Glorot's initial filters", _in_interpretable(1.0), above=0, maximum=LARGEST
    )
    # Where it is 0, ReLU cuts what a filter gives for windows without its motif, and a filter that has
    # nothing above 0 learns no more; where it is above what random filters give, every filter learns from
    # every window at first.
    filter_bias: float | None = _network_option(
        "initial bias of the filters", _in_interpretable(0.0), minimum=-LARGEST, maximum=LARGEST
    )
    # The thesis has free weights and l2=0.01, with which the network did not learn on real data. See
    # layers.BlockConv1D.
    tables: BlockWeights | None = _network_option(
        "weight of a block: sum of its bases' weights and a deviation, or free", {"motif_builder": "additive"}
    )
    # Times the sum of the squared weights of the filters; where tables are additive, of their bases' weights.
    l2: float | None = _network_option(
        "L2 penalty of the filters", _in_interpretable(0.0), minimum=0, maximum=LARGEST
    )
    # The larger, the nearer is the network to the baseline.
    deviations_l2: float | None = _network_option(
        "L2 penalty of blocks' deviations, where tables are additive",
        {"motif_builder": 0.01},
        minimum=0,
        maximum=LARGEST,
    )
    initial_filters: str | None = _network_option(
        "initial filters: an array (.npy), or a run folder whose filters are transferred",
        _in_interpretable(None),
    )
    # False for transferred filters (thesis, 4.3.1).
    train_filters: bool | None = _network_option(
        "false keeps the initial filters as they are", _in_interpretable(True)
    )
    motifs: str | None = _network_option(
        "file of known motifs (MEME, JASPAR, CIS-BP, ...) that the first filters are set to",
        _in_interpretable(None),
    )
    motif_mode: MotifMode | None = _motif_option(
        "motif_mode", "filters set to motifs: `frozen`; `anchored`, drawn back to their motifs; or `free`"
    )
    motif_anchoring: float | None = _motif_option(
        "motif_anchoring",
        "penalty on the squared distance of each anchored filter from its motif",
        minimum=0,
        maximum=LARGEST,
    )
    motif_clusters: float | None = _motif_option(
        "motif_clusters",
        "Tomtom E-value up to which motifs are one cluster, with one filter; 0 keeps all apart",
        minimum=0,
        maximum=LARGEST,
    )
    motif_active: float | None = _motif_option(
        "motif_active",
        "share of training windows in which a filter set to a motif is active at first",
        above=0,
        maximum=1,
    )
    n_free: int | None = _motif_option(
        "n_free", "filters besides those set to motifs, random at first", minimum=0, maximum=_MOST
    )
    # 1 is the published network.
    size: float | None = _network_option(
        "factor on the numbers of filters and units", {"basset": 1.0}, above=0, maximum=20
    )
    dropout: float | None = _network_option(
        "share of pooled values, in basset of dense units, dropped in training",
        _in_all(0.0, basset=0.3),
        minimum=0,
        maximum=0.95,
    )

    def __post_init__(self) -> None:
        if isinstance(self.network, str) and self.network not in NETWORK_NAMES:
            raise InputError(
                "no such network", where="network", found=self.network, expected=", ".join(NETWORK_NAMES)
            )
        super().__post_init__()
        for name, defaults in _DEFAULTS.items():
            value = getattr(self, name)
            if value is not None and self.network not in defaults:
                raise InputError(
                    f"{self.network} has no such option",
                    where=name,
                    found=f"{name} = {value}",
                    expected=", ".join(default_options(self.network)),
                )
            if value is None and (name != "n_filters" or self.motifs is None):
                object.__setattr__(self, name, defaults.get(self.network))
        self._complete_motif_options()
        if self.pool_scale is None and self.pooling is not None:
            object.__setattr__(self, "pool_scale", POOL_SCALES[self.pooling])

    @property
    def network_options(self) -> dict[str, Any]:
        """Values of the options that the network has, but for its initial filters: they are a path here."""
        of_motifs = ("motifs", *_MOTIF_DEFAULTS) if self.motifs is not None else ()
        return {name: getattr(self, name) for name in (*default_options(self.network), *of_motifs)}

    def _complete_motif_options(self) -> None:
        """Write out the options of known motifs where there are motifs; refuse them where there are none."""
        given = {name: getattr(self, name) for name in _MOTIF_DEFAULTS if getattr(self, name) is not None}
        if self.motifs is None:
            for name, value in given.items():
                raise InputError(
                    "only for filters set to known motifs",
                    where=name,
                    found=f"{name} = {value}, and no motifs",
                    expected="motifs as well",
                    remedy="name a file of motifs: --motifs FILE",
                )
            return
        for name, value in {
            "initial_filters": self.initial_filters,
            "train_filters": self.train_filters,
        }.items():
            if value not in (None, True):
                raise InputError(
                    "filters are set to known motifs",
                    where=name,
                    found=f"{name} = {value}",
                    expected="either motifs or initial filters",
                    remedy="for filters that stay as they are: --set motif_mode=frozen",
                )
        mode = given.get("motif_mode", _MOTIF_DEFAULTS["motif_mode"])
        if mode != "anchored" and given.get("motif_anchoring"):
            raise InputError(
                f"{mode} filters have no anchors",
                where="motif_anchoring",
                found=f"motif_anchoring = {self.motif_anchoring}",
                expected="motif_mode = anchored",
            )
        unanchored = {} if mode == "anchored" else {"motif_anchoring": 0.0}
        for name, value in {**_MOTIF_DEFAULTS, **given, **unanchored}.items():
            object.__setattr__(self, name, value)


#: Defaults of each option by network; a network that is not named has no such option.
_DEFAULTS: dict[str, Mapping[str, Any]] = {
    field.name: field.metadata["defaults"]
    for field in dataclasses.fields(NetworkOptions)
    if "defaults" in field.metadata
}


def default_options(network: str) -> dict[str, Any]:
    """Options of a network, but for its initial filters and known motifs, and their default values.

    >>> default_options("basset")
    {'strands': 'forward', 'scan_length': None, 'size': 1.0, 'dropout': 0.3}
    """
    return {
        name: defaults[network]
        for name, defaults in _DEFAULTS.items()
        if network in defaults and name not in _FILES_AND_MOTIFS
    }
