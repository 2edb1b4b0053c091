"""One FASTA file, plain or bgzip: where each sequence lies in it, and its raw bytes.

The index is pyfaidx's, in samtools' formats (.fai, and .gzi for bgzip). It stands beside the file where it
can be read or written there, else in a folder of this user. An index that was found is never rebuilt behind
the user's back: it is compared with the file, and one that disagrees is an error.
"""

from __future__ import annotations

import hashlib
import logging
import mmap
import os
import re
import struct
import tempfile
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
import pyfaidx

from chromacc_data.errors import InputError
from chromacc_data.sequences.bgzip import BgzipText, is_bgzip, is_whole

__all__ = ["FastaFile", "Record", "RecordBytes", "default_index_dir"]

logger = logging.getLogger(__name__)

_GZIP_MAGIC = b"\x1f\x8b"
#: How many lines of a sequence are compared with the index.
_N_PROBES = 16
#: No header line is longer: an index that leaves more than this between two sequences is wrong.
_MAX_HEADER_BYTES = 1 << 20
#: A header line; before the first one, comments may stand.
_HEADER = re.compile(rb"(?:;[^\n]*\n|\s)*>[ \t]*(\S+)[^\n]*\n")
_START_OF_FASTA = re.compile(rb"(?:;[^\n]*\n|\s)*>")


