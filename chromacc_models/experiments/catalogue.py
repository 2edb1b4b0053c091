"""The experiments as data: the claims of each section of the thesis, and its figures.

An experiment looks at arms (:mod:`chromacc_models.experiments.arms`). Each of its claims puts a figure of the
thesis alongside the same figure of its network here, and of the improved one.
"""

from __future__ import annotations

from collections.abc import Iterable

from chromacc_models.experiments.arms import ARMS, Arm
from chromacc_models.experiments.claims import Claim, Experiment, Tuning, Value
from chromacc_models.experiments.rows import (
    TITLES,
    both,
    consensus_as_sites,
    decomposed,
    filter_kinds,
    found,
    found_alongside,
    known_motif_claims,
    motifs_found,
    real_claims,
)

__all__ = ["EXPERIMENTS", "arms_of"]

_ADDITIVE = ("additive/thesis-20", "additive/improved")
_TEN_TARGETS = ("targets-10/thesis", "targets-10/improved")
_PAIRED = ("paired/thesis", "paired/improved")
_PAIRED_TEN_TARGETS = ("paired-targets-10/thesis", "paired-targets-10/improved")
_TRANSFERRED = ("paired/thesis-transferred", "paired/improved")

#: Why figures have a dagger; `docs/trials.md` tells each story.
_PATIENCE = Tuning("The patience was doubled after one of these folds stopped early.", "ten-filters")
_FILTERS_AND_PENALTY = Tuning(
    "The number of filters and the penalty were chosen after these folds missed the goal with 128 filters.",
    "improved-additive-network",
)
_BATCHES = Tuning("The batch size was chosen on two to four of these folds.", "thesis-settings-on-pairs")
_DONOR = Tuning(
    "The network that the filters come from was chosen after a look at five of these folds.",
    "transferred-filters",
)
_MOTIF_INTERACTIONS = Tuning(
    "The way to sum interactions of filters for a pair of motifs was chosen on these folds.",
    "interactions-of-motifs",
)
_REAL_THESIS = Tuning(
    "Options in the thesis settings were chosen on validation windows of DNase-6 and ATAC-6.", "real-data"
)
_REAL_IMPROVED = Tuning(
    "Options in the improved settings were chosen on validation windows of DNase-6.", "real-data"
)


