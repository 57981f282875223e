"""Small matrix products in registers, and how activations are read: what all kernels share."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import uint64

from pipeline.models.simd.lanes import compiled, fma, inlined, load, most, mul, splat, store

PANEL = 32
"""Columns of a product that are computed together; the wide layers' channels are multiples."""

ZERO = np.float32(0)


@inlined
def spread(a, i):
    """One number in all lanes."""
    return splat(a[uint64(i)])


@inlined
def block(a, ai, rs, cs, b, bi, c, ci, depth, more):
    """C (8, 32) = [c +] a (8, depth) @ b (depth, 32), a with row and column strides rs, cs.

    Two vectors of 16 for each of eight rows: 16 sums that stay in registers.
    """
    if more:
        c00, c01 = load(c, ci), load(c, ci + 16)
        c10, c11 = load(c, ci + 32), load(c, ci + 48)
        c20, c21 = load(c, ci + 64), load(c, ci + 80)
        c30, c31 = load(c, ci + 96), load(c, ci + 112)
        c40, c41 = load(c, ci + 128), load(c, ci + 144)
        c50, c51 = load(c, ci + 160), load(c, ci + 176)
        c60, c61 = load(c, ci + 192), load(c, ci + 208)
        c70, c71 = load(c, ci + 224), load(c, ci + 240)
    else:
        z = splat(ZERO)
        c00, c01, c10, c11, c20, c21, c30, c31 = z, z, z, z, z, z, z, z
        c40, c41, c50, c51, c60, c61, c70, c71 = z, z, z, z, z, z, z, z
    for _ in range(depth):
        b0, b1 = load(b, bi), load(b, bi + 16)
        s = spread(a, ai)
        c00, c01 = fma(s, b0, c00), fma(s, b1, c01)
        s = spread(a, ai + rs)
        c10, c11 = fma(s, b0, c10), fma(s, b1, c11)
        s = spread(a, ai + 2 * rs)
        c20, c21 = fma(s, b0, c20), fma(s, b1, c21)
        s = spread(a, ai + 3 * rs)
        c30, c31 = fma(s, b0, c30), fma(s, b1, c31)
        s = spread(a, ai + 4 * rs)
        c40, c41 = fma(s, b0, c40), fma(s, b1, c41)
        s = spread(a, ai + 5 * rs)
        c50, c51 = fma(s, b0, c50), fma(s, b1, c51)
        s = spread(a, ai + 6 * rs)
        c60, c61 = fma(s, b0, c60), fma(s, b1, c61)
        s = spread(a, ai + 7 * rs)
        c70, c71 = fma(s, b0, c70), fma(s, b1, c71)
        ai += cs
        bi += PANEL
    store(c, ci, c00)
    store(c, ci + 16, c01)
    store(c, ci + 32, c10)
    store(c, ci + 48, c11)
    store(c, ci + 64, c20)
    store(c, ci + 80, c21)
    store(c, ci + 96, c30)
    store(c, ci + 112, c31)
    store(c, ci + 128, c40)
    store(c, ci + 144, c41)
    store(c, ci + 160, c50)
    store(c, ci + 176, c51)
    store(c, ci + 192, c60)
    store(c, ci + 208, c61)
    store(c, ci + 224, c70)
    store(c, ci + 240, c71)


@compiled
def multiply(a, ai, rs, cs, b, bi, c, ci, rows, depth, panels, more):
    """C = [c +] a (rows, depth) @ b, with b in panels of (depth, 32), c in panels of (rows, 32).

    Rows are taken eight at a time, so c has room for the next multiple of eight.
    """
    padded = (rows + 7) // 8 * 8
    for panel in range(panels):
        right = bi + panel * depth * PANEL
        for row in range(0, rows, 8):
            at = ci + (panel * padded + row) * PANEL
            block(a, ai + row * rs, rs, cs, b, right, c, at, depth, more)


@inlined
def operand(x, i, scale, shift, slope):
    """16 channels of an activation: leaky(scale * x + shift)."""
    y = fma(load(x, i), scale, shift)
    return most(y, mul(y, slope))
