"""Vectors for numba: values of `lanes` numbers that stay in the processor's registers.

Plain numba loops keep an accumulator of one number per filter in memory; the kernels here need a tile of
filters in registers. This module gives numba a type for that, an LLVM vector such as <16 x float>, with the
operators and the few functions that :mod:`chromacc_models.kernels` uses. LLVM makes the best of it on any
processor: one AVX-512 register, two of AVX2, four of NEON.

What is constant while a kernel runs (lanes, blocks, distance, activation) is a :class:`Scan`: numba sees it
as a type, so each kernel is compiled once for each Scan, with its inner loop unrolled.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import (
    NativeValue,
    intrinsic,
    lower_builtin,
    models,
    register_model,
    typeof_impl,
    unbox,
)

__all__ = [
    "Scan",
    "activate",
    "add_rows",
    "advance",
    "any_lane",
    "as_float",
    "bits_of_matches",
    "derivative",
    "exp",
    "last",
    "load",
    "load_bits",
    "n_blocks",
    "n_lanes",
    "no_bits",
    "no_rows",
    "popcount",
    "prime",
    "push",
    "splat",
    "splat_bits",
    "step",
    "store",
    "where",
]

_BYTES = 4  # of a float32 or int32 lane
_I32, _I64 = ir.IntType(32), ir.IntType(64)


@dataclass(frozen=True)
class Scan:
    """What a kernel knows when it is compiled.

    Parameters
    ----------
    lanes
        Filters that are computed side by side in one vector.
    n_blocks
        Table rows that are added for one place.
    step
        Distance of the blocks of a filter in bases.
    activation
        "linear", "relu" or "exponential".
    """

    lanes: int
    n_blocks: int
    step: int
    activation: str = "linear"


class _ScanType(types.Opaque):
    """A Scan as numba sees it: its value is in the type, nothing is passed at run time."""

    def __init__(self, scan: Scan) -> None:
        self.scan = scan
        super().__init__(name=repr(scan))


class _Vector(types.Type):
    """`lanes` numbers of one scalar type: float32, int32 or boolean."""

    def __init__(self, lanes: int, scalar: types.Type) -> None:
        self.lanes, self.scalar = lanes, scalar
        super().__init__(name=f"Vector({lanes} x {scalar})")


register_model(_ScanType)(models.OpaqueModel)


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: _Vector) -> None:
        scalar = manager.lookup(vector.scalar).get_value_type()
        super().__init__(manager, vector, ir.VectorType(scalar, vector.lanes))


@typeof_impl.register(Scan)
def _type_of_scan(scan: Scan, context: Any) -> _ScanType:
    return _ScanType(scan)


@unbox(_ScanType)
def _unbox_scan(scan: _ScanType, value: Any, compilation: Any) -> NativeValue:
    return NativeValue(compilation.context.get_dummy_value())


# Operators of two vectors of the same type: numba's typing and the LLVM instruction.


class _Arithmetic(AbstractTemplate):
    def generic(self, args: tuple[types.Type, ...], kws: dict) -> Any:
        left, right = args
        return signature(left, left, left) if isinstance(left, _Vector) and left == right else None


class _Comparison(AbstractTemplate):
    def generic(self, args: tuple[types.Type, ...], kws: dict) -> Any:
        left, right = args
        if isinstance(left, _Vector) and left == right:
            return signature(_Vector(left.lanes, types.boolean), left, left)
        return None


def _operator(function: Callable, template: type, scalar: types.Type, emit: Callable) -> None:
    infer_global(function)(type(f"Vector_{function.__name__}", (template,), {}))

    def lower(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        return emit(builder, *args)

    lower_builtin(function, _Vector, _Vector)(lower)


def _by_scalar(on_float: str, on_int: str) -> Callable:
    def emit(builder: ir.IRBuilder, left: Any, right: Any) -> Any:
        is_float = isinstance(left.type.element, ir.FloatType)
        return getattr(builder, on_float if is_float else on_int)(left, right)

    return emit


_operator(operator.add, _Arithmetic, types.float32, _by_scalar("fadd", "add"))
_operator(operator.sub, _Arithmetic, types.float32, _by_scalar("fsub", "sub"))
_operator(operator.mul, _Arithmetic, types.float32, _by_scalar("fmul", "mul"))
_operator(operator.and_, _Arithmetic, types.int32, lambda b, left, right: b.and_(left, right))
_operator(operator.or_, _Arithmetic, types.int32, lambda b, left, right: b.or_(left, right))
_operator(operator.gt, _Comparison, types.float32, lambda b, x, y: b.fcmp_ordered(">", x, y))
