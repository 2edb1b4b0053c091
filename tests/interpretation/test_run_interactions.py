"""Interactions of a run: names, files, and errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from chromacc_data.build_store import build
from chromacc_data.errors import InputError
from chromacc_data.motifs.files import write_motifs
from chromacc_data.motifs.motif import Motif
from chromacc_data.sequences.encoding import N_CODE, encode, one_hot
from chromacc_data.simulation.truth import read_truth
from chromacc_data.store.read import open_store
from chromacc_models.interpretation.filter_names import name_by_database, name_by_truth
from chromacc_models.interpretation.insertions import insertion_effect, shuffled_backgrounds
from chromacc_models.interpretation.interactions import motif_interactions
from chromacc_models.interpretation.run_filters import read_filters_of_run
from chromacc_models.interpretation.run_insertions import responses_of
from chromacc_models.interpretation.run_interactions import interactions_of, run_interactions
from chromacc_models.training.config import TrainConfig
from chromacc_models.training.run import Run
from chromacc_models.training.train import train
from tests.conftest import write_small_store


def exact(word: str, name: str = "") -> Motif:
    return Motif(word, one_hot(encode(word)), name)


#: CTCF and its paralogue: one base of eight apart.
PLANTED = [exact("GATAAGGA", "GATA4"), exact("CCACTAGG", "CTCF"), exact("CCACTAGA", "CTCFL")]


def database() -> list[Motif]:
    rng = np.random.default_rng(0)
    return [*PLANTED, *[Motif(f"M{i}", rng.dirichlet([0.3] * 4, 8)) for i in range(60)]]


def make_run(folder: Path) -> None:
    """Filters GATA4, CTCF, CTCFL and one of noise; the first cell type knows GATA4 with CTCF."""
    codes = np.random.default_rng(0).integers(0, 4, (90, 20), dtype=np.uint8)
    path = write_small_store(folder / "a.zarr", codes=codes)
    config = TrainConfig(network="factorization_machine", n_filters=4, filter_width=8, k=2, epochs=1)
    run = train(path, config, folder / "run")
    model = run.model()
    kernel = np.random.default_rng(1).uniform(-1, 1, (8, 4, 4)).astype(np.float32)
    for i, motif in enumerate(PLANTED):
        kernel[..., i] = motif.ppm - 0.25
    model.get_layer("filters").set_weights([kernel, np.zeros(4, np.float32)])
    vectors = np.zeros((4, 2, 2), dtype=np.float32)
    vectors[[0, 1], 0] = (1, 0)
    vectors[2, 0] = (0.5, 0)
    vectors[[1, 2], 1] = (-1, 1)
    vectors[0, 1] = (2, 0)
    model.get_layer("head").vectors.assign(vectors)
    model.save(run.folder / "model.keras")


@pytest.fixture
def run(copy_made: Callable[..., Path]) -> Run:
    return Run.open(copy_made(make_run) / "run")


def test_run_interactions__without_names(run: Run):
    found = run_interactions(run)
    assert {"interactions.tsv", "interactions.png"} <= {path.name for path in run.folder.iterdir()}
    assert not (run.folder / "motif_interactions.tsv").exists()
    first = found.table[found.table["rank"] == 1].set_index("cell_type")
    assert first.loc["liver", ["filter_a", "filter_b", "raw"]].tolist() == ["filter_0", "filter_1", 1]
    assert first.loc["T cell", ["filter_a", "filter_b", "raw"]].tolist() == ["filter_1", "filter_2", 2]
    saved = pd.read_csv(run.folder / "interactions.tsv", sep="\t")
    assert saved["rank"].tolist() == list(range(1, 7)) * 2
    assert len(run_interactions(run, n_top=2).table) == 4


def test_run_interactions__by_size(run: Run):
    signed, absolute = (run_interactions(run, absolute=a, n_top=1).table["scaled"] for a in (False, True))
    assert (signed > 0).all()
    assert (absolute.abs() >= signed).all()


@pytest.mark.parametrize("source", ["database", "truth"])
def test_run_interactions__by_motif(run: Run, tmp_path: Path, source: str):
    write_motifs(tmp_path / "known.meme", database() if source == "database" else PLANTED)
    found = run_interactions(run, **{source: tmp_path / "known.meme"})
    table, motifs = found.table, found.motif_table
    named = table[(table["cell_type"] == "liver") & (table["rank"] == 1)]
    assert named[["motif_a", "motif_b"]].to_numpy().tolist() == [["GATA4", "CTCF/CTCFL"]]
    liver = motifs[motifs["cell_type"] == "liver"]
    heterotypic = liver[~liver["homotypic"]].iloc[0]
    assert heterotypic[["rank", "motif_a", "motif_b"]].tolist() == [1, "GATA4", "CTCF/CTCFL"]
    run_filters = read_filters_of_run(run)
    rise = responses_of(run_filters, None, PLANTED).rise
    of_motifs = motif_interactions(interactions_of(run_filters).raw, rise)[0]
    assert heterotypic["interaction"] == pytest.approx(of_motifs[0, 1:].mean())
    homotypic = liver[liver["homotypic"]].iloc[0]
    assert homotypic[["rank", "motif_a"]].tolist() == [1, "CTCF/CTCFL"]
    few = run_interactions(run, **{source: tmp_path / "known.meme"}, n_top=1).motif_table
    assert few["rank"].tolist() == [1, 1] * 2
    value, text = found.report()
    assert "CTCF/CTCFL" in text
    assert len(value["motif_interactions"]) == len(motifs)


def test_run_interactions__inserted(run: Run, tmp_path: Path):
    write_motifs(tmp_path / "known.meme", [*PLANTED, exact("TTTTTTTT")])
    motifs = run_interactions(run, truth=tmp_path / "known.meme", n_insert=3).motif_table
    saved = pd.read_csv(run.folder / "motif_interactions.tsv", sep="\t")
    assert motifs["inserted"].notna().tolist() == (~motifs["homotypic"]).tolist()
    np.testing.assert_allclose(saved["inserted"], motifs["inserted"], rtol=1e-5)
    run_filters = read_filters_of_run(run)
    backgrounds = shuffled_backgrounds(run_filters.codes, 200)
    effect = insertion_effect(
        run_filters.model, backgrounds, PLANTED[0], PLANTED[1], both_strands=run_filters.both_strands
    )
    pair = motifs[(motifs["motif_a"] == "GATA4") & (motifs["motif_b"] == "CTCF/CTCFL")]
    assert pair["cell_type"].tolist() == ["liver", "T cell"]
    assert pair["rank"].iloc[0] == 1
    np.testing.assert_allclose(pair["inserted"], effect.interaction, rtol=1e-6)
    np.testing.assert_allclose(pair["inserted_error"], effect.interaction_error, rtol=1e-6)
    assert (
        run_interactions(run, truth=tmp_path / "known.meme", n_insert=1).motif_table["inserted"].count() == 2
    )


def test_run_interactions__inserted_where_the_network_scans(make_store: Callable[..., Path], tmp_path: Path):
    path = make_store("wide.zarr", codes=np.random.default_rng(0).integers(0, 4, (60, 60), dtype=np.uint8))
    options = {"n_filters": 2, "filter_width": 8, "k": 1, "epochs": 1, "scan_length": 20, "dropout": 0.2}
    run = train(path, TrainConfig(network="factorization_machine", **options), tmp_path / "wide")
    model = run.model()
    kernel = np.stack([motif.ppm - 0.5 for motif in PLANTED[:2]], axis=-1)
    model.get_layer("filters").set_weights([kernel.astype(np.float32), np.full(2, -3, np.float32)])
    model.get_layer("head").vectors.assign(np.ones((2, 2, 1), dtype=np.float32))
    model.save(run.folder / "model.keras")
    write_motifs(tmp_path / "known.meme", PLANTED[:2])
    motifs = run_interactions(run, truth=tmp_path / "known.meme", n_insert=1).motif_table
    motifs = motifs[~motifs["homotypic"]]
    # Only an exact site passes the bias: the same in every window, wherever the motifs stand in the middle.
    assert len(motifs) == 2
    np.testing.assert_allclose(motifs["interaction"], motifs["inserted"], rtol=1e-3)
    assert (motifs["inserted"] > 0.001).all()
    assert (motifs["inserted_error"] < 1e-4 * motifs["inserted"]).all()


def test_run_interactions__no_filter_has_a_name(run: Run, tmp_path: Path):
    write_motifs(tmp_path / "other.meme", [exact("TTTTTTTT")])
    found = run_interactions(run, truth=tmp_path / "other.meme")
    assert found.motif_table["homotypic"].tolist() == [True, True]
    assert (found.table["motif_a"] == "").all()
    assert "interactions are in" in found.report()[1]
    write_motifs(tmp_path / "noise.meme", [motif for motif in database() if motif not in PLANTED])
    assert len(run_interactions(run, database=tmp_path / "noise.meme").motif_table) == 0


def test_run_interactions__a_motif_longer_than_the_window(run: Run, tmp_path: Path):
    write_motifs(tmp_path / "long.meme", [exact("GATA" * 6, "long")])
    with pytest.raises(InputError, match="longer than what the network scans") as error:
        run_interactions(run, truth=tmp_path / "long.meme")
    assert "24 bp" in str(error.value)
    assert "20 bp or less" in str(error.value)


def test_run_interactions__bad_input(run: Run, make_store: Callable[..., Path], tmp_path: Path):
    with pytest.raises(InputError, match="two sources of names"):
        run_interactions(run, database="a.meme", truth="b.meme")
    with pytest.raises(InputError, match=r"no motifs to insert(.|\n)*--database or --truth"):
        run_interactions(run, n_insert=3)
    config = TrainConfig(network="baseline", n_filters=2, filter_width=4, epochs=1)
    baseline = train(run.store, config, tmp_path / "baseline")
    with pytest.raises(InputError, match="the network has no interactions") as error:
        run_interactions(baseline)
    assert "found:    baseline" in str(error.value)
    assert not (baseline.folder / "interactions.tsv").exists()


def test_name_by_database__groups_of_those_that_match_each_other():
    filters = [*PLANTED, Motif("flat", np.full((8, 4), 0.25))]
    names = name_by_database(filters, database())
    assert names.of_filters() == ["GATA4", "CTCF/CTCFL", "CTCF/CTCFL", ""]
    assert name_by_database(filters[-1:], database()).of_filters() == [""]


def test_name_by_truth__combinations():
    both = Motif("both", (PLANTED[0].ppm + PLANTED[1].ppm) / 2)
    names = name_by_truth([both, PLANTED[2]], PLANTED, both_strands=False)
    assert names.of_filters() == ["GATA4+CTCF/CTCFL", "CTCF/CTCFL"]


PAIRS = """
name: pairs
title: Open where a pair is there
windows: {length: 60}
simulation:
  n_windows: 300
  background: {kind: independent}
  motifs: {sequences: {GATA: AGATAAGGCA, EBOX: CAGGTGTTCC, CEBP: TTGCGCAATC, AP1: TGACTCAGGA}}
  sites: {number: 2, strand: forward}
  targets:
    - {cell_type: pairs, model: paired, pairs: [GATA EBOX, CEBP AP1]}
    - {cell_type: alone, model: additive, draw: even, threshold: 0}
    - {cell_type: closes, model: paired, pairs: [GATA EBOX, {first: GATA, second: AP1, contribution: -1}]}
