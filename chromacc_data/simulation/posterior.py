"""The ideal observer: how likely each configuration of sites is, given a sequence and how it was made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from chromacc_data.compiled import compiled
from chromacc_data.recipe.simulation import SitesRecipe
from chromacc_data.sequences.encoding import N_BASES
from chromacc_data.simulation.occurrences import Patterns, find
from chromacc_data.simulation.sites import Pool, Sites
from chromacc_data.store.schema import NO_SITE

__all__ = ["Configurations", "enumerate_configurations"]

#: Candidate sites considered per window, at most: the likeliest ones.
_MOST_CANDIDATES = 12
#: Nats by which a site may be less likely than no site and still be a candidate.
_LEAST_ODDS = 6.0


class Configurations(NamedTuple):
    """Sets of sites that sequences may have been made with, and their probabilities.

    Parameters
    ----------
    window
        (configuration,) int64, the window of each; sorted, and each window has one or more.
    sites
        The sites, (configuration, site) arrays.
    probability
        (configuration,) float64, given the sequence; those of a window sum to 1.
    """

    window: np.ndarray
    sites: Sites
    probability: np.ndarray


@dataclass(frozen=True, eq=False)
class _Prior:
    """How sites are drawn, in arrays."""

    log_number: np.ndarray  # (site + 1,) of each number of sites; -inf where it cannot be
    log_draw: np.ndarray  # (site + 1,) of the motifs, their order and their strands, for each number of sites
    group: (
        np.ndarray
    )  # (motif,) the group that it is of; a group of its own where none may come twice; -1 where it may
    ordered: bool  # whether groups stand in their order
    positions: np.ndarray  # (site,) given starts, or none
    log_spacing: np.ndarray  # (longest spacing + 1,) of each spacing; empty where sites stand apart


def enumerate_configurations(
    codes: np.ndarray, pool: Pool, recipe: SitesRecipe, frequencies: np.ndarray
) -> Configurations:
    """Sets of sites that sequences may have been made with, and the posterior probability of each.

    By Bayes' rule, the weight of a set is its prior probability times, for each site, the likelihood ratio of
    its bases under the motif and under the background. This is exact for independent bases as long as a
    window has few places that look like sites; other backgrounds are approximated by the frequency of each
    base. Each window has at most 12 candidate sites, none more than 6 nats less likely than no site; where
    they form no set of a size that can be drawn, sets of any size are considered. For short or flat motifs
    in long windows, more candidates would do better.

    Parameters
    ----------
    codes
        (window, position) uint8, without N.
    pool, recipe
        Motifs, and how they were planted.
    frequencies
        (4,) of each base in the background.

    Examples
    --------
    >>> from chromacc_data.sequences.encoding import encode
    >>> from chromacc_data.recipe.simulation import MotifsRecipe
    >>> from chromacc_data.simulation.sites import read_pool
    >>> pool = read_pool(MotifsRecipe(sequences={"x": "ACG", "y": "TTTT"}), [])
    >>> codes = encode("ACGCTTTT")[None]
    >>> found = enumerate_configurations(codes, pool, SitesRecipe(number=1), np.full(4, 0.25))
    >>> [(pool.names[m], round(p, 2)) for m, p in zip(found.sites.motif[:, 0], found.probability.tolist())]
    [('x', 0.17), ('y', 0.83)]
    """
    patterns = Patterns.of(pool, recipe)
    log_odds = _log_odds(pool, patterns, recipe, frequencies)
    prior = _prior_of(pool, recipe)
    length = codes.shape[1]
    thresholds = _thresholds(pool, patterns, recipe, length)
    columns, rest = _by_weight(log_odds)
    tables = (patterns.motif, patterns.width, patterns.strand, thresholds)
    given = (prior.log_number, prior.log_draw, prior.group, prior.ordered, prior.positions, prior.log_spacing)
    candidates = _candidates(
        codes,
        patterns.width,
        patterns.codes,
        patterns.first,
        patterns.order,
        log_odds,
        thresholds,
        columns,
        rest,
        recipe.bases == "consensus",
    )
    n_configurations = _enumerate(length, *candidates, *tables, *given, np.zeros(0, dtype=np.int64))[0]
    ends = np.cumsum(n_configurations)
    _, motif, start, strand, log_weight = _enumerate(length, *candidates, *tables, *given, ends)
    window = np.repeat(np.arange(len(codes)), n_configurations)
    weight = np.exp(log_weight - np.maximum.reduceat(log_weight, ends - n_configurations)[window])
    return Configurations(window, Sites(motif, start, strand), weight / np.bincount(window, weight)[window])


def sites_per_window(pool: Pool, recipe: SitesRecipe) -> np.ndarray:
    """Expected sites of each motif in a window, (motif,) float64.

    >>> from chromacc_data.recipe.simulation import MotifsRecipe
    >>> from chromacc_data.simulation.sites import read_pool
    >>> pool = read_pool(MotifsRecipe(sequences={"x": "ACG", "y": "TT", "z": "G"}), [])
    >>> sites_per_window(pool, SitesRecipe(groups=(("x", "y"), ("z",)))).tolist()
    [0.5, 0.5, 1.0]
    """
    if not recipe.groups:
        weights = np.asarray(recipe.weights)
        mean = float(weights @ np.arange(weights.size) / weights.sum())
        return np.full(len(pool), mean / len(pool))
    expected = np.zeros(len(pool))
    for group in recipe.groups:
        for name in group:
            expected[pool.names.index(name)] += 1 / len(group)
    return expected


def _log_odds(pool: Pool, patterns: Patterns, recipe: SitesRecipe, frequencies: np.ndarray) -> np.ndarray:
    """Log-odds of each base, motif to background, (pattern, widest, 4) float64; 0 past a motif's end."""
    ppms = pool.ppms if recipe.bases == "sampled" else np.eye(N_BASES)[pool.consensus]
    log_odds = np.zeros((*patterns.codes.shape, N_BASES))
    # A base that the background lacks is very strong evidence, not infinite.
    frequencies = np.maximum(frequencies, 1e-6)
    with np.errstate(divide="ignore"):
        for row, (motif, strand, width) in enumerate(
            zip(patterns.motif, patterns.strand, patterns.width, strict=True)
        ):
            ppm = ppms[motif, :width]
            log_odds[row, :width] = np.log((ppm if strand > 0 else ppm[::-1, ::-1]) / frequencies)
    return log_odds


