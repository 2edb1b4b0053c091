"""Windows of a store against its peak files, by bedtools: good stores pass, and a wrong builder is seen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr

from chromacc_data import build_store as building
from chromacc_data.errors import CheckError
from chromacc_data.regions import negatives, peaks, windows
from chromacc_data.store import write as writing
from chromacc_data.store.read import content_hash, open_store
from chromacc_data.verify_store import verify
from tests.small import RECIPE, write_small_dataset

RULES = {
    "joint": "windows: {length: 60, merge_distance: 20}",
    "basset": "windows: {length: 60, overlap: basset, merge_overlap: 15}",
    "overlap": "windows: {length: 60, merge_distance: 20, label: overlap, label_min_overlap: 8}",
    "midpoint": "windows: {length: 60, merge_distance: 20, label: midpoint}",
    "basset overlap": "windows: {length: 60, overlap: basset, merge_overlap: 15, label: overlap}",
    "given": "windows: {length: 60, file: given.bed}",
    "given joint": "windows: {length: 60, file: given.bed, label: overlap, label_min_overlap: 20}",
    "dropped": "windows: {length: 60, merge_distance: 0, past_end: drop}",
}


def write_recipe(folder: Path, rule: str, *, by: str = "random", summits: bool = False) -> Path:
    """The small dataset with narrowPeak files, a blacklist, closed windows and one of the rules."""
    recipe = RECIPE.replace("windows: {length: 60, merge_distance: 20}", RULES[rule])
    recipe = recipe.replace(
        "by: block, block_size: 500,", f"by: {by}," + " block_size: 500," * (by == "block")
    )
    recipe += "blacklist: black.bed\nnegatives: {gc_bin: 0.2, max_n: 0.1}\n"
    if summits:
        recipe = recipe.replace("liver.bed}", "liver.bed, center: summit}")
    path = write_small_dataset(folder, recipe=recipe)
    rng = np.random.default_rng(1)
    (folder / "black.bed").write_text("chr1\t500\t520\nchr2\t40\t90\nchrUn\t0\t9\n")
    starts = np.sort(rng.choice(5800, 200, replace=False))
    (folder / "given.bed").write_text(
        "".join(f"chr{1 + i % 2}\t{s}\t{s + 60}\n" for i, s in enumerate(starts))
    )
    lines = []
    for line in (folder / "liver.bed").read_text().splitlines():
        _, start, end = line.split("\t")
        offset = rng.integers(-1, int(end) - int(start))
        lines.append(f"{line}\t.\t0\t.\t1\t-1\t-1\t{offset}\n")
    (folder / "liver.bed").write_text("".join(lines))
    return path


@pytest.mark.parametrize("summits", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_check_windows__good_stores(tmp_path, rule, summits):
    recipe = write_recipe(
        tmp_path / "small", rule, by="block" if rule == "joint" else "random", summits=summits
    )
    checked = verify(building.build(recipe, tmp_path / "a.zarr").path, n_sample=1)
    assert "windows of 3 of 3 cell types lie on the peaks of their files, by bedtools" in checked.held
    assert not checked.unchecked


def test_check_windows__says_what_it_does_not_check(tmp_path):
    recipe = write_recipe(tmp_path / "small", "overlap")
    recipe.write_text(
        recipe.read_text().replace("source: neuron.bed", "source: neuron.bed, kind: fragments, threshold: 1")
    )
    checked = verify(building.build(recipe, tmp_path / "a.zarr").path, n_sample=1)
    assert "windows of 2 of 3 cell types lie on the peaks of their files, by bedtools" in checked.held
    assert checked.unchecked == ("labels of signal and fragments, by bedtools",)


def wrong_summits(monkeypatch):
    right = peaks.mean_summits
    for module in (peaks, windows):
        monkeypatch.setattr(module, "mean_summits", lambda *a: np.where(right(*a) < 0, -1, right(*a) + 1))


def wrong_groups(monkeypatch):
    right = windows.merge_intervals

    def shifted(*columns, distance):
        chrom, start, end = right(*columns, distance=distance)
        return chrom, start + (chrom == 1), end

    monkeypatch.setattr(windows, "merge_intervals", shifted)


def wrong_distance(monkeypatch):
    monkeypatch.setattr(windows, "merge_distance", lambda recipe: 0)


def wrong_labels(monkeypatch):
    right = windows._labels

    def shifted(peaks, chrom, start, recipe):
        return right(peaks, chrom, start + 3 * (chrom == 1), recipe)

    monkeypatch.setattr(windows, "_labels", shifted)


def wrong_cell_types(monkeypatch):
    right = windows._merge_greedily

    def reordered(centre, cell_type, *rest):
        return right(centre, (cell_type + 1) % 3, *rest)

    monkeypatch.setattr(windows, "_merge_greedily", reordered)


def no_flanks(monkeypatch):
    monkeypatch.setattr(negatives, "_closed_runs", everything)


def everything(taken, lengths, length):
    lengths = np.asarray(lengths)
    chrom = np.arange(lengths.size, dtype=np.int32)
    return negatives._ClosedRuns(chrom, lengths * 0, lengths - length + 1)


def no_blacklist(monkeypatch):
    monkeypatch.setattr(windows, "_touches", lambda chrom, *rest: np.zeros(chrom.size, dtype=bool))


@pytest.mark.parametrize(
    ("rule", "spoil", "message"),
    [
        ("joint", wrong_summits, "no joint peak is centred"),
        ("joint", wrong_groups, "no joint peak is centred"),
        ("joint", wrong_distance, "joint peak"),
        ("joint", no_flanks, "overlaps a peak"),
        ("joint", no_blacklist, "overlaps the blacklist"),
        ("overlap", wrong_labels, "is not what bedtools finds"),
        ("midpoint", wrong_labels, "is not what bedtools finds"),
        ("given", wrong_labels, "is not what bedtools finds"),
        ("basset", wrong_cell_types, "without a peak in reach"),
    ],
)
def test_check_windows__sees_what_the_builder_gets_wrong_every_time(
    tmp_path, monkeypatch, rule, spoil, message
):
    """Built and derived again with the same wrong arithmetic, the store equals what it is compared with."""
    recipe = write_recipe(tmp_path / "small", rule, summits=True)
    spoil(monkeypatch)
    path = building.build(recipe, tmp_path / "a.zarr").path
    with pytest.raises(CheckError, match=message) as caught:
        verify(path, n_sample=1)
    assert str(path) in str(caught.value)
    monkeypatch.setattr("chromacc_data.regions.check.check_windows", lambda *a, **k: ("nothing",))
    verify(path, n_sample=1)


def test_check_windows__a_joint_peak_without_a_window(tmp_path, monkeypatch):
    recipe = write_recipe(tmp_path / "small", "joint")
    right = windows.derive_windows
    monkeypatch.setattr(windows, "derive_windows", lambda *a, **k: right(*a, **k).select(slice(1, None)))
    path = building.build(recipe, tmp_path / "a.zarr").path
    with pytest.raises(CheckError, match="have no window"):
        verify(path, n_sample=1)


def test_check_windows__a_label_that_was_changed(tmp_path):
    path = building.build(write_recipe(tmp_path / "small", "joint"), tmp_path / "a.zarr").path
    group = zarr.open_group(path, mode="r+")
    row = int(np.flatnonzero(group["accessibility"][:].any(axis=1))[0])
    group["accessibility"][row] = 1 - group["accessibility"][row]
    writing._seal(path, content_hash(path))
    with pytest.raises(CheckError, match="joint peak"):
        verify(path)


def rewrite(path: Path, form: str) -> None:
    """Put a BED file into another format: the same intervals, with names of columns and comments."""
    lines = ["# made by hand\n", "track name=x\n", "\n"]
    if form == "macs_xls":
        lines += [
            "\t".join(["chr", "start", "end", "length", "abs_summit", *("pileup", "fold_enrichment")]) + "\n"
        ]
    for line in path.read_text().splitlines():
        chrom, start, end = line.split("\t")[0], *map(int, line.split("\t")[1:3])
        size = end - start
        six = f"{chrom}\t{start}\t{end}\tp#1\t0\t."
        blocks = f"{start}\t{end}\t0\t1\t{size}\t0"
        lines.append(
            {
                "header": six,
                "bed12": f"{six}\t{blocks}",
                "gappedPeak": f"{six}\t{blocks}\t2.5\t-1\t-1",
                "broadPeak": f"{six}\t2.5\t-1\t-1",
                "narrowPeak": f"{six}\t2.5\t-1\t-1\t{size // 3}",
                "IDR": f"{six}\t2.5\t-1\t-1\t{size // 3}\t1.5\t2.5",
                "IDR 20": f"{six}\t2.5\t-1\t-1\t{size // 3}" + "\t1.5" * 10,
                "macs_xls": f"{chrom}\t{start + 1}\t{end}\t{size}\t{start + size // 3 + 1}\t5\t2.5",
            }[form]
            + "\n"
        )
    if form == "header":
        lines.insert(0, "chrom\tchromStart\tchromEnd\tname\tscore\tstrand\n")
    path.write_text("".join(lines))


HAVE_SUMMITS = ("narrowPeak", "IDR", "IDR 20", "macs_xls")


@pytest.mark.parametrize("form", ["header", "bed12", "gappedPeak", "broadPeak", *HAVE_SUMMITS])
def test_check_windows__formats(tmp_path, monkeypatch, form):
    """Good stores of each format pass, and windows that miss the peaks of one are seen."""
    recipe = write_recipe(tmp_path / "small", "joint", summits=form in HAVE_SUMMITS)
    rewrite(tmp_path / "small" / "liver.bed", form)
    checked = verify(building.build(recipe, tmp_path / "a.zarr").path, n_sample=1)
    assert "windows of 3 of 3 cell types lie on the peaks of their files, by bedtools" in checked.held
    (wrong_summits if form in HAVE_SUMMITS else wrong_distance)(monkeypatch)
    path = building.build(recipe, tmp_path / "b.zarr").path
    with pytest.raises(CheckError, match="joint peak"):
        verify(path, n_sample=1)


@pytest.mark.parametrize("rule", ["joint", "overlap", "basset"])
@pytest.mark.parametrize(("past_end", "other"), [("clip", "drop"), ("drop", "clip")])
def test_check_windows__past_end(tmp_path, monkeypatch, rule, past_end, other):
    """Peaks past a chromosome's end are clipped or left out, and a builder that does the other is seen."""
    recipe = write_recipe(tmp_path / "small", rule)
    text = recipe.read_text().replace("negatives: {gc_bin: 0.2, max_n: 0.1}\n", "")
    recipe.write_text(text.replace("t_cell.bed}", f"t_cell.bed, past_end: {past_end}}}"))
    with (tmp_path / "small" / "t_cell.bed").open("a") as file:
        file.write("chr1\t8960\t9040\nchr2\t6000\t6010\nchr2\t7000\t7010\n")
    # Windows to be labelled there, by a cell type within the chromosome.
    with (tmp_path / "small" / "neuron.bed").open("a") as file:
        file.write("chr1\t8950\t8990\n")
    verify(building.build(recipe, tmp_path / "a.zarr").path, n_sample=1)
    right = peaks._inside
    monkeypatch.setattr(peaks, "_inside", lambda r, g, p, c: right(r, g, other if p == past_end else p, c))
    path = building.build(recipe, tmp_path / "b.zarr").path
    if rule == "basset" and other == "drop":
        return  # which windows of a run are merged is not checked
    with pytest.raises(CheckError, match=r"joint peak|T cell"):
        verify(path, n_sample=1)


