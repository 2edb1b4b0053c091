"""Simulated sets from recipe to store: the same bits however they are made, and every error on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from dask.distributed import LocalCluster

from chromacc_data import build_store as build
from chromacc_data import describe_store as info
from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.recipe.recipe import load_recipe
from chromacc_data.sequences.encoding import codes_from_one_hot, decode, encode, reverse_complement
from chromacc_data.sequences.genome import Genome
from chromacc_data.simulation import plan as simulate
from chromacc_data.sources.inputs import open_genome, resolve_inputs
from chromacc_data.store import batches, schema
from chromacc_data.store.read import content_hash, open_store, read_variable
from chromacc_data.store.write import convert
from chromacc_data.verify_store import verify
from tests import ROOT
from tests.simulated import BACKGROUNDS, MOTIFS, SIMPLE, simulated_recipe, write_simulated_dataset
from tests.simulation.test_backgrounds import dinucleotides


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Address of a scheduler with one worker, a process of its own."""
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
    ) as running:
        yield running.scheduler_address


def built_dataset(tmp_path: Path, recipe: str = SIMPLE, name: str = "a.zarr", **options):
    path = write_simulated_dataset(tmp_path / "set", recipe)
    return open_store(build.build(path, tmp_path / name, **options).path)


def sequences(ds) -> list[str]:
    return [decode(row) for row in codes_from_one_hot(read_variable(ds, "sequence"))]


def test_build__sites_are_in_the_sequences(tmp_path: Path):
    ds = built_dataset(tmp_path)
    names = [str(name) for name in ds["motif"].values]
    assert names == list(MOTIFS)
    assert dict(ds.sizes) == {
        "window": 1500, "position": 50, "base": 4, "cell_type": 4, "site": 2, "motif": 4,
    }  # fmt: skip
    assert [str(name) for name in ds["cell_type"].values] == ["sum_1", "sum_2", "pair", "own"]
    assert not {"chrom", "start", "end", "strand"} & set(ds.variables)
    motif, start, strand = (read_variable(ds, f"site_{key}") for key in ("motif", "start", "strand"))
    n_sites = (motif >= 0).sum(axis=1)
    assert np.bincount(n_sites) / 1500 == pytest.approx([1 / 6, 2 / 6, 3 / 6], abs=0.05)
    for text, *sites in zip(sequences(ds), motif, start, strand, strict=True):
        for m, s, d in zip(*sites, strict=True):
            if m >= 0:
                found = text[s : s + len(MOTIFS[names[m]])]
                assert (found if d > 0 else decode(reverse_complement(encode(found)))) == MOTIFS[names[m]]


def test_build__splits_folds_and_counts(tmp_path: Path):
    ds = built_dataset(tmp_path)
    split, fold = read_variable(ds, "split"), read_variable(ds, "fold")
    assert np.bincount(split).tolist() == [1200, 100, 200]
    assert np.bincount(fold[split != 2]).tolist() == [260] * 5
    assert set(fold[split == 2].tolist()) == {schema.NO_FOLD}
    counts = json.loads(ds.attrs[schema.ATTR_COUNTS])
    accessibility = read_variable(ds, "accessibility")
    for i, name in enumerate(["sum_1", "sum_2", "pair", "own"]):
        assert counts[f"windows_open_in_{name}"] == accessibility[:, i].sum()
    assert counts["sites"] == (read_variable(ds, "site_motif") >= 0).sum()
    assert counts["accidental_occurrences"] == read_variable(ds, "accidental").sum()


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_build__verifies_with_every_background(tmp_path: Path, background: str):
    ds = built_dataset(tmp_path, simulated_recipe(background))
    assert set("".join(sequences(ds))) == set("ACGT")
    assert verify(tmp_path / "a.zarr", n_sample=None).simulated


