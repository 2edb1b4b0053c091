from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data.errors import InputError
from chromacc_data.regions import bed
from chromacc_data.regions.bed import read_intervals
from tests.interval_files import (
    coordinates,
    write,
)


@pytest.mark.parametrize(
    "text",
    [
        "chr1\t1\t5\nchr2\t7\t9\n",
        "chr1\t1\t5\nchr2\t7\t9",
        "chr1\t1\t5\r\nchr2\t7\t9\r\n",
        "#chrom\tstart\tend\nchr1\t1\t5\n#note\nchr2\t7\t9\n",
        "chrom\tstart\tend\nchr1\t1\t5\nchr2\t7\t9\n",
        "chrom1\tstart1\tend1\tx\nchr1\t1\t5\ta\nchr2\t7\t9\tb\n",
        'track type=bed name="x"\nbrowser position chr1:1-5\nchr1\t1\t5\ntrack\nchr2\t7\t9\n',
        "\nchr1\t1\t5\n\n \t\nchr2\t7\t9\n\n",
        "\ufeffchr1\t1\t5\nchr2\t7\t9\n",
        "chr1\t1\t5\tpeak#1\t0\t+\t1\t2\t3\nchr2\t7\t9\n",
        "chr1\t1\t5\nchr2\t7\t9\ta\t0\t.\t1\t2\t3\t4\t5\t6\t7\t8\n",
    ],
    ids=[
        "plain",
        "unterminated",
        "crlf",
        "comment",
        "header",
        "bedpe-header",
        "display",
        "blank",
        "bom",
        "ragged",
        "wide",
    ],
)
@pytest.mark.parametrize("name", ["a.bed", "a.bed.gz"])
def test_read_intervals__tolerates(tmp_path, text, name):
    frame = read_intervals(write(tmp_path, text, name))
    assert coordinates(frame) == [("chr1", 1, 5), ("chr2", 7, 9)]
    assert [frame[c].dtype for c in ("start", "end", "summit", "line")] == [np.int64] * 4


def test_read_intervals__a_chromosome_called_track1_is_no_display_line(tmp_path):
    assert coordinates(read_intervals(write(tmp_path, "track1\t1\t5\n"))) == [("track1", 1, 5)]


def test_read_intervals__bgzip_is_many_gzip_members(tmp_path):
    path = tmp_path / "a.bed.gz"
    path.write_bytes(gzip.compress(b"chr1\t1\t5\nch") + gzip.compress(b"r2\t7\t9\n") + gzip.compress(b""))
    assert coordinates(read_intervals(path)) == [("chr1", 1, 5), ("chr2", 7, 9)]


def test_read_intervals__names_strands_lines(tmp_path):
    text = "#c\nchr1\t1\t5\tfirst peak\t0\t+\nchr1\t2\t6\n\nchr1\t3\t7\t\t0\t-\nchr1\t4\t8\té\t0\t*\n"
    frame = read_intervals(write(tmp_path, text))
    assert frame["name"].tolist() == ["first peak", ".", ".", "é"]
    assert frame["strand"].tolist() == ["+", ".", "-", "."]
    assert frame["line"].tolist() == [2, 3, 5, 6]


