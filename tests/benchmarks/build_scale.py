"""How the build scales: a set of the size of Basset's, on a synthetic genome of human size.

    python tests/benchmarks/build_scale.py --folder /some/large/disk
    python tests/benchmarks/build_scale.py --folder /some/large/disk --fraction 0.01

Makes the inputs first, if they are not in the folder (4 GB at full size): a genome of 3.1 Gb, and for each of
164 cell types a BED file of 190,000 intervals. Then builds the store with `chromacc-data build` in a process
of its own and prints rates, the largest memory of all its processes together, and the size of the store.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil

#: Lengths of chromosomes 1 to 22, X and Y of hg19, in Mb, rounded.
CHROMOSOMES_MB = (
    *(249, 243, 198, 191, 181, 171, 159, 146, 141, 136, 135, 134),
    *(115, 107, 103, 90, 81, 78, 59, 63, 48, 51, 155, 59),
)
N_CELL_TYPES, N_INTERVALS, N_SITES, LINE = 164, 190_000, 2_070_000, 60


def make_inputs(folder: Path, fraction: float) -> Path:
    """Genome, peaks and recipe; gives the recipe's path."""
    recipe = folder / "recipe.yaml"
    if recipe.exists():
        return recipe
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    lengths = {f"chr{i + 1}": int(mb * 1e6 * fraction) // LINE * LINE for i, mb in enumerate(CHROMOSOMES_MB)}
    letters = np.frombuffer(b"ACGT", np.uint8)
    with (folder / "genome.fa").open("wb") as fasta, (folder / "genome.fa.fai").open("w") as index:
        for name, length in lengths.items():
            fasta.write(f">{name}\n".encode())
            index.write(f"{name}\t{length}\t{fasta.tell()}\t{LINE}\t{LINE + 1}\n")
            for start in range(0, length, LINE * 1_000_000):
                n = min(LINE * 1_000_000, length - start)
                lines = np.full((n // LINE, LINE + 1), ord("\n"), np.uint8)
                lines[:, :LINE] = letters[rng.integers(0, 4, n, dtype=np.uint8)].reshape(-1, LINE)
                fasta.write(lines.data)
    # Sites are apart, so that joint peaks are about as many as sites; each cell type has a share of them.
    total = sum(lengths.values())
    n_sites, n_intervals = int(N_SITES * fraction), int(N_INTERVALS * fraction)
    sites = (np.arange(n_sites) + rng.uniform(0.2, 0.6, n_sites)) * (total / n_sites)
    edges = np.cumsum([0, *lengths.values()])
    chrom = np.searchsorted(edges, sites, side="right") - 1
    middle = (sites - edges[chrom]).astype(np.int64)
    inside = (middle > 200) & (middle < np.array(list(lengths.values()))[chrom] - 200)
    chrom, middle = chrom[inside], middle[inside]
    names = np.array(list(lengths))
    for i in range(N_CELL_TYPES):
        chosen = np.sort(rng.choice(len(middle), n_intervals, replace=False))
        start = middle[chosen] + rng.integers(-95, -55, n_intervals)
        rows = zip(names[chrom[chosen]].tolist(), start.tolist(), (start + 150).tolist(), strict=True)
        (folder / f"{i}.bed").write_text("".join(f"{c}\t{s}\t{e}\t.\t0\t.\n" for c, s, e in rows))
    samples = "".join(f"  - {{cell_type: cell type {i}, source: {i}.bed}}\n" for i in range(N_CELL_TYPES))
    recipe.write_text(
        "name: scale\ntitle: Synthetic set of the size of Basset's\n"
        f"genome: {{assembly: synthetic, fasta: [genome.fa]}}\nsamples:\n{samples}"
        "split: {by: random, validation: 0.035, test: 0.035}\nseed: 1\n"
    )
    return recipe


class MemoryWatch(threading.Thread):
    """Samples the memory of a process and its children."""

    def __init__(self, process: subprocess.Popen) -> None:
        super().__init__(daemon=True)
        self.process, self.private, self.resident = process, 0, 0

    def run(self) -> None:
        """Watch until the process ends."""
        parent = psutil.Process(self.process.pid)
        while self.process.poll() is None:
            private = resident = 0
            for one in (parent, *parent.children(recursive=True)):
                try:
                    memory = one.memory_info()
                except psutil.NoSuchProcess:
                    continue
                private += memory.rss - memory.shared
                resident += memory.rss
            self.private, self.resident = max(self.private, private), max(self.resident, resident)
            time.sleep(0.05)


def main() -> None:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--fraction", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    folder = arguments.folder / f"scale-{arguments.fraction:g}"
    recipe = make_inputs(folder, arguments.fraction)
    out = folder / "store.zarr"
    for left in (out, folder / "store.zarr.partial"):
        shutil.rmtree(left, ignore_errors=True)
    command = [sys.executable, "-m", "chromacc_data.cli", "build", str(recipe), "-o", str(out)]
    began = time.perf_counter()
    process = subprocess.Popen([*command, "--workers", str(arguments.workers)])
    watch = MemoryWatch(process)
    watch.start()
    if process.wait():
        sys.exit(process.returncode)
    seconds = time.perf_counter() - began
    from chromacc_data.store import schema
    from chromacc_data.store.read import open_store

    n = open_store(out).sizes[schema.WINDOW]
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    n_intervals = N_CELL_TYPES * int(N_INTERVALS * arguments.fraction)
    print(f"{n:,} windows x {N_CELL_TYPES} cell types from {n_intervals:,} intervals")
    print(f"{seconds:.1f} s, {n / seconds:,.0f} windows/s, {arguments.workers} workers")
    private, resident = watch.private / 2**30, watch.resident / 2**30
    print(f"largest memory: {private:.2f} GiB, {resident:.2f} GiB with the pages of mapped files")
    print(f"{size / 2**30:.2f} GiB in the store, {size / (n * 600):.3f} bytes per base")


if __name__ == "__main__":
    main()
