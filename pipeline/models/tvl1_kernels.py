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
    limit,
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
    where_less,
)
from pipeline.models.median import median_rows

#: Planes: flow; dual variables of u and v; normalised gradient, constant and bound of the
#: data term; the first image; the second and its gradients; a copy for the median.
U, V, UX, UY, VX, VY, GX, GY, C, M, FIRST, SECOND, SECOND_X, SECOND_Y, COPY, SCRATCH = range(16)
PLANES = 16
#: Zeros beside the pixels: a block of 16 displaced by a clamped flow stays inside.
SIDE, TOP = 32, 5
LAMBDA, THETA, TAU = np.float32(0.15), np.float32(0.3), np.float32(0.25)
ALL_LANES = 0xFFFF
ZERO, ONE, TWO, HALF = np.float32(0), np.float32(1), np.float32(2), np.float32(0.5)
#: Smallest squared gradient that moves the flow, as OpenCV has it.
EPSILON = np.float32(np.finfo(np.float32).eps)
CUBIC = np.float32(-0.75)
#: Most iterations in one pass.
AHEAD = 4
#: What is left of an error, at least: after the first, second, third and later iterations.
FALLS = (ZERO, np.float32(0.15), np.float32(0.3), np.float32(0.65))
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


@inlined
def primal(work, i, plane, stride, tail, inside, error):  # type: ignore[no-untyped-def]
    """Update the flow of 16 pixels; return ``error`` plus the squared changes."""
    u, v = load(work, i + U * plane), load(work, i + V * plane)
    gx, gy = load(work, i + GX * plane), load(work, i + GY * plane)
    bound = load(work, i + M * plane)
    step = fma(gx, u, fma(gy, v, load(work, i + C * plane)))
    step = neg(limit(step, bound))
    du = fma(step, gx, divergence(work, i + UX * plane, plane, stride))
    dv = fma(step, gy, divergence(work, i + VX * plane, plane, stride))
    if tail:
        du, dv = mul(du, inside), mul(dv, inside)
    store(work, i + U * plane, add(u, du))
    store(work, i + V * plane, add(v, dv))
    return fma(du, du, fma(dv, dv, error))


@inlined
def divergence(work, i, plane, stride):  # type: ignore[no-untyped-def]
    """Backward differences of a dual variable; 0 is left and above of the image."""
    k = i + plane
    return add(sub(load(work, i), load(work, i - 1)), sub(load(work, k), load(work, k - stride)))


@inlined
def dual(work, i, k, plane, down, tail, inner):  # type: ignore[no-untyped-def]
    """Update the dual variable at ``k`` from forward differences of the flow at ``i``."""
    here = load(work, i)
    x = sub(load(work, i + 1), here)
    if tail:
        x = mul(x, inner)
    y = sub(load(work, i + down), here)
    squared = fma(x, x, fma(y, y, splat(np.float32(1e-20))))
    norm = mul(squared, rough_rsqrt(squared))
    shrink = rough_reciprocal(fma(splat(TAU / THETA), norm, splat(ONE)))
    store(work, k, mul(fma(splat(TAU), x, load(work, k)), shrink))
    store(work, k + plane, mul(fma(splat(TAU), y, load(work, k + plane)), shrink))


@compiled
def primal_row(work, row, plane, stride, last, inside):  # type: ignore[no-untyped-def]
    """Update the flow of a row; return the sum of its squared changes."""
    error = splat(ZERO)
    for x in range(0, last, WIDTH):
        error = primal(work, row + x, plane, stride, False, inside, error)
    return total(primal(work, row + last, plane, stride, True, inside, error))


@compiled
def dual_row(work, row, plane, down, last, inner):  # type: ignore[no-untyped-def]
    """Update the dual variables of a row from its flow and that of the row ``down`` below."""
    for x in range(0, last, WIDTH):
        i = row + x
        dual(work, i + U * plane, i + UX * plane, plane, down, False, inner)
        dual(work, i + V * plane, i + VX * plane, plane, down, False, inner)
    i = row + last
    dual(work, i + U * plane, i + UX * plane, plane, down, True, inner)
    dual(work, i + V * plane, i + VX * plane, plane, down, True, inner)


@compiled
def sweep(work, origin, plane, stride, height, width, tails, errors, count):  # type: ignore[no-untyped-def]
    """Iterate ``count`` times in one pass: iteration k follows k rows behind the first.

    Rows are then still in the nearest caches when the next iteration takes them up.
    ``tails`` holds two masks of the last 16 pixels of a row: those inside the image, and
    those with a right neighbour. ``errors[k]`` becomes the sum of squared changes of the
    flow by iteration k.
    """
    inside, inner = load(tails, 0), load(tails, WIDTH)
    last = (width - 1) // WIDTH * WIDTH
    errors[:count] = ZERO
    for front in range(height + count):
        for k in range(count):
            y = front - k
            row = origin + y * stride
            if 0 <= y < height:
                errors[k] += primal_row(work, row, plane, stride, last, inside)
            if 1 <= y <= height:
                down = stride if y < height else 0
                dual_row(work, row - stride, plane, down, last, inner)


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
    scratch = origin + SCRATCH * plane
    for y in range(0, height, 2):
        row = y * stride
        median_rows(work, source + row, target + row, scratch, stride, width, y + 1 < height)
    for y in range(height):
        for x in range(width, (width + WIDTH - 1) // WIDTH * WIDTH):
            work[target + y * stride + x] = ZERO


@compiled
def iterations_ahead(error, done):  # type: ignore[no-untyped-def]
    """Return how many iterations are safe to do before the next look at the error.

    ``error`` is the last one, as a multiple of that at which to stop; ``done`` counts the
    iterations since the last median. Errors fall to a fifth in the first iteration after a
    median, to a third in the next, and then by less than a quarter each.
    """
    expected = error * (FALLS[done] if done < 3 else FALLS[3])
    count = 1
    while count < AHEAD and expected > ONE:
        expected *= FALLS[3]
        count += 1
    return count


@compiled
def solve(
    work, origin, plane, stride, height, width, tails, iota, warps, outer, inner, epsilon, ahead
):  # type: ignore[no-untyped-def]
    """Refine the flow of one level; return the number of iterations done.

    With ``ahead``, several iterations are done in one pass where the errors before say that
    none of them can be the last of its warp. If one was, -1 is returned, and the level must
    be solved anew without.
    """
    enough = np.float32(epsilon * epsilon * height * width)
    errors = np.zeros(AHEAD, np.float32)
    total_count = 0
    for _ in range(warps):
        warp(work, origin, plane, stride, height, width, iota)
        error = np.float32(np.inf)
        for _ in range(outer):
            if error <= enough:
                break
            smooth(work, origin, plane, stride, height, width, U)
            smooth(work, origin, plane, stride, height, width, V)
            done, count = 0, 1
            while done < inner:
                sweep(work, origin, plane, stride, height, width, tails, errors, count)
                done += count
                for k in range(count - 1):
                    if errors[k] <= enough:
                        return -1
                error = errors[count - 1]
                if error <= enough:
                    break
                if ahead:
                    count = min(iterations_ahead(error / enough, done), inner - done)
            total_count += done
    return total_count