def test_read_intervals__summits(tmp_path):
    narrow = "chr1\t100\t200\tp\t0\t.\t1.5\t-1\t-1\t"
    text = f"{narrow}30\n{narrow}-1\n{narrow}100\n{narrow}0\textra\n{narrow}1.5\nchr1\t100\t200\n"
    assert read_intervals(write(tmp_path, text))["summit"].tolist() == [130, -1, -1, 100, -1, -1]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", None, "no intervals"),
        ("# only\ntrack x\n\n", None, "no intervals"),
        ("chrom\tstart\tend\n", None, "no intervals"),
        ("chr1\t1\t5\nchr1 7 9\n", 2, "separated by spaces"),
        ("#c\nchr1\t1\n", 2, "2 columns"),
        ("chr1\t1\t5\nchr1\t-3\t9\n", 2, "start is negative: -3"),
        ("chr1\t1\t5\n\nchr1\t9\t3\n", 3, "end is below start"),
        ("chr1\t9\t9\n", 1, "zero length"),
        ("chr1\t1\t5\nchr1\t1.0\t9\n", 2, "start is not an integer: '1.0'"),
        ("chr1\t1\t5\nchr1\tstart\tend\n", 2, "start is not an integer"),
        ("chr1\t1\t1e3\n", 1, "end is not an integer"),
        ("chr1\t1\t\n", 1, "end is not an integer: ''"),
        ("chr1\t1\t1000000000000000000\n", 1, "end is too large for a position"),
        ("chr1\t1\t" + 500 * "9" + "\n", 1, "end is too large for a position"),
        ("chr1\t1\t5\tp\t0\nchr1\t7\t9\tp", 2, "half-written"),
        ("chr1\t1\t5\nchr1\t7", 2, "half-written"),
        (b"chr1\t1\t5\nchr1\t7\t\0\0", 2, "NUL bytes"),
        (b"chr\xff\t1\t5\n", 1, "not in UTF-8"),
        (b"chr1\t1\t5\nchr1\t1\t5\tna\xefve\n", 2, "not in UTF-8"),
        ("chr1\t1\t5\nchr1\t7\t9\rchr1\t8\t9\n", 2, "a carriage return within a line"),
    ],
)
@pytest.mark.parametrize("name", ["a.bed", "a.bed.gz"])
def test_read_intervals__refuses(tmp_path, text, line, what, name):
    path = write(tmp_path, text, name)
    with pytest.raises(InputError) as error:
        read_intervals(path)
    assert what in error.value.what
    assert str(error.value.where) == (str(path) if line is None else f"{path} line {line}")
    assert None not in (error.value.found, error.value.expected, error.value.remedy)


def test_read_intervals__truncated_gzip(tmp_path):
    whole = gzip.compress(b"".join(b"chr1\t%d\t%d\n" % (i * i, i * i + 7) for i in range(5000)))
    path = tmp_path / "a.bed.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="truncated or damaged") as error:
        read_intervals(path)
    assert 0 < int(str(error.value.where).rsplit(" ", 1)[1]) < 5000
    path.write_bytes(whole[:-8] + bytes(8))
    with pytest.raises(InputError, match="truncated or damaged"):
        read_intervals(path)


@pytest.mark.parametrize("name", ["absent.bed", "."])
def test_read_intervals__no_such_file(tmp_path, name):
    with pytest.raises(InputError, match="cannot read"):
        read_intervals(tmp_path / name)


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["chr1", "chr10", "scaffold|7", "x"]),
            st.integers(0, 10**9),
            st.integers(1, 10**6),
            st.sampled_from(["", "\tn", "\tn#1\t0\t+\t7", "\t\t\t\t\t\t\t\t\t\t"]),
            st.sampled_from(["", "#comment\n", "\n", "track x\n"]),
        ),
        min_size=1,
    ),
    newline=st.sampled_from(["\n", "\r\n"]),
    block=st.integers(1, 40),
)
@settings(deadline=None)
def test_read_intervals__any_block_size_reads_what_was_written(rows, newline, block):
    text = "".join(f"{before}{c}\t{s}\t{s + n}{more}\n" for c, s, n, more, before in rows)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(bed, "BLOCK_BYTES", block)
        frame = read_intervals(write(Path(folder), text.replace("\n", newline)))
    assert coordinates(frame) == [(c, s, s + n) for c, s, n, *_ in rows]
    lines = text.split("\n")
    assert all(lines[line - 1].startswith(c) for line, c in zip(frame["line"], frame["chrom"], strict=True))


def test_read_intervals__half_written_line_at_a_block_edge(tmp_path, monkeypatch):
    monkeypatch.setattr(bed, "BLOCK_BYTES", 10)
    with pytest.raises(InputError, match="half-written"):
        read_intervals(write(tmp_path, "chr1\t1\t5\tn\nchr1\t7\t9"))
