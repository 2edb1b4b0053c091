"""What the measures say: values to rows, and rows to `reproduction.md` by a template."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from chromacc_data.files import write_text_atomically
from chromacc_data.progress import LOG
from chromacc_models.experiments.arms import ARMS
from chromacc_models.experiments.cells import Cell, cell_of, ideal_observer
from chromacc_models.experiments.claims import Claim, Experiment, Tuning, Value
from chromacc_models.experiments.comparisons import differences, pair_tests
from chromacc_models.experiments.measures import values_of
from chromacc_models.experiments.pictures import CAPTIONS, DRAWN, Measures
from chromacc_models.reporting import plots
from chromacc_models.training.config import TrainConfig

__all__ = ["write"]

_TEMPLATES = Path(__file__).parent / "templates"

#: How options were chosen; only the repository's page has it next to it.
_TRIALS = "trials.md"

#: Options that are named even where they are the default.
_ALWAYS_NAMED = ("n_filters", "pooling", "pool_scale", "learning_rate", "batch_size", "l2", "strands")


class _Row(NamedTuple):
    """A claim with its figures."""

    experiment: Experiment
    claim: Claim
    thesis: Cell
    improved: Cell
    ideal_observer: str


class _Picture(NamedTuple):
    """A picture, or the error where it could not be drawn."""

    title: str
    file: str
    caption: str
    error: str = ""


class _Options(NamedTuple):
    """How an arm was trained."""

    arm: str
    network: str
    data: str
    runs: str
    options: str
    minutes: str


def write(
    path: Path,
    experiments: Sequence[Experiment],
    measures: Measures,
    left_out: Mapping[str, str],
    *,
    quick: bool = False,
    redraw: Collection[str] = (),
) -> Path:
    """Write the page of experiments to `path`, and pictures into the folder of the same name.

    Parameters
    ----------
    path
        NAME.md.
    experiments
        Sections of the page.
    measures
        What :func:`~chromacc_models.experiments.measures.measure_runs` gives, by arm.
    left_out
        Why an arm has no measures, by its name.
    quick
        Say that no figure means anything, and leave goals out.
    redraw
        Names of experiments whose pictures are drawn again; of others, only missing pictures are drawn.
    """
    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    if quick:
        experiments = [_without_goals(experiment) for experiment in experiments]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["anchor"] = _anchor
    rows = {experiment.name: _rows(experiment, measures) for experiment in experiments}
    every_row = [row for of_one in rows.values() for row in of_one]
    text = environment.get_template("reproduction.md.j2").render(
        quick=quick,
        folder=folder.name,
        trials=_TRIALS if (path.parent / _TRIALS).exists() else "",
        headlines=[row for row in every_row if row.claim.headline],
        n_goals=len(_goals(every_row)),
        missed=[(row, cell) for row, cell in _goals(every_row) if not cell.met],
        sections=[
            _section(experiment, rows[experiment.name], measures, folder, redraw=experiment.name in redraw)
            for experiment in experiments
        ],
        left_out=left_out,
        options=[_options(name, measured) for name, measured in measures.items()],
        hours=sum(values_of(measured, "seconds").sum() for measured in measures.values()) / 3600,
    )
    write_text_atomically(path, re.sub(r"\n{3,}", "\n\n", text).strip() + "\n")
    return path


def _without_goals(experiment: Experiment) -> Experiment:
    def without(value: Value | None) -> Value | None:
        return None if value is None else dataclasses.replace(value, goal=None, tuning=None)

    claims = tuple(
        dataclasses.replace(claim, thesis=without(claim.thesis), improved=without(claim.improved))
        for claim in experiment.claims
    )
    return dataclasses.replace(experiment, claims=claims)


def _anchor(heading: str) -> str:
    """Name of a heading in links, as GitHub and MkDocs give it.

    >>> _anchor("5.1.2 Ten cell types at once, additive model")
    '512-ten-cell-types-at-once-additive-model'
    """
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _rows(experiment: Experiment, measures: Measures) -> list[_Row]:
    rows = []
    for claim in experiment.claims:
        observers = (ideal_observer(value, measures) for value in reversed(claim.values))
        thesis, improved = cell_of(claim.thesis, measures), cell_of(claim.improved, measures)
        rows.append(_Row(experiment, claim, thesis, improved, next(filter(None, observers), "")))
    return rows


def _goals(rows: Iterable[_Row]) -> list[tuple[_Row, Cell]]:
    return [(row, cell) for row in rows for cell in (row.thesis, row.improved) if cell.met is not None]


def _section(
    experiment: Experiment, rows: list[_Row], measures: Measures, folder: Path, *, redraw: bool
) -> dict[str, Any]:
    """All that the template needs for a section."""
    return {
        "experiment": experiment,
        "rows": rows,
        "tunings": _tunings(experiment),
        "differences": list(differences(experiment, measures)),
        "pair_tests": list(pair_tests(experiment, measures)),
        "databases": _databases(experiment, measures),
        "pictures": [
            _picture(folder, experiment, title, drawn, redraw=redraw)
            for title, drawn in _drawn(experiment, measures)
            if title != "tables"
        ],
        "tables": [_tables(drawn) for title, drawn in _drawn(experiment, measures) if title == "tables"],
    }


def _tunings(experiment: Experiment) -> list[tuple[str, Tuning]]:
    """Rows that have a dagger for the same reason, and the reason."""
    rows: dict[Tuning, list[str]] = {}
    for claim in experiment.claims:
        for value in claim.values:
            if value.tuning is not None:
                rows.setdefault(value.tuning, []).append(claim.what)
    return [("; ".join(dict.fromkeys(names)), tuning) for tuning, names in rows.items()]


def _databases(experiment: Experiment, measures: Measures) -> list[Mapping[str, Any]]:
    """Files of known motifs that filters were matched with, once each."""
    searched = {value.arm for value in experiment.values if value.measure.startswith("database.")}
    databases = [measures[arm]["database"] for arm in searched if arm in measures]
    used = {about["sha256"]: about for about in databases if about is not None}
    return [about for _, about in sorted(used.items())]


def _drawn(experiment: Experiment, measures: Measures) -> Iterator[tuple[str, dict[str, Mapping[str, Any]]]]:
    """Pictures by title, with the measures of the arms that are there, by their names in the legend."""
    for title, arms in experiment.pictures.items():
        drawn = {name: measures[arm] for name, arm in arms.items() if arm in measures}
        if drawn:
            yield title, drawn


def _picture(folder: Path, experiment: Experiment, title: str, drawn: Measures, *, redraw: bool) -> _Picture:
    kind = title.split()[0]
    path = folder / f"{experiment.name}-{title.replace(' ', '-')}.png"
    counterpart = experiment.figures.get(title)
    caption = CAPTIONS[kind] + (f" (compare {counterpart} of the thesis)" if counterpart else "")
    picture = _Picture(f"{experiment.name}: {title}", f"{folder.name}/{path.name}", caption)
    if redraw or not path.exists():
        try:
            plots.save(DRAWN[kind](drawn), path)
        # A picture is not worth the experiments that are still to be made.
        except Exception as error:
            LOG.exception("%s: not drawn", path)
            return picture._replace(error=f"{type(error).__name__}: {error}")
    return picture


def _tables(drawn: Measures) -> dict[str, Any]:
    """Counterparts of Tables A.1 to A.11: the planted pairs, and the first pairs of filters of each run."""
    return {
        "planted": next(iter(drawn.values()))["planted"],
        "arms": {
            name: {
                ARMS[measured["arm"]].run_name(index): run["interactions"]["table"]
                for index, run in enumerate(measured["runs"])
            }
            for name, measured in drawn.items()
        },
    }


def _options(name: str, measured: Mapping[str, Any]) -> _Options:
    options = {key: value for key, value in measured["options"].items() if value is not None}
    network = options.pop("network")
    defaults = dataclasses.asdict(TrainConfig(network=network))
    chosen = [
        f"{key} {value}" for key, value in options.items() if key in _ALWAYS_NAMED or value != defaults[key]
    ]
    transferred = [f"filters of {measured['filters_of']}, kept"] if measured["filters_of"] else []
    return _Options(
        name,
        ARMS[name].options["network"],
        measured["recipe"],
        f"{len(measured['runs'])} {ARMS[name].repeats}",
        ", ".join([*transferred, *chosen]),
        f"{values_of(measured, 'seconds').sum() / 60:.0f}",
    )
