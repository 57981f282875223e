import subprocess

import pytest

from pipeline.base.errors import ConfigurationError
from pipeline.execution.executors.site import Jobs, Site, load_site
from pipeline.execution.executors.slurm import job_options, scheduler_options
from pipeline.execution.executors.slurm_scaling import demand
from pipeline.execution.executors.slurm_script import levels, script
from pipeline.stages.registry import Stages

STAGES = {"frames": (), "instances": ("frames",), "masks": ("instances",), "flow": ("frames",)}


def test_levels_hold_every_stage_once_after_what_it_reads_in_jobs_of_its_kind():
    found = levels(STAGES, ["instances"])
    assert found == [("cpu", ["frames", "flow"]), ("gpu", ["instances"]), ("cpu", ["masks"])]


def test_the_script_is_bash_and_each_job_waits_for_what_it_needs(tmp_path):
    """Run it with an sbatch that only notes its arguments."""
    site = Site(gpu=Jobs(gpus=1, partition="gpu"), logs=str(tmp_path))
    text = script(site, "ped2", 4, {"DATA": "/a b"}, ["spatial", "temporal"], STAGES, ["instances"])
    for name, body in (
        ("sbatch", f'echo $* >> {tmp_path}/jobs; wc -l < {tmp_path}/jobs | tr -d " "'),
        ("make", f'echo "$@" >> {tmp_path}/made'),
    ):
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", text],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "submitted; the report follows job 7\n"
    jobs = (tmp_path / "jobs").read_text().splitlines()
    assert len(jobs) == 7
    assert "SHARE=$SLURM_ARRAY_TASK_ID/4" in jobs[0]
    assert "--array=1-4%4" in jobs[0]
    assert "dependency" not in jobs[0]
    assert "--dependency=afterany:1" in jobs[1]
    assert "--gres=gpu:1" in jobs[1]
    assert "--dependency=afterany:3" in jobs[3]
    assert "ped2.spatial" in jobs[4]
    assert "afterok:4" in jobs[4]
    assert "--dependency=afterok:5:6" in jobs[6]
    assert "ped2.plan DATA=/a b" in (tmp_path / "made").read_text()


@pytest.mark.parametrize(
    "path", ["/a b", "/it's", '/"x"', "/$(touch pwned)", "/`id`", "/a\nb", "\\"]
)
def test_a_value_arrives_as_it_is_and_nothing_of_it_runs(tmp_path, path):
    """With an sbatch that runs each job as SLURM would, and a make that notes its words."""
    site = Site(logs=str(tmp_path / "logs"), cpu=Jobs(prologue=("export SITE_SAYS='$HOME'",)))
    text = script(site, "ped2", 2, {"DATA": path}, ["spatial"], STAGES)
    for name, body in (
        ("sbatch", 'SLURM_ARRAY_TASK_ID=2 sh -c "${@: -1}" && echo 1'),
        ("make", f"printf '%s\\0' \"$@\" >> {tmp_path}/made"),
    ):
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    subprocess.run(
        ["bash", "-c", text],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        check=True,
        capture_output=True,
    )
    words = (tmp_path / "made").read_text().split("\0")
    assert words.count(f"DATA={path}") == 5  # plan, shards, complete, spatial, report
    assert "SHARE=2/2" in words
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("memory", "wanted"), [("16GB", "16G"), ("16 GB", "16G"), ("64GiB", "64G"), ("0.5 TB", "512G")]
)
def test_memory_is_written_as_slurm_takes_it(memory, wanted):
    site = Site(cpu=Jobs(memory=memory))
    assert f"--mem={wanted} " in script(site, "ped2", 1, {}, ["spatial"], STAGES)


def test_a_site_is_read_and_what_is_wrong_in_it_is_named(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text(
        "cpu: {partition: short, walltime: '1-00:00:00', directives: [--qos=x]}\ngpu: {gpus: 1}\n"
    )
    site = load_site(path)
    assert site.cpu.directives == ("--qos=x",)
    assert [name for name, stage in Stages().by_name().items() if site.on_gpu(stage)] == [
        "inpaint",
        "features",
        "pa_features",
        "patches",
    ]
    named = Site(gpu=Jobs(stages=("flow",)))
    assert named.on_gpu(Stages().flow)
    assert not named.on_gpu(Stages().inpaint)
    for text, words in (
        ("cpus: {}", "cpus: unknown"),
        ("cpu: {cores: many}", "cpu.cores"),
        ("cpu: {walltime: 3600}", "quote"),
        ("cpu: {walltime: an hour}", "walltime"),
        ("cpu: {minimum: 9}", "minimum 9"),
        ("cpu: {memory: lots}", "memory"),
        ("tls: {ca: a}", "tls.certificate: is missing"),
        ("- a", "not fields"),
        ("{", "no YAML"),
        ("host: a\ninterface: b", "choose one"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigurationError, match=words):
            load_site(path)
    with pytest.raises(ConfigurationError, match="not found"):
        load_site(tmp_path / "none.yaml")


def test_schedulers_listen_on_loopback_unless_told_otherwise():
    assert scheduler_options(Site())["host"] == "127.0.0.1"
    assert Site().is_loopback()
    assert not Site(interface="ib0").is_loopback()
    assert scheduler_options(Site(interface="ib0"))["interface"] == "ib0"


def test_job_options_carry_the_sites_wishes_and_workers_leave_before_the_walltime():
    jobs = Jobs(
        gpus=2, walltime="02:00:00", prologue=("module load x",), skip_directives=("--mem",)
    )
    options = job_options("GPU", jobs, Site())
    assert "--gres=gpu:2" in options["job_extra_directives"]
    assert options["job_directives_skip"] == ["--mem"]
    assert options["job_script_prologue"][-1] == "module load x"
    arguments = options["worker_extra_args"]
    assert arguments[arguments.index("--resources") + 1] == "GPU=1"
    assert int(arguments[arguments.index("--lifetime") + 1][:-1]) < 7200


def test_demand_counts_what_could_run_by_kind():
    class Task:
        def __init__(self, state, resources=None):
            self.state, self.resource_restrictions = state, resources

    tasks = [Task("no-worker", {"GPU": 1}), Task("processing", {"CPU": 1}), Task("queued")]
    tasks += [Task("waiting", {"CPU": 1}), Task("memory")]
    assert demand(tasks) == {"GPU": 1, "CPU": 2}
