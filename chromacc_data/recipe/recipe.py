"""Recipes: what goes into a store and how, as frozen dataclasses read from YAML with strict keys.

The dataclasses are the one place where an option, its type, its default, its limits and its meaning are
written; :func:`describe` prints them as a table.
"""

# ruff: noqa: RUF009 -- `option` makes a dataclass field, as `dataclasses.field` does.

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from chromacc_data.errors import InputError
from chromacc_data.names import require_cell_types
from chromacc_data.recipe import option_tables, yaml_options
from chromacc_data.recipe.simulation import SimulationRecipe
from chromacc_data.recipe.source import Source
from chromacc_data.regions.formats import SUMMIT_FORMATS, StatedFormat, formats_of
from chromacc_data.typed_values import option, read_text

__all__ = [
    "FragmentRecipe",
    "GenomeRecipe",
    "NegativesRecipe",
    "OutputRecipe",
    "Recipe",
    "Sample",
    "SimulationRecipe",
    "Source",
    "SplitRecipe",
    "WindowRecipe",
    "describe",
    "load_recipe",
    "parse_recipe",
]


@dataclass(frozen=True)
class GenomeRecipe:
    """Reference sequence."""

    fasta: tuple[Source, ...] = option(
        "FASTA files: plain, bgzip or gzip; their sequences make up the genome"
    )
    assembly: str = option("name of the assembly, such as `hg19`")
    md5: dict[str, str] = option(
        "MD5 of upper-case sequences by name (refget, SAM M5); checked where given",
        {},
        pattern=(r"[0-9a-f]{32}", "32 lower-case hexadecimal digits"),
    )
    chromosomes: tuple[str, ...] | None = option(
        "sequences to take windows from, in this order; intervals on others of the FASTA are dropped and "
        "counted (name what is not in the FASTA in `exclude`); "
        "all when absent",
        None,
    )
    exclude: tuple[str, ...] = option(
        "sequence names to leave out, in the genome or only in the intervals; dropped and counted", ()
    )

    def __post_init__(self) -> None:
        if not self.fasta:
            raise InputError("no FASTA", where="fasta", expected="one source or more")
        if self.chromosomes == ():
            raise InputError("no chromosome is left", where="chromosomes", expected="one name or more")
        _require_unique(self.chromosomes or (), where="chromosomes")
        _require_unique(self.exclude, where="exclude")
        if self.chromosomes is not None:
            used = [n for n in self.exclude if n in self.chromosomes]
            _require_none(used, "also among `chromosomes`", where="exclude")
            unused = [n for n in self.md5 if n not in self.chromosomes]
            _require_none(unused, "not among `chromosomes`", where="md5")


@dataclass(frozen=True)
class FragmentRecipe:
    """How paired fragments become a signal (counts per nucleotide)."""

    count: Literal["fragment", "ends"] = option(
        "`fragment`: all nucleotides between the two ends; `ends`: those within `extend` of either end",
        "fragment",
    )
    extend: int = option(
        "bp on each side of an end", 75, minimum=0, maximum=10**12, only_with=("count", ("ends",))
    )
    max_length: int | None = option(
        "bp; longer fragments are left out (120 keeps nucleosome-free ones)", None, minimum=1
    )


