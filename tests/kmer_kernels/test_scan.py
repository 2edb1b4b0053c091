"""The front end against a float64 oracle that scans one-hot sequences and their reverse complements."""

from __future__ import annotations

import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data.sequences.encoding import encode, reverse_complement
from chromacc_models.kmer_kernels import scan as module
from chromacc_models.kmer_kernels import workers
from chromacc_models.kmer_kernels.scan import FrontEnd
from chromacc_models.networks.options import POOLINGS, STRANDS

# Each pair (taps per table, tables) is compiled apart, so shapes come from a list; all else is free.
SHAPES = [
    {"width": 1},
    {"width": 5, "spacing": 2},
    {"width": 20},
    {"width": 3, "block_length": 2, "spacing": 2},
    {"width": 2, "block_length": 4, "spacing": 4},
]
POOLED = [
    ("average", "relu"),
    ("average", "exponential"),
    ("max", "relu"),
    ("max", "exponential"),
    ("logsumexp", "relu"),
]


class Example(NamedTuple):
    front_end: FrontEnd
    codes: np.ndarray
    kernel: np.ndarray
    bias: np.ndarray
    gradients: np.ndarray


def make_example(
    *,
    n_windows: int = 7,
    window_length: int = 70,
    n_filters: int = 5,
    n_share: float = 0.02,
    seed: int = 0,
    weight_size: float = 0.3,
    bias: float = -0.3,
    **options: object,
) -> Example:
    rng = np.random.default_rng(seed)
    front_end = FrontEnd(window_length, n_filters, **{"width": 5, **options})
    codes = rng.integers(0, 4, (n_windows, window_length), dtype=np.uint8)
    codes[rng.random(codes.shape) < n_share] = 4
    kernel = rng.normal(size=(front_end.width, front_end.n_letters, n_filters)).astype(np.float32)
    biases = bias + 0.1 * rng.normal(size=n_filters).astype(np.float32)
    gradients = rng.normal(size=(n_windows, n_filters)).astype(np.float32)
    return Example(front_end, codes, weight_size * kernel, biases.astype(np.float32), gradients)


def one_hot_blocks(front_end: FrontEnd, codes: np.ndarray) -> np.ndarray:
    """(window, position, block) float64, zeros where no block is known."""
    n = front_end.block_length
    powers = 4 ** np.arange(n - 1, -1, -1)
    blocks = np.lib.stride_tricks.sliding_window_view(codes.astype(np.int64), n, axis=1)
    numbers = np.where((blocks < 4).all(axis=-1), blocks @ powers, 4**n)
    return np.eye(4**n + 1, 4**n)[numbers]


