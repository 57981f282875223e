"""The median of 5 x 5 neighbourhoods, 16 pixels at a time, by a sorting network."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from pipeline.models.lanes import _lanes, _pointer


def sorting_network(count: int) -> list[tuple[int, int]]:
    """Return Batcher's odd-even merge exchange for ``count`` values as pairs (low, high)."""
    pairs = []
    top = 1 << (count - 1).bit_length() - 1
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while True:
            pairs += [(i, i + d) for i in range(count - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1
    return pairs


@intrinsic
def median25(typing, array, index, stride):  # type: ignore[no-untyped-def]
    """Return the medians around 16 consecutive pixels of a flat array, from ``index`` on."""

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        a, i, s = arguments
        values = []
        for y in range(-2, 3):
            for x in range(-2, 3):
                k = builder.add(
                    i, builder.add(builder.mul(s, ir.Constant(s.type, y)), ir.Constant(i.type, x))
                )
                values.append(
                    builder.load(_pointer(context, builder, signature.args[0], a, k), align=4)
                )
        for low, high in sorting_network(25):
            x, y = values[low], values[high]
            swap = builder.fcmp_ordered("<", x, y)
            values[low] = builder.select(swap, x, y)
            values[high] = builder.select(builder.fcmp_ordered(">", x, y), x, y)
        return values[12]

    return _lanes(array, types.intp, types.intp), codegen
