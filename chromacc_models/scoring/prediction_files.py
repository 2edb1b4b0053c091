"""Predictions to a file, by suffix: TSV, BED with scores, bigWig, Parquet, HDF5, Zarr.

Predictions are read in blocks from an array on disk, so memory is bounded by a block, not by the number of
regions; only the regions themselves, and of a bigWig one column at a time, are held.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

import numpy as np
import pandas as pd

from chromacc_data.child import CHECK_THE_DISK, call_in_child
from chromacc_data.errors import InputError
from chromacc_data.lazy import lazy_module
from chromacc_data.names import REGION_COLUMNS, column_names, file_names
from chromacc_data.regions.intervals import PairKeys
from chromacc_data.store import schema
from chromacc_models.scoring.bigwig import write_bigwig
from chromacc_models.scoring.dataset_files import write_hdf5, write_zarr

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr
else:
    da, xr = map(lazy_module, ("dask.array", "xarray"))

__all__ = ["SUFFIXES", "Predictions", "mean_over_bases", "output_paths", "write_predictions", "write_tsv"]

#: Name of the dimension and of the array in HDF5 and Zarr.
REGION = "region"
PREDICTION = "prediction"

_BLOCK = 1 << 15
_CPU_SECONDS, _VALUES_PER_SECOND = 30, 10_000
_MAX_SCORE = 1000  # BED's score column is an integer from 0 to 1000


@dataclass(frozen=True)
class Predictions:
    """Predictions for regions.

    Parameters
    ----------
    regions
        Columns chrom, start, end, name, strand, as :func:`chromacc_data.regions.bed.read_intervals` gives
        them.
    values
        Probabilities, shape (region, cell_type), float32; may lie on disk.
    cell_types
        Name of each column of `values`.
    chrom_sizes
        Length of each chromosome of the genome, in its order.
    attributes
        What is written into HDF5 and Zarr about how they were made.
    """

    regions: pd.DataFrame
    values: np.ndarray
    cell_types: tuple[str, ...]
    chrom_sizes: dict[str, int]
    attributes: dict[str, str] = field(default_factory=dict)

    def blocks(self) -> Iterator[pd.DataFrame]:
        """Tables of at most 32,768 regions: chrom, start, end, name, strand, and a column per cell type.

        The column of a cell type whose name is one of the first five has a number behind it.
        """
        columns = list(REGION_COLUMNS)
        names = column_names(self.cell_types)
        for first in range(0, len(self.regions), _BLOCK):
            rows = slice(first, first + _BLOCK)
            table = self.regions.loc[:, columns].iloc[rows].reset_index(drop=True)
            values = pd.DataFrame(np.asarray(self.values[rows]), columns=names)
            yield pd.concat([table, values], axis=1)


def output_paths(out: Path, cell_types: tuple[str, ...]) -> list[Path]:
    """The files that are written for an output name.

    BED and bigWig hold one value a region: of several cell types each gets a file, ``NAME.CELL_TYPE.bed``,
    an underscore for each character but letters, digits and ``-_.``, a number where two were the same.

    >>> [path.name for path in output_paths(Path("new.bw"), ("K562", "HeLa S3"))]
    ['new.K562.bw', 'new.HeLa_S3.bw']
    >>> [path.name for path in output_paths(Path("new.tsv"), ("K562", "HeLa S3"))]
    ['new.tsv']

    Raises
    ------
    InputError
        For a suffix that names no format.
    """
    if out.suffix not in _WRITERS:
        raise InputError(
            "the suffix does not name a format",
            where=out,
            found=repr(out.suffix),
            expected=", ".join(_WRITERS),
        )
    if out.suffix not in _ONE_CELL_TYPE or len(cell_types) == 1:
        return [out]
    return [out.with_name(f"{out.stem}.{name}{out.suffix}") for name in file_names(cell_types)]


def write_predictions(predictions: Predictions, path: Path, *, column: int | None = None) -> None:
    """Write one of :func:`output_paths`.

    Parameters
    ----------
    predictions
        What to write.
    path
        File; the suffix names the format.
    column
        Which cell type a BED or bigWig file holds.

    Raises
    ------
    InputError
        For Parquet without pyarrow.

    Notes
    -----
    - `.tsv`: chrom, start, end, name, strand, and a column per cell type, under a line of names; nothing is
      quoted: read it with ``quoting=csv.QUOTE_NONE`` where names have quotes.
    - `.parquet`: the same columns.
    - `.bed`: BED6, the probability times 1000, rounded, as score.
    - `.bw`: each base has the mean of the regions that cover it; bases past a chromosome's end are left out.
    - `.h5`, `.zarr`: an xarray Dataset with `prediction` (region, cell_type) and coordinates.
    """
    write = _WRITERS[path.suffix]
    if path.suffix != ".h5":
        write(predictions, path, column or 0)
        return
    # Values on disk are opened again by their path.
    values = predictions.values
    mapped = (Path(values.filename), values.shape) if isinstance(values, np.memmap) else None
    sent = predictions if mapped is None else dataclasses.replace(predictions, values=np.zeros(0))
    # A full disk lets HDF5 crash, or never end.
    limit = _CPU_SECONDS + values.size // _VALUES_PER_SECOND
    call_in_child(
        _write_in_child,
        *(write, sent, mapped, path, column or 0),
        file=path,
        remedy=CHECK_THE_DISK,
        cpu_seconds=limit,
    )


def write_tsv(predictions: Predictions, file: BinaryIO) -> None:
    """Write predictions as TSV in UTF-8 into an open file, such as standard output."""
    for i, table in enumerate(predictions.blocks()):
        text = StringIO()
        _append(table, text, header=i == 0)
        file.write(text.getvalue().encode())
    file.flush()


def mean_over_bases(
    start: np.ndarray, end: np.ndarray, value: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Disjoint, sorted intervals with the mean of the regions over them.

    Parameters
    ----------
    start, end
        Regions of one chromosome, or keys that lay several end to end; any order, overlaps allowed, shape
        (region,), int64.
    value
        Value of each, shape (region,).

    Returns
    -------
    tuple
        start, end (int64) and mean (float64), shape (interval,).

    Examples
    --------
    >>> starts, ends, means = mean_over_bases(np.array([0, 5]), np.array([10, 15]), np.array([1.0, 0.0]))
    >>> list(zip(starts.tolist(), ends.tolist(), means.tolist()))
    [(0, 5, 1.0), (5, 10, 0.5), (10, 15, 0.0)]
    """
    breaks = np.sort(np.concatenate([start, end]))
    breaks = breaks[np.append(np.diff(breaks) > 0, True)[: breaks.size]]
    first, last = np.searchsorted(breaks, start), np.searchsorted(breaks, end)
    n = len(breaks)
    cover = np.cumsum(np.bincount(first, minlength=n) - np.bincount(last, minlength=n))[:-1]
    total = np.cumsum(np.bincount(first, value, n) - np.bincount(last, value, n))[:-1]
    here = cover > 0
    # The running sum rounds: what it has gathered where no region is goes off again, and a mean must not
    # leave the range of the values.
    rounding = np.append(0.0, np.where(here, 0.0, total))[_last_gap(here)]
    mean = (total - rounding)[here] / cover[here]
    mean = np.clip(mean, value.min(initial=np.inf), value.max(initial=-np.inf))
    return breaks[:-1][here], breaks[1:][here], mean


