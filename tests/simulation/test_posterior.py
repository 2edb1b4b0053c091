"""The ideal observer, against every way in which a short sequence can have been made."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations, permutations, product
from math import prod

import numpy as np
import pytest

from chromacc_data.motifs.motif import Motif
from chromacc_data.recipe.simulation import MotifsRecipe, SitesRecipe
from chromacc_data.simulation.posterior import enumerate_configurations, sites_per_window
from chromacc_data.simulation.sites import Pool, draw_bases, draw_sites, plant, read_pool

FREQUENCIES = np.array([0.4, 0.1, 0.2, 0.3])
LENGTH = 9


def pool_of(*sequences: str) -> Pool:
    return read_pool(MotifsRecipe(sequences={f"m{i}": s for i, s in enumerate(sequences)}), [])


WORDS = pool_of("ACG", "CA", "GT", "TTAA")
PROFILES = Pool(
    ("p", "q"),
    (
        Motif("p", np.array([[0.7, 0.1, 0.1, 0.1], [0.05, 0.05, 0.8, 0.1], [0.1, 0.6, 0.2, 0.1]])),
        Motif("q", np.array([[0.1, 0.1, 0.1, 0.7], [0.5, 0.1, 0.3, 0.1]])),
    ),
)


def ways_to_draw(pool: Pool, recipe: SitesRecipe) -> list[tuple[tuple[int, ...], float]]:
    """Motifs from left to right, and their chance."""
    if recipe.groups:
        groups = [[pool.names.index(name) for name in group] for group in recipe.groups]
        orders = [groups] if recipe.positions or recipe.spacings else list(permutations(groups))
        return [
            (motifs, 1 / len(orders) / prod(map(len, order)))
            for order in orders
            for motifs in product(*order)
        ]
    ways = []
    for n, weight in enumerate(recipe.weights):
        every = product(range(len(pool)), repeat=n) if recipe.repeats else permutations(range(len(pool)), n)
        every = list(every)
        ways += [(motifs, weight / sum(recipe.weights) / len(every)) for motifs in every]
    return [way for way in ways if way[1] > 0]


def ways_to_place(widths: list[int], recipe: SitesRecipe) -> list[tuple[tuple[int, ...], float]]:
    """Starts from left to right, and their chance."""
    if recipe.positions:
        return [(recipe.positions, 1.0)]
    if recipe.spacings:
        ways = []
        for gaps in product(recipe.spacings, repeat=max(len(widths) - 1, 0)):
            offsets = [sum(widths[:i]) + sum(gaps[:i]) for i in range(len(widths))]
            n_places = LENGTH - sum(widths) - sum(gaps) + 1
            chance = 1 / n_places / len(recipe.spacings) ** len(gaps)
            ways += [(tuple(first + o for o in offsets), chance) for first in range(n_places)]
        return ways
    starts = [
        s
        for s in combinations(range(LENGTH), len(widths))
        if all(a + w <= b for a, w, b in zip(s, widths, [*s[1:], LENGTH][: len(s)], strict=True))
    ]
    return [(s, 1 / len(starts)) for s in starts]


def posterior(codes: np.ndarray, pool: Pool, recipe: SitesRecipe) -> dict[tuple, float]:
    """Chance of each set of sites given one sequence, over every way in which it can have been made."""
    weights: dict[tuple, float] = defaultdict(float)
    strands = (1, -1) if recipe.strand == "either" else (1,)
    for motifs, of_motifs in ways_to_draw(pool, recipe):
        widths = [pool.motifs[m].width for m in motifs]
        for starts, of_starts in ways_to_place(widths, recipe):
            for oriented in product(strands, repeat=len(motifs)):
                chance = of_motifs * of_starts / len(strands) ** len(motifs)
                is_site = np.zeros(LENGTH, bool)
                for m, start, strand in zip(motifs, starts, oriented, strict=True):
                    ppm = pool.motifs[m].ppm
                    if recipe.bases == "consensus":
                        ppm = np.eye(4)[ppm.argmax(axis=1)]
                    ppm = ppm if strand > 0 else ppm[::-1, ::-1]
                    site = slice(start, start + len(ppm))
                    is_site[site] = True
                    chance *= ppm[np.arange(len(ppm)), codes[site]].prod()
                chance *= FREQUENCIES[codes[~is_site]].prod()
                if chance:
                    weights[tuple(zip(motifs, starts, oriented, strict=True))] += chance
    total = sum(weights.values())
    return {key: weight / total for key, weight in weights.items()}


CASES = {
    "two words": (WORDS, SitesRecipe(2)),
    "none to two": (WORDS, SitesRecipe((1, 2, 1))),
    "repeats": (WORDS, SitesRecipe((0, 1, 1), repeats=True)),
    "either strand": (WORDS, SitesRecipe(2, strand="either")),
    "groups": (WORDS, SitesRecipe(groups=(("m0", "m1"), ("m2",)))),
    "groups in order": (WORDS, SitesRecipe(groups=(("m0", "m1"), ("m2",)), positions=(1, 5))),
    "spacings": (WORDS, SitesRecipe(2, spacings=(0, 1, 1))),
    "groups with spacings": (WORDS, SitesRecipe(groups=(("m0",), ("m2", "m1")), spacings=(0, 2))),
    "sampled": (PROFILES, SitesRecipe(1, bases="sampled")),
}


@pytest.mark.parametrize(("pool", "recipe"), CASES.values(), ids=CASES)
def test_enumerate_configurations__as_by_enumeration(pool: Pool, recipe: SitesRecipe):
    rng = np.random.default_rng(0)
    sites = draw_sites(rng, 12, pool, recipe, LENGTH)
    codes = rng.choice(4, (12, LENGTH), p=FREQUENCIES).astype(np.uint8)
    codes = plant(codes, sites, draw_bases(rng, sites, pool, recipe), pool.widths)
    configurations = enumerate_configurations(codes, pool, recipe, FREQUENCIES)
    for row in range(len(codes)):
        here = configurations.window == row
        found = {
            tuple((m, s, d) for m, s, d in zip(*one, strict=True) if m >= 0): p
            for *one, p in zip(
                *(a[here].tolist() for a in configurations.sites),
                configurations.probability[here],
                strict=True,
            )
        }
        expected = posterior(codes[row], pool, recipe)
        assert set(found) <= set(expected)
        # Of sampled sites, only the likeliest are thought of.
        thought_of = sum(expected[key] for key in found)
        assert thought_of > (0.95 if recipe.bases == "sampled" else 1 - 1e-9)
        for key, probability in found.items():
            assert probability == pytest.approx(expected[key] / thought_of)


def test_enumerate_configurations__a_window_without_any_site_that_could_be():
    # Two sites were asked for, and one word is there: it is called all the same.
    codes = np.array([[1, 1, 1, 3, 0, 1, 2, 1, 1], [1] * 9], np.uint8)
    configurations = enumerate_configurations(codes, WORDS, SitesRecipe(2), FREQUENCIES)
    assert configurations.window.tolist() == [0, 0, 1]
    assert configurations.sites.motif.tolist() == [[-1, -1], [0, -1], [-1, -1]]
    assert configurations.probability[1] > 0.5


def test_sites_per_window__weights():
    assert sites_per_window(WORDS, SitesRecipe((1, 1, 2))).tolist() == [1.25 / 4] * 4
