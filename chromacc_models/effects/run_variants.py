"""Variants of a VCF file to scores in a file: what each allele does to the accessibility of its window."""

from __future__ import annotations

import functools
import hashlib
import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chromacc_data.engine import Engine, delayed
from chromacc_data.errors import DiskFullError, InputError
from chromacc_data.files import (
    disk_errors,
    file_digest,
    hold_working_folder,
    publish,
    recover,
    remove_working_folder,
)
from chromacc_data.progress import LOG, progress_bar
from chromacc_data.sequences.genome import Genome
from chromacc_data.sizes import require_disk
from chromacc_models.effects.allele_networks import AlleleNetwork, open_alleles
from chromacc_models.effects.variant_files import ScoredVariants, require_format, write_variants
from chromacc_models.effects.variant_frame import Rename, columns_of, rename_chromosomes, require_rename
from chromacc_models.effects.variant_parts import Plan, VariantParts, score_dtype
from chromacc_models.effects.variant_table import VariantColumns, suffix_of
from chromacc_models.effects.variants import STATUSES, match_alleles, require_assembly
from chromacc_models.effects.vcf import Alleles
from chromacc_models.scoring.predict import require_writable
from chromacc_models.scoring.saved_network import Network, find_network

if TYPE_CHECKING:
    from chromacc_models.training.run import Run

__all__ = ["variants"]

_CHUNK = 8192
#: So many alleles on sequences of the genome are compared with it before anything is computed.
_LOOKED_AT = 1000
_ROW_BYTES = 40  # of a line of alleles


def variants(
    model: Run | Path | str,
    vcf: Path | str,
    genome: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    cell_types: Sequence[str] | None = None,
    rename: Rename | None = None,
    chunk: int = _CHUNK,
    engine: Engine | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
) -> list[Path]:
    """Score the variants of a VCF file: what each allele does to the logits of the window around it.

    Every alternative allele has a row, in the order of the file, with a status: ``scored``; ``ref_mismatch``
    (REF is not what the genome has there); ``ref_alt_swapped`` (nor is it, but ALT is); ``unknown_chrom``;
    ``past_end``; ``symbolic`` (``*``, ``<DEL>``, breakends, no ALT). Effects are exact: those of predicting
    both windows. Safe to interrupt: the same call resumes, and gives the same bytes.

    Parameters
    ----------
    model
        Model folder, run or its folder, or ``.keras`` file.
    vcf
        VCF, plain, gzip or bgzip.
    genome
        FASTA, or several that make it up, of the assembly that the variants are of.
    out
        File; its suffix names the format: .tsv, .tsv.gz, .parquet, .vcf.gz or .zarr.
    cell_types
        The cell types to write, in this order; all when not given.
    rename
        ``"chr"`` puts `chr` before the names of chromosomes that lack it, ``"no-chr"`` takes it off, to find
        them in the genome; the output has the names of the VCF.
    chunk
        Records in one task; what is written does not depend on it.
    engine
        Where the tasks run; local threads when not given. On a cluster, the workers need the files by the
        same paths.
    overwrite
        Replace files that exist.
    show_progress
        Show a bar with rate and time left.

    Returns
    -------
    list of Path
        The files that were written: `out`, and the index of a VCF.

    Raises
    ------
    InputError
        For a network, VCF, genome or output that cannot be used, and for variants of another assembly.

    Examples
    --------
    >>> import pandas as pd, chromacc_models as cm
    >>> from chromacc_data.examples import example_folder
    >>> from chromacc_models.examples import example_run
    >>> folder = example_folder()
    >>> _ = (folder / "genome.fa").write_text(">chr1\\n" + "ACGTTGCA" * 20 + "\\n")
    >>> header = "##fileformat=VCFv4.2\\n#CHROM\\tPOS\\tID\\tREF\\tALT\\tQUAL\\tFILTER\\tINFO\\n"
    >>> _ = (folder / "a.vcf").write_text(header + "chr1\\t80\\trs1\\tA\\tG,*\\t.\\t.\\t.\\n")
    >>> (path,) = cm.variants(example_run(), folder / "a.vcf", folder / "genome.fa", folder / "a.tsv")
    >>> table = pd.read_csv(path, sep="\\t")
    >>> table[["chrom", "pos", "alt", "status"]].values.tolist()
    [['chr1', 80, 'G', 'scored'], ['chr1', 80, '*', 'symbolic']]
    >>> [name for name in table if "liver" in name]
    ['logit_ref_liver', 'logit_alt_liver', 'delta_liver']
    """
    engine, out, vcf = engine or Engine(), Path(out).absolute(), Path(vcf).resolve()
    if chunk < 1:
        raise InputError("records in a task below 1", where="chunk", found=chunk)
    require_rename(rename)
    require_format(out)
    require_writable(_outputs(out), overwrite=overwrite)
    job, columns = _prepare(find_network(model), genome, cell_types, rename)
    with disk_errors(out), _working_parts(out, key=job.key(vcf, chunk)) as parts:
        require_writable(_outputs(out), overwrite=overwrite)  # again: another process may have written it
        plan = parts.plan(vcf, records=chunk, look_at=(assembly := _Assembly(job, vcf)).look_at)
        assembly.require_known()
        rows = plan.n_alleles * (score_dtype(len(columns.cell_types)).itemsize + _ROW_BYTES)
        require_disk(out, 2 * rows, what=f"{plan.n_alleles:,} alleles")
        _score_all(job, parts, plan, engine, show_progress=show_progress)
        scored = ScoredVariants(parts, plan, columns, vcf, _attributes(job, vcf))
        finished = parts.folder / "finished"
        shutil.rmtree(finished, ignore_errors=True)  # of a run that ended while it wrote
        finished.mkdir()
        written = write_variants(scored, finished / out.name)
        _say_counts(scored)
        for path in written:
            publish(path, out.with_name(path.name), overwrite=overwrite)
        if suffix_of(out) == ".vcf.gz" and len(written) == 1:
            for index in _indexes(out):  # of the file that was replaced
                index.unlink(missing_ok=True)
        remove_working_folder(parts.folder)
    return [out.with_name(path.name) for path in written]


