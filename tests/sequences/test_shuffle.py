from __future__ import annotations

from collections import Counter
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data.sequences.encoding import decode, encode
from chromacc_data.sequences.shuffle import shuffle_dinucleotides


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def dinucleotides(codes: np.ndarray) -> Counter:
    return Counter(a + b for a, b in pairwise(decode(codes)))


@settings(deadline=None)
@given(st.text("ACGT", min_size=1, max_size=60), st.integers(0, 2**32))
def test_shuffle_dinucleotides__keeps_counts_and_ends(text: str, seed: int):
    codes = encode(text)
    shuffled = shuffle_dinucleotides(codes[None], rng(seed))[0]
    assert dinucleotides(shuffled) == dinucleotides(codes)
    assert (shuffled[0], shuffled[-1]) == (codes[0], codes[-1])


def test_shuffle_dinucleotides__every_sequence_has_the_same_chance():
    text = "ACAGATCA"
    alike = {
        "".join(p)
        for p in permutations(text)
        if dinucleotides(encode("".join(p))) == dinucleotides(encode(text)) and p[0] == "A" and p[-1] == "A"
    }
    shuffled = shuffle_dinucleotides(np.repeat(encode(text)[None], 12_000, axis=0), rng())
    found = Counter(map(decode, shuffled))
    assert set(found) == alike
    assert len(alike) > 5
    expected = 12_000 / len(alike)
    assert sum((n - expected) ** 2 / expected for n in found.values()) < 3 * len(alike)


def test_shuffle_dinucleotides__leaves_its_input_alone_and_refuses_n():
    codes = encode("ACGTACGGTA")[None]
    before = codes.copy()
    shuffle_dinucleotides(codes, rng())
    assert np.array_equal(codes, before)
    with pytest.raises(ValueError, match="with N"):
        shuffle_dinucleotides(encode("ACN")[None], rng())
