"""Whether two files or folders hold the same result, whatever the times and paths that they also hold."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

__all__ = ["difference", "listing"]

#: Values that no two runs share.
_OF_THE_MOMENT = {"seconds", "windows_per_second", "path", "built", "created"}

#: Pictures and pages, and what keeps others out while a command works.
_NOT_COMPARED = (".png", ".html", ".lock", ".pdf")


def listing(folder: Path) -> set[str]:
    """Relative paths of everything in a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def difference(found: Path, expected: Path) -> str | None:
    """What differs between two results; None if nothing does that matters."""
    if not found.exists():
        return f"{found.name} is missing"
    if expected.is_file():
        return None if _same_file(found, expected) else f"{found.name} differs"
    more, less = listing(found) - listing(expected), listing(expected) - listing(found)
    if more or less:
        return f"in {found.name} there are also {sorted(more)[:5]}, not {sorted(less)[:5]}"
    for name in sorted(listing(expected)):
        if (expected / name).is_file() and not _same_file(found / name, expected / name):
            return f"{found.name}/{name} differs"
    return None


def _same_file(found: Path, expected: Path) -> bool:
    suffix = expected.suffix
    if suffix in _NOT_COMPARED:
        return True
    a, b = found.read_bytes(), expected.read_bytes()
    if a == b:
        return True
    try:
        if suffix == ".keras":
            return _arrays_of_network(a) == _arrays_of_network(b)
        if suffix == ".h5":
            return _arrays(a) == _arrays(b)
        if suffix == ".json":
            return _without_the_moment(json.loads(a)) == _without_the_moment(json.loads(b))
        if suffix == ".csv" or suffix == ".tsv":
            return _columns(a) == _columns(b)
        if expected.name in ("README.md", "model.yaml", "SHA256SUMS"):
            return len(a.splitlines()) == len(b.splitlines())  # they hold checksums of zips with dates
    except (ValueError, OSError, KeyError, zipfile.BadZipFile):
        return False
    return False


def _arrays(data: bytes) -> dict[str, tuple]:
    found: dict[str, tuple] = {}

    def add(name: str, one: Any) -> None:
        if isinstance(one, h5py.Dataset):
            found[name] = (str(one.dtype), one.shape, np.asarray(one[()]).tolist().__repr__())

    with h5py.File(io.BytesIO(data)) as file:
        file.visititems(add)
    return found


def _arrays_of_network(data: bytes) -> dict[str, tuple]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        name = next(name for name in file.namelist() if name.endswith(".h5"))
        return _arrays(file.read(name))


def _without_the_moment(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_the_moment(v) for k, v in value.items() if k not in _OF_THE_MOMENT}
    if isinstance(value, list):
        return [_without_the_moment(one) for one in value]
    return value


def _columns(data: bytes) -> list[list[str]]:
    lines = data.decode().splitlines()
    separator = "\t" if "\t" in lines[0] else ","
    kept = [i for i, name in enumerate(lines[0].split(separator)) if name not in _OF_THE_MOMENT]
    return [[cells[i] for i in kept] for cells in (line.split(separator) for line in lines)]
