"""Windows of a genome around peaks: their plan, and their blocks of bases and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from chromacc_data import splits
from chromacc_data.engine import Engine, delayed
from chromacc_data.errors import InputError
from chromacc_data.progress import progress_bar
from chromacc_data.recipe.recipe import Recipe, WindowRecipe
from chromacc_data.regions import windows
from chromacc_data.regions.merged_peaks import (
    excluded_names,
    find_peaks,
    group_small,
    load_peaks,
    peak_counts,
    remove_peaks,
)
from chromacc_data.regions.negatives import closed_windows
from chromacc_data.regions.peaks import Peaks
from chromacc_data.regions.windows import Windows
from chromacc_data.sequences.genome import Genome
from chromacc_data.sources.inputs import Inputs, genome_attributes, open_genome
from chromacc_data.store import schema
from chromacc_data.store.plan import Plan, plan_block, save_plan

__all__ = ["GenomeSource"]

#: Nucleotides of chromosomes per task, where that leaves enough tasks; each task reopens the arrays.
_BASES_PER_TASK = 1 << 27


class GenomeSource:
    """Windows cut from a genome, open where the peaks of a cell type are.

    A :class:`~chromacc_data.window_source.WindowSource`. Sent to another process it can make blocks only, so
    that tasks stay small.

    Parameters
    ----------
    recipe, inputs
        The recipe and its local files.
    folder
        Working folder, where the plan is or will be.

    Raises
    ------
    InputError
        If the genome is not the one that the recipe means.
    """

    def __init__(self, recipe: Recipe, inputs: Inputs, folder: Path) -> None:
        self._recipe, self._inputs, self._folder = recipe, inputs, folder
        self._genome = open_genome(recipe, inputs)
        self._length, self._n_cell_types = recipe.windows.length, recipe.n_cell_types

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_recipe": None, "_inputs": None}

    def template(self, n_windows: int, attrs: Mapping[str, str | int]) -> xr.Dataset:
        """Empty Dataset of `n_windows` windows."""
        return schema.template(
            n_windows,
            self._length,
            self._recipe.cell_types,
            chunk=self._recipe.output.chunk,
            variables=schema.REAL,
            chrom_names=self._genome.names,
            attrs=attrs,
        )

    @property
    def attrs(self) -> dict[str, str]:
        """The genome's facts, as a root attribute."""
        return genome_attributes(self._recipe, self._genome)

    @property
    def scored(self) -> list[bool]:
        """Whether the labels of each cell type can be derived without running a function of the recipe."""
        return [True] * self._n_cell_types

    def plan(self, folder: Path, *, engine: Engine, show_progress: bool = False) -> Plan:
        """Windows, labels and splits, written to ``folder/plan``."""
        return _plan_windows(self._recipe, self._inputs, self._genome, folder, engine, show_progress)

    def block(self, name: str, first: int, last: int) -> np.ndarray:
        """Bases (window, position, base) or labels (window, cell_type) of some windows, uint8."""
        plan = self._folder / "plan"
        if name == schema.ACCESSIBILITY.name:
            packed = plan_block(plan, "labels", first, last)
            return np.unpackbits(packed, axis=1, count=self._n_cell_types, bitorder="little")
        chrom, begin = (plan_block(plan, v.name, first, last) for v in (schema.CHROM, schema.START))
        return self._genome.one_hot_windows(chrom, begin, self._length, dtype=np.uint8)

    def check_labels(self, ds: xr.Dataset, path: Path) -> tuple[list[str], list[str]]:
        """Check by bedtools that windows lie on their peaks; what held, and what is unchecked."""
        from chromacc_data.regions.check import check_windows  # pandas: no build needs it
        from chromacc_data.regions.check_bases import Reference  # pyfaidx: no build needs it

        with Reference(self._inputs.fasta) as reference:
            held, *unchecked = check_windows(ds, self._recipe, self._inputs, reference.window, path=path)
        return [held], unchecked

    def check_bases(
        self, ds: xr.Dataset, again: xr.Dataset, rows: np.ndarray, *, path: Path, show_progress: bool
    ) -> list[str]:
        """Compare the bases of some windows with the genome, read by pyfaidx; says which checks passed."""
        from chromacc_data.regions.check_bases import check_bases  # pyfaidx: no build needs it

        check_bases(ds, rows, self._inputs.fasta, path=path, show_progress=show_progress)
        n = ds.sizes[schema.WINDOW]
        return [
            f"labels, coordinates and splits of all {n:,} windows are what the sources give",
            f"bases of {len(rows):,} windows are those of the genome",
        ]


def _plan_windows(
    recipe: Recipe,
    inputs: Inputs,
    genome: Genome,
    folder: Path,
    engine: Engine,
    show_progress: bool,
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
    plan = save_plan(folder, {**arrays, "split": split, "fold": fold}, counts, leaks)
    remove_peaks(folder)
    return plan


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
    parts = group_small(genome.lengths.tolist(), _BASES_PER_TASK)
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
