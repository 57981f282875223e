"""What this process may use of the machine, and what is installed on it."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterable

#: Distributions that hold the same library: the second needs no libraries of a desktop.
SAME = {"opencv-contrib-python": ("opencv-contrib-python", "opencv-contrib-python-headless")}


def cores() -> int:
    """Return the number of processor cores that this process may use, at least 1.

    Linux knows which cores a job was given; macOS only how many the machine has.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of those of some distributions that are installed, by name.

    >>> sorted(versions(["numpy", "no-such-thing"]))
    ['numpy']
    """
    found = {}
    for name in (same for one in names for same in SAME.get(one, (one,))):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
