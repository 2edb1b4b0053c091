"""Disk and memory that a build needs, compared with what is available, before anything large is made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from chromacc_data.errors import DiskFullError, InputError
from chromacc_data.recipe.recipe import Recipe
from chromacc_data.sequences.encoding import N_BASES
from chromacc_data.store import schema

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "Estimate",
    "available_memory",
    "estimate",
    "free_disk",
    "in_words",
    "require_disk",
    "require_memory",
    "require_room",
    "stored_bytes",
]

#: Copies of a chunk that a task holds: as computed, as it is written, as it is read back.
_COPIES = 3
#: Bytes of a window while it is planned: orders, splits, folds, scratch.
_PLANNING = 40
#: Bytes of a motif's contribution in a model, and of a task of dask.
_MODEL, _TASK = 100, 1000
#: Bits of disk for a value of each variable that compresses; the others are stored about as they are. One-hot
#: bases of random DNA need 2 bits for 4 values.
_BITS = {schema.SEQUENCE.name: 0.5, schema.ACCESSIBILITY.name: 0.5, schema.FOLD.name: 2, schema.SPLIT.name: 1}
_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")


class Estimate(NamedTuple):
    """Bytes that a build takes.

    Parameters
    ----------
    stored
        On disk, compressed: the store.
    unpacked
        All values, as they are read.
    working
        On disk next to it, until it has its final name: the plan, and for HDF5 a copy.
    planning
        In memory, while all windows are planned.
    task
        In memory of a task, which makes one chunk.
    chunk
        Values of the largest variable in a chunk.
    """

    stored: int
    unpacked: int
    working: int
    planning: int
    task: int
    chunk: int


def estimate(recipe: Recipe, n_windows: int, *, n_motifs: int | None = None, hdf5: bool = False) -> Estimate:
    """What a build of `n_windows` windows takes, estimated from its recipe.

    Parameters
    ----------
    recipe
        The recipe.
    n_windows
        Of a simulation, those of the recipe; else those of the plan, or 1 before there is one.
    n_motifs
        Motifs of a simulation; when not given, at least those that the recipe names.
    hdf5
        Whether the store is written as HDF5: a Zarr store is made first.
    """
    variables = schema.VARIABLES_OF[recipe.kind]
    n_motifs = recipe.n_motifs if n_motifs is None else n_motifs
    sizes = {
        schema.POSITION: recipe.windows.length,
        schema.BASE: N_BASES,
        schema.CELL_TYPE: recipe.n_cell_types,
        schema.SITE: recipe.max_sites,
        schema.MOTIF: n_motifs,
    }
    widths = {variable.name: _bytes_of_window(variable, sizes) for variable in variables}
    window, planned = sum(widths.values()), sum(widths.values()) - widths[schema.SEQUENCE.name]
    stored = n_windows * sum(_packed(name, n_bytes) for name, n_bytes in widths.items())
    chunk = min(recipe.output.chunk, n_windows)
    return Estimate(
        stored=int(stored),
        unpacked=n_windows * window,
        working=int(n_windows * planned + (stored if hdf5 else 0)),
        # Parts and what they are joined to; models; the tasks that dask is given.
        planning=n_windows * (2 * planned + _PLANNING)
        + recipe.n_cell_types * n_motifs * _MODEL
        + -(-n_windows // recipe.output.chunk) * len(variables) * _TASK,
        task=chunk * window * _COPIES,
        chunk=chunk * max(widths.values()),
    )


def require_room(recipe: Recipe, out: Path, n_windows: int | None = None, *, local: bool = True) -> None:
    """Raise unless disk and memory hold the build of a recipe, and the store's format its chunks.

    Parameters
    ----------
    recipe, out
        The recipe, and the store that is written.
    n_windows
        Windows of the plan; before there is one, the least that the recipe makes.
    local
        Whether tasks run on this machine.

    Raises
    ------
    InputError
        With what it would take, what there is, and what to change.
    """
    is_given = recipe.n_windows is not None
    key = "simulation.n_windows" if is_given else "windows"
    n = n_windows or recipe.n_windows or 1
    size = estimate(recipe, n, hdf5=out.suffix == ".h5")
    shape = f"{n:,} windows of {recipe.windows.length:,} bp x {recipe.n_cell_types:,} cell types"
    fewer = "fewer windows (simulation.n_windows)" if is_given else "fewer peaks or chromosomes"
    remedy = f"{fewer}, shorter windows (windows.length), or fewer cell types"
    if size.chunk > schema.LARGEST_CHUNK:
        most = schema.LARGEST_CHUNK * min(recipe.output.chunk, n) // size.chunk
        raise InputError(
            "a chunk is larger than a store can hold",
            where=f"{recipe.path}, {'output.chunk' if most else 'windows.length'}",
            found=f"{min(recipe.output.chunk, n):,} windows of {in_words(size.chunk)} together ({shape})",
            expected=f"at most {in_words(schema.LARGEST_CHUNK)}",
            remedy=f"output.chunk: {most}"
            if most
            else "shorter windows (windows.length), or fewer cell types",
        )
    require_disk(
        out,
        size.stored + size.working,
        where=f"{recipe.path}, {key}",
        what=f"the store: {shape}, {in_words(size.unpacked)} unpacked",
        remedy=f"{remedy}, or a larger disk",
    )
    require_memory(
        size.planning,
        where=f"{recipe.path}, {key}",
        what=f"planning {shape}",
        remedy=f"{remedy}, or a machine with more memory",
    )
    if local:
        require_memory(
            size.task,
            where=f"{recipe.path}, output.chunk",
            what=f"a task, which makes {min(recipe.output.chunk, n):,} windows",
            remedy="a smaller output.chunk",
        )


def stored_bytes(ds: xr.Dataset) -> int:
    """About what an open store takes on disk, from its sizes alone."""
    widths = {
        str(name): array.dtype.itemsize * int(np.prod([int(n) for n in array.shape[1:]], dtype=object))
        for name, array in ds.data_vars.items()
    }
    return int(ds.sizes[schema.WINDOW] * sum(_packed(name, n_bytes) for name, n_bytes in widths.items()))


def require_disk(
    out: Path,
    n_bytes: int,
    *,
    what: str,
    where: Path | str | None = None,
    remedy: str = "free space, or write to another disk",
) -> None:
    """Raise an InputError unless the disk of an output has room for it.

    Parameters
    ----------
    out
        File or folder that is written; what a killed run left in its working folder counts as free.
    n_bytes
        What it takes.
    what
        What takes it, in words.
    where
        What is at fault: a key or an option; the output when not given.
    remedy
        What to do.
    """
    free = free_disk(out)
    if free is not None and n_bytes > free:
        raise DiskFullError(
            "needs more disk space than is free",
            where=where or out,
            found=f"about {in_words(n_bytes)} for {what}",
            expected=f"at most {in_words(free)}, free at {_existing(out)}",
            remedy=remedy,
        )


def require_memory(n_bytes: int, *, what: str, where: Path | str, remedy: str) -> None:
    """Raise an InputError unless the memory of this machine has room for something."""
    available = available_memory()
    if n_bytes > available:
        raise InputError(
            "needs more memory than is available",
            where=where,
            found=f"about {in_words(n_bytes)} for {what}",
            expected=f"at most {in_words(available)}, available here",
            remedy=remedy,
        )


def free_disk(out: Path) -> int | None:
    """Free bytes on the disk of an output that may not exist yet; None where the system does not say."""
    try:
        free = shutil.disk_usage(_existing(out)).free
    except OSError:
        return None
    with suppress(OSError):  # another process may remove it meanwhile
        partial = out.with_name(out.name + ".partial")
        free += sum(file.stat().st_size for file in partial.rglob("*") if file.is_file())
    return free


def available_memory() -> int:
    """Bytes of memory that a process can still take, within the limits of its container."""
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):  # no limit is written "max"
            available = min(available, int(Path(limit).read_text()) - int(Path(used).read_text()))
    return max(available, 0)


def in_words(n_bytes: int) -> str:
    """A number of bytes for people.

    >>> in_words(12), in_words(2_400_000_000_000_000), in_words(10**30)
    ('12 bytes', '2.4 PB', '1,000,000,000,000 EB')
    """
    power = 0
    while power < len(_UNITS) - 1 and n_bytes >= 1000 ** (power + 1):
        power += 1
    if power == 0:
        return f"{n_bytes} bytes"
    whole, rest = divmod(n_bytes * 10 // 1000**power, 10)
    return f"{whole:,}{f'.{rest}' if rest and whole < 1000 else ''} {_UNITS[power]}"


def _bytes_of_window(variable: schema.Variable, sizes: Mapping[str, int]) -> int:
    return _product([sizes[dim] for dim in variable.dims[1:]]) * np.dtype(variable.dtype).itemsize


def _product(numbers: Sequence[int]) -> int:
    total = 1
    for number in numbers:
        total *= number  # Python's own integers: they do not wrap
    return total


def _packed(name: str, n_bytes: int) -> float:
    return n_bytes * _BITS.get(name, 4) / 8


def _existing(path: Path) -> Path:
    """The nearest folder of a path that exists."""
    return next((folder for folder in path.absolute().parents if folder.is_dir()), Path("/"))
