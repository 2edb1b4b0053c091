"""Training: a store and a configuration in, a run folder out, the same whether interrupted or not.

The order of windows, their strands and the learning rate follow from seed, epoch and history; weights and the
optimiser's state are in the checkpoint. So an interrupted run ends with the same weights, bit for bit.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
import xarray as xr
from tqdm import tqdm

from chromacc_data.errors import InputError
from chromacc_data.files import disk_errors
from chromacc_data.progress import LOG, progress_bar
from chromacc_data.store import schema
from chromacc_data.store.batches import Batches, split_indices
from chromacc_data.store.read import open_store
from chromacc_data.typed_values import parse_json, typed
from chromacc_models.kmer_kernels.keras_model import Accelerated, accelerated
from chromacc_models.networks.architectures import NETWORKS, gains_from_xla, logits_model
from chromacc_models.networks.size import require_network_memory
from chromacc_models.training.choice import with_recommended
from chromacc_models.training.config import TrainConfig
from chromacc_models.training.motif_filters import MotifFilters, choose_motifs, set_filters
from chromacc_models.training.run import (
    CHECKPOINT,
    Epoch,
    Run,
    best_epoch,
    claim_folder,
    describe_run,
    finish_run,
    lock_folder,
    read_arrays,
    read_filters,
    release_folder,
    write_checkpoint,
    write_history,
)

__all__ = ["build_network", "limit_threads", "train"]

_EVALUATION_BATCH = 256

#: Most weights of a network: 8 GiB, which training takes four times over.
_MAX_WEIGHTS = 2**31


def train(
    store: Path | str,
    config: TrainConfig | str,
    out: Path | str,
    *,
    progress: bool = False,
    backend: str = "auto",
) -> Run:
    """Train a network on a store; an interrupted run resumes after its last complete epoch.

    RMSprop minimises binary cross-entropy over all cell types, from logits. After each epoch the validation
    loss is computed without penalties; after `patience` epochs without improvement training stops, and the
    weights of the best epoch are saved. With `average_decay`, a moving average of the weights is validated
    and saved: on small sets it is better and steadier than the weights of any single step.

    Parameters
    ----------
    store
        Path of a store with train and validation windows.
    config
        What to train and how; or a network's name, for the options that are recommended for this store.
    out
        Run folder: new, or one of the same store and configuration. A finished one is returned as it is.
    progress
        Show a bar: epoch, losses, windows per second, time left to the last epoch.
    backend
        How it is computed: see :func:`chromacc_models.kmer_kernels.keras_model.accelerated`. A resumed run
        keeps the backend that it began with. The weights are the same up to rounding with any.

    Returns
    -------
    Run
        The finished run.

    Raises
    ------
    InputError
        If the folder belongs to another store or configuration, a split is empty, the network does not fit
        the windows, or the loss becomes infinite.

    Examples
    --------
    >>> import chromacc_models as cm
    >>> from chromacc_data.examples import example_folder, example_store
    >>> config = cm.TrainConfig("factorization_machine", n_filters=8, filter_width=8, k=2, epochs=1)
    >>> run = cm.train(example_store(), config, example_folder() / "run")
    >>> run.result.epochs, sorted(path.name for path in run.folder.glob("*.*"))
    (1, ['.lock', 'config.yaml', 'curves.png', 'history.csv', 'model.keras', 'run.json'])
    """
    store, out = Path(store), Path(out)
    config = with_recommended(config, store, out)
    ds = open_store(store)
    chosen = None if config.motifs is None else choose_motifs(config)
    if chosen is not None:
        config = dataclasses.replace(config, n_filters=chosen.n_filters)
    sizes = (ds.sizes[dim] for dim in (schema.POSITION, schema.CELL_TYPE, schema.WINDOW))
    require_network_memory(config, *sizes)
    if config.fold is not None:
        split_indices(ds, "train", fold=config.fold)  # a fold that is not there leaves no folder
    model = build_network(config, ds.sizes[schema.POSITION], ds.sizes[schema.CELL_TYPE])
    with disk_errors(out), lock_folder(out):
        info = claim_folder(out, describe_run(store, ds, config, model, backend=backend))
        if info.result is None:
            data = _Data.of(ds, config)
            known = None
            if chosen is not None:
                known = set_filters(model, config, chosen, ds)
                known.write(out)
            fast = accelerated(logits_model(model), info.engine)
            LOG.info("%s computed by %s: %s", config.network, fast.backend, fast.reason)
            with progress_bar(
                config.epochs * data.train.n_windows, unit="windows", description="training", show=progress
            ) as bar:
                try:
                    history = _Training(config, model, fast, data, out, known).run(bar)
                except InputError:
                    release_folder(out)
                    raise
            if known is not None:
                known.finish(out)
            info = finish_run(out, info, model, history)
    return Run(out, info)


def build_network(config: TrainConfig, window_length: int, n_cell_types: int) -> keras.Model:
    """Network of a configuration, with its initial weights.

    Raises
    ------
    InputError
        If it cannot be built for such windows, or the initial filters cannot be read or do not fit.
    """
    chosen = dict(config.network_options)
    _require_size(config, n_cell_types)
    initial = None if config.initial_filters is None else read_filters(Path(config.initial_filters))
    if initial is not None:
        chosen["initial_filters"] = initial.kernel
    try:
        model = NETWORKS[config.network](window_length, n_cell_types, seed=config.seed, **chosen)
    except (ValueError, MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise InputError(
            f"{config.network} cannot be built",
            found=(str(error).splitlines() or ["not enough memory"])[0],
            remedy="change its options",
        ) from error
    if initial is not None and initial.bias is not None:
        bias = model.get_layer("filters").bias
        bias.assign(np.concatenate([initial.bias, bias.numpy()[len(initial.bias) :]]))
    n_given = 0 if initial is None else initial.kernel.shape[-1]
    if config.train_filters is False and n_given < config.n_filters:
        LOG.warning(
            "train_filters is false: %d of %d filters stay as they were drawn at random",
            config.n_filters - n_given,
            config.n_filters,
        )
    return model


def _require_size(config: TrainConfig, n_cell_types: int) -> None:
    """Raise where a network is beyond any memory, before it is made."""
    width = config.filter_width or (config.block_length or 0) * (config.filter_blocks or 0)
    n_weights = (config.n_filters or 0) * (
        4 * width
        + (config.filter_blocks or 0) * 4 ** (config.block_length or 0)
        + n_cell_types * (1 + (config.k or 0))
    )
    if n_weights > _MAX_WEIGHTS:
        raise InputError(
            f"{config.network} cannot be built",
            where="n_filters",
            found=f"{n_weights:,} weights, {4 * n_weights / 2**30:,.0f} GiB before training",
            expected=f"at most {_MAX_WEIGHTS:,}",
            remedy="lower n_filters, or the sizes of a filter",
        )


def limit_threads(n: int) -> None:
    """Let TensorFlow use `n` threads; to be called before it computes anything.

    Raises
    ------
    InputError
        If TensorFlow has started already.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(n)
        tf.config.threading.set_inter_op_parallelism_threads(min(n, 2))
    except RuntimeError as error:
        raise InputError(
            "TensorFlow has started already", remedy="set TF_NUM_INTRAOP_THREADS before the program starts"
        ) from error


