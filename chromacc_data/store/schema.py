"""The store, written once: names, dimensions, types and attributes of every variable.

A store is one xarray Dataset, the same in Zarr and in HDF5. Nothing else in the packages spells
the name of a variable, a dimension or an attribute.
"""

# ruff: noqa: RUF009 -- `option` makes a dataclass field, as `dataclasses.field` does.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from chromacc_data.errors import InputError
from chromacc_data.lazy import lazy_module
from chromacc_data.sequences.encoding import BASES, N_BASES
from chromacc_data.typed_values import Options, option, parse_json, typed

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr
else:
    da, xr = map(lazy_module, ("dask.array", "xarray"))

FORMAT = "chromacc-store"
FORMAT_VERSION = 1

# Dimensions.
WINDOW = "window"
POSITION = "position"
BASE = "base"
CELL_TYPE = "cell_type"
SITE = "site"
MOTIF = "motif"

#: Dimensions whose entries have names, kept as coordinates.
NAMED = (BASE, CELL_TYPE, MOTIF)

# Codes of the `split` variable, by value.
SPLITS = ("train", "validation", "test")
NO_FOLD = -1

#: Bytes of a variable's chunk: Blosc compresses less than 2 GiB at once.
LARGEST_CHUNK = 2**31 - 1024

#: Motif and start of a site that is not there.
NO_SITE = -1

# Root attributes: str, int or a JSON text (those marked JSON), so that both formats hold them alike.
ATTR_FORMAT = "format"
ATTR_FORMAT_VERSION = "format_version"
ATTR_TITLE = "title"
ATTR_CONTENT_HASH = "content_hash"
ATTR_GENOME = "genome"  # JSON {"assembly": str, "sequences": {name: {"length": int, "md5": str}}}
ATTR_RECIPE = "recipe"  # the recipe's text, as read
ATTR_RECIPE_PATH = "recipe_path"  # where it was read, a hint for `verify`
ATTR_SEED = "seed"
ATTR_BUILD_KEY = "build_key"  # digest of recipe and inputs: the same key, the same content
ATTR_INPUTS = "inputs"  # JSON [{"name", "source", "sha256", "bytes"}]
ATTR_VERSIONS = "versions"  # JSON {"chromacc": ..., "bedtools": ...}
ATTR_COUNTS = "counts"  # JSON: intervals, peaks and windows, kept and dropped by reason
ATTR_LEAKS = "leak_audit"  # JSON: what the splits share
ATTR_TRUTH = "truth"  # JSON: motifs and accessibility models of a simulated set; see `simulation.truth`
ATTR_CHECKSUMS = "attribute_checksums"  # JSON: SHA-256 of each other attribute and variable; see `seal`
ATTR_WINDOW_CHUNK = "window_chunk"  # windows in a chunk, and in a block of the content hash

# Attributes of variables: what one holds, and the names that its codes stand for (`chrom`, `split`).
ATTR_DOC = "description"
ATTR_NAMES = "names"


@dataclass(frozen=True)
class SequenceFacts(Options):
    """What is on record of a sequence of the genome."""

    length: int = option("bp", minimum=0)
    md5: str = option("MD5 of its upper-case bases")


@dataclass(frozen=True)
class GenomeFacts(Options):
    """The attribute `genome`."""

    assembly: str = option("name of the assembly")
    sequences: dict[str, SequenceFacts] = option("its sequences, by name")


@dataclass(frozen=True)
class InputRecord(Options):
    """One of the attribute `inputs`: a file that a store was built from."""

    name: str = option("what it is")
    source: str = option("where it came from")
    sha256: str = option("SHA-256 of its bytes")
    bytes: int = option("its size", minimum=0)


@dataclass(frozen=True)
class Shared(Options):
    """What two splits or two folds share, in the attribute `leak_audit`."""

    windows: int = option("windows of either that overlap one of the other", minimum=0)
    bp: int = option("positions in windows of both", minimum=0)


