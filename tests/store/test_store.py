from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from chromacc_data import files
from chromacc_data.engine import Engine
from chromacc_data.errors import CheckError, DiskFullError, InputError
from chromacc_data.store import schema
from chromacc_data.store import write as writing
from chromacc_data.store.partial import Partial
from chromacc_data.store.read import content_hash, open_store, read_variable, read_window_block
from chromacc_data.store.write import convert, write_store
from tests import ROOT
from tests.conftest import make_dataset


def write(ds: xr.Dataset, path: Path, key: str = "key", **options: object) -> str:
    with Partial.open(path, key=key) as partial:
        return write_store(
            ds, path, engine=options.pop("engine", Engine(workers=2)), partial=partial, **options
        )


@pytest.mark.parametrize("suffix", [".zarr", ".h5"])
def test_write_store__opens_the_same(tmp_path: Path, suffix: str):
    ds, path = make_dataset(), tmp_path / f"a{suffix}"
    root = write(ds, path)
    opened = open_store(path)
    for name in (variable.name for variable in schema.REAL):
        np.testing.assert_array_equal(opened[name].values, ds[name].values)
        assert opened[name].dtype == ds[name].dtype
        assert opened[name].dims == ds[name].dims
    assert [str(name) for name in opened[schema.CELL_TYPE].values] == ["liver", "T cell"]
    assert list(opened[schema.CHROM.name].attrs[schema.ATTR_NAMES]) == ["chr1", "chr2"]
    assert opened.attrs[schema.ATTR_CONTENT_HASH] == root == content_hash(path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_write_store__plain_xarray_and_h5py_read_it(tmp_path: Path):
    ds = make_dataset()
    write(ds, tmp_path / "a.zarr")
    write(ds, tmp_path / "a.h5")
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "a.zarr")["sequence"].load(), ds["sequence"].load())
    with xr.open_dataset(tmp_path / "a.h5", engine="h5netcdf") as opened:
        np.testing.assert_array_equal(opened["sequence"], ds["sequence"])
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["sequence"][:], ds["sequence"].values)
        assert file["sequence"].fletcher32
        assert [name.decode() for name in file["cell_type"][:]] == ["liver", "T cell"]


@settings(max_examples=10, deadline=None)
@given(n=st.integers(1, 9), chunk=st.integers(1, 10), seed=st.integers(0, 99))
def test_write_store__same_hash_for_both_formats_and_any_workers(
    tmp_path_factory: pytest.TempPathFactory, n: int, chunk: int, seed: int
):
    folder = tmp_path_factory.mktemp("stores")
    ds = make_dataset(n, chunk=chunk, seed=seed)
    engines = [Engine(workers=1), Engine(workers=2), Engine(workers=2)]
    names = ["a.zarr", "b.zarr", "c.h5"]
    hashes = {write(ds, folder / name, engine=engine) for name, engine in zip(names, engines, strict=True)}
    assert len(hashes) == 1
    files = sorted(path.relative_to(folder / "a.zarr") for path in (folder / "a.zarr").rglob("*"))
    assert files == sorted(path.relative_to(folder / "b.zarr") for path in (folder / "b.zarr").rglob("*"))
    for file in files:
        if (folder / "a.zarr" / file).is_file():
            assert (folder / "a.zarr" / file).read_bytes() == (folder / "b.zarr" / file).read_bytes()


def test_content_hash__sees_one_base_one_label_and_one_name(tmp_path: Path):
    ds = make_dataset()
    base = ds.copy(deep=True)
    sequence = base["sequence"].values.copy()
    sequence[3, 5] = np.roll(sequence[3, 5], 1) if sequence[3, 5].any() else [1, 0, 0, 0]
    base["sequence"].data = schema.da.from_array(sequence, chunks=ds["sequence"].data.chunks)
    label = make_dataset(labels=1 - ds["accessibility"].values)
    name = make_dataset(cell_types=("liver", "B cell"))
    hashes = [write(d, tmp_path / f"{i}.zarr") for i, d in enumerate((ds, base, label, name))]
    assert len(set(hashes)) == 4


@pytest.mark.parametrize(("source", "out"), [("a.zarr", "b.h5"), ("a.h5", "b.zarr")])
def test_convert__keeps_the_hash(make_store: Callable[..., Path], tmp_path: Path, source: str, out: str):
    path = make_store(source)
    root = convert(path, tmp_path / out, engine=Engine(workers=2))
    assert root == content_hash(path) == content_hash(tmp_path / out)
    with pytest.raises(InputError, match="exists already"):
        convert(path, tmp_path / out, engine=Engine())


