"""The model class that Kipoi loads: predictions, activations and input gradients of a ``.keras`` file.

Predictions of the interpretable networks need no TensorFlow: it is imported when a layer's output or a
gradient is asked for, or another network is loaded.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chromacc_data.errors import InputError
from chromacc_data.lazy import lazy_module
from chromacc_data.sequences.encoding import codes_from_one_hot
from chromacc_models.scoring.open_scorer import open_scorer
from chromacc_models.scoring.scorer import Scorer
from chromacc_models.sharing.kipoi.client import BaseModel, GradientMixin, LayerActivationMixin
from chromacc_models.sharing.kipoi.patches import ExpectationInFolder

if TYPE_CHECKING:
    import keras

    from chromacc_models.networks import weights as saved
    from chromacc_models.sharing.kipoi import keras_outputs
else:
    saved = lazy_module("chromacc_models.networks.weights")
    keras_outputs = lazy_module("chromacc_models.sharing.kipoi.keras_outputs")

__all__ = ["KipoiModel"]

#: Reductions of a layer's output to one number per sequence, by Kipoi's names.
_REDUCTIONS = ("sum", "max", "min", "absmax")


class KipoiModel(ExpectationInFolder, BaseModel, GradientMixin, LayerActivationMixin):
    """A network for ``kipoi``, named in ``model.yaml`` as ``chromacc_models.KipoiModel``.

    ``kipoi.model.KerasModel`` cannot serve layers and gradients under Keras 3, finds custom layers only
    through a file of code, and calls ``keras.Model.predict`` per batch, which is tens of times slower.

    Parameters
    ----------
    weights
        A plain ``.keras`` file (any name: Kipoi stores a download without suffix). It is loaded in Keras'
        safe mode: no code in it is run.
    sha256
        Checksum of the file; checked when given.
    backend
        How predictions are computed: see :func:`chromacc_models.scoring.open_scorer.open_scorer`.
        Kernels read base codes, so a batch that is not exactly one-hot goes through Keras.

    Raises
    ------
    InputError
        If the file is missing, is no Keras file, or has another checksum.

    Notes
    -----
    Inputs are one-hot sequences, shape (sequence, position, 4), any real dtype, N all zeros.

    Examples
    --------
    >>> import tempfile, numpy as np, chromacc_models as cm
    >>> with tempfile.NamedTemporaryFile(suffix=".keras") as file:
    ...     cm.baseline(12, 2, n_filters=4, filter_width=6).save(file.name)
    ...     model = cm.KipoiModel(file.name)
    >>> model.predict_on_batch(np.zeros((3, 12, 4))).shape
    (3, 2)
    """

    #: Kipoi warns unless the dependencies in model.yaml name this.
    MODEL_PACKAGE = "chromacc"

    def __init__(self, weights: str, sha256: str | None = None, backend: str = "auto") -> None:
        self._weights, self._sha256 = Path(weights), sha256
        self._scorer = open_scorer(self._weights, sha256=sha256, backend=backend)

    @cached_property
    def model(self) -> keras.Model:
        """The network in Keras."""
        if isinstance(self._scorer, Scorer):
            return saved.load_network(self._weights, sha256=self._sha256)
        return self._scorer.model

    @cached_property
    def _outputs(self) -> keras_outputs.KerasOutputs:
        return keras_outputs.KerasOutputs(self.model)

    def predict_on_batch(self, x: np.ndarray) -> np.ndarray:
        """Predictions of a batch, shape (sequence, cell_type), float32."""
        one_hot = self._checked(x)
        if isinstance(self._scorer, Scorer):
            codes = _base_codes(one_hot)
            if codes is not None:
                return self._scorer.predict(codes)
        return self._outputs.predictions(one_hot)

    def predict_activation_on_batch(
        self, x: np.ndarray, layer: str | int, pre_nonlinearity: bool = False
    ) -> np.ndarray | list[np.ndarray]:
        """Output of one layer for a batch (``kipoi predict --layer``).

        Parameters
        ----------
        x
            One-hot sequences, shape (sequence, position, 4).
        layer
            Name or index of the layer, an index as a number or as text. Of a layer that is used several
            times, the first use.
        pre_nonlinearity
            Give the values before the layer's activation function.

        Returns
        -------
        np.ndarray
            Shape (sequence, …); a list of arrays for a layer of several outputs.
        """
        outputs = self._outputs.of_layer(self._checked(x), layer, before=pre_nonlinearity)
        return outputs[0] if len(outputs) == 1 else outputs

    def input_grad(
        self,
        x: np.ndarray,
        filter_idx: int | slice | tuple | list | None = None,
        avg_func: str | None = None,
        layer: str | int | None = None,
        final_layer: bool = True,
        selected_fwd_node: None = None,
        pre_nonlinearity: bool = False,
    ) -> np.ndarray:
        """Gradient of a layer's output with respect to the input, shape and order of `x`, float32.

        Parameters
        ----------
        x
            One-hot sequences, shape (sequence, position, 4).
        filter_idx
            Which part of the output: an index or slice along its first axis after the sequences, or a tuple
            of them that begins with the sequences.
        avg_func
            ``"sum"``, ``"max"``, ``"min"`` or ``"absmax"`` over what `filter_idx` left, for each sequence by
            itself; the sum when not given.
        layer
            Name or index of the layer. A layer that is named is the one that is used.
        final_layer
            Use the network's output; what happens when no layer is named.
        selected_fwd_node
            Not used: kept for Kipoi's signature.
        pre_nonlinearity
            Take the output before the activation function: the logits, for the output layer.

        Raises
        ------
        InputError
            If neither `filter_idx` nor `avg_func` is given, or the layer is unknown.
        """
        if filter_idx is None and avg_func is None:
            raise InputError("give filter_idx, avg_func, or both", where="input_grad")
        if avg_func is not None and avg_func not in _REDUCTIONS:
            raise InputError(
                "unknown avg_func", where="input_grad", found=avg_func, expected=", ".join(_REDUCTIONS)
            )
        if selected_fwd_node is not None:
            raise InputError("selected_fwd_node is not supported", where="input_grad")
        if layer is None and not final_layer:
            raise InputError("name a layer, or leave final_layer on", where="input_grad")
        return self._outputs.gradient(
            self._checked(x),
            layer,
            part=_slices(filter_idx),
            reduction=avg_func or "sum",
            before=pre_nonlinearity,
        )

    def _checked(self, x: np.ndarray) -> np.ndarray:
        shape = (self._scorer.window_length, 4)
        if np.shape(x)[1:] != shape:
            raise InputError(
                "inputs of another shape",
                where=self._weights,
                found=np.shape(x),
                expected=f"(sequence, {', '.join(map(str, shape))})",
                remedy="give the loader the window_length of the model",
            )
        return np.asarray(x, dtype=np.float32)


def _base_codes(one_hot: np.ndarray) -> np.ndarray | None:
    """Base codes of one-hot rows, float32; None unless every row is exactly one-hot or all zeros."""
    rows = one_hot.astype(np.uint8)
    if not np.array_equal(rows, one_hot):
        return None
    try:
        return codes_from_one_hot(rows)
    except ValueError:
        return None


def _slices(filter_idx: int | slice | tuple | list | None) -> tuple:
    if filter_idx is None:
        return (slice(None),)
    parts = tuple(filter_idx) if isinstance(filter_idx, (tuple, list)) else (filter_idx,)
    return parts if len(parts) > 1 else (slice(None), *parts)
