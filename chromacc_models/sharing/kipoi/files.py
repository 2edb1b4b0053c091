"""What ``model.yaml`` and ``dataloader.yaml`` of a packaged model say: the keys that Kipoi 0.8.6 reads.

Kipoi ignores unknown keys, wrong checksums and missing texts in silence; here each is an error with file,
line and key. Keys that Kipoi knows but that break it (``writers``, ``type``, ``path``) are not among them.
Kipoi also runs what tags in the YAML name, and evaluates shapes as Python: a folder is read here first, where
tags are refused and each text has its form, and given to Kipoi only then.
"""

# ruff: noqa: RUF009 -- `option` makes a dataclass field, as `dataclasses.field` does.

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from chromacc_data.errors import InputError
from chromacc_data.files import file_digest, write_text_atomically
from chromacc_data.recipe.yaml_options import from_yaml
from chromacc_data.typed_values import Options, option, read_text
from chromacc_models.networks.known_motifs import KNOWN_MOTIFS

__all__ = [
    "BACKGROUND",
    "CARD",
    "CHECKSUMS",
    "DATALOADER_FILE",
    "DATA_FILES",
    "EXAMPLE_BED",
    "EXAMPLE_FASTA",
    "EXAMPLE_INDEX",
    "EXPECTED",
    "MODEL_FILE",
    "OPTIONAL_FILES",
    "OWN_TEXTS",
    "TARGETS",
    "TEXT_FILES",
    "WEIGHTS",
    "Argument",
    "Arguments",
    "Array",
    "Author",
    "DataloaderDescription",
    "DataloaderInfo",
    "Dependencies",
    "LoaderImport",
    "ModelArguments",
    "ModelDescription",
    "ModelInfo",
    "ModelSchema",
    "ModelTest",
    "OutputSchema",
    "Ranges",
    "RangesMetadata",
    "accept_texts",
    "parse_shape",
    "read_checksums",
    "read_dataloader_file",
    "read_model_file",
    "read_packaged_checksums",
    "read_targets",
    "require_checksums",
    "require_inside",
    "require_labels",
    "require_text_checksums",
    "to_yaml",
    "write_checksums",
]

# The files of a model folder.
MODEL_FILE = "model.yaml"
DATALOADER_FILE = "dataloader.yaml"
WEIGHTS = "model.keras"
TARGETS = "targets.txt"
CARD = "README.md"
CHECKSUMS = "SHA256SUMS"
#: The list as the model was packaged, in folders with texts that were edited and accepted since.
PACKAGED_CHECKSUMS = "SHA256SUMS.packaged"
EXAMPLE_FASTA = "example_files/example.fa"
EXAMPLE_BED = "example_files/example.bed"
EXAMPLE_INDEX = "example_files/example.fa.fai"  # or its first user would write it into a shared folder
EXPECTED = "example_files/expected.h5"
#: Usual effects of variants; absent where the model was packaged without a genome, or by an older release.
BACKGROUND = "background.tsv"

DATA_FILES = (WEIGHTS, TARGETS, EXAMPLE_FASTA, EXAMPLE_INDEX, EXAMPLE_BED, EXPECTED)
#: What only some models have: names of filters that began as known motifs, usual effects of variants.
OPTIONAL_FILES = (KNOWN_MOTIFS, BACKGROUND)
#: Files that their owner may add to: `check --accept-texts` updates their checksums. Folders of older
#: releases have no checksums of them.
OWN_TEXTS = (MODEL_FILE, DATALOADER_FILE, CARD)
TEXT_FILES = (*OWN_TEXTS, CHECKSUMS)

_TEXT = (r"(?s)\s*\S.*", "a text that is not empty")
_SHA256 = (r"[0-9a-f]{64}", "a SHA-256: 64 hexadecimal digits in quotes")
#: Kipoi evaluates a shape as Python: nothing but numbers may stand there.
_SHAPE = (
    r"\(([0-9]{1,9}|None),( ?([0-9]{1,9}|None),)*( ?([0-9]{1,9}|None))?\)",
    'a tuple in quotes, such as "(600, 4)"',
)
_INSIDE = (r"(?!/)(?!~)(?!.*\.\.)(?!.*[:\\])\S.*", "a path inside the model's folder")
#: What an installer takes for a package: no option, no file of requirements, no command.
_VERSIONS = r"( ?(===?|[<>!~]=?|~=|=) ?[A-Za-z0-9.*+!_-]+,?)*"
_PIP = (
    rf"(?!.*\.(txt|ya?ml)$)[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9., _-]+\])?"
    rf"({_VERSIONS}| ?@ ?(git\+)?https://[A-Za-z0-9./@_+~#=%-]+)",
    "a package and its versions, such as chromacc>=0.1,<0.2",
)
_CONDA = (
    rf"(?!.*\.(txt|ya?ml)$)([A-Za-z0-9][A-Za-z0-9._-]*::)?[A-Za-z0-9][A-Za-z0-9._-]*{_VERSIONS}",
    "a package and its version, such as python=3.11",
)
_CHANNEL = (r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._-]+)?", "the name of a channel, such as conda-forge")
_FETCH = "fetch the model again"


