"""Random access to the text of a bgzip file, by its .gzi index.

A bgzip file is a row of gzip members ("blocks") of at most 64 KiB of text each (SAM specification, section
4.1); the .gzi says where each begins, in the file and in the text.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from chromacc_data.errors import InputError

__all__ = ["BgzipText", "format_gzi", "is_bgzip", "is_whole"]

#: First four bytes of every block: gzip, deflate, with an extra field.
_BLOCK_MAGIC = b"\x1f\x8b\x08\x04"
#: The empty block that ends every bgzip file.
_END_BLOCK = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_MAX_BLOCK_TEXT = 1 << 16
#: How many blocks are compared with the index when it is read; each is verified when it is inflated.
_N_PROBES = 16
#: No file is longer, and sums of what is below are far from overflow.
_MAX_OFFSET = 1 << 56


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
        Its index; :meth:`walk` does without.

    Attributes
    ----------
    size : int
        Bytes of text.
    begins, starts : np.ndarray
        Where in the file and in the text each block begins, and their sizes: int64, shape (block + 1,).

    Raises
    ------
    InputError
        When the index is not of this file, and, on reading, for a corrupt block.
    """

    def __init__(self, path: Path, raw: np.ndarray, gzi: Path | None) -> None:
        self._path, self._raw, self._gzi = path, raw, gzi
        self.begins, self.starts = _read_gzi(gzi, path, raw) if gzi else _walk_file(path, raw)
        self.size = int(self.starts[-1])
        self._recent: tuple[int, bytes] = (-1, b"")

    @classmethod
    def walk(cls, path: Path, raw: np.ndarray) -> BgzipText:
        """The text of a file without an index: its blocks are found from the first to the last."""
        return cls(path, raw, None)

    def block_of(self, place: int | np.ndarray) -> np.ndarray:
        """The block that holds the byte of the text at a place."""
        return np.searchsorted(self.starts, place, side="right") - 1

    def inflate(self, block: int) -> bytes:
        """The text of a block, its checksum verified."""
        member = self._raw[self.begins[block] : self.begins[block + 1]].tobytes()
        expected_size = self.starts[block + 1] - self.starts[block]
        # An index that is wrong here and a block that is damaged look alike, but for where blocks begin.
        if self._gzi is not None and (
            _block_bytes(member) != len(member) or _text_bytes(member) != expected_size
        ):
            raise _stale(self._gzi, self._path, f"no block of that size at byte {self.begins[block]}")
        try:
            (n_extra,) = struct.unpack_from("<H", member, 10)
            checksum, size = struct.unpack("<II", member[-8:])
            # At most one byte more than there may be: damaged bytes can stand for a thousand times as many.
            text = zlib.decompressobj(wbits=-15).decompress(member[12 + n_extra : -8], _MAX_BLOCK_TEXT + 1)
            sound = zlib.crc32(text) == checksum and len(text) == size
        except (struct.error, zlib.error):
            sound = False
        if not sound:
            raise _corrupt(
                self._path, f"text that fails its checksum, in the block at byte {self.begins[block]}"
            )
        return text

    def parts(self) -> Iterator[np.ndarray]:
        """The whole text, block by block, as uint8."""
        for block in range(self.starts.size - 1):
            yield np.frombuffer(self.inflate(block), dtype=np.uint8)

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


def format_gzi(text: BgzipText) -> bytes:
    """The .gzi of a file: all blocks but the first and, as pyfaidx has it, the empty one at the end."""
    entries = np.column_stack([text.begins[1:-2], text.starts[1:-2]]).astype("<u8")
    return len(entries).to_bytes(8, "little") + entries.tobytes()


def _read_gzi(gzi: Path, path: Path, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each block begins in a bgzip file, and in its text; with the ends, int64, shape (block + 1,)."""
    try:
        content = gzi.read_bytes()
    except OSError as error:
        raise InputError(
            "this index cannot be read", where=gzi, found=error.strerror, remedy="check its permissions"
        ) from None
    if len(content) < 8 or len(content) != 8 + 16 * int.from_bytes(content[:8], "little"):
        raise _stale(gzi, path, "it is not a list of blocks")
    # The format leaves out the first block, which begins at 0, and where the last one ends.
    entries = np.frombuffer(content, dtype="<u8")[1:].reshape(-1, 2)
    if (entries >= _MAX_OFFSET).any():
        raise _stale(gzi, path, "places that no file has")
    begins, starts = (np.concatenate([[0], column]) for column in entries.astype(np.int64).T)
    ends = _walk_blocks(raw, int(begins[-1]), int(starts[-1]))
    begins, starts = (np.concatenate(pair) for pair in zip((begins, starts), ends, strict=True))
    sizes = np.diff(starts)
    if (
        begins[-1] != raw.size
        or (np.diff(begins) <= 0).any()
        or ((sizes < 0) | (sizes > _MAX_BLOCK_TEXT)).any()
    ):
        raise _stale(gzi, path, "its blocks do not end where the file ends")
    for block in np.unique(np.linspace(0, begins.size - 2, _N_PROBES).astype(np.int64)):
        member = raw[begins[block] : begins[block + 1]]
        if not is_bgzip(member) or _text_bytes(member.tobytes()) != sizes[block]:
            raise _stale(gzi, path, f"no block of that size at byte {begins[block]}")
    return begins, starts


def _walk_file(path: Path, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`_read_gzi`, from the blocks themselves."""
    begins, starts = (np.array([0, *ends], dtype=np.int64) for ends in _walk_blocks(raw, 0, 0))
    if begins[-1] != raw.size:
        raise _corrupt(
            path, f"no block where one should be, at or behind byte {begins[max(begins.size - 2, 0)]}"
        )
    too_long = np.flatnonzero(np.diff(starts) > _MAX_BLOCK_TEXT)
    if too_long.size:
        raise _corrupt(
            path, f"a block of more than {_MAX_BLOCK_TEXT} bytes of text at byte {begins[too_long[0]]}"
        )
    return begins, starts


def _walk_blocks(raw: np.ndarray, begin: int, start: int) -> tuple[list[int], list[int]]:
    """Ends, in the file and in the text, of the block that begins at byte `begin` and of all behind it."""
    begins: list[int] = []
    starts: list[int] = []
    while is_bgzip(raw[begin : begin + 18]):
        begin += _block_bytes(raw[begin : begin + 18].tobytes())
        start += _text_bytes(raw[max(begin - 4, 0) : begin].tobytes())
        begins.append(begin)
        starts.append(start)
    return begins, starts


def _block_bytes(member: bytes) -> int:
    """Bytes of a block, as its head says; at least 1."""
    return int.from_bytes(member[16:18], "little") + 1


def _text_bytes(member: bytes) -> int:
    """Bytes of the text of a block, as its end says."""
    return int.from_bytes(member[-4:], "little")


def _corrupt(path: Path, found: str) -> InputError:
    return InputError(
        "this bgzip file is corrupt", where=path, found=found, remedy="copy or download the file again"
    )


def _stale(gzi: Path, path: Path, found: str) -> InputError:
    return InputError(
        f"this index does not match {path.name}",
        where=gzi,
        found=found,
        remedy=f"delete {gzi.name}, and it is rebuilt; or run `bgzip -r {path}`",
    )
