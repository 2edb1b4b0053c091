"""Files of motifs: MEME text, JASPAR, HOCOMOCO, HOMER, TRANSFAC and CIS-BP in; three of them out.

Readers go through a file line by line, and say in which line something is wrong. What is written and read
again is the same to the last bit.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, TextIO

import numpy as np

from chromacc_data.errors import InputError
from chromacc_data.files import open_unpacked, write_text_atomically
from chromacc_data.motifs.motif import UNIFORM, Motif
from chromacc_data.sequences.encoding import BASES

__all__ = ["iter_motifs", "read_motifs", "write_motifs"]

Rows = Literal["bases", "positions"]

#: How far from 1 the probabilities of a position may sum to, both ends included: files hold rounded numbers.
#: The last term is for the sum itself, which is 0.010000000000000009 from 1 where it is 0.99 on paper.
_ROUNDING = 0.01 + 1e-9
#: No count is larger; sums of such numbers cannot overflow.
_MAX_NUMBER = 1e12
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_MAX_LINE = 1 << 20
#: Lines that the format is told by.
_N_HEAD = 60


def read_motifs(path: Path | str, *, rows: Rows | None = None) -> tuple[Motif, ...]:
    """All motifs of a file, in its order; as :func:`iter_motifs`, with the ids checked to be unique.

    Raises
    ------
    InputError
        With file and line, at the first problem.

    Examples
    --------
    >>> import chromacc_data as cd
    >>> from chromacc_data.examples import example_recipe
    >>> cd.read_motifs(example_recipe().with_name("motifs.meme"))
    (<Motif GATA1 (GATA1): AGATAAG>, <Motif MAX (MAX): CACGTG>, <Motif CREB1 (CREB1): TGACGTCA>)
    """
    motifs: dict[str, Motif] = {}
    for motif in iter_motifs(path, rows=rows):
        if motif.id in motifs:
            raise InputError("motif given twice", where=path, found=motif.id, remedy="remove or rename one")
        motifs[motif.id] = motif
    if not motifs:
        raise InputError("no motif in the file", where=path, expected="one motif or more")
    return tuple(motifs.values())


def iter_motifs(path: Path | str, *, rows: Rows | None = None) -> Iterator[Motif]:
    """Motifs of a file one by one, plain or gzip; its first lines tell the format.

    - MEME: minimal format (``MEME version 4``), or the text output of MEME, STREME and DREME, of which lines
      outside the matrices are passed over.
    - JASPAR: ``>ID NAME``, then the counts of A, C, G and T, one line each, bare or as ``A [ 1 2 3 ]``.
    - HOCOMOCO and Cluster-Buster: ``>ID``, then a line of four counts or probabilities for each position.
    - HOMER: ``>CONSENSUS<TAB>NAME<TAB>THRESHOLD``, then a line of four probabilities for each position.
    - TRANSFAC: ``P0 A C G T`` and numbered lines of counts, between ``ID`` and ``//``.
    - CIS-BP: a table ``Pos A C G T``, below lines such as ``Motif<TAB>M0085_1.02`` or without them; then the
      file's name is the id.

    Probabilities of a position that sum to 0.99 to 1.01, both included, are divided by their sum; others are
    an error. Counts are divided by their sum.

    Parameters
    ----------
    path
        The file.
    rows
        What a line of a matrix of bare numbers below ``>ID`` is: a base (JASPAR) or a position (HOCOMOCO).
        When not given, the suffix says it (.jaspar; .pcm, .ppm, .cb, .motif), else the shape of the matrices
        of the file; where all are 4 x 4, this is an error.
    """
    path = Path(path)
    with _open_text(path) as file:
        lines = _Lines(path, file)
        head = lines.head(_N_HEAD)
        for known in _FORMATS:
            if re.search(known.head, head, re.MULTILINE):
                break
        else:
            raise InputError(
                "not a motif file",
                where=path,
                found=repr(head[:60]),
                expected=", ".join(known.name for known in _FORMATS if known.reader),
            )
        if known.reader is None:
            raise InputError(
                f"motifs as {known.name} are not read", where=path, found=repr(head[:60]), remedy=known.remedy
            )
        if known.reader is _iter_headed:
            yield from _iter_headed(lines, rows)
        else:
            yield from known.reader(lines)


def write_motifs(path: Path | str, motifs: Iterable[Motif]) -> None:
    """Write motifs to a file; its suffix is the format: ``.meme``, ``.jaspar`` or ``.txt`` (CIS-BP).

    JASPAR holds counts: probabilities times `n_sites`, or times 100 where that is unknown. MEME has one
    background for all motifs.

    Raises
    ------
    InputError
        For another suffix, and for motifs with different backgrounds in one MEME file.

    Examples
    --------
    >>> import numpy as np, chromacc_data as cd
    >>> from chromacc_data.examples import example_folder
    >>> file = example_folder() / "known.jaspar"
    >>> cd.write_motifs(file, [cd.Motif("M1", np.eye(4)[[2, 0, 3, 0]], "GATA1")])
    >>> print(file.read_text().splitlines()[0])
    >M1 GATA1
    """
    path, motifs = Path(path), tuple(motifs)
    if path.suffix not in _FORMATTERS:
        expected = ", ".join(_FORMATTERS)
        raise InputError("unknown motif format", where=path, found=path.suffix or None, expected=expected)
    if path.suffix == ".meme" and len({motif.background.tobytes() for motif in motifs}) > 1:
        raise InputError(
            "motifs with different backgrounds",
            where=path,
            expected="one background",
            remedy="write two files",
        )
    write_text_atomically(path, _FORMATTERS[path.suffix](motifs))


class _Lines:
    """Lines of a file except blank ones, with their numbers; lines ahead can be peeked at."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self.path, self.number = path, 0
        self._rest = self._read(file)
        self._ahead: list[tuple[int, str]] = []

    def _read(self, file: TextIO) -> Iterator[tuple[int, str]]:
        number = 0
        while line := file.readline(_MAX_LINE):
            number += 1
            if len(line) == _MAX_LINE or "\0" in line or re.search("[\udc80-\udcff]", line):
                self.number = number
                raise self.error("not a line of UTF-8 text", found=ascii(line[:40]))
            line = line.strip("\r\n")
            if line.strip():
                yield number, line.removeprefix("\ufeff") if number == 1 else line

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.number, line = self._ahead.pop(0) if self._ahead else next(self._rest)
        return line

    def head(self, n: int) -> str:
        """Up to `n` lines that come next, as one text; they stay the next ones."""
        self._ahead += islice(self._rest, max(n - len(self._ahead), 0))
        return "\n".join(line for _, line in self._ahead[:n])

    def peek(self) -> str:
        """Next line, empty at the end; it stays the next one."""
        return self.head(1)

    def error(
        self, what: str, *, found: object = None, expected: object = None, remedy: str | None = None
    ) -> InputError:
        where = f"{self.path} line {self.number}"
        return InputError(what, where=where, found=found, expected=expected, remedy=remedy)

    def numbers(self, words: Sequence[str], expected: str) -> list[float]:
        """Numbers that are finite and not negative."""
        numbers = [float(word) for word in words if _NUMBER.fullmatch(word)]
        if not numbers or len(numbers) < len(words) or not all(0 <= n <= _MAX_NUMBER for n in numbers):
            negative = any(number < 0 for number in numbers)
            raise self.error(
                f"not numbers of at least 0 and at most {_MAX_NUMBER:g}",
                found=" ".join(words)[:80],
                expected=expected,
                remedy="give the counts or probabilities, not log-odds weights" if negative else None,
            )
        return numbers

    def motif(self, id: str, ppm: np.ndarray, *rest: object) -> Motif:
        """A motif; what is wrong with its id or matrix is told with the line."""
        try:
            return Motif(id, ppm, *rest)
        except ValueError as error:
            raise self.error("not a motif", found=error) from None

    def probabilities(self, words: Sequence[str]) -> list[float]:
        """Four numbers that sum to 1, but for rounding in the file; scaled to do so."""
        row = self.numbers(words, "the probabilities of A C G T")
        total = sum(row)
        if len(row) != 4 or abs(total - 1) > _ROUNDING:
            found = f"{len(row)} numbers, sum {total:g}"
            raise self.error("not probabilities", found=found, expected="4 numbers that sum to 1")
        # Rows that are exact but for the last bit stay as they are, so that reading again changes nothing.
        return row if abs(total - 1) < 1e-12 else [value / total for value in row]


