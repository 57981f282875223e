"""Scores of frames that come one after the other, in memory that does not grow.

The numbers are those of :mod:`evaluation.scoring.sliding` and
:func:`evaluation.protocols.base.window_means` over the whole video: at the
beginning the first frame is repeated, at the end the last.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from evaluation.protocols.base import POSITION, WINDOW
from evaluation.scoring.windows import pixel_errors

if TYPE_CHECKING:
    from torch import Tensor, nn

Scores = tuple[np.ndarray, np.ndarray | None]

DELAY = WINDOW - POSITION
"""A frame's score is there when so many frames after it have come."""


class ErrorStream:
    """Errors of an autoencoder, frame by frame.

    Parameters
    ----------
    network
        In evaluation mode.
    measure
        ``frame`` or ``clip``, as in :func:`evaluation.scoring.sliding.score_video`.
    precision, maps
        As there.
    """

    def __init__(
        self, network: nn.Module, measure: str = "frame", precision: str = "fp32", maps: int = 0
    ) -> None:
        import torch

        from evaluation.scoring.shared_windows import SharedWindows

        self._network, self._measure = network, measure
        self._precision, self._maps = precision, maps
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._windows = SharedWindows(network, dtype) if measure == "frame" else None
        self._held: Tensor | None = None

    def push(self, frames: Tensor) -> Scores:
        """Take the next frames (n, 3, H, W) in [-1, 1]; return the scores that are now known.

        Returns
        -------
        errors, maps
            (m,) float64 and (m, maps, maps) float16 or None, of the next m frames.
        """
        import torch

        if self._held is None:
            frames = torch.cat([frames[:1].expand(POSITION, -1, -1, -1), frames])
        return self._push(frames)

    def finish(self) -> Scores:
        """Say that no frame comes any more; return the scores of those that are left."""
        if self._held is None:
            return np.zeros(0), None
        return self._push(self._held[-1:].expand(DELAY, -1, -1, -1))

    def _push(self, frames: Tensor) -> Scores:
        import torch

        held = frames if self._held is None else torch.cat([self._held, frames])
        if self._windows is None:
            self._held = held[-WINDOW:]
            return self._clips(held, len(frames))
        self._held = held[-POSITION:]
        output = self._windows.push(frames)
        target = held[len(held) - len(output) - POSITION : len(held) - POSITION]
        with torch.inference_mode():
            return pixel_errors(output, target.to(output.device), self._maps)

    def _clips(self, held: Tensor, new: int) -> Scores:
        """Judge whole windows, those that are complete one frame after their last."""
        from evaluation.scoring.sliding import clip_errors

        first = max(len(held) - new - WINDOW, 0)
        if len(held) - 1 - first < WINDOW:
            return np.zeros(0), None
        clips = held[first:-1].unfold(0, WINDOW, 1).movedim(-1, 2).contiguous()
        return clip_errors(self._network, clips, self._precision, self._maps)


class MeanStream:
    """Means over each value's window of 16, value by value."""

    def __init__(self) -> None:
        self._held: deque[float] = deque(maxlen=WINDOW)
        self._last = 0.0

    def push(self, values: np.ndarray) -> np.ndarray:
        """Take the next values; return the means that are now known, (m,) float64."""
        means = []
        for value in values:
            if not self._held:
                self._held.extend([float(value)] * POSITION)
            self._held.append(float(value))
            if len(self._held) == WINDOW:
                means.append(float(np.mean(self._held)))
        return np.array(means)

    def finish(self) -> np.ndarray:
        """Say that no value comes any more; return the means of those that are left."""
        if not self._held:
            return np.zeros(0)
        return self.push(np.repeat(self._held[-1], WINDOW - POSITION - 1))
