"""Filters taken apart: hand-made combinations whose parts are known, with noise and decoys."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from chromacc_data.motifs.files import read_motifs
from chromacc_data.motifs.motif import Motif, reverse_complement
from chromacc_data.sequences.encoding import encode, one_hot
from chromacc_models.interpretation.combinations import decompose_filters, score_decompositions
from chromacc_models.interpretation.filters import base_weights
from chromacc_models.interpretation.matching import motif_groups
from tests import ROOT
from tests.motif_filters import ppm_filters

WIDTH = 20


def random_motifs(n: int, *, seed: int = 0, width: int = 9) -> list[Motif]:
    """Exact motifs, no two alike."""
    rng = np.random.default_rng(seed)
    return [Motif(f"M{i}", np.eye(4)[rng.integers(0, 4, width)]) for i in range(n)]


def plant(
    motifs: list[Motif],
    n_filters: int,
    n_parts: int,
    *,
    noise: float = 0.0,
    both_strands: bool = False,
    seed: int = 1,
) -> tuple[np.ndarray, list[dict[int, tuple[int, int]]]]:
    """Kernel (width, 4, filter) of filters with motifs at random places, {motif: place} of each."""
    rng = np.random.default_rng(seed)
    kernel = rng.normal(0, noise, (WIDTH, 4, n_filters)) if noise else np.zeros((WIDTH, 4, n_filters))
    truth = []
    for f in range(n_filters):
        chosen = rng.choice(len(motifs), n_parts, replace=False)
        places = {}
        for m in chosen:
            strand = int(rng.choice([1, -1])) if both_strands else 1
            oriented = motifs[m] if strand == 1 else reverse_complement(motifs[m])
            offset = int(rng.integers(0, WIDTH - oriented.width + 1))
            kernel[offset : offset + oriented.width, :, f] += rng.uniform(0.7, 1.3) * oriented.ppm
            places[int(m)] = (offset, strand)
        truth.append(places)
    return kernel, truth


def test_decompose_filters__one_motif_is_found_where_it_is():
    motifs = random_motifs(20)
    kernel, truth = plant(motifs, 20, 1, both_strands=True)
    for found, places in zip(
        decompose_filters(base_weights(kernel), motifs, both_strands=True), truth, strict=True
    ):
        assert {part.motif: (part.offset, part.strand) for part in found.parts} == places
        assert found.explained == pytest.approx(1)


def test_decompose_filters__weights_are_those_of_the_filter():
    motif = Motif(
        "x", np.array([[0.97, 0.01, 0.01, 0.01], [0.49, 0.49, 0.01, 0.01], [0.01, 0.01, 0.97, 0.01]])
    )
    kernel = ppm_filters([motif.ppm], 8, scale=0.3)
    (found,) = decompose_filters(base_weights(kernel), [motif], penalty=0)
    assert found.parts[0].weight == pytest.approx(0.3)
    assert (found.parts[0].offset, found.explained) == (2, pytest.approx(1))


@pytest.mark.parametrize(
    ("n_parts", "noise", "precision", "recall"),
    [(2, 0.0, 1, 1), (2, 0.2, 0.97, 0.97), (3, 0.0, 1, 1), (3, 0.2, 0.97, 0.95)],
)
def test_decompose_filters__combinations(n_parts: int, noise: float, precision: float, recall: float):
    motifs = random_motifs(20)
    kernel, truth = plant(motifs, 40, n_parts, noise=noise, both_strands=True)
    found = decompose_filters(base_weights(kernel), motifs, both_strands=True)
    score = score_decompositions([f.motifs for f in found], truth)
    assert score.precision >= precision
    assert score.recall >= recall


def test_decompose_filters__a_filter_of_noise_holds_nothing():
    kernel = np.random.default_rng(0).normal(size=(WIDTH, 4, 100))
    found = decompose_filters(base_weights(kernel), random_motifs(20), both_strands=True)
    assert sum(bool(f.parts) for f in found) <= 3
    flat = decompose_filters(np.ones((1, WIDTH, 4)), random_motifs(3))
    assert flat[0] == ((), 0)


def test_decompose_filters__laws():
    motifs = random_motifs(8)
    kernel, _ = plant(motifs, 6, 2, noise=0.2)
    weights = base_weights(kernel)
    found = decompose_filters(weights, motifs)
    places = [[part[:3] for part in f.parts] for f in found]
    # The scale of a filter, the order of filters and the order of motifs change nothing.
    scaled = decompose_filters(weights * 7, motifs)
    assert [[part[:3] for part in f.parts] for f in scaled] == places
    assert [f.motifs for f in decompose_filters(weights[::-1], motifs)][::-1] == [f.motifs for f in found]
    backwards = decompose_filters(weights, motifs[::-1])
    assert [{7 - m for m in f.motifs} for f in backwards] == [f.motifs for f in found]
    # The reverse complement of a filter holds the same motifs, reverse-complemented.
    both = decompose_filters(weights, motifs, both_strands=True)
    oriented = decompose_filters(weights[:, ::-1, ::-1], motifs, both_strands=True)
    for a, b in zip(both, oriented, strict=True):
        assert {(p.motif, p.strand, p.offset) for p in a.parts} == {
            (p.motif, -p.strand, WIDTH - motifs[p.motif].width - p.offset) for p in b.parts
        }


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_decompose_filters__never_more_parts_than_asked_for(seed: int, max_parts: int):
    motifs = random_motifs(6, seed=seed)
    kernel, _ = plant(motifs, 2, 4, noise=0.1, seed=seed)
    for found in decompose_filters(base_weights(kernel), motifs, max_parts=max_parts, penalty=0):
        assert 1 <= len(found.parts) <= max_parts
        assert len(found.motifs) == len(found.parts)
        assert 0 < found.explained <= 1


def test_decompose_filters__a_motif_that_is_there_twice_is_one_part():
    motifs = random_motifs(5, width=7)
    twice = np.concatenate([motifs[0].ppm, np.zeros((3, 4)), motifs[0].ppm])
    (found,) = decompose_filters(twice[None], motifs, penalty=0)
    assert len(found.motifs) == len(found.parts)
    assert found.motifs >= {0}


def test_decompose_filters__pairs_are_those_of_an_exhaustive_search():
    motifs, width = random_motifs(3, width=5), 8
    rng = np.random.default_rng(2)
    weights = rng.random((20, width, 4)) ** 3
    found = decompose_filters(weights, motifs, max_parts=2, penalty=0, min_inside=1)
    columns = {
        (m, offset): np.pad(motif.ppm, ((offset, width - 5 - offset), (0, 0))).ravel()
        for m, motif in enumerate(motifs)
        for offset in range(width - 4)
    }
    n_best = 0
    for filter_, y in zip(found, weights.reshape(20, -1), strict=True):
        left = {
            pair: nnls(np.stack([np.ones(width * 4), *(columns[p] for p in pair)], axis=1), y)[1] ** 2
            for pair in itertools.combinations(columns, 2)
            if pair[0][0] != pair[1][0]
        }
        explained = 1 - min(left.values()) / np.square(y - y.mean()).sum()
        assert filter_.explained <= explained + 1e-9
        n_best += filter_.explained == pytest.approx(explained)
    assert n_best >= 18


def test_decompose_filters__motifs_wider_than_the_filter_and_past_its_end():
    wide = Motif("wide", np.eye(4)[encode("ACGTTGCAAGTC")])
    (found,) = decompose_filters(wide.ppm[None, 3:9], [wide])
    assert [(part.motif, part.offset) for part in found.parts] == [(0, -3)]
    narrow = Motif("narrow", np.eye(4)[encode("GATAAGGC")])
    cut = np.concatenate([np.zeros((10, 4)), narrow.ppm[:6]])
    (found,) = decompose_filters(cut[None], [narrow])
    assert [(part.motif, part.offset) for part in found.parts] == [(0, 10)]


@pytest.mark.parametrize(
    ("weights", "motifs", "message"),
    [
        (np.ones((2, 5)), random_motifs(1), r"expected \(filter, width, 4\)"),
        (-np.ones((2, 5, 4)), random_motifs(1), "at least 0"),
        (np.ones((2, 5, 4)), [], "no motifs"),
    ],
)
def test_decompose_filters__bad_input(weights: np.ndarray, motifs: list[Motif], message: str):
    with pytest.raises(ValueError, match=message):
        decompose_filters(weights, motifs)


def test_decompose_filters__motifs_that_prefer_no_base():
    with pytest.raises(ValueError, match="none of 1 motifs prefers any base"):
        decompose_filters(np.ones((1, 8, 4)), [Motif("even", np.full((4, 4), 0.25))])


def test_score_decompositions__by_hand():
    found, truth = [{0, 1}, {2}, set()], [{0}, {2, 3}, set()]
    score = score_decompositions(found, truth)
    assert (score.precision, score.recall, score.exact) == (2 / 3, 2 / 3, 1 / 3)
    # 1 is 0 under another name, 3 is 2: all is right.
    assert score_decompositions(found, truth, group=np.array([0, 0, 1, 1])) == (1, 1, 1)
    np.testing.assert_equal(score_decompositions([set()], [{1}]), (np.nan, 0, 0))
    np.testing.assert_equal(score_decompositions([{1}], [set()]), (0, np.nan, 0))


def test_base_weights__blocks_hold_the_mean():
    kernel = np.full((1, 16, 1), -1.0)
    kernel[0, [1, 3], 0] = 8, 4  # AC and AT
    assert base_weights(kernel)[0].tolist() == [[3, 0, 0, 0], [0, 2, 0, 1]]
    assert one_hot(encode("A")).tolist() == [[1, 0, 0, 0]]


@pytest.mark.shared
def test_decompose_filters__real_motifs_among_decoys(shared_data: Path):
    # Filters of two real motifs each, as log-odds with noise, to be found among 200 of CIS-BP.
    motifs = [
        m for m in read_motifs(shared_data / "motifs" / "CISBP_Homo_sapiens_basset.meme") if m.width <= 12
    ]
    motifs = motifs[:: len(motifs) // 200][:200]
    rng = np.random.default_rng(0)
    kernel, truth = rng.normal(0, 0.2, (WIDTH, 4, 30)), []
    for f in range(30):
        chosen = rng.choice(len(motifs), 2, replace=False)
        for m in chosen:
            offset = int(rng.integers(0, WIDTH - motifs[m].width + 1))
            odds = ppm_filters([motifs[m].ppm], motifs[m].width, scale=1.0)[..., 0]
            kernel[offset : offset + motifs[m].width, :, f] += np.maximum(odds, 0)
        truth.append(set(chosen.tolist()))
    found = decompose_filters(base_weights(kernel), motifs)
    score = score_decompositions([f.motifs for f in found], truth, group=motif_groups(motifs))
    assert score.precision >= 0.9
    assert score.recall >= 0.8


def test_decompose_filters__seldom_finds_motifs_in_noise():
    motifs = read_motifs(ROOT / "datasets" / "additive-20" / "motifs.meme")
    noise = np.maximum(np.random.default_rng(0).normal(size=(200, 20, 4)), 0)
    rate = {
        p: np.mean([bool(d.parts) for d in decompose_filters(noise, motifs, penalty=p)]) for p in (1, 1.5)
    }
    assert rate[1.5] < 0.06 < rate[1]


def test_score_decompositions__of_no_filters():
    np.testing.assert_equal(score_decompositions([], []), (np.nan, np.nan, np.nan))
