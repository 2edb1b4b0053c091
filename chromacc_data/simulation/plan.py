"""Sequences with known truth (thesis, section 3.1): background, motifs, sites, accessibility, block by block.

Windows are made in blocks of a fixed number, each from random streams of its own: one for the background, one
for the sites, one for their bases, one for what is removed. So neither the chunks of the store nor the
number of workers changes a bit, and the same seed plants the same sites in another background.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from chromacc_data import splits
from chromacc_data.engine import Engine, delayed
from chromacc_data.errors import CheckError, InputError
from chromacc_data.progress import progress_bar
from chromacc_data.recipe.recipe import Recipe
from chromacc_data.recipe.simulation import BackgroundRecipe, SitesRecipe
from chromacc_data.regions.merged_peaks import (
    excluded_names,
    find_peaks,
    load_peaks,
    peak_counts,
    remove_peaks,
)
from chromacc_data.regions.negatives import windows_elsewhere
from chromacc_data.regions.windows import read_blacklist
from chromacc_data.sequences.encoding import one_hot
from chromacc_data.sequences.genome import Genome
from chromacc_data.simulation.accessibility import Model, models_of, scores
from chromacc_data.simulation.backgrounds import Background, GenomeWindows, MarkovChain, count_words
from chromacc_data.simulation.occurrences import Patterns, count_accidental, remove_accidental
from chromacc_data.simulation.posterior import enumerate_configurations
from chromacc_data.simulation.sites import Pool, Sites, draw_bases, draw_sites, plant, read_pool, require_room
from chromacc_data.simulation.truth import Truth
from chromacc_data.sources.inputs import Inputs, genome_attributes, open_genome
from chromacc_data.store import schema
from chromacc_data.store.plan import Plan, load_notes, save_arrays, save_plan
from chromacc_data.store.read import read_window_block

__all__ = ["BLOCK", "Simulated", "SimulationSource", "Simulator", "open_simulator"]

#: Windows made from the same random streams. Another number is another set.
BLOCK = 512

_BLOCKS_PER_TASK = 8
_BACKGROUND, _SITES, _BASES, _REMOVAL = range(4)


class Simulated(NamedTuple):
    """Windows of one block, before they are scored.

    Parameters
    ----------
    codes
        (window, position) uint8, base codes.
    sites
        What was planted.
    n_changed
        Bases changed to remove accidental occurrences.
    """

    codes: np.ndarray
    sites: Sites
    n_changed: int


@dataclass(frozen=True, eq=False)
class Simulator:
    """All that makes the windows of a simulated set, small enough to be sent to every worker.

    Parameters
    ----------
    n_windows, length
        Windows of the set, and bp of each.
    seed
        Of the recipe.
    background
        What motifs are planted in.
    pool, sites
        Motifs, and how they are planted.
    models
        Accessibility in each cell type.
    removes
        Whether accidental occurrences are removed from the background.
    runs_functions
        Whether functions of the recipe are run. If not, their scores are NaN, and no window is open by them.
    """

    n_windows: int
    length: int
    seed: int
    background: Background
    pool: Pool
    sites: SitesRecipe
    models: tuple[Model, ...]
    removes: bool
    runs_functions: bool = True

    @property
    def truth(self) -> Truth:
        """What decides the labels."""
        return Truth(self.pool, self.models, self.sites.bases)

    def block(self, index: int) -> Simulated:
        """Windows ``index * BLOCK`` to ``(index + 1) * BLOCK`` of the set."""
        start, stop = index * BLOCK, min((index + 1) * BLOCK, self.n_windows)
        sites = draw_sites(self._stream(_SITES, index), stop - start, self.pool, self.sites, self.length)
        bases = draw_bases(self._stream(_BASES, index), sites, self.pool, self.sites)
        codes = self.background.sequences(self._stream(_BACKGROUND, index), start, stop, self.length)
        codes, n_changed = plant(codes, sites, bases, self.pool.widths), 0
        if self.removes:
            patterns = Patterns.of(self.pool, self.sites)
            codes, n_changed = remove_accidental(codes, sites, patterns, self._stream(_REMOVAL, index))
        return Simulated(codes, sites, n_changed)

    def can_score(self, model: Model) -> bool:
        """Whether windows are scored by this model."""
        return self.runs_functions or model.function is None

    def _stream(self, purpose: int, block: int) -> np.random.Generator:
        return np.random.Generator(
            np.random.Philox(np.random.SeedSequence(self.seed, spawn_key=(purpose, block)))
        )


def open_simulator(
    recipe: Recipe, inputs: Inputs, genome: Genome | None, folder: Path, *, runs_functions: bool = True
) -> Simulator:
    """The simulator of a recipe, with its motifs read, its background learnt and its models drawn.

    Parameters
    ----------
    recipe, inputs, genome
        The recipe, its files, and the genome where the background needs one.
    folder
        Working folder of the build, where the places of windows from a genome will be.
    runs_functions
        Whether functions of the recipe are run.

    Raises
    ------
    InputError
        Motifs that are not in their files or do not fit, models of other motifs.
    """
    simulation = recipe.simulation
    try:
        pool = read_pool(simulation.motifs, inputs.motifs)
        require_room(pool, simulation.sites, recipe.windows.length)
        background = _background(simulation.background, genome, folder)
        models = models_of(simulation.targets, pool, inputs.functions, seed=recipe.seed)
        for group in simulation.sites.groups:
            absent = [name for name in group if name not in pool.names]
            if absent:
                raise InputError("not among the motifs", where="simulation.sites.groups", found=absent[0])
    except InputError as error:
        if not str(error.where).startswith("simulation"):
            raise
        raise _in_recipe(error, recipe) from None
    return Simulator(
        simulation.n_windows,
        recipe.windows.length,
        recipe.seed,
        background,
        pool,
        simulation.sites,
        models,
        simulation.remove_accidental,
        runs_functions,
    )


class SimulationSource:
    """Simulated windows.

    A :class:`~chromacc_data.window_source.WindowSource`. Sent to another process it can make blocks only, so
    that tasks stay small.

    Parameters
    ----------
    recipe, inputs
        The recipe and its local files.
    folder
        Working folder, where the plan is or will be.
    runs_functions
        Whether functions of the recipe are run.

    Raises
    ------
    InputError
        If motifs and models do not go together, or the genome is not the one that the recipe means.
    """

    def __init__(self, recipe: Recipe, inputs: Inputs, folder: Path, *, runs_functions: bool = True) -> None:
        self._recipe, self._inputs, self._genome = recipe, inputs, open_genome(recipe, inputs)
        self.simulator = open_simulator(recipe, inputs, self._genome, folder, runs_functions=runs_functions)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_recipe": None, "_inputs": None, "_genome": None}

    def template(self, n_windows: int, attrs: Mapping[str, str | int]) -> xr.Dataset:
        """Empty Dataset of `n_windows` windows."""
        return schema.template(
            n_windows,
            self.simulator.length,
            self._recipe.cell_types,
            chunk=self._recipe.output.chunk,
            variables=schema.SIMULATED,
            motifs=self.simulator.pool.names,
            n_sites=self.simulator.sites.max_sites,
            attrs=attrs,
        )

    @property
    def attrs(self) -> dict[str, str]:
        """The truth, and the genome's facts where there is one, as root attributes."""
        genome = genome_attributes(self._recipe, self._genome)
        return {**genome, schema.ATTR_TRUTH: self.simulator.truth.to_json()}

    @property
    def scored(self) -> list[bool]:
        """Whether the labels of each cell type can be derived without running a function of the recipe."""
        return [self.simulator.can_score(model) for model in self.simulator.models]

    def plan(self, folder: Path, *, engine: Engine, show_progress: bool = False) -> Plan:
        """Sites, scores, labels and splits of all windows, written to ``folder/plan``.

        Raises
        ------
        InputError
            If the genome has too few windows, a function fails, or a cell type is open, or closed, in every
            window.
        """
        arguments = (self._recipe, self.simulator, self._inputs, self._genome, folder)
        return _plan_simulation(*arguments, engine, show_progress)

    def block(self, name: str, first: int, last: int) -> np.ndarray:
        """One-hot bases of some windows, (window, position, base) uint8: all that the plan does not hold."""
        begin, end = first // BLOCK, (last - 1) // BLOCK
        codes = np.concatenate([self.simulator.block(index).codes for index in range(begin, end + 1)])
        return one_hot(codes[first - begin * BLOCK : last - begin * BLOCK])

    def check_labels(self, ds: xr.Dataset, path: Path) -> tuple[list[str], list[str]]:
        """What held, and what is unchecked: nothing, as the truth in the store is checked without sources."""
        return [], []

    def check_bases(
        self, ds: xr.Dataset, again: xr.Dataset, rows: np.ndarray, *, path: Path, show_progress: bool
    ) -> list[str]:
        """Compare the bases of all windows of a store with those made `again`; says which checks passed."""
        _compare_bases(ds, again, path, show_progress=show_progress)
        n = ds.sizes[schema.WINDOW]
        return [f"bases, sites, scores and labels of all {n:,} windows are what the recipe gives"]


