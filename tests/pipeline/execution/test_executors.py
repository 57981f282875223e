"""What every executor must do, and what worker processes must not be able to spoil."""

import contextlib
import logging
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import dask
import numpy as np
import pytest

from pipeline.base import device
from pipeline.base.errors import ConfigurationError
from pipeline.execution import run as execution
from pipeline.execution.executors import cluster as clusters
from pipeline.execution.executors.cluster import Cluster
from pipeline.execution.executors.dask import DaskExecutor
from pipeline.execution.plan import Plan, plan_stages
from pipeline.execution.todo import Settings, Summary, check_complete, missing_shards
from pipeline.models.source import ModelUse
from pipeline.stages.base import Array
from tests.pipeline.toys import Noise, make_plan, planned_video

TWO = Cluster(kind="processes", workers=2)


@pytest.mark.parametrize("kind", ["serial", "threads"])
def test_any_executor_computes_all_and_skips_what_a_failure_leaves_without_input(tmp_path, kind):
    plan = make_plan(tmp_path / "cache", frames=(40, 17, 33), fail_on="train/00")
    summary = execution.run(plan, Cluster(kind=kind, workers=2), Settings(), tmp_path / "logs")
    assert summary.computed == {"noise": 5, "difference": 2}
    assert [failure.skipped for failure in summary.failures].count(False) == 3
    assert {failure.stage for failure in summary.failures if failure.skipped} == {"difference"}


def test_results_leave_no_more_than_a_wave_under_way(tmp_path):
    plan = make_plan(tmp_path / "cache", frames=(16,) * 6)
    missing = missing_shards(plan, Summary())
    with contextlib.closing(DaskExecutor(Cluster(kind="threads", workers=1))) as executor:
        for result in execution.compute(
            executor, plan, missing, Settings(wave=1), tmp_path / "logs"
        ):
            assert not result.error
            assert executor._under_way.count() <= 2  # one video: noise and difference
    check_complete(plan)


def test_a_run_leaves_environment_configuration_and_logs_as_they_were(tmp_path):
    log = logging.getLogger("distributed.scheduler")
    before = dict(os.environ), dict(dask.config.config), log.level
    execution.run(make_plan(tmp_path / "cache"), TWO, Settings(), tmp_path / "logs")
    assert (dict(os.environ), dict(dask.config.config), log.level) == before


def test_an_idle_worker_that_dies_is_replaced(tmp_path):
    plan = make_plan(tmp_path / "cache", frames=(16,) * 4)
    first, *others = missing_shards(plan, Summary())
    logs = tmp_path / "logs"
    with contextlib.closing(DaskExecutor(Cluster(kind="processes", workers=1))) as executor:
        results = list(execution.compute(executor, plan, [first], Settings(), logs))
        (worker,) = executor._client.run(os.getpid).values()
        os.kill(worker, signal.SIGKILL)
        results += execution.compute(executor, plan, others, Settings(), logs)
    assert not [result.error for result in results if result.error]
    check_complete(plan)


@dataclass(frozen=True, kw_only=True)
class Deadly(Noise):
    """A stage whose arrival at a worker process ends it, before any claim is made."""

    NAME: ClassVar[str] = "deadly"
    home: int = 0

    def __setstate__(self, state):
        self.__dict__.update(state)
        if os.getpid() != self.home and os.environ.get("PSEUDO_ANOMALY_WORKER"):
            time.sleep(0.1)
            os._exit(1)


def toy_plan(cache: Path, stage, videos: int) -> Plan:
    planned = plan_stages("toy", cache, {stage.NAME: stage}, (stage.NAME,), 16, lambda path: "")
    names = [planned_video(f"train/{number:02d}", 16) for number in range(videos)]
    return Plan("toy", cache, 16, planned, tuple(names))


def test_a_worker_that_dies_before_its_claim_is_not_replaced_without_end(tmp_path, monkeypatch):
    monkeypatch.setitem(clusters.DASK, "distributed.scheduler.allowed-failures", 2)
    plan = toy_plan(tmp_path / "cache", Deadly(home=os.getpid()), 1)
    one = Cluster(kind="processes", workers=1)
    summary = execution.run(plan, one, Settings(retries=0), tmp_path / "logs")
    (failure,) = summary.failures
    assert failure.name == "deadly/train/00/00000"
    assert "KilledWorker" in failure.error


@dataclass(frozen=True, kw_only=True)
class Seen(Noise):
    """Writes which GPU its process sees: -1 for none, -2 where nothing was said."""

    NAME: ClassVar[str] = "seen"
    network: bool = True

    def models(self):
        return (ModelUse("seen.model", __file__, "this file"),) if self.network else ()

    def arrays(self, inputs):
        return {"gpu": Array("int64", ()), "process": Array("int64", ())}

    def compute(self, job):
        time.sleep(0.05)
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "-2") or "-1"
        frames = len(job.frames)
        return {"gpu": np.full(frames, int(visible)), "process": np.full(frames, os.getpid())}


def seen_by(tmp_path, cluster, *, network):
    """Return which GPU each process that computed saw."""
    plan = toy_plan(tmp_path / f"cache-{network}", Seen(network=network), 12)
    assert not execution.run(plan, cluster, Settings(), tmp_path / "logs").failures
    arrays = [plan.arrays("seen", video) for video in plan.videos]
    return {(int(one["process"][0]), int(one["gpu"][0])) for one in arrays}


def test_each_gpu_has_a_worker_of_its_own_and_other_stages_see_none(tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "gpu_ids", lambda: ["5", "7"])
    both = seen_by(tmp_path, TWO, network=True)
    assert sorted(gpu for _, gpu in both) == [5, 7]
    assert len({process for process, _ in both}) == 2
    assert {gpu for _, gpu in seen_by(tmp_path, TWO, network=False)} == {-1}


def test_gpus_are_shared_only_where_it_is_asked_for_and_used_only_so_many(tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "gpu_ids", lambda: ["0", "1"])
    one = Cluster(kind="processes", workers=1, gpus=1, gpu_workers=2)
    found = seen_by(tmp_path, one, network=True)
    assert {gpu for _, gpu in found} == {0}
    assert len(found) == 2
    with pytest.raises(ConfigurationError, match=r"cluster.gpus: 3 were asked for, PyTorch sees 2"):
        Cluster(gpus=3).gpu_ids()
    assert Cluster(gpus=0).gpu_ids() == []


def test_gpus_are_called_as_the_environment_calls_them(monkeypatch):
    monkeypatch.setattr(device.Path, "exists", lambda path: str(path) == "/dev/nvidiactl")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert device.gpu_ids() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-8f0c")
    assert device.gpu_ids() == ["3", "GPU-8f0c"]