def _iter_meme(lines: _Lines) -> Iterator[Motif]:
    """MEME minimal format, https://meme-suite.org/meme/doc/meme-format.html, and text that holds it."""
    background, minimal = UNIFORM, lines.peek().startswith("MEME version")
    for line in lines:
        if line.startswith("ALPHABET"):
            _require_dna(lines, line)
        elif line.startswith("Background letter frequencies"):
            background = _meme_background(lines)
        elif line.startswith("MOTIF"):
            yield _meme_motif(lines, line, background, minimal=minimal)
        elif line.startswith("letter-probability matrix"):
            raise lines.error(
                "a matrix without a motif", found=line[:60], expected="MOTIF ID [NAME] above it"
            )
        elif minimal and not re.match(r"strands:|MEME version|#", line):
            raise lines.error(
                "not a line of the MEME minimal format",
                found=line[:60],
                expected="ALPHABET, strands, Background letter frequencies or MOTIF (meme2meme writes these)",
            )


def _require_dna(lines: _Lines, line: str) -> None:
    letters = "".join(line.removeprefix("ALPHABET").replace("=", " ").split())
    if letters not in ("ACGT", '"DNA"'):
        rna = "sed '/^ALPHABET/s/U/T/; /^A [0-9]/s/ U / T /' OLD.meme > NEW.meme, to read U as T"
        raise lines.error(
            "not DNA", found=line[:60], expected="ALPHABET= ACGT", remedy=rna if letters == "ACGU" else None
        )


