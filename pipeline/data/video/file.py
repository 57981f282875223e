"""Video files: frames by number, and a reader that goes from the first frame to the last.

Frames are those that decode, numbered from 0. Interlaced frames are given as they are stored,
both fields woven into one picture: nothing is computed that was not filmed.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.base.errors import DataError
from pipeline.data.video.decoder import REENCODE, Decoder, Painter, stamp
from pipeline.data.video.facts import Key, declared_frames, declared_rate, group
from pipeline.data.video.folder import same_size
from pipeline.data.video.frame import Clock, Frame, Gap

__all__ = ["VIDEO_SUFFIXES", "FileReader", "file_frames", "stamp"]

VIDEO_SUFFIXES = (
    ".mp4", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".wmv", ".webm", ".ts", ".mts",
    ".m2ts", ".flv", ".3gp", ".ogv",
)  # fmt: skip


class FileReader:
    """A video file, read from its first frame to its last; see :class:`Reader`.

    Raises
    ------
    DataError
        It is no file, empty, or no video that opens; while reading, if its size changes or
        not one frame decodes.
    """

    def __init__(self, path: Path):
        self.path, self.name = path, path.name or str(path)
        self._decoder = Decoder(path)
        self.rate = declared_rate(self._decoder)
        self.declared = declared_frames(self._decoder)
        self._clock = Clock(self._decoder.tick, 1 / (self.rate or 25))
        self.interlaced = 0
        self._times: list[float] = []

    @property
    def gaps(self) -> Sequence[Gap]:
        """What did not decode so far."""
        return group(self._decoder, self._clock, self._times)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames that are left."""
        painter = Painter()
        shape: tuple[int, ...] | None = None
        while (frame := self._decoder.next()) is not None:
            number = self._decoder.position - 1
            image = painter.rgb(frame, self.path, number)
            shape = shape or image.shape
            same_size(image.shape, shape, self.path, number)
            self._times.append(self._clock.next(self._decoder.stamp))
            self.interlaced += frame.interlaced_frame
            yield Frame(number, self._times[-1], image)
        if not self._times:
            raise DataError(f"{self.path}: not one frame decodes; {REENCODE}")

    def close(self) -> None:
        """Close the file."""
        self._decoder.close()


class NumberedFrames:
    """An open video file whose frames are read by number.

    Parameters
    ----------
    path : Path
    keys : sequence of (int, int)
        Key frames at which reading may begin; without them a frame is reached by decoding
        all before it.
    """

    def __init__(self, path: Path, keys: Sequence[Key] = ()):
        self.path, self.keys = path, tuple(keys)
        self.stamp = stamp(path)
        self._decoder = Decoder(path)
        self._painter = Painter()
        self._shape: tuple[int, ...] | None = None

    def frames(self, wanted: range) -> Iterator[np.ndarray]:
        """Yield the wanted frames, (H, W, 3) uint8 RGB."""
        for number in wanted:
            self._reach(number)  # also where someone else read on between two of our frames
            frame = self._decoder.next() if self._decoder.position == number else None
            if frame is None:
                raise DataError(
                    f"{self.path}: frame {number} was asked for, only {self._decoder.position} "
                    f"decode; {REENCODE}"
                )
            image = self._painter.rgb(frame, self.path, number)
            self._shape = self._shape or image.shape
            same_size(image.shape, self._shape, self.path, number)
            yield image

    def _reach(self, number: int) -> None:
        """Make frame ``number`` the next one."""
        if number == self._decoder.position:
            return
        place = bisect.bisect_right(self.keys, (number, 2**63)) - 1
        key = self.keys[place] if place >= 0 else None
        behind = number < self._decoder.position
        if key is not None and (behind or key[0] > self._decoder.position):
            if not self._decoder.seek(*key):
                self._restart()
        elif behind:
            self._restart()
        while self._decoder.position < number and self._decoder.next() is not None:
            pass

    def _restart(self) -> None:
        self._decoder.close()
        self._decoder = Decoder(self.path)

    def close(self) -> None:
        """Close the file."""
        self._decoder.close()


_last = threading.local()
"""One open file a thread: the one that this thread read last."""


def file_frames(path: Path, wanted: range, keys: Sequence[Key] = ()) -> Iterator[np.ndarray]:
    """Yield frames as (H, W, 3) uint8 RGB, going on where this thread stopped last."""
    reader: NumberedFrames | None = getattr(_last, "reader", None)
    if reader is None or reader.path != path or reader.stamp != stamp(path):
        if reader is not None:
            reader.close()
        _last.reader = None
        reader = _last.reader = NumberedFrames(path, keys)
    yield from reader.frames(wanted)
