"""A small dataset in every format, its store, a run and a model folder."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyBigWig
from Bio import bgzf

from chromacc_data.motifs.files import write_motifs
from chromacc_data.motifs.motif import Motif
from chromacc_data.sequences.encoding import decode
from chromacc_data.sequences.genome import Genome
from tests import ROOT
from tests.simulated import MOTIFS
from tests.small import LENGTHS, RECIPE, write_small_dataset

__all__ = ["ROOT", "command", "make_scene"]


GENOME = "genome: {assembly: toy, fasta: [genome.fa], chromosomes: [chr1, chr2], exclude: [chrM]}\n"
TAIL = """windows: {length: 60, merge_distance: 20}
split: {by: block, block_size: 500, validation: 0.2, test: 0.2, folds: 3}
output: {chunk: 64}
seed: 7
"""

#: Recipes by file name; `recipe.yaml`, of plain peaks, is that of `tests.small`.
RECIPES = {
    "summits.yaml": "samples: [{cell_type: a, source: summits.narrowPeak, center: summit}]\n",
    "zipped.yaml": "samples: [{cell_type: a, source: liver.bed.gz}]\n"
    "blacklist: blacklist.bed\nnegatives: {}\n",
    "signal.yaml": "samples: [{cell_type: a, source: signal.bedGraph, kind: signal, threshold: 2}]\n",
    "bigwig.yaml": "samples: [{cell_type: a, source: signal.bw, kind: signal, threshold: 2}]\n",
    "fragments.yaml": "samples: [{cell_type: a, source: fragments.tsv, kind: fragments, threshold: 1}]\n",
    "pairs.yaml": "samples: [{cell_type: a, source: pairs.bedpe, kind: fragments, threshold: 1,"
    " fragments: {count: ends, extend: 20, max_length: 200}}]\n",
}

FIXED = (
    "samples: [{cell_type: a, source: liver.bed}, {cell_type: b, source: neuron.bed}]\n"
    "windows: {length: 60, file: fixed.bed, label: overlap}\n"
    "split: {by: random, validation: 0.2, test: 0.2, folds: 3}\noutput: {chunk: 64}\n"
)

SIMULATION = """
name: simulated
title: A small simulated set
windows: {length: 50}
simulation:
  n_windows: 120
  motifs: {files: [%s], names: [ALX, BOB, CUX, DUX], min_information: 0.1}
  sites: {number: [1, 2, 3], strand: either, bases: sampled}
  background: {composition: {A: 0.4, C: 0.1, G: 0.2, T: 0.3}}
  targets:
    - {cell_type: sum, model: additive, draw: even, threshold: 0.1, copies: 2}
    - cell_type: pair
      model: paired
      pairs: [ALX BOB, {first: CUX, second: DUX, max_gap: 20, orientation: same}]
split: {validation: 10, test: 20, folds: 3}
output: {chunk: 64}
seed: 4
"""

TRAIN = """network: factorization_machine
n_filters: 8
filter_width: 6
k: 2
epochs: 1
batch_size: 32
learning_rate: 0.001
reverse_complement: augment
seed: 3
"""

TRANSFAC = """AC  M1
XX
ID  %s
XX
P0      A      C      G      T
%s
XX
//
"""


def command(*arguments: str | Path, cwd: Path, check: bool = True) -> subprocess.CompletedProcess:
    """Run ``chromacc-data`` or ``chromacc-models``, as this checkout has it, in a process of its own."""
    program, *rest = map(str, arguments)
    module = f"{program.replace('-', '_')}.cli"
    return subprocess.run(
        [sys.executable, "-m", module, *rest],
        cwd=cwd,
        env=environment(cwd),
        capture_output=True,
        text=True,
        check=check,
    )


def environment(home: Path) -> dict[str, str]:
    """Environment of a command: this checkout, a home of its own, few threads, no log of TensorFlow."""
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "PYTHONDONTWRITEBYTECODE": "1"}
    return os.environ | quiet | {"HOME": str(home), "PYTHONPATH": paths}


def make_scene(folder: Path, *, networks: bool = False) -> Path:
    """Files of every kind in `folder`; what is there already is not made again.

    Parameters
    ----------
    folder
        Where to.
    networks
        Also a run and a model folder, which takes TensorFlow and half a minute.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "store.h5").exists():
        _write_inputs(folder)
        command("chromacc-data", "build", "recipe.yaml", "-o", "store.zarr", "-q", cwd=folder)
        command("chromacc-data", "build", "zipped_genome.yaml", "-o", "zipped.zarr", "-q", cwd=folder)
        command("chromacc-data", "build", "sim_meme.yaml", "-o", "simulated.zarr", "-q", cwd=folder)
        command("chromacc-data", "convert", "store.zarr", "store.h5", "-q", cwd=folder)
    if networks and not (folder / "net.keras").exists():
        train = ("train", "store.zarr", "--config", "train.yaml", "-o", "run", "-q")
        command("chromacc-models", *train, cwd=folder)
        package = ("package", "run", "--genome", "genome.fa", "--to", "model", "--overwrite", "-q")
        command("chromacc-models", *package, cwd=folder)
        (folder / "net.keras").write_bytes((folder / "run" / "model.keras").read_bytes())
    return folder


