"""Intervals in: BED, narrowPeak, bedGraph, bigWig and fragments, to the merged peaks of one cell type."""

from __future__ import annotations

import codecs
import gzip
import shutil
import tempfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import pandas as pd
import pyBigWig

from chromacc_data.errors import InputError
from chromacc_data.recipe import FragmentRecipe, Sample

__all__ = [
    "Peaks",
    "cell_type_peaks",
    "complement_intervals",
    "match_chromosomes",
    "mean_summits",
    "merge_intervals",
    "read_intervals",
]

#: Bytes of text parsed at once: bounds memory, whatever the size of the file.
BLOCK_BYTES = 1 << 24

#: Nucleotides of bigWig read at once, and of one coverage array of `bedtools genomecov` (8 bytes each).
SPAN = 1 << 24

_BIGWIG_MAGIC = (b"\x88\x8f\xfc\x26", b"\x26\xfc\x8f\x88")
_GZIP_MAGIC = b"\x1f\x8b"
_KEPT_COLUMNS = 10  # narrowPeak's summit is the last column that any format here needs
_TAB, _NEWLINE, _RETURN, _SPACE, _HASH, _POINT, _PLUS, _MINUS = b"\t\n\r #.+-"
_ZERO, _NINE = b"09"


@dataclass(frozen=True)
class Peaks:
    """Intervals of one cell type, sorted by chromosome and start.

    Parameters
    ----------
    chrom
        (peak,) int32, index into the names of the chromosomes used.
    start, end
        (peak,) int64, 0-based half-open.
    summit
        (peak,) int64, absolute position, -1 where a peak has none; None when not asked for.
    counts
        Intervals read, and dropped by reason.
    """

    chrom: np.ndarray
    start: np.ndarray
    end: np.ndarray
    summit: np.ndarray | None = None
    counts: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.start)

    def on(self, chrom: int) -> Peaks:
        """The peaks of one chromosome: views, without counts."""
        here = slice(*np.searchsorted(self.chrom, [chrom, chrom + 1]).tolist())
        summit = None if self.summit is None else self.summit[here]
        return Peaks(self.chrom[here], self.start[here], self.end[here], summit)


class _Rows(NamedTuple):
    """The data lines of one block of text: where each field lies.

    `bounds` (row, 11) int64 holds where each of the first ten fields begins; a field ends one byte before the
    next begins. A field that the line does not have is empty.
    """

    path: Path
    text: np.ndarray
    bounds: np.ndarray
    columns: np.ndarray
    lines: np.ndarray

    def field(self, row: int, column: int) -> bytes:
        begin, after = self.bounds[row, column : column + 2]
        return self.text[begin : max(begin, after - 1)].tobytes()

    def line(self, row: int) -> str:
        raw = self.text[self.bounds[row, 0] :][:4096].tobytes().split(b"\n", 1)[0]
        return raw.decode("utf-8", "replace").rstrip("\r")

    def where(self, row: int) -> str:
        return f"{self.path} line {self.lines[row]}"


def read_intervals(path: Path | str) -> pd.DataFrame:
    """Intervals of a BED or narrowPeak file, one row a line, in the file's order.

    Plain, gzip or bgzip. Comments, `track` and `browser` lines, blank lines and one line of column names are
    skipped; lines may differ in their number of columns and end in CRLF.

    Parameters
    ----------
    path
        Tab-separated, at least three columns: chromosome, 0-based start, end (not included).

    Returns
    -------
    DataFrame with columns

    - `chrom` str,
    - `start`, `end` int64,
    - `name` str, ``.`` where the line has none,
    - `strand` str, one of ``+ - .``,
    - `summit` int64, absolute position of narrowPeak's column 10, -1 where there is none. Lines of ten or
      more columns count as narrowPeak; lines of twelve are BED12, whose column 10 counts blocks,
    - `line` int64, number of the line in the file, from 1.

    Raises
    ------
    InputError
        With file and line: no such file, no intervals, binary, truncated, space-separated, or coordinates
        that are no integers, negative, reversed or of zero length.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".bed") as file:
    ...     print("chr1\\t10\\t20\\tTP53\\t0\\t-", file=file, flush=True)
    ...     read_intervals(file.name).to_dict("records")
    [{'chrom': 'chr1', 'start': 10, 'end': 20, 'name': 'TP53', 'strand': '-', 'summit': -1, 'line': 1}]
    """
    frames = []
    for rows in _read_rows(Path(path)):
        start, end = _coordinates(rows)
        names, codes = _chromosomes(rows)
        frames.append(
            pd.DataFrame(
                {
                    "chrom": np.array(names, dtype=object)[codes],
                    "start": start,
                    "end": end,
                    "name": _names(rows),
                    "strand": _strands(rows),
                    "summit": _summits(rows, start, end),
                    "line": rows.lines,
                }
            )
        )
    return pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]


