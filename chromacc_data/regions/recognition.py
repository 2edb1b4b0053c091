"""What format a file of intervals has, by its content.

Only the head of a file is looked at: its first bytes, its comments, its column names and some hundred lines.
The number of columns alone decides nothing.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from chromacc_data.files import GZIP_MAGIC, open_unpacked

__all__ = [
    "TAG_ALIGN",
    "Head",
    "format_of",
    "has_mates",
    "has_strands",
    "has_value",
    "is_bed12",
    "is_broad_peak",
    "is_gapped_peak",
    "is_interval",
    "is_narrow_peak",
    "most",
    "parse_head",
    "read_head",
]

#: Name of files of single reads: BED6, 0-based.
TAG_ALIGN = "tagAlign (a read in each line)"

_HEAD_BYTES = 1 << 18
_HEAD_ROWS = 256

_MAGIC = (
    (b"\x88\x8f\xfc\x26", "bigWig"),
    (b"\x26\xfc\x8f\x88", "bigWig"),
    (b"\x87\x89\xf2\xeb", "bigBed"),
    (b"\xeb\xf2\x89\x87", "bigBed"),
    (b"BAM\1", "BAM"),
    (b"CRAM", "CRAM"),
    (b"BCF\2", "BCF"),
    (b"BCF\4", "BCF"),
    (b"TBI\1", "index of a BAM, CRAM or bgzip file"),
    (b"CSI\1", "index of a BAM, CRAM or bgzip file"),
    (b"BAI\1", "index of a BAM, CRAM or bgzip file"),
    (b"\x43\x27\x41\x1a", "2bit genome"),
    (b"\x1a\x41\x27\x43", "2bit genome"),
    (b"\x89HDF\r\n", "HDF5"),
    (b"PAR1", "Parquet"),
    (b"\x93NUMPY", "NumPy array"),
    (b"\x6c\x1b\x01", "PLINK bed"),
    (b"SQLite format 3\0", "SQLite database"),
    (b"%PDF-", "PDF"),
    (b"NCBI.sra", "SRA archive"),
    (b"HIC\0", "hic"),
    (b"PK\3\4", "ZIP"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"\xd0\xcf\x11\xe0", "spreadsheet (Excel)"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"\xff\xfe\0\0", "text in UTF-32"),
    (b"\0\0\xfe\xff", "text in UTF-32"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
    (b"version https://git-lfs", "pointer of Git LFS"),
)


#: Whitespace that a text may have, as plain spaces.
_SPACES = str.maketrans("\t\r\n", "   ")


class Head(NamedTuple):
    """What a file begins with: lines of comments, names of the columns, and the fields of data lines."""

    comments: list[str]
    header: list[str]
    rows: list[list[str]]


def format_of(data: bytes, *, zipped: bool = False) -> str | None:
    """Name of the format that a file begins in; None where nothing fits.

    A text of intervals without other features is ``"bed"``, or ``"bedGraph"`` if the fourth and last column
    holds numbers, whatever it is read for.

    >>> format_of(b"chr1\\t10\\t20\\tname\\n"), format_of(b"chr1 10 20\\n")
    ('bed', 'table separated by spaces')
    """
    return _format_of_bytes(data, zipped=zipped) or _format_of_text(data)


def read_head(path: Path) -> tuple[bytes, bool]:
    """First bytes of a file, unpacked, and whether it is gzip; its reader tells what is wrong with it."""
    head, zipped = bytearray(), False
    try:
        with open_unpacked(path) as file:
            zipped = isinstance(file, gzip.GzipFile)
            while len(head) < _HEAD_BYTES and (more := file.read1(_HEAD_BYTES - len(head))):
                head += more
    except (OSError, EOFError, zlib.error):
        pass
    return bytes(head), zipped


def _format_of_bytes(data: bytes, *, zipped: bool) -> str | None:
    """Format by magic numbers and encoding."""
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    if zipped and data.startswith(GZIP_MAGIC):
        return "gzip in gzip"
    if data[257:262] == b"ustar":
        return "tar"
    if _is_utf_16(data[:4096]):
        return "text in UTF-16"  # without the mark that says so
    if b"\n" not in data and b"\r" in data.rstrip(b"\r"):
        return "text whose lines end in CR alone"
    return None


def _is_utf_16(data: bytes) -> bool:
    """Whether every other byte is 0, and those between them are letters, digits or whitespace."""
    even, odd = data[::2], data[1::2]
    high, low = (even, odd) if even.count(0) else (odd, even)
    return high.count(0) * 2 > len(high) and (low.decode("latin-1") + "a").translate(_SPACES).isprintable()


def _format_of_text(data: bytes) -> str | None:
    """Format by what the lines say: unmistakable words first, then rules that most lines must follow."""
    text = data.lstrip()
    for start, name in ((b"<", "HTML or XML page"), (b"{", "JSON"), (b"[", "JSON"), (b">", "FASTA")):
        if text.startswith(start):
            return name
    head = parse_head(data)
    for word, name in (
        ("##fileformat=VCF", "VCF"),
        ("#CHROM\tPOS\t", "VCF"),
        ("##gff-version", "GFF or GTF"),
    ):
        if any(line.startswith(word) for line in head.comments):
            return name
    if re.search(rb"(?m)^(variable|fixed)Step\s+chrom=", data):
        return "wig"
    if any(re.match(r"@(HD|SQ|RG|PG|CO)\t", line) for line in head.comments):
        is_reads = not head.rows or most(head.rows, lambda row: len(row) >= 11)
        return "SAM" if is_reads else "interval_list (Picard)"
    if not head.rows:
        return None
    if not most(head.rows, is_interval):
        if _is_lengths(head.rows):
            return "table of chromosome lengths"
        return next((name for name, rule in _NOT_INTERVALS if most(head.rows, rule)), None)
    if _is_fasta_index(head.rows):
        return "index of a FASTA (.fai)"
    if _width_is_of_one_based(head):
        is_macs = {"abs_summit", "fold_enrichment"} & {*head.header}
        return "macs_xls" if is_macs else "table with 1-based starts"
    if _is_bedpe(head.rows):
        return "bedpe"
    if _is_reads(head.rows):
        return TAG_ALIGN
    return next((name for name, rule in _INTERVALS if most(head.rows, rule)), "bed")


def parse_head(data: bytes) -> Head:
    lines = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").split("\n")
    if len(data) >= _HEAD_BYTES:
        del lines[-1]
    comments: list[str] = []
    rows: list[list[str]] = []
    for line in lines:
        line = line.rstrip("\r")
        if re.match(r"#|(track|browser)(\s|$)|@(HD|SQ|RG|PG|CO)\t", line):
            comments.append(line)
        elif line.strip() and len(rows) <= _HEAD_ROWS:
            rows.append(line.split("\t"))
    named = rows and len(rows[0]) >= 3 and all(field[:1].isalpha() for field in rows[0][1:3])
    if named and len(rows) > 1 and len(rows[1]) == len(rows[0]) and is_interval(rows[1]):
        return Head(comments, [name.strip().lower() for name in rows[0]], rows[1:])
    last = comments[-1].lstrip("#").split("\t") if comments else []
    header = last if rows and len(last) == len(rows[0]) else []
    return Head(comments, [name.strip().lower() for name in header], rows)


def most(rows: Sequence[Sequence[str]], rule: Callable[[Sequence[str]], bool]) -> bool:
    return 2 * sum(map(rule, rows)) >= len(rows) > 0


def _is_position(text: str) -> bool:
    text = text.strip(" ")
    return text.isascii() and text.isdigit() and len(text) <= 18


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.strip() in ("", ".", "NA")
    return True


def is_interval(row: Sequence[str]) -> bool:
    return len(row) >= 3 and _is_position(row[1]) and _is_position(row[2])


def has_value(row: Sequence[str]) -> bool:
    return len(row) >= 4 and row[3].strip() not in ("", ".", "NA") and _is_number(row[3])


def has_strands(rows: Sequence[Sequence[str]]) -> bool:
    return most(rows, lambda row: len(row) >= 6 and row[5] in ("+", "-", "."))


def _width_is_of_one_based(head: Head) -> bool:
    """Whether a column of widths tells that starts are 1-based: one more than the difference."""
    column = next((i for i, name in enumerate(head.header) if name in ("length", "width")), None)
    if column is None or column < 3:
        return False
    rows = [row for row in head.rows if len(row) > column and is_interval(row) and _is_position(row[column])]
    return most(rows, lambda row: int(row[2]) - int(row[1]) + 1 == int(row[column]))


def _is_lengths(rows: Sequence[Sequence[str]]) -> bool:
    """Two columns, each name once: one line alone is rather an interval that was cut off."""
    pairs = all(len(row) == 2 and _is_position(row[1]) for row in rows)
    return pairs and 1 < len(rows) == len({row[0] for row in rows})


def _is_fasta_index(rows: Sequence[Sequence[str]]) -> bool:
    """Name, length, offset, bases and bytes of a line: the first offset is below the length."""
    if not all(len(row) == 5 and all(map(_is_position, row[1:])) for row in rows):
        return False
    widths = [int(row[4]) - int(row[3]) for row in rows]
    return set(widths) <= {1, 2} and int(rows[0][2]) < int(rows[0][1])


def has_mates(row: Sequence[str]) -> bool:
    """Whether columns 5 and 6 hold coordinates of a mate, -1 for one without a place."""
    return len(row) >= 6 and all(_is_position(field.strip().removeprefix("-")) for field in row[4:6])


def _is_bedpe(rows: Sequence[Sequence[str]]) -> bool:
    """Mates, on chromosomes that column 1 has too, or without a place: counts of a barcode look alike."""
    chromosomes = {row[0] for row in rows} | {"."}
    return most(rows, has_mates) and any(
        row[3] in chromosomes or re.match(r"chr[0-9XYMUI]", row[3]) for row in rows if has_mates(row)
    )


def _is_reads(rows: Sequence[Sequence[str]]) -> bool:
    """Reads of a tagAlign file, or of `bedtools bamtobed`: stranded, named by sequence or with ``/1``."""

    def is_read(row: Sequence[str]) -> bool:
        return len(row) == 6 and row[5].strip() in ("+", "-") and _is_number(row[4])

    return all(is_read(row) and re.fullmatch(r"N|[ACGTN]{10,}|.+/[12]", row[3]) for row in rows)


def _blocks(row: Sequence[str]) -> bool:
    """Whether columns 10 to 12 are BED12's blocks: their number, lengths and starts."""
    if len(row) < 12 or not _is_position(row[9]):
        return False
    sizes, starts = (row[i].strip().rstrip(",").split(",") for i in (10, 11))
    if not all(map(_is_position, (*sizes, *starts))) or not int(row[9]) == len(sizes) == len(starts):
        return False
    return len(sizes) > 1 or (int(starts[0]) == 0 and int(sizes[0]) == int(row[2]) - int(row[1]))


