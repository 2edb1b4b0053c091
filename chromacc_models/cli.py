"""``chromacc-models``: train, score, interpret and share networks, and predict with them."""

from __future__ import annotations

import click

from chromacc_data.console import CommandGroup, run
from chromacc_models.commands.effects import contributions, hits, mutagenesis, pairs
from chromacc_models.commands.evaluation import compare, evaluate
from chromacc_models.commands.experiments import reproduce
from chromacc_models.commands.interpretation import interactions, motifs, report
from chromacc_models.commands.scoring import predict, tracks
from chromacc_models.commands.sharing import check, package
from chromacc_models.commands.training import cross_validate, options, train
from chromacc_models.commands.variants import variants


@click.group(cls=CommandGroup)
@click.version_option(package_name="chromacc")
def main_group() -> None:
    """Train, score, interpret and share networks of chromatin accessibility."""


#: In the order of the work, which is that of the help.
for command in (
    options,
    train,
    cross_validate,
    evaluate,
    compare,
    motifs,
    interactions,
    report,
    predict,
    tracks,
    mutagenesis,
    contributions,
    hits,
    pairs,
    variants,
    package,
    check,
    reproduce,
):
    main_group.add_command(command)


def main() -> None:
    """Entry point of the command."""
    run(main_group, name="chromacc-models")


if __name__ == "__main__":
    main()
