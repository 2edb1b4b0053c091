"""The options of a training where a user gives none: those of a preset that suits the store."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from chromacc_data.progress import LOG
from chromacc_data.simulation.truth import is_simulated, read_sites
from chromacc_data.store import schema
from chromacc_data.store.read import open_store
from chromacc_models.networks.presets import DEFAULT_PRESET, StoreTraits
from chromacc_models.training.config import TrainConfig, load_config
from chromacc_models.training.run_info import read_info

__all__ = ["choose_config", "traits_of", "with_recommended"]

#: Windows whose sites are looked at.
_N_LOOKED_AT = 4096


def choose_config(
    store: Path | str,
    out: Path | str,
    *,
    path: Path | str | None = None,
    settings: Sequence[str] = (),
    preset: str | None = None,
) -> TrainConfig:
    """Configuration of a training into `out`: what was given, and for the rest a preset.

    A run that stands in `out`, made before there were presets by what was given and the networks' own
    defaults, keeps these: the same command resumes it.

    Parameters
    ----------
    store
        Path of the store: simulated windows have options of their own.
    out
        Run folder, or the folder of a cross-validation.
    path, settings
        As in :func:`~chromacc_models.training.config.load_config`.
    preset
        "recommended" or "thesis"; the recommended options when None.

    Raises
    ------
    InputError
        As :func:`~chromacc_models.training.config.load_config`, and if the store cannot be opened.
    """
    own_defaults = load_config(path, settings=settings)
    traits = traits_of(open_store(store))
    chosen = load_config(path, settings=settings, preset=preset or DEFAULT_PRESET, traits=traits)
    if preset is None and chosen != own_defaults and _stands_in(Path(out), own_defaults):
        LOG.info("%s: this run was made without a preset and keeps its options", out)
        return own_defaults
    return chosen


def with_recommended(config: TrainConfig | str, store: Path | str, out: Path | str) -> TrainConfig:
    """A configuration as it is; of a network's name, the one that is recommended for a store."""
    if isinstance(config, TrainConfig):
        return config
    TrainConfig(network=config)  # says which networks there are
    return choose_config(store, out, settings=[f"network={config}"])


def traits_of(ds: xr.Dataset) -> StoreTraits:
    """What of an open store decides the options of a preset."""
    length = ds.sizes[schema.POSITION]
    if not is_simulated(ds):
        return StoreTraits(length)
    sites = read_sites(ds, 0, min(_N_LOOKED_AT, ds.sizes[schema.WINDOW]))
    return StoreTraits(length, simulated=True, site_strands="both" if (sites.strand < 0).any() else "forward")


def _stands_in(out: Path, config: TrainConfig) -> bool:
    """Whether a run of a configuration is in a folder, or of one of its folds in the folder of a fold."""
    infos = map(read_info, [out, *sorted(out.glob("fold-*"))])
    return any(
        info is not None and _apart_from_fold(info.config) == _apart_from_fold(config) for info in infos
    )


def _apart_from_fold(config: TrainConfig) -> TrainConfig:
    return dataclasses.replace(config, fold=None, initial_filters=None)
