"""Effects of single substitutions: the numbers of scoring every mutated window, in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data.sequences.encoding import N_CODE
from chromacc_models.effects.substitutions import Substitutions
from chromacc_models.kmer_kernels.scan import FrontEnd
from chromacc_models.scoring.scorer import Head, NotInterpretableError, Scorer
from tests import ROOT

MODELS = ROOT / "models"


def random_scorer(
    seed: int,
    *,
    length: int = 30,
    left: int = 0,
    right: int = 0,
    width: int = 4,
    block_length: int = 1,
    n_filters: int = 5,
    strands: str = "both",
    activation: str = "relu",
    pooling: str = "max",
    scale: float = 1.5,
    n_factors: int = 2,
    bias: float = -0.3,
) -> Scorer:
    """A network with random weights; `left` and `right` are cut off the window, or padded where negative."""
    rng = np.random.default_rng(seed)
    scanned = slice(max(left, 0), length - max(right, 0))
    padding = (max(-left, 0), max(-right, 0))
    front_end = FrontEnd(
        window_length=scanned.stop - scanned.start + sum(padding),
        n_filters=n_filters,
        width=width,
        block_length=block_length,
        spacing=block_length,
        strands=strands,
        activation=activation,
        pooling=pooling,
        scale=scale,
    )
    kernel = rng.normal(0, 0.5, (width, 4**block_length, n_filters)).astype(np.float32)
    biases = (bias + rng.normal(0, 0.3, n_filters)).astype(np.float32)
    head = Head(
        rng.normal(size=3).astype(np.float32),
        rng.normal(size=(n_filters, 3)).astype(np.float32),
        rng.normal(size=(n_filters, 3, n_factors)).astype(np.float32),
    )
    return Scorer(length, scanned, padding, front_end, kernel, biases, head)


def naive_logits(scorer: Scorer, codes: np.ndarray) -> np.ndarray:
    """Logits of one window in float64, place by place and tap by tap."""
    front_end = scorer.front_end
    scanned = scorer.scan_codes(codes[None])[0]
    kernels = [scorer.kernel.astype(np.float64)]
    if front_end.n_strands == 2:
        kernels.append(front_end.reverse_complement(kernels[0]))
    scans = []
    for kernel in kernels:
        for place in range(front_end.n_places):
            total = scorer.filter_bias.astype(np.float64)
            for tap in range(front_end.width):
                block = scanned[place + tap * front_end.spacing :][: front_end.block_length].tolist()
                if N_CODE not in block:
                    total = total + kernel[tap, int("".join(map(str, block)), 4)]
            scans.append(total)
    scans = np.array(scans)
    if front_end.activation == "relu":
        scans = np.maximum(scans, 0)
    elif front_end.activation == "exponential":
        scans = np.exp(scans)
    pool = {"max": np.max, "average": np.mean, "logsumexp": lambda a, axis: np.log(np.exp(a).mean(axis))}
    pooled = pool[front_end.pooling](scans, axis=0) * front_end.scale
    head = scorer.head
    sums = np.einsum("f,ftk->tk", pooled, head.vectors.astype(np.float64))
    squares = np.einsum("f,ftk->tk", pooled**2, head.vectors.astype(np.float64) ** 2)
    return head.bias + pooled @ head.weights.astype(np.float64) + 0.5 * (sums**2 - squares).sum(axis=1)


def naive_effects(scorer: Scorer, codes: np.ndarray) -> np.ndarray:
    reference = naive_logits(scorer, codes)
    effects = np.zeros((len(codes), 4, len(reference)))
    for position in range(len(codes)):
        for base in range(4):
            mutated = codes.copy()
            mutated[position] = base
            effects[position, base] = naive_logits(scorer, mutated) - reference
    return effects


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    pooling=st.sampled_from(["max", "max", "average", "logsumexp"]),
    activation=st.sampled_from(["relu", "exponential", "linear"]),
    strands=st.sampled_from(["forward", "both"]),
    block_length=st.sampled_from([1, 1, 2]),
    left=st.integers(-3, 5),
    right=st.integers(-3, 5),
    n_factors=st.sampled_from([0, 2]),
    n_unknown=st.integers(0, 4),
)
def test_effects__are_those_of_every_mutated_window(
    seed: int,
    pooling: str,
    activation: str,
    strands: str,
    block_length: int,
    left: int,
    right: int,
    n_factors: int,
    n_unknown: int,
):
    options = {"pooling": pooling, "activation": activation, "strands": strands, "block_length": block_length}
    width = 4 if block_length == 1 else 3
    scorer = random_scorer(seed, left=left, right=right, width=width, n_factors=n_factors, **options)
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, 30, dtype=np.uint8)
    codes[rng.integers(0, 30, n_unknown)] = N_CODE
    found = Substitutions(scorer).effects(codes[None])[0]
    expected = naive_effects(scorer, codes)
    # What the head adds up, of which float32 keeps seven digits.
    size = float((scorer.pool(codes[None]) @ np.abs(scorer.head.vectors).sum(axis=2)).max()) ** 2
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-4 + 4e-7 * size)


def test_effects__of_a_place_that_outweighs_all_others():
    """What is left of a sum of exponentials when its largest one goes is far below its rounding."""
    options = {"width": 3, "block_length": 2, "strands": "forward", "n_factors": 0}
    scorer = random_scorer(0, pooling="logsumexp", activation="exponential", **options)
    codes = np.random.default_rng(0).integers(0, 4, 30, dtype=np.uint8)
    expected = naive_effects(scorer, codes)
    np.testing.assert_allclose(Substitutions(scorer).effects(codes[None])[0], expected, rtol=1e-4, atol=1e-3)
    assert scorer.pool(codes[None]).max() > 30  # e**-30 of it are no digits of a double


@pytest.mark.parametrize("name", ["Baseline", "FactorizationMachine", "MotifBuilder"])
def test_effects__of_shipped_models(name: str):
    scorer = Scorer.open(MODELS / "hg19-dnase-6" / name / "model.keras")
    codes = np.random.default_rng(0).integers(0, 4, (2, scorer.window_length), dtype=np.uint8)
    codes[1, 300:305] = N_CODE
    found = Substitutions(scorer).effects(codes)
    for effects, window, reference in zip(found, codes, scorer.logits(codes), strict=True):
        mutated = np.repeat(window[None], 4 * len(window), axis=0)
        mutated[np.arange(len(mutated)), np.arange(len(mutated)) // 4] = np.arange(len(mutated)) % 4
        expected = (scorer.logits(mutated) - reference).reshape(len(window), 4, -1)
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(effects, expected, rtol=0, atol=5e-6)
    outside = slice(0, scorer.scanned.start)
    assert not found[:, outside].any()


def test_effects__of_some_positions():
    scorer = random_scorer(3, left=4, right=2)
    codes = np.random.default_rng(1).integers(0, 4, (3, 30), dtype=np.uint8)
    every = Substitutions(scorer).effects(codes)
    for first, stop in ((0, 30), (7, 8), (2, 6), (27, 30), (0, 3)):
        some = Substitutions(scorer).effects(codes, first=first, stop=stop)
        np.testing.assert_allclose(some, every[:, first:stop], rtol=1e-5, atol=1e-6)


def test_effects__same_bits_however_windows_are_divided():
    scorer = random_scorer(5)
    codes = np.random.default_rng(2).integers(0, 4, (9, 30), dtype=np.uint8)
    together = Substitutions(scorer).effects(codes)
    apart = np.concatenate([Substitutions(scorer).effects(codes[i : i + 1]) for i in range(len(codes))])
    assert np.array_equal(together, apart)


def test_substitutions__dilated_filters():
    scorer = random_scorer(0)
    front_end = FrontEnd(window_length=30, n_filters=5, width=4, spacing=2)
    dilated = Scorer(30, slice(0, 30), (0, 0), front_end, scorer.kernel, scorer.filter_bias, scorer.head)
    with pytest.raises(NotInterpretableError, match="2 bp apart"):
        Substitutions(dilated)
