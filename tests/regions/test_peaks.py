from __future__ import annotations

import gzip
import pickle
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pybedtools import BedTool

from chromacc_data.errors import InputError
from chromacc_data.recipe.recipe import FragmentRecipe, Source
from chromacc_data.regions import peaks
from chromacc_data.regions.bed import read_intervals
from chromacc_data.regions.peaks import cell_type_peaks, mean_summits
from tests.interval_files import (
    GENOME,
    SIGNAL,
    intervals_of_one_chromosome,
    nucleotides,
    of,
    peaks_in_file,
    runs,
    sample,
    write,
    write_bigwig,
)


def test_mean_summits__rounds_down_and_leaves_groups_without():
    summit, group = np.array([10, 13, -1, -1, 40]), np.array([0, 0, 0, 1, 2])
    assert mean_summits(summit, group, np.array([5, 20, 40])).tolist() == [11, -1, 40]


def test_cell_type_peaks__regions_within_the_distance_are_one_peak(tmp_path):
    path = write(tmp_path, "chr2\t0\t10\nchr1\t412\t420\nchr1\t0\t10\nchr1\t210\t211\n")
    found = peaks_in_file(path, sample(), **GENOME)
    assert of(found) == [(0, 0, 211), (0, 412, 420), (1, 0, 10)]
    assert (found.chrom.dtype, found.start.dtype, found.end.dtype) == (np.int32, np.int64, np.int64)
    assert found.summit is None
    assert found.counts == {"intervals": 4, "intervals_excluded": 0, "peaks": 3}
    assert of(found.on(1)) == [(1, 0, 10)]
    assert len(peaks_in_file(path, sample(), merge_distance=199, **GENOME)) == 4


def test_cell_type_peaks__none_leaves_intervals_as_they_are(tmp_path):
    path = write(tmp_path, "chr1\t5\t10\nchr1\t0\t10\nchr1\t0\t10\n")
    found = peaks_in_file(path, sample(), merge_distance=None, **GENOME)
    assert of(found) == [(0, 0, 10), (0, 0, 10), (0, 5, 10)]


