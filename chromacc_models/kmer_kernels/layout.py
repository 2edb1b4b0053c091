"""How the weights of filters are laid out in tables of k-mers, and filters in tiles of vectors."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import llvmlite.binding
import numpy as np

from chromacc_models.kmer_kernels.vectors import Scan

__all__ = ["TableLayout", "Tile", "widest_vector"]

# Largest tables of a tile. A first-level cache has 32 or 48 KiB; to read a part of the rows from the second
# level costs less than to add more rows: docs/performance.md has what each size gives.
_CACHE_BYTES = 48 * 1024
_FLOAT_BYTES = 4
_NARROWEST_VECTOR = 8
# Of a row and block in a stream; see vectors.advance.
_UNITS = 8


class Tile(NamedTuple):
    """Columns that are computed side by side: `scan.lanes` of them, from `column` on."""

    column: int
    scan: Scan


@dataclass(frozen=True)
class TableLayout:
    """Tables for filters of `width` taps that read one of `n_letters` letters, or an unknown one.

    The taps of a filter are cut into blocks of `group` taps. A block's table has a row per word of `group`
    letters: the sum of the weights that those letters pick. Columns are the filters on each strand.

    Parameters
    ----------
    width
        Taps of a filter.
    spacing
        Bases from one tap to the next.
    n_letters
        Known letters; the unknown one, which adds nothing, has the next number.
    n_columns
        Columns that are used; more of them fill the last tile.

    Examples
    --------
    >>> layout = TableLayout(width=12, spacing=1, n_letters=4, n_columns=20)
    >>> layout.group, layout.n_blocks
    (4, 3)
    """

    width: int
    spacing: int
    n_letters: int
    n_columns: int

    @cached_property
    def group(self) -> int:
        """Taps in a table: what leaves the fewest tables while those of a tile fit the cache."""

        def n_tables(group: int) -> int:
            return -(-self.width // group)

        def fits(group: int) -> bool:
            row_bytes = n_tables(group) * widest_vector() * _FLOAT_BYTES
            return group == 1 or row_bytes * self.n_letters**group <= _CACHE_BYTES

        return min(filter(fits, range(1, self.width + 1)), key=n_tables)

    @property
    def n_blocks(self) -> int:
        """Tables of a filter."""
        return -(-self.width // self.group)

    @property
    def step(self) -> int:
        """Bases from one block to the next."""
        return self.group * self.spacing

    @cached_property
    def tiles(self) -> list[Tile]:
        """Tiles of the widest vectors; the last may have a narrower one."""
        tiles, column = [], 0
        while column < self.n_columns:
            lanes = widest_vector()
            while lanes // 2 >= max(_NARROWEST_VECTOR, self.n_columns - column):
                lanes //= 2
            tiles.append(Tile(column, Scan(lanes, self.n_blocks, self.step)))
            column += lanes
        return tiles

    @property
    def n_padded(self) -> int:
        """Columns of all tiles."""
        return self.tiles[-1].column + self.tiles[-1].scan.lanes

    @property
    def weights_shape(self) -> tuple[int, int, int]:
        """(tap, letter, column): the taps of whole blocks, the unknown letter too, the columns of tiles."""
        return self.n_blocks * self.group, self.n_letters + 1, self.n_padded

    @cached_property
    def digits(self) -> np.ndarray:
        """Letters of each table row, (row, tap of the group) int64; the unknown letter is the highest.

        Rows with an unknown letter come last: they are rarely read, and so take no cache.
        """
        words = itertools.product(range(self.n_letters + 1), repeat=self.group)
        return np.array(sorted(words, key=lambda word: (self.n_letters in word, word)), dtype=np.int64)

    @cached_property
    def row_of_word(self) -> np.ndarray:
        """Row of each word, by the number that its letters make in base n_letters + 1; int64."""
        powers = (self.n_letters + 1) ** np.arange(self.group - 1, -1, -1)
        rows = np.empty(len(self.digits), np.int64)
        rows[self.digits @ powers] = np.arange(len(rows))
        return rows

    @property
    def row_units(self) -> int:
        """Distance of two rows in the units of a stream."""
        return self.n_blocks * _UNITS

    @property
    def stream_dtype(self) -> type[np.unsignedinteger]:
        """The smallest type that holds the offset of every row."""
        return np.uint16 if len(self.digits) * self.row_units <= np.iinfo(np.uint16).max else np.uint32


@lru_cache
def widest_vector() -> int:
    """Lanes of this processor's widest vectors, at least 8: narrower ones then go in pairs."""
    return 16 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 8
