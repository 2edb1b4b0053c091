"""How filters are cut into tables and tiles."""

from __future__ import annotations

import numpy as np
import pytest

from chromacc_models.kmer_kernels import layout as table_layout
from chromacc_models.kmer_kernels.layout import TableLayout


@pytest.mark.parametrize(
    ("width", "n_letters", "group"), [(1, 4, 1), (4, 4, 4), (6, 4, 3), (8, 4, 4), (20, 4, 3), (5, 256, 1)]
)
def test_group__fewest_tables_that_fit_the_first_level_cache(width, n_letters, group, monkeypatch):
    monkeypatch.setattr(table_layout, "widest_vector", lambda: 16)
    assert TableLayout(width, 1, n_letters, n_columns=300).group == group


@pytest.mark.parametrize(
    ("widest", "n_columns", "lanes"),
    [(16, 300, [16] * 19), (16, 20, [16, 8]), (16, 40, [16, 16, 8]), (16, 1, [8]), (8, 20, [8, 8, 8])],
)
def test_tiles__cover_all_columns(widest, n_columns, lanes, monkeypatch):
    monkeypatch.setattr(table_layout, "widest_vector", lambda: widest)
    layout = TableLayout(20, 1, 4, n_columns)
    assert [tile.scan.lanes for tile in layout.tiles] == lanes
    assert [tile.column for tile in layout.tiles] == [0, *np.cumsum(lanes[:-1])]
    assert layout.n_padded == sum(lanes)


def test_digits__known_words_come_first_and_in_order():
    layout = TableLayout(2, 1, 4, 1)
    known = 4**layout.group
    assert (layout.digits[:known] < 4).all()
    assert layout.digits[:3].tolist() == [[0, 0], [0, 1], [0, 2]]
    assert (layout.digits[known:] == 4).any(axis=1).all()
    assert len(np.unique(layout.digits, axis=0)) == 5**layout.group


def test_stream_dtype__holds_every_row():
    assert TableLayout(20, 1, 4, 1).stream_dtype is np.uint16
    assert TableLayout(5, 6, 4**6, 1).stream_dtype is np.uint32
