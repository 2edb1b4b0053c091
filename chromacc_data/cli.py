"""``chromacc-data``: build, describe, verify and convert stores. Each command makes one library call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from chromacc_data.console import Console, common_options, run
from chromacc_data.engine import Engine

FILE = click.Path(path_type=Path)
POSITIVE = click.IntRange(min=1)


def engine_options(command: Callable) -> Callable:
    """Options that say where dask tasks run."""
    for option in (
        click.option("--workers", type=POSITIVE, help="Local workers; the number of cores when not given."),
        click.option("--processes", is_flag=True, help="Local processes instead of threads."),
        click.option(
            "--scheduler",
            metavar="tcp://HOST:PORT",
            help="A running dask scheduler; give up after 30 s without an answer or a worker.",
        ),
    ):
        command = option(command)
    return command


@click.group()
@click.version_option(package_name="chromacc")
def main_group() -> None:
    """Chunked stores of DNA windows and their accessibility, from a genome and peaks."""


@main_group.command()
@click.argument("recipe", type=FILE)
@click.option("-o", "--out", type=FILE, required=True, help="NAME.zarr or NAME.h5.")
@click.option("--sources", type=FILE, help="Folder to find the recipe's files in, before its own.")
@click.option("--cache", type=FILE, help="Folder for downloads; a folder of the user's when not given.")
@click.option(
    "--overwrite", is_flag=True, help="Replace a store of another recipe, once the new one is whole."
)
@click.option("--restart", is_flag=True, help="Throw an unfinished build away instead of going on with it.")
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
@click.option("--all", "all_windows", is_flag=True, help="Compare every window, not a sample.")
@click.option("--sample", type=POSITIVE, default=1000, show_default=True, help="Windows to compare.")
@click.option("--store-only", is_flag=True, help="Check the store alone, without its recipe and sources.")
@click.option("--recipe", type=FILE, help="The recipe, where it is no longer where the store was built from.")
@click.option("--sources", type=FILE, help="Folder to find the recipe's files in, before its own.")
@click.option("--cache", type=FILE, help="Folder of downloads.")
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
    """Check STORE: checksums, attributes, and its windows against what they were made from.

    Exits with 1 where a check does not hold, and with 2 where the recipe or its sources are missing.
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
    """Write STORE again as OUT, in the format that its suffix names (.zarr or .h5)."""
    from chromacc_data.store import store as stores

    engine = Engine(workers=workers, processes=processes, scheduler=scheduler)
    root = stores.convert(store, out, engine=engine, show_progress=console.progress)
    console.result({"store": out, "content_hash": root}, f"{out}\n  content hash {root}")


@main_group.command()
@common_options
def options(console: Console) -> None:
    """List the keys of a recipe, as a table."""
    from chromacc_data.recipe import recipe

    table = recipe.describe()
    console.result({"options": table}, table)


def main() -> None:
    """Entry point of the command."""
    run(main_group, name="chromacc-data")


if __name__ == "__main__":
    main()
