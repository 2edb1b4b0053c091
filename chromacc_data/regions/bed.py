"""Tab-separated intervals: BED, narrowPeak, bedGraph and fragment files, read in blocks and checked."""

from __future__ import annotations

import codecs
import gzip
import re
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from chromacc_data.compiled import compiled
from chromacc_data.errors import InputError
from chromacc_data.files import open_unpacked
from chromacc_data.regions.formats import Format, require_format

__all__ = [
    "Rows",
    "chromosome_names",
    "coordinates",
    "integers",
    "read_intervals",
    "read_rows",
    "same_text",
    "summits",
]

#: Bytes of text parsed at once: bounds memory, whatever the size of the file.
BLOCK_BYTES = 1 << 24


#: Bytes: longer lines are no intervals, and would be held in memory.
_LONGEST_LINE = 1 << 26


_KEPT_COLUMNS = 10  # narrowPeak's summit is the last column that any format here needs


TAB, NEWLINE, _RETURN, _SPACE, _HASH, POINT, _PLUS, _MINUS = b"\t\n\r #.+-"


ZERO, _NINE = b"09"


NUL = b"\0"


class Rows(NamedTuple):
    """The data lines of one block of text: where each field lies.

    `bounds` (row, 11) int64 holds where each of the first ten fields begins; a field ends one byte before the
    next begins. A field that the line does not have is empty.
    """

    path: Path
    text: np.ndarray
    bounds: np.ndarray
    columns: np.ndarray
    lines: np.ndarray

    def field(self, row: int, column: int) -> bytes:
        begin, after = self.bounds[row, column : column + 2]
        return self.text[begin : max(begin, after - 1)].tobytes()

    def line(self, row: int) -> str:
        raw = self.text[self.bounds[row, 0] :][:4096].tobytes().split(b"\n", 1)[0]
        return raw.decode("utf-8", "replace").rstrip("\r")

    def where(self, row: int) -> str:
        return f"{self.path} line {self.lines[row]}"


def read_intervals(path: Path | str) -> pd.DataFrame:
    """Intervals of a BED-like file or MACS table, one row per line, in the file's order.

    Plain, gzip or bgzip. Comments, `track` and `browser` lines, blank lines and one line of column names are
    skipped; lines may differ in their number of columns and end in CRLF.

    Parameters
    ----------
    path
        Tab-separated, at least three columns: chromosome, 0-based start, end (not included); or the
        ``_peaks.xls`` of MACS, whose starts are 1-based. Recognised by the content.

    Returns
    -------
    DataFrame with columns

    - `chrom` str,
    - `start`, `end` int64,
    - `name` str, ``.`` where the line has none,
    - `strand` str, one of ``+ - .``,
    - `summit` int64, absolute position, -1 where there is none or the format has none,
    - `line` int64, number of the line in the file, from 1.

    Raises
    ------
    InputError
        With file and line: no such file, no intervals, another format (which is named), truncated, or
        coordinates are not integers, negative, reversed or of zero length.

    Examples
    --------
    >>> import tempfile, chromacc_data as cd
    >>> with tempfile.NamedTemporaryFile("w", suffix=".bed") as file:
    ...     print("chr1\\t10\\t20\\tTP53\\t0\\t-", file=file, flush=True)
    ...     cd.read_bed(file.name).to_dict("records")
    [{'chrom': 'chr1', 'start': 10, 'end': 20, 'name': 'TP53', 'strand': '-', 'summit': -1, 'line': 1}]
    """
    frames = []
    form = require_format(Path(path), use="regions")
    for rows in read_rows(Path(path)):
        start, end = coordinates(rows, form)
        names, codes = chromosome_names(rows)
        frames.append(
            pd.DataFrame(
                {
                    "chrom": np.array(names, dtype=object)[codes],
                    "start": start,
                    "end": end,
                    "name": _names(rows),
                    "strand": _strands(rows),
                    "summit": summits(rows, start, end, form),
                    "line": rows.lines,
                }
            )
        )
    return pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]


