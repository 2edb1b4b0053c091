"""Errors that a user can act on: what, where, found, expected, remedy, on one screen."""

from __future__ import annotations

from pathlib import Path

__all__ = ["CheckError", "DiskFullError", "InputError"]


class InputError(ValueError):
    """Something that was given cannot be used; commands print it without a traceback and exit with 2.

    Parameters
    ----------
    what
        One sentence, in the user's words.
    where
        File, file and line, recipe key or option at fault.
    found, expected
        What stands there, and what may stand there.
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
        lines = [f"{self.where}: {self.what}" if self.where is not None else self.what]
        for label, value in (("found", self.found), ("expected", self.expected), ("remedy", self.remedy)):
            if value is not None:
                lines.append(f"  {label + ':':<9} {value}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple:
        # dask sends errors between processes: keep the keyword-only parts.
        return _rebuild, (type(self), self.what, self.where, self.found, self.expected, self.remedy)


class CheckError(InputError):
    """A check that was asked for did not hold (a store that differs from its source); exit code 1."""

    exit_code = 1


class DiskFullError(InputError):
    """The disk is full: what is finished stays, and the same command goes on once there is space."""


def _rebuild(
    cls: type[InputError], what: str, where: object, found: object, expected: object, remedy: str
) -> InputError:
    return cls(what, where=where, found=found, expected=expected, remedy=remedy)
