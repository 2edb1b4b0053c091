"""Experiments of the thesis: all of them in small, and measures of networks whose answers are known."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from chromacc_data.build import build
from chromacc_data.errors import InputError
from chromacc_data.motif_files import read_motifs, write_motifs
from chromacc_data.motifs import Motif
from chromacc_data.simulation.truth import read_truth
from chromacc_data.store import open_store
from chromacc_models.architectures import ppm_filters
from chromacc_models.cli import main_group
from chromacc_models.config import TrainConfig
from chromacc_models.cross_validation import train_runs
from chromacc_models.experiments import measures, page
from chromacc_models.experiments import reproduce as reproducing
from chromacc_models.experiments.arms import ARMS
from chromacc_models.experiments.catalogue import EXPERIMENTS, Claim, Experiment, Value, arms_of
from chromacc_models.experiments.measures import held_out_ratio, measure_runs, paired_differences
from chromacc_models.experiments.reproduce import Reproduction, chosen_experiments, reproduce
from chromacc_models.run import Run
from chromacc_models.train import train

DATASETS = Path(__file__).resolve().parents[1] / "datasets"
_measures = measures.measure_runs


def _work(folder: Path, report: Path | None = None) -> reproducing._Work:
    return reproducing._Work(
        out=folder / "quick",
        folder=report or folder / "quick" / "reproduction",
        datasets=DATASETS,
        sources=None,
        database=None,
        quick=True,
        workers=None,
        progress=False,
    )


def _known_arms(folder: Path) -> set[str]:
    work = _work(folder)
    return {name for name, arm in ARMS.items() if work.known(arm) is not None}


def _times(folder: Path) -> dict[Path, int]:
    """When each network in a folder was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("model.keras")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reproduction")


@pytest.fixture(scope="module")
def database(folder: Path) -> Path:
    """Some known motifs."""
    planted = read_motifs(DATASETS / "additive-20" / "motifs.meme")
    write_motifs(folder / "known.meme", planted[:8])
    return folder / "known.meme"


@pytest.fixture(scope="module")
def quick(folder: Path, database: Path) -> Reproduction:
    return reproduce([], folder, datasets=DATASETS, quick=True, database=database)


def test_reproduce__every_experiment_has_its_measures_and_pictures(quick: Reproduction):
    assert quick.measures.keys() == {arm.name for arm in arms_of(EXPERIMENTS)} == ARMS.keys()
    assert not quick.left_out
    text = quick.page.read_text()
    for experiment in EXPERIMENTS:
        assert f"## {experiment.name} {experiment.title}" in text
        for claim in experiment.claims:
            assert f"| {claim.what} | {claim.published} |" in text
    pictures = re.findall(r"\]\((.*?\.png)\)", text)
    n_pictures = sum(title != "tables" for e in EXPERIMENTS for title in e.pictures)
    assert len(set(pictures)) == n_pictures
    for picture in pictures:
        assert (quick.page.parent / picture).read_bytes().startswith(b"\x89PNG")


def test_reproduce__only_what_is_missing_is_measured(
    quick: Reproduction, folder: Path, database: Path, monkeypatch: pytest.MonkeyPatch
):
    before = quick.page.read_text()
    measured = []
    monkeypatch.setattr(measures, "measure_runs", lambda runs, **_: measured.append(runs) or _measures(runs))
    files = quick.page.parent / "reproduction"
    (files / "positional-thesis-builder.json").unlink()
    again = reproduce([], folder, datasets=DATASETS, quick=True, database=database)
    assert [runs[0].config.network for runs in measured] == ["motif_builder"]
    assert quick.page.read_text() == before
    assert again.measures == quick.measures


def test_reproduce__of_a_part_keeps_the_other_parts_and_needs_no_database(quick: Reproduction, folder: Path):
    before = quick.page.read_text()
    again = reproduce(["5.3"], folder, datasets=DATASETS, quick=True)
    assert again.measures.keys() == quick.measures.keys()
    assert quick.page.read_text() == before