def read_rows(path: Path) -> Iterator[Rows]:
    """Blocks of the data lines of a file: at least one, none of them empty."""
    above, n_rows = 0, 0
    for data, first_line, is_last in _read_blocks(path):
        _check_bytes(data, path, first_line)
        if first_line == 1:
            data = data.removeprefix(codecs.BOM_UTF8)
        text = np.frombuffer(data, dtype=np.uint8)
        bounds, columns, lines = _split(text, first_line, data.count(b"\n") + 1)
        rows = Rows(path, text, bounds, columns, lines)
        if is_last and len(columns) and not data.endswith(b"\n"):
            _check_last_line(rows, int(columns[-2]) if len(columns) > 1 else above)
        if not n_rows and len(columns) and _is_header(rows):
            rows = rows._replace(bounds=bounds[1:], columns=columns[1:], lines=lines[1:])
        if len(rows.columns):
            n_rows += len(rows.columns)
            above = int(columns[-1])
            yield rows
    if not n_rows:
        raise InputError(
            "no intervals in the file",
            where=path,
            found="an empty file" if not path.stat().st_size else "only comments, headers or blank lines",
            expected="lines of chromosome, start and end, separated by tabs",
            remedy="get the file again, or leave it out",
        )


def coordinates(rows: Rows, form: Format | None = None) -> tuple[np.ndarray, np.ndarray]:
    """0-based start and end of each row, int64; raises at the first line that is no interval."""
    first = 1 if form is not None and form.one_based else 0
    start, end = integers(rows, 1) - first, integers(rows, 2)
    bad = np.flatnonzero((start < 0) | (end <= start) | (rows.columns < 3))
    if bad.size:
        raise _no_interval(rows, int(bad[0]), first)
    return start, end


def chromosome_names(rows: Rows) -> tuple[list[str], np.ndarray]:
    """Distinct names of column 1 in order of appearance, and each row's index among them, int32.

    Spaces around a name are not part of it: the names of a FASTA have none.
    """
    begin, after = rows.bounds[:, 0], rows.bounds[:, 1]
    heads = np.flatnonzero(~same_text(rows.text, begin[1:], after[1:], begin[:-1], after[:-1])) + 1
    heads = np.concatenate([[0], heads])
    codes: dict[bytes, int] = {}
    run_codes = [codes.setdefault(rows.field(row, 0).strip(b" "), len(codes)) for row in heads.tolist()]
    runs = np.diff(heads, append=len(rows.bounds))
    try:
        names = [name.decode() for name in codes]
    except UnicodeDecodeError as error:
        raise _not_utf8(rows, 0) from error
    return names, np.repeat(np.array(run_codes, dtype=np.int32), runs)


def integers(rows: Rows, column: int) -> np.ndarray:
    """Values of a column of plain digits, between spaces or not, int64; -1 where it holds anything else."""
    return _parse_integers(rows.text, rows.bounds[:, column], rows.bounds[:, column + 1])


def summits(rows: Rows, start: np.ndarray, end: np.ndarray, form: Format) -> np.ndarray:
    """Position of each row's summit, int64; -1 where there is none inside the interval."""
    if form.summit_column is None:
        return np.full(start.size, -1, dtype=np.int64)
    offset = integers(rows, form.summit_column) - (start + 1 if form.one_based else 0)
    return np.where((offset >= 0) & (offset < end - start), start + offset, -1)


def _no_interval(rows: Rows, row: int, first: int) -> InputError:
    """What is wrong with a line that is no interval; positions of its format begin at `first`."""
    line = rows.line(row)
    fields = line.split("\t")
    expected = f"chromosome, {first}-based start, end, separated by tabs"
    if len(fields) < 3:
        if len(line.split()) >= 3:
            what, remedy = "columns are separated by spaces", _awk("$1=$1", "", "awk -v OFS='\\t' ")
        else:
            what = f"{len(fields)} column{'s' if len(fields) > 1 else ''}"
            remedy = f"delete line {rows.lines[row]}, or get the file again if it was cut off"
    else:
        what, remedy = _bad_coordinates(*(field.strip(" ") for field in fields[1:3]), first)
    return InputError(what, where=rows.where(row), found=repr(line[:200]), expected=expected, remedy=remedy)


def _awk(program: str, saying: str, awk: str = "awk -F'\\t' -v OFS='\\t' ") -> str:
    """A remedy: what it does, and the command."""
    return f"{saying}: {awk}'{program}' IN > OUT" if saying else f"put tabs: {awk}'{program}' IN > OUT"


