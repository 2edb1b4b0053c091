"""Joint peaks, Basset's rule, labels, drops, fixed and closed windows."""

from __future__ import annotations

import gzip
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data.errors import InputError
from chromacc_data.recipe.recipe import Sample, Source, WindowRecipe
from chromacc_data.regions.bed import read_intervals
from chromacc_data.regions.windows import (
    Windows,
    add_counts,
    derive_windows,
    merge_distance,
    read_blacklist,
    read_fixed_windows,
)
from tests.interval_files import peaks_in_file, peaks_of, windows_of, windows_of_files

GIVEN = Source(file="windows.bed")


def table(windows: Windows) -> dict[int, set[int]]:
    """Start of each window to the cell types that it is open in."""
    return {
        start: set(np.flatnonzero(row).tolist())
        for start, row in zip(windows.start.tolist(), windows.accessibility(), strict=True)
    }


def on_one(peaks, length=10, chromosome_length=1000, *, blacklist=None, fixed=None, **options) -> Windows:
    recipe = WindowRecipe(length=length, **options)
    return derive_windows(peaks, blacklist, fixed, lengths=[chromosome_length], recipe=recipe)


# Joint peaks


def test_derive_windows__joint_by_hand():
    a, b = peaks_of([(100, 104), (200, 210)]), peaks_of([(103, 110), (210, 215), (300, 301)])
    found = on_one([a, b])
    # 100-110 overlap; 200-210 and 210-215 only touch; 300-301 is alone.
    assert table(found) == {100: {0, 1}, 200: {0}, 207: {1}, 295: {1}}
    assert (found.end - found.start == 10).all()
    assert found.labels.tolist() == [[3], [1], [2], [2]]
    assert (found.start.dtype, found.chrom.dtype, found.strand.dtype) == (np.int64, np.int32, np.int8)
    assert found.counts == {
        "peaks": 5,
        "joint_peaks": 4,
        "joint_peaks_longer_than_window": 0,
        "peaks_outside_their_window": 0,
        "peaks_also_in_another_window": 1,
        "windows_past_end_dropped": 0,
        "windows_past_end_padded": 0,
        "windows_in_blacklist_dropped": 0,
        "windows_open_in_no_cell_type": 0,
        "windows": 4,
    }


def test_derive_windows__a_chain_of_peaks_is_one_joint_peak_with_its_central_window():
    chain = [peaks_of([(100, 130)]), peaks_of([(129, 160)]), peaks_of([(159, 200)])]
    found = on_one(chain)
    assert table(found) == {145: {0, 1, 2}}
    assert found.counts["joint_peaks_longer_than_window"] == 1
    assert found.counts["peaks_outside_their_window"] == 2
    assert found.counts["peaks_also_in_another_window"] == 0
    # A neighbour's window reaches a peak that its own window does not: the peak labels its own all the same.
    found = on_one([*chain, peaks_of([(202, 204)])])
    assert table(found) == {145: {0, 1, 2}, 198: {3}}
    assert found.counts["peaks_also_in_another_window"] == 1


def test_derive_windows__centre_on_the_mean_summit():
    a = peaks_of([(100, 140), (300, 304)], summits=[101, -1])
    b = peaks_of([(120, 150), (500, 540)], summits=[136, 501])
    assert table(on_one([a, b])) == {118 - 5: {0, 1}, 302 - 5: {0}, 496: {1}}
    midpoint = peaks_of([(120, 150)])
    assert table(on_one([a, midpoint])) == {101 - 5: {0, 1}, 297: {0}}


def joint_by_walking(peaks) -> list[range]:
    """Joint peaks by nucleotides: neighbours hang together where one peak holds both."""
    found, begin = [], None
    for x in range(130):
        is_covered = any(s <= x < e for p in peaks for s, e in p)
        is_linked = any(s <= x and x + 1 < e for p in peaks for s, e in p)
        if is_covered and begin is None:
            begin = x
        if is_covered and not is_linked:
            found.append(range(begin, x + 1))
            begin = None
    return found


intervals = st.lists(
    st.tuples(st.integers(0, 100), st.integers(1, 20)).map(lambda pair: (pair[0], pair[0] + pair[1])),
    max_size=8,
)