def is_bed12(row: Sequence[str]) -> bool:
    return is_interval(row) and _blocks(row)


def is_gapped_peak(row: Sequence[str]) -> bool:
    return is_bed12(row) and len(row) == 15 and all(map(_is_number, row[12:15]))


def is_broad_peak(row: Sequence[str]) -> bool:
    """Nine columns, the last three scores, and no thick part, as BED9 has."""
    return _has_scores(row) and len(row) == 9


def is_narrow_peak(row: Sequence[str]) -> bool:
    """BED6, three scores, and the summit's offset; after that anything, such as IDR's columns."""
    return _has_scores(row) and len(row) >= 10 and not _blocks(row) and _is_number(row[9])


def _has_scores(row: Sequence[str]) -> bool:
    if not (is_interval(row) and len(row) >= 9 and row[5].strip() in ("+", "-", ".", "*", "")):
        return False
    return all(map(_is_number, (row[4], *row[6:9]))) and not _is_thick(row)


def _is_thick(row: Sequence[str]) -> bool:
    """Whether columns 7 to 9 are a thick part and a colour."""
    if not (_is_position(row[6]) and _is_position(row[7]) and row[8].strip() in ("0", ".")):
        return False
    return int(row[1]) <= int(row[6]) <= int(row[7]) <= int(row[2]) and int(row[7]) > 0


