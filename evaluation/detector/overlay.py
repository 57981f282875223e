"""The overlay video: frame, heat map, a strip of the last scores, event marks.

Browsers play H.264 and VP9. H.264 is written by the ffmpeg of the package imageio-ffmpeg
(extra ``video``), some hundred frames a second; the OpenCV wheel alone can write VP9, ten to
fifty times slower. Which one it was is said.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from evaluation.report.pictures import heat
from pipeline.base.errors import ConfigurationError, MachineError

Codec = Literal["auto", "h264", "vp9"]

STRIP = 72
"""Height of the strip of scores in pixels."""

LEGIBLE = 480
"""Smaller videos are magnified to this width, so that what is written on them can be read."""

RED, WHITE, GRAY, DARK = (230, 60, 40), (240, 240, 240), (130, 138, 146), (24, 28, 32)


class Sink(Protocol):
    """Takes frames (H, W, 3) uint8 RGB of one size."""

    def write(self, image: np.ndarray) -> None:
        """Take the next frame."""


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


def available(codec: Codec) -> str:
    """Return the codec that will be written: the one asked for, or for auto the best there is.

    Raises
    ------
    ConfigurationError
        If H.264 is asked for and its package is missing.
    """
    try:
        import imageio_ffmpeg

        imageio_ffmpeg.get_ffmpeg_exe()
        fast = True
    except (ImportError, RuntimeError):
        fast = False
    if codec == "h264" and not fast:
        raise ConfigurationError(
            "codec: h264 needs the package imageio-ffmpeg; install the extra `video` "
            "(pip install imageio-ffmpeg), or set codec to vp9"
        )
    return ("h264" if fast else "vp9") if codec == "auto" else codec


@contextmanager
def open_video(path: Path, fps: float, codec: str) -> Iterator[Sink]:
    """Give a sink whose frames become an MP4 at ``path``, whole or not at all.

    Parameters
    ----------
    fps
        Frames a second.
    codec
        ``h264`` or ``vp9``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.partial.mp4")
    sink = _H264(partial, fps) if codec == "h264" else _Vp9(partial, fps)
    try:
        yield sink
        sink.close()
        if partial.exists():
            partial.replace(path)
    except BaseException:
        sink.close()
        partial.unlink(missing_ok=True)
        raise


class _H264:
    """H.264 by imageio-ffmpeg's ffmpeg."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._writer: Any = None

    def write(self, image: np.ndarray) -> None:
        if self._writer is None:
            import imageio_ffmpeg

            size = (image.shape[1], image.shape[0])
            self._writer = imageio_ffmpeg.write_frames(
                str(self._path), size, fps=self._fps, codec="libx264", quality=None,
                macro_block_size=2, ffmpeg_log_level="error",
                output_params=["-preset", "veryfast", "-crf", "24", "-movflags", "+faststart"],
            )  # fmt: skip
            self._writer.send(None)
        try:
            self._writer.send(np.ascontiguousarray(image))
        except OSError as error:
            raise MachineError(
                f"{self._path}: ffmpeg stopped: {error}; is the disk full?"
            ) from error

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class _Vp9:
    """VP9 in MP4 by OpenCV."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._writer: Any = None

    def write(self, image: np.ndarray) -> None:
        import cv2

        if self._writer is None:
            code = cv2.VideoWriter.fourcc(*"vp09")
            size = (image.shape[1], image.shape[0])
            self._writer = cv2.VideoWriter(str(self._path), cv2.CAP_FFMPEG, code, self._fps, size)
            if not self._writer.isOpened():
                raise MachineError(
                    f"{self._path}: OpenCV cannot write VP9 here; install imageio-ffmpeg"
                )
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()
            self._writer = None
