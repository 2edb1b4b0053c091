"""The commands mutagenesis, contributions and hits: options, results, and errors with exit code 2."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from chromacc_models.cli import main
from tests.effects.regions import MODEL, Place, make_place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("commands"))


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["chromacc-models", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


def test_commands__options_reach_the_functions(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    inputs = MODEL, place.regions, place.genome
    out = tmp_path / "m.npz"
    options = ("--dtype", "float16", "--cell-type", "K562", "--workers", "1", "--json", "-q")
    assert call(monkeypatch, "mutagenesis", *inputs, "-o", out, *options) == 0
    assert json.loads(capsys.readouterr().out) == {"files": [str(out)]}
    with np.load(out) as file:
        assert file["effect"].dtype == np.float16
        assert file["effect"].shape[-1] == 1
    out = tmp_path / "c.npz"
    assert call(monkeypatch, "contributions", *inputs, "-o", out, "--hypothetical", "-q") == 0
    with np.load(out) as file:
        assert file["hypothetical_contribution"].ndim == 4
    out = tmp_path / "h.tsv"
    options = ("--bed", "--at-least", "0.1", "--cell-type", "HepG2", "-q")
    assert call(monkeypatch, "hits", *inputs, "-o", out, *options) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [str(out), str(tmp_path / "h.HepG2.bed")]
    table = pd.read_csv(out, sep="\t")
    found = table[~table["filter"].isin(["rest", "bias"])]
    assert (found["contribution"].abs() > 0.1).all()


BAD_REGIONS = {
    "empty": ("", "empty"),
    "no intervals": ("# nothing\n", "no intervals"),
    "another assembly": ("chr2\t90000\t90600\n", "past the end of its chromosome"),
    "unknown chromosome": ("2\t0\t600\n", "2 not in the genome"),
    "spaces": ("chr2 10 20\n", "tab"),
    "no number": ("chr2\tten\t20\n", "ten"),
}


@pytest.mark.parametrize("command", ["mutagenesis", "contributions", "hits"])
@pytest.mark.parametrize("case", BAD_REGIONS)
def test_commands__bad_regions(
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    command: str,
    case: str,
):
    text, message = BAD_REGIONS[case]
    regions = tmp_path / "bad.bed"
    regions.write_text(text)
    assert call(monkeypatch, command, MODEL, regions, place.genome, "-o", tmp_path / "out.tsv", "-q") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert list(tmp_path.iterdir()) == [regions]


def test_commands__a_truncated_genome(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    genome = tmp_path / "genome.fa.gz"
    genome.write_bytes(b"\x1f\x8b\x08\x04\x00\x00")
    code = call(monkeypatch, "hits", MODEL, place.regions, genome, "-o", tmp_path / "out.tsv", "-q")
    assert code == 2
    assert "genome.fa.gz" in capsys.readouterr().err
    assert not (tmp_path / "out.tsv").exists()
