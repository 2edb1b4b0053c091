"""Regions to a result in parts: what the commands on bases share, from the BED file to the finished output.

Tasks each make one part, of the windows of some regions, in any order and any process, and write it whole or
not at all into the working folder next to the output. A run that was killed leaves its parts there, and the
next one with the same inputs makes only the missing ones. So memory is bounded by a part.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chromacc_data.engine import Engine, delayed
from chromacc_data.files import (
    disk_errors,
    file_digest,
)
from chromacc_data.progress import LOG, progress_bar
from chromacc_data.region_windows import RegionWindows
from chromacc_data.regions.bed import read_intervals
from chromacc_data.sequences.encoding import N_CODE
from chromacc_data.sequences.genome import Genome
from chromacc_models.effects.network import AskedNetwork
from chromacc_models.scoring.parts import Parts
from chromacc_models.scoring.predict import file_stamp
from chromacc_models.scoring.saved_network import Network, chosen_cell_types, find_network
from chromacc_models.scoring.standard_streams import refuse_on_a_cluster, regions_file

if TYPE_CHECKING:
    from chromacc_models.training.run import Run

__all__ = ["RegionJob", "make_parts"]

#: Writes the part of some windows to a file: job, rows, base codes, path.
PartMaker = Callable[["RegionJob", slice, np.ndarray, Path], None]


@dataclass(frozen=True)
class RegionJob:
    """A network and the regions that it is asked about, in few bytes: sent to every task.

    Parameters
    ----------
    network
        The network.
    regions
        BED file.
    fasta
        Genome.
    cell_types
        Names of those that are wanted.
    columns
        Which outputs of the network they are.
    """

    network: Network
    regions: Path
    fasta: tuple[Path, ...]
    cell_types: tuple[str, ...]
    columns: tuple[int, ...]

    @classmethod
    @contextmanager
    def open(
        cls,
        model: Run | Path | str,
        regions: Path | str,
        fasta: Path | str | Sequence[Path | str],
        cell_types: Sequence[str] | None,
        engine: Engine,
    ) -> Iterator[RegionJob]:
        """A job whose inputs can be read; regions of standard input (``"-"``) are kept in a file meanwhile.

        Raises
        ------
        InputError
            For a network, cell types, regions or a genome that cannot be used.
        """
        refuse_on_a_cluster(engine, regions)
        network = find_network(model)
        known = network.names_of(_asked(network).n_cell_types)
        names, columns = chosen_cell_types(known, cell_types)
        fastas = [fasta] if isinstance(fasta, (str, Path)) else fasta
        with regions_file(regions) as file:
            job = cls(network, file, tuple(Path(path).resolve() for path in fastas), names, columns)
            job._tell_lengths()
            yield job

    def _tell_lengths(self) -> None:
        """Say how many regions are not of the network's length."""
        length, table = self.asked.window_length, read_intervals(self.regions)
        n_others = int((table["end"] - table["start"] != length).sum())
        if n_others:
            LOG.info(
                "%d of %d regions are not %d bp long: taking the %d bp around their midpoints",
                n_others,
                len(self.windows),
                length,
                length,
            )

    @property
    def asked(self) -> AskedNetwork:
        """The network, opened once in a process."""
        return _asked(self.network)

    @property
    def windows(self) -> RegionWindows:
        """Windows around the midpoints of the regions, read once in a process."""
        with _LOCK:
            stamps = tuple(file_stamp(path) for path in (self.regions, *self.fasta))
            return _windows_once(self.regions, self.fasta, self.asked.window_length, stamps)

    def attributes(self) -> dict[str, str]:
        """What is written into outputs about how they were made."""
        return {
            "network": self.network.weights.name,
            "network_sha256": file_digest(self.network.weights),
            "regions": self.regions.name,
            "genome": ", ".join(path.name for path in self.fasta),
            "chromacc": version("chromacc"),
        }

    def key(self, **options: object) -> str:
        """What determines the parts of a result."""
        facts = {
            "attributes": self.attributes(),
            "regions": file_digest(self.regions),
            "genome": [(str(path), file_stamp(path)) for path in self.fasta],
            "cell_types": self.cell_types,
            "options": options,
        }
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def make_parts(job: RegionJob, parts: Parts, maker: PartMaker, engine: Engine, *, show: bool) -> None:
    """Make the parts that are missing, and say how much of the windows is N.

    Parameters
    ----------
    job
        What they are made from.
    parts
        Where they go.
    maker
        Writes one; sent to other processes by its name.
    engine
        Where tasks run.
    show
        Show a bar.
    """
    parts.folder.mkdir(exist_ok=True)
    missing = parts.missing()
    sizes = [parts.span(part).stop - parts.span(part).start for part in missing]
    n_done = parts.n_windows - sum(sizes)
    if n_done:
        LOG.info("resuming: %d of %d regions were finished before", n_done, parts.n_windows)
    tasks = [delayed(_make_part, job, parts, maker, part) for part in missing]
    with progress_bar(parts.n_windows, unit="regions", description="computing", show=show) as bar:
        bar.update(n_done)
        n_unknown = sum(engine.run(tasks, weights=sizes, bar=bar))
    if n_unknown:
        LOG.warning(
            "%d of %d regions are N for more than half of their window: their effects say little",
            n_unknown,
            parts.n_windows,
        )


def _make_part(job: RegionJob, parts: Parts, maker: PartMaker, part: int) -> int:
    """Write one part; gives how many of its windows are mostly N."""
    rows = parts.span(part)
    codes = job.windows.codes(rows)
    path = parts.path(part)
    # Two processes may make the same part where a cluster runs a task again.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    with disk_errors(path):
        maker(job, rows, codes, temporary)
        temporary.replace(path)
    return int((2 * np.count_nonzero(codes == N_CODE, axis=1) > codes.shape[1]).sum())


# Tasks of one process share the network and the regions. The lock keeps threads from loading them twice.
_LOCK = threading.RLock()


def _asked(network: Network) -> AskedNetwork:
    with _LOCK:
        return _asked_once(network, file_stamp(network.weights))


@functools.lru_cache(maxsize=1)
def _asked_once(network: Network, _stamp: tuple) -> AskedNetwork:
    return AskedNetwork.open(network)


@functools.lru_cache(maxsize=1)
def _windows_once(
    regions: Path, fasta: tuple[Path, ...], window_length: int, _stamps: tuple
) -> RegionWindows:
    return RegionWindows.read(regions, Genome.open(fasta), window_length)
