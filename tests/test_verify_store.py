from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr

from chromacc_data import build_store as building
from chromacc_data import verify_store
from chromacc_data.describe_store import describe
from chromacc_data.engine import Engine
from chromacc_data.errors import CheckError, InputError, NotWritableError
from chromacc_data.store import write as writing
from chromacc_data.store.read import content_hash, open_store
from chromacc_data.store.write import convert
from chromacc_data.verify_store import verify
from tests.simulated import SIMPLE, write_simulated_dataset
from tests.small import write_small_dataset


@pytest.fixture
def built(tmp_path: Path) -> Path:
    return building.build(write_small_dataset(tmp_path / "small"), tmp_path / "a.zarr").path


def reseal(path: Path) -> None:
    """Give a tampered store the hash of its content, as a forger or a broken builder would."""
    writing._seal(path, content_hash(path))


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
    convert(built, tmp_path / "a.h5", engine=Engine())
    assert verify(tmp_path / "a.h5").content_hash == verify(built).content_hash


def test_verify__next_to_the_store_nothing_may_be_written(built: Path, monkeypatch: pytest.MonkeyPatch):
    def closed(path: Path, **_: object) -> None:
        raise NotWritableError("cannot write here", where=path.parent)

    before = sorted(path.name for path in built.parent.iterdir())
    assert "good" in verify(built, n_sample=5).report()[1]
    assert sorted(path.name for path in built.parent.iterdir()) == before
    monkeypatch.setattr(verify_store, "working_folder", closed)
    assert "good" in verify(built, n_sample=5).report()[1]


def test_verify__content_is_not_what_the_hash_says(built: Path):
    zarr.open_group(built, mode="r+")["accessibility"][3, 1] ^= 1
    with pytest.raises(CheckError, match="content differs from its hash"):
        verify(built)


@pytest.mark.parametrize(
    ("name", "where", "message"),
    [
        ("accessibility", (3, 1), "the window overlaps a peak"),
        ("split", (0,), "'split' is not what the sources give"),
        ("start", (5,), "no joint peak is centred where this window is"),
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
    with pytest.raises(CheckError, match="different cell types"):
        verify(built)


def test_verify__other_genome_on_record(built: Path):
    attrs = zarr.open_group(built, mode="r+").attrs
    attrs["genome"] = json.dumps(json.loads(attrs["genome"]) | {"assembly": "another"})
    reseal(built)
    with pytest.raises(CheckError, match="different genome"):
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


def change_attribute(path: Path, name: str, value: object) -> None:
    zarr.open_group(path, mode="r+").attrs[name] = value


@pytest.mark.parametrize("name", ["counts", "versions", "build_key", "inputs", "recipe_path", "title"])
def test_verify__changed_attribute_is_named(built: Path, tmp_path: Path, name: str):
    text = zarr.open_group(built, mode="r").attrs[name]
    # A letter of a title, a digit of a count: the text stays what it can be.
    changed = re.sub(r"[A-Za-z0-9](?=[^A-Za-z0-9]*$)", lambda m: "1" if m[0].isdigit() else "x", text)
    change_attribute(built, name, changed)
    writing._seal(built, open_store(built).attrs["content_hash"], checksums=False)
    with pytest.raises(CheckError, match=f"attribute '{name}'"):
        verify(built, store_only=True)
    with pytest.raises(CheckError, match="attributes differ from their checksums"):
        convert(built, tmp_path / "b.h5", engine=Engine())
    assert not (tmp_path / "b.h5").exists()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("counts", lambda old: json.dumps(json.loads(old) | {"peaks": 1})),
        ("inputs", lambda old: old.replace("liver.bed", "livre.bed")),
        ("leak_audit", lambda old: old.replace("0", "1", 1)),
        ("build_key", lambda old: "0" * 64),
        ("title", lambda old: "Another title"),
        ("seed", lambda old: 8),
    ],
)
def test_verify__records_that_the_sources_do_not_give(built: Path, name: str, change: Callable):
    old = zarr.open_group(built, mode="r").attrs[name]
    change_attribute(built, name, change(old))
    reseal(built)
    with pytest.raises(CheckError, match="the sources do not give the recorded"):
        verify(built)


