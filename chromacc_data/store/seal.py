"""Checksums of what the content hash does not cover: attributes, names, types and the files of a store.

The content hash covers values. Where a store comes from, what its builder counted and what its variables mean
stand in attributes; the root attribute ``attribute_checksums`` holds a SHA-256 of each, the same for both
formats. Stores built before there was one open as ever: nothing vouches for their attributes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from chromacc_data.errors import CheckError, InputError
from chromacc_data.store import schema

__all__ = [
    "attribute_checksums",
    "is_sealed",
    "plain",
    "require_chunks",
    "require_layout",
    "require_sealed",
]

_METADATA = "zarr.json"
_NUMBERS = {variable.dtype for variable in schema.VARIABLES.values()}
_DAMAGED = "it changed on disk or in a copy: build or fetch the store again"


def attribute_checksums(ds: xr.Dataset) -> str:
    """The text of the attribute ``attribute_checksums``: JSON with a SHA-256 for each attribute and variable.

    Parameters
    ----------
    ds
        An open store. A checksum is of the JSON text, with sorted keys, of an attribute's value, or of a
        variable's dimensions, type and attributes.

    Examples
    --------
    >>> ds = schema.template(2, 5, ["liver"], chunk=2, variables=[schema.SPLIT])
    >>> list(json.loads(attribute_checksums(ds))["attributes"])
    ['format', 'format_version', 'window_chunk']
    """
    attributes = {str(name): _sha256(value) for name, value in ds.attrs.items()}
    attributes.pop(schema.ATTR_CHECKSUMS, None)
    variables = {str(name): _sha256(_facts(array)) for name, array in ds.variables.items()}
    return json.dumps({"attributes": attributes, "variables": variables}, sort_keys=True)


def is_sealed(ds: xr.Dataset) -> bool:
    """Whether a store carries checksums of its attributes."""
    return schema.ATTR_CHECKSUMS in ds.attrs


def require_sealed(ds: xr.Dataset, *, where: Path | str) -> None:
    """Raise a CheckError that names the first attribute or variable that is not what its checksum says.

    A store without checksums passes: ask :func:`is_sealed`.
    """
    if not is_sealed(ds):
        return
    recorded, found = str(ds.attrs[schema.ATTR_CHECKSUMS]), attribute_checksums(ds)
    if recorded == found:
        return
    try:
        before = json.loads(recorded)
        changed = [
            f"{kind[:-1]} {name!r}"
            for kind, now in json.loads(found).items()
            for name in sorted({*now, *before[kind]})
            if now.get(name) != before[kind].get(name)
        ]
    except (ValueError, LookupError, TypeError):
        changed = []
    raise CheckError(
        "attributes differ from their checksums",
        where=where,
        found=", ".join(changed) or f"attribute {schema.ATTR_CHECKSUMS!r} is damaged",
        expected="what was written when the store was built",
        remedy=_DAMAGED,
    )


def require_chunks(path: Path) -> None:
    """Raise an InputError where metadata of a store tell of chunks that are missing, or impossibly large.

    Nothing is allocated by what metadata say: call it before the store is opened. Metadata that cannot be
    read are left to what opens it.
    """
    arrays = _hdf5_arrays(path) if path.is_file() else _zarr_arrays(path)
    for name, (shape, chunks, itemsize, found) in arrays.items():
        expected = math.prod(-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True))
        if found != expected:
            raise InputError(
                f"chunks of {name!r} are missing",
                where=path,
                found=f"{found:,} chunks",
                expected=f"{expected:,}",
                remedy="the copy is incomplete: build or fetch the store again",
            )
        if (size := math.prod(chunks) * itemsize) > schema.LARGEST_CHUNK:
            raise InputError(
                f"a chunk of {name!r} is too large",
                where=path,
                found=f"{size:,} bytes",
                expected=f"at most {schema.LARGEST_CHUNK:,}",
                remedy=_DAMAGED,
            )


def require_layout(path: Path) -> None:
    """Raise a CheckError unless a store is made of its own parts: no foreign file, one state of its metadata.

    In Zarr, metadata stand in a file for each array and, consolidated, in the root's: both must say the same.
    In HDF5, each chunk must have its checksum, and no chunk may be missing.
    """
    if path.is_dir():
        _require_zarr_layout(path)
    else:
        _require_hdf5_layout(path)


def plain(value: Any) -> Any:
    """An attribute's value in types that JSON knows, the same whatever format it was read from."""
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return value if value is None or isinstance(value, str | int | float) else repr(value)


#: Shape, shape of a chunk, bytes of a value, and chunks that are there.
_Array = tuple[tuple[int, ...], tuple[int, ...], int, int]


