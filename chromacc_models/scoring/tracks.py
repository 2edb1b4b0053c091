"""Predictions along a genome: a bigWig for each cell type, each base scanned once."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import expit

from chromacc_data.engine import Engine, delayed
from chromacc_data.errors import InputError
from chromacc_data.files import disk_errors, file_digest, publish
from chromacc_data.names import file_names
from chromacc_data.progress import LOG, progress_bar
from chromacc_data.regions.bed import read_intervals
from chromacc_data.sequences.encoding import N_CODE
from chromacc_data.sequences.genome import Genome
from chromacc_data.sizes import require_disk
from chromacc_models.scoring.bigwig import write_bigwig
from chromacc_models.scoring.open_scorer import open_scorer
from chromacc_models.scoring.parts import Parts, resumable_folder
from chromacc_models.scoring.predict import chrom_sizes, file_stamp, require_writable
from chromacc_models.scoring.saved_network import Network, chosen_cell_types, find_network
from chromacc_models.scoring.scorer import Scorer
from chromacc_models.scoring.strided import StridedScorer

if TYPE_CHECKING:
    from chromacc_models.scoring.keras_scorer import KerasScorer
    from chromacc_models.training.run import Run

__all__ = ["tracks"]

#: What a task makes: values, and bases read, at most.
_PART_VALUES, _PART_BASES = 1 << 22, 1 << 22
#: Fewer bins in a row are computed window by window: contigs, ends of chromosomes, small regions.
_SHORT = 32
#: Windows computed one by one, at a time.
_BATCH = 4096


def tracks(
    model: Run | Path | str,
    fasta: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    regions: Path | str | None = None,
    stride: int = 50,
    cell_types: Sequence[str] | None = None,
    logits: bool = False,
    engine: Engine | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
) -> list[Path]:
    """Predict along whole chromosomes, into a bigWig for each cell type.

    Chromosomes are cut into bins of `stride` bases. A bin gets the prediction of the window of the network's
    length around its midpoint, as :func:`chromacc_models.predict` gives it for the bin as a region. Windows
    that overlap share the scan of their bases. A bin whose window is N for more than half of its length has
    no value. A run that was interrupted resumes.

    Parameters
    ----------
    model
        Model folder, run or its folder, or ``.keras`` file.
    fasta
        Genome, plain or bgzip: one file, or several that make it up.
    out
        Folder for the files, which are named after the cell types. It is made if need be.
    regions
        BED file: only bins that overlap its regions get a value; all of the genome when not given.
    stride
        Bases of a bin.
    cell_types
        The cell types to write; all when not given.
    logits
        Write logits instead of probabilities.
    engine
        Where the tasks run; local threads when not given.
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
        For a network, genome, regions or output that cannot be used; nothing is left behind.

    Examples
    --------
    >>> import chromacc_models as cm
    >>> from chromacc_data.examples import example_folder
    >>> from chromacc_models.examples import example_run
    >>> folder = example_folder()
    >>> _ = (folder / "genome.fa").write_text(">chr1\\n" + "ACGTTGCA" * 20 + "\\n")
    >>> [path.name for path in cm.tracks(example_run(), folder / "genome.fa", folder / "tracks", stride=20)]
    ['erythroid.bw', 'liver.bw']
    """
    engine, out = engine or Engine(), Path(out)
    if stride < 1:
        raise InputError("a stride below 1", where="--stride", found=stride, expected="bases, 1 or more")
    if out.exists() and not out.is_dir():
        raise InputError("a file is there", where=out, expected="a folder for the bigWig files")
    network = find_network(model)
    fastas = [fasta] if isinstance(fasta, (str, Path)) else fasta
    job = _Job(
        network,
        tuple(Path(path).resolve() for path in fastas),
        None if regions is None else Path(regions).resolve(),
        stride,
        logits,
    )
    names, columns = chosen_cell_types(network.names_of(job.scorer().n_cell_types), cell_types)
    paths = [out / f"{name}.bw" for name in file_names(names)]
    require_writable(paths, overwrite=overwrite)
    bins = job.bins()
    require_disk(
        out, 4 * len(bins) * (len(names) + 2), what=f"{len(bins):,} bins x {len(names):,} cell types"
    )
    with resumable_folder(out, job.key(columns)) as folder:
        require_writable(paths, overwrite=overwrite)  # again: another process may have written them
        # What is computed has all cell types.
        rows = max(1, min(_PART_VALUES // job.scorer().n_cell_types, _PART_BASES // stride))
        parts = Parts(folder / "parts", len(bins), rows, ".npy")
        _make_parts(job, parts, columns, engine, show=show_progress)
        with disk_errors(out):
            for column, path in enumerate(paths):
                _write_track(bins, parts, column, chrom_sizes(job.fasta), folder / path.name)
            out.mkdir(parents=True, exist_ok=True)
            for path in paths:
                publish(folder / path.name, path, overwrite=overwrite)
    return paths


class _Run(NamedTuple):
    """Bins next to each other: their sequence, the first one, how many, and the row of the first."""

    chrom: int
    first: int
    n: int
    row: int


@dataclass(frozen=True)
class Bins:
    """Bins of `stride` bases along sequences, in the order of the genome; the last of a sequence is shorter.

    Parameters
    ----------
    stride
        Bases of a bin.
    lengths
        (chrom,) int64.
    chrom, first, n
        Stretches of bins: sequence, number of the first bin, number of bins; (stretch,) int64.
    """

    stride: int
    lengths: np.ndarray
    chrom: np.ndarray
    first: np.ndarray
    n: np.ndarray

    @classmethod
    def over(cls, genome: Genome, stride: int, regions: Path | None = None) -> Bins:
        """Bins over a genome, or those that overlap the regions of a BED file."""
        lengths = genome.lengths.astype(np.int64)
        n_bins = -(-lengths // stride)
        if regions is None:
            return cls(stride, lengths, np.arange(len(lengths)), np.zeros_like(n_bins), n_bins)
        table = read_intervals(regions)
        chrom = genome.index(table["chrom"], where=regions).astype(np.int64)
        start, end = (table[edge].to_numpy(np.int64) for edge in ("start", "end"))
        outside = (start < 0) | (end > lengths[chrom])
        if outside.any():
            row = int(np.argmax(outside))
            raise InputError(
                "a region lies past the end of its sequence",
                where=f"{regions}, region {row + 1}",
                found=f"{genome.names[chrom[row]]}:{start[row]}-{end[row]}; {outside.sum()} of "
                f"{len(outside)} regions do",
                expected=f"coordinates up to {lengths[chrom[row]]}",
                remedy="take the FASTA of the assembly that the regions are of",
            )
        # Sequences end to end, in bins: the regions of one never meet those of the next.
        before = np.cumsum(n_bins) - n_bins
        order = np.argsort(before[chrom] + start // stride, kind="stable")
        chrom, first, stop = chrom[order], (start // stride)[order], (-(-end // stride))[order]
        begin, reach = before[chrom] + first, np.maximum.accumulate(before[chrom] + stop)
        is_new = np.ones(len(begin), bool)
        is_new[1:] = (begin[1:] > reach[:-1]) | (chrom[1:] != chrom[:-1])
        heads = np.flatnonzero(is_new)
        ends = reach[np.append(heads[1:], len(reach)) - 1]
        return cls(stride, lengths, chrom[heads], first[heads], ends - begin[heads])

    def __len__(self) -> int:
        """Number of bins."""
        return int(self.n.sum())

    def runs(self, rows: slice) -> Iterator[_Run]:
        """Runs of bins that make up some rows."""
        after = np.cumsum(self.n)
        stretch = int(np.searchsorted(after, rows.start, side="right"))
        row = rows.start
        while row < rows.stop:
            skipped = row - int(after[stretch] - self.n[stretch])
            n = min(int(after[stretch]), rows.stop) - row
            if n:
                yield _Run(int(self.chrom[stretch]), int(self.first[stretch]) + skipped, n, row)
            row, stretch = row + n, stretch + 1

    def edges(self, rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sequence, start and end of bins, (bin,) int64 each."""
        runs = list(self.runs(rows))
        n = np.array([run.n for run in runs])
        chrom = np.repeat([run.chrom for run in runs], n)
        number = np.concatenate([np.arange(run.first, run.first + run.n) for run in runs])
        start = number * self.stride
        return chrom, start, np.minimum(start + self.stride, self.lengths[chrom])


