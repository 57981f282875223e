"""The stage and the data set that the documentation adds, added as it says."""

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.data.discover import load_manifest
from pipeline.data.plaza.demo import DemoSettings, write_demo
from pipeline.shards.reader import open_dataset
from tests.documents import blocks, checkout, shell


def write_files(page: str, language: str, folder: Path) -> list[str]:
    """Write the blocks whose first line is ``# PATH`` to that path; return the other blocks."""
    others = []
    for _, code in blocks(page, language):
        if name := re.match(r"# (\S+/\S+\.\w+)\n", code):
            (folder / name[1]).parent.mkdir(parents=True, exist_ok=True)
            (folder / name[1]).write_text(code)
        else:
            others.append(code)
    return others


def test_the_stage_of_the_documentation(tmp_path):
    assert sum(code.count("\n") for _, code in blocks("adding-a-stage.md", "python", "diff")) < 80
    checkout(tmp_path, own=True)
    write_demo(tmp_path / "data/plaza", DemoSettings(train_videos=1, test_videos=1, frames=16))

    (reading,) = write_files("adding-a-stage.md", "python", tmp_path)
    ((_, difference),) = blocks("adding-a-stage.md", "diff")
    (tmp_path / "registry.diff").write_text(difference)
    shell("git apply --unidiff-zero registry.diff", tmp_path)
    for _, code in blocks("adding-a-stage.md", "sh"):
        shell(code, tmp_path)
    (tmp_path / "reading.py").write_text(reading)
    shell("PYTHONPATH=. python reading.py", tmp_path)


@pytest.fixture
def campus(tmp_path):
    """Return a folder with the manifest of the documentation and videos that lie as it says."""
    write_files("adding-a-data-set.md", "yaml", checkout(tmp_path / "top", own=True))
    data = tmp_path / "top/Campus"
    for name in ("normal/gate_01", "normal/yard_01", "events/gate_02"):
        path = data / f"{name}.avi"
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
        for t in range(20):
            writer.write(np.full((48, 64, 3), 10 * t, np.uint8))
        writer.release()
    (data / "events/truth.csv").write_text("gate_02,5,10\n")
    (data / "masks/gate_02").mkdir(parents=True)
    for t in range(1, 21):
        mask = np.zeros((48, 64), np.uint8)
        mask[10:20, 10:20] = 255 if 5 <= t <= 10 else 0
        cv2.imwrite(str(data / f"masks/gate_02/{t:04}.png"), mask)
    return tmp_path / "top"


def test_the_data_set_of_the_documentation(campus):
    manifest = load_manifest(campus / "data_manifests/campus.yaml", campus / "Campus")
    assert [(video.name, video.scene) for video in manifest.videos] == [
        ("train/gate_01", "gate"),
        ("train/yard_01", "yard"),
        ("test/gate_02", "gate"),
    ]
    labels = manifest.select("test")[0].truth().labels
    assert np.flatnonzero(labels).tolist() == list(range(4, 10))
    said = shell(blocks("adding-a-data-set.md", "sh")[0][1], campus)
    assert re.search(r"frames +\w+ +3 +0/3", said)


def test_a_missing_file_is_named(campus):
    (campus / "Campus/masks/gate_02/0007.png").unlink()
    said = shell(blocks("adding-a-data-set.md", "sh")[0][1], campus, status=3)
    assert "masks/gate_02" in said


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_knows_the_new_data_set(campus):
    said = shell(f"make -n campus DATA=Campus VENV={campus}/venv", campus)
    assert "--source.manifest campus --source.data 'Campus'" in said


def test_the_indicator_of_the_documentation(tmp_path):
    page = "adding-an-indicator.md"
    assert sum(code.count("\n") for _, code in blocks(page, "python", "diff")) < 80
    checkout(tmp_path, own=True)
    write_demo(tmp_path / "data/plaza", DemoSettings(train_videos=2, test_videos=1, frames=24))
    assert write_files(page, "python", tmp_path) == []
    ((_, difference),) = blocks(page, "diff")
    (tmp_path / "registry.diff").write_text(difference)
    shell("git apply --unidiff-zero registry.diff", tmp_path)

    shards, score, report = (code for _, code in blocks(page, "sh"))
    shell(shards, tmp_path)
    printed = shell(score, tmp_path)
    rows = ("dense/video     C alone", "local/heldout   C alone", "local/heldout   flow + C")
    assert all(row in printed for row in rows)
    run = tmp_path / "runs/change/alone"
    with np.load(run / "scores/test/01.npz") as saved:
        assert saved["change"].shape == (24,)
        assert saved["change_map"].shape == (24, 64, 64)
        values = saved["change"]
    shell(report, tmp_path)
    assert '"#c2338f"' in (run / "report.html").read_text()
    lines = (tmp_path / "found/01/scores.csv").read_text().splitlines()
    assert "change" in lines[0].split(",")
    assert len(lines) == 25
    # What the file says, written out.
    images = open_dataset(run.parent / "shards.json").arrays("frames", "test/01")["image"][0:24]
    expected = np.abs(np.diff(images.astype(np.float64), axis=0)).mean((1, 2, 3)) / 255
    np.testing.assert_allclose(values, np.r_[0, expected], atol=1e-6)
