"""Recipe to store: the only file that knows the order.

1. Every source becomes a local file with its checksum; those and the recipe make the build key.
2. *Plan*: peaks of each cell type, windows and labels of each chromosome, splits. Small (bytes a window),
   and kept in the working folder, so that a killed build does not make it again.
3. A lazy Dataset over window chunks, whose tasks read the genome and the plan in place.
4. The store is written, read back, and given its name.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial as bind
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pybedtools.helpers
import xarray as xr
from dask.delayed import Delayed

from chromacc_data import schema, splits, windows
from chromacc_data.console import progress_bar
from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.files import disk_errors
from chromacc_data.genome import Genome
from chromacc_data.negatives import closed_windows
from chromacc_data.peaks import Peaks, cell_type_peaks
from chromacc_data.recipe import Recipe, Sample, Source, WindowRecipe, load_recipe
from chromacc_data.sources import file_digest, resolve, resolve_fasta
from chromacc_data.store import (
    Partial,
    count_lines,
    leftovers,
    looks_like_a_store,
    open_store,
    store_format,
    write_store,
)
from chromacc_data.windows import Windows

__all__ = ["Built", "Inputs", "Plan", "build", "lazy_dataset", "make_plan", "open_genome", "resolve_inputs"]

LOG = logging.getLogger("chromacc")

_PLAN_ARRAYS = ("chrom", "start", "end", "strand", "labels", "split", "fold")
_NOTES = "notes.json"


@dataclass(frozen=True)
class Inputs:
    """Local files of a recipe's sources, and what each of them was."""

    fasta: tuple[Path, ...]
    samples: tuple[Path, ...]
    blacklist: Path | None
    fixed: Path | None
    records: tuple[dict[str, str | int], ...]

    @property
    def digest(self) -> str:
        """SHA-256 over the checksums of all inputs, in the recipe's order."""
        return hashlib.sha256("\n".join(str(r["sha256"]) for r in self.records).encode()).hexdigest()


@dataclass(frozen=True)
class Plan:
    """Windows, labels and splits of a store: everything but the bases.

    `arrays` are memory-mapped, by name: those of :class:`~chromacc_data.windows.Windows`, `split` and `fold`.
    """

    folder: Path
    arrays: dict[str, np.ndarray]
    counts: dict[str, int]
    leaks: dict[str, object]

    @property
    def n_windows(self) -> int:
        """Windows in the store."""
        return len(self.arrays["start"])


@dataclass(frozen=True)
class Built:
    """What :func:`build` made or found."""

    path: Path
    content_hash: str
    n_windows: int
    is_new: bool
    counts: dict[str, int]

    def report(self) -> tuple[dict, str]:
        """The result for programs and for people."""
        verb = "built" if self.is_new else "already built, left alone"
        lines = [f"{self.path}: {self.n_windows:,} windows ({verb})", f"  content hash {self.content_hash}"]
        return asdict(self), "\n".join([*lines, *count_lines(self.counts)])


