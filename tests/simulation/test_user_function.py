"""Functions of the user: what they are given, and what they may not give."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from chromacc_data.errors import InputError
from chromacc_data.simulation.sites import Sites
from chromacc_data.simulation.user_function import UserFunction, load_function, module_file

CODE = """
import numpy as np
def count(sites, codes, names):
    return (sites.motif == names.index("y")).sum(axis=1)
def gc(sites, codes, names):
    return np.isin(codes, (1, 2)).mean(axis=1)
def scalar(sites, codes, names):
    return 1.0
def nothing(sites, codes, names):
    pass
def column(sites, codes, names):
    return np.zeros((len(codes), 1))
def nan(sites, codes, names):
    return np.where(np.arange(len(codes)) == 1, np.nan, 0)
def broken(sites, codes, names):
    return sites.motiv
no_function = 3
"""

SITES = Sites(np.array([[0, 1], [1, 1]]), np.array([[0, 5], [2, 6]]), np.ones((2, 2), int))
CODES = np.array([[0, 1, 2, 3], [0, 0, 0, 1]], np.uint8)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "score.py"
    path.write_text(CODE)
    return path


def call(file: Path, name: str) -> np.ndarray:
    return UserFunction(f"score.py:{name}", file)(SITES, CODES, ("x", "y"))


def test_user_function__sees_sites_codes_and_names(file: Path):
    assert call(file, "count").tolist() == [1, 2]
    assert call(file, "gc").tolist() == [0.5, 0.25]
    assert call(file, "gc").dtype == np.float64


def test_user_function__from_a_module():
    function = UserFunction(
        "tests.simulation.test_user_function:third", module_file("tests.simulation.test_user_function:third")
    )
    assert function.path == Path(__file__)
    assert function(SITES, CODES, ("x", "y")).tolist() == [2, 0]


def third(sites: Sites, codes: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    return codes[:, 2]


BAD = {
    "scalar": "another shape",
    "nothing": "another shape",
    "column": "another shape",
    "nan": "not a number",
    "broken": "the function failed",
    "missing": "no such function",
    "no_function": "no such function",
}


def test_user_function__cannot_change_what_it_is_given(file: Path):
    file.write_text("def f(sites, codes, names):\n    sites.motif[:] = 0\n    return codes[:, 0]\n")
    with pytest.raises(InputError, match=r"the function failed(.|\n)*read-only"):
        call(file, "f")
    assert SITES.motif.flags.writeable


@pytest.mark.parametrize(("name", "message"), BAD.items())
def test_user_function__errors(file: Path, name: str, message: str):
    if name == "nothing":
        message = "no number|another shape"
    with pytest.raises(InputError, match=message) as caught:
        call(file, name)
    assert f"function score.py:{name}" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 4


@pytest.mark.parametrize("reference", ["no_such_module_at_all:f", f"{__name__}.deeper:f"])
def test_load_function__module_that_is_not_there(reference: str):
    assert module_file(reference) is None
    with pytest.raises(InputError, match="cannot be imported"):
        load_function(reference, None)


def test_load_function__file_with_an_error(tmp_path: Path):
    (tmp_path / "bad.py").write_text("def f(:\n")
    with pytest.raises(InputError, match="cannot be imported") as caught:
        load_function("bad.py:f", tmp_path / "bad.py")
    assert "SyntaxError" in str(caught.value)


def test_user_function__changed_file_is_loaded_again(file: Path):
    function = UserFunction("score.py:count", file, "one")
    assert function(SITES, CODES, ("x", "y")).tolist() == [1, 2]
    file.write_text(CODE.replace("sum(axis=1)", "sum(axis=1) * 10"))
    again = pickle.loads(pickle.dumps(UserFunction("score.py:count", file, "two")))
    assert again(SITES, CODES, ("x", "y")).tolist() == [10, 20]
    assert not list(file.parent.glob("__pycache__"))


def test_user_function__of_a_store_is_not_run(file: Path):
    with pytest.raises(InputError, match="are not run"):
        UserFunction.of_store("tests.simulation.test_user_function:third")(SITES, CODES, ("x", "y"))


def test_module_file__imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "brought_along" / "inner"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").write_text("raise SystemExit('ran')")
    (package / "score.py").write_text("raise SystemExit('ran')")
    monkeypatch.syspath_prepend(tmp_path)
    assert module_file("brought_along.inner.score:f") == package / "score.py"
    assert module_file("brought_along.inner:f") == package / "__init__.py"
    assert module_file("brought_along.none:f") is None
    assert module_file("brought_along.inner.score.deeper:f") is None
