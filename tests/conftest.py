"""Fixtures shared by the tests: where the development data are, and small hand-made inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests marked `shared` where the development data are absent, and say how many."""
    if SHARED_DATA.is_dir():
        return
    absent = [item for item in items if item.get_closest_marker("shared")]
    if absent:
        config.hook.pytest_deselected(items=absent)
        items[:] = [item for item in items if not item.get_closest_marker("shared")]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the development data (real genome, peaks, motifs)."""
    return SHARED_DATA
