"""The start of each warp of TV-L1: image gradients, bicubic warps, the data term."""

from __future__ import annotations

import numpy as np

from pipeline.models.flow.layout import FIRST, GX, GY, HALF, ONE, SECOND, ZERO, C, M, U, V
from pipeline.models.simd.lanes import (
    WIDTH,
    add,
    blend,
    compiled,
    div,
    first_bit,
    floor,
    fma,
    inlined,
    lane,
    least,
    load,
    most,
    mul,
    root,
    splat,
    store,
    sub,
    where_equal,
    where_less,
)

LAMBDA, THETA = np.float32(0.15), np.float32(0.3)
#: Smallest squared gradient that moves the flow, as OpenCV has it.
EPSILON = np.float32(np.finfo(np.float32).eps)
#: The parameter of bicubic interpolation, as OpenCV has it.
CUBIC = np.float32(-0.75)
ALL_LANES = 0xFFFF
IOTA = np.arange(WIDTH, dtype=np.float32)


@compiled
def gradients(work, origin, plane, stride, height, width):  # type: ignore[no-untyped-def]
    """Take centred differences of the second image, its edge pixels repeated outside."""
    half = splat(HALF)
    for y in range(height):
        row = origin + SECOND * plane + y * stride
        up = row - (stride if y > 0 else 0)
        down = row + (stride if y < height - 1 else 0)
        for x in range(0, width, WIDTH):
            i = row + x
            store(work, i + plane, mul(half, sub(load(work, i + 1), load(work, i - 1))))
            store(work, i + 2 * plane, mul(half, sub(load(work, down + x), load(work, up + x))))
        end = row + width - 1
        work[row + plane] = HALF * (work[row + 1] - work[row])
        work[end + plane] = HALF * (work[end] - work[end - 1])
        work[end + plane + 1] = ZERO


@inlined
def cubic_weights(t):  # type: ignore[no-untyped-def]
    """Return the weights of bicubic interpolation (a = -0.75) at fractions ``t``.

    Five, for the pixels from two before the nearest one to two after it; one is 0.
    """
    a, one, zero = splat(CUBIC), splat(ONE), splat(ZERO)
    a2, a3 = splat(CUBIC + np.float32(2)), splat(CUBIC + np.float32(3))
    s, r = add(t, one), sub(one, t)
    w0 = add(mul(sub(s, splat(np.float32(5))), s), splat(np.float32(8)))
    w0 = mul(a, sub(mul(w0, s), splat(np.float32(4))))
    w1 = fma(mul(sub(mul(a2, t), a3), t), t, one)
    w2 = fma(mul(sub(mul(a2, r), a3), r), r, one)
    w3 = sub(sub(sub(one, w0), w1), w2)
    near = where_less(t, splat(HALF))
    return (
        blend(near, zero, w0),
        blend(near, w0, w1),
        blend(near, w1, w2),
        blend(near, w2, w3),
        blend(near, w3, zero),
    )


@inlined
def weighted(work, i, step, w):  # type: ignore[no-untyped-def]
    """Sum five blocks, ``step`` apart, with weights."""
    result = fma(load(work, i + step), w[1], mul(load(work, i), w[0]))
    result = fma(load(work, i + 2 * step), w[2], result)
    result = fma(load(work, i + 3 * step), w[3], result)
    return fma(load(work, i + 4 * step), w[4], result)


@inlined
def interpolate(work, i, stride, wx, wy):  # type: ignore[no-untyped-def]
    """Interpolate 16 pixels whose 5 x 5 neighbourhoods begin at i, i + 1, ..., i + 15."""
    result = mul(weighted(work, i, 1, wx), wy[0])
    result = fma(weighted(work, i + stride, 1, wx), wy[1], result)
    result = fma(weighted(work, i + 2 * stride, 1, wx), wy[2], result)
    result = fma(weighted(work, i + 3 * stride, 1, wx), wy[3], result)
    return fma(weighted(work, i + 4 * stride, 1, wx), wy[4], result)


@inlined
def clamp(value, low, high):  # type: ignore[no-untyped-def]
    """Limit each lane to [low, high]; NaN becomes ``low``."""
    return least(most(value, low), high)


@inlined
def nearest(value, low):  # type: ignore[no-untyped-def]
    """Round to the nearest whole number; ``low`` is the floor."""
    return blend(where_less(sub(value, low), splat(HALF)), low, add(low, splat(ONE)))


@compiled
def warp(work, origin, plane, stride, height, width, iota):  # type: ignore[no-untyped-def]
    """Warp the second image and its gradients by the flow; set up the data term.

    Lanes of a block that are displaced to neighbouring pixels are read in one go. Flow is
    smooth, so most blocks need one such turn.
    """
    zero, bound = splat(ZERO), splat(LAMBDA * THETA)
    for y in range(height):
        ys = splat(np.float32(y))
        y_low, y_high = splat(np.float32(-y - 3)), splat(np.float32(height - y + 2))
        for x in range(0, width, WIDTH):
            i = origin + y * stride + x
            u, v = load(work, i + U * plane), load(work, i + V * plane)
            xs = add(load(iota, 0), splat(np.float32(x)))
            px, py = add(xs, u), add(ys, v)
            fx, fy = floor(px), floor(py)
            wx, wy = cubic_weights(sub(px, fx)), cubic_weights(sub(py, fy))
            low = sub(splat(np.float32(-3)), xs)
            bx = clamp(sub(nearest(px, fx), xs), low, add(low, splat(np.float32(width + 5))))
            by = clamp(sub(nearest(py, fy), ys), y_low, y_high)
            warped = warped_x = warped_y = zero
            todo = ALL_LANES
            while todo != 0:
                chosen = first_bit(todo)
                dx, dy = lane(bx, chosen), lane(by, chosen)
                here = where_equal(bx, splat(dx)) & where_equal(by, splat(dy)) & todo
                todo &= ~here
                k = i + SECOND * plane + (np.intp(dy) - 2) * stride + np.intp(dx) - 2
                warped = blend(here, interpolate(work, k, stride, wx, wy), warped)
                value = interpolate(work, k + plane, stride, wx, wy)
                warped_x = blend(here, value, warped_x)
                value = interpolate(work, k + 2 * plane, stride, wx, wy)
                warped_y = blend(here, value, warped_y)
            squared = fma(warped_x, warped_x, mul(warped_y, warped_y))
            kept = where_equal(most(squared, splat(EPSILON)), squared)
            norm = blend(kept, root(squared), zero)
            inverse = blend(kept, div(splat(ONE), norm), zero)
            constant = sub(warped, load(work, i + FIRST * plane))
            constant = sub(constant, fma(warped_x, u, mul(warped_y, v)))
            store(work, i + GX * plane, mul(warped_x, inverse))
            store(work, i + GY * plane, mul(warped_y, inverse))
            store(work, i + C * plane, mul(constant, inverse))
            store(work, i + M * plane, mul(bound, norm))
