"""Parts of a result in a working folder: what a killed run leaves for the next one."""

from __future__ import annotations

from pathlib import Path

import pytest

from chromacc_models.scoring.parts import Parts, resumable_folder


def make_parts(folder: Path) -> Parts:
    parts = Parts(folder / "parts", 5, 2, ".txt")
    parts.folder.mkdir(exist_ok=True)
    return parts


def stop_in(out: Path, *, n_finished: int) -> None:
    with resumable_folder(out, "same") as folder:
        parts = make_parts(folder)
        for part in range(n_finished):
            parts.path(part).touch()
        raise KeyboardInterrupt


def test_parts__spans_and_files(tmp_path: Path):
    parts = make_parts(tmp_path)
    assert [(span.start, span.stop) for span, _ in parts.files()] == [(0, 2), (2, 4), (4, 5)]
    assert len(parts) == 3
    parts.path(1).touch()
    assert parts.missing() == [0, 2]


@pytest.mark.parametrize(("key", "kept"), [("same", True), ("other", False)])
def test_resumable_folder__keeps_parts_of_the_same_key(tmp_path: Path, key: str, kept: bool):
    with pytest.raises(KeyboardInterrupt):
        stop_in(tmp_path / "out", n_finished=1)
    with resumable_folder(tmp_path / "out", key) as folder:
        assert make_parts(folder).path(0).exists() == kept
    assert list(tmp_path.iterdir()) == []


def test_resumable_folder__without_a_finished_part_leaves_nothing(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        stop_in(tmp_path / "out", n_finished=0)
    assert list(tmp_path.iterdir()) == []


def test_resumable_folder__is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Workers of a cluster have other working folders."""
    monkeypatch.chdir(tmp_path)
    with resumable_folder(Path("out"), "key") as folder:
        assert folder == tmp_path / "out.partial"
