from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data.sequences.encoding import decode, encode, one_hot, reverse_complement
from chromacc_models.networks import layers
from chromacc_models.networks.layers import (
    BlockConv1D,
    FactorizationMachine,
    GlobalPooling,
    KmerBlocks,
    OneHot,
    ReverseComplement,
    SequenceConv1D,
)
from chromacc_models.networks.options import BLOCK_WEIGHTS, STRANDS

RNG = np.random.default_rng(0)


def dna(n_windows: int = 3, length: int = 30, n_letters: int = 5) -> np.ndarray:
    return RNG.integers(0, n_letters, (n_windows, length), dtype=np.uint8)


def as_input(codes: np.ndarray) -> np.ndarray:
    return one_hot(codes, dtype=np.float32)


def numbers(tensor: object) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


def set_weights(layer: keras.layers.Layer, rng: np.random.Generator = RNG) -> keras.layers.Layer:
    layer.set_weights([rng.normal(size=w.shape).astype(np.float32) for w in layer.get_weights()])
    return layer


# --- DNA


def test_one_hot__is_that_of_the_store():
    codes = dna()
    np.testing.assert_array_equal(numbers(OneHot()(codes)), as_input(codes))


def test_reverse_complement__is_that_of_the_codes():
    codes = dna()
    np.testing.assert_array_equal(
        numbers(ReverseComplement()(as_input(codes))), as_input(reverse_complement(codes))
    )


@pytest.mark.parametrize("n", [1, 2, 3])
def test_reverse_complement_blocks__by_letters(n: int):
    words = [decode(np.array(digits, dtype=np.uint8)) for digits in np.ndindex(*(4,) * n)]
    twins = [decode(reverse_complement(encode(word))) for word in words]
    assert [words[i] for i in layers.reverse_complement_blocks(n)] == twins


# --- k-mer blocks


def thesis_blocks(codes: np.ndarray, n: int) -> np.ndarray:
    """Rows 1 and 2 of the motif building network as Table 3.1 has them: convolution, exact threshold."""
    kernels = np.stack([np.eye(4)[list(digits)] for digits in np.ndindex(*(4,) * n)])
    windows = np.lib.stride_tricks.sliding_window_view(as_input(codes), n, axis=1)  # window, place, base, n
    return np.einsum("wpbn,knb->wpk", windows, kernels) >= n


@pytest.mark.parametrize("n", [1, 2, 4])
def test_kmer_blocks__index_of_the_one_kernel_that_is_at_its_maximum(n: int):
    codes = dna()
    expected = thesis_blocks(codes, n)
    found = numbers(KmerBlocks(n)(as_input(codes)))
    assert found.dtype == np.int32
    assert expected.any()
    assert not expected.any(axis=2).all()  # some places hold an N
    np.testing.assert_array_equal(found[..., None] == np.arange(4**n), expected)
    np.testing.assert_array_equal(found == 4**n, ~expected.any(axis=2))


def test_kmer_blocks__a_column_that_is_not_one_hot_matches_nothing():
    inputs = as_input(encode("ACGT")[None])
    inputs[0, 1] = 0.25
    assert numbers(KmerBlocks(2)(inputs)).tolist() == [[16, 16, 11]]  # GT


@pytest.mark.parametrize("tables", BLOCK_WEIGHTS)
@pytest.mark.parametrize("strands", STRANDS)
def test_block_conv__equals_the_dilated_convolution_of_the_one_hot_form(strands: str, tables: str):
    codes, n, width, n_filters = dna(length=25), 2, 3, 5
    layer = BlockConv1D(n_filters, width, n, strands=strands, tables=tables)
    found = numbers(set_weights(_built(layer, codes, n))(KmerBlocks(n)(as_input(codes))))
    kernel, bias = numbers(layer.kernel), layer.get_weights()[-1]

    def scan(codes: np.ndarray) -> np.ndarray:
        blocks = thesis_blocks(codes, n).astype(np.float64)
        n_places = blocks.shape[1] - (width - 1) * n
        return bias + sum(blocks[:, t * n : t * n + n_places] @ kernel[t] for t in range(width))

    expected = scan(codes)
    if strands == "both":
        expected = np.stack([expected, scan(reverse_complement(codes))[:, ::-1]], axis=2)
    assert found.shape == layer.compute_output_spec(KmerBlocks(n).compute_output_spec(as_input(codes))).shape
    np.testing.assert_allclose(found, expected, atol=1e-5)


def _built(layer: BlockConv1D, codes: np.ndarray, n: int) -> BlockConv1D:
    layer.build((None, codes.shape[1] - n + 1))
    return layer


