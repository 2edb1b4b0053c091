"""One page about a run: what `train`, `evaluate`, `motifs` and `interactions` left in its folder, as HTML.

Nothing is computed here. The page holds its pictures, so that it can be sent as one file.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from chromacc_data.errors import InputError
from chromacc_data.files import disk_errors, write_text_atomically
from chromacc_models.evaluation.cross_validation import SCORES, is_cross_validation, open_folds
from chromacc_models.evaluation.evaluation_file import read_evaluation
from chromacc_models.interpretation.folds import RECURRING_INTERACTIONS, RECURRING_MOTIFS
from chromacc_models.networks.known_motifs import KNOWN_TABLE
from chromacc_models.training.run import Run

__all__ = ["write_report"]

#: Rows of a table that the page shows; the file has all.
_N_ROWS = 25

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class _Table:
    """Rows of a table, as text, and how many there are in its file."""

    file: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    n_rows: int


@dataclass(frozen=True)
class _Part:
    """A section of the page: the files that a command writes into a run folder, as far as they exist."""

    title: str
    command: str
    tables: tuple[str, ...]
    #: Pictures and what they show.
    pictures: tuple[tuple[str, str], ...]


_PARTS = (
    _Part("Training", "train", (KNOWN_TABLE,), (("curves.png", "Loss by epoch"),)),
    _Part(
        "Scores on held-out windows",
        "evaluate",
        ("evaluation.json",),
        (("roc.png", "ROC curves"), ("calibration.png", "Predicted probability and share of open windows")),
    ),
    _Part(
        "Filters as motifs",
        "motifs",
        ("motifs.tsv", "tomtom_null.tsv"),
        (("motifs.png", "Filters that the predictions depend on most"),),
    ),
    _Part(
        "Interactions",
        "interactions",
        ("motif_interactions.tsv", "interaction_scores.tsv", "interactions.tsv"),
        (("interactions.png", "Largest scaled interactions of filters"),),
    ),
)

_PARTS_OF_FOLDS = (
    _Part("Motifs that recur", "motifs", (RECURRING_MOTIFS,), ()),
    _Part("Interactions that recur", "interactions", (RECURRING_INTERACTIONS,), ()),
)

#: Columns of the table of scores, and their headings.
_SCORES = (("auroc", "AUROC"), ("auprc", "AUPRC"))


def write_report(
    run: Run | Path | str, out: Path | str | None = None, *, store: Path | str | None = None
) -> Path:
    """Write the page of a run, or of a cross-validation.

    Parameters
    ----------
    run
        A finished run, its folder, or the folder of a cross-validation. The page names what is
        still missing, with the command that makes it.
    out
        The page; `report.html` in the folder when not given.
    store
        Where its store is now, if it has moved since the training.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If the run has not finished, one of its files cannot be read, or `out` is not the name of an HTML
        file.

    Examples
    --------
    >>> import chromacc_models as cm
    >>> from chromacc_models.examples import example_run
    >>> cm.report(example_run()).name
    'report.html'
    """
    if not isinstance(run, Run) and is_cross_validation(run):
        folder = Path(run)
        runs = open_folds(folder, store=store)
        template, values, parts = "folds.html.j2", _describe_folds(folder, runs), _PARTS_OF_FOLDS
    else:
        opened = Run.open(run, store=store)
        folder, runs = opened.folder, (opened,)
        template, values, parts = "report.html.j2", {"run": opened}, _PARTS
    out = folder / "report.html" if out is None else Path(out)
    if out.suffix not in (".html", ".htm"):
        raise InputError("not the name of an HTML file", where="--out", found=out, expected="NAME.html")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    config = runs[0].config
    has_vectors = config.network == "factorization_machine"
    text = environment.get_template(template).render(
        **values,
        folder=folder,
        config={key: value for key, value in dataclasses.asdict(config).items() if value is not None},
        parts=[_read_part(folder, part) for part in parts if part.command != "interactions" or has_vectors],
    )
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(out, text)
    return out


def _describe_folds(folder: Path, runs: Sequence[Run]) -> dict[str, Any]:
    """What the page says of a cross-validation: its runs, and scores with their spread over folds."""
    path = folder / SCORES
    scores = {}
    if path.exists():
        with _damage(path):
            table = pd.read_csv(path, sep="\t")
            scores = {label: _score_table(table, name) for name, label in _SCORES}
    return {"runs": runs, "scores": scores}


def _score_table(scores: pd.DataFrame, name: str) -> _Table:
    """A row for each cell type and their mean: the score of each fold, mean, and standard deviation."""
    by_fold = scores.pivot(index="cell_type", columns="fold", values=name)
    by_fold = by_fold.loc[scores["cell_type"].unique()]
    by_fold.loc["mean"] = by_fold.mean()
    shown = by_fold.assign(mean=by_fold.mean(axis=1), sd=by_fold.std(axis=1))
    rows = tuple(
        (str(cell_type), *("" if pd.isna(value) else f"{value:.4f}" for value in row))
        for cell_type, row in zip(shown.index, shown.to_numpy(), strict=True)
    )
    folds = tuple(f"fold {fold}" for fold in by_fold.columns)
    return _Table(SCORES, ("cell type", *folds, "mean", "sd"), rows, len(rows))


def _read_part(folder: Path, part: _Part) -> dict[str, Any]:
    tables = [_read_table(folder / name) for name in part.tables if (folder / name).exists()]
    pictures = [
        (caption, base64.b64encode((folder / name).read_bytes()).decode())
        for name, caption in part.pictures
        if (folder / name).exists()
    ]
    return {"title": part.title, "command": part.command, "tables": tables, "pictures": pictures}


def _read_table(path: Path) -> _Table:
    with _damage(path):
        if path.suffix == ".json":
            scores = read_evaluation(path).cell_types
            rows = pd.DataFrame([dataclasses.asdict(score) for score in scores]).astype(object)
        else:
            rows = pd.read_csv(path, sep="\t")
    shown = rows.head(_N_ROWS)
    if {"cell_type", "rank"} <= set(rows.columns) and len(rows):
        shown = rows[rows["rank"] <= max(3, _N_ROWS // rows["cell_type"].nunique())].head(2 * _N_ROWS)
    texts = [[_text(value) for value in shown[name]] for name in rows.columns]
    return _Table(path.name, tuple(map(str, rows.columns)), tuple(zip(*texts, strict=True)), len(rows))


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            "is damaged", where=path, found=error, remedy="make it again, with the command that wrote it"
        ) from error


def _text(value: Any) -> str:
    if pd.isna(value):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
