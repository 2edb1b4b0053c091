"""Ways to compute a network, by the names that commands, runs and model files use."""

from __future__ import annotations

from chromacc_data.errors import InputError

__all__ = ["BACKENDS", "EARLIER_NAMES", "backend_named", "not_by_kernels"]

#: "kernels" (:mod:`chromacc_models.kmer_kernels.scan`), plain "keras", or "auto": the faster one here.
BACKENDS = ("auto", "kernels", "keras")

#: Earlier names, which runs and model files may hold.
EARLIER_NAMES = {"tables": "kernels"}


def backend_named(name: str) -> str:
    """One of :data:`BACKENDS` by its name, or by an earlier one.

    Raises
    ------
    InputError
        If there is none of this name.

    Examples
    --------
    >>> backend_named("tables"), backend_named("keras")
    ('kernels', 'keras')
    """
    name = EARLIER_NAMES.get(name, name)
    if name not in BACKENDS:
        raise InputError("unknown backend", found=name, expected=", ".join(BACKENDS))
    return name


def not_by_kernels(obstacle: object) -> InputError:
    """The error where kernels were asked for, and cannot compute the network."""
    return InputError(
        "the network cannot be computed by kernels", found=obstacle, remedy="use the backend keras or auto"
    )
