"""Pools of motifs, sites drawn from them, and sites planted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data.errors import InputError
from chromacc_data.motifs.files import write_motifs
from chromacc_data.motifs.motif import Motif
from chromacc_data.recipe.recipe import Source
from chromacc_data.recipe.simulation import MotifsRecipe, SitesRecipe
from chromacc_data.sequences.encoding import decode, encode, reverse_complement
from chromacc_data.simulation.sites import Pool, Sites, draw_bases, draw_sites, plant, read_pool, require_room

FILES = (Source(file="motifs.meme"),)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pool_of(*sequences: str) -> Pool:
    return read_pool(MotifsRecipe(sequences={f"m{i}": s for i, s in enumerate(sequences)}), [])


@pytest.fixture
def motifs(tmp_path: Path) -> Path:
    rows = np.full((3, 4), 0.25)
    rows[1] = [0.7, 0.1, 0.1, 0.1]
    path = tmp_path / "motifs.meme"
    write_motifs(
        path,
        [
            Motif("M1", rows, "(JUND)_(Homo_sapiens)_(DBD_1.00)"),
            Motif("M2", rows, "MAX"),
            Motif("M3", rows, "MAX"),
        ],
    )
    return path


def test_read_pool__by_id_name_and_symbol(motifs: Path):
    pool = read_pool(MotifsRecipe(FILES, ("JUND", "M3"), {"x": "GG"}, ("x",)), [motifs])
    assert pool.names == ("JUND", "M3", "x")
    assert [motif.id for motif in pool.motifs] == ["M1", "M3", "x"]
    assert pool.decoys == ("x",)


def test_read_pool__all_motifs_of_the_files(motifs: Path):
    assert read_pool(MotifsRecipe(FILES), [motifs]).names == ("JUND", "M2", "M3")


def test_read_pool__trimmed(motifs: Path):
    assert read_pool(MotifsRecipe(FILES, ("M1",), min_information=0.1), [motifs]).widths.tolist() == [1]


@pytest.mark.parametrize("suffix", [".jaspar", ".txt"])
def test_read_pool__other_formats(motifs: Path, tmp_path: Path, suffix: str):
    counts = np.array([[0.5, 0.25, 0.25, 0], [0, 1, 0, 0]])
    write_motifs(tmp_path / f"x{suffix}", [Motif("X1", counts, "XX", n_sites=4)])
    pool = read_pool(MotifsRecipe((*FILES, *FILES), ("X1", "M1")), [motifs, tmp_path / f"x{suffix}"])
    assert np.array_equal(pool.motifs[0].ppm, counts)


@pytest.mark.parametrize(
    ("names", "sequences", "message"),
    [
        (("MYC",), {}, "no such motif"),
        (("MAX",), {}, "several motifs are called MAX"),
        (("M1",), {"M1": "ACG"}, "name given twice"),
    ],
)
def test_read_pool__errors(motifs: Path, names: tuple, sequences: dict, message: str):
    with pytest.raises(InputError, match=message) as caught:
        read_pool(MotifsRecipe(FILES, names, sequences), [motifs])
    assert "simulation.motifs." in str(caught.value)


def test_read_pool__names_the_file_that_lacks_a_motif(motifs: Path):
    with pytest.raises(InputError) as caught:
        read_pool(MotifsRecipe(FILES, ("MYC",)), [motifs])
    assert str(motifs) in str(caught.value)
    assert "JUND, MAX" in str(caught.value)


def test_read_pool__motif_in_two_files(motifs: Path):
    with pytest.raises(InputError, match="a motif in two files"):
        read_pool(MotifsRecipe((*FILES, *FILES)), [motifs, motifs])


def test_pool__consensus_and_probabilities():
    pool = pool_of("ACG", "T")
    assert pool.consensus.tolist() == [[0, 1, 2], [3, 0, 0]]
    assert pool.ppms.shape == (2, 3, 4)
    assert pool.ppms[1].tolist() == [[0, 0, 0, 1], [1, 0, 0, 0], [1, 0, 0, 0]]


BAD_ROOM = {
    "too wide": (SitesRecipe(2), 6, "cannot fit without overlapping", "7 bp"),
    "with spacings": (SitesRecipe(2, spacings=(0, 9)), 15, "cannot fit without overlapping", "spacings"),
    "repeats": (SitesRecipe(2, repeats=True), 7, "cannot fit without overlapping", "8 bp"),
    "groups": (SitesRecipe(groups=(("m0",), ("m1",))), 6, "cannot fit", "7 bp"),
    "too many": (SitesRecipe(3), 90, "more sites than motifs", "`repeats: true`"),
    "near positions": (SitesRecipe(2, positions=(0, 3)), 90, "would overlap", "a motif of 4 bp at 0"),
    "at the end": (SitesRecipe(2, positions=(0, 7)), 10, "would overlap", "the window ends"),
}


@pytest.mark.parametrize(("recipe", "length", "message", "detail"), BAD_ROOM.values(), ids=BAD_ROOM)
def test_require_room__refuses(recipe: SitesRecipe, length: int, message: str, detail: str):
    with pytest.raises(InputError, match=message) as caught:
        require_room(pool_of("ACGT", "ACG"), recipe, length)
    assert detail in str(caught.value)


@pytest.mark.parametrize(
    ("recipe", "length"),
    [
        (SitesRecipe(2), 7),
        (SitesRecipe(2, positions=(0, 4)), 8),
        (SitesRecipe(groups=(("m1",), ("m0",)), positions=(0, 3)), 7),
        (SitesRecipe(2, spacings=(1,)), 8),
    ],
)
def test_require_room__just_fits(recipe: SitesRecipe, length: int):
    pool = pool_of("ACGT", "ACG")
    require_room(pool, recipe, length)
    draw_sites(rng(), 50, pool, recipe, length)


RECIPES = st.builds(
    SitesRecipe,
    number=st.integers(1, 3) | st.just((1.0, 2.0, 0.0, 1.0)),
    repeats=st.booleans(),
    strand=st.sampled_from(["forward", "either"]),
    spacings=st.sampled_from([(), (0,), (1, 4)]),
)


@settings(max_examples=60, deadline=None)
@given(RECIPES, st.integers(23, 40), st.integers(0, 1000))
def test_draw_sites__never_overlap_and_lie_inside(recipe: SitesRecipe, length: int, seed: int):
    pool = pool_of("ACGT", "AC", "G", "TTTTT")
    sites = draw_sites(rng(seed), 40, pool, recipe, length)
    assert (sites.motif.dtype, sites.start.dtype, sites.strand.dtype) == (np.int16, np.int32, np.int8)
    for motif, start, strand in zip(*(s.tolist() for s in sites), strict=True):
        n = sum(m >= 0 for m in motif)
        assert recipe.weights[n] > 0
        assert motif[n:] == start[n:] == [-1] * (recipe.max_sites - n)
        assert strand[n:] == [0] * (recipe.max_sites - n)
        assert set(strand[:n]) <= ({1} if recipe.strand == "forward" else {1, -1})
        assert recipe.repeats or len(set(motif[:n])) == n
        ends = [s + pool.widths[m] for s, m in zip(start[:n], motif[:n], strict=True)]
        gaps = [b - e for b, e in zip([*start[:n], length], [0, *ends], strict=True)]
        assert min(gaps) >= 0
        assert not recipe.spacings or set(gaps[1:-1]) <= set(recipe.spacings)


def test_draw_sites__every_arrangement_has_the_same_chance():
    # Two sites of 2 bp and 1 bp in 5 bp: 6 arrangements, each in 2 orders.
    sites = draw_sites(rng(), 24_000, pool_of("AC", "G"), SitesRecipe(2), 5)
    found = Counter(zip(map(tuple, sites.motif.tolist()), map(tuple, sites.start.tolist()), strict=True))
    assert len(found) == 12
    assert min(found.values()) > 1800
    assert max(found.values()) < 2200


def test_draw_sites__motifs_and_numbers_have_their_chances():
    sites = draw_sites(rng(), 20_000, pool_of("AC", "G", "TT", "A"), SitesRecipe((1, 0, 3)), 20)
    planted = sites.motif[sites.motif >= 0]
    assert np.bincount(planted) / planted.size == pytest.approx([0.25] * 4, abs=0.01)
    assert (sites.motif >= 0).all(axis=1).mean() == pytest.approx(0.75, abs=0.01)


def test_draw_sites__one_of_each_group_in_random_order():
    recipe = SitesRecipe(groups=(("m0", "m1"), ("m2",)))
    sites = draw_sites(rng(), 2000, pool_of("AC", "G", "TT"), recipe, 20)
    found = Counter(map(tuple, sites.motif.tolist()))
    assert set(found) == {(0, 2), (2, 0), (1, 2), (2, 1)}
    assert min(found.values()) > 400
    ordered = SitesRecipe(groups=(("m0", "m1"), ("m2",)), positions=(3, 8))
    sites = draw_sites(rng(), 50, pool_of("AC", "G", "TT"), ordered, 20)
    assert (sites.motif[:, 1] == 2).all()
    assert np.array_equal(sites.start, np.tile([3, 8], (50, 1)))


def test_draw_bases__sampled_from_the_probabilities():
    ppm = np.array([[0.5, 0.5, 0, 0], [0, 0, 0.1, 0.9]])
    pool = Pool(("x",), (Motif("x", ppm),))
    recipe = SitesRecipe(1, bases="sampled", strand="either")
    sites = draw_sites(rng(), 20_000, pool, recipe, 10)
    bases = draw_bases(rng(1), sites, pool, recipe)[:, 0]
    found = np.stack([np.bincount(column, minlength=4) / len(bases) for column in bases.T])
    assert np.abs(found - ppm).max() < 0.01
    assert not found[ppm == 0].any()


def test_plant__both_strands_and_nothing_else():
    codes = encode("TTTTTTTTTTTT")[None]
    sites = Sites(np.array([[0, 1, -1]]), np.array([[1, 6, -1]]), np.array([[1, -1, 0]]))
    bases = np.stack([encode("AACC"), encode("AAGT"), encode("CCCC")])[None]
    planted = plant(codes, sites, bases, np.array([3, 4]))
    assert decode(planted[0]) == "TAACTTACTTTT"
    assert decode(reverse_complement(planted[0, 6:10])) == "AAGT"
    assert decode(codes[0]) == "T" * 12
