"""The part of a recipe that makes sequences: what it reads, and what it refuses."""

from __future__ import annotations

import pytest

from chromacc_data.errors import InputError
from chromacc_data.recipe.recipe import Recipe, describe, parse_recipe
from chromacc_data.recipe.simulation import Pair, SitesRecipe, Target

SMALL = """
name: small
title: Made by hand
windows: {length: 40}
simulation:
  n_windows: 20
  motifs: {sequences: {x: ACGTT, y: GGATT, z: CCCTA}}
  sites: {number: 2}
  targets:
    - {cell_type: a, model: additive, contributions: {x: 1}, threshold: 1}
"""

FULL = """
name: full
title: Every key of a simulation
windows: {length: 100, merge_distance: 10}
genome: {assembly: toy, fasta: [toy.fa]}
samples: [{cell_type: liver, source: liver.bed}]
simulation:
  n_windows: 30
  background: {kind: closed}
  motifs:
    files: [motifs.meme, {file: more.meme}]
    names: [x, y, w]
    sequences: {z: ACGT}
    decoys: [w]
    min_information: 0.5
  sites: {number: [1, 2.5], repeats: true, strand: either, bases: sampled, spacings: [0, 5]}
  targets:
    - {cell_type: a, model: additive, draw: normal, threshold: -0.5, copies: 3}
    - cell_type: p
      model: paired
      contributions: {x: 0.5}
      pairs:
        - x y
        - {first: x, second: x, min_gap: 1, max_gap: 9, orientation: same, order: first_upstream,
           contribution: 2}
    - {cell_type: f, model: function, function: 'f.py:score', threshold: 0}
  remove_accidental: true
"""


def small(old: str = "", new: str = "") -> Recipe:
    assert old in SMALL
    return parse_recipe(SMALL.replace(old, new), path="set/recipe.yaml")


def test_parse_recipe__full_simulation():
    simulation = parse_recipe(FULL, path="set/recipe.yaml").simulation
    assert simulation.cell_types == ("a_1", "a_2", "a_3", "p", "f")
    assert simulation.targets[1].pairs == (
        Pair("x", "y"),
        Pair("x", "x", 1, 9, "same", "first_upstream", 2.0),
    )
    assert simulation.targets[1].open_from == 1
    assert simulation.sites == SitesRecipe((1.0, 2.5), (), True, "either", "sampled", (), (0, 5))
    assert (simulation.sites.max_sites, simulation.sites.weights) == (1, (1.0, 2.5))


def test_parse_recipe__every_key_of_a_simulation_is_used_in_these_tests():
    keys = {line.split("`")[1] for line in describe().splitlines() if line.startswith("| `simulation.")}
    absent = {key for key in keys if f"{key.rpartition('.')[2]}:" not in FULL}
    elsewhere = {"composition", "order", "positions", "groups"}  # go with other values than those of FULL
    assert {key.rpartition(".")[2] for key in absent} == elsewhere - {"order"}


def test_parse_recipe__a_simulation_needs_no_genome():
    recipe = small()
    assert (recipe.genome, recipe.samples, recipe.cell_types) == (None, (), ("a",))
    assert recipe.simulation.background.composition == {"A": 0.25, "C": 0.25, "G": 0.25, "T": 0.25}


def test_digest__options_of_a_simulation_count():
    assert small("number: 2", "number: 1").digest != small().digest
    assert small("sites: {number: 2}", "sites: {strand: forward, number: 2}").digest == small().digest