def _meme_background(lines: _Lines) -> np.ndarray:
    words: list[str] = []
    while len(words) < 8 and re.match(r"\s*[ACGT]\s", lines.peek()):
        words += next(lines).split()
    if words[::2] != list(BASES):
        raise lines.error(
            "not a background", found=" ".join(words) or None, expected="A 0.25 C 0.25 G 0.25 T 0.25"
        )
    return np.array(lines.probabilities(words[1::2]))


def _meme_motif(lines: _Lines, line: str, background: np.ndarray, *, minimal: bool) -> Motif:
    words = line.split(maxsplit=2)
    if words[0] != "MOTIF" or len(words) < 2:
        raise lines.error("a motif without an id", found=line, expected="MOTIF ID [NAME]")
    header = next(lines, "")
    # Programs write comments, sites and other matrices between a motif's name and its probabilities.
    while header and not minimal and not header.startswith(("letter-probability matrix", "MOTIF")):
        header = next(lines, "")
    if not header.startswith("letter-probability matrix"):
        raise lines.error(
            "no matrix below MOTIF", found=header[:60], expected="letter-probability matrix: ..."
        )
    keys = dict(re.findall(r"(\w+)\s*=\s*(\S+)", header))
    if keys.get("alength", "4") != "4":
        raise lines.error("not DNA", found=f"alength= {keys['alength']}", expected="alength= 4")
    n_sites = lines.numbers([keys["nsites"]], "nsites= NUMBER")[0] if "nsites" in keys else None
    rows = []
    while re.match(r"\s*[-+.\d]|\s*nan", lines.peek(), re.IGNORECASE):
        rows.append(lines.probabilities(next(lines).split()))
    if not rows or keys.get("w", str(len(rows))) != str(len(rows)):
        found, expected = f"{len(rows)} rows", f"w= {keys.get('w', 'NUMBER')}"
        raise lines.error(f"motif {words[1]} is cut short or too long", found=found, expected=expected)
    url = next(lines).split(maxsplit=1)[1:] if lines.peek().startswith("URL") else []
    name = words[2].strip() if len(words) == 3 else ""
    return lines.motif(words[1], np.array(rows), name, n_sites, background, url[0].strip() if url else "")


