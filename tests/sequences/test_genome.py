"""Genome: windows against pyfaidx and by hand, identity, names, memory and threads."""

from __future__ import annotations

import gzip
import hashlib
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyfaidx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data.errors import InputError
from chromacc_data.sequences.bgzip import BgzipText
from chromacc_data.sequences.encoding import decode, encode, one_hot
from chromacc_data.sequences.genome import Genome
from tests.sequences.test_bgzip import write_bgzip

CHR20_MD5 = "0dec9660ec1efaaf33281c0d5ea2560f"
CHRX_MD5 = "bdf3143e0e1b4b9de64dc022c40559bf"


def write_fasta(path: Path, sequences: dict[str, str], *, width: int = 5, line_end: str = "\n") -> Path:
    """A FASTA file, or a bgzip one of a block a line when named .gz."""
    lines = []
    for name, bases in sequences.items():
        lines.append(f">{name} of a test{line_end}")
        lines += [bases[i : i + width] + line_end for i in range(0, len(bases), width)]
    if path.suffix == ".gz":
        return write_bgzip(path, [line.encode() for line in lines])
    path.write_bytes("".join(lines).encode())
    return path


def windows_by_slicing(bases: str, start: int, length: int) -> str:
    """The window of one sequence, letter by letter."""
    return "".join(bases[i].upper() if 0 <= i < len(bases) else "N" for i in range(start, start + length))


@pytest.fixture
def genome(tmp_path: Path) -> Genome:
    return Genome.open(write_fasta(tmp_path / "x.fa", {"chr1": "ACGTACGTACGT", "chr2": "ttttGGGG"}))


def test_windows__by_hand(genome):
    chrom, start = np.array([1, 0, 1, 0, 0]), np.array([2, -2, 5, 10, 4])
    found = [decode(window) for window in genome.windows(chrom, start, 6)]
    assert found == ["TTGGGG", "NNACGT", "GGGNNN", "GTNNNN", "ACGTAC"]


def test_windows__entirely_outside_are_n(genome):
    start = np.array([-6, -100, 12, 1 << 40, -(1 << 40)])
    assert (genome.windows(np.zeros(5, np.int32), start, 6) == 4).all()


def test_windows__letters_of_several_bases_are_n_and_u_is_t(tmp_path):
    genome = Genome.open(write_fasta(tmp_path / "x.fa", {"a": "ACGTURYSWKMBDHVNacgturyswkmbdhvn"}))
    assert decode(genome.codes("a")) == ("ACGTT" + "N" * 11) * 2


def test_windows__none(genome):
    assert genome.windows(np.zeros(0, np.int32), np.zeros(0, np.int64), 6).shape == (0, 6)
    assert genome.one_hot_windows(np.zeros(0, np.int32), np.zeros(0, np.int64), 6).shape == (0, 6, 4)


@pytest.mark.parametrize("chrom", [[-1], [2]])
def test_windows__code_of_no_sequence(genome, chrom):
    with pytest.raises(IndexError, match="of a genome of 2 sequences"):
        genome.windows(np.array(chrom), np.array([0]), 6)


def test_windows__shapes_that_differ(genome):
    with pytest.raises(ValueError, match="shapes"):
        genome.windows(np.array([0, 1]), np.array([0]), 6)


SEQUENCES = st.dictionaries(
    st.sampled_from(["chr1", "chr2", "chrX", "scaffold_3"]),
    st.text(alphabet="ACGTNacgtnRYKM", min_size=1, max_size=70),
    min_size=1,
)


