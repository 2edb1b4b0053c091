"""Coordinates on genomes of human size and of many contigs, against bedtools and loops over chromosomes."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data.recipe.recipe import FragmentRecipe, NegativesRecipe, SplitRecipe, WindowRecipe
from chromacc_data.regions.intervals import PairKeys, complement_intervals, merge_intervals
from chromacc_data.regions.negatives import closed_windows
from chromacc_data.regions.peaks import Peaks, cell_type_peaks
from chromacc_data.regions.windows import derive_windows
from chromacc_data.splits import DROPPED, assign, leak_audit
from tests.interval_files import of, sample

#: Genomes that products of a code and a length are beyond int32 on.
GENOMES = {
    "human size": {f"chr{i}": 248_956_422 for i in range(1, 25)},
    "3,000 contigs": {f"contig_{i}": 1_000_000 + i for i in range(3_000)},
    "200,000 contigs": {f"contig_{i}": 20_000 + i % 100 for i in range(200_000)},
}


@pytest.fixture(params=GENOMES, scope="module")
def genome(request) -> dict[str, int]:
    return GENOMES[request.param]


def random_intervals(
    genome: dict[str, int], n: int, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intervals of 100 to 600 bp, near each other in places, on the first, last and random chromosomes."""
    rng = np.random.default_rng(seed)
    lengths = np.array(list(genome.values()))
    chrom = np.concatenate([[0, len(genome) - 1], rng.integers(0, len(genome), n - 2)]).astype(np.int32)
    chrom[n // 2 :] = chrom[: n - n // 2]
    start = (rng.random(n) * (lengths[chrom] - 2_000)).astype(np.int64)
    start[n // 2 :] = start[: n - n // 2] + rng.integers(0, 900, n - n // 2)
    return chrom, start, start + rng.integers(100, 600, n)


def bedtools(
    folder: Path, tool: str, rows: list[tuple], *options: object, genome: dict | None = None
) -> list:
    """What a bedtools program makes of rows that are sorted here, names and all."""
    order = {name: i for i, name in enumerate(genome)} if genome else None
    rows = sorted(rows, key=lambda row: ((order[row[0]] if order else row[0]), row[1]))
    given = folder / "given.bed"
    given.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    command = ["bedtools", tool, "-i", given, *options]
    if genome:
        (folder / "sizes").write_text("".join(f"{name}\t{length}\n" for name, length in genome.items()))
        command += ["-g", folder / "sizes"]
    made = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    return [tuple(line.split("\t")) for line in made.stdout.splitlines()]


def named(genome: dict[str, int], *columns: np.ndarray) -> list[tuple]:
    names = list(genome)
    return [(names[c], *rest) for c, *rest in zip(*(column.tolist() for column in columns), strict=True)]


# Keys


@given(
    pairs=st.lists(st.tuples(st.integers(0, 2**31 - 1), st.integers(-600, 2**31 + 600)), max_size=20),
    dtype=st.sampled_from([np.int32, np.int64, np.uint32]),
)
def test_pair_keys__sort_like_pairs_and_give_them_back(pairs, dtype):
    code = np.array([c for c, _ in pairs], dtype=dtype)
    number = np.array([n for _, n in pairs], dtype=np.int64)
    keys = PairKeys.over(number)
    made = keys.of(code, number)
    assert made.dtype == np.int64
    assert [pairs[i] for i in np.argsort(made, kind="stable")] == sorted(pairs)
    again = keys.pairs(made)
    assert list(zip(*(a.tolist() for a in again), strict=True)) == pairs


def test_pair_keys__refuse_what_they_cannot_hold():
    keys = PairKeys(-10, 1 << 40)
    one = np.ones(1, dtype=np.int32)
    with pytest.raises(ValueError, match="is not in"):
        keys.of(one, np.array([-11]))
    with pytest.raises(ValueError, match="is not in"):
        keys.of(one, np.array([(1 << 40) + 1]))
    with pytest.raises(ValueError, match="below 0"):
        keys.of(-one, one)
    with pytest.raises(OverflowError, match="int64"):
        keys.of(one * (1 << 23), one)
    assert keys.of(np.array([(1 << 22) - 1], dtype=np.int32), one) > 0


# Peaks


def test_cell_type_peaks__equal_bedtools_merge(genome, tmp_path):
    chrom, start, end = random_intervals(genome, 4_000)
    offset = np.random.default_rng(1).integers(0, end - start)
    rows = named(genome, chrom, start, end)
    paths = [tmp_path / f"{i}.narrowPeak" for i in range(2)]
    for part, path in enumerate(paths):
        path.write_text(
            "".join(
                f"{c}\t{s}\t{e}\t.\t0\t.\t1\t-1\t-1\t{o}\n"
                for (c, s, e), o in list(zip(rows, offset.tolist(), strict=True))[part::2]
            )
        )
    both = cell_type_peaks(
        paths,
        [sample(center="summit")] * 2,
        chromosomes=tuple(genome),
        lengths=list(genome.values()),
        merge_distance=200,
    )
    for part, peaks in enumerate(both):
        mine = [(*row, row[1] + o) for row, o in zip(rows, offset.tolist(), strict=True)][part::2]
        expected = bedtools(tmp_path, "merge", mine, "-d", 200, "-c", 4, "-o", "collapse")
        summits = {
            (c, int(s), int(e)): sum(map(int, text.split(","))) // len(text.split(","))
            for c, s, e, text in expected
        }
        found = named(genome, peaks.chrom, peaks.start, peaks.end)
        assert dict(zip(found, peaks.summit.tolist(), strict=True)) == summits
        assert len(found) == len(summits)
        assert (np.lexsort((peaks.start, peaks.chrom)) == np.arange(len(peaks))).all()


def test_merge_and_complement_intervals__equal_bedtools_on_names(genome, tmp_path):
    columns = random_intervals(genome, 4_000)
    merged = merge_intervals(*columns, distance=50)
    rows = named(genome, *columns)
    assert {tuple(map(str, row)) for row in named(genome, *merged)} == set(
        bedtools(tmp_path, "merge", rows, "-d", 50)
    )
    closed = complement_intervals(*columns, lengths=list(genome.values()))
    assert [tuple(map(str, row)) for row in named(genome, *closed)] == bedtools(
        tmp_path, "complement", rows, genome=genome
    )


@pytest.mark.parametrize("count", ["fragment", "ends"])
def test_cell_type_peaks__coverage_equals_a_count_by_chromosome(genome, tmp_path, count):
    chrom, start, end = random_intervals(genome, 3_000, seed=2)
    path = tmp_path / "a.tsv"
    path.write_text("".join(f"{c}\t{s}\t{e}\tAC\t1\n" for c, s, e in named(genome, chrom, start, end)))
    found = cell_type_peaks(
        [path],
        [sample("fragments", 2, fragments=FragmentRecipe(count=count, extend=30))],
        chromosomes=tuple(genome),
        lengths=list(genome.values()),
        merge_distance=0,
    )[0]
    lengths = list(genome.values())
    change = defaultdict(lambda: defaultdict(int))
    for c, s, e in zip(chrom.tolist(), start.tolist(), end.tolist(), strict=True):
        length = lengths[c] if count == "ends" else 0
        cuts = (
            [(s, e)] if count == "fragment" else [(max(0, p - 30), min(p + 31, length)) for p in (s, e - 1)]
        )
        for a, b in cuts:
            change[c][a] += 1
            change[c][b] -= 1
    expected = []
    for c in sorted(change):
        depth, begin = 0, None
        for position in sorted(change[c]):
            depth += change[c][position]
            if depth >= 2 and begin is None:
                begin = position
            elif depth < 2 and begin is not None:
                expected.append((c, begin, position))
                begin = None
    assert of(found) == expected


# Windows, one chromosome at a time or all at once


peaks_on_three = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 80), st.integers(1, 20), st.integers(0, 19)), max_size=12
)


