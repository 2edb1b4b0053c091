"""Open a store and read it, Zarr or HDF5 by suffix; every chunk is checked against its checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from chromacc_data.child import require_readable
from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.files import name_working_folder
from chromacc_data.lazy import lazy_module
from chromacc_data.progress import progress_bar
from chromacc_data.store import schema
from chromacc_data.store.handles import StoreFolder, open_hdf5, replaced
from chromacc_data.store.hdf5 import read_heads, require_plain
from chromacc_data.store.layout import require_plain_zarr
from chromacc_data.store.seal import require_chunks

if TYPE_CHECKING:
    import dask
else:
    dask = lazy_module("dask")

__all__ = [
    "FORMATS",
    "block_digest",
    "chunk_bounds",
    "content_hash",
    "looks_like_a_store",
    "open_store",
    "read_variable",
    "read_window_block",
    "root_hash",
    "store_format",
    "windowed",
]

#: Suffix of a store, and its format.
FORMATS = {".zarr": "zarr", ".h5": "hdf5"}

_CHUNKS_PER_TASK = 16
_DAMAGED = "the file is damaged: build or fetch the store again"
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def store_format(path: Path) -> str:
    """``"zarr"`` or ``"hdf5"``, by the suffix of `path`; another suffix raises InputError."""
    try:
        return FORMATS[path.suffix]
    except KeyError:
        raise InputError(
            "the suffix does not name a store format",
            where=path,
            found=repr(path.suffix),
            expected=" or ".join(FORMATS),
        ) from None


def open_store(path: Path | str) -> xr.Dataset:
    """Open a store, lazily: a Dataset of dask arrays, one block per chunk.

    Every chunk of windows carries a checksum that is checked when the chunk is read; read through
    :func:`read_variable` and :func:`read_window_block`, which say what is damaged.

    Parameters
    ----------
    path
        ``NAME.zarr`` or ``NAME.h5``.

    Raises
    ------
    InputError
        If there is no store, it is of another format or version, or a chunk of it is missing.

    Examples
    --------
    >>> import chromacc_data as cd
    >>> from chromacc_data.examples import example_store
    >>> ds = cd.open_store(example_store())
    >>> dict(ds.sizes)["window"], ds.cell_type.values.tolist()
    (240, ['erythroid', 'liver'])
    >>> ds.sequence[:2].values.shape  # read from the disk here
    (2, 60, 4)
    """
    path = Path(path)
    kind = store_format(path)
    if not path.exists():
        partial = name_working_folder(path)
        make = f"make it: chromacc-data build RECIPE -o {path}"
        remedy = "run its build again to resume it" if partial.exists() else make
        raise InputError("no such store", where=path, remedy=remedy)
    if kind == "zarr":
        require_plain_zarr(path)
    try:
        require_chunks(path)  # before anything is as large as its metadata say
        if kind == "zarr":
            folder = StoreFolder(path)
            ds = xr.open_zarr(folder, consolidated=False, chunks={}, zarr_format=3)
        else:
            require_readable(path, read_heads, remedy=_DAMAGED)
            ds = open_hdf5(path, identity=schema.ATTR_CONTENT_HASH)
    except InputError:
        raise
    except Exception as error:  # zarr, h5py and xarray raise errors of every kind for damaged metadata
        raise InputError(
            "cannot be opened as a store",
            where=path,
            found=(str(error).splitlines() or [type(error).__name__])[0][:300],
            expected="a store written by chromacc-data",
            remedy="build it again, or fetch it again if it was copied",
        ) from error
    if kind == "hdf5":
        require_plain(path, where=path)
    schema.validate(ds, where=str(path))
    for name in (schema.ATTR_CONTENT_HASH, schema.ATTR_WINDOW_CHUNK):
        if name not in ds.attrs:
            raise InputError(f"attribute {name!r} is missing", where=path, remedy="build the store again")
    ds.encoding["source"] = str(path)
    return ds[[name for name in schema.VARIABLES if name in ds]]


def looks_like_a_store(path: Path) -> bool:
    """Whether a file or folder, damaged perhaps, was once a store: nothing else may be replaced by one."""
    if path.is_file():
        with path.open("rb") as file:
            return file.read(len(_HDF5_MAGIC)) == _HDF5_MAGIC
    metadata = path / "zarr.json"
    return metadata.is_file() and schema.FORMAT in metadata.read_text(errors="replace")


def read_variable(ds: xr.Dataset, name: str) -> np.ndarray:
    """All values of one variable, checked against their checksums; InputError if a chunk fails its own."""
    return read_window_block(ds, name, 0, ds.sizes[schema.WINDOW])


def read_window_block(ds: xr.Dataset, name: str, start: int, stop: int) -> np.ndarray:
    """Values of one variable for windows `start` to `stop` (not included), checked against their checksums.

    Raises
    ------
    InputError
        If a chunk fails its checksum.
    """
    try:
        return ds[name].isel({schema.WINDOW: slice(start, stop)}).to_numpy()
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"a chunk of {name!r} is damaged",
            where=f"{ds.encoding.get('source', 'store')} windows {start} to {stop}",
            found=str(error).splitlines()[0] if str(error) else type(error).__name__,
            remedy="it changed on disk or in a copy: build or fetch the store again",
        ) from error


def content_hash(path: Path, *, engine: Engine | None = None, show_progress: bool = False) -> str:
    """SHA-256 of what a store holds, whatever its format: names, dimensions, cell types, and every value.

    Values are hashed in blocks of the attribute ``window_chunk`` along the window, and the digests of the
    blocks are hashed together with the layout. Compression, file layout and provenance do not enter.

    Raises
    ------
    InputError
        If a chunk fails its checksum.
    """
    ds = open_store(path)
    bounds = chunk_bounds(ds)
    # Opening costs more than reading a chunk: a task covers several.
    spans = [bounds[i : i + _CHUNKS_PER_TASK] for i in range(0, len(bounds), _CHUNKS_PER_TASK)]
    with progress_bar(
        ds.sizes[schema.WINDOW], unit="windows", description="reading", show=show_progress
    ) as bar:
        digests = (engine or Engine()).run(
            [dask.delayed(_block_digests)(path, ds.attrs[schema.ATTR_CONTENT_HASH], span) for span in spans],
            weights=[span[-1][1] - span[0][0] for span in spans],
            bar=bar,
        )
    return root_hash(ds, [digest for span in digests for digest in span])


def chunk_bounds(ds: xr.Dataset) -> list[tuple[int, int]]:
    """First window of each chunk, and the one after its last."""
    n, chunk = ds.sizes[schema.WINDOW], int(ds.attrs[schema.ATTR_WINDOW_CHUNK])
    return [(start, min(start + chunk, n)) for start in range(0, n, chunk)]


def windowed(ds: xr.Dataset) -> list[str]:
    """Names of the variables that have a value for each window, sorted."""
    return sorted(str(name) for name, array in ds.data_vars.items() if schema.WINDOW in array.dims)


def block_digest(blocks: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of the values of one chunk, by variable."""
    digest = hashlib.sha256()
    for name in sorted(blocks):
        block = np.ascontiguousarray(blocks[name])
        digest.update(f"{name} {block.dtype.str} {block.shape}\n".encode())
        digest.update(block.data)
    return digest.hexdigest()


