"""Predictions to every format, against Keras, against each other, and for every kind of bad input."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyBigWig
import pytest
import xarray as xr
from distributed import LocalCluster
from hypothesis import given
from hypothesis import strategies as st

from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.loader import BedLoader
from chromacc_data.sequences.encoding import decode
from chromacc_data.sequences.genome import Genome
from chromacc_models.networks.architectures import baseline
from chromacc_models.scoring import predict as predict_module
from chromacc_models.scoring.predict import find_network, predict
from chromacc_models.scoring.prediction_files import SUFFIXES, mean_over_bases
from chromacc_models.sharing.kipoi import files as kf
from chromacc_models.sharing.kipoi.package import package
from tests import ROOT
from tests.kipoi_folders import CELL_TYPES, LENGTH, REGIONS, make_network, make_run

CHOSEN = ("cell 10", "cell 2")
COLUMNS = [10, 2]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a genome, regions, a run and a model folder."""
    folder = tmp_path_factory.mktemp("predict")
    package(make_run(folder), folder / "model")
    (folder / "regions.bed").write_text(REGIONS)
    return folder


@pytest.fixture(scope="module")
def expected(place: Path) -> np.ndarray:
    """Predictions by Keras itself, shape (5, 12)."""
    inputs = BedLoader(place / "regions.bed", place / "genome.fa", LENGTH).batch(slice(None))["inputs"]
    return make_network().predict(inputs, verbose=0)


def run(
    place: Path, out: Path, *, model: str = "model", regions: str = "regions.bed", **options
) -> list[Path]:
    return predict(place / model, place / regions, place / "genome.fa", out, **options)


@pytest.mark.parametrize("overwrite", [False, True])
def test_predict__two_at_once_with_one_output(
    place: Path, tmp_path: Path, expected: np.ndarray, overwrite: bool
):
    out = tmp_path / "out.zarr"
    barrier = threading.Barrier(2)

    def one() -> str | None:
        barrier.wait()
        try:
            run(place, out, overwrite=overwrite)
        except InputError as error:
            return error.what
        return None

    with ThreadPoolExecutor(2) as pool:
        ends = sorted((f.result() for f in [pool.submit(one) for _ in range(2)]), key=str)
    assert None in ends
    assert set(ends) <= {None, "another process is writing this output", "exists already"}
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarr"]
    with xr.open_zarr(out) as ds:
        np.testing.assert_allclose(ds["prediction"], expected, rtol=1e-5)


def test_predict__regions_of_n(
    place: Path, tmp_path: Path, make_genome_of_n: Path, caplog: pytest.LogCaptureFixture
):
    regions = make_genome_of_n.with_name("regions.bed")
    starts = (0, LENGTH // 2, LENGTH)  # all of it N, half, nothing
    regions.write_text("".join(f"n\t{start}\t{start + LENGTH}\n" for start in starts))
    predict(place / "model", regions, make_genome_of_n, tmp_path / "n.tsv")
    assert "1 of 3 regions are N for more than half of their window" in caplog.text
    caplog.clear()
    run(place, tmp_path / "known.tsv", regions="regions.bed")
    assert "more than half" not in caplog.text


@pytest.fixture
def make_genome_of_n(tmp_path: Path) -> Path:
    """N as long as a window, and as many bases behind."""
    path = tmp_path / "n.fa"
    path.write_text(f">n\n{'N' * LENGTH}{'ACGT' * LENGTH}\n")
    return path


def test_predict__genome_in_several_files(place: Path, tmp_path: Path):
    genome = Genome.open(place / "genome.fa")
    parts = [tmp_path / f"{name}.fa" for name in genome.names]
    for name, part in zip(genome.names, parts, strict=True):
        part.write_text(f">{name}\n{decode(genome.codes(name))}\n")
    assert len(parts) > 1
    predict(place / "model", place / "regions.bed", parts, tmp_path / "parts.tsv")
    run(place, tmp_path / "whole.tsv")
    assert (tmp_path / "parts.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()
    with pytest.raises(InputError, match="is in two files"):
        predict(place / "model", place / "regions.bed", [*parts, parts[0]], tmp_path / "twice.tsv")


def test_predict__tsv(place: Path, tmp_path: Path, expected: np.ndarray):
    assert run(place, tmp_path / "new.tsv") == [tmp_path / "new.tsv"]
    table = pd.read_csv(tmp_path / "new.tsv", sep="\t")
    assert list(table) == ["chrom", "start", "end", "name", "strand", *CELL_TYPES]
    assert table.iloc[:, :5].to_numpy().tolist() == [
        ["chr1", 100, 220, "first", "+"],
        ["chr1", 400, 900, "long", "-"],
        ["chr2", 10, 20, "at the start", "."],
        ["chr2", 2970, 3000, "at the end", "+"],
        ["chr1", 150, 270, "overlaps the first", "+"],
    ]
    np.testing.assert_allclose(table[list(CELL_TYPES)], expected, atol=1e-5)
    assert [p.name for p in tmp_path.iterdir()] == ["new.tsv"]


def test_predict__parquet(place: Path, tmp_path: Path):
    run(place, tmp_path / "new.tsv")
    run(place, tmp_path / "new.parquet")
    table = pd.read_csv(tmp_path / "new.tsv", sep="\t")
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "new.parquet"), table, check_dtype=False, atol=1e-7
    )


