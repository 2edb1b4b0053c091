"""numba's compiler, without its cache where no folder is writable."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

__all__ = ["compiled"]

LOG = logging.getLogger("chromacc")

_PACKAGES = [Path(__file__).parents[1] / name for name in ("chromacc_data", "chromacc_models")]


def compiled(function: Callable) -> Any:
    """Compile a function on its first call; it releases the GIL, and is cached on disk where possible.

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
    """A cache that tolerates a full, damaged or read-only disk, for functions that call other modules.

    numba takes what it kept as long as the file of a function stays the same, though functions of other files
    are compiled into it. Here all files with compiled functions are looked at.
    """

    def __init__(self, function: Callable) -> None:
        super().__init__(function)
        self._cache_file = IndexDataCacheFile(
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=(self._impl.locator.get_source_stamp(), _digest_of_kernels()),
        )

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
def _digest_of_kernels() -> str:
    """SHA-256 of the modules of both packages that have compiled functions."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for path in sorted(package.rglob("*.py")):
            content = path.read_bytes()
            if b"numba" in content or b"import compiled" in content:
                digest.update(content)
    return digest.hexdigest()


@cache
def _say(_: None) -> None:
    LOG.info("compiled code cannot be kept (set NUMBA_CACHE_DIR to a folder that can be written)")


def _say_once(reason: str) -> None:
    LOG.debug("numba: %s", reason)
    _say(None)
