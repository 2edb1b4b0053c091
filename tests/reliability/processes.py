"""Commands in processes of their own: started, waited for, killed, and judged by how they ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.reliability.scene import environment
from tests.reliability.trial import Outcome, fault_of_message

__all__ = ["Command", "finish", "run_here", "start"]


@dataclass(frozen=True)
class Command:
    """A command that makes something.

    Parameters
    ----------
    name
        What the table calls it.
    arguments
        The command line, with paths relative to the folder it runs in.
    out
        What it makes, relative too.
    files
        What it needs of the scene.
    networks
        Whether it needs TensorFlow.
    """

    name: str
    arguments: tuple[str, ...]
    out: str
    files: tuple[str, ...]
    networks: bool = False


def start(arguments: tuple[str, ...], folder: Path, log: Path, **variables: str) -> subprocess.Popen:
    """Start a command in a session of its own, with its messages in a file."""
    module = f"{arguments[0].replace('-', '_')}.cli"
    with log.open("w") as file:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments[1:]],
            cwd=folder,
            env=environment(log.parent) | variables,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


def finish(process: subprocess.Popen, log: Path, *, seconds: float) -> Outcome:
    """Wait for a command; what is wrong with how it ended stands in `fault`."""
    began = time.monotonic()
    try:
        code = process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        kill(process)
        return Outcome(fault=f"hang: still at work after {seconds:g} s", err=log.read_text(errors="replace"))
    found = Outcome(code=code, err=log.read_text(errors="replace"), seconds=time.monotonic() - began)
    if code < 0:
        found.fault = f"crash: {signal.Signals(-code).name}\n{found.err[-500:]}"
    else:
        found.fault = fault_of_message(found)
    return found


def run_here(arguments: tuple[str, ...], folder: Path, log: Path, *, seconds: float = 600) -> Outcome:
    """Run a command to its end."""
    return finish(start(arguments, folder, log), log, seconds=seconds)


def kill(process: subprocess.Popen, *, only_parent: bool = False) -> None:
    """``kill -9`` a command, with the processes that it started or without."""
    with contextlib.suppress(ProcessLookupError):
        if only_parent:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def end_session(process: subprocess.Popen) -> None:
    """Kill what a command left running."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
