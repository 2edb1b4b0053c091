"""Files of motifs: real ones, what is written comes back, and every bad line is named."""

from __future__ import annotations

import gzip
import subprocess

import numpy as np
import pytest
from Bio import motifs as bio_motifs
from hypothesis import given
from hypothesis import strategies as st

from chromacc_data.errors import InputError
from chromacc_data.motifs.files import iter_motifs, read_motifs, write_motifs
from chromacc_data.motifs.motif import Motif
from tests.motifs.test_motif import ppms

MEME = """\
MEME version 4

ALPHABET= ACGT

strands: + -

Background letter frequencies (from uniform background):
A 0.3 C 0.2 G 0.2 T 0.3

MOTIF M1 first one
letter-probability matrix: alength= 4 w= 2 nsites= 24 E= 0
 0.125000  0.333333  0.083333  0.458333
 0 0 1 0
URL http://example.org/M1

MOTIF M2

letter-probability matrix:
  0.25 0.25 0.25 0.25
"""

JASPAR = """\
>MA1 Arnt
A  [ 4 19 ]
C  [16  0 ]
G  [ 0  1 ]
T  [ 0  0 ]
>MA2
1 1
1 1
1 1
1 1
"""

CISBP = "Pos\tA\tC\tG\tT\n1\t0.1\t0.2\t0.3\t0.4\n2\t1\t0\t0\t0\n"
CISBP_ALL = (
    "TF\tT1\nTF Name\tJUND\nMotif\tM2292_1.02\n" + CISBP + "\nTF Name\tMAX\nMotif\tM1889_1.02\n" + CISBP
)

#: The transcription factors of the thesis' simulated sets, and their motifs in CIS-BP.
THESIS_TFS = {
    "HHEX": "M1110_1.02",
    "IRF4": "M4463_1.02",
    "ZBTB12": "M0433_1.02",
    "NFIB": "M5662_1.02",
    "JUND": "M2292_1.02",
    "SCRT1": "M5804_1.02",
    "ELK1": "M6207_1.02",
    "FOXL1": "M5460_1.02",
    "HOXA7": "M6293_1.02",
    "NKX2-2": "M6375_1.02",
    "TFAP2E": "M0085_1.02",
    "HOXD8": "M5563_1.02",
    "ZHX1": "M0898_1.02",
    "BSX": "M5310_1.02",
    "MAX": "M1889_1.02",
    "MAFG": "M6333_1.02",
    "JUNB": "M4623_1.02",
    "GATA4": "M6256_1.02",
    "ZNF282": "M5970_1.02",
    "BHLHE41": "M6161_1.02",
}


@pytest.fixture
def read(tmp_path):
    def read(text: str, name: str = "motifs.txt") -> tuple[Motif, ...]:
        (tmp_path / name).write_text(text)
        return read_motifs(tmp_path / name)

    return read


def same(one: Motif, other: Motif) -> bool:
    """Whether two motifs are equal to the last bit."""
    arrays = (one.ppm, other.ppm), (one.background, other.background)
    rest = (one.id, one.name, one.n_sites, one.url) == (other.id, other.name, other.n_sites, other.url)
    return rest and all(np.array_equal(a, b) for a, b in arrays)


def test_read_motifs__meme(read):
    first, second = read(MEME)
    assert (first.id, first.name, first.n_sites, first.url) == (
        "M1",
        "first one",
        24,
        "http://example.org/M1",
    )
    np.testing.assert_allclose(first.ppm, [[1 / 8, 1 / 3, 1 / 12, 11 / 24], [0, 0, 1, 0]], atol=1e-6)
    assert first.ppm.sum(axis=1).tolist() == [1, 1]
    assert first.background.tolist() == [0.3, 0.2, 0.2, 0.3]
    assert (second.id, second.name, second.n_sites, second.url) == ("M2", "", None, "")
    assert second.ppm.tolist() == [[0.25] * 4]


def test_read_motifs__background_over_lines(read):
    text = MEME.replace("A 0.3 C 0.2 G 0.2 T 0.3", "A 0.3 C 0.2\nG 0.2 T 0.3")
    assert read(text)[0].background.tolist() == [0.3, 0.2, 0.2, 0.3]


def test_read_motifs__jaspar(read):
    first, second = read(JASPAR)
    assert (first.id, first.name, first.n_sites) == ("MA1", "Arnt", 20)
    assert first.ppm.tolist() == [[0.2, 0.8, 0, 0], [0.95, 0, 0.05, 0]]
    assert (second.id, second.name, second.ppm.tolist()) == ("MA2", "", [[0.25] * 4] * 2)