@dataclass(frozen=True)
class Sample:
    """Accessibility of one cell type."""

    cell_type: str = option("unique name of the cell type: one line of text, at most 200 characters")
    source: Source = option("the file")
    kind: Literal["peaks", "signal", "fragments"] = option(
        "`peaks`: BED, BED12, narrowPeak, broadPeak, gappedPeak or the `_peaks.xls` of MACS; `signal`: "
        "bedGraph or bigWig; `fragments`: fragment file (10x, sinto) or BEDPE",
        "peaks",
    )
    threshold: float | None = option(
        "a nucleotide with at least this much signal is open; required for signal and fragments",
        None,
        above=0,
        only_with=("kind", ("signal", "fragments")),
    )
    center: Literal["midpoint", "summit"] = option(
        "what a peak's window is centred on; `summit` needs narrowPeak or the `_peaks.xls` of MACS",
        "midpoint",
        only_with=("kind", ("peaks",)),
    )
    fragments: FragmentRecipe = option(
        "how fragments are counted", FragmentRecipe, only_with=("kind", ("fragments",))
    )
    format: StatedFormat | None = option(
        "format of the file, instead of detecting it; an error if the content contradicts it",
        None,
    )
    past_end: Literal["error", "clip", "drop"] = option(
        "intervals past a chromosome's end: refuse the file; or, if the FASTA is only a part of the genome, "
        "clip or drop and count them",
        "error",
    )
    replicates: tuple[Source, ...] = option(
        "further files of this cell type, of the same kind; open regions are found in each file separately",
        (),
    )
    min_replicates: int = option(
        "number of files (`source` and `replicates`) in which a nucleotide must be open; 1: their union. The "
        "summit of a range where files agree is the mean of the summits in it",
        1,
        minimum=1,
    )

    def __post_init__(self) -> None:
        require_cell_types([self.cell_type])
        if self.format is not None and self.format not in formats_of(self.kind):
            raise InputError(
                f"`format: {self.format}` does not go with `kind: {self.kind}`",
                where="format",
                expected=", ".join(formats_of(self.kind)),
                remedy="change one of the two",
            )
        if self.center == "summit" and self.format not in (None, *SUMMIT_FORMATS):
            raise InputError(
                f"`format: {self.format}` has no summits",
                where="center",
                expected=f"midpoint, or one of the formats {', '.join(SUMMIT_FORMATS)}",
            )
        if self.min_replicates > 1 + len(self.replicates):
            raise InputError(
                "more than the number of files",
                where="min_replicates",
                found=self.min_replicates,
                expected=f"at most {1 + len(self.replicates)}, the number of files",
                remedy="lower it, or add files to `replicates`",
            )
        if self.kind != "peaks" and self.threshold is None:
            raise InputError(
                f"kind {self.kind} needs a threshold",
                where="threshold",
                expected="a number above 0: nucleotides with at least this much signal are open",
                remedy="add `threshold: NUMBER`",
            )


@dataclass(frozen=True)
class WindowRecipe:
    """Windows and their labels (thesis, section 4.1)."""

    length: int = option("bp of each window", 600, minimum=1)
    file: Source | None = option("BED of fixed windows, used instead of windows derived from the peaks", None)
    merge_distance: int = option(
        "open regions of one cell type at most this many bp apart are one peak; with `file` and the label "
        "`midpoint` peaks stay as they are",
        200,
        minimum=0,
        maximum=10**12,
        only_with=("overlap", ("joint",)),
    )
    overlap: Literal["joint", "basset"] = option(
        "`joint`: overlapping peaks of all cell types make one joint peak, a window around each (thesis); "
        "`basset`: Basset's greedy merge of windows",
        "joint",
        only_with=("file", (None,)),
    )
    merge_overlap: int = option(
        "windows that overlap by at least this many bp are merged",
        200,
        minimum=1,
        only_with=("overlap", ("basset",)),
    )
    label: Literal["joint_peak", "overlap", "midpoint"] | None = option(
        "a window is open in a cell type that has: `joint_peak`: a peak among those merged into it; "
        "`overlap`: at least `label_min_overlap` bp of a peak in it; `midpoint`: a peak's midpoint in it. "
        "When absent: joint_peak, or midpoint with `file`",
        None,
    )
    label_min_overlap: int = option(
        "bp of a peak inside the window", 1, minimum=1, only_with=("label", ("overlap",))
    )
    past_end: Literal["pad", "drop"] = option(
        "windows past a chromosome's end: fill with N, or drop and count", "pad"
    )
    max_n: float = option(
        "largest share of N in a window, including positions past a chromosome's end; windows with more are "
        "dropped and counted. 1 keeps all, as releases without this key did",
        0.1,
        minimum=0,
        maximum=1,
    )

    def __post_init__(self) -> None:
        if self.file is not None and self.label == "joint_peak":
            raise InputError(
                "fixed windows have no joint peaks",
                where="label",
                found="joint_peak, with `file`",
                expected="overlap or midpoint",
            )
        # The default of an overlap that is not in use may exceed a short window.
        in_use = {"label_min_overlap": self.label == "overlap", "merge_overlap": self.overlap == "basset"}
        for key, used in in_use.items():
            if used and getattr(self, key) > self.length:
                found, expected = getattr(self, key), f"at most {self.length}"
                raise InputError(
                    "an overlap longer than the window", where=key, found=found, expected=expected
                )

    @property
    def label_rule(self) -> str:
        """The label rule in force: `label`, or the default of the way the windows are made."""
        return self.label or ("joint_peak" if self.file is None else "midpoint")


