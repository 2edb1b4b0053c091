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
from chromacc_data.recipe.options import compose_yaml, option, read_text
from chromacc_models.networks.options import LARGEST, NetworkOptions

__all__ = ["TrainConfig", "describe", "load_config"]


@dataclass(frozen=True)
class TrainConfig(NetworkOptions):
    """Everything that decides the result of a training, given the store: the network, and how it is trained.

    Examples
    --------
    >>> config = TrainConfig(network="factorization_machine", n_filters=64)
    >>> config.n_filters, config.k, config.size
    (64, 5, None)
    """

    learning_rate: float = option("of RMSprop", 0.001, above=0, maximum=10)
    momentum: float = option("of RMSprop", 0.0, minimum=0, maximum=1)
    batch_size: int = option("windows in a step", 128, minimum=1, maximum=1_000_000)
    epochs: int = option("most epochs", 100, minimum=1, maximum=1_000_000)
    patience: int = option("epochs without a better validation loss before training stops", 10, minimum=1)
    min_delta: float = option(
        "a validation loss is better when it is lower by more than this", 0.0, minimum=0, maximum=LARGEST
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

    def to_yaml(self) -> str:
        """The configuration as YAML that :func:`load_config` reads."""
        given = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        return yaml.safe_dump(given, sort_keys=False)


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
