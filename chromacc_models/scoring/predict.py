"""Regions of a BED file to predictions in a file, without the Kipoi client and without TensorFlow.

The numbers are those of ``kipoi predict`` with the same model: windows and scorer are the same.
"""

from __future__ import annotations

import functools
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import dask
import numpy as np

from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.files import disk_errors, publish, working_folder
from chromacc_data.progress import LOG, progress_bar
from chromacc_data.region_windows import RegionWindows
from chromacc_data.regions.bed import read_intervals
from chromacc_data.sequences.encoding import N_CODE, reverse_complement
from chromacc_data.sequences.genome import Genome
from chromacc_data.sizes import require_disk
from chromacc_models.scoring.open_scorer import open_scorer
from chromacc_models.scoring.prediction_files import (
    Predictions,
    output_paths,
    write_predictions,
    write_tsv,
)
from chromacc_models.scoring.saved_network import Network, chosen_cell_types, find_network
from chromacc_models.scoring.scorer import Scorer
from chromacc_models.scoring.standard_streams import is_standard, refuse_on_a_cluster, regions_file

if TYPE_CHECKING:
    from chromacc_models.scoring.keras_scorer import KerasScorer
    from chromacc_models.training.run import Run

__all__ = ["chrom_sizes", "file_stamp", "predict", "require_writable"]

Strands = Literal["forward", "both"]

_REGIONS_PER_TASK = 4096


def predict(
    model: Run | Path | str,
    regions: Path | str,
    fasta: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    cell_types: Sequence[str] | None = None,
    strands: Strands = "forward",
    batch_size: int = 256,
    engine: Engine | None = None,
    backend: str = "auto",
    overwrite: bool = False,
    show_progress: bool = False,
) -> list[Path]:
    """Predict the accessibility of the regions of a BED file.

    Each region gets the prediction of the window of the network's length around its midpoint, N past the
    ends of its chromosome; regions of mostly N are counted in a warning. Tasks of 4,096 regions write into an
    array next to `out`, in any order and from any process; then the file is written from it in blocks and
    renamed, so that a visible file is whole and memory does not grow with the number of predictions.

    Parameters
    ----------
    model
        Model folder, run or its folder, or ``.keras`` file.
    regions
        BED or narrowPeak file; ``"-"`` reads standard input.
    fasta
        Genome, plain or bgzip: one file, or several that make it up.
    out
        File; its suffix names the format: .tsv, .bed, .bw, .parquet, .h5 or .zarr. Of several cell types, BED
        and bigWig make a file each, ``NAME.CELL_TYPE.bed``. Its folder is made if need be. ``"-"`` writes TSV
        to standard output.
    cell_types
        The cell types to write, in this order; all when not given.
    strands
        ``"both"`` gives the mean of the predictions for the window and its reverse complement.
    batch_size
        Windows in one call of the network.
    engine
        Where the tasks run; local threads when not given. On a cluster, the workers need the files by the
        same paths; each loads the network and the regions once.
    backend
        How the network is computed: see :func:`chromacc_models.scoring.open_scorer.open_scorer`.
    overwrite
        Replace files that exist.
    show_progress
        Show a bar with rate and time left.

    Returns
    -------
    list of Path
        The files that were written; none for standard output.

    Raises
    ------
    InputError
        For a network, regions, genome or output that cannot be used; nothing is left behind.

    Examples
    --------
    >>> import pandas as pd, chromacc_models as cm
    >>> from chromacc_data.examples import example_folder
    >>> from chromacc_models.examples import example_run
    >>> folder = example_folder()
    >>> _ = (folder / "genome.fa").write_text(">chr1\\n" + "ACGTTGCA" * 20 + "\\n")
    >>> _ = (folder / "new.bed").write_text("chr1\\t10\\t70\\nchr1\\t50\\t110\\n")
    >>> cm.predict(example_run(), folder / "new.bed", folder / "genome.fa", folder / "new.tsv")[0].name
    'new.tsv'
    >>> pd.read_csv(folder / "new.tsv", sep="\\t").columns.tolist()[-2:]
    ['erythroid', 'liver']
    """
    engine = engine or Engine()
    refuse_on_a_cluster(engine, regions, out)
    if batch_size < 1:
        raise InputError("batch size below 1", where="--batch-size", found=batch_size)
    if strands not in ("forward", "both"):
        raise InputError("unknown strands", where="--strands", found=strands, expected="forward or both")
    network = find_network(model)
    names, columns = _chosen(network, cell_types, backend)
    paths = [] if is_standard(out) else output_paths(Path(out), names)
    require_writable(paths, overwrite=overwrite)
    fastas = [fasta] if isinstance(fasta, (str, Path)) else fasta
    genome = tuple(Path(path).resolve() for path in fastas)
    with regions_file(regions) as file:
        job = _Job(network, file, genome, strands, batch_size, columns, backend)
        n_regions = len(job.windows())  # bad regions or a wrong genome show up here, before the first task
        require_disk(
            Path(tempfile.gettempdir() if is_standard(out) else out),
            2 * 4 * n_regions * len(names),
            what=f"{n_regions:,} regions x {len(names):,} cell types",
        )
        if is_standard(out):
            with tempfile.TemporaryDirectory(prefix="chromacc-") as folder:
                predictions = _predictions(job, names, Path(folder), engine, show_progress=show_progress)
                write_tsv(predictions, sys.stdout.buffer)
            return []
        _predict_to_files(job, names, Path(out), paths, engine, overwrite=overwrite, show=show_progress)
    return paths


