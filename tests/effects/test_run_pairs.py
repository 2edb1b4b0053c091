"""The command pairs: files that xarray opens, resumed, drawn, and refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

from chromacc_data.errors import InputError
from chromacc_data.sequences.genome import Genome
from chromacc_models.cli import main_group
from chromacc_models.effects import run_pairs
from chromacc_models.effects.pairs import PairEffects
from chromacc_models.effects.run_pairs import pairs
from chromacc_models.scoring.scorer import Scorer
from tests.effects.regions import LENGTH, MODEL, STARTS, Place, make_place

SITES = ((200, 205), (203, 230))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("pairs"))


def opened(path: Path) -> xr.Dataset:
    with xr.open_zarr(path) if path.suffix == ".zarr" else xr.open_dataset(path, engine="h5netcdf") as ds:
        return ds.load()


@pytest.mark.parametrize("suffix", [".zarr", ".h5"])
def test_pairs__of_sites(place: Place, tmp_path: Path, suffix: str):
    out = tmp_path / f"pairs{suffix}"
    assert pairs(MODEL, place.regions, place.genome, out, sites=SITES, cell_types=["HepG2", "K562"]) == [out]
    ds = opened(out)
    assert ds["interaction"].dims == (
        *("region", "position_a", "base_a", "position_b", "base_b", "cell_type"),
    )
    assert ds["start"].values.tolist() == list(STARTS)
    assert ds["position_b"].values.tolist() == list(range(*SITES[1]))
    scorer = Scorer.open(MODEL / "model.keras")
    genome = Genome.open(place.genome)
    codes = genome.windows(np.array([0]), np.array(STARTS[:1]), LENGTH)[0]
    expected = PairEffects(scorer).of_window(codes, *(range(*site) for site in SITES))
    for name in ("interaction", "cooperation"):
        found = ds[name].sel(cell_type=["K562", "HepG2"]).isel(region=0).to_numpy()
        np.testing.assert_allclose(found, getattr(expected, name)[..., [1, 4]], atol=1e-6)
        assert found.any()
    assert list(tmp_path.iterdir()) == [out]


def test_pairs__resumes(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made, save = [], run_pairs._save_part

    def stop(*arguments: object) -> None:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(arguments[2])
        save(*arguments)

    monkeypatch.setattr(run_pairs, "_save_part", stop)
    with pytest.raises(KeyboardInterrupt):
        pairs(MODEL, place.regions, place.genome, tmp_path / "p.zarr", sites=SITES)
    assert not (tmp_path / "p.zarr").exists()
    before = made.copy()
    monkeypatch.setattr(run_pairs, "_save_part", lambda *given: made.append(given[2]) or save(*given))
    pairs(MODEL, place.regions, place.genome, tmp_path / "p.zarr", sites=SITES)
    assert len(made) == len(STARTS)
    assert made[: len(before)] == before
    assert len(opened(tmp_path / "p.zarr")["region"]) == len(STARTS)


def test_command__draws(place: Place, tmp_path: Path):
    arguments = [MODEL, place.regions, place.genome, "-o", tmp_path / "p.zarr", "--cell-type", "K562"]
    arguments += ["--plot", tmp_path / "p.png", "--plot-regions", 2]
    for number, sites in enumerate(((), ("--sites", "200-205", "203-230"))):
        line = ["pairs", *arguments, *sites, "-q", "--overwrite"]
        if not sites:  # the whole window, of one region
            (tmp_path / "one.bed").write_text("chr1\t700\t1300\tfirst\n")
            line[2] = tmp_path / "one.bed"
        done = CliRunner().invoke(main_group, [*map(str, line)], catch_exceptions=False)
        assert done.exit_code == 0
        written = done.output.split()
        assert len(written) == (2, 3)[number]
        for path in written[1:]:
            assert Path(path).read_bytes().startswith(b"\x89PNG")
    bad = CliRunner().invoke(main_group, [*map(str, ["pairs", *arguments, "--sites", "5", "7-9"])])
    assert bad.exit_code == 2
    assert "no range of positions" in bad.output


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("p.npz", {}, "does not name a format"),
        ("p.zarr", {"sites": ((5, 5), (7, 9))}, "outside the window"),
        ("p.zarr", {"sites": ((5, 6), (590, 601))}, "outside the window"),
        ("p.zarr", {"cell_types": ["liver"]}, "unknown cell type"),
        ("p.zarr", {"plot": "p.txt"}, "format of pictures"),
    ],
)
def test_pairs__bad_input(place: Place, tmp_path: Path, name: str, options: dict, message: str):
    with pytest.raises(InputError, match=message):
        pairs(MODEL, place.regions, place.genome, tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_pairs__of_a_network_that_keras_computes(place: Place, tmp_path: Path):
    from chromacc_models.networks.architectures import basset

    basset(200, 1, size=0.01).save(tmp_path / "basset.keras")
    with pytest.raises(InputError, match="interpretable networks only"):
        pairs(tmp_path / "basset.keras", place.regions, place.genome, tmp_path / "p.zarr", sites=SITES)
