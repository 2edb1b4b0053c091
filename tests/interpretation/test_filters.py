"""Motifs of filters: hand-made filters, naive loops, and real networks with a planted motif."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from chromacc_data.motifs.motif import information
from chromacc_data.sequences.encoding import decode, encode, one_hot, reverse_complement
from chromacc_models.interpretation.filters import (
    filter_motifs,
    ppms_from_activations,
    ppms_from_weights,
    untrained_motifs,
)

WEIGHTS = arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.sampled_from([4, 16]), st.integers(1, 3)),
    elements=st.floats(-2, 2, width=32),
)


def kernel_of(*filters: list[list[float]]) -> np.ndarray:
    """Kernel (width, 4, filter) of filters written as rows of positions."""
    return np.stack([np.array(rows, dtype=np.float32) for rows in filters], axis=-1)


def activate(kernel: np.ndarray, *, bias: float = 0.0, strands: int = 1, pad: int = 0):
    """A convolution with ReLU in naive loops: base codes to (window, place[, strand], filter)."""
    width, _, n_filters = kernel.shape

    def scan(codes: np.ndarray) -> np.ndarray:
        codes = np.pad(codes, ((0, 0), (pad // 2, pad - pad // 2)), constant_values=4)
        n_places = codes.shape[1] - width + 1
        out = np.zeros((len(codes), n_places, strands, n_filters))
        for window, place, strand in itertools.product(range(len(codes)), range(n_places), range(strands)):
            site = codes[window, place : place + width]
            site = reverse_complement(site) if strand else site
            out[window, place, strand] = np.einsum("pb,pbf->f", one_hot(site), kernel) + bias
        return np.maximum(out if strands == 2 else out[:, :, 0], 0)

    return scan


# By weights


def test_ppms_from_weights__by_hand():
    kernel = kernel_of(
        [[2, 1, 0, -5], [0, 0, 0, 7], [-1, -2, -3, -4]], [[0, 0, 0, 0], [1, 1, 1, 1], [0, 3, 1, 0]]
    )
    assert ppms_from_weights(kernel).tolist() == [
        [[2 / 3, 1 / 3, 0, 0], [0, 0, 0, 1], [0.25] * 4],
        [[0.25] * 4, [0.25] * 4, [0, 0.75, 0.25, 0]],
    ]


def test_ppms_from_weights__smoothed_by_hand():
    # Sums 4 (the largest), 2 and 0; constants 0.5 * 16 / 4 = 2 and 0.5 * 16 / 2 = 4, a quarter for each base.
    kernel = kernel_of([[4, -1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0]])
    (ppm,) = ppms_from_weights(kernel, smoothing=0.5)
    expected = [[4.5 / 6, 0.5 / 6, 0.5 / 6, 0.5 / 6], [3 / 6, 1 / 6, 1 / 6, 1 / 6], [0.25] * 4]
    np.testing.assert_allclose(ppm, expected, rtol=1e-15)


def test_ppms_from_weights__a_flat_position_takes_nothing_from_the_others():
    positions = [[2, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0]]
    alone = ppms_from_weights(kernel_of(positions), smoothing=0.1)[0]
    extended = ppms_from_weights(kernel_of([*positions, [9, 9, 9, 9]]), smoothing=0.1)[0]
    np.testing.assert_array_equal(extended, [*alone, [0.25] * 4])


def test_ppms_from_weights__blocks_by_hand():
    # Two blocks of two bases: AC three times as heavy as GT, then TT alone.
    kernel = np.full((2, 16, 1), -1.0)
    kernel[0, [1, 11], 0] = 3, 1
    kernel[1, 15, 0] = 0.2
    assert ppms_from_weights(kernel)[0].tolist() == [
        [0.75, 0, 0.25, 0],
        [0, 0.75, 0, 0.25],
        [0, 0, 0, 1],
        [0, 0, 0, 1],
    ]


@given(WEIGHTS, st.sampled_from([0, 0.1, 3.0]))
def test_ppms_from_weights__naive(kernel, smoothing):
    n_taps, n_blocks, n_filters = kernel.shape
    n = {4: 1, 16: 2}[n_blocks]
    expected = np.zeros((n_filters, n_taps * n, 4))
    for f in range(n_filters):
        weights = np.maximum(kernel[:, :, f].astype(np.float64), 0)
        largest = (weights.sum(axis=1) - n_blocks * weights.min(axis=1)).max()
        for tap, w in enumerate(weights):
            if w.sum() > 0 and largest > 0:
                extra = smoothing * (largest / w.sum()) * largest
                p = (
                    (w + extra / n_blocks) / (w.sum() + extra)
                    if np.isfinite(extra)
                    else np.full(n_blocks, 1 / n_blocks)
                )
            else:
                p = np.full(n_blocks, 1 / n_blocks)
            for block, bases in enumerate(itertools.product(range(4), repeat=n)):
                for i, base in enumerate(bases):
                    expected[f, tap * n + i, base] += p[block]
    np.testing.assert_allclose(ppms_from_weights(kernel, smoothing=smoothing), expected, atol=1e-12)


@given(WEIGHTS, st.floats(0, 2), st.floats(0, 2))
def test_ppms_from_weights__smoothing_takes_information_away(kernel, a, b):
    less, more = sorted((a, b))
    bits = [information(ppms_from_weights(kernel, smoothing=s)) for s in (less, more)]
    assert (bits[0] >= bits[1] - 1e-9).all()


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (np.ones((3, 5, 2)), r"expected \(tap, 4\*\*n, filter\)"),
        (np.ones((3, 8, 2)), r"expected \(tap, 4\*\*n, filter\)"),
        (np.ones((3, 1, 2)), r"expected \(tap, 4\*\*n, filter\)"),
        (np.ones((3, 4)), r"expected \(tap, 4\*\*n, filter\)"),
        (np.full((3, 4, 1), np.nan), "no finite numbers"),
    ],
)
def test_ppms_from_weights__no_kernel(kernel, message):
    with pytest.raises(ValueError, match=message):
        ppms_from_weights(kernel)


def test_ppms_from_weights__negative_smoothing():
    with pytest.raises(ValueError, match="at least 0"):
        ppms_from_weights(np.ones((1, 4, 1)), smoothing=-1)


# By activations


def test_ppms_from_activations__by_hand():
    # The filter likes ACG: full marks 3, so sites with a score above 1.5 count: two bases or three.
    kernel = kernel_of([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    codes = np.stack([encode("TTACGTT"), encode("TTACTTT"), encode("TTTTTTT")])
    sites = ppms_from_activations(activate(kernel), codes, width=3)
    assert sites.n_sites.tolist() == [2]
    assert sites.ppms[0].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0.5, 0.5]]
    strict = ppms_from_activations(activate(kernel), codes, width=3, threshold=0.9)
    assert (strict.n_sites.tolist(), strict.ppms[0].tolist()) == (
        [1],
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]],
    )


def test_ppms_from_activations__other_strand():
    kernel = kernel_of([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]])
    codes = encode("TTCCGTTT")[None]  # CCGT is ACGG on the other strand
    sites = ppms_from_activations(activate(kernel, strands=2), codes, width=4, threshold=0.9)
    assert sites.n_sites.tolist() == [1]
    assert decode(sites.ppms[0].argmax(axis=1)) == "ACGG"


def test_ppms_from_activations__unknown_bases_and_padding():
    kernel = kernel_of([[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]])
    codes = encode("AATNT")[None]
    # With "same" padding the first place covers an N beyond the end, A and A.
    sites = ppms_from_activations(activate(kernel, pad=2), codes, width=3, threshold=0.9)
    assert sites.n_sites.tolist() == [1]
    assert sites.ppms[0].tolist() == [[0.25] * 4, [1, 0, 0, 0], [1, 0, 0, 0]]


@pytest.mark.parametrize("length", [6, 7])
def test_ppms_from_activations__places_in_the_middle_of_the_window(length):
    kernel = kernel_of([[1, 0, 0, 0], [0, 1, 0, 0]])
    codes = encode("ACTACTGACT")[None]  # AC at 0, 3 and 7; the middle, from 2 or from 1 on, holds the second
    left = (10 - length) // 2
    scan = activate(kernel)
    sites = ppms_from_activations(
        lambda codes: scan(codes[:, left : left + length]), codes, width=2, threshold=0.9
    )
    assert sites.n_sites.tolist() == [1]
    assert sites.ppms[0].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]


def test_ppms_from_activations__silent_filter():
    kernel = kernel_of([[-1, -1, -1, -1]], [[1, 0, 0, 0]])
    sites = ppms_from_activations(activate(kernel), encode("ACGTA")[None], width=1)
    assert sites.n_sites.tolist() == [0, 2]
    assert sites.ppms.tolist() == [[[0.25] * 4], [[1, 0, 0, 0]]]


def test_ppms_from_activations__no_windows():
    with pytest.raises(ValueError, match="no windows"):
        ppms_from_activations(activate(np.ones((1, 4, 1))), np.zeros((0, 5), np.uint8), width=1)


@pytest.mark.parametrize("strands", [1, 2])
def test_ppms_from_activations__naive_over_blocks_of_windows(strands):
    # More windows than are scanned at once; the oracle looks at all activations together.
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(4, 4, 3))
    codes = rng.choice(5, p=[0.24, 0.24, 0.24, 0.24, 0.04], size=(150, 12)).astype(np.uint8)
    scan = activate(kernel, bias=-1, strands=strands)
    sites = ppms_from_activations(scan, codes, width=4)
    scores = scan(codes).reshape(150, 9, strands, 3)
    for f in range(3):
        chosen = []
        for window, place, strand in itertools.product(range(150), range(9), range(strands)):
            if scores[window, place, strand, f] > scores[..., f].max() / 2:
                site = codes[window, place : place + 4]
                chosen.append(
                    one_hot(reverse_complement(site) if strand else site)
                    + (site[:: -1 if strand else 1] == 4)[:, None] / 4
                )
        assert sites.n_sites[f] == len(chosen)
        np.testing.assert_allclose(sites.ppms[f], np.mean(chosen, axis=0), rtol=1e-12)


# Of networks


@pytest.fixture(scope="module")
def planted():
    """Windows with TGACTCA in the middle, base codes (200, 40)."""
    codes = np.random.default_rng(1).integers(0, 4, (200, 40)).astype(np.uint8)
    codes[:, 16:23] = encode("TGACTCA")
    return codes


@pytest.mark.parametrize("method", ["weights", "smoothed", "activations"])
@pytest.mark.parametrize("strands", ["forward", "both"])
def test_filter_motifs__finds_a_planted_motif(planted, method, strands):
    from chromacc_models.networks.architectures import baseline

    model = baseline(40, 1, n_filters=3, filter_width=7, strands=strands)
    layer = model.get_layer("filters")
    kernel = np.zeros((7, 4, 3), dtype=np.float32)
    kernel[..., 0] = one_hot(encode("TGACTCA")) - 0.5
    kernel[..., 1] = one_hot(encode("GGGGGGG")) - 0.5
    layer.set_weights([kernel, np.zeros(3, np.float32)])
    motifs = filter_motifs(model, method=method, codes=planted, threshold=0.9)
    assert [m.id for m in motifs] == ["filter_0", "filter_1", "filter_2"]
    assert motifs[0].consensus == "TGACTCA"
    assert (motifs[0].n_sites == 200) == (method == "activations")
    assert information(motifs[2].ppm).sum() == 0  # a filter of zeros


@pytest.mark.parametrize("method", ["weights", "activations"])
def test_filter_motifs__motif_builder(planted, method):
    from chromacc_models.networks.architectures import motif_builder

    model = motif_builder(40, 1, block_length=2, filter_blocks=3, n_filters=2, strands="both")
    kernel = np.full((3, 16, 2), -1, dtype=np.float32)
    for tap, block in enumerate(("TG", "AC", "TC")):
        first, second = encode(block)
        kernel[tap, first * 4 + second, 0] = 1
    model.get_layer("filters").assign_kernel(kernel)
    motifs = filter_motifs(model, method=method, codes=planted)
    assert (motifs[0].width, motifs[0].consensus) == (6, "TGACTC")


def test_filter_motifs__basset(planted):
    from chromacc_models.networks.architectures import basset

    model = basset(200, 1, size=0.05)
    windows = np.random.default_rng(2).integers(0, 4, (20, 200)).astype(np.uint8)
    assert [m.width for m in filter_motifs(model, method="activations", codes=windows)] == [19] * 15


@pytest.mark.parametrize("method", ["weights", "smoothed", "activations"])
def test_untrained_motifs__know_nothing_of_the_network(planted, method):
    from chromacc_models.networks.architectures import baseline

    model = baseline(40, 1, n_filters=3, filter_width=7)
    model.get_layer("filters").set_weights([np.ones((7, 4, 3), np.float32), np.zeros(3, np.float32)])
    before = model.get_weights()
    motifs = untrained_motifs(model, 8, method=method, codes=planted, seed=1)
    assert [m.id for m in motifs] == [f"untrained_{i}" for i in range(8)]
    assert {m.width for m in motifs} == {7}
    assert len({m.ppm.tobytes() for m in motifs}) == 8
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    again = untrained_motifs(model, 8, method=method, codes=planted, seed=1)
    np.testing.assert_array_equal(motifs[5].ppm, again[5].ppm)
    assert not np.array_equal(untrained_motifs(model, 1, method=method, codes=planted)[0].ppm, motifs[0].ppm)


def test_untrained_motifs__are_those_of_a_new_network():
    # Of weights, half are negative: what is left of a position is 0 to 4 bases with any ratio.
    from chromacc_models.networks.architectures import baseline

    fresh = filter_motifs(baseline(40, 1, n_filters=2000, filter_width=5, seed=3))
    uniform = untrained_motifs(baseline(40, 1, n_filters=2, filter_width=5), 2000)
    bits = [information(np.stack([m.ppm for m in motifs])) for motifs in (fresh, uniform)]
    assert bits[0].mean() == pytest.approx(bits[1].mean(), abs=0.03)
    for of_positions in bits:
        assert np.mean(of_positions == 0) == pytest.approx(1 / 16, abs=0.01)
        assert np.mean(of_positions > 2 - 1e-9) == pytest.approx(4 / 16, abs=0.02)


@pytest.mark.parametrize("tables", ["free", "additive"])
def test_untrained_motifs__of_blocks_are_those_of_new_additive_tables(tables):
    from chromacc_models.networks.architectures import motif_builder

    blocks = {"block_length": 3, "filter_blocks": 4}
    fresh = filter_motifs(motif_builder(40, 1, n_filters=1000, tables="additive", **blocks))
    model = motif_builder(40, 1, n_filters=2, tables=tables, **blocks)
    bits = [
        information(np.stack([m.ppm for m in motifs])) for motifs in (fresh, untrained_motifs(model, 1000))
    ]
    assert bits[0].shape == bits[1].shape
    np.testing.assert_allclose(*(np.quantile(b, [0.25, 0.5, 0.75]) for b in bits), atol=0.02)


@pytest.mark.parametrize("options", [{}, {"tables": "additive"}, {"scan_length": 24, "dropout": 0.5}])
def test_untrained_motifs__of_blocks_by_activations(planted, options):
    from chromacc_models.networks.architectures import motif_builder

    model = motif_builder(40, 1, block_length=2, filter_blocks=3, n_filters=3, strands="both", **options)
    before = model.get_weights()
    motifs = untrained_motifs(model, 5, method="activations", codes=planted)
    assert len({m.ppm.tobytes() for m in motifs}) == 5
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_filter_motifs__asks_for_codes():
    from chromacc_models.networks.architectures import baseline

    model = baseline(40, 1, n_filters=2, filter_width=5)
    with pytest.raises(ValueError, match="needs codes"):
        filter_motifs(model, method="activations")
    with pytest.raises(ValueError, match="'weights', 'smoothed' or 'activations'"):
        filter_motifs(model, method="gradients")


@pytest.mark.parametrize("module", ["filters", "logos", "matching", "tomtom", "combinations", "interactions"])
def test_filters__import_no_tensorflow(module):
    code = (
        f"import sys; import chromacc_models.interpretation.{module}; "
        "sys.exit(any(m in sys.modules for m in ('tensorflow', 'keras', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
