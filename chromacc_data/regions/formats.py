"""Formats of interval files: what each can be used for, and how to convert the others.

Commands in the remedies convert the file when they are pasted.
"""

from __future__ import annotations

import functools
import logging
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from chromacc_data.errors import InputError
from chromacc_data.regions.recognition import (
    TAG_ALIGN,
    Head,
    format_of,
    has_mates,
    has_strands,
    has_value,
    is_bed12,
    is_broad_peak,
    is_gapped_peak,
    is_interval,
    is_narrow_peak,
    most,
    parse_head,
    read_head,
)

__all__ = ["SUMMIT_FORMATS", "Format", "StatedFormat", "Use", "formats_of", "require_format"]

LOG = logging.getLogger("chromacc")

#: What intervals are read for: a `kind` of a recipe's sample, or regions to predict, cut out or leave out.
Use = Literal["peaks", "signal", "fragments", "regions"]

#: Formats that a recipe can name.
StatedFormat = Literal[
    "bed",
    "bed12",
    "narrowPeak",
    "broadPeak",
    "gappedPeak",
    "macs_xls",
    "bedGraph",
    "bigWig",
    "fragments",
    "bedpe",
]

#: Formats that say where the summit of a peak is.
SUMMIT_FORMATS = ("narrowPeak", "macs_xls")

_AWK = "awk -F'\\t' -v OFS='\\t' "


@dataclass(frozen=True)
class Format:
    """A format, what its files can be used for, and what to do for the other uses.

    Parameters
    ----------
    name
        As a recipe states it and a message names it.
    uses
        What it is read for.
    remedy
        What to do where it cannot be read.
    command
        Shell command that converts it; reads standard input, or the file ``{file}``.
    not_for
        For some uses, another remedy.
    one_based
        Whether the first base of a chromosome is 1, and ends are included.
    summit_column
        Column of the summit, from 0: its offset from the start, or, 1-based, its position.
    """

    name: str
    uses: tuple[Use, ...] = ()
    remedy: str = "convert it to BED"
    command: str = ""
    not_for: tuple[tuple[Use, str], ...] = ()
    one_based: bool = False
    summit_column: int | None = None


_TO_PEAKS = "its intervals are peaks: set `kind: peaks`"
_TO_SIGNAL = "set `kind: signal` and a `threshold`"
_TO_FRAGMENTS = "set `kind: fragments` and a `threshold`"
_PEAK_LIKE: dict = {
    "uses": ("peaks", "regions"),
    "not_for": (
        ("signal", _TO_PEAKS),
        ("fragments", f"{_TO_PEAKS}; if its lines are fragments, set `format: fragments`"),
    ),
}
_WIG = (
    'awk -v OFS=\'\\t\' \'/Step/{f=/fixed/;w=d=1;for(i=2;i<=NF;i++){split($i,a,"=");if(a[1]=="chrom")c=a[2];'
    'if(a[1]=="start")p=a[2];if(a[1]=="step")d=a[2];if(a[1]=="span")w=a[2]}next}/^[0-9.-]/{if(f){print c,'
    "p-1,p-1+w,$1;p+=d}else print c,$1-1,$1-1+w,$2}'"
)
_READS = "pair the reads (`bedtools bamtobed -bedpe -i BAM`, sorted by name), or reduce each to its 5' end"

