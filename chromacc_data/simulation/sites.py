"""Sites of motifs in windows: which motif, where, on which strand; drawn at random, and planted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from chromacc_data.compiled import compiled
from chromacc_data.errors import InputError
from chromacc_data.motifs.files import read_motifs
from chromacc_data.motifs.motif import Motif, trim
from chromacc_data.recipe.simulation import MotifsRecipe, SitesRecipe
from chromacc_data.sequences.encoding import N_BASES, encode, reverse_complement
from chromacc_data.store.schema import NO_SITE

__all__ = ["Pool", "Sites", "draw_bases", "draw_sites", "plant", "read_pool", "require_room"]


class Sites(NamedTuple):
    """Sites of some windows, from left to right; windows with fewer are filled up at the end.

    Parameters
    ----------
    motif
        (window, site) int16, index of the motif in its pool; -1 where there is no site.
    start
        (window, site) int32, 0-based start in the window; -1 where there is no site.
    strand
        (window, site) int8, 1 or -1; 0 where there is no site.
    """

    motif: np.ndarray
    start: np.ndarray
    strand: np.ndarray


@dataclass(frozen=True, eq=False)
class Pool:
    """Motifs that may be planted, by the names that the recipe gives them."""

    names: tuple[str, ...]
    motifs: tuple[Motif, ...]
    decoys: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def widths(self) -> np.ndarray:
        """Positions of each motif, (motif,) int64."""
        return np.array([motif.width for motif in self.motifs], dtype=np.int64)

    @property
    def consensus(self) -> np.ndarray:
        """Base codes of each motif's consensus, (motif, widest) uint8; 0 past its end."""
        codes = np.zeros((len(self), int(self.widths.max())), dtype=np.uint8)
        for row, motif in zip(codes, self.motifs, strict=True):
            row[: motif.width] = encode(motif.consensus)
        return codes

    @property
    def ppms(self) -> np.ndarray:
        """Probabilities of each motif, (motif, widest, 4) float64; 1 for A past its end."""
        ppms = np.zeros((len(self), int(self.widths.max()), N_BASES))
        ppms[..., 0] = 1
        for rows, motif in zip(ppms, self.motifs, strict=True):
            rows[: motif.width] = motif.ppm
        return ppms


def read_pool(recipe: MotifsRecipe, files: Sequence[Path], *, where: str = "simulation.motifs") -> Pool:
    """The motifs of a recipe, from its files and its sequences, in the order of the recipe.

    Parameters
    ----------
    recipe
        What to take.
    files
        Local file of each of `recipe.files`.
    where
        Key of the recipe, for the errors.

    Raises
    ------
    InputError
        A name that no motif or more than one has, a name given twice, a decoy that is none of them.

    Examples
    --------
    >>> pool = read_pool(MotifsRecipe(sequences={"x": "ACG", "y": "TT"}), [])
    >>> pool.names, pool.widths.tolist(), pool.consensus.tolist()
    (('x', 'y'), [3, 2], [[0, 1, 2], [3, 3, 0]])
    """
    found = [(path, motif) for path in files for motif in read_motifs(path)]
    if recipe.names is None:
        symbols = [motif.symbol for _, motif in found]
        chosen = {motif.id if symbols.count(motif.symbol) > 1 else motif.symbol: motif for _, motif in found}
        if len(chosen) < len(found):
            raise InputError(
                "a motif in two files", where=f"{where}.files", remedy="leave one of the files out"
            )
    else:
        chosen = {name: _find(name, found, where=where) for name in recipe.names}
    if recipe.min_information is not None:
        chosen = {n: trim(m, min_information=recipe.min_information) for n, m in chosen.items()}
    for name, sequence in recipe.sequences.items():
        if name in chosen:
            raise InputError("name given twice", where=f"{where}.sequences", found=name, remedy="rename one")
        chosen[name] = Motif(name, np.eye(N_BASES)[encode(sequence)])
    absent = [name for name in recipe.decoys if name not in chosen]
    if absent:
        raise InputError(
            "a decoy that is not among the motifs",
            where=f"{where}.decoys",
            found=absent[0],
            expected=_some(chosen),
        )
    return Pool(tuple(chosen), tuple(chosen.values()), recipe.decoys)