def test_reproduce__another_database_is_searched_anew(
    quick: Reproduction, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_motifs(tmp_path / "other.meme", read_motifs(DATASETS / "additive-20" / "motifs.meme")[:2])
    made = reproduce(
        ["5.2.3"], folder, datasets=DATASETS, quick=True, database=tmp_path / "other.meme", report=tmp_path
    )
    assert "known motifs: other.meme, 2 of them" in made.page.read_text()
    assert "known motifs: known.meme, 8 of them" in quick.page.read_text()


def test_reproduce__other_measures_are_taken_of_the_same_runs(
    quick: Reproduction, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(measures, "VERSION", measures.VERSION + 1)
    assert _known_arms(folder) == set()
    arm, work = ARMS["positional/thesis-builder"], _work(folder, tmp_path)
    trained = _times(folder / "quick" / "runs" / arm.name)
    work.make(arm)
    assert work.known(arm) is not None
    assert _times(folder / "quick" / "runs" / arm.name) == trained != {}


def test_reproduce__damaged_measures(quick: Reproduction, folder: Path):
    path = quick.page.parent / "reproduction" / "positional-thesis-builder.json"
    text = path.read_text()
    try:
        path.write_text("<<<<<<< HEAD")
        with pytest.raises(InputError, match=r"damaged measures(.|\n)*delete it"):
            _known_arms(folder)
    finally:
        path.write_text(text)


def test_reproduce__filters_are_those_of_the_run_with_most_single_motif_filters(
    quick: Reproduction, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # Measures that say that the second run has more of them.
    report = tmp_path / "quick" / "reproduction"
    report.mkdir(parents=True)
    for file in (quick.page.parent / "reproduction").glob("*.json"):
        (report / file.name).write_text(file.read_text())
    known = json.loads((report / "additive-thesis-30.json").read_text())
    for run, n_single in zip(known["runs"], (1, 5), strict=True):
        run["filters"]["single"] = n_single
    (report / "additive-thesis-30.json").write_text(json.dumps(known))
    (report / "paired-thesis-transferred.json").unlink()
    taken = []
    monkeypatch.setattr(
        reproducing, "train_runs", lambda store, configs, folders, **_: taken.append(configs) or []
    )
    work = _work(folder, report)
    with pytest.raises(IndexError):  # nothing was trained
        work.make(ARMS["paired/thesis-transferred"])
    assert [config.fold for config in taken[0]] == [1]


def test_reproduce__transferred_filters_are_kept(quick: Reproduction, folder: Path):
    for path in folder.glob("quick/runs/paired/thesis-transferred/*/fold-*"):
        run = Run.open(path)
        source = Run.open(Path(run.config.initial_filters))
        assert source.folder.parts[-4:-2] == ("additive", "thesis-30")
        for mine, theirs in zip(
            *(r.model().get_layer("filters").get_weights() for r in (run, source)), strict=True
        ):
            np.testing.assert_array_equal(mine, theirs)


def test_reproduce__an_arm_that_fails_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fails_for_builders(
        store: Path, configs: list[TrainConfig], folders: list[Path], **_: object
    ) -> list[Run]:
        if configs[0].network == "motif_builder":
            raise InputError("the loss is infinite", remedy="lower learning_rate")
        return train_runs(store, configs, folders)

    monkeypatch.setattr(reproducing, "train_runs", fails_for_builders)
    small = {name: ARMS[name] for name in ("positional/thesis-builder", "positional/thesis-baseline")}
    monkeypatch.setattr(reproducing, "arms_of", lambda _: list(small.values()))
    result = CliRunner().invoke(
        main_group,
        ["reproduce", "5.3", "--quick", "-o", str(tmp_path), "--datasets", str(DATASETS), "-q"],
        standalone_mode=False,
    )
    assert result.return_value == 1
    assert "positional/thesis-builder: not made, the loss is infinite" in result.output
    text = (tmp_path / "quick" / "reproduction.md").read_text()
    assert "- positional/thesis-builder: the loss is infinite" in text
    assert "`positional/thesis-baseline`: positional-variants; 2 seeds" in text
    assert "No figure here means anything" in text


def test_reproduce__without_sources(tmp_path: Path):
    made = reproduce(["5.2.3"], tmp_path, datasets=DATASETS)
    assert made.left_out.keys() == {arm.name for arm in arms_of(chosen_experiments(["5.2.3"]))}
    assert "## Not made" in made.page.read_text()
    assert all("--sources" in why for why in made.left_out.values())


def test_reproduce__bad_input(tmp_path: Path):
    with pytest.raises(InputError, match=r"no such experiment\n.*4\.9(.|\n)*5\.1\.1, 5\.1\.2"):
        reproduce(["4.9"], tmp_path)
    for option in ("datasets", "sources"):
        with pytest.raises(InputError, match=f"--{option}"):
            reproduce(["5.3"], tmp_path, **{"datasets": DATASETS, option: tmp_path / "nowhere"})
    with pytest.raises(InputError, match=r"nowhere\.meme"):
        reproduce(["5.3"], tmp_path, datasets=DATASETS, database=tmp_path / "nowhere.meme")
    assert not list(tmp_path.iterdir())
    for arguments in ([], ["--all", "5.3"]):
        assert isinstance(CliRunner().invoke(main_group, ["reproduce", *arguments]).exception, InputError)


def test_chosen_experiments():
    assert chosen_experiments([]) == EXPERIMENTS


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Few windows of paired-20."""
    folder = tmp_path_factory.mktemp("paired")
    values = yaml.safe_load((DATASETS / "paired-20" / "recipe.yaml").read_text())
    values["simulation"]["n_windows"] = 1200
    values["simulation"]["motifs"]["files"][0]["file"] = str(DATASETS / "additive-20" / "motifs.meme")
    values["split"] |= {"validation": 200, "test": 200}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(values))
    return build(folder / "recipe.yaml", folder / "paired.zarr").path


@pytest.fixture(scope="module")
def known(paired: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A network whose filters are the planted motifs, and whose vectors know all pairs and nothing else."""
    config = TrainConfig(
        network="factorization_machine",
        n_filters=20,
        filter_width=20,
        k=20,
        pooling="max",
        epochs=1,
        strands="forward",
    )
    run = train(paired, config, tmp_path_factory.mktemp("known") / "run")
    truth = read_truth(open_store(paired))
    exact = [Motif(m.id, np.eye(4)[m.ppm.argmax(axis=1)]).ppm for m in truth.pool.motifs]
    kernel = ppm_filters(exact, 20, scale=1)
    model = run.model()
    # Only the whole motif gets past the bias.
    widths = np.array([(kernel[..., i] > 0).sum() for i in range(20)])
    best = kernel.max(axis=1).sum(axis=0)
    model.get_layer("filters").set_weights([kernel, (-best + best / widths).astype(np.float32)])
    vectors = np.zeros((20, 1, 20), dtype=np.float32)
    for pair_index, pair in enumerate(truth.pairs("paired")):
        for name in (pair.first, pair.second):
            vectors[truth.pool.names.index(name), 0, pair_index] = 1
    head = model.get_layer("head")
    head.vectors.assign(vectors)
    head.kernel.assign(np.zeros(head.kernel.shape))
    model.save(run.folder / "model.keras")
    return run


def test_measure_runs__a_network_that_knows_everything(known: Run):
    measured = measure_runs([known])
    (run,) = measured["runs"]
    assert run["filters"]["found"] == run["filters"]["n_groups"] == 19
    assert run["filters"]["single"] == 20
    # The filter of JUNB holds the motif of JUND.
    assert (run["filters"]["single_by_motif"], run["filters"]["combination_by_motif"]) == (19, 1)
    decomposed = run["decomposed"]
    assert (decomposed["parts"], decomposed["share_planted"], decomposed["motifs"]) == (20, 1, 19)
    assert decomposed["mirrored"] == 0
    assert 0.5 <= decomposed["chance"] < 0.6
    interactions = run["interactions"]
    for name in ("raw_top10", "scaled_top10", "filters_top10", "motifs_top10"):
        assert interactions[name] == 10
    assert interactions["motifs_average_precision"] == 1
    assert all(row["correct"] for row in interactions["table"])
    assert {row["weight"] for row in interactions["table"]} == {1.0}
    assert {frozenset((r["filter_1"], r["filter_2"])) for r in interactions["table"]} >= {
        frozenset(("TFAP2E", "HOXD8")),
        frozenset(("ELK1", "FOXL1")),
    }
    assert run["ceiling"] == 1
    assert run["auroc"] > 0.85  # a filter of 20 bp does not see a short motif at the end of a window
    tests = measured["interaction_tests"]["raw"]
    assert tests["mean_incorrect"] == 0
    assert tests["permutation_p"] < 0.01
    counts = measured["interaction_histograms"]["scaled"]
    assert sum(counts["correct"]) == tests["n_correct"]
    assert sum(counts["incorrect"]) == tests["n_incorrect"]
    assert sum(measured["histogram"]["open"]) + sum(measured["histogram"]["closed"]) == 200
    assert {logo["title"] for logo in measured["logos"]} <= {
        "JUND/JUNB",
        *read_truth(open_store(known.store)).pool.names,
    }


def test_measure_runs__a_network_that_knows_what_was_never_planted(known: Run, paired: Path, tmp_path: Path):
    config = TrainConfig(network="factorization_machine", n_filters=3, filter_width=20, epochs=1)
    run = train(paired, config, tmp_path / "run")
    model = run.model()
    mirrored = np.eye(4)[read_truth(open_store(paired)).pool.motifs[0].ppm.argmax(axis=1)][::-1]
    kernel = np.zeros((20, 4, 3), np.float32)
    kernel[4 : 4 + len(mirrored), :, 0] = mirrored
    model.get_layer("filters").set_weights([kernel, np.full(3, -99, np.float32)])
    model.save(run.folder / "model.keras")
    measured = measure_runs([run])
    assert measured["runs"][0]["filters"]["none"] == 3
    decomposed = measured["runs"][0]["decomposed"]
    assert (decomposed["parts"], decomposed["share_planted"], decomposed["motifs"]) == (1, 0, 0)
    assert decomposed["mirrored"] == 1
    found = measured["runs"][0]["interactions"]
    assert [found[name] for name in found if name.endswith("top10")] == [0] * 5
    assert found["motifs_average_precision"] is None
    assert "nothing to compare" in measured["interaction_tests"]["raw"]["not_possible"]
    json.dumps(measured, allow_nan=False)


def test_paired_differences():
    a, b = (
        {"runs": [{"cell_types": {"x": value, "y": other}}]} for value, other in ((0.4, 0.8), (0.3, None))
    )
    np.testing.assert_allclose(paired_differences(a, b), [[0.1, np.nan]])


def test_test_train_ratio():
    assert held_out_ratio({"runs": [{"n_train": 30, "n_test": 10}, {"n_train": 50, "n_test": 10}]}) == 0.25


def test_write__goals_are_marked_as_they_are_reached(tmp_path: Path):
    run = {"auroc": 0.9, "seconds": 6.0, "cell_types": {"a": 0.9, "b": None}, "ceiling": 0.95}
    run |= {"n_train": 3, "n_test": 1, "filters": {"found": 2, "n_groups": 19}, "undefined": None}
    measured = {
        "arm": "paired/thesis",
        "runs": [run, run | {"auroc": 0.8, "cell_types": {"a": 0.8, "b": 0.7}}],
        "recipe": "r",
        "options": {"k": 2, "l2": None},
        "filters_of": "additive/thesis-20",
        "database": None,
    }
    claims = (
        Claim("AUROC", "0.7", Value("paired/thesis", "auroc", 0.85), Value("paired/thesis", "auroc", 0.86)),
        Claim("not there", "1", Value("paired/thesis", "filters.other"), Value("paired/improved", "auroc")),
        Claim("less", "0", Value("paired/thesis", "auroc", 0.0, less="paired/thesis")),
        Claim("found", "5", Value("paired/thesis", "filters.found", of="filters.n_groups")),
        Claim("undefined", "5", Value("paired/thesis", "undefined", 3)),
    )
    experiment = Experiment("9", "Title", claims)
    path = page.write(tmp_path / "page.md", [experiment], {"paired/thesis": measured}, {"b": "because"})
    text = path.read_text()
    mean = "0.8500 ± 0.0707 (n = 2)"
    assert f"| AUROC | 0.7 | **{mean}**; ≥ 0.85 | {mean}; ≥ 0.86 not reached | 0.9500 |" in text
    assert "| not there | 1 |  |  |  |" in text
    assert "| less | 0 | **+0.0000 ± 0.0000 (n = 2)**; ≥ 0 |  |  |" in text
    assert "| found | 5 | 2.0 ± 0.0 of 19 (n = 2) |  |  |" in text
    assert "| undefined | 5 | not defined |  |  |" in text
    assert "+0.0000 in 3 pairs of cell types and folds" in text
    assert "corrected resampled t-test" in text
    assert "- b: because" in text
    assert "2 folds; filters of additive/thesis-20, kept; k 2; 0 min" in text
    assert "means anything" not in text
