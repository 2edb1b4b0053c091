"""What each choice in the k-mer kernels gives, all variants in one run.

    python tests/benchmarks/kernel_choices.py [--filters 20 300] [--batch 512] [--rounds 15]

Windows of 600 bp, filters of 20 bp, average pooling and ReLU unless said otherwise. Every ratio is of medians
over rounds that go through all ways in turn, by the clock that is named.

- taps in a table (k): larger tables mean fewer rows to add, until they leave the first-level cache;
- width of a tile: filters that are summed side by side, in vectors of the processor;
- silent places: the gradient skips places where no filter of a tile is active;
- kept tables: they are rebuilt only when the weights have changed;
- calls: overhead of one call on top of the kernels: in Python, and in TensorFlow;
- bfloat16: how far predictions would move if tables were kept in half the bytes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from chromacc_models.kmer_kernels.layout import Tile, widest_vector
from chromacc_models.kmer_kernels.scan import FrontEnd
from chromacc_models.kmer_kernels.vectors import Scan
from chromacc_models.kmer_kernels.workers import n_threads

WINDOW_LENGTH = 600
WIDTH = 20

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}

Call = Callable[[], object]


def medians(calls: dict[str, Call], n_rounds: int, clock: Callable[[], float]) -> dict[str, float]:
    """Median seconds of each call over rounds that make all of them in turn."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(n_rounds):
        for name, call in calls.items():
            begin = clock()
            call()
            times[name].append(clock() - begin)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def data(n_filters: int, batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes (window, position), kernel (tap, base, filter), gradients (window, filter)."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (batch, WINDOW_LENGTH), dtype=np.uint8)
    kernel = rng.normal(0, 0.1, (WIDTH, 4, n_filters)).astype(np.float32)
    return codes, kernel, rng.normal(0, 1, (batch, n_filters)).astype(np.float32)


def front_end(n_filters: int, *, group: int | None = None, lanes: int | None = None) -> FrontEnd:
    """A front end whose tables have `group` taps, and whose tiles `lanes` filters."""
    made = FrontEnd(WINDOW_LENGTH, n_filters, WIDTH)
    layout = made._layout
    if group is not None:
        layout.__dict__["group"] = group
    if lanes is not None:
        scan = Scan(lanes, layout.n_blocks, layout.step)
        layout.__dict__["tiles"] = [Tile(column, scan) for column in range(0, n_filters, lanes)]
    return made


def passes(made: FrontEnd, n_filters: int, batch: int) -> dict[str, Call]:
    """A forward pass, and a forward and backward pass, each with weights that have changed."""
    codes, kernel, gradients = data(n_filters, batch)

    def forward() -> object:
        kernel[0, 0, 0] += 1e-6
        return made.forward(codes, kernel)

    def both() -> object:
        return made.backward(codes, kernel, None, forward(), gradients)

    return {"forward": forward, "forward and backward": both}


def compare_layouts(
    title: str, ways: dict[str, FrontEnd], chosen: str, n_filters: int, options: argparse.Namespace
) -> None:
    """Print the time of each way over that of the chosen one."""
    calls = {
        f"{name}|{what}": call
        for name, made in ways.items()
        for what, call in passes(made, n_filters, options.batch).items()
    }
    seconds = medians(calls, options.rounds, CLOCKS[options.clock])
    for what in ("forward", "forward and backward"):
        base = seconds[f"{chosen}|{what}"]
        cells = "  ".join(f"{name} {seconds[f'{name}|{what}'] / base:.2f}" for name in ways)
        print(f"{title}, {n_filters} filters, {what}: {cells}  (time, {chosen} = 1)", flush=True)


def compare_silence(n_filters: int, options: argparse.Namespace) -> None:
    """Print what the backward pass takes by the share of active places, and without skipping any."""
    codes, kernel, gradients = data(n_filters, options.batch)
    made = FrontEnd(WINDOW_LENGTH, n_filters, WIDTH)
    spread = 0.1 * np.sqrt(WIDTH)  # of a scan at one place
    calls: dict[str, Call] = {}
    for share, deviations in (("50 %", 0.0), ("7 %", 1.5), ("0.6 %", 2.5), ("0.02 %", 3.5)):  # normal
        bias = np.full(n_filters, -deviations * spread, np.float32)
        pooled = made.forward(codes, kernel, bias)
        calls[share] = lambda b=bias, p=pooled: made.backward(codes, kernel, b, p, gradients)

    def by_tables(bias: np.ndarray) -> object:
        with made._workspaces.lent() as space:
            scanned = made._scanned(space, codes, kernel, bias)
            return made._dense_gradients(space, scanned, gradients, None)

    for share, deviations in (("50 %", 0.0), ("0.02 %", 3.5)):
        bias = np.full(n_filters, -deviations * spread, np.float32)
        calls[f"{share} by gradients of tables"] = lambda b=bias: by_tables(b)
    seconds = medians(calls, options.rounds, CLOCKS[options.clock])
    cells = "  ".join(f"{name} {value / seconds['50 %']:.2f}" for name, value in seconds.items())
    print(f"active places, {n_filters} filters, backward: {cells}  (time, 50 % = 1)", flush=True)


def compare_kept_tables(n_filters: int, options: argparse.Namespace) -> None:
    """Print the forward pass with new weights over that with the weights of the call before."""
    for batch in (32, 256):
        seconds = medians(_kept_and_new(n_filters, batch), options.rounds, CLOCKS[options.clock])
        ratio = seconds["new weights"] / seconds["kept tables"]
        print(f"kept tables, {n_filters} filters, batch {batch}: {ratio:.2f} times as fast", flush=True)


def _kept_and_new(n_filters: int, batch: int) -> dict[str, Call]:
    codes, kernel, _ = data(n_filters, batch)
    kept, new = FrontEnd(WINDOW_LENGTH, n_filters, WIDTH), FrontEnd(WINDOW_LENGTH, n_filters, WIDTH)
    changing = kernel.copy()

    def with_new_weights() -> object:
        changing[0, 0, 0] += 1e-6
        return new.forward(codes, changing)

    return {"kept tables": lambda: kept.forward(codes, kernel), "new weights": with_new_weights}


def show_calls(n_filters: int, options: argparse.Namespace) -> None:
    """Print milliseconds of the forward pass of a small batch, and of what stands around it."""
    import tensorflow as tf

    codes, kernel, _ = data(n_filters, 256)
    large = data(n_filters, 4096)[0]
    made = FrontEnd(WINDOW_LENGTH, n_filters, WIDTH)
    values = made.forward(codes, kernel).values
    inputs = tf.constant(codes), tf.constant(kernel)

    @tf.function
    def forward() -> tf.Tensor:
        return tf.numpy_function(lambda *arrays: made.forward(*arrays).values, inputs, tf.float32)

    @tf.function
    def nothing() -> tf.Tensor:
        return tf.numpy_function(lambda *_: values, inputs, tf.float32)

    calls: dict[str, Call] = {
        "called by TensorFlow": lambda: forward().numpy(),
        "called by itself": lambda: made.forward(codes, kernel),
        "kernels, by their rate in batches of 4096": lambda: made.forward(large, kernel),
        "TensorFlow's call of nothing": lambda: nothing().numpy(),
    }
    seconds = medians(calls, 20 * options.rounds, CLOCKS[options.clock])
    seconds["kernels, by their rate in batches of 4096"] *= len(codes) / len(large)
    cells = "  ".join(f"{name} {1000 * value:.2f}" for name, value in seconds.items())
    print(f"forward, {n_filters} filters, batch {len(codes)}, ms: {cells}", flush=True)


def show_bfloat16(n_filters: int, options: argparse.Namespace) -> None:
    """Print how far pooled values move when the weights are rounded to bfloat16, the best case for tables."""
    codes, kernel, _ = data(n_filters, options.batch)
    bits = kernel.view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)
    for pooling in ("average", "max"):
        made = FrontEnd(WINDOW_LENGTH, n_filters, WIDTH, pooling=pooling)
        exact, near = (made.forward(codes, weights).values for weights in (kernel, rounded))
        error = np.abs(near - exact).max() / np.abs(exact).max()
        print(
            f"bfloat16, {n_filters} filters, {pooling} pooling: off by up to {error:.1e} of the largest value"
        )


def main() -> None:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--filters", type=int, nargs="+", default=[20, 300])
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    options = parser.parse_args()
    print(f"{n_threads()} threads, vectors of {widest_vector()} numbers, {options.clock} clock")
    for n_filters in options.filters:
        own = front_end(n_filters)._layout
        groups = {f"k={k}": front_end(n_filters, group=k) for k in range(1, 6)}
        compare_layouts("taps in a table", groups, f"k={own.group}", n_filters, options)
        widest = widest_vector()
        widths = {f"{lanes}": front_end(n_filters, lanes=lanes) for lanes in (widest, 2 * widest, 4 * widest)}
        compare_layouts("width of a tile", widths, f"{widest}", n_filters, options)
        compare_silence(n_filters, options)
        compare_kept_tables(n_filters, options)
        show_calls(n_filters, options)
        show_bfloat16(n_filters, options)


if __name__ == "__main__":
    main()
