"""Files of cell types to their merged peaks: peak calls, thresholded signal, or paired fragments."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyBigWig

from chromacc_data.child import call_in_child
from chromacc_data.errors import InputError
from chromacc_data.recipe import FragmentRecipe, Sample
from chromacc_data.regions.bed import (
    POINT,
    Rows,
    chromosome_names,
    coordinates,
    integers,
    read_rows,
    same_text,
    summits,
)
from chromacc_data.regions.intervals import few_names, match_chromosomes, merge_intervals, run_bedtools

__all__ = ["Peaks", "cell_type_peaks", "mean_summits"]

#: Nucleotides of bigWig read at once, and of one coverage array of `bedtools genomecov` (8 bytes each).
SPAN = 1 << 24


_BIGWIG_MAGIC = (b"\x88\x8f\xfc\x26", b"\x26\xfc\x8f\x88")


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


def cell_type_peaks(
    paths: Sequence[Path | str],
    samples: Sequence[Sample],
    *,
    chromosomes: Sequence[str],
    lengths: Sequence[int],
    excluded: Collection[str] = (),
    merge_distance: int | None = 200,
) -> list[Peaks]:
    """Merged peaks of cell types, each from its file: file, open regions, peaks (thesis, section 4.1).

    - `peaks`: the intervals of a BED or narrowPeak file are the open regions.
    - `signal`: nucleotides with signal >= threshold, of a bedGraph or bigWig. A bigWig holds float32, so its
      threshold is rounded to float32. Nucleotides without a value are closed.
    - `fragments`: nucleotides with coverage >= threshold (`bedtools genomecov`), of a BEDPE or a fragment
      file, told apart by their columns; each line counts once, whatever its column of duplicates says.

    The regions of all that are given together are held, and merged in one run of bedtools.

    Parameters
    ----------
    paths
        The file behind each `sample.source`.
    samples
        Kind of each file, threshold, centre, and how fragments are counted.
    chromosomes, lengths
        Names of the chromosomes used, in the order that `chrom` codes index, and their lengths in bp.
    excluded
        Names that are known but not used: their intervals are dropped and counted.
    merge_distance
        Regions at most this many bp apart become one peak (`bedtools merge -d`). None leaves the intervals of
        a peak file as they are, as Basset does, and joins the open nucleotides of a signal that touch.

    Returns
    -------
    list of Peaks
        One a cell type; with summits when `sample.center` is ``"summit"``: a peak's is the mean of its
        regions', rounded down.

    Raises
    ------
    InputError
        Unreadable file, unknown chromosome, interval past a chromosome's end, no peak, no summit.
    """
    genome = _Genome(tuple(chromosomes), np.asarray(lengths, dtype=np.int64), frozenset(excluded))
    regions = [_open_regions(Path(path), sample, genome) for path, sample in zip(paths, samples, strict=True)]
    as_called = [merge_distance is None and sample.kind == "peaks" for sample in samples]
    merged = iter(
        _merged(
            [these for these, apart in zip(regions, as_called, strict=True) if not apart],
            merge_distance or 0,
            n_chromosomes=len(genome.names),
        )
    )
    return [
        _sorted(these) if apart else next(merged) for these, apart in zip(regions, as_called, strict=True)
    ]


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


class _Genome(NamedTuple):
    """Names and lengths of the chromosomes used, and the names known but not used."""

    names: tuple[str, ...]
    lengths: np.ndarray
    excluded: frozenset[str]


def _open_regions(path: Path, sample: Sample, genome: _Genome) -> Peaks:
    """Open regions of a file, in any order; with summits where they are asked for."""
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
            expected=f"at least one on {few_names(genome.names)}",
            remedy="lower its threshold"
            if sample.threshold
            else "check the file, or leave the cell type out",
        )
    if sample.center != "summit":
        return replace(regions, summit=None)
    if regions.summit.max() < 0:
        raise InputError(
            "no summits in the file",
            where=path,
            found="no line with an offset within the peak in column 10",
            expected="narrowPeak, whose column 10 is the summit's offset",
            remedy="set `center: midpoint` for this cell type",
        )
    return regions


def _text_regions(path: Path, genome: _Genome, threshold: float | None) -> Peaks:
    """Intervals of a BED file, or of a bedGraph those with value >= threshold, in the file's order."""
    blocks, n_read, n_used = [], 0, 0
    for rows in read_rows(path):
        start, end = coordinates(rows)
        chrom = _place(rows, end, genome)
        used = chrom >= 0
        n_read, n_used = n_read + used.size, n_used + int(used.sum())
        if threshold is not None:
            used &= _values(rows) >= threshold
        blocks.append([a[used] for a in (chrom, start, end, summits(rows, start, end))])
    counts = {"intervals": n_read, "intervals_excluded": n_read - n_used}
    return Peaks(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)), counts)


