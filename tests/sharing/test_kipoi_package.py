"""Model folders: what is written, and that every kind of damage is found and named."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import attr
import h5py
import keras
import kipoi.specs
import numpy as np
import pytest
import yaml

from chromacc_data.errors import CheckError, InputError
from chromacc_data.sequences.encoding import decode
from chromacc_data.sequences.genome import Genome
from chromacc_data.store.read import open_store
from chromacc_models.evaluation.scores import CellTypeScore, Evaluation
from chromacc_models.networks.known_motifs import KNOWN_MOTIFS, KnownFilter, KnownMotifs, known_names
from chromacc_models.sharing.kipoi import files as kf
from chromacc_models.sharing.kipoi.check import Checked, check, load_with_kipoi
from chromacc_models.sharing.kipoi.example import cut_example
from chromacc_models.sharing.kipoi.package import package
from chromacc_models.sharing.kipoi.patches import folder_loader
from tests.kipoi_folders import CELL_TYPES, LENGTH, make_network, make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a genome, a run, and its model folder."""
    folder = tmp_path_factory.mktemp("package")
    package(make_run(folder), folder / "model", genome=folder / "genome.fa")
    return folder


@pytest.fixture
def model_folder(made: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(made / "model", tmp_path / "model"))


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def list_again(folder: Path) -> None:
    """Write SHA256SUMS again, so that a later check finds the damage."""
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in (*kf.DATA_FILES, *kf.OPTIONAL_FILES)
        if (folder / name).exists()
    ]
    (folder / kf.CHECKSUMS).write_text("".join(lines))


def replace_weights(folder: Path, network: keras.Model) -> None:
    path = folder / kf.WEIGHTS
    old = hashlib.sha256(path.read_bytes()).hexdigest()
    network.save(path)
    change(folder / kf.MODEL_FILE, old, hashlib.sha256(path.read_bytes()).hexdigest())
    list_again(folder)


def test_package__files(made: Path):
    found = sorted(str(p.relative_to(made / "model")) for p in (made / "model").rglob("*") if p.is_file())
    assert found == sorted((*kf.DATA_FILES, *kf.TEXT_FILES, kf.BACKGROUND))
    assert sorted(p.name for p in made.iterdir()) == [
        "genome.fa",
        "genome.fa.fai",
        "model",
        "run",
        "store.zarr",
    ]
    assert (made / "model" / kf.TARGETS).read_text().splitlines() == list(CELL_TYPES)
    assert (made / "model" / kf.WEIGHTS).read_bytes() == (made / "run" / "model.keras").read_bytes()


def test_package__names_of_known_motifs_are_in_the_folder(made: Path, tmp_path: Path):
    ppm = ((0.7, 0.1, 0.1, 0.1), (0.0, 0.0, 0.0, 1.0))
    filters = tuple(
        KnownFilter(i, name, "M1", name, ("M1",), (name,), ppm, 0, 2.5, 1.0, 0.5, 1.0, similarity)
        for i, (name, similarity) in enumerate({"GATA1": 0.9, "CTCF": 0.1}.items())
    )
    known = KnownMotifs("known.meme", "0" * 64, 2, 0.01, 2, "anchored", 0.01, 0.25, 100, 8, filters)
    run = shutil.copytree(made / "run", tmp_path / "run")
    (run / KNOWN_MOTIFS).write_text(known.to_json())
    folder = package(run, tmp_path / "model", genome=made / "genome.fa")
    assert known_names(folder, 8) == ["GATA1", *[None] * 7]
    card = (folder / kf.CARD).read_text()
    assert "2 of 8 were set to motifs of known.meme and anchored; 1 still are these motifs" in card
    assert check(folder).additions == ()
    subprocess.run(["sha256sum", "--check", "--strict", kf.CHECKSUMS], cwd=folder, check=True)
    change(folder / KNOWN_MOTIFS, "GATA1", "GATA2")
    with pytest.raises(InputError, match="another checksum") as error:
        check(folder)
    assert error.value.where == folder / KNOWN_MOTIFS
    (made_without := tmp_path / "without").mkdir()
    shutil.copytree(made / "model", made_without, dirs_exist_ok=True)
    (made_without / KNOWN_MOTIFS).write_text(known.to_json())
    with pytest.raises(InputError, match="has no checksum"):
        check(made_without)
    again = package(made / "run", folder, genome=made / "genome.fa", overwrite=True)
    assert not (again / KNOWN_MOTIFS).exists()
    assert "known.meme" not in (again / kf.CARD).read_text()


