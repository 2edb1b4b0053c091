"""Calls in a process of their own, for libraries that crash on a bad file or a full disk (HDF5, bigWig)."""

from __future__ import annotations

import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from chromacc_data.errors import InputError

__all__ = ["CHECK_THE_DISK", "call_in_child", "require_readable"]

#: Remedy where a library crashes while it writes.
CHECK_THE_DISK = "check the free space and the largest size of a file (ulimit -f), then run the command again"

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
    """Result of a function that is called in a fresh process.

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
    result, sent = os.pipe()
    with os.fdopen(result, "rb") as answers:
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", _START],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=(sent,),
            )
        finally:
            os.close(sent)
        try:
            # The pipe stays open while this process lives: its end ends the child.
            pickle.dump(sys.path, process.stdin)
            pickle.dump((sent, cpu_seconds, function, arguments), process.stdin)
            process.stdin.flush()
            answer = answers.read()
        except BrokenPipeError:
            answer = b""
        except BaseException:
            process.kill()
            raise
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()
            code = process.wait()
    if not answer:
        raise InputError("the program that handles this file " + _cause(code), where=file, remedy=remedy)
    failed, value = pickle.loads(answer)
    if failed:
        raise value
    return value


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
    """What the child runs: call the function that comes by standard input, and send its result."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to end
    sent, cpu_seconds, function, arguments = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if cpu_seconds is not None:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    try:
        answer = (False, function(*arguments))
    except Exception as error:  # raised again in the parent
        answer = (True, error)
    with os.fdopen(sent, "wb") as file:
        file.write(_pickled(answer))
    os._exit(0)  # the library may crash once more while Python ends


def _pickled(answer: tuple[bool, Any]) -> bytes:
    try:
        whole = pickle.dumps(answer)
        pickle.loads(whole)  # some errors cannot be made again
    except Exception:
        _, value = answer
        return pickle.dumps((True, RuntimeError(f"{type(value).__name__}: {value}")))
    return whole


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)
