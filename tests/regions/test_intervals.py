from __future__ import annotations

import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data.errors import InputError
from chromacc_data.regions import peaks
from chromacc_data.regions.intervals import complement_intervals, match_chromosomes, merge_intervals
from tests.interval_files import (
    close_gaps,
    intervals_of_one_chromosome,
    nucleotides,
    of,
    runs,
)


@pytest.mark.parametrize(
    ("found", "known", "remedy"),
    [
        (["1", "2"], ["chr1", "chr2"], "add `chr`"),
        (["chr1"], ["1"], "remove `chr`"),
        (["chr9"], ["chr1"], "exclude"),
    ],
)
def test_match_chromosomes__names_that_differ(found, known, remedy):
    with pytest.raises(InputError) as error:
        match_chromosomes(found, known, excluded=["chrM"], where="a.bed")
    message = str(error.value)
    assert remedy in message
    assert all(name in message for name in (*found, *known, "chrM"))


def test_match_chromosomes__many_names_stay_on_one_screen():
    with pytest.raises(InputError) as error:
        match_chromosomes([f"x{i}" for i in range(10000)], [f"y{i}" for i in range(10000)], where="a.bed")
    assert len(str(error.value)) < 500


@given(intervals=intervals_of_one_chromosome, distance=st.integers(0, 12))
@settings(deadline=None, max_examples=40)
def test_merge_and_complement_intervals__equal_a_walk_over_nucleotides(intervals, distance):
    start, end = np.array(intervals).T
    chrom = np.ones(start.size, dtype=np.int32)
    codes, merged_start, merged_end = merge_intervals(chrom, start, end, distance=distance)
    assert list(zip(merged_start.tolist(), merged_end.tolist(), strict=True)) == close_gaps(
        intervals, distance
    )
    assert codes.dtype == np.int32
    assert set(codes.tolist()) == {1}
    closed = of(peaks.Peaks(*complement_intervals(chrom, start, end, lengths=[7, 120])))
    assert closed == [(0, 0, 7), *((1, a, b) for a, b in runs(nucleotides(intervals) == 0))]


def test_merge_intervals__nothing_and_large_numbers():
    nothing = np.zeros(0, dtype=np.int64)
    assert [a.size for a in merge_intervals(nothing, nothing, nothing, distance=0)] == [0, 0, 0]
    start = np.array([0, 3_000_000_000, 3_000_000_010])
    merged = merge_intervals(np.array([11, 2, 2]), start, start + 10, distance=0)
    assert [a.tolist() for a in merged] == [[2, 11], [3_000_000_000, 0], [3_000_000_020, 10]]


def test_merge_intervals__leaves_no_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    one = np.array([1])
    merge_intervals(one, one, one + 1, distance=0)
    assert list(tmp_path.iterdir()) == []


def test_merge_intervals__without_bedtools(monkeypatch):
    monkeypatch.setenv("PATH", "")
    one = np.array([1])
    with pytest.raises(InputError, match="bedtools is missing"):
        merge_intervals(one, one, one + 1, distance=0)
