"""Interpreting a run: motifs of its filters from the store that it was trained on, or none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from chromacc_data.build_store import build
from chromacc_data.errors import InputError
from chromacc_data.motifs.files import write_motifs
from chromacc_data.motifs.motif import Motif
from chromacc_data.sequences.encoding import encode, one_hot
from chromacc_models.interpretation import run_motifs as interpreting
from chromacc_models.interpretation.run_filters import read_planted
from chromacc_models.interpretation.run_motifs import run_motifs
from chromacc_models.training.config import TrainConfig
from chromacc_models.training.run import Run
from chromacc_models.training.train import train
from tests.conftest import write_small_store
from tests.simulated import write_simulated_dataset

FILES = {"motifs.meme", "motifs.tsv", "motifs.png"}


def make_run(folder: Path) -> None:
    path = write_small_store(folder / "train.zarr", n_windows=60, window_length=20)
    train(path, TrainConfig(network="baseline", n_filters=3, filter_width=4, epochs=1), folder / "run")


@pytest.fixture
def run(copy_made: Callable[..., Path]) -> Run:
    return Run.open(copy_made(make_run) / "run")


def files(run: Run) -> set[str]:
    return {path.name for path in run.folder.iterdir()}


def test_run_motifs__files_by_importance(run: Run):
    found = run_motifs(run, n_logos=2)
    assert files(run) >= FILES
    assert len(found.motifs) == 3
    assert found.table["importance"].is_monotonic_decreasing
    saved = pd.read_csv(run.folder / "motifs.tsv", sep="\t")
    assert saved["filter"].tolist() == [motif.id for motif in found.motifs]


def test_read_planted__of_a_store_or_a_file(make_store: Callable[..., Path], tmp_path: Path):
    recipe = write_simulated_dataset(tmp_path / "simulated")
    store = build(recipe, tmp_path / "simulated.zarr").path
    of_store = read_planted(store)
    of_file = read_planted(tmp_path / "simulated" / "motifs.meme")
    for mine, theirs in zip(of_store, of_file, strict=True):
        assert mine.symbol == theirs.symbol
        np.testing.assert_allclose(mine.ppm, theirs.ppm, atol=1e-6)
    for mine, theirs in zip(read_planted(store, as_written=True), of_store, strict=True):
        assert (mine.id, mine.consensus) == (theirs.id, theirs.consensus)
        assert (mine.ppm.max(axis=1) == 1).all()
    with pytest.raises(InputError, match="the store has no truth"):
        read_planted(make_store("real.zarr", n_windows=20, window_length=20))


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
    def fail(_motifs: object, **_options: object) -> None:
        raise ValueError("cannot draw")

    monkeypatch.setattr(interpreting, "logo_grid", fail)
    with pytest.raises(ValueError, match="cannot draw"):
        run_motifs(run)
    assert not files(run) & FILES


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """A database of 60 random motifs and the three that :func:`set_filters` puts into a network."""
    rng = np.random.default_rng(0)
    motifs = [Motif(f"M{i}", rng.dirichlet([0.3] * 4, 7)) for i in range(60)]
    write_motifs(tmp_path / "known.meme", [*motifs, *planted()])
    return tmp_path / "known.meme"


def planted() -> list[Motif]:
    return [
        Motif(word, one_hot(encode(word)), f"TF{i}")
        for i, word in enumerate(("GATAAGG", "TGACTCA", "CACGTGC"))
    ]


@pytest.fixture
def taught(make_store: Callable[..., Path], tmp_path: Path) -> Run:
    """A run whose filters are GATAAGG, the sum of TGACTCA and CACGTGC, and nothing."""
    path = make_store("taught.zarr", n_windows=60, window_length=20)
    config = TrainConfig(network="factorization_machine", n_filters=3, filter_width=12, epochs=1)
    run = train(path, config, tmp_path / "taught")
    model = run.model()
    kernel = np.zeros((12, 4, 3), dtype=np.float32)
    kernel[2:9, :, 0] = planted()[0].ppm
    kernel[:7, :, 1] = planted()[1].ppm
    kernel[5:12, :, 1] += planted()[2].ppm
    model.get_layer("filters").set_weights([kernel, np.zeros(3, np.float32)])
    model.save(run.folder / "model.keras")
    return run


def test_run_motifs__with_a_database(taught: Run, known: Path):
    found = run_motifs(taught, database=known, n_logos=1)
    assert files(taught) >= {*FILES, "tomtom.tsv", "tomtom_null.tsv"}
    rows = found.table.set_index("filter")
    assert rows.loc["filter_0", ["target", "target_name", "parts"]].tolist() == ["GATAAGG", "TF0", "TF0@2+"]
    assert set(rows.loc["filter_1", "parts"].split()) == {"TF1@0+", "TF2@5+"}
    assert rows.loc["filter_2", ["parts", "explained"]].tolist() == ["", 0]
    assert rows.loc["filter_0", "E"] < 0.01
    assert rows.loc["filter_0", "null_untrained"] < 0.01 < rows.loc["filter_2", "null_untrained"]
    chance = found.chance.set_index("E")
    assert chance.loc[0.01, "matched"] >= 1
    assert (chance["expected_untrained"] < 3).any()
    saved = pd.read_csv(taught.folder / "tomtom.tsv", sep="\t")
    assert saved.loc[saved["Query_ID"] == "filter_0", "Target_ID"].iloc[0] == "GATAAGG"
    assert {"null_untrained", "null_shuffled"} <= set(saved.columns)
    value, text = found.report()
    assert value["chance"][0]["E"] == 0.0001
    assert "learned nothing" in text
    again = run_motifs(taught, database=known, n_logos=1)
    pd.testing.assert_frame_equal(again.table, found.table)
    other = run_motifs(taught, database=known, n_logos=1, seed=1)
    assert not other.chance["expected_untrained"].equals(found.chance["expected_untrained"])


def test_run_motifs__with_the_truth(taught: Run, tmp_path: Path):
    write_motifs(tmp_path / "truth.meme", planted())
    found = run_motifs(taught, truth=tmp_path / "truth.meme", n_logos=1)
    rows = found.table.set_index("filter")
    assert rows["kind"].to_dict() == {"filter_0": "single", "filter_1": "combination", "filter_2": "none"}
    assert rows["planted"].to_dict() == {"filter_0": "TF0", "filter_1": "TF1+TF2", "filter_2": ""}
    assert found.kinds == {"single": 1, "combination": 1, "none": 1}
    assert (found.n_found, found.n_groups) == (1, 3)
    value, text = found.report()
    assert value["planted"]["found"] == 1
    assert "1 of 3 motifs" in text
    assert "as many untrained filters: " in text
    by_chance = value["planted"]["chance"]["untrained"]
    assert sum(by_chance[kind] for kind in found.kinds) == pytest.approx(3)
    # A filter matches a planted motif more often than one whose positions were shuffled.
    assert value["planted"]["chance"]["shuffled"]["single"] < 1
    assert "tomtom.tsv" not in files(taught)


def test_run_motifs__tables_of_an_earlier_call_do_not_stay(taught: Run, known: Path):
    run_motifs(taught, database=known, n_logos=1)
    assert files(taught) >= {"tomtom.tsv", "tomtom_null.tsv"}
    run_motifs(taught, n_logos=1)
    assert not files(taught) & {"tomtom.tsv", "tomtom_null.tsv"}
    assert files(taught) >= FILES


def test_run_motifs__of_basset_by_information(make_store: Callable[..., Path], known: Path, tmp_path: Path):
    path = make_store("long.zarr", n_windows=40, window_length=200)
    run = train(path, TrainConfig(network="basset", size=0.02, epochs=1), tmp_path / "basset")
    found = run_motifs(run, database=known, n_logos=1)
    assert "importance" not in found.table
    assert found.table["bits"].is_monotonic_decreasing
    assert {"E", "null_untrained"} <= set(found.table)


def test_run_motifs__database_that_is_none(taught: Run, tmp_path: Path):
    with pytest.raises(InputError, match="cannot be read"):
        run_motifs(taught, database=tmp_path / "nowhere.meme")
    assert not files(taught) & FILES


def test_run_motifs__network_without_filters(taught: Run, tmp_path: Path):
    import keras

    inputs = keras.Input((20, 4))
    keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs))).save(
        taught.folder / "model.keras"
    )
    with pytest.raises(InputError, match="the network has no filters"):
        run_motifs(taught)
