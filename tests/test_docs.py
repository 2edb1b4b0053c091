"""Pages that commands write say what the code says."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from chromacc_data.recipe import recipe
from chromacc_data.store import schema
from chromacc_models.experiments import reproduce as reproducing
from chromacc_models.experiments.arms import ARMS
from chromacc_models.training import config
from tests import ROOT


@pytest.mark.parametrize(("page", "table"), [("recipe.md", recipe.describe), ("options.md", config.describe)])
def test_docs__tables_are_those_of_the_code(page: str, table: object):
    text = (ROOT / "docs" / page).read_text()
    assert table().strip() in text, f"write docs/{page} again: its first line says how"


def test_docs__the_store_page_names_every_variable_and_attribute():
    text = (ROOT / "docs" / "store.md").read_text()
    names = set(re.findall(r"`([a-z_]+)`", text))
    attributes = {value for name, value in vars(schema).items() if name.startswith("ATTR_")}
    of_variables = {schema.ATTR_DOC, schema.ATTR_NAMES}
    assert set(schema.VARIABLES) | attributes - of_variables <= names


def test_docs__reproduction_is_of_these_recipes_options_and_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def not_again(store: Path, configs: list[config.TrainConfig], folders: list[Path], **_: object) -> None:
        raise AssertionError(f"{configs[0]} is not what docs/reproduction has measures of")

    monkeypatch.setattr(reproducing, "train_runs", not_again)
    shutil.copytree(ROOT / "docs" / "reproduction", tmp_path / "docs" / "reproduction")
    shutil.copy(ROOT / "docs" / "trials.md", tmp_path / "docs")
    made = reproducing.reproduce([], tmp_path / "out", datasets=ROOT / "datasets", report=tmp_path / "docs")
    assert made.left_out == {}
    assert made.measures.keys() == ARMS.keys()
    assert made.page.read_text() == (ROOT / "docs" / "reproduction.md").read_text()


def anchors(page: Path) -> set[str]:
    """What links may name in a page, as GitHub gives it."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ["README.md", *(p.relative_to(ROOT) for p in (ROOT / "docs").glob("*.md"))])
def test_docs__links_lead_somewhere(page: str):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text()):
        assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_docs__links_lead_to_headings(page: Path):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)", page.read_text()):
        assert anchor in anchors(page.parent / target if target else page), f"{page}: {target}#{anchor}"
