"""Motifs: position probability matrices, positions along the first axis, bases A C G T along the second."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

import numpy as np

from chromacc_data.sequences.encoding import BASES

__all__ = [
    "UNIFORM",
    "Motif",
    "contributions",
    "information",
    "reverse_complement",
    "trim",
]

#: Background of equal base frequencies, shape (4,).
UNIFORM = np.full(4, 0.25)
UNIFORM.setflags(write=False)


@dataclass(frozen=True, eq=False)
class Motif:
    """Sequence pattern of a transcription factor, or of a network's filter.

    Parameters
    ----------
    id
        Identifier, unique in a file; without whitespace.
    ppm
        Probability of each base at each position, shape (width, 4), float64; each row sums to 1.
    name
        Display name, often that of the transcription factor.
    n_sites
        Number of sequences the matrix was counted from, where known.
    background
        Base frequencies that the matrix is compared with, shape (4,).
    url
        Page about the motif.

    Examples
    --------
    >>> import numpy as np, chromacc_data as cd
    >>> ppm = np.array([[0, 0, 1, 0], [0.9, 0, 0, 0.1], [0, 0, 0, 1], [1, 0, 0, 0]])
    >>> motif = cd.Motif("M1", ppm, "GATA1")
    >>> motif
    <Motif M1 (GATA1): GATA>
    >>> motif.width, motif.iupac
    (4, 'GATA')
    """

    id: str
    ppm: np.ndarray
    name: str = ""
    n_sites: float | None = None
    background: np.ndarray = dataclasses.field(default_factory=lambda: UNIFORM)
    url: str = ""

    def __post_init__(self) -> None:
        for field, shape in (("ppm", (-1, 4)), ("background", (4,))):
            array = np.array(getattr(self, field), dtype=np.float64)
            if array.ndim != len(shape) or array.shape[-1] != 4 or not array.size:
                raise ValueError(f"{field} of motif {self.id!r} has shape {array.shape}, expected {shape}")
            sums = array.sum(axis=-1)
            if not (array >= 0).all() or not (abs(sums - 1) <= 1e-6).all():
                raise ValueError(f"{field} of motif {self.id!r} holds no probabilities: sums {sums}")
            array.setflags(write=False)
            object.__setattr__(self, field, array)
        if not self.id or re.search(r"\s", self.id):
            raise ValueError(f"motif id {self.id!r} is empty or has whitespace")

    def __repr__(self) -> str:
        name = f" ({self.name})" if self.name else ""
        return f"<Motif {self.id}{name}: {self.iupac}>"

    @property
    def width(self) -> int:
        """Number of positions."""
        return len(self.ppm)

    @property
    def consensus(self) -> str:
        """Most probable base of each position; the first of A C G T where two are equal.

        >>> Motif("x", np.array([[0.1, 0.2, 0.6, 0.1], [0.5, 0.5, 0, 0]])).consensus
        'GA'
        """
        return "".join(BASES[base] for base in self.ppm.argmax(axis=1))

    @property
    def iupac(self) -> str:
        """Consensus in IUPAC letters, for people: N where no base stands out.

        A base that has more than half and twice the next one; else two that have three quarters together;
        else N (Cavener 1987).

        >>> Motif("x", np.array([[0.1, 0.2, 0.6, 0.1], [0.5, 0.5, 0, 0], [0.25, 0.25, 0.25, 0.25]])).iupac
        'GMN'
        """
        letters = []
        for probabilities in self.ppm:
            order = np.argsort(-probabilities, kind="stable")
            first, second = probabilities[order[:2]]
            if first > 0.5 and first > 2 * second:
                letters.append(BASES[order[0]])
            elif first + second > 0.75:
                letters.append(_TWO_BASES["".join(sorted(BASES[base] for base in order[:2]))])
            else:
                letters.append("N")
        return "".join(letters)

    @property
    def symbol(self) -> str:
        """Name of the transcription factor: CIS-BP writes it as ``(JUND)_(Homo_sapiens)_(DBD_1.00)``."""
        bracketed = re.match(r"\(([^()]+)\)", self.name)
        return bracketed[1] if bracketed else self.name or self.id


#: IUPAC letters of two bases.
_TWO_BASES = {"AC": "M", "AG": "R", "AT": "W", "CG": "S", "CT": "Y", "GT": "K"}


def information(ppm: np.ndarray, *, background: np.ndarray = UNIFORM) -> np.ndarray:
    """Information content of each position in bits: shape (..., width, 4) to (..., width), float64.

    The relative entropy to the background, sum over bases of p log2(p / background): 0 to 2 bits when the
    background is uniform (Schneider et al. 1986, without correction for small samples).

    >>> information(np.array([[1, 0, 0, 0], [0.5, 0, 0, 0.5], [0.25, 0.25, 0.25, 0.25]])).tolist()
    [2.0, 1.0, 0.0]
    """
    ppm = np.asarray(ppm, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(ppm > 0, ppm * np.log2(ppm / background), 0.0)
    # Rounding can leave -1e-17 where the matrix is the background.
    return np.maximum(terms.sum(axis=-1), 0.0)


def contributions(ppm: np.ndarray, *, background: np.ndarray = UNIFORM) -> np.ndarray:
    """Contribution of each base to the information of its position, in bits: shape (..., width, 4) kept.

    Probability times information content of the position, the heights of a sequence logo. A base counts as
    present in a filter where this is above a threshold (thesis, section 3.3).

    >>> contributions(np.array([[0.5, 0, 0, 0.5]])).tolist()
    [[0.5, 0.0, 0.0, 0.5]]
    """
    return np.asarray(ppm, dtype=np.float64) * information(ppm, background=background)[..., None]


def reverse_complement(motif: Motif) -> Motif:
    """The motif on the other strand: positions and bases reversed (A C G T is T G C A there)."""
    return dataclasses.replace(motif, ppm=motif.ppm[::-1, ::-1], background=motif.background[::-1])


def trim(motif: Motif, *, min_information: float = 0.25) -> Motif:
    """The motif without the outer positions of less than `min_information` bits.

    Where no position has as much, the one with the most is kept.

    >>> flat, sharp = [0.25, 0.25, 0.25, 0.25], [0, 0, 1, 0]
    >>> trim(Motif("x", np.array([flat, sharp, flat, sharp, flat]))).consensus
    'GAG'
    """
    bits = information(motif.ppm, background=motif.background)
    informative = np.flatnonzero(bits >= min(min_information, bits.max()))
    return dataclasses.replace(motif, ppm=motif.ppm[informative[0] : informative[-1] + 1])
