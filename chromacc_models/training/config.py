"""Configuration of a training: one frozen dataclass, from YAML and `--set KEY=VALUE`, with strict keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from chromacc_data.errors import InputError
from chromacc_data.recipe import options
from chromacc_data.recipe.options import Options, compose_yaml, option, read_text
from chromacc_models.networks.architectures import NETWORKS, POOL_SCALES, network_options

__all__ = ["TrainConfig", "describe", "load_config"]


#: Limits of what can be trained at all: of sizes, and of factors and penalties.
_MOST, _LARGEST = 100_000, 1e6


@dataclass(frozen=True)
class TrainConfig(Options):
    """Everything that decides the result of a training, given the store.

    Options of the network that are not given take the network's own defaults, written out in the instance.

    Examples
    --------
    >>> from chromacc_models import TrainConfig
    >>> config = TrainConfig(network="factorization_machine", n_filters=64)
    >>> config.n_filters, config.k, config.size
    (64, 5, None)
    """

    network: Literal["baseline", "factorization_machine", "motif_builder", "basset"] = option("the network")
    n_filters: int | None = option("filters of the first convolution", None, minimum=1, maximum=_MOST)
    filter_width: int | None = option("bases in a filter", None, minimum=1, maximum=_MOST)
    block_length: int | None = option("bases in a block (motif_builder)", None, minimum=1, maximum=8)
    filter_blocks: int | None = option("blocks in a filter (motif_builder)", None, minimum=1, maximum=_MOST)
    k: int | None = option(
        "length of the interaction vectors (factorization_machine)", None, minimum=1, maximum=_MOST
    )
    vectors_scale: float | None = option(
        "standard deviation of the initial interaction vectors (factorization_machine)",
        None,
        above=0,
        maximum=_LARGEST,
    )
    activation: Literal["relu", "exponential"] | None = option("activation of the filters", None)
    strands: Literal["forward", "both"] | None = option("strands that the filters scan", None)
    scan_length: int | None = option(
        "bp around the middle of the window that the filters scan, N beyond its ends; all of it when absent",
        None,
        minimum=1,
        maximum=10**9,
    )
    pooling: Literal["average", "max", "logsumexp"] | None = option("pooling over the window", None)
    pool_scale: float | None = option("factor on the pooled values", None, above=0, maximum=_LARGEST)
    filter_scale: float | None = option("factor on Glorot's initial filters", None, above=0, maximum=_LARGEST)
    filter_bias: float | None = option(
        "initial bias of the filters", None, minimum=-_LARGEST, maximum=_LARGEST
    )
    tables: Literal["additive", "free"] | None = option(
        "weights of blocks: of their bases and a deviation, or each its own (motif_builder)", None
    )
    l2: float | None = option("L2 penalty of the filters", None, minimum=0, maximum=_LARGEST)
    deviations_l2: float | None = option(
        "L2 penalty of blocks' deviations, where tables are additive (motif_builder)",
        None,
        minimum=0,
        maximum=_LARGEST,
    )
    initial_filters: str | None = option(
        "initial filters: an array (.npy), or a run folder whose filters are transferred", None
    )
    train_filters: bool | None = option("false keeps the initial filters as they are", None)
    size: float | None = option(
        "factor on the numbers of filters and units (basset)", None, above=0, maximum=20
    )
    dropout: float | None = option(
        "share of pooled values, in basset of dense units, dropped in training", None, minimum=0, maximum=0.95
    )
    learning_rate: float = option("of RMSprop", 0.001, above=0, maximum=10)
    momentum: float = option("of RMSprop", 0.0, minimum=0, maximum=1)
    batch_size: int = option("windows in a step", 128, minimum=1, maximum=1_000_000)
    epochs: int = option("most epochs", 100, minimum=1, maximum=1_000_000)
    patience: int = option("epochs without a better validation loss before training stops", 10, minimum=1)
    min_delta: float = option(
        "a validation loss is better when it is lower by more than this", 0.0, minimum=0, maximum=_LARGEST
    )
    plateau_patience: int | None = option(
        "epochs without a better validation loss before the learning rate is reduced; never when absent",
        None,
        minimum=1,
    )
    plateau_factor: float = option("what it is multiplied by then", 0.5, above=0, maximum=1)
    average_decay: float | None = option(
        "decay per step of the moving average of the weights that is validated and saved; none when absent",
        None,
        above=0,
        maximum=0.9999,
    )
    reverse_complement: Literal["none", "augment"] = option(
        "`augment`: each window on a random strand, drawn anew in each epoch", "none"
    )
    class_weights: Literal["none", "balanced"] = option(
        "`balanced`: open windows weigh as much as closed ones, in each cell type", "none"
    )
    fold: int | None = option(
        "hold out this fold instead of the store's test split", None, minimum=0, maximum=126
    )
    seed: int = option("of initial weights, order of windows and strands", 0, minimum=0)

    def __post_init__(self) -> None:
        if isinstance(self.network, str) and self.network not in NETWORKS:
            raise InputError(
                "no such network", where="network", found=self.network, expected=", ".join(NETWORKS)
            )
        super().__post_init__()
        defaults = network_options(self.network)
        for name in _shared_fields(self.network):
            if getattr(self, name) is None:
                object.__setattr__(self, name, defaults[name])
        if self.pool_scale is None and self.pooling is not None:
            object.__setattr__(self, "pool_scale", POOL_SCALES[self.pooling])
        for name in {"initial_filters"}.union(*map(_shared_fields, NETWORKS)) - defaults.keys():
            if getattr(self, name) is not None:
                raise InputError(
                    f"{self.network} has no such option",
                    where=name,
                    found=f"{name} = {getattr(self, name)}",
                    expected=", ".join(_shared_fields(self.network)),
                )

    def to_yaml(self) -> str:
        """The configuration as YAML that :func:`load_config` reads."""
        given = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        return yaml.safe_dump(given, sort_keys=False)

    @property
    def network_options(self) -> dict[str, object]:
        """Options of the network function, all but its seed and initial filters."""
        return {name: getattr(self, name) for name in _shared_fields(self.network)}


def load_config(path: Path | str | None = None, *, settings: Sequence[str] = ()) -> TrainConfig:
    """Configuration from a YAML file, single settings, or both.

    Parameters
    ----------
    path
        YAML file; keys are the fields of :class:`TrainConfig`.
    settings
        `KEY=VALUE` texts, values as in YAML; they override the file's.

    Raises
    ------
    InputError
        At the first key or value that is wrong.

    Examples
    --------
    >>> load_config(settings=["network=basset", "dropout=0.1"]).dropout
    0.1
    """
    text, label = "", Path("--set")
    if path is not None:
        label = Path(path)
        text = read_text(label, expected="YAML in UTF-8")
    if settings:
        text = _override(text, settings, label)
        label = Path(f"{label} with --set") if path is not None else label
    try:
        return options.from_yaml(TrainConfig, text, path=label)
    except InputError as error:
        raise _at_setting(error, settings) from None


def describe() -> str:
    """Markdown table of every key: type, default, meaning."""
    return options.describe(TrainConfig)


def _shared_fields(network: str) -> list[str]:
    """Options of a network that are keys of the configuration under the same name and meaning."""
    fields = {field.name for field in dataclasses.fields(TrainConfig)} - {"seed", "initial_filters"}
    return [name for name in network_options(network) if name in fields]


def _override(text: str, settings: Sequence[str], where: Path) -> str:
    """YAML with `KEY=VALUE` settings written in place of its own values, so that line numbers hold."""
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise InputError("not a setting", where="--set", found=setting, expected="KEY=VALUE")
        key = key.strip()
        compose_yaml(value, where=f"--set {setting}")
        root = compose_yaml(text, where=where)
        pairs = root.value if isinstance(root, yaml.MappingNode) else []
        node = next((node for name, node in pairs if name.value == key), None)
        if node is None:
            text += ("" if text.endswith("\n") or not text else "\n") + f"{key}: {value}\n"
        else:
            text = text[: node.start_mark.index] + value + text[node.end_mark.index :]
    return text


def _at_setting(error: InputError, settings: Sequence[str]) -> InputError:
    """The error, under the setting whose key it is about instead of a line of the text made with it."""
    key = str(error.where).rpartition(", ")[2]
    for setting in settings:
        if setting.partition("=")[0].strip() == key:
            where = f"--set {setting}"
            return InputError(
                error.what, where=where, found=error.found, expected=error.expected, remedy=error.remedy
            )
    return error
