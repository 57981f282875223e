"""Stage ``labels``: the ground truth of every frame, and of its pixels where it is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Literal

import cv2
import numpy as np

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.stages.base import Array, Job, Stage, TruthSource

if TYPE_CHECKING:
    from pipeline.data.truth.truth import Truth


@dataclass(frozen=True, kw_only=True)
class Labels(Stage):
    """Frame labels as they are, pixel masks resized to the size at which errors are mapped."""

    NAME: ClassVar[str] = "labels"
    SPLITS: ClassVar[Literal["all", "train", "test"]] = "test"
    READS_TRUTH: ClassVar[bool] = True
    OF_PIXEL_TRUTH: ClassVar[frozenset[str]] = frozenset({"pixel_mask"})

    size: int = 256
    """Height and width of pixel masks, from 16; best that of ``frames``."""

    def __post_init__(self) -> None:
        if self.size < 16:
            raise ConfigurationError(f"labels.size: {self.size} is below 16")

    def arrays(self, inputs: Mapping[str, Mapping[str, Array]]) -> dict[str, Array]:
        """``label``: () uint8, 1 = anomalous. ``pixel_mask``: (size, size) uint8 {0, 1}."""
        return {
            "label": Array("uint8", ()),
            "pixel_mask": Array("uint8", (self.size, self.size)),
        }

    def compute(self, job: Job) -> dict[str, np.ndarray]:
        """Read labels and masks; ``pixel_mask`` is left out where there is no pixel truth."""
        if job.truth is None:
            raise DataError(f"{job.video}: stage labels needs the video's ground truth")
        truth = _truth(job.truth, job.truth.signature())
        arrays = {"label": truth.labels[job.frames.start : job.frames.stop]}
        if truth.pixels is not None:
            masks = [resize_mask(truth.pixels.mask(number), self.size) for number in job.frames]
            arrays["pixel_mask"] = np.stack(masks)
        return arrays


@lru_cache(maxsize=2)
def _truth(video: TruthSource, _signature: str) -> Truth:
    """Keep the truth of the video under way, which comes shard after shard."""
    return video.truth()


def resize_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """Resize a mask to (size, size): 1 where at least half of the area is anomalous.

    An anomaly so small that it would vanish keeps every pixel that it touches, so that a
    frame never loses its region.

    Parameters
    ----------
    mask : ndarray, (H, W) uint8
        Of {0, 1}.
    size : int
        Pixels.
    """
    part = cv2.resize(mask.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    resized = part >= 0.5
    if mask.any() and not resized.any():
        resized = part > 0
    return resized.astype(np.uint8)
