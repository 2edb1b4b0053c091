"""Scored variants to a file, by suffix: TSV, Parquet, Zarr, and the VCF itself with INFO fields.

Parts are read one at a time from the working folder, so memory is bounded by a part.
"""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

from chromacc_data.errors import InputError
from chromacc_data.lazy import lazy_module
from chromacc_models.effects.tsv_rows import tsv_rows
from chromacc_models.effects.variant_parts import Plan, VariantParts
from chromacc_models.effects.variant_table import FIXED_COLUMNS, VariantColumns, fixed_columns, suffix_of
from chromacc_models.effects.variant_vcf import write_vcf
from chromacc_models.effects.variants import STATUSES, VariantScores

xr, zarr = lazy_module("xarray"), lazy_module("zarr")

__all__ = ["SUFFIXES", "ScoredVariants", "require_format", "write_variants"]

#: Rows of a chunk of a Zarr array, and of a row group of Parquet.
_BLOCK = 1 << 15
_LEVEL = 6  # of gzip
_VARIANT, _CELL_TYPE, _QUANTITY = "variant", "cell_type", "quantity"


@dataclass(frozen=True)
class ScoredVariants:
    """All variants of a run, with their scores.

    Parameters
    ----------
    parts, plan
        The working folder with all scores, and what the VCF has.
    columns
        What the table has.
    vcf
        The variants' file.
    attributes
        What is written into files about how they were made.
    """

    parts: VariantParts
    plan: Plan
    columns: VariantColumns
    vcf: Path
    attributes: dict[str, str] = field(default_factory=dict)

    def blocks(self) -> Iterator[tuple[list[str], VariantScores]]:
        """Lines of the first five columns, and scores, part by part."""
        for part in range(self.plan.n_parts):
            yield self.parts.read_lines(part), self.parts.read_scores(part)

    def frames(self) -> Iterator[pd.DataFrame]:
        """Tables of exactly 32,768 alleles, but for the last."""
        held, n = [], 0
        for lines, scores in self.blocks():
            held.append(self.columns.frame(fixed_columns(lines), scores))
            n += len(lines)
            while n >= _BLOCK:
                whole = pd.concat(held, ignore_index=True)
                yield whole.iloc[:_BLOCK]
                held, n = [whole.iloc[_BLOCK:].reset_index(drop=True)], n - _BLOCK
        if n:
            yield pd.concat(held, ignore_index=True)


def require_format(out: Path) -> None:
    """Raise an InputError unless the suffix of an output names a format that can be written."""
    if suffix_of(out) not in _WRITERS:
        raise InputError(
            "the suffix does not name a format",
            where=out,
            found=repr("".join(out.suffixes)),
            expected=", ".join(_WRITERS),
        )
    if suffix_of(out) == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise InputError(
                "Parquet needs pyarrow", where=out, remedy="pip install 'chromacc[parquet]', or write a .tsv"
            ) from error


def write_variants(variants: ScoredVariants, path: Path) -> list[Path]:
    """Write a file, and an index next to it where the format has one.

    - `.tsv`, `.tsv.gz`: a row for each allele under a line of names; six decimals, nothing is quoted, and
      what there is not is empty.
    - `.parquet`: the same columns.
    - `.vcf.gz`: the records of the input with INFO fields, bgzip, with a tabix index if they are in order.
    - `.zarr`: an xarray Dataset with `score` (variant, cell_type, quantity) and a variable for each of the
      other columns.
    """
    return _WRITERS[suffix_of(path)](variants, path)


def _write_tsv(variants: ScoredVariants, path: Path) -> list[Path]:
    with path.open("wb") as file:
        _write_rows(variants, file)
    return [path]


def _write_tsv_gz(variants: ScoredVariants, path: Path) -> list[Path]:
    with path.open("wb") as raw, gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as file:
        _write_rows(variants, file)
    return [path]


