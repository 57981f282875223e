import contextlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from pipeline.base.errors import DataError
from pipeline.execution import audit as maintenance
from pipeline.execution import run as execution
from pipeline.execution.executors.cluster import Cluster
from pipeline.execution.executors.dask import DaskExecutor
from pipeline.execution.outputs import write_shards_json
from pipeline.execution.todo import Settings, Summary, check_complete, missing_shards, video_tasks
from pipeline.shards.reader import open_dataset
from tests.pipeline.toys import make_plan

THREADS = Cluster(kind="threads", workers=2)


def shard_bytes(cache):
    return {p.relative_to(cache): p.read_bytes() for p in sorted(cache.rglob("*.h5"))}


def run(plan, tmp_path, **kwargs):
    return execution.run(plan, THREADS, Settings(**kwargs), tmp_path / "logs")


def test_a_run_computes_all_and_a_second_nothing(tmp_path):
    plan = make_plan(tmp_path / "cache", log_calls=str(tmp_path / "calls"))
    first = run(plan, tmp_path)
    assert first.computed == {"noise": 5, "difference": 3}
    assert not first.failures
    check_complete(plan)
    before = shard_bytes(tmp_path / "cache")
    second = run(plan, tmp_path)
    assert sum(second.computed.values()) == 0
    assert second.cached == {"noise": 5, "difference": 3}
    assert shard_bytes(tmp_path / "cache") == before
    assert len((tmp_path / "calls").read_text().splitlines()) == 5


def test_what_is_read_equals_a_brute_force_computation(tmp_path):
    plan = make_plan(tmp_path / "cache", frames=(40,))
    run(plan, tmp_path)
    video = plan.videos[0]
    numbers = plan.arrays("noise", video)["number"][0:40]
    np.testing.assert_array_equal(numbers, np.arange(40))
    np.testing.assert_array_equal(plan.arrays("difference", video)["step"][0:39], np.ones(39))


def test_processes_threads_and_no_workers_give_the_same_bytes(tmp_path):
    for kind in ("threads", "processes", "serial"):
        plan = make_plan(tmp_path / kind)
        execution.run(plan, Cluster(kind=kind, workers=2), Settings(), tmp_path / "logs")
    assert shard_bytes(tmp_path / "threads") == shard_bytes(tmp_path / "serial")
    assert shard_bytes(tmp_path / "processes") == shard_bytes(tmp_path / "serial")


def test_a_failing_video_does_not_stop_the_others(tmp_path):
    plan = make_plan(tmp_path / "cache", frames=(40, 17, 33), fail_on="train/00")
    summary = run(plan, tmp_path)
    direct = [failure for failure in summary.failures if not failure.skipped]
    assert {failure.name for failure in direct} == {f"noise/train/00/{i:05d}" for i in range(3)}
    assert all("broken on purpose" in failure.error for failure in direct)
    skipped = [failure for failure in summary.failures if failure.skipped]
    assert {failure.stage for failure in skipped} == {"difference"}
    assert summary.computed == {"noise": 5, "difference": 2}
    with open(direct[0].log) as file:  # noqa: PTH123
        text = file.read()
    assert "Traceback" in text
    assert f"process {os.getpid()}\n" in text
    assert {log.stem for log in (tmp_path / "logs").rglob("*.log")} == {"00000", "00001", "00002"}
    assert not list((tmp_path / "logs" / "difference").rglob("*.log"))
    with pytest.raises(DataError, match="3 shards of noise are missing"):
        check_complete(plan)


def test_a_lost_shard_alone_is_computed_again(tmp_path):
    plan = make_plan(tmp_path / "cache")
    run(plan, tmp_path)
    before = shard_bytes(tmp_path / "cache")
    lost = plan.folder("noise", plan.videos[0]) / "00001.json"
    lost.unlink()
    summary = run(plan, tmp_path)
    assert dict(summary.computed) == {"noise": 1}
    assert shard_bytes(tmp_path / "cache") == before


def test_small_waves_compute_the_same(tmp_path):
    plan = make_plan(tmp_path / "cache", frames=(40, 17, 33, 20))
    assert not run(plan, tmp_path, wave=1).failures
    check_complete(plan)


