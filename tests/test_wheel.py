from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.wheel import ROOT, build_wheel, make_environment, wheel_files


def test_wheel__holds_the_two_packages_and_nothing_else(tmp_path: Path):
    files = wheel_files(build_wheel(tmp_path))
    assert {name.split("/")[0] for name in files if ".dist-info" not in name} == {
        "chromacc_data",
        "chromacc_models",
    }
    modules = {
        str(path.relative_to(ROOT)) for p in ("data", "models") for path in ROOT.glob(f"chromacc_{p}/**/*.py")
    }
    assert modules <= files
    assert {"chromacc_data/py.typed", "chromacc_models/py.typed"} <= files
    assert "chromacc_models/sharing/kipoi/templates/model_card.md.j2" in files
    assert "chromacc_models/reporting/templates/report.html.j2" in files
    assert "chromacc_models/experiments/templates/reproduction.md.j2" in files


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_environment(tmp_path_factory.mktemp("wheel"))


def run(python: Path, code: str, folder: Path) -> str:
    done = subprocess.run([python, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_environment__does_not_see_the_checkout(python: Path, tmp_path: Path):
    where = run(python, "import chromacc_data; print(chromacc_data.__file__)", tmp_path)
    assert "environment" in where
    assert str(ROOT) not in where


def test_imports__data_never_needs_tensorflow(python: Path, tmp_path: Path):
    code = """
import importlib, pkgutil, sys
import chromacc_data
for module in pkgutil.walk_packages(chromacc_data.__path__, "chromacc_data."):
    importlib.import_module(module.name)
print(sorted(m for m in sys.modules if m.split(".")[0] in ("tensorflow", "keras", "chromacc_models")))
"""
    assert run(python, code, tmp_path).splitlines()[-1] == "[]"


#: What the networks may use of the data package: the store, what reads it, encoding, genome and motifs, and
#: the plumbing that both packages share.
ALLOWED = {
    *("store", "store.schema", "store.read", "store.batches", "store.hdf5", "loader", "region_windows"),
    *("simulation.truth", "motifs.motif", "motifs.files", "ranks", "examples"),
    *("sequences.encoding", "sequences.genome", "sequences.shuffle", "regions.bed", "regions.intervals"),
    *("cli", "console", "progress", "engine", "errors", "files", "typed_values", "lazy"),
    *("recipe", "recipe.yaml_options", "recipe.option_tables", "child", "compiled", "names", "sizes"),
}


#: Experiments begin with a recipe.
BUILDERS = {"build_store", "recipe.recipe"}


def test_imports__networks_use_only_what_stands_on_the_store():
    paths = set((ROOT / "chromacc_models").rglob("*.py"))
    experiments = {path for path in paths if path.parent.name == "experiments"}
    assert len(experiments) > 4
    assert imports_of_data(paths - experiments) <= ALLOWED
    assert imports_of_data(experiments) <= ALLOWED | BUILDERS


def imports_of_data(paths: Iterable[Path]) -> set[str]:
    used = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("chromacc_data"):
                inner = node.module.removeprefix("chromacc_data").lstrip(".")
                used |= {inner} if inner else {alias.name for alias in node.names}
    return used - {"BedLoader"}  # the loader's class, imported from the package as Kipoi does
