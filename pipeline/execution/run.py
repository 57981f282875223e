"""A run: every missing shard of a plan through an executor, with progress and a summary."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.base.progress import progress_bar
from pipeline.execution.executors.base import Executor
from pipeline.execution.executors.cluster import Cluster
from pipeline.execution.executors.dask import DaskExecutor
from pipeline.execution.executors.serial import SerialExecutor
from pipeline.execution.outputs import write_recipes
from pipeline.execution.plan import Plan
from pipeline.execution.task import Result
from pipeline.execution.todo import (
    Missing,
    Settings,
    Summary,
    Wanted,
    missing_shards,
    video_tasks,
)
from pipeline.models.source import require


def run(
    plan: Plan, cluster: Cluster, settings: Settings, logs: Path, wanted: Wanted | None = None
) -> Summary:
    """Compute every missing shard of a plan, or those of them that are ``wanted``.

    A task of stage n+1 starts when its video's stage n is done. A failing shard stops only
    what reads it. Nothing is started, and Dask is not imported, where nothing is missing.
    A model that is not to be had is reported once, before anything is started.
    """
    start = time.perf_counter()
    summary = Summary()
    write_recipes(plan)
    missing = missing_shards(plan, summary, wanted)
    if missing:
        names = {name for _, stages in missing for name in stages}
        require(plan.stages[name].stage for name in plan.stages if name in names)
        bars = _bars(plan, missing, summary)
        try:
            with contextlib.closing(open_executor(cluster)) as executor:
                for result in compute(executor, plan, missing, settings, logs):
                    summary.count(result)
                    bars[result.stage].update(result.shards)
        finally:
            for bar in bars.values():
                bar.close()
    summary.wall_seconds = time.perf_counter() - start
    return summary


def open_executor(cluster: Cluster) -> Executor:
    """Start what is to compute."""
    return SerialExecutor() if cluster.kind == "serial" else DaskExecutor(cluster)


def compute(
    executor: Executor, plan: Plan, missing: Missing, settings: Settings, logs: Path
) -> Iterator[Result]:
    """Yield the result of every task, in whatever order they end.

    Tasks are made video by video, a wave at once: a million would fill the memory.
    """
    run_name = uuid.uuid4().hex
    for video, left in missing:
        executor.submit(video_tasks(plan, video, left, settings, logs, run_name))
        yield from executor.results(settings.wave - 1)
    yield from executor.results()


def _bars(plan: Plan, missing: Missing, summary: Summary) -> dict[str, Any]:
    left: Counter[str] = Counter()
    for _, stages in missing:
        left.update({name: len(numbers) for name, numbers in stages.items()})
    return {
        name: progress_bar(
            left[name] + summary.cached[name], f"{name:<12}", done=summary.cached[name], position=at
        )
        for at, name in enumerate(name for name in plan.stages if left[name])
    }
