"""Rows of a TSV as bytes, from columns of texts and of numbers: a hundred times faster than one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chromacc_data.compiled import compiled

__all__ = ["tsv_rows"]

#: Digits behind the point: finer than the rounding of logits in float32.
_DECIMALS = 6
_SCALE = 10**_DECIMALS
_WIDEST = 28  # bytes of a number and the tab behind it
_LARGEST = 1e12  # what is as large or larger, as after a training that diverged, is not written out

_kernel = compiled


def tsv_rows(before: Sequence[str], numbers: np.ndarray, behind: Sequence[str]) -> bytes:
    """Lines of texts, numbers with six decimals, and texts; NaN is an empty field.

    Parameters
    ----------
    before, behind
        (row,) texts, with tabs in them where they are several columns.
    numbers
        (row, column) float32.

    Examples
    --------
    >>> tsv_rows(["chr1\\t5", "chr2\\t7"], np.array([[0.5, -2], [np.nan, 1e-4]]), ["a", "b"]).splitlines()
    [b'chr1\\t5\\t0.500000\\t-2.000000\\ta', b'chr2\\t7\\t\\t0.000100\\tb']
    """
    first, last = (_joined(texts) for texts in (before, behind))
    room = len(first[0]) + len(last[0]) + len(before) * (3 + numbers.shape[1] * _WIDEST)
    out = np.empty(room, np.uint8)
    size = _fill(*first, np.ascontiguousarray(numbers, np.float64), *last, out)
    return out[:size].tobytes()


def _joined(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Bytes of all texts, and where each ends."""
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
    return np.frombuffer(b"".join(encoded), np.uint8), ends


@_kernel
def _copy(texts: np.ndarray, begin: int, end: int, out: np.ndarray, at: int) -> int:
    for i in range(begin, end):
        out[at] = texts[i]
        at += 1
    return at


@_kernel
def _write_integer(value: int, n_digits: int, out: np.ndarray, at: int) -> int:
    """Write an integer of at least so many digits."""
    size, rest = 1, value // 10
    while rest:
        rest //= 10
        size += 1
    size = max(size, n_digits)
    for i in range(at + size - 1, at - 1, -1):
        out[i] = 48 + value % 10
        value //= 10
    return at + size


@_kernel
def _write_number(value: float, out: np.ndarray, at: int) -> int:
    if not abs(value) < _LARGEST:  # NaN, too
        return at
    scaled = np.int64(np.rint(abs(value) * _SCALE))
    if value < 0 and scaled:
        out[at] = 45  # -
        at += 1
    at = _write_integer(scaled // _SCALE, 1, out, at)
    out[at] = 46  # .
    return _write_integer(scaled % _SCALE, _DECIMALS, out, at + 1)


@_kernel
def _fill(
    before: np.ndarray,
    ends_before: np.ndarray,
    numbers: np.ndarray,
    behind: np.ndarray,
    ends_behind: np.ndarray,
    out: np.ndarray,
) -> int:
    at = 0
    for row in range(numbers.shape[0]):
        at = _copy(before, ends_before[row - 1] if row else 0, ends_before[row], out, at)
        for column in range(numbers.shape[1]):
            out[at] = 9  # tab
            at = _write_number(numbers[row, column], out, at + 1)
        out[at] = 9
        at = _copy(behind, ends_behind[row - 1] if row else 0, ends_behind[row], out, at + 1)
        out[at] = 10  # line feed
        at += 1
    return at
