"""Recordings and cameras as sources of frames."""

import csv
import itertools
import time
from pathlib import Path

import numpy as np
import pytest

from evaluation.detector.addresses import find_addresses
from evaluation.detector.sources import QUEUE, Camera, open_source
from pipeline.base.errors import ConfigurationError, DataError
from pipeline.data.video.frame import Frame
from tests.evaluation.detector.servers import serve

CASES = Path(__file__).parents[4] / "shared/cases/video"


class FakeCamera:
    """A camera of 200 frames a second whose pictures carry their number."""

    name, rate, declared, gaps, interlaced = "camera-0", 200.0, None, (), 0

    def __init__(self, frames, error=None):
        self.frames, self.error, self.released = frames, error, False

    def __iter__(self):
        for number in range(self.frames):
            time.sleep(0.005)
            yield Frame(number, number / 200, np.full((32, 32, 3), number + 1, np.uint8))
        if self.error is not None:
            raise self.error

    def close(self):
        self.released = True


def opened(given, *options):
    (address,) = find_addresses([str(given)])
    return open_source(address, *options)


def test_bad_sources_are_said(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(DataError, match="empty"):
        opened(tmp_path / "empty.mp4")
    with pytest.raises(DataError, match="not found"):
        opened(tmp_path / "no.mp4")


def test_a_camera_drops_what_is_too_late_and_counts_it():
    reader = FakeCamera(60)
    camera = Camera(reader)
    seen = []
    for arrival in camera:
        time.sleep(0.02)  # slower than the camera
        seen.append(int(arrival.image[0, 0, 0]))
    assert seen == sorted(seen)
    assert camera.dropped > 0
    assert len(seen) + camera.dropped == 60
    assert max(b - a for a, b in itertools.pairwise(seen)) <= 3 * QUEUE
    assert seen[-1] == 60
    assert reader.released


def test_a_fast_reader_gets_every_frame():
    camera = Camera(FakeCamera(30))
    assert [int(a.image[0, 0, 0]) for a in camera] == list(range(1, 31))
    assert camera.dropped == 0


@pytest.mark.parametrize("error", [DataError("camera-0: broke"), ValueError("gray")])
def test_a_failing_camera_ends_with_its_error_after_its_frames(error):
    seen = []
    with pytest.raises(DataError, match="camera-0"):
        seen.extend(int(arrival.image[0, 0, 0]) for arrival in Camera(FakeCamera(3, error)))
    assert seen == [1, 2, 3]


def test_every_nth_frame(video):
    source = opened(video, None, 5)
    assert (source.total, source.fps) == (5, 2)
    whole = list(opened(video))
    for arrival, expected in zip(source, whole[::5], strict=True):
        np.testing.assert_array_equal(arrival.image, expected.image)
        assert arrival.seconds == expected.seconds
    camera = Camera(FakeCamera(10), 4)
    assert camera.fps == 50
    assert [int(a.image[0, 0, 0]) for a in camera] == [1, 5, 9]
    with pytest.raises(ConfigurationError, match="every"):
        opened(video, None, 0)


def test_long_recordings_are_read_frame_by_frame(video):
    source = opened(video)
    assert (source.total, source.fps) == (24, 10)
    frames = iter(source)
    assert next(frames).image.shape == (48, 64, 3)


@pytest.mark.parametrize("way", ["file", "http"])
def test_a_url_of_a_recording_is_read_whole(video, way):
    with serve(video.parent) as address:
        url = video.as_uri() if way == "file" else f"{address}/{video.as_uri().rpartition('/')[2]}"
        source = opened(url)
        assert not source.live
        found = [arrival.seconds for arrival in source]
    assert found == pytest.approx([n / 10 for n in range(24)])


def test_a_stream_over_http_is_live(images):
    with serve(images=images[:6], rate=50) as address:
        source = opened(f"{address}/stream?token=hidden")
        assert source.live and "hidden" not in source.name
        found = [arrival.image for arrival in source]
    assert len(found) + source.dropped == 6
    assert np.abs(found[-1].astype(int) - images[5]).mean() < 8  # JPEG


def rows():
    path = CASES / "truth.csv"
    return list(csv.DictReader(path.open())) if path.exists() else []


@pytest.mark.skipif(not rows(), reason="the odd files are not here")
@pytest.mark.parametrize("row", rows(), ids=lambda row: row["file"])
def test_odd_files_are_read_as_another_library_reads_them(row):
    source = opened(CASES / row["file"])
    times = [arrival.seconds for arrival in source]
    assert len(times) == int(row["decodable"])
    first, last = float(row["first_s"]), float(row["last_s"])
    assert times[-1] == pytest.approx(last - first, abs=2e-3)
    if row["frame_37_s"]:
        assert times[37] == pytest.approx(float(row["frame_37_s"]) - first, abs=2e-3)
    missing = int(row["declared"]) > int(row["decodable"]) or int(row["unreadable_packets"]) > 0
    said = " ".join(source.damage())
    assert (f"{row['decodable']} decode" in said or "frames decode" in said) == missing
    assert (f"{row['interlaced']} frames are interlaced" in said) == (row["interlaced"] != "0")
