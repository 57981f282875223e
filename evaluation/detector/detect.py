"""Score videos that were never seen: scores, events, an overlay video and a report.

::

    OUT/gate-cam/scores.csv, scores.json   frame, seconds, w1, w2, w3, flow, agg
                 events.csv, events.json
                 overlay.mp4
    OUT/report.html
"""

from __future__ import annotations

import csv
import json
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.detector.detector import Detector, FrameScore
from evaluation.detector.overlay import Codec, Overlay, available, open_video
from evaluation.detector.sources import Arrival, Source
from evaluation.indicators.registry import INDICATORS
from evaluation.measures.threshold import Event, find_events
from evaluation.report.page import Page, Thumbnail
from evaluation.report.pictures import heat, jpeg
from pipeline.base.errors import ConfigurationError
from pipeline.base.files import replacing, write_json, write_text

_ORDER = sorted(INDICATORS, key=lambda one: not one.OMEGA)  # the paper's first
SHOWN = tuple(one.NAME for one in _ORDER)
COLUMNS = (*(one.column for one in _ORDER), "agg")


@dataclass
class Seen:
    """What is kept of a stream: numbers of every frame, pictures of some.

    Pictures are kept at every ``step``-th frame; when there are too many, every second one
    goes and the step doubles, so a stream of any length keeps between half and all of them.
    """

    limit: int
    side: int
    omegas: dict[str, list[float]] = field(default_factory=dict)
    total: list[float] = field(default_factory=list)
    pictures: list[Thumbnail] = field(default_factory=list)
    step: int = 1
    times: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)

    def add(self, score: FrameScore, image: np.ndarray, seconds: float = 0.0) -> None:
        """Keep a frame's scores and time, and its picture if it is its turn."""
        self.times.append(seconds)
        for name, value in score.omegas.items():
            self.omegas.setdefault(name, []).append(value)
        self.total.append(score.total)
        if not self.limit or score.frame % self.step:
            return
        warm = jpeg(heat(image, score.heat), self.side) if score.heat is not None else ""
        self.pictures.append(Thumbnail(score.frame, jpeg(image, self.side), warm))
        if len(self.pictures) > self.limit:
            self.pictures = self.pictures[::2]
            self.step *= 2


@dataclass(frozen=True)
class Found:
    """What was found in one video."""

    source: Source
    seen: Seen
    events: list[Event]
    seconds: float

    @property
    def frames(self) -> int:
        """Frames that were scored."""
        return len(self.seen.total)

    @property
    def fps(self) -> float:
        """Frames a second that were scored: of a camera those that came and were not dropped."""
        return frame_rate(self.source, self.seen.times)


def detect_video(
    detector: Detector,
    source: Source,
    out: Path,
    *,
    codec: Codec | None = "auto",
    seconds: float | None = None,
    page: Page | None = None,
    progress: Any = None,
) -> Found:
    """Score one stream and write its files into ``out``.

    Parameters
    ----------
    codec
        Of the overlay video; None writes none.
    seconds
        Stop after so many seconds of the stream.
    progress
        Something with ``update(frames)``.

    Raises
    ------
    ConfigurationError
        If the stream has fewer frames than a window, or no known frame rate.
    """
    page = page or Page()
    if source.fps is None:
        raise ConfigurationError(f"{source.name}: does not say its frames a second; give --fps")
    seen = Seen(page.thumbnails, page.side)
    begun, begin = time.monotonic(), None
    with ExitStack() as stack:
        table = stack.enter_context(replacing(out / "scores.csv"))
        rows = csv.writer(stack.enter_context(table.open("w", newline="", encoding="utf-8")))
        rows.writerow(["frame", "seconds", *COLUMNS])
        overlay = Overlay(detector.threshold.value)
        video = None
        if codec is not None:
            video = stack.enter_context(
                open_video(out / "overlay.mp4", source.fps, available(codec))
            )
        for score, arrival in scored(detector, source, seconds):
            begin = begin if begin is not None else arrival.time
            at = arrival.time - begin if source.live else score.frame / source.fps
            seen.add(score, arrival.image, at)
            seen.delays.append(time.monotonic() - arrival.time)
            rows.writerow(_row(score, at))
            if video is not None:
                video.write(overlay.draw(arrival.image, score.total, score.heat, f"{at:.2f} s"))
            if progress is not None:
                progress.update(1)
    rate = frame_rate(source, seen.times)
    events = find_events(np.array(seen.total), detector.threshold.value, rate, detector.alarm)
    found = Found(source, seen, events, time.monotonic() - begun)
    write_events(detector, found, out)
    return found


