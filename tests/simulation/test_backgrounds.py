"""Backgrounds: their frequencies, their words, and shuffles that keep dinucleotides."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import decode, encode
from chromacc_data.sequences.genome import Genome
from chromacc_data.simulation.backgrounds import GenomeWindows, MarkovChain, count_words


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def dinucleotides(codes: np.ndarray) -> Counter:
    return Counter(a + b for a, b in pairwise(decode(codes)))


@pytest.fixture
def genome(tmp_path: Path) -> Genome:
    (tmp_path / "tiny.fa").write_text(">a\nACACACNACGT\n>b\nGGGGACACAC\n")
    return Genome.open(tmp_path / "tiny.fa")


def test_count_words__by_hand():
    counts = count_words(encode("ACACNCAG"), 2)
    assert {i: int(n) for i, n in enumerate(counts) if n} == {1: 2, 4: 2, 2: 1}  # AC, CA, AG
    assert count_words(encode("ACG"), 1).tolist() == [1, 1, 1, 0]


def test_markov_chain__composition():
    chain = MarkovChain.from_composition({"A": 0.1, "C": 0.2, "G": 0.3, "T": 0.4})
    codes = chain.sequences(rng(), 0, 500, 100)
    assert codes.dtype == np.uint8
    assert np.bincount(codes.ravel(), minlength=4) / codes.size == pytest.approx(
        [0.1, 0.2, 0.3, 0.4], abs=0.01
    )
    assert chain.frequencies.tolist() == [0.1, 0.2, 0.3, 0.4]


def test_markov_chain__learnt_by_hand(genome: Genome):
    chain = MarkovChain.from_genome(genome, 1)
    # a: ACACAC ACGT, b: GGGGACACAC. After A always C (3 + 1 + 3); after C: A 2, G 1, A 2.
    assert chain.probabilities[0].tolist() == [0, 1, 0, 0]
    assert chain.probabilities[1].tolist() == [0.8, 0, 0.2, 0]
    assert chain.probabilities[2].tolist() == [0.2, 0, 0.6, 0.2]
    assert chain.probabilities[3].tolist() == [0.25] * 4  # nothing follows T
    assert chain.words.tolist() == pytest.approx([7 / 17, 5 / 17, 5 / 17, 0])


def test_markov_chain__order_beyond_the_genome(genome: Genome):
    with pytest.raises(InputError, match=r"too short(.|\n)*no run of 11 bases"):
        MarkovChain.from_genome(genome, 10)


@pytest.mark.parametrize("order", [0, 1, 2, 4])
def test_markov_chain__gives_the_words_of_its_genome(tmp_path: Path, order: int):
    learnt = rng(1).choice(4, 20_000, p=[0.4, 0.1, 0.1, 0.4])
    learnt[1::2] = (learnt[::2] + 1) % 4  # each second base follows from the one before
    (tmp_path / "g.fa").write_text(">a\n" + decode(learnt) + "\n")
    chain = MarkovChain.from_genome(Genome.open(tmp_path / "g.fa"), order)
    codes = chain.sequences(rng(), 0, 400, 200)
    expected = count_words(learnt.astype(np.uint8), order + 1) / 20_000
    found = sum(count_words(row, order + 1) for row in codes) / codes.size
    assert np.abs(found - expected).max() < 0.02


def test_markov_chain__only_words_of_the_genome(genome: Genome):
    codes = MarkovChain.from_genome(genome, 3).sequences(rng(), 0, 200, 4)
    known = {"ACAC", "CACA", "ACGT", "GGGG", "GGGA", "GGAC", "GACA"}
    assert {decode(row) for row in codes} == known


@pytest.mark.parametrize("shuffled", [False, True])
def test_genome_windows__are_those_of_their_places(genome: Genome, tmp_path: Path, shuffled: bool):
    np.save(tmp_path / "chrom.npy", np.array([0, 1, 1], np.int32))
    np.save(tmp_path / "start.npy", np.array([0, 0, 4]))
    background = GenomeWindows(genome, tmp_path, shuffled, np.full(4, 0.25))
    found = background.sequences(rng(), 1, 3, 6)
    expected = [encode("GGGGAC"), encode("ACACAC")]
    if not shuffled:
        assert np.array_equal(found, expected)
    assert [dinucleotides(row) for row in found] == [dinucleotides(row) for row in expected]
