from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from chromacc_data.errors import InputError
from chromacc_data.motifs.files import write_motifs
from chromacc_data.motifs.motif import Motif
from chromacc_data.sequences.encoding import encode, one_hot
from chromacc_models.cli import main_group
from chromacc_models.evaluation.evaluate import evaluate
from chromacc_models.interpretation.run_interactions import run_interactions
from chromacc_models.interpretation.run_motifs import run_motifs
from chromacc_models.reporting.report import write_report
from chromacc_models.training.config import TrainConfig
from chromacc_models.training.run import Run
from chromacc_models.training.train import train

PNG = b"\x89PNG\r\n\x1a\n"


class Page(HTMLParser):
    """Headings, tables as lists of rows, and pictures of a page; every tag must be closed."""

    VOID = frozenset({"meta", "br", "img"})

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.pictures: list[bytes] = []
        self.text = ""
        self.feed(path.read_text())
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.pictures.append(
                base64.b64decode(dict(attrs)["src"].removeprefix("data:image/png;base64,"), validate=True)
            )
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag in ("h1", "h2"):
            self.headings.append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data
        elif {"h1", "h2"} & set(self.open):
            self.headings[-1] += data

    def table(self, column: str) -> list[list[str]]:
        (found,) = (table for table in self.tables if column in table[0])
        return found


def trained(make_store: Callable[..., Path], tmp_path: Path, network: str) -> Run:
    store = make_store("train.zarr", n_windows=60, window_length=20)
    config = TrainConfig(network=network, n_filters=3, filter_width=4, epochs=1)
    return train(store, config, tmp_path / "a<b>&c")


def test_write_report__all_that_was_made(make_store: Callable[..., Path], tmp_path: Path):
    run = trained(make_store, tmp_path, "factorization_machine")
    write_motifs(tmp_path / "known.meme", [Motif("known", one_hot(encode("ACGTA"), dtype=float))])
    scores = evaluate(run)
    run_motifs(run, database=tmp_path / "known.meme")
    run_interactions(run)
    out = write_report(run)
    assert out == run.folder / "report.html"
    page = Page(out)
    assert page.headings == [
        "factorization_machine on made by hand",
        "Training",
        "Scores on held-out windows",
        "Filters as motifs",
        "Interactions",
    ]
    pictures = ("curves.png", "roc.png", "calibration.png", "motifs.png", "interactions.png")
    assert page.pictures == [(run.folder / name).read_bytes() for name in pictures]
    assert all(picture.startswith(PNG) for picture in page.pictures)
    of_cell_types = page.table("auroc")
    assert [row[0] for row in of_cell_types[1:]] == ["liver", "T cell"]
    assert of_cell_types[1][of_cell_types[0].index("auroc")] == f"{scores.cell_types[0].auroc:.3g}"
    motifs = pd.read_csv(run.folder / "motifs.tsv", sep="\t")
    assert [row[0] for row in page.table("consensus")[1:]] == motifs["filter"].tolist()
    # Three pairs of filters in each cell type, of which every cell type shows some.
    assert {row[0] for row in page.table("filter_a")[1:]} == {"liver", "T cell"}
    assert "a<b>&c" in page.text
    assert "Not made yet" not in page.text


def test_write_report__names_the_command_of_what_is_missing(make_store: Callable[..., Path], tmp_path: Path):
    run = trained(make_store, tmp_path, "baseline")
    page = Page(write_report(run.folder, tmp_path / "pages" / "run.html"))
    assert page.pictures == [(run.folder / "curves.png").read_bytes()]
    assert re.findall(r"chromacc-models (\w+)", page.text) == ["evaluate", "motifs"]
    assert "Interactions" not in page.headings  # a baseline has none


def test_write_report__long_tables_are_cut_and_say_so(make_store: Callable[..., Path], tmp_path: Path):
    run = trained(make_store, tmp_path, "factorization_machine")
    rows = [(c, rank, rank / 7) for c in ("liver", "T cell") for rank in range(1, 1001)]
    pd.DataFrame(rows, columns=["cell_type", "rank", "scaled"]).to_csv(
        run.folder / "interactions.tsv", sep="\t", index=False
    )
    page = Page(write_report(run))
    assert len(page.table("scaled")) == 1 + 2 * 12
    assert page.table("scaled")[1] == ["liver", "1", "0.143"]
    assert "interactions.tsv: the first 24 of 2,000 rows" in page.text


def test_write_report__refuses(make_store: Callable[..., Path], tmp_path: Path):
    with pytest.raises(InputError, match="not a run folder"):
        write_report(tmp_path)
    run = trained(make_store, tmp_path, "baseline")
    with pytest.raises(InputError, match="not the name of an HTML file"):
        write_report(run, tmp_path / "page.pdf")
    (run.folder / "evaluation.json").write_text("{}")
    with pytest.raises(InputError, match="is damaged") as error:
        write_report(run)
    assert str(error.value.where) == str(run.folder / "evaluation.json")
    assert not (run.folder / "report.html").exists()


def test_report__command(make_store: Callable[..., Path], tmp_path: Path):
    run = trained(make_store, tmp_path, "baseline")
    done = CliRunner().invoke(main_group, ["report", str(run.folder), "--json"], catch_exceptions=False)
    assert json.loads(done.stdout) == {"page": str(run.folder / "report.html")}
    assert (run.folder / "report.html").exists()