_FORMATS = (
    Format(
        "bed",
        ("peaks", "regions"),
        not_for=(("signal", f"{_TO_PEAKS}; or cut out the column of the signal: cut -f1-3,5 IN > OUT"),),
    ),
    Format("bed12", **_PEAK_LIKE),
    Format("narrowPeak", **_PEAK_LIKE, summit_column=9),
    Format("broadPeak", **_PEAK_LIKE),
    Format("gappedPeak", **_PEAK_LIKE),
    Format("macs_xls", **_PEAK_LIKE, one_based=True, summit_column=4),
    Format("bedGraph", ("signal", "regions"), _TO_SIGNAL),
    Format(
        "bigWig",
        ("signal",),
        _TO_SIGNAL,
        not_for=(("regions", "convert it: bigWigToBedGraph {file} OUT.bed"),),
    ),
    Format(
        "fragments",
        ("fragments", "regions"),
        _TO_FRAGMENTS,
    ),
    Format(
        "bedpe",
        ("fragments",),
        _TO_FRAGMENTS,
        not_for=(("regions", ""),),
        command=_AWK + "'$1==$4&&$1!=\".\"{print $1,($2<$5?$2:$5),($3>$6?$3:$6),$7}'",
    ),
    Format(
        TAG_ALIGN,
        ("regions",),
        "call peaks from the reads (`macs3 callpeak -f BED`), or set `format: bed` to take each for a peak",
        _AWK + "'{p=$6==\"-\"?$3-1:$2;print $1,p,p+1}'",
        (("fragments", _READS), ("signal", "make a signal of the reads (`bedtools genomecov -bg`)")),
    ),
    Format("wig", command=_WIG, remedy="wigToBigWig {file} CHROM.SIZES OUT.bw, or convert it to bedGraph"),
    Format(
        "VCF",
        command=_AWK + "'!/^#/{print $1,$2-1,$2-1+length($4),$3}'",
        remedy="convert its variants to BED",
    ),
    Format("GFF or GTF", command=_AWK + "'!/^#/&&NF>7{print $1,$4-1,$5,$3,\".\",$7}'"),
    Format(
        "SAM",
        remedy="convert it: samtools view -b {file} | bedtools bamtobed -i stdin > OUT.bed; then call peaks",
    ),
    Format("interval_list (Picard)", command=_AWK + "'!/^@/{print $1,$2-1,$3,$5,0,$4}'"),
    Format("peak table of HOMER, or SAF (1-based)", command=_AWK + "'$3~/^[0-9]/{print $2,$3-1,$4,$1,0,$5}'"),
    Format("table with 1-based starts", command=_AWK + "'$2~/^[0-9]/{$2--;print}'"),
    Format("table of UCSC with a first column of numbers", command="cut -f2-", remedy="remove column 1"),
    Format(
        "list of positions (chr:start-end)",
        command="tr -d , | sed -E 's/^(.+):([0-9]+)-([0-9]+).*/\\1\\t\\2\\t\\3/' | "
        + _AWK
        + "'{$2--;print}'",
    ),
    Format("CSV (commas)", command="tr -d '\"' | tr , '\\t'", remedy="put tabs"),
    Format("table with semicolons", command="tr -d '\"' | tr ';' '\\t'", remedy="put tabs"),
    Format("table in quotes", command="tr -d '\"'", remedy="remove the quotes"),
    Format(
        "table separated by spaces",
        command="awk -v OFS='\\t' '{$1=$1;print}'",
        remedy="the columns are separated by spaces: put tabs",
    ),
    Format(
        "table of chromosome lengths",
        command="awk -v OFS='\\t' '{print $1,0,$2}'",
        remedy="give a file of intervals; for whole chromosomes",
    ),
    Format("FASTA", remedy="give a file of intervals; a FASTA goes into `genome.fasta` or --genome"),
    Format("FASTQ", remedy="align the reads and call peaks"),
    Format(
        "index of a FASTA (.fai)",
        command="awk -v OFS='\\t' '{print $1,0,$2}'",
        remedy="for whole chromosomes",
    ),
    Format("text in UTF-16", command="iconv -f UTF-16 -t UTF-8", remedy="convert it to UTF-8"),
    Format("text in UTF-32", command="iconv -f UTF-32 -t UTF-8", remedy="convert it to UTF-8"),
    Format("text whose lines end in CR alone", command="tr '\\r' '\\n'", remedy="end its lines in LF"),
    Format("HTML or XML page", remedy="an error page was perhaps saved: download the file itself"),
    Format("JSON", remedy="export it as BED"),
    Format("pointer of Git LFS", remedy="get the file itself: git lfs pull"),
    Format("gzip in gzip", command="gzip -dc", remedy="unpack it once"),
    Format("bzip2", command="bzip2 -dc", remedy="unpack it"),
    Format("xz", command="xz -dc", remedy="unpack it"),
    Format("Zstandard", command="zstd -dc", remedy="unpack it"),
    Format("ZIP", remedy="unpack it (`unzip {file}`); export a spreadsheet as tab-separated text"),
    Format("7z", remedy="unpack it"),
    Format("tar", remedy="unpack it (`tar -xf {file}`) and name one of its files"),
    Format("spreadsheet (Excel)", remedy="export it as tab-separated text"),
    Format("bigBed", remedy="convert it: bigBedToBed {file} OUT.bed"),
    Format(
        "BAM",
        remedy="call peaks from it (`macs3 callpeak`); its reads: bedtools bamtobed -i {file} > OUT.bed",
        not_for=(("fragments", "sorted by name: bedtools bamtobed -bedpe -i {file} > OUT.bedpe"),),
    ),
    Format(
        "CRAM",
        remedy="convert it to BAM (samtools view -b -T GENOME.fa {file} > OUT.bam) and call peaks from that",
        not_for=(
            (
                "fragments",
                "convert it to BAM, sorted by name (samtools sort -n -o OUT.bam {file}), then: "
                "bedtools bamtobed -bedpe -i OUT.bam > OUT.bedpe",
            ),
        ),
    ),
    Format("BCF", remedy="convert it to VCF (bcftools view {file}), and that to BED"),
    *(
        Format(name, remedy="give the file of intervals itself")
        for name in ("index of a BAM, CRAM or bgzip file", "2bit genome", "HDF5", "Parquet", "NumPy array")
    ),
    *(
        Format(name, remedy="convert it to bedGraph or BED with the program that wrote it")
        for name in ("PLINK bed", "SQLite database", "PDF", "SRA archive", "hic")
    ),
)
_BY_NAME = {form.name: form for form in _FORMATS}


