"""Sixteen float32 numbers as one numba value: explicit SIMD for kernels that must be fast.

Numba vectorises loops only where LLVM proves that arrays do not overlap, and then to half
the width of the machine's registers. A ``Lanes`` value is an LLVM vector of 16 float32: a
kernel written with it is vectorised as it stands, on any machine (LLVM splits the vector
where registers are narrower), without options that would change other people's kernels.

Compiled kernels are cached beside their own file, and numba does not see a change made
here: after one, remove the ``__pycache__`` folders.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

#: Number of lanes.
WIDTH = 16

_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, WIDTH)
_BITS = ir.VectorType(ir.IntType(1), WIDTH)
_NONE = ir.Constant(_VECTOR, None)
_INDEX = ir.IntType(32)
_HAS_AVX512 = bool(binding.get_host_cpu_features().get("avx512f", False))


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile with numba at the first call: without the GIL, and cached on disk.

    Where neither the package's folder nor the user's cache folder can be written, the
    kernel is compiled anew in each process, and the log says so.
    """
    try:
        return njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError as error:
        logging.getLogger(__name__).warning(
            "%s: each process compiles it anew; set NUMBA_CACHE_DIR to a writable folder", error
        )
        return njit(nogil=True, error_model="numpy")(function)


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


def _emit_rsqrt(builder: Any, a: Any) -> Any:
    if _HAS_AVX512:
        extra = [_NONE, ir.Constant(ir.IntType(16), -1)]
        return _call(builder, "llvm.x86.avx512.rsqrt14.ps.512", _VECTOR, [a, *extra])
    return builder.fdiv(_constant(1.0), _call(builder, "llvm.sqrt.v16f32", _VECTOR, [a]))


def _emit_reciprocal(builder: Any, a: Any) -> Any:
    if _HAS_AVX512:
        extra = [_NONE, ir.Constant(ir.IntType(16), -1)]
        return _call(builder, "llvm.x86.avx512.rcp14.ps.512", _VECTOR, [a, *extra])
    return builder.fdiv(_constant(1.0), a)


def _choose(relation: str) -> Callable[[Any, Any, Any], Any]:
    return lambda b, x, y: b.select(b.fcmp_ordered(relation, x, y), x, y)


def _emit_limit(builder: Any, a: Any, bound: Any) -> Any:
    if _HAS_AVX512:
        # The smaller magnitude of the two, with the sign of the first.
        extra = [ir.Constant(_INDEX, 2), _NONE, ir.Constant(ir.IntType(16), -1)]
        arguments = [a, bound, *extra, ir.Constant(_INDEX, 4)]
        return _call(builder, "llvm.x86.avx512.mask.range.ps.512", _VECTOR, arguments)
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
    lambda b, x, y, z: _call(b, "llvm.fmuladd.v16f32", _VECTOR, [x, y, z]),
    "x * y + z, rounded once where the machine can.",
)
limit = _operation(2, _emit_limit, "x limited to [-y, y], for y >= 0.")
rough_rsqrt = _operation(1, _emit_rsqrt, "1 / sqrt(x), relative error at most 2**-14.")
rough_reciprocal = _operation(1, _emit_reciprocal, "1 / x, relative error at most 2**-14.")


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
