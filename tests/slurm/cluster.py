"""A real SLURM of one node on this machine, in a folder of its own: ``with slurm(folder):``.

Debian's slurm-wlm and munge must be installed (``python -m tests.slurm.cluster install``)
and the user be root, since slurmd starts jobs for others. Nothing of the system's own SLURM
is touched: configuration, state, logs, sockets and the munge key lie in the folder, and
all daemons end with the context.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
CONFIGURATION = """\
ClusterName=torture
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CryptoType=crypto/munge
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,batch_sched_delay=0
KillWait=2
MinJobAge=5
InactiveLimit=0
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Return why SLURM cannot be started here; empty where it can."""
    if os.getuid() != 0:
        return "SLURM's daemons need root"
    absent = [name for name in PROGRAMS if shutil.which(name, path=search_path()) is None]
    return f"not installed: {', '.join(absent)} (Debian: slurm-wlm, munge)" if absent else ""


def search_path() -> str:
    """Return PATH with the folders in which daemons lie."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def install() -> str:
    """Install Debian's packages; return why that failed, empty if it did not."""
    if not missing():
        return ""
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        return missing() or "apt-get is not here"
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update"],
        ["apt-get", "install", "-y", "--no-install-recommends", "slurm-wlm", "munge"],
    ):
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            return f"{' '.join(command)}: {done.stderr.strip()[-200:]}"
    return missing()


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def slurm(folder: Path, cpus: int = 4) -> Iterator[dict[str, str]]:
    """Run a SLURM in ``folder`` and give the environment in which its commands work."""
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir(parents=True)
    (folder / "munge").chmod(0o755)
    os.chmod(folder, 0o755)  # noqa: PTH101
    key = folder / "munge" / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    host = socket.gethostname().split(".")[0]
    (folder / "gres.conf").write_text(f"NodeName={host} Name=gpu File=/dev/null\n")
    configuration = folder / "slurm.conf"
    configuration.write_text(
        CONFIGURATION.format(
            host=host,
            controller=free_port(),
            daemon=free_port(),
            folder=folder,
            cpus=cpus,
            memory=8000,
        )
    )
    environment = os.environ | {"SLURM_CONF": str(configuration), "PATH": search_path()}
    munged = [
        "munged",
        "--foreground",
        "--force",
        f"--key-file={key}",
        f"--socket={folder}/munge/socket",
        f"--pid-file={folder}/munge/pid",
        f"--log-file={folder}/munge/log",
        f"--seed-file={folder}/munge/seed",
    ]
    daemons: list[subprocess.Popen[bytes]] = []

    def start(command: list[str]) -> None:
        with (folder / f"{command[0]}.out").open("wb") as out:
            daemons.append(
                subprocess.Popen(
                    command, env=environment, stdout=out, stderr=out, start_new_session=True
                )
            )

    try:
        start(munged)
        _until(lambda: (folder / "munge/socket").exists(), folder)
        start(["slurmctld", "-D", "-c"])
        start(["slurmd", "-D", "-N", host])
        _until(lambda: _idle(environment), folder)
        yield environment
    finally:
        subprocess.run(["scancel", "--user=root"], env=environment, check=False, timeout=30)
        with contextlib.suppress(TimeoutError):
            _until(lambda: not _listed(environment), folder, seconds=15)
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _idle(environment: dict[str, str]) -> bool:
    asked = subprocess.run(
        ["sinfo", "-h", "-o", "%t"], env=environment, capture_output=True, text=True, check=False
    )
    return asked.returncode == 0 and asked.stdout.strip() == "idle"


def _listed(environment: dict[str, str]) -> str:
    return subprocess.run(
        ["squeue", "-h"], env=environment, capture_output=True, text=True, check=False
    ).stdout


def _until(condition, folder: Path, seconds: float = 40) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            logs = "\n".join(
                f"{path}: {path.read_text(errors='replace')[-1500:]}"
                for path in [
                    *folder.glob("*.log"),
                    *folder.glob("*.out"),
                    *folder.glob("munge/log"),
                ]
            )
            raise TimeoutError(f"SLURM did not come up in {seconds} s\n{logs}")
        time.sleep(0.2)


if __name__ == "__main__":
    reason = install()
    print(reason or "SLURM is installed")
    sys.exit(bool(reason))
