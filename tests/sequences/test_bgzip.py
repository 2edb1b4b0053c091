"""Random access to bgzip, against the text that was compressed."""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyfaidx
import pytest
from Bio import bgzf

from chromacc_data.errors import InputError
from chromacc_data.sequences.bgzip import BgzipText, format_gzi, is_bgzip, is_whole

LINES = [b">chr1\n"] + [bytes([letter]) * 9 + b"\n" for letter in b"ACGTNacgtn" * 5]
TEXT = b"".join(LINES)
#: The empty block that ends every bgzip file (SAM specification, section 4.1.2).
END_BLOCK = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def write_bgzip(path: Path, lines: list[bytes] = LINES) -> Path:
    """A bgzip file with one block for each line, and its .gzi."""
    with bgzf.BgzfWriter(str(path)) as writer:
        for line in lines:
            writer.write(line)
            writer.flush()
    pyfaidx.Faidx(str(path)).close()
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_bgzip(tmp_path / "x.fa.gz")


def open_text(path: Path) -> BgzipText:
    return BgzipText(path, np.fromfile(path, dtype=np.uint8), path.with_name(path.name + ".gzi"))


def test_read__any_range(path):
    text = open_text(path)
    assert text.size == len(TEXT)
    for start in range(0, len(TEXT), 7):
        for stop in range(start, len(TEXT) + 1, 13):
            assert text.read(start, stop) == TEXT[start:stop]


def test_inflate__only_blocks_that_are_read(path, monkeypatch):
    text = open_text(path)
    inflated = []
    inflate = text.inflate
    monkeypatch.setattr(text, "inflate", lambda block: inflated.append(block) or inflate(block))
    text.read(6 + 15, 6 + 25)
    text.read(6 + 25, 6 + 28)
    assert inflated == [2, 3], "block 3 was in hand the second time"


def test_gzi__need_not_list_the_last_blocks(path):
    """What stands behind the last entry is found by walking: some writers list the end block, some do not."""
    gzi = path.with_name(path.name + ".gzi")
    entries = np.fromfile(gzi, dtype="<u8")
    short = np.concatenate([[entries[0] - 5], entries[1:-10]]).astype("<u8")
    gzi.write_bytes(short.tobytes())
    text = open_text(path)
    assert text.read(0, text.size) == TEXT


def test_file_without_end_block__is_not_whole(path):
    raw = np.fromfile(path, dtype=np.uint8)
    assert is_bgzip(raw)
    assert is_whole(raw)
    assert not is_whole(raw[:-1])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda e: e[:-1], id="odd number of entries"),
        pytest.param(lambda e: e[:0], id="empty"),
        pytest.param(lambda e: np.concatenate([e[:1], e[1:] + 1]), id="shifted by one byte"),
        pytest.param(lambda e: np.concatenate([e[:21], e[21:] + np.array([0, 1] * 40)]), id="text shifted"),
    ],
)
def test_gzi_of_another_file__is_an_error(path, change):
    gzi = path.with_name(path.name + ".gzi")
    gzi.write_bytes(change(np.fromfile(gzi, dtype="<u8")).astype("<u8").tobytes())
    with pytest.raises(InputError, match="does not match") as error:
        open_text(path)
    assert error.value.where == gzi
    assert "delete x.fa.gz.gzi" in error.value.remedy


def test_gzi_of_another_file__is_found_at_the_latest_when_it_is_read(path):
    gzi = path.with_name(path.name + ".gzi")
    entries = np.fromfile(gzi, dtype="<u8")
    entries[2 * 9] += 1  # where block 9 begins in the text: not among the blocks that are looked at first
    gzi.write_bytes(entries.tobytes())
    text = open_text(path)
    with pytest.raises(InputError, match="does not match") as error:
        text.read(0, text.size)
    assert error.value.where == gzi


@pytest.mark.parametrize(
    "content",
    [
        pytest.param((1 << 62).to_bytes(8, "little"), id="more entries than bytes"),
        pytest.param((1 << 63).to_bytes(8, "little") * 3, id="number of entries that overflows"),
        pytest.param(b"\1" + bytes(7) + b"\xff" * 16, id="places that overflow"),
        pytest.param(
            b"\1" + bytes(7) + (1 << 62).to_bytes(8, "little") + bytes(8), id="place beyond the file"
        ),
        pytest.param(b"\1" + bytes(15) + (1 << 40).to_bytes(8, "little"), id="much text in few bytes"),
    ],
)
def test_gzi__malicious(path, content):
    path.with_name(path.name + ".gzi").write_bytes(content)
    with pytest.raises(InputError, match="does not match"):
        open_text(path)


