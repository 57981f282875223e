"""What runs on a worker: the shards of one task, computed, checked and committed."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import socket
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.environment import versions
from pipeline.base.errors import (
    MACHINE_ERRNOS,
    DataError,
    MachineError,
    ProjectError,
    ShardError,
    machine_error,
)
from pipeline.execution.tasklog import task_log
from pipeline.shards.claims import claimed
from pipeline.shards.reader import VideoArrays
from pipeline.shards.shard import MissingShard, write_shard
from pipeline.stages.base import Array, FrameSource, Job, Stage, TruthSource

#: Set in the environment of every worker process that may be ended and is then replaced.
WORKER_MARK = "PSEUDO_ANOMALY_WORKER"
#: Exit status of a worker process that ended itself because its shard took too long.
TIMED_OUT = 70
#: How often to look for shards that take too long.
GUARD_SECONDS = 0.1
COMPUTING_LIBRARIES = ("numpy", "opencv-contrib-python", "numba", "torch", "diffusers")


@dataclass(frozen=True, kw_only=True)
class Task:
    """Some shards of one video and one stage; small enough to send by the thousand."""

    stage: Stage
    key: str
    video: str
    source: FrameSource | None
    truth: TruthSource | None
    inputs: Mapping[str, VideoArrays]
    arrays: Mapping[str, Array]
    folder: Path
    shards: tuple[tuple[int, range], ...]
    digest: str
    compression: str
    log: Path
    timeout: float
    patience: float = 60.0
    retries: int = 2
    run: str = ""

    @property
    def name(self) -> str:
        """A name for people and for Dask: stage, video, first shard."""
        return f"{self.stage.NAME}/{self.video}/{self.shards[0][0]:05d}"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a task says when it ends: counts, or why it failed."""

    stage: str
    name: str
    shards: int = 0
    bytes: int = 0
    seconds: float = 0.0
    error: str = ""
    log: str = ""
    skipped: bool = False


def run_task(task: Task, *upstream: Result) -> Result:
    """Compute and commit a task's shards; what is committed already is left alone.

    Errors of the data or the settings become a failed result, so that the other shards go
    on; errors of the machine are raised, so that the scheduler tries again elsewhere.
    """
    failed = next((result for result in upstream if result.error), None)
    if failed is not None:
        return Result(
            stage=task.stage.NAME,
            name=task.name,
            error=f"not computed: {failed.name} failed",
            skipped=True,
        )
    _settle()
    done = {"shards": 0, "bytes": 0, "seconds": 0.0}
    with task_log(task.log) as log:
        try:
            for number, frames in task.shards:
                for name, value in _commit(task, number, frames).items():
                    done[name] += value
        except MemoryError as error:
            raise MachineError(f"{task.name}: out of memory; use fewer WORKERS") from error
        except OSError as error:
            log.error(traceback.format_exc())
            if error.errno in MACHINE_ERRNOS or _vanished(error, task.folder):
                raise machine_error(error, task.name) from error
            return failed_result(task, error)
        except Exception as error:
            log.error(traceback.format_exc())
            if isinstance(error, MachineError):
                raise
            return failed_result(task, error)
    return Result(stage=task.stage.NAME, name=task.name, **done)  # type: ignore[arg-type]


def failed_result(task: Task, error: BaseException) -> Result:
    """Return what is said of a task that failed for good."""
    text = str(error) if isinstance(error, ProjectError) else f"{type(error).__name__}: {error}"
    return Result(stage=task.stage.NAME, name=task.name, error=text, log=str(task.log))


def all_of(*results: Result) -> Result:
    """Say of a video's stage that it is done, or which of its tasks failed."""
    return next((result for result in results if result.error), results[0])


def _vanished(error: OSError, folder: Path) -> bool:
    """Tell whether a folder of the cache went away while a shard was written into it."""
    return isinstance(error, FileNotFoundError) and str(error.filename).startswith(str(folder))


