"""Make experiments again: stores, runs, measures and page; killed, the same call goes on where it was."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from chromacc_data import schema
from chromacc_data.build import build
from chromacc_data.console import LOG
from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.files import write_text_atomically
from chromacc_data.motif_files import read_motifs
from chromacc_data.store import open_store
from chromacc_models.config import TrainConfig
from chromacc_models.cross_validation import train_runs
from chromacc_models.experiments import page
from chromacc_models.experiments.catalogue import ARMS, EXPERIMENTS, Arm, Experiment, arms_of
from chromacc_models.experiments.measures import measure_runs, values_of

__all__ = ["Reproduction", "chosen_experiments", "reproduce"]

#: What `quick` makes of an arm: enough to go through all the code, not to learn anything.
_QUICK_WINDOWS = 1500
_QUICK_RUNS = 2
_QUICK_OPTIONS = {"epochs": 2, "batch_size": 256}
_QUICK_FILTERS = 6
_QUICK_REAL_RECIPE = "hg19-dnase-6"


@dataclass(frozen=True)
class Reproduction:
    """What was made: measures by arm, the experiments not made and why, and the page."""

    measures: Mapping[str, Mapping[str, Any]]
    left_out: Mapping[str, str]
    page: Path

    def report(self) -> tuple[dict[str, Any], str]:
        """The result for programs and for people."""
        value = {"measures": self.measures, "left_out": self.left_out, "page": self.page}
        lines = [f"{name}: not made, {why}" for name, why in self.left_out.items()]
        return value, "\n".join([*lines, f"the page is {self.page}; pictures and measures are beside it"])


def chosen_experiments(names: Sequence[str]) -> tuple[Experiment, ...]:
    """Experiments by name, in the order of the thesis; all when none is named.

    >>> [experiment.name for experiment in chosen_experiments(["5.3", "5.1.1"])]
    ['5.1.1', '5.3']

    Raises
    ------
    InputError
        If there is none of a name.
    """
    known = [experiment.name for experiment in EXPERIMENTS]
    for name in names:
        if name not in known:
            raise InputError("no such experiment", found=name, expected=", ".join(known))
    return tuple(e for e in EXPERIMENTS if not names or e.name in names)


def reproduce(
    names: Sequence[str],
    out: Path | str,
    *,
    datasets: Path | str = "datasets",
    sources: Path | str | None = None,
    database: Path | str | None = None,
    report: Path | str | None = None,
    quick: bool = False,
    workers: Engine | None = None,
    progress: bool = False,
) -> Reproduction:
    """Train, measure and write down experiments of the thesis.

    An arm whose measures stand beside the page, made of the same recipe and options, is not made again, on
    any machine; a store or a run in `out` is used again, and one that was begun goes on.

    Parameters
    ----------
    names
        Experiments such as ``5.1.1``; all when empty.
    out
        Folder of stores (`stores/`) and runs (`runs/ARM/`).
    datasets
        Folder of the recipes.
    sources
        Folder with the files of recipes that do not ship theirs; arms of such recipes are left out without.
    database
        File of known motifs, for filters of real data; they are not matched without.
    report
        Folder of `reproduction.md`, and of `reproduction/` with measures and pictures; `out` when None.
    quick
        Small sets, few filters and epochs, in `out/quick`: whether all works, in minutes. No figure of it
        means anything.
    workers
        Where runs are trained side by side; one after the other when None.
    progress
        Show bars.

    Raises
    ------
    InputError
        If there is no such experiment or recipe, or as for :func:`~chromacc_data.build.build` and
        :func:`~chromacc_models.train.train`.
    """
    experiments = chosen_experiments(names)
    out = Path(out) / "quick" if quick else Path(out)
    folder = Path(report or out)
    work = _Work(
        out=out,
        measures=folder / "reproduction",
        datasets=Path(datasets),
        sources=None if sources is None else Path(sources),
        database=None if database is None else Path(database),
        quick=quick,
        workers=workers,
        progress=progress,
    )
    made: dict[str, Mapping[str, Any]] = {}
    left_out: dict[str, str] = {}
    for arm in _in_order(arms_of(experiments)):
        why_not = work.why_not(arm)
        if why_not:
            left_out[arm.name] = why_not
            LOG.info("%s: left out, %s", arm.name, why_not)
        else:
            made[arm.name] = work.make(arm)
    if not names:
        command = "chromacc-models reproduce --all"
    else:
        command = f"chromacc-models reproduce {' '.join(e.name for e in experiments)}"
    path = page.write(
        folder / "reproduction.md",
        experiments,
        made,
        left_out,
        command=command + (" --quick" if quick else ""),
    )
    return Reproduction(made, left_out, path)


@dataclass(frozen=True)
class _Work:
    """Where everything is, and how it is made."""

    out: Path
    measures: Path
    datasets: Path
    sources: Path | None
    database: Path | None
    quick: bool
    workers: Engine | None
    progress: bool

    def why_not(self, arm: Arm) -> str | None:
        """Why an arm cannot be made here, None if it can."""
        if arm.needs_sources and self.sources is None and not self.quick:
            return f"the files of {arm.recipe} are not in the repository; give their folder by --sources"
        return None

    def make(self, arm: Arm) -> Mapping[str, Any]:
        """Measures of an arm, from the file beside the page if they are of this recipe and these options."""
        store = self._store(arm)
        configs = [self._config(arm, run) for run in range(self._n_runs(arm))]
        inputs = [str(open_store(store).attrs[schema.ATTR_CONTENT_HASH]), self._database(arm)]
        if arm.filters_of is not None:
            inputs.append(self.make(ARMS[arm.filters_of])["made_of"])
        made_of = _digest(inputs, configs)
        path = self.measures / f"{arm.name.replace('/', '-')}.json"
        if path.exists():
            known = json.loads(path.read_text())
            if known["made_of"] == made_of:
                LOG.info("%s: measured before", arm.name)
                return known
        LOG.info("%s: %d runs of %s on %s", arm.name, len(configs), configs[0].network, arm.recipe)
        if arm.filters_of is not None:
            filters = str(self._best_filters(ARMS[arm.filters_of]))
            configs = [dataclasses.replace(c, initial_filters=filters, train_filters=False) for c in configs]
        folders = [self._run_folder(arm, run) for run in range(len(configs))]
        runs = train_runs(store, configs, folders, progress=self.progress, workers=self.workers)
        motifs = None if self.database is None or not arm.needs_sources else read_motifs(self.database)
        measured = {
            "arm": arm.name,
            "made_of": made_of,
            "recipe": arm.recipe,
            "options": {**arm.options, **({"filters_of": arm.filters_of} if arm.filters_of else {})},
            **measure_runs(runs, database=motifs),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(path, json.dumps(measured, allow_nan=False, separators=(",", ":")) + "\n")
        return measured

    def _store(self, arm: Arm) -> Path:
        recipe = self.datasets / arm.recipe / "recipe.yaml"
        if self.quick:
            recipe = self._small_recipe(arm)
        store = self.out / "stores" / f"{recipe.parent.name}.zarr"
        store.parent.mkdir(parents=True, exist_ok=True)
        return build(recipe, store, sources_dir=self.sources, show_progress=self.progress).path

    def _small_recipe(self, arm: Arm) -> Path:
        """A recipe of few windows, with the files of the whole one."""
        if arm.needs_sources:
            return self.datasets / _QUICK_REAL_RECIPE / "recipe.yaml"
        folder = (self.datasets / arm.recipe).absolute()
        values = yaml.safe_load((folder / "recipe.yaml").read_text())
        values["simulation"]["n_windows"] = _QUICK_WINDOWS
        values["split"] |= {"validation": 0.15, "test": 0.15}
        for file in values["simulation"]["motifs"].get("files", ()):
            file["file"] = str((folder / file["file"]).resolve())
        small = self.out / "recipes" / arm.recipe / "recipe.yaml"
        small.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(small, yaml.safe_dump(values, sort_keys=False))
        return small

    def _n_runs(self, arm: Arm) -> int:
        return min(arm.n_runs, _QUICK_RUNS) if self.quick else arm.n_runs

    def _config(self, arm: Arm, run: int) -> TrainConfig:
        if not self.quick:
            return arm.config(run)
        return arm.config(run, **_QUICK_OPTIONS, n_filters=min(arm.options["n_filters"], _QUICK_FILTERS))

    def _database(self, arm: Arm) -> str:
        if self.database is None or not arm.needs_sources:
            return ""
        return hashlib.sha256(self.database.read_bytes()).hexdigest()

    def _run_folder(self, arm: Arm, run: int) -> Path:
        return self.out / "runs" / arm.name / arm.run_name(run)

    def _best_filters(self, arm: Arm) -> Path:
        """Run folder of an arm with the most single-motif filters; the runs are made if they are gone."""
        found = values_of(self.make(arm), "filters.single")
        best = int(found.argmax())
        folder = self._run_folder(arm, best)
        return train_runs(self._store(arm), [self._config(arm, best)], [folder], progress=self.progress)[
            0
        ].folder


def _in_order(arms: Iterable[Arm]) -> list[Arm]:
    """Arms once each, those that filters are taken of before those that take them."""
    ordered: dict[str, Arm] = {}
    for arm in arms:
        if arm.filters_of is not None:
            ordered.setdefault(arm.filters_of, ARMS[arm.filters_of])
        ordered.setdefault(arm.name, arm)
    return list(ordered.values())


def _digest(inputs: Sequence[str], configs: Sequence[TrainConfig]) -> str:
    text = "\n".join([*inputs, *(config.to_yaml() for config in configs)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
