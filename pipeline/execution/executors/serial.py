"""No workers: tasks one after the other in this process, where a debugger can stop in a stage."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from pipeline.base.errors import MachineError
from pipeline.execution.task import Result, Task, all_of, failed_result, run_task


class SerialExecutor:
    """Computes a video's tasks when their results are asked for."""

    def __init__(self) -> None:
        self._waiting: deque[Mapping[str, Sequence[Task]]] = deque()

    def submit(self, tasks: Mapping[str, Sequence[Task]]) -> None:
        """Take a video's tasks, by stage, each stage after those that it reads."""
        self._waiting.append(tasks)

    def results(self, under_way: int = 0) -> Iterator[Result]:
        """Yield the results of all tasks that were submitted."""
        while self._waiting:
            stages: dict[str, Result] = {}
            for name, tasks in self._waiting.popleft().items():
                upstream = [stages[read] for read in tasks[0].stage.inputs() if read in stages]
                found = []
                for task in tasks:
                    found.append(_tried(task, upstream))
                    yield found[-1]
                stages[name] = all_of(*found)

    def close(self) -> None:
        """Forget what was not asked for."""
        self._waiting.clear()


def _tried(task: Task, upstream: Sequence[Result]) -> Result:
    """Compute a task, again where the machine failed."""
    for left in range(task.retries, -1, -1):
        try:
            return run_task(task, *upstream)
        except (MachineError, OSError) as error:
            if not left:
                return failed_result(task, error)
    raise AssertionError("unreachable")
