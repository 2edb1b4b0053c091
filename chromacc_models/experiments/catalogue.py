"""The experiments as data: the claims of each section of the thesis, and what it had found.

An experiment looks at arms (:mod:`chromacc_models.experiments.arms`). Each of its claims puts a figure of the
thesis beside the same figure of its network here, and of the improved one.
"""

from __future__ import annotations

from collections.abc import Iterable

from chromacc_models.experiments.arms import ARMS, Arm
from chromacc_models.experiments.claims import Claim, Experiment, Value
from chromacc_models.experiments.rows import (
    FOUND,
    TITLES,
    both,
    decomposed,
    found,
    found_beside,
    kinds,
    real_claims,
)

__all__ = ["EXPERIMENTS", "arms_of"]

_ADDS_UP = "AUROC of a reader who adds up the true contributions of all occurrences outside other sites"

_ADDITIVE = ("additive/thesis-20", "additive/improved")
_TEN_TARGETS = ("targets-10/thesis", "targets-10/improved")
_PAIRED = ("paired/thesis", "paired/improved")
_PAIRED_TEN_TARGETS = ("paired-targets-10/thesis", "paired-targets-10/improved")
_TRANSFERRED = ("paired/thesis-transferred", "paired/improved")


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
        (
            *(
                Claim(
                    f"AUROC, {n} filters",
                    published,
                    Value(f"additive/thesis-{n}", "auroc", goal, chosen=chosen),
                )
                for n, published, goal, chosen in (
                    (10, "0.966 ± 0.010", 0.966, True),
                    (20, "0.984 ± 0.002", 0.984, False),
                    (30, "0.984 ± 0.002", 0.984, False),
                )
            ),
            Claim("AUROC, 256 filters", "not given", improved=Value("additive/improved", "auroc", 0.995)),
            both(_ADDS_UP, "not given", "every_occurrence", _ADDITIVE),
            Claim(
                f"{FOUND}; 20 filters, improved 256",
                "5 to 8 single-motif filters",
                found("additive/thesis-20"),
                found("additive/improved", 18, chosen=True),
            ),
            *found_beside(_ADDITIVE),
            *kinds(
                "20 filters, improved 256",
                {"single": "5 to 8", "combination": "see its Figure 5.2"},
                _ADDITIVE,
            ),
            *(
                Claim(
                    f"{kind} filters, as the thesis counts; {n} filters",
                    "see its Figure 5.2",
                    Value(f"additive/thesis-{n}", f"filters.{measure}_by_motif"),
                )
                for kind, measure in (("single-motif", "single"), ("combination", "combination"))
                for n in (10, 30)
            ),
            *decomposed("not given", _ADDITIVE),
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
        "Ten targets at once, additive model",
        (
            Claim(
                "AUROC",
                "not given",
                Value("targets-10/thesis", "auroc"),
                Value("targets-10/improved", "auroc", 0.99),
            ),
            both(_ADDS_UP, "not given", "every_occurrence", _TEN_TARGETS),
            Claim(
                f"{FOUND}; 20 filters, improved 128",
                "3 to 10 single-motif filters",
                found("targets-10/thesis"),
                found("targets-10/improved", 18),
            ),
            *found_beside(_TEN_TARGETS),
            *kinds(
                "20 filters, improved 128",
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
        (
            Claim(
                "AUROC",
                "0.890 ± 0.02",
                Value("paired/thesis", "auroc", 0.890, chosen=True),
                Value("paired/improved", "auroc", 0.99),
            ),
            Claim(
                "AUROC, ten targets",
                "not given apart",
                *(Value(arm, "auroc") for arm in _PAIRED_TEN_TARGETS),
            ),
            Claim(
                f"{FOUND}; 20 filters, improved 128",
                "0",
                found("paired/thesis"),
                found("paired/improved", 16),
            ),
            *found_beside(_PAIRED),
            *kinds("20 filters, improved 128", {"single": "0", "combination": "18.9"}, _PAIRED),
            *kinds(
                "ten targets, 20 filters, improved 128",
                {"single": "0", "combination": "16.3"},
                _PAIRED_TEN_TARGETS,
            ),
            *decomposed("an open problem (7.2)", _PAIRED),
            Claim(
                "correct of the first ten inner products of all filters (thesis: transferred filters)",
                "7.4",
                Value("paired/thesis-transferred", "interactions.raw_top10", 7.4, chosen=True),
                Value("paired/improved", "interactions.raw_top10"),
            ),
            both(
                "wrong ones of them, of two filters with a motif in common",
                "all",
                "interactions.raw_homotypic",
                _TRANSFERRED,
            ),
            both(
                "correct ones, by scaled interactions", "not given", "interactions.scaled_top10", _TRANSFERRED
            ),
            both("the same in a random order", "not given", "interactions.chance_top10", _TRANSFERRED),
            both(
                "correct ones of the first ten inner products by the motifs that drive the filters",
                "not given",
                "interactions.raw_driven_top10",
                _TRANSFERRED,
            ),
            both("the same in a random order", "not given", "interactions.driven_chance_top10", _TRANSFERRED),
            Claim(
                "correct ones by the motifs that drive the filters, with filters of its own",
                "not given",
                Value("paired/thesis", "interactions.raw_driven_top10"),
            ),
            both(
                "correct ones by the motifs that drive the filters, ten targets with filters of their own",
                "not given",
                "interactions.raw_driven_top10",
                _PAIRED_TEN_TARGETS,
            ),
            Claim(
                "correct of the first ten scaled interactions of filters that match motifs, homotypic pairs "
                "left out",
                "not given",
                Value("paired/thesis-transferred", "interactions.filters_top10"),
                Value("paired/improved", "interactions.filters_top10", 9.5),
            ),
            both(
                "the same in a random order", "not given", "interactions.filters_chance_top10", _TRANSFERRED
            ),
            Claim(
                "correct of the first ten interactions of motifs (groups), each once, by what they raise",
                "not given",
                Value("paired/thesis-transferred", "interactions.motifs_top10"),
                Value("paired/improved", "interactions.motifs_top10", 9.5, chosen=True),
            ),
            Claim(
                "the same of ten targets with other pairs each, which nothing was chosen by",
                "not given",
                *(Value(arm, "interactions.motifs_top10") for arm in _PAIRED_TEN_TARGETS),
            ),
            both(
                "average precision of interactions of motifs",
                "not given",
                "interactions.motifs_average_precision",
                _TRANSFERRED,
            ),
            both(
                "pairs of motifs (groups) among the first ten in nine folds or ten",
                "not given",
                "stable.pairs",
                _TRANSFERRED,
            ),
            both("planted ones of them", "not given", "stable.correct", _TRANSFERRED),
            Claim(
                "pairs of filters among the first ten inner products in nine folds or ten",
                "most of ten",
                Value("paired/thesis-transferred", "stable.filters"),
            ),
            both(
                "folds that agree on the first pair of motifs",
                "10 (HOXD8 with TFAP2E)",
                "stable.first_runs",
                _TRANSFERRED,
            ),
            Claim(
                "planted pairs above others, Welch's p, all pairs of all folds independent (thesis settings: "
                "inner products of all pairs; improved: scaled, of filters that match different motifs)",
                "4.2e-14",
                Value("paired/thesis-transferred", "interaction_tests.raw.welch_p"),
                Value("paired/improved", "interaction_tests.scaled.welch_p"),
            ),
            Claim(
                "the same, p of the permutation test: the one to trust",
                "not given",
                Value("paired/thesis-transferred", "interaction_tests.raw.permutation_p"),
                Value("paired/improved", "interaction_tests.scaled.permutation_p"),
            ),
            Claim(
                "the same, p of the corrected resampled t-test: whether folds agree, not whether by chance",
                "not given",
                Value("paired/thesis-transferred", "interaction_tests.raw.corrected_p"),
                Value("paired/improved", "interaction_tests.scaled.corrected_p"),
            ),
            both(
                "planted pairs (of ten) whose interaction shows in predictions of 200 shuffled windows with "
                "the motifs inserted: more than three standard errors above 0",
                "not given",
                "interactions.confirmed",
                _TRANSFERRED,
            ),
            both("the same of ten other pairs", "not given", "interactions.confirmed_others", _TRANSFERRED),
            Claim(
                "AUROC with 30 transferred filters",
                "not given",
                Value("paired/thesis-transferred", "auroc"),
            ),
            Claim(
                "the same, less AUROC with 20 filters of its own",
                "below 0 (6.2.1)",
                Value("paired/thesis-transferred", "auroc", less="paired/thesis"),
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
        "correct 1284 ± 4773, incorrect -607 ± 1371, Welch p = 4.2e-14 (transferred filters, inner products)",
        remark="In the settings of the thesis the rule matches fewer filters with several motifs than in the "
        "thesis, and fewer than of untrained filters. What filters look like says little about them: by the "
        "motifs that drive them, most of the first ten inner products are right, with filters of their own "
        "and hardly any match as well. Transferred filters are 30 where the network's own are 20, and its "
        "batches are larger; the last row is of both, not of the transfer alone. The ten other pairs that "
        "are inserted are the first motif of a pair with the second of the next. Some of them interact by "
        "more than three standard errors: these are over windows, so that small interactions which a network "
        "has by chance show as well.",
    ),
    Experiment(
        "5.2.2",
        "Whether interactions are not linear: factorization machines against the baseline",
        (
            Claim(
                "paired motifs: AUROC, baseline",
                "0.52",
                Value("paired/thesis-baseline", "auroc"),
                Value("paired/improved-baseline", "auroc"),
            ),
            Claim(
                "paired motifs: factorization machine less baseline",
                "+0.37",
                Value("paired/thesis", "auroc", less="paired/thesis-baseline"),
                Value("paired/improved", "auroc", less="paired/improved-baseline"),
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
        remark="With average pooling the baseline adds up what its filters find, and pairs are beyond it. "
        "With max pooling it is no additive model: a filter that holds two motifs gives the larger of two "
        "values, and a + b - max(a, b) = min(a, b). The improved baseline learns such filters. "
        "On real data the factorization machines of the thesis settings stay below the baseline, where the "
        "thesis found them above it, on ENCODE+Roadmap of some two million windows; of the 7,000 to "
        "17,000 training windows here, pairs of filters learn little (docs/results.md).",
    ),
    Experiment(
        "5.2.3",
        "Filters of real data against known motifs",
        tuple(
            Claim(
                f"{title}: {what}",
                published,
                Value(f"{name}/thesis-factorization-machine", measure),
                Value(f"{name}/improved-factorization-machine", measure, goal),
            )
            for name, title in TITLES.items()
            for measure, what, published, goal in (
                (
                    "database.matched",
                    "filters of 300 that match a known motif at E <= 0.01",
                    "53 (ENCODE+Roadmap)",
                    None,
                ),
                ("database.chance_untrained", "the same of untrained filters", "not given", None),
                ("database.chance_shuffled", "the same of filters with shuffled columns", "not given", None),
                ("over.untrained", "times as many as of untrained filters, all folds", "not given", 2.0),
                ("over.shuffled", "times as many as of shuffled filters, all folds", "not given", 2.0),
                (
                    "database.matched_of_top100",
                    "of the first 100 inner products, of matched filters",
                    "0",
                    None,
                ),
            )
        ),
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
        (
            Claim(
                "AUROC, motif building network",
                "0.87",
                Value("positional/thesis-builder", "auroc", 0.97),
                Value("positional/improved-builder", "auroc", 0.998),
            ),
            Claim(
                "AUROC, baseline",
                "0.62",
                Value("positional/thesis-baseline", "auroc"),
                Value("positional/improved-baseline", "auroc"),
            ),
            Claim(
                "motif building network less baseline",
                "+0.25",
                *(
                    Value(f"positional/{setting}-builder", "auroc", less=f"positional/{setting}-baseline")
                    for setting in ("thesis", "improved")
                ),
            ),
            *(
                claim
                for name, title in TITLES.items()
                for claim in (
                    Claim(
                        f"{title}: AUROC, motif building network",
                        "0.707 (another ATAC-seq set)" if name == "atac" else "not given",
                        Value(f"{name}/thesis-motif-builder", "auroc"),
                        Value(f"{name}/improved-motif-builder", "auroc"),
                    ),
                    Claim(
                        f"{title}: motif building network less baseline",
                        "-0.097 (0.707 against 0.804)" if name == "atac" else "not given",
                        *(
                            Value(
                                f"{name}/{setting}-motif-builder",
                                "auroc",
                                0,
                                less=f"{name}/{setting}-baseline",
                                chosen=True,
                            )
                            for setting in ("thesis", "improved")
                        ),
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
        remark="The motif building network takes the best place of a window, and the baseline of the thesis "
        "settings the average of all, so that their difference is not of the tables alone: with max pooling "
        "and twelve filters the baseline tells the variants apart as well as three filters with tables do. "
        "Free tables, as the thesis has them, have 256 numbers a block and filter where the baseline "
        "has 16 weights, and soon fit the few training windows of ATAC-6. Some 270 sets of scales, penalties,"
        " learning rates, batches and averaged weights were tried for them, on ATAC-6 or on both real sets, "
        "and none came up to the baseline of ATAC-6 by validation windows. Tables of the improved network "
        "are what single bases add, plus a penalised deviation.",
    ),
)


def arms_of(experiments: Iterable[Experiment]) -> list[Arm]:
    """Arms that experiments look at, once each.

    >>> [arm.name for arm in arms_of(EXPERIMENTS[:1])][:2]
    ['additive/thesis-10', 'additive/thesis-20']
    """
    names: dict[str, None] = {}
    for experiment in experiments:
        for claim in experiment.claims:
            for value in (claim.thesis, claim.improved):
                if value is not None:
                    names |= dict.fromkeys(name for name in (value.arm, value.less) if name is not None)
        for arms in experiment.pictures.values():
            names |= dict.fromkeys(arms.values())
    return [ARMS[name] for name in names]
