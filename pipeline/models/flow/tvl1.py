"""TV-L1 optical flow, computed as OpenCV's DualTVL1 computes it, many times faster.

The same pyramid, bicubic warps, 5 x 5 median, stopping rule and parameters, in float32 on
one core, after Zach, Pock and Bischof, "A duality based approach for realtime TV-L1
optical flow" (DAGM 2007). Results differ from OpenCV's by rounding, which now and then
moves the iteration at which a level stops (docs/performance.md has the figures).

Calls release the GIL and may run in several threads at once: each thread has a workspace
of its own, which it keeps.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.base.errors import ConfigurationError
from pipeline.models.flow.kernels import solve
from pipeline.models.flow.layout import FIRST, PLANES, SECOND, SIDE, Level, U, V
from pipeline.models.flow.warp import IOTA, gradients
from pipeline.models.simd.lanes import WIDTH

#: What the setting ``flow.engine`` may be.
ENGINES = ("tvl1", "opencv", "fast")
#: Levels of the pyramid are no smaller than this, in pixels.
SMALLEST = 16


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How much work the solver does; the defaults are OpenCV's."""

    scales: int = 5
    """Levels of the pyramid, at most: none is smaller than 16 pixels."""
    step: float = 0.8
    """Size of a level relative to the next finer one."""
    warps: int = 5
    """Times that the second image is warped anew at a level."""
    outer: int = 10
    """Rounds between two warps; each begins with a median."""
    inner: int = 30
    """Iterations in a round."""
    epsilon: float = 0.01
    """A warp is done when the flow's root mean square change falls to this, in pixels."""


#: OpenCV's defaults.
FULL = Schedule()
#: Few warps on a taller pyramid: the flow of the engine ``fast``.
FAST = Schedule(scales=8, warps=2, outer=1, inner=15)


_of_thread = threading.local()


def _workspace(size: int) -> np.ndarray:
    work = getattr(_of_thread, "work", None)
    if work is None or work.size < size:
        # A block of 16 that straddles two cache lines takes twice the time to load.
        raw = np.empty(size + WIDTH, np.float32)
        start = -raw.ctypes.data // raw.itemsize % WIDTH
        work = _of_thread.work = raw[start : start + size]
    return work


def _pyramid(
    first: np.ndarray, second: np.ndarray, schedule: Schedule
) -> list[tuple[np.ndarray, np.ndarray]]:
    levels = [(first, second)]
    for _ in range(schedule.scales - 1):
        a, b = (cv2.resize(image, None, fx=schedule.step, fy=schedule.step) for image in levels[-1])
        if min(a.shape) < SMALLEST:
            break
        levels.append((a, b))
    return levels


def check_pair(first: np.ndarray, second: np.ndarray) -> None:
    """Raise ValueError unless both are gray images of one size, uint8 or finite float32."""
    for image in (first, second):
        if image.ndim != 2 or image.dtype not in (np.uint8, np.float32):
            raise ValueError(
                f"flow: an image of shape {image.shape} and dtype {image.dtype}; expected gray "
                "(H, W), uint8 or float32 in [0, 255]"
            )
        if min(image.shape) < SMALLEST:
            raise ValueError(f"flow: an image of {image.shape} has a side below {SMALLEST} pixels")
        if image.dtype == np.float32 and not np.isfinite(image).all():
            raise ValueError("flow: an image has NaN or infinite pixels")
    if first.shape != second.shape or first.dtype != second.dtype:
        raise ValueError(
            f"flow: images differ: {first.shape} {first.dtype} and {second.shape} {second.dtype}"
        )


def tvl1(first: np.ndarray, second: np.ndarray, schedule: Schedule = FULL) -> np.ndarray:
    """Return the TV-L1 flow from ``first`` to ``second``: second(x + u) is first(x).

    Parameters
    ----------
    first, second : ndarray (H, W), uint8 or float32 in [0, 255]
        Gray images, no side below 16 pixels.
    schedule
        How much work is done; ``FULL`` is what OpenCV does by default.

    Returns
    -------
    ndarray (H, W, 2) float32
        (u, v) in pixels, to the right and down.

    Raises
    ------
    ValueError
        If the images are not two gray images of one size and dtype, or not finite.
    """
    check_pair(first, second)
    pyramid = _pyramid(first.astype(np.float32), second.astype(np.float32), schedule)
    work = _workspace(Level(*first.shape).plane * PLANES + SIDE)
    flow: tuple[np.ndarray, ...] = ()
    for images in reversed(pyramid):
        # Almost always the first attempt; see solve.
        for ahead in (True, False):
            level = _prepare(work, images, flow, schedule)
            if _solve(work, level, schedule, ahead) >= 0:
                break
        flow = tuple(level.view(work, plane).copy() for plane in (U, V))
    return np.stack(flow, axis=-1)


def _prepare(
    work: np.ndarray,
    images: tuple[np.ndarray, np.ndarray],
    coarse: tuple[np.ndarray, ...],
    schedule: Schedule,
) -> Level:
    level = Level(*images[0].shape)
    work[: PLANES * level.plane] = 0
    for plane, image in zip((FIRST, SECOND), images, strict=True):
        level.view(work, plane)[:] = image
    gradients(work, *level.geometry)
    for plane, field in zip((U, V), coarse, strict=False):
        finer = cv2.resize(field, images[0].shape[::-1])
        np.multiply(finer, np.float32(1 / schedule.step), out=level.view(work, plane))
    return level


def _solve(work: np.ndarray, level: Level, schedule: Schedule, ahead: bool) -> int:
    rules = (schedule.warps, schedule.outer, schedule.inner, schedule.epsilon)
    return solve(work, *level.geometry, level.tails, IOTA, *rules, ahead)


def opencv_tvl1(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the flow of OpenCV's DualTVL1 with its defaults; see :func:`tvl1`."""
    check_pair(first, second)
    if first.dtype == np.float32:  # OpenCV takes float images to be in [0, 1]
        first, second = first / np.float32(255), second / np.float32(255)
    # A new object each time: OpenCV's keeps its buffers, and is not safe in two threads.
    solver = cv2.optflow.DualTVL1OpticalFlow_create()  # type: ignore[attr-defined]
    return solver.calc(first, second, None)


def compute_flow(first: np.ndarray, second: np.ndarray, engine: str = "tvl1") -> np.ndarray:
    """Return the flow (H, W, 2) float32 between two gray images by a named engine.

    Parameters
    ----------
    first, second
        As for :func:`tvl1`.
    engine
        ``tvl1``, ``opencv`` (the same flow, slowly) or ``fast`` (a leaner schedule).

    Raises
    ------
    ConfigurationError
        If there is no such engine.
    """
    if engine == "tvl1":
        return tvl1(first, second)
    if engine == "fast":
        return tvl1(first, second, FAST)
    if engine == "opencv":
        return opencv_tvl1(first, second)
    raise ConfigurationError(f"flow.engine: {engine!r} is none of {', '.join(ENGINES)}")
