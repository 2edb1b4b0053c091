"""Backgrounds: random variants of a genome, their quantiles by hand, and the file in a model folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from chromacc_data.errors import InputError
from chromacc_data.sequences.genome import Genome
from chromacc_models.effects.allele_networks import open_alleles
from chromacc_models.effects.background import Background, add_background, make_background
from chromacc_models.effects.run_variants import variants
from chromacc_models.sharing.kipoi import files as kf
from tests import ROOT

MODEL = ROOT / "models" / "hg19-dnase-6" / "Baseline"
CELL_TYPES = tuple((MODEL / "targets.txt").read_text().split())
EXAMPLE = MODEL / "example_files" / "example.fa"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a background of its example."""
    folder = Path(shutil.copytree(MODEL, tmp_path_factory.mktemp("background") / "model"))
    (folder / kf.BACKGROUND).unlink(missing_ok=True)
    kf.write_checksums(folder)
    add_background(folder, EXAMPLE, name="hg19, a cut")
    return folder


def test_make_background__is_quantiles_of_random_variants():
    genome, network = Genome.open(EXAMPLE), open_alleles(MODEL / "model.keras")
    made = make_background(network, CELL_TYPES, genome, n_variants=50, seed=1)
    assert (made.n_variants, made.seed, made.genome) == (50, 1, "chr20")
    assert (np.diff(made.quantiles, axis=0) >= 0).all()
    again = make_background(network, CELL_TYPES, genome, n_variants=50, seed=1)
    np.testing.assert_array_equal(again.quantiles, made.quantiles)
    other = make_background(network, CELL_TYPES, genome, n_variants=50, seed=2)
    assert not np.array_equal(other.quantiles, made.quantiles)
    largest = made.quantiles[-1]
    assert made.percentiles(largest[None]).tolist() == [[100.0] * len(CELL_TYPES)]
    median = made.quantiles[made.levels == 50]
    np.testing.assert_allclose(made.percentiles(-median), 50, atol=1e-4)


def test_make_background__takes_positions_that_are_known(tmp_path: Path):
    rng = np.random.default_rng(0)
    text = "".join(rng.choice(list("ACGT"), 700))
    (tmp_path / "a.fa").write_text(f">n\n{'N' * 3000}\n>x\n{text}\n")
    made = make_background(
        open_alleles(MODEL / "model.keras"), CELL_TYPES, Genome.open(tmp_path / "a.fa"), n_variants=200
    )
    assert made.quantiles[5].min() > 0
    (tmp_path / "b.fa").write_text(f">n\n{'N' * 3000}\n")
    with pytest.raises(InputError, match="N nearly everywhere"):
        make_background(open_alleles(MODEL / "model.keras"), CELL_TYPES, Genome.open(tmp_path / "b.fa"))


def test_percentiles__where_quantiles_are_the_same():
    quantiles = np.array([[0.0, 1], [0, 2], [0, 3], [1, 4]])
    background = Background(("a", "b"), np.array([0.0, 50, 99, 100]), quantiles, 10, 0, "toy")
    found = background.percentiles(np.array([[0, np.nan], [0.5, -3], [7, 0.5]]))
    np.testing.assert_array_equal(found, np.array([[0, np.nan], [50, 99], [100, 0]], np.float32))
    assert background.choose(["b"]).percentiles(np.array([[2.5]])).tolist() == [[74.5]]


def test_background__is_a_table_with_its_origin(folder: Path):
    lines = (folder / kf.BACKGROUND).read_text().split("\n")
    assert lines[0] == "# 10000 random single-nucleotide variants of hg19, a cut, seed 0"
    found = Background.read(folder / kf.BACKGROUND, CELL_TYPES)
    assert (found.n_variants, found.seed, found.genome) == (10000, 0, "hg19, a cut")
    made = make_background(open_alleles(MODEL / "model.keras"), CELL_TYPES, Genome.open(EXAMPLE))
    np.testing.assert_allclose(found.quantiles, made.quantiles, rtol=1e-5)
    np.testing.assert_allclose(found.levels, made.levels)


@pytest.mark.parametrize("damage", ["# nothing\n", "percent", None])
def test_background__damaged(folder: Path, tmp_path: Path, damage: str | None):
    text = (folder / kf.BACKGROUND).read_text()
    path = tmp_path / "background.tsv"
    path.write_text(text[: len(text) // 2] if damage is None else damage)
    with pytest.raises(InputError, match="no background of effects"):
        Background.read(path, CELL_TYPES if damage else ("other",))


def test_require_checksums__looks_at_the_background(folder: Path, tmp_path: Path):
    copy = Path(shutil.copytree(folder, tmp_path / "model"))
    description = kf.read_model_file(copy)
    kf.require_checksums(copy, description)
    path = copy / kf.BACKGROUND
    path.write_text(path.read_text().replace("0.", "1.", 1))
    with pytest.raises(InputError, match="another checksum"):
        kf.require_checksums(copy, description)
    path.unlink()
    with pytest.raises(InputError, match="a file is missing"):
        kf.require_checksums(copy, description)
    sums = copy / kf.CHECKSUMS
    sums.write_text("".join(line for line in sums.read_text().splitlines(True) if kf.BACKGROUND not in line))
    kf.require_checksums(copy, description)  # as folders of older releases
    path.write_text("")
    with pytest.raises(InputError, match="no checksum"):
        kf.require_checksums(copy, description)


def test_variants__have_percentiles(folder: Path, tmp_path: Path):
    base = Genome.open(EXAMPLE).codes("chr20")[2000]
    vcf = tmp_path / "a.vcf"
    header = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    vcf.write_text(f"{header}chr20\t2001\t.\t{'ACGT'[base]}\t{'ACGT'[base - 1]},*\t.\t.\t.\n")
    found = pd.read_csv(variants(folder, vcf, EXAMPLE, tmp_path / "a.tsv")[0], sep="\t")
    background = Background.read(folder / kf.BACKGROUND, CELL_TYPES)
    delta, percentile = ([f"{name}_{cell}" for cell in CELL_TYPES] for name in ("delta", "percentile"))
    expected = background.percentiles(found[delta].to_numpy())
    np.testing.assert_allclose(found[percentile], expected, atol=0.05)
    assert found[percentile].loc[1].isna().all()
    path = folder / kf.BACKGROUND
    text = path.read_text()
    path.write_text(text + "\n")
    with pytest.raises(InputError, match="another checksum"):
        variants(folder, vcf, EXAMPLE, tmp_path / "b.tsv")
    path.write_text(text)