@settings(deadline=None, max_examples=60)
@given(
    sequences=SEQUENCES,
    width=st.integers(1, 80),
    line_end=st.sampled_from(["\n", "\r\n"]),
    suffix=st.sampled_from([".fa", ".fa.gz"]),
    places=st.lists(st.tuples(st.integers(0, 3), st.integers(-30, 90)), max_size=30),
    length=st.integers(1, 40),
)
def test_windows__equal_pyfaidx(tmp_path_factory, sequences, width, line_end, suffix, places, length):
    path = tmp_path_factory.mktemp("fasta") / f"x{suffix}"
    write_fasta(path, sequences, width=width, line_end=line_end)
    genome = Genome.open(path)
    chrom = np.array([code % len(sequences) for code, _ in places], dtype=np.int32)
    start = np.array([place for _, place in places], dtype=np.int64)

    with pyfaidx.Fasta(str(path), rebuild=False) as oracle:
        whole = {name: str(oracle[name]) for name in oracle.keys()}  # noqa: SIM118
    assert genome.names == tuple(whole)
    assert genome.lengths.tolist() == [len(bases) for bases in whole.values()]
    expected = [
        windows_by_slicing(whole[genome.names[c]], s, length) for c, s in zip(chrom, start, strict=True)
    ]
    codes = genome.windows(chrom, start, length)
    assert codes.dtype == np.uint8
    assert codes.shape == (len(places), length)
    np.testing.assert_array_equal(codes.ravel(), encode("".join(expected)))
    for dtype in (np.uint8, np.float32):
        rows = genome.one_hot_windows(chrom, start, length, dtype)
        assert rows.dtype == dtype
        np.testing.assert_array_equal(rows, one_hot(codes, dtype=dtype))
    for name, bases in whole.items():
        np.testing.assert_array_equal(genome.codes(name), encode(bases))
        assert genome.md5(name) == hashlib.md5(bases.upper().encode()).hexdigest()


def test_one_hot_windows__other_dtype(genome):
    with pytest.raises(ValueError, match="uint8 or float32"):
        genome.one_hot_windows(np.array([0]), np.array([0]), 6, np.float64)


def test_md5__of_all_in_order(genome):
    assert [(name, genome.md5(name)) for name in genome.names] == [
        ("chr1", hashlib.md5(b"ACGTACGTACGT").hexdigest()),
        ("chr2", hashlib.md5(b"TTTTGGGG").hexdigest()),
    ]


def test_md5__finds_a_line_that_no_probe_of_the_index_saw(tmp_path):
    lines = ["ACGT"] * 60
    lines[1:3] = ["ACG", "ACGTA"]
    path = tmp_path / "x.fa"
    path.write_text(">a\n" + "\n".join(lines) + "\n")
    (tmp_path / "x.fa.fai").write_text("a\t240\t3\t4\t5\n")
    genome = Genome.open(path)
    with pytest.raises(InputError, match="no base at position 7 of sequence 'a'"):
        genome.md5("a")


@pytest.fixture
def glued(tmp_path) -> Genome:
    """A file that another program indexed without seeing the header within a line."""
    (tmp_path / "x.fa").write_text(">a\nACGTACGTAC>b\n>c\nACGT\n")
    (tmp_path / "x.fa.fai").write_text("a\t12\t3\t12\t13\nc\t4\t19\t4\t5\n")
    return Genome.open(tmp_path / "x.fa")


@pytest.mark.parametrize("read", [Genome.windows, Genome.one_hot_windows])
def test_windows__with_a_byte_that_is_no_nucleotide(glued, read):
    read(glued, np.array([0, 1]), np.array([0, -5]), 10)
    for start in (1, 10, -5):
        with pytest.raises(InputError, match="sequence 'a' has '>' inside a line") as error:
            read(glued, np.array([1, 0]), np.array([0, start]), 20 if start < 0 else 10)
        assert error.value.found == "'>' 1 times; the first at position 10"


def test_md5__of_a_sequence_with_a_byte_that_is_no_nucleotide(glued):
    assert glued.md5("c") == hashlib.md5(b"ACGT").hexdigest()
    with pytest.raises(InputError, match="sequence 'a' has '>' inside a line"):
        glued.md5("a")


def test_windows__of_rna_are_logged_once(tmp_path, caplog):
    caplog.set_level("INFO", logger="chromacc")
    genome = Genome.open(write_fasta(tmp_path / "x.fa", {"a": "ACGU", "b": "UUUU", "c": "TTTT"}))
    caplog.clear()
    assert decode(genome.windows(np.array([0, 1, 2]), np.zeros(3, np.int64), 4).ravel()) == "ACGTTTTTTTTT"
    genome.windows(np.array([0]), np.array([0]), 4)
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'x.fa'}: U in sequence 'a' is read as T"
    ]
    assert genome.md5("a") == hashlib.md5(b"ACGU").hexdigest()