@dataclass(frozen=True)
class _Block:
    """A matrix below ``>HEADER``: its lines as numbers, and whether letters say that each is a base."""

    header: str
    line: int
    rows: list[list[float]]
    labelled: bool

    @property
    def is_homer(self) -> bool:
        """Whether the header is a row of HOMER's table: consensus, name, threshold, and more."""
        return re.match(r"\S+\t[^\t]+\t-?[0-9.]+", self.header) is not None

    @property
    def shape(self) -> Rows | None:
        """What the lines must be, None if they can be both."""
        if self.labelled or (len(self.rows) == 4 and len(self.rows[0]) != 4):
            return "bases"
        return "positions" if self.is_homer or len(self.rows) != 4 else None


def _iter_headed(lines: _Lines, rows: Rows | None) -> Iterator[Motif]:
    """Matrices below ``>HEADER``: JASPAR (https://jaspar.elixir.no/docs), HOCOMOCO, Cluster-Buster, HOMER."""
    blocks = list(_iter_blocks(lines))
    name = lines.path.name.removesuffix(".gz")
    shapes = (block.shape for block in blocks if not block.labelled and block.shape)
    known = rows or _ROWS_BY_SUFFIX.get(Path(name).suffix) or next(shapes, None)
    for block in blocks:
        lines.number = block.line
        what = "bases" if block.labelled else known
        if what is None:
            raise lines.error(
                f"motif {block.header} is 4 lines of 4 numbers: is a line a base or a position?",
                remedy=f"name the file {Path(name).stem}.pcm if lines are positions (HOCOMOCO), or "
                f"{Path(name).stem}.jaspar if they are A, C, G and T (JASPAR)",
            )
        if block.shape not in (None, what):
            raise lines.error(
                f"motif {block.header} is cut short, or its lines are {block.shape} and not {what}",
                found=f"{len(block.rows)} lines of {len(block.rows[0])} numbers",
                expected=f"4 {'lines' if what == 'bases' else 'numbers in each line'}",
            )
        yield _headed_motif(lines, block, what)


#: What a line of bare numbers is, by the suffix of the file.
_ROWS_BY_SUFFIX: dict[str, Rows] = {
    ".jaspar": "bases",
    ".pcm": "positions",
    ".ppm": "positions",
    ".cb": "positions",
    ".motif": "positions",
}


def _headed_motif(lines: _Lines, block: _Block, rows: Rows) -> Motif:
    counts = np.array(block.rows) if rows == "positions" else np.array(block.rows).T
    totals = counts.sum(axis=1, keepdims=True)
    if counts.shape[1] != 4:
        found = f"{counts.shape[1]} numbers"
        raise lines.error(
            f"motif {block.header} is cut short, or not DNA", found=found, expected="4 for each position"
        )
    if not totals.all():
        raise lines.error(f"motif {block.header} has a position without counts", found="0 0 0 0")
    id, name = (*block.header.split(maxsplit=1), "")[:2]
    if block.is_homer:
        id, name = block.header.split("\t")[1].replace(" ", "_"), ""
    probabilities = rows == "positions" and (abs(totals - 1) <= _ROUNDING).all()
    n_sites = None if probabilities else float(totals.max())
    return lines.motif(id, counts / totals, name.strip(), n_sites)


#: A line of a matrix that begins with its base.
_LABELLED = re.compile(r"\s*([A-Za-z])(?:\s*[:|[]|\s)\s*\[?(.*?)\]?\s*")


