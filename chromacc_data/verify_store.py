"""Check a store against its checksums, its content hash and its sources, from which it is derived again."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from chromacc_data.engine import Engine
from chromacc_data.errors import CheckError, InputError, NotWritableError
from chromacc_data.files import working_folder
from chromacc_data.progress import count_lines
from chromacc_data.recipe.recipe import Recipe, load_recipe, parse_recipe
from chromacc_data.simulation.truth import check_truth, is_simulated
from chromacc_data.sources.inputs import Inputs, resolve_inputs
from chromacc_data.splits import leak_audit
from chromacc_data.store import schema
from chromacc_data.store.read import content_hash, open_store, read_variable
from chromacc_data.store.seal import is_sealed, require_layout, require_sealed
from chromacc_data.window_source import CheckedSource, lazy_dataset, open_plan, origin_of

__all__ = ["Verified", "verify"]


#: Root attributes that are checked without checksums of them: always, and where sources give them again. What
#: is left (versions, the recipe's path) are records of the past.
_ALWAYS_CHECKED = (
    schema.ATTR_FORMAT,
    schema.ATTR_FORMAT_VERSION,
    schema.ATTR_WINDOW_CHUNK,
    schema.ATTR_CONTENT_HASH,
    schema.ATTR_TRUTH,
)
_DERIVED = (
    schema.ATTR_TITLE,
    schema.ATTR_SEED,
    schema.ATTR_BUILD_KEY,
    schema.ATTR_RECIPE,
    schema.ATTR_INPUTS,
    schema.ATTR_GENOME,
    schema.ATTR_COUNTS,
    schema.ATTR_LEAKS,
)


@dataclass(frozen=True)
class Verified:
    """What :func:`verify` checked; every check passed.

    Parameters
    ----------
    held
        Each thing that was checked, in words.
    unchecked
        Each thing that could not be, or was not to be, checked.
    counts
        Counts of the build on record.
    """

    path: Path
    content_hash: str
    n_windows: int
    n_compared: int
    recipe: Path | None
    simulated: bool = False
    held: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)

    def report(self) -> tuple[dict, str]:
        """The result for programs and for people."""
        lines = [f"{self.path}: good", *(f"  {text}" for text in self.held)]
        if self.unchecked:
            lines += ["not checked", *(f"  {text}" for text in self.unchecked)]
        if self.counts:
            lines += ["counts of the build", *count_lines(self.counts)]
        return asdict(self), "\n".join(lines)

    def __repr__(self) -> str:
        return self.report()[1]


def verify(
    path: Path | str,
    *,
    n_sample: int | None = 1000,
    store_only: bool = False,
    recipe_path: Path | str | None = None,
    sources_dir: Path | str | None = None,
    cache_dir: Path | str | None = None,
    engine: Engine | None = None,
    seed: int = 0,
    show_progress: bool = False,
) -> Verified:
    """Check a store against itself and against the sources it was built from.

    1. Every chunk is read and passes its checksum; the content hash is computed again; attributes and
       metadata have the checksums on record, and the store contains no foreign file.
    2. The sources have the checksums on record.
    3. The windows lie on the peaks they are labelled by, as bedtools finds from the files as text: see
       :mod:`chromacc_data.regions.check`.
    4. Windows, labels, splits, folds, counts, leaks, the genome's facts and the build key are derived again
       from the sources: all must be equal.
    5. Bases of a sample of windows, or of all, are read again with pyfaidx, not with the reader that built
       the store: all must be equal.

    A simulated store has no genome to be compared with. Its windows are made again from the recipe, bases
    included, and those of the sample are checked against the truth in the store, by
    :func:`chromacc_data.simulation.truth.check_truth`. A function that scores windows is not run: its scores
    are taken as they are.

    Parameters
    ----------
    path
        The store.
    n_sample
        Windows whose bases are compared, or whose truth is checked; None takes all.
    store_only
        Check the store alone, without its recipe and sources: step 1, what the recorded counts and leaks say
        of the windows, and the truth of a simulated store.
    recipe_path, sources_dir, cache_dir
        Where the recipe and its sources are now; by default where the store was built from.
    engine
        Where dask tasks run.
    seed
        Seed of the sample.

    Raises
    ------
    CheckError
        At the first difference.
    InputError
        If the store or its sources cannot be read; it says which checks of the store alone passed.

    Examples
    --------
    >>> import chromacc_data as cd
    >>> from chromacc_data.examples import example_store
    >>> verified = cd.verify(example_store())
    >>> verified.held[-1]
    'recipe, inputs, build key, counts and leaks on record are what the sources give'
    """
    engine, path = engine or Engine(), Path(path).absolute()
    recipe_path, sources_dir, cache_dir = (
        None if given is None else Path(given) for given in (recipe_path, sources_dir, cache_dir)
    )
    ds = open_store(path)
    require_layout(path)
    found = content_hash(path, engine=engine, show_progress=show_progress)
    expected = ds.attrs[schema.ATTR_CONTENT_HASH]
    if found != expected:
        raise CheckError("content differs from its hash", where=path, found=found, expected=expected)
    require_sealed(ds, where=path)
    n, simulated = ds.sizes[schema.WINDOW], is_simulated(ds)
    rows = np.arange(n)
    if n_sample is not None and n_sample < n:
        rows = np.sort(np.random.default_rng(seed).choice(n, n_sample, replace=False))
    held = [f"every chunk passes its checksum; content hash {found}"]
    if is_sealed(ds):
        held.append("attributes and metadata are those of the build")
    held += _check_truth(ds, rows, path)
    unchecked = _unchecked(ds, store_only=store_only)
    counts = _recorded(ds, schema.ATTR_COUNTS, path) or {}
    recipe = None
    if store_only:
        held += _compare_with_itself(ds, path)
        n_compared = len(rows) if simulated else 0
    else:
        recipe, inputs = _find_sources(ds, path, recipe_path, sources_dir, cache_dir, engine)
        more = _compare_with_sources(ds, rows, path, recipe, inputs, engine, show_progress)
        held, unchecked, n_compared = held + more[0], unchecked + more[1], len(rows)
    return Verified(
        path,
        found,
        n,
        n_compared,
        recipe and recipe.path,
        simulated,
        tuple(held),
        tuple(unchecked),
        counts,
    )


def _check_truth(ds: xr.Dataset, rows: np.ndarray, path: Path) -> list[str]:
    """Check some windows against the truth in the store, if it has any; says which checks passed."""
    if not is_simulated(ds):
        return []
    check_truth(ds, rows, path=path)
    return [f"sites, scores and labels of {len(rows):,} windows are those of the truth in the store"]


def _find_sources(
    ds: xr.Dataset,
    path: Path,
    recipe_path: Path | None,
    sources_dir: Path | None,
    cache_dir: Path | None,
    engine: Engine,
) -> tuple[Recipe, Inputs]:
    """The recipe of a store and its local files, which must be those on record."""
    try:
        recipe = _recipe(ds, path, recipe_path)
        inputs = resolve_inputs(recipe, sources_dir=sources_dir, cache_dir=cache_dir, engine=engine)
    except CheckError:
        raise
    except InputError as error:
        _compare_with_itself(ds, path)
        raise _without_sources(error) from error
    _compare_inputs(ds, inputs, path)
    n = ds.sizes[schema.WINDOW]
    if recipe.n_windows not in (None, n):
        raise CheckError("different sizes", where=path, found=n, expected=recipe.n_windows)
    return recipe, inputs


def _compare_with_sources(
    ds: xr.Dataset,
    rows: np.ndarray,
    path: Path,
    recipe: Recipe,
    inputs: Inputs,
    engine: Engine,
    show_progress: bool,
) -> tuple[list[str], list[str]]:
    """Derive a store again from its sources and compare; says which checks passed and what is unchecked."""
    with _scratch_folder(path) as folder:
        # Functions of the recipe are never run: a store may name any code.
        origin = origin_of(recipe, inputs, runs_functions=False)
        source: CheckedSource = origin.open(folder)
        labels_held, unchecked = source.check_labels(ds, path)
        plan = open_plan(source, folder, engine=engine, show_progress=show_progress)
        again = lazy_dataset(source, plan, origin)
        _compare_plan(ds, again, path, scored=source.scored)
        _compare_attributes(ds, again, path, scored=source.scored)
        held = source.check_bases(ds, again, rows, path=path, show_progress=show_progress)
    held += [*labels_held, "recipe, inputs, build key, counts and leaks on record are what the sources give"]
    functions = [name for name, scored in zip(recipe.cell_types, source.scored, strict=True) if not scored]
    if functions:
        unchecked.append(f"scores by the recipe's own functions, which are not run: {', '.join(functions)}")
    return held, unchecked


@contextmanager
def _scratch_folder(path: Path) -> Iterator[Path]:
    """A folder for what is derived again: if possible next to the store, where a cluster's workers see it."""
    with ExitStack() as stack:
        try:
            name = path.with_name(f"{path.name}.verify")
            folder = stack.enter_context(working_folder(name, wait=True, hidden=True, what="store"))
        except NotWritableError:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chromacc-verify-")))
        yield folder


