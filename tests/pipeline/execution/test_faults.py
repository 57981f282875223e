"""Workers that die, hang or meet a folder that is gone: what else is computed, what is said."""

import asyncio
import shutil
import threading

import pytest

from pipeline.base.errors import MachineError
from pipeline.execution import audit as maintenance
from pipeline.execution import run as execution
from pipeline.execution.executors.cluster import Cluster, connect
from pipeline.execution.task import run_task
from pipeline.execution.todo import Settings, Summary, lying_at, missing_shards, video_tasks
from tests.pipeline.toys import make_plan

SERIAL = Cluster(kind="serial")
TWO = Cluster(kind="processes", workers=2)


@pytest.mark.parametrize(
    ("fault", "timeout"), [({"kill_on": "train/04"}, 60.0), ({"hang_on": "train/04"}, 0.5)]
)
def test_a_shard_that_ends_its_workers_is_given_up_and_no_other_is_blamed(tmp_path, fault, timeout):
    plan = make_plan(tmp_path / "cache", frames=(16,) * 40, **fault)
    settings = Settings(retries=1, timeout=timeout)
    summary = execution.run(plan, TWO, settings, tmp_path / "logs")
    failed = [failure for failure in summary.failures if not failure.skipped]
    assert [failure.name for failure in failed] == ["noise/train/04/00000"]
    assert "2 workers died" in failed[0].error
    assert [f.name for f in summary.failures if f.skipped] == ["difference/train/04/00000"]
    assert summary.computed == {"noise": 39, "difference": 19}
    assert not list((tmp_path / "cache").rglob("*.claim"))


def test_the_time_limit_is_each_shards_own(tmp_path):
    plan = make_plan(tmp_path / "cache", frames=(16,) * 6, sleep=0.6)
    one = Cluster(kind="processes", workers=1)
    summary = execution.run(plan, one, Settings(retries=0, timeout=2.5), tmp_path / "logs")
    assert not summary.failures  # 3.6 s in one worker, which would be gone and blamed
    assert summary.computed == {"noise": 6, "difference": 3}


def tasks_of(plan, tmp_path, **settings):
    video, left = missing_shards(plan, Summary())[0]
    return video_tasks(plan, video, left, Settings(**settings), tmp_path / "logs")


def test_an_input_that_a_network_file_system_shows_late_is_waited_for(tmp_path):
    plan = make_plan(tmp_path / "cache", frames=(16,))
    tasks = tasks_of(plan, tmp_path)
    run_task(tasks["noise"][0])
    record = plan.folder("noise", plan.videos[0]) / "00000.json"
    record.rename(tmp_path / "later")
    threading.Timer(0.5, (tmp_path / "later").rename, args=(record,)).start()
    assert run_task(tasks["difference"][0]).error == ""


def test_an_input_that_never_shows_is_the_shards_failure(tmp_path):
    plan = make_plan(tmp_path / "cache", frames=(16,))
    tasks = tasks_of(plan, tmp_path, patience=0.2)
    assert "not found" in run_task(tasks["difference"][0]).error


def test_a_folder_removed_under_a_task_is_the_machines_error_and_a_retry_mends_it(tmp_path):
    plan = make_plan(tmp_path / "cache", frames=(16,), sleep=0.5)
    task = tasks_of(plan, tmp_path)["noise"][0]
    timer = threading.Timer(0.2, shutil.rmtree, args=(tmp_path / "cache",))
    timer.start()
    with pytest.raises(MachineError, match="folder removed"):
        run_task(task)
    timer.join()
    assert run_task(task).error == ""


def test_a_repaired_shard_is_read_anew_by_a_process_that_had_it_open(tmp_path):
    plan = make_plan(tmp_path / "cache", frames=(16,))
    settings = Settings()
    execution.run(plan, SERIAL, settings, tmp_path / "logs")
    video = plan.videos[0]
    numbers = plan.arrays("noise", video)["number"]
    before = numbers[0:16]
    shard = plan.folder("noise", video) / "00000.h5"
    data = bytearray(shard.read_bytes())
    at = data.find(before.tobytes())
    data[at] ^= 1
    shard.write_bytes(data)
    assert numbers[0] == 1
    damaged = [path for path, _ in maintenance.verify(tmp_path / "cache")]
    assert damaged == [shard]
    maintenance.discard(damaged)
    execution.run(plan, SERIAL, settings, tmp_path / "logs", lying_at(plan, set(damaged)))
    assert (numbers[0:16] == before).all()


def test_a_worker_whose_nanny_gave_up_is_started_anew(tmp_path):
    plan = make_plan(tmp_path / "cache", frames=(16,) * 6, sleep=0.2)
    with connect(Cluster(kind="processes", workers=1)) as client:
        client.wait_for_workers(1)
        asyncio.run_coroutine_threadsafe(
            client.cluster.workers[0].close(), client.loop.asyncio_loop
        ).result(60)
        video, left = missing_shards(plan, Summary())[0]
        task = video_tasks(plan, video, left, Settings(), tmp_path / "logs")["noise"][0]
        assert client.submit(run_task, task).result(timeout=60).error == ""