#: Types of the attributes that are JSON texts; the truth has its own reader, in `simulation.truth`.
JSON_ATTRIBUTES = {
    ATTR_GENOME: GenomeFacts,
    ATTR_INPUTS: tuple[InputRecord, ...],
    ATTR_VERSIONS: dict[str, str],
    ATTR_COUNTS: dict[str, int],
    ATTR_LEAKS: dict[str, dict[str, Shared]],
}

#: Attributes that are plain texts.
TEXT_ATTRIBUTES = (ATTR_TITLE, ATTR_CONTENT_HASH, ATTR_RECIPE, ATTR_RECIPE_PATH, ATTR_BUILD_KEY, ATTR_TRUTH)

_BUILD_AGAIN = "build the store again, or fetch it again if it was copied"


@dataclass(frozen=True)
class Variable:
    """Name, dimensions, type and meaning of one variable of the store."""

    name: str
    dims: tuple[str, ...]
    dtype: str
    doc: str
    required: bool = True


SEQUENCE = Variable(
    "sequence",
    (WINDOW, POSITION, BASE),
    "uint8",
    "one-hot DNA, bases in the order A C G T; N, other IUPAC codes and positions past an end are all zeros",
)
ACCESSIBILITY = Variable(
    "accessibility",
    (WINDOW, CELL_TYPE),
    "uint8",
    "1 where the window is open in the cell type, else 0",
)
CHROM = Variable("chrom", (WINDOW,), "int32", "index into the attribute `names`", required=False)
START = Variable(
    "start",
    (WINDOW,),
    "int64",
    "0-based start of the window in the chromosome; may be negative where padded",
    required=False,
)
END = Variable("end", (WINDOW,), "int64", "end of the window, not included", required=False)
STRAND = Variable("strand", (WINDOW,), "int8", "1 or -1, 0 where the window has none", required=False)
SPLIT = Variable("split", (WINDOW,), "int8", "0 train, 1 validation, 2 test")
FOLD = Variable(
    "fold",
    (WINDOW,),
    "int8",
    "fold of cross-validation in which the window is held out; -1 in none",
    required=False,
)

# The truth of a simulated set; a store has all of these or none.
SITE_MOTIF = Variable(
    "site_motif",
    (WINDOW, SITE),
    "int16",
    "index into `motif`, of the sites from left to right; -1 where the window has no more",
    required=False,
)
SITE_START = Variable(
    "site_start",
    (WINDOW, SITE),
    "int32",
    "0-based first position of the site in the window; -1 without site",
    required=False,
)
SITE_STRAND = Variable(
    "site_strand",
    (WINDOW, SITE),
    "int8",
    "1, or -1 where the site is the motif's reverse complement; 0 without site",
    required=False,
)
SCORE = Variable(
    "score",
    (WINDOW, CELL_TYPE),
    "float64",
    "score of the planted sites; open where it is at least the cell type's threshold",
    required=False,
)
OPEN_PROBABILITY = Variable(
    "open_probability",
    (WINDOW, CELL_TYPE),
    "float32",
    "chance that the window is open, given its sequence and how such sequences are made; six decimals",
    required=False,
)
ACCIDENTAL = Variable(
    "accidental",
    (WINDOW, MOTIF),
    "uint16",
    "occurrences of the motif's consensus that were not planted and reach outside the sites",
    required=False,
)

TRUTH = (SITE_MOTIF, SITE_START, SITE_STRAND, SCORE, OPEN_PROBABILITY, ACCIDENTAL)

#: Variables of a store whose windows come from a genome, and of one whose windows are simulated.
REAL = (SEQUENCE, ACCESSIBILITY, CHROM, START, END, STRAND, SPLIT, FOLD)
SIMULATED = (SEQUENCE, ACCESSIBILITY, SPLIT, FOLD, *TRUTH)

#: The same, by the kind of the recipe.
VARIABLES_OF = {"genome": REAL, "simulation": SIMULATED}