def cell_type_peaks(
    path: Path | str,
    sample: Sample,
    *,
    chromosomes: Sequence[str],
    lengths: Sequence[int],
    excluded: Collection[str] = (),
    merge_distance: int | None = 200,
) -> Peaks:
    """Merged peaks of one cell type: file, open regions, peaks (thesis, section 4.1).

    - `peaks`: the intervals of a BED or narrowPeak file are the open regions.
    - `signal`: nucleotides with signal >= threshold, of a bedGraph or bigWig. A bigWig holds float32, so its
      threshold is rounded to float32. Nucleotides without a value are closed.
    - `fragments`: nucleotides with coverage >= threshold (`bedtools genomecov`), of a BEDPE or a fragment
      file, told apart by their columns; each line counts once, whatever its column of duplicates says.

    Parameters
    ----------
    path
        The file behind `sample.source`.
    sample
        Kind of the file, threshold, centre, and how fragments are counted.
    chromosomes, lengths
        Names of the chromosomes used, in the order that `chrom` codes index, and their lengths in bp.
    excluded
        Names that are known but not used: their intervals are dropped and counted.
    merge_distance
        Regions at most this many bp apart become one peak (`bedtools merge -d`). None leaves the intervals of
        a peak file as they are, as Basset does, and joins the open nucleotides of a signal that touch.

    Returns
    -------
    Peaks
        With summits when `sample.center` is ``"summit"``: a peak's is the mean of its regions', rounded down.

    Raises
    ------
    InputError
        Unreadable file, unknown chromosome, interval past a chromosome's end, no peak, no summit.
    """
    path, genome = (
        Path(path),
        _Genome(tuple(chromosomes), np.asarray(lengths, dtype=np.int64), frozenset(excluded)),
    )
    if sample.kind == "fragments":
        regions = _covered_regions(path, genome, sample.fragments, sample.threshold)
    elif sample.kind == "signal" and _is_bigwig(path):
        regions = _bigwig_regions(path, genome, sample.threshold)
    else:
        regions = _text_regions(path, genome, sample.threshold if sample.kind == "signal" else None)
    if not len(regions):
        raise InputError(
            f"cell type {sample.cell_type!r} has no peaks",
            where=path,
            found=", ".join(f"{key} {value:,}" for key, value in regions.counts.items()),
            expected=f"at least one on {_few(genome.names)}",
            remedy="lower its threshold"
            if sample.threshold
            else "check the file, or leave the cell type out",
        )
    if sample.center == "summit" and regions.summit.max() < 0:
        raise InputError(
            "no summits in the file",
            where=path,
            found="no line with an offset within the peak in column 10",
            expected="narrowPeak, whose column 10 is the summit's offset",
            remedy="set `center: midpoint` for this cell type",
        )
    return _merged(
        regions, merge_distance, with_summits=sample.center == "summit", is_signal=sample.kind != "peaks"
    )


def match_chromosomes(
    names: Sequence[str], chromosomes: Sequence[str], *, excluded: Collection[str] = (), where: str | Path
) -> np.ndarray:
    """Index of each name among the chromosomes used, int32; -1 for an excluded one.

    Raises
    ------
    InputError
        For a name in neither, with both lists, saying so when adding or removing ``chr`` would mend it.

    Examples
    --------
    >>> match_chromosomes(["chr2", "chrM"], ["chr1", "chr2"], excluded=["chrM"], where="a.bed")
    array([ 1, -1], dtype=int32)
    """
    index = {name: code for code, name in enumerate(chromosomes)}
    unknown = [name for name in names if name not in index and name not in excluded]
    if unknown:
        known = {*index, *excluded}
        renamed = [name.removeprefix("chr") if name.startswith("chr") else f"chr{name}" for name in unknown]
        verb = "remove" if unknown[0].startswith("chr") else "add"
        raise InputError(
            f"chromosome {unknown[0]!r} is not in the genome",
            where=where,
            found=f"{_few(names)} ({len(unknown)} of {len(names)} unknown: {_few(unknown)})",
            expected=f"{_few(chromosomes)}" + (f"; excluded {_few(sorted(excluded))}" if excluded else ""),
            remedy=f"{verb} `chr` at the start of the names in one of the two files"
            if known.intersection(renamed)
            else "use the genome of the same assembly, or name them in the recipe's `genome.exclude`",
        )
    return np.array([index.get(name, -1) for name in names], dtype=np.int32)


