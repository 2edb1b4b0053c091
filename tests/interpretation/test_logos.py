"""Logos: where the letters stand, read back from the drawn outlines."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from chromacc_data.motifs.motif import Motif
from chromacc_models.interpretation.logos import COLOURS, draw_logo, logo_grid


def letters(axes) -> dict[str, list[tuple[float, ...]]]:
    """Boxes (left, right, bottom, top) of the letters of each base."""
    boxes: dict[str, list[tuple[float, ...]]] = {}
    for patch in axes.patches:
        base = next(b for b, colour in COLOURS.items() if colour == to_hex(patch.get_facecolor()).upper())
        path = patch.get_path()
        x, y = path.vertices[path.codes != path.CLOSEPOLY].T
        position = np.round(x).astype(int)
        boxes[base] = [
            tuple(np.round([x[at].min(), x[at].max(), y[at].min(), y[at].max()], 6))
            for at in (position == p for p in np.unique(position))
        ]
    return boxes


def test_draw_logo__by_hand():
    axes = Figure().add_subplot()
    draw_logo(axes, np.array([[0.5, 0, 1.0, 0.25], [0, 2, 0, 0]]))
    assert letters(axes) == {
        "T": [(0.53, 1.47, 0, 0.25)],
        "A": [(0.53, 1.47, 0.25, 0.75)],
        "G": [(0.53, 1.47, 0.75, 1.75)],
        "C": [(1.53, 2.47, 0, 2)],
    }
    assert axes.get_xlim() == (0.5, 2.5)


@pytest.mark.parametrize(
    "heights", [np.full((2, 4), -1.0), np.ones((2, 3)), np.ones(4), np.full((1, 4), np.nan)]
)
def test_draw_logo__no_heights(heights):
    with pytest.raises(ValueError, match="heights must be"):
        draw_logo(Figure().add_subplot(), heights)


def test_logo_grid__one_axes_for_each_motif(tmp_path):
    motifs = [Motif(f"M{i}", np.eye(4), "(JUND)_(x)") for i in range(4)]
    motifs.append(Motif("flat", np.full((3, 4), 0.25)))
    figure = logo_grid(motifs, n_columns=3)
    titles = [axes.get_title() for axes in figure.axes if axes.axison]
    assert titles == [*[f"M{i} JUND  (8.0 bits)" for i in range(4)], "flat  (0.0 bits)"]
    figure.savefig(tmp_path / "logos.png")
    assert (tmp_path / "logos.png").stat().st_size > 1000


def test_logo_grid__own_titles_and_rare_bases():
    motif = Motif("x", np.array([[1, 0, 0, 0]]), background=np.array([0.05, 0.45, 0.45, 0.05]))
    figure = logo_grid([motif], titles=["mine"])
    assert figure.axes[0].get_title() == "mine  (4.3 bits)"
    assert figure.axes[0].get_ylim()[1] == pytest.approx(np.log2(20))


def test_logo_grid__no_motifs():
    with pytest.raises(ValueError, match="no motifs"):
        logo_grid([])
