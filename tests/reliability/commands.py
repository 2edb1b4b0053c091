"""The commands that make something, on the small scene: what is killed, doubled and starved of space."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.reliability.kinds import MODEL, PEAKS, RUN, copy_files
from tests.reliability.processes import Command

__all__ = ["COMMANDS", "LEFT_BY_READING", "add_command_options", "choose_commands", "lay_out", "left_over"]

#: Indexes of a genome, which any command may leave next to it.
LEFT_BY_READING = (".fai", ".gzi")

_STORE = ("store.zarr",)
_TRAIN = ("--config", "train.yaml", "--set", "epochs=4")
_TRACKS = ("chromacc-models", "tracks", "model", "genome.fa", "--stride", "10")
_VARIANTS = ("chromacc-models", "variants", "model", "variants.vcf", "genome.fa", "-o")
_PREDICT = ("chromacc-models", "predict", "model", "regions.bed", "genome.fa", "-o")


def _ask(name: str) -> tuple[str, ...]:
    """A command that asks the model about the bases of regions, up to its output."""
    return ("chromacc-models", name, "model", "regions.bed", "genome.fa", "-o")


COMMANDS: tuple[Command, ...] = (
    Command("build", ("chromacc-data", "build", "recipe.yaml", "-o", "OUT.zarr"), "OUT.zarr", PEAKS),
    Command("build, HDF5", ("chromacc-data", "build", "recipe.yaml", "-o", "OUT.h5"), "OUT.h5", PEAKS),
    Command(
        "build, processes",
        ("chromacc-data", "build", "recipe.yaml", "-o", "OUT.zarr", "--processes", "--workers", "2"),
        "OUT.zarr",
        PEAKS,
    ),
    Command(
        "build, simulation",
        ("chromacc-data", "build", "sim_meme.yaml", "-o", "OUT.zarr"),
        "OUT.zarr",
        ("sim_meme.yaml", "motifs.meme"),
    ),
    Command("convert to HDF5", ("chromacc-data", "convert", "store.zarr", "OUT.h5"), "OUT.h5", _STORE),
    Command(
        "convert to Zarr", ("chromacc-data", "convert", "store.h5", "OUT.zarr"), "OUT.zarr", ("store.h5",)
    ),
    Command(
        "train",
        ("chromacc-models", "train", "store.zarr", *_TRAIN, "-o", "OUT"),
        "OUT",
        ("store.zarr", "train.yaml"),
        networks=True,
    ),
    Command(
        "cross-validate",
        ("chromacc-models", "cross-validate", "store.zarr", *_TRAIN, "-o", "OUT"),
        "OUT",
        ("store.zarr", "train.yaml"),
        networks=True,
    ),
    Command(
        "cross-validate, processes",
        ("chromacc-models", "cross-validate", "store.zarr", *_TRAIN, "-o", "OUT", "--workers", "2"),
        "OUT",
        ("store.zarr", "train.yaml"),
        networks=True,
    ),
    *(
        Command(f"predict, {suffix}", (*_PREDICT, f"OUT.{suffix}"), f"OUT.{suffix}", MODEL, networks=True)
        for suffix in ("tsv", "h5", "zarr", "parquet")
    ),
    Command("tracks", (*_TRACKS, "-o", "OUT"), "OUT", MODEL, networks=True),
    *(
        Command(f"{name}, {suffix}", (*_ask(name), f"OUT.{suffix}"), f"OUT.{suffix}", MODEL, networks=True)
        for name, suffix in (
            ("mutagenesis", "zarr"),
            ("mutagenesis", "h5"),
            ("contributions", "npz"),
            ("hits", "tsv"),
            ("pairs", "zarr"),
        )
    ),
    *(
        Command(
            f"variants, {suffix}",
            (*_VARIANTS, f"OUT.{suffix}"),
            f"OUT.{suffix}",
            (*MODEL, "variants.vcf"),
            networks=True,
        )
        for suffix in ("tsv", "vcf.gz", "zarr")
    ),
    Command("predict, bigWig", (*_PREDICT, "OUT.bw", "--cell-type", "liver"), "OUT.bw", MODEL, networks=True),
    Command(
        "package",
        ("chromacc-models", "package", "run", "--genome", "genome.fa", "--to", "OUT"),
        "OUT",
        RUN,
        networks=True,
    ),
    Command("motifs", ("chromacc-models", "motifs", "run"), "run", RUN, networks=True),
    Command("evaluate", ("chromacc-models", "evaluate", "run"), "run", RUN, networks=True),
    Command("report", ("chromacc-models", "report", "run"), "run", RUN, networks=True),
)


def add_command_options(parser: argparse.ArgumentParser) -> None:
    """Give an instrument the options that choose its commands and its scene."""
    parser.add_argument("--only", action="append", help="only commands whose name contains this; repeatable")
    parser.add_argument("--without-networks", action="store_true", help="only what needs no TensorFlow")
    parser.add_argument("--scene", type=Path, help="folder of the good files; kept")


def choose_commands(arguments: argparse.Namespace, commands: Sequence[Command] = COMMANDS) -> list[Command]:
    """The commands that those options choose."""
    return [
        one
        for one in commands
        if not (arguments.without_networks and one.networks)
        and (not arguments.only or any(part in one.name for part in arguments.only))
    ]


def lay_out(place: Path, scene: Path, files: Sequence[str]) -> None:
    """Make a folder from scratch, with copies of files of a scene and nothing else."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    copy_files(scene, place, files)


def left_over(found: set[str], expected: set[str], out: str = "") -> list[str]:
    """What a folder holds beyond what is expected, indexes of genomes and an output's own files apart."""
    return sorted(
        name
        for name in found - expected
        if not name.endswith(LEFT_BY_READING) and not (out and name.startswith(out + "/"))
    )
