"""Commands that score networks."""

from __future__ import annotations

from pathlib import Path

import click

from chromacc_data.cli import FILE
from chromacc_data.console import Command, Console, common_options, option
from chromacc_models.commands.options import STORE
from chromacc_models.quietly import start_tensorflow

__all__ = ["compare", "evaluate"]

SPLIT = click.Choice(["train", "validation", "test"])


@click.command(cls=Command)
@click.argument("run_folder", type=FILE, metavar="RUN")
@click.argument("other_store", type=FILE, required=False, metavar="[STORE]")
@STORE
@option("Input", "--split", type=SPLIT, default="test", show_default=True, help="Choose the split to score.")
@common_options
def evaluate(
    console: Console, run_folder: Path, other_store: Path | None, store: Path | None, split: str
) -> None:
    """Score RUN on its held-out windows.

    With STORE, score it on the windows of another store.
    """
    start_tensorflow()
    from chromacc_models.evaluation import evaluate as evaluating
    from chromacc_models.training.run import Run

    run = Run.open(run_folder, store=store)
    found = evaluating.evaluate(run, other_store, split=split, progress=console.progress)
    console.result(found.to_dict(), f"{found}\nscores, curves and predictions are in {run_folder}")


@click.command(cls=Command)
@click.argument("run_a", type=FILE)
@click.argument("run_b", type=FILE)
@option(
    "Input",
    "--pair",
    "pairs",
    nargs=2,
    type=FILE,
    multiple=True,
    help="Add a pair of runs (another seed or fold); repeatable.",
)
@STORE
@option("Input", "--split", type=SPLIT, default="test", show_default=True, help="Choose the split to score.")
@common_options
def compare(
    console: Console,
    run_a: Path,
    run_b: Path,
    pairs: tuple[tuple[Path, Path], ...],
    store: Path | None,
    split: str,
) -> None:
    """Compare RUN_A with RUN_B, cell type by cell type.

    The folders of two cross-validations are compared fold by fold.
    """
    start_tensorflow()
    from chromacc_models.evaluation import compare as comparing

    both = [(run_a, run_b), *pairs]
    found = comparing.compare([a for a, _ in both], [b for _, b in both], split=split, store=store)
    console.result(found.to_dict(), str(found))
