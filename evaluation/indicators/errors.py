"""The definition of a window's error, by frame and by clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluation.indicators.window import POSITION

if TYPE_CHECKING:
    from torch import Tensor, nn


def window_errors(
    network: nn.Module,
    clips: Tensor,
    precision: str = "fp32",
    maps: int = 0,
    positions: slice = slice(POSITION, POSITION + 1),
) -> tuple[np.ndarray, np.ndarray | None]:
    """Reconstruct windows and return the error of the 9th frame of each, or of several.

    Parameters
    ----------
    network
        An autoencoder in evaluation mode.
    clips
        (B, 3, 16, H, W) float32 in [-1, 1].
    precision
        ``fp32`` or ``bf16`` (autocast).
    maps
        Side in cells of the error maps; 0 for none.
    positions
        Places in the window, k of them.

    Returns
    -------
    errors, maps
        As :func:`pixel_errors`, of B·k frames, window by window.
    """
    import torch

    clips = clips.to(next(network.parameters()).device)
    with (
        torch.inference_mode(),
        torch.autocast(clips.device.type, torch.bfloat16, enabled=precision == "bf16"),
    ):
        output = network(clips)[:, :, positions].float().movedim(2, 1).flatten(0, 1)
        return pixel_errors(output, clips[:, :, positions].movedim(2, 1).flatten(0, 1), maps)


def pixel_errors(
    output: Tensor, target: Tensor, maps: int = 0
) -> tuple[np.ndarray, np.ndarray | None]:
    """Squared error of frames (n, 3, H, W).

    Returns
    -------
    errors : ndarray
        (n,) float64, mean over channels and pixels.
    maps : ndarray or None
        (n, maps, maps) float16, mean over channels and each cell's pixels.
    """
    from torch.nn import functional as F

    pixels = (output - target).square().mean(1)
    errors = pixels.double().mean((1, 2)).cpu().numpy()
    if not maps:
        return errors, None
    cells = F.adaptive_avg_pool2d(pixels[:, None], maps)[:, 0]
    return errors, cells.cpu().numpy().astype(np.float16)


def clip_errors(
    network: nn.Module, clips: Tensor, precision: str = "fp32", maps: int = 0
) -> tuple[np.ndarray, np.ndarray | None]:
    """MemAE's score of windows (B, 3, 16, H, W), and error maps of their 9th frames."""
    import torch

    clips = clips.to(next(network.parameters()).device)
    with (
        torch.inference_mode(),
        torch.autocast(clips.device.type, torch.bfloat16, enabled=precision == "bf16"),
    ):
        output = network(clips).float()
        lengths = torch.linalg.vector_norm(output - clips, dim=1)
        _, cells = pixel_errors(output[:, :, POSITION], clips[:, :, POSITION], maps)
        return lengths.double().mean((1, 2, 3)).cpu().numpy(), cells
