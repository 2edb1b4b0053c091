"""What an instrument counted: a row for people, and the same row in docs/reliability.md."""

from __future__ import annotations

import argparse
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Tally", "add_write_option", "processor", "write_rows"]

_BEGIN, _END = "<!-- figures -->", "<!-- end of figures -->"


@dataclass
class Tally:
    """Trials of one kind, and what did not survive."""

    name: str
    tried: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def add(self, outcome: str, finding: str | None = None) -> None:
        """Count one trial."""
        self.tried += 1
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        if finding:
            self.findings.append(finding)
            print(f"- [{self.name}] {finding}", flush=True)

    @property
    def survived(self) -> int:
        """Trials without a finding."""
        return self.tried - len(self.findings)

    def __str__(self) -> str:
        outcomes = ", ".join(f"{name} {n}" for name, n in sorted(self.outcomes.items()))
        return f"{self.name:<34} {self.tried:>6} {self.survived:>9}   {outcomes}"


def finish(tallies: list[Tally], *, command: str, write: Path | None) -> int:
    """Print the table; write it where asked; exit code 1 if something did not survive."""
    print(f"\n{'what':<34} {'tried':>6} {'survived':>9}   outcomes")
    for tally in tallies:
        print(tally)
    if write:
        write_rows(write, tallies, command)
    return 1 if any(tally.findings for tally in tallies) else 0


def add_write_option(parser: argparse.ArgumentParser) -> None:
    """Give a command the option that puts its figures into the documentation."""
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the figures into the table of FILE")


def write_rows(path: Path, tallies: list[Tally], command: str) -> None:
    """Put rows into the table of figures of a Markdown file; rows of the same name are replaced."""
    text = path.read_text()
    before, _, rest = text.partition(_BEGIN)
    table, _, after = rest.partition(_END)
    head = ["| what | tried | survived | outcomes | measured on | command |", "|---|---|---|---|---|---|"]
    rows = {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("| ")}
    rows.pop("what", None)
    for tally in tallies:
        outcomes = ", ".join(f"{name} {n:,}" for name, n in sorted(tally.outcomes.items()))
        cells = [tally.name, f"{tally.tried:,}", f"{tally.survived:,}", outcomes, processor(), f"`{command}`"]
        rows[tally.name] = "| " + " | ".join(cells) + " |"
    lines = [_BEGIN, "", *head, *rows.values(), "", _END]
    path.write_text(before + "\n".join(lines) + after)


def processor() -> str:
    """Name and number of cores of this machine's processor."""
    information = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (information.read_text().splitlines() if information.exists() else ())
        if line.startswith("model name")
    ]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} cores"
