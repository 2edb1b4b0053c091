"""Exact effects against forward passes and against the naive way, in one run.

    python tests/benchmarks/effects.py [MODEL] [--rounds 7] [--windows 256]

Rounds of each are taken in turn, so that other work on the machine slows all of them. Printed are medians,
and the median of the ratios within rounds, which such work moves least.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from chromacc_data.region_windows import RegionWindows
from chromacc_data.sequences.genome import Genome
from chromacc_models.effects.contributions import Contributions
from chromacc_models.effects.hits import find_hits
from chromacc_models.effects.network import naive_effects
from chromacc_models.effects.substitutions import Substitutions
from chromacc_models.kmer_kernels.workers import n_threads
from chromacc_models.scoring.saved_network import find_network
from chromacc_models.scoring.scorer import Scorer
from tests import ROOT

DATA = ROOT / "datasets" / "hg19-dnase-6"
#: Windows of the store of the article's size, for contributions of all of them.
_ALL_WINDOWS = 330_000
_FORWARD = "forward pass"
_NAIVE = "naive mutagenesis"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "model", nargs="?", type=Path, default=ROOT / "models/hg19-dnase-6/FactorizationMachine"
    )
    parser.add_argument("--rounds", type=int, default=7, help="of each, taken in turn")
    parser.add_argument("--windows", type=int, default=256, help="real windows of chromosome 20")
    parser.add_argument("--naive-windows", type=int, default=1, help="of those, for the naive way")
    arguments = parser.parse_args()
    scorer = Scorer.open(find_network(arguments.model).weights)
    genome = Genome.open(DATA / "genome" / "hg19.chr20.fa.gz")
    windows = RegionWindows.read(DATA / "new_regions.bed", genome, scorer.window_length)
    codes = windows.codes(np.arange(arguments.windows) % len(windows))
    few = codes[: arguments.naive_windows]
    substitutions, contributions = Substitutions(scorer), Contributions(scorer)
    jobs: dict[str, tuple[Callable[[], object], int]] = {
        _FORWARD: (lambda: scorer.logits(codes), len(codes)),
        "mutagenesis": (lambda: substitutions.effects(codes), len(codes)),
        "contributions": (lambda: contributions.of_bases(codes), len(codes)),
        "hypothetical contributions": (
            lambda: contributions.of_bases(codes, hypothetical=True),
            len(codes),
        ),
        "hits": (lambda: find_hits(contributions, codes), len(codes)),
        _NAIVE: (lambda: naive_effects(scorer, few), len(few)),
    }
    seconds = _rounds(jobs, arguments.rounds)
    print(f"{arguments.model.name}: {scorer.n_filters} filters, {n_threads()} threads, ", end="")
    print(f"{len(codes)} windows, medians of {arguments.rounds} rounds\n")
    print(f"{'':28} {'ms a window':>12} {'forward passes':>15}")
    for name, times in seconds.items():
        print(f"{name:28} {1000 * statistics.median(times):12.4f} {_ratio(times, seconds[_FORWARD]):15.2f}")
    n_mutants = 3 * (scorer.scanned.stop - scorer.scanned.start)
    mutagenesis = statistics.median(seconds["mutagenesis"])
    of_all = _ALL_WINDOWS * statistics.median(seconds["contributions"])
    print(f"\nnaive over exact mutagenesis: {_ratio(seconds[_NAIVE], seconds['mutagenesis']):.0f} times")
    print(f"mutants a second: {n_mutants / mutagenesis:,.0f}, each in {scorer.n_cell_types} cell types")
    print(f"contributions of {_ALL_WINDOWS:,} windows: {of_all:.0f} s")
    return 0


def _rounds(jobs: dict[str, tuple[Callable[[], object], int]], n: int) -> dict[str, list[float]]:
    """Seconds a window of each job, in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(n + 1):
        for name, (job, n_windows) in jobs.items():
            start = time.perf_counter()
            job()
            if number:  # the first round compiles
                seconds[name].append((time.perf_counter() - start) / n_windows)
    return seconds


def _ratio(times: list[float], others: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


if __name__ == "__main__":
    raise SystemExit(main())
