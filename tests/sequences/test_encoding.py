from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chromacc_data.errors import InputError
from chromacc_data.sequences import encoding

CODES = hnp.arrays(np.uint8, hnp.array_shapes(max_dims=3, max_side=9), elements=st.integers(0, 4))


def test_encode__case_and_iupac():
    assert encoding.encode("AaCcGgTtUuNnRYSWKMBDHVrv").tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 3, 3] + [4] * 14


def test_encode__every_other_byte_is_an_error():
    for byte in range(256):
        letter = bytes([byte])
        if letter.upper() in b"ACGTURYSWKMBDHVN" and letter:
            encoding.encode(letter)
        else:
            with pytest.raises(InputError, match="the sequence"):
                encoding.encode(b"ACGT" + letter)


@pytest.mark.parametrize(
    ("sequence", "problem", "found"),
    [
        ("MEFK", "looks like a protein", "'E' 1 times, 'F' 1 times"),
        ("AC>chr2", "a line end is missing before a header", "'2' 1 times, '>' 1 times"),
        ("AC 12 GT", "whitespace or digits", "' ' 2 times, '1' 1 times, '2' 1 times"),
        ("AC--*X", "letters that are no nucleotides", "'-' 2 times, '*' 1 times, 'X' 1 times"),
        ("ACé", "letters that are no nucleotides", "byte 0xa9 1 times, byte 0xc3 1 times"),
    ],
)
def test_encode__names_and_counts_foreign_letters(sequence, problem, found):
    with pytest.raises(InputError, match=problem) as error:
        encoding.encode(sequence)
    assert error.value.found == found


@given(st.text(alphabet="ACGTN"))
def test_decode__undoes_encode(sequence: str):
    assert encoding.decode(encoding.encode(sequence)) == sequence
    assert np.array_equal(encoding.encode(sequence.encode()), encoding.encode(sequence))


@given(CODES)
def test_one_hot__round_trip_and_row_sums(codes: np.ndarray):
    hot = encoding.one_hot(codes)
    assert hot.shape == (*codes.shape, 4)
    assert hot.dtype == np.uint8
    assert np.array_equal(hot.sum(-1), codes != encoding.N_CODE)
    assert np.array_equal(encoding.codes_from_one_hot(hot), codes)


@given(CODES)
def test_reverse_complement__involution_and_same_in_both_forms(codes: np.ndarray):
    reverse = encoding.reverse_complement(codes)
    assert np.array_equal(encoding.reverse_complement(reverse), codes)
    assert np.array_equal(
        encoding.one_hot(reverse), encoding.reverse_complement_one_hot(encoding.one_hot(codes))
    )


def test_reverse_complement__by_hand():
    assert encoding.decode(encoding.reverse_complement(encoding.encode("GATTACAN"))) == "NTGTAATC"


@pytest.mark.parametrize("row", [[1, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 255]])
def test_codes_from_one_hot__not_one_hot(row: list[int]):
    hot = np.zeros((2, 3, 4), np.uint8)
    hot[1, 2] = row
    with pytest.raises(ValueError, match=r"row \[1, 2\] is neither one-hot nor all zeros"):
        encoding.codes_from_one_hot(hot)


def test_one_hot__float():
    assert encoding.one_hot(encoding.encode("TN"), dtype=np.float32).tolist() == [[0, 0, 0, 1], [0, 0, 0, 0]]