def test_check_windows__errors_name_cell_type_window_and_peak(tmp_path):
    path = building.build(write_recipe(tmp_path / "small", "overlap"), tmp_path / "a.zarr").path
    group = zarr.open_group(path, mode="r+")
    row = int(np.flatnonzero(group["accessibility"][:, 1])[0])
    group["accessibility"][row, 1] = 0
    writing._seal(path, content_hash(path))
    with pytest.raises(CheckError) as caught:
        verify(path)
    message = str(caught.value)
    assert f"window {row} (chr" in message
    assert "the label of 'T cell' is not what bedtools finds" in message
    assert "open: peak chr" in message
    assert "t_cell.bed" in message


def n_in_genome(folder: Path) -> None:
    """Put a stretch of N where the small dataset has peaks, and closed genome."""
    lines = (folder / "genome.fa").read_text().splitlines()
    for number in (*range(20, 45), *range(130, 150)):
        lines[number] = "N" * 50
    (folder / "genome.fa").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("rule", RULES)
def test_check_windows__no_window_holds_more_n_than_the_recipe_allows(tmp_path, monkeypatch, rule):
    recipe = write_recipe(tmp_path / "small", rule)
    n_in_genome(tmp_path / "small")
    built = building.build(recipe, tmp_path / "a.zarr")
    sequence = open_store(built.path)["sequence"].values
    assert built.counts["windows_with_n_dropped"] > 0
    assert (1 - sequence.sum(axis=(1, 2)) / sequence.shape[1]).max() <= 0.1
    asked = ("closed_windows", "closed_windows_missing", "closed_windows_without_gc")
    assert built.counts["closed_windows_wanted"] == sum(built.counts[name] for name in asked)
    verify(built.path, n_sample=1)
    # A builder that looks at no N is seen.
    monkeypatch.setattr(windows, "gc_and_n", lambda genome, chrom, start, n: (start * 0.0, start * 0.0))
    path = building.build(recipe, tmp_path / "b.zarr").path
    with pytest.raises(CheckError, match="holds more N than"):
        verify(path, n_sample=1)


