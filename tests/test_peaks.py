"""Reading of intervals, open regions of signals and fragments, merged peaks."""

from __future__ import annotations

import gzip
import pickle
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pyBigWig
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data import peaks
from chromacc_data.errors import InputError
from chromacc_data.peaks import (
    cell_type_peaks,
    complement_intervals,
    match_chromosomes,
    mean_summits,
    merge_intervals,
    read_intervals,
)
from chromacc_data.recipe import FragmentRecipe, Sample, Source

GENOME = {"chromosomes": ("chr1", "chr2"), "lengths": (1000, 500)}

intervals_of_one_chromosome = st.lists(
    st.tuples(st.integers(0, 90), st.integers(1, 10)).map(lambda pair: (pair[0], pair[0] + pair[1])),
    min_size=1,
    max_size=15,
)


def write(folder: Path, text: str | bytes, name: str = "a.bed") -> Path:
    path = folder / name
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def sample(kind: str = "peaks", threshold: float | None = None, **options: object) -> Sample:
    return Sample("A", Source(file="a.bed"), kind=kind, threshold=threshold, **options)


def coordinates(frame) -> list[tuple[str, int, int]]:
    return list(frame[["chrom", "start", "end"]].itertuples(index=False, name=None))


def of(found: peaks.Peaks) -> list[tuple[int, int, int]]:
    return list(zip(found.chrom.tolist(), found.start.tolist(), found.end.tolist(), strict=True))


# Reading


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
    bed12 = "chr1\t100\t200\tp\t0\t+\t100\t200\t0\t2\t10,20\t0,80\n"
    text = f"{narrow}30\n{narrow}-1\n{narrow}100\n{narrow}0\textra\n{narrow}1.5\n{bed12}chr1\t100\t200\n"
    assert read_intervals(write(tmp_path, text))["summit"].tolist() == [130, -1, -1, 100, -1, -1, -1]


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
        ("chr1\t1\t1000000000000000000\n", 1, "end is not an integer"),
        ("chr1\t1\t5\tp\t0\nchr1\t7\t9\tp", 2, "half-written"),
        ("chr1\t1\t5\nchr1\t7", 2, "half-written"),
        (b"chr1\t1\t5\nchr1\t7\t\0\0", 2, "not a text file"),
        (b"\xff\xfe\xff\t1\t5\n", 1, "not a text file"),
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
        patch.setattr(peaks, "BLOCK_BYTES", block)
        frame = read_intervals(write(Path(folder), text.replace("\n", newline)))
    assert coordinates(frame) == [(c, s, s + n) for c, s, n, *_ in rows]
    lines = text.split("\n")
    assert all(lines[line - 1].startswith(c) for line, c in zip(frame["line"], frame["chrom"], strict=True))


def test_read_intervals__half_written_line_at_a_block_edge(tmp_path, monkeypatch):
    monkeypatch.setattr(peaks, "BLOCK_BYTES", 10)
    with pytest.raises(InputError, match="half-written"):
        read_intervals(write(tmp_path, "chr1\t1\t5\tn\nchr1\t7\t9"))


# Chromosome names


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


# bedtools


def nucleotides(intervals, size=120) -> np.ndarray:
    covered = np.zeros(size, dtype=int)
    for start, end in intervals:
        covered[start:end] += 1
    return covered


def runs(is_open) -> list[tuple[int, int]]:
    """Runs of True, by walking over the nucleotides."""
    found, begin = [], None
    for position, value in enumerate([*is_open, False]):
        if value and begin is None:
            begin = position
        elif not value and begin is not None:
            found.append((begin, position))
            begin = None
    return found


def close_gaps(intervals, distance) -> list[tuple[int, int]]:
    """Runs of open nucleotides, those at most `distance` apart as one, by walking."""
    merged = []
    for start, end in runs(nucleotides(intervals) > 0):
        if merged and start - merged[-1][1] <= distance:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged


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


