"""Commands where they may not write: each must work, or end with one clear error.

    python tests/benchmarks/closed_places.py       # as root on Linux: sheds its rights, mounts file systems

Every command that makes something is run with no home folder, a closed one, a user without a name, a closed
cache, a folder for temporary files that is missing or full, closed inputs and a closed output. Where the
command works, its output must be that of an undisturbed run.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.reliability.commands import COMMANDS, add_command_options, choose_commands, lay_out, left_over
from tests.reliability.kinds import STORE
from tests.reliability.processes import Command, finish
from tests.reliability.results import difference, listing
from tests.reliability.scene import environment, make_scene
from tests.reliability.tables import Tally, add_write_option
from tests.reliability.tables import finish as finish_table

#: Root without the right to pass over the permissions of files.
_WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
#: A user that the system has no name for, who may read everything.
_NAMELESS = (
    "setpriv", "--reuid=54321", "--regid=54321", "--clear-groups",
    "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
)  # fmt: skip
_FULL_TMP = "mount -t tmpfs -o size=4k full /tmp && head -c 4096 /dev/zero > /tmp/full; exec {}"
#: Where a command may say that it cannot work.
_MAY_REFUSE = ("/tmp full", "closed cache", "closed output")

#: What reads is tried as well.
_READERS = (
    Command("verify", ("chromacc-data", "verify", "store.zarr"), "", STORE),
    Command("info", ("chromacc-data", "info", "store.h5"), "", ("store.h5",)),
    Command("check", ("chromacc-models", "check", "model"), "", ("model",), networks=True),
)


def _home_missing(place: Path, variables: dict[str, str]) -> None:
    variables["HOME"] = "/nonexistent/home"


def _home_closed(place: Path, variables: dict[str, str]) -> None:
    _close(Path(variables["HOME"]))


def _nameless(place: Path, variables: dict[str, str]) -> None:
    del variables["HOME"]
    for path in (place, *place.rglob("*")):
        os.chown(path, 54321, 54321)


def _cache_closed(place: Path, variables: dict[str, str]) -> None:
    variables["XDG_CACHE_HOME"] = str(place.parent / "cache")
    Path(variables["XDG_CACHE_HOME"]).mkdir()
    _close(Path(variables["XDG_CACHE_HOME"]))


def _tmp_missing(place: Path, variables: dict[str, str]) -> None:
    variables["TMPDIR"] = "/nonexistent/tmp"


def _nothing(place: Path, variables: dict[str, str]) -> None:
    pass


def _closed(place: Path, variables: dict[str, str]) -> None:
    _close(place)


SITUATIONS: dict[str, Callable[[Path, dict[str, str]], None]] = {
    "no home": _home_missing,
    "closed home": _home_closed,
    "user without a name or home": _nameless,
    "closed cache": _cache_closed,
    "TMPDIR missing": _tmp_missing,
    "/tmp full": _nothing,
    "closed inputs": _closed,
    "closed output": _closed,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_command_options(parser)
    parser.add_argument("--where", action="append", help="only places whose name contains this; repeatable")
    add_write_option(parser)
    arguments = parser.parse_args()
    if os.geteuid():
        parser.error("only root can shed its rights and mount file systems")
    chosen = choose_commands(arguments, (*COMMANDS, *_READERS))
    # Not in /tmp, which becomes full.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as text:
        folder = Path(text)
        folder.chmod(0o755)
        networks = any(one.networks for one in chosen)
        scene = make_scene(arguments.scene or folder / "scene", networks=networks)
        tallies = {
            name: Tally(f"closed places, {name}")
            for name in SITUATIONS
            if not arguments.where or any(part in name for part in arguments.where)
        }
        for command in chosen:
            reference = folder / "reference"
            _make_reference(command, reference, scene, folder)
            for name, tally in tallies.items():
                tally.add(*_try(command, name, scene, reference, folder))
    return finish_table(
        list(tallies.values()), command="python tests/benchmarks/closed_places.py", write=arguments.write
    )


def _try(command: Command, name: str, scene: Path, reference: Path, folder: Path) -> tuple[str, str | None]:
    """The outcome of a command in a place, and what was wrong with it."""
    away = folder / "away"
    shutil.rmtree(away, ignore_errors=True)
    place, home = away / "place", away / "home"
    home.mkdir(parents=True)
    lay_out(place, scene, command.files)
    arguments, out = command.arguments, place / command.out
    if name == "closed inputs" and command.out and not (place / command.out).exists():
        (away / "out").mkdir()
        out = away / "out" / command.out
        arguments = tuple(word.replace(command.out, str(out)) for word in arguments)
    variables = environment(home)
    SITUATIONS[name](place, variables)
    before = listing(place)
    outcome = _run(arguments, name, place, variables, folder / "log")
    _open(away)
    if outcome.fault:
        return "failed", f"{command.name}: {outcome.fault[-1500:]}"
    if outcome.code:
        more = left_over(listing(place), before)
        writes_into_its_input = command.out in command.files
        if outcome.code != 2:
            finding = f"exit code {outcome.code}"
        elif more:
            finding = f"left: {more[:4]}"
        elif name not in _MAY_REFUSE and not writes_into_its_input:
            finding = f"refused, though it could work: {outcome.err.strip()[-500:]}"
        else:
            finding = None
        return "refused", finding and f"{command.name}: {finding}"
    wrong = command.out and difference(out, reference / command.out)
    return "worked", f"{command.name}: {wrong}" if wrong else None


def _run(arguments: tuple[str, ...], name: str, place: Path, variables: dict[str, str], log: Path):
    words = [sys.executable, "-m", f"{arguments[0].replace('-', '_')}.cli", *arguments[1:]]
    if name == "/tmp full":
        words = ["unshare", "-m", "sh", "-c", _FULL_TMP.format(shlex.join([*_WITHOUT_RIGHTS, *words]))]
    else:
        words = [*(_NAMELESS if name.startswith("user without") else _WITHOUT_RIGHTS), *words]
    with log.open("w") as file:
        process = subprocess.Popen(
            words, cwd=place, env=variables, stdout=file, stderr=file, start_new_session=True
        )
    return finish(process, log, seconds=120)


def _make_reference(command: Command, reference: Path, scene: Path, folder: Path) -> None:
    """Run the command undisturbed, where it will be disturbed: outputs hold the paths of their inputs."""
    place = folder / "away" / "place"
    lay_out(place, scene, command.files)
    outcome = _run(command.arguments, "", place, environment(folder), folder / "log")
    if outcome.fault or outcome.code:
        raise SystemExit(f"{command.name} fails undisturbed: {outcome.fault}\n{outcome.err}")
    shutil.rmtree(reference, ignore_errors=True)
    place.rename(reference)


def _close(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        path.chmod(path.stat().st_mode & ~0o222)


def _open(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.exists():
            path.chmod(path.stat().st_mode | 0o200)


if __name__ == "__main__":
    sys.exit(main())
