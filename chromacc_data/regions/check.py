"""Check that the windows of a store lie on the peaks they are labelled by, with bedtools, from text files.

Nothing here uses the arithmetic that made the windows: the rows of the peak files go to bedtools as they
stand, with the names of their chromosomes, and its answers are compared with the store.

What is checked, by rule:

- `joint_peak` with joint peaks: `bedtools merge` joins the intervals of each cell type's own file, then those
  of all cell types. Every open window is centred on such a joint peak (its midpoint, or the mean summit of
  its peaks), and is open in exactly the cell types whose peaks are in it. Unless the split is by block, every
  joint peak without a window touches the blacklist, reaches past an end or holds too much N.
- `joint_peak` with Basset's rule: every open window lies in a run of overlapping extended peaks, and is open
  only in cell types with a peak in that run. Which windows of a run are merged, and in which order, is not
  checked.
- `overlap`, `midpoint`: for each cell type, exactly the windows that `bedtools intersect` finds are open.
- Closed windows (`joint_peak` only, since under the other rules given windows may be closed) overlap no
  interval of any file.
- Of a cell type with several files, `bedtools multiinter` says where enough of them agree.
- No window touches the blacklist, and none holds more N than `max_n`: counted in the store's own bases.

Not checked: cell types of signal and fragments, and with those, under `joint_peak`, the other cell types
too; which closed windows were drawn.

Which format a file is in, the recipe or the builder's recognition says; its rows are read by pandas. One cell
type is held at a time, and of all of them what fits in 8 bytes a peak (16 with summits).
"""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from chromacc_data.errors import CheckError, InputError
from chromacc_data.files import open_unpacked
from chromacc_data.recipe.recipe import Recipe
from chromacc_data.regions.formats import require_format
from chromacc_data.regions.windows import merge_distance
from chromacc_data.sources.inputs import Inputs
from chromacc_data.store import schema
from chromacc_data.store.read import read_variable, read_window_block

__all__ = ["check_windows"]

_BLOCK_BYTES = 1 << 25
_BATCH_ROWS = 1 << 22  # rows sorted and given to bedtools at once
_WRITTEN_ROWS = 1 << 16
_POSITION_BITS = 40

#: Column of the summit: its offset from the start in narrowPeak, its 1-based position in MACS's table.
_SUMMITS = {"narrowPeak": 9, "macs_xls": 4}
_COLUMNS = [str(column) for column in range(10)]
_NO_ROW = re.compile(rb"^(?:#.*|(?:track|browser)(?:[ \t].*)?|[ \t]*)\r?\n", re.MULTILINE)


def check_windows(
    ds: xr.Dataset, recipe: Recipe, inputs: Inputs, bases: Callable[[str, int, int], str], *, path: Path
) -> tuple[str, ...]:
    """Check the windows of a store against its peak files by bedtools.

    Parameters
    ----------
    ds, path
        The open store, and where it is.
    recipe, inputs
        Its recipe, and the files of that.
    bases
        Letters of a chromosome from a start on, so many, with N past its ends; read by another way than the
        builder's.

    Returns
    -------
    tuple of str
        What was found to hold, and what could not be checked: a sentence each.

    Raises
    ------
    CheckError
        At the first window that is not on the peaks it is labelled by.
    InputError
        If a file cannot be read, or bedtools does not run.
    """
    windows = _StoredWindows.read(ds, path)
    files = _PeakFiles(recipe, inputs, windows.genome)
    by_joint_peak = recipe.windows.label_rule == "joint_peak"
    n, n_checked = len(recipe.samples), len(files.readable)
    if by_joint_peak and n_checked < n:
        n_checked = 0
    with tempfile.TemporaryDirectory(prefix="chromacc-check-") as folder:
        tools = _Bedtools(Path(folder), windows.genome)
        blacklist = files.blacklist()
        _require_off_blacklist(tools, windows, blacklist, inputs.blacklist)
        _require_known_bases(ds, windows, recipe.windows.max_n)
        if not by_joint_peak:
            _check_labels(tools, windows, files)
        elif n_checked and recipe.windows.overlap == "basset":
            _check_basset(tools, windows, files)
        elif n_checked:
            _check_joint(tools, windows, files, blacklist, bases)
    findings = [f"windows of {n_checked} of {n} cell types lie on the peaks of their files, by bedtools"]
    if n_checked < n:
        others = ", and of the others, which share their joint peaks" if by_joint_peak else ""
        findings.append(f"labels of signal and fragments{others}, by bedtools")
    return tuple(findings)


