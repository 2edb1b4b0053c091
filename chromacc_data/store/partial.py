"""The working folder of a store that is being written, and which of its chunks are finished."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import zarr
from tqdm import tqdm

from chromacc_data.engine import Engine, delayed
from chromacc_data.errors import DiskFullError, InputError
from chromacc_data.files import (
    empty_working_folder,
    hold_working_folder,
    recover,
    remove_working_folder,
    write_text_atomically,
)
from chromacc_data.store import schema
from chromacc_data.store.read import block_digest

__all__ = ["Partial"]


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
        removed: there is nothing to resume from.

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
                "this is an unfinished build of another recipe or other inputs",
                where=self.folder,
                found=f"build key {found[:12]}",
                expected=f"build key {key[:12]} (recipe and inputs have changed since)",
                remedy="discard the unfinished build with --restart; a finished store is not touched",
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
        checks = [delayed(_check_chunk, staged, *bounds[i], self.marker(i)) for i in marked]
        for i, digest in zip(marked, engine.run(checks), strict=True):
            digests[i] = digest
            if digest is not None:
                bar.update(bounds[i][1] - bounds[i][0])
        return digests

    def remove(self) -> None:
        """Delete the folder: the store has its final name, or will never have it."""
        remove_working_folder(self.folder)


def _check_chunk(staged: Path, start: int, stop: int, marker: Path) -> str | None:
    group = zarr.open_group(staged, mode="r")
    names = sorted(name for name, array in group.arrays() if array.shape and name not in schema.NAMED)
    try:
        found = block_digest({name: group[name][start:stop] for name in names})
    except (OSError, ValueError, RuntimeError):
        return None  # half written when it was killed: it is made again
    return found if found == marker.read_text() else None
