"""Train every network on the real sets, score and compare them, and write the tables of docs/results.md.

    python tests/benchmarks/results.py --sources ../shared/data --folder runs

Builds the stores of `hg19-dnase-6-chr20-chrX` and `hg19-atac-6`, trains each network with three seeds on the
block hold-out, and baseline and factorization machines on each fold as well. Killed, the same command goes on
where it was; finished runs are not made again. Options were chosen by the validation loss of one seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chromacc_data.build import build
from chromacc_models.compare import Comparison, compare
from chromacc_models.config import TrainConfig
from chromacc_models.evaluate import Evaluation, evaluate
from chromacc_models.run import Run
from chromacc_models.train import cross_validate, train

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "results.md"
BEGIN, END = "<!-- written by tests/benchmarks/results.py -->", "<!-- end -->"
DATASETS = {"DNase-6": "hg19-dnase-6-chr20-chrX", "ATAC-6": "hg19-atac-6"}
SEEDS = (0, 1, 2)

#: What the interpretable networks share; what is not named is the default of the network.
COMMON = {
    "n_filters": 300,
    "pooling": "max",
    "pool_scale": 1.0,
    "strands": "both",
    "learning_rate": 0.001,
    "reverse_complement": "augment",
    "epochs": 150,
    "patience": 16,
    "plateau_patience": 4,
}
CONFIGS = {
    "baseline": {**COMMON, "l2": 1e-4},
    "factorization_machine": {**COMMON, "l2": 3e-3},
    "motif_builder": {**COMMON, "l2": 3e-3},
    "basset": {
        "learning_rate": 0.001,
        "reverse_complement": "augment",
        "epochs": 40,
        "patience": 6,
        "plateau_patience": 2,
    },
}


@dataclass(frozen=True)
class Scored:
    """A network on a dataset: a run and its evaluation for each seed."""

    runs: list[Run]
    evaluations: list[Evaluation]

    def scores(self, name: str) -> np.ndarray:
        """Scores ("auroc" or "auprc") by seed and cell type."""
        return np.array([[getattr(s, name) for s in e.cell_types] for e in self.evaluations])


def train_seeds(store: Path, network: str, folder: Path, seeds: Sequence[int] = SEEDS) -> Scored:
    """Train a network with each seed, and score it on the test windows."""
    runs = []
    for seed in seeds:
        config = TrainConfig(network=network, seed=seed, **CONFIGS[network])
        runs.append(train(store, config, folder / f"{network}-{seed}", progress=True))
    return Scored(runs, [evaluate(run) for run in runs])


def train_folds(store: Path, network: str, folder: Path) -> list[Run]:
    """Train a network on each fold of a store."""
    config = TrainConfig(network=network, **CONFIGS[network])
    return cross_validate(store, config, folder / f"{network}-folds", progress=True)


def score_table(scored: dict[str, Scored]) -> str:
    """Markdown: mean over seeds, and its range, for each network; then each cell type's mean."""
    cell_types = next(iter(scored.values())).runs[0].cell_types
    lines = ["| network | score | mean (range over seeds) | " + " | ".join(cell_types) + " |"]
    lines.append("|---" * (3 + len(cell_types)) + "|")
    for network, found in scored.items():
        for name in ("auroc", "auprc"):
            values = found.scores(name)
            means = values.mean(axis=1)
            mean = f"**{means.mean():.4f}** ({means.min():.4f} to {means.max():.4f})"
            cells = " | ".join(f"{value:.3f}" for value in values.mean(axis=0))
            lines.append(f"| {network} | {name.upper()} | {mean} | {cells} |")
    return "\n".join(lines)


def comparison_line(title: str, found: Comparison) -> str:
    """What a comparison says, in a sentence."""
    test = found.auroc
    return (
        f"- {title}: mean difference in AUROC {test.mean_difference:+.4f} over {test.n} pairs; Wilcoxon "
        f"signed-rank p = {test.p_two_sided:.2g} (two-sided), {test.p_greater:.2g} (second better); "
        f"rank-biserial r = {test.rank_biserial:+.2f}"
    )


def section(title: str, name: str, folder: Path, sources: Path, networks: Sequence[str], folds: bool) -> str:
    """Everything about one dataset, as markdown."""
    recipe = ROOT / "datasets" / name / "recipe.yaml"
    store = build(recipe, folder / f"{name}.zarr", sources_dir=sources, show_progress=True).path
    runs = folder / name
    scored = {network: train_seeds(store, network, runs) for network in networks}
    lines = [
        f"### {title}",
        "",
        f"`{name}`, test windows of the block hold-out.",
        "",
        score_table(scored),
        "",
    ]
    lines += [
        comparison_line(
            f"baseline, then {network}, over cell types and seeds", compare(base.runs, other.runs)
        )
        for base in (scored.get("baseline"),)
        for network, other in scored.items()
        if base is not None and network != "baseline"
    ]
    if folds and {"baseline", "factorization_machine"} <= scored.keys():
        of_folds = [train_folds(store, network, runs) for network in ("baseline", "factorization_machine")]
        pairs = "baseline, then factorization_machine, over cell types and folds"
        lines.append(comparison_line(pairs, compare(*of_folds)))
    return "\n".join(lines)


def write_page(sections: Sequence[str]) -> None:
    """Put the sections between the two marks of the page."""
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(before + BEGIN + "\n\n" + "\n\n".join(sections) + "\n\n" + END + rest.split(END)[1])


def main() -> None:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--folder", type=Path, required=True, help="for stores and runs")
    parser.add_argument("--sources", type=Path, required=True, help="where the recipes' files are")
    parser.add_argument("--networks", nargs="+", default=list(CONFIGS), choices=list(CONFIGS))
    parser.add_argument("--no-folds", action="store_true")
    chosen = parser.parse_args()
    write_page(
        [
            section(title, name, chosen.folder, chosen.sources, chosen.networks, not chosen.no_folds)
            for title, name in DATASETS.items()
        ]
    )


if __name__ == "__main__":
    main()
