"""Bases as numbers: base codes (1 byte a base), one-hot, and the reverse complement of both.

Base codes are A 0, C 1, G 2, T 3 and N 4; every other letter (IUPAC codes, gaps) is N. Case is ignored.
In one-hot form N is all zeros: in the store, in training and in the Kipoi loader alike.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "BYTE_TO_CODE",
    "N_CODE",
    "codes_from_one_hot",
    "decode",
    "encode",
    "one_hot",
    "reverse_complement",
    "reverse_complement_one_hot",
]

N_CODE = 4

_LETTERS = np.frombuffer(b"ACGTN", dtype=np.uint8)

#: Base code of each ASCII byte, shape (256,), uint8.
BYTE_TO_CODE = np.full(256, N_CODE, dtype=np.uint8)
for _code, _letter in enumerate("ACGT"):
    BYTE_TO_CODE[ord(_letter)] = BYTE_TO_CODE[ord(_letter.lower())] = _code
BYTE_TO_CODE.setflags(write=False)

_COMPLEMENT = np.array([3, 2, 1, 0, N_CODE], dtype=np.uint8)
_ONE_HOT = np.eye(5, 4, dtype=np.uint8)  # row N is all zeros


def encode(sequence: str | bytes) -> np.ndarray:
    """Base codes of a sequence, shape (position,), uint8.

    >>> encode("ACGTNacgtR")
    array([0, 1, 2, 3, 4, 0, 1, 2, 3, 4], dtype=uint8)
    """
    raw = sequence.encode("ascii", "replace") if isinstance(sequence, str) else sequence
    return BYTE_TO_CODE[np.frombuffer(raw, dtype=np.uint8)]


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
    unlawful = (words & np.uint32(0xFEFEFEFE)) | (words & (words - np.uint32(1)))
    if unlawful.any():
        bad = np.argwhere(unlawful)[0].tolist()
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
