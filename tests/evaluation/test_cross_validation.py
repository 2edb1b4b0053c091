from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from distributed import LocalCluster

from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_models.evaluation.cross_validation import SCORES, CrossValidation, cross_validate
from chromacc_models.evaluation.evaluate import evaluate
from chromacc_models.training.config import TrainConfig
from chromacc_models.training.run import Run
from tests.conftest import write_small_store

SMALL = {"network": "baseline", "n_filters": 3, "filter_width": 5, "batch_size": 16, "epochs": 2}


def config(**options: object) -> TrainConfig:
    return TrainConfig(**{**SMALL, **options})


def make_crossed(folder: Path) -> None:
    fold = np.arange(90, dtype=np.int8) % 3
    store = write_small_store(folder / "a.zarr", n_windows=90, window_length=20, fold=fold)
    cross_validate(store, config(), folder / "in_turn")


@pytest.fixture
def store(copy_made: Callable[..., Path]) -> Path:
    return copy_made(make_crossed) / "a.zarr"


@pytest.fixture
def crossed(store: Path) -> CrossValidation:
    """Of that store, in its folder; finished folds are not trained again."""
    return cross_validate(store, config(), store.parent / "in_turn")


@pytest.fixture
def in_turn(crossed: CrossValidation) -> tuple[Run, ...]:
    return crossed.runs


def assert_same_weights(a: Sequence[Run], b: Sequence[Run]) -> None:
    for mine, theirs in zip(a, b, strict=True):
        for x, y in zip(mine.model().get_weights(), theirs.model().get_weights(), strict=True):
            np.testing.assert_array_equal(x, y)


def test_cross_validate__one_run_per_fold(in_turn: tuple[Run, ...]):
    assert [run.folder.name for run in in_turn] == ["fold-0", "fold-1", "fold-2"]
    assert [run.config.fold for run in in_turn] == [0, 1, 2]
    first, second = (run.model().get_weights()[0] for run in in_turn[:2])
    assert not np.array_equal(first, second)


def test_cross_validate__scores_of_all_folds(crossed: CrossValidation):
    saved = pd.read_csv(crossed.folder / SCORES, sep="\t")
    pd.testing.assert_frame_equal(saved, crossed.scores, atol=1e-6)
    for fold, run in enumerate(crossed.runs):
        found = evaluate(run)
        rows = saved[saved["fold"] == fold]
        assert rows["cell_type"].tolist() == list(run.cell_types)
        np.testing.assert_allclose(rows["auroc"], [score.auroc for score in found.cell_types], atol=1e-6)
        assert (rows["n_windows"] == 30).all()
    value, text = crossed.report()
    assert len(value["scores"]) == len(saved)
    means = saved.groupby("fold")["auroc"].mean()
    assert f"\nmean    {means.mean():.4f} ± {means.std():.4f}" in text


def test_cross_validate__a_store_without_folds(make_store: Callable[..., Path], tmp_path: Path):
    with pytest.raises(InputError, match="no folds"):
        cross_validate(make_store("none.zarr", n_windows=20), config(), tmp_path / "folds")
    assert not (tmp_path / "folds").exists()


def test_cross_validate__bad_input(store: Path, in_turn: tuple[Run, ...], tmp_path: Path):
    with pytest.raises(InputError, match="a fold was chosen, but cross-validation trains all folds"):
        cross_validate(store, config(fold=1), tmp_path / "folds")
    with pytest.raises(InputError, match="the folder holds the run of a single network"):
        cross_validate(store, config(), in_turn[0].folder)
    (in_turn[2].folder).rename(tmp_path / "elsewhere")
    chosen = config(initial_filters=str(in_turn[0].folder.parent))
    with pytest.raises(InputError, match=r"filters from is missing(.|\n)*fold-2"):
        cross_validate(store, chosen, tmp_path / "folds")
    assert not (tmp_path / "folds").exists()


@pytest.mark.slow
def test_cross_validate__processes_give_the_same_and_finished_folds_stay(
    store: Path,
    in_turn: tuple[Run, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    out = tmp_path / "folds"
    shutil.copytree(in_turn[0].folder.parent, out)
    shutil.rmtree(out / "fold-1")
    untouched = (out / "fold-0" / "model.keras").stat().st_mtime_ns
    capfd.readouterr()
    runs = cross_validate(store, config(), out, workers=Engine(workers=2, processes=True)).runs
    assert capfd.readouterr() == ("", "")  # nor does TensorFlow speak in the processes
    assert_same_weights(runs, in_turn)
    assert (out / "fold-0" / "model.keras").stat().st_mtime_ns == untouched


@pytest.mark.slow
def test_cross_validate__a_cluster_gives_the_same(
    store: Path, in_turn: tuple[Run, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(in_turn[0].folder.parent, tmp_path / "folds")
    shutil.rmtree(tmp_path / "folds" / "fold-2")
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster:
        monkeypatch.chdir(tmp_path)  # workers have another working folder
        relative = Path(os.path.relpath(store))
        runs = cross_validate(
            relative, config(), "folds", workers=Engine(scheduler=cluster.scheduler_address)
        ).runs
    assert_same_weights(runs, in_turn)


def test_cross_validate__filters_come_from_the_same_fold(
    store: Path, in_turn: tuple[Run, ...], tmp_path: Path
):
    chosen = config(
        network="factorization_machine",
        initial_filters=str(in_turn[0].folder.parent),
        train_filters=False,
        epochs=1,
    )
    for mine, theirs in zip(cross_validate(store, chosen, tmp_path / "folds").runs, in_turn, strict=True):
        filters = [run.model().get_layer("filters").get_weights() for run in (mine, theirs)]
        assert len(filters[0]) == 2  # the biases as well
        for weights in zip(*filters, strict=True):
            np.testing.assert_array_equal(*weights)
