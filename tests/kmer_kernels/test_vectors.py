"""Vectors in numba against numpy, for each number of lanes."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from chromacc_models.kmer_kernels.vectors import (
    Scan,
    activate,
    any_lane,
    as_float,
    constants,
    derivative,
    exp,
    load,
    load_bits,
    matches,
    popcount,
    store,
    where,
)

LANES = (4, 8, 16)
VALUES = np.array([0, -0.0, 1, -1, 0.3, -7.5, 88.7, 89, 200, -87, -103, -200, np.inf, -np.inf, np.nan, 5])
VALUES = VALUES.astype(np.float32)


@njit
def _exp(scan, values, out):
    for at in range(0, values.size, constants(scan)[0]):
        store(out, at, exp(load(scan, values, at)))


@njit
def _activate(scan, values, out, slopes):
    for at in range(0, values.size, constants(scan)[0]):
        store(out, at, activate(scan, load(scan, values, at)))
        store(slopes, at, derivative(scan, load(scan, values, at)))


@njit
def _arithmetic(scan, x, y, out):
    a, b = load(scan, x, 0), load(scan, y, 0)
    c = a * b - a
    c += b
    store(out, 0, where(a > b, a, c))


@njit
def _bits(scan, x, y, out):
    a, b = load_bits(scan, x, 0), load_bits(scan, y, 0)
    store(out, 0, as_float(popcount((a & b) | b)))


@njit
def _any_float(scan, x):
    return any_lane(load(scan, x, 0))


@njit
def _any_bit(scan, x):
    return any_lane(load_bits(scan, x, 0))


@njit
def _matches(codes, letter):
    return matches(codes, 0, letter)


@pytest.mark.parametrize("lanes", LANES)
def test_exp__equals_numpy(lanes):
    values = np.concatenate([np.linspace(-100, 88, 1008), VALUES]).astype(np.float32)
    found = np.empty_like(values)
    _exp(Scan(lanes, 1, 1), values, found)
    with np.errstate(over="ignore", under="ignore"):
        expected = np.exp(values.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(found, expected, rtol=2.5e-7, atol=1e-37)


@pytest.mark.parametrize("lanes", LANES)
def test_activate__and_derivative(lanes):
    out, slopes = np.empty_like(VALUES), np.empty_like(VALUES)
    _activate(Scan(lanes, 1, 1, "relu"), VALUES, out, slopes)
    np.testing.assert_array_equal(out, np.maximum(VALUES, 0))  # a NaN stays one
    np.testing.assert_array_equal(slopes, VALUES > 0)
    _activate(Scan(lanes, 1, 1, "linear"), VALUES, out, slopes)
    np.testing.assert_array_equal(out, VALUES)
    np.testing.assert_array_equal(slopes, 1)
    _activate(Scan(lanes, 1, 1, "exponential"), VALUES, out, slopes)
    np.testing.assert_array_equal(out, slopes)


@pytest.mark.parametrize("lanes", LANES)
def test_operators__equal_numpy(lanes):
    x, y = np.random.default_rng(0).normal(size=(2, lanes)).astype(np.float32)
    found = np.empty_like(x)
    _arithmetic(Scan(lanes, 1, 1), x, y, found)
    np.testing.assert_allclose(found, np.where(x > y, x, x * y - x + y), rtol=1e-6)


@pytest.mark.parametrize("lanes", LANES)
def test_popcount__of_bits(lanes):
    x, y = np.random.default_rng(0).integers(-(2**31), 2**31, (2, lanes)).astype(np.int32)
    found = np.empty(lanes, np.float32)
    _bits(Scan(lanes, 1, 1), x, y, found)
    assert found.tolist() == [int(v).bit_count() for v in y.view(np.uint32)]


@pytest.mark.parametrize("lanes", LANES)
def test_any_lane__zero_of_both_signs_is_none(lanes):
    scan = Scan(lanes, 1, 1)
    floats, bits = np.full(lanes, -0.0, np.float32), np.zeros(lanes, np.int32)
    assert not _any_float(scan, floats)
    assert not _any_bit(scan, bits)
    floats[-1], bits[-1] = np.nan, 1 << 31 - 1
    assert _any_float(scan, floats)
    assert _any_bit(scan, bits)


def test_matches__bit_of_each_code():
    codes = np.random.default_rng(0).integers(0, 5, 32, dtype=np.uint8)
    for letter in range(4):
        expected = sum(1 << i for i in range(32) if codes[i] == letter)
        assert _matches(codes, letter) & 0xFFFFFFFF == expected
