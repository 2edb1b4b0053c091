"""Where the consensus of a motif occurs in sequences, planted or by accident; removal of accidents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from chromacc_data.compiled import compiled
from chromacc_data.errors import InputError
from chromacc_data.recipe.simulation import SitesRecipe
from chromacc_data.sequences.encoding import N_BASES, reverse_complement
from chromacc_data.sequences.shuffle import below, next_random
from chromacc_data.simulation.sites import Pool, Sites

__all__ = ["Accidents", "Patterns", "count_accidental", "find", "remove_accidental"]

_PREFIX = 6  # bases by which a consensus is looked up
_MAX_ROUNDS = 200  # times that a sequence is searched for accidents again, once some were removed


class Accidents(NamedTuple):
    """Occurrences of each motif's consensus that were not planted.

    Parameters
    ----------
    outside
        (window, motif) uint16: those with one base or more outside all sites.
    inside
        (window, motif) uint16: those that lie wholly in other sites, as where one motif holds another.
    """

    outside: np.ndarray
    inside: np.ndarray


@dataclass(frozen=True, eq=False)
class Patterns:
    """Each motif as it is read on each strand in use, and words to find a consensus by."""

    motif: np.ndarray  # (pattern,) int64
    strand: np.ndarray  # (pattern,) int8
    width: np.ndarray  # (pattern,) int64
    codes: np.ndarray  # (pattern, widest) uint8, on the forward strand
    first: (
        np.ndarray
    )  # (4**k + 1,) int64: patterns that begin with a word of k bases are order[first[w]:first[w + 1]]
    order: np.ndarray  # (pattern,) int64

    @classmethod
    def of(cls, pool: Pool, recipe: SitesRecipe) -> Patterns:
        """Patterns of the motifs of a pool."""
        rows = []
        for index, (codes, width) in enumerate(zip(pool.consensus, pool.widths.tolist(), strict=True)):
            rows.append((index, 1, codes[:width]))
            if recipe.strand == "either":
                rows.append((index, -1, reverse_complement(codes[:width])))
        width = np.array([len(codes) for *_, codes in rows], dtype=np.int64)
        padded = np.zeros((len(rows), int(width.max())), dtype=np.uint8)
        for row, (*_, codes) in zip(padded, rows, strict=True):
            row[: len(codes)] = codes
        k = min(_PREFIX, int(width.min()))
        words = padded[:, :k].astype(np.int64) @ N_BASES ** np.arange(k - 1, -1, -1)
        first = np.searchsorted(np.sort(words), np.arange(N_BASES**k + 1))
        motif = np.array([index for index, *_ in rows], dtype=np.int64)
        strand = np.array([strand for _, strand, _ in rows], dtype=np.int8)
        return cls(motif, strand, width, padded, first, np.argsort(words, kind="stable"))


def count_accidental(codes: np.ndarray, sites: Sites, patterns: Patterns) -> Accidents:
    """Occurrences of each motif's consensus that are no site of it.

    Parameters
    ----------
    codes
        (window, position) uint8, without N.
    sites
        What was planted.
    patterns
        Motifs to look for, on the strands in use.
    """
    n_motifs = int(patterns.motif.max()) + 1
    return Accidents(*_count(codes, sites.motif, sites.start, *_search(patterns), n_motifs))


def remove_accidental(
    codes: np.ndarray, sites: Sites, patterns: Patterns, generator: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Sequences without accidental occurrences outside their sites, and how many bases that took.

    Of each occurrence, one base outside all sites, drawn at random, becomes one of the three others; the
    sequence is then searched again, until there is none. Sites are left alone, and so are occurrences that
    lie wholly in them.

    Parameters
    ----------
    codes, sites, patterns
        As for :func:`count_accidental`; `codes` is left alone.
    generator
        Source of randomness.

    Raises
    ------
    InputError
        If there are some left after 200 rounds, as of motifs so short that nearly any base makes one.
    """
    seeds = generator.integers(0, 1 << 63, size=len(codes), dtype=np.uint64)
    cleaned = codes.copy()
    n_changed, n_left = _remove(cleaned, sites.motif, sites.start, *_search(patterns), seeds)
    if n_left:
        raise InputError(
            "accidental occurrences cannot be removed",
            where="simulation.remove_accidental",
            found=f"{n_left} of {len(codes)} windows with some after {_MAX_ROUNDS} rounds",
            expected="motifs that a window can be without",
            remedy="leave out short motifs, or shorten the windows",
        )
    return cleaned, int(n_changed)


def _search(patterns: Patterns) -> tuple[np.ndarray, ...]:
    return patterns.motif, patterns.width, patterns.codes, patterns.first, patterns.order


