from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import one_hot, reverse_complement
from chromacc_models.networks import architectures
from chromacc_models.networks.architectures import NETWORKS, logits_model
from chromacc_models.networks.options import NETWORK_NAMES

LENGTH = 200
#: Options that make each network small.
SMALL = {
    "baseline": {"n_filters": 6, "filter_width": 8},
    "factorization_machine": {"n_filters": 6, "filter_width": 8, "k": 3},
    "motif_builder": {"n_filters": 6, "filter_blocks": 3, "block_length": 2},
    "basset": {"size": 0.02},
}
RNG = np.random.default_rng(0)
CODES = RNG.integers(0, 5, (16, LENGTH), dtype=np.uint8)
LABELS = RNG.integers(0, 2, (16, 3)).astype(np.float32)


def build(network: str, **options: object) -> keras.Model:
    return NETWORKS[network](LENGTH, 3, **{**SMALL[network], **options})


def predict(model: keras.Model, codes: np.ndarray = CODES) -> np.ndarray:
    return model(one_hot(codes, dtype=np.float32), training=False).numpy()


@pytest.mark.parametrize("strands", ["forward", "both"])
@pytest.mark.parametrize("network", NETWORKS)
def test_networks__build_learn_save_and_predict_the_same(network: str, strands: str, tmp_path: Path):
    model = build(network, strands=strands)
    assert not model.compiled
    assert model.input_shape == (None, LENGTH, 4)
    assert model.output_shape == (None, 3)
    before = predict(model)
    assert before.dtype == np.float32
    assert ((before > 0) & (before < 1)).all()

    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy")
    x = one_hot(CODES, dtype=np.float32)
    losses = [model.train_on_batch(x, LABELS) for _ in range(25)]
    assert losses[-1] < 0.8 * losses[0]

    after = predict(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(predict(loaded), after)


@pytest.mark.parametrize("network", NETWORKS)
def test_networks__both_strands_predict_the_same_for_the_reverse_complement(network: str):
    model = build(network, strands="both")
    # Places are summed in another order.
    np.testing.assert_allclose(predict(model), predict(model, reverse_complement(CODES)), atol=2e-5)
    forward = build(network, strands="forward")
    assert not np.allclose(predict(forward), predict(forward, reverse_complement(CODES)), atol=1e-3)
    assert forward.count_params() == model.count_params()


@pytest.mark.parametrize("network", NETWORKS)
def test_networks__same_weights_by_seed(network: str):
    np.testing.assert_array_equal(predict(build(network, seed=1)), predict(build(network, seed=1)))
    assert not np.array_equal(predict(build(network, seed=1)), predict(build(network, seed=2)))


@pytest.mark.parametrize("network", NETWORKS)
def test_logits_model__shares_weights_and_ends_before_the_sigmoid(network: str):
    model = build(network)
    logits = logits_model(model)(one_hot(CODES, dtype=np.float32), training=False).numpy()
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), predict(model), atol=1e-6)


@pytest.mark.parametrize("network", ["baseline", "factorization_machine", "motif_builder"])
def test_networks__share_their_layer_names(network: str):
    names = [layer.name for layer in build(network).layers]
    blocks = ["blocks"] if network == "motif_builder" else []
    assert names == ["sequence", *blocks, "filters", "activation", "pool", "head", "accessibility"]


@pytest.mark.parametrize("network", NETWORKS)
def test_networks__scan_the_middle_of_the_window(network: str):
    length = 171 if network == "basset" else 91
    start = (CODES.shape[1] - length) // 2
    middle, short = build(network, scan_length=length), NETWORKS[network](length, 3, **SMALL[network])
    short.set_weights(middle.get_weights())
    np.testing.assert_array_equal(predict(middle), predict(short, CODES[:, start : start + length]))
    assert middle.input_shape == build(network).input_shape
    for wrong in (5, 1000):
        with pytest.raises(ValueError, match=rf"scan_length is {wrong}; it must be from (6|8|168) to \d+"):
            build(network, scan_length=wrong)


@pytest.mark.parametrize("network", NETWORKS)
def test_networks__scan_beyond_the_window(network: str):
    beyond, long = build(network, scan_length=209), NETWORKS[network](209, 3, **SMALL[network])
    long.set_weights(beyond.get_weights())
    padded = np.pad(CODES, ((0, 0), (4, 5)), constant_values=4)
    np.testing.assert_array_equal(predict(beyond), predict(long, padded))


def test_networks__drop_pooled_values_in_training_only():
    model, plain = build("baseline", dropout=0.5), build("baseline")
    np.testing.assert_array_equal(predict(model), predict(plain))
    inputs = one_hot(CODES, dtype=np.float32)
    assert not np.allclose(model(inputs, training=True), plain(inputs, training=True))


def test_gains_from_xla__only_tables_do():
    assert [name for name in NETWORKS if architectures.gains_from_xla(build(name))] == ["motif_builder"]


