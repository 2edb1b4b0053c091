"""The columns of scored variants: one table for every format, and for Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from chromacc_data.names import column_names
from chromacc_models.effects.background import Background
from chromacc_models.effects.variants import STATUSES, VariantScores

__all__ = ["CHANGES", "FIXED_COLUMNS", "QUANTITIES", "TOP_COLUMNS", "VariantColumns"]

#: Columns as they stand in the VCF.
FIXED_COLUMNS = ("chrom", "pos", "id", "ref", "alt")
#: What there is for each cell type; percentiles where the model folder has a background.
QUANTITIES = ("logit_ref", "logit_alt", "delta", "percentile")
#: The largest delta: its cell type, and the filter that causes most of it.
TOP_COLUMNS = ("top_delta", "top_cell_type", "filter", "motif", "filter_change", "filter_share")
#: Words of `filter_change`, by the sign of the change of the filter's pooled value.
CHANGES = {-1: "lost", 0: "", 1: "gained"}


@dataclass(frozen=True)
class VariantColumns:
    """Scores as columns.

    Parameters
    ----------
    cell_types
        Of the scores.
    background
        What effects are usual; None where that is not known.
    motifs
        Name of each filter's motif, "" where it is not known; None for a network whose filters are not looked
        at.
    """

    cell_types: tuple[str, ...]
    background: Background | None = None
    motifs: Sequence[str] | None = None

    @property
    def quantities(self) -> tuple[str, ...]:
        """Those of :data:`QUANTITIES` that there are."""
        return QUANTITIES if self.background is not None else QUANTITIES[:-1]

    @property
    def top(self) -> tuple[str, ...]:
        """Those of :data:`TOP_COLUMNS` that there are."""
        return TOP_COLUMNS if self.motifs is not None else TOP_COLUMNS[:2]

    @property
    def names(self) -> list[str]:
        """Names of all columns after those of the VCF."""
        cell_types = column_names(self.cell_types)
        each = [f"{quantity}_{name}" for name in cell_types for quantity in self.quantities]
        return ["status", *each, *self.top]

    def values(self, scores: VariantScores) -> np.ndarray:
        """What there is for each cell type, (allele, cell_type, quantity) float32."""
        columns = [scores.logit_ref, scores.logit_alt, scores.delta]
        if self.background is not None:
            columns.append(self.background.percentiles(scores.delta))
        return np.stack(columns, axis=2)

    def top_values(self, scores: VariantScores) -> list[np.ndarray]:
        """Columns of :attr:`top`; numbers are NaN and texts "" where there is nothing."""
        rows, at = np.arange(len(scores.status)), scores.cell_type
        delta = np.where(at < 0, np.nan, scores.delta[rows, np.maximum(at, 0)]).astype(np.float32)
        columns = [delta, self._named(at, self.cell_types)]
        if self.motifs is None:
            return columns
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (scores.filter_alt - scores.filter_ref) / delta
        share = np.where(scores.filter < 0, np.nan, share).astype(np.float32)
        share[~np.isfinite(share)] = np.nan
        changes = np.array([CHANGES[-1], CHANGES[0], CHANGES[1]], object)[scores.rises + 1]
        filters = self._named(scores.filter, [f"filter_{i}" for i in range(len(self.motifs))])
        return [*columns, filters, self._named(scores.filter, self.motifs), changes, share]

    def statuses(self, scores: VariantScores) -> np.ndarray:
        """Words of the statuses, (allele,) object."""
        return np.array(STATUSES, object)[scores.status]

    def frame(self, fixed: pd.DataFrame, scores: VariantScores) -> pd.DataFrame:
        """A row for each allele: the columns of the VCF, then :attr:`names`."""
        values = self.values(scores).reshape(len(fixed), -1)
        each = pd.DataFrame(values, columns=self.names[1 : 1 + values.shape[1]], index=fixed.index)
        top = dict(zip(self.top, self.top_values(scores), strict=True))
        status = pd.DataFrame({"status": self.statuses(scores)}, index=fixed.index)
        return pd.concat([fixed, status, each, pd.DataFrame(top, index=fixed.index)], axis=1)

    @staticmethod
    def _named(places: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Names by their places, "" for -1."""
        return np.array([*names, ""], object)[places]


def fixed_columns(lines: Sequence[str]) -> pd.DataFrame:
    """Columns as they stand in the VCF, of tab-separated lines."""
    table = pd.DataFrame([line.split("\t") for line in lines], columns=list(FIXED_COLUMNS), dtype=object)
    return table.assign(pos=table["pos"].astype(np.int64))


def suffix_of(path: Path) -> str:
    """The suffix that names a format: two parts where the last is that of compression.

    >>> suffix_of(Path("a.b.vcf.gz")), suffix_of(Path("a.tsv"))
    ('.vcf.gz', '.tsv')
    """
    return "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
