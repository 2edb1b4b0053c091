"""Files of motifs in and out: MEME minimal, JASPAR and CIS-BP format.

Readers go through a file line by line, and say in which line something is wrong. What is written and read
again is the same to the last bit.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np

from chromacc_data.errors import InputError
from chromacc_data.files import write_text_atomically
from chromacc_data.motifs import UNIFORM, Motif
from chromacc_data.schema import BASES

__all__ = ["iter_motifs", "read_motifs", "write_motifs"]

#: How far from 1 the probabilities of a position may sum to: files hold rounded numbers.
_ROUNDING = 0.01

_GZIP_MAGIC = b"\x1f\x8b"


def read_motifs(path: Path | str) -> tuple[Motif, ...]:
    """All motifs of a file, in its order; as :func:`iter_motifs`, with the ids checked to be unique.

    Raises
    ------
    InputError
        With file and line, at the first thing that is wrong.
    """
    motifs: dict[str, Motif] = {}
    for motif in iter_motifs(path):
        if motif.id in motifs:
            raise InputError("motif given twice", where=path, found=motif.id, remedy="remove or rename one")
        motifs[motif.id] = motif
    if not motifs:
        raise InputError("no motif in the file", where=path, expected="one motif or more")
    return tuple(motifs.values())


def iter_motifs(path: Path | str) -> Iterator[Motif]:
    """Motifs of a file one by one, plain or gzip; the first line tells the format.

    - MEME minimal format: ``MEME version 4``.
    - JASPAR: ``>ID NAME``, then the counts of A, C, G and T, one line each, bare or as ``A [ 1 2 3 ]``.
    - CIS-BP: a table ``Pos A C G T``, below lines such as ``Motif<TAB>M0085_1.02`` or without them; then the
      file's name is the id.
    """
    path = Path(path)
    with _open_text(path) as file:
        lines = _Lines(path, file)
        first = lines.peek()
        if first.startswith("MEME version"):
            yield from _iter_meme(lines)
        elif first.startswith(">"):
            yield from _iter_jaspar(lines)
        elif re.match(r"(TF|TF Name|Gene|Motif|Family|Species|Pos)\t", first):
            yield from _iter_cisbp(lines)
        else:
            raise InputError(
                "not a file of motifs",
                where=path,
                found=repr(first[:60]),
                expected="a first line `MEME version 4`, `>ID NAME` (JASPAR) or `Pos A C G T` (CIS-BP)",
            )


def write_motifs(path: Path | str, motifs: Iterable[Motif]) -> None:
    """Write motifs to a file; its suffix is the format: ``.meme``, ``.jaspar`` or ``.txt`` (CIS-BP).

    JASPAR holds counts: probabilities times `n_sites`, or times 100 where that is unknown. MEME has one
    background for all motifs.

    Raises
    ------
    InputError
        For another suffix, and for motifs of different backgrounds in one MEME file.
    """
    path, motifs = Path(path), tuple(motifs)
    if path.suffix not in _FORMATTERS:
        expected = ", ".join(_FORMATTERS)
        raise InputError("unknown format of motifs", where=path, found=path.suffix or None, expected=expected)
    if path.suffix == ".meme" and len({motif.background.tobytes() for motif in motifs}) > 1:
        raise InputError(
            "motifs of different backgrounds", where=path, expected="one background", remedy="write two files"
        )
    write_text_atomically(path, _FORMATTERS[path.suffix](motifs))


class _Lines:
    """Lines of a file but for blank ones, with their numbers; the next one can be looked at first."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self.path, self.number = path, 0
        self._rest = ((n, line.strip("\r\n")) for n, line in enumerate(file, start=1) if line.strip())
        self._ahead: tuple[int, str] | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.number, line = self._ahead or next(self._rest)
        self._ahead = None
        return line

    def peek(self) -> str:
        """Next line, empty at the end; it stays the next one."""
        self._ahead = self._ahead or next(self._rest, None)
        return self._ahead[1] if self._ahead else ""

    def error(self, what: str, *, found: object = None, expected: object = None) -> InputError:
        return InputError(what, where=f"{self.path} line {self.number}", found=found, expected=expected)

    def numbers(self, words: Sequence[str], expected: str) -> list[float]:
        """Numbers that are finite and not negative."""
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            numbers = []
        if not numbers or not all(0 <= number < np.inf for number in numbers):
            raise self.error("not numbers of at least 0", found=" ".join(words)[:80], expected=expected)
        return numbers

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
    """MEME minimal format, https://meme-suite.org/meme/doc/meme-format.html."""
    background = UNIFORM
    next(lines)
    for line in lines:
        if line.startswith("ALPHABET"):
            if line.replace(" ", "") != "ALPHABET=ACGT":
                raise lines.error("not DNA", found=line, expected="ALPHABET= ACGT")
        elif line.startswith("Background letter frequencies"):
            background = _meme_background(lines)
        elif line.startswith("MOTIF"):
            yield _meme_motif(lines, line, background)
        elif not line.startswith("strands:"):
            raise lines.error(
                "not a line of the MEME minimal format",
                found=line[:60],
                expected="ALPHABET, strands, Background letter frequencies or MOTIF (meme2meme writes these)",
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


def _meme_motif(lines: _Lines, line: str, background: np.ndarray) -> Motif:
    words = line.split(maxsplit=2)
    if words[0] != "MOTIF" or len(words) < 2:
        raise lines.error("a motif without an id", found=line, expected="MOTIF ID [NAME]")
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
    return Motif(words[1], np.array(rows), name, n_sites, background, url[0].strip() if url else "")


def _iter_jaspar(lines: _Lines) -> Iterator[Motif]:
    """JASPAR's matrices of counts, https://jaspar.elixir.no/docs."""
    for line in lines:
        words = line[1:].split(maxsplit=1)
        if not line.startswith(">") or not words:
            raise lines.error("not the head of a motif", found=line[:60], expected=">ID NAME")
        rows = [_jaspar_row(lines, base) for base in BASES]
        if len({len(row) for row in rows}) > 1:
            widths = ", ".join(f"{base} {len(row)}" for base, row in zip(BASES, rows, strict=True))
            raise lines.error(f"motif {words[0]} has rows of different width", found=widths)
        counts = np.array(rows).T
        totals = counts.sum(axis=1, keepdims=True)
        if not totals.all():
            raise lines.error(f"motif {words[0]} has a position without counts", found="0 0 0 0")
        name = words[1].strip() if len(words) == 2 else ""
        yield Motif(words[0], counts / totals, name, n_sites=float(totals.max()))


def _jaspar_row(lines: _Lines, base: str) -> list[float]:
    line = next(lines, "")
    bracketed = re.fullmatch(r"\s*([A-Z])\s*\[(.*)\]\s*", line)
    if bracketed and bracketed[1] != base:
        raise lines.error("bases in another order", found=bracketed[1], expected=base)
    return lines.numbers((bracketed[2] if bracketed else line).split(), f"the counts of {base}")


def _iter_cisbp(lines: _Lines) -> Iterator[Motif]:
    """CIS-BP's matrices, one in a file (pwms/ID.txt) or all in one (PWM.txt)."""
    head: dict[str, str] = {}
    for line in lines:
        words = line.split("\t")
        if words[0] != "Pos":
            if len(words) != 2:
                raise lines.error(
                    "neither a head line nor a table", found=line[:60], expected="KEY<TAB>VALUE"
                )
            head[words[0]] = words[1]
            continue
        if words[1:] != list(BASES):
            raise lines.error("bases in another order", found=line, expected="Pos A C G T, between tabs")
        rows: list[list[float]] = []
        while re.match(r"\d+\t", lines.peek()):
            position, *row = next(lines).split("\t")
            if int(position) != len(rows) + 1:
                raise lines.error("a position is missing", found=position, expected=len(rows) + 1)
            rows.append(lines.probabilities(row))
        if not rows:
            raise lines.error(
                "an empty matrix",
                expected="rows of probabilities; CIS-BP leaves out those of licensed databases",
            )
        file_id = lines.path.name.removesuffix(".gz").removesuffix(".txt")
        yield Motif(head.get("Motif", file_id), np.array(rows), head.get("TF Name", ""))
        head = {}


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
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP_MAGIC
        with gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8") as file:
            yield file
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(
            "cannot be read", where=path, found=error, expected="a text file of motifs"
        ) from error
