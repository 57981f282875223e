"""Two small stages, a fake source and a plan of them, to test the engine without real videos."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from pipeline.execution.catalogue import PlannedVideo
from pipeline.execution.plan import Plan, plan_stages
from pipeline.shards.reader import VideoInfo
from pipeline.stages.base import Array, Stage


def _exhaust():
    if "TORTURE_CGROUP" in os.environ:
        (Path(os.environ["TORTURE_CGROUP"]) / "cgroup.procs").write_text("0")
    taken = []
    while True:
        taken.append(bytearray(os.urandom(1 << 20)) * 32)


@dataclass(frozen=True)
class FakeVideo:
    name: str


@dataclass(frozen=True, kw_only=True)
class Noise(Stage):
    """Frames of seeded noise: what a random stage is."""

    NAME: ClassVar[str] = "noise"
    size: int = 4
    fail_on: str = ""
    sleep: float = 0.0
    log_calls: str = ""
    kill_on: str = ""
    hang_on: str = ""
    exhaust_on: str = ""

    def arrays(self, inputs):
        return {"image": Array("uint8", (self.size, self.size)), "number": Array("int64", ())}

    def compute(self, job):
        if job.video == self.fail_on:
            raise ValueError("broken on purpose")
        if self.log_calls:
            with open(self.log_calls, "a") as file:  # noqa: PTH123
                file.write(f"{job.video} {job.frames.start} {os.getpid()}\n")
        if job.video == self.kill_on:
            os.kill(os.getpid(), signal.SIGKILL)
        if job.video == self.hang_on:
            time.sleep(3600)
        if job.video == self.exhaust_on:
            _exhaust()
        time.sleep(self.sleep)
        image = [job.rng(i).integers(0, 256, (self.size, self.size)) for i in job.frames]
        return {
            "image": np.array(image, np.uint8),
            "number": np.array(list(job.frames), np.int64),
        }


@dataclass(frozen=True, kw_only=True)
class Difference(Stage):
    """Differences of neighbours: one frame fewer, read across shard borders."""

    NAME: ClassVar[str] = "difference"
    SPLITS: ClassVar = "train"
    scale: int = 1

    def inputs(self):
        return ("noise",)

    def arrays(self, inputs):
        return {"step": Array("int64", ())}

    def length(self, frames):
        return frames - 1

    def compute(self, job):
        numbers = job.inputs["noise"]["number"][job.frames.start : job.frames.stop + 1]
        return {"step": np.diff(numbers) * self.scale}


def planned_video(name: str, frames: int) -> PlannedVideo:
    info = VideoInfo(name, name.split("/")[0], frames, "", False, False, 25.0)
    return PlannedVideo(info, FakeVideo(name), hashlib.sha256(name.encode()).hexdigest(), "", False)


def make_plan(cache: Path, frames=(40, 17), shard_frames=16, wanted=("difference",), **settings):
    noise = Noise(**settings)
    stages = {"noise": noise, "difference": Difference()}
    planned = plan_stages("toy", cache, stages, wanted, shard_frames, lambda path: "")
    names = [f"{'train' if i % 2 == 0 else 'test'}/{i:02d}" for i in range(len(frames))]
    videos = tuple(planned_video(n, f) for n, f in zip(names, frames, strict=True))
    return Plan("toy", cache, shard_frames, planned, videos)
