"""Content of `run.json`, typed: the only module that parses and writes it."""

# ruff: noqa: RUF009 -- `option` makes a dataclass field, as `dataclasses.field` does.

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chromacc_data.errors import InputError
from chromacc_data.store.schema import GenomeFacts
from chromacc_data.typed_values import MAX_JSON, Options, from_json, option, read_text
from chromacc_models.training.config import TrainConfig

__all__ = ["RunInfo", "RunResult", "StoreOfRun", "read_info"]

#: Keys that a run without them does not have.
_ONLY_IF_GIVEN = ("motifs_sha256", "result")

_START_AGAIN = "restore it from a copy, or delete the folder and train again"


@dataclass(frozen=True)
class StoreOfRun(Options):
    """The store that a network was trained on."""

    path: str = option("where it was")
    content_hash: str = option("its content hash")
    title: str | None = option("its title", None)


@dataclass(frozen=True)
class RunResult(Options):
    """How a training ended."""

    epochs: int = option("epochs that were trained", minimum=1)
    best_epoch: int = option("the epoch whose weights were kept", minimum=1)
    loss: float = option("training loss of that epoch")
    validation_loss: float = option("validation loss of that epoch")
    seconds: float = option("time that the epochs took", 0.0)


@dataclass(frozen=True)
class RunInfo(Options):
    """Content of `run.json`."""

    store: StoreOfRun = option("the store that the network was trained on")
    config: TrainConfig = option("every training option")
    cell_types: tuple[str, ...] = option("name of each output")
    window_length: int = option("bp of a window", minimum=1, maximum=2**31 - 1)
    engine: str = option("how the network was computed", "auto")
    initial_filters_sha256: str | None = option("checksum of the initial filters", None)
    motifs_sha256: str | None = option("checksum of the file of known motifs", None)
    genome: GenomeFacts | None = option("the genome of the store", None)
    n_parameters: int = option("weights of the network", 0, minimum=0)
    versions: dict[str, str] = option("what it was made with", {})
    result: RunResult | None = option("how the training ended; none before", None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.cell_types or len(set(self.cell_types)) < len(self.cell_types):
            raise InputError(
                "no cell types, or one given twice",
                where="cell_types",
                found=", ".join(self.cell_types) or "none",
                expected="one different name for each output",
            )

    @property
    def finished(self) -> RunResult:
        """How the training ended, of a run that is known to have."""
        assert self.result is not None
        return self.result

    def to_dict(self) -> dict[str, Any]:
        """As plain values, in the order of the file; no `result` before there is one."""
        order = (
            "store", "config", "engine", "initial_filters_sha256", "motifs_sha256", "cell_types",
            "window_length", "genome", "n_parameters", "versions", "result",
        )  # fmt: skip
        values = dataclasses.asdict(self)
        values["cell_types"] = list(self.cell_types)
        return {
            name: values[name] for name in order if name not in _ONLY_IF_GIVEN or values[name] is not None
        }

    def to_json(self) -> str:
        """The text of `run.json`."""
        return json.dumps(self.to_dict(), indent=2)


def read_info(folder: Path) -> RunInfo | None:
    """Content of the `run.json` of a folder; None when there is none.

    Raises
    ------
    InputError
        If it is damaged.
    """
    path = folder / "run.json"
    if not path.exists():
        return None
    text = read_text(
        path, expected="what `chromacc-models train` writes", limit=MAX_JSON, remedy=_START_AGAIN
    )
    return from_json(RunInfo, text, where=path, remedy=_START_AGAIN)
