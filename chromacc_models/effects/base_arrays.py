"""Numbers of every base of regions: what they are, and where they lie until a file is made of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from chromacc_data.files import map_array
from chromacc_data.region_windows import RegionWindows
from chromacc_data.store import schema
from chromacc_models.scoring.parts import Parts

__all__ = ["CONTRIBUTION", "EFFECT", "HYPOTHETICAL", "BaseArray", "BaseResult", "Quantity"]

REGION, POSITION, BASE = "region", "position", "base"


@dataclass(frozen=True)
class Quantity:
    """What the numbers of an array are.

    Parameters
    ----------
    name
        Of the array.
    long_name
        For people.
    has_bases
        Whether there is a number for each base that could stand at a position.
    title
        Of a file.
    """

    name: str
    long_name: str
    has_bases: bool
    title: str

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes."""
        return (REGION, POSITION, *((BASE,) if self.has_bases else ()), schema.CELL_TYPE)


EFFECT = Quantity(
    "effect",
    "change of the logit when this base stands at this position",
    has_bases=True,
    title="Effects of base changes on chromatin accessibility",
)
CONTRIBUTION = Quantity(
    "contribution",
    "what the base adds to the logit; with the bias, a region's add up to it",
    has_bases=False,
    title="Contributions of bases to chromatin accessibility",
)
HYPOTHETICAL = Quantity(
    "hypothetical_contribution",
    "what each base would add to the logit at this position, the places of the filters kept",
    has_bases=True,
    title="Hypothetical contributions of bases to chromatin accessibility",
)


@dataclass(frozen=True)
class BaseArray:
    """An array on disk: parts of (window, position, base, cell_type) or (window, position, cell_type).

    Indexed along windows, as dask does.

    Parameters
    ----------
    parts
        ``.npy`` files.
    shape
        Of the whole.
    dtype
        Of its numbers.
    """

    parts: Parts
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, index: tuple | slice) -> np.ndarray:
        """Windows of one part, or of several."""
        rows, *others = index if isinstance(index, tuple) else (index,)
        first, stop, _ = rows.indices(self.shape[0])
        numbers = range(first // self.parts.rows, -(-stop // self.parts.rows))
        found = [
            _mapped(self.parts.path(i))[max(first - span.start, 0) : stop - span.start]
            for i, span in ((i, self.parts.span(i)) for i in numbers)
        ]
        joined = np.concatenate(found) if found else np.empty((0, *self.shape[1:]), self.dtype)
        return joined[(slice(None), *others)]

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Windows and numbers of each part, in order."""
        return ((span, _mapped(path)) for span, path in self.parts.files())

    def window(self, index: int) -> np.ndarray:
        """Numbers of one window."""
        part, row = divmod(index, self.parts.rows)
        return _mapped(self.parts.path(part))[row]


@dataclass(frozen=True)
class BaseResult:
    """What is written.

    Parameters
    ----------
    quantity
        What the numbers are.
    values
        Theirs.
    windows
        Of the regions.
    cell_types
        Names of the last axis.
    seen
        Positions of a window that the network looks at.
    attributes
        How they were made.
    chunk
        Windows of a chunk.
    """

    quantity: Quantity
    values: BaseArray
    windows: RegionWindows
    cell_types: tuple[str, ...]
    seen: slice
    attributes: dict[str, str]
    chunk: int


@lru_cache(maxsize=64)
def _mapped_once(path: Path, _stamp: int) -> np.ndarray:
    return map_array(path)


def _mapped(path: Path) -> np.ndarray:
    return _mapped_once(path, path.stat().st_ino)
