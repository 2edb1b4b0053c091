"""Pictures of one region, as a genome browser shows it: contribution logos, hits, maps of base changes."""

from __future__ import annotations

from collections.abc import Sequence

import logomaker
import matplotlib as mpl
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.ticker import FuncFormatter, MaxNLocator

from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import BASES, N_CODE
from chromacc_models.interpretation.logos import COLOURS as BASE_COLOURS

__all__ = ["CLOSES_OPENS", "plot_contributions", "plot_mutagenesis"]

#: Okabe and Ito: what opens, and what closes; told apart with any colour vision.
_OPENS, _CLOSES = "#0072B2", "#D55E00"
_GREY = "#888888"
CLOSES_OPENS = LinearSegmentedColormap.from_list("closes_opens", (_CLOSES, "#FFFFFF", _OPENS))
_STYLE = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6}

#: Cell types and hits of each that are drawn at most.
_MOST_CELL_TYPES, _MOST_HITS = 8, 10
_INCHES_PER_BASE, _NARROWEST, _WIDEST = 0.045, 6.0, 16.0
_MARGIN = 1.6  # inches beside the axes, for labels
_LANE = 0.17  # inches of a row of hits
_LETTER = 0.068  # inches of a letter of a hit's name, at its size of 6.5 points
_LETTER_WIDTH = 0.94  # of a position
_TIP = 3.0  # bases of the head of an arrow


@mpl.rc_context(_STYLE)
def plot_contributions(contributions: xr.DataArray, hits: pd.DataFrame | None = None) -> Figure:
    """Draw what the bases of one region add to the logits, with its hits below.

    Each cell type has a logo on one scale, letters that close below the axis, and the hits of largest
    contribution as arrows along their strand: blue opens, orange closes. Positions are those of a genome
    browser, counted from 1.

    Parameters
    ----------
    contributions
        Of one region, (position, cell_type), as ``load_model(...).contributions(...)`` gives them:
        ``contributions.isel(region=0)``. At most eight cell types are drawn.
    hits
        Table of ``load_model(...).hits(...)``; rows of other regions are left out.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If the contributions are not those of one region.

    Examples
    --------
    >>> import chromacc_models as cm
    >>> from chromacc_models.examples import example_run
    >>> model, sequence = cm.load_model(example_run()), {"mine": "ACGTTGACGTCA" * 5}
    >>> figure = cm.plot_contributions(model.contributions(sequence).sel(region="mine"), model.hits(sequence))
    >>> bool(figure.get_size_inches()[0] >= 6)
    True
    """
    shown = _shown(contributions, ("position", "cell_type"))
    cell_types = shown["cell_type"].values.tolist()
    tracks = [_arrows(hits, shown, cell_type) for cell_type in cell_types]
    heights = [
        h for track in tracks for h in (0.9, _LANE * max(1, track["lane"].max() + 1 if len(track) else 0))
    ]
    figure, axes = _panels(shown, heights)
    values = shown.transpose("position", "cell_type").to_numpy()
    limits = _limits(values)
    for number, (cell_type, track) in enumerate(zip(cell_types, tracks, strict=True)):
        top, below = axes[2 * number], axes[2 * number + 1]
        top.set(ylim=limits)
        _draw_letters(top, shown, values[:, number])
        _label(top, cell_type)
        _draw_hits(below, track)
    figure.supylabel("Contribution to the logit", fontsize=8)
    _finish(axes, shown)
    return figure


