"""Sequences that motifs are planted in: Markov chains, shuffled windows of a genome, windows as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numba
import numpy as np

from chromacc_data.files import map_array
from chromacc_data.schema import BASES
from chromacc_data.sequences.encoding import N_CODE
from chromacc_data.sequences.genome import Genome

__all__ = ["Background", "GenomeWindows", "MarkovChain", "shuffle_dinucleotides"]


class Background(Protocol):
    """What gives the sequences of some windows before anything is planted."""

    @property
    def frequencies(self) -> np.ndarray:
        """Frequency of each base, (4,) float64: what a motif stands out from."""

    def sequences(self, generator: np.random.Generator, start: int, stop: int, length: int) -> np.ndarray:
        """Base codes of windows `start` to `stop`, (window, position) uint8, all below 4."""


@dataclass(frozen=True, eq=False)
class MarkovChain:
    """Each base depends on the `order` bases before it; of order 0, on none (thesis, section 3.1.1).

    Parameters
    ----------
    order
        0 to 8.
    probabilities
        (4**order, 4) float64: of each base, after each word of `order` bases. Words are numbers to the base
        4, the first base the highest digit.
    words
        (4**order,) float64: of each word at the beginning.

    Examples
    --------
    >>> chain = MarkovChain.from_composition({"A": 0, "C": 0.5, "G": 0.5, "T": 0})
    >>> codes = chain.sequences(np.random.default_rng(0), 0, 3, 50)
    >>> codes.shape, np.unique(codes).tolist()
    ((3, 50), [1, 2])
    """

    order: int
    probabilities: np.ndarray
    words: np.ndarray

    @classmethod
    def from_composition(cls, composition: Mapping[str, float]) -> MarkovChain:
        """Independent bases with the given probability of each."""
        return cls(0, np.array([[composition[base] for base in BASES]]), np.ones(1))

    @classmethod
    def from_genome(cls, genome: Genome, order: int) -> MarkovChain:
        """The chain of maximum likelihood for all sequences of a genome; N and what follows it are left out.

        Words that the genome does not have are followed by any base with equal chances; a sequence never
        begins with one, and reaches one only after its own end in the genome.
        """
        counts = sum(count_words(genome.codes(name), order + 1) for name in genome.names)
        counts = np.asarray(counts, dtype=np.float64).reshape(-1, len(BASES))
        n_after = counts.sum(axis=1)
        seen = n_after > 0
        probabilities = np.full(counts.shape, 1 / len(BASES))
        probabilities[seen] = counts[seen] / n_after[seen, None]
        return cls(order, probabilities, n_after / n_after.sum())

    @property
    def frequencies(self) -> np.ndarray:
        """Frequency of each base where the words come as often as at the beginning, (4,) float64."""
        return self.words @ self.probabilities

    def sequences(self, generator: np.random.Generator, start: int, stop: int, length: int) -> np.ndarray:
        """Base codes of ``stop - start`` windows, (window, position) uint8."""
        n = stop - start
        word = np.searchsorted(_cumulative(self.words), generator.random(n), side="right")
        return _walk(_cumulative(self.probabilities), word, generator.random((n, length)), self.order)


@dataclass(frozen=True, eq=False)
class GenomeWindows:
    """Windows of a genome, as they are or shuffled.

    Parameters
    ----------
    genome
        What reads their bases.
    places
        Folder with ``chrom.npy`` and ``start.npy``, (window,) each: where each window lies. None of them
        holds N.
    shuffled
        Whether each is shuffled, by :func:`shuffle_dinucleotides`.
    frequencies
        Frequency of each base in the genome, (4,) float64.
    """

    genome: Genome
    places: Path
    shuffled: bool
    frequencies: np.ndarray

    def sequences(self, generator: np.random.Generator, start: int, stop: int, length: int) -> np.ndarray:
        """Base codes of windows `start` to `stop`, (window, position) uint8."""
        chrom, begin = (
            np.array(map_array(self.places / f"{name}.npy")[start:stop]) for name in ("chrom", "start")
        )
        codes = self.genome.windows(chrom, begin, length)
        return shuffle_dinucleotides(codes, generator) if self.shuffled else codes


def shuffle_dinucleotides(codes: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Shuffle sequences so that each keeps its count of every dinucleotide, its first and its last base.

    All sequences with those counts have the same chance (Altschul and Erickson 1985): a sequence is a walk
    over four bases, each dinucleotide an edge; of each base, a last edge is drawn until these lead to the
    last base from everywhere, the other edges are put in random order, and the walk is made anew.

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


@numba.njit(cache=True, nogil=True)
def count_words(codes: np.ndarray, length: int) -> np.ndarray:
    """How often each word of `length` bases is in a sequence of base codes, (4**length,) int64.

    Words are numbers to the base 4, the first base the highest digit; those with N are left out.
    """
    n_words = 4**length
    counts = np.zeros(n_words, dtype=np.int64)
    word, known = 0, 0
    for code in codes:
        if code >= 4:
            known = 0
            continue
        word = (word * 4 + code) % n_words
        known += 1
        if known >= length:
            counts[word] += 1
    return counts


def _cumulative(probabilities: np.ndarray) -> np.ndarray:
    """Upper ends of the shares of [0, 1) along the last axis; that of the last one is above 1."""
    ends = np.cumsum(probabilities, axis=-1)
    return np.where(ends >= ends[..., -1:], 2.0, ends)


@numba.njit(cache=True, nogil=True)
def _walk(ends: np.ndarray, words: np.ndarray, uniform: np.ndarray, order: int) -> np.ndarray:
    n, length = uniform.shape
    codes = np.empty((n, length), dtype=np.uint8)
    n_words = len(ends)
    for row in range(n):
        word = words[row]
        for position in range(min(order, length)):
            codes[row, position] = word // 4 ** (order - 1 - position) % 4
        for position in range(order, length):
            u = uniform[row, position]
            base = (u >= ends[word, 0]) + (u >= ends[word, 1]) + (u >= ends[word, 2])
            codes[row, position] = base
            word = (word * 4 + base) % n_words
    return codes


@numba.njit(cache=True, nogil=True)
def next_random(state: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Next state of a small generator, and 64 random bits (SplitMix64; Steele, Lea and Flood 2014).

    For loops that need a number of draws that is not known before; one state a row keeps rows independent.
    """
    state = state + np.uint64(0x9E3779B97F4A7C15)
    bits = state
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state, bits ^ (bits >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def below(bits: np.uint64, n: int) -> int:
    """An integer from 0 to n - 1 from 64 random bits; n at most 2**20, so that chances are equal to 1e-9."""
    return int(((bits >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@numba.njit(cache=True, nogil=True)
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
