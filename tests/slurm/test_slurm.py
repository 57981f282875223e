"""The pipeline on a real SLURM of one node; every result is that of a local run."""

import json
import subprocess
import sys
import threading
import time

import pytest

from pipeline.base.errors import ConfigurationError
from pipeline.execution import run as execution
from pipeline.execution.executors.cluster import Cluster
from pipeline.execution.todo import Settings, check_complete
from tests.pipeline.execution.test_engine import shard_bytes
from tests.pipeline.toys import make_plan

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.usefixtures("slurm_environment")]

FRAMES = (40, 17, 33, 48, 16, 25)
SITE = """
cpu: {{cores: 1, memory: 1GB, walltime: "00:10:00", minimum: 0, maximum: 2{extra}}}
gpu: {{cores: 1, memory: 1GB, walltime: "00:10:00", maximum: 1, gpus: 1, stages: [difference]}}
logs: {logs}
interval: 1
idle: 8
"""


def write_site(folder, extra=""):
    path = folder / "site.yaml"
    path.write_text(SITE.format(logs=folder / "slurm-logs", extra=extra))
    return str(path)


def local(folder, **settings):
    plan = make_plan(folder / "local", frames=FRAMES, **settings)
    execution.run(plan, Cluster(kind="threads", workers=2), Settings(), folder / "logs")
    return shard_bytes(folder / "local")


def on_slurm(folder, extra="", **settings):
    plan = make_plan(folder / "slurm", frames=FRAMES, **settings)
    cluster = Cluster(kind="slurm", site=write_site(folder, extra))
    summary = execution.run(plan, cluster, Settings(), folder / "logs")
    assert not summary.failures
    check_complete(plan)
    return plan, shard_bytes(folder / "slurm")


def jobs():
    asked = subprocess.run(["squeue", "-h", "-o", "%A %T"], capture_output=True, text=True)
    return [line.split()[0] for line in asked.stdout.splitlines() if line.endswith("RUNNING")]


def processes(plan, stage):
    records = plan.stages[stage].folder.rglob("[0-9]*.json")
    return {json.loads(record.read_text())["process"] for record in records}


def test_dask_jobqueue_computes_what_a_local_run_does_each_stage_on_its_workers(tmp_path, capfd):
    plan, shards = on_slurm(tmp_path)
    assert processes(plan, "noise").isdisjoint(processes(plan, "difference"))
    assert processes(plan, "noise")
    assert shards == local(tmp_path)
    printed = capfd.readouterr().out
    assert "scheduler tcp://127.0.0.1:" in printed
    assert "dashboard http://127.0.0.1:" in printed
    time.sleep(1)
    assert not jobs()


def test_a_job_cancelled_in_the_middle_is_replaced(tmp_path):
    cancelled = []

    def cancel():
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up and not list((tmp_path / "slurm").rglob("*.claim")):
            time.sleep(0.1)
        running = jobs()
        subprocess.run(["scancel", *running], check=True)
        cancelled.extend(running)

    thread = threading.Thread(target=cancel)
    thread.start()
    _, shards = on_slurm(tmp_path, sleep=1.5)
    thread.join()
    assert cancelled
    assert shards == local(tmp_path, sleep=1.5)


def test_a_job_that_slurm_refuses_is_said_before_anything_waits(tmp_path):
    with pytest.raises(ConfigurationError, match="SLURM refuses"):
        on_slurm(tmp_path, extra=", partition: nowhere")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    sizes = ("train_videos 2", "test_videos 1", "frames 40", "height 64", "width 96")
    command = [sys.executable, "-m", "pipeline", "demo", str(folder / "data")]
    for size in sizes:
        command += [f"--settings.{size.split()[0]}", size.split()[1]]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "data"


def pipeline(command, demo, folder, *more):
    return [
        *(sys.executable, "-m", "pipeline", command),
        *("--source.manifest", "demo", "--source.data", str(demo)),
        *("--source.cache", str(folder / "cache"), "--source.shard_frames", "16"),
        *("--out", str(folder / "run"), "--stages.frames.size", "32", "--stages.labels.size", "32"),
        *("--stages.inpaint.engine", "telea", *more),
    ]


def array(folder, command, count):
    script = folder / "array.sh"
    script.write_text(
        f"#!/bin/bash\nexec {' '.join(command)} --shards $SLURM_ARRAY_TASK_ID/{count}\n"
    )
    submitted = subprocess.run(
        ["sbatch", "--parsable", f"--array=1-{count}", "-o", str(folder / "%a.out"), str(script)],
        capture_output=True,
        text=True,
        check=True,
    )
    return submitted.stdout.strip()


def wait_for(job, seconds=240):
    give_up = time.monotonic() + seconds
    while subprocess.run(
        ["squeue", "-h", "-j", job], capture_output=True, text=True, check=False
    ).stdout.strip():
        assert time.monotonic() < give_up
        time.sleep(0.5)


def test_an_array_without_scheduler_and_one_cancelled_in_the_middle_equal_a_local_run(
    tmp_path, demo
):
    (tmp_path / "local").mkdir()
    (tmp_path / "array").mkdir()
    subprocess.run(pipeline("run", demo, tmp_path / "local"), check=True, capture_output=True)
    subprocess.run(pipeline("plan", demo, tmp_path / "array"), check=True, capture_output=True)
    ids = (tmp_path / "array/run/shards.txt").read_text().split()
    command = pipeline("run", demo, tmp_path / "array", "--cluster.workers", "1")
    job = array(tmp_path, command, 3)
    give_up = time.monotonic() + 120
    while not list((tmp_path / "array/cache").rglob("0*.json")):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    subprocess.run(["scancel", f"{job}_1", f"{job}_2"], check=True)
    wait_for(job)
    job = array(tmp_path, command, 3)
    wait_for(job)
    for index in (1, 2, 3):
        assert "shards" in (tmp_path / f"{index}.out").read_text()
    mine = shard_bytes(tmp_path / "array/cache")
    assert mine == shard_bytes(tmp_path / "local/cache")
    assert len(ids) == len(mine)
    names = [json.loads((tmp_path / w / "run/shards.json").read_text()) for w in ("array", "local")]
    assert [names[0]["videos"], names[0]["name"]] == [names[1]["videos"], names[1]["name"]]