def _is_table_with_names(row: Sequence[str]) -> bool:
    """An identifier, then the interval and its strand."""
    return len(row) >= 5 and all(map(_is_position, row[2:4])) and row[4].strip() in ("+", "-", "0", "1")


def _is_vcf(row: Sequence[str]) -> bool:
    alleles = all(re.fullmatch(r"[ACGTNacgtn*.,<>:\w]+", field) for field in row[3:5])
    return len(row) >= 8 and _is_position(row[1]) and alleles and bool(re.fullmatch(r"[ACGTNacgtn]+", row[3]))


def _is_gff(row: Sequence[str]) -> bool:
    return len(row) >= 8 and all(map(_is_position, row[3:5])) and row[6].strip() in ("+", "-", ".", "?")


def _is_sam(row: Sequence[str]) -> bool:
    return (
        len(row) >= 11
        and _is_position(row[1])
        and _is_position(row[3])
        and bool(re.fullmatch(r"\*|([0-9]+[MIDNSHPX=])+", row[5]))
    )


def _is_interval_of(separator: str) -> Callable[[Sequence[str]], bool]:
    def rule(row: Sequence[str]) -> bool:
        fields = [field.strip(' "') for field in "\t".join(row).strip().split(separator)]
        return len(row) < 3 and is_interval(fields)

    return rule


