"""A network beyond the memory of the machine is refused before it is made."""

from __future__ import annotations

import pytest

from chromacc_data import sizes
from chromacc_data.errors import InputError
from chromacc_models.networks.architectures import basset
from chromacc_models.networks.size import require_network_memory, training_bytes
from chromacc_models.training.config import TrainConfig


@pytest.mark.parametrize(
    "options",
    [
        {"network": "baseline", "n_filters": 100_000, "filter_width": 100_000},
        {"network": "factorization_machine", "n_filters": 100_000, "k": 100_000},
        {"network": "motif_builder", "n_filters": 100_000, "filter_blocks": 100_000},
    ],
)
def test_require_network_memory__too_large(options: dict):
    with pytest.raises(InputError, match="needs more memory") as caught:
        require_network_memory(TrainConfig(**options), 600, 6, 10_000)
    assert caught.value.exit_code == 2


def test_require_network_memory__large_batch_of_a_small_store(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sizes, "available_memory", lambda: 10**9)
    require_network_memory(TrainConfig(network="baseline", batch_size=10**6), 600, 6, 100)


def test_training_bytes__weights_of_basset():
    """About five times four bytes a weight, and one batch of what the first filters give."""
    config = TrainConfig(network="basset", batch_size=1)
    given = 600 * 300 * 4
    expected = basset(600, 6).count_params() * 20 + given
    assert training_bytes(config, 600, 6, 1000) == pytest.approx(expected, rel=0.3)
