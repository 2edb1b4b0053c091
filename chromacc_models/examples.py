"""A tiny trained network for the examples of the documentation."""

from __future__ import annotations

import functools
from pathlib import Path

from chromacc_data.examples import example_folder, example_store
from chromacc_models.training.config import TrainConfig
from chromacc_models.training.train import train

__all__ = ["example_run"]


@functools.cache
def example_run() -> Path:
    """A run folder: factorization machines, trained for an epoch on the example store, once in a process."""
    config = TrainConfig("factorization_machine", n_filters=8, filter_width=8, k=2, epochs=1)
    return train(example_store(), config, example_folder() / "run").folder
