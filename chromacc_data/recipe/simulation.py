"""The part of a recipe that makes sequences: background, motifs, sites and accessibility models."""

# ruff: noqa: RUF009 -- `option` makes a dataclass field, as `dataclasses.field` does.

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from chromacc_data.errors import InputError
from chromacc_data.names import require_cell_types
from chromacc_data.recipe.source import Source
from chromacc_data.store.schema import BASES
from chromacc_data.typed_values import option

__all__ = [
    "BackgroundRecipe",
    "MotifsRecipe",
    "Pair",
    "SimulationRecipe",
    "SitesRecipe",
    "Target",
]


@dataclass(frozen=True)
class BackgroundRecipe:
    """Sequences that motifs are planted in (thesis, section 3.1.1)."""

    kind: Literal["independent", "markov", "shuffle", "closed"] = option(
        "`independent`: each base by itself (thesis); `markov`: a Markov chain learnt from `genome`; "
        "`shuffle`: windows of `genome`, shuffled with the dinucleotide counts of each kept; `closed`: "
        "windows of `genome` as they are. Windows of a genome lie outside the blacklist and the peaks of "
        "`samples`, hold no N, and do not overlap",
        "independent",
    )
    composition: dict[str, float] = option(
        "probability of each of A C G T; equal when absent",
        dict.fromkeys(BASES, 0.25),
        minimum=0,
        only_with=("kind", ("independent",)),
    )
    order: int = option(
        "number of preceding bases that a base depends on",
        1,
        minimum=0,
        maximum=8,
        only_with=("kind", ("markov",)),
    )

    def __post_init__(self) -> None:
        total = sum(self.composition.values())
        if sorted(self.composition) != list(BASES) or abs(total - 1) > 1e-6:
            found = ", ".join(f"{base} {p:g}" for base, p in self.composition.items())
            raise InputError(
                "not a base composition",
                where="composition",
                found=f"{found}; sum {total:g}",
                expected="probabilities of A, C, G and T that sum to 1",
            )

    @property
    def needs_genome(self) -> bool:
        """Whether the background is made from a genome."""
        return self.kind != "independent"


@dataclass(frozen=True)
class MotifsRecipe:
    """Motifs to plant: the pool that the sites of each window are drawn from."""

    files: tuple[Source, ...] = option(
        "files of motifs: MEME, JASPAR, HOCOMOCO, HOMER, TRANSFAC or CIS-BP", ()
    )
    names: tuple[str, ...] | None = option(
        "motifs to take from the files, by id, name or transcription factor, which becomes the motif's name; "
        "all when absent",
        None,
    )
    sequences: dict[str, str] = option(
        "motifs that are one sequence each, by name", {}, pattern=(r"[ACGT]+", "letters A C G T")
    )
    decoys: tuple[str, ...] = option("motifs that are planted like the others, without any effect", ())
    min_information: float | None = option(
        "bits; outer positions of a motif with less information are trimmed", None, above=0, maximum=2
    )

    @property
    def n_named(self) -> int:
        """Motifs that are named; files may hold more where no names are given."""
        return len(self.names or ()) + len(self.sequences)

    def __post_init__(self) -> None:
        if not self.files and not self.sequences:
            raise InputError("no motif", expected="`files`, `sequences` or both")
        if self.names is not None and not self.files:
            raise InputError("names without files", where="names", remedy="add `files`, or remove `names`")
        if self.names == ():
            raise InputError("no motif is left", where="names", expected="one name or more")
        unusable = [name for name in self.sequences if len(name.split()) != 1]
        if unusable:
            raise InputError(
                "a name that is empty or has whitespace", where="sequences", found=repr(unusable[0])
            )
        for key in ("names", "decoys"):
            _require_unique(getattr(self, key) or (), where=key)


