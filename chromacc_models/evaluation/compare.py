"""Which of two networks is better: paired over cell types, and cell type by cell type."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import false_discovery_control, norm, rankdata, t, wilcoxon

from chromacc_data.errors import InputError
from chromacc_models.evaluation.cross_validation import fold_folders
from chromacc_models.evaluation.evaluate import open_batches, read_predictions
from chromacc_models.evaluation.scores import average_precision, delong, without_nan
from chromacc_models.training.run import Run

__all__ = [
    "CellTypeComparison",
    "Comparison",
    "PairedTest",
    "ResampledTest",
    "compare",
    "compare_predictions",
    "corrected_resampled_t",
    "holm",
    "paired_test",
]


class PairedTest(NamedTuple):
    """Wilcoxon's signed-rank test of paired differences."""

    #: Pairs, those without a difference included.
    n: int
    mean_difference: float
    #: Sum of the ranks of positive differences.
    statistic: float
    p_two_sided: float
    #: Against the alternative that the differences are positive.
    p_greater: float
    #: Matched-pairs rank-biserial correlation, from -1 (all negative) to 1 (all positive).
    rank_biserial: float


class ResampledTest(NamedTuple):
    """Corrected resampled t-test over folds."""

    n_folds: int
    mean_difference: float
    #: With the variance that folds which share training windows are taken to have.
    standard_error: float
    t: float
    p_two_sided: float
    #: Against the alternative that the mean difference is positive.
    p_greater: float


@dataclass(frozen=True)
class CellTypeComparison:
    """Two networks on one cell type; `difference` is AUROC of b minus that of a; p-values are two-sided."""

    cell_type: str
    fold: int | None
    auroc_a: float
    auroc_b: float
    difference: float
    standard_error: float
    p: float
    p_holm: float
    p_bh: float
    auprc_a: float
    auprc_b: float


