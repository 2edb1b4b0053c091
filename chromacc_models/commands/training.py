"""Commands that train networks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click

from chromacc_data.cli import FILE
from chromacc_data.console import Command, Console, common_options, option
from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_models.commands.options import AT_LEAST_1, network_backend
from chromacc_models.networks.options import NETWORK_NAMES
from chromacc_models.networks.presets import PRESETS
from chromacc_models.quietly import start_tensorflow

__all__ = ["cross_validate", "options", "train"]

NETWORK = click.Choice(NETWORK_NAMES)
PRESET = click.Choice(list(PRESETS))


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
        option(
            "Network",
            "--motifs",
            type=FILE,
            help="Set the first filters to the known motifs of this file (MEME, JASPAR, CIS-BP).",
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


@click.command(cls=Command)
@common_options
def options(console: Console) -> None:
    """List the training options and the presets."""
    from chromacc_models.training import config as configuration

    table = configuration.describe()
    console.result({"options": table}, table)


@click.command(cls=Command)
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
    motifs: Path | None,
    out: Path,
    threads: int | None,
    backend: str,
) -> None:
    """Train a network on STORE.

    Safe to interrupt: run the same command again to resume.
    """
    start_tensorflow(threads)
    from chromacc_models.training import train as training

    chosen = _config(store, out, network, preset, config, settings, motifs)
    made = training.train(store, chosen, out, progress=console.progress, backend=backend)
    console.result(made.info.to_dict(), str(made))


@click.command("cross-validate", cls=Command)
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
    motifs: Path | None,
    out: Path,
    threads: int | None,
    backend: str,
    workers: int | None,
    scheduler: str | None,
) -> None:
    """Train and score a network for each fold of STORE.

    Runs are in OUT/fold-0, OUT/fold-1, ..., scores in OUT/scores.tsv. Safe to interrupt: run the same command
    again to resume.
    """
    start_tensorflow(threads)
    from chromacc_models.evaluation import cross_validation

    chosen = _config(store, out, network, preset, config, settings, motifs)
    apart = workers is not None or scheduler is not None
    made = cross_validation.cross_validate(
        store,
        chosen,
        out,
        progress=console.progress,
        backend=backend,
        workers=Engine(workers=workers, processes=True, scheduler=scheduler, threads=threads)
        if apart
        else None,
    )
    console.result(*made.report())


def _config(
    store: Path,
    out: Path,
    network: str | None,
    preset: str | None,
    config: Path | None,
    settings: tuple[str, ...],
    motifs: Path | None,
) -> object:
    from chromacc_models.training.choice import choose_config

    if network is not None:
        settings = (f"network={network}", *settings)
    elif config is None and not any(setting.startswith("network=") for setting in settings):
        raise InputError("no network", where="--network", expected="one, or a --config that names it")
    given = () if motifs is None else (f"motifs={json.dumps(str(motifs))}",)
    try:
        return choose_config(store, out, path=config, settings=(*settings, *given), preset=preset)
    except InputError as error:
        if given and error.where == f"--set {given[0]}":
            error.where = "--motifs"
        raise
