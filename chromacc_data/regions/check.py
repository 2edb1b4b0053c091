"""Do the windows of a store lie on the peaks they are labelled by? Answered by bedtools, from text files.

Nothing here uses the arithmetic that made the windows: the rows of the peak files go to bedtools as they
stand, with the names of their chromosomes, and its answers are compared with the store.

What is checked, by rule:

- `joint_peak` with joint peaks: `bedtools merge` joins the intervals of each cell type's own file, then those
  of all cell types. Every open window is centred on such a joint peak (its midpoint, or the mean summit of
  its peaks), and is open in exactly the cell types whose peaks are in it. Unless the split is by block, every
  joint peak without a window touches the blacklist or reaches past an end.
- `joint_peak` with Basset's rule: every open window lies in a run of overlapping extended peaks, and is open
  only in cell types with a peak in that run. Which windows of a run are merged, and in which order, is not
  checked.
- `overlap`, `midpoint`: for each cell type, exactly the windows that `bedtools intersect` finds are open.
- Closed windows (`joint_peak` only, since under the other rules given windows may be closed) overlap no
  interval of any file.
- No window touches the blacklist.

Not checked: cell types of signal and fragments, files in other formats than BED and narrowPeak, and with
those, under `joint_peak`, the other cell types too; which closed windows were drawn.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from chromacc_data import schema
from chromacc_data.errors import CheckError
from chromacc_data.inputs import Inputs
from chromacc_data.recipe import Recipe, Sample
from chromacc_data.regions.windows import merge_distance
from chromacc_data.store import read_variable, read_window_block

__all__ = ["check_windows"]

_GZIP_MAGIC = b"\x1f\x8b"
_SUMMIT = 9  # narrowPeak's column of the summit's offset

Row = tuple[str, int, int, str]


def check_windows(ds: xr.Dataset, recipe: Recipe, inputs: Inputs, *, path: Path) -> tuple[str, ...]:
    """Check the windows of a store against its peak files by bedtools.

    Parameters
    ----------
    ds, path
        The open store, and where it is.
    recipe, inputs
        Its recipe, and the files of that.

    Returns
    -------
    tuple of str
        What was found to hold, and what could not be checked: a sentence each.

    Raises
    ------
    CheckError
        At the first window that is not on the peaks it is labelled by.
    """
    windows = _StoredWindows.read(ds, path)
    files = [_peak_rows(p, s, windows.lengths) for p, s in zip(inputs.samples, recipe.samples, strict=True)]
    with tempfile.TemporaryDirectory(prefix="chromacc-check-") as folder:
        tools = _Bedtools(Path(folder))
        blacklist = [] if inputs.blacklist is None else _text_rows(inputs.blacklist, windows.lengths)
        _require_apart(tools, windows, np.arange(len(windows)), blacklist or [], "the blacklist")
        unread = [s.cell_type for s, rows in zip(recipe.samples, files, strict=True) if rows is None]
        if recipe.windows.label_rule != "joint_peak":
            _check_labels(tools, windows, files, recipe)
        elif not unread:
            check = _check_basset if recipe.windows.overlap == "basset" else _check_joint
            check(tools, windows, files, recipe, blacklist or [])
            closed = np.flatnonzero(~windows.labels.any(axis=1))
            _require_apart(tools, windows, closed, [row for rows in files for row in rows], "a peak")
    n = len(recipe.samples)
    checked = 0 if unread and recipe.windows.label_rule == "joint_peak" else n - len(unread)
    findings = [f"windows of {checked} of {n} cell types lie on the peaks of their files, by bedtools"]
    if checked < n:
        findings.append("labels of signal, fragments and formats without peaks, by bedtools")
    return tuple(findings)


class _StoredWindows(NamedTuple):
    """Windows read back from a store: names of their chromosomes, places and labels; the genome's lengths."""

    path: Path
    chrom: list[str]
    start: list[int]
    end: list[int]
    labels: np.ndarray
    lengths: dict[str, int]

    @classmethod
    def read(cls, ds: xr.Dataset, path: Path) -> _StoredWindows:
        names = [str(name) for name in np.atleast_1d(ds[schema.CHROM.name].attrs[schema.ATTR_NAMES])]
        facts = json.loads(ds.attrs[schema.ATTR_GENOME])["sequences"]
        n, chunk = ds.sizes[schema.WINDOW], int(ds.attrs[schema.ATTR_WINDOW_CHUNK])
        labels = [
            read_window_block(ds, schema.ACCESSIBILITY.name, first, min(first + chunk, n))
            for first in range(0, n, chunk)
        ]
        chrom = [names[code] for code in read_variable(ds, schema.CHROM.name).tolist()]
        start, end = (read_variable(ds, v.name).tolist() for v in (schema.START, schema.END))
        lengths = {name: int(facts[name]["length"]) for name in names}
        return cls(path, chrom, start, end, np.concatenate(labels), lengths)

    def __len__(self) -> int:
        return len(self.start)

    def rows(self, selection: Iterable[int]) -> list[Row]:
        """Windows as far as they are on their chromosomes, with their numbers."""
        return [
            (c, max(self.start[i], 0), min(self.end[i], self.lengths[c]), str(i))
            for i in selection
            for c in [self.chrom[i]]
        ]

    def error(self, window: int, what: str, found: object, expected: object) -> CheckError:
        place = f"{self.chrom[window]}:{self.start[window]}-{self.end[window]}"
        return CheckError(
            what,
            where=f"{self.path} window {window} ({place})",
            found=found,
            expected=expected,
            remedy="build the store again",
        )


