"""The `.keras` file of a network: load it safely, what it takes and gives, and its checksum."""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras

import chromacc_models.networks.layers  # noqa: F401  (registers the layers that a network may hold)
from chromacc_data.errors import InputError
from chromacc_models.networks.keras_archive import require_network_file
from chromacc_models.networks.keras_file import require_safe

__all__ = ["load_network", "require_sequences"]


def load_network(path: Path, *, sha256: str | None = None) -> keras.Model:
    """The network of a ``.keras`` file, uncompiled, in Keras' safe mode.

    Raises
    ------
    InputError
        If the file is missing, has another checksum, is not a Keras file that this version can load, or is
        one that :func:`~chromacc_models.networks.keras_file.require_safe` refuses.
    """
    require_network_file(path, sha256)
    require_safe(path)
    try:
        if path.suffix == ".keras":
            return keras.saving.load_model(path, compile=False)
        with tempfile.TemporaryDirectory() as folder:  # Keras goes by the suffix, which a download lacks
            link = Path(folder) / "model.keras"
            link.symlink_to(path.resolve())
            return keras.saving.load_model(link, compile=False)
    except Exception as error:  # Keras and TensorFlow raise errors of every kind for a damaged file
        raise InputError(
            "cannot be loaded as a network",
            where=path,
            found=(str(error).splitlines() or [type(error).__name__])[0],
            expected="a .keras file saved by this version of chromacc",
            remedy="restore it from a copy, or delete its folder and make it again",
        ) from error


def require_sequences(network: keras.Model, *, where: Path | str) -> None:
    """Raise unless a network takes one-hot windows of one length and gives a value for each cell type."""
    inputs, outputs = (
        [tuple(tensor.shape) for tensor in tensors] for tensors in (network.inputs, network.outputs)
    )
    length = inputs[0][1] if len(inputs[0]) == 3 else None
    if len(inputs) > 1 or inputs[0] != (None, length, 4) or length is None:
        raise InputError(
            "not a network that takes DNA windows of one length",
            where=where,
            found=f"input shape {' and '.join(map(str, inputs))}",
            expected="input shape (None, length, 4): one-hot windows, bases in the order A C G T",
            remedy="save it with a fixed input length: keras.Input((length, 4))",
        )
    if len(outputs) > 1 or len(outputs[0]) != 2 or outputs[0][1] is None:
        raise InputError(
            "not a network that gives a value for each cell type",
            where=where,
            found=f"output shape {' and '.join(map(str, outputs))}",
            expected="output shape (None, cell types)",
        )
