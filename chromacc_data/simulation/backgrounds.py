"""Sequences that motifs are planted in: Markov chains, shuffled windows of a genome, windows as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from chromacc_data.compiled import compiled
from chromacc_data.errors import InputError
from chromacc_data.files import map_array
from chromacc_data.sequences.encoding import BASES, N_BASES
from chromacc_data.sequences.genome import Genome
from chromacc_data.sequences.shuffle import shuffle_dinucleotides

__all__ = ["Background", "GenomeWindows", "MarkovChain"]


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

        Raises
        ------
        InputError
            If the genome has no run of known bases of a word and the base behind it.
        """
        counts = sum(count_words(genome.codes(name), order + 1) for name in genome.names)
        counts = np.asarray(counts, dtype=np.float64).reshape(-1, N_BASES)
        n_after = counts.sum(axis=1)
        if not n_after.any():
            raise InputError(
                "the genome is too short for the order of the background",
                where="simulation.background.order",
                found=f"no run of {order + 1} bases without N for order {order}",
                expected="many times more bases than words of that length",
            )
        seen = n_after > 0
        probabilities = np.full(counts.shape, 1 / N_BASES)
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


@compiled
def count_words(codes: np.ndarray, length: int) -> np.ndarray:
    """How often each word of `length` bases is in a sequence of base codes, (4**length,) int64.

    Words are numbers to the base 4, the first base the highest digit; those with N are left out.
    """
    n_words = N_BASES**length
    counts = np.zeros(n_words, dtype=np.int64)
    word, known = 0, 0
    for code in codes:
        if code >= N_BASES:
            known = 0
            continue
        word = (word * N_BASES + code) % n_words
        known += 1
        if known >= length:
            counts[word] += 1
    return counts


def _cumulative(probabilities: np.ndarray) -> np.ndarray:
    """Upper ends of the shares of [0, 1) along the last axis; that of the last one is above 1."""
    ends = np.cumsum(probabilities, axis=-1)
    return np.where(ends >= ends[..., -1:], 2.0, ends)


@compiled
def _walk(ends: np.ndarray, words: np.ndarray, uniform: np.ndarray, order: int) -> np.ndarray:
    n, length = uniform.shape
    codes = np.empty((n, length), dtype=np.uint8)
    n_words = len(ends)
    for row in range(n):
        word = words[row]
        for position in range(min(order, length)):
            codes[row, position] = word // N_BASES ** (order - 1 - position) % N_BASES
        for position in range(order, length):
            u = uniform[row, position]
            base = (u >= ends[word, 0]) + (u >= ends[word, 1]) + (u >= ends[word, 2])
            codes[row, position] = base
            word = (word * N_BASES + base) % n_words
    return codes
