"""All missing shards of a plan as one Dask graph: progress, retries, failures, a summary."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.atomic import canonical, write_json
from pipeline.catalogue import PlannedVideo
from pipeline.cluster import Cluster, connect
from pipeline.errors import DataError
from pipeline.plan import Plan
from pipeline.progress import progress_bar
from pipeline.reader import FORMAT
from pipeline.task import Result, Task, run_task

if TYPE_CHECKING:
    from distributed import Client, Future


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a run treats its tasks; none of it changes what is computed."""

    compression: str = "none"
    """``none``, ``lzf`` or ``gzip``; see docs/performance for their sizes and speeds."""
    retries: int = 2
    """How often a shard is tried again when the machine, not the data, failed."""
    timeout: float = 3600.0
    """Seconds that one shard may take before its worker is replaced; 0 for no limit."""
    wave: int = 20_000
    """Tasks under way at once; what is beyond waits outside the scheduler's memory."""


@dataclass
class Summary:
    """What a run did."""

    computed: Counter[str] = field(default_factory=Counter)
    cached: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    failures: list[Result] = field(default_factory=list)
    wall_seconds: float = 0.0

    def table(self) -> str:
        """Return the summary as a table for people."""
        lines = [f"{'stage':<14}{'cached':>8}{'computed':>10}{'failed':>8}{'MB':>10}{'core s':>10}"]
        failed = Counter(result.stage for result in self.failures)
        lines += [
            f"{stage:<14}{self.cached[stage]:>8}{self.computed[stage]:>10}"
            f"{failed[stage]:>8}{self.bytes[stage] / 1e6:>10.1f}{self.seconds[stage]:>10.1f}"
            for stage in self.cached
        ]
        return "\n".join(lines)


def write_recipes(plan: Plan) -> None:
    """Write each stage's recipe beside its shards, or check the one that is there."""
    for entry in plan.stages.values():
        path = entry.folder / "recipe.json"
        if not path.exists():
            write_json(path, entry.recipe | {"key": entry.key})


def missing_tasks(
    plan: Plan, video: PlannedVideo, settings: Settings, logs: Path, summary: Summary
) -> dict[str, list[Task]]:
    """Return the tasks that a video still needs, by stage, and count what is cached."""
    tasks: dict[str, list[Task]] = {}
    for name, entry in plan.stages.items():
        if video not in plan.videos_of(name):
            continue
        done = plan.committed(name, video)
        shards = plan.shards(name, video)
        left = tuple((number, frames) for number, frames in enumerate(shards) if number not in done)
        summary.cached[name] += len(shards) - len(left)
        groups = [left] if entry.stage.SEQUENTIAL and left else [(shard,) for shard in left]
        tasks[name] = [
            Task(
                stage=entry.stage,
                key=entry.key,
                video=video.info.name,
                source=video.source,
                inputs={source: plan.arrays(source, video) for source in entry.stage.inputs()},
                arrays=plan.video_specs(name, video),
                folder=plan.folder(name, video),
                shards=group,
                digest=video.digest_for(entry.stage),
                compression=settings.compression,
                log=logs / name / plan.video_folder(name, video) / f"{group[0][0]:05d}.log",
                timeout=settings.timeout,
            )
            for group in groups
        ]
    return tasks


def run(plan: Plan, cluster: Cluster, settings: Settings, logs: Path) -> Summary:
    """Compute every missing shard of a plan.

    A task of stage n+1 starts when its video's stage n is done. A failing shard stops only
    what reads it. Nothing is started, and Dask is not imported, where nothing is missing.
    """
    start = time.perf_counter()
    summary = Summary()
    write_recipes(plan)
    work = [
        (video, tasks)
        for video in plan.videos
        if any((tasks := missing_tasks(plan, video, settings, logs, summary)).values())
    ]
    if work:
        bars = _bars(plan, work, summary)
        try:
            with connect(cluster) as client:
                for result in _results(client, plan, work, settings):
                    _count(result, summary)
                    bars[result.stage].update(result.shards)
        finally:
            for bar in bars.values():
                bar.close()
    summary.wall_seconds = time.perf_counter() - start
    return summary


def _bars(
    plan: Plan, work: list[tuple[PlannedVideo, dict[str, list[Task]]]], summary: Summary
) -> dict[str, Any]:
    left: Counter[str] = Counter()
    for _, tasks in work:
        for name, items in tasks.items():
            left[name] += sum(len(task.shards) for task in items)
    return {
        name: progress_bar(
            left[name] + summary.cached[name], f"{name:<12}", done=summary.cached[name], position=at
        )
        for at, name in enumerate(name for name in plan.stages if left[name])
    }