def require_room(pool: Pool, recipe: SitesRecipe, length: int, *, where: str = "simulation.sites") -> None:
    """Raise unless the sites of a recipe have room in a window without overlapping, whatever is drawn.

    Raises
    ------
    InputError
        Also where there are fewer motifs than sites that must differ.
    """
    widths, n = pool.widths, recipe.max_sites
    if not recipe.groups and not recipe.repeats and n > len(pool):
        raise InputError(
            "more sites than motifs",
            where=f"{where}.number",
            found=f"{n} sites, {len(pool)} motifs",
            expected=f"at most {len(pool)}, or `repeats: true`",
        )
    if recipe.groups:
        widest = [max(int(widths[pool.names.index(name)]) for name in group) for group in recipe.groups]
    elif recipe.repeats:
        widest = [int(widths.max())] * n
    else:
        widest = np.sort(widths)[::-1][:n].tolist()
    if recipe.positions:
        # Without groups any motif can come first: the widest may stand at each position.
        at = widest if recipe.groups else [int(widths.max())] * n
        for i, (start, width, end) in enumerate(
            zip(recipe.positions, at, [*recipe.positions[1:], length], strict=True)
        ):
            last = i == n - 1
            if start + width > end:
                raise InputError(
                    "motifs that would overlap at these positions",
                    where=f"{where}.positions",
                    found=f"a motif of {width} bp at {start}",
                    expected=f"an end at {end} or before, where the {'window ends' if last else 'next is'}",
                    remedy="positions further apart, or narrower motifs",
                )
        return
    needed = sum(widest) + max(recipe.spacings, default=0) * max(n - 1, 0)
    if needed > length:
        raise InputError(
            "motifs that cannot fit without overlapping",
            where=where,
            found=f"{n} sites of up to {needed} bp together" + (", with spacings" if recipe.spacings else ""),
            expected=f"at most {length} bp, the length of the windows",
            remedy="fewer sites, narrower motifs, or longer windows",
        )


def draw_sites(
    generator: np.random.Generator, n_windows: int, pool: Pool, recipe: SitesRecipe, length: int
) -> Sites:
    """Sites of windows, never overlapping: arrays of shape (window, `recipe.max_sites`).

    With `number`, each motif has the same chance, and without `repeats` none comes twice. With neither
    positions nor spacings, all arrangements in which the sites do not overlap have the same chance, and
    groups come in random order; otherwise groups stand in the order of the recipe.

    Parameters
    ----------
    generator
        Source of randomness.
    n_windows, length
        Windows wanted, and bp of each.
    pool, recipe
        What to draw from, and how; checked by :func:`require_room`.

    Examples
    --------
    >>> pool = read_pool(MotifsRecipe(sequences={"x": "ACG", "y": "TT"}), [])
    >>> recipe = SitesRecipe(groups=(("x",), ("y",)), positions=(1, 6))
    >>> draw_sites(np.random.default_rng(0), 2, pool, recipe, 10)
    Sites(motif=array([[0, 1],
           [0, 1]], dtype=int16), start=array([[1, 6],
           [1, 6]], dtype=int32), strand=array([[1, 1],
           [1, 1]], dtype=int8))
    """
    most = recipe.max_sites
    weights = np.asarray(recipe.weights, dtype=np.float64)
    n_sites = generator.choice(weights.size, size=n_windows, p=weights / weights.sum())
    motif = _draw_motifs(generator, n_windows, pool, recipe)
    is_site = np.arange(most) < n_sites[:, None]
    width = np.where(is_site, pool.widths[motif], 0)
    if recipe.positions:
        start = np.broadcast_to(np.array(recipe.positions), motif.shape)
    elif recipe.spacings:
        start = _draw_row(generator, width, n_sites, np.array(recipe.spacings), length)
    else:
        start = _draw_apart(generator, width, n_sites, length)
    strand = np.ones(motif.shape, dtype=np.int8)
    if recipe.strand == "either":
        strand -= 2 * generator.integers(0, 2, motif.shape, dtype=np.int8)
    return Sites(
        np.where(is_site, motif, NO_SITE).astype(np.int16),
        np.where(is_site, start, NO_SITE).astype(np.int32),
        np.where(is_site, strand, 0).astype(np.int8),
    )


def draw_bases(generator: np.random.Generator, sites: Sites, pool: Pool, recipe: SitesRecipe) -> np.ndarray:
    """Bases of each site, on its own strand, (window, site, widest) uint8; without meaning past its end."""
    if recipe.bases == "consensus":
        return pool.consensus[sites.motif]
    ends = np.cumsum(pool.ppms, axis=-1)
    # Rounding must not give a base of probability 0: the last possible one takes what is left.
    ends[ends >= ends[..., -1:]] = 2.0
    uniform = generator.random((*sites.motif.shape, ends.shape[1]))
    return (uniform[..., None] >= ends[sites.motif][..., :3]).sum(axis=-1, dtype=np.uint8)


