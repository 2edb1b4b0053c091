"""Motifs and interactions of a cross-validation: what its folds agree on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from chromacc_data.errors import InputError
from chromacc_data.motifs.files import read_motifs
from chromacc_data.motifs.motif import Motif
from chromacc_data.sequences.encoding import encode, one_hot
from chromacc_models.cli import main_group
from chromacc_models.evaluation.cross_validation import cross_validate
from chromacc_models.interpretation.folds import (
    FoldGroups,
    group_filters,
    motifs_of_folds,
    recurring_interactions,
)
from chromacc_models.training.config import TrainConfig
from chromacc_models.training.run import Run
from tests.conftest import write_small_store

RNG = np.random.default_rng(0)
WORDS = ("CCACCAGGGGGCGC", "AGATAAGCAGATAA", "TGACTCATTTCCGG")


def filter_of(name: str, word: str | None = None, *, shift: int = 0) -> Motif:
    """A filter of 18 bp that looks for a word, with weak flanks; one that learned nothing without a word."""
    ppm = RNG.dirichlet([20.0] * 4, 18)
    if word is not None:
        ppm[shift : shift + len(word)] = 0.91 * one_hot(encode(word)) + 0.0225
    return Motif(name, ppm)


def test_group_filters__across_folds_wherever_the_motif_lies():
    a, b, c = WORDS
    folds = [
        [filter_of("f0", a), filter_of("f1", b, shift=2), filter_of("f2"), filter_of("f3", c)],
        [filter_of("f0", b), filter_of("f1"), filter_of("f2", a, shift=3), filter_of("f3", a, shift=1)],
        [filter_of("f0"), filter_of("f1"), filter_of("f2", a, shift=4), filter_of("f3", b, shift=1)],
    ]
    names = [["CTCF", "", "", ""], ["", "", "CTCF", ""], [""] * 4]
    found = group_filters(folds, names)
    of_a, of_b = found.of_filter[0][:2]
    assert sorted([of_a, of_b]) == [0, 1]
    assert found.members(of_a) == [(0, 0), (1, 2), (1, 3), (2, 2)]
    assert found.members(of_b) == [(0, 1), (1, 0), (2, 3)]
    assert found.n_folds.tolist() == [3, 3, *[1] * 5]
    assert found.motifs[of_a].id == "CTCF"
    assert b in found.motifs[of_b].consensus


def test_recurring_interactions__by_hand():
    motifs = tuple(Motif(name, np.eye(4)) for name in "XYZ")
    groups = FoldGroups(
        (np.array([0, 1, 1]), np.array([1, 0, 2]), np.array([0, 2, 0])), motifs, np.array([3, 2, 2])
    )
    scaled = [np.zeros((1, 3, 3)) for _ in range(3)]
    for fold, i, j, value in (
        (0, 0, 1, 1.0),
        (0, 0, 2, 2.0),
        (0, 1, 2, 9.0),
        (1, 0, 1, 5.0),
        (1, 1, 2, -3.0),
    ):
        scaled[fold][0, i, j] = scaled[fold][0, j, i] = value
    scaled[2][0, 0, 1] = scaled[2][0, 1, 0] = 2.0
    scaled[2][0, 0, 0] = 100.0  # no pair
    found = recurring_interactions(scaled, groups, ["liver"])
    assert found[["motif_a", "motif_b"]].to_numpy().tolist() == [["X", "Y"], ["X", "Z"]]
    assert found["rank"].tolist() == [1, 2]
    assert found["folds"].tolist() == [2, 2]
    assert found["same_sign"].tolist() == [2, 1]
    np.testing.assert_allclose(found["scaled_mean"], [4, -0.5])
    np.testing.assert_allclose(found["scaled_sd"], [np.std([3, 5], ddof=1), np.std([-3, 2], ddof=1)])
    assert len(recurring_interactions(scaled, groups, ["liver"], n_top=1)) == 1


def test_recurring_interactions__of_motifs_that_do_not_recur():
    motifs = tuple(Motif(name, np.eye(4)) for name in "XY")
    groups = FoldGroups((np.array([0]), np.array([1])), motifs, np.array([1, 1]))
    found = recurring_interactions([np.zeros((2, 1, 1))] * 2, groups, ["liver", "neuron"])
    assert found.empty
    assert {"motif_a", "folds", "scaled_sd"} <= set(found.columns)


def test_group_filters__names_are_without_whitespace_and_different():
    folds = [[filter_of("f0", WORDS[0])], [filter_of("f0", WORDS[1])]]
    found = group_filters(folds, [["T box"], ["T box"]])
    assert sorted(motif.id for motif in found.motifs) == ["T_box", "T_box.2"]


def make_crossed(folder: Path) -> None:
    fold = np.arange(90, dtype=np.int8) % 3
    store = write_small_store(folder / "a.zarr", n_windows=90, window_length=20, fold=fold)
    options = {"n_filters": 3, "filter_width": 5, "batch_size": 16, "epochs": 1}
    config = TrainConfig(network="factorization_machine", **options)
    cross_validate(store, config, folder / "folds")


@pytest.fixture
def crossed(copy_made: Callable[..., Path]) -> Path:
    """Folder of a tiny cross-validation of three folds."""
    return copy_made(make_crossed) / "folds"


def test_commands__take_the_folder_of_a_cross_validation(crossed: Path):
    def call(*arguments: object) -> str:
        done = CliRunner().invoke(main_group, [*map(str, arguments), "-q"])
        assert done.exit_code == 0, (done.output, done.exception)
        return done.output

    call("report", crossed)
    page = (crossed / "report.html").read_text()
    assert f"chromacc-models motifs {crossed}" in page
    assert "motifs found by at least 2 of 3 folds" in call("motifs", crossed, "--logos", 2)
    assert "pairs of motifs" in call("interactions", crossed)
    for command in ("motifs", "interactions"):
        found = json.loads(call(command, crossed, "--json"))
        assert len(found["folds"]) == 3
        assert found["recurring"] is not None
    table = pd.read_csv(crossed / "recurring_motifs.tsv", sep="\t")
    assert table["filters"].sum() == 9
    assert table["folds"].is_monotonic_decreasing
    members = " ".join(table["members"]).split()
    assert sorted(members) == [f"fold-{k}:filter_{i}" for k in range(3) for i in range(3)]
    n_recurring = int((table["folds"] > 1).sum())
    meme = crossed / "recurring_motifs.meme"
    assert (len(read_motifs(meme)) if meme.exists() else 0) == n_recurring
    pairs = pd.read_csv(crossed / "recurring_interactions.tsv", sep="\t")
    assert (pairs["same_sign"] <= pairs["folds"]).all()
    for fold in range(3):
        assert (crossed / f"fold-{fold}" / "motifs.tsv").exists()
        assert (crossed / f"fold-{fold}" / "interactions.tsv").exists()
    call("report", crossed)
    page = (crossed / "report.html").read_text()
    scores = pd.read_csv(crossed / "scores.tsv", sep="\t")
    of_folds = scores.groupby("fold")["auroc"].mean()
    assert f"<td>{of_folds.mean():.4f}</td><td>{of_folds.std():.4f}</td>" in page
    assert "recurring_motifs.tsv" in page
    assert "Not made yet" not in page


def test_motifs_of_folds__bad_input(crossed: Path, tmp_path: Path):
    with pytest.raises(InputError, match="the folder of a cross-validation, not of a run") as error:
        Run.open(crossed)
    Run.open(error.value.remedy.split(": ")[1])
    with pytest.raises(InputError, match="not the folder of a cross-validation"):
        motifs_of_folds(tmp_path)
    (crossed / "fold-1" / "run.json").unlink()
    with pytest.raises(InputError, match="not a run folder"):
        motifs_of_folds(crossed)
    assert not (crossed / "fold-0" / "motifs.tsv").exists()
