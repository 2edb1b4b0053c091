"""Store to batches of base codes and labels: shuffled, larger than memory, the same by seed and epoch.

A selection that fits into `memory_limit` is kept in memory as base codes, 1 byte a base. A larger one is
streamed: chunks in random order, as many at a time as fill a buffer, whose windows are shuffled. Reading
and shuffling run in a thread ahead of the consumer.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import xarray as xr

from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import codes_from_one_hot, reverse_complement
from chromacc_data.store import schema
from chromacc_data.store.frameworks import tf_dataset, torch_dataset
from chromacc_data.store.read import open_store, read_variable, read_window_block

if TYPE_CHECKING:
    import tensorflow as tf
    import torch

__all__ = ["REVERSE_COMPLEMENT", "Batch", "Batches", "n_folds", "split_indices"]

T = TypeVar("T")

REVERSE_COMPLEMENT = ("none", "augment")

# Streams of random numbers of one epoch: order of the windows, and their strands.
_ORDER, _STRAND = range(2)


class Batch(NamedTuple):
    """Some windows of a store."""

    #: Base codes (window, position), uint8.
    codes: np.ndarray
    #: Accessibility (window, cell_type), uint8.
    labels: np.ndarray


class Batches:
    """Windows of a store in batches; every window exactly once per epoch.

    The batches of an epoch depend on the store, `seed`, the epoch's number and the options below, never on
    timing. The last batch of an epoch may be smaller than the others.

    Parameters
    ----------
    store
        Path of a store, or an open one.
    split
        "train", "validation" or "test".
    fold
        Take the splits of this fold of cross-validation; see :func:`split_indices`.
    indices
        Windows to take instead of those of a split, in any order; they are sorted.
    batch_size
        Windows in a batch.
    shuffle
        Use a new random order in each epoch instead of the order of the store.
    seed
        Seed of order and strands.
    reverse_complement
        "augment" draws a strand for each window in every epoch: half of them are reverse-complemented.
        Epochs stay as long as without, and over the epochs both strands are seen equally often.
    memory_limit
        Bytes; a selection that needs at most this much as base codes and labels is kept in memory.
    buffer_windows
        Windows among which a streamed one is shuffled (at least one chunk).
    prefetch
        Batches made ahead of the consumer; 0 makes them in the consumer's thread.

    Raises
    ------
    InputError
        If the selection is empty, or asks for a fold that the store does not have.

    Examples
    --------
    >>> import chromacc_data as cd
    >>> from chromacc_data.examples import example_store
    >>> batches = cd.Batches(example_store(), split="train", batch_size=50)
    >>> batches
    <Batches: 120 windows of 60 bp in 3 batches, cell types erythroid, liver; in memory>
    >>> for codes, labels in batches.epoch(0):
    ...     print(codes.shape, labels.shape)
    (50, 60) (50, 2)
    (50, 60) (50, 2)
    (20, 60) (20, 2)
    """

    def __init__(
        self,
        store: Path | str | xr.Dataset,
        *,
        split: str = "train",
        fold: int | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int = 128,
        shuffle: bool = True,
        seed: int = 0,
        reverse_complement: str = "none",
        memory_limit: int = 1 << 30,
        buffer_windows: int = 1 << 16,
        prefetch: int = 4,
    ) -> None:
        if reverse_complement not in REVERSE_COMPLEMENT:
            raise ValueError(
                f"reverse_complement is {reverse_complement!r}; expected one of {REVERSE_COMPLEMENT}"
            )
        self.ds = store if isinstance(store, xr.Dataset) else open_store(store)
        self.indices = split_indices(self.ds, split, fold=fold) if indices is None else np.unique(indices)
        if not len(self.indices):
            where = self.ds.encoding.get("source", "store")
            raise InputError(
                f"no window in the split {split!r}", where=where, remedy="see its recipe's `split`"
            )
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.reverse_complement = reverse_complement
        self.prefetch = prefetch
        self._chunks = _selected_chunks(self.indices, int(self.ds.attrs[schema.ATTR_WINDOW_CHUNK]))
        self._chunks_per_buffer = max(1, round(buffer_windows * len(self._chunks) / len(self.indices)))
        n_bytes = len(self.indices) * (self.window_length + len(self.cell_types))
        self._memory = self._read(self._chunks) if n_bytes <= memory_limit else None

    @property
    def window_length(self) -> int:
        """Positions in a window."""
        return self.ds.sizes[schema.POSITION]

    @property
    def cell_types(self) -> tuple[str, ...]:
        """Names of the columns of the labels."""
        return tuple(map(str, self.ds[schema.CELL_TYPE].values))

    @property
    def n_windows(self) -> int:
        """Windows in an epoch."""
        return len(self.indices)

    @property
    def in_memory(self) -> bool:
        """Whether the selection is kept in memory; else it is streamed."""
        return self._memory is not None

    def __repr__(self) -> str:
        place = "in memory" if self.in_memory else "streamed"
        return (
            f"<Batches: {self.n_windows:,} windows of {self.window_length} bp in {len(self):,} batches, "
            f"cell types {', '.join(self.cell_types)}; {place}>"
        )

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-self.n_windows // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Batches of one epoch, in their order.

        Leaving the iterator early, by `break` or an error, ends its thread; an error in the thread is
        raised here.
        """
        batches = self._make_epoch(epoch)
        return _ahead(batches, self.prefetch) if self.prefetch else batches

    def to_tf(self, *, one_hot: bool = False) -> tf.data.Dataset:
        """The batches as a ``tf.data.Dataset`` of (codes, labels), in the same order.

        Each pass over the data set is the next epoch, as :meth:`epoch` numbers them, the first being 0:
        ``model.fit(batches.to_tf(one_hot=True), epochs=10)`` sees ten orders. Its cardinality is known.

        Parameters
        ----------
        one_hot
            Give windows as float32 (window, position, base) instead of base codes, uint8 (window, position).
        """
        return tf_dataset(self, one_hot=one_hot)

    def to_torch(self, *, one_hot: bool = False) -> torch.utils.data.IterableDataset:
        """The batches as a ``torch.utils.data.IterableDataset`` of (codes, labels), in the same order.

        Each pass is the next epoch, as in :meth:`to_tf`. It makes batches itself, so a ``DataLoader`` of it
        has no batch size: ``DataLoader(batches.to_torch(), batch_size=None, num_workers=4)``. Workers share
        the batches of an epoch, none is repeated, and the order is the same with any number of workers. Each
        worker reads all of an epoch that does not fit into memory.

        Parameters
        ----------
        one_hot
            As in :meth:`to_tf`.

        Raises
        ------
        InputError
            If PyTorch is not installed.
        """
        return torch_dataset(self, one_hot=one_hot)

    def labels(self) -> np.ndarray:
        """Accessibility of the selected windows in the order of the store, (window, cell_type) uint8."""
        if self._memory is not None:
            return self._memory.labels
        return np.concatenate([self._read_labels(chunk) for chunk in self._chunks])

    def _make_epoch(self, epoch: int) -> Iterator[Batch]:
        order = np.random.default_rng((self.seed, epoch, _ORDER)) if self.shuffle else None
        strands = np.random.default_rng((self.seed, epoch, _STRAND))
        pools = self._buffers(order) if self._memory is None else iter([self._memory])
        for batch in _cut(pools, self.batch_size, order):
            if self.reverse_complement == "augment":
                yield Batch(_on_random_strand(batch.codes, strands), batch.labels)
            else:
                yield batch

    def _buffers(self, order: np.random.Generator | None) -> Iterator[Batch]:
        n = len(self._chunks)
        sequence = np.arange(n) if order is None else order.permutation(n)
        for first in range(0, n, self._chunks_per_buffer):
            yield self._read([self._chunks[i] for i in sequence[first : first + self._chunks_per_buffer]])

    def _read(self, chunks: Sequence[_Chunk]) -> Batch:
        n = sum(len(chunk.windows) for chunk in chunks)
        codes = np.empty((n, self.window_length), dtype=np.uint8)
        labels = np.empty((n, len(self.cell_types)), dtype=np.uint8)
        end = 0
        for chunk in chunks:
            start, end = end, end + len(chunk.windows)
            one_hot = read_window_block(self.ds, schema.SEQUENCE.name, chunk.start, chunk.stop)
            codes[start:end] = codes_from_one_hot(one_hot[chunk.windows])
            labels[start:end] = self._read_labels(chunk)
        return Batch(codes, labels)

    def _read_labels(self, chunk: _Chunk) -> np.ndarray:
        return read_window_block(self.ds, schema.ACCESSIBILITY.name, chunk.start, chunk.stop)[chunk.windows]


