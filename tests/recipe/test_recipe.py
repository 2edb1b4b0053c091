"""Recipes: what is read, what is refused and with which words, and what changes the digest."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromacc_data.errors import InputError
from chromacc_data.recipe.recipe import (
    FragmentRecipe,
    GenomeRecipe,
    NegativesRecipe,
    Recipe,
    Sample,
    Source,
    SplitRecipe,
    WindowRecipe,
    describe,
    load_recipe,
    parse_recipe,
)
from chromacc_data.sources.resolve import resolve
from tests import ROOT

DATASETS = ROOT / "datasets"

SMALL = """\
name: small
title: Two cell types
genome:
  assembly: toy
  fasta: [toy.fa]
samples:
  - {cell_type: A, source: a.bed}
  - {cell_type: B, source: b.bed}
"""

FULL = """\
name: full
title: Everything written out
description: |
  Two
  lines.
genome:
  assembly: hg19
  fasta:
    - url: https://example.org/hg19.fa.gz
      sha256: {sha}
  md5: {{chr1: {md5}}}
  chromosomes: [chr1, chr2]
  exclude: [chrM]
samples:
  - {{cell_type: 8988T, source: https://example.org/a.narrowPeak.gz, center: summit}}
  - cell_type: NO
    source: {{file: no.bw}}
    kind: signal
    threshold: 2
  - cell_type: yeast
    source: fragments.bedpe.gz
    kind: fragments
    threshold: 3.5
    fragments: {{count: ends, extend: 50, max_length: 120}}
    format: bedpe
    past_end: clip
    replicates: [more.bedpe.gz, https://example.org/most.bedpe.gz]
    min_replicates: 2
windows:
  length: 500
  overlap: basset
  merge_overlap: 100
  label: overlap
  label_min_overlap: 10
  past_end: drop
  max_n: 0.25
blacklist: blacklist.bed
negatives: {{ratio: 0.5, gc_bin: 0.05, max_n: 0.1}}
split: {{by: block, validation: 0.05, test: 0.2, block_size: 500_000, folds: 5, allow_leaks: true}}
output: {{chunk: 512}}
seed: 7
""".format(sha="ab" * 32, md5="c0" * 16)


def small(extra: str = "", **replaced: str) -> Recipe:
    """The small recipe with lines added and texts replaced."""
    text = SMALL
    for old, new in replaced.items():
        text = text.replace(old, new)
    return parse_recipe(text + extra, path="set/recipe.yaml")


def test_parse_recipe__defaults():
    recipe = small()
    assert recipe.cell_types == ("A", "B")
    assert recipe.folder == Path("set")
    assert recipe.text == SMALL
    assert recipe.samples[0] == Sample("A", Source(file="a.bed"), "peaks", None, "midpoint", FragmentRecipe())
    assert recipe.genome == GenomeRecipe((Source(file="toy.fa"),), "toy", {}, None, ())
    assert recipe.windows == WindowRecipe(600, None, 200, "joint", 200, None, 1, "pad", 0.1)
    assert recipe.split == SplitRecipe("random", 0.1, 0.1, 1_000_000, 0, False)
    assert (recipe.blacklist, recipe.negatives, recipe.output.chunk, recipe.seed) == (None, None, 2048, 0)


def test_parse_recipe__every_key():
    recipe = parse_recipe(FULL, path="recipe.yaml")
    assert recipe.genome.fasta == (Source(url="https://example.org/hg19.fa.gz", sha256="ab" * 32),)
    assert recipe.genome.md5 == {"chr1": "c0" * 16}
    assert (recipe.genome.chromosomes, recipe.genome.exclude) == (("chr1", "chr2"), ("chrM",))
    assert recipe.cell_types == ("8988T", "NO", "yeast")
    assert [s.threshold for s in recipe.samples] == [None, 2.0, 3.5]
    assert recipe.samples[0].center == "summit"
    assert recipe.samples[2].fragments == FragmentRecipe("ends", 50, 120)
    assert recipe.windows == WindowRecipe(500, None, 200, "basset", 100, "overlap", 10, "drop", 0.25)
    assert recipe.negatives == NegativesRecipe(0.5, 0.05, 0.1)
    assert recipe.split == SplitRecipe("block", 0.05, 0.2, 500_000, 5, True)
    assert recipe.description == "Two\nlines.\n"


def test_parse_recipe__every_key_is_in_the_full_recipe():
    # Keeps FULL, and so the tests of the digest, complete.
    # Those of a simulation are in that of test_simulation_recipe.
    table, _, _ = describe().partition("A *pair*")
    keys = {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")}
    missing = {
        key for key in keys if not key.startswith("simulation") and f"{key.rpartition('.')[2]}:" not in FULL
    }
    assert missing == {"windows.merge_distance"}  # does not go with `overlap: basset`


def test_parse_recipe__negatives_by_default_values():
    assert small("negatives: {}").negatives == NegativesRecipe()


@pytest.mark.parametrize(
    ("extra", "rule"),
    [("", "joint_peak"), ("windows: {file: w.bed}", "midpoint"), ("windows: {label: overlap}", "overlap")],
)
def test_window_recipe__label_rule(extra, rule):
    assert small(extra).windows.label_rule == rule


def test_split_recipe__numbers_of_windows():
    split = small("split: {validation: 70000, test: 71886}").split
    assert split.is_counts
    assert (split.validation, split.test) == (70000, 71886)
    assert not small("split: {validation: 0, test: 0.2}").split.is_counts


def test_load_recipe__pickles(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(FULL)
    recipe = load_recipe(path)
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    assert str(recipe.samples[0].source) == "https://example.org/a.narrowPeak.gz"


LOCAL = "a source is either a file or a url"
BAD = {
    "misspelt key": (
        "windows: {lenght: 600}",
        "line 9, windows.lenght: unknown key",
        "did you mean `length`?",
    ),
    "key twice": ("seed: 1\nseed: 2", "line 10, seed: key written twice", "first on line 9"),
    "wrong type": (
        "windows: {length: six}",
        "windows.length: a value of the wrong type",
        "an integer, at least 1",
    ),
    "negative seed": ("seed: -1", "line 9, seed: out of range", "at least 0"),
    "zero length": ("windows: {length: 0}", "windows.length: out of range", "at least 1"),
    "negative distance": (
        "windows: {merge_distance: -1}",
        "windows.merge_distance: out of range",
        "at least 0",
    ),
    "zero chunk": ("output: {chunk: 0}", "output.chunk: out of range", "at least 1"),
    "unknown rule": (
        "windows: {overlap: bassett}",
        "windows.overlap: unknown value",
        "did you mean `basset`?",
    ),
    "file and overlap": (
        "windows: {file: w.bed, overlap: joint}",
        "windows.overlap: `overlap` does not go with `file`",
        "remove `overlap` or `file`",
    ),
    "file and joint peaks": (
        "windows: {file: w.bed, label: joint_peak}",
        "windows.label: fixed windows",
        "midpoint",
    ),
    "merge_overlap without basset": (
        "windows: {merge_overlap: 9}",
        "windows.merge_overlap: `merge_overlap`",
        "basset",
    ),
    "merge_distance with basset": (
        "windows: {overlap: basset, merge_distance: 9}",
        "windows.merge_distance: `merge_distance`",
        "joint",
    ),
    "long overlap": (
        "windows: {length: 50, label: overlap, label_min_overlap: 51}",
        "windows.label_min_overlap: an overlap longer than the window",
        "at most 50",
    ),
    "long merge overlap": (
        "windows: {length: 50, overlap: basset}",
        "windows.merge_overlap: an overlap longer",
        "200",
    ),
    "min overlap without overlap": (
        "windows: {label_min_overlap: 9}",
        "windows.label_min_overlap",
        "`label: overlap`",
    ),
    "file and url": ("blacklist: {file: a, url: 'http://b/c'}", f"blacklist: {LOCAL}", "both"),
    "neither": ("blacklist: {}", f"blacklist: {LOCAL}", "neither"),
    "ftp": ("blacklist: ftp://host/x", "blacklist: a value in the wrong format", "http(s)://HOST/PATH"),
    "short checksum": (
        "blacklist: {file: a, sha256: ab}",
        "blacklist.sha256: a value in the wrong format",
        "64 lower-case",
    ),
    "fractions of one": (
        "split: {validation: 0.5, test: 0.5}",
        "split.test: no window is left",
        "a sum below 1",
    ),
    "fraction above one": (
        "split: {by: block, test: 1.5}",
        "split.test: does not go with `by: block`",
        "below 1",
    ),
    "negative fraction": (
        "split: {test: -0.1}",
        "split.test: does not go",
        "a fraction below 1, or a number",
    ),
    "count in blocks": ("split: {by: block, test: 7}", "split.test: does not go with `by: block`", "7"),
    "count and fraction": (
        "split: {validation: 7}",
        "split.test: a fraction mixed with a number",
        "validation 7, test 0.1",
    ),
    "fractions of chromosomes": (
        "split: {by: chromosome}",
        "split.validation: does not go with",
        "a list of chromosome",
    ),
    "list at random": ("split: {test: [a]}", "split.test: does not go with `by: random`", "a"),
    "chromosome in two splits": (
        "split: {by: chromosome, validation: [c], test: [c]}",
        "split.test: given twice",
        "c",
    ),
    "block size at random": (
        "split: {block_size: 5}",
        "split.block_size: `block_size` has no meaning",
        "`by: block`",
    ),
    "one fold": ("split: {folds: 1}", "split.folds: too few folds", "0, or >= 3"),
    "zero ratio": ("negatives: {ratio: 0}", "negatives.ratio: out of range", "above 0"),
    "wide bin": ("negatives: {gc_bin: 2}", "negatives.gc_bin: out of range", "at most 1"),
}


@pytest.mark.parametrize(("extra", "where", "detail"), BAD.values(), ids=BAD)
def test_parse_recipe__bad_key(extra, where, detail):
    with pytest.raises(InputError) as caught:
        small(extra)
    message = str(caught.value)
    assert message.startswith("set/recipe.yaml line ")
    assert where in message
    assert detail in message


BAD_PARTS = {
    "cell type twice": (
        "cell_type: B",
        "cell_type: A",
        "line 8, samples[1].cell_type: cell type given twice",
    ),
    "more replicates than files": (
        "source: b.bed",
        "source: b.bed, replicates: [c.bed], min_replicates: 3",
        "samples[1].min_replicates: more than the number of files",
    ),
    "blank cell type": (
        "cell_type: B",
        "cell_type: ' B'",
        "samples[1].cell_type: a name that cannot be used",
    ),
    "no samples": (
        "\n  - {cell_type: A, source: a.bed}\n  - {cell_type: B, source: b.bed}",
        " []",
        "samples: no cell type",
    ),
    "signal without threshold": (
        "source: b.bed",
        "source: b.bw, kind: signal",
        "samples[1].threshold: kind signal needs",
    ),
    "negative threshold": (
        "source: b.bed",
        "source: b.bw, kind: signal, threshold: -1",
        "samples[1].threshold: out of range",
    ),
    "threshold of peaks": (
        "source: b.bed",
        "source: b.bed, threshold: 1",
        "samples[1].threshold: `threshold` has no",
    ),
    "summit of a signal": (
        "source: b.bed",
        "source: b.bw, kind: signal, threshold: 1, center: summit",
        "samples[1].center: `center` has no meaning here",
    ),
    "fragments of peaks": (
        "source: b.bed",
        "source: b.bed, fragments: {}",
        "samples[1].fragments: `fragments` has no",
    ),
    "no FASTA": ("[toy.fa]", "[]", "line 5, genome.fasta: no FASTA"),
    "FASTA no list": ("[toy.fa]", "toy.fa", "genome.fasta: not a list"),
    "no chromosomes": (
        "assembly: toy",
        "assembly: toy\n  chromosomes: []",
        "genome.chromosomes: no chromosome is left",
    ),
    "chromosome twice": (
        "assembly: toy",
        "assembly: toy\n  chromosomes: [a, a]",
        "genome.chromosomes: given twice",
    ),
    "used and excluded": (
        "assembly: toy",
        "assembly: toy\n  chromosomes: [a]\n  exclude: [a]",
        "line 6, genome.exclude: also among `chromosomes`",
    ),
    "MD5 of another": (
        "assembly: toy",
        f"assembly: toy\n  chromosomes: [a]\n  md5: {{b: {'0' * 32}}}",
        "line 6, genome.md5: not among `chromosomes`",
    ),
    "bad MD5": (
        "assembly: toy",
        "assembly: toy\n  md5: {b: 00}",
        "genome.md5.b: a value in the wrong format",
    ),
    "no assembly": ("  assembly: toy\n", "", "genome: `assembly` is missing"),
    "name with a slash": ("name: small", "name: a/b", "line 1, name: a value in the wrong format"),
}


@pytest.mark.parametrize(("old", "new", "where"), BAD_PARTS.values(), ids=BAD_PARTS)
def test_parse_recipe__bad_part(old, new, where):
    assert old in SMALL
    with pytest.raises(InputError) as caught:
        small(**{old: new})
    assert where in str(caught.value)


def test_parse_recipe__held_out_chromosome_is_not_used():
    text = SMALL.replace("assembly: toy", "assembly: toy\n  chromosomes: [a, b]")
    with pytest.raises(InputError, match=r"line 10, split\.test: not among `genome\.chromosomes`"):
        parse_recipe(text + "split: {by: chromosome, validation: [b], test: [c]}", path="recipe.yaml")


def test_load_recipe__no_file(tmp_path):
    with pytest.raises(InputError, match="no such recipe"):
        load_recipe(tmp_path / "recipe.yaml")
    with pytest.raises(InputError, match=r"give .*/recipe\.yaml"):
        load_recipe(tmp_path)


def test_load_recipe__not_text(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"\x1f\x8b\x08\xff")
    with pytest.raises(InputError, match="is not UTF-8"):
        load_recipe(path)


def test_recipe__made_in_python_is_checked_too():
    with pytest.raises(InputError, match="threshold: kind signal needs a threshold"):
        Sample("A", Source(file="a.bw"), kind="signal")


def test_digest__ignores_comments_order_and_written_defaults():
    text = "# a comment\nseed:   0\n" + SMALL.replace("title: Two cell types", 'title:  "Two cell types"')
    text += "windows: {past_end: pad,\n  length: 600}\nsplit: {}\n"
    assert parse_recipe(text, path="elsewhere/other.yaml").digest == small().digest


def test_digest__stays_what_it_was_before_newer_keys():
    # Before there was a limit on N, windows could be of nothing but N.
    digest = small("windows: {max_n: 1}\n").digest
    assert digest == "01e70f90e4e9b13471fdb82ac71133db2d07f6ea5b99a33283c6a247092b361a"
    assert small("windows: {max_n: 1.0}\n").digest == digest != small().digest


CHANGES = [
    ("name: full", "name: fuller"),
    ("title: Everything", "title: Nothing"),
    ("  Two", "  Three"),
    ("assembly: hg19", "assembly: hg38"),
    ("https://example.org/hg19.fa.gz", "https://example.org/hg38.fa.gz"),
    ("ab" * 32, "cd" * 32),
    ("c0" * 16, "c1" * 16),
    ("chromosomes: [chr1, chr2]", "chromosomes: [chr2, chr1]"),
    ("exclude: [chrM]", "exclude: []"),
    ("cell_type: NO", "cell_type: YES"),
    ("no.bw", "yes.bw"),
    ("kind: signal", "kind: fragments"),
    ("threshold: 2", "threshold: 2.5"),
    ("center: summit", "center: midpoint"),
    ("count: ends, extend: 50", "count: fragment"),
    ("extend: 50", "extend: 51"),
    ("max_length: 120", "max_length: 121"),
    ("format: bedpe", "format: fragments"),
    ("    format: bedpe\n", ""),
    ("past_end: clip", "past_end: error"),
    ("replicates: [more.bedpe.gz,", "replicates: [other.bedpe.gz,"),
    ("min_replicates: 2", "min_replicates: 3"),
    ("length: 500", "length: 501"),
    ("overlap: basset\n  merge_overlap: 100", "merge_distance: 200"),
    ("overlap: basset\n  merge_overlap: 100", "merge_distance: 0"),
    ("merge_overlap: 100", "merge_overlap: 101"),
    ("label: overlap\n  label_min_overlap: 10", "label: midpoint"),
    ("label_min_overlap: 10", "label_min_overlap: 11"),
    ("past_end: drop", "past_end: pad"),
    ("max_n: 0.25", "max_n: 0.3"),
    ("max_n: 0.25", "max_n: 1"),
    ("blacklist: blacklist.bed", ""),
    ("negatives: {ratio: 0.5, gc_bin: 0.05, max_n: 0.1}", ""),
    ("ratio: 0.5", "ratio: 0.6"),
    ("gc_bin: 0.05", "gc_bin: 0.06"),
    ("max_n: 0.1", "max_n: 0.2"),
    ("by: block", "by: random"),
    ("validation: 0.05", "validation: 0.06"),
    ("test: 0.2", "test: 0.3"),
    ("block_size: 500_000", "block_size: 500_001"),
    ("folds: 5", "folds: 6"),
    ("allow_leaks: true", "allow_leaks: false"),
    ("chunk: 512", "chunk: 513"),
    ("seed: 7", "seed: 8"),
]


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_digest__every_option_matters(old, new):
    assert FULL.count(old) == 1
    changed = FULL.replace(old, new)
    if new == "by: random":
        changed = changed.replace("block_size: 500_000, ", "")
    assert parse_recipe(changed, path="r.yaml").digest != parse_recipe(FULL, path="r.yaml").digest


@given(st.integers(1, 10**6), st.floats(0.01, 0.4), st.integers(0, 2**63))
def test_recipe__values_come_back(length, test, seed):
    recipe = small(f"windows: {{length: {length}}}\nsplit: {{test: {test!r}}}\nseed: {seed}")
    assert (recipe.windows.length, recipe.split.test, recipe.seed) == (length, test, seed)


def test_describe__names_every_option():
    table = describe()
    for cls in (
        Recipe,
        GenomeRecipe,
        Sample,
        WindowRecipe,
        NegativesRecipe,
        SplitRecipe,
        FragmentRecipe,
        Source,
    ):
        for field in dataclasses.fields(cls):
            assert (f".{field.name}`" in table or f"| `{field.name}`" in table) == bool(field.metadata)


def local_sources(recipe: Recipe) -> list[Source]:
    """All sources of a recipe that are files."""
    others = [recipe.blacklist, recipe.windows.file, *(sample.source for sample in recipe.samples)]
    fasta = recipe.genome.fasta if recipe.genome else ()
    motifs = recipe.simulation.motifs.files if recipe.simulation else ()
    return [s for s in (*fasta, *others, *motifs) if s is not None and s.file is not None]


@pytest.mark.parametrize("folder", sorted(p.parent.name for p in DATASETS.glob("*/recipe.yaml")))
def test_datasets__recipe_loads(folder):
    recipe = load_recipe(DATASETS / folder / "recipe.yaml")
    assert recipe.name == folder
    assert (DATASETS / folder / "README.md").read_text().startswith(f"# {folder}")
    # What a name stands for must not change: each file comes with its checksum.
    assert all(source.sha256 for source in local_sources(recipe))


def test_datasets__demo_needs_nothing_else():
    recipe = load_recipe(DATASETS / "hg19-dnase-6" / "recipe.yaml")
    paths = [resolve(source, base=recipe.folder) for source in local_sources(recipe)]
    assert len(paths) == 1 + 1 + 6
    assert all(paths[0].with_name(paths[0].name + suffix).is_file() for suffix in (".fai", ".gzi"))


@pytest.mark.shared
@pytest.mark.parametrize(
    "folder", ["hg19-dnase-6-chr20-chrX", "hg19-atac-6", "yeast-atac", "basset164-promoters-chr20"]
)
def test_datasets__files_are_those_of_the_recipe(folder, shared_data):
    recipe = load_recipe(DATASETS / folder / "recipe.yaml")
    for source in local_sources(recipe):
        assert resolve(source, base=recipe.folder, sources_dir=shared_data).is_file()


@pytest.mark.shared
def test_datasets__all_cell_types_of_basset(shared_data):
    recipe = load_recipe(DATASETS / "encode-roadmap-164" / "recipe.yaml")
    targets = [
        line.split("\t")
        for line in (shared_data / "basset164" / "basset_targets.txt").read_text().splitlines()
    ]
    assert len(targets) == 164
    for sample, (name, path) in zip(recipe.samples, targets, strict=True):
        assert sample.cell_type == name.strip()
        assert sample.source.url.endswith("/" + path.strip().partition("/")[2])
        assert ("roadmap" in sample.source.url) == path.startswith("roadmap/")


ODD_NAMES = {
    "name": "'name', which is the name of a column",
    "strand": "'strand', which is the name of a column",
    '""': "which is empty",
    '" B"': "whitespace at its ends",
    '"B\\t1"': "the character U+0009",
    '"B\\n1"': "the character U+000A",
    '"B\\u2028"': "whitespace at its ends",
    '"B\\u2028C"': "the character U+2028",
    '"B\\u0085C"': "the character U+0085",
    '"B\\u200bC"': "the character U+200B",
    "B" * 201: "which has 201 characters",
}


@pytest.mark.parametrize(("name", "found"), ODD_NAMES.items())
def test_parse_recipe__names_of_cell_types(name, found):
    with pytest.raises(InputError, match=r"samples.1..cell_type: a name that cannot be used") as error:
        small(**{"cell_type: B": f"cell_type: {name}"})
    assert found in error.value.found


def test_parse_recipe__control_characters():
    with pytest.raises(InputError, match=r"samples.1..cell_type: a text with control characters"):
        small(**{"cell_type: B": 'cell_type: "B\\0C"'})


@pytest.mark.parametrize("name", ["'CD4+ T/naïve \"γδ\", 50%'", "a", "NO", ".hidden", "../up", "'chr: 1'"])
def test_parse_recipe__cell_types_may_be_called(name):
    assert len(small(**{"cell_type: B": f"cell_type: {name}"}).cell_types) == 2


def test_parse_recipe__names_that_look_the_same():
    with pytest.raises(InputError, match="two cell types whose names look the same"):
        small(**{"cell_type: A": "cell_type: é", "cell_type: B": "cell_type: e\N{COMBINING ACUTE ACCENT}"})


@pytest.mark.parametrize(
    ("old", "new", "what", "remedy"),
    [
        (
            "source: b.bed",
            "source: [b.bed, c d.bed]",
            "a list where one",
            "gzip -dcf b.bed 'c d.bed' | bedtools",
        ),
        ("source: b.bed", "source: [b.bed, c.bed]", "a list where one", "`replicates: [c.bed]`"),
        ("cell_type: B", "cell_type: A", "cell type given twice", "source: A.bed, replicates: [B.bed]"),
        ("source: b.bed", "source: [b.bed]", "a list where one", "without brackets: b.bed"),
        (
            "source: b.bed",
            "source: b.bed, kind: signal, threshold: 1, format: bed",
            "does not go with",
            "change",
        ),
        ("source: b.bed", "source: b.bed, center: summit, format: gappedPeak", "has no summits", None),
        ("seed: 0", "split: {by: chromosome}", "does not go with `by: chromosome`", "validation: [chr8]"),
        ("seed: 0", "blacklist: [a.bed, b.bed]", "a list where one", "a.bed b.bed"),
    ],
)
def test_parse_recipe__remedies(old, new, what, remedy):
    with pytest.raises(InputError) as error:
        small(extra="seed: 0\n", **{old: new}) if old != "seed: 0" else small(extra=f"{new}\n")
    assert what in error.value.what
    assert remedy is None or remedy in error.value.remedy


def test_parse_recipe__chromosomes_as_the_remedy_says():
    split = small(extra="split: {by: chromosome, validation: [chr8], test: [chr9]}\n").split
    assert (split.validation, split.test) == (("chr8",), ("chr9",))
