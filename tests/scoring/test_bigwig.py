"""bigWig files, as pyBigWig reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyBigWig
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data.errors import InputError
from chromacc_models.scoring.bigwig import write_bigwig


def intervals_in(path: Path) -> dict[str, list[tuple[int, int, float]]]:
    with pyBigWig.open(str(path)) as file:
        return {name: list(file.intervals(name) or ()) for name in file.chroms()}


def columns(rows: list[tuple[int, int, int, float]]) -> list[np.ndarray]:
    chrom, start, end, value = (np.array(column) for column in zip(*rows, strict=True))
    return [chrom.astype(np.int32), start, end, value]


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 95), st.integers(1, 5), st.floats(-2, 2, width=32)),
        min_size=1,
    )
)
@settings(deadline=None, max_examples=40)
def test_write_bigwig__reads_as_it_was_written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("bigwig") / "a.bw"
    kept = {}
    for chrom, start, length, value in rows:
        if not any(c == chrom and s < start + length and e > start for c, s, e in kept):
            kept[chrom, start, start + length] = value
    written = sorted((*place, value) for place, value in kept.items())
    names = {"chr2": 100, "chr10": 100, "chr1": 200}
    write_bigwig(path, names, *columns(written))
    expected = {name: [row[1:] for row in written if row[0] == i] for i, name in enumerate(names)}
    assert intervals_in(path) == expected
    with pyBigWig.open(str(path)) as file:
        assert file.chroms() == names
        bases = [value for _, start, end, value in written for _ in range(start, end)]
        header = file.header()
        assert header["nBasesCovered"] == len(bases)
        assert header["sumData"] == pytest.approx(np.trunc(sum(bases)), abs=1)
        for chrom, name in enumerate(names):
            per_base = np.full(names[name], np.nan)
            for _, start, end, value in (row for row in written if row[0] == chrom):
                per_base[start:end] = value
            if np.isfinite(per_base).any():
                means = file.stats(name, exact=True)
                assert means[0] == pytest.approx(np.nanmean(per_base), abs=1e-6)


def test_write_bigwig__zoom_levels_are_means_of_the_bases(tmp_path):
    rng = np.random.default_rng(0)
    start = np.sort(rng.choice(99_000, 50_000, replace=False)) * 10
    value = rng.random(start.size).astype(np.float32)
    chrom = np.repeat([0, 1], 25_000)
    start[:25_000], start[25_000:] = start[::2].copy(), start[1::2].copy()
    write_bigwig(tmp_path / "a.bw", {"a": 1_000_000, "b": 1_000_000}, chrom, start, start + 7, value)
    with pyBigWig.open(str(tmp_path / "a.bw")) as file:
        assert file.header()["nLevels"] >= 5
        for kind in ("mean", "min", "max", "coverage", "std"):
            for name in ("a", "b"):
                # Bins of the zoom levels reach over the edges of those asked for, but for the whole.
                n_bins, rtol = (1, 1e-5) if kind in ("min", "max") else (8, 0.02)
                coarse, exact = (file.stats(name, type=kind, nBins=n_bins, exact=e) for e in (False, True))
                np.testing.assert_allclose(coarse, exact, rtol=rtol, err_msg=kind)


def test_write_bigwig__many_contigs_and_nothing(tmp_path):
    sizes = {f"contig_{i}": 5_000 + i for i in range(3_000)}
    chrom = np.arange(0, 3_000, 7)
    write_bigwig(tmp_path / "a.bw", sizes, chrom, chrom, chrom + 600, chrom / 3_000)
    found = intervals_in(tmp_path / "a.bw")
    assert list(found) == list(sizes)
    assert found["contig_2100"] == [(2100, 2700, np.float32(0.7))]
    assert sum(map(len, found.values())) == chrom.size
    nothing = np.zeros(0, dtype=np.int64)
    write_bigwig(tmp_path / "b.bw", sizes, nothing, nothing, nothing, nothing)
    with pyBigWig.open(str(tmp_path / "b.bw")) as file:
        assert file.chroms() == sizes
        assert file.header()["nBasesCovered"] == 0


def test_write_bigwig__a_chromosome_beyond_the_format(tmp_path):
    one = np.zeros(1, dtype=np.int64)
    with pytest.raises(InputError, match="too long for a bigWig"):
        write_bigwig(tmp_path / "a.bw", {"a": 1 << 32}, one, one, one + 1, one)
    assert not (tmp_path / "a.bw").exists()
    last = np.array([(1 << 31) - 11])  # pyBigWig reads positions as signed numbers
    write_bigwig(tmp_path / "a.bw", {"a": (1 << 32) - 1}, one, last, last + 10, one + 1)
    assert intervals_in(tmp_path / "a.bw")["a"] == [(last[0], last[0] + 10, 1.0)]