def split_indices(ds: xr.Dataset, split: str, *, fold: int | None = None) -> np.ndarray:
    """Windows of a split, in the order of the store, int64.

    Without `fold`, the store's own split. In fold f of k, the windows of fold f are the test set, those of
    fold f + 1 (mod k) the validation set, and those of the others train: each window of a fold is tested
    exactly once over the k folds. Windows of no fold (the store's test set) are in none of the three.

    Raises
    ------
    InputError
        If the store has no such split or fold.
    """
    if split not in schema.SPLITS:
        raise InputError("no such split", where="split", found=split, expected=", ".join(schema.SPLITS))
    if fold is None:
        return np.flatnonzero(read_variable(ds, schema.SPLIT.name) == schema.SPLITS.index(split))
    n = n_folds(ds)
    if not 0 <= fold < n:
        raise InputError(
            "no such fold", where=ds.encoding.get("source", "store"), found=fold, expected=f"0 to {n - 1}"
        )
    folds = read_variable(ds, schema.FOLD.name)
    held_out = {"test": fold, "validation": (fold + 1) % n}
    if split in held_out:
        return np.flatnonzero(folds == held_out[split])
    return np.flatnonzero((folds != schema.NO_FOLD) & ~np.isin(folds, list(held_out.values())))


def n_folds(ds: xr.Dataset) -> int:
    """Folds of a store.

    Raises
    ------
    InputError
        If it has none.
    """
    folds = read_variable(ds, schema.FOLD.name) if schema.FOLD.name in ds else np.array([schema.NO_FOLD])
    n = int(folds.max(initial=schema.NO_FOLD)) + 1
    if not n:
        raise InputError(
            "the store has no folds",
            where=ds.encoding.get("source", "store"),
            remedy="set `split.folds` in its recipe and build it again",
        )
    return n


