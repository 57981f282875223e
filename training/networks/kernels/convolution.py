"""3x3x3 convolutions of stride 2, and their transposes, with 125 products where there were 216.

Every wide layer of the autoencoder is one of them, forward and backward, so the whole training
step rests on the three functions below. Along one axis, two outputs of a convolution with taps
g0, g1, g2 are, from the inputs x[-1] ... x[3],

    y[0] = x[0] g1 + (x[-1] - x[1]) g0 + x[1] (g0 + g2)
    y[1] = x[2] g1 - (x[1] - x[3]) g2  + x[1] (g0 + g2)

five products for six: Winograd's F(2, 2) on the odd inputs. Four outputs of the transposed
convolution are, from x[0] ... x[2],

    y[0] = x[0] g1        y[1] = (x[0] - x[1]) g2 + x[1] (g0 + g2)
    y[2] = x[1] g1        y[3] = x[1] (g0 + g2) - (x[1] - x[2]) g0

All coefficients are 1 or -1, so no digits are lost. Taken along all three axes there are 5^3
*positions*, each a matrix product over tiles and channels. In time the sums run frame by frame;
in space a block of tiles goes through gather, multiply and scatter
(:mod:`training.networks.kernels.tiles`) within the processor's second-level cache.

A layer's *large* side has twice the frames, rows and columns of its *small* side. Weights are
(small channels, large channels, 3, 3, 3), as PyTorch has them for either kind of layer.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipeline.models.simd.lanes import compiled, inlined
from training.networks.kernels.product import PANEL, multiply
from training.networks.kernels.threads import in_blocks, in_parts
from training.networks.kernels.tiles import (
    apart,
    gather_large,
    gather_pairs,
    gather_small,
    scatter_large,
    scatter_small,
)

POSITIONS = 25
FILTERS = 16
"""In space; positions 0 and 1 of an axis share theirs."""

PLUS, MINUS, NONE = np.float32(1), np.float32(-1), np.float32(0)


@inlined
def filter_of(position):
    """Filter of a position, along one axis."""
    return max(position - 1, 0)


@inlined
def large_frames(position, u):
    """Virtual frame of a convolution's input: two frames and their signs."""
    if position == 0:
        return 4 * u, 4 * u, PLUS, NONE
    if position == 1:
        return 4 * u + 2, 4 * u + 2, PLUS, NONE
    if position == 2:
        return max(4 * u - 1, 0), 4 * u + 1, PLUS if u > 0 else NONE, MINUS
    if position == 3:
        return 4 * u + 1, 4 * u + 1, PLUS, NONE
    return 4 * u + 1, 4 * u + 3, PLUS, MINUS


@inlined
def small_frames(position, u, frames):
    """Virtual frame of a transposed convolution's input."""
    if position == 0:
        return 2 * u, 2 * u, NONE
    if position == 2:
        return 2 * u, 2 * u + 1, MINUS
    if position == 4:
        return 2 * u + 1, min(2 * u + 2, frames - 1), MINUS if 2 * u + 2 < frames else NONE
    return 2 * u + 1, 2 * u + 1, NONE


