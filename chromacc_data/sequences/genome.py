"""The genome: sequences of one or several FASTA files, and windows of them as base codes or one-hot, fast."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from chromacc_data.compiled import compiled
from chromacc_data.errors import InputError
from chromacc_data.progress import LOG
from chromacc_data.sequences.encoding import (
    BYTE_CLASS,
    BYTE_TO_CODE,
    FOREIGN,
    URACIL,
    foreign_letters_error,
    one_hot,
)
from chromacc_data.sequences.fasta import FastaFile, Record, RecordBytes

__all__ = ["Genome"]

#: Memory for what was inflated of bgzip files, by default.
CACHE_BYTES = 1 << 30
#: Bases of a sequence that are read at a time where all of it is.
_PART = 1 << 22


def _one_hot_table(dtype: np.typing.DTypeLike, item: np.typing.DTypeLike) -> np.ndarray:
    """One-hot row of each byte, as one item of the row's size, so that the kernel moves whole rows."""
    table = one_hot(BYTE_TO_CODE, dtype=dtype).view(item)[:, 0]
    table.flags.writeable = False
    return table


def _byte_itself(*, upper_case: bool) -> np.ndarray:
    raw = bytes(range(256))
    return np.frombuffer(raw.upper() if upper_case else raw, dtype=np.uint8)


# What each byte of FASTA becomes. Item 0 is what stands past the ends of a sequence.
# Four float32 are one item of 128 bits, of which "complex" is only numpy's name.
_ONE_HOT_TABLES = {
    np.dtype(np.uint8): _one_hot_table(np.uint8, np.uint32),
    np.dtype(np.float32): _one_hot_table(np.float32, np.complex128),
}
_UPPER_CASE, _AS_IT_STANDS = _byte_itself(upper_case=True), _byte_itself(upper_case=False)

#: MD5 of sequences by file and name: reading 3 Gb takes seconds, and a process may open a genome often.
_MD5: dict[tuple, str] = {}
#: Files in which U was met, and said so.
_SAID_URACIL: set[tuple] = set()


