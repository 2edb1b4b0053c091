"""Variants of a VCF to every format: statuses, bad input, kills, two at once, and the files read back."""

from __future__ import annotations

import gzip
import math
import multiprocessing
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pysam
import pytest
import xarray as xr

from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import encode
from chromacc_data.sequences.genome import Genome
from chromacc_models.effects import run_variants
from chromacc_models.effects.run_variants import variants
from chromacc_models.effects.variant_files import SUFFIXES
from chromacc_models.effects.variant_table import QUANTITIES
from chromacc_models.scoring.scorer import Scorer
from tests import ROOT

MODEL = ROOT / "models" / "hg19-dnase-6" / "Baseline"
CELL_TYPES = (MODEL / "targets.txt").read_text().split()
EXAMPLE = MODEL / "example_files" / "example.fa"
HEADER = (
    "##fileformat=VCFv4.2\n##contig=<ID=chr20,length=5040>\n"
    '##INFO=<ID=AF,Number=A,Type=Float,Description="Frequency">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tme\n"
)
OTHER = {"A": "C", "C": "G", "G": "T", "T": "A"}


@pytest.fixture(scope="module")
def bases() -> str:
    return "".join(EXAMPLE.read_text().split("\n")[1:]).upper()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, bases: str) -> Path:
    """A folder with a genome, and a VCF of alleles of every kind, in order."""
    folder = tmp_path_factory.mktemp("variants")
    (folder / "genome.fa").write_text(EXAMPLE.read_text())
    (folder / "a.vcf").write_text(HEADER + "".join(records(bases)))
    return folder


def records(bases: str) -> list[str]:
    """Records at 14 places: one base, several alleles, insertions, deletions, and what is not scored."""
    lines = []
    for i, at in enumerate([0, 5, 300, 301, 301, 700, 1500, 2000, 2500, 2501, 3000, 4000, 5000, 5039]):
        base = bases[at]
        ref, alt = base, OTHER[base]
        if i == 3:
            alt += f",*,{base}GATTACA"
        if i == 6:
            ref, alt = bases[at : at + 4], base
        if i == 7:
            alt = "<DEL>"
        if i == 8:
            alt = f"{base}[chr20:7["
        if i == 9:
            alt = "."
        if i == 10:
            ref, alt = alt, ref
        if i == 11:
            ref, alt = OTHER[base], OTHER[OTHER[base]]
        if i == 12:
            ref, alt = bases[at : at + 3].lower(), OTHER[base] + bases[at + 1 : at + 3]
        lines.append(f"chr20\t{at + 1}\trs{i}\t{ref}\t{alt}\t1.50\tPASS\tAF=0.10;X=a b\tGT\t0|1\n")
    lines += ["chr21\t5\t.\tA\tC\t.\t.\t.\tGT\t0\n", "chr21\t9\t.\tA\tC\t.\t.\t.\tGT\t0\n"]
    return [*lines, "chr22\t9\t.\tA\t<INS>\t.\t.\t.\tGT\t.\n"]


STATUS = [
    *["scored"] * 4, "symbolic", *["scored"] * 4, *["symbolic"] * 3, "ref_alt_swapped", "ref_mismatch",
    *["scored"] * 2, *["unknown_chrom"] * 2, "symbolic",
]  # fmt: skip


def run(place: Path, out: Path, *, vcf: Path | str = "a.vcf", model: Path = MODEL, **options) -> list[Path]:
    return variants(model, place / vcf, place / "genome.fa", out, **options)


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", keep_default_na=False, na_values={}, quoting=3)


@pytest.fixture(scope="module")
def table(place: Path) -> pd.DataFrame:
    """What is written as TSV."""
    return read(run(place, place / "a.tsv")[0])


def test_variants__a_row_for_each_allele(table: pd.DataFrame):
    assert table["status"].tolist() == STATUS
    assert table["id"].tolist()[3:7] == ["rs3", "rs3", "rs3", "rs4"]
    assert table["alt"][4] == "*"
    assert table["pos"][0] == 1
    assert (table.loc[table["status"] != "scored", "logit_ref_K562":] == "").all(axis=None)