def _last_gap(covered: np.ndarray) -> np.ndarray:
    """Place + 1 of the last gap before each interval between breaks, 0 where there is none."""
    return np.maximum.accumulate(np.where(covered, 0, np.arange(1, covered.size + 1)))


def _write_tsv(predictions: Predictions, path: Path, _column: int) -> None:
    with path.open("wb") as file:
        write_tsv(predictions, file)


def _append(table: pd.DataFrame, file: TextIO, *, header: bool) -> None:
    """Write rows as they are: neither TSV nor BED knows quotes."""
    table.to_csv(file, sep="\t", index=False, header=header, lineterminator="\n", quoting=csv.QUOTE_NONE)


def _write_parquet(predictions: Predictions, path: Path, _column: int) -> None:
    pyarrow = _require_pyarrow(path)
    from pyarrow.parquet import ParquetWriter

    writer = None
    try:
        for table in predictions.blocks():
            block = pyarrow.Table.from_pandas(table, preserve_index=False)
            writer = writer or ParquetWriter(path, block.schema)
            writer.write_table(block)
    finally:
        if writer is not None:
            writer.close()


def _write_bed(predictions: Predictions, path: Path, column: int) -> None:
    cell_type = column_names(predictions.cell_types)[column]
    with path.open("w", encoding="utf-8", newline="") as file:
        for table in predictions.blocks():
            score = np.rint(table[cell_type].to_numpy() * _MAX_SCORE).astype(int)
            lines = table[["chrom", "start", "end", "name"]].assign(score=score, strand=table["strand"])
            _append(lines, file, header=False)