@dataclass(frozen=True)
class _Job:
    """What every task needs, in few bytes."""

    network: Network
    fasta: tuple[Path, ...]
    regions: Path | None
    stride: int
    logits: bool

    def scorer(self) -> Scorer | KerasScorer:
        return self._opened()[0]

    def along(self) -> StridedScorer | None:
        return self._opened()[1]

    def genome(self) -> Genome:
        with _LOCK:
            return _genome_once(self.fasta, tuple(map(file_stamp, self.fasta)))

    def bins(self) -> Bins:
        with _LOCK:
            files = (*self.fasta, *((self.regions,) if self.regions else ()))
            return _bins_once(self, tuple(map(file_stamp, files)))

    def key(self, columns: Sequence[int]) -> str:
        """What determines the parts."""
        facts = (
            file_digest(self.network.weights),
            [(str(path), file_stamp(path)) for path in self.fasta],
            None if self.regions is None else file_digest(self.regions),
            *(self.stride, self.logits, list(columns)),
        )
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def _opened(self) -> tuple[Scorer | KerasScorer, StridedScorer | None]:
        with _LOCK:
            return _network_once(self.network, self.stride, file_stamp(self.network.weights))


# Tasks of one process share the network, the genome and the bins.
_LOCK = threading.RLock()


@functools.lru_cache(maxsize=1)
def _network_once(
    network: Network, stride: int, _stamp: tuple
) -> tuple[Scorer | KerasScorer, StridedScorer | None]:
    scorer = open_scorer(network.weights, sha256=network.sha256)
    return scorer, StridedScorer(scorer, stride) if isinstance(scorer, Scorer) else None


