"""Variants: statuses by hand, and scores against windows written out as text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import encode
from chromacc_data.sequences.genome import Genome
from chromacc_models.effects import alleles as alleles_module
from chromacc_models.effects.alleles import AlleleScorer
from chromacc_models.effects.contributions import Contributions
from chromacc_models.effects.variants import (
    STATUSES,
    VariantScores,
    allele_windows,
    match_alleles,
    require_assembly,
    score_alleles,
)
from chromacc_models.effects.vcf import Alleles
from chromacc_models.scoring.scorer import Scorer
from tests.effects.test_substitutions import naive_logits, random_scorer

BASES = "".join(np.random.default_rng(0).choice(list("ACGT"), 200))


#: Taps, bases of each, and how much farther apart they are: few, as kernels are compiled for each.
SHAPES = ((4, 1, 1), (2, 2, 1), (2, 1, 2))


@pytest.fixture(scope="module")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Genome:
    path = tmp_path_factory.mktemp("variants") / "genome.fa"
    path.write_text(f">chr1\n{BASES}\n>chr2\nACGTNNacgr\n")
    return Genome.open(path)


def alleles(*rows: tuple[str, int, str, str]) -> Alleles:
    chrom, position, ref, alt = zip(*rows, strict=True)
    texts = [np.array(column, object) for column in (chrom, ["."] * len(rows), ref, alt)]
    return Alleles(np.arange(len(rows)), texts[0], np.array(position), *texts[1:])


def score(scorer: Scorer, genome: Genome, chosen: Alleles) -> VariantScores:
    return score_alleles(scorer, genome, chosen, match_alleles(chosen, genome))


@pytest.mark.parametrize(
    ("row", "status"),
    [
        (("chr2", 0, "A", "C"), "scored"),
        (("chr2", 0, "ACGT", "A"), "scored"),
        (("chr2", 6, "AC", "ACG"), "scored"),  # lower case in the genome
        (("chr2", 9, "R", "A"), "scored"),  # both are read as N
        (("chr2", 4, "N", "A"), "scored"),
        (("chr2", 0, "C", "T"), "ref_mismatch"),
        (("chr2", 0, "C", "A"), "ref_alt_swapped"),
        (("chr2", 0, "CC", "AC"), "ref_alt_swapped"),
        (("2", 0, "A", "C"), "unknown_chrom"),
        (("chr2", 9, "RA", "A"), "past_end"),
        (("chr2", 50, "A", "C"), "past_end"),
        (("chr2", -1, "A", "C"), "past_end"),
        (("chr2", 0, "A", "*"), "symbolic"),
        (("chr2", 0, "A", "<DEL>"), "symbolic"),
        (("chr2", 0, "A", "A[CHR1:5["), "symbolic"),
        (("chr2", 0, "A", "."), "symbolic"),
        (("2", 0, "A", "<INS>"), "symbolic"),
    ],
)
def test_match_alleles__status(genome: Genome, row: tuple, status: str):
    found = match_alleles(alleles(row, ("chr1", 0, BASES[0], "A")), genome)
    assert STATUSES[found.status[0]] == status


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    position=st.integers(0, 195),
    n_ref=st.integers(1, 5),
    alt=st.text("ACGT", min_size=1, max_size=40),
    pooling=st.sampled_from(["max", "average", "logsumexp"]),
    length=st.sampled_from([30, 31]),
)
def test_score_alleles__are_logits_of_windows_as_text(
    genome: Genome, seed: int, position: int, n_ref: int, alt: str, pooling: str, length: int
):
    scorer = random_scorer(seed, pooling=pooling, length=length)
    ref = BASES[position : position + n_ref]
    found = score(scorer, genome, alleles(("chr1", position, ref, alt), ("chr1", 5, "GG", "<DEL>")))
    padded = "N" * length + BASES + "N" * length
    start = position + length - length // 2
    before, behind = padded[: position + length], padded[position + length + len(ref) :]
    windows = [(before + allele + behind)[start : start + length] for allele in (ref, alt)]
    codes = np.stack([encode(window) for window in windows])
    expected = scorer.logits(codes)
    np.testing.assert_allclose([found.logit_ref[0], found.logit_alt[0]], expected, rtol=1e-5, atol=1e-5)
    assert np.isnan(found.delta[1]).all()
    top = found.cell_type[0]
    assert top == np.abs(expected[1] - expected[0]).argmax() or np.ptp(expected, axis=0).max() < 1e-4
    if found.filter[0] < 0:  # no filter reads the variant
        assert not found.delta[0].any()
        return
    parts = Contributions(scorer).of_filters(codes)
    added, values = parts.added[:, :, top], parts.pooled.values
    change = np.abs(added[1] - added[0])
    changed = np.abs(values[1] - values[0]) > 1e-6
    np.testing.assert_allclose(change[found.filter[0]], change[changed].max(initial=0), atol=1e-4)
    pair = [found.filter_ref[0], found.filter_alt[0]]
    np.testing.assert_allclose(pair, added[:, found.filter[0]], rtol=1e-4, atol=1e-4)
    if changed[found.filter[0]]:
        assert found.rises[0] == np.sign(values[1] - values[0])[found.filter[0]]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    left=st.integers(-3, 14),
    right=st.integers(-3, 13),
    shape=st.sampled_from(SHAPES),
    strands=st.sampled_from(["forward", "both"]),
    activation=st.sampled_from(["linear", "relu", "exponential"]),
    pooling=st.sampled_from(["max", "average", "logsumexp"]),
    scale=st.sampled_from([1.5, -0.7]),
    n_factors=st.sampled_from([0, 2]),
)
def test_score_alleles__of_one_base_are_naive_logits(
    genome: Genome,
    seed: int,
    left: int,
    right: int,
    shape: tuple[int, int, int],
    **options: object,
):
    width, block_length, spread = shape
    scorer = random_scorer(seed, left=left, right=right, width=width, block_length=block_length, **options)
    front_end = replace(scorer.front_end, spacing=block_length * spread)  # dilated, too
    scorer = replace(scorer, front_end=front_end)
    rng = np.random.default_rng(seed)
    positions = [0, 9, int(rng.integers(200)), 199]  # window ends beyond the chromosome, and anywhere
    rows = [("chr1", at, BASES[at], "ACGT"[seed % 4]) for at in positions]
    chosen = alleles(*rows, ("chr2", 3, "T", "G"), ("chr2", 4, "N", "C"))  # N next to it, and replaced
    found = score(scorer, genome, chosen)
    matched = match_alleles(chosen, genome)
    windows = allele_windows(genome, matched.chrom, chosen, scorer.window_length)
    ref, alt = (np.array([naive_logits(scorer, codes) for codes in both]) for both in windows)
    size = max(1.0, np.abs(ref).max(), np.abs(alt).max())
    np.testing.assert_allclose(found.logit_ref / size, ref / size, atol=2e-6)
    np.testing.assert_allclose(found.delta / size, (alt - ref) / size, atol=4e-6)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    left=st.integers(0, 14),
    right=st.integers(0, 13),
    shape=st.sampled_from(SHAPES),
    strands=st.sampled_from(["forward", "both"]),
    activation=st.sampled_from(["linear", "relu", "exponential"]),
    n=st.integers(1, 150),
    gap=st.sampled_from([1, 7, 40]),
)
def test_of_bases__are_those_of_each_window_bit_by_bit(
    genome: Genome, seed: int, shape: tuple[int, int, int], n: int, gap: int, **options: object
):
    width, block_length, _ = shape
    scorer = AlleleScorer(random_scorer(seed, width=width, block_length=block_length, **options))
    rng = np.random.default_rng(seed)
    chrom = rng.integers(0, 2, n)
    position = rng.integers(0, 10 + 190 * (chrom == 0)) // gap * gap
    alt = rng.integers(0, 5, n).astype(np.uint8)
    found = scorer.of_bases(genome, chrom, position, alt)
    expected = scorer.of_middle(genome.windows(chrom, position - 15, 30), alt)
    for one, other in zip((*found[:2], *found.top), (*expected[:2], *expected.top), strict=True):
        np.testing.assert_array_equal(one, other)


def test_of_bases__stretches_are_cut(genome: Genome, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(alleles_module, "_LONGEST", 20)
    chrom, position = np.zeros(180, np.int64), np.arange(180)
    alt = np.arange(180, dtype=np.uint8) % 4
    scorer = AlleleScorer(random_scorer(0))
    expected = scorer.of_middle(genome.windows(chrom, position - 15, 30), alt)
    np.testing.assert_array_equal(scorer.of_bases(genome, chrom, position, alt).delta, expected.delta)


def test_require_assembly__names(genome: Genome):
    chosen = alleles(("2", 0, "A", "C"), ("7", 0, "A", "<DEL>"))
    with pytest.raises(InputError, match="no variant lies on a sequence of the genome") as caught:
        require_assembly(match_alleles(chosen, genome).status, chosen, genome, "a.vcf")
    assert "--rename chr" in caught.value.remedy
    mixed = alleles(("2", 0, "A", "C"), ("chr2", 0, "A", "C"))
    require_assembly(match_alleles(mixed, genome).status, mixed, genome, "a.vcf")


def test_require_assembly__bases(genome: Genome):
    wrong = [("chr1", i, "ACGT"["ACGT".index(BASES[i]) - 1], "T") for i in range(150)]
    chosen = alleles(*wrong, ("chr2", 0, "A", "C"))
    with pytest.raises(InputError, match="most reference alleles are not those of the genome") as caught:
        require_assembly(match_alleles(chosen, genome).status, chosen, genome, "a.vcf")
    assert "150 of 151 differ" in caught.value.found
    few = alleles(*wrong[:20])
    require_assembly(match_alleles(few, genome).status, few, genome, "a.vcf")


def test_score_alleles__of_nothing_to_score(genome: Genome):
    found = score(random_scorer(0), genome, alleles(("chr2", 0, "A", "*")))
    assert np.isnan(found.logit_ref).all()
    assert found.filter.tolist() == [-1]
