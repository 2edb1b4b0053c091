"""Sequences that are given as texts or arrays: checked, and as base codes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import N_CODE, codes_from_one_hot, encode

__all__ = ["codes_of_array", "require_nucleotides"]


def codes_of_array(windows: np.ndarray) -> np.ndarray:
    """Base codes (window, position) uint8 of base codes of any integers, or of one-hot windows."""
    rows = windows.astype(np.uint8)
    if windows.ndim == 2:
        if not np.array_equal(rows, windows) or rows.max(initial=0) > N_CODE:
            raise InputError(
                "no base codes", found=_odd(windows, range(N_CODE + 1)), expected="A 0, C 1, G 2, T 3, N 4"
            )
        return rows
    try:
        if not np.array_equal(rows, windows):
            raise ValueError(f"the number {_odd(windows, (0, 1))}")
        return codes_from_one_hot(rows)
    except ValueError as error:
        raise InputError(
            "not one-hot",
            found=error,
            expected="a 1 at the base (order A C G T) and zeros at the others; N is all zeros",
        ) from error


def _odd(array: np.ndarray, usual: Sequence[int]) -> object:
    """The first number of an array that is not among the usual ones."""
    return array[~np.isin(array, list(usual))][0].item()


def require_nucleotides(text: str | bytes, name: object) -> None:
    """Raise an InputError that names the sequence unless all its letters are nucleotides or IUPAC codes."""
    try:
        encode(text)
    except InputError as error:
        raise InputError(
            error.what,
            where=f"sequence {name}",
            found=error.found,
            expected=error.expected,
            remedy=error.remedy,
        ) from None
