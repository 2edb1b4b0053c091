"""`tracks` next to `predict` on the same bins, as commands: how many times faster, and the same values?

python tests/benchmarks/tracks.py                       # 5 Mb of chromosome 20
python tests/benchmarks/tracks.py --megabases 60 --rounds 1
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyBigWig

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from chromacc_data.sequences.genome import Genome
from tests import ROOT
from tests.reliability.tables import processor

MODEL = ROOT / "models" / "hg19-dnase-6" / "FactorizationMachine"
FASTA = ROOT / "datasets" / "hg19-dnase-6" / "genome" / "hg19.chr20.fa.gz"
#: Where the stretch begins: behind the unknown bases of the end.
BEGIN = 60_000


def run(*arguments: object) -> float:
    """Seconds of a command."""
    start = time.perf_counter()
    line = [sys.executable, "-m", "chromacc_models.cli", *map(str, arguments), "-q", "--overwrite"]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def read(path: Path) -> list[tuple[int, int, float]]:
    with pyBigWig.open(str(path)) as file:
        return file.intervals("chr20")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabases", type=float, default=5)
    parser.add_argument("--stride", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path, default=MODEL)
    chosen = parser.parse_args()
    stride = chosen.stride
    first = -(-BEGIN // stride) * stride
    length = int(Genome.open(FASTA).lengths[0])
    stop = min(first + int(chosen.megabases * 1e6) // stride * stride, length // stride * stride)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        bins = "".join(f"chr20\t{s}\t{s + stride}\n" for s in range(first, stop, stride))
        (place / "bins.bed").write_text(bins)
        (place / "stretch.bed").write_text(f"chr20\t{first}\t{stop}\n")
        seconds: dict[str, list[float]] = {"predict": [], "tracks": []}
        for _ in range(chosen.rounds):
            predicted = run("predict", chosen.model, place / "bins.bed", FASTA, "-o", place / "bins.bw")
            options = ("-o", place / "tracks", "--regions", place / "stretch.bed", "--stride", stride)
            along = run("tracks", chosen.model, FASTA, *options)
            seconds["predict"].append(predicted)
            seconds["tracks"].append(along)
            print(
                f"predict {predicted:.1f} s, tracks {along:.1f} s: {predicted / along:.1f} times", flush=True
            )
        paths = sorted((place / "tracks").glob("*.bw"))
        largest = 0.0
        for path in paths:
            rows = {start: value for start, _, value in read(place / f"bins.{path.name}")}
            found = read(path)
            largest = max(largest, *(abs(value - rows[start]) for start, _, value in found))
        ratios = np.divide(seconds["predict"], seconds["tracks"])
        print(
            f"{(stop - first) / 1e6:.1f} Mb, stride {stride}, {len(paths)} cell types, on {processor()}: "
            f"tracks takes {statistics.median(seconds['tracks']):.1f} s, predict "
            f"{statistics.median(ratios):.1f} times that (median of {chosen.rounds}); "
            f"largest difference {largest:.1e}"
        )


if __name__ == "__main__":
    main()
