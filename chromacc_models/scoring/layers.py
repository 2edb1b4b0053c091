"""The layers of a network as plain values: of a ``.keras`` file, read without Keras, or of one in memory.

Nothing in a file is executed.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py
import numpy as np

from chromacc_models.networks.keras_archive import read_archive, unreadable

if TYPE_CHECKING:
    import keras

__all__ = ["StoredLayer", "layers_of", "read_layers"]


class StoredLayer(NamedTuple):
    """One layer of a saved network.

    Parameters
    ----------
    name
        Its name in the network.
    kind
        Name of its class, such as ``SequenceConv1D``.
    config
        Its options, as Keras wrote them.
    weights
        Its variables, in the order in which the layer makes them.
    inputs
        Names of the layers whose outputs it takes.
    """

    name: str
    kind: str
    config: Mapping[str, Any]
    weights: tuple[np.ndarray, ...]
    inputs: tuple[str, ...]


def read_layers(path: Path | str) -> tuple[StoredLayer, ...]:
    """Layers of a functional network in a ``.keras`` file, in their order.

    Raises
    ------
    InputError
        If it is no ``.keras`` file of a functional network, or is damaged.
    """
    path = Path(path)
    archive = read_archive(path)
    try:
        with h5py.File(archive.weights, "r") as arrays:
            return _layers(archive.config, arrays)
    except Exception as error:  # a configuration that makes no sense raises errors of every kind
        raise unreadable(path, error) from error


def layers_of(model: keras.Model) -> tuple[StoredLayer, ...]:
    """Layers of a functional network in memory, in their order, with the weights that they have now."""
    # By way of JSON, so that values are those that a file holds: lists where Keras has tuples.
    return _stored(json.loads(model.to_json()), lambda layer: model.get_layer(layer["name"]).get_weights())


def _layers(config: Mapping[str, Any], arrays: h5py.File) -> tuple[StoredLayer, ...]:
    seen: Counter[str] = Counter()

    def weights_of(layer: Mapping[str, Any]) -> list[np.ndarray]:
        # Keras names the groups of weights by the class, and numbers those of one class from the second on.
        group = _snake_case(layer["class_name"])
        number, seen[group] = seen[group], seen[group] + 1
        variables = arrays[f"layers/{group}_{number}/vars" if number else f"layers/{group}/vars"]
        return [variables[str(i)][...] for i in range(len(variables))]

    return _stored(config, weights_of)


def _stored(
    config: Mapping[str, Any], weights_of: Callable[[Mapping[str, Any]], list[np.ndarray]]
) -> tuple[StoredLayer, ...]:
    return tuple(
        StoredLayer(
            layer["name"],
            layer["class_name"],
            layer["config"],
            tuple(weights_of(layer)),
            tuple(_tensor_sources(layer["inbound_nodes"])),
        )
        for layer in config["config"]["layers"]
    )


def _snake_case(name: str) -> str:
    """Keras' rule.

    >>> _snake_case("SequenceConv1D"), _snake_case("GlobalPooling")
    ('sequence_conv1d', 'global_pooling')
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _tensor_sources(value: Any) -> list[str]:
    """Names of the layers that made the tensors in Keras' description of a call."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            return [value["config"]["keras_history"][0]]
        value = list(value.values())
    return [name for part in value for name in _tensor_sources(part)] if isinstance(value, list) else []