def test_package__checksums_are_those_of_sha256sum(made: Path):
    subprocess.run(["sha256sum", "--check", "--strict", kf.CHECKSUMS], cwd=made / "model", check=True)


def test_package__same_run_same_bytes(made: Path, tmp_path: Path):
    again = package(made / "run", tmp_path / "model", genome=made / "genome.fa")
    for name in (*kf.DATA_FILES, *kf.TEXT_FILES):
        assert (again / name).read_bytes() == (made / "model" / name).read_bytes()


def test_package__expected_predictions_are_those_of_keras(made: Path):
    with h5py.File(made / "model" / kf.EXPECTED) as file:
        inputs, predictions = file["inputs"][:], file["preds"][:]
    np.testing.assert_allclose(make_network().predict(inputs, verbose=0), predictions, atol=1e-5)


def test_package__example_is_the_genome(made: Path):
    genome, example = (Genome.open(p) for p in (made / "genome.fa", made / "model" / kf.EXAMPLE_FASTA))
    header = (made / "model" / kf.EXAMPLE_FASTA).read_text().split("\n")[0]
    offset = int(header.rsplit(" ", 1)[1])
    cut = decode(example.codes("chr1"))
    assert header.startswith(">chr1 toy1 chr1:")
    assert cut == decode(genome.codes("chr1"))[offset : offset + len(cut)]
    for line in (made / "model" / kf.EXAMPLE_BED).read_text().splitlines():
        chrom, start, end, name = line.split("\t")
        assert name == f"{chrom}:{int(start) + offset}-{int(end) + offset}"
        assert int(end) - int(start) == LENGTH


def test_package__without_the_genome_the_windows_are_the_same(made: Path, tmp_path: Path):
    folder = package(made / "run", tmp_path / "model")
    with h5py.File(folder / kf.EXPECTED) as painted, h5py.File(made / "model" / kf.EXPECTED) as cut:
        np.testing.assert_array_equal(painted["inputs"][:], cut["inputs"][:])
    assert set(decode(Genome.open(folder / kf.EXAMPLE_FASTA).codes("chr1"))) == set("ACGTN")


def test_package__own_example(made: Path, tmp_path: Path):
    (tmp_path / "regions.bed").write_text("chr2\t100\t220\n")
    options = {"example_fasta": made / "genome.fa", "example_bed": tmp_path / "regions.bed"}
    folder = package(made / "run", tmp_path / "model", **options)
    assert check(folder) == Checked(1, len(CELL_TYPES), 0.0)


def test_package__replaces_an_older_model_only(made: Path, tmp_path: Path):
    target = tmp_path / "model"
    target.mkdir()
    (target / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="not a model folder"):
        package(made / "run", target)
    assert [p.name for p in tmp_path.rglob("*")] == ["model", "thesis.txt"]
    (target / "thesis.txt").unlink()
    package(made / "run", target)
    with pytest.raises(InputError, match="exists already") as error:
        package(made / "run", target)
    assert "--overwrite" in error.value.remedy


@pytest.fixture
def own_files(model_folder: Path) -> dict[str, str]:
    """Files that a user added to a model folder."""
    added = {"LICENSE": "MIT", "figures/roc.svg": "<svg/>", "example_files/more.bed": "chr1\t1\t2\n"}
    for name, text in added.items():
        (model_folder / name).parent.mkdir(exist_ok=True)
        (model_folder / name).write_text(text)
    return added


def test_package__overwrite_keeps_files_that_were_added(
    made: Path, model_folder: Path, own_files: dict[str, str]
):
    (model_folder / "downloaded").mkdir()
    (model_folder / "downloaded" / "by_kipoi").touch()
    (model_folder / kf.EXAMPLE_BED).write_text("chr1\t100\t220\n")
    package(made / "run", model_folder, genome=made / "genome.fa", overwrite=True)
    assert check(model_folder).additions == tuple(sorted(own_files))
    assert {name: (model_folder / name).read_text() for name in own_files} == own_files
    assert not (model_folder / "downloaded").exists()
    for name in (*kf.DATA_FILES, *kf.TEXT_FILES):
        assert (model_folder / name).read_bytes() == (made / "model" / name).read_bytes()


