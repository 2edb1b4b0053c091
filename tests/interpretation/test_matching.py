"""The thesis' rule of matching: by hand, against naive loops, and its laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data.motifs.files import read_motifs
from chromacc_data.motifs.motif import Motif, reverse_complement
from chromacc_data.sequences.encoding import encode, one_hot
from chromacc_models.interpretation.matching import match_filters, match_scores, motif_groups, present_bases

WORDS = st.lists(st.text("ACGT", min_size=1, max_size=7), min_size=1, max_size=5)


def exact(*words: str) -> list[Motif]:
    """Motifs that allow one sequence each."""
    return [Motif(f"M{i}", one_hot(encode(word))) for i, word in enumerate(words)]


def mixed(*words: str) -> Motif:
    """A filter that likes the bases of several words of one length equally."""
    return Motif("mixed", np.mean([one_hot(encode(word)) for word in words], axis=0))


def naive_score(present: np.ndarray, word: str) -> float:
    """Best count over all shifts, in loops, over the narrower width."""
    width, codes = len(present), encode(word)
    counts = [
        sum(bool(present[i + shift, base]) for i, base in enumerate(codes) if 0 <= i + shift < width)
        for shift in range(-len(word), width + 1)
    ]
    return max(counts) / min(width, len(word))


def test_present_bases__by_hand():
    # 0.9 of a position of 1.37 bits; 0.5 and 0.5 of 1 bit; a skew of 0.03 bits is no information.
    ppms = np.array([[0.9, 0.1, 0, 0], [0, 0.5, 0.5, 0], [0.3, 0.3, 0.2, 0.2], [0.25] * 4])
    assert present_bases(ppms).astype(int).tolist() == [[1, 1, 0, 0], [0, 1, 1, 0], [0] * 4, [0] * 4]
    assert present_bases(ppms, min_contribution=0.2).astype(int)[0].tolist() == [1, 0, 0, 0]


@settings(max_examples=60, deadline=None)
@given(WORDS, st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_match_scores__naive(words: list[str], width: int, seed: int):
    present = np.random.default_rng(seed).random((4, width, 4)) < 0.4
    found = match_scores(present, exact(*words))
    for f, bases in enumerate(present):
        for m, word in enumerate(words):
            assert found.score[f, m] == pytest.approx(naive_score(bases, word))
            shift = found.offset[f, m]
            at_offset = sum(
                bool(bases[i + shift, base]) for i, base in enumerate(encode(word)) if 0 <= i + shift < width
            )
            assert at_offset / min(width, len(word)) == pytest.approx(found.score[f, m])


def test_match_scores__overhang_on_both_sides():
    present = one_hot(encode("GATAAG")).astype(bool)[None]
    found = match_scores(present, exact("CCGATA", "AAGCCC", "CGATAAGC"))
    # Four bases of six, three of six, all six of the filter in a longer motif.
    assert found.score[0].tolist() == [4 / 6, 3 / 6, 1]
    assert found.offset[0].tolist() == [-2, 3, -1]


@settings(max_examples=30, deadline=None)
@given(WORDS, st.integers(0, 2**32 - 1))
def test_match_scores__both_strands_do_not_change_under_reverse_complement(words: list[str], seed: int):
    present = np.random.default_rng(seed).random((3, 8, 4)) < 0.4
    found = match_scores(present, exact(*words), both_strands=True)
    reversed_ = match_scores(present[:, ::-1, ::-1], exact(*words), both_strands=True)
    np.testing.assert_allclose(found.score, reversed_.score)
    of_complements = match_scores(present, [reverse_complement(m) for m in exact(*words)], both_strands=True)
    np.testing.assert_allclose(found.score, of_complements.score)


def test_match_scores__strand_and_offset():
    present = one_hot(encode("CCTTATCC")).astype(bool)[None]  # TTATC is GATAA on the other strand
    found = match_scores(present, exact("GATAA", "CCTTA"), both_strands=True)
    assert (found.strand[0].tolist(), found.offset[0].tolist()) == ([-1, 1], [2, 0])
    assert match_scores(present, exact("GATAA")).score[0, 0] < 0.8


def test_match_filters__single_combination_none():
    motifs = exact("TGACTCA", "GGGAAAC", "CACGTGA")
    filters = [motifs[0], mixed("TGACTCA", "GGGAAAC"), mixed(*[base * 7 for base in "ACGT"])]
    found = match_filters(filters, motifs)
    assert found.kind.tolist() == ["single", "combination", "none"]
    assert found.matched.tolist() == [[True, False, False], [True, True, False], [False] * 3]
    assert found.single_groups.tolist() == [0]
    assert found.counts() == {"single": 1, "combination": 1, "none": 1}


def test_match_filters__score_of_the_threshold_is_no_match():
    # Four of five bases: "higher than some threshold" (0.8) in the thesis.
    five = [Motif("f", one_hot(encode("GATAC")))]
    assert match_filters(five, exact("GATAA")).alignments.score.tolist() == [[0.8]]
    assert match_filters(five, exact("GATAA")).kind.tolist() == ["none"]
    assert match_filters(five, exact("GATAA"), min_score=0.79).kind.tolist() == ["single"]


def test_match_filters__a_group_counts_once():
    # The third is one base of ten away from the first: no rule of 0.8 tells them apart.
    motifs = exact("ATGACTCATC", "GGGAAACCCG", "ATGACTCATG")
    found = match_filters([motifs[0], mixed("ATGACTCATC", "GGGAAACCCG")], motifs)
    assert found.group.tolist() == [0, 1, 0]
    assert found.kind.tolist() == ["single", "combination"]
    assert found.kind_by_motif.tolist() == ["combination", "combination"]
    assert found.in_group.tolist() == [[True, False], [True, True]]
    assert (found.n_groups, found.single_groups.tolist()) == (2, [0])


def test_match_filters__permuted_filters_are_permuted_matches():
    rng = np.random.default_rng(0)
    filters = [Motif(f"f{i}", rng.dirichlet([0.2] * 4, 9)) for i in range(6)]
    motifs = exact("TGACTCA", "GATAAGG", "CACGTG")
    order = rng.permutation(6)
    found = match_filters(filters, motifs, min_score=0.7)
    permuted = match_filters([filters[i] for i in order], motifs, min_score=0.7)
    np.testing.assert_array_equal(permuted.matched, found.matched[order])
    assert found.matched.any()
    assert not found.matched.all()


def test_motif_groups__through_others_and_over_strands():
    # A chain: neighbours differ in one base of ten, the ends in three.
    chain = exact("AAAAATTTTT", "AAAAATTTTG", "AAAAATTTCG", "AAAAATTCCG")
    assert motif_groups(chain).tolist() == [0, 0, 0, 0]
    assert motif_groups(chain[::3]).tolist() == [0, 1]
    strands = exact("GATAAG", "CTTATC")
    assert motif_groups(strands).tolist() == [0, 1]
    assert motif_groups(strands, both_strands=True).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("filters", "motifs", "message"),
    [
        ([], exact("ACG"), "one or more motifs of one width"),
        (exact("ACG", "ACGT"), exact("ACG"), "of one width"),
        (exact("ACG"), [], "no motifs"),
    ],
)
def test_match_filters__bad_input(filters: list[Motif], motifs: list[Motif], message: str):
    with pytest.raises(ValueError, match=message):
        match_filters(filters, motifs)


@pytest.mark.shared
def test_match_filters__all_of_cisbp_find_themselves(shared_data: Path):
    motifs = read_motifs(shared_data / "motifs" / "CISBP_Homo_sapiens_basset.meme")
    filters = np.full((len(motifs), 30, 4), 0.25)
    for bases, motif in zip(filters, motifs, strict=True):
        bases[2 : 2 + motif.width] = one_hot(encode(motif.consensus))[:28]
    found = match_scores(present_bases(filters), motifs, both_strands=True)
    assert (np.diag(found.score) == 1).all()
    # Groups of a few by one motif at a time.
    few = motifs[::40]
    related = [match_scores(one_hot(encode(m.consensus)).astype(bool)[None], few).score[0] > 0.8 for m in few]
    group = motif_groups(few)
    for i, row in enumerate(related):
        assert (group[row] == group[i]).all()
