"""Kinds of malformed input: which file is broken, in which ways, and which commands then read it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import h5py
import numpy as np

from tests.reliability import mutations as mu

__all__ = ["KINDS", "Case", "Kind", "copy_files", "make_case"]

Arguments = tuple[str, ...]

#: What a command may leave next to its output, whether it works or not: indexes of a genome.
_LEFT_BY_READING = (".fai", ".gzi")


@dataclass(frozen=True)
class Kind:
    """A kind of file and what is done with it.

    Parameters
    ----------
    name
        Its name.
    target
        The file that is broken, in the scene.
    files
        What else of the scene is needed.
    ways
        Ways to break it.
    commands
        Commands of which one reads it; `OUT…` names what it writes.
    networks
        Whether TensorFlow is needed.
    """

    name: str
    target: str
    files: tuple[str, ...]
    ways: tuple[Callable[..., Any], ...]
    commands: tuple[Arguments, ...]
    networks: bool = False


@dataclass(frozen=True)
class Case:
    """One malformed input in a folder, and the command that reads it."""

    kind: Kind
    seed: tuple[int, ...]
    what: str
    arguments: Arguments
    before: frozenset[str]

    def fault(self, folder: Path, code: int | None) -> str | None:
        """What is wrong with what the command left behind."""
        now = _listing(folder)
        if any(Path(name).name == "PWNED" for name in now):
            return "security: a text of the input was executed"
        outputs = [word for word in self.arguments if word.startswith("OUT")]
        left = sorted(name for name in now - self.before if not name.endswith(_LEFT_BY_READING))
        gone = sorted(self.before - now)
        if gone:
            return f"left behind: inputs are gone: {gone[:5]}"
        if code != 0:
            return f"left behind: after an error: {left[:5]}" if left else None
        missing = [name for name in outputs if not (folder / name).exists()]
        if missing and not any(Path(name).stem in found for name in missing for found in left):
            return f"left behind: exit code 0 without {missing}"
        half = [name for name in left if ".partial" in name or name.endswith(".tmp")]
        return f"left behind: {half[:5]}" if half else None


TEXT = (mu.mutate_bytes, mu.mutate_lines, mu.mutate_words, mu.mutate_words, mu.mutate_whole)
TREE = (mu.mutate_tree, mu.mutate_tree, mu.mutate_tree, mu.mutate_words, *TEXT)
BINARY = (mu.mutate_bytes, mu.mutate_bytes, mu.mutate_bytes, mu.mutate_whole)

PEAKS = ("genome.fa", "genome.fa.fai", "liver.bed", "t_cell.bed", "neuron.bed", "recipe.yaml")
SUITE = ("genome.fa", "genome.fa.fai")


def build(recipe: str) -> Arguments:
    return ("chromacc-data", "build", recipe, "-o", "OUT.zarr")


def _built(name: str, target: str, recipe: str, files: Sequence[str] = (), ways: tuple = TEXT) -> Kind:
    return Kind(name, target, (*SUITE, recipe, *files), ways, (build(recipe),))


def mutate_group(data: bytes, rng: np.random.Generator) -> mu.Mutated:
    """Change a value of the root of a Zarr store: an attribute mostly, else its consolidated metadata."""
    tree = json.loads(data)
    part = tree["attributes"] if rng.random() < 0.8 else tree
    while True:
        what, changed = mu.mutate_tree(json.dumps({"_": part}).encode(), rng)
        if what != "_ deleted":
            break
    if part is tree:
        return what, changed.partition(b":")[2].strip()[:-1].rstrip()
    place = b"HOSTILE_ATTRIBUTES"
    whole = json.dumps(tree | {"attributes": place.decode()}).encode()
    return what, whole.replace(b'"' + place + b'"', changed.partition(b":")[2].strip()[:-1].rstrip())


def mutate_attribute(data: bytes, rng: np.random.Generator) -> mu.Mutated:
    """Change the text of one attribute of the root of a Zarr store; many of these texts are JSON."""
    tree = json.loads(data)
    names = [name for name, value in tree["attributes"].items() if isinstance(value, str)]
    name = names[int(rng.integers(len(names)))]
    text = tree["attributes"][name]
    if text.startswith("{") and rng.random() < 0.8:
        what, changed = mu.mutate_tree(text.encode(), rng)
    else:
        what, changed = mu.mutate_words(text.encode(), rng)
    tree["attributes"][name] = changed.decode("utf-8", "replace")
    return f"attribute {name}: {what}", json.dumps(tree).encode()


#: Values that HDF5 attributes may have.
ATTRIBUTES: dict[str, Any] = {
    "-1": -1,
    "0": 0,
    "1e308": 1e308,
    "NaN": float("nan"),
    "2**63 - 1": 2**63 - 1,
    "empty text": "",
    "text": "text",
    "bytes that are not UTF-8": b"\xff\xfe\x80",
    "U+2028": "a\u2028b",
    "very long text": "x" * 60_000,
    "list of numbers": np.arange(5),
    "matrix": np.zeros((3, 4)),
    "nothing": h5py.Empty("f"),
    "list of texts": np.array([b"a", b"b"]),
    "JSON null": "null",
    "JSON number": "1",
    "JSON list": "[1, 2]",
    "JSON mapping": '{"a": 1}',
    "nested JSON": "[" * 3000,
    "400 digits": "9" * 400,
}


def mutate_hdf5(data: bytes, rng: np.random.Generator) -> mu.Mutated:
    """Change, delete or add attributes and datasets of an HDF5 file."""
    import io

    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        objects = [file, *(file[name] for name in file)]
        one = objects[0] if rng.random() < 0.6 else objects[int(rng.integers(len(objects)))]
        way = int(rng.integers(6))
        if way == 0 and len(file):
            name = list(file)[int(rng.integers(len(file)))]
            del file[name]
            what = f"dataset {name} deleted"
        elif way == 1 and len(file):
            name = list(file)[int(rng.integers(len(file)))]
            del file[name]
            value = np.zeros((2, 3)) if rng.random() < 0.5 else np.array([b"a"])
            file[name] = value
            what = f"dataset {name} of another shape and type"
        elif way == 2:
            one.attrs["unknown"] = "x"
            what = f"an attribute added to {one.name}"
        elif len(one.attrs):
            name = list(one.attrs)[int(rng.integers(len(one.attrs)))]
            del one.attrs[name]
            what = f"attribute {name} of {one.name} deleted"
            if way > 3:
                label, value = mu.pick(rng, ATTRIBUTES)
                one.attrs[name] = value
                what = f"attribute {name} of {one.name} is {label}"
        else:
            what = "unchanged"
    return what, buffer.getvalue()


def mutate_array(data: bytes, rng: np.random.Generator) -> mu.Mutated:
    """Another array in a .npy file."""
    import io

    arrays: dict[str, Any] = {
        "empty": np.zeros(0, np.float32),
        "of no filters": np.zeros((6, 4, 0), np.float32),
        "of no width": np.zeros((0, 4, 8), np.float32),
        "a number": np.float32(3),
        "of text": np.array(["a", "b"]),
        "of objects": np.array([None, {}], dtype=object),
        "of NaN": np.full((6, 4, 8), np.nan, np.float32),
        "of infinity": np.full((6, 4, 8), np.inf, np.float32),
        "complex": np.ones((6, 4, 8), complex),
        "of dates": np.zeros((6, 4, 8), "datetime64[s]"),
        "structured": np.zeros((6, 4, 8), [("a", "f4")]),
        "two-dimensional": np.zeros((6, 4), np.float32),
        "of five letters": np.zeros((6, 5, 8), np.float32),
        "of more filters": np.zeros((6, 4, 9), np.float32),
        "wider than the window": np.zeros((100, 4, 8), np.float32),
    }
    name, array = mu.pick(rng, arrays)
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return f"an array {name}", buffer.getvalue()


def mutate_keras(data: bytes, rng: np.random.Generator) -> mu.Mutated:
    """Change a value of a part of a .keras file (a zip of config.json, metadata.json and weights in HDF5)."""
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(data)) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    name = list(parts)[int(rng.integers(len(parts)))]
    way = int(rng.integers(4))
    if way == 0:
        del parts[name]
        what = "deleted"
    elif name.endswith(".json") and way > 1:
        what, parts[name] = mu.mutate_tree(parts[name], rng)
    elif name.endswith(".h5") and way > 1:
        what, parts[name] = mutate_hdf5(parts[name], rng)
    else:
        what, parts[name] = mu.mutated(parts[name], rng, BINARY)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for part, content in parts.items():
            file.writestr(part, content)
    return f"{name}: {what}", buffer.getvalue()


STORE = ("store.zarr", *PEAKS)
READ_STORE = (
    ("chromacc-data", "info", "store.zarr"),
    ("chromacc-data", "verify", "store.zarr"),
    ("chromacc-data", "convert", "store.zarr", "OUT.h5"),
)
READ_HDF5 = (
    ("chromacc-data", "info", "store.h5"),
    ("chromacc-data", "verify", "store.h5"),
    ("chromacc-data", "convert", "store.h5", "OUT.zarr"),
)
READ_RUN = (
    ("chromacc-models", "predict", "run", "regions.bed", "genome.fa", "-o", "OUT.tsv"),
    ("chromacc-models", "package", "run", "--genome", "genome.fa", "--to", "OUT-model"),
    ("chromacc-models", "evaluate", "run"),
    ("chromacc-models", "motifs", "run"),
    ("chromacc-models", "interactions", "run"),
    ("chromacc-models", "report", "run"),
    ("chromacc-models", "compare", "run", "run"),
    ("chromacc-models", "train", "store.zarr", "--config", "train.yaml", "-o", "run"),
)
READ_MODEL = (
    ("chromacc-models", "check", "model"),
    ("chromacc-models", "predict", "model", "regions.bed", "genome.fa", "-o", "OUT.tsv"),
)
PREDICT = tuple(
    ("chromacc-models", "predict", "run", "regions.bed", "genome.fa", "-o", f"OUT{suffix}")
    for suffix in (".tsv", ".bed", ".bw", ".parquet", ".h5", ".zarr")
)
RUN = ("run", "store.zarr", "regions.bed", "train.yaml", *SUITE)
MODEL = ("model", "regions.bed", *SUITE)


def _of_model(name: str, file: str, ways: tuple = TEXT, commands: tuple = READ_MODEL) -> Kind:
    return Kind(name, f"model/{file}", MODEL, ways, commands, networks=True)


KINDS: tuple[Kind, ...] = (
    Kind("recipe", "recipe.yaml", PEAKS, TREE, (build("recipe.yaml"),)),
    _built("recipe of a simulation", "sim_meme.yaml", "sim_meme.yaml", ["motifs.meme"], TREE),
    _built(
        "recipe of fixed windows", "fixed.yaml", "fixed.yaml", ["fixed.bed", "liver.bed", "neuron.bed"], TREE
    ),
    _built("recipe of fragments", "pairs.yaml", "pairs.yaml", ["pairs.bedpe"], TREE),
    Kind("BED", "liver.bed", PEAKS, TEXT, (build("recipe.yaml"),)),
    _built("blacklist", "blacklist.bed", "zipped.yaml", ["liver.bed.gz"]),
    _built("BED of windows", "fixed.bed", "fixed.yaml", ["liver.bed", "neuron.bed"]),
    _built("BED, gzip", "liver.bed.gz", "zipped.yaml", ["blacklist.bed"], BINARY),
    _built("narrowPeak", "summits.narrowPeak", "summits.yaml"),
    _built("bedGraph", "signal.bedGraph", "signal.yaml"),
    _built("bigWig", "signal.bw", "bigwig.yaml", (), BINARY),
    _built("fragments", "fragments.tsv", "fragments.yaml"),
    _built("BEDPE", "pairs.bedpe", "pairs.yaml"),
    Kind(
        "FASTA", "genome.fa", tuple(f for f in PEAKS if f != "genome.fa.fai"), TEXT, (build("recipe.yaml"),)
    ),
    Kind("FASTA next to its index", "genome.fa", PEAKS, TEXT, (build("recipe.yaml"),)),
    Kind("FASTA index", "genome.fa.fai", PEAKS, TEXT, (build("recipe.yaml"),)),
    _built("FASTA, bgzip", "genome.fa.gz", "zipped_genome.yaml", PEAKS, BINARY),
    _built(
        "FASTA, bgzip, index",
        "genome.fa.gz.fai",
        "zipped_genome.yaml",
        ["genome.fa.gz", "genome.fa.gz.gzi", *PEAKS],
    ),
    _built(
        "FASTA, bgzip, blocks",
        "genome.fa.gz.gzi",
        "zipped_genome.yaml",
        ["genome.fa.gz", "genome.fa.gz.fai", *PEAKS],
        BINARY,
    ),
    _built("motifs, MEME", "motifs.meme", "sim_meme.yaml"),
    _built("motifs, JASPAR", "motifs.jaspar", "sim_jaspar.yaml"),
    _built("motifs, CIS-BP", "motifs.txt", "sim_txt.yaml"),
    _built("motifs, TRANSFAC", "motifs.transfac", "sim_transfac.yaml"),
    Kind(
        "store, Zarr",
        "store.zarr/zarr.json",
        STORE,
        (mutate_group, mutate_group, mutate_attribute, mutate_attribute, *TEXT),
        READ_STORE,
    ),
    Kind("array, Zarr", "store.zarr/sequence/zarr.json", STORE, TREE, READ_STORE),
    Kind("names, Zarr", "store.zarr/cell_type/zarr.json", STORE, TREE, READ_STORE),
    Kind(
        "simulated store, Zarr",
        "simulated.zarr/zarr.json",
        ("simulated.zarr", "sim_meme.yaml", "motifs.meme"),
        (mutate_group, mutate_attribute),
        tuple((*words[:2], "simulated.zarr", *words[3:]) for words in READ_STORE),
    ),
    Kind("store, HDF5", "store.h5", PEAKS, (mutate_hdf5,), READ_HDF5),
    Kind("store, HDF5, bytes", "store.h5", PEAKS, BINARY, READ_HDF5),
    Kind(
        "train options",
        "train.yaml",
        ("store.zarr", "filters.npy"),
        TREE,
        (("chromacc-models", "train", "store.zarr", "--config", "train.yaml", "-o", "OUT-run"),),
        networks=True,
    ),
    Kind("run.json", "run/run.json", RUN, TREE, READ_RUN, networks=True),
    Kind("history of a run", "run/history.csv", RUN, TEXT, (READ_RUN[5], READ_RUN[7]), networks=True),
    Kind(
        "network of a run",
        "run/model.keras",
        RUN,
        (mutate_keras, mutate_keras, *BINARY),
        READ_RUN,
        networks=True,
    ),
    _of_model("model.yaml", "model.yaml", TREE),
    _of_model("dataloader.yaml", "dataloader.yaml", TREE),
    _of_model("targets.txt", "targets.txt"),
    _of_model("SHA256SUMS", "SHA256SUMS"),
    _of_model("model card", "README.md", TEXT, READ_MODEL[:1]),
    _of_model("expected predictions", "example_files/expected.h5", (mutate_hdf5, *BINARY), READ_MODEL[:1]),
    _of_model("example regions", "example_files/example.bed", TEXT, READ_MODEL[:1]),
    Kind(
        "network",
        "net.keras",
        ("regions.bed", *SUITE),
        (mutate_keras, mutate_keras, *BINARY),
        (("chromacc-models", "predict", "net.keras", "regions.bed", "genome.fa", "-o", "OUT.tsv"),),
        networks=True,
    ),
    Kind(
        "filters",
        "filters.npy",
        ("store.zarr", "train.yaml"),
        (mutate_array, mutate_array, *BINARY),
        (
            (
                "chromacc-models",
                "train",
                "store.zarr",
                "--config",
                "train.yaml",
                "--set",
                "initial_filters=filters.npy",
                "-o",
                "OUT-run",
            ),
        ),
        networks=True,
    ),
    Kind("regions", "regions.bed", RUN, TEXT, PREDICT, networks=True),
    Kind(
        "FASTA for regions",
        "genome.fa",
        tuple(f for f in RUN if f != "genome.fa.fai"),
        TEXT,
        PREDICT[:1],
        networks=True,
    ),
)

#: Commands whose options are given hostile values.
OPTIONS: tuple[tuple[Arguments, tuple[str, ...], bool], ...] = (
    (build("recipe.yaml"), PEAKS, False),
    (("chromacc-data", "info", "store.zarr"), STORE, False),
    (("chromacc-data", "verify", "store.zarr"), STORE, False),
    (("chromacc-data", "convert", "store.zarr", "OUT.h5"), STORE, False),
    (
        ("chromacc-models", "train", "store.zarr", "--config", "train.yaml", "-o", "OUT-run"),
        ("store.zarr", "train.yaml"),
        True,
    ),
    (
        ("chromacc-models", "cross-validate", "store.zarr", "--config", "train.yaml", "-o", "OUT-folds"),
        ("store.zarr", "train.yaml"),
        True,
    ),
    (READ_RUN[0], RUN, True),
    (READ_RUN[1], RUN, True),
    *((words, RUN, True) for words in READ_RUN[2:7]),
    (READ_MODEL[0], MODEL, True),
)

#: Values of an option; none that names a place outside of the folder.
ARGUMENTS: dict[str, str] = {
    "nothing": "",
    "-1": "-1",
    "0": "0",
    "NaN": "nan",
    "1e308": "1e308",
    "400 digits": "9" * 400,
    "1e12": "1000000000000",
    "text": "text",
    "a folder": ".",
    "a folder with a slash": "./",
    "U+2028": "a\u2028b",
    "not UTF-8": "a\udcff",
    "newline": "a\nb",
    "very long": "x" * 5000,
    "KEY=": "fold=",
    "fold": "fold=77",
    "rate": "learning_rate=1e300",
    "epochs": "epochs=[1]",
    "nesting": "epochs=" + "[" * 2000,
    "address": "tcp://127.0.0.1:1",
    "half an address": "tcp://",
    "http": "http://127.0.0.1:1/",
    "a BED file": "regions.bed",
    "a FASTA file": "genome.fa",
    "a store": "store.zarr",
    "dash": "-",
    "tilde": "~",
    "dollar": "$HOME",
    "name that is taken": "train.yaml",
    "under a file": "train.yaml/x",
    "spaces": "   ",
    "suffix": "OUT.xyz",
    "only a suffix": ".zarr",
    "two suffixes": "OUT.zarr.h5",
}


#: Options that say nothing wrong, and take long.
_NOT_TRIED = ("version", "help", "processes")


def make_case(kind: Kind | str, scene: Path, folder: Path, seed: tuple[int, ...]) -> Case:
    """Copy what a kind needs into `folder`, break its target, and choose the command.

    Parameters
    ----------
    kind
        One of `KINDS`, or ``"options"`` or ``"options of networks"``.
    scene
        Folder of :func:`tests.reliability.scene.make_scene`.
    folder
        An empty folder.
    seed
        Decides everything.
    """
    rng = np.random.default_rng(seed)
    if isinstance(kind, str):
        return _case_of_options(kind, scene, folder, seed, rng)
    copy_files(scene, folder, (*kind.files, kind.target))
    target = folder / kind.target
    what, data = mu.mutated(target.read_bytes(), rng, kind.ways)
    target.write_bytes(data)
    arguments = kind.commands[int(rng.integers(len(kind.commands)))]
    return Case(kind, seed, what, arguments, frozenset(_listing(folder)))


def _case_of_options(kind: str, scene: Path, folder: Path, seed: tuple, rng: np.random.Generator) -> Case:
    chosen = [one for one in OPTIONS if one[2] == kind.endswith("networks")]
    arguments, files, networks = chosen[int(rng.integers(len(chosen)))]
    copy_files(scene, folder, files)
    parameters = [one for one in command_of(arguments).params if one.name not in _NOT_TRIED]
    parameter = parameters[int(rng.integers(len(parameters)))]
    name, value = mu.pick(rng, ARGUMENTS)
    words = list(arguments)
    if isinstance(parameter, click.Argument):
        place = 2 + [one.name for one in parameters if isinstance(one, click.Argument)].index(parameter.name)
        if place >= len(words) or words[place].startswith("-"):
            words.insert(place, value)
        else:
            words[place] = value
    elif parameter.is_flag:
        words.append(parameter.opts[-1])
        name = "given"
    elif present := [opt for opt in parameter.opts if opt in words]:
        words[words.index(present[0]) + 1] = value
    else:
        words += [parameter.opts[-1], *[value] * parameter.nargs]
    what = f"{words[1]} with {parameter.opts[-1]} {name}"
    made = Kind(kind, "", files, (), (tuple(words),), networks)
    return Case(made, seed, what, tuple(words), frozenset(_listing(folder)))


def command_of(arguments: Arguments) -> click.Command:
    """The click command that a command line names."""
    if arguments[0] == "chromacc-data":
        from chromacc_data.cli import main_group
    else:
        from chromacc_models.cli import main_group
    return main_group.commands[arguments[1]]


def copy_files(scene: Path, folder: Path, names: Sequence[str]) -> None:
    """Copy files and folders of a scene, those that are there."""
    for name in dict.fromkeys(names):
        top = name.split("/")[0]
        if (folder / top).exists() or not (scene / top).exists():
            continue
        if (scene / top).is_dir():
            shutil.copytree(scene / top, folder / top)
        else:
            shutil.copy(scene / top, folder / top)


def _listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
