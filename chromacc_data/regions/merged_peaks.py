"""Merged peaks of all cell types, kept in a working folder while windows are planned."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from chromacc_data.engine import Engine, delayed
from chromacc_data.files import map_array
from chromacc_data.progress import progress_bar
from chromacc_data.recipe.recipe import Recipe, Sample
from chromacc_data.regions import windows
from chromacc_data.regions.peaks import Peaks, cell_type_peaks
from chromacc_data.sequences.genome import Genome
from chromacc_data.sources.inputs import Inputs
from chromacc_data.store.plan import load_notes, save_arrays

__all__ = ["excluded_names", "find_peaks", "group_small", "load_peaks", "peak_counts", "remove_peaks"]

_FOLDER, _BOUNDS = "peaks", "bounds"

#: Bytes of peak files per task, where that leaves enough tasks; each task starts its own bedtools.
_BYTES_PER_TASK = 16 << 20
_LEAST_TASKS = 8


def find_peaks(
    recipe: Recipe, inputs: Inputs, genome: Genome, folder: Path, engine: Engine, show_progress: bool
) -> list[Path]:
    """Merged peaks of all cell types, in folders of arrays; those that an earlier run left are kept.

    :func:`load_peaks` opens the folders.
    """
    options = {
        "chromosomes": genome.names,
        "lengths": genome.lengths.tolist(),
        "excluded": excluded_names(recipe, genome),
        "merge_distance": windows.merge_distance(recipe.windows),
    }
    (folder / _FOLDER).mkdir(exist_ok=True)
    files = [inputs.files_of(sample) for sample in range(len(inputs.samples))]
    parts = group_small([sum(path.stat().st_size for path in paths) for paths in files], _BYTES_PER_TASK)
    targets = [folder / _FOLDER / f"{part.start:05d}-{part.stop:05d}" for part in parts]
    tasks = [
        delayed(_save_peaks, files[part], recipe.samples[part], target, options)
        for part, target in zip(parts, targets, strict=True)
    ]
    n_cell_types = [part.stop - part.start for part in parts]
    shown = show_progress and bool(tasks)
    with progress_bar(sum(n_cell_types), unit="cell types", description="peaks", show=shown) as bar:
        engine.run(tasks, weights=n_cell_types, bar=bar)
    return targets


def load_peaks(folders: Sequence[Path]) -> list[Peaks]:
    """Peaks of each cell type, memory-mapped, as :func:`find_peaks` left them."""
    peaks = []
    for folder in folders:
        arrays = {path.stem: map_array(path) for path in folder.glob("*.npy")}
        bounds = arrays.pop(_BOUNDS).tolist()
        peaks += [
            Peaks(**{name: array[first:last] for name, array in arrays.items()})
            for first, last in pairwise(bounds)
        ]
    return peaks


def peak_counts(peaks: Sequence[Path]) -> dict[str, int]:
    """Counts of all cell types, added up."""
    return windows.add_counts([load_notes(folder) for folder in peaks])


def remove_peaks(folder: Path) -> None:
    """Remove the peaks from a working folder: once there is a plan, they are no longer needed."""
    shutil.rmtree(folder / _FOLDER, ignore_errors=True)


def excluded_names(recipe: Recipe, genome: Genome) -> frozenset[str]:
    """Names whose intervals are dropped and counted: sequences of the genome not used, and those excluded."""
    return genome.unused | (frozenset(recipe.genome.exclude) - frozenset(genome.names))


def group_small(sizes: Sequence[int], largest: int) -> list[slice]:
    """Group neighbouring items into tasks of about `largest` in total, fewer where that leaves few tasks.

    >>> group_small([3, 3, 2, 90, 1, 1, 60], 1000)
    [slice(0, 4, None), slice(4, 6, None), slice(6, 7, None)]
    """
    begin = np.cumsum(sizes) - sizes
    limit = max(1, min(largest, -(-sum(sizes) // _LEAST_TASKS)))
    edges = [*np.unique(begin // limit, return_index=True)[1].tolist(), len(sizes)]
    return [slice(a, b) for a, b in pairwise(edges)]


def _save_peaks(
    files: Sequence[Sequence[Path]], samples: Sequence[Sample], target: Path, options: dict[str, object]
) -> None:
    if target.exists():
        return
    peaks = cell_type_peaks(
        [first for first, *_ in files], samples, replicates=[others for _, *others in files], **options
    )
    arrays = {name: np.concatenate([getattr(p, name) for p in peaks]) for name in ("chrom", "start", "end")}
    if any(p.summit is not None for p in peaks):
        arrays["summit"] = np.concatenate(
            [np.full(len(p), -1) if p.summit is None else p.summit for p in peaks]
        )
    arrays[_BOUNDS] = np.cumsum([0, *map(len, peaks)])
    save_arrays(target, arrays, windows.add_counts([p.counts for p in peaks]))
