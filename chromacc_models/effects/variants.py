"""Effects of variants on the logits of a network, exact, and the filters that cause them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import NUCLEOTIDES, encode
from chromacc_data.sequences.genome import Genome
from chromacc_models.effects.alleles import AlleleEffects, AlleleScorer
from chromacc_models.effects.vcf import Alleles
from chromacc_models.scoring.scorer import Scorer

__all__ = [
    "STATUSES",
    "Matched",
    "VariantScores",
    "allele_windows",
    "match_alleles",
    "require_assembly",
    "score_alleles",
    "unscored",
]

#: What can be said of an allele: it was scored; REF is not what the genome has there; nor is it, but ALT is;
#: the genome has no such sequence; the position is not on it; the allele is a symbol, a breakend or absent.
STATUSES = ("scored", "ref_mismatch", "ref_alt_swapped", "unknown_chrom", "past_end", "symbolic")
SCORED, REF_MISMATCH, SWAPPED, UNKNOWN_CHROM, PAST_END, SYMBOLIC = range(len(STATUSES))

_LETTERS = frozenset(NUCLEOTIDES)
#: So many alleles are looked at before a file is said to be of another assembly.
_MANY = 100


class VariantScores(NamedTuple):
    """Scores of alleles; NaN, and -1 for filters, where an allele was not scored.

    Parameters
    ----------
    status
        (allele,) int8: a place in :data:`STATUSES`.
    logit_ref, delta
        Logits with the reference allele, and what the alternative one adds to them, (allele, cell_type)
        float32.
    cell_type
        The cell type with the largest change of its logit, (allele,) int64.
    filter
        Of the filters whose pooled value changes, the one whose contribution to that logit changes most,
        (allele,) int64; -1 where none changes.
    rises
        (allele,) int8: 1 where that filter finds more of its motif, -1 where it finds less.
    filter_ref, filter_alt
        What that filter adds to the logit with either allele, (allele,) float32.
    """

    status: np.ndarray
    logit_ref: np.ndarray
    delta: np.ndarray
    cell_type: np.ndarray
    filter: np.ndarray
    rises: np.ndarray
    filter_ref: np.ndarray
    filter_alt: np.ndarray

    @property
    def logit_alt(self) -> np.ndarray:
        """Logits with the alternative allele, (allele, cell_type) float32."""
        return self.logit_ref + self.delta


class Matched(NamedTuple):
    """Alleles matched with a genome.

    Parameters
    ----------
    status
        (allele,) int8: a place in :data:`STATUSES`.
    chrom
        Code of the chromosome, (allele,) int64; -1 where the genome has none.
    """

    status: np.ndarray
    chrom: np.ndarray


def match_alleles(alleles: Alleles, genome: Genome) -> Matched:
    """Find alleles in a genome, and compare their reference bases with it."""
    known = {name: code for code, name in enumerate(genome.names)}
    chrom = np.array([known.get(name, -1) for name in alleles.chrom], np.int64)
    sizes = np.array([len(ref) for ref in alleles.ref], np.int64)
    status = np.full(len(alleles), SCORED, np.int8)
    for row, (ref, alt) in enumerate(zip(alleles.ref, alleles.alt, strict=True)):
        if not (_LETTERS.issuperset(ref) and _LETTERS.issuperset(alt)):
            status[row] = SYMBOLIC
    placed = status == SCORED
    status[placed & (chrom < 0)] = UNKNOWN_CHROM
    placed &= chrom >= 0
    past = (alleles.position < 0) | (alleles.position + sizes > genome.lengths[np.maximum(chrom, 0)])
    status[placed & past] = PAST_END
    rows = np.flatnonzero(placed & ~past)
    for size in np.unique(sizes[rows]):
        here = rows[sizes[rows] == size]
        there = genome.windows(chrom[here], alleles.position[here], int(size))
        ref = _stack(alleles.ref[here])
        differs = (there != ref).any(axis=1)
        status[here[differs]] = REF_MISMATCH
        same_size = np.array([len(alt) == size for alt in alleles.alt[here]]) & differs
        if same_size.any():
            swapped = (there[same_size] == _stack(alleles.alt[here[same_size]])).all(axis=1)
            status[here[same_size][swapped]] = SWAPPED
    return Matched(status, chrom)


def require_assembly(status: np.ndarray, alleles: Alleles, genome: Genome, where: object) -> None:
    """Raise where most reference alleles differ from the genome, or it has none of the chromosomes.

    Parameters
    ----------
    status, alleles
        The first alleles of a file, and what :func:`match_alleles` found.
    genome
        What they were matched with.
    where
        The file, for the message.

    Raises
    ------
    InputError
        With an example of what was found and expected.
    """
    n_unknown, n_scored = (int((status == kind).sum()) for kind in (UNKNOWN_CHROM, SCORED))
    if n_unknown and n_unknown == (status != SYMBOLIC).sum():
        names = ", ".join(dict.fromkeys(alleles.chrom[:1000]))
        raise InputError(
            "no variant lies on a sequence of the genome",
            where=where,
            found=names[:200],
            expected=", ".join(genome.names[:8]) + (" …" if len(genome.names) > 8 else ""),
            remedy=_other_names(str(alleles.chrom[0]), genome.names),
        )
    differ = np.flatnonzero((status == REF_MISMATCH) | (status == SWAPPED))
    if len(differ) >= _MANY and len(differ) > n_scored:
        row = differ[0]
        raise InputError(
            "most reference alleles are not those of the genome",
            where=where,
            found=f"{len(differ):,} of {len(differ) + n_scored:,} differ; the first, "
            f"{alleles.chrom[row]}:{alleles.position[row] + 1}, has REF {alleles.ref[row][:20]}",
            expected="variants of the assembly of the FASTA",
            remedy="give the FASTA of their assembly, or lift them over (bcftools +liftover, CrossMap)",
        )


def score_alleles(
    scorer: Scorer | AlleleScorer, genome: Genome, alleles: Alleles, matched: Matched
) -> VariantScores:
    """Score alleles by the network's logits of the window around them, with each allele in turn.

    The window is centred on the first reference base, as the one of `predict` is on a region of that base.
    With an allele of another length, what is before it stays, and the window is filled or cut behind it.

    Parameters
    ----------
    scorer
        The network; an :class:`~chromacc_models.effects.alleles.AlleleScorer` where it is used again.
    genome
        What `matched` was made with.
    alleles, matched
        The alleles, and :func:`match_alleles` of them.
    """
    if isinstance(scorer, Scorer):
        scorer = AlleleScorer(scorer)
    found = unscored(matched.status, scorer.scorer.n_cell_types)
    is_scored = matched.status == SCORED
    is_base = np.array([len(r) + len(a) == 2 for r, a in zip(alleles.ref, alleles.alt, strict=True)], bool)
    length = scorer.scorer.window_length
    rows = np.flatnonzero(is_scored & is_base)
    if len(rows):
        alt = _stack(alleles.alt[rows])[:, 0]
        _fill(found, rows, scorer.of_bases(genome, matched.chrom[rows], alleles.position[rows], alt))
    rows = np.flatnonzero(is_scored & ~is_base)
    if len(rows):
        chosen = Alleles(*(column[rows] for column in alleles))
        windows = allele_windows(genome, matched.chrom[rows], chosen, length)
        _fill(found, rows, scorer.of_windows(*windows))
    return found


def unscored(status: np.ndarray, n_cell_types: int) -> VariantScores:
    """Scores of alleles of which nothing is known but their status."""
    n = len(status)
    logit_ref, delta = (np.full((n, n_cell_types), np.nan, np.float32) for _ in range(2))
    cell_type, filters = (np.full(n, -1, np.int64) for _ in range(2))
    added = (np.full(n, np.nan, np.float32) for _ in range(2))
    return VariantScores(status, logit_ref, delta, cell_type, filters, np.zeros(n, np.int8), *added)


def _fill(found: VariantScores, rows: np.ndarray, effects: AlleleEffects) -> None:
    values = effects.logit_ref, effects.delta, *effects.top
    for column, part in zip(found[1:], values, strict=True):
        column[rows] = part


def allele_windows(
    genome: Genome, chrom: np.ndarray, alleles: Alleles, window_length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Base codes of windows with the reference and with the alternative allele, (allele, position) uint8."""
    middle = window_length // 2
    ref = genome.windows(chrom, alleles.position - middle, window_length)
    alt = ref.copy()
    sizes = np.array([(len(r), len(a)) for r, a in zip(alleles.ref, alleles.alt, strict=True)])
    for n_ref, n_alt in np.unique(sizes, axis=0):
        here = np.flatnonzero((sizes == (n_ref, n_alt)).all(axis=1))
        bases = _stack(alleles.alt[here])[:, : window_length - middle]
        stop = middle + bases.shape[1]
        alt[here, middle:stop] = bases
        if n_ref != n_alt and stop < window_length:
            behind = alleles.position[here] + n_ref
            alt[here, stop:] = genome.windows(chrom[here], behind, window_length - stop)
    return ref, alt


def _stack(texts: np.ndarray) -> np.ndarray:
    """Base codes of texts of one length, (text, position)."""
    return encode("".join(texts)).reshape(len(texts), -1)


def _other_names(name: str, names: tuple[str, ...]) -> str:
    if f"chr{name}" in names:
        return "the genome's names begin with chr: give --rename chr"
    if name.removeprefix("chr") in names:
        return "the genome's names lack the chr: give --rename no-chr"
    return "give the FASTA that the variants were called on"
