"""Vectors for numba: values of `lanes` numbers that stay in the processor's registers.

Plain numba loops keep an accumulator of one number per filter in memory; the kernels need those of a tile of
filters in registers. This module gives numba a type for that, an LLVM vector such as <16 x float>, with the
operators and the functions that :mod:`chromacc_models.kmer_kernels.kernels` uses. LLVM makes the best of it
on any processor: one AVX-512 register, two of AVX2, four of NEON.

What is constant while a kernel runs (lanes, blocks, distances, activation) is a :class:`Scan`. Numba sees it
as a type, so a kernel is compiled once for each Scan, with its inner loop unrolled.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

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
    "constants",
    "derivative",
    "exp",
    "lane_bits",
    "last",
    "load",
    "load_bits",
    "load_splat",
    "matches",
    "no_rows",
    "popcount",
    "prime",
    "push",
    "splat",
    "splat_bits",
    "store",
    "where",
]

_LANE_BYTES = 4
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_BYTES = ir.IntType(8).as_pointer()
_Emit = Callable[[Any, ir.IRBuilder, Any, Any], Any]


@dataclass(frozen=True)
class Scan:
    """What a kernel knows when it is compiled.

    Parameters
    ----------
    lanes
        Filters that are computed side by side, in one vector; a power of two, at least 4.
    n_blocks
        Table rows that are added for one place.
    step
        Distance between the blocks of a filter, in bases.
    activation
        "linear", "relu" or "exponential".
    """

    lanes: int
    n_blocks: int
    step: int
    activation: str = "linear"


class _ScanType(types.Opaque):
    """A Scan as numba sees it: the value is in the type, and nothing is passed at run time."""

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
        scalar = ir.IntType(1) if vector.scalar is types.boolean else manager[vector.scalar].get_value_type()
        super().__init__(manager, vector, ir.VectorType(scalar, vector.lanes))


@typeof_impl.register(Scan)
def _type_of_scan(scan: Scan, context: Any) -> _ScanType:
    return _scan_type(scan)


@lru_cache  # numba asks at every call of a kernel
def _scan_type(scan: Scan) -> _ScanType:
    return _ScanType(scan)


@unbox(_ScanType)
def _unbox_scan(scan: _ScanType, value: Any, unboxing: Any) -> NativeValue:
    return NativeValue(unboxing.context.get_dummy_value())


def _floats(scan: _ScanType) -> _Vector:
    return _Vector(scan.scan.lanes, types.float32)


def _bits(scan: _ScanType) -> _Vector:
    return _Vector(scan.scan.lanes, types.int32)


# Operators between two vectors of one type. numba asks a template for the types, then lowers by them.


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


def _define(names: str, template: type, emit: Callable[[ir.IRBuilder, Any, Any], Any]) -> None:
    for name in names.split():
        function = getattr(operator, name)
        infer_global(function)(type(f"_Vector_{name}", (template,), {}))
        lower_builtin(function, _Vector, _Vector)(lambda context, builder, sig, args: emit(builder, *args))


def _by_scalar(on_float: str, on_int: str) -> Callable[[ir.IRBuilder, Any, Any], Any]:
    return lambda b, x, y: getattr(b, on_float if x.type.element == ir.FloatType() else on_int)(x, y)


_define("add iadd", _Arithmetic, _by_scalar("fadd", "add"))
_define("sub isub", _Arithmetic, _by_scalar("fsub", "sub"))
_define("mul imul", _Arithmetic, _by_scalar("fmul", "mul"))
_define("and_ iand", _Arithmetic, lambda b, x, y: b.and_(x, y))
_define("or_ ior", _Arithmetic, lambda b, x, y: b.or_(x, y))
_define("gt", _Comparison, lambda b, x, y: b.fcmp_ordered(">", x, y))


# Memory. Offsets count elements of a C-contiguous array of any shape, and are not checked.


@intrinsic
def load(context: Any, scan: _ScanType, array: types.Array, at: types.Integer) -> tuple[Any, _Emit]:
    """The float32 lanes that begin at an offset."""
    return _loaded(_floats(scan), scan, array)


@intrinsic
def load_bits(context: Any, scan: _ScanType, array: types.Array, at: types.Integer) -> tuple[Any, _Emit]:
    """The int32 lanes that begin at an offset."""
    return _loaded(_bits(scan), scan, array)


def _loaded(vector: _Vector, scan: _ScanType, array: types.Array) -> tuple[Any, _Emit]:
    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, array, args[1], args[2])
        return _load_vector(builder, pointer, context.get_value_type(vector))

    return vector(scan, array, types.intp), emit


@intrinsic
def load_splat(context: Any, scan: _ScanType, array: types.Array, at: types.Integer) -> tuple[Any, _Emit]:
    """One int32 of an array in all lanes."""
    vector = _bits(scan)

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        value = builder.load(_pointer(context, builder, array, args[1], args[2]))
        return _splat(builder, value, context.get_value_type(vector))

    return vector(scan, array, types.intp), emit


@intrinsic
def store(context: Any, array: types.Array, at: types.Integer, vector: _Vector) -> tuple[Any, _Emit]:
    """Write a vector at an offset."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        _store_vector(builder, _pointer(context, builder, array, args[0], args[1]), args[2])
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), emit


