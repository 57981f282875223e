"""What indicators are computed from: frames, flow, features and patches of part of a video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from evaluation.record.stretches import Stretch
from pipeline.base.errors import DataError
from pipeline.shards.reader import Dataset
from pipeline.shards.shard import FrameArray

PSEUDO = {"frames": "inpaint", "flow": "mixed_flow", "features": "pa_features"}
"""For each stage of a video that of its pseudo-anomalies."""

ARRAYS = {"frames": "image", "features": "feature", "patches": "patch"}
"""The array of a stage that is read, where it has not the stage's name."""


class Material(Protocol):
    """A video, or part of one, or one that was made up, read some frames at a time."""

    @property
    def video_name(self) -> str:
        """The video that they are of."""

    @property
    def frames(self) -> int:
        """How many there are."""

    def read(self, stage: str, start: int, stop: int) -> np.ndarray:
        """Return a stage's array of some frames, an entry a frame.

        ``frames`` (n, S, S, 3) uint8 RGB, ``flow`` (n, S, S, 2) float32 px a frame, of a video's
        last frame that of the one before it, ``features`` (n, D) float32,
        ``patches`` (n, h, w, C) float16.
        """


@dataclass(frozen=True)
class Stored:
    """A stretch as the shards hold it, or its pseudo-anomalies."""

    dataset: Dataset
    stretch: Stretch
    pseudo: bool = False

    @property
    def video_name(self) -> str:
        """The video that they are of."""
        return self.stretch.video.name

    @property
    def frames(self) -> int:
        """How many there are."""
        return self.stretch.stop - self.stretch.start

    def read(self, stage: str, start: int, stop: int) -> np.ndarray:
        """Return a stage's array of some frames, as :class:`Material` says."""
        video, first = self.stretch.video, self.stretch.start
        arrays = self.dataset.arrays(PSEUDO[stage] if self.pseudo else stage, video.name)
        if stage == "flow":
            return _flow(arrays["flow"], first + start, first + stop, video.name)
        return np.asarray(arrays[ARRAYS.get(stage, stage)][first + start : first + stop])


def _flow(array: FrameArray, start: int, stop: int, video: str) -> np.ndarray:
    """Return flow (n, S, S, 2) float32; a video of N frames has N - 1, the last is repeated."""
    if not len(array):
        raise DataError(f"{video}: has one frame, so no flow; leave the video out of the manifest")
    flow = array[start : min(stop, len(array))].astype(np.float32)
    if stop == len(array) + 1:
        flow = np.concatenate([flow, array[len(array) - 1 :].astype(np.float32)])
    return flow
