"""The flow itself: how fast things move, place by place. It needs no network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evaluation.indicators.base import FrameByFrame, Indicator, Part, Stream
from evaluation.indicators.settings import Scoring
from evaluation.record.run import Run

GRID = 64
"""Places of a frame's side."""


class Flow(Indicator):
    """Maps of the velocity, which the protocol ``local`` judges and follows points along."""

    NAME = "flow"
    SYMBOL = "flow"
    COLOR = "#2c9c56"
    READS = ("flow",)
    VALUE = False
    MAP = 2
    SAVED = False
    CHOSEN = True

    def load(self, run: Run, settings: Scoring) -> Callable[[], Stream]:
        """Nothing is loaded."""
        return lambda: FrameByFrame(lambda flow: Part(maps=velocities(flow, GRID)), 128)


def velocities(flow: np.ndarray, side: int) -> np.ndarray:
    """Return flow (N, S, S, 2) in px a frame as means of side x side places, in places a frame.

    Returns
    -------
    numpy.ndarray
        (N, side, side, 2) float32.
    """
    import cv2

    share = side / flow.shape[1]
    small = [
        cv2.resize(one.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
        for one in flow
    ]
    return np.stack(small) * np.float32(share)
