"""Batches as data sets of TensorFlow and PyTorch: the same batches in the same order, epoch by epoch."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import one_hot
from chromacc_data.store import frameworks
from chromacc_data.store.batches import Batches

OPTIONS = {"indices": range(37), "batch_size": 4, "seed": 5, "reverse_complement": "augment"}


@pytest.fixture
def batches(make_store: Callable[..., Path]) -> Batches:
    return Batches(make_store(n_windows=37), **OPTIONS)


def assert_same(found: list, expected: list) -> None:
    assert len(found) == len(expected) > 3
    for (codes, labels), batch in zip(found, expected, strict=True):
        np.testing.assert_array_equal(codes, batch.codes)
        np.testing.assert_array_equal(labels, batch.labels)


def test_to_tf__the_same_batches_in_the_same_order(batches: Batches):
    dataset = batches.to_tf()
    assert len(dataset) == len(batches)
    for epoch in range(3):
        found = [(codes.numpy(), labels.numpy()) for codes, labels in dataset]
        assert_same(found, list(batches.epoch(epoch)))


def test_to_tf__shapes_and_types_are_declared(batches: Batches):
    codes, labels = batches.to_tf().element_spec
    assert (codes.shape.as_list(), codes.dtype.name) == ([None, 12], "uint8")
    assert (labels.shape.as_list(), labels.dtype.name) == ([None, 2], "uint8")
    dataset = batches.to_tf(one_hot=True)
    windows, _ = dataset.element_spec
    assert (windows.shape.as_list(), windows.dtype.name) == ([None, 12, 4], "float32")
    first = next(iter(dataset))[0].numpy()
    np.testing.assert_array_equal(first, one_hot(next(iter(batches)).codes, dtype=np.float32))


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What is used of PyTorch: PyTorch itself, or a stand-in where it is not installed."""
    if importlib.util.find_spec("torch") is not None:
        return pytest.importorskip("torch")
    module, utils, data = (ModuleType(name) for name in ("torch", "torch.utils", "torch.utils.data"))
    module.__spec__ = importlib.machinery.ModuleSpec("torch", None)
    module.utils, utils.data = utils, data
    module.from_numpy = lambda array: array
    data.IterableDataset = type("IterableDataset", (), {})
    data.get_worker_info = lambda: None
    for one in (module, utils, data):
        monkeypatch.setitem(sys.modules, one.__name__, one)
    frameworks._torch_class.cache_clear()
    return module


def arrays(dataset: object) -> list:
    return [(np.asarray(codes), np.asarray(labels)) for codes, labels in dataset]


def of_worker(
    torch: ModuleType, monkeypatch: pytest.MonkeyPatch, dataset: object, worker: int, n: int
) -> list:
    """What one worker of a DataLoader makes in an epoch."""
    info = SimpleNamespace(id=worker, num_workers=n)
    monkeypatch.setattr(torch.utils.data, "get_worker_info", lambda: info)
    return arrays(dataset)


def test_to_torch__the_same_batches_in_the_same_order(batches: Batches, torch: ModuleType):
    dataset = batches.to_torch()
    assert isinstance(dataset, torch.utils.data.IterableDataset)
    assert len(dataset) == len(batches)
    for epoch in range(3):
        assert_same(arrays(dataset), list(batches.epoch(epoch)))
    first = arrays(batches.to_torch(one_hot=True))[0][0]
    np.testing.assert_array_equal(first, one_hot(next(iter(batches)).codes, dtype=np.float32))
    assert first.dtype == np.float32


@pytest.mark.parametrize("n_workers", [2, 3, 20])
def test_to_torch__workers_share_the_batches(
    batches: Batches, torch: ModuleType, monkeypatch: pytest.MonkeyPatch, n_workers: int
):
    dataset = batches.to_torch()
    for epoch in range(2):
        shares = [of_worker(torch, monkeypatch, dataset, i, n_workers) for i in range(n_workers)]
        # A DataLoader takes from its workers in turn.
        found = [share[turn] for turn in range(len(batches)) for share in shares if turn < len(share)]
        assert_same(found, list(batches.epoch(epoch)))


def _pass_in_a_worker(dataset: object, pipe: object) -> None:
    info = SimpleNamespace(id=0, num_workers=2)
    sys.modules["torch.utils.data"].get_worker_info = lambda: info
    pipe.send(arrays(dataset))
    pipe.close()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # as a DataLoader forks on Linux
@pytest.mark.parametrize("memory_limit", [0, 1 << 20])
def test_to_torch__workers_that_are_started_for_each_epoch(
    make_store: Callable[..., Path], torch: ModuleType, memory_limit: int
):
    batches = Batches(make_store(n_windows=37), memory_limit=memory_limit, **OPTIONS)
    dataset = batches.to_torch()
    fork = multiprocessing.get_context("fork")
    for epoch in range(2):
        ours, theirs = fork.Pipe(duplex=False)
        process = fork.Process(target=_pass_in_a_worker, args=(dataset, theirs), daemon=True)
        process.start()
        assert ours.poll(60), "the worker hangs"
        assert_same(ours.recv(), list(batches.epoch(epoch))[::2])
        process.join()


def test_to_torch__is_made_again_in_a_worker_that_is_spawned(batches: Batches, torch: ModuleType):
    dataset = batches.to_torch()
    make, arguments = dataset.__reduce__()
    assert_same(arrays(make(*arguments)), list(batches.epoch(0)))
    assert_same(arrays(dataset), list(batches.epoch(1)))  # they count together


def test_to_torch__without_pytorch(batches: Batches):
    if importlib.util.find_spec("torch") is None:
        with pytest.raises(InputError, match="PyTorch is not installed"):
            batches.to_torch()
