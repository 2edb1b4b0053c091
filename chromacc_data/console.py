"""What the commands share: progress bars, logging, and errors printed for people."""

from __future__ import annotations

import atexit
import gc
import json
import logging
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from chromacc_data.errors import InputError

LOG = logging.getLogger("chromacc")


def progress_bar(total: int, *, unit: str, description: str, show: bool) -> tqdm:
    """Bar with rate and time left on standard error; silent when `show` is false."""
    return tqdm(total=total, unit=f" {unit}", desc=description, disable=not show, unit_scale=total >= 10_000)


def common_options(command: Callable) -> Callable:
    """Options of every command: ``-q``, ``-v`` and ``--json``, handed on as one :class:`Console`."""

    @click.option("-q", "--quiet", is_flag=True, help="Print results and errors only.")
    @click.option("-v", "--verbose", is_flag=True, help="Print each step.")
    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, for programs.")
    @click.pass_context
    def wrapped(context: click.Context, /, quiet: bool, verbose: bool, as_json: bool, **options: Any) -> Any:
        console = Console(quiet=quiet, verbose=verbose, as_json=as_json)
        return context.invoke(command, console=console, **options)

    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__click_params__ = getattr(wrapped, "__click_params__", []) + getattr(
        command, "__click_params__", []
    )
    return wrapped


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
    """Run a command line: exit 0 done, 1 a check did not hold, 2 bad input; no traceback for either."""
    # What the libraries make when they are imported stays: looking through it for garbage again and again,
    # and once more at the end, takes a fifth of the time of a short command.
    gc.set_threshold(10_000)
    atexit.register(gc.freeze)
    try:
        code = command.main(prog_name=name, standalone_mode=False)
    except InputError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        click.echo("interrupted; the same command goes on where it was", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)


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