def plant(codes: np.ndarray, sites: Sites, bases: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Sequences with sites written into them; on strand -1, their reverse complement.

    Parameters
    ----------
    codes
        (window, position) uint8; left alone.
    sites
        Where to write.
    bases
        (window, site, widest) uint8, as :func:`draw_bases` gives them.
    widths
        (motif,) of each motif of the pool.

    Examples
    --------
    >>> from chromacc_data.sequences.encoding import decode
    >>> sites = Sites(np.array([[0, 0]]), np.array([[1, 5]]), np.array([[1, -1]]))
    >>> decode(plant(encode("TTTTTTTTT")[None], sites, encode("AACAAC").reshape(1, 2, 3), np.array([3]))[0])
    'TAACTGTTT'
    """
    planted = codes.copy()
    _plant(planted, *sites, bases, reverse_complement(bases), widths)
    return planted


@compiled
def _plant(
    codes: np.ndarray,
    motif: np.ndarray,
    start: np.ndarray,
    strand: np.ndarray,
    bases: np.ndarray,
    reversed_bases: np.ndarray,
    widths: np.ndarray,
) -> None:
    widest = bases.shape[2]
    for row in range(motif.shape[0]):
        for site in range(motif.shape[1]):
            if motif[row, site] < 0:
                continue
            width, first = widths[motif[row, site]], start[row, site]
            for i in range(width):
                if strand[row, site] > 0:
                    codes[row, first + i] = bases[row, site, i]
                else:
                    codes[row, first + i] = reversed_bases[row, site, widest - width + i]


def _find(name: str, found: Sequence[tuple[Path, Motif]], *, where: str) -> Motif:
    """The motif of this id; where there is none, of this name; else of this transcription factor."""
    for key in ("id", "name", "symbol"):
        matches = [motif for _, motif in found if getattr(motif, key) == name]
        if len(matches) == 1:
            return matches[0]
        if matches:
            ids = ", ".join(motif.id for motif in matches)
            raise InputError(
                f"several motifs are called {name}",
                where=f"{where}.names",
                found=ids,
                remedy="name one by its id",
            )
    files = ", ".join(dict.fromkeys(str(path) for path, _ in found))
    raise InputError(
        "no such motif",
        where=f"{where}.names",
        found=name,
        expected=f"one of the {len(found)} in {files}: {_some(m.symbol for _, m in found)}",
        remedy="correct the name, or give the id",
    )


def _some(names: object) -> str:
    names = sorted(names)
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def _draw_motifs(
    generator: np.random.Generator, n_windows: int, pool: Pool, recipe: SitesRecipe
) -> np.ndarray:
    """Motif of each site, (window, site) int64, in random order or in that of the groups."""
    n = recipe.max_sites
    if recipe.groups:
        columns = []
        for group in recipe.groups:
            members = np.array([pool.names.index(name) for name in group])
            columns.append(members[generator.integers(0, members.size, n_windows)])
        motif = np.stack(columns, axis=1)
        if recipe.positions or recipe.spacings:
            return motif
        return np.take_along_axis(motif, generator.random(motif.shape).argsort(axis=1), axis=1)
    if recipe.repeats:
        return generator.integers(0, len(pool), (n_windows, n))
    return generator.random((n_windows, len(pool))).argsort(axis=1)[:, :n]


def _draw_apart(
    generator: np.random.Generator, width: np.ndarray, n_sites: np.ndarray, length: int
) -> np.ndarray:
    """Starts of sites from left to right, all arrangements without overlap with the same chance.

    With F free positions and n sites, an arrangement is a choice of n of F + n places: how many free
    positions lie before each site. Drawn by Floyd's algorithm, which takes n numbers for n places.
    """
    n_windows, most = width.shape
    free = length - width.sum(axis=1)
    # Windows with fewer sites draw places past the last one: those sort to the end, and mean nothing.
    places = np.full((n_windows, most), np.iinfo(np.int32).max, dtype=np.int64)
    for i in range(most):
        highest = free + i
        drawn = generator.integers(0, highest + 1)
        drawn = np.where((places == drawn[:, None]).any(axis=1), highest, drawn)
        places[:, i] = np.where(i < n_sites, drawn, places[:, i])
    places.sort(axis=1)
    return places - np.arange(most) + np.cumsum(width, axis=1) - width


def _draw_row(
    generator: np.random.Generator, width: np.ndarray, n_sites: np.ndarray, spacings: np.ndarray, length: int
) -> np.ndarray:
    """Starts of sites that stand in a row, with drawn spacings between them, anywhere in the window."""
    most = width.shape[1]
    before = spacings[generator.integers(0, spacings.size, width.shape)]
    before[:, :1] = 0
    before[np.arange(most) >= n_sites[:, None]] = 0
    offset = np.cumsum(width + before, axis=1) - width
    total = (width + before).sum(axis=1)
    return offset + generator.integers(0, length - total + 1)[:, None]
