"""Predictions along chromosomes: those of `predict` for each bin, in bigWigs that a reader of them reads."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyBigWig
import pytest

from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import decode
from chromacc_data.sequences.genome import Genome
from chromacc_models.networks.architectures import basset, factorization_machine
from chromacc_models.scoring import tracks as tracks_module
from chromacc_models.scoring.model import load_model
from chromacc_models.scoring.tracks import Bins, tracks

LENGTH, STRIDE = 60, 7
LENGTHS = {"chr1": 3000, "tiny": 5, "chr2": 1403, "unknown": 400}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A genome with a stretch of N and short contigs, in two files, and two networks."""
    folder = tmp_path_factory.mktemp("tracks")
    rng = np.random.default_rng(0)
    sequences = {name: decode(rng.integers(0, 4, n).astype(np.uint8)) for name, n in LENGTHS.items()}
    chr1 = sequences["chr1"]
    sequences["chr1"] = chr1[:1000] + "N" * 500 + chr1[1500:].lower()
    sequences["unknown"] = "N" * 400
    for file, names in (("a.fa", ["chr1", "tiny"]), ("b.fa", ["chr2", "unknown"])):
        (folder / file).write_text("".join(f">{name}\n{sequences[name]}\n" for name in names))
    factorization_machine(LENGTH, 2, n_filters=4, filter_width=6, pooling="max").save(folder / "fm.keras")
    return folder


@pytest.fixture(scope="module")
def run(place: Path) -> Callable[..., list[Path]]:
    def predict_along(out: Path, *, model: str = "fm.keras", **options: object) -> list[Path]:
        options = {"stride": STRIDE, **options}
        return tracks(place / model, [place / "a.fa", place / "b.fa"], out, **options)

    return predict_along


def bins_of(stride: int) -> pd.DataFrame:
    rows = [(c, s, min(s + stride, n)) for c, n in LENGTHS.items() for s in range(0, n, stride)]
    return pd.DataFrame(rows, columns=["chrom", "start", "end"])


