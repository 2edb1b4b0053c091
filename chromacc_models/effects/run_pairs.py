"""Interactions of base changes in regions, into a file: every double mutant, exact."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chromacc_data.child import CHECK_THE_DISK, call_in_child
from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.files import publish
from chromacc_data.lazy import lazy_module
from chromacc_data.sequences.encoding import BASES, N_BASES
from chromacc_data.sizes import require_disk
from chromacc_data.store import schema
from chromacc_models.effects.base_arrays import REGION, BaseArray
from chromacc_models.effects.base_files import region_columns
from chromacc_models.effects.pairs import PairEffects
from chromacc_models.effects.region_parts import RegionJob, make_parts
from chromacc_models.effects.region_plots import PictureOptions
from chromacc_models.scoring.dataset_files import write_hdf5, write_zarr
from chromacc_models.scoring.parts import Parts, resumable_folder
from chromacc_models.scoring.predict import require_writable
from chromacc_models.scoring.scorer import NotInterpretableError, Scorer

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr

    from chromacc_models.training.run import Run
else:
    da, xr = map(lazy_module, ("dask.array", "xarray"))

plots = lazy_module("chromacc_models.reporting.plots")
pair_pictures = lazy_module("chromacc_models.reporting.pair_pictures")

__all__ = ["Site", "pairs"]

#: Positions of a window, the last not included.
Site = tuple[int, int]

_SUFFIXES = (".zarr", ".h5")
_PARTS = ("interaction", "cooperation")
_LONG_NAMES = {
    "interaction": "effect of two base changes on the logit, less the effects of each alone",
    "cooperation": "the part of the interaction that the head makes; the rest is redundancy, by pooling",
}
_CPU_SECONDS, _VALUES_PER_SECOND = 30, 10_000


def pairs(
    model: Run | Path | str,
    regions: Path | str,
    fasta: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    sites: tuple[Site, Site] | None = None,
    cell_types: Sequence[str] | None = None,
    engine: Engine | None = None,
    plot: Path | str | None = None,
    plot_regions: int = 1,
    overwrite: bool = False,
    show_progress: bool = False,
) -> list[Path]:
    """Interactions of every two base changes of the regions of a BED file.

    An interaction is the effect of both changes on the logit less the effects of each alone. It has two parts
    of different meaning: cooperation, which the head of a factorization machine makes of filters that change,
    and redundancy, which pooling makes where a place stands in for another, or both changes meet in one.
    Windows are as in :func:`chromacc_models.mutagenesis`. A run that was interrupted resumes.

    Parameters
    ----------
    model, regions, fasta, cell_types, engine, plot, plot_regions, overwrite, show_progress
        As in :func:`chromacc_models.mutagenesis`. A picture shows, for each two positions, the interaction of
        largest size over their base changes: cooperation above the diagonal, redundancy below.
    out
        ``.zarr`` or ``.h5``: an xarray Dataset with `interaction` and `cooperation` (region, position_a,
        base_a, position_b, base_b, cell_type), float32; positions count from the start of the window.
    sites
        Two ranges of positions of the window, (first, end) each: changes of the one with changes of the
        other; all that the network looks at when not given.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    InputError
        For a network other than the interpretable ones, sites outside the window, and as
        :func:`chromacc_models.mutagenesis`.

    Examples
    --------
    >>> import xarray as xr, chromacc_models as cm
    >>> from chromacc_data.examples import example_folder
    >>> from chromacc_models.examples import example_run
    >>> folder = example_folder()
    >>> _ = (folder / "genome.fa").write_text(">chr1\\n" + "ACGTTGCA" * 20 + "\\n")
    >>> _ = (folder / "one.bed").write_text("chr1\\t10\\t70\\n")
    >>> inputs = example_run(), folder / "one.bed", folder / "genome.fa"
    >>> out, = cm.pairs(*inputs, folder / "pairs.zarr", sites=((0, 10), (30, 50)))
    >>> xr.open_zarr(out)["interaction"].shape
    (1, 10, 4, 20, 4, 2)
    """
    engine, out = engine or Engine(), Path(out)
    if out.suffix not in _SUFFIXES:
        raise InputError(
            "the suffix does not name a format",
            where=out,
            found=repr(out.suffix),
            expected=", ".join(_SUFFIXES),
        )
    pictures = PictureOptions(None if plot is None else Path(plot), plot_regions)
    with RegionJob.open(model, regions, fasta, cell_types, engine) as job:
        _effects_of(job)  # a network that cannot be asked is refused here
        task = _Task(*_ranges(job, sites), job.columns)
        drawn = pictures.paths(len(job.windows))
        require_writable([out, *drawn], overwrite=overwrite)
        shape = task.shape(job)
        require_disk(out, 2 * 4 * int(np.prod(shape)), what=f"{shape[0]:,} regions of double mutants")
        with resumable_folder(out, job.key(quantity="pairs", sites=task.sites)) as folder:
            require_writable(
                [out, *drawn], overwrite=overwrite
            )  # again: another process may have written them
            parts = Parts(folder / "parts", shape[0], 1, ".npy")
            make_parts(job, parts, partial(_save_part, task), engine, show=show_progress)
            finished = folder / "finished"
            shutil.rmtree(finished, ignore_errors=True)  # of a run that was killed while it wrote
            finished.mkdir()
            values = BaseArray(parts, shape, np.dtype(np.float32))
            _write(job, task, values, finished / out.name)
            for row, path in enumerate(drawn):
                shown = _dataset(job, task, values).isel(region=row).load()
                plots.save(pair_pictures.plot_pairs(shown), finished / path.name)
            for path in (out, *drawn):
                publish(finished / path.name, path, overwrite=overwrite)
    return [out, *drawn]


@dataclass(frozen=True)
class _Task:
    """What is computed of each window."""

    first: Site
    second: Site
    columns: tuple[int, ...]

    @property
    def sites(self) -> tuple[Site, Site]:
        return self.first, self.second

    def shape(self, job: RegionJob) -> tuple[int, ...]:
        """(region, part, position, base, position, base, cell_type)."""
        sizes = (stop - start for start, stop in self.sites)
        axes = (n for size in sizes for n in (size, N_BASES))
        return len(job.windows), len(_PARTS), *axes, len(self.columns)


def _effects_of(job: RegionJob) -> PairEffects:
    scorer = job.asked.scorer
    obstacle = job.asked.obstacle
    if isinstance(scorer, Scorer):
        try:
            return PairEffects(scorer)
        except NotInterpretableError as error:
            obstacle = str(error)
    raise InputError(
        "interactions of base changes are computed for the interpretable networks only",
        where=job.network.weights,
        found=obstacle,
        expected="a baseline, factorization_machine or motif_builder network",
        remedy="score the double mutants as sequences: load_model(...).predict",
    )


def _ranges(job: RegionJob, sites: tuple[Site, Site] | None) -> tuple[Site, Site]:
    seen = job.asked.seen
    if sites is None:
        return ((seen.start, seen.stop),) * 2
    for first, end in sites:
        if not 0 <= first < end <= job.asked.window_length:
            raise InputError(
                "a site outside the window",
                where="--sites",
                found=f"{first}-{end}",
                expected=f"positions from 0 to {job.asked.window_length}, first below end",
            )
    return sites


def _save_part(task: _Task, job: RegionJob, _rows: slice, codes: np.ndarray, path: Path) -> None:
    effects = _effects_of(job)
    columns = list(task.columns)
    found = [effects.of_window(window, *(range(*site) for site in task.sites)) for window in codes]
    values = np.stack([np.stack([array[..., columns] for array in one]) for one in found])
    with path.open("wb") as file:
        np.save(file, values)


def _dataset(job: RegionJob, task: _Task, values: BaseArray) -> xr.Dataset:
    dims = (REGION, "position_a", "base_a", "position_b", "base_b", schema.CELL_TYPE)
    array = da.from_array(values, chunks=(1, *values.shape[1:]), name=False)
    bases = np.array(BASES, dtype=object)
    return xr.Dataset(
        {
            name: (dims, array[:, i], {"long_name": _LONG_NAMES[name], "units": "logit"})
            for i, name in enumerate(_PARTS)
        },
        coords={
            **{name: (REGION, column) for name, column in region_columns(job.windows).items()},
            "position_a": np.arange(*task.first),
            "base_a": bases,
            "position_b": np.arange(*task.second),
            "base_b": bases,
            schema.CELL_TYPE: np.array(job.cell_types, dtype=object),
        },
        attrs={"title": "Interactions of base changes", **job.attributes()},
    )


def _write(job: RegionJob, task: _Task, values: BaseArray, path: Path) -> None:
    chunks = dict.fromkeys(_PARTS, (1, *values.shape[2:]))
    if path.suffix == ".zarr":
        write_zarr(_dataset(job, task, values), path, chunks)
        return
    # A full disk lets HDF5 crash, or never end.
    limit = _CPU_SECONDS + int(np.prod(values.shape)) // _VALUES_PER_SECOND
    inputs = job, task, values, path, chunks
    call_in_child(_write_hdf5, *inputs, file=path, remedy=CHECK_THE_DISK, cpu_seconds=limit)


def _write_hdf5(
    job: RegionJob, task: _Task, values: BaseArray, path: Path, chunks: dict[str, tuple[int, ...]]
) -> None:
    write_hdf5(_dataset(job, task, values), path, chunks, level=1)