def test_check_windows__a_window_that_was_dropped_for_n_that_is_not_there_is_missed(tmp_path, monkeypatch):
    recipe = write_recipe(tmp_path / "small", "joint")
    right = windows.gc_and_n
    monkeypatch.setattr(
        windows, "gc_and_n", lambda *a: (right(*a)[0], right(*a)[1] + (np.arange(a[2].size) == 3))
    )
    path = building.build(recipe, tmp_path / "a.zarr").path
    with pytest.raises(CheckError, match="joint peaks have no window"):
        verify(path, n_sample=1)


def test_verify__a_store_made_before_there_was_a_limit_on_n(tmp_path, monkeypatch):
    """Its recipe has no `max_n`, and its windows may be of nothing but N."""
    recipe = write_recipe(tmp_path / "small", "joint")
    n_in_genome(tmp_path / "small")
    as_now = recipe.read_text()
    recipe.write_text(as_now.replace("merge_distance: 20}", "merge_distance: 20, max_n: 1}"))
    path = building.build(recipe, tmp_path / "a.zarr").path
    assert "windows_with_n_dropped" not in open_store(path).attrs["counts"]
    recipe.write_text(as_now)
    group = zarr.open_group(path, mode="r+")
    group.attrs["recipe"] = as_now
    writing._seal(path, content_hash(path))
    verify(path)


