"""`known_motifs.json`: which known motifs the filters of a network were set to, and which they kept.

A run that begins with known motifs has this file, and so has the model folder made of it. It holds the recipe
of the clusters, what each filter was set to, and, after training, how far it is from that.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chromacc_data.errors import InputError
from chromacc_data.motifs.motif import Motif
from chromacc_data.typed_values import MAX_JSON, Options, from_json, option, read_text

__all__ = [
    "KNOWN_MOTIFS",
    "KNOWN_TABLE",
    "MIN_SIMILARITY",
    "KnownFilter",
    "KnownMotifs",
    "known_names",
    "read_known_motifs",
]

#: Name of the file, in run folders and model folders.
KNOWN_MOTIFS = "known_motifs.json"
#: Table of a run: how far each filter is from its motif.
KNOWN_TABLE = "known_motifs.tsv"

#: Similarity to its motif below which a filter loses the motif's name.
MIN_SIMILARITY = 0.75

_MAKE_AGAIN = "restore it from a copy, or make its folder again"


@dataclass(frozen=True)
class KnownFilter(Options):
    """A filter that was set to a motif."""

    filter: int = option("its index", minimum=0)
    name: str = option("symbols of the motifs of the cluster; long lists are cut")
    motif: str = option("id of the motif that it was set to, which stands for its cluster")
    symbol: str = option("name of that motif")
    members: tuple[str, ...] = option("ids of all motifs of the cluster")
    symbols: tuple[str, ...] = option("their names")
    ppm: tuple[tuple[float, ...], ...] = option("matrix of that motif: a row of A C G T for each position")
    offset: int = option("position of the filter at which the matrix begins; below 0 where it is cut")
    bits: float = option("information of the matrix", minimum=0)
    share_kept: float = option("share of it that is in the filter", minimum=0, maximum=1)
    scale: float = option("factor on the log-odds (nats) of the matrix", minimum=0)
    threshold: float = option("scaled score above which the filter was active at first")
    similarity: float | None = option("after training: correlation of the filter with its motif", None)
    moved: float | None = option("after training: distance from its motif over the motif's size", None)
    size: float | None = option("after training: size of the filter over that of its motif", None)

    @property
    def keeps_name(self) -> bool:
        """Whether the filter still is its motif: similarity of at least :data:`MIN_SIMILARITY`."""
        return self.similarity is None or self.similarity >= MIN_SIMILARITY

    def as_motif(self) -> Motif:
        """The motif that the filter was set to, under the name of its cluster."""
        return Motif(self.motif, np.array(self.ppm), self.name)


@dataclass(frozen=True)
class KnownMotifs(Options):
    """Content of `known_motifs.json`."""

    database: str = option("name of the file of motifs")
    sha256: str = option("its checksum")
    n_motifs: int = option("motifs in it", minimum=1)
    max_e: float = option("Tomtom E-value up to which any two motifs of a cluster match", minimum=0)
    n_clusters: int = option("clusters of motifs", minimum=1)
    mode: str = option("frozen, anchored or free")
    anchoring: float = option("penalty on the squared distance of a filter from its motif", minimum=0)
    active: float = option("share of windows in which each filter was active at first", above=0, maximum=1)
    n_windows: int = option("training windows by which scales and thresholds were chosen", minimum=1)
    n_filters: int = option("filters of the network, those set to motifs first", minimum=1)
    filters: tuple[KnownFilter, ...] = option("filters that were set to motifs")

    def names(self) -> list[str | None]:
        """Name of each filter of the network; None where it began at random or is no longer its motif."""
        names: list[str | None] = [None] * self.n_filters
        for known in self.filters:
            names[known.filter] = known.name if known.keeps_name else None
        return names

    def to_json(self) -> str:
        """The text of the file."""
        return json.dumps(dataclasses.asdict(self), indent=1)


def read_known_motifs(folder: Path | str) -> KnownMotifs | None:
    """What a run folder or model folder says of known motifs; None where its network began without.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    path = Path(folder) / KNOWN_MOTIFS
    if not path.is_file():
        return None
    text = read_text(path, expected="what `train --motifs` writes", limit=MAX_JSON, remedy=_MAKE_AGAIN)
    known = from_json(KnownMotifs, text, where=path, remedy=_MAKE_AGAIN)
    indices = [one.filter for one in known.filters]
    if len(set(indices)) < len(indices) or max(indices, default=0) >= known.n_filters:
        raise InputError(
            "is damaged",
            where=path,
            found=f"filters {', '.join(map(str, indices[:20]))} of {known.n_filters}",
            expected="each filter of the network once at most",
            remedy=_MAKE_AGAIN,
        )
    return known


def known_names(folder: Path | str, n_filters: int) -> list[str | None]:
    """Name of each filter of a network in a run folder or model folder.

    Parameters
    ----------
    folder
        The folder; a bare ``.keras`` file has no names.
    n_filters
        Filters of its network.

    Returns
    -------
    list
        The motif, or cluster of motifs, that the filter was set to and still is; None for a filter that
        began at random or has drifted from its motif (:data:`MIN_SIMILARITY`), and for all filters of a
        network that began without known motifs.

    Raises
    ------
    InputError
        If the file of names is damaged, or of another network.

    Examples
    --------
    >>> from chromacc_models.examples import example_run
    >>> known_names(example_run(), 3)
    [None, None, None]
    """
    known = read_known_motifs(folder)
    if known is None:
        return [None] * n_filters
    if known.n_filters != n_filters:
        raise InputError(
            "names of the filters of another network",
            where=Path(folder) / KNOWN_MOTIFS,
            found=f"{known.n_filters} filters",
            expected=f"{n_filters}, as in the network",
            remedy=_MAKE_AGAIN,
        )
    return known.names()