def test_read_motifs__cisbp(read):
    (motif,) = read(CISBP, "M0085_1.02.txt")
    assert motif.id == "M0085_1.02"
    np.testing.assert_allclose(motif.ppm, [[0.1, 0.2, 0.3, 0.4], [1, 0, 0, 0]])
    assert [(m.id, m.symbol) for m in read(CISBP_ALL)] == [("M2292_1.02", "JUND"), ("M1889_1.02", "MAX")]


def test_read_motifs__gzip_and_crlf(tmp_path):
    path = tmp_path / "motifs.meme.gz"
    path.write_bytes(gzip.compress(MEME.replace("\n", "\r\n").encode()))
    assert [m.id for m in read_motifs(path)] == ["M1", "M2"]


def test_iter_motifs__reads_no_further_than_asked(tmp_path):
    path = tmp_path / "motifs.meme"
    path.write_text(MEME + "nonsense\n")
    motifs = iter_motifs(path)
    assert [next(motifs).id, next(motifs).id] == ["M1", "M2"]
    with pytest.raises(InputError, match="line 20: not a line of the MEME minimal format"):
        next(motifs)


BAD = {
    "no format": ("1 2 3\n", "not a motif file"),
    "empty": ("", "not a motif file"),
    "no motif": ("MEME version 4\n", "no motif in the file"),
    "protein": ("MEME version 4\nALPHABET= ACDEFGHIKLMNPQRSTVWY\n", "line 2: not DNA"),
    "alphabet of 20": (MEME.replace("alength= 4", "alength= 20"), "line 11: not DNA"),
    "background": (MEME.replace("T 0.3", "T 0.4"), "line 8: not probabilities"),
    "background order": (MEME.replace("A 0.3 C 0.2", "C 0.2 A 0.3"), "line 8: not a background"),
    "no background": (MEME.replace("A 0.3 C 0.2 G 0.2 T 0.3\n", ""), "line 7: not a background"),
    "no id": (MEME.replace("MOTIF M2", "MOTIF"), "line 16: a motif without an id"),
    "no matrix": (MEME.replace("letter-probability matrix:\n", ""), "line 18: no matrix below MOTIF"),
    "end without matrix": (
        MEME[: MEME.index("letter-probability matrix:\n")],
        "line 16: no matrix below MOTIF",
    ),
    "rows missing": (MEME.replace(" 0 0 1 0\n", ""), "line 12: motif M1 is cut short"),
    "rows too many": (
        MEME.replace(" 0 0 1 0\n", " 0 0 1 0\n" * 2),
        "line 14: motif M1 is cut short or too long",
    ),
    "no rows": (MEME.replace("  0.25 0.25 0.25 0.25\n", ""), "line 18: motif M2 is cut short"),
    "three numbers": (MEME.replace(" 0 0 1 0", " 0 0 1"), "line 13: not probabilities"),
    "sum": (MEME.replace(" 0 0 1 0", " 0 0 0.9 0"), "line 13: not probabilities"),
    "negative": (MEME.replace(" 0 0 1 0", " -1 0 2 0"), "line 13: not numbers"),
    "not a number": (MEME.replace(" 0 0 1 0", " nan 0 1 0"), "line 13: not numbers"),
    "letters": (MEME.replace(" 0 0 1 0", " 0 0 x 0"), "line 13: not numbers"),
    "sites": (MEME.replace("nsites= 24", "nsites= many"), "line 11: not numbers"),
    "given twice": (MEME.replace("MOTIF M2", "MOTIF M1"), "motif given twice"),
    "JASPAR base missing": (JASPAR.replace("C  [16  0 ]\n", ""), "line 3: bases in the wrong order"),
    "JASPAR short row": (
        JASPAR.replace("[ 0  1 ]", "[ 0 ]"),
        "line 5: motif MA1 has rows of different width",
    ),
    "JASPAR no counts": (JASPAR.replace("[ 4 19 ]", "[ 4 0 ]").replace("0  1 ]", "0  0 ]"), "without counts"),
    "JASPAR cut": (JASPAR[:-4], "line 6: motif MA2 is cut short"),
    "JASPAR no id": (JASPAR.replace(">MA2", ">"), "line 6: not a motif header"),
    "CIS-BP order": (CISBP.replace("A\tC", "C\tA"), "line 1: bases in the wrong order"),
    "CIS-BP gap": (CISBP.replace("2\t1", "3\t1"), "line 3: a position is missing"),
    "CIS-BP empty": ("Pos\tA\tC\tG\tT\n", "line 1: an empty matrix"),
    "CIS-BP head": ("Motif\tM1\nPos A C G T\n", "line 2: neither a header line nor a table"),
    "CIS-BP id": (CISBP_ALL.replace("M2292_1.02", "a b"), "line 6: not a motif"),
    "CIS-BP no id": (CISBP_ALL.replace("M2292_1.02", ""), "line 6: not a motif"),
    "CIS-BP long position": (CISBP + "9" * 5000 + "\t1\t0\t0\t0\n", "line 4: a position is missing"),
    "JASPAR letters": (JASPAR.replace("A  [", "U  ["), "line 2: bases in the wrong order"),
    "JASPAR no matrix": (">M1\n>M2\n", "line 1: motif M1 is cut short"),
    "JASPAR three labelled": (">M1\nA 1\nC 1\nG 1\n", "line 4: motif M1 is cut short"),
    "JASPAR words": (">M1\nnonsense\n", "line 2: not numbers"),
    "TRANSFAC order": ("ID M1\nP0 A G C T\n01 1 1 1 1\n", "line 2: bases in the wrong order"),
    "TRANSFAC gap": ("ID M1\nP0 A C G T\n02 1 1 1 1\n", "line 3: a position is missing"),
    "TRANSFAC three": ("ID M1\nP0 A C G T\n01 1 1 1\n", "line 3: not four counts"),
    "TRANSFAC none": (
        "ID M1\nP0 A C G T\n//\n",
        "line 2: motif M1 has a position without counts, or no position",
    ),
    "TRANSFAC zeros": ("ID M1\nP0 A C G T\n01 0 0 0 0\n", "motif M1 has a position without counts"),
    "TRANSFAC no id": ("P0 A C G T\n01 1 1 1 1\n", "line 2: not a motif"),
    "MEME matrix alone": (MEME.replace("MOTIF M1 first one\n", ""), "line 10: a matrix without a motif"),
    "CIS-BP cut": (CISBP + "3\t0.1\t0.2", "line 4: not probabilities"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_read_motifs__bad_file(read, text, message):
    with pytest.raises(InputError) as caught:
        read(text)
    assert message in str(caught.value)
    assert "motifs.txt" in str(caught.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\xff\xfe\x00M", "line 1: not a line of UTF-8 text"),
        (MEME.encode().replace(b"first", b"\xe9"), "line 10: not a line of UTF-8 text"),
        (MEME.encode().replace(b"first", b"\0"), "line 10: not a line of UTF-8 text"),
        (MEME.encode("utf-16"), "line 1: not a line of UTF-8 text"),
        (MEME.encode() + b"x" * (1 << 21), "line 20: not a line of UTF-8 text"),
        (b"\x1f\x8b\x08\x00 half", "cannot be read"),
        (gzip.compress(MEME.encode())[:-20], "cannot be read"),
        (gzip.compress(MEME.encode())[:20] + b"\xff" * 99, "cannot be read"),
    ],
)
def test_read_motifs__no_text(tmp_path, body, message):
    path = tmp_path / "motifs.meme"
    path.write_bytes(body)
    with pytest.raises(InputError, match=message):
        read_motifs(path)


def matrix(*rows: str) -> str:
    return "MEME version 4\nMOTIF M1\nletter-probability matrix: alength= 4\n" + "".join(
        f"{r}\n" for r in rows
    )


@pytest.mark.parametrize(
    "row", ["0.33 0.33 0.33 0.00", "0.34 0.34 0.33 0.00", "0.98 0.01 0.0 0.0", "1.01 0 0 0"]
)
def test_read_motifs__probabilities_that_sum_to_1_but_for_rounding(read, row):
    (motif,) = read(matrix(row))
    numbers = np.array(row.split(), dtype=float)
    assert motif.ppm[0].tolist() == (numbers / numbers.sum()).tolist()


@pytest.mark.parametrize("row", ["0.98 0 0 0", "1.02 0 0 0", "0.9899 0 0 0", "1.0101 0 0 0", "0 0 0 0"])
def test_read_motifs__probabilities_that_do_not_sum_to_1(read, row):
    with pytest.raises(InputError, match="line 4: not probabilities"):
        read(matrix(row))


@pytest.mark.parametrize(
    "number", ["-0.1", "nan", "inf", "1e400", "9" * 5000, "1_0", "\u0661", "0x1", "1e13", "1.2.3", "--1"]
)
@pytest.mark.parametrize("form", ["{n} 0 1 0", "0 1 0 {n}"])
def test_read_motifs__words_that_are_no_numbers(read, number, form):
    for text in (
        matrix("0 0 0 1", form.format(n=number)),
        f">M1\n{form.format(n=number)}\n" + "1 1 1 1\n" * 2,
        CISBP + "3\t" + form.format(n=number).replace(" ", "\t") + "\n",
        f"ID M1\nP0 A C G T\n01 {form.format(n=number)}\n//\n",
    ):
        with pytest.raises(InputError, match=r"line [0-9]+: "):
            read(text)


def test_read_motifs__weights_are_told_from_counts(read):
    with pytest.raises(InputError, match="not log-odds weights"):
        read(">M1\n0.5 -1.2 0.3 0\n")


STREME = f"""\
{"*" * 80}
STREME - Sensitive, Thorough, Rapid, Enriched Motif Elicitation
{"*" * 80}
MEME version 5.5.5 (Release date: x)
For further information

ALPHABET= ACGT

Background letter frequencies
A 0.3 C 0.2 G 0.2 T 0.3

MOTIF 1-AC STREME-1
letter-probability matrix: alength= 4 w= 2 nsites= 100 E= 1.2e-002
0.9 0.05 0.03 0.02
0.1 0.7 0.1 0.1

{"*" * 80}
Stopping reason: no more motifs
0.1 0.2
"""

DREME = """\
# DREME 5.0.5

MEME version 5.0.5 (Release date: x)

ALPHABET= ACGT

strands: + -

Background letter frequencies (from dataset):
A 0.3 C 0.2 G 0.2 T 0.3

MOTIF AC DREME-1

#             Word    RC Word        Pos        Neg    P-value    E-value
# BEST      ACGTA      TACGT        212         61   1.1e-033   2.9e-029

letter-probability matrix: alength= 4 w= 2 nsites= 100 E= 1.2e-002
0.9 0.05 0.03 0.02
0.1 0.7 0.1 0.1


Time 1.00 secs.
"""

MEME_TEXT = f"""\
{"*" * 80}
MEME - Motif discovery tool
{"*" * 80}
MEME version 5.5.5 (Release date: x)

ALPHABET= ACGT

Letter frequencies in dataset:
A 0.25 C 0.25 G 0.25 T 0.25
Background letter frequencies (from file dataset with add-one prior applied):
A 0.3 C 0.2 G 0.2 T 0.3
{"*" * 80}
MOTIF AC MEME-1	width =   2  sites =  100  llr = 9
{"*" * 80}
	Motif AC MEME-1 position-specific scoring matrix
log-odds matrix: alength= 4 w= 2 n= 99 bayes= 3 E= 1.2e-002
   184   -200   -300   -350
  -130    149   -130   -130
	Motif AC MEME-1 position-specific probability matrix
letter-probability matrix: alength= 4 w= 2 nsites= 100 E= 1.2e-002
0.9 0.05 0.03 0.02
0.1 0.7 0.1 0.1
	Motif AC MEME-1 regular expression
AC
Time  1.00 secs.
"""


@pytest.mark.parametrize("text", [STREME, DREME, MEME_TEXT], ids=["STREME", "DREME", "MEME"])
def test_read_motifs__text_of_programs(read, text):
    (motif,) = read(text)
    assert motif.id in ("1-AC", "AC")
    assert motif.background.tolist() == [0.3, 0.2, 0.2, 0.3]
    assert motif.n_sites == 100
    np.testing.assert_allclose(motif.ppm, [[0.9, 0.05, 0.03, 0.02], [0.1, 0.7, 0.1, 0.1]])


@pytest.mark.parametrize("text", [STREME, DREME, MEME_TEXT], ids=["STREME", "DREME", "MEME"])
def test_read_motifs__text_of_programs_without_a_matrix(read, text):
    with pytest.raises(InputError, match="no matrix below MOTIF"):
        read(text.replace("letter-probability", "another"))
    with pytest.raises(InputError, match="a matrix without a motif"):
        read(text.replace("MOTIF", "Motif"))


def test_read_motifs__rna_remedy_helps(tmp_path):
    text = MEME.replace("ALPHABET= ACGT", "ALPHABET= ACGU").replace("G 0.2 T 0.3", "G 0.2 U 0.3")
    (tmp_path / "OLD.meme").write_text(text)
    with pytest.raises(InputError, match="not DNA") as error:
        read_motifs(tmp_path / "OLD.meme")
    subprocess.run(["bash", "-c", error.value.remedy.partition(", to read")[0]], cwd=tmp_path, check=True)
    assert [motif.id for motif in read_motifs(tmp_path / "NEW.meme")] == ["M1", "M2"]


FOUR_BY_FOUR = "9 1 0 0\n8 2 0 0\n0 0 1 9\n1 0 8 1\n"


def test_read_motifs__four_by_four_by_its_suffix_or_argument(read, tmp_path):
    with pytest.raises(InputError, match="line 1: motif M1 is 4 lines of 4 numbers") as error:
        read(f">M1\n{FOUR_BY_FOUR}", "x.txt")
    for name in ("x.pcm", "x.jaspar"):
        assert name in error.value.remedy
    (positions,) = read(f">M1\n{FOUR_BY_FOUR}", "x.pcm")
    (bases,) = read(f">M1\n{FOUR_BY_FOUR}", "x.jaspar")
    assert (positions.consensus, positions.n_sites) == ("AATG", 10)
    assert (bases.consensus, bases.n_sites) == ("ACTG", 18)
    path = tmp_path / "x.txt"
    assert same(read_motifs(path, rows="positions")[0], positions)
    assert same(read_motifs(path, rows="bases")[0], bases)


@pytest.mark.parametrize(
    ("other", "consensus"),
    [
        pytest.param("9 0 0 0\n" * 5, "AATG", id="five positions"),
        pytest.param("9 1 1 1 1\n" * 4, "ACTG", id="five positions of bases"),
    ],
)
def test_read_motifs__four_by_four_by_the_others_of_its_file(read, other, consensus):
    for text in (f">M1\n{FOUR_BY_FOUR}>M2\n{other}", f">M2\n{other}>M1\n{FOUR_BY_FOUR}"):
        assert {motif.id: motif.consensus for motif in read(text)}["M1"] == consensus


def test_read_motifs__line_cut_off_a_matrix_of_four(read):
    """Three lines of four numbers would be three positions, if the file's others were not bases."""
    with pytest.raises(InputError, match="line 6: motif M2 is cut short"):
        read(">M1\n" + "9 1 1 1 1\n" * 4 + ">M2\n" + "9 0 0 0\n" * 3)


@pytest.mark.parametrize("form", ["{b} [ {n} ]", "{b}[{n}]", "{b}: {n}", "{b}| {n}", "{b}\t{n}"])
def test_read_motifs__four_by_four_with_letters(read, form):
    rows = (form.format(b=b, n=n) for b, n in zip("ACGT", FOUR_BY_FOUR.splitlines(), strict=True))
    (motif,) = read(">M1\n" + "\n".join(rows) + "\n")
    assert motif.consensus == "ACTG"


def test_read_motifs__homer(read):
    header = ">AATG\tOct4(POU)/mES ChIP/Homer\t6.1\t-19\t0"
    (motif,) = read(f"{header}\n" + "0.97 0.01 0.01 0.01\n" * 4)
    assert (motif.id, motif.n_sites, motif.consensus) == ("Oct4(POU)/mES_ChIP/Homer", None, "AAAA")


TRANSFAC = """\
AC  M01001
XX
ID  AHR
NA  Ahr
XX
P0      A      C      G      T
01     41     18     56     39      N
02     11     12     35     96      T
XX
//
ID  SECOND
P0  A  C  G  T
1  1  0  0  0
//
"""


@pytest.mark.parametrize("text", [TRANSFAC, TRANSFAC.replace("  ", "\t"), "VV  2024\nXX\n//\n" + TRANSFAC])
def test_read_motifs__transfac_equals_biopython(read, tmp_path, text):
    first, second = read(text)
    assert (first.id, first.name, first.n_sites) == ("M01001", "Ahr", 154)
    assert (second.id, second.consensus) == ("SECOND", "A")
    (tmp_path / "x").write_text(TRANSFAC)
    with (tmp_path / "x").open() as file:
        theirs = bio_motifs.parse(file, "TRANSFAC", strict=False)
    expected = theirs[0].counts.normalize()
    np.testing.assert_allclose(first.ppm, np.array([expected[base] for base in "ACGT"]).T)


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("<?xml version='1.0'?>\n", "MEME as XML", "text output"),
        ("Protein: Alx3\tSeed: AATTA\n\nA:\t0.1\t0.2\nC:\t0.1\n", "UniPROBE", "uniprobe2meme"),
    ],
)
def test_read_motifs__formats_that_are_named(read, text, message, remedy):
    with pytest.raises(InputError, match=message) as error:
        read(text)
    assert remedy in error.value.remedy


