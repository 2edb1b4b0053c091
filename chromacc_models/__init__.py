"""Networks for chromatin accessibility: training, evaluation, motifs, and models that Kipoi serves.

`layers` and `architectures` are the networks, computed by `tables` on a CPU; `train` makes a run of a store,
`evaluate` scores and `compare` tests it, `reading` turns its filters into motifs and interactions, `kipoi`
into a model folder, and `predict` runs one. `experiments` makes the thesis again. The command is
``chromacc-models``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["KipoiLoader", "KipoiModel"]


def __getattr__(name: str) -> Any:
    # Kipoi imports the top of a package and then reads the attribute, so these names are here, and lazy:
    # importing chromacc_models must not import TensorFlow.
    if name == "KipoiModel":
        from chromacc_models.sharing.kipoi.model import KipoiModel

        return KipoiModel
    if name == "KipoiLoader":
        from chromacc_models.sharing.kipoi.patches import folder_loader

        return folder_loader(Path.cwd())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
