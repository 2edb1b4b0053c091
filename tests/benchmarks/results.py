"""Train every network on the real sets, score and compare them, and write docs/results.tsv and results.md.

    python tests/benchmarks/results.py --sources ../shared/data --folder runs

Builds the stores of `hg19-dnase-6-chr20-chrX` and `hg19-atac-6`, trains each network with three seeds on the
block hold-out, all but Basset on each fold as well, and with one option changed on DNase-6. Safe to
interrupt: the same command resumes. A finished run's scores are rows of docs/results.tsv; a run whose store
and options are those of its rows is not made again, on any machine. `--only` takes a part, `--page` writes
the page from the rows alone.
Options were chosen by the validation windows of DNase-6, seed 0.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from chromacc_data.build_store import build
from chromacc_data.files import write_text_atomically
from chromacc_data.store import schema
from chromacc_data.store.read import open_store
from chromacc_models.evaluation.compare import corrected_resampled_t, paired_test
from chromacc_models.evaluation.evaluate import evaluate
from chromacc_models.networks.presets import PRESETS, preset_options
from chromacc_models.training.config import TrainConfig
from chromacc_models.training.train import train

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "results.md"
TABLE = ROOT / "docs" / "results.tsv"
BEGIN, END = "<!-- written by tests/benchmarks/results.py -->", "<!-- end -->"

DATASETS = {"DNase-6": "hg19-dnase-6-chr20-chrX", "ATAC-6": "hg19-atac-6"}
SEEDS = (0, 1, 2)
FOLDS = (0, 1, 2, 3, 4)

CONFIGS = {network: preset_options("recommended", network) for network in PRESETS["recommended"]["real"]}

#: Single changes of a network's options, made on DNase-6 to see what each of them does.
CHANGES = {
    "whole window scanned": {"scan_length": None},
    "weights not averaged": {"average_decay": None},
    "no dropout": {"dropout": 0.0},
    "no penalty of filters": {"l2": 0.0},
    "average pooling": {"pooling": "average"},
    "forward strand only": {"strands": "forward", "reverse_complement": "augment"},
    "free tables": {"tables": "free"},
    "free tables, larger penalty": {"tables": "free", "l2": 3e-3},
}
#: Networks that a change is made to, where they are others than the baseline and the motif building network.
CHANGED_NETWORKS = {
    "whole window scanned": ("baseline", "motif_builder", "basset"),
    "free tables": ("motif_builder",),
    "free tables, larger penalty": ("motif_builder",),
}
UNCHANGED = "-"

#: One run of the table.
KEYS = ["dataset", "network", "changed", "seed", "fold"]


@dataclass(frozen=True)
class Task:
    """A run to be made: a network on a dataset, by seed, or by fold or change (with the first seed)."""

    dataset: str
    network: str
    seed: int
    fold: int | None = None
    changed: str = UNCHANGED

    @property
    def config(self) -> TrainConfig:
        """Options of the run."""
        options = {**CONFIGS[self.network], **CHANGES.get(self.changed, {})}
        return TrainConfig(network=self.network, seed=self.seed, fold=self.fold, **options)

    @property
    def name(self) -> str:
        """Its folder."""
        part = f"seed-{self.seed}" if self.fold is None else f"fold-{self.fold}"
        if self.changed != UNCHANGED:
            part = self.changed.replace(" ", "-").replace(",", "")
        return f"{DATASETS[self.dataset]}/{self.network}/{part}"


def tasks() -> Iterator[Task]:
    """All runs, those that the models are packaged from first."""
    for seed in SEEDS:
        for dataset in DATASETS:
            for network in CONFIGS:
                yield Task(dataset, network, seed)
    for fold in FOLDS:
        for dataset in DATASETS:
            for network in CONFIGS:
                if network != "basset":
                    yield Task(dataset, network, SEEDS[0], fold)
    for changed in CHANGES:
        for network in CHANGED_NETWORKS.get(changed, ("baseline", "motif_builder")):
            yield Task("DNase-6", network, SEEDS[0], None, changed)


def run(task: Task, store: Path, folder: Path) -> pd.DataFrame:
    """Train and score: a row for each cell type."""
    finished = train(store, task.config, folder / task.name, progress=True)
    scores = evaluate(finished).cell_types
    result = finished.result
    return pd.DataFrame(
        {
            "dataset": task.dataset,
            "network": task.network,
            "changed": task.changed,
            "seed": task.seed,
            "fold": -1 if task.fold is None else task.fold,
            "cell_type": [score.cell_type for score in scores],
            "auroc": [round(score.auroc, 5) for score in scores],
            "auprc": [round(score.auprc, 5) for score in scores],
            "n_windows": [score.n_windows for score in scores],
            "n_open": [score.n_open for score in scores],
            "best_epoch": result.best_epoch,
            "epochs": result.epochs,
            "validation_loss": round(result.validation_loss, 5),
            "made_of": _made_of(task, store),
        }
    )


def read_table() -> pd.DataFrame:
    """What finished runs scored: one row for each run and cell type."""
    return pd.read_csv(TABLE, sep="\t") if TABLE.exists() else pd.DataFrame(columns=[*KEYS, "made_of"])


def add_rows(rows: pd.DataFrame) -> None:
    """Put the rows of a run into the table, in place of older ones of the same run."""
    table = read_table()
    old = (table[KEYS] == rows[KEYS].iloc[0]).all(axis=1)
    table = pd.concat([table[~old], rows]) if len(table) else rows
    table = table.sort_values(KEYS, kind="stable")
    write_text_atomically(TABLE, table.to_csv(sep="\t", index=False))


def is_done(task: Task, store: Path) -> bool:
    """Whether the table holds the run, of this store and these options."""
    table = read_table()
    fold = -1 if task.fold is None else task.fold
    key = [task.dataset, task.network, task.changed, task.seed, fold]
    rows = table[(table[KEYS] == key).all(axis=1)]
    return len(rows) > 0 and (rows["made_of"] == _made_of(task, store)).all()


def score_table(rows: pd.DataFrame) -> list[str]:
    """Markdown: mean over cell types, its range over runs, and each cell type's mean over runs."""
    cell_types = list(rows["cell_type"].unique())
    lines = ["| network | runs | score | mean (range over runs) | " + " | ".join(cell_types) + " |"]
    lines.append("|---" * (4 + len(cell_types)) + "|")
    for network in (name for name in CONFIGS if name in set(rows["network"])):
        for name in ("auroc", "auprc"):
            of_network = rows[rows["network"] == network]
            values = of_network.pivot_table(index=["seed", "fold"], columns="cell_type", values=name)
            means = values.mean(axis=1)
            mean = f"**{means.mean():.4f}** ({means.min():.4f} to {means.max():.4f})"
            cells = " | ".join(f"{values[cell_type].mean():.3f}" for cell_type in cell_types)
            lines.append(f"| {network} | {len(means)} | {name.upper()} | {mean} | {cells} |")
    return lines


