"""Two commands at once with one output, and readers while a store is replaced.

    python tests/benchmarks/pairs.py --repeats 3

Each of the two commands must end with exit code 0, or with 2 and a clear message, and one of them with 0. The
output must then be what one of the two makes alone, and nothing else may be left. A reader of a store that
is replaced must see one of the two stores, whole, or get an error; never parts of both.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.reliability.commands import add_command_options, choose_commands, lay_out, left_over
from tests.reliability.processes import Command, end_session, finish, run_here, start
from tests.reliability.results import difference, listing
from tests.reliability.scene import environment, make_scene
from tests.reliability.tables import Tally, add_write_option
from tests.reliability.tables import finish as finish_table

_READER = """
import sys, time, warnings
import numpy as np
from chromacc_data.errors import InputError
from chromacc_data.store.read import open_store, read_variable
deadline = time.monotonic() + float(sys.argv[2])
while time.monotonic() < deadline:
    try:
        ds = open_store(sys.argv[1])
        parts = [str(ds.attrs["content_hash"])]
        for name in ds.data_vars:
            time.sleep(0.02)
            values = read_variable(ds, str(name))
            parts.append(f"{name}:{hash(values.tobytes())}")
        ds.close()
        print("read", " ".join(parts), flush=True)
    except InputError as error:
        print("refused", str(error).splitlines()[0], flush=True)
