"""A description of a store: what it holds and where it comes from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chromacc_data.errors import InputError
from chromacc_data.progress import count_lines
from chromacc_data.simulation.truth import ceiling, every_occurrence, is_simulated
from chromacc_data.store import schema
from chromacc_data.store.batches import split_indices
from chromacc_data.store.read import open_store, read_variable
from chromacc_data.store.seal import plain

__all__ = ["Description", "describe"]


@dataclass(frozen=True)
class Description:
    """What a store holds and where it comes from.

    Parameters
    ----------
    path
        The store.
    facts
        Everything by its name: attributes of the store, sizes, windows by split, open windows by cell type,
        and AUROC of the ideal observer of a simulated one.
    text
        The same for people; what is printed.
    """

    path: Path
    facts: dict[str, Any]
    text: str

    def report(self) -> tuple[dict[str, Any], str]:
        """The result for programs and for people."""
        return self.facts, self.text

    def __repr__(self) -> str:
        return self.text


def describe(path: Path | str) -> Description:
    """What a store holds and where it comes from.

    Parameters
    ----------
    path
        ``NAME.zarr`` or ``NAME.h5``.

    Raises
    ------
    InputError
        If it is not a store, or is damaged.

    Examples
    --------
    >>> import chromacc_data as cd
    >>> from chromacc_data.examples import example_store
    >>> description = cd.describe(example_store())  # printed, it is a page
    >>> description.facts["splits"], description.facts["open_windows"]
    ({'train': 120, 'validation': 60, 'test': 60}, {'erythroid': 69, 'liver': 85})
    """
    path = Path(path)
    ds = open_store(path)
    splits = _count_splits(read_variable(ds, schema.SPLIT.name), path)
    positives = read_variable(ds, schema.ACCESSIBILITY.name).sum(axis=0, dtype=np.int64)
    texts = (
        schema.ATTR_GENOME,
        schema.ATTR_INPUTS,
        schema.ATTR_VERSIONS,
        schema.ATTR_COUNTS,
        schema.ATTR_LEAKS,
        schema.ATTR_TRUTH,
        schema.ATTR_CHECKSUMS,
    )
    best, naive = {}, {}
    if is_simulated(ds):
        test = split_indices(ds, "test")
        best, naive = ceiling(ds, indices=test), every_occurrence(ds, indices=test)
    value = {
        "store": path,
        **{str(name): plain(attr) for name, attr in ds.attrs.items() if name not in texts},
        **{name: json.loads(ds.attrs[name]) for name in texts if name in ds.attrs},
        "sizes": dict(ds.sizes),
        "splits": dict(zip(schema.SPLITS, splits.tolist(), strict=True)),
        "open_windows": {str(n): int(p) for n, p in zip(ds[schema.CELL_TYPE].values, positives, strict=True)},
        **({"ceiling": best} if best else {}),
        **({"every_occurrence": naive} if naive else {}),
    }
    lines = [
        f"{path}: {ds.attrs.get(schema.ATTR_TITLE, '')}",
        f"  {ds.sizes[schema.WINDOW]:,} windows of {ds.sizes[schema.POSITION]} bp "
        f"x {ds.sizes[schema.CELL_TYPE]} cell types, chunks of {ds.attrs[schema.ATTR_WINDOW_CHUNK]}",
        *_origin(value),
        f"  content hash {ds.attrs[schema.ATTR_CONTENT_HASH]}",
        "open windows by cell type",
        *_balance(value["open_windows"], ds.sizes[schema.WINDOW]),
        "windows by split",
        *count_lines(value["splits"]),
        "counts of the build",
        *count_lines(value.get(schema.ATTR_COUNTS, {})),
    ]
    leaks = {
        f"{pair} ({kind})": shared["windows"]
        for kind, pairs in value.get(schema.ATTR_LEAKS, {}).items()
        for pair, shared in pairs.items()
    }
    if leaks:
        lines += ["shared between splits and folds", *count_lines(leaks)]
    if best:
        lines += ["AUROC of the ideal observer of the motifs, test windows"]
        lines += [f"  {name:<40} {auroc:>12.4f}" for name, auroc in best.items()]
    if naive:
        lines += ["the same when every consensus occurrence outside other sites is scored as a site"]
        lines += [f"  {name:<40} {auroc:>12.4f}" for name, auroc in naive.items()]
    return Description(path, value, "\n".join(lines))


def _count_splits(codes: np.ndarray, path: Path) -> np.ndarray:
    """Windows of each split."""
    unknown = codes[(codes < 0) | (codes >= len(schema.SPLITS))]
    if len(unknown):
        raise InputError(
            "an unknown code of a split",
            where=f"{path}, variable {schema.SPLIT.name!r}",
            found=int(unknown[0]),
            expected=", ".join(f"{code} {name}" for code, name in enumerate(schema.SPLITS)),
            remedy="build or fetch the store again",
        )
    return np.bincount(codes, minlength=len(schema.SPLITS))


def _balance(open_windows: dict[str, int], n_windows: int) -> list[str]:
    """Open windows of each cell type, and what share of all windows they are."""
    return [
        f"{line} {n / max(n_windows, 1):>7.1%}"
        for line, n in zip(count_lines(open_windows), open_windows.values(), strict=True)
    ]


def _origin(value: dict) -> list[str]:
    """Lines that say which genome, and which motifs, the windows are made of."""
    lines = []
    if schema.ATTR_GENOME in value:
        genome = value[schema.ATTR_GENOME]
        sequences = ", ".join(f"{name} ({s['length']:,} bp)" for name, s in genome["sequences"].items())
        lines.append(f"  genome {genome['assembly']}: {sequences}")
    if schema.ATTR_TRUTH in value:
        truth = value[schema.ATTR_TRUTH]
        names = " ".join(m["name"] + (" (decoy)" if m["decoy"] else "") for m in truth["motifs"])
        lines.append(f"  simulated; sites are {truth['bases']}; {len(truth['motifs'])} motifs: {names}")
    return lines