def _bad_coordinates(start: str, end: str, first: int) -> tuple[str, str]:
    """What is wrong with two coordinates of which one cannot be used, and the remedy."""
    for column, (name, text) in enumerate((("start", start), ("end", end)), 2):
        shown = repr(text if len(text) <= 40 else f"{text[:40]}… ({len(text)} characters)")
        digits = text.removeprefix("-")
        plain = digits.isascii() and digits.isdigit()
        if plain and text.startswith("-"):
            clip = f"${column}<{first}{{${column}={first}}}1"
            return f"{name} is negative: {shown[1:-1]}", _awk(clip, f"clip it at {first}")
        if plain and len(text) > 18:
            return f"{name} is too large for a position: {shown}", "delete the line, or get the file again"
        if not plain:
            return f"{name} is not an integer: {shown}", _plain_digits(text)
    if int(start) < first:
        return "start is 0 in a table whose first base is 1", _awk("$2<1{$2=1}1", "clip it at 1")
    if int(start) == int(end):
        return (
            "interval of zero length: BED ends are not included, one base at 10 is written 10 11",
            _awk("$2==$3{$3++}1", "make such lines one base long"),
        )
    return "end is below start", _awk("$2>$3{t=$2;$2=$3;$3=t}1", "swap columns 2 and 3 of such lines")


def _plain_digits(text: str) -> str:
    """How to write coordinates of another form as plain digits."""
    odd = next((c for c in text if not c.isascii() or not c.isprintable()), None)
    if odd is not None:
        kind = unicodedata.name(odd, "a control character")
        return f"remove the character U+{ord(odd):04X} ({kind}) from columns 2 and 3"
    if re.fullmatch(r"[0-9]{1,3}([,_' ][0-9]{3})+", text):
        return _awk('{gsub(/[^0-9]/,"",$2);gsub(/[^0-9]/,"",$3);print}', "remove the separators of thousands")
    if re.fullmatch(r"[0-9]+(\.0*)?([eE]\+?[0-9]+)?", text):
        return _awk('{$2=sprintf("%.0f",$2);$3=sprintf("%.0f",$3);print}', "write plain digits")
    return "write coordinates as plain digits, such as 1200000"


def _names(rows: Rows) -> list[str]:
    raw = rows.text.tobytes()
    begins, ends = rows.bounds[:, 3].tolist(), (rows.bounds[:, 4] - 1).tolist()
    names: list[str] = []
    try:
        names.extend(raw[a:b].decode() or "." for a, b in zip(begins, ends, strict=True))
    except UnicodeDecodeError as error:
        raise _not_utf8(rows, len(names)) from error
    return names


def _strands(rows: Rows) -> np.ndarray:
    begin, after = rows.bounds[:, 5], rows.bounds[:, 6]
    byte = rows.text[np.minimum(begin, rows.text.size - 1)]
    is_space = rows.text[np.minimum(begin + 1, rows.text.size - 1)] == _SPACE  # whitespace at the line's end
    known = ((after - begin == 2) | ((after - begin > 2) & is_space)) & ((byte == _PLUS) | (byte == _MINUS))
    return np.array(["+", "-", "."], dtype=object)[np.where(known, byte == _MINUS, 2)]


def _is_header(rows: Rows) -> bool:
    """Whether the first line names its columns: letters where the coordinates would stand."""
    return all(rows.field(0, column)[:1].isalpha() for column in (1, 2))


def _check_last_line(rows: Rows, columns_above: int) -> None:
    """Raise when the last line ends early: no line break after it, and fewer columns than the line above."""
    if rows.columns[-1] < columns_above:
        raise InputError(
            "the last line is half-written",
            where=rows.where(-1),
            found=f"{rows.line(-1)[:200]!r}: {rows.columns[-1]} columns and no line break",
            expected=f"{columns_above} columns, as in the line above",
            remedy="get the file again; if the line is whole, end it with a line break",
        )


def _not_utf8(rows: Rows, row: int) -> InputError:
    return InputError(
        "the text is not in UTF-8",
        where=rows.where(row),
        found=repr(rows.line(row)[:200]),
        expected="names in UTF-8",
        remedy="convert it, if it is in Latin-1: iconv -f LATIN1 -t UTF-8 IN > OUT",
    )


def _check_bytes(data: bytes, path: Path, first_line: int) -> None:
    """Raise for bytes that no text has."""
    nul = data.find(b"\0")
    if nul >= 0:
        raise InputError(
            "NUL bytes in the text",
            where=f"{path} line {first_line + data.count(NEWLINE, 0, nul)}",
            found=f"{data.count(NUL)} bytes of value 0",
            expected="tab-separated text, plain or gzip",
            remedy="an interrupted copy leaves them: get the file again, or delete them: "
            "tr -d '\\000' < IN > OUT",
        )
    if data.count(b"\r", 0, -1) > data.count(b"\r\n", 0):
        lone = re.search(rb"\r(?!\n)", data).start()
        raise InputError(
            "a carriage return within a line",
            where=f"{path} line {first_line + data.count(NEWLINE, 0, lone)}",
            found=repr(data[max(0, lone - 40) : lone + 40].decode("utf-8", "replace")),
            expected="lines that end in LF or CRLF",
            remedy="end all lines in LF: tr '\\r' '\\n' < IN > OUT",
        )


