"""Progress as a bar in a terminal, and as a line a minute in a log file or under SLURM."""

from __future__ import annotations

import sys
from typing import TextIO

from tqdm import tqdm


class LogLines:
    """Writes what tqdm draws as whole lines, without moving the cursor, for log files."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write a state of the bar on a line of its own; mere movements of the cursor are none."""
        line = text.replace("\x1b[A", "").strip()
        if line:
            self._stream.write(f"{line}\n")

    def flush(self) -> None:
        """Flush the log."""
        self._stream.flush()


def progress_bar(total: int | None, label: str, *, done: int = 0, position: int = 0) -> tqdm:
    """Return a tqdm bar on standard error for ``total`` things, ``done`` of them already.

    Where nobody knows the total, as of a camera, it counts.
    """
    terminal = sys.stderr.isatty()
    counts = terminal or total is None
    return tqdm(
        total=total,
        initial=done,
        desc=label,
        file=sys.stderr if terminal else LogLines(sys.stderr),
        position=position if terminal else None,
        mininterval=0.2 if terminal else 60.0,
        maxinterval=10.0 if terminal else 60.0,
        dynamic_ncols=terminal,
        ascii=None if terminal else True,
        bar_format=None if counts else "{l_bar}{bar:10}{r_bar}",
        leave=True,
    )