def test_open__no_file():
    with pytest.raises(InputError, match="no FASTA"):
        Genome.open([])


def test_md5__of_a_file_that_was_changed(tmp_path):
    """What is remembered belongs to one state of a file."""
    first = Genome.open(write_fasta(tmp_path / "x.fa", {"a": "ACGT"})).md5("a")
    (tmp_path / "x.fa.fai").unlink()
    assert Genome.open(write_fasta(tmp_path / "x.fa", {"a": "ACGTA"})).md5("a") != first


def test_open__several_files_and_a_choice_of_sequences(tmp_path):
    one = write_fasta(tmp_path / "one.fa", {"chr1": "AAAA", "chrM": "CCCC"})
    two = write_fasta(tmp_path / "two.fa.gz", {"chr2": "GGGGG"})
    assert Genome.open([one, two]).names == ("chr1", "chrM", "chr2")
    genome = Genome.open([str(one), two], chromosomes=["chr2", "chr1"])
    assert genome.names == ("chr2", "chr1")
    assert genome.lengths.tolist() == [5, 4]
    assert genome.length("chr2") == 5
    assert decode(genome.windows(np.array([1, 0]), np.array([0, 0]), 4).ravel()) == "AAAAGGGG"
    assert "2 sequences, 9 bp" in repr(genome)


def test_open__chosen_chromosome_that_is_not_there(tmp_path):
    path = write_fasta(tmp_path / "x.fa", {"chr1": "AAAA"})
    with pytest.raises(InputError, match="chr9 are not in the FASTA") as error:
        Genome.open(path, chromosomes=["chr1", "chr9"])
    assert "1 sequences: chr1" in error.value.found


def test_open__one_name_in_two_files(tmp_path):
    one = write_fasta(tmp_path / "one.fa", {"chr1": "AAAA"})
    two = write_fasta(tmp_path / "two.fa", {"chr1": "CCCC"})
    with pytest.raises(InputError, match="'chr1' is in two files") as error:
        Genome.open([one, two])
    assert str(one) in error.value.found
    assert error.value.where == two


def test_open__no_bases(tmp_path):
    path = tmp_path / "x.fa"
    path.write_text(">chr1\n>chr2\n")
    with pytest.raises(InputError, match="no bases"):
        Genome.open(path)


def test_index__codes_in_order(genome):
    codes = genome.index(["chr2", "chr1", "chr2"])
    assert codes.dtype == np.int32
    assert codes.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("names", "remedy"),
    [
        (["1", "2"], "put 'chr' before"),
        (["chr1", "1"], "put 'chr' before"),
        (["chr1", "chr9"], "rename or leave out"),
    ],
)
def test_index__unknown_names_show_both_lists(genome, names, remedy):
    with pytest.raises(InputError, match="not in the genome") as error:
        genome.index(names, where="peaks.bed")
    assert error.value.where == "peaks.bed"
    assert error.value.found == f"2 names: {' '.join(names)}"
    assert error.value.expected == "2 names: chr1 chr2"
    assert remedy in error.value.remedy


def test_index__prefix_too_much(tmp_path):
    genome = Genome.open(write_fasta(tmp_path / "x.fa", {"1": "AAAA"}))
    with pytest.raises(InputError) as error:
        genome.index(["chr1"])
    assert "take 'chr' off" in error.value.remedy
    with pytest.raises(InputError, match="II not in the genome"):
        genome.codes("II")
    with pytest.raises(InputError, match="no name"):
        genome.index([None])


def test_pickle__opens_the_files_again_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    genome = Genome.open(
        write_fasta(Path("x.fa"), {"chr1": "ACGTACGTACGT", "chr2": "GG"}), chromosomes=["chr1"]
    )
    message = pickle.dumps(genome)
    monkeypatch.chdir("/")
    first, again = pickle.loads(message), pickle.loads(message)
    assert first is again
    assert first.names == genome.names
    np.testing.assert_array_equal(first.codes("chr1"), genome.codes("chr1"))
    (tmp_path / "x.fa.fai").unlink()
    write_fasta(tmp_path / "x.fa", {"chr1": "TTTT"})
    assert decode(pickle.loads(message).codes("chr1")) == "TTTT"
    (tmp_path / "x.fa").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        pickle.loads(message)


