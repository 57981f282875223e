"""Video files through OpenCV's FFmpeg: open, decode in order, count, check."""

from __future__ import annotations

import hashlib
import math
import stat
import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from pipeline.base.errors import DataError
from pipeline.data.video.folder import same_size, unreadable

VIDEO_SUFFIXES = (
    ".mp4", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".wmv", ".webm", ".ts", ".mts",
    ".m2ts", ".flv", ".3gp", ".ogv",
)  # fmt: skip

COUNTED = (".mp4", ".mov", ".m4v", ".3gp", ".avi")
"""Containers that count their frames; of others the count is estimated from the duration."""

REENCODE = "copy it again, or re-encode it: ffmpeg -i IN -c:v libx264 OUT.mp4"


def stamp(path: Path) -> tuple[int, int]:
    """Return (bytes, time of modification in ns) of a file or folder."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise DataError(f"{path}: not found; check DATA and the manifest") from None
    except OSError as error:
        raise unreadable(path, error) from error
    return found.st_size, found.st_mtime_ns


class FileReader:
    """An open video file and the number of the frame that comes next."""

    def __init__(self, path: Path):
        self.path = path
        self.stamp = stamp(path)
        self.shape: tuple[int, ...] | None = None
        self._open()

    def _open(self) -> None:
        if not stat.S_ISREG(self.path.stat().st_mode):
            raise DataError(f"{self.path}: is not a file; put the video itself there")
        if self.stamp[0] == 0:
            raise DataError(f"{self.path}: is an empty file; copy it again")
        self.capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)
        self.position = 0
        if not self.capture.isOpened():
            raise DataError(f"{self.path}: is no video that opens; {REENCODE}")

    def property(self, which: int) -> float:
        """Return what the container says, 0 where it says nonsense."""
        value = self.capture.get(which)
        return value if math.isfinite(value) else 0.0

    def next(self) -> np.ndarray | None:
        """Return the next frame in BGR, None at the end."""
        try:
            found, image = self.capture.read()
        except (cv2.error, MemoryError) as error:
            raise DataError(
                f"{self.path}: frame {self.position} cannot be decoded ({error}); {REENCODE}"
            ) from error
        if not found:
            return None
        self.shape = self.shape or image.shape
        same_size(image, self.shape, self.path, self.position)
        self.position += 1
        return image

    def reach(self, number: int) -> None:
        """Make frame ``number`` the next one, by decoding from the start if it lies behind."""
        if number < self.position:
            self.capture.release()
            self._open()
        while self.position < number and self.capture.grab():
            self.position += 1

    def frames(self, wanted: range) -> Iterator[np.ndarray]:
        """Yield the wanted frames in RGB."""
        for number in wanted:
            self.reach(number)  # also where someone else read on between two of our frames
            image = self.next() if self.position == number else None
            if image is None:
                raise DataError(
                    f"{self.path}: frame {number} was asked for, only {self.position} decode; "
                    f"{REENCODE}"
                )
            yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


_last = threading.local()
"""One open file a thread: the one that this thread read last."""


def file_frames(path: Path, wanted: range) -> Iterator[np.ndarray]:
    """Yield frames as (H, W, 3) uint8 RGB, going on where this thread stopped last."""
    reader: FileReader | None = getattr(_last, "reader", None)
    if reader is None or reader.path != path or reader.stamp != stamp(path):
        if reader is not None:
            reader.capture.release()
        _last.reader = None
        reader = _last.reader = FileReader(path)
    yield from reader.frames(wanted)


@lru_cache(maxsize=4096)
def count_file(path: Path, frame_count: str, _stamp: tuple[int, int]) -> int:
    """Return the number of frames, from the header if ``strict``; remembered by its stamp."""
    reader = FileReader(path)
    declared = int(reader.property(cv2.CAP_PROP_FRAME_COUNT))
    if frame_count == "strict" and declared > 0 and path.suffix.lower() in COUNTED:
        return declared  # probe() raises if this is not what decodes
    frames = 0
    while reader.capture.grab():
        frames += 1
    return frames


def probe_file(path: Path, frame_count: str) -> tuple[int, tuple[int, int], float | None, str]:
    """Decode every frame; return the count, (height, width), frames a second and SHA-256."""
    reader = FileReader(path)
    declared = int(reader.property(cv2.CAP_PROP_FRAME_COUNT))
    fps = reader.property(cv2.CAP_PROP_FPS)
    while reader.next() is not None:
        pass
    if reader.shape is None:
        raise DataError(f"{path}: not one frame decodes; {REENCODE}")
    if frame_count == "strict":
        _check_count(path, declared, reader.position)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = (reader.shape[0], reader.shape[1])
    return reader.position, size, fps if 0 < fps <= 1000 else None, digest


def _check_count(path: Path, declared: int, decoded: int) -> None:
    """Raise a DataError where the header's count shows that frames are missing."""
    slack = 0 if path.suffix.lower() in COUNTED else 2 + declared // 50
    if declared > 0 and abs(declared - decoded) > slack:
        raise DataError(
            f"{path}: its header says {declared} frames, {decoded} decode: it is truncated "
            f"or damaged; {REENCODE}. If what decodes is all there is, set `frame_count: decoded` "
            "in the manifest"
        )
