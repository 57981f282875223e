"""Events, and the threshold that keeps false alarms to a rate that the user names.

The threshold is the lowest at which held-out *normal* footage, all of whose events are false,
has no more events an hour than asked for. Footage of h hours can tell rates down to 1/h: for a
lower one the threshold is the highest score of the footage, just above which it has no event,
and the true rate is then below 3/h with 95 % confidence (the rule of three), no better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.base.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """When scores are called an event."""

    rate: float = 1.0
    """False alarms an hour that are acceptable."""

    merge: float = 1.0
    """Seconds: events nearer to each other are one."""

    shortest: float = 0.2
    """Seconds: shorter events are none."""

    threshold: float | None = None
    """A threshold of your own instead of one from the rate."""

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ConfigurationError(f"alarm.rate: {self.rate}: must be above 0 an hour")
        for name in ("merge", "shortest"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"alarm.{name}: {getattr(self, name)} s is below 0")


@dataclass(frozen=True)
class Threshold:
    """A threshold and what is known of it.

    Attributes
    ----------
    value
        Scores above it are anomalous.
    asked
        The false alarms an hour that were asked for; None for a threshold of the user's own.
    hours
        Of held-out normal footage that it was set on.
    events
        That this footage has above the threshold.
    supported
        Whether the footage is long enough to tell the rate that was asked for.
    note
        All this in words.
    """

    value: float
    asked: float | None
    hours: float
    events: int
    supported: bool
    note: str


TICK = 1e-3
"""Seconds: some files round their time stamps to this, so that 0.2 s may be written as 0.199."""


@dataclass(frozen=True)
class Event:
    """A run of frames above the threshold.

    Attributes
    ----------
    first, last, peak
        Frames.
    score
        At the peak.
    start, end
        Seconds at which the first frame begins and the last one ends, which is when the frame
        after it begins.
    peak_time
        Seconds at which the frame of the peak begins.
    """

    first: int
    last: int
    peak: int
    score: float
    start: float
    end: float
    peak_time: float


def intervals(flags: np.ndarray, first: int = 0) -> list[tuple[int, int]]:
    """Return the runs of true values as [first, last] frames.

    >>> intervals(np.array([0, 1, 1, 0, 1]), first=10)
    [(11, 12), (14, 14)]
    """
    edges = np.flatnonzero(np.diff(np.r_[0, np.asarray(flags, bool).astype(np.int8), 0]))
    return [
        (int(start) + first, int(stop) - 1 + first)
        for start, stop in zip(edges[::2], edges[1::2], strict=True)
    ]


def find_events(
    scores: np.ndarray, times: np.ndarray, threshold: float, alarm: Alarm
) -> list[Event]:
    """Return the events of a video.

    Parameters
    ----------
    scores
        (N,) one a frame.
    times
        (N + 1,) seconds at which each frame begins, and at which the last one ends.
    """
    runs = intervals(scores > threshold)
    merged: list[list[int]] = []
    for first, last in runs:
        if merged and times[first] - times[merged[-1][1] + 1] < alarm.merge - TICK:
            merged[-1][1] = last
        else:
            merged.append([first, last])
    events = []
    for first, last in merged:
        start, end = float(times[first]), float(times[last + 1])
        if end - start > alarm.shortest - TICK:
            peak = first + int(np.argmax(scores[first : last + 1]))
            score = float(scores[peak])
            events.append(Event(first, last, peak, score, start, end, float(times[peak])))
    return events


def choose_threshold(
    normal: Sequence[np.ndarray],
    times: Sequence[np.ndarray],
    alarm: Alarm,
    candidates: int = 400,
) -> Threshold:
    """Choose the threshold on held-out normal videos.

    Parameters
    ----------
    normal
        For each video its scores (N,).
    times
        For each video the times of its frames (N + 1,), as in :func:`find_events`.

    Raises
    ------
    ConfigurationError
        If there is no footage and no threshold of the user's own.
    """
    hours = float(sum(part[-1] - part[0] for part in times)) / 3600

    def count(value: float) -> int:
        videos = zip(normal, times, strict=True)
        return sum(len(find_events(part, ticks, value, alarm)) for part, ticks in videos)

    if alarm.threshold is not None:
        value = alarm.threshold
        note = (
            f"given; held-out normal footage of {spoken(hours)} has {count(value)} events above it"
            if hours
            else "given; no held-out normal footage of known frame rate counts its false alarms"
        )
        return Threshold(value, None, hours, count(value), True, note)
    if not normal:
        raise ConfigurationError(
            "alarm.rate: no normal video was held out to set a threshold on; run the pipeline "
            "with --source.holdout above 0, train and score again, or give --alarm.threshold"
        )
    allowed = int(np.floor(alarm.rate * hours + 1e-9))
    values = np.unique(np.concatenate(list(normal)))[::-1]
    value = float(values[0])
    if allowed:
        # From the top down, as long as all thresholds above keep to the rate.
        steps = values[np.unique(np.linspace(0, len(values) - 1, candidates).astype(int))]
        for step in steps:
            if count(float(step)) > allowed:
                break
            value = float(step)
    found = count(value)
    if allowed:
        note = (
            f"at most {spoken_rate(alarm.rate)}: held-out normal footage of "
            f"{spoken(hours)} has {found} above it"
        )
    else:
        note = (
            f"{spoken_rate(alarm.rate)} cannot be told from held-out normal footage of "
            f"{spoken(hours)}, which is too short: {spoken(1 / alarm.rate)} at least are needed. "
            f"The threshold is its highest score; the true rate may be up to {3 / hours:.0f} an "
            "hour (95 % confidence). Hold out more normal video"
        )
    return Threshold(value, alarm.rate, hours, found, allowed > 0, note)


def spoken(hours: float) -> str:
    """Return a length of time for people.

    >>> spoken(0.01), spoken(0.5), spoken(30)
    ('36 s', '30 min', '30 h')
    """
    if hours < 1 / 30:
        return f"{3600 * hours:.0f} s"
    return f"{60 * hours:.0f} min" if hours < 2 else f"{hours:.0f} h"


def spoken_rate(rate: float) -> str:
    """Return a rate of false alarms for people.

    >>> spoken_rate(1), spoken_rate(0.5)
    ('1 false alarm an hour', '0.5 false alarms an hour')
    """
    return f"{rate:g} false alarm{'' if rate == 1 else 's'} an hour"


def many(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> many(1, "event"), many(0, "event")
    ('1 event', '0 events')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