def test_predict__bed_has_scores(place: Path, tmp_path: Path, expected: np.ndarray):
    paths = run(place, tmp_path / "new.bed", cell_types=CHOSEN)
    assert [path.name for path in paths] == ["new.cell_10.bed", "new.cell_2.bed"]
    for path, column in zip(paths, COLUMNS, strict=True):
        lines = [line.split("\t") for line in path.read_text().splitlines()]
        assert lines[1][:4] == ["chr1", "400", "900", "long"]
        assert [line[5] for line in lines] == ["+", "-", ".", "+", "+"]
        assert [int(line[4]) for line in lines] == np.rint(1000 * expected[:, column]).astype(int).tolist()


def test_predict__bed_of_one_cell_type_keeps_the_name(place: Path, tmp_path: Path):
    assert run(place, tmp_path / "new.bed", cell_types=["cell 3"]) == [tmp_path / "new.bed"]


def test_predict__bigwig_has_the_mean_of_regions(place: Path, tmp_path: Path, expected: np.ndarray):
    paths = run(place, tmp_path / "new.bw", cell_types=CHOSEN)
    for path, column in zip(paths, COLUMNS, strict=True):
        value = expected[:, column].astype(float)
        total, cover = np.zeros(5000), np.zeros(5000)
        for region, (start, end) in {0: (100, 220), 1: (400, 900), 4: (150, 270)}.items():
            total[start:end] += value[region]
            cover[start:end] += 1
        mean = np.divide(total, cover, out=np.full(5000, np.nan), where=cover > 0)
        with pyBigWig.open(str(path)) as file:
            assert file.chroms() == {"chr1": 5000, "chr2": 3000}
            np.testing.assert_allclose(file.values("chr1", 0, 5000), mean, atol=1e-6)
            assert [span[:2] for span in file.intervals("chr2")] == [(10, 20), (2970, 3000)]


@pytest.mark.parametrize("suffix", [".zarr", ".h5"])
def test_predict__dataset(place: Path, tmp_path: Path, expected: np.ndarray, suffix: str):
    path = run(place, tmp_path / f"new{suffix}", cell_types=CHOSEN)[0]
    opened = xr.open_zarr(path) if suffix == ".zarr" else xr.open_dataset(path, engine="h5netcdf")
    with opened as ds:
        assert ds["prediction"].dims == ("region", "cell_type")
        np.testing.assert_allclose(ds["prediction"], expected[:, COLUMNS], atol=1e-5)
        np.testing.assert_allclose(ds["prediction"].sel(cell_type="cell 2"), expected[:, 2], atol=1e-5)
        assert ds["chrom"].values.tolist() == ["chr1", "chr1", "chr2", "chr2", "chr1"]
        assert ds["start"].values.tolist() == [100, 400, 10, 2970, 150]
        assert ds["name"].values.tolist()[1] == "long"
        assert set(ds.coords) == {"chrom", "start", "end", "name", "strand", "cell_type"}
        assert len(ds.attrs["network_sha256"]) == 64


