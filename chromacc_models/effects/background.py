"""What effects of variants are usual: quantiles of |delta| over random variants of a genome, by cell type.

A change of a logit by 0.3 says little by itself. Its percentile says how many of random single-nucleotide
variants, anywhere in the genome, change that logit less.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

from chromacc_data.errors import InputError
from chromacc_data.files import write_text_atomically
from chromacc_data.sequences.encoding import BASES, N_BASES
from chromacc_data.sequences.genome import Genome
from chromacc_models.effects.allele_networks import AlleleNetwork, open_alleles
from chromacc_models.effects.variants import SCORED, Matched
from chromacc_models.effects.vcf import Alleles
from chromacc_models.sharing.kipoi import files as kf

__all__ = ["N_VARIANTS", "SEED", "Background", "add_background", "make_background"]

#: Random variants that a background is made of, and their seed.
N_VARIANTS, SEED = 10_000, 0

#: Percentages at which quantiles are kept: more of them where effects are large.
_LEVELS = np.unique(
    np.concatenate([np.arange(0, 99), np.arange(990, 1000) / 10, np.arange(9990, 10001) / 100])
)
_FIRST_LINE = re.compile(r"# ([0-9]+) random single-nucleotide variants of (.*), seed ([0-9]+)")
_TRIES = 20


@dataclass(frozen=True, eq=False)
class Background:
    """Quantiles of |delta| over random variants.

    Parameters
    ----------
    cell_types
        Name of each column.
    levels
        (level,) float64: percentages, rising.
    quantiles
        (level, cell_type) float64: so much per cent of the variants change the logit by at most this.
    n_variants, seed
        Random variants, and the seed of their generator.
    genome
        What they are of, in words.
    """

    cell_types: tuple[str, ...]
    levels: np.ndarray
    quantiles: np.ndarray
    n_variants: int
    seed: int
    genome: str

    def percentiles(self, delta: np.ndarray) -> np.ndarray:
        """Percentages of random variants that change a logit less.

        Parameters
        ----------
        delta
            Changes of logits, (allele, cell_type); NaN where there is none.

        Returns
        -------
        (allele, cell_type) float32, 0 to 100; NaN where `delta` is.

        Examples
        --------
        >>> quantiles = np.array([[0.0], [0.5], [2.0]])
        >>> background = Background(("K562",), np.array([0, 50, 100]), quantiles, 10_000, 0, "hg19")
        >>> background.percentiles(np.array([[-0.25], [2.5]])).ravel().tolist()
        [25.0, 100.0]
        """
        found = np.empty(delta.shape, np.float32)
        for column in range(delta.shape[1]):
            # Where quantiles are the same, as zeros may be, the lowest level counts.
            values, first = np.unique(self.quantiles[:, column], return_index=True)
            found[:, column] = np.interp(np.abs(delta[:, column]), values, self.levels[first])
        return found

    def choose(self, cell_types: Sequence[str]) -> Background:
        """Only these cell types, in their order."""
        columns = [self.cell_types.index(name) for name in cell_types]
        quantiles = self.quantiles[:, columns]
        return Background(tuple(cell_types), self.levels, quantiles, self.n_variants, self.seed, self.genome)

    def write(self, path: Path) -> None:
        """Write it as a table: a line that says what it is of, then percentages and quantiles."""
        table = pd.DataFrame(self.quantiles, columns=list(self.cell_types))
        table.insert(0, "percent", self.levels)
        first = f"# {self.n_variants} random single-nucleotide variants of {self.genome}, seed {self.seed}\n"
        write_text_atomically(path, first + table.to_csv(sep="\t", index=False, float_format="%.6g"))

    @classmethod
    def read(cls, path: Path, cell_types: Sequence[str]) -> Background:
        """A background of a model folder.

        Raises
        ------
        InputError
            If it is damaged, or of other cell types.
        """
        try:
            text = path.read_text(encoding="utf-8")
            first, _, rest = text.partition("\n")
            n_variants, genome, seed = _FIRST_LINE.fullmatch(first).groups()
            table = pd.read_csv(StringIO(rest), sep="\t", dtype=np.float64)
            levels, quantiles = table.iloc[:, 0].to_numpy(), table.iloc[:, 1:].to_numpy()
            rising = (np.diff(levels) > 0).all() and (np.diff(quantiles, axis=0) >= 0).all()
            if list(table.columns) != ["percent", *cell_types] or not rising or not len(levels):
                raise ValueError(f"columns {', '.join(table.columns[:8])}")
        except (OSError, AttributeError, ValueError) as error:
            raise InputError(
                "no background of effects",
                where=path,
                found=error,
                expected=f"percent and {', '.join(cell_types[:6])}, rising",
                remedy="fetch the model again, or package it again",
            ) from error
        return cls(tuple(cell_types), levels, quantiles, int(n_variants), int(seed), genome)


def make_background(
    network: AlleleNetwork,
    cell_types: Sequence[str],
    genome: Genome,
    *,
    n_variants: int = N_VARIANTS,
    seed: int = SEED,
    name: str | None = None,
) -> Background:
    """Effects of random single-nucleotide variants, at positions of a genome that are known.

    Parameters
    ----------
    network, cell_types
        The network, and the name of each output.
    genome
        Positions are drawn from all its sequences, each base as likely as any other.
    n_variants, seed
        How many, and the seed.
    name
        What the genome is called; its sequences when not given.

    Raises
    ------
    InputError
        If the genome is N nearly everywhere.
    """
    alleles, chrom = _random_variants(genome, n_variants, seed)
    delta = network.score(genome, alleles, Matched(np.full(n_variants, SCORED, np.int8), chrom)).delta
    quantiles = np.quantile(np.abs(delta.astype(np.float64)), _LEVELS / 100, axis=0)
    named = name or _sequences(genome)
    return Background(tuple(cell_types), _LEVELS, quantiles, n_variants, seed, named)


def add_background(
    folder: Path | str, genome: Genome | Path | str | Sequence[Path | str], *, name: str | None = None
) -> Path:
    """Add a background to a model folder, or make it again, and list its checksum.

    Parameters
    ----------
    folder
        Model folder of ``chromacc-models package``.
    genome
        What random variants are taken from.
    name
        What it is called; its sequences when not given.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If it is no whole model folder.
    """
    folder = Path(folder)
    kf.require_checksums(folder, kf.read_model_file(folder), kf.DATA_FILES)
    kf.require_text_checksums(folder)
    opened = genome if isinstance(genome, Genome) else Genome.open(genome)
    network = open_alleles(folder / kf.WEIGHTS)
    make_background(network, kf.read_targets(folder), opened, name=name).write(folder / kf.BACKGROUND)
    kf.write_checksums(folder)
    return folder / kf.BACKGROUND


def _random_variants(genome: Genome, n: int, seed: int) -> tuple[Alleles, np.ndarray]:
    """Random single-nucleotide variants, in the order of the genome, and the code of each chromosome."""
    rng = np.random.default_rng(seed)
    ends = np.cumsum(genome.lengths)
    found: list[np.ndarray] = []
    for _ in range(_TRIES):
        at = rng.integers(0, ends[-1], n)
        chrom = np.searchsorted(ends, at, side="right")
        position = at - (ends - genome.lengths)[chrom]
        ref = genome.windows(chrom, position, 1)[:, 0]
        alt = (ref + rng.integers(1, N_BASES, n)) % N_BASES
        found.append(np.stack([chrom, position, ref, alt])[:, ref < N_BASES])
        if sum(part.shape[1] for part in found) >= n:
            break
    else:
        raise InputError(
            "the genome is N nearly everywhere",
            found=f"{_sequences(genome)}: of {n * _TRIES:,} random positions, less than {n:,} are known",
            remedy="give the FASTA that the network was trained on",
        )
    chosen = np.concatenate(found, axis=1)[:, :n]
    chrom, position, ref, alt = chosen[:, np.lexsort(chosen[1::-1])]
    names, letters = np.array(genome.names, object), np.array(BASES, object)
    return Alleles(np.arange(n), names[chrom], position, np.arange(n), letters[ref], letters[alt]), chrom


def _sequences(genome: Genome) -> str:
    return ", ".join(genome.names[:4]) + (", …" if len(genome.names) > 4 else "")
