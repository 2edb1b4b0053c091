"""Functions in forked children, where a crash, a hang or a blow-up of memory is seen."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Limits", "Outcome", "in_children"]

#: Lines and characters of an error message that a person reads on one screen.
LONGEST_MESSAGE = 25
LARGEST_MESSAGE = 5000


@dataclass(frozen=True)
class Limits:
    """What a command may take.

    Parameters
    ----------
    seconds
        Wall-clock time.
    bytes
        Memory beyond what the imported libraries hold.
    file_bytes
        Size of each file that it writes.
    """

    seconds: float = 10
    bytes: int = 2 << 30
    file_bytes: int = 512 << 20


@dataclass
class Outcome:
    """How a command ended."""

    code: int | None = None
    #: What is wrong with it; None where it ended as it may.
    fault: str | None = None
    out: str = ""
    err: str = ""
    seconds: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)


class _TimeUp(BaseException):
    """The limit of time was reached; no `except Exception` catches it."""


def in_children(
    jobs: Iterable[tuple[Any, Callable[[], None], Path]], *, limits: Limits, n_children: int = 1
) -> Iterator[tuple[Any, Outcome]]:
    """Run functions in forked children, at most `n_children` at a time; gives each job's key and outcome.

    Parameters
    ----------
    jobs
        Key, function, and the folder in which it runs.
    """
    running: dict[int, tuple[Any, Path, float]] = {}
    waiting = iter(jobs)
    exhausted = False
    while running or not exhausted:
        while not exhausted and len(running) < n_children:
            try:
                key, function, folder = next(waiting)
            except StopIteration:
                exhausted = True
                break
            record = Path(tempfile.mkdtemp(prefix="trial-"))
            running[_fork(function, folder, record, limits)] = key, record, time.monotonic()
        if not running:
            break
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            key, record, began = running.pop(pid)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # what it started
            yield key, _outcome(record, status, time.monotonic() - began)
            continue
        for pid, (_, _, began) in running.items():
            # Stuck where Python's own alarm is not heard: in C, or in a lock.
            if time.monotonic() - began > limits.seconds + 5:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
        time.sleep(0.005)


def _fork(function: Callable[[], None], folder: Path, record: Path, limits: Limits) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.setpgid(pid, pid)
        return pid
    code = 70
    try:
        os.setpgid(0, 0)
        for number, name in ((1, "out"), (2, "err")):
            file = os.open(record / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
            os.dup2(file, number)
        os.chdir(folder)
        home = record / "home"
        home.mkdir()
        os.environ |= {"HOME": str(home), "TMPDIR": str(record), "XDG_CACHE_HOME": str(home / ".cache")}
        tempfile.tempdir = None
        _restrict(limits)
        faulthandler.enable(2)
        code = _run(function, record, limits)
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _run(function: Callable[[], None], record: Path, limits: Limits) -> int:
    def time_is_up(*_: object) -> None:
        raise _TimeUp

    signal.signal(signal.SIGALRM, time_is_up)
    signal.setitimer(signal.ITIMER_REAL, limits.seconds)
    fault, code = None, 0
    try:
        function()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except _TimeUp:
        fault = f"hang: still at work after {limits.seconds:g} s\n{traceback.format_exc()}"
    except BaseException as error:
        name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
        fault = f"traceback: {name}: {str(error)[:300]}\n{traceback.format_exc()[-3000:]}"
    signal.setitimer(signal.ITIMER_REAL, 0)
    (record / "outcome.json").write_text(json.dumps({"code": code, "fault": fault}))
    return code


def _restrict(limits: Limits) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    space = pages * resource.getpagesize() + limits.bytes + (1 << 30)  # stacks and arenas of threads
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file_bytes, limits.file_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _outcome(record: Path, status: int, seconds: float) -> Outcome:
    out, err = (
        (record / name).read_text(errors="replace") if (record / name).exists() else ""
        for name in ("out", "err")
    )
    found = Outcome(out=out, err=err, seconds=seconds)
    if (record / "outcome.json").exists():
        said = json.loads((record / "outcome.json").read_text())
        found.code, found.fault = said["code"], said["fault"]
    elif os.WIFSIGNALED(status):
        killed_by = signal.Signals(os.WTERMSIG(status)).name
        found.fault = (
            f"hang: killed after {seconds:.0f} s"
            if killed_by == "SIGKILL"
            else f"crash: {killed_by}\n{err[-1500:]}"
        )
    else:
        found.fault = (
            f"crash: it ended by itself with code {os.waitstatus_to_exitcode(status)}\n{err[-1500:]}"
        )
    if found.fault is None:
        found.fault = fault_of_message(found)
    shutil.rmtree(record, ignore_errors=True)
    return found


def fault_of_message(found: Outcome) -> str | None:
    """What is wrong with the exit code or message of a command that ended by itself; None if nothing is."""
    if found.code not in (0, 1, 2):
        return f"exit code {found.code}\n{found.err[-500:]}"
    if "Traceback (most recent call last)" in found.err:
        return f"traceback: printed\n{found.err[-2000:]}"
    if found.code == 0:
        return None
    _, mark, message = found.err.rpartition("error: ")
    if not mark and "Error: " not in found.err:  # click's own, for options
        return f"message: none, with exit code {found.code}\n{found.err[-500:]}"
    message = message or found.err
    if not message.strip():
        return "message: empty"
    if message.count("\n") > LONGEST_MESSAGE or len(message) > LARGEST_MESSAGE:
        return f"message: {message.count(chr(10))} lines, {len(message)} characters\n{message[:300]}"
    return None