def _iter_blocks(lines: _Lines) -> Iterator[_Block]:
    for header in lines:
        number = lines.number
        if not header.startswith(">") or not header[1:].strip():
            raise lines.error("not a motif header", found=header[:60], expected=">ID NAME")
        header = header[1:].strip()
        id = header.split()[0]
        labels, rows = "", []
        while lines.peek() and not lines.peek().startswith(">"):
            line = next(lines)
            labelled = _LABELLED.fullmatch(line)
            labels += labelled[1] if labelled else ""
            if labels and (not labelled or labels != "ACGT"[: len(labels)]):
                found = labelled[1] if labelled else line[:60]
                expected = "a line for each of A C G T"
                raise lines.error("bases in the wrong order", found=found, expected=expected)
            rows.append(lines.numbers((labelled[2] if labelled else line).split(), "counts"))
        widths = [len(row) for row in rows]
        if not rows or (labels and labels != "ACGT"):
            raise lines.error(
                f"motif {id} is cut short", found=f"{len(rows)} lines", expected="4, or one for each position"
            )
        if len(set(widths)) > 1:
            raise lines.error(f"motif {id} has rows of different width", found=", ".join(map(str, widths)))
        yield _Block(header, number, rows, bool(labels))


def _iter_transfac(lines: _Lines) -> Iterator[Motif]:
    """TRANSFAC's text format, as JASPAR and HOCOMOCO write it as well."""
    head: dict[str, str] = {}
    for line in lines:
        key, *words = line.split()
        if key == "//":
            head = {}
        elif key not in ("P0", "PO"):
            head.setdefault(key, " ".join(words))
            continue
        elif [word.upper() for word in words] != list(BASES):
            raise lines.error("bases in the wrong order", found=line[:60], expected="P0 A C G T")
        else:
            rows: list[list[float]] = []
            while re.match(r"[0-9]", lines.peek()):
                position, *row = next(lines).split()
                if position.lstrip("0") != str(len(rows) + 1):
                    raise lines.error("a position is missing", found=position[:20], expected=len(rows) + 1)
                rows.append(lines.numbers(row[:4], "the counts of A C G T"))
                if len(rows[-1]) != 4 or len(row) > 5:
                    raise lines.error("not four counts", found=" ".join(row)[:60], expected="A C G T")
            id = head.get("AC") or head.get("ID") or head.get("NA", "")
            totals = np.array(rows).sum(axis=-1, keepdims=True)
            if not rows or not totals.all():
                raise lines.error(
                    f"motif {id} has a position without counts, or no position", found=f"{len(rows)}"
                )
            name = head.get("NA") or head.get("ID", "")
            yield lines.motif(id, np.array(rows) / totals, name, float(totals.max()))


def _iter_cisbp(lines: _Lines) -> Iterator[Motif]:
    """CIS-BP's matrices, one in a file (pwms/ID.txt) or all in one (PWM.txt)."""
    head: dict[str, str] = {}
    for line in lines:
        words = line.split("\t")
        if words[0] != "Pos":
            if len(words) != 2:
                raise lines.error(
                    "neither a header line nor a table", found=line[:60], expected="KEY<TAB>VALUE"
                )
            head[words[0]] = words[1]
            continue
        if words[1:] != list(BASES):
            raise lines.error("bases in the wrong order", found=line, expected="Pos A C G T, between tabs")
        rows: list[list[float]] = []
        while re.match(r"[0-9]+\t", lines.peek()):
            position, *row = next(lines).split("\t")
            if position != str(len(rows) + 1):
                raise lines.error("a position is missing", found=position[:20], expected=len(rows) + 1)
            rows.append(lines.probabilities(row))
        if not rows:
            raise lines.error(
                "an empty matrix",
                expected="rows of probabilities; CIS-BP leaves out those of licensed databases",
            )
        file_id = lines.path.name.removesuffix(".gz").removesuffix(".txt")
        yield lines.motif(head.get("Motif", file_id), np.array(rows), head.get("TF Name", ""))
        head = {}


