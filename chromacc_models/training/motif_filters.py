"""Filters that are set to known motifs: which ones, with what scale and threshold, and what keeps them so.

A filter is the log-odds of its motif against the bases of the training windows, in the middle of the filter,
zero around it. Its scale and threshold are the data's: scores are divided by the standard deviation of the
best score of a training window, and the bias is such that a stated share of the windows, or a little more, is
above it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
import xarray as xr

from chromacc_data.errors import InputError
from chromacc_data.files import file_digest, write_text_atomically
from chromacc_data.motifs.files import read_motifs
from chromacc_data.motifs.motif import Motif, information
from chromacc_data.progress import LOG
from chromacc_data.sequences.encoding import N_CODE
from chromacc_data.store.batches import Batches, split_indices
from chromacc_models.interpretation.motif_clusters import MotifCluster, cluster_motifs
from chromacc_models.networks.known_motifs import (
    KNOWN_MOTIFS,
    KNOWN_TABLE,
    MIN_SIMILARITY,
    KnownFilter,
    KnownMotifs,
)
from chromacc_models.networks.layers import BlockConv1D, blocks_of_bases
from chromacc_models.networks.options import NetworkOptions
from chromacc_models.scoring.layers import layers_of
from chromacc_models.scoring.scorer import Scorer
from chromacc_models.training.config import TrainConfig

__all__ = [
    "ChosenMotifs",
    "MotifFilters",
    "best_scores",
    "choose_motifs",
    "log_odds",
    "set_filters",
    "similarities",
]

#: Share of the background in a matrix before logarithms: no base is worse than -3 nats.
_PSEUDOCOUNT = 0.05
#: Bits below which a matrix is no motif, and share of its bits that must fit into a filter.
_LEAST_BITS, _LEAST_SHARE = 1.0, 0.5
#: Training windows that scales and thresholds are chosen by.
_N_WINDOWS = 4096
_BATCH = 256
#: Bases by which a filter may have shifted along its motif.
_SHIFTS = range(-3, 4)


@dataclass(frozen=True)
class ChosenMotifs:
    """Motifs of a file that filters are set to, a cluster for each filter."""

    path: Path
    sha256: str
    n_motifs: int
    n_clusters: int
    clusters: tuple[MotifCluster, ...]
    #: Filters of the network, those that begin at random included.
    n_filters: int


def choose_motifs(config: NetworkOptions) -> ChosenMotifs:
    """Read a file of motifs, cluster them, and choose those that get a filter.

    All clusters get one; where the configuration has a number of filters, those with the most information.

    Raises
    ------
    InputError
        If the file holds no motifs, the filters are too few, or a motif does not fit into a filter.
    """
    assert config.motifs is not None
    path = Path(config.motifs)
    motifs = read_motifs(path)
    usable = [motif for motif in motifs if information(motif.ppm).sum() >= _LEAST_BITS]
    if not usable:
        raise InputError(
            "no motif with information", where=path, found=f"{len(motifs)} motifs of less than 1 bit each"
        )
    if len(usable) < len(motifs):
        LOG.warning("%s: %d motifs of less than 1 bit get no filter", path, len(motifs) - len(usable))
    clusters = cluster_motifs(usable, max_e=config.motif_clusters or 0.0)
    n_free = config.n_free or 0
    n_known = len(clusters) if config.n_filters is None else min(len(clusters), config.n_filters - n_free)
    if n_known < 1:
        raise InputError(
            "no filter is left for a motif",
            where="n_filters",
            found=f"n_filters = {config.n_filters}, n_free = {n_free}",
            expected=f"more than {n_free}",
            remedy="raise n_filters, or leave it out: each cluster of motifs then has a filter",
        )
    if n_known < len(clusters):
        bits = [information(cluster.representative.ppm).sum() for cluster in clusters]
        kept = sorted(np.argsort(-np.array(bits), kind="stable")[:n_known])
        LOG.info("the %d most informative of %d clusters of motifs get a filter", n_known, len(clusters))
        chosen = tuple(clusters[i] for i in kept)
    else:
        chosen = clusters
    _require_fitting([cluster.representative for cluster in chosen], config, path)
    return ChosenMotifs(
        path,
        file_digest(path, fresh=True),
        len(motifs),
        len(clusters),
        chosen,
        n_known + n_free if config.n_filters is None else config.n_filters,
    )


def log_odds(motif: Motif, width: int, background: np.ndarray) -> np.ndarray:
    """Log-odds of a motif in nats, in the middle of a filter: (width, 4) float64, 0 around it.

    A wider motif is cut to the positions with the most information. Probabilities are (p + 0.05 b) / 1.05,
    b the background.

    Parameters
    ----------
    motif
        The motif.
    width
        Bases of the filter.
    background
        Base frequencies, (4,).

    Examples
    --------
    >>> motif = Motif("M", np.array([[0, 0, 1, 0], [0.25, 0.25, 0.25, 0.25]]))
    >>> log_odds(motif, 3, np.full(4, 0.25)).round(2).tolist()
    [[-3.04, -3.04, 1.35, -3.04], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """
    offset, _ = _placed(motif, width)
    ppm = motif.ppm[max(-offset, 0) :][:width]
    odds = (ppm + _PSEUDOCOUNT * background) / (1 + _PSEUDOCOUNT) / background
    weights = np.zeros((width, 4))
    weights[max(offset, 0) :][: len(ppm)] = np.log(odds)
    return weights


class MotifFilters:
    """The filters of a network in training that were set to motifs, those of the first indices.

    Parameters
    ----------
    layer
        The filters' layer.
    config
        How they are kept.
    known
        What they were set to.
    kernels
        What they were set to, (width, 4, filter) float64.
    """

    def __init__(
        self, layer: keras.layers.Layer, config: NetworkOptions, known: KnownMotifs, kernels: np.ndarray
    ) -> None:
        self.known, self._layer, self._kernels = known, layer, kernels
        self._n = len(known.filters)
        self._anchoring = known.anchoring
        self._l2 = float(config.l2 or 0.0)
        self._frozen = config.motif_mode == "frozen"
        self._target = tf.constant(_as_weights(layer, kernels), tf.float32)
        if self._frozen and self._n == known.n_filters:
            layer.trainable = False

    def penalties(self) -> list[tf.Tensor]:
        """Penalties of the filters: squared distance from their motifs; squared size of the random ones."""
        weights = _weights_of(self._layer)
        found = []
        if self._anchoring:
            found.append(self._anchoring * tf.reduce_sum(tf.square(weights[..., : self._n] - self._target)))
        if self._l2 and self._n < self.known.n_filters:
            found.append(self._l2 * tf.reduce_sum(tf.square(weights[..., self._n :])))
        return found

    def held(self, gradients: Sequence[Any], variables: Sequence[keras.Variable]) -> list[Any]:
        """Gradients of variables, 0 for the filters that stay as they are."""
        if not self._frozen:
            return list(gradients)
        own = {id(variable) for variable in self._layer.trainable_variables}
        moves = tf.constant(np.arange(self.known.n_filters) >= self._n, tf.float32)
        return [
            gradient * moves if id(variable) in own else gradient
            for gradient, variable in zip(gradients, variables, strict=True)
        ]

    def measured(self) -> KnownMotifs:
        """What the filters were set to, and how far the network's weights are from it now."""
        kernel = _by_base(np.asarray(self._layer.kernel, np.float64))[..., : self._n]
        both = getattr(self._layer, "strands", "forward") == "both"
        similar = similarities(kernel, self._kernels, both_strands=both)
        trained, motifs = _centred(kernel), _centred(self._kernels)
        lengths = np.maximum(_length(motifs), 1e-12)
        moved, size = _length(trained - motifs) / lengths, _length(trained) / lengths
        filters = tuple(
            dataclasses.replace(one, similarity=float(r), moved=float(m), size=float(s))
            for one, r, m, s in zip(
                self.known.filters, similar.round(6), moved.round(6), size.round(6), strict=True
            )
        )
        return dataclasses.replace(self.known, filters=filters)

    def write(self, folder: Path) -> None:
        """Write what the filters were set to into a run folder."""
        write_text_atomically(folder / KNOWN_MOTIFS, self.known.to_json())

    def finish(self, folder: Path) -> None:
        """Write what the filters were set to, and how far each is from it, into a run folder."""
        found = self.measured()
        n_kept = sum(one.keeps_name for one in found.filters)
        LOG.info(
            "%d of %d filters are still their motifs (similarity of at least %g)",
            n_kept,
            len(found.filters),
            MIN_SIMILARITY,
        )
        write_text_atomically(folder / KNOWN_MOTIFS, found.to_json())
        write_text_atomically(
            folder / KNOWN_TABLE, _table(found).to_csv(sep="\t", index=False, float_format="%.6g")
        )


def set_filters(
    model: keras.Model, config: TrainConfig, chosen: ChosenMotifs, ds: xr.Dataset
) -> MotifFilters:
    """Set the first filters of a network to motifs, with scales and thresholds chosen by training windows.

    Parameters
    ----------
    model
        A network with the layer `filters`; the filters past the motifs stay as they were drawn.
    config
        Its configuration.
    chosen
        The motifs.
    ds
        The store, whose training windows are looked at: 4,096 of them, evenly spread.
    """
    layer = model.get_layer("filters")
    codes = _training_windows(ds, config.fold)
    both = getattr(layer, "strands", "forward") == "both"
    background = _composition(codes, both_strands=both)
    width, n = _filter_width(config), len(chosen.clusters)
    motifs = [cluster.representative for cluster in chosen.clusters]
    kernels = np.stack([log_odds(motif, width, background) for motif in motifs], axis=-1)
    scores = best_scores(model, _as_kernel(layer, kernels), codes)
    spread = scores.std(axis=0)
    scale = np.divide(1.0, spread, out=np.ones(n), where=spread > 0)
    active = config.motif_active or 1.0
    threshold, kernels = _thresholds(scores, active) * scale, kernels * scale
    _assign_first(_weights_of(layer), _as_weights(layer, kernels))
    _assign_first(layer.bias, -threshold)
    filters = []
    for i, cluster in enumerate(chosen.clusters):
        offset, share = _placed(cluster.representative, width)
        filters.append(
            KnownFilter(
                filter=i,
                name=cluster.name,
                motif=cluster.representative.id,
                symbol=cluster.representative.symbol,
                members=tuple(motif.id for motif in cluster.members),
                symbols=tuple(motif.symbol for motif in cluster.members),
                ppm=tuple(tuple(map(float, row)) for row in cluster.representative.ppm),
                offset=offset,
                bits=round(float(information(cluster.representative.ppm).sum()), 6),
                share_kept=round(share, 6),
                scale=float(scale[i]),
                threshold=float(threshold[i]),
            )
        )
    known = KnownMotifs(
        database=chosen.path.name,
        sha256=chosen.sha256,
        n_motifs=chosen.n_motifs,
        max_e=config.motif_clusters or 0.0,
        n_clusters=chosen.n_clusters,
        mode=config.motif_mode or "anchored",
        anchoring=config.motif_anchoring or 0.0,
        active=active,
        n_windows=len(codes),
        n_filters=chosen.n_filters,
        filters=tuple(filters),
    )
    LOG.info(
        "%d filters are set to motifs of %s (%d motifs in %d clusters), %d begin at random",
        n,
        chosen.path.name,
        chosen.n_motifs,
        chosen.n_clusters,
        chosen.n_filters - n,
    )
    return MotifFilters(layer, config, known, kernels)


def best_scores(model: keras.Model, weights: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Best score of each filter in each window, where and as the network scans: (window, filter) float64.

    Parameters
    ----------
    model
        The network.
    weights
        Kernels of any number of filters, of the shape of the network's own.
    codes
        Base codes (window, position), uint8.
    """
    scorer = Scorer.of_layers(layers_of(model))
    n_filters = weights.shape[-1]
    front_end = dataclasses.replace(
        scorer.front_end, n_filters=n_filters, activation="linear", pooling="max", scale=1.0
    )
    kernel = np.ascontiguousarray(weights, np.float32)
    parts = [
        front_end.forward(scorer.scan_codes(codes[i : i + _BATCH]), kernel).values
        for i in range(0, len(codes), _BATCH)
    ]
    return np.concatenate(parts).astype(np.float64)


def similarities(kernel: np.ndarray, motifs: np.ndarray, *, both_strands: bool) -> np.ndarray:
    """How much each filter is still its motif: (filter,) float64, 1 for the motif, 0 for nothing alike.

    Pearson correlation of the weights, each position taken relative to its mean over the bases, at the best
    of shifts up to 3 bp, on the better strand where both are scanned. A filter without weights has 0.

    Parameters
    ----------
    kernel, motifs
        Weights of the filters and of what they were set to, (width, 4, filter).
    both_strands
        Whether the reverse complement is the same filter.

    Examples
    --------
    >>> motif = np.eye(4)[[2, 0, 3, 0]][..., None]
    >>> shifted = np.roll(motif, 1, axis=0)
    >>> similarities(2 * shifted - 5, motif, both_strands=False).round(2).tolist()
    [0.75]
    """
    trained, known = _centred(kernel), _centred(motifs)
    sizes = _length(trained) * _length(known)
    best = np.zeros(trained.shape[-1])
    for turned in (trained, trained[::-1, ::-1]) if both_strands else (trained,):
        for shift in _SHIFTS:
            products = (_shifted(turned, shift) * known).sum(axis=(0, 1))
            best = np.maximum(best, np.divide(products, sizes, out=np.zeros_like(best), where=sizes > 0))
    return np.minimum(best, 1.0)


class _Placed(NamedTuple):
    """Where a motif lies in a filter."""

    #: Position of the filter that its first position is at; below 0 where it is cut.
    offset: int
    #: Share of its information that is in the filter.
    share: float


def _placed(motif: Motif, width: int) -> _Placed:
    if motif.width <= width:
        return _Placed((width - motif.width) // 2, 1.0)
    bits = information(motif.ppm)
    inside = np.convolve(bits, np.ones(width), mode="valid")
    first = int(inside.argmax())
    return _Placed(-first, float(min(inside[first] / bits.sum(), 1.0)))


def _require_fitting(motifs: Sequence[Motif], config: NetworkOptions, path: Path) -> None:
    width = _filter_width(config)
    cut = [motif for motif in motifs if _placed(motif, width).share < _LEAST_SHARE]
    if not cut:
        return
    widest = max(cut, key=lambda motif: motif.width)
    wider = f"filter_width={widest.width}"
    if config.filter_blocks is not None:
        wider = f"filter_blocks={-(-widest.width // (config.block_length or 1))}"
    others = f", and {len(cut) - 1} more motifs" if len(cut) > 1 else ""
    raise InputError(
        "a motif that is much wider than the filters",
        where=path,
        found=f"{widest.id} of {widest.width} bp; {width} bp hold {_placed(widest, width).share:.0%} of its "
        f"information{others}",
        expected=f"at least {_LEAST_SHARE:.0%}",
        remedy=f"wider filters: --set {wider}",
    )


def _filter_width(config: NetworkOptions) -> int:
    return config.filter_width or (config.filter_blocks or 0) * (config.block_length or 0)


def _training_windows(ds: xr.Dataset, fold: int | None) -> np.ndarray:
    """Base codes of up to 4,096 training windows, evenly spread."""
    indices = split_indices(ds, "train", fold=fold)
    chosen = np.unique(np.linspace(0, len(indices) - 1, min(len(indices), _N_WINDOWS)).round().astype(int))
    batches = Batches(ds, indices=indices[chosen], batch_size=_BATCH, shuffle=False)
    return np.concatenate([batch.codes for batch in batches])


def _composition(codes: np.ndarray, *, both_strands: bool) -> np.ndarray:
    """Base frequencies of windows, (4,), of both strands where both are scanned; each counted once more."""
    counts = np.bincount(codes.ravel(), minlength=N_CODE + 1)[:N_CODE] + 1.0
    counts = counts + counts[::-1] if both_strands else counts
    return counts / counts.sum()


def _thresholds(scores: np.ndarray, share: float) -> np.ndarray:
    """Score that at least a share of the windows is above, and few more, (filter,), of (window, filter).

    Between the lowest score that is to be above and the next lower one, as many windows can have the same.
    """
    ascending = np.sort(scores, axis=0)
    lowest = ascending[min(int((1 - share) * len(scores)), len(scores) - 1)]
    n_below = (ascending < lowest).sum(axis=0)
    below = np.take_along_axis(ascending, np.maximum(n_below - 1, 0)[None], axis=0)[0]
    return np.where(n_below > 0, (lowest + below) / 2, lowest - 1)


def _weights_of(layer: keras.layers.Layer) -> keras.Variable:
    """The variable that a motif is written into, filters last: of bases where a layer has their weights."""
    if isinstance(layer, BlockConv1D):
        return layer.base_weights if layer.tables == "additive" else layer.block_weights
    return layer.kernel


def _as_weights(layer: keras.layers.Layer, kernels: np.ndarray) -> np.ndarray:
    """Kernels of bases, (width, 4, filter), as values of that variable."""
    additive = isinstance(layer, BlockConv1D) and layer.tables == "additive"
    return kernels.astype(np.float32) if additive else _as_kernel(layer, kernels)


def _as_kernel(layer: keras.layers.Layer, kernels: np.ndarray) -> np.ndarray:
    """Kernels of bases, (width, 4, filter), as kernels of a layer: of blocks where it reads these."""
    kernels = kernels.astype(np.float32)
    return np.asarray(blocks_of_bases(kernels, layer.n)) if isinstance(layer, BlockConv1D) else kernels


def _assign_first(variable: keras.Variable, values: np.ndarray) -> None:
    whole = variable.numpy().copy()
    whole[..., : values.shape[-1]] = values
    variable.assign(whole)


def _by_base(kernel: np.ndarray) -> np.ndarray:
    """Kernel over blocks, (tap, 4**n, filter), by base, (width, 4, filter): means over blocks."""
    n_taps, n_blocks, n_filters = kernel.shape
    n = (n_blocks.bit_length() - 1) // 2
    by_digit = kernel.reshape(n_taps, *[4] * n, n_filters)
    means = [by_digit.mean(axis=tuple(1 + j for j in range(n) if j != i)) for i in range(n)]
    return np.stack(means, axis=1).reshape(n_taps * n, 4, n_filters)


def _centred(kernel: np.ndarray) -> np.ndarray:
    return kernel - kernel.mean(axis=1, keepdims=True)


def _length(kernel: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(kernel).sum(axis=(0, 1)))


def _shifted(kernel: np.ndarray, shift: int) -> np.ndarray:
    moved = np.zeros_like(kernel)
    if shift >= 0:
        moved[shift:] = kernel[: len(kernel) - shift]
    else:
        moved[:shift] = kernel[-shift:]
    return moved


def _table(known: KnownMotifs) -> pd.DataFrame:
    """A row for each filter that was set to a motif, those that moved most first."""
    rows = pd.DataFrame(
        {
            "filter": [f"filter_{one.filter}" for one in known.filters],
            "known": [one.name for one in known.filters],
            "motif": [one.motif for one in known.filters],
            "n_members": [len(one.members) for one in known.filters],
            "similarity": [one.similarity for one in known.filters],
            "moved": [one.moved for one in known.filters],
            "size": [one.size for one in known.filters],
            "keeps_name": [one.keeps_name for one in known.filters],
        }
    )
    return rows.sort_values("similarity", kind="stable")
