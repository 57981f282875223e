"""Decoding a video file packet by packet, through FFmpeg in PyAV's wheel.

A packet that does not decode is remembered and left out; reading goes on behind it. Several
threads decode as long as all goes well. At the first damage the file is read anew by one,
since what threads make of damage depends on how many there are.
"""

from __future__ import annotations

import heapq
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from pipeline.base.errors import DataError
from pipeline.data.video.folder import unreadable

REENCODE = "copy it again, or re-encode it: ffmpeg -i IN -c:v libx264 OUT.mp4"

FORMATS = (
    "mov", "mp4", "m4a", "3gp", "3g2", "mj2", "avi", "matroska", "webm", "mpeg", "mpegts", "asf",
    "asf_o", "flv", "live_flv", "ogg", "dv", "mxf", "mxf_opatom", "gxf", "nut", "wtv", "rm", "ivf",
    "yuv4mpegpipe", "m4v", "mpegvideo", "h264", "hevc", "obu", "av1", "mjpeg", "vob", "roq", "dhav",
    "amv", "xmv", "nsv", "pva", "viv", "vc1", "vc1test", "cavsvideo", "smjpeg", "swf", "gif",
)  # fmt: skip
"""Containers that are opened: none that names other files or addresses."""

MOST_PIXELS = 2**27
"""Of a frame; no header may make us allocate more."""

OPEN_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": ",".join(FORMATS)}


