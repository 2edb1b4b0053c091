from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import codes_from_one_hot, reverse_complement
from chromacc_data.store import batches, schema
from chromacc_data.store.batches import Batch, Batches, split_indices
from tests.conftest import make_dataset

IN_MEMORY, STREAMED = 1 << 30, 0


def numbered_dataset(n_windows: int, **options: object) -> xr.Dataset:
    """Windows that say their number in base 4, so that any of them is recognised wherever it turns up."""
    digits = np.arange(n_windows)[:, None] // 4 ** np.arange(8) % 4
    return make_dataset(codes=digits.astype(np.uint8), **options)


def numbers(codes: np.ndarray) -> np.ndarray:
    return codes.astype(int) @ 4 ** np.arange(8)


def flat(epoch: list[Batch]) -> tuple[np.ndarray, np.ndarray]:
    return numbers(np.concatenate([b.codes for b in epoch])), np.concatenate([b.labels for b in epoch])


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 60),
    chunk=st.integers(1, 20),
    batch_size=st.integers(1, 30),
    buffer=st.integers(1, 80),
    memory=st.sampled_from([IN_MEMORY, STREAMED]),
    data=st.data(),
)
def test_epoch__gives_every_window_once_with_its_labels(n, chunk, batch_size, buffer, memory, data):
    ds = numbered_dataset(n, chunk=chunk)
    chosen = data.draw(st.lists(st.integers(0, n - 1), min_size=1, unique=True))
    made = Batches(
        ds, indices=chosen, batch_size=batch_size, memory_limit=memory, buffer_windows=buffer, prefetch=0
    )
    epoch = list(made.epoch(3))
    found, labels = flat(epoch)
    assert sorted(found) == sorted(chosen)
    np.testing.assert_array_equal(labels, ds[schema.ACCESSIBILITY.name].values[found])
    assert [len(b.codes) for b in epoch[:-1]] == [batch_size] * (len(made) - 1)
    assert len(epoch) == len(made)
    assert made.in_memory == (memory == IN_MEMORY)


@pytest.mark.parametrize("memory", [IN_MEMORY, STREAMED])
def test_epoch__same_for_the_same_seed_and_epoch_whatever_the_prefetch(memory: int):
    ds = numbered_dataset(200, chunk=16)

    def order(seed: int, epoch: int, prefetch: int, strands: str = "none") -> list[int]:
        made = Batches(
            ds,
            indices=range(200),
            seed=seed,
            batch_size=7,
            memory_limit=memory,
            buffer_windows=48,
            prefetch=prefetch,
            reverse_complement=strands,
        )
        return flat(list(made.epoch(epoch)))[0].tolist()

    for strands in ("none", "augment"):
        assert order(1, 5, 0, strands) == order(1, 5, 4, strands) == order(1, 5, 1, strands)
    assert len({tuple(order(*key, 0)) for key in ((1, 5), (1, 6), (2, 5))}) == 3


def test_epoch__streams_what_memory_holds_when_not_shuffled(make_store: Callable[..., Path]):
    path = make_store(n_windows=50, chunk=8)
    options = {"shuffle": False, "batch_size": 6, "split": "validation"}
    held, streamed = (Batches(path, memory_limit=m, **options) for m in (IN_MEMORY, STREAMED))
    for a, b in zip(held, streamed, strict=True):
        np.testing.assert_array_equal(a.codes, b.codes)
        np.testing.assert_array_equal(a.labels, b.labels)
    np.testing.assert_array_equal(held.labels(), streamed.labels())
    ds = make_dataset(n_windows=50, chunk=8)
    expected = codes_from_one_hot(ds[schema.SEQUENCE.name].values)[split_indices(ds, "validation")]
    np.testing.assert_array_equal(np.concatenate([b.codes for b in held]), expected)


def test_epoch__shuffle_mixes_chunks_and_windows():
    ds = numbered_dataset(400, chunk=10)
    made = Batches(ds, indices=range(400), batch_size=40, memory_limit=STREAMED, buffer_windows=80)
    first = numbers(next(iter(made.epoch(0))).codes)
    assert len(set(first // 10)) > 4
    assert not np.array_equal(first, np.sort(first))


@pytest.mark.parametrize("memory", [IN_MEMORY, STREAMED])
def test_epoch__augment_reverse_complements_half_of_the_windows_each_epoch(memory: int):
    ds = make_dataset(n_windows=300, window_length=20)
    options = {"indices": range(300), "shuffle": False, "memory_limit": memory, "batch_size": 32}
    plain = np.concatenate([b.codes for b in Batches(ds, **options)])
    reversed_ = []
    augmented = Batches(ds, reverse_complement="augment", **options)
    for epoch in range(2):
        codes = np.concatenate([b.codes for b in augmented.epoch(epoch)])
        same = (codes == plain).all(axis=1)
        assert ((codes == reverse_complement(plain)).all(axis=1) | same).all()
        assert 100 < same.sum() < 200
        reversed_.append(same)
    assert not np.array_equal(*reversed_)
    np.testing.assert_array_equal(np.concatenate([b.codes for b in Batches(ds, **options)]), plain)


def test_split_indices__by_split_and_by_fold():
    ds = make_dataset(n_windows=7, split=np.array([0, 0, 1, 2, 0, 1, 2]))
    assert split_indices(ds, "train").tolist() == [0, 1, 4]
    assert split_indices(ds, "test").tolist() == [3, 6]
    ds[schema.FOLD.name].data = schema.da.from_array(np.array([0, 1, 2, 0, 1, 2, -1], np.int8))
    assert split_indices(ds, "test", fold=2).tolist() == [2, 5]
    assert split_indices(ds, "validation", fold=2).tolist() == [0, 3]
    assert split_indices(ds, "train", fold=2).tolist() == [1, 4]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"split": "dev"}, "no such split"),
        ({"fold": 0}, "the store has no folds"),
        ({"indices": []}, "no window in the split"),
    ],
)
def test_batches__bad_selection(options: dict, expected: str):
    with pytest.raises(InputError, match=expected):
        Batches(make_dataset(), **options)


def test_batches__fold_out_of_range_says_which_there_are():
    ds = make_dataset(n_windows=4)
    ds[schema.FOLD.name].data = schema.da.from_array(np.array([0, 1, 0, 1], np.int8))
    with pytest.raises(InputError) as caught:
        Batches(ds, fold=2)
    assert caught.value.expected == "0 to 1"


def test_batches__invalid_reverse_complement():
    with pytest.raises(ValueError, match="expected one of"):
        Batches(make_dataset(), reverse_complement="both")


def test_epoch__leaving_early_ends_the_thread():
    for _ in Batches(numbered_dataset(100), indices=range(100), batch_size=1, prefetch=2):
        assert "chromacc-batches" in {t.name for t in threading.enumerate()}
        break
    assert "chromacc-batches" not in {t.name for t in threading.enumerate()}


def test_epoch__error_of_the_thread_is_raised_by_the_iterator(monkeypatch: pytest.MonkeyPatch):
    made = Batches(numbered_dataset(100), indices=range(100), memory_limit=STREAMED)

    def fail(*args: object) -> None:
        raise InputError("a chunk is damaged")

    monkeypatch.setattr(batches, "read_window_block", fail)
    with pytest.raises(InputError, match="damaged"):
        list(made)
    assert "chromacc-batches" not in {t.name for t in threading.enumerate()}
