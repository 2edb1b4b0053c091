"""Sequences with their dinucleotides in another order; the small random generator of compiled loops."""

from __future__ import annotations

import numpy as np

from chromacc_data.compiled import compiled
from chromacc_data.sequences.encoding import N_CODE

__all__ = ["below", "next_random", "shuffle_dinucleotides"]


def shuffle_dinucleotides(codes: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Shuffle sequences so that each keeps its count of every dinucleotide, its first and its last base.

    All sequences with those counts have the same chance (Altschul and Erickson 1985): a sequence is a walk
    over four bases, each dinucleotide an edge; of each base, a last edge is drawn until these lead to the
    last base from everywhere, the other edges are put in random order, and the walk is taken again.

    Parameters
    ----------
    codes
        (window, position) uint8, without N.
    generator
        Source of randomness.

    Returns
    -------
    (window, position) uint8; `codes` is left alone.

    Examples
    --------
    >>> from chromacc_data.sequences.encoding import decode, encode
    >>> shuffled = decode(shuffle_dinucleotides(encode("AACCAAGGA")[None], np.random.default_rng(1))[0])
    >>> sorted(map("".join, zip(shuffled, shuffled[1:])))
    ['AA', 'AA', 'AC', 'AG', 'CA', 'CC', 'GA', 'GG']
    """
    codes = np.ascontiguousarray(codes, dtype=np.uint8)
    if codes.size and codes.max() >= N_CODE:
        raise ValueError("sequences with N cannot be shuffled")
    seeds = generator.integers(0, 1 << 63, size=len(codes), dtype=np.uint64)
    return _shuffle(codes, seeds)


@compiled
def next_random(state: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Next state of a small generator, and 64 random bits (SplitMix64; Steele, Lea and Flood 2014).

    For loops that need a number of draws that is not known before; one state a row keeps rows independent.
    """
    state = state + np.uint64(0x9E3779B97F4A7C15)
    bits = state
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state, bits ^ (bits >> np.uint64(31))


@compiled
def below(bits: np.uint64, n: int) -> int:
    """An integer from 0 to n - 1 from 64 random bits; n at most 2**20, so that chances are equal to 1e-9."""
    return int(((bits >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@compiled
def _shuffle(codes: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    n, length = codes.shape
    out = np.empty_like(codes)
    edges = np.empty((4, max(length, 1)), dtype=np.uint8)  # of each base, what follows it
    n_edges, used = np.empty(4, dtype=np.int64), np.empty(4, dtype=np.int64)
    last = np.empty(4, dtype=np.int64)
    for row in range(n):
        out[row] = codes[row]
        if length < 3:
            continue
        state = seeds[row]
        n_edges[:] = 0
        for position in range(length - 1):
            base = codes[row, position]
            edges[base, n_edges[base]] = codes[row, position + 1]
            n_edges[base] += 1
        end = codes[row, length - 1]
        while True:
            for base in range(4):
                if n_edges[base]:
                    state, bits = next_random(state)
                    last[base] = below(bits, n_edges[base])
            leads = True
            for base in range(4):
                at = base
                for _ in range(4):
                    if at != end and n_edges[at]:
                        at = edges[at, last[at]]
                if n_edges[base] and at != end:
                    leads = False
            if leads:
                break
        for base in range(4):
            n_free = n_edges[base]
            if base != end and n_free:
                n_free -= 1
                edges[base, last[base]], edges[base, n_free] = edges[base, n_free], edges[base, last[base]]
            for i in range(n_free - 1, 0, -1):
                state, bits = next_random(state)
                j = below(bits, i + 1)
                edges[base, i], edges[base, j] = edges[base, j], edges[base, i]
        used[:] = 0
        at = codes[row, 0]
        for position in range(1, length):
            following = edges[at, used[at]]
            used[at] += 1
            out[row, position] = following
            at = following
    return out