VARIABLES: dict[str, Variable] = {variable.name: variable for variable in (*REAL, *TRUTH)}


def template(
    n_windows: int,
    window_length: int,
    cell_types: Sequence[str],
    *,
    chunk: int,
    variables: Sequence[Variable],
    chrom_names: Sequence[str] = (),
    motifs: Sequence[str] = (),
    n_sites: int = 0,
    attrs: Mapping[str, str | int] | None = None,
) -> xr.Dataset:
    """Empty lazy Dataset with the layout of a store, to be filled chunk by chunk.

    Parameters
    ----------
    n_windows, window_length, cell_types
        Sizes of the dimensions; window length in bp.
    chunk
        Windows in a chunk; every variable is chunked along the window only.
    variables
        Those of :data:`VARIABLES` that the store holds.
    chrom_names
        Names that the codes of ``chrom`` stand for.
    motifs, n_sites
        Names of the motifs, and sites that a window can have, of a simulated set.
    attrs
        Root attributes besides format and version.
    """
    sizes = {
        WINDOW: n_windows,
        POSITION: window_length,
        BASE: N_BASES,
        CELL_TYPE: len(cell_types),
        SITE: n_sites,
        MOTIF: len(motifs),
    }
    data = {}
    for variable in variables:
        shape = tuple(sizes[dim] for dim in variable.dims)
        zeros = da.zeros(shape, dtype=variable.dtype, chunks=(chunk, *shape[1:]))
        data[variable.name] = (variable.dims, zeros, {ATTR_DOC: variable.doc})
    if CHROM.name in data:
        data[CHROM.name][2][ATTR_NAMES] = list(chrom_names)
    if SPLIT.name in data:
        data[SPLIT.name][2][ATTR_NAMES] = list(SPLITS)
    names = {BASE: BASES, CELL_TYPE: cell_types} | ({MOTIF: motifs} if motifs else {})
    coords = {dim: np.array(list(values), dtype=object) for dim, values in names.items()}
    root = {ATTR_FORMAT: FORMAT, ATTR_FORMAT_VERSION: FORMAT_VERSION, ATTR_WINDOW_CHUNK: chunk}
    return xr.Dataset(data, coords, root | dict(attrs or {}))


def read_attribute(ds: xr.Dataset, name: str, default: Any = None) -> Any:
    """Value of a JSON attribute of a store in its type, or `default` where the store has none.

    Parameters
    ----------
    ds
        An open store.
    name
        Of :data:`JSON_ATTRIBUTES`.
    default
        What a store without it gives.

    Raises
    ------
    InputError
        If it is not JSON, or of another type.
    """
    if name not in ds.attrs:
        return default
    where = f"{ds.encoding.get('source', 'store')}, attribute {name!r}"
    text = _text(ds.attrs[name], where)
    try:
        return _read_json(name, text)
    except InputError as error:
        place = ", ".join(filter(None, [where, error.where]))
        raise InputError(
            error.what, where=place, found=error.found, expected=error.expected, remedy=error.remedy
        ) from error


def chrom_names(ds: xr.Dataset) -> tuple[str, ...]:
    """Names that the codes of `chrom` stand for; none in a simulated store."""
    if CHROM.name not in ds:
        return ()
    names = ds[CHROM.name].attrs.get(ATTR_NAMES, ())
    return tuple(str(name) for name in np.atleast_1d(np.asarray(names, dtype=object)))


# Every task opens the store, and a genome may have hundreds of thousands of sequences.
@lru_cache(maxsize=16)
def _read_json(name: str, text: str) -> Any:
    value = parse_json(text, where="", remedy=_BUILD_AGAIN)
    return typed(value, JSON_ATTRIBUTES[name], where="", remedy=_BUILD_AGAIN)


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise InputError(
            "is damaged", where=where, found=repr(value)[:80], expected="a text", remedy=_BUILD_AGAIN
        )
    return value


