"""The picture of a pair map: positions of a region that work together, or stand in for each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from chromacc_models.reporting.region_pictures import CLOSES_OPENS

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["plot_pairs"]

_STYLE = {"font.size": 8, "axes.linewidth": 0.6}
_MOST_CELL_TYPES = 6
_INCHES = 3.6  # of a map
#: Share of the interactions that the colours tell apart: a few large ones would leave the others white.
_SHOWN = 0.995


@mpl.rc_context(_STYLE)
def plot_pairs(found: xr.Dataset) -> Figure:
    """Draw the interactions of base changes of one region.

    Each cell type has a map of its positions: for each two, the interaction of largest size over their base
    changes, with its sign, blue where two changes together open more than both alone. Where both sites are
    the same, cooperation is above the diagonal and redundancy below; else the map shows the whole
    interaction.

    Parameters
    ----------
    found
        Of one region, as :func:`chromacc_models.pairs` writes it: ``xr.open_zarr(path).isel(region=0)``. At
        most six cell types are drawn.

    Returns
    -------
    matplotlib.figure.Figure
    """
    cell_types = found["cell_type"].values.tolist()[:_MOST_CELL_TYPES]
    a, b = (found[name].to_numpy() + int(found["start"]) for name in ("position_a", "position_b"))
    in_two = np.array_equal(a, b)
    maps = [_map(found.sel(cell_type=name), in_two) for name in cell_types]
    sizes = np.abs(np.concatenate([one.ravel() for one in maps]))
    limit = float(np.quantile(sizes[sizes > 0], _SHOWN)) if sizes.any() else 1.0
    figure = Figure(figsize=(_INCHES * len(maps) + 1, _INCHES + 0.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(maps), squeeze=False)[0]
    extent = (b[0] + 0.5, b[-1] + 1.5, a[-1] + 1.5, a[0] + 0.5)  # counted from 1
    for one, name, ax in zip(maps, cell_types, axes, strict=True):
        image = ax.imshow(one, CLOSES_OPENS, vmin=-limit, vmax=limit, extent=extent, interpolation="nearest")
        ax.set_title(name, loc="left", fontweight="bold", fontsize=9)
        ax.ticklabel_format(style="plain", useOffset=False)
        ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(4, integer=True))
        ax.yaxis.set_major_locator(mpl.ticker.MaxNLocator(6, integer=True))
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.yaxis.set_major_formatter("{x:,.0f}")
        ax.set_xlabel(f"Position on {found['chrom'].item()} (bp)")
        if in_two:
            ax.plot(extent[:2], extent[:1:-1], color="#888888", linewidth=0.5)
            for x, y, text in ((0.97, 0.97, "cooperation"), (0.03, 0.03, "redundancy")):
                edges = {"ha": "right", "va": "top"} if x > 0.5 else {"ha": "left", "va": "bottom"}
                ax.text(x, y, text, transform=ax.transAxes, color="#444444", **edges)
    bar = figure.colorbar(image, ax=axes.tolist(), shrink=0.8, extend="both")
    bar.set_label("Interaction on the logit, largest of the base changes")
    figure.suptitle(f"{found['name'].item()}, {found['chrom'].item()}:{a[0] + 1:,}-{a[-1] + 1:,}", fontsize=9)
    return figure


def _map(of_one: xr.Dataset, in_two: bool) -> np.ndarray:
    """(position, position): the number of largest size over the bases."""
    interaction, cooperation = (
        of_one[name].transpose("position_a", "position_b", "base_a", "base_b").to_numpy()
        for name in ("interaction", "cooperation")
    )
    if not in_two:
        return _largest(interaction)
    above = np.triu(_largest(cooperation), 1)
    return above + np.tril(_largest(interaction - cooperation), -1)


def _largest(values: np.ndarray) -> np.ndarray:
    flat = values.reshape(*values.shape[:2], -1)
    at = np.abs(flat).argmax(axis=2)[..., np.newaxis]
    return np.take_along_axis(flat, at, axis=2)[..., 0]
