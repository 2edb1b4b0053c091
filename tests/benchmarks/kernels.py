"""How fast the k-mer kernels are, compared with Keras and PyTorch in one run and with the machine's limit.

    python tests/benchmarks/kernels.py [--filters 20 64 300] [--batch 256 2048] [--json kernels.json]

Each line is a network of 600 bp windows, filters of 20 bp and six cell types: its forward pass or training
step (binary cross-entropy, RMSprop), computed by

- kernels: our kernels under the Keras model (`--backend kernels`);
- keras, xla: the same model as Keras computes it, as a TensorFlow graph and compiled by XLA;
- torch: PyTorch's conv1d with the same shapes, where it is installed.

The motif building network is compared with its dense form, a convolution over 4**n channels, as well. Rounds
go through all engines in turn; rates are medians over rounds, and the ratio is to the fastest other engine.
On a machine that others use too, `--clock cpu` takes the processor time of all threads, over the number of
threads, instead of the time that has passed.

The limit is the time in which the table rows could be read from the cache that holds them, or added, at the
rates measured in the same run for plain loops over such vectors. It counts the front end alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numba
import numpy as np
import tensorflow as tf

from chromacc_models.kmer_kernels.keras_model import Accelerated, accelerated
from chromacc_models.kmer_kernels.scan import FrontEnd
from chromacc_models.kmer_kernels.vectors import Scan, constants, load, splat, store
from chromacc_models.kmer_kernels.workers import n_threads
from chromacc_models.networks.architectures import baseline, logits_model, motif_builder
from chromacc_models.networks.layers import GlobalPooling, KmerBlocks, OneHot

WINDOW_LENGTH = 600
WIDTH = 20
BLOCK_LENGTH = 4
N_CELL_TYPES = 6
FIRST_CACHE_BYTES = 32 * 1024

# Threads of other engines wait actively for a while after their work.
_PAUSE = 0.05

Call = Callable[[], None]


def wall_seconds(call: Call, n_threads: int) -> float:
    """Time that a call takes."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def cpu_seconds(call: Call, n_threads: int) -> float:
    """Time that a call would take if its threads had shared its processor time evenly."""
    begin = time.process_time()
    call()
    return (time.process_time() - begin) / n_threads


CLOCKS = {"wall": wall_seconds, "cpu": cpu_seconds}


class Setting(NamedTuple):
    """How all is timed."""

    n_rounds: int
    n_threads: int
    clock: Callable[[Call, int], float]


class Line(NamedTuple):
    """One comparison: windows per second by engine."""

    what: str
    n_filters: int
    batch: int
    rates: dict[str, float]
    #: Time at the machine's limit over our time, front end only; none for training.
    of_limit: float | None

    @property
    def ratio(self) -> float:
        return self.rates["kernels"] / max(rate for engine, rate in self.rates.items() if engine != "kernels")


# The machine.


@numba.njit(nogil=True)
def _read(scan: Scan, array: np.ndarray, n_rounds: int) -> None:
    lanes, _, _ = constants(scan)
    a = b = c = d = e = f = g = h = splat(scan, 0)
    for _ in range(n_rounds):
        for at in range(0, array.size, 8 * lanes):
            a += load(scan, array, at)
            b += load(scan, array, at + lanes)
            c += load(scan, array, at + 2 * lanes)
            d += load(scan, array, at + 3 * lanes)
            e += load(scan, array, at + 4 * lanes)
            f += load(scan, array, at + 5 * lanes)
            g += load(scan, array, at + 6 * lanes)
            h += load(scan, array, at + 7 * lanes)
    store(array, 0, a + b + c + d + e + f + g + h)


@numba.njit(nogil=True)
def _add(scan: Scan, array: np.ndarray, n_rounds: int) -> None:
    x = load(scan, array, 0)
    a = b = c = d = e = f = g = h = splat(scan, 0)
    for _ in range(n_rounds):
        a += x
        b += x
        c += x
        d += x
        e += x
        f += x
        g += x
        h += x
    store(array, 0, a + b + c + d + e + f + g + h)


