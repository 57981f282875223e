"""One hole a normal training frame: random strokes and boxes, or one of the frame's objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.models.masks.lama import random_mask, rules_of
from pipeline.stages.base import Array, Job, Stage

RANDOM, INSTANCE, FALLBACK = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class Masks(Stage):
    """Settings of the stage ``masks``.

    Its arrays: ``mask`` (H, W) uint8, 1 in the hole; ``origin``: 0 random, 1 an instance,
    2 random because the frame had no usable instance; ``box`` (top, left, bottom, right)
    of the hole in pixels, bottom and right exclusive.
    """

    NAME: ClassVar[str] = "masks"
    VERSION: ClassVar[int] = 2
    SPLITS: ClassVar[Literal["all", "train", "test"]] = "train"

    kind: Literal["random", "instance"] = "instance"
    """``random``: LaMa's strokes and boxes. ``instance``: one object of the frame."""
    preset: str = "default"
    """Sizes of random masks: ``default`` (LaMa's training), ``thin``, ``medium``, ``thick``."""
    min_area: float = 0.0005
    """instance: smaller objects are never chosen; a share of the frame."""
    max_area: float = 0.3
    """instance: larger objects are never chosen; a share of the frame."""

    def __post_init__(self) -> None:
        if self.kind not in ("random", "instance"):
            raise ConfigurationError(f"masks.kind: {self.kind!r} is neither random nor instance")
        rules_of(self.preset)
        if not 0 <= self.min_area < self.max_area <= 1:
            raise ConfigurationError(
                f"masks.min_area: {self.min_area} and masks.max_area: {self.max_area} are not "
                "two shares of the frame, the first below the second"
            )

    def inputs(self) -> tuple[str, ...]:
        """Return the names of the stages that this one reads."""
        return ("frames",) if self.kind == "random" else ("instances",)

    def arrays(self, inputs: Mapping[str, Mapping[str, Array]]) -> dict[str, Array]:
        """Return ``mask``, ``origin`` and ``box``."""
        name, array = ("frames", "image") if self.kind == "random" else ("instances", "instances")
        height, width = inputs[name][array].shape[:2]
        if height != width:
            raise ConfigurationError(f"masks: frames of {height}x{width} are not square")
        return {
            "mask": Array("uint8", (height, width)),
            "origin": Array("uint8", ()),
            "box": Array("int16", (4,)),
        }

    def settings(self) -> dict[str, Any]:
        """Return the settings that matter to the kind of mask."""
        unused = ("min_area", "max_area") if self.kind == "random" else ()
        return {k: v for k, v in super().settings().items() if k not in unused}

    def compute(self, job: Job) -> dict[str, np.ndarray]:
        """Make the masks of the job's frames, each from its own generator."""
        found = [self._random(job, f) for f in job.frames] if self.kind == "random" else []
        if self.kind == "instance":
            maps = job.inputs["instances"]["instances"][job.frames.start : job.frames.stop]
            found = [
                self._instance(labels, job.rng(frame))
                for frame, labels in zip(job.frames, maps, strict=True)
            ]
        return {
            "mask": np.stack([mask for mask, _ in found]),
            "origin": np.array([origin for _, origin in found], np.uint8),
            "box": np.array([bounding_box(mask) for mask, _ in found], np.int16),
        }

    def _random(self, job: Job, frame: int) -> tuple[np.ndarray, int]:
        size = job.inputs["frames"]["image"].shape[1]
        return random_mask(size, rules_of(self.preset), job.rng(frame)), RANDOM

    def _instance(self, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, int]:
        usable = usable_instances(labels, self.min_area, self.max_area)
        if not len(usable):
            return random_mask(labels.shape[0], rules_of(self.preset), rng), FALLBACK
        return (labels == rng.choice(usable)).astype(np.uint8), INSTANCE


def usable_instances(labels: np.ndarray, min_area: float, max_area: float) -> np.ndarray:
    """Return the labels of a map whose area, as a share of the frame, is in the closed range."""
    share = np.bincount(labels.ravel(), minlength=256) / labels.size
    usable = np.flatnonzero((share > 0) & (share >= min_area) & (share <= max_area))
    return usable[usable > 0]


def bounding_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return (top, left, bottom, right) of a mask's 1s, bottom and right exclusive.

    Raises
    ------
    DataError
        If the mask is all 0.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise DataError("a mask is all 0: there is no hole to fill")
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
