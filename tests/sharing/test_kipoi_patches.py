"""The fixes of Kipoi one by one, in process; `test_kipoi_client.py` sees them through the real command."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import h5py
import kipoi
import numpy as np
import pandas as pd
import pytest
import zarr
from kipoi import writers
from kipoi.cli import main as kipoi_commands
from kipoi.specs import MetadataStruct, MetadataType

from chromacc_data.errors import InputError
from chromacc_models.sharing.kipoi import patches as kipoi_patches
from chromacc_models.sharing.kipoi.patches import get_writer, prepare_batch

REGION_NAMES = [f"region {i}" for i in range(100)]
RANGES = {"ranges": MetadataStruct(doc="where", type=MetadataType.GENOMIC_RANGES)}


def batch(first: int, n: int) -> dict:
    """A loader's batch of `n` regions."""
    start = np.arange(first, first + n) * 10 - 10
    ranges = {
        "chr": np.full(n, "chr1"),
        "start": start,
        "end": start + 20,
        "id": np.array(REGION_NAMES[first : first + n]),
        "strand": np.array(["*", "+", "-"])[np.arange(first, first + n) % 3],
    }
    return {"inputs": np.full((n, 2, 4), first, np.float32), "metadata": {"ranges": ranges}}


def predictions(first: int, n: int) -> np.ndarray:
    return np.arange(first, first + n, dtype=np.float32)[:, None] + np.arange(12, dtype=np.float32) / 100


def write(path: Path, *, sizes: tuple[int, ...] = (3, 3, 1), keep_metadata: bool = False, **options) -> None:
    """Write batches as `kipoi predict` does."""
    writer = writers.get_writer(str(path), metadata_schema=RANGES, **options)
    first = 0
    for n in sizes:
        kept = kipoi_commands.prepare_batch(
            batch(first, n), predictions(first, n), keep_metadata=keep_metadata
        )
        writer.batch_write(kept)
        first += n
    writer.close()


@pytest.fixture(params=[10_000, 2], ids=["one block", "many blocks"])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kipoi_patches, "_ROWS_PER_WRITE", request.param)


def test_fixes__are_in_place():
    assert writers.get_writer is get_writer
    assert kipoi_commands.prepare_batch is prepare_batch
    assert writers.np.string_ is np.bytes_
    assert writers.np.concatenate is np.concatenate
    assert not hasattr(np, "string_")


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("suffix", ["tsv", "parquet", "bed"])
def test_writer__tables_in_the_order_of_the_outputs(tmp_path: Path, suffix: str):
    path = tmp_path / f"x.{suffix}"
    write(path)
    table = pd.read_parquet(path) if suffix == "parquet" else pd.read_csv(path, sep="\t")
    names = [f"preds/{i}" for i in range(12)]
    assert list(table)[-12:] == names
    np.testing.assert_allclose(table[names], predictions(0, 7), atol=1e-6)
    assert len(table.columns) == (18 if suffix == "bed" else 12)


def test_writer__bed_is_bed(tmp_path: Path):
    write(tmp_path / "x.bed")
    lines = [line.split("\t")[:6] for line in (tmp_path / "x.bed").read_text().splitlines()]
    assert lines[0] == ["#chr", "start", "end", "name", "score", "strand"]
    assert lines[1] == ["chr1", "0", "10", "region 0", ".", "."]  # the window began at -10
    assert lines[3] == ["chr1", "10", "30", "region 2", ".", "-"]


NAMES = ['gene_id "ENSX1"; x', "it's,a", "NA", "nan", '"q"', '"', "naïve"]


@pytest.mark.parametrize("suffix", ["bed", "tsv", "parquet", "h5", "zarr"])
def test_writer__names_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str):
    monkeypatch.setattr(sys.modules[__name__], "REGION_NAMES", NAMES)
    path = tmp_path / f"x.{suffix}"
    write(path, keep_metadata=True)
    if suffix in ("bed", "tsv"):
        lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
        column = lines[0].index("name" if suffix == "bed" else "metadata/ranges/id")
        assert [line[column] for line in lines[1:]] == NAMES
    elif suffix == "parquet":
        assert pd.read_parquet(path)["metadata/ranges/id"].tolist() == NAMES
    elif suffix == "zarr":
        assert zarr.open_group(path, mode="r")["metadata/ranges/id"][:].tolist() == NAMES
    else:
        with h5py.File(path) as file:
            assert file["metadata/ranges/id"].asstr()[:].tolist() == NAMES


