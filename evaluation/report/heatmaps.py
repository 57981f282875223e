"""One heat map a frame from all error maps, on the scale of normal frames."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from evaluation.indicators.registry import with_error_map
from evaluation.measures.heat import combined, map_limits
from evaluation.record.run import Run
from evaluation.record.scores import RunScores
from evaluation.report.pictures import heat


class Heat:
    """Heat maps of a run's frames.

    Parameters
    ----------
    run, scores
        The run and its raw scores, with error maps if there are any.
    eta
        Indicators without a weight are left out, unless all are.
    """

    def __init__(self, run: Run, scores: RunScores, eta: Mapping[str, float]) -> None:
        self._scores = scores
        weighted = [name for name in with_error_map() if eta.get(name)] or [*with_error_map()]
        calibration = run.heldout_videos or run.test_videos
        pooled: dict[str, list[np.ndarray]] = {}
        for video in calibration:
            values = scores.load(video.name, maps=True).values
            for name in weighted:
                if f"{name}_map" in values:
                    pooled.setdefault(name, []).append(values[f"{name}_map"])
        self.limits = map_limits({name: np.concatenate(part) for name, part in pooled.items()})

    def maps(self, video: str, suffix: str = "") -> dict[str, np.ndarray]:
        """Return a video's error maps (N, h, w) by indicator; none if none were saved."""
        values = self._scores.load(video, maps=True).values
        found = {name: f"{name}{suffix}_map" for name in self.limits}
        return {name: values[key] for name, key in found.items() if key in values}

    def over(self, image: np.ndarray, maps: Mapping[str, np.ndarray], frame: int) -> np.ndarray:
        """Return a frame with its heat map over it, (H, W, 3) uint8 RGB."""
        cells = {name: part[frame] for name, part in maps.items()}
        return heat(image, combined(cells, self.limits)) if cells else image
