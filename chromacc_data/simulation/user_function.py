"""Functions that a user writes to score simulated windows, by file or by module.

A function is called as ``f(sites, codes, names)`` with

- ``sites``: :class:`~chromacc_data.simulation.sites.Sites` of some windows, from left to right:
  ``sites.motif``, ``sites.start`` and ``sites.strand``, (window, site) each;
- ``codes``: (window, position) uint8, their bases, A 0, C 1, G 2, T 3;
- ``names``: names of the motifs that ``sites.motif`` counts;

and returns one finite number for each window, which depends on nothing but that window. It is called with as
many windows at once as suits the build. The arrays cannot be written to.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np

from chromacc_data.errors import InputError
from chromacc_data.simulation.sites import Sites

__all__ = ["UserFunction", "function_file", "load_function", "module_file"]


@dataclass(frozen=True)
class UserFunction:
    """A function by its reference, loaded where it is called: it crosses to other processes as text.

    Parameters
    ----------
    reference
        ``FILE.py:NAME`` or ``MODULE:NAME``.
    path
        The file that its code is in, where that is known.
    digest
        SHA-256 of the file: a changed file is loaded again.
    """

    reference: str
    path: Path | None = None
    digest: str = ""
    #: Whether a store names it, not the user: then it is not run.
    is_of_store: bool = field(default=False, compare=False)

    @classmethod
    def of_store(cls, reference: str) -> UserFunction:
        """A function that a store names: it is known by name, and cannot be called."""
        return cls(reference, is_of_store=True)

    def __call__(self, sites: Sites, codes: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        """Score of each window, (window,) float64.

        Raises
        ------
        InputError
            If it cannot be loaded, fails, or gives anything but one finite number for each window.
        """
        if self.is_of_store:
            raise InputError(
                "functions named by a store are not run",
                where=f"function {self.reference}",
                remedy="build the store from its recipe, which runs the function",
            )
        function = load_function(self.reference, self.path, self.digest)
        # Views that a function cannot change: the store holds the arrays themselves.
        sites, codes = Sites(*map(_read_only, sites)), _read_only(codes)
        try:
            found = function(sites, codes, names)
            values = np.asarray(found, dtype=np.float64)
        except Exception as error:
            raise self._error(
                "the function failed",
                found=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
                expected=f"a score for each of {len(codes)} windows",
            ) from error
        if values.shape != (len(codes),):
            raise self._error(
                "the function gives another shape", found=f"shape {values.shape}", expected=f"({len(codes)},)"
            )
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0])
            raise self._error(
                "the function gives a score that is not a number",
                found=values[row],
                expected="finite numbers",
            )
        return values

    def _error(self, what: str, *, found: object, expected: object) -> InputError:
        return InputError(
            what,
            where=f"function {self.reference}",
            found=found,
            expected=expected,
            remedy="it is called as NAME(sites, codes, names): see `chromacc_data.simulation.user_function`",
        )


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def function_file(reference: str) -> str | None:
    """The file that a reference names, None for a module.

    >>> function_file("score.py:hill"), function_file("mypackage.score:hill")
    ('score.py', None)
    """
    place = reference.rpartition(":")[0]
    return place if place.endswith(".py") else None


def module_file(reference: str) -> Path | None:
    """Where the code of ``MODULE:NAME`` is, None where Python does not know; nothing is imported."""
    name, spec, places = "", None, None
    # Not `importlib.util.find_spec`, which imports, and so runs, the packages that a module is in.
    for part in reference.rpartition(":")[0].split("."):
        name = f"{name}.{part}" if name else part
        found = (finder.find_spec(name, places) for finder in sys.meta_path if hasattr(finder, "find_spec"))
        try:
            spec = next((one for one in found if one is not None), None)
        except (ImportError, ValueError):
            return None
        if spec is None:
            return None
        places = spec.submodule_search_locations
        if places is None:
            break
    if spec is None or spec.name != reference.rpartition(":")[0]:
        return None
    return Path(spec.origin) if spec.has_location and spec.origin else None


@lru_cache(maxsize=32)
def load_function(reference: str, path: Path | None, digest: str = "") -> Callable:
    """The function that a reference names.

    Parameters
    ----------
    reference
        ``FILE.py:NAME`` or ``MODULE:NAME``.
    path
        The file that its code is in; read where the reference names a file.
    digest
        What the file is known to hold; another one loads it again.

    Raises
    ------
    InputError
        If the module cannot be imported, or has no such function.
    """
    place, _, name = reference.rpartition(":")
    where = f"function {reference}"
    try:
        module = importlib.import_module(place) if function_file(reference) is None else _module(path)
    except Exception as error:
        raise InputError(
            "the function's module cannot be imported",
            where=where,
            found=f"{type(error).__name__}: {error}",
            expected="FILE.py:NAME next to the recipe, or MODULE:NAME of an installed module",
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise InputError(
            "no such function",
            where=where,
            found=name,
            expected=", ".join(known[:8]) or f"a function in {place}",
        )
    return function


def _module(path: Path) -> ModuleType:
    module = ModuleType(path.stem)
    # Executed from its text: importing it would leave compiled files next to it, and take an old one of the
    # same second.
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
    return module
