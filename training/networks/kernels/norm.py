"""BatchNorm with LeakyReLU over (..., C) activations: sums forward, sums and a pass backward.

Sums are taken in float32 over at most 128 rows and added up in float64.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.models.simd.lanes import (
    add,
    blend,
    compiled,
    fma,
    inlined,
    load,
    most,
    mul,
    splat,
    store,
    where_equal,
)
from training.networks.kernels.threads import in_threads

ROWS = 128
ZERO = np.float32(0)


@inlined
def through_leaky(g, y, slope):
    """Gradient before LeakyReLU, from the one behind it and its input."""
    return blend(where_equal(most(y, mul(y, slope)), y), g, mul(g, slope))


@compiled
def sum_rows(z, g, norm, slope, channels, first, last, totals, temp):
    """Add to totals (2, C) the sums over rows of z and z * z."""
    for start in range(first, last, ROWS):
        stop = min(start + ROWS, last)
        for channel in range(0, channels, 16):
            one, two = splat(ZERO), splat(ZERO)
            for row in range(start, stop):
                value = load(z, row * channels + channel)
                one, two = add(one, value), fma(value, value, two)
            store(temp, 0, one)
            store(temp, 16, two)
            for k in range(16):
                totals[channel + k] += temp[k]
                totals[channels + channel + k] += temp[16 + k]


@compiled
def sum_gradients(z, g, norm, slope, channels, first, last, totals, temp):
    """Add to totals (2, C) the sums over rows of d and d * z, d the gradient before LeakyReLU."""
    slope = splat(slope)
    for start in range(first, last, ROWS):
        stop = min(start + ROWS, last)
        for channel in range(0, channels, 16):
            scale, shift = load(norm, channel), load(norm, channels + channel)
            one, two = splat(ZERO), splat(ZERO)
            for row in range(start, stop):
                value = load(z, row * channels + channel)
                gradient = load(g, row * channels + channel)
                d = through_leaky(gradient, fma(value, scale, shift), slope)
                one, two = add(one, d), fma(d, value, two)
            store(temp, 0, one)
            store(temp, 16, two)
            for k in range(16):
                totals[channel + k] += temp[k]
                totals[channels + channel + k] += temp[16 + k]


@compiled
def apply_gradients(z, g, norm, slope, channels, first, last, factors, temp):
    """G = scale * d + factors[0] * z + factors[1], in place."""
    slope = splat(slope)
    for row in range(first, last):
        for channel in range(0, channels, 16):
            scale, shift = load(norm, channel), load(norm, channels + channel)
            value = load(z, row * channels + channel)
            gradient = load(g, row * channels + channel)
            d = through_leaky(gradient, fma(value, scale, shift), slope)
            rest = fma(value, load(factors, channel), load(factors, channels + channel))
            store(g, row * channels + channel, fma(scale, d, rest))


@compiled
def apply_norm(z, g, norm, slope, channels, first, last, factors, temp):
    """G = leaky(scale * z + shift)."""
    slope = splat(slope)
    for row in range(first, last):
        for channel in range(0, channels, 16):
            scale, shift = load(norm, channel), load(norm, channels + channel)
            y = fma(load(z, row * channels + channel), scale, shift)
            store(g, row * channels + channel, most(y, mul(y, slope)))


def statistics(z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel, float64."""
    channels = z.shape[-1]
    rows = z.numel() // channels
    totals = _over_rows(sum_rows, z, z, np.zeros(0, np.float32), 0, None)
    mean, square = torch.from_numpy(totals / rows).view(2, channels)
    return mean, (square - mean * mean).clamp_min(0)


def activate(z: Tensor, norm: np.ndarray, slope: float) -> Tensor:
    """Return leaky(scale * z + shift)."""
    out = torch.empty_like(z)
    _over_rows(apply_norm, z, out, norm, slope, np.zeros(0, np.float32))
    return out


def backward(
    gradient: Tensor, z: Tensor, norm: np.ndarray, mean: Tensor, inverse: Tensor, slope: float
) -> tuple[Tensor, Tensor]:
    """Turn the gradient of leaky(batchnorm(z)) into that of z, in place.

    Parameters
    ----------
    gradient, z
        (..., C)
    norm, mean, inverse
        The scales and shifts that were applied; mean and 1 / standard deviation, float64.

    Returns
    -------
    gain, shift : Tensor
        Gradients of BatchNorm's weight and bias, float32.
    """
    channels = z.shape[-1]
    count = z.numel() // channels
    sums = torch.from_numpy(_over_rows(sum_gradients, z, gradient, norm, slope, None))
    plain, with_z = sums.view(2, channels)
    gain = inverse * (with_z - mean * plain)
    scale = torch.from_numpy(norm[:channels]).double()
    slant = -scale * inverse * gain / count
    factors = torch.cat([slant, -scale * plain / count - mean * slant]).float().numpy()
    _over_rows(apply_gradients, z, gradient, norm, slope, factors)
    return gain.float(), plain.float()


def _over_rows(
    kernel: Callable[..., Any],
    z: Tensor,
    other: Tensor,
    norm: np.ndarray,
    slope: float,
    factors: np.ndarray | None,
) -> np.ndarray:
    """Call a kernel for all rows; without factors each thread sums, and the sums are added."""
    channels = z.shape[-1]
    rows, threads = z.numel() // channels, torch.get_num_threads()
    sums = np.zeros((threads, 2 * channels))
    flat, other_flat = z.detach().reshape(-1).numpy(), other.detach().reshape(-1).numpy()

    def work(k: int) -> None:
        first, last = rows * k // threads, rows * (k + 1) // threads
        target = sums[k] if factors is None else factors
        temp = np.zeros(32, np.float32)
        kernel(flat, other_flat, norm, np.float32(slope), channels, first, last, target, temp)

    in_threads(work)
    return np.asarray(sums.sum(0))
