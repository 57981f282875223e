"""All tasks as one Dask graph: on processes or threads here, SLURM jobs, or a running scheduler."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.execution.executors.cluster import Cluster, connect, offered_resources
from pipeline.execution.task import Result, Task, all_of, failed_result, run_task

if TYPE_CHECKING:
    from distributed import Future

#: How long to let results gather before they are fetched together.
GATHER_SECONDS = 0.05


class DaskExecutor:
    """Gives tasks to a Dask scheduler; the workers are its business.

    Parameters
    ----------
    cluster
        Where the workers are. What is started for it ends with :meth:`close`.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._site = cluster.read_site()
        with contextlib.ExitStack() as stack:
            self._client = stack.enter_context(connect(cluster))
            self._started = stack.pop_all()
        from distributed import as_completed  # loaded by `connect`

        self._offered = offered_resources(cluster, self._client)
        self._under_way = as_completed()
        self._tasks: dict[str, Task] = {}

    def submit(self, tasks: Mapping[str, Sequence[Task]]) -> None:
        """Submit a video's tasks, a stage in one message.

        Dask keeps figures by what stands before a key's first hyphen and looks through them
        with every task, so that is the stage, not the task.
        """
        finished: dict[str, Future] = {}
        read = {source for items in tasks.values() for source in items[0].stage.inputs()}
        for depth, (name, items) in enumerate(tasks.items()):
            stage = items[0].stage
            upstream = [finished[source] for source in stage.inputs() if source in finished]
            keys = [f"{task.name.replace('/', '-', 1)}-{uuid.uuid4().hex}" for task in items]
            kind = "GPU" if "GPU" in self._offered and self._site.on_gpu(stage) else "CPU"
            futures = self._client.map(
                run_task,
                items,
                *([future] * len(items) for future in upstream),
                key=keys,
                retries=items[0].retries,
                priority=depth,
                resources={kind: 1} if kind in self._offered else None,
                pure=False,
            )
            self._tasks.update(zip(keys, items, strict=True))
            self._under_way.update(futures)
            if name in read:
                finished[name] = self._client.submit(all_of, *futures, pure=False, priority=depth)

    def results(self, under_way: int = 0) -> Iterator[Result]:
        """Yield results until no more than ``under_way`` tasks are left."""
        while self._under_way.count() > under_way:
            time.sleep(GATHER_SECONDS)
            batch = self._under_way.next_batch()
            try:
                outcomes = self._client.gather(batch)
            except Exception:  # some failed: each for itself
                outcomes = [_outcome(future) for future in batch]
            for future, outcome in zip(batch, outcomes, strict=True):
                task = self._tasks.pop(str(future.key))
                yield outcome if isinstance(outcome, Result) else failed_result(task, outcome)

    def close(self) -> None:
        """End the workers that were started for it."""
        self._started.close()


def _outcome(future: Any) -> Any:
    try:
        return future.result()
    except Exception as error:
        return error