def test_predict__h5py_reads_it(place: Path, tmp_path: Path, expected: np.ndarray):
    with h5py.File(run(place, tmp_path / "new.h5")[0]) as file:
        np.testing.assert_allclose(file["prediction"][:], expected, atol=1e-5)
        assert file["cell_type"].asstr()[:].tolist() == list(CELL_TYPES)


def test_predict__both_strands(place: Path, tmp_path: Path):
    inputs = BedLoader(place / "regions.bed", place / "genome.fa", LENGTH).batch(slice(None))["inputs"]
    network = make_network()
    mean = (network.predict(inputs, verbose=0) + network.predict(inputs[:, ::-1, ::-1], verbose=0)) / 2
    run(place, tmp_path / "new.tsv", strands="both")
    table = pd.read_csv(tmp_path / "new.tsv", sep="\t")
    np.testing.assert_allclose(table[list(CELL_TYPES)], mean, atol=1e-5)


@pytest.mark.parametrize("model", ["run", "run/model.keras"])
def test_predict__run_folder_and_bare_file(place: Path, tmp_path: Path, expected: np.ndarray, model: str):
    run(place, tmp_path / "new.tsv", model=model)
    table = pd.read_csv(tmp_path / "new.tsv", sep="\t")
    names = CELL_TYPES if model == "run" else [f"output_{i}" for i in range(12)]
    np.testing.assert_allclose(table[list(names)], expected, atol=1e-5)


def test_predict__engines_give_the_same(place: Path, tmp_path: Path):
    weights = tmp_path / "baseline.keras"
    baseline(LENGTH, 3, n_filters=5, pool_scale=1.0).save(weights)
    found = []
    for name in ("tables", "kernels", "keras"):
        run(place, tmp_path / f"{name}.tsv", model=weights, backend=name)
        found.append(pd.read_csv(tmp_path / f"{name}.tsv", sep="\t").iloc[:, 5:].to_numpy())
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-6)
    assert found[0].std() > 1e-4


def many_regions(place: Path, path: Path, n: int = 300) -> None:
    rng = np.random.default_rng(1)
    starts = rng.integers(0, 2900, n)
    path.write_text("".join(f"chr{1 + i % 2}\t{s}\t{s + 90}\n" for i, s in enumerate(starts)))


@pytest.mark.parametrize(("per_task", "batch_size", "workers"), [(64, 10, 1), (64, 300, 2), (7, 5, 2)])
def test_predict__tasks_batches_and_workers_change_nothing(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    per_task: int,
    batch_size: int,
    workers: int,
):
    many_regions(place, tmp_path / "many.bed")
    paths = [tmp_path / name for name in ("whole.h5", "parts.h5")]
    predict(place / "model", tmp_path / "many.bed", place / "genome.fa", paths[0], batch_size=300)
    monkeypatch.setattr(predict_module, "_REGIONS_PER_TASK", per_task)
    options = {"batch_size": batch_size, "engine": Engine(workers=workers)}
    predict(place / "model", tmp_path / "many.bed", place / "genome.fa", paths[1], **options)
    with h5py.File(paths[0]) as whole, h5py.File(paths[1]) as parts:
        np.testing.assert_allclose(parts["prediction"][:], whole["prediction"][:], atol=1e-6)
        assert not (whole["prediction"][:] == 0).any()


