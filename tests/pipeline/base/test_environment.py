"""Another system than this: without what Linux alone has, or without OpenCV's libraries."""

import os
import subprocess
import sys

from pipeline.base.environment import cores, versions
from tests.documents import ROOT

#: What Linux alone offers is gone, for this project's code; processes begin by spawn, as on macOS.
OTHER_SYSTEM = """
import multiprocessing, os, pathlib, runpy, sys
for name in ("sched_getaffinity", "fork", "forkpty", "posix_fadvise", "posix_fallocate"):
    if hasattr(os, name):
        delattr(os, name)
def without_proc(function):
    def call(path, *words, **named):
        if str(path).startswith(("/proc", "/sys")):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return function(path, *words, **named)
    return call
for name in ("open", "read_text", "read_bytes", "write_text", "readlink", "iterdir", "stat"):
    setattr(pathlib.Path, name, without_proc(getattr(pathlib.Path, name)))
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=False)
"""


def run(code, *words, **environment):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_cores_are_those_that_this_process_may_use(monkeypatch):
    assert cores() == len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores()
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert cores() == os.cpu_count()


def test_either_opencv_is_named_in_records():
    assert len(versions(["opencv-contrib-python"])) == 1


def test_the_pipeline_runs_without_what_only_linux_has(tmp_path):
    """macOS has no fork that Dask would use, no affinity and no /proc."""
    small = ["--settings.frames", 16, "--settings.train_videos", 1, "--settings.test_videos", 1]
    small += ["--settings.height", 48, "--settings.width", 64]
    done = run(OTHER_SYSTEM, "pipeline", "demo", tmp_path / "data", *small)
    assert done.returncode == 0, done.stderr[-2000:]
    where = ["--source.manifest", "demo", "--source.data", tmp_path / "data"]
    where += ["--source.cache", tmp_path / "cache", "--out", tmp_path / "run"]
    words = ["pipeline", "run", "--source.only", "[frames]", "--stages.frames.size", 32, *where]
    words += ["--cluster.kind", "threads"]
    done = run(OTHER_SYSTEM, *words)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(list((tmp_path / "cache").rglob("*.h5"))) == 2


def test_without_libraries_of_a_desktop_a_line_says_both_remedies(tmp_path):
    said = "libGL.so.1: cannot open shared object file: No such file or directory"
    (tmp_path / "cv2.py").write_text(f"raise ImportError({said!r})")
    run_it = (
        "import runpy, sys; sys.argv[0] = 'x'; runpy.run_module('pipeline', run_name='__main__')"
    )
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    done = run(run_it, "demo", tmp_path / "out", PYTHONPATH=path)
    assert done.returncode == 4
    assert done.stderr.startswith("error: OpenCV cannot be loaded: libGL.so.1")
    assert "opencv-contrib-python-headless" in done.stderr
    assert "apt-get install libgl1" in done.stderr
    assert done.stderr.count("\n") == 1
