"""The public names of the two packages: documented, with an example that runs, and not hidden by a module."""

from __future__ import annotations

import ast
import doctest
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import chromacc_data
import chromacc_models
from tests import ROOT

PACKAGES = (chromacc_data, chromacc_models)
NAMES = [(package, name) for package in PACKAGES for name in package.__all__]
PUBLIC = pytest.mark.parametrize(("package", "name"), NAMES, ids=[name for _, name in NAMES])


def documented(value: Any) -> list[Any]:
    """An object, and of a class its public methods: where its examples may be."""
    methods = inspect.getmembers(value, callable) if inspect.isclass(value) else []
    return [value, *(method for name, method in methods if not name.startswith("_") or name == "__init__")]


@PUBLIC
def test_public__has_a_doc_and_an_example_that_runs(package: ModuleType, name: str):
    value = getattr(package, name)
    assert value.__doc__, "a docstring"
    # `--doctest-modules` runs the examples of every module of the packages.
    assert value.__module__.split(".")[0] in ("chromacc_data", "chromacc_models")
    parse = doctest.DocTestParser().get_examples
    examples = [example for part in documented(value) for example in parse(part.__doc__ or "")]
    assert examples, "an example"
    assert not [example.source for example in examples if doctest.SKIP in example.options]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_public__names_are_those_that_dir_lists_and_type_checkers_see(package: ModuleType):
    assert dir(package) == sorted(package.__all__) == sorted(set(package.__all__))
    tree = ast.parse(Path(package.__file__).read_text())
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    seen = [alias.asname or alias.name for node in guarded.body for alias in node.names]
    assert sorted(seen) == sorted(package.__all__)
    assert (Path(package.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_public__type_checkers_see_what_is_imported(package: ModuleType):
    tree = ast.parse(Path(package.__file__).read_text())
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    for node in guarded.body:
        for alias in node.names:
            value = getattr(package, alias.asname or alias.name)
            assert (value.__module__, value.__name__) == (node.module, alias.name)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_public__no_module_has_the_name(package: ModuleType):
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert not modules & set(package.__all__), "Python would put the module in the place of the name"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_public__an_unknown_name(package: ModuleType):
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'nothing'"):
        package.nothing  # noqa: B018


def test_docs__the_page_of_the_api_lists_every_name():
    page = (ROOT / "docs" / "api.md").read_text()
    listed = re.findall(r"^\| `(\w+\.\w+)` \| \w.+\.? \|$", page, re.MULTILINE)
    short = {chromacc_data: "cd", chromacc_models: "cm"}
    assert sorted(listed) == sorted(f"{short[package]}.{name}" for package, name in NAMES)


def test_docs__the_example_of_the_page_runs():
    page = (ROOT / "docs" / "api.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    names: dict[str, Any] = {}
    for example in examples:
        test = doctest.DocTestParser().get_doctest(example, names, "docs/api.md", "docs/api.md", 0)
        runner.run(test, clear_globs=False)
        names = test.globs
    assert runner.tries
    assert not runner.failures
