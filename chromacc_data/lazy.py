"""Modules and names that are imported when they are first used: importing chromacc costs nothing.

TensorFlow takes ten seconds to import and dask one, and most commands need neither. Type checkers are told
the same by an import under ``TYPE_CHECKING``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazy_module", "lazy_names"]


class _LazyModule:
    """Stands for a module, and imports it when something of it is asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        # Tools that look at every object, such as doctest, ask for others.
        if attribute.startswith("__") and attribute != "__version__":
            raise AttributeError(attribute)
        return getattr(import_module(self._name), attribute)

    def __repr__(self) -> str:
        return f"<lazy module {self._name!r}>"


def lazy_module(name: str) -> Any:
    """A stand-in for a module that is slow to import and not always needed.

    Examples
    --------
    >>> calendar = lazy_module("calendar")
    >>> calendar.isleap(2028)  # imported here
    True
    """
    return _LazyModule(name)


def lazy_names(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package whose public names are imported when they are used (PEP 562).

    Parameters
    ----------
    package
        Name of the package.
    homes
        Where each public name comes from: ``MODULE`` where it has the same name, else ``MODULE:NAME``.

    Examples
    --------
    >>> get, names = lazy_names("here", {"sqrt": "math", "root": "math:sqrt"})
    >>> names(), get("root")(16)
    (['root', 'sqrt'], 4.0)
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, attribute = homes[name].partition(":")
        return getattr(import_module(module), attribute or name)

    return get, lambda: sorted(homes)
