"""Advisory claims: who is computing a shard now, so that runs beside each other share the work.

A claim is never needed for a right cache (commits are atomic, and the same key gives the
same bytes); it only saves work. Its owner touches it every few seconds, so a dead owner's
claim goes stale by itself; a dead process of this machine is recognised at once. Ages are
measured on the file system's own clock, by a file touched there, since the clocks of two
machines differ.

A claim also counts how many of its owners died within one run. A shard that exhausts the
memory, or hangs until its worker is ended, is so given up after a few deaths, while the
tasks that merely waited on the same worker are not blamed.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.base.files import TEMPORARY

CLAIM = ".claim"
BEAT_SECONDS = 5.0
STALE_SECONDS = 30.0
POLL_SECONDS = 0.2


@dataclass(kw_only=True)
class Claim:
    """What came of asking for a shard.

    Attributes
    ----------
    state
        ``mine``: compute it. ``done``: another run committed it.
    deaths
        Owners of this run that died while they computed this shard.
    """

    path: Path
    state: str
    deaths: int = 0
    token: str = field(default="", repr=False)

    def held(self) -> bool:
        """Tell whether the claim is still this owner's: a suspended process may lose it."""
        return _read(self.path).get("token") == self.token


@contextlib.contextmanager
def claimed(path: Path, done: Callable[[], bool], *, run: str = "") -> Iterator[Claim]:
    """Hold the claim on a shard, or wait while another run that holds it is alive.

    Parameters
    ----------
    path
        The shard's ``.h5``.
    done
        Tells whether the shard is committed by now.
    run
        Name of this run; deaths of earlier runs do not count.

    Yields
    ------
    Claim
        Its ``state`` says what to do.
    """
    file = path.with_suffix(CLAIM)
    deaths = 0
    while True:
        file.parent.mkdir(parents=True, exist_ok=True)
        token = uuid.uuid4().hex
        if _take(file, {"token": token, "run": run, "deaths": deaths} | _identity()):
            break
        if done():
            yield Claim(path=file, state="done")
            return
        owner = _dead_owner(file)
        if owner is None:
            time.sleep(POLL_SECONDS)
        elif _remove(file, owner) and owner.get("run") == run:
            deaths = int(owner.get("deaths", 0)) + 1
    claim = Claim(path=file, state="done" if done() else "mine", deaths=deaths, token=token)
    _keep_alive(claim)
    try:
        yield claim
    finally:
        _living.pop(token, None)
        if claim.held():
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)


def _take(file: Path, content: dict[str, Any]) -> bool:
    try:
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    try:
        with os.fdopen(descriptor, "w") as opened:
            json.dump(content, opened)
    except OSError:
        file.unlink(missing_ok=True)
        raise
    return True


def _read(file: Path) -> dict[str, Any]:
    """Return a claim's content; empty where it is gone, half written or not one of ours."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _dead_owner(file: Path) -> dict[str, Any] | None:
    """Return a claim's content if its owner no longer lives, else None."""
    owner = _read(file)
    if owner.get("machine") == _identity()["machine"]:
        alive = _process_start(owner.get("pid")) == owner.get("started")
        return None if alive else owner
    return owner if _age(file) > STALE_SECONDS else None


def is_living(file: Path) -> bool:
    """Tell whether a claim's owner lives, or may live where that cannot be told."""
    try:
        return _dead_owner(file) is None
    except OSError:
        return True


def _remove(file: Path, owner: dict[str, Any]) -> bool:
    """Remove a dead owner's claim; False where a living one took its place meanwhile.

    Moving it aside is what only one of several waiting runs can do.
    """
    aside = file.with_name(f".{file.name}.{uuid.uuid4().hex[:12]}{TEMPORARY}")
    try:
        file.rename(aside)
    except FileNotFoundError:
        return False
    mine = _read(aside) == owner
    if not mine:
        with contextlib.suppress(OSError):
            os.link(aside, file)
    aside.unlink(missing_ok=True)
    return mine


def _age(file: Path) -> float:
    """Return the seconds since the claim was touched, by the clock of its file system."""
    try:
        return file_system_now(file.parent) - file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def file_system_now(folder: Path) -> float:
    """Return the time by the clock of the file system, which stamps the files in ``folder``."""
    probe = folder / f".clock.{uuid.uuid4().hex[:12]}{TEMPORARY}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


#: The claims that this process holds, by token, and the thread that touches them.
_living: dict[str, Claim] = {}
_heart: list[threading.Thread] = []


def _keep_alive(claim: Claim) -> None:
    """Touch a claim every few seconds from now on; one thread a process serves all."""
    _living[claim.token] = claim
    if not (_heart and _heart[-1].is_alive()):  # also after a fork, which takes no thread along
        _heart[:] = [threading.Thread(target=_beat, daemon=True, name="claims")]
        _heart[0].start()


def _beat() -> None:
    while True:
        time.sleep(BEAT_SECONDS)
        for claim in list(_living.values()):
            with contextlib.suppress(OSError):
                if claim.held():
                    os.utime(claim.path)


def _identity() -> dict[str, Any]:
    """Say who this process is, so that others on the same machine can see whether it lives."""
    return _identity_of(os.getpid())


@functools.lru_cache(maxsize=1)  # by process: a fork is another
def _identity_of(pid: int) -> dict[str, Any]:
    return {"host": socket.gethostname(), "machine": _machine(), "pid": pid} | {
        "started": _process_start(pid)
    }


@functools.cache
def _machine() -> str:
    """Return a name that only processes share which see each other's process numbers."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return uuid.uuid4().hex


def _process_start(pid: Any) -> str:
    """Return when a process started, in the kernel's ticks; empty where it is gone or dead."""
    try:
        text = Path(f"/proc/{int(pid)}/stat").read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError, TypeError):
        return ""
    after_name = text.rpartition(")")[2].split()
    return "" if after_name[0] in ("Z", "X") else after_name[19]