@dataclass(frozen=True, kw_only=True)
class Author(Options):
    """A person."""

    name: str = option("Name.", pattern=_TEXT)
    github: str | None = option("Name on GitHub.", None)
    email: str | None = option("Address.", None)


@dataclass(frozen=True, kw_only=True)
class DataloaderInfo(Options):
    """Who wrote a dataloader, and what it does."""

    authors: tuple[Author, ...] = option("People.")
    doc: str = option("What it is, for people.", pattern=_TEXT)
    name: str | None = option("Name.", None)
    version: str = option("Version.", "0.1")
    license: str = option("Licence.", "MIT")
    tags: tuple[str, ...] = option("Words to find it by.", ())


@dataclass(frozen=True, kw_only=True)
class ModelInfo(DataloaderInfo):
    """Who made a model, from what, and how."""

    contributors: tuple[Author, ...] = option("More people.", ())
    cite_as: str | None = option("Publication.", None)
    trained_on: str = option("Training data.", pattern=_TEXT)
    training_procedure: str | None = option("How it was trained.", None)


@dataclass(frozen=True, kw_only=True)
class Array(Options):
    """Shape and meaning of an array, without its first axis (the sequences)."""

    shape: str = option("Shape as text.", pattern=_SHAPE)
    doc: str = option("Meaning.", pattern=_TEXT)
    name: str | None = option("Name.", None)
    special_type: Literal["DNASeq"] | None = option("What kind of data it holds.", None)
    associated_metadata: str | None = option("Metadata that describes it.", None)
    column_labels: str | None = option("File with one label a line.", None, pattern=_INSIDE)


@dataclass(frozen=True, kw_only=True)
class ModelSchema(Options):
    """What goes in and comes out of a model."""

    inputs: Array = option("Input array.")
    targets: Array = option("Output array.")


@dataclass(frozen=True, kw_only=True)
class ModelArguments(Options):
    """Arguments of :class:`chromacc_models.sharing.kipoi.model.KipoiModel`."""

    weights: str = option("The network, a .keras file.", pattern=_INSIDE)
    sha256: str = option("Its checksum.", pattern=_SHA256)


@dataclass(frozen=True, kw_only=True)
class LoaderImport(Options):
    """The dataloader, by name."""

    defined_as: Literal["chromacc_models.KipoiLoader"] = option("Class to import.")


@dataclass(frozen=True, kw_only=True)
class Dependencies(Options):
    """What to install."""

    pip: tuple[str, ...] = option("Requirements for pip.", pattern=_PIP)
    conda: tuple[str, ...] = option("Packages for conda.", (), pattern=_CONDA)
    conda_channels: tuple[str, ...] = option("Channels for conda.", ("conda-forge",), pattern=_CHANNEL)


@dataclass(frozen=True, kw_only=True)
class ModelTest(Options):
    """What ``kipoi test`` compares."""

    expect: str = option("HDF5 file with inputs and predictions.", pattern=_INSIDE)
    precision_decimal: int = option("Decimal places that must agree.", 5, minimum=1, maximum=7)


@dataclass(frozen=True, kw_only=True)
class ModelDescription(Options):
    """``model.yaml``."""

    defined_as: Literal["chromacc_models.KipoiModel"] = option("Class of the model.")
    args: ModelArguments = option("Its arguments.")
    info: ModelInfo = option("People and texts.")
    schema: ModelSchema = option("Arrays in and out.")
    default_dataloader: LoaderImport = option("The dataloader.")
    dependencies: Dependencies = option("What to install.")
    test: ModelTest = option("Expected predictions.")


@dataclass(frozen=True, kw_only=True)
class Argument(Options):
    """An argument of the dataloader."""

    doc: str = option("Meaning.", pattern=_TEXT)
    type: str = option("Type, for people.", "str")
    example: str | None = option("Example file, in the model's folder.", None, pattern=_INSIDE)
    default: int | None = option("Default value of this model.", None, minimum=1)
    optional: bool = option("Whether it may be left out.", False)