def test_block_conv__additive_tables_without_deviations_are_a_convolution_of_bases():
    codes, n, width = dna(length=30, n_letters=4), 3, 2  # an N takes its whole block out
    layer = _built(BlockConv1D(4, width, n, tables="additive", use_bias=False), codes, n)
    plain = SequenceConv1D(4, width * n, use_bias=False)
    plain.build((None, codes.shape[1], 4))
    plain.set_weights([layer.base_weights])
    found = numbers(layer(KmerBlocks(n)(as_input(codes))))
    np.testing.assert_allclose(found, numbers(plain(as_input(codes))), atol=1e-5)


def test_block_conv__a_deviation_is_added_to_its_block_alone():
    layer = _built(BlockConv1D(2, 3, 2, tables="additive"), dna(length=25), 2)
    before = numbers(layer.kernel)
    layer.block_weights.assign(np.eye(3, 16, 5)[..., None] * [0, 0.5])
    changed = numbers(layer.kernel) - before
    assert np.argwhere(changed > 0.1).tolist() == [[0, 5, 1], [1, 6, 1], [2, 7, 1]]
    np.testing.assert_allclose(changed[changed > 0.1], 0.5, rtol=1e-6)


def test_block_conv__assigned_kernel_is_the_kernel():
    kernel = np.random.default_rng(1).normal(size=(3, 16, 2)).astype(np.float32)
    for tables in BLOCK_WEIGHTS:
        layer = _built(BlockConv1D(2, 3, 2, tables=tables), dna(length=25), 2)
        layer.assign_kernel(kernel)
        np.testing.assert_array_equal(numbers(layer.kernel), kernel)


# --- scans of the sequence


@pytest.mark.parametrize("use_bias", [True, False])
def test_sequence_conv__both_strands_equal_scans_of_both_sequences(use_bias: bool):
    codes, width = dna(), 7
    layer = SequenceConv1D(4, width, strands="both", use_bias=use_bias, activation="relu")
    layer.build((None, codes.shape[1], 4))
    set_weights(layer)
    kernel, bias = (*layer.get_weights(), np.zeros(4))[:2]

    def scan(codes: np.ndarray) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(as_input(codes), width, axis=1)
        return np.maximum(np.einsum("wpbi,ibf->wpf", windows, kernel.astype(np.float64)) + bias, 0)

    expected = np.stack([scan(codes), scan(reverse_complement(codes))[:, ::-1]], axis=2)
    np.testing.assert_allclose(numbers(layer(as_input(codes))), expected, atol=1e-5)
    assert layer.compute_output_shape(as_input(codes).shape) == expected.shape


def test_sequence_conv__forward_is_keras_conv1d():
    inputs = as_input(dna())
    mine, theirs = SequenceConv1D(4, 7), keras.layers.Conv1D(4, 7)
    theirs(inputs)
    mine(inputs)
    mine.set_weights(theirs.get_weights())
    np.testing.assert_array_equal(numbers(mine(inputs)), numbers(theirs(inputs)))
    assert mine.compute_output_shape(inputs.shape) == theirs.compute_output_shape(inputs.shape)


# --- pooling


@pytest.mark.parametrize("shape", [(2, 6, 3), (2, 6, 2, 3)])
@pytest.mark.parametrize(
    ("mode", "oracle"),
    [
        ("average", lambda x: x.mean(axis=1)),
        ("max", lambda x: x.max(axis=1)),
        ("logsumexp", lambda x: np.log(np.exp(x).mean(axis=1))),
    ],
)
def test_global_pooling__over_all_places_of_both_strands(shape: tuple, mode: str, oracle):
    inputs = RNG.normal(size=shape).astype(np.float32)
    found = numbers(GlobalPooling(mode, scale=3)(inputs))
    np.testing.assert_allclose(found, 3 * oracle(inputs.reshape(2, -1, 3).astype(np.float64)), rtol=1e-5)
    assert GlobalPooling(mode).compute_output_shape(shape) == (2, 3)


def test_global_pooling__logsumexp_of_large_activations():
    inputs = np.full((1, 4, 1), 1000.0, dtype=np.float32)
    assert numbers(GlobalPooling("logsumexp")(inputs)).item() == pytest.approx(1000)


# --- factorization machine


def equation_2_2(x: np.ndarray, bias: float, kernel: np.ndarray, vectors: np.ndarray) -> float:
    """Factorization machine of one window and one output by its definition, in float64."""
    pairs = sum(
        float(vectors[i] @ vectors[j]) * x[i] * x[j] for i in range(len(x)) for j in range(i + 1, len(x))
    )
    return bias + float(kernel @ x) + pairs