class Genome:
    """Named sequences, read in place from FASTA files.

    Opened with :meth:`Genome.open`. Reads are thread-safe and release the GIL. Pickling keeps only the
    arguments: the process that receives it opens the files again, once.

    Attributes
    ----------
    names : tuple of str
        The sequences, in the order of the files or as chosen; their indices are the `chrom` codes.
    lengths : np.ndarray
        Bases of each, int64, shape (sequence,).
    unused : frozenset of str
        Sequences of the files that were not chosen.
    """

    def __init__(
        self,
        files: Sequence[FastaFile],
        *,
        chromosomes: Sequence[str] | None,
        index_dir: Path | None,
        cache_bytes: int,
    ) -> None:
        self._arguments = (tuple(str(f.path.absolute()) for f in files), chromosomes, index_dir, cache_bytes)
        self._label = ", ".join(f.path.name for f in files[:3]) + (", …" if len(files) > 3 else "")
        self._files, self._records = zip(*_select(files, chromosomes), strict=True)
        self.names: tuple[str, ...] = tuple(record.name for record in self._records)
        self.lengths = np.array([record.length for record in self._records], dtype=np.int64)
        self.lengths.flags.writeable = False
        self._code = {name: code for code, name in enumerate(self.names)}
        self.unused = frozenset(r.name for file in files for r in file.records if r.name not in self._code)
        self._loaded = _Loaded(cache_bytes)

    @classmethod
    def open(
        cls,
        paths: Path | str | Sequence[Path | str],
        *,
        chromosomes: Sequence[str] | None = None,
        index_dir: Path | str | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> Genome:
        """Open FASTA files as one genome.

        Parameters
        ----------
        paths
            One FASTA or several, plain or bgzip. Lower case (soft-masked) is read as upper case, U as T, and
            other IUPAC codes than A C G T as N. Other bytes are an error: a file without an index is read
            whole when it is opened; of one with an index, what windows cover, and all in :meth:`md5`.
        chromosomes
            The sequences to keep, in this order; all if None.
        index_dir
            Where an index is looked for and written if it is not, and cannot be, next to its file; None is a
            folder of this user's cache.
        cache_bytes
            Memory to keep of inflated bgzip files; the sequence read last is always kept.

        Raises
        ------
        InputError
            For no file, a file that is not whole and indexable FASTA, an index that is not of its file, one
            name in two places, and unknown chromosomes.

        Examples
        --------
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     fasta = Path(folder) / "tiny.fa"
        ...     _ = fasta.write_text(">chr1\\nACGT\\nacRN\\n>chr2\\nTTTT\\n")
        ...     genome = Genome.open(fasta)
        ...     print(genome.names, genome.lengths)
        ...     genome.windows(np.array([0, 1]), np.array([2, -3]), 6)
        ('chr1', 'chr2') [8 4]
        array([[2, 3, 0, 1, 4, 4],
               [4, 4, 4, 3, 3, 3]], dtype=uint8)
        """
        paths = [paths] if isinstance(paths, (str, Path)) else paths
        if not paths:
            raise InputError("no FASTA", expected="one file or more")
        index_dir = None if index_dir is None else Path(index_dir)
        files = [FastaFile(Path(path), index_dir=index_dir) for path in paths]
        chromosomes = None if chromosomes is None else tuple(chromosomes)
        return cls(files, chromosomes=chromosomes, index_dir=index_dir, cache_bytes=cache_bytes)

    def __reduce__(self) -> tuple:
        return _reopen, self._arguments

    def __repr__(self) -> str:
        return f"<Genome {self._label}: {len(self.names)} sequences, {self.lengths.sum():,} bp>"

    @property
    def paths(self) -> tuple[str, ...]:
        """The FASTA files."""
        return self._arguments[0]

    def length(self, name: str) -> int:
        """Bases of a sequence."""
        return self._records[self._code_of(name)].length

    def index(self, names: Sequence[str], *, where: str | Path | None = None) -> np.ndarray:
        """Codes of sequence names, int32, shape of `names`.

        Parameters
        ----------
        names
            Any sequence, array or Series of str, of any length.
        where
            File or key that the names are from, for the message.

        Raises
        ------
        InputError
            For names that the genome does not have: with both lists, and the change of prefix that fixes it.
        """
        places, distinct = pd.factorize(np.asarray(names, dtype=object))
        unknown = [name for name in distinct if name not in self._code]
        if unknown or (places < 0).any():
            raise self._unknown(unknown or ["(no name)"], [str(name) for name in distinct], where)
        codes = np.array([self._code[name] for name in distinct], dtype=np.int32)
        return codes[places]

    def md5(self, name: str) -> str:
        """MD5 of a sequence in upper case: the M5 of SAM headers and the refget identifier of its time.

        Reads the whole sequence, and so finds what a look at the index cannot. U stays U here.

        Raises
        ------
        InputError
            When there are other bytes than those of nucleotides: they are counted.
        """
        code = self._code_of(name)
        key = (self._files[code].fingerprint, name)
        if key not in _MD5:
            _MD5[key] = self._compute_md5(code)
        return _MD5[key]

    def codes(self, name: str) -> np.ndarray:
        """Base codes of a whole sequence, uint8, shape (position,)."""
        code = self._code_of(name)
        return self.windows(np.array([code]), np.zeros(1, dtype=np.int64), self._records[code].length)[0]

    def windows(self, chrom: np.ndarray, start: np.ndarray, length: int) -> np.ndarray:
        """Base codes of windows; N (4) past both ends of a sequence.

        Parameters
        ----------
        chrom
            Code of the sequence of each window, shape (window,).
        start
            0-based start of each, int64, shape (window,); any value, also outside the sequence.
        length
            Bases of every window.

        Returns
        -------
        uint8, shape (window, position), in the order of the input.
        """
        return self._gather(chrom, start, length, BYTE_TO_CODE)

    def one_hot_windows(
        self,
        chrom: np.ndarray,
        start: np.ndarray,
        length: int,
        dtype: np.typing.DTypeLike = np.uint8,
    ) -> np.ndarray:
        """One-hot windows, uint8 or float32, shape (window, position, 4); N and past the ends all zeros.

        The same as ``one_hot(genome.windows(chrom, start, length))``, in one pass.
        """
        dtype = np.dtype(dtype)
        if dtype not in _ONE_HOT_TABLES:
            raise ValueError(f"dtype {dtype}; one-hot windows are uint8 or float32")
        items = self._gather(chrom, start, length, _ONE_HOT_TABLES[dtype])
        return items.view(dtype).reshape(*items.shape, 4)

    def _gather(
        self, chrom: np.ndarray, start: np.ndarray, length: int, table: np.ndarray, *, check: bool = True
    ) -> np.ndarray:
        chrom = np.asarray(chrom)
        start = np.ascontiguousarray(start, dtype=np.int64)
        if chrom.ndim != 1 or chrom.shape != start.shape:
            raise ValueError(
                f"chrom and start have shapes {chrom.shape} and {start.shape}, not one (window,)"
            )
        out = np.empty((start.size, length), dtype=table.dtype)
        for code, rows in _runs(chrom):
            if not 0 <= code < len(self.names):
                raise IndexError(f"chrom {code} of a genome of {len(self.names)} sequences")
            record = self._records[code]
            array = self._loaded.array(self._files[code], record, start[rows], length)
            met = _look_up(
                array,
                record.line_bases,
                record.line_width,
                record.length,
                start,
                rows,
                table,
                BYTE_CLASS,
                out,
            )
            if met & FOREIGN and check:
                raise self._foreign_letters(code)
            if met & URACIL:
                self._say_uracil(code)
        return out

    def _compute_md5(self, code: int) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        for bases in self._parts(code, _UPPER_CASE):
            digest.update(bases)
        return digest.hexdigest()

    def _parts(self, code: int, table: np.ndarray, *, check: bool = True) -> Iterator[np.ndarray]:
        """A whole sequence through a table, part by part."""
        length = self._records[code].length
        for first in range(0, length, _PART):
            n_bases = min(_PART, length - first)
            yield self._gather(np.array([code]), np.array([first]), n_bases, table, check=check)[0]

    def _foreign_letters(self, code: int) -> InputError:
        """The error for a sequence in which a byte that is no nucleotide was met: all of it is looked at."""
        path, record = self._files[code].path, self._records[code]
        counts, first = np.zeros(256, dtype=np.int64), None
        for number, letters in enumerate(self._parts(code, _AS_IT_STANDS, check=False)):
            counts += np.bincount(letters, minlength=256)
            if first is None and (BYTE_CLASS[letters] & FOREIGN).any():
                first = number * _PART + int(np.argmax(BYTE_CLASS[letters] & FOREIGN))
        if counts[list(b"\r\n")].any():
            return InputError(
                f"no base at position {first} of sequence {record.name!r}",
                where=path,
                found="a line end",
                expected=f"{record.line_bases} bases on each line, as its index says",
                remedy=f"delete {path.name}.fai if the file was changed; else correct the file",
            )
        return foreign_letters_error(
            counts, f"sequence {record.name!r}", first=f"at position {first}", where=path
        )

    def _say_uracil(self, code: int) -> None:
        """Log once for each file that it is RNA."""
        file = self._files[code]
        if file.fingerprint not in _SAID_URACIL:
            _SAID_URACIL.add(file.fingerprint)
            LOG.info("%s: U in sequence %r is read as T", file.path, self.names[code])

    def _code_of(self, name: str) -> int:
        if name not in self._code:
            raise self._unknown([name], [name], None)
        return self._code[name]

    def _unknown(self, unknown: list[str], names: list[str], where: str | Path | None) -> InputError:
        if all(f"chr{name}" in self._code for name in unknown):
            remedy = "put 'chr' before the names; the genome has them so"
        elif all(name.startswith("chr") and name[3:] in self._code for name in unknown):
            remedy = "take 'chr' off the names; the genome has them so"
        else:
            remedy = "rename or leave out these sequences, or use the genome that the coordinates refer to"
        return InputError(
            f"{_listing(unknown)} not in the genome {self._label}",
            where=where,
            found=f"{len(names)} names: {_listing(names, 12)}",
            expected=f"{len(self.names)} names: {_listing(self.names, 12)}",
            remedy=remedy,
        )


class _Loaded:
    """The bytes of records in use; the least recently used are let go when inflated ones exceed a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._records: OrderedDict[str, RecordBytes] = OrderedDict()
        self._n_bytes: dict[str, int] = {}
        self._total = 0
        self._lock = threading.Lock()

    def array(self, file: FastaFile, record: Record, start: np.ndarray, length: int) -> np.ndarray:
        """Raw bytes of a record, valid where the windows lie; stays so as long as the caller holds it."""
        name = record.name
        with self._lock:
            if name not in self._records:
                self._records[name] = file.record_bytes(record)
            self._records.move_to_end(name)
            held = self._records[name]
        # Outside the lock: other threads read other records while this one inflates.
        added = held.load(start, length)
        if added:
            with self._lock:
                if self._records.get(name) is held:
                    self._n_bytes[name] = self._n_bytes.get(name, 0) + added
                    self._total += added
                self._evict()
        return held.array

    def _evict(self) -> None:
        while self._total > self._limit and len(self._records) > 1:
            name, _ = self._records.popitem(last=False)
            self._total -= self._n_bytes.pop(name, 0)


def _select(files: Sequence[FastaFile], chromosomes: Sequence[str] | None) -> list[tuple[FastaFile, Record]]:
    """The records that make up a genome, each with its file."""
    known: dict[str, tuple[FastaFile, Record]] = {}
    for file in files:
        for record in file.records:
            if record.name in known:
                raise InputError(
                    f"sequence {record.name!r} is in two files",
                    where=file.path,
                    found=f"also in {known[record.name][0].path}",
                    remedy="give each sequence once",
                )
            known[record.name] = (file, record)
    missing = [name for name in chromosomes or () if name not in known]
    if missing:
        raise InputError(
            f"chosen chromosomes {_listing(missing)} are not in the FASTA",
            where=files[0].path,
            found=f"{len(known)} sequences: {_listing(list(known), 12)}",
            remedy="choose among these, or give the FASTA that has them",
        )
    chosen = list(known.values()) if chromosomes is None else [known[name] for name in chromosomes]
    if not any(record.length for _, record in chosen):
        raise InputError("no bases in the FASTA", where=files[0].path, found=_listing(list(known), 12))
    return chosen


def _listing(names: Sequence[str], n_shown: int = 5) -> str:
    return " ".join(names[:n_shown]) + (" …" if len(names) > n_shown else "")


def _runs(chrom: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each code that occurs, and the rows that have it, int64."""
    # Small batches are often of one chromosome, and sorting would take as long as reading them.
    if chrom.size and (chrom == chrom[0]).all():
        yield int(chrom[0]), np.arange(chrom.size)
        return
    order = np.argsort(chrom, kind="stable")
    changes = np.flatnonzero(np.diff(chrom[order])) + 1
    for first, last in pairwise([0, *changes.tolist(), order.size]):
        if first < last:
            yield int(chrom[order[first]]), order[first:last]


@compiled
def _look_up(
    raw: np.ndarray,
    line_bases: int,
    line_width: int,
    sequence_length: int,
    start: np.ndarray,
    rows: np.ndarray,
    table: np.ndarray,
    byte_class: np.ndarray,
    out: np.ndarray,
) -> int:
    """Write ``table[byte]`` for each base of the windows `rows`, and ``table[0]`` where there is none.

    Shapes: raw (byte,), start (window,), rows (some of the windows,), table and byte_class (256,), out
    (window, position). Gives the classes that were met, joined.
    """
    length, met = out.shape[1], np.uint8(0)
    for row in rows:
        first = min(max(-start[row], 0), length)
        last = max(min(sequence_length - start[row], length), first)
        window = out[row]
        window[:first] = table[0]
        window[last:] = table[0]
        line, column = divmod(start[row] + first, line_bases)
        byte = line * line_width + column
        position = first
        while position < last:
            n_bases = min(line_bases - column, last - position)
            # Slices, so that no index below can be negative: numba then leaves out its test for that.
            source, target = raw[byte : byte + n_bases], window[position : position + n_bases]
            for base in range(n_bases):
                target[base] = table[source[base]]
                met |= byte_class[source[base]]
            position += n_bases
            byte += n_bases + line_width - line_bases
            column = 0
    return met


def _reopen(
    paths: tuple[str, ...], chromosomes: tuple[str, ...] | None, index_dir: Path | None, cache_bytes: int
) -> Genome:
    """The genome that was pickled; tasks sent to one process share it as long as the files stay the same."""
    fingerprint = tuple(path.stat().st_mtime_ns if path.exists() else None for path in map(Path, paths))
    return _open_once(paths, chromosomes, index_dir, cache_bytes, fingerprint)


@functools.lru_cache(maxsize=1)
def _open_once(
    paths: tuple[str, ...],
    chromosomes: tuple[str, ...] | None,
    index_dir: Path | None,
    cache_bytes: int,
    fingerprint: tuple,
) -> Genome:
    return Genome.open(paths, chromosomes=chromosomes, index_dir=index_dir, cache_bytes=cache_bytes)