def comparison_lines(rows: pd.DataFrame, over: str) -> list[str]:
    """Each network against the baseline, paired over cell types and runs (thesis, 5.2.2)."""
    values = rows.pivot_table(index=["seed", "fold", "cell_type"], columns="network", values="auroc")
    lines = []
    for network in (name for name in CONFIGS if name in values and name != "baseline"):
        both = values[["baseline", network]].dropna()
        if both.empty:
            continue
        test = paired_test((both[network] - both["baseline"]).to_numpy())
        lines.append(
            f"- {network} against baseline, over cell types and {over}: {test.mean_difference:+.4f} AUROC in "
            f"{test.n} pairs; Wilcoxon signed-rank p = {test.p_two_sided:.2g} (two-sided); rank-biserial "
            f"r = {test.rank_biserial:+.2f}{_corrected(both, network)}"
        )
    return lines


def change_lines(rows: pd.DataFrame) -> list[str]:
    """Markdown: mean test AUROC of the first seed with one option changed, less that with none."""
    first = rows[(rows["seed"] == SEEDS[0]) & (rows["fold"] == -1)]
    means = first.pivot_table(index="changed", columns="network", values="auroc")
    networks = [name for name in CONFIGS if name in means and means[name].count() > 1]
    lines = ["| changed | " + " | ".join(networks) + " |", "|---" * (1 + len(networks)) + "|"]
    plain = means.loc[UNCHANGED]
    lines.append("| nothing | " + " | ".join(f"{plain[name]:.4f}" for name in networks) + " |")
    for changed in (name for name in CHANGES if name in means.index):
        found = (means.loc[changed, name] - plain[name] for name in networks)
        cells = ("" if np.isnan(value) else f"{value:+.4f}" for value in found)
        lines.append(f"| {changed} | " + " | ".join(cells) + " |")
    return lines


