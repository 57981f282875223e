"""Where a detector's frames come from: recordings, read whole, and cameras, as they send."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from evaluation.detector.addresses import Address
from pipeline.base.errors import ConfigurationError, DataError, ProjectError
from pipeline.data.video.facts import shortage, tell_gaps, woven

if TYPE_CHECKING:
    from pipeline.data.video.frame import Reader

QUEUE = 4
"""Frames of a camera that wait at most; older ones are dropped, so the delay stays bounded."""


@dataclass(frozen=True)
class Arrival:
    """A frame.

    Attributes
    ----------
    image
        (H, W, 3) uint8 RGB.
    seconds
        When it was taken, since the first frame: by a recording's time stamps, by a camera's
        arrivals.
    came
        When it arrived here, in seconds of the monotonic clock.
    """

    image: np.ndarray
    seconds: float
    came: float


class Source(Protocol):
    """Frames in order.

    Attributes
    ----------
    name
        For people, files and errors.
    fps
        Frames a second as the source says itself, of those that are taken; None if it does not.
    total
        Frames that are taken, if known.
    every
        Every n-th frame is taken.
    live
        Whether frames come when they are made.
    dropped
        Frames of a camera that came too fast.
    """

    name: str
    fps: float | None
    total: int | None
    every: int
    live: bool
    dropped: int

    def __iter__(self) -> Iterator[Arrival]:
        """Yield frames, in constant memory."""

    def damage(self) -> list[str]:
        """Return what is known to be missing, once all is read."""


def open_source(address: Address, fps: float | None = None, every: int = 1) -> Source:
    """Open a video file, a folder of images, a camera or a network address.

    Parameters
    ----------
    fps
        Frames a second of a folder of images, which cannot say them.
    every
        Take every n-th frame alone: a stream is to have the rate of the videos that the
        networks were trained on, since flow is in pixels a frame.

    Raises
    ------
    ConfigurationError
        If ``every`` is below 1, or a folder of images has no ``fps``.
    DataError
        If it cannot be opened.
    """
    if every < 1:
        raise ConfigurationError(f"every: {every} is below 1")
    if fps is not None and not 0 < fps <= 1000:
        raise ConfigurationError(f"fps: {fps} is not above 0 and at most 1000")
    if address.path is None:
        from pipeline.data.video.live import LiveReader

        reader = LiveReader(address.given, address.name)
        return Camera(reader, every) if reader.live else Recording(reader, every)
    if address.path.is_dir():
        return Pictures(address, fps, every)
    from pipeline.data.video.file import FileReader

    return Recording(FileReader(address.path), every)


class Pictures:
    """A folder of images."""

    live, dropped = False, 0

    def __init__(self, address: Address, fps: float | None, every: int) -> None:
        from pipeline.data.video.folder import list_images

        assert address.path is not None
        self.name, self.every = address.name, every
        self._paths = list_images(address.path)[::every]
        if fps is None:
            raise ConfigurationError(
                f"{address.name}: a folder of images does not say its frames a second; give --fps"
            )
        self.fps: float | None = fps / every
        self.total: int | None = len(self._paths)

    def __iter__(self) -> Iterator[Arrival]:
        """Decode image after image."""
        from pipeline.data.video.folder import rgb_frames

        assert self.fps
        for number, image in enumerate(rgb_frames(self._paths, range(len(self._paths)))):
            yield Arrival(image, number / self.fps, time.monotonic())

    def damage(self) -> list[str]:
        """A folder that is read holds every number."""
        return []


class Recording:
    """A video file, or a recording on a web server: never drops a frame.

    Parameters
    ----------
    reader
        Read to its end, once.
    """

    live, dropped = False, 0

    def __init__(self, reader: Reader, every: int = 1) -> None:
        self.name, self.every = reader.name, every
        self.fps: float | None = reader.rate / every if reader.rate else None
        self.total = -(-reader.declared // every) if reader.declared else None
        self._reader, self._read, self._ended = reader, 0, False

    def __iter__(self) -> Iterator[Arrival]:
        """Decode frame after frame."""
        try:
            for frame in self._reader:
                self._read = frame.number + 1
                if frame.number % self.every == 0:
                    yield Arrival(frame.image, frame.seconds, time.monotonic())
            self._ended = True
        finally:
            self._damage = damage(self._reader, self._read if self._ended else None)
            self._reader.close()

    def damage(self) -> list[str]:
        """Return what did not decode, once all is read."""
        return self._damage


def damage(reader: Reader, read: int | None) -> list[str]:
    """Say what a reader lost, what it lacks if it was ``read`` to its end, and interlaced frames.

    The words are those of ``make new``.
    """
    if read is not None:
        fault = shortage(read, reader.declared, reader.gaps, 0.0)
    else:
        fault = tell_gaps(reader.gaps) if reader.gaps else ""
    broken = getattr(reader, "broken", "")  # of an address alone
    said = [f"the connection broke ({broken}); what came before is scored"] if broken else []
    said += [f"{fault}; what decodes is scored"] if fault else []
    return said + [remark for remark in [woven(reader.interlaced)] if remark]


class Camera:
    """A camera, or a network address that sends as it films, read by a thread of its own.

    At most :data:`QUEUE` frames wait. When scoring is slower than the camera, the oldest are
    dropped and counted, so that scores never fall behind by more than the queue.

    Parameters
    ----------
    reader
        Read until it ends.
    """

    live = True
    total: int | None = None

    def __init__(self, reader: Reader, every: int = 1) -> None:
        self.name, self.every = reader.name, every
        self.fps: float | None = reader.rate / every if reader.rate else None
        self.dropped = 0
        self._reader = reader
        self._queue: deque[tuple[np.ndarray, float]] = deque()
        self._news = threading.Condition()
        self._ended = False
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[Arrival]:
        """Yield the frames that were not dropped, until the camera ends.

        Raises
        ------
        DataError
            If reading fails; the frames before that come first.
        """
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        first = None
        try:
            while True:
                with self._news:
                    self._news.wait_for(lambda: self._queue or self._ended)
                    if not self._queue:
                        break
                    image, came = self._queue.popleft()
                first = came if first is None else first
                yield Arrival(image, came - first, came)
        finally:
            self._ended = True
            thread.join(5)
        if isinstance(self._error, ProjectError):
            raise self._error
        if self._error is not None:
            raise DataError(
                f"{self.name}: reading failed ({type(self._error).__name__}); what came before is "
                "scored"
            ) from None
        if first is None:
            raise DataError(f"{self.name}: sent not one frame; check the camera")

    def damage(self) -> list[str]:
        """Return what did not decode."""
        return damage(self._reader, None)

    def _run(self) -> None:
        """Read to the end; whatever happens, the other side is told."""
        try:
            self._read()
        except Exception as error:
            self._error = error
        finally:
            with self._news:
                self._ended = True
                self._news.notify()
            self._reader.close()

    def _read(self) -> None:
        for frame in self._reader:
            if self._ended:
                return
            if frame.number % self.every:
                continue
            with self._news:
                if len(self._queue) >= QUEUE:
                    self._queue.popleft()
                    self.dropped += 1
                self._queue.append((frame.image, time.monotonic()))
                self._news.notify()