@dataclass(frozen=True)
class SitesRecipe:
    """How many motifs are planted in each window, which, and where; sites never overlap."""

    number: int | tuple[float, ...] | None = option(
        "sites in each window, all motifs equally likely; or a list: the weights of 0, 1, 2, ... sites",
        None,
        minimum=0,
    )
    groups: tuple[tuple[str, ...], ...] = option(
        "one motif of each group in each window, instead of `number`", ()
    )
    repeats: bool = option("whether a window may have two sites of one motif (only with `number`)", False)
    strand: Literal["forward", "either"] = option(
        "`forward`, or `either`: each site on a random strand", "forward"
    )
    bases: Literal["consensus", "sampled"] = option(
        "`consensus`: the most probable base at each position; `sampled`: drawn from the motif's "
        "probabilities for each site",
        "consensus",
    )
    positions: tuple[int, ...] = option(
        "0-based start of each site; when absent, all arrangements are equally likely",
        (),
        minimum=0,
    )
    spacings: tuple[int, ...] = option(
        "instead of `positions`: bp between neighbouring sites, drawn from these; the row starts anywhere",
        (),
        minimum=0,
    )

    def __post_init__(self) -> None:
        if (self.number is None) == (not self.groups):
            raise InputError(
                "sites need a number or groups",
                found="neither" if self.number is None else "both",
                expected="`number` or `groups`",
            )
        if not self.groups and not self.max_sites:
            raise InputError("no site", where="number", expected="1 or more, or a weight above 0 for that")
        if self.groups and self.repeats:
            raise InputError("groups draw one motif each", where="repeats", remedy="remove `repeats`")
        if () in self.groups:
            raise InputError("an empty group", where=f"groups[{self.groups.index(())}]", expected="motifs")
        if self.positions and self.spacings:
            raise InputError(
                "positions and spacings", where="positions", expected="one of them", remedy="remove the other"
            )
        if self.positions and (isinstance(self.number, tuple) or len(self.positions) != self.max_sites):
            raise InputError(
                "not one position for each site",
                where="positions",
                found=f"{len(self.positions)} positions",
                expected=f"{self.max_sites}, for a fixed number of sites",
            )
        if list(self.positions) != sorted(set(self.positions)):
            raise InputError(
                "positions are not in increasing order", where="positions", found=list(self.positions)
            )

    @property
    def weights(self) -> tuple[float, ...]:
        """Weights of 0, 1, 2, ... sites in a window; they need not sum to 1."""
        if isinstance(self.number, tuple):
            return self.number
        return (0.0,) * self.max_sites + (1.0,)

    @property
    def max_sites(self) -> int:
        """Most sites that a window can have."""
        if self.groups:
            return len(self.groups)
        if isinstance(self.number, tuple):
            return max((n for n, weight in enumerate(self.number) if weight > 0), default=0)
        return int(self.number or 0)


@dataclass(frozen=True)
class Pair:
    """Two motifs that act together when both are in a window. Short form: their names, `HHEX IRF4`."""

    first: str = option("name of a motif", pattern=(r"\S+", "two names: FIRST SECOND"))
    second: str = option(
        "name of a motif; it may be the first again", pattern=(r"\S+", "two names: FIRST SECOND")
    )
    min_gap: int = option("fewest bp between the two sites", 0, minimum=0)
    max_gap: int | None = option("most bp between the two sites", None, minimum=0)
    orientation: Literal["any", "same", "convergent", "divergent"] = option(
        "`same`: both on one strand; `convergent`: they point at each other; `divergent`: away",
        "any",
    )
    order: Literal["any", "first_upstream"] = option(
        "`first_upstream`: the second lies downstream of the first, as seen on the strand of the first", "any"
    )
    contribution: float = option("what the pair adds to the score, however often it occurs", 1.0)

    def __post_init__(self) -> None:
        if self.max_gap is not None and self.max_gap < self.min_gap:
            raise InputError(
                "no gap is possible", where="max_gap", found=self.max_gap, expected=f"at least {self.min_gap}"
            )

    @classmethod
    def from_text(cls, text: str) -> dict[str, str]:
        """Keys that the short form stands for."""
        first, _, second = text.strip().partition(" ")
        return {"first": first, "second": second.strip()}


@dataclass(frozen=True)
class Target:
    """Accessibility of one simulated cell type: a score of each window, and open where it is high enough."""

    cell_type: str = option("unique name: one line of text, at most 200 characters")
    model: Literal["additive", "paired", "function"] = option(
        "`additive`: the score is the sum of the contributions of all sites; `paired`: of the pairs whose "
        "motifs are both present (thesis, section 3.1.2); `function`: the value of a function of your own"
    )
    contributions: dict[str, float] = option(
        "contribution of a site of each motif; 0 for those not named (with `paired`: added to the pairs')",
        {},
    )
    pairs: tuple[Pair, ...] = option("motifs that act together", (), only_with=("model", ("paired",)))
    draw: Literal["even", "uniform", "normal", "matching"] | None = option(
        "draw contributions at random instead (decoys have none): `even`: evenly spaced from -1 to 1, in "
        "random order; `uniform`: between -1 and 1; `normal`: mean 0 and variance 1. With `paired`, draw "
        "pairs: `matching`: each motif paired with one other",
        None,
    )
    function: str | None = option(
        "`FILE.py:NAME` next to the recipe, or `MODULE:NAME`: called as NAME(sites, codes, names), see "
        "`chromacc_data.simulation.user_function`; gives the score of each window",
        None,
        pattern=(r"[^:]+:[A-Za-z_]\w*", "FILE.py:NAME or MODULE:NAME"),
        only_with=("model", ("function",)),
    )
    threshold: float | None = option(
        "a window is open if its score is at least this; required, except for `paired` (1 when absent)",
        None,
    )
    copies: int = option(
        "cell types like this one, each drawn independently: NAME_1, NAME_2, ...; above 1 needs `draw`",
        1,
        minimum=1,
        maximum=1_000_000,
    )

    def __post_init__(self) -> None:
        require_cell_types([self.cell_type if self.copies == 1 else f"{self.cell_type}_{self.copies}"])
        given = {
            "contributions": bool(self.contributions),
            "pairs": bool(self.pairs),
            "draw": self.draw is not None,
            "function": self.function is not None,
        }
        needed = {
            "additive": ("contributions", "draw"),
            "paired": ("pairs", "draw"),
            "function": ("function",),
        }[self.model]
        if sum(given[key] for key in needed) != 1:
            raise InputError(
                f"the model {self.model} is not described",
                found="both"
                if all(given[key] for key in needed)
                else "neither"
                if len(needed) > 1
                else "nothing",
                expected=" or ".join(f"`{key}`" for key in needed),
            )
        if self.model == "function" and (self.contributions or self.draw):
            raise InputError(
                "a function takes neither contributions nor draws",
                where="contributions" if self.contributions else "draw",
                remedy="remove it",
            )
        if self.draw is not None and (self.draw == "matching") != (self.model == "paired"):
            raise InputError(
                f"does not go with `model: {self.model}`",
                where="draw",
                found=self.draw,
                expected="matching" if self.model == "paired" else "even, uniform or normal",
            )
        if self.model != "paired" and self.threshold is None:
            raise InputError(
                f"the model {self.model} needs a threshold",
                where="threshold",
                expected="a number: a window is open where its score is at least this",
                remedy="add `threshold: NUMBER`",
            )
        if self.copies > 1 and self.draw is None:
            raise InputError(
                "all copies would be identical", where="copies", found=self.copies, remedy="set `draw`"
            )

    @property
    def cell_types(self) -> tuple[str, ...]:
        """Names of the cell types that this stands for."""
        if self.copies == 1:
            return (self.cell_type,)
        return tuple(f"{self.cell_type}_{i}" for i in range(1, self.copies + 1))

    @property
    def open_from(self) -> float:
        """Threshold in force."""
        return 1.0 if self.threshold is None else self.threshold


