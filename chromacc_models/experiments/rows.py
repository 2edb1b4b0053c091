"""Rows that several experiments have: filters that match, filters taken apart, networks on real data."""

from __future__ import annotations

from collections.abc import Mapping

from chromacc_models.experiments.claims import Claim, Value

__all__ = ["FOUND", "TITLES", "both", "decomposed", "found", "found_beside", "kinds", "real_claims"]

#: Sets of real data, by what their arms are named after.
TITLES = {"dnase": "DNase-6", "atac": "ATAC-6"}


def real_claims() -> tuple[Claim, ...]:
    """Factorization machines beside the baseline, on each set of real data."""
    sets = {
        "dnase": (
            "0.834 (ENCODE+Roadmap)",
            "0.855 (the same)",
            "+0.020, p 6e-29 over 164 cell types (the same)",
        ),
        "atac": ("0.804 (another ATAC-seq set)", "0.823 (the same)", "+0.019, not tested (the same)"),
    }
    claims = []
    for name, (baseline, machine, difference) in sets.items():
        arm = f"{name}/{{}}-{{}}".format
        for network, figure in (("baseline", baseline), ("factorization-machine", machine)):
            claims.append(
                Claim(
                    f"{TITLES[name]}: AUROC, {network.replace('-', ' ')}",
                    figure,
                    Value(arm("thesis", network), "auroc"),
                    Value(arm("improved", network), "auroc"),
                )
            )
        claims.append(
            Claim(
                f"{TITLES[name]}: factorization machine less baseline",
                difference,
                Value(arm("thesis", "factorization-machine"), "auroc", less=arm("thesis", "baseline")),
                Value(arm("improved", "factorization-machine"), "auroc", less=arm("improved", "baseline")),
            )
        )
    return tuple(claims)


#: Name of the row of :func:`found`.
FOUND = "motifs (groups) with a single-motif filter of their own"


def found(arm: str, goal: float | None = None, *, chosen: bool = False) -> Value:
    """Motif groups that have a single-motif filter of their own: the figure of a row named :data:`FOUND`."""
    return Value(arm, "filters.found", goal, of="filters.n_groups", chosen=chosen)


def found_beside(arms: tuple[str, str]) -> tuple[Claim, ...]:
    """What stands beside the motifs found: a stricter count, and chance."""
    return (
        Claim(
            "the same, of filters that the motif drives when it is inserted",
            "not given",
            *(Value(arm, "filters.found_driven", of="filters.n_groups") for arm in arms),
        ),
        Claim(
            "the same of as many untrained filters, by the rule alone",
            "not given",
            *(Value(arm, "filters.chance.untrained.found", of="filters.n_groups") for arm in arms),
        ),
    )


def kinds(filters: str, published: Mapping[str, str], arms: tuple[str, str]) -> tuple[Claim, ...]:
    """Kinds of filters as the thesis counts them, and those of untrained ones."""
    return tuple(
        both(f"{what}; {filters}", figure, measure.format(f"{kind}_by_motif"), arms)
        for kind, name in (("single", "single-motif"), ("combination", "combination"))
        for what, figure, measure in (
            (f"{name} filters, as the thesis counts", published[kind], "filters.{}"),
            ("the same of as many untrained filters", "not given", "filters.chance.untrained.{}"),
        )
    )


def decomposed(published: str, arms: tuple[str, str]) -> tuple[Claim, ...]:
    """Claims on filters that are taken apart (thesis, section 7.2, asks for it)."""
    return (
        Claim(
            "motifs (groups) that some filter holds, taken apart",
            published,
            *(Value(arm, "decomposed.motifs", of="filters.n_groups") for arm in arms),
        ),
        Claim(
            "mirrored motifs (groups), never planted, that some filter holds by the same search",
            "not given",
            *(Value(arm, "decomposed.mirrored", of="filters.n_groups") for arm in arms),
        ),
        both("share of all parts that are planted motifs", "not given", "decomposed.share_planted", arms),
        both(
            "the same if parts were drawn from planted and mirrored motifs",
            "not given",
            "decomposed.chance",
            arms,
        ),
        both(
            "share of all parts that are motifs which drive their filter when inserted",
            "not given",
            "decomposed.precision",
            arms,
        ),
        both(
            "share found of the motifs that drive filters",
            "not given",
            "decomposed.recall",
            arms,
        ),
        both("filters that several motifs drive", "not given", "decomposed.combinations", arms),
        both(
            "share found of the motifs that drive these", "not given", "decomposed.combination_recall", arms
        ),
    )


def both(what: str, published: str, measure: str, arms: tuple[str, str]) -> Claim:
    """A claim whose measure has no goal in either setting."""
    return Claim(what, published, Value(arms[0], measure), Value(arms[1], measure))
