"""The scorer: the same numbers as Keras, without TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import one_hot
from chromacc_models.networks.architectures import NETWORKS
from chromacc_models.scoring.scorer import NotInterpretableError, Scorer
from tests import ROOT

MODELS = ROOT / "models"

OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("baseline", {}),
    ("baseline", {"strands": "forward", "pooling": "max", "dropout": 0.2}),
    ("baseline", {"pooling": "logsumexp", "scan_length": 20, "activation": "exponential"}),
    ("factorization_machine", {"k": 3, "vectors_scale": 0.5}),
    ("factorization_machine", {"k": 2, "pooling": "max", "scan_length": 50, "l2": 0.01}),
    ("motif_builder", {"block_length": 2, "filter_blocks": 3}),
    ("motif_builder", {"block_length": 3, "filter_blocks": 2, "tables": "free", "pooling": "average"}),
]
LENGTH, CELL_TYPES = 40, 3


def saved_network(folder: Path, network: str, options: dict[str, Any], *, seed: int = 0) -> tuple[Any, Path]:
    """A small network with random weights, and its file."""
    width = {} if network == "motif_builder" else {"filter_width": 6}
    model = NETWORKS[network](LENGTH, CELL_TYPES, n_filters=11, seed=seed, **width, **options)
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(variable.numpy() + rng.normal(0, 0.3, variable.shape))
    path = folder / "network.keras"
    model.save(path)
    return model, path


def windows(n: int, *, seed: int = 0) -> np.ndarray:
    """Random base codes with N at an end, inside, and everywhere."""
    codes = np.random.default_rng(seed).integers(0, 4, (n, LENGTH), dtype=np.uint8)
    codes[1, :4] = codes[2, 17] = codes[3] = 4
    return codes


@pytest.mark.parametrize(("network", "options"), OPTIONS)
def test_predict__is_what_keras_gives(tmp_path: Path, network: str, options: dict[str, Any]):
    model, path = saved_network(tmp_path, network, options)
    codes = windows(9)
    expected = model(one_hot(codes, dtype=np.float32), training=False).numpy()
    found = Scorer.open(path).predict(codes)
    assert found.dtype == np.float32
    assert expected.std() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["Baseline", "FactorizationMachine", "MotifBuilder"])
def test_predict__shipped_models(name: str):
    from chromacc_models.networks.weights import load_network

    path = MODELS / "hg19-dnase-6" / name / "model.keras"
    scorer = Scorer.open(path)
    codes = np.random.default_rng(1).integers(0, 5, (7, scorer.window_length), dtype=np.uint8)
    expected = load_network(path)(one_hot(codes, dtype=np.float32), training=False).numpy()
    np.testing.assert_allclose(scorer.predict(codes), expected, rtol=0, atol=1e-6)


def test_open__other_networks_are_left_to_keras(tmp_path: Path):
    path = tmp_path / "basset.keras"
    NETWORKS["basset"](600, 2, size=0.02).save(path)
    with pytest.raises(NotInterpretableError, match="BatchNormalization"):
        Scorer.open(path)


def test_open__damaged(tmp_path: Path):
    path = tmp_path / "network.keras"
    path.write_bytes((MODELS / "hg19-dnase-6" / "Baseline" / "model.keras").read_bytes()[:5000])
    with pytest.raises(InputError, match="cannot be loaded"):
        Scorer.open(path)


def test_logits__windows_of_another_length(tmp_path: Path):
    _, path = saved_network(tmp_path, "baseline", {})
    with pytest.raises(ValueError, match=r"codes of shape \(2, 39\); expected \(window, 40\)"):
        Scorer.open(path).logits(np.zeros((2, 39), np.uint8))


def test_scorer__needs_no_tensorflow():
    code = (
        "import sys, numpy as np\n"
        "from chromacc_models.effects.substitutions import Substitutions\n"
        "from chromacc_models.scoring.scorer import Scorer\n"
        f"scorer = Scorer.open({str(MODELS / 'hg19-dnase-6' / 'Baseline' / 'model.keras')!r})\n"
        "Substitutions(scorer).effects(np.zeros((1, 600), np.uint8))\n"
        "print(sorted({'tensorflow', 'keras', 'dask', 'xarray'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
