"""Commands that say what networks have learned."""

from __future__ import annotations

from pathlib import Path

import click

from chromacc_data.cli import FILE
from chromacc_data.console import Command, Console, common_options, option
from chromacc_models.commands.options import AT_LEAST_1, STORE
from chromacc_models.quietly import start_tensorflow

__all__ = ["interactions", "motifs", "report"]

METHOD = option(
    "Interpretation",
    "--method",
    type=click.Choice(["weights", "smoothed", "activations"]),
    default="weights",
    show_default=True,
    help="Derive motifs from weights, smoothed weights, or sequences that activate a filter.",
)
DATABASE = option(
    "Interpretation",
    "--database",
    type=FILE,
    help="Compare with known motifs (MEME, JASPAR, HOCOMOCO, HOMER, TRANSFAC, CIS-BP).",
)
TRUTH = option(
    "Interpretation",
    "--truth",
    type=FILE,
    help="Compare with planted motifs: a simulated store or a motif file.",
)


@click.command(cls=Command)
@click.argument("run_folder", type=FILE, metavar="RUN")
@STORE
@METHOD
@DATABASE
@TRUTH
@option(
    "Output",
    "--logos",
    "n_logos",
    type=AT_LEAST_1,
    default=24,
    show_default=True,
    help="Limit the number of logos in the picture.",
)
@option(
    "Interpretation",
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Seed the null (untrained and shuffled) filters.",
)
@common_options
def motifs(
    console: Console,
    run_folder: Path,
    store: Path | None,
    method: str,
    database: Path | None,
    truth: Path | None,
    n_logos: int,
    seed: int,
) -> None:
    """Write the filters of RUN as motifs.

    Writes a MEME file, a table, and logos of the most important filters. RUN may be the folder of a
    cross-validation: the motifs that recur in several folds are then listed in its recurring_motifs.tsv.
    """
    start_tensorflow()
    from chromacc_models.evaluation.cross_validation import is_cross_validation
    from chromacc_models.interpretation.folds import motifs_of_folds
    from chromacc_models.interpretation.run_motifs import run_motifs

    read = motifs_of_folds if is_cross_validation(run_folder) else run_motifs
    found = read(
        run_folder,
        store=store,
        method=method,
        database=database,
        truth=truth,
        n_logos=n_logos,
        seed=seed,
    )
    console.result(*found.report())


@click.command(cls=Command)
@click.argument("run_folder", type=FILE, metavar="RUN")
@STORE
@METHOD
@DATABASE
@TRUTH
@option(
    "Output",
    "--top",
    "n_top",
    type=AT_LEAST_1,
    default=1000,
    show_default=True,
    help="Limit the number of pairs per cell type.",
)
@option("Interpretation", "--absolute", is_flag=True, help="Rank pairs by absolute value.")
@option(
    "Interpretation",
    "--insert",
    "n_insert",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Insert this many pairs of motifs per cell type into windows, and measure their effect.",
)
@common_options
def interactions(
    console: Console,
    run_folder: Path,
    store: Path | None,
    method: str,
    database: Path | None,
    truth: Path | None,
    n_top: int,
    absolute: bool,
    n_insert: int,
) -> None:
    """Write the interactions of RUN's filters and motifs.

    RUN may be the folder of a cross-validation: the pairs of motifs that recur in several folds are then
    listed in its recurring_interactions.tsv.
    """
    start_tensorflow()
    from chromacc_models.evaluation.cross_validation import is_cross_validation
    from chromacc_models.interpretation.folds import interactions_of_folds
    from chromacc_models.interpretation.run_interactions import run_interactions

    read = interactions_of_folds if is_cross_validation(run_folder) else run_interactions
    found = read(
        run_folder,
        store=store,
        method=method,
        database=database,
        truth=truth,
        n_top=n_top,
        absolute=absolute,
        n_insert=n_insert,
    )
    console.result(*found.report())


@click.command(cls=Command)
@click.argument("run_folder", type=FILE, metavar="RUN")
@STORE
@option("Output", "-o", "--out", type=FILE, help="Write the page to this file [default: RUN/report.html].")
@common_options
def report(console: Console, run_folder: Path, store: Path | None, out: Path | None) -> None:
    """Write one HTML page about RUN.

    It holds scores, curves, motifs, interactions and their pictures. RUN may be the folder of a
    cross-validation: the page then has the scores of all folds and the motifs that recur.
    """
    start_tensorflow()
    from chromacc_models.reporting.report import write_report

    page = write_report(run_folder, out, store=store)
    console.result({"page": page}, str(page))
