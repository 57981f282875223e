"""The iterations of TV-L1 in numba: primal-dual sweeps and medians, 16 pixels at a time.

Notation of Zach, Pock and Bischof (2007), scaled so that a pixel and iteration costs as few
operations as possible. With g the warped gradient, n = |g| and q = theta * p:

* data term: rho / n = c + (g / n) . u, clamped to m = lambda * theta * n;
* primal:    u <- u - clamp(rho / n) * g / n + div q;
* dual:      q <- (q + tau * grad u) / (1 + tau / theta * |grad u|).
"""

from __future__ import annotations

import numpy as np

from pipeline.models.flow.layout import COPY, GX, GY, ONE, SCRATCH, UX, VX, ZERO, C, M, U, V
from pipeline.models.flow.median import median_rows
from pipeline.models.flow.warp import THETA, warp
from pipeline.models.simd.lanes import (
    WIDTH,
    add,
    compiled,
    div,
    fma,
    inlined,
    limit,
    load,
    mul,
    neg,
    root,
    splat,
    store,
    sub,
    total,
)

TAU = np.float32(0.25)
#: Most iterations in one pass.
AHEAD = 4
#: What is left of an error, at least: after the first, second, third and later iterations.
FALLS = (ZERO, np.float32(0.15), np.float32(0.3), np.float32(0.65))


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
def ascent(work, i, down, tail, inner):  # type: ignore[no-untyped-def]
    """Return forward differences of the flow at ``i`` and 1 + tau / theta * their length."""
    here = load(work, i)
    x = sub(load(work, i + 1), here)
    if tail:
        x = mul(x, inner)
    y = sub(load(work, i + down), here)
    return x, y, fma(splat(TAU / THETA), root(fma(x, x, mul(y, y))), splat(ONE))


@inlined
def step(work, k, plane, x, y, shrink):  # type: ignore[no-untyped-def]
    """Update the dual variable at ``k``."""
    store(work, k, mul(fma(splat(TAU), x, load(work, k)), shrink))
    store(work, k + plane, mul(fma(splat(TAU), y, load(work, k + plane)), shrink))


@inlined
def dual(work, i, plane, down, tail, inner):  # type: ignore[no-untyped-def]
    """Update the dual variables of 16 pixels; both are divided at the price of one division."""
    ux, uy, u = ascent(work, i + U * plane, down, tail, inner)
    vx, vy, v = ascent(work, i + V * plane, down, tail, inner)
    inverse = div(splat(ONE), mul(u, v))
    step(work, i + UX * plane, plane, ux, uy, mul(inverse, v))
    step(work, i + VX * plane, plane, vx, vy, mul(inverse, u))


@inlined
def primal_row(work, row, plane, stride, last, inside, error):  # type: ignore[no-untyped-def]
    """Update the flow of a row; return ``error`` plus its squared changes."""
    for x in range(0, last, WIDTH):
        error = primal(work, row + x, plane, stride, False, inside, error)
    return primal(work, row + last, plane, stride, True, inside, error)


@inlined
def dual_row(work, row, plane, down, last, inner):  # type: ignore[no-untyped-def]
    """Update the dual variables of a row from its flow and that of the row ``down`` below."""
    for x in range(0, last, WIDTH):
        dual(work, row + x, plane, down, False, inner)
    dual(work, row + last, plane, down, True, inner)


@compiled
def sweep(work, origin, plane, stride, height, width, tails, sums, errors, count):  # type: ignore[no-untyped-def]
    """Iterate ``count`` times in one pass: iteration k follows k rows behind the first.

    Rows are then still in the nearest caches when the next iteration takes them up.
    ``tails`` holds two masks of the last 16 pixels of a row: those inside the image, and
    those with a right neighbour. ``errors[k]`` becomes the sum of squared changes of the
    flow by iteration k; ``sums`` is scratch, ``WIDTH`` numbers an iteration.
    """
    inside, inner = load(tails, 0), load(tails, WIDTH)
    last = (width - 1) // WIDTH * WIDTH
    sums[: count * WIDTH] = ZERO
    for front in range(height + count):
        for k in range(count):
            y = front - k
            row = origin + y * stride
            if 0 <= y < height:
                error = load(sums, k * WIDTH)
                error = primal_row(work, row, plane, stride, last, inside, error)
                store(sums, k * WIDTH, error)
            if 1 <= y <= height:
                down = stride if y < height else 0
                dual_row(work, row - stride, plane, down, last, inner)
    for k in range(count):
        errors[k] = total(load(sums, k * WIDTH))


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
def solve(  # type: ignore[no-untyped-def]
    work, origin, plane, stride, height, width, tails, iota, warps, outer, inner, epsilon, ahead
):
    """Refine the flow of one level; return the number of iterations done.

    With ``ahead``, several iterations are done in one pass where the errors before say that
    none of them can be the last of its warp. If one was, -1 is returned, and the level must
    be solved anew without.
    """
    enough = np.float32(epsilon * epsilon * height * width)
    errors = np.zeros(AHEAD, np.float32)
    sums = np.zeros(AHEAD * WIDTH, np.float32)
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
                sweep(work, origin, plane, stride, height, width, tails, sums, errors, count)
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