@pytest.mark.parametrize("accepted", [False, True])
def test_package__overwrite_keeps_edited_texts_under_another_name(
    made: Path, model_folder: Path, accepted: bool, caplog: pytest.LogCaptureFixture
):
    for times, name in enumerate(("README.md.edited", "README.md.edited-2"), start=1):
        (model_folder / kf.CARD).write_text(f"# My own words {times}\n")
        if accepted:
            check(model_folder, accept_texts=True)
        package(made / "run", model_folder, genome=made / "genome.fa", overwrite=True)
        assert (model_folder / name).read_text() == f"# My own words {times}\n"
        assert f"your text is kept as {model_folder / name}" in caplog.text
    for name in (*kf.DATA_FILES, *kf.TEXT_FILES):
        assert (model_folder / name).read_bytes() == (made / "model" / name).read_bytes()
    assert check(model_folder).additions == ("README.md.edited", "README.md.edited-2")


@pytest.mark.parametrize("listed", [True, False])
def test_package__overwrite_of_a_folder_without_checksums_of_texts(
    made: Path, model_folder: Path, listed: bool
):
    (model_folder / kf.DATALOADER_FILE).write_text("edited: true\n")
    list_again(model_folder)
    if not listed:
        (model_folder / kf.CHECKSUMS).unlink()
    package(made / "run", model_folder, genome=made / "genome.fa", overwrite=True)
    assert check(model_folder).additions == ("dataloader.yaml.edited",)  # the others are as they would be now


def test_check__an_added_link_out_of_the_folder(model_folder: Path, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (model_folder / "chromacc_models").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="a link that leads out"):
        check(model_folder)


def test_package__overwrite_keeps_no_code(made: Path, model_folder: Path):
    (model_folder / "sub").mkdir()
    (model_folder / "sub" / "model.yaml").write_text("another: model\n")
    with pytest.raises(InputError, match="not part of a model") as error:
        package(made / "run", model_folder, overwrite=True)
    assert error.value.where == model_folder / "sub" / "model.yaml"


def test_package__failure_leaves_the_older_model(made: Path, tmp_path: Path):
    target = package(made / "run", tmp_path / "model")
    run = Path(shutil.copytree(made / "run", tmp_path / "run"))
    make_network(n_cell_types=3).save(run / "model.keras")
    before = {p: p.read_bytes() for p in target.rglob("*") if p.is_file()}
    with pytest.raises(InputError, match=r"not the network's"):
        package(run, target, overwrite=True)
    assert {p: p.read_bytes() for p in target.rglob("*") if p.is_file()} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "run"]


def test_package__two_at_once_with_one_output(made: Path, tmp_path: Path):
    barrier = threading.Barrier(2)

    def one(doc: str) -> str | None:
        barrier.wait()
        try:
            package(made / "run", tmp_path / "model", doc=doc)
        except InputError as error:
            return error.what
        return None

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(one, ["One.", "Other."]))
    assert None in ends
    assert set(ends) <= {None, "another process is writing this model folder", "exists already"}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    check(tmp_path / "model")  # the files of one, not of both


def test_package__half_an_example(made: Path, tmp_path: Path):
    with pytest.raises(InputError, match="an example needs both a FASTA and a BED"):
        package(made / "run", tmp_path / "model", example_fasta=made / "genome.fa")


def test_package__genome_without_the_chromosome_of_the_example(made: Path, tmp_path: Path):
    (tmp_path / "one.fa").write_text(">chrZ\nACGT\n")
    with pytest.raises(InputError, match="the example lies on chr1") as error:
        package(made / "run", tmp_path / "model", genome=[tmp_path / "one.fa"])
    assert "--genome a.fa --genome b.fa" in error.value.remedy
    package(made / "run", tmp_path / "model", genome=[tmp_path / "one.fa", made / "genome.fa"])
    example = kf.EXAMPLE_FASTA
    assert (tmp_path / "model" / example).read_bytes() == (made / "model" / example).read_bytes()


