"""The plan of a store: its windows, labels and splits, kept in the working folder.

Small (bytes a window), so that a killed build does not make it again.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import dask
import numpy as np
from dask.delayed import Delayed

from chromacc_data import splits
from chromacc_data.console import progress_bar
from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.files import disk_errors, map_array
from chromacc_data.recipe.options import MAX_JSON, parse_json, read_text, typed
from chromacc_data.recipe.recipe import Recipe, Sample, WindowRecipe
from chromacc_data.regions import windows
from chromacc_data.regions.negatives import closed_windows
from chromacc_data.regions.peaks import Peaks, cell_type_peaks
from chromacc_data.regions.windows import Windows
from chromacc_data.sequences.genome import Genome
from chromacc_data.sources.inputs import Inputs
from chromacc_data.store import schema

__all__ = [
    "Plan",
    "delayed",
    "excluded_names",
    "find_peaks",
    "label_block",
    "load_notes",
    "load_peaks",
    "load_plan",
    "peak_counts",
    "plan_block",
    "plan_windows",
    "save_arrays",
    "save_plan",
    "sequence_block",
]

_NOTES = "notes.json"
_BOUNDS = "bounds"

#: Bytes of files of peaks, and nucleotides of chromosomes, that a task takes where that leaves enough tasks;
#: each starts bedtools and opens arrays anew.
_BYTES_PER_TASK, _BASES_PER_TASK, _LEAST_TASKS = 16 << 20, 1 << 27, 8


@dataclass(frozen=True)
class Plan:
    """Windows, labels and splits of a store: everything but the bases.

    `arrays` are memory-mapped, by name: `split` and `fold`, and those of
    :class:`~chromacc_data.regions.windows.Windows`, or the variables of a simulated store.
    """

    folder: Path
    arrays: dict[str, np.ndarray]
    counts: dict[str, int]
    leaks: dict[str, object]

    @property
    def n_windows(self) -> int:
        """Windows in the store."""
        return len(self.arrays[schema.SPLIT.name])


def load_plan(folder: Path) -> Plan | None:
    """The plan that an earlier run left in a working folder, or None."""
    plan = folder / "plan"
    if not plan.exists():
        return None
    try:
        arrays = {path.stem: map_array(path) for path in sorted(plan.glob("*.npy"))}
        notes = parse_json(read_text(plan / _NOTES, limit=MAX_JSON), where=plan / _NOTES)
        counts = typed(notes["counts"], dict[str, int], where=plan / _NOTES)
        leaks = typed(notes["leaks"], dict[str, dict[str, dict[str, int]]], where=plan / _NOTES)
        _ = arrays[schema.SPLIT.name]
    except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
        raise InputError(
            "the plan of an unfinished build is damaged",
            where=getattr(error, "where", None) or plan,
            found=getattr(error, "found", None) or error,
            remedy="--restart throws the unfinished build away; a finished store is not touched",
        ) from error
    return Plan(plan, arrays, counts, leaks)


def plan_windows(
    recipe: Recipe,
    inputs: Inputs,
    genome: Genome,
    folder: Path,
    *,
    engine: Engine,
    show_progress: bool = False,
) -> Plan:
    """Windows, labels and splits, written to ``folder/plan``.

    Two rounds of dask tasks: over cell types (files to merged peaks), then over chromosomes (peaks to
    windows). A task takes several of them where they are small.
    """
    peaks = find_peaks(recipe, inputs, genome, folder, engine, show_progress)
    joined = _windows(recipe, inputs, genome, peaks, engine, show_progress)
    if not len(joined):
        raise InputError(
            "no window is left",
            where=recipe.path,
            found=", ".join(f"{name} {count:,}" for name, count in joined.counts.items()),
            remedy="check the blacklist, `windows.past_end` and `windows.max_n`",
        )
    assigned = splits.assign(
        joined.chrom, joined.start, joined.end, recipe.split, names=genome.names, seed=recipe.seed
    )
    kept = assigned.split != splits.DROPPED
    joined, split, fold = joined.select(kept), assigned.split[kept], assigned.fold[kept]
    leaks = splits.leak_audit(joined.chrom, joined.start, joined.end, split, fold)
    splits.require_no_leaks(leaks, recipe.split, where=f"{recipe.path} split")
    arrays = {name: getattr(joined, name) for name in ("chrom", "start", "end", "strand", "labels")}
    counts = {**joined.counts, **assigned.counts, "windows": len(joined)}
    counts |= {f"windows_{name}": int((split == code).sum()) for code, name in enumerate(schema.SPLITS)}
    return save_plan(folder, {**arrays, "split": split, "fold": fold}, counts, leaks)


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
    (folder / "peaks").mkdir(exist_ok=True)
    files = [inputs.files_of(sample) for sample in range(len(inputs.samples))]
    parts = _parts([sum(path.stat().st_size for path in paths) for paths in files], _BYTES_PER_TASK)
    targets = [folder / "peaks" / f"{part.start:05d}-{part.stop:05d}" for part in parts]
    tasks = [
        delayed(_save_peaks, files[part], recipe.samples[part], target, options)
        for part, target in zip(parts, targets, strict=True)
    ]
    n_cell_types = [part.stop - part.start for part in parts]
    shown = show_progress and bool(tasks)
    with progress_bar(sum(n_cell_types), unit="cell types", description="peaks", show=shown) as bar:
        engine.run(tasks, weights=n_cell_types, bar=bar)
    return targets


def delayed(function: Callable, *arguments: object) -> Delayed:
    """A task of dask."""
    # The arguments hold no dask objects: looking for them would walk through every array and list of names.
    return dask.delayed(partial(function, *arguments), pure=False, traverse=False)()


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


def save_plan(
    folder: Path, arrays: dict[str, np.ndarray], counts: dict[str, int], leaks: dict[str, object]
) -> Plan:
    """Write a plan into a working folder, which has no use for its peaks from then on."""
    save_arrays(folder / "plan", arrays, {"counts": counts, "leaks": leaks})
    shutil.rmtree(folder / "peaks", ignore_errors=True)
    return load_plan(folder)


def save_arrays(folder: Path, arrays: dict[str, np.ndarray], notes: dict[str, object]) -> None:
    """Write a folder of arrays and notes, there whole or not at all."""
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    with disk_errors(folder):
        temporary.mkdir()  # never its parents: a late task must not bring a removed folder back
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", array)
        (temporary / _NOTES).write_text(json.dumps(notes))
        temporary.rename(folder)


def load_notes(folder: Path) -> dict[str, int]:
    """Notes of a folder that :func:`save_arrays` wrote."""
    return json.loads((folder / _NOTES).read_text())


def sequence_block(genome: Genome, plan: Path, length: int, start: int, stop: int) -> np.ndarray:
    """One-hot bases of windows `start` to `stop` of a plan, (window, position, base) uint8."""
    chrom, begin = (plan_block(plan, name, start, stop) for name in ("chrom", "start"))
    return genome.one_hot_windows(chrom, begin, length, dtype=np.uint8)


def label_block(plan: Path, n_cell_types: int, start: int, stop: int) -> np.ndarray:
    """Labels of windows `start` to `stop` of a plan, (window, cell_type) uint8."""
    packed = plan_block(plan, "labels", start, stop)
    return np.unpackbits(packed, axis=1, count=n_cell_types, bitorder="little")


def plan_block(plan: Path, name: str, start: int, stop: int) -> np.ndarray:
    """An array of a plan for windows `start` to `stop`."""
    return np.array(map_array(plan / f"{name}.npy")[start:stop])


def excluded_names(recipe: Recipe, genome: Genome) -> frozenset[str]:
    """Names whose intervals are dropped and counted: sequences of the genome not used, and those excluded."""
    return genome.unused | (frozenset(recipe.genome.exclude) - frozenset(genome.names))


def _windows(
    recipe: Recipe,
    inputs: Inputs,
    genome: Genome,
    peaks: Sequence[Path],
    engine: Engine,
    show_progress: bool,
) -> Windows:
    """Windows of all chromosomes, open and closed, and their labels."""
    known = {"chromosomes": genome.names, "excluded": excluded_names(recipe, genome)}
    forbidden = windows.read_blacklist(inputs.blacklist, **known) if inputs.blacklist else None
    fixed = None
    if inputs.fixed:
        fixed = windows.read_fixed_windows(
            inputs.fixed, length=recipe.windows.length, lengths=genome.lengths, **known
        )
    parts = _parts(genome.lengths.tolist(), _BASES_PER_TASK)
    tasks = [
        delayed(
            _windows_of_part,
            range(part.start, part.stop),
            genome.lengths,
            peaks,
            forbidden,
            fixed,
            recipe.windows,
            genome,
        )
        for part in parts
    ]
    n_chromosomes = [part.stop - part.start for part in parts]
    total, shown = len(genome.lengths), show_progress
    with progress_bar(total, unit="chromosomes", description="windows", show=shown) as bar:
        joined = windows.join_windows(engine.run(tasks, weights=n_chromosomes, bar=bar))
    counts = peak_counts(peaks) | (forbidden.counts if inputs.blacklist else {})
    counts |= (fixed.counts if inputs.fixed else {}) | joined.counts
    if recipe.negatives is not None and len(joined):
        closed = closed_windows(
            joined,
            load_peaks(peaks),
            genome,
            replace(recipe.negatives, max_n=min(recipe.negatives.max_n, recipe.windows.max_n)),
            lengths=genome.lengths,
            blacklist=forbidden,
            seed=recipe.seed,
        )
        joined = windows.join_windows([joined, closed])
        counts |= closed.counts
    return replace(joined, counts=counts)


def _parts(sizes: Sequence[int], largest: int) -> list[slice]:
    """What one task does of the things of these sizes: those next to each other that are small together.

    >>> _parts([3, 3, 2, 90, 1, 1, 60], 1000)
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


def peak_counts(peaks: Sequence[Path]) -> dict[str, int]:
    """Counts of all cell types, added up."""
    return windows.add_counts([json.loads((folder / _NOTES).read_text()) for folder in peaks])


def _windows_of_part(
    chromosomes: range,
    lengths: np.ndarray,
    peaks: Sequence[Path],
    forbidden: Peaks | None,
    fixed: Windows | None,
    recipe: WindowRecipe,
    genome: Genome,
) -> Windows:
    """Windows of some chromosomes, by their codes."""
    first, stop = chromosomes.start, chromosomes.stop
    return windows.derive_windows(
        [of_cell_type.on(first, stop) for of_cell_type in load_peaks(peaks)],
        None if forbidden is None else forbidden.on(first, stop),
        None if fixed is None else fixed.on(first, stop),
        lengths=lengths,
        recipe=recipe,
        genome=genome,
    )