# Making vectors and asking them.


@intrinsic
def constants(context: Any, scan: _ScanType) -> tuple[Any, _Emit]:
    """(lanes, n_blocks, step) of a Scan."""
    triple = types.UniTuple(types.intp, 3)
    values = [scan.scan.lanes, scan.scan.n_blocks, scan.scan.step]
    return triple(scan), lambda c, b, sig, args: ir.Constant(c.get_value_type(triple), values)


@intrinsic
def splat(context: Any, scan: _ScanType, value: types.Number) -> tuple[Any, _Emit]:
    """A vector with one float32 value in all lanes."""
    return _splatted(_floats(scan), scan, types.float32)


@intrinsic
def splat_bits(context: Any, scan: _ScanType, value: types.Number) -> tuple[Any, _Emit]:
    """A vector with one int32 value in all lanes."""
    return _splatted(_bits(scan), scan, types.int32)


def _splatted(vector: _Vector, scan: _ScanType, scalar: types.Type) -> tuple[Any, _Emit]:
    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        return _splat(builder, args[1], context.get_value_type(vector))

    return vector(scan, scalar), emit


@intrinsic
def where(context: Any, mask: _Vector, yes: _Vector, no: _Vector) -> tuple[Any, _Emit]:
    """`yes` in the lanes of a mask, `no` in the others."""
    return yes(mask, yes, no), lambda c, builder, sig, args: builder.select(*args)


@intrinsic
def any_lane(context: Any, vector: _Vector) -> tuple[Any, _Emit]:
    """Whether a vector is not zero in any lane; NaN is not zero."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        differs = builder.fcmp_unordered if vector.scalar is types.float32 else builder.icmp_unsigned
        mask = differs("!=", args[0], ir.Constant(args[0].type, None))
        whole = builder.bitcast(mask, ir.IntType(vector.lanes))
        return builder.icmp_unsigned("!=", whole, ir.Constant(whole.type, 0))

    return types.boolean(vector), emit


@intrinsic
def lane_bits(context: Any, mask: _Vector) -> tuple[Any, _Emit]:
    """The lanes of a mask as the lowest bits of a number."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        return builder.zext(builder.bitcast(args[0], ir.IntType(mask.lanes)), _I64)

    return types.intp(mask), emit


@intrinsic
def popcount(context: Any, vector: _Vector) -> tuple[Any, _Emit]:
    """Number of set bits in each int32 lane."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        return _call(builder, "ctpop", "i32", *args)

    return vector(vector), emit


@intrinsic
def as_float(context: Any, vector: _Vector) -> tuple[Any, _Emit]:
    """int32 lanes as float32."""
    floats = _Vector(vector.lanes, types.float32)
    return floats(vector), lambda c, b, sig, args: b.sitofp(args[0], c.get_value_type(floats))


@intrinsic
def matches(context: Any, codes: types.Array, at: types.Integer, letter: types.Integer) -> tuple[Any, _Emit]:
    """Which of the 32 codes (uint8) from an offset on equal a letter: bit i of an int32 for the i-th."""
    kind = ir.VectorType(ir.IntType(8), 32)

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        found = _load_vector(builder, _pointer(context, builder, codes, args[0], args[1]), kind, align=1)
        wanted = _splat(builder, builder.trunc(args[2], kind.element), kind)
        return builder.bitcast(builder.icmp_unsigned("==", found, wanted), _I32)

    return types.int32(codes, types.intp, types.intp), emit


# Activations.


@intrinsic
def activate(context: Any, scan: _ScanType, scans: _Vector) -> tuple[Any, _Emit]:
    """The Scan's activation."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        if scan.scan.activation == "relu":
            return _relu(builder, args[1])
        return _exp(builder, args[1]) if scan.scan.activation == "exponential" else args[1]

    return scans(scan, scans), emit