@pytest.mark.shared
def test_read_motifs__cases(shared_data):
    cases = shared_data.parent / "cases" / "motif_formats"
    for name in ("streme.txt", "dreme.txt"):
        assert [motif.consensus for motif in read_motifs(cases / name)] == ["ACGTA"]
    assert [motif.consensus for motif in read_motifs(cases / "transfac.txt")] == ["GT"]


def test_read_motifs__no_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_motifs(tmp_path / "absent.meme")


@given(st.lists(ppms(), min_size=1, max_size=3), st.none() | st.integers(1, 10**6), ppms(1))
def test_write_motifs__meme_comes_back_to_the_last_bit(tmp_path_factory, ppm_list, n_sites, background):
    path = tmp_path_factory.mktemp("meme") / "motifs.meme"
    motifs = [
        Motif(f"M{i}", ppm, f"name {i}", n_sites, background[0], "http://example.org")
        for i, ppm in enumerate(ppm_list)
    ]
    write_motifs(path, motifs)
    assert all(same(a, b) for a, b in zip(read_motifs(path), motifs, strict=True))


@given(st.lists(ppms(), min_size=1, max_size=3))
def test_write_motifs__cisbp_comes_back_to_the_last_bit(tmp_path_factory, ppm_list):
    path = tmp_path_factory.mktemp("cisbp") / "motifs.txt"
    motifs = [Motif(f"M{i}", ppm, f"name {i}") for i, ppm in enumerate(ppm_list)]
    write_motifs(path, motifs)
    assert all(same(a, b) for a, b in zip(read_motifs(path), motifs, strict=True))