def _zarr_arrays(path: Path) -> dict[str, _Array]:
    arrays = {}
    for file in sorted(path.glob(f"*/{_METADATA}")):
        try:
            metadata = json.loads(file.read_text(encoding="utf-8"))
            shape, chunks = metadata["shape"], metadata["chunk_grid"]["configuration"]["chunk_shape"]
            kind = metadata["data_type"]
            itemsize = np.dtype(kind).itemsize if kind in _NUMBERS else np.dtype(object).itemsize
            if len(shape) != len(chunks) or not all(type(n) is int and n > 0 for n in chunks):
                raise ValueError
            found = sum(_is_chunk(parts, metadata) for parts in _files(file.parent))
            arrays[file.parent.name] = (tuple(map(int, shape)), tuple(chunks), itemsize, found)
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            continue
    return arrays


def _hdf5_arrays(path: Path) -> dict[str, _Array]:
    with h5py.File(path) as file:
        return {
            name: (array.shape, array.chunks, array.dtype.itemsize, array.id.get_num_chunks())
            if array.chunks
            # Not chunked: all of it is in the file.
            else (array.shape, array.shape, array.dtype.itemsize, int(array.size > 0))
            for name, array in file.items()
            if isinstance(array, h5py.Dataset) and array.shape
        }


def _facts(array: xr.Variable) -> dict[str, Any]:
    attributes = plain(dict(array.attrs))
    if schema.ATTR_NAMES in attributes:  # HDF5 gives a list of one as its only entry
        attributes[schema.ATTR_NAMES] = plain(np.atleast_1d(array.attrs[schema.ATTR_NAMES]))
    # Texts are objects, or texts of a fixed length, by format and by release of xarray.
    dtype = array.dtype.str if array.dtype.kind in "biuf" else "text"
    return {"dims": list(map(str, array.dims)), "dtype": dtype, "attributes": attributes}


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(plain(value), sort_keys=True).encode()).hexdigest()


def _require_zarr_layout(path: Path) -> None:
    root = _read_metadata(path / _METADATA)
    consolidated = root.pop("consolidated_metadata", {})
    if sorted(root) != ["attributes", "node_type", "zarr_format"]:
        raise _differs(path / _METADATA, "unknown keys", found=", ".join(root))
    files = list(_files(path))
    names = sorted({name for name, *inside in files if inside == [_METADATA]})
    arrays = {name: _read_metadata(path / name / _METADATA) for name in names}
    if _text(consolidated) != _text({"kind": "inline", "must_understand": False, "metadata": arrays}):
        raise _differs(path / _METADATA, "consolidated metadata are not those of the arrays")
    for parts in files:
        if parts == [_METADATA] or parts[1:] == [_METADATA]:
            known = parts[0] == _METADATA or parts[0] in {*schema.VARIABLES, *schema.NAMED}
        else:
            known = parts[0] in arrays and _is_chunk(parts[1:], arrays[parts[0]])
        if not known:
            raise CheckError(
                "a file that is not part of the store",
                where=path.joinpath(*parts),
                expected="metadata and chunks of the store's variables only",
                remedy="remove it",
            )


def _require_hdf5_layout(path: Path) -> None:
    with h5py.File(path) as file:
        dims = {dim for variable in schema.VARIABLES.values() for dim in variable.dims}
        for name, array in file.items():
            if name not in {*schema.VARIABLES, *dims}:
                raise CheckError("an object that is not part of the store", where=f"{path} {name}")
            if name not in schema.VARIABLES:
                continue
            n_chunks = -(-array.shape[0] // array.chunks[0]) if array.chunks else 0
            found = (array.compression, array.shuffle, array.fletcher32, array.fillvalue)
            if found != ("gzip", True, True, 0) or array.id.get_num_chunks() != n_chunks:
                raise _differs(
                    f"{path} {name}",
                    "chunks are missing, or have no checksum",
                    found=f"{array.id.get_num_chunks()} chunks, compression {array.compression}, "
                    f"Fletcher-32 {array.fletcher32}",
                    expected=f"{n_chunks} chunks, compression gzip, Fletcher-32 True",
                )


def _read_metadata(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise _differs(path, "not metadata of Zarr", found=str(error).splitlines()[0]) from error
    if not isinstance(found, dict):
        raise _differs(path, "not metadata of Zarr", found=type(found).__name__)
    return found


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key is given twice")
    return dict(pairs)


def _files(path: Path) -> Iterator[list[str]]:
    """Parts of the path of each file below a folder."""
    for folder, _, names in os.walk(path):
        inside = list(Path(folder).relative_to(path).parts)
        yield from ([*inside, name] for name in sorted(names))


def _is_chunk(key: list[str], metadata: dict[str, Any]) -> bool:
    """Whether a path inside an array's folder is ``c/I/J/...`` of one of its chunks."""
    try:
        shape, chunks = metadata["shape"], metadata["chunk_grid"]["configuration"]["chunk_shape"]
        numbers = list(map(int, key[1:]))
        inside = all(0 <= i * c < max(s, 1) for i, c, s in zip(numbers, chunks, shape, strict=True))
    except (LookupError, TypeError, ValueError):
        return False
    return inside and key == ["c", *map(str, numbers)]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _differs(where: Path | str, what: str, *, found: object = None, expected: object = None) -> CheckError:
    return CheckError(what, where=where, found=found, expected=expected, remedy=_DAMAGED)
