"""Datasets of chromatin accessibility: from genome and peaks to chunked stores and their batches.

The modules follow the way of the data: recipe, sources, genome, peaks, windows, splits, store, build,
batches, loader. The command is ``chromacc-data``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chromacc_data.loader import BedLoader

__all__ = ["BedLoader"]

# Kipoi imports the first part of a dotted name and then asks it for the last: what its YAML files name is
# found here, and imported only when asked for.
_LAZY = {"BedLoader": "chromacc_data.loader"}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
