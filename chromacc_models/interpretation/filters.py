"""Motifs of a network's filters: from their weights, or from the sequences that activate them.

The arrays are numpy's and so are the functions on them; only :func:`filter_motifs` touches a Keras model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from chromacc_data.motifs.motif import Motif
from chromacc_data.sequences.encoding import N_CODE, one_hot, reverse_complement

if TYPE_CHECKING:
    import keras

__all__ = [
    "Sites",
    "base_weights",
    "filter_motifs",
    "ppms_from_activations",
    "ppms_from_weights",
    "untrained_motifs",
]

_N_BASES = 4
#: Windows that are scanned at once: activations take 4 bytes a place, strand and filter.
_WINDOWS = 64


class Sites(NamedTuple):
    """Matrices averaged over sequences, and how many there were."""

    ppms: np.ndarray  #: (filter, width, 4) float64
    n_sites: np.ndarray  #: (filter,) int64


def filter_motifs(
    model: keras.Model,
    *,
    method: Literal["weights", "smoothed", "activations"] = "weights",
    codes: np.ndarray | None = None,
    layer: str = "filters",
    smoothing: float = 0.1,
    threshold: float = 0.5,
) -> tuple[Motif, ...]:
    """Motif of each filter of a network, `filter_0`, `filter_1`, ... in the order of the layer.

    Parameters
    ----------
    model
        Network that takes one-hot DNA, with a convolution of that name. A batch normalisation behind it (as
        in `basset`) may turn a filter's sign, which only the activations show.
    method
        "weights" (thesis, section 3.3), "smoothed" (section 7.2), both :func:`ppms_from_weights`; or
        "activations" (Basset), :func:`ppms_from_activations`.
    codes
        Base codes of the windows that "activations" looks at, shape (window, position), uint8.
    layer
        Name of the convolution.
    smoothing, threshold
        Of "smoothed" and of "activations".

    Raises
    ------
    ValueError
        For another method, and for "activations" without codes.
    """
    kernel = np.asarray(model.get_layer(layer).kernel)
    n_sites: list[float | None] = [None] * kernel.shape[-1]
    if method == "activations":
        if codes is None:
            raise ValueError("method 'activations' needs codes")
        width = kernel.shape[0] * _block_length(kernel)
        ppms, counted = ppms_from_activations(
            _activation(model, layer), codes, width=width, threshold=threshold
        )
        n_sites = counted.tolist()
    else:
        ppms = _weight_ppms(kernel, method, smoothing)
    return tuple(Motif(f"filter_{i}", ppm, n_sites=n_sites[i]) for i, ppm in enumerate(ppms))


def untrained_motifs(
    model: keras.Model,
    n: int,
    *,
    method: Literal["weights", "smoothed", "activations"] = "weights",
    codes: np.ndarray | None = None,
    layer: str = "filters",
    smoothing: float = 0.1,
    threshold: float = 0.5,
    seed: int = 0,
) -> tuple[Motif, ...]:
    """Motifs of `n` filters that have learned nothing: uniform weights, the shape of a network's filters.

    What matches these matches by chance. The weight of a block is the sum of its bases' weights, as in a new
    network of additive tables: blocks drawn one by one average out to flat matrices, each of which matches
    something. Other parameters are those of :func:`filter_motifs`; `model` itself stays as it is.
    """
    rng = np.random.default_rng(seed)
    kernel = np.asarray(model.get_layer(layer).kernel)
    if method != "activations":
        ppms = _weight_ppms(_uniform_kernel(rng, kernel, n), method, smoothing)
        return tuple(Motif(f"untrained_{i}", ppm) for i, ppm in enumerate(ppms))
    import keras

    motifs: list[Motif] = []
    while len(motifs) < n:
        untrained = keras.models.clone_model(model)
        drawn = _uniform_kernel(rng, kernel, kernel.shape[-1]).astype(kernel.dtype)
        filters = untrained.get_layer(layer)
        if hasattr(filters, "assign_kernel"):  # of block tables
            filters.assign_kernel(drawn)
        else:
            filters.kernel.assign(drawn)
        motifs += filter_motifs(untrained, method=method, codes=codes, layer=layer, threshold=threshold)
    return tuple(dataclasses.replace(motif, id=f"untrained_{i}") for i, motif in enumerate(motifs[:n]))


def ppms_from_weights(kernel: np.ndarray, *, smoothing: float = 0.0) -> np.ndarray:
    """Position probability matrices of filters from their weights, shape (filter, width, 4), float64.

    Negative weights are set to zero, as only bases that help binding count, and each position is divided by
    its sum (thesis, section 3.3). A position without positive weights says nothing: it becomes uniform.

    That rule looks at ratios within a position alone, so a position of tiny weights can look as sharp as a
    decisive one. With `smoothing` a constant is added to the weights w of each position, inversely
    proportional to their sum s (section 7.2): `smoothing * r**2 / s` shared among the bases, r being the
    largest sum of the filter less what all bases of its position have in common, which tells none of them
    from another. The result is a mixture of w / s and the uniform distribution, with a share
    s**2 / (s**2 + smoothing * r**2) of the former: nearly all at the strongest position, half where
    s = sqrt(smoothing) * r.

    Parameters
    ----------
    kernel
        Weights of a convolution, shape (width, 4, filter). Over blocks of n bases, as in the motif building
        network, (tap, 4**n, filter): the same rule then gives probabilities of blocks, and the matrix holds
        their marginal probabilities of bases, of width tap * n.
    smoothing
        0 for none.

    Examples
    --------
    >>> kernel = np.array([[3, -1, 1, 0], [-1, -1, -1, -1]])[:, :, None]
    >>> ppms_from_weights(kernel).tolist()
    [[[0.75, 0.0, 0.25, 0.0], [0.25, 0.25, 0.25, 0.25]]]
    """
    if smoothing < 0:
        raise ValueError(f"smoothing is {smoothing}; it must be at least 0")
    block_length = _block_length(kernel)
    weights = np.maximum(np.moveaxis(kernel, -1, 0), 0).astype(np.float64)
    n_filters, n_taps, n_blocks = weights.shape
    size = weights.sum(axis=-1, keepdims=True)
    largest = (size - n_blocks * weights.min(axis=-1, keepdims=True)).max(axis=1, keepdims=True)
    relative = np.divide(size, largest, out=np.zeros_like(size), where=largest > 0) ** 2
    share = np.divide(relative, relative + smoothing, out=np.zeros_like(size), where=relative > 0)
    ratio = np.divide(weights, size, out=np.zeros_like(weights), where=size > 0)
    probability = share * ratio + (1 - share) / n_blocks
    return _base_probabilities(probability.reshape(n_filters, n_taps, *[_N_BASES] * block_length))


def base_weights(kernel: np.ndarray) -> np.ndarray:
    """Positive weights of filters by base, shape (filter, width, 4), float64.

    What :func:`ppms_from_weights` divides by its sum at each position; undivided, strong positions stay
    stronger than weak ones. Of weights over blocks a base gets the mean over the blocks that have it.

    Parameters
    ----------
    kernel
        As in :func:`ppms_from_weights`.

    Examples
    --------
    >>> base_weights(np.array([[3, -1, 1, 0], [-1, -1, 2, -1]])[:, :, None]).tolist()
    [[[3.0, 0.0, 1.0, 0.0], [0.0, 0.0, 2.0, 0.0]]]
    """
    block_length = _block_length(kernel)
    weights = np.maximum(np.moveaxis(kernel, -1, 0), 0).astype(np.float64)
    n_filters, n_taps, _ = weights.shape
    sums = _base_probabilities(weights.reshape(n_filters, n_taps, *[_N_BASES] * block_length))
    return sums / _N_BASES ** (block_length - 1)


def ppms_from_activations(
    activate: Callable[[np.ndarray], np.ndarray], codes: np.ndarray, *, width: int, threshold: float = 0.5
) -> Sites:
    """Position probability matrices of filters from the sequences that activate them (Kelley et al. 2016).

    All places where a filter's activation is above `threshold` times its largest in the set are lined up and
    their bases averaged. Frequent motifs weigh more than rare ones that the filter likes as well (thesis,
    section 3.3). Unlike Basset no pseudocounts are added; unknown bases count a quarter for each.

    Parameters
    ----------
    activate
        Base codes (window, position) to activations, (window, place, filter) or (window, place, strand,
        filter). Strand 1 is the reverse complement of the bases at the same place. Places that a padded
        convolution has beyond the ends see unknown bases there; fewer places are those in the middle.
    codes
        Base codes, shape (window, position), uint8.
    width
        Bases of a filter.
    threshold
        Share of the largest activation.

    Returns
    -------
    Sites
        Uniform and 0 for a filter that nothing activates.
    """
    if not len(codes):
        raise ValueError("no windows to look at")
    blocks = [codes[start : start + _WINDOWS] for start in range(0, len(codes), _WINDOWS)]
    # Once for the largest activations, once for the places: all activations would not fit in memory.
    largest = np.max([_by_strand(activate(block)).max(axis=(0, 1, 2)) for block in blocks], axis=0)
    limit = threshold * largest  # which nothing exceeds when the largest is 0 or less
    counts = sum(_count_bases(_by_strand(activate(block)) > limit, block, width) for block in blocks)
    counts = counts[..., :N_CODE] + counts[..., N_CODE:] / _N_BASES
    n_sites = counts[:, 0].sum(axis=-1)
    ppms = np.full(counts.shape, 1 / _N_BASES)
    np.divide(counts, n_sites[:, None, None], out=ppms, where=n_sites[:, None, None] > 0)
    return Sites(ppms, n_sites.astype(np.int64))


def _weight_ppms(kernel: np.ndarray, method: str, smoothing: float) -> np.ndarray:
    if method not in ("weights", "smoothed"):
        raise ValueError(f"method is {method!r}; it may be 'weights', 'smoothed' or 'activations'")
    return ppms_from_weights(kernel, smoothing=smoothing if method == "smoothed" else 0.0)


def _uniform_kernel(rng: np.random.Generator, kernel: np.ndarray, n: int) -> np.ndarray:
    """Kernel of `n` filters of the shape of those in `kernel`, whose bases have uniform weights."""
    block_length = _block_length(kernel)
    by_base = rng.uniform(-1, 1, (len(kernel), block_length, _N_BASES, n))
    drawn = np.zeros((len(kernel), *[_N_BASES] * block_length, n))
    for base in range(block_length):
        drawn += np.expand_dims(
            by_base[:, base], [1 + other for other in range(block_length) if other != base]
        )
    return drawn.reshape(len(kernel), -1, n)


def _activation(model: keras.Model, layer: str) -> Callable[[np.ndarray], np.ndarray]:
    """Base codes to what the activation behind a convolution gives."""
    import keras

    behind = model.layers[model.layers.index(model.get_layer(layer)) :]
    activation = next(candidate for candidate in behind if isinstance(candidate, keras.layers.Activation))
    scan = keras.Model(model.input, activation.output)
    return lambda codes: scan.predict_on_batch(one_hot(codes, dtype=np.float32))


def _block_length(kernel: np.ndarray) -> int:
    """Bases that a tap of a kernel (tap, 4**n, filter) covers."""
    n_blocks = kernel.shape[1] if kernel.ndim == 3 else 0
    block_length = max(n_blocks.bit_length() // 2, 1)
    if n_blocks != _N_BASES**block_length:
        raise ValueError(f"kernel of shape {kernel.shape}; expected (tap, 4**n, filter)")
    if not np.isfinite(kernel).all():
        raise ValueError("the kernel holds weights that are no finite numbers")
    return block_length


def _base_probabilities(probability: np.ndarray) -> np.ndarray:
    """Marginals of block probabilities: (filter, tap, 4, ..., 4), first base first, to (filter, width, 4)."""
    bases = range(2, probability.ndim)
    marginals = [probability.sum(axis=tuple(other for other in bases if other != base)) for base in bases]
    return np.stack(marginals, axis=2).reshape(len(probability), -1, _N_BASES)


def _by_strand(activations: np.ndarray) -> np.ndarray:
    """Activations as (window, place, strand, filter)."""
    return activations[:, :, None] if activations.ndim == 3 else activations


def _count_bases(active: np.ndarray, codes: np.ndarray, width: int) -> np.ndarray:
    """How often each base is at each position of a filter's sites: (filter, width, 5), the last one unknown.

    `active` is (window, place, strand, filter), bool.
    """
    _, n_places, _, n_filters = active.shape
    more = n_places - (codes.shape[1] - width + 1)
    beyond, cut = max(more, 0), max(-more, 0)
    padded = np.pad(
        codes[:, cut // 2 :], ((0, 0), (beyond // 2, beyond - beyond // 2)), constant_values=N_CODE
    )
    window, place, strand, filter_ = np.nonzero(active)
    sites = np.lib.stride_tricks.sliding_window_view(padded, width, axis=1)[window, place]
    sites = np.where(strand[:, None] == 1, reverse_complement(sites), sites)
    cell = (filter_[:, None] * width + np.arange(width)) * (N_CODE + 1) + sites
    counts = np.bincount(cell.ravel(), minlength=n_filters * width * (N_CODE + 1))
    return counts.reshape(n_filters, width, N_CODE + 1)
