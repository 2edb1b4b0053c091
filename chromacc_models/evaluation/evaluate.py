"""Score a run on the windows of a store: predictions, scores and pictures in its folder."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np

from chromacc_data.errors import InputError
from chromacc_data.files import disk_errors, staged, write_text_atomically
from chromacc_data.progress import progress_bar
from chromacc_data.store import schema
from chromacc_data.store.batches import Batches
from chromacc_data.store.read import open_store
from chromacc_models.evaluation.pictures import draw_evaluation
from chromacc_models.evaluation.scores import Evaluation, score
from chromacc_models.scoring.keras_scorer import scorer_of
from chromacc_models.training.run import Run, lock_folder, read_arrays

__all__ = ["evaluate", "open_batches", "read_predictions"]


def evaluate(
    run: Run | Path | str,
    store: Path | str | None = None,
    *,
    split: str = "test",
    confidence: float = 0.95,
    pictures: bool = True,
    progress: bool = False,
) -> Evaluation:
    """Score a run on a split, and write scores, predictions and pictures into its folder.

    For its own store and the split "test" these are `evaluation.json`, `evaluation.npz`, `roc.png` and
    `calibration.png`; otherwise split and store are part of the names.

    Parameters
    ----------
    run
        A finished run, or its folder.
    store
        Another store than the one that it was trained on, with the same cell types and window length. Its
        own store at another path counts as its own.
    split
        "train", "validation" or "test"; of the run's fold, if it was trained on one.
    confidence
        Level of the confidence intervals.
    pictures
        Whether to draw them.
    progress
        Show a bar.

    Raises
    ------
    InputError
        If the store has other cell types or another window length, has changed since the training, or the
        split is empty.

    Examples
    --------
    >>> import chromacc_models as cm
    >>> from chromacc_models.examples import example_run
    >>> scores = cm.evaluate(example_run())  # printed, it is a table
    >>> [(s.cell_type, s.n_windows, s.n_open) for s in scores.cell_types]
    [('erythroid', 60, 19), ('liver', 60, 23)]
    >>> 0 <= scores.mean_auroc <= 1
    True
    """
    run = Run.open(run)
    batches = open_batches(run, store, split=split)
    predictions = _predict(run.model(), batches, progress=progress)
    labels = batches.labels()
    evaluation = score(labels, predictions, run.cell_types, confidence=confidence)
    suffix = _suffix(run, batches, split)
    with disk_errors(run.folder), lock_folder(run.folder, wait=True):
        if pictures:
            draw_evaluation(run.folder, suffix, evaluation, labels, predictions)
        _write(run, suffix, evaluation, batches.indices, labels, predictions)
    return evaluation


def open_batches(run: Run, store: Path | str | None = None, *, split: str = "test") -> Batches:
    """Windows of a split of a run's store, or of another store that fits its network, in their order.

    Of its own store the split is that of the run's fold, if it was trained on one.

    Raises
    ------
    InputError
        If the run's store is gone or not what it was trained on any more, the store has other cell types or
        windows, or the split is empty.
    """
    ds = run.open_store() if store is None else open_store(store)
    content_hash = ds.attrs[schema.ATTR_CONTENT_HASH]
    names = tuple(map(str, ds[schema.CELL_TYPE].values))
    if names != run.cell_types or ds.sizes[schema.POSITION] != run.window_length:
        raise InputError(
            "the store does not fit the network",
            where=ds.encoding["source"],
            found=f"{ds.sizes[schema.POSITION]} bp; {', '.join(names)}",
            expected=f"{run.window_length} bp; {', '.join(run.cell_types)}",
        )
    own = content_hash == run.info.store.content_hash
    return Batches(ds, split=split, fold=run.config.fold if own else None, batch_size=256, shuffle=False)


def read_predictions(run: Run, *, split: str = "test") -> dict[str, np.ndarray]:
    """Windows, labels and predictions of a run on its own store; evaluates it when that was not done.

    Returns
    -------
    dict
        `windows` (window,), `labels` and `predictions` (window, cell_type).
    """
    path = run.folder / f"evaluation{'' if split == 'test' else f'-{split}'}.npz"
    if not path.exists():
        evaluate(run, split=split)
    return read_arrays(path, remedy="delete it, and evaluate the run again")


def _suffix(run: Run, batches: Batches, split: str) -> str:
    """Part of the file names that tells an evaluation from that of the own test split, which has none."""
    content_hash = batches.ds.attrs[schema.ATTR_CONTENT_HASH]
    other = "" if content_hash == run.info.store.content_hash else f"-{content_hash[:12]}"
    return other + ("" if split == "test" else f"-{split}")


def _predict(model: keras.Model, batches: Batches, *, progress: bool) -> np.ndarray:
    scorer, parts = scorer_of(model), []
    with progress_bar(batches.n_windows, unit="windows", description="predicting", show=progress) as bar:
        for batch in batches:
            parts.append(scorer.predict(batch.codes))
            bar.update(len(batch.codes))
    return np.concatenate(parts)


def _write(
    run: Run,
    suffix: str,
    evaluation: Evaluation,
    windows: np.ndarray,
    labels: np.ndarray,
    predictions: np.ndarray,
) -> None:
    folder = run.folder
    arrays = {"windows": windows, "labels": labels, "predictions": predictions}
    with staged(folder / f"evaluation{suffix}.npz") as temporary:
        np.savez_compressed(temporary, **arrays)
    text = json.dumps(evaluation.to_dict(), indent=2, allow_nan=False)
    write_text_atomically(folder / f"evaluation{suffix}.json", text)
