from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromacc_data.errors import InputError
from chromacc_data.names import REGION_COLUMNS, column_names, file_names, require_cell_types

any_names = st.lists(st.text(min_size=1, max_size=300), min_size=1, max_size=6, unique=True)


@given(names=any_names)
def test_file_names__safe_and_distinct(names):
    files = file_names(names)
    assert len({file.casefold() for file in files}) == len(names)
    assert all(len(file.encode()) < 200 and "/" not in file and file.isprintable() for file in files)


@given(names=any_names)
def test_column_names__one_line_and_distinct(names):
    columns = column_names(names)
    assert len({*columns, *REGION_COLUMNS}) == len(names) + len(REGION_COLUMNS)
    assert all("\t" not in column and len(column.splitlines()) <= 1 for column in columns)


@given(names=any_names)
def test_column_names__good_names_stay(names):
    try:
        require_cell_types(names)
    except InputError:
        return
    assert column_names(names) == names


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (["a b", "a/b", "a_b_2"], ["a_b", "a_b_3", "a_b_2"]),
        (["e\N{COMBINING ACUTE ACCENT}"], ["é"]),
        (["K562", "k562"], ["K562", "k562_2"]),
        (['CD4+ T/naïve "γδ", 50%'], ["CD4__T_naïve__γδ___50_"]),
    ],
)
def test_file_names__by_hand(names, files):
    assert file_names(names) == files
