"""The 5 x 5 median of an image, exactly, by sorting networks 16 pixels wide.

Two output rows share the four rows between them. In those, each column is sorted, each
pair of neighbouring columns is merged (once, for all windows that it is part of), and the
six values of a window's twenty that can still be the median are singled out. Each of the
two rows then adds its own fifth row. That takes 76 minima and maxima a row and 16 pixels;
sorting all 25 values takes three times as many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from pipeline.models.simd.lanes import WIDTH, compiled, inlined, lanes_type, load, store

#: Wires of a network: the values at these places ascend in this order.
Wires = Sequence[int]


def merging(a: Wires, b: Wires) -> tuple[list[tuple[int, int]], list[int]]:
    """Return Batcher's odd-even merge of two sorted groups of wires.

    Returns
    -------
    pairs
        Comparators (low, high) in order.
    wires
        All wires in ascending order of their values afterwards.
    """
    if not a or not b:
        return [], [*a, *b]
    if len(a) == len(b) == 1:
        return [(a[0], b[0])], [a[0], b[0]]
    even, lower = merging(a[::2], b[::2])
    odd, upper = merging(a[1::2], b[1::2])
    last = list(zip(upper, lower[1:], strict=False))
    wires = [lower[0]]
    for pair in last:
        wires += pair
    rest = upper[len(last) :] + lower[1 + len(last) :]
    return even + odd + last, wires + rest


def sorting(count: int) -> tuple[list[tuple[int, int]], list[int]]:
    """Return a network that sorts ``count`` wires, as :func:`merging` does."""
    if count == 1:
        return [], [0]
    half = count // 2
    first, a = sorting(half)
    second, b = sorting(count - half)
    second = [(low + half, high + half) for low, high in second]
    pairs, wires = merging(a, [wire + half for wire in b])
    return first + second + pairs, wires


def core_of_window() -> tuple[list[tuple[int, int]], list[int]]:
    """Return the network that finds ranks 8 to 13 among two sorted eights and a sorted four."""
    first, sixteen = merging(range(8), range(8, 16))
    # Of sixteen, the lowest three and the highest three are out of the running.
    second, rest = merging(sixteen[3:13], range(16, 20))
    return first + second, rest[4:10]


def _extremes(builder: Any, x: Any, y: Any) -> tuple[Any, Any]:
    low = builder.select(builder.fcmp_ordered("<", x, y), x, y)
    return low, builder.select(builder.fcmp_ordered(">", x, y), x, y)


def _compiled_network(pairs: Sequence[tuple[int, int]], wires: Wires) -> Callable[..., Any]:
    """Make a function from a tuple of lanes to the tuple of those on ``wires``.

    Comparators that no output depends on cost nothing: LLVM drops them.
    """

    @intrinsic
    def network(typing, values):  # type: ignore[no-untyped-def]
        result = types.UniTuple(lanes_type, len(wires))

        def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            line = cgutils.unpack_tuple(builder, arguments[0])
            for low, high in pairs:
                line[low], line[high] = _extremes(builder, line[low], line[high])
            return context.make_tuple(builder, result, [line[wire] for wire in wires])

        return result(values), codegen

    return network


@intrinsic
def sixth(typing, six, five):  # type: ignore[no-untyped-def]
    """Return the median of eleven values: six sorted ones and five sorted ones."""

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        a, b = (cgutils.unpack_tuple(builder, group) for group in arguments)
        result = a[5]
        for i in range(5):
            _, high = _extremes(builder, a[i], b[4 - i])
            result, _ = _extremes(builder, result, high)
        return result

    return lanes_type(six, five), codegen


sort4 = _compiled_network(*sorting(4))
sort5 = _compiled_network(*sorting(5))
merge8 = _compiled_network(*merging(range(4), range(4, 8)))
core6 = _compiled_network(*core_of_window())

#: Rows of scratch: four ranks of single columns, then eight of pairs of columns.
SCRATCH_ROWS = 12


@inlined
def four_of(work, i, step):  # type: ignore[no-untyped-def]
    """Load four blocks, ``step`` apart."""
    return load(work, i), load(work, i + step), load(work, i + 2 * step), load(work, i + 3 * step)


@inlined
def row_of_five(work, i):  # type: ignore[no-untyped-def]
    """Sort the five neighbours of each pixel in its row."""
    return sort5(
        (load(work, i - 2), load(work, i - 1), load(work, i), load(work, i + 1), load(work, i + 2))
    )


@compiled
def median_rows(work, source, target, scratch, stride, width, both):  # type: ignore[no-untyped-def]
    """Write the medians of one row, or of ``both`` it and the next.

    Parameters
    ----------
    work
        Flat float32 array.
    source, target
        Where the first pixel of the row is, and where its median goes. Two pixels (rows,
        columns) around the source are read; the target is written in whole blocks of 16.
    scratch
        Where ``SCRATCH_ROWS`` rows of ``stride`` numbers may be overwritten.
    """
    pair = scratch + 4 * stride
    for x in range(-WIDTH, width + 2, WIDTH):
        column = sort4(four_of(work, source - stride + x, stride))
        for k in range(4):
            store(work, scratch + k * stride + x, column[k])
    for x in range(-WIDTH, width, WIDTH):
        k = scratch + x
        ranks = merge8(four_of(work, k, stride) + four_of(work, k + 1, stride))
        for r in range(8):
            store(work, pair + r * stride + x, ranks[r])
    for x in range(0, width, WIDTH):
        k = pair + x
        left = four_of(work, k - 2, stride) + four_of(work, k - 2 + 4 * stride, stride)
        right = four_of(work, k, stride) + four_of(work, k + 4 * stride, stride)
        core = core6(left + right + four_of(work, scratch + x + 2, stride))
        store(work, target + x, sixth(core, row_of_five(work, source - 2 * stride + x)))
        if both:
            five = row_of_five(work, source + 3 * stride + x)
            store(work, target + stride + x, sixth(core, five))
