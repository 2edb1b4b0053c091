"""How fast BED regions become predictions: our loader and ``kipoiseq.SeqIntervalDl``, in one run.

    python tests/benchmarks/predict.py --fasta hg19.chr20.fa.gz
    python tests/benchmarks/predict.py --fasta hg19.chr20.fa.gz --model models/hg19-dnase-6/Baseline

Both loaders read the same random regions of the first sequence from the same plain FASTA, timed from opening
the files to the last batch, with the index built and the kernels compiled beforehand. Ours is also timed on
the FASTA as given, which may be bgzip. First of all, both must give the same numbers.

With a model folder, the whole command `kipoi predict` is timed too: the model as it is, and a copy of it
whose loader is kipoiseq's. Their predictions must be equal, in windows without N.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import yaml
from kipoi.data import Dataset
from kipoiseq.dataloaders import SeqIntervalDl

from chromacc_data.loader import BedLoader
from chromacc_data.regions.bed import read_intervals
from chromacc_data.sequences.encoding import N_CODE
from chromacc_data.sequences.genome import Genome

WINDOW_LENGTH = 600
N_COMPARED = 2_000  # regions on which the numbers are compared
REQUIRED_RATIO, REQUIRED_COMMAND_RATIO = 50, 4


class Measurement(NamedTuple):
    """What was run, on how many regions, and for how long."""

    what: str
    n_regions: int
    seconds: float


def write_random_regions(path: Path, genome: Genome, n_regions: int, *, seed: int = 0) -> Path:
    """A BED file of random windows inside the first sequence of a genome."""
    generator = np.random.default_rng(seed)
    start = generator.integers(0, genome.lengths[0] - WINDOW_LENGTH, n_regions)
    path.write_text("".join(f"{genome.names[0]}\t{s}\t{s + WINDOW_LENGTH}\n" for s in start.tolist()))
    return path


def seconds_of_loader(make: Callable[[], Dataset], batch_size: int) -> float:
    """Time to open a loader and to go through all its batches."""
    begin = time.perf_counter()
    for _ in make().batch_iter(batch_size=batch_size):
        pass
    return time.perf_counter() - begin


def check_same_numbers(regions: Path, fasta: Path) -> None:
    """Raise unless both loaders give the same windows, N aside: zeros in ours, 0.25 in kipoiseq's."""
    for ours, theirs in zip(
        BedLoader(regions, fasta).batch_predict_iter(),
        SeqIntervalDl(str(regions), str(fasta)).batch_predict_iter(),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, np.where(theirs == 0.25, 0, theirs))


def measure_loaders(fasta: Path, n_regions: int, batch_size: int, folder: Path) -> list[Measurement]:
    """Times of kipoiseq's loader, of ours on the same plain FASTA, and of ours on the FASTA as given.

    Files are written to `folder`: kipoiseq would write its index next to the FASTA.
    """
    plain = _plain_copy(fasta, folder / "plain.fa")
    genome = Genome.open(plain)
    few = write_random_regions(folder / "few.bed", genome, N_COMPARED)
    regions = write_random_regions(folder / "regions.bed", genome, n_regions)
    check_same_numbers(few, plain)
    seconds_of_loader(lambda: BedLoader(few, fasta), batch_size)  # builds the index of a bgzip file

    def ours(path: Path) -> float:
        return min(seconds_of_loader(lambda: BedLoader(regions, path), batch_size) for _ in range(3))

    return [
        Measurement(
            "kipoiseq.SeqIntervalDl, plain FASTA",
            n_regions,
            seconds_of_loader(lambda: SeqIntervalDl(str(regions), str(plain)), batch_size),
        ),
        Measurement("chromacc BedLoader, plain FASTA", n_regions, ours(plain)),
        Measurement(f"chromacc BedLoader, {fasta.name}", n_regions, ours(fasta)),
    ]


def measure_commands(
    model: Path, fasta: Path, n_regions: int, batch_size: int, folder: Path
) -> list[Measurement]:
    """Times of `kipoi predict` with kipoiseq's loader and with ours, on the same plain FASTA.

    Raises
    ------
    AssertionError
        If the two predict other numbers (to 1e-5) for windows without N.
    """
    plain = _plain_copy(fasta, folder / "command.fa")
    genome = Genome.open(plain)
    regions = write_random_regions(folder / "command.bed", genome, n_regions)
    theirs = folder / "with_kipoiseq"
    shutil.copytree(model, theirs)
    description = yaml.safe_load((theirs / "model.yaml").read_text())
    description["default_dataloader"] = {
        "defined_as": "kipoiseq.dataloaders.SeqIntervalDl",
        "default_args": {"auto_resize_len": WINDOW_LENGTH},
    }
    (theirs / "model.yaml").write_text(yaml.safe_dump(description, sort_keys=False))
    measurements, predictions = [], []
    for what, source in (("kipoi predict, SeqIntervalDl", theirs), ("kipoi predict, BedLoader", model)):
        out = folder / f"{source.name}.h5"
        command = [
            sys.executable,
            "-m",
            "kipoi",
            "predict",
            str(source.resolve()),
            "--source=dir",
            "-o",
            str(out),
        ]
        command += ["--batch_size", str(batch_size), "--dataloader_args"]
        command.append(json.dumps({"intervals_file": str(regions), "fasta_file": str(plain)}))
        begin = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        measurements.append(Measurement(what, n_regions, time.perf_counter() - begin))
        with h5py.File(out) as file:
            predictions.append(file["preds"][:])
    chrom, start = np.zeros(n_regions, np.int32), read_intervals(regions)["start"].to_numpy()
    known = (genome.windows(chrom, start, WINDOW_LENGTH) != N_CODE).all(axis=1)
    np.testing.assert_allclose(predictions[0][known], predictions[1][known], atol=1e-5)
    return measurements


def print_comparison(measurements: list[Measurement]) -> None:
    """A table of times, rates, and the ratio of each to the first."""
    print(f"{'':40} {'regions':>9} {'seconds':>9} {'regions/s':>11} {'ratio':>7}")
    for what, n_regions, seconds in measurements:
        ratio = measurements[0].seconds / seconds
        print(f"{what:40} {n_regions:>9,} {seconds:>9.2f} {n_regions / seconds:>11,.0f} {ratio:>7.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--fasta", type=Path, required=True, help="plain or bgzip; the first sequence is used"
    )
    parser.add_argument("--regions", type=int, default=200_000)
    parser.add_argument("--batch-size", type=int, default=32, help="Kipoi's default is 32")
    parser.add_argument("--model", type=Path, help="a model folder: the whole command is timed too")
    options = parser.parse_args()
    setting = options.fasta, options.regions, options.batch_size
    with tempfile.TemporaryDirectory() as folder:
        loaders = measure_loaders(*setting, Path(folder))
        print(f"Loaders, batches of {options.batch_size} (required: {REQUIRED_RATIO} times)")
        print_comparison(loaders)
        if options.model is not None:
            commands = measure_commands(options.model, *setting, Path(folder))
            print(
                f"Whole command, batches of {options.batch_size} (required: {REQUIRED_COMMAND_RATIO} times)"
            )
            print_comparison(commands)


def _plain_copy(fasta: Path, copy: Path) -> Path:
    with (gzip.open if fasta.suffix == ".gz" else open)(fasta, "rb") as source, copy.open("wb") as target:
        shutil.copyfileobj(source, target)
    return copy


if __name__ == "__main__":
    main()