def test_package__another_genome(made: Path, tmp_path: Path):
    text = (made / "genome.fa").read_text()
    (tmp_path / "genome.fa").write_text(text.replace("N", "A"))
    with pytest.raises(InputError, match="not the sequence that the store was built from"):
        package(made / "run", tmp_path / "models" / "group" / "model", genome=tmp_path / "genome.fa")
    assert not (tmp_path / "models").exists(), "folders that were made are taken away"


def test_package__card(made: Path, tmp_path: Path):
    run = Path(shutil.copytree(made / "run", tmp_path / "run"))
    scores = [
        CellTypeScore(name, 80, 10, 0.125, 0.5 + i / 100, 0.4, 0.9, 0.25, 0.2, 0.3, 0.1, 0.01)
        for i, name in enumerate(CELL_TYPES)
    ]
    evaluation = Evaluation(tuple(scores), 0.555, 0.25, 0, 0.95)
    (run / "evaluation.json").write_text(json.dumps(evaluation.to_dict()))
    card = (package(run, tmp_path / "model") / kf.CARD).read_text()
    assert "| 3 | cell 3 | 0.530 (0.400 to 0.900) | 0.250 (0.200 to 0.300) | 12.5 % |" in card
    assert "| **mean** | **0.555** | **0.250** |" in card
    assert "network: factorization_machine" in card
    assert "Not evaluated" not in card
    assert "Not evaluated" in (made / "model" / kf.CARD).read_text()


@pytest.mark.parametrize("as_written", [lambda evaluation: evaluation.to_dict(), dataclasses.asdict])
def test_package__card_of_a_cell_type_without_scores(made: Path, tmp_path: Path, as_written: Callable):
    run = Path(shutil.copytree(made / "run", tmp_path / "run"))
    nan = float("nan")
    scores = [CellTypeScore(name, 80, 0, 0.0, *[nan] * 6, 0.1, 0.01) for name in CELL_TYPES]
    evaluation = Evaluation(tuple(scores), nan, nan, len(scores), 0.95)
    (run / "evaluation.json").write_text(json.dumps(as_written(evaluation)))
    card = (package(run, tmp_path / "model") / kf.CARD).read_text()
    assert "| 3 | cell 3 | - | - | 0.0 % |" in card
    assert "| **mean** | **-** | **-** |" in card


@pytest.mark.parametrize("n_windows", [1, 3, 99])
def test_cut_example__closest_test_windows(made: Path, n_windows: int):
    example = cut_example(open_store(made / "store.zarr"), n_windows=n_windows, flank=10, max_length=1500)
    # Test windows start at 480, 1200, 1920 and 2640; two of them fit into 1500 bp.
    starts = [480] if n_windows == 1 else [480, 1200]
    assert (example.start + example.offset).tolist() == starts
    assert example.offset == 470
    assert len(example.codes) == starts[-1] + LENGTH - 480 + 20


def test_check__a_good_folder(made: Path):
    before = sorted(made.rglob("*"))
    assert check(made / "model") == Checked(4, len(CELL_TYPES), 0.0)
    assert sorted(made.rglob("*")) == before


def test_check__a_changed_card_and_downloads_are_fine(model_folder: Path):
    (model_folder / kf.CARD).write_text("# My own words\n")
    check(model_folder, accept_texts=True)
    (model_folder / "downloaded").mkdir()
    (model_folder / "downloaded" / "anything").touch()
    check(model_folder)


