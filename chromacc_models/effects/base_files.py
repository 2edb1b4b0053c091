"""Effects or contributions of the bases of regions to a file, by suffix, read part by part.

Zarr and HDF5 hold an xarray Dataset, npz the same arrays, TSV a line per base or base change, bigWig one
value per base, and a folder ``.modisco`` what TF-MoDISco reads.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import IO

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr

from chromacc_data.child import CHECK_THE_DISK, call_in_child
from chromacc_data.errors import InputError
from chromacc_data.names import column_names, file_names
from chromacc_data.region_windows import RegionWindows
from chromacc_data.sequences.encoding import BASES, one_hot
from chromacc_data.store import schema
from chromacc_models.effects.base_arrays import (
    BASE,
    EFFECT,
    HYPOTHETICAL,
    POSITION,
    REGION,
    BaseResult,
    Quantity,
)
from chromacc_models.scoring.bigwig import write_bigwig
from chromacc_models.scoring.dataset_files import write_hdf5, write_zarr

__all__ = [
    "MODISCO",
    "base_output_paths",
    "bases_dataset",
    "region_columns",
    "write_bases",
]

#: Suffix of a folder that TF-MoDISco reads.
MODISCO = ".modisco"

_CPU_SECONDS, _VALUES_PER_SECOND = 60, 100_000
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def base_output_paths(
    out: Path, cell_types: tuple[str, ...], quantity: Quantity, suffixes: tuple[str, ...]
) -> list[Path]:
    """The files that are written for an output name: of bigWig, one for each cell type.

    Raises
    ------
    InputError
        For a suffix that names no format, or a format that cannot hold what is asked for.
    """
    if out.suffix not in suffixes:
        raise InputError(
            "the suffix does not name a format",
            where=out,
            found=repr(out.suffix),
            expected=", ".join(suffixes),
        )
    if out.suffix == ".bw" and quantity == HYPOTHETICAL:
        raise InputError(
            "a bigWig has one value per base",
            where=out,
            found="--hypothetical, four values per base",
            remedy="leave out --hypothetical, or write a .zarr",
        )
    if out.suffix == MODISCO and len(cell_types) != 1:
        raise InputError(
            "TF-MoDISco takes contributions to one cell type",
            where=out,
            found=f"{len(cell_types)} cell types",
            expected=", ".join(cell_types),
            remedy=f"name one: --cell-type {cell_types[0]!r}",
        )
    if out.suffix != ".bw" or len(cell_types) == 1:
        return [out]
    return [out.with_name(f"{out.stem}.{name}{out.suffix}") for name in file_names(cell_types)]


def write_bases(result: BaseResult, path: Path, *, column: int = 0) -> None:
    """Write one of :func:`base_output_paths`.

    Parameters
    ----------
    result
        What to write.
    path
        File or folder; the suffix names the format.
    column
        Which cell type a bigWig holds.

    Notes
    -----
    - `.zarr`, `.h5`: an xarray Dataset: the array, `reference` with the base codes of the windows, and
      coordinates; position p of a region is base ``start + p`` of its chromosome.
    - `.npz`: the same by the same names.
    - `.tsv`: chrom, start, end, name, the base or the base change, and a column per cell type. Positions past
      the ends of a chromosome are left out.
    - `.bw`: of effects, the one of largest size at each base, with its sign; of contributions, theirs. Where
      regions overlap, the mean over those in which the network looks at the base; where it looks at none,
      nothing.
    - `.modisco`: ``ohe.npz`` and ``shap.npz``, (region, base, position) float32.
    """
    write = _WRITERS[path.suffix]
    if path.suffix != ".h5":
        write(result, path, column)
        return
    # A full disk lets HDF5 crash, or never end.
    limit = _CPU_SECONDS + int(np.prod(result.values.shape)) // _VALUES_PER_SECOND
    call_in_child(write, result, path, column, file=path, remedy=CHECK_THE_DISK, cpu_seconds=limit)


def bases_dataset(
    quantity: Quantity,
    values: np.ndarray | da.Array,
    codes: np.ndarray | da.Array,
    regions: dict[str, np.ndarray],
    cell_types: tuple[str, ...],
    attributes: dict[str, str],
) -> xr.Dataset:
    """A Dataset of one quantity, with the base codes of the windows as `reference`.

    Parameters
    ----------
    quantity, values
        The array, with the axes of the quantity.
    codes
        (region, position) uint8.
    regions
        Coordinates (region,): name, chrom and start, or as many as there are.
    cell_types
        Names of the last axis.
    attributes
        How it was made.
    """
    meaning = {"long_name": "base of the genome", "flag_values": list(range(5)), "flag_meanings": "A C G T N"}
    bases = {BASE: np.array(BASES, dtype=object)} if quantity.has_bases else {}
    return xr.Dataset(
        {
            quantity.name: (quantity.dims, values, {"long_name": quantity.long_name, "units": "logit"}),
            "reference": ((REGION, POSITION), codes, meaning),
        },
        coords={
            **{name: (REGION, column) for name, column in regions.items()},
            POSITION: np.arange(values.shape[1]),
            **bases,
            schema.CELL_TYPE: np.array(cell_types, dtype=object),
        },
        attrs={"title": quantity.title, **attributes},
    )


def region_columns(windows: RegionWindows) -> dict[str, np.ndarray]:
    """Name, chromosome and first base of each window."""
    chrom = np.array(windows.genome.names, dtype=object)[windows.chrom]
    return {"name": windows.name, schema.CHROM.name: chrom, schema.START.name: windows.start}


def _dataset(result: BaseResult) -> xr.Dataset:
    values, windows = result.values, result.windows
    rows = values.parts.rows
    codes = da.map_blocks(
        lambda index: windows.codes(index[:, 0]),
        da.arange(len(windows), chunks=rows)[:, np.newaxis],
        chunks=((da.arange(len(windows), chunks=rows).chunks[0]), (windows.length,)),
        dtype=np.uint8,
        meta=np.empty((0, 0), np.uint8),
    )
    array = da.from_array(values, chunks=(rows, *values.shape[1:]), name=False)
    columns = region_columns(windows)
    return bases_dataset(result.quantity, array, codes, columns, result.cell_types, result.attributes)


def _write_hdf5(result: BaseResult, path: Path, _column: int) -> None:
    chunk = min(result.chunk, result.values.shape[0])
    write_hdf5(_dataset(result), path, _chunks(result, chunk), level=1)


def _write_zarr(result: BaseResult, path: Path, _column: int) -> None:
    write_zarr(_dataset(result), path, _chunks(result, result.chunk))


def _chunks(result: BaseResult, n_windows: int) -> dict[str, tuple[int, ...]]:
    shape = result.values.shape
    return {result.quantity.name: (n_windows, *shape[1:]), "reference": (n_windows, shape[1])}


def _write_npz(result: BaseResult, path: Path, _column: int) -> None:
    values, windows = result.values, result.windows
    columns = {name: _as_text(column) for name, column in region_columns(windows).items()}
    columns[schema.CELL_TYPE] = np.array(result.cell_types)
    if result.quantity.has_bases:
        columns[BASE] = np.array(BASES)
    with zipfile.ZipFile(path, "w") as archive:
        _write_npy(archive, result.quantity.name, values.shape, values.dtype, (b for _, b in values.blocks()))
        codes = (windows.codes(span) for span, _ in values.blocks())
        _write_npy(archive, "reference", values.shape[:2], np.dtype(np.uint8), codes)
        for name, column in columns.items():
            _write_npy(archive, name, column.shape, column.dtype, iter([column]))


def _write_modisco(result: BaseResult, path: Path, _column: int) -> None:
    """What ``modisco motifs -s ohe.npz -a shap.npz`` reads: float32 arrays of (region, base, position)."""
    path.mkdir()
    values, windows = result.values, result.windows
    shape = (values.shape[0], 4, values.shape[1])
    one_hots = (
        np.moveaxis(one_hot(windows.codes(span), dtype=np.float32), 2, 1) for span, _ in values.blocks()
    )
    shares = (np.moveaxis(block[..., 0], 2, 1).astype(np.float32) for _, block in values.blocks())
    for name, blocks in (("ohe", one_hots), ("shap", shares)):
        with zipfile.ZipFile(path / f"{name}.npz", "w") as archive:
            _write_npy(archive, "arr_0", shape, np.dtype(np.float32), blocks)


def _write_npy(
    archive: zipfile.ZipFile,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype,
    blocks: Iterator[np.ndarray],
) -> None:
    """An array into an npz file, block by block; of one time, so that equal arrays make equal files."""
    entry = zipfile.ZipInfo(f"{name}.npy", _ZIP_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(entry, "w", force_zip64=True) as file:
        header = {"shape": shape, "fortran_order": False, "descr": np.lib.format.dtype_to_descr(dtype)}
        np.lib.format.write_array_header_2_0(file, header)
        for block in blocks:
            file.write(np.ascontiguousarray(block).tobytes())


def _as_text(column: np.ndarray) -> np.ndarray:
    """Texts in an array that needs no pickle; numbers as they are."""
    return column.astype(str) if column.dtype == object else column


def _write_tsv(result: BaseResult, path: Path, _column: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        for number, (span, block) in enumerate(result.values.blocks()):
            for first in range(span.start, span.stop, result.chunk):
                rows = slice(first, min(first + result.chunk, span.stop))
                table = _table(result, rows, block[rows.start - span.start : rows.stop - span.start])
                _append(table, file, header=number == 0 and first == span.start)


def _table(result: BaseResult, rows: slice, values: np.ndarray) -> pd.DataFrame:
    """A line per base of the genome, or per base that could stand there."""
    windows, quantity = result.windows, result.quantity
    codes = windows.codes(rows)
    at = windows.start[rows, np.newaxis] + np.arange(windows.length)
    lengths = windows.genome.lengths[windows.chrom[rows]][:, np.newaxis]
    keep = (at >= 0) & (at < lengths)
    if quantity.has_bases:
        keep = keep[:, :, np.newaxis] & np.ones(4, bool)
        if quantity == EFFECT:
            keep &= codes[:, :, np.newaxis] != np.arange(4)
    window, position, *base = np.nonzero(keep)
    columns = region_columns(windows._rows(rows))
    start = at[window, position]
    letters = np.array([*BASES, "N"], dtype=object)
    table = {
        "chrom": columns["chrom"][window],
        "start": start,
        "end": start + 1,
        "name": columns["name"][window],
        "reference": letters[codes[window, position]],
    }
    if quantity.has_bases:
        table["base"] = letters[base[0]]
    names = column_names(result.cell_types, taken=tuple(table))
    frame = pd.DataFrame(table)
    numbers = pd.DataFrame(values[keep].astype(np.float32), columns=names)
    return pd.concat([frame, numbers], axis=1)


def _append(table: pd.DataFrame, file: IO[str], *, header: bool) -> None:
    table.to_csv(
        file,
        sep="\t",
        index=False,
        header=header,
        lineterminator="\n",
        quoting=csv.QUOTE_NONE,
        float_format="%.6g",
    )


def _write_bigwig(result: BaseResult, path: Path, column: int) -> None:
    windows, seen = result.windows, result.seen
    sizes = dict(zip(windows.genome.names, windows.genome.lengths.tolist(), strict=True))
    first = windows.start + seen.start
    order = np.lexsort((first, windows.chrom))
    runs = list(_overlapping(windows.chrom[order], first[order], seen.stop - seen.start))
    chroms, starts, means = [], [], []
    for run in runs:
        indices = order[run]
        chrom, begin = windows.chrom[indices[0]], first[indices[0]]
        mean = _mean_of_overlapping(result, indices, first[indices] - begin, column)
        at = np.arange(begin, begin + len(mean))
        inside = (at >= 0) & (at < windows.genome.lengths[chrom])
        starts.append(at[inside])
        means.append(mean[inside])
        chroms.append(np.full(inside.sum(), chrom, np.int32))
    chrom, start, mean = (np.concatenate(pieces) for pieces in (chroms, starts, means))
    write_bigwig(path, sizes, chrom, start, start + 1, mean)


def _overlapping(chrom: np.ndarray, first: np.ndarray, length: int) -> Iterator[slice]:
    """Runs of sorted intervals of one length of which each overlaps, or meets, the one before."""
    apart = (np.diff(chrom) != 0) | (np.diff(first) > length)
    edges = [0, *(np.flatnonzero(apart) + 1).tolist(), len(first)]
    return (slice(a, b) for a, b in pairwise(edges))


def _mean_of_overlapping(
    result: BaseResult, indices: np.ndarray, offsets: np.ndarray, column: int
) -> np.ndarray:
    """Mean at each base of windows that lie one over the other, (base,) float32."""
    seen = result.seen
    length = seen.stop - seen.start
    total = np.zeros(offsets[-1] + length)
    count = np.zeros(len(total), np.int32)
    for index, offset in zip(indices.tolist(), offsets.tolist(), strict=True):
        values = np.asarray(result.values.window(index)[seen][..., column], np.float64)
        if values.ndim == 2:
            largest = np.abs(values).argmax(axis=1)
            values = values[np.arange(length), largest]
        total[offset : offset + length] += values
        count[offset : offset + length] += 1
    return (total / count).astype(np.float32)


_WRITERS: dict[str, Callable[[BaseResult, Path, int], None]] = {
    ".zarr": _write_zarr,
    ".h5": _write_hdf5,
    ".npz": _write_npz,
    ".bw": _write_bigwig,
    ".tsv": _write_tsv,
    MODISCO: _write_modisco,
}
