"""A trained network as a folder that Kipoi serves: write it, and check it.

The folder is plain files, each with a checksum, and works from any kind of Kipoi source::

    model.yaml  dataloader.yaml   what Kipoi reads
    model.keras targets.txt       the network, and the cell type of each output
    known_motifs.json             names of its filters, where they were set to known motifs
    example_files/                example.fa, example.bed, and expected.h5: inputs and predictions for them
    README.md                     the model card
    background.tsv                usual effects of variants, for percentiles (with a genome)
    SHA256SUMS                    checksums of the others; `sha256sum -c SHA256SUMS` checks them too
"""

from __future__ import annotations

import html
import logging
import re
import shutil
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from chromacc_data import BedLoader
from chromacc_data.errors import InputError
from chromacc_data.files import disk_errors, file_digest, publish, working_folder
from chromacc_data.sequences.genome import Genome
from chromacc_models.effects.allele_networks import open_alleles
from chromacc_models.effects.background import make_background
from chromacc_models.evaluation.evaluation_file import SavedEvaluation, SavedScore, read_evaluation
from chromacc_models.networks.known_motifs import KNOWN_MOTIFS, MIN_SIMILARITY, read_known_motifs
from chromacc_models.sharing.kipoi import files as kf
from chromacc_models.sharing.kipoi.additions import keep_additions, list_additions
from chromacc_models.sharing.kipoi.check import check, load_with_kipoi
from chromacc_models.sharing.kipoi.client import writers
from chromacc_models.sharing.kipoi.example import cut_example, write_example
from chromacc_models.training.run import Run

__all__ = ["package"]

LOG = logging.getLogger("chromacc")

_DECIMALS = 5
_BATCH_SIZE = 32


