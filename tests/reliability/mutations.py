"""Ways to break a file, decided by a random generator: bytes, lines, words, values, formats."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import yaml

__all__ = [
    "VALUES",
    "WORDS",
    "mutate_bytes",
    "mutate_lines",
    "mutate_tree",
    "mutate_whole",
    "mutate_words",
]

Mutated = tuple[str, bytes]

#: What may stand where a value of JSON or YAML should, as it would be written there.
VALUES: dict[str, bytes] = {
    "null": b"null",
    "true": b"true",
    "-1": b"-1",
    "0": b"0",
    "0.5": b"0.5",
    "1e308": b"1e308",
    "NaN": b"NaN",
    ".nan": b".nan",
    "infinity": b"Infinity",
    "2**31": b"2147483648",
    "2**63": b"9223372036854775808",
    "1e12 written out": b"1000000000000",
    "400 digits": b"9" * 400,
    "5000 digits": b"9" * 5000,
    "empty text": b'""',
    "text": b'"text"',
    "text of spaces": b'"   "',
    "number as text": b'"3"',
    "list": b'[1, "a", null]',
    "empty list": b"[]",
    "mapping": b'{"a": 1}',
    "empty mapping": b"{}",
    "list of mappings": b'[{"a": [1]}, {"a": [2]}]',
    "3000 lists deep": b"[" * 3000 + b"]" * 3000,
    "3000 mappings deep": b'{"a": ' * 3000 + b"1" + b"}" * 3000,
    "not UTF-8": b'"\xff\xfe\x80"',
    "bare bytes that are not UTF-8": b"\xff\xfe\x80",
    "U+2028": '"a\u2028b"'.encode(),
    "lone surrogate": b'"\\ud800"',
    "NUL": b'"a\\u0000b"',
    "bare NUL": b"\x00",
    "newline": b'"a\\nb"',
    "slash": b'"a/b"',
    "path up": b'"../../x"',
    "absolute path": b'"/dev/null"',
    "folder": b'"."',
    "very long text": b'"' + b"x" * 100_000 + b'"',
    "HTML": b'"<script>alert(1)</script>"',
    "tag that runs code": b'!!python/object/apply:os.mkdir ["PWNED"]',
    "list with a tag that runs code": b'[!!python/object/apply:os.mkdir ["PWNED"]]',
    "expression": b"\"__import__('os').mkdir('PWNED')\"",
    "alias of itself": b"&a [*a]",
    "date": b"2020-01-01",
    "Arabic digits": '"٣"'.encode(),
    "underscores": b"1_000",
    "hexadecimal": b"0x10",
    "colons": b"1:30",
}

#: What may stand where a word or a number of a plain text should.
WORDS: dict[str, bytes] = {
    "nothing": b"",
    "-1": b"-1",
    "0": b"0",
    "-0": b"-0",
    "0.5": b"0.5",
    "1e308": b"1e308",
    "1e999": b"1e999",
    "nan": b"nan",
    "inf": b"-inf",
    "2**31": b"2147483648",
    "2**63 - 1": b"9223372036854775807",
    "2**63": b"9223372036854775808",
    "2**64 + 5": b"18446744073709551621",
    "400 digits": b"9" * 400,
    "5000 digits": b"9" * 5000,
    "text": b"text",
    "quote": b'"',
    "tab": b"\t",
    "newline": b"\n",
    "carriage return": b"\r",
    "not UTF-8": b"\xff\xfe\x80",
    "NUL": b"\x00",
    "U+2028": "a\u2028b".encode(),
    "no-break space": "1\u00a0000".encode(),
    "byte order mark": b"\xef\xbb\xbf",
    "thousands": b"1,000",
    "decimal comma": b"0,5",
    "underscores": b"1_000",
    "hexadecimal": b"0x10",
    "plus sign": b"+5",
    "Arabic digits": "٣".encode(),
    "very long": b"x" * 100_000,
    "brackets": b"[" * 3000,
    "comment": b"#",
    "header": b">chr1",
    "point": b".",
    "star": b"*",
    "path up": b"../../x",
}

#: Files of other formats under this name.
OTHERS: dict[str, bytes] = {
    "empty": b"",
    "one newline": b"\n",
    "only spaces": b"   \n  \n",
    "one NUL": b"\x00",
    "binary": bytes(range(256)) * 20,
    "zeros": b"\x00" * 4096,
    "gzip": gzip.compress(b"chr1\t1\t5\n" * 100, mtime=0),
    "gzip, cut": gzip.compress(b"chr1\t1\t5\n" * 100, mtime=0)[:20],
    "gzip header": b"\x1f\x8b\x08\x00",
    "zip header": b"PK\x03\x04" + b"\x00" * 60,
    "HDF5 header": b"\x89HDF\r\n\x1a\n" + b"\x00" * 100,
    "bigWig header": b"\x26\xfc\x8f\x88" + b"\x04\x00" + b"\x00" * 58,
    "BAM header": gzip.compress(b"BAM\x01", mtime=0),
    "npy header": b"\x93NUMPY\x01\x00",
    "PNG": b"\x89PNG\r\n\x1a\n" + b"\x00" * 40,
    "UTF-16": "chr1\t10\t20\n".encode("utf-16"),
    "JSON": b'{"a": [1, 2, 3]}\n',
    "JSON list": b"[1, 2]\n",
    "JSON number": b"1\n",
    "JSON null": b"null\n",
    "YAML": b"a: 1\nb: [1, 2]\n",
    "HTML": b"<!DOCTYPE html><html><body>404</body></html>\n",
    "FASTA": b">chr1\nACGTACGTACGT\n",
    "BED": b"chr1\t10\t20\nchr1\t30\t40\n",
    "VCF": b"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\nchr1\t100\t.\tA\tC\n",
    "GFF": b"##gff-version 3\nchr1\tx\tgene\t1\t100\t.\t+\t.\tID=a\n",
    "SAM": b"@HD\tVN:1.6\n@SQ\tSN:chr1\tLN:100\n",
    "wig": b"track type=wiggle_0\nfixedStep chrom=chr1 start=1 step=1\n1\n2\n",
    "nothing but brackets": b"[" * 5000,
    "one long line": b"A" * 2_000_000,
}

_PLACE = "HOSTILE_VALUE"


def pick(rng: np.random.Generator, options: dict[str, Any]) -> tuple[str, Any]:
    """One entry of a mapping."""
    names = list(options)
    name = names[int(rng.integers(len(names)))]
    return name, options[name]


def mutate_bytes(data: bytes, rng: np.random.Generator) -> Mutated:
    """Flip, insert, delete, repeat or cut off bytes."""
    if not data:
        return "a byte put in", b"\x00"
    at = int(rng.integers(len(data)))
    other = int(rng.integers(at, min(len(data), at + 1000)))
    way = int(rng.integers(8))
    if way == 0:
        return f"bit of byte {at} flipped", _flip(data, at, 1 << int(rng.integers(8)))
    if way == 1:
        return f"byte {at} flipped", _flip(data, at, 0xFF)
    if way == 2:
        places = rng.integers(0, len(data), 20)
        for place in places:
            data = _flip(data, int(place), int(rng.integers(1, 256)))
        return f"20 bytes flipped, the first is {places[0]}", data
    if way == 3:
        return f"cut at byte {at}", data[:at]
    if way == 4:
        return f"bytes {at} to {other} deleted", data[:at] + data[other:]
    if way == 5:
        return f"bytes {at} to {other} repeated", data[:other] + data[at:other] + data[other:]
    if way == 6:
        return f"random bytes at {at}", data[:at] + rng.bytes(10) + data[at:]
    return f"bytes {at} to {other} zeroed", data[:at] + bytes(other - at) + data[other:]


def mutate_lines(data: bytes, rng: np.random.Generator) -> Mutated:
    """Delete, repeat, swap, join or cut lines, or change what separates their words."""
    lines = data.split(b"\n")
    at, other = (int(place) for place in rng.integers(0, len(lines), 2))
    way = int(rng.integers(11))
    if way == 0:
        return f"line {at + 1} deleted", b"\n".join(lines[:at] + lines[at + 1 :])
    if way == 1:
        return f"line {at + 1} repeated", b"\n".join([*lines[:at], lines[at], *lines[at:]])
    if way == 2:
        lines[at], lines[other] = lines[other], lines[at]
        return f"lines {at + 1} and {other + 1} swapped", b"\n".join(lines)
    if way == 3:
        return f"line {at + 1} joined to the next", b"\n".join(lines[: at + 1]) + b"\n".join(lines[at + 1 :])
    if way == 4:
        lines[at] = lines[at][: len(lines[at]) // 2]
        return f"line {at + 1} cut", b"\n".join(lines)
    if way == 5:
        return f"nothing after line {at}", b"\n".join(lines[:at])
    if way == 6:
        return "spaces for tabs", data.replace(b"\t", b" ")
    if way == 7:
        return "commas for tabs", data.replace(b"\t", b",")
    if way == 8:
        return "carriage returns for newlines", data.replace(b"\n", b"\r")
    if way == 9:
        lines.insert(at, b"")
        return f"blank line before line {at + 1}", b"\n".join(lines)
    lines.insert(at, pick(rng, WORDS)[1])
    return f"foreign line before line {at + 1}", b"\n".join(lines)


def mutate_words(data: bytes, rng: np.random.Generator) -> Mutated:
    """Put something else in the place of one word."""
    spans = list(_words(data))
    if not spans:
        return mutate_bytes(data, rng)
    begin, end = spans[int(rng.integers(len(spans)))]
    name, word = pick(rng, WORDS)
    return f"{name} for {data[begin:end][:20]!r} at byte {begin}", data[:begin] + word + data[end:]


def mutate_whole(data: bytes, rng: np.random.Generator) -> Mutated:
    """Another format under this name."""
    name, other = pick(rng, OTHERS)
    return f"another file: {name}", other


def mutate_tree(data: bytes, rng: np.random.Generator) -> Mutated:
    """Change a value or key of JSON or YAML."""
    as_json = data.lstrip().startswith(b"{")
    tree = json.loads(data) if as_json else yaml.safe_load(data)
    places = [place for place in _places(tree) if place]
    place = places[int(rng.integers(len(places)))]
    label = ".".join(map(str, place))
    parent = tree
    for step in place[:-1]:
        parent = parent[step]
    way = int(rng.integers(10))
    if way == 0:
        del parent[place[-1]]
        return f"{label} deleted", _written(tree, as_json)
    if way == 1 and isinstance(parent, dict):
        parent[_PLACE] = parent.pop(place[-1])
        name, value = pick(rng, {name: v for name, v in VALUES.items() if v.startswith(b'"')})
        return f"key {label} is {name}", _filled(_written(tree, as_json), value)
    if way == 2 and isinstance(parent, list):
        parent.append(parent[place[-1]])
        return f"{label} repeated", _written(tree, as_json)
    parent[place[-1]] = _PLACE
    name, value = pick(rng, VALUES)
    return f"{label} is {name}", _filled(_written(tree, as_json), value)


def _written(tree: Any, as_json: bool) -> bytes:
    text = json.dumps(tree, indent=2) if as_json else yaml.safe_dump(tree, sort_keys=False, width=10_000)
    return text.encode()


def _filled(text: bytes, value: bytes) -> bytes:
    place = _PLACE.encode()
    return text.replace(b'"' + place + b'"', value).replace(place, value)


def _places(tree: Any, place: tuple = ()) -> Iterator[tuple]:
    yield place
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, child in children:
        yield from _places(child, (*place, key))


def _words(data: bytes) -> Iterator[tuple[int, int]]:
    begin = None
    for position, byte in enumerate(data[:200_000]):
        if byte in b" \t\r\n,:=[]{}()":
            if begin is not None:
                yield begin, position
            begin = None
        elif begin is None:
            begin = position
    if begin is not None:
        yield begin, len(data)


def _flip(data: bytes, at: int, mask: int) -> bytes:
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def mutated(data: bytes, rng: np.random.Generator, ways: Sequence[Callable[..., Mutated]]) -> Mutated:
    """`data` broken in one of the ways that fit its format."""
    return ways[int(rng.integers(len(ways)))](data, rng)
