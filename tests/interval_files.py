"""Small files of intervals, and intervals as nucleotides, for the tests of what reads them."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyBigWig
from hypothesis import strategies as st

from chromacc_data.recipe.recipe import Sample, Source, WindowRecipe
from chromacc_data.regions import peaks
from chromacc_data.regions.peaks import Peaks, cell_type_peaks
from chromacc_data.regions.windows import (
    Windows,
    add_counts,
    derive_windows,
    merge_distance,
    read_blacklist,
    read_fixed_windows,
)

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


def peaks_in_file(path: Path, one: Sample, **options: object) -> Peaks:
    return cell_type_peaks([path], [one], **options)[0]


def windows_of_files(
    paths: list[Path],
    samples: list[Sample],
    recipe: WindowRecipe,
    *,
    chromosomes: tuple[str, ...],
    lengths: tuple[int, ...],
    excluded: tuple[str, ...] = (),
    blacklist: Path | None = None,
    fixed: Path | None = None,
) -> Windows:
    """Windows of all chromosomes, as a plan of a store makes them, in one process and without its folders."""
    genome = {"chromosomes": chromosomes, "excluded": excluded}
    distance = merge_distance(recipe)
    peaks = cell_type_peaks(paths, samples, lengths=lengths, merge_distance=distance, **genome)
    forbidden = read_blacklist(blacklist, **genome) if blacklist else None
    given = read_fixed_windows(fixed, length=recipe.length, lengths=lengths, **genome) if fixed else None
    windows = derive_windows(peaks, forbidden, given, lengths=lengths, recipe=recipe)
    of_inputs = [of_cell_type.counts for of_cell_type in peaks] + ([given.counts] if given else [])
    return replace(windows, counts={**add_counts(of_inputs), **windows.counts})


def coordinates(frame) -> list[tuple[str, int, int]]:
    return list(frame[["chrom", "start", "end"]].itertuples(index=False, name=None))


def of(found: peaks.Peaks) -> list[tuple[int, int, int]]:
    return list(zip(found.chrom.tolist(), found.start.tolist(), found.end.tolist(), strict=True))


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


def peaks_of(intervals, *, summits=None, chrom=0) -> Peaks:
    order = sorted(range(len(intervals)), key=lambda i: intervals[i])
    start, end = np.array([intervals[i] for i in order], dtype=np.int64).reshape(-1, 2).T
    summit = None if summits is None else np.array([summits[i] for i in order], dtype=np.int64)
    return Peaks(np.full(start.size, chrom, dtype=np.int32), start, end, summit)


def windows_of(starts, length, *, chrom=0, labels=None) -> Windows:
    start = np.array(starts, dtype=np.int64)
    labels = np.zeros((start.size, 1), dtype=np.uint8) if labels is None else np.array(labels, dtype=np.uint8)
    return Windows(
        np.full(start.size, chrom, dtype=np.int32),
        start,
        start + length,
        np.zeros(start.size, dtype=np.int8),
        labels,
        1,
    )
