import os
import tempfile
from pathlib import Path

import pytest

from tests.slurm import cluster


@pytest.fixture(scope="session")
def slurm_environment():
    """A SLURM of one node, up for the session; its commands work in this process."""
    reason = cluster.install() if os.environ.get("CI") else cluster.missing()
    if reason:
        pytest.skip(reason)
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        try:
            with cluster.slurm(Path(folder) / "slurm") as environment:
                os.environ.update(environment)
                root = str(Path(__file__).parents[2])
                os.environ["PYTHONPATH"] = f"{root}:{os.environ.get('PYTHONPATH', '')}"
                yield environment
        except TimeoutError as error:
            pytest.skip(f"SLURM does not start here: {error}")
        finally:
            os.environ.clear()
            os.environ.update(before)