def package(
    run: Run | Path | str,
    to: Path | str,
    *,
    store: Path | str | None = None,
    genome: Path | str | Sequence[Path | str] | None = None,
    example_fasta: Path | str | None = None,
    example_bed: Path | str | None = None,
    doc: str | None = None,
    authors: Sequence[str] = ("chromacc",),
    requirement: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a trained network as a model folder for Kipoi, and check it.

    The folder is made next to its final name, checked with the loader and the model that Kipoi will use, and
    renamed: a visible folder has passed.

    Parameters
    ----------
    run
        A finished run, or its folder.
    to
        Model folder, by custom ``models/GROUP/NAME``.
    store
        Where the run's store is now, if it has moved since the training.
    genome
        FASTA, or several, that the example is cut from, and random variants for the percentiles of
        `variants` are taken from. Without it the bases between the example's windows are N, and there are no
        percentiles.
    example_fasta, example_bed
        An example of your own instead, both or none.
    doc
        What the model is, in a sentence or two; made from the run when not given.
    authors
        Names for model.yaml.
    requirement
        What pip installs to run the model; this release of chromacc when not given.
    overwrite
        Replace an older model folder of that name. Files that users added to it are kept; model.yaml,
        dataloader.yaml and README.md are rewritten, and an edited one is kept as ``README.md.edited``.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        If the run is not whole, `to` exists, or is not a model folder, or the example does not fit the
        network.

    Examples
    --------
    >>> import chromacc_models as cm
    >>> from chromacc_data.examples import example_folder
    >>> from chromacc_models.examples import example_run
    >>> folder = example_folder()
    >>> _ = (folder / "example.fa").write_text(">chr1\\n" + "ACGTTGCA" * 20 + "\\n")
    >>> _ = (folder / "example.bed").write_text("chr1\\t10\\t70\\nchr1\\t50\\t110\\n")
    >>> model = cm.package(
    ...     example_run(),
    ...     folder / "models" / "tiny",
    ...     example_fasta=folder / "example.fa",
    ...     example_bed=folder / "example.bed",
    ... )
    >>> sorted(path.name for path in model.iterdir() if path.is_file())[:4]
    ['README.md', 'SHA256SUMS', 'dataloader.yaml', 'model.keras']
    """
    to, trained = Path(to), Run.open(run, store=store)
    if (example_fasta is None) != (example_bed is None):
        raise InputError("an example needs both a FASTA and a BED", where="--example-fasta, --example-bed")
    _require_free(to, overwrite=overwrite)
    # Hidden, so that no source lists it as a model.
    with disk_errors(to), working_folder(to, hidden=True, what="model folder") as working:
        _require_free(to, overwrite=overwrite)  # again: another process may have packaged since
        folder = working / "model"
        folder.mkdir()
        shutil.copyfile(trained.folder / "model.keras", folder / kf.WEIGHTS)
        for name in kf.OPTIONAL_FILES:
            if (trained.folder / name).is_file():
                shutil.copyfile(trained.folder / name, folder / name)
        (folder / kf.TARGETS).write_text("".join(f"{name}\n" for name in trained.cell_types))
        (folder / kf.EXAMPLE_FASTA).parent.mkdir()
        if example_fasta is not None and example_bed is not None:
            shutil.copyfile(example_fasta, folder / kf.EXAMPLE_FASTA)
            shutil.copyfile(example_bed, folder / kf.EXAMPLE_BED)
        else:
            opened = None if genome is None else Genome.open(genome)
            example = cut_example(trained.open_store(), genome=opened)
            write_example(example, folder / kf.EXAMPLE_FASTA, folder / kf.EXAMPLE_BED)
        _write_descriptions(
            folder, trained, doc=doc or _default_doc(trained), authors=authors, requirement=requirement
        )
        _write_background(folder, trained, genome)
        _write_expected(folder)
        _write_card(folder, trained, name=to.name, doc=doc or _default_doc(trained))
        kf.write_checksums(folder)
        check(folder)
        if (to / kf.MODEL_FILE).is_file():
            for name, kept in keep_additions(to, folder).items():
                LOG.warning("%s was edited: your text is kept as %s", to / name, to / kept)
        publish(folder, to)
    return to


def _require_free(to: Path, *, overwrite: bool) -> None:
    """Raise unless a model folder may be written, or replaced."""
    if not to.exists() or (to.is_dir() and not any(to.iterdir())):
        return
    if not (to / kf.MODEL_FILE).is_file():
        raise InputError("exists and is not a model folder", where=to, remedy="name another folder")
    if not overwrite:
        raise InputError(
            "exists already",
            where=to,
            remedy="name another folder, or replace the model with --overwrite, which keeps files you added",
        )
    list_additions(to)


def _write_descriptions(
    folder: Path, run: Run, *, doc: str, authors: Sequence[str], requirement: str | None
) -> None:
    people = tuple(kf.Author(name=name) for name in authors)
    dependencies = kf.Dependencies(pip=(requirement or _this_release(),), conda=("python=3.11",))
    inputs = kf.Array(
        shape=f"({run.window_length}, 4)",
        doc="One-hot DNA, bases in the order A C G T; N is all zeros",
        name="sequence",
        special_type="DNASeq",
        associated_metadata="ranges",
    )
    model = kf.ModelDescription(
        defined_as="chromacc_models.KipoiModel",
        args=kf.ModelArguments(weights=kf.WEIGHTS, sha256=file_digest(folder / kf.WEIGHTS, fresh=True)),
        info=kf.ModelInfo(
            authors=people,
            doc=doc,
            version=version("chromacc"),
            tags=("Chromatin accessibility",),
            trained_on=_trained_on(run),
            training_procedure=_training_procedure(run),
        ),
        default_dataloader=kf.LoaderImport(defined_as="chromacc_models.KipoiLoader"),
        schema=kf.ModelSchema(
            inputs=inputs,
            targets=kf.Array(
                shape=f"({len(run.cell_types)},)",
                doc="Probability that the window is accessible, per cell type",
                name="accessibility",
                column_labels=kf.TARGETS,
            ),
        ),
        dependencies=dependencies,
        test=kf.ModelTest(expect=kf.EXPECTED, precision_decimal=_DECIMALS),
    )
    loader = kf.DataloaderDescription(
        defined_as="chromacc_models.KipoiLoader",
        info=kf.DataloaderInfo(
            authors=people, doc=_one_line(BedLoader.info.doc), version=version("chromacc")
        ),
        args=_loader_arguments(run.window_length),
        output_schema=kf.OutputSchema(
            inputs=inputs,
            metadata=kf.RangesMetadata(
                ranges=kf.Ranges(
                    doc=_one_line(BedLoader.output_schema.metadata["ranges"].doc), type="GenomicRanges"
                )
            ),
        ),
        dependencies=dependencies,
    )
    (folder / kf.MODEL_FILE).write_text(kf.to_yaml(model), encoding="utf-8")
    (folder / kf.DATALOADER_FILE).write_text(kf.to_yaml(loader), encoding="utf-8")


def _loader_arguments(window_length: int) -> kf.Arguments:
    special: dict[str, dict[str, Any]] = {
        "intervals_file": {"example": kf.EXAMPLE_BED},
        "fasta_file": {"example": kf.EXAMPLE_FASTA},
        "window_length": {"default": window_length, "type": "int"},
        "use_strand": {"type": "bool"},
    }
    return kf.Arguments(
        **{
            name: kf.Argument(
                doc=_one_line(argument.doc), optional=argument.optional, **special.get(name, {})
            )
            for name, argument in BedLoader.args.items()
        }
    )


def _write_expected(folder: Path) -> None:
    model = load_with_kipoi(folder)
    batches = list(model.default_dataloader.init_example().batch_iter(batch_size=_BATCH_SIZE))
    n_regions = sum(len(batch["inputs"]) for batch in batches)
    writer = writers.HDF5BatchWriter(str(folder / kf.EXPECTED), chunk_size=n_regions)
    for batch in batches:
        writer.batch_write({**batch, "preds": model.predict_on_batch(batch["inputs"])})
    writer.close()


def _write_background(folder: Path, run: Run, genome: Path | str | Sequence[Path | str] | None) -> None:
    """Write what effects of variants are usual in the sequences that the run's store is of."""
    if genome is None:
        return
    facts = run.info.genome
    every = Genome.open(genome)
    names = every.names if facts is None else [name for name in every.names if name in facts.sequences]
    if not names:
        return
    called = f"{facts.assembly} {', '.join(_few(names))}" if facts is not None else None
    chosen = Genome.open(genome, chromosomes=names)
    network = open_alleles(folder / kf.WEIGHTS)
    make_background(network, run.cell_types, chosen, name=called).write(folder / kf.BACKGROUND)


def _write_card(folder: Path, run: Run, *, name: str, doc: str) -> None:
    template = (files("chromacc_models.sharing.kipoi") / "templates" / "model_card.md.j2").read_text(
        encoding="utf-8"
    )
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"number": _number, "interval": _interval, "text": _as_text, "code": _as_code}
    text = environment.from_string(template).render(
        name=name,
        doc=doc,
        window_length=run.window_length,
        cell_types=run.cell_types,
        config=run.config,
        config_yaml=run.config.to_yaml(),
        fence=_fence(run.config.to_yaml()),
        n_parameters=run.info.n_parameters,
        trained_on=_trained_on(run),
        training_procedure=_training_procedure(run),
        known_motifs=_known_motifs(run),
        store_hash=run.info.store.content_hash,
        sha256=file_digest(folder / kf.WEIGHTS, fresh=True),
        versions=run.info.versions,
        evaluation=_evaluation(run),
    )
    (folder / kf.CARD).write_text(text, encoding="utf-8")


