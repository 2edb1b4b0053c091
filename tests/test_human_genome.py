"""A genome with the names and lengths of hg38 through build, verify and predict; every coordinate checked."""

from __future__ import annotations

import functools
import itertools
import struct
import subprocess
import zlib
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyBigWig
import pytest

from chromacc_data import build_store as building
from chromacc_data import verify_store as verify
from chromacc_data.regions import check_bases
from chromacc_data.sequences.encoding import decode, one_hot
from chromacc_data.sequences.genome import Genome
from chromacc_data.store import schema
from chromacc_data.store.read import open_store

LENGTHS = {
    **{"chr1": 248956422, "chr2": 242193529, "chr3": 198295559, "chr4": 190214555, "chr5": 181538259},
    **{"chr6": 170805979, "chr7": 159345973, "chr8": 145138636, "chr9": 138394717, "chr10": 133797422},
    **{"chr11": 135086622, "chr12": 133275309, "chr13": 114364328, "chr14": 107043718, "chr15": 101991189},
    **{"chr16": 90338345, "chr17": 83257441, "chr18": 80373285, "chr19": 58617616, "chr20": 64444167},
    **{"chr21": 46709983, "chr22": 50818468, "chrX": 156040895, "chrY": 57227415, "chrM": 16569},
}
WINDOW = 200
#: Of each chromosome, the bp at its end where there is anything; the blacklist takes the rest.
ROOM = 60_000
_BLOCK = 65_000  # bases of a block: one of the patterns below, the n-th on chromosome c pattern (n + c) % 4
_EMPTY = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


@functools.cache
def patterns() -> list[np.ndarray]:
    """Base codes of four blocks of other GC contents; the last begins with N."""
    rng = np.random.default_rng(0)
    made = [
        rng.choice(4, _BLOCK, p=[0.5 - gc, gc, gc, 0.5 - gc]).astype(np.uint8)
        for gc in (0.2, 0.25, 0.3, 0.25)
    ]
    made[3][:20_000] = 4
    return made


