"""The commands that make something, on the small scene: what is killed, doubled and starved of space."""

from __future__ import annotations

from tests.reliability.kinds import MODEL, PEAKS, RUN
from tests.reliability.processes import Command

__all__ = ["COMMANDS"]

_STORE = ("store.zarr",)
_TRAIN = ("--config", "train.yaml", "--set", "epochs=4")
_PREDICT = ("chromacc-models", "predict", "model", "regions.bed", "genome.fa", "-o")

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
