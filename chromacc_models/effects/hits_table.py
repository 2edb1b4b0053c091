"""Hits as a table that accounts for every logit, and as BED files that genome browsers show."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.files import publish
from chromacc_data.names import file_names
from chromacc_data.sizes import require_disk
from chromacc_models.effects.hits import Hits, find_hits
from chromacc_models.effects.motif_names import names_of_filters
from chromacc_models.effects.network import AskedNetwork
from chromacc_models.effects.region_parts import RegionJob, make_parts
from chromacc_models.scoring.parts import Parts, resumable_folder
from chromacc_models.scoring.predict import require_writable

if TYPE_CHECKING:
    from chromacc_models.training.run import Run

__all__ = ["BIAS", "REST", "hits", "hits_frame"]

#: In the place of a filter: what all places add that are no hits, and the bias of the network.
REST, BIAS = "rest", "bias"

#: What `hits` lists when nothing else is asked for, in logits.
AT_LEAST = 0.05

#: E-value up to which a filter has the name of its best match, as in `motifs`.
_MAX_E = 0.01
_ROWS_PER_PART = 256
_BYTES_PER_REGION = 10_000
_READ_ROWS = 1 << 16
_MAX_SCORE = 1000
#: Okabe and Ito's blue and vermilion: what opens, and what closes.
_OPENS, _CLOSES = "0,114,178", "213,94,0"


def hits(
    model: Run | Path | str,
    regions: Path | str,
    fasta: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    cell_types: Sequence[str] | None = None,
    names: Path | str | None = None,
    at_least: float = AT_LEAST,
    bed: bool = False,
    engine: Engine | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
) -> list[Path]:
    """Places of filters that the predictions for the regions of a BED file are made of, into a table.

    Each region stands for the window of the network's length around its midpoint, from the forward strand.
    The contributions of its hits, of the `rest` and the `bias` add up to its logit in each cell type.

    Parameters
    ----------
    model
        Model folder, run or its folder, or ``.keras`` file.
    regions
        BED or narrowPeak file; ``"-"`` reads standard input.
    fasta
        Genome, plain or bgzip: one file, or several that make it up.
    out
        A ``.tsv`` with a line per hit and cell type: region, chrom, start, end (0-based, end not included),
        strand, filter, motif, cell_type, contribution to the logit, and its share of the sizes of all
        contributions. Below the hits of a region in a cell type stand two lines whose filter is `rest` (what
        all other places add) and `bias`.
    cell_types
        The cell types to list, in this order; all when not given.
    names
        Table of ``chromacc-models motifs --database`` with the motifs of filters: `motifs.tsv` next to the
        network when not given, if there is one.
    at_least
        List places that add more than this to a logit, or take more from it; smaller ones are in the rest.
    bed
        Also write ``NAME.CELL_TYPE.bed`` next to it: BED9 with 1,000 times the size of the contribution as
        score (at most 1,000), blue where it is positive and orange where it is negative.
    engine
        Where the tasks run; local threads when not given.
    overwrite
        Replace files that exist.
    show_progress
        Show a bar with rate and time left.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    InputError
        For a network without filters that pool over the window (`basset`), and for regions, names, genome or
        output that cannot be used; nothing is left behind.

    Examples
    --------
    >>> import pandas as pd, chromacc_models as cm
    >>> from chromacc_data.examples import example_folder
    >>> from chromacc_models.examples import example_run
    >>> folder = example_folder()
    >>> _ = (folder / "genome.fa").write_text(">chr1\\n" + "ACGTTGCA" * 20 + "\\n")
    >>> _ = (folder / "one.bed").write_text("chr1\\t10\\t70\\n")
    >>> out, = cm.hits(example_run(), folder / "one.bed", folder / "genome.fa", folder / "hits.tsv")
    >>> pd.read_csv(out, sep="\\t").columns.tolist()
    ... # doctest: +NORMALIZE_WHITESPACE
    ['region', 'chrom', 'start', 'end', 'strand', 'filter', 'motif', 'cell_type', 'contribution',
     'share']
    """
    out, engine = Path(out), engine or Engine()
    if out.suffix != ".tsv":
        raise InputError(
            "hits are written as a table",
            where=out,
            found=repr(out.suffix),
            expected=".tsv",
            remedy="name a .tsv; --bed writes BED files as well",
        )
    if not at_least >= 0:
        raise InputError("not a size", where="--at-least", found=at_least, expected="0 or more, in logits")
    with RegionJob.open(model, regions, fasta, cell_types, engine) as job:
        paths = [out, *(_bed_paths(out, job.cell_types) if bed else ())]
        require_writable(paths, overwrite=overwrite)
        n_filters = job.asked.contributions.scorer.n_filters
        filters = names_of_filters(job.network.weights.parent, n_filters, names)
        n = len(job.windows)
        require_disk(out, 2 * _BYTES_PER_REGION * n, what=f"hits of {n:,} regions")
        maker = partial(_save_part, filters, at_least)
        with resumable_folder(out, job.key(hits=filters, at_least=at_least)) as folder:
            require_writable(paths, overwrite=overwrite)  # again: another process may have written them
            parts = Parts(folder / "parts", n, _ROWS_PER_PART, ".tsv")
            make_parts(job, parts, maker, engine, show=show_progress)
            finished = folder / "finished"
            shutil.rmtree(finished, ignore_errors=True)  # of a run that was killed while it wrote
            finished.mkdir()
            _join(parts, finished / out.name)
            for path, cell_type in zip(paths[1:], job.cell_types, strict=False):
                _write_bed(finished / out.name, finished / path.name, cell_type)
            for path in paths:
                publish(finished / path.name, path, overwrite=overwrite)
    return paths


def hits_frame(
    network: AskedNetwork,
    codes: np.ndarray,
    *,
    columns: Sequence[int],
    cell_types: Sequence[str],
    regions: Mapping[str, np.ndarray],
    motifs: Sequence[str],
    at_least: float,
) -> pd.DataFrame:
    """Hits of windows of base codes as the table of :func:`hits`.

    Parameters
    ----------
    network
        What is asked.
    codes
        (window, position) uint8.
    columns, cell_types
        Outputs of the network, and their names.
    regions
        Of each window: `region`, its name, and, where windows lie in a genome, `chrom`, `start`, and `length`
        of the chromosome. Hits that lie past its ends are in the rest.
    motifs
        Name of what each filter looks for, empty where it is not known.
    at_least
        Size above which a place is a hit.
    """
    found = find_hits(network.contributions, codes)
    n_windows, length = codes.shape
    added = found.added[:, columns].astype(np.float64)
    offset = regions.get("start", np.zeros(n_windows, np.int64))
    limits = regions.get("length", np.full(n_windows, length))
    start = np.maximum(found.start + offset[found.window], 0)
    end = np.minimum(found.end + offset[found.window], limits[found.window])
    is_hit = (np.abs(added) > at_least) & (start < end)[:, np.newaxis]
    sizes = np.abs(found.rest[:, columns]).astype(np.float64)
    np.add.at(sizes, found.window, np.abs(added))
    rest = found.rest[:, columns].astype(np.float64)
    np.add.at(rest, found.window, np.where(is_hit, 0, added))
    hit, cell_type = np.nonzero(is_hit)
    table = _rows_of_hits(found, start, end, motifs, hit)
    table["contribution"] = added[hit, cell_type]
    window = found.window[hit]
    whole = np.maximum(offset, 0), np.minimum(offset + length, limits)
    bias = np.broadcast_to(network.contributions.scorer.head.bias[list(columns)], rest.shape)
    others = [_rows_of_windows(name, values, *whole) for name, values in ((REST, rest), (BIAS, bias))]
    every = np.arange(n_windows).repeat(len(columns))
    number = np.tile(np.arange(len(columns)), n_windows)
    rows = pd.concat([table, *others], ignore_index=True)
    window = np.concatenate([window, every, every])
    cell_type = np.concatenate([cell_type, number, number])
    kind = np.repeat([0, 1, 2], [len(table), len(every), len(every)])
    share = np.abs(rows["contribution"].to_numpy()) / np.where(sizes > 0, sizes, 1)[window, cell_type]
    rows["share"] = np.where(kind == 0, share, np.nan)
    rows["cell_type"] = np.array(cell_types, dtype=object)[cell_type]
    for name in ("chrom", "region"):
        if name in regions:
            rows.insert(0, name, regions[name][window])
    order = np.lexsort((np.arange(len(rows)), kind, cell_type, window))
    last = ["cell_type", "contribution", "share"]
    names = [name for name in rows.columns if name not in last]
    return rows[[*names, *last]].iloc[order].reset_index(drop=True)


def _rows_of_hits(
    found: Hits, start: np.ndarray, end: np.ndarray, motifs: Sequence[str], hit: np.ndarray
) -> pd.DataFrame:
    filters = np.array([f"filter_{i}" for i in range(len(motifs))], dtype=object)
    return pd.DataFrame(
        {
            "start": start[hit],
            "end": end[hit],
            "strand": np.where(found.strand[hit] > 0, "+", "-").astype(object),
            "filter": filters[found.filter[hit]],
            "motif": np.array(motifs, dtype=object)[found.filter[hit]],
        }
    )


def _rows_of_windows(name: str, values: np.ndarray, start: np.ndarray, end: np.ndarray) -> pd.DataFrame:
    """A row for each window and cell type."""
    n_cell_types = values.shape[1]
    return pd.DataFrame(
        {
            "start": start.repeat(n_cell_types),
            "end": end.repeat(n_cell_types),
            "strand": ".",
            "filter": name,
            "motif": "",
            "contribution": values.ravel(),
        }
    )


def _save_part(
    motifs: tuple[str, ...], at_least: float, job: RegionJob, rows: slice, codes: np.ndarray, path: Path
) -> None:
    windows = job.windows
    chrom = windows.chrom[rows]
    table = hits_frame(
        job.asked,
        codes,
        columns=job.columns,
        cell_types=job.cell_types,
        regions={
            "region": windows.name[rows],
            "chrom": np.array(windows.genome.names, dtype=object)[chrom],
            "start": windows.start[rows],
            "length": windows.genome.lengths[chrom],
        },
        motifs=motifs,
        at_least=at_least,
    )
    with path.open("w", encoding="utf-8", newline="") as file:
        table.to_csv(
            file,
            sep="\t",
            index=False,
            header=rows.start == 0,
            lineterminator="\n",
            quoting=csv.QUOTE_NONE,
            float_format="%.7g",
        )


def _join(parts: Parts, path: Path) -> None:
    with path.open("wb") as file:
        for _, part in parts.files():
            with part.open("rb") as read:
                shutil.copyfileobj(read, file)


def _bed_paths(out: Path, cell_types: tuple[str, ...]) -> list[Path]:
    return [out.with_name(f"{out.stem}.{name}.bed") for name in file_names(cell_types)]


def _write_bed(table: Path, path: Path, cell_type: str) -> None:
    """Hits of one cell type, in the order of the table."""
    with path.open("w", encoding="utf-8", newline="") as file:
        for rows in _blocks_of(table):
            chosen = rows[(rows["cell_type"] == cell_type) & ~rows["filter"].isin((REST, BIAS))]
            size = np.rint(chosen["contribution"].abs() * _MAX_SCORE).clip(0, _MAX_SCORE).astype(int)
            lines = pd.DataFrame(
                {
                    "chrom": chosen["chrom"],
                    "start": chosen["start"],
                    "end": chosen["end"],
                    "name": chosen["motif"].where(chosen["motif"] != "", chosen["filter"]),
                    "score": size,
                    "strand": chosen["strand"],
                    "thick_start": chosen["start"],
                    "thick_end": chosen["end"],
                    "colour": np.where(chosen["contribution"] > 0, _OPENS, _CLOSES),
                }
            )
            lines.to_csv(
                file, sep="\t", index=False, header=False, lineterminator="\n", quoting=csv.QUOTE_NONE
            )


def _blocks_of(table: Path) -> Iterator[pd.DataFrame]:
    text = dict.fromkeys(("region", "chrom", "strand", "filter", "motif", "cell_type"), str)
    return pd.read_csv(
        table,
        sep="\t",
        quoting=csv.QUOTE_NONE,
        keep_default_na=False,
        na_values={"share": [""]},
        dtype=text,
        chunksize=_READ_ROWS,
    )
