"""The overlay video: frame, heat map, a strip of the last scores, event marks.

It is H.264, which browsers play, and each frame is shown when it was taken.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from evaluation.report.pictures import heat

STRIP = 72
"""Height of the strip of scores in pixels."""

LEGIBLE = 480
"""Smaller videos are magnified to this width, so that what is written on them can be read."""

RED, WHITE, GRAY, DARK = (230, 60, 40), (240, 240, 240), (130, 138, 146), (24, 28, 32)


class Overlay:
    """Draws frames with their scores; all of one size.

    Parameters
    ----------
    threshold
        Scores above it are marked.
    history
        Frames that the strip shows.
    width
        Of the written video at most, px; larger frames are shrunk, those below
        :data:`LEGIBLE` magnified.
    """

    def __init__(self, threshold: float, history: int = 200, width: int = 960) -> None:
        self._threshold, self._width = threshold, width
        self._scores: deque[float] = deque(maxlen=history)
        self._top = 1.6 * threshold if threshold > 0 else 1.0

    def draw(
        self, image: np.ndarray, score: float, cells: np.ndarray | None, text: str
    ) -> np.ndarray:
        """Return the picture of one frame, (H, W, 3) uint8 RGB, H and W even.

        Parameters
        ----------
        image
            The frame, (H, W, 3) uint8 RGB.
        score
            ω_agg.
        cells
            Its heat map, or None.
        text
            A short line, such as the time.
        """
        import cv2

        self._scores.append(score)
        over = score > self._threshold
        height, width = image.shape[:2]
        factor = max(min(1.0, self._width / width), LEGIBLE / width)
        size = (max(2, int(width * factor) // 2 * 2), max(2, int(height * factor) // 2 * 2))
        how = cv2.INTER_AREA if factor <= 1 else cv2.INTER_LINEAR
        shown = cv2.resize(image, size, interpolation=how)
        if cells is not None:
            shown = warm(shown, cells)
        shown = np.ascontiguousarray(shown)
        scale = max(0.35, size[0] / 900)
        label = f"{text}  {score:.2f}{'  EVENT' if over else ''}"
        for color, thick in ((DARK, 3), (RED if over else WHITE, 1)):
            place, font = (6, int(24 * scale) + 4), cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(shown, label, place, font, scale, color, thick, cv2.LINE_AA)
        if over:
            cv2.rectangle(shown, (0, 0), (size[0] - 1, size[1] - 1), RED, 3)
        return np.vstack([shown, self._strip(size[0])])

    def _strip(self, width: int) -> np.ndarray:
        import cv2

        strip = np.full((STRIP, width, 3), DARK, np.uint8)

        def height(value: float) -> int:
            return int(STRIP - 4 - min(max(value / self._top, 0), 1) * (STRIP - 10))

        history = self._scores.maxlen or 1
        xs = width - 4 - (len(self._scores) - 1 - np.arange(len(self._scores))) * width / history
        for x, value in zip(xs, self._scores, strict=True):
            if value > self._threshold:
                cv2.line(strip, (int(x), STRIP - 3), (int(x), STRIP - 1), RED, 2)
        level = height(self._threshold)
        cv2.line(strip, (0, level), (width - 1, level), GRAY, 1)
        points = [(int(x), height(v)) for x, v in zip(xs, self._scores, strict=True)]
        cv2.polylines(strip, [np.array(points, np.int32)], False, WHITE, 1, cv2.LINE_AA)
        return strip


def warm(image: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Lay a heat map over a frame that keeps its colours, as far as it is unusual."""
    import cv2

    colored = heat(image, cells)
    size = (image.shape[1], image.shape[0])
    alpha = np.clip(cv2.resize(cells.astype(np.float32), size) * 1.5 - 0.3, 0, 1)[..., None]
    return (image * (1 - alpha) + colored * alpha).astype(np.uint8)