@dataclass(frozen=True)
class Comparison:
    """Two networks, or two sets of folds, on the same windows; differences are b minus a.

    `auroc_folds` and `auprc_folds` are None unless two folds or more were compared.
    """

    a: str
    b: str
    auroc: PairedTest
    auprc: PairedTest
    cell_types: tuple[CellTypeComparison, ...]
    n_undefined: int
    auroc_folds: ResampledTest | None = None
    auprc_folds: ResampledTest | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON, which has no NaN: missing numbers are None."""
        names = ("auroc", "auprc", "auroc_folds", "auprc_folds")
        found = {name: getattr(self, name) for name in names}
        tests = {name: test and without_nan(test._asdict()) for name, test in found.items()}
        rows = [without_nan(dataclasses.asdict(row)) for row in self.cell_types]
        return dataclasses.asdict(self) | tests | {"cell_types": rows}

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        lines = [f"a: {self.a}", f"b: {self.b}"]
        for name, test in (("AUROC", self.auroc), ("AUPRC", self.auprc)):
            lines.append(
                f"{name}: b - a = {test.mean_difference:+.4f} on average of {test.n} pairs; "
                f"Wilcoxon p = {test.p_two_sided:.3g} (two-sided), {test.p_greater:.3g} (b better), "
                f"rank-biserial r = {test.rank_biserial:+.2f}"
            )
        for name, test in (("AUROC", self.auroc_folds), ("AUPRC", self.auprc_folds)):
            if test is not None:
                lines.append(
                    f"{name} over {test.n_folds} folds, which share training windows: corrected resampled "
                    f"t-test p = {test.p_two_sided:.3g} (two-sided), {test.p_greater:.3g} (b better)"
                )
        lines.append("cell type by cell type, AUROC of a and b, by DeLong's paired test:")
        for c in self.cell_types:
            fold = "" if c.fold is None else f" (fold {c.fold})"
            lines.append(
                f"  {c.cell_type}{fold}: {c.auroc_a:.4f} {c.auroc_b:.4f} {c.difference:+.4f}  p = {c.p:.3g}, "
                f"Holm {c.p_holm:.3g}, Benjamini-Hochberg {c.p_bh:.3g}"
            )
        if self.n_undefined:
            lines.append(f"{self.n_undefined} pairs have no score: all windows open, or all closed")
        return "\n".join(lines)


def compare(
    a: Run | Path | str | Sequence[Run | Path | str],
    b: Run | Path | str | Sequence[Run | Path | str],
    *,
    split: str = "test",
    store: Path | str | None = None,
) -> Comparison:
    """Compare two runs, or two lists of runs paired in order (folds, seeds), on the same windows.

    Parameters
    ----------
    a, b
        Finished runs or their folders, or folders of cross-validations, which stand for their folds. Runs of
        a pair share store, split and fold.
    split
        Windows to compare on.
    store
        Where the store of all runs is now, if it has moved since the training.

    Raises
    ------
    InputError
        If the lists differ in length, the runs of a pair were tested on different windows, or `store` is not
        what a run was trained on.

    Examples
    --------
    >>> import chromacc_models as cm
    >>> from chromacc_models.examples import example_run
    >>> run = example_run()
    >>> _ = cm.evaluate(run)  # compare reads its predictions
    >>> cm.compare(run, run).auroc.mean_difference
    0.0
    """
    runs_a, runs_b = _open_runs(a, store), _open_runs(b, store)
    if len(runs_a) != len(runs_b):
        raise InputError("unequal numbers of runs", found=f"{len(runs_a)} and {len(runs_b)}")
    pairs = [_read_pair(x, y, split) for x, y in zip(runs_a, runs_b, strict=True)]
    folds = [run.config.fold for run in runs_a]
    names = [", ".join(str(run.folder) for run in runs) for runs in (runs_a, runs_b)]
    return compare_predictions(
        pairs,
        runs_a[0].cell_types,
        folds=folds,
        test_train_ratio=_test_train_ratio(runs_a, split) if _are_folds(folds) else None,
        names=(names[0], names[1]),
    )


def compare_predictions(
    pairs: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    cell_types: Sequence[str],
    *,
    folds: Sequence[int | None] | None = None,
    test_train_ratio: float | None = None,
    names: tuple[str, str] = ("a", "b"),
) -> Comparison:
    """Compare predictions of two networks for the same windows.

    The differences over cell types (and pairs) are tested by Wilcoxon's signed-rank test, as in the thesis
    (5.2.2); each cell type's AUROCs by DeLong's test for paired curves, with Holm's and Benjamini and
    Hochberg's correction over all of them. Cell types of one class are left out and counted.

    Wilcoxon's test takes differences as independent. Those of folds are not: the folds share most of their
    training windows. So :func:`corrected_resampled_t` is given as well, of the mean difference of each fold.

    Parameters
    ----------
    pairs
        Labels and the two networks' predictions, each (window, cell_type), for each pair of runs.
    cell_types
        Names of the columns.
    folds
        Fold of each pair.
    test_train_ratio
        Test windows over training windows of a fold, for the test over folds; without it there is none.
    names
        Names of the two networks.
    """
    rows, n_undefined = [], 0
    for fold, (labels, first, second) in zip(folds or [None] * len(pairs), pairs, strict=True):
        for i, cell_type in enumerate(cell_types):
            if labels[:, i].min() == labels[:, i].max():
                n_undefined += 1
            else:
                rows.append(_compare_cell_type(cell_type, fold, labels[:, i], first[:, i], second[:, i]))
    if not rows:
        raise InputError("nothing to compare", found="each cell type is open in all windows or in none")
    over_folds = {}
    if test_train_ratio is not None and _are_folds(folds or ()):
        for name in ("auroc", "auprc"):
            by_fold = _mean_by_fold(rows, name)
            if len(by_fold) > 1:
                over_folds[f"{name}_folds"] = corrected_resampled_t(
                    by_fold, test_train_ratio=test_train_ratio
                )
    p = np.array([row.p for row in rows])
    corrected = zip(rows, holm(p), false_discovery_control(p), strict=True)
    rows = [dataclasses.replace(row, p_holm=float(h), p_bh=float(q)) for row, h, q in corrected]
    return Comparison(
        *names,
        auroc=paired_test(np.array([row.difference for row in rows])),
        auprc=paired_test(np.array([row.auprc_b - row.auprc_a for row in rows])),
        cell_types=tuple(rows),
        n_undefined=n_undefined,
        **over_folds,
    )


def paired_test(differences: np.ndarray) -> PairedTest:
    """Wilcoxon's signed-rank test and its effect size; pairs without a difference are left out of the ranks.

    Examples
    --------
    >>> paired_test(np.array([0.1, 0.3, 0.2, -0.05])).rank_biserial
    0.8
    """
    signed = differences[differences != 0]
    if not len(signed):
        return PairedTest(len(differences), 0.0, 0.0, 1.0, 1.0, 0.0)
    ranks = rankdata(np.abs(signed))
    positive, total = float(ranks[signed > 0].sum()), float(ranks.sum())
    return PairedTest(
        n=len(differences),
        mean_difference=float(differences.mean()),
        statistic=positive,
        p_two_sided=float(wilcoxon(signed).pvalue),
        p_greater=float(wilcoxon(signed, alternative="greater").pvalue),
        rank_biserial=round(2 * positive / total - 1, 12),
    )


def corrected_resampled_t(differences: np.ndarray, *, test_train_ratio: float) -> ResampledTest:
    """Corrected resampled t-test of the differences of k folds (Nadeau and Bengio 2003, section 5.2).

    Training sets of folds overlap, so their scores vary together, and the variance between folds is smaller
    than that of a new sample. Their correction takes the variance of the mean as
    (1 / k + n_test / n_train) times the variance between folds; t has k - 1 degrees of freedom.

    Parameters
    ----------
    differences
        Of the folds, shape (fold,); two or more.
    test_train_ratio
        n_test / n_train: 1 / (k - 1) where all of a k-fold division is used. 0 gives the usual t-test.

    Raises
    ------
    ValueError
        For fewer than two folds or a negative ratio.

    Examples
    --------
    >>> found = corrected_resampled_t(np.array([0.02, 0.03, 0.01, 0.02]), test_train_ratio=1 / 3)
    >>> round(found.t, 3), round(found.p_two_sided, 3)
    (3.207, 0.049)
    """
    n = len(differences)
    if n < 2 or test_train_ratio < 0:
        raise ValueError(f"{n} folds, ratio {test_train_ratio}; expected two or more, and at least 0")
    mean, variance = float(differences.mean()), float(differences.var(ddof=1))
    error = float(np.sqrt((1 / n + test_train_ratio) * variance))
    # Folds that agree to the last digit have no error: they differ for certain, or not at all.
    statistic = mean / error if error > 0 else float(np.copysign(np.inf, mean)) if mean else 0.0
    p_two_sided, p_greater = 2 * t.sf(abs(statistic), n - 1), t.sf(statistic, n - 1)
    return ResampledTest(n, mean, error, statistic, float(p_two_sided), float(p_greater))


def holm(p: np.ndarray) -> np.ndarray:
    """P-values corrected by Holm's step-down method, shape kept.

    >>> holm(np.array([0.01, 0.04, 0.03])).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(steps, 1)
    return corrected


