"""Regions of a small genome, for tests of the commands on effects; no TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from chromacc_data.sequences.encoding import decode
from tests import ROOT

MODEL = ROOT / "models" / "hg19-dnase-6" / "FactorizationMachine"
CELL_TYPES = ("GM12878", "K562", "HeLa-S3", "HUVEC", "HepG2", "Jurkat")
LENGTH = 600

#: On the minus strand, of other lengths, past both ends of a chromosome, over N, overlapping.
REGIONS = """\
# a comment
chr1	700	1300	first	0	+
chr1	900	1500	minus	0	-
chr1	1000	1010	short	0	.
chr2	0	100	at the start	0	+
chr2	800	900	at the end	0	+
"""
STARTS = (700, 900, 1005 - 300, 50 - 300, 850 - 300)


class Place(NamedTuple):
    """Files of a test."""

    folder: Path
    regions: Path
    genome: Path


def make_place(folder: Path) -> Place:
    """A genome of two chromosomes with lower case, N and other letters, and regions of it."""
    rng = np.random.default_rng(3)
    genome = folder / "genome.fa"
    with genome.open("w") as file:
        for name, length in (("chr1", 3000), ("chr2", 900)):
            text = decode(rng.integers(0, 4, length, dtype=np.uint8))
            text = text[:500] + text[500:760].lower() + "NNRY" + text[764:]
            file.write(f">{name}\n{text}\n")
    regions = folder / "regions.bed"
    regions.write_text(REGIONS)
    return Place(folder, regions, genome)
