"""Bases as numbers: base codes (1 byte a base), one-hot, and the reverse complement of both.

Base codes are A 0, C 1, G 2, T 3 and N 4. U (RNA) is read as T, the IUPAC codes of several bases
(R Y S W K M B D H V) as N. Case is ignored. Every other byte (letters of proteins, digits, gaps, ``*``,
whitespace) is no nucleotide, and an error wherever a sequence is read.
In one-hot form N is all zeros: in the store, in training and in the Kipoi loader alike.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chromacc_data.errors import InputError

__all__ = [
    "BASES",
    "BYTE_CLASS",
    "BYTE_TO_CODE",
    "FOREIGN",
    "NUCLEOTIDES",
    "N_BASES",
    "N_CODE",
    "REWRAP",
    "URACIL",
    "codes_from_one_hot",
    "decode",
    "encode",
    "filter_command",
    "foreign_letters_error",
    "one_hot",
    "reverse_complement",
    "reverse_complement_one_hot",
]

#: The bases, in the order of their codes.
BASES = ("A", "C", "G", "T")
N_BASES = len(BASES)

N_CODE = N_BASES

_LETTERS = np.frombuffer(b"ACGTN", dtype=np.uint8)

#: The letters that a sequence may have, in either case (IUPAC-IUB 1984).
NUCLEOTIDES = "ACGTURYSWKMBDHVN"
#: Classes of bytes in :data:`BYTE_CLASS`, as bits, so that those of many bytes can be joined.
FOREIGN, URACIL = 1, 2


def _byte_table(values: dict[str, int], other: int) -> np.ndarray:
    """A value for each byte: those of letters, in either case, and of all others; uint8, shape (256,)."""
    table = np.full(256, other, dtype=np.uint8)
    for letter, value in values.items():
        table[[ord(letter), ord(letter.lower())]] = value
    table.setflags(write=False)
    return table


#: Base code of each byte, shape (256,), uint8.
BYTE_TO_CODE = _byte_table({"A": 0, "C": 1, "G": 2, "T": 3, "U": 3}, N_CODE)
#: Class of each byte, shape (256,), uint8: 0 of a nucleotide, else URACIL or FOREIGN.
BYTE_CLASS = _byte_table(dict.fromkeys(NUCLEOTIDES, 0) | {"U": URACIL}, FOREIGN)

#: Letters of amino acids that are no codes of nucleotides.
_PROTEIN_ONLY = frozenset(b"EFILPQefilpq")
_N_SHOWN = 12

#: Filters that rewrite a FASTA, for messages: with one line per sequence, letters only;
REWRAP = (
    r"""awk '/^;/ {next} /^>/ {sub(/\r$/, ""); printf "%s%s\n", end, $0; end = "\n"; next} """
    r"""{gsub(/[ \t\r\v\f0-9]/, ""); printf "%s", $0} END {print ""}'"""
)
#: with each header on a line of its own;
_SPLIT_HEADERS = r"sed '/^>/!s/>/\n>/g'"
#: with N for what is no nucleotide.
_WRITE_N = rf"LC_ALL=C sed '/^>/!s/[^{NUCLEOTIDES}\r]/N/Ig'"

_COMPLEMENT = np.array([3, 2, 1, 0, N_CODE], dtype=np.uint8)
_ONE_HOT = np.eye(N_BASES + 1, N_BASES, dtype=np.uint8)  # row N is all zeros


def encode(sequence: str | bytes) -> np.ndarray:
    """Base codes of a sequence, shape (position,), uint8.

    Raises
    ------
    InputError
        For letters that are no nucleotides: they are named and counted.

    Examples
    --------
    >>> encode("ACGTNacguR")
    array([0, 1, 2, 3, 4, 0, 1, 2, 3, 4], dtype=uint8)
    """
    raw = sequence.encode("utf-8", "replace") if isinstance(sequence, str) else sequence
    letters = np.frombuffer(raw, dtype=np.uint8)
    if (BYTE_CLASS[letters] & FOREIGN).any():
        raise foreign_letters_error(np.bincount(letters, minlength=256), "the sequence")
    return BYTE_TO_CODE[letters]


