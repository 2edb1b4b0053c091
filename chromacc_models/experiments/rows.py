"""Rows that several experiments share: filters that match motifs, their decomposition, real data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from chromacc_models.experiments.claims import Claim, Tuning, Value

__all__ = [
    "TITLES",
    "both",
    "consensus_as_sites",
    "decomposed",
    "filter_kinds",
    "found",
    "found_alongside",
    "known_motif_claims",
    "motifs_found",
    "real_claims",
]

#: Sets of real data, by what their arms are named after.
TITLES = {"dnase": "DNase-6", "atac": "ATAC-6"}

#: Figures of the thesis for real data: baseline, factorization machine, difference, and notes on them.
_REAL_PUBLISHED = {
    "dnase": ("0.834", "0.855", "+0.020", "ENCODE+Roadmap", "ENCODE+Roadmap, p = 6e-29 over 164 cell types"),
    "atac": ("0.804", "0.823", "+0.019", "another ATAC-seq set", "another ATAC-seq set, not tested"),
}


def real_claims() -> tuple[Claim, ...]:
    """Factorization machines alongside the baseline, on each set of real data."""
    claims = []
    for name, (baseline, machine, difference, data, test) in _REAL_PUBLISHED.items():
        arms = [f"{name}/thesis-{{}}", f"{name}/improved-{{}}"]
        for network, published in (("baseline", baseline), ("factorization-machine", machine)):
            values = (Value(arm.format(network), "auroc") for arm in arms)
            claims.append(
                Claim(f"{TITLES[name]}: AUROC, {network.replace('-', ' ')}", published, *values, note=data)
            )
        values = (
            Value(arm.format("factorization-machine"), "auroc", less=arm.format("baseline")) for arm in arms
        )
        claims.append(
            Claim(
                f"{TITLES[name]}: AUROC, factorization machine minus baseline",
                difference,
                *values,
                note=test,
                headline=f"{TITLES[name]} AUROC, factorization machine minus baseline",
            )
        )
    return tuple(claims)


def known_motif_claims() -> tuple[Claim, ...]:
    """Filters of real data that match known motifs, alongside filters that learned nothing."""
    rows = (
        (
            "database.matched",
            None,
            Claim(
                "filters, of 300, that match a known motif (E ≤ 0.01)",
                "53",
                note="ENCODE+Roadmap",
                headline="filters that match a known motif, of 300",
            ),
        ),
        ("database.chance_untrained", None, Claim("chance: the same among untrained filters")),
        ("database.chance_shuffled", None, Claim("chance: the same among filters with shuffled columns")),
        *(
            (
                f"over.{null}",
                2.0,
                Claim(
                    f"matching filters, ratio of trained to {null} ones (all folds)",
                    headline=f"matching filters, ratio of trained to {null}",
                ),
            )
            for null in ("untrained", "shuffled")
        ),
        (
            "database.matched_of_top100",
            None,
            Claim("of the 100 largest inner products: those of two filters that match a known motif", "0"),
        ),
    )
    return tuple(
        dataclasses.replace(
            row,
            what=f"{title}: {row.what}",
            thesis=Value(f"{name}/thesis-factorization-machine", measure),
            improved=Value(f"{name}/improved-factorization-machine", measure, goal),
            headline=row.headline and f"{title} {row.headline}",
        )
        for name, title in TITLES.items()
        for measure, goal, row in rows
    )


def consensus_as_sites(arms: tuple[str, str]) -> Claim:
    """What accidental occurrences of motifs cost."""
    return both("AUROC when every consensus occurrence is scored as a site", "every_occurrence", arms)


def motifs_found(
    filters: str, published: str, note: str, thesis: Value, improved: Value, headline: str
) -> Claim:
    """How many planted motifs have a single-motif filter; values are those of :func:`found`."""
    what = f"motifs that have a single-motif filter ({filters})"
    return Claim(what, published, thesis, improved, note, headline)


def found(arm: str, goal: float | None = None, tuning: Tuning | None = None) -> Value:
    """How many groups of motifs have a single-motif filter."""
    return Value(arm, "filters.found", goal, of="filters.n_groups", tuning=tuning)


def found_alongside(arms: tuple[str, str]) -> tuple[Claim, ...]:
    """What stands alongside the motifs found: a stricter count, and chance."""
    return (
        Claim(
            "of these, motifs that also activate the filter when they are inserted",
            "",
            *(Value(arm, "filters.found_driven", of="filters.n_groups") for arm in arms),
        ),
        Claim(
            "chance: motifs that have a single-motif filter among as many untrained filters",
            "",
            *(Value(arm, "filters.chance.untrained.found", of="filters.n_groups") for arm in arms),
        ),
    )


def filter_kinds(filters: str, published: Mapping[str, str], arms: tuple[str, str]) -> tuple[Claim, ...]:
    """Kinds of filters counted as in the thesis, and those of untrained ones."""
    return tuple(
        both(what, measure.format(f"{kind}_by_motif"), arms, figure)
        for kind, name in (("single", "single-motif"), ("combination", "combination"))
        for what, figure, measure in (
            (f"{name} filters, counted as in the thesis ({filters})", published[kind], "filters.{}"),
            (f"chance: {name} filters among as many untrained ones", "", "filters.chance.untrained.{}"),
        )
    )


def decomposed(note: str, arms: tuple[str, str]) -> tuple[Claim, ...]:
    """Claims on filters decomposed into motifs (thesis, section 7.2, asks for it)."""
    return (
        Claim(
            "decomposition: planted motifs found in at least one filter",
            "",
            *(Value(arm, "decomposed.motifs", of="filters.n_groups") for arm in arms),
            note=note,
        ),
        Claim(
            "decomposition: mirrored motifs, never planted, found in at least one filter",
            "",
            *(Value(arm, "decomposed.mirrored", of="filters.n_groups") for arm in arms),
        ),
        both("decomposition: share of components that are planted motifs", "decomposed.share_planted", arms),
        both("decomposition: that share if components were drawn at random", "decomposed.chance", arms),
        both(
            "decomposition, precision: share of components that activate their filter when inserted",
            "decomposed.precision",
            arms,
        ),
        both(
            "decomposition, recall: share of the motifs that activate a filter which are among its "
            "components",
            "decomposed.recall",
            arms,
        ),
        both("filters that several motifs activate", "decomposed.combinations", arms),
        both("decomposition, recall in these filters", "decomposed.combination_recall", arms),
    )


def both(what: str, measure: str, arms: tuple[str, str], published: str = "", note: str = "") -> Claim:
    """A claim whose measure has no goal in either setting."""
    return Claim(what, published, Value(arms[0], measure), Value(arms[1], measure), note)
