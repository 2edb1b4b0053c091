"""Tests over runs, as rows of tables: differences of AUROC, and planted pairs against other pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from chromacc_models.evaluation.compare import corrected_resampled_t, paired_test
from chromacc_models.experiments.arms import ARMS
from chromacc_models.experiments.claims import Experiment, Value
from chromacc_models.experiments.measures import held_out_ratio, paired_differences
from chromacc_models.experiments.pictures import Measures

__all__ = ["Difference", "PairTest", "differences", "pair_tests"]

_INTERACTIONS = {
    "raw": "inner products of all pairs of filters",
    "scaled": "scaled interactions of filters that match different motifs",
}


class Difference(NamedTuple):
    """A row of the table of differences."""

    what: str
    settings: str
    mean: str
    pairs: str
    wilcoxon_greater: str
    wilcoxon_two_sided: str
    corrected: str


class PairTest(NamedTuple):
    """A row of the table of planted pairs against other pairs."""

    arm: str
    interactions: str
    planted: str = ""
    others: str = ""
    welch: str = ""
    permutation: str = ""
    corrected: str = ""


def differences(experiment: Experiment, measures: Measures) -> Iterator[Difference]:
    """Tests of the claims of an experiment that one network is better than another."""
    for claim in experiment.claims:
        for settings, value in (("thesis", claim.thesis), ("improved", claim.improved)):
            if value is not None and value.less in measures and value.arm in measures:
                yield _difference(claim.what, settings, value, measures)


def pair_tests(experiment: Experiment, measures: Measures) -> Iterator[PairTest]:
    """Tests of interactions of planted pairs against those of other pairs."""
    for arm in experiment.tested:
        for scale, test in measures.get(arm, {}).get("interaction_tests", {}).items():
            yield _pair_test(arm, _INTERACTIONS[scale], test)


def _difference(what: str, settings: str, value: Value, measures: Measures) -> Difference:
    measured, repeats = measures[value.arm], ARMS[value.arm].repeats
    found = paired_differences(measured, measures[value.less or value.arm])
    test = paired_test(found[~np.isnan(found)])
    by_run = np.nanmean(found, axis=1)
    corrected = "-"
    if repeats == "folds" and len(by_run) > 1:
        ratio = held_out_ratio(measured)
        corrected = f"{corrected_resampled_t(by_run, test_train_ratio=ratio).p_two_sided:.2g}"
    return Difference(
        what,
        settings,
        f"{test.mean_difference:+.4f}",
        f"{test.n} (cell types × {repeats})",
        f"{test.p_greater:.2g}",
        f"{test.p_two_sided:.2g}",
        corrected,
    )


def _pair_test(arm: str, interactions: str, test: Mapping[str, Any]) -> PairTest:
    if "not_possible" in test:
        return PairTest(arm, interactions, f"not tested: {test['not_possible']}")
    planted, others = (
        f"{test[f'n_{kind}']}: {test[f'mean_{kind}']:.3g} ± {test[f'sd_{kind}']:.3g}"
        for kind in ("correct", "incorrect")
    )
    welch, permutation = (
        "not defined" if test[name] is None else f"{test[name]:.2g}" for name in ("welch_p", "permutation_p")
    )
    corrected = "- (a run has no such pair)" if test["corrected_p"] is None else f"{test['corrected_p']:.2g}"
    return PairTest(arm, interactions, planted, others, welch, permutation, corrected)