def _predict_to_files(
    job: _Job,
    names: tuple[str, ...],
    out: Path,
    paths: Sequence[Path],
    engine: Engine,
    *,
    overwrite: bool,
    show: bool,
) -> None:
    with working_folder(out) as folder:
        require_writable(paths, overwrite=overwrite)  # again: another process may have written them
        predictions = _predictions(job, names, folder, engine, show_progress=show)
        with disk_errors(out):
            for column, path in enumerate(paths):
                write_predictions(predictions, folder / path.name, column=column)
            for path in paths:
                publish(folder / path.name, path, overwrite=overwrite)


def _predictions(
    job: _Job, names: tuple[str, ...], folder: Path, engine: Engine, *, show_progress: bool
) -> Predictions:
    """Predictions of a job, in an array on disk in a working folder."""
    with disk_errors(folder):
        values = _allocate(folder / "values", (len(job.windows()), len(names)))
    _predict_all(job, values, engine, show_progress=show_progress)
    table = read_intervals(job.regions)
    return Predictions(table, values, names, chrom_sizes(job.fasta), _attributes(job))


@dataclass(frozen=True)
class _Job:
    """What every task of a prediction needs, in few bytes."""

    network: Network
    regions: Path
    fasta: tuple[Path, ...]
    strands: Strands
    batch_size: int
    columns: tuple[int, ...]
    backend: str

    def scorer(self) -> Scorer | KerasScorer:
        return _open_network(self.network, self.backend)

    def windows(self) -> RegionWindows:
        stamps = tuple(file_stamp(path) for path in (self.regions, *self.fasta))
        return _read_windows(self.regions, self.fasta, self.scorer().window_length, stamps)


def _allocate(path: Path, shape: tuple[int, int]) -> np.memmap:
    """An array on disk, its space taken now: a disk found full later, through the map, kills the process."""
    with path.open("wb") as file:
        for first in range(0, shape[0], _REGIONS_PER_TASK):
            np.zeros((min(_REGIONS_PER_TASK, shape[0] - first), shape[1]), np.float32).tofile(file)
    return np.memmap(path.resolve(), np.float32, "r+", shape=shape)


