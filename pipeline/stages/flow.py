"""TV-L1 optical flow between neighbouring frames (docs/method.md, 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from pipeline.base.errors import ConfigurationError
from pipeline.stages.base import Array, Job, Stage


@dataclass(frozen=True, kw_only=True)
class Flow(Stage):
    """Settings of the stage ``flow``.

    Its array: ``flow`` (H, W, 2) float16, (u, v) in pixels a frame from frame t to t + 1,
    so one fewer than there are frames.
    """

    NAME: ClassVar[str] = "flow"
    VERSION: ClassVar[int] = 2
    SPLITS: ClassVar[Literal["all", "train", "test"]] = "all"

    engine: Literal["tvl1", "opencv", "fast"] = "tvl1"
    """``tvl1``: this project's; ``opencv``: the same, slowly; ``fast``: fewer iterations."""

    def __post_init__(self) -> None:
        if self.engine not in ("tvl1", "opencv", "fast"):
            raise ConfigurationError(f"flow.engine: {self.engine!r} is none of tvl1, opencv, fast")

    def inputs(self) -> tuple[str, ...]:
        """Return the names of the stages that this one reads."""
        return ("frames",)

    def arrays(self, inputs: Mapping[str, Mapping[str, Array]]) -> dict[str, Array]:
        """Return ``flow``, of the frames' size."""
        height, width = inputs["frames"]["image"].shape[:2]
        return {"flow": Array("float16", (height, width, 2))}

    def length(self, frames: int) -> int:
        """Return the number of pairs of neighbours."""
        return frames - 1

    def compute(self, job: Job) -> dict[str, np.ndarray]:
        """Compute the flow of each frame of the job to the next."""
        import cv2

        from pipeline.models.flow.tvl1 import compute_flow

        images = job.inputs["frames"]["image"][job.frames.start : job.frames.stop + 1]
        gray = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
        flow = np.empty((len(job.frames), *gray[0].shape, 2), np.float16)
        for t in range(len(flow)):
            flow[t] = compute_flow(gray[t], gray[t + 1], self.engine)
        return {"flow": flow}
