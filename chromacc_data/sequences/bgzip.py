"""Random access to the text of a bgzip file, by its .gzi index.

A bgzip file is a row of gzip members ("blocks") of at most 64 KiB of text each (SAM specification, section
4.1); the .gzi says where each begins, in the file and in the text.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

from chromacc_data.errors import InputError

__all__ = ["BgzipText", "is_bgzip", "is_whole"]

#: First four bytes of every block: gzip, deflate, with an extra field.
_BLOCK_MAGIC = b"\x1f\x8b\x08\x04"
#: The empty block that ends every bgzip file.
_END_BLOCK = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_MAX_BLOCK_TEXT = 1 << 16
#: How many blocks are compared with the index when it is read; each is verified when it is inflated.
_N_PROBES = 16


def is_bgzip(raw: np.ndarray) -> bool:
    """Whether the bytes of a file (uint8) begin with a bgzip block: plain gzip does not."""
    return raw[:4].tobytes() == _BLOCK_MAGIC and raw[12:14].tobytes() == b"BC"


def is_whole(raw: np.ndarray) -> bool:
    """Whether the bytes of a bgzip file (uint8) close with the end block, which a truncated file lacks."""
    return raw[-len(_END_BLOCK) :].tobytes() == _END_BLOCK


class BgzipText:
    """The text of a bgzip file, inflated block by block where it is asked for.

    Every method may be called from several threads.

    Parameters
    ----------
    path, raw
        The bgzip file, for messages, and its bytes, uint8.
    gzi
        Its index.

    Attributes
    ----------
    size : int
        Bytes of text.
    starts : np.ndarray
        Where in the text each block begins, and the size: int64, shape (block + 1,).

    Raises
    ------
    InputError
        When the index is not of this file, and, on reading, for a corrupt block.
    """

    def __init__(self, path: Path, raw: np.ndarray, gzi: Path) -> None:
        self._path, self._raw, self._gzi = path, raw, gzi
        self._begins, self.starts = _read_gzi(gzi, path, raw)
        self.size = int(self.starts[-1])
        self._recent: tuple[int, bytes] = (-1, b"")

    def block_of(self, place: int | np.ndarray) -> np.ndarray:
        """The block that holds the byte of the text at a place."""
        return np.searchsorted(self.starts, place, side="right") - 1

    def inflate(self, block: int) -> bytes:
        """The text of a block, its checksum verified."""
        member = self._raw[self._begins[block] : self._begins[block + 1]].tobytes()
        try:
            (n_extra,) = struct.unpack_from("<H", member, 10)
            checksum, size = struct.unpack("<II", member[-8:])
            text = zlib.decompress(member[12 + n_extra : -8], wbits=-15, bufsize=_MAX_BLOCK_TEXT)
            sound = zlib.crc32(text) == checksum and len(text) == size
        except (struct.error, zlib.error):
            sound = False
        if not sound:
            raise InputError(
                "a block of this bgzip file is corrupt",
                where=self._path,
                found=f"text that fails its checksum, in the block at byte {self._begins[block]}",
                remedy="copy or download the file again",
            )
        if size != self.starts[block + 1] - self.starts[block]:
            raise _stale(self._gzi, self._path, f"no block of that size at byte {self._begins[block]}")
        return text

    def read(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop) of the text; meant for a few bytes at a time."""
        if stop <= start:
            return b""
        first, last = int(self.block_of(start)), int(self.block_of(stop - 1))
        text = b"".join(self._inflate_recent(block) for block in range(first, last + 1))
        return text[start - self.starts[first] : stop - self.starts[first]]

    def _inflate_recent(self, block: int) -> bytes:
        # Short reads come in the order of the text, so that the block read last is often the next one too.
        recent = self._recent
        if recent[0] != block:
            self._recent = recent = (block, self.inflate(block))
        return recent[1]


def _read_gzi(gzi: Path, path: Path, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each block begins in a bgzip file, and in its text; with the ends, int64, shape (block + 1,)."""
    entries = np.frombuffer(gzi.read_bytes()[: gzi.stat().st_size // 8 * 8], dtype="<u8").astype(np.int64)
    if entries.size == 0 or entries.size != 1 + 2 * entries[0]:
        raise _stale(gzi, path, "it is not a list of blocks")
    # The format leaves out the first block, which begins at 0, and where the last one ends.
    begins, starts = (np.concatenate([[0], column]) for column in entries[1:].reshape(-1, 2).T)
    ends = _walk_blocks(raw, int(begins[-1]), int(starts[-1]))
    begins, starts = (np.concatenate(pair) for pair in zip((begins, starts), ends, strict=True))
    if begins[-1] != raw.size or (np.diff(begins) <= 0).any() or (np.diff(starts) < 0).any():
        raise _stale(gzi, path, "its blocks do not end where the file ends")
    for block in np.unique(np.linspace(0, begins.size - 2, _N_PROBES).astype(np.int64)):
        size = int.from_bytes(raw[begins[block + 1] - 4 : begins[block + 1]].tobytes(), "little")
        if not is_bgzip(raw[begins[block] :]) or size != starts[block + 1] - starts[block]:
            raise _stale(gzi, path, f"no block of that size at byte {begins[block]}")
    return begins, starts


def _walk_blocks(raw: np.ndarray, begin: int, start: int) -> tuple[list[int], list[int]]:
    """Ends, in the file and in the text, of the block that begins at byte `begin` and of all behind it."""
    begins: list[int] = []
    starts: list[int] = []
    while is_bgzip(raw[begin:]):
        begin += int.from_bytes(raw[begin + 16 : begin + 18].tobytes(), "little") + 1
        start += int.from_bytes(raw[begin - 4 : begin].tobytes(), "little")
        begins.append(begin)
        starts.append(start)
    return begins, starts


def _stale(gzi: Path, path: Path, found: str) -> InputError:
    return InputError(
        f"this index is not of {path.name} as it stands",
        where=gzi,
        found=found,
        remedy=f"delete {gzi.name}, it is built again; or run `bgzip -r {path}`",
    )
