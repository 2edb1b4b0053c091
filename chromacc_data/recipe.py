"""Recipes: what goes into a store and how, as frozen dataclasses read from YAML with strict keys.

The dataclasses are the one place where an option, its type, its default and its meaning are written. The reader
walks the YAML nodes along their type hints, so every error can name the file, the line and the dotted key.
:func:`describe` prints the same dataclasses as a table.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
import re
import types
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from chromacc_data.errors import InputError

__all__ = [
    "FragmentRecipe",
    "GenomeRecipe",
    "NegativesRecipe",
    "OutputRecipe",
    "Recipe",
    "Sample",
    "Source",
    "SplitRecipe",
    "WindowRecipe",
    "describe",
    "load_recipe",
    "parse_recipe",
]


def _option(
    doc: str,
    default: Any = dataclasses.MISSING,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    pattern: tuple[str, str] | None = None,
    only_with: tuple[str, tuple] | None = None,
) -> Any:
    """Dataclass field with its meaning and its limits.

    `pattern` is a regular expression and what it stands for in words; `only_with` names a key of the same mapping
    and the values of it under which this key may be given.
    """
    limits = {"minimum": minimum, "maximum": maximum, "above": above, "pattern": pattern, "only_with": only_with}
    metadata = {"doc": doc, **{name: limit for name, limit in limits.items() if limit is not None}}
    if isinstance(default, (dict, type)):  # a fresh value for each instance
        return field(default_factory=default if isinstance(default, type) else default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Source:
    """One input: a file or an address, exactly one of the two; short form: the file or the address as text."""

    file: str | None = _option("path relative to the recipe's folder, or to `--sources DIR`", None)
    url: str | None = _option(
        "address, downloaded once into the cache", None, pattern=(r"https?://[^/\s]+/\S+", "http(s)://HOST/PATH")
    )
    sha256: str | None = _option(
        "checksum of the file", None, pattern=(r"[0-9a-f]{64}", "64 lower-case hexadecimal digits")
    )

    def __post_init__(self) -> None:
        if (self.file is None) == (self.url is None):
            raise InputError(
                "a source is either a file or a url",
                found="neither" if self.file is None else "both",
                expected="`file: PATH` or `url: ADDRESS`",
            )

    @classmethod
    def from_text(cls, text: str) -> dict[str, str]:
        """Keys that the short form stands for."""
        return {"url" if "://" in text else "file": text}

    def __str__(self) -> str:
        return str(self.file if self.url is None else self.url)


@dataclass(frozen=True)
class GenomeRecipe:
    """Reference sequence."""

    fasta: tuple[Source, ...] = _option("FASTA files, plain, gzip or bgzip; their sequences make up the genome")
    assembly: str = _option("name of the assembly, such as `hg19`")
    md5: dict[str, str] = _option(
        "MD5 of upper-case sequences by name (refget, SAM M5); checked where given",
        {},
        pattern=(r"[0-9a-f]{32}", "32 lower-case hexadecimal digits"),
    )
    chromosomes: tuple[str, ...] | None = _option(
        "sequences to take windows from, in this order; intervals elsewhere are dropped and counted; all when absent",
        None,
    )
    exclude: tuple[str, ...] = _option(
        "sequence names to leave out, in the genome or only in the intervals; dropped and counted", ()
    )

    def __post_init__(self) -> None:
        if not self.fasta:
            raise InputError("no FASTA", where="fasta", expected="one source or more")
        for key in ("chromosomes", "exclude"):
            _require_unique(getattr(self, key) or (), where=key)
        if self.chromosomes is None:
            return
        if not self.chromosomes:
            raise InputError("no chromosome is left", where="chromosomes", expected="one name or more")
        for key, names in (("exclude", self.exclude), ("md5", self.md5)):
            both = [n for n in names if (n in self.chromosomes) == (key == "exclude")]
            if both:
                raise InputError(
                    f"{', '.join(both)} is {'also' if key == 'exclude' else 'not'} among the chromosomes",
                    where=key,
                    found=", ".join(names),
                    expected=f"names {'outside' if key == 'exclude' else 'out of'} {', '.join(self.chromosomes)}",
                )


@dataclass(frozen=True)
class FragmentRecipe:
    """How paired fragments become a signal (counts per nucleotide)."""

    count: Literal["fragment", "ends"] = _option(
        "`fragment`: every nucleotide between the two ends; `ends`: the nucleotides within `extend` of either end",
        "fragment",
    )
    extend: int = _option("bp on each side of an end", 75, minimum=0, only_with=("count", ("ends",)))
    max_length: int | None = _option("leave longer fragments out (bp), 120 keeps nucleosome-free ones", None, minimum=1)


@dataclass(frozen=True)
class Sample:
    """Accessibility of one cell type."""

    cell_type: str = _option("name of the cell type, unique", pattern=(r"\S(.*\S)?", "a name without outer blanks"))
    source: Source = _option("the file")
    kind: Literal["peaks", "signal", "fragments"] = _option(
        "`peaks`: BED3+ or narrowPeak; `signal`: bedGraph or bigWig; `fragments`: BEDPE or fragment file", "peaks"
    )
    threshold: float | None = _option(
        "a nucleotide with at least this much signal is open; required for signal and fragments",
        None,
        above=0,
        only_with=("kind", ("signal", "fragments")),
    )
    center: Literal["midpoint", "summit"] = _option(
        "what a peak's window is centred on; `summit` needs narrowPeak", "midpoint", only_with=("kind", ("peaks",))
    )
    fragments: FragmentRecipe = _option(
        "how fragments are counted", FragmentRecipe, only_with=("kind", ("fragments",))
    )

    def __post_init__(self) -> None:
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

    length: int = _option("bp of each window", 600, minimum=1)
    file: Source | None = _option("BED of fixed windows, used instead of windows derived from the peaks", None)
    merge_distance: int = _option("open regions of one cell type at most this many bp apart are one peak", 200, minimum=0)
    overlap: Literal["joint", "basset"] = _option(
        "`joint`: overlapping peaks of all cell types make one joint peak, a window around each (thesis); "
        "`basset`: Basset's greedy merge of windows",
        "joint",
        only_with=("file", (None,)),
    )
    merge_overlap: int = _option(
        "windows that overlap by at least this many bp are merged", 200, minimum=1, only_with=("overlap", ("basset",))
    )
    label: Literal["joint_peak", "overlap", "midpoint"] | None = _option(
        "a window is open in a cell type with: `joint_peak`: a peak among those merged into it; `overlap`: at least "
        "`label_min_overlap` bp of a peak in it; `midpoint`: a peak's midpoint in it. "
        "When absent: joint_peak, or midpoint with `file`",
        None,
    )
    label_min_overlap: int = _option(
        "bp of a peak inside the window", 1, minimum=1, only_with=("label", ("overlap",))
    )
    past_end: Literal["pad", "drop"] = _option("windows past a chromosome's end: fill with N, or leave out", "pad")

    def __post_init__(self) -> None:
        if self.file is not None and self.label == "joint_peak":
            raise InputError(
                "fixed windows have no joint peaks",
                where="label",
                found="joint_peak, with `file`",
                expected="overlap or midpoint",
            )
        for key in ("label_min_overlap", "merge_overlap"):
            # The default of a key that is not in use may exceed a short window.
            used = self.label == "overlap" if key == "label_min_overlap" else self.overlap == "basset"
            if used and getattr(self, key) > self.length:
                raise InputError(
                    "an overlap longer than the window", where=key, found=getattr(self, key), expected=f"<= {self.length}"
                )

    @property
    def label_rule(self) -> str:
        """The label rule in force: `label`, or the default of the way the windows are made."""
        return self.label or ("joint_peak" if self.file is None else "midpoint")


@dataclass(frozen=True)
class NegativesRecipe:
    """Closed windows outside all peaks and the blacklist, matched in GC content to the open ones."""

    ratio: float = _option("closed windows for each open one", 1.0, above=0)
    gc_bin: float = _option("width of the bins of GC fraction that are matched", 0.02, above=0, maximum=1)
    max_n: float = _option("largest fraction of N in a closed window", 0.0, minimum=0, maximum=1)


@dataclass(frozen=True)
class SplitRecipe:
    """Train, validation and test windows."""

    by: Literal["random", "chromosome", "block"] = _option(
        "`random`: each window by itself (thesis); `chromosome`: whole chromosomes; `block`: blocks of `block_size`",
        "random",
    )
    validation: float | int | tuple[str, ...] = _option(
        "fraction (0.1), with `random` also a number of windows (70000), with `chromosome` a list of names", 0.1
    )
    test: float | int | tuple[str, ...] = _option("as `validation`", 0.1)
    block_size: int = _option("bp of a block", 1_000_000, minimum=1, only_with=("by", ("block",)))
    folds: int = _option("folds of cross-validation over the training and validation windows; 0 makes none", 0, minimum=0)
    allow_leaks: bool = _option("build even where windows of different splits overlap under a rule that forbids it", False)

    def __post_init__(self) -> None:
        if self.folds == 1:
            raise InputError("one fold holds everything out", where="folds", found=1, expected="0, or 2 or more")
        expected = {
            "random": "a fraction below 1, or a number of windows",
            "block": "a fraction below 1",
            "chromosome": "a list of chromosome names",
        }[self.by]
        for key in ("validation", "test"):
            value = getattr(self, key)
            lawful = {
                "random": not isinstance(value, tuple) and value >= 0 and (isinstance(value, int) or value < 1),
                "block": not isinstance(value, tuple) and 0 <= value < 1,
                "chromosome": isinstance(value, tuple),
            }[self.by]
            if not lawful:
                raise InputError(f"does not go with `by: {self.by}`", where=key, found=_show(value), expected=expected)
        if self.by == "chromosome":
            _require_unique((*self.validation, *self.test), where="test")
        elif self.is_counts and any(isinstance(v, float) and v for v in (self.validation, self.test)):
            raise InputError(
                "a fraction beside a number of windows",
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

    @property
    def is_counts(self) -> bool:
        """Whether `validation` and `test` are numbers of windows."""
        return self.by == "random" and any(isinstance(v, int) and v > 0 for v in (self.validation, self.test))


@dataclass(frozen=True)
class OutputRecipe:
    """Layout of the store."""

    chunk: int = _option("windows in a chunk", 2048, minimum=1)


@dataclass(frozen=True)
class Recipe:
    """A dataset: everything that decides what is in its store."""

    name: str = _option("name of the dataset", pattern=(r"[A-Za-z0-9][A-Za-z0-9._-]*", "letters, digits, . _ -"))
    title: str = _option("one line for people")
    genome: GenomeRecipe = _option("the reference sequence")
    samples: tuple[Sample, ...] = _option("the cell types, in the order of the store")
    description: str = _option("more lines for people", "")
    windows: WindowRecipe = _option("windows and labels", WindowRecipe)
    blacklist: Source | None = _option("BED of regions; windows that touch one are dropped and counted", None)
    negatives: NegativesRecipe | None = _option("add closed windows; `{}` takes the defaults; none when absent", None)
    split: SplitRecipe = _option("train, validation and test windows", SplitRecipe)
    output: OutputRecipe = _option("layout of the store", OutputRecipe)
    seed: int = _option("seed of every random choice", 0, minimum=0)
    path: Path = field(default=Path("recipe.yaml"), metadata={})
    text: str = field(default="", metadata={}, repr=False)

    def __post_init__(self) -> None:
        if not self.samples:
            raise InputError("no cell type", where="samples", expected="one sample or more")
        names = Counter(sample.cell_type for sample in self.samples)
        for index, sample in enumerate(self.samples):
            if names[sample.cell_type] > 1 and sample.cell_type in [s.cell_type for s in self.samples[:index]]:
                raise InputError(
                    "cell type given twice",
                    where=f"samples[{index}].cell_type",
                    found=sample.cell_type,
                    expected="each cell type once",
                    remedy="rename one, or put the files of one cell type together",
                )
        if self.split.by == "chromosome" and self.genome.chromosomes is not None:
            for key in ("validation", "test"):
                absent = [n for n in getattr(self.split, key) if n not in self.genome.chromosomes]
                if absent:
                    raise InputError(
                        "not among genome.chromosomes",
                        where=f"split.{key}",
                        found=", ".join(absent),
                        expected=", ".join(self.genome.chromosomes),
                    )

    @property
    def cell_types(self) -> tuple[str, ...]:
        """Names of the cell types, in the order of the store."""
        return tuple(sample.cell_type for sample in self.samples)

    @property
    def folder(self) -> Path:
        """Folder that the recipe's files are relative to."""
        return self.path.parent

    @property
    def digest(self) -> str:
        """SHA-256 of the effective options: comments, order of keys and defaults written out do not change it."""
        content = {k: v for k, v in dataclasses.asdict(self).items() if k not in ("path", "text")}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
