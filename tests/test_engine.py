from __future__ import annotations

import time
from pathlib import Path

import dask
import pytest
from tqdm import tqdm

from chromacc_data.engine import Engine
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


def _finish_late(path: Path) -> None:
    time.sleep(0.3)
    path.touch()


def test_run__no_task_runs_on_after_an_error(tmp_path: Path):
    late = tmp_path / "late"
    tasks = [dask.delayed(_finish_late)(late), dask.delayed(_refuse)(1)]
    with pytest.raises(InputError):
        Engine(workers=2).run(tasks)
    assert late.exists()  # it had begun, and was waited for


def test_run__unreachable_scheduler():
    with pytest.raises(InputError, match="cannot reach the dask scheduler"):
        Engine(scheduler="not-an-address").run([dask.delayed(_square)(1)])


def test_engine__no_workers():
    with pytest.raises(InputError, match="workers below 1"):
        Engine(workers=0)