def test_variants__numbers_are_those_of_both_windows(table: pd.DataFrame, bases: str):
    scorer = Scorer.open(MODEL / "model.keras")
    middle = scorer.window_length // 2
    scored = table[table["status"] == "scored"]
    assert len(scored) == 10
    padded = "N" * 600 + bases + "N" * 600
    for _, row in scored.iterrows():
        start = row["pos"] - 1 + 600
        assert padded[start : start + len(row["ref"])] == row["ref"]
        texts = [
            padded[:start] + allele + padded[start + len(row["ref"]) :] for allele in row[["ref", "alt"]]
        ]
        windows = [encode(text[start - middle : start - middle + scorer.window_length]) for text in texts]
        ref, alt = scorer.logits(np.stack(windows)).astype(np.float64)
        found = [
            row[[f"{kind}_{name}" for name in CELL_TYPES]] for kind in ("logit_ref", "logit_alt", "delta")
        ]
        np.testing.assert_allclose(np.array(found, float), [ref, alt, alt - ref], atol=1e-5)
        top = int(np.abs(alt - ref).argmax())
        assert row["top_cell_type"] == CELL_TYPES[top]
        np.testing.assert_allclose(float(row["top_delta"]), (alt - ref)[top], atol=1e-5)
        index = int(row["filter"].removeprefix("filter_"))
        pooled = scorer.pool(np.stack(windows))[:, index].astype(float)
        change = (pooled[1] - pooled[0]) * scorer.head.weights[index, top]  # a dense head: nothing else
        assert row["filter_change"] == ("gained" if pooled[1] > pooled[0] else "lost")
        np.testing.assert_allclose(float(row["filter_share"]), change / (alt - ref)[top], atol=1e-3)


def test_variants__chosen_cell_types(place: Path, tmp_path: Path, table: pd.DataFrame):
    found = read(run(place, tmp_path / "a.tsv", cell_types=["HepG2", "K562"])[0])
    assert [name for name in found if name.startswith("delta")] == ["delta_HepG2", "delta_K562"]
    for name in ("delta_HepG2", "logit_ref_K562"):
        assert found[name].equals(table[name])
    assert set(found["top_cell_type"]) == {"HepG2", "K562", ""}


def test_variants__formats_say_the_same(place: Path, tmp_path: Path, table: pd.DataFrame):
    paths = {suffix: run(place, tmp_path / f"a{suffix}") for suffix in SUFFIXES}
    assert gzip.decompress(paths[".tsv.gz"][0].read_bytes()) == paths[".tsv"][0].read_bytes()
    columns = list(table.columns)
    parquet = pd.read_parquet(paths[".parquet"][0])
    assert list(parquet.columns) == columns
    with xr.open_zarr(paths[".zarr"][0]) as ds:
        ds.load()
    assert ds["status"].attrs["flag_meanings"].split()[ds["status"].values[12]] == "ref_alt_swapped"
    for name in columns:
        expected = table[name]
        if parquet[name].dtype.kind == "f":
            expected = pd.to_numeric(expected.replace("", np.nan))
        kind, _, cell_type = name.rpartition("_")
        stored = ds["score"].sel(cell_type=cell_type, quantity=kind) if kind in QUANTITIES else ds[name]
        for found in (parquet[name], stored.to_numpy()):
            if parquet[name].dtype.kind == "f":
                np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
            elif name != "status":
                assert list(found) == list(expected)


def test_variants__vcf_keeps_header_and_records(place: Path, tmp_path: Path, table: pd.DataFrame):
    path, index = run(place, tmp_path / "a.vcf.gz")
    assert index.name == "a.vcf.gz.tbi"
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")
    before = (place / "a.vcf").read_text().split("\n")
    added = [line for line in lines if line.startswith("##INFO=<ID=ACC_")]
    assert [line for line in lines if line.startswith("#") and line not in added] == before[:4]
    for old, new in zip(before[4:], lines[4 + len(added) :], strict=True):
        old, new = old.split("\t"), new.split("\t")
        assert new[:7] == old[:7]
        assert new[8:] == old[8:]
        if len(old) > 1 and old[7] != ".":
            assert new[7].startswith(old[7])
    with pysam.VariantFile(str(path)) as file:
        rows = [
            (record.pos, allele, record.info["ACC_DELTA_HeLa_S3"][i], record.info["ACC_CHANGE"][i])
            for record in file.fetch("chr20", 300, 5040)
            for i, allele in enumerate(record.alts or ())
        ]
    expected = table[(table["chrom"] == "chr20") & (table["pos"] > 300) & (table["alt"] != ".")]
    assert [row[:2] for row in rows] == list(zip(expected["pos"], expected["alt"], strict=True))
    assert [row[3].replace(".", "") for row in rows] == expected["filter_change"].tolist()
    values = [math.nan if row[2] is None else row[2] for row in rows]
    np.testing.assert_allclose(
        values, pd.to_numeric(expected["delta_HeLa-S3"].replace("", np.nan)), atol=1e-6
    )


