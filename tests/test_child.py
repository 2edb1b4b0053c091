from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from chromacc_data.child import call_in_child, require_readable
from chromacc_data.errors import InputError


def _crash(path: Path) -> None:
    os.kill(os.getpid(), 11)


def _hang(path: Path) -> None:
    while True:
        time.perf_counter()


def _refuse(path: Path) -> None:
    raise InputError("bad", where=path)


def _size(path: Path) -> int:
    return path.stat().st_size


def test_call_in_child__result_and_error(tmp_path: Path):
    path = tmp_path / "a"
    path.write_text("abc")
    assert call_in_child(_size, path, file=path, remedy="") == 3
    with pytest.raises(InputError, match="bad"):
        call_in_child(_refuse, path, file=path, remedy="")


@pytest.mark.parametrize(("function", "says"), [(_crash, "SIGSEGV"), (_hang, "did not come to an end")])
def test_call_in_child__crash_and_hang_are_errors(tmp_path: Path, function: object, says: str):
    with pytest.raises(InputError, match=says) as caught:
        call_in_child(function, tmp_path, file=tmp_path / "a", remedy="get it again", cpu_seconds=1)
    assert str(tmp_path / "a") in str(caught.value)
    assert "get it again" in str(caught.value)


def test_require_readable__only_crashes_count(tmp_path: Path):
    path = tmp_path / "a"
    require_readable(path, _crash, remedy="")  # not there
    path.touch()
    require_readable(path, _refuse, remedy="")
    with pytest.raises(InputError, match="crashed"):
        require_readable(path, _crash, remedy="")
