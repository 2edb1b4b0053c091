from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, ttest_1samp, wilcoxon
from sklearn.metrics import average_precision_score, roc_auc_score

from chromacc_data.errors import InputError
from chromacc_models.evaluation.compare import (
    compare,
    compare_predictions,
    corrected_resampled_t,
    holm,
    paired_test,
)
from chromacc_models.evaluation.cross_validation import cross_validate
from chromacc_models.training.config import TrainConfig
from chromacc_models.training.train import train
from tests.evaluation.test_scores import naive_delong, simulated


def noisy(predictions: np.ndarray, seed: int = 1) -> np.ndarray:
    return predictions + 0.2 * np.random.default_rng(seed).normal(size=predictions.shape)


def test_compare_predictions__equals_scipy_scikit_learn_and_the_naive_delong():
    labels, better = simulated(300, 6, shift=1.5)
    worse = noisy(better)
    names = tuple("abcdef")
    found = compare_predictions([(labels, worse, better)], names)
    differences = []
    for i, row in enumerate(found.cell_types):
        y, first, second = labels[:, i], worse[:, i], better[:, i]
        auroc, covariance = naive_delong(y, np.stack([first, second]))
        z = (auroc[1] - auroc[0]) / np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
        assert row.p == pytest.approx(2 * norm.sf(abs(z)))
        assert row.auroc_a == pytest.approx(roc_auc_score(y, first))
        assert row.auprc_b == pytest.approx(average_precision_score(y, second))
        assert row.p <= row.p_bh <= row.p_holm
        differences.append(roc_auc_score(y, second) - roc_auc_score(y, first))
    assert found.auroc.p_greater == pytest.approx(wilcoxon(differences, alternative="greater").pvalue)
    assert found.auroc.p_two_sided == pytest.approx(wilcoxon(differences).pvalue)
    assert found.auroc.mean_difference == pytest.approx(np.mean(differences))
    assert found.auroc.rank_biserial == 1  # better in each of the six
    assert "b - a = +" in str(found)


def test_compare_predictions__pools_folds_and_counts_cell_types_of_one_class():
    labels, predictions = simulated(100, 3)
    one_class = labels.copy()
    one_class[:, 1] = 0
    pairs = [(labels, predictions, noisy(predictions)), (one_class, predictions, noisy(predictions))]
    found = compare_predictions(pairs, ("a", "b", "c"), folds=[0, 1])
    assert [(row.cell_type, row.fold) for row in found.cell_types] == [
        ("a", 0),
        ("b", 0),
        ("c", 0),
        ("a", 1),
        ("c", 1),
    ]
    assert found.n_undefined == 1
    assert found.auroc.n == 5
    with pytest.raises(InputError, match="nothing to compare"):
        compare_predictions([(one_class[:, 1:2], predictions[:, 1:2], predictions[:, 1:2])], ("b",))


def test_compare_predictions__same_predictions():
    labels, predictions = simulated(100, 3)
    found = compare_predictions([(labels, predictions, predictions)], ("a", "b", "c"))
    assert found.auroc.p_two_sided == 1
    assert [row.p for row in found.cell_types] == [1, 1, 1]


def test_paired_test__by_hand():
    # Ranks of the absolute values 1 2 3 4: 3 is negative; the zero is left out of the ranks.
    found = paired_test(np.array([0.4, -0.3, 0.2, 0.1, 0.0]))
    assert found.n == 5
    assert found.statistic == 7
    assert found.rank_biserial == pytest.approx((7 - 3) / 10)
    assert found.p_two_sided == pytest.approx(10 / 16)  # of 16 sign patterns, those with a smaller sum <= 3


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.floats(0, 1), st.floats(0, 0.06)), min_size=1, max_size=12))
def test_holm__equals_the_step_down_procedure(p: list[float]):
    corrected = holm(np.array(p))
    for alpha in (0.01, 0.05, 0.3):
        rejected = set()
        for step, i in enumerate(np.argsort(p, kind="stable")):
            if p[i] * (len(p) - step) > alpha:
                break
            rejected.add(int(i))
        assert rejected == set(np.flatnonzero(corrected <= alpha).tolist())


def test_corrected_resampled_t__by_hand():
    # Mean 2, variance 1, three folds: the variance of the mean is 1/3 + 1/2.
    found = corrected_resampled_t(np.array([1.0, 2.0, 3.0]), test_train_ratio=0.5)
    assert found.t == pytest.approx(2 / np.sqrt(5 / 6))
    assert found.standard_error == pytest.approx(np.sqrt(5 / 6))
    assert found.p_greater == pytest.approx(found.p_two_sided / 2)


