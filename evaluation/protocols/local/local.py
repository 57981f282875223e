r"""The protocol ``local``: what lasts on a moving thing, relative to what is normal at its place.

The mean over a frame drowns what is small. Here an indicator is a map, and a frame's score is
the highest place of it. On maps m_t of cells, with v_t the flow in cells a frame:

1. *Follow*: a point x of frame t is followed along the flow, x_{k+1} = x_k ± v(x_k), 8 frames
   back and 8 ahead (the window of the networks), as long as it is in the picture. B_t(x) and
   A_t(x) are the means of m along the way before and after, the own frame in both.
2. *Last*: over a window W of cells, L_t(x) = min(|mean_W B_t|, |mean_W A_t|). What a thing shows
   for a moment, or what reaches a place only later, is not of the thing. For the flow itself
   m = v, and |.| is the length of the mean velocity, so swinging limbs cancel out.
3. *Place*: divided by the level n(x) that normal frames reach there (:func:`level`).
4. *Frame*: r_t = max_x L_t(x) / n(x).
5. *Scale*: -log10 of the share of held-out normal frames that reach r_t (:class:`Tail`), so 3
   means one normal frame in a thousand, in every video and for every indicator. Several
   windows: the mean of their scores, brought to that scale again (:class:`Calibration`).

Nothing here looks at test frames other than the one that is scored and the 8 on both sides of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.indicators.window import POSITION
from pipeline.base.errors import DataError

REACH = POSITION
"""Frames that a point is followed, back and ahead: with its own the networks' window."""

WINDOWS = (3 / 64, 5 / 64, 7 / 64)
"""Sides of the windows, as shares of the frame's side."""

SPREAD = 1 / 8
"""How far normal frames speak for places beside those where something moved, likewise."""

QUANTILE = 0.999
"""Of the normal frames at a place, what counts as their level."""

FLOOR = 0.25
"""The lowest level, as a share of the highest: places where nothing ever was are no zeros."""

TAIL = 0.9
"""Quantile of the held-out normal frames beyond which their tail is taken as exponential."""


def window(share: float, side: int) -> int:
    """Return a window's side in cells, odd and at least 1.

    >>> [window(share, 64) for share in WINDOWS], [window(share, 16) for share in WINDOWS]
    ([3, 5, 7], [1, 1, 1])
    """
    return max(1, 2 * round((share * side - 1) / 2) + 1)