def _plan_simulation(
    recipe: Recipe,
    simulator: Simulator,
    inputs: Inputs,
    genome: Genome | None,
    folder: Path,
    engine: Engine,
    show_progress: bool,
) -> Plan:
    if isinstance(simulator.background, GenomeWindows) and not simulator.background.places.exists():
        _draw_places(recipe, simulator, inputs, genome, folder, engine, show_progress)
    n_blocks = -(-simulator.n_windows // BLOCK)
    spans = [(a, min(a + _BLOCKS_PER_TASK, n_blocks)) for a in range(0, n_blocks, _BLOCKS_PER_TASK)]
    weights = [min(b * BLOCK, simulator.n_windows) - a * BLOCK for a, b in spans]
    with progress_bar(
        simulator.n_windows, unit="windows", description="simulating", show=show_progress
    ) as bar:
        parts = engine.run([delayed(_span, simulator, *span) for span in spans], weights=weights, bar=bar)
    arrays = {name: np.concatenate([part.arrays[name] for part in parts]) for name in parts[0].arrays}
    accessibility = arrays[schema.ACCESSIBILITY.name]
    split, fold = splits.assign_random(simulator.n_windows, recipe.split, seed=recipe.seed)
    counts = {"windows": simulator.n_windows}
    if isinstance(simulator.background, GenomeWindows):
        counts |= load_notes(simulator.background.places)
    counts |= {f"windows_{name}": int((split == code).sum()) for code, name in enumerate(schema.SPLITS)}
    counts |= {name: sum(part.counts[name] for part in parts) for name in parts[0].counts}
    for model, n_open in zip(
        simulator.models, accessibility.sum(axis=0, dtype=np.int64).tolist(), strict=True
    ):
        if not simulator.can_score(model):
            continue
        counts[f"windows_open_in_{model.cell_type}"] = n_open
        _require_both(model, n_open, simulator, recipe)
    plan = save_plan(folder, {**arrays, schema.SPLIT.name: split, schema.FOLD.name: fold}, counts, {})
    remove_peaks(folder)
    return plan


def _compare_bases(ds: xr.Dataset, again: xr.Dataset, path: Path, *, show_progress: bool) -> None:
    n, chunk = ds.sizes[schema.WINDOW], int(ds.attrs[schema.ATTR_WINDOW_CHUNK])
    with progress_bar(n, unit="windows", description="comparing", show=show_progress) as bar:
        for start in range(0, n, chunk):
            stop = min(start + chunk, n)
            found, expected = (
                read_window_block(each, schema.SEQUENCE.name, start, stop) for each in (ds, again)
            )
            differs = np.argwhere(found != expected)
            if len(differs):
                row, position = differs[0][:2].tolist()
                raise CheckError(
                    "bases are not those that the recipe gives",
                    where=f"{path} window {start + row} position {position}",
                    remedy="build the store again",
                )
            bar.update(stop - start)


class _Part(NamedTuple):
    """What the plan keeps of some windows: variables by name, and counts."""

    arrays: dict[str, np.ndarray]
    counts: dict[str, int]


def _span(simulator: Simulator, first: int, last: int) -> _Part:
    """Truth of the blocks `first` to `last` (not included)."""
    patterns = Patterns.of(simulator.pool, simulator.sites)
    parts = [_truth_of(simulator, patterns, simulator.block(index)) for index in range(first, last)]
    return _Part(
        {name: np.concatenate([part.arrays[name] for part in parts]) for name in parts[0].arrays},
        {name: sum(part.counts[name] for part in parts) for name in parts[0].counts},
    )


def _truth_of(simulator: Simulator, patterns: Patterns, made: Simulated) -> _Part:
    score = _scores(simulator, made.sites, made.codes)
    accidents = count_accidental(made.codes, made.sites, patterns)
    arrays = {
        schema.ACCESSIBILITY.name: (score >= simulator.truth.thresholds).astype(np.uint8),
        schema.SITE_MOTIF.name: made.sites.motif,
        schema.SITE_START.name: made.sites.start,
        schema.SITE_STRAND.name: made.sites.strand,
        schema.SCORE.name: score,
        schema.OPEN_PROBABILITY.name: _open_probability(simulator, patterns, made.codes),
        schema.ACCIDENTAL.name: accidents.outside,
    }
    counts = {
        "sites": int((made.sites.motif != schema.NO_SITE).sum()),
        "accidental_occurrences": int(accidents.outside.sum()),
        "accidental_occurrences_inside_sites": int(accidents.inside.sum()),
        "bases_changed_to_remove_accidental_ones": made.n_changed,
    }
    return _Part(arrays, counts)


def _scores(simulator: Simulator, sites: Sites, codes: np.ndarray) -> np.ndarray:
    columns = [
        scores(model, sites, codes, simulator.pool)
        if simulator.can_score(model)
        else np.full(len(codes), np.nan)
        for model in simulator.models
    ]
    return np.stack(columns, axis=1)


def _open_probability(simulator: Simulator, patterns: Patterns, codes: np.ndarray) -> np.ndarray:
    """Chance that each window is open, given its sequence alone, (window, cell_type) float32."""
    configurations = enumerate_configurations(
        codes, simulator.pool, simulator.sites, simulator.background.frequencies
    )
    probability = configurations.probability
    if simulator.removes:
        # What would have been removed must be a site.
        accidents = count_accidental(
            codes[configurations.window], configurations.sites, patterns
        ).outside.any(axis=1)
        possible = np.where(accidents, 0.0, probability)
        total = np.bincount(configurations.window, possible, len(codes))[configurations.window]
        probability = np.divide(possible, total, out=probability.copy(), where=total > 0)
    is_open = (
        _scores(simulator, configurations.sites, codes[configurations.window]) >= simulator.truth.thresholds
    )
    chances = [np.bincount(configurations.window, probability * column, len(codes)) for column in is_open.T]
    # Six decimals: the last bits of logarithms differ between machines.
    return np.round(np.stack(chances, axis=1), 6).astype(np.float32)


def _background(recipe: BackgroundRecipe, genome: Genome | None, folder: Path) -> Background:
    if genome is None:
        return MarkovChain.from_composition(recipe.composition)
    if recipe.kind == "markov":
        return MarkovChain.from_genome(genome, recipe.order)
    counts = sum(count_words(genome.codes(name), 1) for name in genome.names)
    return GenomeWindows(genome, folder / "places", recipe.kind == "shuffle", counts / counts.sum())


def _draw_places(
    recipe: Recipe,
    simulator: Simulator,
    inputs: Inputs,
    genome: Genome,
    folder: Path,
    engine: Engine,
    show_progress: bool,
) -> None:
    """Write where the windows of a genome lie into the working folder."""
    known = {"chromosomes": genome.names, "excluded": excluded_names(recipe, genome)}
    peaks = find_peaks(recipe, inputs, genome, folder, engine, show_progress)
    try:
        chrom, start = windows_elsewhere(
            simulator.n_windows,
            load_peaks(peaks),
            genome,
            length=simulator.length,
            lengths=genome.lengths,
            blacklist=read_blacklist(inputs.blacklist, **known) if inputs.blacklist else None,
            seed=recipe.seed,
        )
    except InputError as error:
        raise _in_recipe(error, recipe) from None
    save_arrays(folder / "places", {"chrom": chrom, "start": start}, peak_counts(peaks))


def _require_both(model: Model, n_open: int, simulator: Simulator, recipe: Recipe) -> None:
    if 0 < n_open < simulator.n_windows:
        return
    raise InputError(
        f"{model.cell_type!r} is {'open' if n_open else 'closed'} in every window",
        where=f"{recipe.path}, simulation.targets",
        found=f"threshold {model.threshold:g}",
        expected="a threshold that some windows reach and others do not",
        remedy="another threshold, or more windows",
    )


def _in_recipe(error: InputError, recipe: Recipe) -> InputError:
    """The error, with the recipe's file before the key."""
    return InputError(
        error.what,
        where=f"{recipe.path}, {error.where}",
        found=error.found,
        expected=error.expected,
        remedy=error.remedy,
    )
