"""Images in, raw values and maps out, frame by frame: what a stream is judged by."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.indicators.base import Part, Stream
from evaluation.indicators.registry import by_name
from pipeline.base.errors import ConfigurationError
from pipeline.stages.live import Live


@dataclass(frozen=True)
class Raw:
    """What is known of one frame, before any scale.

    Attributes
    ----------
    values
        Indicator to its unscaled ω.
    maps
        Indicator to its map, (h, w) or (h, w, C).
    """

    values: dict[str, float]
    maps: dict[str, np.ndarray]


class RawStream:
    """Computes the indicators of a stream of images.

    Parameters
    ----------
    live
        Resizes, and computes flow, features and patches.
    streams
        By indicator, how to begin its stream; only these are computed.
    measures
        Indicator to how its network judges; ``frame`` where it is not named.
    """

    def __init__(
        self,
        live: Live,
        streams: Mapping[str, Callable[[], Stream]],
        measures: Mapping[str, str],
    ) -> None:
        self._live = live
        self._lanes = [
            _Lane(name, begin(), measures.get(name, "frame")) for name, begin in streams.items()
        ]
        self._needed = {stage for lane in self._lanes for stage in lane.indicator.READS}
        self._last_image: np.ndarray | None = None
        self._last_flow: np.ndarray | None = None
        self._pushed = 0

    @property
    def delay(self) -> int:
        """Frames after which a frame is known: those of its window, and one for flow."""
        return max(lane.delay for lane in self._lanes)

    def push(self, images: list[np.ndarray]) -> list[Raw]:
        """Take the next images (H, W, 3) uint8 RGB; return the frames that are now known."""
        small = self._live.frames(images)
        new = {"frames": small}
        if "features" in self._needed:
            new["features"] = self._live.features(small)
        if "patches" in self._needed:
            new["patches"] = self._live.patches(small, self._pushed)
        self._pushed += len(small)
        if "flow" in self._needed:
            before = [] if self._last_image is None else [self._last_image[None]]
            pair = np.concatenate([*before, small])
            if len(pair) > 1:
                new["flow"] = self._live.flow(pair).astype(np.float32)
                self._last_flow = new["flow"][-1:]
        self._last_image = small[-1]
        return self._add(new)

    def finish(self) -> list[Raw]:
        """Say that the stream has ended; the windows of what is left repeat its last frame."""
        if self._last_image is None:
            return []
        new = {}
        if "flow" in self._needed:
            if self._last_flow is None:
                raise ConfigurationError("a stream of one frame has no flow; at least 2 are needed")
            new["flow"] = self._last_flow
        known = self._add(new)
        for lane in self._lanes:
            lane.finish()
        return known + self._known()

    def _add(self, new: Mapping[str, np.ndarray]) -> list[Raw]:
        for lane in self._lanes:
            lane.push(new)
        return self._known()

    def _known(self) -> list[Raw]:
        """Return the frames of which everything is known."""
        count = min(lane.known for lane in self._lanes)
        taken = [[lane.take() for lane in self._lanes] for _ in range(count)]
        return [
            Raw(
                {n: value for n, value, _ in frame if value is not None},
                {n: one for n, _, one in frame if one is not None},
            )
            for frame in taken
        ]


class _Lane:
    """One indicator of a stream: what waits for its other stages, and what waits to be taken."""

    def __init__(self, name: str, stream: Stream, measure: str) -> None:
        self.indicator = by_name(name)
        self._stream, self._omega = stream, self.indicator.omega(measure)
        self._waiting: dict[str, list[np.ndarray]] = {stage: [] for stage in self.indicator.READS}
        self._queues: dict[str, deque[Any]] = {}
        if self.indicator.VALUE:
            self._queues["value"] = deque()

    @property
    def delay(self) -> int:
        """Frames after a frame that must have come before it is known."""
        own = self.indicator.DELAY + (self._omega.delay if self.indicator.VALUE else 0)
        return own + ("flow" in self.indicator.READS)

    @property
    def known(self) -> int:
        """How many frames can be taken."""
        return min((len(queue) for queue in self._queues.values()), default=0)

    def push(self, new: Mapping[str, np.ndarray]) -> None:
        """Take new stages of frames; those of a frame need not come together."""
        for stage, waiting in self._waiting.items():
            waiting.extend(new.get(stage, ()))
        count = min(len(waiting) for waiting in self._waiting.values())
        if count:
            stored = [np.stack(waiting[:count]) for waiting in self._waiting.values()]
            for waiting in self._waiting.values():
                del waiting[:count]
            self._keep(self._stream.push(*stored))

    def finish(self) -> None:
        """Take what is left of the stream."""
        self._keep(self._stream.finish())
        if self.indicator.VALUE:
            self._queues["value"].extend(self._omega.finish())

    def take(self) -> tuple[str, float | None, np.ndarray | None]:
        """Return the next frame's value and map."""
        values, maps = self._queues.get("value"), self._queues.get("map")
        value = None if values is None else float(values.popleft())
        return self.indicator.NAME, value, None if maps is None else maps.popleft()

    def _keep(self, part: Part) -> None:
        if part.values is not None:
            self._queues["value"].extend(self._omega.push(part.values))
        if part.maps is not None:
            self._queues.setdefault("map", deque()).extend(part.maps)