def scored(
    detector: Detector, source: Source, seconds: float | None = None
) -> Iterator[tuple[FrameScore, Arrival]]:
    """Yield each frame's score with the frame itself, which waits until its score is known.

    A camera is read until it ends, or until Ctrl-C, which ends a stream like its last frame.
    """
    waiting: deque[Arrival] = deque()
    limit = np.inf if seconds is None else max(1, round(seconds * (source.fps or 1)))
    first = None
    detector.reset()
    try:
        for count, arrival in enumerate(source, 1):
            first = arrival.time if first is None else first
            waiting.append(arrival)
            for score in detector.push(arrival.image):
                yield score, waiting.popleft()
            if count >= limit or (
                source.live and seconds is not None and arrival.time - first >= seconds
            ):
                break
    except KeyboardInterrupt:
        if not source.live:
            raise
    for score in detector.finish():
        yield score, waiting.popleft()


def frame_rate(source: Source, times: Sequence[float]) -> float:
    """Return the frames a second of a recording, or those that really came from a camera."""
    if source.live and len(times) > 1 and times[-1] > times[0]:
        return (len(times) - 1) / (times[-1] - times[0])
    return source.fps or 1.0


def _row(score: FrameScore, seconds: float) -> list[str]:
    values = [score.omegas.get(name) for name in SHOWN]
    numbers = ["" if value is None else f"{value:.6g}" for value in [*values, score.total]]
    return [str(score.frame), f"{seconds:.3f}", *numbers]


def write_events(detector: Detector, found: Found, out: Path) -> None:
    """Write scores.json, events.json and events.csv."""
    fps, seen = found.fps, found.seen
    head = {
        "source": found.source.name,
        "run": detector.run.name,
        "fps": fps,
        "frames": found.frames,
        "dropped": found.source.dropped,
        "protocol": detector.protocol,
        "eta": detector.eta,
        "threshold": asdict(detector.threshold),
        "alarm": asdict(detector.alarm),
        "delay_frames": detector.delay,
        "frames_a_second": found.frames / found.seconds if found.seconds else None,
    }
    if found.source.live and seen.delays:
        low, high = np.quantile(seen.delays, [0.5, 1.0])
        head["delay_seconds"] = {"median": float(low), "largest": float(high)}
    with replacing(out / "scores.json") as temporary, temporary.open("w", encoding="utf-8") as file:
        start = json.dumps(head, indent=1)
        file.write(start[:-2] + ',\n "scores": [\n')
        for frame, total in enumerate(seen.total):
            values = [seen.omegas[n][frame] if n in seen.omegas else None for n in SHOWN]
            entry = dict(zip(COLUMNS, [*values, total], strict=True))
            line = {"frame": frame, "seconds": round(seen.times[frame], 4), **entry}
            file.write(("  " if frame == 0 else ",\n  ") + json.dumps(line, allow_nan=False))
        file.write("\n ]\n}\n")
    events = [
        {
            "start": seen.times[event.first],
            "end": seen.times[event.last] + 1 / fps,
            "peak": seen.times[event.peak],
            "score": event.score,
            "first_frame": event.first,
            "last_frame": event.last,
            "peak_frame": event.peak,
        }
        for event in found.events
    ]
    write_json(out / "events.json", head | {"events": events})
    names = ["start", "end", "peak", "score", "first_frame", "last_frame", "peak_frame"]
    lines = [",".join(names)]
    lines += [",".join(f"{event[name]:.6g}" for name in names) for event in events]
    write_text(out / "events.csv", "\n".join(lines) + "\n")
