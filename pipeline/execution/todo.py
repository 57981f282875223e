"""What is left to do: the missing shards of a plan, and the tasks that compute them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.execution.catalogue import PlannedVideo
from pipeline.execution.plan import Plan
from pipeline.execution.task import Result, Task


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a run treats its tasks; none of it changes what is computed."""

    compression: str = "auto"
    """``auto`` (gzip for masks and label maps, none for the rest), ``none``, ``lzf`` or ``gzip``;
    sizes and speeds are in docs/performance.md."""
    retries: int = 2
    """How often a shard is tried again when the machine, not the data, failed."""
    timeout: float = 3600.0
    """Seconds that one shard may take before its worker is replaced; 0 for no limit."""
    wave: int = 1_000
    """Tasks under way at once; what is beyond waits outside the scheduler. Several a worker are
    enough; taking back thousands of them would make an interrupted run end late."""
    patience: float = 60.0
    """Seconds to wait for an input shard that is done, but that a network file system does not
    show on this machine yet."""

    def __post_init__(self) -> None:
        for name, low in (("retries", 0), ("timeout", 0), ("wave", 1), ("patience", 0)):
            if not getattr(self, name) >= low:
                raise ConfigurationError(
                    f"engine_settings.{name}: {getattr(self, name)} is below {low}"
                )


@dataclass
class Summary:
    """What a run did."""

    computed: Counter[str] = field(default_factory=Counter)
    cached: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    failures: list[Result] = field(default_factory=list)
    wall_seconds: float = 0.0

    def count(self, result: Result) -> None:
        """Add a task's result."""
        if result.error:
            self.failures.append(result)
            return
        self.computed[result.stage] += result.shards
        self.bytes[result.stage] += result.bytes
        self.seconds[result.stage] += result.seconds

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


#: For a video, the numbers of each stage's shards that are not committed.
Missing = list[tuple[PlannedVideo, dict[str, tuple[int, ...]]]]


#: The numbers of the shards of a stage's video that are asked for, in the order of computing.
Wanted = Callable[[str, PlannedVideo], Sequence[int]]


def missing_shards(plan: Plan, summary: Summary, wanted: Wanted | None = None) -> Missing:
    """Look at every folder once: which shards are missing, and how many are cached.

    Parameters
    ----------
    wanted
        With it, all other shards are left out.
    """
    missing: Missing = []
    summary.cached.update(dict.fromkeys(plan.stages, 0))
    for video in plan.videos:
        left: dict[str, tuple[int, ...]] = {}
        for name in plan.stages:
            if not plan.runs_on(name, video):
                continue
            done = plan.committed(name, video)
            asked = wanted(name, video) if wanted else range(plan.shard_count(name, video))
            numbers = tuple(number for number in asked if number not in done)
            summary.cached[name] += len(asked) - len(numbers)
            if numbers:
                left[name] = numbers
        if left:
            missing.append((video, left))
    return missing


def lying_at(plan: Plan, paths: Container[Path]) -> Wanted:
    """Return which shards of a plan lie at some paths."""

    def numbers(stage: str, video: PlannedVideo) -> list[int]:
        folder = plan.folder(stage, video)
        count = plan.shard_count(stage, video)
        return [number for number in range(count) if folder / f"{number:05d}.h5" in paths]

    return numbers


def video_tasks(
    plan: Plan,
    video: PlannedVideo,
    left: Mapping[str, tuple[int, ...]],
    settings: Settings,
    logs: Path,
    run_name: str = "",
) -> dict[str, list[Task]]:
    """Return the tasks for a video's missing shards, by stage, each after those it reads."""
    tasks: dict[str, list[Task]] = {}
    for name, numbers in left.items():
        entry = plan.stages[name]
        inputs = entry.stage.inputs()
        ranges = plan.shards(name, video)
        shards = tuple((number, ranges[number]) for number in numbers)
        shared: dict[str, Any] = {
            "stage": entry.stage,
            "key": entry.key,
            "video": video.info.name,
            "source": None if inputs else video.source,
            "truth": video.source if entry.stage.READS_TRUTH else None,
            "inputs": {source: plan.arrays(source, video) for source in inputs},
            "arrays": plan.video_specs(name, video),
            "folder": plan.folder(name, video),
            "digest": video.digest_for(entry.stage),
            "compression": settings.compression,
            "timeout": settings.timeout,
            "patience": settings.patience,
            "retries": settings.retries,
            "run": run_name,
        }
        log = logs / name / plan.video_folder(name, video)
        groups = [shards] if entry.stage.SEQUENTIAL else [(shard,) for shard in shards]
        tasks[name] = [
            Task(shards=group, log=log / f"{group[0][0]:05d}.log", **shared) for group in groups
        ]
    return tasks


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
