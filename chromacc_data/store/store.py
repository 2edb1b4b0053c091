"""The store on disk: create, resume, publish, open, hash, convert. Zarr or HDF5 by suffix.

A store is written beside its final name, in ``NAME.partial``, chunk by chunk in any order by any number of
workers; each finished chunk leaves a marker with its digest, so that a killed build can be resumed.
When all chunks are there and have been read back, it is renamed: a visible store is a whole store.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import dask
import h5netcdf
import numpy as np
import xarray as xr
import zarr
from tqdm import tqdm
from zarr.codecs import BloscCodec, Crc32cCodec

from chromacc_data.child import CHECK_THE_DISK, call_in_child, require_readable
from chromacc_data.console import progress_bar
from chromacc_data.engine import Engine
from chromacc_data.errors import CheckError, DiskFullError, InputError
from chromacc_data.files import (
    disk_errors,
    empty_working_folder,
    hold_working_folder,
    leftovers,
    name_working_folder,
    publish,
    recover,
    remove_working_folder,
    write_text_atomically,
)
from chromacc_data.sizes import require_disk, stored_bytes
from chromacc_data.store import schema
from chromacc_data.store.handles import StoreFolder, open_hdf5, replaced
from chromacc_data.store.hdf5 import read_heads, require_plain
from chromacc_data.store.layout import require_plain_zarr
from chromacc_data.store.seal import attribute_checksums, require_chunks, require_sealed

__all__ = [
    "Partial",
    "content_hash",
    "convert",
    "count_lines",
    "leftovers",
    "looks_like_a_store",
    "open_store",
    "publish",
    "read_variable",
    "read_window_block",
    "store_format",
    "write_store",
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
            remedy="the disk or a copy changed it: build or fetch the store again",
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
    bounds = _bounds(ds)
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
    return _root_hash(ds, [digest for span in digests for digest in span])


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
        The working folder beside `path`, held open by the caller.
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
    bounds = _bounds(ds)
    with progress_bar(
        ds.sizes[schema.WINDOW], unit="windows", description="writing", show=show_progress
    ) as bar:
        digests = partial.finished(staged, bounds, engine, bar)
        todo = [i for i, digest in enumerate(digests) if digest is None]
        blocks = {name: ds[name].data.to_delayed().ravel() for name in _windowed(ds)}
        tasks = [
            dask.delayed(_write_chunk)(
                staged, *bounds[i], {name: blocks[name][i] for name in blocks}, partial.marker(i)
            )
            for i in todo
        ]
        weights = [bounds[i][1] - bounds[i][0] for i in todo]
        for i, digest in zip(todo, engine.run(tasks, weights=weights, bar=bar), strict=True):
            digests[i] = digest
    root = _root_hash(ds, digests)
    if expected not in (None, root):
        partial.remove()
        raise CheckError(
            "content differs from its hash",
            where=ds.encoding.get("source"),
            found=root,
            expected=expected,
        )
    # What was converted keeps its checksums: anew, they would vouch for attributes that nobody has checked.
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
        ``NAME.zarr`` or ``NAME.h5``; nothing may be there.
    engine
        Where dask tasks run; threads on all cores when not given.
    show_progress
        Show a bar with rate and time left.

    Raises
    ------
    CheckError
        If what was read is not what the store's content hash says.
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
    # What another conversion left unfinished is of no use to this one.
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


def count_lines(counts: Mapping[str, int]) -> list[str]:
    """Counts by name, one aligned line each."""
    return [f"  {name:<40} {count:>12,}" for name, count in counts.items()]


class Partial:
    """The working folder ``NAME.partial`` of a store that is being written.

    It belongs to one *key* (what is built from what). A second process that opens it, or one with another
    key, gets an InputError.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    @contextmanager
    def open(cls, path: Path, *, key: str, restart: bool = False) -> Iterator[Partial]:
        """Lock and enter the working folder of the store `path`, made now or left by a killed run.

        When the work ends with an error of its input before the first chunk is finished, the folder is
        removed: there is nothing to go on with.

        Parameters
        ----------
        path
            Final name of the store.
        key
            What determines the content. Finished chunks of another key are refused.
        restart
            Throw them away instead.
        """
        with hold_working_folder(path, what="store") as folder:
            recover(path)
            partial = cls(folder)
            partial._claim(key, restart=restart)
            try:
                yield partial
            except InputError as error:
                if not isinstance(error, DiskFullError) and not partial._has_chunks():
                    partial.remove()
                raise

    def _claim(self, key: str, *, restart: bool) -> None:
        key_file = self.folder / "key"
        found = key_file.read_text() if key_file.exists() else None
        if found == key and not restart:
            return
        if found is not None and self._has_chunks() and not restart:
            raise InputError(
                "an unfinished build of something else stands here",
                where=self.folder,
                found=f"build key {found[:12]}",
                expected=f"build key {key[:12]} (recipe and inputs have changed since)",
                remedy="--restart throws the unfinished build away; a finished store is not touched",
            )
        empty_working_folder(self.folder)
        write_text_atomically(key_file, key)

    def _has_chunks(self) -> bool:
        return any((self.folder / "chunks").glob("[0-9]*"))

    def marker(self, chunk: int) -> Path:
        """File that says that a chunk is finished, and holds its digest."""
        return self.folder / "chunks" / f"{chunk:07d}"

    def finished(
        self, staged: Path, bounds: list[tuple[int, int]], engine: Engine, bar: tqdm
    ) -> list[str | None]:
        """Digest of each chunk that an earlier run finished and that reads back the same, else None."""
        (self.folder / "chunks").mkdir(exist_ok=True)
        digests: list[str | None] = [None] * len(bounds)
        marked = [i for i in range(len(bounds)) if self.marker(i).exists()]
        checks = [dask.delayed(_check_chunk)(staged, *bounds[i], self.marker(i)) for i in marked]
        for i, digest in zip(marked, engine.run(checks), strict=True):
            digests[i] = digest
            if digest is not None:
                bar.update(bounds[i][1] - bounds[i][0])
        return digests

    def remove(self) -> None:
        """Delete the folder: the store has its final name, or will never have it."""
        remove_working_folder(self.folder)