def build(
    recipe_path: Path | str,
    out: Path | str,
    *,
    sources_dir: Path | None = None,
    cache_dir: Path | None = None,
    overwrite: bool = False,
    restart: bool = False,
    engine: Engine | None = None,
    show_progress: bool = False,
) -> Built:
    """Build the store of a recipe; go on with an unfinished build of the same; leave a finished one alone.

    The content is the same bits whatever the engine and however often it was interrupted.

    Parameters
    ----------
    recipe_path
        ``recipe.yaml``.
    out
        ``NAME.zarr`` or ``NAME.h5``.
    sources_dir, cache_dir
        Where files are looked for first, and where downloads are kept.
    overwrite
        Replace a store of another recipe or other inputs, once the new one is whole.
    restart
        Throw away an unfinished build of another recipe or other inputs.
    engine
        Where dask tasks run; threads on all cores when None.

    Raises
    ------
    InputError
        At the first thing that is wrong with the recipe, its inputs or the disk.
    """
    # Absolute: a worker of a cluster may have another working folder.
    engine, out = engine or Engine(), Path(out).absolute()
    store_format(out)
    recipe = load_recipe(recipe_path)
    inputs = resolve_inputs(
        recipe, sources_dir=sources_dir, cache_dir=cache_dir, engine=engine, show_progress=show_progress
    )
    key = _build_key(recipe, inputs)
    LOG.debug(
        "%s: %d inputs found and their checksums taken; build key %s",
        recipe.name,
        len(inputs.records),
        key[:12],
    )
    found = _already_built(out, key, overwrite=overwrite)
    if found is not None and not leftovers(out):
        return found
    with Partial.open(out, key=key, restart=restart) as partial:
        # Again, now that no other process can be building it.
        found = _already_built(out, key, overwrite=overwrite)
        if found is not None:
            partial.remove()
            return found
        genome = open_genome(recipe, inputs)
        LOG.debug("genome %s: %d sequences", recipe.genome.assembly, len(genome.names))
        plan = load_plan(partial.folder)
        if plan is not None:
            LOG.info("going on with the unfinished build in %s", partial.folder)
        else:
            plan = make_plan(
                recipe, inputs, genome, partial.folder, engine=engine, show_progress=show_progress
            )
        LOG.debug("planned %d windows of %d bp", plan.n_windows, recipe.windows.length)
        attrs = {schema.ATTR_BUILD_KEY: key, **provenance(recipe, inputs, genome, plan)}
        ds = lazy_dataset(recipe, genome, plan, attrs=attrs)
        root = write_store(ds, out, engine=engine, partial=partial, show_progress=show_progress)
    LOG.debug("%s: written, read back and published", out)
    return Built(out, root, ds.sizes[schema.WINDOW], True, plan.counts)


def resolve_inputs(
    recipe: Recipe,
    *,
    sources_dir: Path | None,
    cache_dir: Path | None,
    engine: Engine,
    show_progress: bool = False,
) -> Inputs:
    """Local file and SHA-256 of every source of a recipe; downloads what is not there."""
    options = {"base": recipe.folder, "sources_dir": sources_dir, "cache_dir": cache_dir}
    find = bind(resolve, **options, show_progress=show_progress)
    fasta = tuple(resolve_fasta(s, **options, show_progress=show_progress) for s in recipe.genome.fasta)
    samples = tuple(find(sample.source) for sample in recipe.samples)
    blacklist = find(recipe.blacklist) if recipe.blacklist else None
    fixed = find(recipe.windows.file) if recipe.windows.file else None

    named: list[tuple[str, Source, Path]] = [
        ("genome", source, path) for source, path in zip(recipe.genome.fasta, fasta, strict=True)
    ]
    named += [(s.cell_type, s.source, path) for s, path in zip(recipe.samples, samples, strict=True)]
    named += [("blacklist", recipe.blacklist, blacklist)] if blacklist else []
    named += [("windows", recipe.windows.file, fixed)] if fixed else []
    # Local, whatever the engine: the digests are cached in this process.
    digests = Engine(workers=engine.n_workers).run(
        [dask.delayed(file_digest, traverse=False)(path) for *_, path in named]
    )
    records = tuple(
        {"name": name, "source": str(source), "sha256": digest, "bytes": path.stat().st_size}
        for (name, source, path), digest in zip(named, digests, strict=True)
    )
    return Inputs(fasta, samples, blacklist, fixed, records)


