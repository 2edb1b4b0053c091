"""The run folder: everything that a training used and made; the only module that knows its files.

`model.keras` (best weights), `config.yaml` (every option), `history.csv`, `curves.png`, and `run.json` (store
and its hash, cell types, genome, versions, result); of a network that begins with known motifs also
`known_motifs.json` (what its filters were set to) and `known_motifs.tsv` (how far each moved). While a
network trains, `checkpoint.npz` holds its state after the last epoch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import math
import os
import platform
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from chromacc_data.errors import InputError
from chromacc_data.files import file_digest, locked, staged, write_text_atomically
from chromacc_data.lazy import lazy_module
from chromacc_data.store import schema
from chromacc_data.store.read import open_store
from chromacc_models.networks.known_motifs import KNOWN_MOTIFS
from chromacc_models.training.config import TrainConfig
from chromacc_models.training.run_info import RunInfo, RunResult, StoreOfRun, read_info

# What a run says of itself is read, in reports and predictions, without a network.
if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    import xarray as xr

    from chromacc_models.networks import weights
    from chromacc_models.reporting import plots
else:
    keras = lazy_module("keras")
    tf = lazy_module("tensorflow")
    weights = lazy_module("chromacc_models.networks.weights")
    plots = lazy_module("chromacc_models.reporting.plots")

__all__ = [
    "CHECKPOINT",
    "Epoch",
    "InitialFilters",
    "Run",
    "best_epoch",
    "claim_folder",
    "describe_run",
    "finish_run",
    "lock_folder",
    "read_arrays",
    "read_filters",
    "release_folder",
    "write_checkpoint",
    "write_history",
]

CHECKPOINT = "checkpoint.npz"

#: What numpy raises for a file that is cut short, changed, or of another kind.
_DAMAGE = (
    OSError, ValueError, TypeError, EOFError, KeyError, OverflowError, MemoryError, SyntaxError,
    RecursionError, NotImplementedError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip

#: What a kill can leave before `run.json` is there.
_OF_A_KILLED_CLAIM = (".lock", "run.json.partial")


class Epoch(NamedTuple):
    """One row of a run's history."""

    epoch: int
    loss: float
    validation_loss: float
    learning_rate: float
    seconds: float
    windows_per_second: float