def test_build__same_bits_for_any_engine_and_chunk(tmp_path: Path, cluster: str):
    path = write_simulated_dataset(tmp_path / "set")
    engines = {
        "one": Engine(workers=1),
        "two": Engine(workers=2),
        "processes": Engine(workers=2, processes=True),
        "cluster": Engine(scheduler=cluster),
    }
    hashes = {build.build(path, tmp_path / f"{n}.zarr", engine=e).content_hash for n, e in engines.items()}
    assert len(hashes) == 1
    first = open_store(tmp_path / "one.zarr")
    for chunk in (37, 512, 1499, 5000):
        path.write_text(SIMPLE.replace("chunk: 64", f"chunk: {chunk}"))
        build.build(path, tmp_path / "chunk.zarr", overwrite=True)
        again = open_store(tmp_path / "chunk.zarr")
        for variable in schema.SIMULATED:
            found, expected = (read_variable(ds, variable.name) for ds in (again, first))
            assert np.array_equal(found, expected), (chunk, variable.name)


def test_build__same_bits_where_workers_read_the_genome(tmp_path: Path):
    path = write_simulated_dataset(tmp_path / "set", simulated_recipe("shuffle"))
    engines = {"one": Engine(workers=1), "processes": Engine(workers=2, processes=True)}
    hashes = {build.build(path, tmp_path / f"{n}.zarr", engine=e).content_hash for n, e in engines.items()}
    assert len(hashes) == 1


