"""The definition of a window's error, and the plain loop over a video's windows.

The loop is what :mod:`evaluation.scoring.sliding` must equal, faster; a stream
(:mod:`evaluation.detector.detector`) shows its windows to the same function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from evaluation.protocols.base import POSITION, WINDOW

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


def window_frames(frame: int, frames: int) -> np.ndarray:
    """Return the 16 frames of the window around a frame, the video's ends repeated.

    >>> window_frames(2, 100).tolist()
    [0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    return np.clip(np.arange(frame - POSITION, frame - POSITION + WINDOW), 0, frames - 1)


def all_windows(
    network: nn.Module,
    read: Callable[[int, int], np.ndarray],
    frames: int,
    *,
    flow_scale: float | None = None,
    display: str = "uvm",
    batch: int = 8,
    precision: str = "fp32",
    maps: int = 0,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Score every frame of a video by one window each.

    Parameters
    ----------
    read
        From (first, last + 1) to frames (n, S, S, 3) uint8 or flow (n, S, S, 2) float32.
    frames
        Of the video.
    flow_scale, display
        How flow is shown (:func:`training.feed.flow_display.show_flow`).
    batch
        Windows at once.

    Returns
    -------
    errors, maps
        As :func:`window_errors`, for all frames.
    """
    import torch

    from training.feed.reading import to_network

    errors, cells = [], []
    for start in range(0, frames, batch):
        places = np.array(
            [window_frames(t, frames) for t in range(start, min(start + batch, frames))]
        )
        first = int(places.min())
        stored = read(first, int(places.max()) + 1)
        clips = to_network(torch.from_numpy(stored[places - first]), flow_scale, display)
        error, cell = window_errors(network, clips, precision, maps)
        errors.append(error)
        cells.append(cell)
    whole = np.concatenate(errors)
    return whole, np.concatenate([c for c in cells if c is not None]) if maps else None
