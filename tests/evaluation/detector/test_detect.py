"""Everything that `detect` writes."""

import csv
import json
import time

import cv2
import numpy as np
import pytest

from evaluation import Detector, commands
from evaluation.detector.addresses import find_addresses
from evaluation.detector.detect import Seen, detect_video, scored
from evaluation.detector.detector import FrameScore
from evaluation.detector.page import write_detection_report
from evaluation.detector.sources import Arrival, Camera, open_source
from evaluation.measures.threshold import Alarm
from pipeline.base.errors import ConfigurationError, DataError
from pipeline.data.video.file import FileReader
from pipeline.data.video.write import write_video
from tests.evaluation import browser
from tests.evaluation.detector.test_sources import FakeCamera


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
    known = {"frame", "seconds", "w1", "w2", "w3", "flow", "appearance", "agg"}
    assert set(content["scores"][0]) == set(rows[0]) == known
    events = json.loads((folder / "events.json").read_text())["events"]
    assert [(e["start"], e["end"]) for e in events] == [(0.0, 2.4)]
    header, row = (folder / "events.csv").read_bytes().decode().splitlines()
    assert header == "start,end,peak,score,first_frame,last_frame,peak_frame,state"
    assert row.startswith("0.000,2.400,") and row.endswith(f",0,23,{events[0]['peak_frame']},ended")
    assert b"\r" not in (folder / "scores.csv").read_bytes()
    assert cv2.imread(str(folder / "event-1.jpg")).shape == (48, 64, 3)
    assert "event 1 begins at 0.00 s" in said and "event 1 ended at 2.40 s" in said
    capture = cv2.VideoCapture(str(folder / "overlay.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 24
    assert capture.get(cv2.CAP_PROP_FRAME_WIDTH) == 480  # magnified: 64 px hold no text
    assert capture.get(cv2.CAP_PROP_FRAME_HEIGHT) == 360 + 72
    html = (tmp_path / "report.html").read_text()
    assert "gate &lt;1&gt;.avi" in html
    assert "gate <1>" not in html
    assert not list(tmp_path.rglob(".*"))


def opened(path, *options):
    return open_source(find_addresses([str(path)])[0], *options)


def test_images_need_a_frame_rate(run, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(20):
        cv2.imwrite(str(folder / f"{number:03d}.png"), np.full((32, 32, 3), number, np.uint8))
    detector = Detector(run)
    with pytest.raises(ConfigurationError, match="give --fps"):
        opened(folder)
    said = []
    found = detect_video(
        detector, opened(folder, 5.0), tmp_path / "out", codec=None, say=said.append
    )
    assert found.frames == 20 and list(found.seen.times) == [n / 5 for n in range(20)]
    assert not (tmp_path / "out" / "overlay.mp4").exists()
    # The run's videos have 10 frames a second: half of that is another speed.
    assert any("no --every mends that" in line for line in said)


class Played:
    """A source of frames at given times; after them the given error, if any."""

    name, fps, total, every, live, dropped = "played", 10.0, None, 1, False, 0

    def __init__(self, images, times, error=None, **facts):
        self.images, self.times, self.error = images, times, error
        self.__dict__.update(facts)

    def __iter__(self):
        for image, seconds in zip(self.images, self.times, strict=True):
            yield Arrival(image, seconds, time.monotonic())
        if self.error is not None:
            raise self.error

    def damage(self):
        return []


def test_a_failed_stream_leaves_what_was_scored_in_whole_lines(run, images, tmp_path):
    broken = Played(images[:20], np.arange(20) / 10, DataError("played: frame 20 is damaged"))
    with pytest.raises(DataError, match="frame 20"):
        detect_video(Detector(run), broken, tmp_path, say=lambda text: None)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["events.csv", "scores.csv"]
    content = (tmp_path / "scores.csv").read_text()
    assert content.endswith("\n") and content.count("\n") == 1 + 20 - 17


def test_times_are_those_of_the_frames_not_of_a_rate(run, images, tmp_path):
    times = np.cumsum([0, *([0.1] * 10), 5.0, *([0.5] * 12)])
    found = detect_video(
        Detector(run, Alarm(threshold=-100)), Played(images, times), tmp_path,
        say=lambda text: None,
    )  # fmt: skip
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    assert [float(row["seconds"]) for row in rows] == pytest.approx(times, abs=1e-3)
    assert [(e.start, e.first, e.last) for e in found.events] == [(0, 0, 23)]
    assert found.events[0].end == pytest.approx(times[-1] + 0.5)  # the usual time between two
    assert found.fps == pytest.approx(23 / times[-1])
    shown = [frame.seconds for frame in FileReader(tmp_path / "overlay.mp4")]
    assert shown == pytest.approx(list(times), abs=2e-3)


def test_another_frame_rate_is_said_with_the_every_that_fits(run, images, tmp_path):
    def warned(rate, every):
        said = []
        source = Played(images, np.arange(24) / rate, every=every)
        found = detect_video(
            Detector(run, indicators=["flow"]), source, tmp_path, codec=None, say=said.append
        )
        lines = [f"warning: played: {one}" for one in found.warnings]
        assert lines == [line for line in said if line.startswith("warning")]
        return "".join(found.warnings)

    assert warned(10, 1) == warned(11.5, 1) == warned(9, 3) == ""
    assert "take --every 3" in warned(30, 1)
    assert "take --every 6" in warned(20, 3)
    assert "take --every 2" in warned(5, 4)
    assert "record at 10" in warned(4, 1)


def test_a_cameras_delay_is_measured(run, tmp_path):
    detector = Detector(run, batch=1)
    found = detect_video(
        detector, Camera(FakeCamera(400)), tmp_path, codec=None, seconds=0.2,
        say=lambda text: None,
    )  # fmt: skip
    assert 0 < found.seen.times[-1] < 1.9
    assert found.fps == pytest.approx((found.frames - 1) / found.seen.times[-1])
    delay = json.loads((tmp_path / "scores.json").read_text())["delay_seconds"]
    assert 0 < delay["median"] <= delay["largest"]


def test_ctrl_c_ends_a_camera_but_not_a_file(run, images):
    stopped = Played(images[:12], np.arange(12) / 10, KeyboardInterrupt(), live=True)
    assert len(list(scored(Detector(run), stopped))) == 12
    stopped.live = False
    with pytest.raises(KeyboardInterrupt):
        list(scored(Detector(run), stopped))


def test_warming_up_changes_no_score(run, images):
    detector = Detector(run)
    before = [one.total for one in detector.scores(images)]
    detector.warm_up()
    assert [one.total for one in detector.scores(images)] == before


def test_pictures_of_a_long_stream_stay_few_and_spread():
    seen = Seen(limit=10, side=16)
    image = np.zeros((16, 16, 3), np.uint8)
    for frame in range(1000):
        seen.add(FrameScore(frame, {"spatial": 0.0}, 0.0, None), image)
        assert len(seen.pictures) <= 10
    frames = [one.frame for one in seen.pictures]
    assert set(np.diff(frames)) == {seen.step}
    assert frames[0] == 0 and frames[-1] >= 1000 - 2 * seen.step


def test_overlays_play_in_a_browser(tmp_path):
    path = tmp_path / "overlay.mp4"
    with write_video(path, 10) as sink:
        for number in range(12):
            sink.write(np.full((48, 64, 3), number * 20, np.uint8))
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
    found = [detect_video(detector, opened(video), tmp_path / str(n), codec=None) for n in range(2)]
    html = write_detection_report(detector, found, tmp_path / "report.html").read_text()
    assert "2 events in 2 videos" in html
