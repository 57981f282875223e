"""The engine's own cost a shard, what a second worker brings, and a worker's memory."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.common import Row
from pipeline.stages.base import Array, Job, Stage

OVERHEAD_SHARDS = 600
WORK_SHARDS = 16


@dataclass(frozen=True, kw_only=True)
class Empty(Stage):
    """One byte a frame: nothing but the engine's own work."""

    NAME: ClassVar[str] = "empty"

    def arrays(self, inputs: object) -> dict[str, Array]:
        """Declare the one array."""
        return {"number": Array("uint8", ())}

    def compute(self, job: Job) -> dict[str, np.ndarray]:
        """Make it."""
        return {"number": np.zeros(len(job.frames), np.uint8)}


@dataclass(frozen=True, kw_only=True)
class Busy(Stage):
    """A set amount of arithmetic on one core, without memory traffic."""

    NAME: ClassVar[str] = "busy"
    rounds: int = 2400

    def arrays(self, inputs: object) -> dict[str, Array]:
        """Declare the one array."""
        return {"sum": Array("float64", ())}

    def compute(self, job: Job) -> dict[str, np.ndarray]:
        """Make it."""
        values = np.linspace(0.0, 1.0, 20_000)
        for _ in range(self.rounds):
            values = np.sqrt(values * 0.999 + 0.001)
        return {"sum": np.full(len(job.frames), values.sum())}


@dataclass(frozen=True, kw_only=True)
class Moving(Stage):
    """Frames of 128 KB, as many as a shard has: what memory a worker then needs."""

    NAME: ClassVar[str] = "moving"

    def arrays(self, inputs: object) -> dict[str, Array]:
        """Declare the one array."""
        return {"image": Array("uint8", (209, 209, 3))}

    def compute(self, job: Job) -> dict[str, np.ndarray]:
        """Make it."""
        image = np.empty((len(job.frames), 209, 209, 3), np.uint8)
        image[:] = (np.array(job.frames) % 256)[:, None, None, None]
        return {"image": image}


def make_plan(stage: Stage, cache: Path, videos: int, frames: int, shard_frames: int):  # type: ignore[no-untyped-def]
    """Plan one stage over videos that need no source."""
    from pipeline.execution.catalogue import PlannedVideo
    from pipeline.execution.plan import Plan, plan_stages
    from pipeline.shards.reader import VideoInfo

    planned = plan_stages(
        "bench", cache, {stage.NAME: stage}, (stage.NAME,), shard_frames, lambda path: ""
    )
    source: Any = None
    names = [f"train/{number:05d}" for number in range(videos)]
    entries = tuple(
        PlannedVideo(
            VideoInfo(name, "train", frames, "", False, False, None), source, name, "", False
        )
        for name in names
    )
    return Plan("bench", cache, shard_frames, planned, entries)


def steady_seconds(stage: Stage, shards: int, workers: int, folder: Path) -> float:
    """Return the seconds between the first and the last result: no start-up of workers.

    Folders are left for the end: ext4 makes files slowly for minutes after many were removed.
    """
    from pipeline.execution.executors.cluster import Cluster
    from pipeline.execution.executors.dask import DaskExecutor
    from pipeline.execution.run import compute
    from pipeline.execution.todo import Settings, Summary, missing_shards

    settings = Cluster(kind="processes", workers=workers)
    folder = Path(tempfile.mkdtemp(dir=folder))
    warm = make_plan(stage, folder / "warm", 2 * workers, 4, 4)
    plan = make_plan(stage, folder / "cache", 4, shards, 4)
    logs = folder / "logs"
    with contextlib.closing(DaskExecutor(settings)) as executor:
        missing = missing_shards(warm, Summary())
        assert all(not r.error for r in compute(executor, warm, missing, Settings(), logs))
        missing = missing_shards(plan, Summary())
        start = time.perf_counter()
        assert all(not r.error for r in compute(executor, plan, missing, Settings(), logs))
        return time.perf_counter() - start


def _busy(rounds: int) -> None:
    Busy(rounds=rounds).compute(Job(video="", frames=range(1), inputs={}, source=None, key=""))


def bare_gain() -> float:
    """Return how much faster two processes are than one without any engine, at this moment.

    Cores that share a cache, a clock or a host with others give less than 2.
    """
    context = multiprocessing.get_context("spawn")
    work = [Busy().rounds] * (WORK_SHARDS // 2)
    with context.Pool(1) as one, context.Pool(2) as two:
        seconds = []
        for pool in (one, two):
            pool.map(_busy, [1, 1], chunksize=1)
            start = time.perf_counter()
            pool.map(_busy, work, chunksize=1)
            seconds.append(time.perf_counter() - start)
    return seconds[0] / seconds[1]


def fsync_seconds(times: int = 100) -> float:
    """Return what the disk takes to make a commit durable: two files and their folder."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        for number in range(times):
            for name in (f"{number}.h5", f"{number}.json"):
                with Path(folder, name).open("wb") as file:
                    file.write(bytes(4000))
                    file.flush()
                    os.fsync(file.fileno())
            handle = os.open(folder, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
        return (time.perf_counter() - start) / times


def peak_megabytes(frames: int) -> float:
    """Return the most memory that a worker held while it computed a video of ``frames``."""
    code = f"""
import tempfile
from pathlib import Path
from benchmarks.engine import Moving, make_plan
from pipeline.execution.task import run_task
from pipeline.execution.todo import Settings, Summary, missing_shards, video_tasks
with tempfile.TemporaryDirectory() as folder:
    plan = make_plan(Moving(), Path(folder), 1, {frames}, 512)
    for video, left in missing_shards(plan, Summary()):
        for task in video_tasks(plan, video, left, Settings(), Path(folder) / "logs")["moving"]:
            assert not run_task(task).error
# Not getrusage: its peak is inherited from the process that started this one.
status = Path("/proc/self/status").read_text()
print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    return float(done.stdout)


def rows() -> list[Row]:
    """Measure the three."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        overhead = min(steady_seconds(Empty(), OVERHEAD_SHARDS, 1, folder) for _ in range(2))
        disk = min(fsync_seconds() for _ in range(2))
        turns = [
            (
                steady_seconds(Busy(), WORK_SHARDS, 1, folder),
                steady_seconds(Busy(), WORK_SHARDS, 2, folder),
                bare_gain(),
            )
            for _ in range(3)
        ]
    one, two, bare = (statistics.median(column) for column in zip(*turns, strict=True))
    gain = statistics.median(first / second for first, second, _ in turns)
    short, long = peak_megabytes(1000), peak_megabytes(10_000)
    return [
        Row(
            "engine_overhead",
            1e3 * overhead / OVERHEAD_SHARDS,
            1e3 * disk,
            disk / (overhead / OVERHEAD_SHARDS),
            5.0,
            "ms a shard",
            "an empty stage, one worker; beside what the disk takes for its three fsyncs",
        ),
        Row(
            "two_workers",
            two,
            one,
            gain,
            1.85,
            "s",
            f"{WORK_SHARDS} shards on 2 workers and on 1; without the engine {bare:.2f}",
        ),
        Row(
            "worker_memory",
            long,
            short,
            long / short,
            1.1,
            "MB",
            "the peak at 10 000 frames against 1000, shards of 512",
        ),
    ]