def test_basset__has_the_published_layers():
    model = NETWORKS["basset"](600, 164)
    shapes = [
        tuple(layer.kernel.shape)
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv1D | keras.layers.Dense)
    ]
    assert shapes == [(19, 4, 300), (11, 300, 200), (7, 200, 200), (2000, 1000), (1000, 1000), (1000, 164)]
    assert [layer.pool_size for layer in model.layers if isinstance(layer, keras.layers.MaxPooling1D)] == [
        (3,),
        (4,),
        (4,),
    ]


@pytest.mark.parametrize("network", ["baseline", "motif_builder"])
def test_networks__initial_filters_are_the_first_and_stay_when_not_trained(network: str):
    shape = build(network).get_layer("filters").kernel.shape
    initial = RNG.normal(size=(*shape[:2], 2)).astype(np.float32)
    model = build(network, initial_filters=initial, train_filters=False)
    plain = build(network)
    kernel, drawn = (m.get_layer("filters").kernel.numpy() for m in (model, plain))
    np.testing.assert_array_equal(kernel[..., :2], initial)
    np.testing.assert_array_equal(kernel[..., 2:], drawn[..., 2:])
    assert {v.path.split("/")[0] for v in model.trainable_variables} == {"head"}


def test_networks__l2_is_on_the_filters():
    model = build("motif_builder", tables="free", l2=0.01)
    kernel = model.get_layer("filters").kernel.numpy()
    assert float(model.losses[0]) == pytest.approx(0.01 * (kernel**2).sum(), rel=1e-5)
    assert build("motif_builder", tables="free").losses == []
    assert build("baseline").losses == []


def test_motif_builder__bases_and_deviations_have_penalties_of_their_own():
    model = build("motif_builder", l2=0.01, deviations_l2=0.5)
    filters = model.get_layer("filters")
    filters.block_weights.assign(np.full(filters.block_weights.shape, 0.1, np.float32))
    of_bases = (filters.base_weights.numpy() ** 2).sum()
    expected = [0.01 * of_bases, 0.5 * 0.1**2 * filters.block_weights.numpy().size]
    np.testing.assert_allclose([float(loss) for loss in model.losses], expected, rtol=1e-5)


def test_networks__filter_scale_multiplies_glorot():
    once, thrice = (build("baseline", filter_scale=s).get_layer("filters").kernel.numpy() for s in (1, 3))
    np.testing.assert_allclose(thrice, 3 * once, rtol=1e-5)
    assert np.abs(once).max() <= np.sqrt(6 / (8 * 4 + 8 * 6))


@pytest.mark.parametrize("network", ["baseline", "factorization_machine", "motif_builder"])
def test_networks__filter_bias_is_where_the_biases_begin(network):
    assert (build(network, filter_bias=1.5).get_layer("filters").bias.numpy() == 1.5).all()
    assert not build(network).get_layer("filters").bias.numpy().any()


def test_networks__options_reach_their_layers():
    model = build(
        "factorization_machine", pooling="max", pool_scale=2.5, activation="exponential", vectors_scale=1e-9
    )
    assert (model.get_layer("pool").mode, model.get_layer("pool").scale) == ("max", 2.5)
    assert model.get_layer("activation").activation is keras.activations.exponential
    assert np.abs(model.get_layer("head").vectors.numpy()).max() < 1e-7


@pytest.mark.parametrize(("pooling", "scale"), [("average", 100), ("max", 1), ("logsumexp", 1)])
def test_networks__pool_scale_goes_with_the_pooling_when_not_given(pooling: str, scale: float):
    assert build("baseline", pooling=pooling).get_layer("pool").scale == scale


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        ("baseline", {"filter_width": 201}, "windows of 200 bp; this network needs at least 201"),
        ("motif_builder", {"filter_blocks": 101}, "at least 202"),
        ("baseline", {"activation": "tanh"}, "activation: a value of the wrong type"),
        ("baseline", {"initial_filters": np.zeros((9, 4, 2))}, r"expected \(8, 4, at most 6\)"),
        ("baseline", {"initial_filters": np.zeros((8, 4, 7))}, r"expected \(8, 4, at most 6\)"),
    ],
)
def test_networks__bad_options(network: str, options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        build(network, **options)


def test_basset__shortest_window():
    assert architectures.basset(168, 1, size=0.01).output_shape == (None, 1)
    with pytest.raises(ValueError, match="at least 168"):
        architectures.basset(167, 1, size=0.01)


def test_networks__have_the_names_that_options_declare():
    assert tuple(NETWORKS) == NETWORK_NAMES


@pytest.mark.parametrize("network", NETWORKS)
def test_networks__options_of_others_and_unknown_ones(network: str):
    other = {"k": 3} if network != "factorization_machine" else {"size": 1.0}
    with pytest.raises(InputError, match=f"{network} has no such option"):
        build(network, **other)
    with pytest.raises(TypeError, match="n_filter"):
        build(network, n_filter=3)
