"""Fixes for what is broken in Kipoi 0.8.6 on a current stack, in one place.

Kipoi 0.8.6 is its last release, so no upstream fix will come. Kipoi imports the package of a model's
classes before it reads a batch or picks a writer. This module is imported then, and patches the loaded
``kipoi`` modules: nothing on disk, nothing outside ``kipoi`` except the hook for errors of its command, and
nothing at all for another version of Kipoi.

======================================================== ====================================================
symptom                                                  fixed by
======================================================== ====================================================
``-o x.h5``: np.string_ was removed in NumPy 2.0         :class:`_OldNumpyNames`, in ``kipoi.writers`` only
``-o x.h5`` onto a file that exists: "name already       :func:`get_writer`: an error that says so, before
exists", after the predictions were made                 the first prediction
``-o x.bed``: unexpected argument dataloader_schema;     :func:`get_writer`, and :class:`BedBatchWriter` with
then KeyError without ``-m``; a header that is no BED    :class:`_Batch`, which keeps the ranges
``-o x.zarr``: "Unknown file format" and exit code 0;    :class:`ZarrBatchWriter`
its writer needs Zarr 2
``-o x.tsv``, ``.parquet``: columns preds/0, preds/1,    :func:`_table`: in the order of the numbers
preds/10, preds/2 …
``writers: {hdf5_chunk_size: …}`` in model.yaml breaks   :func:`get_writer` hands it to the HDF5 writer alone
every ``-o x.tsv``
a table of 32 rows at a time is most of a prediction     :class:`_BufferedWriter` writes 10,000 rows at a time
``test: {expect: file}``: read relative to the working   :class:`ExpectationInFolder`, a base class of our
directory                                                model
a default of 600, such as ``window_length``, is taken    :func:`default_arguments`
for a path: "expected str" while file 600 is open
``get-example``: copies only files with a url            :func:`folder_loader`, the loader class of a folder
bad input ends in a page of traceback and exit code 1    :func:`_print_input_errors`
======================================================== ====================================================
"""

from __future__ import annotations

import csv
import re
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd
from kipoi_utils.data_utils import flatten_batch
from kipoi_utils.external.flatten_json import flatten

from chromacc_data.errors import InputError
from chromacc_models.sharing.kipoi.client import (
    DataLoaderDescription,
    MetadataType,
    download_default_args,
    kipoi,
    writers,
)
from chromacc_models.sharing.kipoi.client import commands as kipoi_commands
from chromacc_models.sharing.kipoi.client import (
    data as kipoi_data,
)
from chromacc_models.sharing.kipoi.client import (
    model as kipoi_model,
)

__all__ = [
    "BedBatchWriter",
    "ExpectationInFolder",
    "ParquetBatchWriter",
    "TsvBatchWriter",
    "ZarrBatchWriter",
    "default_arguments",
    "folder_loader",
    "get_writer",
    "prepare_batch",
]

#: The release that these fixes are for.
KIPOI_VERSION = "0.8.6"

_ROWS_PER_WRITE = 10_000
_SEPARATOR = "/"


def get_writer(output_file: str, metadata_schema: Any = None, **options: Any) -> writers.BatchWriter | None:
    """Writer for a file, by its suffix; None for an unknown suffix, as Kipoi expects.

    Replaces ``kipoi.writers.get_writer``.

    Raises
    ------
    InputError
        If the file exists and the format cannot be written over (all but TSV and BED).
    """
    path = Path(output_file)
    suffix = path.suffix.removeprefix(".")
    writer = _WRITERS.get(suffix)
    if writer is None:
        return None
    if writer not in (TsvBatchWriter, BedBatchWriter) and path.exists():
        raise InputError(
            "exists already", where=path, remedy="name another file with -o, or delete this one first"
        )
    if writer is BedBatchWriter:
        return BedBatchWriter(output_file, metadata_schema)
    if writer is writers.HDF5BatchWriter:
        return writer(output_file, chunk_size=options.get("hdf5_chunk_size", _ROWS_PER_WRITE))
    return writer(output_file)


class _Batch(dict):
    """A batch for the writers that still knows its metadata when they were not asked for."""

    def __init__(self, batch: Mapping[str, Any], all_metadata: Any) -> None:
        super().__init__(batch)
        self.all_metadata = all_metadata


def prepare_batch(
    dl_batch: Mapping[str, Any], pred_batch: Any, keep_inputs: bool = False, keep_metadata: bool = False
) -> dict[str, Any]:
    """What is written of a batch: the predictions, and what was asked to be kept.

    Replaces ``kipoi.cli.main.prepare_batch``, whose result the BED writer cannot use without ``-m``.
    """
    dropped = set() if keep_inputs else {"inputs", "targets"}
    if not keep_metadata:
        dropped.add("metadata")
    kept = {key: value for key, value in dl_batch.items() if key not in dropped}
    return _Batch({**kept, "preds": pred_batch}, dl_batch.get("metadata"))


class _OldNumpyNames:
    """NumPy with the two names that it dropped in 2.0; put in the place of ``kipoi.writers.np``."""

    string_ = np.bytes_
    unicode_ = np.str_

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


