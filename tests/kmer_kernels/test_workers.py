"""Threads and memory of the kernels."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from chromacc_models.kmer_kernels import workers
from chromacc_models.kmer_kernels.workers import Workspace, Workspaces, in_parallel, one_blas_thread, runs_of


@given(st.integers(0, 10_000), st.integers(1, 100))
def test_runs_of__cover_all_once(n, n_runs):
    found = runs_of(n, n_runs)
    assert [i for run in found for i in range(n)[run]] == list(range(n))
    assert len(found) <= n_runs


def test_in_parallel__every_task_once(monkeypatch):
    monkeypatch.setattr(workers, "n_threads", lambda: 4)
    done = []
    in_parallel(*(lambda i=i: done.append(i) for i in range(100)))
    assert sorted(done) == list(range(100))


def test_in_parallel__error_of_any_thread(monkeypatch):
    monkeypatch.setattr(workers, "n_threads", lambda: 2)
    both = threading.Barrier(2)

    def fail_in_helper() -> None:
        both.wait(timeout=30)
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("from a helper")

    with pytest.raises(RuntimeError, match="from a helper"):
        in_parallel(fail_in_helper, fail_in_helper)


def test_workspace__keeps_memory_and_grows():
    space = Workspace()
    first = space.array("a", 10, 10)
    assert first.ctypes.data % 64 == 0
    assert np.shares_memory(first, space.array("a", 5, dtype=np.int32))
    assert not np.shares_memory(first, space.array("b", 5))
    assert space.array("a", 1000).shape == (1000,)
    first = space.array("c", 3)
    first[:] = 1
    assert not space.zeros("c", 3).any()


def test_workspaces__one_for_each_pass_at_a_time():
    spaces = Workspaces()
    with spaces.lent() as one, spaces.lent() as two:
        assert one is not two
    with spaces.lent() as again:
        assert again in (one, two)


def test_workspace__knows_what_arrays_were_made_of():
    space = Workspace()
    a, b = np.arange(3.0), np.ones(2)
    assert not space.is_made_of("sum", a, b)
    space.note("sum", a, b)
    assert space.is_made_of("sum", a.copy(), b)
    assert not space.is_made_of("sum", a)
    assert not space.is_made_of("product", a, b)
    a[1] = 7  # a variable that is trained in place
    assert not space.is_made_of("sum", a, b)


def test_one_blas_thread__until_the_last_one_leaves():
    def threads() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    before = threads()
    with one_blas_thread:
        with one_blas_thread:
            assert threads() == {1}
        assert threads() == {1}
    assert threads() == before
