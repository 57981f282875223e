"""What every way to read a video gives: frames with their times, and what was lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Frame:
    """A frame that decoded.

    Attributes
    ----------
    number : int
        From 0; what does not decode has no number.
    seconds : float
        Since the first frame, by the time stamps.
    image : ndarray, (H, W, 3) uint8 RGB
    """

    number: int
    seconds: float
    image: np.ndarray


@dataclass(frozen=True)
class Gap:
    """Packets in a row that did not decode.

    Attributes
    ----------
    frame : int
        Number of the frame that comes next; the number of frames if none does.
    seconds : float
        When the first of them was to be seen, since the first frame.
    packets : int
        How many; of most formats a packet is a frame.
    """

    frame: int
    seconds: float
    packets: int


class Reader(Protocol):
    """A video file, a folder of images or a live source, read once from its first frame on.

    Attributes
    ----------
    name : str
        For messages and tables.
    rate : float or None
        Frames a second on average, as it says itself; None where it does not.
    declared : int or None
        Frames that it says it has.
    gaps : sequence of Gap
        What did not decode so far.
    interlaced : int
        Frames so far that hold two fields.
    """

    name: str
    rate: float | None
    declared: int | None
    interlaced: int

    @property
    def gaps(self) -> Sequence[Gap]:
        """What did not decode so far."""

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames in order, in constant memory."""

    def close(self) -> None:
        """Let go of the file or the connection."""


class Clock:
    """Turns time stamps into seconds since the first frame, rising from frame to frame.

    A frame without a stamp, or with one that does not rise, comes ``step`` seconds after the
    one before it.
    """

    def __init__(self, tick: float, step: float):
        self._tick, self._step = tick, step
        self._start: int | None = None
        self._last: float | None = None

    def since_start(self, stamp: int | None) -> float | None:
        """Return the seconds of a stamp, None without stamp or before the first frame's."""
        if stamp is None or self._start is None:
            return None
        return (stamp - self._start) * self._tick

    def next(self, stamp: int | None) -> float:
        """Return the seconds of the next frame."""
        if self._last is None:
            self._start, self._last = stamp, 0.0
            return 0.0
        seconds = self.since_start(stamp)
        if seconds is None or seconds <= self._last:
            seconds = self._last + self._step
        self._last = seconds
        return seconds
