"""Accessibility models: the score of a window from its sites, and from when on it is open (thesis, 3.1.2)."""

# ruff: noqa: RUF009 -- `option` makes a dataclass field, as `dataclasses.field` does.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np

from chromacc_data.compiled import compiled
from chromacc_data.errors import InputError
from chromacc_data.recipe.simulation import Pair, Target
from chromacc_data.simulation.sites import Pool, Sites
from chromacc_data.simulation.user_function import UserFunction
from chromacc_data.typed_values import Options, option

__all__ = ["Model", "ModelOnRecord", "models_of", "pairs_present", "scores"]

_ORIENTATIONS = ("any", "same", "convergent", "divergent")
_NO_LIMIT = np.iinfo(np.int64).max


@dataclass(frozen=True)
class ModelOnRecord(Options):
    """What a store says of a model."""

    cell_type: str = option("name of the target")
    model: Literal["additive", "paired", "function"] = option("kind of model")
    threshold: float = option("a window is open from this score on")
    contributions: dict[str, float] = option("of a site of each motif", {})
    pairs: tuple[Pair, ...] = option("motifs that act together", ())
    function: str | None = option("reference of a function", None)


@dataclass(frozen=True)
class Model:
    """Accessibility in one cell type, with everything drawn that the recipe leaves to chance.

    The score of a window is the sum of the contributions of its sites and of the pairs that are present, or
    what a function gives; the window is open where the score is at least `threshold`.

    Parameters
    ----------
    cell_type
        Name of the target.
    model
        ``additive``, ``paired`` or ``function``.
    threshold
        A window is open from this score on.
    contributions
        Of a site of each motif of the pool, by name; those of 0 may be left out.
    pairs
        Pairs of motifs, each with its own contribution.
    function
        Function that gives the score instead.
    """

    cell_type: str
    model: str
    threshold: float
    contributions: dict[str, float]
    pairs: tuple[Pair, ...] = ()
    function: UserFunction | None = None

    def to_json(self) -> dict[str, object]:
        """The model in types that JSON knows; a function by its reference."""
        return {
            "cell_type": self.cell_type,
            "model": self.model,
            "threshold": self.threshold,
            "contributions": self.contributions,
            "pairs": [asdict(pair) for pair in self.pairs],
            "function": self.function and self.function.reference,
        }

    @classmethod
    def of_store(cls, said: ModelOnRecord) -> Model:
        """The model that :meth:`to_json` gave; a function is known by name, and cannot be called."""
        function = UserFunction.of_store(said.function) if said.function else None
        return cls(said.cell_type, said.model, said.threshold, dict(said.contributions), said.pairs, function)


def models_of(
    targets: Sequence[Target], pool: Pool, functions: Sequence[UserFunction], *, seed: int
) -> tuple[Model, ...]:
    """The models of a recipe's targets, with contributions and pairs drawn where it says so.

    Parameters
    ----------
    targets
        Of the recipe.
    pool
        Motifs; decoys get no contribution and no partner.
    functions
        Those of the targets that have one, in their order.
    seed
        Same seed, same models; each cell type draws from a stream of its own.

    Raises
    ------
    InputError
        A motif that is not in the pool, or too few motifs to be matched.
    """
    models: list[Model] = []
    left = list(functions)
    for index, target in enumerate(targets):
        where = f"simulation.targets[{index}]"
        for name in (*target.contributions, *(n for pair in target.pairs for n in (pair.first, pair.second))):
            if name not in pool.names:
                raise InputError(
                    "not among the motifs",
                    where=where,
                    found=name,
                    expected=f"one of {', '.join(pool.names[:8])} ...",
                )
        function = left.pop(0) if target.model == "function" else None
        for cell_type in target.cell_types:
            model = Model(
                cell_type, target.model, target.open_from, dict(target.contributions), target.pairs, function
            )
            generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_DRAWS, len(models))))
            models.append(_drawn(model, target.draw, pool, generator, where=where))
    return tuple(models)


