"""Recipe to store: the only file that knows the order.

1. Every source becomes a local file with its checksum; those and the recipe make the build key.
2. *Plan*: windows, labels and splits, from the peaks of each cell type or from a simulation. Small (bytes a
   window), and kept in the working folder, so that a killed build does not make it again.
3. A lazy Dataset over window chunks, whose tasks read the genome, or make the sequences, in place.
4. The store is written, read back, and given its name.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import dask.array as da
import pybedtools.helpers
import xarray as xr

from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.recipe.recipe import Recipe, load_recipe
from chromacc_data.regions.plan import (
    Plan,
    delayed,
    label_block,
    load_plan,
    plan_block,
    plan_windows,
    sequence_block,
)
from chromacc_data.sequences.genome import Genome
from chromacc_data.simulation.plan import Simulator, open_simulator, plan_simulation, simulated_block
from chromacc_data.sizes import require_room
from chromacc_data.sources.inputs import Inputs, open_genome, resolve_inputs
from chromacc_data.store import schema
from chromacc_data.store.store import (
    Partial,
    count_lines,
    leftovers,
    looks_like_a_store,
    open_store,
    store_format,
    write_store,
)

__all__ = [
    "Built",
    "Content",
    "build",
    "build_key",
    "lazy_dataset",
    "make_plan",
    "open_content",
    "provenance",
]

LOG = logging.getLogger("chromacc")


@dataclass(frozen=True, eq=False)
class Content:
    """A recipe with its inputs opened: what plan and windows are made from.

    Parameters
    ----------
    recipe, inputs
        The recipe and its local files.
    genome
        None where a simulation needs none.
    simulator
        None where windows come from the genome.
    """

    recipe: Recipe
    inputs: Inputs
    genome: Genome | None
    simulator: Simulator | None


@dataclass(frozen=True)
class Built:
    """What :func:`build` made or found.

    Parameters
    ----------
    path
        The store.
    content_hash
        SHA-256 of what it holds.
    n_windows
        Its windows.
    is_new
        Whether it was built now; else it was there.
    counts
        Windows and peaks, kept and dropped by reason.
    """

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

    def __repr__(self) -> str:
        return self.report()[1]


def build(
    recipe_path: Path | str,
    out: Path | str,
    *,
    sources_dir: Path | str | None = None,
    cache_dir: Path | str | None = None,
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
    show_progress
        Show bars with rate and time left.

    Raises
    ------
    InputError
        At the first thing that is wrong with the recipe, its inputs or the disk.

    Examples
    --------
    >>> import chromacc_data as cd
    >>> from chromacc_data.examples import example_recipe
    >>> recipe = example_recipe()  # 240 simulated windows, in a temporary folder
    >>> built = cd.build(recipe, recipe.with_name("tiny.zarr"))
    >>> built.n_windows, built.counts["windows_open_in_liver"], built.is_new
    (240, 85, True)
    >>> cd.build(recipe, recipe.with_name("tiny.zarr")).is_new  # nothing has changed
    False
    """
    # Absolute: a worker of a cluster may have another working folder.
    engine, out = engine or Engine(), Path(out).absolute()
    store_format(out)
    recipe = load_recipe(recipe_path)
    require_room(recipe, out, local=engine.scheduler is None)
    inputs = resolve_inputs(
        recipe,
        sources_dir=None if sources_dir is None else Path(sources_dir),
        cache_dir=None if cache_dir is None else Path(cache_dir),
        engine=engine,
        show_progress=show_progress,
    )
    key = build_key(recipe, inputs)
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
        content = open_content(recipe, inputs, partial.folder)
        plan = load_plan(partial.folder)
        if plan is not None:
            LOG.info("going on with the unfinished build in %s", partial.folder)
        else:
            plan = make_plan(content, partial.folder, engine=engine, show_progress=show_progress)
        LOG.debug("planned %d windows of %d bp", plan.n_windows, recipe.windows.length)
        require_room(recipe, out, plan.n_windows, local=engine.scheduler is None)
        attrs = {schema.ATTR_BUILD_KEY: key, **provenance(content, plan)}
        ds = lazy_dataset(content, plan, attrs=attrs)
        root = write_store(ds, out, engine=engine, partial=partial, show_progress=show_progress)
    LOG.debug("%s: written, read back and published", out)
    return Built(out, root, ds.sizes[schema.WINDOW], True, plan.counts)