def test_mean_summits__rounds_down_and_leaves_groups_without():
    summit, group = np.array([10, 13, -1, -1, 40]), np.array([0, 0, 0, 1, 2])
    assert mean_summits(summit, group, np.array([5, 20, 40])).tolist() == [11, -1, 40]


# Peaks of a cell type


def test_cell_type_peaks__regions_within_the_distance_are_one_peak(tmp_path):
    path = write(tmp_path, "chr2\t0\t10\nchr1\t412\t420\nchr1\t0\t10\nchr1\t210\t211\n")
    found = cell_type_peaks(path, sample(), **GENOME)
    assert of(found) == [(0, 0, 211), (0, 412, 420), (1, 0, 10)]
    assert (found.chrom.dtype, found.start.dtype, found.end.dtype) == (np.int32, np.int64, np.int64)
    assert found.summit is None
    assert found.counts == {"intervals": 4, "intervals_excluded": 0, "peaks": 3}
    assert of(found.on(1)) == [(1, 0, 10)]
    assert len(cell_type_peaks(path, sample(), merge_distance=199, **GENOME)) == 4


def test_cell_type_peaks__none_leaves_intervals_as_they_are(tmp_path):
    path = write(tmp_path, "chr1\t5\t10\nchr1\t0\t10\nchr1\t0\t10\n")
    found = cell_type_peaks(path, sample(), merge_distance=None, **GENOME)
    assert of(found) == [(0, 0, 10), (0, 0, 10), (0, 5, 10)]


