"""Batches of a store as data sets of TensorFlow and of PyTorch, imported when they are asked for."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import multiprocessing
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from chromacc_data.errors import InputError
from chromacc_data.lazy import lazy_module
from chromacc_data.sequences.encoding import one_hot as encode_one_hot

if TYPE_CHECKING:
    import dask
    import tensorflow as tf
    import torch

    from chromacc_data.store.batches import Batch, Batches
else:
    dask = lazy_module("dask")
    tf = lazy_module("tensorflow")
    torch = lazy_module("torch")

__all__ = ["tf_dataset", "torch_dataset"]

#: Workers of a torch DataLoader that can count their epochs.
_MOST_WORKERS = 1024


def tf_dataset(batches: Batches, *, one_hot: bool = False) -> tf.data.Dataset:
    """See :meth:`chromacc_data.store.batches.Batches.to_tf`."""
    epochs = itertools.count()
    length, n_cell_types = batches.window_length, len(batches.cell_types)
    signature = (
        tf.TensorSpec((None, length, 4), tf.float32) if one_hot else tf.TensorSpec((None, length), tf.uint8),
        tf.TensorSpec((None, n_cell_types), tf.uint8),
    )

    def one_epoch() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for batch in batches.epoch(next(epochs)):
            yield _inputs(batch, one_hot), batch.labels

    dataset = tf.data.Dataset.from_generator(one_epoch, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(len(batches)))


def torch_dataset(batches: Batches, *, one_hot: bool = False) -> torch.utils.data.IterableDataset:
    """See :meth:`chromacc_data.store.batches.Batches.to_torch`."""
    if importlib.util.find_spec("torch") is None:
        raise InputError("PyTorch is not installed", where="to_torch", remedy='pip install "chromacc[torch]"')
    # Passes of each worker so far: workers may be restarted for each epoch, and this memory stays.
    return _make(batches, one_hot, multiprocessing.RawArray("q", _MOST_WORKERS))


class _TorchBatches:
    """Batches for PyTorch, but for the base class, which is known once PyTorch is imported."""

    def __init__(self, batches: Batches, one_hot: bool, passes: Any) -> None:
        self.batches, self.one_hot, self._passes = batches, one_hot, passes

    def __reduce__(self) -> tuple:
        return _make, (self.batches, self.one_hot, self._passes)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        worker = torch.utils.data.get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        epoch = self._passes[first]
        self._passes[first] += 1
        own = (batch for batch in itertools.islice(self._epoch(epoch, apart=step > 1), first, None, step))
        for batch in own:
            yield torch.from_numpy(_inputs(batch, self.one_hot)), torch.from_numpy(batch.labels)

    def _epoch(self, epoch: int, *, apart: bool) -> Iterator[Batch]:
        if not apart:
            yield from self.batches.epoch(epoch)
            return
        # A forked worker has none of the threads that dask started in its parent, and would wait for them.
        with dask.config.set(scheduler="synchronous"):
            yield from self.batches.epoch(epoch)


def _make(batches: Batches, one_hot: bool, passes: Any) -> torch.utils.data.IterableDataset:
    return _torch_class()(batches, one_hot, passes)


@functools.cache
def _torch_class() -> type:
    return type("TorchBatches", (_TorchBatches, torch.utils.data.IterableDataset), {})


def _inputs(batch: Batch, one_hot: bool) -> np.ndarray:
    return encode_one_hot(batch.codes, dtype=np.float32) if one_hot else batch.codes
