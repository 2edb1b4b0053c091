from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import encode
from chromacc_data.store import schema
from chromacc_data.store.batches import Batches
from chromacc_data.store.read import open_store
from chromacc_models.kmer_kernels.keras_model import accelerated
from chromacc_models.networks.architectures import logits_model
from chromacc_models.scoring.keras_scorer import scorer_of
from chromacc_models.training import train as train_module
from chromacc_models.training.config import TrainConfig, load_config
from chromacc_models.training.run import Epoch, Run, best_epoch
from chromacc_models.training.train import build_network, train

SMALL = {"network": "baseline", "n_filters": 4, "filter_width": 6, "batch_size": 16, "epochs": 3}


def config(**options: object) -> TrainConfig:
    return TrainConfig(**{**SMALL, **options})


def motif_windows(n_windows: int = 240, length: int = 30) -> dict[str, np.ndarray]:
    """Windows of which half hold GATTACA, and are open in the first cell type; the second is random."""
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 4, (n_windows, length), dtype=np.uint8)
    labels = rng.integers(0, 2, (n_windows, 2), dtype=np.uint8)
    for window in np.flatnonzero(labels[:, 0]):
        start = rng.integers(0, length - 7)
        codes[window, start : start + 7] = encode("GATTACA")
    split = np.resize([0, 0, 0, 1, 2], n_windows)
    return {"codes": codes, "labels": labels, "split": split, "chunk": 50}


@pytest.fixture
def store(make_store: Callable[..., Path]) -> Path:
    return make_store("motif.zarr", **motif_windows())


def weights(run: Run) -> list[np.ndarray]:
    return run.model().get_weights()