def _write_bigwig(predictions: Predictions, path: Path, column: int) -> None:
    regions, sizes = predictions.regions, predictions.chrom_sizes
    values = np.asarray(predictions.values[:, column], dtype=np.float64)
    codes, names = pd.factorize(regions["chrom"])
    code_of = {name: code for code, name in enumerate(sizes)}
    chrom = np.array([code_of[name] for name in names], dtype=np.int64)[codes]
    lengths = np.array(list(sizes.values()), dtype=np.int64)
    start, end = (np.clip(regions[edge].to_numpy(), 0, lengths[chrom]) for edge in ("start", "end"))
    inside = end > start
    chrom, start, end = chrom[inside], start[inside], end[inside]
    keys = PairKeys.over(end)
    first, last, mean = mean_over_bases(keys.of(chrom, start), keys.of(chrom, end), values[inside])
    chrom, start = keys.pairs(first)
    write_bigwig(path, sizes, chrom, start, start + (last - first), mean)


def _write_in_child(
    write: Callable[[Predictions, Path, int], None],
    predictions: Predictions,
    mapped: tuple[Path, tuple[int, int]] | None,
    path: Path,
    column: int,
) -> None:
    if mapped is not None:
        file, shape = mapped
        predictions = dataclasses.replace(predictions, values=np.memmap(file, np.float32, "r", shape=shape))
    write(predictions, path, column)


def _dataset(predictions: Predictions) -> xr.Dataset:
    regions = predictions.regions
    text = {name: regions[name].to_numpy(dtype=object) for name in ("name", "strand")}
    return xr.Dataset(
        {
            PREDICTION: (
                (REGION, schema.CELL_TYPE),
                da.from_array(predictions.values, chunks=(_BLOCK, -1)),
                {"long_name": "probability that the region is accessible"},
            )
        },
        coords={
            schema.CHROM.name: (REGION, regions["chrom"].to_numpy(dtype=object)),
            schema.START.name: (REGION, regions["start"].to_numpy()),
            schema.END.name: (REGION, regions["end"].to_numpy()),
            "name": (REGION, text["name"]),
            schema.STRAND.name: (REGION, text["strand"]),
            schema.CELL_TYPE: np.array(predictions.cell_types, dtype=object),
        },
        attrs=predictions.attributes,
    )


def _write_hdf5(predictions: Predictions, path: Path, _column: int) -> None:
    chunks = (min(_BLOCK, len(predictions.regions)), len(predictions.cell_types))
    write_hdf5(_dataset(predictions), path, {PREDICTION: chunks}, level=4)


def _write_zarr(predictions: Predictions, path: Path, _column: int) -> None:
    write_zarr(_dataset(predictions), path, {PREDICTION: None})


def _require_pyarrow(path: Path) -> object:
    try:
        import pyarrow
    except ImportError as error:
        raise InputError(
            "Parquet needs pyarrow", where=path, remedy="pip install 'chromacc[parquet]', or write a .tsv"
        ) from error
    return pyarrow


_WRITERS: dict[str, Callable[[Predictions, Path, int], None]] = {
    ".tsv": _write_tsv,
    ".bed": _write_bed,
    ".bw": _write_bigwig,
    ".parquet": _write_parquet,
    ".h5": _write_hdf5,
    ".zarr": _write_zarr,
}
_ONE_CELL_TYPE = (".bed", ".bw")

#: Suffixes of the formats.
SUFFIXES = tuple(_WRITERS)
