from __future__ import annotations

import ast
import errno
import os
import re
import signal

import click
import pytest
from click.testing import CliRunner

from chromacc_data import cli as data_cli
from chromacc_data import console
from chromacc_models import cli as models_cli
from tests import ROOT

COMMANDS = {
    "chromacc-data": (data_cli.main_group, ["options", "build", "info", "verify", "convert"]),
    "chromacc-models": (
        models_cli.main_group,
        [
            "options", "train", "cross-validate", "evaluate", "compare", "motifs", "interactions", "report",
            "predict", "package", "check", "reproduce",
        ],
    ),
}  # fmt: skip
ALL = [(group, command) for group, _ in COMMANDS.values() for command in group.commands.values()]


def _help(command: click.Command, group: click.Group) -> str:
    return CliRunner().invoke(group, [command.name, "--help"], terminal_width=80).output


@pytest.mark.parametrize("name", COMMANDS)
def test_help__commands_in_the_order_of_the_work_and_whole(name: str):
    group, order = COMMANDS[name]
    text = CliRunner().invoke(group, ["--help"], prog_name=name, terminal_width=80).output
    listed = [line.split()[0] for line in text.split("Commands:\n")[1].splitlines()]
    assert [command for command in listed if command in order] == order
    assert "..." not in text.split("Commands:\n")[1]
    for command in group.commands.values():
        assert f"  {command.help.splitlines()[0]}\n" in text, "the first line of its help, on one line"


@pytest.mark.parametrize(("group", "command"), ALL, ids=lambda value: value.name)
def test_help__every_option_has_a_heading_and_a_sentence(group: click.Group, command: click.Command):
    text = _help(command, group)
    assert "\nOptions:" not in text
    for option in command.params:
        if isinstance(option, click.Option):
            assert isinstance(option, console.Option), option.name
            sentence = option.help.split(" [default")[0].removesuffix(".")
            assert re.fullmatch(r"[A-Z][^.]*(\.[^ .]+[^.]*)*", sentence), option.help
    headings = [
        line.removesuffix(":") for line in text.splitlines() if line.removesuffix(":") in console.HEADINGS
    ]
    assert headings == [heading for heading in console.HEADINGS if heading in headings]
    assert "\nGeneral:\n  -q, --quiet" in text


def test_help__an_old_name_works_and_is_not_shown():
    @click.command(cls=console.Command)
    @console.option("Running", "--new", "value", old_names=["--old"], help="Set it.")
    def command(value: str) -> None:
        click.echo(value)

    assert CliRunner().invoke(command, ["--old", "1"]).output == "1\n"
    text = CliRunner().invoke(command, ["--help"]).output
    assert "--new" in text
    assert "--old" not in text


@pytest.mark.parametrize(
    "arguments", [["--backend", "kernels"], ["--engine", "tables"], ["--backend", "tables"]]
)
def test_backend__old_names(arguments: list[str]):
    command = models_cli.main_group.commands["train"]
    context = command.make_context("train", ["a.zarr", "-o", "run", *arguments])
    assert context.params["backend"] == "kernels"
    assert "tables" not in _help(command, models_cli.main_group)


def test_option__unknown_heading():
    with pytest.raises(ValueError, match="heading 'Other'"):
        console.Option(["--new"], heading="Other")


def _run(monkeypatch: pytest.MonkeyPatch, error: BaseException | None, *, do: object = None) -> int:
    monkeypatch.setattr("sys.argv", ["command"])

    @click.command()
    def command() -> None:
        if do is not None:
            do()
        if error is not None:
            raise error

    with pytest.raises(SystemExit) as ended:
        console.run(command, name="command")
    return ended.value.code


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR, errno.ENOTDIR]
)
def test_run__failed_system_calls_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture, number: int
):
    monkeypatch.setattr(console, "_silence_stdout", lambda: None)
    assert _run(monkeypatch, OSError(number, os.strerror(number), "/some/file")) == 2
    assert capfd.readouterr().err == f"error: /some/file: {os.strerror(number)}\n"


def test_run__interrupts(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture):
    assert _run(monkeypatch, KeyboardInterrupt()) == 130
    assert "interrupted; run the same command again" in capfd.readouterr().err
    assert _run(monkeypatch, None, do=lambda: signal.raise_signal(signal.SIGTERM)) == 143
    assert capfd.readouterr().err == "terminated; run the same command again to resume\n"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_run__memory(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture):
    assert _run(monkeypatch, MemoryError()) == 2
    assert capfd.readouterr().err == "error: not enough memory\n"


def test_click__is_imported_by_the_command_lines_alone():
    """No module below them knows how it is called."""
    importers = set()
    for package in ("chromacc_data", "chromacc_models"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                if any(m.split(".")[0] == "click" or m == "chromacc_data.console" for m in modules if m):
                    importers.add(str(path.relative_to(ROOT)))
    importers = {name for name in importers if not name.startswith("chromacc_models/commands/")}
    assert importers == {"chromacc_data/cli.py", "chromacc_data/console.py", "chromacc_models/cli.py"}
