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
from chromacc_data.recipe.recipe import Sample
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
from chromacc_data.regions.formats import Format, require_format
from chromacc_data.regions.intervals import PairKeys, few_names, match_chromosomes, merge_intervals

__all__ = ["Peaks", "cell_type_peaks", "mean_summits"]

#: Nucleotides of bigWig read at once.
SPAN = 1 << 24


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

    def on(self, chrom: int, stop: int | None = None) -> Peaks:
        """The peaks of one chromosome, or of those from code `chrom` to `stop`: views, without counts."""
        stop = chrom + 1 if stop is None else stop
        here = slice(*np.searchsorted(self.chrom, [chrom, stop]).tolist())
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
    replicates: Sequence[Sequence[Path | str]] = (),
) -> list[Peaks]:
    """Merged peaks of cell types, each from its file: file, open regions, peaks (thesis, section 4.1).

    What a file is, its content tells, or `sample.format`; the log names it.

    - `peaks`: the intervals of a BED file, or one that extends BED, are the open regions.
    - `signal`: nucleotides with signal >= threshold, of a bedGraph or bigWig. A bigWig holds float32, so its
      threshold is rounded to float32. Nucleotides without a value are closed.
    - `fragments`: nucleotides with coverage >= threshold (`bedtools genomecov`), of a BEDPE or a fragment
      file; each line counts once, whatever its column of duplicates says.

    Where a cell type has replicates, each file by itself is made into open regions; of these, all are taken,
    or the ranges that are open in at least `sample.min_replicates` files (`bedtools multiinter`).

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
    replicates
        Further files of each sample; none when empty.

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
    regions = [
        _joined([_open_regions(Path(one), sample, genome) for one in (path, *others)], sample, path)
        for path, others, sample in zip(paths, replicates or [()] * len(samples), samples, strict=True)
    ]
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
    form = require_format(path, use=sample.kind, stated=sample.format)
    if sample.kind == "fragments":
        regions = _covered_regions(path, genome, sample, is_paired=form.name == "bedpe")
    elif form.name == "bigWig":
        regions = _bigwig_regions(path, genome, sample)
    else:
        regions = _text_regions(path, genome, sample, form)
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
            found=f"{'BED' if form.name == 'bed' else form.name}, which has none"
            if form.summit_column is None
            else f"{form.name}, and no line with a summit within its peak in column {form.summit_column + 1}",
            expected="narrowPeak, whose column 10 is the summit's offset, or the `_peaks.xls` of MACS",
            remedy="set `center: midpoint` for this cell type",
        )
    return regions


def _joined(files: Sequence[Peaks], sample: Sample, path: Path | str) -> Peaks:
    """Open regions of a cell type from those of each of its files: all, or those where files agree."""
    if len(files) == 1:
        return files[0]
    counts: dict[str, int] = {}
    for of_file in files:
        counts |= {name: counts.get(name, 0) + count for name, count in of_file.counts.items()}
    columns = zip(*((p.chrom, p.start, p.end) for p in files), strict=True)
    chrom, start, end = (np.concatenate(parts) for parts in columns)
    summit = None
    if files[0].summit is not None:
        summit = np.concatenate([of_file.summit for of_file in files])
    if sample.min_replicates == 1:
        return Peaks(chrom, start, end, summit, counts)
    agreed = _agreed(files, sample.min_replicates)
    if not len(agreed):
        raise InputError(
            f"the files of cell type {sample.cell_type!r} agree nowhere",
            where=path,
            found=f"no nucleotide that is open in {sample.min_replicates} of {len(files)} files",
            expected="one peak or more",
            remedy="lower `min_replicates`",
        )
    if summit is not None:
        agreed = replace(agreed, summit=_summits_inside(agreed, chrom, summit))
    return replace(agreed, counts=counts)


def _agreed(files: Sequence[Peaks], least: int) -> Peaks:
    """Ranges that are open in at least this many files, sorted and disjoint."""
    united = [merge_intervals(p.chrom, p.start, p.end, distance=0) for p in files]
    columns = (np.concatenate(parts) for parts in zip(*united, strict=True))
    return Peaks(*merge_intervals(*_coverage(*columns, least), distance=0))


def _summits_inside(ranges: Peaks, chrom: np.ndarray, summit: np.ndarray) -> np.ndarray:
    """Mean of the summits that lie in each range, -1 where none does."""
    chrom, summit = chrom[summit >= 0], summit[summit >= 0]
    keys = PairKeys.over(ranges.start, ranges.end, summit)
    place, starts = keys.of(chrom, summit), keys.of(ranges.chrom, ranges.start)
    group = np.searchsorted(starts, place, side="right") - 1
    inside = (group >= 0) & (place < keys.of(ranges.chrom, ranges.end)[group])
    return mean_summits(summit[inside], group[inside], ranges.start)


def _text_regions(path: Path, genome: _Genome, sample: Sample, form: Format) -> Peaks:
    """Intervals of a BED file, or of a bedGraph those with value >= threshold, in the file's order."""
    blocks, n_read, n_used = [], 0, 0
    for rows in read_rows(path):
        start, end = coordinates(rows, form)
        chrom = _place(rows, end, genome, past_end=sample.past_end)
        used = chrom >= 0
        n_read, n_used = n_read + used.size, n_used + int(used.sum())
        if sample.kind == "signal":
            used &= _values(rows) >= sample.threshold
        blocks.append([a[used] for a in (chrom, start, end, summits(rows, start, end, form))])
    counts = {"intervals": n_read, "intervals_excluded": n_read - n_used}
    regions = Peaks(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)), counts)
    return _inside(regions, genome, sample.past_end, "intervals")


