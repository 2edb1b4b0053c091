"""TensorFlow started without the lines that its libraries write past Python, here and in worker processes.

Nothing of TensorFlow is imported with this module: a worker imports it first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["start_tensorflow", "train_quietly"]


def start_tensorflow(threads: int | None = None) -> None:
    """Import TensorFlow, and let it and numba use `threads` threads where that is given."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if threads is not None:
        os.environ["NUMBA_NUM_THREADS"] = str(threads)  # read when numba is imported, for the k-mer kernels
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            import tensorflow as tf

            from chromacc_models.training.train import limit_threads

            if threads is not None:
                limit_threads(threads)
            tf.constant(0)
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def train_quietly(store: Path, config: Mapping[str, Any], out: Path, backend: str) -> None:
    """Train a run in a worker process; nothing is sent back: the run is in its folder.

    The configuration is plain values: its class would import TensorFlow while the task is unpacked.
    """
    if "tensorflow" not in sys.modules:
        start_tensorflow()
    from chromacc_models.training.config import TrainConfig
    from chromacc_models.training.train import train

    train(store, TrainConfig(**config), out, backend=backend)