def _unchecked(ds: xr.Dataset, *, store_only: bool) -> list[str]:
    """Parts of a store that were not checked, in words."""
    lines = []
    if store_only:
        lines.append("the recipe and its sources: bases, labels and counts were not derived from them again")
    if not is_sealed(ds):
        checked = {*_ALWAYS_CHECKED, *(() if store_only else _DERIVED)}
        names = [str(name) for name in ds.attrs if name not in checked]
        lines.append(
            f"attributes {', '.join(names)}, and descriptions of variables: the store was built before "
            "stores carried checksums of them"
        )
    return lines


def _without_sources(error: InputError) -> InputError:
    """The error, with the checks that passed without the sources, and how to check the store alone."""
    return InputError(
        f"{error.what}; the store alone is good, but cannot be compared with its sources",
        where=error.where,
        found=error.found,
        expected=error.expected,
        remedy="; ".join([*filter(None, [error.remedy]), "or check the store alone with --store-only"]),
    )


def _recipe(ds: xr.Dataset, path: Path, recipe_path: Path | None) -> Recipe:
    if schema.ATTR_RECIPE_PATH not in ds.attrs:
        raise InputError("no recipe on record", where=path, remedy="only a built store has sources")
    where = recipe_path or Path(ds.attrs[schema.ATTR_RECIPE_PATH])
    if not where.exists():
        raise InputError(
            "the recipe is not where the store was built from", where=where, remedy="name it with --recipe"
        )
    counts = _recorded(ds, schema.ATTR_COUNTS, path) or {}
    recipe = _of_its_time(load_recipe(where), counts)
    recorded = _of_its_time(parse_recipe(ds.attrs[schema.ATTR_RECIPE], path=where), counts)
    if recipe.digest != recorded.digest:
        raise CheckError(
            "the recipe has changed since the store was built",
            where=where,
            found=f"digest {recipe.digest[:12]}",
            expected=f"digest {recorded.digest[:12]} (the recipe in the store)",
            remedy="restore the recipe, or build the store again",
        )
    return recipe