def _inside(regions: Peaks, genome: _Genome, past_end: str, counted: str) -> Peaks:
    """Regions within their chromosomes: what reaches past an end clipped or dropped, and counted."""
    if past_end == "error":
        return regions
    length = genome.lengths[regions.chrom]
    past = regions.end > length
    dropped = past if past_end == "drop" else regions.start >= length
    end, summit = np.minimum(regions.end, length), regions.summit
    if summit is not None:
        summit = np.where(summit < end, summit, -1)[~dropped]
    counts = {
        f"{counted}_past_end_dropped": int(dropped.sum()),
        f"{counted}_past_end_clipped": int((past & ~dropped).sum()),
    }
    columns = (a[~dropped] for a in (regions.chrom, regions.start, end))
    return Peaks(*columns, summit, regions.counts | counts)


def _bigwig_regions(path: Path, genome: _Genome, sample: Sample) -> Peaks:
    """Runs of nucleotides with signal >= threshold; read in a child, as damaged files crash the process."""
    return call_in_child(
        _read_bigwig,
        path,
        genome,
        sample,
        file=path,
        remedy="the bigWig file is damaged: get it again (bigWigInfo FILE tells whether it is whole)",
    )


def _read_bigwig(path: Path, genome: _Genome, sample: Sample) -> Peaks:
    """Runs of nucleotides with signal >= threshold of a bigWig; runs may break between spans."""
    try:
        with pyBigWig.open(str(path)) as signal:
            lengths = signal.chroms()
            codes = match_chromosomes(list(lengths), genome.names, excluded=genome.excluded, where=path)
            for (name, length), code in zip(lengths.items(), codes.tolist(), strict=True):
                is_cut = sample.past_end != "error" and length > genome.lengths[max(code, 0)]
                if code >= 0 and length != genome.lengths[code] and not is_cut:
                    raise _wrong_assembly(path, name, f"{length:,} bp", int(genome.lengths[code]))
            regions = [
                (np.full(start.size, code, np.int32), start, end)
                for name, code in zip(lengths, codes.tolist(), strict=True)
                if code >= 0
                for start, end in _open_runs(signal, name, lengths[name], sample.threshold)
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
    return _inside(Peaks(*columns, counts=counts), genome, sample.past_end, "intervals")


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


def _covered_regions(path: Path, genome: _Genome, sample: Sample, *, is_paired: bool) -> Peaks:
    """Intervals of equal coverage >= threshold, of the fragments of a file."""
    fragments = sample.fragments
    blocks, counts = (
        [],
        dict.fromkeys(("fragments", "fragments_excluded", "fragments_unpaired", "fragments_long"), 0),
    )
    for rows in read_rows(path):
        start, end, whole = (
            _mates(rows) if is_paired else (*coordinates(rows), np.ones(len(rows.lines), dtype=bool))
        )
        chrom = _place(rows, np.where(whole, end, 0), genome, checked=whole, past_end=sample.past_end)
        used = whole & (chrom >= 0)
        short = end - start <= (fragments.max_length or np.iinfo(np.int64).max)
        counts["fragments"] += whole.size
        counts["fragments_unpaired"] += int((~whole).sum())
        counts["fragments_excluded"] += int((whole & (chrom < 0)).sum())
        counts["fragments_long"] += int((used & ~short).sum())
        blocks.append([a[used & short] for a in (chrom, start, end)])
    read = Peaks(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)), counts=counts)
    read = _inside(read, genome, sample.past_end, "fragments")
    chrom, start, end = read.chrom, read.start, read.end
    if fragments.count == "ends":
        chrom, start, end = _around_ends(chrom, start, end, fragments.extend, genome.lengths)
    return Peaks(*_coverage(chrom, start, end, sample.threshold), counts=read.counts)


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
            remedy="correct or delete the line; if the file is not BEDPE, set `format: fragments`",
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
    """Intervals of equal coverage >= threshold, as `bedtools genomecov` gives them, which takes 8 bytes a bp.

    Sorted; int32 codes, int64 starts and ends.
    """
    keys = PairKeys.over(start, end)
    first, last = np.sort(keys.of(chrom, start)), np.sort(keys.of(chrom, end))
    breaks = np.unique(np.concatenate([first, last]))
    depth = np.searchsorted(first, breaks, side="right") - np.searchsorted(last, breaks, side="right")
    covered = np.flatnonzero((depth > 0) & (depth >= threshold))
    chrom, start = keys.pairs(breaks[covered])
    return chrom.astype(np.int32), start, start + breaks[covered + 1] - breaks[covered]


