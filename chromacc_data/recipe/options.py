"""Frozen dataclasses from YAML and JSON: the one way in for texts that a user or a download brings.

The YAML is read as nodes, not as Python objects: nodes know their line, show a key that is written twice, and
leave the type of a value to the type hint of its field: the cell type ``NO`` and the MD5 ``0123`` stay text.
No tag is followed, and size, nesting and aliases are limited. Keys are strict; every error names the file,
the line and the dotted key. JSON, which programs write, may have keys that this version does not know.
Rules between fields stand in the dataclass's ``__post_init__``: an InputError whose `where` is the key.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import numbers
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from chromacc_data.errors import InputError

__all__ = [
    "Options",
    "compose_yaml",
    "describe",
    "from_json",
    "from_yaml",
    "option",
    "parse_json",
    "read_text",
    "typed",
]

T = TypeVar("T")

#: Limits of a text that is read: characters of YAML and of JSON, and of YAML the depth of nesting and the
#: values, with what aliases stand for. A recipe of a thousand cell types has some ten thousand values.
MAX_YAML, MAX_JSON = 2 << 20, 1 << 28
MAX_DEPTH, MAX_VALUES = 40, 50_000

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_NUMBER = re.compile(r"[-+]?([0-9][0-9_]*\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
#: Longest number and longest key that are looked at, and most characters of a text that an error shows.
_MAX_DIGITS, _MAX_KEY, _MAX_SHOWN = 100, 100, 200
_INT64 = 2**63
#: Control characters but tab and line ends, and halves of characters, which no file can be named by.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_YAML_TAG = "tag:yaml.org,2002:"
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


def from_yaml(cls: type[T], text: str, *, path: Path, given: Mapping[str, Any] | None = None) -> T:
    """Instance of an options dataclass from YAML.

    Parameters
    ----------
    cls
        Dataclass whose fields were made by :func:`option`; others are not keys of the YAML.
    text
        The YAML.
    path
        File it came from, for the errors.
    given
        Values of the fields that are not keys.

    Raises
    ------
    InputError
        At the first thing that is wrong.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Cut:
    ...     width: int = option("bp", 10, minimum=1)
    >>> from_yaml(Cut, "width: 0", path=Path("cut.yaml"))
    Traceback (most recent call last):
    ...
    chromacc_data.errors.InputError: cut.yaml line 1, width: out of range
      found:    0
      expected: an integer, at least 1
    """
    node = compose_yaml(text, where=path)
    if node is None:
        raise InputError("empty file", where=path, expected=f"keys such as {', '.join(_keys(cls)[:3])}")
    return _read_dataclass(_At(path, "", node), cls, given or {})


def compose_yaml(text: str, *, where: Path | str) -> yaml.Node | None:
    """The nodes of a YAML text, None for an empty one; nothing in it is run or looked up.

    Raises
    ------
    InputError
        If it is not YAML, has a tag (``!name``), or is longer, deeper or larger than :data:`MAX_YAML`,
        :data:`MAX_DEPTH` and :data:`MAX_VALUES`, aliases counted as what they stand for.
    """
    if len(text) > MAX_YAML:
        raise InputError(
            "too long", where=where, found=f"{len(text):,} characters", expected=f"at most {MAX_YAML:,}"
        )
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        refused = error if isinstance(error, _RefusedError) else None
        raise InputError(
            refused.what if refused else "not YAML",
            where=f"{where} line {mark.line + 1}" if mark and isinstance(where, Path) else where,
            found=_short(getattr(error, "problem", None) or str(error).splitlines()[0]),
            expected=refused.expected if refused else None,
            remedy=refused.remedy
            if refused
            else "indent with spaces, write `key: value`, and put text with special characters in quotes",
        ) from error


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
    >>> @dataclass(frozen=True)
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
        If it, or something in it, is of another type or out of range.
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
            found=_short(str(found)) if text else "an empty text",
            expected="JSON",
            remedy=remedy,
        ) from error


def read_text(
    path: Path, *, expected: str = "a text in UTF-8", limit: int = MAX_YAML, remedy: str | None = None
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


class Options:
    """Base of dataclasses whose values are checked by hint and limit however the instance is made.

    A subclass with a ``__post_init__`` of its own calls this one first. NumPy numbers become Python's, lists
    become tuples.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Cut(Options):
    ...     width: int = option("bp", 10, minimum=1)
    >>> Cut(width="3")
    Traceback (most recent call last):
    ...
    chromacc_data.errors.InputError: width: a value of the wrong kind
      found:    '3'
      expected: an integer, at least 1
    """

    def __post_init__(self) -> None:
        hints = _hints(type(self))
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            if field.metadata:
                value = getattr(self, field.name)
                found = _typed(value, hints[field.name], field.metadata, field.name, build=False)
                if found is not value:
                    object.__setattr__(self, field.name, found)


def describe(cls: type) -> str:
    """Markdown table of all keys of an options dataclass: key, type, default, meaning.

    Dataclasses that have a short form in text (``from_text``) get a table of their own below.
    """
    short_forms: dict[str, type] = {}
    tables = [_table(_rows(cls, "", short_forms))]
    for name, short in short_forms.items():
        tables.append(f"A *{name}* is a text, or a mapping of\n\n" + _table(_rows(short, "", {})))
    return "\n\n".join(tables) + "\n"


@dataclass(frozen=True)
class _At:
    """A YAML node, the dotted key that leads to it and the file it is in."""

    path: Path
    key: str
    node: yaml.Node

    def child(self, key: str | int, node: yaml.Node) -> _At:
        return _At(self.path, _join(self.key, f"[{key}]" if isinstance(key, int) else key), node)

    def error(
        self, what: str, *, found: object = None, expected: object = None, remedy: str | None = None
    ) -> InputError:
        key = f", {_short(self.key)}" if self.key else ""
        found = _short(found) if isinstance(found, str) else found
        place = f"{self.path} line {self.node.start_mark.line + 1}{key}"
        return InputError(what, where=place, found=found, expected=expected, remedy=remedy)

    @property
    def is_null(self) -> bool:
        return self.node.tag == _YAML_TAG + "null"

    @property
    def found(self) -> str:
        kinds = {yaml.MappingNode: "a mapping", yaml.SequenceNode: "a list"}
        return kinds.get(type(self.node)) or ("nothing" if self.is_null else self.node.value)


def _read(at: _At, hint: Any, limits: Mapping[str, Any]) -> Any:
    """Value of a node by the type hint of its field."""
    if get_origin(hint) in (Union, types.UnionType):
        members = [m for m in get_args(hint) if m is not types.NoneType]
        if at.is_null and len(members) < len(get_args(hint)):
            return None
        lists = isinstance(at.node, yaml.SequenceNode)
        # Of several members, a list takes the tuple, 70000 the int and 0.1 the float.
        fitting = [m for m in members if (get_origin(m) is tuple) == lists] or members
        if int in fitting and float in fitting:
            fitting.remove(float if _INTEGER.fullmatch(at.found[:_MAX_DIGITS]) else int)
        if len(fitting) > 1:
            raise at.error("a value of the wrong kind", found=at.found, expected=_type_name(hint))
        hint = fitting[0]
    if dataclasses.is_dataclass(hint):
        return _read_dataclass(at, hint, {})
    if get_origin(hint) is tuple:
        if not isinstance(at.node, yaml.SequenceNode):
            remedy = None if at.is_null else "write it as a list, `[...]` or one `- ...` a line"
            raise at.error("not a list", found=at.found, expected=_type_name(hint), remedy=remedy)
        return tuple(_read(at.child(i, n), get_args(hint)[0], limits) for i, n in enumerate(at.node.value))
    if get_origin(hint) is dict:
        return {key: _read(value, get_args(hint)[1], limits) for key, (_, value) in _entries(at).items()}
    return _read_scalar(at, hint, limits)


def _read_dataclass(at: _At, cls: type[T], given: Mapping[str, Any]) -> T:
    if hasattr(cls, "from_text") and isinstance(at.node, yaml.ScalarNode) and not at.is_null:
        values = cls.from_text(_read_scalar(at, str, {}))
        written = dict.fromkeys(values, (at, at))
        entries = {
            name: dataclasses.replace(at, node=_text_node(text, at.node)) for name, text in values.items()
        }
    elif hasattr(cls, "from_list") and isinstance(at.node, yaml.SequenceNode):
        error = cls.from_list([node.value for node in at.node.value if isinstance(node, yaml.ScalarNode)])
        raise at.error(error.what, found=error.found, expected=error.expected, remedy=error.remedy)
    else:
        written = _entries(at)
        entries = {name: value for name, (_, value) in written.items()}
    hints, fields = _hints(cls), {f.name: f for f in dataclasses.fields(cls) if f.metadata}
    for name, (key, _) in written.items():
        if name not in fields:
            near = difflib.get_close_matches(name[:_MAX_KEY], fields, n=1, cutoff=0.5)
            raise key.error(
                "unknown key",
                found=name,
                expected=", ".join(fields),
                remedy=f"did you mean `{near[0]}`?" if near else "remove it",
            )
    missing = [n for n, f in fields.items() if n not in entries and f.default is f.default_factory is MISSING]
    if missing:
        name = missing[0]
        raise at.error(f"`{name}` is missing", expected=f"{name}: {fields[name].metadata['doc']}")
    values = {name: _read(value, hints[name], fields[name].metadata) for name, value in entries.items()}
    for name, value in values.items():
        if value is not None:
            _check_company(entries[name], fields[name], values, fields)
    try:
        return cls(**values, **given)
    except InputError as error:
        place = _find(at, str(error.where or ""))
        raise place.error(
            error.what, found=error.found, expected=error.expected, remedy=error.remedy
        ) from None


def _read_scalar(at: _At, hint: Any, limits: Mapping[str, Any]) -> Any:
    plain = isinstance(at.node, yaml.ScalarNode) and at.node.style is None
    text = at.node.value
    expected = _expected(hint, limits)
    if not isinstance(at.node, yaml.ScalarNode) or at.is_null or not at.node.tag.startswith(_YAML_TAG):
        raise at.error("a value of the wrong kind", found=at.found, expected=expected)
    if _UNPRINTABLE.search(text):
        raise at.error("a text with control characters", found=repr(text[:_MAX_SHOWN]), expected=expected)
    if get_origin(hint) is Literal:
        if text not in get_args(hint):
            near = difflib.get_close_matches(text[:_MAX_KEY], get_args(hint), n=1)
            remedy = f"did you mean `{near[0]}`?" if near else None
            raise at.error("unknown value", found=text, expected=expected, remedy=remedy)
        return text
    if hint is str:
        if "pattern" in limits and not re.fullmatch(limits["pattern"][0], text):
            raise at.error("a value of another form", found=text or "an empty text", expected=expected)
        return text
    if hint is bool:
        if not plain or text not in ("true", "false"):
            raise at.error("a value of the wrong kind", found=text, expected=expected)
        return text == "true"
    return _read_number(at, hint, limits, plain=plain)


def _read_number(at: _At, hint: type, limits: Mapping[str, Any], *, plain: bool) -> int | float:
    text, expected = at.node.value, _expected(hint, limits)
    if len(text) > _MAX_DIGITS:
        raise at.error("not a number of this size", found=f"{len(text):,} characters", expected=expected)
    if not plain or not (_INTEGER if hint is int else _NUMBER).fullmatch(text):
        raise at.error("a value of the wrong kind", found=text if plain else repr(text), expected=expected)
    value = hint(text)
    if not _in_range(value, limits):
        raise at.error("out of range", found=text, expected=expected)
    return value


def _in_range(value: int | float, limits: Mapping[str, Any]) -> bool:
    whole = isinstance(value, int)
    return (
        (whole or math.isfinite(value))
        and value >= limits.get("minimum", -_INT64 if whole else -math.inf)
        and value <= limits.get("maximum", _INT64 - 1 if whole else math.inf)
        and value > limits.get("above", -math.inf)
    )


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
            for place in [_join(key, str(name))]
        }
    return _typed_scalar(value, hint, limits, key)


def _build(value: Any, cls: type[T], key: str) -> T:
    if not isinstance(value, Mapping):
        _refuse(value, cls, {}, key)
    hints, values = _hints(cls), {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        if not field.metadata:
            continue
        place = _join(key, field.name)
        if field.name in value:
            values[field.name] = _typed(
                value[field.name], hints[field.name], field.metadata, place, build=True
            )
        elif field.default is field.default_factory is MISSING:
            raise InputError(f"`{field.name}` is missing", where=place, expected=field.metadata["doc"])
    try:
        return cls(**values)
    except InputError as error:
        place = _join(key, str(error.where or ""))
        raise InputError(error.what, where=place, found=error.found, expected=error.expected) from None


def _typed_scalar(value: Any, hint: Any, limits: Mapping[str, Any], key: str) -> Any:
    if get_origin(hint) is Literal:
        return value if value in get_args(hint) else _refuse(value, hint, limits, key)
    if hint is bool:
        return bool(value) if type(value).__name__ in ("bool", "bool_") else _refuse(value, hint, limits, key)
    if hint is str:
        if not isinstance(value, str) or _UNPRINTABLE.search(value):
            _refuse(value, hint, limits, key)
        if "pattern" in limits and not re.fullmatch(limits["pattern"][0], value):
            _refuse(value, hint, limits, key, "a value of another form")
        return str(value)
    kinds = {int: numbers.Integral, float: numbers.Real}
    if hint not in kinds or isinstance(value, bool) or not isinstance(value, kinds[hint]):
        _refuse(value, hint, limits, key)
    # An int where a float may be stays one: it is written as it was given.
    number = int(value) if isinstance(value, numbers.Integral) else float(value)
    return number if _in_range(number, limits) else _refuse(value, hint, limits, key, "out of range")


def _refuse(
    value: Any, hint: Any, limits: Mapping[str, Any], key: str, what: str = "a value of the wrong kind"
) -> NoReturn:
    kinds = {Mapping: "a mapping", list: "a list", tuple: "a list", types.NoneType: "nothing"}
    found = next((words for kind, words in kinds.items() if isinstance(value, kind)), None)
    if found is None:
        huge = isinstance(value, int) and abs(value) >= _INT64
        found = f"a number of {value.bit_length()} bits" if huge else _short(repr(value))
    raise InputError(what, where=key, found=found, expected=_expected(hint, limits))


@lru_cache(maxsize=256)
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(n for n in names if names.count(n) > 1)!r} twice")
    return values


def _parse_int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a number of {len(text):,} digits")
    return int(text)


def _parse_constant(name: str) -> None:
    if name != "NaN":
        raise ValueError(f"{name} is no number")


def _short(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} ... ({len(text):,} characters)"


class _RefusedError(yaml.MarkedYAMLError):
    """YAML that is not read, though it may be valid."""

    def __init__(self, what: str, mark: yaml.Mark, *, found: str, expected: str, remedy: str) -> None:
        super().__init__(problem=found, problem_mark=mark)
        self.what, self.expected, self.remedy = what, expected, remedy


class _Loader(yaml.SafeLoader):
    """Composes nodes, and stops at the first that is tagged, too deep or one too many."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._n_values = 0
        #: Values that an anchored node stands for; none while it is still open.
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        """The next node."""
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self._sizes:
                raise _RefusedError(
                    "an alias inside what it stands for",
                    event.start_mark,
                    found=f"*{event.anchor}",
                    expected="aliases of what is written above",
                    remedy="write the value in full",
                )
            self._count(self._sizes[id(node)], event)
            return node
        if event.tag is not None:
            raise _RefusedError(
                "a tag",
                event.start_mark,
                found=event.tag.replace(_YAML_TAG, "!!"),
                expected="plain YAML: the type of each value follows from its key",
                remedy="remove the tag, or put the text in quotes if it begins with `!`",
            )
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _RefusedError(
                "nested too deep",
                event.start_mark,
                found=f"more than {MAX_DEPTH} levels",
                expected="a few levels",
                remedy="close the brackets that are open, or correct the indentation",
            )
        before = self._n_values
        self._count(1, event)
        node = super().compose_node(parent, index)
        self._sizes[id(node)] = self._n_values - before
        self._depth -= 1
        return node

    def _count(self, n: int, event: yaml.Event) -> None:
        self._n_values += n
        if self._n_values > MAX_VALUES:
            raise _RefusedError(
                "too many values",
                event.start_mark,
                found=f"more than {MAX_VALUES:,}, aliases counted as what they stand for",
                expected="a file of keys and values",
                remedy="check that this is the right file",
            )