@dataclass(frozen=True)
class SimulationRecipe:
    """Sequences with known truth (thesis, section 3.1)."""

    n_windows: int = option("sequences to make", minimum=1)
    motifs: MotifsRecipe = option("motifs to plant")
    sites: SitesRecipe = option("number and placement of sites")
    targets: tuple[Target, ...] = option("the cell types, and when a window is open in each")
    background: BackgroundRecipe = option("sequences to plant motifs in", BackgroundRecipe)
    remove_accidental: bool = option(
        "change bases of the background, one at a time, until no motif's consensus is left outside the sites",
        False,
    )

    def __post_init__(self) -> None:
        if not self.targets:
            raise InputError("no target", where="targets", expected="one or more")
        members = [name for group in self.sites.groups for name in group]
        _require_unique(members, where="sites.groups")
        seen: set[str] = set()
        for index, target in enumerate(self.targets):
            twice = seen.intersection(target.cell_types)
            if twice:
                raise InputError(
                    "cell type given twice",
                    where=f"targets[{index}].cell_type",
                    found=", ".join(sorted(twice)),
                )
            seen.update(target.cell_types)
        pool = self._names_in_pool()
        for index, target in enumerate(self.targets):
            where = f"targets[{index}]"
            in_pairs = [name for pair in target.pairs for name in (pair.first, pair.second)]
            self._require_effective(target.contributions, pool, where=f"{where}.contributions")
            self._require_effective(in_pairs, pool, where=f"{where}.pairs")
        if pool is not None:
            _require_in_pool(members, pool, where="sites.groups")
            _require_in_pool(self.motifs.decoys, pool, where="motifs.decoys")

    def _names_in_pool(self) -> tuple[str, ...] | None:
        """Names of the motifs, or None where only the files know."""
        if self.motifs.files and self.motifs.names is None:
            return None
        return (*(self.motifs.names or ()), *self.motifs.sequences)

    def _require_effective(self, names: Sequence[str], pool: Sequence[str] | None, *, where: str) -> None:
        decoys = [name for name in names if name in self.motifs.decoys]
        if decoys:
            raise InputError(
                "a decoy with an effect",
                where=where,
                found=decoys[0],
                remedy="take it from `motifs.decoys`, or here",
            )
        if pool is not None:
            _require_in_pool(names, pool, where=where)

    @property
    def cell_types(self) -> tuple[str, ...]:
        """Names of all targets, in the order of the store."""
        return tuple(name for target in self.targets for name in target.cell_types)

    def require_fits(self, length: int) -> None:
        """Raise where sites cannot lie in a window; the motifs' widths are not known here."""
        if self.sites.max_sites > length:
            raise InputError(
                "more sites than a window has positions",
                where="simulation.sites.number",
                found=f"{self.sites.max_sites:,}",
                expected=f"at most {length:,}",
                remedy="fewer sites, or longer windows",
            )
        if any(position >= length for position in self.sites.positions):
            raise InputError(
                "a position outside the window",
                where="simulation.sites.positions",
                found=max(self.sites.positions),
                expected=f"0 to {length - 1}",
            )


def _require_unique(names: Sequence[str], *, where: str) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise InputError("given twice", where=where, found=", ".join(twice))


def _require_in_pool(names: Sequence[str], pool: Sequence[str], *, where: str) -> None:
    absent = [name for name in names if name not in pool]
    if absent:
        raise InputError(
            "not among the motifs",
            where=where,
            found=absent[0],
            expected=f"one of {', '.join(pool[:8])}{', ...' if len(pool) > 8 else ''}",
            remedy="add it to `motifs.names` or `motifs.sequences`, or correct the name",
        )
