"""Networks that the kernels cannot compute: mutants scored one by one, and no contributions."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import xarray as xr

import chromacc_models as cm
from chromacc_data.errors import InputError
from chromacc_data.sequences.encoding import N_CODE
from chromacc_models.effects.network import AskedNetwork, naive_effects
from chromacc_models.kmer_kernels.scan import FrontEnd
from chromacc_models.networks.architectures import basset
from chromacc_models.scoring.keras_scorer import KerasScorer
from chromacc_models.scoring.saved_network import Network
from chromacc_models.scoring.scorer import Scorer
from tests.effects.test_substitutions import naive_effects as every_mutant
from tests.effects.test_substitutions import random_scorer

LENGTH = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Basset, a genome and a region."""
    folder = tmp_path_factory.mktemp("network")
    keras.utils.set_random_seed(3)
    basset(LENGTH, 2, size=0.01).save(folder / "basset.keras")
    (folder / "genome.fa").write_text(f">chr1\n{'ACGTTGCA' * 60}\n")
    (folder / "one.bed").write_text(f"chr1\t40\t{40 + LENGTH}\tone\n")
    return folder


def test_naive_effects__are_those_of_every_mutant():
    scorer = random_scorer(6, left=3)
    codes = np.random.default_rng(1).integers(0, 5, (3, scorer.window_length), dtype=np.uint8)
    found = naive_effects(scorer, codes)
    for window, effects in zip(codes, found, strict=True):
        np.testing.assert_allclose(effects, every_mutant(scorer, window), rtol=1e-4, atol=1e-4)
    assert (codes == N_CODE).any()
    assert naive_effects(scorer, codes[:0]).shape == (0, 30, 4, 3)


def test_basset__every_mutant_is_scored(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    arguments = folder / "basset.keras", folder / "one.bed", folder / "genome.fa"
    cm.mutagenesis(*arguments, tmp_path / "out.zarr", plot=tmp_path / "out.png")
    assert "every one of 600 mutants of a window is scored by itself" in caplog.text
    assert (tmp_path / "out.png").stat().st_size > 10_000  # without hits, which this network has not
    asked = AskedNetwork.open(Network(folder / "basset.keras"))
    assert isinstance(asked.scorer, KerasScorer)
    with xr.open_zarr(tmp_path / "out.zarr") as ds:
        assert ds.attrs["method"].startswith("naive")
        reference = ds["reference"].to_numpy()
        mutant = reference.copy()
        mutant[0, 50] = (mutant[0, 50] + 1) % 4
        expected = asked.scorer.logits(mutant) - asked.scorer.logits(reference)
        np.testing.assert_allclose(ds["effect"][0, 50, mutant[0, 50]], expected[0], atol=1e-5)
        assert np.abs(ds["effect"]).max() > 0


@pytest.mark.parametrize("function", [cm.contributions, cm.hits])
def test_basset__has_no_contributions(folder: Path, tmp_path: Path, function):
    out = tmp_path / "out.tsv"
    with pytest.raises(InputError, match="exact sums over filters, which this network does not have"):
        function(folder / "basset.keras", folder / "one.bed", folder / "genome.fa", out)
    assert not list(tmp_path.iterdir())


def test_dilated_filters__contributions_but_naive_mutants():
    plain = random_scorer(0)
    front_end = FrontEnd(window_length=30, n_filters=5, width=4, spacing=2, pooling="max")
    dilated = Scorer(30, slice(0, 30), (0, 0), front_end, plain.kernel, plain.filter_bias, plain.head)
    asked = AskedNetwork(dilated, 30, Path("dilated.keras"))
    codes = np.random.default_rng(1).integers(0, 4, (2, 30), dtype=np.uint8)
    assert asked.is_naive
    np.testing.assert_allclose(asked.effects(codes)[0], every_mutant(dilated, codes[0]), rtol=1e-4, atol=1e-4)
    added = asked.contributions.of_bases(codes).sum(axis=1)
    np.testing.assert_allclose(added, dilated.logits(codes) - dilated.head.bias, atol=1e-5)
