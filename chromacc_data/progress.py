"""What a user sees while something runs: progress bars, and the log that all modules write to."""

from __future__ import annotations

import logging

from tqdm import tqdm

__all__ = ["LOG", "progress_bar"]

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
