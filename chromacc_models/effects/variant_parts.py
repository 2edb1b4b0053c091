"""The working folder of a run over variants: the alleles in parts, and the scores of the parts that are done.

A VCF is read once, from its beginning to its end, into parts of a fixed number of records. So bad input is
found before anything is computed, tasks need a part and not the file, and a killed run knows what is left::

    key                   what the parts and their scores are made of
    alleles/0000000.tsv   CHROM POS ID REF ALT of a part, a line for each alternative allele, as in the file
    plan.json             what was found in the file; written when all parts are there
    scores/0000000.npy    scores of a part, a row for each line
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from chromacc_data.files import empty_working_folder, publish, write_text_atomically
from chromacc_models.effects.variants import VariantScores
from chromacc_models.effects.vcf import Alleles, read_alleles

__all__ = ["Plan", "VariantParts", "score_dtype"]


@dataclass(frozen=True)
class Plan:
    """What a file of variants has.

    Parameters
    ----------
    n_parts, n_alleles
        Parts, and rows of all of them.
    is_sorted
        Whether its records are in order: of a sequence side by side, by position.
    last_position
        The highest, 0-based.
    """

    n_parts: int
    n_alleles: int
    is_sorted: bool
    last_position: int


def score_dtype(n_cell_types: int) -> np.dtype:
    """A row of scores: the fields of :class:`~chromacc_models.effects.variants.VariantScores`."""
    per_cell_type = (np.float32, (n_cell_types,))
    kinds = (np.int8, per_cell_type, per_cell_type, np.int32, np.int32, np.int8, np.float32, np.float32)
    return np.dtype([(name, *_pair(kind)) for name, kind in zip(VariantScores._fields, kinds, strict=True)])


@dataclass(frozen=True)
class VariantParts:
    """The working folder, which this process, or the one that sent it, holds."""

    folder: Path

    def claim(self, key: str) -> bool:
        """Begin with an empty folder, unless what is there has this key; gives whether something was lost."""
        file = self.folder / "key"
        found = file.read_text() if file.exists() else None
        if found == key:
            return False
        had_scores = self.has_scores()
        empty_working_folder(self.folder)
        write_text_atomically(file, key)
        return had_scores

    def has_scores(self) -> bool:
        """Whether a part is finished."""
        return any((self.folder / "scores").glob("*.npy"))

    def plan(self, vcf: Path, *, records: int, look_at: Callable[[Alleles], None]) -> Plan:
        """Read a VCF into parts of so many records, unless it was; `look_at` may refuse its alleles."""
        file = self.folder / "plan.json"
        if file.exists():
            return Plan(**json.loads(file.read_text()))
        shutil.rmtree(self.folder / "alleles", ignore_errors=True)
        (self.folder / "alleles").mkdir()
        order, n_parts, n_alleles = _Order(), 0, 0
        for alleles in read_alleles(vcf, chunk=records):
            look_at(alleles)
            order.see(alleles)
            columns = (alleles.chrom, alleles.position + 1, alleles.id, alleles.ref, alleles.alt)
            lines = "".join([f"{c}\t{p}\t{i}\t{r}\t{a}\n" for c, p, i, r, a in zip(*columns, strict=True)])
            self._alleles(n_parts).write_text(lines, encoding="utf-8", newline="")
            n_parts, n_alleles = n_parts + 1, n_alleles + len(alleles)
        plan = Plan(n_parts, n_alleles, order.is_sorted, order.last_position)
        write_text_atomically(file, json.dumps(asdict(plan)))
        return plan

    def unfinished(self, plan: Plan) -> list[int]:
        """Parts without scores."""
        (self.folder / "scores").mkdir(exist_ok=True)
        return [part for part in range(plan.n_parts) if not self._scores(part).exists()]

    def read_lines(self, part: int) -> list[str]:
        """CHROM, POS, ID, REF and ALT of each allele of a part, tab-separated."""
        return self._alleles(part).read_bytes().decode().split("\n")[:-1]

    def read_alleles(self, part: int) -> Alleles:
        """The alleles of a part; `record` numbers the rows."""
        return parse_lines(self.read_lines(part))

    def write_scores(self, part: int, scores: VariantScores) -> None:
        """Keep the scores of a part: they are there whole or not at all."""
        rows = np.empty(len(scores.status), score_dtype(scores.delta.shape[1]))
        for name, column in zip(scores._fields, scores, strict=True):
            rows[name] = column
        path = self._scores(part)
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("wb") as file:
            np.save(file, rows)
        publish(unfinished, path)

    def read_scores(self, part: int) -> VariantScores:
        """Scores of a finished part."""
        rows = np.load(self._scores(part))
        return VariantScores(*(np.ascontiguousarray(rows[name]) for name in rows.dtype.names))

    def _alleles(self, part: int) -> Path:
        return self.folder / "alleles" / f"{part:07d}.tsv"

    def _scores(self, part: int) -> Path:
        return self.folder / "scores" / f"{part:07d}.npy"


def parse_lines(lines: list[str]) -> Alleles:
    """Alleles of lines as :meth:`VariantParts.read_lines` gives them."""
    fields = "\t".join(lines).split("\t")
    chrom, id_, ref, alt = (np.array(fields[i::5], object) for i in (0, 2, 3, 4))
    position = np.array(list(map(int, fields[1::5])), np.int64)
    return Alleles(np.arange(len(lines)), chrom, position - 1, id_, ref, alt)


class _Order:
    """Whether records come sequence by sequence, and by position on each."""

    def __init__(self) -> None:
        self.is_sorted, self.last_position = True, 0
        self._seen: Counter[str] = Counter()
        self._last = ("", 0)

    def see(self, alleles: Alleles) -> None:
        self.last_position = max(self.last_position, int(alleles.position.max()))
        if not self.is_sorted:
            return
        changes = np.flatnonzero(alleles.chrom[1:] != alleles.chrom[:-1]) + 1
        for first, stop in zip([0, *changes], [*changes, len(alleles)], strict=True):
            name, position = alleles.chrom[first], alleles.position[first:stop]
            goes_on = name == self._last[0]
            if (np.diff(position) < 0).any() or (goes_on and position[0] < self._last[1]):
                self.is_sorted = False
            if not goes_on and name in self._seen:
                self.is_sorted = False
            self._seen[name] += 1
            self._last = name, int(position[-1])


def _pair(kind: object) -> tuple:
    return kind if isinstance(kind, tuple) else (kind,)
