"""Where the graph runs: worker processes or threads here, SLURM, or a running scheduler."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import ConfigurationError, MachineError
from pipeline.task import WORKER_MARK

if TYPE_CHECKING:
    from distributed import Client

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


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where shards are computed."""

    kind: str = "processes"
    """``processes`` (or ``local``: worker processes on this machine), ``threads`` (in this
    process), ``slurm`` (dask-jobqueue), or a scheduler's address such as
    ``tcp://10.0.0.1:8786``."""
    workers: int = 0
    """Number of workers; 0 for one a core (``slurm``: one job)."""

    def __post_init__(self) -> None:
        if self.kind not in ("processes", "local", "threads", "slurm") and "://" not in self.kind:
            raise ConfigurationError(
                f"cluster.kind: {self.kind!r} is none of processes, local, threads, slurm, "
                "nor an address such as tcp://HOST:8786"
            )
        if self.workers < 0:
            raise ConfigurationError(f"cluster.workers: {self.workers} is negative")


@contextlib.contextmanager
def connect(settings: Cluster) -> Iterator[Client]:
    """Give a Dask client of the chosen cluster, and take down what was started for it."""
    import dask
    from distributed import Client, LocalCluster

    dask.config.set(
        {
            "distributed.scheduler.allowed-failures": 2,
            "distributed.worker.daemon": True,
            "distributed.admin.large-graph-warning-threshold": "1GB",
        }
    )
    workers = settings.workers or len(os.sched_getaffinity(0))
    if "://" in settings.kind:
        try:
            with Client(settings.kind, timeout=15) as client:
                yield client
        except OSError as error:
            raise MachineError(
                f"cluster.kind: no scheduler answers at {settings.kind} ({error}); "
                "start one with `dask scheduler`, or choose processes"
            ) from error
        return
    if settings.kind == "slurm":
        from pipeline.slurm import slurm_cluster

        cluster = slurm_cluster(settings)
    elif settings.kind == "threads":
        cluster = LocalCluster(
            n_workers=1,
            threads_per_worker=workers,
            processes=False,
            dashboard_address=None,
            memory_limit=0,
        )
    else:
        os.environ.update({name: "1" for name in ONE_THREAD if name not in os.environ})
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            env={**ONE_THREAD, WORKER_MARK: "1"},
            silence_logs="CRITICAL",
        )
    with cluster, Client(cluster) as client:
        yield client