class _Chunk(NamedTuple):
    """The selected windows of one chunk of the store."""

    start: int
    stop: int
    #: Positions in the chunk of the windows that are selected.
    windows: np.ndarray


def _selected_chunks(indices: np.ndarray, chunk: int) -> list[_Chunk]:
    numbers = indices // chunk
    firsts = np.flatnonzero(np.diff(numbers, prepend=-1))
    return [
        _Chunk(start, start + chunk, windows - start)
        for windows in np.split(indices, firsts[1:])
        for start in [int(windows[0]) // chunk * chunk]
    ]


def _cut(pools: Iterator[Batch], batch_size: int, order: np.random.Generator | None) -> Iterator[Batch]:
    """Batches of equal size from pools of any size, each pool in random order when `order` is given.

    What a pool leaves over joins the next pool before that is shuffled.
    """
    rest: Batch | None = None
    for pool in pools:
        if rest is not None:
            pool = Batch(*map(np.concatenate, zip(rest, pool, strict=True)))
        n = len(pool.codes)
        rows = np.arange(n) if order is None else order.permutation(n)
        n_whole = n - n % batch_size
        for first in range(0, n_whole, batch_size):
            chosen = rows[first : first + batch_size]
            yield Batch(pool.codes[chosen], pool.labels[chosen])
        rest = Batch(pool.codes[rows[n_whole:]], pool.labels[rows[n_whole:]])
    if rest is not None and len(rest.codes):
        yield rest


def _on_random_strand(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    reversed_ = rng.random(len(codes)) < 0.5
    codes[reversed_] = reverse_complement(codes[reversed_])
    return codes


def _ahead(items: Iterator[T], n: int) -> Iterator[T]:
    """The same items, made up to `n` ahead of the consumer by a thread that ends with the iterator."""
    ready: queue.Queue[Callable[[], T] | None] = queue.Queue(maxsize=n)
    left = threading.Event()

    def hand_over(message: Callable[[], T] | None) -> bool:
        while not left.is_set():
            try:
                ready.put(message, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not hand_over(lambda item=item: item):
                    return
        except BaseException as error:
            hand_over(_raiser(error))
        else:
            hand_over(None)

    thread = threading.Thread(target=work, name="chromacc-batches", daemon=True)
    thread.start()
    try:
        while (message := ready.get()) is not None:
            yield message()
    finally:
        left.set()
        thread.join()


def _raiser(error: BaseException) -> Callable[[], T]:
    def fail() -> T:
        raise error

    return fail