@dataclass(frozen=True)
class Run:
    """A trained network in its run folder.

    Parameters
    ----------
    folder
        Its path; :meth:`open` checks the content.
    info
        Content of `run.json`.
    moved_store
        Where its store is now, if not where `run.json` says.

    Examples
    --------
    >>> import chromacc_models as cm
    >>> from chromacc_models.examples import example_run
    >>> run = cm.Run.open(example_run())
    >>> run.config.network, run.cell_types, run.window_length
    ('factorization_machine', ('erythroid', 'liver'), 60)
    >>> run.history.columns.tolist()[:3]
    ['epoch', 'loss', 'validation_loss']
    """

    folder: Path
    info: RunInfo
    moved_store: Path | None = None

    @classmethod
    def open(cls, run: Run | Path | str, *, store: Path | str | None = None) -> Run:
        """A finished run.

        Parameters
        ----------
        run
            Its folder, or the run itself.
        store
            Where its store is now, if it has moved since the training.

        Raises
        ------
        InputError
            If the folder is none, its training has not finished, or `store` is not the store that it was
            trained on.
        """
        if isinstance(run, Run):
            return run if store is None else run._with_store(Path(store))
        folder = Path(run)
        info = read_info(folder)
        if info is None and (folder / "fold-0" / "run.json").exists():
            raise InputError(
                "the folder of a cross-validation, not of a run",
                where=folder,
                remedy=f"name one of its folds: {folder / 'fold-0'}",
            )
        if info is None:
            raise InputError("not a run folder", where=folder, remedy="make one with `chromacc-models train`")
        if info.result is None:
            raise InputError(
                "its training has not finished", where=folder, remedy="run the same `train` command again"
            )
        opened = cls(folder, info)
        return opened if store is None else opened._with_store(Path(store))

    def __str__(self) -> str:
        result, config = self.result, self.config
        return (
            f"{self.folder}: {config.network}, {self.info.n_parameters:,} parameters\n"
            f"  trained for {result.epochs} epochs; best in epoch {result.best_epoch}: "
            f"loss {result.loss:.4f}, validation loss {result.validation_loss:.4f}\n"
            f"  {self.folder / 'model.keras'}, config.yaml, history.csv, curves.png, run.json"
        )

    def __repr__(self) -> str:
        return str(self)

    @property
    def config(self) -> TrainConfig:
        """Its configuration."""
        return self.info.config

    @property
    def result(self) -> RunResult:
        """How its training ended."""
        return self.info.finished

    @property
    def cell_types(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self.info.cell_types

    @property
    def window_length(self) -> int:
        """Positions in a window."""
        return self.info.window_length

    @property
    def store(self) -> Path:
        """Path of the store that it was trained on."""
        return self.moved_store or Path(self.info.store.path)

    @property
    def history(self) -> pd.DataFrame:
        """One row per epoch: epoch, loss, validation_loss, learning_rate, seconds, windows_per_second."""
        return pd.read_csv(self.folder / "history.csv")

    def model(self) -> keras.Model:
        """The network with its best weights."""
        return weights.load_network(self.folder / "model.keras")

    def open_store(self) -> xr.Dataset:
        """The store that it was trained on.

        Raises
        ------
        InputError
            If it is not there, or another store is in its place.
        """
        recorded = self.info.store.content_hash
        name_it = "name its present path: --store PATH"
        if not self.store.exists():
            raise InputError(
                f"the store of the run {self.folder} was not found",
                where=self.store,
                expected=f"the store with content hash {recorded[:12]}",
                remedy=f"{name_it}; or build it again",
            )
        ds = open_store(self.store)
        content_hash = ds.attrs[schema.ATTR_CONTENT_HASH]
        if content_hash != recorded:
            raise InputError(
                f"not the store that the run {self.folder} was trained on"
                if self.moved_store
                else "the store has changed since the training",
                where=self.store,
                found=f"content hash {content_hash[:12]}",
                expected=f"content hash {recorded[:12]}",
                remedy=f"{name_it}; build the old one again; or train again on this one",
            )
        return ds

    def _with_store(self, store: Path) -> Run:
        moved = dataclasses.replace(self, moved_store=store)
        moved.open_store()
        return moved


def best_epoch(history: list[Epoch], min_delta: float) -> Epoch:
    """The epoch with the lowest validation loss; a later one must be lower by more than `min_delta`."""
    best = history[0]
    for epoch in history:
        if epoch.validation_loss < best.validation_loss - min_delta:
            best = epoch
    return best


class InitialFilters(NamedTuple):
    """Filters to begin with."""

    #: (width, 4, filter)
    kernel: np.ndarray
    #: (filter,), None where only kernels are known.
    bias: np.ndarray | None


def read_filters(path: Path) -> InitialFilters:
    """Filters to begin with: kernels from an array file, or the layer `filters` of a run, with its biases.

    Raises
    ------
    InputError
        If there is neither.
    """
    if path.is_dir():
        layer = Run.open(path).model().get_layer("filters")
        return InitialFilters(
            np.asarray(layer.kernel), None if layer.bias is None else np.asarray(layer.bias)
        )
    return InitialFilters(_read_kernel(path), None)


@contextmanager
def lock_folder(out: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a run folder, made when it is not there, against other processes, or `wait` for them."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(
            "cannot be a folder: a file is in its place", where=out, remedy="name another folder"
        ) from error
    except OSError as error:
        raise InputError(
            "cannot be written", where=out, found=error.strerror, remedy="name another folder"
        ) from error
    with locked(out / ".lock", wait=wait, what="folder", where=out):
        yield


def describe_run(
    store: Path, ds: xr.Dataset, config: TrainConfig, model: keras.Model, *, backend: str = "auto"
) -> RunInfo:
    """What `run.json` says from the start."""
    filters = None
    if config.initial_filters is not None:
        parts = [part for part in read_filters(Path(config.initial_filters)) if part is not None]
        filters = hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()
    return RunInfo(
        store=StoreOfRun(
            str(store.resolve()), ds.attrs[schema.ATTR_CONTENT_HASH], ds.attrs.get(schema.ATTR_TITLE)
        ),
        config=config,
        engine=backend,
        initial_filters_sha256=filters,
        motifs_sha256=None if config.motifs is None else file_digest(Path(config.motifs), fresh=True),
        cell_types=tuple(str(name) for name in ds[schema.CELL_TYPE].values),
        window_length=ds.sizes[schema.POSITION],
        genome=schema.read_attribute(ds, schema.ATTR_GENOME),
        n_parameters=model.count_params(),
        versions={
            "python": platform.python_version(),
            "chromacc": importlib.metadata.version("chromacc"),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
    )


def claim_folder(out: Path, info: RunInfo) -> RunInfo:
    """Make `out` the folder of a run, or find that it is; returns the content of its `run.json`."""
    found = read_info(out)
    if found is None:
        foreign = sorted(entry.name for entry in out.iterdir() if entry.name not in _OF_A_KILLED_CLAIM)
        if foreign:
            raise InputError(
                "not a run folder, and not empty",
                where=out,
                found=", ".join(foreign[:5]),
                remedy="name another folder",
            )
        # First what makes it a run folder: if killed in between, the same command resumes.
        write_text_atomically(out / "run.json", info.to_json())
        _write_config(out, info)
        return info
    mine, theirs = _identity(info), _identity(found)
    different = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
    if different:
        raise InputError(
            "this folder holds a run of another store or configuration",
            where=out,
            found=", ".join(f"{key} {theirs.get(key)}" for key in different),
            expected=", ".join(f"{key} {mine.get(key)}" for key in different),
            remedy="name another folder, or delete this one",
        )
    if not (out / "config.yaml").exists():
        _write_config(out, found)
    return found


def release_folder(out: Path) -> None:
    """Give up the folder of a run that could not be trained, unless an epoch of it is saved."""
    if not (out / CHECKPOINT).exists():
        for name in ("config.yaml", KNOWN_MOTIFS, "run.json", ".lock"):  # the lock last: nobody enters before
            (out / name).unlink(missing_ok=True)
        with suppress(OSError):  # it holds something else
            out.rmdir()


def _write_config(out: Path, info: RunInfo) -> None:
    write_text_atomically(out / "config.yaml", info.config.to_yaml())


def _identity(info: RunInfo) -> dict[str, Any]:
    """What makes two runs the same run."""
    parts = {
        "store": info.store.content_hash,
        "initial filters": info.initial_filters_sha256,
        "motifs": info.motifs_sha256,
    }
    options = dataclasses.asdict(info.config)
    return parts | {
        name: value for name, value in options.items() if name not in ("initial_filters", "motifs")
    }


def finish_run(out: Path, info: RunInfo, model: keras.Model, history: list[Epoch]) -> RunInfo:
    best = best_epoch(history, info.config.min_delta)
    with staged(out / "model.keras") as temporary:
        model.save(temporary)
    write_history(out, history)
    plots.save(plots.learning_curves(pd.DataFrame(history)), out / "curves.png")
    result = RunResult(
        epochs=len(history),
        best_epoch=best.epoch,
        loss=best.loss,
        validation_loss=best.validation_loss,
        seconds=round(sum(epoch.seconds for epoch in history), 1),
    )
    info = dataclasses.replace(info, result=result)
    write_text_atomically(out / "run.json", info.to_json())
    (out / CHECKPOINT).unlink()
    return info


def write_history(out: Path, history: list[Epoch]) -> None:
    write_text_atomically(out / "history.csv", pd.DataFrame(history).to_csv(index=False))


def write_checkpoint(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the checkpoint so that a kill at any moment leaves the older one or the whole new one."""
    with staged(folder / CHECKPOINT) as temporary:
        np.savez(temporary, **arrays)


def read_arrays(path: Path, *, remedy: str) -> dict[str, np.ndarray]:
    """All arrays of an `.npz` file of a run.

    Parameters
    ----------
    path
        The file.
    remedy
        What to do when it is damaged.

    Raises
    ------
    InputError
        If it is damaged.
    """
    try:
        # Opened here: numpy leaves a damaged file open.
        with path.open("rb") as file:
            _require_bounded(file)
            with np.load(file, allow_pickle=False) as saved:
                return dict(saved)
    except _DAMAGE as error:
        raise InputError("is damaged", where=path, found=_first_line(error), remedy=remedy) from error


def _read_kernel(path: Path) -> np.ndarray:
    """The array of a `.npy` file, (width, 4, filter) of finite numbers."""
    expected = "an array of numbers (.npy), (width, 4, filter), or a run folder"
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            version = np.lib.format.read_magic(file)
            read_header = {(1, 0): np.lib.format.read_array_header_1_0}.get(
                version, np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read_header(file)
            if dtype.hasobject or math.prod(shape) * dtype.itemsize > size:
                raise ValueError(f"an array of {shape} {dtype} in a file of {size:,} bytes")
            file.seek(0)
            kernel = np.load(file, allow_pickle=False)
        fits = kernel.ndim == 3 and kernel.shape[1] == 4 and kernel.size and kernel.dtype.kind in "fiu"
        if not fits or not np.isfinite(kernel).all():
            raise ValueError(f"an array of shape {kernel.shape}, {kernel.dtype}")
        return kernel
    except _DAMAGE as error:
        raise InputError(
            "initial filters cannot be read", where=path, found=_first_line(error), expected=expected
        ) from error


def _require_bounded(file: IO[bytes]) -> None:
    """Raise unless the members of an .npz file are arrays that do not grow out of all proportion."""
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if member.file_size > max(1 << 20, 1100 * member.compress_size):
                raise ValueError(f"{member.filename} grows from {member.compress_size:,} bytes")
            with archive.open(member) as array:
                version = np.lib.format.read_magic(array)
                read_header = {(1, 0): np.lib.format.read_array_header_1_0}.get(
                    version, np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = read_header(array)
            if dtype.hasobject or math.prod(shape) * dtype.itemsize > member.file_size:
                raise ValueError(f"{member.filename} is an array of {shape} {dtype}")
    file.seek(0)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