@pytest.mark.slow
def test_predict__cluster(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    many_regions(place, tmp_path / "many.bed")
    paths = [tmp_path / name for name in ("local.h5", "cluster.h5")]
    predict(place / "model", tmp_path / "many.bed", place / "genome.fa", paths[0])
    monkeypatch.setattr(predict_module, "_REGIONS_PER_TASK", 50)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        engine = Engine(scheduler=cluster.scheduler_address)
        predict(place / "model", tmp_path / "many.bed", place / "genome.fa", paths[1], engine=engine)
    with h5py.File(paths[0]) as local, h5py.File(paths[1]) as remote:
        np.testing.assert_allclose(remote["prediction"][:], local["prediction"][:], atol=1e-6)


def test_predict__writes_in_blocks(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run(place, tmp_path / "whole.tsv")
    run(place, tmp_path / "whole.parquet")
    monkeypatch.setattr("chromacc_models.scoring.prediction_files._BLOCK", 2)
    run(place, tmp_path / "blocks.tsv")
    run(place, tmp_path / "blocks.parquet")
    assert (tmp_path / "blocks.tsv").read_text() == (tmp_path / "whole.tsv").read_text()
    whole, blocks = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("whole", "blocks"))
    pd.testing.assert_frame_equal(blocks, whole)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_predict__replaces_only_when_told(place: Path, tmp_path: Path, suffix: str):
    out = tmp_path / f"new{suffix}"
    run(place, out, cell_types=["cell 1"])
    with pytest.raises(InputError, match="exists already"):
        run(place, out, cell_types=["cell 1"])
    assert run(place, out, cell_types=["cell 1"], overwrite=True) == [out]
    assert list(tmp_path.iterdir()) == [out]


def test_predict__does_not_replace_a_folder_that_is_no_store(place: Path, tmp_path: Path):
    (tmp_path / "new.zarr").mkdir()
    (tmp_path / "new.zarr" / "thesis.txt").touch()
    with pytest.raises(InputError, match="not a Zarr store"):
        run(place, tmp_path / "new.zarr", overwrite=True)
    assert (tmp_path / "new.zarr" / "thesis.txt").exists()


def test_predict__sees_a_changed_bed(place: Path, tmp_path: Path):
    bed = tmp_path / "regions.bed"
    for n in (3, 5):
        many_regions(place, bed, n)
        predict(place / "model", bed, place / "genome.fa", tmp_path / "new.tsv", overwrite=True)
        values = pd.read_csv(tmp_path / "new.tsv", sep="\t")[list(CELL_TYPES)]
        assert values.shape == (n, len(CELL_TYPES))
        assert values.notna().all(axis=None)


BAD_REGIONS = {
    "empty": b"",
    "binary": bytes(range(256)),
    "space-separated": b"chr1 10 20\n",
    "negative": b"chr1\t-5\t20\n",
    "reversed": b"chr1\t20\t10\n",
    "half-written": b"chr1\t10\t20\nchr1\t3",
    "unknown chromosome": b"chr7\t10\t20\n",
    "past the end": b"chr2\t3000\t3600\n",
}


@pytest.mark.parametrize("kind", BAD_REGIONS)
def test_predict__bad_regions_leave_nothing(place: Path, tmp_path: Path, kind: str):
    bed = tmp_path / "bad.bed"
    bed.write_bytes(BAD_REGIONS[kind])
    with pytest.raises(InputError) as error:
        predict(place / "model", bed, place / "genome.fa", tmp_path / "new.tsv")
    assert "bad.bed" in str(error.value.where)
    assert error.value.exit_code == 2
    assert list(tmp_path.iterdir()) == [bed]


@pytest.mark.parametrize(
    ("options", "out", "message"),
    [
        ({}, "new.xlsx", "does not name a format"),
        ({"cell_types": ["T cell"]}, "nowhere/new.tsv", "unknown cell type"),
        ({"cell_types": []}, "new.tsv", "no cell types, or one given twice"),
        ({"cell_types": ["cell 1", "cell 1"]}, "new.tsv", "no cell types, or one given twice"),
        ({"strands": "reverse"}, "new.tsv", "unknown strands"),
        ({"batch_size": 0}, "new.tsv", "batch size below 1"),
        ({"backend": "cuda"}, "new.tsv", "unknown backend"),
    ],
)
def test_predict__bad_options(place: Path, tmp_path: Path, options: dict, out: str, message: str):
    with pytest.raises(InputError, match=message):
        run(place, tmp_path / out, **options)
    assert list(tmp_path.iterdir()) == []


def test_command__of_an_interpretable_network_imports_no_tensorflow(place: Path, tmp_path: Path):
    weights = tmp_path / "baseline.keras"
    baseline(LENGTH, 3, n_filters=5).save(weights)
    arguments = ["predict", weights, place / "regions.bed", place / "genome.fa", "-o", tmp_path / "new.tsv"]
    code = f"""
import sys
from chromacc_models.cli import main_group
main_group.main({list(map(str, arguments))!r}, standalone_mode=False)
print(sorted({{"tensorflow", "keras", "kipoi", "zarr"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_predict__makes_the_folder_of_the_output(place: Path, tmp_path: Path):
    out = tmp_path / "new" / "folder" / "predictions.tsv"
    assert run(place, out) == [out]
    assert [path.name for path in out.parent.iterdir()] == [out.name]


@pytest.mark.parametrize("kind", ["an error in a task", "bad regions"])
def test_predict__a_failure_leaves_no_folder(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
):
    def fail(*_arguments: object) -> None:
        raise InputError("a block is damaged")

    if kind == "an error in a task":
        monkeypatch.setattr(predict_module, "_predict_span", fail)
    with pytest.raises(InputError):
        run(
            place, tmp_path / "new" / "a.tsv", regions="genome.fa" if kind == "bad regions" else "regions.bed"
        )
    assert list(tmp_path.iterdir()) == []


class Piped:
    """Standard input with some bytes in it."""

    def __init__(self, content: bytes, *, terminal: bool = False) -> None:
        self.buffer, self.terminal = io.BytesIO(content), terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize("compressed", [False, True])
def test_predict__standard_input_and_output_are_as_files(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
    compressed: bool,
):
    (of_files,) = run(place, tmp_path / "file.tsv")
    content = (place / "regions.bed").read_bytes()
    monkeypatch.setattr(sys, "stdin", Piped(gzip.compress(content) if compressed else content))
    assert predict(place / "model", "-", place / "genome.fa", "-", show_progress=True) == []
    assert capfdbinary.readouterr().out == of_files.read_bytes()


def test_predict__bad_regions_on_standard_input(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    for content, where in (
        (b"chr1\t10\t20\nchr1\t30\t5\n", "standard input line 2"),
        (b"", "standard input"),
    ):
        monkeypatch.setattr(sys, "stdin", Piped(content))
        with pytest.raises(InputError) as error:
            predict(place / "model", "-", place / "genome.fa", "-")
        assert str(error.value.where) == where
    monkeypatch.setattr(sys, "stdin", Piped(b"", terminal=True))
    with pytest.raises(InputError, match="standard input is a terminal"):
        predict(place / "model", "-", place / "genome.fa", "-")
    assert capfd.readouterr().out == ""


def test_predict__standard_streams_on_a_cluster(place: Path, tmp_path: Path):
    engine = Engine(scheduler="tcp://127.0.0.1:1")
    for regions, out in (("-", tmp_path / "a.tsv"), (place / "regions.bed", "-")):
        with pytest.raises(InputError, match="no access to standard input and output"):
            predict(place / "model", regions, place / "genome.fa", out, engine=engine)


def test_predict__a_closed_pipe_ends_quietly(place: Path):
    reading, writing = os.pipe()
    os.close(reading)
    arguments = ["predict", "model", "-", "genome.fa", "-o", "-", "-q"]
    with (place / "regions.bed").open() as regions:
        done = subprocess.run(
            [sys.executable, "-m", "chromacc_models.cli", *arguments],
            stdin=regions, stdout=writing, stderr=subprocess.PIPE, cwd=place,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
        )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_predict__full_disk_leaves_nothing(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(predict_module, "_allocate", full)
    with pytest.raises(InputError, match="the disk is full"):
        run(place, tmp_path / "new.tsv")
    assert list(tmp_path.iterdir()) == []


def test_predict__an_error_in_a_task_leaves_nothing(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_arguments: object) -> None:
        raise InputError("a block is damaged")

    monkeypatch.setattr(predict_module, "_predict_span", fail)
    with pytest.raises(InputError, match="a block is damaged"):
        run(place, tmp_path / "new.tsv")
    assert list(tmp_path.iterdir()) == []


def test_predict__weights_of_another_checksum(place: Path, tmp_path: Path):
    folder = Path(shutil.copytree(place / "model", tmp_path / "model"))
    with (folder / "model.keras").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(InputError, match="another checksum"):
        predict(folder, place / "regions.bed", place / "genome.fa", tmp_path / "new.tsv")
    assert not (tmp_path / "new.tsv").exists()


def reorder(names: list[str]) -> list[str]:
    return [names[1], names[0], *names[2:]]


@pytest.mark.parametrize("changed", [reorder, lambda names: [*names, "one more"], lambda names: names[:-1]])
def test_predict__changed_targets(place: Path, tmp_path: Path, changed: Callable):
    folder = Path(shutil.copytree(place / "model", tmp_path / "model"))
    targets = folder / kf.TARGETS
    targets.write_text("".join(f"{name}\n" for name in changed(targets.read_text().splitlines())))
    with pytest.raises(InputError, match="another checksum") as error:
        predict(folder, place / "regions.bed", place / "genome.fa", tmp_path / "new.tsv")
    assert error.value.where == targets
    assert not (tmp_path / "new.tsv").exists()


@pytest.mark.parametrize("n_names", [11, 13])
def test_predict__names_that_do_not_fit_the_outputs(place: Path, tmp_path: Path, n_names: int):
    folder = Path(shutil.copytree(place / "run", tmp_path / "run"))
    info = json.loads((folder / "run.json").read_text())
    info["cell_types"] = [f"cell {i}" for i in range(n_names)]
    (folder / "run.json").write_text(json.dumps(info))
    with pytest.raises(InputError, match="labels do not fit the outputs"):
        predict(folder, place / "regions.bed", place / "genome.fa", tmp_path / "new.tsv")


@pytest.mark.parametrize("name", [kf.TARGETS, kf.CHECKSUMS, kf.WEIGHTS])
def test_find_network__a_missing_file(place: Path, tmp_path: Path, name: str):
    folder = Path(shutil.copytree(place / "model", tmp_path / "model"))
    (folder / name).unlink()
    with pytest.raises(InputError) as error:
        find_network(folder)
    assert error.value.where == folder / name


@pytest.mark.parametrize(
    ("name", "found"), [("nothing", "no such file or folder"), ("empty", "a folder without")]
)
def test_find_network__none(tmp_path: Path, name: str, found: str):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no network here") as error:
        find_network(tmp_path / name)
    assert error.value.found.startswith(found)


def test_predict__writes_names_as_they_are(place: Path, tmp_path: Path):
    names = ['gene_id "ENSX1"; x', "it's,a", "NA", "NA", '"q"']
    regions = tmp_path / "a.bed"
    regions.write_text("".join(f"chr1\t100\t220\t{name}\t0\t+\n" for name in names))
    out = predict(place / "model", regions, place / "genome.fa", tmp_path / "out.bed", cell_types=CHOSEN)
    for path in out:
        assert [line.split("\t")[3] for line in path.read_text().split("\n")[:-1]] == names


REGION_LISTS = st.lists(
    st.tuples(st.integers(0, 50), st.integers(1, 20), st.floats(0, 1, width=32)), min_size=1, max_size=12
)


@given(REGION_LISTS)
def test_mean_over_bases__equals_a_loop_over_bases(regions: list[tuple[int, int, float]]):
    start, width, value = (np.array(column) for column in zip(*regions, strict=True))
    end = start + width
    total, cover = np.zeros(80), np.zeros(80)
    for s, e, v in zip(start, end, value, strict=True):
        total[s:e] += v
        cover[s:e] += 1
    starts, ends, means = mean_over_bases(start, end, value)
    found = np.full(80, np.nan)
    for s, e, mean in zip(starts, ends, means, strict=True):
        assert np.isnan(found[s:e]).all()
        found[s:e] = mean
    np.testing.assert_allclose(found, np.where(cover > 0, total / np.maximum(cover, 1), np.nan), atol=1e-12)
    assert (np.diff(starts) > 0).all()
    assert (means >= value.min()).all()
    assert (means <= value.max()).all()
