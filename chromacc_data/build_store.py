"""Recipe to store: the only file that knows the order.

1. Every source becomes a local file with its checksum; those and the recipe make the build key.
2. *Plan*: windows, labels and splits, from the peaks of each cell type or from a simulation. Small (bytes a
   window), and kept in the working folder, so that a killed build does not make it again.
3. A lazy Dataset over window chunks, whose tasks read the genome, or make the sequences, in place.
4. The store is written, read back, and given its name.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.files import leftovers
from chromacc_data.progress import LOG, count_lines
from chromacc_data.recipe.recipe import load_recipe
from chromacc_data.sizes import require_room
from chromacc_data.sources.inputs import resolve_inputs
from chromacc_data.store import schema
from chromacc_data.store.partial import Partial
from chromacc_data.store.read import looks_like_a_store, open_store, store_format
from chromacc_data.store.write import write_store
from chromacc_data.window_source import Origin, lazy_dataset, open_plan, origin_of

__all__ = ["Built", "build", "build_from"]


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
        Whether it was built now, rather than found finished.
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
    """Build the store of a recipe; resume an unfinished build of it; leave a finished store alone.

    The content is bit for bit the same, whatever the engine and however often the build was interrupted.

    Parameters
    ----------
    recipe_path
        ``recipe.yaml``.
    out
        ``NAME.zarr`` or ``NAME.h5``.
    sources_dir, cache_dir
        Folder to look for files in first, and folder to keep downloads in.
    overwrite
        Replace a store of another recipe or other inputs, once the new one is complete.
    restart
        Discard an unfinished build of another recipe or other inputs.
    engine
        Where dask tasks run; threads on all cores when None.
    show_progress
        Show bars with rate and time left.

    Raises
    ------
    InputError
        At the first problem with the recipe, its inputs or the disk.

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
    room = partial(require_room, recipe, out, local=engine.scheduler is None)
    room()
    inputs = resolve_inputs(
        recipe,
        sources_dir=None if sources_dir is None else Path(sources_dir),
        cache_dir=None if cache_dir is None else Path(cache_dir),
        engine=engine,
        show_progress=show_progress,
    )
    origin = origin_of(recipe, inputs, require_room=room)
    return build_from(
        origin, out, overwrite=overwrite, restart=restart, engine=engine, show_progress=show_progress
    )


def build_from(
    origin: Origin,
    out: Path | str,
    *,
    overwrite: bool = False,
    restart: bool = False,
    engine: Engine | None = None,
    show_progress: bool = False,
) -> Built:
    """Build a store from what makes its windows, whether there is a recipe of it or not.

    Parameters
    ----------
    origin
        What the windows come from.
    out, overwrite, restart, engine, show_progress
        As of :func:`build`.

    Raises
    ------
    InputError
        If `out` holds another store, or an unfinished build of another.
    """
    engine, out = engine or Engine(), Path(out).absolute()
    found = _already_built(out, origin.key, overwrite=overwrite)
    if found is not None and not leftovers(out):
        return found
    with Partial.open(out, key=origin.key, restart=restart) as partial_build:
        # Again, now that no other process can be building it.
        found = _already_built(out, origin.key, overwrite=overwrite)
        if found is not None:
            partial_build.remove()
            return found
        source = origin.open(partial_build.folder)
        plan = open_plan(source, partial_build.folder, engine=engine, show_progress=show_progress)
        origin.require_room(plan.n_windows)
        ds = lazy_dataset(source, plan, origin)
        root = write_store(ds, out, engine=engine, partial=partial_build, show_progress=show_progress)
    LOG.debug("%s: written, read back and published", out)
    return Built(out, root, ds.sizes[schema.WINDOW], True, plan.counts)


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
        "this store was built from another recipe or other inputs",
        where=out,
        found=f"build key {str(found)[:12]} ({ds.attrs.get(schema.ATTR_TITLE)})",
        expected=f"build key {key[:12]}",
        remedy="name another file with -o, or replace it with --overwrite",
    )
