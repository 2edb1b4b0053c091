"""Datasets of chromatin accessibility: from genome and peaks to chunked stores and their batches.

``import chromacc_data as cd`` gives the names in ``dir(cd)``; all else is private to its folder.

`recipe` says what goes in, `sources` finds the files, `sequences` reads genomes and `regions` peaks, which
become windows, or `simulation` makes windows; `splits` divides them, and `build` writes them into a store.
The command is ``chromacc-data``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chromacc_data.lazy import lazy_names

if TYPE_CHECKING:
    from chromacc_data.build_store import build
    from chromacc_data.describe_store import describe
    from chromacc_data.engine import Engine
    from chromacc_data.errors import InputError
    from chromacc_data.loader import BedLoader
    from chromacc_data.motifs.files import read_motifs, write_motifs
    from chromacc_data.motifs.motif import Motif
    from chromacc_data.recipe.recipe import load_recipe
    from chromacc_data.regions.bed import read_intervals as read_bed
    from chromacc_data.sequences.genome import Genome
    from chromacc_data.simulation.truth import read_truth
    from chromacc_data.store.batches import Batches
    from chromacc_data.store.read import open_store
    from chromacc_data.store.write import convert
    from chromacc_data.verify_store import verify

__all__ = [
    "Batches",
    "BedLoader",
    "Engine",
    "Genome",
    "InputError",
    "Motif",
    "build",
    "convert",
    "describe",
    "load_recipe",
    "open_store",
    "read_bed",
    "read_motifs",
    "read_truth",
    "verify",
    "write_motifs",
]

# Kipoi, too, imports the package and asks it for the loader that its YAML files name.
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Batches": "chromacc_data.store.batches",
        "BedLoader": "chromacc_data.loader",
        "Engine": "chromacc_data.engine",
        "Genome": "chromacc_data.sequences.genome",
        "InputError": "chromacc_data.errors",
        "Motif": "chromacc_data.motifs.motif",
        "build": "chromacc_data.build_store",
        "convert": "chromacc_data.store.write",
        "describe": "chromacc_data.describe_store",
        "load_recipe": "chromacc_data.recipe.recipe",
        "open_store": "chromacc_data.store.read",
        "read_bed": "chromacc_data.regions.bed:read_intervals",
        "read_motifs": "chromacc_data.motifs.files",
        "read_truth": "chromacc_data.simulation.truth",
        "verify": "chromacc_data.verify_store",
        "write_motifs": "chromacc_data.motifs.files",
    },
)