@mpl.rc_context(_STYLE)
def plot_mutagenesis(effects: xr.DataArray, hits: pd.DataFrame | None = None) -> Figure:
    """Draw what every base change of one region does to the logits.

    Each cell type has a map of four rows, blue where a change opens and orange where it closes, on one
    symmetric scale, a dot at the base that is there; and above it that base, as high as its mean change
    takes from the logit.

    Parameters
    ----------
    effects
        Of one region, (position, base, cell_type), as ``load_model(...).mutagenesis(...)`` gives them:
        ``effects.isel(region=0)``. At most eight cell types are drawn.
    hits
        Table of ``load_model(...).hits(...)``: drawn below each map.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If the effects are not those of one region.

    Examples
    --------
    >>> import chromacc_models as cm
    >>> from chromacc_models.examples import example_run
    >>> model = cm.load_model(example_run())
    >>> figure = cm.plot_mutagenesis(model.mutagenesis("ACGTTGACGTCA" * 5).isel(region=0))
    >>> bool(figure.get_size_inches()[0] >= 6)
    True
    """
    shown = _shown(effects, ("position", "base", "cell_type"))
    cell_types = shown["cell_type"].values.tolist()
    tracks = [None if hits is None else _arrows(hits, shown, name) for name in cell_types]
    heights = []
    for track in tracks:
        heights += [0.5, 0.5]
        if track is not None:
            heights.append(_LANE * max(1, track["lane"].max() + 1 if len(track) else 0))
    figure, axes = _panels(shown, heights)
    values = shown.transpose("position", "base", "cell_type").to_numpy().astype(np.float64)
    reference = shown["reference"].to_numpy()
    known = reference != N_CODE
    lost = -values.sum(axis=1) / np.where(known, 3, 4)[:, np.newaxis]
    limits, largest = _limits(lost), np.abs(values).max() or 1
    at = _positions(shown)
    edges = np.append(at - 0.5, at[-1] + 0.5)
    per_cell_type = len(heights) // len(cell_types)
    for number, (cell_type, track) in enumerate(zip(cell_types, tracks, strict=True)):
        top, middle, *below = axes[per_cell_type * number : per_cell_type * (number + 1)]
        top.set(ylim=limits)
        _draw_letters(top, shown, lost[:, number])
        _label(top, cell_type)
        mesh = middle.pcolormesh(
            edges, np.arange(5) - 0.5, values[:, :, number].T, cmap=CLOSES_OPENS, vmin=-largest, vmax=largest
        )
        mesh.set_rasterized(True)
        middle.plot(at[known], reference[known], ".", color="black", markersize=1.2, markeredgewidth=0)
        middle.set_yticks(range(4), BASES, fontsize=5.5)
        middle.invert_yaxis()
        middle.tick_params(axis="y", length=0, pad=2)
        middle.spines[:].set_visible(False)
        for panel in below:
            _draw_hits(panel, track)
    figure.supylabel("Mean loss of the logit, and change by each base", fontsize=8)
    bar = figure.colorbar(
        mesh, ax=axes, fraction=0.02, pad=0.01, aspect=30, shrink=min(1, 2.5 / sum(heights))
    )
    bar.set_label("Change of the logit", fontsize=8)
    bar.outline.set_visible(False)
    _finish(axes, shown)
    return figure


def _shown(values: xr.DataArray, dims: tuple[str, ...]) -> xr.DataArray:
    """What is drawn: the positions that the network looks at, and the first cell types."""
    if set(values.dims) != set(dims):
        raise InputError(
            "a picture shows one region",
            found=f"axes {', '.join(map(str, values.dims))}",
            expected=f"axes {', '.join(dims)}",
            remedy="choose one: values.isel(region=0)",
        )
    others = [dim for dim in values.dims if dim != "position"]
    seen = np.flatnonzero((values != 0).any(others).to_numpy())
    if len(seen):
        values = values.isel(position=slice(seen[0], seen[-1] + 1))
    return values.isel(cell_type=slice(_MOST_CELL_TYPES))


def _positions(shown: xr.DataArray) -> np.ndarray:
    """Positions as genome browsers count them, from 1."""
    start = int(shown["start"]) if "start" in shown.coords else 0
    return shown["position"].to_numpy() + start + 1