def test_convert__refuses_content_that_is_not_what_its_hash_says(
    make_store: Callable[..., Path], tmp_path: Path
):
    path = make_store()
    zarr.open_group(path, mode="r+")["accessibility"][0, 0] ^= 1
    for out in ("b.h5", "c.zarr"):
        with pytest.raises(CheckError, match="content differs from its hash"):
            convert(path, tmp_path / out, engine=Engine())
        assert not (tmp_path / out).exists()


def test_open_store__damaged_chunk_zarr(make_store: Callable[..., Path]):
    path = make_store()
    chunk = path / "sequence" / "c" / "1" / "0" / "0"
    raw = bytearray(chunk.read_bytes())
    raw[len(raw) // 2] ^= 1
    chunk.write_bytes(raw)
    ds = open_store(path)
    assert read_window_block(ds, "sequence", 0, 4).shape == (4, 12, 4)
    with pytest.raises(InputError, match="a chunk of 'sequence' is damaged") as caught:
        read_window_block(ds, "sequence", 4, 8)
    assert "windows 4 to 8" in str(caught.value)
    with pytest.raises(InputError, match="damaged"):
        content_hash(path)


def test_open_store__damaged_names(make_store: Callable[..., Path]):
    path = make_store()
    chunk = path / "cell_type" / "c" / "0"
    raw = bytearray(chunk.read_bytes())
    raw[raw.index(b"liver") + 4] ^= 1
    chunk.write_bytes(raw)
    with pytest.raises(InputError, match="cannot be opened as a store"):
        open_store(path)


def test_open_store__damaged_chunk_hdf5(make_store: Callable[..., Path]):
    path = make_store("a.h5")
    with h5py.File(path) as file:
        offset = file["sequence"].id.get_chunk_info(1).byte_offset
    raw = bytearray(path.read_bytes())
    raw[offset + 3] ^= 1
    path.write_bytes(raw)
    with pytest.raises(InputError, match="a chunk of 'sequence' is damaged"):
        content_hash(path)


def test_open_store__missing_chunk(make_store: Callable[..., Path]):
    path = make_store()
    (path / "accessibility" / "c" / "2" / "0").unlink()
    with pytest.raises(InputError, match="chunks of 'accessibility' are missing"):
        open_store(path)


def test_open_store__truncated_hdf5(make_store: Callable[..., Path]):
    path = make_store("a.h5")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match="cannot be opened as a store"):
        open_store(path)


def test_open_store__absent_or_unfinished_or_other(tmp_path: Path):
    with pytest.raises(InputError, match="no such store"):
        open_store(tmp_path / "a.zarr")
    (tmp_path / "a.zarr.partial").mkdir()
    with pytest.raises(InputError, match="run its build again"):
        open_store(tmp_path / "a.zarr")
    with pytest.raises(InputError, match="does not name a store format"):
        open_store(tmp_path / "a.txt")
    xr.Dataset({"x": ("y", [1, 2])}).to_zarr(tmp_path / "b.zarr", consolidated=False)
    with pytest.raises(InputError, match="not a chromacc store"):
        open_store(tmp_path / "b.zarr")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ds: ds.attrs.update({schema.ATTR_FORMAT_VERSION: 99}), "another format version"),
        (lambda ds: ds.__delitem__("accessibility"), "'accessibility' is missing"),
        (lambda ds: ds.__setitem__("split", ds["split"].astype("int64")), "another layout"),
        (lambda ds: ds.coords.update({"base": list("TGCA")}), "the wrong order"),
        (lambda ds: ds.coords.update({"cell_type": ["liver", "liver"]}), "not unique"),
    ],
)
def test_validate__says_what_differs(change: Callable, message: str):
    ds = make_dataset()
    schema.validate(ds)
    change(ds)
    with pytest.raises(InputError, match=message):
        schema.validate(ds)


