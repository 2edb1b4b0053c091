"""The truth in a store: read, checked, and the best that can be made of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from chromacc_data import build_store as build
from chromacc_data.errors import CheckError, InputError
from chromacc_data.motifs.files import read_motifs
from chromacc_data.ranks import auroc
from chromacc_data.simulation.truth import ceiling, check_truth, every_occurrence, read_truth
from chromacc_data.store import batches, schema
from chromacc_data.store.read import open_store, read_variable
from chromacc_data.verify_store import verify
from tests.simulated import SIMPLE, write_simulated_dataset
from tests.test_verify_store import reseal


def make_built(folder: Path) -> None:
    build.build(write_simulated_dataset(folder / "set"), folder / "a.zarr")


@pytest.fixture
def built(copy_made: Callable[..., Path]) -> Path:
    return copy_made(make_built) / "a.zarr"


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_auroc__as_scikit_learn(pairs: list):
    score, label = map(np.array, zip(*pairs, strict=True))
    if label.all() or not label.any():
        assert np.isnan(auroc(score, label))
    else:
        assert auroc(score, label) == pytest.approx(roc_auc_score(label, score))


def test_read_truth__what_the_recipe_says(built: Path):
    truth = read_truth(open_store(built))
    assert truth.pool.names == ("ALX", "BOB", "CUX", "DUX")
    assert [motif.consensus for motif in truth.pool.motifs] == ["ACGTAC", "GGATT", "CCCTA", "TTGCAAG"]
    for written, motif in zip(truth.written_motifs, truth.pool.motifs, strict=True):
        assert (written.consensus, written.ppm.max(axis=1).min()) == (motif.consensus, 1)
    assert sorted(truth.contributions[0].tolist()) == pytest.approx([-1, -1 / 3, 1 / 3, 1])
    assert truth.contributions.shape == (4, 4)
    assert truth.thresholds.tolist() == [0.1, 0.1, 1, 1]
    assert [(p.first, p.second) for p in truth.pairs("pair")] == [("ALX", "BOB"), ("CUX", "DUX")]
    assert truth.models[3].function.reference == "own.py:score"


def test_read_truth__same_probabilities_to_the_last_bit(built: Path, tmp_path: Path):
    written = read_motifs(tmp_path / "set" / "motifs.meme")
    for motif, expected in zip(read_truth(open_store(built)).pool.motifs, written, strict=True):
        assert np.array_equal(motif.ppm, expected.ppm)


def test_read_truth__a_store_of_a_genome_has_none(make_store: Callable[..., Path]):
    with pytest.raises(InputError, match="the store has no truth"):
        read_truth(open_store(make_store()))


def test_ceiling__no_other_score_ranks_better(built: Path):
    ds = open_store(built)
    rows = batches.split_indices(ds, "train")
    best = ceiling(ds, indices=rows)
    labels = read_variable(ds, "accessibility")[rows]
    naive = every_occurrence(ds, indices=rows)
    assert list(naive) == ["sum_1", "sum_2"]
    contributions = read_truth(ds).contributions
    for i, name in enumerate(naive):
        score = read_variable(ds, "score")[:, i].copy()
        for motif, counts in enumerate(read_variable(ds, "accidental").T):
            score += counts * contributions[i, motif]
        assert naive[name] == pytest.approx(auroc(score[rows].round(6), labels[:, i]))
        assert 0.8 < naive[name] < best[name] < 1


def test_ceiling__probabilities_are_those_of_the_labels(built: Path):
    ds = open_store(built)
    chance, label = (read_variable(ds, name) for name in ("open_probability", "accessibility"))
    for low, high in ((0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1.01)):
        here = (chance >= low) & (chance < high)
        error = np.sqrt(chance[here].mean() * (1 - chance[here].mean()) / here.sum())
        assert label[here].mean() == pytest.approx(chance[here].mean(), abs=4 * error + 1e-3)


def test_ceiling__of_a_set_without_accidents_is_one(tmp_path: Path):
    text = SIMPLE.replace("  n_windows", "  remove_accidental: true\n  n_windows")
    path = build.build(write_simulated_dataset(tmp_path / "set", text), tmp_path / "a.zarr").path
    ds = open_store(path)
    assert min(ceiling(ds).values()) > 0.999
    # Every occurrence is a site: of windows that were made so, nothing is left to chance.
    chance, label = (read_variable(ds, name) for name in ("open_probability", "accessibility"))
    assert (np.abs(chance - label) < 0.5).mean() > 0.999


def test_every_occurrence__of_sampled_sites_there_is_none(tmp_path: Path):
    text = SIMPLE.replace("strand: either", "strand: either, bases: sampled")
    path = build.build(write_simulated_dataset(tmp_path / "set", text), tmp_path / "a.zarr").path
    assert every_occurrence(open_store(path)) == {}


def first_site(path: Path) -> tuple[int, int]:
    """A window with a site, and where that starts."""
    group = zarr.open_group(path, mode="r")
    row = int(np.flatnonzero(group["site_motif"][:, 0] >= 0)[0])
    return row, int(group["site_start"][row, 0])


def test_verify__base_of_a_site_tampered_with(built: Path):
    row, start = first_site(built)
    sequence = zarr.open_group(built, mode="r+")["sequence"]
    sequence[row, start] = np.roll(sequence[row, start], 1)
    reseal(built)
    with pytest.raises(CheckError, match=f"no site of .* at {start}") as caught:
        verify(built, n_sample=None)
    assert f"window {row}" in str(caught.value)


def test_verify__base_of_the_background_tampered_with(built: Path):
    row = int(np.flatnonzero(zarr.open_group(built, mode="r")["site_motif"][:, 0] < 0)[0])
    sequence = zarr.open_group(built, mode="r+")["sequence"]
    sequence[row, 17] = np.roll(sequence[row, 17], 1)
    reseal(built)
    with pytest.raises(CheckError, match="bases are not those that the recipe gives") as caught:
        verify(built, n_sample=5)
    assert f"window {row} position 17" in str(caught.value)


def test_verify__unknown_base(built: Path):
    zarr.open_group(built, mode="r+")["sequence"][3, 5] = 0
    reseal(built)
    with pytest.raises(CheckError, match="unknown bases"):
        verify(built, n_sample=None)


TAMPERED = {
    "accessibility": ((6, 1), "the label of 'sum_2' is not that of the score"),
    "score": ((6, 2), "the score for 'pair' is not that of the sites"),
    "site_motif": (None, "no site of|overlaps"),
    "site_start": (None, "no site of|overlaps"),
    "site_strand": (None, "no site of|overlaps"),
    "split": ((6,), "'split' is not what the sources give"),
    "open_probability": ((6, 1), "'open_probability' is not what the sources give"),
    "accidental": ((6, 1), "'accidental' is not what the sources give"),
}


@pytest.mark.parametrize(
    ("name", "where", "message"), [(n, *rest) for n, rest in TAMPERED.items()], ids=TAMPERED
)
def test_verify__truth_tampered_with(built: Path, name: str, where: tuple | None, message: str):
    array = zarr.open_group(built, mode="r+")[name]
    where = where or (first_site(built)[0], 0)
    if name == "site_strand":
        array[where] = -array[where]
    elif name == "site_motif":
        array[where] = (array[where] + 1) % 4
    else:
        array[where] = 1 - array[where] if name in ("accessibility", "split") else array[where] + 1
    reseal(built)
    with pytest.raises(CheckError, match=message):
        verify(built, n_sample=None)


def test_verify__a_site_of_no_strand(built: Path):
    zarr.open_group(built, mode="r+")["site_strand"][first_site(built)[0], 0] = 0
    reseal(built)
    with pytest.raises(CheckError, match="invalid strand of a site of"):
        verify(built, n_sample=None)


def test_verify__another_truth_on_record(built: Path):
    group = zarr.open_group(built, mode="r+")
    truth = json.loads(group.attrs["truth"])
    truth["models"][3]["function"] = "other.py:score"
    group.attrs["truth"] = json.dumps(truth)
    reseal(built)
    with pytest.raises(CheckError, match="different truth"):
        verify(built)


def test_verify__changed_truth_changes_the_hash(built: Path):
    group = zarr.open_group(built, mode="r+")
    group.attrs["truth"] = group.attrs["truth"].replace("0.85", "0.86")
    with pytest.raises(CheckError, match="content differs from its hash"):
        verify(built)


def test_check_truth__overlapping_sites(built: Path):
    ds = open_store(built).load()
    rows = np.flatnonzero((ds["site_motif"] >= 0).all("site").to_numpy())[:1]
    ds["site_start"][rows[0], 1] = ds["site_start"][rows[0], 0]
    with pytest.raises(CheckError, match="overlaps another, or an end"):
        check_truth(ds, rows)


@pytest.mark.parametrize("name", [variable.name for variable in schema.TRUTH])
def test_validate__truth_is_whole(built: Path, name: str):
    with pytest.raises(InputError, match="with incomplete truth"):
        schema.validate(open_store(built).drop_vars(name))


def test_verify__sampled_sites(tmp_path: Path):
    text = SIMPLE.replace("strand: either", "strand: either, bases: sampled")
    path = build.build(write_simulated_dataset(tmp_path / "set", text), tmp_path / "a.zarr").path
    assert verify(path, n_sample=None).n_compared == 1500
    best = ceiling(open_store(path))
    assert 0.6 < best["sum_1"] < 0.99
