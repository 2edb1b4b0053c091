"""One byte flipped in a store or a model folder: it must be seen, or change nothing.

    python tests/benchmarks/flips.py --n 1000 --seed 0

Seen: `chromacc-data verify` or `chromacc-models check` ends with exit code 1 or 2. Harmless: the flip changes
neither an array, an attribute or what `info` prints of a store, nor a text or a prediction of a model. Every
file is hit with the same chance, half of the time near its ends; in HDF5, two of three flips hit metadata.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import h5py
import numpy as np

from tests.benchmarks.malformed import run_command, warm_up
from tests.reliability.kinds import MODEL, PEAKS, copy_files
from tests.reliability.scene import make_scene
from tests.reliability.tables import Tally, add_write_option, finish
from tests.reliability.trial import Limits, in_children

#: Files of a model folder whose text is data for a person or Kipoi: any change must be seen.
SUBJECTS = {"Zarr": ("store.zarr", PEAKS), "HDF5": ("store.h5", PEAKS), "model folder": ("model", MODEL)}


def contents_of_store(path: Path) -> dict[str, object]:
    """Everything that a user can see of a store: as our reader, and as xarray alone, give it."""
    import xarray as xr

    from chromacc_data import describe_store as info
    from chromacc_data.store.read import open_store

    seen: dict[str, object] = {"info": json.dumps(info.describe(path).facts, default=str, sort_keys=True)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = xr.open_zarr(path) if path.is_dir() else xr.open_dataset(path, engine="h5netcdf")
    for label, ds in (("ours", open_store(path)), ("xarray", plain)):
        seen[f"{label} attributes"] = repr(sorted(ds.attrs.items(), key=str))
        for name, array in ds.variables.items():
            seen[f"{label} {name}"] = (array.dims, str(array.dtype), array.to_numpy().tolist())
            seen[f"{label} {name} attributes"] = repr(sorted(array.attrs.items(), key=str))
    return seen


def try_store(path: str, expected: Path) -> None:
    """Exit with the code of `verify`, or 0 if nothing differs, or 66 if something does unseen."""
    import pickle

    try:
        run_command(("chromacc-data", "verify", path))
    except SystemExit as end:
        if end.code:
            raise
    before = pickle.loads(expected.read_bytes())
    now = contents_of_store(Path(path))
    different = [key for key in before.keys() | now.keys() if before.get(key) != now.get(key)]
    if different:
        print(f"differs: {sorted(different)}", file=sys.stderr)
        raise SystemExit(66)


def try_model(path: str, expected: Path) -> None:
    """Exit with the code of `check`, or 0 if no text and no prediction differs, or 66 if one does unseen."""
    import yaml

    try:
        run_command(("chromacc-models", "check", path))
    except SystemExit as end:
        if end.code:
            raise
    for file in sorted(expected.rglob("*")):
        now = Path(path) / file.relative_to(expected)
        if not file.is_file() or now.read_bytes() == file.read_bytes():
            continue
        if file.suffix == ".yaml" and yaml.safe_load(now.read_bytes()) == yaml.safe_load(file.read_bytes()):
            continue
        if file.name == "SHA256SUMS" and now.read_text().split() == file.read_text().split():
            continue
        print(f"differs: {file.name}", file=sys.stderr)
        raise SystemExit(66)


def flip(path: Path, rng: np.random.Generator) -> str:
    """Flip one byte somewhere in a file or folder; says where."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    files = [file for file in files if file.stat().st_size]
    file = files[int(rng.integers(len(files)))]
    data = bytearray(file.read_bytes())
    places = np.arange(len(data))
    if file.suffix == ".h5" and rng.random() < 2 / 3:
        places = np.flatnonzero(_metadata(file, len(data)))
    elif len(data) > 4096 and rng.random() < 0.5:
        places = np.r_[places[:2048], places[-2048:]]
    place = int(rng.choice(places))
    mask = int(rng.integers(1, 256))
    data[place] ^= mask
    file.write_bytes(data)
    return f"byte {place} of {file.relative_to(path.parent)} xor {mask}"


