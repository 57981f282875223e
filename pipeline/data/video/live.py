"""Cameras and network addresses through FFmpeg in PyAV's wheel, packet by packet.

Nothing that is said of an address holds more than the name that it was given: the address
itself may hold a password.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import av
import numpy as np

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.data.video.frame import Clock, Frame, Gap

WAIT = (20.0, 30.0)
"""Seconds to wait for a connection, and for the next packet."""

PROTOCOLS = "http,https,httpproxy,tcp,tls,udp,rtp,srtp,rtsp,rtmp,rtmps,srt,crypto,data,mmsh,mmst"
"""What an address may lead on to: never to a file of this machine."""

PACED = ("rtsp", "rtsps", "rtp", "udp", "rtmp", "rtmps", "srt", "tcp")
"""Schemes whose sender sets the pace, also where it plays a recording."""

PLAYLISTS = ("hls", "dash")


class LiveReader:
    """A camera or a network address.

    Parameters
    ----------
    address
        A camera's number or a network address.
    name
        What is shown of it.

    Attributes
    ----------
    rate, declared, gaps, interlaced
        As of any :class:`~pipeline.data.video.frame.Reader`.
    live
        Whether frames come when they are made; False for a recording on a web server.
    broken
        Why the connection ended, where it did not end by itself.

    Raises
    ------
    DataError
        If it cannot be opened, or holds no video.
    """

    def __init__(self, address: str, name: str) -> None:
        self.name = name
        self.gaps: list[Gap] = []
        self.interlaced = 0
        self.broken = ""
        url, kind, options = _how(address)
        try:
            self._container: Any = av.open(
                url, format=kind, options=options, timeout=WAIT, metadata_errors="ignore"
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise DataError(
                f"{name}: cannot be opened ({_reason(error)}); check the address, the network and "
                "the password"
            ) from None
        if not self._container.streams.video:
            self.close()
            raise DataError(f"{name}: sends no video; check the address")
        self._stream = self._container.streams.video[0]
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.rate = float(rate) if rate is not None and 0 < rate <= 1000 else None
        self.declared = self._stream.frames or None
        self.duration = (self._container.duration or 0) / 1e6
        self.live = self._is_live(address)

    def _is_live(self, address: str) -> bool:
        if address.partition("://")[0].lower() in PACED or "://" not in address:
            return True
        if self.duration > 0:
            return False
        playlist = bool({*self._container.format.name.split(",")} & {*PLAYLISTS})
        return playlist or self._container.size <= 0

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames as they come, with the seconds of their time stamps.

        Raises
        ------
        DataError
            If not one frame comes, or one cannot be turned into RGB.
        """
        clock, number, seconds = (
            Clock(float(self._stream.time_base or 0), 1 / (self.rate or 25)),
            0,
            0.0,
        )
        packets = self._container.demux(self._stream)
        ended = False
        while not ended:
            packet = self._next(packets)
            ended = packet is None
            frames = self._decode(packet)
            if frames is None:
                self.gaps.append(Gap(number, seconds, 1))
                continue
            for frame in frames:
                seconds = clock.next(frame.pts)
                self.interlaced += frame.interlaced_frame
                yield Frame(number, seconds, self._rgb(frame))
                number += 1
        if not number:
            raise DataError(
                f"{self.name}: sent not one frame that decodes"
                f"{f' ({self.broken})' if self.broken else ''}; check the address"
            )

    def _next(self, packets: Iterator[Any]) -> Any:
        """Return the next packet, None at the end."""
        try:
            packet = next(packets, None)
        except EOFError:
            return None
        except (av.FFmpegError, OSError) as error:
            self.broken = _reason(error)
            return None
        return None if packet is None or packet.size == 0 else packet

    def _decode(self, packet: Any) -> list[Any] | None:
        """Return the frames that are complete now, None if the packet is damaged."""
        try:
            return list(self._stream.codec_context.decode(packet))
        except EOFError:
            return []
        except (av.FFmpegError, MemoryError):
            return None

    def _rgb(self, frame: Any) -> np.ndarray:
        try:
            image: np.ndarray = frame.to_ndarray(format="rgb24")
        except (av.FFmpegError, ValueError, MemoryError) as error:
            raise DataError(
                f"{self.name}: a frame cannot be turned into RGB ({_reason(error)})"
            ) from None
        return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90) % 4))

    def close(self) -> None:
        """Let go of the connection."""
        self._container.close()


def _how(address: str) -> tuple[str, str | None, dict[str, str]]:
    """Return what FFmpeg opens, its format where that must be said, and options."""
    if "://" in address:
        options = {"protocol_whitelist": PROTOCOLS, "analyzeduration": "1000000"}
        scheme = address.partition("://")[0].lower()
        if scheme in ("rtsp", "rtsps"):
            options["rtsp_flags"] = "prefer_tcp"
        if scheme in ("http", "https"):
            options["reconnect"] = "1"
        return address, None, options
    if sys.platform == "linux":
        return f"/dev/video{int(address)}", "v4l2", {}
    if sys.platform == "darwin":
        return f"{int(address)}:none", "avfoundation", {}
    raise ConfigurationError(
        f"camera {address}: cameras are read by number on Linux and macOS; give a network address"
    )


def _reason(error: BaseException) -> str:
    """Return why FFmpeg failed, without the address that its own message holds."""
    return str(getattr(error, "strerror", None) or type(error).__name__)[:120]
