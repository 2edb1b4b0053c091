"""The archive of a `.keras` file, opened without Keras: its members, sizes, configuration and weights."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from chromacc_data.errors import InputError
from chromacc_data.files import file_digest
from chromacc_data.store.hdf5 import require_plain
from chromacc_data.typed_values import parse_json

__all__ = ["KerasArchive", "read_archive", "refused", "require_network_file", "unreadable"]

_METADATA, _CONFIG, _WEIGHTS = "metadata.json", "config.json", "model.weights.h5"
#: Most bytes of the two texts; a network of a hundred layers has some 100 kB.
_MAX_TEXT = 16 << 20
#: How much weights may shrink in the archive: Keras stores them as they are, and floats hardly compress.
_MAX_RATIO = 20


class KerasArchive(NamedTuple):
    """What a `.keras` file holds.

    Parameters
    ----------
    config
        The network, as Keras describes it.
    weights
        Bytes of an HDF5 file that holds all its data itself.
    shapes
        Shape of each dataset in it, by name.
    """

    config: Any
    weights: io.BytesIO
    shapes: dict[str, tuple[int, ...]]


def require_network_file(path: Path, sha256: str | None = None) -> None:
    """Raise unless a file is there, with the checksum that is given."""
    if not path.is_file():
        raise InputError("no such file", where=path, expected="a network saved as .keras")
    if sha256 is not None and (found := file_digest(path, fresh=True)) != sha256:
        raise InputError(
            "the weights have another checksum",
            where=path,
            found=found,
            expected=sha256,
            remedy="fetch the model again, or package it again if it was changed on purpose",
        )


def read_archive(path: Path) -> KerasArchive:
    """Read a `.keras` file whose sizes are bounded before it is unpacked.

    Raises
    ------
    InputError
        If it is not an archive of a network, unpacks to too much, or its HDF5 leads out of it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _require_members(archive, path)
            config = parse_json(archive.read(_CONFIG).decode(), where=f"{path}, {_CONFIG}")
            weights = io.BytesIO(archive.read(_WEIGHTS))
    except InputError:
        raise
    except Exception as error:  # a damaged archive raises errors of every kind
        raise unreadable(path, error) from error
    return KerasArchive(config, weights, require_plain(weights, where=f"{path}, {_WEIGHTS}", max_ratio=1))


def refused(what: str, path: Path, *, found: str, expected: str | None = None) -> InputError:
    """The error for a file that is not given to Keras."""
    return InputError(
        what,
        where=path,
        found=found,
        expected=expected or "a .keras file saved by this version of chromacc",
        remedy="fetch the file again from where it was published, or make it again",
    )


def unreadable(path: Path, error: Exception) -> InputError:
    """The error for a file that is damaged, or of another kind."""
    return InputError(
        "cannot be loaded as a network",
        where=path,
        found=(str(error).splitlines() or [type(error).__name__])[0][:300],
        expected="a .keras file saved by this version of chromacc",
        remedy="restore it from a copy, or delete its folder and make it again",
    )


def _require_members(archive: zipfile.ZipFile, path: Path) -> None:
    members = archive.infolist()
    if sorted(member.filename for member in members) != sorted((_METADATA, _CONFIG, _WEIGHTS)):
        raise refused(
            "not the archive of a network",
            path,
            found=", ".join(member.filename[:60] for member in members[:8]) or "an empty archive",
            expected=f"{_METADATA}, {_CONFIG} and {_WEIGHTS}, once each",
        )
    for member in members:
        limit = max(1 << 20, _MAX_RATIO * member.compress_size)
        if member.filename != _WEIGHTS:
            limit = min(limit, _MAX_TEXT)
        if member.file_size > limit:
            raise refused(
                f"{member.filename} would unpack to too much",
                path,
                found=f"{member.file_size:,} bytes from {member.compress_size:,}",
                expected=f"at most {limit:,} bytes",
            )
