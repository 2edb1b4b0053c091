"""The file of what filters were set to, and the names that it gives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chromacc_data.errors import InputError
from chromacc_models.networks.known_motifs import (
    KNOWN_MOTIFS,
    MIN_SIMILARITY,
    KnownFilter,
    KnownMotifs,
    known_names,
    read_known_motifs,
)


def known_filter(index: int, name: str, similarity: float | None = None) -> KnownFilter:
    ppm = ((0.7, 0.1, 0.1, 0.1), (0.0, 0.0, 0.0, 1.0))
    return KnownFilter(
        index, name, f"M{index}", name, (f"M{index}",), (name,), ppm, 3, 2.5, 1.0, 0.5, 4.0, similarity
    )


def known_motifs(*filters: KnownFilter, n_filters: int = 4) -> KnownMotifs:
    return KnownMotifs(
        "known.meme", "0" * 64, 9, 0.01, 3, "anchored", 0.01, 0.25, 100, n_filters, tuple(filters)
    )


def test_known_names__kept_drifted_and_random(tmp_path: Path):
    made = known_motifs(
        known_filter(0, "GATA1/GATA2", 0.99),
        known_filter(1, "CTCF", MIN_SIMILARITY - 0.01),
        known_filter(2, "SPI1", MIN_SIMILARITY),
    )
    (tmp_path / KNOWN_MOTIFS).write_text(made.to_json())
    assert read_known_motifs(tmp_path) == made
    assert known_names(tmp_path, 4) == ["GATA1/GATA2", None, "SPI1", None]
    motif = made.filters[0].as_motif()
    assert (motif.id, motif.name, motif.consensus) == ("M0", "GATA1/GATA2", "AT")


def test_known_names__network_that_began_without(tmp_path: Path):
    assert read_known_motifs(tmp_path) is None
    assert known_names(tmp_path, 2) == known_names(tmp_path / "model.keras", 2) == [None, None]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda text: text[:-20], "Unterminated|Expecting"),
        (lambda text: text.replace('"n_filters": 4', '"n_filters": 1'), "filters 0, 1 of 1"),
        (lambda text: text.replace('"filter": 1', '"filter": 0'), "filters 0, 0 of 4"),
        (lambda text: text.replace('"filter": 1', '"filter": "one"'), "'one'"),
    ],
)
def test_read_known_motifs__damage(tmp_path: Path, change: object, found: str):
    text = known_motifs(known_filter(0, "A"), known_filter(1, "B")).to_json()
    assert json.loads(text)["filters"][1]["name"] == "B"
    (tmp_path / KNOWN_MOTIFS).write_text(change(text))
    with pytest.raises(InputError, match="is damaged") as error:
        read_known_motifs(tmp_path)
    assert KNOWN_MOTIFS in str(error.value.where)
    assert "make its folder again" in error.value.remedy
    assert any(part in str(error.value.found) for part in found.split("|"))


def test_known_names__of_another_network(tmp_path: Path):
    (tmp_path / KNOWN_MOTIFS).write_text(known_motifs(known_filter(0, "A")).to_json())
    with pytest.raises(InputError, match="another network") as error:
        known_names(tmp_path, 5)
    assert (error.value.found, error.value.expected) == ("4 filters", "5, as in the network")


def test_known_motifs__imports_neither_tensorflow_nor_numba():
    code = (
        "import sys, chromacc_models.networks.known_motifs; "
        "print([name for name in ('tensorflow', 'keras', 'numba') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
