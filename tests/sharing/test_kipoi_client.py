"""The real Kipoi client, on a packaged model: every command that users need.

It runs in a virtual environment of its own that has the wheel and not the checkout.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
import zarr

from chromacc_data.loader import BedLoader
from chromacc_models.sharing.kipoi.package import package
from tests.kipoi_folders import LENGTH, REGIONS, make_network, make_run, run_kipoi, write_sources
from tests.wheel import make_environment

MODEL = "toy/FM"
LOADER_ARGUMENTS = ("--dataloader_args", "intervals_file=regions.bed", "fasta_file=genome.fa")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a genome, regions, and a model in a folder of models; HOME names it as a source."""
    folder = tmp_path_factory.mktemp("client")
    make_environment(folder)
    package(make_run(folder), folder / "models" / MODEL, genome=folder / "genome.fa")
    (folder / "regions.bed").write_text(REGIONS)
    make_git_repository(folder / "models", folder / "models.git")
    sources = {
        "toys": {"type": "local", "local_path": str(folder / "models")},
        "shared": {
            "type": "git",
            "remote_url": (folder / "models.git").as_uri(),
            "local_path": str(folder / "cloned"),
            "auto_update": True,
        },
    }
    write_sources(folder, sources)
    return folder


@pytest.fixture(scope="module")
def expected(place: Path) -> np.ndarray:
    """Predictions by Keras itself."""
    inputs = BedLoader(place / "regions.bed", place / "genome.fa", LENGTH).batch(slice(None))["inputs"]
    return make_network().predict(inputs, verbose=0)


def make_git_repository(content: Path, bare: Path) -> None:
    """A bare repository with one commit of a folder."""
    work = bare.with_suffix(".work")
    shutil.copytree(content, work)
    git = ["git", "-C", str(work), "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "models"]):
        subprocess.run([*git, *arguments], check=True, capture_output=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(bare)], check=True, capture_output=True)


def kipoi(place: Path, *arguments: str | Path, fails: int = 0) -> str:
    """Run a command, expect its exit code, give what it printed."""
    python = place / "environment" / "bin" / "python"
    done = run_kipoi(*arguments, home=place, cwd=place, python=python)
    assert done.returncode == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def prediction_columns(table: pd.DataFrame) -> np.ndarray:
    """The predictions of a table, whose columns must stand in the order of the outputs."""
    names = [name for name in table if name.startswith("preds/")]
    assert names == [f"preds/{i}" for i in range(12)]
    return table[names].to_numpy()


def test_predict__every_format_from_a_folder(place: Path, expected: np.ndarray):
    outputs = [place / f"dir.{suffix}" for suffix in ("tsv", "h5", "bed", "parquet", "zarr")]
    kipoi(place, "predict", place / "models" / MODEL, "--source=dir", *LOADER_ARGUMENTS, "-o", *outputs)
    tsv, h5, bed, parquet, group = outputs
    tables = [pd.read_csv(tsv, sep="\t"), pd.read_csv(bed, sep="\t"), pd.read_parquet(parquet)]
    for table in tables:
        np.testing.assert_allclose(prediction_columns(table), expected, atol=1e-5)
    lines = bed.read_text().splitlines()
    assert [line.split("\t")[:6] for line in lines[:2]] == [
        ["#chr", "start", "end", "name", "score", "strand"],
        ["chr1", "100", "220", "first", ".", "."],
    ]
    assert [line.split("\t")[1] for line in lines[3:5]] == ["0", "2925"]  # BED has no negative start
    with h5py.File(h5) as file:
        assert set(file) == {"preds"}
        np.testing.assert_allclose(file["preds"][:], expected, atol=1e-5)
    np.testing.assert_allclose(zarr.open_group(group, mode="r")["preds"][:], expected, atol=1e-5)


def test_predict__metadata_and_inputs_from_a_named_source(place: Path, expected: np.ndarray):
    outputs = [place / f"named.{suffix}" for suffix in ("h5", "zarr")]
    options = ("--batch_size=2", "--keep_metadata", "--keep_inputs")
    kipoi(place, "predict", MODEL, "--source=toys", *LOADER_ARGUMENTS, *options, "-o", *outputs)
    with h5py.File(outputs[0]) as file:
        found = {name: file[f"metadata/ranges/{name}"].asstr()[:].tolist() for name in ("chr", "id")}
        np.testing.assert_allclose(file["preds"][:], expected, atol=1e-5)
        inputs = file["inputs"][:]
    assert found == {
        "chr": ["chr1", "chr1", "chr2", "chr2", "chr1"],
        "id": ["first", "long", "at the start", "at the end", "overlaps the first"],
    }
    group = zarr.open_group(outputs[1], mode="r")
    assert group["metadata/ranges/id"][:].tolist() == found["id"]
    np.testing.assert_array_equal(group["inputs"][:], inputs)


