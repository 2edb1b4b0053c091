from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chromacc_data import compiled as compiled_module
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


def test_compiled__is_compiled_again_when_what_it_calls_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The kernels of one module are compiled into those of others."""
    monkeypatch.setattr(compiled_module, "_PACKAGES", [tmp_path])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    head = "from chromacc_data.compiled import compiled\n"
    (tmp_path / "outer_kernel.py").write_text(
        f"{head}from inner_kernel import inner\n@compiled\ndef outer():\n    return inner()\n"
    )
    for value in (1, 2):
        (tmp_path / "inner_kernel.py").write_text(f"{head}@compiled\ndef inner():\n    return {value}\n")
        compiled_module._digest_of_kernels.cache_clear()
        for name in ("inner_kernel", "outer_kernel"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        assert importlib.import_module("outer_kernel").outer() == value
    for name in ("inner_kernel", "outer_kernel"):
        sys.modules.pop(name, None)
    monkeypatch.undo()
    compiled_module._digest_of_kernels.cache_clear()
