"""The loops of TV-L1 in numba: warp, primal-dual sweep and median, 16 pixels at a time.

All fields of one pyramid level are planes of one flat float32 array. A plane has rows of
``stride`` numbers and starts ``plane`` numbers after the one before it; pixel (0, 0) of
plane k is at ``origin + k * plane``. Around the pixels are margins that stay 0: they are
the zero border of the warps and of the dual variables.

Notation of Zach, Pock and Bischof (2007), scaled so that a pixel and iteration costs as few
operations as possible. With g the warped gradient, n = |g| and q = theta * p:

* data term: rho / n = c + (g / n) . u, clamped to m = lambda * theta * n;
* primal:    u <- u - clamp(rho / n) * g / n + div q;
* dual:      q <- (q + tau * grad u) / (1 + tau / theta * |grad u|).
"""

from __future__ import annotations

import numpy as np

from pipeline.models.lanes import (
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
    neg,
    root,
    rough_reciprocal,
    rough_rsqrt,
    splat,
    store,
    sub,
    total,
    where_equal,
)
from pipeline.models.median import median25

#: Planes: flow; dual variables of u and v; normalised gradient, constant and bound of the
#: data term; the first image; the second and its gradients; a copy for the median.
U, V, UX, UY, VX, VY, GX, GY, C, M, FIRST, SECOND, SECOND_X, SECOND_Y, COPY = range(15)
PLANES = 15
#: Zeros beside the pixels: a block of 16 displaced by a clamped flow stays inside.
SIDE, TOP = 32, 4
LAMBDA, THETA, TAU = np.float32(0.15), np.float32(0.3), np.float32(0.25)
ALL_LANES = 0xFFFF
ZERO, ONE, TWO, HALF = np.float32(0), np.float32(1), np.float32(2), np.float32(0.5)
#: Smallest squared gradient that moves the flow, as OpenCV has it.
EPSILON = np.float32(np.finfo(np.float32).eps)
CUBIC = np.float32(-0.75)
IOTA = np.arange(WIDTH, dtype=np.float32)


@compiled
def prepare(work, origin, plane, stride, height, width, first, second):  # type: ignore[no-untyped-def]
    """Fill a level: zero everything, copy both images, take centred gradients of the second."""
    work[: PLANES * plane] = ZERO
    a, b = origin + FIRST * plane, origin + SECOND * plane
    for y in range(height):
        for x in range(width):
            work[a + y * stride + x] = first[y, x]
            work[b + y * stride + x] = second[y, x]
    for y in range(height):
        up, down = b + max(y - 1, 0) * stride, b + min(y + 1, height - 1) * stride
        row = b + y * stride
        for x in range(width):
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            work[row + plane + x] = HALF * (work[row + right] - work[row + left])
            work[row + 2 * plane + x] = HALF * (work[down + x] - work[up + x])


@inlined
def cubic_weights(t):  # type: ignore[no-untyped-def]
    """Return the four weights of bicubic interpolation (a = -0.75) at fractions ``t``."""
    a, one = splat(CUBIC), splat(ONE)
    s, r = add(t, one), sub(one, t)
    w0 = mul(
        a,
        sub(
            mul(add(mul(sub(s, splat(np.float32(5))), s), splat(np.float32(8))), s),
            splat(np.float32(4)),
        ),
    )
    a2, a3 = splat(CUBIC + np.float32(2)), splat(CUBIC + np.float32(3))
    w1 = fma(mul(sub(mul(a2, t), a3), t), t, one)
    w2 = fma(mul(sub(mul(a2, r), a3), r), r, one)
    return w0, w1, w2, sub(sub(sub(one, w0), w1), w2)


@inlined
def interpolate(work, i, stride, wx, wy):  # type: ignore[no-untyped-def]
    """Interpolate 16 pixels whose 4 x 4 neighbourhoods begin at i, i + 1, ..., i + 15."""
    result = splat(ZERO)
    for j in range(4):
        k = i + j * stride
        row = mul(load(work, k), wx[0])
        row = fma(load(work, k + 1), wx[1], row)
        row = fma(load(work, k + 2), wx[2], row)
        row = fma(load(work, k + 3), wx[3], row)
        w = wy[0] if j == 0 else (wy[1] if j == 1 else (wy[2] if j == 2 else wy[3]))
        result = fma(row, w, result)
    return result


@inlined
def clamp(value, low, high):  # type: ignore[no-untyped-def]
    """Limit each lane to [low, high]; NaN becomes ``low``."""
    return least(most(value, low), high)


@compiled
def warp(work, origin, plane, stride, height, width, iota):  # type: ignore[no-untyped-def]
    """Warp the second image and its gradients by the flow; set up the data term.

    Lanes of a block whose whole-pixel displacements agree are neighbours in the image too:
    they are read in one go. Flow is smooth, so most blocks need one such turn.
    """
    zero, limit = splat(ZERO), splat(LAMBDA * THETA)
    for y in range(height):
        ys = splat(np.float32(y))
        y_low, y_high = splat(np.float32(-y - 3)), splat(np.float32(height - y + 1))
        for x in range(0, width, WIDTH):
            i = origin + y * stride + x
            u, v = load(work, i + U * plane), load(work, i + V * plane)
            xs = add(load(iota, 0), splat(np.float32(x)))
            px, py = add(xs, u), add(ys, v)
            bx, by = floor(px), floor(py)
            wx, wy = cubic_weights(sub(px, bx)), cubic_weights(sub(py, by))
            low = sub(splat(np.float32(-3)), xs)
            bx = clamp(sub(bx, xs), low, add(low, splat(np.float32(width + 4))))
            by = clamp(sub(by, ys), y_low, y_high)
            warped = warped_x = warped_y = zero
            todo = ALL_LANES
            while todo != 0:
                chosen = first_bit(todo)
                dx, dy = lane(bx, chosen), lane(by, chosen)
                here = where_equal(bx, splat(dx)) & where_equal(by, splat(dy)) & todo
                todo &= ~here
                k = i + SECOND * plane + (np.intp(dy) - 1) * stride + np.intp(dx) - 1
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
            store(work, i + M * plane, mul(limit, norm))


