"""The command that scores variants."""

from __future__ import annotations

from pathlib import Path

import click

from chromacc_data.cli import FILE, engine_options
from chromacc_data.console import Command, Console, common_options, option
from chromacc_data.engine import Engine

__all__ = ["variants"]


@click.command(cls=Command)
@click.argument("model", type=FILE)
@click.argument("vcf", type=FILE, metavar="VARIANTS")
@click.argument("genome", type=FILE, nargs=-1, required=True)
@option(
    "Input",
    "--rename",
    type=click.Choice(["chr", "no-chr"]),
    help="Add chr to the VCF's sequence names, or remove it, to match the genome.",
)
@option(
    "Output",
    "-o",
    "--out",
    type=FILE,
    required=True,
    help="Write to NAME.tsv, .tsv.gz, .parquet, .vcf.gz (with an index) or .zarr.",
)
@option("Output", "--cell-type", "cell_types", multiple=True, help="Write only this cell type; repeatable.")
@option("Output", "--overwrite", is_flag=True, help="Replace existing files.")
@engine_options
@common_options
def variants(
    console: Console,
    model: Path,
    vcf: Path,
    genome: tuple[Path, ...],
    rename: str | None,
    out: Path,
    cell_types: tuple[str, ...],
    overwrite: bool,
    workers: int | None,
    processes: bool,
    scheduler: str | None,
) -> None:
    """Score what VARIANTS do to accessibility, with MODEL.

    MODEL is a model folder, a run folder or a .keras file; VARIANTS is a VCF file, plain or compressed;
    GENOME is one FASTA file or several, of the same assembly. Each alternative allele gets the logits of the
    window around it, their change, and the filter that causes most of it. Safe to interrupt: run the same
    command again to resume.
    """
    from chromacc_models.effects import run_variants

    written = run_variants.variants(
        model,
        vcf,
        genome,
        out,
        cell_types=list(cell_types) or None,
        rename=rename,
        engine=Engine(workers=workers, processes=processes, scheduler=scheduler),
        overwrite=overwrite,
        show_progress=console.progress,
    )
    console.result({"files": written}, "\n".join(map(str, written)))
