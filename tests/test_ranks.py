from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from chromacc_data.ranks import auroc, n_below

FEW = st.lists(st.integers(0, 4), min_size=1, max_size=12)


@given(FEW, FEW)
def test_n_below__naive(values: list[int], others: list[int]):
    expected = [sum((o < v) + (o == v) / 2 for o in others) for v in values]
    assert n_below(np.array(values), np.array(others)).tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_auroc__that_of_scikit_learn(windows: list[tuple[int, bool]]):
    score, label = (np.array(column) for column in zip(*windows, strict=True))
    if label.all() or not label.any():
        assert np.isnan(auroc(score, label))
    else:
        assert auroc(score, label) == pytest.approx(roc_auc_score(label, score))


def test_auroc__columns_are_apart():
    rng = np.random.default_rng(0)
    score, label = rng.integers(0, 9, (40, 3)), rng.integers(0, 2, 40)
    assert auroc(score, label).tolist() == [auroc(column, label) for column in score.T]
    assert np.isnan(auroc(score, label * 0)).tolist() == [True] * 3
