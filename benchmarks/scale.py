"""10 000 videos, 1 000 000 shards, an empty stage: ``python -m benchmarks.scale [FOLDER]``.

Planning, a resumed run that finds all done, and the scheduler's memory while waves of
tasks pass through it. Makes two million empty files in FOLDER and removes them; some
minutes, so ``make bench`` does not run it.
"""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common import Row
from benchmarks.engine import Empty, make_plan
from pipeline.execution import run as execution
from pipeline.execution.executors.array import Share
from pipeline.execution.executors.cluster import Cluster
from pipeline.execution.executors.dask import DaskExecutor
from pipeline.execution.run import compute
from pipeline.execution.todo import Settings, Summary, missing_shards

VIDEOS, FRAMES, SHARD_FRAMES = 10_000, 51_200, 512
WAVES = 5


def rows() -> list[Row]:
    """Nothing for the table of ``make bench``: this takes minutes and two million files."""
    return []


def main() -> None:
    """Measure, print a line each, and write build/scale.json."""
    base = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    found: dict[str, float] = {}

    def note(name: str, value: float, unit: str, goal: str) -> None:
        found[name] = round(value, 2)
        print(f"{name:<46}{value:>10.2f} {unit:<4} goal {goal}", flush=True)

    with tempfile.TemporaryDirectory(dir=base, prefix="scale-") as folder:
        cache, logs = Path(folder) / "cache", Path(folder) / "logs"
        start = time.perf_counter()
        plan = make_plan(Empty(), cache, VIDEOS, FRAMES, SHARD_FRAMES)
        missing = missing_shards(plan, Summary())
        note("planning, nothing cached", time.perf_counter() - start, "s", "< 60")
        start = time.perf_counter()
        wanted_of = Share(1, 1000).wanted(plan)
        sum(len(wanted_of("empty", video)) for video in plan.videos)
        note("one share of 1000", time.perf_counter() - start, "s", "< 60")

        settings = Settings()
        cluster = Cluster(kind="processes", workers=2)
        wanted = WAVES * settings.wave
        with contextlib.closing(DaskExecutor(cluster)) as executor:
            results: Any = compute(executor, plan, missing, settings, logs)
            start = time.perf_counter()
            for number, result in enumerate(results):
                assert not result.error, result.error
                if number + 1 == wanted:
                    break
            seconds = time.perf_counter() - start
            results.close()
        note(f"an empty shard, of {wanted}", 1e3 * seconds / wanted, "ms", "< 5")
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        note("scheduler, client and plan, most memory", memory, "GB", "< 4")

        del missing
        for video in plan.videos:
            target = plan.folder("empty", video)
            target.mkdir(parents=True, exist_ok=True)
            for number in range(plan.shard_count("empty", video)):
                for suffix in ("h5", "json"):
                    (target / f"{number:05d}.{suffix}").touch()
        start = time.perf_counter()
        plan = make_plan(Empty(), cache, VIDEOS, FRAMES, SHARD_FRAMES)
        summary = execution.run(plan, cluster, settings, logs)
        note("a resumed run that finds all done", time.perf_counter() - start, "s", "< 30")
        assert summary.cached["empty"] == VIDEOS * FRAMES // SHARD_FRAMES
        assert not summary.computed
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
    path = Path("build/scale.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