@settings(max_examples=25, deadline=None)
@given(
    n_inputs=st.integers(1, 6),
    units=st.integers(1, 3),
    k=st.integers(1, 4),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    seed=st.integers(0, 2**16),
)
def test_factorization_machine__equals_equation_2_2(n_inputs, units, k, scale, seed):
    rng = np.random.default_rng(seed)
    layer = FactorizationMachine(units, k)
    layer.build((None, n_inputs))
    set_weights(layer, rng)
    x = (scale * rng.normal(size=(2, n_inputs))).astype(np.float32)
    found = numbers(layer(x))
    bias, kernel, vectors = (w.astype(np.float64) for w in layer.get_weights())
    x = x.astype(np.float64)
    expected = np.array(
        [[equation_2_2(row, bias[u], kernel[:, u], vectors[:, u]) for u in range(units)] for row in x]
    )
    # The bound that the docstring gives, with the linear part's own rounding.
    size = (np.einsum("wi,iuk->wuk", np.abs(x), np.abs(vectors)) ** 2).sum(axis=2)
    bound = np.finfo(np.float32).eps * (8 * size + 8 * (np.abs(x) @ np.abs(kernel) + np.abs(bias)))
    assert (np.abs(found - expected) <= bound).all()


def test_factorization_machine__one_input_has_no_interaction():
    layer = FactorizationMachine(1, 3, vectors_scale=10)
    layer.build((None, 2))
    kernel = layer.get_weights()[1]
    x = np.array([[2.0, 0.0]], dtype=np.float32)
    assert numbers(layer(x)).item() == pytest.approx(2 * kernel[0, 0], abs=1e-3)


def test_factorization_machine__outputs_are_independent():
    layer = FactorizationMachine(2, 3)
    layer.build((None, 4))
    set_weights(layer)
    x = RNG.normal(size=(1, 4)).astype(np.float32)
    before = numbers(layer(x))
    bias, kernel, vectors = layer.get_weights()
    vectors[:, 1] += 1
    layer.set_weights([bias, kernel, vectors])
    after = numbers(layer(x))
    assert before[0, 0] == after[0, 0]
    assert before[0, 1] != after[0, 1]


def test_factorization_machine__half_precision_is_computed_in_single():
    layer = FactorizationMachine(1, 1, dtype="float16")
    layer.build((None, 2))
    layer.set_weights([np.zeros(1), np.zeros((2, 1)), np.ones((2, 1, 1))])
    # In float16, (300 + 1)^2 is infinite.
    assert numbers(layer(np.array([[300.0, 1.0]], dtype=np.float16))).item() == 300


def test_factorization_machine__initial_vectors_by_seed():
    def first(seed: int) -> np.ndarray:
        layer = FactorizationMachine(2, 50, vectors_scale=0.3, seed=seed)
        layer.build((None, 40))
        return layer.get_weights()[2]

    np.testing.assert_array_equal(first(1), first(1))
    assert not np.array_equal(first(1), first(2))
    assert first(1).std() == pytest.approx(0.3, rel=0.05)


# --- all of them


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SequenceConv1D(2, 3, strands="reverse"), "strands is 'reverse'"),
        (lambda: GlobalPooling("sum"), "mode is 'sum'"),
        (lambda: KmerBlocks(0), "n is 0"),
        (lambda: FactorizationMachine(1, 0), "k is 0"),
        (lambda: BlockConv1D(1, 0, 2), "width is 0"),
        (lambda: BlockConv1D(1, 2, 2, tables="dense"), "tables is 'dense'"),
    ],
)
def test_layers__invalid_option(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()


def test_layers__saved_and_loaded_in_safe_mode(tmp_path: Path):
    sequence = keras.Input((30, 4))
    conv = SequenceConv1D(3, 5, strands="both", kernel_regularizer="l2")(ReverseComplement()(sequence))
    blocks = BlockConv1D(
        4, 2, 3, strands="both", tables="additive", kernel_regularizer="l2", deviation_regularizer="l1"
    )(KmerBlocks(3)(sequence))
    pooled = [GlobalPooling("max", scale=2)(conv), GlobalPooling("logsumexp")(blocks)]
    outputs = FactorizationMachine(2, 3, vectors_regularizer="l2", seed=1)(
        keras.ops.concatenate(pooled, axis=1)
    )
    codes = keras.Input((30,), dtype="uint8")
    model = keras.Model(codes, keras.Model(sequence, outputs)(OneHot()(codes)))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    inputs = dna()
    np.testing.assert_array_equal(numbers(loaded(inputs)), numbers(model(inputs)))