def test_cell_type_peaks__summits(tmp_path):
    line = "chr1\t{}\t{}\tp\t0\t.\t0\t-1\t-1\t{}\n"
    text = (
        line.format(600, 700, 1)
        + line.format(0, 100, 20)
        + line.format(150, 200, 5)
        + line.format(900, 950, -1)
    )
    found = peaks_in_file(write(tmp_path, text), sample(center="summit"), merge_distance=50, **GENOME)
    assert of(found) == [(0, 0, 200), (0, 600, 700), (0, 900, 950)]
    assert found.summit.tolist() == [(20 + 155) // 2, 601, -1]
    apart = peaks_in_file(write(tmp_path, text), sample(center="summit"), merge_distance=None, **GENOME)
    assert apart.summit.tolist() == [20, 155, 601, -1]


def test_cell_type_peaks__excluded_chromosomes_are_dropped_and_counted(tmp_path):
    path = write(tmp_path, "chrM\t0\t99999\nchr1\t0\t10\n")
    found = peaks_in_file(path, sample(), excluded={"chrM"}, **GENOME)
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
        peaks_in_file(write(tmp_path, text), sample(**options), excluded={"chrM"}, **GENOME)
    assert what in error.value.what
    assert str(error.value.where) == str(tmp_path / where)
    assert None not in (error.value.found, error.value.expected, error.value.remedy)


def test_cell_type_peaks__travels_to_another_process():
    call = pickle.loads(pickle.dumps(partial(cell_type_peaks, samples=[sample()], **GENOME)))
    assert call.func is cell_type_peaks


@pytest.mark.parametrize("distance", [None, 0, 30])
def test_cell_type_peaks__together_as_each_alone(tmp_path, distance):
    narrow = "chr2\t5\t9\tp\t0\t.\t0\t-1\t-1\t2\nchr1\t990\t1000\tp\t0\t.\t0\t-1\t-1\t-1\n"
    files = [
        (write(tmp_path, "chr2\t490\t500\nchr2\t0\t5\nchr1\t40\t50\nchr1\t0\t20\n", "a.bed"), sample()),
        (write(tmp_path, narrow, "b.narrowPeak"), sample(center="summit")),
        (write_bigwig(tmp_path, SIGNAL), sample("signal", 0.7)),
        (write(tmp_path, "chr1\t0\t10\nchr1\t5\t15\nchr2\t0\t4\n", "c.bed"), sample("fragments", 2.0)),
    ]
    options = {"merge_distance": distance, **GENOME}
    together = cell_type_peaks(*zip(*files, strict=True), **options)
    alone = [peaks_in_file(path, one, **options) for path, one in files]
    assert [of(found) for found in together] == [of(found) for found in alone]
    assert [found.counts for found in together] == [found.counts for found in alone]
    assert [found.summit is None for found in together] == [True, False, True, True]
    assert together[1].summit.tolist() == alone[1].summit.tolist() == [-1, 7]
    assert of(together[0])[-1] == (1, 490, 500)
    assert of(together[3]) == [(0, 5, 10)]


@pytest.mark.parametrize("kind", ["bedGraph", "bigWig"])
@pytest.mark.parametrize("distance", [None, 0, 2])
def test_cell_type_peaks__signal_at_the_threshold_is_open(tmp_path, monkeypatch, kind, distance):
    monkeypatch.setattr(peaks, "SPAN", 7)  # a run goes over the edge of what is read at once
    text = "track type=bedGraph\n" + "".join("\t".join(map(str, row)) + "\n" for row in SIGNAL)
    path = write(tmp_path, text) if kind == "bedGraph" else write_bigwig(tmp_path, SIGNAL)
    found = peaks_in_file(path, sample("signal", 0.7), merge_distance=distance, **GENOME)
    apart = [(0, 0, 4), (0, 6, 12), (1, 7, 8)]
    assert of(found) == ([(0, 0, 12), (1, 7, 8)] if distance == 2 else apart)


def test_cell_type_peaks__bigwig_of_other_chromosomes(tmp_path):
    path = write_bigwig(tmp_path, SIGNAL)
    found = peaks_in_file(path, sample("signal", 0.7), chromosomes=["chr2"], lengths=[500], excluded={"chr1"})
    assert of(found) == [(0, 7, 8)]
    assert found.counts["chromosomes_excluded"] == 1
    with pytest.raises(InputError, match="'chr1' is not in the genome"):
        peaks_in_file(path, sample("signal", 0.7), chromosomes=["chr2"], lengths=[500])
    with pytest.raises(InputError, match="does not fit chromosome chr2"):
        peaks_in_file(path, sample("signal", 0.7), chromosomes=["chr1", "chr2"], lengths=[1000, 501])
    with pytest.raises(InputError, match="has no peaks"):
        peaks_in_file(path, sample("signal", 70.0), **GENOME)


def test_cell_type_peaks__bigwig_past_the_end(tmp_path):
    path = write_bigwig(tmp_path, SIGNAL)
    cut = {"chromosomes": ["chr1", "chr2"], "lengths": [10, 500]}  # a FASTA that is cut
    with pytest.raises(InputError, match="does not fit chromosome chr1") as caught:
        peaks_in_file(path, sample("signal", 0.7), **cut)
    assert "past_end: clip" in caught.value.remedy
    clipped = peaks_in_file(path, sample("signal", 0.7, past_end="clip"), merge_distance=None, **cut)
    assert of(clipped) == [(0, 0, 4), (0, 6, 10), (1, 7, 8)]
    assert clipped.counts["intervals_past_end_clipped"] == 1
    dropped = peaks_in_file(path, sample("signal", 0.7, past_end="drop"), merge_distance=None, **cut)
    assert of(dropped) == [(0, 0, 4), (1, 7, 8)]
    assert dropped.counts["intervals_past_end_dropped"] == 1


@pytest.mark.parametrize("n_bytes", [0, 3, 64, 300, 2000])
def test_cell_type_peaks__cut_bigwig(tmp_path, n_bytes):
    generator = np.random.default_rng(0)
    rows = [("chr1", i, i + 1, float(v)) for i, v in enumerate(generator.random(1000))]
    path = write_bigwig(tmp_path, rows)
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(InputError) as caught:
        peaks_in_file(path, sample("signal", 0.5), **GENOME)
    assert str(path) in str(caught.value.where)


def test_cell_type_peaks__absent_signal(tmp_path):
    with pytest.raises(InputError, match="cannot read the file"):
        peaks_in_file(tmp_path / "absent.bw", sample("signal", 0.5), **GENOME)


def test_cell_type_peaks__bedgraph_without_numbers(tmp_path):
    with pytest.raises(InputError, match="no number in column 4") as error:
        peaks_in_file(write(tmp_path, "chr1\t0\t4\t1\nchr1\t4\t6\tpeak\n"), sample("signal", 1.0), **GENOME)
    assert str(error.value.where).endswith("line 2")


def test_cell_type_peaks__fragments_of_three_columns(tmp_path):
    path = write(tmp_path, "chr1\t0\t10\nchr1\t5\t15\nchr2\t0\t10\n")
    assert of(peaks_in_file(path, sample("fragments", 2.0), merge_distance=0, **GENOME)) == [(0, 5, 10)]


def test_cell_type_peaks__bedpe_spans_both_mates(tmp_path):
    text = (
        "chr1\t20\t30\tchr1\t0\t5\tread1\t0\t+\t-\n"
        "chr1\t3\t9\tchr1\t25\t29\tread2\t0\t+\t-\n"
        "chr1\t0\t5\tchr2\t0\t5\tread3\t0\t+\t-\n"
        "chr1\t0\t5\t.\t-1\t-1\tread4\t0\t+\t.\n"
        "chrM\t0\t5\tchrM\t2\t9\tread5\t0\t+\t-\n"
    )
    found = peaks_in_file(write(tmp_path, text), sample("fragments", 2.0), excluded={"chrM"}, **GENOME)
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
    assert of(peaks_in_file(path, sample("fragments", 1.0), **GENOME)) == [(0, 0, 10)]


def test_cell_type_peaks__half_a_bedpe_line(tmp_path):
    path = write(tmp_path, "chr1\t0\t5\tchr1\t7\t9\nchr1\t0\t5\tchr1\n")
    with pytest.raises(InputError, match="not a BEDPE line") as error:
        peaks_in_file(path, sample("fragments", 1.0), **GENOME)
    assert str(error.value.where).endswith("line 2")


def test_cell_type_peaks__ends_of_fragments_and_their_length(tmp_path):
    path = write(tmp_path, "chr1\t100\t200\nchr1\t0\t500\n")
    ends = FragmentRecipe(count="ends", extend=2)
    found = peaks_in_file(path, sample("fragments", 1.0, fragments=ends), merge_distance=0, **GENOME)
    assert of(found) == [(0, 0, 3), (0, 98, 103), (0, 197, 202), (0, 497, 502)]
    short = FragmentRecipe(max_length=100)
    found = peaks_in_file(path, sample("fragments", 1.0, fragments=short), **GENOME)
    assert of(found) == [(0, 100, 200)]
    assert found.counts["fragments_long"] == 1


@given(fragments=intervals_of_one_chromosome, threshold=st.integers(1, 4), span=st.integers(1, 150))
@settings(deadline=None, max_examples=40)
def test_cell_type_peaks__coverage_equals_a_walk_over_nucleotides(fragments, threshold, span):
    expected = [(0, a, b) for a, b in runs(nucleotides(fragments) >= threshold)]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(peaks, "SPAN", span)
        path = write(Path(folder), "".join(f"chr1\t{a}\t{b}\n" for a, b in fragments))
        read = partial(peaks_in_file, path, sample("fragments", float(threshold)), merge_distance=0, **GENOME)
        if not expected:
            with pytest.raises(InputError, match="has no peaks"):
                read()
        else:
            assert of(read()) == expected


@pytest.mark.shared
@pytest.mark.parametrize("name", ["GM12878", "K562", "HeLa-S3", "HUVEC", "Jurkat", "HepG2"])
def test_cell_type_peaks__real_dnase(shared_data, name):
    path = shared_data / "peaks_dnase" / f"{name}.bed.gz"
    found = peaks_in_file(path, sample(), chromosomes=["chr20", "chrX"], lengths=[63_025_520, 69_999_930])
    assert found.counts["intervals"] == len(gzip.decompress(path.read_bytes()).splitlines())
    gap = found.start[1:] - found.end[:-1]
    assert (gap[np.diff(found.chrom) == 0] > 200).all()


@pytest.mark.shared
def test_cell_type_peaks__real_fragments_reach_the_published_peaks(shared_data):
    folder = shared_data / "yeast_atac"
    found = peaks_in_file(
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


# Several files of one cell type


def text_of(intervals: list[tuple[int, int]]) -> str:
    return "".join(f"chr1\t{start}\t{end}\n" for start, end in intervals)


@given(
    files=st.lists(intervals_of_one_chromosome, min_size=2, max_size=4),
    least=st.integers(1, 4),
    distance=st.integers(0, 5),
)
@settings(deadline=None, max_examples=20)
def test_cell_type_peaks__replicates_are_what_multiinter_finds(files, least, distance, tmp_path_factory):
    folder, least = tmp_path_factory.mktemp("files"), min(least, len(files))
    paths = [write(folder, text_of(each), f"{number}.bed") for number, each in enumerate(files)]
    merged = [str(BedTool(text_of(each), from_string=True).sort().merge().saveas().fn) for each in files]
    cut = BedTool().multi_intersect(i=merged).filter(lambda row: int(row[3]) >= least).saveas()
    expected = [(row.start, row.end) for row in cut.merge(d=distance)] if len(cut) else []
    one = sample(replicates=[Source(file="b.bed")] * (len(files) - 1), min_replicates=least)
    options = {**GENOME, "merge_distance": distance, "replicates": [paths[1:]]}
    if not expected:
        with pytest.raises(InputError, match="agree nowhere"):
            cell_type_peaks(paths[:1], [one], **options)
        return
    (found,) = cell_type_peaks(paths[:1], [one], **options)
    assert list(zip(found.start.tolist(), found.end.tolist(), strict=True)) == expected
    assert found.counts["intervals"] == sum(map(len, files))


def test_cell_type_peaks__summits_of_replicates(tmp_path):
    """A range where files agree has the mean of the summits that lie in it; a union keeps every summit."""
    lines = ("chr1\t10\t50\t.\t0\t.\t1\t-1\t-1\t25\n", "chr1\t30\t90\t.\t0\t.\t1\t-1\t-1\t{}\n")
    first = write(tmp_path, lines[0], "a.narrowPeak")
    for offset, least, expected in ((15, 2, (30, 50, 40)), (40, 2, (30, 50, 35)), (40, 1, (10, 90, 52))):
        second = write(tmp_path, lines[1].format(offset), "b.narrowPeak")
        one = sample(center="summit", replicates=[Source(file="b.bed")], min_replicates=least)
        (found,) = cell_type_peaks([first], [one], **GENOME, replicates=[[second]])
        assert (found.start[0], found.end[0], found.summit[0]) == expected


def test_cell_type_peaks__replicates_of_a_signal_are_cut_at_the_threshold_one_by_one(tmp_path):
    paths = [
        write(tmp_path, "chr1\t0\t10\t3\nchr1\t10\t20\t1\n", "a.bedGraph"),
        write(tmp_path, "chr1\t5\t20\t2\n", "b.bedGraph"),
    ]
    for least, expected in ((2, (5, 10)), (1, (0, 20))):
        one = sample("signal", 2.0, replicates=[Source(file="b.bed")], min_replicates=least)
        (found,) = cell_type_peaks(paths[:1], [one], **GENOME, merge_distance=0, replicates=[paths[1:]])
        assert (found.start.tolist(), found.end.tolist()) == ([expected[0]], [expected[1]])
