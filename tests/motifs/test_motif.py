"""Motifs: information against hand-made truth and Biopython, laws of strand and trimming."""

from __future__ import annotations

import numpy as np
import pytest
from Bio.motifs.matrix import PositionWeightMatrix
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from chromacc_data.motifs.motif import UNIFORM, Motif, contributions, information, reverse_complement, trim

FLAT, G = [0.25] * 4, [0, 0, 1, 0]


def ppms(max_width: int = 12) -> st.SearchStrategy[np.ndarray]:
    """Position probability matrices, shape (width, 4)."""
    weights = arrays(
        np.float64, st.tuples(st.integers(1, max_width), st.just(4)), elements=st.floats(1e-3, 1)
    )
    return weights.map(lambda w: w / w.sum(axis=1, keepdims=True))


@pytest.mark.parametrize(
    ("ppm", "message"),
    [
        (np.zeros((0, 4)), "shape"),
        (np.full((3, 5), 0.2), "shape"),
        (np.full(4, 0.25), "shape"),
        (np.array([[0.5, 0.5, 0.5, 0]]), "no probabilities"),
        (np.array([[1.5, -0.5, 0, 0]]), "no probabilities"),
        (np.array([[np.nan, 1, 0, 0]]), "no probabilities"),
    ],
)
def test_motif__no_probabilities(ppm, message):
    with pytest.raises(ValueError, match=message):
        Motif("x", ppm)


@pytest.mark.parametrize("motif_id", ["", "a b", "a\n"])
def test_motif__id_with_whitespace(motif_id):
    with pytest.raises(ValueError, match="motif id"):
        Motif(motif_id, np.array([G]))


def test_motif__does_not_change():
    ppm = np.array([G], dtype=np.float64)
    motif = Motif("x", ppm)
    ppm[0] = 0.25
    assert motif.consensus == "G"
    with pytest.raises(ValueError, match="read-only"):
        motif.ppm[0, 0] = 1


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("(JUND)_(Homo_sapiens)_(DBD_1.00)", "JUND"),
        ("Ahr::Arnt", "Ahr::Arnt"),
        ("", "id"),
        ("(broken", "(broken"),
    ],
)
def test_motif__symbol(name, symbol):
    assert Motif("id", np.array([G]), name).symbol == symbol


def test_information__by_hand():
    background = np.array([0.1, 0.4, 0.4, 0.1])
    ppm = np.array([G, [0.5, 0, 0.5, 0], background])
    bits = information(ppm, background=background)
    np.testing.assert_allclose(bits, [np.log2(2.5), 0.5 * np.log2(5) + 0.5 * np.log2(1.25), 0], atol=1e-15)


@given(ppms())
def test_information__is_that_of_biopython(ppm):
    columns = dict(zip("ACGT", ppm.T.tolist(), strict=True))
    theirs = PositionWeightMatrix("ACGT", columns).log_odds().mean(dict.fromkeys("ACGT", 0.25))
    np.testing.assert_allclose(information(ppm).sum(), theirs, rtol=1e-9, atol=1e-12)


@given(ppms())
def test_contributions__sum_to_the_information(ppm):
    np.testing.assert_allclose(contributions(ppm).sum(axis=-1), information(ppm), rtol=1e-12)


@given(st.lists(ppms(1), min_size=6, max_size=6))
def test_information__of_many_at_once(rows):
    stack = np.concatenate(rows).reshape(2, 3, 4)
    np.testing.assert_array_equal(information(stack), [information(ppm) for ppm in stack])


def test_reverse_complement__by_hand():
    motif = Motif("x", np.array([G, [0.7, 0.1, 0.1, 0.1]]), "n", 5, np.array([0.1, 0.2, 0.3, 0.4]))
    other = reverse_complement(motif)
    assert other.ppm.tolist() == [[0.1, 0.1, 0.1, 0.7], [0, 1, 0, 0]]
    assert other.background.tolist() == [0.4, 0.3, 0.2, 0.1]
    assert (other.id, other.name, other.n_sites) == ("x", "n", 5)


@given(ppms())
def test_reverse_complement__twice_is_nothing(ppm):
    motif = Motif("x", ppm)
    np.testing.assert_array_equal(reverse_complement(reverse_complement(motif)).ppm, motif.ppm)


def test_reverse_complement__consensus():
    ppm = np.eye(4)[[0, 0, 1, 2]]
    assert reverse_complement(Motif("x", ppm)).consensus == "CGTT"


def test_trim__keeps_what_lies_between():
    motif = Motif("x", np.array([FLAT, FLAT, G, FLAT, G, FLAT]))
    assert trim(motif).ppm.tolist() == [G, FLAT, G]


def test_trim__flat_motif_keeps_one_position():
    weak = [0.3, 0.25, 0.25, 0.2]
    assert trim(Motif("x", np.array([FLAT, weak, FLAT]))).ppm.tolist() == [weak]


@given(ppms(), st.floats(0, 2))
def test_trim__ends_are_informative(ppm, least):
    trimmed = trim(Motif("x", ppm), min_information=least)
    bits = information(trimmed.ppm)
    assert min(bits[0], bits[-1]) >= min(least, bits.max())
    np.testing.assert_array_equal(trim(trimmed, min_information=least).ppm, trimmed.ppm)


def test_uniform__cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        UNIFORM[0] = 1
