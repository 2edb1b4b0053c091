"""The index of a FASTA file: made by reading the whole text once, written and read as samtools' .fai.

The pass that makes an index looks at every byte, so that a file that was indexed here holds nothing but
headers and lines of nucleotides. An index that was found is compared with the file in a few places.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from chromacc_data.compiled import compiled
from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import (
    BYTE_CLASS,
    FOREIGN,
    REWRAP,
    filter_command,
    foreign_letters_error,
)

__all__ = ["Record", "Text", "disagreement", "format_fai", "index_text", "read_fai"]

#: How many lines of a sequence are compared with an index that was found.
_N_PROBES = 16
#: No header line is longer: an index that leaves more than this between two sequences is wrong.
_MAX_HEADER_BYTES = 1 << 20
#: A header line; before the first one, comments may stand.
_HEADER = re.compile(rb"(?:;[^\n]*\n|\s)*>[ \t]*(\S+)[^\n]*\n")
#: Numbers of a .fai: no file is longer, and sums of them are far from overflow.
_FAI_NUMBER = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True)
class Record:
    """Where one sequence lies in its FASTA file (as decompressed): a row of the .fai.

    Attributes
    ----------
    name
        The header up to the first whitespace.
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


class Text(Protocol):
    """The text of a FASTA file, plain or bgzip."""

    size: int

    def read(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop)."""

    def parts(self) -> Iterable[np.ndarray]:
        """The whole text from its beginning, in uint8 arrays."""


def index_text(text: Text, path: Path) -> tuple[Record, ...]:
    """Index a FASTA file by reading all of it.

    Accepted are: header lines ``>NAME DESCRIPTION``; of each sequence, lines of one length, of which the last
    may be shorter, made of the letters A C G T U and the IUPAC codes of several bases, in either case;
    whitespace lines behind a sequence and before a header; line ends LF or CR LF; sequences without bases;
    and, above the first header, comments that begin with ``;``.

    Raises
    ------
    InputError
        With the line, for all else.
    """
    state, rows = np.zeros(_N_STATE, dtype=np.int64), np.zeros((64, _N_COLUMNS), dtype=np.int64)
    state[_LINE] = 1
    foreign = np.zeros(256, dtype=np.int64)
    last = _LF
    for part in text.parts():
        rows = _scan_part(part, state, rows, foreign)
        last = part[-1] if part.size else last
    if state[_KIND] == _IN_HEADER:
        raise _unended_header(text, path, int(state[_LINE]), int(rows[state[_N_RECORDS] - 1, _NAME]))
    if last != _LF:
        rows = _scan_part(np.array([_LF], dtype=np.uint8), state, rows, foreign)
    _raise_problem(state, foreign, path)
    return _unique([_record(row, text, path) for row in rows[: state[_N_RECORDS]].tolist()], path)


def format_fai(records: Iterable[Record]) -> str:
    """The text of a .fai."""
    return "".join(f"{r.name}\t{r.length}\t{r.offset}\t{r.line_bases}\t{r.line_width}\n" for r in records)


def read_fai(fai: Path) -> tuple[Record, ...]:
    """Records of a .fai: five columns, name, length, offset, line bases, line width."""
    try:
        text = fai.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(
            "this index cannot be read", where=fai, found=error.strerror, remedy="check its permissions"
        ) from None
    records = []
    for number, line in enumerate(text.rstrip("\n").split("\n"), start=1):
        name, *columns = line.split("\t")
        numbers = [int(column) for column in columns[:4] if _FAI_NUMBER.fullmatch(column)]
        length, offset, line_bases, line_width = numbers if len(numbers) == 4 else (-1, 0, 0, 0)
        if length < 0 or offset <= 0 or not line_bases <= line_width or (length and not line_bases):
            raise InputError(
                "not a line of a .fai index",
                where=f"{fai} line {number}",
                found=line[:80],
                expected="name, length, offset, bases and bytes of a line, separated by tabs",
                remedy=f"delete {fai.name}; it is rebuilt",
            )
        records.append(Record(name, length, offset, max(line_bases, 1), max(line_width, 1)))
    return _unique(records, fai)


def disagreement(records: Sequence[Record], text: Text) -> str | None:
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


def _line_at_odds(record: Record, text: Text) -> int | None:
    """The first of a few lines of a record that does not end where the index says; None if all do."""
    n_lines = -(-record.length // record.line_bases)
    few = n_lines <= _N_PROBES
    for line in range(n_lines) if few else np.linspace(0, n_lines - 1, _N_PROBES).astype(np.int64).tolist():
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


# The state of a scan: what it knows between two parts of a text. The line that it is in, ...
_LINE, _KIND, _BYTES, _ENDS_IN_CR = range(4)
# ... the record that it is in (whether its lines are all full so far, whether whitespace followed them), ...
_N_RECORDS, _PHASE, _OFFSET = range(4, 7)
# ... and the first line that is wrong, and that has foreign letters.
_PROBLEM, _PROBLEM_LINE, _FOREIGN_LINE = range(7, 10)
_N_STATE = 10
_AT_START, _IN_HEADER, _IN_BASES, _IN_WHITESPACE, _IN_COMMENT = range(5)
_FULL_LINES, _SHORT_LINE, _WHITESPACE = range(3)
_NO_PROBLEM, _NO_HEADER, _UNEVEN, _WHITESPACE_INSIDE = range(4)
# Columns of a record while it is scanned.
_NAME, _FIRST, _LENGTH, _LINE_BASES, _LINE_WIDTH, _NUMBER = range(6)
_N_COLUMNS = 6
_LF, _CR, _TAB, _SPACE, _GREATER, _SEMICOLON = b"\n\r\t >;"


def _scan_part(part: np.ndarray, state: np.ndarray, rows: np.ndarray, foreign: np.ndarray) -> np.ndarray:
    """Scan a part of the text: updates `state`, `rows` and `foreign`; returns the rows, or larger ones."""
    at = _scan(part, 0, state, rows, foreign, BYTE_CLASS)
    while at < part.size:
        rows = np.concatenate([rows, np.zeros_like(rows)])
        at = _scan(part, at, state, rows, foreign, BYTE_CLASS)
    return rows


@compiled
def _scan(
    part: np.ndarray,
    at: int,
    state: np.ndarray,
    rows: np.ndarray,
    foreign: np.ndarray,
    byte_class: np.ndarray,
) -> int:
    """Scan from byte `at` on; stops before a header that `rows` have no room for. Gives where it stopped."""
    n = part.size
    while at < n:
        byte = part[at]
        kind = state[_KIND]
        if byte == _LF:
            if kind == _IN_BASES:
                _end_line_of_bases(state, rows)
            elif kind == _IN_HEADER:
                rows[state[_N_RECORDS] - 1, _FIRST] = state[_OFFSET] + at + 1
            elif kind != _IN_COMMENT and state[_N_RECORDS]:
                state[_PHASE] = _WHITESPACE
            state[_KIND], state[_BYTES], state[_ENDS_IN_CR] = _AT_START, 0, 0
            state[_LINE] += 1
            at += 1
        elif kind in (_IN_HEADER, _IN_COMMENT):
            while at < n and part[at] != _LF:
                at += 1
        elif kind == _IN_BASES:
            first = at
            while at < n and part[at] != _LF:
                what = byte_class[part[at]]
                # A CR ends a line; one that more follows is foreign, as all whitespace.
                if what & FOREIGN or state[_ENDS_IN_CR]:
                    if state[_ENDS_IN_CR]:
                        _count_foreign(_CR, state, foreign)
                    state[_ENDS_IN_CR] = part[at] == _CR
                    if what & FOREIGN and part[at] != _CR:
                        _count_foreign(part[at], state, foreign)
                at += 1
            state[_BYTES] += at - first
        elif byte in (_SPACE, _TAB, _CR):
            state[_KIND] = _IN_WHITESPACE
            state[_BYTES] += 1
            at += 1
        elif byte == _GREATER and kind == _AT_START:
            if state[_N_RECORDS] == len(rows):
                break
            rows[state[_N_RECORDS], _NAME] = state[_OFFSET] + at
            rows[state[_N_RECORDS], _NUMBER] = state[_LINE]
            state[_N_RECORDS] += 1
            state[_PHASE], state[_KIND] = _FULL_LINES, _IN_HEADER
        elif byte == _SEMICOLON and state[_N_RECORDS] == 0:
            state[_KIND] = _IN_COMMENT
        else:
            if kind == _IN_WHITESPACE:
                _count_foreign(_SPACE, state, foreign)
            state[_KIND] = _IN_BASES
    if at == n:
        state[_OFFSET] += n
    return at


@compiled
def _count_foreign(byte: int, state: np.ndarray, foreign: np.ndarray) -> None:
    foreign[byte] += 1
    if not state[_FOREIGN_LINE]:
        state[_FOREIGN_LINE] = state[_LINE]


@compiled
def _end_line_of_bases(state: np.ndarray, rows: np.ndarray) -> None:
    """Add a line to its record, and check that it is allowed there."""
    width = state[_BYTES] + 1
    n_bases = state[_BYTES] - state[_ENDS_IN_CR]
    problem = _NO_PROBLEM
    if state[_N_RECORDS] == 0:
        problem = _NO_HEADER
    elif state[_PHASE] == _WHITESPACE:
        problem = _WHITESPACE_INSIDE
    else:
        row = rows[state[_N_RECORDS] - 1]
        if row[_LENGTH] == 0:
            row[_LINE_BASES], row[_LINE_WIDTH] = n_bases, width
        if n_bases > row[_LINE_BASES] or state[_PHASE] == _SHORT_LINE:
            problem = _UNEVEN
        elif n_bases != row[_LINE_BASES] or width != row[_LINE_WIDTH]:
            state[_PHASE] = _SHORT_LINE
        row[_LENGTH] += n_bases
    if problem != _NO_PROBLEM and state[_PROBLEM] == _NO_PROBLEM:
        state[_PROBLEM], state[_PROBLEM_LINE] = problem, state[_LINE]


def _raise_problem(state: np.ndarray, foreign: np.ndarray, path: Path) -> None:
    """Raise for what a scan found, the letters first: those of a header make a line uneven as well."""
    if state[_PROBLEM] == _NO_HEADER:
        raise InputError(
            "not a FASTA file",
            where=f"{path} line {state[_PROBLEM_LINE]}",
            found="text before the first header",
            expected="a line that begins with '>'",
            remedy="give the FASTA of the genome",
        )
    if foreign.any():
        raise foreign_letters_error(
            foreign, "a sequence", first=f"in line {state[_FOREIGN_LINE]}", where=path
        )
    if not state[_N_RECORDS]:
        raise InputError(
            "no sequence in the FASTA file", where=path, expected="a line that begins with '>', and bases"
        )
    if state[_PROBLEM]:
        found = (
            "bases behind a line of whitespace"
            if state[_PROBLEM] == _WHITESPACE_INSIDE
            else "a line that is longer than those above it, or stands below a shorter one"
        )
        raise InputError(
            "this FASTA file cannot be indexed",
            where=path,
            found=f"line {state[_PROBLEM_LINE]}: {found}",
            expected="lines of equal length in each sequence, except the last",
            remedy=f"rewrite it: {filter_command(REWRAP, path.name)}",
        )


def _record(row: list[int], text: Text, path: Path) -> Record:
    header = text.read(row[_NAME], min(row[_FIRST], row[_NAME] + _MAX_HEADER_BYTES + 1))
    words = header[1:].split(maxsplit=1)
    problem = None
    try:
        name = words[0].decode("utf-8") if words else ""
        header.decode("utf-8")
    except UnicodeDecodeError:
        name, problem = "", "a header that is not UTF-8 text"
    if not name:
        problem = problem or "a header without a name"
    elif not name.isprintable():
        problem = "a name with characters that cannot be seen"
    elif len(header) > _MAX_HEADER_BYTES:
        problem = f"a header of more than {_MAX_HEADER_BYTES:,} bytes"
    if problem is not None:
        raise InputError(
            "this FASTA file cannot be indexed",
            where=f"{path} line {row[_NUMBER]}",
            found=f"{problem}: {header[:40]!r}",
            expected="'>' and the name of the sequence",
            remedy="correct the header",
        )
    return Record(name, row[_LENGTH], row[_FIRST], max(row[_LINE_BASES], 1), max(row[_LINE_WIDTH], 1))


def _unended_header(text: Text, path: Path, line: int, start: int) -> InputError:
    header = text.read(start, min(text.size, start + _MAX_HEADER_BYTES))
    if b"\r" in header[:-1]:
        return InputError(
            "this FASTA file has old Mac line ends (CR alone)",
            where=path,
            found=repr(header[:40]),
            remedy=f"change them: {filter_command(_CR_TO_LF, path.name)}",
        )
    return InputError(
        "this FASTA file is truncated",
        where=f"{path} line {line}",
        found=f"it ends within a header: {header[:40]!r}",
        remedy="copy or download it again",
    )


_CR_TO_LF = r"tr '\r' '\n'"


def _unique(records: Sequence[Record], where: Path) -> tuple[Record, ...]:
    names: set[str] = set()
    for record in records:
        if record.name in names:
            raise InputError(
                "two sequences with the same name",
                where=where,
                found=record.name,
                remedy="remove or rename one",
            )
        names.add(record.name)
    return tuple(records)