def bases(chrom: str, start: int, end: int) -> np.ndarray:
    """Base codes of a place in the genome, N past the ends of a chromosome; straight from the patterns."""
    code, blocks = list(LENGTHS).index(chrom), patterns()
    return np.array(
        [
            blocks[(p // _BLOCK + code) % 4][p % _BLOCK] if 0 <= p < LENGTHS[chrom] else 4
            for p in range(start, end)
        ],
        dtype=np.uint8,
    )


def bgzip_block(text: bytes) -> bytes:
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = compressor.compress(text) + compressor.flush()
    head = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + struct.pack("<H", len(packed) + 25)
    return head + packed + struct.pack("<II", zlib.crc32(text), len(text))


def write_genome(path: Path, lengths: dict[str, int]) -> None:
    """A bgzip FASTA of one line a sequence, with its index; each pattern is compressed once."""
    texts = [decode(block).encode() for block in patterns()]
    whole = [bgzip_block(text) for text in texts]
    blocks, sizes, records, offset = [], [], [], 0

    def add(text: bytes, packed: bytes | None = None) -> None:
        nonlocal offset
        blocks.append(packed or bgzip_block(text))
        sizes.append(len(text))
        offset += len(text)

    for code, (name, length) in enumerate(lengths.items()):
        add(f">{name}\n".encode())
        records.append(f"{name}\t{length}\t{offset}\t{length}\t{length + 1}\n")
        for number in range(length // _BLOCK):
            add(texts[(number + code) % 4], whole[(number + code) % 4])
        add(texts[(length // _BLOCK + code) % 4][: length % _BLOCK] + b"\n")
    path.write_bytes(b"".join(blocks) + _EMPTY)
    path.with_name(path.name + ".fai").write_text("".join(records))
    begins, starts = (np.cumsum(column) for column in ([len(b) for b in blocks], sizes))
    entries = np.stack([begins, starts], axis=1).astype("<u8")
    path.with_name(path.name + ".gzi").write_bytes(struct.pack("<Q", len(entries)) + entries.tobytes())


def test_write_genome__is_what_samtools_writes(tmp_path):
    """The file and the index made here, of a small genome, are read as what they are meant to be."""
    lengths = {"chr1": 3 * _BLOCK + 17, "chr2": 400}
    write_genome(tmp_path / "g.fa.gz", lengths)
    text = subprocess.run(["gzip", "-dc", tmp_path / "g.fa.gz"], check=True, capture_output=True, text=True)
    lines = text.stdout.splitlines()
    assert lines[::2] == [">chr1", ">chr2"]
    assert list(map(len, lines[1::2])) == list(lengths.values())
    (tmp_path / "plain.fa").write_text(text.stdout)
    ours, plain = (Genome.open(tmp_path / name) for name in ("g.fa.gz", "plain.fa"))
    start = np.array([2 * _BLOCK - 30, -10, 3 * _BLOCK - 20])
    chrom = np.zeros(3, dtype=np.int32)
    assert (ours.windows(chrom, start, 60) == plain.windows(chrom, start, 60)).all()
    assert (ours.windows(chrom, start, 60)[0] == bases("chr1", 2 * _BLOCK - 30, 2 * _BLOCK + 30)).all()
    # The index is the one that is built when there is none.
    fai = (tmp_path / "g.fa.gz.fai").read_text()
    (tmp_path / "g.fa.gz.fai").unlink()
    Genome.open(tmp_path / "g.fa.gz")
    assert (tmp_path / "g.fa.gz.fai").read_text() == fai


RECIPE = """
name: human
title: A genome of hg38's names and lengths
genome: {{assembly: synthetic, fasta: [g.fa.gz]}}
samples:
  - {{cell_type: A, source: a.narrowPeak, center: summit}}
  - {{cell_type: B, source: b.narrowPeak, center: summit}}
  - {{cell_type: C, source: c.bed}}
windows: {{length: 200, merge_distance: 50, max_n: 1}}
blacklist: black.bed
negatives: {{gc_bin: 0.1}}
split: {split}
output: {{chunk: 512}}
"""
SPLITS = {
    "chromosome": "{by: chromosome, validation: [chr9], test: [chr19, chrX]}",
    "block": "{by: block, block_size: 10000}",
}


@pytest.fixture(scope="module")
def human(tmp_path_factory) -> Path:
    """The genome, and files of peaks on all chromosomes, in the last 60 kb of each and in the blacklist."""
    folder = tmp_path_factory.mktemp("human")
    write_genome(folder / "g.fa.gz", LENGTHS)
    rng = np.random.default_rng(1)
    for name in ("a.narrowPeak", "b.narrowPeak", "c.bed"):
        rows = []
        for chrom, length in LENGTHS.items():
            first = max(length - ROOM, 0)
            starts = rng.integers(first, length - 400, 25).tolist()
            starts += [*rng.integers(0, max(first - 400, 1), 2).tolist(), 0, length - 60]
            for start in sorted(starts):
                end = min(start + int(rng.integers(60, 300)), length)
                rows.append((chrom, start, end, ".", 0, ".", 1, -1, -1, int(rng.integers(-1, end - start))))
        n_columns = 10 if name.endswith("Peak") else 3
        (folder / name).write_text("".join("\t".join(map(str, r[:n_columns])) + "\n" for r in rows))
    (folder / "black.bed").write_text(
        "".join(f"{c}\t500\t{n - ROOM}\n" for c, n in LENGTHS.items() if n > ROOM + 500)
    )
    return folder


def expected_windows(folder: Path) -> dict[tuple[str, int], set[int]]:
    """Start of each open window, and the cell types it is open in: peaks merged one by one, by chromosome."""
    regions = defaultdict(list)
    for cell_type, name in enumerate(("a.narrowPeak", "b.narrowPeak", "c.bed")):
        mine = defaultdict(list)
        for line in (folder / name).read_text().splitlines():
            chrom, start, end, *more = line.split("\t")
            offset = int(more[-1]) if more else -1
            mine[chrom].append((int(start), int(end), [int(start) + offset] if offset >= 0 else []))
        for chrom, rows in mine.items():
            peaks = []
            for start, end, summit in sorted(rows):
                if peaks and start - peaks[-1][1] <= 50:
                    peaks[-1] = (peaks[-1][0], max(end, peaks[-1][1]), peaks[-1][2] + summit)
                else:
                    peaks.append((start, end, summit))
            regions[chrom] += [(s, e, [sum(u) // len(u)] if u else [], {cell_type}) for s, e, u in peaks]
    windows = {}
    for chrom, rows in regions.items():
        joint = []
        for start, end, summit, cell_types in sorted(rows, key=lambda row: row[:2]):
            if joint and start < joint[-1][1]:
                s, e, summits, members = joint[-1]
                joint[-1] = (s, max(e, end), summits + summit, members | cell_types)
            else:
                joint.append((start, end, summit, cell_types))
        for start, end, summits, cell_types in joint:
            centre = sum(summits) // len(summits) if summits else (start + end) // 2
            first = centre - WINDOW // 2
            room = LENGTHS[chrom] - ROOM
            if room <= 500 or not (first < room and first + WINDOW > 500):
                windows[chrom, first] = cell_types
    return windows


def _read_window(reference: check_bases.Reference, name: str, start: int, length: int) -> str:
    genome = Genome.open(reference._fasta)
    return decode(genome.windows(genome.index([name]), np.array([start]), length)[0])


@pytest.mark.slow
@pytest.mark.parametrize("by", SPLITS)
def test_build__every_coordinate_on_a_human_genome(human, tmp_path, monkeypatch, by):
    # 3.1 GB of bases are not read whole for their checksums, nor indexed by pyfaidx: bases are checked below.
    monkeypatch.setattr(Genome, "md5", lambda self, name: f"{self.length(name):032x}")
    monkeypatch.setattr(check_bases, "check_bases", lambda *a, **k: None)
    monkeypatch.setattr(check_bases.Reference, "window", _read_window)
    recipe = human / f"{by}.yaml"
    recipe.write_text(RECIPE.format(split=SPLITS[by]))
    path = building.build(recipe, tmp_path / "human.zarr").path
    assert "lie on the peaks" in verify.verify(path).report()[1]
    ds = open_store(path)
    names = list(LENGTHS)
    assert list(ds[schema.CHROM.name].attrs[schema.ATTR_NAMES]) == names
    chrom = [names[code] for code in ds["chrom"].values]
    start, end, split = (ds[name].values.tolist() for name in ("start", "end", "split"))
    labels = ds["accessibility"].values
    is_open = labels.any(axis=1)
    rows = list(zip(chrom, start, end, split, map(tuple, labels), is_open, strict=True))
    assert rows == sorted(rows, key=lambda row: (names.index(row[0]), row[1]))
    found = {(c, s): set(np.flatnonzero(bits).tolist()) for c, s, _, _, bits, opened in rows if opened}
    expected = expected_windows(human)
    if by == "chromosome":
        assert found == expected
    else:
        assert found.items() <= expected.items()
        assert len(found) > 0.9 * len(expected)
    assert {c for c, _ in found} == set(names)
    # Closed windows: as bedtools sees them, apart from peaks with room around them, and from the blacklist.
    closed = [row[:3] for row in rows if not row[5]]
    assert len(closed) > 0.5 * len(found)
    assert {c for c, *_ in closed} > {"chr1", "chr10", "chr19", "chr22", "chrX", "chrY"}
    files = {"closed": closed, "taken": []}
    for name in ("a.narrowPeak", "b.narrowPeak", "c.bed"):
        for line in (human / name).read_text().splitlines():
            c, s, e = line.split("\t")[:3]
            files["taken"].append((c, max(int(s) - WINDOW, 0), int(e) + WINDOW))
    for name, intervals in files.items():
        text = "".join(f"{c}\t{s}\t{e}\n" for c, s, e in intervals)
        (tmp_path / name).write_text(text + (human / "black.bed").read_text() * (name == "taken"))
    command = ["bedtools", "intersect", "-u", "-a", tmp_path / "closed", "-b", tmp_path / "taken"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == ""
    # Splits.
    if by == "chromosome":
        of_chromosome = {"chr9": 1, "chr19": 2, "chrX": 2}
        assert split == [of_chromosome.get(c, 0) for c in chrom]
    else:
        groups = defaultdict(set)
        for c, s, e, group, *_ in rows:
            groups[c, max((s + e) // 2, 0) // 10_000].add(group)
        assert all(len(group) == 1 for group in groups.values())
        for (c, _, e, group, *_), (d, s, _, other, *_) in itertools.pairwise(rows):
            assert c != d or s >= e or group == other
    for i in [*range(0, len(rows), 97), len(rows) - 1]:
        assert (ds["sequence"][i].values == one_hot(bases(chrom[i], start[i], end[i]))).all()


@pytest.mark.slow
def test_predict__every_coordinate_on_a_human_genome(human, tmp_path):
    from chromacc_models.scoring.predict import predict
    from tests.kipoi_folders import make_network

    network = make_network(1, WINDOW)
    network.save(tmp_path / "n.keras")
    regions = [
        (c, *map(int, line.split("\t")[1:3]))
        for line in (human / "a.narrowPeak").read_text().splitlines()
        for c in [line.split("\t")[0]]
    ]
    (tmp_path / "r.bed").write_text("".join(f"{c}\t{s}\t{e}\n" for c, s, e in regions))
    arguments = (tmp_path / "n.keras", tmp_path / "r.bed", human / "g.fa.gz")
    predict(*arguments, tmp_path / "p.tsv")
    predict(*arguments, tmp_path / "p.bw")
    lines = [line.split("\t") for line in (tmp_path / "p.tsv").read_text().splitlines()[1:]]
    assert [(c, int(s), int(e)) for c, s, e, *_ in lines] == regions
    values = [float(line[-1]) for line in lines]
    some = range(0, len(regions), 31)
    inputs = [
        one_hot(bases(c, middle - WINDOW // 2, middle + WINDOW // 2))
        for c, s, e in (regions[i] for i in some)
        for middle in [(s + e) // 2]
    ]
    by_keras = network.predict(np.stack(inputs).astype(np.float32), verbose=0)[:, 0]
    np.testing.assert_allclose([values[i] for i in some], by_keras, atol=1e-5)
    of_chromosome = defaultdict(lambda: defaultdict(list))
    for (c, s, e), value in zip(regions, values, strict=True):
        for position in range(s, e):
            of_chromosome[c][position].append(value)
    with pyBigWig.open(str(tmp_path / "p.bw")) as file:
        assert file.chroms() == LENGTHS
        for c, positions in of_chromosome.items():
            found = {p: v for s, e, v in file.intervals(c) for p in range(s, e)}
            assert found.keys() == positions.keys()
            expected = [np.mean(positions[p]) for p in found]
            np.testing.assert_allclose(list(found.values()), expected, rtol=1e-5)