def _of_its_time(recipe: Recipe, counts: dict[str, int]) -> Recipe:
    """The recipe as the release meant it that built the store: the first ones knew no limit on N."""
    if recipe.simulation is not None or "windows_with_n_dropped" in counts:
        return recipe
    return replace(recipe, windows=replace(recipe.windows, max_n=1.0))


def _recorded(ds: xr.Dataset, name: str, path: Path) -> Any:
    """Value of a root attribute that is JSON; None where it is absent."""
    try:
        return json.loads(ds.attrs[name]) if name in ds.attrs else None
    except (ValueError, TypeError) as error:
        raise CheckError(f"attribute {name!r} is not JSON", where=path, found=error) from error


def _compare_with_itself(ds: xr.Dataset, path: Path) -> list[str]:
    """Raise where attributes contradict the windows; says what was compared."""
    split = read_variable(ds, schema.SPLIT.name)
    counts = _recorded(ds, schema.ATTR_COUNTS, path)
    held = []
    if counts is not None:
        found = {"windows": split.size}
        found |= {f"windows_{name}": int((split == code).sum()) for code, name in enumerate(schema.SPLITS)}
        for name in found.keys() & counts.keys():
            if counts[name] != found[name]:
                raise CheckError(
                    f"the count {name!r} is not that of the windows",
                    where=path,
                    found=counts[name],
                    expected=found[name],
                    remedy="build the store again",
                )
        held.append("counts of windows on record are those of the store")
    places = (schema.CHROM, schema.START, schema.END)
    recorded = _recorded(ds, schema.ATTR_LEAKS, path)
    if recorded is not None and all(variable.name in ds for variable in (*places, schema.FOLD)):
        chrom, start, end, fold = (read_variable(ds, variable.name) for variable in (*places, schema.FOLD))
        leaks = json.loads(json.dumps(leak_audit(chrom, start, end, split, fold)))
        if leaks != recorded:
            raise _other("leaks between splits", path, recorded, leaks)
        held.append("leaks between splits on record are those of the store")
    return held


