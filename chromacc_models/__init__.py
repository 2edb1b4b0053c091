"""Networks for chromatin accessibility: training, evaluation, motifs, and models that Kipoi serves.

``import chromacc_models as cm`` gives the names in ``dir(cm)``; all else is private to its folder.

`train` makes a run of a store, `evaluate` scores and `compare` tests it, `motifs` and `interactions` say
what it learned, `load_model` and `predict` ask it, and `package` makes a model folder of it. The command is
``chromacc-models``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from chromacc_data.lazy import lazy_names

if TYPE_CHECKING:
    from chromacc_data.loader import BedLoader as KipoiLoader
    from chromacc_models.effects.base_effects import contributions, mutagenesis
    from chromacc_models.effects.hits_table import hits
    from chromacc_models.effects.run_pairs import pairs
    from chromacc_models.effects.run_variants import variants
    from chromacc_models.evaluation.compare import compare
    from chromacc_models.evaluation.cross_validation import cross_validate
    from chromacc_models.evaluation.evaluate import evaluate
    from chromacc_models.interpretation.run_interactions import run_interactions as interactions
    from chromacc_models.interpretation.run_motifs import run_motifs as motifs
    from chromacc_models.networks.architectures import baseline, basset, factorization_machine, motif_builder
    from chromacc_models.reporting.region_pictures import plot_contributions, plot_mutagenesis
    from chromacc_models.reporting.report import write_report as report
    from chromacc_models.scoring.model import load_model
    from chromacc_models.scoring.predict import predict
    from chromacc_models.scoring.tracks import tracks
    from chromacc_models.sharing.kipoi.model import KipoiModel
    from chromacc_models.sharing.kipoi.package import package
    from chromacc_models.training.config import TrainConfig
    from chromacc_models.training.run import Run
    from chromacc_models.training.train import train

__all__ = [
    "KipoiLoader",
    "KipoiModel",
    "Run",
    "TrainConfig",
    "baseline",
    "basset",
    "compare",
    "contributions",
    "cross_validate",
    "evaluate",
    "factorization_machine",
    "hits",
    "interactions",
    "load_model",
    "motif_builder",
    "motifs",
    "mutagenesis",
    "package",
    "pairs",
    "plot_contributions",
    "plot_mutagenesis",
    "predict",
    "report",
    "tracks",
    "train",
    "variants",
]

_get, __dir__ = lazy_names(
    __name__,
    {
        "KipoiLoader": "chromacc_data.loader:BedLoader",
        "KipoiModel": "chromacc_models.sharing.kipoi.model",
        "Run": "chromacc_models.training.run",
        "TrainConfig": "chromacc_models.training.config",
        "baseline": "chromacc_models.networks.architectures",
        "basset": "chromacc_models.networks.architectures",
        "compare": "chromacc_models.evaluation.compare",
        "contributions": "chromacc_models.effects.base_effects",
        "cross_validate": "chromacc_models.evaluation.cross_validation",
        "evaluate": "chromacc_models.evaluation.evaluate",
        "factorization_machine": "chromacc_models.networks.architectures",
        "hits": "chromacc_models.effects.hits_table",
        "interactions": "chromacc_models.interpretation.run_interactions:run_interactions",
        "load_model": "chromacc_models.scoring.model",
        "motif_builder": "chromacc_models.networks.architectures",
        "motifs": "chromacc_models.interpretation.run_motifs:run_motifs",
        "mutagenesis": "chromacc_models.effects.base_effects",
        "package": "chromacc_models.sharing.kipoi.package",
        "pairs": "chromacc_models.effects.run_pairs",
        "plot_contributions": "chromacc_models.reporting.region_pictures",
        "plot_mutagenesis": "chromacc_models.reporting.region_pictures",
        "predict": "chromacc_models.scoring.predict",
        "report": "chromacc_models.reporting.report:write_report",
        "tracks": "chromacc_models.scoring.tracks",
        "train": "chromacc_models.training.train",
        "variants": "chromacc_models.effects.run_variants",
    },
)


def __getattr__(name: str) -> Any:
    # Kipoi imports the package and asks it for the two classes that the YAML files of a model name. It has
    # entered the model's folder then, and wants the loader that is described there.
    if name == "KipoiLoader" and Path("dataloader.yaml").is_file():
        from chromacc_models.sharing.kipoi.patches import folder_loader

        return folder_loader(Path.cwd())
    return _get(name)
