"""The window of 16 frames, the place of the judged one in it, and means over it."""

from __future__ import annotations

import numpy as np

from evaluation.indicators.base import ValueStream

WINDOW = 16
"""Frames of a window."""

POSITION = 8
"""Place of the judged frame in its window, counted from 0: the 9th."""

AFTER = WINDOW - POSITION - 1
"""Frames of a window behind the judged one."""


def window_frames(frame: int, frames: int) -> np.ndarray:
    """Return the 16 frames of the window around a frame, the video's ends repeated.

    >>> window_frames(2, 100).tolist()
    [0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    return np.clip(np.arange(frame - POSITION, frame - POSITION + WINDOW), 0, frames - 1)


class WindowMeans(ValueStream):
    """Means over each value's window of 16, the first and the last value repeated.

    Frame t is the 9th of its window, t - 8 ... t + 7.
    """

    delay = AFTER

    def __init__(self) -> None:
        self._held = np.zeros(0)

    def push(self, values: np.ndarray) -> np.ndarray:
        """Take the next values (n,); return the means that are now known, (m,) float64."""
        values = np.asarray(values, np.float64)
        if not len(self._held):
            values = np.concatenate([np.repeat(values[:1], POSITION), values])
        held = np.concatenate([self._held, values])
        self._held = held[-(WINDOW - 1) :]
        if len(held) < WINDOW:
            return np.zeros(0)
        return np.lib.stride_tricks.sliding_window_view(held, WINDOW).mean(1)

    def finish(self) -> np.ndarray:
        """Say that no value comes any more; return the means of those that are left."""
        return self.push(np.repeat(self._held[-1:], AFTER)) if len(self._held) else np.zeros(0)
