"""Is a store what it says, and what its sources say? Checksums, content hash, and windows made again."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyfaidx
import xarray as xr

from chromacc_data import build as building
from chromacc_data import schema
from chromacc_data.console import progress_bar
from chromacc_data.engine import Engine
from chromacc_data.errors import CheckError, InputError
from chromacc_data.inputs import Inputs, resolve_inputs
from chromacc_data.recipe import Recipe, load_recipe, parse_recipe
from chromacc_data.regions.check import check_windows
from chromacc_data.sequences.encoding import encode, one_hot
from chromacc_data.sequences.fasta import write_index
from chromacc_data.simulation.truth import check_truth, is_simulated
from chromacc_data.store import content_hash, open_store, read_variable, read_window_block

__all__ = ["Verified", "verify"]


@dataclass(frozen=True)
class Verified:
    """What :func:`verify` checked; everything held."""

    path: Path
    content_hash: str
    n_windows: int
    n_compared: int
    recipe: Path
    simulated: bool = False
    #: What bedtools, and not the builder's own code, says of the windows and the peaks of their labels.
    by_bedtools: tuple[str, ...] = ()

    def report(self) -> tuple[dict, str]:
        """The result for programs and for people."""
        n_windows, n_compared = f"{self.n_windows:,}", f"{self.n_compared:,}"
        if self.simulated:
            findings = (
                f"bases, sites, scores and labels of all {n_windows} windows are what the recipe gives",
                f"sites, scores and labels of {n_compared} windows are those of its truth, window by window",
            )
        else:
            findings = (
                f"labels, coordinates and splits of all {n_windows} windows are what the sources give",
                f"bases of {n_compared} windows are those of the genome",
                *self.by_bedtools,
            )
        checksums = f"every chunk passes its checksum; content hash {self.content_hash}"
        return asdict(self), "\n  ".join([f"{self.path}: good", checksums, *findings])


def verify(
    path: Path,
    *,
    n_sample: int | None = 1000,
    recipe_path: Path | None = None,
    sources_dir: Path | None = None,
    cache_dir: Path | None = None,
    engine: Engine | None = None,
    seed: int = 0,
    show_progress: bool = False,
) -> Verified:
    """Check a store against itself and against the sources it was built from.

    1. Every chunk is read and passes its checksum; the content hash is computed again.
    2. The sources have the checksums on record.
    3. The windows lie on the peaks they are labelled by, as bedtools finds from the files as text: see
       :mod:`chromacc_data.regions.check`.
    4. Windows, labels, splits and folds are derived again from the sources: all must be equal.
    5. Bases of a sample of windows, or of all, are read again with pyfaidx, not with the reader that built
       the store: all must be equal.

    A simulated store has no genome to be compared with. Its windows are made again from the recipe, bases
    included, and those of the sample are checked against the truth in the store, by
    :func:`chromacc_data.simulation.truth.check_truth`.

    Parameters
    ----------
    path
        The store.
    n_sample
        Windows whose bases are compared, or whose truth is checked; None takes all.
    recipe_path, sources_dir, cache_dir
        Where the recipe and its sources are now; by default where the store was built from.
    engine
        Where dask tasks run.
    seed
        Seed of the sample.

    Raises
    ------
    CheckError
        At the first thing that differs.
    InputError
        If the store or its sources cannot be read.
    """
    engine, path = engine or Engine(), Path(path).absolute()
    ds = open_store(path)
    found = content_hash(path, engine=engine, show_progress=show_progress)
    expected = ds.attrs[schema.ATTR_CONTENT_HASH]
    if found != expected:
        raise CheckError("content differs from its hash", where=path, found=found, expected=expected)
    recipe = _recipe(ds, path, recipe_path)
    inputs = resolve_inputs(recipe, sources_dir=sources_dir, cache_dir=cache_dir, engine=engine)
    _compare_inputs(ds, inputs, path)
    n = ds.sizes[schema.WINDOW]
    rows = np.arange(n)
    if n_sample is not None and n_sample < n:
        rows = np.sort(np.random.default_rng(seed).choice(n, n_sample, replace=False))
    if is_simulated(ds):
        check_truth(ds, rows, path=path)
    by_bedtools = () if is_simulated(ds) else check_windows(ds, recipe, inputs, path=path)
    # Beside the store: that is where the workers of a cluster can read.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        content = building.open_content(recipe, inputs, Path(folder))
        plan = building.make_plan(content, Path(folder), engine=engine, show_progress=show_progress)
        again = building.lazy_dataset(content, plan, attrs=building.provenance(content, plan))
        _compare_plan(ds, again, path)
        if is_simulated(ds):
            _compare_simulated(ds, again, path, show_progress=show_progress)
    if not is_simulated(ds):
        _compare_bases(ds, rows, inputs.fasta, path, show_progress=show_progress)
    return Verified(path, found, n, len(rows), recipe.path, is_simulated(ds), by_bedtools)


def _recipe(ds: xr.Dataset, path: Path, recipe_path: Path | None) -> Recipe:
    if schema.ATTR_RECIPE_PATH not in ds.attrs:
        raise InputError("no recipe on record", where=path, remedy="only a built store can be verified")
    where = recipe_path or Path(ds.attrs[schema.ATTR_RECIPE_PATH])
    if not where.exists():
        raise InputError(
            "the recipe is not where the store was built from", where=where, remedy="name it with --recipe"
        )
    recipe = load_recipe(where)
    recorded = parse_recipe(ds.attrs[schema.ATTR_RECIPE], path=where)
    if recipe.digest != recorded.digest:
        raise CheckError(
            "the recipe has changed since the store was built",
            where=where,
            found=f"digest {recipe.digest[:12]}",
            expected=f"digest {recorded.digest[:12]} (the recipe in the store)",
            remedy="restore the recipe, or build the store again",
        )
    return recipe


def _compare_inputs(ds: xr.Dataset, inputs: Inputs, path: Path) -> None:
    for now, then in zip(inputs.records, json.loads(ds.attrs[schema.ATTR_INPUTS]), strict=True):
        if now["sha256"] != then["sha256"]:
            raise CheckError(
                f"the source of {now['name']!r} has changed since {path.name} was built",
                where=now["source"],
                found=f"SHA-256 {now['sha256']}",
                expected=f"SHA-256 {then['sha256']}",
            )


def _compare_plan(ds: xr.Dataset, again: xr.Dataset, path: Path) -> None:
    if ds.sizes != again.sizes:
        raise CheckError("other sizes", where=path, found=dict(ds.sizes), expected=dict(again.sizes))
    for name, found, expected in (
        ("cell types", list(map(str, ds[schema.CELL_TYPE].values)), list(again[schema.CELL_TYPE].values)),
        ("names of chromosomes", _chrom_names(ds), _chrom_names(again)),
        ("genome", ds.attrs.get(schema.ATTR_GENOME), again.attrs.get(schema.ATTR_GENOME)),
        ("truth", ds.attrs.get(schema.ATTR_TRUTH), again.attrs.get(schema.ATTR_TRUTH)),
    ):
        if found != expected:
            raise CheckError(f"other {name}", where=path, found=found, expected=expected)
    for name in (str(name) for name in again.data_vars if name != schema.SEQUENCE.name):
        found, expected = read_variable(ds, name), again[name].to_numpy()
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


def _chrom_names(ds: xr.Dataset) -> list[str]:
    if schema.CHROM.name not in ds:
        return []
    return [str(name) for name in np.atleast_1d(ds[schema.CHROM.name].attrs[schema.ATTR_NAMES])]


def _compare_simulated(ds: xr.Dataset, again: xr.Dataset, path: Path, *, show_progress: bool) -> None:
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


def _compare_bases(
    ds: xr.Dataset,
    rows: np.ndarray,
    fasta: Sequence[Path],
    path: Path,
    *,
    show_progress: bool,
) -> None:
    chunk, length = int(ds.attrs[schema.ATTR_WINDOW_CHUNK]), ds.sizes[schema.POSITION]
    names = _chrom_names(ds)
    chrom, start = read_variable(ds, schema.CHROM.name), read_variable(ds, schema.START.name)
    with (
        _Reference(fasta) as reference,
        progress_bar(len(rows), unit="windows", description="comparing", show=show_progress) as bar,
    ):
        for index in np.unique(rows // chunk):
            here = rows[rows // chunk == index]
            first = index * chunk
            block = read_window_block(ds, schema.SEQUENCE.name, first, min(first + chunk, len(chrom)))
            for row in here:
                expected = reference.window(names[chrom[row]], int(start[row]), length)
                if not np.array_equal(block[row - first], one_hot(encode(expected))):
                    raise CheckError(
                        "bases are not those of the genome",
                        where=f"{path} window {row} ({names[chrom[row]]}:{start[row]}-{start[row] + length})",
                        remedy="build the store again",
                    )
            bar.update(len(here))


class _Reference:
    """Windows as text through pyfaidx, with N past both ends: slow, and independent of our own reader."""

    def __init__(self, fasta: Sequence[Path]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._files = [self._open(path, Path(self._folder.name) / str(i)) for i, path in enumerate(fasta)]

    def __enter__(self) -> _Reference:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()
        self._folder.cleanup()

    @staticmethod
    def _open(path: Path, folder: Path) -> pyfaidx.Fasta:
        # Indexed anew: a wrong index must not hide behind itself.
        folder.mkdir()
        stem = str(folder / path.name)
        files = {"indexname": f"{stem}.fai", "gzi_indexname": f"{stem}.gzi"}
        try:
            return pyfaidx.Fasta(str(path), **files)
        except (pyfaidx.FastaIndexingError, RuntimeError):
            # pyfaidx indexes no file with more than one line of whitespace behind a sequence.
            write_index(path, folder)
            return pyfaidx.Fasta(str(path), rebuild=False, **files)

    def window(self, name: str, start: int, length: int) -> str:
        record = next(file[name] for file in self._files if name in file)
        inside = record[max(0, start) : max(0, start + length)].seq
        left = "N" * min(length, max(0, -start))
        return (left + inside).ljust(length, "N")