def test_write_store__resumes_after_a_kill(tmp_path: Path):
    """A process that dies after its second chunk leaves markers; the next run makes only what is missing."""
    script = textwrap.dedent(
        """
        import os, sys
        from pathlib import Path
        from chromacc_data.store import write as writing
        from chromacc_data.store.partial import Partial
        from chromacc_data.store.write import write_store
        from chromacc_data.engine import Engine
        from tests.conftest import make_dataset
        write, done = writing._write_chunk, []
        def dying(*arguments):
            if len(done) == 2:
                os.kill(os.getpid(), 9)
            done.append(write(*arguments))
            return done[-1]
        writing._write_chunk = dying
        path = Path(sys.argv[1])
        with Partial.open(path, key="key") as partial:
            write_store(make_dataset(), path, engine=Engine(workers=1), partial=partial)
        """
    )
    path = tmp_path / "a.zarr"
    killed = subprocess.run(
        [sys.executable, "-c", script, path],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert killed.returncode == -9
    assert not path.exists()
    markers = sorted((tmp_path / "a.zarr.partial" / "chunks").iterdir())
    assert len(markers) == 2  # of three, in whatever order
    # One of the two finished chunks is damaged meanwhile: it must be made again, the other kept.
    damaged, kept = (int(marker.name) for marker in markers)
    chunk = tmp_path / "a.zarr.partial" / "store.zarr" / "sequence" / "c" / str(damaged) / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-7])
    made: list[Path] = []
    original = writing._write_chunk
    writing._write_chunk = lambda *arguments: made.append(arguments[-1]) or original(*arguments)
    try:
        found = write(make_dataset(), path)
    finally:
        writing._write_chunk = original
    assert sorted(int(marker.name) for marker in made) == sorted({0, 1, 2} - {kept})
    assert found == write(make_dataset(), tmp_path / "b.zarr")


def test_partial__one_builder_one_key(tmp_path: Path):
    path = tmp_path / "a.zarr"
    with Partial.open(path, key="one"), pytest.raises(InputError, match="another process"):
        Partial.open(path, key="one").__enter__()
    with Partial.open(path, key="two") as partial:  # nothing was finished for the other key
        assert (partial.folder / "key").read_text() == "two"
        (partial.folder / "chunks").mkdir()
        partial.marker(0).write_text("digest")
    with pytest.raises(InputError, match="unfinished build of another"):
        Partial.open(path, key="three").__enter__()
    with Partial.open(path, key="three", restart=True) as partial:
        assert not partial.marker(0).exists()


def test_partial__removed_after_bad_input_kept_when_the_disk_is_full(tmp_path: Path):
    path = tmp_path / "a.zarr"
    with pytest.raises(InputError), Partial.open(path, key="one"):
        raise InputError("bad input")
    assert not list(tmp_path.iterdir())
    with pytest.raises(DiskFullError), Partial.open(path, key="one"):
        raise DiskFullError("full")
    assert (tmp_path / "a.zarr.partial" / "key").exists()


