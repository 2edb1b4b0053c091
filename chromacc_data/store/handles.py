"""Handles on a store that read that one store, or fail: never parts of two, and never zeros for what is gone.

Zarr opens a file for each chunk, by its path, and takes a missing one for a chunk of zeros. Where a store is
replaced while it is read, chunks of both would come back as one array. :class:`StoreFolder` holds its folder
open, and checks after each read that the path still leads there. An open HDF5 file stays what it is, but
xarray closes and opens files as it needs: :func:`open_hdf5` checks at each opening that it is the same store.
"""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5netcdf
import xarray as xr
from xarray.backends import CachingFileManager, H5NetCDFStore
from xarray.backends.h5netcdf_ import HDF5_LOCK
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

from chromacc_data.errors import InputError

if TYPE_CHECKING:
    from typing import Self

__all__ = ["StoreFolder", "open_hdf5", "replaced"]


class StoreFolder(LocalStore):
    """Folder of a Zarr store, to read: raises where the folder is replaced, or a chunk is missing.

    Parameters
    ----------
    root
        The folder.
    metadata
        What its `zarr.json` has to be; as it is now when not given. A copy in another process has it, so
        that a store that was replaced on the way is seen there.

    Raises
    ------
    OSError
        If the folder cannot be opened.
    InputError
        If it has other metadata.
    """

    def __init__(self, root: Path | str, *, read_only: bool = True, metadata: bytes | None = None) -> None:
        super().__init__(root, read_only=True)
        # Held open, its inode cannot become that of another folder.
        self._folder = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._folder)
        found = (self.root / "zarr.json").read_bytes()
        self._metadata = found if metadata is None else metadata
        if found != self._metadata:
            raise replaced(self.root)
        self._require_same()

    def __getstate__(self) -> tuple[Path, bytes]:
        return self.root, self._metadata

    def __setstate__(self, state: tuple[Path, bytes]) -> None:
        root, metadata = state
        self.__init__(root, metadata=metadata)

    def with_read_only(self, read_only: bool = True) -> Self:
        """The same: there is nothing to write through it."""
        return self

    def get_sync(
        self,
        key: str,
        *,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Bytes of a file of the store."""
        return self._checked(key, super().get_sync(key, prototype=prototype, byte_range=byte_range))

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Bytes of a file of the store."""
        return self._checked(key, await super().get(key, prototype, byte_range))

    def _checked(self, key: str, found: Buffer | None) -> Buffer | None:
        self._require_same()
        if found is None and "c" in key.split("/")[1:]:
            raise FileNotFoundError(f"chunk {key} is missing")
        return found

    def _require_same(self) -> None:
        try:
            same = os.path.samestat(os.fstat(self._folder), self.root.stat())
        except FileNotFoundError:
            same = False
        if not same:
            raise replaced(self.root)


def open_hdf5(path: Path, *, identity: str) -> xr.Dataset:
    """Dataset of an HDF5 store, one dask block per chunk.

    Parameters
    ----------
    path
        The file.
    identity
        Name of the root attribute that two different stores do not share.

    Raises
    ------
    OSError
        If it is no HDF5 file.
    """
    with h5netcdf.File(path, "r") as file:
        expected = str(file.attrs.get(identity))
    manager = CachingFileManager(
        _open_same, path, mode="r", kwargs={"identity": identity, "expected": expected}
    )
    return xr.open_dataset(H5NetCDFStore(manager, lock=HDF5_LOCK), chunks={})


def _open_same(path: Path, mode: str, *, identity: str, expected: str) -> Any:
    file = h5netcdf.File(path, mode, decode_vlen_strings=True)
    if str(file.attrs.get(identity)) != expected:
        file.close()
        raise replaced(path)
    return file


def replaced(path: Path) -> InputError:
    """The error for a store that is no longer the one that was opened."""
    return InputError(
        "the store was replaced or removed while it was read",
        where=path,
        remedy="run the command again: it then reads the new store",
    )
