"""Frozen dataclasses from YAML: the one way in for what a user writes.

The YAML is read as nodes, not as Python objects: nodes know their line, show a key that is written twice, and
leave the type of a value to the type hint of its field: the cell type ``NO`` and the MD5 ``0123`` stay text.
No tag is followed, and size, nesting and aliases are limited. Keys are strict; every error names the file,
the line and the dotted key.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import yaml

from chromacc_data.errors import InputError
from chromacc_data.typed_values import (
    MAX_DIGITS,
    MAX_SHOWN,
    MAX_TEXT,
    UNPRINTABLE,
    expected_in_words,
    hints_of,
    is_in_range,
    join_key,
    shorten,
    type_name,
)

__all__ = ["compose_yaml", "from_yaml"]

T = TypeVar("T")

#: Limits of a YAML: the depth of nesting, and the values, with what aliases stand for. A recipe of a thousand
#: cell types has some ten thousand values.
MAX_DEPTH, MAX_VALUES = 40, 50_000

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_NUMBER = re.compile(r"[-+]?([0-9][0-9_]*\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_MAX_KEY = 100  # characters of a key that are compared with others
_YAML_TAG = "tag:yaml.org,2002:"


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
    >>> from chromacc_data.typed_values import option
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
        If it is not YAML, has a tag (``!name``), or is longer, deeper or larger than :data:`MAX_TEXT`,
        :data:`MAX_DEPTH` and :data:`MAX_VALUES`, aliases counted as what they stand for.
    """
    if len(text) > MAX_TEXT:
        raise InputError(
            "too long", where=where, found=f"{len(text):,} characters", expected=f"at most {MAX_TEXT:,}"
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
            found=shorten(getattr(error, "problem", None) or str(error).splitlines()[0]),
            expected=refused.expected if refused else None,
            remedy=refused.remedy
            if refused
            else "indent with spaces, write `key: value`, and put text with special characters in quotes",
        ) from error


@dataclass(frozen=True)
class _At:
    """A YAML node, the dotted key that leads to it and the file it is in."""

    path: Path
    key: str
    node: yaml.Node

    def child(self, key: str | int, node: yaml.Node) -> _At:
        return _At(self.path, join_key(self.key, f"[{key}]" if isinstance(key, int) else key), node)

    def error(
        self, what: str, *, found: object = None, expected: object = None, remedy: str | None = None
    ) -> InputError:
        key = f", {shorten(self.key)}" if self.key else ""
        found = shorten(found) if isinstance(found, str) else found
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
            fitting.remove(float if _INTEGER.fullmatch(at.found[:MAX_DIGITS]) else int)
        if len(fitting) > 1:
            raise at.error("a value of the wrong type", found=at.found, expected=type_name(hint))
        hint = fitting[0]
    if dataclasses.is_dataclass(hint):
        return _read_dataclass(at, hint, {})
    if get_origin(hint) is tuple:
        if not isinstance(at.node, yaml.SequenceNode):
            remedy = None if at.is_null else "write it as a list, `[...]` or one `- ...` a line"
            raise at.error("not a list", found=at.found, expected=type_name(hint), remedy=remedy)
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
    hints, fields = hints_of(cls), {f.name: f for f in dataclasses.fields(cls) if f.metadata}
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
    expected = expected_in_words(hint, limits)
    if not isinstance(at.node, yaml.ScalarNode) or at.is_null or not at.node.tag.startswith(_YAML_TAG):
        raise at.error("a value of the wrong type", found=at.found, expected=expected)
    if UNPRINTABLE.search(text):
        raise at.error("a text with control characters", found=repr(text[:MAX_SHOWN]), expected=expected)
    if get_origin(hint) is Literal:
        if text not in get_args(hint):
            near = difflib.get_close_matches(text[:_MAX_KEY], get_args(hint), n=1)
            remedy = f"did you mean `{near[0]}`?" if near else None
            raise at.error("unknown value", found=text, expected=expected, remedy=remedy)
        return text
    if hint is str:
        if "pattern" in limits and not re.fullmatch(limits["pattern"][0], text):
            raise at.error("a value in the wrong format", found=text or "an empty text", expected=expected)
        return text
    if hint is bool:
        if not plain or text not in ("true", "false"):
            raise at.error("a value of the wrong type", found=text, expected=expected)
        return text == "true"
    return _read_number(at, hint, limits, plain=plain)


def _read_number(at: _At, hint: type, limits: Mapping[str, Any], *, plain: bool) -> int | float:
    text, expected = at.node.value, expected_in_words(hint, limits)
    if len(text) > MAX_DIGITS:
        raise at.error("a number with too many digits", found=f"{len(text):,} characters", expected=expected)
    if not plain or not (_INTEGER if hint is int else _NUMBER).fullmatch(text):
        raise at.error("a value of the wrong type", found=text if plain else repr(text), expected=expected)
    value = hint(text)
    if not is_in_range(value, limits):
        raise at.error("out of range", found=text, expected=expected)
    return value


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
                    "an alias inside its own value",
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
            raise _At(at.path, at.key, key_node).error(
                "a key that is not text", expected="`key: value` lines"
            )
        name = key_node.value
        key = at.child(name, key_node)
        if UNPRINTABLE.search(name):
            raise at.error("a key with control characters", found=repr(name[:MAX_SHOWN]))
        if name in entries:
            first = entries[name][0].node.start_mark.line + 1
            raise key.error(
                "key written twice", found=f"first on line {first}", remedy="remove one of the two"
            )
        entries[name] = key, at.child(name, value_node)
    return entries


def _check_company(at: _At, field: dataclasses.Field, values: Mapping[str, Any], fields: Mapping) -> None:
    """Raise where another key's value makes a given key meaningless."""
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
    return dataclasses.replace(place, key=join_key(at.key, key))


def _text_node(text: str, origin: yaml.Node) -> yaml.ScalarNode:
    return yaml.ScalarNode(_YAML_TAG + "str", text, origin.start_mark, origin.end_mark)


def _keys(cls: type) -> list[str]:
    return [f.name for f in dataclasses.fields(cls) if f.metadata]