class Machine(NamedTuple):
    """What one core can do: bytes per second from each cache, float32 additions per second."""

    first_cache: float
    second_cache: float
    additions: float

    @classmethod
    def measured(cls) -> Machine:
        scan = Scan(16, 1, 1)

        def rate(kernel: Callable, n_bytes: int, n_rounds: int, work: float) -> float:
            raw = np.zeros(n_bytes // 4 + 16, np.float32)
            array = raw[-raw.ctypes.data % 64 // 4 :][: n_bytes // 4]
            kernel(scan, array, 1)
            return work / min(cpu_seconds(lambda: kernel(scan, array, n_rounds), 1) for _ in range(7))

        small, large, rounds = 24 * 1024, 256 * 1024, 2000
        return cls(
            rate(_read, small, rounds, small * rounds),
            rate(_read, large, rounds // 4, large * rounds // 4),
            rate(_add, small, 100 * rounds, 8 * 16 * 100 * rounds),
        )

    def seconds(self, front_end: FrontEnd, n_windows: int, n_threads: int) -> float:
        """Least time of a forward pass on so many cores."""
        seconds, layout = 0.0, front_end._layout
        n_rows = n_windows * (front_end.n_places + (layout.n_blocks - 1) * layout.step)
        for _, scan in layout.tiles:
            row_bytes = layout.n_blocks * scan.lanes * 4
            small = layout.n_letters**layout.group * row_bytes <= FIRST_CACHE_BYTES
            seconds += n_rows * max(
                row_bytes / (self.first_cache if small else self.second_cache),
                # One more addition per place for the pool.
                (layout.n_blocks + 1) * scan.lanes / self.additions,
            )
        return seconds / n_threads


# What is timed.


def tables_and_keras(model: keras.Model, codes: np.ndarray, labels: np.ndarray) -> dict[str, dict[str, Call]]:
    """Calls of the forward pass and of the training step by engine."""
    logits = logits_model(model)
    engines = {
        "kernels": (accelerated(logits, "kernels"), False),
        "keras": (accelerated(logits, "keras"), False),
        "xla": (accelerated(logits, "keras"), True),
    }
    return {name: _keras_calls(*engine, codes, labels) for name, engine in engines.items()}


def dense_motif_builder(n_filters: int) -> keras.Model:
    """The motif building network as the thesis has it: a dilated convolution over 4**n channels."""
    sequence = keras.Input((WINDOW_LENGTH, 4))
    blocks = KmerBlocks(BLOCK_LENGTH)(sequence)
    channels = keras.layers.Lambda(
        lambda x: tf.one_hot(x, 4**BLOCK_LENGTH),
        output_shape=(WINDOW_LENGTH - BLOCK_LENGTH + 1, 4**BLOCK_LENGTH),
    )(blocks)
    scans = keras.layers.Conv1D(n_filters, WIDTH // BLOCK_LENGTH, dilation_rate=BLOCK_LENGTH)(channels)
    pooled = GlobalPooling("max")(keras.layers.Activation("relu")(scans))
    return keras.Model(sequence, keras.layers.Dense(N_CELL_TYPES)(pooled))


def _keras_calls(chosen: Accelerated, jit: bool, codes: np.ndarray, labels: np.ndarray) -> dict[str, Call]:
    model, optimizer = chosen.model, keras.optimizers.RMSprop(1e-4)
    optimizer.build(model.trainable_variables)
    codes, labels = tf.constant(codes), tf.constant(labels)

    @tf.function(jit_compile=jit)
    def forward() -> tf.Tensor:
        return model(codes, training=False)

    @tf.function(jit_compile=jit)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, model(codes, training=True))
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    return {"forward": lambda: forward().numpy(), "training": lambda: step().numpy()}


def torch_calls(n_filters: int, codes: np.ndarray, labels: np.ndarray, n_threads: int) -> dict[str, Call]:
    """The baseline network in PyTorch; empty where it is not installed."""
    try:
        import torch
    except ImportError:
        return {}
    torch.set_num_threads(n_threads)
    filters = torch.nn.Conv1d(4, n_filters, WIDTH)
    head = torch.nn.Linear(n_filters, N_CELL_TYPES)
    optimizer = torch.optim.RMSprop([*filters.parameters(), *head.parameters()], 1e-4)
    loss_of = torch.nn.BCEWithLogitsLoss()
    codes, labels = torch.from_numpy(codes.astype(np.int64)), torch.from_numpy(labels)

    def network() -> torch.Tensor:
        one_hot = torch.nn.functional.one_hot(codes, 4).to(torch.float32).transpose(1, 2)
        return head(torch.relu(filters(one_hot)).mean(dim=2) * 20)

    def forward() -> None:
        with torch.inference_mode():
            network()

    def step() -> None:
        optimizer.zero_grad()
        loss_of(network(), labels).backward()
        optimizer.step()

    return {"forward": forward, "training": step}


# Running.


def compare(
    what: str,
    engines: dict[str, Call],
    n_filters: int,
    batch: int,
    setting: Setting,
    limit: float | None = None,
) -> Line:
    """Median rates over rounds that go through all engines in turn."""
    times: dict[str, list[float]] = {name: [] for name in engines}
    for call in engines.values():
        call()
    for _ in range(setting.n_rounds):
        for name, call in engines.items():
            time.sleep(_PAUSE)
            call()  # the caches are its own
            times[name].append(setting.clock(call, setting.n_threads))
    rates = {name: batch / statistics.median(seconds) for name, seconds in times.items()}
    return Line(what, n_filters, batch, rates, None if limit is None else limit * rates["kernels"] / batch)


def _data(batch: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (batch, WINDOW_LENGTH), dtype=np.uint8)
    return codes, rng.integers(0, 2, (batch, N_CELL_TYPES)).astype(np.float32)


def baseline_lines(
    n_filters: int, batch: int, setting: Setting, machine: Machine, strands: str
) -> list[Line]:
    codes, labels = _data(batch)
    model = baseline(WINDOW_LENGTH, N_CELL_TYPES, n_filters=n_filters, filter_width=WIDTH, strands=strands)
    calls = tables_and_keras(model, codes, labels)
    if strands == "forward" and (found := torch_calls(n_filters, codes, labels, setting.n_threads)):
        calls["torch"] = found
    front_end = FrontEnd(WINDOW_LENGTH, n_filters, WIDTH, strands=strands)
    lines = []
    for what, limit in (
        ("forward", machine.seconds(front_end, batch, setting.n_threads)),
        ("training", None),
    ):
        engines = {name: by_what[what] for name, by_what in calls.items()}
        lines.append(compare(f"baseline, {what}", engines, n_filters, batch, setting, limit))
    return lines


def motif_builder_lines(n_filters: int, batch: int, setting: Setting) -> list[Line]:
    codes, labels = _data(batch)
    options = {"n_filters": n_filters, "block_length": BLOCK_LENGTH, "filter_blocks": WIDTH // BLOCK_LENGTH}
    model = motif_builder(WINDOW_LENGTH, N_CELL_TYPES, strands="forward", **options)
    calls = tables_and_keras(model, codes, labels)
    dense = Accelerated(keras.Sequential([OneHot(), dense_motif_builder(n_filters)]), "keras", "")
    calls["dense"] = _keras_calls(dense, False, codes, labels)
    return [
        compare(
            f"motif builder, {what}",
            {name: by_what[what] for name, by_what in calls.items()},
            n_filters,
            batch,
            setting,
        )
        for what in ("forward", "training")
    ]


def report(line: Line) -> str:
    """A line of the table that is printed."""
    rates = "  ".join(f"{engine} {rate:10,.0f}" for engine, rate in line.rates.items())
    limit = "" if line.of_limit is None else f"  {line.of_limit:4.0%} of the limit"
    what = f"{line.what:24} {line.n_filters:4} filters, batch {line.batch:5}"
    return f"{what}: {rates}  ratio {line.ratio:5.1f}{limit}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--filters", type=int, nargs="*", default=[20, 64, 300])
    parser.add_argument("--batch", type=int, nargs="+", default=[256, 2048])
    parser.add_argument("--strands", choices=("forward", "both"), default="forward")
    parser.add_argument(
        "--motif-builder-filters", type=int, nargs="*", default=[300], help="and none for no such lines"
    )
    parser.add_argument("--motif-builder-batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--json", type=Path, help="write the lines to this file")
    options = parser.parse_args()

    setting = Setting(options.rounds, n_threads(), CLOCKS[options.clock])
    tf.config.threading.set_intra_op_parallelism_threads(setting.n_threads)
    machine = Machine.measured()
    first, second, additions = (rate / 1e9 for rate in machine)
    print(f"{os.cpu_count()} cores, {setting.n_threads} threads. A core reads {first:.0f} GB/s from its")
    print(f"first cache, {second:.0f} from its second, and adds {additions:.0f} G numbers/s.")
    print(f"Windows per second by the {options.clock} clock:")
    lines: list[Line] = []
    for batch in options.batch:
        for n_filters in options.filters:
            lines += baseline_lines(n_filters, batch, setting, machine, options.strands)
            print(*map(report, lines[-2:]), sep="\n", flush=True)
    for n_filters in options.motif_builder_filters:
        lines += motif_builder_lines(n_filters, options.motif_builder_batch, setting)
        print(*map(report, lines[-2:]), sep="\n", flush=True)
    if options.json:
        options.json.write_text(json.dumps([{**line._asdict(), "ratio": line.ratio} for line in lines]))


if __name__ == "__main__":
    main()
