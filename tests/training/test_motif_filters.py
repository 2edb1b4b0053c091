"""Networks that begin with known motifs: what filters are set to, what keeps them so, and what they keep."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from click.testing import CliRunner

from chromacc_data.errors import InputError
from chromacc_data.motifs.files import write_motifs
from chromacc_data.motifs.motif import Motif
from chromacc_data.sequences.encoding import N_CODE, encode, one_hot
from chromacc_data.store.read import open_store
from chromacc_models.cli import main_group
from chromacc_models.interpretation.folds import _names_of_motifs
from chromacc_models.interpretation.run_interactions import run_interactions
from chromacc_models.interpretation.run_motifs import run_motifs
from chromacc_models.kmer_kernels.keras_model import accelerated
from chromacc_models.networks.architectures import logits_model
from chromacc_models.networks.known_motifs import (
    KNOWN_MOTIFS,
    KNOWN_TABLE,
    MIN_SIMILARITY,
    known_names,
    read_known_motifs,
)
from chromacc_models.reporting.report import write_report
from chromacc_models.scoring.keras_scorer import scorer_of
from chromacc_models.training import train as train_module
from chromacc_models.training.config import TrainConfig, load_config
from chromacc_models.training.motif_filters import (
    best_scores,
    choose_motifs,
    log_odds,
    set_filters,
    similarities,
)
from chromacc_models.training.run import Run
from chromacc_models.training.train import build_network, train
from tests.training.test_train import motif_windows

WORDS = {"GATTACA": "GAT", "CCGTCAAC": "CCG", "TTGCAAGT": "TTG"}
LENGTH = 30
SMALL = {"n_filters": None, "batch_size": 16, "epochs": 2, "pooling": "max", "motif_clusters": 0, "n_free": 2}
SIZES = {
    "baseline": {"filter_width": 10},
    "factorization_machine": {"filter_width": 10, "k": 2},
    "motif_builder": {"block_length": 2, "filter_blocks": 5},
}


def word_motif(word: str, name: str = "") -> Motif:
    return Motif(word, 0.9 * one_hot(encode(word)) + 0.025, name)


@pytest.fixture
def motifs(tmp_path: Path) -> Path:
    path = tmp_path / "known.meme"
    write_motifs(path, [word_motif(word, name) for word, name in WORDS.items()])
    return path


@pytest.fixture
def store(make_store: Callable[..., Path]) -> Path:
    return make_store("motif.zarr", **motif_windows())


def config_of(motifs: Path, network: str = "baseline", **options: object) -> TrainConfig:
    return TrainConfig(network, **{**SIZES[network], **SMALL, "motifs": str(motifs), **options})


def prepared(config: TrainConfig, store: Path) -> tuple[keras.Model, object]:
    """The network of a configuration with its filters set, and what holds them."""
    chosen = choose_motifs(config)
    config = dataclasses.replace(config, n_filters=chosen.n_filters)
    model = build_network(config, LENGTH, 2)
    return model, set_filters(model, config, chosen, open_store(store))


def kernels(model: keras.Model) -> np.ndarray:
    return np.asarray(model.get_layer("filters").kernel)


def weights_of(run: Run) -> list[np.ndarray]:
    return run.model().get_layer("filters").get_weights()


@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("baseline", {}),
        ("factorization_machine", {"strands": "forward"}),
        ("baseline", {"scan_length": 36, "activation": "exponential"}),
        ("motif_builder", {}),
        ("motif_builder", {"tables": "free"}),
    ],
)
def test_set_filters__consensus_scores_highest_and_the_share_of_windows_is_active(
    motifs: Path, store: Path, network: str, options: dict
):
    config = config_of(motifs, network, motif_active=0.25, **options)
    model, held = prepared(config, store)
    pad = (LENGTH - 8) // 2
    words = np.full((3, LENGTH), N_CODE, np.uint8)
    for row, word in zip(words, WORDS, strict=True):
        row[pad : pad + len(word)] = encode(word)
    found = best_scores(model, kernels(model), words)[:, :3]
    assert (found.argmax(axis=0) == [0, 1, 2]).all()
    assert (found.argmax(axis=1) == [0, 1, 2]).all()
    codes = motif_windows()["codes"][motif_windows()["split"] == 0]
    scores = best_scores(model, kernels(model), codes)[:, :3]
    np.testing.assert_allclose(scores.std(axis=0), 1, rtol=1e-4)
    threshold = [one.threshold for one in held.known.filters]
    np.testing.assert_allclose(-model.get_layer("filters").bias.numpy()[:3], threshold, rtol=1e-6)
    share = (scores > np.array(threshold)).mean(axis=0)
    assert ((share >= 0.25) & (share < 0.65)).all()  # many windows have the same score
    pooled = scorer_of(model).pool(codes)[:, :3]
    expected = scores - threshold
    if config.activation == "exponential":
        expected = np.exp(expected)
    np.testing.assert_allclose(pooled, np.maximum(expected, 0), rtol=1e-3, atol=1e-5)
    assert held.measured().names() == ["GAT", "CCG", "TTG", None, None]
    assert [(one.similarity, one.moved, one.size) for one in held.measured().filters] == [(1, 0, 1)] * 3


def test_log_odds__in_the_middle_and_cut_to_what_says_most():
    flat, background = np.full((3, 4), 0.25), np.array([0.3, 0.2, 0.2, 0.3])
    motif = Motif("M", np.concatenate([flat, one_hot(encode("GAT"))]))
    whole = log_odds(motif, 8, background)
    assert whole[[0, 7]].tolist() == [[0] * 4] * 2
    np.testing.assert_allclose(whole[4], np.log((np.eye(4)[2] + 0.05 * background) / 1.05 / background))
    np.testing.assert_array_equal(log_odds(motif, 3, background), whole[4:7])


def test_similarities__shifts_strands_and_nothing():
    rng = np.random.default_rng(0)
    motif = np.zeros((12, 4, 1))
    motif[3:9, :, 0] = rng.normal(size=(6, 4))
    for same in (3 * motif + 1, np.roll(motif, 2, axis=0), np.roll(motif, -3, axis=0)):
        assert similarities(same, motif, both_strands=False)[0] == pytest.approx(1)
    turned = motif[::-1, ::-1]
    assert similarities(turned, motif, both_strands=True)[0] == pytest.approx(1)
    assert similarities(turned, motif, both_strands=False)[0] < MIN_SIMILARITY
    assert similarities(-motif, motif, both_strands=False)[0] < MIN_SIMILARITY
    assert similarities(np.zeros_like(motif), motif, both_strands=True).tolist() == [0]
    unlike = similarities(rng.normal(size=(12, 4, 500)), np.repeat(motif, 500, axis=2), both_strands=True)
    assert unlike.max() < MIN_SIMILARITY


@pytest.mark.parametrize(
    ("network", "backend"), [("factorization_machine", "kernels"), ("motif_builder", "keras")]
)
def test_train__frozen_filters_keep_their_bits(
    motifs: Path, store: Path, tmp_path: Path, network: str, backend: str
):
    config = config_of(motifs, network, motif_mode="frozen", average_decay=0.9, l2=1e-3, deviations_l2=None)
    before, _ = prepared(config, store)
    run = train(store, config, tmp_path / "run", backend=backend)
    for old, new in zip(before.get_layer("filters").get_weights(), weights_of(run), strict=True):
        np.testing.assert_array_equal(old[..., :3], new[..., :3])
        assert (old[..., 3:] != new[..., 3:]).any()
    assert [one.similarity for one in read_known_motifs(run.folder).filters] == [1] * 3


def test_train__frozen_without_others_trains_the_head_alone(motifs: Path, store: Path, tmp_path: Path):
    config = config_of(motifs, motif_mode="frozen", n_free=0)
    before, _ = prepared(config, store)
    run = train(store, config, tmp_path / "run")
    assert not run.model().get_layer("filters").trainable
    for old, new in zip(before.get_layer("filters").get_weights(), weights_of(run), strict=True):
        np.testing.assert_array_equal(old, new)
    assert (before.get_layer("head").kernel.numpy() != run.model().get_layer("head").kernel.numpy()).any()


def test_train__a_larger_penalty_keeps_filters_nearer(motifs: Path, store: Path, tmp_path: Path):
    moved = []
    for name, options in {
        "free": {"motif_mode": "free"},
        "weak": {"motif_anchoring": 0.003},
        "strong": {"motif_anchoring": 1.0},
    }.items():
        config = config_of(motifs, learning_rate=0.02, **options)
        run = train(store, config, tmp_path / name)
        moved.append(np.mean([one.moved for one in read_known_motifs(run.folder).filters]))
    assert moved[0] > moved[1] > moved[2] > 0


@pytest.mark.parametrize("network", ["factorization_machine", "motif_builder"])
def test_train__both_backends_agree(motifs: Path, store: Path, tmp_path: Path, network: str):
    # Where several places have the same maximum, the backends choose other ones.
    config = config_of(motifs, network, motif_anchoring=0.1, l2=1e-3, pooling="average", epochs=1)
    by_kernels, by_keras = (
        train(store, config, tmp_path / backend, backend=backend) for backend in ("kernels", "keras")
    )
    for mine, theirs in zip(weights_of(by_kernels), weights_of(by_keras), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)
    np.testing.assert_allclose(by_kernels.history["loss"], by_keras.history["loss"], rtol=1e-5)


def test_penalties__are_of_distance_and_of_random_filters_and_have_a_gradient_in_both_backends(
    motifs: Path, store: Path
):
    config = config_of(motifs, motif_anchoring=0.5, l2=0.25, pooling="average")
    model, held = prepared(config, store)
    layer = model.get_layer("filters")
    assert layer.kernel_regularizer is None
    at_motifs, of_random = (float(value) for value in held.penalties())
    assert at_motifs == pytest.approx(0)
    assert of_random == pytest.approx(0.25 * np.square(kernels(model)[..., 3:]).sum(), rel=1e-5)
    layer.kernel.assign(kernels(model) + 0.1)
    assert float(held.penalties()[0]) == pytest.approx(0.5 * 0.01 * 3 * 40, rel=1e-4)
    codes, labels = motif_windows()["codes"][:40], motif_windows()["labels"][:40]
    gradients = []
    for backend in ("kernels", "keras"):
        fast = accelerated(logits_model(model), backend)
        with tf.GradientTape() as tape:
            predicted = fast.model(codes, training=True)
            loss = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(labels, tf.float32), predicted)
            objective = tf.add_n([tf.reduce_mean(loss), *held.penalties()])
        gradients.append(tape.gradient(objective, layer.kernel).numpy())
    np.testing.assert_allclose(*gradients, rtol=1e-5, atol=1e-6)


def test_train__names_travel(motifs: Path, store: Path, tmp_path: Path):
    run = train(store, config_of(motifs, "factorization_machine", seed=3), tmp_path / "run")
    assert run.config.n_filters == 5
    names = ["GAT", "CCG", "TTG", None, None]
    assert known_names(run.folder, 5) == names
    known = read_known_motifs(run.folder)
    assert (known.database, known.n_motifs, known.n_clusters) == ("known.meme", 3, 3)
    assert known.sha256 == run.info.motifs_sha256
    table = pd.read_csv(run.folder / KNOWN_TABLE, sep="\t")
    assert sorted(table["known"]) == ["CCG", "GAT", "TTG"]
    assert table["keeps_name"].all()
    assert table["similarity"].is_monotonic_increasing
    found = run_motifs(run, n_logos=1)
    assert _names_of_motifs(found) == [motif.name for motif in found.motifs]
    by_filter = found.table.set_index("filter")["known"]
    assert [by_filter[f"filter_{i}"] or None for i in range(5)] == names
    text = (run.folder / "motifs.meme").read_text()
    assert "MOTIF filter_0 GAT\n" in text
    assert "MOTIF filter_4\n" in text
    interactions = run_interactions(run, n_insert=1)
    assert interactions.names == ("GAT", "CCG", "TTG", "", "")
    assert set(interactions.motif_table["motif_a"]) <= {"GAT", "CCG", "TTG"}
    assert KNOWN_TABLE in write_report(run).read_text()


def test_train__a_filter_that_drifted_loses_its_name(motifs: Path, store: Path, tmp_path: Path):
    config = config_of(motifs, "factorization_machine", motif_mode="free", motif_active=0.9)
    run = train(store, dataclasses.replace(config, learning_rate=0.5, epochs=3), tmp_path / "run")
    known = read_known_motifs(run.folder)
    drifted = [one.similarity < MIN_SIMILARITY for one in known.filters]
    assert any(drifted)
    names = [None if gone else name for gone, name in zip(drifted, WORDS.values(), strict=True)]
    assert known_names(run.folder, 5) == [*names, None, None]
    table = pd.read_csv(run.folder / KNOWN_TABLE, sep="\t").set_index("known")
    assert (~table.loc[list(WORDS.values()), "keeps_name"]).tolist() == drifted
    by_filter = run_motifs(run, n_logos=1).table.set_index("filter")["known"]
    assert [by_filter[f"filter_{i}"] or None for i in range(3)] == names


def test_train__killed_goes_on_to_the_same_bits(
    motifs: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = config_of(motifs, epochs=3, motif_anchoring=0.1)
    whole = train(store, config, tmp_path / "whole")
    with monkeypatch.context() as patched:
        saved = train_module._Training._save

        def save_and_stop(self: object) -> None:
            saved(self)
            raise KeyboardInterrupt

        patched.setattr(train_module._Training, "_save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            train(store, config, tmp_path / "killed")
    again = train(store, config, tmp_path / "killed")
    for mine, theirs in zip(whole.model().get_weights(), again.model().get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for name in (KNOWN_MOTIFS, KNOWN_TABLE):
        assert (whole.folder / name).read_bytes() == (again.folder / name).read_bytes()
    assert train(store, config, tmp_path / "killed").info == again.info
    assert load_config(again.folder / "config.yaml") == again.config
    write_motifs(motifs, [word_motif("GATTACC", "GAT"), *map(word_motif, list(WORDS)[1:])])
    with pytest.raises(InputError, match="another store or configuration") as error:
        train(store, config, tmp_path / "killed")
    assert error.value.found.startswith("motifs ")


def test_train__without_motifs_nothing_of_them_is_in_the_run(store: Path, tmp_path: Path):
    run = train(store, TrainConfig("baseline", n_filters=4, filter_width=6, epochs=1), tmp_path / "run")
    assert "motif" not in (run.folder / "config.yaml").read_text()
    assert "motifs_sha256" not in json.loads((run.folder / "run.json").read_text())
    assert not list(run.folder.glob("known*"))
    assert run_motifs(run, n_logos=1).table.columns[:2].tolist() == ["filter", "importance"]


def test_choose_motifs__the_most_informative_where_filters_are_few(motifs: Path, tmp_path: Path):
    config = config_of(motifs, n_filters=4)
    assert [c.name for c in choose_motifs(config).clusters] == ["CCG", "TTG"]  # wider than GATTACA
    assert choose_motifs(config).n_filters == 4
    more = choose_motifs(config_of(motifs, n_filters=9))
    assert (len(more.clusters), more.n_filters) == (3, 9)
    assert choose_motifs(config_of(motifs, n_free=0)).n_filters == 3
    flat = Motif("flat", np.full((4, 4), 0.25))
    write_motifs(motifs, [word_motif("GATTACA", "GAT"), flat])
    assert [c.name for c in choose_motifs(config_of(motifs)).clusters] == ["GAT"]


@pytest.mark.parametrize(
    ("content", "options", "what", "remedy"),
    [
        ("MEME version 4\n\nALPHABET= ACGT\n", {}, "no motif in the file", None),
        ("nothing", {}, "not a motif file", None),
        ([Motif("flat", np.full((4, 4), 0.25))], {}, "no motif with information", None),
        ([word_motif("GATTACA")], {"n_filters": 2}, "no filter is left for a motif", "raise n_filters"),
        (
            [word_motif("GATTACAGATTACAGATTACACC"), word_motif("GATTACAGATTACAGATTACACCC")],
            {},
            "a motif that is much wider than the filters",
            "--set filter_width=24",
        ),
        (
            [word_motif("GATTACAGATTACAGATTACACC")],
            {"network": "motif_builder"},
            "a motif that is much wider than the filters",
            "--set filter_blocks=12",
        ),
        (None, {}, "cannot be read", None),
    ],
)
def test_choose_motifs__bad_input_leaves_no_folder(
    store: Path, tmp_path: Path, content: object, options: dict, what: str, remedy: str | None
):
    path = tmp_path / "bad.meme"
    if isinstance(content, str):
        path.write_text(content)
    elif content is not None:
        write_motifs(path, content)
    with pytest.raises(InputError, match=what) as error:
        train(store, config_of(path, **options), tmp_path / "run")
    assert str(error.value.where) in (str(path), "n_filters")
    assert remedy is None or remedy in error.value.remedy
    assert not (tmp_path / "run").exists()


def test_choose_motifs__the_remedy_for_a_wide_motif_works(store: Path, tmp_path: Path):
    path = tmp_path / "wide.meme"
    write_motifs(path, [word_motif("GATTACAGATTACAGATTACACCC", "WIDE")])
    run = train(store, config_of(path, filter_width=24, epochs=1), tmp_path / "run")
    assert known_names(run.folder, 3) == ["WIDE", None, None]


def test_train_command__motifs(store: Path, motifs: Path, tmp_path: Path):
    out = tmp_path / "run"
    sizes = [
        f"--set={name}={value}" for name, value in {"filter_width": 10, "epochs": 1, "n_free": 1}.items()
    ]
    arguments = ["train", str(store), "--network", "baseline", "--motifs", str(motifs), *sizes, "-q"]
    done = CliRunner().invoke(main_group, [*arguments, "--set=scan_length=null", "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert Run.open(out).config.n_filters == len(read_known_motifs(out).filters) + 1
    for network, setting, where in (
        ("basset", "seed=1", "--motifs"),
        ("baseline", "initial_filters=a.npy", "initial_filters"),
        ("baseline", "train_filters=false", "train_filters"),
    ):
        arguments = ["train", str(store), "--network", network, "--motifs", str(motifs), "--set", setting]
        done = CliRunner().invoke(main_group, [*arguments, "-o", str(tmp_path / "bad")])
        assert isinstance(done.exception, InputError)
        assert done.exception.where.startswith((where, f"--set {where}"))
        assert not (tmp_path / "bad").exists()
