"""One FASTA file, plain or bgzip: where each sequence lies in it, and its raw bytes.

The index is in samtools' formats (.fai, and .gzi for bgzip). It is next to the file where it can be read
or written there, else in a folder of this user. An index that was found is never rebuilt behind the user's
back: it is compared with the file, and one that disagrees is an error.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from chromacc_data.errors import InputError
from chromacc_data.files import publish, user_cache, working_folder
from chromacc_data.progress import LOG
from chromacc_data.sequences.bgzip import BgzipText, format_gzi, is_bgzip, is_whole
from chromacc_data.sequences.fasta_index import Record, disagreement, format_fai, index_text, read_fai

__all__ = ["FastaFile", "Record", "RecordBytes", "default_index_dir", "write_index"]

_GZIP_MAGIC = b"\x1f\x8b"
#: Bytes of a plain file that are scanned at a time, so that an interrupt is heard.
_PART = 1 << 26
#: First bytes of a file that its format is told by.
_HEAD = 1 << 16
_START_OF_FASTA = re.compile(rb"(?:;[^\n]*\n|\s)*>")
_BIOPYTHON = (
    """python -c "from Bio import SeqIO; SeqIO.convert('{{name}}', '{form}', 'NEW.fa', 'fasta')"; """
    "compare the sequence names with those of the regions"
)
#: Other formats that are given as FASTA: how they begin, what they are, and what makes FASTA of them.
_OTHER_FORMATS = (
    (rb"\xef\xbb\xbf", "text with a byte order mark", "remove it: tail -c +4 {name} > NEW.fa"),
    (
        rb"\xff\xfe|\xfe\xff|>\0|\0>",
        "UTF-16 text",
        "iconv -f UTF-16 -t ASCII {name} > NEW.fa",
    ),
    (rb"BZh[1-9]", "bzip2", "bzip2 -dc < {name} > NEW.fa"),
    (rb"\xfd7zXZ\0", "xz", "xz -dc < {name} > NEW.fa"),
    (rb"\x28\xb5\x2f\xfd", "zstd", "zstd -dc < {name} > NEW.fa"),
    (rb"PK\x03\x04", "zip", "unzip -p {name} > NEW.fa"),
    (rb"\x43\x27\x41\x1a|\x1a\x41\x27\x43", "2bit", "twoBitToFa {name} NEW.fa"),
    (rb"LOCUS\s", "GenBank", _BIOPYTHON.format(form="genbank")),
    (rb"ID   ", "EMBL", _BIOPYTHON.format(form="embl")),
    (rb"@(?:HD|SQ|RG|PG|CO)\t", "SAM", "give the FASTA that the reads were aligned to"),
    (rb"@", "FASTQ, which holds reads and no genome", "give the FASTA of the genome"),
    (rb"##fileformat=VCF", "VCF", "give the FASTA of the genome"),
    (rb"##gff|#gtf", "GFF", "give the FASTA of the genome"),
    (rb"\s*<", "a web page or XML", "download the FASTA itself"),
)


class RecordBytes:
    """The raw bytes of one record, line ends included.

    Attributes
    ----------
    array : np.ndarray
        uint8, shape (byte,), read-only; its first byte is the first base.
    """

    def __init__(self, array: np.ndarray) -> None:
        array.flags.writeable = False
        self.array = array

    def load(self, start: np.ndarray, length: int) -> int:
        """Make `array` valid where windows of this length lie; returns the bytes of memory that this took."""
        return 0


class FastaFile:
    """An open FASTA file: its records, and the bytes of each.

    Holds memory maps and no file handle. Every method may be called from several threads.

    Parameters
    ----------
    path
        FASTA, plain or bgzip, as its first bytes say.
    index_dir
        Where an index is looked for, and written, if not next to the file; None is :func:`default_index_dir`.

    Attributes
    ----------
    records : tuple of Record
        In the order of the index.
    fingerprint : tuple
        Path, size and time of change; two files with equal ones are the same.

    Raises
    ------
    InputError
        For a file that is absent, empty, not FASTA, plain gzip or truncated; where it is indexed, for all
        that :func:`~chromacc_data.sequences.fasta_index.index_text` does not accept; and for an index that is
        not of this file.
    """

    def __init__(self, path: Path, *, index_dir: Path | None = None) -> None:
        self.path = path
        raw, self.fingerprint = _memory_map(path)
        key = hashlib.sha256(repr(self.fingerprint).encode()).hexdigest()[:16]
        index_dir = (index_dir or default_index_dir()) / key
        if _is_compressed(path, raw):
            fai, gzi = _find_index(path, index_dir, (".fai", ".gzi"))
            self._text: _PlainText | BgzipText = BgzipText(path, raw, gzi)
        else:
            (fai,) = _find_index(path, index_dir, (".fai",))
            self._text = _PlainText(raw)
        self.records = read_fai(fai)
        problem = disagreement(self.records, self._text)
        if problem is not None:
            raise _stale(fai, path, problem)

    def record_bytes(self, record: Record) -> RecordBytes:
        """The bytes of a record: a view of a plain file, a buffer filled on demand of a bgzip one."""
        if isinstance(self._text, BgzipText):
            return _InflatedRecord(record, self._text)
        return RecordBytes(self._text.raw[record.offset : record.end])


def default_index_dir() -> Path:
    """Folder of this user for the indices of FASTA files in folders that cannot be written to."""
    return user_cache() / "fasta-index"


class _PlainText:
    """The text of a plain FASTA file: the memory map itself."""

    def __init__(self, raw: np.ndarray) -> None:
        self.raw, self.size = raw, raw.size

    def read(self, start: int, stop: int) -> bytes:
        return self.raw[start:stop].tobytes()

    def parts(self) -> Iterator[np.ndarray]:
        return (self.raw[start : start + _PART] for start in range(0, self.size, _PART))


class _InflatedRecord(RecordBytes):
    """The bytes of a record of a bgzip file: only the blocks that windows were asked in are inflated.

    Memory is taken up by what was inflated; the rest of the array is address space.
    """

    def __init__(self, record: Record, text: BgzipText) -> None:
        self._record, self._text = record, text
        self._buffer = np.empty(record.end - record.offset, dtype=np.uint8)
        super().__init__(self._buffer.view())
        self._first = int(text.block_of(record.offset))
        n_blocks = int(text.block_of(max(record.end - 1, record.offset))) - self._first + 1
        self._present = np.zeros(n_blocks, dtype=bool)
        self._complete = False
        self._lock = threading.Lock()

    def load(self, start: np.ndarray, length: int) -> int:
        if self._complete:
            return 0
        wanted = self._blocks(start, length)
        if self._present[wanted].all():
            return 0
        n_bytes = 0
        with self._lock:
            for block in wanted[~self._present[wanted]]:
                n_bytes += self._inflate(int(block))
                self._present[block] = True
            self._complete = bool(self._present.all())
        return n_bytes

    def _blocks(self, start: np.ndarray, length: int) -> np.ndarray:
        """Blocks of this record that hold a base of windows of this length, ascending."""
        first, last = np.maximum(start, 0), np.minimum(start + length, self._record.length) - 1
        inside = first <= last
        first, last = (
            self._text.block_of(self._record.byte(place[inside])) - self._first for place in (first, last)
        )
        n = self._present.size
        n_open = np.bincount(first, minlength=n + 1) - np.bincount(last + 1, minlength=n + 1)
        return np.flatnonzero(np.cumsum(n_open[:n]))

    def _inflate(self, block: int) -> int:
        text = np.frombuffer(self._text.inflate(self._first + block), dtype=np.uint8)
        start = int(self._text.starts[self._first + block]) - self._record.offset
        part = text[max(-start, 0) : self._buffer.size - start]
        self._buffer[max(start, 0) : max(start, 0) + part.size] = part
        return part.size


def _memory_map(path: Path) -> tuple[np.ndarray, tuple[str, int, int]]:
    """The bytes of a file, uint8, read-only, and its fingerprint."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            raw = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if status.st_size else b""
    except OSError as error:
        raise InputError(
            "the FASTA file cannot be read", where=path, found=error.strerror, remedy="check the path"
        ) from None
    return np.frombuffer(raw, dtype=np.uint8), (str(path.resolve()), status.st_size, status.st_mtime_ns)