def foreign_letters_error(
    counts: np.ndarray, what: str, *, first: str = "", where: Path | None = None
) -> InputError:
    """The error for a sequence with bytes that are no nucleotides.

    Parameters
    ----------
    counts
        How often each byte occurs, shape (256,); those of nucleotides are passed over.
    what
        The sequence, as the subject of a sentence.
    first
        Where the first of these bytes stands.
    where
        The file.
    """
    counts = np.where(BYTE_CLASS == FOREIGN, counts, 0)
    foreign = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)].tolist()
    found = ", ".join(f"{_shown(byte)} {counts[byte]:,} times" for byte in foreign[:_N_SHOWN])
    found += ", …" if len(foreign) > _N_SHOWN else ""
    if ord(">") in foreign:
        problem = "has '>' inside a line: a line end is missing before a header"
        remedy, command = "put it in", _SPLIT_HEADERS
    elif len(_PROTEIN_ONLY & set(foreign)) > 1:
        problem = "looks like a protein: it has letters that are no nucleotides"
        remedy, command = "give the DNA", None
    elif set(foreign) <= set(b" \t\v\f\r0123456789"):
        problem = "has whitespace or digits between its bases"
        remedy, command = "remove them", REWRAP
    else:
        problem = "has letters that are no nucleotides"
        remedy, command = "write N for them if they stand for unknown bases", _WRITE_N
    return InputError(
        f"{what} {problem}",
        where=where,
        found=f"{found}; the first {first}" if first else found,
        expected=f"{' '.join(NUCLEOTIDES)}, in upper or lower case",
        remedy=f"{remedy}: {filter_command(command, where.name)}" if where and command else remedy,
    )


def filter_command(command: str, name: str) -> str:
    """Shell command that writes a FASTA file, plain or gzip, again through a filter."""
    if name.endswith((".gz", ".bgz")):
        return f"gunzip -c < {name} | {command} > NEW.fa"
    return f"{command} < {name} > NEW.fa"


def _shown(byte: int) -> str:
    return repr(chr(byte)) if byte < 127 else f"byte {byte:#04x}"


def decode(codes: np.ndarray) -> str:
    """Sequence of base codes of shape (position,), upper case.

    >>> decode(np.array([0, 1, 2, 3, 4], dtype=np.uint8))
    'ACGTN'
    """
    return _LETTERS[np.asarray(codes)].tobytes().decode("ascii")


def one_hot(codes: np.ndarray, *, dtype: np.typing.DTypeLike = np.uint8) -> np.ndarray:
    """One-hot of base codes: shape (..., position) to (..., position, 4).

    >>> one_hot(encode("GN")).tolist()
    [[0, 0, 1, 0], [0, 0, 0, 0]]
    """
    return _ONE_HOT.astype(dtype, copy=False)[codes]


def codes_from_one_hot(one_hot: np.ndarray) -> np.ndarray:
    """Base codes of a one-hot array: shape (..., position, 4) to (..., position), uint8.

    The inverse of :func:`one_hot`. A row of uint8 that is not one-hot or all zeros raises ValueError.

    >>> decode(codes_from_one_hot(np.array([[0, 1, 0, 0], [0, 0, 0, 0]], dtype=np.uint8)))
    'CN'
    """
    rows = np.ascontiguousarray(one_hot, dtype=np.uint8)
    # A row of four bytes is one 32-bit word: 0, or 1 in the byte of its base. The product puts the number of
    # that byte into the highest one.
    words = rows.view("<u4")[..., 0]
    invalid = (words & np.uint32(0xFEFEFEFE)) | (words & (words - np.uint32(1)))
    if invalid.any():
        bad = np.argwhere(invalid)[0].tolist()
        raise ValueError(f"row {bad} is neither one-hot nor all zeros: {rows[tuple(bad)].tolist()}")
    codes = ((words * np.uint32(0x00010203)) >> np.uint32(24)).astype(np.uint8)
    codes[words == 0] = N_CODE
    return codes


def reverse_complement(codes: np.ndarray) -> np.ndarray:
    """Reverse complement of base codes along the last axis, shape and dtype kept.

    >>> decode(reverse_complement(encode("AACGN")))
    'NCGTT'
    """
    return _COMPLEMENT[codes[..., ::-1]]


def reverse_complement_one_hot(one_hot: np.ndarray) -> np.ndarray:
    """Reverse complement of a one-hot array of shape (..., position, 4): a view, nothing is copied."""
    return one_hot[..., ::-1, ::-1]
