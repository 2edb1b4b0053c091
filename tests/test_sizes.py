"""What cannot fit is refused at once, by name of the key, with what it would take."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from chromacc_data import build_store as building
from chromacc_data import sizes
from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.recipe.recipe import load_recipe
from chromacc_data.store import schema
from chromacc_data.store.read import open_store
from chromacc_data.store.write import convert
from tests.simulated import SIMPLE, write_simulated_dataset
from tests.small import RECIPE, write_small_dataset


@pytest.mark.parametrize(
    ("old", "new", "key", "found"),
    [
        ("n_windows: 1500", "n_windows: 1000000000000", "simulation.n_windows", "124.1 TB"),
        ("length: 50", "length: 1000000000", "windows.length", "256 GB"),
        ("length: 50", "length: 1000000000000000", "windows.length", "256 PB"),
        ("copies: 2", "copies: 100000000000", "copies", "100000000000"),
        ("number: [1, 2, 3]", "number: 1000000000000", "sites.number", "1,000,000,000,000"),
        ("folds: 5", "folds: 1000000000", "split.folds", "1000000000"),
        ("folds: 5", "folds: 128", "split.folds", "128"),  # a code of 8 bits
    ],
)
def test_build__simulation_that_cannot_fit(tmp_path: Path, old: str, new: str, key: str, found: str):
    recipe = write_simulated_dataset(tmp_path / "simulated", SIMPLE.replace(old, new))
    with pytest.raises(InputError) as caught:
        building.build(recipe, tmp_path / "a.zarr")
    assert key in str(caught.value.where)
    assert found in str(caught.value.found)
    assert [path.name for path in tmp_path.iterdir()] == ["simulated"]


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("length: 60", "length: 1000000000", "windows.length"),
        ("folds: 3", "folds: 1000000000", "split.folds"),
        ("merge_distance: 20", "merge_distance: 9223372036854775807", "windows.merge_distance"),
        ("seed: 7", "negatives: {ratio: 1.0e9}", "negatives.ratio"),
        ("seed: 7", "negatives: {gc_bin: 1.0e-12}", "negatives.gc_bin"),
    ],
)
def test_build__genome_windows_that_cannot_fit(tmp_path: Path, old: str, new: str, key: str):
    recipe = write_small_dataset(tmp_path / "small", recipe=RECIPE.replace(old, new))
    with pytest.raises(InputError) as caught:
        building.build(recipe, tmp_path / "a.zarr")
    assert key in str(caught.value.where)


def test_build__chunk_that_a_store_cannot_hold(tmp_path: Path):
    """The remedy is a chunk that it can."""
    text = SIMPLE.replace("n_windows: 1500", "n_windows: 100000").replace("length: 50", "length: 20000")
    recipe = write_simulated_dataset(tmp_path / "s", text.replace("chunk: 64", "chunk: 50000"))
    with pytest.raises(InputError, match="a chunk is larger") as caught:
        sizes.require_room(load_recipe(recipe), tmp_path / "a.zarr")
    most = int(caught.value.remedy.split()[1])
    recipe.write_text(text.replace("chunk: 64", f"chunk: {most}"))
    assert sizes.estimate(load_recipe(recipe), 100_000).chunk <= schema.LARGEST_CHUNK


@pytest.mark.parametrize(("disk", "memory"), [(2_000, 10**12), (10**12, 10_000)])
def test_build__after_the_plan_and_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: int, memory: int
):
    recipe = write_small_dataset(tmp_path / "small")
    monkeypatch.setattr(sizes, "free_disk", lambda out: disk)
    monkeypatch.setattr(sizes, "available_memory", lambda: memory)
    with pytest.raises(InputError, match=r"needs more (disk|memory)") as caught:
        building.build(recipe, tmp_path / "a.zarr")
    assert caught.value.exit_code == 2
    assert not (tmp_path / "a.zarr").exists()


@pytest.mark.parametrize("suffix", [".zarr", ".h5"])
def test_estimate__is_near_what_a_store_takes(tmp_path: Path, suffix: str):
    text = SIMPLE.replace("length: 50", "length: 400").replace("chunk: 64", "chunk: 512")
    recipe = write_simulated_dataset(tmp_path / "s", text)
    out = building.build(recipe, tmp_path / f"a{suffix}").path
    files = [out] if out.is_file() else [path for path in out.rglob("*") if path.is_file()]
    taken = sum(path.stat().st_size for path in files)
    size = sizes.estimate(load_recipe(recipe), 1500, n_motifs=4)
    assert size.stored / 2 < taken < size.stored * 3
    ds = open_store(out)
    assert sizes.stored_bytes(ds) == size.stored
    assert size.unpacked == sum(ds[name].nbytes for name in ds.data_vars)


def test_convert__disk_that_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    built = building.build(write_small_dataset(tmp_path / "small"), tmp_path / "a.zarr").path
    monkeypatch.setattr(sizes, "free_disk", lambda out: 100)
    with pytest.raises(InputError, match="needs more disk"):
        convert(built, tmp_path / "b.h5", engine=Engine())
    assert not list(tmp_path.glob("b.*"))


@pytest.mark.parametrize("name", ["sequence", "cell_type", "split"])
@pytest.mark.parametrize("chunked", [False, True])
def test_open_store__sizes_beyond_the_data(tmp_path: Path, name: str, chunked: bool):
    """Nothing as large as a damaged shape is made."""
    built = building.build(write_small_dataset(tmp_path / "small"), tmp_path / "a.zarr").path
    path = built / name / "zarr.json"
    metadata = json.loads(path.read_text())
    metadata["shape"][0] = 10**15
    if chunked:
        metadata["chunk_grid"]["configuration"]["chunk_shape"][0] = 10**15
    path.write_text(json.dumps(metadata))
    with pytest.raises(InputError, match=r"are missing|cannot be opened as a store"):
        open_store(built)


def test_open_store__sizes_beyond_the_data_in_hdf5(tmp_path: Path):
    built = building.build(write_small_dataset(tmp_path / "small"), tmp_path / "a.h5").path
    with h5py.File(built, "r+") as file:
        attributes = dict(file["split"].attrs)
        del file["split"]
        file.create_dataset("split", (10**15,), "int8", chunks=(16,), fletcher32=True)
        file["split"].attrs["description"] = attributes["description"]
    with pytest.raises(InputError, match="chunks of 'split' are missing"):
        open_store(built)


def test_require_disk__what_a_killed_run_left_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    usage = sizes.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(sizes.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    sizes.require_disk(tmp_path / "new" / "a.zarr", 1000, what="it")
    with pytest.raises(InputError, match="needs more disk"):
        sizes.require_disk(tmp_path / "a.zarr", 1500, what="it")
    (tmp_path / "a.zarr.partial" / "plan").mkdir(parents=True)
    (tmp_path / "a.zarr.partial" / "plan" / "x.npy").write_bytes(bytes(600))
    sizes.require_disk(tmp_path / "a.zarr", 1500, what="it")


def test_stored_bytes__does_not_wrap():
    sequence = xr.Variable((schema.WINDOW, schema.POSITION), np.broadcast_to(np.uint8(0), (2, 3)))
    assert sizes.stored_bytes(xr.Dataset({"x": sequence})) == 3


def test_available_memory__is_within_the_machine():
    assert 0 < sizes.available_memory() < 2**50