class _Genome(NamedTuple):
    """Names of the chromosomes used, in the order of text, and their lengths."""

    names: pd.Index
    lengths: np.ndarray

    @classmethod
    def of(cls, lengths: dict[str, int]) -> _Genome:
        names = sorted(lengths)
        return cls(pd.Index(names, dtype=object), np.array([lengths[name] for name in names], dtype=np.int64))

    def rows(self, code: np.ndarray, start: np.ndarray, end: np.ndarray, **more: np.ndarray) -> pd.DataFrame:
        """Intervals, in the order of text."""
        chrom = pd.Categorical.from_codes(code, self.names)
        rows = pd.DataFrame({"chrom": chrom, "start": start, "end": end, **more}, copy=False)
        return rows.iloc[np.argsort(_keys(rows), kind="stable")]

    def joined(self, parts: list[pd.DataFrame]) -> pd.DataFrame:
        joined = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
        return joined.iloc[np.argsort(_keys(joined), kind="stable")]

    def ends(self, rows: pd.DataFrame) -> np.ndarray:
        """Length of each row's chromosome."""
        return self.lengths[rows["chrom"].cat.codes.to_numpy()]


def _keys(rows: pd.DataFrame, positions: np.ndarray | None = None) -> np.ndarray:
    """One int64 of chromosome and position (by default the start) for each row, which sort alike."""
    positions = rows["start"].to_numpy() if positions is None else positions
    return (rows["chrom"].cat.codes.to_numpy().astype(np.int64) << _POSITION_BITS) + positions


def _place(row: pd.Series) -> str:
    return f"{row['chrom']}:{row['start']}-{row['end']}"


