"""Read a run: its filters as motifs, ranked by how much the predictions depend on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd

from chromacc_data.errors import InputError
from chromacc_data.files import disk_errors, write_text_atomically
from chromacc_data.motif_files import write_motifs
from chromacc_data.motifs import Motif, information
from chromacc_models import plots
from chromacc_models.evaluate import open_batches
from chromacc_models.filters import filter_motifs
from chromacc_models.layers import OneHot
from chromacc_models.logos import logo_grid
from chromacc_models.run import Run

__all__ = ["RunMotifs", "filter_importance", "pooled_activations", "run_motifs"]

_BATCH = 256


@dataclass(frozen=True)
class RunMotifs:
    """Motifs of the filters of a run.

    `table` has a row per filter, the most important first: filter, importance, bits, consensus.
    """

    folder: Path
    motifs: tuple[Motif, ...]
    table: pd.DataFrame

    def report(self, n_shown: int = 10) -> tuple[dict[str, Any], str]:
        """The result for programs and for people."""
        shown = self.table.head(n_shown).to_string(index=False, float_format="{:.3g}".format)
        files = ", ".join(f"{self.folder / name}" for name in ("motifs.meme", "motifs.tsv", "motifs.png"))
        value = {"run": self.folder, "filters": self.table.to_dict("records")}
        return value, f"{shown}\n{len(self.motifs)} motifs are in {files}"


def run_motifs(
    run: Run | Path | str,
    *,
    method: Literal["weights", "smoothed", "activations"] = "weights",
    n_logos: int = 24,
) -> RunMotifs:
    """Motifs of the filters of a run, written into its folder: `motifs.meme`, `motifs.tsv`, `motifs.png`.

    Parameters
    ----------
    run
        A finished run, or its folder.
    method
        How a filter becomes a motif: see :func:`chromacc_models.filters.filter_motifs`.
    n_logos
        Logos in the picture, of the most important filters.

    Raises
    ------
    InputError
        If the network has no filters that read DNA, or its store is gone or has changed.
    """
    if n_logos < 1:
        raise InputError("no logos", where="--logos", found=n_logos, expected="1 or more")
    run = run if isinstance(run, Run) else Run.open(run)
    model = run.model()
    codes = np.concatenate([batch.codes for batch in open_batches(run, split="validation")])
    motifs = filter_motifs(model, method=method, codes=codes)
    importance = filter_importance(model, codes)
    order = np.argsort(-importance, kind="stable")
    table = pd.DataFrame(
        {
            "filter": [motif.id for motif in motifs],
            "importance": importance,
            "bits": [information(motif.ppm).sum() for motif in motifs],
            "consensus": [motif.consensus for motif in motifs],
        }
    ).iloc[order]
    ranked = [motifs[i] for i in order]
    picture = logo_grid(ranked[:n_logos])  # before the first file: one that fails leaves none
    text = table.to_csv(sep="\t", index=False, float_format="%.6g")
    with disk_errors(run.folder):
        write_motifs(run.folder / "motifs.meme", ranked)
        write_text_atomically(run.folder / "motifs.tsv", text)
        plots.save(picture, run.folder / "motifs.png")
    return RunMotifs(run.folder, tuple(ranked), table)


def filter_importance(model: keras.Model, codes: np.ndarray) -> np.ndarray:
    """How much the logits move with each filter: its spread over windows times its weight in the head.

    The standard deviation of the pooled activation times the root mean square, over cell types, of the linear
    weights. Rescaling a filter and dividing its weights by the same leaves it as it is.

    Parameters
    ----------
    model
        Network with layers `pool` and `head`.
    codes
        Base codes (window, position), uint8.

    Returns
    -------
    np.ndarray
        (filter,) float64.

    Raises
    ------
    InputError
        If the network does not pool over the whole input.
    """
    values = pooled_activations(model, codes)
    weights = keras.ops.convert_to_numpy(model.get_layer("head").kernel)
    return values.std(axis=0, dtype=np.float64) * np.sqrt(
        np.mean(np.square(weights, dtype=np.float64), axis=1)
    )


def pooled_activations(model: keras.Model, codes: np.ndarray) -> np.ndarray:
    """What the head of a network sees of each window: (window, filter), float32.

    Parameters
    ----------
    model, codes
        As in :func:`filter_importance`.

    Raises
    ------
    InputError
        If the network does not pool over the whole input.
    """
    names = {layer.name for layer in model.layers}
    if not {"pool", "head"} <= names:
        raise InputError(
            f"filters of {model.name} cannot be ranked",
            found="no pooling over the whole window",
            expected="baseline, factorization_machine or motif_builder",
        )
    pooled = keras.Model(model.inputs, model.get_layer("pool").output)
    one_hot = OneHot()
    return np.concatenate(
        [
            keras.ops.convert_to_numpy(pooled(one_hot(codes[first : first + _BATCH])))
            for first in range(0, len(codes), _BATCH)
        ]
    )
