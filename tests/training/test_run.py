"""Run folders: claimed, locked and opened, whole and in every state that a kill or a bad disk leaves."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from chromacc_data.errors import InputError
from chromacc_models.training import run as run_module
from chromacc_models.training.config import TrainConfig, load_config
from chromacc_models.training.run import Run, claim_folder, lock_folder, read_arrays, read_filters
from chromacc_models.training.train import train

CONFIG = TrainConfig(network="baseline", n_filters=2, filter_width=4, epochs=2)


@pytest.fixture
def store(make_store: Callable[..., Path]) -> Path:
    return make_store("train.zarr", n_windows=60, window_length=20)


def stop(*_arguments: object, **_options: object) -> None:
    raise KeyboardInterrupt


def no_space(*_arguments: object, **_options: object) -> None:
    raise OSError(28, os.strerror(28))


@pytest.mark.parametrize("name", ["_write_config", "write_text_atomically"])
def test_claim_folder__killed_in_between_resumes(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(run_module, name, stop)
        with pytest.raises(KeyboardInterrupt):
            train(store, CONFIG, out)
    (out / "run.json.partial").mkdir()
    train(store, CONFIG, out)
    assert load_config(out / "config.yaml") == CONFIG


def test_claim_folder__half_written_run_json_is_left_alone(store: Path, tmp_path: Path):
    out = tmp_path / "run"
    train(store, CONFIG, out)
    text = (out / "run.json").read_text()
    (out / "run.json").write_text(text[:200])
    for call in (lambda: train(store, CONFIG, out), lambda: Run.open(out)):
        with pytest.raises(InputError, match="is damaged") as error:
            call()
        assert error.value.where == out / "run.json"
        assert "train again" in error.value.remedy
    assert (out / "run.json").read_text() == text[:200]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"result": {}}'])
def test_open__run_json_of_something_else(tmp_path: Path, text: str):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match="is damaged"):
        Run.open(tmp_path)
    with pytest.raises(InputError, match="is damaged"):
        claim_folder(tmp_path, {})


def test_model__cut_short_or_gone(store: Path, tmp_path: Path):
    run = train(store, CONFIG, tmp_path / "run")
    path = run.folder / "model.keras"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match="cannot be loaded") as error:
        run.model()
    assert error.value.where == path
    assert error.value.remedy
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        run.model()


@pytest.mark.parametrize("damage", ["cut short", "empty", "of another network"])
def test_train__damaged_checkpoint(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str):
    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr("chromacc_models.training.train.finish_run", stop)
        with pytest.raises(KeyboardInterrupt):
            train(store, CONFIG, out)
    path = out / "checkpoint.npz"
    if damage == "of another network":
        np.savez(path, history=np.array(json.dumps([])), model_0=np.zeros(3))
    else:
        path.write_bytes(path.read_bytes()[: 300 if damage == "cut short" else 0])
    with pytest.raises(InputError) as error:
        train(store, CONFIG, out)
    assert error.value.where == path
    assert "delete it" in error.value.remedy
    path.unlink()
    assert train(store, CONFIG, out).result.epochs == 2


@pytest.mark.parametrize("name", ["write_checkpoint", "finish_run", "claim_folder"])
def test_train__full_disk(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    with monkeypatch.context() as patched:
        patched.setattr(f"chromacc_models.training.train.{name}", no_space)
        with pytest.raises(InputError, match="the disk is full"):
            train(store, CONFIG, tmp_path / "run")
    assert train(store, CONFIG, tmp_path / "run").result.epochs == 2


@pytest.mark.parametrize("name", ["file", "file/run"])
def test_lock_folder__a_file_in_its_place(tmp_path: Path, name: str):
    (tmp_path / "file").write_text("years of work")
    with pytest.raises(InputError, match="a file is in its place"), lock_folder(tmp_path / name):
        pass
    assert (tmp_path / "file").read_text() == "years of work"


def test_read_arrays__gives_what_was_written(tmp_path: Path):
    np.savez(tmp_path / "a.npz", a=np.arange(3))
    assert read_arrays(tmp_path / "a.npz", remedy="")["a"].tolist() == [0, 1, 2]


BAD_INFO = {
    "a text for a length": {"window_length": "__import__('os').abort()"},
    "a length of 0": {"window_length": 0},
    "a length of hundreds of digits": {"window_length": 10**300},
    "cell types that are no list": {"cell_types": "ab"},
    "numbers for cell types": {"cell_types": [1, 2]},
    "no cell type": {"cell_types": []},
    "a cell type twice": {"cell_types": ["a", "a"]},
    "half a character": {"cell_types": ["\ud800"]},
    "a store that is a text": {"store": "store.zarr"},
    "a store without hash": {"store": {"path": "x"}},
    "a path that is a list": {"store": {"path": ["x"], "content_hash": "x"}},
    "a configuration that is a list": {"config": []},
    "a network of another name": {"config": {"network": "resnet"}},
    "an option of another type": {"config": {"network": "baseline", "epochs": "3"}},
    "a result that is a number": {"result": 3},
    "a result without loss": {"result": {"epochs": 1, "best_epoch": 1}},
    "a loss that is a text": {"result": {"epochs": 1, "best_epoch": 1, "loss": "x", "validation_loss": 1}},
    "a genome of another form": {"genome": {"assembly": 3}},
    "versions that are a list": {"versions": ["1"]},
    "parameters as a text": {"n_parameters": "many"},
}
GOOD_INFO = {
    "store": {"path": "store.zarr", "content_hash": "abc"},
    "config": {"network": "baseline"},
    "cell_types": ["a", "b"],
    "window_length": 20,
    "result": {"epochs": 1, "best_epoch": 1, "loss": 0.5, "validation_loss": 0.5, "seconds": 1.0},
}


@pytest.mark.parametrize("case", BAD_INFO)
def test_open__values_of_another_type(tmp_path: Path, case: str):
    (tmp_path / "run.json").write_text(json.dumps(GOOD_INFO | BAD_INFO[case]))
    with pytest.raises(InputError, match="is damaged") as caught:
        Run.open(tmp_path)
    assert str(tmp_path / "run.json") in str(caught.value)


def test_open__what_an_older_or_newer_release_writes(tmp_path: Path):
    newer = {"config": {"network": "baseline", "not_yet": 1}, "not_yet": {"a": [1]}}
    (tmp_path / "run.json").write_text(json.dumps(GOOD_INFO | newer))
    run = Run.open(tmp_path)
    assert (run.cell_types, run.config.network, run.info.genome) == (("a", "b"), "baseline", None)


ARRAYS = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("filters"),
    "objects": lambda path: np.save(path, np.array([{}], dtype=object), allow_pickle=True),
    "texts": lambda path: np.save(path, np.full((3, 4, 2), "x")),
    "another shape": lambda path: np.save(path, np.zeros((3, 5, 2))),
    "no filter": lambda path: np.save(path, np.zeros((3, 4, 0))),
    "NaN": lambda path: np.save(path, np.full((3, 4, 2), np.nan)),
    "an archive": lambda path: np.savez(path.open("wb"), a=np.zeros((3, 4, 2))),
    "larger than its file": lambda path: path.write_bytes(huge_header()),
    "no header": lambda path: path.write_bytes(huge_header()[:20]),
    "another version": lambda path: path.write_bytes(b"\x93NUMPY\x09\x00" + huge_header()[8:]),
}


def huge_header() -> bytes:
    text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 4, 2)}".ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize("case", ARRAYS)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_read_filters__bad_arrays(tmp_path: Path, case: str):
    path = tmp_path / "filters.npy"
    ARRAYS[case](path)
    with pytest.raises(InputError, match="initial filters cannot be read"):
        read_filters(path)


@pytest.mark.parametrize("case", [c for c in ARRAYS if c not in ("another shape", "an archive")])
def test_read_arrays__bad_archives(tmp_path: Path, case: str):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        ARRAYS["empty"](tmp_path / "a.npy")
        if case not in ("texts", "no filter", "NaN"):
            ARRAYS[case](tmp_path / "a.npy")
        archive.write(tmp_path / "a.npy", "a.npy")
    with pytest.raises(InputError, match="is damaged"):
        read_arrays(tmp_path / "x.npz", remedy="delete it")
