"""The table of hits accounts for every logit; BED files; names of filters; bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pybedtools
import pytest

from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.sequences.genome import Genome
from chromacc_models.effects import hits_table
from chromacc_models.effects.hits_table import hits, hits_frame
from chromacc_models.effects.motif_names import names_of_filters
from chromacc_models.effects.network import AskedNetwork
from chromacc_models.scoring.scorer import Scorer
from tests.effects.regions import CELL_TYPES, LENGTH, MODEL, STARTS, Place, make_place
from tests.effects.test_substitutions import random_scorer

N_FILTERS = 300


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("hits"))


@pytest.fixture(scope="module")
def table(place: Place) -> pd.DataFrame:
    hits(MODEL, place.regions, place.genome, place.folder / "hits.tsv", bed=True)
    return read(place.folder / "hits.tsv")


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", keep_default_na=False, na_values={"share": [""]})


def test_hits__a_region_adds_up_to_its_logit(place: Place, table: pd.DataFrame):
    scorer = Scorer.open(MODEL / "model.keras")
    codes = Genome.open(place.genome).windows(np.array([0, 0, 0, 1, 1], np.int32), np.array(STARTS), LENGTH)
    sums = table.groupby(["region", "cell_type"], sort=False)["contribution"].sum().unstack(sort=False)
    assert sums.columns.tolist() == list(CELL_TYPES)
    np.testing.assert_allclose(sums, scorer.logits(codes), rtol=0, atol=1e-5)


def test_hits__rows(table: pd.DataFrame):
    assert table.columns.tolist() == [
        *("region", "chrom", "start", "end", "strand", "filter", "motif"),
        *("cell_type", "contribution", "share"),
    ]
    is_hit = ~table["filter"].isin(["rest", "bias"])
    found = table[is_hit]
    assert (found["contribution"].abs() > 0.05).all()
    assert found["share"].between(0, 1).all()
    assert table.loc[~is_hit, "share"].isna().all()
    assert set(found["strand"]) == {"+", "-"}
    assert (table["start"] >= 0).all()
    assert (table.loc[table["chrom"] == "chr2", "end"] <= 900).all()
    # The network scans the middle half of a window.
    minus = found[found["region"] == "minus"]
    assert minus["start"].min() >= 900 + 150
    assert minus["end"].max() <= 1500 - 150
    assert (minus["end"] - minus["start"] == 20).all()
    assert table["filter"].value_counts()[["rest", "bias"]].tolist() == [30, 30]


def test_hits__at_least_moves_places_to_the_rest(place: Place, tmp_path: Path):
    sums = {}
    for at_least in (0.0, 0.1):
        out = tmp_path / f"{at_least}.tsv"
        hits(MODEL, place.regions, place.genome, out, at_least=at_least, cell_types=["HepG2", "K562"])
        rows = read(out)
        sums[at_least] = rows.groupby(["region", "cell_type"])["contribution"].sum()
        sizes = rows.loc[~rows["filter"].isin(["rest", "bias"]), "contribution"].abs()
        assert sizes.min() > at_least
        assert list(dict.fromkeys(rows["cell_type"])) == ["HepG2", "K562"]
    np.testing.assert_allclose(sums[0.0], sums[0.1], rtol=0, atol=2e-5)


def test_hits__bed_is_read_by_bedtools(place: Place, table: pd.DataFrame):
    for cell_type in CELL_TYPES:
        bed = place.folder / f"hits.{cell_type}.bed"
        chosen = table[(table["cell_type"] == cell_type) & ~table["filter"].isin(["rest", "bias"])]
        rows = list(pybedtools.BedTool(str(bed)).sort())
        assert len(rows) == len(chosen)
    fields = pd.read_csv(bed, sep="\t", header=None)
    assert fields.shape[1] == 9
    assert fields[3].tolist() == chosen["filter"].tolist()  # nothing says what the filters look for
    assert fields[4].between(0, 1000).all()
    colours = np.where(chosen["contribution"] > 0, "0,114,178", "213,94,0")
    assert fields[8].tolist() == colours.tolist()


def write_names(path: Path, **columns: list) -> Path:
    table = {"filter": [f"filter_{i}" for i in reversed(range(N_FILTERS))], **columns}
    pd.DataFrame(table).to_csv(path, sep="\t", index=False)
    return path


def test_hits__names_of_motifs(place: Place, tmp_path: Path):
    names = write_names(
        tmp_path / "motifs.tsv", target_name=["CTCF"] * N_FILTERS, E=[0.001] * 200 + [0.5] * 100
    )
    hits(MODEL, place.regions, place.genome, tmp_path / "hits.tsv", names=names, bed=True)
    rows = read(tmp_path / "hits.tsv")
    rows = rows[~rows["filter"].isin(["rest", "bias"])]
    number = rows["filter"].str.removeprefix("filter_").astype(int)
    assert ((rows["motif"] == "CTCF") == (number >= 100)).all()
    assert set(rows["motif"]) == {"CTCF", ""}
    assert "CTCF" in (tmp_path / "hits.K562.bed").read_text()


def test_filter_names__beside_the_network(tmp_path: Path):
    assert names_of_filters(tmp_path, 2) == ("", "")
    (tmp_path / "motifs.tsv").write_text("filter\tbits\nfilter_1\t3\nfilter_0\t2\n")
    assert names_of_filters(tmp_path, 2) == ("", "")
    (tmp_path / "motifs.tsv").write_text("filter\tplanted\nfilter_1\tGATA\nfilter_0\t\n")
    assert names_of_filters(tmp_path, 2) == ("", "GATA")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no names of filters"),
        ("", "no names of filters"),
        ("filter\tbits\nfilter_0\t3\n", "no names of filters"),
        ("filter\ttarget_name\tE\nfilter_0\tX\t1e-5\n", "names of the filters of another network"),
    ],
)
def test_filter_names__that_cannot_be_used(tmp_path: Path, text: str | None, message: str):
    path = tmp_path / "names.tsv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        names_of_filters(MODEL, N_FILTERS, path)


@pytest.mark.parametrize(
    ("out", "options", "message"),
    [
        ("hits.bed", {}, "written as a table"),
        ("hits.tsv", {"at_least": -1.0}, "not a size"),
        ("hits.tsv", {"at_least": float("nan")}, "not a size"),
    ],
)
def test_bad_input__leaves_nothing(place: Place, tmp_path: Path, out: str, options: dict, message: str):
    with pytest.raises(InputError, match=message):
        hits(MODEL, place.regions, place.genome, tmp_path / out, **options)
    assert not list(tmp_path.iterdir())


def test_resumes__with_the_same_bytes(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hits_table, "_ROWS_PER_PART", 2)
    engine = Engine(workers=1)

    def stops(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(hits_table, "_join", stops)
        with pytest.raises(KeyboardInterrupt):
            hits(MODEL, place.regions, place.genome, tmp_path / "hits.tsv", engine=engine)
    assert len(list((tmp_path / "hits.tsv.partial" / "parts").iterdir())) == 3
    hits(MODEL, place.regions, place.genome, tmp_path / "hits.tsv", engine=engine)
    assert [path.name for path in tmp_path.iterdir()] == ["hits.tsv"]
    hits(MODEL, place.regions, place.genome, tmp_path / "whole.tsv", engine=engine)
    assert (tmp_path / "hits.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()


@pytest.mark.parametrize("pooling", ["max", "average", "logsumexp"])
def test_hits_frame__of_windows_without_a_genome(pooling: str):
    scorer = random_scorer(2, pooling=pooling, left=-2)
    codes = np.random.default_rng(0).integers(0, 4, (5, scorer.window_length), dtype=np.uint8)
    found = hits_frame(
        AskedNetwork(scorer, scorer.window_length, Path("small.keras")),
        codes,
        columns=[2, 0],
        cell_types=["c", "a"],
        regions={"region": np.arange(5)},
        motifs=[""] * scorer.n_filters,
        at_least=0.01,
    )
    assert "chrom" not in found
    sums = found.groupby(["region", "cell_type"], sort=False)["contribution"].sum().unstack(sort=False)
    np.testing.assert_allclose(sums, scorer.logits(codes)[:, [2, 0]], rtol=0, atol=2e-5)
    assert found["start"].min() == 0
    assert found["end"].max() == scorer.window_length