@dataclass(frozen=True)
class _Job:
    """What every task needs, in few bytes."""

    network: Network
    genome: Genome
    columns: tuple[int, ...]
    rename: Rename | None

    def alleles(self) -> AlleleNetwork:
        """What scores alleles, for the chosen cell types; opened once in a process."""
        with _LOCK:
            return _open_once(
                self.network.weights, self.network.sha256, self.columns, _stamp(self.network.weights)
            )

    def key(self, vcf: Path, chunk: int) -> str:
        """Digest of all that decides what is computed."""
        files = [vcf, *map(Path, self.genome.paths)]
        stamps = [(str(path), *_stamp(path)) for path in files]
        rest = file_digest(self.network.weights), self.columns, self.rename, chunk, version("chromacc")
        return hashlib.sha256(repr((stamps, rest)).encode()).hexdigest()


def _prepare(
    network: Network,
    genome: Path | str | Sequence[Path | str],
    cell_types: Sequence[str] | None,
    rename: Rename | None,
) -> tuple[_Job, VariantColumns]:
    whole = open_alleles(network.weights, network.sha256)
    columns = columns_of(network, whole, cell_types)
    if whole.n_filters is None:
        LOG.info(
            "%s is computed by Keras, both windows of each allele: slower, and without columns of filters",
            network.weights,
        )
    known = network.names_of(whole.n_cell_types)
    chosen = tuple(known.index(name) for name in columns.cell_types)
    return _Job(network, Genome.open(genome), chosen, rename), columns


@contextmanager
def _working_parts(out: Path, *, key: str) -> Iterator[VariantParts]:
    """The working folder of an output, as a killed run left it; bad input leaves none."""
    with hold_working_folder(out) as folder:
        recover(out)
        parts = VariantParts(folder)
        if parts.claim(key):
            LOG.info("%s: an unfinished run with other inputs or options was removed", folder)
        try:
            yield parts
        except InputError as error:
            if not isinstance(error, DiskFullError) and not parts.has_scores():
                remove_working_folder(folder)
            raise


