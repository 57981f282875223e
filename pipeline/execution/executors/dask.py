"""All missing shards of a plan as one Dask graph: progress, retries, failures, a summary."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.base.errors import DataError, ProjectError
from pipeline.base.files import canonical, write_json
from pipeline.base.progress import progress_bar
from pipeline.execution.executors.cluster import Cluster, connect, stage_resources
from pipeline.execution.plan import Plan
from pipeline.execution.task import Result, Task, run_task
from pipeline.execution.todo import Missing, Settings, Summary, missing_shards, video_tasks
from pipeline.models.source import require
from pipeline.shards.reader import FORMAT

if TYPE_CHECKING:
    from distributed import Client, Future

#: How long to let results gather before they are fetched.
GATHER_SECONDS = 0.05


def write_recipes(plan: Plan) -> None:
    """Write each stage's recipe beside its shards, or check the one that is there."""
    for entry in plan.stages.values():
        path = entry.folder / "recipe.json"
        if not path.exists():
            write_json(path, entry.recipe | {"key": entry.key})


def run(
    plan: Plan,
    cluster: Cluster,
    settings: Settings,
    logs: Path,
    only: Container[Path] | None = None,
) -> Summary:
    """Compute every missing shard of a plan, or those among ``only``.

    A task of stage n+1 starts when its video's stage n is done. A failing shard stops only
    what reads it. Nothing is started, and Dask is not imported, where nothing is missing.
    A model that is not to be had is reported once, before anything is started.
    """
    start = time.perf_counter()
    summary = Summary()
    write_recipes(plan)
    missing = missing_shards(plan, summary, only)
    if missing:
        names = {name for _, stages in missing for name, numbers in stages.items() if numbers}
        require(plan.stages[name].stage for name in plan.stages if name in names)
        bars = _bars(plan, missing, summary)
        try:
            with connect(cluster) as client:
                for result in _results(client, plan, missing, cluster, settings, logs):
                    summary.count(result)
                    bars[result.stage].update(result.shards)
        finally:
            for bar in bars.values():
                bar.close()
    summary.wall_seconds = time.perf_counter() - start
    return summary


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


def _results(
    client: Client,
    plan: Plan,
    missing: Missing,
    cluster: Cluster,
    settings: Settings,
    logs: Path,
) -> Iterator[Result]:
    """Submit video after video, at most a wave at once, and yield results as they come.

    Tasks are made when their wave comes: a million at once would fill the memory.
    """
    from distributed import as_completed

    waiting = as_completed()
    names: dict[str, Task] = {}
    run_name = uuid.uuid4().hex
    workers = client.scheduler_info(n_workers=-1)["workers"]
    resources = {
        name: stage_resources(cluster, workers, entry.stage) for name, entry in plan.stages.items()
    }
    for video, left in missing:
        tasks = video_tasks(plan, video, left, settings, logs, run_name)
        waiting.update(_submit_video(client, plan, tasks, settings.retries, resources, names))
        while waiting.count() >= settings.wave:
            yield from _gathered(client, waiting, names)
    while waiting.count():
        yield from _gathered(client, waiting, names)


def _submit_video(
    client: Client,
    plan: Plan,
    tasks: dict[str, list[Task]],
    retries: int,
    resources: Mapping[str, dict[str, float] | None],
    names: dict[str, Task],
) -> list[Future]:
    """Submit a video's tasks, a stage in one message.

    Dask keeps figures by what stands before a key's first hyphen and looks through them with
    every task, so that is the stage, not the task.
    """
    finished: dict[str, Future] = {}
    submitted: list[Future] = []
    read = {source for name in tasks for source in plan.stages[name].stage.inputs()}
    for depth, (name, items) in enumerate(tasks.items()):
        inputs = plan.stages[name].stage.inputs()
        upstream = [finished[source] for source in inputs if source in finished]
        keys = [f"{task.name.replace('/', '-', 1)}-{uuid.uuid4().hex}" for task in items]
        names.update(zip(keys, items, strict=True))
        futures = client.map(
            run_task,
            items,
            *([future] * len(items) for future in upstream),
            key=keys,
            retries=retries,
            priority=depth,
            resources=resources[name],
            pure=False,
        )
        submitted += futures
        if name in read:
            finished[name] = client.submit(_all_of, *futures, pure=False, priority=depth)
    return submitted


def _all_of(*results: Result) -> Result:
    """Say of a video's stage that it is done, or which of its tasks failed."""
    return next((result for result in results if result.error), results[0])


def _gathered(client: Client, waiting: Any, names: dict[str, Task]) -> list[Result]:
    """Fetch the results of tasks that ended: some at once, since each asking costs its while."""
    time.sleep(GATHER_SECONDS)
    batch = waiting.next_batch()
    try:
        outcomes = client.gather(batch)
    except Exception:  # some failed: each for itself
        outcomes = [_outcome(future) for future in batch]
    return [
        _result(names.pop(str(future.key)), outcome)
        for future, outcome in zip(batch, outcomes, strict=True)
    ]


def _outcome(future: Any) -> Any:
    try:
        return future.result()
    except Exception as error:
        return error


def _result(task: Task, outcome: Any) -> Result:
    """Return a task's result; where the machine failed for good, say so as a failed result."""
    if isinstance(outcome, Result):
        return outcome
    is_ours = isinstance(outcome, ProjectError)
    return Result(
        stage=task.stage.NAME,
        name=task.name,
        error=str(outcome) if is_ours else f"{type(outcome).__name__}: {outcome}",
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


def write_keys(plan: Plan, path: Path) -> None:
    """Note which keys a run uses, before it is complete, so that ``gc`` leaves them alone."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))["stages"]
    except (OSError, ValueError, KeyError, TypeError):
        known = {}
    used = {name: {"folder": str(entry.folder.absolute())} for name, entry in plan.stages.items()}
    if known | used != known:
        write_json(path, {"stages": known | used})


def missing_count(plan: Plan) -> int:
    """Return how many shards of a plan are not committed."""
    return sum(
        plan.shard_count(name, video) - len(plan.committed(name, video))
        for name in plan.stages
        for video in plan.videos_of(name)
    )


def check_complete(plan: Plan) -> None:
    """Raise if any shard of a plan is not committed.

    Raises
    ------
    DataError
        Naming how many are missing, and where.
    """
    for name in plan.stages:
        for video in plan.videos_of(name):
            left = plan.shard_count(name, video) - len(plan.committed(name, video))
            if left:
                raise DataError(f"{plan.folder(name, video)}: {left} shards of {name} are missing")