def test_write_motifs__jaspar_counts_come_back(read, tmp_path):
    path = tmp_path / "again.jaspar"
    write_motifs(path, read(JASPAR))
    lines = [" ".join(line.split()) for line in path.read_text().splitlines()]
    assert lines[:5] == [">MA1 Arnt", "A [ 4 19 ]", "C [ 16 0 ]", "G [ 0 1 ]", "T [ 0 0 ]"]
    assert all(same(a, b) for a, b in zip(read_motifs(path), read(JASPAR), strict=True))


@pytest.mark.parametrize(("suffix", "their_format"), [(".meme", "minimal"), (".jaspar", "jaspar")])
def test_write_motifs__biopython_reads_them(read, tmp_path, suffix, their_format):
    ours = read(MEME)
    write_motifs(tmp_path / f"x{suffix}", ours)
    with (tmp_path / f"x{suffix}").open() as file:
        theirs = bio_motifs.parse(file, their_format)
    for our, their in zip(ours, theirs, strict=True):
        matrix = their.counts.normalize()
        np.testing.assert_allclose(np.array([matrix[base] for base in "ACGT"]).T, our.ppm, atol=1e-5)


def test_write_motifs__unknown_suffix(tmp_path):
    with pytest.raises(InputError, match="unknown motif format"):
        write_motifs(tmp_path / "x.transfac", [])