def along(
    maps: np.ndarray | Sequence[np.ndarray], start: int, step: int, reach: int = REACH
) -> np.ndarray:
    """Return the mean along one way, (h, w, C), as far as it lies in the video and the picture.

    Parameters
    ----------
    maps
        (N, h, w, C) float32 of consecutive frames; the first two channels are the flow (u, v)
        in places a frame.
    start
        The frame that the way begins at; it counts itself.
    step
        1 for the way ahead, -1 for the way back.
    reach
        Frames that are followed; 0: the map itself.
    """
    import cv2

    height, width = maps[start].shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    inside = np.ones((height, width), bool)
    here = maps[start]
    total, count = here.copy(), np.ones((height, width, 1), np.float32)
    for t in range(start + step, start + step * (reach + 1), step):
        if not 0 <= t < len(maps):
            break
        x, y = x + step * here[..., 0], y + step * here[..., 1]
        inside &= (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
        here = cv2.remap(maps[t], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        total += here * inside[..., None]
        count += inside[..., None]
    return total / count


def box(maps: np.ndarray, side: int) -> np.ndarray:
    """Return means over squares of side x side cells, reflected at the borders.

    Maps are (N, h, w, C) float32.
    """
    import cv2

    if side == 1:
        return maps
    border = cv2.BORDER_REFLECT
    return np.stack([_blur(one, side, border) for one in maps])


def _blur(one: np.ndarray, side: int, border: int) -> np.ndarray:
    import cv2

    return cv2.blur(one, (side, side), borderType=border).reshape(one.shape)


def lasting(before: np.ndarray, after: np.ndarray, side: int) -> np.ndarray:
    """Return what a place shows before as well as after, over a window of side x side cells.

    Parameters
    ----------
    before, after
        (N, h, w, C) float32, the means of :func:`along` of both ways.

    Returns
    -------
    numpy.ndarray
        (N, h, w) float32, at least 0: the smaller of the two lengths of the mean.
    """
    return np.minimum(
        np.linalg.norm(box(before, side), axis=-1), np.linalg.norm(box(after, side), axis=-1)
    )


def level(normal: np.ndarray, floor: float = 0.0) -> np.ndarray:
    """Return how high normal frames go at each place.

    The 99.9 % quantile over frames, its maximum over places near by, smoothed, and at least
    a quarter of its own maximum (and ``floor``).

    Parameters
    ----------
    normal
        (N, h, w) float32, of normal frames.

    Returns
    -------
    numpy.ndarray
        (h, w) float32 above 0.

    Raises
    ------
    DataError
        If nothing is above 0 anywhere, or a value is not finite.
    """
    from scipy.ndimage import gaussian_filter, maximum_filter

    if not np.isfinite(normal).all():
        raise DataError(
            "local: an error of a normal training frame is not finite: the network diverged; train "
            "it again with a smaller learning rate"
        )
    reach = max(1, round(SPREAD * normal.shape[1]))
    high = np.quantile(normal, QUANTILE, axis=0)
    high = gaussian_filter(maximum_filter(high, 2 * reach + 1), reach, mode="nearest")
    low = max(FLOOR * float(high.max()), floor)
    if not low > 0:
        raise DataError(
            "local: nothing ever moves in the normal videos, or their errors are all 0, so there "
            "is no level to judge by; leave the protocol local out of fusing.protocols"
        )
    return np.maximum(high, low).astype(np.float32)


@dataclass(frozen=True)
class Tail:
    """How rare a value is among normal frames.

    Attributes
    ----------
    normal
        (n,) float64, the values of normal frames, rising.
    """

    normal: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Tail:
        """Take the values of normal frames, at least one."""
        if not len(values):
            raise DataError("local: there are no held-out normal frames to calibrate on")
        return cls(np.sort(np.asarray(values, np.float64)))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return -log10 of the share of normal frames that are at least as high, (n,) float64.

        Up to the 90 % quantile u the share is counted, (1 + #{normal ≥ x}) / (1 + n), beyond it
        is 0.1·exp(-(x - u) / b), b the mean excess over u, so that no two values tie. Where no
        normal frame is above u there is no b, and all shares are counted.
        """
        edge = float(np.quantile(self.normal, TAIL))
        above = self.normal[self.normal > edge]
        values = np.asarray(values, np.float64)
        reached = len(self.normal) - np.searchsorted(self.normal, values, side="left")
        counted = -np.log10((1 + reached) / (1 + len(self.normal)))
        if not len(above):
            return counted
        excess = float((above - edge).mean())
        beyond = -np.log10(1 - TAIL) + (values - edge) / (excess * np.log(10))
        return np.where(values > edge, beyond, np.minimum(counted, -np.log10(1 - TAIL)))


@dataclass(frozen=True)
class Calibration:
    """Values of several windows to one score on the scale of false alarms.

    Attributes
    ----------
    windows
        The tail of each window.
    joint
        The tail of the mean of their scores.
    """

    windows: tuple[Tail, ...]
    joint: Tail

    @classmethod
    def of(cls, normal: np.ndarray) -> Calibration:
        """Take the values (n, windows) of held-out normal frames."""
        windows = tuple(Tail.of(part) for part in np.asarray(normal).T)
        return cls(windows, Tail.of(_mean(windows, normal)))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return the scores (n,) float64 of values (n, windows)."""
        return self.joint(_mean(self.windows, values))


def _mean(tails: Sequence[Tail], values: np.ndarray) -> np.ndarray:
    return np.mean([tail(part) for tail, part in zip(tails, values.T, strict=True)], axis=0)
