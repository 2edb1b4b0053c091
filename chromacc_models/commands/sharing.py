"""Commands that share networks."""

from __future__ import annotations

from pathlib import Path

import click

from chromacc_data.cli import FILE
from chromacc_data.console import Command, Console, common_options, option
from chromacc_data.errors import InputError
from chromacc_models.commands.options import STORE
from chromacc_models.quietly import start_tensorflow

__all__ = ["check", "package"]


@click.command(cls=Command)
@click.argument("run_folder", type=FILE, metavar="RUN")
@click.argument("more", nargs=-1, metavar="")
@STORE
@option(
    "Input",
    "--genome",
    type=FILE,
    multiple=True,
    help="Cut the example, and take the background of `variants`, from this FASTA; repeatable.",
)
@option("Input", "--example-fasta", type=FILE, help="Use this FASTA as the example instead of cutting one.")
@option("Input", "--example-bed", type=FILE, help="Use these regions in --example-fasta.")
@option("Output", "--to", type=FILE, required=True, help="Write the model folder here: models/GROUP/NAME.")
@option("Output", "--doc", help="Describe the model in a sentence or two.")
@option(
    "Output",
    "--overwrite",
    is_flag=True,
    help="Replace an older model; keep files that were added to its folder.",
)
@common_options
def package(
    console: Console,
    run_folder: Path,
    more: tuple[str, ...],
    store: Path | None,
    genome: tuple[Path, ...],
    example_fasta: Path | None,
    example_bed: Path | None,
    to: Path,
    doc: str | None,
    overwrite: bool,
) -> None:
    """Write RUN as a Kipoi model folder, and check it.

    The folder holds the network, a data loader, an example and a model card.
    """
    if more:
        raise InputError(
            "arguments besides RUN",
            found=" ".join(more),
            expected="one run folder",
            remedy="repeat the option for several FASTA files: --genome a.fa --genome b.fa",
        )
    start_tensorflow()
    from chromacc_models.sharing.kipoi.package import package as package_run

    made = package_run(
        run_folder,
        to,
        store=store,
        genome=list(genome) or None,
        example_fasta=example_fasta,
        example_bed=example_bed,
        doc=doc,
        overwrite=overwrite,
    )
    console.result({"model": made}, f"{made}: packaged and checked")


@click.command(cls=Command)
@click.argument("folder", type=FILE)
@option(
    "Running",
    "--accept-texts",
    is_flag=True,
    help="Accept edits of model.yaml, dataloader.yaml and README.md: update their checksums.",
)
@common_options
def check(console: Console, folder: Path, accept_texts: bool) -> None:
    """Check the Kipoi model in FOLDER.

    Checks its files, their checksums, and the predictions for its example.
    """
    start_tensorflow()
    from chromacc_models.sharing.kipoi.check import check as check_model

    checked = check_model(folder, accept_texts=accept_texts)
    console.result(
        checked._asdict(),
        f"{folder}: good; {checked.n_regions} regions x {checked.n_cell_types} cell types predicted, "
        f"largest difference {checked.largest_difference:.1e}"
        + (
            f"\nnot checked: {', '.join(checked.unchecked)} (no checksum; add it with --accept-texts)"
            if checked.unchecked
            else ""
        )
        + (f"\nnot part of the model: {', '.join(checked.additions)}" if checked.additions else ""),
    )
