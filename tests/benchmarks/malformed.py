"""Malformed inputs to every command: each must end with a result or a clear error.

    python tests/benchmarks/malformed.py --n 1000 --seed 0
    python tests/benchmarks/malformed.py --n 1 --seed 0 --first 17 --keep /tmp/kept     # one input again

A finding is a traceback, a crash, a hang, an appetite for gigabytes, an error without a message or with one
of more than a screen, an output that is left half-written, or a text of the input that is executed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from chromacc_data.console import run
from chromacc_data.regions.bed import read_intervals
from chromacc_data.sequences.genome import Genome
from tests.reliability.kinds import KINDS, Case, Kind, copy_files, make_case
from tests.reliability.scene import make_scene
from tests.reliability.tables import Tally, add_write_option, finish
from tests.reliability.trial import Limits, in_children


def run_command(arguments: tuple[str, ...]) -> None:
    """What the entry point of a command does."""
    if arguments[0] == "chromacc-data":
        from chromacc_data.cli import main_group
    else:
        from chromacc_models.cli import main_group
    sys.argv = list(arguments)
    run(main_group, name=arguments[0])


def warm_up(*, networks: bool) -> None:
    """Import here what the commands need, or each child would; nothing that starts a thread."""
    import chromacc_data.build_store
    import chromacc_data.cli
    import chromacc_data.verify_store  # noqa: F401

    if networks:
        import kipoi  # noqa: F401
        import tensorflow  # noqa: F401

        import chromacc_models.cli
        import chromacc_models.evaluation.cross_validation
        import chromacc_models.reporting.report
        import chromacc_models.scoring.predict
        import chromacc_models.sharing.kipoi.check
        import chromacc_models.sharing.kipoi.package
        import chromacc_models.training.train  # noqa: F401


def compile_readers(scene: Path) -> None:
    """Load here what numba compiled for the readers, or each child would."""
    read_intervals(scene / "liver.bed")
    genome = Genome.open(scene / "genome.fa")
    genome.one_hot_windows(np.zeros(2, np.int32), np.arange(2), 60)


def cases(
    scene: Path, work: Path, *, n: int, seed: int, kinds: list[Kind | str], first: int = 0
) -> Iterator[tuple[Case, partial, Path]]:
    """Malformed inputs number `first` to `first + n`, by turns of every kind, each in a folder of its own."""
    for number in range(first, first + n):
        which = number % len(kinds)
        kind = kinds[which]
        folder = Path(tempfile.mkdtemp(prefix=f"{number}-", dir=work))
        case = make_case(kind, scene, folder, (seed, number))
        yield (case, folder), partial(run_command, case.arguments), folder


def require_intact(scene: Path, work: Path, kinds: list[Kind | str]) -> None:
    """Run each command on good files: it must end well; and what it compiles is compiled from then on."""
    done = scene / "intact.txt"
    known = set(done.read_text().splitlines()) if done.exists() else set()
    commands = {words: kind for kind in kinds if isinstance(kind, Kind) for words in kind.commands}
    todo = {words: kind for words, kind in commands.items() if " ".join(words) not in known}

    def jobs() -> Iterator[tuple[tuple[str, ...], partial, Path]]:
        for words, kind in todo.items():
            folder = Path(tempfile.mkdtemp(dir=work))
            copy_files(scene, folder, (*kind.files, kind.target))
            yield words, partial(run_command, words), folder

    for words, outcome in in_children(jobs(), limits=Limits(seconds=600)):
        if (outcome.fault or outcome.code) and "transfac" not in " ".join(words):
            raise SystemExit(f"good input is refused: {' '.join(words)}\n{outcome.fault}\n{outcome.err}")
        with done.open("a") as file:
            print(" ".join(words), file=file)


def describe(case: Case, fault: str) -> str:
    """A finding: what was wrong, with the input's kind, mutation, command and seed."""
    shown = " ".join(word if len(word) < 60 else word[:50] + "..." for word in case.arguments)
    lines = fault.splitlines()
    tail = [line for line in lines[1:] if line.strip()][-14:]
    where = f"[{case.kind.name}] {case.kind.target}: {case.what}\n  $ {shown!r}\n  seed {case.seed}"
    return "\n".join([lines[0], "  " + where, *("      " + line for line in tail)])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=1000, help="inputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--kind", action="append", help="only kinds whose name contains this; repeatable")
    parser.add_argument("--without-networks", action="store_true", help="only what needs no TensorFlow")
    parser.add_argument("--networks-only", action="store_true")
    parser.add_argument("--seconds", type=float, default=10, help="limit of time of each command")
    parser.add_argument("--jobs", type=int, default=1, help="commands side by side")
    parser.add_argument("--trust", action="store_true", help="do not try the good files first")
    parser.add_argument("--scene", type=Path, help="folder of the good files; kept")
    parser.add_argument("--keep", type=Path, help="folder in which inputs with findings are kept")
    add_write_option(parser)
    arguments = parser.parse_args()
    kinds: list[Kind | str] = [
        kind for kind in (*KINDS, "options", "options of networks") if _chosen(kind, arguments)
    ]
    networks = any(_networks(kind) for kind in kinds)
    warm_up(networks=networks)
    tally = Tally("malformed inputs")
    with tempfile.TemporaryDirectory() as folder:
        scene = make_scene(arguments.scene or Path(folder) / "scene", networks=networks)
        compile_readers(scene)
        work = Path(folder) / "work"
        work.mkdir()
        jobs = cases(scene, work, n=arguments.n, seed=arguments.seed, kinds=kinds, first=arguments.first)
        if not arguments.trust:
            require_intact(scene, work, kinds)
        limits = Limits(seconds=arguments.seconds)
        for (case, where), outcome in in_children(jobs, limits=limits, n_children=arguments.jobs):
            fault = outcome.fault or case.fault(where, outcome.code)
            if fault:
                tally.add(fault.split(":")[0], describe(case, fault))
                if arguments.keep:
                    kept = arguments.keep / f"{case.seed[0]}-{case.seed[1]}"
                    shutil.copytree(where, kept, dirs_exist_ok=True)
            else:
                tally.add("accepted" if outcome.code == 0 else "refused")
            shutil.rmtree(where, ignore_errors=True)
    print(f"{tally.tried} malformed inputs of {len(kinds)} kinds, {len(tally.findings)} findings")
    command = f"python tests/benchmarks/malformed.py --n {arguments.n} --seed {arguments.seed}"
    return finish([tally], command=command, write=arguments.write)


def _networks(kind: Kind | str) -> bool:
    return kind.endswith("networks") if isinstance(kind, str) else kind.networks


def _chosen(kind: Kind | str, arguments: argparse.Namespace) -> bool:
    name = kind if isinstance(kind, str) else kind.name
    if (arguments.without_networks and _networks(kind)) or (arguments.networks_only and not _networks(kind)):
        return False
    return not arguments.kind or any(part in name for part in arguments.kind)


if __name__ == "__main__":
    sys.exit(main())
