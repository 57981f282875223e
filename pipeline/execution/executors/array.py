"""A share of a plan without any scheduler: element I of N of a job array.

Shards are divided by video and position, the same for every stage, so that a share reads
mostly what it wrote itself. The division depends on the plan alone, never on what is
cached, so all elements agree. An element that needs a shard of another's share waits
while a living one computes it, and computes it itself otherwise: any one element, run
alone, ends with its share complete, in whatever order a queue starts them.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from pipeline.base.errors import ConfigurationError, MachineError
from pipeline.execution.catalogue import PlannedVideo
from pipeline.execution.executors.cluster import ONE_THREAD
from pipeline.execution.executors.dask import write_recipes
from pipeline.execution.plan import Plan
from pipeline.execution.task import WORKER_MARK, Result, Task, run_task
from pipeline.execution.todo import Settings, Summary, video_tasks
from pipeline.models.source import require

#: How long to leave a shard alone that another run is computing.
BUSY_SECONDS = 0.5


@dataclass(frozen=True)
class Share:
    """Element ``index`` of ``count``, counted from 1 as SLURM's arrays are here."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Share:
        """Read ``I/N``.

        Raises
        ------
        ConfigurationError
            If it is not two whole numbers with 1 <= I <= N.

        Examples
        --------
        >>> Share.parse("3/8")
        Share(index=3, count=8)
        """
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
            raise ConfigurationError(f"shards: {text!r} is not I/N with 1 <= I <= N, such as 3/8")
        return cls(int(index), int(count))

    def numbers(self, plan: Plan, stage: str) -> Iterator[tuple[PlannedVideo, tuple[int, ...]]]:
        """Yield the videos and shard numbers of a stage that belong to this share."""
        total = sum(units(plan, video) for video in plan.videos)
        start = 0
        for video in plan.videos:
            size = units(plan, video)
            if plan.runs_on(stage, video):
                shards = plan.shard_count(stage, video)
                if plan.stages[stage].stage.SEQUENTIAL:
                    owned = tuple(range(shards)) if self._owns(start, total) else ()
                else:
                    owned = tuple(n for n in range(shards) if self._owns(start + n, total))
                if owned:
                    yield video, owned
            start += size

    def _owns(self, unit: int, total: int) -> bool:
        return unit * self.count // total == self.index - 1


def units(plan: Plan, video: PlannedVideo) -> int:
    """Return how many parts a video is divided into: its longest stage's shards."""
    return max(
        (plan.shard_count(name, video) for name in plan.stages if plan.runs_on(name, video)),
        default=0,
    )


def shard_ids(plan: Plan) -> Iterator[str]:
    """Yield ``stage/split/video/number`` of every shard, stage after stage."""
    for name in plan.stages:
        for video in plan.videos_of(name):
            folder = plan.video_folder(name, video)
            yield from (
                f"{name}/{folder}/{number:05d}" for number in range(plan.shard_count(name, video))
            )


def run_share(plan: Plan, share: Share, settings: Settings, logs: Path, workers: int) -> Summary:
    """Compute the missing shards of one share with ``workers`` processes of this machine."""
    start = time.perf_counter()
    summary = Summary()
    summary.cached.update(dict.fromkeys(plan.stages, 0))
    run_name = uuid.uuid4().hex
    broken: set[tuple[str, str]] = set()
    write_recipes(plan)
    require(entry.stage for entry in plan.stages.values())
    with Workers(workers) as pool:
        for name in plan.stages:
            mine = list(share.numbers(plan, name))
            for source in _read_by(plan, name):
                needed = [
                    (video, tuple(range(plan.shard_count(source, video))))
                    for video, _ in mine
                    if plan.runs_on(source, video)
                ]
                tasks = _tasks(plan, source, needed, settings, logs, run_name)
                _compute(pool, tasks, settings.retries, broken, summary, plan)
            tasks = _tasks(plan, name, mine, settings, logs, run_name)
            summary.cached[name] += sum(len(numbers) for _, numbers in mine) - sum(
                len(task.shards) for task in tasks
            )
            _compute(pool, tasks, settings.retries, broken, summary, plan)
    summary.wall_seconds = time.perf_counter() - start
    return summary


def _read_by(plan: Plan, name: str) -> list[str]:
    """Return all stages that one reads, directly or not, in order."""
    found: set[str] = set()
    left = [name]
    while left:
        for source in plan.stages[left.pop()].stage.inputs():
            found.add(source)
            left.append(source)
    return [stage for stage in plan.stages if stage in found]