def expected_of(place: Path, model: str, stride: int) -> pd.DataFrame:
    """Bins with predictions, but for windows that are mostly N."""
    genome = Genome.open([place / "a.fa", place / "b.fa"])
    bins = bins_of(stride)
    network = load_model(place / model, genome=genome)
    bins[["first", "second"]] = network.predict(bins[["chrom", "start", "end"]]).to_numpy()
    middle, length = ((bins["start"] + bins["end"]) // 2).to_numpy(), network.window_length
    codes = genome.windows(genome.index(bins["chrom"]), middle - length // 2, length)
    return bins[(codes > 3).mean(axis=1) <= 0.5]


def read(path: Path) -> pd.DataFrame:
    with pyBigWig.open(str(path)) as file:
        assert file.chroms() == LENGTHS
        rows = [(name, *item) for name in LENGTHS for item in file.intervals(name) or ()]
    return pd.DataFrame(rows, columns=["chrom", "start", "end", "value"])


def assert_same(found: pd.DataFrame, expected: pd.DataFrame, column: str) -> None:
    columns = ["chrom", "start", "end"]
    pd.testing.assert_frame_equal(found[columns], expected[columns].reset_index(drop=True))
    np.testing.assert_allclose(found["value"], expected[column], atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*are N for more than half")
def test_tracks__are_the_predictions_of_bins(place: Path, run: Callable[..., list[Path]], tmp_path: Path):
    paths = run(tmp_path / "tracks")
    assert [path.name for path in paths] == ["output_0.bw", "output_1.bw"]
    expected = expected_of(place, "fm.keras", STRIDE)
    assert set(expected["chrom"]) == {"chr1", "chr2"}  # one of 5 bp and one of N have no window to look at
    for path, column in zip(paths, ("first", "second"), strict=True):
        assert_same(read(path), expected, column)


@pytest.mark.parametrize("stride", [1, 64, 10_000])
def test_tracks__strides(place: Path, run: Callable[..., list[Path]], tmp_path: Path, stride: int):
    (path,) = run(tmp_path / "tracks", stride=stride, cell_types=["output_1"])
    assert_same(read(path), expected_of(place, "fm.keras", stride), "second")


def test_tracks__logits(place: Path, run: Callable[..., list[Path]], tmp_path: Path):
    (path,) = run(tmp_path / "tracks", cell_types=["output_0"], logits=True)
    expected = expected_of(place, "fm.keras", STRIDE)
    expected["first"] = np.log(expected["first"] / (1 - expected["first"]))
    assert_same(read(path), expected, "first")


def test_tracks__of_regions(place: Path, run: Callable[..., list[Path]], tmp_path: Path):
    regions = tmp_path / "some.bed"
    regions.write_text("chr2\t30\t36\nchr1\t7\t8\nchr1\t100\t150\nchr1\t120\t200\nchr2\t1400\t1403\n")
    (path,) = run(tmp_path / "tracks", cell_types=["output_0"], regions=regions)
    expected = expected_of(place, "fm.keras", STRIDE)
    table = pd.read_csv(regions, sep="\t", names=["chrom", "start", "end"])
    keep = [
        any((table["chrom"] == b.chrom) & (table["start"] < b.end) & (table["end"] > b.start))
        for b in expected.itertuples()
    ]
    assert_same(read(path), expected[keep], "first")


def test_tracks__of_a_network_that_keras_computes(
    place: Path, run: Callable[..., list[Path]], tmp_path: Path
):
    basset(200, 2, size=0.01).save(place / "basset.keras")
    (path,) = run(tmp_path / "tracks", model="basset.keras", stride=50, cell_types=["output_0"])
    assert_same(read(path), expected_of(place, "basset.keras", 50), "first")


def test_tracks__any_parts_and_workers_give_the_same(
    run: Callable[..., list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = [path.read_bytes() for path in run(tmp_path / "whole")]
    for n, engine in ((2 * 37, Engine(workers=1)), (2 * 100, Engine(workers=2))):
        monkeypatch.setattr(tracks_module, "_PART_VALUES", n)
        parts = [path.read_bytes() for path in run(tmp_path / f"parts {n}", engine=engine)]
        assert parts == whole


def test_tracks__resumes(run: Callable[..., list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = [path.read_bytes() for path in run(tmp_path / "whole")]
    monkeypatch.setattr(tracks_module, "_PART_VALUES", 2 * 100)
    made, values = [], tracks_module._values

    def count(job: object, rows: slice) -> np.ndarray:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(rows.start)
        return values(job, rows)

    monkeypatch.setattr(tracks_module, "_values", count)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "tracks", engine=Engine(workers=1))
    assert not (tmp_path / "tracks").exists()
    first = made.copy()
    monkeypatch.setattr(
        tracks_module, "_values", lambda job, rows: made.append(rows.start) or values(job, rows)
    )
    assert [path.read_bytes() for path in run(tmp_path / "tracks")] == whole
    assert len(made) == len(set(made)) > len(first)
    assert not (tmp_path / "tracks.partial").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "a stride below 1"),
        ({"cell_types": ["liver"]}, "unknown cell type"),
        ({"regions": "chr1\t2990\t3001\n"}, "past the end of its sequence"),
        ({"regions": "chr3\t0\t10\n"}, "chr3"),
    ],
)
def test_tracks__bad_input(run: Callable[..., list[Path]], tmp_path: Path, options: dict, message: str):
    if "regions" in options:
        (tmp_path / "bad.bed").write_text(options["regions"])
        options = {"regions": tmp_path / "bad.bed"}
    with pytest.raises(InputError, match=message):
        run(tmp_path / "tracks", **options)
    assert not (tmp_path / "tracks").exists()
    assert not (tmp_path / "tracks.partial").exists()


def test_tracks__existing_files_stay(run: Callable[..., list[Path]], tmp_path: Path):
    (tmp_path / "tracks").mkdir()
    kept = tmp_path / "tracks" / "output_1.bw"
    kept.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        run(tmp_path / "tracks")
    assert [path.name for path in (tmp_path / "tracks").iterdir()] == ["output_1.bw"]
    run(tmp_path / "tracks", overwrite=True)
    assert kept.read_bytes() != b"mine"
    with pytest.raises(InputError, match="a file is there"):
        run(kept)


def test_command__imports_no_tensorflow(place: Path, tmp_path: Path):
    arguments = ["tracks", place / "fm.keras", place / "a.fa", "-o", tmp_path / "new", "--json", "-q"]
    code = f"""
import sys
from chromacc_models.cli import main_group
main_group.main({list(map(str, arguments))!r}, standalone_mode=False)
print(sorted({{"tensorflow", "keras", "kipoi"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    result, _, modules = done.stdout.rpartition("\n[")
    assert modules.strip() == "]"
    assert [Path(path).name for path in json.loads(result)["files"]] == ["output_0.bw", "output_1.bw"]


def test_bins__runs_and_edges_are_those_of_all():
    bins = Bins(10, np.array([25, 3, 40]), np.array([0, 2]), np.array([1, 0]), np.array([2, 3]))
    assert len(bins) == 5
    assert [tuple(run) for run in bins.runs(slice(1, 4))] == [(0, 2, 1, 1), (2, 0, 2, 2)]
    chrom, start, end = bins.edges(slice(0, 5))
    assert list(zip(chrom.tolist(), start.tolist(), end.tolist(), strict=True)) == [
        (0, 10, 20), (0, 20, 25), (2, 0, 10), (2, 10, 20), (2, 20, 30)
    ]  # fmt: skip