_MERGE_DISTANCE = WindowRecipe().merge_distance


@dataclass(frozen=True)
class NegativesRecipe:
    """Closed windows outside all peaks and the blacklist, matched in GC content to the open ones."""

    ratio: float = option("closed windows for each open one", 1.0, above=0, maximum=1_000_000)
    gc_bin: float = option("width of the bins of GC fraction that are matched", 0.02, minimum=1e-6, maximum=1)
    max_n: float = option(
        "largest share of N in a closed window; the smaller of this and `windows.max_n` applies",
        0.0,
        minimum=0,
        maximum=1,
    )


@dataclass(frozen=True)
class SplitRecipe:
    """Train, validation and test windows."""

    by: Literal["random", "chromosome", "block"] = option(
        "`random`: each window by itself (thesis); `chromosome`: whole chromosomes; "
        "`block`: stretches of `block_size`",
        "random",
    )
    validation: float | int | tuple[str, ...] = option(
        "a fraction (0.1); with `random` also a number of windows (70000); with `chromosome` a list of names",
        0.1,
    )
    test: float | int | tuple[str, ...] = option("as `validation`", 0.1)
    block_size: int = option("bp of a block", 1_000_000, minimum=1, only_with=("by", ("block",)))
    folds: int = option(
        "folds of cross-validation, by the same rule; 0 makes none", 0, minimum=0, maximum=127
    )
    allow_leaks: bool = option("build even if windows of different splits overlap", False)

    def __post_init__(self) -> None:
        if self.folds in (1, 2):
            # Of the folds one is for testing and the next for validation.
            raise InputError(
                "too few folds: nothing is left to train on",
                where="folds",
                found=self.folds,
                expected="0, or >= 3",
            )
        expected = {
            "random": "a fraction below 1, or a number of windows",
            "block": "a fraction below 1",
            "chromosome": "a list of chromosome names, `[]` for none",
        }[self.by]
        for key in ("validation", "test"):
            value = getattr(self, key)
            if not self._fits_rule(value):
                found = ", ".join(value) if isinstance(value, tuple) else value
                by_default = value == SplitRecipe.__dataclass_fields__[key].default
                raise InputError(
                    f"does not go with `by: {self.by}`",
                    where=key,
                    found=f"{found}, which is the default" if by_default else found,
                    expected=expected,
                    remedy="name chromosomes of the genome: `validation: [chr8]` and `test: [chr9]`"
                    if self.by == "chromosome"
                    else None,
                )
        if self.by == "chromosome":
            _require_unique((*self.validation, *self.test), where="test")
        elif self.is_counts and any(isinstance(v, float) and v for v in (self.validation, self.test)):
            raise InputError(
                "a fraction mixed with a number of windows",
                where="test",
                found=f"validation {self.validation}, test {self.test}",
                expected="two fractions, or two numbers of windows",
            )
        elif not self.is_counts and self.validation + self.test >= 1:
            raise InputError(
                "no window is left for training",
                where="test",
                found=f"validation {self.validation} + test {self.test}",
                expected="a sum below 1",
            )

    def _fits_rule(self, value: float | int | tuple[str, ...]) -> bool:
        if isinstance(value, tuple) or self.by == "chromosome":
            return isinstance(value, tuple) and self.by == "chromosome"
        return 0 <= value < 1 or (self.by == "random" and isinstance(value, int) and value > 0)

    @property
    def is_counts(self) -> bool:
        """Whether `validation` and `test` are numbers of windows."""
        return self.by == "random" and any(isinstance(v, int) and v > 0 for v in (self.validation, self.test))


