"""How fast simulated windows are made: windows per second of each step, and of the whole build.

    python tests/benchmarks/simulate.py [datasets/additive-20/recipe.yaml ...] [--workers 2]

Steps are measured in one thread: `sequences` is background, sites and planting, `accidental` the search for
occurrences that were not planted, `reader` the chance of each set of sites given the sequence. `build` is the
whole command, into a folder that is removed again: it makes each sequence twice, once to score it and once to
write it. Compiled functions are called once before.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from chromacc_data.build_store import build
from chromacc_data.engine import Engine
from chromacc_data.recipe.recipe import load_recipe
from chromacc_data.simulation.occurrences import Patterns, count_accidental
from chromacc_data.simulation.plan import BLOCK, SimulationSource
from chromacc_data.simulation.posterior import enumerate_configurations
from chromacc_data.sources.inputs import resolve_inputs

ROOT = Path(__file__).resolve().parents[2]


def seconds(call: Callable[[], object]) -> float:
    """Time that a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def measure(recipe_path: Path, engine: Engine, n_blocks: int) -> dict[str, float]:
    """Windows per second by step."""
    recipe = load_recipe(recipe_path)
    inputs = resolve_inputs(recipe, sources_dir=None, cache_dir=None, engine=engine)
    with tempfile.TemporaryDirectory() as folder:
        source = SimulationSource(recipe, inputs, Path(folder))
        simulator = source.simulator
        # Compiles everything, and draws the places of windows from a genome.
        source.plan(Path(folder), engine=engine)
        patterns = Patterns.of(simulator.pool, simulator.sites)
        made = simulator.block(0)
        n = n_blocks * BLOCK
        begun = seconds(lambda: [simulator.block(i) for i in range(n_blocks)])
        counted = seconds(
            lambda: [count_accidental(made.codes, made.sites, patterns) for _ in range(n_blocks)]
        )
        known = (simulator.pool, simulator.sites, simulator.background.frequencies)
        read = seconds(lambda: [enumerate_configurations(made.codes, *known) for _ in range(n_blocks)])
        whole = seconds(lambda: build(recipe_path, Path(folder) / "a.zarr", engine=engine))
    rates = {"sequences": n / begun, "accidental": n / counted, "reader": n / read}
    return rates | {"build": simulator.n_windows / whole}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipes", type=Path, nargs="*", default=[ROOT / "datasets/additive-20/recipe.yaml"])
    parser.add_argument("--workers", type=int, help="local workers; the number of cores when not given")
    parser.add_argument("--blocks", type=int, default=20, help=f"blocks of {BLOCK} windows for each step")
    arguments = parser.parse_args()
    for path in arguments.recipes:
        recipe = load_recipe(path)
        print(f"{recipe.name}: {recipe.simulation.n_windows:,} windows of {recipe.windows.length} bp")
        for step, rate in measure(path, Engine(workers=arguments.workers), arguments.blocks).items():
            print(f"  {step:<12} {rate:>12,.0f} windows/s")


if __name__ == "__main__":
    main()