def _panels(shown: xr.DataArray, heights: Sequence[float]) -> tuple[Figure, np.ndarray]:
    width = np.clip(_INCHES_PER_BASE * shown.sizes["position"] + _MARGIN, _NARROWEST, _WIDEST)
    figure = Figure(
        figsize=(width, sum(heights) * 1.12 + 0.2 * shown.sizes["cell_type"] + 0.9), layout="constrained"
    )
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(h_pad=0.015, hspace=0.0)
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False).ravel()
    return figure, axes


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Limits of the axes of logos, one for all cell types."""
    low, high = min(values.min(), 0), max(values.max(), 0)
    room = 0.05 * (high - low) or 1
    return low - room, high + room


def _draw_letters(axes: Axes, shown: xr.DataArray, heights: np.ndarray) -> None:
    """Letters of the sequence, as high as the values, below the axis where negative."""
    at, reference = _positions(shown), shown["reference"].to_numpy()
    # A letter as thin as the line of the axis is not seen, and each takes milliseconds.
    least = 0.008 * np.ptp(axes.get_ylim())
    for x, code, height in zip(at.tolist(), reference.tolist(), heights.tolist(), strict=True):
        if code == N_CODE or abs(height) < least:
            continue
        logomaker.Glyph(
            x,
            BASES[code],
            floor=min(height, 0),
            ceiling=max(height, 0),
            ax=axes,
            width=_LETTER_WIDTH,
            color=BASE_COLOURS[BASES[code]],
            edgecolor="none",
            flip=height < 0,
            font_name="DejaVu Sans",
        )
    axes.axhline(0, color=_GREY, linewidth=0.5)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.tick_params(axis="y", labelsize=6.5)


def _label(axes: Axes, cell_type: str) -> None:
    axes.set_title(cell_type, fontsize=8.5, fontweight="bold", loc="left", pad=2)


def _arrows(hits: pd.DataFrame | None, shown: xr.DataArray, cell_type: str) -> pd.DataFrame:
    """Hits of one cell type, largest first, with rows in which they and their names do not overlap."""
    columns = ["start", "end", "strand", "label", "contribution", "lane"]
    if hits is None:
        return pd.DataFrame(columns=columns)
    at = _positions(shown)
    rows = hits[(hits["cell_type"] == cell_type) & ~hits["filter"].isin(("rest", "bias"))]
    if "region" in shown.coords or "name" in shown.coords:
        name = shown["region" if "region" in shown.coords else "name"].item()
        rows = rows[rows["region"] == name]
    if "start" in shown.coords:  # regions may share a name
        rows = rows[rows["chrom"] == shown["chrom"].item()].drop_duplicates(["start", "filter", "strand"])
    rows = rows[(rows["start"] + 1 >= at[0]) & (rows["end"] <= at[-1])]
    rows = rows.assign(size=rows["contribution"].abs()).nlargest(_MOST_HITS, "size")
    short = rows["filter"].str.replace("filter_", "f")
    rows = rows.assign(label=rows["motif"].where(rows["motif"] != "", short)).sort_values(["start", "end"])
    width = np.clip(_INCHES_PER_BASE * len(at), _NARROWEST - _MARGIN, _WIDEST - _MARGIN)
    bases_per_letter = _LETTER * len(at) / width
    ends: list[float] = []
    lanes = []
    for row in rows.itertuples():
        length = max(row.end - row.start, len(row.label) * bases_per_letter + _TIP + 2)
        lane = next((i for i, end in enumerate(ends) if end < row.start), len(ends))
        ends[lane : lane + 1] = [row.start + length]
        lanes.append(lane)
    return rows.assign(lane=np.array(lanes, dtype=int))[columns]


def _draw_hits(axes: Axes, track: pd.DataFrame) -> None:
    """Hits as arrows along their strand, their names on them."""
    n_lanes = max(1, track["lane"].max() + 1 if len(track) else 0)
    for row in track.itertuples():
        first, last, y = row.start + 0.5, row.end + 0.5, row.lane
        tip = min(_TIP, (last - first) / 3)
        corners = [
            (first, y - 0.4),
            (last - tip, y - 0.4),
            (last, y),
            (last - tip, y + 0.4),
            (first, y + 0.4),
        ]
        if row.strand == "-":
            corners = [(first + last - x, at) for x, at in corners]
        colour = _OPENS if row.contribution > 0 else _CLOSES
        axes.add_patch(Polygon(corners, closed=True, facecolor=colour, edgecolor="none", alpha=0.3))
        begin = first + 1 + (tip if row.strand == "-" else 0)
        axes.text(
            begin, y + 0.02, row.label, va="center_baseline", fontsize=6.5, color="black", clip_on=False
        )
    axes.set(ylim=(n_lanes - 0.5, -0.5))
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(axis="x", length=0)


def _finish(axes: np.ndarray, shown: xr.DataArray) -> None:
    """Title and axis of positions."""
    at = _positions(shown)
    last = axes[-1]
    last.set_xlim(at[0] - 0.5, at[-1] + 0.5)
    for panel in axes[:-1]:
        panel.spines["bottom"].set_visible(False)
        panel.tick_params(axis="x", length=0)
    last.spines["bottom"].set_visible(True)
    last.tick_params(axis="x", length=3, labelsize=7)
    last.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    last.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    name = next((str(shown[key].item()) for key in ("region", "name") if key in shown.coords), "")
    if "chrom" in shown.coords:
        chrom = shown["chrom"].item()
        last.set_xlabel(f"Position on {chrom} (bp)")
        place = f"{chrom}:{at[0]:,}-{at[-1]:,}"
        name = place if name.isdigit() or not name else f"{name}, {place}"
    else:
        last.set_xlabel("Position in the sequence (bp)")
    last.figure.suptitle(name, fontsize=9.5)
