from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
import psutil
import pytest
from tqdm import tqdm

from chromacc_data.engine import _THREADS, Engine
from chromacc_data.errors import InputError


def _square(n: int) -> int:
    return n * n


def _refuse(n: int) -> int:
    raise InputError("no", found=n)


@pytest.mark.parametrize("engine", [Engine(workers=1), Engine(workers=2), Engine(workers=2, processes=True)])
def test_run__results_in_order_and_bar_moves(engine: Engine):
    bar = tqdm(total=15, disable=False, leave=False)
    tasks = [dask.delayed(_square)(n) for n in range(6)]
    assert engine.run(tasks, weights=range(6), bar=bar) == [0, 1, 4, 9, 16, 25]
    assert bar.n == 15
    bar.close()


def test_run__nothing():
    assert Engine().run([]) == []


@pytest.mark.parametrize("processes", [False, True])
def test_run__error_of_a_task_is_raised_as_it_was(processes: bool):
    with pytest.raises(InputError, match="no") as caught:
        Engine(workers=2, processes=processes).run([dask.delayed(_refuse)(7)])
    assert caught.value.found == 7


def _numba_threads(_: int) -> tuple[str | None, int]:
    import numba

    return os.environ.get("NUMBA_NUM_THREADS"), numba.config.NUMBA_NUM_THREADS


def _blas_threads() -> str | None:
    return os.environ.get("OMP_NUM_THREADS")


@pytest.mark.parametrize("threads", [None, 3])
def test_run__processes_share_the_processors(monkeypatch: pytest.MonkeyPatch, threads: int | None):
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    before = {name: os.environ.get(name) for name in _THREADS}
    engine = Engine(workers=2, processes=True, threads=threads)
    n = threads or max(1, os.cpu_count() // 2)
    assert engine.run([dask.delayed(_numba_threads)(i) for i in range(2)]) == [(str(n), n)] * 2
    assert {name: os.environ.get(name) for name in _THREADS} == before
    # What the user's environment says comes before the share, and `threads` before that.
    assert engine.run([dask.delayed(_blas_threads)()]) == [str(threads or 5)]


def _finish_late(path: Path) -> None:
    time.sleep(0.3)
    path.touch()


def test_run__no_task_runs_on_after_an_error(tmp_path: Path):
    late = tmp_path / "late"
    tasks = [dask.delayed(_finish_late)(late), dask.delayed(_refuse)(1)]
    with pytest.raises(InputError):
        Engine(workers=2).run(tasks)
    assert late.exists()  # it had begun, and was waited for


def write_process_id_and_wait(path: Path) -> None:
    path.write_text(str(os.getpid()))
    time.sleep(300)


def test_run__workers_end_with_a_parent_that_is_killed(tmp_path: Path):
    script = """
        import dask, sys
        from pathlib import Path
        from chromacc_data.engine import _THREADS, Engine
        from test_engine import write_process_id_and_wait as wait

        if __name__ == "__main__":
            files = [Path(sys.argv[1]) / "1", Path(sys.argv[1]) / "2"]
            Engine(workers=2, processes=True).run([dask.delayed(wait)(file) for file in files])
    """
    (tmp_path / "script.py").write_text(textwrap.dedent(script))
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "script.py", tmp_path], env={**os.environ, "PYTHONPATH": path}
    )
    files = [tmp_path / "1", tmp_path / "2"]
    deadline = time.monotonic() + 60
    try:
        while not all(file.exists() and file.read_text() for file in files):
            assert parent.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        workers = psutil.Process(parent.pid).children(recursive=True)
        parent.kill()
        parent.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    for process in alive:
        process.kill()
    assert not alive


def test_run__unreachable_scheduler():
    with pytest.raises(InputError, match="cannot reach the dask scheduler"):
        Engine(scheduler="not-an-address").run([dask.delayed(_square)(1)])


@contextmanager
def _listener(says: bytes | None) -> Iterator[str]:
    """Accepts one connection, says something (None: nothing, and waits), and gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                if says is None:
                    connection.recv(1)  # until the other side hangs up
                else:
                    connection.sendall(says)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        thread.join(10)


@pytest.mark.parametrize(
    ("says", "found"),
    [
        (None, "no answer within 0.5 s"),
        (b"", "it closed the connection"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not a dask scheduler: it says b'SSH-2.0-OpenSSH"),
    ],
)
def test_run__somebody_else_listens(says: bytes | None, found: str):
    with _listener(says) as address, pytest.raises(InputError, match="cannot reach the dask sch") as caught:
        Engine(scheduler=address, timeout=0.5).run([dask.delayed(_square)(1)])
    assert found in caught.value.found
    assert "dask worker" in caught.value.remedy


def test_run__scheduler_without_workers():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster:
        engine = Engine(scheduler=cluster.scheduler_address, timeout=1)
        with pytest.raises(InputError, match="cannot reach the dask scheduler") as caught:
            engine.run([dask.delayed(_square)(1)])
    assert "a scheduler without workers" in caught.value.found


def test_engine__no_workers():
    with pytest.raises(InputError, match="workers below 1"):
        Engine(workers=0)
