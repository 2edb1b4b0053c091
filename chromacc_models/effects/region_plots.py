"""Pictures of the first regions of a job, as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from chromacc_data.errors import InputError
from chromacc_data.lazy import lazy_module
from chromacc_models.effects.hits_table import hits_frame
from chromacc_models.effects.motif_names import names_of_filters
from chromacc_models.effects.region_parts import RegionJob

# matplotlib is imported where there is something to draw.
region_pictures = lazy_module("chromacc_models.reporting.region_pictures")
plots = lazy_module("chromacc_models.reporting.plots")

__all__ = ["PICTURE_SUFFIXES", "PictureOptions", "draw_region", "hits_of_region"]

PICTURE_SUFFIXES = (".png", ".svg", ".pdf")
#: Hits below this are not drawn.
_AT_LEAST = 0.05


@dataclass(frozen=True)
class PictureOptions:
    """Which pictures are drawn.

    Parameters
    ----------
    path
        File; None for no pictures.
    n_regions
        Regions, from the first; of several each gets a file, ``NAME.1.png`` and so on.
    names
        Table of names of filters.
    """

    path: Path | None = None
    n_regions: int = 1
    names: Path | str | None = None

    def paths(self, n_regions: int) -> list[Path]:
        """Files of the pictures of a job of `n_regions`.

        Raises
        ------
        InputError
            For another format, or no regions.
        """
        if self.path is None:
            return []
        path = Path(self.path)
        if path.suffix not in PICTURE_SUFFIXES:
            raise InputError(
                "the suffix does not name a format of pictures",
                where=path,
                found=repr(path.suffix),
                expected=", ".join(PICTURE_SUFFIXES),
            )
        if self.n_regions < 1:
            raise InputError("no regions to draw", where="--plot-regions", found=self.n_regions)
        n = min(self.n_regions, n_regions)
        return [path] if n == 1 else [path.with_name(f"{path.stem}.{i + 1}{path.suffix}") for i in range(n)]


def hits_of_region(job: RegionJob, row: int, names: Path | str | None) -> pd.DataFrame | None:
    """Hits of one region, as :func:`hits_frame`; None for a network that has none."""
    if job.asked.obstacle is not None:
        return None
    windows = job.windows
    rows = slice(row, row + 1)
    motifs = names_of_filters(job.network.weights.parent, job.asked.contributions.scorer.n_filters, names)
    return hits_frame(
        job.asked,
        windows.codes(rows),
        columns=job.columns,
        cell_types=job.cell_types,
        regions={
            "region": windows.name[rows],
            "chrom": np.array(windows.genome.names, dtype=object)[windows.chrom[rows]],
            "start": windows.start[rows],
            "length": windows.genome.lengths[windows.chrom[rows]],
        },
        motifs=motifs,
        at_least=_AT_LEAST,
    )


def draw_region(values: xr.DataArray, hits: pd.DataFrame | None, path: Path) -> None:
    """Draw contributions or effects of one region into a file."""
    is_map = "base" in values.dims
    draw = region_pictures.plot_mutagenesis if is_map else region_pictures.plot_contributions
    plots.save(draw(values, hits), path)
