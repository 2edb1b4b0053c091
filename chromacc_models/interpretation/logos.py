"""Sequence logos of motifs, many in one figure, drawn by logomaker."""

from __future__ import annotations

from collections.abc import Sequence

import logomaker
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from chromacc_data.motifs.motif import Motif, contributions, information
from chromacc_data.store.schema import BASES

__all__ = ["draw_logo", "logo_grid"]

#: Okabe and Ito: told apart with any colour vision.
COLOURS = dict(zip(BASES, ("#009E73", "#0072B2", "#E69F00", "#D55E00"), strict=True))

#: Part of a position that its letters fill from side to side.
_LETTER_WIDTH = 0.94


@mpl.rc_context({"font.size": 7, "axes.spines.top": False, "axes.spines.right": False})
def logo_grid(motifs: Sequence[Motif], *, titles: Sequence[str] | None = None, n_columns: int = 4) -> Figure:
    """Logos of motifs in rows of `n_columns`; heights are bits, all on one scale.

    Parameters
    ----------
    motifs
        One or more.
    titles
        One for each motif; its id and name when absent. The information content is added to it.
    """
    if not len(motifs):
        raise ValueError("no motifs to draw")
    titles = [f"{m.id} {m.symbol if m.name else ''}".rstrip() for m in motifs] if titles is None else titles
    n_rows = -(-len(motifs) // n_columns)
    figure = Figure(figsize=(2.4 * n_columns, 1.0 * n_rows + 0.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for ax, motif, title in zip(axes, motifs, titles, strict=False):
        draw_logo(ax, contributions(motif.ppm, background=motif.background))
        bits = information(motif.ppm, background=motif.background)
        ax.set_title(f"{title}  ({bits.sum():.1f} bits)", fontsize=7, pad=2)
        # A rare base can hold more than 2 bits when the background is not uniform.
        ax.set(ylim=(0, max(2, bits.max())), yticks=(0, 1, 2))
    for ax in axes[len(motifs) :]:
        ax.set_axis_off()
    return figure


def draw_logo(axes: Axes, heights: np.ndarray) -> None:
    """Draw a logo: letters of the given heights, shape (width, 4), at positions 1, 2, ...; tallest on top.

    Raises
    ------
    ValueError
        For negative heights.
    """
    heights = np.asarray(heights, dtype=np.float64)
    if heights.ndim != 2 or heights.shape[1] != len(BASES) or not (heights >= 0).all():
        raise ValueError("heights must be an array (width, 4) of numbers of at least 0")
    table = pd.DataFrame(heights, index=range(1, len(heights) + 1), columns=list(BASES))
    if heights.any():  # logomaker cannot scale the axes of a logo without letters
        logomaker.Logo(table, ax=axes, color_scheme=COLOURS, width=_LETTER_WIDTH, font_name="DejaVu Sans")
    axes.set(xlim=(0.5, len(heights) + 0.5), ylim=(0, heights.sum(axis=1).max() or 1))
    axes.set_xticks([1, *range(5, len(heights) + 1, 5)])