class _StoredWindows(NamedTuple):
    """Windows read back from a store.

    `code` (window,) index into the genome's names; `labels` (window, byte) packed, as they may be billions.
    """

    path: Path
    code: np.ndarray
    start: np.ndarray
    end: np.ndarray
    labels: np.ndarray
    is_open: np.ndarray
    genome: _Genome

    @classmethod
    def read(cls, ds: xr.Dataset, path: Path) -> _StoredWindows:
        facts = json.loads(ds.attrs[schema.ATTR_GENOME])["sequences"]
        genome = _Genome.of({name: int(fact["length"]) for name, fact in facts.items()})
        names = [str(name) for name in np.atleast_1d(ds[schema.CHROM.name].attrs[schema.ATTR_NAMES])]
        n, chunk = ds.sizes[schema.WINDOW], int(ds.attrs[schema.ATTR_WINDOW_CHUNK])
        labels = np.zeros((n, -(-ds.sizes[schema.CELL_TYPE] // 8)), dtype=np.uint8)
        for first in range(0, n, chunk):
            block = read_window_block(ds, schema.ACCESSIBILITY.name, first, min(first + chunk, n))
            labels[first : first + chunk] = np.packbits(block, axis=1, bitorder="little")
        code = genome.names.get_indexer(names)[read_variable(ds, schema.CHROM.name)]
        start, end = (read_variable(ds, v.name).astype(np.int64) for v in (schema.START, schema.END))
        windows = cls(path, code, start, end, labels, labels.any(axis=1), genome)
        off = np.flatnonzero((code < 0) | (end <= 0) | (start >= genome.lengths[code]))
        if off.size:
            raise windows.error(int(off[0]), "the window is on no chromosome of the genome", "none", "one")
        return windows

    def label(self, cell_type: int) -> np.ndarray:
        """Whether each window is open in a cell type."""
        return (self.labels[:, cell_type // 8] >> (cell_type % 8) & 1).astype(bool)

    def rows(self, selection: np.ndarray | slice = slice(None)) -> pd.DataFrame:
        """Windows as far as they are on their chromosomes, with their numbers."""
        code = self.code[selection]
        start = np.maximum(self.start[selection], 0)
        end = np.minimum(self.end[selection], self.genome.lengths[code])
        return self.genome.rows(code, start, end, number=np.arange(self.start.size)[selection])

    def keys(self) -> np.ndarray:
        """As :func:`_keys`, of the starts as they are."""
        return (self.code.astype(np.int64) << _POSITION_BITS) + self.start

    def error(self, window: int, what: str, found: object, expected: object) -> CheckError:
        name = self.genome.names[self.code[window]] if self.code[window] >= 0 else "?"
        return CheckError(
            what,
            where=f"{self.path} window {window} ({name}:{self.start[window]}-{self.end[window]})",
            found=found,
            expected=expected,
            remedy="build the store again",
        )


class _Bedtools:
    """The programs of bedtools, on sorted rows of text in a folder."""

    def __init__(self, folder: Path, genome: _Genome) -> None:
        self._folder, self._genome = folder, genome
        # bedtools takes lines that begin with `#`, `track` or `browser` for comments, whatever follows.
        self._names = "_" + genome.names

    def write(self, rows: pd.DataFrame, name: str) -> Path:
        path = self._folder / name
        line = "\t".join(["{}"] * len(rows.columns)) + "\n"
        rows = rows.assign(chrom=rows["chrom"].cat.rename_categories(self._names))
        with path.open("w", encoding="utf-8") as file:
            for first in range(0, len(rows), _WRITTEN_ROWS):
                some = rows.iloc[first : first + _WRITTEN_ROWS]
                file.writelines(map(line.format, *(some[column].tolist() for column in some)))
        return path

    def merge(self, rows: pd.DataFrame, distance: int) -> pd.DataFrame:
        """Unions of intervals at most `distance` bp apart."""
        made = self._run(["chrom", "start", "end"], "merge", "-i", self.write(rows, "rows"), "-d", distance)
        return self._genome.joined(list(made))

    def agreement(self, files: list[pd.DataFrame], least: int) -> pd.DataFrame:
        """Ranges covered by intervals of at least this many files."""
        paths = [
            self.write(self.merge(rows[["chrom", "start", "end"]], 0), f"file{number}")
            for number, rows in enumerate(files)
        ]
        columns = ["chrom", "start", "end", "n_files", "_", *(f"_{number}" for number in range(len(files)))]
        parts = self._genome.joined(list(self._run(columns, "multiinter", "-i", *paths)))
        return self.merge(parts.loc[parts["n_files"] >= least, ["chrom", "start", "end"]], 0)

    def intersect(self, a: Path, b: Path) -> Iterator[pd.DataFrame]:
        """Numbers of the rows of two files that overlap, and by how much, some at a time."""
        columns = ["_", "_1", "_2", "number", "_3", "_4", "_5", "other", "overlap"]
        return self._run(columns, "intersect", "-sorted", "-nonamecheck", "-wo", "-a", a, "-b", b)

    def _run(self, columns: list[str], *command: object) -> Iterator[pd.DataFrame]:
        made, messages = self._folder / "made", self._folder / "messages"
        try:
            with made.open("wb") as output, messages.open("wb") as errors:
                subprocess.run(["bedtools", *map(str, command)], check=True, stdout=output, stderr=errors)
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            raise InputError(
                "bedtools does not run",
                found=messages.read_text(errors="replace").strip()[:400] or error,
                expected="bedtools 2.27 or newer on the PATH",
                remedy="apt-get install bedtools, or conda install -c bioconda bedtools",
            ) from error
        used = [name for name in columns if not name.startswith("_")]
        if not made.stat().st_size:
            empty = pd.DataFrame({name: np.zeros(0, np.int64) for name in used})
            yield self._named(empty.astype({"chrom": object}) if "chrom" in used else empty)
            return
        dtypes = {name: "category" if name == "chrom" else np.int64 for name in used}
        options = {"names": columns, "usecols": used, "dtype": dtypes, "chunksize": _BATCH_ROWS}
        with pd.read_csv(made, sep="\t", keep_default_na=False, quoting=csv.QUOTE_NONE, **options) as reader:
            yield from map(self._named, reader)

    def _named(self, made: pd.DataFrame) -> pd.DataFrame:
        if "chrom" not in made:
            return made
        chrom = pd.Categorical(made["chrom"], categories=self._names)
        return made.assign(chrom=chrom.rename_categories(self._genome.names))


class _PeakFiles:
    """The peak files of a recipe, read by pandas: not by the builder's reader."""

    def __init__(self, recipe: Recipe, inputs: Inputs, genome: _Genome) -> None:
        self.recipe, self.inputs, self.genome = recipe, inputs, genome
        self.names = [sample.cell_type for sample in recipe.samples]
        self.readable = [i for i, sample in enumerate(recipe.samples) if sample.kind == "peaks"]

    def intervals(self, cell_type: int, tools: _Bedtools) -> pd.DataFrame:
        """Intervals of all files of a cell type, or where enough of these agree, sorted."""
        files = [self._of_file(cell_type, path) for path in self.inputs.files_of(cell_type)]
        least = self.recipe.samples[cell_type].min_replicates
        if least == 1:
            return self.genome.joined(files)
        agreed = tools.agreement(files, least)
        means = _Means(_keys(agreed))
        for rows in files:
            rows = rows[(rows["summit"] >= 0).to_numpy()]
            keys = _keys(rows, rows["summit"].to_numpy())
            place = np.searchsorted(_keys(agreed), keys, side="right") - 1
            ends = _keys(agreed, agreed["end"].to_numpy())
            inside = (place >= 0) & (keys < ends[place])
            means.add(keys[inside], rows["summit"].to_numpy()[inside])
        return agreed.assign(summit=means.values())

    def _of_file(self, cell_type: int, path: Path) -> pd.DataFrame:
        """Intervals of a file as `past_end` says, sorted; `summit` is -1 where there is none."""
        sample = self.recipe.samples[cell_type]
        form = require_format(path, use="peaks", stated=sample.format).name
        rows = _read(path, form, self.genome, with_summits=sample.center == "summit")
        if sample.past_end == "error":
            return rows
        ends = self.genome.ends(rows)
        if sample.past_end == "drop":
            return rows[rows["end"].to_numpy() <= ends]
        rows = rows.assign(end=np.minimum(rows["end"], ends))
        rows["summit"] = rows["summit"].where(rows["summit"] < rows["end"], -1)
        return rows[rows["start"] < rows["end"]]

    def paths(self, cell_type: int) -> str:
        """Its files, for an error."""
        return ", ".join(map(str, self.inputs.files_of(cell_type)))

    def blacklist(self) -> pd.DataFrame | None:
        path = self.inputs.blacklist
        if path is None:
            return None
        rows = _read(path, require_format(path, use="regions").name, self.genome, with_summits=False)
        return rows[["chrom", "start", "end"]].assign(number=np.arange(len(rows)))

    def peaks(self, cell_type: int, tools: _Bedtools) -> pd.DataFrame:
        """Merged intervals, with the mean summit of each."""
        rows, distance = self.intervals(cell_type, tools), merge_distance(self.recipe.windows)
        if distance is None or rows.empty:
            return rows
        merged = tools.merge(rows[["chrom", "start", "end"]], distance)
        means = _Means(_keys(merged))
        means.add(_keys(rows), rows["summit"].to_numpy())
        return merged.assign(summit=means.values())

    def overlapping(self, row: pd.Series, tools: _Bedtools, least: int = 1) -> tuple[str, str] | None:
        """Cell type and place of a peak that overlaps an interval; for an error, after all else."""
        for cell_type in self.readable:
            found = _overlapping(self.peaks(cell_type, tools), row, least)
            if found is not None:
                return self.names[cell_type], found
        return None


def _overlapping(peaks: pd.DataFrame, row: pd.Series, least: int = 1) -> str | None:
    """Place of the first peak that overlaps an interval."""
    overlap = np.minimum(peaks["end"], row["end"]) - np.maximum(peaks["start"], row["start"])
    here = peaks[(overlap >= least).to_numpy() & (peaks["chrom"] == row["chrom"]).to_numpy()]
    return None if here.empty else _place(here.iloc[0])


def _read(path: Path, form: str, genome: _Genome, *, with_summits: bool) -> pd.DataFrame:
    """Rows of a file on the chromosomes used, sorted: chrom, start, end and summit."""
    column = _SUMMITS.get(form) if with_summits else None
    parts = [_parsed(text, form, genome, column) for text in _blocks(path)]
    return genome.joined(parts)


def _blocks(path: Path) -> Iterator[bytes]:
    """Text of a plain or gzip file without comments, blank lines and names of columns, in whole lines."""
    is_first = True
    with open_unpacked(path) as file:
        while data := file.read(_BLOCK_BYTES) + file.readline():
            if is_first:
                data = data.removeprefix(b"\xef\xbb\xbf")
            data = _NO_ROW.sub(b"", data if data.endswith(b"\n") else data + b"\n")
            if is_first and data:
                is_first = False
                data = data if not _is_header(data.split(b"\n", 1)[0]) else data.split(b"\n", 1)[1]
            yield data


def _is_header(line: bytes) -> bool:
    """Whether a line names its columns: letters where the coordinates would stand."""
    fields = line.decode("utf-8", "replace").split("\t")[1:3]
    return len(fields) == 2 and all(field[:1].isalpha() for field in fields)


def _parsed(text: bytes, form: str, genome: _Genome, column: int | None) -> pd.DataFrame:
    used = ["0", "1", "2", *([] if column is None else [str(column)])]
    dtypes = {"0": "category", "1": np.int64, "2": np.int64, str(column): str}
    # A line of names above gives every row ten columns, whatever it has.
    given = io.BytesIO("\t".join(_COLUMNS).encode() + b"\n" + text)
    table = pd.read_csv(
        given,
        sep="\t",
        usecols=used,
        dtype={name: dtypes[name] for name in used},
        index_col=False,
        keep_default_na=False,
        quoting=csv.QUOTE_NONE,
    )
    chrom, start, end = table["0"].cat, table["1"].to_numpy(), table["2"].to_numpy()
    known = genome.names.get_indexer([str(name).strip(" ") for name in chrom.categories])
    code = known[chrom.codes] if len(known) else np.zeros(0, dtype=np.int64)
    first = int(form == "macs_xls")
    summit = np.full(start.size, -1, dtype=np.int64)
    if column is not None:
        numbers = table[str(column)].str.strip(" ")
        plain = numbers.where(numbers.str.fullmatch("[0-9]{1,18}"), "-1").astype(np.int64).to_numpy()
        place = plain - 1 if first else start + plain
        summit = np.where((plain >= 0) & (place >= start - first) & (place < end), place, -1)
    here = code >= 0
    return genome.rows(code[here], start[here] - first, end[here], summit=summit[here])


class _Means:
    """Means of numbers in groups that begin at sorted keys; those below 0 are none."""

    def __init__(self, begins: np.ndarray) -> None:
        self._begins = begins
        self._total, self._count = (np.zeros(begins.size, dtype=np.int64) for _ in range(2))

    def add(self, keys: np.ndarray, numbers: np.ndarray) -> None:
        group = np.searchsorted(self._begins, keys, side="right") - 1
        np.add.at(self._total, group[numbers >= 0], numbers[numbers >= 0])
        np.add.at(self._count, group[numbers >= 0], 1)

    def values(self) -> np.ndarray:
        return np.where(self._count, self._total // np.maximum(self._count, 1), -1)


class _Union:
    """Unions of intervals that are given some at a time, so that only some are held."""

    def __init__(self, tools: _Bedtools, genome: _Genome, distance: int) -> None:
        self._tools, self._genome, self._distance = tools, genome, distance
        self._parts: list[pd.DataFrame] = []
        self._n_new = 0

    def add(self, rows: pd.DataFrame) -> None:
        self._parts.append(rows[["chrom", "start", "end"]])
        self._n_new += len(rows)
        if self._n_new >= _BATCH_ROWS:
            self.merged()

    def merged(self) -> pd.DataFrame:
        if self._n_new:
            self._parts = [self._tools.merge(self._genome.joined(self._parts), self._distance)]
            self._n_new = 0
        return self._parts[0]


def _require_off_blacklist(
    tools: _Bedtools, windows: _StoredWindows, blacklist: pd.DataFrame | None, path: Path | None
) -> None:
    if blacklist is None or blacklist.empty:
        return
    a, b = tools.write(windows.rows(), "windows"), tools.write(blacklist, "blacklist")
    for found in tools.intersect(a, b):
        if len(found):
            window, row = found[["number", "other"]].iloc[0]
            place = _place(blacklist[blacklist["number"] == row].iloc[0])
            raise windows.error(
                int(window), "the window overlaps the blacklist", f"{place} in {path}", "no overlap"
            )


def _require_known_bases(ds: xr.Dataset, windows: _StoredWindows, max_n: float) -> None:
    """Raise for a window that holds more N than is allowed; N is all zeros in a store."""
    n, chunk = windows.start.size, int(ds.attrs[schema.ATTR_WINDOW_CHUNK])
    for first in range(0, n if max_n < 1 else 0, chunk):
        block = read_window_block(ds, schema.SEQUENCE.name, first, min(first + chunk, n))
        n_unknown = block.shape[1] - block.sum(axis=(1, 2), dtype=np.int64)
        wrong = np.flatnonzero(n_unknown / block.shape[1] > max_n)
        if wrong.size:
            found = f"{n_unknown[wrong[0]]} of {block.shape[1]} bases"
            what = "the window holds more N than `windows.max_n` allows"
            raise windows.error(first + int(wrong[0]), what, found, f"a share of at most {max_n:g}")


def _share_of_n(letters: str) -> float:
    known = sum(letters.upper().count(base) for base in "ACGTU")
    return (len(letters) - known) / len(letters)


def _require_closed_apart(
    tools: _Bedtools, windows: _StoredWindows, files: _PeakFiles, union: pd.DataFrame
) -> None:
    """Raise for a closed window that overlaps a peak; `union` is of the peaks of all cell types."""
    a = tools.write(windows.rows(~windows.is_open), "closed")
    b = tools.write(union.assign(number=0), "union")
    if not a.stat().st_size:
        return
    for found in tools.intersect(a, b):
        for window in found["number"].tolist():
            row = windows.rows(np.array([window])).iloc[0]
            peak = files.overlapping(row, tools)
            name, place = ("?", "?") if peak is None else peak
            raise windows.error(
                window, f"the window overlaps a peak of {name!r}", f"peak {place}", "no peak, as it is closed"
            )


def _check_joint(
    tools: _Bedtools,
    windows: _StoredWindows,
    files: _PeakFiles,
    blacklist: pd.DataFrame | None,
    bases: Callable[[str, int, int], str],
) -> None:
    union, members = _Union(tools, windows.genome, -1), []
    for cell_type in files.readable:
        peaks = files.peaks(cell_type, tools)
        has_summits = files.recipe.samples[cell_type].center == "summit"
        members.append((_keys(peaks), peaks["summit"].to_numpy() if has_summits else None))
        union.add(peaks)
    joint = union.merged()
    begins, means = _keys(joint), _Means(_keys(joint))
    for keys, summits in members:
        if summits is not None:
            means.add(keys, summits)
    middle = (joint["start"].to_numpy() + joint["end"].to_numpy()) // 2
    centre = np.where(means.values() >= 0, means.values(), middle)
    expected = _keys(joint, centre - files.recipe.windows.length // 2)
    peak_of = _joint_peaks_of(windows, joint, expected, centre)
    is_open = np.flatnonzero(windows.is_open)
    for cell_type, (keys, _) in enumerate(members):
        has = np.zeros(len(joint), dtype=bool)
        has[np.searchsorted(begins, keys, side="right") - 1] = True
        differs = is_open[windows.label(cell_type)[is_open] != has[peak_of]]
        if differs.size:
            row = joint.iloc[peak_of[np.searchsorted(is_open, differs[0])]]
            raise _wrong_label(tools, windows, files, int(differs[0]), cell_type, row)
    absent = np.ones(len(joint), dtype=bool)
    absent[peak_of] = False
    _explain_absent(tools, windows, files, joint[absent], centre[absent], blacklist, bases)
    _require_closed_apart(tools, windows, files, joint)


def _joint_peaks_of(
    windows: _StoredWindows, joint: pd.DataFrame, expected: np.ndarray, centre: np.ndarray
) -> np.ndarray:
    """The joint peak of each open window; `expected` holds the key of each joint peak's window."""
    is_open = np.flatnonzero(windows.is_open)
    keys = windows.keys()[is_open]
    peak_of = np.searchsorted(expected, keys).clip(max=expected.size - 1)
    off = expected[peak_of] != keys
    again = np.zeros(keys.size, dtype=bool)
    again[1:] = keys[1:] == keys[:-1]
    wrong = np.flatnonzero(off | again)
    if wrong.size:
        window, near = int(is_open[wrong[0]]), peak_of[wrong[0]]
        where = f"one centred there; the next, {_place(joint.iloc[near])}, is centred at {centre[near]}"
        what = "no joint peak is centred where this window is"
        if again[wrong[0]]:
            what = "no joint peak is centred where this window is that has no window yet"
        raise windows.error(window, what, "no joint peak", where)
    return peak_of


def _wrong_label(
    tools: _Bedtools,
    windows: _StoredWindows,
    files: _PeakFiles,
    window: int,
    cell_type: int,
    joint: pd.Series,
) -> CheckError:
    name, path = files.names[cell_type], files.paths(cell_type)
    is_open = windows.label(cell_type)[window]
    peak = _overlapping(files.peaks(cell_type, tools), joint)
    return windows.error(
        window,
        f"the label of {name!r} is not that of its joint peak {_place(joint)}",
        "open" if is_open else "closed",
        f"closed: no peak of {path} is in it" if peak is None else f"open: peak {peak} of {path} is in it",
    )


def _explain_absent(
    tools: _Bedtools,
    windows: _StoredWindows,
    files: _PeakFiles,
    absent: pd.DataFrame,
    centre: np.ndarray,
    blacklist: pd.DataFrame | None,
    bases: Callable[[str, int, int], str],
) -> None:
    """Raise for joint peaks without a window that nothing in the recipe leaves out."""
    recipe, ends = files.recipe, windows.genome.ends(absent)
    if recipe.split.by == "block" or absent.empty:
        return
    start = centre - recipe.windows.length // 2
    end = start + recipe.windows.length
    left = np.ones(start.size, dtype=bool)
    if recipe.windows.past_end == "drop":
        left = (start >= 0) & (end <= ends)
    codes = absent["chrom"].cat.codes.to_numpy()
    bounds = np.maximum(start, 0), np.minimum(end, ends)
    rows = windows.genome.rows(codes, *bounds, number=np.arange(start.size))
    if blacklist is not None and len(blacklist):
        for found in tools.intersect(tools.write(rows, "absent"), tools.write(blacklist, "blacklist")):
            left[found["number"]] = False
    if recipe.windows.max_n < 1:
        for number in np.flatnonzero(left).tolist():
            letters = bases(str(absent["chrom"].iloc[number]), int(start[number]), recipe.windows.length)
            left[number] = _share_of_n(letters) <= recipe.windows.max_n
    if left.any():
        joint = absent[left].iloc[0]
        peak = files.overlapping(joint, tools)
        raise CheckError(
            f"{int(left.sum())} joint peaks have no window",
            where=windows.path,
            found=f"none on {_place(joint)}"
            + ("" if peak is None else f", where {peak[0]!r} has the peak {peak[1]}"),
            expected="a window on every joint peak",
            remedy="build the store again",
        )


def _extended(rows: pd.DataFrame, genome: _Genome, length: int) -> pd.DataFrame:
    """Peaks as windows about their summits or midpoints, moved inside their chromosomes."""
    summit, ends = rows["summit"].to_numpy(), genome.ends(rows)
    middle = (rows["start"].to_numpy() + rows["end"].to_numpy()) // 2
    start = np.maximum(np.where(summit >= 0, summit, middle) - length // 2, 0)
    start = np.maximum(np.minimum(start, ends - length), 0)
    return genome.rows(rows["chrom"].cat.codes.to_numpy(), start, start + length)


def _check_basset(tools: _Bedtools, windows: _StoredWindows, files: _PeakFiles) -> None:
    recipe, genome = files.recipe.windows, windows.genome
    runs, union, members = _Union(tools, genome, -(recipe.merge_overlap + 1)), _Union(tools, genome, 0), []
    for cell_type in files.readable:
        rows = files.peaks(cell_type, tools)
        extended = _extended(rows, genome, recipe.length)
        members.append(np.unique(_keys(extended)))
        runs.add(extended)
        union.add(rows)
    run = runs.merged()
    run = run[~run.duplicated()]
    window_of, run_of = _runs_about(tools, windows, run)
    for cell_type, keys in enumerate(members):
        has, allowed = np.zeros(len(run), dtype=bool), np.zeros(windows.start.size, dtype=bool)
        has[np.searchsorted(_keys(run), keys, side="right") - 1] = True
        allowed[window_of[has[run_of]]] = True
        wrong = np.flatnonzero(windows.label(cell_type) & ~allowed)
        if wrong.size:
            here = run_of[window_of == wrong[0]]
            where = f"in the run of extended peaks {_place(run.iloc[here[0]])}" if here.size else "about it"
            raise windows.error(
                int(wrong[0]),
                f"open in {files.names[cell_type]!r} without a peak in reach",
                "open",
                f"closed: no peak of {files.paths(cell_type)} is {where}",
            )
    _require_closed_apart(tools, windows, files, union.merged())


def _runs_about(
    tools: _Bedtools, windows: _StoredWindows, run: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a window and a run of extended peaks that holds all of it."""
    rows = windows.rows(windows.is_open)
    size = np.zeros(windows.start.size, dtype=np.int64)
    size[rows["number"]] = rows["end"] - rows["start"]
    a, b = tools.write(rows, "windows"), tools.write(run.assign(number=np.arange(len(run))), "runs")
    pairs = [
        found.loc[found["overlap"].to_numpy() == size[found["number"]], ["number", "other"]].to_numpy()
        for found in tools.intersect(a, b)
    ]
    window_of, run_of = np.concatenate(pairs).T
    return window_of, run_of


def _check_labels(tools: _Bedtools, windows: _StoredWindows, files: _PeakFiles) -> None:
    """Labels by `overlap` and `midpoint`: those that bedtools finds, of each cell type that can be read."""
    a = tools.write(windows.rows(), "windows")
    for batch in _batches(tools, files):
        b = tools.write(windows.genome.joined(list(batch.values())), "peaks")
        numbers = {cell_type: place for place, cell_type in enumerate(batch)}
        found = np.zeros((len(batch), windows.start.size), dtype=bool)
        place = np.zeros(len(files.names), dtype=np.int64)
        place[list(numbers)] = list(numbers.values())
        for overlaps in tools.intersect(a, b):
            here = overlaps[overlaps["overlap"] >= _least(files.recipe)]
            found[place[here["other"]], here["number"]] = True
        for cell_type, row in numbers.items():
            differs = np.flatnonzero(found[row] != windows.label(cell_type))
            if differs.size:
                raise _wrong_overlap(tools, windows, files, int(differs[0]), cell_type)


def _least(recipe: Recipe) -> int:
    return 1 if recipe.windows.label_rule == "midpoint" else recipe.windows.label_min_overlap


def _labelling(tools: _Bedtools, files: _PeakFiles, cell_type: int) -> pd.DataFrame:
    """What of the peaks of a cell type has to lie in a window."""
    peaks = files.peaks(cell_type, tools)[["chrom", "start", "end"]]
    if files.recipe.windows.label_rule != "midpoint":
        return peaks
    middle = (peaks["start"] + peaks["end"]) // 2
    return peaks.assign(start=middle, end=middle + 1)


def _batches(tools: _Bedtools, files: _PeakFiles) -> Iterator[dict[int, pd.DataFrame]]:
    """Peaks by cell type, with its number: of as many cell types as are compared at once."""
    batch: dict[int, pd.DataFrame] = {}
    for cell_type in files.readable:
        batch[cell_type] = _labelling(tools, files, cell_type).assign(number=cell_type)
        if sum(map(len, batch.values())) >= _BATCH_ROWS // 2:
            yield batch
            batch = {}
    if batch:
        yield batch


def _wrong_overlap(
    tools: _Bedtools, windows: _StoredWindows, files: _PeakFiles, window: int, cell_type: int
) -> CheckError:
    row, path = windows.rows(np.array([window])).iloc[0], files.paths(cell_type)
    peak = _overlapping(_labelling(tools, files, cell_type), row, _least(files.recipe))
    what = "midpoint" if files.recipe.windows.label_rule == "midpoint" else "peak"
    return windows.error(
        window,
        f"the label of {files.names[cell_type]!r} is not what bedtools finds",
        "open" if windows.label(cell_type)[window] else "closed",
        f"closed: no {what} of {path} is in it"
        if peak is None
        else f"open: {what} {peak} of {path} is in it",
    )