def _metadata(file: Path, size: int) -> np.ndarray:
    """Which bytes of an HDF5 file are not values of its arrays."""
    outside = np.ones(size, dtype=bool)

    def leave_out(_: str, one: object) -> None:
        if isinstance(one, h5py.Dataset) and one.chunks:
            for index in range(one.id.get_num_chunks()):
                chunk = one.id.get_chunk_info(index)
                outside[chunk.byte_offset : chunk.byte_offset + chunk.size] = False

    with h5py.File(file) as opened:
        opened.visititems(leave_out)
    return outside


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--n", type=int, default=1000, help="flips in total: 2 of 5 in Zarr, 2 in HDF5, 1 in a model"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(SUBJECTS), action="append")
    parser.add_argument("--seconds", type=float, default=10, help="limit of time of each command")
    parser.add_argument("--jobs", type=int, default=1, help="trials side by side")
    parser.add_argument("--scene", type=Path, help="folder of the good files; kept")
    add_write_option(parser)
    arguments = parser.parse_args()
    chosen = arguments.only or list(SUBJECTS)
    networks = "model folder" in chosen
    warm_up(networks=networks)
    shares = {"Zarr": 0.4, "HDF5": 0.4, "model folder": 0.2}
    total = sum(shares[name] for name in chosen)
    tallies = []
    with tempfile.TemporaryDirectory() as folder:
        scene = make_scene(arguments.scene or Path(folder) / "scene", networks=networks)
        for name in chosen:
            n = round(arguments.n * shares[name] / total)
            tallies.append(Tally(f"flips, {name}"))
            limits = Limits(seconds=arguments.seconds)
            _run(tallies[-1], name, n, arguments, scene, Path(folder), limits)
    return finish(
        tallies, command=" ".join(["python", *sys.argv[:1], f"--n {arguments.n}"]), write=arguments.write
    )


def _run(
    tally: Tally, name: str, n: int, arguments: argparse.Namespace, scene: Path, folder: Path, limits: Limits
) -> None:
    target, files = SUBJECTS[name]
    if name == "model folder":
        function: Callable[..., None] = partial(try_model, target, scene / "model")
    else:
        expected = folder / f"{target}.expected"
        _in_child(partial(_write_contents, Path(target), expected), scene)
        function = partial(try_store, target, expected)

    def jobs() -> Iterator[tuple[tuple[str, Path], Callable[[], None], Path]]:
        for number in range(n):
            where = Path(tempfile.mkdtemp(dir=folder))
            copy_files(scene, where, (*files, target))
            # Verification reads the recipe where the store was built from, which is the scene.
            rng = np.random.default_rng((arguments.seed, len(target), number))
            yield (flip(where / target, rng), where), function, where

    for (what, where), outcome in in_children(jobs(), limits=limits, n_children=arguments.jobs):
        shutil.rmtree(where, ignore_errors=True)
        if outcome.code in (1, 2) and not outcome.fault:
            tally.add("seen")
        elif outcome.code == 0 and not outcome.fault:
            tally.add("harmless")
        elif outcome.code == 66:
            tally.add("unseen", f"{what}: unseen; {outcome.err.strip().splitlines()[-1][:200]}")
        else:
            fault = (outcome.fault or "").strip().splitlines() or ["?"]
            tally.add(fault[0].split(":")[0], f"{what}: {fault[0][:200]} ... {fault[-1][:200]}")


def _write_contents(store: Path, out: Path) -> None:
    import pickle

    out.write_bytes(pickle.dumps(contents_of_store(store)))


def _in_child(function: Callable[[], None], folder: Path) -> None:
    for _, outcome in in_children([("", function, folder)], limits=Limits(seconds=120)):
        if outcome.fault or outcome.code:
            raise SystemExit(f"the good files cannot be read: {outcome.fault}\n{outcome.err}")


if __name__ == "__main__":
    sys.exit(main())