@inlined
def products(v, v_size, u, u_at, m, m_size, tiles, depth, outputs):
    """All positions' products of a block."""
    for p in range(POSITIONS):
        f = filter_of(p // 5) * 4 + filter_of(p % 5)
        at = u_at + f * depth * outputs
        multiply(v, p * v_size, depth, 1, u, at, m, p * m_size, tiles, depth, outputs // PANEL,
                 False)  # fmt: skip


@compiled
def down_block(x, norm, slope, u, y, frames, rows, width, inputs, outputs, n, t, first, tiles,
               v, m, temp):  # fmt: skip
    """One block of a convolution; sizes are the large side's, t counts pairs of outputs."""
    padded = (tiles + 7) // 8 * 8
    large, small = rows * width * inputs, rows * width * outputs // 4
    y0 = (n * frames // 2 + 2 * t) * small
    y1 = y0 + small
    for position in range(5):
        i, j, si, sj = large_frames(position, t)
        i = (n * frames + i) * large
        j = (n * frames + j) * large
        gather_large(x, i, j, si, sj, norm, slope, width, inputs, first, tiles, v, temp)
        at = filter_of(position) * FILTERS * inputs * outputs
        products(v, apart(padded, inputs), u, at, m, apart(padded, outputs), tiles, inputs, outputs)
        if position != 1 and position != 4:
            scatter_small(m, y, y0, PLUS, position > 0, width // 2, outputs, first, tiles, temp)
        if position == 1 or position >= 3:
            sign = MINUS if position == 4 else PLUS
            scatter_small(m, y, y1, sign, position > 1, width // 2, outputs, first, tiles, temp)


@compiled
def up_block(x, norm, slope, u, y, frames, rows, width, inputs, outputs, n, t, first, tiles,
             v, m, temp):  # fmt: skip
    """One block of a transposed convolution; sizes are the small side's, t counts input pairs."""
    padded = (tiles + 7) // 8 * 8
    small, large = rows * width * inputs, rows * width * outputs * 4
    y0 = (n * frames * 2 + 4 * t) * large
    for position in range(5):
        i, j, sj = small_frames(position, t, frames)
        i = (n * frames + i) * small
        j = (n * frames + j) * small
        gather_small(x, i, j, PLUS, sj, norm, slope, rows, width, inputs, first, tiles, v, temp)
        at = filter_of(position) * FILTERS * inputs * outputs
        products(v, apart(padded, inputs), u, at, m, apart(padded, outputs), tiles, inputs, outputs)
        if position == 0:
            scatter_large(m, y, y0, PLUS, False, 2 * width, outputs, first, tiles, temp)
        if position == 1:
            scatter_large(m, y, y0 + 2 * large, PLUS, False, 2 * width, outputs, first, tiles, temp)
        if position == 2 or position == 3:
            more = position == 3
            scatter_large(m, y, y0 + large, PLUS, more, 2 * width, outputs, first, tiles, temp)
        if position >= 3:
            sign, more = (PLUS, False) if position == 3 else (MINUS, True)
            scatter_large(m, y, y0 + 3 * large, sign, more, 2 * width, outputs, first, tiles, temp)


@compiled
def weights_block(x, x_norm, x_slope, y, y_norm, y_slope, du, frames, rows, width, inputs,
                  outputs, n, t, first, tiles, v, m, temp):  # fmt: skip
    """Add one block's part of the weights' gradient to du; x is the large side, y the small."""
    padded = (tiles + 7) // 8 * 8
    large, small = rows * width * inputs, rows * width * outputs // 4
    y0 = (n * frames // 2 + 2 * t) * small
    y1 = y0 + small
    for position in range(5):
        i, j, si, sj = large_frames(position, t)
        i = (n * frames + i) * large
        j = (n * frames + j) * large
        gather_large(x, i, j, si, sj, x_norm, x_slope, width, inputs, first, tiles, v, temp)
        i = y1 if position == 1 or position == 4 else y0
        si, sj = MINUS if position == 4 else PLUS, PLUS if position == 3 else NONE
        gather_pairs(y, i, y1, si, sj, y_norm, y_slope, width // 2, outputs, first, tiles, m, temp)
        for p in range(POSITIONS):
            f = (filter_of(position) * 4 + filter_of(p // 5)) * 4 + filter_of(p % 5)
            multiply(v, p * apart(padded, inputs), 1, inputs, m, p * apart(tiles, outputs),
                     du, f * inputs * outputs, inputs, tiles, outputs // PANEL, True)  # fmt: skip


def down(x: Tensor, norm: np.ndarray, slope: float, weight: Tensor) -> Tensor:
    """Convolve: x (N, T, H, W, large channels) to (N, T/2, H/2, W/2, small channels)."""
    n, frames, rows, width, inputs = x.shape
    outputs = weight.shape[0]
    y = x.new_empty(n, frames // 2, rows // 2, width // 2, outputs)
    u = _flat(pack(weight.transpose(0, 1), (1, 0, 2)))
    in_blocks(
        down_block,
        (_flat(x), norm, np.float32(slope), u, _flat(y), frames, rows, width, inputs, outputs),
        (n, frames // 4, rows * width // 16),
        max(inputs, outputs),
    )
    return y


def up(x: Tensor, norm: np.ndarray, slope: float, weight: Tensor) -> Tensor:
    """Convolve transposed: x (N, T, H, W, small channels) to twice its size, large channels."""
    n, frames, rows, width, inputs = x.shape
    outputs = weight.shape[1]
    y = x.new_empty(n, 2 * frames, 2 * rows, 2 * width, outputs)
    u = _flat(pack(weight, (1, 2, 0)))
    in_blocks(
        up_block,
        (_flat(x), norm, np.float32(slope), u, _flat(y), frames, rows, width, inputs, outputs),
        (n, frames // 2, rows * width // 4),
        max(inputs, outputs),
    )
    return y


def weights(
    x: Tensor, x_norm: np.ndarray, x_slope: float, y: Tensor, y_norm: np.ndarray, y_slope: float
) -> Tensor:
    """Gradient of the weights (small channels, large channels, 3, 3, 3).

    Parameters
    ----------
    x, y
        The large and the small side: of a convolution its input and its output's gradient, of
        a transposed one its output's gradient and its input.
    """
    n, frames, rows, width, inputs = x.shape
    outputs = y.shape[-1]
    parts = in_parts(
        weights_block,
        (_flat(x), x_norm, np.float32(x_slope), _flat(y), y_norm, np.float32(y_slope)),
        64 * inputs * outputs,
        (frames, rows, width, inputs, outputs),
        (n, frames // 4, rows * width // 16),
        max(inputs, outputs),
    )
    du = torch.from_numpy(parts).view(4, 4, 4, outputs // PANEL, inputs, PANEL)
    for axis in range(3):
        g1, g0, both, g2 = du.unbind(axis)
        du = torch.stack([g0 + both, g1, both + g2], axis)
    return du.permute(3, 5, 4, 0, 1, 2).reshape(outputs, inputs, 3, 3, 3)


def pack(weight: Tensor, order: tuple[int, int, int]) -> Tensor:
    """Filters of all positions, (4, 4, 4, panels, inputs, 32), of weights (inputs, outputs, ...).

    ``order`` says which taps come first, before and after the sum of the two outer ones.
    """
    middle, before, after = order
    inputs, outputs = weight.shape[:2]
    taps = weight.detach().permute(2, 3, 4, 0, 1)
    for axis in range(3):
        g = taps.unbind(axis)
        taps = torch.stack([g[middle], g[before], g[0] + g[2], g[after]], axis)
    return taps.view(4, 4, 4, inputs, outputs // PANEL, PANEL).transpose(3, 4).contiguous()


def _flat(x: Tensor) -> np.ndarray:
    return x.detach().reshape(-1).numpy()