def _bigwig_regions(path: Path, genome: _Genome, threshold: float) -> Peaks:
    """Runs of nucleotides with signal >= threshold; read in a child, as damaged files crash the process."""
    return call_in_child(
        _read_bigwig,
        path,
        genome,
        threshold,
        file=path,
        remedy="the bigWig file is damaged: get it again (bigWigInfo FILE tells whether it is whole)",
    )


def _read_bigwig(path: Path, genome: _Genome, threshold: float) -> Peaks:
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
    for rows in read_rows(path):
        paired = _is_bedpe(rows) if paired is None else paired
        start, end, whole = (
            _mates(rows) if paired else (*coordinates(rows), np.ones(len(rows.lines), dtype=bool))
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


def _is_bedpe(rows: Rows) -> bool:
    """Whether a file of fragments is BEDPE: six columns or more, with coordinates in columns 5 and 6."""
    return rows.columns[0] >= 6 and all(rows.field(0, c).removeprefix(b"-").isdigit() for c in (4, 5))


def _mates(rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start and end of the fragments that two mates span, and whether both are mapped to one chromosome."""
    starts, ends = (np.stack([integers(rows, a), integers(rows, b)]) for a, b in ((1, 4), (2, 5)))
    # BEDPE writes an unmapped mate as chromosome `.` with coordinates -1.
    mapped = np.ones(len(rows.lines), dtype=bool)
    for column in (0, 3):
        begin, after = rows.bounds[:, column], rows.bounds[:, column + 1]
        mapped &= ~((after - begin == 2) & (rows.text[np.minimum(begin, rows.text.size - 1)] == POINT))
    bad = np.flatnonzero(mapped & ((starts < 0) | (ends <= starts)).any(axis=0))
    if bad.size:
        raise InputError(
            "not a BEDPE line",
            where=rows.where(int(bad[0])),
            found=repr(rows.line(int(bad[0]))[:200]),
            expected="chrom1 start1 end1 chrom2 start2 end2, separated by tabs, each end above its start",
            remedy="mend or delete the line",
        )
    together = same_text(
        rows.text, rows.bounds[:, 0], rows.bounds[:, 1], rows.bounds[:, 3], rows.bounds[:, 4]
    )
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
    span, start, end, depth = run_bedtools(
        "genome_coverage", span, start - offset, end - offset, genome=sizes, bg=True
    )
    kept = depth >= threshold
    span, offset = span[kept], span[kept] % n_spans * SPAN
    return (span // n_spans).astype(np.int32), start[kept] + offset, end[kept] + offset


def _sorted(regions: Peaks) -> Peaks:
    """Regions as peaks of their own."""
    order = np.lexsort((regions.end, regions.start, regions.chrom))
    columns = (regions.chrom, regions.start, regions.end, regions.summit)
    return _counted([a if a is None else a[order] for a in columns], regions)


def _merged(regions: Sequence[Peaks], distance: int, *, n_chromosomes: int) -> list[Peaks]:
    """Peaks of the regions of each cell type, whose chromosomes bedtools is shown as if they were others."""
    if not regions:
        return []
    code, start, end = merge_intervals(
        np.concatenate([i * n_chromosomes + these.chrom for i, these in enumerate(regions)]),
        np.concatenate([these.start for these in regions]),
        np.concatenate([these.end for these in regions]),
        distance=distance,
    )
    bounds = np.searchsorted(code, np.arange(len(regions) + 1) * n_chromosomes).tolist()
    peaks = []
    for i, these in enumerate(regions):
        here = slice(bounds[i], bounds[i + 1])
        merged = Peaks(code[here] - i * n_chromosomes, start[here], end[here])
        peaks.append(_counted([merged.chrom, merged.start, merged.end, _summits_of(merged, these)], these))
    return peaks


def _summits_of(peaks: Peaks, regions: Peaks) -> np.ndarray | None:
    """Mean summit of the regions of each peak; None where regions have none."""
    if regions.summit is None:
        return None
    # Chromosomes laid end to end: one search finds the peak of each region.
    shift = int(peaks.end.max())
    place, starts = regions.chrom * shift + regions.start, peaks.chrom * shift + peaks.start
    return mean_summits(regions.summit, np.searchsorted(starts, place, side="right") - 1, peaks.start)


def _counted(columns: Sequence[np.ndarray | None], regions: Peaks) -> Peaks:
    return Peaks(*columns, counts={**regions.counts, "peaks": len(columns[0])})


def _place(rows: Rows, end: np.ndarray, genome: _Genome, *, checked: np.ndarray | None = None) -> np.ndarray:
    """Code of each row's chromosome, int32, -1 where excluded; raises for unknown names and ends past it.

    Names that only rows not `checked` bear (mates without a place) get -1.
    """
    names, codes = chromosome_names(rows)
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


def _values(rows: Rows) -> np.ndarray:
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


def _is_bigwig(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) in _BIGWIG_MAGIC
    except OSError:
        return False  # what is wrong with the file is told where it is read
