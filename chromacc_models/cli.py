"""``chromacc-models``: train, evaluate, read and share networks. Each command makes one library call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from chromacc_data.cli import FILE, engine_options
from chromacc_data.console import Console, common_options, run
from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_models.quietly import start_tensorflow

NETWORK = click.Choice(["baseline", "factorization_machine", "motif_builder", "basset"])
AT_LEAST_1 = click.IntRange(min=1)
SPLIT = click.Choice(["train", "validation", "test"])

METHOD = click.option(
    "--method",
    type=click.Choice(["weights", "smoothed", "activations"]),
    default="weights",
    show_default=True,
    help="From the weights, smoothed where they are small, or from the sequences that activate a filter.",
)
DATABASE = click.option(
    "--database", type=FILE, help="Known motifs: MEME, JASPAR, HOCOMOCO, HOMER, TRANSFAC or CIS-BP file."
)
TRUTH = click.option(
    "--truth", type=FILE, help="Motifs that were planted: a simulated store, or a motif file."
)


network_engine = click.option(
    "--engine",
    type=click.Choice(["auto", "tables", "keras"]),
    default="auto",
    show_default=True,
    help="How the network is computed: table kernels, plain Keras, or the faster one here.",
)


def train_options(command: Callable) -> Callable:
    """Options that make a configuration."""
    for option in (
        click.option("--network", type=NETWORK, help="The network."),
        click.option(
            "--config", type=FILE, help="YAML file of options; `chromacc-models options` lists them."
        ),
        click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="One option; repeatable."),
        click.option("-o", "--out", type=FILE, required=True, help="Run folder."),
        click.option(
            "--threads",
            type=AT_LEAST_1,
            help="Threads; of each local worker, if there are any. All cores, shared, when not given.",
        ),
        network_engine,
    ):
        command = option(command)
    return command


@click.group()
@click.version_option(package_name="chromacc")
def main_group() -> None:
    """Interpretable networks of chromatin accessibility: trained, scored, read, and shared through Kipoi."""


@main_group.command()
@click.argument("store", type=FILE)
@train_options
@common_options
def train(
    console: Console,
    store: Path,
    network: str | None,
    config: Path | None,
    settings: tuple[str, ...],
    out: Path,
    threads: int | None,
    engine: str,
) -> None:
    """Train a network on STORE. Killed at any moment, the same command goes on after its last epoch."""
    start_tensorflow(threads)
    from chromacc_models.training import train as training

    chosen = _config(network, config, settings)
    made = training.train(store, chosen, out, progress=console.progress, engine=engine)
    console.result(made.info.to_dict(), str(made))


@main_group.command("cross-validate")
@click.argument("store", type=FILE)
@train_options
@click.option("--workers", type=AT_LEAST_1, help="Folds trained side by side, each in a process of its own.")
@click.option(
    "--scheduler", metavar="tcp://HOST:PORT", help="A running dask scheduler that trains the folds."
)
@common_options
def cross_validate(
    console: Console,
    store: Path,
    network: str | None,
    config: Path | None,
    settings: tuple[str, ...],
    out: Path,
    threads: int | None,
    engine: str,
    workers: int | None,
    scheduler: str | None,
) -> None:
    """Train a network for each fold of STORE, into OUT/fold-0, OUT/fold-1, ..., and score them all."""
    start_tensorflow(threads)
    from chromacc_models.evaluation import cross_validation

    chosen = _config(network, config, settings)
    apart = workers is not None or scheduler is not None
    made = cross_validation.cross_validate(
        store,
        chosen,
        out,
        progress=console.progress,
        engine=engine,
        workers=Engine(workers=workers, processes=True, scheduler=scheduler, threads=threads)
        if apart
        else None,
    )
    console.result(*made.report())


@main_group.command()
@common_options
def options(console: Console) -> None:
    """List the options of a training, as a table."""
    from chromacc_models.training import config as configuration

    table = configuration.describe()
    console.result({"options": table}, table)


@main_group.command()
@click.argument("run_folder", type=FILE, metavar="RUN")
@click.argument("store", type=FILE, required=False)
@click.option("--split", type=SPLIT, default="test", show_default=True)
@common_options
def evaluate(console: Console, run_folder: Path, store: Path | None, split: str) -> None:
    """Score RUN on its held-out windows, or on those of another STORE."""
    start_tensorflow()
    from chromacc_models.evaluation import evaluate as evaluating

    found = evaluating.evaluate(run_folder, store, split=split, progress=console.progress)
    console.result(found.to_dict(), f"{found}\nscores, curves and predictions are in {run_folder}")


@main_group.command()
@click.argument("run_a", type=FILE)
@click.argument("run_b", type=FILE)
@click.option(
    "--pair", "pairs", nargs=2, type=FILE, multiple=True, help="Two more runs (seeds, folds); repeatable."
)
@click.option("--split", type=SPLIT, default="test", show_default=True)
@common_options
def compare(
    console: Console, run_a: Path, run_b: Path, pairs: tuple[tuple[Path, Path], ...], split: str
) -> None:
    """Compare RUN_A with RUN_B over cell types, and over folds or further pairs of runs.

    Folders of two cross-validations are compared fold by fold.
    """
    start_tensorflow()
    from chromacc_models.evaluation import compare as comparing

    both = [(run_a, run_b), *pairs]
    found = comparing.compare([a for a, _ in both], [b for _, b in both], split=split)
    console.result(found.to_dict(), str(found))


@main_group.command()
@click.argument("run_folder", type=FILE, metavar="RUN")
@METHOD
@DATABASE
@TRUTH
@click.option(
    "--logos", "n_logos", type=AT_LEAST_1, default=24, show_default=True, help="Logos in the picture."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the filters that learned nothing.")
@common_options
def motifs(
    console: Console,
    run_folder: Path,
    method: str,
    database: Path | None,
    truth: Path | None,
    n_logos: int,
    seed: int,
) -> None:
    """Write the filters of RUN as motifs: a MEME file, a table, and logos of the most important."""
    start_tensorflow()
    from chromacc_models.interpretation.run_motifs import run_motifs

    found = run_motifs(run_folder, method=method, database=database, truth=truth, n_logos=n_logos, seed=seed)
    console.result(*found.report())


@main_group.command()
@click.argument("run_folder", type=FILE, metavar="RUN")
@METHOD
@DATABASE
@TRUTH
@click.option(
    "--top", "n_top", type=AT_LEAST_1, default=1000, show_default=True, help="Pairs of each cell type."
)
@click.option("--absolute", is_flag=True, help="Rank by size, whether a pair opens or closes.")
@click.option(
    "--insert",
    "n_insert",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Pairs of motifs of each cell type to insert into windows, and see what is predicted.",
)
@common_options
def interactions(
    console: Console,
    run_folder: Path,
    method: str,
    database: Path | None,
    truth: Path | None,
    n_top: int,
    absolute: bool,
    n_insert: int,
) -> None:
    """Write the interactions of RUN's filters, and of the motifs they match: tables and a picture."""
    start_tensorflow()
    from chromacc_models.interpretation.run_interactions import run_interactions

    found = run_interactions(
        run_folder,
        method=method,
        database=database,
        truth=truth,
        n_top=n_top,
        absolute=absolute,
        n_insert=n_insert,
    )
    console.result(*found.report())


