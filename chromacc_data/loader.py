"""The Kipoi dataloader: a BED file and a FASTA file to batches of one-hot windows.

Does the work of ``kipoiseq.SeqIntervalDl`` on whole batches, with the same values but for what that one gets
wrong:

- N is zeros, as all other IUPAC codes are (there N is 0.25 and the others zeros);
- windows past an end of a chromosome are padded with N (there silently empty or short);
- names, comments, track and browser lines in the BED file are read (there a crash), and an interval keeps its
  name as its id (there its number);
- a chromosome that the FASTA does not have is an error before the first batch (there at its turn).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chromacc_data.errors import InputError
from chromacc_data.files import writable_home
from chromacc_data.region_windows import RegionWindows
from chromacc_data.sequences.genome import Genome

with writable_home():
    from kipoi.data import Dataset, kipoi_dataloader
    from kipoi.metadata import GenomicRanges

__all__ = ["BedLoader"]


# Kipoi parses this docstring as the YAML description of the loader where a model.yaml names the class. It
# wants each argument of __init__ there, and none of them keyword-only.
@kipoi_dataloader()
class BedLoader(Dataset):
    """
    info:
        doc: >
            One-hot DNA windows of one length for the intervals of a BED file. Bases are in the order A C G T;
            N, other IUPAC codes and positions past the end of a chromosome are all zeros.
    args:
        intervals_file:
            doc: >
                BED or narrowPeak file, plain or gzip, with at least three tab-separated columns. Comments,
                track and browser lines and a line of column names are skipped.
        fasta_file:
            doc: >
                FASTA of the genome, plain or bgzip, with the sequence names of the BED file. Several files
                are one genome: a list of paths, or one text of paths separated by commas.
        window_length:
            doc: >
                Bases of every window. An interval of another length is replaced by the window around its
                midpoint, (start + end) // 2.
        use_strand:
            doc: Whether to reverse-complement the windows of intervals on the minus strand (column 6).
        past_end:
            doc: >
                What to do with a window that reaches past an end of its chromosome: pad (with N), drop or
                error.
    output_schema:
        inputs:
            name: sequence
            shape: (None, 4)
            special_type: DNASeq
            doc: One-hot DNA, A C G T; N is all zeros
            associated_metadata: ranges
        metadata:
            ranges:
                type: GenomicRanges
                doc: >
                    Position of each window, and the name of its interval, or its number from 0 if it has
                    none. Where a window was padded, start is negative or end above the chromosome's length.
    """

    def __init__(
        self,
        intervals_file: Path | str,
        fasta_file: Path | str | Sequence[Path | str],
        window_length: int = 600,
        use_strand: bool = False,
        past_end: str = "pad",
    ) -> None:
        """A loader of the windows of a BED file; the arguments are described above.

        Examples
        --------
        >>> import chromacc_data as cd
        >>> from chromacc_data.examples import example_folder
        >>> folder = example_folder()
        >>> _ = (folder / "tiny.fa").write_text(">chr1\\nACGTACGTACGTACGT\\n")
        >>> _ = (folder / "tiny.bed").write_text("chr1\\t2\\t10\\n")
        >>> loader = cd.BedLoader(folder / "tiny.bed", folder / "tiny.fa", window_length=4)
        >>> loader.batch(slice(None))["inputs"].shape
        (1, 4, 4)
        """
        if not isinstance(window_length, int) or window_length < 1:
            raise InputError(
                "not a window length",
                where="window_length",
                found=window_length,
                expected="a number of bases above 0",
            )
        self.windows = RegionWindows.read(
            Path(intervals_file),
            Genome.open(_fasta_paths(fasta_file)),
            window_length,
            use_strand=use_strand,
            past_end=past_end,
        )
        self._chr_names = np.array(self.windows.genome.names)

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.windows)

    def __getitem__(self, index: int) -> dict:
        """One window: its `inputs`, float32, shape (position, base), and its `metadata`, GenomicRanges."""
        batch = self.batch(np.array([index]))
        ranges = {key: values[0].item() for key, values in batch["metadata"]["ranges"].items()}
        return {"inputs": batch["inputs"][0], "metadata": {"ranges": GenomicRanges(**ranges)}}

    def batch(self, rows: slice | np.ndarray) -> dict:
        """Windows by their numbers, in the form that Kipoi collates a batch to.

        Parameters
        ----------
        rows
            A slice, or integers of shape (window,).

        Returns
        -------
        dict
            `inputs`: float32, shape (window, position, base). `metadata`: `ranges`: arrays `chr`, `start`,
            `end`, `id` and `strand` of shape (window,), as in Kipoi's GenomicRanges; the strand is ``*``
            where strands are not used or not known.
        """
        windows = self.windows
        ranges = {
            "chr": self._chr_names[windows.chrom[rows]],
            "start": windows.start[rows],
            "end": windows.start[rows] + windows.length,
            "id": windows.name[rows].astype(str),
            "strand": windows.strand[rows],
        }
        return {"inputs": windows.one_hot(rows), "metadata": {"ranges": ranges}}

    def _batch_iterable(
        self,
        batch_size: int = 32,
        shuffle: bool = False,
        num_workers: int = 0,
        drop_last: bool = False,
        seed: int = 0,
    ) -> _Batches:
        """Batches in the order of the file, or in a new random order in each pass.

        All of Kipoi's ways to iterate come through here. `num_workers` is accepted and not used: a batch is
        made faster than another process could send it.
        """
        generator = np.random.default_rng(seed) if shuffle else None
        return _Batches(self, batch_size, generator, drop_last)


@dataclass(frozen=True)
class _Batches:
    """The batches of a loader; may be iterated over many times."""

    loader: BedLoader
    batch_size: int
    generator: np.random.Generator | None
    drop_last: bool

    def __len__(self) -> int:
        n_windows = len(self.loader)
        return n_windows // self.batch_size if self.drop_last else -(-n_windows // self.batch_size)

    def __iter__(self) -> _BatchIterator:
        rows: list[slice | np.ndarray] = [
            slice(i * self.batch_size, (i + 1) * self.batch_size) for i in range(len(self))
        ]
        if self.generator is not None:
            order = self.generator.permutation(len(self.loader))
            rows = [order[part] for part in rows]
        return _BatchIterator(self.loader, rows)


class _BatchIterator:
    """One pass over batches. Kipoi draws its progress bar from the length of the iterator itself."""

    def __init__(self, loader: BedLoader, rows: Sequence[slice | np.ndarray]) -> None:
        self._loader, self._n_batches, self._rows = loader, len(rows), iter(rows)

    def __len__(self) -> int:
        return self._n_batches

    def __iter__(self) -> Iterator[dict]:
        return self

    def __next__(self) -> dict:
        return self._loader.batch(next(self._rows))


def _fasta_paths(fasta_file: Path | str | Sequence[Path | str]) -> Path | str | Sequence[Path | str]:
    """One path or several: Kipoi's command line hands on texts only, so that commas separate paths in one."""
    if not isinstance(fasta_file, str) or Path(fasta_file).exists():
        return fasta_file
    return [path.strip() for path in fasta_file.split(",") if path.strip()]
