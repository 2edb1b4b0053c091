"""The keys of options dataclasses as tables for the documentation."""

from __future__ import annotations

import dataclasses
from dataclasses import MISSING
from typing import get_args, get_origin

from chromacc_data.typed_values import hints_of, type_name

__all__ = ["describe"]


def describe(cls: type) -> str:
    """Markdown table of all keys of an options dataclass: key, type, default, meaning.

    Dataclasses that have a short form in text (``from_text``) get a table of their own below.
    """
    short_forms: dict[str, type] = {}
    tables = [_table(_rows(cls, "", short_forms))]
    for name, short in short_forms.items():
        tables.append(f"A *{name}* is a text, or a mapping of\n\n" + _table(_rows(short, "", {})))
    return "\n\n".join(tables) + "\n"


def _rows(cls: type, prefix: str, short_forms: dict[str, type]) -> list[tuple[str, str, str, str]]:
    """Rows (key, type, default, meaning) of a dataclass and those nested in it."""
    rows = []
    hints = hints_of(cls)
    for field in dataclasses.fields(cls):
        if not field.metadata:
            continue
        key, hint = prefix + field.name, hints[field.name]
        nested = next((m for m in (hint, *get_args(hint)) if dataclasses.is_dataclass(m)), None)
        rows.append((f"`{key}`", type_name(hint) if nested is None else "", _default(field), _meaning(field)))
        if nested is None:
            continue
        listed = get_origin(hint) is tuple
        if hasattr(nested, "from_text"):
            short_forms[nested.__name__.lower()] = nested
            rows[-1] = (rows[-1][0], type_name(hint), *rows[-1][2:])
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
    return f"{doc} ({f'not with `{other}`' if allowed == (None,) else f'only with {choices}'})"


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
