"""Temporal pseudo-anomalies: mixup of the flow around the hole with flow from elsewhere (eq. 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from pipeline.base.errors import ConfigurationError
from pipeline.stages.base import Array, Job, Stage

#: (top, left, bottom, right) in pixels, bottom and right exclusive.
Box = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class MixedFlow(Stage):
    """Settings of the stage ``mixed_flow``.

    Its arrays: ``flow`` (H, W, 2) float16; ``lam``, the weight of the original flow;
    ``target_box`` and ``source_box`` (top, left, bottom, right), bottom and right
    exclusive; ``seed``, of the generator that drew ``lam`` and then the source.
    """

    NAME: ClassVar[str] = "mixed_flow"
    VERSION: ClassVar[int] = 1
    SPLITS: ClassVar[Literal["all", "train", "test"]] = "train"

    region: Literal["box", "silhouette"] = "box"
    """What is mixed: the rectangle around the mask, or only the inside of the mask."""
    alpha: float = 0.4
    """Both parameters of the Beta distribution of lambda, above 0."""

    def __post_init__(self) -> None:
        if self.region not in ("box", "silhouette"):
            raise ConfigurationError(
                f"mixed_flow.region: {self.region!r} is neither box nor silhouette"
            )
        if not 0 < self.alpha < float("inf"):
            raise ConfigurationError(f"mixed_flow.alpha: {self.alpha} is not above 0")

    def inputs(self) -> tuple[str, ...]:
        """Return the names of the stages that this one reads."""
        return ("flow", "masks")

    def arrays(self, inputs: Mapping[str, Mapping[str, Array]]) -> dict[str, Array]:
        """Return the mixed flow and, for every frame, how it was mixed."""
        return {
            "flow": inputs["flow"]["flow"],
            "lam": Array("float32", ()),
            "target_box": Array("int16", (4,)),
            "source_box": Array("int16", (4,)),
            "seed": Array("int64", ()),
        }

    def length(self, frames: int) -> int:
        """Return the number of flows."""
        return frames - 1

    def compute(self, job: Job) -> dict[str, np.ndarray]:
        """Mix the flow of each frame, in the rectangle of the frame's mask."""
        span = slice(job.frames.start, job.frames.stop)
        flows = job.inputs["flow"]["flow"][span]
        masks = job.inputs["masks"]["mask"][span]
        targets = job.inputs["masks"]["box"][span]
        mixed = np.empty_like(flows)
        lams = np.empty(len(flows), np.float32)
        sources = np.empty_like(targets)
        for k, frame in enumerate(job.frames):
            rng = job.rng(frame)
            lams[k] = rng.beta(self.alpha, self.alpha)
            sources[k] = random_box(rng, targets[k], flows.shape[1:3])
            mask = masks[k] if self.region == "silhouette" else None
            mixed[k] = mix(flows[k], targets[k], sources[k], lams[k], mask)
        return {
            "flow": mixed,
            "lam": lams,
            "target_box": targets,
            "source_box": sources,
            "seed": np.array([job.seed(frame) for frame in job.frames], np.int64),
        }


def random_box(rng: np.random.Generator, like: np.ndarray, shape: tuple[int, int]) -> Box:
    """Draw a rectangle of the size of ``like``, uniformly among those inside ``shape``."""
    height, width = int(like[2] - like[0]), int(like[3] - like[1])
    top = int(rng.integers(0, shape[0] - height + 1))
    left = int(rng.integers(0, shape[1] - width + 1))
    return top, left, top + height, left + width


def mix(
    flow: np.ndarray,
    target: np.ndarray | Box,
    source: np.ndarray | Box,
    lam: float,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    """Return eq. 3: ``lam`` x the target rectangle + (1 - ``lam``) x the source rectangle.

    Parameters
    ----------
    flow : ndarray (H, W, 2)
        In pixels a frame; not changed.
    target, source
        Two rectangles of one size (top, left, bottom, right), bottom and right exclusive.
    lam
        Weight of the original flow, in [0, 1].
    mask : ndarray (H, W) of 0 and 1, optional
        Where given, only flow inside it is changed.

    Returns
    -------
    ndarray (H, W, 2)
        Of the dtype of ``flow``; equal to it outside the target.
    """
    top, left, bottom, right = (int(side) for side in target)
    from_top, from_left, from_bottom, from_right = (int(side) for side in source)
    old = flow[top:bottom, left:right]
    new = flow[from_top:from_bottom, from_left:from_right]
    blend = lam * old.astype(np.float32) + (1 - lam) * new.astype(np.float32)
    result = flow.copy()
    if mask is None:
        result[top:bottom, left:right] = blend
    else:
        inside = mask[top:bottom, left:right, None] > 0
        result[top:bottom, left:right] = np.where(inside, blend, old)
    return result
