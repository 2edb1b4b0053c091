"""Frozen dataclasses from YAML with strict keys: every error names the file, the line and the dotted key.

The YAML is read as nodes, not as Python objects: nodes know their line, show a key that is written twice, and
leave the type of a value to the type hint of its field: the cell type ``NO`` and the MD5 ``0123`` stay text.
Rules between fields stand in the dataclass's ``__post_init__``: an InputError whose `where` is the key.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from chromacc_data.errors import InputError

__all__ = ["describe", "from_yaml", "option"]

T = TypeVar("T")

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_NUMBER = re.compile(r"[-+]?([0-9][0-9_]*\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
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
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(
            "not YAML",
            where=f"{path} line {mark.line + 1}" if mark else path,
            found=getattr(error, "problem", None) or str(error).splitlines()[0],
            remedy="indent with blanks, write `key: value`, and put text with special characters in quotes",
        ) from error
    if node is None:
        raise InputError("empty file", where=path, expected=f"keys such as {', '.join(_keys(cls)[:3])}")
    return _read_dataclass(_At(path, "", node), cls, given or {})


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
        place = f"{self.path} line {self.node.start_mark.line + 1}" + (f", {self.key}" if self.key else "")
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
            fitting.remove(float if _INTEGER.fullmatch(at.found) else int)
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
    hints, fields = get_type_hints(cls), {f.name: f for f in dataclasses.fields(cls) if f.metadata}
    for name, (key, _) in written.items():
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1, cutoff=0.5)
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
    if get_origin(hint) is Literal:
        if text not in get_args(hint):
            near = difflib.get_close_matches(text, get_args(hint), n=1)
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
    if not plain or not (_INTEGER if hint is int else _NUMBER).fullmatch(text):
        raise at.error("a value of the wrong kind", found=text if plain else repr(text), expected=expected)
    value = hint(text)
    lawful = (
        math.isfinite(value)
        and value >= limits.get("minimum", -math.inf)
        and value <= limits.get("maximum", math.inf)
        and value > limits.get("above", -math.inf)
    )
    if not lawful:
        raise at.error("out of range", found=text, expected=expected)
    return value


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
    other, lawful = field.metadata["only_with"]
    value = values.get(other, fields[other].default)
    if value in lawful:
        return
    if lawful == (None,):
        raise at.error(
            f"`{field.name}` does not go with `{other}`", remedy=f"remove `{field.name}` or `{other}`"
        )
    choices = " or ".join(f"`{other}: {v}`" for v in lawful)
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
    hints = get_type_hints(cls)
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
    other, lawful = field.metadata["only_with"]
    choices = " or ".join(f"`{other}: {v}`" for v in lawful)
    return f"{doc} ({f'not beside `{other}`' if lawful == (None,) else f'only with {choices}'})"


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
