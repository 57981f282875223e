"""One run of the toy plan in a process of its own: ``python -m tests.torture.victim '{...}'``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pipeline.execution.todo import Settings


def main(options: dict[str, Any]) -> int:
    from pipeline.execution import run as execution
    from pipeline.execution.executors.array import Share
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
    kind = options.get("kind", "processes")
    wanted = Share(1, 1).wanted(plan) if kind == "share" else None
    cluster = Cluster(kind="processes" if kind == "share" else kind, workers=2)
    summary = execution.run(plan, cluster, settings, logs, wanted)
    failures = [[failure.name, failure.error, failure.skipped] for failure in summary.failures]
    print(json.dumps({"computed": dict(summary.computed), "failures": failures}), flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
