"""The two commands: what they print, how they end. What they do is tested with the modules that do it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest

from chromacc_data import cli as data_cli
from chromacc_data import console
from chromacc_data.console import Console
from chromacc_data.errors import CheckError, InputError
from chromacc_data.motifs.files import write_motifs
from chromacc_data.motifs.motif import Motif
from chromacc_models import cli as models_cli
from tests import ROOT
from tests.small import RECIPE, write_small_dataset


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> Callable:
    """Run a command line in this process: exit code, standard output, standard error."""

    def run(main: Callable, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capfd.readouterr()
        return ended.value.code, printed.out, printed.err

    return run


def test_data__from_recipe_to_verified_store(command: Callable, tmp_path: Path):
    recipe, store = write_small_dataset(tmp_path / "small"), tmp_path / "a.zarr"
    code, out, err = command(data_cli.main, "build", recipe, "-o", store, "--workers", 1)
    assert code == 0
    assert "windows (built)" in out
    assert "100%" in err  # the bar
    code, out, err = command(data_cli.main, "build", recipe, "-o", store, "-q")
    assert "already built" in out
    assert not err
    code, out, _ = command(data_cli.main, "build", recipe, "-o", store, "-q", "--json")
    built = json.loads(out)
    assert not built["is_new"]
    assert built["counts"]["windows"] == built["n_windows"]
    code, out, _ = command(data_cli.main, "info", store)
    assert "liver" in out
    assert "windows of 60 bp x 3 cell types" in out
    assert json.loads(command(data_cli.main, "info", store, "--json")[1])["sizes"]["position"] == 60
    code, out, _ = command(data_cli.main, "verify", store, "--all", "-q")
    assert code == 0
    assert "good" in out
    code, out, _ = command(data_cli.main, "convert", store, tmp_path / "a.h5", "-q")
    assert code == 0
    assert built["content_hash"] in out


def test_data__bad_input_is_one_screen_and_exit_code_2(command: Callable, tmp_path: Path):
    recipe = write_small_dataset(tmp_path / "small", recipe=RECIPE.replace("length: 60", "lenght: 60"))
    code, out, err = command(data_cli.main, "build", recipe, "-o", tmp_path / "a.zarr")
    assert code == 2
    assert not out
    assert "Traceback" not in err
    assert "windows.lenght" in err
    assert "length" in err
    assert not list(tmp_path.glob("a.zarr*"))


def test_data__a_check_that_does_not_hold_is_exit_code_1(command: Callable, tmp_path: Path):
    recipe, store = write_small_dataset(tmp_path / "small"), tmp_path / "a.zarr"
    command(data_cli.main, "build", recipe, "-o", store, "-q")
    bed = recipe.parent / "liver.bed"
    bed.write_text(bed.read_text() + "chr1\t5000\t5010\n")
    code, _, err = command(data_cli.main, "verify", store, "-q")
    assert code == 1
    assert "has changed" in err


@pytest.mark.parametrize("main", [data_cli.main, models_cli.main])
def test_options__print_a_table(command: Callable, main: Callable):
    code, out, _ = command(main, "options")
    assert code == 0
    assert out.startswith("| key | type | default | meaning |")


@pytest.mark.parametrize(("main", "argument"), [(data_cli.main, "build"), (models_cli.main, "train")])
def test_usage__unknown_and_missing_arguments(command: Callable, main: Callable, argument: str):
    assert command(main, argument, "--no-such-option")[0] == 2
    assert command(main, argument)[0] == 2
    assert command(main, argument, "--help")[0] == 0


@pytest.mark.parametrize(
    ("error", "code"), [(InputError("bad"), 2), (CheckError("bad"), 1), (click.exceptions.Abort(), 130)]
)
def test_run__exit_codes(command: Callable, error: Exception, code: int):
    @click.command()
    def failing() -> None:
        raise error

    found, _, err = command(lambda: console.run(failing, name="failing"))
    assert found == code
    assert err


def test_models__from_store_to_predictions(command: Callable, tmp_path: Path):
    recipe, store, run = write_small_dataset(tmp_path / "small"), tmp_path / "a.zarr", tmp_path / "run"
    command(data_cli.main, "build", recipe, "-o", store, "-q")
    settings = [f"--set={s}" for s in ("n_filters=4", "filter_width=8", "epochs=2", "batch_size=16")]
    code, out, err = command(
        models_cli.main, "train", store, "--network", "factorization_machine", *settings, "-o", run
    )
    assert code == 0, err
    assert "best in epoch" in out
    assert "windows/s" in err
    code, out, err = command(models_cli.main, "evaluate", run, "-q")
    assert code == 0, err
    assert "AUROC" in out
    assert json.loads(command(models_cli.main, "evaluate", run, "-q", "--json")[1])["confidence"] == 0.95
    code, out, err = command(models_cli.main, "motifs", run, "-q", "--logos", 2)
    assert code == 0, err
    assert {"motifs.meme", "motifs.tsv", "motifs.png"} <= {path.name for path in run.iterdir()}
    known = tmp_path / "known.meme"
    ppms = np.random.default_rng(0).dirichlet([1] * 4, (60, 8))
    write_motifs(known, [Motif(f"M{i}", ppm) for i, ppm in enumerate(ppms)])
    code, out, err = command(models_cli.main, "motifs", run, "-q", "--database", known, "--json")
    assert code == 0, err
    assert len(json.loads(out)["filters"]) == 4
    assert (run / "tomtom.tsv").exists()
    code, out, err = command(models_cli.main, "interactions", run, "-q", "--truth", known, "--json")
    assert code == 0, err
    assert len(json.loads(out)["interactions"]) == 6 * 3
    assert (run / "interactions.tsv").exists()
    baseline = tmp_path / "baseline"
    command(models_cli.main, "train", store, *settings[:-1], "--network", "baseline", "-o", baseline, "-q")
    code, out, err = command(models_cli.main, "compare", baseline, run)
    assert code == 0, err
    assert "Wilcoxon" in out
    code, out, err = command(models_cli.main, "interactions", baseline, "-q")
    assert (code, "the network has no interactions" in err, "Traceback" in err) == (2, True, False)
    model, genome = tmp_path / "models" / "small" / "FM", recipe.parent / "genome.fa"
    code, out, err = command(models_cli.main, "package", run, "--genome", genome, "--to", model)
    assert code == 0, err
    assert command(models_cli.main, "check", model)[0] == 0
    regions = tmp_path / "regions.bed"
    regions.write_text("chr1\t100\t160\nchr2\t500\t700\tlong\n")
    code, out, err = command(
        models_cli.main, "predict", model, regions, genome, "-o", tmp_path / "p.tsv", "-q"
    )
    assert code == 0, err
    lines = (tmp_path / "p.tsv").read_text().splitlines()
    assert lines[0].split("\t")[-3:] == ["liver", "T cell", "neuron"]
    assert len(lines) == 3


def test_models__cross_validate(command: Callable, tmp_path: Path):
    store, folds = tmp_path / "a.zarr", tmp_path / "folds"
    command(data_cli.main, "build", write_small_dataset(tmp_path / "small"), "-o", store, "-q")
    settings = [f"--set={s}" for s in ("n_filters=2", "filter_width=6", "epochs=1", "network=baseline")]
    code, out, err = command(models_cli.main, "cross-validate", store, *settings, "-o", folds, "-q")
    assert code == 0, err
    assert "over 3 folds" in out
    names = sorted(path.name for path in folds.iterdir())
    assert names == ["fold-0", "fold-1", "fold-2", "scores.tsv"]


def test_models__bad_input(command: Callable, tmp_path: Path):
    store, run = tmp_path / "a.zarr", tmp_path / "run"
    code, _, err = command(models_cli.main, "train", store, "-o", run)
    assert (code, "no network" in err) == (2, True)
    code, _, err = command(models_cli.main, "train", store, "--network", "baseline", "-o", run)
    assert (code, "no such store" in err) == (2, True)
    code, _, err = command(models_cli.main, "evaluate", run)
    assert (code, "not a run folder" in err) == (2, True)


def test_models__nothing_of_tensorflow_on_the_screen(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "chromacc_models.cli", "evaluate", str(tmp_path)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


def test_package__several_fasta_files_behind_one_option(command: Callable, tmp_path: Path):
    arguments = ("package", tmp_path, "--genome", "a.fa", "b.fa", "--to", tmp_path / "model")
    code, _, err = command(models_cli.main, *arguments)
    assert code == 2
    assert "--genome a.fa --genome b.fa" in err


def test_result__numbers_that_json_does_not_have(capsys: pytest.CaptureFixture[str]):
    Console(as_json=True).result({"a": [float("nan"), 1.5], "b": {"c": float("inf")}}, "")
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "a": [None, 1.5],
        "b": {"c": None},
    }
