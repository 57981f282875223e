"""The first and the last layer: convolutions between three channels and many, stride (1, 2, 2).

With so few channels at one end the whole 3 x 3 x 3 x 3 patch of a pixel is one row of 81 numbers,
and a row of pixels is one matrix product. The three-channel side is (N, T, H, W, 3), the other
(N, T, H/2, W/2, C); weights are (C, 3, 3, 3, 3), as PyTorch has them for either kind of layer.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.models.simd.lanes import compiled, load, splat, store
from training.networks.kernels.product import PANEL, multiply, operand
from training.networks.kernels.threads import over_frames, scratch

PATCH = 81
PADDED = 88
"""Rows of a product are taken eight at a time."""


@compiled
def patches(x, frame, row, frames, rows, width, out):
    """Patches of a row of output pixels, (width, 81); x is padded by 1 all round, sizes are not.

    Sixteen numbers are copied where nine are meant: the next nine overwrite the rest.
    """
    line = (width * 2 + 2) * 3
    for k in range(width):
        for t in range(3):
            for r in range(3):
                i = ((frame + t) * (rows * 2 + 2) + 2 * row + r) * line + 6 * k
                store(out, k * PATCH + (t * 3 + r) * 9, load(x, i))


@compiled
def widen_frame(x, u, y, frames, rows, width, channels, n, t, patch, product):
    """A frame of the convolution: three channels to many."""
    padded = (width + 7) // 8 * 8
    for row in range(rows):
        patches(x, n * (frames + 2) + t, row, frames, rows, width, patch)
        multiply(patch, 0, PATCH, 1, u, 0, product, 0, width, PATCH, channels // PANEL, False)
        o = ((n * frames + t) * rows + row) * width * channels
        for k in range(width):
            for channel in range(0, channels, 16):
                at = (channel // PANEL * padded + k) * PANEL + channel % PANEL
                store(y, o + k * channels + channel, load(product, at))


@compiled
def ends_weights_frame(x, y, norm, slope, du, frames, rows, width, channels, n, t, patch, product):
    """Add a frame's part of the weights' gradient to du, (panels, 88, 32)."""
    slope = splat(slope)
    for row in range(rows):
        patches(x, n * (frames + 2) + t, row, frames, rows, width, patch)
        i = ((n * frames + t) * rows + row) * width * channels
        for channel in range(0, channels, 16):
            scale, shift = load(norm, channel), load(norm, channels + channel)
            at = channel // PANEL * width * PANEL + channel % PANEL
            for k in range(width):
                value = operand(y, i + k * channels + channel, scale, shift, slope)
                store(product, at + k * PANEL, value)
        multiply(patch, 0, 1, PATCH, product, 0, du, 0, PATCH, width, channels // PANEL, True)


@compiled
def narrow_frame(x, norm, slope, u, bias, y, frames, rows, width, channels, n, t, patch, product):
    """A frame of the transposed convolution: many channels to three."""
    slope = splat(slope)
    line, depth = width * 6, 3 * channels
    out = (n * frames + t) * rows * 2 * line
    for k in range(rows * 2 * line // 3):
        for c in range(3):
            y[np.uint64(out + 3 * k + c)] = bias[c]
    for row in range(rows):
        for tap in range(3):
            frame = t + 1 - tap
            inside = 0 <= frame < frames
            i = ((n * frames + min(max(frame, 0), frames - 1)) * rows + row) * width * channels
            for channel in range(0, channels, 16):
                scale, shift = load(norm, channel), load(norm, channels + channel)
                if not inside:
                    scale, shift = splat(np.float32(0)), splat(np.float32(0))
                for k in range(width):
                    value = operand(x, i + k * channels + channel, scale, shift, slope)
                    store(patch, k * depth + tap * channels + channel, value)
        multiply(patch, 0, depth, 1, u, 0, product, 0, width, depth, 1, False)
        for r in range(3):
            if 2 * row + r == 0:
                continue
            o = out + (2 * row - 1 + r) * line - 3
            for k in range(width):
                # The first column's tap 0 falls outside.
                for c in range(3 if k == 0 else 0, 9):
                    y[np.uint64(o + 6 * k + c)] += product[np.uint64(k * PANEL + r * 9 + c)]


def widen(x: Tensor, weight: Tensor) -> Tensor:
    """Convolve x (N, T, H, W, 3) to (N, T, H/2, W/2, C), without bias."""
    n, frames, rows, width, _ = x.shape
    channels = weight.shape[0]
    y = x.new_empty(n, frames, rows // 2, width // 2, channels)
    u = weight.detach().permute(2, 3, 4, 1, 0).reshape(PATCH, channels // PANEL, PANEL)
    u = u.transpose(0, 1).contiguous()
    arguments = _flat(with_border(x)), _flat(u), _flat(y)
    sizes = frames, rows // 2, width // 2, channels

    def work(_: int, block: tuple[int, int]) -> None:
        widen_frame(*arguments, *sizes, *block, *_memory(width // 2, channels))

    over_frames(work, n, frames)
    return y


def ends_weights(x: Tensor, y: Tensor, norm: np.ndarray, slope: float) -> Tensor:
    """Gradient of the weights (C, 3, 3, 3, 3) from both sides; y is read as an operand."""
    n, frames, rows, width, channels = y.shape
    arguments = _flat(with_border(x)), _flat(y), norm, np.float32(slope)
    parts = np.zeros((torch.get_num_threads(), PADDED * channels), np.float32)

    def work(k: int, block: tuple[int, int]) -> None:
        memory = _memory(width, channels)
        ends_weights_frame(*arguments, parts[k], frames, rows, width, channels, *block, *memory)

    over_frames(work, n, frames)
    du = torch.from_numpy(parts.sum(0)).view(channels // PANEL, PADDED, PANEL)[:, :PATCH]
    return (
        du.reshape(channels // PANEL, 3, 3, 3, 3, PANEL)
        .permute(0, 5, 4, 1, 2, 3)
        .reshape(channels, 3, 3, 3, 3)
    )


def narrow(x: Tensor, norm: np.ndarray, slope: float, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve x (N, T, H, W, C) transposed to (N, T, 2 H, 2 W, 3)."""
    n, frames, rows, width, channels = x.shape
    y = x.new_empty(n, frames, 2 * rows, 2 * width, 3)
    u = weight.detach().permute(2, 0, 3, 4, 1).reshape(3 * channels, 27)
    u = F.pad(u, (0, PANEL - 27)).contiguous()
    arguments = _flat(x), norm, np.float32(slope), _flat(u), _flat(bias), _flat(y)

    def work(_: int, block: tuple[int, int]) -> None:
        memory = _memory(width, channels)
        narrow_frame(*arguments, frames, rows, width, channels, *block, *memory)

    over_frames(work, n, frames)
    return y


def with_border(x: Tensor) -> Tensor:
    """Put a border of zeros around x (N, T, H, W, 3); flat, with room to read beyond the end."""
    n, frames, rows, width, channels = x.shape
    shape = (n, frames + 2, rows + 2, width + 2, channels)
    flat = x.new_zeros(math.prod(shape) + 16)
    flat[:-16].view(shape)[:, 1:-1, 1:-1, 1:-1] = x
    return flat


def _memory(width: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Working memory for a row, with room for reading and writing up to eight rows at once."""
    depth = max(PATCH, 3 * channels)
    return scratch("patch", (width + 8) * depth), scratch("row", (width + 8) * channels)


def _flat(x: Tensor) -> np.ndarray:
    return x.detach().reshape(-1).numpy()
