"""The truth of a simulated store: its motifs and models, the ideal observer's AUROC, and its check."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from chromacc_data.errors import CheckError, InputError
from chromacc_data.motifs.motif import Motif
from chromacc_data.ranks import auroc
from chromacc_data.recipe.simulation import Pair
from chromacc_data.sequences.encoding import N_BASES, codes_from_one_hot, decode, encode, reverse_complement
from chromacc_data.simulation.accessibility import Model, ModelOnRecord
from chromacc_data.simulation.sites import Pool, Sites
from chromacc_data.store import schema
from chromacc_data.store.read import open_store, read_variable, read_window_block
from chromacc_data.typed_values import Options, from_json, option

__all__ = ["Truth", "ceiling", "check_truth", "every_occurrence", "is_simulated", "read_truth"]


@dataclass(frozen=True, eq=False)
class Truth:
    """What decides the labels of a simulated store.

    Parameters
    ----------
    pool
        Motifs, in the order of the store's dimension `motif`, and which of them are decoys.
    models
        Accessibility model of each cell type, in the order of the store.
    bases
        ``consensus`` or ``sampled``: how sites were written.
    """

    pool: Pool
    models: tuple[Model, ...]
    bases: str

    @property
    def contributions(self) -> np.ndarray:
        """Contribution of a site of each motif, (cell_type, motif) float64."""
        return np.array(
            [[model.contributions.get(name, 0.0) for name in self.pool.names] for model in self.models]
        )

    @property
    def thresholds(self) -> np.ndarray:
        """Score from which on a window is open, (cell_type,) float64."""
        return np.array([model.threshold for model in self.models])

    @property
    def written_motifs(self) -> tuple[Motif, ...]:
        """Motifs as sites have them: where consensus was written, with the one base at each position."""
        if self.bases != "consensus":
            return self.pool.motifs
        certain = np.eye(4)
        return tuple(Motif(m.id, certain[encode(m.consensus)], m.name) for m in self.pool.motifs)

    def __repr__(self) -> str:
        models = ", ".join(f"{model.cell_type} ({model.model})" for model in self.models)
        return f"<Truth: motifs {', '.join(self.pool.names)}, {self.bases} sites; cell types {models}>"

    def pairs(self, cell_type: str) -> tuple[Pair, ...]:
        """Pairs of motifs that act together in a cell type."""
        return next(model.pairs for model in self.models if model.cell_type == cell_type)

    def to_json(self) -> str:
        """The text of the attribute `truth`; probabilities come back to the last bit."""
        motifs = [
            {
                "name": name,
                "id": motif.id,
                "full_name": motif.name,
                "consensus": motif.consensus,
                "decoy": name in self.pool.decoys,
                "ppm": motif.ppm.tolist(),
            }
            for name, motif in zip(self.pool.names, self.pool.motifs, strict=True)
        ]
        models = [model.to_json() for model in self.models]
        return json.dumps({"bases": self.bases, "motifs": motifs, "models": models})

    @classmethod
    def from_json(cls, text: str, *, where: Path | str = "truth") -> Truth:
        """The truth that :meth:`to_json` wrote; the functions that it names are never run.

        Raises
        ------
        InputError
            If it is damaged.
        """
        said = from_json(_TruthOnRecord, text, where=where, remedy="build the store again")
        pool = Pool(
            tuple(m.name for m in said.motifs),
            tuple(Motif(m.id, np.array(m.ppm, np.float64), m.full_name) for m in said.motifs),
            tuple(m.name for m in said.motifs if m.decoy),
        )
        return cls(pool, tuple(map(Model.of_store, said.models)), said.bases)


@dataclass(frozen=True)
class _MotifOnRecord(Options):
    """What a store says of a motif."""

    name: str = option("name in the recipe")
    id: str = option("name in its file")
    full_name: str = option("longer name")
    ppm: tuple[tuple[float, ...], ...] = option("probabilities of A C G T", minimum=0, maximum=1 + 1e-6)
    decoy: bool = option("whether it has no effect", False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.ppm or any(len(row) != N_BASES for row in self.ppm):
            raise InputError("no motif", where="ppm", expected="four probabilities at each position")


@dataclass(frozen=True)
class _TruthOnRecord(Options):
    """The attribute `truth` of a store."""

    bases: Literal["consensus", "sampled"] = option("how sites were written")
    motifs: tuple[_MotifOnRecord, ...] = option("motifs, in the order of the store")
    models: tuple[ModelOnRecord, ...] = option("models, in the order of the cell types")

    def __post_init__(self) -> None:
        super().__post_init__()
        known = {motif.name for motif in self.motifs}
        for index, model in enumerate(self.models):
            used = {*model.contributions, *(name for p in model.pairs for name in (p.first, p.second))}
            if not used <= known:
                raise InputError("an unknown motif", where=f"models[{index}]", found=min(used - known))


def is_simulated(ds: xr.Dataset) -> bool:
    """Whether a store holds simulated windows, with their truth."""
    return schema.ATTR_TRUTH in ds.attrs


def read_truth(store: xr.Dataset | Path | str) -> Truth:
    """Motifs and accessibility models of a simulated store.

    Parameters
    ----------
    store
        An open store, or its path.

    Raises
    ------
    InputError
        If the store is not simulated, or its truth is damaged or that of another store.

    Examples
    --------
    >>> import chromacc_data as cd
    >>> from chromacc_data.examples import example_store
    >>> truth = cd.read_truth(example_store())
    >>> truth.pool.motifs[0], truth.models[0].contributions
    (<Motif GATA1 (GATA1): AGATAAG>, {'GATA1': 1.0})
    """
    ds = store if isinstance(store, xr.Dataset) else open_store(store)
    if not is_simulated(ds):
        raise InputError(
            "the store has no truth",
            where=ds.encoding.get("source", "store"),
            expected="a simulated set",
            remedy="build a recipe with `simulation`, such as datasets/additive-20/recipe.yaml",
        )
    where = f"{ds.encoding.get('source', 'store')}, attribute {schema.ATTR_TRUTH!r}"
    truth = Truth.from_json(ds.attrs[schema.ATTR_TRUTH], where=where)
    for dim, names in (
        (schema.MOTIF, truth.pool.names),
        (schema.CELL_TYPE, tuple(model.cell_type for model in truth.models)),
    ):
        if tuple(map(str, ds[dim].values)) != names:
            raise InputError(
                "is damaged",
                where=where,
                found=f"{dim} {', '.join(names[:8])}",
                expected=", ".join(map(str, ds[dim].values[:8])),
                remedy="build the store again",
            )
    return truth


def read_sites(ds: xr.Dataset, start: int, stop: int) -> Sites:
    """Planted sites of windows `start` to `stop` of a simulated store."""
    variables = (schema.SITE_MOTIF, schema.SITE_START, schema.SITE_STRAND)
    return Sites(*(read_window_block(ds, variable.name, start, stop) for variable in variables))


def ceiling(ds: xr.Dataset, *, indices: Sequence[int] | np.ndarray | None = None) -> dict[str, float]:
    """AUROC of an ideal observer of the planted motifs, by cell type.

    The observer sees the sequence alone, accidental occurrences included, and knows exactly how such
    sequences are made. It ranks windows by their probability of being open
    (:func:`~chromacc_data.simulation.posterior.enumerate_configurations`). No other ranking does better;
    where that probability is an estimate (see there), so is the ceiling, from below.

    Parameters
    ----------
    ds
        An open simulated store.
    indices
        Windows to look at, such as ``split_indices(ds, "test")``; all when None.

    Raises
    ------
    InputError
        If the store is not simulated, or its truth is damaged or that of another store.
    """
    read_truth(ds)
    rows = slice(None) if indices is None else indices
    score = read_variable(ds, schema.OPEN_PROBABILITY.name)[rows]
    label = read_variable(ds, schema.ACCESSIBILITY.name)[rows]
    names = [str(name) for name in ds[schema.CELL_TYPE].values]
    return {name: auroc(score[:, i], label[:, i]) for i, name in enumerate(names)}


def every_occurrence(
    ds: xr.Dataset, *, indices: Sequence[int] | np.ndarray | None = None
) -> dict[str, float]:
    """AUROC when every consensus occurrence is scored as a site, by cell type.

    The score is the sum of their true contributions: accidental occurrences are not told from sites.
    Occurrences inside other sites do not count: they can be subtracted from the motif that contains them.
    This is not an upper bound: giving less weight to motifs with accidental occurrences may score slightly
    better. Only for additive cell types, and only where sites are written as consensus, not sampled.

    Parameters
    ----------
    ds, indices
        As in :func:`ceiling`.

    Raises
    ------
    InputError
        If the store is not simulated, or its truth is damaged or that of another store.
    """
    truth = read_truth(ds)
    if truth.bases != "consensus":
        return {}
    rows = slice(None) if indices is None else indices
    accidental = read_variable(ds, schema.ACCIDENTAL.name)[rows]
    score = read_variable(ds, schema.SCORE.name)[rows] + accidental @ truth.contributions.T
    score = score.round(9)  # sums of the same sites are ties, in whatever order they were added up
    label = read_variable(ds, schema.ACCESSIBILITY.name)[rows]
    return {
        model.cell_type: auroc(score[:, i], label[:, i])
        for i, model in enumerate(truth.models)
        if model.model == "additive"
    }


def check_truth(ds: xr.Dataset, rows: np.ndarray, *, path: Path | str = "store") -> None:
    """Check sequences, scores and labels of some windows of a simulated store against the truth in it.

    Window by window, from the text of the sequence and the attribute `truth`, not with the code that planted
    the sites: each site lies in its window and overlaps none, its bases are those of its motif, scores are
    those of the sites, labels those of the scores. The scores of a user's function are taken as they are.

    Parameters
    ----------
    ds
        An open simulated store.
    rows
        Windows to check.
    path
        Name of the store, for the errors.

    Raises
    ------
    CheckError
        At the first thing that does not hold.
    """
    truth = read_truth(ds)
    chunk = int(ds.attrs[schema.ATTR_WINDOW_CHUNK])
    for index in np.unique(rows // chunk):
        first = int(index) * chunk
        stop = min(first + chunk, ds.sizes[schema.WINDOW])
        codes = codes_from_one_hot(read_window_block(ds, schema.SEQUENCE.name, first, stop))
        sites = read_sites(ds, first, stop)
        score, label = (
            read_window_block(ds, variable.name, first, stop)
            for variable in (schema.SCORE, schema.ACCESSIBILITY)
        )
        for row in rows[rows // chunk == index] - first:
            where = f"{path} window {first + row}"
            _check_sites(decode(codes[row]), [s[row] for s in sites], truth, where=where)
            for i, model in enumerate(truth.models):
                _check_score(
                    model, [s[row] for s in sites], score[row, i], label[row, i], truth.pool, where=where
                )


def _check_sites(sequence: str, sites: Sequence[np.ndarray], truth: Truth, *, where: str) -> None:
    if set(sequence) - set(schema.BASES):
        raise CheckError("a simulated sequence with unknown bases", where=where, found=sequence[:60])
    end = 0
    for motif, start, strand in zip(*(s.tolist() for s in sites), strict=True):
        if motif == schema.NO_SITE:
            continue
        name, width = truth.pool.names[motif], truth.pool.motifs[motif].width
        if not end <= start <= len(sequence) - width:
            found, expected = f"{start} to {start + width}", f"between {end} and {len(sequence)}"
            raise CheckError(
                f"the site of {name} overlaps another, or an end", where=where, found=found, expected=expected
            )
        if strand not in (1, -1):
            raise CheckError(
                f"invalid strand of a site of {name}", where=where, found=strand, expected="1 or -1"
            )
        end = start + width
        found = sequence[start:end]
        if strand < 0:
            found = decode(reverse_complement(encode(found)))
        ppm = truth.pool.motifs[motif].ppm
        possible = all(ppm[i, schema.BASES.index(base)] > 0 for i, base in enumerate(found))
        consensus = truth.pool.motifs[motif].consensus
        if not possible or (truth.bases == "consensus" and found != consensus):
            raise CheckError(
                f"no site of {name} at {start}",
                where=where,
                found=f"{found} (strand {'+' if strand > 0 else '-'})",
                expected=consensus if truth.bases == "consensus" else f"bases that {name} can have",
                remedy="build the store again",
            )


def _check_score(
    model: Model, sites: Sequence[np.ndarray], score: float, label: int, pool: Pool, *, where: str
) -> None:
    if model.function is None:
        expected = _naive_score(model, sites, pool)
        if score != expected:
            raise CheckError(
                f"the score for {model.cell_type!r} is not that of the sites",
                where=where,
                found=score,
                expected=expected,
            )
    if label != (score >= model.threshold):
        raise CheckError(
            f"the label of {model.cell_type!r} is not that of the score",
            where=where,
            found=int(label),
            expected=f"{int(score >= model.threshold)}: score {score:g}, threshold {model.threshold:g}",
            remedy="build the store again",
        )


def _naive_score(model: Model, sites: Sequence[np.ndarray], pool: Pool) -> float:
    """Score of one window by the words of the documentation, pair by pair."""
    found = [
        (pool.names[motif], start, start + pool.motifs[motif].width, strand)
        for motif, start, strand in zip(*(s.tolist() for s in sites), strict=True)
        if motif != schema.NO_SITE
    ]
    score = 0.0
    for name, *_ in found:
        score += model.contributions.get(name, 0.0)
    for pair in model.pairs:
        if any(
            _is_pair(pair, a, b)
            for a in found
            for b in found
            if a is not b and (a[0], b[0]) == (pair.first, pair.second)
        ):
            score += pair.contribution
    return score


def _is_pair(pair: Pair, first: tuple, second: tuple) -> bool:
    (_, _, left_end, left_strand), (_, right_start, _, right_strand) = sorted(
        (first, second), key=lambda s: s[1]
    )
    gap = right_start - left_end
    if gap < pair.min_gap or (pair.max_gap is not None and gap > pair.max_gap):
        return False
    orientation = {(1, 1): "same", (-1, -1): "same", (1, -1): "convergent", (-1, 1): "divergent"}
    if pair.orientation not in ("any", orientation[left_strand, right_strand]):
        return False
    downstream = (second[1] > first[1]) == (first[3] > 0)
    return pair.order == "any" or downstream