def test_corrected_resampled_t__without_correction_is_scipys():
    differences = np.random.default_rng(0).normal(0.3, 1, 10)
    plain = corrected_resampled_t(differences, test_train_ratio=0)
    expected = ttest_1samp(differences, 0)
    assert (plain.t, plain.p_two_sided) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))
    greater = ttest_1samp(differences, 0, alternative="greater").pvalue
    assert plain.p_greater == pytest.approx(greater)
    assert corrected_resampled_t(differences, test_train_ratio=1 / 9).p_two_sided > plain.p_two_sided


def test_corrected_resampled_t__folds_that_agree():
    assert corrected_resampled_t(np.zeros(3), test_train_ratio=0.5).p_two_sided == 1
    assert corrected_resampled_t(np.full(3, 0.25), test_train_ratio=0.5).p_greater == 0
    assert corrected_resampled_t(np.full(3, -0.25), test_train_ratio=0.5).p_greater == 1
    with pytest.raises(ValueError, match="1 folds"):
        corrected_resampled_t(np.ones(1), test_train_ratio=0.5)


def test_compare_predictions__over_folds():
    pairs = []
    for seed in range(3):
        labels, predictions = simulated(100, 2)
        pairs.append((labels, noisy(predictions, seed), predictions))
    found = compare_predictions(pairs, ("a", "b"), folds=[0, 1, 2], test_train_ratio=0.5)
    means = [np.mean([row.difference for row in found.cell_types if row.fold == fold]) for fold in range(3)]
    expected = corrected_resampled_t(np.array(means), test_train_ratio=0.5)
    assert found.auroc_folds.t == pytest.approx(expected.t)
    assert found.auprc_folds.n_folds == 3
    assert "over 3 folds" in str(found)
    assert found.to_dict()["auroc_folds"]["n_folds"] == 3
    # Runs of one split that differ by their seeds are no folds.
    for folds in (None, [None] * 3, [0, 0, 0]):
        seeds = compare_predictions(pairs, ("a", "b"), folds=folds, test_train_ratio=0.5)
        assert seeds.auroc_folds is None
        assert seeds.to_dict()["auroc_folds"] is None


def test_compare__folds_of_a_cross_validation(make_store: Callable[..., Path], tmp_path: Path):
    path = make_store("a.zarr", n_windows=90, window_length=20, fold=np.arange(90, dtype=np.int8) % 3)
    options = {"network": "baseline", "n_filters": 2, "filter_width": 4, "epochs": 1}
    a, b = (
        cross_validate(path, TrainConfig(**options, seed=seed), tmp_path / f"{seed}").runs
        for seed in range(2)
    )
    found = compare(a, b)
    by_fold = [np.mean([r.difference for r in found.cell_types if r.fold == fold]) for fold in range(3)]
    # Of three folds one tests, one validates, and one trains.
    expected = corrected_resampled_t(np.array(by_fold), test_train_ratio=1)
    assert found.auroc_folds.standard_error == pytest.approx(expected.standard_error)
    assert compare(a[0], b[0]).auroc_folds is None
    assert compare(tmp_path / "0", tmp_path / "1") == found  # folders of the two


def test_compare__runs(make_store: Callable[..., Path], tmp_path: Path):
    path = make_store("a.zarr", n_windows=90, window_length=20)
    options = {"network": "baseline", "n_filters": 2, "filter_width": 4, "epochs": 1}
    runs = [train(path, TrainConfig(**options, seed=seed), tmp_path / f"run-{seed}") for seed in range(3)]
    found = compare(runs[0].folder, runs[1])
    assert (found.a, found.b) == (str(runs[0].folder), str(runs[1].folder))
    assert len(found.cell_types) == 2
    assert (runs[0].folder / "evaluation.json").exists()
    assert compare(runs[1], runs[0]).auroc.mean_difference == -found.auroc.mean_difference
    assert compare([runs[0], runs[1]], [runs[1], runs[2]]).auroc.n == 4
    with pytest.raises(InputError, match="unequal numbers of runs"):
        compare([runs[0], runs[1]], runs[2])

    other = make_store("b.zarr", n_windows=60, window_length=20)
    elsewhere = train(other, TrainConfig(**options), tmp_path / "elsewhere")
    with pytest.raises(InputError, match="tested on different windows"):
        compare(runs[0], elsewhere)
