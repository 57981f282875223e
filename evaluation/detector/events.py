"""Events of a stream as they happen: when one begins, grows and ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

from evaluation.measures.threshold import TICK, Alarm, Event

State = Literal["began", "grew", "ended"]


class Change(NamedTuple):
    """What became of an event: its number from 1, what is known of it, and what happened."""

    number: int
    event: Event
    state: State


class EventStream:
    """The events that :func:`evaluation.measures.threshold.find_events` finds, frame by frame.

    Parameters
    ----------
    threshold, alarm
        What an event is.
    """

    def __init__(self, threshold: float, alarm: Alarm) -> None:
        self._threshold, self._alarm = threshold, alarm
        self._over = False
        self._begun = 0
        self._open = False
        self.candidate: Event | None = None
        """The frames that are an event or may become one; None between events."""

    def push(self, frame: int, score: float, seconds: float) -> list[Change]:
        """Take the next frame, and return what it changes.

        Parameters
        ----------
        frame, score
            Its number and ω_agg.
        seconds
            At which it begins, and the frame before it ends.
        """
        over = score > self._threshold
        changes = self._until(seconds, over)
        if over:
            one = self.candidate or Event(frame, frame, frame, score, seconds, seconds, seconds)
            if score > one.score:
                one = replace(one, peak=frame, score=score, peak_time=seconds)
            self.candidate = replace(one, last=frame)
            changes += self._grown()
        self._over = over
        return changes

    def finish(self, seconds: float) -> list[Change]:
        """Say that no frame comes any more, and when the last one ended."""
        changes = self._until(seconds, over=False)
        return changes + self._close()

    def _until(self, seconds: float, over: bool) -> list[Change]:
        """Let the frame before end, and the event if what comes now is too far from it."""
        if self.candidate is None:
            return []
        changes = []
        if self._over:
            self.candidate = replace(self.candidate, end=seconds)
            changes = self._grown()
        gap = seconds - self.candidate.end
        if not (self._over and over) and gap >= self._alarm.merge - TICK:
            changes += self._close()
        return changes

    def _grown(self) -> list[Change]:
        one = self.candidate
        assert one is not None
        if self._open:
            return [Change(self._begun, one, "grew")]
        if one.end - one.start <= self._alarm.shortest - TICK:
            return []
        self._open = True
        self._begun += 1
        return [Change(self._begun, one, "began")]

    def _close(self) -> list[Change]:
        one, was_open = self.candidate, self._open
        self.candidate, self._open, self._over = None, False, False
        return [Change(self._begun, one, "ended")] if one is not None and was_open else []