@dataclass(frozen=True)
class OutputRecipe:
    """Layout of the store."""

    chunk: int = option("windows in a chunk", 2048, minimum=1)


@dataclass(frozen=True)
class Recipe:
    """A dataset: everything that decides what is in its store."""

    name: str = option(
        "name of the dataset", pattern=(r"[A-Za-z0-9][A-Za-z0-9._-]*", "letters, digits and `.` `_` `-`")
    )
    title: str = option("description in one line")
    genome: GenomeRecipe | None = option(
        "the reference sequence; required but for a simulation whose background is `independent`", None
    )
    samples: tuple[Sample, ...] = option(
        "the cell types, in the order of the store; of a simulation: the peaks that background windows avoid",
        (),
    )
    simulation: SimulationRecipe | None = option("make sequences instead of cutting them from a genome", None)
    description: str = option("longer description", "")
    windows: WindowRecipe = option("windows and labels", WindowRecipe)
    blacklist: Source | None = option("BED of regions; windows that touch one are dropped and counted", None)
    negatives: NegativesRecipe | None = option(
        "add closed windows; `{}` takes the defaults; none when absent", None
    )
    split: SplitRecipe = option("train, validation and test windows", SplitRecipe)
    output: OutputRecipe = option("layout of the store", OutputRecipe)
    seed: int = option("seed of every random choice", 0, minimum=0, maximum=2**64 - 1)
    path: Path = field(default=Path("recipe.yaml"), metadata={})
    text: str = field(default="", metadata={}, repr=False)

    def __post_init__(self) -> None:
        if self.simulation is None:
            self._require_real_inputs()
        else:
            self._require_simulated_inputs(self.simulation)
        names = [sample.cell_type for sample in self.samples]
        seen: set[str] = set()
        for index, name in enumerate(names):
            if name in seen:
                raise InputError(
                    "cell type given twice",
                    where=f"samples[{index}].cell_type",
                    found=name,
                    expected="each cell type once",
                    remedy="rename one of the two; or write one entry for two files of one cell type: "
                    "`source: A.bed, replicates: [B.bed]`",
                )
            seen.add(name)
        require_cell_types(names, where="samples")
        if self.split.by == "chromosome" and self.genome and self.genome.chromosomes is not None:
            for key in ("validation", "test"):
                absent = [n for n in getattr(self.split, key) if n not in self.genome.chromosomes]
                _require_none(absent, "not among `genome.chromosomes`", where=f"split.{key}")

    def _require_real_inputs(self) -> None:
        if self.genome is None:
            raise InputError(
                "`genome` is missing",
                expected="genome: the reference sequence",
                remedy="name its FASTA, or set `simulation` to make sequences",
            )
        if not self.samples:
            raise InputError("no cell type", where="samples", expected="one sample or more")

    def _require_simulated_inputs(self, simulation: SimulationRecipe) -> None:
        needs_genome, needs_peaks = simulation.background.needs_genome, simulation.background.kind == "closed"
        may_have_peaks = simulation.background.kind in ("closed", "shuffle")
        kind = f"`simulation.background.kind: {simulation.background.kind}`"
        for key, given, needed, allowed in (
            ("genome", self.genome is not None, needs_genome, needs_genome),
            ("samples", bool(self.samples), needs_peaks, may_have_peaks),
            ("blacklist", self.blacklist is not None, False, may_have_peaks),
            ("negatives", self.negatives is not None, False, False),
        ):
            if needed and not given:
                raise InputError(f"`{key}` is missing", where="simulation", expected=f"{key}, for {kind}")
            if given and not allowed:
                raise InputError(
                    f"`{key}` does not go with `simulation`", where=key, found=kind, remedy=f"remove `{key}`"
                )
        merge_distance = self.windows.merge_distance if may_have_peaks else _MERGE_DISTANCE
        if self.windows != WindowRecipe(self.windows.length, merge_distance=merge_distance):
            raise InputError(
                "simulated windows take a length only",
                where="windows",
                expected="`length`" + (", `merge_distance`" if may_have_peaks else ""),
                remedy="remove the other keys",
            )
        if self.split.by != "random":
            raise InputError(
                "simulated windows lie on no chromosome",
                where="split.by",
                found=self.split.by,
                expected="random",
            )
        simulation.require_fits(self.windows.length)

    @property
    def cell_types(self) -> tuple[str, ...]:
        """Names of the cell types (of a simulation: of its targets), in the order of the store."""
        if self.simulation is not None:
            return self.simulation.cell_types
        return tuple(sample.cell_type for sample in self.samples)

    @property
    def n_cell_types(self) -> int:
        """Number of the cell types; their names are not made for it."""
        if self.simulation is not None:
            return sum(target.copies for target in self.simulation.targets)
        return len(self.samples)

    @property
    def kind(self) -> Literal["genome", "simulation"]:
        """What the windows are made from."""
        return "genome" if self.simulation is None else "simulation"

    @property
    def n_windows(self) -> int | None:
        """Windows of the store, where the recipe says how many."""
        return None if self.simulation is None else self.simulation.n_windows

    @property
    def n_motifs(self) -> int:
        """Motifs that are planted, as far as the recipe names them."""
        return 0 if self.simulation is None else self.simulation.motifs.n_named

    @property
    def max_sites(self) -> int:
        """Most sites of motifs in a window."""
        return 0 if self.simulation is None else self.simulation.sites.max_sites

    @property
    def folder(self) -> Path:
        """Folder that the recipe's files are relative to."""
        return self.path.parent

    @property
    def digest(self) -> str:
        """SHA-256 of the options in force: comments, order of keys and written-out defaults do not matter."""
        content = {k: v for k, v in dataclasses.asdict(self).items() if k not in ("path", "text")}
        # Stores built before there were these keys stay the same.
        if self.simulation is None:
            del content["simulation"]
        if self.simulation is not None or self.windows.max_n == 1:
            del content["windows"]["max_n"]
        for sample in content["samples"]:
            if sample["format"] is None:
                del sample["format"]
            if sample["past_end"] == "error":
                del sample["past_end"]
            if not sample["replicates"]:
                del sample["replicates"]
            if sample["min_replicates"] == 1:
                del sample["min_replicates"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def load_recipe(path: Path | str) -> Recipe:
    """Recipe from a YAML file.

    Raises
    ------
    InputError
        At the first problem, with file, line, key, found, expected and remedy.

    Examples
    --------
    >>> import chromacc_data as cd
    >>> from chromacc_data.examples import example_recipe
    >>> recipe = cd.load_recipe(example_recipe())
    >>> recipe.title, recipe.windows.length, recipe.cell_types
    ('Three motifs in random sequences', 60, ('erythroid', 'liver'))
    """
    path = Path(path)
    if path.is_dir():
        raise InputError("a folder", where=path, expected="a recipe file", remedy=f"give {path}/recipe.yaml")
    if not path.exists():
        remedy = "check the path; the shipped recipes are datasets/*/recipe.yaml"
        raise InputError("no such recipe", where=path, remedy=remedy)
    text = read_text(path, expected="YAML in UTF-8")
    return parse_recipe(text, path=path)


def parse_recipe(text: str, *, path: Path | str) -> Recipe:
    '''Recipe from YAML text, such as the one kept in a store; its files are relative to the folder of `path`.

    Examples
    --------
    >>> recipe = parse_recipe("""
    ... name: tiny
    ... title: Two peaks
    ... genome: {assembly: toy, fasta: [toy.fa]}
    ... samples: [{cell_type: A, source: a.bed}]
    ... """, path="tiny/recipe.yaml")
    >>> recipe.cell_types, recipe.windows.length, recipe.samples[0].source.file
    (('A',), 600, 'a.bed')
    '''
    path = Path(path)
    return yaml_options.from_yaml(Recipe, text, path=path, given={"path": path, "text": text})


def describe() -> str:
    """Markdown table of every key of a recipe: key, type, default, meaning."""
    return option_tables.describe(Recipe)


def _require_unique(names: Sequence[str], *, where: str) -> None:
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    _require_none(repeated, "given twice", where=where)


def _require_none(names: Sequence[str], what: str, *, where: str) -> None:
    if names:
        raise InputError(what, where=where, found=", ".join(names))
