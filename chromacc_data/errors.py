"""Errors that a user can act on: what, where, found, expected, remedy, on one screen."""

from __future__ import annotations

from pathlib import Path

__all__ = ["CheckError", "DiskFullError", "InputError", "NotWritableError"]

# What is shown of each part of a message: paths and lists of cell types fit, damaged texts do not.
_MOST_CHARACTERS = 1000
_MOST_LINES = 6


class InputError(ValueError):
    """Input that cannot be used; commands print the error without a traceback and exit with 2.

    Parameters
    ----------
    what
        One sentence, in the user's words.
    where
        File, file and line, recipe key or option at fault.
    found, expected
        What was found, and what would be valid.
    remedy
        What to do about it.

    Examples
    --------
    >>> print(InputError("end is not above start", where="peaks.bed line 3",
    ...                  found="chr1 200 100", remedy="swap the columns"))
    peaks.bed line 3: end is not above start
      found:    chr1 200 100
      remedy:   swap the columns
    """

    exit_code = 2

    def __init__(
        self,
        what: str,
        *,
        where: str | Path | None = None,
        found: object = None,
        expected: object = None,
        remedy: str | None = None,
    ) -> None:
        self.what, self.where, self.found, self.expected, self.remedy = what, where, found, expected, remedy
        super().__init__(what)

    def __str__(self) -> str:
        where = "" if self.where is None else f"{_on_screen(self.where)}: "
        lines = [where + _on_screen(self.what)]
        for label, value in (("found", self.found), ("expected", self.expected), ("remedy", self.remedy)):
            if value is not None:
                lines.append(f"  {label + ':':<9} {_on_screen(value)}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple:
        # dask sends errors between processes: keep the keyword-only parts.
        return _rebuild, (type(self), self.what, self.where, self.found, self.expected, self.remedy)


class CheckError(InputError):
    """A check failed (a store that differs from its source); exit code 1."""

    exit_code = 1


class DiskFullError(InputError):
    """The disk is full: finished parts are kept, and the same command resumes once there is space."""


class NotWritableError(InputError):
    """An output folder is not writable."""


def _on_screen(value: object) -> str:
    """Text of a value, cut where it comes from a damaged file and would fill screens."""
    text = str(value)
    lines = text.splitlines()
    if len(lines) > _MOST_LINES:
        text = "\n".join([*lines[:_MOST_LINES], f"... ({len(lines):,} lines)"])
    return (
        text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}... ({len(text):,} characters)"
    )


def _rebuild(
    cls: type[InputError], what: str, where: object, found: object, expected: object, remedy: str
) -> InputError:
    return cls(what, where=where, found=found, expected=expected, remedy=remedy)
