"""The metadata of a Zarr store, looked at before zarr sees it.

Zarr makes whatever codec and type the metadata name, of the older format 2 also such as run code (`pickle`),
and takes memory for chunks of any size. A store of ours has format 3 and a handful of codecs and types.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from chromacc_data.errors import InputError
from chromacc_data.store import schema
from chromacc_data.typed_values import MAX_JSON, parse_json, read_text

__all__ = ["require_plain_zarr"]

_METADATA = "zarr.json"
_OLDER = (".zgroup", ".zarray", ".zattrs", ".zmetadata")
_CODECS = frozenset({"blosc", "bytes", "crc32c", "gzip", "vlen-utf8", "zstd"})
_SIZES = {
    "bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8,
    "uint64": 8, "float32": 4, "float64": 8, "string": 1,
}  # fmt: skip
_REMEDY = "build the store again, or fetch it again if it was copied"


def require_plain_zarr(path: Path) -> None:
    """Raise unless a folder has the metadata of a Zarr store that can be opened without harm.

    Raises
    ------
    InputError
        If it is no group of Zarr format 3, or an array of it has another codec or type than a store may have,
        or chunks that are too large.
    """
    if not path.is_dir():
        raise _refused(path, "a file", f"a folder with {_METADATA}")
    older = [name for name in _OLDER if (path / name).exists()]
    if older or not (path / _METADATA).is_file():
        found = f"{older[0]}, of Zarr format 2" if older else f"no {_METADATA}"
        raise _refused(path, found, f"a folder with {_METADATA}, of Zarr format 3")
    _read(path / _METADATA, node_type="group")
    for folder in sorted(entry for entry in path.iterdir() if entry.is_dir()):
        if any((folder / name).exists() for name in _OLDER):
            raise _refused(folder, "an array of Zarr format 2", "Zarr format 3")
        if (folder / _METADATA).is_file():
            _require_plain_array(folder, _read(folder / _METADATA, node_type="array"))


def _read(path: Path, *, node_type: str) -> dict[str, Any]:
    text = read_text(path, expected="metadata of Zarr", limit=MAX_JSON, remedy=_REMEDY)
    metadata = parse_json(text, where=path, remedy=_REMEDY)
    kind = (metadata.get("zarr_format"), metadata.get("node_type")) if isinstance(metadata, dict) else None
    if kind != (3, node_type):
        raise _refused(path, str(kind)[:100], f"zarr_format 3, node_type {node_type}")
    return metadata


def _require_plain_array(folder: Path, metadata: dict[str, Any]) -> None:
    codecs = metadata.get("codecs")
    names = [c.get("name") if isinstance(c, dict) else c for c in codecs] if isinstance(codecs, list) else []
    unknown = [str(name)[:60] for name in names if not isinstance(name, str) or name not in _CODECS]
    if unknown or not names:
        raise _refused(folder, f"codec {', '.join(unknown[:8]) or 'none'}", ", ".join(sorted(_CODECS)))
    if metadata.get("storage_transformers"):
        raise _refused(folder, "storage transformers", "none")
    dtype = metadata.get("data_type")
    if not isinstance(dtype, str) or dtype not in _SIZES:
        raise _refused(folder, f"data_type {str(dtype)[:60]}", ", ".join(_SIZES))
    grid = metadata.get("chunk_grid")
    configuration = grid.get("configuration") if isinstance(grid, dict) else None
    chunk = configuration.get("chunk_shape") if isinstance(configuration, dict) else None
    shape = metadata.get("shape")
    if not _are_sizes(shape, 0) or not _are_sizes(chunk, 1) or len(shape) != len(chunk):
        raise _refused(folder, f"shape {str(shape)[:60]}, chunks {str(chunk)[:60]}", "whole numbers")
    if math.prod(chunk) * _SIZES[dtype] > schema.LARGEST_CHUNK or any(
        n > size for n, size in zip(shape[1:], chunk[1:], strict=True)
    ):
        raise _refused(
            folder,
            f"shape {shape}, chunks {chunk}",
            f"chunks of at most {schema.LARGEST_CHUNK:,} bytes, of whole windows",
        )


def _are_sizes(value: object, least: int) -> bool:
    return (
        isinstance(value, list)
        and 1 <= len(value) <= 8
        and all(isinstance(n, int) and not isinstance(n, bool) and least <= n < 2**62 for n in value)
    )


def _refused(where: Path, found: str, expected: str) -> InputError:
    return InputError(
        "cannot be opened as a store", where=where, found=found, expected=expected, remedy=_REMEDY
    )
