"""One run of the toy plan in a process of its own: ``python -m tests.torture.victim '{...}'``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pipeline.base.errors import MachineError
from pipeline.execution.executors.dask import write_recipes
from pipeline.execution.plan import Plan
from pipeline.execution.task import Result, run_task
from pipeline.execution.todo import Settings, Summary, missing_shards, video_tasks


def serial(plan: Plan, settings: Settings, logs: Path) -> Summary:
    """Compute task after task in this process, as one worker would: no start-up of others."""
    summary = Summary()
    write_recipes(plan)
    for video, left in missing_shards(plan, summary):
        for tasks in video_tasks(plan, video, left, settings, logs).values():
            for task in tasks:
                for attempt in range(settings.retries + 1):
                    try:
                        summary.count(run_task(task))
                        break
                    except MachineError as error:
                        if attempt == settings.retries:
                            failed = Result(stage=task.stage.NAME, name=task.name, error=str(error))
                            summary.count(failed)
    return summary


def main(options: dict[str, Any]) -> int:
    from pipeline.execution.executors import dask as engine
    from pipeline.execution.executors.array import Share, run_share
    from pipeline.execution.executors.cluster import Cluster
    from tests.pipeline.toys import make_plan

    if "network" in options:
        from tests.torture import network

        network.install(**options["network"])
    plan = make_plan(
        Path(options["cache"]), frames=tuple(options["frames"]), **options.get("stage", {})
    )
    settings = Settings(**options.get("settings", {}))
    logs = Path(options["logs"])
    if options.get("kind") == "share":
        summary = run_share(plan, Share(1, 1), settings, logs, 2)
    elif options.get("kind") == "serial":
        summary = serial(plan, settings, logs)
    else:
        cluster = Cluster(kind=options.get("kind", "processes"), workers=2)
        summary = engine.run(plan, cluster, settings, logs)
    failures = [[failure.name, failure.error, failure.skipped] for failure in summary.failures]
    print(json.dumps({"computed": dict(summary.computed), "failures": failures}), flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