def scores(model: Model, sites: Sites, codes: np.ndarray, pool: Pool) -> np.ndarray:
    """Score of each window, (window,) float64.

    Contributions are added from the leftmost site to the rightmost, then pairs in their order: the sum is
    the same to the last bit wherever it is computed.

    Parameters
    ----------
    model
        What to score by.
    sites
        Sites of the windows, from left to right.
    codes
        (window, position) uint8, the sequences; only a function looks at them.
    pool
        Motifs that the sites are of.

    Raises
    ------
    InputError
        If a function fails, or gives anything but one finite number for each window.

    Examples
    --------
    >>> from chromacc_data.recipe.simulation import MotifsRecipe
    >>> from chromacc_data.simulation.sites import read_pool
    >>> pool = read_pool(MotifsRecipe(sequences={"x": "ACG", "y": "TT"}), [])
    >>> sites = Sites(np.array([[0, 1], [1, -1]]), np.array([[2, 7], [0, -1]]), np.array([[1, 1], [1, 0]]))
    >>> codes = np.zeros((2, 10), np.uint8)
    >>> scores(Model("a", "additive", 0.0, {"x": 1.5, "y": -1}), sites, codes, pool).tolist()
    [0.5, -1.0]
    >>> scores(Model("b", "paired", 1.0, {}, (Pair("x", "y"),)), sites, codes, pool).tolist()
    [1.0, 0.0]
    """
    if model.function is not None:
        return model.function(sites, codes, pool.names)
    contributions = np.array([float(model.contributions.get(name, 0.0)) for name in pool.names])
    of_pairs = np.array([float(pair.contribution) for pair in model.pairs])
    return _add_up(sites.motif, contributions, pairs_present(model.pairs, sites, pool), of_pairs)


def pairs_present(pairs: Sequence[Pair], sites: Sites, pool: Pool) -> np.ndarray:
    """Whether each pair is in each window, (window, pair) bool.

    A pair is present where a site of its first motif and another of its second lie as it asks: the gap
    between them, their strands, and their order. A window read from its other strand has the same pairs.
    """
    rules = np.array(
        [
            [
                pool.names.index(pair.first),
                pool.names.index(pair.second),
                pair.min_gap,
                _NO_LIMIT if pair.max_gap is None else pair.max_gap,
                _ORIENTATIONS.index(pair.orientation),
                pair.order == "first_upstream",
            ]
            for pair in pairs
        ],
        dtype=np.int64,
    ).reshape(-1, 6)
    return _present(rules, *sites, pool.widths)


#: Key of the streams that contributions and pairs are drawn from.
_DRAWS = 1 << 20


def _drawn(
    model: Model, draw: str | None, pool: Pool, generator: np.random.Generator, *, where: str
) -> Model:
    names = [name for name in pool.names if name not in pool.decoys]
    if draw is None:
        return model
    if draw == "matching":
        if len(names) % 2:
            raise InputError(
                "an odd number of motifs",
                where=where,
                found=f"{len(names)} motifs",
                expected="an even number",
            )
        order = [names[i] for i in generator.permutation(len(names))]
        return replace(model, pairs=tuple(map(Pair, order[::2], order[1::2])))
    values = {
        "even": lambda n: generator.permutation(np.linspace(-1, 1, n)),
        "uniform": lambda n: generator.uniform(-1, 1, n),
        "normal": generator.standard_normal,
    }[draw](len(names))
    return replace(model, contributions=dict(zip(names, values.tolist(), strict=True)))


@compiled
def _add_up(
    motif: np.ndarray, contributions: np.ndarray, present: np.ndarray, of_pairs: np.ndarray
) -> np.ndarray:
    score = np.zeros(len(motif))
    for row in range(len(motif)):
        for site in range(motif.shape[1]):
            if motif[row, site] >= 0:
                score[row] += contributions[motif[row, site]]
        for pair in range(present.shape[1]):
            if present[row, pair]:
                score[row] += of_pairs[pair]
    return score


@compiled
def _present(
    rules: np.ndarray, motif: np.ndarray, start: np.ndarray, strand: np.ndarray, widths: np.ndarray
) -> np.ndarray:
    present = np.zeros((len(motif), len(rules)), dtype=np.bool_)
    for row in range(len(motif)):
        for pair in range(len(rules)):
            first, second, min_gap, max_gap, orientation, ordered = rules[pair]
            for i in range(motif.shape[1]):
                if motif[row, i] != first or present[row, pair]:
                    continue
                for j in range(motif.shape[1]):
                    if j == i or motif[row, j] != second:
                        continue
                    left, right = (i, j) if start[row, i] < start[row, j] else (j, i)
                    gap = start[row, right] - start[row, left] - widths[motif[row, left]]
                    if gap < min_gap or gap > max_gap:
                        continue
                    same = strand[row, i] == strand[row, j]
                    if orientation == 1 and not same:
                        continue
                    if orientation == 2 and (same or strand[row, left] < 0):
                        continue
                    if orientation == 3 and (same or strand[row, left] > 0):
                        continue
                    if ordered and (strand[row, i] > 0) != (i == left):
                        continue
                    present[row, pair] = True
    return present