@main_group.command()
@click.argument("run_folder", type=FILE, metavar="RUN")
@click.option("-o", "--out", type=FILE, help="NAME.html; RUN/report.html when not given.")
@common_options
def report(console: Console, run_folder: Path, out: Path | None) -> None:
    """Write one page of what was made of RUN: scores, curves, motifs and interactions, pictures included."""
    start_tensorflow()
    from chromacc_models.reporting.report import write_report

    page = write_report(run_folder, out)
    console.result({"page": page}, str(page))


@main_group.command()
@click.argument("run_folder", type=FILE, metavar="RUN")
@click.argument("more", nargs=-1, metavar="")
@click.option("--genome", type=FILE, multiple=True, help="FASTA that the example is cut from; repeatable.")
@click.option("--example-fasta", type=FILE, help="A FASTA for the example, instead of one that is cut.")
@click.option("--example-bed", type=FILE, help="The regions of that example.")
@click.option("--to", type=FILE, required=True, help="Model folder: models/GROUP/NAME.")
@click.option("--doc", help="What the model is, in a sentence or two.")
@common_options
def package(
    console: Console,
    run_folder: Path,
    more: tuple[str, ...],
    genome: tuple[Path, ...],
    example_fasta: Path | None,
    example_bed: Path | None,
    to: Path,
    doc: str | None,
) -> None:
    """Write RUN as a Kipoi model folder with loader, example and model card, and check it."""
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
        genome=list(genome) or None,
        example_fasta=example_fasta,
        example_bed=example_bed,
        doc=doc,
    )
    console.result({"model": made}, f"{made}: packaged and checked")


