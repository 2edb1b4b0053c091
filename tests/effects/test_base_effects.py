"""Effects and contributions of the bases of regions in every format, resumed, and for bad input."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyBigWig
import pytest
import xarray as xr
from distributed import LocalCluster

from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import N_CODE, one_hot
from chromacc_data.sequences.genome import Genome
from chromacc_models.effects import base_effects
from chromacc_models.effects.base_effects import contributions, mutagenesis
from chromacc_models.effects.network import naive_effects
from chromacc_models.scoring.scorer import Scorer
from tests.effects.regions import CELL_TYPES, LENGTH, MODEL, STARTS, Place, make_place
from tests.test_lazy import slow_modules_after

CHOSEN = ("K562", "GM12878")
COLUMNS = [1, 0]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("bases"))


@pytest.fixture(scope="module")
def codes(place: Place) -> np.ndarray:
    """Base codes of the windows, cut from the genome one by one."""
    genome = Genome.open(place.genome)
    chrom = np.array([0, 0, 0, 1, 1], np.int32)
    return genome.windows(chrom, np.array(STARTS), LENGTH)


@pytest.fixture(scope="module")
def effects(codes: np.ndarray) -> np.ndarray:
    """Every mutant scored, (region, position, base, cell_type)."""
    return naive_effects(Scorer.open(MODEL / "model.keras"), codes)


@pytest.fixture(scope="module")
def added(codes: np.ndarray) -> np.ndarray:
    """Logits less the bias, (region, cell_type)."""
    scorer = Scorer.open(MODEL / "model.keras")
    return scorer.logits(codes) - scorer.head.bias


def opened(path: Path) -> dict[str, np.ndarray]:
    """Arrays of a file by name."""
    if path.suffix == ".npz":
        with np.load(path) as file:
            return dict(file)
    with xr.open_zarr(path) if path.suffix == ".zarr" else xr.open_dataset(path, engine="h5netcdf") as ds:
        return {name: ds[name].to_numpy() for name in ds.variables}


@pytest.mark.parametrize("suffix", [".zarr", ".h5", ".npz"])
def test_mutagenesis__arrays_hold_every_mutant(
    place: Place, tmp_path: Path, codes: np.ndarray, effects: np.ndarray, suffix: str
):
    out = tmp_path / f"out{suffix}"
    assert mutagenesis(MODEL, place.regions, place.genome, out) == [out]
    found = opened(out)
    np.testing.assert_allclose(found["effect"], effects, rtol=0, atol=5e-6)
    assert found["effect"].dtype == np.float32
    assert np.array_equal(found["reference"], codes)
    assert (codes == N_CODE).any()
    assert found["name"].tolist() == ["first", "minus", "short", "at the start", "at the end"]
    assert found["chrom"].tolist() == ["chr1"] * 3 + ["chr2"] * 2
    assert found["start"].tolist() == list(STARTS)
    assert found["base"].tolist() == list("ACGT")
    assert found["cell_type"].tolist() == list(CELL_TYPES)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_mutagenesis__what_the_file_says_of_itself(place: Place, tmp_path: Path):
    mutagenesis(MODEL, place.regions, place.genome, tmp_path / "out.zarr", cell_types=["K562"])
    with xr.open_zarr(tmp_path / "out.zarr") as ds:
        assert ds["effect"].dims == ("region", "position", "base", "cell_type")
        assert ds.attrs["method"].startswith("exact")
        assert ds.attrs["network"] == "model.keras"
        assert len(ds.attrs["network_sha256"]) == 64
        assert {"chromacc", "genome", "regions", "title"} <= set(ds.attrs)
        chosen = ds["effect"].sel(cell_type="K562", base="A", position=300)
        assert chosen.shape == (5,)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_mutagenesis__some_cell_types_in_half_the_space(
    place: Place, tmp_path: Path, effects: np.ndarray, dtype: str
):
    out = tmp_path / "out.npz"
    mutagenesis(MODEL, place.regions, place.genome, out, cell_types=CHOSEN, dtype=dtype)
    found = opened(out)["effect"]
    assert found.dtype == dtype
    np.testing.assert_allclose(found, effects[..., COLUMNS], rtol=1e-3, atol=1e-5)


def test_mutagenesis__tsv_has_a_line_for_each_change(
    place: Place, tmp_path: Path, codes: np.ndarray, effects: np.ndarray
):
    mutagenesis(MODEL, place.regions, place.genome, tmp_path / "out.tsv")
    table = pd.read_csv(tmp_path / "out.tsv", sep="\t")
    assert table.columns.tolist() == [
        *("chrom", "start", "end", "name", "reference", "base"),
        *CELL_TYPES,
    ]
    changes = codes[:, :, np.newaxis] != np.arange(4)  # of an N, to each of the four
    changes[3, :250] = changes[4, 350:] = False  # past the ends of chr2
    np.testing.assert_allclose(table[list(CELL_TYPES)], effects[changes], rtol=0, atol=1e-5)
    region, position, base = np.nonzero(changes)
    assert np.array_equal(table["start"], np.array(STARTS)[region] + position)
    assert (table["end"] - table["start"] == 1).all()
    assert "".join(table["base"]) == "".join("ACGT"[i] for i in base)
    assert "".join(table["reference"]) == "".join("ACGTN"[i] for i in codes[region, position])


def test_mutagenesis__bigwig_has_the_largest_effect_and_means_of_overlapping_regions(
    place: Place, tmp_path: Path, effects: np.ndarray
):
    paths = mutagenesis(MODEL, place.regions, place.genome, tmp_path / "out.bw", cell_types=CHOSEN)
    assert [path.name for path in paths] == ["out.K562.bw", "out.GM12878.bw"]
    seen = Scorer.open(MODEL / "model.keras").scanned
    assert (seen.start, seen.stop) == (150, 450)
    of_k562 = effects[..., 1]
    largest = np.take_along_axis(of_k562, np.abs(of_k562).argmax(axis=2)[..., None], axis=2)[..., 0]
    total, count = np.zeros(3000), np.zeros(3000)
    for region in range(3):
        at = slice(STARTS[region] + seen.start, STARTS[region] + seen.stop)
        total[at] += largest[region, seen]
        count[at] += 1
    assert set(count) >= {0, 1, 3}
    with pyBigWig.open(str(paths[0])) as file:
        found = file.values("chr1", 0, 3000, numpy=True)
        np.testing.assert_array_equal(np.isnan(found), count == 0)
        np.testing.assert_allclose(found[count > 0], (total / count.clip(1))[count > 0], atol=1e-5)
        # Past the end, nothing: the window of the last region is seen to 1000, the chromosome ends at 900.
        assert file.chroms()["chr2"] == 900
        assert np.isfinite(file.values("chr2", 700, 900)).all()


def test_contributions__add_up_to_the_logits(place: Place, tmp_path: Path, added: np.ndarray):
    out = tmp_path / "out.zarr"
    contributions(MODEL, place.regions, place.genome, out)
    found = opened(out)["contribution"]
    assert found.shape == (5, LENGTH, 6)
    np.testing.assert_allclose(found.sum(axis=1), added, rtol=0, atol=1e-5)


def test_contributions__hypothetical_ones_and_what_modisco_reads(
    place: Place, tmp_path: Path, codes: np.ndarray
):
    contributions(MODEL, place.regions, place.genome, tmp_path / "all.h5", hypothetical=True)
    found = opened(tmp_path / "all.h5")["hypothetical_contribution"]
    contributions(MODEL, place.regions, place.genome, tmp_path / "plain.npz")
    plain = opened(tmp_path / "plain.npz")["contribution"]
    there = (found * one_hot(codes)[..., None]).sum(axis=2)
    np.testing.assert_allclose(there[codes != N_CODE], plain[codes != N_CODE], atol=1e-5)
    folder = tmp_path / "k562.modisco"
    contributions(MODEL, place.regions, place.genome, folder, cell_types=["K562"])
    assert sorted(path.name for path in folder.iterdir()) == ["ohe.npz", "shap.npz"]
    for name, expected in (("ohe", one_hot(codes)), ("shap", found[..., 1])):
        with np.load(folder / f"{name}.npz") as file:
            assert file["arr_0"].dtype == np.float32
            np.testing.assert_allclose(file["arr_0"], np.moveaxis(expected, 1, 2), atol=1e-6)
    contributions(MODEL, place.regions, place.genome, folder, cell_types=["HepG2"], overwrite=True)


def test_contributions__tsv_and_bigwig(place: Place, tmp_path: Path):
    contributions(MODEL, place.regions, place.genome, tmp_path / "out.npz")
    found = opened(tmp_path / "out.npz")["contribution"]
    contributions(MODEL, place.regions, place.genome, tmp_path / "out.tsv")
    table = pd.read_csv(tmp_path / "out.tsv", sep="\t")
    assert table.columns.tolist() == ["chrom", "start", "end", "name", "reference", *CELL_TYPES]
    first = table[table["name"] == "first"]
    np.testing.assert_allclose(first[list(CELL_TYPES)], found[0], atol=1e-5)
    contributions(MODEL, place.regions, place.genome, tmp_path / "one.bw", cell_types=["K562"])
    with pyBigWig.open(str(tmp_path / "one.bw")) as file:
        values = file.values("chr2", 0, 350, numpy=True)
        np.testing.assert_allclose(values[:200], found[3, 250:450, 1], atol=1e-6)
        assert np.isnan(values[200:]).all()
    contributions(MODEL, place.regions, place.genome, tmp_path / "all.tsv", hypothetical=True)
    assert len(pd.read_csv(tmp_path / "all.tsv", sep="\t")) == 4 * len(table)


def test_windows__are_those_of_the_forward_strand(place: Place, tmp_path: Path):
    for strand in "+-":
        regions = tmp_path / f"{strand}.bed"
        regions.write_text(f"chr1\t900\t1500\tone\t0\t{strand}\n")
        contributions(MODEL, regions, place.genome, tmp_path / f"{strand}.npz")
    assert (tmp_path / "+.npz").read_bytes() == (tmp_path / "-.npz").read_bytes()


def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_effects, "_CHUNKS_PER_PART", 1)
    monkeypatch.setattr(base_effects, "_MAX_ROWS", 2)


@pytest.mark.parametrize("suffix", [".zarr", ".h5", ".npz", ".tsv", ".bw"])
def test_resumes__with_the_same_bytes(
    place: Place,
    tmp_path: Path,
    suffix: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    small_parts(monkeypatch)
    whole, broken = tmp_path / "whole" / f"out{suffix}", tmp_path / "broken" / f"out{suffix}"
    options = {"cell_types": ["K562"], "engine": Engine(workers=1)}
    contributions(MODEL, place.regions, place.genome, whole, **options)
    calls = []

    def stops_at_the_third(*arguments: object) -> np.ndarray:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return base_effects_values(*arguments)

    base_effects_values = base_effects.base_values
    monkeypatch.setattr(base_effects, "base_values", stops_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        contributions(MODEL, place.regions, place.genome, broken, **options)
    assert not broken.exists()
    caplog.set_level("INFO", logger="chromacc")
    contributions(MODEL, place.regions, place.genome, broken, **options)
    assert re.search("resuming: [34] of 5 regions were finished before", caplog.text)
    assert len(calls) == 4
    files = sorted(p.relative_to(whole.parent) for p in whole.parent.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(broken.parent) for p in broken.parent.rglob("*") if p.is_file())
    if suffix == ".h5":  # HDF5 notes the time
        pairs = (opened(path) for path in (whole, broken))
        assert all(np.array_equal(a, b) for a, b in zip(*(found.values() for found in pairs), strict=True))
        return
    for file in files:
        assert (whole.parent / file).read_bytes() == (broken.parent / file).read_bytes(), file


def test_resumes__after_a_kill_at_any_moment(place: Place, tmp_path: Path):
    regions = tmp_path / "many.bed"
    regions.write_text("".join(f"chr1\t{i}\t{i + 600}\n" for i in range(0, 2400, 20)))
    arguments = [str(path) for path in (MODEL, regions, place.genome)]
    code = f"""
