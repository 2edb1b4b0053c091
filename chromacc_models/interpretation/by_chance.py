"""What filters of a run match, alongside as many filters that learned nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from chromacc_data.motifs.motif import Motif
from chromacc_models.interpretation.filters import untrained_motifs
from chromacc_models.interpretation.matching import match_filters
from chromacc_models.interpretation.run_filters import RunFilters
from chromacc_models.interpretation.tomtom import Matches, best_e_values, match_motifs, shuffle_columns

__all__ = ["DatabaseMatches", "planted_by_chance", "search_database"]

#: Filters of each empirical null.
_N_NULL = 1000

#: Number of draws of as many filters as a network has, for chance matches with planted motifs.
_N_DRAWS = 20


class DatabaseMatches(NamedTuple):
    """Filters against a database."""

    targets: tuple[Motif, ...]
    matches: Matches
    #: Smallest E-values of filters that learned nothing, by the name of the null.
    nulls: dict[str, np.ndarray]

    @property
    def best(self) -> np.ndarray:
        """Index of the best target of each filter, (filter,)."""
        return self.matches.p.argmin(axis=1)

    @property
    def best_e(self) -> np.ndarray:
        """Smallest E-value of each filter, (filter,)."""
        return self.matches.e.min(axis=1)


def search_database(
    run_filters: RunFilters,
    targets: tuple[Motif, ...],
    *,
    method: Literal["weights", "smoothed", "activations"] = "weights",
    seed: int = 0,
) -> DatabaseMatches:
    """Match filters with known motifs; also filters that learned nothing: untrained, or columns shuffled.

    Parameters
    ----------
    run_filters
        Filters of a run.
    targets
        Known motifs.
    method
        How the filters became motifs; untrained ones become motifs the same way.
    seed
        Of the filters that learned nothing.
    """
    nulls = _learned_nothing(run_filters, max(_N_NULL, len(run_filters.motifs)), method, seed)
    return DatabaseMatches(
        targets,
        match_motifs(run_filters.motifs, targets),
        {name: best_e_values(motifs, targets) for name, motifs in nulls.items()},
    )


def planted_by_chance(
    run_filters: RunFilters,
    planted: Sequence[Motif],
    *,
    method: Literal["weights", "smoothed", "activations"] = "weights",
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """What the rule of the thesis (section 3.3) finds in as many filters that learned nothing.

    The rule is generous: motifs of five or six bases match a good part of all untrained filters of 20 bp.

    Parameters
    ----------
    run_filters, method, seed
        As in :func:`search_database`.
    planted
        Planted motifs.

    Returns
    -------
    dict
        By null, `untrained` and `shuffled`: means of :meth:`~.matching.FilterMatches.summary` over draws of
        as many filters.
    """
    n_filters = len(run_filters.motifs)
    means = {}
    for name, motifs in _learned_nothing(run_filters, _N_DRAWS * n_filters, method, seed).items():
        matches = match_filters(motifs, planted, both_strands=run_filters.both_strands)
        draws = [
            matches.of(np.arange(first, first + n_filters)).summary()
            for first in range(0, len(motifs), n_filters)
        ]
        means[name] = {key: float(np.mean([draw[key] for draw in draws])) for key in draws[0]}
    return means


def _learned_nothing(
    run_filters: RunFilters, n: int, method: Literal["weights", "smoothed", "activations"], seed: int
) -> dict[str, tuple[Motif, ...]]:
    """Motifs of untrained filters and of the filters with shuffled columns: `n` of each."""
    if method == "activations":
        # To scan the windows once more with as many untrained filters is enough of a wait.
        n = len(run_filters.motifs)
    untrained = untrained_motifs(run_filters.model, n, method=method, codes=run_filters.codes, seed=seed)
    return {"untrained": untrained, "shuffled": shuffle_columns(run_filters.motifs, n=n, seed=seed)}