@pytest.fixture
def bgzip_sequences() -> dict[str, str]:
    rng = np.random.default_rng(0)
    return {f"chr{i}": "".join(rng.choice(list("ACGTN"), 300 + i)) for i in range(6)}


def test_windows__of_bgzip_inflate_only_what_they_cover(tmp_path, bgzip_sequences, monkeypatch):
    path = write_fasta(tmp_path / "x.fa.gz", bgzip_sequences, width=50)
    genome = Genome.open(path)
    inflated = []
    inflate = BgzipText.inflate
    monkeypatch.setattr(
        BgzipText, "inflate", lambda self, block: inflated.append(block) or inflate(self, block)
    )
    genome.windows(np.array([0, 0, 2]), np.array([60, 70, -5]), 10)
    assert sorted(inflated) == [2, 16], "the second line of chr0 and the first of chr2"
    genome.windows(np.array([0]), np.array([95]), 10)
    assert sorted(inflated) == [2, 3, 16]


@pytest.mark.parametrize("cache_bytes", [0, 700, 1 << 30])
def test_windows__of_bgzip_by_threads_with_little_memory(tmp_path, bgzip_sequences, cache_bytes):
    path = write_fasta(tmp_path / "x.fa.gz", bgzip_sequences, width=50)
    genome = Genome.open(path, cache_bytes=cache_bytes)
    rng = np.random.default_rng(1)
    tasks = [(rng.integers(0, 6, 20), rng.integers(-20, 310, 20)) for _ in range(60)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda task: genome.windows(*task, 30), tasks))
    for (chrom, start), codes in zip(tasks, results, strict=True):
        expected = "".join(
            windows_by_slicing(bgzip_sequences[f"chr{c}"], s, 30) for c, s in zip(chrom, start, strict=True)
        )
        assert decode(codes.ravel()) == expected
    kept = genome._loaded._n_bytes
    assert sum(kept.values()) <= cache_bytes or len(kept) == 1


@pytest.mark.shared
def test_real_genome__md5_and_windows(shared_data, tmp_path):
    paths = sorted((shared_data / "genome").glob("hg19.*.fa.gz"))
    genome = Genome.open(paths, index_dir=tmp_path)
    assert genome.names == ("chr20", "chrX")
    assert genome.lengths.tolist() == [63_025_520, 69_999_930]
    assert {name: genome.md5(name) for name in genome.names} == {"chr20": CHR20_MD5, "chrX": CHRX_MD5}

    rng = np.random.default_rng(0)
    start = np.concatenate([rng.integers(0, 63_025_520 - 600, 200), [-300, 63_025_520 - 300]])
    codes = genome.windows(np.zeros(start.size, np.int32), start, 600)
    (fai,), (gzi,) = tmp_path.glob("*/hg19.chr20*.fai"), tmp_path.glob("*/hg19.chr20*.gzi")
    with pyfaidx.Faidx(str(paths[0]), indexname=str(fai), gzi_indexname=str(gzi)) as oracle:
        for window, position in zip(codes[:200], start[:200].tolist(), strict=True):
            bases = oracle.fetch("chr20", position + 1, position + 600).seq
            np.testing.assert_array_equal(window, encode(bases))
    assert (codes[-2:] == 4).sum() >= 600
    np.testing.assert_array_equal(codes[-1, :300], genome.codes("chr20")[-300:])


@pytest.mark.shared
def test_real_plain_gzip__is_refused(shared_data, tmp_path):
    with pytest.raises(InputError, match="plain gzip") as error:
        Genome.open(shared_data / "yeast_atac" / "sacCer3_chrIV.fa.gz", index_dir=tmp_path)
    assert "bgzip" in error.value.remedy


@pytest.mark.shared
def test_real_genome__one_line_of_a_megabase(shared_data, tmp_path):

    path = tmp_path / "chrIV.fa"
    text = gzip.decompress((shared_data / "yeast_atac" / "sacCer3_chrIV.fa.gz").read_bytes())
    path.write_bytes(text)
    genome = Genome.open(path)
    assert genome.length("chrIV") == 1_531_933
    bases = text.split(b"\n", 1)[1].replace(b"\n", b"")
    np.testing.assert_array_equal(genome.codes("chrIV"), encode(bases))