def root_hash(ds: xr.Dataset, digests: list[str | None]) -> str:
    """Content hash of a store, from the digests of its chunks."""
    layout = {
        "format": [schema.FORMAT, schema.FORMAT_VERSION],
        "sizes": {str(dim): size for dim, size in sorted(ds.sizes.items())},
        "cell_types": [str(name) for name in ds[schema.CELL_TYPE].values],
        "chrom_names": [str(name) for name in np.atleast_1d(ds[schema.CHROM.name].attrs[schema.ATTR_NAMES])]
        if schema.CHROM.name in ds
        else [],
        "chunks": digests,
    }
    if schema.ATTR_TRUTH in ds.attrs:  # what the codes of sites and scores mean
        layout["truth"] = ds.attrs[schema.ATTR_TRUTH]
        layout["motifs"] = [str(name) for name in ds[schema.MOTIF].values]
    return hashlib.sha256(json.dumps(layout, sort_keys=True).encode()).hexdigest()


def _block_digests(path: Path, root: str, bounds: list[tuple[int, int]]) -> list[str]:
    with dask.config.set(scheduler="synchronous"), open_store(path) as ds:
        if ds.attrs[schema.ATTR_CONTENT_HASH] != root:
            raise replaced(path)
        return [
            block_digest({name: read_window_block(ds, name, start, stop) for name in windowed(ds)})
            for start, stop in bounds
        ]
