"""Stage ``frames``: every frame of a video, RGB, resized to a square."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.stages.base import Array, Job, Stage

INTERPOLATIONS = {
    "linear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
    "cubic": cv2.INTER_CUBIC,
    "nearest": cv2.INTER_NEAREST,
}


@dataclass(frozen=True, kw_only=True)
class Frames(Stage):
    """Decode and resize; gray video is repeated over three channels."""

    NAME: ClassVar[str] = "frames"
    SEQUENTIAL: ClassVar[bool] = True

    size: int = 256
    """Height and width in pixels, from 16, a multiple of 8 (the autoencoder halves it often)."""
    interpolation: str = "linear"
    """``linear`` as the peers, ``area``, ``cubic`` or ``nearest``."""

    def __post_init__(self) -> None:
        if self.size < 16 or self.size % 8:
            raise ConfigurationError(f"frames.size: {self.size} is no multiple of 8 from 16 on")
        if self.interpolation not in INTERPOLATIONS:
            raise ConfigurationError(
                f"frames.interpolation: {self.interpolation!r} is none of "
                f"{', '.join(INTERPOLATIONS)}"
            )

    def arrays(self, inputs: Mapping[str, Mapping[str, Array]]) -> dict[str, Array]:
        """``image``: (size, size, 3) uint8 RGB."""
        return {"image": Array("uint8", (self.size, self.size, 3))}

    def compute(self, job: Job) -> dict[str, np.ndarray]:
        """Read the frames one by one, so that memory does not grow with their size."""
        if job.source is None:
            raise DataError(f"{job.video}: stage frames needs the video itself")
        images = np.empty((len(job.frames), self.size, self.size, 3), np.uint8)
        flags = INTERPOLATIONS[self.interpolation]
        for place, frame in enumerate(job.source.frames(job.frames)):
            cv2.resize(frame, (self.size, self.size), dst=images[place], interpolation=flags)
        return {"image": images}
