"""Where a detector's frames come from: files, image folders, cameras and network addresses."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.base.errors import ConfigurationError, DataError

QUEUE = 4
"""Frames of a camera that wait at most; older ones are dropped, so the delay stays bounded."""


@dataclass(frozen=True)
class Arrival:
    """A frame and when it arrived, in seconds of the monotonic clock."""

    image: np.ndarray
    time: float


def is_camera(address: str) -> bool:
    """Whether an address is a camera's number or a network address, not a file.

    >>> is_camera("0"), is_camera("rtsp://gate/1"), is_camera("gate.mp4")
    (True, True, False)
    """
    return address.isdigit() or "://" in address


def open_source(address: str, fps: float | None = None, every: int = 1) -> Recording | Camera:
    """Open a video file, a folder of images, a camera or a network address.

    Parameters
    ----------
    fps
        Frames a second, where the source does not say.
    every
        Take every n-th frame alone: a stream is to have the rate of the videos that the
        networks were trained on, since flow is in pixels a frame.

    Raises
    ------
    DataError
        If it cannot be opened.
    """
    if every < 1:
        raise ConfigurationError(f"every: {every} is below 1")
    if is_camera(address):
        return Camera(address, fps, every)
    return Recording(Path(address), fps, every)


@dataclass
class Recording:
    """A video file or a folder of images; never drops a frame, reads in constant memory."""

    path: Path
    fps: float | None = None
    every: int = 1
    name: str = field(init=False)
    total: int | None = field(init=False, default=None)
    live: bool = field(init=False, default=False)
    dropped: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.name = self.path.name or str(self.path)
        if self.path.is_dir():
            from pipeline.data.video.folder import list_images

            self.total = -(-len(list_images(self.path)) // self.every)
            self.fps = self.fps / self.every if self.fps else None
            return
        from pipeline.data.video.file import FileReader

        reader = FileReader(self.path)
        reader.close()
        self.total = -(-reader.declared // self.every) if reader.declared else None
        rate = self.fps or reader.rate
        self.fps = rate / self.every if rate else None

    def __iter__(self) -> Iterator[Arrival]:
        """Decode frame after frame."""
        if self.path.is_dir():
            from pipeline.data.video.folder import list_images, rgb_frames

            paths = list_images(self.path)
            for picture in rgb_frames(paths[:: self.every], range(self.total or 0)):
                yield Arrival(picture, time.monotonic())
            return
        from pipeline.data.video.file import FileReader

        reader = FileReader(self.path)
        for frame in reader:
            if frame.number % self.every == 0:
                yield Arrival(frame.image, time.monotonic())
        reader.close()


class Camera:
    """A camera or network address, read by a thread of its own.

    At most :data:`QUEUE` frames wait. When scoring is slower than the camera, the oldest are
    dropped and counted, so that scores never fall behind by more than the queue.

    Parameters
    ----------
    address
        A camera's number, or an address such as ``rtsp://host/path``.
    fps
        Overrides what the camera says.
    capture
        An open ``cv2.VideoCapture`` or anything with ``read`` and ``release``; for tests.
    """

    live = True
    total = None

    def __init__(
        self, address: str, fps: float | None = None, every: int = 1, capture: object = None
    ) -> None:
        import cv2

        self.name, self.every = address, every
        self._capture = capture or cv2.VideoCapture(
            int(address) if address.isdigit() else address  # type: ignore[arg-type]
        )
        if capture is None and not self._capture.isOpened():  # type: ignore[attr-defined]
            raise DataError(
                f"{address}: cannot be opened; check the address, the network and the password"
            )
        rate = 0.0 if capture else float(self._capture.get(cv2.CAP_PROP_FPS))  # type: ignore[attr-defined]
        rate = fps or (rate if 0 < rate <= 1000 else 0.0)
        self.fps: float | None = rate / every if rate else None
        if self.fps is None:
            raise ConfigurationError(f"{address}: does not say its frames a second; give --fps")
        self.dropped = 0
        self._queue: deque[Arrival] = deque()
        self._news = threading.Condition()
        self._ended = False

    def __iter__(self) -> Iterator[Arrival]:
        """Yield the frames that were not dropped, until the camera ends."""
        thread = threading.Thread(target=self._read, daemon=True)
        thread.start()
        try:
            while True:
                with self._news:
                    self._news.wait_for(lambda: self._queue or self._ended)
                    if not self._queue:
                        return
                    arrival = self._queue.popleft()
                yield arrival
        finally:
            self._ended = True
            thread.join(5)

    def _read(self) -> None:
        import cv2

        for number in itertools.count():
            found, image = self._capture.read()  # type: ignore[attr-defined]
            if not found or self._ended:
                break
            if number % self.every:
                continue
            arrival = Arrival(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), time.monotonic())
            with self._news:
                if len(self._queue) >= QUEUE:
                    self._queue.popleft()
                    self.dropped += 1
                self._queue.append(arrival)
                self._news.notify()
        with self._news:
            self._ended = True
            self._news.notify()
        self._capture.release()  # type: ignore[attr-defined]


Source = Recording | Camera
"""Frames in order: ``name``, ``fps``, ``total`` (None if unknown), ``live``, ``dropped``."""
