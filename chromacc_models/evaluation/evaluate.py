"""How good a run is, cell type by cell type, and which of two runs is better.

AUROC has DeLong's confidence interval, AUPRC (average precision) the logit interval of Boyd, Eng and Page
(2013); both are normal intervals of the logit, so they stay between 0 and 1. A cell type that is open in all
windows of a split, or in none, has no such score: its scores are NaN, and it is counted.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from scipy.special import expit, logit
from scipy.stats import norm, rankdata
from sklearn.metrics import average_precision_score, roc_curve

from chromacc_data.console import progress_bar
from chromacc_data.errors import InputError
from chromacc_data.files import disk_errors, staged, write_text_atomically
from chromacc_data.store import schema
from chromacc_data.store.batches import Batches
from chromacc_data.store.store import open_store
from chromacc_models.kmer_kernels.keras_model import accelerated
from chromacc_models.networks.architectures import gains_from_xla
from chromacc_models.reporting import plots
from chromacc_models.training.run import Run, lock_folder, read_arrays

__all__ = [
    "Calibration",
    "CellTypeScore",
    "Evaluation",
    "calibrate",
    "delong",
    "evaluate",
    "mean_roc",
    "open_batches",
    "predict_codes",
    "predictor",
    "read_predictions",
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
        """As plain values, for JSON, which knows no NaN: a score that there is not is None."""
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
            lines.append(f"{self.n_undefined} cell types are open everywhere or nowhere and have no score")
        return "\n".join(lines)


def evaluate(
    run: Run | Path | str,
    store: Path | str | None = None,
    *,
    split: str = "test",
    confidence: float = 0.95,
    pictures: bool = True,
    progress: bool = False,
) -> Evaluation:
    """Score a run on a split, and write scores, predictions and pictures into its folder.

    For its own store and the split "test" these are `evaluation.json`, `evaluation.npz`, `roc.png` and
    `calibration.png`; otherwise split and store are part of the names.

    Parameters
    ----------
    run
        A finished run, or its folder.
    store
        Another store than the one that it was trained on, with the same cell types and window length.
    split
        "train", "validation" or "test"; of the run's fold, if it was trained on one.
    confidence
        Level of the confidence intervals.
    pictures
        Whether to draw them.
    progress
        Show a bar.

    Raises
    ------
    InputError
        If the store has other cell types or windows, is not what the run was trained on any more, or the
        split is empty.

    Examples
    --------
    >>> import chromacc_models as cm
    >>> from chromacc_models.examples import example_run
    >>> scores = cm.evaluate(example_run())  # printed, it is a table
    >>> [(s.cell_type, s.n_windows, s.n_open) for s in scores.cell_types]
    [('erythroid', 60, 19), ('liver', 60, 23)]
    >>> 0 <= scores.mean_auroc <= 1
    True
    """
    run = run if isinstance(run, Run) else Run.open(run)
    batches = open_batches(run, store, split=split)
    predictions = _predict(run.model(), batches, progress=progress)
    labels = batches.labels()
    evaluation = score(labels, predictions, run.cell_types, confidence=confidence)
    suffix = _suffix(run, batches, split)
    with disk_errors(run.folder), lock_folder(run.folder, wait=True):
        if pictures:
            _draw(run, suffix, evaluation, labels, predictions)
        _write(run, suffix, evaluation, batches.indices, labels, predictions)
    return evaluation


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


def open_batches(run: Run, store: Path | str | None = None, *, split: str = "test") -> Batches:
    """Windows of a split of a run's store, or of another store that fits its network, in their order.

    Of its own store the split is that of the run's fold, if it was trained on one.

    Raises
    ------
    InputError
        If the run's store is not what it was trained on any more, the store has other cell types or windows,
        or the split is empty.
    """
    path = run.store if store is None else Path(store)
    ds = open_store(path)
    content_hash = ds.attrs[schema.ATTR_CONTENT_HASH]
    if store is None and content_hash != run.info.store.content_hash:
        raise InputError(
            "the store has changed since the training",
            where=path,
            found=f"content hash {content_hash[:12]}",
            expected=f"content hash {run.info.store.content_hash[:12]}",
            remedy="train again on this store, or build the old one again",
        )
    names = tuple(map(str, ds[schema.CELL_TYPE].values))
    if names != run.cell_types or ds.sizes[schema.POSITION] != run.window_length:
        raise InputError(
            "the store does not fit the network",
            where=path,
            found=f"{ds.sizes[schema.POSITION]} bp; {', '.join(names)}",
            expected=f"{run.window_length} bp; {', '.join(run.cell_types)}",
        )
    own = content_hash == run.info.store.content_hash
    return Batches(ds, split=split, fold=run.config.fold if own else None, batch_size=256, shuffle=False)


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
    ranks = rankdata(scores, axis=1)
    # Of each open window the fraction of closed ones below it; of each closed one that of open ones above.
    above_closed = (ranks[:, is_open] - rankdata(opened, axis=1)) / n_closed
    below_open = 1 - (ranks[:, ~is_open] - rankdata(closed, axis=1)) / n_open
    covariance = _covariance(above_closed) / n_open + _covariance(below_open) / n_closed
    return DeLong(above_closed.mean(axis=1), covariance)


def mean_roc(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """True positive rate at :data:`ROC_GRID`, averaged over the cell types that have both classes.

    Parameters
    ----------
    labels, predictions
        Shape (window, cell_type).
    """
    curves = [np.interp(ROC_GRID, *curve) for curve in _roc_curves(labels, predictions).values()]
    mean = np.mean(curves, axis=0)
    mean[0] = 0.0
    return mean


def calibrate(labels: np.ndarray, predictions: np.ndarray) -> Calibration:
    """Reliability of predictions; `labels` and `predictions` have any, equal shape."""
    bins = np.minimum((predictions * N_BINS).astype(np.int64), N_BINS - 1).ravel()
    counts = np.bincount(bins, minlength=N_BINS)
    sums = [np.bincount(bins, np.ravel(x).astype(np.float64), N_BINS) for x in (predictions, labels)]
    with np.errstate(invalid="ignore"):
        predicted, observed = (np.where(counts, s / np.maximum(counts, 1), np.nan) for s in sums)
    return Calibration(predicted, observed, counts)


def predictor(model: keras.Model, *, engine: str = "auto") -> Callable[[np.ndarray], np.ndarray]:
    """Function from base codes (window, position) uint8 to probabilities (window, cell_type) float32.

    A compiled call around the model takes a small part of the time of `keras.Model.predict`. It is compiled
    again for each number of windows: feed batches of one size.

    Parameters
    ----------
    model
        A network of :mod:`chromacc_models.networks.architectures`.
    engine
        How it is computed: see :func:`chromacc_models.kmer_kernels.keras_model.accelerated`.
    """
    fast = accelerated(model, engine)

    @tf.function(jit_compile=fast.jit and gains_from_xla(model))
    def call(codes: tf.Tensor) -> tf.Tensor:
        return fast.model(codes, training=False)

    return lambda codes: call(tf.constant(codes)).numpy()


def predict_codes(
    model: keras.Model, codes: np.ndarray, *, batch_size: int = 256, engine: str = "auto"
) -> np.ndarray:
    """Probabilities (window, cell_type), float32, for base codes (window, position), uint8."""
    call = predictor(model, engine=engine)
    batches = (codes[first : first + batch_size] for first in range(0, len(codes), batch_size))
    return np.concatenate([_call_padded(call, batch, batch_size) for batch in batches])


def read_predictions(run: Run, *, split: str = "test") -> dict[str, np.ndarray]:
    """Windows, labels and predictions of a run on its own store; evaluates it when that was not done.

    Returns
    -------
    dict
        `windows` (window,), `labels` and `predictions` (window, cell_type).
    """
    path = run.folder / f"evaluation{'' if split == 'test' else f'-{split}'}.npz"
    if not path.exists():
        evaluate(run, split=split)
    return read_arrays(path, remedy="delete it, and evaluate the run again")


def _suffix(run: Run, batches: Batches, split: str) -> str:
    """Part of the file names that tells an evaluation from that of the own test split, which has none."""
    content_hash = batches.ds.attrs[schema.ATTR_CONTENT_HASH]
    other = "" if content_hash == run.info.store.content_hash else f"-{content_hash[:12]}"
    return other + ("" if split == "test" else f"-{split}")


def _predict(model: keras.Model, batches: Batches, *, progress: bool) -> np.ndarray:
    call, parts = predictor(model), []
    with progress_bar(batches.n_windows, unit="windows", description="predicting", show=progress) as bar:
        for batch in batches:
            parts.append(_call_padded(call, batch.codes, batches.batch_size))
            bar.update(len(batch.codes))
    return np.concatenate(parts)


def _call_padded(call: Callable[[np.ndarray], np.ndarray], codes: np.ndarray, size: int) -> np.ndarray:
    # A smaller last batch would be compiled anew.
    n = len(codes)
    return call(np.pad(codes, ((0, size - n), (0, 0))))[:n] if n < size else call(codes)


def _score_cell_type(
    name: str, labels: np.ndarray, predictions: np.ndarray, confidence: float
) -> CellTypeScore:
    n_open = int(labels.sum())
    roc = prc = (float("nan"),) * 3
    if 0 < n_open < len(labels):
        found = delong(labels, predictions[None])
        auroc, auprc = found.auroc[0], average_precision_score(labels, predictions)
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


def _roc_curves(labels: np.ndarray, predictions: np.ndarray) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """False and true positive rates by the index of the cell type, where both classes are there."""
    both = np.flatnonzero((labels.min(axis=0) == 0) & (labels.max(axis=0) == 1))
    return {int(i): roc_curve(labels[:, i], predictions[:, i])[:2] for i in both}


def _write(
    run: Run,
    suffix: str,
    evaluation: Evaluation,
    windows: np.ndarray,
    labels: np.ndarray,
    predictions: np.ndarray,
) -> None:
    folder = run.folder
    arrays = {"windows": windows, "labels": labels, "predictions": predictions}
    with staged(folder / f"evaluation{suffix}.npz") as temporary:
        np.savez_compressed(temporary, **arrays)
    text = json.dumps(evaluation.to_dict(), indent=2, allow_nan=False)
    write_text_atomically(folder / f"evaluation{suffix}.json", text)


def _draw(run: Run, suffix: str, evaluation: Evaluation, labels: np.ndarray, predictions: np.ndarray) -> None:
    curves = _roc_curves(labels, predictions)
    if curves:
        names = run.cell_types
        scores = {s.cell_type: s.auroc for s in evaluation.cell_types} | {"mean": evaluation.mean_auroc}
        figure = plots.roc(
            {names[i]: curve for i, curve in curves.items()},
            (ROC_GRID, mean_roc(labels, predictions)),
            scores=scores,
        )
        plots.save(figure, run.folder / f"roc{suffix}.png")
    plots.save(plots.calibration(*calibrate(labels, predictions)), run.folder / f"calibration{suffix}.png")