"""


def variants(command: Command) -> list[tuple[str, Command]]:
    """The other command of a pair: the same, and one that makes something else in the same place."""
    found = [("same", command)]
    words = command.arguments
    if words[1] == "build" and "recipe.yaml" in words:
        other = tuple("other.yaml" if word == "recipe.yaml" else word for word in words)
        found.append(("other recipe", replace(command, arguments=other)))
        forced = replace(command, arguments=(*other, "--overwrite"))
        found.append(("other recipe, overwriting", forced))
    if words[1] in ("train", "cross-validate"):
        found.append(("other options", replace(command, arguments=(*words, "--set", "seed=9"))))
    if words[1] == "predict":
        found.append(("overwriting", replace(command, arguments=(*words, "--overwrite"))))
        other = (*words, "--strands", "both", "--overwrite")
        found.append(("other strands, overwriting", replace(command, arguments=other)))
    if words[1] == "package":
        found.append(("overwriting", replace(command, arguments=(*words, "--overwrite"))))
        other = (*words, "--doc", "Another text.", "--overwrite")
        found.append(("other text, overwriting", replace(command, arguments=other)))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--repeats", type=int, default=2, help="of each pair, the second a little later each time"
    )
    add_command_options(parser)
    parser.add_argument("--reader-seconds", type=float, default=30, help="time that readers read; 0 for none")
    add_write_option(parser)
    arguments = parser.parse_args()
    chosen = choose_commands(arguments)
    tallies = []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        networks = any(one.networks for one in chosen)
        scene = make_scene(arguments.scene or folder / "scene", networks=networks)
        recipe = (scene / "recipe.yaml").read_text()
        (scene / "other.yaml").write_text(
            recipe.replace("seed: 7", "seed: 8").replace("length: 60", "length: 80")
        )
        for command in chosen:
            tallies.append(Tally(f"pairs, {command.name}"))
            for label, other in variants(command):
                _try(tallies[-1], label, command, other, arguments.repeats, scene, folder)
        if arguments.reader_seconds:
            for suffix in ("zarr", "h5"):
                tallies.append(Tally(f"reads of a replaced .{suffix}"))
                _read(tallies[-1], suffix, arguments.reader_seconds, scene, folder)
    command = f"python tests/benchmarks/pairs.py --repeats {arguments.repeats}"
    return finish_table(tallies, command=command, write=arguments.write)


def _try(
    tally: Tally, label: str, one: Command, other: Command, repeats: int, scene: Path, folder: Path
) -> None:
    place, files = folder / "place", (*one.files, "other.yaml")
    alone = []
    for number, command in enumerate({one.arguments: one, other.arguments: other}.values()):
        lay_out(place, scene, files)
        outcome = run_here(command.arguments, place, folder / "log")
        if outcome.fault or outcome.code:
            raise SystemExit(f"{command.arguments} fails alone: {outcome.fault}\n{outcome.err}")
        alone.append(folder / f"alone-{number}")
        shutil.rmtree(alone[-1], ignore_errors=True)
        shutil.copytree(place, alone[-1])
        seconds = outcome.seconds
    for repeat in range(repeats):
        lay_out(place, scene, files)
        first = start(one.arguments, place, folder / "log-1")
        time.sleep(repeat * seconds / (2 * repeats))
        second = start(other.arguments, place, folder / "log-2")
        ends = [finish(first, folder / "log-1", seconds=600), finish(second, folder / "log-2", seconds=600)]
        for process in (first, second):
            end_session(process)
        codes = "/".join(sorted(str(end.code) for end in ends))
        tally.add(f"exit codes {codes}", _wrong(label, ends, place, one, alone))


def _wrong(label: str, ends: list, place: Path, command: Command, alone: list[Path]) -> str | None:
    for end in ends:
        if end.fault:
            return f"{label}: {' ... '.join(end.fault.strip().splitlines()[i][:200] for i in (0, -1))}"
    if all(end.code for end in ends):
        return f"{label}: both were refused: {ends[0].err[-200:]} / {ends[1].err[-200:]}"
    if not (place / command.out).exists():
        return f"{label}: exit code 0 and no {command.out}"
    more = left_over(listing(place), set().union(*map(listing, alone)))
    if more:
        return f"{label}: left behind {more[:5]}"
    differences = [difference(place / command.out, one / command.out) for one in alone]
    return None if None in differences else f"{label}: neither of the two results: {differences}"


def _read(tally: Tally, suffix: str, seconds: float, scene: Path, folder: Path) -> None:
    import subprocess

    place = folder / "place"
    out = f"OUT.{suffix}"
    lay_out(
        place,
        scene,
        ("genome.fa", "genome.fa.fai", "liver.bed", "t_cell.bed", "neuron.bed", "recipe.yaml", "other.yaml"),
    )
    # Of one shape, so that parts of both could be taken for one store.
    (place / "other.yaml").write_text((place / "recipe.yaml").read_text().replace("seed: 7", "seed: 8"))
    whole = set()
    log = folder / "log"
    hashing = environment(place) | {"PYTHONHASHSEED": "0"}
    reader = [sys.executable, "-c", _READER, out]
    for recipe in ("other.yaml", "recipe.yaml"):
        outcome = run_here(("chromacc-data", "build", recipe, "-o", out, "--overwrite"), place, log)
        if outcome.code:
            raise SystemExit(outcome.err)
        seen = subprocess.run(
            [*reader, "0.01"], cwd=place, env=hashing, capture_output=True, text=True, check=True
        )
        whole |= {line for line in seen.stdout.splitlines() if line.startswith("read")}
    if len(whole) != 2:
        raise SystemExit(f"two stores expected: {whole}")
    reading = subprocess.Popen(
        [*reader, str(seconds)],
        cwd=place,
        env=hashing,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    number = 0
    while reading.poll() is None:
        recipe = ("other.yaml", "recipe.yaml")[number % 2]
        outcome = run_here(("chromacc-data", "build", recipe, "-o", out, "--overwrite"), place, log)
        if outcome.fault or outcome.code:
            tally.add("build failed", f"{outcome.fault or outcome.err[-300:]}")
        number += 1
    lines, errors = reading.communicate()
    for line in lines.splitlines():
        if line in whole:
            tally.add("one of the two")
        elif line.startswith("refused"):
            tally.add("refused")
        else:
            tally.add("mixed", f"parts of two stores: {line[:200]}")
    if reading.returncode:
        tally.add("reader failed", json.dumps(errors[-600:]))


if __name__ == "__main__":
    sys.exit(main())