def oracle(example: Example) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Pooled values, gradients of the kernel and of the bias, all in float64."""
    front_end, codes, kernel, bias, gradients = example
    strands = [codes] if front_end.strands == "forward" else [codes, reverse_complement(codes)]
    taps = []  # (window, place, tap, letter) per strand
    for strand in strands:
        blocks = one_hot_blocks(front_end, strand)
        places = range(front_end.n_places)
        at = np.array([[p + t * front_end.spacing for t in range(front_end.width)] for p in places])
        taps.append(blocks[:, at])
    taps = np.concatenate(taps, axis=1)
    scans = np.einsum("wptl,tlf->wpf", taps, kernel.astype(np.float64)) + bias
    activation = {"linear": lambda x: x, "relu": lambda x: np.maximum(x, 0), "exponential": np.exp}
    slope = {"linear": np.ones_like, "relu": lambda x: (x > 0).astype(float), "exponential": np.exp}
    activated = activation[front_end.activation](scans)
    if front_end.pooling == "average":
        pooled, shares = activated.mean(axis=1), np.full(scans.shape, 1 / scans.shape[1])
    elif front_end.pooling == "max":
        pooled = activated.max(axis=1)
        shares = (np.arange(scans.shape[1])[:, np.newaxis] == scans.argmax(axis=1)[:, np.newaxis]) * 1.0
    else:
        totals = np.exp(activated).sum(axis=1)
        pooled, shares = np.log(totals / scans.shape[1]), np.exp(activated) / totals[:, np.newaxis]
    deltas = front_end.scale * gradients[:, np.newaxis] * shares * slope[front_end.activation](scans)
    kernel_gradient = np.einsum("wptl,wpf->tlf", taps, deltas)
    # What the terms of a gradient sum up to regardless of their signs: rounding is a share of that.
    terms = np.abs(deltas).sum(axis=(0, 1)).max()
    return front_end.scale * pooled, kernel_gradient, deltas.sum(axis=(0, 1)), terms


def assert_close(found: np.ndarray, expected: np.ndarray, tolerance: float, floor: float) -> None:
    """Equal to a share of the largest, or of `floor`: sums of terms of both signs are small by chance."""
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * max(np.abs(expected).max(), floor)


@pytest.mark.parametrize(("pooling", "activation"), POOLED)
@settings(max_examples=15, deadline=None)
@given(
    shape=st.sampled_from(SHAPES),
    strands=st.sampled_from(STRANDS),
    n_windows=st.integers(1, 40),
    extra_length=st.integers(0, 120),
    n_filters=st.integers(1, 40),
    n_share=st.sampled_from([0.0, 0.03, 1.0]),
    bias=st.sampled_from([-3.0, -0.3, 0.5]),
    scale=st.sampled_from([1.0, 20.0, -0.5]),
    seed=st.integers(0, 2**32 - 1),
)
def test_front_end__equals_oracle(pooling, activation, shape, extra_length, **options):
    covered = (shape["width"] - 1) * shape.get("spacing", 1) + shape.get("block_length", 1)
    example = make_example(
        **shape, window_length=covered + extra_length, pooling=pooling, activation=activation, **options
    )
    front_end, codes, kernel, bias, gradients = example
    values, kernel_gradient, bias_gradient, terms = oracle(example)

    pooled = front_end.forward(codes, kernel, bias)
    found = front_end.backward(codes, kernel, bias, pooled, gradients)

    assert_close(pooled.values, values, 1e-5, floor=abs(front_end.scale))
    floor = max(terms / 10, 1e-3)
    assert_close(found.kernel, kernel_gradient, 1e-4, floor=floor)
    assert_close(found.bias, bias_gradient, 1e-4, floor=floor)


def test_forward__by_hand():
    """ACG on the forward strand at place 1; its reverse complement CGT at place 5 of the other window."""
    kernel = np.zeros((3, 4, 1), np.float32)
    kernel[[0, 1, 2], [0, 1, 2], 0] = 1
    codes = np.stack([encode("TACGTTTTT"), encode("TTTTTCGTT")])
    options = {"window_length": 9, "n_filters": 1, "width": 3, "pooling": "max"}

    forward = FrontEnd(**options).forward(codes, kernel)
    both = FrontEnd(**options, strands="both").forward(codes, kernel)

    assert forward.values[:, 0].tolist() == [3, 2]  # TCG
    assert forward.places[0, 0] == 1
    assert both.values[:, 0].tolist() == [3, 3]
    assert both.places[1, 0] == FrontEnd(**options).n_places + 5


def test_forward__all_n_gives_bias():
    example = make_example(n_share=1.0, bias=0.5)
    pooled = example.front_end.forward(example.codes, example.kernel, example.bias)
    np.testing.assert_allclose(pooled.values, np.tile(example.bias, (7, 1)), rtol=1e-6)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_forward__both_strands_ignore_orientation(pooling):
    example = make_example(strands="both", pooling=pooling, width=20)
    front_end, codes, kernel, bias, _ = example
    there = front_end.forward(codes, kernel, bias).values
    back = front_end.forward(reverse_complement(codes), kernel, bias).values
    np.testing.assert_allclose(there, back, rtol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_forward__diverged_filter_is_nan(pooling):
    front_end, codes, kernel, bias, _ = make_example(pooling=pooling, n_share=0)
    kernel[2, 1, 3] = np.nan
    values = front_end.forward(codes, kernel, bias).values
    assert np.isnan(values[:, 3]).all()
    assert np.isfinite(np.delete(values, 3, axis=1)).all()


@pytest.mark.parametrize(("pooling", "activation"), POOLED)
def test_front_end__same_bits_for_any_number_of_threads(pooling, activation, monkeypatch):
    front_end, codes, kernel, bias, gradients = make_example(
        n_windows=150, n_filters=40, pooling=pooling, activation=activation
    )
    found = []
    for threads in (1, 2, 5):
        for user in (module, workers):
            monkeypatch.setattr(user, "n_threads", lambda threads=threads: threads)
        pooled = front_end.forward(codes, kernel, bias)
        found.append((pooled.values, *front_end.backward(codes, kernel, bias, pooled, gradients)))
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_backward__silent_filters_have_no_gradient():
    front_end, codes, kernel, bias, gradients = make_example(bias=-50.0)
    pooled = front_end.forward(codes, kernel, bias)
    found = front_end.backward(codes, kernel, bias, pooled, gradients)
    assert not pooled.values.any()
    assert not found.kernel.any()
    assert not found.bias.any()


def test_forward__arguments_are_not_changed():
    front_end, *arrays = make_example(strands="both")
    for array in arrays:
        array.setflags(write=False)
    codes, kernel, bias, gradients = arrays
    pooled = front_end.forward(codes, kernel, bias)
    pooled.values.setflags(write=False)
    front_end.backward(codes, kernel, bias, pooled, gradients)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strands": "reverse"}, "strands is 'reverse'"),
        ({"activation": "tanh"}, "activation is 'tanh'"),
        ({"pooling": "median"}, "pooling is 'median'"),
        ({"width": 0}, "width is 0"),
        ({"width": 21}, "windows of 20 bp; these filters cover 21"),
        ({"scale": 0}, "scale is 0"),
    ],
)
def test_front_end__invalid_option(options, message):
    with pytest.raises(ValueError, match=message):
        FrontEnd(**{"window_length": 20, "n_filters": 3, "width": 5, **options})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codes": np.zeros((2, 69), np.uint8)}, r"codes of shape \(2, 69\); expected \(window, 70\)"),
        ({"codes": np.full((2, 70), 5, np.uint8)}, "base code 5"),
        ({"kernel": np.zeros((5, 4, 6), np.float32)}, r"kernel of shape \(5, 4, 6\); expected \(5, 4, 5\)"),
    ],
)
def test_front_end__checks_what_kernels_trust(change, message):
    example = make_example()
    inputs = {"codes": example.codes, "kernel": example.kernel, **change}
    pooled = example.front_end.forward(example.codes, example.kernel)
    with pytest.raises(ValueError, match=message):
        example.front_end.forward(**inputs)
    with pytest.raises(ValueError, match=message):
        example.front_end.backward(**inputs, bias=None, pooled=pooled, gradients=example.gradients)


def test_forward__no_windows():
    front_end, codes, kernel, bias, gradients = make_example(pooling="max", strands="both")
    pooled = front_end.forward(codes[:0], kernel, bias)
    found = front_end.backward(codes[:0], kernel, bias, pooled, gradients[:0])
    assert pooled.values.shape == (0, 5)
    assert not found.kernel.any()


def test_forward__in_a_forked_process():
    """The threads of a process do not survive a fork; those of the child are its own."""
    script = """
