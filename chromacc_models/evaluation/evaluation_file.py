"""Content of `evaluation.json`, typed: for commands that show scores without computing them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chromacc_data.typed_values import MAX_JSON, Options, from_json, option, read_text

__all__ = ["SavedEvaluation", "SavedScore", "read_evaluation"]

_EVALUATE_AGAIN = "evaluate the run again"


@dataclass(frozen=True)
class SavedScore(Options):
    """Scores of one cell type; None where it has none."""

    cell_type: str = option("its name")
    n_windows: int = option("windows that were scored", minimum=0)
    n_open: int = option("open ones", minimum=0)
    prevalence: float = option("share of open ones", minimum=0, maximum=1)
    auroc: float | None = option("AUROC", None)
    auroc_low: float | None = option("lower end of its interval", None)
    auroc_high: float | None = option("upper end of its interval", None)
    auprc: float | None = option("AUPRC", None)
    auprc_low: float | None = option("lower end of its interval", None)
    auprc_high: float | None = option("upper end of its interval", None)
    brier: float | None = option("Brier score", None)
    calibration_error: float | None = option("expected calibration error", None)


@dataclass(frozen=True)
class SavedEvaluation(Options):
    """Content of `evaluation.json`."""

    cell_types: tuple[SavedScore, ...] = option("scores, in the order of the outputs")
    mean_auroc: float | None = option("mean over the cell types that have one", None)
    mean_auprc: float | None = option("mean over the cell types that have one", None)
    n_undefined: int = option("cell types that have none", 0, minimum=0)
    confidence: float = option("level of the intervals", 0.95, above=0, maximum=1)


def read_evaluation(path: Path) -> SavedEvaluation:
    """Scores that `chromacc-models evaluate` has written; an older release wrote NaN where there is none.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    text = read_text(path, expected="scores of `evaluate`", limit=MAX_JSON, remedy=_EVALUATE_AGAIN)
    return from_json(SavedEvaluation, text, where=path, remedy=_EVALUATE_AGAIN)