def _tasks(
    plan: Plan,
    name: str,
    wanted: Iterable[tuple[PlannedVideo, tuple[int, ...]]],
    settings: Settings,
    logs: Path,
    run_name: str,
) -> list[Task]:
    tasks = []
    for video, numbers in wanted:
        done = plan.committed(name, video)
        left = tuple(number for number in numbers if number not in done)
        if left:
            tasks += video_tasks(plan, video, {name: left}, settings, logs, run_name)[name]
    return tasks


def _compute(
    pool: Workers,
    tasks: list[Task],
    retries: int,
    broken: set[tuple[str, str]],
    summary: Summary,
    plan: Plan,
) -> None:
    """Run tasks of one stage; those whose inputs failed are listed as skipped."""
    ready = []
    given_up = {result.name for result in summary.failures}
    for task in tasks:
        if task.name in given_up:
            continue
        inputs = plan.stages[task.stage.NAME].stage.inputs()
        failed = next((name for name in inputs if (name, task.video) in broken), None)
        if failed is None:
            ready.append(task)
            continue
        broken.add((task.stage.NAME, task.video))
        error = f"not computed: {failed}/{task.video} failed"
        summary.failures.append(
            Result(stage=task.stage.NAME, name=task.name, error=error, skipped=True)
        )
    for task, result in pool.run(ready, retries):
        summary.count(result)
        if result.error:
            broken.add((task.stage.NAME, task.video))


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    task: Task | None = None


@dataclass
class Workers:
    """Processes that compute tasks and are replaced when they die; a context manager."""

    count: int
    _workers: list[_Worker] = field(default_factory=list)

    def __enter__(self) -> Workers:
        os.environ.update(ONE_THREAD | {WORKER_MARK: "1"})
        return self

    def __exit__(self, *ignored: object) -> None:
        for worker in self._workers:
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()

    def run(self, tasks: Iterable[Task], retries: int) -> Iterator[tuple[Task, Result]]:
        """Yield each task with its result as it ends.

        A task that another run is computing is asked for again a little later; one whose
        worker died, again at once, until its claim says that it was often enough; one
        that met a failing machine ``retries`` times more.
        """
        queue = deque((task, retries) for task in tasks)
        tries: dict[str, int] = {}
        later: list[tuple[float, Task, int]] = []
        while len(self._workers) < min(self.count, len(queue)):
            self._workers.append(_start())
        while queue or later or any(worker.task for worker in self._workers):
            now = time.monotonic()
            queue.extend((task, left) for due, task, left in later if due <= now)
            later = [entry for entry in later if entry[0] > now]
            for worker in self._workers:
                if worker.task is None and queue:
                    worker.task, tries[worker.task.name] = queue.popleft()
                    worker.pipe.send(worker.task)
            pipes = {worker.pipe: worker for worker in self._workers if worker.task}
            if not pipes:
                time.sleep(BUSY_SECONDS / 5)
                continue
            for pipe in wait(list(pipes), timeout=BUSY_SECONDS):
                worker = pipes[pipe]  # type: ignore[index]
                task = worker.task
                assert task is not None
                left = tries[task.name]
                worker.task = None
                try:
                    result = worker.pipe.recv()
                except (EOFError, ConnectionResetError):
                    self._replace(worker)
                    queue.append((task, left))
                    continue
                if isinstance(result, MachineError) and left:
                    queue.append((task, left - 1))
                elif isinstance(result, MachineError):
                    yield task, _failed(task, str(result))
                elif result.busy:
                    later.append((time.monotonic() + BUSY_SECONDS, task, left))
                else:
                    yield task, result

    def _replace(self, worker: _Worker) -> None:
        worker.process.join()
        worker.pipe.close()
        self._workers[self._workers.index(worker)] = _start()


def _failed(task: Task, error: str) -> Result:
    return Result(stage=task.stage.NAME, name=task.name, error=error, log=str(task.log))


def _start() -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _serve(pipe: Connection) -> None:
    """Compute what comes through the pipe, until it is closed."""
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            task = pipe.recv()
            try:
                answer: Result | MachineError = run_task(task, wait=False)
            except MachineError as error:
                answer = error
            except OSError as error:
                answer = MachineError(f"{task.name}: {error}")
            pipe.send(answer)
