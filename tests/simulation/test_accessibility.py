"""Accessibility models: hand-made windows with known scores, and what is drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data.errors import InputError
from chromacc_data.recipe.simulation import MotifsRecipe, Pair, Target
from chromacc_data.simulation.accessibility import Model, ModelOnRecord, models_of, pairs_present, scores
from chromacc_data.simulation.sites import Pool, Sites, read_pool
from chromacc_data.simulation.user_function import UserFunction
from chromacc_data.typed_values import from_json

#: Motifs of 3, 2 and 4 bp.
POOL = read_pool(MotifsRecipe(sequences={"x": "ACG", "y": "TT", "z": "GGGG"}), [])
X, Y, Z = range(3)


def window(*sites: tuple[int, int, int]) -> Sites:
    """One window with sites (motif, start, strand)."""
    return Sites(*(np.array([column]) for column in zip(*sites, strict=True)))


def drawn(draw: str, pool: Pool = POOL, *, copies: int = 1, seed: int = 0) -> tuple[Model, ...]:
    model = "paired" if draw == "matching" else "additive"
    threshold = None if draw == "matching" else 0.0
    return models_of([Target("t", model, draw=draw, threshold=threshold, copies=copies)], pool, [], seed=seed)


def test_scores__additive_counts_every_site():
    model = Model("a", "additive", 1.0, {"x": 1.5, "y": -1.0})
    sites = Sites(
        np.array([[X, X, Y], [Z, -1, -1], [Y, Z, -1]]),
        np.array([[0, 5, 9], [1, -1, -1], [0, 2, -1]]),
        np.array([[1, -1, 1], [1, 0, 0], [1, 1, 0]]),
    )
    assert scores(model, sites, np.zeros((3, 12), np.uint8), POOL).tolist() == [2.0, 0.0, -1.0]


def test_scores__table_of_positional_variants():
    # Thesis, Table 4.1: threshold 1.5, so two of three motifs must be variants of value 1.
    model = Model("v", "additive", 1.5, {"x": 1.0, "y": 1.0})
    one, two = window((X, 0, 1), (Z, 4, 1)), window((X, 0, 1), (Y, 4, 1), (Z, 7, 1))
    codes = np.zeros((1, 12), np.uint8)
    assert not scores(model, one, codes, POOL)[0] >= model.threshold
    assert scores(model, two, codes, POOL)[0] >= model.threshold


def test_scores__pairs_add_to_contributions():
    model = Model("p", "paired", 1.0, {"x": 0.25}, (Pair("x", "y"), Pair("y", "z", contribution=4.0)))
    codes = np.zeros((1, 20), np.uint8)
    assert scores(model, window((X, 0, 1), (Y, 4, 1)), codes, POOL).tolist() == [1.25]
    assert scores(model, window((X, 0, 1), (X, 4, 1), (Y, 8, 1)), codes, POOL).tolist() == [1.5]
    assert scores(model, window((X, 0, 1), (Y, 4, 1), (Z, 8, 1)), codes, POOL).tolist() == [5.25]
    assert scores(model, window((X, 0, 1), (Z, 8, 1)), codes, POOL).tolist() == [0.25]


PRESENT = {
    "both": (Pair("x", "y"), [(X, 0, 1), (Y, 9, -1)], True),
    "in the other order": (Pair("y", "x"), [(X, 0, 1), (Y, 9, -1)], True),
    "one only": (Pair("x", "y"), [(X, 0, 1), (Z, 9, 1)], False),
    "a pair of one motif needs two": (Pair("x", "x"), [(X, 0, 1), (Y, 9, 1)], False),
    "two of one motif": (Pair("x", "x"), [(X, 0, 1), (X, 9, 1)], True),
    "gap just wide enough": (Pair("x", "y", min_gap=6), [(X, 0, 1), (Y, 9, 1)], True),
    "gap too narrow": (Pair("x", "y", min_gap=7), [(X, 0, 1), (Y, 9, 1)], False),
    "gap just narrow enough": (Pair("x", "y", max_gap=6), [(X, 0, 1), (Y, 9, 1)], True),
    "gap too wide": (Pair("x", "y", max_gap=5), [(X, 0, 1), (Y, 9, 1)], False),
    "gap from the left one": (Pair("x", "y", max_gap=0), [(Y, 0, 1), (X, 2, 1)], True),
    "another copy is near": (Pair("x", "y", max_gap=1), [(X, 0, 1), (X, 8, 1), (Y, 12, 1)], True),
    "same strand": (Pair("x", "y", orientation="same"), [(X, 0, -1), (Y, 9, -1)], True),
    "not on the same strand": (Pair("x", "y", orientation="same"), [(X, 0, 1), (Y, 9, -1)], False),
    "convergent": (Pair("x", "y", orientation="convergent"), [(Y, 0, 1), (X, 9, -1)], True),
    "not convergent": (Pair("x", "y", orientation="convergent"), [(Y, 0, -1), (X, 9, 1)], False),
    "divergent": (Pair("x", "y", orientation="divergent"), [(X, 0, -1), (Y, 9, 1)], True),
    "not divergent": (Pair("x", "y", orientation="divergent"), [(X, 0, -1), (Y, 9, -1)], False),
    "first upstream": (Pair("x", "y", order="first_upstream"), [(X, 0, 1), (Y, 9, -1)], True),
    "first downstream": (Pair("x", "y", order="first_upstream"), [(Y, 0, 1), (X, 9, 1)], False),
    "first upstream on the other strand": (
        Pair("x", "y", order="first_upstream"),
        [(Y, 0, 1), (X, 9, -1)],
        True,
    ),
}


@pytest.mark.parametrize(("pair", "sites", "present"), PRESENT.values(), ids=PRESENT)
def test_pairs_present__by_hand(pair: Pair, sites: list, present: bool):
    assert pairs_present([pair], window(*sites), POOL).tolist() == [[present]]


SITE = st.tuples(st.integers(0, 2), st.integers(0, 5), st.sampled_from([1, -1]))
PAIRS = st.builds(
    Pair,
    st.sampled_from("xyz"),
    st.sampled_from("xyz"),
    st.integers(0, 3),
    st.none() | st.integers(3, 8),
    st.sampled_from(["any", "same", "convergent", "divergent"]),
    st.sampled_from(["any", "first_upstream"]),
)


@settings(deadline=None)
@given(st.lists(SITE, min_size=1, max_size=4), PAIRS)
def test_pairs_present__the_same_from_the_other_strand(spaced: list, pair: Pair):
    forward, start = [], 0
    for motif, gap, strand in spaced:
        forward.append((motif, start + gap, strand))
        start += gap + int(POOL.widths[motif])
    length = start + 3
    other = [(m, length - s - int(POOL.widths[m]), -strand) for m, s, strand in reversed(forward)]
    present = [pairs_present([pair], window(*sites), POOL)[0, 0] for sites in (forward, other)]
    assert present[0] == present[1]


def test_models_of__even_contributions():
    [model] = drawn("even")
    assert sorted(model.contributions.values()) == [-1, 0, 1]
    assert set(model.contributions) == {"x", "y", "z"}


def test_models_of__decoys_get_nothing():
    pool = Pool(POOL.names, POOL.motifs, ("y",))
    assert set(drawn("uniform", pool)[0].contributions) == {"x", "z"}
    [model] = drawn("matching", pool)
    assert {(p.first, p.second) for p in model.pairs} <= {("x", "z"), ("z", "x")}


def test_models_of__copies_differ_and_do_not_depend_on_each_other():
    three, one = drawn("normal", copies=3), drawn("normal")
    assert [model.cell_type for model in three] == ["t_1", "t_2", "t_3"]
    assert three[0].contributions == one[0].contributions != three[1].contributions
    assert drawn("normal", seed=1)[0].contributions != one[0].contributions


def test_models_of__matching_pairs_every_motif_once():
    pool = read_pool(MotifsRecipe(sequences={f"m{i}": "ACGT" for i in range(20)}), [])
    first, second = drawn("matching", pool, copies=2)
    assert sorted(n for p in first.pairs for n in (p.first, p.second)) == sorted(pool.names)
    assert len(first.pairs) == 10
    assert first.pairs != second.pairs
    with pytest.raises(InputError, match="an odd number of motifs"):
        drawn("matching")


def test_models_of__motif_that_is_not_there():
    with pytest.raises(InputError, match="not among the motifs"):
        models_of([Target("t", "additive", {"q": 1.0}, threshold=0.0)], POOL, [], seed=0)


def test_model__json_and_back():
    for model in (
        drawn("normal")[0],
        Model("p", "paired", 1.0, {}, (Pair("x", "y", 1, 4, "same", "first_upstream", 0.1),)),
        Model("f", "function", 0.5, {}, (), UserFunction("f.py:g")),
    ):
        said = from_json(ModelOnRecord, json.dumps(model.to_json()), where="store")
        assert Model.of_store(said) == model