def _entries(at: _At) -> dict[str, tuple[_At, _At]]:
    """Keys of a mapping node: name to (place of the key, its value); a key written twice is an error."""
    if not isinstance(at.node, yaml.MappingNode):
        raise at.error("not a mapping", found=at.found, expected="`key: value` lines")
    entries: dict[str, tuple[_At, _At]] = {}
    for key_node, value_node in at.node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise _At(at.path, at.key, key_node).error("a key that is no text", expected="`key: value` lines")
        name = key_node.value
        key = at.child(name, key_node)
        if _UNPRINTABLE.search(name):
            raise at.error("a key with control characters", found=repr(name[:_MAX_SHOWN]))
        if name in entries:
            first = entries[name][0].node.start_mark.line + 1
            raise key.error(
                "key written twice", found=f"first on line {first}", remedy="remove one of the two"
            )
        entries[name] = key, at.child(name, value_node)
    return entries


def _check_company(at: _At, field: dataclasses.Field, values: Mapping[str, Any], fields: Mapping) -> None:
    """Raise where a key was given beside a value of another key that makes it meaningless."""
    if "only_with" not in field.metadata:
        return
    other, allowed = field.metadata["only_with"]
    value = values.get(other, fields[other].default)
    if value in allowed:
        return
    if allowed == (None,):
        raise at.error(
            f"`{field.name}` does not go with `{other}`", remedy=f"remove `{field.name}` or `{other}`"
        )
    choices = " or ".join(f"`{other}: {v}`" for v in allowed)
    raise at.error(
        f"`{field.name}` has no meaning here",
        found=f"`{other}: {value}`" if value is not None else f"no `{other}`",
        expected=choices,
        remedy=f"remove `{field.name}`, or set {choices}",
    )


