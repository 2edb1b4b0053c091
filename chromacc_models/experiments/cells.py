"""A value as text: its mean over runs, with its spread, and whether it meets its goal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from chromacc_models.experiments.claims import Value
from chromacc_models.experiments.measures import values_of
from chromacc_models.experiments.pictures import Measures

__all__ = ["Cell", "cell_of", "ideal_observer"]

#: Measures between 0 and 1; others are counts.
_SHARES = (
    "auroc",
    "every_occurrence",
    "interactions.motifs_average_precision",
    *(
        f"decomposed.{name}"
        for name in ("share_planted", "chance", "precision", "recall", "combination_recall")
    ),
)


class Cell(NamedTuple):
    """A figure of a table; all is empty where nothing was measured."""

    #: The mean alone, such as `0.9669`.
    mean: str = ""
    #: The mean with spread and number of runs.
    text: str = ""
    #: Such as `≥ 0.966`; empty without a goal.
    goal: str = ""
    #: None without a goal, or where nothing was measured.
    met: bool | None = None
    #: Whether options were tuned on windows that the figure uses.
    tuned: bool = False


def cell_of(value: Value | None, measures: Measures) -> Cell:
    """The figure that a value has in these measures."""
    if value is None:
        return Cell()
    is_of_all, of_all = _of_all_runs(value, measures)
    found = np.array([np.nan if of_all is None else of_all]) if is_of_all else _of_runs(value, measures)
    if found is None:
        return Cell()
    defined = found[~np.isnan(found)]
    if not len(defined):
        return Cell("not defined", "not defined")
    mean = f"{of_all:.2g}" if is_of_all else _form(value).format(defined.mean())
    text = mean if is_of_all else _with_spread(mean, defined, value, measures)
    if value.goal is None:
        return Cell(mean, text)
    return Cell(mean, text, f"≥ {value.goal:g}", bool(defined.mean() >= value.goal), value.tuning is not None)


def ideal_observer(value: Value, measures: Measures) -> str:
    """Mean AUROC of the ideal observer on the windows of a value; empty where there is none."""
    if value.measure != "auroc" or value.less is not None or value.arm not in measures:
        return ""
    measured = measures[value.arm]
    return f"{values_of(measured, 'ceiling').mean():.4f}" if _has(measured, "ceiling") else ""


def _of_all_runs(value: Value, measures: Measures) -> tuple[bool, float | None]:
    """Whether a measure is of all runs of an arm together, and what it is, None where it is not defined."""
    found: Any = measures.get(value.arm)
    for key in value.measure.split("."):
        if not isinstance(found, Mapping) or key not in found:
            return False, None
        found = found[key]
    return True, found


def _of_runs(value: Value, measures: Measures) -> np.ndarray | None:
    """A value of each run; None where it was not measured."""
    measured = measures.get(value.arm)
    if measured is None or not _has(measured, value.measure):
        return None
    found = values_of(measured, value.measure)
    if value.less is None:
        return found
    return found - values_of(measures[value.less], value.measure) if value.less in measures else None


def _has(measured: Mapping[str, Any], measure: str) -> bool:
    value = measured["runs"][0]
    for key in measure.split("."):
        if key not in value:
            return False
        value = value[key]
    return True


def _form(value: Value) -> str:
    if value.less is not None:
        return "{:+.4f}"
    return "{:.4f}" if value.measure in _SHARES else "{:.1f}"


def _with_spread(mean: str, defined: np.ndarray, value: Value, measures: Measures) -> str:
    of = f" of {values_of(measures[value.arm], value.of).mean():g}" if value.of is not None else ""
    n = len(defined)
    if n == 1:
        return f"{mean}{of} (n = 1)"
    if np.ptp(defined) == 0:
        return f"{mean}{of} (same in all {n})"
    is_share = value.measure in _SHARES
    spread = f"{defined.std(ddof=1):.{4 if is_share else 1}f}"
    is_count = not is_share and value.less is None
    extent = f"; {defined.min():.3g} to {defined.max():.3g}" if is_count else ""
    return f"{mean} ± {spread}{of} (n = {n}{extent})"
