"""Filters of a run as motifs, and the motifs that were planted."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal, NamedTuple

import keras
import numpy as np

from chromacc_data.errors import InputError
from chromacc_data.motifs.files import read_motifs
from chromacc_data.motifs.motif import Motif
from chromacc_data.simulation.truth import read_truth
from chromacc_data.store.read import FORMATS, open_store
from chromacc_models.evaluation.evaluate import open_batches
from chromacc_models.interpretation.filters import filter_motifs
from chromacc_models.networks.known_motifs import known_names
from chromacc_models.training.run import Run

__all__ = ["RunFilters", "read_filters_of_run", "read_planted"]


class RunFilters(NamedTuple):
    """Filters of a run as they stand in its network."""

    model: keras.Model
    motifs: tuple[Motif, ...]
    #: Base codes of the validation windows, (window, position), uint8.
    codes: np.ndarray
    #: Whether the filters scan both strands.
    both_strands: bool


def read_filters_of_run(
    run: Run, *, method: Literal["weights", "smoothed", "activations"] = "weights"
) -> RunFilters:
    """Motifs of the filters of a run, its network, and its validation windows.

    Filters that were set to known motifs and still are have the motifs' names.

    Raises
    ------
    InputError
        If the network has no layer of filters, or its store is gone or has changed.
    """
    model = run.model()
    if "filters" not in {layer.name for layer in model.layers}:
        raise InputError(
            "the network has no filters",
            where=run.folder,
            found=", ".join(layer.name for layer in model.layers),
            expected="a layer `filters` that scans DNA",
        )
    codes = np.concatenate([batch.codes for batch in open_batches(run, split="validation")])
    strands = getattr(model.get_layer("filters"), "strands", "forward")
    motifs = filter_motifs(model, method=method, codes=codes)
    names = known_names(run.folder, len(motifs))
    motifs = tuple(dataclasses.replace(m, name=name or "") for m, name in zip(motifs, names, strict=True))
    return RunFilters(model, motifs, codes, strands == "both")


def read_planted(path: Path | str, *, as_written: bool = False) -> tuple[Motif, ...]:
    """Motifs that were planted: of a simulated store (.zarr, .h5), or of a motif file.

    Parameters
    ----------
    path
        The store or file.
    as_written
        Where a store has the consensus at each site, motifs of the consensus alone.

    Raises
    ------
    InputError
        If the store holds no truth, or the file no motifs.
    """
    if Path(path).suffix in FORMATS:
        known = read_truth(open_store(path))
        return known.written_motifs if as_written else known.pool.motifs
    return read_motifs(path)