def open_content(recipe: Recipe, inputs: Inputs, folder: Path) -> Content:
    """Open the genome of a recipe, and its simulator where it has one.

    Parameters
    ----------
    recipe, inputs
        The recipe and its local files.
    folder
        Working folder, where the plan is or will be.

    Raises
    ------
    InputError
        If the genome is another, or motifs and models do not go together.
    """
    genome = open_genome(recipe, inputs)
    if genome is not None:
        LOG.debug("genome %s: %d sequences", recipe.genome.assembly, len(genome.names))
    return Content(recipe, inputs, genome, open_simulator(recipe, inputs, genome, folder))


def make_plan(content: Content, folder: Path, *, engine: Engine, show_progress: bool = False) -> Plan:
    """Windows, labels and splits, written to ``folder/plan``."""
    recipe, inputs, genome = content.recipe, content.inputs, content.genome
    options = {"engine": engine, "show_progress": show_progress}
    if content.simulator is not None:
        return plan_simulation(recipe, content.simulator, inputs, genome, folder, **options)
    return plan_windows(recipe, inputs, genome, folder, **options)


def lazy_dataset(content: Content, plan: Plan, *, attrs: dict[str, str | int]) -> xr.Dataset:
    """The content of a store as dask arrays, one block per chunk of windows; nothing is read yet."""
    recipe, simulator = content.recipe, content.simulator
    length, chunk, n_cell_types = recipe.windows.length, recipe.output.chunk, len(recipe.cell_types)
    variables = schema.REAL if simulator is None else schema.SIMULATED
    ds = schema.template(
        plan.n_windows,
        length,
        recipe.cell_types,
        chunk=chunk,
        variables=variables,
        chrom_names=content.genome.names if simulator is None else (),
        motifs=simulator.pool.names if simulator else (),
        n_sites=simulator.sites.max_sites if simulator else 0,
        attrs=attrs,
    )
    bounds = [(a, min(a + chunk, plan.n_windows)) for a in range(0, plan.n_windows, chunk)]

    def blocks(name: str, make: Callable, *arguments: object) -> da.Array:
        array = ds[name].data
        parts = [
            da.from_delayed(delayed(make, *arguments, a, b), (b - a, *array.shape[1:]), dtype=array.dtype)
            for a, b in bounds
        ]
        return da.concatenate(parts)

    for name in (variable.name for variable in variables):
        if name == schema.SEQUENCE.name and simulator is not None:
            ds[name].data = blocks(name, simulated_block, simulator)
        elif name == schema.SEQUENCE.name:
            ds[name].data = blocks(name, sequence_block, content.genome, plan.folder, length)
        elif name == schema.ACCESSIBILITY.name and simulator is None:
            ds[name].data = blocks(name, label_block, plan.folder, n_cell_types)
        else:
            ds[name].data = blocks(name, plan_block, plan.folder, name)
    return ds


def provenance(content: Content, plan: Plan) -> dict[str, str | int]:
    """Root attributes that say where a store comes from, and the truth of a simulated one."""
    recipe, genome = content.recipe, content.genome
    versions = {
        name: importlib.metadata.version(name)
        for name in ("chromacc", "numpy", "pybedtools", "pyfaidx", "zarr")
    }
    versions["bedtools"] = ".".join(map(str, pybedtools.helpers.settings.bedtools_version or ()))
    attrs = {
        schema.ATTR_TITLE: recipe.title,
        schema.ATTR_SEED: recipe.seed,
        schema.ATTR_RECIPE: recipe.text,
        schema.ATTR_RECIPE_PATH: str(recipe.path.absolute()),
        schema.ATTR_INPUTS: json.dumps(content.inputs.records),
        schema.ATTR_VERSIONS: json.dumps(versions),
        schema.ATTR_COUNTS: json.dumps(plan.counts),
        schema.ATTR_LEAKS: json.dumps(plan.leaks),
    }
    if genome is not None:
        sequences = {
            name: {"length": int(length), "md5": genome.md5(name)}
            for name, length in zip(genome.names, genome.lengths, strict=True)
        }
        facts = {"assembly": recipe.genome.assembly, "sequences": sequences}
        attrs[schema.ATTR_GENOME] = json.dumps(facts)
    if content.simulator is not None:
        attrs[schema.ATTR_TRUTH] = content.simulator.truth.to_json()
    return attrs


def build_key(recipe: Recipe, inputs: Inputs) -> str:
    """SHA-256 of a recipe, its inputs and the release that builds it: the same key, the same content."""
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
