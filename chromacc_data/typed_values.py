"""Values of dataclasses, checked by type hint and limit: in Python, and from the JSON that programs write.

:func:`option` makes a field with its meaning and its limits; :class:`Options` checks them however an instance
is made, :func:`from_json` reads one. Keys of JSON that this version does not know are skipped; YAML, which
people write, has its own reader in :mod:`chromacc_data.recipe.yaml_options`. Rules between fields stand in
the dataclass's ``__post_init__``: an InputError whose `where` is the key.
"""

from __future__ import annotations

import dataclasses
import json
import math
import numbers
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from chromacc_data.errors import InputError

__all__ = [
    "MAX_DIGITS",
    "MAX_JSON",
    "MAX_SHOWN",
    "MAX_TEXT",
    "UNPRINTABLE",
    "Options",
    "expected_in_words",
    "from_json",
    "hints_of",
    "is_in_range",
    "join_key",
    "option",
    "parse_json",
    "read_text",
    "shorten",
    "type_name",
    "typed",
]

T = TypeVar("T")

#: Characters of a text that is read, and of JSON.
MAX_TEXT, MAX_JSON = 2 << 20, 1 << 28

#: Longest number that is looked at, and most characters of a text that an error shows.
MAX_DIGITS, MAX_SHOWN = 100, 200
_INT64 = 2**63
#: Control characters but tab and line ends, and halves of characters, which no file can be named by.
UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_TYPE_NAMES = {str: "text", int: "integer", float: "number", bool: "true / false"}


def option(
    doc: str,
    default: Any = MISSING,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    pattern: tuple[str, str] | None = None,
    only_with: tuple[str, tuple] | None = None,
) -> Any:
    """Field of an options dataclass: its meaning, its default and its limits.

    Parameters
    ----------
    doc
        Meaning, one sentence; the only place where it is written.
    default
        Default value; a class or a dict gives each instance a fresh one. A field without default is required.
    minimum, maximum, above
        Limits of a number: at least, at most, strictly more than.
    pattern
        Regular expression for a text (or each text of a mapping), and what it stands for in words.
    only_with
        Another field and the values of it under which this one may be given.
    """
    limits = {
        "minimum": minimum,
        "maximum": maximum,
        "above": above,
        "pattern": pattern,
        "only_with": only_with,
    }
    metadata = {"doc": doc, **{name: limit for name, limit in limits.items() if limit is not None}}
    if isinstance(default, type):
        return dataclasses.field(default_factory=default, metadata=metadata)
    if isinstance(default, dict):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


class Options:
    """Base of dataclasses whose values are checked by hint and limit however the instance is made.

    A subclass with a ``__post_init__`` of its own calls this one first. NumPy numbers become Python's, lists
    become tuples.

    Examples
    --------
    >>> @dataclasses.dataclass(frozen=True)
    ... class Cut(Options):
    ...     width: int = option("bp", 10, minimum=1)
    >>> Cut(width="3")
    Traceback (most recent call last):
    ...
    chromacc_data.errors.InputError: width: a value of the wrong type
      found:    '3'
      expected: an integer, at least 1
    """

    def __post_init__(self) -> None:
        hints = hints_of(type(self))
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            if field.metadata:
                value = getattr(self, field.name)
                found = _typed(value, hints[field.name], field.metadata, field.name, build=False)
                if found is not value:
                    object.__setattr__(self, field.name, found)


def from_json(cls: type[T], text: str, *, where: Path | str, remedy: str | None = None) -> T:
    """Instance of an options dataclass from JSON; keys that it does not know are skipped.

    Parameters
    ----------
    cls
        Dataclass whose fields were made by :func:`option`.
    text
        The JSON. A number that is NaN counts as null.
    where
        File, or store and attribute, for the errors.
    remedy
        What to do when it is damaged.

    Raises
    ------
    InputError
        At the first thing that is wrong.

    Examples
    --------
    >>> @dataclasses.dataclass(frozen=True)
    ... class Cut:
    ...     width: int = option("bp", 10, minimum=1)
    >>> from_json(Cut, '{"width": "3", "new": 1}', where="cut.json")
    Traceback (most recent call last):
    ...
    chromacc_data.errors.InputError: cut.json, width: is damaged
      found:    '3'
      expected: an integer, at least 1
    """
    return typed(parse_json(text, where=where, remedy=remedy), cls, where=where, remedy=remedy)


