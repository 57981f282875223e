"""Sixteen float32 numbers as one numba value: explicit SIMD for kernels that must be fast.

Numba vectorises loops only where LLVM proves that arrays do not overlap, and then to half
the width of the machine's registers. A ``Lanes`` value is an LLVM vector of 16 float32: a
kernel written with it is vectorised as it stands, on any machine (LLVM splits the vector
where registers are narrower), without options that would change other people's kernels.

All operations are IEEE 754's, rounded correctly, and no option lets LLVM reorder them: a kernel
gives the same bits on every processor, for whatever target it is compiled (where there is no
FMA, slowly).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from pipeline.models.simd.cache import cached

#: Number of lanes.
WIDTH = 16

_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, WIDTH)
_BITS = ir.VectorType(ir.IntType(1), WIDTH)
_INDEX = ir.IntType(32)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile with numba at the first call: without the GIL, and cached on disk.

    Where no folder for that can be written, the kernel is compiled anew in each process, and
    the log says so, once.
    """
    try:
        return cached(function, nogil=True, error_model="numpy")
    except RuntimeError:
        _warn_once()
        return njit(nogil=True, error_model="numpy")(function)


@cache
def _warn_once() -> None:
    logging.getLogger(__name__).warning(
        "no folder for compiled kernels can be written, so each process compiles them anew: "
        "set NUMBA_CACHE_DIR to one that can"
    )


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a part of a kernel: compiled into each kernel that calls it."""
    return njit(nogil=True, error_model="numpy", inline="always")(function)


class LanesType(types.Type):
    """The numba type of a vector of 16 float32; it lives in registers, never in an array."""

    def __init__(self) -> None:
        super().__init__(name="Lanes16xfloat32")


lanes_type = LanesType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


def _constant(value: float) -> ir.Constant:
    return ir.Constant(_VECTOR, [value] * WIDTH)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, value=array).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


def _call(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def _operation(arity: int, emit: Callable[..., Any], doc: str) -> Any:
    """Make an intrinsic from lanes to lanes, out of a function that emits its instructions."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: list[Any]) -> Any:
        return emit(builder, *arguments)

    signature = lanes_type(*[lanes_type] * arity)
    typers: dict[int, Callable[..., Any]] = {
        1: lambda typing, a: (signature, codegen),
        2: lambda typing, a, b: (signature, codegen),
        3: lambda typing, a, b, c: (signature, codegen),
    }
    typer = typers[arity]
    typer.__doc__ = doc
    return intrinsic(typer)


def _choose(relation: str) -> Callable[[Any, Any, Any], Any]:
    return lambda b, x, y: b.select(b.fcmp_ordered(relation, x, y), x, y)


def _emit_limit(builder: Any, a: Any, bound: Any) -> Any:
    low = builder.fneg(bound)
    high = builder.select(builder.fcmp_ordered("<", a, bound), a, bound)
    return builder.select(builder.fcmp_ordered(">", high, low), high, low)


add = _operation(2, lambda b, x, y: b.fadd(x, y), "x + y.")
sub = _operation(2, lambda b, x, y: b.fsub(x, y), "x - y.")
mul = _operation(2, lambda b, x, y: b.fmul(x, y), "x * y.")
div = _operation(2, lambda b, x, y: b.fdiv(x, y), "x / y, rounded correctly.")
neg = _operation(1, lambda b, x: b.fneg(x), "-x.")
least = _operation(2, _choose("<"), "The smaller; y where x is NaN.")
most = _operation(2, _choose(">"), "The larger; y where x is NaN.")
floor = _operation(1, lambda b, x: _call(b, "llvm.floor.v16f32", _VECTOR, [x]), "Floor of x.")
root = _operation(1, lambda b, x: _call(b, "llvm.sqrt.v16f32", _VECTOR, [x]), "Square root of x.")
fma = _operation(
    3,
    lambda b, x, y, z: _call(b, "llvm.fma.v16f32", _VECTOR, [x, y, z]),
    "x * y + z, rounded once.",
)
limit = _operation(2, _emit_limit, "x limited to [-y, y], for y >= 0.")


@intrinsic
def load(typing, array, index):  # type: ignore[no-untyped-def]
    """Read 16 consecutive numbers of a flat float32 array, from ``index`` on, unchecked."""

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        array_type, _ = signature.args
        return builder.load(_pointer(context, builder, array_type, *arguments), align=4)

    return lanes_type(array, types.intp), codegen


@intrinsic
def store(typing, array, index, value):  # type: ignore[no-untyped-def]
    """Write 16 consecutive numbers of a flat float32 array, from ``index`` on, unchecked."""

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        array_type = signature.args[0]
        pointer = _pointer(context, builder, array_type, *arguments[:2])
        builder.store(arguments[2], pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes_type), codegen


@intrinsic
def splat(typing, value):  # type: ignore[no-untyped-def]
    """Repeat a float32 in all lanes."""

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        nothing = ir.Constant(_VECTOR, ir.Undefined)
        first = builder.insert_element(nothing, arguments[0], ir.Constant(_INDEX, 0))
        zeros = ir.Constant(ir.VectorType(_INDEX, WIDTH), [0] * WIDTH)
        return builder.shuffle_vector(first, nothing, zeros)

    return lanes_type(types.float32), codegen


@intrinsic
def total(typing, value):  # type: ignore[no-untyped-def]
    """Sum of the lanes."""

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        result = ir.Constant(_FLOAT, 0.0)
        for lane in range(WIDTH):
            element = builder.extract_element(arguments[0], ir.Constant(_INDEX, lane))
            result = builder.fadd(result, element)
        return result

    return types.float32(lanes_type), codegen


@intrinsic
def lane(typing, value, index):  # type: ignore[no-untyped-def]
    """Return one lane as a float32."""

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.extract_element(arguments[0], builder.trunc(arguments[1], _INDEX))

    return types.float32(lanes_type, types.intp), codegen


def _comparison(relation: str, doc: str) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: list[Any]) -> Any:
        bits = builder.fcmp_ordered(relation, *arguments)
        return builder.zext(builder.bitcast(bits, ir.IntType(WIDTH)), ir.IntType(64))

    def typer(typing, a, b):  # type: ignore[no-untyped-def]
        return types.int64(lanes_type, lanes_type), codegen

    typer.__doc__ = doc
    return intrinsic(typer)


where_equal = _comparison("==", "Lanes in which x == y, as the low 16 bits of an integer.")
where_less = _comparison("<", "Lanes in which x < y, as the low 16 bits of an integer.")


@intrinsic
def blend(typing, bits, a, b):  # type: ignore[no-untyped-def]
    """Take ``a`` in the lanes of ``bits``, else ``b``."""

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        mask = builder.bitcast(builder.trunc(arguments[0], ir.IntType(WIDTH)), _BITS)
        return builder.select(mask, *arguments[1:])

    return lanes_type(types.int64, lanes_type, lanes_type), codegen


@intrinsic
def first_bit(typing, bits):  # type: ignore[no-untyped-def]
    """Return the position of the lowest set bit of an integer other than 0."""

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        never_zero = ir.Constant(ir.IntType(1), 1)
        return _call(builder, "llvm.cttz.i64", ir.IntType(64), [arguments[0], never_zero])

    return types.int64(types.int64), codegen
