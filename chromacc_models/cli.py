"""``chromacc-models``: train, evaluate, read and share networks. Each command makes one library call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from chromacc_data.cli import FILE, engine_options
from chromacc_data.console import CommandGroup, Console, common_options, option, run
from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_models.kmer_kernels.backends import BACKENDS, EARLIER_NAMES
from chromacc_models.networks.options import NETWORK_NAMES
from chromacc_models.networks.presets import PRESETS
from chromacc_models.quietly import start_tensorflow
from chromacc_models.scoring.standard_streams import is_standard

NETWORK = click.Choice(NETWORK_NAMES)
PRESET = click.Choice(list(PRESETS))
AT_LEAST_1 = click.IntRange(min=1)
SPLIT = click.Choice(["train", "validation", "test"])

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
STORE = option("Input", "--store", type=FILE, help="Read the run's store from this path, if it has moved.")


class _Backend(click.Choice):
    """Ways to compute a network, by their names or earlier ones."""

    def __init__(self) -> None:
        super().__init__(BACKENDS)

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return super().convert(EARLIER_NAMES.get(value, value), param, ctx)


network_backend = option(
    "Running",
    "--backend",
    "engine",
    old_names=["--engine"],
    type=_Backend(),
    default="auto",
    show_default=True,
    help="Compute the network with k-mer kernels, with plain Keras, or with the faster of the two.",
)


def train_options(command: Callable) -> Callable:
    """Options that make a configuration."""
    options = (
        option("Network", "--network", type=NETWORK, help="Choose the network."),
        option(
            "Network",
            "--preset",
            type=PRESET,
            help="Choose the options that --config and --set do not give [default: recommended].",
        ),
        option(
            "Network",
            "--config",
            type=FILE,
            help="Read training options from a YAML file (chromacc-models options lists them).",
        ),
        option(
            "Network",
            "--set",
            "settings",
            multiple=True,
            metavar="KEY=VALUE",
            help="Set one training option; repeatable.",
        ),
        option("Output", "-o", "--out", type=FILE, required=True, help="Write to this folder."),
        option(
            "Running",
            "--threads",
            type=AT_LEAST_1,
            help="Set the number of threads, per worker if there are several [default: cores / workers].",
        ),
        network_backend,
    )
    for add_option in reversed(options):
        command = add_option(command)
    return command


@click.group(cls=CommandGroup)
@click.version_option(package_name="chromacc")
def main_group() -> None:
    """Train, score, interpret and share networks of chromatin accessibility."""


@main_group.command()
@common_options
def options(console: Console) -> None:
    """List the training options and the presets."""
    from chromacc_models.training import config as configuration

    table = configuration.describe()
    console.result({"options": table}, table)


@main_group.command()
@click.argument("store", type=FILE)
@train_options
@common_options
def train(
    console: Console,
    store: Path,
    network: str | None,
    preset: str | None,
    config: Path | None,
    settings: tuple[str, ...],
    out: Path,
    threads: int | None,
    engine: str,
) -> None:
    """Train a network on STORE.

    Safe to interrupt: run the same command again to resume.
    """
    start_tensorflow(threads)
    from chromacc_models.training import train as training

    chosen = _config(store, out, network, preset, config, settings)
    made = training.train(store, chosen, out, progress=console.progress, engine=engine)
    console.result(made.info.to_dict(), str(made))


@main_group.command("cross-validate")
@click.argument("store", type=FILE)
@train_options
@option(
    "Running",
    "--workers",
    type=AT_LEAST_1,
    help="Train this many folds in parallel, each in its own process.",
)
@option("Running", "--scheduler", metavar="tcp://HOST:PORT", help="Train on a running dask scheduler.")
@common_options
def cross_validate(
    console: Console,
    store: Path,
    network: str | None,
    preset: str | None,
    config: Path | None,
    settings: tuple[str, ...],
    out: Path,
    threads: int | None,
    engine: str,
    workers: int | None,
    scheduler: str | None,
) -> None:
    """Train and score a network for each fold of STORE.

    Runs are in OUT/fold-0, OUT/fold-1, ..., scores in OUT/scores.tsv. Safe to interrupt: run the same command
    again to resume.
    """
    start_tensorflow(threads)
    from chromacc_models.evaluation import cross_validation

    chosen = _config(store, out, network, preset, config, settings)
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


@main_group.command()
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


@main_group.command()
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


@main_group.command()
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


@main_group.command()
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


@main_group.command()
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
    engine: str,
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
    if written:
        console.result({"files": written}, "\n".join(map(str, written)))


@main_group.command()
@click.argument("run_folder", type=FILE, metavar="RUN")
@click.argument("more", nargs=-1, metavar="")
@STORE
@option(
    "Input",
    "--genome",
    type=FILE,
    multiple=True,
    help="Cut the example from this FASTA; repeat for several files.",
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


@main_group.command()
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


@main_group.command()
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


def _config(
    store: Path,
    out: Path,
    network: str | None,
    preset: str | None,
    config: Path | None,
    settings: tuple[str, ...],
) -> object:
    from chromacc_models.training.choice import choose_config

    if network is not None:
        settings = (f"network={network}", *settings)
    elif config is None and not any(setting.startswith("network=") for setting in settings):
        raise InputError("no network", where="--network", expected="one, or a --config that names it")
    return choose_config(store, out, path=config, settings=settings, preset=preset)


if __name__ == "__main__":
    main()
