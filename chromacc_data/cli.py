"""``chromacc-data``: build, describe, verify and convert stores. Each command makes one library call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from chromacc_data.console import CommandGroup, Console, common_options, option, run
from chromacc_data.engine import Engine

FILE = click.Path(path_type=Path)
POSITIVE = click.IntRange(min=1)


def engine_options(command: Callable) -> Callable:
    """Options that say where dask tasks run."""
    options = (
        option(
            "Running",
            "--workers",
            type=POSITIVE,
            help="Set the number of local workers [default: number of cores].",
        ),
        option("Running", "--processes", is_flag=True, help="Use local processes instead of threads."),
        option(
            "Running",
            "--scheduler",
            metavar="tcp://HOST:PORT",
            help="Use a running dask scheduler.",
        ),
    )
    for add_option in reversed(options):
        command = add_option(command)
    return command


@click.group(cls=CommandGroup)
@click.version_option(package_name="chromacc")
def main_group() -> None:
    """Build, describe, verify and convert stores of DNA windows and their accessibility."""


@main_group.command()
@common_options
def options(console: Console) -> None:
    """List the keys of a recipe."""
    from chromacc_data.recipe import recipe

    table = recipe.describe()
    console.result({"options": table}, table)


@main_group.command()
@click.argument("recipe", type=FILE)
@option("Output", "-o", "--out", type=FILE, required=True, help="Write to this store: NAME.zarr or NAME.h5.")
@option("Input", "--sources", type=FILE, help="Look for the recipe's files in this folder first.")
@option("Input", "--cache", type=FILE, help="Keep downloads in this folder [default: the user's cache].")
@option(
    "Output",
    "--overwrite",
    is_flag=True,
    help="Replace a store of another recipe once the new one is complete.",
)
@option("Running", "--restart", is_flag=True, help="Discard an unfinished build instead of resuming it.")
@engine_options
@common_options
def build(
    console: Console,
    recipe: Path,
    out: Path,
    sources: Path | None,
    cache: Path | None,
    overwrite: bool,
    restart: bool,
    workers: int | None,
    processes: bool,
    scheduler: str | None,
) -> None:
    """Build the store that RECIPE describes.

    Safe to interrupt: run the same command again to resume. A finished store is left alone.
    """
    from chromacc_data import build_store as building

    built = building.build(
        recipe,
        out,
        sources_dir=sources,
        cache_dir=cache,
        overwrite=overwrite,
        restart=restart,
        engine=Engine(workers=workers, processes=processes, scheduler=scheduler),
        show_progress=console.progress,
    )
    console.result(*built.report())


@main_group.command()
@click.argument("store", type=FILE)
@common_options
def info(console: Console, store: Path) -> None:
    """Print what STORE holds and what it was made from."""
    from chromacc_data import describe_store as infos

    console.result(*infos.describe(store).report())


@main_group.command()
@click.argument("store", type=FILE)
@option("Input", "--all", "all_windows", is_flag=True, help="Compare every window instead of a sample.")
@option(
    "Input",
    "--sample",
    type=POSITIVE,
    default=1000,
    show_default=True,
    help="Set the number of windows to compare.",
)
@option("Input", "--store-only", is_flag=True, help="Check the store alone, without its recipe and sources.")
@option("Input", "--recipe", type=FILE, help="Read the recipe from this file instead of its recorded path.")
@option("Input", "--sources", type=FILE, help="Look for the recipe's files in this folder first.")
@option("Input", "--cache", type=FILE, help="Keep downloads in this folder [default: the user's cache].")
@engine_options
@common_options
def verify(
    console: Console,
    store: Path,
    all_windows: bool,
    sample: int,
    store_only: bool,
    recipe: Path | None,
    sources: Path | None,
    cache: Path | None,
    workers: int | None,
    processes: bool,
    scheduler: str | None,
) -> None:
    """Check STORE against its checksums, recipe and sources.

    Exit code 1: a check failed; 2: the recipe or its sources are missing.
    """
    from chromacc_data import verify_store as verifying

    checked = verifying.verify(
        store,
        n_sample=None if all_windows else sample,
        store_only=store_only,
        recipe_path=recipe,
        sources_dir=sources,
        cache_dir=cache,
        engine=Engine(workers=workers, processes=processes, scheduler=scheduler),
        show_progress=console.progress,
    )
    console.result(*checked.report())


@main_group.command()
@click.argument("store", type=FILE)
@click.argument("out", type=FILE)
@engine_options
@common_options
def convert(
    console: Console,
    store: Path,
    out: Path,
    workers: int | None,
    processes: bool,
    scheduler: str | None,
) -> None:
    """Convert STORE to the format of OUT: .zarr or .h5."""
    from chromacc_data.store import write as writing

    engine = Engine(workers=workers, processes=processes, scheduler=scheduler)
    root = writing.convert(store, out, engine=engine, show_progress=console.progress)
    console.result({"store": out, "content_hash": root}, f"{out}\n  content hash {root}")


def main() -> None:
    """Entry point of the command."""
    run(main_group, name="chromacc-data")


if __name__ == "__main__":
    main()
