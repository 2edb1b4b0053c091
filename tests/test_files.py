from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import pwd
import stat
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from chromacc_data import files
from chromacc_data.errors import DiskFullError, InputError
from chromacc_data.files import (
    hold_working_folder,
    leftovers,
    locked,
    map_array,
    publish,
    staged,
    user_cache,
    working_folder,
    write_text_atomically,
)


def test_map_array__heads_are_parsed_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paths = [tmp_path / f"{i}.npy" for i in range(8)]
    for i, path in enumerate(paths):
        np.save(path, np.arange(i + 1))
    load, inside, most = np.load, [], []

    def slow_load(path: Path, **options: object) -> np.ndarray:
        inside.append(path)
        most.append(len(inside))
        time.sleep(0.01)
        array = load(path, **options)
        inside.remove(path)
        return array

    monkeypatch.setattr(np, "load", slow_load)
    with ThreadPoolExecutor(4) as pool:
        arrays = list(pool.map(map_array, paths))
    assert max(most) == 1
    assert [array.tolist() for array in arrays] == [list(range(i + 1)) for i in range(8)]
    assert all(isinstance(array.base, np.memmap) for array in arrays)


def test_staged__there_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "a.txt"
    write_text_atomically(path, "one")
    with pytest.raises(UnicodeEncodeError):
        write_text_atomically(path, "two \ud800")
    assert path.read_text() == "one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_staged__full_disk(tmp_path: Path):
    with pytest.raises(DiskFullError, match="the disk is full"), staged(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_working_folder__one_at_a_time(tmp_path: Path):
    path = tmp_path / "new" / "a.tsv"
    with working_folder(path) as folder:
        (folder / "half").touch()
        with pytest.raises(InputError, match="another process"), working_folder(path):
            pass
        assert (folder / "half").exists()
    assert not list(tmp_path.iterdir())  # the parent that was made for it as well


def test_working_folder__empties_what_a_kill_left(tmp_path: Path):
    path = tmp_path / "a"
    with hold_working_folder(path) as folder:
        (folder / "half").touch()
    assert leftovers(path)
    with working_folder(path) as folder:
        assert not (folder / "half").exists()
    assert not leftovers(path)


def test_working_folder__under_a_file(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write here"), working_folder(tmp_path / "file" / "a"):
        pass


def _add_one(path: Path, n: int) -> None:
    for _ in range(n):
        with working_folder(path.with_name("counter"), wait=True):
            number = int(path.read_text())
            write_text_atomically(path, str(number + 1))


@pytest.mark.parametrize("flock", [True, False])
def test_working_folder__processes_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flock: bool):
    if not flock:
        monkeypatch.setattr(fcntl, "flock", _no_flock)
        monkeypatch.setattr(files, "_POLL", 0.001)
    path = tmp_path / "number"
    path.write_text("0")
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: _add_one(path, 10), range(3)))
    assert path.read_text() == "30"
    assert [entry.name for entry in tmp_path.iterdir()] == ["number"]


def _no_flock(*_: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def test_locked__without_flock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fcntl, "flock", _no_flock)
    path = tmp_path / "lock"
    with (
        locked(path, wait=False),
        pytest.raises(InputError, match="another process") as caught,
        locked(path, wait=False),
    ):
        pass
    assert f"process {os.getpid()}" in str(caught.value)
    process = multiprocessing.get_context("fork").Process(target=int)
    process.start()
    process.join()
    owner = path.with_name("lock.owner")
    owner.write_text(f"{os.uname().nodename} {process.pid}\n")
    with locked(path, wait=False):  # its process is gone
        assert str(os.getpid()) in owner.read_text()
    assert not owner.exists()


@pytest.mark.parametrize("exchange", [True, False])
def test_publish__folder_over_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool):
    if not exchange:
        monkeypatch.setattr(files, "_find_renameat2", lambda: None)
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "content").write_text(name)
    with pytest.raises(InputError, match="exists already"):
        publish(tmp_path / "new", tmp_path / "old", overwrite=False)
    publish(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old" / "content").read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["old"]
    publish(tmp_path / "old", tmp_path / "third", overwrite=False)
    assert [entry.name for entry in tmp_path.iterdir()] == ["third"]


def test_user_cache__of_a_user_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def no_home(*_: object) -> str:
        raise KeyError("uid not found")

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", no_home)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert user_cache() == tmp_path / f"chromacc-{os.getuid()}"
    assert stat.S_IMODE(user_cache().stat().st_mode) == 0o700
    # What another user has put there is not trusted.
    monkeypatch.setattr(os, "getuid", lambda: 4321)
    (tmp_path / "chromacc-4321").mkdir()
    with pytest.raises(InputError, match="another user's"):
        user_cache()
    # Nowhere at all.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(InputError, match="no place for a cache") as caught:
        user_cache()
    assert "XDG_CACHE_HOME" in caught.value.remedy
