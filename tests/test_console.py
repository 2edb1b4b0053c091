from __future__ import annotations

import errno
import os
import signal

import click
import pytest

from chromacc_data import console


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
