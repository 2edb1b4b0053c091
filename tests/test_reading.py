"""Reading a run: motifs of its filters from the store that it was trained on, or none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from chromacc_data.errors import InputError
from chromacc_models import reading
from chromacc_models.config import TrainConfig
from chromacc_models.reading import run_motifs
from chromacc_models.run import Run
from chromacc_models.train import train

FILES = {"motifs.meme", "motifs.tsv", "motifs.png"}


@pytest.fixture
def run(make_store: Callable[..., Path], tmp_path: Path) -> Run:
    path = make_store("train.zarr", n_windows=60, window_length=20)
    return train(
        path, TrainConfig(network="baseline", n_filters=3, filter_width=4, epochs=1), tmp_path / "run"
    )


def files(run: Run) -> set[str]:
    return {path.name for path in run.folder.iterdir()}


def test_run_motifs__files_by_importance(run: Run):
    found = run_motifs(run, n_logos=2)
    assert files(run) >= FILES
    assert len(found.motifs) == 3
    assert found.table["importance"].is_monotonic_decreasing
    saved = pd.read_csv(run.folder / "motifs.tsv", sep="\t")
    assert saved["filter"].tolist() == [motif.id for motif in found.motifs]


def test_run_motifs__store_that_has_changed(run: Run, make_store: Callable[..., Path]):
    make_store("train.zarr", n_windows=90, window_length=20, seed=1)
    with pytest.raises(InputError, match="has changed since the training"):
        run_motifs(run)
    assert not files(run) & FILES


def test_run_motifs__no_logos(run: Run):
    with pytest.raises(InputError, match="no logos"):
        run_motifs(run, n_logos=0)
    assert not files(run) & FILES


def test_run_motifs__draws_before_it_writes(run: Run, monkeypatch: pytest.MonkeyPatch):
    def fail(_motifs: object) -> None:
        raise ValueError("cannot draw")

    monkeypatch.setattr(reading, "logo_grid", fail)
    with pytest.raises(ValueError, match="cannot draw"):
        run_motifs(run)
    assert not files(run) & FILES
