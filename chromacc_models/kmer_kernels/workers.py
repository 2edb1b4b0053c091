"""Threads and memory for kernels that release the GIL."""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

import numba
import numpy as np
from threadpoolctl import ThreadpoolController

__all__ = ["Workspace", "Workspaces", "in_parallel", "n_threads", "one_blas_thread", "runs_of"]

_CACHE_LINE_BYTES = 64
_SMALLEST_RUN = 32  # windows or filters: a task of fewer costs more to start than to do


class Workspace:
    """Arrays of one pass, by name, that the next pass uses again.

    Pages that are fresh from the system cost more than what is computed in them.
    """

    def __init__(self) -> None:
        self._memory: dict[str, np.ndarray] = {}
        self._made_of: dict[str, list[np.ndarray]] = {}

    def array(self, name: str, *shape: int, dtype: np.typing.DTypeLike = np.float32) -> np.ndarray:
        """An array of any content. It begins at a cache line: a vector across two is read at half speed."""
        n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        memory = self._memory.get(name)
        if memory is None or memory.size < n_bytes:
            raw = np.empty(n_bytes + _CACHE_LINE_BYTES, np.uint8)
            memory = self._memory[name] = raw[-raw.ctypes.data % _CACHE_LINE_BYTES :]
        return memory[:n_bytes].view(dtype).reshape(shape)

    def zeros(self, name: str, *shape: int) -> np.ndarray:
        """The same, float32 zeros."""
        array = self.array(name, *shape)
        array.fill(0)
        return array

    def is_made_of(self, name: str, *inputs: np.ndarray) -> bool:
        """Whether what was noted under a name was made of equal arrays, and need not be made again."""
        known = self._made_of.get(name, [])
        return len(known) == len(inputs) and all(map(np.array_equal, known, inputs))

    def note(self, name: str, *inputs: np.ndarray) -> None:
        """Remember what arrays of the workspace were made of; to be called when they are whole."""
        self._made_of[name] = [np.array(array) for array in inputs]


class Workspaces:
    """As many workspaces as there are passes at one time."""

    def __init__(self) -> None:
        self._free: deque[Workspace] = deque()

    @contextmanager
    def lent(self) -> Iterator[Workspace]:
        """A workspace that nobody else has for the time."""
        try:
            space = self._free.pop()
        except IndexError:
            space = Workspace()
        yield space
        self._free.append(space)


def n_threads() -> int:
    """Threads for kernels: the processors of this process, or NUMBA_NUM_THREADS from the environment."""
    return numba.config.NUMBA_NUM_THREADS


def runs_of(n: int, n_runs: int) -> list[slice]:
    """Cut n windows or filters into at most `n_runs` runs of equal size, none very short.

    >>> runs_of(100, 3)
    [slice(0, 34, None), slice(34, 68, None), slice(68, 100, None)]
    """
    size = max(_SMALLEST_RUN, -(-n // n_runs))
    return [slice(start, min(n, start + size)) for start in range(0, n, size)]


class _OneBlasThread:
    """Context in which products of matrices take one thread, whatever number of threads is in it.

    Those of the network's heads are small, and the threads of BLAS wait for each other in a busy loop: with
    threads of kernels, or other work on the machine, that costs more than everything else.
    """

    def __init__(self) -> None:
        self._lock, self._n_inside = threading.Lock(), 0
        self._limited: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._n_inside:
                self._limited = _blas().limit(limits=1, user_api="blas")
            self._n_inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if not self._n_inside:
                self._limited.restore_original_limits()


one_blas_thread = _OneBlasThread()


def in_parallel(*tasks: Callable[[], Any]) -> None:
    """Do all tasks; an error in one of them is raised."""
    # Threads take what is next: `next` of one iterator is atomic under the GIL.
    waiting = iter(tasks)

    def work() -> None:
        for task in waiting:
            task()

    helpers = [_pool(os.getpid()).submit(work) for _ in range(min(n_threads(), len(tasks)) - 1)]
    work()
    for helper in helpers:
        helper.result()


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


@lru_cache
def _pool(process: int) -> ThreadPoolExecutor:
    # By process: threads do not survive a fork.
    return ThreadPoolExecutor(max(1, n_threads() - 1), thread_name_prefix="chromacc-kernels")