def _bounds(ds: xr.Dataset) -> list[tuple[int, int]]:
    n, chunk = ds.sizes[schema.WINDOW], int(ds.attrs[schema.ATTR_WINDOW_CHUNK])
    return [(start, min(start + chunk, n)) for start in range(0, n, chunk)]


def _windowed(ds: xr.Dataset) -> list[str]:
    return sorted(str(name) for name, array in ds.data_vars.items() if schema.WINDOW in array.dims)


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
        for name in _windowed(ds)
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
        digest = _digest(blocks)
        write_text_atomically(marker, digest)
    return digest


def _check_chunk(staged: Path, start: int, stop: int, marker: Path) -> str | None:
    group = zarr.open_group(staged, mode="r")
    names = sorted(name for name, array in group.arrays() if array.shape and name not in schema.NAMED)
    try:
        found = _digest({name: group[name][start:stop] for name in names})
    except (OSError, ValueError, RuntimeError):
        return None  # half written when it was killed: it is made again
    return found if found == marker.read_text() else None


def _digest(blocks: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(blocks):
        block = np.ascontiguousarray(blocks[name])
        digest.update(f"{name} {block.dtype.str} {block.shape}\n".encode())
        digest.update(block.data)
    return digest.hexdigest()


def _block_digests(path: Path, root: str, bounds: list[tuple[int, int]]) -> list[str]:
    with dask.config.set(scheduler="synchronous"), open_store(path) as ds:
        if ds.attrs[schema.ATTR_CONTENT_HASH] != root:
            raise replaced(path)
        return [
            _digest({name: read_window_block(ds, name, start, stop) for name in _windowed(ds)})
            for start, stop in bounds
        ]


def _root_hash(ds: xr.Dataset, digests: list[str | None]) -> str:
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
        for start, stop in _bounds(ds):
            for name in _windowed(ds):
                file.variables[name][start:stop] = read_window_block(ds, name, start, stop)
            bar.update(stop - start)


def _left_by_another(out: Path, expected: str) -> bool:
    key = name_working_folder(out) / "key"
    return key.exists() and key.read_text() != f"convert {expected}"