@dataclass(frozen=True, kw_only=True)
class Arguments(Options):
    """Arguments of :class:`chromacc_data.loader.BedLoader`."""

    intervals_file: Argument = option("BED file.")
    fasta_file: Argument = option("FASTA file.")
    window_length: Argument = option("Length of the windows, bp.")
    use_strand: Argument = option("Whether the strand of the BED file is followed.")
    past_end: Argument = option("What becomes of windows past an end.")


@dataclass(frozen=True, kw_only=True)
class Ranges(Options):
    """A metadata entry of genomic ranges."""

    doc: str = option("Meaning.", pattern=_TEXT)
    type: Literal["GenomicRanges"] = option("Kind of the entry.")


@dataclass(frozen=True, kw_only=True)
class RangesMetadata(Options):
    """Metadata of a batch."""

    ranges: Ranges = option("Where the sequences are.")


@dataclass(frozen=True, kw_only=True)
class OutputSchema(Options):
    """What a dataloader gives."""

    inputs: Array = option("Array for the model.")
    metadata: RangesMetadata = option("What is told about each sequence.")


@dataclass(frozen=True, kw_only=True)
class DataloaderDescription(Options):
    """``dataloader.yaml``."""

    defined_as: Literal["chromacc_models.KipoiLoader"] = option("Class of the dataloader.")
    info: DataloaderInfo = option("People and texts.")
    args: Arguments = option("Its arguments.")
    output_schema: OutputSchema = option("What it gives.")
    dependencies: Dependencies = option("What to install.")
    type: Literal["Dataset"] = option("Kind of dataloader.", "Dataset")


def read_model_file(folder: Path) -> ModelDescription:
    """``model.yaml`` of a folder, strictly; InputError names file, line and key."""
    return _read(ModelDescription, folder / MODEL_FILE)


def read_dataloader_file(folder: Path) -> DataloaderDescription:
    """``dataloader.yaml`` of a folder, strictly; InputError names file, line and key."""
    return _read(DataloaderDescription, folder / DATALOADER_FILE)


def to_yaml(description: ModelDescription | DataloaderDescription) -> str:
    """The text of a description, without keys that have no value.

    >>> print(to_yaml(Author(name="A. Writer")), end="")
    name: A. Writer
    """
    return yaml.safe_dump(_plain(description), sort_keys=False, width=110, allow_unicode=True)


def parse_shape(text: str) -> tuple[int | None, ...]:
    """Numbers of a shape as Kipoi writes it.

    >>> parse_shape("(600, 4)"), parse_shape("(None,)")
    ((600, 4), (None,))
    """
    return tuple(None if part == "None" else int(part) for part in re.findall(r"\d+|None", text))


def require_checksums(
    folder: Path, description: ModelDescription, names: Sequence[str] = (*DATA_FILES, *OPTIONAL_FILES)
) -> None:
    """Raise unless files of a model folder are those that it was packaged with.

    Parameters
    ----------
    folder
        Model folder.
    description
        Its ``model.yaml``, whose checksum of the weights is compared too.
    names
        The files, of :data:`DATA_FILES` and :data:`OPTIONAL_FILES`.

    Raises
    ------
    InputError
        If the list of checksums is missing or damaged, or a file is missing or has another checksum.
    """
    sums = read_checksums(folder)
    for name in names:
        if name in OPTIONAL_FILES and name not in sums:
            _require_absent(folder / name)
            continue
        require_inside(folder, name)
        if not (folder / name).is_file():
            raise InputError("a file is missing", where=folder / name, remedy="fetch the model again")
        if name not in sums:
            raise InputError("a file has no checksum", where=folder / name, remedy="package the model again")
        if (found := file_digest(folder / name, fresh=True)) != sums[name]:
            raise InputError(
                "a file has another checksum",
                where=folder / name,
                found=found,
                expected=f"{sums[name]}, as in {CHECKSUMS}",
                remedy="fetch the model again, or package it again if it was changed on purpose",
            )
    if description.args.weights != WEIGHTS:
        raise InputError(
            "weights in a file of another name",
            where=f"{folder / MODEL_FILE}, args.weights",
            found=description.args.weights,
            expected=WEIGHTS,
        )
    if description.args.sha256 != sums[WEIGHTS]:
        raise InputError(
            "two checksums of the weights disagree",
            where=f"{folder / MODEL_FILE}, args.sha256",
            found=description.args.sha256,
            expected=f"{sums[WEIGHTS]}, as in {CHECKSUMS}",
        )


def _require_absent(path: Path) -> None:
    if path.exists():
        raise InputError(
            "a file of the model has no checksum",
            where=path,
            expected=f"a line for it in {CHECKSUMS}",
            remedy="fetch the model again, or remove the file",
        )


