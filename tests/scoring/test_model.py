"""A network asked from Python: the numbers of the command and of Keras, whatever sequences are given as."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from chromacc_data.errors import InputError
from chromacc_data.regions.bed import read_intervals
from chromacc_data.sequences.encoding import decode, encode, one_hot, reverse_complement
from chromacc_data.sequences.genome import Genome
from chromacc_models.networks.architectures import basset, factorization_machine
from chromacc_models.networks.weights import load_network
from chromacc_models.scoring.model import Model, load_model
from chromacc_models.scoring.predict import predict
from chromacc_models.sharing.kipoi.package import package
from chromacc_models.training.run import Run
from tests import ROOT
from tests.kipoi_folders import CELL_TYPES, LENGTH, REGIONS, make_run

SHIPPED = ROOT / "models" / "hg19-dnase-6" / "Baseline"


@functools.cache
def interpretable() -> keras.Model:
    return factorization_machine(LENGTH, len(CELL_TYPES), n_filters=5, filter_width=8, k=2, pooling="max")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a genome, regions, a run, a model folder and a bare network."""
    folder = tmp_path_factory.mktemp("model")
    run = make_run(folder)
    interpretable().save(run / "model.keras")
    package(run, folder / "model")
    shutil.copy(folder / "run" / "model.keras", folder / "bare.keras")
    (folder / "regions.bed").write_text(REGIONS)
    return folder


@pytest.fixture(scope="module")
def model(place: Path) -> Model:
    return load_model(place / "run")


def windows(n: int = 5) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 5, (n, LENGTH), dtype=np.uint8)


def by_keras(codes: np.ndarray) -> np.ndarray:
    return interpretable()(one_hot(codes, dtype=np.float32), training=False).numpy()


@pytest.mark.parametrize("kind", ["run", "model", "bare.keras"])
def test_load_model__a_run_a_model_folder_and_a_file(place: Path, kind: str):
    model = load_model(place / kind)
    assert model.window_length == LENGTH
    names = tuple(f"output_{i}" for i in range(len(CELL_TYPES)))
    assert model.cell_types == (names if kind == "bare.keras" else CELL_TYPES)
    found = model.predict(windows())
    assert found.columns.tolist() == list(model.cell_types)
    np.testing.assert_allclose(found, by_keras(windows()), rtol=0, atol=1e-6)
    assert "k-mer kernels" in repr(model)


def test_load_model__an_open_run(place: Path, model: Model):
    again = load_model(Run.open(place / "run"))
    pd.testing.assert_frame_equal(again.predict(windows()), model.predict(windows()))


def test_load_model__nothing_there(tmp_path: Path):
    with pytest.raises(InputError, match="no network here"):
        load_model(tmp_path)


@pytest.mark.parametrize("strands", ["forward", "both"])
def test_predict__regions_as_the_command(place: Path, tmp_path: Path, model: Model, strands: str):
    predict(place / "run", place / "regions.bed", place / "genome.fa", tmp_path / "out.tsv", strands=strands)
    expected = pd.read_csv(tmp_path / "out.tsv", sep="\t")
    regions = read_intervals(place / "regions.bed")
    found = model.predict(regions, genome=place / "genome.fa", strands=strands)
    np.testing.assert_allclose(found, expected[list(CELL_TYPES)], rtol=0, atol=1e-5)
    assert len(found) == len(regions)
    genome = Genome.open(place / "genome.fa")
    held = load_model(place / "run", genome=genome)
    assert held.genome is genome
    pd.testing.assert_frame_equal(held.predict(regions, strands=strands), found)


def test_predict__names_of_regions(place: Path, model: Model):
    bare = pd.DataFrame({"chrom": ["chr1"], "start": [60], "end": [90]}, index=["mine"])
    assert model.predict(bare, genome=place / "genome.fa").index.tolist() == ["mine"]
    named = bare.assign(name="yours")
    assert model.predict(named, genome=place / "genome.fa").index.tolist() == ["yours"]


def test_predict__genome_in_several_files(place: Path, tmp_path: Path, model: Model):
    genome = Genome.open(place / "genome.fa")
    parts = [tmp_path / f"{name}.fa" for name in genome.names]
    for name, part in zip(genome.names, parts, strict=True):
        part.write_text(f">{name}\n{decode(genome.codes(name))}\n")
    regions = read_intervals(place / "regions.bed")
    pd.testing.assert_frame_equal(
        model.predict(regions, genome=parts), model.predict(regions, genome=place / "genome.fa")
    )


