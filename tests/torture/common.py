"""What all faults share: rows, caches to compare, runs in processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.execution import run as execution
from pipeline.execution.audit import verify
from pipeline.execution.executors.cluster import Cluster
from pipeline.execution.garbage import strays
from pipeline.execution.plan import Plan
from pipeline.execution.todo import Settings
from tests.pipeline.toys import make_plan

ROOT = Path(__file__).parents[2]
SERIAL = Cluster(kind="serial")
FRAMES = (40, 17, 33, 48, 16, 25)
#: What two honest records of one shard may differ in.
PASSING = {"seconds", "written", "host", "process", "record_sha256"}


@dataclass(frozen=True)
class Row:
    """How often a fault was tried, and how often the cache came out whole."""

    name: str
    tried: int
    survived: int
    note: str = ""


def contents(cache: Path) -> dict[str, Any]:
    """Return a cache's shards as bytes and its records but for time and host."""
    found: dict[str, Any] = {}
    for path in sorted(cache.glob("*/*/*/*/*/*")):
        if path.suffix == ".h5":
            found[str(path.relative_to(cache))] = path.read_bytes()
        elif path.suffix == ".json":
            record = json.loads(path.read_text())
            found[str(path.relative_to(cache))] = {
                key: value for key, value in record.items() if key not in PASSING
            }
    return found


def undisturbed(folder: Path, **stage: Any) -> tuple[Plan, dict[str, Any]]:
    """Run the toy plan in peace, and return it with its contents."""
    plan = make_plan(folder / "undisturbed", frames=FRAMES, **stage)
    assert not execution.run(plan, SERIAL, Settings(), folder / "logs").failures
    return plan, contents(folder / "undisturbed")


def problems(cache: Path, wanted: dict[str, Any]) -> str:
    """Say in what a cache differs from the undisturbed one, strays included; empty: in nothing.

    Strays that ``gc`` would take once they are old enough are taken here at once.
    """
    for path in cache.rglob("*"):
        if path.is_file() and (path.suffix in (".tmp", ".claim")):
            os.utime(path, (1, 1))
    for stray in strays(cache):
        stray.path.unlink(missing_ok=True)
    found = contents(cache)
    if found != wanted:
        names = [name for name in {*found, *wanted} if found.get(name) != wanted.get(name)]
        return f"{len(names)} differ, such as {sorted(names)[0]}"
    known = {cache / name for name in wanted}
    left = [
        path
        for path in cache.rglob("*")
        if path.is_file()
        and path not in known
        and path.name not in ("recipe.json", "videos.json", "digests.json")
    ]
    if left:
        return f"stray {left[0]}"
    bad = verify(cache)
    return f"verify: {bad[0][1]}" if bad else ""


def start(command: list[str], **environment: str) -> subprocess.Popen[str]:
    """Start a command as the leader of a process group of its own."""
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def victim(**options: Any) -> list[str]:
    """Return the command that runs the toy plan."""
    return [sys.executable, "-m", "tests.torture.victim", json.dumps(options)]


def kill_group(process: subprocess.Popen[str]) -> None:
    """Kill a process and all its children without a word, as a power cut would."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()


def finish(process: subprocess.Popen[str], seconds: float = 300) -> tuple[int, str]:
    """Wait for a process; -1 and what it said where it hangs."""
    try:
        out, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        kill_group(process)
        return -1, "it hangs"
    return process.returncode, out


def committed(cache: Path) -> int:
    """Count the records in a cache."""
    return sum(1 for _ in cache.glob("*/*/*/*/*/*.json"))


def let_work(process: subprocess.Popen[str], cache: Path, mean: float, draw: random.Random) -> bool:
    """Let a run work for a random time once it is really at work; False if it ended before."""
    before = committed(cache)
    claims = "*/*/*/*/*/*.claim"
    give_up = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < give_up:
        if committed(cache) > before or any(cache.glob(claims)):
            break
        time.sleep(0.005)
    end = time.monotonic() + draw.expovariate(1 / mean)
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    return process.poll() is None