def open_genome(recipe: Recipe, inputs: Inputs) -> Genome:
    """The genome of a recipe: the sequences it takes windows from, in its order, with the MD5 it names.

    Raises
    ------
    InputError
        If a sequence is missing, or is not the one that the recipe means.
    """
    chromosomes = recipe.genome.chromosomes
    if chromosomes is None:
        names = Genome.open(inputs.fasta).names
        chromosomes = tuple(name for name in names if name not in recipe.genome.exclude)
    genome = Genome.open(inputs.fasta, chromosomes=chromosomes)
    for name, expected in recipe.genome.md5.items():
        if genome.md5(name) != expected:
            raise InputError(
                f"{name} is not the sequence that the recipe means",
                where=", ".join(map(str, inputs.fasta)),
                found=f"MD5 {genome.md5(name)}, {genome.length(name):,} bp",
                expected=f"MD5 {expected} ({recipe.genome.assembly})",
                remedy="use the FASTA of that assembly, or correct `genome.md5` in the recipe",
            )
    return genome


def load_plan(folder: Path) -> Plan | None:
    """The plan that an earlier run left in a working folder, or None."""
    plan = folder / "plan"
    if not plan.exists():
        return None
    arrays = {name: np.load(plan / f"{name}.npy", mmap_mode="r") for name in _PLAN_ARRAYS}
    notes = json.loads((plan / _NOTES).read_text())
    return Plan(plan, arrays, notes["counts"], notes["leaks"])


