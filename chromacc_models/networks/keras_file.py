"""What is inside a `.keras` file, looked at before Keras sees it: sizes, classes and weights.

Keras' safe mode keeps code from running, but builds whatever a file describes, of any size, and had ways
around it in many releases. A file is read here only if its members are those of a network, unpack to what
their sizes allow, name layers of a list, and describe a network whose weights are all in the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
from keras.src.backend.common import global_state

from chromacc_models.networks.keras_archive import read_archive, refused, unreadable

__all__ = ["require_safe"]

#: Most values in an output of a layer, for one sequence: 256 MB of float32.
_MAX_OUTPUT = 1 << 26

#: Layers of Keras that a network may have: they compute, and neither read files nor run code.
_LAYERS = frozenset(
    {
        "Activation", "Add", "Average", "AveragePooling1D", "BatchNormalization", "Bidirectional",
        "Concatenate", "Conv1D", "Cropping1D", "Dense", "DepthwiseConv1D", "Dropout", "ELU", "Flatten",
        "GRU", "GaussianDropout", "GaussianNoise", "GlobalAveragePooling1D", "GlobalMaxPooling1D",
        "GroupNormalization", "InputLayer", "LSTM", "LayerNormalization", "LeakyReLU", "MaxPooling1D",
        "Maximum", "Minimum", "MultiHeadAttention", "Multiply", "PReLU", "Permute", "ReLU", "Rescaling",
        "Reshape", "SeparableConv1D", "Softmax", "SpatialDropout1D", "Subtract", "UnitNormalization",
        "ZeroPadding1D",
    }
)  # fmt: skip
#: Our layers, and the names of their module in `.keras` files: today's, and that of release 0.1.
_OURS = frozenset(
    {
        "BlockConv1D", "FactorizationMachine", "GlobalPooling", "KmerBlocks", "OneHot", "ReverseComplement",
        "SequenceConv1D",
    }
)  # fmt: skip
_OUR_LAYERS = ("chromacc_models.networks.layers", "chromacc_models.layers")
#: Classes that a network may name, by module; None allows all of a module that holds numbers only.
_CLASSES: dict[str, frozenset[str] | None] = {
    "keras": frozenset({"DTypePolicy", "Functional", "Model", "Sequential"}),
    "keras.models": frozenset({"Functional", "Model", "Sequential"}),
    "keras.src.models.functional": frozenset({"Functional"}),
    "keras.src.models.sequential": frozenset({"Sequential"}),
    "keras.layers": _LAYERS,
    "keras.initializers": None,
    "keras.regularizers": None,
    "keras.constraints": None,
    **dict.fromkeys(_OUR_LAYERS, _OURS),
}
#: Values that Keras writes under a class name of their own.
_VALUES = frozenset({"__keras_tensor__", "__tuple__"})


def require_safe(path: Path) -> None:
    """Raise unless a `.keras` file can be given to Keras.

    Raises
    ------
    InputError
        If it is not an archive of a network, unpacks to too much, names a class that is not on the list, its
        HDF5 leads out of it, or the network that it describes has other weights than it holds.
    """
    config, _, shapes = read_archive(path)
    _require_known_classes(config, path)
    _require_weights(config, sum(math.prod(shape) for shape in shapes.values()), path)


def _require_known_classes(config: Any, path: Path) -> None:
    """Raise unless the class of each object that a configuration describes is on the list."""
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise refused("not the configuration of a network", path, found=str(type(config).__name__))
    # Keras is told not to compile: what is here is never made.
    compiled = config.get("compile_config")
    for value in _mappings({**config, "compile_config": None} if isinstance(compiled, dict) else config):
        name, module, registered = (value.get(key) for key in ("class_name", "module", "registered_name"))
        if name is None and module is None and registered is None:
            continue
        if module is None and registered is None and isinstance(name, str) and name in _VALUES:
            continue
        known = _CLASSES.get(module, frozenset()) if isinstance(module, str) else frozenset()
        named = isinstance(name, str) and (name in known if known is not None else name.isidentifier())
        ours = f"chromacc>{name}"
        if not named or registered not in ((ours,) if module in _OUR_LAYERS else (None, name)):
            raise refused(
                "a network with a class that is not loaded",
                path,
                found=f"{str(name)[:60]} of {str(module)[:60]}, registered as {str(registered)[:60]}",
                expected=f"layers of chromacc, or of Keras: {', '.join(sorted(_LAYERS))}",
            )


def _mappings(value: Any) -> Iterator[dict[str, Any]]:
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            yield one
            pending.extend(one.values())
        elif isinstance(one, list):
            pending.extend(one)


def _require_weights(config: dict[str, Any], n_held: int, path: Path) -> None:
    """Raise unless the network that a configuration describes has no more weights than the file holds."""
    waiting = list(global_state.get_global_attribute("uninitialized_variables", []))
    try:
        # In this scope variables have a shape and no value: nothing is allocated.
        with keras.StatelessScope(initialize_variables=False):
            model = keras.saving.deserialize_keras_object({**config, "compile_config": None}, safe_mode=True)
            variables = [v for v in model.variables if "seed_generator" not in v.path]
            n_wanted = sum(math.prod(v.shape) for v in variables)
            largest = max(
                math.prod(n or 1 for n in tensor.shape)
                for layer in model.layers
                for tensor in keras.tree.flatten(layer.output)
            )
    except Exception as error:  # Keras raises errors of every kind for a configuration that makes no sense
        raise unreadable(path, error) from error
    finally:
        # Else Keras would give them values at the end of its next scope.
        global_state.set_global_attribute("uninitialized_variables", waiting)
    if n_wanted > n_held:
        raise refused(
            "a network whose weights are not in its file",
            path,
            found=f"{n_wanted:,} weights in config.json, {n_held:,} in model.weights.h5",
        )
    if largest > _MAX_OUTPUT:
        raise refused(
            "a network with a layer that gives too much",
            path,
            found=f"{largest:,} values for each sequence",
            expected=f"at most {_MAX_OUTPUT:,}",
        )
