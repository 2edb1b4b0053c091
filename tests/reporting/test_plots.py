from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from chromacc_models.reporting import plots

CURVE = (np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.8, 1.0]))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.get_legend().get_texts()]


def test_learning_curves__both_losses_and_the_best_epoch():
    history = pd.DataFrame({"epoch": [1, 2, 3], "loss": [3.0, 2, 1], "validation_loss": [3.0, 2, 2.5]})
    axes = plots.learning_curves(history).axes[0]
    assert [line.get_ydata().tolist() for line in axes.lines[:2]] == [[3, 2, 1], [3, 2, 2.5]]
    assert axes.texts[0].get_text() == "epoch 2: 2.0000"


def test_roc__names_few_cell_types_with_their_scores():
    figure = plots.roc({"liver": CURVE}, CURVE, scores={"liver": 0.75, "mean": 0.7})
    assert texts(figure) == ["liver (0.750)", "mean (0.700)"]


def test_roc__many_cell_types_without_names():
    figure = plots.roc({str(i): CURVE for i in range(164)}, CURVE)
    assert texts(figure) == ["mean"]
    assert len(figure.axes[0].lines) == 166


def test_calibration__bins():
    x = np.array([0.1, np.nan, 0.9])
    top, bottom = plots.calibration(x, x, np.array([5, 0, 2])).axes
    np.testing.assert_array_equal(top.lines[1].get_xdata(), x)
    assert [bar.get_height() for bar in bottom.patches] == [5, 0, 2]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_save__format_by_suffix(suffix: str, tmp_path: Path):
    plots.save(plots.roc({"a": CURVE}), tmp_path / f"roc.{suffix}")
    assert [p.name for p in tmp_path.iterdir()] == [f"roc.{suffix}"]


def test_plots__leave_pyplot_alone():
    code = "import sys, chromacc_models.reporting.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_interactions__one_panel_for_each_cell_type():
    rows = [
        (cell_type, rank, f"filter_{rank}", "filter_9", 3.0 - rank, "GATA4" if rank == 1 else "", "")
        for cell_type in ("a", "b", "c", "d")
        for rank in (1, 2, 3, 4)
    ]
    names = ["cell_type", "rank", "filter_a", "filter_b", "scaled", "motif_a", "motif_b"]
    figure = plots.interactions(pd.DataFrame(rows, columns=names), n_bars=4)
    drawn = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in drawn] == ["a", "b", "c", "d"]
    assert [bar.get_width() for bar in drawn[0].patches] == [2, 1, 0, -1]
    assert [label.get_text() for label in drawn[0].get_yticklabels()][:2] == ["GATA4 f1 × f9", "f2 × f9"]
    nameless = plots.interactions(pd.DataFrame(rows, columns=names)[names[:5]], n_bars=1)
    assert [label.get_text() for label in nameless.axes[0].get_yticklabels()] == ["f1 × f9"]


def test_stacked_counts__means_and_spreads_of_runs():
    counts = {
        "single": {"a": np.array([1.0, 3.0]), "b": np.array([5.0])},
        "combination": {"a": np.array([2.0, 2.0]), "b": np.array([4.0])},
    }
    axes = plots.stacked_counts(counts, ylabel="Filters").axes[0]
    bars = [(bar.get_y(), bar.get_height()) for container in axes.containers[::2] for bar in container]
    assert bars == [(0, 2), (0, 5), (2, 2), (5, 4)]
    spreads = [np.ptp(line.get_segments()[0][:, 1]) for line in axes.collections]
    assert spreads == pytest.approx([2 * np.sqrt(2), 0])  # both ways from the mean of a
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]


def test_losses__of_each_network():
    figure = plots.losses(
        {"a": {"loss": [3, 2], "validation_loss": [4, 3]}, "b": {"loss": [1], "validation_loss": [2]}}
    )
    assert [line.get_ydata().tolist() for line in figure.axes[0].lines] == [[3, 2], [4, 3], [1], [2]]
    assert texts(figure) == ["a, training", "a, validation", "b, training", "b, validation"]


def test_histograms__counts_or_shares():
    counted = {"a": {"open": [1, 3], "closed": [0, 0]}, "b": {"edges": [-1, 0, 3], "open": [2, 2]}}
    figure = plots.histograms(counted, xlabel="x", ylabel="y")
    stairs = [patch.get_data() for axes in figure.axes for patch in axes.patches]
    assert [s.values.tolist() for s in stairs] == [[1, 3], [0, 0], [2, 2]]
    assert stairs[0].edges.tolist() == [0, 0.5, 1]
    assert stairs[2].edges.tolist() == [-1, 0, 3]
    shares = plots.histograms(counted, xlabel="x", ylabel="y", normalised=True).axes[0].patches
    assert [patch.get_data().values.tolist() for patch in shares] == [[0.25, 0.75], [0, 0]]