def make_plan(
    recipe: Recipe,
    inputs: Inputs,
    genome: Genome,
    folder: Path,
    *,
    engine: Engine,
    show_progress: bool = False,
) -> Plan:
    """Windows, labels and splits, written to ``folder/plan``.

    Two rounds of dask tasks: one a cell type (file to merged peaks), one a chromosome (peaks to windows).
    """
    peaks = _cell_type_peaks(recipe, inputs, genome, folder, engine, show_progress)
    joined = _windows(recipe, inputs, genome, peaks, engine, show_progress)
    if not len(joined):
        raise InputError(
            "no window is left",
            where=recipe.path,
            found=", ".join(f"{name} {count:,}" for name, count in joined.counts.items()),
            remedy="check the blacklist and `windows.past_end`",
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
    return _save_plan(folder, {**arrays, "split": split, "fold": fold}, counts, leaks)


def lazy_dataset(recipe: Recipe, genome: Genome, plan: Plan, *, attrs: dict[str, str | int]) -> xr.Dataset:
    """The content of a store as dask arrays, one block per chunk of windows; nothing is read yet."""
    length, chunk = recipe.windows.length, recipe.output.chunk
    ds = schema.template(
        plan.n_windows,
        length,
        recipe.cell_types,
        chunk=chunk,
        variables=list(schema.VARIABLES.values()),
        chrom_names=genome.names,
        attrs=attrs,
    )
    bounds = [(a, min(a + chunk, plan.n_windows)) for a in range(0, plan.n_windows, chunk)]

    def blocks(name: str, make: Callable, *arguments: object) -> da.Array:
        array = ds[name].data
        parts = [
            da.from_delayed(_task(make, *arguments, a, b), (b - a, *array.shape[1:]), dtype=array.dtype)
            for a, b in bounds
        ]
        return da.concatenate(parts)

    ds[schema.SEQUENCE.name].data = blocks(schema.SEQUENCE.name, _sequence_block, genome, plan.folder, length)
    n_cell_types = len(recipe.cell_types)
    ds[schema.ACCESSIBILITY.name].data = blocks(
        schema.ACCESSIBILITY.name, _label_block, plan.folder, n_cell_types
    )
    for variable in (schema.CHROM, schema.START, schema.END, schema.STRAND, schema.SPLIT, schema.FOLD):
        ds[variable.name].data = blocks(variable.name, _plan_block, plan.folder, variable.name)
    return ds


def provenance(recipe: Recipe, inputs: Inputs, genome: Genome, plan: Plan) -> dict[str, str | int]:
    """Root attributes that say where a store comes from."""
    sequences = {
        name: {"length": int(length), "md5": genome.md5(name)}
        for name, length in zip(genome.names, genome.lengths, strict=True)
    }
    versions = {
        name: importlib.metadata.version(name)
        for name in ("chromacc", "numpy", "pybedtools", "pyfaidx", "zarr")
    }
    versions["bedtools"] = ".".join(map(str, pybedtools.helpers.settings.bedtools_version or ()))
    return {
        schema.ATTR_TITLE: recipe.title,
        schema.ATTR_SEED: recipe.seed,
        schema.ATTR_RECIPE: recipe.text,
        schema.ATTR_RECIPE_PATH: str(recipe.path.absolute()),
        schema.ATTR_GENOME: json.dumps({"assembly": recipe.genome.assembly, "sequences": sequences}),
        schema.ATTR_INPUTS: json.dumps(inputs.records),
        schema.ATTR_VERSIONS: json.dumps(versions),
        schema.ATTR_COUNTS: json.dumps(plan.counts),
        schema.ATTR_LEAKS: json.dumps(plan.leaks),
    }


def _build_key(recipe: Recipe, inputs: Inputs) -> str:
    version = importlib.metadata.version("chromacc")
    parts = f"{schema.FORMAT_VERSION} {version} {recipe.digest} {inputs.digest}"
    return hashlib.sha256(parts.encode()).hexdigest()


def _already_built(out: Path, key: str, *, overwrite: bool) -> Built | None:
    if not out.exists():
        return None
    try:
        ds = open_store(out)
    except InputError:
        if overwrite and looks_like_a_store(out):
            return None
        raise
    found = ds.attrs.get(schema.ATTR_BUILD_KEY)
    if found == key:
        counts = json.loads(ds.attrs[schema.ATTR_COUNTS])
        return Built(out, ds.attrs[schema.ATTR_CONTENT_HASH], ds.sizes[schema.WINDOW], False, counts)
    if overwrite:
        return None
    raise InputError(
        "a store of another recipe or other inputs stands here",
        where=out,
        found=f"build key {str(found)[:12]} ({ds.attrs.get(schema.ATTR_TITLE)})",
        expected=f"build key {key[:12]}",
        remedy="name another file with -o, or replace it with --overwrite",
    )


def _cell_type_peaks(
    recipe: Recipe, inputs: Inputs, genome: Genome, folder: Path, engine: Engine, show_progress: bool
) -> list[Path]:
    """Merged peaks of each cell type, each in a folder of arrays; those that an earlier run left are kept."""
    options = {
        "chromosomes": genome.names,
        "lengths": genome.lengths.tolist(),
        "excluded": _excluded(recipe, inputs, genome),
        "merge_distance": windows.merge_distance(recipe.windows),
    }
    (folder / "peaks").mkdir(exist_ok=True)
    targets = [folder / "peaks" / f"{i:05d}" for i in range(len(recipe.samples))]
    tasks = [
        _task(_save_peaks, path, sample, target, options)
        for path, sample, target in zip(inputs.samples, recipe.samples, targets, strict=True)
    ]
    with progress_bar(len(tasks), unit="cell types", description="peaks", show=show_progress) as bar:
        engine.run(tasks, bar=bar)
    return targets


def _windows(
    recipe: Recipe,
    inputs: Inputs,
    genome: Genome,
    peaks: Sequence[Path],
    engine: Engine,
    show_progress: bool,
) -> Windows:
    """Windows of all chromosomes, open and closed, and their labels."""
    known = {"chromosomes": genome.names, "excluded": _excluded(recipe, inputs, genome)}
    forbidden = windows.read_blacklist(inputs.blacklist, **known) if inputs.blacklist else None
    fixed = None
    if inputs.fixed:
        fixed = windows.read_fixed_windows(
            inputs.fixed, length=recipe.windows.length, lengths=genome.lengths, **known
        )
    tasks = [
        _task(
            _chromosome_windows,
            code,
            int(length),
            peaks,
            None if forbidden is None else forbidden.on(code),
            None if fixed is None else fixed.on(code),
            recipe.windows,
        )
        for code, length in enumerate(genome.lengths)
    ]
    with progress_bar(len(tasks), unit="chromosomes", description="windows", show=show_progress) as bar:
        joined = windows.join_windows(engine.run(tasks, bar=bar))
    counts = _peak_counts(peaks) | (fixed.counts if fixed else {}) | joined.counts
    if recipe.negatives is not None and len(joined):
        closed = closed_windows(
            joined,
            [_load_peaks(folder) for folder in peaks],
            genome,
            recipe.negatives,
            lengths=genome.lengths,
            blacklist=forbidden,
            seed=recipe.seed,
        )
        joined = windows.join_windows([joined, closed])
        counts |= closed.counts
    return replace(joined, counts=counts)


def _task(function: Callable, *arguments: object) -> Delayed:
    # The arguments hold no dask objects: looking for them would walk through every array.
    return dask.delayed(function, pure=False, traverse=False)(*arguments)


def _save_peaks(path: Path, sample: Sample, target: Path, options: dict[str, object]) -> None:
    if target.exists():
        return
    peaks = cell_type_peaks(path, sample, **options)
    arrays = {"chrom": peaks.chrom, "start": peaks.start, "end": peaks.end, "summit": peaks.summit}
    _save_arrays(target, {k: v for k, v in arrays.items() if v is not None}, peaks.counts)


def _load_peaks(folder: Path) -> Peaks:
    names = [name for name in ("chrom", "start", "end", "summit") if (folder / f"{name}.npy").exists()]
    return Peaks(**{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names})


def _peak_counts(peaks: Sequence[Path]) -> dict[str, int]:
    """Counts of all cell types, added up."""
    total: Counter[str] = Counter()
    for folder in peaks:
        total.update(json.loads((folder / _NOTES).read_text()))
    return dict(total)


def _chromosome_windows(
    code: int,
    length: int,
    peaks: Sequence[Path],
    forbidden: Peaks | None,
    fixed: Windows | None,
    recipe: WindowRecipe,
) -> Windows:
    here = [_load_peaks(folder).on(code) for folder in peaks]
    return windows.chromosome_windows(code, length, here, forbidden, fixed, recipe=recipe)


def _save_plan(
    folder: Path, arrays: dict[str, np.ndarray], counts: dict[str, int], leaks: dict[str, object]
) -> Plan:
    _save_arrays(folder / "plan", arrays, {"counts": counts, "leaks": leaks})
    shutil.rmtree(folder / "peaks")
    return load_plan(folder)


def _save_arrays(folder: Path, arrays: dict[str, np.ndarray], notes: dict[str, object]) -> None:
    """Write a folder of arrays and notes, there whole or not at all."""
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    with disk_errors(folder):
        temporary.mkdir()  # never its parents: a late task must not bring a removed folder back
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", array)
        (temporary / _NOTES).write_text(json.dumps(notes))
        temporary.rename(folder)


def _sequence_block(genome: Genome, plan: Path, length: int, start: int, stop: int) -> np.ndarray:
    chrom, begin = (_plan_block(plan, name, start, stop) for name in ("chrom", "start"))
    return genome.one_hot_windows(chrom, begin, length, dtype=np.uint8)


def _label_block(plan: Path, n_cell_types: int, start: int, stop: int) -> np.ndarray:
    packed = _plan_block(plan, "labels", start, stop)
    return np.unpackbits(packed, axis=1, count=n_cell_types, bitorder="little")


def _plan_block(plan: Path, name: str, start: int, stop: int) -> np.ndarray:
    return np.array(np.load(plan / f"{name}.npy", mmap_mode="r")[start:stop])


def _excluded(recipe: Recipe, inputs: Inputs, genome: Genome) -> frozenset[str]:
    """Names whose intervals are dropped and counted: sequences of the genome not used, and those excluded."""
    return frozenset({*Genome.open(inputs.fasta).names, *recipe.genome.exclude} - set(genome.names))
