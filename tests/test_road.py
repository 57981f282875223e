"""The main job from videos to report, at the tutorial's size: what a whole run leaves behind."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SMALL = ["--config", "pipeline/presets/demo.yaml", "--stages.frames.size", "64"]
SMALL += ["--stages.inpaint.steps", "5"]


def call(*words, status=0):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == status, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture
def road(tutorial):
    """Return the folder in which the tutorial's commands were run."""
    return tutorial.folder


def source(road):
    data = ["--source.manifest", "demo", "--source.data", road / "data/plaza"]
    return [*SMALL, *data, "--source.cache", road / "cache"]


def test_the_road_ends_in_metrics_and_a_report(road):
    method = road / "runs/plaza/unified-seed0"
    text = (method / "metrics.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)
    page = (method / "report.html").read_text()
    assert "w/ D (ours)" in page
    assert not re.search(r'<(script|link|img|iframe)[^>]+(src|href)="?https?:', page)


def test_a_second_run_does_nothing_and_imports_no_torch(road):
    said = call("pipeline", "run", *source(road), "--out", road / "runs/plaza")
    assert "nothing to do" in said
    assert "is up to date" in said
    code = (
        "import sys; sys.argv = ['pipeline', *sys.argv[1:]]\n"
        "from pipeline.__main__ import main\n"
        "assert not main(), 'failed'\n"
        "heavy = {'torch', 'distributed', 'diffusers', 'numba', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    words = ["run", *source(road), "--out", road / "runs/plaza"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]


def test_status_counts_every_shard_and_verify_finds_nothing(road):
    rows = json.loads(call("pipeline", "status", *source(road), "--as_json", "true"))
    assert {row["stage"] for row in rows} >= {"frames", "inpaint", "mixed_flow", "pa_features"}
    assert all(row["done"] == row["shards"] > 0 for row in rows)
    assert "0 damaged" in call("pipeline", "verify", "--cache", road / "cache")


def test_another_size_is_planned_beside_and_why_says_what_differs(road):
    words = ["why", "flow", *source(road), "--stages.frames.size", "32", "--as_json", "true"]
    found = json.loads(call("pipeline", *words))
    assert not found["cached"]
    assert [list(parts) for parts in found["others"].values()] == [["inputs.frames"]]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    "target", ["demo", "test", "ped2", "ped2.flow", "avenue.train", "ubnormal.report", "help"]
)
def test_make_says_what_it_would_do(target, tmp_path):
    done = subprocess.run(
        ["make", "-n", target, f"VENV={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if target == "ped2":
        assert "autoencoder" in done.stdout
        assert "pipeline run" in done.stdout
