"""Every test begins alike and leaves the process as it found it; the tutorial is run once.

torch is not imported here, so that tests that do not need it start at once.
"""

import copy
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.documents import blocks, checkout, shell

# One thread each: small arrays wait longer for threads than they compute, above all on a busy
# machine. Read when the libraries are loaded, here and in processes that tests start.
for _name in ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
    os.environ.setdefault(_name, "1")
#: Set by pytest itself for each phase of a test.
PHASE = "PYTEST_CURRENT_TEST"
#: Pools of threads that live as long as the process: the training kernels' and Dask's.
KEPT = ("kernel", "Dask-Offload")


@dataclass(frozen=True)
class Tutorial:
    """The folder in which the tutorial was run, and what each shell block printed."""

    folder: Path
    printed: list[str]

    @property
    def run(self) -> Path:
        return self.folder / "runs/plaza/unified-seed0"


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Let no test depend on the numbers that those before it drew."""
    np.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _leaves_the_process_as_it_was():
    """Fail a test that leaves the environment, Dask's configuration or threads changed."""
    before, threads, loaded = _state(), _threads(), len(sys.modules)
    yield
    after = _state()
    shared = before.keys() & after.keys()
    changed = {name for name in shared if before[name] != after[name]} - {
        "os.environ LD_LIBRARY_PATH"
    }
    if len(sys.modules) == loaded:  # else a library may have set some as it was loaded
        changed |= {name for name in before.keys() ^ after.keys() if name.startswith("os.environ")}
    changed |= {f"running: {thread.name}" for thread in _threads() - threads}
    assert changed == set(), "the test left this changed; use monkeypatch or a with statement"


def _state() -> dict[str, object]:
    """Return what tests of one process share; of libraries, of those that are loaded."""
    own = os.environ.items()
    state: dict[str, object] = {f"os.environ {k}": v for k, v in own if k != PHASE}
    if dask := sys.modules.get("dask"):
        sections = copy.deepcopy(dask.config.config)
        state |= {f"dask.config {name}": section for name, section in sections.items()}
    if torch := sys.modules.get("torch"):
        state["torch.set_num_threads"] = torch.get_num_threads()
    if cv2 := sys.modules.get("cv2"):
        state["cv2.setNumThreads"] = cv2.getNumThreads()
    return state


def _threads() -> set[threading.Thread]:
    """Return the threads that must end before this process can, but for pools that are kept."""
    running = {thread for thread in threading.enumerate() if not thread.daemon}
    return {thread for thread in running if not thread.name.startswith(KEPT)}


@pytest.fixture(scope="session")
def tutorial(tmp_path_factory) -> Tutorial:
    """Run the shell blocks of docs/tutorial.md as they stand, in a folder of their own."""
    folder = checkout(tmp_path_factory.mktemp("tutorial"))
    return Tutorial(folder, [shell(code, folder) for _, code in blocks("tutorial.md", "sh")])
