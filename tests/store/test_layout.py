"""Stores that are refused before zarr, h5py or xarray act on what their metadata say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numcodecs
import numpy as np
import pytest
import zarr

from chromacc_data import describe_store as info
from chromacc_data.engine import Engine
from chromacc_data.errors import InputError
from chromacc_data.simulation.truth import Truth
from chromacc_data.store import schema
from chromacc_data.store.read import open_store
from chromacc_data.store.write import convert


class Payload:
    """An object whose unpickling makes a folder."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple:
        import os

        return os.mkdir, (str(self.place),)


def test_open_store__zarr_2_with_pickles(tmp_path: Path):
    path, ran = tmp_path / "old.zarr", tmp_path / "ran"
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.attrs[schema.ATTR_FORMAT] = schema.FORMAT
    names = path / "base"
    names.mkdir()
    values = np.array([Payload(ran)], dtype=object)
    meta = {
        "zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "order": "C", "fill_value": None,
        "compressor": None, "filters": [{"id": "pickle", "protocol": 5}],
    }  # fmt: skip
    (names / ".zarray").write_text(json.dumps(meta))
    (names / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": ["base"]}))
    (names / "0").write_bytes(numcodecs.Pickle().encode(values))
    with pytest.raises(InputError, match="cannot be opened as a store") as caught:
        info.describe(path)
    assert "Zarr format 2" in str(caught.value)
    assert not ran.exists()


def test_open_store__array_of_zarr_2_inside(make_store: Callable[..., Path]):
    path = make_store()
    (path / "split" / ".zarray").write_text("{}")
    with pytest.raises(InputError, match="cannot be opened as a store"):
        open_store(path)


CHANGES = {
    "codec": {"codecs": [{"name": "numcodecs.pickle"}]},
    "codec that is no object": {"codecs": ["pickle"]},
    "no codec": {"codecs": []},
    "type": {"data_type": "object"},
    "type that is no text": {"data_type": {"name": "numpy.datetime64"}},
    "huge chunk": {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [10**12]}}},
    "chunk of nothing": {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0]}}},
    "no chunk": {"chunk_grid": {}},
    "chunks of another rank": {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 4]}}},
    "negative shape": {"shape": [-1]},
    "shape that is no list": {"shape": "10"},
    "format": {"zarr_format": 2},
    "node": {"node_type": "group"},
    "transformers": {"storage_transformers": [{"name": "x"}]},
}


@pytest.mark.parametrize("case", CHANGES)
def test_open_store__metadata_of_another_kind(make_store: Callable[..., Path], case: str):
    path = make_store()
    file = path / "split" / "zarr.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | CHANGES[case]))
    with pytest.raises(InputError, match="cannot be opened as a store") as caught:
        open_store(path)
    assert "split" in str(caught.value)


def test_open_store__more_windows_than_chunks(make_store: Callable[..., Path]):
    path = make_store()
    file = path / "split" / "zarr.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"shape": [10**15]}))
    with pytest.raises(InputError, match="chunks of 'split' are missing"):
        open_store(path)


@pytest.mark.parametrize("text", ["", "[]", "null", "[" * 50_000, "{", '{"zarr_format": 3}'])
@pytest.mark.parametrize("name", ["zarr.json", "split/zarr.json"])
def test_open_store__damaged_metadata(make_store: Callable[..., Path], name: str, text: str):
    path = make_store()
    (path / name).write_text(text)
    with pytest.raises(InputError):
        open_store(path)


def set_attribute(path: Path, name: str, value: object) -> None:
    if path.suffix == ".zarr":
        text = json.loads((path / "zarr.json").read_text())
        text["attributes"][name] = value
        (path / "zarr.json").write_text(json.dumps(text))
    else:
        with h5py.File(path, "r+") as file:
            file.attrs[name] = value


@pytest.fixture(params=["zarr", "h5"])
def written(request: pytest.FixtureRequest, make_store: Callable[..., Path], tmp_path: Path) -> Path:
    path = make_store()
    if request.param == "h5":
        convert(path, tmp_path / "small.h5", engine=Engine(workers=1))
        return tmp_path / "small.h5"
    return path


FACTS = {"assembly": "a", "sequences": {"chr1": {"length": 9, "md5": "x"}}}
ATTRIBUTES = [
    *((schema.ATTR_WINDOW_CHUNK, value) for value in (0, -1, "4", "many", 2**40, 2.5, True, [4, 4])),
    *((name, 7) for name in schema.TEXT_ATTRIBUTES),
    *(
        (name, value)
        for name in schema.JSON_ATTRIBUTES
        for value in ("", "{", "7", '"x"', "null", "[" * 9999)
    ),
    (schema.ATTR_COUNTS, '{"windows": "many"}'),
    (schema.ATTR_COUNTS, '{"windows": NaN}'),
    (schema.ATTR_COUNTS, '{"windows": 1, "windows": 2}'),
    (schema.ATTR_COUNTS, '{"windows": %s}' % ("9" * 5000)),
    (schema.ATTR_VERSIONS, '{"chromacc": 1}'),
    (schema.ATTR_INPUTS, '[{"name": "x"}]'),
    (schema.ATTR_LEAKS, '{"splits": {"train-test": 3}}'),
    (schema.ATTR_GENOME, '{"assembly": "a"}'),
    (schema.ATTR_GENOME, '{"assembly": "a", "sequences": {"chr1": {"length": "9", "md5": ""}}}'),
    (schema.ATTR_GENOME, json.dumps(FACTS)),  # of one chromosome only
    (schema.ATTR_FORMAT_VERSION, "9" * 5000),
    (schema.ATTR_FORMAT, 1),
]


@pytest.mark.parametrize(("name", "value"), ATTRIBUTES)
def test_open_store__damaged_attributes(written: Path, name: str, value: object):
    set_attribute(written, name, value)
    with pytest.raises(InputError) as caught:
        open_store(written)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("link", [h5py.ExternalLink("/etc/passwd", "/x"), h5py.SoftLink("/split")])
def test_open_store__hdf5_that_leads_elsewhere(make_store: Callable[..., Path], tmp_path: Path, link: object):
    path = tmp_path / "small.h5"
    convert(make_store(), path, engine=Engine(workers=1))
    with h5py.File(path, "r+") as file:
        file["more"] = link
    with pytest.raises(InputError):
        open_store(path)


TRUTHS = [
    "", "{}", "[]", '{"bases": "consensus", "motifs": [], "models": 3}',
    '{"bases": "x", "motifs": [], "models": []}',
    '{"bases": "consensus", "motifs": [{"name": "A", "id": "A", "full_name": "A", "ppm": []}], "models": []}',
    '{"bases": "sampled", "motifs": [{"name": "A", "id": "A", "full_name": "", "ppm": [[1]]}], "models": []}',
    '{"bases": "consensus", "motifs": [], "models": [{"cell_type": "x", "model": "additive", "threshold": 1, '
    '"contributions": {"B": 1}}]}',
]  # fmt: skip


@pytest.mark.parametrize("text", TRUTHS)
def test_truth__damaged(text: str):
    with pytest.raises(InputError, match="is damaged"):
        Truth.from_json(text)