@pytest.mark.parametrize("rule", ["joint", "basset", "overlap", "given"])
@pytest.mark.parametrize("summits", [False, True])
@pytest.mark.parametrize("least", [1, 2])
def test_check_windows__replicates(tmp_path, monkeypatch, rule, summits, least):
    recipe = write_recipe(tmp_path / "small", rule, summits=summits)
    folder = tmp_path / "small"
    lines = (folder / "liver.bed").read_text().splitlines(keepends=True)
    (folder / "again.bed").write_text("".join(lines[:3] + lines[20:]))
    more = f"liver.bed, replicates: [again.bed], min_replicates: {least}"
    recipe.write_text(recipe.read_text().replace("source: liver.bed", f"source: {more}"))
    built = building.build(recipe, tmp_path / "a.zarr")
    records = json.loads(open_store(built.path).attrs["inputs"])
    assert [r["source"] for r in records if r["name"] == "liver"] == ["liver.bed", "again.bed"]
    verify(built.path, n_sample=1)
    # A builder that takes the first file alone is seen, where that is not the same.
    if least == 2 and rule != "basset":
        monkeypatch.setattr(peaks, "_joined", lambda files, sample, path: files[0])
        path = building.build(recipe, tmp_path / "b.zarr").path
        with pytest.raises(CheckError, match=r"joint peak|liver"):
            verify(path, n_sample=1)
