"""`kill -9` at random moments of each command: run again, it must give what an undisturbed run gives.

    python tests/benchmarks/kills.py --n 100 --seed 0
    python tests/benchmarks/kills.py --n 20 --only build

Each command is run once undisturbed. Then it is killed one to three times at a random moment (two of three
after its first file; with all its processes, or only the parent) and run to its end: exit code 0, the same
values in every file, and no extra file. `download` is a build whose genome comes from a slow server on this
machine.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from tests.reliability.commands import COMMANDS, add_command_options, choose_commands, lay_out, left_over
from tests.reliability.kinds import PEAKS
from tests.reliability.processes import Command, end_session, kill, run_here, start
from tests.reliability.results import difference, listing
from tests.reliability.scene import make_scene
from tests.reliability.tables import Tally, add_write_option, finish


class SlowServer:
    """Serves a folder, with ranges, a few kilobytes at a time."""

    def __init__(self, folder: Path) -> None:
        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                data = (folder / self.path.lstrip("/")).read_bytes()
                begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
                self.send_response(206 if begin else 200)
                self.send_header("Content-Length", str(len(data) - begin))
                self.send_header("ETag", '"one"')
                if begin:
                    self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
                self.end_headers()
                try:
                    for at in range(begin, len(data), 1024):
                        self.wfile.write(data[at : min(at + 1024, len(data))])
                        time.sleep(0.05)
                except OSError:
                    pass  # who asked was killed

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()


def download(scene: Path, server: SlowServer) -> Command:
    """A build whose genome is downloaded."""
    text = (scene / "recipe.yaml").read_text()
    (scene / "download.yaml").write_text(text.replace("genome.fa", f"{server.address}/genome.fa"))
    arguments = ("chromacc-data", "build", "download.yaml", "-o", "OUT.zarr", "--cache", "cache")
    files = tuple(name for name in PEAKS if not name.startswith("genome"))
    return Command("download", arguments, "OUT.zarr", (*files, "download.yaml"))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=100, help="kills, shared among the commands")
    parser.add_argument("--seed", type=int, default=0)
    add_command_options(parser)
    add_write_option(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chosen = choose_commands(arguments, (*COMMANDS, Command("download", (), "", ())))
        networks = any(one.networks for one in chosen)
        scene = make_scene(arguments.scene or Path(folder) / "scene", networks=networks)
        server = SlowServer(scene)
        tallies = []
        for number, one in enumerate(chosen):
            command = download(scene, server) if one.name == "download" else one
            n = arguments.n * (number + 1) // len(chosen) - arguments.n * number // len(chosen)
            tallies.append(Tally(f"kills, {command.name}"))
            _try(
                tallies[-1], command, n, np.random.default_rng((arguments.seed, number)), scene, Path(folder)
            )
        server.close()
    command = f"python tests/benchmarks/kills.py --n {arguments.n}"
    return finish(tallies, command=command, write=arguments.write)


def _try(tally: Tally, command: Command, n: int, rng: np.random.Generator, scene: Path, folder: Path) -> None:
    if not n:
        return
    reference = Path(tempfile.mkdtemp(dir=folder))
    # Every trial runs under this one name, as results hold the path of what they were made of.
    place = folder / "place"
    first, whole = _undisturbed(command, place, scene, reference)
    while tally.tried < n:
        lay_out(place, scene, command.files)
        finding = None
        moments = []
        for _ in range(min(int(rng.integers(1, 4)), n - tally.tried)):
            delay = rng.uniform(first, whole) if rng.random() < 2 / 3 else rng.uniform(0, whole)
            only_parent = bool(rng.random() < 0.3)
            process = start(command.arguments, place, folder / "log")
            time.sleep(delay)
            ended = process.poll() is not None
            kill(process, only_parent=only_parent)
            moments.append(
                f"{delay:.2f} s{', parent only' if only_parent else ''}{', ended' if ended else ''}"
            )
            if finding is None and not ended:
                tally.add("killed")
            elif ended:
                tally.add("ended before the kill")
        outcome = run_here(command.arguments, place, folder / "log")
        finding = outcome.fault or (f"exit code {outcome.code}" if outcome.code else None)
        # Run again where it had ended in time: what is there already may be refused.
        if outcome.code == 2 and "exists already" in outcome.err and any("ended" in m for m in moments):
            finding = None
        end_session(process)
        finding = finding or _wrong(command, place, reference)
        if finding:
            message = " / ".join(outcome.err.strip().splitlines()[-4:])
            text = f"killed at {'; '.join(moments)} of {whole:.2f}: {finding.splitlines()[0]} {message[:300]}"
            tally.findings.append(text)
            print(f"- [{tally.name}] {text}", flush=True)


def _undisturbed(command: Command, place: Path, scene: Path, reference: Path) -> tuple[float, float]:
    """Run the command once, whole; gives the seconds to the first file that it writes, and to its end."""
    lay_out(place, scene, command.files)
    before, first, began = listing(place), None, time.monotonic()
    process = start(command.arguments, place, reference.parent / "log")
    while process.poll() is None:
        if first is None and listing(place) - before:
            first = time.monotonic() - began
        time.sleep(0.02)
    whole = time.monotonic() - began
    if process.returncode:
        raise SystemExit(f"{command.name} fails undisturbed:\n{(reference.parent / 'log').read_text()}")
    shutil.copytree(place, reference, dirs_exist_ok=True)
    return (first if first is not None else whole / 2), whole


def _wrong(command: Command, place: Path, reference: Path) -> str | None:
    more = left_over(listing(place), listing(reference), command.out)
    if more:
        return f"left behind: {more[:5]}"
    return difference(place / command.out, reference / command.out)


if __name__ == "__main__":
    sys.exit(main())