@dataclass(frozen=True)
class Record:
    """Where one sequence lies in its FASTA file (as decompressed): a row of the .fai.

    Attributes
    ----------
    name
        The header up to the first blank.
    length
        Bases.
    offset
        Place of the first base, in bytes.
    line_bases, line_width
        Bases on a line, and its bytes with the line end.
    """

    name: str
    length: int
    offset: int
    line_bases: int
    line_width: int

    def byte(self, position: int | np.ndarray) -> int | np.ndarray:
        """Place in the file of the base at a position (0-based, inside the sequence)."""
        return self.offset + position + position // self.line_bases * (self.line_width - self.line_bases)

    @property
    def end(self) -> int:
        """Place in the file behind the last base."""
        return self.byte(self.length - 1) + 1 if self.length else self.offset


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
        Where an index is looked for, and written, if not beside the file; None is :func:`default_index_dir`.

    Attributes
    ----------
    records : tuple of Record
        In the order of the index.
    fingerprint : tuple
        Path, size and time of change; two files with equal ones are the same.

    Raises
    ------
    InputError
        For a file that is absent, empty, not FASTA, plain gzip, truncated, or with lines of uneven length;
        and for an index that is not of this file.
    """

    def __init__(self, path: Path, *, index_dir: Path | None = None) -> None:
        self.path = path
        raw, self.fingerprint = _memory_map(path)
        key = hashlib.sha256(repr(self.fingerprint).encode()).hexdigest()[:16]
        index_dir = (index_dir or default_index_dir()) / key
        if _is_compressed(path, raw):
            fai, gzi = _find_index(path, raw, index_dir, (".fai", ".gzi"))
            self._text: _PlainText | BgzipText = BgzipText(path, raw, gzi)
        else:
            (fai,) = _find_index(path, raw, index_dir, (".fai",))
            self._text = _PlainText(raw)
        self.records = _read_fai(fai)
        problem = _disagreement(self.records, self._text)
        if problem is not None:
            raise _stale(fai, path, problem)

    def record_bytes(self, record: Record) -> RecordBytes:
        """The bytes of a record: a view of a plain file, a buffer filled on demand of a bgzip one."""
        if isinstance(self._text, BgzipText):
            return _InflatedRecord(record, self._text)
        return RecordBytes(self._text.raw[record.offset : record.end])


def default_index_dir() -> Path:
    """Folder of this user for the indices of FASTA files in folders that cannot be written to."""
    return platformdirs.user_cache_path("chromacc") / "fasta-index"


class _PlainText:
    """The text of a plain FASTA file: the memory map itself."""

    def __init__(self, raw: np.ndarray) -> None:
        self.raw, self.size = raw, raw.size

    def read(self, start: int, stop: int) -> bytes:
        return self.raw[start:stop].tobytes()


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
    head = raw[: 1 << 16].tobytes()
    if not head:
        raise InputError(
            "the FASTA file is empty", where=path, expected="lines that begin with '>', and bases"
        )
    if not head.startswith(_GZIP_MAGIC):
        if _START_OF_FASTA.match(head) is None:
            raise InputError(
                "not a FASTA file",
                where=path,
                found=f"it begins with {head[:20]!r}",
                expected="a line that begins with '>', or bgzip",
            )
        if path.suffix.lower() in (".gz", ".bgz"):
            raise InputError("named like a bgzip file, but not compressed", where=path, remedy="rename it")
        return False
    if not is_bgzip(raw):
        raise InputError(
            "the FASTA is compressed with plain gzip, which cannot be read from the middle",
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


def _find_index(path: Path, raw: np.ndarray, index_dir: Path, suffixes: Sequence[str]) -> list[Path]:
    """The index files of a FASTA file; those neither beside it nor in `index_dir` are built first."""
    beside = [path.with_name(path.name + suffix) for suffix in suffixes]
    ours = [index_dir / file.name for file in beside]
    missing = [b.name for b, o in zip(beside, ours, strict=True) if not (b.is_file() or o.is_file())]
    if missing:
        _build_index(path, raw, missing, _writable_folder(path.parent, index_dir))
    return [b if b.is_file() else o for b, o in zip(beside, ours, strict=True)]


def _writable_folder(beside: Path, index_dir: Path) -> Path:
    # Root may write everywhere, but a folder without any write bit is meant to be left alone.
    if os.access(beside, os.W_OK) and beside.stat().st_mode & 0o222:
        return beside
    index_dir.mkdir(parents=True, exist_ok=True)
    return index_dir


def _build_index(path: Path, raw: np.ndarray, names: Sequence[str], folder: Path) -> None:
    """Index a file with pyfaidx, check the result, and only then move the named index files to `folder`."""
    logger.info("indexing %s", path)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{path.name}.") as temporary:
        fai, gzi = (Path(temporary) / (path.name + suffix) for suffix in (".fai", ".gzi"))
        _index_with_pyfaidx(path, fai, gzi)
        text = BgzipText(path, raw, gzi) if gzi.is_file() else _PlainText(raw)
        problem = _disagreement(_read_fai(fai), text)
        if problem is not None:
            # pyfaidx lets a last line pass that is longer than the others.
            raise _uneven(path, problem)
        for name in names:
            (Path(temporary) / name).replace(folder / name)


def _index_with_pyfaidx(path: Path, fai: Path, gzi: Path) -> None:
    """Write the .fai and, of a bgzip file, the .gzi."""
    try:
        pyfaidx.Faidx(str(path), indexname=str(fai), gzi_indexname=str(gzi)).close()
    except pyfaidx.FastaIndexingError as error:
        raise _uneven(path, str(error)) from None
    except UnicodeDecodeError as error:
        raise InputError(
            "not a FASTA file: it holds bytes that are not text", where=path, found=repr(error.object[:20])
        ) from None
    except (ValueError, RuntimeError, EOFError, struct.error, zlib.error) as error:
        if "Duplicate key" in str(error):
            raise InputError("two sequences of one name", where=path, found=str(error)) from None
        if "during fasta indexing" in str(error):  # several blank lines behind a sequence
            raise _uneven(path, "blank lines") from None
        raise InputError(
            "this bgzip file is corrupt", where=path, found=str(error), remedy="copy or download it again"
        ) from None
    except OSError as error:
        raise InputError(
            "the index of the FASTA file cannot be written",
            where=path,
            found=str(error),
            remedy=f"make room there, or run `samtools faidx {path}`",
        ) from None


def _read_fai(fai: Path) -> tuple[Record, ...]:
    """Records of a .fai: five columns, name, length, offset, line bases, line width."""
    records: dict[str, Record] = {}
    for number, line in enumerate(fai.read_text(errors="replace").splitlines(), start=1):
        name, *columns = line.split("\t")
        try:
            length, offset, line_bases, line_width = map(int, columns[:4])
        except ValueError:
            length = -1
        if length < 0 or offset <= 0 or not 0 <= line_bases <= line_width or (length and not line_bases):
            raise InputError(
                "not a line of a .fai index",
                where=f"{fai} line {number}",
                found=line[:80],
                expected="name, length, offset, bases and bytes of a line, split by tabs",
                remedy=f"delete {fai.name}; it is built again",
            )
        if name in records:
            raise InputError("two sequences of one name", where=f"{fai} line {number}", found=name)
        records[name] = Record(name, length, offset, max(line_bases, 1), max(line_width, 1))
    return tuple(records.values())


def _disagreement(records: Sequence[Record], text: _PlainText | BgzipText) -> str | None:
    """What in a FASTA file is not as its index says; None if all is.

    From begin to end of the file there must be the header of a record, its lines, the header of the next, and
    nothing between them. Of the lines of a record, a few are looked at.
    """
    end = 0
    for record in sorted(records, key=lambda record: record.offset):
        gap = record.offset - end
        if not 0 < gap <= _MAX_HEADER_BYTES or record.end > text.size:
            return f"sequence {record.name!r} is not at byte {record.offset}"
        match = _HEADER.fullmatch(text.read(end, record.offset))
        if match is None or match[1].decode(errors="replace") != record.name:
            return f"no header of sequence {record.name!r} before byte {record.offset}"
        line = _line_at_odds(record, text)
        if line is not None:
            return f"line {line + 1} of sequence {record.name!r} has not {record.line_bases} bases"
        end = record.end
    if text.read(end, min(text.size, end + _MAX_HEADER_BYTES)).strip() or text.size > end + _MAX_HEADER_BYTES:
        return f"there is more behind the last sequence, from byte {end}"
    return None


def _line_at_odds(record: Record, text: _PlainText | BgzipText) -> int | None:
    """The first of a few lines of a record that does not end where the index says; None if all do."""
    n_lines = -(-record.length // record.line_bases)
    for line in np.unique(
        np.linspace(0, max(n_lines - 1, 0), min(n_lines, _N_PROBES)).astype(np.int64)
    ).tolist():
        last = record.byte(min((line + 1) * record.line_bases, record.length) - 1)
        stop = (
            min(record.offset + (line + 1) * record.line_width, record.end)
            if line < n_lines - 1
            else record.end
        )
        base, line_end = text.read(last, last + 1), text.read(last + 1, stop)
        if base.isspace() or base == b">" or line_end.strip(b"\r\n"):
            return line
    return None


def _uneven(path: Path, found: str) -> InputError:
    return InputError(
        "this FASTA file cannot be indexed",
        where=path,
        found=found,
        expected="headers that begin with '>', and lines of one length in each sequence but for its last",
        remedy=f"mend it, for lines of another length with `seqkit seq -w 60 {path.name}`",
    )


def _stale(index: Path, path: Path, found: str) -> InputError:
    return InputError(
        f"this index is not of {path.name} as it stands",
        where=index,
        found=found,
        remedy=f"delete {index.name}, it is built again; or run `samtools faidx {path}`",
    )
