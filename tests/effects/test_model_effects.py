"""Effects asked of a loaded model: the numbers of the commands, for every kind of input."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import chromacc_data as cd
import chromacc_models as cm
from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import decode, one_hot
from tests import ROOT
from tests.effects.regions import CELL_TYPES, LENGTH, MODEL, STARTS, Place, make_place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def model(place: Place):
    return cm.load_model(MODEL, genome=place.genome)


@pytest.fixture(scope="module")
def regions(place: Place) -> pd.DataFrame:
    return cd.read_bed(place.regions)


def test_mutagenesis__is_that_of_the_command(model, place: Place, regions: pd.DataFrame, tmp_path: Path):
    found = model.mutagenesis(regions)
    cm.mutagenesis(MODEL, place.regions, place.genome, tmp_path / "out.zarr")
    with xr.open_zarr(tmp_path / "out.zarr") as ds:
        np.testing.assert_allclose(found, ds["effect"], rtol=0, atol=1e-6)
        assert np.array_equal(found["reference"], ds["reference"])
    assert found.dims == ("region", "position", "base", "cell_type")
    assert found["start"].values.tolist() == list(STARTS)
    assert found["chrom"].values.tolist()[-1] == "chr2"
    assert found.attrs["method"].startswith("exact")
    assert found.sel(region="minus", cell_type="K562", base="A").shape == (LENGTH,)


@pytest.mark.parametrize("hypothetical", [False, True])
def test_contributions__of_every_kind_of_input(model, hypothetical: bool):
    codes = np.random.default_rng(0).integers(0, 5, (3, LENGTH), dtype=np.uint8)
    texts = [decode(row) for row in codes]
    options = {"cell_types": ["HepG2", "K562"], "hypothetical": hypothetical}
    expected = model.contributions(codes, **options)
    assert expected["cell_type"].values.tolist() == ["HepG2", "K562"]
    assert expected.shape == ((3, LENGTH, 4, 2) if hypothetical else (3, LENGTH, 2))
    for same in (texts, one_hot(codes), pd.Series(texts), dict(zip("abc", texts, strict=True))):
        np.testing.assert_array_equal(model.contributions(same, **options), expected)
    assert model.contributions(dict(zip("abc", texts, strict=True)))["region"].values.tolist() == list("abc")
    assert model.contributions([], **options).shape[0] == 0


def test_contributions__add_up_to_the_prediction(model, regions: pd.DataFrame):
    logits = model.contributions(regions).sum("position") + model._asked.scorer.head.bias
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), model.predict(regions), atol=1e-5)


def test_hits__are_those_of_the_command(model, place: Place, regions: pd.DataFrame, tmp_path: Path):
    found = model.hits(regions)
    cm.hits(MODEL, place.regions, place.genome, tmp_path / "hits.tsv")
    read = pd.read_csv(tmp_path / "hits.tsv", sep="\t", keep_default_na=False, na_values={"share": [""]})
    pd.testing.assert_frame_equal(found, read, check_dtype=False, rtol=1e-5)
    assert model.hits(["A" * LENGTH])["region"].unique().tolist() == [0]
    assert set(found["cell_type"]) == set(CELL_TYPES)


def test_bad_input(model):
    with pytest.raises(InputError, match="unknown cell type"):
        model.mutagenesis("A" * LENGTH, cell_types=["liver"])
    with pytest.raises(InputError, match="another length"):
        model.contributions("ACGT")


def test_docs__examples_of_the_page_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs" / "effects.md").read_text()
    examples = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    test = doctest.DocTestParser().get_doctest(examples, {}, "docs/effects.md", "docs/effects.md", 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(test)
    assert runner.tries == 8
    assert not runner.failures