def typed(value: Any, hint: Any, *, where: Path | str, remedy: str | None = None) -> Any:
    """A value that :func:`parse_json` gave, as the type that it must have: a dataclass, or `dict[str, int]`.

    Raises
    ------
    InputError
        If it, or something in it, has another type or is out of range.
    """
    try:
        return _typed(value, hint, {}, "", build=True)
    except InputError as error:
        place = ", ".join(part for part in (str(where), error.where) if part)
        raise InputError(
            "is damaged", where=place, found=error.found or error.what, expected=error.expected, remedy=remedy
        ) from None


def parse_json(text: str, *, where: Path | str, remedy: str | None = None) -> Any:
    """The values of a JSON text, NaN as None.

    Raises
    ------
    InputError
        If it is not JSON, has a key twice, or is too long or too deep.
    """
    try:
        if len(text) > MAX_JSON:
            raise ValueError(f"{len(text):,} characters, more than {MAX_JSON:,}")
        return json.loads(
            text, object_pairs_hook=_unique, parse_int=_parse_int, parse_constant=_parse_constant
        )
    except (ValueError, TypeError, RecursionError) as error:
        found = "nested too deep" if isinstance(error, RecursionError) else error
        raise InputError(
            "is damaged",
            where=where,
            found=shorten(str(found)) if text else "an empty text",
            expected="JSON",
            remedy=remedy,
        ) from error


def read_text(
    path: Path, *, expected: str = "a text in UTF-8", limit: int = MAX_TEXT, remedy: str | None = None
) -> str:
    """The text of a file of limited size, in UTF-8.

    Raises
    ------
    InputError
        If it cannot be read, is not UTF-8, or has more than `limit` characters.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(limit + 1)
    except UnicodeDecodeError as error:
        raise InputError(
            "is not UTF-8",
            where=path,
            found=f"byte 0x{error.object[error.start]:02x}: {error.reason}",
            expected=expected,
            remedy=remedy or "unpack it if it is compressed, and save it as UTF-8",
        ) from error
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or error
        raise InputError(
            "cannot be read", where=path, found=found, expected=expected, remedy=remedy
        ) from error
    if len(text) > limit:
        raise InputError(
            "too long",
            where=path,
            found=f"more than {limit:,} characters",
            expected=expected,
            remedy=remedy,
        )
    return text


@lru_cache(maxsize=256)
def hints_of(cls: type) -> dict[str, Any]:
    """Type hints of the fields of a dataclass."""
    return get_type_hints(cls)


def is_in_range(value: int | float, limits: Mapping[str, Any]) -> bool:
    """Whether a number is within the limits of its field."""
    whole = isinstance(value, int)
    return (
        (whole or math.isfinite(value))
        and value >= limits.get("minimum", -_INT64 if whole else -math.inf)
        and value <= limits.get("maximum", _INT64 - 1 if whole else math.inf)
        and value > limits.get("above", -math.inf)
    )


def expected_in_words(hint: Any, limits: Mapping[str, Any]) -> str:
    """Type and limits in words, for errors."""
    if hint is str and "pattern" in limits:
        return limits["pattern"][1]
    words = {int: "an integer", float: "a number", str: "a text"}.get(hint) or type_name(hint).replace(
        " / ", " or "
    )
    names = {"minimum": "at least", "maximum": "at most", "above": "above"}
    return ", ".join([words, *(f"{names[n]} {v:g}" for n, v in limits.items() if n in names)])


def type_name(hint: Any) -> str:
    """A type hint in words, for tables and errors."""
    origin, members = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " / ".join(type_name(m) for m in members if m is not types.NoneType)
    if origin is Literal:
        return " / ".join(members)
    if origin is tuple:
        return f"list of {type_name(members[0])}"
    if origin is dict:
        return f"mapping of names to {type_name(members[1])}"
    return _TYPE_NAMES.get(hint) or hint.__name__.lower()


def join_key(prefix: str, key: str) -> str:
    """A dotted key: `key` below `prefix`."""
    return f"{prefix}.{key}" if prefix and key and not key.startswith("[") else prefix + key


def shorten(text: str) -> str:
    """A text as an error shows it: a long one cut, with its length."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]} ... ({len(text):,} characters)"


