"""What reading a video file from end to end shows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from av.video.frame import VideoFrame

from pipeline.base.errors import DataError
from pipeline.data.video.decoder import REENCODE, Decoder, Painter
from pipeline.data.video.folder import same_size
from pipeline.data.video.frame import Clock, Gap

KEY_FRAMES_APART = 64
"""Of the key frames that reading may begin at, those are remembered that lie so far apart."""

Key = tuple[int, int]
"""Number and time stamp of a key frame."""


@dataclass(frozen=True)
class FileFacts:
    """What reading a video from end to end shows.

    Attributes
    ----------
    frames : int
        Frames that decode.
    width, height : int
        Pixels.
    rate : float or None
        Frames a second on average; None where the file does not say.
    digest : str
        SHA-256 of what the frames come from.
    times : tuple of float
        Seconds of each frame since the first; empty where they are ``1 / rate`` apart.
    gaps : tuple of Gap
        What did not decode.
    interlaced : int
        Frames that are two fields of different moments.
    declared : int or None
        Frames that the file says it has.
    missing : float
        Seconds by which it is shorter than it says, where it counts no frames.
    keys : tuple of (int, int)
        Key frames at which reading may begin.
    """

    frames: int
    width: int
    height: int
    rate: float | None
    digest: str
    times: tuple[float, ...] = ()
    gaps: tuple[Gap, ...] = ()
    interlaced: int = 0
    declared: int | None = None
    missing: float = 0.0
    keys: tuple[Key, ...] = ()

    @property
    def lost(self) -> int:
        """Packets that did not decode."""
        return sum(gap.packets for gap in self.gaps)


@dataclass
class _Seen:
    """What is noted while a file is read."""

    shape: tuple[int, ...] | None = None
    times: list[float] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    interlaced: int = 0


def read_facts(path: Path) -> FileFacts:
    """Decode every frame of a file.

    Raises
    ------
    DataError
        It does not open, no frame decodes, or the size changes.
    """
    decoder = Decoder(path)
    try:
        rate = declared_rate(decoder)
        clock = Clock(decoder.tick, 1 / (rate or 25))
        seen = _read(decoder, clock)
        if seen.shape is None:
            raise DataError(f"{path}: not one frame decodes; {REENCODE}")
        even = rate is not None and _even(seen.times, rate, decoder.tick)
        if not even and len(seen.times) > 1:
            rate = (len(seen.times) - 1) / seen.times[-1]
        gaps = group(decoder, clock, seen.times)
        declared = declared_frames(decoder)
        return FileFacts(
            frames=len(seen.times),
            width=seen.shape[1],
            height=seen.shape[0],
            rate=rate,
            digest=_digest(path, changed=bool(gaps or seen.interlaced)),
            times=() if even else tuple(round(time, 6) for time in seen.times),
            gaps=gaps,
            interlaced=seen.interlaced,
            declared=declared,
            missing=0.0 if declared else _missing(decoder, seen.times, rate),
            keys=tuple(seen.keys),
        )
    finally:
        decoder.close()


def _read(decoder: Decoder, clock: Clock) -> _Seen:
    seen = _Seen()
    while (frame := decoder.next()) is not None:
        number = decoder.position - 1
        shape = upright_shape(frame)
        if seen.shape is None:
            seen.shape = Painter().rgb(frame, decoder.path, number).shape
        same_size(shape, seen.shape, decoder.path, number)
        seen.times.append(clock.next(decoder.stamp))
        seen.interlaced += frame.interlaced_frame
        last = seen.keys[-1][0] if seen.keys else 0
        if frame.key_frame and frame.pts is not None and number >= last + KEY_FRAMES_APART:
            seen.keys.append((number, frame.pts))
    if not decoder.seekable:
        seen.keys.clear()
    return seen


def upright_shape(frame: VideoFrame) -> tuple[int, int]:
    """Return (height, width) of a frame after it is turned as its file says."""
    turned = round(frame.rotation / 90) % 2
    return (frame.width, frame.height) if turned else (frame.height, frame.width)


def declared_rate(decoder: Decoder) -> float | None:
    """Return the frames a second that a file says, None where that is nonsense."""
    for rate in (decoder.stream.average_rate, decoder.stream.guessed_rate):
        if rate is not None and 0 < rate <= 1000:
            return float(rate)
    return None


def declared_frames(decoder: Decoder) -> int | None:
    """Return the frames that a file says it has, less those that its edit list leaves out."""
    return decoder.stream.frames - decoder.discarded if decoder.stream.frames > 0 else None


def _even(times: Sequence[float], rate: float, tick: float) -> bool:
    """Return whether frames are evenly spaced, but for the rounding of their stamps."""
    rounding = min(tick, 0.25 / rate) + 1e-9
    return all(abs(time - n / rate) <= rounding for n, time in enumerate(times))


def _missing(decoder: Decoder, times: Sequence[float], rate: float | None) -> float:
    """Return the seconds that a file without a count of frames says it has and has not."""
    duration = (decoder.container.duration or 0) / 1e6
    missing = duration - times[-1] - 1 / (rate or 25)
    slack = 2 / (rate or 25) + duration / 50
    return round(missing, 3) if missing > slack else 0.0


def group(decoder: Decoder, clock: Clock, times: Sequence[float]) -> tuple[Gap, ...]:
    """Return the lost packets, those in a row as one gap, in the order of time."""
    places: dict[int, tuple[float, int]] = {}
    for lost in decoder.lost:
        seconds = clock.since_start(lost.stamp)
        if seconds is None:
            frame, seconds = lost.frames, times[lost.frames - 1] if lost.frames else 0.0
        else:
            frame = sum(time < seconds for time in times)
        first, packets = places.get(frame, (seconds, 0))
        places[frame] = (min(first, seconds), packets + 1)
    return tuple(
        Gap(frame, round(seconds, 3), packets)
        for frame, (seconds, packets) in sorted(places.items())
    )


def _digest(path: Path, changed: bool) -> str:
    """Return the SHA-256 of a file; another where earlier versions read other frames from it."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not changed:
        return digest
    return hashlib.sha256(f"{digest} read on behind damage, fields woven".encode()).hexdigest()


