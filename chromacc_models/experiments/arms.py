"""What is trained: networks in the settings of the thesis and in improved ones, each on its data.

"thesis" has the architecture and sizes of the thesis; what it leaves open or what trains faster was chosen
(scales of the pooled values and of the first weights, learning rate, batches, averaged weights, when to
stop). "improved" is the same family of networks, interpreted the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from chromacc_models.training.config import TrainConfig

__all__ = ["ARMS", "REAL_IMPROVED", "Arm"]


@dataclass(frozen=True)
class Arm:
    """One network, trained in one way on one dataset, several times.

    Parameters
    ----------
    name
        `DATA/SETTING-WHAT`; its run folders and measures are found under it.
    recipe
        Folder in `datasets/`.
    options
        Options of :class:`~chromacc_models.training.config.TrainConfig`.
    repeats
        Whether the runs differ by their seed and the fold that they hold out, or by their seed alone, on one
        test split.
    n_runs
        How many: folds 0, 1, ... or seeds 0, 1, ...
    filters_of
        Arm whose filters are taken and kept as they are: those of its run that has single-motif filters of
        most motifs, and of such runs most of these filters.
    is_real
        Whether the data are of a genome, not simulated: their files are not in the repository, and filters
        are matched with a database.
    """

    name: str
    recipe: str
    options: Mapping[str, Any]
    repeats: Literal["folds", "seeds"] = "folds"
    n_runs: int = 10
    filters_of: str | None = None
    is_real: bool = False

    def config(self, run: int, **changed: Any) -> TrainConfig:
        """Configuration of one of its runs, with options changed."""
        options = {**self.options, **changed, "seed": run}
        return TrainConfig(**options, fold=run if self.repeats == "folds" else None)

    def run_name(self, run: int) -> str:
        """`fold-0` or `seed-0`.

        >>> Arm("a", "b", {}, "seeds").run_name(2)
        'seed-2'
        """
        return f"{self.repeats[:-1]}-{run}"


#: Shared by all networks of simulated data: sites are on the forward strand, as in the thesis.
_SIMULATED: dict[str, Any] = {
    "strands": "forward",
    "filter_width": 20,
    "batch_size": 128,
    "average_decay": 0.99,
    "epochs": 100,
    "patience": 12,
    "plateau_patience": 3,
}

#: The thesis pools the average; the scale of the pooled values and of the first weights, and how to train,
#: were chosen.
_THESIS = {
    **_SIMULATED,
    "pooling": "average",
    "pool_scale": 600.0,
    "filter_scale": 2.0,
    "learning_rate": 0.002,
    "batch_size": 1024,
    "average_decay": 0.98,
    "epochs": 800,
    "patience": 60,
    "plateau_patience": 20,
}
#: More filters than motifs, the best site instead of the average, and N around the window, so that motifs at
#: its ends are seen.
_IMPROVED = {**_SIMULATED, "pooling": "max", "n_filters": 128}
_ADDITIVE_IMPROVED = {**_IMPROVED, "network": "baseline", "scan_length": 638, "learning_rate": 0.005}

#: Batches of 1,024 found fewer of the pairs.
_THESIS_100_BP = {
    **_THESIS,
    "pool_scale": 100.0,
    "n_filters": 20,
    "batch_size": 256,
    "average_decay": 0.99,
}
_PAIRED_THESIS = {**_THESIS_100_BP, "network": "factorization_machine", "k": 20}
_PAIRED_BASELINE = {
    **_IMPROVED,
    "network": "baseline",
    "scan_length": 138,
    "learning_rate": 0.002,
    "l2": 1e-6,
}
_PAIRED_IMPROVED = {**_PAIRED_BASELINE, "network": "factorization_machine", "k": 20}

_POSITIONAL: dict[str, Any] = {
    "strands": "forward",
    "pooling": "max",
    "learning_rate": 0.01,
    "epochs": 200,
    "patience": 30,
}
_BUILDER = {
    **_POSITIONAL,
    "network": "motif_builder",
    "block_length": 4,
    "filter_blocks": 3,
    "tables": "free",
    "batch_size": 64,
}
_POSITIONAL_BASELINE = {**_POSITIONAL, "network": "baseline", "filter_width": 12, "batch_size": 128}

#: Real data: sizes of the thesis, 300 filters of 20 bp and blocks of 4; whole windows, one strand, averages.
_REAL_THESIS: dict[str, Any] = {
    "n_filters": 300,
    "strands": "forward",
    "pooling": "average",
    "pool_scale": 200.0,
    "learning_rate": 0.001,
    "epochs": 100,
    "patience": 12,
    "plateau_patience": 4,
}
#: What the improved networks of real data share, and what each adds; docs/results.md tells how it was chosen.
_REAL_IMPROVED: dict[str, Any] = {
    "n_filters": 300,
    "scan_length": 300,
    "pooling": "max",
    "learning_rate": 0.002,
    "average_decay": 0.998,
    "epochs": 100,
    "patience": 12,
    "plateau_patience": 4,
}
REAL_IMPROVED: dict[str, dict[str, Any]] = {
    "baseline": {**_REAL_IMPROVED, "dropout": 0.3, "l2": 3e-4},
    "factorization_machine": {**_REAL_IMPROVED, "dropout": 0.2, "l2": 1e-3},
    "motif_builder": {**_REAL_IMPROVED, "dropout": 0.3, "l2": 3e-4, "deviations_l2": 0.01},
}
_REAL_SETS = {"dnase": "hg19-dnase-6-chr20-chrX", "atac": "hg19-atac-6"}


def _real_arms() -> list[Arm]:
    thesis = {
        "baseline": _REAL_THESIS,
        "factorization_machine": {**_REAL_THESIS, "k": 5},
        # The penalty of the thesis leaves nothing of its filters unless their pooled values are scaled.
        "motif_builder": {
            **_REAL_THESIS,
            "tables": "free",
            "l2": 0.01,
            "pooling": "max",
            "pool_scale": 7.0,
            "filter_scale": 0.4,
            "learning_rate": 0.002,
            "average_decay": 0.998,
        },
    }
    return [
        Arm(
            f"{name}/{setting}-{network.replace('_', '-')}",
            recipe,
            {"network": network, **options},
            "folds",
            5,
            is_real=True,
        )
        for name, recipe in _REAL_SETS.items()
        for setting, networks in (("thesis", thesis), ("improved", REAL_IMPROVED))
        for network, options in networks.items()
    ]


def _simulated_arms() -> list[Arm]:
    baseline = {"network": "baseline"}
    return [
        # With the patience of the others, a fold of ten filters stops on a plateau that it leaves later.
        Arm(
            "additive/thesis-10",
            "additive-20",
            {**_THESIS, **baseline, "n_filters": 10, "patience": 120, "plateau_patience": 40},
        ),
        *(
            Arm(f"additive/thesis-{n}", "additive-20", {**_THESIS, **baseline, "n_filters": n})
            for n in (20, 30)
        ),
        # With 128 filters and no penalty, one motif or two have only filters that match others as well.
        Arm("additive/improved", "additive-20", {**_ADDITIVE_IMPROVED, "n_filters": 256, "l2": 1e-5}),
        Arm("targets-10/thesis", "additive-20-targets-10", {**_THESIS, **baseline, "n_filters": 20}),
        Arm("targets-10/improved", "additive-20-targets-10", _ADDITIVE_IMPROVED),
        Arm("paired/thesis", "paired-20", _PAIRED_THESIS),
        # The thesis takes the filters of the baseline network with the most single-motif ones (4.3.1), but
        # does not name it; here it is looked for among those of 30 filters, by the motifs that have such
        # filters, since a second filter of a motif tells no other pair. Batches are as in section 4.3.1.
        Arm(
            "paired/thesis-transferred",
            "paired-20",
            {**_PAIRED_THESIS, "n_filters": 30, "batch_size": 2048},
            filters_of="additive/thesis-30",
        ),
        Arm("paired/thesis-baseline", "paired-20", {**_THESIS_100_BP, **baseline}),
        Arm("paired/improved", "paired-20", _PAIRED_IMPROVED),
        Arm("paired/improved-baseline", "paired-20", _PAIRED_BASELINE),
        Arm("paired-targets-10/thesis", "paired-20-targets-10", _PAIRED_THESIS),
        Arm("paired-targets-10/improved", "paired-20-targets-10", _PAIRED_IMPROVED),
        # Without the bias, some seeds keep a filter that finds nothing, or two filters for one motif.
        Arm(
            "positional/thesis-builder",
            "positional-variants",
            {**_BUILDER, "n_filters": 3, "l2": 0.01, "filter_bias": 2.0, "pool_scale": 200.0},
            "seeds",
        ),
        Arm(
            "positional/thesis-baseline",
            "positional-variants",
            {**_POSITIONAL_BASELINE, "n_filters": 3, "pooling": "average", "pool_scale": 200.0},
            "seeds",
        ),
        Arm(
            "positional/improved-builder",
            "positional-variants",
            {
                **_BUILDER,
                "n_filters": 12,
                "l2": 0.001,
                "pool_scale": 100.0,
                "learning_rate": 0.005,
                "plateau_patience": 5,
            },
            "seeds",
        ),
        Arm(
            "positional/improved-baseline",
            "positional-variants",
            {**_POSITIONAL_BASELINE, "n_filters": 12},
            "seeds",
        ),
    ]


#: Every arm by its name.
ARMS: dict[str, Arm] = {arm.name: arm for arm in (*_simulated_arms(), *_real_arms())}
