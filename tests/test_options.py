"""The YAML reader on a small dataclass of its own; recipes have their own tests."""

# ruff: noqa: RUF009 -- `option` makes a dataclass field, as `dataclasses.field` does.

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromacc_data.errors import InputError
from chromacc_data.options import describe, from_yaml, option

PATH = Path("lab.yaml")


@dataclass(frozen=True)
class Address:
    """Where something is."""

    street: str = option("name of the street")
    number: int = option("house", 1, minimum=1)

    @classmethod
    def from_text(cls, text: str) -> dict[str, str]:
        street, _, number = text.partition(" ")
        return {"street": street, **({"number": number} if number else {})}


@dataclass(frozen=True)
class Lab:
    """Options of every kind."""

    name: str = option("name", pattern=(r"\S+", "a word"))
    size: int | None = option("people", None, minimum=1, maximum=99)
    rate: float = option("per day", 1.5, above=0)
    share: float | int | tuple[str, ...] = option("fraction, number or names", 0.1)
    open: bool = option("doors", True)
    colour: Literal["red", "green"] = option("paint", "red")
    shade: float = option("of green", 0.5, only_with=("colour", ("green",)))
    codes: dict[str, str] = option("codes by name", {})
    rooms: tuple[Address, ...] = option("rooms", ())
    home: Address | None = option("where", None)
    note: str = ""

    def __post_init__(self) -> None:
        if len(self.rooms) > 2:
            raise InputError("too many rooms", where="rooms[2].street", found=len(self.rooms), expected="2")


def read(text: str) -> Lab:
    return from_yaml(Lab, text, path=PATH, given={"note": "given"})


def test_from_yaml__reads_every_kind():
    lab = read(
        """
        name: NO          # a boolean to YAML 1.1
        size: 1_0
        rate: 1e-3        # a text to YAML 1.1
        share: [x, y]
        open: false
        colour: green
        shade: 1
        codes: {a: 0123, b: "0x1"}
        rooms: [{street: High}, Low 7]
        home: null
        """
    )
    assert lab == Lab(
        name="NO",
        size=10,
        rate=0.001,
        share=("x", "y"),
        open=False,
        colour="green",
        shade=1.0,
        codes={"a": "0123", "b": "0x1"},
        rooms=(Address("High"), Address("Low", 7)),
        note="given",
    )
    assert isinstance(lab.shade, float)


@pytest.mark.parametrize(("text", "value"), [("7", 7), ("0.5", 0.5), ("5e-1", 0.5), ("[a]", ("a",))])
def test_from_yaml__union_takes_the_written_kind(text, value):
    share = read(f"name: x\nshare: {text}").share
    assert (share, type(share)) == (value, type(value))


def test_from_yaml__fresh_mapping_for_each_instance():
    assert read("name: x").codes is not read("name: x").codes