@functools.lru_cache(maxsize=1)
def _genome_once(fasta: tuple[Path, ...], _stamps: tuple) -> Genome:
    return Genome.open(fasta)


@functools.lru_cache(maxsize=1)
def _bins_once(job: _Job, _stamps: tuple) -> Bins:
    return Bins.over(job.genome(), job.stride, job.regions)


def _make_parts(job: _Job, parts: Parts, columns: Sequence[int], engine: Engine, *, show: bool) -> None:
    parts.folder.mkdir(exist_ok=True)
    missing = parts.missing()
    sizes = [parts.span(part).stop - parts.span(part).start for part in missing]
    if len(missing) < len(parts):
        LOG.info("resuming: %d of %d parts were finished before", len(parts) - len(missing), len(parts))
    tasks = [delayed(_make_part, job, parts, tuple(columns), part) for part in missing]
    with progress_bar(len(job.bins()), unit="bins", description="predicting", show=show) as bar:
        bar.update(len(job.bins()) - sum(sizes))
        engine.run(tasks, weights=sizes, bar=bar)


def _make_part(job: _Job, parts: Parts, columns: tuple[int, ...], part: int) -> None:
    rows, path = parts.span(part), parts.path(part)
    values = _values(job, rows)[:, list(columns)]
    # Two processes may make the same part where a cluster runs a task again.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    with disk_errors(path):
        with temporary.open("wb") as file:
            np.save(file, values)
        temporary.replace(path)


def _values(job: _Job, rows: slice) -> np.ndarray:
    """Values of bins, (bin, cell_type) float32, NaN where a window is mostly N."""
    scorer, along, genome, bins = job.scorer(), job.along(), job.genome(), job.bins()
    length, stride = scorer.window_length, job.stride
    values = np.empty((rows.stop - rows.start, scorer.n_cell_types), np.float32)
    n_unknown = np.empty(len(values), np.int64)
    single = np.zeros(len(values), bool)
    for run in bins.runs(rows):
        # The last bin of a sequence is shorter: its midpoint is not on the grid.
        n_whole = min(run.n, int(bins.lengths[run.chrom]) // stride - run.first)
        here = slice(run.row - rows.start, run.row - rows.start + run.n)
        if along is None or n_whole < _SHORT:
            single[here] = True
            continue
        single[here.start + n_whole : here.stop] = True
        begin = run.first * stride + stride // 2 - length // 2
        n_bases = (n_whole - 1) * stride + length
        codes = genome.windows(np.array([run.chrom]), np.array([begin]), n_bases)[0]
        whole = slice(here.start, here.start + n_whole)
        values[whole] = along.logits(codes)
        n_unknown[whole] = _n_unknown(codes, stride, length)
    chrom, start, end = bins.edges(rows)
    alone = np.flatnonzero(single)
    for first in range(0, len(alone), _BATCH):
        some = alone[first : first + _BATCH]
        begins = (start[some] + end[some]) // 2 - length // 2
        codes = genome.windows(chrom[some], begins, length)
        values[some] = scorer.logits(codes)
        n_unknown[some] = np.count_nonzero(codes == N_CODE, axis=1)
    if not job.logits:
        values = expit(values)
    values[2 * n_unknown > length] = np.nan
    return values


def _n_unknown(codes: np.ndarray, stride: int, length: int) -> np.ndarray:
    """Number of N in each window of a sequence, at every stride."""
    before = np.concatenate([[0], np.cumsum(codes == N_CODE, dtype=np.int64)])
    return (before[length:] - before[: len(before) - length])[::stride]


def _write_track(bins: Bins, parts: Parts, column: int, sizes: dict[str, int], path: Path) -> None:
    kept = []
    for rows, file in parts.files():
        values = np.load(file, mmap_mode="r")[:, column]
        known = np.flatnonzero(~np.isnan(values))
        edges = (edge[known] for edge in bins.edges(rows))
        kept.append((*(edge.astype(np.uint32) for edge in edges), values[known]))
    write_bigwig(path, sizes, *(np.concatenate(columns) for columns in zip(*kept, strict=True)))
