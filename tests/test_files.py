from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from chromacc_data.files import map_array


def test_map_array__heads_are_parsed_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paths = [tmp_path / f"{i}.npy" for i in range(8)]
    for i, path in enumerate(paths):
        np.save(path, np.arange(i + 1))
    load, inside, most = np.load, [], []

    def slow_load(path: Path, **options: object) -> np.ndarray:
        inside.append(path)
        most.append(len(inside))
        time.sleep(0.01)
        array = load(path, **options)
        inside.remove(path)
        return array

    monkeypatch.setattr(np, "load", slow_load)
    with ThreadPoolExecutor(4) as pool:
        arrays = list(pool.map(map_array, paths))
    assert max(most) == 1
    assert [array.tolist() for array in arrays] == [list(range(i + 1)) for i in range(8)]
    assert all(isinstance(array.base, np.memmap) for array in arrays)