class _Bedtools:
    """The programs of bedtools, on rows of text in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def merge(self, rows: Iterable[Row], distance: int) -> list[Row]:
        """Unions of intervals at most `distance` bp apart, with the fourth columns of what each joins."""
        given = self._write("given.bed", sorted(rows))
        made = self._run("merge", "-i", given, "-d", distance, "-c", 4, "-o", "collapse", "-delim", ";")
        return [(c, int(s), int(e), text) for c, s, e, text in made]

    def intersect(self, rows: Iterable[Row], others: Iterable[Row], *options: str) -> list[list[str]]:
        """Fields of the lines that `bedtools intersect` gives."""
        a, b = self._write("a.bed", rows), self._write("b.bed", others)
        return self._run("intersect", "-a", a, "-b", b, *options)

    def _write(self, name: str, rows: Iterable[Row]) -> Path:
        path = self._folder / name
        with path.open("w", encoding="utf-8") as file:
            file.writelines(f"{c}\t{s}\t{e}\t{text}\n" for c, s, e, text in rows)
        return path

    def _run(self, *command: object) -> list[list[str]]:
        if not all(path.stat().st_size for path in command if isinstance(path, Path)):
            return []
        made = self._folder / "made.bed"
        with made.open("wb") as file:
            subprocess.run(["bedtools", *map(str, command)], check=True, stdout=file)
        with made.open(encoding="utf-8") as file:
            return [line.rstrip("\n").split("\t") for line in file]


def _peak_rows(path: Path, sample: Sample, lengths: dict[str, int]) -> list[Row] | None:
    """Intervals of a cell type on the chromosomes used, with their summits as text; None if not peaks."""
    return None if sample.kind != "peaks" else _text_rows(path, lengths, sample.center == "summit")


def _text_rows(path: Path, lengths: dict[str, int], with_summits: bool = False) -> list[Row] | None:
    """Rows of a BED or narrowPeak file, read line by line; None for a file of another format."""
    with path.open("rb") as raw:
        opened = gzip.open if raw.read(2) == _GZIP_MAGIC else Path.open
    rows = []
    with opened(path, "rt", encoding="utf-8-sig") as file:
        for line in file:
            fields = line.rstrip("\r\n").split("\t")
            if not line.strip() or line.startswith(("#", "track", "browser")):
                continue
            if len(fields) < 3 or not (fields[1].isdigit() and fields[2].isdigit()):
                return None
            if with_summits and len(fields) != _SUMMIT + 1:
                return None
            if fields[0] in lengths:
                start, end = int(fields[1]), int(fields[2])
                offset = int(fields[_SUMMIT]) if with_summits else -1
                summit = str(start + offset) if 0 <= offset < end - start else "."
                rows.append((fields[0], start, end, summit))
    return rows


def _merged_peaks(
    tools: _Bedtools, files: Sequence[list[Row]], recipe: Recipe
) -> list[list[tuple[str, int, int, int | None]]]:
    """Peaks of each cell type, with the mean summit of each."""
    distance = merge_distance(recipe.windows)
    peaks = []
    for rows in files:
        merged = rows if distance is None else tools.merge(rows, distance)
        peaks.append([(c, s, e, _mean(text.split(";"))) for c, s, e, text in merged])
    return peaks


def _mean(summits: Sequence[str]) -> int | None:
    numbers = [int(text) for text in summits if text != "."]
    return sum(numbers) // len(numbers) if numbers else None


def _check_joint(
    tools: _Bedtools,
    windows: _StoredWindows,
    files: Sequence[list[Row]],
    recipe: Recipe,
    blacklist: list[Row],
) -> None:
    peaks = _merged_peaks(tools, files, recipe)
    members = [
        (c, s, e, f"{cell_type},{'.' if summit is None else summit}")
        for cell_type, of_cell_type in enumerate(peaks)
        for c, s, e, summit in of_cell_type
    ]
    half = recipe.windows.length // 2
    expected = {}
    for chrom, start, end, text in tools.merge(members, -1):
        cell_types, summits = zip(*(member.split(",") for member in text.split(";")), strict=True)
        mean = _mean(summits)
        centre = (start + end) // 2 if mean is None else mean
        expected[chrom, centre - half] = {int(cell_type) for cell_type in cell_types}
    for window in np.flatnonzero(windows.labels.any(axis=1)).tolist():
        place = windows.chrom[window], windows.start[window]
        found = set(np.flatnonzero(windows.labels[window]).tolist())
        if place not in expected:
            raise windows.error(
                window, "no joint peak is centred where this window is", "no peak", "a joint peak"
            )
        if found != expected.pop(place):
            raise windows.error(
                window,
                "the labels are not the cell types of its joint peak",
                sorted(found),
                "the cell types whose peaks are merged into it",
            )
    _explain_absent(tools, windows, list(expected), recipe, blacklist)


def _explain_absent(
    tools: _Bedtools,
    windows: _StoredWindows,
    absent: list[tuple[str, int]],
    recipe: Recipe,
    blacklist: list[Row],
) -> None:
    """Raise for joint peaks without a window that nothing in the recipe leaves out."""
    length = recipe.windows.length
    rows = [
        (c, max(s, 0), min(s + length, windows.lengths[c]), f"{c}:{s}")
        for c, s in absent
        if recipe.windows.past_end != "drop" or 0 <= s <= windows.lengths[c] - length
    ]
    forbidden = {fields[3] for fields in tools.intersect(rows, blacklist, "-u")}
    left = [text for *_, text in rows if text not in forbidden]
    if left and recipe.split.by != "block":
        raise CheckError(
            f"{len(left)} joint peaks have no window",
            where=windows.path,
            found=f"none at {left[0]}",
            expected="a window on every joint peak",
            remedy="build the store again",
        )


def _check_basset(
    tools: _Bedtools,
    windows: _StoredWindows,
    files: Sequence[list[Row]],
    recipe: Recipe,
    _blacklist: list[Row],
) -> None:
    length, extended = recipe.windows.length, []
    for cell_type, rows in enumerate(files):
        for chrom, start, end, summit in rows:
            first = max(0, (int(summit) if summit != "." else (start + end) // 2) - length // 2)
            first = min(first, windows.lengths[chrom] - length)
            extended.append((chrom, max(first, 0), first + length, str(cell_type)))
    allowed: dict[int, set[int]] = {}
    is_open = np.flatnonzero(windows.labels.any(axis=1)).tolist()
    runs = tools.merge(extended, -(recipe.windows.merge_overlap + 1))
    for fields in tools.intersect(windows.rows(is_open), runs, "-f", "1.0", "-wa", "-wb"):
        allowed.setdefault(int(fields[3]), set()).update(map(int, fields[7].split(";")))
    for window in is_open:
        found = set(np.flatnonzero(windows.labels[window]).tolist())
        if not found <= allowed.get(window, set()):
            raise windows.error(
                window,
                "open in a cell type without a peak in reach",
                sorted(found),
                f"among {sorted(allowed.get(window, ()))}",
            )


def _check_labels(
    tools: _Bedtools, windows: _StoredWindows, files: Sequence[list[Row] | None], recipe: Recipe
) -> None:
    """Labels by `overlap` and `midpoint`: those that bedtools finds, of each cell type that can be read."""
    everything = windows.rows(range(len(windows)))
    for cell_type, rows in enumerate(files):
        if rows is None:
            continue
        (peaks,) = _merged_peaks(tools, [rows], recipe)
        least = recipe.windows.label_min_overlap
        if recipe.windows.label_rule == "midpoint":
            peaks, least = [(c, (s + e) // 2, (s + e) // 2 + 1, None) for c, s, e, _ in peaks], 1
        found = np.zeros(len(windows), dtype=bool)
        overlaps = tools.intersect(everything, [(*peak[:3], ".") for peak in peaks], "-wo")
        found[[int(fields[3]) for fields in overlaps if int(fields[-1]) >= least]] = True
        differs = np.flatnonzero(found != windows.labels[:, cell_type])
        if differs.size:
            window = int(differs[0])
            raise windows.error(
                window,
                f"the label of {recipe.samples[cell_type].cell_type!r} is not what bedtools finds",
                int(windows.labels[window, cell_type]),
                int(found[window]),
            )


def _require_apart(
    tools: _Bedtools, windows: _StoredWindows, selection: np.ndarray, rows: list[Row], what: str
) -> None:
    """Raise for a window of the selection that overlaps one of the rows."""
    plain = [(*row[:3], ".") for row in rows]
    for fields in tools.intersect(windows.rows(selection.tolist()), plain, "-u"):
        raise windows.error(int(fields[3]), f"the window overlaps {what}", "an overlap", "none")
