"""Names of the motifs that the filters of a network match, where its folder says so."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from chromacc_data.errors import InputError

__all__ = ["MOTIFS_FILE", "read_motif_names"]

#: What ``chromacc-models motifs`` writes into a run folder; it may be copied into a model folder.
MOTIFS_FILE = "motifs.tsv"
#: E-value up to which a filter is said to match a motif (thesis, section 5.2.3).
_MAX_E = 0.01


def read_motif_names(folder: Path, n_filters: int) -> list[str]:
    """Name of each filter's motif, "" where none is known.

    Taken from ``motifs.tsv``: the planted motifs of a simulated store, or else the best target in a database,
    of an E-value of at most 0.01.

    Raises
    ------
    InputError
        If the table is damaged, or of other filters.
    """
    path = folder / MOTIFS_FILE
    if not path.is_file():
        return [""] * n_filters
    try:
        table = pd.read_csv(path, sep="\t", keep_default_na=False, dtype=str)
        index = table["filter"].str.removeprefix("filter_").astype(int)
        if sorted(index) != list(range(n_filters)):
            raise ValueError(f"{len(index)} filters")
        table = table.set_index(index).sort_index()
        names = pd.Series("", index=table.index)
        if "target_name" in table:
            names = table["target_name"].where(table["E"].astype(float) <= _MAX_E, "")
        if "planted" in table:
            names = table["planted"].where(table["planted"] != "", names)
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            "no table of motifs of this network",
            where=path,
            found=error,
            expected=f"a row for each of {n_filters} filters, as `chromacc-models motifs` writes it",
            remedy="run `chromacc-models motifs` on the run again, or remove the file",
        ) from error
    return names.tolist()