def _write_rows(variants: ScoredVariants, file: BinaryIO) -> None:
    columns = variants.columns
    file.write(("\t".join([*FIXED_COLUMNS, *columns.names]) + "\n").encode())
    for lines, scores in variants.blocks():
        statuses = columns.statuses(scores)
        before = [f"{line}\t{status}" for line, status in zip(lines, statuses, strict=True)]
        top, *texts = columns.top_values(scores)
        numbers = [columns.values(scores).reshape(len(lines), -1), top[:, None]]
        behind = list(texts[0])
        if len(texts) > 1:
            shares = ["" if np.isnan(share) else f"{share:.4f}" for share in texts[-1].tolist()]
            behind = ["\t".join(row) for row in zip(*texts[:-1], shares, strict=True)]
        file.write(tsv_rows(before, np.concatenate(numbers, axis=1), behind))


def _write_parquet(variants: ScoredVariants, path: Path) -> list[Path]:
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    writer = None
    try:
        for table in variants.frames():
            block = pyarrow.Table.from_pandas(table, preserve_index=False)
            if writer is None:
                schema = block.schema.with_metadata({**(block.schema.metadata or {}), **variants.attributes})
                writer = ParquetWriter(path, schema)
            writer.write_table(block.cast(writer.schema))
    finally:
        if writer is not None:
            writer.close()
    return [path]


def _write_zarr(variants: ScoredVariants, path: Path) -> list[Path]:
    from zarr.codecs import BloscCodec, Crc32cCodec

    columns, compressors = variants.columns, [BloscCodec(cname="zstd", shuffle="shuffle"), Crc32cCodec()]
    for number, table in enumerate(variants.frames()):
        ds = _dataset(table, columns).assign_attrs(variants.attributes)
        if number:
            ds.to_zarr(path, append_dim=_VARIANT, consolidated=False)
            continue
        chunks = {
            name: tuple({_VARIANT: _BLOCK}.get(dim, ds.sizes[dim]) for dim in ds[name].dims) for name in ds
        }
        encoding = {name: {"chunks": chunks[name]} for name in ds}
        encoding["score"]["compressors"] = compressors
        ds.to_zarr(path, mode="w-", zarr_format=3, consolidated=False, encoding=encoding)
    with warnings.catch_warnings():
        # Not in the Zarr v3 specification yet, but `xr.open_zarr` asks for it; readers may ignore it.
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        zarr.consolidate_metadata(path)
    return [path]


def _dataset(table: pd.DataFrame, columns: VariantColumns) -> xr.Dataset:
    n_each = len(columns.cell_types) * len(columns.quantities)
    names = [*FIXED_COLUMNS, "status", *columns.top]
    values = table.iloc[:, len(FIXED_COLUMNS) + 1 :].iloc[:, :n_each].to_numpy(np.float32)
    shape = len(table), len(columns.cell_types), len(columns.quantities)
    variables = {name: (_VARIANT, table[name].to_numpy()) for name in names if name != "status"}
    codes = pd.Categorical(table["status"], STATUSES).codes
    meanings = {"flag_values": list(range(len(STATUSES))), "flag_meanings": " ".join(STATUSES)}
    return xr.Dataset(
        {
            "score": ((_VARIANT, _CELL_TYPE, _QUANTITY), values.reshape(shape)),
            "status": (_VARIANT, codes, meanings),
            **variables,
        },
        coords={
            _CELL_TYPE: np.array(columns.cell_types, object),
            _QUANTITY: np.array(columns.quantities, object),
        },
    )


def _write_vcf(variants: ScoredVariants, path: Path) -> list[Path]:
    return write_vcf(variants.vcf, path, variants.columns, variants.plan, variants.blocks())


_WRITERS: dict[str, Callable[[ScoredVariants, Path], list[Path]]] = {
    ".tsv": _write_tsv,
    ".tsv.gz": _write_tsv_gz,
    ".parquet": _write_parquet,
    ".vcf.gz": _write_vcf,
    ".zarr": _write_zarr,
}

#: Suffixes of the formats.
SUFFIXES = tuple(_WRITERS)