class _Assembly:
    """Whether the variants of a file are of the genome: looked at while it is read."""

    def __init__(self, job: _Job, where: Path) -> None:
        self._job, self._where = job, where
        self._known, self._n_known = set(job.genome.names), 0
        self._first: Alleles | None = None

    def look_at(self, alleles: Alleles) -> None:
        """Compare the first alleles on sequences of the genome with it."""
        if self._n_known >= _LOOKED_AT:
            return
        self._first = self._first or alleles
        renamed = rename_chromosomes(alleles, self._job.rename)
        rows = np.array([name in self._known for name in renamed.chrom])
        if rows.any():
            self._n_known += int(rows.sum())
            chosen = Alleles(*(column[rows] for column in renamed))
            found = match_alleles(chosen, self._job.genome)
            require_assembly(found.status, chosen, self._job.genome, self._where)

    def require_known(self) -> None:
        """Raise where no variant lies on a sequence of the genome."""
        if self._first is not None and not self._n_known:
            renamed = rename_chromosomes(self._first, self._job.rename)
            found = match_alleles(renamed, self._job.genome)
            require_assembly(found.status, self._first, self._job.genome, self._where)


def _score_all(job: _Job, parts: VariantParts, plan: Plan, engine: Engine, *, show_progress: bool) -> None:
    waiting = parts.unfinished(plan)
    if len(waiting) < plan.n_parts:
        LOG.info("resuming: %d of %d parts are scored", plan.n_parts - len(waiting), plan.n_parts)
    tasks = [delayed(_score_part, job, parts, part) for part in waiting]
    with progress_bar(plan.n_parts, unit="parts", description="scoring", show=show_progress) as bar:
        bar.update(plan.n_parts - len(waiting))
        engine.run(tasks, bar=bar)


def _score_part(job: _Job, parts: VariantParts, part: int) -> None:
    alleles = rename_chromosomes(parts.read_alleles(part), job.rename)
    matched = match_alleles(alleles, job.genome)
    scores = job.alleles().score(job.genome, alleles, matched)
    with disk_errors(parts.folder):
        parts.write_scores(part, scores)


def _say_counts(scored: ScoredVariants) -> None:
    counts: Counter[int] = Counter()
    for _, scores in scored.blocks():
        counts.update(dict(enumerate(np.bincount(scores.status, minlength=len(STATUSES)).tolist())))
    n = sum(counts.values())
    words = [f"{counts[i]:,} {_WORDS[name]}" for i, name in enumerate(STATUSES) if i and counts[i]]
    rest = f"; {', '.join(words)}" if words else ""
    LOG.info("%s of %s alleles scored%s", f"{counts[0]:,}", f"{n:,}", rest)


_WORDS = {
    "ref_mismatch": "with a REF that the genome does not have there",
    "ref_alt_swapped": "with REF and ALT swapped",
    "unknown_chrom": "on sequences that the genome does not have",
    "past_end": "past the end of a sequence",
    "symbolic": "symbolic or without ALT",
}


def _attributes(job: _Job, vcf: Path) -> dict[str, str]:
    return {
        "title": "Effects of variants on chromatin accessibility",
        "network": job.network.weights.name,
        "network_sha256": job.network.sha256 or "",
        "variants": vcf.name,
        "genome": ", ".join(Path(path).name for path in job.genome.paths),
        "chromacc": version("chromacc"),
    }


def _outputs(out: Path) -> list[Path]:
    return [out, *(_indexes(out) if suffix_of(out) == ".vcf.gz" else ())]


def _indexes(out: Path) -> list[Path]:
    return [out.with_name(out.name + suffix) for suffix in (".tbi", ".csi")]


# Tasks of one process share the network. The lock keeps threads from loading it twice.
_LOCK = threading.RLock()


@functools.lru_cache(maxsize=1)
def _open_once(weights: Path, sha256: str | None, columns: tuple[int, ...], stamp: tuple) -> AlleleNetwork:
    return open_alleles(weights, sha256, columns)


def _stamp(path: Path) -> tuple[int, int]:
    """What changes when a file does."""
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(
            "cannot be read", where=path, found=error.strerror, remedy="check the path"
        ) from error
    return status.st_size, status.st_mtime_ns