BAD = {
    "unknown model": ("model: additive", "model: additiv", "targets[0].model: unknown value", "`additive`?"),
    "threshold missing": (", threshold: 1", "", "targets[0].threshold: the model additive needs", "NUMBER"),
    "no model": ("contributions: {x: 1}, ", "", "targets[0]: the model additive is not described", "neither"),
    "two ways": ("threshold: 1", "threshold: 1, draw: even", "targets[0]: the model additive", "both"),
    "pairs of sums": ("threshold: 1", "threshold: 1, pairs: [x y]", "targets[0].pairs", "`model: paired`"),
    "wrong draw": (
        "contributions: {x: 1}",
        "draw: matching",
        "targets[0].draw: does not go with `model: additive`",
        "even, uniform or normal",
    ),
    "copies": ("threshold: 1", "threshold: 1, copies: 2", "targets[0].copies: all copies would", "`draw`"),
    "contributions of a function": (
        "model: additive",
        "model: function, function: 'f:g'",
        "targets[0].contributions: a function takes",
        "remove it",
    ),
    "function without name": (
        "model: additive, contributions: {x: 1}",
        "model: function, function: f.py",
        "targets[0].function: a value in the wrong format",
        "FILE.py:NAME",
    ),
    "one motif is no pair": (
        "model: additive, contributions: {x: 1}",
        "model: paired, pairs: [x]",
        "targets[0].pairs[0]: a value in the wrong format",
        "two names",
    ),
    "no gap": (
        "model: additive, contributions: {x: 1}",
        "model: paired, pairs: [{first: x, second: y, min_gap: 5, max_gap: 4}]",
        "targets[0].pairs[0].max_gap: no gap is possible",
        "at least 5",
    ),
    "motif not there": (
        "contributions: {x: 1}",
        "contributions: {q: 1}",
        "targets[0].contributions: not among the motifs",
        "one of x, y, z",
    ),
    "pair not there": (
        "model: additive, contributions: {x: 1}",
        "model: paired, pairs: [x q]",
        "targets[0].pairs: not among the motifs",
        "q",
    ),
    "decoy with an effect": (
        "z: CCCTA}",
        "z: CCCTA}, decoys: [x]",
        "targets[0].contributions: a decoy with an effect",
        "x",
    ),
    "decoy not there": ("z: CCCTA}", "z: CCCTA}, decoys: [q]", "motifs.decoys: not among the motifs", "q"),
    "no target": (
        "\n    - {cell_type: a, model: additive, contributions: {x: 1}, threshold: 1}",
        " []",
        "targets: no target",
        "one or more",
    ),
    "target twice": (
        "  targets:",
        "  targets:\n    - {cell_type: a, model: additive, draw: even, threshold: 0}",
        "targets[1].cell_type: cell type given twice",
        "a",
    ),
    "no motifs": ("{sequences: {x: ACGTT, y: GGATT, z: CCCTA}}", "{}", "motifs: no motif", "`sequences`"),
    "letters": ("x: ACGTT", "x: ACGU", "sequences.x: a value in the wrong format", "letters A C G T"),
    "names without files": ("z: CCCTA}", "z: CCCTA}, names: [a]", "motifs.names: names without", "`files`"),
    "blank name": (
        "x: ACGTT",
        "x x: ACGTT",
        "motifs.sequences: a name that is empty or has whitespace",
        "x x",
    ),
    "no number": ("number: 2", "strand: either", "sites: sites need a number or groups", "neither"),
    "number and groups": ("number: 2", "number: 2, groups: [[x]]", "sites: sites need a number", "both"),
    "no site": ("number: 2", "number: 0", "sites.number: no site", "1 or more"),
    "no weight": ("number: 2", "number: [1, 0]", "sites.number: no site", "a weight above 0"),
    "empty group": ("number: 2", "groups: [[x], []]", "sites.groups[1]: an empty group", "motifs"),
    "motif in two groups": ("number: 2", "groups: [[x], [x]]", "sites.groups: given twice", "x"),
    "group of others": ("number: 2", "groups: [[x], [q]]", "sites.groups: not among the motifs", "q"),
    "repeats of groups": (
        "number: 2",
        "groups: [[x]], repeats: true",
        "sites.repeats: groups draw",
        "repeats",
    ),
    "one position": (
        "number: 2",
        "number: 2, positions: [3]",
        "sites.positions: not one position",
        "2, for a",
    ),
    "positions back": (
        "number: 2",
        "number: 2, positions: [9, 3]",
        "sites.positions: positions are not",
        "9, 3",
    ),
    "outside": ("number: 2", "number: 2, positions: [3, 40]", "positions: a position outside", "0 to 39"),
    "positions and spacings": (
        "number: 2",
        "number: 2, positions: [3, 9], spacings: [1]",
        "sites.positions: positions and spacings",
        "one of them",
    ),
    "composition": (
        "  n_windows: 20",
        "  n_windows: 20\n  background: {composition: {A: 0.5, C: 0.5, G: 0.5, T: 0}}",
        "background.composition: not a base composition",
        "sum 1.5",
    ),
    "order of nothing": (
        "  n_windows: 20",
        "  n_windows: 20\n  background: {order: 2}",
        "background.order: `order` has no meaning here",
        "`kind: markov`",
    ),
    "markov without genome": (
        "  n_windows: 20",
        "  n_windows: 20\n  background: {kind: markov}",
        "simulation: `genome` is missing",
        "kind: markov",
    ),
    "genome for nothing": (
        "windows: {length: 40}",
        "windows: {length: 40}\ngenome: {assembly: a, fasta: [a.fa]}",
        "genome: `genome` does not go with `simulation`",
        "kind: independent",
    ),
    "negatives": (
        "windows: {length: 40}",
        "windows: {length: 40}\nnegatives: {}",
        "negatives: `negatives` does not go with `simulation`",
        "remove",
    ),
    "fixed windows": (
        "windows: {length: 40}",
        "windows: {length: 40, file: w.bed}",
        "windows: simulated windows take a length only",
        "`length`",
    ),
    "blocks": (
        "windows: {length: 40}",
        "windows: {length: 40}\nsplit: {by: block}",
        "split.by: simulated windows lie on no chromosome",
        "random",
    ),
}


@pytest.mark.parametrize(("old", "new", "where", "detail"), BAD.values(), ids=BAD)
def test_parse_recipe__bad_simulation(old, new, where, detail):
    with pytest.raises(InputError) as caught:
        small(old, new)
    message = str(caught.value)
    assert message.startswith("set/recipe.yaml line ")
    assert where in message
    assert detail in message
    assert len(message.splitlines()) <= 4


def test_parse_recipe__closed_background_needs_peaks():
    text = FULL.replace("samples: [{cell_type: liver, source: liver.bed}]\n", "")
    with pytest.raises(InputError, match="`samples` is missing"):
        parse_recipe(text, path="recipe.yaml")
    shuffled = parse_recipe(text.replace("kind: closed", "kind: shuffle"), path="recipe.yaml")
    assert shuffled.samples == ()


def test_parse_recipe__real_recipe_needs_a_genome():
    with pytest.raises(InputError, match="`genome` is missing"):
        parse_recipe("name: a\ntitle: b\nsamples: [{cell_type: A, source: a.bed}]\n", path="recipe.yaml")


def test_target__threshold_of_pairs():
    assert Target("a", "paired", pairs=(Pair("x", "y"),)).open_from == 1
    assert Target("a", "paired", pairs=(Pair("x", "y"),), threshold=2).open_from == 2
