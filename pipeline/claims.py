"""Advisory claims: who is computing a shard now, so that runs beside each other share the work.

A claim is never needed for a right cache (commits are atomic, and the same key gives the
same bytes); it only saves work. Its owner touches it every few seconds, so a dead owner's
claim goes stale by itself. Ages are measured on the file system's own clock, by a file
touched there, since the clocks of two machines differ.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.atomic import TEMPORARY

CLAIM = ".claim"
BEAT_SECONDS = 5.0
STALE_SECONDS = 30.0


@contextlib.contextmanager
def claimed(path: Path, done: Callable[[], bool]) -> Iterator[bool]:
    """Hold the claim on a shard, or wait while another run that holds it is alive.

    Parameters
    ----------
    path
        The shard's ``.h5``.
    done
        Tells whether the shard is committed by now.

    Yields
    ------
    bool
        True when this process holds the claim and must compute; False when another
        run committed the shard meanwhile.
    """
    claim = path.with_suffix(CLAIM)
    claim.parent.mkdir(parents=True, exist_ok=True)
    while not _take(claim):
        if done():
            yield False
            return
        if _age(claim) > STALE_SECONDS:
            claim.unlink(missing_ok=True)
            continue
        time.sleep(0.2)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(claim, stop), daemon=True)
    beat.start()
    try:
        yield not done()
    finally:
        stop.set()
        beat.join()
        with contextlib.suppress(OSError):
            claim.unlink(missing_ok=True)


def _take(claim: Path) -> bool:
    try:
        descriptor = os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{socket.gethostname()} {os.getpid()}\n")
    return True


def _age(claim: Path) -> float:
    """Return the seconds since the claim was touched, by the clock of its file system."""
    probe = claim.with_name(f".{claim.name}.{uuid.uuid4().hex[:12]}{TEMPORARY}")
    try:
        probe.touch()
        return probe.stat().st_mtime - claim.stat().st_mtime
    except FileNotFoundError:
        return 0.0
    finally:
        probe.unlink(missing_ok=True)


def _beat(claim: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        with contextlib.suppress(OSError):
            os.utime(claim)
