"""Inpaint as much of a frame as its hole needs, and many such windows at once.

Everything here is plain arrays; the model is a function of square images, their masks and
their seeds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.base.errors import ConfigurationError, DataError

Run = Callable[[np.ndarray, np.ndarray, Sequence[int]], np.ndarray]
"""(N, S, S, 3) uint8, (N, S, S) uint8, N seeds -> (N, S, S, 3) uint8."""

WINDOWS = ("full", "hole")


@dataclass(frozen=True)
class Window:
    """A square of ``side`` pixels of the frame, inpainted at ``run`` pixels a side."""

    top: int
    left: int
    side: int
    run: int

    def cut(self, array: np.ndarray) -> np.ndarray:
        """Return the window's part of an (H, W, ...) array, as a view."""
        return array[self.top : self.top + self.side, self.left : self.left + self.side]


@dataclass(frozen=True, kw_only=True)
class Windowing:
    """How frames are cut into windows.

    Attributes
    ----------
    window
        ``full``: the whole frame. ``hole``: a square around the hole.
    margin
        Pixels of the frame around the hole that the model sees at least, where the frame
        has them (``hole``).
    resolution
        Side at which a whole frame is inpainted, in pixels; windows are scaled by the same
        factor. 0 is the frame's own size: nothing is scaled.
    grid
        Pixels of which the model needs sides to be a multiple.
    batch
        Windows to give to the model at once.
    """

    window: str = "hole"
    margin: int = 16
    resolution: int = 0
    grid: int = 16
    batch: int = 8

    def __post_init__(self) -> None:
        if self.window not in WINDOWS:
            raise ConfigurationError(f"window: {self.window!r} is none of {WINDOWS}")
        if self.margin < 0:
            raise ConfigurationError(f"margin: {self.margin} px, expected 0 or more")
        if self.batch < 1:
            raise ConfigurationError(f"batch: {self.batch}, expected 1 or more")
        if self.resolution < 0:
            raise ConfigurationError(f"resolution: {self.resolution} px, expected 0 or more")

    def run_side(self, frame: int) -> int:
        """Return the side at which a whole frame of ``frame`` pixels is inpainted.

        Raises
        ------
        ConfigurationError
            If the model cannot take that side.
        """
        side = self.resolution or frame
        if side % self.grid or side == 0:
            below = side // self.grid * self.grid
            raise ConfigurationError(
                f"resolution: {side} px is no multiple of the inpainter's grid of {self.grid} px; "
                f"set {below or self.grid} or {below + self.grid}"
            )
        return side

    def place(self, mask: np.ndarray) -> Window:
        """Return the window for a mask, (S, S) with 1 inside the hole.

        Raises
        ------
        DataError
            If the mask is empty or not square.
        """
        frame = mask.shape[0]
        if mask.ndim != 2 or mask.shape[1] != frame:
            raise DataError(f"mask: shape {mask.shape}; frames and masks are square here")
        whole = self.run_side(frame)
        top, left, bottom, right = hole_box(mask)
        if self.window == "full":
            return Window(0, 0, frame, whole)
        wanted = max(bottom - top, right - left) + 2 * self.margin
        run = next((r for r in ladder(self.grid, whole) if r * frame >= wanted * whole), whole)
        side = min(frame, round(run * frame / whole))
        return Window(
            _around(top, bottom, side, frame), _around(left, right, side, frame), side, run
        )


def hole_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return top, left, bottom, right (the last two exclusive) of what is not 0.

    Raises
    ------
    DataError
        If nothing is.

    Examples
    --------
    >>> hole_box(np.array([[0, 0, 0], [0, 1, 1]]))
    (1, 1, 2, 3)
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise DataError("mask: is all 0; there is nothing to inpaint")
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def ladder(grid: int, whole: int) -> Iterator[int]:
    """Yield the sides that windows may have, below ``whole``: grid times 1, 2, 3, 4, 6, 8, 12...

    Few sizes, so that windows of many frames are of one size and share a batch.

    >>> list(ladder(16, 256))
    [16, 32, 48, 64, 96, 128, 192]
    """
    step = grid
    if step < whole:
        yield step
    while 2 * step < whole:
        yield 2 * step
        if 3 * step < whole:
            yield 3 * step
        step *= 2


def _around(start: int, stop: int, side: int, frame: int) -> int:
    """Return where a window of ``side`` begins that is centred on start-stop, inside the frame."""
    return min(max((start + stop - side) // 2, 0), frame - side)


def inpaint(
    images: np.ndarray, masks: np.ndarray, seeds: Sequence[int], run: Run, windowing: Windowing
) -> np.ndarray:
    """Inpaint frames window by window, windows of one size together.

    Parameters
    ----------
    images : (N, S, S, 3) uint8
    masks : (N, S, S) uint8
        1 inside the hole, none empty.
    seeds
        One a frame.
    run
        The model.

    Returns
    -------
    (N, S, S, 3) uint8
        The images, changed nowhere but inside the holes.
    """
    result = images.copy()
    for windows in _batches([windowing.place(mask) for mask in masks], windowing.batch):
        frames = [number for number, _ in windows]
        filled = run(
            np.stack([_scaled(w.cut(images[n]), w.run) for n, w in windows]),
            np.stack([_scaled_mask(w.cut(masks[n]), w.run) for n, w in windows]),
            [seeds[number] for number in frames],
        )
        for (number, window), patch in zip(windows, filled, strict=True):
            inside = window.cut(masks[number]) > 0
            patch = _scaled(patch, window.side)
            window.cut(result[number])[inside] = patch[inside]
    return result


def _batches(windows: Sequence[Window], size: int) -> Iterator[list[tuple[int, Window]]]:
    """Yield numbered windows of one run side, at most ``size`` at a time, smallest side first."""
    groups: dict[int, list[tuple[int, Window]]] = defaultdict(list)
    for number, window in enumerate(windows):
        groups[window.run].append((number, window))
    for side in sorted(groups):
        for first in range(0, len(groups[side]), size):
            yield groups[side][first : first + size]


def _scaled(image: np.ndarray, side: int) -> np.ndarray:
    """Return a square image at another side: cubic where it grows, by area where it shrinks."""
    if image.shape[0] == side:
        return image
    interpolation = cv2.INTER_AREA if image.shape[0] > side else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(image), (side, side), interpolation=interpolation)


def _scaled_mask(mask: np.ndarray, side: int) -> np.ndarray:
    """Return a mask at another side; where it shrinks, a pixel with any hole in it is hole."""
    if mask.shape[0] > side:
        shares = cv2.resize(mask.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
        return (shares > 0).astype(np.uint8)
    return cv2.resize(np.ascontiguousarray(mask), (side, side), interpolation=cv2.INTER_NEAREST)
