"""Commands that ask networks what single bases do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from chromacc_data.cli import FILE, engine_options
from chromacc_data.console import Command, Console, common_options, option
from chromacc_data.engine import Engine

__all__ = ["contributions", "hits", "mutagenesis"]

_CELL_TYPE = option(
    "Output", "--cell-type", "cell_types", multiple=True, help="Write only this cell type; repeatable."
)
_OVERWRITE = option("Output", "--overwrite", is_flag=True, help="Replace existing files.")


def _out(formats: str) -> Callable[[Callable], Callable]:
    return option("Output", "-o", "--out", type=FILE, required=True, help=f"Write to {formats}.")


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


def _running(options: dict[str, Any]) -> dict[str, Any]:
    """Options of the command line as those of the functions."""
    console, cell_types = options["console"], options["cell_types"]
    engine = {name: options[name] for name in ("workers", "processes", "scheduler")}
    return {
        "cell_types": list(cell_types) or None,
        "engine": Engine(**engine),
        "overwrite": options["overwrite"],
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
@_asks_regions
def mutagenesis(
    model: Path, regions: Path, genome: tuple[Path, ...], out: Path, dtype: str, **options: Any
) -> None:
    """Compute the effect of every base change in REGIONS on MODEL's logits.

    MODEL is a model folder, a run folder or a .keras file; REGIONS is a BED file, or - for standard input;
    GENOME is one FASTA file or several. Effects of the interpretable networks are exact.
    """
    from chromacc_models.effects import base_effects

    written = base_effects.mutagenesis(model, regions, genome, out, dtype=dtype, **_running(options))
    _tell(options["console"], written)


@click.command(cls=Command)
@_out("NAME.zarr, .h5, .npz, .tsv, .bw or, for TF-MoDISco, .modisco")
@option(
    "Output",
    "--hypothetical",
    is_flag=True,
    help="Write contributions of all four bases at each position.",
)
@_asks_regions
def contributions(
    model: Path, regions: Path, genome: tuple[Path, ...], out: Path, hypothetical: bool, **options: Any
) -> None:
    """Compute what each base of REGIONS adds to MODEL's logits.

    A region's contributions and the bias add up to its logit. Arguments are those of `mutagenesis`.
    """
    from chromacc_models.effects import base_effects

    written = base_effects.contributions(
        model, regions, genome, out, hypothetical=hypothetical, **_running(options)
    )
    _tell(options["console"], written)


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
@option(
    "Interpretation",
    "--names",
    type=FILE,
    help="Name filters by this motifs.tsv of `motifs --database` [default: the one beside the network].",
)
@_asks_regions
def hits(
    model: Path,
    regions: Path,
    genome: tuple[Path, ...],
    out: Path,
    bed: bool,
    at_least: float,
    names: Path | None,
    **options: Any,
) -> None:
    """List the motif instances in REGIONS that MODEL's logits are made of.

    A region's hits, the rest and the bias add up to its logit. Arguments are those of `mutagenesis`.
    """
    from chromacc_models.effects import hits_table

    written = hits_table.hits(
        model, regions, genome, out, names=names, at_least=at_least, bed=bed, **_running(options)
    )
    _tell(options["console"], written)
