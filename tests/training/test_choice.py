from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from chromacc_data.build_store import build
from chromacc_data.errors import InputError
from chromacc_data.store.read import open_store
from chromacc_models.networks.presets import StoreTraits
from chromacc_models.training.choice import choose_config, traits_of, with_recommended
from chromacc_models.training.config import TrainConfig, load_config
from chromacc_models.training.run_info import RunInfo, StoreOfRun
from tests.simulated import write_simulated_dataset
from tests.small import write_small_dataset

FM = ["network=factorization_machine"]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    return build(write_small_dataset(folder / "small"), folder / "a.zarr").path


def stands_in(folder: Path, config: TrainConfig) -> None:
    """A folder with the `run.json` of a run that has begun."""
    info = RunInfo(store=StoreOfRun("a.zarr", "0" * 64), config=config, cell_types=("A",), window_length=60)
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(info.to_json())


def test_choose_config__recommended_unless_another_preset_is_named(real: Path, tmp_path: Path):
    traits = StoreTraits(60)
    chosen = choose_config(real, tmp_path / "run", settings=FM)
    assert chosen == TrainConfig.preset("recommended", "factorization_machine", traits)
    assert (chosen.pooling, chosen.dropout, chosen.scan_length) == ("max", 0.2, None)
    thesis = choose_config(real, tmp_path / "run", settings=FM, preset="thesis")
    assert thesis == TrainConfig.preset("thesis", "factorization_machine", traits)
    assert (thesis.pooling, thesis.strands, thesis.pool_scale) == ("average", "forward", 200.0)
    assert with_recommended("factorization_machine", real, tmp_path / "run") == chosen
    assert with_recommended(thesis, real, tmp_path / "run") is thesis


def test_choose_config__what_is_given_overrides_the_preset(real: Path, tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("network: baseline\ndropout: 0.5\naverage_decay: null\n")
    chosen = choose_config(real, tmp_path / "run", path=path, settings=["n_filters=8"])
    assert (chosen.dropout, chosen.average_decay, chosen.n_filters) == (0.5, None, 8)
    assert (chosen.l2, chosen.learning_rate) == (3e-4, 0.002)  # the preset's
    # The factor on pooled values belongs to the way of pooling.
    pooled = choose_config(real, tmp_path / "run", settings=[*FM, "pooling=max"], preset="thesis")
    assert pooled.pool_scale == 1.0


@pytest.mark.parametrize(
    "old",
    [
        TrainConfig(network="factorization_machine", n_filters=4),
        TrainConfig(network="motif_builder", seed=3, plateau_patience=2),
        TrainConfig(network="basset", dropout=0.1),
    ],
)
def test_choose_config__the_record_of_a_run_is_complete(old: TrainConfig, real: Path, tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text(old.to_yaml())
    assert choose_config(real, tmp_path / "run", path=path) == old
    changed = choose_config(real, tmp_path / "run", path=path, settings=["seed=9"], preset="thesis")
    assert changed == dataclasses.replace(old, seed=9)


@pytest.mark.parametrize("folder", ["run", "run/fold-1"])
def test_choose_config__a_run_made_before_there_were_presets_is_resumed(
    folder: str, real: Path, tmp_path: Path
):
    old = TrainConfig(network="factorization_machine", n_filters=8)
    stands_in(tmp_path / folder, dataclasses.replace(old, fold=1))
    settings = [*FM, "n_filters=8"]
    assert choose_config(real, tmp_path / "run", settings=settings) == old
    assert choose_config(real, tmp_path / "run", settings=[*FM, "n_filters=9"]).dropout == 0.2
    assert choose_config(real, tmp_path / "run", settings=settings, preset="recommended").dropout == 0.2


def test_choose_config__simulated_stores_have_options_of_their_own(tmp_path: Path):
    store = build(write_simulated_dataset(tmp_path), tmp_path / "a.zarr").path
    traits = traits_of(open_store(store))
    assert traits.simulated
    chosen = choose_config(store, tmp_path / "run", settings=FM)
    assert chosen == TrainConfig.preset("recommended", "factorization_machine", traits)
    assert chosen.scan_length == traits.window_length + 38


def test_with_recommended__no_such_network(real: Path, tmp_path: Path):
    with pytest.raises(InputError, match="no such network"):
        with_recommended("resnet", real, tmp_path / "run")


def test_train_config__no_such_preset_or_network():
    with pytest.raises(InputError, match="no such preset"):
        TrainConfig.preset("best", "baseline")
    with pytest.raises(InputError, match="no such network"):
        TrainConfig.preset("recommended", "resnet")
    with pytest.raises(InputError, match="baseline has no such option"):
        TrainConfig.preset("recommended", "baseline", k=3)


def test_load_config__without_a_preset_the_networks_own_defaults():
    assert load_config(settings=FM) == TrainConfig(network="factorization_machine")