@given(
    cell_types=st.lists(peaks_on_three, min_size=1, max_size=9),
    forbidden=peaks_on_three,
    rule=st.sampled_from(
        [
            {},
            {"label": "overlap", "label_min_overlap": 7},
            {"label": "midpoint"},
            {"overlap": "basset", "merge_overlap": 5},
        ]
    ),
    length=st.integers(8, 30),
    past_end=st.sampled_from(["pad", "drop"]),
    has_summits=st.booleans(),
)
@settings(deadline=None, max_examples=25)
def test_derive_windows__all_at_once_equal_each_chromosome_alone(
    cell_types, forbidden, rule, length, past_end, has_summits
):
    recipe = WindowRecipe(length=length, past_end=past_end, **rule)
    peaks = [peaks_of_rows(rows, has_summits) for rows in cell_types]
    blacklist = Peaks(*merge_intervals(*columns_of(peaks_of_rows(forbidden, False)), distance=0))
    lengths = [105, 100, 130]
    together = derive_windows(peaks, blacklist, lengths=lengths, recipe=recipe)
    counts = together.counts
    merged_away = (
        counts["peaks_merged_away"] if recipe.overlap == "basset" else counts["peaks"] - counts["joint_peaks"]
    )
    dropped = counts["windows_past_end_dropped"] + counts["windows_in_blacklist_dropped"]
    assert counts["peaks"] == sum(map(len, cell_types)) == len(together) + dropped + merged_away
    rows = []
    for code, size in enumerate(lengths):
        one, black = [alone(p, code) for p in peaks], alone(blacklist, code)
        part = derive_windows(one, black, lengths=[size], recipe=recipe)
        rows += [(code, s, tuple(bits)) for s, bits in zip(part.start, part.labels.tolist(), strict=True)]
    found = zip(together.chrom, together.start, map(tuple, together.labels.tolist()), strict=True)
    assert list(found) == rows


