"""A tiny dataset for the examples of the documentation: 240 simulated windows of 60 bp, with known motifs."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np

from chromacc_data.build_store import build
from chromacc_data.engine import Engine
from chromacc_data.motifs.files import write_motifs
from chromacc_data.motifs.motif import Motif

__all__ = ["example_folder", "example_recipe", "example_store"]

#: Consensus of each motif.
_MOTIFS = {"GATA1": "AGATAAG", "MAX": "CACGTG", "CREB1": "TGACGTCA"}

_RECIPE = """
name: tiny
title: Three motifs in random sequences
windows: {length: 60}
simulation:
  n_windows: 240
  motifs: {files: [motifs.meme], names: [GATA1, MAX, CREB1]}
  sites: {number: [1, 2]}
  targets:
    - {cell_type: erythroid, model: additive, contributions: {GATA1: 1}, threshold: 1}
    - {cell_type: liver, model: additive, contributions: {MAX: 1, CREB1: 1}, threshold: 1}
split: {validation: 60, test: 60, folds: 3}
output: {chunk: 60}
"""


def example_folder() -> Path:
    """A new temporary folder, removed when Python ends."""
    folder = Path(tempfile.mkdtemp(prefix="chromacc-example-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def example_recipe() -> Path:
    """The recipe of a tiny simulated dataset, with its file of motifs, in a temporary folder.

    >>> recipe = example_recipe()
    >>> sorted(path.name for path in recipe.parent.iterdir())
    ['motifs.meme', 'recipe.yaml']
    """
    folder = example_folder()
    motifs = []
    for name, consensus in _MOTIFS.items():
        ppm = np.full((len(consensus), 4), 0.02)
        ppm[np.arange(len(consensus)), ["ACGT".index(base) for base in consensus]] = 0.94
        motifs.append(Motif(name, ppm, name))
    write_motifs(folder / "motifs.meme", motifs)
    recipe = folder / "recipe.yaml"
    recipe.write_text(_RECIPE)
    return recipe


@functools.cache
def example_store() -> Path:
    """The store of that recipe, built once per process, next to its motifs and recipe."""
    recipe = example_recipe()
    return build(recipe, recipe.with_name("tiny.zarr"), engine=Engine(workers=1)).path