BAD = {
    "unknown key": ("name: x\ncolor: red", "line 2, color: unknown key", "did you mean `colour`?"),
    "unknown key without a near one": ("name: x\nzzzz: 1", "line 2, zzzz: unknown key", "remove it"),
    "nested unknown key": (
        "name: x\nrooms:\n- street: a\n  nmber: 3",
        "line 4, rooms[0].nmber: unknown",
        "`number`?",
    ),
    "missing key": ("size: 3", "line 1: `name` is missing", "name: name"),
    "nested missing key": (
        "name: x\nhome: {number: 3}",
        "line 2, home: `street` is missing",
        "name of the street",
    ),
    "key twice": ("name: x\nsize: 1\nname: y", "line 3, name: key written twice", "first on line 1"),
    "key no text": ("name: x\n? [a]\n: b", "line 2: a key that is no text", "key: value"),
    "integer": (
        "name: x\nsize: 1.5",
        "line 2, size: a value of the wrong kind",
        "an integer, at least 1, at most 99",
    ),
    "quoted integer": ("name: x\nsize: '15'", "line 2, size: a value of the wrong kind", "'15'"),
    "octal": ("name: x\nsize: 010", "size: a value of the wrong kind", "an integer"),
    "null": ("name: x\nrate:", "line 2, rate: a value of the wrong kind", "nothing"),
    "too small": ("name: x\nsize: 0", "size: out of range", "at least 1"),
    "too large": ("name: x\nsize: 100", "size: out of range", "at most 99"),
    "not above": ("name: x\nrate: 0", "rate: out of range", "above 0"),
    "infinite": ("name: x\nrate: 1e999", "rate: out of range", "1e999"),
    "nan": ("name: x\nrate: .nan", "rate: a value of the wrong kind", ".nan"),
    "boolean": ("name: x\nopen: yes", "open: a value of the wrong kind", "true or false"),
    "choice": ("name: x\ncolour: gren", "colour: unknown value", "did you mean `green`?"),
    "pattern": ("name: 'a b'", "name: a value of another form", "a word"),
    "empty text": ("name: ''", "name: a value of another form", "an empty text"),
    "list for a text": ("name: [x]", "name: a value of the wrong kind", "a list"),
    "text for a list": ("name: x\nrooms: a", "rooms: not a list", "write it as a list"),
    "mapping for a union": ("name: x\nshare: {a: 1}", "share: a value of the wrong kind", "a mapping"),
    "list for a mapping": ("name: x\ncodes: [a]", "codes: not a mapping", "a list"),
    "bad value in a mapping": ("name: x\ncodes: {a: [1]}", "codes.a: a value of the wrong kind", "a text"),
    "short form": ("name: x\nhome: High 0", "line 2, home: out of range", "at least 1"),
    "list for a short form": ("name: x\nhome: [High]", "line 2, home: not a mapping", "a list"),
    "out of company": ("name: x\nshade: 1", "line 2, shade: `shade` has no meaning here", "`colour: green`"),
    "custom tag": ("name: !include x", "name: a value of the wrong kind", "a word"),
    "rule between fields": (
        "name: x\nrooms:\n- a\n- b\n- {number: 2, street: c}",
        "line 5, rooms[2].street: too many rooms",
        "3",
    ),
    "root is a list": ("- name", "lab.yaml line 1: not a mapping", "a list"),
    "no YAML": ("name: x\n\tsize: 2", "lab.yaml line 2: not YAML", "indent with blanks"),
    "two documents": ("name: x\n---\nname: y", "lab.yaml line 2: not YAML", "another document"),
    "binary": ("name: \x00", "lab.yaml: not YAML", "unacceptable character"),
    "empty": ("# nothing", "lab.yaml: empty file", "name, size, rate"),
}


@pytest.mark.parametrize(("text", "where", "detail"), BAD.values(), ids=BAD)
def test_from_yaml__bad_input(text, where, detail):
    with pytest.raises(InputError) as caught:
        read(text)
    message = str(caught.value)
    assert where in message
    assert detail in message


LINES = ["name: x", "size: 3", "rate: 2", "- a", "  x: 1", "[", "{}", "home: a", "home: &a [*a]", "*a"]


@given(st.text(max_size=60) | st.lists(st.sampled_from(LINES)).map("\n".join))
def test_from_yaml__any_text_is_read_or_refused(text):
    with suppress(InputError):
        assert isinstance(read(text), Lab)


def test_describe__one_row_for_each_key():
    table = describe(Lab).splitlines()
    assert "| `size` | integer |  | people |" in table
    assert "| `open` | true / false | `true` | doors |" in table
    assert "| `shade` | number | `0.5` | of green (only with `colour: green`) |" in table
    assert "| `rooms` | list of address |  | rooms |" in table
    assert "| `codes` | mapping of names to text |  | codes by name |" in table
    assert table.count("| `street` | text | required | name of the street |") == 1
    assert not any("note" in line for line in table)