def _trained_on(run: Run) -> str:
    genome = run.info.genome
    where = "" if genome is None else f", {genome.assembly} {', '.join(_few(genome.sequences))}"
    title = run.info.store.title or "a chromacc store"
    return f"{title}{where}; {run.window_length}-bp windows, {len(run.cell_types)} cell types"


def _training_procedure(run: Run) -> str:
    config, result = run.config, run.result
    strands = ", each window on a random strand" if config.reverse_complement == "augment" else ""
    return (
        f"RMSprop at {config.learning_rate:g}, batches of {config.batch_size}, binary cross-entropy"
        f"{strands}; best validation loss {result.validation_loss:.4f} in epoch {result.best_epoch} "
        f"of {result.epochs}, seed {config.seed}"
    )


def _known_motifs(run: Run) -> str | None:
    """What the model card says of filters that were set to known motifs; None where none were."""
    known = read_known_motifs(run.folder)
    if known is None:
        return None
    n_named = sum(name is not None for name in known.names())
    return (
        f"{len(known.filters)} of {known.n_filters} were set to motifs of {known.database} and {known.mode}; "
        f"{n_named} still are these motifs, by a correlation of at least {MIN_SIMILARITY:g}, and have their "
        f"names in {KNOWN_MOTIFS}"
    )


def _evaluation(run: Run) -> SavedEvaluation | None:
    """The run's scores on its test windows, as `chromacc-models evaluate` left them; None before it ran."""
    path = run.folder / "evaluation.json"
    return read_evaluation(path) if path.is_file() else None


def _as_text(value: object) -> str:
    """A text as Markdown shows it: no HTML, no links, no pictures, no formatting, one line.

    >>> _as_text("a|b <i> [x](y) cell_type * 2")
    'a\\\\|b &lt;i&gt; \\\\[x\\\\](y) cell_type \\\\* 2'
    """
    escaped = html.escape(_one_line(str(value)), quote=False)
    escaped = re.sub(r"([\\`*\[\]|~])", r"\\\1", escaped)
    escaped = re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", escaped)
    return re.sub(r"^([#+=-]|[0-9]+(?=[.)]))", _escape_start, escaped)


def _escape_start(match: re.Match) -> str:
    return f"&#{ord(match[0][0])};{match[0][1:]}"


def _as_code(value: object) -> str:
    """A text between backticks."""
    return "`" + _one_line(str(value)).replace("`", "'").replace("|", "\\|") + "`"


def _fence(text: str) -> str:
    """Backticks that nothing in a block of code can end."""
    return "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(row: SavedScore, score: str) -> str:
    value, low, high = (_number(getattr(row, f"{score}{end}")) for end in ("", "_low", "_high"))
    return "-" if value == "-" else f"{value} ({low} to {high})"


def _few(names: Iterable[str], limit: int = 5) -> list[str]:
    names = list(names)
    return names if len(names) <= limit else [*names[:limit], "…"]


def _default_doc(run: Run) -> str:
    return (
        f"Chromatin accessibility of a {run.window_length}-bp DNA window in {len(run.cell_types)} cell "
        f"types: the {run.config.network} network of chromacc."
    )


def _this_release() -> str:
    major, minor = version("chromacc").split(".")[:2]
    return f"chromacc>={major}.{minor},<{major}.{int(minor) + 1}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
