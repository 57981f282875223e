"""Every frame, by its most unusual place (:mod:`evaluation.protocols.local.local`).

Its scale is the rate of false alarms on held-out normal frames and on stretches of the training
videos: 3 means one normal frame in a thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from evaluation.indicators.flow import Flow
from evaluation.indicators.registry import FUSIONS, INDICATORS, by_name, ordered
from evaluation.protocols.dense import Dense
from evaluation.protocols.kind import saved
from evaluation.protocols.local.local import Calibration
from evaluation.protocols.local.scores import add_local
from evaluation.record.run import Run
from evaluation.record.scores import RunScores, VideoScores
from pipeline.base.errors import ConfigurationError


class Local(Dense):
    """An indicator with maps is judged by them, another one by its value."""

    NAME = "local"
    SCALES = ("heldout",)
    EQUAL = True

    def prepare(self, run: Run, progress: Callable[[str], object]) -> None:
        """Compute and save the values of every scored video, and the levels of normal frames."""
        add_local(run, progress)

    def available(self, one: VideoScores) -> tuple[str, ...]:
        """Return the indicators that it has for a video, in the registry's order."""
        mapped = [name.removesuffix("_local") for name in one.values if name.endswith("_local")]
        valued = [name for name in super().available(one) if not by_name(name).MAP]
        return tuple(indicator.NAME for indicator in ordered([*mapped, *valued]))

    def check(self, one: VideoScores) -> None:
        """Raise ConfigurationError if a video has no values of this protocol."""
        if f"{Flow.NAME}_local" not in one.values:
            raise ConfigurationError(
                f"scores of {one.video.name} have no values of the protocol local; run "
                "`python -m evaluation score` again, with shards of flow"
            )

    def imagined(self, one: VideoScores, suffix: str) -> bool:
        """Whether a held-out video was also scored with something put into it."""
        mapped = [name for name in self.available(one) if by_name(name).MAP]
        return one.has(suffix) and all(f"{name}{suffix}_local" in one.values for name in mapped)

    def normal(self, scores: RunScores) -> list[VideoScores]:
        """Return the stretches of normal training videos."""
        return [scores.load(name) for name in scores.normal]

    def scaled(self, name: str) -> bool:
        """Every indicator is brought to the scale of false alarms."""
        return True

    def raw(self, one: VideoScores, name: str, suffix: str = "") -> np.ndarray:
        """Return how far each frame goes beyond what is normal, (N, windows)."""
        if not by_name(name).MAP:
            return super().raw(one, name, suffix)[:, None]
        remedy = " with scoring.maps above 0 and shards of flow"
        return saved(one, f"{name}{suffix}_local", remedy)

    def limits(self, values: Sequence[np.ndarray]) -> Calibration:
        """Return how rare values are among these normal ones."""
        return Calibration.of(np.concatenate(values))

    def scale(self, values: np.ndarray, limits: Calibration) -> np.ndarray:
        """Return -log10 of the share of normal frames that are as unusual, (n,)."""
        return limits(values)

    def rows(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Return also what each indicator adds to the flow, or takes away."""
        flow = by_name(Flow.NAME)
        others = [one for one in INDICATORS if one is not flow]
        alone = [(f"{one.SYMBOL} alone", (one.NAME,)) for one in (flow, *others)]
        added = [(f"{flow.SYMBOL} + {one.SYMBOL}", (flow.NAME, one.NAME)) for one in others]
        fused = [
            (f"{flow.SYMBOL} {label.removesuffix(' (ours)')}", (flow.NAME, *names))
            for label, names in FUSIONS
        ]
        return (*alone, *FUSIONS, *added, *fused)