def check_whole(path: Path, facts: FileFacts) -> None:
    """Raise a DataError where frames are missing from what a file says it holds."""
    fault = shortage(facts.frames, facts.declared, facts.gaps, facts.missing)
    if fault:
        raise DataError(
            f"{path}: {fault}: it is truncated or damaged; {REENCODE}. If what decodes is all "
            "there is, set `frame_count: decoded` in the manifest"
        )


def shortage(frames: int, declared: int | None, gaps: Sequence[Gap], missing: float) -> str:
    """Say what is missing from a file, with both counts; empty where nothing is."""
    lost = f" ({tell_gaps(gaps)})" if gaps else ""
    if declared and declared != frames:
        return f"its header says {declared} frames, {frames} decode{lost}"
    if gaps:
        return f"{frames} frames decode{lost}"
    if missing:
        return f"its header says {missing:g} s more than its {frames} frames fill"
    return ""


def woven(interlaced: int) -> str:
    """Say that frames are interlaced, and the remedy; empty where none is."""
    if not interlaced:
        return ""
    return (
        f"{interlaced} frames are interlaced and read as they are, both fields in one picture; to "
        "have no combs at moving edges: ffmpeg -i IN -vf bwdif OUT.mp4"
    )


def tell_gaps(gaps: Iterable[Gap]) -> str:
    """Say where packets did not decode.

    >>> tell_gaps([Gap(20, 0.8, 1), Gap(49, 2.0, 3)])
    '4 packets do not decode: 1 before frame 20 (0.80 s), 3 before frame 49 (2.00 s)'
    """
    gaps = list(gaps)
    total = sum(gap.packets for gap in gaps)
    places = [f"{gap.packets} before frame {gap.frame} ({gap.seconds:.2f} s)" for gap in gaps[:4]]
    more = f" and at {len(gaps) - 4} more places" if len(gaps) > 4 else ""
    plural = "packet does" if total == 1 else "packets do"
    return f"{total} {plural} not decode: {', '.join(places)}{more}"
