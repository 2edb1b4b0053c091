"""Cross-validation: a run for each fold of a store, in parallel if workers are given, and its scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import pandas as pd

from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.files import disk_errors, write_text_atomically
from chromacc_data.progress import progress_bar
from chromacc_data.store.batches import n_folds
from chromacc_data.store.read import open_store
from chromacc_models.evaluation.evaluate import evaluate
from chromacc_models.quietly import train_quietly
from chromacc_models.training.choice import with_recommended
from chromacc_models.training.config import TrainConfig
from chromacc_models.training.run import Run
from chromacc_models.training.train import train

__all__ = [
    "SCORES",
    "CrossValidation",
    "cross_validate",
    "fold_folder",
    "fold_folders",
    "is_cross_validation",
    "open_folds",
    "train_runs",
]

#: Table of scores, next to the folders of the folds.
SCORES = "scores.tsv"


@dataclass(frozen=True)
class CrossValidation:
    """Runs of all folds, in their order, and how good they are on the windows that they hold out.

    `scores` has a row for each fold and cell type: fold, cell_type, n_windows, n_open, auroc, auprc. A cell
    type of one class in a fold has NaN there.
    """

    folder: Path
    runs: tuple[Run, ...]
    scores: pd.DataFrame

    def report(self) -> tuple[dict[str, Any], str]:
        """The result for programs and for people: means and standard deviations over folds."""
        scores = self.scores.drop(columns="fold")
        of_cell_types = scores.groupby("cell_type", sort=False)[["auroc", "auprc"]].agg(["mean", "std"])
        of_folds = self.scores.groupby("fold")[["auroc", "auprc"]].mean().agg(["mean", "std"])
        of_cell_types.loc["mean"] = of_folds.T.stack()
        width = max(map(len, of_cell_types.index))
        lines = [f"{'cell type':<{width}}  AUROC            AUPRC            over {len(self.runs)} folds"]
        for name, row in of_cell_types.iterrows():
            cells = (f"{row[score, 'mean']:.4f} ± {row[score, 'std']:.4f}" for score in ("auroc", "auprc"))
            lines.append(f"{name:<{width}}  " + "  ".join(cells))
        lines.append("±: standard deviation over folds (not a standard error, as folds share training data)")
        lines.append(f"scores of each fold are in {self.folder / SCORES}, runs in {self.folder}/fold-*")
        records = self.scores.astype(object).where(self.scores.notna(), None).to_dict("records")
        return {"runs": [run.info.to_dict() for run in self.runs], "scores": records}, "\n".join(lines)

    def __repr__(self) -> str:
        return self.report()[1]


def cross_validate(
    store: Path | str,
    config: TrainConfig | str,
    out: Path | str,
    *,
    progress: bool = False,
    backend: str = "auto",
    workers: Engine | None = None,
) -> CrossValidation:
    """Train one network per fold of a store, into `out/fold-0`, `out/fold-1`, ...; resumes if interrupted.

    Each is then scored on the windows that it holds out, and `out/scores.tsv` is written. Finished folds are
    left alone; an interrupted one resumes after its last epoch. Where a fold is trained does not change its
    result.

    Parameters
    ----------
    store, config, out, backend
        As in :func:`~chromacc_models.training.train.train`; `out` holds a run folder for each fold. If
        `initial_filters` is the folder of another cross-validation, each fold takes the filters of the same
        fold, which have not seen its held-out windows either if the store is the same.
    progress
        Show a bar: of each training, or with `workers` of the folds.
    workers
        Train folds in parallel, in separate processes or on the workers of a cluster, which need the store
        and `out` under the same paths. When not given, folds are trained one by one in this process.

    Raises
    ------
    InputError
        If the store has no folds, `config` names one, `out` is a run folder, or folds of the filters are
        missing; else as :func:`~chromacc_models.training.train.train`.

    Examples
    --------
    >>> import chromacc_models as cm
    >>> from chromacc_data.examples import example_folder, example_store
    >>> config = cm.TrainConfig("baseline", n_filters=4, filter_width=8, epochs=1)
    >>> found = cm.cross_validate(example_store(), config, example_folder() / "folds")
    >>> len(found.runs), found.scores.columns.tolist()
    (3, ['fold', 'cell_type', 'n_windows', 'n_open', 'auroc', 'auprc'])
    """
    store, out = Path(store), Path(out).absolute()
    config = with_recommended(config, store, out)
    if config.fold is not None:
        raise InputError(
            "a fold was chosen, but cross-validation trains all folds",
            where="fold",
            found=config.fold,
            expected="no option `fold`",
            remedy="train one fold with `chromacc-models train --set fold=...`",
        )
    if (out / "run.json").exists():
        raise InputError(
            "the folder holds the run of a single network",
            where=out,
            remedy="name another folder for the folds",
        )
    folds = range(n_folds(open_store(store)))
    configs = [_config_of_fold(config, fold) for fold in folds]
    folders = [fold_folder(out, fold) for fold in folds]
    runs = train_runs(store, configs, folders, progress=progress, backend=backend, workers=workers)
    scores = pd.DataFrame(
        {
            "fold": fold,
            "cell_type": score.cell_type,
            "n_windows": score.n_windows,
            "n_open": score.n_open,
            "auroc": score.auroc,
            "auprc": score.auprc,
        }
        for fold, run in zip(folds, runs, strict=True)
        for score in evaluate(run).cell_types
    )
    with disk_errors(out):
        write_text_atomically(out / SCORES, scores.to_csv(sep="\t", index=False, float_format="%.6g"))
    return CrossValidation(out, tuple(runs), scores)


def train_runs(
    store: Path | str,
    configs: Sequence[TrainConfig],
    folders: Sequence[Path | str],
    *,
    progress: bool = False,
    backend: str = "auto",
    workers: Engine | None = None,
) -> list[Run]:
    """Train a network on a store for each configuration, into the folder of the same index.

    Parameters
    ----------
    store, configs, folders, backend
        As in :func:`~chromacc_models.training.train.train`.
    progress, workers
        As in :func:`cross_validate`.

    Raises
    ------
    InputError
        As :func:`~chromacc_models.training.train.train`.
    """
    store = Path(store).absolute()
    jobs = [(store, config, Path(folder).absolute()) for config, folder in zip(configs, folders, strict=True)]
    if workers is None:
        return [train(*job, progress=progress, backend=backend) for job in jobs]
    tasks = [
        dask.delayed(train_quietly, pure=False, traverse=False)(
            store, dataclasses.asdict(config), out, backend
        )
        for store, config, out in jobs
    ]
    with progress_bar(len(tasks), unit="runs", description="training", show=progress) as bar:
        workers.run(tasks, bar=bar)
    return [Run.open(folder) for *_, folder in jobs]


def fold_folder(out: Path | str, fold: int) -> Path:
    """Run folder of a fold.

    >>> str(fold_folder("runs", 3))
    'runs/fold-3'
    """
    return Path(out) / f"fold-{fold}"


def fold_folders(out: Path | str) -> list[Path]:
    """Run folders of all folds in a folder, by their numbers; none if it is no cross-validation's."""
    folders = [path for path in Path(out).glob("fold-*") if path.name.removeprefix("fold-").isdecimal()]
    return sorted(folders, key=lambda path: int(path.name.removeprefix("fold-")))


def is_cross_validation(path: Path | str) -> bool:
    """Whether a folder holds the runs of folds, and is not a run itself."""
    return not (Path(path) / "run.json").exists() and bool(fold_folders(path))


def open_folds(out: Path | str, *, store: Path | str | None = None) -> tuple[Run, ...]:
    """Runs of all folds of a cross-validation, in their order.

    Raises
    ------
    InputError
        If one has not finished, or `store` is given and is not what it was trained on.
    """
    return tuple(Run.open(folder, store=store) for folder in fold_folders(out))


def _config_of_fold(config: TrainConfig, fold: int) -> TrainConfig:
    filters = config.initial_filters
    if filters is not None:
        filters = str(Path(filters).absolute())
        if fold_folder(filters, fold).is_dir():
            filters = str(fold_folder(filters, fold))
        elif fold_folders(filters):
            raise InputError(
                "the fold to take initial filters from is missing", where=filters, expected=f"fold-{fold}"
            )
    motifs = None if config.motifs is None else str(Path(config.motifs).absolute())
    return dataclasses.replace(config, fold=fold, initial_filters=filters, motifs=motifs)
