"""One page about a run: what `train`, `evaluate`, `motifs` and `interactions` left in its folder, as HTML.

Nothing is computed here. The page holds its pictures, so that it can be sent as one file.
"""

from __future__ import annotations

import base64
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from chromacc_data.errors import InputError
from chromacc_data.files import disk_errors, write_text_atomically
from chromacc_models.evaluation.evaluation_file import read_evaluation
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
    """A section of the page: files that a command writes into a run folder, those of them that are there."""

    title: str
    command: str
    tables: tuple[str, ...]
    #: Pictures and what they show.
    pictures: tuple[tuple[str, str], ...]


_PARTS = (
    _Part("Training", "train", (), (("curves.png", "Loss by epoch"),)),
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


def write_report(run: Run | Path | str, out: Path | str | None = None) -> Path:
    """Write the page of a run.

    Parameters
    ----------
    run
        A finished run, or its folder. What has not been made in it yet is named on the page, with the command
        that makes it.
    out
        The page; `report.html` in the run folder when not given.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If the run has not finished, one of its files cannot be read, or `out` is not a name of a page.

    Examples
    --------
    >>> import chromacc_models as cm
    >>> from chromacc_models.examples import example_run
    >>> cm.report(example_run()).name
    'report.html'
    """
    run = run if isinstance(run, Run) else Run.open(run)
    out = run.folder / "report.html" if out is None else Path(out)
    if out.suffix not in (".html", ".htm"):
        raise InputError("not the name of a page", where="--out", found=out, expected="NAME.html")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    has_vectors = run.config.network == "factorization_machine"
    parts = [part for part in _PARTS if part.command != "interactions" or has_vectors]
    text = environment.get_template("report.html.j2").render(
        run=run,
        config={key: value for key, value in dataclasses.asdict(run.config).items() if value is not None},
        parts=[_read_part(run.folder, part) for part in parts],
    )
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(out, text)
    return out


def _read_part(folder: Path, part: _Part) -> dict[str, Any]:
    tables = [_read_table(folder / name) for name in part.tables if (folder / name).exists()]
    pictures = [
        (caption, base64.b64encode((folder / name).read_bytes()).decode())
        for name, caption in part.pictures
        if (folder / name).exists()
    ]
    return {"title": part.title, "command": part.command, "tables": tables, "pictures": pictures}


def _read_table(path: Path) -> _Table:
    try:
        if path.suffix == ".json":
            scores = read_evaluation(path).cell_types
            rows = pd.DataFrame([dataclasses.asdict(score) for score in scores]).astype(object)
        else:
            rows = pd.read_csv(path, sep="\t")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            "is damaged", where=path, found=error, remedy="make it again, with the command that wrote it"
        ) from error
    shown = rows.head(_N_ROWS)
    if {"cell_type", "rank"} <= set(rows.columns) and len(rows):
        shown = rows[rows["rank"] <= max(3, _N_ROWS // rows["cell_type"].nunique())].head(2 * _N_ROWS)
    texts = [[_text(value) for value in shown[name]] for name in rows.columns]
    return _Table(path.name, tuple(map(str, rows.columns)), tuple(zip(*texts, strict=True)), len(rows))


def _text(value: Any) -> str:
    if pd.isna(value):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
