"""Variants as DataFrames: the numbers of the command, and tables that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from chromacc_data.errors import InputError
from chromacc_models.effects.run_variants import variants
from chromacc_models.scoring.model import Model, load_model
from tests import ROOT

MODEL = ROOT / "models" / "hg19-dnase-6" / "Baseline"
EXAMPLE = MODEL / "example_files" / "example.fa"
TABLE = pd.DataFrame(
    {
        "chrom": "chr20",
        "pos": [1, 700, 700, 5040],
        "ref": ["G", "*", "A", "t"],
        "alt": ["A", "C", "<DEL>", "TAC"],
    },
    index=["a", "b", "c", "d"],
)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(MODEL, genome=EXAMPLE)


def test_variants__of_a_frame_are_those_of_the_vcf(model: Model, tmp_path: Path):
    header = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    rows = [row for row in TABLE.itertuples() if row.ref != "*"]
    (tmp_path / "a.vcf").write_text(
        header + "".join(f"{r.chrom}\t{r.pos}\t{r.Index}\t{r.ref}\t{r.alt}\t.\t.\t.\n" for r in rows)
    )
    of_frame, of_vcf = model.variants(TABLE), model.variants(tmp_path / "a.vcf")
    assert list(of_frame.index) == list("abcd")
    assert of_frame["status"].tolist() == ["scored", "symbolic", "symbolic", "scored"]
    assert of_frame["ref"].tolist()[3] == "T"
    written = pd.read_parquet(variants(MODEL, tmp_path / "a.vcf", EXAMPLE, tmp_path / "a.parquet")[0])
    assert of_vcf.columns.tolist() == written.columns.tolist() == of_frame.columns.tolist()
    for name in written:
        for found in (of_vcf[name], of_frame[name].drop("b")):
            if written[name].dtype.kind == "f":
                np.testing.assert_array_equal(found, written[name])
            elif name != "id":
                assert found.tolist() == written[name].tolist()
    assert of_vcf["id"].tolist() == ["a", "c", "d"]


def test_variants__renamed(model: Model):
    bare = TABLE.assign(chrom="20")
    with pytest.raises(InputError, match="no variant lies on a sequence"):
        model.variants(bare)
    found = model.variants(bare, rename="chr")
    assert found["status"].tolist() == model.variants(TABLE)["status"].tolist()
    assert found["chrom"].tolist() == ["20"] * 4
    with pytest.raises(InputError, match="unknown renaming"):
        model.variants(bare, rename="ucsc")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TABLE.drop(columns="alt"), "columns alt are missing"),
        (TABLE.iloc[:0], "has no variants"),
        (TABLE.assign(pos=1.5), "column pos has other values"),
        (TABLE.assign(ref=None), "column ref has other values"),
        (TABLE.assign(chrom=20), "column chrom has other values"),
    ],
)
def test_variants__tables_that_cannot_be_used(model: Model, table: pd.DataFrame, message: str):
    with pytest.raises(InputError, match=message):
        model.variants(table)


def test_variants__without_a_genome():
    with pytest.raises(InputError, match="variants without a genome"):
        load_model(MODEL).variants(TABLE)
