"""What the two command lines share: options, printed results, exit codes, and errors printed for people."""

from __future__ import annotations

import atexit
import gc
import json
import logging
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from chromacc_data.errors import InputError
from chromacc_data.progress import LOG


def common_options(command: Callable) -> Callable:
    """Options of every command: ``-q``, ``-v`` and ``--json``, handed on as one :class:`Console`."""

    @option("General", "-q", "--quiet", is_flag=True, help="Print results and errors only.")
    @option("General", "-v", "--verbose", is_flag=True, help="Print each step.")
    @option("General", "--json", "as_json", is_flag=True, help="Print the result as JSON.")
    @click.pass_context
    def wrapped(context: click.Context, /, quiet: bool, verbose: bool, as_json: bool, **options: Any) -> Any:
        console = Console(quiet=quiet, verbose=verbose, as_json=as_json)
        return context.invoke(command, console=console, **options)

    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__click_params__ = getattr(wrapped, "__click_params__", []) + getattr(
        command, "__click_params__", []
    )
    return wrapped


#: Headings of options in the help of a command, in this order.
HEADINGS = ("Input", "Network", "Interpretation", "Output", "Running", "General")


class Option(click.Option):
    """An option under one of :data:`HEADINGS`; `old_names` work as well and are not shown."""

    def __init__(
        self, declarations: Sequence[str], *, heading: str, old_names: Sequence[str] = (), **options: Any
    ) -> None:
        super().__init__([*declarations, *old_names], **options)
        if heading not in HEADINGS:
            raise ValueError(f"heading {heading!r}; expected one of {', '.join(HEADINGS)}")
        self.heading, self.old_names = heading, tuple(old_names)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        if record is None:
            return None
        names, text = record
        for name in self.old_names:
            names = names.replace(f", {name}", "")
        return names, text


def option(heading: str, *declarations: str, old_names: Sequence[str] = (), **options: Any) -> Callable:
    """Add an option to a command: as `click.option`, under a heading."""
    return click.option(*declarations, cls=Option, heading=heading, old_names=old_names, **options)


class Command(click.Command):
    """A command whose help lists options under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records: dict[str, list[tuple[str, str]]] = {heading: [] for heading in HEADINGS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                records[getattr(parameter, "heading", "General")].append(record)
        for heading, of_heading in records.items():
            if of_heading:
                with formatter.section(heading):
                    formatter.write_dl(of_heading)


class CommandGroup(click.Group):
    """The commands of a program, listed in the order in which they are defined."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # click would exit with 1: a check that did not hold
            raise _OutputClosedError from error


class Console:
    """How a command speaks: results to standard output, everything else to standard error."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False, as_json: bool = False) -> None:
        self.quiet, self.as_json = quiet, as_json
        level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
        LOG.setLevel(level)
        if not LOG.handlers:
            handler = _TqdmHandler()
            handler.setFormatter(logging.Formatter("%(message)s"))
            LOG.addHandler(handler)

    @property
    def progress(self) -> bool:
        """Whether bars are shown."""
        return not self.quiet

    def result(self, value: dict, text: str) -> None:
        """Print a result: `value` as JSON when asked for, else `text`."""
        click.echo(json.dumps(_finite(value), indent=2, default=_plain) if self.as_json else text)


class _TqdmHandler(logging.Handler):
    """Writes log lines above a running bar; looks standard error up at each line, as tests replace it."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


def run(command: click.Command, *, name: str) -> None:
    """Run a command line: exit 0 done, 1 a check failed, 2 bad input, 130 or 143 stopped."""
    # What the libraries make when they are imported stays: looking through it for garbage again and again,
    # and once more at the end, takes a fifth of the time of a short command.
    gc.set_threshold(10_000)
    atexit.register(gc.freeze)
    _open_standard_streams()
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        code = _exit_code(command, name)
    finally:
        signal.signal(signal.SIGTERM, before)
    sys.exit(code)


class _OutputClosedError(Exception):
    """The reader of standard output has closed it."""


class _TerminatedError(BaseException):
    """SIGTERM: unwinds like Ctrl-C, so that what is half-written is removed."""


def _terminate(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends the process at once
    raise _TerminatedError


def _exit_code(command: click.Command, name: str) -> int:
    try:
        code = command.main(prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except InputError as error:
        return _fail(str(error), error.exit_code)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _fail("interrupted; run the same command again to resume", 130, kind=None)
    except _TerminatedError:
        return _fail("terminated; run the same command again to resume", 143, kind=None)
    except click.ClickException as error:
        error.show()
        return 2
    except (BrokenPipeError, _OutputClosedError):
        _silence_stdout()
        return 141  # as a program that SIGPIPE ends
    except OSError as error:
        _silence_stdout()
        return _fail(describe_os_error(error), 2)
    except MemoryError as error:
        return _fail(f"not enough memory{f': {error}' if str(error) else ''}", 2)
    return code if isinstance(code, int) else 0


def describe_os_error(error: OSError) -> str:
    """One line about a failed system call: which file, and what was wrong.

    >>> describe_os_error(OSError(30, "Read-only file system", "/out/a.zarr"))
    '/out/a.zarr: Read-only file system'
    """
    what = error.strerror or " ".join(str(error).split()) or type(error).__name__
    return what if error.filename is None else f"{error.filename}: {what}"


def _fail(message: str, code: int, *, kind: str | None = "error") -> int:
    with suppress(OSError):
        click.echo(message if kind is None else f"{kind}: {message}", err=True)
    return code


def _open_standard_streams() -> None:
    """Open what the caller has closed (``>&-``): libraries write there, into whatever file got its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _silence_stdout() -> None:
    """Discard Python's final flush: it would report the same error again."""
    with suppress(OSError):
        sys.stdout.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _finite(value: Any) -> Any:
    """The value, with None for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"cannot print {type(value).__name__} as JSON")