@intrinsic
def derivative(context: Any, scan: _ScanType, scans: _Vector) -> tuple[Any, _Emit]:
    """Derivative of the Scan's activation; that of ReLU is 0 at 0, as in TensorFlow."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        if scan.scan.activation == "exponential":
            return _exp(builder, args[1])
        one = _constant(args[1].type, 1.0)
        if scan.scan.activation == "linear":
            return one
        zero = _constant(one.type, 0.0)
        return builder.select(builder.fcmp_ordered(">", args[1], zero), one, zero)

    return scans(scan, scans), emit


@intrinsic
def exp(context: Any, vector: _Vector) -> tuple[Any, _Emit]:
    """e to the power of each float32 lane, to 2 units in the last place."""
    return vector(vector), lambda c, builder, sig, args: _exp(builder, args[0])


def _relu(builder: ir.IRBuilder, x: Any) -> Any:
    zero = _constant(x.type, 0.0)
    # Written so that a NaN stays one.
    return builder.select(builder.fcmp_ordered(">", zero, x), zero, x)


def _exp(builder: ir.IRBuilder, x: Any) -> Any:
    """Cephes' expf: e**x = 2**n e**r with |r| <= ln(2) / 2, and a polynomial for e**r."""

    def number(value: float) -> Any:
        return _constant(x.type, value)

    def multiply_add(a: Any, b: Any, c: Any) -> Any:
        return _call(builder, "fmuladd", "f32", a, b, c)

    # Beyond these the result is 0 or infinite in float32.
    for limit, beyond in ((-104.0, "<"), (89.0, ">")):
        x = builder.select(builder.fcmp_ordered(beyond, x, number(limit)), number(limit), x)
    # Adding 1.5 * 2**23 rounds to an integer, which then stands in the lowest bits of the float.
    magic = number(12582912.0)
    shifted = multiply_add(x, number(1.44269504088896341), magic)
    n = builder.fsub(shifted, magic)
    # ln(2) in two parts, the first exact in few bits, so that r keeps its precision.
    r = multiply_add(n, number(-0.693359375), x)
    r = multiply_add(n, number(2.12194440e-4), r)
    y = number(1.9875691500e-4)
    for coefficient in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        y = multiply_add(y, r, number(coefficient))
    y = builder.fadd(multiply_add(y, builder.fmul(r, r), r), number(1.0))
    # 2**n in two factors: n may be outside the exponents of float32 where the result is not.
    integers = ir.VectorType(_I32, x.type.count)
    exponent = builder.sub(builder.bitcast(shifted, integers), builder.bitcast(magic, integers))
    half = builder.ashr(exponent, _constant(integers, 1))
    for part in (half, builder.sub(exponent, half)):
        bits = builder.shl(builder.add(part, _constant(integers, 127)), _constant(integers, 23))
        y = builder.fmul(y, builder.bitcast(bits, x.type))
    return y


# Rows of tables. A table is (row, block, lane): the rows of all blocks for one k-mer lie side by side. A
# stream holds for each position the offset of its k-mer's row, in units of 8 bytes per 16 lanes.


@intrinsic
def no_rows(context: Any, scan: _ScanType) -> tuple[Any, _Emit]:
    """One vector of zeros per block."""
    vectors = types.UniTuple(_floats(scan), scan.scan.n_blocks)
    return vectors(scan), lambda c, b, sig, args: ir.Constant(c.get_value_type(vectors), None)


@intrinsic
def prime(
    context: Any, scan: _ScanType, table: types.Array, stream: types.Array, at: types.Integer
) -> tuple[Any, _Emit]:
    """Sums of all but the last block for the places of a phase that begins at `at`; see :func:`advance`."""
    vectors = types.UniTuple(_floats(scan), scan.scan.n_blocks)

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        sums = ir.Constant(context.get_value_type(vectors), None)
        for block in range(scan.scan.n_blocks - 1):
            place = builder.add(args[3], ir.Constant(_I64, block * scan.scan.step))
            row = _row(context, builder, scan, (table, args[1]), (stream, args[2]), place)
            sums = _advanced(builder, scan, sums, row)
        return sums

    return vectors(scan, table, stream, types.intp), emit


