"""Write a bigWig file (Kent et al. 2010, supplement), in a time that grows with the size of what is written.

pyBigWig, which reads bigWigs elsewhere, looks for every chromosome by walking through the list of all: with
200,000 contigs it takes minutes to write a file.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from chromacc_data.errors import InputError
from chromacc_data.regions.intervals import PairKeys

__all__ = ["write_bigwig"]

_MAGIC, _VERSION = 0x888FFC26, 4
_NAMES_MAGIC, _INDEX_MAGIC = 0x78CA8C91, 0x2468ACE0
_HEADER = struct.Struct("<IHHQQQHHQQIQ")
_ZOOM_HEADER = struct.Struct("<IIQQ")
_SUMMARY = struct.Struct("<Qdddd")
_NAMES_HEADER = struct.Struct("<IIIIQQ")
_INDEX_HEADER = struct.Struct("<IIQIIIIQII")

_BED_GRAPH = 1  # type of a section whose items have a start and an end each
_ITEMS_PER_SECTION = 1024
_ITEMS_PER_NODE = 256
_MAX_ZOOMS, _ZOOM_FACTOR = 10, 4
_MAX_LENGTH = (1 << 32) - 1

_SECTION = np.dtype(
    [
        *((name, "<u4") for name in ("chrom", "start", "end", "step", "span")),
        *(("type", "u1"), ("reserved", "u1"), ("n_items", "<u2")),
    ]
)
_ITEM = np.dtype([("start", "<u4"), ("end", "<u4"), ("value", "<f4")])
_ZOOM = np.dtype(
    [
        *((name, "<u4") for name in ("chrom", "start", "end", "n_bases")),
        *((name, "<f4") for name in ("least", "largest", "total", "squares")),
    ]
)
_PLACE = [(name, "<u4") for name in ("first_chrom", "start", "last_chrom", "end")]
_LEAF = np.dtype([*_PLACE, ("offset", "<u8"), ("size", "<u8")])
_NODE = np.dtype([("is_leaf", "u1"), ("reserved", "u1"), ("n_items", "<u2")])
_BRANCH = np.dtype([*_PLACE, ("offset", "<u8")])


def write_bigwig(
    path: Path,
    chrom_sizes: dict[str, int],
    chrom: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    value: np.ndarray,
) -> None:
    """Write intervals with a value each as a bigWig, with zoom levels.

    Parameters
    ----------
    path
        File to write.
    chrom_sizes
        Name and length of each chromosome.
    chrom, start, end
        (interval,) places among the chromosomes, starts and ends; sorted, none of them overlap, each within
        its chromosome.
    value
        (interval,), kept as float32.

    Raises
    ------
    InputError
        For a chromosome of 2**32 bp or more, which the format cannot hold.
    """
    too_long = next((name for name, length in chrom_sizes.items() if length > _MAX_LENGTH), None)
    if too_long is not None:
        raise InputError(
            f"chromosome {too_long!r} is too long for a bigWig",
            where=path,
            found=f"{chrom_sizes[too_long]:,} bp",
            expected=f"at most {_MAX_LENGTH:,} bp",
            remedy="write a .tsv",
        )
    items = np.empty(start.size, dtype=_ITEM)
    items["start"], items["end"], items["value"] = start, end, value
    zooms = list(_zooms(chrom.astype(np.int64), items))
    with path.open("wb") as file:
        file.write(bytes(_HEADER.size + _MAX_ZOOMS * _ZOOM_HEADER.size))
        summary_offset = file.tell()
        file.write(_summary(items))
        names_offset = file.tell()
        file.write(_names_tree(chrom_sizes, names_offset))
        data_offset = file.tell()
        sections = _sections(chrom.astype(np.int64), items)
        file.write(struct.pack("<Q", len(sections.place)))
        leaves = _write_blocks(file, sections)
        index_offset = file.tell()
        file.write(_index(leaves, index_offset))
        zoom_headers, largest = [], sections.largest
        for reduction, records in zooms:
            offset = file.tell()
            file.write(struct.pack("<I", records.size))
            blocks = _zoom_blocks(records)
            leaves = _write_blocks(file, blocks)
            zoom_headers.append(_ZOOM_HEADER.pack(reduction, 0, offset, file.tell()))
            file.write(_index(leaves, file.tell()))
            largest = max(largest, blocks.largest)
        file.write(struct.pack("<I", _MAGIC))
        file.seek(0)
        file.write(
            _HEADER.pack(
                *(_MAGIC, _VERSION, len(zooms), names_offset, data_offset, index_offset),
                *(0, 0, 0, summary_offset, largest, 0),
            )
        )
        file.write(b"".join(zoom_headers))


class _Blocks(NamedTuple):
    """Blocks of a file: where each lies in the genome (block,), its bytes, and the size of the largest."""

    place: np.ndarray
    raw: Iterator[bytes]
    largest: int


def _summary(items: np.ndarray) -> bytes:
    """Covered bases, and least, largest, sum and sum of squares of the values over them."""
    if not items.size:
        return _SUMMARY.pack(0, 0, 0, 0, 0)
    n, value = items["end"].astype(np.int64) - items["start"], items["value"].astype(np.float64)
    return _SUMMARY.pack(n.sum(), value.min(), value.max(), (n * value).sum(), (n * value**2).sum())


def _sections(chrom: np.ndarray, items: np.ndarray) -> _Blocks:
    """Sections of items of one chromosome each."""
    bounds = _section_bounds(chrom)
    head = np.zeros(len(bounds) - 1, dtype=_SECTION)
    first, last = bounds[:-1], bounds[1:] - 1
    head["chrom"], head["start"], head["end"] = chrom[first], items["start"][first], items["end"][last]
    head["type"], head["n_items"] = _BED_GRAPH, np.diff(bounds)
    largest = _SECTION.itemsize + _ITEM.itemsize * int(head["n_items"].max(initial=0))
    heads, rows = memoryview(head.tobytes()), memoryview(items.tobytes())
    raw = (
        bytes(heads[i * _SECTION.itemsize : (i + 1) * _SECTION.itemsize])
        + rows[a * _ITEM.itemsize : b * _ITEM.itemsize]
        for i, (a, b) in enumerate(pairwise(bounds.tolist()))
    )
    return _Blocks(_places(head["chrom"], head["start"], head["chrom"], head["end"]), raw, largest)


def _section_bounds(chrom: np.ndarray) -> np.ndarray:
    """Where sections begin among the items, and the end."""
    new = np.flatnonzero(np.diff(chrom, prepend=-1))
    n_items = np.diff(new, append=chrom.size)
    n_sections = -(-n_items // _ITEMS_PER_SECTION)
    number = np.arange(n_sections.sum()) - np.repeat(np.cumsum(n_sections) - n_sections, n_sections)
    return np.append(np.repeat(new, n_sections) + number * _ITEMS_PER_SECTION, chrom.size)


def _zoom_blocks(records: np.ndarray) -> _Blocks:
    first = np.arange(0, records.size, _ITEMS_PER_SECTION)
    last = np.minimum(first + _ITEMS_PER_SECTION, records.size) - 1
    place = _places(
        records["chrom"][first], records["start"][first], records["chrom"][last], records["end"][last]
    )
    raw = (records[a : b + 1].tobytes() for a, b in zip(first.tolist(), last.tolist(), strict=True))
    return _Blocks(place, raw, _ZOOM.itemsize * min(_ITEMS_PER_SECTION, records.size))


def _places(*columns: np.ndarray) -> np.ndarray:
    place = np.zeros(columns[0].size, dtype=_LEAF)
    for (name, _), column in zip(_PLACE, columns, strict=True):
        place[name] = column
    return place


def _write_blocks(file: BinaryIO, blocks: _Blocks) -> np.ndarray:
    """Compress and write blocks; their places, with offset and size in the file."""
    leaves, offset = blocks.place, file.tell()
    sizes = []
    for raw in blocks.raw:
        packed = _compress(raw)
        file.write(packed)
        sizes.append(len(packed))
    leaves["size"] = sizes
    leaves["offset"] = offset + np.cumsum(leaves["size"]) - leaves["size"]
    return leaves


def _compress(raw: bytes) -> bytes:
    # zlib clears its tables for every block: with the small blocks of many contigs, most of the time.
    window, memory = (10, 2) if len(raw) <= 1 << 10 else (15, 8)
    compressor = zlib.compressobj(6, zlib.DEFLATED, window, memory)
    return compressor.compress(raw) + compressor.flush()


def _zooms(chrom: np.ndarray, items: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Zoom levels, each at least four times as coarse as the one before: bp of a bin, and bins with data."""
    if not items.size:
        return
    length = items["end"].astype(np.int64) - items["start"]
    reduction = _ZOOM_FACTOR * max(1, int(length.mean()))
    records = _first_zoom(chrom, items, reduction)
    previous = items.size
    for _ in range(_MAX_ZOOMS):
        # A level that is hardly smaller than the one before saves no reading.
        if records.size <= previous // 2:
            previous = records.size
            yield reduction, records
        reduction *= _ZOOM_FACTOR
        if reduction > _MAX_LENGTH:
            return
        records = _coarser(records, reduction)


