"""The inputs of a recipe as local files with their checksums, and the genome among them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial as bind
from pathlib import Path

import dask

from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.files import file_digest
from chromacc_data.progress import LOG
from chromacc_data.recipe.recipe import Recipe, Source
from chromacc_data.sequences.genome import Genome
from chromacc_data.simulation.user_function import UserFunction, function_file, module_file
from chromacc_data.sources.resolve import resolve, resolve_fasta
from chromacc_data.store import schema

__all__ = ["Inputs", "genome_attributes", "open_genome", "resolve_inputs"]


@dataclass(frozen=True)
class Inputs:
    """Local files of a recipe's sources, and what each of them was."""

    fasta: tuple[Path, ...]
    samples: tuple[Path, ...]
    blacklist: Path | None
    fixed: Path | None
    records: tuple[dict[str, str | int], ...]
    motifs: tuple[Path, ...] = ()
    functions: tuple[UserFunction, ...] = ()
    #: Further files of each sample.
    replicates: tuple[tuple[Path, ...], ...] = ()

    def files_of(self, sample: int) -> tuple[Path, ...]:
        """All files of a sample: its own and its replicates."""
        return (self.samples[sample], *self.replicates[sample])

    @property
    def digest(self) -> str:
        """SHA-256 over the checksums of all inputs, in the recipe's order."""
        return hashlib.sha256("\n".join(str(r["sha256"]) for r in self.records).encode()).hexdigest()


def resolve_inputs(
    recipe: Recipe,
    *,
    sources_dir: Path | None,
    cache_dir: Path | None,
    engine: Engine,
    show_progress: bool = False,
) -> Inputs:
    """Local file and SHA-256 of every source of a recipe; downloads what is not there."""
    options = {"base": recipe.folder, "sources_dir": sources_dir, "cache_dir": cache_dir}
    find = bind(resolve, **options, show_progress=show_progress)
    fastas = recipe.genome.fasta if recipe.genome else ()
    fasta = tuple(resolve_fasta(s, **options, show_progress=show_progress) for s in fastas)
    samples = tuple(find(sample.source) for sample in recipe.samples)
    replicates = tuple(tuple(map(find, sample.replicates)) for sample in recipe.samples)
    blacklist = find(recipe.blacklist) if recipe.blacklist else None
    fixed = find(recipe.windows.file) if recipe.windows.file else None
    simulation = recipe.simulation
    motif_sources = simulation.motifs.files if simulation else ()
    motifs = tuple(find(source) for source in motif_sources)
    functions = (
        tuple(_user_function(t.function, find) for t in simulation.targets if t.function)
        if simulation
        else ()
    )

    named: list[tuple[str, Source | str, Path]] = [
        ("genome", source, path) for source, path in zip(fastas, fasta, strict=True)
    ]
    named += [
        (sample.cell_type, source, path)
        for sample, first, others in zip(recipe.samples, samples, replicates, strict=True)
        for source, path in zip((sample.source, *sample.replicates), (first, *others), strict=True)
    ]
    named += [("blacklist", recipe.blacklist, blacklist)] if blacklist else []
    named += [("windows", recipe.windows.file, fixed)] if fixed else []
    named += [("motifs", source, path) for source, path in zip(motif_sources, motifs, strict=True)]
    named += [("function", function.reference, function.path) for function in functions if function.path]
    # Local, whatever the engine: the digests are cached in this process.
    digests = Engine(workers=engine.n_workers).run(
        [dask.delayed(file_digest, traverse=False)(path) for *_, path in named]
    )
    records = tuple(
        {"name": name, "source": str(source), "sha256": digest, "bytes": path.stat().st_size}
        for (name, source, path), digest in zip(named, digests, strict=True)
    )
    known = dict(zip((path for *_, path in named), digests, strict=True))
    functions = tuple(replace(function, digest=known.get(function.path, "")) for function in functions)
    return Inputs(fasta, samples, blacklist, fixed, records, motifs, functions, replicates)


def open_genome(recipe: Recipe, inputs: Inputs) -> Genome | None:
    """The genome of a recipe: the sequences it takes windows from, in its order, with the MD5 it names.

    None where a simulation needs none.

    Raises
    ------
    InputError
        If a sequence is missing, or is not the one that the recipe means.
    """
    if recipe.genome is None:
        return None
    chromosomes = recipe.genome.chromosomes
    if chromosomes is None:
        names = Genome.open(inputs.fasta).names
        chromosomes = tuple(name for name in names if name not in recipe.genome.exclude)
    genome = Genome.open(inputs.fasta, chromosomes=chromosomes)
    LOG.debug("genome %s: %d sequences", recipe.genome.assembly, len(genome.names))
    for name, expected in recipe.genome.md5.items():
        if genome.md5(name) != expected:
            raise InputError(
                f"{name} is not the sequence that the recipe specifies",
                where=", ".join(map(str, inputs.fasta)),
                found=f"MD5 {genome.md5(name)}, {genome.length(name):,} bp",
                expected=f"MD5 {expected} ({recipe.genome.assembly})",
                remedy="use the FASTA of that assembly, or correct `genome.md5` in the recipe",
            )
    return genome


def genome_attributes(recipe: Recipe, genome: Genome | None) -> dict[str, str]:
    """Root attributes of a store that say which genome its windows come from; none without a genome."""
    if genome is None:
        return {}
    sequences = {
        name: {"length": int(length), "md5": genome.md5(name)}
        for name, length in zip(genome.names, genome.lengths, strict=True)
    }
    return {schema.ATTR_GENOME: json.dumps({"assembly": recipe.genome.assembly, "sequences": sequences})}


def _user_function(reference: str, find: Callable[[Source], Path]) -> UserFunction:
    """A target's function, with the file that its code is in."""
    file = function_file(reference)
    return UserFunction(reference, find(Source(file=file)) if file else module_file(reference))
