"""Parts of the kernels by hand; whole passes are in test_scan.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data.sequences.encoding import encode
from chromacc_models.kmer_kernels import kernels
from chromacc_models.kmer_kernels.layout import TableLayout


def rows_of(codes: np.ndarray, layout: TableLayout, n_positions: int) -> np.ndarray:
    stream = np.empty((len(codes), n_positions), layout.stream_dtype)
    rows = layout.digits, layout.row_of_word, layout.spacing, layout.row_units
    kernels.table_rows(codes, layout.n_letters, *rows, stream)
    return stream // layout.row_units


def test_block_letters__by_hand():
    letters = np.empty((1, 7), np.uint16)
    kernels.block_letters(encode("ACGTNAC")[np.newaxis], 2, letters)
    assert letters[0].tolist() == [1, 6, 11, 16, 16, 1, 16]


def test_table_rows__by_hand():
    layout = TableLayout(width=2, spacing=1, n_letters=4, n_columns=1)
    assert layout.group == 2
    codes = np.stack([encode("ACGT"), encode("ANTT")])
    rows = rows_of(codes, layout, 4)
    assert layout.digits[rows[0]].tolist() == [[0, 1], [1, 2], [2, 3], [3, 4]]
    assert layout.digits[rows[1]].tolist() == [[0, 4], [4, 3], [3, 3], [3, 4]]


@settings(max_examples=30, deadline=None)
@given(
    width=st.integers(1, 9),
    spacing=st.integers(1, 4),
    length=st.integers(1, 40),
    more=st.integers(0, 20),
    n_share=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 1000),
)
def test_table_rows__name_the_letters_of_a_group(width, spacing, length, more, n_share, seed):
    layout = TableLayout(width, spacing, n_letters=4, n_columns=1)
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (3, length), dtype=np.uint8)
    codes[rng.random(codes.shape) < n_share] = 4
    rows = rows_of(codes, layout, length + more)
    padded = np.pad(codes, [(0, 0), (0, more + layout.group * spacing)], constant_values=4)
    for i in range(layout.group):
        expected = padded[:, i * spacing :][:, : length + more]
        np.testing.assert_array_equal(layout.digits[rows][..., i], expected)


@settings(max_examples=30, deadline=None)
@given(
    step=st.integers(1, 5), n_offsets=st.integers(1, 9), length=st.integers(1, 150), seed=st.integers(0, 1000)
)
def test_match_words__bit_of_each_place(step, n_offsets, length, seed):
    codes = np.random.default_rng(seed).integers(0, 5, (2, length), dtype=np.uint8)
    n_words = -(-length // (step * kernels.WORD))
    words = np.empty((2, n_offsets, n_words, 4), np.int32)
    kernels.match_words(codes, step, words)
    padded = np.pad(codes, [(0, 0), (0, n_offsets + (n_words * kernels.WORD + 1) * step)], constant_values=4)
    for offset in range(n_offsets):
        places = padded[:, offset::step][:, : n_words * kernels.WORD]
        bits = np.unpackbits(words[:, offset].copy().view(np.uint8), axis=-1, bitorder="little")
        found = bits.reshape(2, n_words, 4, kernels.WORD)
        expected = places.reshape(2, n_words, 1, kernels.WORD) == np.arange(4)[:, np.newaxis]
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("width", "n_letters"), [(20, 4), (3, 16)])
def test_fold__is_the_transpose_of_expand(width, n_letters):
    """<expand(weights), table> = <weights, fold(table)>, as for any linear map and its transpose."""
    layout = TableLayout(width, spacing=1, n_letters=n_letters, n_columns=20)
    rng = np.random.default_rng(0)
    weights = rng.normal(size=layout.weights_shape).astype(np.float32)
    back = np.zeros_like(weights)
    there = 0.0
    for column, scan in layout.tiles:
        table = np.empty((len(layout.digits), layout.n_blocks, scan.lanes), np.float32)
        kernels.expand(scan, weights, np.zeros(layout.n_padded, np.float32), layout.digits, column, table)
        other = rng.normal(size=table.shape).astype(np.float32)
        there += np.vdot(table.astype(np.float64), other)
        kernels.fold(scan, other, layout.digits, column, back)
    assert np.vdot(weights.astype(np.float64), back) == pytest.approx(there, rel=1e-4)


def test_expand__bias_is_in_the_first_block():
    layout = TableLayout(width=20, spacing=1, n_letters=4, n_columns=8)
    column, scan = layout.tiles[0]
    biases = np.arange(layout.n_padded, dtype=np.float32)
    table = np.empty((len(layout.digits), layout.n_blocks, scan.lanes), np.float32)
    kernels.expand(scan, np.zeros(layout.weights_shape, np.float32), biases, layout.digits, column, table)
    np.testing.assert_array_equal(table[:, 0], np.tile(biases[: scan.lanes], (len(table), 1)))
    assert not table[:, 1:].any()
