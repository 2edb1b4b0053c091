"""The models that the repository holds are whole, and predict what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from chromacc_models.sharing.kipoi.check import check
from tests import ROOT

MODELS = ROOT / "models"
FOLDERS = sorted(path.parent for path in MODELS.rglob("model.yaml"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(MODELS)))
def test_check__models_of_the_repository(folder: Path):
    checked = check(folder)
    assert checked.n_regions > 0
    assert checked.n_cell_types == len((folder / "targets.txt").read_text().split())