def test_cell_type_peaks__summits(tmp_path):
    line = "chr1\t{}\t{}\tp\t0\t.\t0\t-1\t-1\t{}\n"
    text = (
        line.format(600, 700, 1)
        + line.format(0, 100, 20)
        + line.format(150, 200, 5)
        + line.format(900, 950, -1)
    )
    found = cell_type_peaks(write(tmp_path, text), sample(center="summit"), merge_distance=50, **GENOME)
    assert of(found) == [(0, 0, 200), (0, 600, 700), (0, 900, 950)]
    assert found.summit.tolist() == [(20 + 155) // 2, 601, -1]
    apart = cell_type_peaks(write(tmp_path, text), sample(center="summit"), merge_distance=None, **GENOME)
    assert apart.summit.tolist() == [20, 155, 601, -1]


def test_cell_type_peaks__excluded_chromosomes_are_dropped_and_counted(tmp_path):
    path = write(tmp_path, "chrM\t0\t99999\nchr1\t0\t10\n")
    found = cell_type_peaks(path, sample(), excluded={"chrM"}, **GENOME)
    assert found.counts == {"intervals": 2, "intervals_excluded": 1, "peaks": 1}


@pytest.mark.parametrize(
    ("text", "options", "what", "where"),
    [
        ("chr1\t0\t10\n1\t0\t10\n", {}, "'1' is not in the genome", "a.bed"),
        ("chr1\t0\t10\nchr2\t499\t501\n", {}, "does not fit chromosome chr2", "a.bed line 2"),
        ("chrM\t0\t10\n", {}, "has no peaks", "a.bed"),
        ("chr1\t0\t10\n", {"center": "summit"}, "no summits", "a.bed"),
    ],
)
def test_cell_type_peaks__refuses(tmp_path, text, options, what, where):
    with pytest.raises(InputError) as error:
        cell_type_peaks(write(tmp_path, text), sample(**options), excluded={"chrM"}, **GENOME)
    assert what in error.value.what
    assert str(error.value.where) == str(tmp_path / where)
    assert None not in (error.value.found, error.value.expected, error.value.remedy)


def test_cell_type_peaks__travels_to_another_process():
    call = pickle.loads(pickle.dumps(partial(cell_type_peaks, sample=sample(), **GENOME)))
    assert call.func is cell_type_peaks


# Signals


def write_bigwig(folder: Path, rows, lengths=(("chr1", 1000), ("chr2", 500))) -> Path:
    path = folder / "a.bw"
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader(list(lengths))
        for chrom, start, end, value in rows:
            file.addEntries([chrom], [start], ends=[end], values=[value])
    return path


SIGNAL = [
    ("chr1", 0, 4, 0.7),
    ("chr1", 4, 6, 0.69),
    ("chr1", 6, 9, 3.0),
    ("chr1", 9, 12, 0.7),
    ("chr2", 7, 8, 2.0),
]


@pytest.mark.parametrize("kind", ["bedGraph", "bigWig"])
@pytest.mark.parametrize("distance", [None, 0, 2])
def test_cell_type_peaks__signal_at_the_threshold_is_open(tmp_path, monkeypatch, kind, distance):
    monkeypatch.setattr(peaks, "SPAN", 7)  # a run goes over the edge of what is read at once
    text = "track type=bedGraph\n" + "".join("\t".join(map(str, row)) + "\n" for row in SIGNAL)
    path = write(tmp_path, text) if kind == "bedGraph" else write_bigwig(tmp_path, SIGNAL)
    found = cell_type_peaks(path, sample("signal", 0.7), merge_distance=distance, **GENOME)
    apart = [(0, 0, 4), (0, 6, 12), (1, 7, 8)]
    assert of(found) == ([(0, 0, 12), (1, 7, 8)] if distance == 2 else apart)


def test_cell_type_peaks__bigwig_of_other_chromosomes(tmp_path):
    path = write_bigwig(tmp_path, SIGNAL)
    found = cell_type_peaks(
        path, sample("signal", 0.7), chromosomes=["chr2"], lengths=[500], excluded={"chr1"}
    )
    assert of(found) == [(0, 7, 8)]
    assert found.counts["chromosomes_excluded"] == 1
    with pytest.raises(InputError, match="'chr1' is not in the genome"):
        cell_type_peaks(path, sample("signal", 0.7), chromosomes=["chr2"], lengths=[500])
    with pytest.raises(InputError, match="does not fit chromosome chr2"):
        cell_type_peaks(path, sample("signal", 0.7), chromosomes=["chr1", "chr2"], lengths=[1000, 501])
    with pytest.raises(InputError, match="has no peaks"):
        cell_type_peaks(path, sample("signal", 70.0), **GENOME)


def test_cell_type_peaks__broken_or_absent_signal(tmp_path):
    generator = np.random.default_rng(0)
    rows = [("chr1", i, i + 1, float(v)) for i, v in enumerate(generator.random(1000))]
    path = write_bigwig(tmp_path, rows)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match="cannot be read as a bigWig"):
        cell_type_peaks(path, sample("signal", 0.5), **GENOME)
    with pytest.raises(InputError, match="cannot read the file"):
        cell_type_peaks(tmp_path / "absent.bw", sample("signal", 0.5), **GENOME)


def test_cell_type_peaks__bedgraph_without_numbers(tmp_path):
    with pytest.raises(InputError, match="no number in column 4") as error:
        cell_type_peaks(write(tmp_path, "chr1\t0\t4\t1\nchr1\t4\t6\tpeak\n"), sample("signal", 1.0), **GENOME)
    assert str(error.value.where).endswith("line 2")


# Fragments


def test_cell_type_peaks__fragments_of_three_columns(tmp_path):
    path = write(tmp_path, "chr1\t0\t10\nchr1\t5\t15\nchr2\t0\t10\n")
    assert of(cell_type_peaks(path, sample("fragments", 2.0), merge_distance=0, **GENOME)) == [(0, 5, 10)]


def test_cell_type_peaks__bedpe_spans_both_mates(tmp_path):
    text = (
        "chr1\t20\t30\tchr1\t0\t5\tread1\t0\t+\t-\n"
        "chr1\t3\t9\tchr1\t25\t29\tread2\t0\t+\t-\n"
        "chr1\t0\t5\tchr2\t0\t5\tread3\t0\t+\t-\n"
        "chr1\t0\t5\t.\t-1\t-1\tread4\t0\t+\t.\n"
        "chrM\t0\t5\tchrM\t2\t9\tread5\t0\t+\t-\n"
    )
    found = cell_type_peaks(write(tmp_path, text), sample("fragments", 2.0), excluded={"chrM"}, **GENOME)
    assert of(found) == [(0, 3, 29)]
    assert found.counts == {
        "fragments": 5,
        "fragments_excluded": 1,
        "fragments_unpaired": 2,
        "fragments_long": 0,
        "peaks": 1,
    }


