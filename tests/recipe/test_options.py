"""The YAML reader on a small dataclass of its own; recipes have their own tests."""

# ruff: noqa: RUF009 -- `option` makes a dataclass field, as `dataclasses.field` does.

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromacc_data.errors import InputError
from chromacc_data.recipe.option_tables import describe
from chromacc_data.recipe.yaml_options import MAX_DEPTH, MAX_VALUES, from_yaml
from chromacc_data.typed_values import MAX_TEXT, Options, from_json, option, parse_json, read_text

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
    "key no text": ("name: x\n? [a]\n: b", "line 2: a key that is not text", "key: value"),
    "integer": (
        "name: x\nsize: 1.5",
        "line 2, size: a value of the wrong type",
        "an integer, at least 1, at most 99",
    ),
    "quoted integer": ("name: x\nsize: '15'", "line 2, size: a value of the wrong type", "'15'"),
    "octal": ("name: x\nsize: 010", "size: a value of the wrong type", "an integer"),
    "null": ("name: x\nrate:", "line 2, rate: a value of the wrong type", "nothing"),
    "too small": ("name: x\nsize: 0", "size: out of range", "at least 1"),
    "too large": ("name: x\nsize: 100", "size: out of range", "at most 99"),
    "not above": ("name: x\nrate: 0", "rate: out of range", "above 0"),
    "infinite": ("name: x\nrate: 1e999", "rate: out of range", "1e999"),
    "nan": ("name: x\nrate: .nan", "rate: a value of the wrong type", ".nan"),
    "boolean": ("name: x\nopen: yes", "open: a value of the wrong type", "true or false"),
    "choice": ("name: x\ncolour: gren", "colour: unknown value", "did you mean `green`?"),
    "pattern": ("name: 'a b'", "name: a value in the wrong format", "a word"),
    "empty text": ("name: ''", "name: a value in the wrong format", "an empty text"),
    "list for a text": ("name: [x]", "name: a value of the wrong type", "a list"),
    "text for a list": ("name: x\nrooms: a", "rooms: not a list", "write it as a list"),
    "mapping for a union": ("name: x\nshare: {a: 1}", "share: a value of the wrong type", "a mapping"),
    "list for a mapping": ("name: x\ncodes: [a]", "codes: not a mapping", "a list"),
    "bad value in a mapping": ("name: x\ncodes: {a: [1]}", "codes.a: a value of the wrong type", "a text"),
    "short form": ("name: x\nhome: High 0", "line 2, home: out of range", "at least 1"),
    "list for a short form": ("name: x\nhome: [High]", "line 2, home: not a mapping", "a list"),
    "out of company": ("name: x\nshade: 1", "line 2, shade: `shade` has no meaning here", "`colour: green`"),
    "custom tag": ("name: !include x", "lab.yaml line 1: a tag", "!include"),
    "rule between fields": (
        "name: x\nrooms:\n- a\n- b\n- {number: 2, street: c}",
        "line 5, rooms[2].street: too many rooms",
        "3",
    ),
    "root is a list": ("- name", "lab.yaml line 1: not a mapping", "a list"),
    "no YAML": ("name: x\n\tsize: 2", "lab.yaml line 2: not YAML", "indent with spaces"),
    "two documents": ("name: x\n---\nname: y", "lab.yaml line 2: not YAML", "another document"),
    "binary": ("name: \x00", "lab.yaml: not YAML", "unacceptable character"),
    "empty": ("# nothing", "lab.yaml: empty file", "name, size, rate"),
    "tag in a list": (
        "name: x\nshare: [!!python/object/apply:os.system ['touch ran']]",
        "lab.yaml line 2: a tag",
        "!!python/object/apply:os.system",
    ),
    "tag of a mapping": ("!!python/object:object {name: x}", "line 1: a tag", "remove the tag"),
    "tag of a known type": ("name: x\nsize: !!int 3", "line 2: a tag", "!!int"),
    "bare tag": ("name: ! x", "line 1: a tag", "in quotes"),
    "hundreds of digits": ("name: x\nsize: " + "9" * 400, "size: a number with too many digits", "400 char"),
    "thousands of digits": ("name: x\nshare: " + "9" * 9000, "share: a number with too many digits", "9,000"),
    "beyond 64 bits": ("name: x\nshare: 99999999999999999999", "share: out of range", "99999999999999999999"),
    "deep list": ("name: " + "[" * 5000, "lab.yaml line 1: nested too deep", str(MAX_DEPTH)),
    "deep mapping": ("name: " + "{a: " * 5000, "lab.yaml line 1: nested too deep", "close the brackets"),
    "deep block": ("- " * 5000, "lab.yaml line 1: nested too deep", str(MAX_DEPTH)),
    "alias of itself": ("name: &a [*a]", "line 1: an alias inside its own value", "*a"),
    "aliases that multiply": (
        "a: &a [1, 2]\n"
        + "".join(f"{b}: &{b} [{f'*{a}, ' * 20}]\n" for a, b in zip("abcde", "bcdef", strict=True)),
        "too many values",
        f"{MAX_VALUES:,}",
    ),
    "megabytes": ("name: " + "x" * MAX_TEXT, "lab.yaml: too long", f"{MAX_TEXT:,}"),
    "long key": ("? " + "n" * 5000 + "\n: 1", "unknown key", "(5,000 characters)"),
    "half a character": (r'name: "a\ud800"', "name: a text with control characters", "'a"),
    "NUL": (r'name: "a\0b"', "name: a text with control characters", "x00"),
    "NUL in a key": (r"name: x" + "\n" + r'codes: {"a\0": b}', "codes: a key with control characters", "x00"),
}


