"""Winograd's transforms in space: from pixels to positions and from products to pixels.

A block of ``tiles``, numbered row by row from ``first``, goes from a (virtual) frame to 25
positions and back. Positions of the side that is multiplied are (padded tiles, channels) each,
padded to a multiple of eight; products are (panels, padded tiles, 32) each. From one of the 25
to the next there are :func:`apart` numbers.

A virtual frame is si * frame i + sj * frame j, of frames that begin at i and j in the flat
array x; with sj = 0 frame j is any. Frames are (rows, width, channels) and are read as
:func:`training.networks.kernels.product.operand` says, norm being all scales, then all shifts.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from pipeline.models.simd.lanes import (
    add,
    compiled,
    fma,
    inlined,
    load,
    mul,
    neg,
    splat,
    store,
    sub,
)
from training.networks.kernels.product import PANEL, operand


@inlined
def apart(tiles, channels):
    """Numbers from a position to the next: one cache line more than they take.

    Without it all positions of a pixel would share a set of the first-level cache.
    """
    return tiles * channels + 16


@inlined
def pixel(x, i, j, si, sj, scale, shift, slope):
    """16 channels of a pixel of a virtual frame; signs of 0 make it the zero padding.

    There are no branches here on purpose: with one, numba counts references to x each time.
    """
    one, other = operand(x, i, scale, shift, slope), operand(x, j, scale, shift, slope)
    return fma(si, one, mul(sj, other))


@inlined
def store_large(out, o, step, a, b, c, d, e):
    """Inputs -1 ... 3 of a convolution, along one axis, as its positions."""
    store(out, o, b)
    store(out, o + step, d)
    store(out, o + 2 * step, sub(a, c))
    store(out, o + 3 * step, c)
    store(out, o + 4 * step, sub(c, e))


@compiled
def gather_large(x, i, j, si, sj, norm, slope, width, channels, first, tiles, out, temp):
    """Positions of a convolution's input: 4 x 4 pixels a tile, and the row and column before."""
    step = apart((tiles + 7) // 8 * 8, channels)
    across = width // 4
    slope = splat(slope)
    for n in range(tiles):
        top, left = (first + n) // across * 4, (first + n) % across * 4
        for channel in range(0, channels, 16):
            scale, shift = load(norm, channel), load(norm, channels + channel)
            for r in range(5):
                inside = np.float32(top + r > 0)
                at = (max(top + r - 1, 0) * width + left) * channels + channel
                p, q = i + at, j + at
                a, b = splat(si * inside), splat(sj * inside)
                before = min(left, 1) * channels
                inside *= np.float32(left > 0)
                first_a, first_b = splat(si * inside), splat(sj * inside)
                store_large(
                    temp,
                    r * 80,
                    16,
                    pixel(x, p - before, q - before, first_a, first_b, scale, shift, slope),
                    pixel(x, p, q, a, b, scale, shift, slope),
                    pixel(x, p + channels, q + channels, a, b, scale, shift, slope),
                    pixel(x, p + 2 * channels, q + 2 * channels, a, b, scale, shift, slope),
                    pixel(x, p + 3 * channels, q + 3 * channels, a, b, scale, shift, slope),
                )
            for q in range(5):
                store_large(
                    out,
                    q * step + n * channels + channel,
                    5 * step,
                    load(temp, q * 16),
                    load(temp, q * 16 + 80),
                    load(temp, q * 16 + 160),
                    load(temp, q * 16 + 240),
                    load(temp, q * 16 + 320),
                )


@inlined
def store_small(out, o, step, a, b, c):
    """Inputs 0 ... 2 of a transposed convolution, along one axis, as its positions."""
    store(out, o, a)
    store(out, o + step, b)
    store(out, o + 2 * step, sub(a, b))
    store(out, o + 3 * step, b)
    store(out, o + 4 * step, sub(b, c))


@compiled
def gather_small(x, i, j, si, sj, norm, slope, rows, width, channels, first, tiles, out, temp):
    """Positions of a transposed convolution's input: 2 x 2 pixels a tile, and the ones after."""
    step = apart((tiles + 7) // 8 * 8, channels)
    across = width // 2
    slope = splat(slope)
    for n in range(tiles):
        top, left = (first + n) // across * 2, (first + n) % across * 2
        for channel in range(0, channels, 16):
            scale, shift = load(norm, channel), load(norm, channels + channel)
            for r in range(3):
                inside = np.float32(top + r < rows)
                at = (min(top + r, rows - 1) * width + left) * channels + channel
                p, q = i + at, j + at
                a, b = splat(si * inside), splat(sj * inside)
                after = (2 if left + 2 < width else 1) * channels
                inside *= np.float32(left + 2 < width)
                last_a, last_b = splat(si * inside), splat(sj * inside)
                store_small(
                    temp,
                    r * 80,
                    16,
                    pixel(x, p, q, a, b, scale, shift, slope),
                    pixel(x, p + channels, q + channels, a, b, scale, shift, slope),
                    pixel(x, p + after, q + after, last_a, last_b, scale, shift, slope),
                )
            for q in range(5):
                store_small(
                    out,
                    q * step + n * channels + channel,
                    5 * step,
                    load(temp, q * 16),
                    load(temp, q * 16 + 80),
                    load(temp, q * 16 + 160),
                )


@inlined
def store_pair(out, o, step, a, b):
    """Two outputs of a convolution, along one axis, as the positions that they came from."""
    store(out, o, a)
    store(out, o + step, b)
    store(out, o + 2 * step, a)
    store(out, o + 3 * step, add(a, b))
    store(out, o + 4 * step, neg(b))


@compiled
def gather_pairs(x, i, j, si, sj, norm, slope, width, channels, first, tiles, out, temp):
    """Positions of a convolution's output, for its weights' gradient: (panels, tiles, 32)."""
    step = apart(tiles, channels)
    across = width // 2
    si, sj, slope = splat(si), splat(sj), splat(slope)
    for n in range(tiles):
        top, left = (first + n) // across * 2, (first + n) % across * 2
        for channel in range(0, channels, 16):
            scale, shift = load(norm, channel), load(norm, channels + channel)
            for r in range(2):
                at = ((top + r) * width + left) * channels + channel
                p, q = i + at, j + at
                a = pixel(x, p, q, si, sj, scale, shift, slope)
                b = pixel(x, p + channels, q + channels, si, sj, scale, shift, slope)
                store_pair(temp, r * 80, 16, a, b)
            o = (channel // PANEL * tiles + n) * PANEL + channel % PANEL
            for q in range(5):
                a, b = load(temp, q * 16), load(temp, q * 16 + 80)
                store_pair(out, o + q * step, 5 * step, a, b)


@inlined
def put(out, o, sign, value, more):
    """Out = [out +] sign * value."""
    if more:
        store(out, o, fma(sign, value, load(out, o)))
    else:
        store(out, o, mul(sign, value))


@compiled
def scatter_small(m, out, i, sign, more, width, channels, first, tiles, temp):
    """Products to a convolution's output, 2 x 2 pixels a tile: frame i = [frame +] sign * it."""
    padded = (tiles + 7) // 8 * 8
    across = width // 2
    sign = splat(sign)
    step = apart(padded, channels)
    for n in range(tiles):
        top, left = (first + n) // across * 2, (first + n) % across * 2
        for channel in range(0, channels, 16):
            at = (channel // PANEL * padded + n) * PANEL + channel % PANEL
            for q in range(5):
                p = at + q * step
                third = load(m, p + 15 * step)
                a = add(add(load(m, p), load(m, p + 10 * step)), third)
                b = sub(add(load(m, p + 5 * step), third), load(m, p + 20 * step))
                store(temp, q * 16, a)
                store(temp, (5 + q) * 16, b)
            for r in range(2):
                t = r * 80
                third = load(temp, t + 48)
                a = add(add(load(temp, t), load(temp, t + 32)), third)
                b = sub(add(load(temp, t + 16), third), load(temp, t + 64))
                o = i + ((top + r) * width + left) * channels + channel
                put(out, o, sign, a, more)
                put(out, o + channels, sign, b, more)


@compiled
def scatter_large(m, out, i, sign, more, width, channels, first, tiles, temp):
    """Products to a transposed convolution's output, 4 x 4 pixels a tile."""
    padded = (tiles + 7) // 8 * 8
    across = width // 4
    sign = splat(sign)
    step = apart(padded, channels)
    for n in range(tiles):
        top, left = (first + n) // across * 4, (first + n) % across * 4
        for channel in range(0, channels, 16):
            at = (channel // PANEL * padded + n) * PANEL + channel % PANEL
            for q in range(5):
                p = at + q * step
                third = load(m, p + 15 * step)
                store(temp, q * 16, load(m, p))
                store(temp, (5 + q) * 16, add(load(m, p + 10 * step), third))
                store(temp, (10 + q) * 16, load(m, p + 5 * step))
                store(temp, (15 + q) * 16, sub(third, load(m, p + 20 * step)))
            for r in range(4):
                t = r * 80
                third = load(temp, t + 48)
                o = i + ((top + r) * width + left) * channels + channel
                put(out, o, sign, load(temp, t), more)
                put(out, o + channels, sign, add(load(temp, t + 32), third), more)
                put(out, o + 2 * channels, sign, load(temp, t + 16), more)
                put(out, o + 3 * channels, sign, sub(third, load(temp, t + 64)), more)