def test_cell_type_peaks__bed6_of_fragments_is_no_bedpe(tmp_path):
    path = write(tmp_path, "chr1\t0\t10\tcell\t3\t+\n")
    assert of(cell_type_peaks(path, sample("fragments", 1.0), **GENOME)) == [(0, 0, 10)]


def test_cell_type_peaks__half_a_bedpe_line(tmp_path):
    path = write(tmp_path, "chr1\t0\t5\tchr1\t7\t9\nchr1\t0\t5\tchr1\n")
    with pytest.raises(InputError, match="not a BEDPE line") as error:
        cell_type_peaks(path, sample("fragments", 1.0), **GENOME)
    assert str(error.value.where).endswith("line 2")


def test_cell_type_peaks__ends_of_fragments_and_their_length(tmp_path):
    path = write(tmp_path, "chr1\t100\t200\nchr1\t0\t500\n")
    ends = FragmentRecipe(count="ends", extend=2)
    found = cell_type_peaks(path, sample("fragments", 1.0, fragments=ends), merge_distance=0, **GENOME)
    assert of(found) == [(0, 0, 3), (0, 98, 103), (0, 197, 202), (0, 497, 502)]
    short = FragmentRecipe(max_length=100)
    found = cell_type_peaks(path, sample("fragments", 1.0, fragments=short), **GENOME)
    assert of(found) == [(0, 100, 200)]
    assert found.counts["fragments_long"] == 1


@given(fragments=intervals_of_one_chromosome, threshold=st.integers(1, 4), span=st.integers(1, 150))
@settings(deadline=None, max_examples=40)
def test_cell_type_peaks__coverage_equals_a_walk_over_nucleotides(fragments, threshold, span):
    expected = [(0, a, b) for a, b in runs(nucleotides(fragments) >= threshold)]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(peaks, "SPAN", span)
        path = write(Path(folder), "".join(f"chr1\t{a}\t{b}\n" for a, b in fragments))
        read = partial(
            cell_type_peaks, path, sample("fragments", float(threshold)), merge_distance=0, **GENOME
        )
        if not expected:
            with pytest.raises(InputError, match="has no peaks"):
                read()
        else:
            assert of(read()) == expected


# Real files


@pytest.mark.shared
@pytest.mark.parametrize("name", ["GM12878", "K562", "HeLa-S3", "HUVEC", "Jurkat", "HepG2"])
def test_cell_type_peaks__real_dnase(shared_data, name):
    path = shared_data / "peaks_dnase" / f"{name}.bed.gz"
    found = cell_type_peaks(path, sample(), chromosomes=["chr20", "chrX"], lengths=[63_025_520, 69_999_930])
    assert found.counts["intervals"] == len(gzip.decompress(path.read_bytes()).splitlines())
    gap = found.start[1:] - found.end[:-1]
    assert (gap[np.diff(found.chrom) == 0] > 200).all()


@pytest.mark.shared
def test_cell_type_peaks__real_fragments_reach_the_published_peaks(shared_data):
    folder = shared_data / "yeast_atac"
    found = cell_type_peaks(
        folder / "yeast_SRR1822137.chrIV.bedpe.gz",
        sample("fragments", 10.0),
        chromosomes=["chrIV"],
        lengths=[1_531_933],
    )
    published = read_intervals(folder / "hmmratac_reference_peaks.narrowPeak").query("chrom == 'chrIV'")
    start, end = published["start"].to_numpy(), published["end"].to_numpy()
    is_near = np.searchsorted(found.start, end) > np.searchsorted(found.end, start, side="right")
    assert len(published) == 200
    assert is_near.mean() > 0.95
