"""BedLoader: equal to kipoiseq where that is right, right where it is wrong, and as Kipoi wants it."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import kipoi.writers
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kipoi.metadata import GenomicRanges
from kipoi.specs import DataLoaderImport
from kipoiseq.dataloaders import SeqIntervalDl

import chromacc_data
from chromacc_data.errors import InputError
from chromacc_data.loader import BedLoader
from chromacc_data.sequences.encoding import codes_from_one_hot, decode, encode, one_hot
from tests.sequences.test_bgzip import write_bgzip

BASES = {"chr1": "ACGTTGCAACGTNNRYacgtKGATTACA", "chr2": "GGGGCCCCAATT"}
FASTA = "".join(f">{name}\n{bases}\n" for name, bases in BASES.items())


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "genome.fa"
    path.write_text(FASTA)
    return path


def bed(folder: Path, text: str, name: str = "regions.bed") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def letters(batch: dict) -> list[str]:
    return [decode(codes_from_one_hot(window)) for window in batch["inputs"]]


def ranges(batch: dict) -> list[tuple]:
    columns = batch["metadata"]["ranges"]
    return list(zip(*(columns[key].tolist() for key in ("chr", "start", "end", "id", "strand")), strict=True))


def collated(loader: object, batch_size: int = 32, **options: object) -> dict:
    """All batches of a loader as one."""
    batches = list(loader.batch_iter(batch_size=batch_size, **options))
    positions = [batch["metadata"]["ranges"] for batch in batches]
    return {
        "inputs": np.concatenate([batch["inputs"] for batch in batches]),
        "metadata": {"ranges": {k: np.concatenate([p[k] for p in positions]) for k in positions[0]}},
    }


def assert_equal_to_kipoiseq(ours: dict, theirs: dict) -> None:
    """Equal but for N: zeros in ours, 0.25 in theirs."""
    np.testing.assert_array_equal(ours["inputs"], np.where(theirs["inputs"] == 0.25, 0, theirs["inputs"]))
    assert ranges(ours) == ranges(theirs)


def test_batch__by_hand(tmp_path, fasta):
    loader = BedLoader(bed(tmp_path, "chr1\t0\t4\nchr2\t2\t8\nchr1\t11\t15\n"), fasta, window_length=4)
    assert len(loader) == 3
    (batch,) = loader.batch_iter()
    assert batch["inputs"].dtype == np.float32
    assert batch["inputs"].shape == (3, 4, 4)
    assert letters(batch) == ["ACGT", "GCCC", "TNNN"]
    assert ranges(batch) == [
        ("chr1", 0, 4, "0", "*"),
        ("chr2", 3, 7, "1", "*"),
        ("chr1", 11, 15, "2", "*"),
    ]


def test_item__is_a_window_with_genomic_ranges(tmp_path, fasta):
    loader = BedLoader(bed(tmp_path, "chr1\t0\t4\nchr2\t2\t8\n"), fasta, window_length=4)
    item = loader[1]
    assert decode(codes_from_one_hot(item["inputs"])) == "GCCC"
    found = item["metadata"]["ranges"]
    assert isinstance(found, GenomicRanges)
    assert found.to_dict() == {"chr": "chr2", "start": 3, "end": 7, "id": "1", "strand": "*"}
    assert type(found.start) is int
    with pytest.raises(IndexError):
        loader[2]


INTERVALS = st.lists(
    st.tuples(st.integers(0, 399), st.integers(1, 100), st.sampled_from("+-")), min_size=1, max_size=20
)


@settings(deadline=None, max_examples=25)
@given(
    intervals=INTERVALS,
    window_length=st.integers(1, 60),
    use_strand=st.booleans(),
    batch_size=st.integers(1, 25),
)
def test_batches__equal_kipoiseq(tmp_path_factory, intervals, window_length, use_strand, batch_size):
    folder = tmp_path_factory.mktemp("loader")
    rng = np.random.default_rng(0)
    fasta = folder / "genome.fa"
    # kipoiseq cannot reverse-complement N.
    bases = "".join(rng.choice(list("ACGTacgt" if use_strand else "ACGTNacgtn"), 600))
    fasta.write_text(">chr1\n" + "\n".join(bases[i : i + 50] for i in range(0, 600, 50)) + "\n")
    lines = [f"chr1\t{60 + s}\t{60 + s + n}" + f"\t.\t0\t{strand}" * use_strand for s, n, strand in intervals]
    path = bed(folder, "\n".join(lines) + "\n")
    ours = BedLoader(path, fasta, window_length=window_length, use_strand=use_strand)
    theirs = SeqIntervalDl(str(path), str(fasta), auto_resize_len=window_length, use_strand=use_strand)
    assert len(ours) == len(theirs)
    assert_equal_to_kipoiseq(collated(ours, batch_size), collated(theirs, batch_size))
    np.testing.assert_array_equal(ours[0]["inputs"], collated(ours)["inputs"][0])
    rows = np.arange(len(ours))[::2]
    np.testing.assert_array_equal(one_hot(ours.windows.codes(rows)), ours.batch(rows)["inputs"])


# What SeqIntervalDl gets wrong.


def test_past_the_ends__padded_with_n(tmp_path, fasta):
    loader = BedLoader(bed(tmp_path, "chr2\t0\t2\nchr2\t10\t12\nchr2\t11\t99\n"), fasta, window_length=6)
    (batch,) = loader.batch_iter()
    assert letters(batch) == ["NNGGGG", "AATTNN", "NNNNNN"]
    assert ranges(batch)[0] == ("chr2", -2, 4, "0", "*")


def test_names_in_column_4__become_ids(tmp_path, fasta):
    path = bed(tmp_path, "chr1\t0\t4\tpeak_1\t960\t-\nchr1\t4\t8\nchr1\t0\t4\t.\t0\t+\n")
    (batch,) = BedLoader(path, fasta, window_length=4).batch_iter()
    assert [row[3:] for row in ranges(batch)] == [("peak_1", "*"), ("1", "*"), ("2", "*")]
    assert letters(batch)[0] == "ACGT"


def test_use_strand__with_names(tmp_path, fasta):
    path = bed(tmp_path, "chr1\t0\t5\tp\t960\t-\nchr1\t10\t15\tq\t0\t-\nchr1\t0\t5\tr\t0\t.\n")
    (batch,) = BedLoader(path, fasta, window_length=5, use_strand=True).batch_iter()
    assert letters(batch) == ["AACGT", "NNNAC", "ACGTT"]
    assert [row[3:] for row in ranges(batch)] == [("p", "-"), ("q", "-"), ("r", "*")]


@pytest.mark.parametrize(
    "head", ["# made by hand\n", 'track name="x"\n', "browser position chr1\n", "chrom\tstart\tend\n", "\n"]
)
def test_lines_that_are_no_intervals__are_skipped(tmp_path, fasta, head):
    loader = BedLoader(bed(tmp_path, head + "chr1\t0\t4\r\n"), fasta, window_length=4)
    assert letters(loader.batch(slice(None))) == ["ACGT"]


def test_gzip_bed__is_read(tmp_path, fasta):
    path = tmp_path / "regions.bed.gz"
    path.write_bytes(gzip.compress(b"chr1\t0\t4\n"))
    assert len(BedLoader(path, fasta, window_length=4)) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no intervals"),
        ("chr1\t-2\t4\n", "negative"),
        ("chr1\t4\t2\n", "end is below start"),
        ("chr1 0 4\n", "spaces"),
        ("chr1\t0\t4\nchr1\t4", "half-written|2 columns"),
        ("\x00\x01\x02", "NUL bytes"),
        ("chr1\t0\t4\nchr7\t0\t4\n", "chr7 not in the genome"),
        ("1\t0\t4\n2\t0\t4\n", "1 2 not in the genome"),
        ("chr1\t0\t4\nchr2\t12\t16\n", "past the end of its chromosome"),
    ],
)
def test_bad_intervals__are_an_error_before_the_first_batch(tmp_path, fasta, text, message):
    path = bed(tmp_path, text)
    with pytest.raises(InputError, match=message) as error:
        BedLoader(path, fasta, window_length=4)
    assert str(path) in str(error.value.where)


def test_interval_off_its_chromosome__says_which(tmp_path, fasta):
    with pytest.raises(InputError) as error:
        BedLoader(bed(tmp_path, "chr1\t0\t4\nchr2\t12\t16\n"), fasta)
    assert "interval 2 (chr2:12-16)" in str(error.value)
    assert "assembly" in error.value.remedy


def test_other_iupac_codes__are_n(tmp_path, fasta):
    loader = BedLoader(bed(tmp_path, "chr1\t12\t21\n"), fasta, window_length=9)
    assert letters(loader.batch(slice(None))) == ["NNNNACGTN"]
    assert (loader.batch(slice(None))["inputs"][0, :4] == 0).all()


def test_bgzip_fasta__gives_the_same(tmp_path, fasta):
    path = bed(tmp_path, "chr1\t0\t10\nchr2\t0\t10\n")
    packed = write_bgzip(tmp_path / "packed.fa.gz", [line + b"\n" for line in FASTA.encode().splitlines()])
    plain, bgzip = (BedLoader(path, f, window_length=10).batch(slice(None)) for f in (fasta, packed))
    np.testing.assert_array_equal(plain["inputs"], bgzip["inputs"])


def test_past_end__drop_and_error(tmp_path, fasta, caplog):
    path = bed(tmp_path, "chr2\t0\t2\tleft\nchr2\t4\t6\tinside\nchr2\t10\t12\tright\n")
    loader = BedLoader(path, fasta, window_length=6, past_end="drop")
    assert [row[3] for row in ranges(loader.batch(slice(None)))] == ["inside"]
    assert "2 of 3; the first: interval 1 (chr2:0-2)" in caplog.text
    with pytest.raises(InputError, match="reach past an end") as error:
        BedLoader(path, fasta, window_length=6, past_end="error")
    assert error.value.where == path
    with pytest.raises(InputError, match="reach past an end"):
        BedLoader(path, fasta, window_length=60, past_end="drop")
    assert len(BedLoader(path, fasta, window_length=2, past_end="error")) == 3


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"window_length": 0}, "window_length"),
        ({"window_length": "600bp"}, "window_length"),
        ({"past_end": "clip"}, "past_end"),
    ],
)
def test_bad_argument__is_an_error(tmp_path, fasta, options, where):
    with pytest.raises(InputError) as error:
        BedLoader(bed(tmp_path, "chr1\t0\t4\n"), fasta, **options)
    assert error.value.where == where


def test_use_strand__without_strands_is_an_error(tmp_path, fasta):
    with pytest.raises(InputError, match="no interval has a strand"):
        BedLoader(bed(tmp_path, "chr1\t0\t4\n"), fasta, use_strand=True)


# As Kipoi uses it.


@pytest.fixture
def loader(tmp_path: Path, fasta: Path) -> BedLoader:
    return BedLoader(
        bed(tmp_path, "".join(f"chr1\t{i}\t{i + 4}\n" for i in range(10))), fasta, window_length=4
    )


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
def test_batch_iter__sizes_and_length_for_the_progress_bar(loader, drop_last, sizes):
    batches = loader.batch_iter(batch_size=4, drop_last=drop_last, num_workers=3)
    assert len(batches) == len(sizes)
    assert [len(batch["inputs"]) for batch in batches] == sizes


def test_batch_iter__shuffled_by_seed(loader):
    orders = [[row[1] for row in ranges(collated(loader, 3, shuffle=True, seed=seed))] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(10)) != orders[0]
    passes = loader._batch_iterable(batch_size=3, shuffle=True)
    first, second = ([row[1] for batch in passes for row in ranges(batch)] for _ in range(2))
    assert sorted(first) == sorted(second)
    assert first != second


def test_load_all__is_all(loader):
    np.testing.assert_array_equal(loader.load_all(batch_size=3)["inputs"], collated(loader)["inputs"])


def test_pickle__gives_the_same_batches(loader):
    again = pickle.loads(pickle.dumps(loader))
    np.testing.assert_array_equal(again.batch(slice(3))["inputs"], loader.batch(slice(3))["inputs"])


def test_description__is_complete_and_fits_a_batch(loader):
    assert chromacc_data.BedLoader is BedLoader
    assert BedLoader.type == "Dataset"
    assert BedLoader.info.doc
    assert all(argument.doc for argument in BedLoader.args.values())
    assert [name for name, argument in BedLoader.args.items() if not argument.optional] == [
        "intervals_file",
        "fasta_file",
    ]
    assert BedLoader.get_output_schema().compatible_with_batch(next(loader.batch_iter(batch_size=3)))


def test_kipoi_finds_the_loader__by_name_and_with_default_arguments(tmp_path, fasta):
    found = DataLoaderImport(defined_as="chromacc_data.BedLoader", default_args={"window_length": 5}).get()
    loader = found(intervals_file=bed(tmp_path, "chr1\t0\t5\n"), fasta_file=fasta)
    assert isinstance(loader, BedLoader)
    assert letters(next(loader.batch_iter())) == ["ACGTT"]


def test_kipoi_writers__take_the_batches(tmp_path, loader):
    schema = BedLoader.get_output_schema().metadata
    writers = [
        kipoi.writers.TsvBatchWriter(str(tmp_path / "x.tsv")),
        kipoi.writers.BedBatchWriter(str(tmp_path / "x.bed"), schema),
        kipoi.writers.ParquetFileBatchWriter(str(tmp_path / "x.parquet")),
    ]
    for batch in loader.batch_iter(batch_size=4):
        for writer in writers:
            writer.batch_write({"preds": batch["inputs"][:, 0, :2], "metadata": batch["metadata"]})
    for writer in writers:
        writer.close()
    frame = pd.read_csv(tmp_path / "x.tsv", sep="\t", dtype={"metadata/ranges/id": str})
    assert frame["metadata/ranges/start"].tolist() == list(range(10))
    pd.testing.assert_frame_equal(frame, pd.read_parquet(tmp_path / "x.parquet"), check_dtype=False)
    table = pd.read_csv(tmp_path / "x.bed", sep="\t")
    assert list(table) == ["chr", "start", "end", "name", "score", "strand", "preds/0", "preds/1"]
    assert table["end"].tolist() == list(range(4, 14))


@pytest.mark.shared
def test_real_regions__equal_kipoiseq(shared_data, tmp_path):
    fasta = tmp_path / "chr20.fa"
    fasta.write_bytes(gzip.decompress((shared_data / "genome" / "hg19.chr20.fa.gz").read_bytes()))
    peaks = pd.read_csv(
        shared_data / "peaks_dnase" / "HepG2.bed.gz", sep="\t", header=None, usecols=[0, 1, 2]
    )
    peaks = peaks[peaks[0] == "chr20"].sample(400, random_state=0)
    path = tmp_path / "regions.bed"
    peaks.to_csv(path, sep="\t", header=False, index=False)
    ours = BedLoader(path, fasta)
    assert_equal_to_kipoiseq(
        collated(ours, 64), collated(SeqIntervalDl(str(path), str(fasta), auto_resize_len=600), 64)
    )
    lines = fasta.read_bytes().split(b"\n", 1)[1].replace(b"\n", b"")
    start = ours[7]["metadata"]["ranges"].start
    np.testing.assert_array_equal(codes_from_one_hot(ours[7]["inputs"]), encode(lines[start : start + 600]))


@pytest.mark.parametrize("form", ["list", "text", "text with spaces"])
def test_loader__several_fasta_files_are_one_genome(tmp_path, form):
    for name in ("one", "two"):
        (tmp_path / f"{name}.fa").write_text(f">{name}\n{'A' if name == 'one' else 'C'}CGTACGTAC\n")
    paths = [str(tmp_path / "one.fa"), str(tmp_path / "two.fa")]
    fasta = {"list": paths, "text": ",".join(paths), "text with spaces": ", ".join(paths)}[form]
    loader = BedLoader(bed(tmp_path, "two\t0\t4\none\t0\t4\n"), fasta, 4)
    assert [decode(codes) for codes in loader.windows.codes(slice(None))] == ["CCGT", "ACGT"]


def test_loader__fasta_with_a_comma_in_its_name(tmp_path):
    (tmp_path / "a,b.fa").write_text(">one\nACGTACGTAC\n")
    loader = BedLoader(bed(tmp_path, "one\t0\t4\n"), str(tmp_path / "a,b.fa"), 4)
    assert decode(loader.windows.codes(slice(None))[0]) == "ACGT"


def test_loader__one_sequence_in_two_fasta_files(tmp_path):
    for name in ("a.fa", "b.fa"):
        (tmp_path / name).write_text(">one\nACGTACGTAC\n")
    with pytest.raises(InputError, match="sequence 'one' is in two files"):
        BedLoader(bed(tmp_path, "one\t0\t4\n"), [tmp_path / "a.fa", tmp_path / "b.fa"], 4)


def test_loader__window_over_a_header_within_a_line(tmp_path):
    """The index of another program, which did not see the header."""
    (tmp_path / "x.fa").write_text(">one\nACGTACGTAC>two\n")
    (tmp_path / "x.fa.fai").write_text("one\t14\t5\t14\t15\n")
    loader = BedLoader(bed(tmp_path, "one\t0\t10\none\t8\t12\n"), tmp_path / "x.fa", 4)
    with pytest.raises(InputError, match="'>' inside a line"):
        loader.batch(slice(None))