def _compare_cell_type(
    cell_type: str, fold: int | None, labels: np.ndarray, first: np.ndarray, second: np.ndarray
) -> CellTypeComparison:
    auroc, covariance = delong(labels, np.stack([first, second]))
    difference = float(auroc[1] - auroc[0])
    contrast = np.array([-1.0, 1.0])
    error = float(np.sqrt(max(contrast @ covariance @ contrast, 0)))
    # Without variance the curves are the same, or differ for certain.
    p = 2 * norm.sf(abs(difference) / error) if error > 0 else float(difference == 0)
    scores = [average_precision(labels, predictions) for predictions in (first, second)]
    nan = float("nan")
    return CellTypeComparison(
        cell_type, fold, *map(float, auroc), difference, error, float(p), nan, nan, *scores
    )


def _are_folds(folds: Sequence[int | None]) -> bool:
    """Whether all are folds, and different ones: runs of one split differ by their seeds alone."""
    return len(folds) > 1 and None not in folds and len(set(folds)) == len(folds)


def _mean_by_fold(rows: Sequence[CellTypeComparison], score: str) -> np.ndarray:
    """Mean difference over the cell types of each fold, (fold,)."""
    differences: dict[int | None, list[float]] = {}
    for row in rows:
        difference = getattr(row, f"{score}_b") - getattr(row, f"{score}_a")
        differences.setdefault(row.fold, []).append(difference)
    return np.array([np.mean(values) for values in differences.values()])


def _test_train_ratio(runs: Sequence[Run], split: str) -> float:
    sizes = {name: sum(open_batches(run, split=name).n_windows for run in runs) for name in (split, "train")}
    return sizes[split] / sizes["train"]


def _open_runs(runs: Run | Path | str | Sequence[Run | Path | str], store: Path | str | None) -> list[Run]:
    listed = [runs] if isinstance(runs, Run | Path | str) else list(runs)
    opened = []
    for run in listed:
        folds = [] if isinstance(run, Run) else fold_folders(run)
        opened += [Run.open(one, store=store) for one in folds or [run]]
    return opened


def _read_pair(a: Run, b: Run, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    hashes = [run.info.store.content_hash for run in (a, b)]
    folds = [run.config.fold for run in (a, b)]
    if hashes[0] != hashes[1] or folds[0] != folds[1]:
        raise InputError(
            "the runs were tested on different windows",
            where=f"{a.folder}, {b.folder}",
            found=f"stores {hashes[0][:12]} and {hashes[1][:12]}, folds {folds[0]} and {folds[1]}",
            expected="two runs of the same store and fold",
        )
    first, second = (read_predictions(run, split=split) for run in (a, b))
    return first["labels"], first["predictions"], second["predictions"]
