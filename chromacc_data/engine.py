"""Where dask tasks run: local threads, local processes, or a cluster. Never a scheduler of our own."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from chromacc_data.errors import InputError
from chromacc_data.lazy import lazy_module

if TYPE_CHECKING:
    import dask
    import dask.multiprocessing as dask_processes
    import dask.threaded as dask_threads
    from dask import callbacks as dask_callbacks
    from dask.delayed import Delayed
    from tqdm import tqdm
else:
    dask = lazy_module("dask")
    dask_processes = lazy_module("dask.multiprocessing")
    dask_threads = lazy_module("dask.threaded")
    dask_callbacks = lazy_module("dask.callbacks")

__all__ = ["Engine", "delayed"]

#: What numba, TensorFlow and BLAS read their numbers of threads from.
_GREETING_BYTES = 64
_THREADS = ("NUMBA_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Engine:
    """Where dask tasks run.

    Parameters
    ----------
    workers
        Local workers; the number of cores when not given. Ignored with a scheduler.
    processes
        Local processes instead of threads (for work that holds the GIL).
    scheduler
        Address of a running dask scheduler, such as ``tcp://host:8786``. Its workers need chromacc
        and the same file system.
    threads
        Threads of numba and TensorFlow in each local process; when not given, the processors divided by the
        workers, or what the environment says.
    timeout
        Seconds to wait for an answer of the scheduler, and for its first worker.

    Examples
    --------
    >>> import dask, chromacc_data as cd
    >>> cd.Engine(workers=2).run([dask.delayed(pow)(n, 2) for n in range(4)])
    [0, 1, 4, 9]
    """

    workers: int | None = None
    processes: bool = False
    scheduler: str | None = None
    threads: int | None = None
    timeout: float = 30.0

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise InputError("workers below 1", where="--workers", found=self.workers, expected="1 or more")

    @property
    def n_workers(self) -> int:
        """Local workers."""
        return self.workers or os.cpu_count() or 1

    def run(
        self, tasks: Sequence[Delayed], *, weights: Sequence[int] | None = None, bar: tqdm | None = None
    ) -> list[Any]:
        """Results of the tasks, in their order.

        Parameters
        ----------
        tasks
            Independent delayed calls; each should return something small.
        weights
            By how much each finished task moves the bar; 1 when not given.
        bar
            Progress bar to move.

        Raises
        ------
        InputError
            If the scheduler cannot be reached. An error of a task is raised as it was.
        """
        tasks = list(tasks)
        if not tasks:
            return []
        steps = dict(zip((task.key for task in tasks), weights or [1] * len(tasks), strict=True))

        def finished(key: object) -> None:
            if bar is not None:
                bar.update(steps.get(key, 0))

        if self.scheduler is not None:
            return self._run_on_cluster(tasks, finished)
        # dask raises at the first failed task and leaves the others running: a pool of our own is waited for,
        # so that no task writes after this has returned.
        pool = None if self.processes else ThreadPoolExecutor(self.n_workers)
        # dask gives a process six tasks at a time, which leaves others idle when tasks are few and long.
        where = {"initializer": _end_with_parent, "chunksize": 1} if self.processes else {"pool": pool}
        surroundings = self._threads_of_processes() if self.processes else pool
        with dask_callbacks.Callback(posttask=lambda key, *_: finished(key)), surroundings:
            return list(
                dask.compute(
                    *tasks,
                    # By name, dask would import distributed to see whether a client is about.
                    scheduler=dask_processes.get if self.processes else dask_threads.get,
                    num_workers=self.n_workers,
                    optimize_graph=False,
                    **where,
                )
            )

    @contextmanager
    def _threads_of_processes(self) -> Iterator[None]:
        """Say how many threads a process has, in the environment that those started now inherit."""
        share = self.threads or max(1, (os.cpu_count() or 1) // self.n_workers)
        ours = {name: str(share) for name in _THREADS if self.threads is not None or name not in os.environ}
        before = {name: os.environ.get(name) for name in ours}
        os.environ.update(ours)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    def _require_scheduler(self) -> None:
        """Look at who answers: distributed itself waits without end for a listener that says nothing."""
        try:
            address = urllib.parse.urlsplit(self.scheduler)
            host, port = address.hostname, address.port
        except ValueError as error:
            raise self._no_scheduler(str(error)) from error
        if address.scheme != "tcp":
            return  # tls and others begin in their own way
        if host is None or port is None:
            raise self._no_scheduler("an address without host or port")
        try:
            greeting = _greeting(host, port, self.timeout)
        except TimeoutError as error:
            raise self._no_scheduler(f"no answer within {self.timeout:g} s") from error
        except OSError as error:
            raise self._no_scheduler(error.strerror or str(error)) from error
        if b"compression" not in greeting and b"pickle-protocol" not in greeting:
            said = f"it says {greeting[:20]!r}" if greeting else "it closed the connection"
            raise self._no_scheduler(f"not a dask scheduler: {said}")

    def _no_scheduler(
        self,
        found: str,
        *,
        remedy: str = "start one with `dask scheduler`, and workers with `dask worker SCHEDULER`",
    ) -> InputError:
        return InputError(
            "cannot reach the dask scheduler",
            where="--scheduler",
            found=f"{self.scheduler} ({found})",
            expected="tcp://HOST:PORT of a running scheduler",
            remedy=remedy,
        )

    def _run_on_cluster(self, tasks: list[Delayed], finished: Any) -> list[Any]:
        from distributed import Client, as_completed

        self._require_scheduler()
        try:
            client = Client(self.scheduler, timeout=self.timeout, set_as_default=False)
        except (OSError, ValueError) as error:
            raise self._no_scheduler(str(error)) from error
        with client:
            try:
                client.wait_for_workers(1, timeout=self.timeout)
            except TimeoutError as error:
                raise self._no_scheduler(
                    f"a scheduler without workers: none came within {self.timeout:g} s",
                    remedy="start workers with `dask worker SCHEDULER` before the command",
                ) from error
            futures = client.compute(tasks, optimize_graph=False)
            for future in as_completed(futures, loop=client.loop):
                future.result()  # raises the error of a failed task at once
                finished(future.key)
            return client.gather(futures)


def delayed(function: Callable, *arguments: object) -> Delayed:
    """A task of dask."""
    # The arguments hold no dask objects: looking for them would walk through every array and list of names.
    return dask.delayed(partial(function, *arguments), pure=False, traverse=False)()


def _greeting(host: str, port: int, timeout: float) -> bytes:
    """First bytes that a server sends by itself; a dask scheduler does so at once."""
    with socket.create_connection((host, port), timeout=timeout) as connection:
        return connection.recv(_GREETING_BYTES)


def _end_with_parent() -> None:
    """End this worker when the process that started it is killed: it would hold its run for hours."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)  # as when the worker is killed itself, which all that is written has to survive

    threading.Thread(target=wait, name="chromacc-parent", daemon=True).start()
