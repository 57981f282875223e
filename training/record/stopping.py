"""When a training should stop early, with a checkpoint: a signal, or the time it was given."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any


class Stopper:
    """Turns the first Ctrl-C or SIGTERM into a request, the second into an interruption.

    Parameters
    ----------
    max_minutes
        The time that the training may take; None has no limit.
    """

    def __init__(self, max_minutes: float | None = None) -> None:
        self._until = None if max_minutes is None else time.monotonic() + 60 * max_minutes
        self._signalled = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stopper:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def wanted(self) -> bool:
        """Whether to stop after this step."""
        return self._signalled or (self._until is not None and time.monotonic() >= self._until)

    @property
    def signalled(self) -> bool:
        """Whether it was a signal that asked."""
        return self._signalled

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signalled:
            raise KeyboardInterrupt
        self._signalled = True
