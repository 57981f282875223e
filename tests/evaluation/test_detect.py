"""The detector against the scores of whole videos, and everything that `detect` writes."""

import csv
import itertools
import json
import time

import cv2
import numpy as np
import pytest

from evaluation import Detector, commands
from evaluation.auc_table import evaluate
from evaluation.detect import Seen, detect_video, scored
from evaluation.detection_report import write_detection_report
from evaluation.detector import FrameScore
from evaluation.indicators import Scoring, score_run
from evaluation.overlay import available, open_video
from evaluation.protocols import Protocol
from evaluation.results import Fusing, apply
from evaluation.run import open_run
from evaluation.scores import open_scores
from evaluation.sources import QUEUE, Arrival, Camera, Recording, open_source
from evaluation.threshold import Alarm
from pipeline.errors import ConfigurationError, DataError
from pipeline.models.tvl1 import compute_flow
from tests.evaluation import browser
from tests.evaluation.conftest import SIZE, make_network, make_shards


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose flow and features are those that the stages compute."""
    from dataclasses import asdict

    from pipeline.live import Live
    from pipeline.reader import open_dataset
    from pipeline.shard import write_shard
    from training.checkpoint import RunFolder
    from training.discriminator import DiscriminatorSettings, build_discriminator

    shards = make_shards(tmp_path_factory.mktemp("live"), frames=24)
    content = json.loads(shards.read_text())
    recipes = {
        "frames": {"size": SIZE, "interpolation": "linear"},
        "flow": {"engine": "tvl1"},
        "features": {"engine": "efficientnet-lite0"},
    }
    for stage, settings in recipes.items():
        content["stages"][stage]["recipe"] = {"version": 1, "settings": settings}
    content["stages"]["features"]["arrays"]["feature"]["shape"] = [1280]
    content["stages"]["pa_features"]["arrays"]["feature"]["shape"] = [1280]
    shards.write_text(json.dumps(content))
    dataset = open_dataset(shards)
    live = Live(dataset)
    for video in dataset.videos:
        images = dataset.arrays("frames", video.name)["image"][0:24]
        again = {
            "flow": {"flow": live.flow(images)},
            "features": {"feature": live.features(images)},
        }
        if video.split == "train":
            again["pa_features"] = again["features"]
        for stage, arrays in again.items():
            path = shards.parent.parent / "cache" / stage / video.name / "00000.h5"
            path.unlink()
            path.with_suffix(".json").unlink()
            write_shard(path, arrays, {})
    folder = shards.parent / "unified-seed0"
    for kind in ("spatial", "temporal", "discriminator"):
        make_network(folder, kind)
    architecture = DiscriminatorSettings(features=1280, hidden=4)
    recipe = json.loads((folder / "discriminator" / "recipe.json").read_text())
    recipe["architecture"] = asdict(architecture)
    RunFolder(folder / "discriminator").finish(build_discriminator(architecture), recipe, {})
    opened = open_run(folder)
    score_run(opened, Scoring(maps=8), lambda text: None)
    evaluate(opened, Fusing(samples=0, steps=4))
    return opened


@pytest.fixture(scope="module")
def images(run):
    return run.dataset.arrays("frames", "test/01")["image"][0:24]


@pytest.mark.parametrize("batch", [1, 7])
def test_a_stream_scores_what_the_whole_video_scores_by_dense(run, images, batch):
    detector = Detector(run, protocol="dense", batch=batch, scoring=Scoring(maps=8))
    found = list(detector.scores(images))
    assert [one.frame for one in found] == list(range(24))
    protocol = Protocol(name="dense", normalise="heldout")
    whole = apply(open_scores(run.out / "scores"), run.dataset, protocol)
    for name in ("spatial", "temporal", "discriminator"):
        streamed = [one.omegas[name] for one in found]
        np.testing.assert_allclose(streamed, whole.omegas[0][name], rtol=1e-3, atol=1e-3)
    total = [one.total for one in found]
    np.testing.assert_allclose(total, whole.fused(detector.eta)[0], rtol=1e-3, atol=1e-3)
    assert all(one.heat.shape == (8, 8) for one in found)


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize(
    "indicators",
    [None, ["flow"], ["spatial", "discriminator"], ["flow", "spatial", "temporal"]],
)
def test_a_stream_scores_what_the_whole_video_scores_by_local(run, images, batch, indicators):
    detector = Detector(run, batch=batch, indicators=indicators)
    assert set(detector.indicators) == set(indicators or ("flow", "temporal"))
    found = list(detector.scores(images))
    assert [one.frame for one in found] == list(range(24))
    protocol = Protocol(name="local", normalise="heldout")
    whole = apply(open_scores(run.out / "scores"), run.dataset, protocol)
    for name in detector.indicators:
        streamed = [one.omegas[name] for one in found]
        # float16 maps: batches of other sizes round some of their cells to the next number.
        np.testing.assert_allclose(streamed, whole.omegas[0][name], rtol=1e-2, atol=1e-2)
    mean = np.mean([whole.omegas[0][name] for name in detector.indicators], axis=0)
    np.testing.assert_allclose([one.total for one in found], mean, rtol=1e-2, atol=1e-2)
    for one in found:
        assert one.heat.shape == (64, 64) and one.heat.min() >= 0


def test_heat_shows_how_far_a_place_goes_beyond_its_level(run, images):
    scores = open_scores(run.out / "scores")
    found = list(Detector(run, indicators=["flow"]).scores(images))
    highest = scores.load("test/01").values["flow_local"]
    for one, values in zip(found, highest, strict=True):
        # The mean over windows has no place above the mean of their highest ones.
        assert one.heat.max() <= values.mean() / 2 + 1e-3
        assert one.heat.max() > 0
    assert Detector(run, maps=False).scale.finish() == []
    assert next(iter(Detector(run, maps=False).scores(images))).heat is None


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize(
    ("options", "frames"),
    [
        ({"protocol": "dense"}, 9),
        ({}, 17),
        ({"indicators": ["flow"]}, 9),
        ({"indicators": ["spatial", "flow"]}, 16),
    ],
)
def test_the_delay_is_what_it_says(run, images, batch, options, frames):
    detector = Detector(run, batch=batch, **options)
    late = [
        number - one.frame for number, image in enumerate(images) for one in detector.push(image)
    ]
    assert detector.delay == frames + batch - 1
    assert max(late) <= detector.delay
    assert batch > 1 or set(late) == {frames}


def test_a_new_stream_forgets_the_last(run, images):
    detector = Detector(run, batch=3)
    first = [one.total for one in detector.scores(images)]
    assert [one.total for one in detector.scores(images)] == first


def test_wrong_frames_and_runs_are_said(run, tmp_path):
    detector = Detector(run)
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)):
        with pytest.raises(ConfigurationError, match="expected"):
            detector.push(wrong)
    with pytest.raises(ConfigurationError, match="batch"):
        Detector(run, batch=0)
    with pytest.raises(ConfigurationError, match="is no folder"):
        Detector(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="neither local nor dense"):
        Detector(run, protocol="lntra")
    with pytest.raises(ConfigurationError, match="of the protocol local"):
        Detector(run, protocol="dense", indicators=["flow"])
    with pytest.raises(ConfigurationError, match="there are flow, spatial, temporal"):
        Detector(run, indicators=["flow", "optical"])
    with pytest.raises(ConfigurationError, match="none is named"):
        Detector(run, indicators=[])
    with pytest.raises(ConfigurationError, match="scene: 'roof' has no normal videos"):
        Detector(run, scene="roof")


def test_without_levels_it_is_said_how_to_get_them(run, tmp_path):
    import shutil

    folder = tmp_path / "copy" / run.folder.name
    shutil.copytree(run.folder.parent, folder.parent)
    levels = folder / "scores/local/levels/normal.npz"
    before = levels.read_bytes()
    levels.unlink()
    with pytest.raises(ConfigurationError, match="no levels of the protocol local"):
        Detector(folder)
    assert Detector(folder, protocol="dense").threshold.value
    score_run(open_run(folder), Scoring(maps=8), lambda text: None)
    assert levels.read_bytes() == before


@pytest.fixture(scope="module")
def video(tmp_path_factory, images):
    path = tmp_path_factory.mktemp("videos") / "gate <1>.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for image in images:
        writer.write(cv2.resize(image, (64, 48)))
    writer.release()
    return path


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


def test_the_threshold_is_the_heldout_highest_where_footage_is_short(run):
    detector = Detector(run, Alarm(rate=1))
    assert not detector.threshold.supported
    assert "too short" in detector.threshold.note
    assert detector.threshold.hours == pytest.approx(24 / 10 / 3600)


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


def test_bad_sources_are_said(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(DataError, match="empty"):
        open_source(str(tmp_path / "empty.mp4"))
    with pytest.raises(DataError, match="not found"):
        open_source(str(tmp_path / "no.mp4"))


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


class FakeCapture:
    """A camera of 200 frames a second whose pictures carry their number."""

    def __init__(self, frames):
        self.frames, self.number, self.released = frames, 0, False

    def read(self):
        if self.number == self.frames:
            return False, None
        time.sleep(0.005)
        self.number += 1
        return True, np.full((32, 32, 3), self.number, np.uint8)

    def release(self):
        self.released = True


def test_a_camera_drops_what_is_too_late_and_counts_it():
    capture = FakeCapture(60)
    camera = Camera("0", 200.0, capture=capture)
    seen = []
    for arrival in camera:
        time.sleep(0.02)  # slower than the camera
        seen.append(int(arrival.image[0, 0, 0]))
    assert seen == sorted(seen)
    assert camera.dropped > 0
    assert len(seen) + camera.dropped == 60
    assert max(b - a for a, b in itertools.pairwise(seen)) <= 3 * QUEUE
    assert seen[-1] == 60
    assert capture.released


def test_a_fast_reader_gets_every_frame():
    camera = Camera("0", 200.0, capture=FakeCapture(30))
    assert [int(a.image[0, 0, 0]) for a in camera] == list(range(1, 31))
    assert camera.dropped == 0


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


def test_every_nth_frame(video, images, tmp_path):
    source = Recording(video, every=5)
    assert (source.total, source.fps) == (5, 2)
    whole = [arrival.image for arrival in Recording(video)]
    for arrival, expected in zip(source, whole[::5], strict=True):
        np.testing.assert_array_equal(arrival.image, expected)
    camera = Camera("0", 200.0, 4, FakeCapture(10))
    assert camera.fps == 50
    assert [int(a.image[0, 0, 0]) for a in camera] == [1, 5, 9]
    with pytest.raises(ConfigurationError, match="every"):
        open_source(str(video), every=0)


def test_long_recordings_are_read_frame_by_frame(video):
    source = Recording(video)
    assert (source.total, source.fps) == (24, 10)
    frames = iter(source)
    assert next(frames).image.shape == (48, 64, 3)


def test_label_free_weights_were_chosen_on_movers(run):
    scores = open_scores(run.out / "scores")
    held = scores.load("train/02")
    assert held.has("_mover") and held.has("_pa")
    assert not np.allclose(held.values["temporal_mover"], held.values["temporal"])
    own = Fusing(samples=0, steps=4, pseudo="own", protocols=(Protocol(),))
    assert {e["eta_chosen"] for e in evaluate(run, own)["results"][3:]} == {"label-free"}
    evaluate(run, Fusing(samples=0, steps=4))


def test_the_flow_of_a_stream_is_the_stages(run, images):
    from pipeline.live import Live

    gray = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images[:3]]
    flow = Live(run.dataset).flow(images[:3])
    np.testing.assert_array_equal(flow[1], compute_flow(gray[1], gray[2]).astype(np.float16))


def test_the_report_of_several_videos(run, video, tmp_path):
    detector = Detector(run, Alarm(threshold=-100))
    found = [
        detect_video(detector, Recording(video), tmp_path / str(n), codec=None) for n in range(2)
    ]
    html = write_detection_report(detector, found, tmp_path).read_text()
    assert "2 events in 2 videos" in html
