"""The `.keras` file of a network: load it safely, and its checksum."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
import zlib
from pathlib import Path

import keras

import chromacc_models.layers  # noqa: F401  (registers the layers that a network may hold)
from chromacc_data.errors import InputError

__all__ = ["file_sha256", "load_network"]

#: What Keras raises for a file that is cut short, changed, or of another kind.
_DAMAGE = (ValueError, TypeError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error)


def load_network(path: Path, *, sha256: str | None = None) -> keras.Model:
    """The network of a ``.keras`` file, uncompiled, in Keras' safe mode.

    Raises
    ------
    InputError
        If the file is missing, has another checksum, or is not a Keras file that this version can load.
    """
    if not path.is_file():
        raise InputError("no such file", where=path, expected="a network saved as .keras")
    if sha256 is not None and (found := file_sha256(path)) != sha256:
        raise InputError(
            "the weights have another checksum",
            where=path,
            found=found,
            expected=sha256,
            remedy="fetch the model again, or package it again if it was changed on purpose",
        )
    try:
        if path.suffix == ".keras":
            return keras.saving.load_model(path, compile=False)
        with tempfile.TemporaryDirectory() as folder:  # Keras goes by the suffix, which a download lacks
            link = Path(folder) / "model.keras"
            link.symlink_to(path.resolve())
            return keras.saving.load_model(link, compile=False)
    except _DAMAGE as error:
        raise InputError(
            "cannot be loaded as a network",
            where=path,
            found=(str(error).splitlines() or [type(error).__name__])[0],
            expected="a .keras file saved by this version of chromacc",
            remedy="restore it from a copy, or delete its folder and make it again",
        ) from error


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