@pytest.mark.parametrize(("text", "where", "detail"), BAD.values(), ids=BAD)
def test_from_yaml__bad_input(text, where, detail):
    with pytest.raises(InputError) as caught:
        read(text)
    message = str(caught.value)
    assert where in message
    assert detail in message


def test_from_yaml__aliases_within_limits():
    assert from_yaml(Lab, "name: &a x\nshare: [*a, *a]", path=PATH).share == ("x", "x")


JSON = '{"name": "x", "rooms": [{"street": "High", "number": 2}], "share": ["a"], "codes": {"b": "c"}}'


def test_from_json__reads_every_kind_and_skips_what_it_does_not_know():
    lab = from_json(Lab, JSON[:-1] + ', "new": [1]}', where="lab.json")
    assert lab == Lab(name="x", rooms=(Address("High", 2),), share=("a",), codes={"b": "c"})


def test_parse_json__nan_is_nothing():
    assert parse_json("[NaN]", where="x") == [None]


BAD_JSON = {
    "empty": ("", "lab.json: is damaged", "an empty text"),
    "no JSON": ("{name: x}", "lab.json: is damaged", "Expecting property name"),
    "a list": ("[]", "lab.json: is damaged", "a list"),
    "null": ("null", "lab.json: is damaged", "nothing"),
    "missing key": ("{}", "lab.json, name: is damaged", "`name` is missing"),
    "key twice": ('{"name": "x", "name": "y"}', "lab.json: is damaged", "key 'name' twice"),
    "number for a text": ('{"name": 3}', "lab.json, name: is damaged", "a word"),
    "text for a number": ('{"name": "x", "size": "3"}', "lab.json, size: is damaged", "'3'"),
    "true for a number": ('{"name": "x", "size": true}', "lab.json, size: is damaged", "True"),
    "fraction for an integer": ('{"name": "x", "size": 3.0}', "lab.json, size: is damaged", "3.0"),
    "out of range": ('{"name": "x", "size": 1000}', "lab.json, size: is damaged", "at most 99"),
    "NaN": ('{"name": "x", "rate": NaN}', "lab.json, rate: is damaged", "nothing"),
    "infinite": ('{"name": "x", "rate": 1e999}', "lab.json, rate: is damaged", "inf"),
    "Infinity": ('{"name": "x", "rate": Infinity}', "lab.json: is damaged", "Infinity is not a number"),
    "nested": ('{"name": "x", "rooms": [{"street": 1}]}', "lab.json, rooms[0].street: is damaged", "1"),
    "mapping for a list": ('{"name": "x", "rooms": {}}', "lab.json, rooms: is damaged", "a mapping"),
    "list for a mapping": ('{"name": "x", "codes": []}', "lab.json, codes: is damaged", "a list"),
    "choice": ('{"name": "x", "colour": ["red"]}', "lab.json, colour: is damaged", "red or green"),
    "deep": ("[" * 100_000, "lab.json: is damaged", "nested too deep"),
    "digits": ("9" * 10_000, "lab.json: is damaged", "10,000 digits"),
    "300 digits": ('{"name": "x", "share": %s}' % ("9" * 90), "lab.json, share: is damaged", "bits"),
    "half a character": (r'{"name": "\ud800"}', "lab.json, name: is damaged", "ud800"),
    "NUL": (r'{"name": "\u0000"}', "lab.json, name: is damaged", "x00"),
    "rule between fields": (
        '{"name": "x", "rooms": [{"street": "a"}, {"street": "b"}, {"street": "c"}]}',
        "lab.json, rooms[2].street: is damaged",
        "3",
    ),
}


@pytest.mark.parametrize(("text", "where", "detail"), BAD_JSON.values(), ids=BAD_JSON)
def test_from_json__bad_input(text, where, detail):
    with pytest.raises(InputError) as caught:
        from_json(Lab, text, where="lab.json", remedy="make it again")
    message = str(caught.value)
    assert message.startswith(where)
    assert detail in message
    assert message.endswith("remedy:   make it again")


@dataclass(frozen=True)
class Checked(Options):
    """Options that are checked when they are made in Python, too."""

    size: int = option("people", 1, minimum=1, maximum=99)
    rate: float | None = option("per day", None)
    names: tuple[str, ...] = option("people", ())
    open: bool = option("doors", True)
    home: Address | None = option("where", None)


def test_options__numpy_and_lists_become_python():
    made = Checked(size=np.int64(3), rate=np.float32(0.5), names=["a"], open=np.True_, home=Address("High"))
    assert made == Checked(size=3, rate=0.5, names=("a",), open=True, home=Address("High"))
    assert [type(value) for value in (made.size, made.rate, made.open)] == [int, float, bool]


@pytest.mark.parametrize(
    "values",
    [
        {"size": "3"}, {"size": 3.0}, {"size": True}, {"size": None}, {"size": 0}, {"size": 10**30},
        {"rate": "x"}, {"rate": float("nan")}, {"names": "ab"}, {"names": [1]}, {"open": 1},
        {"home": {"street": "High"}}, {"names": ["\0"]},
    ],
)  # fmt: skip
def test_options__bad_values(values):
    with pytest.raises(InputError, match=next(iter(values))):
        Checked(**values)


def test_read_text__bad_files(tmp_path: Path):
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    for path, detail in (
        (tmp_path / "latin", "0xe9"),
        (tmp_path, "Is a directory"),
        (tmp_path / "none", "No such file"),
    ):
        with pytest.raises(InputError, match=detail):
            read_text(path)
    (tmp_path / "long").write_text("x" * 11)
    with pytest.raises(InputError, match="too long"):
        read_text(tmp_path / "long", limit=10)


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