def require_inside(folder: Path, name: str) -> None:
    """Raise an InputError where a file of a model folder is a link to a place outside of it."""
    if not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise InputError(
            "a link that leads out of the model's folder",
            where=folder / name,
            found=(folder / name).resolve(),
            expected="a file in the folder",
            remedy="replace the link by the file, or fetch the model again",
        )


def read_checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of each file that the list of a model folder names, by name.

    Raises
    ------
    InputError
        If the list is missing, a line of it is not ``SHA-256  NAME``, or it names other files.
    """
    return _read_checksums(folder / CHECKSUMS)


def read_packaged_checksums(folder: Path) -> dict[str, str]:
    """As :func:`read_checksums`, but of the files as they were packaged, before users edited them."""
    packaged = folder / PACKAGED_CHECKSUMS
    return _read_checksums(packaged if packaged.is_file() else folder / CHECKSUMS)


def _read_checksums(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise InputError("no checksums", where=path, remedy="package the model again")
    # Not `splitlines`: it would take a damaged name for two lines.
    lines = path.read_bytes().decode(errors="backslashreplace").split("\n")
    sums: dict[str, str] = {}
    for number, line in enumerate(lines[:-1], start=1):
        digest, _, name = line.partition("  ")
        if not re.fullmatch(_SHA256[0], digest) or name in sums:
            raise InputError(
                "not a line of checksums",
                where=f"{path} line {number}",
                found=repr(line[:100]),
                expected="a SHA-256, two spaces, and the name of a file that no other line names",
                remedy=_FETCH,
            )
        sums[name] = digest
    if lines[-1]:
        raise InputError("the last line is cut", where=path, found=repr(lines[-1][:100]), remedy=_FETCH)
    if sorted(sums.keys() - {*OPTIONAL_FILES}) not in (sorted(DATA_FILES), sorted((*DATA_FILES, *OWN_TEXTS))):
        expected = ", ".join((*DATA_FILES, *OWN_TEXTS))
        raise InputError(
            "lists other files", where=path, found=", ".join(sums), expected=expected, remedy=_FETCH
        )
    return sums


def require_text_checksums(folder: Path) -> tuple[str, ...]:
    """Raise an InputError where a text is not what it was; gives the texts that have no checksum."""
    sums = read_checksums(folder)
    for name in OWN_TEXTS:
        if name in sums and (found := file_digest(folder / name, fresh=True)) != sums[name]:
            raise InputError(
                "a text has changed since its checksum was taken",
                where=folder / name,
                found=found,
                expected=f"{sums[name]}, as in {CHECKSUMS}",
                remedy=f"accept your own edits: chromacc-models check {folder} --accept-texts; "
                "else fetch the model again",
            )
    return tuple(name for name in OWN_TEXTS if name not in sums)


def accept_texts(folder: Path) -> None:
    """List the checksums of a model folder again, and keep the list as it was packaged."""
    if all(read_checksums(folder).get(name) == file_digest(folder / name, fresh=True) for name in OWN_TEXTS):
        return
    if not (folder / PACKAGED_CHECKSUMS).is_file():
        write_text_atomically(folder / PACKAGED_CHECKSUMS, (folder / CHECKSUMS).read_text())
    write_checksums(folder)


def write_checksums(folder: Path) -> None:
    """List the checksums of all files of a model folder, as ``sha256sum`` does."""
    optional = (name for name in OPTIONAL_FILES if (folder / name).is_file())
    names = (*DATA_FILES, *optional, *OWN_TEXTS)
    lines = [f"{file_digest(folder / name, fresh=True)}  {name}\n" for name in names]
    write_text_atomically(folder / CHECKSUMS, "".join(lines))


def read_targets(folder: Path) -> list[str]:
    """Names of the cell types, a line each."""
    return read_text(folder / TARGETS).removesuffix("\n").split("\n")


def require_labels(labels: Sequence[str], n_outputs: int, *, where: Path) -> None:
    """Raise an InputError unless there is one name for each output of a network, and no two are the same."""
    if len(labels) != n_outputs or len(set(labels)) != len(labels) or not all(labels):
        raise InputError(
            "labels do not fit the outputs",
            where=where,
            found=f"{len(labels)} lines, {len(set(labels))} different: {', '.join(labels[:8])}",
            expected=f"{n_outputs} different names, one per line",
        )


def _read(cls: type, path: Path) -> Any:
    if not path.is_file():
        raise InputError(
            "no such file",
            where=path,
            expected="the folder of a model made by `chromacc-models package`",
        )
    require_inside(path.parent, path.name)
    return from_yaml(cls, read_text(path, expected="YAML in UTF-8"), path=path)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name: _plain(one) for name, one in fields.items() if one not in (None, ())}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
