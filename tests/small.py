"""A small dataset made by hand: three chromosomes, three cell types, a recipe."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np

#: Lengths of the small genome; chr3 is not in use.
LENGTHS = {"chr1": 9000, "chr2": 6000, "chr3": 500}

RECIPE = """
name: small
title: A small dataset
genome:
  assembly: toy
  fasta: [genome.fa]
  chromosomes: [chr1, chr2]
  exclude: [chrM]
samples:
  - {cell_type: liver, source: liver.bed}
  - {cell_type: T cell, source: t_cell.bed}
  - {cell_type: neuron, source: neuron.bed}
windows: {length: 60, merge_distance: 20}
split: {by: block, block_size: 500, validation: 0.2, test: 0.2, folds: 3}
output: {chunk: 16}
seed: 7
"""


def write_small_dataset(folder: Path, *, recipe: str = RECIPE, seed: int = 0) -> Path:
    """Write genome, peaks and recipe into `folder`; gives the recipe's path."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "genome.fa").open("w") as fasta:
        for name, length in LENGTHS.items():
            sequence = "".join(rng.choice(list("ACGTacgtN"), length, p=[0.1245] * 8 + [0.004]))
            fasta.write(f">{name} made by hand\n" + "\n".join(textwrap.wrap(sequence, 50)) + "\n")
    for name in ("liver", "t_cell", "neuron"):
        rows = ["chr3\t10\t20", "chrM\t5\t9"]
        for chrom in ("chr1", "chr2"):
            starts = np.sort(rng.choice(LENGTHS[chrom] * 2 // 3, 40, replace=False))
            rows += [f"{chrom}\t{start}\t{start + rng.integers(5, 60)}" for start in starts]
        (folder / f"{name}.bed").write_text("\n".join(rows) + "\n")
    path = folder / "recipe.yaml"
    path.write_text(recipe)
    return path
