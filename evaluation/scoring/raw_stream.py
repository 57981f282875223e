"""Images in, raw values and maps out, frame by frame: what a stream is judged by."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.protocols.local import local
from evaluation.scoring.networks import probabilities
from evaluation.scoring.stream import DELAY, ErrorStream, MeanStream
from pipeline.base.errors import ConfigurationError
from pipeline.stages.live import Live

if TYPE_CHECKING:
    from evaluation.scoring.networks import Trained


@dataclass(frozen=True)
class Raw:
    """What is known of one frame, before any scale.

    Attributes
    ----------
    values
        ``spatial``, ``temporal`` (squared errors) and ``discriminator`` (the mean probability of
        its window).
    maps
        ``spatial``, ``temporal`` (h, h) float16 errors, ``flow`` (64, 64, 2) float32 in cells.
    """

    values: dict[str, float]
    maps: dict[str, np.ndarray]


class RawStream:
    """Computes the indicators of a stream of images.

    Parameters
    ----------
    live
        Resizes, and computes flow and features.
    networks
        By indicator; only these are computed.
    flow
        Whether the flow itself is wanted.
    precision
        ``fp32`` or ``bf16``.
    maps
        Side in cells of the error maps; 0 for none.
    """

    def __init__(
        self,
        live: Live,
        networks: Mapping[str, Trained],
        *,
        flow: bool = False,
        precision: str = "fp32",
        maps: int = 0,
    ) -> None:
        self._live, self._networks, self._flow = live, networks, flow
        self._streams: dict[str, Any] = {
            name: _stream(name, trained, precision, maps) for name, trained in networks.items()
        }
        self._values: dict[str, deque[float]] = {name: deque() for name in networks}
        mapped = [name for name in networks if maps and name != "discriminator"]
        self._maps: dict[str, deque[np.ndarray]] = {
            name: deque() for name in [*(["flow"] if flow else []), *mapped]
        }
        self._last_image: np.ndarray | None = None
        self._last_flow: np.ndarray | None = None

    @property
    def delay(self) -> int:
        """Frames after which a frame is known: those of its window, and one for flow."""
        window = DELAY + ("temporal" in self._networks) if self._networks else 0
        return max(window, int(self._flow))

    def push(self, images: list[np.ndarray]) -> list[Raw]:
        """Take the next images (H, W, 3) uint8 RGB; return the frames that are now known."""
        small = self._live.frames(images)
        if "spatial" in self._networks:
            self._add("spatial", self._streams["spatial"].push(self._shown("spatial", small)))
        if "discriminator" in self._networks:
            features = self._live.features(small)
            values = probabilities(features, self._networks["discriminator"].network)
            self._values["discriminator"].extend(self._streams["discriminator"].push(values))
        if self._flow or "temporal" in self._networks:
            joined = small
            if self._last_image is not None:
                joined = np.concatenate([self._last_image[None], small])
            if len(joined) > 1:
                self._moved(self._live.flow(joined).astype(np.float32))
        self._last_image = small[-1]
        return self._ready()

    def finish(self) -> list[Raw]:
        """Say that the stream has ended; the windows of what is left repeat its last frame."""
        if self._last_image is None:
            return []
        if self._flow or "temporal" in self._networks:
            if self._last_flow is None:
                raise ConfigurationError("a stream of one frame has no flow; at least 2 are needed")
            self._moved(self._last_flow)
        for name in self._networks:
            if name == "discriminator":
                self._values[name].extend(self._streams[name].finish())
            else:
                self._add(name, self._streams[name].finish())
        return self._ready()

    def _moved(self, flow: np.ndarray) -> None:
        """Take flow (n, S, S, 2) float32."""
        self._last_flow = flow[-1:]
        if self._flow:
            self._maps["flow"].extend(local.cells(flow, local.CELLS))
        if "temporal" in self._networks:
            self._add("temporal", self._streams["temporal"].push(self._shown("temporal", flow)))

    def _shown(self, name: str, stored: np.ndarray) -> Any:
        """Turn frames or flow into what a network sees, (n, 3, H, W)."""
        import torch

        from training.feed.reading import area_resize, to_network

        trained = self._networks[name]
        small = np.ascontiguousarray(area_resize(stored, trained.settings["size"]))
        display = trained.settings["display"]
        clips = to_network(torch.from_numpy(small)[None], trained.flow_scale, display)
        return clips[0].movedim(1, 0)

    def _add(self, name: str, found: tuple[np.ndarray, np.ndarray | None]) -> None:
        errors, maps = found
        self._values[name].extend(float(error) for error in errors)
        if maps is not None and name in self._maps:
            self._maps[name].extend(maps)

    def _ready(self) -> list[Raw]:
        """Return the frames of which everything is known."""
        queues: list[deque[Any]] = [*self._values.values(), *self._maps.values()]
        return [
            Raw(
                {name: values.popleft() for name, values in self._values.items()},
                {name: maps.popleft() for name, maps in self._maps.items()},
            )
            for _ in range(min(len(queue) for queue in queues))
        ]


def _stream(name: str, trained: Trained, precision: str, maps: int) -> Any:
    if name == "discriminator":
        return MeanStream()
    return ErrorStream(trained.network, trained.measure, precision, maps)
