"""What runs tasks: one interface, whoever stands behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from pipeline.execution.task import WORKER_MARK, Result, Task

#: One thread a worker for everything that would start its own: workers share the cores.
ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "OPENCV_FFMPEG_THREADS",
    ),
    "1",
)
#: What every worker process finds in its environment, wherever it is started.
WORKER_ENVIRONMENT = {**ONE_THREAD, WORKER_MARK: "1"}


class Executor(Protocol):
    """Takes the tasks of one video after another and gives back their results as they end."""

    def submit(self, tasks: Mapping[str, Sequence[Task]]) -> None:
        """Take a video's tasks, by stage, each stage after those that it reads."""
        ...

    def results(self, under_way: int = 0) -> Iterator[Result]:
        """Yield results until no more than ``under_way`` tasks are left."""
        ...

    def close(self) -> None:
        """End what was started for it, tasks under way included."""
        ...
