from __future__ import annotations

import ast
import errno
import os
import signal

import click
import pytest

from chromacc_data import console
from tests import ROOT


def _run(monkeypatch: pytest.MonkeyPatch, error: BaseException | None, *, do: object = None) -> int:
    monkeypatch.setattr("sys.argv", ["command"])

    @click.command()
    def command() -> None:
        if do is not None:
            do()
        if error is not None:
            raise error

    with pytest.raises(SystemExit) as ended:
        console.run(command, name="command")
    return ended.value.code


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR, errno.ENOTDIR]
)
def test_run__failed_system_calls_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture, number: int
):
    monkeypatch.setattr(console, "_silence_stdout", lambda: None)
    assert _run(monkeypatch, OSError(number, os.strerror(number), "/some/file")) == 2
    assert capfd.readouterr().err == f"error: /some/file: {os.strerror(number)}\n"


def test_run__interrupts(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture):
    assert _run(monkeypatch, KeyboardInterrupt()) == 130
    assert "interrupted; run the same command again" in capfd.readouterr().err
    assert _run(monkeypatch, None, do=lambda: signal.raise_signal(signal.SIGTERM)) == 143
    assert capfd.readouterr().err == "terminated; run the same command again to resume\n"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_run__memory(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture):
    assert _run(monkeypatch, MemoryError()) == 2
    assert capfd.readouterr().err == "error: not enough memory\n"


def test_click__is_imported_by_the_command_lines_alone():
    """No module below them knows how it is called."""
    importers = set()
    for package in ("chromacc_data", "chromacc_models"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                if any(m.split(".")[0] == "click" or m == "chromacc_data.console" for m in modules if m):
                    importers.add(str(path.relative_to(ROOT)))
    assert importers == {"chromacc_data/cli.py", "chromacc_data/console.py", "chromacc_models/cli.py"}