def test_predict__strands_of_regions(place: Path, model: Model):
    regions = pd.DataFrame({"chrom": "chr1", "start": [60, 60], "end": [90, 90], "strand": ["+", "-"]})
    genome = Genome.open(place / "genome.fa")
    start = np.array([75 - LENGTH // 2])
    codes = genome.windows(genome.index(["chr1"]), start, LENGTH)
    codes = np.concatenate([codes, reverse_complement(codes)])
    found = model.predict(regions, genome=genome, strands="region")
    np.testing.assert_allclose(found, by_keras(codes), rtol=0, atol=1e-6)
    for without in (regions.drop(columns="strand"), windows()):
        with pytest.raises(InputError, match="there are no strands"):
            model.predict(without, genome=genome, strands="region")


def test_predict__whatever_sequences_are_given_as(model: Model):
    codes = windows()
    texts = [decode(row) for row in codes]
    expected = model.predict(codes)
    assert expected.dtypes.unique().tolist() == [np.float32]
    for given in (
        texts,
        tuple(text.lower() for text in texts),
        [text.replace("N", "R") for text in texts],
        np.array(texts),
        pd.Series(texts),
        codes.astype(np.int64),
        codes.astype(float),
        one_hot(codes),
        one_hot(codes, dtype=np.float32),
        one_hot(codes).astype(bool),
        one_hot(codes).tolist(),
    ):
        pd.testing.assert_frame_equal(model.predict(given), expected)
    assert len(model.predict(texts[0])) == 1
    assert model.predict([]).shape == (0, len(CELL_TYPES))
    named = pd.Series(texts, index=list("vwxyz"))
    assert model.predict(named).index.tolist() == model.predict(named.to_dict()).index.tolist() == [*"vwxyz"]


BAD = {
    "short": (lambda: ["A" * (LENGTH - 1)], "another length"),
    "long": (lambda: ["A" * LENGTH, "A" * (LENGTH + 1)], "another length"),
    "protein": (lambda: {"p53": "MEEPQ" + "A" * (LENGTH - 5)}, "looks like a protein"),
    "one window": (lambda: one_hot(windows(1))[0], "another shape"),
    "bases before positions": (lambda: one_hot(windows()).transpose(0, 2, 1), "another shape"),
    "another length": (lambda: windows()[:, 1:], "another shape"),
    "codes above 4": (lambda: windows() + 1, "no base codes"),
    "fractions": (lambda: windows() / 2, "no base codes"),
    "probabilities": (lambda: np.full((1, LENGTH, 4), 0.25), "not one-hot"),
    "two bases": (lambda: np.ones((1, LENGTH, 4), np.uint8), "not one-hot"),
    "a path": (lambda: Path("regions.bed"), "cannot be read as sequences"),
    "nothing": (lambda: None, "cannot be read as sequences"),
    "mixed": (lambda: ["A" * LENGTH, 3], "cannot be read as sequences"),
    "ragged": (lambda: [[1, 2], [1]], "cannot be read as sequences"),
    "no genome": (lambda: pd.DataFrame({"chrom": ["chr1"], "start": [1], "end": [2]}), "without a genome"),
    "no regions": (
        lambda: pd.DataFrame({"chr": ["chr1"], "start": [1], "end": [2]}),
        "not a table of regions",
    ),
    "a region of nothing": (lambda: pd.DataFrame({"chrom": ["c"], "start": [2], "end": [2]}), "no region"),
    "text": (lambda: pd.DataFrame({"chrom": ["c"], "start": ["2"], "end": ["2"]}), "not integers"),
}


@pytest.mark.parametrize("case", BAD)
def test_predict__bad_input(model: Model, case: str):
    make, what = BAD[case]
    with pytest.raises(InputError, match=what):
        model.predict(make())


def test_predict__remedies_work(model: Model):
    short = decode(windows(1)[0][:-3])
    with pytest.raises(InputError) as caught:
        model.predict([short])
    assert f"sequence.center({LENGTH}, 'N')" in str(caught.value)
    assert len(model.predict([short.center(LENGTH, "N")])) == 1
    with pytest.raises(InputError) as caught:
        model.predict(windows(1)[0])
    assert "array[None]" in str(caught.value)
    with pytest.raises(InputError, match="sequence 'b'"):
        model.predict({"a": "A" * LENGTH, "b": "A"})


def test_predict__unknown_strands(model: Model):
    with pytest.raises(InputError, match="unknown strands"):
        model.predict(windows(), strands="reverse")


def test_predict__regions_of_another_genome(place: Path, model: Model):
    regions = pd.DataFrame({"chrom": ["chr1"], "start": [10**8], "end": [10**8 + 10]})
    with pytest.raises(InputError, match="past the end of its chromosome"):
        model.predict(regions, genome=place / "genome.fa")


def test_predict__windows_of_n(model: Model, caplog: pytest.LogCaptureFixture):
    model.predict([decode(windows(1)[0]), "N" * LENGTH])
    assert "1 of 2 windows are N for more than half of their length" in caplog.text


def test_predict__in_blocks(model: Model, monkeypatch: pytest.MonkeyPatch):
    whole = model.predict(windows(7), strands="both")
    monkeypatch.setattr("chromacc_models.scoring.model._BATCH", 3)
    pd.testing.assert_frame_equal(model.predict(windows(7), strands="both"), whole)


def test_predict__other_networks_by_keras(tmp_path: Path):
    network = basset(200, 2, size=0.02)
    network.save(tmp_path / "basset.keras")
    model = load_model(tmp_path / "basset.keras")
    codes = np.random.default_rng(0).integers(0, 5, (3, 200), dtype=np.uint8)
    expected = load_network(tmp_path / "basset.keras")(one_hot(codes, dtype=np.float32)).numpy()
    np.testing.assert_allclose(model.predict(codes), expected, rtol=0, atol=1e-6)
    assert "Keras" in repr(model)


def test_predict__needs_neither_tensorflow_nor_dask(place: Path):
    for path, length in ((SHIPPED, 600), (place / "run", LENGTH)):
        code = (
            "import sys, chromacc_models as cm\n"
            f"cm.load_model({str(path)!r}).predict(['ACGT' * {length // 4}])\n"
            "print(sorted({'tensorflow', 'keras', 'dask', 'distributed'} & set(sys.modules)))\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


def test_encode__is_what_sequences_become(model: Model):
    text = decode(windows(1)[0])
    pd.testing.assert_frame_equal(model.predict([text]), model.predict(encode(text)[None]))
