"""What A^s and A^t share: an autoencoder's error of each frame, as a stream.

Windows of 16 begin at every ``stride``-th frame, and a frame is judged in the window in which it
sits nearest to the 9th place. At the stream's ends the first and the last frame are repeated, so
that every frame has such a window; ``lntra`` leaves those frames out afterwards. With a stride of
1 each frame is the 9th of its own window, which
:class:`evaluation.indicators.shared_windows.SharedWindows` computes at a quarter of the cost;
with 16 all 16 frames of disjoint windows are judged, the cheapest look at a video.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.indicators.base import Indicator, Part, Stream, joined
from evaluation.indicators.errors import clip_errors, pixel_errors, window_errors
from evaluation.indicators.networks import load_network, weights_of
from evaluation.indicators.settings import Scoring
from evaluation.indicators.window import POSITION, WINDOW
from evaluation.record.run import Run
from pipeline.base.errors import ConfigurationError

if TYPE_CHECKING:
    from torch import Tensor, nn

Show = Callable[[np.ndarray], "Tensor"]
"""From stored frames or flow (n, S, S, C) to what a network sees, (n, C, H, W) in [-1, 1]."""


class Reconstruction(Indicator):
    """An autoencoder that was trained on normal videos: what it cannot rebuild is unusual."""

    NETWORK = True
    MAP = 1
    DELAY = WINDOW - POSITION

    def fingerprint(self, run: Run) -> str:
        """Return the digest of the autoencoder's weights."""
        return weights_of(run, self.NAME)

    def measure(self, architecture: dict[str, Any]) -> str:
        """Return ``clip`` for a network with a memory, which MemAE judges by its whole clip."""
        return "clip" if architecture.get("memory", {}).get("slots") else "frame"

    def flow_scale(self, run: Run, recipe: dict[str, Any]) -> float | None:
        """Return the speed that is shown as full scale; None for frames."""
        return None

    def load(
        self, run: Run, settings: Scoring, weights: Path | None = None
    ) -> Callable[[], Stream]:
        """Load the autoencoder, perhaps with the weights of another epoch."""
        from training.networks.allocator import keep_freed_memory
        from training.record.precision import warn_if_emulated

        network, recipe = load_network(run, self.NAME, settings)
        if weights is not None:
            from training.networks.autoencoder import load_weights
            from training.record.folder import read_tensors

            load_weights(network, read_tensors(weights), str(weights))  # type: ignore[arg-type]
        warn_if_emulated(settings.precision, next(network.parameters()).device.type)
        keep_freed_memory()
        trained = recipe["settings"]
        channels = recipe["architecture"].get("channels_in", 3)
        show = shower(trained["size"], self.flow_scale(run, recipe), trained["display"], channels)
        measure = self.measure(recipe["architecture"])
        return lambda: error_stream(network, settings, measure, show)


def shower(
    size: int | None = None,
    flow_scale: float | None = None,
    display: str = "uvm",
    channels: int = 3,
) -> Show:
    """Return how stored frames or flow are shown to a network.

    Parameters
    ----------
    size
        The network's side in pixels; None for the shards' own.
    flow_scale, display
        For flow, as in :func:`training.feed.flow_display.show_flow`.
    channels
        3, or 1 for a network of gray frames.
    """

    def show(stored: np.ndarray) -> Tensor:
        import torch

        from training.feed.reading import area_resize, to_network

        small = torch.from_numpy(np.ascontiguousarray(area_resize(stored, size)))
        return to_network(small[None], flow_scale, display, channels)[0].movedim(1, 0)

    return show


def error_stream(
    network: nn.Module, settings: Scoring, measure: str = "frame", show: Show | None = None
) -> Stream:
    """Begin a stream of errors.

    Parameters
    ----------
    network
        An autoencoder in evaluation mode.
    measure
        ``frame``: squared error of the frame itself, mean over channels and pixels.
        ``clip``: MemAE's, the length of the residual's colour vector, mean over all pixels
        and frames of the window; needs a stride of 1.
    show
        From what is pushed to what the network sees; by default :func:`shower`'s.

    Raises
    ------
    ConfigurationError
        If the measure is neither, or does not go with the stride.
    """
    show = show or shower()
    if measure not in ("frame", "clip"):
        raise ConfigurationError(f"measure: {measure!r}: must be frame or clip")
    if measure == "clip" and settings.stride > 1:
        raise ConfigurationError(
            f"scoring.stride: {settings.stride}: a network with a memory is judged by whole "
            "windows, one a frame; set it to 1"
        )
    if settings.stride == 1 and measure == "frame":
        return SharedErrors(network, settings, show)
    return WindowErrors(network, settings, measure, show)


