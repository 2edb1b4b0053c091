"""FASTA files: which are read, where their index is, and which index is refused."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyfaidx
import pytest
from Bio import bgzf
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data.errors import InputError
from chromacc_data.sequences.fasta import FastaFile, Record, default_index_dir
from chromacc_data.sequences.fasta_index import index_text
from tests.sequences.test_bgzip import write_bgzip

TEXT = ">chr1 first\nACGTA\nacgtn\nTT\n>chr2\nGGGGG\nGGGGG\n"
RECORDS = (Record("chr1", 12, 12, 5, 6), Record("chr2", 10, 33, 5, 6))


GENBANK = b"""\
LOCUS       a                         10 bp    DNA     linear   UNK 01-JAN-1980
DEFINITION  made by hand
ACCESSION   a
VERSION     a
FEATURES             Location/Qualifiers
ORIGIN
        1 acgtacgtac
//
"""


def fasta(folder: Path, text: str = TEXT, name: str = "x.fa") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def files_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.rglob("*") if file.is_file())


def test_records__by_hand(tmp_path):
    file = FastaFile(fasta(tmp_path))
    assert file.records == RECORDS
    assert file.record_bytes(RECORDS[0]).array.tobytes() == b"ACGTA\nacgtn\nTT"
    assert file.record_bytes(RECORDS[1]).array.tobytes() == b"GGGGG\nGGGGG"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(TEXT.replace("\n", "\r\n"), id="CRLF"),
        pytest.param(TEXT[:-1], id="no line end at the end"),
        pytest.param(TEXT + "\n", id="blank line at the end"),
        pytest.param(TEXT + "\n\n\r\n \t\n", id="lines of whitespace at the end"),
        pytest.param(TEXT + " ", id="whitespace at the end"),
        pytest.param(TEXT.replace(">chr2", "\n\n \n>chr2"), id="lines of whitespace between"),
        pytest.param(TEXT.replace("TT\n", "TT\r\n"), id="CRLF of the last line of a sequence"),
        pytest.param("; a comment\n\n" + TEXT, id="comment and blank line at the begin"),
        pytest.param(TEXT.replace(">chr2", "\n>chr2"), id="blank line between"),
        pytest.param(TEXT.replace(">chr2", "> chr2"), id="blank before the name"),
        pytest.param(TEXT.replace(">chr2", ">empty\n>chr2"), id="sequence without bases"),
    ],
)
def test_records__forms_of_fasta(tmp_path, text):
    file = FastaFile(fasta(tmp_path, text))
    bases = {
        record.name: file.record_bytes(record).array.tobytes().translate(None, b"\r\n")
        for record in file.records
    }
    bases.pop("empty", None)
    assert bases == {"chr1": b"ACGTAacgtnTT", "chr2": b"GGGGGGGGGG"}


def test_record_bytes__bgzip_holds_the_blocks_asked_for(tmp_path):
    lines = [line + b"\n" for line in TEXT.encode().split(b"\n")[:-1]]
    file = FastaFile(write_bgzip(tmp_path / "x.fa.gz", lines))
    loaded = file.record_bytes(RECORDS[0])
    assert loaded.load(np.array([-3, 5]), 5) == 6 + 6
    assert loaded.array[:12].tobytes() == b"ACGTA\nacgtn\n"
    assert loaded.load(np.array([0, 100, -100]), 10) == 0
    assert loaded.load(np.array([11]), 100) == 2
    assert loaded.array.tobytes() == b"ACGTA\nacgtn\nTT"


BAD_FILES = [
    pytest.param("x.fa", b"", "is empty", id="empty"),
    pytest.param("x.fa", b"\n\n", "not a FASTA file", id="blank"),
    pytest.param("x.fa", b"; only a comment\n", "not a FASTA file", id="comment"),
    pytest.param("x.fa", b"\x00\x01\x02\xff" * 9, "not a FASTA", id="binary"),
    pytest.param("x.fa", b">a\nAC\xff\xfeGT\n", "byte 0xff 1 times.*line 2", id="binary inside"),
    pytest.param("x.fa", b">a\nACGT\0\0\0\n", r"'\\x00' 3 times", id="NUL"),
    pytest.param("x.fa", b"chr1\t10\t20\n", "not a FASTA", id="a BED file"),
    pytest.param("x.fa", b">a\nACGT\nAC\nACGT\n", "line 4: a line that is longer", id="short line inside"),
    pytest.param("x.fa", b">a\nACGT\nACGTAC\n", "line 3: a line that is longer", id="long last line"),
    pytest.param("x.fa", b">a\nACGT\r\nACGT\nACGT\n", "line 4: a line that is", id="mixed line ends"),
    pytest.param("x.fa", b">a\nACGT\n\nACGT\n", "line 4: bases behind a line", id="blank line inside"),
    pytest.param("x.fa", b">a\n\nACGT\n", "line 3: bases behind a line", id="blank line below a header"),
    pytest.param("x.fa", b">a\nACGT\n>a\nACGT\n", "two sequences with the same name", id="duplicate"),
    pytest.param("x.fa", b">\nACGT\n", "a header without a name", id="no name"),
    pytest.param("x.fa", b">a\nAC\n> \nACGT\n", "line 3.*\n.*without a name", id="name of spaces"),
    pytest.param("x.fa", b">a\xe9\nACGT\n", "header that is not UTF-8", id="Latin-1 header"),
    pytest.param("x.fa", b">a\x01\nACGT\n", "characters that cannot be seen", id="control character"),
    pytest.param("x.fa", b">" + b"a" * (1 << 21) + b"\nACGT\n", "header of more than", id="long header"),
    pytest.param("x.fa", b">a\nACGT\n>b", "ends within a header", id="cut in a header"),
    pytest.param("x.fa", b">a\rACGT\rACGT\r>b\rACGT\r", "CR alone", id="CR"),
    pytest.param("x.fa", b">a\nACGT\n;comment\nACGT\n", "';' 1 times", id="comment inside"),
    pytest.param("x.fa", b">a\nACGT>b\nACGT\n", "'>' inside a line.*\n.*line 2", id="glued"),
    pytest.param("x.fa", b">a\nACGT\nACGT>b text\nACGT\n", "'>' inside a line.*\n.*line 3", id="glued below"),
    pytest.param("x.fa", b">a\nACGT\n >b\nACGT\n", "'>' inside a line", id="blank before a header"),
    pytest.param("x.fa", b">a\nMEFKL\n", "looks like a protein", id="protein"),
    pytest.param("x.fa", b">a\nAC GT\n", "whitespace or digits", id="blank inside a line"),
    pytest.param("x.fa", b">a\nACGT \n", "whitespace or digits", id="blank at the end of a line"),
    pytest.param("x.fa", b">a\nAC\rGT\n", "whitespace or digits", id="CR inside a line"),
    pytest.param("x.fa", b">a\nACGT\r\r\n", "whitespace or digits", id="two CR"),
    pytest.param("x.fa", b">a\n1 ACGT\n", "whitespace or digits", id="numbered lines"),
    pytest.param("x.fa", b">a\nAC-GT*\n", r"'\*' 1 times, '-' 1 times", id="alignment"),
    pytest.param("x.fa.gz", b">a\nACGT\n", "not compressed", id="plain named gz"),
    pytest.param("x.fa.gz", gzip.compress(b">a\nACGT\n"), "plain gzip", id="plain gzip"),
    pytest.param("x.fa.gz", gzip.compress(b">a\n") + gzip.compress(b"ACGT\n"), "plain gzip", id="members"),
    pytest.param("x.fa", b"\xef\xbb\xbf>a\nACGT\n", "byte order mark", id="BOM"),
    pytest.param("x.fa", ">a\nACGT\n".encode("utf-16"), "UTF-16", id="UTF-16"),
    pytest.param("x.fa", ">a\nACGT\n".encode("utf-16-be"), "UTF-16", id="UTF-16 big endian"),
    pytest.param("x.fa", ">a\nACGT\n".encode("utf-16-le"), "UTF-16", id="UTF-16 little endian"),
    pytest.param("x.fa", b"@read\nACGT\n+\nIIII\n", "this is FASTQ", id="FASTQ"),
    pytest.param("x.sam", b"@HD\tVN:1.6\n", "this is SAM", id="SAM"),
    pytest.param("x.gb", b"LOCUS       a 4 bp DNA\n", "this is GenBank", id="GenBank"),
    pytest.param("x.embl", b"ID   a; SV 1; linear; DNA\n", "this is EMBL", id="EMBL"),
    pytest.param("x.2bit", b"\x43\x27\x41\x1a\0\0\0\0", "this is 2bit", id="2bit"),
    pytest.param("x.fa.zip", b"PK\x03\x04....", "this is zip", id="zip"),
    pytest.param("x.fa.xz", lzma.compress(b">a\nACGT\n"), "this is xz", id="xz"),
    pytest.param("x.fa.bz2", bz2.compress(b">a\nACGT\n"), "this is bzip2", id="bzip2"),
    pytest.param("x.fa.zst", b"\x28\xb5\x2f\xfd....", "this is zstd", id="zstd"),
    pytest.param("x.vcf", b"##fileformat=VCFv4.2\n", "this is VCF", id="VCF"),
    pytest.param("x.gff", b"##gff-version 3\n", "this is GFF", id="GFF"),
    pytest.param("x.fa", b"<!DOCTYPE html>", "a web page", id="web page"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES)
def test_bad_file__is_an_error_and_leaves_no_index(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        FastaFile(path)
    assert str(error.value.where).startswith(str(path))
    assert error.value.remedy or error.value.expected
    assert files_in(tmp_path) == [name]


@pytest.mark.parametrize(
    ("content", "bases"),
    [
        pytest.param(b">a\nACGT\nAC\nACGT\n", "ACGTACACGT", id="uneven"),
        pytest.param(b">a\n\nACGT\n\nACGT\n", "ACGTACGT", id="blank lines"),
        pytest.param(b">a\nACGT\r\nACGT\nACGT\n", "ACGTACGTACGT", id="mixed line ends"),
        pytest.param(b"; text\n>a\n1 ACGT ACGT\n9 AC\n", "ACGTACGTAC", id="numbered lines"),
        pytest.param(b">a\rACGT\rACGT\r", "ACGTACGT", id="CR"),
        pytest.param(b">a\nAC-T*X\0\xff\r\n", "ACNTNNNN", id="other letters"),
        pytest.param(b">a\nACGTA>chr2 x>y\nAAAA\n", "ACGTA", id="glued"),
        pytest.param(b"\xef\xbb\xbf>a\nACGT\n", "ACGT", id="BOM"),
        pytest.param(">a\nACGT\n".encode("utf-16"), "ACGT", id="UTF-16"),
        pytest.param(lzma.compress(b">a\nACGT\n"), "ACGT", id="xz"),
        pytest.param(bz2.compress(b">a\nACGT\n"), "ACGT", id="bzip2"),
        pytest.param(GENBANK, "ACGTACGTAC", id="GenBank"),
    ],
)
def test_bad_file__remedy_helps(tmp_path, content, bases):
    path = tmp_path / "in.fa"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        FastaFile(path)
    command = error.value.remedy.partition(": ")[2] or error.value.remedy
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(
        ["bash", "-c", command.partition("; compare")[0]], cwd=tmp_path, check=True, env=environment
    )
    file = FastaFile(tmp_path / "NEW.fa")
    array = file.record_bytes(file.records[0]).array
    assert array.tobytes().translate(None, b"\r\n").decode() == bases


def test_bad_file__remedy_of_a_bgzip_file(tmp_path):
    path = write_bgzip_unindexed(tmp_path / "x.fa.gz", b">a\nACGTX\nAC\n")
    with pytest.raises(InputError, match="'X' 1 times") as error:
        FastaFile(path)
    subprocess.run(["bash", "-c", error.value.remedy.partition(": ")[2]], cwd=tmp_path, check=True)
    assert (tmp_path / "NEW.fa").read_bytes() == b">a\nACGTN\nAC\n"


def test_bgzip_of_another_format__is_named(tmp_path):
    path = write_bgzip_unindexed(tmp_path / "x.vcf.gz", b"##fileformat=VCFv4.2\n")
    with pytest.raises(InputError, match="this is VCF"):
        FastaFile(path)


@settings(deadline=None)
@given(
    sequences=st.lists(st.text(alphabet="ACGTNacgtnRYKMUu", max_size=40), min_size=1, max_size=5),
    width=st.integers(1, 12),
    line_end=st.sampled_from([b"\n", b"\r\n"]),
    closed=st.booleans(),
    part=st.integers(1, 9),
)
def test_index_text__is_that_of_pyfaidx_whatever_the_parts(
    tmp_path_factory, sequences, width, line_end, closed, part
):
    path = tmp_path_factory.mktemp("fasta") / "x.fa"
    lines = []
    for number, bases in enumerate(sequences):
        lines += [
            f">s{number} text".encode(),
            *(bases[i : i + width].encode() for i in range(0, len(bases), width)),
        ]
    raw = np.frombuffer(line_end.join(lines) + (line_end if closed or not sequences[-1] else b""), np.uint8)
    path.write_bytes(raw.tobytes())

    class Parts:
        size = raw.size

        def read(self, start, stop):
            return raw[start:stop].tobytes()

        def parts(self):
            return (raw[i : i + part] for i in range(0, raw.size, part))

    records = index_text(Parts(), path)
    with pyfaidx.Faidx(str(path)) as oracle:
        for record, bases in zip(records, sequences, strict=True):
            theirs = oracle.index[record.name]
            assert (record.length, record.offset) == (theirs.rlen, theirs.offset)
            assert record.length == len(bases)
            if record.length > record.line_bases:
                assert (record.line_bases, record.line_width) == (theirs.lenc, theirs.lenb)


def test_index_text__more_sequences_than_there_was_room_for(tmp_path):
    path = fasta(tmp_path, "".join(f">s{i}\nACGT\nA\n" for i in range(1000)))
    assert [(r.name, r.length) for r in FastaFile(path).records] == [(f"s{i}", 5) for i in range(1000)]


def write_bgzip_unindexed(path: Path, text: bytes) -> Path:
    with bgzf.BgzfWriter(str(path)) as writer:
        writer.write(text)
    return path


def test_absent_file__is_an_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        FastaFile(tmp_path / "absent.fa")


def test_truncated_bgzip__is_an_error(tmp_path):
    path = write_bgzip(tmp_path / "x.fa.gz")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="file is truncated"):
        FastaFile(path)


def test_corrupt_bgzip__is_an_error_when_it_is_indexed(tmp_path):
    path = write_bgzip(tmp_path / "x.fa.gz")
    raw = bytearray(path.read_bytes())
    raw[60] ^= 255
    path.write_bytes(raw)
    for index in (".fai", ".gzi"):
        path.with_name(path.name + index).unlink()
    with pytest.raises(InputError, match="file is corrupt"):
        FastaFile(path)
    assert files_in(tmp_path) == ["x.fa.gz"]


def test_bgzip_of_another_name__is_an_error(tmp_path):
    path = write_bgzip(tmp_path / "x.fa.gz").rename(tmp_path / "x.fa")
    with pytest.raises(InputError, match="does not end in"):
        FastaFile(path)


def test_index__is_built_next_to_the_file_once(tmp_path):
    path = fasta(tmp_path)
    FastaFile(path, index_dir=tmp_path / "elsewhere")
    assert files_in(tmp_path) == ["x.fa", "x.fa.fai"]
    written = (tmp_path / "x.fa.fai").stat().st_mtime_ns
    FastaFile(path)
    assert (tmp_path / "x.fa.fai").stat().st_mtime_ns == written
    assert (tmp_path / "x.fa.fai").read_text() == "chr1\t12\t12\t5\t6\nchr2\t10\t33\t5\t6\n"


@pytest.mark.parametrize("compressed", [False, True])
def test_index__of_a_folder_without_write_permission(tmp_path, monkeypatch, compressed):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "read-only"
    folder.mkdir()
    if compressed:
        path = write_bgzip(folder / "x.fa.gz")
        for index in (".fai", ".gzi"):
            path.with_name(path.name + index).unlink()
    else:
        path = fasta(folder)
    folder.chmod(0o555)
    try:
        first = FastaFile(path)
        again = FastaFile(path)
    finally:
        folder.chmod(0o755)
    assert first.records == again.records
    assert files_in(folder) == [path.name]
    assert files_in(default_index_dir()) == [
        path.name + s for s in ((".fai", ".gzi") if compressed else (".fai",))
    ]


def test_index__that_is_older_than_the_file_but_right_is_kept(tmp_path):
    path = fasta(tmp_path)
    FastaFile(path)
    index = tmp_path / "x.fa.fai"
    os.utime(index, (1, 1))
    assert FastaFile(path).records == RECORDS
    assert index.stat().st_mtime == 1


def test_index__given_fai_is_kept_when_only_the_gzi_is_missing(tmp_path):
    path = write_bgzip(tmp_path / "x.fa.gz")
    fai, gzi = tmp_path / "x.fa.gz.fai", tmp_path / "x.fa.gz.gzi"
    os.utime(fai, (1, 1))
    content = gzi.read_bytes()
    gzi.unlink()
    FastaFile(path)
    assert fai.stat().st_mtime == 1
    assert gzi.read_bytes() == content


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(TEXT.replace("chr2", "chrX"), id="renamed"),
        pytest.param(TEXT.replace("first", "the first"), id="longer header"),
        pytest.param(TEXT.replace("ACGTA\nacgtn\nTT", "ACGT\nAacg\ntnTT"), id="other line width"),
        pytest.param(TEXT.replace("\n", "\r\n"), id="CRLF"),
        pytest.param(TEXT + ">chr3\nACGT\n", id="one more sequence"),
        pytest.param(TEXT + "GG\n", id="more bases at the end"),
        pytest.param(TEXT[:-3], id="fewer bases at the end"),
        pytest.param(TEXT[: TEXT.index(">chr2")], id="one sequence fewer"),
        pytest.param(TEXT[TEXT.index(">chr2") :], id="without the first sequence"),
        pytest.param(TEXT.replace("TT\n", "TTT\n"), id="one more base inside"),
    ],
)
def test_stale_index__is_an_error_and_is_left_alone(tmp_path, text):
    path = fasta(tmp_path)
    FastaFile(path)
    index = tmp_path / "x.fa.fai"
    content = index.read_bytes()
    path.write_bytes(text.encode())
    with pytest.raises(InputError, match="does not match") as error:
        FastaFile(path)
    assert error.value.where == index
    assert "delete x.fa.fai" in error.value.remedy
    assert "samtools faidx" in error.value.remedy
    assert index.read_bytes() == content
    index.unlink()
    FastaFile(path)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("chr1\t12\t12\t5\t6\nchr2\t10\t1000000\t5\t6\n", id="beyond the file"),
        pytest.param("chr1\t999999999999999\t12\t999999999999999\t999999999999999\n", id="huge"),
        pytest.param("chr1\t12\t12\t5\t6\nchr2\t10\t20\t5\t6\n", id="overlapping"),
        pytest.param("chr1\t12\t12\t5\t999999999999\nchr2\t10\t33\t5\t6\n", id="wide lines"),
        pytest.param("chr1\t12\t12\t1\t1\nchr2\t10\t33\t5\t6\n", id="line ends as bases"),
        pytest.param("chr1\t0\t12\t0\t0\nchr2\t10\t33\t5\t6\n", id="empty"),
        pytest.param("", id="nothing"),
    ],
)
def test_index__malicious(tmp_path, content):
    path = fasta(tmp_path)
    (tmp_path / "x.fa.fai").write_text(content)
    with pytest.raises(InputError, match=r"x\.fa\.fai"):
        FastaFile(path)


def test_index__with_a_name_twice(tmp_path):
    path = fasta(tmp_path)
    (tmp_path / "x.fa.fai").write_text("chr1\t12\t12\t5\t6\n" * 2)
    with pytest.raises(InputError, match="two sequences with the same name"):
        FastaFile(path)


def test_index__that_cannot_be_written(tmp_path, monkeypatch):
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = fasta(tmp_path)
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(InputError, match="cannot be written") as error:
        FastaFile(path)
    assert "No space left" in error.value.found
    assert files_in(tmp_path) == ["x.fa"]


@pytest.mark.parametrize(
    "line",
    [
        "\xff\0",
        "chr1",
        "chr1\t12\t12\t5",
        "chr1\t12\tx\t5\t6",
        "chr1\t12\t12\t6\t5",
        "chr1\t-1\t12\t5\t6",
        "chr1\t12\t-12\t5\t6",
        "chr1\t12\t12\t0\t6",
        "chr1\t12\t12\t5\t" + "9" * 5000,
        "chr1\t9223372036854775807\t12\t5\t6",
        "chr1\t12\t18446744073709551616\t5\t6",
    ],
)
def test_index__that_is_none(tmp_path, line):
    path = fasta(tmp_path)
    (tmp_path / "x.fa.fai").write_text(f"chr0\t1\t1\t1\t2\n{line}\n")
    with pytest.raises(InputError, match="not a line of") as error:
        FastaFile(path)
    assert str(error.value.where).endswith("x.fa.fai line 2")