def _write_inputs(folder: Path) -> None:
    write_small_dataset(folder, recipe=RECIPE.replace("chunk: 16", "chunk: 64"))
    for name, text in RECIPES.items():
        (folder / name).write_text(f"name: small\ntitle: A small dataset\n{GENOME}{text}{TAIL}")
    (folder / "zipped_genome.yaml").write_text(
        (folder / "recipe.yaml").read_text().replace("genome.fa", "genome.fa.gz")
    )
    (folder / "fixed.yaml").write_text(f"name: small\ntitle: Fixed windows\n{GENOME}{FIXED}")
    (folder / "train.yaml").write_text(TRAIN)
    _write_intervals(folder)
    _write_variants(folder)
    _write_motif_files(folder)
    _compress_genome(folder)
    rng = np.random.default_rng(1)
    np.save(folder / "filters.npy", rng.normal(size=(6, 4, 8)).astype(np.float32))


def _write_intervals(folder: Path) -> None:
    rng = np.random.default_rng(2)
    starts = np.sort(rng.choice(8000, 40, replace=False))
    lengths = rng.integers(20, 60, 40)
    summits = [
        f"chr1\t{s}\t{s + n}\tpeak{i}\t100\t.\t5.5\t3.2\t2.1\t{n // 2}"
        for i, (s, n) in enumerate(zip(starts, lengths, strict=True))
    ]
    edges = np.arange(0, 8000, 50)
    signal = [
        f"chr1\t{e}\t{e + 50}\t{v:.2f}" for e, v in zip(edges, rng.gamma(1, 2, len(edges)), strict=True)
    ]
    fragments = [f"chr1\t{s}\t{s + n}\tACGTACGT-1\t{1 + n % 3}" for s, n in zip(starts, lengths, strict=True)]
    pairs = [
        f"chr1\t{s}\t{s + 20}\tchr1\t{s + n}\t{s + n + 20}\tread{i}\t30\t+\t-"
        for i, (s, n) in enumerate(zip(starts, lengths, strict=True))
    ]
    fixed = [f"chr{1 + i % 2}\t{100 * i}\t{100 * i + 60}" for i in range(50)]
    regions = [f"chr1\t{100 * i}\t{100 * i + 60}\tname{i}\t0\t{'+-.'[i % 3]}" for i in range(20)]
    for name, lines in (
        ("summits.narrowPeak", summits),
        ("signal.bedGraph", ["track type=bedGraph", *signal]),
        ("fragments.tsv", ["# made by hand", *fragments]),
        ("pairs.bedpe", pairs),
        ("fixed.bed", fixed),
        ("regions.bed", ["# a comment", *regions]),
        ("blacklist.bed", ["chr1\t0\t50\tlow", "chr2\t100\t200\tlow"]),
    ):
        (folder / name).write_text("\n".join(lines) + "\n")
    (folder / "liver.bed.gz").write_bytes(gzip.compress((folder / "liver.bed").read_bytes(), mtime=0))
    with pyBigWig.open(str(folder / "signal.bw"), "w") as file:
        file.addHeader(list(LENGTHS.items()))
        for row in signal:
            chrom, start, end, value = row.split("\t")
            file.addEntries([chrom], [int(start)], ends=[int(end)], values=[float(value)])


def _write_variants(folder: Path) -> None:
    """Base changes, an insertion, a deletion, and a REF that the genome does not have there."""
    header = "##fileformat=VCFv4.2\n##contig=<ID=chr1>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    positions = np.arange(100, 8000, 40)
    genome = Genome.open(folder / "genome.fa")
    bases = decode(genome.windows(np.zeros(len(positions), int), positions - 1, 1)[:, 0])
    rows = []
    for position, ref in zip(positions.tolist(), bases, strict=True):
        alt = {"A": "G", "C": "CTT", "G": "A,T"}.get(ref, "C")
        rows.append(f"chr1\t{position}\tv{position}\t{ref}\t{alt}\t.\t.\t.\n")
    (folder / "variants.vcf").write_text(header + "".join(rows))


def _write_motif_files(folder: Path) -> None:
    motifs = []
    for name, consensus in MOTIFS.items():
        ppm = np.full((len(consensus), 4), 0.05)
        ppm[np.arange(len(consensus)), ["ACGT".index(base) for base in consensus]] = 0.85
        motifs.append(Motif(name, ppm, name))
    for suffix in ("meme", "jaspar", "txt"):
        write_motifs(folder / f"motifs.{suffix}", motifs)
    texts = []
    for motif in motifs:
        rows = [f"{i + 1:02d} " + " ".join(f"{100 * p:6.0f}" for p in row) for i, row in enumerate(motif.ppm)]
        texts.append(TRANSFAC % (motif.name, "\n".join(rows)))
    (folder / "motifs.transfac").write_text("".join(texts))
    for suffix in ("meme", "jaspar", "txt", "transfac"):
        (folder / f"sim_{suffix}.yaml").write_text(SIMULATION % f"motifs.{suffix}")


def _compress_genome(folder: Path) -> None:
    """Write `genome.fa.gz` as bgzip writes it; the first build that reads it indexes it."""
    with bgzf.BgzfWriter(str(folder / "genome.fa.gz")) as writer:
        writer.write((folder / "genome.fa").read_bytes())