class SharedErrors(Stream):
    """Every frame as the 9th of its own window, windows computed together.

    Parameters are those of :func:`error_stream`.
    """

    def __init__(self, network: nn.Module, settings: Scoring, show: Show) -> None:
        import torch

        from evaluation.indicators.shared_windows import SharedWindows

        dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
        self._windows = SharedWindows(network, dtype)
        self._show, self._maps, self.chunk = show, settings.maps, settings.batch
        self._held: Tensor | None = None

    def push(self, *stored: np.ndarray) -> Part:
        """Take the next frames."""
        import torch

        frames = self._show(stored[0])
        if self._held is None:
            frames = torch.cat([frames[:1].expand(POSITION, -1, -1, -1), frames])
        return self._advance(frames)

    def finish(self) -> Part:
        """Judge the frames that are left: behind the last comes it itself, 8 times."""
        if self._held is None:
            return Part()
        return self._advance(self._held[-1:].expand(WINDOW - POSITION, -1, -1, -1))

    def _advance(self, frames: Tensor) -> Part:
        return joined([self._step(part) for part in frames.split(self.chunk)])

    def _step(self, frames: Tensor) -> Part:
        import torch

        held = frames if self._held is None else torch.cat([self._held, frames])
        self._held = held[-POSITION:]
        output = self._windows.push(frames)
        if not len(output):
            return Part()
        # The window of the stream's frame t is complete when frame t + 8 was pushed.
        target = held[-len(output) - POSITION : -POSITION].to(output.device)
        with torch.inference_mode():
            return Part(*pixel_errors(output, target, self._maps))


class WindowErrors(Stream):
    """Whole windows, one at every ``stride``-th frame.

    Parameters are those of :func:`error_stream`.
    """

    def __init__(self, network: nn.Module, settings: Scoring, measure: str, show: Show) -> None:
        self._network, self._settings, self._measure = network, settings, measure
        self._show, self._stride = show, settings.stride
        self.chunk = settings.batch * settings.stride
        self._first = POSITION - self._stride // 2
        self._held: Tensor | None = None
        self._waiting = 0  # frames that were pushed and not judged

    def push(self, *stored: np.ndarray) -> Part:
        """Take the next frames."""
        import torch

        frames = self._show(stored[0])
        self._waiting += len(frames)
        if self._held is None:
            self._held = frames[:1].expand(self._first, -1, -1, -1)
        self._held = torch.cat([self._held, frames])
        return self._judge(max((len(self._held) - WINDOW) // self._stride + 1, 0))

    def finish(self) -> Part:
        """Judge the frames that are left, in windows that repeat the last one."""
        import torch

        if self._held is None or not self._waiting:
            return Part()
        windows = -(-self._waiting // self._stride)
        missing = max((windows - 1) * self._stride + WINDOW - len(self._held), 0)
        self._held = torch.cat([self._held, self._held[-1:].expand(missing, -1, -1, -1)])
        return self._judge(windows)

    def _judge(self, windows: int) -> Part:
        parts = []
        while windows:
            number = min(windows, self._settings.batch)
            part = self._errors(number)
            kept = slice(min(number * self._stride, self._waiting))  # the rest is repeated frames
            assert part.values is not None
            parts.append(Part(part.values[kept], None if part.maps is None else part.maps[kept]))
            self._waiting -= len(part.values[kept])
            windows -= number
        return joined(parts)

    def _errors(self, number: int) -> Part:
        """Judge the first windows of what is held, and forget what no other window needs."""
        assert self._held is not None
        clips = self._held.unfold(0, WINDOW, self._stride)[:number].movedim(-1, 2).contiguous()
        self._held = self._held[number * self._stride :]
        options = {"precision": self._settings.precision, "maps": self._settings.maps}
        if self._measure == "clip":
            return Part(*clip_errors(self._network, clips, **options))  # type: ignore[arg-type]
        judged = slice(self._first, self._first + self._stride)
        return Part(*window_errors(self._network, clips, positions=judged, **options))  # type: ignore[arg-type]
