"""Fixtures shared by the tests: where the development data are, and small hand-made inputs."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from chromacc_data.engine import Engine
from chromacc_data.sequences.encoding import one_hot
from chromacc_data.store import schema
from chromacc_data.store.partial import Partial
from chromacc_data.store.write import write_store
from tests import ROOT

# Kipoi writes ~/.kipoi when it is imported: not into the home of whoever runs the tests.
os.environ["HOME"] = tempfile.mkdtemp(prefix="chromacc-tests-home-")
atexit.register(shutil.rmtree, os.environ["HOME"], ignore_errors=True)

SHARED_DATA = ROOT.parent / "shared" / "data"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests marked `shared` where the development data are absent, and say how many."""
    if SHARED_DATA.is_dir():
        return
    absent = [item for item in items if item.get_closest_marker("shared")]
    if absent:
        config.hook.pytest_deselected(items=absent)
        items[:] = [item for item in items if not item.get_closest_marker("shared")]


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their parameter: gzip writes the time, and all workers must collect the same names."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the development data (real genome, peaks, motifs)."""
    return SHARED_DATA


def make_dataset(
    n_windows: int = 10,
    window_length: int = 12,
    *,
    cell_types: tuple[str, ...] = ("liver", "T cell"),
    chunk: int = 4,
    seed: int = 0,
    codes: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    split: np.ndarray | None = None,
    fold: np.ndarray | None = None,
) -> xr.Dataset:
    """Small lazy Dataset with the layout of a store; random unless given."""
    rng = np.random.default_rng(seed)
    if codes is None:
        codes = rng.integers(0, 5, (n_windows, window_length), dtype=np.uint8)
    n_windows, window_length = codes.shape
    starts = np.arange(n_windows, dtype=np.int64) * window_length
    values = {
        schema.SEQUENCE: one_hot(codes),
        schema.ACCESSIBILITY: rng.integers(0, 2, (n_windows, len(cell_types)), dtype=np.uint8)
        if labels is None
        else labels.astype(np.uint8),
        schema.CHROM: np.zeros(n_windows, np.int32),
        schema.START: starts,
        schema.END: starts + window_length,
        schema.STRAND: np.zeros(n_windows, np.int8),
        schema.SPLIT: np.arange(n_windows, dtype=np.int8) % 3 if split is None else split.astype(np.int8),
        schema.FOLD: np.full(n_windows, schema.NO_FOLD if fold is None else fold, np.int8),
    }
    ds = schema.template(
        n_windows,
        window_length,
        cell_types,
        chunk=chunk,
        variables=list(values),
        chrom_names=["chr1", "chr2"],
        attrs={schema.ATTR_TITLE: "made by hand", schema.ATTR_SEED: seed},
    )
    for variable, array in values.items():
        ds[variable.name].data = schema.da.from_array(array, chunks=ds[variable.name].data.chunks)
    return ds


def write_small_store(path: Path, **options: object) -> Path:
    """Write a small store; the options are those of :func:`make_dataset`."""
    with Partial.open(path, key="by hand") as partial:
        write_store(make_dataset(**options), path, engine=Engine(workers=1), partial=partial)
    return path


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., Path]:
    """Write a small store: ``make_store(name, **options of make_dataset)`` gives its path."""

    def make(name: str = "small.zarr", **options: object) -> Path:
        return write_small_store(tmp_path / name, **options)

    return make


#: Folders that were made once in this process, by what made them.
_MADE: dict[Callable[[Path], None], Path] = {}


@pytest.fixture
def copy_made(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Give a test its own copy of what takes long to make: ``copy_made(function)`` into `tmp_path`.

    The function writes stores and runs into a folder, once; runs of a copy name the stores of the copy.
    """

    def copy(make: Callable[[Path], None]) -> Path:
        if make not in _MADE:
            folder = tmp_path_factory.mktemp("made")
            make(folder)
            _MADE[make] = folder
        shutil.copytree(_MADE[make], tmp_path, dirs_exist_ok=True)
        for file in tmp_path.rglob("run.json"):
            file.write_text(file.read_text().replace(str(_MADE[make]), str(tmp_path)))
        return tmp_path

    return copy
