"""Score one video or camera that was never seen, and write what is found while it is found.

::

    OUT/gate-cam/source.json               where it comes from
                 scores.csv, scores.json   frame, seconds, w1, w2, w3, flow, agg
                 events.csv, events.json
                 event-1.jpg ...           the worst frame of each event
                 overlay.mp4
    OUT/report.html

The tables grow frame by frame; the JSON files are written at the end, and say that it is one.
"""

from __future__ import annotations

import json
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.detector.detector import Detector, FrameScore
from evaluation.detector.events import Change, EventStream
from evaluation.detector.overlay import Overlay
from evaluation.detector.record import COLUMNS, SHOWN, Record, entry_of
from evaluation.detector.sources import Arrival, Source
from evaluation.measures.threshold import TICK, Event
from evaluation.report.page import Page, Thumbnail
from evaluation.report.pictures import heat, jpeg
from pipeline.base.files import replacing, write_json
from pipeline.data.video.write import Codec, write_video

RATED = 50
"""Frames after which a stream's frame rate is compared with the training's."""

NEAR = 1.25
"""Frame rates that differ by less than this factor are taken for the same."""

Say = Callable[[str], None]


@dataclass
class Seen:
    """What is kept of a stream: numbers of every frame, pictures of some.

    Pictures are kept at every ``step``-th frame; when there are too many, every second one
    goes and the step doubles, so a stream of any length keeps between half and all of them.
    """

    limit: int
    side: int
    omegas: dict[str, array[float]] = field(default_factory=dict)
    total: array[float] = field(default_factory=lambda: array("d"))
    pictures: list[Thumbnail] = field(default_factory=list)
    step: int = 1
    times: array[float] = field(default_factory=lambda: array("d"))
    delays: array[float] = field(default_factory=lambda: array("d"))

    def add(self, score: FrameScore, image: np.ndarray, seconds: float = 0.0) -> None:
        """Keep a frame's scores and time, and its picture if it is its turn."""
        self.times.append(seconds)
        for name, value in score.omegas.items():
            self.omegas.setdefault(name, array("d")).append(value)
        self.total.append(score.total)
        if not self.limit or score.frame % self.step:
            return
        warm = jpeg(heat(image, score.heat), self.side) if score.heat is not None else ""
        self.pictures.append(Thumbnail(score.frame, jpeg(image, self.side), warm))
        if len(self.pictures) > self.limit:
            self.pictures = self.pictures[::2]
            self.step *= 2

    @property
    def rate(self) -> float | None:
        """Frames a second by their times; None below two of them."""
        spent = self.times[-1] - self.times[0] if len(self.times) > 1 else 0.0
        return (len(self.times) - 1) / spent if spent > 0 else None

    @property
    def usual(self) -> float | None:
        """Frames a second by the median time between two, which a gap does not change."""
        apart = float(np.median(np.diff(self.times))) if len(self.times) > 1 else 0.0
        return 1 / apart if apart > 0 else None

    def end(self, fps: float | None) -> float:
        """Return when the last frame ends, in seconds; it is taken to last as long as most."""
        return self.times[-1] + 1 / (self.usual or fps or 1.0) if self.times else 0.0


@dataclass(frozen=True)
class Found:
    """What was found in one video.

    Attributes
    ----------
    source, seen
        Where frames came from, and what is kept of them.
    events
        In order.
    seconds
        That it took.
    warnings
        What is to be known of it: damage, a frame rate that is not the training's.
    """

    source: Source
    seen: Seen
    events: list[Event]
    seconds: float
    warnings: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        """Frames that were scored."""
        return len(self.seen.total)

    @property
    def fps(self) -> float:
        """Frames a second that were scored, by their times."""
        return self.seen.rate or self.source.fps or 1.0


