"""The run folder: all that a training made and was made from, and the only place that knows its files.

`model.keras` (best weights), `config.yaml` (every option), `history.csv`, `curves.png`, and `run.json` (store
and its hash, cell types, genome, versions, result). While a network trains, `checkpoint.npz` holds its state
after the last epoch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import platform
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
import xarray as xr

from chromacc_data import schema
from chromacc_data.errors import InputError
from chromacc_data.files import locked, staged, write_text_atomically
from chromacc_models import plots
from chromacc_models.config import TrainConfig
from chromacc_models.weights import load_network

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
    "write_checkpoint",
    "write_history",
]

CHECKPOINT = "checkpoint.npz"

_START_AGAIN = "restore it from a copy, or delete the folder and train again"

#: What a kill can leave before `run.json` is there.
_OF_A_KILLED_CLAIM = (".lock", "run.json.partial")

#: What every `run.json` says.
_KEYS = frozenset({"store", "config", "cell_types", "window_length"})


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
    """A run folder.

    Parameters
    ----------
    folder
        Its path; :meth:`open` checks what is there.
    info
        Content of `run.json`.
    """

    folder: Path
    info: dict[str, Any]

    @classmethod
    def open(cls, folder: Path | str) -> Run:
        """A finished run.

        Raises
        ------
        InputError
            If the folder is none, or its training has not finished.
        """
        folder = Path(folder)
        info = _read_info(folder)
        if info is None:
            raise InputError("not a run folder", where=folder, remedy="make one with `chromacc-models train`")
        if "result" not in info:
            raise InputError(
                "its training has not finished", where=folder, remedy="give the same `train` command again"
            )
        return cls(folder, info)

    def __str__(self) -> str:
        result, config = self.info["result"], self.config
        return (
            f"{self.folder}: {config.network}, {self.info['n_parameters']:,} parameters\n"
            f"  trained for {result['epochs']} epochs; best in epoch {result['best_epoch']}: "
            f"loss {result['loss']:.4f}, validation loss {result['validation_loss']:.4f}\n"
            f"  {self.folder / 'model.keras'}, config.yaml, history.csv, curves.png, run.json"
        )

    @property
    def config(self) -> TrainConfig:
        """Its configuration."""
        return TrainConfig(**self.info["config"])

    @property
    def cell_types(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return tuple(self.info["cell_types"])

    @property
    def window_length(self) -> int:
        """Positions in a window."""
        return self.info["window_length"]

    @property
    def store(self) -> Path:
        """The store that it was trained on."""
        return Path(self.info["store"]["path"])

    @property
    def history(self) -> pd.DataFrame:
        """One row per epoch: epoch, loss, validation_loss, learning_rate, seconds, windows_per_second."""
        return pd.read_csv(self.folder / "history.csv")

    def model(self) -> keras.Model:
        """The network with its best weights."""
        return load_network(self.folder / "model.keras")


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
    try:
        return InitialFilters(np.load(path, allow_pickle=False), None)
    except (OSError, ValueError) as error:
        raise InputError(
            "initial filters cannot be read",
            where=path,
            found=error,
            expected="an array (.npy) or a run folder",
        ) from error


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
    store: Path, ds: xr.Dataset, config: TrainConfig, model: keras.Model, *, engine: str = "auto"
) -> dict[str, Any]:
    """What `run.json` says from the start."""
    filters = None
    if config.initial_filters is not None:
        parts = [part for part in read_filters(Path(config.initial_filters)) if part is not None]
        filters = hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()
    genome = ds.attrs.get(schema.ATTR_GENOME)
    return {
        "store": {
            "path": str(store.resolve()),
            "content_hash": ds.attrs[schema.ATTR_CONTENT_HASH],
            "title": ds.attrs.get(schema.ATTR_TITLE),
        },
        "config": dataclasses.asdict(config),
        "engine": engine,
        "initial_filters_sha256": filters,
        "cell_types": [str(name) for name in ds[schema.CELL_TYPE].values],
        "window_length": ds.sizes[schema.POSITION],
        "genome": json.loads(genome) if genome else None,
        "n_parameters": model.count_params(),
        "versions": {
            "python": platform.python_version(),
            "chromacc": importlib.metadata.version("chromacc"),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
    }


def claim_folder(out: Path, info: dict[str, Any]) -> dict[str, Any]:
    """Make `out` the folder of a run, or find that it is; returns the content of its `run.json`."""
    found = _read_info(out)
    if found is None:
        foreign = sorted(entry.name for entry in out.iterdir() if entry.name not in _OF_A_KILLED_CLAIM)
        if foreign:
            raise InputError(
                "not a run folder, and not empty",
                where=out,
                found=", ".join(foreign[:5]),
                remedy="name another",
            )
        # First what makes it a run folder: after a kill in between, the same command goes on.
        write_text_atomically(out / "run.json", json.dumps(info, indent=2))
        _write_config(out, info)
        return info
    mine, theirs = _identity(info), _identity(found)
    different = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
    if different:
        raise InputError(
            "a run of another store or configuration stands here",
            where=out,
            found=", ".join(f"{key} {theirs.get(key)}" for key in different),
            expected=", ".join(f"{key} {mine.get(key)}" for key in different),
            remedy="name another folder, or delete this one",
        )
    if not (out / "config.yaml").exists():
        _write_config(out, found)
    return found


def _write_config(out: Path, info: dict[str, Any]) -> None:
    write_text_atomically(out / "config.yaml", TrainConfig(**info["config"]).to_yaml())


def _identity(info: dict[str, Any]) -> dict[str, Any]:
    """What makes two runs the same run."""
    parts = {"store": info["store"]["content_hash"], "initial filters": info["initial_filters_sha256"]}
    return parts | {name: value for name, value in info["config"].items() if name != "initial_filters"}


def finish_run(out: Path, info: dict[str, Any], model: keras.Model, history: list[Epoch]) -> dict[str, Any]:
    best = best_epoch(history, info["config"]["min_delta"])
    with staged(out / "model.keras") as temporary:
        model.save(temporary)
    write_history(out, history)
    plots.save(plots.learning_curves(pd.DataFrame(history)), out / "curves.png")
    info = info | {
        "result": {
            "epochs": len(history),
            "best_epoch": best.epoch,
            "loss": best.loss,
            "validation_loss": best.validation_loss,
            "seconds": round(sum(epoch.seconds for epoch in history), 1),
        }
    }
    write_text_atomically(out / "run.json", json.dumps(info, indent=2))
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
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            return dict(saved)
    except (OSError, ValueError, TypeError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError("is damaged", where=path, found=error, remedy=remedy) from error


def _read_info(folder: Path) -> dict[str, Any] | None:
    """Content of `run.json`; None when there is none."""
    path = folder / "run.json"
    try:
        info = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise InputError("is damaged", where=path, found=error, remedy=_START_AGAIN) from error
    if not isinstance(info, dict) or not info.keys() >= _KEYS:
        raise InputError(
            "is damaged",
            where=path,
            expected=f"an object with {', '.join(sorted(_KEYS))}",
            remedy=_START_AGAIN,
        )
    return info
