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
from chromacc_data.motifs import Motif
from chromacc_data.store import open_store
from chromacc_data.truth import read_truth
from chromacc_models.architectures import ppm_filters
from chromacc_models.cli import main_group
from chromacc_models.config import TrainConfig
from chromacc_models.experiments import page
from chromacc_models.experiments.catalogue import ARMS, EXPERIMENTS, Claim, Experiment, Value, arms_of
from chromacc_models.experiments.measures import measure_runs, paired_differences, values_of
from chromacc_models.experiments.reproduce import Reproduction, chosen_experiments, reproduce
from chromacc_models.run import Run
from chromacc_models.train import train

DATASETS = Path(__file__).resolve().parents[1] / "datasets"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reproduction")


@pytest.fixture(scope="module")
def quick(folder: Path) -> Reproduction:
    return reproduce([], folder, datasets=DATASETS, quick=True)


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


def test_reproduce__what_was_measured_is_not_made_again(quick: Reproduction, folder: Path):
    before = quick.page.read_text()
    runs = {path: path.stat().st_mtime_ns for path in folder.rglob("run.json")}
    measured = quick.page.parent / "reproduction" / "positional-thesis-builder.json"
    known = json.loads(measured.read_text())
    measured.unlink()
    again = reproduce([], folder, datasets=DATASETS, quick=True)
    assert quick.page.read_text() == before
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("run.json")} == runs
    assert again.measures["positional/thesis-builder"] == known == json.loads(measured.read_text())


def test_reproduce__filters_are_those_of_the_run_with_most_single_motif_filters(
    quick: Reproduction, folder: Path
):
    best = int(values_of(quick.measures["additive/thesis-20"], "filters.single").argmax())
    for fold in range(2):
        run = Run.open(folder / "quick" / "runs" / "paired" / "thesis-transferred" / f"fold-{fold}")
        assert Path(run.config.initial_filters).parts[-3:] == ("additive", "thesis-20", f"fold-{best}")
        source = Run.open(Path(run.config.initial_filters))
        kernels = [r.model().get_layer("filters").get_weights()[0] for r in (run, source)]
        np.testing.assert_array_equal(*kernels)


def test_reproduce__another_recipe_is_measured_anew(quick: Reproduction, folder: Path, tmp_path: Path):
    recipe = yaml.safe_load((DATASETS / "positional-variants" / "recipe.yaml").read_text())
    for seed in (1, 2):
        copy = tmp_path / "datasets" / "positional-variants" / "recipe.yaml"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(yaml.safe_dump(recipe | {"seed": seed}))
        real = tmp_path / "datasets" / "hg19-dnase-6"
        if not real.exists():
            real.symlink_to(DATASETS / "hg19-dnase-6")
        out = folder if seed == 1 else tmp_path / "out"
        made = reproduce(["5.3"], out, datasets=copy.parents[1], quick=True, report=tmp_path / "report")
        aurocs = values_of(made.measures["positional/thesis-builder"], "auroc")
        same = values_of(quick.measures["positional/thesis-builder"], "auroc")
        assert np.array_equal(aurocs, same) == (seed == 1)
    assert "`chromacc-models reproduce 5.3 --quick`" in made.page.read_text()


def test_reproduce__without_sources(tmp_path: Path):
    result = CliRunner().invoke(
        main_group, ["reproduce", "5.2.3", "-o", str(tmp_path), "--datasets", str(DATASETS), "-q"]
    )
    assert result.exit_code == 0, result.output
    assert (
        "dnase/thesis-factorization-machine: not made, the files of hg19-dnase-6-chr20-chrX" in result.output
    )
    text = (tmp_path / "reproduction.md").read_text()
    assert "## Not made" in text
    assert "give their folder by --sources" in text


def test_reproduce__bad_input(tmp_path: Path):
    with pytest.raises(InputError, match=r"no such experiment\n.*4\.9(.|\n)*5\.1\.1, 5\.1\.2"):
        reproduce(["4.9"], tmp_path)
    with pytest.raises(InputError, match="recipe"):
        reproduce(["5.3"], tmp_path, datasets=tmp_path)
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
    interactions = run["interactions"]
    for name in ("raw_top10", "filters_top10", "motifs_top10"):
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
    counts = measured["interaction_histogram"]
    assert sum(counts["correct"]) == tests["n_correct"]
    assert sum(counts["incorrect"]) == tests["n_incorrect"]
    assert sum(measured["histogram"]["open"]) + sum(measured["histogram"]["closed"]) == 200
    assert {logo["title"] for logo in measured["logos"]} <= {
        "JUND/JUNB",
        *read_truth(open_store(known.store)).pool.names,
    }


def test_measure_runs__a_network_that_knows_nothing(known: Run, paired: Path, tmp_path: Path):
    config = TrainConfig(network="factorization_machine", n_filters=3, filter_width=20, epochs=1)
    run = train(paired, config, tmp_path / "run")
    model = run.model()
    model.get_layer("filters").set_weights([np.zeros((20, 4, 3), np.float32), np.zeros(3, np.float32)])
    model.save(run.folder / "model.keras")
    measured = measure_runs([run])
    assert measured["runs"][0]["filters"]["none"] == 3
    assert measured["runs"][0]["interactions"]["motifs_top10"] == 0
    assert "nothing to compare" in measured["interaction_tests"]["raw"]["not_possible"]
    json.dumps(measured, allow_nan=False)


def test_paired_differences():
    a, b = ({"runs": [{"cell_types": {"x": value, "y": 2 * value}}]} for value in (0.4, 0.3))
    np.testing.assert_allclose(paired_differences(a, b), [[0.1, 0.2]])


def test_write__goals_are_marked_as_they_are_reached(tmp_path: Path):
    run = {"auroc": 0.9, "seconds": 6.0, "cell_types": {"a": 0.9}, "ceiling": 0.95}
    measured = {"runs": [run, run | {"auroc": 0.8}], "recipe": "r", "options": {"k": 2, "l2": None}}
    claims = (
        Claim("AUROC", "0.7", Value("paired/thesis", "auroc", 0.85), Value("paired/thesis", "auroc", 0.86)),
        Claim("not there", "1", Value("paired/thesis", "filters.found"), Value("paired/improved", "auroc")),
        Claim("less", "0", Value("paired/thesis", "auroc", 0.0, less="paired/thesis")),
    )
    experiment = Experiment("9", "Title", claims)
    path = page.write(
        tmp_path / "page.md", [experiment], {"paired/thesis": measured}, {"b": "because"}, command="this"
    )
    text = path.read_text()
    mean = "0.8500 ± 0.0707 (n = 2)"
    assert f"| AUROC | 0.7 | **{mean}**; ≥ 0.85 | {mean}; ≥ 0.86 not reached | 0.9500 |" in text
    assert "| not there | 1 |  |  |  |" in text
    assert "| less | 0 | **+0.0000 ± 0.0000 (n = 2)**; ≥ 0 |  |  |" in text
    assert "Wilcoxon" in text
    assert "- b: because" in text
    assert "2 folds; k 2; 0 min" in text