def test_variants__vcf_of_its_own_output(place: Path, tmp_path: Path):
    first = run(place, tmp_path / "a.vcf.gz")[0]
    again = variants(MODEL, first, place / "genome.fa", tmp_path / "b.vcf.gz")[0]
    assert again.read_bytes() == first.read_bytes()


def test_variants__unsorted(
    place: Path, tmp_path: Path, table: pd.DataFrame, caplog: pytest.LogCaptureFixture
):
    lines = (place / "a.vcf").read_text().split("\n")[4:-1]
    order = np.random.default_rng(0).permutation(len(lines))
    (tmp_path / "b.vcf").write_text(HEADER + "".join(f"{lines[i]}\n" for i in order))
    paths = run(place, tmp_path / "b.vcf.gz", vcf=tmp_path / "b.vcf")
    assert [path.name for path in paths] == ["b.vcf.gz"]
    assert "bcftools sort b.vcf.gz" in caplog.text
    found = read(run(place, tmp_path / "b.tsv", vcf=tmp_path / "b.vcf")[0])
    whole = table.sort_values(["chrom", "pos", "id", "alt"], ignore_index=True)
    assert found.sort_values(["chrom", "pos", "id", "alt"], ignore_index=True).equals(whole)
    assert found["id"][0] == lines[order[0]].split("\t")[2]


def test_variants__counts_are_said(place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "chromacc")
    run(place, tmp_path / "a.tsv")
    assert (
        "10 of 19 alleles scored; 1 with a REF that the genome does not have there, "
        "1 with REF and ALT swapped, 2 on sequences that the genome does not have, "
        "5 symbolic or without ALT"
    ) in caplog.text


@pytest.mark.parametrize(("rename", "prefix", "genome"), [("chr", "", "chr20"), ("no-chr", "chr", "20")])
def test_variants__renamed(place: Path, tmp_path: Path, bases: str, rename: str, prefix: str, genome: str):
    (tmp_path / "g.fa").write_text(f">{genome}\n{bases}\n")
    line = f"{prefix}20\t300\t.\t{bases[299]}\t{OTHER[bases[299]]}\t.\t.\t.\n"
    header = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    (tmp_path / "b.vcf").write_text(header + line)
    with pytest.raises(InputError, match="no variant lies on a sequence") as error:
        variants(MODEL, tmp_path / "b.vcf", tmp_path / "g.fa", tmp_path / "b.tsv")
    assert f"--rename {rename}" in error.value.remedy
    found = read(variants(MODEL, tmp_path / "b.vcf", tmp_path / "g.fa", tmp_path / "b.tsv", rename=rename)[0])
    assert found[["chrom", "status"]].astype(str).values.tolist() == [[f"{prefix}20", "scored"]]


def test_variants__chunks_workers_and_processes_change_nothing(place: Path, tmp_path: Path):
    written = {
        run(place, tmp_path / f"{i}.tsv", chunk=chunk, engine=engine)[0].read_bytes()
        for i, (chunk, engine) in enumerate(
            [
                (1, None),
                (3, Engine(workers=1)),
                (4, Engine(workers=2, processes=True)),
                (1000, Engine(workers=2)),
            ]
        )
    }
    assert len(written) == 1


def test_variants__two_at_once_with_one_output(place: Path, tmp_path: Path):
    barrier = threading.Barrier(2)

    def one() -> str | None:
        barrier.wait()
        try:
            run(place, tmp_path / "a.tsv", chunk=1)
        except InputError as error:
            return error.what
        return None

    with ThreadPoolExecutor(2) as pool:
        ends = sorted((f.result() for f in [pool.submit(one) for _ in range(2)]), key=str)
    assert None in ends
    assert set(ends) <= {None, "another process is writing this output", "exists already"}
    assert [path.name for path in tmp_path.iterdir()] == ["a.tsv"]


def _score_when_told(place: Path, out: Path, ready: object) -> None:
    ready.set()
    run(place, out, chunk=3, engine=Engine(workers=1))