def mean_summits(summit: np.ndarray, group: np.ndarray, group_start: np.ndarray) -> np.ndarray:
    """Mean summit of each group of peaks, rounded down, int64; -1 for a group without summits.

    Parameters
    ----------
    summit
        (peak,) int64, -1 where a peak has none.
    group
        (peak,) index of its group.
    group_start
        (group,) int64, a position at or before the summits of the group.
    """
    has = summit >= 0
    offset = summit[has] - group_start[group[has]]  # offsets are small: their float64 sums are exact
    total = np.bincount(group[has], weights=offset, minlength=len(group_start)).astype(np.int64)
    count = np.bincount(group[has], minlength=len(group_start))
    return np.where(count > 0, group_start + total // np.maximum(count, 1), -1)


def merge_intervals(
    chrom: np.ndarray, start: np.ndarray, end: np.ndarray, *, distance: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unions of intervals at most `distance` bp apart (`bedtools merge -d`), sorted; -1: that overlap.

    Intervals in any order: (interval,) codes, starts and ends, to int32 codes, int64 starts and ends.

    Examples
    --------
    >>> zero = np.zeros(3, dtype=np.int32)
    >>> merge_intervals(zero, np.array([30, 0, 10]), np.array([40, 10, 20]), distance=9)[1:]
    (array([ 0, 30]), array([20, 40]))
    """
    columns = _bedtools("merge", chrom, start, end, d=distance)
    return columns[0].astype(np.int32), columns[1], columns[2]


def complement_intervals(
    chrom: np.ndarray, start: np.ndarray, end: np.ndarray, *, lengths: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What intervals leave of the genome (`bedtools complement`), as :func:`merge_intervals` gives it."""
    columns = _bedtools("complement", chrom, start, end, genome=enumerate(lengths))
    return columns[0].astype(np.int32), columns[1], columns[2]


class _Genome(NamedTuple):
    """Names and lengths of the chromosomes used, and the names known but not used."""

    names: tuple[str, ...]
    lengths: np.ndarray
    excluded: frozenset[str]


def _text_regions(path: Path, genome: _Genome, threshold: float | None) -> Peaks:
    """Intervals of a BED file, or of a bedGraph those with value >= threshold, in the file's order."""
    blocks, n_read, n_used = [], 0, 0
    for rows in _read_rows(path):
        start, end = _coordinates(rows)
        chrom = _place(rows, end, genome)
        used = chrom >= 0
        n_read, n_used = n_read + used.size, n_used + int(used.sum())
        if threshold is not None:
            used &= _values(rows) >= threshold
        blocks.append([a[used] for a in (chrom, start, end, _summits(rows, start, end))])
    counts = {"intervals": n_read, "intervals_excluded": n_read - n_used}
    return Peaks(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)), counts)


def _bigwig_regions(path: Path, genome: _Genome, threshold: float) -> Peaks:
    """Runs of nucleotides with signal >= threshold of a bigWig; runs may break between spans."""
    try:
        with pyBigWig.open(str(path)) as signal:
            lengths = signal.chroms()
            codes = match_chromosomes(list(lengths), genome.names, excluded=genome.excluded, where=path)
            for (name, length), code in zip(lengths.items(), codes.tolist(), strict=True):
                if code >= 0 and length != genome.lengths[code]:
                    raise _wrong_assembly(path, name, f"{length:,} bp", int(genome.lengths[code]))
            regions = [
                (np.full(start.size, code, np.int32), start, end)
                for name, code in zip(lengths, codes.tolist(), strict=True)
                if code >= 0
                for start, end in _open_runs(signal, name, lengths[name], threshold)
            ]
    except RuntimeError as error:
        raise InputError(
            "cannot be read as a bigWig",
            where=path,
            found=str(error).strip(),
            expected="a whole bigWig file",
            remedy="get the file again (bigWigInfo FILE tells whether it is whole)",
        ) from error
    nothing = (np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.int64))
    columns = (np.concatenate(parts) for parts in zip(nothing, *regions, strict=True))
    counts = {"chromosomes": len(lengths), "chromosomes_excluded": int((codes < 0).sum())}
    return Peaks(*columns, counts=counts)


