"""The store on disk and on the way to a network: bytes per base, and shuffled windows per second.

    python tests/benchmarks/store.py STORE.zarr

Writes the store as HDF5 next to it for the comparison and removes it afterwards. Windows per second of
shuffled batches, once streamed from disk and once kept in memory as base codes, against h5py reading one
window at a time in random order, all in one run; the median of several.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from chromacc_data.engine import Engine
from chromacc_data.store import schema
from chromacc_data.store.batches import Batches
from chromacc_data.store.read import open_store
from chromacc_data.store.write import convert


def bytes_per_base(path: Path, n_bases: int) -> float:
    """Size of all files of a store, whatever it holds besides bases, divided by its bases."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / n_bases


def windows_per_second(read: Callable[[], int], repeats: int) -> float:
    """Median over repeats of the windows that `read` reads, per second."""
    rates = []
    for _ in range(repeats):
        began = time.perf_counter()
        n = read()
        rates.append(n / (time.perf_counter() - began))
    return statistics.median(rates)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", type=int, default=500, help="rows that h5py reads")
    arguments = parser.parse_args()
    ds = open_store(arguments.store)
    n_windows, length = ds.sizes[schema.WINDOW], ds.sizes[schema.POSITION]
    n_bases = n_windows * length

    with tempfile.TemporaryDirectory(dir=arguments.store.parent) as folder:
        hdf5 = Path(folder) / "store.h5"
        convert(arguments.store, hdf5, engine=Engine())
        print(f"{n_windows:,} windows of {length} bp, {ds.sizes[schema.CELL_TYPE]} cell types")
        print(f"Zarr {bytes_per_base(arguments.store, n_bases):.4f} bytes per base")
        print(f"HDF5 {bytes_per_base(hdf5, n_bases):.4f} bytes per base")
        rows = np.random.default_rng(0).permutation(n_windows)[: arguments.rows]

        def by_row() -> int:
            with h5py.File(hdf5) as file:
                for row in rows:
                    file["sequence"][row], file["accessibility"][row]
            return len(rows)

        def drain(batches: Batches, epoch: int = 0) -> int:
            return sum(len(batch.codes) for batch in batches.epoch(epoch))

        everything = np.arange(n_windows)
        streamed = Batches(
            arguments.store, indices=everything, batch_size=256, memory_limit=0, buffer_windows=8192
        )
        in_memory = Batches(arguments.store, indices=everything, batch_size=256)
        base = windows_per_second(by_row, arguments.repeats)
        print(f"h5py, row by row      {base:>12,.0f} windows/s")
        for name, batches in (("streamed, shuffled", streamed), ("in memory, shuffled", in_memory)):
            rate = windows_per_second(lambda batches=batches: drain(batches), arguments.repeats)
            print(f"{name:<21} {rate:>12,.0f} windows/s   {rate / base:,.0f} times")


if __name__ == "__main__":
    main()
