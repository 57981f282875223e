"""A network file system's habits, as patches of this process: late names, torn renames, clocks.

- A name that was looked for and was not there stays absent for a while (negative entries).
- A listing is served again for a while after it changed.
- A rename is not atomic for readers: the old name goes first, the new comes a moment later.
- The clock of this machine is wrong by some seconds, forwards or backwards.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

LATE = 0.4
real_exists, real_replace, real_listdir, real_time = (
    Path.exists,
    Path.replace,
    os.listdir,
    time.time,
)
real_open, real_os_open = Path.open, os.open


def install(seed: int, skew: float) -> None:
    """Give this process the habits; ``skew`` in seconds."""
    draw = random.Random(seed)
    absent: dict[str, float] = {}
    listings: dict[str, tuple[float, list[str]]] = {}

    def is_late(path: Path) -> bool:
        now = time.monotonic()
        if str(path) in absent and now < absent[str(path)]:
            return True
        absent.pop(str(path), None)
        return False

    def missed(path: Path) -> None:
        absent.setdefault(str(path), time.monotonic() + LATE)

    def exists(self, **kwargs):
        if is_late(self):
            return False
        found = real_exists(self, **kwargs)
        if not found:
            missed(self)
        return found

    def opened(self, mode="r", *args, **kwargs):
        if "w" not in mode and "x" not in mode and "a" not in mode:
            if is_late(self):
                raise FileNotFoundError(2, "not shown yet", str(self))
            if not real_exists(self):
                missed(self)
        return real_open(self, mode, *args, **kwargs)

    def listdir(path="."):
        now = time.monotonic()
        if str(path) in listings and now < listings[str(path)][0]:
            return list(listings[str(path)][1])
        names = real_listdir(path)
        listings[str(path)] = (now + LATE, names)
        return list(names)

    def replace(self, target):
        if draw.random() < 0.5:
            Path(target).unlink(missing_ok=True)
            time.sleep(draw.random() * 0.05)
        absent.pop(str(target), None)
        return real_replace(self, target)

    def os_open(path, flags, *args, **kwargs):
        if flags & os.O_CREAT:  # what a machine creates itself, it sees
            absent.pop(str(path), None)
        return real_os_open(path, flags, *args, **kwargs)

    Path.exists = exists  # type: ignore[method-assign,assignment]
    Path.open = opened  # type: ignore[method-assign,assignment]
    Path.replace = replace  # type: ignore[method-assign,assignment]
    os.listdir = listdir  # type: ignore[assignment]
    os.open = os_open  # type: ignore[assignment]
    time.time = lambda: real_time() + skew  # type: ignore[assignment]
