"""Frames and flow of shards as networks take them; training and evaluation read alike."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from pipeline.base.errors import ConfigurationError
from pipeline.shards.reader import Dataset
from training.feed.flow_display import show_flow

#: Flows that a scale is measured on, at most.
SAMPLED_FLOWS = 1000
#: How much faster than what is normal flow may be before it is cut off.
ROOM = 2.5
#: px/frame; below it a scene that stands still would be all noise.
LEAST_SCALE = 1.0


def read_frames(
    dataset: Dataset,
    video: str,
    start: int,
    stop: int,
    *,
    size: int | None = None,
    stage: str = "frames",
) -> np.ndarray:
    """Read consecutive frames of ``frames`` or ``inpaint``.

    Returns
    -------
    ndarray
        (stop - start, S, S, 3) uint8 RGB, S the shards' side or ``size``.
    """
    return area_resize(dataset.arrays(stage, video)["image"][start:stop], size)


def read_flow(
    dataset: Dataset,
    video: str,
    start: int,
    stop: int,
    *,
    size: int | None = None,
    stage: str = "flow",
) -> np.ndarray:
    """Read the flow of consecutive frames from ``flow`` or ``mixed_flow``.

    A video of N frames has N-1 flows; the last is repeated once, so that every frame has
    one (docs/method.md, 4; a choice).

    Returns
    -------
    ndarray
        (stop - start, S, S, 2) float32 in px/frame *of the shards*, whatever ``size``.
    """
    flows = dataset.arrays(stage, video)["flow"]
    flow = flows[start : min(stop, len(flows))].astype(np.float32)
    if stop == len(flows) + 1:
        flow = np.concatenate([flow, flows[len(flows) - 1 :].astype(np.float32)])
    return area_resize(flow, size)


def area_resize(frames: np.ndarray, size: int | None) -> np.ndarray:
    """Shrink (N, H, W, C) uint8 or float32 to (N, size, size, C) by area means.

    Raises
    ------
    ConfigurationError
        If ``size`` is larger than the frames are.
    """
    if size is None or frames.shape[1:3] == (size, size):
        return frames
    if size > min(frames.shape[1:3]):
        raise ConfigurationError(
            f"size: {size}: the shards hold frames of {frames.shape[2]}x{frames.shape[1]} px; "
            "choose a size no larger, or make larger shards (setting size of stage frames)"
        )
    import cv2

    out = np.empty((len(frames), size, size, frames.shape[3]), frames.dtype)
    for frame, small in zip(frames, out, strict=True):
        small[...] = cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)
    return out


def to_network(
    clips: Tensor, flow_scale: float | None = None, display: str = "uvm", channels: int = 3
) -> Tensor:
    """Turn stored clips into a network's input.

    Parameters
    ----------
    clips
        (B, T, H, W, 3) uint8 frames, or (B, T, H, W, 2) float flow in px/frame.
    flow_scale, display
        For flow, as in :func:`training.feed.flow_display.show_flow`.

    channels
        3, or 1 for frames in gray, by the weights of BT.601.

    Returns
    -------
    Tensor
        (B, channels, T, H, W) float32 in [-1, 1].
    """
    if clips.shape[-1] == 2:
        shown = show_flow(clips, flow_scale or 0, display)
    else:
        frames = clips.float()
        if channels == 1:
            red, green, blue = frames.split(1, dim=-1)
            frames = 0.299 * red + 0.587 * green + 0.114 * blue
        shown = frames / 127.5 - 1
    return shown.movedim(-1, 1)


def flow_scale(dataset: Dataset) -> float:
    """Return the speed in px/frame that shows as full scale: the manifest's, else measured.

    Raises
    ------
    ConfigurationError
        If the manifest's is no number above 0.
    """
    scale = dataset.settings.get("flow_scale")
    if scale is None:
        return measured_flow_scale(dataset)
    if not isinstance(scale, int | float) or not scale > 0:
        raise ConfigurationError(
            f"{dataset.path}: settings.flow_scale is {scale!r}; set the speed (px/frame) that "
            f"shows as full scale in the manifest of {dataset.name}, or leave it out to have it "
            "measured"
        )
    return float(scale)


def measured_flow_scale(dataset: Dataset) -> float:
    """Return a scale with room above what moves in the training videos, in tenths of px/frame.

    The speed that 0.1 % of a frame's pixels exceed, of frames evenly spread over the videos; of
    these speeds the one that 1 % of the frames exceed, so that neither empty frames nor a rare
    flicker decide; 2.5 times that, and at least 1 px (a choice).
    """
    videos = dataset.select("train", holdout=False)
    flows = [dataset.arrays("flow", video.name)["flow"] for video in videos]
    places = [(flow, place) for flow in flows for place in range(len(flow))]
    chosen = np.linspace(0, len(places) - 1, min(len(places), SAMPLED_FLOWS)).round().astype(int)
    speeds = []
    for number in chosen:
        flow, place = places[number]
        speeds.append(np.quantile(np.linalg.norm(flow[place].astype(np.float32), axis=-1), 0.999))
    return max(LEAST_SCALE, round(ROOM * float(np.quantile(speeds, 0.99)), 1))
