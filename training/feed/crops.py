"""What the inpainter is trained on: crops of normal frames, and holes in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.base.errors import ConfigurationError
from pipeline.shards.reader import Dataset, VideoInfo
from pipeline.shards.shard import FrameArray

CROPS_A_FRAME = 2
SHRUNK, MAGNIFIED = 0.25, 0.15


@dataclass(frozen=True)
class Crops:
    """Random crops of the frames of some videos; lazy, any frame as likely as any other."""

    videos: Sequence[FrameArray | np.ndarray]

    def draw(self, rng: np.random.Generator, count: int, side: int) -> np.ndarray:
        """Return ``count`` crops, (count, side, side, 3) uint8, mirrored, scaled and recoloured.

        Raises
        ------
        ConfigurationError
            If frames are smaller than ``side``.
        """
        ends = np.cumsum([len(video) for video in self.videos])
        crops: list[np.ndarray] = []
        while len(crops) < count:
            at = int(rng.integers(ends[-1]))
            video = int(np.searchsorted(ends, at, side="right"))
            frame = self.videos[video][at - int(ends[video])]  # counted from the video's end
            if min(frame.shape[:2]) < side:
                raise ConfigurationError(
                    f"side: crops of {side} px do not fit frames of {frame.shape[1]}x"
                    f"{frame.shape[0]} px; set side and large_side no larger"
                )
            wanted = min(CROPS_A_FRAME, count - len(crops))
            crops.extend(_vary(rng, _cut(rng, frame, side)) for _ in range(wanted))
        return np.stack(crops)


def crops_of(dataset: Dataset, videos: Sequence[VideoInfo]) -> Crops:
    """Return the crops of the frames of some videos of a data set."""
    return Crops([dataset.arrays("frames", video.name)["image"] for video in videos])


def _cut(rng: np.random.Generator, frame: np.ndarray, side: int) -> np.ndarray:
    """Cut a square; some are larger and shrunk, some smaller and magnified, by two.

    Data sets differ in how large things are in them, and windows may be scaled.
    """
    draw = rng.random()
    part = 2 * side if draw < SHRUNK else side // 2 if draw > 1 - MAGNIFIED else side
    part = part if part <= min(frame.shape[:2]) else side
    top, left = (int(rng.integers(size - part + 1)) for size in frame.shape[:2])
    crop = frame[top : top + part, left : left + part]
    if part == side:
        return crop
    how = cv2.INTER_AREA if part > side else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(crop), (side, side), interpolation=how)


def _vary(rng: np.random.Generator, crop: np.ndarray) -> np.ndarray:
    """Mirror half of the crops; change brightness and contrast; turn a tenth of them gray."""
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    values = crop.astype(np.float32)
    if rng.random() < 0.1:
        values = np.broadcast_to(values.mean(axis=2, keepdims=True), values.shape)
    middle = values.mean()
    values = (values - middle) * rng.uniform(0.8, 1.2) + middle + rng.uniform(-20, 20)
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def draw_holes(rng: np.random.Generator, count: int, side: int) -> np.ndarray:
    """Return holes as users' masks have them, (count, side, side) uint8, 1 inside, none empty.

    Half of them are silhouettes, as segmentation gives them; the others are boxes and
    strokes, as LaMa's random masks.
    """
    return np.stack([_hole(rng, side) for _ in range(count)])


def _hole(rng: np.random.Generator, side: int) -> np.ndarray:
    hole = np.zeros((side, side), np.uint8)
    kind = rng.random()
    for _ in range(2 if rng.random() < 0.25 else 1):
        # Small holes are common, and windows leave a margin around them.
        height = side * rng.uniform(0.08, 0.75) ** 1.3
        y, x = rng.uniform(0.2, 0.8, 2) * side
        if kind < 0.5:
            _silhouette(rng, hole, (x, y), height)
        elif kind < 0.7:
            width = height * rng.uniform(0.4, 2.0)
            corners = np.rint([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
            left, top, right, bottom = corners.astype(int)
            hole[max(top, 0) : max(bottom, 1), max(left, 0) : max(right, 1)] = 1
        else:
            _stroke(rng, hole, (x, y), height)
    hole[int(y), int(x)] = 1
    return hole


def _silhouette(
    rng: np.random.Generator, hole: np.ndarray, centre: tuple[float, float], height: float
) -> None:
    """Draw some ellipses above one another: a walker, a bush, a car."""
    slim = rng.uniform(0.25, 0.9)
    for part in np.linspace(-0.35, 0.35, int(rng.integers(1, 5))):
        x = centre[0] + height * slim * rng.uniform(-0.15, 0.15)
        axes = (height * slim * rng.uniform(0.25, 0.6), height * rng.uniform(0.15, 0.4))
        middle = (round(x), round(centre[1] + part * height))
        half = (max(1, round(axes[0])), max(1, round(axes[1])))
        cv2.ellipse(hole, middle, half, rng.uniform(-25, 25), 0, 360, (1,), -1)


def _stroke(
    rng: np.random.Generator, hole: np.ndarray, start: tuple[float, float], length: float
) -> None:
    """Draw a broken line, as thick as LaMa's in proportion to its length."""
    width = max(2, round(length * rng.uniform(0.15, 0.5)))
    angle, point = rng.uniform(0, 2 * np.pi), np.array(start)
    for _ in range(int(rng.integers(1, 5))):
        angle += rng.uniform(-2, 2)
        end = point + length * rng.uniform(0.2, 0.6) * np.array([np.cos(angle), np.sin(angle)])
        a, b = np.rint(point).astype(int), np.rint(end).astype(int)
        cv2.line(hole, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), (1,), width)
        point = end