@compiled
def find(
    codes: np.ndarray,
    width: np.ndarray,
    pattern_codes: np.ndarray,
    first: np.ndarray,
    order: np.ndarray,
    found: np.ndarray,
    start: np.ndarray,
) -> int:
    """Fill `found` and `start` with the patterns in one sequence, by start; gives how many there are."""
    length, n_words, n = len(codes), len(first) - 1, 0
    k = 0
    while N_BASES**k < n_words:
        k += 1
    word = 0
    for position in range(length):
        word = (word * N_BASES + codes[position]) % n_words
        begin = position - k + 1
        if begin < 0:
            continue
        for index in range(first[word], first[word + 1]):
            pattern = order[index]
            if begin + width[pattern] > length:
                continue
            equal = True
            for i in range(k, width[pattern]):
                if codes[begin + i] != pattern_codes[pattern, i]:
                    equal = False
                    break
            if equal:
                found[n], start[n] = pattern, begin
                n += 1
    return n


@compiled
def _cover(covered: np.ndarray, motif: np.ndarray, start: np.ndarray, width_of_motif: np.ndarray) -> None:
    covered[:] = False
    for site in range(len(motif)):
        if motif[site] >= 0:
            covered[start[site] : start[site] + width_of_motif[motif[site]]] = True


@compiled
def _width_of_motif(motif: np.ndarray, width: np.ndarray) -> np.ndarray:
    widths = np.zeros(motif.max() + 1, dtype=np.int64)
    for pattern in range(len(motif)):
        widths[motif[pattern]] = width[pattern]
    return widths


@compiled
def _is_planted(motif: np.ndarray, start: np.ndarray, wanted: int, where: int) -> bool:
    found = False
    for site in range(len(motif)):
        found |= motif[site] == wanted and start[site] == where
    return found


@compiled
def _count(
    codes: np.ndarray,
    site_motif: np.ndarray,
    site_start: np.ndarray,
    motif: np.ndarray,
    width: np.ndarray,
    pattern_codes: np.ndarray,
    first: np.ndarray,
    order: np.ndarray,
    n_motifs: int,
) -> tuple[np.ndarray, np.ndarray]:
    n_windows, length = codes.shape
    outside = np.zeros((n_windows, n_motifs), dtype=np.uint16)
    inside = np.zeros((n_windows, n_motifs), dtype=np.uint16)
    found = np.empty(length * len(motif), dtype=np.int64)
    start = np.empty(length * len(motif), dtype=np.int64)
    covered = np.empty(length, dtype=np.bool_)
    widths = _width_of_motif(motif, width)
    for row in range(n_windows):
        n = find(codes[row], width, pattern_codes, first, order, found, start)
        _cover(covered, site_motif[row], site_start[row], widths)
        for i in range(n):
            one = motif[found[i]]
            if _is_planted(site_motif[row], site_start[row], one, start[i]):
                continue
            # Its own reverse complement: found on both strands, and one occurrence.
            again = False
            for j in range(i - 1, -1, -1):
                if start[j] != start[i]:
                    break
                again |= motif[found[j]] == one
            if again:
                continue
            if covered[start[i] : start[i] + width[found[i]]].all():
                inside[row, one] += 1
            else:
                outside[row, one] += 1
    return outside, inside


@compiled
def _remove(
    codes: np.ndarray,
    site_motif: np.ndarray,
    site_start: np.ndarray,
    motif: np.ndarray,
    width: np.ndarray,
    pattern_codes: np.ndarray,
    first: np.ndarray,
    order: np.ndarray,
    seeds: np.ndarray,
) -> tuple[int, int]:
    n_windows, length = codes.shape
    found = np.empty(length * len(motif), dtype=np.int64)
    start = np.empty(length * len(motif), dtype=np.int64)
    covered = np.empty(length, dtype=np.bool_)
    widths = _width_of_motif(motif, width)
    n_changed, n_left = 0, 0
    for row in range(n_windows):
        state = seeds[row]
        _cover(covered, site_motif[row], site_start[row], widths)
        changed = False
        for _ in range(_MAX_ROUNDS):
            n = find(codes[row], width, pattern_codes, first, order, found, start)
            changed = False
            for i in range(n):
                begin, end = start[i], start[i] + width[found[i]]
                n_free = end - begin - covered[begin:end].sum()
                # A site itself is covered from end to end, and so has no free base.
                if not n_free:
                    continue
                state, bits = next_random(state)
                skip = below(bits, n_free)
                position = begin
                while covered[position] or skip:
                    if not covered[position]:
                        skip -= 1
                    position += 1
                state, bits = next_random(state)
                codes[row, position] = (codes[row, position] + 1 + below(bits, 3)) % N_BASES
                n_changed += 1
                changed = True
            if not changed:
                break
        n_left += changed
    return n_changed, n_left
