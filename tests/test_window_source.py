"""A source of windows that the package does not know, plain strings: built, resumed, verified, read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from chromacc_data import build_store as building
from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import encode, one_hot
from chromacc_data.store import schema
from chromacc_data.store.plan import Plan, save_plan
from chromacc_data.store.read import open_store, read_variable
from chromacc_data.verify_store import verify
from chromacc_data.window_source import Origin

SEQUENCES = ("ACGTAC", "TTNTTT", "GGGCCC", "acgtgg", "CATCAT")
IS_OPEN = (1, 0, 1, 0, 1)


class Strings:
    """Windows given as text, open or not in one cell type."""

    variables = (schema.SEQUENCE, schema.ACCESSIBILITY, schema.SPLIT)

    def __init__(self, folder: Path) -> None:
        self.attrs = {schema.ATTR_TITLE: "Strings"}

    def template(self, n_windows: int, attrs: Mapping[str, str | int]) -> xr.Dataset:
        return schema.template(n_windows, 6, ["T cell"], chunk=2, variables=self.variables, attrs=attrs)

    def plan(self, folder: Path, *, engine: Engine, show_progress: bool = False) -> Plan:
        labels, split = np.array(IS_OPEN, np.uint8)[:, None], np.array([0, 0, 1, 2, 0], np.int8)
        return save_plan(folder, {"accessibility": labels, "split": split}, {"windows": len(split)}, {})

    def block(self, name: str, first: int, last: int) -> np.ndarray:
        return np.stack([one_hot(encode(text)) for text in SEQUENCES[first:last]])


@pytest.mark.parametrize("suffix", [".zarr", ".h5"])
@pytest.mark.parametrize("processes", [False, True])
def test_build_from__windows_given_as_strings(tmp_path: Path, suffix: str, processes: bool):
    origin, engine = Origin("strings 1", Strings), Engine(workers=2, processes=processes)
    out = tmp_path / f"a{suffix}"
    built = building.build_from(origin, out, engine=engine)
    assert (built.n_windows, built.is_new) == (5, True)
    ds = open_store(built.path)
    bases = ["".join("NACGT"[(row * [1, 2, 3, 4]).sum()] for row in w) for w in read_variable(ds, "sequence")]
    assert bases == [text.upper() for text in SEQUENCES]
    assert read_variable(ds, "accessibility")[:, 0].tolist() == list(IS_OPEN)
    assert json.loads(ds.attrs[schema.ATTR_COUNTS]) == {"windows": 5}
    assert not verify(out, store_only=True).simulated
    assert not building.build_from(origin, out, engine=engine).is_new
    with pytest.raises(InputError, match="another recipe or other inputs"):
        building.build_from(Origin("strings 2", Strings), out)


def test_build_from__resumes_without_planning_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    origin, out = Origin("strings 1", Strings), tmp_path / "a.zarr"
    whole = building.build_from(origin, tmp_path / "whole.zarr").content_hash
    with monkeypatch.context() as patched:
        patched.setattr(building, "write_store", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            building.build_from(origin, out)
    monkeypatch.setattr(Strings, "plan", None)
    assert building.build_from(origin, out).content_hash == whole
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.zarr", "whole.zarr"]