def _typed(value: Any, hint: Any, limits: Mapping[str, Any], key: str, *, build: bool) -> Any:
    """`value` as its hint says; where `build`, mappings become dataclasses."""
    if get_origin(hint) in (Union, types.UnionType):
        members = [m for m in get_args(hint) if m is not types.NoneType]
        if value is None and len(members) < len(get_args(hint)):
            return None
        if len(members) == 1:
            return _typed(value, members[0], limits, key, build=build)
        for member in members:
            try:
                return _typed(value, member, limits, key, build=build)
            except InputError:
                continue
        _refuse(value, hint, limits, key)
    if dataclasses.is_dataclass(hint):
        if build:
            return _build(value, hint, key)
        return value if isinstance(value, hint) else _refuse(value, hint, limits, key)
    if get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)):
            _refuse(value, hint, limits, key)
        inner = get_args(hint)[0]
        return tuple(_typed(one, inner, limits, f"{key}[{i}]", build=build) for i, one in enumerate(value))
    if get_origin(hint) is dict:
        if not isinstance(value, Mapping):
            _refuse(value, hint, limits, key)
        inner = get_args(hint)[1]
        return {
            _typed(name, str, {}, key, build=build): _typed(one, inner, limits, place, build=build)
            for name, one in value.items()
            for place in [join_key(key, str(name))]
        }
    return _typed_scalar(value, hint, limits, key)


def _build(value: Any, cls: type[T], key: str) -> T:
    if not isinstance(value, Mapping):
        _refuse(value, cls, {}, key)
    hints, values = hints_of(cls), {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        if not field.metadata:
            continue
        place = join_key(key, field.name)
        if field.name in value:
            values[field.name] = _typed(
                value[field.name], hints[field.name], field.metadata, place, build=True
            )
        elif field.default is field.default_factory is MISSING:
            raise InputError(f"`{field.name}` is missing", where=place, expected=field.metadata["doc"])
    try:
        return cls(**values)
    except InputError as error:
        place = join_key(key, str(error.where or ""))
        raise InputError(error.what, where=place, found=error.found, expected=error.expected) from None


def _typed_scalar(value: Any, hint: Any, limits: Mapping[str, Any], key: str) -> Any:
    if get_origin(hint) is Literal:
        return value if value in get_args(hint) else _refuse(value, hint, limits, key)
    if hint is bool:
        return bool(value) if type(value).__name__ in ("bool", "bool_") else _refuse(value, hint, limits, key)
    if hint is str:
        if not isinstance(value, str) or UNPRINTABLE.search(value):
            _refuse(value, hint, limits, key)
        if "pattern" in limits and not re.fullmatch(limits["pattern"][0], value):
            _refuse(value, hint, limits, key, "a value in the wrong format")
        return str(value)
    kinds = {int: numbers.Integral, float: numbers.Real}
    if hint not in kinds or isinstance(value, bool) or not isinstance(value, kinds[hint]):
        _refuse(value, hint, limits, key)
    # An int where a float may be stays one: it is written as it was given.
    number = int(value) if isinstance(value, numbers.Integral) else float(value)
    return number if is_in_range(number, limits) else _refuse(value, hint, limits, key, "out of range")


def _refuse(
    value: Any, hint: Any, limits: Mapping[str, Any], key: str, what: str = "a value of the wrong type"
) -> NoReturn:
    kinds = {Mapping: "a mapping", list: "a list", tuple: "a list", types.NoneType: "nothing"}
    found = next((words for kind, words in kinds.items() if isinstance(value, kind)), None)
    if found is None:
        huge = isinstance(value, int) and abs(value) >= _INT64
        found = f"a number of {value.bit_length()} bits" if huge else shorten(repr(value))
    raise InputError(what, where=key, found=found, expected=expected_in_words(hint, limits))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(n for n in names if names.count(n) > 1)!r} twice")
    return values


def _parse_int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text):,} digits")
    return int(text)


def _parse_constant(name: str) -> None:
    if name != "NaN":
        raise ValueError(f"{name} is not a number")
