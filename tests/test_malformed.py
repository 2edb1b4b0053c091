"""Malformed inputs of a fixed seed to every command: a result or a clear error, never anything else.

More of them, with other seeds: ``python tests/benchmarks/malformed.py``, whose findings this test repeats.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reliability.results import difference
from tests.reliability.scene import ROOT
from tests.reliability.tables import Tally, write_rows

#: As good as no limit of time: how fast a machine is, or how busy, is not tested here.
SECONDS = "120"


def try_malformed(tmp_path: Path, *options: str) -> None:
    """Run the benchmark in a process of its own, as it forks and this one may hold threads."""
    ended = subprocess.run(
        [sys.executable, ROOT / "tests/benchmarks/malformed.py", "--seconds", SECONDS, *options],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr[-3000:]
    assert " 0 findings" in ended.stdout


def test_malformed__data_commands(tmp_path: Path):
    try_malformed(tmp_path, "--without-networks", "--n", "150")


def test_malformed__commands_of_networks(tmp_path: Path):
    try_malformed(tmp_path, "--networks-only", "--trust", "--n", "18")


@pytest.mark.parametrize("suffix", ["zarr", "h5", "keras", "json", "tsv"])
def test_difference__of_files(tmp_path: Path, suffix: str):
    one, other, missing = (tmp_path / f"{name}.{suffix}" for name in ("one", "other", "missing"))
    one.write_bytes(b"one")
    other.write_bytes(b"other")
    assert difference(one, other)
    assert difference(missing, one)
    assert difference(one, one) is None


def test_write_rows__replaces_rows_of_the_same_name(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- figures -->\n<!-- end of figures -->\nafter\n")
    kills, flips = Tally("kills"), Tally("flips")
    kills.add("killed")
    flips.add("unseen", "byte 3")
    write_rows(page, [kills, flips], "python first.py")
    kills.add("killed")
    write_rows(page, [kills], "python second.py")
    lines = page.read_text().splitlines()
    assert lines[0] == "before"
    assert lines[-1] == "after"
    assert [line.split(" | ")[:4] for line in lines if line.startswith(("| kills", "| flips"))] == [
        ["| kills", "2", "2", "killed 2"],
        ["| flips", "1", "0", "unseen 1"],
    ]
