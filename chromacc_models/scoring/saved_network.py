"""Where a trained network is on disk: in a model folder, in a run folder, or a bare ``.keras`` file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chromacc_data.errors import InputError
from chromacc_data.lazy import lazy_module
from chromacc_models.sharing.kipoi import files as kf

if TYPE_CHECKING:
    from chromacc_models.training import run as runs
else:
    runs = lazy_module("chromacc_models.training.run")

__all__ = ["Network", "chosen_cell_types", "find_network"]


@dataclass(frozen=True)
class Network:
    """A trained network on disk.

    Parameters
    ----------
    weights
        The ``.keras`` file.
    cell_types
        Name of each output; None for a bare file, whose outputs have numbers only.
    sha256
        Checksum of the weights, where one is recorded.
    """

    weights: Path
    cell_types: tuple[str, ...] | None = None
    sha256: str | None = None

    def names_of(self, n_outputs: int) -> tuple[str, ...]:
        """Name of each output.

        Raises
        ------
        InputError
            If the names do not fit the outputs.
        """
        names = self.cell_types
        if names is None:
            names = tuple(f"output_{i}" for i in range(n_outputs))
        kf.require_labels(names, n_outputs, where=self.weights.parent)
        return names


def find_network(model: runs.Run | Path | str) -> Network:
    """The network of a model folder, a run folder or a ``.keras`` file.

    Raises
    ------
    InputError
        If it is none of the three, or a model folder with other names or weights than it was packaged with.
    """
    path = Path(getattr(model, "folder", model)).resolve()
    if (path / kf.MODEL_FILE).is_file():
        description = kf.read_model_file(path)
        kf.require_checksums(path, description, (kf.WEIGHTS, kf.TARGETS))
        names = kf.read_targets(path)
        return Network(path / description.args.weights, tuple(names), description.args.sha256)
    if (path / "run.json").is_file():
        run = runs.Run.open(path)
        return Network(run.folder / "model.keras", run.cell_types)
    if path.is_file():
        return Network(path)
    raise InputError(
        "no network here",
        where=path,
        found="no such file or folder" if not path.exists() else "a folder without model.yaml and run.json",
        expected="a model folder, a run folder of `chromacc-models train`, or a .keras file",
    )


def chosen_cell_types(
    known: tuple[str, ...], wanted: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and columns of the cell types that are wanted; all when None.

    Raises
    ------
    InputError
        For a name that the network does not have, one that is given twice, or none.
    """
    names = known if wanted is None else tuple(wanted)
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) < len(names):
        raise InputError(
            "unknown cell type" if unknown else "no cell types, or one given twice",
            where="--cell-type",
            found=", ".join(unknown or names) or "none",
            expected=", ".join(known),
        )
    return names, tuple(known.index(name) for name in names)
