"""Pictures of an evaluation: ROC curves and reliability."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chromacc_models.evaluation.scores import ROC_GRID, Evaluation, calibrate, mean_roc, roc_curves
from chromacc_models.reporting import plots

__all__ = ["draw_evaluation"]


def draw_evaluation(
    folder: Path, suffix: str, evaluation: Evaluation, labels: np.ndarray, predictions: np.ndarray
) -> None:
    """Draw `roc.png`, where a cell type has both classes, and `calibration.png` into a folder.

    Parameters
    ----------
    folder, suffix
        Where, and what stands before the `.png` of either name.
    evaluation
        Scores of the predictions.
    labels, predictions
        (window, cell_type).
    """
    curves = roc_curves(labels, predictions)
    if curves:
        names = [score.cell_type for score in evaluation.cell_types]
        scores = {s.cell_type: s.auroc for s in evaluation.cell_types} | {"mean": evaluation.mean_auroc}
        figure = plots.roc(
            {names[i]: curve for i, curve in curves.items()},
            (ROC_GRID, mean_roc(labels, predictions)),
            scores=scores,
        )
        plots.save(figure, folder / f"roc{suffix}.png")
    plots.save(plots.calibration(*calibrate(labels, predictions)), folder / f"calibration{suffix}.png")
