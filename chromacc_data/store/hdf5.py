"""Checks that an HDF5 file is self-contained: no link, virtual dataset or storage that leads elsewhere."""

from __future__ import annotations

import math
from pathlib import Path
from typing import IO

import h5py

from chromacc_data.errors import InputError

__all__ = ["read_heads", "require_plain"]

#: Most datasets and groups of a file of ours; a network has some hundred.
_MAX_OBJECTS = 100_000
#: Values that filters squeeze most (zeros by gzip) take about a thousandth of their size.
MAX_RATIO = 1100


def require_plain(
    file: Path | IO[bytes], *, where: Path | str, max_ratio: int = MAX_RATIO
) -> dict[str, tuple[int, ...]]:
    """Raise unless all that an HDF5 file shows is in it, and is not larger than the file can hold.

    Refused are soft and external links, virtual datasets, external storage, and datasets whose values, or
    chunks, cannot fit into the file even if they are compressed as far as filters can.

    Parameters
    ----------
    file
        The file, or an open one.
    where
        Its name in errors.
    max_ratio
        How many times the size of the file a dataset, or all of them, may have.

    Returns
    -------
    dict
        Shape of each dataset, by its path in the file.

    Raises
    ------
    InputError
        If the file leads elsewhere, or cannot be read.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        with h5py.File(file, "r") as opened:
            size = opened.id.get_filesize()
            pending, seen = [opened["/"]], set()
            while pending:
                group = pending.pop()
                for name in group:
                    place = f"{group.name.rstrip('/')}/{name}"
                    link = group.get(name, getlink=True)
                    if not isinstance(link, h5py.HardLink):
                        raise _refused(where, place, "a link to another object or file")
                    found = group[name]
                    address = h5py.h5o.get_info(found.id).addr
                    if address in seen:
                        continue
                    seen.add(address)
                    if len(seen) > _MAX_OBJECTS:
                        raise _refused(where, "/", f"more than {_MAX_OBJECTS:,} objects")
                    if isinstance(found, h5py.Group):
                        pending.append(found)
                    elif isinstance(found, h5py.Dataset):
                        _require_inside(found, max_ratio * size, where)
                        shapes[place] = found.shape or ()
    except InputError:
        raise
    except Exception as error:  # the library raises errors of every kind for a damaged file
        raise InputError(
            "cannot be read as HDF5",
            where=where,
            found=(str(error).splitlines() or [type(error).__name__])[0][:300],
            remedy="fetch or make the file again",
        ) from error
    return shapes


def _require_inside(dataset: h5py.Dataset, limit: int, where: Path | str) -> None:
    """Raise unless the values of a dataset are in its file, and have no more than `limit` bytes."""
    properties = dataset.id.get_create_plist()
    if properties.get_layout() == h5py.h5d.VIRTUAL:
        raise _refused(where, dataset.name, "a virtual dataset, of values in other files")
    if properties.get_external_count():
        raise _refused(where, dataset.name, "a dataset whose values are in another file")
    n_bytes = math.prod(dataset.shape or ()) * dataset.dtype.itemsize
    chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if max(n_bytes, chunk) > max(1 << 20, limit):
        raise _refused(
            where,
            dataset.name,
            f"{n_bytes:,} bytes of values in chunks of {chunk:,}; the file can hold {limit:,}",
        )

    n_chunks = math.prod(
        -(-n // size) for n, size in zip(dataset.shape or (), dataset.chunks or (), strict=False)
    )
    if dataset.chunks and n_chunks > max(1 << 20, limit):
        raise _refused(where, dataset.name, f"{n_chunks:,} chunks")


def _refused(where: Path | str, name: str, found: str) -> InputError:
    return InputError(
        "this HDF5 file is refused",
        where=f"{where}, {name}",
        found=found,
        expected="datasets whose values are in the file itself",
        remedy="do not use the file unless you know who made it; `h5repack` or h5py can copy its values",
    )


def read_heads(path: Path) -> None:
    """Read all metadata of an HDF5 file, and the first and last values of each array."""
    with h5py.File(path, "r") as file:
        dict(file.attrs)
        for array in file.values():
            dict(array.attrs)
            if isinstance(array, h5py.Dataset) and array.size:
                if array.chunks is not None:
                    array.id.get_num_chunks()
                array[:1], array[-1:]