class _Data(NamedTuple):
    """What is trained on, and what decides when to stop."""

    train: Batches
    validation: Batches

    @classmethod
    def of(cls, ds: xr.Dataset, config: TrainConfig) -> _Data:
        return cls(
            Batches(
                ds,
                split="train",
                fold=config.fold,
                batch_size=config.batch_size,
                seed=config.seed,
                reverse_complement=config.reverse_complement,
            ),
            Batches(ds, split="validation", fold=config.fold, batch_size=_EVALUATION_BATCH, shuffle=False),
        )


class _Training:
    """A network with its optimiser, its best weights and its history, kept in step with a checkpoint."""

    def __init__(
        self,
        config: TrainConfig,
        model: keras.Model,
        fast: Accelerated,
        data: _Data,
        folder: Path,
        known: MotifFilters | None = None,
    ) -> None:
        self.config, self.model, self.data, self.folder = config, model, data, folder
        self.optimizer = keras.optimizers.RMSprop(config.learning_rate, momentum=config.momentum)
        self.optimizer.build(model.trainable_variables)
        self.average = _Average(model, config.average_decay, self.optimizer.iterations.value)
        self.best = [v.numpy() for v in model.variables]
        self.history: list[Epoch] = []
        weights = _class_weights(data.train.labels()) if config.class_weights == "balanced" else 1.0
        self._step, self._loss = _compile_steps(model, fast, self.optimizer, self.average, weights, known)

    def run(self, bar: tqdm) -> list[Epoch]:
        """Train to the end; the model then has its best weights."""
        self._restore()
        bar.initial = bar.n = len(self.history) * self.data.train.n_windows
        while len(self.history) < self.config.epochs and not self._out_of_patience():
            epoch = self._run_epoch(len(self.history), bar)
            self.history.append(epoch)
            if best_epoch(self.history, self.config.min_delta) is epoch:
                with self.average.in_model():
                    self.best = [v.numpy() for v in self.model.variables]
            self._save()
        for variable, value in zip(self.model.variables, self.best, strict=True):
            variable.assign(value)
        return self.history

    def _run_epoch(self, number: int, bar: tqdm) -> Epoch:
        rate = _learning_rate(self.history, self.config)
        self.optimizer.learning_rate.assign(rate)
        bar.set_description(f"epoch {number + 1}/{self.config.epochs}")
        started, total, n_done = time.perf_counter(), 0.0, 0
        for batch in self.data.train.epoch(number):
            n = len(batch.codes)
            total += n * float(self._step(batch.codes, batch.labels))
            n_done += n
            bar.update(n)
            bar.set_postfix(self._losses(total / n_done), refresh=False)
        seconds = time.perf_counter() - started
        with self.average.in_model():
            loss, validation_loss = total / n_done, self._validation_loss()
        if not np.isfinite(loss + validation_loss):
            raise InputError(
                "the loss is no longer a number",
                where=f"epoch {number + 1}",
                found=f"loss {loss}, validation loss {validation_loss}",
                remedy="lower learning_rate, or pool_scale",
            )
        return Epoch(number + 1, loss, validation_loss, rate, round(seconds, 3), round(n_done / seconds, 1))

    def _validation_loss(self) -> float:
        losses = [len(b.codes) * float(self._loss(b.codes, b.labels)) for b in self.data.validation]
        return sum(losses) / self.data.validation.n_windows

    def _losses(self, loss: float) -> dict[str, str]:
        shown = {"loss": f"{loss:.4f}"}
        if self.history:
            best = best_epoch(self.history, self.config.min_delta)
            shown |= {
                "validation": f"{self.history[-1].validation_loss:.4f}",
                "best": f"{best.validation_loss:.4f} in epoch {best.epoch}",
            }
        return shown

    def _out_of_patience(self) -> bool:
        if not self.history:
            return False
        best = best_epoch(self.history, self.config.min_delta)
        return len(self.history) - best.epoch >= self.config.patience

    def _save(self) -> None:
        parts = {
            "model": [v.numpy() for v in self.model.variables],
            "optimizer": [v.numpy() for v in self.optimizer.variables],
            "average": [v.numpy() for v in self.average.variables],
            "best": self.best,
        }
        arrays = {f"{part}_{i}": array for part, arrays in parts.items() for i, array in enumerate(arrays)}
        write_checkpoint(self.folder, {"history": np.array(json.dumps(self.history)), **arrays})
        write_history(self.folder, self.history)

    def _restore(self) -> None:
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        remedy = "delete it, and give the same command again: training begins with the first epoch"
        saved = read_arrays(path, remedy=remedy)
        try:
            self.history = _read_history(str(saved["history"]), path)
            for part, holder in (
                ("model", self.model),
                ("optimizer", self.optimizer),
                ("average", self.average),
            ):
                for i, variable in enumerate(holder.variables):
                    variable.assign(saved[f"{part}_{i}"])
            self.best = [saved[f"best_{i}"] for i in range(len(self.best))]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            found = error.found if isinstance(error, InputError) else error
            raise InputError(
                "is not a checkpoint of this run", where=path, found=found, remedy=remedy
            ) from error