def peaks_of_rows(rows: list[tuple[int, int, int, int]], has_summits: bool) -> Peaks:
    rows = sorted(rows)
    chrom, start, length, offset = (np.array([row[i] for row in rows], dtype=np.int64) for i in range(4))
    summit = np.where(offset < length, start + offset, -1) if has_summits else None
    return Peaks(chrom.astype(np.int32), start, start + length, summit)


def columns_of(peaks: Peaks) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return peaks.chrom, peaks.start, peaks.end


def alone(peaks: Peaks, code: int) -> Peaks:
    here = peaks.on(code)
    return Peaks(np.zeros(len(here), dtype=np.int32), here.start, here.end, here.summit)


# Closed windows


class Stripes:
    """A genome of any length without memory: the bases at a place follow from the place."""

    def windows(self, chrom: np.ndarray, start: np.ndarray, length: int) -> np.ndarray:
        place = chrom[:, None].astype(np.int64) * 7_919 + (start[:, None] + np.arange(length)) // 50
        return (place * 2_654_435_761 % 2**32 // 2**30).astype(np.uint8)


@pytest.mark.parametrize(("n", "length", "shift"), [(24, 1_000_000, 240_000_000), (3_000, 12_000, 0)])
def test_closed_windows__overlap_nothing_by_bedtools(n, length, shift, tmp_path):
    genome = {f"chr{i}": length for i in range(n)}
    chrom, start, end = random_intervals(genome, 2_000, seed=3)
    # The blacklist takes the first `shift` bp: coordinates are large, and there are few windows to look at.
    peaks = Peaks(*merge_intervals(chrom, start + shift, end + shift, distance=0))
    lengths = [length + shift for length in genome.values()]
    blacklist = Peaks(
        *merge_intervals(
            np.append(np.arange(len(genome)), chrom[:100]),
            np.append(np.zeros(len(genome), dtype=np.int64), start[:100] + shift + 5_000),
            np.append(np.full(len(genome), max(shift, 1)), end[:100] + shift + 9_000),
            distance=0,
        )
    )
    windows = derive_windows([peaks], lengths=lengths, recipe=WindowRecipe(length=200))
    recipe = NegativesRecipe(gc_bin=0.1, ratio=2.0)
    found = closed_windows(windows, [peaks], Stripes(), recipe, lengths=lengths, blacklist=blacklist)
    assert found.counts["closed_windows"] == len(found) == 2 * len(windows)
    sizes = dict(zip(genome, lengths, strict=True))
    closed, taken = tmp_path / "closed.bed", tmp_path / "taken.bed"
    for path, columns in (
        (closed, [(found.chrom, found.start, found.end)]),
        (
            taken,
            [
                (windows.chrom, np.maximum(windows.start, 0), windows.end),
                (peaks.chrom, np.maximum(peaks.start - 200, 0), peaks.end + 200),
                (blacklist.chrom, blacklist.start, blacklist.end),
            ],
        ),
    ):
        rows = [row for part in columns for row in named(sizes, *part)]
        path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    command = ["bedtools", "intersect", "-a", closed, "-b", taken, "-u"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == ""
    apart = bedtools(tmp_path, "merge", named(sizes, found.chrom, found.start, found.end), "-d", -1)
    assert len(apart) == len(found)


# Splits


def test_leak_audit_and_block_edges__equal_a_loop_over_chromosomes(genome):
    chrom, start, end = random_intervals(genome, 3_000, seed=4)
    chrom[:1500] = len(genome) - 1
    start = start % 18_000
    start[:1500] += max(genome.values()) - 30_000
    start -= 100
    end = start + 600
    recipe = SplitRecipe(by="block", block_size=1_000, validation=0.2, test=0.2, folds=3)
    split, fold, counts = assign(chrom, start, end, recipe, names=list(genome), seed=1)
    assert counts["windows_over_a_block_edge_dropped"] == (split == DROPPED).sum() > 0
    assert not any(
        shared["windows"]
        for pairs in leak_audit(chrom, start, end, split, fold).values()
        for shared in pairs.values()
    )
    # By chance, so that there is something to find.
    split = np.random.default_rng(5).integers(-1, 3, chrom.size)
    audit = leak_audit(chrom, start, end, split, np.full(chrom.size, -1))["splits"]
    covered = defaultdict(lambda: defaultdict(set))
    members = defaultdict(list)
    for c, s, e, group in zip(chrom.tolist(), start.tolist(), end.tolist(), split.tolist(), strict=True):
        covered[group][c].update(range(s, e))
        members[group].append((c, s, e))
    for (a, b), pair in {(0, 1): "train-validation", (0, 2): "train-test", (1, 2): "validation-test"}.items():
        assert audit[pair]["bp"] == sum(len(covered[a][c] & covered[b][c]) for c in list(covered[a]))
        assert audit[pair]["windows"] == sum(
            any(not covered[other][c].isdisjoint((p,)) for p in range(s, e))
            for mine, other in ((a, b), (b, a))
            for c, s, e in members[mine]
        )
