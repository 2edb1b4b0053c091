"""The way of a recipe, a store, a run and a BED file through the modules: stays, modules, returns.

Each walk runs one public call on a small data set under ``sys.setprofile``. A walk is the sequence of the
modules whose functions are called, in the order of the calls, in the main thread, down to ``--depth``
functions below the public one (functions of libraries between two of ours do not count). Consecutive calls
into one module are one *stay*; a stay in a module that was visited before is a *return*, so that
stays = modules + returns. Stays that repeat the pair before them (A B A B A B, a loop) count once. Left out
are properties and constructors, which look at data and do no work, code that runs on import, and generated
code.

The module of a package is named by its path, so that the same script measures older trees:

    python tests/benchmarks/walks.py                # this checkout
    cd OLD && python NEW/tests/benchmarks/walks.py  # another one, from its root
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path.cwd()
sys.path.insert(0, str(ROOT))

#: Where the public calls stand, in this tree and in older ones.
BUILD = ("chromacc_data.build_store", "chromacc_data.build")
VERIFY = ("chromacc_data.verify_store", "chromacc_data.verify")
TRAIN = ("chromacc_models.training.train", "chromacc_models.train")
CONFIG = ("chromacc_models.training.config", "chromacc_models.config")
PREDICT = ("chromacc_models.scoring.predict", "chromacc_models.predict")


class Walk:
    """Records the modules that a call passes through."""

    def __init__(self, depth: int) -> None:
        self.depth, self.visits = depth, []
        self._names: dict[str, str | None] = {}
        self._stack: list[bool] = []

    def follow(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Result of a call, whose way is recorded."""
        assert threading.current_thread() is threading.main_thread()
        sys.setprofile(self._on_event)
        try:
            return function(*arguments, **options)
        finally:
            sys.setprofile(None)

    def _module(self, frame: FrameType) -> str | None:
        file = frame.f_code.co_filename
        if file not in self._names:
            path = Path(file)
            inside = path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0].startswith("chromacc_")
            self._names[file] = str(path.relative_to(ROOT).with_suffix("")) if inside else None
        return None if _is_access(frame) else self._names[file]

    def _on_event(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            module = self._module(frame)
            self._stack.append(module is not None)
            if module is not None and sum(self._stack) <= self.depth + 1:
                self._visit(module)
        elif event == "return" and self._stack:
            self._stack.pop()

    def _visit(self, module: str) -> None:
        if not self.visits or self.visits[-1] != module:
            self.visits.append(module)

    @property
    def stays(self) -> list[str]:
        """Modules in the order of the visits, loops once."""
        stays: list[str] = []
        for module in self.visits:
            stays.append(module)
            if len(stays) >= 4 and stays[-2:] == stays[-4:-2]:
                del stays[-2:]
        return stays


def main() -> None:
    """Run the walks and print their lengths."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="Names of walks.")
    parser.add_argument("--show", action="store_true", help="Print the modules, too.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, walk in walks(Path(folder)).items():
            if options.only and name not in options.only:
                continue
            function, arguments, settings = walk()
            way = Walk(options.depth)
            way.follow(function, *arguments, **settings)
            stays = way.stays
            n = len(set(stays))
            print(
                f"{name:<20} {len(stays):>3} stays in {n:>2} modules, {len(stays) - n:>2} returns", flush=True
            )
            if options.show:
                print("    " + " ".join(stays).replace("chromacc_", ""))


def _is_access(frame: FrameType) -> bool:
    """Whether a function is a module's body, a property or a special method."""
    *owners, name = frame.f_code.co_qualname.split(".")
    if name.startswith(("__", "<")):
        return True
    found: Any = frame.f_globals
    for part in [*owners, name]:
        found = found.get(part) if isinstance(found, dict) else vars(found).get(part) if found else None
        if found is not None and not isinstance(found, type):
            break
    return isinstance(found, property)


def walks(folder: Path) -> dict[str, Callable[[], tuple[Callable, tuple, dict]]]:
    """Each walk, by name: makes the call's function, its arguments and its options."""
    from tests.simulated import write_simulated_dataset
    from tests.small import RECIPE, write_small_dataset

    text = RECIPE.replace("split: {by: block, block_size: 500, validation: 0.2, test: 0.2, folds: 3}", "")
    real, simulated = (
        write_small_dataset(folder / "small", recipe=text),
        write_simulated_dataset(folder / "s"),
    )
    store, run = folder / "a.zarr", folder / "run"

    def on_store(candidates: tuple[str, ...], name: str, *arguments: object, **options: object) -> tuple:
        if not store.exists():
            _find(BUILD, "build")(real, store)
        return _find(candidates, name), arguments, options

    def on_run() -> tuple:
        if not run.exists():
            function, arguments, options = on_store(TRAIN, "train", store, _config(), run)
            function(*arguments, **options)
        out = folder / "predictions.tsv"
        return (
            _find(PREDICT, "predict"),
            (run, folder / "small/liver.bed", folder / "small/genome.fa", out),
            {},
        )

    return {
        "build": lambda: (_find(BUILD, "build"), (real, folder / "b.zarr"), {}),
        "build (simulated)": lambda: (_find(BUILD, "build"), (simulated, folder / "s.zarr"), {}),
        "verify": lambda: on_store(VERIFY, "verify", store),
        "train": lambda: on_store(TRAIN, "train", store, _config(), folder / "other"),
        "predict": on_run,
    }


def _config() -> Any:
    settings = {"network": "factorization_machine", "n_filters": 4, "kernel_width": 7, "max_epochs": 2}
    return _find(CONFIG, "TrainConfig")(**settings)


def _find(modules: tuple[str, ...], name: str) -> Any:
    for module in modules:
        try:
            return getattr(importlib.import_module(module), name)
        except (ModuleNotFoundError, AttributeError):
            continue
    raise SystemExit(f"{name} is in none of {', '.join(modules)}")


if __name__ == "__main__":
    main()
