"""Full disks at random moments of each command: a clear error, nothing half-written, and then success.

    python tests/benchmarks/disk_full.py --n 60 --seed 0        # as root on Linux: mounts small file systems

Each command works on a file system in memory with room for a random share of what it needs. It must end with
exit code 2 and a message, without an output; the same command must then succeed once there is room, with the
values of an undisturbed run. Where nothing may be mounted, a limit on the size of files stands in for the
full disk.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from tests.reliability.commands import add_command_options, choose_commands, lay_out, left_over
from tests.reliability.processes import Command, end_session, finish, start
from tests.reliability.results import difference, listing
from tests.reliability.scene import make_scene
from tests.reliability.tables import Tally, add_write_option
from tests.reliability.tables import finish as finish_table

#: What a later run of the same command resumes from.
_TO_GO_ON_WITH = (".partial", "checkpoint", ".lock", "run.json", "config.yaml", "history.csv", "fold-")
_ROOM = 256 << 20


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a file system in memory on a folder; gives whether that was allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_ROOM}", "chromacc-test", str(folder)], capture_output=True
    )
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def resize(folder: Path, size: int) -> None:
    """Give a mounted file system another size."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True, capture_output=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=60, help="full disks, shared among the commands")
    parser.add_argument("--seed", type=int, default=0)
    add_command_options(parser)
    add_write_option(parser)
    arguments = parser.parse_args()
    chosen = choose_commands(arguments)
    tallies = []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        networks = any(one.networks for one in chosen)
        scene = make_scene(arguments.scene or folder / "scene", networks=networks)
        for number, command in enumerate(chosen):
            n = arguments.n * (number + 1) // len(chosen) - arguments.n * number // len(chosen)
            rng = np.random.default_rng((arguments.seed, number))
            tallies.append(Tally(f"full disk, {command.name}"))
            _try(tallies[-1], command, n, rng, scene, folder)
    command = f"python tests/benchmarks/disk_full.py --n {arguments.n}"
    return finish_table(tallies, command=command, write=arguments.write)


def _try(tally: Tally, command: Command, n: int, rng: np.random.Generator, scene: Path, folder: Path) -> None:
    disk, reference, log = folder / "disk", folder / "reference", folder / "log"
    if not n:
        return
    with small_disk(disk) as mounted:
        place = disk / "place"
        lay_out(place, scene, command.files)
        used = _used(disk)
        outcome = _run(command, place, log)
        if outcome.fault or outcome.code:
            raise SystemExit(f"{command.name} fails undisturbed: {outcome.fault}\n{outcome.err}")
        needed = max(_used(disk) - used, 8192)
        shutil.rmtree(reference, ignore_errors=True)
        shutil.copytree(place, reference)
        for _ in range(n):
            lay_out(place, scene, command.files)
            room = int(rng.integers(0, needed))
            if mounted:
                resize(disk, max(4096, (_used(disk) + room) // 4096 * 4096))
            before = listing(place)
            outcome = _run(command, place, log, most=None if mounted else max(1024, room))
            if outcome.code == 0 and not outcome.fault:
                tally.add("room enough", _wrong(command, place, reference))
                if mounted:
                    resize(disk, _ROOM)
                continue
            finding = outcome.fault or _left(command, place, before)
            if mounted:
                resize(disk, _ROOM)
            message = " / ".join(outcome.err.strip().splitlines()[-3:])[:300]
            if not finding and outcome.code != 2:
                finding = f"exit code {outcome.code}"
            again = _run(command, place, log)
            if not finding and (again.fault or again.code):
                finding = f"then, with room: {again.fault or again.err.strip()[-300:]}"
            finding = finding or _wrong(command, place, reference)
            if finding:
                lines = finding.strip().splitlines()
                finding = (
                    f"with room for {room:,} of {needed:,} bytes: {lines[0]} ... {lines[-1]} [{message}]"
                )
            tally.add("refused" if outcome.code == 2 else "failed", finding)


def _run(command: Command, place: Path, log: Path, *, most: int | None = None):
    home = log.parent / "home"
    home.mkdir(exist_ok=True)
    arguments = command.arguments
    if most is not None:
        os.environ["CHROMACC_TEST_FILE_BYTES"] = str(most)
    process = start(arguments, place, log)
    if most is not None:
        with contextlib.suppress(ImportError, ProcessLookupError):
            import resource

            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
    outcome = finish(process, log, seconds=600)
    end_session(process)
    return outcome


def _left(command: Command, place: Path, before: set[str]) -> str | None:
    """What a failed command left that is neither for the next run nor an index."""
    more = [
        name
        for name in left_over(listing(place), before)
        if name != command.out and not any(part in name for part in _TO_GO_ON_WITH)
    ]
    finished = (place / command.out).is_file()
    return f"left behind: {more[:5]}" if more else "a file of the final name" if finished else None


def _wrong(command: Command, place: Path, reference: Path) -> str | None:
    more = left_over(listing(place), listing(reference), command.out)
    return f"left behind: {more[:5]}" if more else difference(place / command.out, reference / command.out)


def _used(folder: Path) -> int:
    status = os.statvfs(folder)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


if __name__ == "__main__":
    sys.exit(main())
