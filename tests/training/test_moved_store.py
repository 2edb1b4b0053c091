"""Runs whose store is no longer where it was: every command that needs it takes its new path."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chromacc_data.errors import InputError
from chromacc_models.cli import main_group
from chromacc_models.training.run import Run
from tests.kipoi_folders import make_run


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run and its store under another name than the run has recorded."""
    folder = tmp_path_factory.mktemp("moved")
    make_run(folder)
    (folder / "store.zarr").rename(folder / "elsewhere.zarr")
    return folder


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that the run was not trained on."""
    run = make_run(tmp_path_factory.mktemp("another"))
    store = Run.open(run).store
    metadata = store / "zarr.json"
    metadata.write_text(metadata.read_text().replace(Run.open(run).info.store.content_hash, "0" * 64))
    return store


def call(command: str, run: Path, *options: object) -> Result:
    more = {
        "compare": [run],
        "package": ["--to", run.parent / "model"],
        "motifs": ["--logos", 2],
    }
    return CliRunner().invoke(main_group, [*map(str, (command, run, *more.get(command, []), *options)), "-q"])


COMMANDS = ("evaluate", "motifs", "interactions", "compare", "package", "report")


@pytest.fixture
def run(moved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(moved / "run", tmp_path / "run"))


@pytest.mark.parametrize("command", COMMANDS)
def test_store__its_new_path(moved: Path, run: Path, command: str):
    done = call(command, run, "--store", moved / "elsewhere.zarr")
    assert done.exit_code == 0, (done.output, done.exception)


@pytest.mark.parametrize("command", COMMANDS[:-1])
def test_store__not_there_any_more(run: Path, command: str):
    error = call(command, run).exception
    assert isinstance(error, InputError)
    assert "was not found" in error.what
    assert "--store PATH" in error.remedy


@pytest.mark.parametrize("command", COMMANDS)
def test_store__another_one(another: Path, run: Path, command: str):
    before = sorted(path.name for path in run.parent.rglob("*"))
    error = call(command, run, "--store", another).exception
    assert isinstance(error, InputError)
    assert "not the store that the run" in error.what
    assert error.found == "content hash 000000000000"
    assert sorted(path.name for path in run.parent.rglob("*")) == before


def test_open__a_run_and_its_moved_store(moved: Path, run: Path):
    opened = Run.open(Run.open(run), store=moved / "elsewhere.zarr")
    assert opened.store == moved / "elsewhere.zarr"
    assert opened.open_store().attrs["content_hash"] == opened.info.store.content_hash
    with pytest.raises(InputError, match="was not found"):
        Run.open(run, store=moved / "nowhere.zarr")