def test_convert__publishes_nothing_that_differs(
    make_store: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = make_store()
    zarr.open_group(path, mode="r+")["accessibility"][0, 0] ^= 1
    monkeypatch.setattr(writing, "publish", lambda *_: pytest.fail("published"))
    with pytest.raises(CheckError, match="differs"):
        convert(path, tmp_path / "b.zarr", engine=Engine(workers=1))
    assert not list(tmp_path.glob("b.zarr*"))


def test_partial__restores_a_store_that_was_being_replaced(make_store: Callable[..., Path]):
    path = make_store()
    path.rename(path.with_name(path.name + ".replaced"))
    with Partial.open(path, key="new"):
        assert open_store(path).sizes[schema.WINDOW] == 10


def test_write_store__replaces_an_older_one_only_when_whole(make_store: Callable[..., Path], tmp_path: Path):
    path = make_store(seed=1)
    before = content_hash(path)

    def broken(block: np.ndarray) -> np.ndarray:
        raise InputError("the FASTA has vanished")

    ds = make_dataset(seed=2)
    ds["sequence"].data = ds["sequence"].data.map_blocks(
        broken, dtype="uint8", meta=np.empty((0, 0, 0), "uint8")
    )
    with pytest.raises(InputError, match="vanished"):
        write(ds, path)
    assert content_hash(path) == before
    after = write(make_dataset(seed=2), path)
    assert content_hash(path) == after != before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_write_store__disk_full(tmp_path: Path):
    """A limit on the size of a file stands in for a full disk: the write fails in the same place."""
    script = textwrap.dedent(
        """
        import resource, signal, sys
        from pathlib import Path
        from chromacc_data.store import write as writing
        from chromacc_data.store.partial import Partial
        from chromacc_data.store.write import write_store
        from chromacc_data.engine import Engine
        from chromacc_data.errors import InputError
        from tests.conftest import make_dataset
        ds, path = make_dataset(4000, 100, chunk=4000), Path(sys.argv[1])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        with Partial.open(path, key="key") as partial:
            try:
                write_store(ds, path, engine=Engine(workers=1), partial=partial)
            except InputError as error:
                print(error)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "a.zarr"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "the disk is full" in done.stdout
    assert "run the same command again to resume" in done.stdout
    assert not (tmp_path / "a.zarr").exists()
    shutil.rmtree(tmp_path / "a.zarr.partial")


@pytest.mark.parametrize("suffix", [".zarr", ".h5"])
def test_open_store__a_replaced_store_is_kept_or_an_error(
    make_store: Callable[..., Path], tmp_path: Path, suffix: str
):
    """A handle from before never gives values of the store that took its place."""
    path = make_store(f"a{suffix}", labels=np.zeros((10, 2)))
    ds = open_store(path)
    (tmp_path / "handle").write_bytes(pickle.dumps(ds))
    read_window_block(ds, "accessibility", 0, 4)
    other = make_store(f"b{suffix}", labels=np.ones((10, 2)))
    files.publish(other, path)
    if suffix == ".zarr":
        with pytest.raises(InputError, match="was replaced"):
            read_window_block(ds, "accessibility", 4, 8)
        with pytest.raises(InputError, match="was replaced"):
            ds["accessibility"].compute()
    else:  # the file is still open
        assert not read_variable(ds, "accessibility").any()
    script = "import pickle, sys\npickle.load(open(sys.argv[1], 'rb'))['accessibility'].compute()"
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "handle"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode
    assert "the store was replaced" in done.stderr
    assert read_variable(open_store(path), "accessibility").all()


@pytest.mark.parametrize("suffix", [".zarr", ".h5"])
def test_open_store__replaced_many_times_under_a_reader(
    make_store: Callable[..., Path], tmp_path: Path, suffix: str
):
    """What is read while a store is replaced again and again is of one store, or an error."""
    stores = [
        make_store(f"{value}{suffix}", n_windows=64, labels=np.full((64, 2), value)) for value in (0, 1)
    ]
    path, copy = tmp_path / f"out{suffix}", tmp_path / f"copy{suffix}"
    copy_store = shutil.copytree if suffix == ".zarr" else shutil.copyfile
    copy_store(stores[0], path)
    read, done = [], threading.Event()

    def read_on() -> None:
        while not done.is_set():
            try:
                ds = open_store(path)
                blocks = [read_window_block(ds, "accessibility", i, i + 8) for i in range(0, 64, 8)]
                read.append(np.unique(np.concatenate(blocks)).tolist())
                ds.close()
            except InputError as error:
                read.append(str(error))

    thread = threading.Thread(target=read_on)
    thread.start()
    try:
        for turn in range(50):
            copy_store(stores[turn % 2], copy)
            files.publish(copy, path)
            time.sleep(0.01)
    finally:
        done.set()
        thread.join()
    values = [one for one in read if isinstance(one, list)]
    assert values
    assert all(one in ([0], [1]) for one in values)


def test_open_store__a_chunk_that_goes_is_no_zeros(make_store: Callable[..., Path]):
    path = make_store()
    ds = open_store(path)
    next((path / "accessibility" / "c" / "1").rglob("0")).unlink()
    (path / "accessibility" / "c" / "1" / "0").unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError, match="is missing"):
        ds["accessibility"].compute()
    with pytest.raises(InputError, match="damaged"):
        read_variable(ds, "accessibility")


def test_convert__hdf5_on_a_full_disk(make_store: Callable[..., Path], tmp_path: Path):
    """HDF5 itself crashes when it closes a file on a full disk."""
    path = make_store(n_windows=400, window_length=200)
    script = (
        "import resource, sys\nfrom pathlib import Path\nfrom chromacc_data.store.write import convert\n"
        "from chromacc_data.engine import Engine\nfrom chromacc_data.errors import InputError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "try:\n    convert(Path(sys.argv[1]), Path(sys.argv[2]), engine=Engine(workers=1))\n"
        "except InputError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path, tmp_path / "b.h5"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "the disk is full" in done.stdout
    assert not (tmp_path / "b.h5").exists()