def _require_attributes(ds: xr.Dataset, where: str) -> None:
    """Raise unless each attribute has its type."""
    chunk = ds.attrs.get(ATTR_WINDOW_CHUNK, 1)
    whole = isinstance(chunk, (int, np.integer)) and not isinstance(chunk, (bool, np.bool_))
    if not whole or not 1 <= chunk < 2**31:
        raise InputError(
            "is damaged",
            where=f"{where}, attribute {ATTR_WINDOW_CHUNK!r}",
            found=repr(chunk)[:80],
            expected="the number of windows in a chunk, 1 or more",
            remedy=_BUILD_AGAIN,
        )
    for name in TEXT_ATTRIBUTES:
        if name in ds.attrs:
            _text(ds.attrs[name], f"{where}, attribute {name!r}")
    for name in JSON_ATTRIBUTES:
        read_attribute(ds, name)
    if CHROM.name in ds and ds.sizes[WINDOW]:
        names, genome = chrom_names(ds), read_attribute(ds, ATTR_GENOME)
        known = set(names) if genome is None else genome.sequences.keys()
        if not names or len(set(names)) < len(names) or not known >= set(names):
            raise InputError(
                "is damaged",
                where=f"{where}, attribute {ATTR_NAMES!r} of {CHROM.name!r}",
                found=", ".join(names[:8]) or "no name",
                expected="the name of each chromosome, once, as in the attribute `genome`",
                remedy=_BUILD_AGAIN,
            )


def validate(ds: xr.Dataset, *, where: str = "store") -> None:
    """Raise unless a Dataset is a store of this format version.

    Checks the format and its version, that the required variables are there, the dims, dtype and sizes of
    each known one, and the type of each attribute. Reads no chunk of data.

    Raises
    ------
    InputError
        With the first thing that does not hold.
    """
    found = ds.attrs.get(ATTR_FORMAT)
    if found != FORMAT:
        raise InputError(
            "not a chromacc store",
            where=where,
            found=f"attribute {ATTR_FORMAT!r} = {str(found)[:80]!r}"
            if found
            else f"no attribute {ATTR_FORMAT!r}",
            expected=repr(FORMAT),
            remedy="build one with `chromacc-data build RECIPE -o NAME.zarr`",
        )
    version = ds.attrs.get(ATTR_FORMAT_VERSION)
    if str(version)[:20] != str(FORMAT_VERSION):
        raise InputError(
            "a store with another format version",
            where=where,
            found=str(version)[:80],
            expected=FORMAT_VERSION,
            remedy="build it again with this chromacc, or open it with the one that wrote it",
        )
    for variable in VARIABLES.values():
        if variable.name not in ds:
            if variable.required:
                raise InputError(
                    f"variable {variable.name!r} is missing", where=where, found=sorted(ds.variables)
                )
            continue
        array = ds[variable.name]
        if array.dims != variable.dims or array.dtype != np.dtype(variable.dtype):
            raise InputError(
                f"variable {variable.name!r} has another layout",
                where=where,
                found=f"{array.dims} {array.dtype}",
                expected=f"{variable.dims} {variable.dtype}",
            )
    if tuple(map(str, ds[BASE].values)) != BASES:
        raise InputError(
            "bases in the wrong order", where=where, found=list(ds[BASE].values), expected=list(BASES)
        )
    truth = [variable.name for variable in TRUTH if variable.name in ds]
    if truth and (len(truth) < len(TRUTH) or ATTR_TRUTH not in ds.attrs or MOTIF not in ds.coords):
        raise InputError(
            "a simulated set with incomplete truth",
            where=where,
            found=", ".join(truth),
            expected=", ".join([*(variable.name for variable in TRUTH), f"the attribute {ATTR_TRUTH}"]),
        )
    names = [str(n) for n in ds[CELL_TYPE].values]
    if len(set(names)) != len(names):
        raise InputError("cell types are not unique", where=where, found=names)
    _require_attributes(ds, where)