@main_group.command()
@click.argument("folder", type=FILE)
@click.option(
    "--accept-texts",
    is_flag=True,
    help="Accept model.yaml, dataloader.yaml and README.md as they are: list their checksums again.",
)
@common_options
def check(console: Console, folder: Path, accept_texts: bool) -> None:
    """Check a Kipoi model FOLDER: its files, checksums, and predictions of its example."""
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
        ),
    )


@main_group.command()
@click.argument("model", type=FILE)
@click.argument("regions", type=FILE)
@click.argument("genome", type=FILE, nargs=-1, required=True)
@click.option("-o", "--out", type=FILE, required=True, help="NAME.tsv, .bed, .bw, .parquet, .h5 or .zarr.")
@click.option(
    "--cell-type", "cell_types", multiple=True, help="A cell type to write; repeatable. All otherwise."
)
@click.option("--strands", type=click.Choice(["forward", "both"]), default="forward", show_default=True)
@click.option("--batch-size", type=AT_LEAST_1, default=256, show_default=True, help="Windows in one call.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@network_engine
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
    engine: str,
    workers: int | None,
    processes: bool,
    scheduler: str | None,
) -> None:
    """Predict the accessibility of REGIONS (BED) of GENOME (FASTA files) with MODEL (model or run folder)."""
    start_tensorflow()
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
        network_engine=engine,
        overwrite=overwrite,
        show_progress=console.progress,
    )
    console.result({"files": written}, "\n".join(map(str, written)))


@main_group.command()
@click.argument("experiments", nargs=-1)
@click.option("--all", "all_of_them", is_flag=True, help="All experiments.")
@click.option("--quick", is_flag=True, help="Small sets and short trainings: whether all works, in minutes.")
@click.option(
    "-o", "--out", type=FILE, default="reproduction", show_default=True, help="Folder of stores and runs."
)
@click.option("--report", type=FILE, help="Folder of the page, its pictures and measures; OUT otherwise.")
@click.option("--datasets", type=FILE, default="datasets", show_default=True, help="Folder of the recipes.")
@click.option("--sources", type=FILE, help="Folder with files that recipes of real data do not ship.")
@click.option("--database", type=FILE, help="Known motifs for filters of real data: MEME, JASPAR or CIS-BP.")
@click.option("--again", is_flag=True, help="Measure again what is measured; runs that are there stay.")
@click.option("--workers", type=AT_LEAST_1, help="Runs trained side by side, each in a process of its own.")
@click.option("--scheduler", metavar="tcp://HOST:PORT", help="A running dask scheduler that trains the runs.")
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
    """Make EXPERIMENTS of the thesis again (5.1.1 5.1.2 5.2.1 5.2.2 5.2.3 5.3), and write what came of it.

    Safe to interrupt: run the same command again to resume. Exit code 1: a part was left out.
    """
    if bool(experiments) == all_of_them:
        raise InputError(
            "which experiments?", found=" ".join(experiments) or "none", expected="names of some, or --all"
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


def main() -> None:
    """Entry point of the command."""
    run(main_group, name="chromacc-models")


def _config(network: str | None, config: Path | None, settings: tuple[str, ...]) -> object:
    from chromacc_models.training.config import load_config

    if network is not None:
        settings = (f"network={network}", *settings)
    elif config is None and not any(setting.startswith("network=") for setting in settings):
        raise InputError("no network", where="--network", expected="one, or a --config that names it")
    return load_config(config, settings=settings)


if __name__ == "__main__":
    main()