@pytest.mark.parametrize("name", kf.DATA_FILES)
def test_check__one_changed_byte(model_folder: Path, name: str):
    data = bytearray((model_folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (model_folder / name).write_bytes(bytes(data))
    with pytest.raises(InputError, match="another checksum") as error:
        check(model_folder)
    assert error.value.where == model_folder / name
    assert error.value.found == hashlib.sha256(data).hexdigest()
    assert error.value.exit_code == 2


@pytest.mark.parametrize("name", kf.OWN_TEXTS)
def test_check__a_changed_text_is_seen_and_can_be_accepted(model_folder: Path, name: str):
    text, sums = (model_folder / name).read_text(), (model_folder / kf.CHECKSUMS).read_text()
    (model_folder / name).write_text(text + "# a remark\n")
    with pytest.raises(InputError, match="text has changed") as error:
        check(model_folder)
    assert error.value.where == model_folder / name
    assert "--accept-texts" in str(error.value)
    assert (model_folder / kf.CHECKSUMS).read_text() == sums
    check(model_folder, accept_texts=True)
    assert check(model_folder).unchecked == ()
    found = (model_folder / kf.CHECKSUMS).read_text().splitlines()
    differ = [line for line in found if line not in sums.splitlines()]
    assert [line.split()[1] for line in differ] == [name]


def test_check__changed_data_cannot_be_accepted(model_folder: Path):
    (model_folder / kf.TARGETS).write_text("a\nb\n")
    with pytest.raises(InputError, match="another checksum"):
        check(model_folder, accept_texts=True)


def test_check__folder_of_an_older_release(model_folder: Path):
    list_again(model_folder)
    assert check(model_folder).unchecked == kf.OWN_TEXTS
    check(model_folder, accept_texts=True)
    assert check(model_folder).unchecked == ()


@pytest.mark.parametrize("position", [3, 64, 65, 70, -1, -4])
def test_read_checksums__any_changed_byte(model_folder: Path, position: int):
    path = model_folder / kf.CHECKSUMS
    before, original = kf.read_checksums(model_folder), path.read_bytes()
    for bit in range(8):
        data = bytearray(original)
        data[position] ^= 1 << bit
        path.write_bytes(bytes(data))
        with suppress(InputError):
            assert kf.read_checksums(model_folder) != before


@pytest.mark.parametrize("name", [*kf.DATA_FILES, *kf.TEXT_FILES])
def test_check__a_missing_file(model_folder: Path, name: str):
    (model_folder / name).unlink()
    with pytest.raises(InputError) as error:
        check(model_folder)
    assert name in str(error.value.where)


def test_check__a_file_too_many(model_folder: Path):
    (model_folder / "loader.py").write_text("print('run me')")
    with pytest.raises(InputError, match="not part of a model"):
        check(model_folder)


@pytest.mark.parametrize(
    ("name", "old", "new", "message", "key"),
    [
        (kf.MODEL_FILE, "test:", "writers: {hdf5_chunk_size: 9}\ntest:", "unknown key", "writers"),
        (kf.MODEL_FILE, "weights: model.keras", "weigths: model.keras", "unknown key", "args.weigths"),
        (kf.MODEL_FILE, "precision_decimal: 5", "precision: 5", "unknown key", "test.precision"),
        (kf.MODEL_FILE, "weights: model.keras", "weights: ../model.keras", "wrong format", "args.weights"),
        (kf.MODEL_FILE, "shape: (120, 4)", "shape: 120", "wrong format", "schema.inputs.shape"),
        (
            kf.MODEL_FILE,
            "doc: Probability that the window is accessible, per cell type",
            "doc: ''",
            "form",
            "doc",
        ),
        (kf.MODEL_FILE, "chromacc_models.KipoiModel", "os.system", "unknown value", "defined_as"),
        (kf.MODEL_FILE, "sha256: ", "sha256: 0", "wrong format", "args.sha256"),
        (
            kf.DATALOADER_FILE,
            "    optional: false\n  fasta",
            "    optinal: false\n  fasta",
            "unknown key",
            "optinal",
        ),
        (kf.DATALOADER_FILE, "default: 120", "default: long", "wrong type", "args.window_length.default"),
        (kf.DATALOADER_FILE, "type: GenomicRanges", "type: str", "unknown value", "output_schema.metadata"),
    ],
)
def test_check__bad_yaml(model_folder: Path, name: str, old: str, new: str, message: str, key: str):
    change(model_folder / name, old, new)
    with pytest.raises(InputError, match=message) as error:
        check(model_folder)
    assert str(error.value.where).startswith(f"{model_folder / name} line ")
    assert key in str(error.value.where)


@pytest.mark.parametrize(
    ("name", "old", "new", "where"),
    [
        (kf.MODEL_FILE, "shape: (120, 4)", "shape: (600, 4)", "schema.inputs.shape"),
        (kf.MODEL_FILE, "shape: (12,)", "shape: (None,)", "schema.targets.shape"),
        (kf.DATALOADER_FILE, "shape: (120, 4)", "shape: (None, 4)", "output_schema.inputs.shape"),
        (kf.DATALOADER_FILE, "default: 120", "default: 600", "args.window_length.default"),
    ],
)
def test_check__another_shape(model_folder: Path, name: str, old: str, new: str, where: str):
    change(model_folder / name, old, new)
    with pytest.raises(InputError, match="not the network's") as error:
        check(model_folder)
    assert str(error.value.where).endswith(where)


@pytest.mark.parametrize(
    "labels",
    [CELL_TYPES[:11], (*CELL_TYPES, "one more"), (*CELL_TYPES[:11], "cell 0"), ("", *CELL_TYPES[1:])],
)
def test_check__labels_that_do_not_fit(model_folder: Path, labels: tuple[str, ...]):
    (model_folder / kf.TARGETS).write_text("".join(f"{name}\n" for name in labels))
    list_again(model_folder)
    with pytest.raises(InputError, match="labels do not fit"):
        check(model_folder)


def test_check__weights_checksums_disagree(model_folder: Path):
    digest = yaml.safe_load((model_folder / kf.MODEL_FILE).read_text())["args"]["sha256"]
    change(model_folder / kf.MODEL_FILE, digest, "0" * 64)
    with pytest.raises(InputError, match="two checksums of the weights disagree"):
        check(model_folder)


def test_check__another_network(model_folder: Path):
    other = make_network()
    other.set_weights([1.01 * weights for weights in other.get_weights()])
    replace_weights(model_folder, other)
    with pytest.raises(CheckError, match="predictions differ") as error:
        check(model_folder)
    assert error.value.exit_code == 1


def test_check__predictions_that_are_no_numbers(model_folder: Path):
    other = make_network()
    other.set_weights([np.nan * weights for weights in other.get_weights()])
    replace_weights(model_folder, other)
    with pytest.raises(CheckError, match="predictions differ"):
        check(model_folder)


def test_check__another_example(model_folder: Path):
    change(model_folder / kf.EXAMPLE_BED, "\t480\t600\t", "\t481\t601\t")
    list_again(model_folder)
    with pytest.raises(CheckError, match="other sequences"):
        check(model_folder)


def test_check__no_model_here(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        check(tmp_path)


def test_folder_loader__needs_a_description(tmp_path: Path):
    with pytest.raises(InputError, match=r"no dataloader\.yaml"):
        folder_loader(tmp_path)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (kf.ModelDescription, kipoi.specs.ModelDescription),
        (kf.ModelInfo, kipoi.specs.ModelInfo),
        (kf.ModelSchema, kipoi.specs.ModelSchema),
        (kf.ModelTest, kipoi.specs.ModelTest),
        (kf.Array, kipoi.specs.ArraySchema),
        (kf.Author, kipoi.specs.Author),
        (kf.Dependencies, kipoi.specs.Dependencies),
        (kf.LoaderImport, kipoi.specs.DataLoaderImport),
        (kf.DataloaderDescription, kipoi.specs.DataLoaderDescription),
        (kf.DataloaderInfo, kipoi.specs.Info),
        (kf.Argument, kipoi.specs.DataLoaderArgument),
        (kf.OutputSchema, kipoi.specs.DataLoaderSchema),
        (kf.Ranges, kipoi.specs.MetadataStruct),
    ],
)
def test_files__say_nothing_that_kipoi_does_not_read(ours: Callable, theirs: Callable):
    known = {field.name for field in attr.fields(theirs)}
    assert {field.name for field in dataclasses.fields(ours)} <= known


TAGGED = {
    "in a list": ("authors:\n", "authors:\n  - !!python/object/apply:os.mkdir [{place}]\n"),
    "of a text": ("license: MIT", "license: !!python/object/apply:os.mkdir [{place}]"),
    "of a name": ("license: MIT", "license: !!python/name:os.system"),
    "aliases": ("license: MIT", "license: &a [*a]"),
    "twice": ("license: MIT", "license: MIT\n  license: MIT"),
}


@pytest.mark.parametrize("name", [kf.MODEL_FILE, kf.DATALOADER_FILE])
@pytest.mark.parametrize("case", TAGGED)
def test_check__runs_nothing_that_a_folder_names(model_folder: Path, tmp_path: Path, name: str, case: str):
    old, new = TAGGED[case]
    change(model_folder / name, old, new.replace("{place}", str(tmp_path / "ran")))
    for call in (check, load_with_kipoi):
        with pytest.raises(InputError) as caught:
            call(model_folder)
        assert str(model_folder / name) in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_folder_loader__runs_nothing_that_a_folder_names(model_folder: Path, tmp_path: Path):
    change(
        model_folder / kf.DATALOADER_FILE,
        "license: MIT",
        f"license: !!python/object/apply:os.mkdir [{tmp_path / 'ran'}]",
    )
    with pytest.raises(InputError, match="a tag"):
        folder_loader(model_folder)
    assert not (tmp_path / "ran").exists()


HARMFUL = {
    "shape": ("shape: (120, 4)", "shape: \"__import__('os').abort()\""),
    "shape with digits of another script": ("shape: (120, 4)", 'shape: "(١٢٠, 4)"'),
    "shape of hundreds of digits": ("shape: (120, 4)", f"shape: ({'1' * 300}, 4)"),
    "weights elsewhere": ("weights: model.keras", "weights: ../model.keras"),
    "absolute weights": ("weights: model.keras", "weights: /etc/passwd"),
    "weights by url": ("weights: model.keras", "weights: https://example.org/model.keras"),
    "weights by url and md5": ("weights: model.keras", "weights: {url: https://example.org/m, md5: x}"),
    "more arguments": ("args:\n", "args:\n  engine: keras\n"),
    "another class": ("chromacc_models.KipoiModel", "os.system"),
    "another loader": ("chromacc_models.KipoiLoader", "dataloader.Loader"),
    "an option of pip": ("chromacc>=0.1,<0.2", "'--index-url=https://example.org'"),
    "a file for pip": ("chromacc>=0.1,<0.2", "requirements.txt"),
    "a command for pip": ("chromacc>=0.1,<0.2", "'chromacc; touch x'"),
    "a file for conda": ("python=3.11", "environment.yml"),
    "a channel elsewhere": ("  - conda-forge", "  - ../channel"),
}


@pytest.mark.parametrize("case", HARMFUL)
def test_read_model_file__harmful_values(model_folder: Path, case: str):
    change(model_folder / kf.MODEL_FILE, *HARMFUL[case])
    with pytest.raises(InputError) as caught:
        kf.read_model_file(model_folder)
    assert str(model_folder / kf.MODEL_FILE) in str(caught.value)


@pytest.mark.parametrize("name", [kf.MODEL_FILE, kf.WEIGHTS, kf.EXPECTED, kf.CARD])
def test_check__link_out_of_the_folder(model_folder: Path, tmp_path: Path, name: str):
    shutil.move(model_folder / name, tmp_path / "elsewhere")
    (model_folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="a link that leads out"):
        check(model_folder)


def test_check__expected_predictions_that_lead_elsewhere(model_folder: Path):
    with h5py.File(model_folder / kf.EXPECTED, "r+") as file:
        del file["preds"]
        file["preds"] = h5py.ExternalLink("/etc/passwd", "/x")
    list_again(model_folder)
    with pytest.raises(InputError, match="this HDF5 file is refused"):
        check(model_folder)


def test_package__window_length_that_is_code(made: Path, tmp_path: Path):
    run = Path(shutil.copytree(made / "run", tmp_path / "run"))
    change(
        run / "run.json",
        '"window_length": 120',
        f"\"window_length\": \"__import__('os').mkdir('{tmp_path}/ran')\"",
    )
    with pytest.raises(InputError, match="window_length: is damaged"):
        package(run, tmp_path / "model")
    assert not (tmp_path / "ran").exists()


def test_package__card_shows_texts_as_they_are(made: Path, tmp_path: Path):
    run = Path(shutil.copytree(made / "run", tmp_path / "run"))
    info = json.loads((run / "run.json").read_text())
    info["store"]["title"] = (
        "<script>alert(1)</script> [here](javascript:x) ![](http://x/y.png) | `x`\n# head"
    )
    info["cell_types"][0] = "<b>*cell*</b>"
    info["config"]["initial_filters"] = "a```\n# head"
    (run / "run.json").write_text(json.dumps(info))
    card = (package(run, tmp_path / "model", genome=made / "genome.fa") / kf.CARD).read_text()
    assert "<script>" not in card
    assert "<b>" not in card
    assert "&lt;script&gt;alert(1)&lt;/script&gt; \\[here\\](javascript:x)" in card
    assert "\n# head" not in card.replace("````", "")
    assert "&lt;b&gt;\\*cell\\*&lt;/b&gt;" in card
