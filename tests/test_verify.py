from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from chromacc_data import build as building
from chromacc_data import store
from chromacc_data.engine import Engine
from chromacc_data.errors import CheckError, InputError
from chromacc_data.verify import verify
from tests.small import write_small_dataset


@pytest.fixture
def built(tmp_path: Path) -> Path:
    return building.build(write_small_dataset(tmp_path / "small"), tmp_path / "a.zarr").path


def reseal(path: Path) -> None:
    """Give a tampered store the hash of its content, as a forger or a broken builder would."""
    store._seal(path, store.content_hash(path))


@pytest.mark.parametrize("n_sample", [5, None])
def test_verify__good_store(built: Path, n_sample: int | None):
    checked = verify(built, n_sample=n_sample)
    assert checked.n_compared == (n_sample or checked.n_windows)
    assert "good" in checked.report()[1]


def test_verify__genome_with_lines_of_whitespace(tmp_path: Path):
    """The reference reads no such file by itself."""
    recipe = write_small_dataset(tmp_path / "small")
    plain = building.build(recipe, tmp_path / "plain.zarr")
    with (tmp_path / "small" / "genome.fa").open("a") as fasta:
        fasta.write("\n\n \n")
    (tmp_path / "small" / "genome.fa.fai").unlink()
    built = building.build(recipe, tmp_path / "a.zarr")
    assert built.content_hash == plain.content_hash
    assert verify(built.path, n_sample=5).n_compared == 5


def test_verify__hdf5(built: Path, tmp_path: Path):
    store.convert(built, tmp_path / "a.h5", engine=Engine())
    assert verify(tmp_path / "a.h5").content_hash == verify(built).content_hash


def test_verify__content_is_not_what_the_hash_says(built: Path):
    zarr.open_group(built, mode="r+")["accessibility"][3, 1] ^= 1
    with pytest.raises(CheckError, match="content differs from its hash"):
        verify(built)


@pytest.mark.parametrize(
    ("name", "where", "message"),
    [
        ("accessibility", (3, 1), "'accessibility' is not what the sources give"),
        ("split", (0,), "'split' is not what the sources give"),
        ("start", (5,), "'start' is not what the sources give"),
    ],
)
def test_verify__values_that_the_sources_do_not_give(built: Path, name: str, where: tuple, message: str):
    zarr.open_group(built, mode="r+")[name][where] ^= 1
    reseal(built)
    with pytest.raises(CheckError, match=message) as caught:
        verify(built)
    assert f"window {where[0]}" in str(caught.value)


def test_verify__other_names(built: Path):
    group = zarr.open_group(built, mode="r+")
    group["cell_type"][:] = group["cell_type"][:][::-1]
    reseal(built)
    with pytest.raises(CheckError, match="other cell types"):
        verify(built)


def test_verify__other_genome_on_record(built: Path):
    zarr.open_group(built, mode="r+").attrs["genome"] = "{}"
    reseal(built)
    with pytest.raises(CheckError, match="other genome"):
        verify(built)


def test_verify__bases_that_the_genome_does_not_have(built: Path):
    sequence = zarr.open_group(built, mode="r+")["sequence"]
    base = sequence[7, 30]
    sequence[7, 30] = np.roll(base, 1) if base.any() else np.array([1, 0, 0, 0], np.uint8)
    reseal(built)
    with pytest.raises(CheckError, match="bases are not those of the genome") as caught:
        verify(built, n_sample=None)
    assert "window 7" in str(caught.value)


def test_verify__source_changed(built: Path, tmp_path: Path):
    bed = tmp_path / "small" / "liver.bed"
    bed.write_text(bed.read_text() + "chr1\t5000\t5010\n")
    with pytest.raises(CheckError, match="source of 'liver' has changed"):
        verify(built)


def test_verify__recipe_changed_or_gone(built: Path, tmp_path: Path):
    recipe = tmp_path / "small" / "recipe.yaml"
    text = recipe.read_text()
    recipe.write_text("# a comment is no change\n" + text)
    verify(built)
    recipe.write_text(text.replace("length: 60", "length: 62"))
    with pytest.raises(CheckError, match="the recipe has changed"):
        verify(built)
    recipe.rename(tmp_path / "small" / "moved.yaml")
    with pytest.raises(InputError, match="--recipe"):
        verify(built)
