"""VCF files: every kind of allele, every kind of damage."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from Bio import bgzf

from chromacc_data.errors import InputError
from chromacc_models.effects.vcf import Alleles, read_alleles

HEADER = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
RECORDS = """chr1\t5\trs1\ta\tg,*,<DEL>,N[chr2:5[\t.\t.\tUNKNOWN=1
chr1\t3\t.\tACG\t.\t.\tq10\t.
chr2\t9\trs2;rs3\tACG\tA\t.\t.\t.
"""


def write(folder: Path, text: str | bytes, name: str = "a.vcf") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def rows(path: Path, **options: int) -> list[tuple]:
    return [row for part in read_alleles(path, **options) for row in zip(*part, strict=True)]


@pytest.mark.parametrize("kind", ["plain", "gzip", "bgzip"])
def test_read_alleles__one_row_for_each(tmp_path: Path, kind: str):
    path = tmp_path / "a.vcf.gz"
    if kind == "plain":
        path = write(tmp_path, HEADER + RECORDS)
    elif kind == "gzip":
        path.write_bytes(gzip.compress((HEADER + RECORDS).encode()))
    else:
        with bgzf.BgzfWriter(str(path)) as file:
            file.write((HEADER + RECORDS).encode())
    assert rows(path) == [
        (0, "chr1", 4, "rs1", "A", "G"),
        (0, "chr1", 4, "rs1", "A", "*"),
        (0, "chr1", 4, "rs1", "A", "<DEL>"),
        (0, "chr1", 4, "rs1", "A", "N[chr2:5["),
        (1, "chr1", 2, ".", "ACG", "."),
        (2, "chr2", 8, "rs2;rs3", "ACG", "A"),
    ]


def test_read_alleles__in_chunks_of_records(tmp_path: Path):
    path = write(tmp_path, HEADER + RECORDS * 3)
    whole = rows(path)
    for chunk in (1, 2, 4, 100):
        parts = list(read_alleles(path, chunk=chunk))
        assert all(isinstance(part, Alleles) for part in parts)
        assert len(parts) == -(-9 // chunk)
        assert rows(path, chunk=chunk) == whole
        assert rows(path, chunk=chunk, skip=4) == [row for row in whole if row[0] >= 4]


@pytest.mark.parametrize(
    ("text", "found", "remedy"),
    [
        ("", "an empty file", "check the command"),
        ("chr1\t1\t.\tA\tG\t.\t.\t.\n", "chr1", "##fileformat"),
        (gzip.compress(HEADER.encode())[:40], "", "again"),
        (b"BCF\2\2 and more", "BCF", "bcftools view"),
    ],
)
def test_read_alleles__no_vcf(tmp_path: Path, text: str | bytes, found: str, remedy: str):
    with pytest.raises(InputError) as caught:
        rows(write(tmp_path, text))
    assert found in str(caught.value.found)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    "line",
    [
        "chr1\t1\t.\tA",
        "chr1\tone\t.\tA\tG\t.\t.\t.",
        "chr1 1 . A G . . .",
        "chr1\t-5\t.\tA\tG\t.\t.\t.",
    ],
)
def test_read_alleles__a_damaged_record(tmp_path: Path, line: str):
    path = write(tmp_path, HEADER + RECORDS + line + "\n")
    with pytest.raises(InputError, match="damaged") as caught:
        rows(path)
    assert caught.value.where == f"{path}, record 4"
    assert caught.value.found == repr(line)


def test_read_alleles__text_of_another_encoding(tmp_path: Path):
    record = b"chr1\t5\tid\xe9\tA\tG\t.\t.\t.\n"
    with pytest.raises(InputError, match="is not UTF-8"):
        rows(write(tmp_path, HEADER.encode() + record))


def test_read_alleles__truncated_bgzip(tmp_path: Path):
    path = tmp_path / "a.vcf.gz"
    with bgzf.BgzfWriter(str(path)) as file:
        file.write((HEADER + RECORDS * 20_000).encode())
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(InputError, match="truncated"):
        rows(path)


def test_read_alleles__nothing(tmp_path: Path):
    with pytest.raises(InputError, match="has no variants"):
        rows(write(tmp_path, HEADER))
    with pytest.raises(InputError, match="cannot be read"):
        rows(tmp_path / "absent.vcf")