split: {by: random, validation: 100, test: 100}
"""


def test_run_interactions__against_the_pairs_of_a_simulated_store(tmp_path: Path):
    (tmp_path / "recipe.yaml").write_text(PAIRS)
    store = build(tmp_path / "recipe.yaml", tmp_path / "pairs.zarr").path
    config = TrainConfig(
        network="factorization_machine", n_filters=4, filter_width=10, k=2, epochs=1, strands="forward"
    )
    run = train(store, config, tmp_path / "run")
    model, motifs = run.model(), read_truth(open_store(store)).pool.motifs
    kernel = np.stack([motif.ppm - 0.25 for motif in motifs], axis=-1).astype(np.float32)
    model.get_layer("filters").set_weights([kernel, np.full(4, -6, np.float32)])
    vectors = np.zeros((4, 3, 2), dtype=np.float32)
    vectors[[0, 1], 0] = (1, 0)  # the first cell type knows GATA with EBOX, and half of CEBP with AP1
    vectors[[2, 3], 0] = (0, 0.5)
    vectors[[0, 2], 2] = (1, 0)  # the third holds a pair for another, and knows the one that closes
    vectors[3, 2] = (-2, 0)
    model.get_layer("head").vectors.assign(vectors)
    model.save(run.folder / "model.keras")
    found = run_interactions(run, truth=store)
    scores = found.scores.set_index("cell_type")
    assert list(scores.index) == ["pairs", "closes"]
    assert scores["planted"].tolist() == [2, 1]
    assert scores.loc["pairs", "average_precision"] == 1
    assert scores.loc["pairs", "precision_at_10"] == pytest.approx(2 / 6)  # of all that there can be
    assert scores.loc["closes", "average_precision"] < 1
    assert scores["permutation_p"].between(0.001, 1).all()
    by_motif = found.motif_table.query("planted")
    assert {(row.cell_type, frozenset((row.motif_a, row.motif_b))) for row in by_motif.itertuples()} == {
        ("pairs", frozenset(("GATA", "EBOX"))),
        ("pairs", frozenset(("CEBP", "AP1"))),
        ("closes", frozenset(("GATA", "EBOX"))),
    }
    assert found.table["planted"].sum() == 3
    saved = pd.read_csv(run.folder / "interaction_scores.tsv", sep="\t")
    np.testing.assert_allclose(saved["permutation_p"], scores["permutation_p"], rtol=1e-5)
    value, text = found.report()
    assert len(value["planted_pairs"]) == 2
    json.dumps(value["planted_pairs"], allow_nan=False)
    assert "precision_at_10" in text
    (tmp_path / "other.yaml").write_text(PAIRS.replace("cell_type: ", "cell_type: other_"))
    other = build(tmp_path / "other.yaml", tmp_path / "other.zarr").path
    with pytest.raises(InputError, match=r"no pairs were planted for(.|\n)*other_pairs(.|\n)*pairs, alone"):
        run_interactions(run, truth=other)
    by_size = run_interactions(run, truth=store, absolute=True).scores.set_index("cell_type")
    assert by_size["planted"].tolist() == [2, 2]
    assert by_size.loc["closes", "average_precision"] > scores.loc["closes", "average_precision"]
    run_interactions(run)
    left = {path.name for path in run.folder.glob("*.tsv")}
    assert not left & {"motif_interactions.tsv", "interaction_scores.tsv"}  # of the earlier calls


def test_run_interactions__without_windows_to_insert_into(make_store: Callable[..., Path], tmp_path: Path):
    unknown = np.full((60, 20), N_CODE, dtype=np.uint8)
    path = make_store("n.zarr", codes=unknown)
    config = TrainConfig(network="factorization_machine", n_filters=3, filter_width=8, k=1, epochs=1)
    run = train(path, config, tmp_path / "n")
    model = run.model()
    kernel = np.stack([motif.ppm - 0.5 for motif in PLANTED], axis=-1)
    model.get_layer("filters").set_weights([kernel.astype(np.float32), np.zeros(3, np.float32)])
    model.save(run.folder / "model.keras")
    write_motifs(tmp_path / "known.meme", PLANTED)
    with pytest.raises(InputError, match="no background to insert motifs into"):
        run_interactions(run, truth=tmp_path / "known.meme")
