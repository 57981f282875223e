"""What a protocol is: an object that says which frames count, on what scale, and in which rows.

Adding one is a file with a subclass of :class:`Kind` and a line in
:mod:`evaluation.protocols.registry`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from evaluation.indicators.base import whole_omega
from evaluation.indicators.registry import FUSIONS, INDICATORS, by_name, ordered
from evaluation.record.run import Run
from evaluation.record.scores import RunScores, VideoScores
from pipeline.base.errors import ConfigurationError, DataError

NORMALISE = ("video", "dataset", "heldout", "none")
"""What raw values can be scaled by (:mod:`evaluation.protocols.base`)."""


class Kind(ABC):
    """One protocol; as it is here it judges a frame by the indicators' values."""

    NAME: ClassVar[str]
    """In settings and tables."""

    SCALES: ClassVar[tuple[str, ...]] = NORMALISE
    """The scales that it has."""

    EQUAL: ClassVar[bool] = False
    """Whether its indicators have one scale, so that η is equal without a choice."""

    WHOLE: ClassVar[bool] = True
    """Whether every frame has a score."""

    @abstractmethod
    def scored(self, frames: int) -> slice:
        """Return the frames of a video of so many frames that are scored."""

    def prepare(  # noqa: B027 - most need nothing
        self, run: Run, progress: Callable[[str], object]
    ) -> None:
        """Compute and save beside a run's scores what else it needs; most need nothing."""

    def available(self, one: VideoScores) -> tuple[str, ...]:
        """Return the indicators that it has for a video, in the registry's order."""
        return tuple(indicator.NAME for indicator in ordered(one.named))

    def check(self, one: VideoScores) -> None:  # noqa: B027 - most need nothing
        """Raise ConfigurationError if a video's scores lack what it needs; most need nothing."""

    def imagined(self, one: VideoScores, suffix: str) -> bool:
        """Whether a held-out video was also scored with something put into it."""
        return one.has(suffix)

    def normal(self, scores: RunScores) -> list[VideoScores]:
        """Return what counts beside held-out videos when the scale is set."""
        return []

    def scaled(self, name: str) -> bool:
        """Whether an indicator's values need a scale."""
        return by_name(name).SCALED

    def raw(self, one: VideoScores, name: str, suffix: str = "") -> np.ndarray:
        """Return an indicator before scaling, higher = more anomalous, of every frame (N, ...)."""
        values = saved(one, name + suffix)
        return whole_omega(by_name(name), values, one.measures.get(name, "frame"))

    def limits(self, values: Sequence[np.ndarray]) -> Any:
        """Return the scale on which these raw values are normal: what becomes 0, and what 1."""
        return float(min(part.min() for part in values)), float(max(part.max() for part in values))

    def scale(self, values: np.ndarray, limits: Any) -> np.ndarray:
        """Map the limits to 0 and 1; where both are equal, all values become 0."""
        low, high = limits
        return (values - low) / (high - low) if high > low else np.zeros_like(values)

    def rows(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Return the rows of the AUC table and the indicators that each fuses."""
        alone = [(f"{one.SYMBOL} alone", (one.NAME,)) for one in INDICATORS if one.VALUE]
        return (*alone, *FUSIONS)


def saved(one: VideoScores, key: str, remedy: str = "") -> np.ndarray:
    """Return saved scores as float64.

    Raises
    ------
    ConfigurationError
        If there are none.
    DataError
        If one is not finite.
    """
    if key not in one.values:
        raise ConfigurationError(
            f"scores of {one.video.name} have no {key}; train that network and score again{remedy}"
        )
    values = np.asarray(one.values[key], np.float64)
    if not np.isfinite(values).all():
        frame = int(np.argwhere(~np.isfinite(values))[0][0])
        raise DataError(
            f"scores of {one.video.name}: {key} of frame {frame} is {values[frame]}: the "
            "network diverged; train it again with a smaller learning rate"
        )
    return values