def _find(at: _At, key: str) -> _At:
    """Place of a key such as ``samples[2].cell_type`` below a node, or of the part of it that is written."""
    place = at
    for name, index in re.findall(r"(\w+)|\[(\d+)\]", key):
        if name and isinstance(place.node, yaml.MappingNode) and name in _entries(place):
            place = _entries(place)[name][1]
        elif index and isinstance(place.node, yaml.SequenceNode):
            place = place.child(int(index), place.node.value[int(index)])
        else:
            break
    return dataclasses.replace(place, key=_join(at.key, key))


def _join(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix and key and not key.startswith("[") else prefix + key


def _text_node(text: str, origin: yaml.Node) -> yaml.ScalarNode:
    return yaml.ScalarNode(_YAML_TAG + "str", text, origin.start_mark, origin.end_mark)


def _keys(cls: type) -> list[str]:
    return [f.name for f in dataclasses.fields(cls) if f.metadata]


def _expected(hint: Any, limits: Mapping[str, Any]) -> str:
    """Type and limits in words, for errors."""
    if hint is str and "pattern" in limits:
        return limits["pattern"][1]
    words = {int: "an integer", float: "a number", str: "a text"}.get(hint) or _type_name(hint).replace(
        " / ", " or "
    )
    names = {"minimum": "at least", "maximum": "at most", "above": "above"}
    return ", ".join([words, *(f"{names[n]} {v:g}" for n, v in limits.items() if n in names)])


def _type_name(hint: Any) -> str:
    origin, members = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " / ".join(_type_name(m) for m in members if m is not types.NoneType)
    if origin is Literal:
        return " / ".join(members)
    if origin is tuple:
        return f"list of {_type_name(members[0])}"
    if origin is dict:
        return f"mapping of names to {_type_name(members[1])}"
    return _TYPE_NAMES.get(hint) or hint.__name__.lower()


def _rows(cls: type, prefix: str, short_forms: dict[str, type]) -> list[tuple[str, str, str, str]]:
    """Rows (key, type, default, meaning) of a dataclass and those nested in it."""
    rows = []
    hints = _hints(cls)
    for field in dataclasses.fields(cls):
        if not field.metadata:
            continue
        key, hint = prefix + field.name, hints[field.name]
        nested = next((m for m in (hint, *get_args(hint)) if dataclasses.is_dataclass(m)), None)
        rows.append(
            (f"`{key}`", _type_name(hint) if nested is None else "", _default(field), _meaning(field))
        )
        if nested is None:
            continue
        listed = get_origin(hint) is tuple
        if hasattr(nested, "from_text"):
            short_forms[nested.__name__.lower()] = nested
            rows[-1] = (rows[-1][0], _type_name(hint), *rows[-1][2:])
        else:
            rows[-1] = (rows[-1][0], "list" if listed else "mapping", *rows[-1][2:])
            rows.extend(_rows(nested, f"{key}[]." if listed else f"{key}.", short_forms))
    return rows


def _meaning(field: dataclasses.Field) -> str:
    doc = field.metadata["doc"]
    if "only_with" not in field.metadata:
        return doc
    other, allowed = field.metadata["only_with"]
    choices = " or ".join(f"`{other}: {v}`" for v in allowed)
    return f"{doc} ({f'not beside `{other}`' if allowed == (None,) else f'only with {choices}'})"


def _default(field: dataclasses.Field) -> str:
    if field.default_factory is not MISSING:
        return ""
    if field.default is MISSING:
        return "required"
    if field.default in (None, (), ""):
        return ""
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def _table(rows: list[tuple[str, str, str, str]]) -> str:
    lines = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
