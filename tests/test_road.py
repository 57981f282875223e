"""The main job from videos to report, by the commands that the Makefile calls, at small size."""

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


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    """Return a folder with a small demo data set that went all the way to its report."""
    root = tmp_path_factory.mktemp("road")
    sizes = {"train_videos": 2, "test_videos": 1, "frames": 40, "height": 96, "width": 128}
    call(
        *("pipeline", "demo", root / "data"),
        *(word for name, value in sizes.items() for word in (f"--settings.{name}", value)),
    )
    run = root / "runs"
    call("pipeline", "run", *source(root), "--cluster.kind", "threads", "--out", run)
    method = run / "unified-seed0"
    common = ["--config", "training/presets/demo.yaml", "--config", "training/methods/unified.yaml"]
    common += ["--shards", run / "shards.json"]
    for network in ("spatial", "temporal"):
        call(
            *("training", "autoencoder", "--network", network, *common, "--epochs", 1),
            *("--architecture.channels", "[8,8,8,8]", "--out", method / network),
        )
    call("training", "discriminator", *common, "--epochs", 1, "--out", method / "discriminator")
    call("evaluation", "score", "--config", "evaluation/presets/demo.yaml", "--run", method)
    call("evaluation", "report", "--run", method)
    return root


def source(root):
    data = ["--source.manifest", "demo", "--source.data", root / "data"]
    return [*SMALL, *data, "--source.cache", root / "cache"]


def test_the_road_ends_in_metrics_and_a_report(road):
    method = road / "runs" / "unified-seed0"
    text = (method / "metrics.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)
    page = (method / "report.html").read_text()
    assert "w/ D (ours)" in page
    assert not re.search(r'<(script|link|img|iframe)[^>]+(src|href)="?https?:', page)


def test_a_second_run_does_nothing_and_imports_no_torch(road):
    said = call("pipeline", "run", *source(road), "--out", road / "runs")
    assert "nothing to do" in said
    assert "is up to date" in said
    code = (
        "import sys; sys.argv = ['pipeline', *sys.argv[1:]]\n"
        "from pipeline.__main__ import main\n"
        "assert not main(), 'failed'\n"
        "heavy = {'torch', 'distributed', 'diffusers', 'numba', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    words = ["run", *source(road), "--out", road / "runs"]
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