def _is_spaced(row: Sequence[str]) -> bool:
    return len(row) < 3 and is_interval("\t".join(row).split())


_NOT_INTERVALS: tuple[tuple[str, Callable[[Sequence[str]], bool]], ...] = (
    ("GFF or GTF", _is_gff),
    ("SAM", _is_sam),
    ("VCF", _is_vcf),
    ("peak table of HOMER, or SAF (1-based)", _is_table_with_names),
    (
        "table of UCSC with a first column of numbers",
        lambda row: len(row) >= 4 and _is_position(row[0]) and is_interval(row[1:]),
    ),
    (
        "list of positions (chr:start-end)",
        lambda row: bool(re.fullmatch(r"\S+:[0-9,]+-[0-9,]+(:[-+*])?\s*", row[0])),
    ),
    ("table in quotes", lambda row: is_interval([field.strip(' "') for field in row])),
    ("table separated by spaces", _is_spaced),
    ("CSV (commas)", _is_interval_of(",")),
    ("table with semicolons", _is_interval_of(";")),
    ("FASTQ", lambda row: row[0][:1] in ("@", "+")),
)
_INTERVALS: tuple[tuple[str, Callable[[Sequence[str]], bool]], ...] = (
    ("gappedPeak", is_gapped_peak),
    ("bed12", is_bed12),
    ("narrowPeak", is_narrow_peak),
    ("broadPeak", is_broad_peak),
    ("interval_list (Picard)", lambda row: len(row) == 5 and row[3] in ("+", "-")),
    (
        "peak table of HOMER, or SAF (1-based)",
        lambda row: _is_table_with_names(row) and len(row) >= 5 and row[4] in ("+", "-"),
    ),
    ("bedGraph", lambda row: len(row) == 4 and has_value(row)),
)
