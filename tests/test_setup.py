"""`make setup` where something is missing: a line that says what, and nothing half done."""

import os
import re
import shutil
import subprocess

import pytest

from tests.documents import ROOT

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")

#: Answers as a Python would that lacks something; the real one stands behind it for the rest.
OLD = '[ "$1" = --version ] && echo Python 3.9.2; exit 1'
NO_VENV = 'case "$2" in *ensurepip*) exit 1;; *"%d.%d"*) echo 3.11;; esac; exit 0'
#: A virtual environment's Python: OpenCV can be loaded once the headless wheel is there.
DESKTOP = """echo "$*" >> {log}
if [ "$2" = "import cv2" ]; then
  grep -q headless== {log} || {{ echo "ImportError: libxcb.so.1: cannot open" >&2; exit 1; }}
fi"""


def program(path, code):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{code}\n")
    path.chmod(0o755)
    return path


def setup(venv, **environment):
    return subprocess.run(
        [ROOT / ".ci/setup", venv],
        env=os.environ | {name: str(value) for name, value in environment.items()},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "code, said",
    [
        (OLD, r"Python 3\.11 or newer is needed; \S+ is Python 3\.9\.2\..*PYTHON3=python3\.12"),
        (NO_VENV, r"cannot make virtual environments.*apt-get install python3\.11-venv"),
        (None, r"is not here; name a Python: make setup PYTHON3="),
    ],
)
def test_a_python_that_will_not_do_is_said_and_leaves_nothing(tmp_path, code, said):
    python = tmp_path / "python3"
    if code:
        program(python, code)
    done = setup(tmp_path / "venv", PYTHON3=python)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert re.search(said, done.stderr)
    assert not (tmp_path / "venv").exists()


def test_opencv_for_machines_without_a_desktop_takes_the_other_ones_place(tmp_path):
    log = tmp_path / "log"
    program(tmp_path / "venv/bin/python", DESKTOP.format(log=log))
    done = setup(tmp_path / "venv", PIP_OPTIONS="--no-index")
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"libxcb\.so\.1.*opencv-contrib-python-headless \S+ takes its place", done.stdout
    )
    pinned = re.search(
        r"^opencv-contrib-python==(\S+)", (ROOT / "constraints.txt").read_text(), re.M
    )
    calls = log.read_text().splitlines()
    install = [call for call in calls if "headless==" in call]
    assert len(install) == 1
    assert install[0].endswith(f"--no-deps opencv-contrib-python-headless=={pinned[1]}")
    assert "--no-index" in install[0]
    assert any("uninstall" in call and "opencv-contrib-python" in call for call in calls)
    assert calls[-1] == "-c import cv2"


def test_where_opencv_loads_nothing_is_replaced(tmp_path):
    log = tmp_path / "log"
    program(tmp_path / "venv/bin/python", f'echo "$*" >> {log}')
    assert setup(tmp_path / "venv").returncode == 0
    assert "headless" not in log.read_text()