@given(cell_types=st.lists(intervals, min_size=1, max_size=10), length=st.integers(1, 30))
@settings(deadline=None, max_examples=60)
def test_derive_windows__joint_equals_a_walk_over_nucleotides(cell_types, length):
    found = on_one([peaks_of(p) for p in cell_types], length=length)
    joint = joint_by_walking(cell_types)
    windows = [(j.start + j.stop) // 2 - length // 2 for j in joint]
    members = [[(s, e, i) for i, p in enumerate(cell_types) for s, e in p if s in j] for j in joint]
    assert table(found) == {w: {i for *_, i in peaks} for w, peaks in zip(windows, members, strict=True)}
    outside = in_another = 0
    for own, peaks in zip(windows, members, strict=True):
        for s, e, _ in peaks:
            touched = {w for w in windows if w < e and w + length > s}
            outside += own not in touched
            in_another += bool(touched - {own})
    assert found.counts["joint_peaks_longer_than_window"] == sum(len(j) > length for j in joint)
    assert found.counts["peaks_outside_their_window"] == outside
    assert found.counts["peaks_also_in_another_window"] == in_another


# Basset's rule


def basset_by_the_book(peaks, length, merge_overlap, chromosome_length):
    """Basset's procedure as published, in plain lists: windows are (start, cell types)."""

    def about(centre):
        start = max(0, centre - length // 2)
        return min(start, chromosome_length - length)

    opened = sorted((about(centre), cell_type) for cell_type, p in enumerate(peaks) for centre in p)
    groups: list[list[tuple[int, set[int]]]] = []
    for start, cell_type in opened:
        if groups and groups[-1][-1][0] + length - merge_overlap > start:
            groups[-1].append((start, {cell_type}))
        else:
            groups.append([(start, {cell_type})])
    found = []
    for group in groups:
        while len(group) > 1:
            overlaps = [a[0] + length - b[0] for a, b in pairwise(group)]
            best = max(overlaps)
            if best < merge_overlap:
                break
            i = overlaps.index(best)
            (start, left), (other, right) = group[i : i + 2]
            weights = [1 + len(left), 1 + len(right)]
            mean = np.average([start + length // 2, other + length // 2], weights=weights)
            group[i : i + 2] = [(about(int(0.5 + mean)), left | right)]
        found += group
    return found


@given(
    cell_types=st.lists(st.lists(st.integers(0, 149), max_size=12), min_size=1, max_size=9),
    length=st.integers(2, 40),
    merge_overlap=st.integers(1, 40),
)
@settings(deadline=None, max_examples=400)
def test_derive_windows__basset_equals_the_published_procedure(cell_types, length, merge_overlap):
    merge_overlap = min(merge_overlap, length - 1)  # beyond, equal windows stay apart, in no order
    peaks = [peaks_of([(c, c + 1) for c in p]) for p in cell_types]
    found = on_one(peaks, length, 150, overlap="basset", merge_overlap=merge_overlap)
    labels = [set(np.flatnonzero(row).tolist()) for row in found.accessibility()]
    expected = basset_by_the_book(cell_types, length, merge_overlap, 150)
    assert list(zip(found.start.tolist(), labels, strict=True)) == expected


def test_derive_windows__basset_by_hand():
    a, b, c = peaks_of([(95, 105)]), peaks_of([(100, 106)]), peaks_of([(106, 110)])
    # Centres 100, 103, 108: the first two merge at 101.5, rounded to 102; then (2 + 1) 102 and (1 + 1) 108.
    found = on_one([a, b, c], overlap="basset", merge_overlap=3)
    assert table(found) == {104 - 5: {0, 1, 2}}
    assert table(on_one([a, b, c], overlap="basset", merge_overlap=6)) == {97: {0, 1}, 103: {2}}


def test_derive_windows__basset_centres_on_summits_and_stays_inside():
    a = peaks_of([(0, 40), (60, 99), (985, 999)], summits=[1, -1, 998])
    assert table(on_one([a], overlap="basset", merge_overlap=1)) == {0: {0}, 74: {0}, 990: {0}}
    short = on_one([peaks_of([(0, 3)])], 10, 6, overlap="basset", merge_overlap=1)
    assert short.start.tolist() == [-4]
    assert short.counts["windows_past_end_padded"] == 1


# Labels


@given(
    cell_types=st.lists(intervals, min_size=1, max_size=3),
    starts=st.lists(st.integers(-10, 120), min_size=1, max_size=6).map(sorted),
    length=st.integers(1, 25),
    least=st.integers(1, 25),
)
@settings(deadline=None, max_examples=200)
def test_derive_windows__labels_of_fixed_windows_equal_a_count_by_pairs(cell_types, starts, length, least):
    least = min(least, length)
    fixed, peaks = windows_of(starts, length), [peaks_of(p) for p in cell_types]
    for label, holds in (
        ("midpoint", lambda start, s, e: start <= (s + e) // 2 < start + length),
        ("overlap", lambda start, s, e: min(e, start + length) - max(s, start) >= least),
    ):
        options = {"label_min_overlap": least} if label == "overlap" else {}
        found = on_one(peaks, length, 200, fixed=fixed, file=GIVEN, label=label, **options)
        assert found.accessibility().tolist() == [
            [int(any(holds(start, s, e) for s, e in p)) for p in cell_types] for start in starts
        ]


def test_derive_windows__joint_windows_take_other_labels():
    chain = [peaks_of([(100, 130)]), peaks_of([(129, 160)]), peaks_of([(159, 200)])]
    assert table(on_one(chain, label="overlap")) == {145: {1}}
    none = on_one(chain, label="midpoint", length=1)
    assert table(none) == {150: set()}
    assert none.counts["windows_open_in_no_cell_type"] == 1


def test_windows__more_than_eight_cell_types():
    found = on_one([peaks_of([(100 * i, 100 * i + 10)]) for i in range(1, 11)])
    assert found.labels.shape == (10, 2)
    assert found.accessibility().tolist() == np.eye(10, dtype=int).tolist()
    assert found.accessibility(slice(8, 9)).tolist() == [[0] * 8 + [1, 0]]
    packed = np.packbits(np.eye(10, dtype=np.uint8), axis=1, bitorder="little")
    assert found.labels.tolist() == packed.tolist()


# Drops


def test_derive_windows__past_an_end_and_in_the_blacklist():
    peaks = [peaks_of([(0, 2), (50, 52), (70, 72), (98, 100)])]
    blacklist = peaks_of([(40, 46), (56, 57), (66, 68), (110, 120)])  # 46-56 only touches two of them
    padded = on_one(peaks, chromosome_length=100, blacklist=blacklist)
    assert padded.start.tolist() == [-4, 46, 94]
    dropped = on_one(peaks, chromosome_length=100, blacklist=blacklist, past_end="drop")
    assert dropped.start.tolist() == [46]
    counts = [
        "windows",
        "windows_past_end_dropped",
        "windows_past_end_padded",
        "windows_in_blacklist_dropped",
    ]
    assert [padded.counts[key] for key in counts] == [3, 0, 2, 1]
    assert [dropped.counts[key] for key in counts] == [1, 2, 0, 1]


def test_derive_windows__no_peaks_on_a_chromosome():
    for overlap in ("joint", "basset"):
        found = on_one(
            [peaks_of([]), peaks_of([])],
            overlap=overlap,
            **({"merge_overlap": 2} if overlap == "basset" else {}),
        )
        assert (len(found), found.labels.shape) == (0, (0, 1))
        assert found.counts["windows"] == 0


def test_read_blacklist__merges_and_leaves_other_chromosomes(tmp_path):
    path = tmp_path / "blacklist.bed"
    path.write_text("chr9\t0\t5\nchr2\t5\t9\nchr1\t7\t9999\nchr2\t0\t6\n")
    found = read_blacklist(path, chromosomes=["chr1", "chr2"])
    assert found.chrom.tolist() == [0, 1]
    assert (found.start.tolist(), found.end.tolist()) == ([7, 0], [9999, 9])
    assert len(read_blacklist(path, chromosomes=["chr5"], excluded=["chr9"])) == 0
    with pytest.raises(InputError, match="remove `chr`"):
        read_blacklist(path, chromosomes=["1", "2"])


# Fixed windows


def test_read_fixed_windows__sorts_keeps_strands_and_counts_duplicates(tmp_path):
    path = tmp_path / "windows.bed"
    path.write_text("chr2\t5\t15\tb\t0\t-\nchrM\t0\t10\nchr1\t95\t105\tx\t0\t+\nchr2\t5\t15\nchr1\t0\t10\n")
    found = read_fixed_windows(
        path, length=10, chromosomes=["chr1", "chr2"], lengths=[100, 50], excluded=["chrM"]
    )
    assert found.chrom.tolist() == [0, 0, 1, 1]
    assert found.start.tolist() == [0, 95, 5, 5]
    assert found.strand.tolist() == [0, 1, -1, 0]
    assert found.counts == {"windows_given": 5, "windows_excluded": 1, "windows_given_twice": 1}


@pytest.mark.parametrize(
    ("row", "expected"),
    [("chr1\t0\t11", "10 bp"), ("chr1\t100\t110", "within the chromosome"), ("1\t0\t10", "chr1")],
)
def test_read_fixed_windows__refuses(tmp_path, row, expected):
    path = tmp_path / "windows.bed"
    path.write_text(f"chr1\t5\t15\n\n{row}\n")
    with pytest.raises(InputError) as error:
        read_fixed_windows(path, length=10, chromosomes=["chr1"], lengths=[100])
    assert expected in str(error.value.expected)
    assert str(error.value.where).startswith(str(path))
    assert ("line 3" in str(error.value.where)) == row.startswith("chr")


# Closed windows


# The whole way


def write_samples(folder: Path) -> tuple[list[Path], list[Sample]]:
    texts = {"A": "chr2\t10\t20\nchr1\t100\t150\nchr1\t300\t340\nchrM\t0\t5\n", "B": "chr1\t140\t180\n"}
    paths = []
    for name, text in texts.items():
        paths.append(folder / f"{name}.bed")
        paths[-1].write_text(text)
    return paths, [Sample(name, Source(file=f"{name}.bed")) for name in texts]


GENOME = {"chromosomes": ("chr1", "chr2", "chr3"), "lengths": (1000, 500, 70), "excluded": ("chrM",)}


def test_derive_windows__of_files(tmp_path):
    paths, samples = write_samples(tmp_path)
    found = windows_of_files(paths, samples, WindowRecipe(length=10), **GENOME)
    # Within 200 bp: A's 100-150 and 300-340 are one peak, which B's overlaps.
    assert found.chrom.tolist() == [0, 1]
    assert found.start.tolist() == [215, 10]
    assert found.accessibility().tolist() == [[1, 1], [1, 0]]
    assert found.counts["intervals"] == 5
    assert found.counts["intervals_excluded"] == 1
    assert found.counts["peaks"] == 3
    assert found.counts["windows"] == 2


def test_derive_windows__of_files_without_a_blacklist(tmp_path):
    paths, samples = write_samples(tmp_path)
    (tmp_path / "blacklist.bed").write_text("chr2\t0\t100\n")
    recipe = WindowRecipe(length=10, merge_distance=0)
    found = windows_of_files(paths, samples, recipe, **GENOME, blacklist=tmp_path / "blacklist.bed")
    assert found.start.tolist() == [135, 315]
    assert found.counts["windows_in_blacklist_dropped"] == 1


def test_derive_windows__of_files_and_fixed_windows(tmp_path):
    paths, samples = write_samples(tmp_path)
    (tmp_path / "windows.bed").write_text("chr1\t120\t130\nchr1\t315\t325\nchr3\t0\t10\n")
    recipe = WindowRecipe(length=10, file=GIVEN)
    found = windows_of_files(paths, samples, recipe, **GENOME, fixed=tmp_path / "windows.bed")
    assert found.accessibility().tolist() == [[1, 0], [1, 0], [0, 0]]
    assert found.counts["windows_given"] == 3
    assert found.counts["windows_open_in_no_cell_type"] == 1


def test_merge_distance__only_for_rules_that_look_at_merged_peaks():
    assert merge_distance(WindowRecipe(merge_distance=70)) == 70
    assert merge_distance(WindowRecipe(merge_distance=70, label="midpoint")) == 70
    assert merge_distance(WindowRecipe(file=GIVEN, merge_distance=70, label="overlap")) == 70
    assert merge_distance(WindowRecipe(file=GIVEN)) is None
    assert merge_distance(WindowRecipe(overlap="basset")) is None


def test_windows__select_and_add_counts():
    windows = replace(windows_of([1, 2, 3], 4), counts={"windows": 3})
    assert windows.select(np.array([True, False, True])).start.tolist() == [1, 3]
    assert windows.on(0).counts == {}
    assert len(windows.on(1)) == 0
    assert add_counts([windows.counts, windows.counts]) == {"windows": 6}


# Real files

HG19 = {"chromosomes": ("chr20", "chrX"), "lengths": (63_025_520, 69_999_930)}


@pytest.mark.shared
@pytest.mark.parametrize("overlap", ["joint", "basset"])
def test_derive_windows__real_dnase(shared_data, overlap):
    names = ["GM12878", "K562", "HeLa-S3", "HUVEC", "HepG2", "Jurkat"]
    paths = [shared_data / "peaks_dnase" / f"{name}.bed.gz" for name in names]
    samples = [Sample(name, Source(file=path.name)) for name, path in zip(names, paths, strict=True)]
    blacklist = shared_data / "annot" / "hg19-blacklist.v2.bed"
    found = windows_of_files(paths, samples, WindowRecipe(overlap=overlap), **HG19, blacklist=blacklist)
    assert found.counts["intervals"] == 46_654
    assert found.counts["windows_open_in_no_cell_type"] == 0
    assert found.counts["windows_in_blacklist_dropped"] > 0
    assert found.accessibility().sum(axis=0).min() > 4000
    if overlap == "basset":
        on_one_chromosome = np.diff(found.chrom) == 0
        assert np.diff(found.start)[on_one_chromosome].min() >= 600 - 200


@pytest.fixture(scope="module")
def basset_table(shared_data):
    """Basset's windows on chr20: starts, and the names of the cell types of each."""
    names = [
        line.split("\t")[0]
        for line in (shared_data / "basset164/basset_targets.txt").read_text().splitlines()
    ]
    starts, cell_types = [], []
    with gzip.open(shared_data / "basset164/encode_roadmap_inPromoter.txt.gz", "rt") as file:
        for row in (line.rstrip("\n").split("\t") for line in file):
            if row[0] == "chr20":
                # A spreadsheet took some lists for one number, and made zeros of its digits past the 15th.
                indices = [i for i in row[7].strip('"').split(",") if i != "000"]
                starts.append(int(row[1]))
                cell_types.append({names[int(i)] for i in indices})
    return np.array(starts), cell_types


def basset_comparison(shared_data, basset_table, name):
    """(is open by midpoints, is open in Basset's table, distance of the nearest midpoint to the centre)."""
    starts, cell_types = basset_table
    path = shared_data / "peaks_dnase" / f"{name}.bed.gz"
    fixed = windows_of(np.sort(starts), 600)
    recipe = WindowRecipe(file=GIVEN)
    peaks = peaks_in_file(path, Sample(name, GIVEN), **HG19, merge_distance=merge_distance(recipe)).on(0)
    found = derive_windows([peaks], None, fixed, lengths=HG19["lengths"], recipe=recipe)
    order = np.argsort(starts, kind="stable")
    expected = np.array([name in cell_types[i] for i in order])
    middle = (peaks.start + peaks.end) // 2
    nearest = np.abs(middle[:, None] - (found.start + 300)).min(axis=0)
    return found.accessibility()[:, 0] == 1, expected, nearest


@pytest.mark.shared
def test_derive_windows__labels_agree_with_bassets_own_table(shared_data, basset_table):
    assert len(basset_table[0]) == 647
    parts = [
        basset_comparison(shared_data, basset_table, name)
        for name in ("GM12878", "K562", "HeLa-S3", "HUVEC", "Jurkat")
    ]
    found, expected, nearest = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    assert (expected.sum(), (found & expected).sum(), (found & ~expected).sum()) == (1062, 1058, 33)
    # What differs lies where Basset's merging moved a window off its peaks: the 4 missing midpoints are 31 to
    # 80 bp outside, and no extra one is within 190 bp of the centre, so that it may be a neighbour's.
    assert sorted(nearest[expected & ~found].tolist()) == [331, 370, 373, 380]
    assert nearest[found & ~expected].min() > 190


@pytest.mark.shared
def test_derive_windows__hepg2_is_another_call_set(shared_data, basset_table):
    found, expected, _ = basset_comparison(shared_data, basset_table, "HepG2")
    assert (expected.sum(), (found & expected).sum(), (found & ~expected).sum()) == (310, 103, 46)


@pytest.mark.shared
def test_read_fixed_windows__bassets_file_as_it_is(shared_data):
    path = shared_data / "basset164" / "encode_roadmap_inPromoter.txt.gz"
    others = set(read_intervals(path)["chrom"]) - {"chr20"}
    found = read_fixed_windows(path, length=600, chromosomes=["chr20"], lengths=[63_025_520], excluded=others)
    assert len(found) == 647
    assert found.counts["windows_given_twice"] == 16
    assert set(found.strand.tolist()) == {1}


# Share of N


class Genome:
    """Chromosomes in memory: letters, of which all but A C G T are N."""

    def __init__(self, *chromosomes: str) -> None:
        self.chromosomes = chromosomes

    def windows(self, chrom: np.ndarray, start: np.ndarray, length: int) -> np.ndarray:
        text = [
            "".join(
                self.chromosomes[c][i] if 0 <= i < len(self.chromosomes[c]) else "N"
                for i in range(s, s + length)
            )
            for c, s in zip(chrom.tolist(), start.tolist(), strict=True)
        ]
        codes = [["ACGT".find(letter) % 5 for letter in window] for window in text]
        return np.array(codes, dtype=np.uint8).reshape(len(text), length)


@pytest.mark.parametrize(
    ("max_n", "kept"),
    [(0.0, [0]), (0.1, [0, 20]), (0.2, [0, 20, 40]), (0.99, [0, 20, 40]), (1.0, [0, 20, 40, 60])],
)
def test_derive_windows__windows_with_too_much_n_are_dropped_and_counted(max_n: float, kept: list[int]):
    genome = Genome("A" * 20 + "ACGTNACGTA" + "C" * 10 + "ACGRNACGTA" + "C" * 10 + "N" * 10)
    peaks = [peaks_of([(start, start + 10) for start in (0, 20, 40, 60)])]
    recipe = WindowRecipe(length=10, max_n=max_n)
    found = derive_windows(peaks, lengths=[70], recipe=recipe, genome=genome)
    assert found.start.tolist() == kept
    assert found.counts["windows"] == len(kept)
    # Without a limit there is no such count, as in stores made before there was one.
    assert found.counts.get("windows_with_n_dropped") == (None if max_n == 1 else 4 - len(kept))


def test_derive_windows__what_lies_past_an_end_is_n_and_reasons_are_counted_once():
    genome = Genome("ACGTA" * 10 + "N" * 10)
    peaks = [peaks_of([(0, 2), (20, 30), (48, 52), (58, 60)])]
    black = peaks_of([(48, 49)])
    recipe = WindowRecipe(length=10, max_n=0.5)
    found = derive_windows(peaks, black, lengths=[60], recipe=recipe, genome=genome)
    assert found.start.tolist() == [-4, 20]
    assert found.counts["windows_in_blacklist_dropped"] == 1
    assert found.counts["windows_with_n_dropped"] == 1  # 54-64: six of N, four past the end
    assert found.counts["windows_past_end_padded"] == 1


def test_derive_windows__given_windows_with_too_much_n_are_dropped_too():
    genome, fixed = Genome("N" * 10 + "A" * 20), windows_of([0, 10, 20], 10)
    recipe = WindowRecipe(length=10, file=GIVEN)
    found = derive_windows([peaks_of([(12, 14)])], None, fixed, lengths=[30], recipe=recipe, genome=genome)
    assert found.start.tolist() == [10, 20]
    assert found.counts["windows_with_n_dropped"] == 1