def section(title: str, all_rows: pd.DataFrame) -> str:
    """Everything about one dataset, as markdown."""
    rows = all_rows[all_rows["changed"] == UNCHANGED]
    seeds, folds = rows[rows["fold"] == -1], rows[rows["fold"] != -1]
    lines = [f"### {title}", ""]
    lines += [f"`{DATASETS[title]}`, test windows of the block hold-out, one run a seed:", ""]
    lines += [*score_table(seeds), "", *comparison_lines(seeds, "seeds")]
    if len(folds):
        lines += ["", "Held-out windows of each of five folds of blocks, one run a fold:", ""]
        lines += [*score_table(folds), "", *comparison_lines(folds, "folds")]
    if len(rows) < len(all_rows):
        lines += ["", "What single options do, first seed, mean test AUROC over cell types:", ""]
        lines += change_lines(all_rows)
    return "\n".join(lines)


def options_table() -> str:
    """Markdown: the options of each network that are not its defaults."""
    names = list(dict.fromkeys(name for config in CONFIGS.values() for name in config))
    lines = ["| option | " + " | ".join(CONFIGS) + " |", "|---" * (1 + len(CONFIGS)) + "|"]
    for name in names:
        cells = (f"{config[name]}" if name in config else "" for config in CONFIGS.values())
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_page() -> None:
    """Put what the table says between the two marks of the page."""
    table = read_table()
    parts = [
        section(title, table[table["dataset"] == title])
        for title in DATASETS
        if title in set(table["dataset"])
    ]
    parts.append(
        "### Options\n\nThe preset `recommended`; what is not named is the network's own default.\n\n"
        + options_table()
    )
    before, rest = PAGE.read_text().split(BEGIN)
    write_text_atomically(
        PAGE, before + BEGIN + "\n\n" + "\n\n".join(parts) + "\n\n" + END + rest.split(END)[1]
    )


def main() -> None:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--folder", type=Path, help="for stores and runs")
    parser.add_argument("--sources", type=Path, help="where the recipes' files are")
    parser.add_argument("--only", nargs="+", default=[], help="words that a run's folder must hold one of")
    parser.add_argument("--page", action="store_true", help="only write the page")
    chosen = parser.parse_args()
    if not chosen.page:
        if chosen.folder is None or chosen.sources is None:
            parser.error("--folder and --sources are needed to train")
        stores = {
            dataset: build(
                ROOT / "datasets" / name / "recipe.yaml",
                chosen.folder / f"{name}.zarr",
                sources_dir=chosen.sources,
                show_progress=True,
            ).path
            for dataset, name in DATASETS.items()
        }
        for task in tasks():
            wanted = not chosen.only or any(word in task.name for word in chosen.only)
            if wanted and not is_done(task, stores[task.dataset]):
                print(task.name, flush=True)
                add_rows(run(task, stores[task.dataset], chosen.folder))
    write_page()


def _corrected(both: pd.DataFrame, network: str) -> str:
    """What is left of a difference over folds when it is taken into account that they share data."""
    by_fold = (both[network] - both["baseline"]).groupby("fold").mean().drop(-1, errors="ignore")
    if by_fold.empty:
        return ""
    # Of five folds one tests, one validates, and three train.
    test = corrected_resampled_t(by_fold.to_numpy(), test_train_ratio=1 / 3)
    return f"; corrected resampled t-test over folds p = {test.p_two_sided:.2g}"


def _made_of(task: Task, store: Path) -> str:
    """Digest of the store's content and the run's options."""
    content = str(open_store(store).attrs[schema.ATTR_CONTENT_HASH])
    return hashlib.sha256((content + task.config.to_yaml()).encode()).hexdigest()[:16]


if __name__ == "__main__":
    main()