def _four(data: str, network: str) -> dict[str, str]:
    """A network and the baseline on real data, in both settings, as a legend."""
    return {
        f"{name.replace('-', ' ')}, {setting}": f"{data}/{setting}-{name}"
        for setting in ("thesis", "improved")
        for name in (network, "baseline")
    }


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        "5.1.1",
        "Number of filters of the baseline network, additive model",
        "Windows of 600 bp hold three of 20 motifs. Each motif contributes a fixed amount, and a window is "
        "open if the sum reaches a threshold. How well does the baseline network, one layer of filters and "
        "an output, learn this with more or fewer filters?",
        (
            *(
                Claim(
                    f"AUROC, {n} filters",
                    published,
                    Value(f"additive/thesis-{n}", "auroc", goal, tuning=tuning),
                    headline=f"AUROC, baseline with {n} filters",
                )
                for n, published, goal, tuning in (
                    (10, "0.966 ± 0.010", 0.966, _PATIENCE),
                    (20, "0.984 ± 0.002", 0.984, None),
                    (30, "0.984 ± 0.002", 0.984, None),
                )
            ),
            Claim(
                "AUROC, 256 filters",
                improved=Value("additive/improved", "auroc", 0.995),
                headline="AUROC, baseline with 256 filters",
            ),
            consensus_as_sites(_ADDITIVE),
            motifs_found(
                "20 filters; improved: 256",
                "5 to 8",
                "single-motif filters",
                found("additive/thesis-20"),
                found("additive/improved", 18, _FILTERS_AND_PENALTY),
                "planted motifs with a filter of their own, of 19",
            ),
            *found_alongside(_ADDITIVE),
            *filter_kinds(
                "20 filters; improved: 256",
                {"single": "5 to 8", "combination": "see its Figure 5.2"},
                _ADDITIVE,
            ),
            *(
                Claim(
                    f"{kind} filters, counted as in the thesis ({n} filters)",
                    "see its Figure 5.2",
                    Value(f"additive/thesis-{n}", f"filters.{measure}_by_motif"),
                )
                for kind, measure in (("single-motif", "single"), ("combination", "combination"))
                for n in (10, 30)
            ),
            *decomposed("", _ADDITIVE),
        ),
        {
            "filters": {
                "10 filters": "additive/thesis-10",
                "20 filters": "additive/thesis-20",
                "30 filters": "additive/thesis-30",
                "256 filters, improved": "additive/improved",
            },
            "logos": {
                "10 filters": "additive/thesis-10",
                "20 filters": "additive/thesis-20",
                "30 filters": "additive/thesis-30",
                "256 filters, improved": "additive/improved",
            },
        },
        {"logos": "Figure 5.1", "filters": "Figure 5.2"},
    ),
    Experiment(
        "5.1.2",
        "Ten targets (cell types) at once, additive model",
        "The same windows in ten cell types at once, each with contributions of its own (the thesis calls "
        "cell types targets).",
        (
            Claim(
                "AUROC (20 filters; improved: 128)",
                "",
                Value("targets-10/thesis", "auroc"),
                Value("targets-10/improved", "auroc", 0.99),
                headline="AUROC, baseline with ten cell types at once",
            ),
            consensus_as_sites(_TEN_TARGETS),
            motifs_found(
                "20 filters; improved: 128",
                "3 to 10",
                "single-motif filters",
                found("targets-10/thesis"),
                found("targets-10/improved", 18),
                "ten cell types: planted motifs with a filter of their own, of 19",
            ),
            *found_alongside(_TEN_TARGETS),
            *filter_kinds(
                "20 filters; improved: 128",
                {"single": "3 to 10", "combination": "see its Figure 5.3"},
                _TEN_TARGETS,
            ),
        ),
        {
            "filters": {
                "1 target": "additive/thesis-20",
                "10 targets": "targets-10/thesis",
                "10 targets, improved": "targets-10/improved",
            }
        },
        {"filters": "Figure 5.3"},
    ),
    Experiment(
        "5.2.1",
        "Factorization machines on paired motifs",
        "Windows of 100 bp hold three of the 20 motifs and are open if two of them are one of ten planted "
        "pairs. The factorization machine adds an interaction for each pair of filters to the baseline "
        "network. Does it learn the pairs, and can they be told from its weights?",
        (
            Claim(
                "AUROC (20 filters; improved: 128)",
                "0.890 ± 0.02",
                Value("paired/thesis", "auroc", 0.890, tuning=_BATCHES),
                Value("paired/improved", "auroc", 0.99),
                headline="AUROC, factorization machine on pairs of motifs",
            ),
            Claim(
                "AUROC, ten cell types",
                "",
                *(Value(arm, "auroc") for arm in _PAIRED_TEN_TARGETS),
                note="not reported separately",
            ),
            motifs_found(
                "20 filters; improved: 128",
                "0",
                "single-motif filters",
                found("paired/thesis"),
                found("paired/improved", 16),
                "planted motifs with a filter of their own, of 19",
            ),
            *found_alongside(_PAIRED),
            *filter_kinds("20 filters; improved: 128", {"single": "0", "combination": "18.9"}, _PAIRED),
            *filter_kinds(
                "ten cell types, 20 filters; improved: 128",
                {"single": "0", "combination": "16.3"},
                _PAIRED_TEN_TARGETS,
            ),
            *decomposed("an open problem (7.2)", _PAIRED),
            Claim(
                "correct pairs among the ten largest inner products (thesis settings: transferred filters)",
                "7.4",
                Value("paired/thesis-transferred", "interactions.raw_top10", 7.4, tuning=_DONOR),
                Value("paired/improved", "interactions.raw_top10"),
                headline="correct filter pairs among the top ten inner products",
            ),
            both(
                "wrong pairs among these ten whose two filters share a motif",
                "interactions.raw_homotypic",
                _TRANSFERRED,
                "all",
            ),
            both(
                "correct pairs among the ten largest scaled interactions",
                "interactions.scaled_top10",
                _TRANSFERRED,
            ),
            both(
                "chance: correct pairs among ten drawn at random",
                "interactions.chance_top10",
                _TRANSFERRED,
            ),
            both(
                "correct pairs among the ten largest inner products, motifs assigned by activation",
                "interactions.raw_driven_top10",
                _TRANSFERRED,
            ),
            both(
                "chance: correct pairs among ten drawn at random, motifs assigned by activation",
                "interactions.driven_chance_top10",
                _TRANSFERRED,
            ),
            Claim(
                "correct pairs among the ten largest inner products, motifs assigned by activation, filters "
                "trained by the network itself",
                "",
                Value("paired/thesis", "interactions.raw_driven_top10"),
            ),
            both(
                "the same with ten cell types",
                "interactions.raw_driven_top10",
                _PAIRED_TEN_TARGETS,
            ),
            Claim(
                "correct pairs among the ten largest scaled interactions, only filters that match a motif "
                "and pairs that share none",
                "",
                Value("paired/thesis-transferred", "interactions.filters_top10"),
                Value("paired/improved", "interactions.filters_top10", 9.5),
                headline="correct filter pairs among the top ten scaled interactions",
            ),
            both(
                "chance: correct pairs among ten of these drawn at random",
                "interactions.filters_chance_top10",
                _TRANSFERRED,
            ),
            Claim(
                "correct pairs among the ten strongest interactions of motifs",
                "",
                Value("paired/thesis-transferred", "interactions.motifs_top10"),
                Value("paired/improved", "interactions.motifs_top10", 9.5, tuning=_MOTIF_INTERACTIONS),
                headline="correct motif pairs among the top ten",
            ),
            Claim(
                "the same with ten cell types that have other pairs each (nothing was chosen on these)",
                "",
                *(Value(arm, "interactions.motifs_top10") for arm in _PAIRED_TEN_TARGETS),
            ),
            both(
                "average precision of the interactions of motifs",
                "interactions.motifs_average_precision",
                _TRANSFERRED,
            ),
            both(
                "motif pairs that are among the ten strongest in at least nine of the ten folds",
                "stable.pairs",
                _TRANSFERRED,
            ),
            both("of these, planted pairs", "stable.correct", _TRANSFERRED),
            Claim(
                "filter pairs that are among the ten largest inner products in at least nine of the ten "
                "folds",
                "most of ten",
                Value("paired/thesis-transferred", "stable.filters"),
            ),
            both(
                "folds that agree on the strongest motif pair",
                "stable.first_runs",
                _TRANSFERRED,
                "10",
                "HOXD8 with TFAP2E",
            ),
            Claim(
                "planted pairs against other pairs, p of Welch's t-test (thesis settings: inner products of "
                "all pairs; improved: scaled interactions of filters that match different motifs)",
                "4.2e-14",
                Value("paired/thesis-transferred", "interaction_tests.raw.welch_p"),
                Value("paired/improved", "interaction_tests.scaled.welch_p"),
            ),
            Claim(
                "the same, p of the permutation test (the one to rely on)",
                "",
                Value("paired/thesis-transferred", "interaction_tests.raw.permutation_p"),
                Value("paired/improved", "interaction_tests.scaled.permutation_p"),
            ),
            Claim(
                "the same, p of the corrected resampled t-test (whether the folds agree)",
                "",
                Value("paired/thesis-transferred", "interaction_tests.raw.corrected_p"),
                Value("paired/improved", "interaction_tests.scaled.corrected_p"),
            ),
            both(
                "planted pairs, of ten, confirmed by predictions: inserted in 200 shuffled windows, both "
                "motifs add more than each alone, by over three standard errors",
                "interactions.confirmed",
                _TRANSFERRED,
            ),
            both(
                "the same for ten pairs that were not planted",
                "interactions.confirmed_others",
                _TRANSFERRED,
            ),
            Claim(
                "AUROC with 30 transferred filters",
                "",
                Value("paired/thesis-transferred", "auroc"),
            ),
            Claim(
                "AUROC with 30 transferred filters minus AUROC with 20 filters of its own",
                "below 0",
                Value("paired/thesis-transferred", "auroc", less="paired/thesis"),
                note="6.2.1",
            ),
        ),
        {
            "filters": {
                "1 target": "paired/thesis",
                "10 targets": "paired-targets-10/thesis",
                "1 target, improved": "paired/improved",
                "10 targets, improved": "paired-targets-10/improved",
            },
            "products": {"transferred filters": "paired/thesis-transferred"},
            "interactions": {
                "transferred filters": "paired/thesis-transferred",
                "improved": "paired/improved",
            },
            "tables": {
                "transferred filters": "paired/thesis-transferred",
                "improved": "paired/improved",
            },
            "logos": {"improved": "paired/improved"},
        },
        {"filters": "Figure 5.4", "products": "Figure 5.5"},
        ("paired/thesis-transferred", "paired/thesis", "paired/improved"),
        "planted pairs 1284 ± 4773, other pairs -607 ± 1371, Welch's p = 4.2e-14 (inner products of "
        "transferred filters)",
        remark="In the thesis settings the rule finds fewer combination filters than the thesis did, and "
        "fewer than among untrained filters. What a filter looks like says little about it: when "
        "motifs are assigned by activation, most of the ten largest inner products are correct, even "
        "with the network's own filters, of which few match a motif. There are 30 transferred "
        "filters but 20 of the network's own, and batches are larger with transferred filters; the "
        "last row measures all of these differences together. The ten pairs that were not planted "
        "combine the first motif of each pair with the second motif of the next. Some of them "
        "interact by more than three standard errors: the errors are over windows, so that small "
        "interactions which a network has by chance show as well.",
    ),
    Experiment(
        "5.2.2",
        "Non-linear interactions: factorization machines against the baseline",
        "Is the factorization machine better because it has interactions? It is compared with the baseline "
        "network on planted pairs and on two sets of real data, of six cell types each.",
        (
            Claim(
                "paired motifs: AUROC, baseline",
                "0.52",
                Value("paired/thesis-baseline", "auroc"),
                Value("paired/improved-baseline", "auroc"),
            ),
            Claim(
                "paired motifs: AUROC, factorization machine minus baseline",
                "+0.37",
                Value("paired/thesis", "auroc", less="paired/thesis-baseline"),
                Value("paired/improved", "auroc", less="paired/improved-baseline"),
                headline="pairs of motifs: AUROC, factorization machine minus baseline",
            ),
            *real_claims(),
        ),
        {
            "roc": {
                "factorization machine": "paired/thesis",
                "baseline": "paired/thesis-baseline",
                "factorization machine, improved": "paired/improved",
                "baseline, improved": "paired/improved-baseline",
            },
            "roc of DNase-6": _four("dnase", "factorization-machine"),
            "roc of ATAC-6": _four("atac", "factorization-machine"),
            "loss of ATAC-6": _four("atac", "factorization-machine"),
        },
        {"roc of DNase-6": "Figure 5.7", "roc of ATAC-6": "Figure 5.8", "loss of ATAC-6": "Figure 5.6"},
        remark="With average pooling the baseline adds up what its filters find, so it cannot learn pairs. "
        "With max pooling it is not additive: a filter that holds two motifs gives the larger of two "
        "values, and a + b - max(a, b) = min(a, b). The improved baseline learns such filters. On "
        "real data the factorization machines stay below the baseline in the thesis settings. The "
        "thesis found them above it, on ENCODE+Roadmap with some two million windows; with the 7,000 "
        "to 17,000 training windows here, pairs of filters learn little (docs/results.md).",
    ),
    Experiment(
        "5.2.3",
        "Filters of real data against known motifs",
        "The filters of factorization machines that were trained on real data are compared with known "
        "motifs by Tomtom. Untrained filters and filters with shuffled columns show how many match by "
        "chance.",
        known_motif_claims(),
        {
            "matched": {
                f"{title}, {setting}": f"{name}/{setting}-factorization-machine"
                for name, title in TITLES.items()
                for setting in ("thesis", "improved")
            }
        },
        {"matched": "Figure 5.9"},
    ),
    Experiment(
        "5.3",
        "Positions that depend on each other: the motif building network",
        "In these simulated windows the variants of a motif that open a window differ from the others only "
        "in pairs of bases: at each single position they have the same bases equally often. The filters of "
        "the motif building network are tables of blocks of bases, not weights of single bases, and can "
        "tell such variants apart.",
        (
            Claim(
                "AUROC, motif building network",
                "0.87",
                Value("positional/thesis-builder", "auroc", 0.97),
                Value("positional/improved-builder", "auroc", 0.998),
                headline="AUROC, motif building network on positional variants",
            ),
            Claim(
                "AUROC, baseline",
                "0.62",
                Value("positional/thesis-baseline", "auroc"),
                Value("positional/improved-baseline", "auroc"),
            ),
            Claim(
                "AUROC, motif building network minus baseline",
                "+0.25",
                *(
                    Value(f"positional/{setting}-builder", "auroc", less=f"positional/{setting}-baseline")
                    for setting in ("thesis", "improved")
                ),
                headline="positional variants: AUROC, motif building network minus baseline",
            ),
            *(
                claim
                for name, published, data, difference, figures in (
                    ("dnase", "", "", "", ""),
                    ("atac", "0.707", "another ATAC-seq set", "-0.097", "0.707 against 0.804"),
                )
                for claim in (
                    Claim(
                        f"{TITLES[name]}: AUROC, motif building network",
                        published,
                        Value(f"{name}/thesis-motif-builder", "auroc"),
                        Value(f"{name}/improved-motif-builder", "auroc"),
                        note=data,
                    ),
                    Claim(
                        f"{TITLES[name]}: AUROC, motif building network minus baseline",
                        difference,
                        *(
                            Value(
                                f"{name}/{setting}-motif-builder",
                                "auroc",
                                0,
                                less=f"{name}/{setting}-baseline",
                                tuning=tuning,
                            )
                            for setting, tuning in (("thesis", _REAL_THESIS), ("improved", _REAL_IMPROVED))
                        ),
                        note=figures,
                        headline=f"{TITLES[name]} AUROC, motif building network minus baseline",
                    ),
                )
            ),
        ),
        {
            "roc": {
                "motif building network": "positional/thesis-builder",
                "baseline": "positional/thesis-baseline",
                "motif building network, improved": "positional/improved-builder",
                "baseline, improved": "positional/improved-baseline",
            },
            "loss": {
                "motif building network": "positional/thesis-builder",
                "baseline": "positional/thesis-baseline",
            },
            "predictions": {
                "motif building network": "positional/thesis-builder",
                "motif building network, improved": "positional/improved-builder",
            },
            "loss of ATAC-6": _four("atac", "motif-builder"),
        },
        {
            "loss": "Figure 5.10",
            "roc": "Figure 5.11",
            "predictions": "Figure 5.12",
            "loss of ATAC-6": "Figure 5.13",
        },
        remark="The motif building network takes the best position of a window, and the baseline of the "
        "thesis settings the average of all positions, so their difference is not due to the tables "
        "alone: with max pooling and twelve filters the baseline separates the variants as well as "
        "three filters with tables do. Free tables, as in the thesis, have 256 numbers per block and "
        "filter where the baseline has 16 weights, and soon overfit the few training windows of "
        "ATAC-6. Some 270 sets of options were tried for them, and none came up to the baseline of "
        "ATAC-6 on validation windows. A table of the improved network is the sum of what single "
        "bases add and a penalised deviation.",
    ),
)


def arms_of(experiments: Iterable[Experiment]) -> list[Arm]:
    """Arms that experiments look at, once each.

    >>> [arm.name for arm in arms_of(EXPERIMENTS[:1])][:2]
    ['additive/thesis-10', 'additive/thesis-20']
    """
    names: dict[str, None] = {}
    for experiment in experiments:
        for value in experiment.values:
            names |= dict.fromkeys(name for name in (value.arm, value.less) if name is not None)
        for arms in experiment.pictures.values():
            names |= dict.fromkeys(arms.values())
    return [ARMS[name] for name in names]