def detect_video(
    detector: Detector,
    source: Source,
    out: Path,
    *,
    codec: Codec | None = "h264",
    seconds: float | None = None,
    page: Page | None = None,
    progress: Any = None,
    say: Say = print,
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
    say
        Takes a line for people when an event begins or ends, and warnings.

    Raises
    ------
    ConfigurationError
        If the stream has fewer frames than a window.
    """
    page = page or Page()
    seen = Seen(page.thumbnails, page.side)
    begun = time.monotonic()
    warnings: list[str] = []

    def warn(found: list[str]) -> None:
        warnings.extend(found)
        for warning in found:
            say(f"warning: {source.name}: {warning}")

    with ExitStack() as stack:
        stream = EventStream(detector.threshold.value, detector.alarm)
        record = stack.enter_context(Record(out, stream))
        overlay, video = Overlay(detector.threshold.value), None
        if codec is not None:
            video = stack.enter_context(write_video(out / "overlay.mp4", source.fps or 25.0, codec))
        for score, arrival in scored(detector, source, seconds):
            at = arrival.seconds
            seen.add(score, arrival.image, at)
            seen.delays.append(time.monotonic() - arrival.came)
            for change in record.frame(score, at, arrival.image):
                tell(source, change, say)
            if video is not None:
                drawn = overlay.draw(arrival.image, score.total, score.heat, f"{at:.2f} s")
                video.write(drawn, at)
            if progress is not None:
                progress.update(1)
            if len(seen.times) == RATED:
                warn(rate_warning(detector, source, seen.usual))
        for change in record.finish(seen.end(source.fps)):
            tell(source, change, say)
    if len(seen.times) < RATED:
        warn(rate_warning(detector, source, seen.usual))
    warn(source.damage())
    found = Found(source, seen, record.events, time.monotonic() - begun, tuple(warnings))
    write_json_files(detector, found, out)
    return found


def scored(
    detector: Detector, source: Source, seconds: float | None = None
) -> Iterator[tuple[FrameScore, Arrival]]:
    """Yield each frame's score with the frame itself, which waits until its score is known.

    A camera is read until it ends, or until Ctrl-C, which ends a stream like its last frame.
    """
    waiting: deque[Arrival] = deque()
    detector.reset()
    try:
        for arrival in source:
            if seconds is not None and 0 < arrival.seconds > seconds - TICK:
                break
            waiting.append(arrival)
            for score in detector.push(arrival.image):
                yield score, waiting.popleft()
    except KeyboardInterrupt:
        if not source.live:
            raise
    for score in detector.finish():
        yield score, waiting.popleft()


def tell(source: Source, change: Change, say: Say) -> None:
    """Say that an event began or ended."""
    number, event, state = change
    clock = f", {datetime.now():%Y-%m-%d %H:%M:%S}" if source.live else ""
    if state == "began":
        say(f"{source.name}: event {number} begins at {event.start:.2f} s{clock}")
    elif state == "ended":
        say(
            f"{source.name}: event {number} ended at {event.end:.2f} s{clock}: worst "
            f"{event.score:.2f} at {event.peak_time:.2f} s, event-{number}.jpg"
        )


def rate_warning(detector: Detector, source: Source, rate: float | None) -> list[str]:
    """Say that a stream's frame rate is not that of the videos that the run was trained on.

    Flow is in pixels a frame, so another rate is another speed of everything.
    """
    if rate is None or detector.rates is None:
        return []
    low, high = detector.rates
    if low / NEAR <= rate <= high * NEAR:
        return []
    wanted = high if rate > high else low
    every = max(1, round(rate * source.every / wanted))
    fits = rate * source.every / every
    remedy = (
        f"take --every {every}"
        if every != source.every and wanted / NEAR <= fits <= wanted * NEAR
        else f"no --every mends that; record at {wanted:g}, or train a run at {rate:.3g}"
    )
    return [
        f"{rate:.3g} frames a second are scored, the run was trained on {wanted:g}: everything "
        f"seems {'slower' if rate > high else 'faster'}, and scores mean little; {remedy}"
    ]


def write_json_files(detector: Detector, found: Found, out: Path) -> None:
    """Write scores.json and events.json."""
    seen = found.seen
    head = {
        "source": found.source.name,
        "run": detector.run.name,
        "fps": found.fps,
        "frames": found.frames,
        "dropped": found.source.dropped,
        "warnings": list(found.warnings),
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
    with (
        replacing(out / "scores.json") as temporary,
        temporary.open("w", encoding="utf-8", newline="\n") as file,
    ):
        start = json.dumps(head, indent=1)
        file.write(start[:-2] + ',\n "scores": [\n')
        for frame, total in enumerate(seen.total):
            values = [seen.omegas[n][frame] if n in seen.omegas else None for n in SHOWN]
            entry = dict(zip(COLUMNS, [*values, total], strict=True))
            line = {"frame": frame, "seconds": round(seen.times[frame], 4), **entry}
            file.write(("  " if frame == 0 else ",\n  ") + json.dumps(line, allow_nan=False))
        file.write("\n ]\n}\n")
    write_json(out / "events.json", head | {"events": [entry_of(one) for one in found.events]})
