"""Write a store, or write it again in the other format. Zarr or HDF5 by suffix.

A store is written next to its final name, in ``NAME.partial``, chunk by chunk in any order by any number of
workers; each finished chunk leaves a marker with its digest, so that a killed build can be resumed.
When all chunks are there and have been read back, it is renamed: a visible store is a whole store.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import dask
import h5netcdf
import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from chromacc_data.child import CHECK_THE_DISK, call_in_child
from chromacc_data.engine import Engine
from chromacc_data.errors import CheckError, InputError
from chromacc_data.files import disk_errors, name_working_folder, publish, write_text_atomically
from chromacc_data.progress import progress_bar
from chromacc_data.sizes import require_disk, stored_bytes
from chromacc_data.store import schema
from chromacc_data.store.partial import Partial
from chromacc_data.store.read import (
    block_digest,
    chunk_bounds,
    content_hash,
    open_store,
    read_window_block,
    root_hash,
    store_format,
    windowed,
)
from chromacc_data.store.seal import attribute_checksums, require_sealed

__all__ = ["convert", "write_store"]


def write_store(
    ds: xr.Dataset,
    path: Path,
    *,
    engine: Engine,
    partial: Partial,
    expected: str | None = None,
    show_progress: bool = False,
) -> str:
    """Compute a lazy Dataset and write it as a store; returns the content hash.

    One dask task computes, writes and reads back one chunk of every variable, so memory is bounded by the
    chunks in flight. Chunks that an earlier, killed run finished are checked and kept.

    Parameters
    ----------
    ds
        Dataset with the layout of :func:`chromacc_data.store.schema.template`.
    path
        ``NAME.zarr`` or ``NAME.h5``; replaced only when the new store is whole.
    engine
        Where the tasks run.
    partial
        The working folder next to `path`, held open by the caller.
    expected
        Content hash that the store must have, when it is known.

    Raises
    ------
    CheckError
        If it has another; nothing is published then.
    """
    staged = partial.folder / "store.zarr"
    layout = partial.folder / "layout"
    if not layout.exists():
        with suppress(FileNotFoundError):
            shutil.rmtree(staged)
        _write_layout(ds, staged)
        layout.touch()
    bounds = chunk_bounds(ds)
    with progress_bar(
        ds.sizes[schema.WINDOW], unit="windows", description="writing", show=show_progress
    ) as bar:
        digests = partial.finished(staged, bounds, engine, bar)
        todo = [i for i, digest in enumerate(digests) if digest is None]
        blocks = {name: ds[name].data.to_delayed().ravel() for name in windowed(ds)}
        tasks = [
            dask.delayed(_write_chunk)(
                staged, *bounds[i], {name: blocks[name][i] for name in blocks}, partial.marker(i)
            )
            for i in todo
        ]
        weights = [bounds[i][1] - bounds[i][0] for i in todo]
        for i, digest in zip(todo, engine.run(tasks, weights=weights, bar=bar), strict=True):
            digests[i] = digest
    root = root_hash(ds, digests)
    if expected not in (None, root):
        partial.remove()
        raise CheckError(
            "content differs from its hash",
            where=ds.encoding.get("source"),
            found=root,
            expected=expected,
        )
    # A converted store keeps its checksums: new ones would vouch for attributes that nobody has checked.
    _seal(staged, root, checksums=expected is None)
    if store_format(path) == "zarr":
        layout.unlink()  # a kill after the next line leaves the older store in the place of this one
        publish(staged, path)
    else:
        _publish_hdf5(staged, path, partial.folder / "store.h5", expected=root, show_progress=show_progress)
    partial.remove()
    return root


def convert(
    source: Path | str, out: Path | str, *, engine: Engine | None = None, show_progress: bool = False
) -> str:
    """Write a store again in the format that the suffix of `out` names; returns the content hash.

    Parameters
    ----------
    source
        The store.
    out
        ``NAME.zarr`` or ``NAME.h5``; must not exist.
    engine
        Where dask tasks run; threads on all cores when not given.
    show_progress
        Show a bar with rate and time left.

    Raises
    ------
    CheckError
        If the content does not match the store's content hash.
    InputError
        If there is no store, or something is at `out`.

    Examples
    --------
    >>> import chromacc_data as cd
    >>> from chromacc_data.examples import example_folder, example_store
    >>> copy = example_folder() / "tiny.h5"
    >>> cd.convert(example_store(), copy) == cd.open_store(copy).attrs["content_hash"]
    True
    """
    # Absolute: a worker of a cluster may have another working folder.
    source, out, engine = Path(source).absolute(), Path(out).absolute(), engine or Engine()
    ds = open_store(source)
    require_sealed(ds, where=source)
    require_disk(out, stored_bytes(ds), what="the store")
    expected = ds.attrs[schema.ATTR_CONTENT_HASH]
    # This conversion cannot use what another one left unfinished.
    with Partial.open(out, key=f"convert {expected}", restart=_left_by_another(out, expected)) as partial:
        if out.exists():
            partial.remove()
            raise InputError("exists already", where=out, remedy="name another file, or delete it")
        if store_format(out) == "hdf5":
            _publish_hdf5(
                source, out, partial.folder / "store.h5", expected=expected, show_progress=show_progress
            )
            partial.remove()
            return expected
        return write_store(
            ds, out, engine=engine, partial=partial, expected=expected, show_progress=show_progress
        )


def _encoding(ds: xr.Dataset) -> dict[str, dict]:
    # Bit shuffling packs one-hot bytes to 4 bits a base, which zstd's entropy coder brings to 2; its lowest
    # level and large blocks do best, as DNA holds little for the match finder. crc32c guards each read.
    compressors = [BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle", blocksize=1 << 20), Crc32cCodec()]
    chunk = int(ds.attrs[schema.ATTR_WINDOW_CHUNK])
    texts = {name: {"compressors": [Crc32cCodec()]} for name in schema.NAMED if name in ds.coords}
    return texts | {
        name: {
            "chunks": (min(chunk, max(1, ds.sizes[schema.WINDOW])), *ds[name].shape[1:]),
            "compressors": compressors,
        }
        for name in windowed(ds)
    }


def _write_layout(ds: xr.Dataset, staged: Path) -> None:
    with disk_errors(staged):
        texts = {name: ds[name].astype(object) for name in schema.NAMED if name in ds.coords}
        clean = ds.assign_coords(texts).drop_encoding()
        clean.to_zarr(
            staged, mode="w", compute=False, consolidated=False, zarr_format=3, encoding=_encoding(clean)
        )


def _seal(staged: Path, root: str, *, checksums: bool = True) -> None:
    attrs = zarr.open_group(staged, mode="r+").attrs
    attrs[schema.ATTR_CONTENT_HASH] = root
    if checksums:
        attrs[schema.ATTR_CHECKSUMS] = attribute_checksums(open_store(staged))
    with warnings.catch_warnings():
        # Not in the Zarr v3 specification yet, but `xr.open_zarr` asks for it; readers may ignore it.
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        zarr.consolidate_metadata(staged)


def _write_chunk(staged: Path, start: int, stop: int, blocks: Mapping[str, np.ndarray], marker: Path) -> str:
    group = zarr.open_group(staged, mode="r+")
    with disk_errors(staged.parent):
        for name, block in blocks.items():
            # An all-zero chunk is written too: a missing file must mean a missing chunk.
            array = group[name].with_config({"write_empty_chunks": True})
            array[start:stop] = block
            if not np.array_equal(array[start:stop], block):
                raise OSError(f"{staged}: chunk of {name!r} reads back differently")
        digest = block_digest(blocks)
        write_text_atomically(marker, digest)
    return digest


def _publish_hdf5(source: Path, path: Path, staged: Path, *, expected: str, show_progress: bool) -> None:
    # HDF5 crashes on a full disk, when it closes the file.
    with disk_errors(path):
        call_in_child(_write_hdf5, source, staged, show_progress, file=path, remedy=CHECK_THE_DISK)
    found = content_hash(staged)
    if found != expected:
        raise CheckError("content differs from its hash", where=path, found=found, expected=expected)
    require_sealed(open_store(staged), where=staged)
    publish(staged, path)


def _write_hdf5(source: Path, staged: Path, show_progress: bool) -> None:
    # HDF5 has one writer: blocks are read and written in order, in this process.
    ds = open_store(source)
    n = ds.sizes[schema.WINDOW]
    bar = progress_bar(n, unit="windows", description="writing HDF5", show=show_progress)
    with h5netcdf.File(staged, "w") as file, bar:
        file.dimensions = dict(ds.sizes)
        for name, array in ds.variables.items():
            dims = tuple(map(str, array.dims))
            if schema.WINDOW in dims:
                variable = file.create_variable(
                    str(name),
                    dims,
                    array.dtype,
                    chunks=_encoding(ds)[str(name)]["chunks"],
                    compression="gzip",
                    compression_opts=4,
                    shuffle=True,
                    fletcher32=True,
                )
            else:
                variable = file.create_variable(str(name), dims, h5netcdf.core.h5py.string_dtype())
                variable[...] = array.values.astype(object)
            variable.attrs.update(array.attrs)
        file.attrs.update(ds.attrs)
        for start, stop in chunk_bounds(ds):
            for name in windowed(ds):
                file.variables[name][start:stop] = read_window_block(ds, name, start, stop)
            bar.update(stop - start)


def _left_by_another(out: Path, expected: str) -> bool:
    key = name_working_folder(out) / "key"
    return key.exists() and key.read_text() != f"convert {expected}"
