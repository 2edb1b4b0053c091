"""Datasets of chromatin accessibility: from genome and peaks to chunked stores and their batches.

The way of the data: `recipe` says what goes in, `sources` finds the files, `sequences` reads genomes and
`regions` peaks, which become windows, or `simulation` makes windows; `splits` divides them, `build` writes
them into a `store`, and `batches` streams them to a network. `loader` feeds a trained one. The command is
``chromacc-data``.
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
