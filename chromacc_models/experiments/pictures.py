"""Pictures of what the runs of arms have learned: counterparts of the figures of the thesis."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from chromacc_data.motifs.motif import Motif
from chromacc_models.evaluation.scores import ROC_GRID
from chromacc_models.experiments.measures import values_of
from chromacc_models.interpretation.logos import logo_grid
from chromacc_models.reporting import plots

__all__ = ["CAPTIONS", "DRAWN", "Measures"]

#: Measures of arms, by the names of the arms or of the legend.
Measures = Mapping[str, Mapping[str, Any]]

#: Caption of each kind of picture.
CAPTIONS = {
    "filters": "Filters that match one planted motif or several: mean and standard deviation over runs",
    "logos": "The filters that predictions depend on most, alternating: one motif matched, several, none",
    "matched": "Filters that match a known motif, most important for predictions first, each with its motif",
    "roc": "ROC curves, mean over cell types and runs",
    "loss": "Loss by epoch, first run; the training loss includes the penalties on the weights",
    "predictions": "Predictions for held-out windows, first run",
    "interactions": "Scaled interactions of pairs of filters that match different motifs, all runs; the "
    "first and the last bar also hold everything beyond them",
    "products": "Inner products of the vectors of all pairs of filters, all runs; the first and the last "
    "bar also hold everything beyond them",
}


def _draw_filters(drawn: Measures) -> Figure:
    kinds = {
        kind: {name: values_of(measured, f"filters.{kind}_by_motif") for name, measured in drawn.items()}
        for kind in ("single", "combination")
    }
    return plots.stacked_counts(kinds, ylabel="Filters that match planted motifs")


def _draw_logos(drawn: Measures, n_columns: int = 4) -> Figure:
    n_each = 4 if len(drawn) > 1 else 12
    motifs, titles = [], []
    for name, measured in drawn.items():
        for i, logo in enumerate(measured["logos"][:n_each]):
            ppm = np.array(logo["ppm"])  # rounded in the file
            motifs.append(Motif(f"filter_{i}", ppm / ppm.sum(axis=1, keepdims=True)))
            title = _short(logo["title"])
            titles.append(f"{name}: {title}" if len(drawn) > 1 else title)
    return logo_grid(motifs, titles=titles, n_columns=n_columns)


def _short(title: str, n_named: int = 2) -> str:
    """The first motifs of a filter that matches many, and the number of further ones."""
    names = title.split("+")
    return "+".join(names[:n_named]) + (f" and {len(names) - n_named} more" if len(names) > n_named else "")


def _draw_matched(drawn: Measures) -> Figure:
    """Filters, each followed by the known motif that it matches."""
    motifs, titles = [], []
    for name, measured in drawn.items():
        for i, logo in enumerate([logo for logo in measured["logos"] if "target_ppm" in logo][:4]):
            for kind, title, key in (
                ("filter", f"{name}: filter", "ppm"),
                ("target", logo["title"], "target_ppm"),
            ):
                ppm = np.array(logo[key])
                motifs.append(Motif(f"{kind}_{i}", ppm / ppm.sum(axis=1, keepdims=True)))
                titles.append(title)
    return logo_grid(motifs, titles=titles) if motifs else _draw_logos(drawn)


def _draw_roc(drawn: Measures) -> Figure:
    curves = {name: (ROC_GRID, np.array(measured["roc"])) for name, measured in drawn.items()}
    scores = {name: float(values_of(measured, "auroc").mean()) for name, measured in drawn.items()}
    return plots.roc(curves, scores=scores)


def _draw_loss(drawn: Measures) -> Figure:
    return plots.losses({name: measured["runs"][0]["history"] for name, measured in drawn.items()})


def _draw_predictions(drawn: Measures) -> Figure:
    return plots.histograms(
        {name: measured["histogram"] for name, measured in drawn.items()},
        xlabel="Predicted probability",
        ylabel="Windows",
    )


def _draw_pairs(drawn: Measures, *, scale: str, xlabel: str) -> Figure:
    counted = {name: measured["interaction_histograms"][scale] for name, measured in drawn.items()}
    return plots.histograms(counted, xlabel=xlabel, ylabel="Share of pairs", normalised=True)


#: How each kind of picture is drawn, from the measures of its arms by their names in the legend.
DRAWN: dict[str, Callable[[Measures], Figure]] = {
    "filters": _draw_filters,
    "logos": _draw_logos,
    "matched": _draw_matched,
    "roc": _draw_roc,
    "loss": _draw_loss,
    "predictions": _draw_predictions,
    "interactions": functools.partial(
        _draw_pairs,
        scale="scaled",
        xlabel="Added to the logit when both rise by one standard deviation",
    ),
    "products": functools.partial(_draw_pairs, scale="raw", xlabel="Inner product of the vectors"),
}
