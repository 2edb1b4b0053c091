"""What every base of regions does to a network's answer, into a file: changes, and contributions."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import xarray as xr

from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.files import publish
from chromacc_data.progress import LOG
from chromacc_data.sequences.encoding import N_BASES
from chromacc_data.sizes import require_disk
from chromacc_models.effects.base_arrays import (
    CONTRIBUTION,
    EFFECT,
    HYPOTHETICAL,
    BaseArray,
    BaseResult,
    Quantity,
)
from chromacc_models.effects.base_files import (
    MODISCO,
    base_output_paths,
    bases_dataset,
    region_columns,
    write_bases,
)
from chromacc_models.effects.network import AskedNetwork
from chromacc_models.effects.region_parts import RegionJob, make_parts
from chromacc_models.effects.region_plots import PictureOptions, draw_region, hits_of_region
from chromacc_models.scoring.parts import Parts, resumable_folder
from chromacc_models.scoring.predict import require_writable

if TYPE_CHECKING:
    from chromacc_models.training.run import Run

__all__ = ["base_values", "contributions", "labelled_values", "mutagenesis"]

DType = Literal["float16", "float32"]

#: Formats of :func:`mutagenesis`; contributions have one more.
EFFECT_SUFFIXES = (".zarr", ".h5", ".npz", ".bw", ".tsv")
CONTRIBUTION_SUFFIXES = (*EFFECT_SUFFIXES, MODISCO)

#: Bytes of a chunk, and chunks of a part, which is what a task makes.
_CHUNK_BYTES = 1 << 21
_CHUNKS_PER_PART = 8
#: Windows of a chunk, at most.
_MAX_ROWS = 512

_QUANTITIES = {
    "mutagenesis": EFFECT,
    "contributions": CONTRIBUTION,
    "hypothetical_contributions": HYPOTHETICAL,
}


def mutagenesis(
    model: Run | Path | str,
    regions: Path | str,
    fasta: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    cell_types: Sequence[str] | None = None,
    dtype: DType = "float32",
    engine: Engine | None = None,
    plot: Path | str | None = None,
    plot_regions: int = 1,
    names: Path | str | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
) -> list[Path]:
    """Change of the logits by every base change of the regions of a BED file.

    Each region stands for the window of the network's length around its midpoint, N past the ends of its
    chromosome, always from the forward strand. The three interpretable networks are computed exactly from
    what a base changes, in the time of a few predictions of the window; of others every mutant is scored,
    which the log and the attributes of the output say. A run that was interrupted resumes.

    Parameters
    ----------
    model
        Model folder, run or its folder, or ``.keras`` file.
    regions
        BED or narrowPeak file; ``"-"`` reads standard input.
    fasta
        Genome, plain or bgzip: one file, or several that make it up.
    out
        File; its suffix names the format. ``.zarr`` and ``.h5`` hold an xarray Dataset, ``.npz`` the same
        arrays: `effect` (region, position, base, cell_type), the change of the logit when that base stands
        there, 0 for the one that does; and `reference` (region, position), base codes. ``.tsv`` has a line
        per base change. ``.bw`` has the effect of largest size at each base, with its sign; where regions
        overlap, the mean over those in which the network looks at the base; of several cell types each gets a
        file, ``NAME.CELL_TYPE.bw``.
    cell_types
        The cell types to write, in this order; all when not given.
    dtype
        Of the numbers in the arrays; float16 keeps three digits in half of the space.
    engine
        Where the tasks run; local threads when not given.
    plot
        Draw the first region into this ``.png``, ``.svg`` or ``.pdf``: a map of the changes in at most eight
        cell types, with hits below it.
    plot_regions
        Draw so many regions; of several each gets a file, ``NAME.1.png`` and so on.
    names
        Names of the filters in pictures, as :func:`chromacc_models.hits` takes them.
    overwrite
        Replace files that exist.
    show_progress
        Show a bar with rate and time left.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    InputError
        For a network, regions, genome or output that cannot be used; nothing is left behind.

    Examples
    --------
    >>> import xarray as xr, chromacc_models as cm
    >>> from chromacc_data.examples import example_folder
    >>> from chromacc_models.examples import example_run
    >>> folder = example_folder()
    >>> _ = (folder / "genome.fa").write_text(">chr1\\n" + "ACGTTGCA" * 20 + "\\n")
    >>> _ = (folder / "two.bed").write_text("chr1\\t10\\t70\\nchr1\\t50\\t110\\n")
    >>> out, = cm.mutagenesis(example_run(), folder / "two.bed", folder / "genome.fa", folder / "two.zarr")
    >>> dict(xr.open_zarr(out)["effect"].sizes)
    {'region': 2, 'position': 60, 'base': 4, 'cell_type': 2}
    """
    if dtype not in ("float16", "float32"):
        raise InputError("unknown type of number", where="--dtype", found=dtype, expected="float16, float32")
    pictures = PictureOptions(None if plot is None else Path(plot), plot_regions, names)
    target = _Target(Path(out), EFFECT_SUFFIXES, np.dtype(dtype), overwrite, pictures)
    engine = engine or Engine()
    with RegionJob.open(model, regions, fasta, cell_types, engine) as job:
        return _write(EFFECT, job, target, engine=engine, show=show_progress)


def contributions(
    model: Run | Path | str,
    regions: Path | str,
    fasta: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    cell_types: Sequence[str] | None = None,
    hypothetical: bool = False,
    engine: Engine | None = None,
    plot: Path | str | None = None,
    plot_regions: int = 1,
    names: Path | str | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
) -> list[Path]:
    """What each base of the regions of a BED file adds to the logits.

    The contributions of a region's bases and the bias of the network add up to its logit, exactly, for all
    cell types: see :class:`chromacc_models.effects.contributions.Contributions`. Windows are as in
    :func:`mutagenesis`.

    Parameters
    ----------
    model, regions, fasta, cell_types, engine, plot, plot_regions, names, overwrite, show_progress
        As in :func:`mutagenesis`.
    out
        File; its suffix names the format. ``.zarr``, ``.h5`` and ``.npz`` hold `contribution` (region,
        position, cell_type) and `reference` (region, position), base codes. ``.tsv`` has a line per base, and
        ``.bw`` a file per cell type; where regions overlap, their mean. ``.modisco`` is a folder with
        ``ohe.npz`` and ``shap.npz``, the hypothetical contributions to one cell type, as TF-MoDISco reads.
    hypothetical
        Give a number for each base that could stand at a position: `hypothetical_contribution` (region,
        position, base, cell_type).

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    InputError
        For a network without closed contributions (`basset`), and as :func:`mutagenesis`.

    Examples
    --------
    >>> import numpy as np, chromacc_models as cm
    >>> from chromacc_data.examples import example_folder
    >>> from chromacc_models.examples import example_run
    >>> folder = example_folder()
    >>> _ = (folder / "genome.fa").write_text(">chr1\\n" + "ACGTTGCA" * 20 + "\\n")
    >>> _ = (folder / "one.bed").write_text("chr1\\t10\\t70\\n")
    >>> out, = cm.contributions(example_run(), folder / "one.bed", folder / "genome.fa", folder / "one.npz")
    >>> np.load(out)["contribution"].shape
    (1, 60, 2)
    """
    quantity = HYPOTHETICAL if hypothetical or Path(out).suffix == MODISCO else CONTRIBUTION
    pictures = PictureOptions(None if plot is None else Path(plot), plot_regions, names)
    target = _Target(Path(out), CONTRIBUTION_SUFFIXES, np.dtype(np.float32), overwrite, pictures)
    engine = engine or Engine()
    with RegionJob.open(model, regions, fasta, cell_types, engine) as job:
        return _write(quantity, job, target, engine=engine, show=show_progress)


def base_values(
    quantity: Quantity, network: AskedNetwork, codes: np.ndarray, columns: Sequence[int]
) -> np.ndarray:
    """A quantity of windows of base codes, (window, position) uint8, for some cell types; float32."""
    if quantity == EFFECT:
        return network.effects(codes)[..., columns]
    hypothetical = quantity == HYPOTHETICAL
    return network.contributions.of_bases(codes, hypothetical=hypothetical)[..., columns]


def labelled_values(
    name: str,
    network: AskedNetwork,
    codes: np.ndarray,
    columns: Sequence[int],
    cell_types: Sequence[str],
    names: pd.Index,
    in_genome: Mapping[str, np.ndarray] | None,
) -> xr.DataArray:
    """A quantity of windows in memory, with named axes.

    Parameters
    ----------
    name
        "mutagenesis", "contributions" or "hypothetical_contributions".
    network
        What is asked.
    codes
        (window, position) uint8.
    columns, cell_types
        Outputs of the network, and their names.
    names
        Of the windows.
    in_genome
        `chrom` and `start` of the windows, where they lie in a genome.
    """
    quantity = _QUANTITIES[name]
    n_bytes = 4 * codes[:1].size * network.n_cell_types * (N_BASES if quantity.has_bases else 1)
    rows = max(1, _CHUNK_BYTES * _CHUNKS_PER_PART // max(1, n_bytes))
    parts = [
        base_values(quantity, network, codes[first : first + rows], columns)
        for first in range(0, max(1, len(codes)), rows)
    ]
    regions = {"region": names.to_numpy()}
    if in_genome is not None:
        regions |= {key: in_genome[key] for key in ("chrom", "start")}
    attributes = {"network": network.where.name, "method": method_of(quantity, network)}
    ds = bases_dataset(quantity, np.concatenate(parts), codes, regions, tuple(cell_types), attributes)
    return ds[quantity.name].assign_coords(reference=ds["reference"]).assign_attrs(attributes)


@dataclass(frozen=True)
class _Target:
    """Where a quantity goes, and as what."""

    out: Path
    suffixes: tuple[str, ...]
    dtype: np.dtype
    overwrite: bool
    pictures: PictureOptions

    def paths(self, quantity: Quantity, job: RegionJob) -> tuple[list[Path], list[Path]]:
        """The files and the pictures to write, all of which may be written."""
        paths = base_output_paths(self.out, job.cell_types, quantity, self.suffixes)
        pictures = self.pictures.paths(len(job.windows))
        mark = "ohe.npz" if self.out.suffix == MODISCO else "zarr.json"
        require_writable([*paths, *pictures], overwrite=self.overwrite, mark=mark)
        return paths, pictures


def _write(
    quantity: Quantity,
    job: RegionJob,
    target: _Target,
    *,
    engine: Engine,
    show: bool,
) -> list[Path]:
    out = target.out
    paths, pictures = target.paths(quantity, job)
    if quantity == EFFECT and job.asked.is_naive:
        LOG.warning("%s: %s", job.network.weights, _naive_warning(job.asked))
    elif quantity != EFFECT:
        _ = job.asked.contributions  # refused here, before the first task
    shape, rows = _shape_and_rows(quantity, job)
    n_bytes = 2 * int(np.prod(shape)) * target.dtype.itemsize
    require_disk(out, n_bytes, what=f"{shape[0]:,} regions x {shape[-1]:,} cell types")
    key = job.key(quantity=quantity.name, dtype=str(target.dtype), rows=rows)
    with resumable_folder(out, key) as folder:
        target.paths(quantity, job)  # again: another process may have written them
        parts = Parts(folder / "parts", shape[0], rows * _CHUNKS_PER_PART, ".npy")
        maker = partial(_save_part, quantity, target.dtype)
        make_parts(job, parts, maker, engine, show=show)
        result = BaseResult(
            quantity,
            BaseArray(parts, shape, target.dtype),
            job.windows,
            job.cell_types,
            job.asked.seen,
            {**job.attributes(), "method": method_of(quantity, job.asked)},
            rows,
        )
        finished = folder / "finished"
        shutil.rmtree(finished, ignore_errors=True)  # of a run that was killed while it wrote
        finished.mkdir()
        for column, path in enumerate(paths):
            write_bases(result, finished / path.name, column=column)
        for row, path in enumerate(pictures):
            _draw(quantity, job, row, target.pictures, finished / path.name)
        for path in (*paths, *pictures):
            publish(finished / path.name, path, overwrite=target.overwrite)
    return [*paths, *pictures]


def _draw(quantity: Quantity, job: RegionJob, row: int, options: PictureOptions, path: Path) -> None:
    rows, windows = slice(row, row + 1), job.windows
    name = "mutagenesis" if quantity == EFFECT else "contributions"
    values = labelled_values(
        name,
        job.asked,
        windows.codes(rows),
        job.columns,
        job.cell_types,
        pd.Index(windows.name[rows]),
        {key: column[rows] for key, column in region_columns(windows).items()},
    )
    draw_region(values.isel(region=0), hits_of_region(job, row, options.names), path)


def method_of(quantity: Quantity, network: AskedNetwork) -> str:
    """How a quantity is computed, for people."""
    if quantity == EFFECT:
        return network.method
    return "exact: Shapley values of the filters, shared among the bases under their places"


def _naive_warning(network: AskedNetwork) -> str:
    return (
        f"every one of {3 * network.window_length:,} mutants of a window is scored by itself, which is slow: "
        "the network is none of the three interpretable ones"
    )


def _save_part(
    quantity: Quantity, dtype: np.dtype, job: RegionJob, _rows: slice, codes: np.ndarray, path: Path
) -> None:
    values = base_values(quantity, job.asked, codes, job.columns).astype(dtype, copy=False)
    with path.open("wb") as file:
        np.save(file, values)


def _shape_and_rows(quantity: Quantity, job: RegionJob) -> tuple[tuple[int, ...], int]:
    """Shape of all numbers, and windows of a chunk."""
    bases = (N_BASES,) if quantity.has_bases else ()
    shape = (len(job.windows), job.asked.window_length, *bases, len(job.columns))
    # What is computed has all cell types.
    n_bytes = 4 * int(np.prod(shape[1:-1])) * job.asked.n_cell_types
    rows = max(1, min(_CHUNK_BYTES // n_bytes, _MAX_ROWS))
    return shape, 1 if quantity == EFFECT and job.asked.is_naive else rows