def _thresholds(pool: Pool, patterns: Patterns, recipe: SitesRecipe, length: int) -> np.ndarray:
    """Log-odds from which on a site is likelier than none, given how many there are, (pattern,) float64."""
    n_strands = np.bincount(patterns.motif)[patterns.motif]
    places = np.maximum(length - patterns.width + 1, 1)
    chance = np.minimum(sites_per_window(pool, recipe)[patterns.motif] / n_strands / places, 0.5)
    with np.errstate(divide="ignore"):
        return np.log((1 - chance) / chance)


def _by_weight(log_odds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns of each pattern, those that tell most first, and what those after each one can add at most."""
    finite = np.maximum(log_odds, -50)
    columns = np.argsort(finite.min(axis=2) - finite.max(axis=2), axis=1, kind="stable")
    best = np.take_along_axis(log_odds.max(axis=2), columns, axis=1)
    return columns, np.cumsum(best[:, ::-1], axis=1)[:, ::-1] - best


def _prior_of(pool: Pool, recipe: SitesRecipe) -> _Prior:
    weights = np.asarray(recipe.weights, dtype=np.float64)
    number = np.arange(recipe.max_sites + 1)
    group = np.full(len(pool), -1, dtype=np.int64)
    log_draw = np.full(number.size, -np.log(len(pool))) * number
    if recipe.groups:
        for i, members in enumerate(recipe.groups):
            group[[pool.names.index(name) for name in members]] = i
        log_draw = np.zeros(number.size) - sum(np.log(len(members)) for members in recipe.groups)
        # The order of the groups is drawn too, where they do not stand in their own.
        log_draw -= 0.0 if recipe.positions or recipe.spacings else math.lgamma(recipe.max_sites + 1)
    elif not recipe.repeats:
        group = np.arange(len(pool))
        log_draw = -np.cumsum([0.0, *np.log(len(pool) - np.arange(recipe.max_sites))])
    if recipe.strand == "either":
        log_draw = log_draw - number * np.log(2)
    with np.errstate(divide="ignore"):
        log_spacing = (
            np.log(np.bincount(recipe.spacings) / len(recipe.spacings)) if recipe.spacings else np.zeros(0)
        )
        log_number = np.log(weights / weights.sum())[: number.size]
    ordered = bool(recipe.groups and (recipe.positions or recipe.spacings))
    return _Prior(
        log_number, log_draw, group, ordered, np.array(recipe.positions, dtype=np.int64), log_spacing
    )


@compiled
def _candidates(
    codes: np.ndarray,
    width: np.ndarray,
    pattern_codes: np.ndarray,
    first: np.ndarray,
    order: np.ndarray,
    log_odds: np.ndarray,
    thresholds: np.ndarray,
    columns: np.ndarray,
    rest: np.ndarray,
    consensus: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The likeliest sites by start: pattern, start, log-odds (window, candidate), and how many (window,)."""
    n_windows, length = codes.shape
    out_pattern = np.zeros((n_windows, _MOST_CANDIDATES), dtype=np.int64)
    out_start = np.zeros((n_windows, _MOST_CANDIDATES), dtype=np.int64)
    out_value = np.zeros((n_windows, _MOST_CANDIDATES))
    n_out = np.zeros(n_windows, dtype=np.int64)
    found = np.empty(length * len(width), dtype=np.int64)
    start = np.empty(length * len(width), dtype=np.int64)
    value = np.empty(length * len(width))
    for row in range(n_windows):
        if consensus:
            n = find(codes[row], width, pattern_codes, first, order, found, start)
            for i in range(n):
                value[i] = 0.0
                for j in range(width[found[i]]):
                    value[i] += log_odds[found[i], j, pattern_codes[found[i], j]]
        else:
            n = _find_by_log_odds(codes[row], width, log_odds, thresholds, columns, rest, found, start, value)
        kept = np.ones(n, dtype=np.bool_)
        for _ in range(n - _MOST_CANDIDATES):
            worst = -1
            for i in range(n):
                if kept[i] and (
                    worst < 0 or value[i] - thresholds[found[i]] < value[worst] - thresholds[found[worst]]
                ):
                    worst = i
            kept[worst] = False
        for i in range(n):
            if kept[i]:
                place = n_out[row]
                out_pattern[row, place], out_start[row, place] = found[i], start[i]
                out_value[row, place] = value[i]
                n_out[row] += 1
    return out_pattern, out_start, out_value, n_out


@compiled
def _find_by_log_odds(
    codes: np.ndarray,
    width: np.ndarray,
    log_odds: np.ndarray,
    thresholds: np.ndarray,
    columns: np.ndarray,
    rest: np.ndarray,
    found: np.ndarray,
    start: np.ndarray,
    value: np.ndarray,
) -> int:
    n, length = 0, len(codes)
    for begin in range(length):
        for pattern in range(len(width)):
            if begin + width[pattern] > length:
                continue
            least = thresholds[pattern] - _LEAST_ODDS
            total, possible = 0.0, True
            for i in range(columns.shape[1]):
                column = columns[pattern, i]
                if column >= width[pattern]:
                    continue
                total += log_odds[pattern, column, codes[begin + column]]
                if total + rest[pattern, i] < least:
                    possible = False
                    break
            if possible and total >= least:
                found[n], start[n], value[n] = pattern, begin, total
                n += 1
    return n


@compiled
def _enumerate(
    length: int,
    pattern: np.ndarray,
    start: np.ndarray,
    value: np.ndarray,
    n_candidates: np.ndarray,
    motif: np.ndarray,
    width: np.ndarray,
    strand: np.ndarray,
    thresholds: np.ndarray,
    log_number: np.ndarray,
    log_draw: np.ndarray,
    group: np.ndarray,
    ordered: bool,
    positions: np.ndarray,
    log_spacing: np.ndarray,
    ends: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Configurations of each window: their number, (window,), and with `ends` (where they go) themselves."""
    n_windows, most = len(pattern), len(log_number) - 1
    n_configurations = np.zeros(n_windows, dtype=np.int64)
    total = ends[-1] if ends.size else 0
    out_motif = np.full((total, most), NO_SITE, dtype=np.int16)
    out_start = np.full((total, most), NO_SITE, dtype=np.int32)
    out_strand = np.zeros((total, most), dtype=np.int8)
    out_weight = np.zeros(total)
    chosen = np.zeros(most + 1, dtype=np.int64)
    for row in range(n_windows):
        first = ends[row - 1] if ends.size and row else 0
        # A second round, of sets of any number of sites, only where none that can be drawn was found.
        for any_number in (False, True):
            if n_configurations[row]:
                break
            # `depth` sites are chosen, by growing start; the next set adds one, or moves the last one on.
            depth, following = 0, 0
            while True:
                weight = _log_weight(
                    length,
                    chosen[:depth],
                    pattern[row],
                    start[row],
                    value[row],
                    width,
                    thresholds,
                    log_number,
                    log_draw,
                    positions.size > 0,
                    log_spacing,
                    any_number,
                )
                if weight > -np.inf:
                    if ends.size:
                        place = first + n_configurations[row]
                        out_weight[place] = weight
                        for i in range(depth):
                            one = chosen[i]
                            out_motif[place, i] = motif[pattern[row, one]]
                            out_start[place, i] = start[row, one]
                            out_strand[place, i] = strand[pattern[row, one]]
                    n_configurations[row] += 1
                while depth >= 0:
                    while following < n_candidates[row] and not (
                        depth < most
                        and _may_follow(
                            following,
                            chosen[:depth],
                            pattern[row],
                            start[row],
                            motif,
                            width,
                            group,
                            ordered,
                            positions,
                        )
                    ):
                        following += 1
                    if following < n_candidates[row]:
                        chosen[depth] = following
                        depth, following = depth + 1, following + 1
                        break
                    depth -= 1
                    if depth >= 0:
                        following = chosen[depth] + 1
                if depth < 0:
                    break
    return n_configurations, out_motif, out_start, out_strand, out_weight


@compiled
def _may_follow(
    one: int,
    chosen: np.ndarray,
    pattern: np.ndarray,
    start: np.ndarray,
    motif: np.ndarray,
    width: np.ndarray,
    group: np.ndarray,
    ordered: bool,
    positions: np.ndarray,
) -> bool:
    """Whether a candidate may be the next site after those chosen."""
    n = len(chosen)
    if n and start[one] < start[chosen[n - 1]] + width[pattern[chosen[n - 1]]]:
        return False
    if positions.size and start[one] != positions[n]:
        return False
    own = group[motif[pattern[one]]]
    if ordered:
        return own == n
    repeated = False
    for i in range(n):
        repeated |= own >= 0 and own == group[motif[pattern[chosen[i]]]]
    return not repeated


@compiled
def _log_weight(
    length: int,
    chosen: np.ndarray,
    pattern: np.ndarray,
    start: np.ndarray,
    value: np.ndarray,
    width: np.ndarray,
    thresholds: np.ndarray,
    log_number: np.ndarray,
    log_draw: np.ndarray,
    given_positions: bool,
    log_spacing: np.ndarray,
    any_number: bool,
) -> float:
    """Log of how likely a set of sites is, but for what all sets share; -inf where it cannot be."""
    n, total, weight = len(chosen), 0, 0.0
    for i in range(n):
        one = chosen[i]
        weight += value[one]
        total += width[pattern[one]]
        if any_number:
            weight -= thresholds[pattern[one]]
        elif i and log_spacing.size:
            gap = start[one] - start[chosen[i - 1]] - width[pattern[chosen[i - 1]]]
            if gap >= log_spacing.size:
                return -np.inf
            weight += log_spacing[gap]
            total += gap
    if any_number:
        return weight
    weight += log_number[n] + log_draw[n]
    if given_positions or not n:
        return weight
    if log_spacing.size:
        return weight - np.log(length - total + 1)
    free = length - total
    return weight - math.lgamma(free + n + 1) + math.lgamma(free + 1) + math.lgamma(n + 1)