def _is_compressed(path: Path, raw: np.ndarray) -> bool:
    """Whether a file is bgzip rather than plain FASTA, by its bytes; anything else is an error."""
    head = raw[:_HEAD].tobytes()
    if not head:
        raise InputError(
            "the FASTA file is empty", where=path, expected="lines that begin with '>', and bases"
        )
    if not head.startswith(_GZIP_MAGIC):
        _require_fasta(path, head)
        if path.suffix.lower() in (".gz", ".bgz"):
            raise InputError("named like a bgzip file, but not compressed", where=path, remedy="rename it")
        return False
    if not is_bgzip(raw):
        raise InputError(
            "the FASTA is compressed with plain gzip, which does not allow random access",
            where=path,
            expected="plain FASTA or bgzip",
            remedy=f"gunzip -c {path.name} | bgzip > NEW.fa.gz, or gunzip {path.name}",
        )
    if not is_whole(raw):
        raise InputError(
            "this bgzip file is truncated",
            where=path,
            found=f"{raw.size} bytes without bgzip's end block",
            remedy="copy or download it again",
        )
    if path.suffix.lower() not in (".gz", ".bgz"):
        raise InputError("a bgzip file whose name does not end in .gz", where=path, remedy="rename it")
    return True


def _find_index(path: Path, index_dir: Path, suffixes: Sequence[str]) -> list[Path]:
    """The index files of a FASTA file; those neither next to it nor in `index_dir` are built first."""
    adjacent = [path.with_name(path.name + suffix) for suffix in suffixes]
    ours = [index_dir / file.name for file in adjacent]
    missing = [
        s for s, b, o in zip(suffixes, adjacent, ours, strict=True) if not (b.is_file() or o.is_file())
    ]
    if missing:
        LOG.info("indexing %s", path)
        write_index(path, _writable_folder(path.parent, index_dir), missing)
    return [b if b.is_file() else o for b, o in zip(adjacent, ours, strict=True)]


