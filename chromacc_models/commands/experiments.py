"""The command that repeats the experiments of the thesis."""

from __future__ import annotations

from pathlib import Path

import click

from chromacc_data.cli import FILE
from chromacc_data.console import Command, Console, common_options, option
from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_models.commands.options import AT_LEAST_1
from chromacc_models.quietly import start_tensorflow

__all__ = ["reproduce"]


@click.command(cls=Command)
@click.argument("experiments", nargs=-1)
@option("Input", "--all", "all_of_them", is_flag=True, help="Run all experiments.")
@option(
    "Running",
    "--quick",
    is_flag=True,
    help="Use small sets and short trainings, to test the setup in minutes.",
)
@option(
    "Output",
    "-o",
    "--out",
    type=FILE,
    default="reproduction",
    show_default=True,
    help="Write stores and runs to this folder.",
)
@option(
    "Output",
    "--report",
    type=FILE,
    help="Write the page, pictures and measures to this folder [default: OUT].",
)
@option(
    "Input",
    "--datasets",
    type=FILE,
    default="datasets",
    show_default=True,
    help="Read recipes from this folder.",
)
@option("Input", "--sources", type=FILE, help="Look for files that recipes do not ship in this folder.")
@option(
    "Interpretation",
    "--database",
    type=FILE,
    help="Compare filters of real data with known motifs: a MEME, JASPAR or CIS-BP file.",
)
@option("Running", "--again", is_flag=True, help="Recompute measures; keep trained runs.")
@option(
    "Running", "--workers", type=AT_LEAST_1, help="Train this many runs in parallel, each in its own process."
)
@option("Running", "--scheduler", metavar="tcp://HOST:PORT", help="Train on a running dask scheduler.")
@common_options
def reproduce(
    console: Console,
    experiments: tuple[str, ...],
    all_of_them: bool,
    quick: bool,
    out: Path,
    report: Path | None,
    datasets: Path,
    sources: Path | None,
    database: Path | None,
    again: bool,
    workers: int | None,
    scheduler: str | None,
) -> int:
    """Reproduce EXPERIMENTS of the thesis.

    The experiments are 5.1.1, 5.1.2, 5.2.1, 5.2.2, 5.2.3 and 5.3.

    Safe to interrupt: run the same command again to resume. Exit code 1: a part was left out.
    """
    if bool(experiments) == all_of_them:
        raise InputError(
            "give either experiments or --all",
            found=" ".join(experiments) or "none",
            expected="names of experiments, or --all",
        )
    start_tensorflow()
    from chromacc_models.experiments import reproduce as reproducing

    apart = workers is not None or scheduler is not None
    made = reproducing.reproduce(
        experiments,
        out,
        datasets=datasets,
        sources=sources,
        database=database,
        report=report,
        quick=quick,
        again=again,
        workers=Engine(workers=workers, processes=True, scheduler=scheduler) if apart else None,
        progress=console.progress,
    )
    console.result(*made.report())
    return 1 if made.left_out else 0
