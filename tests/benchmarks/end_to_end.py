"""Whole trainings and predictions: against plain Keras, by size, by memory, and where the time goes.

    python tests/benchmarks/end_to_end.py train STORE [--epochs 3]
    python tests/benchmarks/end_to_end.py scaling
    python tests/benchmarks/end_to_end.py memory STORE
    python tests/benchmarks/end_to_end.py predict MODEL FASTA [--regions 1000000]

- train: `chromacc-models train` of baseline and motif building network, 300 filters, by k-mer kernels and by
  plain Keras, same epochs. The ratio is of whole commands, start of Python and TensorFlow included.
- scaling: seconds of a training step as windows, filters and cell types are multiplied, over linear growth.
- memory: largest memory of a training of one epoch, for a store larger than what is kept in memory (the one
  that build_scale.py leaves, of two million windows).
- predict: `chromacc-models predict`, random regions of a FASTA: regions per second, and the shares of time in
  the loader, the network and the writer, with one worker, so that they do not overlap.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

WINDOW_LENGTH = 600
REQUIRED_TRAIN_RATIO = 6
GIB = 1 << 30


def command(*arguments: str | Path) -> float:
    """Seconds that `chromacc-models` takes as a process of its own."""
    begin = time.perf_counter()
    line = [sys.executable, "-m", "chromacc_models.cli", *map(str, arguments)]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begin


# Training.


def compare_trainings(store: Path, n_epochs: int, n_filters: int) -> None:
    """Whole commands by k-mer kernels and by plain Keras, alternating."""
    shared = ["--set", f"epochs={n_epochs}", "--set", f"n_filters={n_filters}", "--set", "batch_size=256"]
    with tempfile.TemporaryDirectory() as folder:
        for network in ("baseline", "motif_builder"):
            seconds, rates = {}, {}
            for engine in ("kernels", "keras"):
                run = Path(folder) / f"{network}-{engine}"
                options = ["--network", network, *shared, "--engine", engine, "-o", run]
                seconds[engine] = command("train", store, *options)
                history = np.genfromtxt(run / "history.csv", delimiter=",", names=True)
                rates[engine] = float(np.median(history["windows_per_second"]))
            print(
                f"{network}, {n_filters} filters, {n_epochs} epochs: {seconds['kernels']:.0f} s by kernels, "
                f"{seconds['keras']:.0f} s by Keras, ratio {seconds['keras'] / seconds['tables']:.1f} "
                f"(baseline: at least {REQUIRED_TRAIN_RATIO}); steps alone {rates['tables']:,.0f} and "
                f"{rates['keras']:,.0f} windows/s, ratio {rates['tables'] / rates['keras']:.1f}",
                flush=True,
            )


def step_seconds(n_windows: int, n_filters: int, n_cell_types: int, *, n_rounds: int = 7) -> float:
    """Median seconds of a training step of the baseline network by k-mer kernels."""
    import keras
    import tensorflow as tf

    from chromacc_models.kmer_kernels.keras_model import accelerated
    from chromacc_models.networks.architectures import baseline, logits_model

    rng = np.random.default_rng(0)
    codes = tf.constant(rng.integers(0, 4, (n_windows, WINDOW_LENGTH), dtype=np.uint8))
    labels = tf.constant(rng.integers(0, 2, (n_windows, n_cell_types)).astype(np.float32))
    model = accelerated(
        logits_model(baseline(WINDOW_LENGTH, n_cell_types, n_filters=n_filters)), "kernels"
    ).model
    optimizer = keras.optimizers.RMSprop(1e-4)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(
                tf.nn.sigmoid_cross_entropy_with_logits(labels, model(codes, training=True))
            )
        optimizer.apply_gradients(
            zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
        )
        return loss

    step()
    times = []
    for _ in range(n_rounds):
        begin = time.perf_counter()
        step().numpy()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def print_scaling() -> None:
    """Growth of the time of a step, over the growth of each size."""
    base = {"n_windows": 512, "n_filters": 64, "n_cell_types": 8}
    reference = step_seconds(**base)
    for name, factors in (("n_windows", (2, 8)), ("n_filters", (2, 8)), ("n_cell_types", (4, 20))):
        for factor in factors:
            ratio = step_seconds(**{**base, name: base[name] * factor}) / reference
            print(
                f"{name} times {factor}: time times {ratio:.2f}, {ratio / factor:.2f} of linear", flush=True
            )


def print_memory(store: Path, n_filters: int) -> None:
    """Largest memory of the processes that train on a store for an epoch."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--network", "baseline", "--set", f"n_filters={n_filters}", "--set", "epochs=1"]
        seconds = command("train", store, *options, "--set", "batch_size=512", "-o", Path(folder) / "run")
        found = json.loads((Path(folder) / "run" / "run.json").read_text())
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / GIB
    print(
        f"{store.name}: {found['n_parameters']:,} parameters, {seconds:.0f} s, {largest:.2f} GiB (at most 4)"
    )


