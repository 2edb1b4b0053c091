"""What makes the windows of a store: a genome and its peaks, a simulation, or another source.

:class:`WindowSource` is all that a build sees of it; :func:`origin_of` finds the one that a recipe means.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import dask.array as da
import numpy as np
import pybedtools.helpers
import xarray as xr

from chromacc_data.engine import Engine, delayed
from chromacc_data.progress import LOG
from chromacc_data.recipe.recipe import Recipe
from chromacc_data.regions.plan import GenomeSource
from chromacc_data.simulation.plan import SimulationSource
from chromacc_data.sources.inputs import Inputs
from chromacc_data.store import schema
from chromacc_data.store.plan import Plan, load_plan, plan_block

__all__ = [
    "CheckedSource",
    "Origin",
    "WindowSource",
    "build_key",
    "lazy_dataset",
    "open_plan",
    "origin_of",
]


class WindowSource(Protocol):
    """What makes the windows of a store, opened with the working folder of the build.

    It is pickled with each task that makes a block: keep it small.
    """

    @property
    def attrs(self) -> Mapping[str, str | int]:
        """Root attributes of the store that only the source knows."""

    def template(self, n_windows: int, attrs: Mapping[str, str | int]) -> xr.Dataset:
        """Empty Dataset of `n_windows` windows, by :func:`chromacc_data.store.schema.template`."""

    def plan(self, folder: Path, *, engine: Engine, show_progress: bool = False) -> Plan:
        """Write the plan into the working folder, by :func:`chromacc_data.store.plan.save_plan`."""

    def block(self, name: str, first: int, last: int) -> np.ndarray:
        """Values of a variable that the plan does not hold, for windows `first` to `last` (not included)."""


class CheckedSource(WindowSource, Protocol):
    """A source that a store can be compared with."""

    @property
    def scored(self) -> list[bool]:
        """Whether the labels of each cell type can be derived without running a function of the recipe."""

    def check_labels(self, ds: xr.Dataset, path: Path) -> tuple[list[str], list[str]]:
        """Check labels independently of the code that made them; says what passed and what is unchecked."""

    def check_bases(
        self, ds: xr.Dataset, again: xr.Dataset, rows: np.ndarray, *, path: Path, show_progress: bool
    ) -> list[str]:
        """Check bases, of the windows `rows` or of all; says which checks passed."""


@dataclass(frozen=True)
class Origin:
    """What a store is built from, before any of it is opened.

    Parameters
    ----------
    key
        What determines the content: the same key, the same content.
    open
        Opens the source, given the working folder of the build.
    attrs
        Root attributes of the store that say where it comes from.
    require_room
        Called with the number of windows once it is known; raises where they do not fit.
    """

    key: str
    open: Callable[[Path], WindowSource]
    attrs: Mapping[str, str | int] = field(default_factory=dict)
    require_room: Callable[[int], None] = lambda _: None


def origin_of(
    recipe: Recipe,
    inputs: Inputs,
    *,
    runs_functions: bool = True,
    require_room: Callable[[int], None] = lambda _: None,
) -> Origin:
    """The origin of a recipe's store.

    Parameters
    ----------
    recipe, inputs
        The recipe and its local files.
    runs_functions
        Whether functions of the recipe may be run.
    require_room
        As of :class:`Origin`.
    """
    kinds = {"genome": GenomeSource, "simulation": partial(SimulationSource, runs_functions=runs_functions)}
    attrs = {
        schema.ATTR_TITLE: recipe.title,
        schema.ATTR_SEED: recipe.seed,
        schema.ATTR_RECIPE: recipe.text,
        schema.ATTR_RECIPE_PATH: str(recipe.path.absolute()),
        schema.ATTR_INPUTS: json.dumps(inputs.records),
    }
    key = build_key(recipe, inputs)
    LOG.debug(
        "%s: %d inputs found and their checksums taken; build key %s",
        recipe.name,
        len(inputs.records),
        key[:12],
    )
    return Origin(key, partial(kinds[recipe.kind], recipe, inputs), attrs, require_room)


def build_key(recipe: Recipe, inputs: Inputs) -> str:
    """SHA-256 of a recipe, its inputs and the release that builds it: the same key, the same content."""
    version = importlib.metadata.version("chromacc")
    parts = f"{schema.FORMAT_VERSION} {version} {recipe.digest} {inputs.digest}"
    return hashlib.sha256(parts.encode()).hexdigest()


def open_plan(source: WindowSource, folder: Path, *, engine: Engine, show_progress: bool = False) -> Plan:
    """The plan that an earlier run left in a working folder, or else one made now."""
    plan = load_plan(folder)
    if plan is not None:
        LOG.info("resuming the unfinished build in %s", folder)
    else:
        plan = source.plan(folder, engine=engine, show_progress=show_progress)
    LOG.debug("planned %d windows", plan.n_windows)
    return plan


def lazy_dataset(source: WindowSource, plan: Plan, origin: Origin) -> xr.Dataset:
    """The content of a store as dask arrays, one block per chunk of windows; nothing is made yet."""
    records = {
        schema.ATTR_VERSIONS: json.dumps(_versions()),
        schema.ATTR_COUNTS: json.dumps(plan.counts),
        schema.ATTR_LEAKS: json.dumps(plan.leaks),
    }
    ds = source.template(
        plan.n_windows, {schema.ATTR_BUILD_KEY: origin.key, **origin.attrs, **records, **source.attrs}
    )
    chunk = ds.attrs[schema.ATTR_WINDOW_CHUNK]
    bounds = [(a, min(a + chunk, plan.n_windows)) for a in range(0, plan.n_windows, chunk)]
    for name, array in ds.data_vars.items():
        make = partial(plan_block, plan.folder) if name in plan.arrays else source.block
        shape, dtype = array.shape[1:], array.dtype
        parts = [
            da.from_delayed(delayed(make, str(name), a, b), (b - a, *shape), dtype=dtype) for a, b in bounds
        ]
        ds[name].data = da.concatenate(parts)
    return ds


def _versions() -> dict[str, str]:
    """Versions of what decides the content of a store."""
    names = ("chromacc", "numpy", "pybedtools", "pyfaidx", "zarr")
    versions = {name: importlib.metadata.version(name) for name in names}
    bedtools = pybedtools.helpers.settings.bedtools_version or ()
    return {**versions, "bedtools": ".".join(map(str, bedtools))}