def _read_history(text: str, path: Path) -> list[Epoch]:
    rows = typed(parse_json(text, where=path), tuple[tuple[float, ...], ...], where=path)
    return [Epoch(int(row[0]), *row[1:]) for row in rows]


class _Average:
    """Moving average of a network's weights over training steps, none where there is no decay.

    The average after step t is (1 - d) times the weights and d times the average before, with d the smaller
    of `decay` and (1 + t) / (10 + t): the first steps are soon forgotten.
    """

    def __init__(self, model: keras.Model, decay: float | None, step: tf.Variable) -> None:
        floats = [v for v in model.variables if keras.backend.is_float_dtype(v.dtype)]
        self._of = floats if decay is not None else []
        self._average = tf.train.ExponentialMovingAverage(decay or 0.0, num_updates=step)
        # Makes the averages, of the initial weights; inside of a compiled function they could not be made.
        self.update()
        self.variables = [self._average.average(v.value) for v in self._of]

    def update(self) -> None:
        """Take in the weights after a step; part of a compiled function."""
        if self._of:
            self._average.apply([v.value for v in self._of])

    @contextmanager
    def in_model(self) -> Iterator[None]:
        """The network has the averaged weights for a while."""
        trained = [variable.numpy() for variable in self._of]
        for variable, average in zip(self._of, self.variables, strict=True):
            variable.assign(average)
        yield
        for variable, value in zip(self._of, trained, strict=True):
            variable.assign(value)