# Prediction.


@contextmanager
def timed(shares: dict[str, float], owner: Any, name: str, what: str) -> Iterator[None]:
    """Add up the time spent in a function while the block runs."""
    original: Callable = getattr(owner, name)

    def measured(*arguments: Any, **options: Any) -> Any:
        begin = time.perf_counter()
        try:
            return original(*arguments, **options)
        finally:
            shares[what] += time.perf_counter() - begin

    setattr(owner, name, measured)
    try:
        yield
    finally:
        setattr(owner, name, original)


def print_prediction(model: Path, fasta: Path, n_regions: int, suffixes: list[str]) -> None:
    """Regions per second, and the shares of loader, network and writer."""
    from chromacc_data.engine import Engine
    from chromacc_data.loader import BedLoader
    from chromacc_data.sequences.genome import Genome
    from chromacc_models.scoring import predict as predicting
    from chromacc_models.sharing.kipoi.model import KipoiModel

    genome = Genome.open(fasta)
    rng = np.random.default_rng(0)
    start = rng.integers(0, genome.lengths[0] - WINDOW_LENGTH, n_regions)
    with tempfile.TemporaryDirectory() as folder:
        regions = Path(folder) / "regions.bed"
        regions.write_text("".join(f"{genome.names[0]}\t{s}\t{s + WINDOW_LENGTH}\n" for s in start.tolist()))
        few = Path(folder) / "few.bed"
        few.write_text(f"{genome.names[0]}\t0\t{WINDOW_LENGTH}\n")
        predicting.predict(model, few, fasta, Path(folder) / "few.tsv")  # index, kernels, TensorFlow
        for suffix in suffixes:
            shares: dict[str, float] = defaultdict(float)
            begin = time.perf_counter()
            with (
                timed(shares, BedLoader, "__init__", "loader"),
                timed(shares, predicting, "read_intervals", "loader"),
                timed(shares, BedLoader, "codes", "loader"),
                timed(shares, KipoiModel, "predict_codes", "network"),
                timed(shares, predicting, "write_predictions", "writer"),
            ):
                predicting.predict(
                    model, regions, fasta, Path(folder) / f"out{suffix}", engine=Engine(workers=1)
                )
            seconds = time.perf_counter() - begin
            parts = ", ".join(f"{what} {part / seconds:.0%}" for what, part in shares.items())
            rest = 1 - sum(shares.values()) / seconds
            print(
                f"{n_regions:,} regions to {suffix}: {n_regions / seconds:,.0f} regions/s; {parts}, "
                f"rest {rest:.0%} (loader and writer: at most 33%)",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="what", required=True)
    training = commands.add_parser("train")
    training.add_argument("store", type=Path)
    training.add_argument("--epochs", type=int, default=3)
    training.add_argument("--filters", type=int, default=300)
    commands.add_parser("scaling")
    memory = commands.add_parser("memory")
    memory.add_argument("store", type=Path)
    memory.add_argument("--filters", type=int, default=64)
    prediction = commands.add_parser("predict")
    prediction.add_argument("model", type=Path)
    prediction.add_argument("fasta", type=Path)
    prediction.add_argument("--regions", type=int, default=1_000_000)
    prediction.add_argument("--formats", nargs="+", default=[".tsv", ".h5", ".parquet"])
    chosen = parser.parse_args()
    if chosen.what == "train":
        compare_trainings(chosen.store, chosen.epochs, chosen.filters)
    elif chosen.what == "scaling":
        print_scaling()
    elif chosen.what == "memory":
        print_memory(chosen.store, chosen.filters)
    else:
        print_prediction(chosen.model, chosen.fasta, chosen.regions, chosen.formats)


if __name__ == "__main__":
    main()
