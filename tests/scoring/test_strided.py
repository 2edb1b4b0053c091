"""Windows at every stride of a sequence, scanned once: the scorer's logits of each window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_models.kmer_kernels.runs import RunMaxima
from chromacc_models.kmer_kernels.scan import ACTIVATIONS, FrontEnd
from chromacc_models.scoring.scorer import Head, Scorer
from chromacc_models.scoring.strided import StridedScorer

LENGTH, WIDTH = 40, 4


def make_scorer(
    *, pooling: str = "max", block_length: int = 1, margin: int = 0, seed: int = 0, **options: object
) -> Scorer:
    """A network of random weights that scans a window up to `margin` bases inside, or outside, its ends."""
    rng = np.random.default_rng(seed)
    front_end = FrontEnd(
        window_length=LENGTH - 2 * margin,
        n_filters=5,
        width=WIDTH,
        block_length=block_length,
        spacing=block_length,
        pooling=pooling,
        **options,
    )
    kernel, bias, head_bias, weights, vectors = (
        rng.normal(size=shape).astype(np.float32)
        for shape in ((WIDTH, 4**block_length, 5), 5, 2, (5, 2), (5, 2, 3))
    )
    scanned = slice(max(0, margin), LENGTH - max(0, margin))
    padding = (max(0, -margin),) * 2
    return Scorer(LENGTH, scanned, padding, front_end, kernel, bias, Head(head_bias, weights, vectors))


def windows_of(codes: np.ndarray, stride: int) -> np.ndarray:
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(codes, LENGTH)[::stride])


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["max", "average", "logsumexp"]),
    st.sampled_from(ACTIVATIONS),
    st.sampled_from(["forward", "both"]),
    st.sampled_from([1, 2]),
    st.sampled_from([1, 3, 7, 10, 37, 38, 60]),
    st.sampled_from([0, 3, -2]),
    st.sampled_from([1.0, -2.0]),
    st.integers(LENGTH, 300),
)
def test_logits__are_those_of_each_window(
    pooling: str,
    activation: str,
    strands: str,
    block_length: int,
    stride: int,
    margin: int,
    scale: float,
    n_bases: int,
):
    scorer = make_scorer(
        pooling=pooling,
        activation=activation,
        strands=strands,
        block_length=block_length,
        margin=margin,
        scale=scale,
    )
    codes = np.random.default_rng(n_bases).integers(0, 5, n_bases).astype(np.uint8)
    expected = scorer.logits(windows_of(codes, stride))
    found = StridedScorer(scorer, stride).logits(codes)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-5 * max(1, np.abs(expected).max()))


def test_logits__of_many_batches():
    scorer = make_scorer(strands="both")
    codes = np.random.default_rng(1).integers(0, 5, 20_000).astype(np.uint8)
    found = StridedScorer(scorer, 5).logits(codes)
    assert len(found) == (20_000 - LENGTH) // 5 + 1
    np.testing.assert_allclose(found, scorer.logits(windows_of(codes, 5)), atol=1e-5)


@pytest.mark.parametrize("n_bases", [0, LENGTH - 1])
def test_logits__of_less_than_a_window(n_bases: int):
    assert StridedScorer(make_scorer(), 7).logits(np.zeros(n_bases, np.uint8)).shape == (0, 2)


def test_strided_scorer__no_stride():
    with pytest.raises(ValueError, match="stride of 0"):
        StridedScorer(make_scorer(), 0)


def test_run_maxima__of_runs_of_all_lengths():
    scorer = make_scorer(strands="both")
    codes = np.random.default_rng(2).integers(0, 5, 200).astype(np.uint8)
    ends = np.array([1, 2, 5, 30, 30, 100, 197])
    found = RunMaxima(scorer.front_end, scorer.kernel, scorer.filter_bias)(codes, ends)
    one = FrontEnd(WIDTH, 5, WIDTH, strands="both", pooling="max")
    windows = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(codes, WIDTH))
    places = one.forward(windows, scorer.kernel, scorer.filter_bias).values
    for run, (first, end) in enumerate(zip([0, *ends], ends, strict=False)):
        expected = places[first:end].max(axis=0, initial=0)
        np.testing.assert_allclose(found[run], expected, atol=1e-6)