def test_variants__killed_at_every_part(place: Path, tmp_path: Path):
    expected = run(place, tmp_path / "whole.vcf.gz")[0].read_bytes()
    out = tmp_path / "killed.vcf.gz"
    scores = out.with_name(f"{out.name}.partial") / "scores"
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.effects.test_run_variants"])
    kills, n_before = 0, -1
    while not out.exists():
        ready = processes.Event()
        process = processes.Process(target=_score_when_told, args=(place, out, ready))
        process.start()
        ready.wait()
        while process.is_alive():
            n = len(list(scores.glob("*.npy")))
            if n > max(n_before, 0):
                process.kill()
                process.join()
                kills, n_before = kills + 1, n
                break
            time.sleep(0.001)
    process.join()
    assert kills >= 2
    assert out.read_bytes() == expected
    assert not out.with_name(f"{out.name}.partial").exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_variants__stopped_when_all_was_written(
    place: Path, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
):
    def stop(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / f"a{suffix}"
    with monkeypatch.context() as patch:
        patch.setattr(run_variants, "publish", stop)
        with pytest.raises(KeyboardInterrupt):
            run(place, out)
    assert not out.exists()
    assert run(place, out)[0] == out
    assert {path.name for path in tmp_path.iterdir()} <= {out.name, f"{out.name}.tbi"}


def test_variants__does_not_resume_with_other_options(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "a.tsv"
    left = out.with_name("a.tsv.partial")
    (left / "scores").mkdir(parents=True)
    (left / "key").write_text("another")
    (left / "scores" / "0000000.npy").write_bytes(b"of other alleles")
    (left / "plan.json").write_text("{}")
    assert read(run(place, out)[0])["status"].tolist() == STATUS
    assert not left.exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_variants__replaces_only_when_told(place: Path, tmp_path: Path, suffix: str):
    out = tmp_path / f"a{suffix}"
    run(place, out, cell_types=["K562"])
    with pytest.raises(InputError, match="exists already"):
        run(place, out)
    run(place, out, overwrite=True)
    names = {"a.vcf.gz", "a.vcf.gz.tbi"} if suffix == ".vcf.gz" else {out.name}
    assert {path.name for path in tmp_path.iterdir()} == names
    if suffix == ".vcf.gz":  # an index of other records would mislead
        (tmp_path / "b.vcf").write_text(
            HEADER + "".join(reversed((place / "a.vcf").read_text().splitlines(True)[4:]))
        )
        run(place, out, vcf=tmp_path / "b.vcf", overwrite=True)
        assert {path.name for path in tmp_path.iterdir()} == {"a.vcf.gz", "b.vcf"}


BGZIP_HEADER = HEADER.rpartition("#")[0] + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
BAD = {
    "empty": (b"", "not a VCF file"),
    "only a header": (BGZIP_HEADER.encode(), "has no variants"),
    "no header": (b"chr20\t5\t.\tA\tC\t.\t.\t.\n", "not a VCF file"),
    "without ALT": (BGZIP_HEADER.encode() + b"chr20\t5\t.\tA\n", "damaged"),
    "spaces": (BGZIP_HEADER.encode() + b"chr20 5 . A C . . .\n", "damaged"),
    "truncated gzip": (gzip.compress(BGZIP_HEADER.encode() * 99)[:-40], "truncated"),
    "binary": (bytes(range(256)), "not a VCF file"),
    "a BED file": (b"chr20\t1\t2\n", "not a VCF file"),
    "another genome": (BGZIP_HEADER.encode() + b"chr7\t5\t.\tA\tC\t.\t.\t.\n", "no variant lies on"),
}


@pytest.mark.parametrize("kind", BAD)
def test_variants__bad_input_leaves_nothing(place: Path, tmp_path: Path, kind: str):
    content, message = BAD[kind]
    vcf = tmp_path / "bad.vcf"
    vcf.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        run(place, tmp_path / "new" / "a.tsv", vcf=vcf)
    assert "bad.vcf" in str(error.value.where)
    assert error.value.exit_code == 2
    assert list(tmp_path.iterdir()) == [vcf]


def test_variants__of_another_assembly_stop_early(place: Path, tmp_path: Path, bases: str):
    lines = [f"chr20\t{i + 2}\t.\t{bases[i]}\tN\t.\t.\t.\n" for i in range(600)]  # off by one
    (tmp_path / "b.vcf").write_text(BGZIP_HEADER + "".join(lines))
    with pytest.raises(InputError, match="most reference alleles are not those of the genome"):
        run(place, tmp_path / "a.tsv", vcf=tmp_path / "b.vcf")
    assert [path.name for path in tmp_path.iterdir()] == ["b.vcf"]


@pytest.mark.parametrize(
    ("options", "name", "message"),
    [
        ({}, "a.vcf", "does not name a format"),
        ({}, "a.bcf", "does not name a format"),
        ({"cell_types": ["T cell"]}, "new/a.tsv", "unknown cell type"),
        ({"cell_types": []}, "a.tsv", "no cell types, or one given twice"),
        ({"rename": "ucsc"}, "a.tsv", "unknown renaming"),
        ({"chunk": 0}, "a.tsv", "records in a task below 1"),
        ({"vcf": "absent.vcf"}, "a.tsv", "cannot be read"),
    ],
)
def test_variants__bad_options(place: Path, tmp_path: Path, options: dict, name: str, message: str):
    with pytest.raises(InputError, match=message):
        run(place, tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_variants__a_folder_that_is_no_store(place: Path, tmp_path: Path):
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(InputError, match="not a Zarr store"):
        run(place, tmp_path / "a.zarr", overwrite=True)


def test_variants__motifs_of_a_folder(place: Path, tmp_path: Path, table: pd.DataFrame):
    folder = tmp_path / "model"
    folder.mkdir()
    for path in MODEL.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    (folder / "example_files").symlink_to(MODEL / "example_files")
    n_filters = Scorer.open(MODEL / "model.keras").n_filters
    chosen = {"filter": [f"filter_{i}" for i in reversed(range(n_filters))]}
    names = [f"M{i}" for i in reversed(range(n_filters))]
    motifs = pd.DataFrame(chosen | {"target_name": names, "E": [0.5 * (i % 2) for i in range(n_filters)]})
    motifs.to_csv(folder / "motifs.tsv", sep="\t", index=False)
    found = read(run(place, tmp_path / "a.tsv", model=folder)[0])
    matched = dict(zip(motifs["filter"], motifs["target_name"].where(motifs["E"] == 0, ""), strict=True))
    assert found["motif"].tolist() == [matched.get(name, "") for name in table["filter"]]
    motifs.head(3).to_csv(folder / "motifs.tsv", sep="\t", index=False)
    with pytest.raises(InputError, match="filters of another network"):
        run(place, tmp_path / "b.tsv", model=folder)


def test_variants__command_imports_no_tensorflow(place: Path, tmp_path: Path):
    code = f"""
import sys
from chromacc_models.cli import main_group
arguments = ["variants", {str(MODEL)!r}, "a.vcf", "genome.fa", "-o", {str(tmp_path / "a.tsv")!r}]
main_group.main(arguments, standalone_mode=False)
print(*{{"tensorflow", "keras"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=place, check=True)
    assert done.stdout == f"{tmp_path / 'a.tsv'}\n\n"
    assert "10 of 19 alleles scored" in done.stderr


def test_variants__of_a_network_that_keras_computes(
    place: Path, tmp_path: Path, bases: str, caplog: pytest.LogCaptureFixture
):
    from chromacc_models.networks.architectures import basset
    from chromacc_models.scoring.keras_scorer import KerasScorer

    network = basset(200, 2, size=0.01)
    network.save(tmp_path / "basset.keras")
    caplog.set_level("INFO", "chromacc")
    found = read(run(place, tmp_path / "a.tsv", model=tmp_path / "basset.keras")[0])
    assert "computed by Keras" in caplog.text
    assert found["status"].tolist() == STATUS
    assert list(found.columns[-2:]) == ["top_delta", "top_cell_type"]
    ref, alt = (encode(bases[200:300] + base + bases[301:400]) for base in (bases[300], OTHER[bases[300]]))
    logits = KerasScorer(network).logits(np.stack([ref, alt]))
    row = found[found["pos"] == 301].iloc[0]
    np.testing.assert_allclose(float(row["logit_ref_output_1"]), logits[0, 1], atol=1e-5)
    np.testing.assert_allclose(float(row["delta_output_0"]), logits[1, 0] - logits[0, 0], atol=1e-5)


def test_variants__genome_knows_its_files(place: Path):
    assert Genome.open(place / "genome.fa").paths == (str(place / "genome.fa"),)