def _read_blocks(path: Path) -> Iterator[tuple[bytes, int, bool]]:
    """Whole lines of a plain or gzip file: text, number of its first line (from 1), whether it is the end."""
    line, rest = 1, bytearray()
    try:
        with open_unpacked(path) as file:
            # read1 gives what it has: before a truncation, all lines that are whole.
            while more := file.read1(BLOCK_BYTES):
                rest += more
                cut = rest.rfind(b"\n") + 1 if len(rest) >= BLOCK_BYTES else 0
                if not cut and len(rest) > _LONGEST_LINE:
                    raise InputError(
                        "a line too long for intervals",
                        where=f"{path} line {line}",
                        found=f"more than {_LONGEST_LINE:,} bytes without a line break",
                        expected="lines of chromosome, start and end, separated by tabs",
                        remedy="check what the file is: head -c 200 FILE",
                    )
                if cut:
                    yield bytes(rest[:cut]), line, False
                    line += rest.count(b"\n", 0, cut)
                    del rest[:cut]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            "the gzip file is truncated or damaged",
            where=f"{path} after line {line + rest.count(NEWLINE) - 1}",
            found=str(error),
            expected="a whole gzip file",
            remedy="get the file again (gzip -t FILE tells whether it is whole)",
        ) from error
    except OSError as error:
        raise InputError(
            "cannot read the file", where=path, found=error.strerror, remedy="check the path and permissions"
        ) from error
    yield bytes(rest), line, True


@compiled
def _split(text: np.ndarray, first_line: int, n_lines: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Field bounds (row, 11), column counts (row,) and line numbers (row,) of the data lines, all int64."""
    bounds = np.empty((n_lines, _KEPT_COLUMNS + 1), dtype=np.int64)
    columns = np.empty(n_lines, dtype=np.int64)
    lines = np.empty(n_lines, dtype=np.int64)
    row, begin = 0, 0
    for line in range(first_line, first_line + n_lines):
        n_columns, is_blank, here = 1, True, begin
        bounds[row, 0] = begin
        while here < text.size and text[here] != NEWLINE:
            byte = text[here]
            if byte == TAB:
                if n_columns <= _KEPT_COLUMNS:
                    bounds[row, n_columns] = here + 1
                n_columns += 1
            elif byte != _SPACE and byte != _RETURN:
                is_blank = False
            here += 1
        end = here - 1 if here > begin and text[here - 1] == _RETURN else here
        for column in range(n_columns, _KEPT_COLUMNS + 1):
            bounds[row, column] = end + 1
        if not (is_blank or text[begin] == _HASH or _is_display_line(text, begin, end)):
            columns[row] = n_columns
            lines[row] = line
            row += 1
        begin = here + 1
    return bounds[:row], columns[:row], lines[:row]


@compiled
def _is_display_line(text: np.ndarray, begin: int, end: int) -> bool:
    """Whether a line starts with the word `track` or `browser` (UCSC)."""
    for word in (b"track", b"browser"):
        after = begin + len(word)
        if after > end:
            continue
        same = after == end or text[after] == _SPACE or text[after] == TAB
        for i in range(len(word)):
            same = same and text[begin + i] == word[i]
        if same:
            return True
    return False


@compiled
def same_text(
    text: np.ndarray, begin: np.ndarray, after: np.ndarray, other_begin: np.ndarray, other_after: np.ndarray
) -> np.ndarray:
    """Whether two fields hold the same bytes, (row,) bool."""
    same = (after - begin) == (other_after - other_begin)
    for row in range(same.size):
        here = 0
        while same[row] and here < after[row] - begin[row] - 1:
            same[row] = text[begin[row] + here] == text[other_begin[row] + here]
            here += 1
    return same


@compiled
def _parse_integers(text: np.ndarray, begins: np.ndarray, afters: np.ndarray) -> np.ndarray:
    """Plain digits of each field as int64; -1 where it is empty, longer than 18 bytes or anything else."""
    values = np.full(begins.size, -1, dtype=np.int64)
    for row in range(begins.size):
        begin, end = begins[row], afters[row] - 1
        while end > begin and text[end - 1] == _SPACE:
            end -= 1
        while begin < end and text[begin] == _SPACE:
            begin += 1
        if end <= begin or end - begin > 18:
            continue
        value = 0
        for here in range(begin, end):
            byte = text[here]
            if byte < ZERO or byte > _NINE:
                value = -1
                break
            value = value * 10 + (byte - ZERO)
        values[row] = value
    return values
