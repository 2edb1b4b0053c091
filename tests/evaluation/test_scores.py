from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from chromacc_models.evaluation.scores import (
    ROC_GRID,
    average_precision,
    calibrate,
    delong,
    mean_roc,
    score,
)

RNG = np.random.default_rng(0)


def naive_delong(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Definition, by comparing each open window with each closed one."""
    opened, closed = scores[:, labels == 1], scores[:, labels == 0]
    psi = (opened[:, :, None] > closed[:, None]) + 0.5 * (opened[:, :, None] == closed[:, None])
    covariance = np.cov(psi.mean(axis=2)) / opened.shape[1] + np.cov(psi.mean(axis=1)) / closed.shape[1]
    return psi.mean(axis=(1, 2)), np.atleast_2d(covariance)


@settings(max_examples=50, deadline=None)
@given(
    n_open=st.integers(2, 20),
    n_closed=st.integers(2, 20),
    n_sets=st.integers(1, 3),
    n_values=st.integers(1, 30),
    seed=st.integers(0, 2**16),
)
def test_delong__equals_the_definition(n_open, n_closed, n_sets, n_values, seed):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([1, 0], [n_open, n_closed]))
    scores = rng.integers(0, n_values, (n_sets, len(labels))) / n_values  # few values: ties
    found, (auroc, covariance) = delong(labels, scores), naive_delong(labels, scores)
    np.testing.assert_allclose(found.auroc, auroc, atol=1e-12)
    np.testing.assert_allclose(found.covariance, covariance, atol=1e-12)
    np.testing.assert_allclose(found.auroc, [roc_auc_score(labels, s) for s in scores], atol=1e-12)


def test_delong__single_open_window():
    found = delong(np.array([1, 0, 0]), np.array([[0.5, 0.2, 0.9]]))
    assert found.auroc.tolist() == [0.5]
    assert np.isfinite(found.covariance).all()


def simulated(n_windows: int, n_cell_types: int = 2, shift: float = 1.0, seed: int = 0):
    rng = np.random.default_rng(seed)
    labels = (rng.random((n_windows, n_cell_types)) < 0.3).astype(np.uint8)
    logits = rng.normal(size=labels.shape) + shift * labels - 1
    return labels, (1 / (1 + np.exp(-logits))).astype(np.float32)


def test_score__equals_scikit_learn():
    labels, predictions = simulated(500)
    found = score(labels, predictions, ("a", "b"))
    for i, one in enumerate(found.cell_types):
        assert one.auroc == pytest.approx(roc_auc_score(labels[:, i], predictions[:, i]))
        assert one.auprc == pytest.approx(average_precision_score(labels[:, i], predictions[:, i]))
        assert one.brier == pytest.approx(brier_score_loss(labels[:, i], predictions[:, i]))
        assert one.auroc_low < one.auroc < one.auroc_high
        assert one.auprc_low < one.auprc < one.auprc_high
        assert (one.n_windows, one.n_open) == (500, labels[:, i].sum())
    assert found.mean_auroc == pytest.approx(np.mean([s.auroc for s in found.cell_types]))


def test_score__intervals_cover_the_truth_as_often_as_they_say():
    truth = [score(*simulated(60_000, 1, seed=99), ("a",)).cell_types[0]]
    covered = np.zeros(2)
    for seed in range(200):
        one = score(*simulated(300, 1, seed=seed), ("a",)).cell_types[0]
        covered += [
            one.auroc_low <= truth[0].auroc <= one.auroc_high,
            one.auprc_low <= truth[0].auprc <= one.auprc_high,
        ]
    assert (covered / 200 >= 0.90).all()
    assert (covered / 200 <= 0.99).all()


def test_score__cell_type_of_one_class_has_none():
    labels, predictions = simulated(50, 3)
    labels[:, 0], labels[:, 2] = 0, 1
    found = score(labels, predictions, ("never", "some", "always"))
    assert np.isnan([found.cell_types[i].auroc for i in (0, 2)]).all()
    assert found.n_undefined == 2
    assert found.mean_auroc == found.cell_types[1].auroc
    assert "2 cell types have no score: all windows open, or all closed" in str(found)
    assert np.isnan(score(labels[:, :1], predictions[:, :1], ("never",)).mean_auprc)


def test_to_dict__is_json_without_nan():
    labels, predictions = simulated(50, 2)
    labels[:, 0] = 0
    for names in (("never", "some"), ("never",)):
        n = len(names)
        text = json.dumps(score(labels[:, :n], predictions[:, :n], names).to_dict(), allow_nan=False)
        found = json.loads(text)
        never = found["cell_types"][0]
        assert [never[f"auroc{part}"] for part in ("", "_low", "_high")] == [None] * 3
        assert never["brier"] is not None
        assert (found["mean_auroc"] is None) == (n == 1)


def test_score__perfect_predictions():
    labels, _ = simulated(50, 1)
    one = score(labels, labels.astype(np.float32), ("a",)).cell_types[0]
    assert (one.auroc, one.auroc_low, one.auprc, one.brier, one.calibration_error) == (1, 1, 1, 0, 0)


def test_calibrate__equals_scikit_learn():
    labels, predictions = simulated(400)
    found = calibrate(labels, predictions)
    observed, predicted = calibration_curve(labels.ravel(), predictions.ravel(), n_bins=10)
    filled = found.counts > 0
    np.testing.assert_allclose(found.observed[filled], observed)
    np.testing.assert_allclose(found.predicted[filled], predicted)
    assert np.isnan(found.observed[~filled]).all()
    assert found.counts.sum() == labels.size


def test_calibrate__error_by_hand():
    found = calibrate(np.array([0, 1, 1, 1]), np.array([0.25, 0.25, 0.95, 1.0]))
    assert found.counts.tolist() == [0, 0, 2, 0, 0, 0, 0, 0, 0, 2]
    assert found.error == pytest.approx(0.5 * 0.25 + 0.5 * 0.025)


def test_mean_roc__averages_true_positive_rates():
    labels = np.array([[0, 0], [0, 0], [1, 1], [1, 1]])
    predictions = np.array([[0.1, 0.9], [0.2, 0.1], [0.8, 0.5], [0.9, 0.6]])
    curve = dict(zip(ROC_GRID.round(3), mean_roc(labels, predictions), strict=True))
    # The first cell type is perfect; the second has one closed window above all open ones.
    assert (curve[0.0], curve[0.25], curve[0.75], curve[1.0]) == (0, 0.5, 1, 1)


def test_average_precision__of_nothing_is_nan():
    assert average_precision(np.array([1, 0, 1, 0]), np.array([4, 3, 2, 1])) == pytest.approx((1 + 2 / 3) / 2)
    assert np.isnan(average_precision(np.zeros(3, dtype=bool), np.arange(3)))