@intrinsic
def advance(
    context: Any, scan: _ScanType, sums: Any, table: types.Array, stream: types.Array, at: types.Integer
) -> tuple[Any, _Emit]:
    """Add one k-mer's rows to the places that it is part of.

    The k-mer at position q is block b of the place q - b * step. So the sums of `n_blocks` places are under
    way, one in each vector; each takes its block's row and moves on, and the last one is complete. One
    offset is read per place, and the rows lie side by side.
    """

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        row = _row(context, builder, scan, (table, args[2]), (stream, args[3]), args[4])
        return _advanced(builder, scan, args[1], row)

    return sums(scan, sums, table, stream, types.intp), emit


@intrinsic
def last(context: Any, vectors: types.UniTuple) -> tuple[Any, _Emit]:
    """The last of several vectors: of sums, the complete one."""
    return vectors.dtype(vectors), lambda c, b, sig, args: b.extract_value(args[0], vectors.count - 1)


@intrinsic
def push(context: Any, vectors: types.UniTuple, vector: _Vector) -> tuple[Any, _Emit]:
    """Put a vector first; the last one falls out."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        pushed = builder.insert_value(ir.Constant(args[0].type, ir.Undefined), args[1], 0)
        for i in range(1, vectors.count):
            pushed = builder.insert_value(pushed, builder.extract_value(args[0], i - 1), i)
        return pushed

    return vectors(vectors, vector), emit


@intrinsic
def add_rows(
    context: Any, scan: _ScanType, table: types.Array, stream: types.Array, at: types.Integer, vectors: Any
) -> tuple[Any, _Emit]:
    """Add to one k-mer's rows in a table: to block b the b-th vector. The transpose of :func:`advance`."""

    def emit(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        row = _row(context, builder, scan, (table, args[1]), (stream, args[2]), args[3])
        for block in range(scan.scan.n_blocks):
            vector = builder.extract_value(args[4], block)
            there = _block(builder, scan, row, block)
            _store_vector(builder, there, builder.fadd(_load_vector(builder, there, vector.type), vector))
        return context.get_dummy_value()

    return types.void(scan, table, stream, types.intp, vectors), emit


def _row(context: Any, builder: ir.IRBuilder, scan: _ScanType, table: Any, stream: Any, at: Any) -> Any:
    offset = builder.zext(builder.load(_pointer(context, builder, *stream, at)), _I64)
    start = builder.bitcast(_pointer(context, builder, *table, ir.Constant(_I64, 0)), _BYTES)
    # The multiplication by 8 or less becomes part of the addressing mode.
    return builder.gep(start, [builder.mul(offset, ir.Constant(_I64, scan.scan.lanes // 2))])


def _block(builder: ir.IRBuilder, scan: _ScanType, row: Any, block: int) -> Any:
    return builder.gep(row, [ir.Constant(_I64, block * scan.scan.lanes * _LANE_BYTES)])


def _advanced(builder: ir.IRBuilder, scan: _ScanType, sums: Any, row: Any) -> Any:
    advanced = ir.Constant(sums.type, ir.Undefined)
    for block in range(scan.scan.n_blocks):
        vector = _load_vector(builder, _block(builder, scan, row, block), sums.type.elements[0])
        if block > 0:
            vector = builder.fadd(builder.extract_value(sums, block - 1), vector)
        advanced = builder.insert_value(advanced, vector, block)
    return advanced


def _pointer(context: Any, builder: ir.IRBuilder, kind: types.Array, array: Any, at: Any) -> Any:
    return builder.gep(cgutils.create_struct_proxy(kind)(context, builder, value=array).data, [at])


def _load_vector(builder: ir.IRBuilder, pointer: Any, kind: ir.VectorType, align: int = _LANE_BYTES) -> Any:
    vector = builder.load(builder.bitcast(pointer, kind.as_pointer()))
    vector.align = align
    return vector


def _store_vector(builder: ir.IRBuilder, pointer: Any, vector: Any) -> None:
    builder.store(vector, builder.bitcast(pointer, vector.type.as_pointer())).align = _LANE_BYTES


def _splat(builder: ir.IRBuilder, value: Any, kind: ir.VectorType) -> Any:
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(_I32, kind.count), None))


def _call(builder: ir.IRBuilder, name: str, scalar: str, *args: Any) -> Any:
    """LLVM's own function of that name, on vectors."""
    kind = args[0].type
    function = ir.FunctionType(kind, [kind] * len(args))
    name = f"llvm.{name}.v{kind.count}{scalar}"
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), args)


def _constant(kind: ir.VectorType, value: float) -> Any:
    return ir.Constant(kind, [value] * kind.count)
