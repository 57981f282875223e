"""What detection writes while it runs: tables that grow by whole lines, pictures of events.

Each line is written at once by one call to the system, so that whoever reads a table, or kills
the detector, finds whole lines up to now.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from evaluation.detector.detector import FrameScore
from evaluation.detector.events import Change, EventStream
from evaluation.indicators.registry import INDICATORS
from evaluation.measures.threshold import Event
from pipeline.base.errors import MachineError
from pipeline.base.files import replacing

_ORDER = sorted(INDICATORS, key=lambda one: not one.OMEGA)  # the paper's first
SHOWN = tuple(one.NAME for one in _ORDER)
COLUMNS = (*(one.column for one in _ORDER), "agg")

EVENT_COLUMNS = (
    "start", "end", "peak", "score", "first_frame", "last_frame", "peak_frame", "state"
)  # fmt: skip

SECONDS = ("seconds", "start", "end", "peak")

PAUSE = 1.0
"""Seconds between two pictures of one event at least."""


def values_of(score: FrameScore) -> dict[str, float | None]:
    """Return a frame's numbers by column; None for what is not computed."""
    values = [*(score.omegas.get(name) for name in SHOWN), score.total]
    return dict(zip(COLUMNS, values, strict=True))


def entry_of(event: Event, *, is_open: bool = False) -> dict[str, float | int | str]:
    """Return an event by column: seconds, the score, numbers of frames, open or ended."""
    seconds = (round(one, 3) for one in (event.start, event.end, event.peak_time))
    frames = (event.first, event.last, event.peak)
    values = [*seconds, event.score, *frames, "open" if is_open else "ended"]
    return dict(zip(EVENT_COLUMNS, values, strict=True))


def cell(column: str, value: float | int | str | None) -> str:
    """Return a value as a table has it: numbers of frames whole, seconds to the millisecond.

    >>> cell("frame", 1234567), cell("end", 123456.789), cell("agg", 1 / 3), cell("w3", None)
    ('1234567', '123456.789', '0.333333', '')
    """
    if isinstance(value, float):
        return f"{value:.3f}" if column in SECONDS else f"{value:.6g}"
    return "" if value is None else str(value)


class Table:
    """A CSV file that grows by whole lines; its last line may still change."""

    def __init__(self, path: Path, columns: Iterable[str]) -> None:
        self._path = path
        self._file = path.open("wb", buffering=0)
        self._start = 0
        self._write(columns)

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a line."""
        self._start = self._file.seek(0, 2)
        self._write(cell(*pair) for pair in row.items())

    def change(self, row: Mapping[str, Any]) -> None:
        """Write the last line anew."""
        self._file.seek(self._start)
        self._write(cell(*pair) for pair in row.items())
        self._file.truncate()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, cells: Iterable[str]) -> None:
        line = (",".join(cells) + "\n").encode()
        if self._file.write(line) != len(line):
            raise MachineError(f"{self._path}: the disk is full; free space and detect again")


class Snapshots:
    """A picture of the worst frame so far of each event: ``event-1.jpg`` and so on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._worst: np.ndarray | None = None
        self._number, self._written = 0, 0.0

    def keep(self, image: np.ndarray) -> None:
        """Keep the worst frame so far of an event, (H, W, 3) uint8 RGB."""
        self._worst = image

    def write(self, number: int, last: bool) -> None:
        """Write an event's worst frame if it is new: at once, then at most once a second."""
        now = time.monotonic()
        soon = number == self._number and now - self._written < PAUSE
        if self._worst is None or (soon and not last):
            return
        import cv2

        bgr = cv2.cvtColor(self._worst, cv2.COLOR_RGB2BGR)
        _, content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 92])
        with replacing(self._folder / f"event-{number}.jpg", sync_name=False) as temporary:
            temporary.write_bytes(content.tobytes())
        self._worst, self._number, self._written = None, number, now


class Record:
    """The growing files of one input: ``scores.csv``, ``events.csv``, ``event-1.jpg`` ...

    Parameters
    ----------
    folder
        Of the input; what an earlier detection in it left goes.
    stream
        Finds the events.
    """

    def __init__(self, folder: Path, stream: EventStream) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("scores.*", "events.*", "event-*.jpg", "overlay.mp4"):
            for old in folder.glob(name):
                old.unlink()
        self.events: list[Event] = []
        self._stream = stream
        self._scores = Table(folder / "scores.csv", ["frame", "seconds", *COLUMNS])
        self._table = Table(folder / "events.csv", EVENT_COLUMNS)
        self._snapshots = Snapshots(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._scores.close()
        self._table.close()

    def frame(self, score: FrameScore, seconds: float, image: np.ndarray) -> list[Change]:
        """Take the next frame; return what it changes of the events.

        Parameters
        ----------
        seconds
            At which the frame begins.
        image
            (H, W, 3) uint8 RGB.
        """
        self._scores.add({"frame": score.frame, "seconds": seconds, **values_of(score)})
        changes = self._write(self._stream.push(score.frame, score.total, seconds))
        candidate = self._stream.candidate
        if candidate is not None and candidate.peak == score.frame:
            self._snapshots.keep(image)
        return changes

    def finish(self, seconds: float) -> list[Change]:
        """Say that no frame comes any more, and when the last one ended."""
        return self._write(self._stream.finish(seconds))

    def _write(self, changes: list[Change]) -> list[Change]:
        for number, event, state in changes:
            row = entry_of(event, is_open=state != "ended")
            if state == "began":
                self.events.append(event)
                self._table.add(row)
            else:
                self.events[-1] = event
                self._table.change(row)
            self._snapshots.write(number, last=state == "ended")
        return changes
