"""Options that commands of several modules have."""

from __future__ import annotations

import click

from chromacc_data.cli import FILE
from chromacc_data.console import option
from chromacc_models.kmer_kernels.backends import BACKENDS, EARLIER_NAMES

__all__ = ["AT_LEAST_1", "STORE", "network_backend"]

AT_LEAST_1 = click.IntRange(min=1)
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
    old_names=["--engine"],
    type=_Backend(),
    default="auto",
    show_default=True,
    help="Compute the network with k-mer kernels, with plain Keras, or with the faster of the two.",
)
