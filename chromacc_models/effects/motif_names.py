"""Names of the motifs that the filters of a network stand for, where its folder or a table says so."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd

from chromacc_data.errors import InputError
from chromacc_models.networks.known_motifs import known_names

__all__ = ["names_of_filters"]

#: What ``chromacc-models motifs`` writes into a run folder; it may be copied into a model folder.
_TABLE = "motifs.tsv"
#: E-value up to which a filter is said to match a motif (thesis, section 5.2.3).
_MAX_E = 0.01


def names_of_filters(folder: Path, n_filters: int, table: Path | str | None = None) -> tuple[str, ...]:
    """Name of each filter's motif, empty where none is known.

    A filter that began as a known motif and still is one has that name. Others have the name of their best
    match in a database, of an E-value of at most 0.01, or of the planted motif that they match.

    Parameters
    ----------
    folder
        Run folder or model folder of the network.
    n_filters
        Filters of the network.
    table
        Table of ``chromacc-models motifs`` that names the filters, and nothing else does; `motifs.tsv` in the
        folder, if there is one, when not given.

    Raises
    ------
    InputError
        If a table cannot be read or is of another network, or the one that is given has no names.
    """
    if table is not None:
        return _read_table(Path(table), n_filters, required=True)
    names = ("",) * n_filters
    if (folder / _TABLE).is_file():
        names = _read_table(folder / _TABLE, n_filters, required=False)
    return tuple(known or name for known, name in zip(known_names(folder, n_filters), names, strict=True))


def _read_table(path: Path, n_filters: int, *, required: bool) -> tuple[str, ...]:
    try:
        rows = pd.read_csv(path, sep="\t", quoting=csv.QUOTE_NONE, keep_default_na=False)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise _no_names(path, str(error).splitlines()[0]) from error
    if "filter" not in rows or not {"target_name", "planted"} & set(rows):
        if not required:
            return ("",) * n_filters
        raise _no_names(path, f"columns {', '.join(map(str, rows.columns))}")
    known = {f"filter_{i}": i for i in range(n_filters)}
    names = [""] * n_filters
    for row in rows.to_dict("records"):
        if row["filter"] not in known or len(rows) != n_filters:
            raise InputError(
                "names of the filters of another network",
                where=path,
                found=f"{len(rows)} filters, such as {row['filter']}",
                expected=f"{n_filters} filters, filter_0 to filter_{n_filters - 1}",
                remedy="name the motifs.tsv of this network's run",
            )
        matches = "target_name" in row and float(row["E"]) <= _MAX_E
        names[known[row["filter"]]] = row["target_name"] if matches else row.get("planted", "")
    return tuple(names)


def _no_names(path: Path, found: str) -> InputError:
    return InputError(
        "no names of filters",
        where=path,
        found=found,
        expected="motifs.tsv of a run that was compared with known motifs",
        remedy="make it by `chromacc-models motifs RUN --database MOTIFS.meme`",
    )