def _sorted(regions: Peaks) -> Peaks:
    """Regions as peaks of their own."""
    order = np.lexsort((regions.end, regions.start, regions.chrom))
    columns = (regions.chrom, regions.start, regions.end, regions.summit)
    return _counted([a if a is None else a[order] for a in columns], regions)


def _merged(regions: Sequence[Peaks], distance: int, *, n_chromosomes: int) -> list[Peaks]:
    """Peaks of the regions of each cell type, whose chromosomes bedtools is shown as if they were others."""
    if not regions:
        return []
    keys = PairKeys(0, n_chromosomes - 1)
    code, start, end = merge_intervals(
        np.concatenate([keys.of(i, these.chrom) for i, these in enumerate(regions)]),
        np.concatenate([these.start for these in regions]),
        np.concatenate([these.end for these in regions]),
        distance=distance,
    )
    cell_type, chrom = keys.pairs(code)
    bounds = np.searchsorted(cell_type, np.arange(len(regions) + 1)).tolist()
    peaks = []
    for these, here in zip(regions, map(slice, bounds[:-1], bounds[1:]), strict=True):
        merged = Peaks(chrom[here].astype(np.int32), start[here], end[here])
        peaks.append(_counted([merged.chrom, merged.start, merged.end, _summits_of(merged, these)], these))
    return peaks


def _summits_of(peaks: Peaks, regions: Peaks) -> np.ndarray | None:
    """Mean summit of the regions of each peak; None where regions have none."""
    if regions.summit is None:
        return None
    keys = PairKeys.over(regions.start, peaks.start)
    place, starts = keys.of(regions.chrom, regions.start), keys.of(peaks.chrom, peaks.start)
    return mean_summits(regions.summit, np.searchsorted(starts, place, side="right") - 1, peaks.start)


def _counted(columns: Sequence[np.ndarray | None], regions: Peaks) -> Peaks:
    counts = {**regions.counts, "peaks": len(columns[0])}
    if columns[3] is not None:
        counts["peaks_without_summit"] = int((columns[3] < 0).sum())
    return Peaks(*columns, counts=counts)


def _place(
    rows: Rows, end: np.ndarray, genome: _Genome, *, past_end: str, checked: np.ndarray | None = None
) -> np.ndarray:
    """Code of each row's chromosome, int32, -1 where excluded; raises for unknown names.

    Raises for an end past the chromosome's too, where `past_end` says that it is an error.

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
    if past.size and past_end == "error":
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
        remedy="for another assembly, use the genome that the file was made with; for a FASTA that is cut, "
        "set `past_end: clip` or `past_end: drop` for this cell type, or clip the file: "
        "bedtools slop -b 0 -i IN -g GENOME.fa.fai > OUT",
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