def test_verify__records_that_the_store_itself_contradicts(built: Path):
    counts = json.loads(zarr.open_group(built, mode="r").attrs["counts"])
    change_attribute(built, "counts", json.dumps(counts | {"windows_test": 1}))
    reseal(built)
    with pytest.raises(CheckError, match="'windows_test' is not that of the windows"):
        verify(built, store_only=True)


def test_verify__store_of_an_older_release(built: Path, tmp_path: Path):
    """It opens, and is told what is not vouched for; a copy does not vouch for it either."""
    root = open_store(built).attrs["content_hash"]
    del zarr.open_group(built, mode="r+").attrs["attribute_checksums"]
    writing._seal(built, root, checksums=False)
    checked = verify(built)
    assert checked.content_hash == root
    assert "attributes recipe_path, versions" in checked.report()[1].replace(
        "versions, recipe_path", "recipe_path, versions"
    )
    convert(built, tmp_path / "a.h5", engine=Engine())
    assert "attribute_checksums" not in open_store(tmp_path / "a.h5").attrs


def test_verify__without_its_sources(built: Path, tmp_path: Path):
    """What held is told, and the store alone can be checked; a missing source is bad input."""
    (tmp_path / "small" / "liver.bed").unlink()
    with pytest.raises(InputError, match="the store alone is good") as caught:
        verify(built)
    assert caught.value.exit_code == 2
    assert "--store-only" in str(caught.value)
    checked = verify(built, store_only=True)
    assert checked.recipe is None
    assert "not checked\n  the recipe and its sources" in checked.report()[1]


def test_verify__foreign_file(built: Path):
    (built / "sequence" / "c" / "notes.txt").write_text("mine")
    with pytest.raises(CheckError, match="not part of the store"):
        verify(built, store_only=True)


def test_verify__metadata_that_disagree(built: Path):
    path = built / "split" / "zarr.json"
    path.write_text(path.read_text().replace("0 train", "0 tra1n"))
    with pytest.raises(CheckError, match="consolidated metadata are not those of the arrays"):
        verify(built, store_only=True)


def test_verify__hdf5_attributes(built: Path, tmp_path: Path):
    path = tmp_path / "a.h5"
    convert(built, path, engine=Engine())
    with h5py.File(path, "r+") as file:
        file["split"].attrs["description"] = "something else"
    with pytest.raises(CheckError, match="variable 'split'"):
        verify(path, store_only=True)
    with h5py.File(path, "r+") as file:
        file.create_group("mine")
    with pytest.raises(CheckError, match="an object that is not part of the store"):
        verify(path, store_only=True)


def test_verify__functions_are_not_run(tmp_path: Path):
    """A store can name any code as its recipe's: its scores are taken as they are, and that is said."""
    recipe = write_simulated_dataset(tmp_path / "simulated", SIMPLE.replace("1500", "400"))
    path = building.build(recipe, tmp_path / "a.zarr").path
    ran = tmp_path / "ran"
    own = tmp_path / "simulated" / "own.py"
    own.write_text(f"open({str(ran)!r}, 'w').close()\n" + own.read_text())
    recipe.write_text(recipe.read_text())
    again = building.build(recipe, tmp_path / "b.zarr").path
    ran.unlink()
    checked = verify(again)
    assert not ran.exists()
    assert any("own functions, which are not run: own" in text for text in checked.unchecked)
    with pytest.raises(CheckError, match="source of 'function' has changed"):
        verify(path)


def test_verify__report_has_every_count(built: Path):
    checked = verify(built)
    counts = json.loads(open_store(built).attrs["counts"])
    assert checked.counts == counts
    for name in counts:
        assert f"  {name} " in checked.report()[1]
        assert f"  {name} " in describe(built).text


def test_verify__counts_that_are_not_json(built: Path):
    change_attribute(built, "counts", "{")
    with pytest.raises(InputError, match="counts"):
        verify(built, store_only=True)