def _open_runs(
    signal: pyBigWig.pyBigWig, name: str, length: int, threshold: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Starts and ends of the runs of one chromosome, span by span."""
    for begin in range(0, length, SPAN):
        values = signal.values(name, begin, min(begin + SPAN, length), numpy=True)
        is_open = np.zeros(values.size + 2, dtype=np.int8)
        is_open[1:-1] = values >= threshold
        edges = np.flatnonzero(np.diff(is_open)) + begin
        yield edges[::2], edges[1::2]


def _covered_regions(path: Path, genome: _Genome, fragments: FragmentRecipe, threshold: float) -> Peaks:
    """Intervals of equal coverage >= threshold, of the fragments of a file."""
    blocks, counts = (
        [],
        dict.fromkeys(("fragments", "fragments_excluded", "fragments_unpaired", "fragments_long"), 0),
    )
    paired = None
    for rows in _read_rows(path):
        paired = _is_bedpe(rows) if paired is None else paired
        start, end, whole = (
            _mates(rows) if paired else (*_coordinates(rows), np.ones(len(rows.lines), dtype=bool))
        )
        chrom = _place(rows, np.where(whole, end, 0), genome, checked=whole)
        used = whole & (chrom >= 0)
        short = end - start <= (fragments.max_length or np.iinfo(np.int64).max)
        counts["fragments"] += whole.size
        counts["fragments_unpaired"] += int((~whole).sum())
        counts["fragments_excluded"] += int((whole & (chrom < 0)).sum())
        counts["fragments_long"] += int((used & ~short).sum())
        blocks.append([a[used & short] for a in (chrom, start, end)])
    chrom, start, end = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    if fragments.count == "ends":
        chrom, start, end = _around_ends(chrom, start, end, fragments.extend, genome.lengths)
    return Peaks(*_coverage(chrom, start, end, threshold), counts=counts)


def _is_bedpe(rows: _Rows) -> bool:
    """Whether a file of fragments is BEDPE: six columns or more, with coordinates in columns 5 and 6."""
    return rows.columns[0] >= 6 and all(rows.field(0, c).removeprefix(b"-").isdigit() for c in (4, 5))


def _mates(rows: _Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start and end of the fragments that two mates span, and whether both are mapped to one chromosome."""
    starts, ends = (np.stack([_integers(rows, a), _integers(rows, b)]) for a, b in ((1, 4), (2, 5)))
    # BEDPE writes an unmapped mate as chromosome `.` with coordinates -1.
    mapped = np.ones(len(rows.lines), dtype=bool)
    for column in (0, 3):
        begin, after = rows.bounds[:, column], rows.bounds[:, column + 1]
        mapped &= ~((after - begin == 2) & (rows.text[np.minimum(begin, rows.text.size - 1)] == _POINT))
    bad = np.flatnonzero(mapped & ((starts < 0) | (ends <= starts)).any(axis=0))
    if bad.size:
        raise InputError(
            "not a BEDPE line",
            where=rows.where(int(bad[0])),
            found=repr(rows.line(int(bad[0]))[:200]),
            expected="chrom1 start1 end1 chrom2 start2 end2, separated by tabs, each end above its start",
            remedy="mend or delete the line",
        )
    together = _same(rows.text, rows.bounds[:, 0], rows.bounds[:, 1], rows.bounds[:, 3], rows.bounds[:, 4])
    return starts.min(axis=0), ends.max(axis=0), mapped & together


def _around_ends(
    chrom: np.ndarray, start: np.ndarray, end: np.ndarray, extend: int, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The nucleotides within `extend` bp of the first and of the last nucleotide of each fragment."""
    chrom, cut = np.concatenate([chrom, chrom]), np.concatenate([start, end - 1])
    return chrom, np.maximum(cut - extend, 0), np.minimum(cut + extend + 1, lengths[chrom])


def _coverage(
    chrom: np.ndarray, start: np.ndarray, end: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intervals of equal coverage >= threshold, int32 codes, int64 starts and ends.

    `genomecov` holds 8 bytes for each bp of a chromosome, 2 GB for a human one: it is shown spans of the
    chromosomes as if each were one. Intervals over the edge of a span are cut there.
    """
    pieces = []
    while start.size:
        edge = (start // SPAN + 1) * SPAN
        pieces.append((chrom, start, np.minimum(end, edge)))
        over = end > edge
        chrom, start, end = chrom[over], edge[over], end[over]
    if not pieces:
        return chrom, start, end
    chrom, start, end = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    n_spans = int(start.max()) // SPAN + 1
    span, offset = chrom.astype(np.int64) * n_spans + start // SPAN, start // SPAN * SPAN
    sizes = ((code, SPAN) for code in np.unique(span).tolist())
    span, start, end, depth = _bedtools(
        "genome_coverage", span, start - offset, end - offset, genome=sizes, bg=True
    )
    kept = depth >= threshold
    span, offset = span[kept], span[kept] % n_spans * SPAN
    return (span // n_spans).astype(np.int32), start[kept] + offset, end[kept] + offset


def _merged(regions: Peaks, distance: int | None, *, with_summits: bool, is_signal: bool) -> Peaks:
    """Sorted peaks of open regions; None leaves those of a peak file apart."""
    summit = regions.summit if with_summits else None
    if distance is None and not is_signal:
        order = np.lexsort((regions.end, regions.start, regions.chrom))
        columns = [a if a is None else a[order] for a in (regions.chrom, regions.start, regions.end, summit)]
    else:
        chrom, start, end = merge_intervals(regions.chrom, regions.start, regions.end, distance=distance or 0)
        if with_summits:
            # Chromosomes laid end to end: one search finds the peak of each region.
            shift = int(end.max())
            group = (
                np.searchsorted(chrom * shift + start, regions.chrom * shift + regions.start, side="right")
                - 1
            )
            summit = mean_summits(summit, group, start)
        columns = [chrom, start, end, summit]
    return Peaks(*columns, counts={**regions.counts, "peaks": len(columns[0])})


def _place(rows: _Rows, end: np.ndarray, genome: _Genome, *, checked: np.ndarray | None = None) -> np.ndarray:
    """Code of each row's chromosome, int32, -1 where excluded; raises for unknown names and ends past it.

    Names that only rows not `checked` bear (mates without a place) get -1.
    """
    names, codes = _chromosomes(rows)
    if checked is not None:
        known = np.unique(codes[checked])
        chrom_of_name = np.full(len(names), -1, dtype=np.int32)
        chrom_of_name[known] = match_chromosomes(
            [names[c] for c in known.tolist()], genome.names, excluded=genome.excluded, where=rows.path
        )
    else:
        chrom_of_name = match_chromosomes(names, genome.names, excluded=genome.excluded, where=rows.path)
    chrom = chrom_of_name[codes]
    past = np.flatnonzero((chrom >= 0) & (end > genome.lengths[chrom]))
    if past.size:
        row = int(past[0])
        raise _wrong_assembly(
            rows.where(row),
            genome.names[chrom[row]],
            repr(rows.line(row)[:200]),
            int(genome.lengths[chrom[row]]),
        )
    return chrom


def _wrong_assembly(where: str | Path, name: str, found: str, length: int) -> InputError:
    return InputError(
        f"does not fit chromosome {name} of the genome",
        where=where,
        found=found,
        expected=f"within {length:,} bp",
        remedy="is it of another assembly? use the genome that the file was made with, or lift the file over",
    )


def _few(names: Sequence[str], limit: int = 8) -> str:
    """Names for a message: all, or the first ones and how many there are."""
    return " ".join(names) if len(names) <= limit else f"{' '.join(names[:limit])} … ({len(names)})"


def _values(rows: _Rows) -> np.ndarray:
    """Column 4 of a bedGraph, float64."""
    raw = rows.text.tobytes()
    begins, ends = rows.bounds[:, 3].tolist(), (rows.bounds[:, 4] - 1).tolist()
    row = 0
    try:
        values = np.empty(len(begins))
        for row, (a, b) in enumerate(zip(begins, ends, strict=True)):
            values[row] = float(raw[a:b])
    except ValueError:
        raise InputError(
            "no number in column 4",
            where=rows.where(row),
            found=repr(rows.line(row)[:200]),
            expected="bedGraph: chromosome, start, end, signal",
            remedy="if the file is BED, set `kind: peaks`",
        ) from None
    return values


def _bedtools(
    tool: str,
    chrom: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    *,
    genome: Iterable[tuple[int, int]] | None = None,
    **options: object,
) -> list[np.ndarray]:
    """First four columns that a bedtools program makes of intervals; `genome`: code and length of each."""
    # Importing pybedtools runs every program of bedtools once: 0.7 s that a loader does not need.
    import pybedtools

    if shutil.which("bedtools") is None:
        raise InputError(
            "the program bedtools is missing",
            expected="bedtools 2.27 or newer on the PATH",
            remedy="apt-get install bedtools, or conda install -c bioconda bedtools",
        )
    order = np.lexsort((start, chrom))
    with tempfile.TemporaryDirectory(prefix="chromacc-bedtools-") as name:
        folder = Path(name)
        given, made = folder / "given.bed", folder / "made.bed"
        given.write_bytes(_format_rows(*(np.asarray(a, dtype=np.int64)[order] for a in (chrom, start, end))))
        if genome is not None:
            (folder / "genome").write_text("".join(f"{code}\t{length}\n" for code, length in genome))
            options["g"] = str(folder / "genome")
        getattr(pybedtools.BedTool(str(given)), tool)(output=str(made), **options)
        if not made.stat().st_size:
            return [np.zeros(0, dtype=np.int64)] * 4
        blocks = [[_integers(rows, column) for column in range(4)] for rows in _read_rows(made)]
    return [np.concatenate(parts) for parts in zip(*blocks, strict=True)]


def _is_bigwig(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) in _BIGWIG_MAGIC
    except OSError:
        return False  # what is wrong with the file is told where it is read


def _coordinates(rows: _Rows) -> tuple[np.ndarray, np.ndarray]:
    """Start and end of each row, int64; raises at the first line that is no interval."""
    start, end = _integers(rows, 1), _integers(rows, 2)
    bad = np.flatnonzero((start < 0) | (end <= start) | (rows.columns < 3))
    if bad.size:
        raise _no_interval(rows, int(bad[0]))
    return start, end


def _no_interval(rows: _Rows, row: int) -> InputError:
    """What is wrong with a line that is no interval."""
    line = rows.line(row)
    fields = line.split("\t")
    expected = "chromosome, 0-based start, end, separated by tabs"
    if len(fields) < 3:
        if len(line.split()) >= 3:
            what, remedy = "columns are separated by spaces", "put tabs: sed -E 's/ +/\\t/g' IN > OUT"
        else:
            what = f"{len(fields)} columns"
            remedy = "mend or delete the line; if the file was cut off, get it again"
    else:
        what, remedy = _bad_coordinates(*(field.strip() for field in fields[1:3]))
    return InputError(what, where=rows.where(row), found=repr(line[:200]), expected=expected, remedy=remedy)


def _bad_coordinates(start: str, end: str) -> tuple[str, str]:
    """What is wrong with two coordinates of which one is not lawful, and the remedy."""
    for name, text in (("start", start), ("end", end)):
        if text.startswith("-") and text[1:].isdigit():
            return (
                f"{name} is negative: {text}",
                "clip the interval at 0, or delete the line",
            )
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            return f"{name} is not an integer: {text!r}", "write coordinates as plain digits, such as 1200000"
    if int(start) == int(end):
        return "interval of zero length", "BED ends are not included: one base at 10 is written 10 11"
    return "end is below start", "swap columns 2 and 3, or delete the line"


def _chromosomes(rows: _Rows) -> tuple[list[str], np.ndarray]:
    """Distinct names of column 1 in order of appearance, and each row's index among them, int32."""
    begin, after = rows.bounds[:, 0], rows.bounds[:, 1]
    heads = np.flatnonzero(~_same(rows.text, begin[1:], after[1:], begin[:-1], after[:-1])) + 1
    heads = np.concatenate([[0], heads])
    codes: dict[bytes, int] = {}
    run_codes = [codes.setdefault(rows.field(row, 0), len(codes)) for row in heads.tolist()]
    runs = np.diff(heads, append=len(rows.bounds))
    try:
        names = [name.decode() for name in codes]
    except UnicodeDecodeError as error:
        raise _binary(rows.path, int(rows.lines[0])) from error
    return names, np.repeat(np.array(run_codes, dtype=np.int32), runs)


def _names(rows: _Rows) -> list[str]:
    raw = rows.text.tobytes()
    begins, ends = rows.bounds[:, 3].tolist(), (rows.bounds[:, 4] - 1).tolist()
    return [raw[a:b].decode("utf-8", "replace") or "." for a, b in zip(begins, ends, strict=True)]


def _strands(rows: _Rows) -> np.ndarray:
    begin, after = rows.bounds[:, 5], rows.bounds[:, 6]
    byte = rows.text[np.minimum(begin, rows.text.size - 1)]
    known = (after - begin == 2) & ((byte == _PLUS) | (byte == _MINUS))
    return np.array(["+", "-", "."], dtype=object)[np.where(known, byte == _MINUS, 2)]


def _summits(rows: _Rows, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    offset = _integers(rows, 9)
    narrow_peak = (rows.columns >= 10) & (rows.columns != 12)
    return np.where(narrow_peak & (offset >= 0) & (offset < end - start), start + offset, -1)


def _integers(rows: _Rows, column: int) -> np.ndarray:
    """Values of a column of plain digits, int64; -1 where it holds anything else."""
    return _parse_integers(rows.text, rows.bounds[:, column], rows.bounds[:, column + 1])


def _read_rows(path: Path) -> Iterator[_Rows]:
    """Blocks of the data lines of a file: at least one, none of them empty."""
    above, n_rows = 0, 0
    for data, first_line, is_last in _read_blocks(path):
        nul = data.find(b"\0")
        if nul >= 0:
            raise _binary(path, first_line + data.count(b"\n", 0, nul))
        if first_line == 1:
            data = data.removeprefix(codecs.BOM_UTF8)
        text = np.frombuffer(data, dtype=np.uint8)
        bounds, columns, lines = _split(text, first_line, data.count(b"\n") + 1)
        rows = _Rows(path, text, bounds, columns, lines)
        if is_last and len(columns) and not data.endswith(b"\n"):
            _check_last_line(rows, int(columns[-2]) if len(columns) > 1 else above)
        if not n_rows and len(columns) and _is_header(rows):
            rows = rows._replace(bounds=bounds[1:], columns=columns[1:], lines=lines[1:])
        if len(rows.columns):
            n_rows += len(rows.columns)
            above = int(columns[-1])
            yield rows
    if not n_rows:
        raise InputError(
            "no intervals in the file",
            where=path,
            found="an empty file" if not path.stat().st_size else "only comments, headers or blank lines",
            expected="lines of chromosome, start and end, separated by tabs",
            remedy="get the file again, or leave it out",
        )


def _is_header(rows: _Rows) -> bool:
    """Whether the first line names its columns: letters where the coordinates would stand."""
    return all(rows.field(0, column)[:1].isalpha() for column in (1, 2))


def _check_last_line(rows: _Rows, columns_above: int) -> None:
    """Raise when the last line ends early: no line break after it, and fewer columns than the line above."""
    if rows.columns[-1] < columns_above:
        raise InputError(
            "the last line is half-written",
            where=rows.where(-1),
            found=f"{rows.line(-1)[:200]!r}: {rows.columns[-1]} columns and no line break",
            expected=f"{columns_above} columns, as in the line above",
            remedy="get the file again; if the line is whole, end it with a line break",
        )


def _binary(path: Path, line: int) -> InputError:
    return InputError(
        "not a text file",
        where=f"{path} line {line}",
        found="binary data",
        expected="tab-separated text, plain or gzip",
        remedy="convert it first (bigBed: bigBedToBed IN OUT); a bigWig is of kind `signal`",
    )


def _read_blocks(path: Path) -> Iterator[tuple[bytes, int, bool]]:
    """Whole lines of a plain or gzip file: text, number of its first line (from 1), whether it is the end."""
    line, rest = 1, bytearray()
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            with gzip.open(raw) if zipped else raw as file:
                # read1 gives what it has: before a truncation, all lines that are whole.
                while more := file.read1(BLOCK_BYTES):
                    rest += more
                    cut = rest.rfind(b"\n") + 1 if len(rest) >= BLOCK_BYTES else 0
                    if cut:
                        yield bytes(rest[:cut]), line, False
                        line += rest.count(b"\n", 0, cut)
                        del rest[:cut]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            "the gzip file is truncated or damaged",
            where=f"{path} after line {line + rest.count(_NEWLINE) - 1}",
            found=str(error),
            expected="a whole gzip file",
            remedy="get the file again (gzip -t FILE tells whether it is whole)",
        ) from error
    except OSError as error:
        raise InputError(
            "cannot read the file", where=path, found=error.strerror, remedy="check the path and permissions"
        ) from error
    yield bytes(rest), line, True


@numba.njit(cache=True, nogil=True)
def _split(text: np.ndarray, first_line: int, n_lines: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Field bounds (row, 11), column counts (row,) and line numbers (row,) of the data lines, all int64."""
    bounds = np.empty((n_lines, _KEPT_COLUMNS + 1), dtype=np.int64)
    columns = np.empty(n_lines, dtype=np.int64)
    lines = np.empty(n_lines, dtype=np.int64)
    row, begin = 0, 0
    for line in range(first_line, first_line + n_lines):
        n_columns, blank, here = 1, True, begin
        bounds[row, 0] = begin
        while here < text.size and text[here] != _NEWLINE:
            byte = text[here]
            if byte == _TAB:
                if n_columns <= _KEPT_COLUMNS:
                    bounds[row, n_columns] = here + 1
                n_columns += 1
            elif byte != _SPACE and byte != _RETURN:
                blank = False
            here += 1
        end = here - 1 if here > begin and text[here - 1] == _RETURN else here
        for column in range(n_columns, _KEPT_COLUMNS + 1):
            bounds[row, column] = end + 1
        if not (blank or text[begin] == _HASH or _is_display_line(text, begin, end)):
            columns[row] = n_columns
            lines[row] = line
            row += 1
        begin = here + 1
    return bounds[:row], columns[:row], lines[:row]


@numba.njit(cache=True, nogil=True)
def _is_display_line(text: np.ndarray, begin: int, end: int) -> bool:
    """Whether a line starts with the word `track` or `browser` (UCSC)."""
    for word in (b"track", b"browser"):
        after = begin + len(word)
        if after > end:
            continue
        same = after == end or text[after] == _SPACE or text[after] == _TAB
        for i in range(len(word)):
            same = same and text[begin + i] == word[i]
        if same:
            return True
    return False


@numba.njit(cache=True, nogil=True)
def _same(
    text: np.ndarray, begin: np.ndarray, after: np.ndarray, other_begin: np.ndarray, other_after: np.ndarray
) -> np.ndarray:
    """Whether two fields hold the same bytes, (row,) bool."""
    same = (after - begin) == (other_after - other_begin)
    for row in range(same.size):
        here = 0
        while same[row] and here < after[row] - begin[row] - 1:
            same[row] = text[begin[row] + here] == text[other_begin[row] + here]
            here += 1
    return same


@numba.njit(cache=True, nogil=True)
def _parse_integers(text: np.ndarray, begins: np.ndarray, afters: np.ndarray) -> np.ndarray:
    """Plain digits of each field as int64; -1 where it is empty, longer than 18 bytes or anything else."""
    values = np.full(begins.size, -1, dtype=np.int64)
    for row in range(begins.size):
        begin, end = begins[row], afters[row] - 1
        if end <= begin or end - begin > 18:
            continue
        value = 0
        for here in range(begin, end):
            byte = text[here]
            if byte < _ZERO or byte > _NINE:
                value = -1
                break
            value = value * 10 + (byte - _ZERO)
        values[row] = value
    return values


@numba.njit(cache=True, nogil=True)
def _format_rows(chrom: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Text of three int64 columns, tab-separated, as uint8."""
    widest = 1
    for column in (chrom, start, end):
        for value in column:
            widest = max(widest, value)
    width = 1
    while widest >= 10:
        widest //= 10
        width += 1
    text = np.empty(start.size * 3 * (width + 1), dtype=np.uint8)
    here = 0
    for row in range(start.size):
        for column, separator in ((chrom, _TAB), (start, _TAB), (end, _NEWLINE)):
            value, digits = column[row], 1
            rest = value
            while rest >= 10:
                rest //= 10
                digits += 1
            for place in range(here + digits - 1, here - 1, -1):
                text[place] = _ZERO + value % 10
                value //= 10
            text[here + digits] = separator
            here += digits + 1
    return text[:here]