def _count(result: Result, summary: Summary) -> None:
    if result.error:
        summary.failures.append(result)
        return
    summary.computed[result.stage] += result.shards
    summary.bytes[result.stage] += result.bytes
    summary.seconds[result.stage] += result.seconds


def _results(
    client: Client,
    plan: Plan,
    work: Iterable[tuple[PlannedVideo, dict[str, list[Task]]]],
    settings: Settings,
) -> Iterator[Result]:
    """Submit video after video, at most a wave at once, and yield results as they come."""
    from distributed import as_completed

    waiting = as_completed(with_results=False)
    names: dict[str, Task] = {}
    for _, tasks in work:
        futures = _submit_video(client, plan, tasks, settings, names)
        waiting.update(futures)
        while waiting.count() >= settings.wave:
            yield _result(next(waiting), names)
    for future in waiting:
        yield _result(future, names)


def _submit_video(
    client: Client,
    plan: Plan,
    tasks: dict[str, list[Task]],
    settings: Settings,
    names: dict[str, Task],
) -> list[Future]:
    finished: dict[str, Future] = {}
    submitted: list[Future] = []
    for depth, (name, items) in enumerate(tasks.items()):
        if not items:
            continue
        upstream = [
            finished[source] for source in plan.stages[name].stage.inputs() if source in finished
        ]
        futures = []
        for task in items:
            key = f"{task.name}-{task.key[:12]}-{os.urandom(4).hex()}"
            names[key] = task
            futures.append(
                client.submit(
                    run_task,
                    task,
                    *upstream,
                    key=key,
                    retries=settings.retries,
                    priority=depth,
                    pure=False,
                )
            )
        submitted += futures
        finished[name] = client.submit(_all_of, *futures, pure=False, priority=depth)
    return submitted


def _all_of(*results: Result) -> Result:
    """Say of a video's stage that it is done, or which of its tasks failed."""
    return next((result for result in results if result.error), results[0])


def _result(future: Future, names: dict[str, Task]) -> Result:
    """Return a task's result; where the machine failed for good, say so as a failed result."""
    task = names.pop(str(future.key))
    if future.status == "finished":
        result: Result = future.result()
        return result
    error = future.exception()
    return Result(
        stage=task.stage.NAME,
        name=task.name,
        error=f"{type(error).__name__}: {error}",
        log=str(task.log),
    )


def write_shards_json(plan: Plan, path: Path, evaluate: str, settings: dict[str, Any]) -> bool:
    """Write what training and evaluation read; return False where it is there unchanged.

    Only its content decides, so that its time of modification tells `make` the truth.
    """
    content = {
        "format": FORMAT,
        "name": plan.dataset,
        "evaluate": evaluate,
        "settings": settings,
        "shard_frames": plan.shard_frames,
        "videos": [vars(video.info) for video in plan.videos],
        "stages": {name: _stage_entry(plan, name) for name in plan.stages},
    }
    try:
        if canonical_file(path) == canonical(content):
            return False
    except (OSError, ValueError):
        pass
    write_json(path, content)
    return True


def canonical_file(path: Path) -> str:
    """Return the canonical text of a JSON file."""
    import json

    return canonical(json.loads(path.read_text(encoding="utf-8")))


def _stage_entry(plan: Plan, name: str) -> dict[str, Any]:
    entry = plan.stages[name]

    def specs(arrays: Any) -> dict[str, Any]:
        return {
            key: {"dtype": spec.dtype, "shape": list(spec.shape)} for key, spec in arrays.items()
        }

    videos = {}
    for video in plan.videos_of(name):
        where: dict[str, Any] = {
            "folder": plan.video_folder(name, video),
            "frames": plan.frames(name, video),
        }
        if plan.video_specs(name, video) != entry.arrays:
            where["arrays"] = specs(plan.video_specs(name, video))
        videos[video.info.name] = where
    return {
        "key": entry.key,
        "recipe": entry.recipe,
        "folder": str(entry.folder.absolute()),
        "arrays": specs(entry.arrays),
        "videos": videos,
    }


def check_complete(plan: Plan) -> None:
    """Raise if any shard of a plan is not committed.

    Raises
    ------
    DataError
        Naming how many are missing, and where.
    """
    for name in plan.stages:
        for video in plan.videos_of(name):
            left = len(plan.shards(name, video)) - len(plan.committed(name, video))
            if left:
                raise DataError(f"{plan.folder(name, video)}: {left} shards of {name} are missing")
