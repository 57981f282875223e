"""Dask over TLS, with the certificates that docs/clusters.md makes."""

import shutil
import subprocess

import pytest
from distributed import LocalCluster

from pipeline.base.errors import MachineError
from pipeline.execution import run as execution
from pipeline.execution.executors.cluster import Cluster
from pipeline.execution.executors.site import load_site
from pipeline.execution.todo import Settings
from tests.pipeline.execution.test_engine import shard_bytes
from tests.pipeline.toys import make_plan

COMMANDS = (
    "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem",
    "req -newkey rsa:2048 -nodes -subj /CN=dask -keyout dask.key -out dask.csr",
    "x509 -req -days 2 -in dask.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out dask.pem",
)


def certificates(folder):
    folder.mkdir()
    for command in COMMANDS:
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    site = folder / "site.yaml"
    names = {"ca": "ca.pem", "certificate": "dask.pem", "key": "dask.key"}
    lines = [f"  {name}: {folder / file}" for name, file in names.items()]
    site.write_text("tls:\n" + "\n".join(lines) + "\n")
    return str(site)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_a_scheduler_with_tls_serves_its_own_and_refuses_others(tmp_path):
    site = certificates(tmp_path / "ours")
    strangers = certificates(tmp_path / "strangers")
    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tls://",
        host="127.0.0.1",
        dashboard_address=None,
        security=load_site(site).security(),
    ) as cluster:
        address = cluster.scheduler_address
        assert address.startswith("tls://127.0.0.1:")
        plan = make_plan(tmp_path / "tls")
        settings = Settings()
        ours = Cluster(kind=address, site=site)
        assert not execution.run(plan, ours, settings, tmp_path / "logs").failures
        execution.run(
            make_plan(tmp_path / "plain"), Cluster(kind="threads"), settings, tmp_path / "logs"
        )
        assert shard_bytes(tmp_path / "tls") == shard_bytes(tmp_path / "plain")
        other = make_plan(tmp_path / "other")
        for wrong in (
            Cluster(kind=address),
            Cluster(kind=address, site=strangers),
            Cluster(kind=address.replace("tls://", "tcp://")),
        ):
            with pytest.raises(MachineError, match="no scheduler answers"):
                execution.run(other, wrong, settings, tmp_path / "logs")
