"""All objects of each normal training frame, as one label map a frame.

They are kept apart from the choice of one (:mod:`pipeline.stages.masks`), so that
another choice costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from pipeline.base.device import batch_size
from pipeline.base.errors import ConfigurationError
from pipeline.models.source import ModelUse, check_name, identity, is_hub
from pipeline.stages.base import Array, FramesRead, Job, Stage


@dataclass(frozen=True, kw_only=True)
class Instances(Stage):
    """Settings of the stage ``instances``."""

    NAME: ClassVar[str] = "instances"
    VERSION: ClassVar[int] = 1
    SPLITS: ClassVar[Literal["all", "train", "test"]] = "train"
    OPTIONAL: ClassVar[bool] = True
    NEEDS: ClassVar[Mapping[str, str]] = {
        "segmentation": (
            "a transformers instance, universal or panoptic segmentation model "
            "(config.json, preprocessor_config.json, model.safetensors)"
        )
    }

    engine: Literal["background", "segmentation"] = "background"
    """``background``: what moves before a fixed camera. ``segmentation``: a network."""
    min_area: float = 0.0003
    """Smaller instances are dropped; a share of the frame."""
    threshold: float = 18.0
    """background: least difference from the background, grey levels in (0, 255)."""
    shadows: Literal["keep", "drop"] = "keep"
    """background: whether cast shadows belong to objects. ``drop`` needs video in colour."""
    samples: int = 100
    """background: frames, evenly spaced over a span, from which the background is learned."""
    span: int = 4500
    """background: frames that share one background; daylight changes over longer ones."""
    model: str = ""
    """segmentation: a transformers model, as ``org/name@<commit>`` or a folder."""
    classes: tuple[str, ...] = ()
    """segmentation: names of the model's classes that count; none named: all of them."""
    score: float = 0.5
    """segmentation: least score of an instance, in (0, 1)."""

    def __post_init__(self) -> None:
        if self.engine not in ("background", "segmentation"):
            raise ConfigurationError(
                f"instances.engine: {self.engine!r} is neither background nor segmentation"
            )
        if self.shadows not in ("keep", "drop"):
            raise ConfigurationError(
                f"instances.shadows: {self.shadows!r} is neither keep nor drop"
            )
        _check_range("min_area", self.min_area, 0.0, 1.0)
        _check_range("threshold", self.threshold, 0.0, 255.0)
        _check_range("score", self.score, 0.0, 1.0)
        for name, least in (("samples", 2), ("span", 16)):
            if getattr(self, name) < least:
                raise ConfigurationError(
                    f"instances.{name}: {getattr(self, name)} is below {least}"
                )
        if self.engine == "segmentation":
            check_name(self.model_use())
        elif self.model:
            raise ConfigurationError(
                "instances.model: is set, but engine: background uses no model; "
                "set engine: segmentation"
            )

    def model_use(self) -> ModelUse:
        """Return what the segmentation engine needs."""
        return ModelUse("instances.model", self.model, self.NEEDS["segmentation"])

    def models(self) -> tuple[ModelUse, ...]:
        """Return the models in use."""
        return (self.model_use(),) if self.engine == "segmentation" else ()

    def inputs(self) -> tuple[str, ...]:
        """Return the names of the stages that this one reads."""
        return ("frames",)

    def arrays(self, inputs: Mapping[str, Mapping[str, Array]]) -> dict[str, Array]:
        """Return ``instances`` (H, W), 0 = background, and ``count`` before the cap of 255."""
        height, width, _ = inputs["frames"]["image"].shape
        return {"instances": Array("uint8", (height, width)), "count": Array("uint16", ())}

    def identity(self, digest: Callable[[Path], str]) -> dict[str, str]:
        """Return the model's commit or digest."""
        return {use.setting: identity(use, digest) for use in self.models()}

    def settings(self) -> dict[str, Any]:
        """Return the settings that matter to the engine; a model's path never does."""
        unused = {
            "background": ("model", "classes", "score"),
            "segmentation": ("threshold", "shadows", "samples", "span"),
        }[self.engine]
        kept = {k: v for k, v in super().settings().items() if k not in unused}
        if "model" in kept and not is_hub(self.model):
            del kept["model"]
        return kept

    def compute(self, job: Job) -> dict[str, np.ndarray]:
        """Label the instances of each frame."""
        images = job.inputs["frames"]["image"]
        maps = self._by_background if self.engine == "background" else self._by_network
        found = maps(images, job.frames)
        return {
            "instances": np.stack([labels for labels, _ in found]),
            "count": np.array([count for _, count in found], np.uint16),
        }

    def _by_background(self, images: FramesRead, frames: range) -> list[tuple[np.ndarray, int]]:
        from pipeline.models.masks import background

        found = []
        for span in background.spans(len(images), self.span):
            wanted = range(max(frames.start, span.start), min(frames.stop, span.stop))
            if not wanted:
                continue
            numbers = background.sample_frames(span, self.samples)
            still = background.background_image(images[number] for number in numbers)
            for image in images[wanted.start : wanted.stop]:
                mask = background.foreground(image, still, self.threshold, self.shadows == "keep")
                found.append(background.components(mask, self.min_area))
        return found

    def _by_network(self, images: FramesRead, frames: range) -> list[tuple[np.ndarray, int]]:
        from pipeline.models.masks import segmentation

        network, step = segmentation.load(self.model_use()), batch_size()
        found = []
        for start in range(frames.start, frames.stop, step):
            batch = images[start : min(start + step, frames.stop)]
            found += segmentation.label_maps(
                network, batch, self.classes, self.score, self.min_area
            )
        return found


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low < value < high:
        raise ConfigurationError(f"instances.{name}: {value} is not between {low} and {high}")
