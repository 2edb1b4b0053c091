"""Commands that predict with networks."""

from __future__ import annotations

from pathlib import Path

import click

from chromacc_data.cli import FILE, engine_options
from chromacc_data.console import Command, Console, common_options, option
from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_models.commands.options import AT_LEAST_1, network_backend
from chromacc_models.scoring.standard_streams import is_standard

__all__ = ["predict", "tracks"]


@click.command(cls=Command)
@click.argument("model", type=FILE)
@click.argument("regions", type=FILE)
@click.argument("genome", type=FILE, nargs=-1, required=True)
@option(
    "Output",
    "-o",
    "--out",
    type=FILE,
    required=True,
    help="Write to NAME.tsv, .bed, .bw, .parquet, .h5 or .zarr, or as TSV to standard output (-).",
)
@option("Output", "--cell-type", "cell_types", multiple=True, help="Write only this cell type; repeatable.")
@option(
    "Network",
    "--strands",
    type=click.Choice(["forward", "both"]),
    default="forward",
    show_default=True,
    help="Predict from the forward strand, or average over both.",
)
@option(
    "Running",
    "--batch-size",
    type=AT_LEAST_1,
    default=256,
    show_default=True,
    help="Set the number of windows per network call.",
)
@option("Output", "--overwrite", is_flag=True, help="Replace existing files.")
@network_backend
@engine_options
@common_options
def predict(
    console: Console,
    model: Path,
    regions: Path,
    genome: tuple[Path, ...],
    out: Path,
    cell_types: tuple[str, ...],
    strands: str,
    batch_size: int,
    overwrite: bool,
    backend: str,
    workers: int | None,
    processes: bool,
    scheduler: str | None,
) -> None:
    """Predict the accessibility of REGIONS with MODEL.

    MODEL is a model folder, a run folder or a .keras file; REGIONS is a BED file, or - for standard input;
    GENOME is one FASTA file or several.
    """
    if console.as_json and is_standard(out):
        raise InputError(
            "two results on standard output",
            found="--json and -o -",
            remedy="leave out --json, or name a file",
        )
    from chromacc_models.scoring import predict as predicting

    written = predicting.predict(
        model,
        regions,
        genome,
        out,
        cell_types=list(cell_types) or None,
        strands=strands,
        batch_size=batch_size,
        engine=Engine(workers=workers, processes=processes, scheduler=scheduler),
        backend=backend,
        overwrite=overwrite,
        show_progress=console.progress,
    )
    if written:
        console.result({"files": written}, "\n".join(map(str, written)))


@click.command(cls=Command)
@click.argument("model", type=FILE)
@click.argument("genome", type=FILE, nargs=-1, required=True)
@option("Output", "-o", "--out", type=FILE, required=True, help="Write the bigWig files to this folder.")
@option("Input", "--regions", type=FILE, help="Predict only bins that overlap the regions of this BED file.")
@option(
    "Output",
    "--stride",
    type=AT_LEAST_1,
    default=50,
    show_default=True,
    help="Set the number of bases that share a value.",
)
@option("Output", "--logits", is_flag=True, help="Write logits instead of probabilities.")
@option("Output", "--cell-type", "cell_types", multiple=True, help="Write only this cell type; repeatable.")
@option("Output", "--overwrite", is_flag=True, help="Replace existing files.")
@engine_options
@common_options
def tracks(
    console: Console,
    model: Path,
    genome: tuple[Path, ...],
    out: Path,
    regions: Path | None,
    stride: int,
    logits: bool,
    cell_types: tuple[str, ...],
    overwrite: bool,
    workers: int | None,
    processes: bool,
    scheduler: str | None,
) -> None:
    """Predict along whole chromosomes with MODEL.

    Writes a bigWig for each cell type. MODEL is a model folder, a run folder or a .keras file; GENOME is one
    FASTA file or several. Safe to interrupt: run the same command again to resume.
    """
    from chromacc_models.scoring import tracks as tracking

    written = tracking.tracks(
        model,
        genome,
        out,
        regions=regions,
        stride=stride,
        cell_types=list(cell_types) or None,
        logits=logits,
        engine=Engine(workers=workers, processes=processes, scheduler=scheduler),
        overwrite=overwrite,
        show_progress=console.progress,
    )
    console.result({"files": written}, "\n".join(map(str, written)))
