"""A trained network on base codes, without TensorFlow: the k-mer kernels, and a head in numpy.

The three interpretable networks are one scan, one pooling over the window and one shallow head. So a few
arrays are the whole network, and everything that is asked of it starts here: predictions, and what each base
does to them (:mod:`chromacc_models.effects`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from chromacc_data.sequences.encoding import N_CODE
from chromacc_models.kmer_kernels.scan import FrontEnd
from chromacc_models.kmer_kernels.workers import one_blas_thread
from chromacc_models.scoring.layers import StoredLayer, read_layers

__all__ = ["Head", "NotInterpretableError", "Scorer"]

#: Windows computed at a time: bounds memory.
_BATCH = 4096

_LINEAR = "linear"


class NotInterpretableError(ValueError):
    """A network that is not of the form that the scorer computes; says what differs."""


class Head(NamedTuple):
    """What makes logits of pooled values: a factorization machine, of no factors where the head is dense.

    ``logit_u = b_u + sum_f W_fu m_f + 1/2 sum_k ((sum_f V_fuk m_f)^2 - sum_f V_fuk^2 m_f^2)``
    (thesis, eq. 2.3).

    Parameters
    ----------
    bias
        (cell_type,) float32.
    weights
        W, (filter, cell_type) float32.
    vectors
        V, (filter, cell_type, factor) float32; no factor in a dense head.
    """

    bias: np.ndarray
    weights: np.ndarray
    vectors: np.ndarray

    def logits(self, pooled: np.ndarray) -> np.ndarray:
        """Logits (window, cell_type) float32 of pooled values (window, filter) float32."""
        linear = self.bias + pooled @ self.weights
        if not self.vectors.shape[2]:
            return linear
        sums = pooled @ self.vectors.reshape(len(self.vectors), -1)
        square_of_sum = np.square(sums.reshape(-1, *self.vectors.shape[1:])).sum(axis=-1)
        sum_of_squares = np.square(pooled) @ np.square(self.vectors).sum(axis=-1)
        return linear + np.float32(0.5) * (square_of_sum - sum_of_squares)

    def added(self, pooled: np.ndarray, cell_type: np.ndarray) -> np.ndarray:
        """What each filter adds to one logit of each window, (window, filter) float32: its Shapley value.

        Parameters
        ----------
        pooled
            Pooled values (window, filter) float32.
        cell_type
            The logit, (window,) integers.
        """
        slopes = self.weights.T[cell_type]
        if self.vectors.shape[2]:
            vectors = np.moveaxis(self.vectors, 1, 0)[cell_type]  # (window, filter, factor)
            sums = np.einsum("nf,nfk->nk", pooled, vectors)
            own = pooled * np.square(vectors).sum(axis=-1)
            slopes = slopes + np.float32(0.5) * (np.einsum("nk,nfk->nf", sums, vectors) - own)
        return pooled * slopes


@dataclass(frozen=True, eq=False)
class Scorer:
    """A trained network that reads base codes.

    Parameters
    ----------
    window_length
        Bases of a window.
    scanned
        Positions of the window that the filters scan.
    padding
        Unknown bases added before and after them.
    front_end
        Scan, activation and pooling.
    kernel
        Weights of the filters, (tap, block, filter) float32.
    filter_bias
        (filter,) float32.
    head
        Pooled values to logits.

    Examples
    --------
    >>> front_end = FrontEnd(window_length=4, n_filters=1, width=2, pooling="max")
    >>> kernel = np.zeros((2, 4, 1), np.float32)
    >>> kernel[0, 1] = kernel[1, 2] = 1  # CG
    >>> head = Head(np.zeros(1), np.ones((1, 1)), np.zeros((1, 1, 0)))
    >>> scorer = Scorer(4, slice(0, 4), (0, 0), front_end, kernel, np.zeros(1, np.float32), head)
    >>> scorer.logits(np.array([[0, 1, 2, 3]], np.uint8)).tolist()  # ACGT
    [[2.0]]
    """

    window_length: int
    scanned: slice
    padding: tuple[int, int]
    front_end: FrontEnd
    kernel: np.ndarray
    filter_bias: np.ndarray
    head: Head

    @classmethod
    def open(cls, path: Path | str) -> Scorer:
        """The network of a ``.keras`` file.

        Raises
        ------
        InputError
            If the file cannot be read.
        NotInterpretableError
            If the network is another than `baseline`, `factorization_machine` or `motif_builder`; Keras
            computes those.
        """
        return cls.of_layers(read_layers(path))

    @classmethod
    def of_layers(cls, layers: tuple[StoredLayer, ...]) -> Scorer:
        """The network of layers, as :mod:`chromacc_models.scoring.layers` gives them.

        Raises
        ------
        NotInterpretableError
            As :meth:`open`.
        """
        return _scorer_of(layers)

    @property
    def n_cell_types(self) -> int:
        """Outputs."""
        return len(self.head.bias)

    @property
    def n_filters(self) -> int:
        """Filters."""
        return self.front_end.n_filters

    def scan_codes(self, codes: np.ndarray) -> np.ndarray:
        """What the filters scan of windows: (window, position) uint8, to (window, scanned position)."""
        scanned = codes[:, self.scanned]
        if not any(self.padding):
            return np.ascontiguousarray(scanned)
        return np.pad(scanned, ((0, 0), self.padding), constant_values=N_CODE)

    def pool(self, codes: np.ndarray) -> np.ndarray:
        """Pooled values of the filters, (window, filter) float32."""
        return self.front_end.forward(self.scan_codes(codes), self.kernel, self.filter_bias).values

    def logits(self, codes: np.ndarray) -> np.ndarray:
        """Logits of windows.

        Parameters
        ----------
        codes
            Base codes (window, position), uint8; N is 4.

        Returns
        -------
        (window, cell_type) float32.

        Raises
        ------
        ValueError
            If the windows have another length, or a code is above 4.
        """
        if codes.ndim != 2 or codes.shape[1] != self.window_length:
            raise ValueError(f"codes of shape {codes.shape}; expected (window, {self.window_length})")
        out = np.empty((len(codes), self.n_cell_types), np.float32)
        with one_blas_thread:
            for first in range(0, len(codes), _BATCH):
                batch = slice(first, first + _BATCH)
                out[batch] = self.head.logits(self.pool(codes[batch]))
        return out

    def predict(self, codes: np.ndarray) -> np.ndarray:
        """Probabilities of windows, (window, cell_type) float32, as :meth:`logits` takes them."""
        return expit(self.logits(codes))

    @cached_property
    def scan_offset(self) -> int:
        """Position of the window at which the first scanned base, padding included, lies; may be negative."""
        return self.scanned.start - self.padding[0]


def _scorer_of(layers: tuple[StoredLayer, ...]) -> Scorer:
    chain = _Chain(layers)
    window_length, n_bases = chain.take("InputLayer").config["batch_shape"][1:]
    if n_bases != 4 or window_length is None:
        raise NotInterpretableError(f"inputs of shape ({window_length}, {n_bases}), not (length, 4)")
    scanned, padding = slice(0, window_length), (0, 0)
    if (crop := chain.take_if("Cropping1D")) is not None:
        left, right = crop.config["cropping"]
        scanned = slice(left, window_length - right)
    elif (pad := chain.take_if("ZeroPadding1D")) is not None:
        padding = tuple(pad.config["padding"])
    blocks = chain.take_if("KmerBlocks")
    filters = chain.take("SequenceConv1D", "Conv1D") if blocks is None else chain.take("BlockConv1D")
    activation = chain.take("Activation").config["activation"]
    pool = chain.take("GlobalPooling")
    chain.take_if("Dropout")
    head = chain.take("Dense", "FactorizationMachine")
    output = chain.take("Activation")
    if output.config["activation"] != "sigmoid" or chain.rest:
        raise NotInterpretableError("the network does not end in the sigmoid of its head")
    kernel, bias = _filter_weights(filters)
    geometry = _convolution(filters) if blocks is None else _block_convolution(filters, blocks)
    try:
        front_end = FrontEnd(
            window_length=scanned.stop - scanned.start + sum(padding),
            n_filters=kernel.shape[2],
            strands=filters.config.get("strands", "forward"),
            activation=activation,
            pooling=pool.config["mode"],
            scale=pool.config["scale"],
            **geometry,
        )
    except ValueError as error:
        raise NotInterpretableError(str(error)) from error
    return Scorer(window_length, scanned, padding, front_end, kernel, bias, _head(head))


class _Chain:
    """The layers of a network in which each takes the output of the one before."""

    def __init__(self, layers: tuple[StoredLayer, ...]) -> None:
        before: tuple[str, ...] = ()
        for layer in layers:
            if layer.inputs != before:
                raise NotInterpretableError(f"layer {layer.name!r} takes {layer.inputs}, not {before}")
            before = (layer.name,)
        self.rest = list(layers)

    def take_if(self, *kinds: str) -> StoredLayer | None:
        """The next layer, if it is of one of the kinds."""
        if not self.rest or self.rest[0].kind not in kinds:
            return None
        layer = self.rest.pop(0)
        dtype = layer.config.get("dtype", "float32")
        policy = dtype["config"]["name"] if isinstance(dtype, dict) else dtype
        if policy not in ("float32", "int32"):
            raise NotInterpretableError(f"layer {layer.name!r} computes in {policy}; kernels are float32")
        return layer

    def take(self, *kinds: str) -> StoredLayer:
        """The next layer, which must be of one of the kinds."""
        layer = self.take_if(*kinds)
        if layer is None:
            found = f"{self.rest[0].name!r}, a {self.rest[0].kind}" if self.rest else "nothing"
            raise NotInterpretableError(f"found {found} where a {' or '.join(kinds)} is expected")
        return layer


def _filter_weights(filters: StoredLayer) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (tap, block, filter) and bias (filter,) of a layer of filters."""
    config, weights = filters.config, list(filters.weights)
    bias = weights.pop() if config["use_bias"] else None
    kernel = weights[-1]
    if len(weights) == 2:  # additive tables: the weights of the bases, and each block's deviation
        width, n_filters = config["width"], config["filters"]
        bases = weights[0].reshape(width, config["n"], 4, n_filters)
        digits = np.indices((4,) * config["n"]).reshape(config["n"], -1)
        kernel = sum(bases[:, i][:, digit] for i, digit in enumerate(digits)) + kernel
    return kernel, np.zeros(kernel.shape[2], np.float32) if bias is None else bias


def _convolution(filters: StoredLayer) -> dict[str, Any]:
    plain = {"strides": [1], "padding": "valid", "groups": 1, "activation": _LINEAR}
    for name, value in plain.items():
        if filters.config[name] != value:
            raise NotInterpretableError(f"filters with {name} {filters.config[name]}")
    return {"width": filters.config["kernel_size"][0], "spacing": filters.config["dilation_rate"][0]}


def _block_convolution(filters: StoredLayer, blocks: StoredLayer) -> dict[str, Any]:
    return {
        "width": filters.config["width"],
        "spacing": filters.config["n"],
        "block_length": blocks.config["n"],
    }


def _head(layer: StoredLayer) -> Head:
    if layer.kind == "FactorizationMachine":
        bias, weights, vectors = layer.weights
        return Head(bias, weights, vectors)
    if layer.config["activation"] != _LINEAR or not layer.config["use_bias"]:
        raise NotInterpretableError(f"head {layer.name!r} is no plain dense layer with a bias")
    weights, bias = layer.weights
    return Head(bias, weights, np.zeros((*weights.shape, 0), np.float32))
