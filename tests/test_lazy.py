"""What importing costs: neither TensorFlow nor dask before something of theirs is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from chromacc_data.lazy import lazy_module, lazy_names

#: What takes seconds to import.
SLOW = {"tensorflow", "keras", "dask", "distributed"}


def slow_modules_after(code: str) -> set[str]:
    """Which of the slow modules a Python of its own has imported after `code`."""
    code += f"\nimport sys; print('imported', *sorted(set({sorted(SLOW)}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "module",
    [
        "chromacc_data",
        "chromacc_models",
        "chromacc_data.cli",
        "chromacc_models.cli",
        "chromacc_models.training.config",
        "chromacc_models.training.run",
        "chromacc_models.experiments.catalogue",
    ],
)
def test_import__takes_neither_tensorflow_nor_dask(module: str):
    assert slow_modules_after(f"import {module}") == set()


@pytest.mark.parametrize("command", [["--help"], ["options"], ["train", "--help"]])
@pytest.mark.parametrize("package", ["chromacc_data", "chromacc_models"])
def test_command__that_computes_nothing_imports_neither(package: str, command: list[str]):
    command = ["build" if word == "train" and package == "chromacc_data" else word for word in command]
    code = f"""
from {package}.cli import main_group
main_group.main({command!r}, standalone_mode=False)
"""
    assert slow_modules_after(code) == set()


def test_lazy_module__is_imported_when_used():
    code = """
import sys
from chromacc_data.lazy import lazy_module
calendar = lazy_module("calendar")
print(calendar, "calendar" in sys.modules, calendar.isleap(2028), "calendar" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("> ")[1].split() == ["False", "True", "True"]


def test_lazy_module__an_attribute_that_is_not_there():
    with pytest.raises(AttributeError, match="isleapp"):
        lazy_module("calendar").isleapp  # noqa: B018


def test_lazy_names__of_an_unknown_name():
    get, names = lazy_names("here", {"sqrt": "math"})
    assert names() == ["sqrt"]
    with pytest.raises(AttributeError, match="module 'here' has no attribute 'cbrt'"):
        get("cbrt")