def test_build__resumes_an_unfinished_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_simulated_dataset(tmp_path / "set", simulated_recipe("closed"))
    expected = build.build(path, tmp_path / "whole.zarr").content_hash
    with monkeypatch.context() as patched:
        patched.setattr(build, "write_store", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build.build(path, tmp_path / "a.zarr")
    monkeypatch.setattr(simulate, "windows_elsewhere", None)  # the places are kept
    monkeypatch.setattr(simulate.SimulationSource, "plan", None)
    assert build.build(path, tmp_path / "a.zarr").content_hash == expected


def test_build__another_seed_is_another_set(tmp_path: Path):
    first = built_dataset(tmp_path)
    second = built_dataset(tmp_path, SIMPLE.replace("seed: 4", "seed: 5"), "b.zarr")
    assert (read_variable(first, "sequence") != read_variable(second, "sequence")).mean() > 0.3


def test_build__same_sites_in_another_background(tmp_path: Path):
    first = built_dataset(tmp_path)
    second = built_dataset(tmp_path, simulated_recipe("composition"), "b.zarr")
    for variable in (schema.SITE_MOTIF, schema.SITE_START, schema.SITE_STRAND, schema.SCORE):
        found, expected = (read_variable(ds, variable.name) for ds in (first, second))
        assert np.array_equal(found, expected)
    bases = read_variable(second, "sequence").mean(axis=(0, 1))
    assert bases[0] > 0.33
    assert bases[1] < 0.2


def test_build__removes_what_was_not_planted(tmp_path: Path):
    before = built_dataset(tmp_path)
    after = built_dataset(
        tmp_path, SIMPLE.replace("  n_windows", "  remove_accidental: true\n  n_windows"), "b.zarr"
    )
    assert read_variable(before, "accidental").sum() > 100
    assert read_variable(after, "accidental").sum() == 0
    assert json.loads(after.attrs[schema.ATTR_COUNTS])["bases_changed_to_remove_accidental_ones"] > 100
    assert verify(tmp_path / "b.zarr", n_sample=None)


def test_build__closed_windows_are_of_the_genome_and_far_from_peaks(tmp_path: Path):
    path = write_simulated_dataset(tmp_path / "set", simulated_recipe("closed"))
    recipe = load_recipe(path)
    inputs = resolve_inputs(recipe, sources_dir=None, cache_dir=None, engine=Engine(workers=1))
    genome = open_genome(recipe, inputs)
    source = simulate.SimulationSource(recipe, inputs, tmp_path)
    source.plan(tmp_path, engine=Engine(workers=1))
    simulator = source.simulator
    chrom, start = (np.load(tmp_path / "places" / f"{name}.npy") for name in ("chrom", "start"))
    assert len(set(zip(chrom.tolist(), start.tolist(), strict=True))) == 60
    for code in (0, 1):
        assert (np.diff(start[chrom == code]) >= 50).all()
    for line in (tmp_path / "set" / "liver.bed").read_text().splitlines():
        name, *peak = line.split("\t")
        if name in genome.names:
            here = start[chrom == genome.names.index(name)]
            assert ((here >= int(peak[1]) + 50) | (here + 50 <= int(peak[0]) - 50)).all()
    made = simulator.block(0)
    background = Genome.open(tmp_path / "set" / "genome.fa").windows(chrom, start, 50)
    covered = np.zeros(made.codes.shape, bool)
    for row, (motif, first) in enumerate(zip(made.sites.motif, made.sites.start, strict=True)):
        for m, s in zip(motif, first, strict=True):
            covered[row, s : s + simulator.pool.widths[m] if m >= 0 else s] |= m >= 0
    assert np.array_equal(made.codes[~covered], background[~covered])


def test_build__shuffled_windows_keep_the_dinucleotides_of_theirs(tmp_path: Path):
    path = write_simulated_dataset(tmp_path / "set", simulated_recipe("shuffle"))
    recipe = load_recipe(path)
    inputs = resolve_inputs(recipe, sources_dir=None, cache_dir=None, engine=Engine(workers=1))
    genome = open_genome(recipe, inputs)
    source = simulate.SimulationSource(recipe, inputs, tmp_path)
    source.plan(tmp_path, engine=Engine(workers=1))
    simulator = source.simulator
    chrom, start = (np.load(tmp_path / "places" / f"{name}.npy") for name in ("chrom", "start"))
    shuffled = simulator.background.sequences(np.random.default_rng(0), 0, 60, 50)
    windows = genome.windows(chrom, start, 50)
    assert [dinucleotides(row) for row in shuffled] == [dinucleotides(row) for row in windows]
    assert (shuffled != windows).mean() > 0.3


def test_build__batches_and_both_formats(tmp_path: Path):
    ds = built_dataset(tmp_path)
    root = convert(tmp_path / "a.zarr", tmp_path / "a.h5", engine=Engine(workers=1))
    assert root == ds.attrs[schema.ATTR_CONTENT_HASH] == content_hash(tmp_path / "a.h5")
    assert verify(tmp_path / "a.h5").content_hash == root
    for path in (tmp_path / "a.zarr", tmp_path / "a.h5"):
        batch = next(iter(batches.Batches(path, split="test", batch_size=50)))
        assert batch.codes.shape == (50, 50)
        assert batch.labels.shape == (50, 4)


def test_info__tells_motifs_balance_and_ceiling(tmp_path: Path):
    built_dataset(tmp_path)
    value, text = info.describe(tmp_path / "a.zarr").report()
    assert "4 motifs: ALX BOB CUX DUX" in text
    assert "genome" not in text.split("content hash")[0]
    assert "AUROC of the ideal observer" in text
    assert set(value["ceiling"]) == {"sum_1", "sum_2", "pair", "own"}
    assert set(value["every_occurrence"]) == {"sum_1", "sum_2"}
    assert "every consensus occurrence outside other sites is scored as a site" in text
    n_open = value["open_windows"]["own"]
    assert n_open == value["counts"]["windows_open_in_own"]
    assert f"{n_open:,} {n_open / 1500:>7.1%}" in text


ERRORS = {
    "motif not in file": (
        "names: [ALX,",
        "names: [MYC, ALX,",
        "simulation.motifs.names: no such motif",
        "ALX, BOB",
    ),
    "no room": ("length: 50", "length: 12", "simulation.sites: motifs that cannot fit", "at most 12 bp"),
    "more sites than motifs": (
        "[1, 2, 3]",
        "5",
        "simulation.sites.number: more sites than motifs",
        "at most 4",
    ),
    "closed everywhere": (
        "threshold: 0.1",
        "threshold: 9",
        "'sum_1' is closed in every window",
        "threshold 9",
    ),
    "open everywhere": (
        "threshold: 0.1",
        "threshold: -9",
        "'sum_1' is open in every window",
        "another threshold",
    ),
    "no such file": ("motifs.meme]", "others.meme]", "no such file", "others.meme"),
    "no such function": ("own.py:score", "own.py:scor", "no such function", "score"),
    "no such module": ("own.py:score", "owner:score", "cannot be imported", "owner"),
    "no such function file": ("own.py:score", "our.py:score", "no such file", "our.py"),
}


@pytest.mark.parametrize(("old", "new", "message", "detail"), ERRORS.values(), ids=ERRORS)
def test_build__errors(tmp_path: Path, old: str, new: str, message: str, detail: str):
    assert old in SIMPLE
    path = write_simulated_dataset(tmp_path / "set", SIMPLE.replace(old, new))
    with pytest.raises(InputError) as caught:
        build.build(path, tmp_path / "a.zarr", engine=Engine(workers=1))
    text = str(caught.value)
    assert message in text
    assert detail in text
    assert len(text.splitlines()) <= 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set"]


def test_build__file_name_stands_before_the_key(tmp_path: Path):
    path = write_simulated_dataset(tmp_path / "set", SIMPLE.replace("names: [ALX,", "names: [MYC, ALX,"))
    with pytest.raises(InputError) as caught:
        build.build(path, tmp_path / "a.zarr")
    assert str(caught.value).startswith(f"{path}, simulation.motifs.names: ")


@pytest.mark.parametrize("gives", ["1.0", "np.full(len(codes), np.nan)", "sites.nothing", "codes"])
def test_build__function_that_does_not_do(tmp_path: Path, gives: str):
    path = write_simulated_dataset(tmp_path / "set")
    (path.parent / "own.py").write_text(
        f"import numpy as np\ndef score(sites, codes, names):\n    return {gives}\n"
    )
    with pytest.raises(InputError, match="the function"):
        build.build(path, tmp_path / "a.zarr", engine=Engine(workers=1))
    assert not (tmp_path / "a.zarr.partial").exists()


def test_build__too_few_windows_in_the_genome(tmp_path: Path):
    text = simulated_recipe("closed").replace("n_windows: 60", "n_windows: 600")
    with pytest.raises(InputError, match="too few windows") as caught:
        built_dataset(tmp_path, text)
    assert "simulation.n_windows" in str(caught.value)


def test_build__changed_function_is_another_set(tmp_path: Path):
    path = write_simulated_dataset(tmp_path / "set")
    build.build(path, tmp_path / "a.zarr")
    (path.parent / "own.py").write_text((path.parent / "own.py").read_text() + "# changed\n")
    with pytest.raises(InputError, match="another recipe or other inputs"):
        build.build(path, tmp_path / "a.zarr")


DATASETS = ROOT / "datasets"
SHIPPED = sorted(p.parent for p in DATASETS.glob("*/recipe.yaml") if load_recipe(p).simulation is not None)


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_datasets__simulator_opens(folder: Path, tmp_path: Path):
    recipe = load_recipe(folder / "recipe.yaml")
    inputs = resolve_inputs(recipe, sources_dir=None, cache_dir=None, engine=Engine(workers=1))
    simulator = simulate.open_simulator(recipe, inputs, open_genome(recipe, inputs), tmp_path)
    assert [model.cell_type for model in simulator.models] == list(recipe.cell_types)


def test_datasets__twenty_motifs_and_the_pairs_of_table_a1():
    recipe = load_recipe(DATASETS / "paired-20" / "recipe.yaml")
    pairs = {(pair.first, pair.second) for pair in recipe.simulation.targets[0].pairs}
    table_a1 = """HHEX IRF4, ZBTB12 NFIB, JUND SCRT1, ELK1 FOXL1, HOXA7 NKX2-2, TFAP2E HOXD8, ZHX1 BSX,
                  MAX MAFG, JUNB GATA4, ZNF282 BHLHE41"""
    assert pairs == {tuple(pair.split()) for pair in table_a1.split(",")}
    assert sorted(name for pair in pairs for name in pair) == sorted(recipe.simulation.motifs.names)
