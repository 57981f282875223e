"""Score every frame by its window, fast: the numbers of :mod:`evaluation.scoring.windows`.

One mechanism for all protocols: windows of 16 begin at every ``stride``-th frame, and a frame
is judged in the window in which it sits nearest to the 9th place. At the video's ends the
first and the last frame are repeated, so that every frame has such a window; ``lntra`` leaves
those frames out afterwards. With ``stride=1`` each frame is the 9th of its own window, which
:class:`evaluation.scoring.shared_windows.SharedWindows` computes at a quarter of the cost; with
``stride=16`` all 16 frames of disjoint windows are judged, the cheapest look at a video.

Each frame is read once and memory does not depend on the video's length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np

from evaluation.protocols.base import POSITION, WINDOW
from evaluation.scoring.windows import pixel_errors, window_errors
from pipeline.base.errors import ConfigurationError

if TYPE_CHECKING:
    from torch import Tensor, nn

Scores = tuple[np.ndarray, np.ndarray | None]
Measure = Literal["frame", "clip"]


def score_video(
    network: nn.Module,
    read: Callable[[int, int], np.ndarray],
    frames: int,
    *,
    flow_scale: float | None = None,
    display: str = "uvm",
    stride: int = 1,
    measure: Measure = "frame",
    batch: int = 8,
    precision: str = "fp32",
    maps: int = 0,
) -> Scores:
    """Score every frame of a video.

    Parameters
    ----------
    network
        An autoencoder in evaluation mode.
    read
        From (first, last + 1) to frames (n, S, S, 3) uint8 or flow (n, S, S, 2) float32.
    frames
        Of the video, at least 1.
    flow_scale, display
        How flow is shown (:func:`training.feed.flow_display.show_flow`).
    stride
        Frames from one window to the next, 1 ... 16.
    measure
        ``frame``: squared error of the frame itself, mean over channels and pixels.
        ``clip``: MemAE's, the length of the residual's colour vector, mean over all pixels
        and frames of the window; needs ``stride=1``.
    batch
        Frames (``stride=1``) or windows that the network sees at once.
    precision
        ``fp32`` or ``bf16``.
    maps
        Side in cells of the error maps; 0 for none.

    Returns
    -------
    errors : ndarray
        (frames,) float64.
    maps : ndarray or None
        (frames, maps, maps) float16: squared error, mean over channels and a cell's pixels.

    Raises
    ------
    ConfigurationError
        If a setting is out of its range.
    """
    import torch

    from training.feed.reading import to_network

    def shown(first: int, end: int) -> Tensor:
        stored = torch.from_numpy(np.ascontiguousarray(read(first, end)))
        return to_network(stored[None], flow_scale, display)[0].movedim(1, 0)

    parts = list(
        iterate_scores(
            network,
            shown,
            frames,
            stride=stride,
            measure=measure,
            batch=batch,
            precision=precision,
            maps=maps,
        )
    )
    errors = np.concatenate([part[0] for part in parts])
    return errors, np.concatenate([part[1] for part in parts]) if maps else None


def iterate_scores(
    network: nn.Module,
    read: Callable[[int, int], Tensor],
    frames: int,
    *,
    stride: int = 1,
    measure: Measure = "frame",
    batch: int = 8,
    precision: str = "fp32",
    maps: int = 0,
) -> Iterator[Scores]:
    """Yield the scores of a video's frames in order, some at a time.

    As :func:`score_video`, but ``read`` returns what the network sees, (n, 3, H, W) float32
    in [-1, 1].
    """
    from training.networks.allocator import keep_freed_memory
    from training.record.precision import warn_if_emulated

    check_request(frames, stride, measure, batch, precision)
    warn_if_emulated(precision, next(network.parameters()).device.type)
    keep_freed_memory()
    if stride == 1 and measure == "frame":
        yield from _shared(network, read, frames, batch, precision, maps)
        return
    first = POSITION - stride // 2
    position = slice(first, first + stride)
    for start, clips in _windows(read, frames, stride, first, batch):
        if measure == "clip":
            errors, cells = clip_errors(network, clips, precision, maps)
        else:
            errors, cells = window_errors(network, clips, precision, maps, position)
        wanted = min(len(errors), frames - start)
        yield errors[:wanted], None if cells is None else cells[:wanted]


def check_request(frames: int, stride: int, measure: str, batch: int, precision: str) -> None:
    """Raise ConfigurationError for settings out of their range."""
    for name, value, valid, expected in (
        ("frames", frames, frames >= 1, "at least 1"),
        ("stride", stride, 1 <= stride <= WINDOW, f"1 ... {WINDOW}"),
        ("measure", measure, measure in ("frame", "clip"), "frame or clip"),
        ("measure", measure, measure == "frame" or stride == 1, "frame when stride is above 1"),
        ("batch", batch, batch >= 1, "at least 1"),
        ("precision", precision, precision in ("fp32", "bf16"), "fp32 or bf16"),
    ):
        if not valid:
            raise ConfigurationError(f"{name}: {value!r}: must be {expected}")


def clip_errors(network: nn.Module, clips: Tensor, precision: str, maps: int) -> Scores:
    """MemAE's score of windows (B, 3, 16, H, W), and error maps of their 9th frames."""
    import torch

    clips = clips.to(next(network.parameters()).device)
    with (
        torch.inference_mode(),
        torch.autocast(clips.device.type, torch.bfloat16, enabled=precision == "bf16"),
    ):
        output = network(clips).float()
        lengths = torch.linalg.vector_norm(output - clips, dim=1)
        _, cells = pixel_errors(output[:, :, POSITION], clips[:, :, POSITION], maps)
        return lengths.double().mean((1, 2, 3)).cpu().numpy(), cells


