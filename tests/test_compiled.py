from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chromacc_data.compiled import compiled
from tests import ROOT


def test_compiled__goes_without_a_cache_on_a_full_disk(monkeypatch: pytest.MonkeyPatch):
    from numba.core.caching import FunctionCache

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FunctionCache, "save_overload", full)
    monkeypatch.setattr(FunctionCache, "load_overload", full)
    assert compiled(lambda a, b: a + b)(1, 2) == 3


def test_compiled__goes_without_a_folder(tmp_path: Path):
    """No folder can be made under a file, whoever runs this."""
    (tmp_path / "file").touch()
    module = tmp_path / "module.py"
    module.write_text(
        "from chromacc_data.compiled import compiled\n"
        "@compiled\ndef add(a, b):\n    return a + b\n"
        "print(add(1, 2))\n"
    )
    done = subprocess.run(
        [sys.executable, module],
        env={**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path / "file" / "cache")},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "3\n"
