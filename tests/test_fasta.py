"""FASTA files: which are read, where their index is, and which index is refused."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pyfaidx
import pytest

from chromacc_data.errors import InputError
from chromacc_data.sequences.fasta import FastaFile, Record, default_index_dir
from tests.test_bgzip import write_bgzip

TEXT = ">chr1 first\nACGTA\nacgtn\nTT\n>chr2\nGGGGG\nGGGGG\n"
RECORDS = (Record("chr1", 12, 12, 5, 6), Record("chr2", 10, 33, 5, 6))


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
    pytest.param("x.fa", b"\x00\x01\x02\xff" * 9, "not a FASTA", id="binary"),
    pytest.param("x.fa", b">a\nAC\xff\xfeGT\n", "not text", id="binary inside"),
    pytest.param("x.fa", b"chr1\t10\t20\n", "not a FASTA", id="a BED file"),
    pytest.param("x.fa", b">a\nACGT\nAC\nACGT\n", "cannot be indexed", id="short line inside"),
    pytest.param("x.fa", b">a\nACGT\nACGTAC\n", "cannot be indexed", id="long last line"),
    pytest.param("x.fa", b">a\nACGT\n\nACGT\n", "cannot be indexed", id="blank line inside"),
    pytest.param("x.fa", b">a\nACGT\nAC\n\n\n", "cannot be indexed", id="blank lines at the end"),
    pytest.param("x.fa", b">a\nACGT\nACGT\n\n\n", "blank lines", id="blank lines behind a full line"),
    pytest.param("x.fa", b">a\nACGT\n>a\nACGT\n", "two sequences of one name", id="duplicate"),
    pytest.param("x.fa", b">\nACGT\n", "cannot be indexed", id="no name"),
    pytest.param("x.fa.gz", b">a\nACGT\n", "not compressed", id="plain named gz"),
    pytest.param("x.fa.gz", gzip.compress(b">a\nACGT\n"), "plain gzip", id="plain gzip"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES)
def test_bad_file__is_an_error_and_leaves_no_index(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        FastaFile(path)
    assert error.value.where == path
    assert files_in(tmp_path) == [name]


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


def test_index__is_built_beside_the_file_once(tmp_path):
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
    with pytest.raises(InputError, match="as it stands") as error:
        FastaFile(path)
    assert error.value.where == index
    assert "delete x.fa.fai" in error.value.remedy
    assert "samtools faidx" in error.value.remedy
    assert index.read_bytes() == content
    index.unlink()
    FastaFile(path)


def test_index__with_a_name_twice(tmp_path):
    path = fasta(tmp_path)
    (tmp_path / "x.fa.fai").write_text("chr1\t12\t12\t5\t6\n" * 2)
    with pytest.raises(InputError, match="two sequences of one name"):
        FastaFile(path)


def test_index__that_cannot_be_written(tmp_path, monkeypatch):
    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pyfaidx, "Faidx", full_disk)
    with pytest.raises(InputError, match="cannot be written") as error:
        FastaFile(fasta(tmp_path))
    assert "No space left" in error.value.found
    assert files_in(tmp_path) == ["x.fa"]


@pytest.mark.parametrize(
    "line", ["\xff\0", "chr1", "chr1\t12\t12\t5", "chr1\t12\tx\t5\t6", "chr1\t12\t12\t6\t5"]
)
def test_index__that_is_none(tmp_path, line):
    path = fasta(tmp_path)
    (tmp_path / "x.fa.fai").write_text(f"chr0\t1\t1\t1\t2\n{line}\n")
    with pytest.raises(InputError, match="not a line of") as error:
        FastaFile(path)
    assert str(error.value.where).endswith("x.fa.fai line 2")