def stamp(path: Path) -> tuple[int, int]:
    """Return (bytes, time of modification in ns) of a file or folder."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise DataError(f"{path}: not found; check DATA and the manifest") from None
    except OSError as error:
        raise unreadable(path, error) from error
    return found.st_size, found.st_mtime_ns


@dataclass(frozen=True)
class Lost:
    """A packet that did not decode: its time stamp, and the frames that had come before."""

    stamp: int | None
    frames: int


class Decoder:
    """An open video file and the number of the frame that comes next.

    ``stamp`` is the time stamp of the frame that was given last, in steps of ``tick`` seconds.

    Parameters
    ----------
    path : Path
    threads : bool
        False decodes by one thread from the start.

    Raises
    ------
    DataError
        It is no file, empty, or no video that opens.
    """

    def __init__(self, path: Path, threads: bool = True):
        self.path = path
        self._threads = threads
        self._check_file()
        self._open()

    def _check_file(self) -> None:
        size = stamp(self.path)[0]
        if not stat.S_ISREG(self.path.stat().st_mode):
            raise DataError(f"{self.path}: is not a file; put the video itself there")
        if size == 0:
            raise DataError(f"{self.path}: is an empty file; copy it again")

    def _open(self) -> None:
        self.position = 0
        self.stamp: int | None = None
        self._sent = self._received = self.discarded = 0
        self.lost: list[Lost] = []
        self._ready: deque[VideoFrame] = deque()
        self._waiting: list[int] = []
        self._ended = False
        self.container: InputContainer = _container(self.path)
        self.stream = _stream(self.path, self.container)
        # AVI says when to decode, not when to show: the times of the first n frames are the n least
        self._by_order = self.container.format.name == "avi"
        context = self.stream.codec_context
        context.options = {"max_pixels": str(MOST_PIXELS)}
        context.thread_type = "AUTO" if self._threads else "NONE"
        self._packets: Iterator[Packet] = self.container.demux(self.stream)

    def close(self) -> None:
        """Close the file."""
        self._ready.clear()
        self.container.close()

    @property
    def seekable(self) -> bool:
        """Whether the time stamp of a key frame tells where it lies."""
        return not (self._by_order and self.stream.codec_context.has_b_frames)

    @property
    def tick(self) -> float:
        """Seconds of one step of the time stamps."""
        return float(self.stream.time_base or 0)

    def next(self) -> VideoFrame | None:
        """Return the next frame that decodes, None at the end."""
        while not self._ready:
            if self._ended:
                return None
            self._feed()
        self.position += 1
        frame = self._ready.popleft()
        self.stamp = heapq.heappop(self._waiting) if self._waiting else frame.pts
        return frame

    def seek(self, number: int, stamp: int) -> bool:
        """Make key frame ``number`` with time stamp ``stamp`` the next; False if that fails."""
        self._ready.clear()
        self._waiting.clear()
        self._ended = False
        self._sent = self._received = 0
        try:
            self.container.seek(stamp, stream=self.stream)
        except av.FFmpegError:
            return False
        self._packets = self.container.demux(self.stream)
        while True:
            frame = self.next()
            if frame is None or frame.pts is None or frame.pts > stamp:
                return False
            if frame.pts == stamp:
                self._ready.appendleft(frame)
                self.position = number
                return True

    def _feed(self) -> None:
        """Decode the next packet."""
        try:
            packet = next(self._packets, None)
        except av.FFmpegError:  # the container breaks off
            self.lost.append(Lost(None, self.position))
            packet = None
        if packet is None or (packet.size == 0 and packet.dts is None and packet.pts is None):
            self._ended = True
            self._decode(None)
            if self._threads and self._received + self.discarded < self._sent:
                self._start_again()  # an error among the last frames would not have been told
        elif packet.size:  # an empty one is no frame, and to the decoder the end of the file
            self._sent += 1
            self.discarded += packet.is_discard
            self._decode(packet)

    def _decode(self, packet: Packet | None) -> None:
        try:
            frames = self.stream.codec_context.decode(packet)
        except EOFError:  # the decoder has ended before
            return
        except (av.FFmpegError, MemoryError):
            if self._threads:
                self._start_again()
                return
            when = None if packet is None else packet.dts if packet.pts is None else packet.pts
            self.lost.append(Lost(when, self.position + len(self._ready)))
            return
        if self._threads and any(frame.is_corrupt for frame in frames):
            self._start_again()
            return
        if packet is not None and packet.dts is not None and self._by_order:
            heapq.heappush(self._waiting, packet.dts)
        self._received += len(frames)
        self._ready.extend(frames)  # type: ignore[arg-type]

    def _start_again(self) -> None:
        """Read the file anew by one thread, up to the frame that comes next."""
        number = self.position
        self.close()
        self._threads = False
        self._open()
        while self.position < number and self.next() is not None:
            pass


def _container(path: Path) -> InputContainer:
    try:
        return av.open(f"file:{path.absolute()}", options=OPEN_OPTIONS, metadata_errors="ignore")
    except PermissionError as error:
        raise unreadable(path, error) from error
    except (av.FFmpegError, ValueError, MemoryError, UnicodeError) as error:
        raise DataError(f"{path}: is no video that opens ({_short(error)}); {REENCODE}") from error


def _stream(path: Path, container: InputContainer) -> VideoStream:
    """Return the first video stream that is no cover picture and has a decoder."""
    pictures = av.stream.Disposition.attached_pic
    streams = [one for one in container.streams.video if not one.disposition & pictures]
    if not streams:
        container.close()
        raise DataError(f"{path}: is no video that opens, it holds no pictures; {REENCODE}")
    if streams[0].codec_context is None:
        container.close()
        raise DataError(f"{path}: is in a format that no decoder here reads; {REENCODE}")
    return streams[0]


def _short(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)[:120] or type(error).__name__


class Painter:
    """Turns decoded frames into RGB, upright."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def rgb(self, frame: VideoFrame, path: Path, number: int) -> np.ndarray:
        """Return a frame as (H, W, 3) uint8 RGB, turned as its file says."""
        try:
            image = self._convert(frame)
        except (av.FFmpegError, ValueError, MemoryError) as error:
            raise DataError(
                f"{path}: frame {number} cannot be turned into RGB ({_short(error)}); {REENCODE}"
            ) from error
        turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(image, turns)) if turns else image

    def _convert(self, frame: VideoFrame) -> Any:
        """Return RGB as OpenCV gives it, to the last bit; directly where that is the same."""
        deep = any(part.bits > 8 for part in frame.format.components)
        if not (deep or frame.width % 2 or frame.height % 2):
            return self._reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        picture = self._reformatter.reformat(
            frame, format="bgr24", interpolation="BICUBIC", threads=1
        )
        return cv2.cvtColor(picture.to_ndarray(), cv2.COLOR_BGR2RGB)