import os, numpy as np
from chromacc_models.kmer_kernels.scan import FrontEnd
front_end = FrontEnd(70, 40, 5)
codes, kernel = np.zeros((200, 70), np.uint8), np.ones((5, 4, 40), np.float32)
first = front_end.forward(codes, kernel).values
child = os.fork()
if child == 0:
    os._exit(0 if (front_end.forward(codes, kernel).values == first).all() else 3)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_forward__sees_weights_that_change():
    """Tables are kept for as long as the weights are the same, the bias among them."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (5, 30), dtype=np.uint8)
    kernel, bias = rng.normal(size=(4, 4, 3)).astype(np.float32), np.zeros(3, np.float32)
    front_end = FrontEnd(30, 3, 4, pooling="max")

    def fresh() -> np.ndarray:
        return FrontEnd(30, 3, 4, pooling="max").forward(codes, kernel, bias).values

    first = front_end.forward(codes, kernel, bias).values
    np.testing.assert_array_equal(front_end.forward(codes, kernel, bias).values, first)
    kernel[2, 1, 0] += 1
    np.testing.assert_array_equal(front_end.forward(codes, kernel, bias).values, fresh())
    bias += 0.5
    changed = front_end.forward(codes, kernel, bias).values
    np.testing.assert_array_equal(changed, fresh())
    assert not np.array_equal(changed, first)