@dataclass(frozen=True)
class _Format:
    """A format of motif files: what its first lines have, and what reads it or what is to be done instead."""

    name: str
    head: str
    reader: Callable[..., Iterator[Motif]] | None = None
    remedy: str | None = None


#: The first whose pattern is found in a file's first lines is the file's format.
_FORMATS = (
    _Format(
        "MEME as XML or HTML", r"\A\s*<", remedy="give the text output (meme.txt, streme.txt, dreme.txt)"
    ),
    _Format("MEME text (MEME version 4)", r"^MEME version", _iter_meme),
    _Format(
        "UniPROBE",
        r"\A(?!>)(?:.*\n){0,3}?A:\s+[0-9.]",
        remedy="uniprobe2meme FILE > NEW.meme (MEME Suite)",
    ),
    _Format("JASPAR, HOCOMOCO or HOMER (>ID NAME)", r"\A>", _iter_headed),
    _Format("TRANSFAC (P0 A C G T)", r"^P[0O]\s+A\s", _iter_transfac),
    _Format("CIS-BP (Pos A C G T)", r"\A(TF|TF Name|Gene|Motif|Family|Species|Pos)\t", _iter_cisbp),
)


def _format_meme(motifs: Sequence[Motif]) -> str:
    background = motifs[0].background if motifs else UNIFORM
    frequencies = " ".join(f"{base} {_digits(p)}" for base, p in zip(BASES, background, strict=True))
    blocks = [
        f"MEME version 4\n\nALPHABET= ACGT\n\nstrands: + -\n\nBackground letter frequencies\n{frequencies}\n"
    ]
    for motif in motifs:
        n_sites = "" if motif.n_sites is None else f" nsites= {_digits(motif.n_sites)}"
        rows = "\n".join(" ".join(map(_digits, row)) for row in motif.ppm)
        blocks.append(
            f"MOTIF {motif.id} {motif.name}".rstrip()
            + f"\nletter-probability matrix: alength= 4 w= {motif.width}{n_sites}\n{rows}\n"
            + (f"URL {motif.url}\n" if motif.url else "")
        )
    return "\n".join(blocks)


def _format_jaspar(motifs: Sequence[Motif]) -> str:
    lines = []
    for motif in motifs:
        lines.append(f">{motif.id} {motif.name}".rstrip())
        # Counts that were whole come back whole: the product is off in the last bits only.
        counts = np.round(motif.ppm * (motif.n_sites or 100), 6)
        lines += [f"{b}  [ {' '.join(map(_digits, row))} ]" for b, row in zip(BASES, counts.T, strict=True)]
    return "\n".join([*lines, ""])


def _format_cisbp(motifs: Sequence[Motif]) -> str:
    blocks = []
    for motif in motifs:
        head = [f"Motif\t{motif.id}", *([f"TF Name\t{motif.name}"] if motif.name else []), "Pos\tA\tC\tG\tT"]
        rows = ["\t".join([str(i), *map(_digits, row)]) for i, row in enumerate(motif.ppm, start=1)]
        blocks.append("\n".join([*head, *rows, ""]))
    return "\n".join(blocks)


_FORMATTERS: dict[str, Callable[[Sequence[Motif]], str]] = {
    ".meme": _format_meme,
    ".jaspar": _format_jaspar,
    ".txt": _format_cisbp,
}


def _digits(value: float) -> str:
    """Shortest decimal number that is read as the same float; no exponent, as some readers know none."""
    return np.format_float_positional(value, trim="-")


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    # Bytes that are no text are kept as surrogates, so that the line they are in can be told.
    text = {"encoding": "utf-8", "errors": "surrogateescape"}
    try:
        with open_unpacked(path) as unpacked, io.TextIOWrapper(unpacked, **text) as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            "cannot be read", where=path, found=error, expected="a text file of motifs"
        ) from error