def _compare_inputs(ds: xr.Dataset, inputs: Inputs, path: Path) -> None:
    recorded = _recorded(ds, schema.ATTR_INPUTS, path) or []
    for now, then in zip(inputs.records, recorded, strict=False):
        if now["sha256"] != then["sha256"]:
            raise CheckError(
                f"the source of {now['name']!r} has changed since {path.name} was built",
                where=now["source"],
                found=f"SHA-256 {now['sha256']}",
                expected=f"SHA-256 {then['sha256']}",
            )
    if list(inputs.records) != recorded:
        raise _other("inputs", path, recorded, list(inputs.records))


def _compare_attributes(ds: xr.Dataset, again: xr.Dataset, path: Path, *, scored: list[bool]) -> None:
    """Raise where a root attribute is not what the sources give."""
    for label, name in (("title", schema.ATTR_TITLE), ("seed", schema.ATTR_SEED)):
        if ds.attrs.get(name) != again.attrs[name]:
            raise _other(label, path, ds.attrs.get(name), again.attrs[name])
    versions = _recorded(ds, schema.ATTR_VERSIONS, path) or {}
    # Another release makes another key of the same recipe.
    same_release = versions.get("chromacc") == _recorded(again, schema.ATTR_VERSIONS, path)["chromacc"]
    key = again.attrs[schema.ATTR_BUILD_KEY]
    if same_release and ds.attrs.get(schema.ATTR_BUILD_KEY) != key:
        raise _other("build key", path, ds.attrs.get(schema.ATTR_BUILD_KEY), key)
    recorded, leaks = (_recorded(each, schema.ATTR_LEAKS, path) for each in (ds, again))
    if recorded != leaks:
        raise _other("leaks between splits", path, recorded, leaks)
    counts = _recorded(again, schema.ATTR_COUNTS, path)
    positives = read_variable(ds, schema.ACCESSIBILITY.name).sum(axis=0, dtype=np.int64)
    for name, n_open, known in zip(ds[schema.CELL_TYPE].values, positives.tolist(), scored, strict=True):
        counts |= {} if known else {f"windows_open_in_{name}": n_open}
    # A later release may count more.
    for name, count in (_recorded(ds, schema.ATTR_COUNTS, path) or {}).items():
        if counts.get(name) != count:
            raise _other(f"count {name!r}", path, count, counts.get(name))


def _other(what: str, path: Path, found: object, expected: object) -> CheckError:
    return CheckError(
        f"the sources do not give the recorded {what}",
        where=path,
        found=found,
        expected=expected,
        remedy="the store was changed: build or fetch it again",
    )


def _compare_plan(ds: xr.Dataset, again: xr.Dataset, path: Path, *, scored: list[bool]) -> None:
    if ds.sizes != again.sizes:
        raise CheckError("different sizes", where=path, found=dict(ds.sizes), expected=dict(again.sizes))
    for name, found, expected in (
        ("cell types", list(map(str, ds[schema.CELL_TYPE].values)), list(again[schema.CELL_TYPE].values)),
        ("names of chromosomes", schema.chrom_names(ds), schema.chrom_names(again)),
        ("genome", ds.attrs.get(schema.ATTR_GENOME), again.attrs.get(schema.ATTR_GENOME)),
        ("truth", ds.attrs.get(schema.ATTR_TRUTH), again.attrs.get(schema.ATTR_TRUTH)),
    ):
        if found != expected:
            raise CheckError(f"different {name}", where=path, found=found, expected=expected)
    for name in (str(name) for name in again.data_vars if name != schema.SEQUENCE.name):
        found, expected = read_variable(ds, name), again[name].to_numpy()
        if schema.CELL_TYPE in again[name].dims:
            found, expected = found[:, scored], expected[:, scored]
        differs = np.argwhere(found != expected)
        if len(differs):
            row = int(differs[0][0])
            raise CheckError(
                f"{name!r} is not what the sources give",
                where=f"{path} window {row}",
                found=found[row].tolist(),
                expected=expected[row].tolist(),
                remedy="build the store again",
            )