def _commit(task: Task, number: int, frames: range) -> dict[str, Any]:
    """Compute and commit one shard, or wait for another run that is at it."""
    path = task.folder / f"{number:05d}.h5"

    def done() -> bool:
        return path.exists() and path.with_suffix(".json").exists()

    if done():
        return {"shards": 1}
    with claimed(path, done, run=task.run) as claim:
        if claim.state == "done":
            return {"shards": 1}
        if claim.deaths > task.retries:
            raise ShardError(
                f"{task.name}: {claim.deaths} workers died while they computed it: out of memory, "
                f"or longer than the time limit of {task.timeout:g} s; give workers more memory "
                "or raise --engine_settings.timeout"
            )
        start = time.perf_counter()
        with _watchdog(task):
            arrays = _computed(task, frames)
        _check(task, frames, arrays)
        seconds = time.perf_counter() - start
        if not claim.held():
            raise MachineError(
                f"{task.name}: lost its claim; this process was suspended, or the folder removed"
            )
        record = write_shard(
            path,
            arrays,
            {
                "key": task.key,
                "stage": task.stage.NAME,
                "video": task.video,
                "video_sha256": task.digest,
                "start": frames.start,
                "stop": frames.stop,
                "compression": task.compression,
                "seconds": round(seconds, 4),
                "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "host": socket.gethostname(),
                "process": os.getpid(),
                "versions": library_versions(),
            },
            task.compression,
        )
    return {"shards": 1, "bytes": record["bytes"], "seconds": seconds}


def _computed(task: Task, frames: range) -> dict[str, np.ndarray]:
    """Call the stage; wait for input shards that a network file system does not show yet."""
    job = Job(
        video=task.video,
        frames=frames,
        inputs=task.inputs,
        source=task.source,
        truth=task.truth,
        key=task.key,
    )
    give_up = time.monotonic() + task.patience
    while True:
        try:
            return task.stage.compute(job)
        except MissingShard as error:
            if time.monotonic() > give_up:
                raise
            with contextlib.suppress(OSError):
                os.listdir(error.path.parent)  # noqa: PTH208 - asks the server for fresh names
            time.sleep(min(1.0, task.patience / 10))


def _check(task: Task, frames: range, arrays: Mapping[str, np.ndarray]) -> None:
    """Hold what a stage returned against what it declared; nothing is cast or cut to fit."""
    wanted = {name: (spec.dtype, (len(frames), *spec.shape)) for name, spec in task.arrays.items()}
    found = {name: (array.dtype.name, array.shape) for name, array in arrays.items()}
    if wanted != found:
        raise DataError(
            f"{task.name}: stage {task.stage.NAME} returned {found}, it declares {wanted}"
        )


@functools.cache
def _settle() -> None:
    """Keep OpenCV to one thread a worker; BLAS and OpenMP are kept so by the environment.

    And let the kernel, when memory runs out, end a worker before the scheduler beside it.
    """
    import cv2

    cv2.setNumThreads(1)
    if os.environ.get(WORKER_MARK) == "1":
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


@functools.cache
def library_versions() -> dict[str, str]:
    """Return the versions of the installed libraries that compute."""
    return versions(COMPUTING_LIBRARIES)


#: By thread, when its shard must be done; and the thread of this process that sees to it.
_deadlines: dict[int, float] = {}
_guard: list[threading.Thread] = []


@contextlib.contextmanager
def _watchdog(task: Task) -> Iterator[None]:
    """End a worker process whose shard hangs, so that its nanny and the scheduler go on.

    Works where a worker is a process of its own; a thread cannot be ended from outside.
    """
    if not task.timeout or os.environ.get(WORKER_MARK) != "1":
        yield
        return
    thread = threading.get_ident()
    _deadlines[thread] = time.monotonic() + task.timeout
    if not (_guard and _guard[-1].is_alive()):  # also after a fork, which takes no thread along
        _guard[:] = [threading.Thread(target=_end_late, daemon=True, name="watchdog")]
        _guard[0].start()
    try:
        yield
    finally:
        del _deadlines[thread]


def _end_late() -> None:
    while True:
        time.sleep(GUARD_SECONDS)
        if min(list(_deadlines.values()), default=math.inf) < time.monotonic():
            os._exit(TIMED_OUT)
