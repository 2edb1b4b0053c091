"""What a user sees of the work: progress bars, the log that all modules write to, and counts in lines."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from tqdm import tqdm

__all__ = ["LOG", "count_lines", "progress_bar"]

LOG = logging.getLogger("chromacc")


def progress_bar(total: int | None, *, unit: str, description: str, show: bool) -> tqdm:
    """Bar with rate and time left on standard error; silent when `show` is false."""
    return tqdm(
        total=total,
        unit=f" {unit}",
        desc=description,
        disable=not show,
        unit_scale=total is None or total >= 10_000,
    )


def count_lines(counts: Mapping[str, int]) -> list[str]:
    """Counts by name, one aligned line each."""
    return [f"  {name:<40} {count:>12,}" for name, count in counts.items()]
