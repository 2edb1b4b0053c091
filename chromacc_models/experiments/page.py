"""What the measures say: `reproduction.md`, with its tables, and the pictures beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from chromacc_data.files import write_text_atomically
from chromacc_data.motifs import Motif
from chromacc_models import plots
from chromacc_models.compare import corrected_resampled_t, paired_test
from chromacc_models.evaluate import ROC_GRID
from chromacc_models.experiments.catalogue import ARMS, Experiment, Value
from chromacc_models.experiments.measures import paired_differences, values_of
from chromacc_models.logos import logo_grid

__all__ = ["write"]

_HEAD = """# Reproduction of the thesis

Written by `{command}`, which goes on where it was killed; numbers, pictures and this page are its
own. Each row puts a figure of the thesis beside the mean of our runs (± standard deviation, n runs).
*Thesis settings* have the architecture and sizes of the thesis; the scale of the pooled values, the learning
rate and when to stop were chosen. *Improved* is the same family of networks, read the same way. *Ceiling* is
the AUROC of a reader that knows the planted motifs and the rule, on the same windows, accidental occurrences
included. Where a goal was set it stands behind "≥", and figures that reach it are bold. Motifs that the
matching rule of the thesis cannot tell apart count as one group.
"""

Measures = Mapping[str, Mapping[str, Any]]


def write(
    path: Path,
    experiments: Sequence[Experiment],
    measures: Measures,
    left_out: Mapping[str, str],
    *,
    command: str,
) -> Path:
    """Write the page of experiments to `path`, and pictures into the folder of the same name beside it.

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
    command
        What the page says it was written by.
    """
    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    parts = [_HEAD.format(command=command)]
    for experiment in experiments:
        parts.append(f"## {experiment.name} {experiment.title}\n\n{_claims(experiment, measures)}")
        parts += _notes(experiment, measures)
        for title, arms in experiment.pictures.items():
            drawn = {name: measures[arm] for name, arm in arms.items() if arm in measures}
            if drawn:
                parts.append(_picture(folder, experiment, title, drawn))
    if left_out:
        parts.append("## Not made\n\n" + "\n".join(f"- {name}: {why}" for name, why in left_out.items()))
    parts.append("## Options\n\nWhat is not named is the default of the network.\n\n" + _options(measures))
    write_text_atomically(path, "\n\n".join(part.strip() for part in parts) + "\n")
    return path


def _claims(experiment: Experiment, measures: Measures) -> str:
    rows = ["| | thesis | thesis settings here | improved | ceiling |", "|---|---|---|---|---|"]
    for claim in experiment.claims:
        values = (claim.improved, claim.thesis)
        ceilings = [_ceiling(value, measures) for value in values if value is not None]
        best = next((text for text in ceilings if text), "")
        cells = [
            claim.what,
            claim.published,
            _cell(claim.thesis, measures),
            _cell(claim.improved, measures),
            best,
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _values(value: Value, measures: Measures) -> np.ndarray | None:
    if value.arm not in measures or (value.less is not None and value.less not in measures):
        return None
    found = (
        values_of(measures[value.arm], value.measure) if _has(measures[value.arm], value.measure) else None
    )
    if found is not None and value.less is not None:
        found = found - values_of(measures[value.less], value.measure)
    return found


def _has(measured: Mapping[str, Any], measure: str) -> bool:
    return measure.split(".")[0] in measured["runs"][0]


def _cell(value: Value | None, measures: Measures) -> str:
    found = None if value is None else _values(value, measures)
    if value is None or found is None:
        return ""
    mean = found.mean()
    is_share = "auroc" in value.measure or value.less is not None
    form = "{:+.4f}" if value.less is not None else "{:.4f}" if is_share else "{:.1f}"
    spread = f" ± {found.std(ddof=1):.{4 if is_share else 1}f}" if len(found) > 1 else ""
    text = f"{form.format(mean)}{spread} (n = {len(found)})"
    if value.goal is None:
        return text
    goal = f"≥ {value.goal:g}"
    return f"**{text}**; {goal}" if mean >= value.goal else f"{text}; {goal} not reached"


def _ceiling(value: Value, measures: Measures) -> str:
    if value.measure != "auroc" or value.less is not None or value.arm not in measures:
        return ""
    runs = measures[value.arm]["runs"]
    return f"{np.mean([run['ceiling'] for run in runs]):.4f}" if "ceiling" in runs[0] else ""


def _notes(experiment: Experiment, measures: Measures) -> list[str]:
    """Tests over runs: differences of AUROC, and interactions of planted pairs against others."""
    lines = []
    for claim in experiment.claims:
        for setting, value in (("thesis settings", claim.thesis), ("improved", claim.improved)):
            if value is not None and value.less in measures and value.arm in measures:
                difference = _difference(measures[value.arm], measures[value.less], value)
                lines.append(f"- {claim.what}, {setting}: {difference}")
    arms = [v.arm for claim in experiment.claims for v in (claim.thesis, claim.improved) if v is not None]
    for arm in dict.fromkeys(arms):
        for scale, test in measures.get(arm, {}).get("interaction_tests", {}).items():
            lines.append(f"- {arm}, {scale} interactions: {_pair_test(test)}")
    return ["\n".join(lines)] if lines else []


def _difference(measured: Mapping[str, Any], other: Mapping[str, Any], value: Value) -> str:
    differences = paired_differences(measured, other)
    test = paired_test(differences.ravel())
    text = (
        f"{test.mean_difference:+.4f} in {test.n} pairs of cell types and runs; Wilcoxon signed-rank "
        f"p = {test.p_greater:.2g} (greater), {test.p_two_sided:.2g} (two-sided)"
    )
    if ARMS[value.arm].repeats == "folds" and len(differences) > 1:
        # One of n folds is held out and one validates.
        ratio = 1 / max(1, len(differences) - 2)
        corrected = corrected_resampled_t(differences.mean(axis=1), test_train_ratio=ratio)
        text += f"; corrected resampled t-test p = {corrected.p_two_sided:.2g}"
    return text


def _pair_test(test: Mapping[str, Any]) -> str:
    if "not_possible" in test:
        return f"not tested, {test['not_possible']}"
    return (
        f"mean of {test['n_correct']} correct ones {test['mean_correct']:.3g}, of {test['n_incorrect']} "
        f"others {test['mean_incorrect']:.3g}; Welch p = {_p(test['welch_p'])} (greater), permutation "
        f"p = {_p(test['permutation_p'])}"
    )


def _p(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.2g}"


def _picture(folder: Path, experiment: Experiment, title: str, drawn: Mapping[str, Mapping[str, Any]]) -> str:
    kind = title.split()[0]
    if kind == "tables":
        return _tables(drawn)
    path = folder / f"{experiment.name}-{title.replace(' ', '-')}.png"
    plots.save(_DRAWN[kind](drawn), path)
    return f"![{experiment.name}: {title}]({folder.name}/{path.name})"


def _draw_filters(drawn: Mapping[str, Mapping[str, Any]]) -> Figure:
    kinds = {
        kind: {name: values_of(measured, f"filters.{kind}") for name, measured in drawn.items()}
        for kind in ("single", "combination")
    }
    return plots.stacked_counts(kinds, ylabel="Filters that match planted motifs")


def _draw_logos(drawn: Mapping[str, Mapping[str, Any]], n_columns: int = 4) -> Figure:
    n_each = 4 if len(drawn) > 1 else 12
    motifs, titles = [], []
    for name, measured in drawn.items():
        for i, logo in enumerate(measured["logos"][:n_each]):
            ppm = np.array(logo["ppm"])  # rounded in the file
            motifs.append(Motif(f"filter_{i}", ppm / ppm.sum(axis=1, keepdims=True)))
            titles.append(f"{name}: {logo['title']}" if len(drawn) > 1 else logo["title"])
    return logo_grid(motifs, titles=titles, n_columns=n_columns)


def _draw_roc(drawn: Mapping[str, Mapping[str, Any]]) -> Figure:
    curves = {name: (ROC_GRID, np.array(measured["roc"])) for name, measured in drawn.items()}
    scores = {name: float(values_of(measured, "auroc").mean()) for name, measured in drawn.items()}
    return plots.roc(curves, scores=scores)


def _draw_loss(drawn: Mapping[str, Mapping[str, Any]]) -> Figure:
    return plots.losses({name: measured["runs"][0]["history"] for name, measured in drawn.items()})


def _draw_predictions(drawn: Mapping[str, Mapping[str, Any]]) -> Figure:
    return plots.histograms(
        {name: measured["histogram"] for name, measured in drawn.items()},
        xlabel="Predicted probability",
        ylabel="Windows",
    )


def _draw_interactions(drawn: Mapping[str, Mapping[str, Any]]) -> Figure:
    return plots.histograms(
        {name: measured["interaction_histogram"] for name, measured in drawn.items()},
        xlabel="Interaction: added to the logit when both filters rise by a standard deviation",
        ylabel="Share of pairs",
        normalised=True,
    )


_DRAWN: dict[str, Callable[[Mapping[str, Mapping[str, Any]]], Figure]] = {
    "filters": _draw_filters,
    "logos": _draw_logos,
    "roc": _draw_roc,
    "loss": _draw_loss,
    "predictions": _draw_predictions,
    "interactions": _draw_interactions,
}


def _tables(drawn: Mapping[str, Mapping[str, Any]]) -> str:
    """Counterparts of Tables A.2 to A.11: the first ten pairs of each run."""
    parts = []
    for name, measured in drawn.items():
        parts.append(f"<details><summary>First ten pairs of filters in each run, {name}</summary>\n")
        for index, run in enumerate(measured["runs"]):
            table = run["interactions"]["table"]
            n_correct = sum(row["correct"] for row in table)
            parts.append(f"Run {index}, {n_correct} correct:\n")
            parts.append("| inner product | scaled | filter 1 | filter 2 | a pair |\n|---|---|---|---|---|")
            parts += [
                f"| {row['weight']:.4g} | {row['scaled']:.3g} | {row['filter_1']} | {row['filter_2']} | "
                f"{'yes' if row['correct'] else ''} |"
                for row in table
            ]
            parts.append("")
        parts.append("</details>\n")
    return "\n".join(parts)


def _options(measures: Measures) -> str:
    lines = []
    for name, measured in measures.items():
        options = ", ".join(
            f"{key} {value}" for key, value in measured["options"].items() if value is not None
        )
        seconds = values_of(measured, "seconds").sum()
        lines.append(
            f"- `{name}`: {measured['recipe']}; {len(measured['runs'])} {ARMS[name].repeats}; {options}; "
            f"{seconds / 60:.0f} min of training"
        )
    return "\n".join(lines)
