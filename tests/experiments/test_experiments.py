"""Experiments of the thesis: all of them in small, and measures of networks whose answers are known."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from chromacc_data.build_store import build
from chromacc_data.errors import InputError
from chromacc_data.motifs.files import read_motifs, write_motifs
from chromacc_data.motifs.motif import Motif
from chromacc_data.sequences.encoding import encode, one_hot
from chromacc_data.simulation.truth import read_truth
from chromacc_data.store.read import open_store
from chromacc_models.cli import main_group
from chromacc_models.evaluation.compare import corrected_resampled_t
from chromacc_models.evaluation.cross_validation import train_runs
from chromacc_models.experiments import measures, page, pairs, pictures
from chromacc_models.experiments import reproduce as reproducing
from chromacc_models.experiments.arms import ARMS
from chromacc_models.experiments.catalogue import EXPERIMENTS, arms_of
from chromacc_models.experiments.cells import Cell, cell_of
from chromacc_models.experiments.claims import Claim, Experiment, Tuning, Value
from chromacc_models.experiments.comparisons import pair_tests
from chromacc_models.experiments.measures import held_out_ratio, measure_runs, paired_differences
from chromacc_models.experiments.pictures import CAPTIONS
from chromacc_models.experiments.reproduce import Reproduction, chosen_experiments, reproduce
from chromacc_models.interpretation.by_chance import DatabaseMatches
from chromacc_models.interpretation.run_filters import RunFilters, read_filters_of_run
from chromacc_models.interpretation.run_interactions import Interactions
from chromacc_models.interpretation.tomtom import Matches
from chromacc_models.networks.architectures import baseline
from chromacc_models.training.config import TrainConfig
from chromacc_models.training.run import Run
from chromacc_models.training.train import train
from tests import ROOT
from tests.motif_filters import ppm_filters

DATASETS = ROOT / "datasets"
_measures = measures.measure_runs


def _work(folder: Path, report: Path | None = None) -> reproducing._Work:
    return reproducing._Work(
        out=folder / "quick",
        folder=report or folder / "quick" / "reproduction",
        datasets=DATASETS,
        sources=None,
        database=None,
        quick=True,
        again=False,
        workers=None,
        progress=False,
    )


def _known_arms(folder: Path) -> set[str]:
    work = _work(folder)
    return {name for name, arm in ARMS.items() if work.found(arm) is not None}


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
            assert f"| {claim.what} | {claim.published}" in text
            assert f") | {claim.headline} | {claim.published} | " in text or not claim.headline
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


def test_reproduce__another_database_is_searched_again(quick: Reproduction, folder: Path, tmp_path: Path):
    before = quick.page.read_text()
    shutil.copytree(quick.page.parent, tmp_path / "quick")
    write_motifs(tmp_path / "other.meme", read_motifs(DATASETS / "additive-20" / "motifs.meme")[:2])
    made = reproduce(
        ["5.2.3"], folder, datasets=DATASETS, quick=True, database=tmp_path / "other.meme", report=tmp_path
    )
    of_machines = {arm.name for arm in arms_of(chosen_experiments(["5.2.3"]))}
    searched = {n: m["database"]["file"] for n, m in made.measures.items() if m["database"] is not None}
    assert {name for name, file in searched.items() if file == "other.meme"} == of_machines
    assert set(searched.values()) == {
        "known.meme",
        "other.meme",
    }  # arms of other experiments are as they were
    assert quick.page.read_text() == before


def test_reproduce__again_without_a_database_keeps_what_one_has_matched(quick: Reproduction, folder: Path):
    before = quick.page.read_text()
    again = reproduce(["5.2.2"], folder, datasets=DATASETS, quick=True, again=True)
    assert {n: m["database"] for n, m in again.measures.items()} == {
        n: m["database"] for n, m in quick.measures.items()
    }
    real = {arm.name for arm in arms_of(chosen_experiments(["5.2.2"])) if arm.is_real}
    assert again.left_out.keys() == real
    assert all("give the file of known motifs by --database" in why for why in again.left_out.values())
    quick.page.write_text(before)


def test_reproduce__of_another_part_measures_of_another_database_stay(
    quick: Reproduction, folder: Path, tmp_path: Path
):
    write_motifs(tmp_path / "other.meme", read_motifs(DATASETS / "additive-20" / "motifs.meme")[:2])
    again = reproduce(["5.1.1"], folder, datasets=DATASETS, quick=True, database=tmp_path / "other.meme")
    assert again.measures == quick.measures


def test_reproduce__what_cannot_be_measured_again_stays(
    quick: Reproduction,
    folder: Path,
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    def lost(*_: object, **__: object) -> None:
        raise RuntimeError("a worker is gone")

    before = quick.page.read_text()
    monkeypatch.setattr(reproducing, "train_runs", lost)
    again = reproduce(["5.3"], folder, datasets=DATASETS, quick=True, again=True, database=database)
    assert again.measures == quick.measures
    why = "its earlier measures are kept; RuntimeError: a worker is gone"
    assert again.left_out == {arm.name: why for arm in arms_of(chosen_experiments(["5.3"]))}
    assert f"## Not made\n\n- positional/thesis-builder: {why}" in again.page.read_text()
    assert "Traceback" in caplog.text
    quick.page.write_text(before)


def test_reproduce__pictures_of_shared_arms_are_drawn_again(
    quick: Reproduction, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    drawn = []
    monkeypatch.setattr(reproducing, "_make", lambda work, *_: work.measured.add("paired/thesis"))
    monkeypatch.setattr(page, "write", lambda path, *_, redraw, **__: drawn.append(redraw) or path)
    reproduce(["5.3"], folder, datasets=DATASETS, quick=True)
    assert drawn == [{"5.3", "5.2.1", "5.2.2"}]


def test_reproduce__what_another_process_measured_meanwhile_is_on_the_page(
    quick: Reproduction, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    files, report = quick.page.parent / "reproduction", tmp_path / "quick" / "reproduction"
    report.mkdir(parents=True)
    monkeypatch.setattr(reproducing, "_make", lambda *_: shutil.copy(files / "paired-thesis.json", report))
    made = reproduce(["5.3"], folder, datasets=DATASETS, quick=True, report=tmp_path)
    assert made.measures.keys() == {"paired/thesis"}
    assert "## 5.2.1" in made.page.read_text()


def test_reproduce__other_measures_are_taken_of_the_same_runs(
    quick: Reproduction, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(measures, "VERSION", measures.VERSION + 1)
    assert _known_arms(folder) == set()
    arm, work = ARMS["positional/thesis-builder"], _work(folder, tmp_path)
    trained = _times(folder / "quick" / "runs" / arm.name)
    work.make(arm)
    assert work.found(arm) is not None
    assert _times(folder / "quick" / "runs" / arm.name) == trained != {}


def test_reproduce__again(quick: Reproduction, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    measured = []
    monkeypatch.setattr(measures, "measure_runs", lambda runs, **_: measured.append(runs) or _measures(runs))
    trained = _times(folder / "quick" / "runs" / "positional")
    work = dataclasses.replace(_work(folder, tmp_path), again=True)
    arm = ARMS["positional/thesis-builder"]
    work.make(arm)
    assert work.make(arm) == work.found(arm)
    assert len(measured) == 1
    assert _times(folder / "quick" / "runs" / "positional") == trained
    dataclasses.replace(_work(folder, tmp_path), again=True).make(arm)
    assert len(measured) == 2


def test_reproduce__a_store_of_other_content_is_measured_again(
    quick: Reproduction, folder: Path, tmp_path: Path
):
    arm = ARMS["positional/thesis-builder"]
    known = json.loads((quick.page.parent / "reproduction" / "positional-thesis-builder.json").read_text())
    path = tmp_path / "positional-thesis-builder.json"
    path.write_text(json.dumps(known))
    assert _work(folder, tmp_path).found(arm) is not None
    path.write_text(json.dumps(known | {"content_hash": "0" * 64}))
    assert _work(folder, tmp_path).found(arm) is None
    # Where the store is not there, as in a clone of the repository, measures are taken as they are.
    path.write_text(json.dumps(known))
    (tmp_path / "quick" / "reproduction").mkdir(parents=True)
    assert _work(tmp_path, tmp_path).found(arm) is not None


def test_reproduce__the_page_stands_after_each_experiment(
    quick: Reproduction, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    report = tmp_path / "quick" / "reproduction"
    shutil.copytree(quick.page.parent / "reproduction", report)
    (report / "paired-thesis.json").unlink()

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(reproducing, "train_runs", killed)
    with pytest.raises(KeyboardInterrupt):
        reproduce([], folder, datasets=DATASETS, quick=True, report=tmp_path)
    assert "## 5.1.2" in (tmp_path / "quick" / "reproduction.md").read_text()


def test_reproduce__known_motifs_need_a_database(quick: Reproduction, folder: Path, tmp_path: Path):
    report = tmp_path / "quick" / "reproduction"
    report.mkdir(parents=True)
    made = reproduce(["5.2.3"], folder, datasets=DATASETS, quick=True, report=tmp_path)
    assert made.left_out == {"5.2.3, known motifs": "there is nothing to match with: give --database"}
    assert "- 5.2.3, known motifs: there is nothing" in made.page.read_text()


def test_reproduce__damaged_measures(quick: Reproduction, folder: Path):
    path = quick.page.parent / "reproduction" / "positional-thesis-builder.json"
    text = path.read_text()
    try:
        for damaged in ("<<<<<<< HEAD", "[]", '{"made_of": ""}'):
            path.write_text(damaged)
            with pytest.raises(InputError, match=r"damaged measures(.|\n)*delete it"):
                _known_arms(folder)
    finally:
        path.write_text(text)


@pytest.mark.parametrize("counts", [((1, 1), (1, 5)), ((1, 5), (2, 3))])
def test_reproduce__filters_are_those_of_the_run_with_single_motif_filters_of_most_motifs(
    counts: tuple[tuple[int, int], ...],
    quick: Reproduction,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    # Measures that say that the second run has as many motifs and more filters of them, or more motifs.
    report = tmp_path / "quick" / "reproduction"
    report.mkdir(parents=True)
    for file in (quick.page.parent / "reproduction").glob("*.json"):
        (report / file.name).write_text(file.read_text())
    known = json.loads((report / "additive-thesis-30.json").read_text())
    for run, (found, n_single) in zip(known["runs"], counts, strict=True):
        run["filters"] |= {"found": found, "single": n_single}
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
    runs = list(folder.glob("quick/runs/paired/thesis-transferred/*/fold-*"))
    assert len(runs) == 2
    for path in runs:
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
    assert "| `positional/thesis-baseline` | baseline | positional-variants | 2 seeds | " in text
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
    assert run["filters"]["found"] == run["filters"]["found_driven"] == run["filters"]["n_groups"] == 19
    assert run["filters"]["single"] == 20
    for null in run["filters"]["chance"].values():
        assert null["single"] + null["combination"] + null["none"] == pytest.approx(20)
        assert 0 < null["found"] < 10
    # The filter of JUNB holds the motif of JUND.
    assert (run["filters"]["single_by_motif"], run["filters"]["combination_by_motif"]) == (19, 1)
    decomposed = run["decomposed"]
    assert (decomposed["parts"], decomposed["share_planted"], decomposed["motifs"]) == (20, 1, 19)
    assert decomposed["mirrored"] == 0
    assert 0.5 <= decomposed["chance"] < 0.6
    # Inserted motifs drive the filters that they are, and no filter is driven by several groups.
    assert [decomposed[name] for name in ("precision", "recall", "exact")] == [1, 1, 1]
    assert (decomposed["combinations"], decomposed["combination_recall"]) == (0, None)
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
    assert (interactions["confirmed"], interactions["confirmed_others"], interactions["n_pairs"]) == (
        10,
        0,
        10,
    )
    stable = measured["stable"]
    assert [stable[name] for name in ("pairs", "correct", "filters", "first_runs")] == [10, 10, 10, 1]
    assert set(stable["first"]) in [set(pair) for pair in measured["planted"]]
    for scale, n_pairs in (("raw", 20 * 19 // 2), ("scaled", None)):
        tests = measured["interaction_tests"][scale]
        assert tests["mean_incorrect"] == 0
        assert tests["permutation_p"] < 0.01
        assert tests["corrected_p"] is None  # of one run
        counts = measured["interaction_histograms"][scale]
        assert sum(counts["correct"]) == tests["n_correct"]
        assert sum(counts["incorrect"]) == tests["n_incorrect"]
        assert n_pairs in (None, tests["n_correct"] + tests["n_incorrect"])
    share = tests["n_correct"] / (tests["n_correct"] + tests["n_incorrect"])
    assert interactions["filters_chance_top10"] == pytest.approx(10 * share, abs=1e-4)
    raw = measured["interaction_tests"]["raw"]
    assert interactions["chance_top10"] == pytest.approx(10 * raw["n_correct"] / (20 * 19 / 2), abs=1e-4)
    assert interactions["raw_homotypic"] == 0
    folds = measure_runs([known, known])["interaction_tests"]
    assert folds["raw"]["n_correct"] == 2 * measured["interaction_tests"]["raw"]["n_correct"]
    assert folds["raw"]["corrected_p"] == 0  # two folds that agree to the last digit
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
    assert [decomposed[name] for name in ("precision", "recall", "exact")] == [0, None, 0.66667]
    assert measured["runs"][0]["filters"]["found_driven"] == 0
    found = measured["runs"][0]["interactions"]
    assert not any(found[name] for name in found if name.endswith("top10"))
    assert found["motifs_average_precision"] == 0
    assert found["confirmed"] == 0
    assert [measured["stable"][name] for name in ("pairs", "correct", "first_runs")] == [0, 0, 0]
    assert "nothing to compare" in measured["interaction_tests"]["raw"]["not_possible"]
    json.dumps(measured, allow_nan=False)


def test_measure_runs__a_filter_of_two_motifs_is_driven_by_both(known: Run, paired: Path, tmp_path: Path):
    config = TrainConfig(network="factorization_machine", n_filters=2, filter_width=20, epochs=1)
    run = train(paired, config, tmp_path / "run")
    model, motifs = run.model(), read_truth(open_store(paired)).written_motifs
    first, second = [motif for motif in motifs if motif.width == 10][:2]
    kernel = np.zeros((20, 4, 2), np.float32)
    kernel[..., 0] = np.concatenate([first.ppm, second.ppm]) - 0.5
    model.get_layer("filters").set_weights([kernel, np.array([0, -99], np.float32)])
    model.save(run.folder / "model.keras")
    decomposed = measure_runs([run])["runs"][0]["decomposed"]
    assert (decomposed["combinations"], decomposed["combination_recall"]) == (1, 1)


def hand_made_matches(n_filters: int) -> tuple[RunFilters, DatabaseMatches]:
    """Filters: the first is the second target, reverse-complemented, two columns in; nulls of 99 and 199."""
    targets = (Motif("A", one_hot(encode("AAAAA"))), Motif("B", one_hot(encode("GGATC"))))
    filters = [
        Motif("f0", np.concatenate([np.full((2, 4), 0.25), one_hot(encode("GATCC")), np.full((1, 4), 0.25)]))
    ]
    filters += [Motif(f"f{i}", np.full((8, 4), 0.25)) for i in range(1, n_filters)]
    e = np.full((n_filters, 2), 1.0)
    e[:2, 1] = 0.001, 0.01
    model = baseline(30, 2, n_filters=n_filters, filter_width=8)
    run_filters = RunFilters(model, tuple(filters), np.zeros((4, 30), np.uint8), both_strands=True)
    place = np.zeros((n_filters, 2), dtype=np.int64)
    place[0, 1] = -2
    strand = np.ones((n_filters, 2), dtype=np.int8)
    strand[0, 1] = -1
    nulls = {"untrained": np.full(99, 0.5), "shuffled": np.array([0.001] * 4 + [0.5] * 195)}
    return run_filters, DatabaseMatches(targets, Matches(e / 2, e, e, place, place, strand), nulls)


def test_database__matches_and_those_of_filters_that_learned_nothing():
    found = measures._database(*hand_made_matches(n_filters=10))
    # One in a hundred of the untrained ones at most, five in two hundred of the shuffled ones.
    assert found == {"matched": 2, "n_filters": 10, "chance_untrained": 0.1, "chance_shuffled": 0.25}
    # Of all runs together: a run whose null has no match does not count ten times as much as another.
    other = found | {"matched": 4, "chance_untrained": 1.1}
    runs = {"runs": [{"database": found}, {"database": other}]}
    assert measures._over(runs) == {"untrained": 5.0, "shuffled": 12.0}


def test_in_turn__filters_of_all_kinds_by_importance():
    names = ["", "A", "B", "A+B", "", "C"]
    assert measures._in_turn([5, 4, 3, 2, 1, 0], names) == [5, 3, 4, 2, 0, 1]


def learned(
    of_motifs: list[tuple[int, int]],
    membership: np.ndarray | None = None,
    planted: tuple = ((0, 1),),
    driven: np.ndarray | None = None,
    kernel: np.ndarray | None = None,
) -> pairs.LearnedPairs:
    """A network of three filters and motifs whose pairs interact in that order, and no others."""
    values = np.zeros((1, 3, 3))
    for i, (a, b) in enumerate(of_motifs):
        values[0, a, b] = values[0, b, a] = 9 - i
    membership = np.eye(3, dtype=bool) if membership is None else membership
    return pairs.LearnedPairs(
        Interactions(values, values),
        values,
        membership,
        membership if driven is None else driven,
        np.zeros((2, 4, 3)) if kernel is None else kernel,
        [list(planted)],
        [],
        ["a", "b", "c"],
        ["A", "B", "C"],
    )


def test_rank_pairs__by_what_filters_look_like_and_by_what_drives_them():
    # By their looks the first and the third filter hold the planted pair; by what drives them, the first and
    # the second do as well.
    # Three pairs are all among the first ten.
    looks = np.array([[1, 0, 0], [0, 0, 0], [0, 1, 0]], dtype=bool)
    drive = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0]], dtype=bool)
    found = pairs.rank_pairs(learned([(0, 1), (0, 2), (1, 2)], looks, driven=drive))
    assert (found["raw_top10"], found["raw_driven_top10"]) == (1, 2)
    assert (found["chance_top10"], found["driven_chance_top10"]) == (1, 2)
    assert [row["correct"] for row in found["table"]] == [False, True, False]


def test_stable_pairs__nine_runs_of_ten():
    runs = [learned([(0, 1), (1, 2)])] * 9 + [learned([(0, 2), (0, 1)])]
    assert pairs.stable_pairs(runs) == {
        "pairs": 2,
        "correct": 1,
        "filters": 2,
        "first_runs": 9,
        "first": ["A", "B"],
    }
    assert pairs.stable_pairs([*runs[:8], runs[9], runs[9]])["pairs"] == 1
    other = learned([(0, 1)], kernel=np.ones((2, 4, 3)))
    assert pairs.stable_pairs([runs[0], other])["filters"] is None


def test_interaction_tests__folds_that_differ():
    runs = [learned([(0, 1), (1, 2)]), learned([(0, 1)]), learned([(1, 2), (0, 1)])]
    tests = pairs.interaction_tests(runs, 0.25)
    differences = np.array([9 - 8 / 2, 9, 8 - 9 / 2])
    expected = corrected_resampled_t(differences, test_train_ratio=0.25)
    assert tests["raw"]["corrected_p"] == pytest.approx(expected.p_greater)
    assert tests["raw"]["corrected_p"] != pytest.approx(expected.p_two_sided)


@pytest.mark.parametrize(("errors", "confirmed"), [(2.9, 0), (3.1, 1)])
def test_confirm_pairs__three_standard_errors(
    errors: float, confirmed: int, known: Run, monkeypatch: pytest.MonkeyPatch
):
    effect = SimpleNamespace(interaction=np.array([errors]), interaction_error=np.array([1.0]))
    monkeypatch.setattr(pairs, "inserter_of", lambda *_: lambda *_: effect)
    truth = read_truth(open_store(known.store))
    found = pairs.confirm_pairs(known, read_filters_of_run(known), truth)
    assert (found["confirmed"], found["confirmed_others"]) == (10 * confirmed, 10 * confirmed)


def test_laid_on__the_target_lies_where_it_matches():
    run_filters, found = hand_made_matches(n_filters=2)
    np.testing.assert_allclose(measures._laid_on(found, 0, 8), run_filters.motifs[0].ppm)
    wide = found._replace(matches=found.matches._replace(offset=np.array([[0, 3], [0, 0]])))
    laid = measures._laid_on(wide, 0, 8)  # begins before the filter: CC is left of GATCC
    np.testing.assert_allclose(laid[:2], one_hot(encode("CC")))
    assert (laid[2:] == 0.25).all()


def test_draw_matched__each_filter_next_to_its_known_motif():
    run_filters, found = hand_made_matches(n_filters=3)
    logos = measures._logos(run_filters, ["GATA1", "", "CTCF"], found)
    figure = pictures._draw_matched({"one": {"logos": logos}, "none": {"logos": []}})
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert len(titles) == 4
    assert all(title.startswith("one: filter") for title in titles[::2])
    assert {title.split(",")[0] for title in titles[1::2]} == {"GATA1", "CTCF"}


def test_n_matched__pairs_of_two_filters_that_match():
    values = np.zeros((4, 4))
    values[0, 1], values[0, 2], values[2, 3] = 3, 2, 1
    matched = np.array([True, True, False, True])
    assert [measures._n_matched(values, matched, n_top=n) for n in (1, 2, 3, 6)] == [1, 1, 1, 3]


def test_paired_differences():
    a, b = (
        {"runs": [{"cell_types": {"x": value, "y": other}}]} for value, other in ((0.4, 0.8), (0.3, None))
    )
    np.testing.assert_allclose(paired_differences(a, b), [[0.1, np.nan]])


def test_test_train_ratio():
    assert held_out_ratio({"runs": [{"n_train": 30, "n_test": 10}, {"n_train": 50, "n_test": 10}]}) == 0.25


@pytest.fixture
def two_runs() -> dict[str, object]:
    """Measures of two runs, as small as the page can be written from."""
    run = {"auroc": 0.9, "seconds": 6.0, "cell_types": {"a": 0.9, "b": None}, "ceiling": 0.95}
    run |= {"n_train": 3, "n_test": 1, "filters": {"found": 2, "n_groups": 19}, "undefined": None}
    other = run | {"auroc": 0.8, "cell_types": {"a": 0.8, "b": 0.7}, "filters": {"found": 4, "n_groups": 19}}
    return {
        "arm": "paired/thesis",
        "runs": [run, other],
        "recipe": "r",
        "options": {"network": "factorization_machine", "k": 2, "epochs": 100, "l2": None},
        "filters_of": "additive/thesis-20",
        "database": None,
        "interaction_tests": {"raw": {"welch_p": 0.01234, "corrected_p": None}},
        "over": {"untrained": 3.0},
    }


TUNING = Tuning("Tuned on these.", "section")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Cell()),
        (Value("paired/thesis", "auroc", 0.85), Cell("0.8500", "0.8500 ± 0.0707 (n = 2)", "≥ 0.85", True)),
        (Value("paired/thesis", "auroc", 0.86), Cell("0.8500", "0.8500 ± 0.0707 (n = 2)", "≥ 0.86", False)),
        (Value("paired/thesis", "filters.other"), Cell()),
        (Value("paired/improved", "auroc", 0.5), Cell()),
        (Value("paired/thesis", "auroc", less="paired/improved"), Cell()),
        (
            Value("paired/thesis", "auroc", 0.0, less="paired/thesis"),
            Cell("+0.0000", "+0.0000 (same in all 2)", "≥ 0", True),
        ),
        (
            Value("paired/thesis", "filters.found", of="filters.n_groups"),
            Cell("3.0", "3.0 ± 1.4 of 19 (n = 2; 2 to 4)"),
        ),
        (Value("paired/thesis", "undefined", 3), Cell("not defined", "not defined")),
        (Value("paired/thesis", "interaction_tests.raw.welch_p"), Cell("0.012", "0.012")),
        (Value("paired/thesis", "interaction_tests.raw.corrected_p"), Cell("not defined", "not defined")),
        (Value("paired/thesis", "over.untrained", 2, tuning=TUNING), Cell("3", "3", "≥ 2", True, True)),
        (Value("paired/thesis", "over.untrained", 4, tuning=TUNING), Cell("3", "3", "≥ 4", False, True)),
    ],
)
def test_cell_of(value: Value | None, expected: Cell, two_runs: dict[str, object]):
    assert cell_of(value, {"paired/thesis": two_runs}) == expected


def test_write__goals_are_marked_as_they_are_met(tmp_path: Path, two_runs: dict[str, object]):
    met, missed = (Value("paired/thesis", "auroc", goal, tuning=TUNING) for goal in (0.85, 0.86))
    claims = (
        Claim("AUROC of all", "0.7", met, missed, "another set", headline="AUROC"),
        Claim("not there", "1", improved=Value("paired/improved", "auroc")),
        Claim("minus itself", "", Value("paired/thesis", "auroc", 0.0, less="paired/thesis"), note="in 7.2"),
    )
    experiment = Experiment("9", "Title: this one", "What is asked?", claims)
    path = page.write(tmp_path / "page.md", [experiment], {"paired/thesis": two_runs}, {"b": "because"})
    text = path.read_text()
    figure = "0.8500 ± 0.0707 (n = 2)"
    assert f"| AUROC of all | 0.7 (another set) | {figure}; goal ≥ 0.85 met † " in text
    assert f"| {figure}; **goal ≥ 0.86 missed** † | 0.9500 |" in text
    assert "| not there | 1 |  |  |  |" in text
    assert "| minus itself | in 7.2 | +0.0000 (same in all 2); goal ≥ 0 met |  |  |" in text
    assert "| minus itself | thesis | +0.0000 | 3 (cell types × folds) | " in text
    assert "- † AUROC of all: Tuned on these.\n" in text
    assert text.count("Tuned on these.") == 1
    assert "- b: because" in text
    options = "filters of additive/thesis-20, kept, k 2"
    assert f"| `paired/thesis` | factorization_machine | r | 2 folds | {options} | 0 |" in text
    assert "means anything" not in text


def test_write__begins_with_a_table_of_what_is_met_and_missed(tmp_path: Path, two_runs: dict[str, object]):
    values = [Value("paired/thesis", "auroc", goal) for goal in (0.85, 0.86)]
    claims = (Claim("AUROC of all", "0.7", *values, headline="AUROC"), Claim("a row below", "", values[0]))
    (tmp_path / "trials.md").touch()
    path = page.write(
        tmp_path / "page.md",
        [Experiment("9", "Title: this one", "", claims)],
        {"paired/thesis": two_runs},
        {},
    )
    lines = path.read_text().splitlines()
    assert lines[2:5] == [
        "| | Claim | Thesis | Here, thesis settings | Goal | Here, improved | Goal |",
        "|---|---|---|---|---|---|---|",
        "| [9](#9-title-this-one) | AUROC | 0.7 | 0.8500 | ≥ 0.85 met | 0.8500 | ≥ 0.86 **MISSED** |",
    ]
    assert lines[6:8] == ["**2 of 3 goals are met.** Missed:", "AUROC (9, improved: 0.8500)."]
    assert "[Trials](trials.md)" in path.read_text()


def test_pair_tests__what_cannot_be_tested_says_why():
    tested = {"n_correct": 2, "mean_correct": 0.5, "sd_correct": 0.1, "welch_p": 0.01, "permutation_p": None}
    tested |= {"n_incorrect": 9, "mean_incorrect": -0.25, "sd_incorrect": 0.2, "corrected_p": None}
    tests = {"raw": {"not_possible": "nothing to compare with"}, "scaled": tested}
    experiment = Experiment("9", "Title", "", (), tested=("paired/thesis", "paired/improved"))
    raw, scaled = pair_tests(experiment, {"paired/thesis": {"interaction_tests": tests}})
    assert raw.planted == "not tested: nothing to compare with"
    assert scaled[2:] == (
        *("2: 0.5 ± 0.1", "9: -0.25 ± 0.2", "0.01", "not defined"),
        "- (a run has no such pair)",
    )


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.name)
def test_experiments__are_told_in_words_of_their_own(experiment: Experiment):
    assert experiment.question.endswith((".", "?"))
    rows = [claim.what for claim in experiment.claims]
    words = " ".join([experiment.question, experiment.remark, *rows, *CAPTIONS.values()])
    assert not re.search(r"\b(reader|taken apart|beside|less|lawful|mend)\b", words)


def test_experiments__goals_stand_in_the_first_table_which_fits_a_screen():
    claims = [claim for experiment in EXPERIMENTS for claim in experiment.claims]
    goals = [claim for claim in claims if any(value.goal is not None for value in claim.values)]
    assert all(claim.headline for claim in goals)
    headlines = [claim.headline for claim in claims if claim.headline]
    assert 15 <= len(headlines) <= 25
    assert max(map(len, headlines)) <= 65


def test_write__a_picture_that_fails_does_not_stop_the_page(
    quick: Reproduction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fails(drawn: object) -> None:
        raise ValueError("no curve")

    monkeypatch.setitem(pictures.DRAWN, "roc", fails)
    path = page.write(tmp_path / "page.md", chosen_experiments(["5.3"]), quick.measures, {})
    assert "*5.3: roc, not drawn: ValueError: no curve*" in path.read_text()
    assert {p.name for p in (tmp_path / "page").glob("*.png")} >= {"5.3-loss.png", "5.3-predictions.png"}


def test_write__pictures_are_drawn_again_if_asked(quick: Reproduction, tmp_path: Path):
    positional = chosen_experiments(["5.3"])
    drawn = {}
    for redraw in (True, False, True):
        drawn_again = ["5.3"] if redraw else []
        page.write(tmp_path / "page.md", positional, quick.measures, {}, redraw=drawn_again)
        before, drawn = drawn, {p.name: p.stat().st_mtime_ns for p in (tmp_path / "page").glob("*.png")}
        assert drawn.keys() >= {"5.3-roc.png", "5.3-loss.png", "5.3-predictions.png"}
        if before:
            assert all((drawn[name] != before[name]) == redraw for name in drawn)