@inlined
def primal(work, i, plane, stride, valid, error):  # type: ignore[no-untyped-def]
    """Update the flow of 16 pixels; return ``error`` plus the squared changes."""
    u, v = load(work, i + U * plane), load(work, i + V * plane)
    gx, gy = load(work, i + GX * plane), load(work, i + GY * plane)
    bound = load(work, i + M * plane)
    step = fma(gx, u, fma(gy, v, load(work, i + C * plane)))
    step = neg(clamp(step, neg(bound), bound))
    du = fma(step, gx, divergence(work, i + UX * plane, plane, stride))
    dv = fma(step, gy, divergence(work, i + VX * plane, plane, stride))
    du, dv = mul(du, valid), mul(dv, valid)
    store(work, i + U * plane, add(u, du))
    store(work, i + V * plane, add(v, dv))
    return fma(du, du, fma(dv, dv, error))


@inlined
def divergence(work, i, plane, stride):  # type: ignore[no-untyped-def]
    """Backward differences of a dual variable; 0 is left and above of the image."""
    k = i + plane
    return add(sub(load(work, i), load(work, i - 1)), sub(load(work, k), load(work, k - stride)))


@inlined
def dual(work, i, k, plane, down, inner):  # type: ignore[no-untyped-def]
    """Update the dual variable at ``k`` from forward differences of the flow at ``i``."""
    here = load(work, i)
    x = mul(sub(load(work, i + 1), here), inner)
    y = sub(load(work, i + down), here)
    squared = fma(x, x, fma(y, y, splat(np.float32(1e-20))))
    norm = mul(squared, rough_rsqrt(squared))
    shrink = rough_reciprocal(fma(splat(TAU / THETA), norm, splat(ONE)))
    store(work, k, mul(fma(splat(TAU), x, load(work, k)), shrink))
    store(work, k + plane, mul(fma(splat(TAU), y, load(work, k + plane)), shrink))


@compiled
def sweep(work, origin, plane, stride, height, width, tails):  # type: ignore[no-untyped-def]
    """Iterate once: the flow of row y, then the dual variables of row y - 1.

    ``tails`` holds two masks of the last 16 pixels of a row: those inside the image, and
    those with a right neighbour. Returns the sum of squared changes of the flow.
    """
    error, one = splat(ZERO), splat(ONE)
    inside, inner = load(tails, 0), load(tails, WIDTH)
    last = (width - 1) // WIDTH * WIDTH
    for y in range(height + 1):
        row = origin + y * stride
        down = stride if y < height else 0
        for x in range(0, last, WIDTH):
            i = row + x
            if y < height:
                error = primal(work, i, plane, stride, one, error)
            if y > 0:
                k = i - stride
                dual(work, k + U * plane, k + UX * plane, plane, down, one)
                dual(work, k + V * plane, k + VX * plane, plane, down, one)
        i = row + last
        if y < height:
            error = primal(work, i, plane, stride, inside, error)
        if y > 0:
            k = i - stride
            dual(work, k + U * plane, k + UX * plane, plane, down, inner)
            dual(work, k + V * plane, k + VX * plane, plane, down, inner)
    return total(error)


@compiled
def smooth(work, origin, plane, stride, height, width, k):  # type: ignore[no-untyped-def]
    """Replace plane k by its 5 x 5 median, with edge pixels repeated outside the image."""
    source, target = origin + COPY * plane, origin + k * plane
    for y in range(-2, height + 2):
        a = source + y * stride
        b = target + min(max(y, 0), height - 1) * stride
        for x in range(0, width, WIDTH):
            store(work, a + x, load(work, b + x))
        for x in (1, 2):
            work[a - x] = work[b]
            work[a + width - 1 + x] = work[b + width - 1]
    for y in range(height):
        for x in range(0, width, WIDTH):
            store(work, target + y * stride + x, median25(work, source + y * stride + x, stride))
        for x in range(width, (width + WIDTH - 1) // WIDTH * WIDTH):
            work[target + y * stride + x] = ZERO


@compiled
def solve(work, origin, plane, stride, height, width, tails, iota, warps, outer, inner, epsilon):  # type: ignore[no-untyped-def]
    """Refine the flow of one level; return the number of iterations done."""
    enough = np.float32(epsilon * epsilon * height * width)
    count = 0
    for _ in range(warps):
        warp(work, origin, plane, stride, height, width, iota)
        error = np.float32(np.inf)
        for _ in range(outer):
            if error <= enough:
                break
            smooth(work, origin, plane, stride, height, width, U)
            smooth(work, origin, plane, stride, height, width, V)
            for _ in range(inner):
                error = sweep(work, origin, plane, stride, height, width, tails)
                count += 1
                if error <= enough:
                    break
    return count