def formats_of(use: Use) -> tuple[str, ...]:
    """Names of the formats that are read for a use.

    >>> formats_of("signal")
    ('bedGraph', 'bigWig')
    """
    return tuple(form.name for form in _FORMATS if use in form.uses)


def require_format(path: Path, *, use: Use, stated: StatedFormat | None = None) -> Format:
    """The format that a file is read in, which is logged.

    Parameters
    ----------
    path
        Plain or gzip file.
    use
        What it is read for.
    stated
        The format that the user names, instead of the one recognised.

    Raises
    ------
    InputError
        For a format that is not read for this use, naming it and how to convert it; and for a stated format
        that the content contradicts.
    """
    data, zipped = read_head(path)
    found = format_of(data, zipped=zipped)
    head = parse_head(data)
    if stated is not None:
        if not _may_be(stated, found, head):
            raise InputError(
                f"the content contradicts `format: {stated}`",
                where=path,
                found=f"{found or 'no known format'}: {_first_line(head)}",
                expected=stated,
                remedy=f"remove `format`, or set `format: {found}`"
                if found in get_args(StatedFormat)
                else "give another file, or remove `format` to see how to convert this one",
            )
        found = stated
    elif found in ("bed", "bedGraph", None):
        found = _by_use(use, head) or found
    form = _BY_NAME[found or "bed"]
    if found is not None and use not in form.uses:
        raise _unusable(form, path, use, head, zipped=zipped)
    if found is not None:
        _log_once(str(path), form.name)
    if found == "macs_xls" and head.header[4:5] != ["abs_summit"]:
        return replace(form, summit_column=None)  # the table of broad peaks
    return form


@functools.lru_cache(maxsize=4096)
def _log_once(path: str, name: str) -> None:
    LOG.info("%s: read as %s", path, "BED" if name == "bed" else name)


def _unusable(form: Format, path: Path, use: Use, head: Head, *, zipped: bool) -> InputError:
    other = dict(form.not_for).get(use)
    remedy = form.remedy if other is None else other
    place = shlex.quote(str(path))
    if form.command and not (use in ("peaks", "signal") and form.uses):
        opening = "" if form.command == "gzip -dc" or not zipped else f"gzip -dc {place} | "
        source = "" if opening else f" < {place}"
        first, pipe, rest = form.command.partition(" | ")
        remedy += f"{': ' if remedy else 'convert it: '}{opening}{first}{source}{pipe}{rest} > OUT"
    return InputError(
        f"recognised as {'BED' if form.name == 'bed' else form.name}, which cannot be read as {use}",
        where=path,
        found=_first_line(head),
        expected=", ".join(formats_of(use)),
        remedy=remedy.replace("{file}", place),
    )


def _by_use(use: Use, head: Head) -> str | None:
    """Name for plain intervals, which look alike: by what they are read for, unless the file itself says."""
    if any(re.search(r"\btype=[\"']?bedgraph", line, re.IGNORECASE) for line in head.comments):
        return "bedGraph"
    if use == "fragments":
        return "fragments"
    if use == "signal":
        is_signal = most(head.rows, has_value) and not has_strands(head.rows)
        return "bedGraph" if is_signal or not head.rows else "bed"
    return "bed"


def _first_line(head: Head) -> str:
    line = next(iter(["\t".join(row) for row in head.rows[:1]] or head.comments), "")
    return repr(line[:200]) if line and line.replace("\t", "").isprintable() else "binary data"


def _may_be(stated: str, found: str | None, head: Head) -> bool:
    """Whether a file of a format that was recognised can be what the user says that it is."""
    if stated == found:
        return True
    if found not in (None, *_PLAIN):
        return False
    rules: dict[str, Callable[[Sequence[str]], bool]] = {
        "bed": is_interval,
        "fragments": is_interval,
        "bedGraph": has_value,
        "bedpe": has_mates,
        "bed12": is_bed12,
        "gappedPeak": is_gapped_peak,
        "narrowPeak": is_narrow_peak,
        "broadPeak": is_broad_peak,
    }
    return stated in rules and (not head.rows or most(head.rows, rules[stated]))


#: Formats whose lines begin with chromosome, 0-based start and end; the user may overrule what else they say.
_PLAIN = (
    "bed",
    "bed12",
    "narrowPeak",
    "broadPeak",
    "gappedPeak",
    "bedGraph",
    "bedpe",
    TAG_ALIGN,
)
