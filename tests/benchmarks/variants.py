"""How fast variants of a VCF become effects in a TSV, next to `predict` on windows of the genome, in one run.

    python tests/benchmarks/variants.py --model models/hg19-dnase-6/FactorizationMachine --fasta chr20.fa.gz

Random single-nucleotide variants of the first sequence, in order; `--spacing` gives the mean distance of two.
Both are commands in processes of their own: start, import and reading of the genome are part of the time, and
their processor time and largest memory are measured: where other programs run, rates by processor time are
those to compare. `predict` gets a tenth of the number of windows. The last lines say how long ten million
variants would take at the rate of the variants after the start, which is taken from a run of one chunk.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from chromacc_data.sequences.encoding import BASES, N_BASES
from chromacc_data.sequences.genome import Genome

WINDOW_LENGTH = 600
TEN_MILLION = 10_000_000
_START = 8192  # variants of the short run


class Measurement(NamedTuple):
    """What was run, on how many variants or windows, for how long, and with how much memory."""

    what: str
    n: int
    seconds: float
    cpu_seconds: float
    gib: float


def random_variants(genome: Genome, n: int, spacing: float, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Positions in order (0-based), and codes of REF and ALT, at known bases of the first sequence."""
    rng = np.random.default_rng(seed)
    length = int(genome.lengths[0])
    extent = min(length, int(2 * n * spacing))
    first = (length - extent) // 2
    position = np.sort(rng.integers(first, first + extent, int(n * extent / (n * spacing))))
    codes = genome.codes(genome.names[0])[position]
    known = np.flatnonzero(codes < N_BASES)[:n]
    ref = codes[known]
    return position[known], ref, (ref + rng.integers(1, N_BASES, len(known))) % N_BASES


def write_vcf(path: Path, name: str, position: np.ndarray, ref: np.ndarray, alt: np.ndarray) -> Path:
    """A VCF of single-nucleotide variants."""
    rows = zip((position + 1).tolist(), ref.tolist(), alt.tolist(), strict=True)
    lines = [f"{name}\t{at}\t.\t{BASES[r]}\t{BASES[a]}\t.\t.\t.\n" for at, r, a in rows]
    header = f"##fileformat=VCFv4.2\n##contig=<ID={name}>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    path.write_text(header + "".join(lines))
    return path


def measure(what: str, n: int, *arguments: str | Path) -> Measurement:
    """Run a command of chromacc-models; its children's memory counts for itself."""
    command = [sys.executable, "-m", "chromacc_models.cli", *map(str, arguments), "-q"]
    begin = time.perf_counter()
    process = os.posix_spawn(sys.executable, command, os.environ)
    _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - begin
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    unit = 1 if sys.platform == "darwin" else 1024
    cpu_seconds = usage.ru_utime + usage.ru_stime
    return Measurement(what, n, seconds, cpu_seconds, usage.ru_maxrss * unit / 2**30)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--fasta", type=Path, required=True, help="the first sequence is used")
    parser.add_argument("--variants", type=int, default=1_000_000)
    parser.add_argument("--spacing", type=float, nargs="+", default=[6, 30], help="mean bases between two")
    parser.add_argument("--out", default="tsv", help="suffix of the output")
    options = parser.parse_args()
    genome = Genome.open(options.fasta)
    with tempfile.TemporaryDirectory() as name:
        folder, measured = Path(name), []
        n_windows = options.variants // 10
        start = np.linspace(0, genome.lengths[0] - WINDOW_LENGTH, n_windows).astype(int).tolist()
        regions = folder / "a.bed"
        regions.write_text("".join(f"{genome.names[0]}\t{s}\t{s + WINDOW_LENGTH}\n" for s in start))
        few = random_variants(genome, _START, 10)
        short = write_vcf(folder / "few.vcf", genome.names[0], *few)
        inputs = options.model, short, options.fasta
        measure("kernels are compiled", 0, "variants", *inputs, "-o", folder / "first.tsv")
        started = measure("variants, one chunk", len(few[0]), "variants", *inputs, "-o", folder / "few.tsv")
        predicted = measure(
            "predict", n_windows, "predict", options.model, regions, options.fasta, "-o", folder / "p.tsv"
        )
        for spacing in options.spacing:
            found = random_variants(genome, options.variants, spacing)
            vcf = write_vcf(folder / "many.vcf", genome.names[0], *found)
            what = f"variants, one in {(found[0][-1] - found[0][0]) / len(found[0]):.0f} bp"
            out = folder / f"many.{options.out}"
            inputs = options.model, vcf, options.fasta
            measured.append(measure(what, len(found[0]), "variants", *inputs, "-o", out, "--overwrite"))
    print(f"{'':28} {'number':>10} {'seconds':>8} {'a second':>9} {'CPU s':>7} {'a CPU s':>8} {'GiB':>5}")
    for what, n, seconds, cpu, gib in (started, predicted, *measured):
        rates = f"{seconds:>8.1f} {n / seconds:>9,.0f} {cpu:>7.1f} {n / cpu:>8,.0f}"
        print(f"{what:28} {n:>10,} {rates} {gib:>5.2f}")
    for one in measured:
        n = one.n - started.n
        rate, cpu_rate = n / (one.seconds - started.seconds), n / (one.cpu_seconds - started.cpu_seconds)
        minutes = (started.seconds + TEN_MILLION / rate) / 60
        print(
            f"{one.what}: after the start {rate:,.0f} a second, {cpu_rate:,.0f} a second of a processor; "
            f"ten million in {minutes:.1f} minutes, or {TEN_MILLION / cpu_rate / 60:.1f} of a processor"
        )


if __name__ == "__main__":
    main()
