"""Figures of trainings and evaluations, as matplotlib objects: nothing here touches pyplot's global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from chromacc_data.files import staged

__all__ = [
    "calibration",
    "histograms",
    "interactions",
    "learning_curves",
    "losses",
    "roc",
    "save",
    "stacked_counts",
]

# Okabe and Ito: told apart with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
_GREY = "#888888"
_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.5,
}
#: More cell types than this are drawn in grey, without names.
_MOST_NAMED = len(COLOURS)
#: Panels in a figure of interactions.
_MOST_PANELS = 12


@mpl.rc_context(_STYLE)
def learning_curves(history: pd.DataFrame) -> Figure:
    """Training and validation loss by epoch, the best epoch marked.

    Parameters
    ----------
    history
        Columns epoch, loss, validation_loss.
    """
    figure, axes = _figure()
    axes.plot(history["epoch"], history["loss"], color=COLOURS[0], label="training")
    axes.plot(history["epoch"], history["validation_loss"], color=COLOURS[1], label="validation")
    best = history.loc[history["validation_loss"].idxmin()]
    axes.plot(best["epoch"], best["validation_loss"], "o", color=COLOURS[1], markersize=4)
    axes.annotate(
        f"epoch {best['epoch']:.0f}: {best['validation_loss']:.4f}",
        (best["epoch"], best["validation_loss"]),
        textcoords="offset points",
        xytext=(0, -12),
        ha="center",
        fontsize=8,
    )
    axes.margins(y=0.1)
    axes.set(xlabel="Epoch", ylabel="Binary cross-entropy")
    axes.legend()
    return figure


@mpl.rc_context(_STYLE)
def roc(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    mean: tuple[np.ndarray, np.ndarray] | None = None,
    *,
    scores: Mapping[str, float] | None = None,
) -> Figure:
    """ROC curves by cell type and their mean.

    Parameters
    ----------
    curves
        False and true positive rates of each cell type (or network).
    mean
        False and true positive rates of the mean curve.
    scores
        AUROC by name, for the legend; the mean curve's under "mean".
    """
    figure, axes = _figure(width=4.2, height=4.2)
    scores = scores or {}
    few = len(curves) <= _MOST_NAMED
    for index, (name, (fpr, tpr)) in enumerate(curves.items()):
        axes.plot(
            fpr,
            tpr,
            color=COLOURS[index] if few else _GREY,
            alpha=1 if few else 0.25,
            linewidth=1,
            label=_with_score(name, scores) if few else None,
        )
    if mean is not None:
        axes.plot(*mean, color="black", linewidth=2, label=_with_score("mean", scores))
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle=":")
    axes.set(xlabel="False positive rate", ylabel="True positive rate", xlim=(0, 1), ylim=(0, 1.005))
    axes.set_aspect("equal")
    axes.legend(loc="lower right")
    return figure


@mpl.rc_context(_STYLE)
def calibration(predicted: np.ndarray, observed: np.ndarray, counts: np.ndarray) -> Figure:
    """Reliability diagram: how often windows of a predicted probability are open.

    Parameters
    ----------
    predicted, observed
        Mean prediction and fraction of open windows of each bin, shape (bin,); NaN in an empty bin.
    counts
        Predictions in each bin, shape (bin,).
    """
    figure = Figure(figsize=(4.2, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    top.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle=":")
    top.plot(predicted, observed, "o-", color=COLOURS[0], markersize=4)
    top.set(ylabel="Fraction open", xlim=(0, 1), ylim=(0, 1))
    edges = np.linspace(0, 1, len(counts) + 1)
    bottom.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=COLOURS[0], alpha=0.6)
    bottom.set(xlabel="Predicted probability", ylabel="Predictions")
    return figure


@mpl.rc_context(_STYLE)
def interactions(table: pd.DataFrame, *, n_bars: int = 10, n_columns: int = 3) -> Figure:
    """The first pairs of each cell type as bars, at most twelve cell types.

    Parameters
    ----------
    table
        Columns cell_type, rank, filter_a, filter_b, scaled, and motif_a and motif_b where known.
    n_bars
        Pairs of each cell type.
    """
    cell_types = list(dict.fromkeys(table["cell_type"]))[:_MOST_PANELS]
    n_columns = min(n_columns, len(cell_types))
    n_rows = -(-len(cell_types) // n_columns)
    figure = Figure(figsize=(4.0 * n_columns, (0.22 * n_bars + 0.7) * n_rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes, cell_type in zip(panels, cell_types, strict=False):
        shown = table[(table["cell_type"] == cell_type) & (table["rank"] <= n_bars)]
        names = [f"{_side(row, 'a')} × {_side(row, 'b')}" for _, row in shown.iterrows()]
        colours = np.where(shown["scaled"] > 0, COLOURS[0], COLOURS[1])
        axes.barh(range(len(shown)), shown["scaled"], color=colours)
        axes.axvline(0, color=_GREY, linewidth=0.8)
        axes.set_yticks(range(len(shown)), names, fontsize=6)
        axes.invert_yaxis()
        axes.set_title(cell_type)
    for axes in panels[len(cell_types) :]:
        axes.set_axis_off()
    figure.supxlabel("Added to the logit when both filters rise by one standard deviation", fontsize=8)
    return figure


@mpl.rc_context(_STYLE)
def stacked_counts(counts: Mapping[str, Mapping[str, np.ndarray]], *, ylabel: str) -> Figure:
    """Stacked bars of mean counts, a bar for each name, with the standard deviation over runs.

    Parameters
    ----------
    counts
        By kind, from the bottom up, and within it by name: the count of each run, shape (run,).
    ylabel
        What is counted.
    """
    figure, axes = _figure()
    names = list(next(iter(counts.values())))
    places = np.arange(len(names))
    bottom = np.zeros(len(names))
    for index, (kind, by_name) in enumerate(counts.items()):
        means = np.array([np.mean(by_name[name]) for name in names])
        spread = [np.std(by_name[name], ddof=1) if len(by_name[name]) > 1 else 0.0 for name in names]
        # Side by side, so that the bars of two kinds do not hide each other.
        aside = 0.08 * (index - (len(counts) - 1) / 2)
        axes.bar(places, means, 0.6, bottom=bottom, color=COLOURS[index], alpha=0.8, label=kind)
        axes.errorbar(
            places + aside, bottom + means, spread, fmt="none", ecolor="black", capsize=3, linewidth=1
        )
        bottom += means
    axes.set_xticks(places, [name.replace(", ", ",\n") for name in names])
    axes.set(ylabel=ylabel)
    axes.margins(y=0.15)
    axes.legend()
    return figure


@mpl.rc_context(_STYLE)
def losses(histories: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Training and validation loss of several networks by epoch, on a log scale.

    The first epochs and a jump on the way may be a hundred times what a network ends at.

    Parameters
    ----------
    histories
        By name: `loss` and `validation_loss`, one value for each epoch.
    """
    figure, axes = _figure()
    for index, (name, history) in enumerate(histories.items()):
        colour = COLOURS[index % len(COLOURS)]
        epochs = np.arange(1, len(history["loss"]) + 1)
        axes.plot(
            epochs, history["loss"], color=colour, linestyle="--", linewidth=1, label=f"{name}, training"
        )
        axes.plot(epochs, history["validation_loss"], color=colour, label=f"{name}, validation")
    axes.set(xlabel="Epoch", ylabel="Binary cross-entropy", yscale="log")
    # 0.5 and 2, not powers of ten.
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend()
    return figure


