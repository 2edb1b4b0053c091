"""Random access to bgzip, against the text that was compressed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyfaidx
import pytest
from Bio import bgzf

from chromacc_data.errors import InputError
from chromacc_data.sequences.bgzip import BgzipText, is_bgzip, is_whole

LINES = [b">chr1\n"] + [bytes([letter]) * 9 + b"\n" for letter in b"ACGTNacgtn" * 5]
TEXT = b"".join(LINES)


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
    with pytest.raises(InputError, match="as it stands") as error:
        open_text(path)
    assert error.value.where == gzi
    assert "delete x.fa.gz.gzi" in error.value.remedy


def test_gzi_of_another_file__is_found_at_the_latest_when_it_is_read(path):
    gzi = path.with_name(path.name + ".gzi")
    entries = np.fromfile(gzi, dtype="<u8")
    entries[2 * 9] += 1  # where block 9 begins in the text: not among the blocks that are looked at first
    gzi.write_bytes(entries.tobytes())
    text = open_text(path)
    with pytest.raises(InputError, match="as it stands") as error:
        text.read(0, text.size)
    assert error.value.where == gzi


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
