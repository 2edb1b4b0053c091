"""How good predictions are, cell type by cell type.

AUROC has DeLong's confidence interval, AUPRC (average precision) the logit interval of Boyd, Eng and Page
(2013); both are normal intervals of the logit, so they stay between 0 and 1. A cell type that is open in all
windows of a split, or in none, has no such score: its scores are NaN, and it is counted.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_curve

from chromacc_data.ranks import n_below

__all__ = [
    "Calibration",
    "CellTypeScore",
    "DeLong",
    "Evaluation",
    "average_precision",
    "calibrate",
    "delong",
    "mean_roc",
    "roc_curves",
    "rounded",
    "score",
    "without_nan",
]

#: Bins of equal width of the reliability diagram and the calibration error.
N_BINS = 10

#: False positive rates at which the mean ROC curve is given.
ROC_GRID = np.linspace(0, 1, 201)


@dataclass(frozen=True)
class CellTypeScore:
    """Scores of one cell type; the bounds are those of the confidence interval."""

    cell_type: str
    n_windows: int
    n_open: int
    prevalence: float
    auroc: float
    auroc_low: float
    auroc_high: float
    auprc: float
    auprc_low: float
    auprc_high: float
    brier: float
    calibration_error: float


class Calibration(NamedTuple):
    """Reliability of predictions in :data:`N_BINS` bins of equal width, arrays of shape (bin,)."""

    #: Mean prediction; NaN in an empty bin.
    predicted: np.ndarray
    #: Fraction of open windows; NaN in an empty bin.
    observed: np.ndarray
    #: Predictions in the bin.
    counts: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance of the two, weighted by the predictions in the bins."""
        return float(np.nansum(np.abs(self.predicted - self.observed) * self.counts) / self.counts.sum())


@dataclass(frozen=True)
class Evaluation:
    """Scores of a network on a set of windows.

    Parameters
    ----------
    cell_types
        Scores by cell type, in the order of the network's outputs.
    mean_auroc, mean_auprc
        Means over the cell types that have one.
    n_undefined
        Cell types of one class, which have none.
    confidence
        Level of the intervals.
    """

    cell_types: tuple[CellTypeScore, ...]
    mean_auroc: float
    mean_auprc: float
    n_undefined: int
    confidence: float

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON, which has no NaN: missing scores are None."""
        scores = [without_nan(dataclasses.asdict(s)) for s in self.cell_types]
        return without_nan(dataclasses.asdict(self)) | {"cell_types": scores}

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        width = max(len(s.cell_type) for s in self.cell_types)
        lines = [f"{'cell type':<{width}}  {'open':>6}  AUROC                AUPRC"]
        for s in self.cell_types:
            lines.append(
                f"{s.cell_type:<{width}}  {s.prevalence:6.1%}  "
                f"{s.auroc:.3f} ({s.auroc_low:.3f}-{s.auroc_high:.3f})  "
                f"{s.auprc:.3f} ({s.auprc_low:.3f}-{s.auprc_high:.3f})"
            )
        lines.append(f"{'mean':<{width}}  {'':>6}  {self.mean_auroc:.3f}{'':16}{self.mean_auprc:.3f}")
        if self.n_undefined:
            lines.append(f"{self.n_undefined} cell types have no score: all windows open, or all closed")
        return "\n".join(lines)


def score(
    labels: np.ndarray, predictions: np.ndarray, cell_types: tuple[str, ...], *, confidence: float = 0.95
) -> Evaluation:
    """Scores of predictions.

    Parameters
    ----------
    labels
        Accessibility, 0 or 1, (window, cell_type).
    predictions
        Probabilities, (window, cell_type).
    cell_types
        Names of the columns.
    confidence
        Level of the confidence intervals.
    """
    scores = tuple(
        _score_cell_type(name, labels[:, i], predictions[:, i], confidence)
        for i, name in enumerate(cell_types)
    )
    defined = [s for s in scores if np.isfinite(s.auroc)]
    return Evaluation(
        cell_types=scores,
        mean_auroc=float(np.mean([s.auroc for s in defined])) if defined else float("nan"),
        mean_auprc=float(np.mean([s.auprc for s in defined])) if defined else float("nan"),
        n_undefined=len(scores) - len(defined),
        confidence=confidence,
    )


class DeLong(NamedTuple):
    """AUROC of several sets of scores for the same windows, and their covariance."""

    #: Shape (set,).
    auroc: np.ndarray
    #: Shape (set, set).
    covariance: np.ndarray


def delong(labels: np.ndarray, scores: np.ndarray) -> DeLong:
    """AUROCs and their covariance (DeLong et al. 1988), computed from midranks (Sun and Xu 2014).

    Parameters
    ----------
    labels
        0 or 1, both present, shape (window,).
    scores
        One or more sets, shape (set, window).

    Examples
    --------
    >>> delong(np.array([0, 0, 1, 1]), np.array([[1, 3, 2, 4]])).auroc
    array([0.75])
    """
    is_open = np.asarray(labels, dtype=bool)
    scores = np.asarray(scores, dtype=np.float64)
    opened, closed = scores[:, is_open], scores[:, ~is_open]
    n_open, n_closed = opened.shape[1], closed.shape[1]
    # Of each open window the fraction of closed ones below it; of each closed one that of open ones above.
    above_closed = n_below(opened.T, closed.T).T / n_closed
    below_open = 1 - n_below(closed.T, opened.T).T / n_open
    covariance = _covariance(above_closed) / n_open + _covariance(below_open) / n_closed
    return DeLong(above_closed.mean(axis=1), covariance)


def mean_roc(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """True positive rate at :data:`ROC_GRID`, averaged over the cell types that have both classes.

    Parameters
    ----------
    labels, predictions
        Shape (window, cell_type).
    """
    curves = [np.interp(ROC_GRID, *curve) for curve in roc_curves(labels, predictions).values()]
    mean = np.mean(curves, axis=0)
    mean[0] = 0.0
    return mean


def roc_curves(labels: np.ndarray, predictions: np.ndarray) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """False and true positive rates by the index of the cell type, where both classes are there."""
    both = np.flatnonzero((labels.min(axis=0) == 0) & (labels.max(axis=0) == 1))
    return {int(i): roc_curve(labels[:, i], predictions[:, i])[:2] for i in both}


def calibrate(labels: np.ndarray, predictions: np.ndarray) -> Calibration:
    """Reliability of predictions; `labels` and `predictions` have any, equal shape."""
    bins = np.minimum((predictions * N_BINS).astype(np.int64), N_BINS - 1).ravel()
    counts = np.bincount(bins, minlength=N_BINS)
    sums = [np.bincount(bins, np.ravel(x).astype(np.float64), N_BINS) for x in (predictions, labels)]
    with np.errstate(invalid="ignore"):
        predicted, observed = (np.where(counts, s / np.maximum(counts, 1), np.nan) for s in sums)
    return Calibration(predicted, observed, counts)


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the steps of the precision-recall curve; NaN where nothing is labelled 1.

    >>> average_precision(np.array([1, 0, 1]), np.array([0.9, 0.8, 0.1]))
    0.8333333333333333
    """
    return float(average_precision_score(labels, scores)) if np.any(labels) else float("nan")


