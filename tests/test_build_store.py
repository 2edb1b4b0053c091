from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import pyfaidx
import pytest
from dask.distributed import LocalCluster

from chromacc_data import build_store as building
from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.regions import merged_peaks, plan
from chromacc_data.store import schema
from chromacc_data.store.partial import Partial
from chromacc_data.store.read import content_hash, open_store
from tests.small import LENGTHS, RECIPE, write_small_dataset


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Address of a scheduler with two workers, each a process of its own."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
    ) as running:
        yield running.scheduler_address


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_small_dataset(tmp_path / "small")


def naive_joint_windows(folder: Path) -> dict[tuple[str, int], set[str]]:
    """Windows and labels of the small dataset by the rule of section 4.1, nucleotide by nucleotide."""
    windows = {}
    for chrom, length in (("chr1", LENGTHS["chr1"]), ("chr2", LENGTHS["chr2"])):
        peaks = {}
        for cell_type, file in (("liver", "liver"), ("T cell", "t_cell"), ("neuron", "neuron")):
            is_open = np.zeros(length, bool)
            for line in (folder / f"{file}.bed").read_text().splitlines():
                name, start, end = line.split()
                if name == chrom:
                    is_open[int(start) : int(end)] = True
            where = np.flatnonzero(is_open)
            # Open regions at most 20 bp apart are one peak.
            groups = np.split(where, np.flatnonzero(np.diff(where) > 21) + 1)
            peaks[cell_type] = [(group[0], group[-1] + 1) for group in groups]
        covered = np.zeros(length, bool)
        touching = np.zeros(length, bool)  # a nucleotide and the next belong to one peak
        for intervals in peaks.values():
            for start, end in intervals:
                covered[start:end] = True
                touching[start : end - 1] = True
        where = np.flatnonzero(covered)
        breaks = [
            i + 1 for i in range(len(where) - 1) if where[i + 1] != where[i] + 1 or not touching[where[i]]
        ]
        for group in np.split(where, breaks):
            start, end = group[0], group[-1] + 1
            labels = {name for name, ps in peaks.items() if any(start <= p[0] and p[1] <= end for p in ps)}
            windows[chrom, int((start + end) // 2 - 30)] = labels
    return windows


def test_build__genome_with_a_header_within_a_line(recipe: Path, tmp_path: Path):
    """An index that another program made without seeing the header does not help: the MD5 reads all bases."""
    genome = recipe.parent / "genome.fa"
    building.build(recipe, tmp_path / "a.zarr")
    bases = genome.read_bytes()
    genome.write_bytes(bases[:8000] + b">" + bases[8001:])
    for message in ("sequence 'chr1' has '>' inside a line", "a sequence has '>' inside a line"):
        with pytest.raises(InputError, match=message):
            building.build(recipe, tmp_path / "b.zarr")
        genome.with_name("genome.fa.fai").unlink(missing_ok=True)
    assert not (tmp_path / "b.zarr").exists()


def test_build__windows_labels_and_bases_by_naive_code(recipe: Path, tmp_path: Path):
    built = building.build(recipe, tmp_path / "a.zarr")
    ds = open_store(built.path)
    expected = naive_joint_windows(recipe.parent)
    names = list(ds["chrom"].attrs["names"])
    cell_types = [str(name) for name in ds["cell_type"].values]
    fasta = pyfaidx.Fasta(str(recipe.parent / "genome.fa"), sequence_always_upper=True)
    found = {}
    for row in range(ds.sizes["window"]):
        one = ds.isel(window=row).load()
        chrom, start, end = names[int(one["chrom"])], int(one["start"]), int(one["end"])
        assert end - start == 60
        found[chrom, start] = {cell_types[i] for i in np.flatnonzero(one["accessibility"].values)}
        text = "".join("NACGT"[int(base @ [1, 2, 3, 4])] for base in one["sequence"].values)
        inside = fasta[chrom][max(0, start) : end].seq
        assert text == ("N" * max(0, -start) + inside).ljust(60, "N")
    dropped = built.counts["windows_over_a_block_edge_dropped"]
    assert len(expected) == len(found) + dropped
    assert found.items() <= expected.items()
    order = list(zip(ds["chrom"].values.tolist(), ds["start"].values.tolist(), strict=True))
    assert order == sorted(order)


def test_build__provenance(recipe: Path, tmp_path: Path):
    built = building.build(recipe, tmp_path / "a.zarr")
    attrs = open_store(built.path).attrs
    genome = json.loads(attrs[schema.ATTR_GENOME])
    assert list(genome["sequences"]) == ["chr1", "chr2"]
    assert genome["sequences"]["chr1"]["length"] == 9000
    assert attrs[schema.ATTR_RECIPE] == RECIPE
    inputs = json.loads(attrs[schema.ATTR_INPUTS])
    assert [i["name"] for i in inputs] == ["genome", "liver", "T cell", "neuron"]
    assert inputs[1]["bytes"] == (recipe.parent / "liver.bed").stat().st_size
    assert all(pair["windows"] == 0 for pair in json.loads(attrs[schema.ATTR_LEAKS])["splits"].values())
    assert json.loads(attrs[schema.ATTR_COUNTS])["intervals_excluded"] == 6


def test_build__same_bits_for_any_engine(recipe: Path, tmp_path: Path, cluster: str):
    engines = {
        "one": Engine(workers=1),
        "two": Engine(workers=2),
        "processes": Engine(workers=2, processes=True),
        "cluster": Engine(scheduler=cluster),
    }
    built = {
        name: building.build(recipe, tmp_path / f"{name}.zarr", engine=engine)
        for name, engine in engines.items()
    }
    assert len({b.content_hash for b in built.values()}) == 1
    files = sorted(p.relative_to(tmp_path / "one.zarr") for p in (tmp_path / "one.zarr").rglob("*"))
    for name in engines:
        for file in files:
            if (tmp_path / "one.zarr" / file).is_file():
                assert (tmp_path / name).with_suffix(".zarr").joinpath(file).read_bytes() == (
                    tmp_path / "one.zarr" / file
                ).read_bytes()
    assert building.build(recipe, tmp_path / "a.h5").content_hash == built["one"].content_hash


def test_build__same_bits_whether_tasks_take_one_or_several(recipe: Path, tmp_path: Path, monkeypatch):
    # One cell type has summits, of some peaks, and the others have none.
    path = recipe.parent / "t_cell.bed"
    rows = [line.split() for line in path.read_text().splitlines()]
    path.write_text(
        "".join(f"{a}\t{b}\t{c}\tp\t0\t.\t0\t0\t0\t{i % 3 - 1}\n" for i, (a, b, c) in enumerate(rows))
    )
    recipe.write_text(
        RECIPE.replace("source: t_cell.bed}", "source: t_cell.bed, center: summit}")
        + "negatives: {ratio: 0.5}\n"
    )
    hashes, n_parts = set(), []
    group = merged_peaks.group_small

    def counted(*given: object) -> list[slice]:
        n_parts.append(len(parts := group(*given)))
        return parts

    for module in (merged_peaks, plan):
        monkeypatch.setattr(module, "group_small", counted)
    for least in (1, 2, 100):
        monkeypatch.setattr(merged_peaks, "_LEAST_TASKS", least)
        hashes.add(building.build(recipe, tmp_path / f"{least}.zarr").content_hash)
    assert len(hashes) == 1
    assert n_parts == [1, 1, 2, 2, 3, 2]  # cell types and chromosomes


def test_build__negatives_blacklist_and_fixed_windows(tmp_path: Path):
    with_more = RECIPE + "negatives: {ratio: 0.5, gc_bin: 0.1}\nblacklist: black.bed\n"
    path = write_small_dataset(tmp_path / "a", recipe=with_more)
    (path.parent / "black.bed").write_text("chr1\t1000\t2000\tHigh Signal Region\n")
    built = building.build(path, tmp_path / "a.zarr")
    ds = open_store(built.path)
    is_closed = ~ds["accessibility"].values.any(axis=1)
    assert is_closed.sum() > 0
    on_chr1 = ds["chrom"].values == 0
    assert not (on_chr1 & (ds["start"].values < 2000) & (ds["end"].values > 1000)).any()
    assert built.counts["windows_in_blacklist_dropped"] > 0

    fixed = RECIPE.replace(
        "windows: {length: 60, merge_distance: 20}", "windows: {length: 60, file: windows.bed}"
    )
    path = write_small_dataset(tmp_path / "b", recipe=fixed.replace("folds: 3", "folds: 0"))
    (path.parent / "windows.bed").write_text(
        "".join(f"chr2\t{s}\t{s + 60}\tw\n" for s in range(0, 6000, 100))
    )
    ds = open_store(building.build(path, tmp_path / "b.zarr").path)
    assert ds["start"].values.tolist() == list(range(0, 6000, 100))


def test_build__a_finished_store_is_left_alone(recipe: Path, tmp_path: Path):
    out = tmp_path / "a.zarr"
    assert building.build(recipe, out).is_new
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    again = building.build(recipe, out)
    assert not again.is_new
    assert before == {p: p.stat().st_mtime_ns for p in out.rglob("*")}


def test_build__changed_recipe_needs_a_word(recipe: Path, tmp_path: Path):
    out = tmp_path / "a.zarr"
    first = building.build(recipe, out)
    recipe.write_text(RECIPE.replace("seed: 7", "seed: 8"))
    with pytest.raises(InputError, match="--overwrite"):
        building.build(recipe, out)
    assert content_hash(out) == first.content_hash
    second = building.build(recipe, out, overwrite=True)
    assert content_hash(out) == second.content_hash != first.content_hash


def test_build__changed_recipe_over_an_unfinished_build(recipe: Path, tmp_path: Path):
    out = tmp_path / "a.zarr"
    with Partial.open(out, key="of an older recipe") as partial:
        (partial.folder / "chunks").mkdir()
        partial.marker(0).write_text("digest")
    with pytest.raises(InputError, match="--restart"):
        building.build(recipe, out)
    assert building.build(recipe, out, restart=True).is_new


def test_build__overwrites_stores_only(recipe: Path, tmp_path: Path):
    mine = tmp_path / "mine.zarr"
    mine.mkdir()
    (mine / "thesis.docx").write_text("years of work")
    with pytest.raises(InputError, match="cannot be opened as a store"):
        building.build(recipe, mine, overwrite=True)
    assert (mine / "thesis.docx").exists()
    broken = building.build(recipe, tmp_path / "broken.zarr").path
    (broken / "split" / "c" / "0").unlink()
    with pytest.raises(InputError, match="are missing"):
        building.build(recipe, broken)
    assert building.build(recipe, broken, overwrite=True).is_new


def test_build__corrected_input_after_a_bad_one(recipe: Path, tmp_path: Path):
    out, bed = tmp_path / "a.zarr", recipe.parent / "liver.bed"
    good = bed.read_text()
    bed.write_text(good + "chr1\t-5\t10\n")
    with pytest.raises(InputError, match=r"liver\.bed line"):
        building.build(recipe, out, engine=Engine(workers=2))
    assert not list(tmp_path.glob("a.zarr*"))
    bed.write_text(good)
    assert building.build(recipe, out).is_new


def test_build__clears_what_a_kill_after_publishing_left(recipe: Path, tmp_path: Path):
    out = building.build(recipe, tmp_path / "a.zarr").path
    (tmp_path / "a.zarr.partial").mkdir()
    (tmp_path / "a.zarr.replaced").mkdir()
    assert not building.build(recipe, out).is_new
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "small"]


def test_build__vanished_input_leaves_the_older_store(recipe: Path, tmp_path: Path):
    out = tmp_path / "a.zarr"
    first = building.build(recipe, out)
    (recipe.parent / "t_cell.bed").unlink()
    with pytest.raises(InputError, match="no such file"):
        building.build(recipe, out, overwrite=True)
    assert content_hash(out) == first.content_hash


def test_build__wrong_assembly(recipe: Path, tmp_path: Path):
    md5 = "0" * 32
    recipe.write_text(RECIPE.replace("  exclude", f"  md5: {{chr1: '{md5}'}}\n  exclude"))
    with pytest.raises(InputError, match="chr1 is not the sequence that the recipe specifies") as caught:
        building.build(recipe, tmp_path / "a.zarr")
    assert "9,000 bp" in str(caught.value)
    assert not list(tmp_path.glob("a.zarr*"))


def test_build__names_of_another_convention(recipe: Path, tmp_path: Path):
    bed = recipe.parent / "liver.bed"
    bed.write_text(bed.read_text().replace("chr", ""))
    with pytest.raises(InputError, match=r"(remove|add) `chr`") as caught:
        building.build(recipe, tmp_path / "a.zarr")
    assert "chr1 chr2" in str(caught.value)
    assert not (tmp_path / "a.zarr").exists()


def test_build__random_splits_report_what_they_share(recipe: Path, tmp_path: Path):
    """Overlapping windows on one chromosome leak under `random`, which promises nothing, and are reported."""
    recipe.write_text(
        RECIPE.replace("{by: block, block_size: 500, ", "{by: random, ").replace("length: 60", "length: 200")
    )
    built = building.build(recipe, tmp_path / "a.zarr")
    leaks = json.loads(open_store(built.path).attrs[schema.ATTR_LEAKS])
    assert leaks["splits"]["train-test"]["bp"] > 0


def _build_when_told(recipe: Path, out: Path, ready: Event) -> None:
    ready.set()
    building.build(recipe, out, engine=Engine(workers=1))


@pytest.mark.parametrize("suffix", [".zarr", ".h5"])
def test_build__killed_at_any_moment(tmp_path: Path, suffix: str):
    """`kill -9` at growing delays until one run ends by itself: the hash is that of an undisturbed run."""
    recipe = write_small_dataset(tmp_path / "small", recipe=RECIPE.replace("chunk: 16", "chunk: 2"))
    expected = building.build(recipe, tmp_path / "undisturbed.zarr").content_hash
    out = tmp_path / f"killed{suffix}"
    processes = multiprocessing.get_context("forkserver")  # imports once, not for each of the killed
    processes.set_forkserver_preload(["tests.test_build_store"])
    kills = 0
    for delay in (*np.geomspace(0.02, 3, 10), None):
        ready = processes.Event()
        process = processes.Process(target=_build_when_told, args=(recipe, out, ready))
        process.start()
        ready.wait()
        process.join(delay)
        if process.exitcode is None:
            process.kill()
            process.join()
            kills += 1
        elif process.exitcode == 0:
            break
        if out.exists():
            open_store(out)  # never a part of a store under the final name
    assert process.exitcode == 0
    assert kills >= 2
    assert content_hash(out) == expected
    assert not out.with_name(out.name + ".partial").exists()


def test_build__truncated_fasta_is_not_that_of_its_index(recipe: Path, tmp_path: Path):
    fasta = recipe.parent / "genome.fa"
    building.build(recipe, tmp_path / "a.zarr")  # writes the index
    time.sleep(0.01)
    fasta.write_bytes(fasta.read_bytes()[:-300])
    with pytest.raises(InputError, match=r"genome\.fa"):
        building.build(recipe, tmp_path / "b.zarr")
    assert not (tmp_path / "b.zarr").exists()