def _shared(
    network: nn.Module,
    read: Callable[[int, int], Tensor],
    frames: int,
    batch: int,
    precision: str,
    maps: int,
) -> Iterator[Scores]:
    """Every frame as the 9th of its own window, windows computed together."""
    import torch

    from evaluation.scoring.shared_windows import SharedWindows

    windows = SharedWindows(network, torch.bfloat16 if precision == "bf16" else torch.float32)
    held: Tensor | None = None
    # Behind the last window's 7 repeated frames comes the one that completes it.
    for part in _padded(read, frames, POSITION, WINDOW - POSITION, batch):
        held = part if held is None else torch.cat([held, part])
        output = windows.push(part)
        if len(output):
            # The window of the stream's frame t is complete when frame t + 8 was pushed.
            target = held[-len(output) - POSITION : -POSITION].to(output.device)
            with torch.inference_mode():
                yield pixel_errors(output, target, maps)
        held = held[-POSITION:]


def _windows(
    read: Callable[[int, int], Tensor], frames: int, stride: int, before: int, batch: int
) -> Iterator[tuple[int, Tensor]]:
    """Yield the first judged frame and (b, 3, 16, H, W) of some windows at a time."""
    import torch

    count = -(-frames // stride)
    after = (count - 1) * stride + WINDOW - before - frames
    stream = _padded(read, frames, before, max(after, 0), batch * stride)
    held = next(stream)
    for start in range(0, count, batch):
        number = min(batch, count - start)
        length = (number - 1) * stride + WINDOW
        while len(held) < length:
            held = torch.cat([held, next(stream)])
        windows = held.unfold(0, WINDOW, stride)[:number].movedim(-1, 2)
        yield start * stride, windows.contiguous()
        held = held[number * stride :]


def _padded(
    read: Callable[[int, int], Tensor], frames: int, before: int, after: int, batch: int
) -> Iterator[Tensor]:
    """A video some frames at a time, its first and last frame repeated, each read once."""
    import torch

    for start in range(0, frames, batch):
        end = min(start + batch, frames)
        part = read(start, end)
        if start == 0 and before:
            part = torch.cat([part[:1].expand(before, -1, -1, -1), part])
        if end == frames and after:
            part = torch.cat([part, part[-1:].expand(after, -1, -1, -1)])
        # Not more at once than asked for.
        yield from part.split(batch)
