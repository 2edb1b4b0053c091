"""Names of regions and of cell types in every format of predictions, without a network."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from chromacc_data.names import REGION_COLUMNS
from chromacc_data.regions.bed import read_intervals
from chromacc_models.scoring.prediction_files import Predictions, output_paths, write_predictions

NAMES = [
    'gene_id "ENSX1"; x',
    "it's,a",
    "NA",
    "nan",
    '"q"',
    '"',
    "1.0",
    "a\\tb",
    "na\u2028ïve",
    " x ",
    "None",
]
CELL_TYPES = ('CD4+ T/naïve "γδ", 50%', "k562", "K562")


@pytest.fixture
def predictions(tmp_path: Path) -> Predictions:
    regions = tmp_path / "regions.bed"
    regions.write_text("".join(f"chr1\t{i}\t{i + 9}\t{name}\t0\t+\n" for i, name in enumerate(NAMES)))
    values = np.arange(len(NAMES) * 3, dtype=np.float32).reshape(-1, 3) / 64
    return Predictions(read_intervals(regions), values, CELL_TYPES, {"chr1": 1000})


def test_write_predictions__bed_and_tsv_have_names_as_they_were(tmp_path: Path, predictions: Predictions):
    for suffix, column in ((".bed", 3), (".tsv", 3)):
        write_predictions(predictions, tmp_path / f"out{suffix}")
        lines = (tmp_path / f"out{suffix}").read_bytes().splitlines()[suffix == ".tsv" :]
        assert [line.split(b"\t")[column].decode() for line in lines] == NAMES
    assert read_intervals(tmp_path / "out.bed")["name"].tolist() == NAMES
    table = pd.read_csv(tmp_path / "out.tsv", sep="\t", quoting=csv.QUOTE_NONE, keep_default_na=False)
    assert table["name"].tolist() == NAMES
    assert list(table) == [*REGION_COLUMNS, *CELL_TYPES]
    np.testing.assert_allclose(table[list(CELL_TYPES)], predictions.values, rtol=1e-6)


@pytest.mark.parametrize("suffix", [".h5", ".zarr", ".parquet"])
def test_write_predictions__names_stay_text(tmp_path: Path, predictions: Predictions, suffix: str):
    path = tmp_path / f"out{suffix}"
    write_predictions(predictions, path)
    if suffix == ".parquet":
        table = pd.read_parquet(path)
        assert table["name"].tolist() == NAMES
        assert list(table) == [*REGION_COLUMNS, *CELL_TYPES]
        return
    opened = xr.open_zarr(path) if suffix == ".zarr" else xr.open_dataset(path, engine="h5netcdf")
    with opened as ds:
        assert ds["name"].values.tolist() == NAMES
        assert ds["cell_type"].values.tolist() == list(CELL_TYPES)


@pytest.mark.parametrize("suffix", [".tsv", ".parquet", ".bed"])
def test_write_predictions__columns_of_cell_types_from_before_names_were_checked(
    tmp_path: Path, predictions: Predictions, suffix: str
):
    odd = Predictions(predictions.regions, predictions.values, ("name", "chrom", "a\tb\nc"), {"chr1": 1000})
    path = tmp_path / f"out{suffix}"
    write_predictions(odd, path)
    if suffix == ".bed":
        scores = [int(line.split("\t")[4]) for line in path.read_text().split("\n")[:-1]]
        assert scores == np.rint(odd.values[:, 0] * 1000).astype(int).tolist()
        return
    table = (
        pd.read_parquet(path) if suffix == ".parquet" else pd.read_csv(path, sep="\t", quoting=csv.QUOTE_NONE)
    )
    assert list(table) == [*REGION_COLUMNS, "name_2", "chrom_2", "a b c"]


def test_output_paths__files_of_cell_types_differ():
    paths = output_paths(Path("out.bed"), (*CELL_TYPES, "../up", "x" * 300))
    assert [path.name for path in paths[:4]] == [
        "out.CD4__T_naïve__γδ___50_.bed",
        "out.k562.bed",
        "out.K562_2.bed",
        "out..._up.bed",
    ]
    assert {path.parent for path in paths} == {Path()}
    assert len(paths[4].name) < 200