def test_predict__layer_from_a_git_source(place: Path, expected: np.ndarray):
    out = place / "git.tsv"
    kipoi(place, "predict", MODEL, "--source=shared", *LOADER_ARGUMENTS, "--layer=head", "-o", out)
    logits = prediction_columns(pd.read_csv(out, sep="\t"))
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), expected, atol=1e-5)
    assert (place / "cloned" / MODEL / "model.yaml").is_file()


def test_predict__onto_a_file_that_exists(place: Path):
    out = place / "old.h5"
    out.write_bytes(b"precious")
    printed = kipoi(
        place,
        "predict",
        MODEL,
        "--source=toys",
        *LOADER_ARGUMENTS,
        "-o",
        out,
        place / "not_made.tsv",
        fails=2,
    )
    assert f"{out}: exists already" in printed
    assert "Traceback" not in printed
    assert out.read_bytes() == b"precious"
    assert not (place / "not_made.tsv").exists()


def test_predict__bad_regions(place: Path):
    (place / "bad.bed").write_text("chr1\t10\t20\nchr1\t9\t-3\n")
    arguments = ("--dataloader_args", "intervals_file=bad.bed", "fasta_file=genome.fa")
    printed = kipoi(place, "predict", MODEL, "--source=toys", *arguments, "-o", "bad.tsv", fails=2)
    assert "bad.bed line 2" in printed
    assert "Traceback" not in printed


def test_test__compares_with_the_stored_predictions_without_a_warning(place: Path):
    printed = kipoi(place, "test", MODEL, "--source=toys", "--batch_size=4")
    assert "All predictions match" in printed
    assert "WARNING\x1b" not in printed  # Kipoi's own, in colour: test-source fails on any
    assert "mismatch" not in printed


def test_test__other_predictions(place: Path):
    folder = place / "changed"
    shutil.copytree(place / "models" / MODEL, folder)
    with h5py.File(folder / "example_files" / "expected.h5", "r+") as file:
        file["preds"][0, 0] += 1e-3
    printed = kipoi(place, "test", folder, "--source=dir", fails=1)
    assert "don't match the expected predictions" in printed


def test_predict__weights_of_another_checksum(place: Path):
    folder = place / "tampered"
    shutil.copytree(place / "models" / MODEL, folder)
    with (folder / "model.keras").open("ab") as file:
        file.write(b"\0")
    printed = kipoi(place, "predict", folder, "--source=dir", *LOADER_ARGUMENTS, "-o", "t.tsv", fails=2)
    assert "another checksum" in printed
    assert not (place / "t.tsv").exists()


@pytest.mark.parametrize("source", ["toys", "shared"])
def test_ls__and_info_and_pull(place: Path, source: str):
    assert MODEL in kipoi(place, "ls", "all", f"--source={source}").splitlines()
    info = kipoi(place, "info", MODEL, f"--source={source}")
    assert "trained_on: made by hand" in info
    assert "intervals_file" in info
    kipoi(place, "pull", MODEL, f"--source={source}")


@pytest.mark.parametrize("source", ["toys", "shared"])
def test_get_example__copies_files_that_predict_reads(place: Path, source: str):
    printed = kipoi(place, "get-example", MODEL, f"--source={source}", "-o", f"example_{source}")
    arguments = json.loads(next(line for line in printed.splitlines() if line.startswith("{")))
    original = place / "models" / MODEL / "example_files"
    for name, file in (("intervals_file", "example.bed"), ("fasta_file", "example.fa")):
        assert arguments[name] == f"example_{source}/{file}"
        assert (place / arguments[name]).read_bytes() == (original / file).read_bytes()


def test_env_export__lists_the_package(place: Path):
    kipoi(place, "env", "export", MODEL, "--source=toys", "-o", "environment.yaml")
    environment = yaml.safe_load((place / "environment.yaml").read_text())
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert any(requirement.startswith("chromacc") for requirement in pip)
    assert any(str(entry).startswith("python") for entry in environment["dependencies"])


def test_test_source__finds_the_model_and_stops_at_conda(place: Path):
    assert f"- {MODEL}" in kipoi(place, "test-source", "toys", "--all", "--dry_run")
    if shutil.which("conda") is None:
        assert "No such file or directory: 'conda'" in kipoi(place, "test-source", "toys", "--all", fails=1)


def test_preproc__writes_what_the_loader_gives(place: Path):
    kipoi(place, "preproc", MODEL, "--source=toys", *LOADER_ARGUMENTS, "-o", "inputs.h5")
    inputs = BedLoader(place / "regions.bed", place / "genome.fa", LENGTH).batch(slice(None))["inputs"]
    with h5py.File(place / "inputs.h5") as file:
        np.testing.assert_array_equal(file["inputs"][:], inputs)
