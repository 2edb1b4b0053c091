"""Motifs inserted into backgrounds, and their effects on filters and predictions: networks as black boxes.

Interactions can be measured on any network or function that predicts from DNA, to confirm (or not) what the
vectors of a factorization machine say. Backgrounds are shuffled windows: their own motifs would hide the
effect of an inserted one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import numpy as np

from chromacc_data.errors import InputError
from chromacc_data.motifs.motif import Motif
from chromacc_data.ranks import auroc
from chromacc_data.sequences.encoding import N_CODE, encode, reverse_complement
from chromacc_data.sequences.shuffle import shuffle_dinucleotides
from chromacc_models.interpretation.importance import pooling_scorer
from chromacc_models.scoring.keras_scorer import KerasScorer, logits_of, scorer_of
from chromacc_models.scoring.scorer import Scorer

__all__ = [
    "FilterResponses",
    "InsertionEffect",
    "filter_responses",
    "insertion_effect",
    "insertion_places",
    "predict_logits",
    "shuffled_backgrounds",
]

_BATCH = 256

#: Smallest area under the ROC curve at which an inserted motif drives a filter: half way from chance to
#: certainty.
_DRIVEN = 0.75

#: What predicts: a network, its scorer, or a function from base codes to probabilities.
Predictor = keras.Model | Scorer | KerasScorer | Callable[[np.ndarray], np.ndarray]


class InsertionEffect(NamedTuple):
    """Effects on the logit of each cell type; arrays of shape (cell_type,), float64."""

    #: logit(both) - logit(a) - logit(b) + logit(none), mean over backgrounds.
    interaction: np.ndarray
    interaction_error: np.ndarray  #: its standard error
    #: logit(a) - logit(none).
    effect_a: np.ndarray
    effect_a_error: np.ndarray
    #: logit(b) - logit(none).
    effect_b: np.ndarray
    effect_b_error: np.ndarray
    #: Background sequences.
    n: int


class FilterResponses(NamedTuple):
    """Responses of filters to inserted motifs; arrays of shape (filter, motif), float64."""

    #: How surely the filter tells backgrounds with the motif from those without: the area under the ROC curve
    #: of its pooled activation. 0.5 where the motif leaves it alone, 1 where it always raises it above all
    #: backgrounds.
    auroc: np.ndarray
    #: What the motif adds to the pooled activation, mean over backgrounds.
    rise: np.ndarray

    @property
    def drives(self) -> np.ndarray:
        """Whether a motif drives a filter, by an `auroc` of at least 0.75: (filter, motif), bool."""
        return self.auroc >= _DRIVEN


def shuffled_backgrounds(codes: np.ndarray, n: int, *, seed: int = 0) -> np.ndarray:
    """Backgrounds to insert motifs into: windows whose dinucleotides are shuffled.

    Parameters
    ----------
    codes
        Base codes (window, position), uint8.
    n
        Windows to take at most, evenly among those without N.
    seed
        Of the shuffle.

    Returns
    -------
    np.ndarray
        (background, position), uint8.

    Raises
    ------
    InputError
        If fewer than two windows have no N.
    """
    known = codes[(codes < N_CODE).all(axis=1)]
    if len(known) < 2:
        raise InputError(
            "no background to insert motifs into",
            found=f"{len(known)} of {len(codes)} windows have no N",
            expected="two or more",
        )
    chosen = np.linspace(0, len(known) - 1, min(len(known), n)).astype(np.int64)
    return shuffle_dinucleotides(known[chosen], np.random.default_rng(seed))


def filter_responses(
    model: keras.Model,
    backgrounds: np.ndarray,
    motifs: Sequence[Motif],
    *,
    both_strands: bool = False,
    within: tuple[int, int] | None = None,
    seed: int = 0,
) -> FilterResponses:
    """Response of each filter to backgrounds with a motif, whatever the filter looks like.

    Parameters
    ----------
    model
        Network with layers `pool` and `head`.
    backgrounds, both_strands, within, seed
        As for :func:`insertion_effect`.
    motifs
        Their consensus is inserted, one at a time.

    Raises
    ------
    ValueError
        As :func:`insertion_effect`.
    """
    start, end = _within(backgrounds, within)
    rng, n = np.random.default_rng(seed), len(backgrounds)
    scorer = pooling_scorer(model)
    empty = scorer.pool(backgrounds).astype(np.float64)
    areas, rise = (np.empty((empty.shape[1], len(motifs))) for _ in range(2))
    for i, motif in enumerate(motifs):
        if motif.width > end - start:
            raise ValueError(f"a motif of {motif.width} bp does not fit into {end - start} bp")
        places = rng.integers(start, end - motif.width + 1, n)
        filled = scorer.pool(_insert(rng, backgrounds, motif, places, both_strands))
        areas[:, i] = auroc(np.concatenate([empty, filled]), np.repeat([0, 1], n))
        rise[:, i] = (filled - empty).mean(axis=0)
    return FilterResponses(areas, rise)


def insertion_effect(
    predictor: Predictor,
    backgrounds: np.ndarray,
    a: Motif,
    b: Motif,
    *,
    both_strands: bool = False,
    within: tuple[int, int] | None = None,
    seed: int = 0,
) -> InsertionEffect:
    """Interaction of two motifs in the predictions for background sequences with both, one, and none.

    Each background gets a random place for either motif, not overlapping, and each motif stands in the same
    place with and without the other. The standard error is that over backgrounds.

    Parameters
    ----------
    predictor
        A network from one-hot DNA to probabilities, its scorer (:func:`.keras_scorer.scorer_of`), or a
        function from base codes (window, position) to probabilities (window, cell_type).
    backgrounds
        Base codes, (window, position), uint8; two windows or more, such as :func:`shuffled_backgrounds`.
    a, b
        Their consensus is inserted.
    both_strands
        Whether each insertion is on a random strand.
    within
        Half-open range of positions to insert motifs into, for a network that scans only the middle. The
        whole window when None.
    seed
        Of places and strands.

    Raises
    ------
    ValueError
        If there are fewer than two windows, `within` goes past them, or both motifs do not fit into one.

    Examples
    --------
    >>> from chromacc_data.sequences.encoding import one_hot
    >>> a, b = (Motif(word, one_hot(encode(word))) for word in ("GGG", "CCC"))
    >>> def opens_with_both(codes):
    ...     return np.where((codes == 1).any(axis=1) & (codes == 2).any(axis=1), 0.9, 0.5)[:, None]
    >>> found = insertion_effect(opens_with_both, np.zeros((10, 20), np.uint8), a, b)
    >>> float(found.interaction[0].round(3)), float(found.effect_a[0])  # the logit of 0.9
    (2.197, 0.0)
    """
    start, end = _within(backgrounds, within)
    rng = np.random.default_rng(seed)
    places = start + insertion_places(rng, len(backgrounds), end - start, a.width, b.width)
    with_a = _insert(rng, backgrounds, a, places[:, 0], both_strands)
    with_b = _insert(rng, backgrounds, b, places[:, 1], both_strands)
    # The places do not overlap, so where b is not inserted the sequence with a stays as it is.
    at_b = np.arange(backgrounds.shape[1]) - places[:, 1, None]
    both = np.where((at_b >= 0) & (at_b < b.width), with_b, with_a)
    sequences = np.concatenate([backgrounds, with_a, with_b, both])
    none, only_a, only_b, together = np.split(predict_logits(predictor, sequences), 4)
    return InsertionEffect(
        *_mean_and_error(together - only_a - only_b + none),
        *_mean_and_error(only_a - none),
        *_mean_and_error(only_b - none),
        n=len(backgrounds),
    )


def predict_logits(predictor: Predictor, codes: np.ndarray) -> np.ndarray:
    """Logits (window, cell_type), float64, of base codes: see :func:`insertion_effect`.

    Of a function's probabilities the logit is taken, between 1e-7 and 1 - 1e-7.
    """
    if isinstance(predictor, keras.Model):
        predictor = scorer_of(predictor)
    if isinstance(predictor, (Scorer, KerasScorer)):
        return predictor.logits(codes).astype(np.float64)
    batches = (codes[first : first + _BATCH] for first in range(0, len(codes), _BATCH))
    return logits_of(np.concatenate([predictor(batch) for batch in batches]))


def insertion_places(rng: np.random.Generator, n: int, length: int, width_a: int, width_b: int) -> np.ndarray:
    """Starts of two stretches that do not overlap, all placements equally likely; shape (n, 2), int64."""
    free = length - width_a - width_b
    if free < 0:
        raise ValueError(f"motifs of {width_a} and {width_b} bp do not fit into windows of {length} bp")
    # Without their widths the two are points among `free` bases: two of free + 2 slots, order by a coin.
    cuts = _distinct_pairs(rng, n, free + 2)
    a_first = rng.random(n) < 0.5
    start_a = np.where(a_first, cuts[:, 0], cuts[:, 1] - 1 + width_b)
    start_b = np.where(a_first, cuts[:, 1] - 1 + width_a, cuts[:, 0])
    return np.stack([start_a, start_b], axis=1)


def _within(backgrounds: np.ndarray, within: tuple[int, int] | None) -> tuple[int, int]:
    if len(backgrounds) < 2:
        raise ValueError(f"{len(backgrounds)} background windows; expected two or more")
    start, end = within or (0, backgrounds.shape[1])
    if not 0 <= start <= end <= backgrounds.shape[1]:
        raise ValueError(f"within is {within}; the windows have {backgrounds.shape[1]} bp")
    return start, end


def _distinct_pairs(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Two different numbers below `size` in ascending order, all pairs equally likely; (n, 2)."""
    first = rng.integers(0, size, n)
    second = (first + rng.integers(1, size, n)) % size
    return np.sort(np.stack([first, second], axis=1), axis=1)


def _insert(
    rng: np.random.Generator, backgrounds: np.ndarray, motif: Motif, starts: np.ndarray, both_strands: bool
) -> np.ndarray:
    """Backgrounds with the consensus of a motif at the starts."""
    consensus = encode(motif.consensus)
    is_reverse = rng.random(len(backgrounds)) < (0.5 if both_strands else 0)
    sites = np.where(is_reverse[:, None], reverse_complement(consensus), consensus)
    inserted = backgrounds.copy()
    np.put_along_axis(inserted, starts[:, None] + np.arange(motif.width), sites, axis=1)
    return inserted


def _mean_and_error(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
