"""Configuration of a training: one frozen dataclass, from YAML and `--set KEY=VALUE`, with strict keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from chromacc_data.errors import InputError
from chromacc_data.recipe import option_tables, yaml_options
from chromacc_data.recipe.yaml_options import compose_yaml
from chromacc_data.typed_values import option, read_text
from chromacc_models.networks import presets
from chromacc_models.networks.options import LARGEST, NETWORK_NAMES, NetworkOptions
from chromacc_models.networks.presets import PRESETS, StoreTraits

__all__ = ["TrainConfig", "describe", "load_config"]


#: Options that the record of a run always names: what a record does not name was off.
_RECORDED = {
    "learning_rate", "momentum", "batch_size", "epochs", "patience", "min_delta", "plateau_factor",
    "reverse_complement", "class_weights", "seed",
}  # fmt: skip


@dataclass(frozen=True)
class TrainConfig(NetworkOptions):
    """Everything that decides the result of a training, given the store: the network, and how it is trained.

    Options that are not given take the network's own defaults, filled in by the constructor. :meth:`preset`
    starts from the options of a preset instead, as the commands do.

    Examples
    --------
    >>> from chromacc_models import TrainConfig
    >>> config = TrainConfig(network="factorization_machine", n_filters=64)
    >>> config.n_filters, config.k, config.size
    (64, 5, None)
    """

    learning_rate: float = option("learning rate of RMSprop", 0.001, above=0, maximum=10)
    momentum: float = option("momentum of RMSprop", 0.0, minimum=0, maximum=1)
    batch_size: int = option("windows in a step", 128, minimum=1, maximum=1_000_000)
    epochs: int = option("maximum number of epochs", 100, minimum=1, maximum=1_000_000)
    patience: int = option("epochs without a better validation loss before training stops", 10, minimum=1)
    min_delta: float = option(
        "a validation loss is better when it is lower by more than this", 0.0, minimum=0, maximum=LARGEST
    )
    plateau_patience: int | None = option(
        "epochs without a better validation loss before the learning rate is reduced; never when absent",
        None,
        minimum=1,
    )
    plateau_factor: float = option("factor on the learning rate then", 0.5, above=0, maximum=1)
    average_decay: float | None = option(
        "decay per step of the moving average of the weights that is validated and saved; none when absent",
        None,
        above=0,
        maximum=0.9999,
    )
    reverse_complement: Literal["none", "augment"] = option(
        "`augment`: each window on a random strand in each epoch", "none"
    )
    class_weights: Literal["none", "balanced"] = option(
        "`balanced`: open windows weigh as much as closed ones, in each cell type", "none"
    )
    fold: int | None = option(
        "hold out this fold instead of the store's test split", None, minimum=0, maximum=126
    )
    seed: int = option("seed of initial weights, order of windows and strands", 0, minimum=0)

    @classmethod
    def preset(
        cls, name: str, network: str, traits: StoreTraits | None = None, **changed: object
    ) -> TrainConfig:
        """Configuration with the options of a preset, some of them changed.

        Parameters
        ----------
        name
            "recommended" or "thesis".
        network
            The network.
        traits
            What of the store decides the options; real windows of 600 bp when None. See
            :func:`chromacc_models.training.choice.traits_of`.
        **changed
            Options that differ from the preset. With another `pooling`, its `pool_scale` is left out too,
            and with `motifs`, which have a filter each, its number of filters.

        Raises
        ------
        InputError
            If there is no such preset, network or option, or a value is wrong.

        Examples
        --------
        >>> config = TrainConfig.preset("recommended", "baseline", n_filters=64)
        >>> config.n_filters, config.scan_length, config.dropout
        (64, 300, 0.3)
        """
        if name not in PRESETS:
            raise InputError("no such preset", where="preset", found=name, expected=", ".join(PRESETS))
        if network not in NETWORK_NAMES:
            return cls(network=network)  # says which networks there are
        options = presets.preset_options(name, network, traits)
        if "pooling" in changed and changed["pooling"] != options.get("pooling"):
            options.pop("pool_scale", None)
        if changed.get("motifs") is not None:
            options.pop("n_filters", None)
        return cls(**{"network": network, **options, **changed})

    def to_yaml(self) -> str:
        """The configuration as YAML that :func:`load_config` reads."""
        given = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        return yaml.safe_dump(given, sort_keys=False)


def load_config(
    path: Path | str | None = None,
    *,
    settings: Sequence[str] = (),
    preset: str | None = None,
    traits: StoreTraits | None = None,
) -> TrainConfig:
    """Configuration from a YAML file, single settings, or both.

    Parameters
    ----------
    path
        YAML file; keys are the fields of :class:`TrainConfig`.
    settings
        `KEY=VALUE` texts, values as in YAML; they override the file's.
    preset, traits
        As in :meth:`TrainConfig.preset`: options that neither file nor settings name are the preset's; the
        network's own defaults when None. The record of a run, `config.yaml`, is complete, and takes none.

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
        config = yaml_options.from_yaml(TrainConfig, text, path=label)
    except InputError as error:
        raise _at_setting(error, settings) from None
    given = {node.value for node, _ in compose_yaml(text, where=label).value}
    if preset is None or given >= _RECORDED:
        return config
    return TrainConfig.preset(
        preset, traits=traits, **{name: value for name, value in vars(config).items() if name in given}
    )


def describe() -> str:
    """Markdown: a table of every key, with type, default and meaning, and the presets."""
    return f"{option_tables.describe(TrainConfig).rstrip()}\n\n{presets.describe()}\n"


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
    """The error, located at the setting it is about instead of at a line of the generated text."""
    key = str(error.where).rpartition(", ")[2]
    for setting in settings:
        if setting.partition("=")[0].strip() == key:
            where = f"--set {setting}"
            return InputError(
                error.what, where=where, found=error.found, expected=error.expected, remedy=error.remedy
            )
    return error
