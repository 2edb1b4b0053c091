"""Calls in a process of their own, for libraries that crash on a bad file or a full disk (HDF5, bigWig)."""

from __future__ import annotations

import atexit
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from chromacc_data.errors import InputError

__all__ = ["CHECK_THE_DISK", "call_in_child", "require_readable"]

#: Remedy where a library crashes while it writes.
CHECK_THE_DISK = "check the free space and the largest size of a file (ulimit -f), then run the command again"

_POLL = 0.2  # seconds between two looks at the parent

#: Processor seconds after which a child that reads the head of a file is taken to hang.
_CPU_SECONDS = 10

_START = """
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from chromacc_data.child import main
main()
"""


def call_in_child(
    function: Callable[..., Any], *arguments: Any, file: Path, remedy: str, cpu_seconds: int | None = None
) -> Any:
    """Result of a function that is called in another process.

    The process is kept for the next call, so that its imports are done once; one that dies is replaced.

    Parameters
    ----------
    function
        A function of a module, which takes and gives what can be pickled.
    arguments
        Its arguments.
    file
        The file that it reads or writes, for messages.
    remedy
        What to do when the process dies.
    cpu_seconds
        Processor time that it may take; as much as it needs when not given.

    Raises
    ------
    InputError
        If the process dies by a signal or takes too long. An error of the function is raised as it was.
    """
    child = _take_child()
    try:
        answer = child.call(_Task(function, arguments, cpu_seconds))
    except BaseException:
        child.kill()
        raise
    if answer is None:
        code = child.wait()
        raise InputError("the program that handles this file " + _cause(code), where=file, remedy=remedy)
    _IDLE.append(child)
    failed, value = answer
    if failed:
        raise value
    return value


class _Task:
    """A call, and what of this process it depends on: working folder, environment, largest file."""

    def __init__(self, function: Callable[..., Any], arguments: tuple, cpu_seconds: int | None) -> None:
        self.function, self.arguments, self.cpu_seconds = function, arguments, cpu_seconds
        self.folder, self.environment = os.getcwd(), dict(os.environ)  # noqa: PTH109
        self.file_size = resource.getrlimit(resource.RLIMIT_FSIZE)[0]

    def run(self) -> Any:
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update(self.environment)
        _limit(resource.RLIMIT_FSIZE, self.file_size)
        spent = resource.getrusage(resource.RUSAGE_SELF)
        used = int(spent.ru_utime + spent.ru_stime) + 1
        limit = resource.RLIM_INFINITY if self.cpu_seconds is None else used + self.cpu_seconds
        _limit(resource.RLIMIT_CPU, limit)
        return self.function(*self.arguments)


class _Child:
    """A process that calls functions, one after the other, and sends what they give."""

    def __init__(self) -> None:
        result, sent = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=(sent,),
            )
        finally:
            os.close(sent)
        self._answers = os.fdopen(result, "rb")
        with suppress(BrokenPipeError):  # a child that died at once is found by its first call
            pickle.dump(sys.path, self._process.stdin)
            pickle.dump(sent, self._process.stdin)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def call(self, task: _Task) -> tuple[bool, Any] | None:
        """Whether the function failed, and its result or error; None where the process died."""
        try:
            pickle.dump(task, self._process.stdin)
            self._process.stdin.flush()
            return pickle.load(self._answers)
        except (BrokenPipeError, EOFError, pickle.UnpicklingError):
            return None

    def kill(self) -> None:
        self._process.kill()
        self.wait()

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        self._answers.close()
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        return self._process.wait()


#: Children that wait for a call.
_IDLE: list[_Child] = []


def _take_child() -> _Child:
    while True:
        try:
            child = _IDLE.pop()
        except IndexError:
            return _Child()
        if child.is_alive:
            return child
        child.wait()


def _end_children() -> None:
    while _IDLE:
        _IDLE.pop().kill()


atexit.register(_end_children)
# A process that was forked must not use the pipes of its parent.
os.register_at_fork(after_in_child=_IDLE.clear)


def _limit(kind: int, soft: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (soft, hard))


def require_readable(path: Path, read: Callable[[Path], Any], *, remedy: str) -> None:
    """Try `read` on a file in a child first, once for each state of the file: it may crash the process.

    Raises
    ------
    InputError
        If it crashes or hangs. Errors that `read` raises are left to whoever reads the file afterwards.
    """
    try:
        status = path.stat()
    except OSError:
        return
    _try_once(path.absolute(), status.st_ino, status.st_size, status.st_mtime_ns, read, remedy)


@lru_cache(maxsize=256)
def _try_once(
    path: Path, inode: int, size: int, mtime_ns: int, read: Callable[[Path], Any], remedy: str
) -> None:
    call_in_child(_quietly, read, path, file=path, remedy=remedy, cpu_seconds=_CPU_SECONDS)


def _quietly(read: Callable[[Path], Any], path: Path) -> None:
    try:
        read(path)
    except Exception:  # raised again by whoever reads the file in earnest
        return


def _cause(code: int) -> str:
    if code == -signal.SIGXCPU:
        return f"did not come to an end within {_CPU_SECONDS} s"
    if code < 0:
        return f"crashed ({signal.Signals(-code).name})"
    return f"ended with code {code}"


def main() -> None:
    """What the child runs: the calls that come by standard input, until that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to end
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    with os.fdopen(pickle.load(sys.stdin.buffer), "wb") as file:
        while True:
            try:
                task = pickle.load(sys.stdin.buffer)
            except EOFError:
                break
            try:
                answer = (False, task.run())
            except Exception as error:  # raised again in the parent
                answer = (True, error)
            file.write(_pickled(answer))
            file.flush()
    os._exit(0)  # the library may crash once more while Python ends


def _pickled(answer: tuple[bool, Any]) -> bytes:
    try:
        whole = pickle.dumps(answer)
        pickle.loads(whole)  # some errors cannot be made again
    except Exception:
        _, value = answer
        return pickle.dumps((True, RuntimeError(f"{type(value).__name__}: {value}")))
    return whole


def _end_with_parent(parent: int) -> None:
    """End in the middle of a call when the parent is killed: its next run writes to the same place."""
    while os.getppid() == parent:
        time.sleep(_POLL)
    os._exit(1)
