"""Score of a window by where its sites lie, for recipe.yaml beside this file."""

from __future__ import annotations

import numpy as np


def near_the_middle(sites, codes: np.ndarray, names: tuple[str, ...]) -> np.ndarray:  # noqa: ANN001
    """Sum over the sites of 1 in the middle of the window, falling to 0 at both ends, (window,) float64."""
    middle = codes.shape[1] / 2
    nearness = 1 - np.abs(sites.start - middle) / middle
    return np.where(sites.motif >= 0, nearness, 0.0).sum(axis=1)
