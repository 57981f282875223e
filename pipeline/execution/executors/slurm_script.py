"""The shell script that submits a whole data set to SLURM, without a scheduler process.

``make slurm.script`` prints it; ``make slurm.script ... | bash`` submits. Arrays compute
shards (CPU stages and GPU stages apart where the site has GPU jobs), a job of one process
computes what is left and writes shards.json, trainings follow side by side, then the
evaluation, each depending on what it needs.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.base.errors import ConfigurationError, run_main
from pipeline.execution.executors.base import ONE_THREAD
from pipeline.execution.executors.site import Jobs, Site, load_site
from pipeline.stages.registry import Stages


def levels(inputs: Mapping[str, Sequence[str]], gpu: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Divide stages into consecutive arrays of one kind, ``cpu`` or ``gpu``.

    Parameters
    ----------
    inputs
        For each stage the stages that it reads, each named before.
    gpu
        The stages that run on GPUs.

    Examples
    --------
    >>> levels({"frames": [], "flow": ["frames"], "inpaint": ["frames"]}, ["inpaint"])
    [('cpu', ['frames', 'flow']), ('gpu', ['inpaint'])]
    """
    at: dict[str, int] = {}
    for stage, sources in inputs.items():
        own = int(stage in gpu)
        level = max((at[source] for source in sources), default=0)
        at[stage] = level if level % 2 == own else level + 1
    return [
        ("gpu" if level % 2 else "cpu", [stage for stage in inputs if at[stage] == level])
        for level in sorted(set(at.values()))
    ]


def directives(jobs: Jobs, site: Site, name: str) -> list[str]:
    """Return sbatch's options for one kind of job."""
    options = [f"--job-name={name}", f"--time={jobs.walltime}", f"--output={site.logs}/%x-%A_%a"]
    options += [f"--partition={jobs.partition}"] if jobs.partition else []
    options += [f"--account={jobs.account}"] if jobs.account else []
    options += [f"--cpus-per-task={jobs.cpus or jobs.cores}", f"--mem={jobs.slurm_memory()}"]
    options += [f"--gres=gpu:{jobs.gpus}"] if jobs.gpus else []
    kept = [o for o in options if not any(skip in o for skip in jobs.skip_directives)]
    return kept + list(jobs.directives)


def script(
    site: Site,
    dataset: str,
    array: int,
    variables: Mapping[str, str],
    networks: Sequence[str],
    inputs: Mapping[str, Sequence[str]],
    gpu_stages: Sequence[str] = (),
) -> str:
    """Return the submitting script.

    Parameters
    ----------
    array
        Elements of each array.
    variables
        Variables of the Makefile for all jobs.
    networks
        What to train.
    inputs
        The pipeline's stages, each with those it reads.
    gpu_stages
        Those of them that go to GPU jobs, where the site has such.
    """
    if array < 1:
        raise ConfigurationError(f"ARRAY: {array} is below 1")
    set_variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    last = ""
    lines = [
        "#!/bin/bash",
        "# Submits jobs, nothing else; `bash` it on a login node, in the project's folder.",
        "set -euo pipefail",
        f"mkdir -p {shlex.quote(site.logs)}",
        "# Reads each video once and hashes it, so that no element of an array has to.",
        f"make {dataset}.plan {set_variables}",
    ]

    def submit(variable: str, jobs: Jobs, goals: str, after: str, more: str = "") -> None:
        prologue = [*(f"export {k}={v}" for k, v in ONE_THREAD.items())] if more else []
        body = "\n".join([*prologue, *jobs.prologue, f"make {goals} {set_variables}"])
        options = " ".join(
            shlex.quote(option) for option in directives(jobs, site, f"{dataset}-{variable}")
        )
        dependency = f" --dependency={after}" if after else ""
        # One word here, a script there: nothing of it is run where it is submitted.
        wrapped = shlex.quote(body)
        lines.append(
            f"{variable}=$(sbatch --parsable {options}{more}{dependency} --wrap {wrapped})"
        )

    share = f"SHARE=$SLURM_ARRAY_TASK_ID/{array} WORKERS="
    groups = levels(inputs, gpu_stages) if site.gpu else [("cpu", list(inputs))]
    for number, (kind, stages) in enumerate(groups):
        jobs = site.gpu if kind == "gpu" and site.gpu else site.cpu
        named = [f"{dataset}.{stage}" for stage in stages]
        goals = " ".join(named if len(groups) > 1 else [f"{dataset}.shards"])
        submit(
            f"shards{number}",
            jobs,
            f"{goals} {share}{jobs.cores}",
            last,
            f" --array=1-{array}%{jobs.maximum}",
        )
        last = f"afterany:$shards{number}"
    gpu = site.gpu or site.cpu
    submit("complete", site.cpu, f"{dataset}.shards CLUSTER=processes", last)
    for network in networks:
        submit(network, gpu, f"{dataset}.{network} CLUSTER=processes", "afterok:$complete")
    trained = ":".join(f"${network}" for network in networks)
    submit("report", gpu, f"{dataset}.report CLUSTER=processes", f"afterok:{trained}")
    text = "\n".join(lines)
    return f'{text}\necho "submitted; the report follows job $report"\n'


def main() -> int:
    """Print the script that the arguments describe."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.execution.executors.slurm_script", description=__doc__
    )
    parser.add_argument("--site", required=True, type=Path, help="the site's YAML")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--array", type=int, default=8, help="elements of each array")
    parser.add_argument("--networks", nargs="+", required=True)
    parser.add_argument("--variables", nargs="*", default=[], help="NAME=VALUE for make")
    options = parser.parse_args()
    site = load_site(options.site)
    stages = Stages().by_name()
    variables = dict(entry.split("=", 1) for entry in options.variables)
    text = script(
        site,
        options.dataset,
        options.array,
        variables,
        options.networks,
        {name: stage.inputs() for name, stage in stages.items()},
        [name for name, stage in stages.items() if site.on_gpu(stage)],
    )
    print(text, end="")
    return 0


if __name__ == "__main__":
    run_main(main)
