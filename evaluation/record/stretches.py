"""Stretches of normal training videos, against which the protocol ``local`` holds others."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass

import numpy as np

from pipeline.shards.reader import Dataset, VideoInfo

LONGEST = 128
"""Frames of a stretch, at most."""

NORMAL_FRAMES = 4096
"""Frames of all stretches, at most, or as many as are tested if those are more."""


@dataclass(frozen=True)
class Stretch:
    """Consecutive frames of a video.

    Attributes
    ----------
    name
        Of its scores: the video's own, or ``normal/train/01@128``.
    video
        Whose frames they are.
    start, stop
        First frame, and the one after the last.
    """

    name: str
    video: VideoInfo
    start: int
    stop: int

    @property
    def info(self) -> VideoInfo:
        """The stretch as a video of its own."""
        return dataclasses.replace(self.video, name=self.name, frames=self.stop - self.start)


def whole(video: VideoInfo) -> Stretch:
    """Return a video as a stretch."""
    return Stretch(video.name, video, 0, video.frames)


def normal_stretches(dataset: Dataset) -> list[Stretch]:
    """Return stretches of the normal training videos that are not held out, evenly spread.

    Videos are cut into equal parts of at most 128 frames. So many are taken that they are no
    more than 4096 frames, or than those that are tested: the cost is at most that of the test.
    """
    tested = sum(video.frames for video in dataset.select(split=dataset.evaluate))
    found = []
    for video in dataset.select(split="train", holdout=False):
        ends = np.linspace(0, video.frames, -(-video.frames // LONGEST) + 1).round().astype(int)
        found += [
            Stretch(f"normal/{video.name}@{start}", video, int(start), int(stop))
            for start, stop in itertools.pairwise(ends)
        ]
    return [found[i] for i in spread(len(found), max(NORMAL_FRAMES, tested) // LONGEST)]


def spread(length: int, count: int) -> np.ndarray:
    """Return at most ``count`` places, evenly spread over ``length``.

    >>> spread(100, 4).tolist()
    [0, 33, 66, 99]
    >>> spread(3, 10).tolist()
    [0, 1, 2]
    """
    if count >= length:
        return np.arange(length)
    return np.unique(np.linspace(0, length - 1, max(count, 1)).round().astype(int))