class _BufferedWriter(writers.BatchWriter, ABC):
    """Collects flattened batches and hands them on in blocks of about 10,000 rows."""

    def __init__(self, file_path: str) -> None:
        self.file_path = file_path
        self._batches: list[dict[str, np.ndarray]] = []
        self._n_rows = 0

    def batch_write(self, batch: Mapping[str, Any]) -> None:
        """Take one batch: nested arrays with the same first axis."""
        flat = self._flatten(batch)
        self._batches.append(flat)
        self._n_rows += len(next(iter(flat.values())))
        if self._n_rows >= _ROWS_PER_WRITE:
            self._flush()

    def close(self) -> None:
        """Write what is left."""
        self._flush()

    def _flatten(self, batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
        return flatten_batch(batch, nested_sep=_SEPARATOR)

    def _flush(self) -> None:
        if not self._batches:
            return
        columns = {name: np.concatenate([b[name] for b in self._batches]) for name in self._batches[0]}
        self._batches, self._n_rows = [], 0
        self._write(columns)

    @abstractmethod
    def _write(self, columns: dict[str, np.ndarray]) -> None:
        """Write a block of rows, given by column."""


class TsvBatchWriter(_BufferedWriter):
    """Tab-separated table, columns in the order of their numbers."""

    _header = True

    def _write(self, columns: dict[str, np.ndarray]) -> None:
        _append_tsv(_table(columns), self.file_path, header=self._header)
        self._header = False


class BedBatchWriter(_BufferedWriter):
    """BED6 and a column per prediction, under a ``#`` line of names; needs ranges, but not ``-m``."""

    _header = True

    def __init__(self, file_path: str, metadata_schema: Any) -> None:
        super().__init__(file_path)
        ranges = [
            f"metadata/{name}"
            for name, field in flatten(metadata_schema or {}, separator=_SEPARATOR).items()
            if field.type == MetadataType.GENOMIC_RANGES
        ]
        if len(ranges) != 1:
            raise InputError(
                "a BED file needs exactly one genomic range in the loader's metadata",
                where=file_path,
                found=ranges,
                remedy="write a .tsv instead",
            )
        self._ranges = ranges[0]

    def _flatten(self, batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
        if "metadata" not in batch and isinstance(batch, _Batch):
            batch = {**batch, "metadata": batch.all_metadata}
        flat = super()._flatten(batch)
        columns = {
            name: flat[f"{self._ranges}/{field}"]
            for name, field in (("#chr", "chr"), ("start", "start"), ("end", "end"), ("name", "id"))
        }
        columns["start"] = np.maximum(columns["start"], 0)  # negative where the loader padded with N
        columns["score"] = np.full(len(columns["start"]), ".")
        strand = flat[f"{self._ranges}/strand"]
        columns["strand"] = np.where(strand == "*", ".", strand)  # Kipoi's "no strand" is not BED's
        return columns | {name: flat[name] for name in sorted(flat, key=_natural) if name.startswith("preds")}

    def _write(self, columns: dict[str, np.ndarray]) -> None:
        _append_tsv(pd.DataFrame(columns), self.file_path, header=self._header)
        self._header = False


class ParquetBatchWriter(_BufferedWriter):
    """Parquet file with the columns of the TSV; needs pyarrow."""

    def __init__(self, file_path: str) -> None:
        super().__init__(file_path)
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError as error:
            raise InputError(
                "pyarrow is not installed", where=file_path, remedy="pip install 'chromacc[parquet]'"
            ) from error
        self._pyarrow, self._parquet, self._file = pyarrow, parquet, None

    def _write(self, columns: dict[str, np.ndarray]) -> None:
        table = self._pyarrow.Table.from_pandas(_table(columns), preserve_index=False)
        if self._file is None:
            self._file = self._parquet.ParquetWriter(self.file_path, table.schema)
        self._file.write_table(table)

    def close(self) -> None:
        """Write what is left and the footer."""
        super().close()
        if self._file is not None:
            self._file.close()


class ZarrBatchWriter(_BufferedWriter):
    """Zarr (v3) group with the arrays ``preds``, ``metadata/…`` of the HDF5 file."""

    def __init__(self, file_path: str) -> None:
        super().__init__(file_path)
        import zarr

        self._root = zarr.open_group(file_path, mode="w-", zarr_format=3)

    def _flatten(self, batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
        return flatten(batch, separator=_SEPARATOR)

    def _write(self, columns: dict[str, np.ndarray]) -> None:
        for name, values in columns.items():
            if values.dtype.kind in "USO":
                values = values.astype(str).astype(object)
            if name not in self._root:
                self._create(name, values)
            self._root[name].append(values)

    def _create(self, name: str, values: np.ndarray) -> None:
        group, _, leaf = name.rpartition(_SEPARATOR)
        parent = self._root.require_group(group) if group else self._root
        parent.create_array(
            leaf,
            shape=(0, *values.shape[1:]),
            chunks=(_ROWS_PER_WRITE, *values.shape[1:]),
            dtype="string" if values.dtype.kind == "O" else values.dtype,
        )


#: Writer of each suffix.
_WRITERS: dict[str, type[writers.BatchWriter]] = {
    "tsv": TsvBatchWriter,
    "bed": BedBatchWriter,
    "h5": writers.HDF5BatchWriter,
    "hdf5": writers.HDF5BatchWriter,
    "parquet": ParquetBatchWriter,
    "pq": ParquetBatchWriter,
    "pqt": ParquetBatchWriter,
    "zarr": ZarrBatchWriter,
}


class ExpectationInFolder:
    """Base class of a model whose ``test.expect`` is a file in its own folder.

    ``kipoi test`` opens the path as it stands in model.yaml, relative to wherever the user is; Kipoi tells
    the model its folder (``source_dir``) only after construction, so the path is completed when it is read.
    """

    source_dir: str | None = None
    _test: Any = None

    @property
    def test(self) -> Any:
        """Kipoi's ``ModelTest`` of model.yaml, with an absolute path."""
        if self._test is not None and isinstance(self._test.expect, str) and self.source_dir is not None:
            self._test.expect = str(Path(self.source_dir) / self._test.expect)
        return self._test

    @test.setter
    def test(self, test: Any) -> None:
        self._test = test


def folder_loader(folder: Path) -> type:
    """The dataloader class that ``dataloader.yaml`` in a model's folder describes.

    ``chromacc_models.KipoiLoader`` is this for the working directory. Kipoi enters a model's folder before it
    imports a loader by name, which is the only moment at which ``kipoi get-example`` runs code of ours; the
    class remembers the folder, so that it can copy the example files, which Kipoi does only for a url.

    Raises
    ------
    InputError
        If there is no dataloader.yaml, or it is not plain YAML.
    """
    from chromacc_data import BedLoader
    from chromacc_data.recipe.yaml_options import compose_yaml
    from chromacc_data.typed_values import read_text

    description = folder / "dataloader.yaml"
    if not description.is_file():
        raise InputError(
            "no dataloader.yaml",
            where=folder,
            expected="the folder of a model made by `chromacc-models package`",
            remedy="from chromacc_data import BedLoader is the loader itself",
        )

    compose_yaml(read_text(description), where=description)  # no tags: Kipoi runs what they name

    class Loader(BedLoader):
        source_dir = str(folder)

        @classmethod
        def download_example(
            cls, output_dir: str, absolute_path: bool = False, dry_run: bool = False
        ) -> dict[str, Any]:
            out = Path(output_dir)
            out = out.resolve() if absolute_path else out
            values = super().download_example(output_dir, absolute_path=absolute_path, dry_run=dry_run)
            for name, value in values.items():
                if isinstance(value, str) and (folder / value).is_file():
                    values[name] = str(out / Path(value).name)
                    if not dry_run:
                        out.mkdir(parents=True, exist_ok=True)
                        shutil.copyfile(folder / value, values[name])
            return values

    Loader.__name__ = Loader.__qualname__ = "KipoiLoader"
    return Loader._add_description_factory(DataLoaderDescription.load(str(description)))


def default_arguments(args: Mapping[str, Any], output_dir: str) -> dict[str, Any]:
    """Default values of a loader's arguments, files among them fetched.

    Replaces ``kipoi.specs.download_default_args``, which asks ``os.path.exists`` of every value: of a number,
    that says whether the process has a file of this number open.
    """
    numbers = {name: arg.default for name, arg in args.items() if isinstance(arg.default, int)}
    others = {name: arg for name, arg in args.items() if name not in numbers}
    return {**numbers, **download_default_args(others, output_dir)}


def _natural(name: str) -> list[tuple[int, str | int]]:
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name)]


def _table(columns: Mapping[str, np.ndarray]) -> pd.DataFrame:
    return pd.DataFrame({name: columns[name] for name in sorted(columns, key=_natural)})


def _append_tsv(table: pd.DataFrame, path: str, *, header: bool) -> None:
    # Neither TSV nor BED knows quotes: what stands in a name is written as it is.
    mode = "w" if header else "a"
    table.to_csv(path, sep="\t", index=False, header=header, mode=mode, quoting=csv.QUOTE_NONE)


def _print_input_errors() -> None:
    """Let the ``kipoi`` command print an InputError as ours do: the message alone, exit code 2 or 1."""
    command = Path(sys.argv[0])
    if command.name != "kipoi" and command.parent.name != "kipoi":
        return
    standard = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if not isinstance(error, InputError):
            standard(kind, error, traceback)
            return
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code)

    sys.excepthook = hook


def _apply_fixes() -> None:
    if kipoi.__version__ != KIPOI_VERSION:
        return
    writers.np = _OldNumpyNames()
    writers.get_writer = get_writer
    writers.FILE_SUFFIX_MAP.update(_WRITERS)
    kipoi_commands.prepare_batch = prepare_batch
    kipoi_model.download_default_args = kipoi_data.download_default_args = default_arguments
    _print_input_errors()


_apply_fixes()
