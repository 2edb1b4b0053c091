"""Windows around regions of a table; of a file, in the tests of the loader."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from chromacc_data.errors import InputError
from chromacc_data.region_windows import RegionWindows
from chromacc_data.sequences.encoding import decode
from chromacc_data.sequences.genome import Genome


@pytest.fixture
def genome(tmp_path: Path) -> Genome:
    (tmp_path / "genome.fa").write_text(">chr1\nAACCGGTTACGT\n>chr2\nTTTTGGGG\n")
    return Genome.open(tmp_path / "genome.fa")


def table(*rows: tuple, columns: str = "chrom start end") -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns.split())


def test_read__a_table(genome: Genome):
    regions = table(("chr2", 2, 6), ("chr1", 0, 1), columns="chrom start end")
    windows = RegionWindows.read(regions, genome, 4)
    assert [decode(codes) for codes in windows.codes(slice(None))] == ["TTGG", "NNAA"]
    assert windows.name.tolist() == ["0", "1"]
    assert len(windows) == 2
    assert windows.one_hot(slice(0, 1)).shape == (1, 4, 4)
    assert list(regions) == ["chrom", "start", "end"]  # is left as it was


def test_read__names_and_strands_of_a_table(genome: Genome):
    regions = table(
        ("chr1", 0, 4, "one", "-"), ("chr1", 4, 8, ".", "+"), columns="chrom start end name strand"
    )
    windows = RegionWindows.read(regions, genome, 4, use_strand=True)
    assert [decode(codes) for codes in windows.codes(slice(None))] == ["GGTT", "GGTT"]
    assert windows.name.tolist() == ["one", "1"]
    assert windows.strand.tolist() == ["-", "+"]


@pytest.mark.parametrize(
    ("regions", "message", "where"),
    [
        (table(("chr1", 1), columns="chrom start"), "not a table of regions", "None"),
        (table(("chr1", "x", 3)), "not integers", "column 'start'"),
        (table(("chr1", 0, 2), ("chr1", 0, 2.5)), "not integers", "column 'end'"),
        (table(("chr1", 5, 5)), "no region", "row 0"),
        (table(("chr1", -2, 5)), "no region", "row 0"),
        (table(("chr1", 50, 55)), "past the end", "regions, interval 1"),
        (table(("chr9", 5, 6)), "chr9", "regions"),
    ],
)
def test_read__a_bad_table(genome: Genome, regions: pd.DataFrame, message: str, where: str):
    with pytest.raises(InputError) as caught:
        RegionWindows.read(regions, genome, 4)
    assert message in str(caught.value)
    assert where in str(caught.value.where)
