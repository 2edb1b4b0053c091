"""The plan of a store on disk: all that is known of its windows before their bases are made.

A plan is small (some bytes per window) and kept in the working folder of a build, so that a killed build
does not make it again.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chromacc_data.errors import InputError
from chromacc_data.files import disk_errors, map_array
from chromacc_data.store import schema
from chromacc_data.typed_values import MAX_JSON, parse_json, read_text, typed

__all__ = ["Plan", "load_notes", "load_plan", "plan_block", "save_arrays", "save_plan"]

_NOTES = "notes.json"


@dataclass(frozen=True)
class Plan:
    """What is known of the windows of a store, but for what their source makes when they are written.

    `arrays` are memory-mapped, by name; those with the name of a variable of the store hold its values.
    `split` is among them.
    """

    folder: Path
    arrays: dict[str, np.ndarray]
    counts: dict[str, int]
    leaks: dict[str, object]

    @property
    def n_windows(self) -> int:
        """Windows in the store."""
        return len(self.arrays[schema.SPLIT.name])


def load_plan(folder: Path) -> Plan | None:
    """The plan that an earlier run left in a working folder, or None."""
    plan = folder / "plan"
    if not plan.exists():
        return None
    try:
        arrays = {path.stem: map_array(path) for path in sorted(plan.glob("*.npy"))}
        notes = parse_json(read_text(plan / _NOTES, limit=MAX_JSON), where=plan / _NOTES)
        counts = typed(notes["counts"], dict[str, int], where=plan / _NOTES)
        leaks = typed(notes["leaks"], dict[str, dict[str, dict[str, int]]], where=plan / _NOTES)
        _ = arrays[schema.SPLIT.name]
    except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
        raise InputError(
            "the plan of an unfinished build is damaged",
            where=getattr(error, "where", None) or plan,
            found=getattr(error, "found", None) or error,
            remedy="discard the unfinished build with --restart; a finished store is not touched",
        ) from error
    return Plan(plan, arrays, counts, leaks)


def save_plan(
    folder: Path, arrays: dict[str, np.ndarray], counts: dict[str, int], leaks: dict[str, object]
) -> Plan:
    """Write a plan into a working folder."""
    save_arrays(folder / "plan", arrays, {"counts": counts, "leaks": leaks})
    return load_plan(folder)


def save_arrays(folder: Path, arrays: dict[str, np.ndarray], notes: dict[str, object]) -> None:
    """Write a folder of arrays and notes, there whole or not at all."""
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    with disk_errors(folder):
        temporary.mkdir()  # never its parents: a late task must not bring a removed folder back
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", array)
        (temporary / _NOTES).write_text(json.dumps(notes))
        temporary.rename(folder)


def load_notes(folder: Path) -> dict[str, int]:
    """Notes of a folder that :func:`save_arrays` wrote."""
    return json.loads((folder / _NOTES).read_text())


def plan_block(plan: Path, name: str, start: int, stop: int) -> np.ndarray:
    """An array of a plan for windows `start` to `stop`."""
    return np.array(map_array(plan / f"{name}.npy")[start:stop])
