"""A^t: how badly the motion autoencoder reconstructs a frame's flow (docs/method.md, 8)."""

from __future__ import annotations

from typing import Any

from evaluation.indicators.reconstruction import Reconstruction
from evaluation.record.run import Run


class Temporal(Reconstruction):
    """ω2 is the mean squared error of the flow, shown as the training showed it."""

    NAME = "temporal"
    SYMBOL = "A^t"
    OMEGA = "ω2"
    COLOR = "#c8762c"
    READS = ("flow",)
    CHOSEN = True

    def flow_scale(self, run: Run, recipe: dict[str, Any]) -> float | None:
        """Return the speed in px a frame that the training showed as full scale."""
        scale: float | None = recipe["data"].get(
            "flow_scale", run.dataset.settings.get("flow_scale")
        )
        return scale
