"""Commands that ask networks what single bases do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from chromacc_data.cli import FILE, engine_options
from chromacc_data.console import Command, Console, common_options, option
from chromacc_data.engine import Engine
from chromacc_models.commands.options import AT_LEAST_1

__all__ = ["contributions", "hits", "mutagenesis", "pairs"]

_CELL_TYPE = option(
    "Output", "--cell-type", "cell_types", multiple=True, help="Write only this cell type; repeatable."
)
_OVERWRITE = option("Output", "--overwrite", is_flag=True, help="Replace existing files.")


def _out(formats: str) -> Callable[[Callable], Callable]:
    return option("Output", "-o", "--out", type=FILE, required=True, help=f"Write to {formats}.")


_NAMES = option(
    "Interpretation",
    "--names",
    type=FILE,
    help="Name filters by this motifs.tsv of `motifs --database` [default: the one next to the network].",
)


class _Site(click.ParamType):
    """Positions of a window, FIRST-END."""

    name = "site"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        first, _, end = value.partition("-")
        if not (first.isdecimal() and end.isdecimal()):
            self.fail(f"{value!r} is no range of positions, such as 120-140", param, ctx)
        return int(first), int(end)


_SITE = _Site()


def _draws(command: Callable) -> Callable:
    """Options of commands that draw regions."""
    wraps = (
        option("Output", "--plot", type=FILE, help="Draw the first region to this .png, .svg or .pdf."),
        option(
            "Output",
            "--plot-regions",
            type=AT_LEAST_1,
            default=1,
            show_default=True,
            help="Draw this many regions, to NAME.1.png and so on.",
        ),
        _NAMES,
    )
    for wrap in reversed(wraps):
        command = wrap(command)
    return command


def _asks_regions(command: Callable) -> Callable:
    """Arguments and options of every command that asks a network about the regions of a BED file."""
    wraps = (
        click.argument("model", type=FILE),
        click.argument("regions", type=FILE),
        click.argument("genome", type=FILE, nargs=-1, required=True),
        _CELL_TYPE,
        _OVERWRITE,
        engine_options,
        common_options,
    )
    for wrap in reversed(wraps):
        command = wrap(command)
    return command


def _running(console: Console, options: dict[str, Any]) -> dict[str, Any]:
    """Options of the command line as those of the functions."""
    cell_types = options.pop("cell_types")
    engine = {name: options.pop(name) for name in ("workers", "processes", "scheduler")}
    return {
        **options,
        "cell_types": list(cell_types) or None,
        "engine": Engine(**engine),
        "show_progress": console.progress,
    }


def _tell(console: Console, written: list[Path]) -> None:
    console.result({"files": written}, "\n".join(map(str, written)))


@click.command(cls=Command)
@_out("NAME.zarr, .h5, .npz, .tsv or .bw")
@option(
    "Output",
    "--dtype",
    type=click.Choice(["float16", "float32"]),
    default="float32",
    show_default=True,
    help="Store numbers of this type.",
)
@_draws
@_asks_regions
def mutagenesis(
    console: Console, model: Path, regions: Path, genome: tuple[Path, ...], out: Path, **options: Any
) -> None:
    """Compute the effect of every base change in REGIONS.

    MODEL is a model folder, a run folder or a .keras file; REGIONS is a BED file, or - for standard input;
    GENOME is one FASTA file or several. Effects of the interpretable networks are exact.
    """
    from chromacc_models.effects import base_effects

    _tell(console, base_effects.mutagenesis(model, regions, genome, out, **_running(console, options)))


@click.command(cls=Command)
@_out("NAME.zarr, .h5, .npz, .tsv, .bw or, for TF-MoDISco, .modisco")
@option(
    "Output",
    "--hypothetical",
    is_flag=True,
    help="Write contributions of all four bases at each position.",
)
@_draws
@_asks_regions
def contributions(
    console: Console, model: Path, regions: Path, genome: tuple[Path, ...], out: Path, **options: Any
) -> None:
    """Compute what each base of REGIONS adds to MODEL's logits.

    A region's contributions and the bias add up to its logit. Arguments are those of `mutagenesis`.
    """
    from chromacc_models.effects import base_effects

    _tell(console, base_effects.contributions(model, regions, genome, out, **_running(console, options)))


@click.command(cls=Command)
@_out("NAME.tsv")
@option("Output", "--bed", is_flag=True, help="Write NAME.CELL_TYPE.bed as well, for genome browsers.")
@option(
    "Output",
    "--at-least",
    type=float,
    default=0.05,
    show_default=True,
    help="List places that change a logit by more than this.",
)
@_NAMES
@_asks_regions
def hits(
    console: Console, model: Path, regions: Path, genome: tuple[Path, ...], out: Path, **options: Any
) -> None:
    """List the motif instances that MODEL finds in REGIONS.

    A region's hits, the rest and the bias add up to its logit. Arguments are those of `mutagenesis`.
    """
    from chromacc_models.effects import hits_table

    _tell(console, hits_table.hits(model, regions, genome, out, **_running(console, options)))


@click.command(cls=Command)
@_out("NAME.zarr or .h5")
@option(
    "Input",
    "--sites",
    type=_SITE,
    nargs=2,
    metavar="FIRST-END FIRST-END",
    help="Pair changes at these two ranges of positions of the window [default: all positions].",
)
@option("Output", "--plot", type=FILE, help="Draw the first region to this .png, .svg or .pdf.")
@option(
    "Output",
    "--plot-regions",
    type=AT_LEAST_1,
    default=1,
    show_default=True,
    help="Draw this many regions, to NAME.1.png and so on.",
)
@_asks_regions
def pairs(
    console: Console, model: Path, regions: Path, genome: tuple[Path, ...], out: Path, **options: Any
) -> None:
    """Compute the interactions of base changes in REGIONS.

    Each has two parts: cooperation, by the head of the network, and redundancy, by its pooling. Arguments are
    those of `mutagenesis`.
    """
    from chromacc_models.effects import run_pairs

    _tell(console, run_pairs.pairs(model, regions, genome, out, **_running(console, options)))
