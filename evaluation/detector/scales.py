"""Raw values of a stream to ω1, ω2, ω3, ω_agg and a heat map, on a scale of normal frames.

Both scales are set on normal training videos, and know nothing of the stream's future beyond
the delay that they state.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from evaluation.indicators.flow import Flow
from evaluation.indicators.registry import by_name, ordered
from evaluation.measures.auc_table import heldout_fused
from evaluation.measures.fusion import Eta, equal, fuse
from evaluation.measures.heat import combined
from evaluation.protocols import base as protocols
from evaluation.protocols.local import local
from evaluation.protocols.local.scores import read_levels
from evaluation.protocols.local.stream import LocalStream
from evaluation.protocols.registry import kind_of
from evaluation.record.run import Run, read_metrics
from evaluation.record.scores import RunScores, open_scores
from evaluation.scoring.live import Raw
from pipeline.base.errors import ConfigurationError

LOCAL_PROTOCOL = protocols.Protocol(name="local", normalise="heldout")


@dataclass(frozen=True)
class Scaled:
    """One frame on a scale: its indicators, and a heat map or None."""

    omegas: dict[str, float]
    heat: np.ndarray | None


class Scale(Protocol):
    """How a stream is judged."""

    eta: Eta
    """Indicator to weight."""

    indicators: tuple[str, ...]
    """What is fused."""

    computed: tuple[str, ...]
    """What is computed: that, and what the scale itself needs."""

    cells: int
    """Side of the error maps that are needed, 0 for none."""

    delay: int
    """Frames after a frame whose maps are needed as well."""

    unit: str
    """What a score means, for people."""

    def normal(self) -> list[np.ndarray]:
        """Return ω_agg of each held-out normal video."""

    def start(self) -> None:
        """Forget the stream, for the next one."""

    def push(self, raw: Raw) -> list[Scaled]:
        """Take the next frame; return those that are now known."""

    def finish(self) -> list[Scaled]:
        """Say that no frame comes any more; return those that are left."""


class DenseScale:
    """``dense`` on held-out normal videos: 1 is the most unusual of their frames.

    Parameters
    ----------
    run
        Scored and fused.
    maps
        Side of the heat maps; 0 for none.
    """

    delay = 0
    unit = "1 is the most unusual frame of the held-out normal videos"

    _kind = kind_of("dense")

    def __init__(self, run: Run, indicators: Sequence[str] | None, scene: str, maps: int) -> None:
        if indicators is not None or scene:
            raise ConfigurationError(
                "indicators and scene: are of the protocol local; dense fuses all that were "
                "trained, by the η that was chosen on held-out videos"
            )
        calibration = read_metrics(run.out)["detector"]
        if calibration is None:
            raise ConfigurationError(
                f"{run.folder}: has no held-out normal videos, or no indicator with a value a "
                "frame, so there is no scale to score a stream on; run the pipeline with "
                "--source.holdout above 0, train and score again, or take --protocol local"
            )
        self._scores = open_scores(run.out / "scores")
        self._calibration: dict[str, Any] = calibration
        self._limits = {name: tuple(pair) for name, pair in calibration["limits"].items()}
        self._map_limits: dict[str, float] = calibration["map_limits"]
        self.eta: Eta = calibration["eta"]
        self.indicators = self.computed = tuple(one.NAME for one in ordered(self.eta))
        self.cells = maps if self._map_limits else 0

    def normal(self) -> list[np.ndarray]:
        """Return ω_agg of each held-out normal video, (N,) float64."""
        return heldout_fused(self._scores, self._calibration)

    def start(self) -> None:
        """Nothing is kept from frame to frame."""

    def push(self, raw: Raw) -> list[Scaled]:
        """Scale a frame."""
        omegas = {name: self._omega(name, value) for name, value in raw.values.items()}
        maps = {name: one for name, one in raw.maps.items() if name in self._map_limits}
        return [Scaled(omegas, combined(maps, self._map_limits) if maps else None)]

    def finish(self) -> list[Scaled]:
        """Nothing is left."""
        return []

    def _omega(self, name: str, value: float) -> float:
        if not self._kind.scaled(name):
            return value
        return float(self._kind.scale(np.array(value), self._limits[name]))


class LocalScale:
    """``local``: -log10 of the share of normal frames that are as unusual at one place.

    Parameters
    ----------
    run
        Scored, with flow and error maps.
    indicators
        What is fused, with equal weights; by default those that say so, the flow and, where it was
        trained, A^t (docs/local.md).
    scene
        Whose level counts; "" for that of all scenes.
    maps
        0 if no heat maps are wanted.

    Raises
    ------
    ConfigurationError
        If an indicator was not trained, or the run has not what ``local`` needs.
    """

    delay = local.REACH
    unit = (
        "2 is reached by one normal frame in a hundred, 3 by one in a thousand, and what is beyond "
        "all of them is extrapolated"
    )

    def __init__(self, run: Run, indicators: Sequence[str] | None, scene: str, maps: int) -> None:
        self._scores = open_scores(run.out / "scores")
        self._levels = read_levels(self._scores)
        self._scene, self._maps = scene, bool(maps)
        if scene and scene not in self._levels.scenes:
            known = ", ".join(sorted(self._levels.scenes)) or "none has a name"
            raise ConfigurationError(f"scene: {scene!r} has no normal videos; scenes: {known}")
        self._limits = limits_of(self._scores)
        there = tuple(one.NAME for one in ordered(self._limits))
        if indicators is None:
            indicators = tuple(name for name in there if by_name(name).CHOSEN)
        for name in indicators:
            if name not in there:
                raise ConfigurationError(
                    f"indicators: {name!r} is not there; of {run.folder} there are "
                    f"{', '.join(there)}"
                )
        if not indicators:
            raise ConfigurationError("indicators: none is named")
        self.indicators = tuple(one.NAME for one in ordered(indicators))
        self.computed = tuple(one.NAME for one in ordered([Flow.NAME, *indicators]))
        self.eta: Eta = equal(self.indicators).eta
        self.cells = int(self._scores.provenance["scoring"]["maps"])
        self.start()

    def normal(self) -> list[np.ndarray]:
        """Return ω_agg of each held-out normal video, (N,) float64."""
        held = self._scores.select(holdout=True)
        return [fuse(one, self.eta) for one in protocols.omegas(held, LOCAL_PROTOCOL, self._limits)]

    def start(self) -> None:
        """Forget the stream, for the next one."""
        self._stream = LocalStream(self._levels, self._scene)
        self._waiting: deque[Mapping[str, float]] = deque()

    def push(self, raw: Raw) -> list[Scaled]:
        """Take the next frame; return the one 8 before it."""
        self._waiting.append(raw.values)
        return [self._scaled(found) for found in self._stream.push(raw.maps)]

    def finish(self) -> list[Scaled]:
        """Say that no frame comes any more; return those that are left."""
        return [self._scaled(found) for found in self._stream.finish()]

    def _scaled(self, found: Any) -> Scaled:
        values = self._waiting.popleft()
        raw = {
            name: found.values[name] if name in found.values else np.array([values[name]])
            for name in self.indicators
        }
        omegas = {
            name: float(LOCAL_PROTOCOL.kind.scale(one[None], self._limits[name])[0])
            for name, one in raw.items()
        }
        shown = [found.maps[name] / 2 for name in self.indicators if name in found.maps]
        return Scaled(omegas, np.max(shown, axis=0) if self._maps and shown else None)


def limits_of(scores: RunScores) -> dict[str, Any]:
    """Return the scale of the protocol local on a run's normal frames."""
    limits = protocols.run_limits(scores, LOCAL_PROTOCOL)
    assert limits is not None
    return limits


SCALES: dict[str, Callable[[Run, Sequence[str] | None, str, int], Scale]] = {
    "local": LocalScale,
    "dense": DenseScale,
}
"""By protocol, how a stream is judged: the run, indicators, scene, and the maps' side."""
