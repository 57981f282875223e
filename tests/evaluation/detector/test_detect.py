"""Everything that `detect` writes."""

import csv
import json
import time

import cv2
import numpy as np
import pytest

from evaluation import Detector, commands
from evaluation.detector.detect import Seen, detect_video, scored
from evaluation.detector.detector import FrameScore
from evaluation.detector.overlay import available, open_video
from evaluation.detector.page import write_detection_report
from evaluation.detector.sources import Arrival, Camera, Recording, open_source
from evaluation.measures.threshold import Alarm
from pipeline.base.errors import ConfigurationError, DataError
from tests.evaluation import browser
from tests.evaluation.detector.test_sources import FakeCapture


def test_detect_writes_scores_events_overlay_and_report(run, video, tmp_path, capsys):
    commands.detect(
        run.folder, [str(video), str(video)], tmp_path, Alarm(threshold=-100, shortest=0)
    )
    said = capsys.readouterr().out
    assert "at most 24 frames after" in said
    assert "24 frames" in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["gate-1", "gate-1-2", "report.html"]
    folder = tmp_path / "gate-1"
    with (folder / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    content = json.loads((folder / "scores.json").read_text())
    assert len(rows) == len(content["scores"]) == 24
    assert rows[7]["seconds"] == "0.700"
    assert float(rows[7]["agg"]) == pytest.approx(content["scores"][7]["agg"], rel=1e-5)
    assert set(content["scores"][0]) == {"frame", "seconds", "w1", "w2", "w3", "flow", "agg"}
    events = json.loads((folder / "events.json").read_text())["events"]
    assert [(e["start"], e["end"]) for e in events] == [(0.0, 2.4)]
    assert (folder / "events.csv").read_text().count("\n") == 2
    capture = cv2.VideoCapture(str(folder / "overlay.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 24
    assert capture.get(cv2.CAP_PROP_FRAME_WIDTH) == 480  # magnified: 64 px hold no text
    assert capture.get(cv2.CAP_PROP_FRAME_HEIGHT) == 360 + 72
    html = (tmp_path / "report.html").read_text()
    assert "gate &lt;1&gt;.avi" in html
    assert "gate <1>" not in html
    assert not list(tmp_path.rglob(".*"))


def test_without_a_frame_rate_one_must_be_given(run, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(20):
        cv2.imwrite(str(folder / f"{number:03d}.png"), np.full((32, 32, 3), number, np.uint8))
    detector = Detector(run)
    with pytest.raises(ConfigurationError, match="give --fps"):
        detect_video(detector, open_source(str(folder)), tmp_path / "out", codec=None)
    found = detect_video(detector, open_source(str(folder), 5.0), tmp_path / "out", codec=None)
    assert found.frames == 20
    assert not (tmp_path / "out" / "overlay.mp4").exists()


def test_a_failed_stream_leaves_no_half_files(run, tmp_path):
    class Broken:
        name, fps, total, live, dropped = "broken", 10.0, None, False, 0

        def __iter__(self):
            for _ in range(14):
                yield Arrival(np.zeros((32, 32, 3), np.uint8), time.monotonic())
            raise DataError("broken: frame 14 cannot be decoded")

    with pytest.raises(DataError, match="frame 14"):
        detect_video(Detector(run), Broken(), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_cameras_delay_is_measured(run, tmp_path):
    detector = Detector(run, batch=1)
    found = detect_video(
        detector, Camera("0", 200.0, capture=FakeCapture(400)), tmp_path, codec=None, seconds=0.2
    )
    assert 0 < found.seen.times[-1] < 1.9
    assert found.fps == pytest.approx((found.frames - 1) / found.seen.times[-1])
    delay = json.loads((tmp_path / "scores.json").read_text())["delay_seconds"]
    assert 0 < delay["median"] <= delay["largest"]


def test_ctrl_c_ends_a_camera_but_not_a_file(run, images):
    class Stopped:
        fps, live = 10.0, True

        def __iter__(self):
            for image in images[:12]:
                yield Arrival(image, 0.0)
            raise KeyboardInterrupt

    assert len(list(scored(Detector(run), Stopped()))) == 12
    Stopped.live = False
    with pytest.raises(KeyboardInterrupt):
        list(scored(Detector(run), Stopped()))


def test_pictures_of_a_long_stream_stay_few_and_spread():
    seen = Seen(limit=10, side=16)
    image = np.zeros((16, 16, 3), np.uint8)
    for frame in range(1000):
        seen.add(FrameScore(frame, {"spatial": 0.0}, 0.0, None), image)
        assert len(seen.pictures) <= 10
    frames = [one.frame for one in seen.pictures]
    assert set(np.diff(frames)) == {seen.step}
    assert frames[0] == 0 and frames[-1] >= 1000 - 2 * seen.step


@pytest.mark.parametrize("codec", ["h264", "vp9"])
def test_overlays_play_in_a_browser(codec, tmp_path):
    if codec == "h264":
        pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / "overlay.mp4"
    with open_video(path, 10, codec) as sink:
        for number in range(12):
            sink.write(np.full((48, 64, 3), number * 20, np.uint8))
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 12
    assert available(codec) == codec
    if not browser.installed():
        pytest.skip("chromium and chromedriver are not installed")
    page = tmp_path / "page.html"
    page.write_text('<video src="overlay.mp4" muted></video>')
    with browser.Browser(tmp_path / "profile") as opened:
        opened.open(page)
        opened.until("return document.querySelector('video').readyState >= 2")
        assert opened.run("return document.querySelector('video').duration") == pytest.approx(
            1.2, abs=0.15
        )
        assert opened.run("return document.querySelector('video').error") is None


def test_the_report_of_several_videos(run, video, tmp_path):
    detector = Detector(run, Alarm(threshold=-100))
    found = [
        detect_video(detector, Recording(video), tmp_path / str(n), codec=None) for n in range(2)
    ]
    html = write_detection_report(detector, found, tmp_path).read_text()
    assert "2 events in 2 videos" in html