@pytest.mark.parametrize("schema", [None, {}, {"a": RANGES["ranges"], "b": RANGES["ranges"]}])
def test_writer__bed_needs_one_range(tmp_path: Path, schema: dict | None):
    with pytest.raises(InputError, match="exactly one genomic range"):
        get_writer(str(tmp_path / "x.bed"), schema)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("suffix", ["h5", "hdf5", "zarr"])
def test_writer__arrays_with_metadata(tmp_path: Path, suffix: str):
    path = tmp_path / f"x.{suffix}"
    write(path, keep_metadata=True)
    if suffix == "zarr":
        root = zarr.open_group(path, mode="r")
        names = root["metadata/ranges/id"][:].tolist()
    else:
        root = h5py.File(path)
        names = root["metadata/ranges/id"].asstr()[:].tolist()
    np.testing.assert_array_equal(root["preds"][:], predictions(0, 7))
    np.testing.assert_array_equal(root["metadata/ranges/start"][:], np.arange(7) * 10 - 10)
    assert names == [f"region {i}" for i in range(7)]
    if suffix != "zarr":
        root.close()


@pytest.mark.parametrize("suffix", ["tsv", "bed", "h5", "parquet", "zarr"])
def test_writer__chunk_size_of_model_yaml_breaks_none(tmp_path: Path, suffix: str):
    write(tmp_path / f"x.{suffix}", hdf5_chunk_size=5)
    if suffix == "h5":
        with h5py.File(tmp_path / "x.h5") as file:
            assert file["preds"].chunks == (5, 12)


@pytest.mark.parametrize("suffix", ["h5", "parquet", "zarr"])
def test_writer__does_not_write_over(tmp_path: Path, suffix: str):
    path = tmp_path / f"x.{suffix}"
    write(path)
    with pytest.raises(InputError, match="exists already"):
        get_writer(str(path), RANGES)


@pytest.mark.parametrize("suffix", ["tsv", "bed"])
def test_writer__text_is_replaced(tmp_path: Path, suffix: str):
    path = tmp_path / f"x.{suffix}"
    path.write_text("old\n" * 99)
    write(path)
    assert len(path.read_text().splitlines()) == 8


def test_writer__unknown_suffix(tmp_path: Path):
    assert get_writer(str(tmp_path / "x.xlsx")) is None


def test_writer__nothing_to_write(tmp_path: Path):
    writer = get_writer(str(tmp_path / "x.tsv"))
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_writer__parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match="pyarrow is not installed"):
        get_writer(str(tmp_path / "x.parquet"))


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({}, {"preds"}),
        ({"keep_inputs": True}, {"preds", "inputs"}),
        ({"keep_metadata": True}, {"preds", "metadata"}),
    ],
)
def test_prepare_batch__keeps_what_was_asked_for(options: dict, keys: set):
    given = batch(0, 2)
    assert set(prepare_batch(given, predictions(0, 2), **options)) == keys
    assert set(given) == {"inputs", "metadata"}


def test_default_arguments__a_number_is_no_open_file(tmp_path: Path):
    path = tmp_path / "default.bed"
    with path.open("w") as file:
        given = {"length": file.fileno(), "file": str(path), "text": "pad", "yes": True, "none": None}
        args = {name: SimpleNamespace(default=value) for name, value in given.items()}
        found = kipoi.model.download_default_args(args, str(tmp_path))
    assert found == {name: value for name, value in given.items() if name != "none"}


def test_fixes__leave_another_version_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kipoi, "__version__", "0.9.0")
    monkeypatch.setattr(writers, "get_writer", "theirs")
    kipoi_patches._apply_fixes()
    assert writers.get_writer == "theirs"


@pytest.mark.parametrize(
    ("command", "hooked"), [("/bin/kipoi", True), ("/lib/kipoi/__main__.py", True), ("/bin/pytest", False)]
)
def test_fixes__errors_of_the_command_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, command: str, hooked: bool
):
    def standard(*_arguments: object) -> None:
        print("traceback", file=sys.stderr)

    monkeypatch.setattr(sys, "argv", [command])
    monkeypatch.setattr(sys, "excepthook", standard)
    kipoi_patches._print_input_errors()
    assert (sys.excepthook is not standard) == hooked
    sys.excepthook(ValueError, ValueError("a bug"), None)
    assert capsys.readouterr().err == "traceback\n"
    if hooked:
        with pytest.raises(SystemExit) as stopped:
            sys.excepthook(InputError, InputError("no such file", where="x.bed"), None)
        assert stopped.value.code == 2
        assert capsys.readouterr().err == "error: x.bed: no such file\n"