def assert_same_result(a: Run, b: Run) -> None:
    for mine, theirs in zip(weights(a), weights(b), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    columns = ["epoch", "loss", "validation_loss", "learning_rate"]
    pd.testing.assert_frame_equal(a.history[columns], b.history[columns], check_exact=True)


def test_train__learns_and_leaves_a_run_folder(store: Path, tmp_path: Path):
    chosen = config(pool_scale=30, learning_rate=0.02, epochs=12)
    run = train(store, chosen, tmp_path / "run")
    assert run.history["loss"].iloc[-1] < 0.85 * run.history["loss"].iloc[0]
    assert {p.name for p in run.folder.iterdir()} == {
        ".lock",
        "config.yaml",
        "curves.png",
        "history.csv",
        "model.keras",
        "run.json",
    }
    assert load_config(run.folder / "config.yaml") == chosen == run.config
    opened = Run.open(run.folder)
    ds = open_store(store)
    assert opened.info == run.info
    assert opened.cell_types == ("liver", "T cell")
    assert opened.window_length == 30
    assert opened.store == store
    assert opened.info.store.content_hash == ds.attrs[schema.ATTR_CONTENT_HASH]
    assert opened.info.versions.keys() == {"python", "chromacc", "tensorflow", "keras", "numpy"}


def test_train__saves_the_weights_of_the_best_epoch(store: Path, tmp_path: Path):
    run = train(store, config(learning_rate=0.3, epochs=6, patience=2), tmp_path / "run")
    best = run.result.best_epoch
    assert best < len(run.history)  # the rate is far too high: later epochs are worse
    shorter = train(store, config(learning_rate=0.3, epochs=best), tmp_path / "shorter")
    for mine, theirs in zip(weights(run), weights(shorter), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert run.result.validation_loss == run.history["validation_loss"].min()


def test_train__averaged_weights_are_validated_and_saved_and_the_others_trained(store: Path, tmp_path: Path):
    plain, averaged = (
        train(store, config(average_decay=decay), tmp_path / str(decay)) for decay in (None, 0.9)
    )
    np.testing.assert_array_equal(plain.history["loss"], averaged.history["loss"])
    assert not np.isin(averaged.history["validation_loss"], plain.history["validation_loss"]).any()
    codes = np.concatenate([b.codes for b in Batches(store, split="validation", shuffle=False)])
    labels = np.concatenate([b.labels for b in Batches(store, split="validation", shuffle=False)])
    logits = scorer_of(averaged.model()).logits(codes).astype(np.float64)
    loss = np.mean(np.logaddexp(0, logits) - labels * logits)
    assert loss == pytest.approx(averaged.history["validation_loss"].min(), rel=1e-5)


def test_average__is_of_all_steps_with_the_first_ones_soon_forgotten():
    model = build_network(config(), 30, 2)
    bias = model.get_layer("head").bias
    done = tf.Variable(0, dtype=tf.int64)
    average = train_module._Average(model, 0.25, done)
    expected = bias.numpy()
    for step, value in enumerate([[1, 2], [3, 5], [4, -1]], start=1):
        bias.assign(value)
        done.assign(step)
        average.update()
        decay = [2 / 11, 3 / 12, 0.25][step - 1]
        expected = decay * expected + (1 - decay) * np.array(value)
    with average.in_model():
        np.testing.assert_allclose(bias.numpy(), expected, rtol=1e-6)
    assert bias.numpy().tolist() == [4, -1]


def test_train__stops_when_patience_is_over(store: Path, tmp_path: Path):
    run = train(store, config(epochs=50, patience=2, min_delta=10), tmp_path / "run")
    assert run.history["epoch"].tolist() == [1, 2, 3]
    assert run.result.best_epoch == 1


@pytest.mark.parametrize("backend", ["tables", "keras"])
def test_train__same_bits_twice(store: Path, tmp_path: Path, backend: str):
    chosen = config(network="factorization_machine", reverse_complement="augment")
    a, b = (train(store, chosen, tmp_path / name, backend=backend) for name in "ab")
    assert_same_result(a, b)
    other = train(store, config(network="factorization_machine", seed=1), tmp_path / "c", backend=backend)
    assert not np.array_equal(weights(a)[0], weights(other)[0])


def test_train__tables_equal_keras(store: Path, tmp_path: Path):
    a, b = (
        train(
            store,
            config(network="motif_builder", filter_width=None, l2=0.01),
            tmp_path / backend,
            backend=backend,
        )
        for backend in ("tables", "keras")
    )
    for mine, theirs in zip(weights(a), weights(b), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)


@pytest.mark.parametrize("network", ["factorization_machine", pytest.param("basset", marks=pytest.mark.slow)])
def test_train__killed_resumes_to_the_same_bits(
    make_store: Callable[..., Path], tmp_path: Path, network: str
):
    windows = motif_windows(n_windows=120, length=30 if network != "basset" else 170)
    path = make_store("motif.zarr", **windows)
    options = {
        "network": network,
        "batch_size": 16,
        "epochs": 6,
        "plateau_patience": 1,
        "learning_rate": 0.02,
    }
    options |= {"size": 0.02} if network == "basset" else {"n_filters": 4, "filter_width": 6}
    options |= {"average_decay": 0.9, "dropout": 0.3}
    whole = train(path, TrainConfig(**options), tmp_path / "whole")

    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(f"""
        import time
        from chromacc_models.training import train
        from chromacc_models.training.config import TrainConfig

        save = train._Training._save
        def slow_save(self):
            save(self)
            time.sleep(0.5)
        train._Training._save = slow_save
        train.train({str(path)!r}, TrainConfig(**{options!r}), {str(tmp_path / "killed")!r})
        """)
    )
    process = subprocess.Popen(
        [sys.executable, str(script)], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    checkpoint = tmp_path / "killed" / "checkpoint.npz"
    while process.poll() is None and not (checkpoint.exists() and _n_epochs(checkpoint) >= 2):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 2 <= _n_epochs(checkpoint) < 6
    with pytest.raises(InputError, match="has not finished"):
        Run.open(tmp_path / "killed")

    resumed = train(path, TrainConfig(**options), tmp_path / "killed")
    assert_same_result(resumed, whole)
    assert not checkpoint.exists()


def _n_epochs(checkpoint: Path) -> int:
    with np.load(checkpoint) as saved:
        return len(json.loads(str(saved["history"])))


def test_train__finished_run_is_returned_as_it_is(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = train(store, config(), tmp_path / "run")
    monkeypatch.setattr(train_module, "_Training", None)
    assert train(store, config(), tmp_path / "run") == first


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"learning_rate": 0.5}, "learning_rate 0.001"),
        ({"network": "factorization_machine"}, "k None, network"),
    ],
)
def test_train__folder_of_another_configuration(store: Path, tmp_path: Path, options: dict, found: str):
    train(store, config(epochs=1), tmp_path / "run")
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    with pytest.raises(InputError, match="another store or configuration") as caught:
        train(store, config(epochs=1, **options), tmp_path / "run")
    assert caught.value.found.startswith(found)
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before


def test_train__folder_of_another_store(make_store: Callable[..., Path], store: Path, tmp_path: Path):
    train(store, config(epochs=1), tmp_path / "run")
    other = make_store("other.zarr", **motif_windows(n_windows=200))
    with pytest.raises(InputError, match="another store or configuration") as caught:
        train(other, config(epochs=1), tmp_path / "run")
    assert caught.value.found.startswith("store ")


def test_train__folder_of_something_else(store: Path, tmp_path: Path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="not a run folder, and not empty"):
        train(store, config(), tmp_path)


def test_train__folder_in_use(store: Path, tmp_path: Path):
    with train_module.lock_folder(tmp_path / "run"), pytest.raises(InputError, match="another process"):
        train(store, config(), tmp_path / "run")