def without_nan(values: dict[str, Any]) -> dict[str, Any]:
    """`values` with None for numbers that JSON does not know.

    >>> without_nan({"auroc": float("nan"), "brier": 0.25})
    {'auroc': None, 'brier': 0.25}
    """
    return {
        name: None if isinstance(value, float) and not np.isfinite(value) else value
        for name, value in values.items()
    }


def rounded(value: float) -> float | None:
    """`value` to five digits behind the point, None for NaN: for JSON.

    >>> rounded(2 / 3), rounded(float("nan"))
    (0.66667, None)
    """
    return None if np.isnan(value) else round(float(value), 5)


def _score_cell_type(
    name: str, labels: np.ndarray, predictions: np.ndarray, confidence: float
) -> CellTypeScore:
    n_open = int(labels.sum())
    roc = prc = (float("nan"),) * 3
    if 0 < n_open < len(labels):
        found = delong(labels, predictions[None])
        auroc, auprc = found.auroc[0], average_precision(labels, predictions)
        roc = _logit_interval(auroc, np.sqrt(found.covariance[0, 0]), confidence)
        prc = _logit_interval(auprc, np.sqrt(auprc * (1 - auprc) / n_open), confidence)
    return CellTypeScore(
        name,
        len(labels),
        n_open,
        n_open / len(labels),
        *roc,
        *prc,
        brier=float(np.mean((predictions.astype(np.float64) - labels) ** 2)),
        calibration_error=calibrate(labels, predictions).error,
    )


def _logit_interval(value: float, error: float, confidence: float) -> tuple[float, float, float]:
    """Value and its interval, normal on the logit scale; at 0 and 1 there is none, and the value stands."""
    value = float(value)
    if not 0 < value < 1:
        return value, value, value
    half = norm.ppf(0.5 + confidence / 2) * error / (value * (1 - value))
    return value, float(expit(logit(value) - half)), float(expit(logit(value) + half))


def _covariance(components: np.ndarray) -> np.ndarray:
    # One window gives no estimate: its share of the variance counts as zero.
    n = components.shape[1]
    return np.atleast_2d(np.cov(components)) if n > 1 else np.zeros((len(components),) * 2)