def test_the_scheduler_keeps_figures_by_stage_not_by_shard(tmp_path):
    plan = make_plan(tmp_path / "cache", frames=(40, 17, 33, 20))
    missing = missing_shards(plan, Summary())
    settings = Settings()
    with contextlib.closing(DaskExecutor(THREADS)) as executor:
        prefixes = executor._client.cluster.scheduler.task_prefixes
        before = set(prefixes)
        found = list(execution.compute(executor, plan, missing, settings, tmp_path / "logs"))
        kept = set(prefixes) - before
    assert sorted(result.name for result in found) == sorted(
        task.name
        for video, left in missing
        for tasks in video_tasks(plan, video, left, settings, tmp_path / "logs").values()
        for task in tasks
    )
    assert kept == {"noise", "difference", "all_of"}


def test_shards_json_is_rewritten_only_when_it_changes(tmp_path):
    plan = make_plan(tmp_path / "cache")
    run(plan, tmp_path)
    path = tmp_path / "run" / "shards.json"
    assert write_shards_json(plan, path, "test", {"flow_scale": 4.0})
    stamp = path.stat().st_mtime_ns
    assert not write_shards_json(plan, path, "test", {"flow_scale": 4.0})
    assert path.stat().st_mtime_ns == stamp
    dataset = open_dataset(path)
    assert dataset.settings == {"flow_scale": 4.0}
    assert [video.name for video in dataset.select("train")] == ["train/00"]
    np.testing.assert_array_equal(dataset.arrays("noise", "test/01")["number"][0:17], np.arange(17))


def test_an_unwritable_cache_is_the_machines_error_and_nothing_is_lost(tmp_path):
    plan = make_plan(tmp_path / "cache")
    run(plan, tmp_path)
    assert (tmp_path / "cache" / "toy").is_dir()
    code = f"""
import os, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from pathlib import Path
from pipeline.execution import run as execution
from pipeline.execution.todo import Settings
from pipeline.execution.todo import Summary
from pipeline.execution.todo import check_complete
from pipeline.execution.outputs import write_recipes
from pipeline.execution.outputs import write_shards_json
from pipeline.execution.executors.cluster import Cluster
from pipeline.execution.executors.dask import DaskExecutor
from tests.pipeline.toys import make_plan
plan = make_plan(Path({str(tmp_path / "cache")!r}), size=64)
write_recipes(plan)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
threads = Cluster(kind="threads", workers=1)
logs = Path({str(tmp_path / "logs")!r})
summary = execution.run(plan, threads, Settings(retries=1), logs)
print(len(summary.failures), summary.failures[0].error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "MachineError" in done.stdout or "File too large" in done.stdout
    assert run(make_plan(tmp_path / "cache"), tmp_path).computed == {}
    assert not list((tmp_path / "cache").rglob("*.tmp"))


def test_status_why_and_verify(tmp_path):
    cache = tmp_path / "cache"
    plan = make_plan(cache)
    rows = {row["stage"]: row for row in maintenance.status_of_plan(plan)}
    assert (rows["noise"]["done"], rows["noise"]["shards"]) == (0, 5)
    run(plan, tmp_path)
    rows = {row["stage"]: row for row in maintenance.status_of_plan(plan)}
    assert (rows["noise"]["done"], rows["noise"]["shards"]) == (5, 5)
    assert rows["noise"]["bytes"] == sum(
        p.stat().st_size for p in (cache / "toy/noise").rglob("*.h5")
    )
    other = make_plan(cache, size=6)
    found = maintenance.why(other, "noise")
    assert not found["cached"]
    assert list(found["others"].values()) == [{"settings.size": [4, 6]}]

    assert maintenance.verify(cache) == []
    shards = sorted((cache / "toy/noise").rglob("*.h5"))
    shards[0].write_bytes(shards[0].read_bytes()[:-1])
    shards[1].unlink()
    bad = maintenance.verify(cache)
    assert [path for path, _ in bad] == shards[:2]
    maintenance.discard([path for path, _ in bad])
    assert run(plan, tmp_path).computed == {"noise": 2}
    assert maintenance.verify(cache) == []


def test_records_say_what_was_computed(tmp_path):
    plan = make_plan(tmp_path / "cache")
    run(plan, tmp_path)
    path = plan.folder("noise", plan.videos[0]) / "00001.json"
    record = json.loads(path.read_text())
    assert (record["start"], record["stop"]) == (16, 32)
    assert record["key"] == plan.stages["noise"].key
    assert record["video_sha256"] == plan.videos[0].digest
    assert record["versions"]["numpy"] == np.__version__
