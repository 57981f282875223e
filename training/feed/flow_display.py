"""How optical flow is shown to A^t: three channels in [-1, 1] from (u, v) (docs/method.md, 4).

Both displays divide by one constant of the data set, ``scale`` in px/frame, so that absolute
speed survives: a bicycle stays brighter than a pedestrian, in every frame. Speeds above
``scale`` are clipped (``uvm``) or shown at full saturation (``color``).
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from pipeline.base.errors import ConfigurationError

DISPLAYS = ("uvm", "color")

#: Steps between red, yellow, green, cyan, blue, magenta and red again (Baker et al. 2011).
ARCS = (15, 6, 4, 11, 13, 6)


def show_flow(flow: Tensor, scale: float, display: str = "uvm") -> Tensor:
    """Turn flow into the network's three channels.

    Parameters
    ----------
    flow
        (..., 2) float, (u, v) in px/frame.
    scale
        The data set's ``flow_scale`` in px/frame, above 0.
    display
        ``uvm``: u, v and magnitude, each divided by ``scale`` and clipped to [-1, 1] (the
        magnitude to [0, 1]). ``color``: the colour wheel of the Middlebury flow benchmark,
        white at rest, RGB in [-1, 1].

    Returns
    -------
    Tensor
        (..., 3) float32 in [-1, 1].
    """
    if not scale > 0:
        raise ConfigurationError(f"flow_scale: {scale}: must be above 0 px/frame")
    if display not in DISPLAYS:
        raise ConfigurationError(f"display: {display!r}: must be one of {', '.join(DISPLAYS)}")
    flow = flow.float() / scale
    if display == "uvm":
        magnitude = flow.square().sum(-1, keepdim=True).sqrt()
        return torch.cat([flow, magnitude], -1).clamp(-1, 1)
    return _colors(flow) * 2 - 1


def flow_image(flow: np.ndarray, scale: float) -> np.ndarray:
    """Return flow (..., H, W, 2) as colour-wheel images (..., H, W, 3) uint8, for people."""
    shown = show_flow(torch.from_numpy(np.asarray(flow, np.float32)), scale, "color")
    return ((shown + 1) * 127.5).round().to(torch.uint8).numpy()


@functools.lru_cache(maxsize=1)
def color_wheel() -> Tensor:
    """Return the 55 hues of the Middlebury colour wheel, (55, 3) float32 in [0, 1]."""
    corners = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1]])
    hues = []
    for arc, steps in enumerate(ARCS):
        begin, end = corners[arc].float(), corners[(arc + 1) % 6].float()
        part = (torch.arange(steps) / steps)[:, None]
        hues.append(begin * (1 - part) + end * part)
    return torch.cat(hues)


def _colors(flow: Tensor) -> Tensor:
    """Colour-wheel RGB in [0, 1] of flow (..., 2) in units of the scale."""
    wheel = color_wheel().to(flow.device)
    radius = flow.square().sum(-1, keepdim=True).sqrt().clamp(max=1)
    turn = (torch.atan2(-flow[..., 1], -flow[..., 0]) / math.pi + 1) / 2
    at = turn * (len(wheel) - 1)
    low = at.floor().long().clamp(0, len(wheel) - 1)
    part = (at - low)[..., None]
    hue = wheel[low] * (1 - part) + wheel[(low + 1) % len(wheel)] * part
    return 1 - radius * (1 - hue)
