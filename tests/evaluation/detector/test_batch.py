"""Several inputs at once: which they are, where their results go, and those that fail."""

import json
import shutil

import cv2
import numpy as np
import pytest

from evaluation import commands
from evaluation.detector.addresses import find_addresses
from evaluation.detector.places import claim_folders, report_path
from evaluation.measures.threshold import Alarm
from pipeline.base.errors import DataError

QUICK = {"alarm": Alarm(threshold=-100), "indicators": ["flow"], "overlay": None}


def claimed(out, *given):
    folders = claim_folders(out, find_addresses([str(one) for one in given]), {})
    return [folder.name for folder in folders], report_path(folders[0]).name


def files(tmp_path, *names):
    paths = [tmp_path / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def test_no_result_lands_on_anothers(tmp_path):
    out = tmp_path / "out"
    three = files(tmp_path, "gate-3.mp4", "x/gate.mp4", "y/gate.mp4")
    names = (["gate-3", "gate", "gate-2"], "report.html")
    assert claimed(out, *three) == names
    (out / "report.html").touch()
    assert claimed(out, *three) == names  # the same inputs once more
    assert claimed(out, three[2]) == (["gate-2"], "report-2.html")
    assert claimed(out, *files(tmp_path, "z/gate.avi")) == (["gate-4"], "report-3.html")
    assert claimed(out, three[1], three[1])[0] == ["gate", "gate-5"]


def test_folders_of_others_and_odd_names_are_kept_apart(tmp_path):
    (tmp_path / "out/a-b").mkdir(parents=True)
    (tmp_path / "out/report.html").write_text("mine")
    given = files(tmp_path, "a b.mp4", "a-b.mp4", "Caf\u00e9.mp4", "Cafe\u0301.mov", "..mp4")
    names, report = claimed(tmp_path / "out", *given)
    assert names[:2] == ["a-b-2", "a-b-3"]
    assert len({name.casefold() for name in names}) == 5
    assert report == "report-2.html" and (tmp_path / "out/report.html").read_text() == "mine"


def test_a_camera_never_writes_over_what_it_saw_before(tmp_path):
    assert claimed(tmp_path, "rtsp://u:p@cam/1") == (["cam-1"], "report.html")
    assert claimed(tmp_path, "rtsp://u:p@cam/1") == (["cam-1-2"], "report-2.html")


def test_a_folder_is_its_videos_and_a_number_may_be_a_folder(tmp_path, monkeypatch):
    files(tmp_path, "10.mp4", "9.avi", "note.txt", ".hidden.mp4", "poster.jpg", "pics/1.png")
    shown = [address.path.name for address in find_addresses([str(tmp_path)])]
    assert shown == ["9.avi", "10.mp4", "pics"]
    files(tmp_path, "01/1.png")
    monkeypatch.chdir(tmp_path)
    folder, camera, url = find_addresses(["01", "2", (tmp_path / "10.mp4").as_uri()])
    assert folder.path is not None and camera.path is None
    assert camera.name == "camera-2" and url.path == tmp_path / "10.mp4"


def test_one_bad_file_does_not_stop_the_others(run, video, tmp_path, capsys):
    (tmp_path / "videos").mkdir()
    shutil.copy(video, tmp_path / "videos/good.avi")
    (tmp_path / "videos/bad.avi").touch()
    content = video.read_bytes()
    (tmp_path / "videos/cut.avi").write_bytes(content[: len(content) * 2 // 3])
    out = tmp_path / "out"
    assert commands.detect(run.folder, [str(tmp_path / "videos")], out, fps=3.0, **QUICK) == 1
    said = capsys.readouterr()
    assert "bad.avi: is an empty file" in said.err and "not scored" in said.err
    assert "good.avi: knows its own times" in said.out
    assert "warning: cut.avi: its header says 24 frames" in said.out
    assert json.loads((out / "good/scores.json").read_text())["fps"] == pytest.approx(10)
    assert json.loads((out / "cut/scores.json").read_text())["warnings"]
    assert not (out / "bad/scores.json").exists()
    with pytest.raises(DataError, match="empty"):
        commands.detect(run.folder, [str(tmp_path / "videos/bad.avi")], out, **QUICK)


def test_fps_is_for_images_alone(run, tmp_path):
    (tmp_path / "pictures").mkdir()
    for number in range(20):
        path = tmp_path / f"pictures/{number:03d}.png"
        cv2.imwrite(str(path), np.full((32, 32, 3), 9 * number, np.uint8))
    commands.detect(run.folder, [str(tmp_path / "pictures")], tmp_path / "out", fps=10.0, **QUICK)
    assert json.loads((tmp_path / "out/pictures/scores.json").read_text())["fps"] == 10