def _predict_all(job: _Job, values: np.memmap, engine: Engine, *, show_progress: bool) -> None:
    """Predict all regions into their rows of the array."""
    n = len(values)
    spans = [(first, min(first + _REGIONS_PER_TASK, n)) for first in range(0, n, _REGIONS_PER_TASK)]
    # A task opens the array by its path: another process cannot be sent the map.
    tasks = [dask.delayed(_predict_span)(job, values.filename, values.shape, span) for span in spans]
    with progress_bar(n, unit="regions", description="predicting", show=show_progress) as bar:
        n_unknown = sum(engine.run(tasks, weights=[stop - start for start, stop in spans], bar=bar))
    if n_unknown:
        LOG.warning(
            "%d of %d regions are N for more than half of their window: their predictions say little",
            n_unknown,
            n,
        )


def _predict_span(job: _Job, path: Path, shape: tuple[int, int], span: tuple[int, int]) -> int:
    """Predict regions `span` and write them to their rows of the array; gives how many are mostly N."""
    values = np.memmap(path, np.float32, "r+", shape=shape)
    scorer, windows, n_unknown = job.scorer(), job.windows(), 0
    for start in range(*span, job.batch_size):
        stop = min(start + job.batch_size, span[1])
        codes = windows.codes(slice(start, stop))
        n_unknown += int((2 * np.count_nonzero(codes == N_CODE, axis=1) > codes.shape[1]).sum())
        found = scorer.predict(codes)
        if job.strands == "both":
            found = (found + scorer.predict(reverse_complement(codes))) / 2
        values[start:stop] = found[:, job.columns]
    values.flush()
    return n_unknown


# Tasks of one process share the network and the regions. The lock keeps threads from loading them twice.
_LOCK = threading.RLock()


def _open_network(network: Network, backend: str) -> Scorer | KerasScorer:
    with _LOCK:
        return _network_once(network.weights, network.sha256, backend, file_stamp(network.weights))


@functools.lru_cache(maxsize=1)
def _network_once(
    weights: Path, sha256: str | None, backend: str, stamp: tuple[int, int] | None
) -> Scorer | KerasScorer:
    return open_scorer(weights, sha256=sha256, backend=backend)


def _read_windows(regions: Path, fasta: tuple[Path, ...], length: int, stamps: tuple) -> RegionWindows:
    with _LOCK:
        return _windows_once(regions, fasta, length, stamps)


@functools.lru_cache(maxsize=1)
def _windows_once(regions: Path, fasta: tuple[Path, ...], length: int, stamps: tuple) -> RegionWindows:
    return RegionWindows.read(regions, Genome.open(fasta), length)


def file_stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file does; None for one that is not there."""
    if not path.exists():
        return None
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _chosen(
    network: Network, cell_types: Sequence[str] | None, backend: str
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and columns of the cell types that are wanted."""
    known = network.names_of(_open_network(network, backend).n_cell_types)
    return chosen_cell_types(known, cell_types)


def require_writable(paths: Sequence[Path], *, overwrite: bool, mark: str = "zarr.json") -> None:
    """Raise unless outputs can be written; a folder of ours has the file `mark`."""
    for path in paths:
        if path.exists() and not overwrite:
            raise InputError("exists already", where=path, remedy="name another file, or give --overwrite")
        if path.is_dir() and not (path / mark).is_file():
            what = "a folder that is not a Zarr store" if mark == "zarr.json" else f"a folder without {mark}"
            raise InputError(what, where=path, remedy="name another file")


def chrom_sizes(fasta: tuple[Path, ...]) -> dict[str, int]:
    """Length of each sequence of a genome."""
    genome = Genome.open(fasta)
    return dict(zip(genome.names, genome.lengths.tolist(), strict=True))


def _attributes(job: _Job) -> dict[str, str]:
    return {
        "title": "Predicted chromatin accessibility",
        "network": job.network.weights.name,
        "network_sha256": job.network.sha256 or "",
        "regions": job.regions.name,
        "genome": ", ".join(path.name for path in job.fasta),
        "strands": job.strands,
        "chromacc": version("chromacc"),
    }
