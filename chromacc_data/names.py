"""Names of cell types: what a name may be, and how it stands in a table and in the name of a file."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from chromacc_data.errors import InputError

__all__ = ["REGION_COLUMNS", "column_names", "file_names", "require_cell_types"]

#: Columns that stand before those of the cell types in tables of predictions.
REGION_COLUMNS = ("chrom", "start", "end", "name", "strand")

#: Names that the columns and rows of our tables have.
_RESERVED = (*REGION_COLUMNS, "mean")

_MAX_CHARACTERS = 200
#: Bytes of a cell type in the name of a file, of the 255 that file systems allow for the whole.
_MAX_FILE_BYTES = 150

# Control, line and paragraph separators, halves of pairs, unassigned and invisible characters.
_UNPRINTABLE = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")


def require_cell_types(names: Sequence[str], *, where: str = "cell_type") -> None:
    """Raise an InputError unless all names can be those of cell types, and no two look the same.

    A name is one line of visible text, at most 200 characters, without whitespace at its ends, and not the
    name of a column of the tables that are written.

    >>> require_cell_types(["CD4+ T/naïve, 50%", "K562"])
    >>> require_cell_types(["chrom"])
    Traceback (most recent call last):
    ...
    chromacc_data.errors.InputError: cell_type: a name that cannot be used for a cell type
      found:    'chrom', which is the name of a column in tables of predictions
      expected: one line of visible text, at most 200 characters
      remedy:   rename the cell type, such as chrom_1
    """
    seen: dict[str, str] = {}
    for name in names:
        wrong = _what_is_wrong(name)
        same = seen.setdefault(unicodedata.normalize("NFC", name), name)
        if wrong is not None:
            raise InputError(
                "a name that cannot be used for a cell type",
                where=where,
                found=f"{name[:60]!a}, {wrong}",
                expected=f"one line of visible text, at most {_MAX_CHARACTERS} characters",
                remedy="rename the cell type" + (f", such as {name}_1" if name in _RESERVED else ""),
            )
        if same != name:
            raise InputError(
                "two cell types whose names look the same",
                where=where,
                found=f"{same!a} and {name!a}",
                expected="names that differ in more than how their letters are encoded",
                remedy="rename one of the two",
            )


def column_names(cell_types: Sequence[str], *, taken: Sequence[str] = REGION_COLUMNS) -> list[str]:
    """Name of each cell type's column in a table of regions: its own, changed only where a table needs it.

    Stores from before names were checked may hold others, which get distinct columns of one line. `taken` are
    the other columns of the table.

    >>> column_names(["K562", "name"])
    ['K562', 'name_2']
    """
    return _distinct(
        ["".join(" " if unicodedata.category(c) in _UNPRINTABLE else c for c in name) for name in cell_types],
        taken=taken,
    )


def file_names(cell_types: Sequence[str]) -> list[str]:
    """Name of each cell type as a part of a file's name; all differ, on systems too that ignore case.

    >>> file_names(["HeLa S3", "HeLa/S3", "K562", "k562"])
    ['HeLa_S3', 'HeLa_S3_2', 'K562', 'k562_2']
    """
    safe = []
    for name in cell_types:
        text = "".join(c if c.isalnum() or c in "-_." else "_" for c in unicodedata.normalize("NFC", name))
        # A path may go through programs that read ASCII or less; what is cut is cut between characters.
        safe.append(text.encode("utf-8", "replace")[:_MAX_FILE_BYTES].decode("utf-8", "ignore"))
    return _distinct(safe, ignore_case=True)


def _what_is_wrong(name: str) -> str | None:
    if not name.strip():
        return "which is empty"
    if name != name.strip():
        return "which has whitespace at its ends"
    if len(name) > _MAX_CHARACTERS:
        return f"which has {len(name):,} characters"
    if name in _RESERVED:
        return "which is the name of a column in tables of predictions"
    odd = next((c for c in name if unicodedata.category(c) in _UNPRINTABLE), None)
    return None if odd is None else f"which has the character U+{ord(odd):04X}"


def _distinct(names: Sequence[str], *, taken: Sequence[str] = (), ignore_case: bool = False) -> list[str]:
    """Names with numbers put behind those that are taken."""

    def key(name: str) -> str:
        return name.casefold() if ignore_case else name

    # A number must not make a name that another cell type has by itself.
    used, own = {key(name) for name in taken}, {key(name) for name in names}
    distinct = []
    for name in names:
        new, number = name, 2
        while key(new) in used or (new != name and key(new) in own):
            new, number = f"{name}_{number}", number + 1
        used.add(key(new))
        distinct.append(new)
    return distinct