def _first_zoom(chrom: np.ndarray, items: np.ndarray, reduction: int) -> np.ndarray:
    """Bins over items; one that reaches over the edge of a bin is cut there."""
    start, end = items["start"].astype(np.int64), items["end"].astype(np.int64)
    n_bins = (end - 1) // reduction - start // reduction + 1
    item = np.repeat(np.arange(items.size), n_bins)
    number = np.arange(item.size) - np.repeat(np.cumsum(n_bins) - n_bins, n_bins)
    edge = (start[item] // reduction + number) * reduction
    pieces = np.empty(item.size, dtype=_ZOOM)
    pieces["chrom"] = chrom[item]
    pieces["start"], pieces["end"] = (
        np.maximum(start[item], edge),
        np.minimum(end[item], edge + reduction),
    )
    n_bases, value = pieces["end"] - pieces["start"], items["value"][item]
    pieces["n_bases"], pieces["least"], pieces["largest"] = n_bases, value, value
    pieces["total"], pieces["squares"] = n_bases * value, n_bases * value**2
    return _coarser(pieces, reduction)


def _coarser(records: np.ndarray, reduction: int) -> np.ndarray:
    """Records of one bin as one record."""
    bins = records["start"].astype(np.int64) // reduction
    key = PairKeys.over(bins).of(records["chrom"], bins)
    first = np.flatnonzero(np.diff(key, prepend=-1))
    last = np.append(first[1:], key.size) - 1
    made = np.empty(first.size, dtype=_ZOOM)
    made["chrom"], made["start"], made["end"] = (
        records["chrom"][first],
        records["start"][first],
        records["end"][last],
    )
    made["n_bases"] = np.add.reduceat(records["n_bases"], first)
    made["least"] = np.minimum.reduceat(records["least"], first)
    made["largest"] = np.maximum.reduceat(records["largest"], first)
    for name in ("total", "squares"):
        made[name] = np.add.reduceat(records[name].astype(np.float64), first)
    return made


def _names_tree(chrom_sizes: dict[str, int], offset: int) -> bytes:
    """Tree of the sorted names, each with its place and length, as it stands at a byte of the file."""
    names = [name.encode() for name in chrom_sizes]
    width = max(map(len, names), default=1)
    order = sorted(range(len(names)), key=names.__getitem__)
    leaves = np.zeros(len(names), dtype=[("name", f"S{width}"), ("chrom", "<u4"), ("length", "<u4")])
    leaves["name"], leaves["chrom"] = [names[i] for i in order], order
    leaves["length"] = np.array(list(chrom_sizes.values()), dtype=np.int64)[order]

    def above(level: np.ndarray) -> np.ndarray:
        made = np.zeros(_n_nodes(level), dtype=[("name", f"S{width}"), ("offset", "<u8")])
        made["name"] = level["name"][::_ITEMS_PER_NODE]
        return made

    header = _NAMES_HEADER.pack(_NAMES_MAGIC, _ITEMS_PER_NODE, width, 8, len(names), 0)
    return header + _nodes(leaves, above, offset + len(header))


def _index(leaves: np.ndarray, offset: int) -> bytes:
    """Tree of the places of blocks, as it stands at a byte of the file, right behind the blocks."""

    def above(level: np.ndarray) -> np.ndarray:
        made = np.zeros(_n_nodes(level), dtype=_BRANCH)
        first = np.arange(0, level.size, _ITEMS_PER_NODE)
        last = np.minimum(first + _ITEMS_PER_NODE, level.size) - 1
        made["first_chrom"], made["start"] = level["first_chrom"][first], level["start"][first]
        made["last_chrom"], made["end"] = level["last_chrom"][last], level["end"][last]
        return made

    whole = leaves[[0, -1]] if leaves.size else np.zeros(2, dtype=_LEAF)
    header = _INDEX_HEADER.pack(
        *(_INDEX_MAGIC, _ITEMS_PER_NODE, leaves.size),
        *(whole["first_chrom"][0], whole["start"][0], whole["last_chrom"][1], whole["end"][1]),
        *(offset, _ITEMS_PER_SECTION, 0),
    )
    return header + _nodes(leaves, above, offset + len(header))


def _n_nodes(level: np.ndarray) -> int:
    return max(1, -(-level.size // _ITEMS_PER_NODE))


def _nodes(leaves: np.ndarray, above: Callable[[np.ndarray], np.ndarray], offset: int) -> bytes:
    """Nodes of a tree from its root to its leaves, which begin at a byte of the file.

    `above` makes the items of the level above one: one for each of its nodes, whose `offset` is set here.
    """
    levels = [leaves]
    while levels[0].size > _ITEMS_PER_NODE:
        levels.insert(0, above(levels[0]))
    sizes = [_NODE.itemsize + _ITEMS_PER_NODE * level.dtype.itemsize for level in levels]
    begins = offset + np.cumsum([0, *(_n_nodes(x) * n for x, n in zip(levels, sizes, strict=True))])
    parts = []
    for i, (level, size) in enumerate(zip(levels, sizes, strict=True)):
        is_leaf = i == len(levels) - 1
        if not is_leaf:
            level["offset"] = begins[i + 1] + np.arange(level.size) * sizes[i + 1]
        head = np.zeros(_n_nodes(level), dtype=_NODE)
        head["is_leaf"] = is_leaf
        head["n_items"] = np.minimum(level.size - np.arange(head.size) * _ITEMS_PER_NODE, _ITEMS_PER_NODE)
        nodes = np.zeros((head.size, size), dtype=np.uint8)
        nodes[:, : _NODE.itemsize] = head.view(np.uint8).reshape(head.size, -1)
        items = np.zeros(head.size * _ITEMS_PER_NODE, dtype=level.dtype)
        items[: level.size] = level
        nodes[:, _NODE.itemsize :] = items.view(np.uint8).reshape(head.size, -1)
        parts.append(nodes.tobytes())
    return b"".join(parts)
