"""Writing videos: frames with their times become a file, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np

from pipeline.base.errors import MachineError

Codec = Literal["h264", "mpeg4", "mjpeg", "ffv1"]

CODECS: dict[str, tuple[str, str, dict[str, str]]] = {
    "h264": ("libx264", "yuv420p", {"preset": "veryfast", "crf": "24"}),
    "mpeg4": ("mpeg4", "yuv420p", {"qscale": "2"}),
    "mjpeg": ("mjpeg", "yuvj420p", {"qscale": "2"}),
    "ffv1": ("ffv1", "bgr0", {}),
}
"""For each codec its encoder, pixels and settings; ``ffv1`` loses nothing."""

TICK = Fraction(1, 90_000)
"""Seconds of one step of the time stamps, where the container leaves the choice."""


class Writer:
    """Takes frames and encodes them; see :func:`write_video`."""

    def __init__(self, path: Path, rate: float, codec: Codec):
        self._path, self._rate, self._codec = path, Fraction(rate).limit_denominator(100_000), codec
        self._container = av.open(str(path), "w", options=_options(path))
        self._stream: av.VideoStream | None = None
        self._last = -1

    def write(self, image: np.ndarray, seconds: float | None = None) -> None:
        """Add a frame, (H, W, 3) uint8 RGB, H and W even.

        Parameters
        ----------
        seconds
            When it is to be seen, from the first frame's on; by default ``1 / rate`` after the
            one before it. A time that does not rise is moved behind the one before.
        """
        stream = self._stream or self._start(image.shape[1], image.shape[0])
        base = stream.codec_context.time_base
        assert base is not None
        step = round(1 / self._rate / base) if self._last >= 0 else 1
        at = self._last + step if seconds is None else round(seconds / base)
        self._last = max(at, self._last + 1)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts, frame.time_base = self._last, base
        try:
            self._container.mux(stream.encode(frame))
        except (av.FFmpegError, OSError) as error:
            raise MachineError(
                f"{self._path}: cannot be written ({error}); is the disk full?"
            ) from error

    def _start(self, width: int, height: int) -> av.VideoStream:
        encoder, pixels, options = CODECS[self._codec]
        stream = self._container.add_stream(encoder, rate=self._rate, options=dict(options))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        fixed = self._path.suffix == ".avi" or self._codec == "mpeg4"
        stream.codec_context.time_base = 1 / self._rate if fixed else TICK
        self._stream = stream
        return stream

    def close(self) -> None:
        """Write what is still held back, and the end of the file."""
        try:
            if self._stream is not None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
        except (av.FFmpegError, OSError) as error:
            raise MachineError(
                f"{self._path}: cannot be written ({error}); is the disk full?"
            ) from error


def _options(path: Path) -> dict[str, str]:
    return {"movflags": "+faststart"} if path.suffix in (".mp4", ".mov") else {}


@contextmanager
def write_video(path: Path, rate: float, codec: Codec = "h264") -> Iterator[Writer]:
    """Give a writer whose frames become a video at ``path`` when all went well.

    Parameters
    ----------
    path : Path
        ``.mp4``, ``.mkv``, ``.avi`` or ``.mov``.
    rate : float
        Frames a second; times given with the frames overrule it (not in ``.avi``, which has
        a fixed rate, nor for ``mpeg4``).
    codec : {"h264", "mpeg4", "mjpeg", "ffv1"}

    Raises
    ------
    MachineError
        The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        writer = Writer(partial, rate, codec)
    except (av.FFmpegError, OSError) as error:
        raise MachineError(f"{path}: cannot be written ({error})") from error
    try:
        yield writer
        writer.close()
        partial.replace(path)
    except BaseException:
        with suppress(MachineError):
            writer.close()
        partial.unlink(missing_ok=True)
        raise
