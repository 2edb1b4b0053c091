"""A saved network to what predicts with it: the one door of predictions, effects and Kipoi.

TensorFlow is imported only for networks that the kernels cannot compute.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from chromacc_data.progress import LOG
from chromacc_models.kmer_kernels.backends import backend_named, not_by_kernels
from chromacc_models.networks.keras_archive import require_network_file
from chromacc_models.quietly import start_tensorflow
from chromacc_models.scoring.scorer import NotInterpretableError, Scorer

if TYPE_CHECKING:
    from chromacc_models.scoring.keras_scorer import KerasScorer

__all__ = ["open_scorer"]


def open_scorer(weights: Path, *, sha256: str | None = None, backend: str = "auto") -> Scorer | KerasScorer:
    """What predicts with a saved network: k-mer kernels for the interpretable ones, Keras for others.

    Parameters
    ----------
    weights
        A ``.keras`` file, by any name.
    sha256
        Its checksum; checked when given.
    backend
        One of :data:`chromacc_models.kmer_kernels.backends.BACKENDS`. "auto" takes the kernels where they can
        compute the network.

    Raises
    ------
    InputError
        If the file is missing, is damaged, has another checksum, or does not take DNA windows of one length;
        if the backend is unknown, or is "kernels" and they cannot compute the network.
    """
    backend = backend_named(backend)
    require_network_file(weights, sha256)
    obstacle = None
    if backend != "keras":
        try:
            return Scorer.open(weights)
        except NotInterpretableError as error:
            if backend == "kernels":
                raise not_by_kernels(error) from None
            obstacle = str(error)
            LOG.debug("%s: computed by Keras (%s)", weights, obstacle)
    if "tensorflow" not in sys.modules:
        start_tensorflow()
    from chromacc_models.networks.weights import load_network, require_sequences
    from chromacc_models.scoring.keras_scorer import KerasScorer

    model = load_network(weights)
    require_sequences(model, where=weights)
    return KerasScorer(model, obstacle=obstacle)