def _compile_steps(
    model: keras.Model,
    fast: Accelerated,
    optimizer: keras.optimizers.Optimizer,
    average: _Average,
    open_weights: np.ndarray | float,
    known: MotifFilters | None = None,
) -> tuple[Callable, Callable]:
    """Functions of (codes, labels): a training step, and the loss alone; both give the mean loss.

    `fast` computes the logits of `model`, with its variables; `known` are filters set to motifs.
    """
    logits, jit = fast.model, fast.jit and gains_from_xla(model)
    weights = tf.constant(open_weights, tf.float32)

    def loss_of(codes: tf.Tensor, labels: tf.Tensor, *, training: bool) -> tf.Tensor:
        predicted = logits(codes, training=training)
        losses = tf.nn.weighted_cross_entropy_with_logits(tf.cast(labels, tf.float32), predicted, weights)
        return tf.reduce_mean(losses)

    @tf.function(jit_compile=jit)
    def step(codes: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = loss_of(codes, labels, training=True)
            objective = tf.add_n([loss, *logits.losses, *(known.penalties() if known else [])])
        gradients = tape.gradient(objective, model.trainable_variables)
        if known:
            gradients = known.held(gradients, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        average.update()
        return loss

    @tf.function(jit_compile=jit)
    def validate(codes: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return loss_of(codes, labels, training=False)

    return step, validate


def _class_weights(labels: np.ndarray) -> np.ndarray:
    """Weight of the open windows of each cell type: closed windows per open one; 1 where there is none."""
    n_open = labels.sum(axis=0, dtype=np.int64)
    return np.where(n_open > 0, (len(labels) - n_open) / np.maximum(n_open, 1), 1.0)


def _learning_rate(history: list[Epoch], config: TrainConfig) -> float:
    """Learning rate of the next epoch, reduced after each `plateau_patience` epochs without a better loss."""
    rate, best, waited = config.learning_rate, np.inf, 0
    for epoch in history:
        waited += 1
        if epoch.validation_loss < best - config.min_delta:
            best, waited = epoch.validation_loss, 0
        if waited == config.plateau_patience:
            rate, waited = rate * config.plateau_factor, 0
    return rate
