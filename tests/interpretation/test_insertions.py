"""Insertions: networks whose interaction is known to the last digit, and where motifs are put."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest

from chromacc_data.errors import InputError
from chromacc_data.motifs.motif import Motif
from chromacc_data.sequences.encoding import N_CODE, decode, encode, one_hot
from chromacc_models.interpretation.insertions import (
    filter_responses,
    insertion_effect,
    insertion_places,
    predict_logits,
    shuffled_backgrounds,
)
from chromacc_models.interpretation.interactions import inner_products, motif_interactions
from tests.interpretation.test_interactions import network_of_a_pair

GATA, AP1, EBOX = (Motif(word, one_hot(encode(word))) for word in ("GATAA", "TGACT", "CACGT"))


@pytest.fixture(scope="module")
def empty() -> np.ndarray:
    """Windows of unknown bases, in which no filter is active."""
    return np.full((50, 40), N_CODE, dtype=np.uint8)


def test_insertion_effect__is_what_the_network_was_set_to(empty: np.ndarray):
    # An exact site scores 5 * 0.5 - 1 = 1.5: the machine adds <V_0, V_1> * 1.5 * 1.5.
    found = insertion_effect(network_of_a_pair(), empty, GATA, AP1)
    np.testing.assert_allclose(found.interaction, [2 * 2.25, 0], atol=1e-5)
    np.testing.assert_allclose(found.effect_a, [0.1 * 1.5, 0.2 * 1.5], atol=1e-5)
    np.testing.assert_allclose(found.effect_b, [-0.3 * 1.5, 0.1 * 1.5], atol=1e-5)
    np.testing.assert_allclose(found.interaction_error, 0, atol=1e-5)
    assert found.n == 50
    other = insertion_effect(network_of_a_pair(), empty, GATA, EBOX)
    np.testing.assert_allclose(other.interaction, [0, -2 * 2.25], atol=1e-5)


def test_insertion_effect__does_not_change_when_a_filter_is_rescaled(empty: np.ndarray):
    plain, rescaled = (insertion_effect(network_of_a_pair(scale=s), empty, GATA, AP1) for s in (1.0, 20.0))
    np.testing.assert_allclose(rescaled.interaction, plain.interaction, atol=1e-4)


def test_insertion_effect__of_a_function_equals_that_of_the_network():
    model = network_of_a_pair()
    codes = np.random.default_rng(0).integers(0, 4, (60, 40)).astype(np.uint8)
    by_function = insertion_effect(
        lambda batch: model.predict_on_batch(one_hot(batch, dtype=np.float32)), codes, GATA, AP1
    )
    by_model = insertion_effect(model, codes, GATA, AP1)
    np.testing.assert_allclose(by_function.interaction, by_model.interaction, atol=1e-3)
    assert (by_model.interaction_error > 0).all()
    swapped = insertion_effect(model, codes, AP1, GATA)
    assert abs(swapped.interaction[0] - by_model.interaction[0]) < 4 * by_model.interaction_error[0]
    np.testing.assert_allclose(by_model.interaction_error, by_function.interaction_error, atol=1e-3)


def test_insertion_effect__within_the_middle():
    # What the predictor sees beyond the middle changes nothing: all insertions are where it looks.
    codes = np.full((40, 60), N_CODE, dtype=np.uint8)
    seen = []

    def look(batch: np.ndarray) -> np.ndarray:
        seen.append(batch)
        return np.full((len(batch), 1), 0.5)

    insertion_effect(look, codes, GATA, AP1, within=(20, 32))
    changed = (np.concatenate(seen) != N_CODE).any(axis=0)
    assert np.flatnonzero(changed).tolist() == list(range(20, 32))
    with pytest.raises(ValueError, match="within is"):
        insertion_effect(look, codes, GATA, AP1, within=(20, 61))


def test_insertion_effect__standard_error_by_hand():
    # The interaction is 1 where the first base is A, else 0.
    codes = np.zeros((4, 30), dtype=np.uint8)
    codes[2:, 0] = 3

    def predict(batch: np.ndarray) -> np.ndarray:
        words = [decode(row) for row in batch]
        both = np.array(["CCCCC" in word and "GGGGG" in word for word in words])
        first = batch[:, 0] == 0
        return (1 / (1 + np.exp(-1.0 * (both & first))))[:, None]

    a, b = (Motif(base, one_hot(encode(base * 5))) for base in "CG")
    for seed in range(20):
        places = insertion_places(np.random.default_rng(seed), 4, 30, 5, 5)
        if places.min() > 0:
            break
    found = insertion_effect(predict, codes, a, b, seed=seed)
    assert found.interaction[0] == pytest.approx(0.5)
    assert found.interaction_error[0] == pytest.approx(np.std([1, 1, 0, 0], ddof=1) / 2)


def test_insertion_effect__what_the_predictor_sees():
    seen = []

    def remember(batch: np.ndarray) -> np.ndarray:
        seen.extend(decode(row) for row in batch)
        return np.full((len(batch), 1), 0.5)

    a, b = Motif("a", one_hot(encode("CCGC"))), Motif("b", one_hot(encode("GTGGT")))
    insertion_effect(remember, np.zeros((30, 20), np.uint8), a, b, both_strands=True, seed=1)
    for none, only_a, only_b, both in zip(*(seen[i * 30 : (i + 1) * 30] for i in range(4)), strict=True):
        assert none == "A" * 20
        assert ("CCGC" in only_a) + ("GCGG" in only_a) == 1
        assert ("GTGGT" in only_b) + ("ACCAC" in only_b) == 1
        merged = "".join(y if y != "A" else x for x, y in zip(only_a, only_b, strict=True))
        assert both.count("A") == 20 - 4 - 5 + ("ACCAC" in only_b) * 2
        assert both == merged
    assert any("GCGG" in word for word in seen[30:60])
    assert any("CCGC" in word for word in seen[30:60])


def test_insertion_places__all_that_do_not_overlap_equally():
    places = insertion_places(np.random.default_rng(0), 60_000, 7, 2, 3)
    allowed = {(a, b) for a, b in itertools.product(range(6), range(5)) if a + 2 <= b or b + 3 <= a}
    found, counts = np.unique(places, axis=0, return_counts=True)
    assert set(map(tuple, found.tolist())) == allowed
    assert counts.min() > 0.9 * 60_000 / len(allowed)
    assert insertion_places(np.random.default_rng(0), 2, 5, 2, 3).shape == (2, 2)


def test_insertion_effect__bad_input(empty: np.ndarray):
    with pytest.raises(ValueError, match="two or more"):
        insertion_effect(network_of_a_pair(), empty[:1], GATA, AP1)
    with pytest.raises(ValueError, match="do not fit into windows of 9 bp"):
        insertion_effect(lambda codes: codes, empty[:, :9], GATA, AP1)


def test_predict_logits__of_a_model_without_head():
    inputs = keras.Input((5, 4))
    outputs = keras.layers.Dense(1, activation="sigmoid", use_bias=False, kernel_initializer="ones")(
        keras.layers.Flatten()(inputs)
    )
    codes = np.array([[0, 1, 2, 3, 4]], dtype=np.uint8)
    np.testing.assert_allclose(predict_logits(keras.Model(inputs, outputs), codes), [[4.0]], rtol=1e-4)
    assert predict_logits(lambda batch: np.ones((1, 1)), codes)[0, 0] == pytest.approx(16.1, abs=0.1)


def test_shuffled_backgrounds__windows_without_n_evenly():
    codes = np.random.default_rng(0).integers(0, 4, (50, 30), dtype=np.uint8)
    codes[:, 0] = np.arange(50) % 4
    codes[::2, 7] = N_CODE
    found = shuffled_backgrounds(codes, 5)
    chosen = codes[1::2][[0, 6, 12, 18, 24]]
    assert np.array_equal(np.sort(found, axis=1), np.sort(chosen, axis=1))
    assert np.array_equal(found[:, 0], chosen[:, 0])  # the first base stays
    assert not np.array_equal(found, chosen)
    assert len(shuffled_backgrounds(codes, 100)) == 25
    with pytest.raises(InputError, match="no background"):
        shuffled_backgrounds(codes[:3], 5)


def test_filter_responses__of_a_network_set_to_three_motifs(empty: np.ndarray):
    # Filters of network_of_a_pair: GATAA, TGACT and CACGT.
    found = filter_responses(network_of_a_pair(), empty, [GATA, AP1, EBOX])
    assert np.array_equal(found.auroc, 0.5 + 0.5 * np.eye(3))
    np.testing.assert_allclose(found.rise, 1.5 * np.eye(3))
    assert np.array_equal(found.drives, np.eye(3))
    assert filter_responses(network_of_a_pair(), empty, []).rise.shape == (3, 0)
    with pytest.raises(ValueError, match="does not fit"):
        filter_responses(network_of_a_pair(), empty, [GATA], within=(0, 4))


def test_motif_interactions__of_rises_are_those_of_predictions(empty: np.ndarray):
    model = network_of_a_pair()
    motifs = [GATA, AP1, EBOX]
    rise = filter_responses(model, empty, motifs).rise
    found = motif_interactions(inner_products(np.asarray(model.get_layer("head").vectors)), rise)
    for i, j in itertools.combinations(range(3), 2):
        effect = insertion_effect(model, empty, motifs[i], motifs[j])
        np.testing.assert_allclose(found[:, i, j], effect.interaction, atol=1e-5)
    assert found[0, 0, 1] == pytest.approx(2 * 2.25)


def test_filter_responses__is_an_area_under_the_curve():
    # Random backgrounds hold sites by chance: a filter is raised by a motif less surely.
    codes = np.random.default_rng(0).integers(0, 4, (300, 40), dtype=np.uint8)
    codes[:150, 10:15] = encode("GATAA")
    found = filter_responses(network_of_a_pair(), codes, [GATA, EBOX], within=(20, 40))  # next to the sites
    assert found.auroc[0, 0] == pytest.approx(0.75, abs=0.02)
    assert found.auroc[0, 1] == pytest.approx(0.5, abs=0.05)
    assert 0 < found.rise[0, 0] < 0.75  # half of the windows have the best site already
    assert found.rise[0, 1] == pytest.approx(0, abs=0.05)


def test_filter_responses__either_strand_where_both_are_scanned(empty: np.ndarray):
    found = filter_responses(network_of_a_pair(), empty, [GATA], both_strands=True, seed=1)
    assert (
        0.65 < found.auroc[0, 0] < 0.85
    )  # half of the insertions are reverse-complemented, and this network scans one strand
