"""Files that are there whole or not at all: locks, staged writing, publishing, full disks, checksums, gzip.

Every output goes the same way: it is written in a working folder ``NAME.partial`` next to its final name,
which one process at a time may hold, and renamed when it is whole.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import gzip
import hashlib
import logging
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import IO

import numpy as np
import platformdirs

from chromacc_data.errors import DiskFullError, InputError, NotWritableError

__all__ = [
    "GZIP_MAGIC",
    "disk_errors",
    "empty_working_folder",
    "file_digest",
    "hold_working_folder",
    "leftovers",
    "locked",
    "map_array",
    "name_working_folder",
    "open_unpacked",
    "publish",
    "recover",
    "remove_working_folder",
    "staged",
    "user_cache",
    "working_folder",
    "writable_home",
    "write_text_atomically",
]

LOG = logging.getLogger("chromacc")

# numpy parses the head of a file as Python, and Python 3.11 may fail where threads parse side by side:
# "AST constructor recursion depth mismatch" (python/cpython#106905).
_PARSING = threading.Lock()

_BLOCK = 1 << 20

#: First bytes of a gzip file.
GZIP_MAGIC = b"\x1f\x8b"

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: What the libraries say of a full disk where they give no number: numpy, HDF5, Arrow.
_FULL_TEXTS = ("requested and", *(f"errno {number}" for number in _FULL), *(f"errno = {n}" for n in _FULL))

_PARTIAL_SUFFIX = ".partial"
_REPLACED_SUFFIX = ".replaced"
_LOCK = "lock"
_LOCKS = (_LOCK, "lock.owner")

#: flock on a file system that has none.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_BUSY = (errno.EWOULDBLOCK, errno.EACCES)
_POLL = 0.2  # seconds between two looks at a lock without flock

#: Flags of renameat2(2).
_NOREPLACE, _EXCHANGE = 1, 2
_AT_FDCWD = -100


def write_text_atomically(path: Path, text: str) -> None:
    """Write a small text file (UTF-8) so that it is there whole or not at all."""
    with staged(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def map_array(path: Path) -> np.ndarray:
    """Array of a .npy file, left on disk and read as it is used; may be called in many threads."""
    with _PARSING:
        # A plain array: each slice of numpy's own class of mapped arrays takes several times as long.
        return np.load(path, mmap_mode="r").view(np.ndarray)


@contextmanager
def open_unpacked(path: Path) -> Iterator[IO[bytes]]:
    """A file to read, gzip (and bgzip) unpacked: told by its first bytes, whatever its name."""
    with path.open("rb") as raw:
        packed = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        raw.seek(0)
        with gzip.open(raw) if packed else raw as file:
            yield file


def file_digest(path: Path, *, fresh: bool = False) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits.

    Parameters
    ----------
    path
        The file; read in blocks.
    fresh
        Read it even where this process has read it before, and its inode, size and time are still the same.

    Raises
    ------
    InputError
        For a file that cannot be read.
    """
    try:
        status = path.stat()
        digest = _digest.__wrapped__ if fresh else _digest
        return digest(path.absolute(), status.st_ino, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise InputError(
            "cannot be read", where=path, found=error.strerror, remedy="check the file"
        ) from error


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk into a DiskFullError that says what to do."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        number = getattr(error, "errno", None)
        if number not in _FULL and not any(text in str(error) for text in _FULL_TEXTS):
            raise
        too_large = number == errno.EFBIG or os.strerror(errno.EFBIG) in str(error)
        limited = " or a file is larger than allowed (ulimit -f)" if too_large else ""
        raise DiskFullError(
            f"the disk is full{limited}",
            where=path,
            found=getattr(error, "strerror", None) or str(error).splitlines()[0],
            remedy="free some space, then run the same command again to resume",
        ) from error


@contextmanager
def locked(path: Path, *, wait: bool, what: str = "output", where: Path | None = None) -> Iterator[None]:
    """Hold a lock file against other processes and threads; the system releases it when a process dies.

    On a file system without flock(2), the lock is a second file next to `path` that names its owner.

    Parameters
    ----------
    path
        The lock file, made when it is not there.
    wait
        Wait for whoever holds it; otherwise that is an error.
    what, where
        What is locked, for messages: a noun, and its path.

    Raises
    ------
    InputError
        If another process holds it, or the file cannot be written.
    """
    where = where or path
    while True:
        with _open_lock(path, where) as file, _held(file, path, wait=wait, what=what, where=where):
            # Who held the lock before may have finished, and removed the file, since this opened it.
            if _is_at(file, path):
                yield
                return


@contextmanager
def working_folder(
    path: Path, *, wait: bool = False, hidden: bool = False, what: str = "output"
) -> Iterator[Path]:
    """Lock and enter the working folder of an output; removed at the end, unless the process is killed.

    What a killed process left in it is removed first. Parents that are missing are made; they are removed
    again when nothing was published in them.

    Parameters
    ----------
    path
        Final name of the output.
    wait
        Wait for another process that writes the same output; otherwise that is an error.
    hidden
        Begin the name with a dot.
    what
        A noun for the output, for messages.
    """
    folder = name_working_folder(path, hidden=hidden)
    with hold_working_folder(path, wait=wait, hidden=hidden, what=what):
        recover(path)
        empty_working_folder(folder)
        try:
            yield folder
        finally:
            remove_working_folder(folder)


@contextmanager
def hold_working_folder(
    path: Path, *, wait: bool = False, hidden: bool = False, what: str = "output"
) -> Iterator[Path]:
    """As :func:`working_folder`, but what is in the folder stays, before and after."""
    folder = name_working_folder(path, hidden=hidden)
    missing = [parent for parent in folder.parents if not parent.exists()]
    try:
        with ExitStack() as stack:
            while True:
                _make_folder(folder)
                with suppress(FileNotFoundError):  # the folder was removed since the line above
                    stack.enter_context(locked(folder / _LOCK, wait=wait, what=what, where=path))
                    break
            yield folder
    finally:
        for empty in (folder, *missing):
            with suppress(OSError):  # not empty: something was published, or is left for the next run
                empty.rmdir()


def name_working_folder(path: Path, *, hidden: bool = False) -> Path:
    """Name of the working folder of an output."""
    return path.with_name(f"{'.' if hidden else ''}{path.name}{_PARTIAL_SUFFIX}")


def empty_working_folder(folder: Path) -> None:
    """Remove what is in a working folder that this process holds."""
    for entry in folder.iterdir():
        if entry.name not in _LOCKS:
            _remove(entry)


def remove_working_folder(folder: Path) -> None:
    """Remove a working folder that this process holds; the lock goes last, so that nobody enters before."""
    with suppress(OSError):
        empty_working_folder(folder)
        (folder / _LOCK).unlink()
        folder.rmdir()


@contextmanager
def staged(path: Path, *, wait: bool = True, overwrite: bool = True) -> Iterator[Path]:
    """Path to write a file or folder to, which then gets its final name `path`; on an error there is none.

    Two processes that write the same `path` do so one after the other.

    Raises
    ------
    DiskFullError
        If the disk is full.
    InputError
        If the folder cannot be written, or `path` exists and is not to be overwritten.
    """
    with disk_errors(path), working_folder(path, wait=wait) as folder:
        temporary = folder / path.name
        yield temporary
        publish(temporary, path, overwrite=overwrite)


def user_cache() -> Path:
    """Folder for what can be made again: ``XDG_CACHE_HOME`` or ``~/.cache``, ``chromacc``.

    A user without a home, as in many containers, has it among the temporary files.

    Raises
    ------
    InputError
        If there is no place for it.
    """
    try:
        return platformdirs.user_cache_path("chromacc")
    except RuntimeError:
        pass
    remedy = "set XDG_CACHE_HOME to a folder that you may write to"
    try:
        folder = Path(tempfile.gettempdir()) / f"chromacc-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise InputError("no place for a cache", found=error.strerror, remedy=remedy) from error
    if folder.stat().st_uid != os.getuid():
        raise InputError("the cache is another user's", where=folder, remedy=remedy)
    return folder


@contextmanager
def writable_home() -> Iterator[None]:
    """Where the home folder cannot be written, let a temporary one stand in: Kipoi writes there on import."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111  (Path.home raises where there is none)
    try:
        (home / ".kipoi").mkdir(exist_ok=True)
    except OSError:
        pass
    else:
        yield
        return
    before = os.environ.get("HOME")
    with tempfile.TemporaryDirectory(prefix="chromacc-home-") as folder:
        os.environ["HOME"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["HOME"]
            else:
                os.environ["HOME"] = before


def publish(finished: Path, path: Path, *, overwrite: bool = True) -> None:
    """Give a finished file or folder its final name, atomically replacing what is there.

    Whoever has the old one open keeps it, or gets an error: never a part of each.

    Raises
    ------
    InputError
        If `path` exists and is not to be overwritten.
    """
    if finished.is_file():
        with finished.open("rb") as file:
            os.fsync(file.fileno())
    if not overwrite:
        try:
            _rename_new(finished, path)
        except (FileExistsError, NotADirectoryError) as error:
            raise InputError(
                "exists already", where=path, remedy="name another output, or delete it"
            ) from error
    elif finished.is_file() and not path.is_dir():
        finished.replace(path)
    elif not os.path.lexists(path):
        finished.rename(path)
    else:
        _exchange(finished, path)


def recover(path: Path) -> None:
    """Undo a kill in the middle of :func:`publish` where folders cannot be exchanged in one step."""
    replaced = path.with_name(path.name + _REPLACED_SUFFIX)
    if replaced.exists() and not path.exists():
        replaced.rename(path)
    _remove(replaced)


def leftovers(path: Path) -> bool:
    """Whether a killed process left something next to an output."""
    return name_working_folder(path).exists() or path.with_name(path.name + _REPLACED_SUFFIX).exists()


@lru_cache(maxsize=4096)
def _digest(path: Path, inode: int, size: int, mtime_ns: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _make_folder(folder: Path) -> None:
    try:
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _open_lock(path: Path, where: Path) -> IO[bytes]:
    try:
        with disk_errors(where):
            return path.open("ab")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> NotWritableError:
    return NotWritableError(
        "cannot write here",
        where=path.parent,
        found=error.strerror,
        remedy="name an output in a folder that you may write to",
    )


@contextmanager
def _held(file: IO[bytes], path: Path, *, wait: bool, what: str, where: Path) -> Iterator[None]:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            with _held_by_name(path, wait=wait, what=what, where=where):
                yield
            return
        if error.errno not in _BUSY:
            raise
        if not wait:
            raise InputError(
                f"another process is writing this {what}",
                where=where,
                remedy="wait until it has finished, or stop it",
            ) from None
        LOG.info("%s: waiting for another process that writes it", where)
        fcntl.flock(file, fcntl.LOCK_EX)
    yield


@contextmanager
def _held_by_name(path: Path, *, wait: bool, what: str, where: Path) -> Iterator[None]:
    """A lock without flock: whoever makes the file has it. One whose process on this host is gone is free."""
    owner = path.with_name(path.name + ".owner")
    while True:
        try:
            with owner.open("x", encoding="utf-8") as file:
                file.write(f"{socket.gethostname()} {os.getpid()}\n")
            break
        except FileExistsError:
            holder = _read_owner(owner)
            if holder is not None and _is_gone(*holder):
                owner.unlink(missing_ok=True)
            elif wait:
                time.sleep(_POLL)
            else:
                raise InputError(
                    f"another process is writing this {what}",
                    where=where,
                    found="process {1} on {0}".format(*holder) if holder else "a lock without an owner",
                    remedy=f"wait until it has finished; if it no longer runs, delete {owner}",
                ) from None
    try:
        yield
    finally:
        owner.unlink(missing_ok=True)


def _read_owner(path: Path) -> tuple[str, int] | None:
    try:
        host, process = path.read_text(encoding="utf-8").split()
        return host, int(process)
    except (OSError, ValueError):
        return None


def _is_gone(host: str, process: int) -> bool:
    if host != socket.gethostname():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _rename_new(source: Path, target: Path) -> None:
    """Rename to a name that must be free."""
    try:
        _renameat2(source, target, _NOREPLACE)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EINVAL):
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        source.rename(target)


def _exchange(finished: Path, path: Path) -> None:
    """Swap a finished folder with what has its name, and remove the old one."""
    try:
        _renameat2(finished, path, _EXCHANGE)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EINVAL):
            raise
        # A folder cannot be renamed over another here: `recover` undoes a kill between the two renames.
        replaced = path.with_name(path.name + _REPLACED_SUFFIX)
        _remove(replaced)
        path.rename(replaced)
        finished.rename(path)
        _remove(replaced)
    else:
        _remove(finished)


def _renameat2(source: Path, target: Path, flags: int) -> None:
    function = _find_renameat2()
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if function(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(source), None, str(target))


@cache
def _find_renameat2() -> object:
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return function
