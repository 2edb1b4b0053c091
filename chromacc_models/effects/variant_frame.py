"""Variants of a DataFrame or a VCF to a DataFrame of scores, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from chromacc_data.errors import InputError
from chromacc_data.sequences.genome import Genome
from chromacc_models.effects.allele_networks import AlleleNetwork
from chromacc_models.effects.background import Background
from chromacc_models.effects.motif_names import names_of_filters
from chromacc_models.effects.variant_table import FIXED_COLUMNS, VariantColumns
from chromacc_models.effects.variants import match_alleles, require_assembly
from chromacc_models.effects.vcf import Alleles, read_alleles
from chromacc_models.scoring.saved_network import Network, chosen_cell_types
from chromacc_models.sharing.kipoi import files as kf

__all__ = ["RENAMES", "Rename", "columns_of", "rename_chromosomes", "require_rename", "score_frame"]

Rename = Literal["chr", "no-chr"]
#: What can be done to names of chromosomes.
RENAMES: tuple[Rename, ...] = ("chr", "no-chr")

_CHUNK = 8192
_REQUIRED = ("chrom", "pos", "ref", "alt")


def score_frame(
    network: AlleleNetwork,
    columns: VariantColumns,
    variants: pd.DataFrame | Path | str,
    genome: Genome,
    *,
    rename: Rename | None = None,
) -> pd.DataFrame:
    """Scores of variants, a row for each alternative allele.

    Parameters
    ----------
    network, columns
        The network, and what is known of it.
    variants
        A VCF, or a DataFrame with columns chrom, pos (1-based), ref and alt, and id if there is one.
    genome
        Of the same assembly.
    rename
        As of :func:`chromacc_models.effects.run_variants.variants`.

    Raises
    ------
    InputError
        For variants that are no such table, or of another assembly.
    """
    require_rename(rename)
    is_frame = isinstance(variants, pd.DataFrame)
    parts = [_alleles_of(variants)] if is_frame else list(read_alleles(variants, chunk=_CHUNK))
    alleles = Alleles(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    renamed = rename_chromosomes(alleles, rename)
    matched = match_alleles(renamed, genome)
    require_assembly(matched.status, renamed, genome, "variants" if is_frame else variants)
    fixed = (alleles.chrom, alleles.position + 1, alleles.id, alleles.ref, alleles.alt)
    table = pd.DataFrame(dict(zip(FIXED_COLUMNS, fixed, strict=True)))
    tables = []
    for first in range(0, len(table), _CHUNK):
        rows = slice(first, first + _CHUNK)
        part = Alleles(*(column[rows] for column in renamed))
        scores = network.score(genome, part, type(matched)(*(column[rows] for column in matched)))
        tables.append(columns.frame(table.iloc[rows], scores))
    found = pd.concat(tables)
    return found.set_axis(variants.index) if is_frame else found


def columns_of(network: Network, alleles: AlleleNetwork, cell_types: Sequence[str] | None) -> VariantColumns:
    """What the table of a network has: cell types, percentiles, and names of motifs.

    Raises
    ------
    InputError
        For unknown cell types, and files of the model's folder that are damaged.
    """
    known = network.names_of(alleles.n_cell_types)
    names, _ = chosen_cell_types(known, cell_types)
    folder, background, motifs = network.weights.parent, None, None
    if (folder / kf.MODEL_FILE).is_file() and (folder / kf.BACKGROUND).is_file():
        kf.require_checksums(folder, kf.read_model_file(folder), (kf.BACKGROUND,))
        background = Background.read(folder / kf.BACKGROUND, known).choose(names)
    if alleles.n_filters is not None:
        is_bare = network.cell_types is None
        motifs = [""] * alleles.n_filters if is_bare else names_of_filters(folder, alleles.n_filters)
    return VariantColumns(names, background, motifs)


def require_rename(rename: str | None) -> None:
    """Raise an InputError for an unknown way to rename chromosomes."""
    if rename not in (None, *RENAMES):
        raise InputError("unknown renaming", where="--rename", found=rename, expected=" or ".join(RENAMES))


def rename_chromosomes(alleles: Alleles, rename: Rename | None) -> Alleles:
    """Alleles with names of chromosomes that begin with ``chr``, or do not."""
    if rename is None:
        return alleles
    bare = [name.removeprefix("chr") for name in alleles.chrom]
    names = [f"chr{name}" for name in bare] if rename == "chr" else bare
    return Alleles(alleles.record, np.array(names, object), *alleles[2:])


def _alleles_of(table: pd.DataFrame) -> Alleles:
    missing = [name for name in _REQUIRED if name not in table]
    if missing or not len(table):
        raise InputError(
            f"columns {', '.join(missing)} are missing" if missing else "has no variants",
            where="variants",
            found=", ".join(map(str, table.columns)) if missing else "an empty table",
            expected="a row for each allele: chrom, pos (1-based), ref, alt",
        )
    text = {name: table[name].to_numpy(object) for name in ("chrom", "ref", "alt")}
    position = table["pos"].to_numpy()
    odd = [name for name, column in text.items() if not all(isinstance(one, str) and one for one in column)]
    if position.dtype.kind not in "iu":
        odd.append("pos")
    if odd:
        raise InputError(
            f"column {odd[0]} has other values than expected",
            where="variants",
            found=f"{table[odd[0]].dtype}, such as {table[odd[0]].iloc[0]!r}",
            expected="integers" if odd[0] == "pos" else "text",
            remedy=f"variants.astype({{{odd[0]!r}: {'int' if odd[0] == 'pos' else 'str'}}})",
        )
    bases = (np.array([one.upper() if one.isalpha() else one for one in text[name]], object) for name in text)
    _, ref, alt = bases
    ids = table["id"].to_numpy(object) if "id" in table else np.full(len(table), ".", object)
    return Alleles(np.arange(len(table)), text["chrom"], position.astype(np.int64) - 1, ids, ref, alt)
