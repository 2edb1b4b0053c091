"""A small simulated dataset: motifs in a file, real background, every kind of model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chromacc_data.motifs.files import write_motifs
from chromacc_data.motifs.motif import Motif
from tests.small import write_small_dataset

#: Consensus of the motifs in `motifs.meme`, by name.
MOTIFS = {"ALX": "ACGTAC", "BOB": "GGATT", "CUX": "CCCTA", "DUX": "TTGCAAG"}

SIMPLE = """
name: simulated
title: A small simulated set
windows: {length: 50}
simulation:
  n_windows: 1500
  motifs: {files: [motifs.meme], names: [ALX, BOB, CUX, DUX]}
  sites: {number: [1, 2, 3], strand: either}
  targets:
    - {cell_type: sum, model: additive, draw: even, threshold: 0.1, copies: 2}
    - cell_type: pair
      model: paired
      pairs: [ALX BOB, {first: CUX, second: DUX, max_gap: 20, orientation: same}]
    - {cell_type: own, model: function, function: 'own.py:score', threshold: 1}
split: {validation: 100, test: 200, folds: 5}
output: {chunk: 64}
seed: 4
"""

OWN = """
import numpy as np
def score(sites, codes, names):
    near = np.abs(sites.start - codes.shape[1] / 2) < 15
    return (near & (sites.motif >= 0)).sum(axis=1)
"""

GENOME = "genome: {assembly: toy, fasta: [genome.fa], chromosomes: [chr1, chr2], exclude: [chrM]}\n"
PEAKS = "samples: [{cell_type: liver, source: liver.bed}]\n"

#: What to write instead of the background of `SIMPLE`, and what else the recipe needs.
BACKGROUNDS = {
    "independent": "",
    "composition": "background: {composition: {A: 0.4, C: 0.1, G: 0.2, T: 0.3}}",
    "markov": "background: {kind: markov, order: 2}",
    "shuffle": "background: {kind: shuffle}",
    "closed": "background: {kind: closed}",
}


def simulated_recipe(background: str = "independent") -> str:
    """Text of the small recipe with another background; that of windows of the genome has fewer of them."""
    text = SIMPLE.replace("simulation:\n", f"simulation:\n  {BACKGROUNDS[background]}\n")
    if background in ("shuffle", "closed"):
        text = text.replace("n_windows: 1500", "n_windows: 60")
        text = text.replace("validation: 100, test: 200", "validation: 10, test: 10")
    text += GENOME if background in ("markov", "shuffle", "closed") else ""
    return text + (PEAKS if background == "closed" else "")


def write_simulated_dataset(folder: Path, recipe: str = SIMPLE) -> Path:
    """Write motifs, function, genome and recipe into `folder`; gives the recipe's path."""
    write_small_dataset(folder)
    motifs = []
    for name, consensus in MOTIFS.items():
        ppm = np.full((len(consensus), 4), 0.05)
        ppm[np.arange(len(consensus)), ["ACGT".index(base) for base in consensus]] = 0.85
        motifs.append(Motif(f"M_{name}", ppm, name))
    write_motifs(folder / "motifs.meme", motifs)
    (folder / "own.py").write_text(OWN)
    path = folder / "simulated.yaml"
    path.write_text(recipe)
    return path
