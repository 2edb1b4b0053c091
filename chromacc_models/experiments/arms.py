"""What is trained: networks in the settings of the thesis and in improved ones, each on its data.

"thesis" has the architecture and sizes of the thesis; what it leaves open or what trains faster was chosen
(scales of the pooled values and of the first weights, learning rate, batches, averaged weights, when to
stop). "improved" is the same family of networks, interpreted the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from chromacc_models.networks.presets import StoreTraits, preset_options
from chromacc_models.training.config import TrainConfig

__all__ = ["ARMS", "Arm"]


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


#: Windows of the simulated data: sites are on the forward strand, as in the thesis.
_600_BP, _100_BP, _300_BP = (StoreTraits(length, simulated=True) for length in (600, 100, 300))

#: The thesis' settings as in the preset; long windows take larger batches.
_THESIS = {
    **preset_options("thesis", "baseline", _600_BP),
    "batch_size": 1024,
    "average_decay": 0.98,
}
_ADDITIVE_IMPROVED = {"network": "baseline", **preset_options("recommended", "baseline", _600_BP)}

#: Batches of 1,024 found fewer of the pairs.
_THESIS_100_BP = preset_options("thesis", "baseline", _100_BP)
_PAIRED_THESIS = {
    "network": "factorization_machine",
    **preset_options("thesis", "factorization_machine", _100_BP),
}
_PAIRED_IMPROVED = {
    "network": "factorization_machine",
    **preset_options("recommended", "factorization_machine", _100_BP),
}
_PAIRED_BASELINE = {
    **{name: value for name, value in _PAIRED_IMPROVED.items() if name != "k"},
    "network": "baseline",
}

_POSITIONAL: dict[str, Any] = {
    "strands": "forward",
    "pooling": "max",
    "learning_rate": 0.01,
    "epochs": 200,
    "patience": 30,
}
_POSITIONAL_BASELINE = {**_POSITIONAL, "network": "baseline", "filter_width": 12, "batch_size": 128}

#: The networks of real data; docs/results.md tells how the recommended options were chosen.
_REAL_NETWORKS = ("baseline", "factorization_machine", "motif_builder")
_REAL_SETS = {"dnase": "hg19-dnase-6-chr20-chrX", "atac": "hg19-atac-6"}


def _real_arms() -> list[Arm]:
    return [
        Arm(
            f"{name}/{setting}-{network.replace('_', '-')}",
            recipe,
            {"network": network, **preset_options(preset, network)},
            "folds",
            5,
            is_real=True,
        )
        for name, recipe in _REAL_SETS.items()
        for setting, preset in (("thesis", "thesis"), ("improved", "recommended"))
        for network in _REAL_NETWORKS
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
        Arm("additive/improved", "additive-20", _ADDITIVE_IMPROVED),
        Arm("targets-10/thesis", "additive-20-targets-10", {**_THESIS, **baseline, "n_filters": 20}),
        Arm(
            "targets-10/improved",
            "additive-20-targets-10",
            {**_ADDITIVE_IMPROVED, "n_filters": 128, "l2": 0.0},
        ),
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
            {"network": "motif_builder", **preset_options("thesis", "motif_builder", _300_BP)},
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
            {"network": "motif_builder", **preset_options("recommended", "motif_builder", _300_BP)},
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
