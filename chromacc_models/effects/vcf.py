"""Variants of VCF files, read with pysam in chunks of bounded size: one row for each alternative allele."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pysam

from chromacc_data.errors import InputError
from chromacc_data.files import disk_errors

__all__ = ["Alleles", "open_vcf", "read_alleles"]

_GZIP_MAGIC = b"\x1f\x8b"
_EXPECTED = "VCF 4: `##` lines, a line `#CHROM POS ID REF ALT …`, and tab-separated records; plain or bgzip"
#: How files begin that are taken for VCF, and what to do with them.
_OTHERS = (
    (b"##gff", "GFF", "give a VCF file"),
    (b"BCF", "BCF", "bcftools view FILE -O z -o OUT.vcf.gz"),
    (b"CRAM", "CRAM", "call variants first"),
    (b"BAM\1", "BAM", "call variants first"),
)


class Alleles(NamedTuple):
    """Alternative alleles of variants, one row each.

    Parameters
    ----------
    record
        Number of its line among the records of the file, from 0, (allele,) int64.
    chrom
        Names as the file has them, (allele,) object.
    position
        0-based position of the first reference base, (allele,) int64.
    id
        Names of variants, or ".", (allele,) object.
    ref, alt
        Bases in upper case, or a symbol such as ``*`` and ``<DEL>`` as it stands; "." is no alternative
        allele. (allele,) object.
    """

    record: np.ndarray
    chrom: np.ndarray
    position: np.ndarray
    id: np.ndarray
    ref: np.ndarray
    alt: np.ndarray

    def __len__(self) -> int:
        """Number of alleles."""
        return len(self.position)


def read_alleles(path: Path | str, *, chunk: int = 16384, skip: int = 0) -> Iterator[Alleles]:
    """Alternative alleles of a VCF file, in the order of the file.

    A record without an alternative allele has one row, with `alt` ".".

    Parameters
    ----------
    path
        VCF, plain, gzip or bgzip.
    chunk
        Records read at a time.
    skip
        Records at the beginning to leave out.

    Raises
    ------
    InputError
        If it is not a whole VCF file.
    """
    path = Path(path)
    with open_vcf(path) as file:
        rows: list[tuple] = []
        number = -1
        for number, record in enumerate(_records(file, path)):
            if number < skip:
                continue
            fixed = number, record.chrom, record.pos - 1, record.id or ".", (record.ref or ".").upper()
            for alt in record.alts or (".",):
                rows.append((*fixed, alt.upper() if alt.isalpha() else alt))
            if (number + 1 - skip) % chunk == 0:
                yield _columns(rows)
                rows = []
        if number < 0:
            raise InputError("has no variants", where=path, expected="at least one record", remedy="check it")
        if rows:
            yield _columns(rows)


@contextmanager
def open_vcf(path: Path) -> Iterator[pysam.VariantFile]:
    """A VCF file opened by pysam; plain gzip, which htslib does not read, is unpacked into a temporary file.

    Raises
    ------
    InputError
        If it cannot be read, or has no VCF header.
    """
    verbosity = pysam.set_verbosity(0)  # what is wrong is said below
    try:
        with _readable(path) as readable:
            try:
                file = pysam.VariantFile(str(readable))
            except (ValueError, OSError, NotImplementedError) as error:
                raise _no_vcf(path, error) from error
            with file:
                yield file
    finally:
        pysam.set_verbosity(verbosity)


@contextmanager
def _readable(path: Path) -> Iterator[Path]:
    try:
        with path.open("rb") as file:
            head = file.read(18)
    except OSError as error:
        raise InputError(
            "cannot be read", where=path, found=error.strerror, expected="a VCF file", remedy="check the path"
        ) from error
    if not head.startswith(_GZIP_MAGIC) or head[12:14] == b"BC":
        yield path
        return
    with tempfile.NamedTemporaryFile(suffix=".vcf", prefix="chromacc-") as unpacked:
        try:
            with gzip.open(path) as packed, disk_errors(Path(unpacked.name)):
                shutil.copyfileobj(packed, unpacked, 1 << 20)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(
                "this gzip file is damaged or truncated",
                where=path,
                found=error,
                remedy="copy or download it again",
            ) from error
        unpacked.flush()
        yield Path(unpacked.name)


def _records(file: pysam.VariantFile, path: Path) -> Iterator[pysam.VariantRecord]:
    number = 0
    records = iter(file)
    while True:
        try:
            record = next(records)
            _ = record.id  # text that is not UTF-8
        except StopIteration:
            return
        except (OSError, ValueError) as error:
            what = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else "is damaged, or no VCF there"
            raise InputError(
                what,
                where=f"{path}, record {number + 1}",
                found=_line(path, number) or error,
                expected=_EXPECTED,
                remedy="separate columns by tabs; for a truncated file, copy it again "
                "(bcftools view FILE > /dev/null tells whether it is whole)",
            ) from error
        yield record
        number += 1


def _line(path: Path, number: int) -> str | None:
    """A record as it stands in the file."""
    with path.open("rb") as file:
        opened = gzip.open if file.read(2) == _GZIP_MAGIC else open
    try:
        with opened(path, "rt", encoding="utf-8", errors="replace") as lines:
            records = (line for line in lines if not line.startswith("#"))
            return next(
                (repr(line.rstrip("\n"))[:160] for i, line in enumerate(records) if i == number), None
            )
    except (OSError, EOFError, zlib.error):
        return None


def _columns(rows: list[tuple]) -> Alleles:
    kinds = (np.int64, object, np.int64, object, object, object)
    return Alleles(
        *(np.array(column, kind) for column, kind in zip(zip(*rows, strict=True), kinds, strict=True))
    )


def _no_vcf(path: Path, error: Exception) -> InputError:
    with path.open("rb") as file:
        head = file.read(200)
    found = next((name for start, name, _ in _OTHERS if head.startswith(start)), None)
    remedy = next((remedy for start, _, remedy in _OTHERS if head.startswith(start)), None)
    if not head:
        found, remedy = "an empty file", "check the command that made it"
    elif head.startswith(_GZIP_MAGIC):
        found, remedy = str(error), "copy it again; `bcftools view` tells whether it is whole"
    elif found is None:
        found = repr(head.partition(b"\n")[0][:80].decode("utf-8", "replace"))
        remedy = (
            "for records without a header, put above them `##fileformat=VCFv4.2` and, with tabs, "
            "`#CHROM POS ID REF ALT QUAL FILTER INFO`"
        )
    return InputError("not a VCF file", where=path, found=found, expected=_EXPECTED, remedy=remedy)
