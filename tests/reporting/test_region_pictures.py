"""Pictures of regions: what is drawn where."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from chromacc_data.errors import InputError
from chromacc_models.effects.base_effects import contributions, mutagenesis
from chromacc_models.reporting import plots
from chromacc_models.reporting.region_pictures import plot_contributions, plot_mutagenesis
from tests.effects.regions import MODEL, make_place

LENGTH = 40


def array(*, has_bases: bool = False, in_genome: bool = True) -> xr.DataArray:
    """Numbers of a region of 40 bases, of which the network sees 30, in two cell types."""
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.2, (LENGTH, *((4,) if has_bases else ()), 2))
    values[:5] = values[35:] = 0
    dims = ("position", *(("base",) if has_bases else ()), "cell_type")
    reference = rng.integers(0, 4, LENGTH)
    reference[10] = 4
    coords = {
        "position": np.arange(LENGTH),
        "cell_type": ["K562", "liver"],
        "region": "mine",
        "reference": ("position", reference),
    }
    if in_genome:
        coords |= {"chrom": "chr7", "start": 1000}
    return xr.DataArray(values, dims=dims, coords=coords)


def hits() -> pd.DataFrame:
    rows = [
        ("mine", "chr7", 1010, 1020, "+", "filter_3", "CTCF", "K562", 0.5),
        ("mine", "chr7", 1012, 1022, "-", "filter_4", "", "K562", -0.3),
        ("mine", "chr7", 1000, 1040, ".", "rest", "", "K562", 0.1),
        ("other", "chr7", 1010, 1020, "+", "filter_5", "", "K562", 0.5),
        ("mine", "chr7", 990, 1004, "+", "filter_6", "", "K562", 0.5),
    ]
    names = ["region", "chrom", "start", "end", "strand", "filter", "motif", "cell_type", "contribution"]
    return pd.DataFrame(rows, columns=names)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(mpl.text.Text) if text.get_text()]


@pytest.mark.parametrize("in_genome", [True, False])
def test_plot_contributions__positions_of_a_browser(in_genome: bool):
    figure = plot_contributions(array(in_genome=in_genome))
    first = 1006 if in_genome else 6
    assert figure.axes[0].get_xlim() == (first - 0.5, first + 29.5)
    assert [axes.get_title("left") for axes in figure.axes[::2]] == ["K562", "liver"]
    assert figure.axes[0].get_ylim() == figure.axes[2].get_ylim()
    title = "mine, chr7:1,006-1,035" if in_genome else "mine"
    assert figure.get_suptitle() == title


def test_plot_contributions__hits_point_along_their_strand_and_do_not_overlap():
    figure = plot_contributions(array(), hits())
    forward, reverse = [patch for patch in figure.axes[1].patches if type(patch) is Polygon]
    assert forward.get_xy()[:, 0].max() == 1020.5
    assert np.isclose(forward.get_xy()[2, 0], 1020.5)  # the tip
    assert np.isclose(reverse.get_xy()[2, 0], 1012.5)
    assert forward.get_xy()[2, 1] != reverse.get_xy()[2, 1]
    assert forward.get_facecolor() != reverse.get_facecolor()
    shown = texts(figure)
    assert {"CTCF", "f4"} <= set(shown)
    assert not {"f5", "f6", "rest"} & set(shown)


def test_plot_mutagenesis__scale_is_symmetric():
    figure = plot_mutagenesis(array(has_bases=True), hits())
    mesh = next(iter(figure.axes[1].collections))
    low, high = mesh.get_clim()
    assert low == -high
    assert np.isclose(high, np.abs(array(has_bases=True)).max())
    assert mesh.get_array().shape == (4, 30)
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == list("ACGT")
    assert "CTCF" in texts(figure)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_pictures__are_written(tmp_path: Path, suffix: str):
    plots.save(plot_contributions(array() * 0), tmp_path / f"none{suffix}")
    plots.save(plot_mutagenesis(array(has_bases=True)), tmp_path / f"map{suffix}")
    assert all(path.stat().st_size > 5000 for path in tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("draw", [plot_contributions, plot_mutagenesis])
def test_pictures__of_several_regions(draw):
    with pytest.raises(InputError, match="shows one region"):
        draw(array(has_bases=True).expand_dims("region_2"))


def test_commands__draw_the_first_regions(tmp_path: Path):
    place = make_place(tmp_path)
    one = {"cell_types": ["K562"]}
    files = contributions(
        *(MODEL, place.regions, place.genome, tmp_path / "out.npz"),
        plot=tmp_path / "picture.svg",
        plot_regions=2,
        **one,
    )
    assert [path.name for path in files] == ["out.npz", "picture.1.svg", "picture.2.svg"]
    text = (tmp_path / "picture.2.svg").read_text()
    assert "minus, chr1:" in text
    assert "K562" in text
    with pytest.raises(InputError, match="exists already"):
        mutagenesis(
            *(MODEL, place.regions, place.genome, tmp_path / "m.npz"),
            plot=tmp_path / "picture.1.svg",
            **one,
        )
    for options, message in (
        ({"plot": tmp_path / "a.jpeg"}, "does not name a format of pictures"),
        ({"plot": tmp_path / "a.png", "plot_regions": 0}, "no regions to draw"),
    ):
        with pytest.raises(InputError, match=message):
            mutagenesis(MODEL, place.regions, place.genome, tmp_path / "m.npz", **options, **one)
    assert not (tmp_path / "m.npz").exists()