@mpl.rc_context(_STYLE)
def histograms(
    counted: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    xlabel: str,
    ylabel: str,
    normalised: bool = False,
) -> Figure:
    """Histograms of two or more kinds over each other, one panel for each name.

    Parameters
    ----------
    counted
        By name, and within it by kind: counts of equal bins; `edges` are theirs, 0 to 1 when absent.
    xlabel, ylabel
        Of all panels.
    normalised
        Show the share of its kind in each bin.
    """
    figure = Figure(figsize=(4.2 * len(counted), 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(counted), squeeze=False).ravel()
    for axes, (name, kinds) in zip(panels, counted.items(), strict=True):
        counts = {kind: np.asarray(values) for kind, values in kinds.items() if kind != "edges"}
        n_bins = len(next(iter(counts.values())))
        edges = np.asarray(kinds.get("edges", np.linspace(0, 1, n_bins + 1)))
        for index, (kind, values) in enumerate(counts.items()):
            heights = values / max(1, values.sum()) if normalised else values
            axes.stairs(heights, edges, fill=True, alpha=0.5, color=COLOURS[index], label=kind)
        axes.set(title=name)
        axes.legend()
    panels[0].set(ylabel=ylabel)
    figure.supxlabel(xlabel, fontsize=9)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's suffix, whole or not at all."""
    style = {"svg.hashsalt": path.name, "svg.fonttype": "none", "pdf.fonttype": 42}
    with staged(path) as temporary, mpl.rc_context(style):
        figure.savefig(temporary, dpi=200)


def _figure(*, width: float = 5.0, height: float = 3.4) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _with_score(name: str, scores: Mapping[str, float]) -> str:
    return f"{name} ({scores[name]:.3f})" if name in scores else name


def _side(row: pd.Series, side: str) -> str:
    """A filter of a pair, behind the name of its motif where it has one."""
    return f"{row.get(f'motif_{side}', '')} {row[f'filter_{side}'].replace('filter_', 'f')}".strip()
