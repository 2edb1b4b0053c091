"""A trained network to ask from Python: sequences or regions in, a table of predictions out.

Nothing here imports TensorFlow unless the network is one that Keras must compute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from chromacc_data.errors import InputError
from chromacc_data.lazy import lazy_module
from chromacc_data.progress import LOG
from chromacc_data.region_windows import RegionWindows, require_regions
from chromacc_data.sequences.encoding import (
    BYTE_CLASS,
    FOREIGN,
    N_CODE,
    encode,
    reverse_complement,
)
from chromacc_data.sequences.genome import Genome
from chromacc_models.effects.network import AskedNetwork
from chromacc_models.scoring.given_sequences import codes_of_array, require_nucleotides
from chromacc_models.scoring.open_scorer import open_scorer
from chromacc_models.scoring.saved_network import Network, chosen_cell_types, find_network
from chromacc_models.scoring.scorer import Scorer

if TYPE_CHECKING:
    import xarray as xr

    from chromacc_models.effects import allele_networks, base_effects, hits_table, motif_names, variant_frame
    from chromacc_models.effects.variant_table import VariantColumns
    from chromacc_models.training.run import Run
else:
    allele_networks = lazy_module("chromacc_models.effects.allele_networks")
    base_effects = lazy_module("chromacc_models.effects.base_effects")
    hits_table = lazy_module("chromacc_models.effects.hits_table")
    motif_names = lazy_module("chromacc_models.effects.motif_names")
    variant_frame = lazy_module("chromacc_models.effects.variant_frame")

__all__ = ["Model", "load_model"]

Strands = Literal["forward", "both", "region"]

#: One FASTA or several, or an open genome.
GenomeLike = Genome | Path | str | Sequence[Path | str]

#: What :meth:`Model.predict` takes.
SequencesLike = (
    str | Sequence[str] | Mapping[Any, str] | pd.Series | np.ndarray | pd.DataFrame  # regions
)

#: Windows computed at a time: bounds memory.
_BATCH = 4096

_EXPECTED = (
    "sequences (str), a one-hot array (window, position, base), base codes (window, position), "
    "or a DataFrame of regions (chrom, start, end)"
)


class _Windows(NamedTuple):
    """Windows to predict: their names, the strand of each where it counts, and base codes by their rows."""

    names: pd.Index
    is_minus: np.ndarray | None
    codes: Callable[[slice], np.ndarray]
    #: Of regions: chrom, start, and length of the chromosome.
    in_genome: dict[str, np.ndarray] | None = None


class Model:
    """A trained network: what it predicts, and for which cell types. Made by :func:`load_model`.

    Attributes
    ----------
    cell_types : tuple of str
        Name of each prediction; ``output_0``, … for a bare ``.keras`` file, which holds no names.
    window_length : int
        Bases of the windows that it takes.
    genome : Genome or None
        What regions are cut from, unless :meth:`predict` is given another.
    """

    def __init__(self, network: Network, *, genome: GenomeLike | None = None) -> None:
        self._network = network
        self._scorer = open_scorer(network.weights, sha256=network.sha256)
        self.window_length = self._scorer.window_length
        self.cell_types = network.names_of(self._scorer.n_cell_types)
        self.genome = None if genome is None else _opened(genome)

    def __repr__(self) -> str:
        named = ", ".join(self.cell_types[:3]) + (", …" if len(self.cell_types) > 3 else "")
        computed_by = "k-mer kernels" if isinstance(self._scorer, Scorer) else "Keras"
        return (
            f"<Model {self._network.weights}: windows of {self.window_length} bp to {len(self.cell_types)} "
            f"cell types ({named}), computed by {computed_by}>"
        )

    def predict(
        self, sequences: SequencesLike, *, genome: GenomeLike | None = None, strands: Strands = "forward"
    ) -> pd.DataFrame:
        """Probability that each sequence or region is accessible, by cell type.

        The numbers are those of ``chromacc-models predict``.

        Parameters
        ----------
        sequences
            One of

            - sequences of the network's window length, in upper or lower case: a list, a Series, or a dict of
              names and sequences; other IUPAC codes than A C G T are read as N;
            - a one-hot array (window, position, base), bases in the order A C G T, N all zeros;
            - base codes (window, position), integers: A 0, C 1, G 2, T 3, N 4;
            - a DataFrame of regions: columns chrom, start, end (0-based, end not included), and name and
              strand if there are any, as :func:`chromacc_data.read_bed` reads them. Each gets the prediction
              of the window around its midpoint, N past the ends of its chromosome.
        genome
            What the regions are of: one FASTA or several, or a Genome; that of the model when not given.
        strands
            ``"forward"`` takes sequences as they are, and regions from the forward strand; ``"both"`` gives
            the mean of the predictions for a window and its reverse complement; ``"region"`` takes regions
            from their own strand.

        Returns
        -------
        pd.DataFrame
            A row for each sequence or region and a column for each cell type, float32. The index has the
            names of the sequences or regions where they have any, else their numbers.

        Raises
        ------
        InputError
            For sequences of another length or with letters that are no nucleotides, and for regions that are
            not of the genome.

        Examples
        --------
        >>> import tempfile, chromacc_models as cm
        >>> with tempfile.NamedTemporaryFile(suffix=".keras") as file:
        ...     cm.baseline(12, 2, n_filters=4, filter_width=6, pooling="max").save(file.name)
        ...     model = cm.load_model(file.name)
        >>> model.predict({"first": "ACGTACGTACGT", "second": "ttttttttnnnn"}).round(2)
                output_0  output_1
        first       0.54      0.29
        second      0.56      0.45
        """
        if strands not in get_args(Strands):
            raise InputError(
                "unknown strands", where="strands", found=strands, expected=", ".join(get_args(Strands))
            )
        windows = self._windows(sequences, genome)
        if strands == "region" and windows.is_minus is None:
            raise InputError(
                "there are no strands",
                where="strands",
                found=strands,
                expected="a DataFrame of regions with a column `strand`",
                remedy='take strands="forward" or "both"',
            )
        values = np.empty((len(windows.names), len(self.cell_types)), np.float32)
        n_unknown = 0
        for first in range(0, len(values), _BATCH):
            rows = slice(first, first + _BATCH)
            codes = windows.codes(rows)
            n_unknown += int((2 * np.count_nonzero(codes == N_CODE, axis=1) > codes.shape[1]).sum())
            if strands == "region":
                codes = np.where(windows.is_minus[rows, None], reverse_complement(codes), codes)
            values[rows] = self._scorer.predict(codes)
            if strands == "both":
                values[rows] = (values[rows] + self._scorer.predict(reverse_complement(codes))) / 2
        if n_unknown:
            LOG.warning(
                "%d of %d windows are N for more than half of their length: their predictions say little",
                n_unknown,
                len(values),
            )
        return pd.DataFrame(values, index=windows.names, columns=list(self.cell_types))

    def mutagenesis(
        self,
        sequences: SequencesLike,
        *,
        genome: GenomeLike | None = None,
        cell_types: Sequence[str] | None = None,
    ) -> xr.DataArray:
        """Change of the logits by every base change of sequences or regions.

        The numbers are those of ``chromacc-models mutagenesis``: exact for the interpretable networks; of
        others every mutant is scored.

        Parameters
        ----------
        sequences, genome
            As :meth:`predict` takes them; regions are taken from the forward strand.
        cell_types
            Those that are wanted, in this order; all when not given.

        Returns
        -------
        xr.DataArray
            (region, position, base, cell_type) float32: mutant less reference, 0 for the base that is there.
            Coordinates say what the axes are, and of regions of a genome `chrom` and `start`; `reference` has
            the base codes.

        Raises
        ------
        InputError
            As :meth:`predict`.

        Examples
        --------
        >>> import chromacc_models as cm
        >>> from chromacc_models.examples import example_run
        >>> model = cm.load_model(example_run())
        >>> effects = model.mutagenesis({"mine": "ACGTTGACGTCA" * 5})
        >>> effects.dims, effects.sel(region="mine", cell_type="liver").shape
        (('region', 'position', 'base', 'cell_type'), (60, 4))
        """
        return self._ask("mutagenesis", sequences, genome, cell_types)

    def contributions(
        self,
        sequences: SequencesLike,
        *,
        genome: GenomeLike | None = None,
        cell_types: Sequence[str] | None = None,
        hypothetical: bool = False,
    ) -> xr.DataArray:
        """What each base of sequences or regions adds to the logits; with the bias, they add up to them.

        Parameters
        ----------
        sequences, genome, cell_types
            As in :meth:`mutagenesis`.
        hypothetical
            Give a number for each base that could stand at a position.

        Returns
        -------
        xr.DataArray
            (region, position, cell_type) float32, or with `hypothetical` (region, position, base, cell_type);
            coordinates as in :meth:`mutagenesis`.

        Raises
        ------
        InputError
            For a network without closed contributions (`basset`), and as :meth:`predict`.

        Examples
        --------
        >>> import chromacc_models as cm
        >>> from chromacc_models.examples import example_run
        >>> cm.load_model(example_run()).contributions("ACGTTGACGTCA" * 5).shape
        (1, 60, 2)
        """
        name = "hypothetical_contributions" if hypothetical else "contributions"
        return self._ask(name, sequences, genome, cell_types)

    def hits(
        self,
        sequences: SequencesLike,
        *,
        genome: GenomeLike | None = None,
        cell_types: Sequence[str] | None = None,
        names: Path | str | None = None,
        at_least: float = 0.05,
    ) -> pd.DataFrame:
        """Places of filters that the predictions for sequences or regions are made of.

        The table is that of ``chromacc-models hits``: the contributions of a region's hits, its `rest` and
        its `bias` add up to its logit in a cell type.

        Parameters
        ----------
        sequences, genome, cell_types
            As in :meth:`mutagenesis`.
        names
            Table of ``chromacc-models motifs --database`` that names the filters; the one next to the network
            when not given, if there is one.
        at_least
            List places that add more than this to a logit, or take more from it.

        Returns
        -------
        pd.DataFrame
            Columns region, chrom, start, end, strand, filter, motif, cell_type, contribution, share; without
            chrom, and with positions of the sequence, where the input is no regions.

        Raises
        ------
        InputError
            For a network without filters that pool over the window (`basset`), and as :meth:`predict`.

        Examples
        --------
        >>> import chromacc_models as cm
        >>> from chromacc_models.examples import example_run
        >>> found = cm.load_model(example_run()).hits("ACGTTGACGTCA" * 5, cell_types=["liver"])
        >>> found["filter"].tolist()[-2:]
        ['rest', 'bias']
        """
        windows, codes, columns, chosen = self._asked_for(sequences, genome, cell_types)
        motifs = motif_names.names_of_filters(
            self._network.weights.parent, self._asked.contributions.scorer.n_filters, names
        )
        regions = {"region": windows.names.to_numpy()}
        if windows.in_genome is not None:
            regions |= windows.in_genome
        return hits_table.hits_frame(
            self._asked,
            codes,
            columns=columns,
            cell_types=chosen,
            regions=regions,
            motifs=motifs,
            at_least=at_least,
        )

    def variants(
        self,
        variants: pd.DataFrame | Path | str,
        *,
        genome: GenomeLike | None = None,
        rename: variant_frame.Rename | None = None,
    ) -> pd.DataFrame:
        """What variants do to the logits of the window around them: see :func:`chromacc_models.variants`.

        Parameters
        ----------
        variants
            A VCF file, or a DataFrame with a row for each allele: columns chrom, pos (1-based, as in a VCF),
            ref and alt, and id if there is one.
        genome
            The assembly that they are of: one FASTA or several, or a Genome; that of the model when not
            given.
        rename
            ``"chr"`` puts `chr` before names of chromosomes, ``"no-chr"`` takes it off.

        Returns
        -------
        pd.DataFrame
            A row for each alternative allele, in the order given: its status, logits with either allele,
            their difference, and the percentile of that where the model has a background, for each cell
            type; the largest difference, and the filter that causes most of it.

        Raises
        ------
        InputError
            For a table without these columns, and variants of another assembly.

        Examples
        --------
        >>> import tempfile, chromacc_models as cm
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cm.baseline(12, 1, n_filters=4, filter_width=6).save(f"{folder}/a.keras")
        ...     _ = Path(f"{folder}/a.fa").write_text(">chr1\\nACGTTGCAACGT\\n")
        ...     model = cm.load_model(f"{folder}/a.keras", genome=f"{folder}/a.fa")
        ...     rows = [("chr1", 4, "T", "TG"), ("chr1", 5, "A", "C")]
        ...     table = pd.DataFrame(rows, columns=["chrom", "pos", "ref", "alt"])
        ...     model.variants(table)["status"].tolist()
        ['scored', 'ref_mismatch']
        """
        opened = self.genome if genome is None else _opened(genome)
        if opened is None:
            raise InputError(
                "variants without a genome", expected="its FASTA", remedy="give genome=, one FASTA or several"
            )
        network, columns = self._alleles
        return variant_frame.score_frame(network, columns, variants, opened, rename=rename)

    def _ask(
        self,
        name: str,
        sequences: SequencesLike,
        genome: GenomeLike | None,
        cell_types: Sequence[str] | None,
    ) -> xr.DataArray:
        """A quantity of every base, with named axes."""
        windows, codes, columns, chosen = self._asked_for(sequences, genome, cell_types)
        return base_effects.labelled_values(
            name, self._asked, codes, columns, chosen, windows.names, windows.in_genome
        )

    def _asked_for(
        self, sequences: SequencesLike, genome: GenomeLike | None, cell_types: Sequence[str] | None
    ) -> tuple[_Windows, np.ndarray, tuple[int, ...], tuple[str, ...]]:
        """Windows, their base codes, and columns and names of the cell types."""
        chosen, columns = chosen_cell_types(self.cell_types, cell_types)
        windows = self._windows(sequences, genome)
        return windows, windows.codes(slice(None)), columns, chosen

    @cached_property
    def _asked(self) -> AskedNetwork:
        return AskedNetwork.of(self._scorer, self._network.weights)

    @cached_property
    def _alleles(self) -> tuple[allele_networks.AlleleNetwork, VariantColumns]:
        """What scores alleles, and the columns of their table."""
        alleles = allele_networks.open_alleles(self._network.weights, self._network.sha256)
        return alleles, variant_frame.columns_of(self._network, alleles, None)

    def _windows(self, sequences: SequencesLike, genome: GenomeLike | None) -> _Windows:
        if isinstance(sequences, pd.DataFrame):
            return self._windows_of_regions(sequences, self.genome if genome is None else _opened(genome))
        if isinstance(sequences, (str, bytes)):
            sequences = [sequences]
        names: pd.Index | None = None
        if isinstance(sequences, Mapping):
            names, sequences = pd.Index(list(sequences)), list(sequences.values())
        elif isinstance(sequences, pd.Series):
            names, sequences = sequences.index, list(sequences)
        elif isinstance(sequences, (pd.Index, tuple)) or (
            isinstance(sequences, np.ndarray) and sequences.dtype.kind in "OUS" and sequences.ndim == 1
        ):
            sequences = list(sequences)
        if isinstance(sequences, list) and all(isinstance(one, (str, bytes)) for one in sequences):
            codes = self._codes_of_texts(sequences, names)
        else:
            codes = self._array(sequences)
        if names is None:
            names = pd.RangeIndex(len(codes))
        return _Windows(names, None, lambda rows: codes_of_array(codes[rows]))

    def _codes_of_texts(self, texts: Sequence[str | bytes], names: pd.Index | None) -> np.ndarray:
        """Base codes (window, position) of sequences."""
        length = self.window_length
        for i, text in enumerate(texts):
            if len(text) != length:
                name = i if names is None else repr(names[i])
                raise InputError(
                    "a sequence of another length than the network's windows",
                    where=f"sequence {name}",
                    found=f"{len(text):,} bases",
                    expected=f"{length:,} bases",
                    remedy=f"pad it with N: sequence.center({length}, 'N')"
                    if len(text) < length
                    else f"cut out the window to predict: sequence[start : start + {length}]",
                )
        raw = b"".join(text.encode("utf-8", "replace") if isinstance(text, str) else text for text in texts)
        if (BYTE_CLASS[np.frombuffer(raw, np.uint8)] & FOREIGN).any():
            for i, text in enumerate(texts):
                require_nucleotides(text, i if names is None else repr(names[i]))
        return encode(raw).reshape(len(texts), length)

    def _array(self, sequences: Any) -> np.ndarray:
        """Sequences as an array of base codes or one-hot windows, its shape checked."""
        try:
            array = np.asarray(sequences)
        except ValueError:  # lists of different lengths
            array = np.empty(0, object)
        if array.dtype.kind not in "biuf":
            raise InputError(
                "cannot be read as sequences",
                found=f"{type(sequences).__name__} of {array.dtype}, shape {array.shape}",
                expected=_EXPECTED,
                remedy="read a BED file by chromacc_data.read_bed" if isinstance(sequences, Path) else None,
            )
        length = self.window_length
        if array.shape[1:] in ((length,), (length, 4)):
            return array
        remedy = None
        if array.shape in ((length,), (length, 4)):
            remedy = "make one window a batch of one: array[None]"
        elif array.shape[1:] == (4, length):
            remedy = "put positions before bases: array.transpose(0, 2, 1)"
        raise InputError(
            "an array of another shape than the network's windows",
            found=array.shape,
            expected=f"one-hot (window, {length}, 4), or base codes (window, {length})",
            remedy=remedy,
        )

    def _windows_of_regions(self, regions: pd.DataFrame, genome: Genome | None) -> _Windows:
        require_regions(regions)
        if genome is None:
            raise InputError(
                "regions without a genome", expected="its FASTA", remedy="give genome=, one FASTA or several"
            )
        windows = RegionWindows.read(regions, genome, self.window_length)
        names = pd.Index(windows.name, name="name") if "name" in regions else regions.index
        is_minus = (regions["strand"] == "-").to_numpy() if "strand" in regions else None
        in_genome = {
            "chrom": np.array(windows.genome.names, dtype=object)[windows.chrom],
            "start": windows.start,
            "length": windows.genome.lengths[windows.chrom],
        }
        return _Windows(names, is_minus, windows.codes, in_genome)


def load_model(path: Run | Path | str, *, genome: GenomeLike | None = None) -> Model:
    """A trained network, to ask what it predicts.

    Parameters
    ----------
    path
        A model folder of ``chromacc-models package``, a run of ``chromacc-models train`` or its folder, or a
        ``.keras`` file.
    genome
        What regions will be cut from: one FASTA or several, or a Genome.

    Raises
    ------
    InputError
        If it is none of the three, is damaged, or takes something else than DNA windows of one length.

    Examples
    --------
    >>> import tempfile, chromacc_models as cm
    >>> with tempfile.NamedTemporaryFile(suffix=".keras") as file:
    ...     cm.factorization_machine(12, 2, n_filters=4, filter_width=6).save(file.name)
    ...     model = load_model(file.name)
    >>> model.window_length, model.cell_types
    (12, ('output_0', 'output_1'))
    >>> model.predict(["ACGTACGTACGT"]).shape
    (1, 2)
    """
    return Model(find_network(path), genome=genome)


def _opened(genome: GenomeLike) -> Genome:
    return genome if isinstance(genome, Genome) else Genome.open(genome)
