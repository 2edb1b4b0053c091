"""Reproduce experiments: stores, runs, measures and page. Safe to interrupt: the same call resumes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from chromacc_data.build_store import build
from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.files import file_digest, write_text_atomically
from chromacc_data.motifs.files import read_motifs
from chromacc_data.motifs.motif import Motif
from chromacc_data.progress import LOG
from chromacc_data.recipe.recipe import load_recipe
from chromacc_data.store import schema
from chromacc_data.store.read import open_store
from chromacc_data.typed_values import MAX_JSON, parse_json, read_text
from chromacc_models.evaluation.cross_validation import train_runs
from chromacc_models.experiments import measures, page
from chromacc_models.experiments.arms import ARMS, Arm
from chromacc_models.experiments.catalogue import EXPERIMENTS, arms_of
from chromacc_models.experiments.claims import Experiment
from chromacc_models.training.config import TrainConfig
from chromacc_models.training.run import lock_folder

__all__ = ["Reproduction", "chosen_experiments", "reproduce"]

#: What `quick` makes of an arm: enough to go through the code, not to learn anything.
_QUICK_WINDOWS = 900
_QUICK_RUNS = 2
_QUICK_OPTIONS = {"epochs": 1, "batch_size": 256}
_QUICK_FILTERS = 6
_QUICK_REAL_RECIPE = "hg19-dnase-6"


@dataclass(frozen=True)
class Reproduction:
    """What was made: measures by arm, the arms not made and why, and the page."""

    measures: Mapping[str, Mapping[str, Any]]
    left_out: Mapping[str, str]
    page: Path

    def report(self) -> tuple[dict[str, Any], str]:
        """The result for programs and for people."""
        value = {"measures": self.measures, "left_out": self.left_out, "page": self.page}
        lines = [f"{name}: not made, {why}" for name, why in self.left_out.items()]
        return value, "\n".join(
            [*lines, f"the page is {self.page}; pictures and measures are in {self.page.with_suffix('')}"]
        )


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
    again: bool = False,
    workers: Engine | None = None,
    progress: bool = False,
) -> Reproduction:
    """Train and measure the experiments of the thesis, and write the page.

    An arm is skipped if its measures, of the same recipe and options, are in the page's folder, even if
    another machine made them. Stores and runs in `out` are used again, unfinished ones are resumed. The page
    holds every experiment that has measures, also those that another process made in the meantime. An arm
    that cannot be made is left out with the reason, or keeps its earlier measures, and the others are made.

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
        File of known motifs to match filters of real data with; without it they are not matched.
    report
        Folder of `reproduction.md`, and of `reproduction/` with measures and pictures; `out` when None.
    quick
        Use small sets, few filters and few epochs, in folders `quick` of `out` and `report`, to test the
        setup in minutes. The figures mean nothing.
    again
        Recompute measures; keep trained runs.
    workers
        Where runs are trained in parallel; one after the other when None.
    progress
        Show bars.

    Raises
    ------
    InputError
        If there is no such experiment or folder, the database cannot be read, or another process works in
        `out`.
    """
    experiments = chosen_experiments(names)
    out, folder = Path(out), Path(report or out)
    if quick:
        out, folder = out / "quick", folder / "quick"
    for path, option, what in (
        (datasets, "--datasets", "the folder of recipes, `datasets` of a clone of the repository"),
        (sources, "--sources", "the folder with the files of real data"),
    ):
        if path is not None and not Path(path).is_dir():
            raise InputError("no such folder", where=option, found=path, remedy=f"name {what}")
    known_motifs = None if database is None else _Database.read(Path(database))
    with lock_folder(out):
        work = _Work(
            out=out,
            folder=folder / "reproduction",
            datasets=Path(datasets),
            sources=None if sources is None else Path(sources),
            database=known_motifs,
            quick=quick,
            again=again,
            workers=workers,
            progress=progress,
        )
        work.all_found()  # damaged files are found now, not after hours
        left_out: dict[str, str] = {}
        for experiment in experiments:
            before = set(work.measured)
            _make(work, experiment, left_out)
            found = work.all_found()
            shown = [e for e in EXPERIMENTS if any(arm.name in found for arm in arms_of([e]))]
            for other in shown:
                _miss_databases(other, found, left_out)
            # Experiments share arms.
            new = work.measured - before
            changed = [e.name for e in shown if any(arm.name in new for arm in arms_of([e]))]
            path = page.write(
                folder / "reproduction.md",
                shown,
                found,
                left_out,
                quick=quick,
                redraw={experiment.name, *changed},
            )
    return Reproduction(found, left_out, path)


def _make(work: _Work, experiment: Experiment, left_out: dict[str, str]) -> None:
    """Make the arms of an experiment, or say why not in `left_out`."""
    for arm in _in_order(arms_of([experiment])):
        if arm.name in left_out:
            continue
        try:
            work.make(arm)
        except InputError as error:
            LOG.warning("%s: left out: %s", arm.name, error)
            why = str(error)
        # Whatever it was, hours of other arms lie before it.
        except Exception as error:
            LOG.exception("%s: left out", arm.name)
            why = f"{type(error).__name__}: {error}"
        else:
            continue
        before = "its earlier measures are kept; " if work.found(arm, any_database=True) else ""
        left_out[arm.name] = before + "; ".join(" ".join(line.split()) for line in why.splitlines())


def _miss_databases(
    experiment: Experiment, found: Mapping[str, Mapping[str, Any]], left_out: dict[str, str]
) -> None:
    """Say in `left_out` if filters of an experiment were not matched with known motifs."""
    values = [v for claim in experiment.claims for v in (claim.thesis, claim.improved) if v is not None]
    searched = [found.get(v.arm) for v in values if v.measure.startswith("database.")]
    if any(measured is not None and measured["database"] is None for measured in searched):
        left_out[f"{experiment.name}, known motifs"] = "there is nothing to match with: give --database"


@dataclass(frozen=True)
class _Database:
    """Known motifs, and what the page says of them."""

    motifs: tuple[Motif, ...]
    about: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> _Database:
        motifs = tuple(read_motifs(path))
        digest = file_digest(path)
        return cls(motifs, {"file": path.name, "n_motifs": len(motifs), "sha256": digest})


@dataclass(frozen=True)
class _Work:
    """Where everything is, and how it is made."""

    out: Path
    folder: Path
    datasets: Path
    sources: Path | None
    database: _Database | None
    quick: bool
    again: bool
    workers: Engine | None
    progress: bool
    #: Arms that were measured in this call.
    measured: set[str] = field(default_factory=set)
    #: Recipes and their digests: they are read once in a call.
    _recipes: dict[str, Path] = field(default_factory=dict)
    _digests: dict[Path, str] = field(default_factory=dict)

    def make(self, arm: Arm) -> Mapping[str, Any]:
        """Measures of an arm, from the page's folder if they are of this recipe and these options."""
        known = self.found(arm)
        if known is not None and (not self.again or arm.name in self.measured):
            LOG.info("%s: measured already", arm.name)
            return known
        if arm.is_real and self.sources is None and not self.quick:
            raise InputError(
                "the data are not in the repository",
                where=arm.recipe,
                remedy="give the folder of the recipe's files by --sources",
            )
        before = self.found(arm, any_database=True)
        if before is not None and before["database"] is not None and self.database is None:
            raise InputError(
                "a new measurement needs the known motifs that the earlier one used",
                where=arm.recipe,
                remedy="give the file of known motifs by --database",
            )
        configs = self._configs(arm)
        LOG.info("%s: %d runs of %s on %s", arm.name, len(configs), configs[0].network, arm.recipe)
        filters = None
        if arm.filters_of is not None:
            filters = self._best_filters(ARMS[arm.filters_of])
            configs = [
                dataclasses.replace(c, initial_filters=str(filters), train_filters=False) for c in configs
            ]
        folders = self._run_folders(arm, filters)
        store = self._store(arm)
        runs = train_runs(store, configs, folders, progress=self.progress, workers=self.workers)
        database = self.database if arm.is_real else None
        measured = {
            "arm": arm.name,
            "made_of": self._made_of(arm),
            "content_hash": runs[0].info.store.content_hash,
            "versions": runs[0].info.versions,
            "recipe": self._recipe(arm).parent.name,
            "options": {**configs[0].network_options, **_training_options(configs[0])},
            "filters_of": arm.filters_of,
            "database": None if database is None else database.about,
            **measures.measure_runs(runs, database=None if database is None else database.motifs),
        }
        path = self._measures_file(arm)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(path, json.dumps(measured, allow_nan=False, separators=(",", ":")) + "\n")
        self.measured.add(arm.name)
        return measured

    def all_found(self) -> dict[str, Mapping[str, Any]]:
        """Measures in the page's folder, by arm, with whatever database."""
        found = {arm.name: self.found(arm, any_database=True) for arm in ARMS.values()}
        return {name: measured for name, measured in found.items() if measured is not None}

    def found(self, arm: Arm, *, any_database: bool = False) -> Mapping[str, Any] | None:
        """Measures in the page's folder; None if there are none of this recipe, options and database.

        Nor if the recipe's store, where it is there, has another content than was measured.

        Raises
        ------
        InputError
            If the file is damaged.
        """
        path = self._measures_file(arm)
        if not path.exists():
            return None
        try:
            known = parse_json(read_text(path, limit=MAX_JSON), where=path)
            if not isinstance(known, dict):
                raise ValueError("no object")
            same = known["made_of"] == self._made_of(arm)
            database, content_hash = known["database"], known.get("content_hash")
        except (ValueError, KeyError) as error:
            raise InputError(
                "damaged measures",
                where=path,
                found=f"no {error}" if isinstance(error, KeyError) else getattr(error, "found", error),
                expected="what `reproduce` has written",
                remedy="delete it and run the same command again",
            ) from error
        if arm.is_real and self.database is not None and not any_database:
            same = same and database == self.database.about
        store = self._store_path(arm)
        if same and store.exists():
            same = open_store(store).attrs[schema.ATTR_CONTENT_HASH] == content_hash
        return known if same else None

    def _measures_file(self, arm: Arm) -> Path:
        return self.folder / f"{arm.name.replace('/', '-')}.json"

    def _made_of(self, arm: Arm) -> str:
        """Digest of all that an arm's measures follow from, but the database."""
        parts = [str(measures.VERSION), self._trained_of(arm)]
        if arm.filters_of is not None:
            parts.append(self._made_of(ARMS[arm.filters_of]))
        return _digest(parts)

    def _trained_of(self, arm: Arm) -> str:
        return _digest([self._recipe_digest(arm), *(c.to_yaml() for c in self._configs(arm))])

    def _recipe_digest(self, arm: Arm) -> str:
        recipe = self._recipe(arm)
        if recipe not in self._digests:
            self._digests[recipe] = load_recipe(recipe).digest
        return self._digests[recipe]

    def _store_path(self, arm: Arm) -> Path:
        return self.out / "stores" / f"{self._recipe(arm).parent.name}-{self._recipe_digest(arm)[:8]}.zarr"

    def _store(self, arm: Arm) -> Path:
        store = self._store_path(arm)
        store.parent.mkdir(parents=True, exist_ok=True)
        sources = self.datasets / _QUICK_REAL_RECIPE if self.quick else self.sources
        return build(self._recipe(arm), store, sources_dir=sources, show_progress=self.progress).path

    def _recipe(self, arm: Arm) -> Path:
        if not self.quick:
            return self.datasets / arm.recipe / "recipe.yaml"
        name = _QUICK_REAL_RECIPE if arm.is_real else arm.recipe
        if name not in self._recipes:
            self._recipes[name] = self._small_recipe(name)
        return self._recipes[name]

    def _small_recipe(self, name: str) -> Path:
        """A recipe of few simulated windows, with the files of the whole one, or of real windows in folds."""
        folder = (self.datasets / name).absolute()
        load_recipe(folder / "recipe.yaml")  # one that can be read
        values = yaml.safe_load(read_text(folder / "recipe.yaml"))
        if "simulation" in values:
            values["simulation"]["n_windows"] = _QUICK_WINDOWS
            values["split"] |= {"validation": 0.15, "test": 0.15}
            for file in values["simulation"]["motifs"].get("files", ()):
                file["file"] = str((folder / file["file"]).resolve())
        else:
            values["split"]["folds"] = 5
        small = self.out / "recipes" / name / "recipe.yaml"
        small.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(small, yaml.safe_dump(values, sort_keys=False))
        return small

    def _configs(self, arm: Arm) -> list[TrainConfig]:
        if not self.quick:
            return [arm.config(run) for run in range(arm.n_runs)]
        small = {**_QUICK_OPTIONS, "n_filters": min(arm.options["n_filters"], _QUICK_FILTERS)}
        return [arm.config(run, **small) for run in range(min(arm.n_runs, _QUICK_RUNS))]

    def _run_folders(self, arm: Arm, filters: Path | None = None) -> list[Path]:
        """Run folders; those of another recipe, other options or filters have other names, and stay."""
        # Not of what is measured: runs outlive their measures.
        trained_of = self._trained_of(arm)
        if filters is not None:
            trained_of = _digest([trained_of, str(filters.relative_to(self.out))])
        folder = self.out / "runs" / arm.name / trained_of[:8]
        return [folder / arm.run_name(run) for run in range(len(self._configs(arm)))]

    def _best_filters(self, arm: Arm) -> Path:
        """Run folder of an arm with single-motif filters of most motifs, then with most such filters.

        It is trained again if it is gone.
        """
        measured = self.make(arm)
        found, single = (measures.values_of(measured, f"filters.{name}") for name in ("found", "single"))
        best = max(range(len(found)), key=lambda run: (found[run], single[run]))
        folder, config = self._run_folders(arm)[best], self._configs(arm)[best]
        train_runs(self._store(arm), [config], [folder], progress=self.progress)
        return folder


def _training_options(config: TrainConfig) -> dict[str, Any]:
    """Options of a configuration that are not the network's, and do not differ by run."""
    return {
        name: value
        for name, value in dataclasses.asdict(config).items()
        if value is not None and name not in {*config.network_options, "seed", "fold", "initial_filters"}
    }


def _in_order(arms: Iterable[Arm]) -> list[Arm]:
    """Arms once each, those that filters are taken of before those that take them."""
    ordered: dict[str, Arm] = {}
    for arm in arms:
        if arm.filters_of is not None:
            ordered.setdefault(arm.filters_of, ARMS[arm.filters_of])
        ordered.setdefault(arm.name, arm)
    return list(ordered.values())


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