def _writable_folder(adjacent: Path, index_dir: Path) -> Path:
    # Root may write everywhere, but a folder without any write bit is meant to be left alone.
    if os.access(adjacent, os.W_OK) and adjacent.stat().st_mode & 0o222:
        return adjacent
    return index_dir


def write_index(path: Path, folder: Path, suffixes: Sequence[str] = (".fai", ".gzi")) -> None:
    """Read a whole FASTA file, and only if all of it is right write its index files to a folder.

    ``NAME.fai``, and ``NAME.gzi`` where the file is bgzip; those of other suffixes are left alone.
    """
    raw, _ = _memory_map(path)
    text = BgzipText.walk(path, raw) if is_bgzip(raw) else _PlainText(raw)
    _require_fasta(path, text.read(0, min(text.size, _HEAD)))
    content = {".fai": format_fai(index_text(text, path)).encode()}
    if isinstance(text, BgzipText):
        content[".gzi"] = format_gzi(text)
    try:
        with working_folder(folder / f"{path.name}.fai", wait=True, hidden=True, what="index") as working:
            for suffix in content.keys() & set(suffixes):
                part = working / (path.name + suffix)
                part.write_bytes(content[suffix])
                publish(part, folder / part.name)
    except OSError as error:
        raise InputError(
            "the index of the FASTA file cannot be written",
            where=folder,
            found=str(error),
            remedy="free or allow space there, or index the file where it can be written",
        ) from None


def _require_fasta(path: Path, head: bytes) -> None:
    """Raise for bytes of another format, which is named."""
    if _START_OF_FASTA.match(head) and head[1:2] != b"\0":
        return
    for start, name, remedy in _OTHER_FORMATS:
        if re.match(start, head):
            raise InputError(
                f"not a FASTA file: this is {name}",
                where=path,
                expected="FASTA, plain or bgzip",
                remedy=remedy.format(name=path.name),
            )
    raise InputError(
        "not a FASTA file",
        where=path,
        found=f"it begins with {head[:20]!r}",
        expected="a line that begins with '>', or bgzip",
        remedy="give the FASTA of the genome",
    )


def _stale(index: Path, path: Path, found: str) -> InputError:
    return InputError(
        f"this index does not match {path.name}",
        where=index,
        found=found,
        remedy=f"delete {index.name}, and it is rebuilt; or run `samtools faidx {path}`",
    )
