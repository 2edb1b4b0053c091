"""numba's compiler, which goes without its cache where there is no folder to write to."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
from numba.core.caching import FunctionCache

__all__ = ["compiled"]

LOG = logging.getLogger("chromacc")


def compiled(function: Callable) -> Any:
    """Compile a function at its first call, without Python's lock; what was compiled is kept where it can be.

    >>> @compiled
    ... def add(a, b):
    ...     return a + b
    >>> add(1, 2)
    3
    """
    made = numba.njit(nogil=True)(function)
    try:
        made._cache = _ForgivingCache(function)
    except (RuntimeError, OSError) as error:  # read-only package and home: "no locator available"
        _say_once(str(error))
    return made


class _ForgivingCache(FunctionCache):
    """A cache on a disk that may be full, damaged or closed."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except (OSError, EOFError, ValueError) as error:
            _say_once(str(error))
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _say_once(str(error))


@cache
def _say(_: None) -> None:
    LOG.info("compiled code cannot be kept (set NUMBA_CACHE_DIR to a folder that can be written)")


def _say_once(reason: str) -> None:
    LOG.debug("numba: %s", reason)
    _say(None)
