"""Scores as INFO fields of a VCF: its header and its records as they are, with fields added.

Records are text here: whatever else they say comes out byte by byte as it went in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pysam

from chromacc_data.files import open_unpacked
from chromacc_data.names import file_names
from chromacc_data.progress import LOG
from chromacc_models.effects.variant_parts import Plan
from chromacc_models.effects.variant_table import VariantColumns
from chromacc_models.effects.variants import VariantScores

__all__ = ["PREFIX", "index_path", "write_vcf"]

#: How our INFO fields begin.
PREFIX = "ACC_"

#: A tabix index ends here; an index in the CSI format does not.
_TABIX_END = 1 << 29
_INFO = 7  # column
_MISSING = "."
_OUR_HEADER = re.compile(rf"##INFO=<ID={PREFIX}")
#: Characters that have a meaning in an INFO field (VCF 4.3, section 1.2).
_SPECIAL = {ord(c): f"%{ord(c):02X}" for c in ":;=%,\r\n\t "}

_TEXTS = {
    "logit_ref": ("REF", "Logit of accessibility in {} with the reference allele"),
    "logit_alt": ("ALT", "Logit of accessibility in {} with the alternative allele"),
    "delta": ("DELTA", "ALT less REF: change of the logit of accessibility in {}"),
    "percentile": ("PCT", "Percentage of random variants that change the logit in {} less"),
}
_TOP_TEXTS = {
    "top_delta": ("TOP", "Float", "Largest change of a logit over the cell types, with its sign"),
    "top_cell_type": ("CELL", "String", "Cell type of the largest change"),
    "filter": ("FILTER", "String", "Filter of the network that causes most of that change"),
    "motif": ("MOTIF", "String", "Motif of that filter"),
    "filter_change": ("CHANGE", "String", "Whether the alternative allele makes that motif lost or gained"),
    "filter_share": ("SHARE", "Float", "Share of that filter in the change of the logit"),
}


def index_path(vcf: Path, plan: Plan) -> Path:
    """The index of a VCF in order: ``.tbi``, or ``.csi`` for positions that the former has no room for."""
    return vcf.with_name(vcf.name + (".csi" if plan.last_position >= _TABIX_END else ".tbi"))


def write_vcf(
    vcf: Path,
    path: Path,
    columns: VariantColumns,
    plan: Plan,
    blocks: Iterable[tuple[Sequence[str], VariantScores]],
) -> list[Path]:
    """Write a VCF with scores, bgzip, and its index if its records are in order.

    Parameters
    ----------
    vcf
        The variants' file.
    path
        ``NAME.vcf.gz``.
    columns
        What is written.
    plan
        What the file has.
    blocks
        Scores of all alleles, in the order of the file.
    """
    infos = _infos(columns, blocks)
    with open_unpacked(vcf) as lines, pysam.BGZFile(str(path), "wb") as out:
        for raw in lines:
            line = raw.rstrip(b"\r\n").decode()
            if not line.startswith("#"):
                line = _with_info(line, infos)
            elif _OUR_HEADER.match(line):
                continue  # of an earlier run
            elif not line.startswith("##"):
                line = "\n".join([*_header(columns), line])
            out.write(f"{line}\n".encode())
    if not plan.is_sorted:
        LOG.warning(
            "the records are not in order, so that there is no index; sort them: "
            "bcftools sort %s -O z -o SORTED.vcf.gz --write-index=tbi",
            path.name,
        )
        return [path]
    index = index_path(path, plan)
    is_csi = index.suffix == ".csi"
    pysam.tabix_index(str(path), preset="vcf", force=True, csi=is_csi, keep_original=True)
    return [path, index]


def _header(columns: VariantColumns) -> list[str]:
    lines = [_header_line("STATUS", "String", "Whether the allele was scored, or why not")]
    for cell_type, name in zip(columns.cell_types, _tags(columns), strict=True):
        for quantity in columns.quantities:
            tag, text = _TEXTS[quantity]
            lines.append(_header_line(f"{tag}_{name}", "Float", text.format(cell_type)))
    return lines + [_header_line(*_TOP_TEXTS[name]) for name in columns.top]


def _header_line(tag: str, kind: str, text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'##INFO=<ID={PREFIX}{tag},Number=A,Type={kind},Description="{quoted}">'


def _tags(columns: VariantColumns) -> list[str]:
    """Names of cell types as parts of INFO keys: letters of ASCII, digits, ``_`` and ``.``."""
    safe = [re.sub(r"[^A-Za-z0-9_.]", "_", name) for name in columns.cell_types]
    return [name.replace("-", "_") for name in file_names(safe)]


def _with_info(line: str, infos: Iterator[str]) -> str:
    fields = line.split("\t", _INFO + 1)
    alts = fields[4].split(",")
    ours = [next(infos) for _ in alts]
    if alts == [_MISSING]:
        return line  # no allele that a value could be of
    theirs = [item for item in fields[_INFO].split(";") if item != _MISSING and not item.startswith(PREFIX)]
    fields[_INFO] = ";".join([*theirs, ours[0] if len(ours) == 1 else _joined(ours)])
    return "\t".join(fields)


def _joined(infos: Sequence[str]) -> str:
    """One INFO of several alleles, from those of each."""
    columns = zip(*(info.split(";") for info in infos), strict=True)
    values = [[item.partition("=")[::2] for item in column] for column in columns]
    return ";".join(f"{pairs[0][0]}={','.join(value for _, value in pairs)}" for pairs in values)


def _infos(columns: VariantColumns, blocks: Iterable[tuple[Sequence[str], VariantScores]]) -> Iterator[str]:
    """INFO of each allele."""
    tags = [
        f"{PREFIX}{_TEXTS[quantity][0]}_{name}" for name in _tags(columns) for quantity in columns.quantities
    ]
    top_tags = [PREFIX + _TOP_TEXTS[name][0] for name in columns.top]
    for _, scores in blocks:
        statuses = columns.statuses(scores)
        values = columns.values(scores).reshape(len(statuses), -1).tolist()
        top = zip(*(column.tolist() for column in columns.top_values(scores)), strict=True)
        for status, row, of_top in zip(statuses, values, top, strict=True):
            items = [f"{PREFIX}STATUS={status}"]
            items += [f"{tag}={_text(value)}" for tag, value in zip(tags, row, strict=True)]
            items += [f"{tag}={_text(value)}" for tag, value in zip(top_tags, of_top, strict=True)]
            yield ";".join(items)


def _text(value: float | str) -> str:
    if isinstance(value, str):
        return value.translate(_SPECIAL) or _MISSING
    return _MISSING if np.isnan(value) else f"{value:.6g}"
