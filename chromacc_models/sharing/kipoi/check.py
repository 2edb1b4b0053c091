"""Check a model folder: what its files say, their checksums, and the predictions of the example."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import keras
import numpy as np

from chromacc_data.errors import CheckError, InputError
from chromacc_data.store.hdf5 import require_plain
from chromacc_models.networks.weights import load_network, require_sequences
from chromacc_models.sharing.kipoi import files as kf
from chromacc_models.sharing.kipoi.additions import list_additions
from chromacc_models.sharing.kipoi.client import kipoi

__all__ = ["Checked", "check", "load_with_kipoi"]

#: Largest difference between a prediction and the stored one: what float32 sums differ by between machines.
TOLERANCE = 1e-5
_BATCH_SIZE = 32


class Checked(NamedTuple):
    """What a check went through."""

    n_regions: int
    n_cell_types: int
    largest_difference: float
    #: Texts without a checksum, in folders of older releases.
    unchecked: tuple[str, ...] = ()
    #: Files that are not part of the model.
    additions: tuple[str, ...] = ()


def check(folder: Path | str, *, accept_texts: bool = False) -> Checked:
    """Check a model folder: what its files say, their checksums, and its predictions.

    Strict where Kipoi is silent: unknown keys, missing texts, wrong checksums, further Python or YAML files,
    shapes and labels that do not fit the network, and warnings of Kipoi's own parser are errors. Then the
    folder's example goes through the loader and the model, as Kipoi loads them.

    Parameters
    ----------
    folder
        Model folder.
    accept_texts
        Take model.yaml, dataloader.yaml and README.md as they are now, and list their checksums again, once
        all else has passed.

    Returns
    -------
    Checked
        Regions and cell types compared, the largest difference from the stored predictions, the texts
        without a checksum, and the files that are not part of the model, which are not checked.

    Raises
    ------
    InputError
        At the first thing that is wrong with the folder.
    CheckError
        If the predictions are not the stored ones, to 1e-5.
    """
    folder = Path(folder)
    description, loader = kf.read_model_file(folder), kf.read_dataloader_file(folder)
    kf.require_checksums(folder, description)
    additions = list_additions(folder)
    for name in kf.TEXT_FILES:
        kf.require_inside(folder, name)
    if not (folder / kf.CARD).is_file() or not (folder / kf.CARD).read_bytes().strip():
        raise InputError("no model card", where=folder / kf.CARD)
    network = load_network(folder / description.args.weights)
    require_sequences(network, where=folder / description.args.weights)
    _require_fitting(folder, description, loader, network)
    unchecked = () if accept_texts else kf.require_text_checksums(folder)
    checked = _require_predictions(folder, load_with_kipoi(folder))
    if accept_texts:
        kf.accept_texts(folder)
    return checked._replace(unchecked=unchecked, additions=additions)


def load_with_kipoi(folder: Path) -> Any:
    """The model as Kipoi loads it, with its loader; a warning of Kipoi is an error.

    The descriptions are read strictly first: Kipoi runs what a tag in them names.
    """
    kf.read_model_file(folder)
    kf.read_dataloader_file(folder)
    warnings = _Warnings()
    logger = logging.getLogger("kipoi")
    logger.addHandler(warnings)
    try:
        model = kipoi.get_model(str(folder.resolve()), source="dir")
    except InputError:
        raise
    except Exception as error:  # Kipoi raises errors of every kind
        raise InputError(
            "Kipoi cannot load this folder",
            where=folder,
            found=(str(error).splitlines() or [type(error).__name__])[0][:300],
            remedy="fetch the model again, or package it again",
        ) from error
    finally:
        logger.removeHandler(warnings)
    if warnings.messages:
        raise InputError("Kipoi warns of this folder", where=folder, found="; ".join(warnings.messages))
    return model


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def _require_fitting(
    folder: Path,
    description: kf.ModelDescription,
    loader: kf.DataloaderDescription,
    network: keras.Model,
) -> None:
    """Raise unless shapes, labels and the default window length are those of the network."""
    for where, shape, expected in (
        (f"{kf.MODEL_FILE}, schema.inputs.shape", description.schema.inputs.shape, network.input_shape),
        (f"{kf.MODEL_FILE}, schema.targets.shape", description.schema.targets.shape, network.output_shape),
        (
            f"{kf.DATALOADER_FILE}, output_schema.inputs.shape",
            loader.output_schema.inputs.shape,
            network.input_shape,
        ),
    ):
        if kf.parse_shape(shape) != expected[1:]:
            raise InputError(
                "a shape that is not the network's",
                where=f"{folder}/{where}",
                found=shape,
                expected=expected[1:],
            )
    labels = kf.read_targets(folder)
    kf.require_labels(labels, network.output_shape[1], where=folder / kf.TARGETS)
    length = loader.args.window_length.default
    if length != network.input_shape[1]:
        raise InputError(
            "a window length that is not the network's",
            where=f"{folder / kf.DATALOADER_FILE}, args.window_length.default",
            found=length,
            expected=network.input_shape[1],
        )


def _require_predictions(folder: Path, model: Any) -> Checked:
    """Raise unless loader and model give the stored inputs and predictions for the example."""
    expected = _read_expected(folder / kf.EXPECTED)
    batches = model.default_dataloader.init_example().batch_iter(batch_size=_BATCH_SIZE)
    inputs = np.concatenate([batch["inputs"] for batch in batches])
    predictions = model.predict_on_batch(inputs)
    if predictions.shape != expected["preds"].shape:
        raise CheckError(
            "predictions of another shape than those stored",
            where=folder / kf.EXPECTED,
            found=f"shape {predictions.shape}",
            expected=f"shape {expected['preds'].shape}",
        )
    if inputs.shape != expected["inputs"].shape or not np.array_equal(inputs, expected["inputs"]):
        raise CheckError(
            "the loader gives other sequences than those stored",
            where=folder / kf.EXPECTED,
            found=f"shape {inputs.shape}",
            expected=f"shape {expected['inputs'].shape}, with the same values",
        )
    difference = float(np.max(np.abs(predictions - expected["preds"])))
    if not difference <= TOLERANCE:  # also when it is NaN
        region = int(np.argmax(np.max(np.abs(predictions - expected["preds"]), axis=1)))
        raise CheckError(
            "predictions differ from those stored",
            where=folder / kf.EXPECTED,
            found=f"a difference of {difference:.2g}, in region {region} of {kf.EXAMPLE_BED}",
            expected=f"at most {TOLERANCE:g}",
        )
    return Checked(*predictions.shape, difference)


def _read_expected(path: Path) -> dict[str, np.ndarray]:
    """Stored inputs and predictions."""
    shapes = require_plain(path, where=path)
    if not {"/inputs", "/preds"} <= shapes.keys():
        raise InputError(
            "no stored predictions",
            where=path,
            found=", ".join(sorted(shapes)[:8]) or "nothing",
            expected="inputs and preds",
            remedy="fetch the model again, or package it again",
        )
    with h5py.File(path) as file:
        return {name: np.asarray(file[name]) for name in ("inputs", "preds")}