def test_gzi__that_skips_a_block_is_found_when_it_is_read(path):
    gzi = path.with_name(path.name + ".gzi")
    entries = np.fromfile(gzi, dtype="<u8")
    entries = np.delete(entries, [2 * 9 - 1, 2 * 9])
    entries[0] -= 1
    gzi.write_bytes(entries.tobytes())
    text = open_text(path)
    with pytest.raises(InputError, match="does not match"):
        text.read(0, text.size)


def test_format_gzi__is_that_of_pyfaidx(path):
    text = BgzipText.walk(path, np.fromfile(path, dtype=np.uint8))
    assert format_gzi(text) == path.with_name(path.name + ".gzi").read_bytes()


def test_empty_blocks__may_stand_anywhere(tmp_path):
    """Concatenated bgzip files are one, with the end block of each inside."""
    raw = write_bgzip(tmp_path / "x.fa.gz", LINES[:3]).read_bytes()
    begins = BgzipText.walk(tmp_path, np.frombuffer(raw, np.uint8)).begins
    blocks = [raw[begin:end] for begin, end in pairwise(begins)]
    text = BgzipText.walk(tmp_path, np.frombuffer(END_BLOCK + (2 * END_BLOCK).join(blocks), np.uint8))
    whole = b"".join(LINES[:3])
    assert b"".join(part.tobytes() for part in text.parts()) == whole
    for start in range(text.size):
        for stop in range(start, text.size + 1):
            assert text.read(start, stop) == whole[start:stop]


def test_every_flipped_byte__is_seen_or_harmless(tmp_path):
    """Time, system and extra flags of a block's head are nowhere read; all else is seen."""
    path = write_bgzip(tmp_path / "x.fa.gz", LINES[:2])
    raw = path.read_bytes()
    harmless = {*range(4, 10)}
    begins = BgzipText.walk(path, np.frombuffer(raw, np.uint8)).begins.tolist()
    for place in range(len(raw) - len(END_BLOCK)):
        flipped = bytearray(raw)
        flipped[place] ^= 0x5A
        read = np.frombuffer(bytes(flipped), np.uint8)
        in_block = place - max(begin for begin in begins if begin <= place)
        try:
            assert is_bgzip(read)
            text = BgzipText.walk(path, read)
            assert text.read(0, text.size) == b"".join(LINES[:2])
            assert in_block in harmless
        except (InputError, AssertionError):
            assert in_block not in harmless


def test_block_that_unpacks_to_too_much__is_corrupt(tmp_path):
    """A block holds 64 KiB at most, whatever its bytes stand for."""
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(bytes(1 << 24)) + packer.flush()
    for size in (1 << 24, 1 << 16):
        block = b"\x1f\x8b\x08\x04" + bytes(6) + b"\6\0BC\2\0" + struct.pack("<H", len(packed) + 25)
        block += packed + struct.pack("<II", zlib.crc32(bytes(1 << 24)), size)
        with pytest.raises(InputError, match="file is corrupt"):
            BgzipText.walk(tmp_path / "x.gz", np.frombuffer(block + END_BLOCK, np.uint8)).read(0, 10)


def test_text_above_4_gb(tmp_path):
    """Places beyond 32 bits: one block of 64 KiB, 70,000 times."""
    packer = zlib.compressobj(wbits=-15)
    text = b"ACGT" * (1 << 14)
    packed = packer.compress(text) + packer.flush()
    block = b"\x1f\x8b\x08\x04" + bytes(6) + b"\6\0BC\2\0" + struct.pack("<H", len(packed) + 25)
    block += packed + struct.pack("<II", zlib.crc32(text), len(text))
    path, raw = tmp_path / "x.gz", np.frombuffer(block * 70_000 + END_BLOCK, np.uint8)
    opened = BgzipText.walk(path, raw)
    assert opened.size == 70_000 * len(text) > 1 << 32
    (tmp_path / "x.gzi").write_bytes(format_gzi(opened))
    again = BgzipText(
        tmp_path / "x.gz", np.frombuffer(block * 70_000 + END_BLOCK, np.uint8), tmp_path / "x.gzi"
    )
    place = (1 << 32) + 5
    for each in (opened, again):
        assert each.read(place, place + 70_000) == (b"CGTA" * 17_500)


@pytest.mark.parametrize("place", [18, -8], ids=["compressed text", "checksum"])
def test_corrupt_block__is_an_error_when_it_is_read(path, place):
    begins = np.fromfile(path.with_name(path.name + ".gzi"), dtype="<u8")[1::2].tolist()
    raw = bytearray(path.read_bytes())
    raw[begins[9] + place if place > 0 else begins[10] + place] ^= 0xFF
    path.write_bytes(raw)
    text = open_text(path)
    assert text.read(0, 20) == TEXT[:20]
    with pytest.raises(InputError, match="file is corrupt") as error:
        text.read(0, text.size)
    assert f"block at byte {begins[9]}" in error.value.found
