"""What the Kipoi tests stand on: a small genome, a store, a run folder made by hand, and the client."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import yaml

from chromacc_data.engine import Engine
from chromacc_data.sequences.encoding import decode
from chromacc_data.sequences.genome import Genome
from chromacc_data.store import schema
from chromacc_data.store.partial import Partial
from chromacc_data.store.write import write_store
from chromacc_models.networks.layers import FactorizationMachine, GlobalPooling, SequenceConv1D
from chromacc_models.training.config import TrainConfig
from tests.conftest import make_dataset

LENGTH = 120
#: Twelve, because Kipoi sorts columns as text: preds/0, preds/1, preds/10, preds/11, preds/2 …
CELL_TYPES = tuple(f"cell {i}" for i in range(12))

#: Regions of many kinds: named, of another length, lower strand, over both ends of a chromosome.
REGIONS = """\
# a comment
chr1	100	220	first	0	+
chr1	400	900	long	0	-
chr2	10	20	at the start	0	.
chr2	2970	3000	at the end	0	+
chr1	150	270	overlaps the first	0	+
"""


def make_genome(folder: Path) -> Path:
    """A FASTA of two chromosomes, with soft-masked bases, other letters and N."""
    rng = np.random.default_rng(7)
    path = folder / "genome.fa"
    with path.open("w") as file:
        for name, length in (("chr1", 5000), ("chr2", 3000)):
            sequence = decode(rng.integers(0, 4, length, dtype=np.uint8))
            sequence = sequence[:1000] + sequence[1000:1100].lower() + "NNNNRY" + sequence[1106:]
            file.write(f">{name}\n" + "\n".join(sequence[i : i + 60] for i in range(0, length, 60)) + "\n")
    return path


def make_network(n_cell_types: int = len(CELL_TYPES), length: int = LENGTH) -> keras.Model:
    """A small network with layers of ours."""
    keras.utils.set_random_seed(5)
    sequence = keras.Input((length, 4), name="sequence")
    filters = SequenceConv1D(8, 6, strands="forward", activation="relu", name="filters")(sequence)
    pooled = GlobalPooling("max", name="pool")(filters)
    logits = FactorizationMachine(n_cell_types, 2, name="head")(pooled)
    outputs = keras.layers.Activation("sigmoid", name="accessibility")(logits)
    return keras.Model(sequence, outputs, name="factorization_machine")


def make_run(folder: Path) -> Path:
    """A run folder as `chromacc-models train` leaves it, of a network that was not trained."""
    genome = Genome.open(make_genome(folder))
    starts = np.arange(12, dtype=np.int64) * 240
    ds = make_dataset(
        codes=genome.windows(np.zeros(12, dtype=np.int32), starts, LENGTH), cell_types=CELL_TYPES
    )
    ds["start"].data, ds["end"].data = (
        schema.da.from_array(values, chunks=ds["start"].data.chunks) for values in (starts, starts + LENGTH)
    )
    facts = {
        "assembly": "toy1",
        "sequences": {
            name: {"length": genome.length(name), "md5": genome.md5(name)} for name in genome.names
        },
    }
    ds.attrs[schema.ATTR_GENOME] = json.dumps(facts)
    path = folder / "store.zarr"
    with Partial.open(path, key="toy") as partial:
        root = write_store(ds, path, engine=Engine(workers=1), partial=partial)
    network = make_network()
    run = folder / "run"
    run.mkdir()
    network.save(run / "model.keras")
    info = {
        "store": {"path": str(path), "content_hash": root, "title": "made by hand"},
        "config": dataclasses.asdict(TrainConfig(network="factorization_machine")),
        "cell_types": list(CELL_TYPES),
        "window_length": LENGTH,
        "genome": facts,
        "n_parameters": network.count_params(),
        "versions": {"chromacc": "0.1.0"},
        "result": {"epochs": 3, "best_epoch": 2, "loss": 0.5, "validation_loss": 0.6, "seconds": 1.0},
    }
    (run / "run.json").write_text(json.dumps(info))
    return run


def run_kipoi(
    *arguments: str | Path, home: Path, cwd: Path, python: str | Path = sys.executable
) -> subprocess.CompletedProcess:
    """Run the real client in a process of its own, with its settings under `home`."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
    return subprocess.run(
        [str(python), "-m", "kipoi", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **quiet, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def write_sources(home: Path, sources: dict[str, dict]) -> None:
    """Write ~/.kipoi/config.yaml with named sources."""
    (home / ".kipoi").mkdir(parents=True, exist_ok=True)
    (home / ".kipoi" / "config.yaml").write_text(yaml.safe_dump({"model_sources": sources}))
