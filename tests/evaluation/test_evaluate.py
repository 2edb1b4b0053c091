from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chromacc_data.errors import InputError
from chromacc_models.evaluation import evaluate as evaluate_module
from chromacc_models.evaluation.evaluate import evaluate, read_predictions
from chromacc_models.evaluation.scores import (
    score,
)
from chromacc_models.training.config import TrainConfig
from chromacc_models.training.run import Run
from chromacc_models.training.train import train
from tests.conftest import write_small_store

RNG = np.random.default_rng(0)


def make_run(folder: Path) -> None:
    path = write_small_store(folder / "train.zarr", n_windows=90, window_length=20)
    train(path, TrainConfig(network="baseline", n_filters=2, filter_width=4, epochs=1), folder / "run")


@pytest.fixture
def run(copy_made: Callable[..., Path]) -> Run:
    return Run.open(copy_made(make_run) / "run")


def test_evaluate__scores_the_test_windows_and_writes_them(run: Run):
    found = evaluate(run.folder)
    saved = read_predictions(run)
    assert saved["windows"].tolist() == list(range(2, 90, 3))
    assert found == score(saved["labels"], saved["predictions"], run.cell_types)
    assert json.loads((run.folder / "evaluation.json").read_text()) == json.loads(json.dumps(found.to_dict()))
    assert {"evaluation.npz", "roc.png", "calibration.png"} <= {p.name for p in run.folder.iterdir()}
    for name in run.cell_types:
        assert name in str(found)


def test_evaluate__other_split_and_other_store(run: Run, make_store: Callable[..., Path]):
    evaluate(run, split="validation")
    assert read_predictions(run, split="validation")["windows"].tolist() == list(range(1, 90, 3))
    other = make_store("other.zarr", n_windows=30, window_length=20, seed=1)
    found = evaluate(run, other)
    assert found.cell_types[0].n_windows == 10
    names = {p.name for p in run.folder.glob("evaluation*.json")}
    assert len(names) == 2
    assert "evaluation-validation.json" in names
    assert "evaluation.json" not in names


def test_evaluate__same_store_elsewhere_is_the_own_one(run: Run, tmp_path: Path):
    moved = run.store.rename(tmp_path / "moved.zarr")
    evaluate(run, moved)
    assert (run.folder / "evaluation.json").exists()


def test_evaluate__fold_of_the_run(run: Run, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def batches(ds, *, fold, **options):
        asked.append(fold)
        raise InputError("stop here")

    monkeypatch.setattr(evaluate_module, "Batches", batches)
    in_fold = Run(run.folder, replace(run.info, config=replace(run.info.config, fold=3)))
    with pytest.raises(InputError, match="stop here"):
        evaluate(in_fold)
    assert asked == [3]


@pytest.mark.parametrize("options", [{"window_length": 21}, {"cell_types": ("liver", "B cell")}])
def test_evaluate__store_that_does_not_fit(run: Run, make_store: Callable[..., Path], options: dict):
    other = make_store("other.zarr", **{"n_windows": 30, "window_length": 20, **options})
    with pytest.raises(InputError, match="does not fit the network"):
        evaluate(run, other)


def test_evaluate__store_that_has_changed(run: Run, make_store: Callable[..., Path]):
    make_store("train.zarr", n_windows=60, window_length=20)
    with pytest.raises(InputError, match="has changed since the training"):
        evaluate(run)


def test_read_predictions__damaged(run: Run):
    evaluate(run)
    path = run.folder / "evaluation.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="is damaged") as error:
        read_predictions(run)
    assert error.value.where == path