from chromacc_models.effects import base_effects
base_effects._CHUNKS_PER_PART = 1
base_effects.mutagenesis(*{arguments!r}, "OUT")
"""
    killed, whole = tmp_path / "killed.npz", tmp_path / "whole.npz"
    process = subprocess.Popen([sys.executable, "-c", code.replace("OUT", str(killed))])
    parts = tmp_path / "killed.npz.partial" / "parts"
    while process.poll() is None and not any(parts.glob("[0-9]*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for out in (killed, whole):
        subprocess.run([sys.executable, "-c", code.replace("OUT", str(out))], check=True)
    assert killed.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed.npz", "many.bed", "whole.npz"]


def test_resumes__not_with_parts_of_other_options(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    small_parts(monkeypatch)
    out = tmp_path / "out.npz"
    monkeypatch.setattr(base_effects, "write_bases", stops)
    with pytest.raises(KeyboardInterrupt):
        contributions(MODEL, place.regions, place.genome, out, cell_types=["K562"])
    monkeypatch.undo()
    caplog.set_level("INFO", logger="chromacc")
    contributions(MODEL, place.regions, place.genome, out, cell_types=["HepG2"])
    assert "starting again; the files there were made from other inputs or options" in caplog.text
    assert opened(out)["cell_type"].tolist() == ["HepG2"]


def stops(*_arguments: object, **_options: object) -> None:
    raise KeyboardInterrupt


def test_engines__give_the_same_file(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    small_parts(monkeypatch)
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster:
        engines = (Engine(workers=1), Engine(workers=3), Engine(scheduler=cluster.scheduler_address))
        for number, engine in enumerate(engines):
            mutagenesis(MODEL, place.regions, place.genome, tmp_path / f"{number}.npz", engine=engine)
    files = {path.read_bytes() for path in tmp_path.glob("*.npz")}
    assert len(files) == 1


def test_regions__one_and_none(place: Place, tmp_path: Path):
    one, none = tmp_path / "one.bed", tmp_path / "none.bed"
    one.write_text("chr1\t100\t200\n")
    none.write_text("# nothing\n")
    mutagenesis(MODEL, one, place.genome, tmp_path / "one.zarr")
    assert opened(tmp_path / "one.zarr")["effect"].shape == (1, LENGTH, 4, 6)
    with pytest.raises(InputError, match="no intervals"):
        mutagenesis(MODEL, none, place.genome, tmp_path / "none.zarr")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["none.bed", "one.bed", "one.zarr"]


BAD = {
    "suffix": ({"out": "out.bed"}, "the suffix does not name a format"),
    "cell type": ({"cell_types": ["liver"]}, "unknown cell type"),
    "dtype": ({"dtype": "int8"}, "unknown type of number"),
    "chromosome": ({"regions": "chr9\t1\t2\n"}, "chr9"),
    "past the end": ({"regions": "chr2\t5000\t5600\n"}, "past the end of its chromosome"),
    "reversed": ({"regions": "chr2\t50\t20\n"}, "end is below start"),
    "no model": ({"model": "nothing"}, "no network here"),
    "there already": ({"out": "there.tsv"}, "exists already"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input__leaves_nothing(place: Place, tmp_path: Path, case: str):
    options, message = BAD[case]
    (tmp_path / "there.tsv").touch()
    regions = place.regions
    if "regions" in options:
        regions = tmp_path / "bad.bed"
        regions.write_text(options["regions"])
    model = tmp_path / options["model"] if "model" in options else MODEL
    others = {name: value for name, value in options.items() if name in ("cell_types", "dtype")}
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=message):
        mutagenesis(model, regions, place.genome, tmp_path / options.get("out", "out.tsv"), **others)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("out", "options", "message"),
    [
        ("out.bw", {"hypothetical": True}, "one value per base"),
        ("out.modisco", {}, "takes contributions to one cell type"),
    ],
)
def test_bad_input__formats_that_cannot_hold_it(
    place: Place, tmp_path: Path, out: str, options: dict, message: str
):
    with pytest.raises(InputError, match=message):
        contributions(MODEL, place.regions, place.genome, tmp_path / out, **options)


def test_bad_input__a_folder_of_something_else(place: Place, tmp_path: Path):
    for name, found in (("out.zarr", "not a Zarr store"), ("out.modisco", "without ohe.npz")):
        (tmp_path / name).mkdir()
        with pytest.raises(InputError, match=found):
            contributions(
                *(MODEL, place.regions, place.genome, tmp_path / name),
                cell_types=["K562"],
                overwrite=True,
            )


def test_regions__of_other_lengths_are_counted(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", logger="chromacc")
    contributions(MODEL, place.regions, place.genome, tmp_path / "out.npz")
    assert "3 of 5 regions are not 600 bp long: taking the 600 bp around their midpoints" in caplog.text


def test_regions__of_n_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    genome, regions = tmp_path / "n.fa", tmp_path / "n.bed"
    genome.write_text(f">n\n{'N' * LENGTH}{'ACGT' * LENGTH}\n")
    regions.write_text(f"n\t0\t{LENGTH}\nn\t{LENGTH}\t{2 * LENGTH}\n")
    contributions(MODEL, regions, genome, tmp_path / "n.zarr")
    assert "1 of 2 regions are N for more than half of their window" in caplog.text


def test_commands__import_no_tensorflow(place: Place, tmp_path: Path):
    for command, out in (("mutagenesis", "a.npz"), ("contributions", "b.npz"), ("hits", "c.tsv")):
        arguments = [command, "-q", MODEL, place.regions, place.genome, "-o", tmp_path / out]
        code = f"""
from chromacc_models.cli import main_group
main_group.main({[str(argument) for argument in arguments]!r}, standalone_mode=False)
"""
        assert not {"tensorflow", "keras"} & slow_modules_after(code)
        assert (tmp_path / out).is_file()
