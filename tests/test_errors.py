from __future__ import annotations

import pickle

from chromacc_data.errors import CheckError, InputError


def test_input_error__one_line_each():
    error = InputError("bad", where="a.bed line 3", found="x", expected="y", remedy="z")
    assert str(error).splitlines() == [
        "a.bed line 3: bad",
        "  found:    x",
        "  expected: y",
        "  remedy:   z",
    ]


def test_input_error__survives_pickling():
    error = pickle.loads(pickle.dumps(CheckError("bad", where="w", found=1, expected=2, remedy="r")))
    assert isinstance(error, CheckError)
    assert error.exit_code == 1
    assert str(error) == str(CheckError("bad", where="w", found=1, expected=2, remedy="r"))


def test_input_error__fits_on_a_screen():
    error = InputError("bad " * 10_000, where="w" * 10_000, found="\n" * 5000, expected=["x" * 100_000])
    assert len(str(error)) < 5000
    assert len(str(error).splitlines()) < 25
    assert "characters)" in str(error)
    assert error.found == "\n" * 5000
