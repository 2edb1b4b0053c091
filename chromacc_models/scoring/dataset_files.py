"""Datasets of results as Zarr and HDF5 files that xarray opens, compressed, with a checksum of each chunk."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from chromacc_data.lazy import lazy_module

if TYPE_CHECKING:
    import xarray as xr
    import zarr
    from zarr import codecs as zarr_codecs
else:
    zarr, zarr_codecs = map(lazy_module, ("zarr", "zarr.codecs"))

__all__ = ["write_hdf5", "write_zarr"]

Chunks = Mapping[str, tuple[int, ...] | None]


def write_zarr(ds: xr.Dataset, path: Path, chunks: Chunks) -> None:
    """Write a new Zarr store.

    Parameters
    ----------
    ds
        The Dataset.
    path
        Folder to make.
    chunks
        Its large variables, and the shape of their chunks; None takes dask's.
    """
    compressors = [zarr_codecs.BloscCodec(cname="zstd", shuffle="shuffle"), zarr_codecs.Crc32cCodec()]
    encoding = {
        name: {"compressors": compressors} | ({} if shape is None else {"chunks": shape})
        for name, shape in chunks.items()
    }
    ds.to_zarr(path, mode="w-", zarr_format=3, consolidated=False, encoding=encoding)
    with warnings.catch_warnings():
        # Not in the Zarr v3 specification yet, but `xr.open_zarr` asks for it; readers may ignore it.
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        zarr.consolidate_metadata(path)


def write_hdf5(ds: xr.Dataset, path: Path, chunks: Mapping[str, tuple[int, ...]], *, level: int) -> None:
    """Write a new HDF5 file (netCDF-4); a full disk can crash it: call it in a child process.

    Parameters
    ----------
    ds
        The Dataset.
    path
        File to make.
    chunks
        Its large variables, and the shape of their chunks.
    level
        Of zlib's compression.
    """
    options = {"zlib": True, "complevel": level, "shuffle": True, "fletcher32": True}
    encoding = {name: {**options, "chunksizes": shape} for name, shape in chunks.items()}
    ds.to_netcdf(path, engine="h5netcdf", encoding=encoding)
