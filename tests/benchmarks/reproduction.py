"""How long `chromacc-models reproduce --all` takes on a machine that does nothing else.

    python tests/benchmarks/reproduction.py --folder /tmp/reproduction --sources FOLDER --database FILE.meme

Builds the stores, trains one run of each arm for a few epochs, measures it, and multiplies: the median epoch
by all epochs of `docs/reproduction` (whose own times are those of machines that did other things as well),
and the time to measure a run by the number of runs. Arms whose data are not in the folder given by --sources
are left out, and named.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import time
from pathlib import Path

from chromacc_data.build_store import build
from chromacc_data.motifs.files import read_motifs
from chromacc_models.experiments.arms import ARMS, Arm
from chromacc_models.experiments.measures import measure_runs
from chromacc_models.training.config import TrainConfig
from chromacc_models.training.train import train

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Print a line for each arm, and the sum."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="stores and runs; stores are kept")
    parser.add_argument("--sources", type=Path, help="files of recipes that do not ship theirs")
    parser.add_argument("--database", type=Path, help="known motifs")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--arm", action="append", help="some of the arms; all by default")
    options = parser.parse_args()
    known = None if options.database is None else read_motifs(options.database)
    sums = {"build": 0.0, "train": 0.0, "measure": 0.0}
    print(f"{'arm':35} runs epochs  s/epoch of recorded    min measure min")
    for name in options.arm or ARMS:
        arm = ARMS[name]
        if arm.is_real and options.sources is None:
            print(f"{name:35} left out: no --sources")
            continue
        began = time.perf_counter()
        store = options.folder / f"{arm.recipe}.zarr"
        if not store.exists():
            build(ROOT / "datasets" / arm.recipe / "recipe.yaml", store, sources_dir=options.sources)
            sums["build"] += time.perf_counter() - began
        run = train(store, config_of(arm, options.folder, options.epochs), run_folder(arm, options.folder))
        alone = float(run.history["seconds"].median())
        began = time.perf_counter()
        measure_runs([run], database=known if arm.is_real else None)
        measuring = (time.perf_counter() - began) * arm.n_runs
        recorded = json.loads((ROOT / "docs/reproduction" / f"{name.replace('/', '-')}.json").read_text())
        n_epochs = sum(of_run["epochs"] for of_run in recorded["runs"])
        seconds = sum(of_run["seconds"] for of_run in recorded["runs"])
        print(
            f"{name:35} {arm.n_runs:4} {n_epochs:6} {alone:8.2f} {alone * n_epochs / seconds:11.2f} "
            f"{alone * n_epochs / 60:6.1f} {measuring / 60:11.1f}",
            flush=True,
        )
        sums["train"] += alone * n_epochs
        sums["measure"] += measuring
    print(", ".join(f"{what} {seconds / 3600:.2f} h" for what, seconds in sums.items()))
    print(f"all {sum(sums.values()) / 3600:.2f} h")


def run_folder(arm: Arm, folder: Path) -> Path:
    """Folder of the run of an arm."""
    return folder / arm.name.replace("/", "-")


def config_of(arm: Arm, folder: Path, epochs: int) -> TrainConfig:
    """Options of the first run of an arm, for a few epochs, with the filters of another arm's run."""
    shutil.rmtree(run_folder(arm, folder), ignore_errors=True)
    config = arm.config(0, epochs=epochs)
    if arm.filters_of is None:
        return config
    filters = run_folder(ARMS[arm.filters_of], folder)
    return dataclasses.replace(config, initial_filters=str(filters), train_filters=False)


if __name__ == "__main__":
    main()