def test_write_motifs__two_backgrounds(tmp_path):
    ppm = np.full((1, 4), 0.25)
    motifs = [Motif("a", ppm), Motif("b", ppm, background=np.array([0.3, 0.2, 0.2, 0.3]))]
    with pytest.raises(InputError, match="motifs with different backgrounds"):
        write_motifs(tmp_path / "x.meme", motifs)


@pytest.mark.shared
def test_read_motifs__cisbp_database(shared_data, tmp_path):
    motifs = read_motifs(shared_data / "motifs" / "CISBP_Homo_sapiens_basset.meme")
    assert len(motifs) == 734
    by_id = {motif.id: motif for motif in motifs}
    assert [by_id[i].symbol for i in THESIS_TFS.values()] == list(THESIS_TFS)
    write_motifs(tmp_path / "again.meme", motifs)
    assert all(same(a, b) for a, b in zip(read_motifs(tmp_path / "again.meme"), motifs, strict=True))


@pytest.mark.shared
def test_read_motifs__jaspar_database(shared_data):
    motifs = read_motifs(shared_data / "motifs" / "JASPAR2020_CORE_vertebrates_nr.meme")
    assert len(motifs) == 746
    assert {"HHEX", "ZHX1"} & {motif.name for motif in motifs} == set()
    assert next(m for m in motifs if m.id == "MA0854.1").url == "http://jaspar.genereg.net/matrix/MA0854.1"