def test_train__network_that_does_not_fit_leaves_no_folder(store: Path, tmp_path: Path):
    with pytest.raises(InputError, match="windows of 30 bp; this network needs at least 50"):
        train(store, config(filter_width=50), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_train__loss_that_explodes(store: Path, tmp_path: Path):
    chosen = config(activation="exponential", filter_scale=1e4)
    with pytest.raises(InputError, match="no longer a number") as caught:
        train(store, chosen, tmp_path / "run")
    assert "learning_rate" in caught.value.remedy
    assert not (tmp_path / "run").exists()


def test_train__balanced_class_weights():
    labels = np.array([[1, 0], [0, 0], [0, 0], [0, 0]], dtype=np.uint8)
    assert train_module._class_weights(labels).tolist() == [3, 1]


def test_compile_steps__loss_weighs_open_windows_and_leaves_penalties_out():
    windows, rng = motif_windows(n_windows=20), np.random.default_rng(0)
    model = build_network(config(l2=10.0, pool_scale=1.0), 30, 2)
    model.get_layer("head").bias.assign(rng.normal(size=2))
    optimizer = keras.optimizers.RMSprop()
    optimizer.build(model.trainable_variables)
    step, loss = train_module._compile_steps(
        model,
        accelerated(logits_model(model), "keras"),
        optimizer,
        train_module._Average(model, None, optimizer.iterations.value),
        np.array([3.0, 1.0]),
    )
    p = scorer_of(model).predict(windows["codes"]).astype(np.float64)
    y = windows["labels"]
    expected = -np.mean([3.0, 1.0] * y * np.log(p) + (1 - y) * np.log(1 - p))
    assert float(loss(windows["codes"], y)) == pytest.approx(expected, rel=1e-5)
    assert float(step(windows["codes"], y)) == pytest.approx(expected, rel=1e-5)
    assert float(loss(windows["codes"], y)) != pytest.approx(expected, rel=1e-5)


def test_train__filters_of_another_run(store: Path, tmp_path: Path):
    first = train(store, config(epochs=1), tmp_path / "first")
    chosen = config(network="factorization_machine", initial_filters=str(first.folder), train_filters=False)
    second = train(store, chosen, tmp_path / "second")
    np.testing.assert_array_equal(weights(second)[0], weights(first)[0])
    kernel = weights(first)[0]
    np.save(tmp_path / "filters.npy", kernel)
    from_file = build_network(config(initial_filters=str(tmp_path / "filters.npy")), 30, 2)
    np.testing.assert_array_equal(from_file.get_weights()[0], kernel)
    with pytest.raises(InputError, match="initial filters cannot be read"):
        build_network(config(initial_filters=str(tmp_path / "absent.npy")), 30, 2)


def test_build_network__filters_that_stay_random_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    np.save(tmp_path / "two.npy", np.zeros((5, 4, 2), np.float32))
    options = {"network": "baseline", "n_filters": 3, "filter_width": 5, "train_filters": False}
    build_network(TrainConfig(**options, initial_filters=str(tmp_path / "two.npy")), 30, 2)
    assert "1 of 3 filters stay as they were drawn at random" in caplog.text
    caplog.clear()
    build_network(TrainConfig(**options | {"n_filters": 2}, initial_filters=str(tmp_path / "two.npy")), 30, 2)
    assert not caplog.text


def epochs(*losses: float) -> list[Epoch]:
    return [Epoch(i, 0.0, loss, 0.0, 0.0, 0.0) for i, loss in enumerate(losses, start=1)]


def test_best_epoch__needs_more_than_min_delta():
    assert best_epoch(epochs(1.0, 0.95, 0.8, 0.79), 0.1).epoch == 3
    assert best_epoch(epochs(1.0, 1.0), 0.0).epoch == 1


def test_learning_rate__reduced_after_each_plateau():
    chosen = config(learning_rate=1.0, plateau_patience=2, plateau_factor=0.1)
    losses = [1.0, 0.9, 0.95, 0.95, 0.92, 0.91, 0.5]
    rates = [train_module._learning_rate(epochs(*losses[:n]), chosen) for n in range(8)]
    assert rates == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])
    assert train_module._learning_rate(epochs(*losses), config()) == 0.001


def test_run__open_what_is_none(tmp_path: Path):
    with pytest.raises(InputError, match="not a run folder"):
        Run.open(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": 77}, "no folds|no such fold"),
        ({"filter_width": 31}, "cannot be built"),
        ({"n_filters": 100_000, "filter_width": 30, "k": 100_000}, "needs more memory"),
    ],
)
def test_train__what_cannot_be_trained_leaves_no_folder(
    make_store: Callable[..., Path], tmp_path: Path, options: dict, message: str
):
    path = make_store("train.zarr", n_windows=30, window_length=30)
    with pytest.raises(InputError, match=message):
        train(path, TrainConfig(**{"network": "factorization_machine", **options}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
